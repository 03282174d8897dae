//! `hookit status`: how the platform and each endpoint stand.

use serde_json::{Map, Value};

use super::Common;
use super::table::{self, Column};
use crate::exit::Exit;
use crate::output::{self, Output};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
}

/// The figures that are looked at first.
const FIGURES: [&str; 10] = [
    "orders",
    "events",
    "pending",
    "in_flight",
    "delivered",
    "dead",
    "cancelled",
    "superseded",
    "attempts",
    "oldest_pending_age_ms",
];

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let operator = args.common.operator()?;
    let reply = operator.get("status").await?;
    if operator.output == Output::Json {
        return operator.one(&reply);
    }
    let status: Value = reply.data()?;
    let mut figures = Map::new();
    for name in FIGURES {
        figures.insert(name.to_owned(), status[name].clone());
    }
    for (name, path) in [("latency_p50_us", "/latency/p50_us"), ("latency_p99_us", "/latency/p99_us")] {
        figures.insert(name.to_owned(), status.pointer(path).cloned().unwrap_or_default());
    }
    let columns = [
        Column("ENDPOINT", "endpoint_id"),
        Column("PARTNER", "partner_id"),
        Column("BREAKER", "breaker"),
        Column("SINCE", "breaker_since"),
        Column("HELD", "hold.reason"),
        Column("LAST FAILURE", "last_failure.outcome"),
        Column("PENDING", "pending"),
        Column("OLDEST ms", "oldest_pending_age_ms"),
        Column("IN FLIGHT", "in_flight"),
        Column("URL", "url"),
    ];
    let endpoints =
        table::rows(&columns, status["endpoints"].as_array().map(Vec::as_slice).unwrap_or_default());
    output::print(&format!("{}\n{endpoints}", table::fields(&Value::Object(figures))))?;
    Ok(Exit::Success)
}
