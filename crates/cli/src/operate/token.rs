//! `hookit token`: operators and what they may do; `hookit audit`: what they did.

use http::Method;

use super::table::Column;
use super::{Common, Page, body, query, text};
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
    /// All operator tokens, without what they are.
    List,
    /// Issues a token. It is shown this once.
    Create {
        name: String,
        /// admin, support or surface.
        #[arg(long)]
        role: String,
    },
    /// Ends a token at once.
    Revoke { token_id: i64 },
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let operator = args.common.operator()?;
    match args.command {
        Command::List => {
            let columns = [
                Column("TOKEN", "token_id"),
                Column("NAME", "name"),
                Column("ROLE", "role"),
                Column("CREATED", "created_at"),
                Column("REVOKED", "revoked_at"),
            ];
            operator.all("tokens", &columns).await
        }
        Command::Create { name, role } => {
            let body = body(vec![("name", Some(name.into())), ("role", Some(role.into()))]);
            operator.one(&operator.send(Method::POST, "tokens", body).await?)
        }
        Command::Revoke { token_id } => {
            operator.one(&operator.post(&format!("tokens/{token_id}/revoke")).await?)
        }
    }
}

#[derive(clap::Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    common: Common,
    /// Only this, webhook.put for instance.
    #[arg(long)]
    action: Option<String>,
    /// Only what was done to this.
    #[arg(long)]
    target: Option<String>,
    /// Only what was done by this token; 0 is the one that the platform was started with.
    #[arg(long, value_name = "ID")]
    token_id: Option<i64>,
    /// From this time on (RFC 3339).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    page: Page,
}

pub(crate) async fn audit(args: AuditArgs) -> anyhow::Result<Exit> {
    let operator = args.common.operator()?;
    let query = query(&[
        ("action", args.action),
        ("target", args.target),
        ("token_id", text(args.token_id.as_ref())),
        ("since", args.since),
        ("until", args.until),
        ("limit", text(args.page.limit.as_ref())),
        ("before", text(args.page.before.as_ref())),
    ]);
    let columns = [
        Column("DONE", "done_at"),
        Column("BY", "name"),
        Column("ACTION", "action"),
        Column("TARGET", "target"),
        Column("FROM", "address"),
        Column("REQUEST", "request_id"),
    ];
    operator.list(&operator.get(&format!("audit{query}")).await?, "entries", &columns)
}
