//! `hookit bench`: how fast it is on this machine, each figure beside a baseline of the same run.
//!
//! The platform, or the inbox, is this program as a child process, on a temporary folder and a port of its own; load and endpoints are
//! in this process, on loopback. All of it shares the machine, so ratios within a run say more than figures.
//! `docs/benchmarks.md` has the targets and what was measured.
//!
//! What this module must not do: call anything inside either half, but to fill a store and to have it packed. What is measured is
//! what a client sees.

#![expect(clippy::disallowed_methods, reason = "a bench measures time, and owns the tasks of its load")]

mod backlog;
mod bulk;
mod console;
mod e2e;
mod echo;
mod fill;
mod growth;
mod inbox;
mod isolation;
mod load;
mod packing;
mod relay;
mod rig;
mod view;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::exit::Exit;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    bench: Bench,
    /// How to print the figures.
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// How long each measurement lasts.
    #[arg(long, global = true, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// The folder in which a temporary one is made for the data; gone at the end. The system's own where none is given.
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For scripts.
    Json,
}

#[derive(clap::Subcommand)]
enum Bench {
    /// Single orders, from the post to the endpoint, beside a relay that stores nothing.
    E2e,
    /// Orders through the bulk call, beside the same relay.
    Bulk,
    /// Many deliveries that wait for a dead endpoint: memory, restart, and the drain when it is back.
    Backlog {
        /// Deliveries that wait.
        #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
        deliveries: u64,
    },
    /// Ten endpoints with and without a hanging one among them.
    Isolation,
    /// The cost of an event in an empty store and in a full one.
    Growth {
        /// Events in the full store.
        #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(100..))]
        events: u64,
    },
    /// The console's pages over many deliveries, beside those of a nearly empty store, and its board while orders change.
    Console {
        /// Deliveries in the store.
        #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(10..))]
        deliveries: u64,
    },
    /// Signed deliveries to the inbox, to its durable acknowledgement, beside a server that only answers.
    Inbox {
        /// Deliveries over which its memory is watched.
        #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10..))]
        deliveries: u64,
    },
    /// Each way to look for orders in a large view, beside the same in a small one.
    View {
        /// Orders in the large view.
        #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..))]
        orders: u64,
    },
    /// What the inbox's bodies take before and after they are packed, and what packing costs.
    Packing {
        /// Deliveries, four of each order.
        #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(4..))]
        deliveries: u64,
    },
    /// The inbox's baseline: answers, and stores nothing.
    #[command(hide = true)]
    Echo,
    /// The baseline: acknowledges and forwards, and stores nothing.
    #[command(hide = true)]
    Relay {
        /// Where to forward to.
        #[arg(long)]
        to: String,
    },
}

/// What the benches share of the command line.
struct Settings {
    time: Duration,
    dir: PathBuf,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let settings = Settings {
        time: Duration::from_secs(args.seconds),
        dir: args.dir.unwrap_or_else(std::env::temp_dir),
    };
    let figures = match args.bench {
        Bench::E2e => figures(&e2e::run(&settings).await?)?,
        Bench::Bulk => figures(&bulk::run(&settings).await?)?,
        Bench::Backlog { deliveries } => figures(&backlog::run(&settings, deliveries).await?)?,
        Bench::Isolation => figures(&isolation::run(&settings).await?)?,
        Bench::Growth { events } => figures(&growth::run(&settings, events).await?)?,
        Bench::Console { deliveries } => figures(&console::run(&settings, deliveries).await?)?,
        Bench::Inbox { deliveries } => figures(&inbox::run(&settings, deliveries).await?)?,
        Bench::View { orders } => figures(&view::run(&settings, orders).await?)?,
        Bench::Packing { deliveries } => figures(&packing::run(&settings, deliveries).await?)?,
        Bench::Echo => {
            echo::serve().await?;
            return Ok(Exit::Success);
        }
        Bench::Relay { to } => {
            relay::serve(&to).await?;
            return Ok(Exit::Success);
        }
    };
    let text = match args.output {
        Output::Json => format!("{}\n", serde_json::to_string(&figures)?),
        Output::Table => table(&figures),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(Exit::Success)
}

fn figures(figures: &impl Serialize) -> anyhow::Result<Map<String, Value>> {
    match serde_json::to_value(figures)? {
        Value::Object(figures) => Ok(figures),
        other => anyhow::bail!("figures are an object, not {other}"),
    }
}

fn table(figures: &Map<String, Value>) -> String {
    let width = figures.keys().map(String::len).max().unwrap_or(0);
    let line = |(name, value): (&String, &Value)| match value.as_f64() {
        Some(number) if value.is_f64() => format!("{name:width$}  {number:>12.2}\n"),
        _ => format!("{name:width$}  {:>12}\n", value.to_string()),
    };
    figures.iter().map(line).collect()
}

/// A word of what is being done, for whoever waits.
fn progress(text: &str) {
    // A closed standard error is no reason to stop.
    let _ = writeln!(std::io::stderr(), "bench: {text}");
}
