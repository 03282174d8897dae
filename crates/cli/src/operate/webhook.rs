//! `hookit webhook`: registrations, and the endpoints behind them.

use hookit_contract::EventType;
use http::Method;

use super::table::Column;
use super::{Common, body, query};
use crate::exit::{Exit, usage};
use crate::workbench::trigger::event_type;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// All registrations.
    List,
    /// Registers a URL, or changes what is registered for the same partner, brand, branch and event type.
    Put(Box<Put>),
    /// Removes a registration, and cancels what waits for it.
    Remove {
        webhook_id: i64,
        /// In whose name; the token's unless given.
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
    },
    /// Lets deliveries to its endpoint go again.
    Enable { webhook_id: i64 },
    /// Holds all deliveries to its endpoint; they wait.
    Disable { webhook_id: i64 },
    /// Posts one signed webhook of a fake order at once, and says how it went.
    Test { webhook_id: i64 },
}

#[derive(clap::Args)]
struct Put {
    partner_id: String,
    /// created, status, cart, or an event type's whole name.
    #[arg(value_name = "EVENT", value_parser = event_type)]
    event_type: EventType,
    url: String,
    /// Only this brand; any unless given.
    #[arg(long, value_name = "ID")]
    brand_id: Option<i64>,
    /// Only this branch; any unless given.
    #[arg(long, value_name = "ID")]
    branch_id: Option<i64>,
    /// per_order or none.
    #[arg(long)]
    ordering: Option<String>,
    /// Of an order's updates that wait, only the newest is sent.
    #[arg(long)]
    coalesce: bool,
    /// How many deliveries may be under way to its endpoint.
    #[arg(long, value_name = "N")]
    in_flight_max: Option<u32>,
    /// How many a second may go to its endpoint.
    #[arg(long, value_name = "N")]
    rate_per_second_max: Option<u32>,
    /// How many orders a delivery may have.
    #[arg(long, value_name = "N")]
    orders_per_delivery_max: Option<u32>,
    /// A variable with USER:PASSWORD, sent as Basic authorization with each delivery.
    #[arg(long, value_name = "NAME")]
    basic_env: Option<String>,
}

impl Put {
    fn body(self) -> anyhow::Result<String> {
        let basic_auth = self.basic_env.map(|name| {
            let text = std::env::var(&name).map_err(|_| usage(format!("--basic-env: {name} is not set")))?;
            let (user, password) = text
                .split_once(':')
                .ok_or_else(|| usage(format!("--basic-env: {name}: expected USER:PASSWORD")))?;
            anyhow::Ok(serde_json::json!({"user": user, "password": password}))
        });
        Ok(body(vec![
            ("partner_id", Some(self.partner_id.into())),
            ("event_type", Some(self.event_type.as_str().into())),
            ("url", Some(self.url.into())),
            ("brand_id", self.brand_id.map(Into::into)),
            ("branch_id", self.branch_id.map(Into::into)),
            ("ordering", self.ordering.map(Into::into)),
            ("coalesce", self.coalesce.then(|| true.into())),
            ("in_flight_max", self.in_flight_max.map(Into::into)),
            ("rate_per_second_max", self.rate_per_second_max.map(Into::into)),
            ("orders_per_delivery_max", self.orders_per_delivery_max.map(Into::into)),
            ("basic_auth", basic_auth.transpose()?),
        ]))
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let operator = args.common.operator()?;
    let post = async |webhook_id: i64, verb: &str| {
        operator.one(&operator.post(&format!("webhooks/{webhook_id}/{verb}")).await?)
    };
    match args.command {
        Command::List => {
            let columns = [
                Column("WEBHOOK", "webhook_id"),
                Column("PARTNER", "partner_id"),
                Column("BRAND", "brand_id"),
                Column("BRANCH", "branch_id"),
                Column("EVENT", "event_type"),
                Column("ENDPOINT", "endpoint_id"),
                Column("URL", "url"),
                Column("HELD", "hold.reason"),
            ];
            operator.all("webhooks", &columns).await
        }
        Command::Put(put) => operator.one(&operator.send(Method::PUT, "webhooks", put.body()?).await?),
        Command::Remove { webhook_id, by } => {
            let path = format!("webhooks/{webhook_id}{}", query(&[("by", by)]));
            operator.one(&operator.send(Method::DELETE, &path, "").await?)
        }
        Command::Enable { webhook_id } => post(webhook_id, "enable").await,
        Command::Disable { webhook_id } => post(webhook_id, "disable").await,
        Command::Test { webhook_id } => post(webhook_id, "test").await,
    }
}
