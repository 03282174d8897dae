//! `hookit order`: orders, their moves, and one of them live.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hookit_contract::{OrderStatus, Record, StatusCodes};
use http::Method;
use serde_json::Value;
use serde_json::value::RawValue;

use super::table::{self, Column};
use super::{Common, Every, Operator, body, query, text};
use crate::exit::Exit;
use crate::order;
use crate::output::{self, Output};
use crate::signals;
use crate::workbench::{read_body, spelling};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    #[command(flatten)]
    Operator(OperatorCommand),
    /// Moves an order as a partner does, through its inbox.
    #[command(after_help = order::ENVIRONMENT)]
    Advance(order::AdvanceArgs),
}

#[derive(clap::Subcommand)]
enum OperatorCommand {
    /// Orders by id.
    List {
        /// Only those of this business.
        #[arg(long, value_name = "ID")]
        business_id: Option<i64>,
        /// How many.
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
        /// Those after this id.
        #[arg(long, value_name = "ID")]
        after: Option<i64>,
    },
    /// One order's record, every number and text of it as it stands.
    Show { order_id: i64 },
    /// Posts a new order.
    Create {
        /// Its record; - is standard input.
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Moves an order.
    Move {
        order_id: i64,
        /// A status by its name or code: accepted, ready, cancelled.
        status: String,
        /// Why, for a cancellation.
        #[arg(long, value_name = "TEXT")]
        reason_code: Option<String>,
        /// When it happened (RFC 3339); now unless given.
        #[arg(long, value_name = "TIME")]
        occurred_at: Option<String>,
    },
    /// Edits the cart of an order that has not ended.
    EditCart {
        order_id: i64,
        /// An object with cart, cart_v2 and the new totals; - is standard input.
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Shows one order live: its moves and its deliveries, until it has ended and all of them have.
    Watch {
        order_id: i64,
        #[command(flatten)]
        every: Every,
    },
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let command = match args.command {
        Command::Operator(command) => command,
        Command::Advance(advance) => return order::advance(advance, args.common.output).await,
    };
    let operator = args.common.operator()?;
    match command {
        OperatorCommand::List { business_id, limit, after } => {
            let query = query(&[
                ("business_id", text(business_id.as_ref())),
                ("limit", text(limit.as_ref())),
                ("after", text(after.as_ref())),
            ]);
            let columns = [
                Column("ORDER", "id"),
                Column("STATUS", "status"),
                Column("VERSION", "version"),
                Column("BUSINESS", "business_id"),
                Column("BRANCH", "branch_id"),
                Column("BRAND", "brand_name"),
                Column("UPDATED", "updated_at"),
            ];
            operator.list(&operator.get(&format!("orders{query}")).await?, "orders", &columns)
        }
        OperatorCommand::Show { order_id } => {
            let reply = operator.get(&format!("orders/{order_id}")).await?;
            if operator.output == Output::Json {
                return operator.one(&reply);
            }
            let record: &RawValue = reply.data()?;
            output::print(&format!("{}\n", spelling::pretty(record.get().as_bytes())))?;
            Ok(Exit::Success)
        }
        OperatorCommand::Create { file } => {
            let reply = operator.send(Method::POST, "orders", read_body(&file)?).await?;
            changed(&operator, &reply)
        }
        OperatorCommand::Move { order_id, status, reason_code, occurred_at } => {
            let status = status.parse::<i64>().map_or_else(|_| Value::from(status.clone()), Value::from);
            let body = body(vec![
                ("status", Some(status)),
                ("reason_code", reason_code.map(Into::into)),
                ("occurred_at", occurred_at.map(Into::into)),
            ]);
            let reply = operator.send(Method::PATCH, &format!("orders/{order_id}/status"), body).await?;
            changed(&operator, &reply)
        }
        OperatorCommand::EditCart { order_id, file } => {
            let reply =
                operator.send(Method::PUT, &format!("orders/{order_id}/cart"), read_body(&file)?).await?;
            changed(&operator, &reply)
        }
        OperatorCommand::Watch { order_id, every } => watch(&operator, order_id, every).await,
    }
}

/// The state of a record, in a line; as it is for scripts.
fn changed(operator: &Operator, reply: &crate::client::Reply) -> anyhow::Result<Exit> {
    if operator.output == Output::Json {
        return operator.one(reply);
    }
    output::print(&format!("{}\n", state(&record(reply)?)))?;
    Ok(Exit::Success)
}

fn record(reply: &crate::client::Reply) -> anyhow::Result<Record> {
    let data: &RawValue = reply.data()?;
    Ok(Record::parse(reply.body.slice_ref(data.get().as_bytes()))?)
}

fn state(record: &Record) -> String {
    let status = record.status(&StatusCodes::default()).ok().flatten();
    format!(
        "order {} {} version {} {}",
        record.get("id").unwrap_or("-"),
        status.map_or_else(|| "-".to_owned(), |status| status.to_string()),
        record.get("version").unwrap_or("-"),
        record.get("updated_at").unwrap_or("-").trim_matches('"'),
    )
}

async fn watch(operator: &Operator, order_id: i64, every: Every) -> anyhow::Result<Exit> {
    let stop = signals::stop_token()?;
    let mut version = None;
    let mut states: BTreeMap<String, String> = BTreeMap::new();
    while !stop.is_cancelled() {
        let reply = operator.get(&format!("orders/{order_id}")).await?;
        let record = record(&reply)?;
        if record.version() != version {
            version = record.version();
            match operator.output {
                Output::Table => output::print(&format!("{}\n", state(&record)))?,
                Output::Json => {
                    output::print(&format!("{{\"order\":{}}}\n", spelling::compact(record.bytes())))?
                }
            }
        }
        let page: Value = operator.get(&format!("deliveries?order_id={order_id}&limit=200")).await?.data()?;
        let mut all_have_ended = true;
        for delivery in page["deliveries"].as_array().into_iter().flatten().rev() {
            let field = |name: &str| table::cell(&delivery[name]);
            let is = format!("{} after {} attempts", field("state"), field("attempts"));
            all_have_ended &= delivery["state"] != "pending";
            if states.insert(field("delivery_id"), is.clone()).as_ref() == Some(&is) {
                continue;
            }
            match operator.output {
                Output::Table => output::print(&format!(
                    "  {} {} to endpoint {}: {is}\n",
                    field("event_type"),
                    field("delivery_id"),
                    field("endpoint_id")
                ))?,
                Output::Json => output::print_json(&serde_json::json!({"delivery": delivery}))?,
            }
        }
        let has_ended = matches!(
            record.status(&StatusCodes::default()),
            Ok(Some(OrderStatus::Known(status))) if status.has_ended()
        );
        if has_ended && all_have_ended {
            break;
        }
        tokio::select! { () = tokio::time::sleep(every.every) => {}, () = stop.cancelled() => {} }
    }
    Ok(Exit::Success)
}
