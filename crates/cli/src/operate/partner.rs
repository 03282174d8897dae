//! `hookit partner`: who hosts endpoints, and their credentials.

use http::Method;

use super::table::Column;
use super::{Common, body, escaped};
use crate::exit::Exit;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// All partners.
    List,
    /// Issues a credential. Its secrets are shown this once.
    Create {
        name: String,
        /// The business that it belongs to.
        #[arg(long, value_name = "ID")]
        business_id: i64,
        /// What it allows, orders:read for instance; may be given several times. All scopes where there is none.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
    },
    /// A new secret_key; the old one stops working at once.
    RotateSecret { partner_id: String },
    /// A new webhook_secret_key.
    RotateWebhookSecret {
        partner_id: String,
        /// When it begins to sign (RFC 3339); at once unless given.
        #[arg(long, value_name = "TIME")]
        current_at: Option<String>,
    },
    /// Ends a credential for good.
    Revoke { partner_id: String },
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let operator = args.common.operator()?;
    let of = |partner_id: &str, verb: &str| format!("partners/{}/{verb}", escaped(partner_id));
    match args.command {
        Command::List => {
            let columns = [
                Column("PARTNER", "partner_id"),
                Column("NAME", "name"),
                Column("BUSINESS", "business_id"),
                Column("KEY", "partner_key"),
                Column("SCOPES", "scopes"),
                Column("REVOKED", "revoked_at"),
            ];
            operator.all("partners", &columns).await
        }
        Command::Create { name, business_id, scopes } => {
            let scopes = (!scopes.is_empty()).then(|| scopes.into());
            let body = body(vec![
                ("name", Some(name.into())),
                ("business_id", Some(business_id.into())),
                ("scopes", scopes),
            ]);
            operator.one(&operator.send(Method::POST, "partners", body).await?)
        }
        Command::RotateSecret { partner_id } => {
            operator.one(&operator.post(&of(&partner_id, "rotate-secret")).await?)
        }
        Command::RotateWebhookSecret { partner_id, current_at } => {
            let body = body(vec![("current_at", current_at.map(Into::into))]);
            let path = of(&partner_id, "rotate-webhook-secret");
            operator.one(&operator.send(Method::POST, &path, body).await?)
        }
        Command::Revoke { partner_id } => operator.one(&operator.post(&of(&partner_id, "revoke")).await?),
    }
}
