//! `hookit replay`: many deliveries again, by a filter, as a durable job of the platform.

use std::io::{IsTerminal as _, Write as _};

use hookit_contract::EventType;
use http::Method;
use serde_json::Value;

use super::table::{self, Column};
use super::{Common, Every, Operator, Page, body, query, text};
use crate::exit::Exit;
use crate::output::Output;
use crate::signals;
use crate::workbench::trigger::event_type;

/// Characters of a whole progress bar.
const BAR: usize = 30;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Replays, the newest first.
    List(Page),
    /// One replay with its progress.
    Show { replay_id: i64 },
    /// Begins a replay of what the filter names.
    Start(Box<Start>),
    /// Shows the progress of a replay until it has ended.
    Watch {
        replay_id: i64,
        #[command(flatten)]
        every: Every,
    },
    /// Sends no more for now.
    Pause { replay_id: i64 },
    /// Goes on with one that was paused.
    Resume { replay_id: i64 },
    /// Ends a replay; what is in line of it is taken back.
    Cancel { replay_id: i64 },
}

#[derive(clap::Args)]
struct Start {
    /// Only those that are so: delivered, dead, cancelled or superseded.
    #[arg(long)]
    state: Option<String>,
    /// Only those to this endpoint.
    #[arg(long, value_name = "ID")]
    endpoint_id: Option<i64>,
    /// Only those of this registration.
    #[arg(long, value_name = "ID")]
    webhook_id: Option<i64>,
    /// Only those with this order.
    #[arg(long, value_name = "ID")]
    order_id: Option<i64>,
    /// created, status, cart, or an event type's whole name.
    #[arg(long, value_name = "EVENT", value_parser = event_type)]
    event_type: Option<EventType>,
    /// From this time on (RFC 3339).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only says how many deliveries it would be.
    #[arg(long)]
    dry_run: bool,
    /// New deliveries with ids of their own, for a partner that acknowledged and then lost.
    #[arg(long)]
    new_ids: bool,
    /// What the registration has missed, rather than what was sent once.
    #[arg(long)]
    missed: bool,
    /// Every state, rather than each order's newest record once; for --new-ids and --missed.
    #[arg(long)]
    history: bool,
    /// Waits for its end, and shows the progress.
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    #[command(flatten)]
    every: Every,
}

impl Start {
    fn body(&self) -> String {
        let text = |value: &Option<String>| value.clone().map(Value::from);
        let filter = body(vec![
            ("state", text(&self.state)),
            ("endpoint_id", self.endpoint_id.map(Into::into)),
            ("webhook_id", self.webhook_id.map(Into::into)),
            ("order_id", self.order_id.map(Into::into)),
            ("event_type", self.event_type.map(|event_type| event_type.as_str().into())),
            ("since", text(&self.since)),
            ("until", text(&self.until)),
        ]);
        let flag = |is: bool| is.then(|| Value::from(true));
        body(vec![
            ("filter", serde_json::from_str(&filter).ok()),
            ("dry_run", flag(self.dry_run)),
            ("new_ids", flag(self.new_ids)),
            ("missed", flag(self.missed)),
            ("history", flag(self.history)),
        ])
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let operator = args.common.operator()?;
    let post = async |replay_id: i64, verb: &str| {
        operator.one(&operator.post(&format!("replays/{replay_id}/{verb}")).await?)
    };
    match args.command {
        Command::List(page) => {
            let query =
                query(&[("limit", text(page.limit.as_ref())), ("before", text(page.before.as_ref()))]);
            let columns = [
                Column("REPLAY", "replay_id"),
                Column("STATE", "state"),
                Column("PROGRESS", "progress"),
                Column("QUEUED", "queued"),
                Column("PENDING", "pending"),
                Column("DELIVERED", "delivered"),
                Column("DEAD", "dead"),
                Column("CREATED", "created_at"),
                Column("FILTER", "filter"),
            ];
            operator.list(&operator.get(&format!("replays{query}")).await?, "replays", &columns)
        }
        Command::Show { replay_id } => operator.one(&operator.get(&format!("replays/{replay_id}")).await?),
        Command::Start(start) => {
            let reply = operator.send(Method::POST, "replays", start.body()).await?;
            let begun: Value = reply.data()?;
            match begun["replay_id"].as_i64() {
                Some(replay_id) if start.wait => watch(&operator, replay_id, start.every).await,
                _ => operator.one(&reply),
            }
        }
        Command::Watch { replay_id, every } => watch(&operator, replay_id, every).await,
        Command::Pause { replay_id } => post(replay_id, "pause").await,
        Command::Resume { replay_id } => post(replay_id, "resume").await,
        Command::Cancel { replay_id } => post(replay_id, "cancel").await,
    }
}

/// Follows a replay to its end, with a bar for those who sit at a terminal, and prints what became of it.
async fn watch(operator: &Operator, replay_id: i64, every: Every) -> anyhow::Result<Exit> {
    let stop = signals::stop_token()?;
    let has_bar = operator.output == Output::Table && std::io::stderr().is_terminal();
    loop {
        let reply = operator.get(&format!("replays/{replay_id}")).await?;
        let replay: Value = reply.data()?;
        if has_bar {
            // Progress is for whoever looks; a closed standard error is no reason to stop.
            let _ = write!(std::io::stderr(), "\r{}\x1b[K", bar(&replay));
        }
        if !replay["finished_at"].is_null() || stop.is_cancelled() {
            if has_bar {
                let _ = writeln!(std::io::stderr());
            }
            let given_up = replay["dead"].as_u64().is_some_and(|dead| dead > 0);
            operator.one(&reply)?;
            return Ok(if given_up { Exit::Differs } else { Exit::Success });
        }
        tokio::select! { () = tokio::time::sleep(every.every) => {}, () = stop.cancelled() => {} }
    }
}

fn bar(replay: &Value) -> String {
    let done = replay["progress"].as_f64().unwrap_or_default().clamp(0.0, 1.0);
    // Between 0 and the bar's length: nothing is lost.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 30")]
    let full = (done * BAR as f64) as usize;
    let field = |name: &str| table::cell(&replay[name]);
    format!(
        "{}{} {:3.0} % looked through · {} in line · {} delivered · {} dead · {}",
        "█".repeat(full),
        "░".repeat(BAR - full),
        done * 100.0,
        field("pending"),
        field("delivered"),
        field("dead"),
        field("state")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_bar_says_how_far_a_replay_is() {
        let shown =
            bar(&json!({"progress": 0.5, "pending": 3, "delivered": 120, "dead": 0, "state": "running"}));
        assert_eq!(
            shown,
            format!(
                "{}{}  50 % looked through · 3 in line · 120 delivered · 0 dead · running",
                "█".repeat(15),
                "░".repeat(15)
            )
        );
    }
}
