//! `hookit delivery`: what was sent, what waits, and what was given up.

use std::collections::BTreeMap;

use serde_json::Value;

use super::table::{self, Column};
use super::{Common, Every, Operator, Page, escaped, query, text};
use crate::exit::Exit;
use crate::output::{self, Output};
use crate::signals;
use crate::workbench::trigger::event_type;

/// Deliveries that are asked for at a time.
const PAGE: usize = 200;

/// Pending deliveries whose end is waited for; others are looked up by hand.
const FOLLOWED_MAX: usize = 200;

pub(super) const COLUMNS: [Column; 7] = [
    Column("DELIVERY", "delivery_id"),
    Column("EVENT", "event_type"),
    Column("ENDPOINT", "endpoint_id"),
    Column("STATE", "state"),
    Column("ATTEMPTS", "attempts"),
    Column("CREATED", "created_at"),
    Column("NEXT", "next_attempt_at"),
];

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Deliveries, the newest first.
    List(List),
    /// One delivery with its attempts.
    Show { delivery_id: String },
    /// Sends a delivery again that has ended, with the same id and bytes.
    Replay { delivery_id: String },
    /// Takes a delivery back that is pending.
    Cancel {
        delivery_id: String,
        /// In whose name; the token's unless given.
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
    },
    /// Shows deliveries as they come and end, until Ctrl-C.
    Tail {
        /// Only those to this endpoint.
        #[arg(long, value_name = "ID")]
        endpoint_id: Option<i64>,
        #[command(flatten)]
        every: Every,
    },
}

#[derive(clap::Args)]
struct List {
    /// pending, delivered, dead, cancelled or superseded.
    #[arg(long)]
    state: Option<String>,
    /// Only those to this endpoint.
    #[arg(long, value_name = "ID")]
    endpoint_id: Option<i64>,
    /// Only those with this order.
    #[arg(long, value_name = "ID")]
    order_id: Option<i64>,
    /// created, status, cart, or an event type's whole name.
    #[arg(long, value_name = "EVENT", value_parser = event_type)]
    event_type: Option<hookit_contract::EventType>,
    /// From this time on (RFC 3339).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    page: Page,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let operator = args.common.operator()?;
    match args.command {
        Command::List(list) => {
            let query = query(&[
                ("state", list.state),
                ("endpoint_id", text(list.endpoint_id.as_ref())),
                ("order_id", text(list.order_id.as_ref())),
                ("event_type", text(list.event_type.as_ref())),
                ("since", list.since),
                ("until", list.until),
                ("limit", text(list.page.limit.as_ref())),
                ("before", text(list.page.before.as_ref())),
            ]);
            operator.list(&operator.get(&format!("deliveries{query}")).await?, "deliveries", &COLUMNS)
        }
        Command::Show { delivery_id } => show(&operator, &delivery_id).await,
        Command::Replay { delivery_id } => {
            operator.one(&operator.post(&format!("deliveries/{}/replay", escaped(&delivery_id))).await?)
        }
        Command::Cancel { delivery_id, by } => {
            let path = format!("deliveries/{}/cancel{}", escaped(&delivery_id), query(&[("by", by)]));
            operator.one(&operator.post(&path).await?)
        }
        Command::Tail { endpoint_id, every } => tail(&operator, endpoint_id, every).await,
    }
}

async fn show(operator: &Operator, delivery_id: &str) -> anyhow::Result<Exit> {
    let reply = operator.get(&format!("deliveries/{}", escaped(delivery_id))).await?;
    if operator.output == Output::Json {
        return operator.one(&reply);
    }
    let mut delivery: Value = reply.data()?;
    let log = delivery.as_object_mut().and_then(|fields| fields.remove("log")).unwrap_or_default();
    let columns = [
        Column("ATTEMPT", "attempt"),
        Column("STARTED", "started_at"),
        Column("OUTCOME", "outcome"),
        Column("STATUS", "status"),
        Column("µs", "duration_us"),
        Column("ANSWER", "answer"),
        Column("ERROR", "error"),
    ];
    let attempts = table::rows(&columns, log.as_array().map(Vec::as_slice).unwrap_or_default());
    output::print(&format!("{}\n{attempts}", table::fields(&delivery)))?;
    Ok(Exit::Success)
}

async fn tail(operator: &Operator, endpoint_id: Option<i64>, every: Every) -> anyhow::Result<Exit> {
    let stop = signals::stop_token()?;
    let mut last = None;
    let mut pending: BTreeMap<i64, String> = BTreeMap::new();
    while !stop.is_cancelled() {
        let mut fresh = newer(operator, endpoint_id, last).await?;
        fresh.sort_by_key(seq);
        if last.is_none() {
            // What was there before belongs to `list`; only the end of what is pending is news.
            last = Some(fresh.last().map_or(0, seq));
            fresh.retain(|delivery| delivery["state"] == "pending");
        } else {
            last = last.max(fresh.last().map(seq));
            for delivery in &fresh {
                print(operator, delivery)?;
            }
        }
        for delivery in fresh {
            if delivery["state"] == "pending" && pending.len() < FOLLOWED_MAX {
                pending.insert(seq(&delivery), table::cell(&delivery["delivery_id"]));
            }
        }
        for (seq, delivery_id) in pending.clone() {
            let delivery: Value =
                operator.get(&format!("deliveries/{}", escaped(&delivery_id))).await?.data()?;
            if delivery["state"] != "pending" {
                pending.remove(&seq);
                print(operator, &delivery)?;
            }
        }
        tokio::select! { () = tokio::time::sleep(every.every) => {}, () = stop.cancelled() => {} }
    }
    Ok(Exit::Success)
}

fn seq(delivery: &Value) -> i64 {
    delivery["seq"].as_i64().unwrap_or_default()
}

/// Deliveries that are newer than the last one that was seen; the newest page only, where none was.
async fn newer(
    operator: &Operator,
    endpoint_id: Option<i64>,
    last: Option<i64>,
) -> anyhow::Result<Vec<Value>> {
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let query = query(&[
            ("endpoint_id", text(endpoint_id.as_ref())),
            ("limit", Some(PAGE.to_string())),
            ("before", before.take()),
        ]);
        let mut page: Value = operator.get(&format!("deliveries{query}")).await?.data()?;
        let Value::Array(deliveries) = page["deliveries"].take() else { return Ok(found) };
        found.extend(deliveries.into_iter().filter(|delivery| last.is_none_or(|last| seq(delivery) > last)));
        match (last, page["next_before"].as_i64()) {
            (Some(last), Some(next)) if next > last => before = Some(next.to_string()),
            _ => return Ok(found),
        }
    }
}

fn print(operator: &Operator, delivery: &Value) -> anyhow::Result<()> {
    if operator.output == Output::Json {
        return output::print_json(delivery);
    }
    let orders: Vec<String> = delivery["orders"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|order| format!("{} v{}", table::cell(&order["order_id"]), table::cell(&order["version"])))
        .collect();
    let field = |name: &str| table::cell(&delivery[name]);
    let at = if delivery["finished_at"].is_null() { field("created_at") } else { field("finished_at") };
    output::print(&format!(
        "{at}  {:<10}  {}  {}  endpoint {}  order {}\n",
        field("state"),
        field("delivery_id"),
        field("event_type"),
        field("endpoint_id"),
        orders.join(", ")
    ))
}
