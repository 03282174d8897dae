//! `hookit inbox status`, `orders`, `quarantine`, `again`: how an inbox stands, and what its people do with it.

use clap::Subcommand;
use serde_json::{Map, Value};

use super::table::{self, Column};
use super::{Operator, escaped, query, text};
use crate::client::Client;
use crate::config::READ_TOKEN;
use crate::exit::{Exit, usage};
use crate::inbox::WRITE_TOKEN;
use crate::output::{self, Output};

const ENVIRONMENT: &str = "\
Environment:
  HOOKIT_INBOX_TOKEN        A read token of the inbox, where it asks for one
  HOOKIT_INBOX_WRITE_TOKEN  The token that lets its bearer have something done

Exit codes: 0 where it was done, 2 for a wrong command line, 3 where there is no such thing, 4 where it was refused, 5 where the \
inbox does not answer";

/// What all of these commands take.
#[derive(clap::Args)]
#[command(after_help = ENVIRONMENT)]
pub(crate) struct Common {
    /// The inbox.
    #[arg(long, value_name = "URL", env = "HOOKIT_INBOX_URL", default_value = "http://127.0.0.1:8787")]
    inbox: String,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl Common {
    fn reader(&self) -> anyhow::Result<Operator> {
        let token = std::env::var(READ_TOKEN).ok().filter(|token| !token.is_empty());
        Ok(Operator { client: Client::new(&self.inbox, token.as_deref())?, output: self.output, base: "/" })
    }

    fn writer(&self) -> anyhow::Result<Operator> {
        let token = std::env::var(WRITE_TOKEN).map_err(|_| {
            usage(format!("{WRITE_TOKEN} is not set: it is the token that the inbox was started with"))
        })?;
        Ok(Operator { client: Client::new(&self.inbox, Some(&token))?, output: self.output, base: "/" })
    }
}

#[derive(clap::Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    common: Common,
}

/// The figures that are looked at first.
const FIGURES: [&str; 8] = [
    "orders",
    "deliveries",
    "last_delivery_at",
    "per_second_1m",
    "per_second_5m",
    "quarantined",
    "started_at",
    "version",
];

/// How the inbox and each of its sinks stand.
pub(crate) async fn status(args: StatusArgs) -> anyhow::Result<Exit> {
    let inbox = args.common.reader()?;
    let reply = inbox.get("status").await?;
    if inbox.output == Output::Json {
        return inbox.one(&reply);
    }
    let status: Value = reply.data()?;
    let mut figures = Map::new();
    for name in FIGURES {
        figures.insert(name.to_owned(), status[name].clone());
    }
    for name in ["duplicates", "stale"] {
        figures.insert(name.to_owned(), status["since_start"][name].clone());
    }
    // Reasons that there were none for say nothing.
    for part in ["refused", "by_secret"] {
        let all = status["since_start"][part].as_object();
        let some = all.into_iter().flatten().filter(|(_, count)| **count != 0);
        let some: Map<_, _> = some.map(|(name, count)| (name.clone(), count.clone())).collect();
        figures.insert(part.to_owned(), if some.is_empty() { "none".into() } else { some.into() });
    }
    let mut reconcile = status["reconcile"].clone();
    if reconcile.is_null() {
        reconcile = "no credential to ask with".into();
    }
    figures.insert("reconcile".to_owned(), reconcile);
    let columns = [
        Column("SINK", "name"),
        Column("KIND", "kind"),
        Column("STATE", "state"),
        Column("SINCE", "since"),
        Column("LAG", "lag_changes"),
        Column("LAG ms", "lag_ms"),
        Column("HANDED ON", "handed_on"),
        Column("GIVEN UP", "given_up"),
        Column("LAST ERROR", "error"),
    ];
    let sinks = table::rows(&columns, status["sinks"].as_array().map(Vec::as_slice).unwrap_or_default());
    output::print(&format!("{}\n{sinks}", table::fields(&Value::Object(figures))))?;
    Ok(Exit::Success)
}

#[derive(clap::Args)]
pub(crate) struct OrdersArgs {
    #[command(flatten)]
    common: Common,
    /// Only orders in one of these: names or codes, with commas between them.
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// Only orders of this brand.
    #[arg(long, value_name = "ID")]
    brand_id: Option<i64>,
    /// Only orders of this branch.
    #[arg(long, value_name = "ID")]
    branch_id: Option<i64>,
    /// Only the order of this id, and those with an external or short id that begins so.
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Only orders whose newest state came at this time or later.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Orders behind this id: where the page before has ended.
    #[arg(long, value_name = "ID")]
    after: Option<i64>,
    /// How many.
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
}

/// The view.
pub(crate) async fn orders(args: OrdersArgs) -> anyhow::Result<Exit> {
    let inbox = args.common.reader()?;
    let query = query(&[
        ("status", args.status),
        ("brand_id", text(args.brand_id.as_ref())),
        ("branch_id", text(args.branch_id.as_ref())),
        ("text", args.text),
        ("received_since", args.since),
        ("after", text(args.after.as_ref())),
        ("limit", text(args.limit.as_ref())),
    ]);
    let reply = inbox.get(&format!("orders{query}")).await?;
    let columns = [
        Column("ORDER", "id"),
        Column("SHORT", "short_id"),
        Column("STATUS", "status"),
        Column("VERSION", "version"),
        Column("BRANCH", "branch_id"),
        Column("UPDATED", "updated_at"),
        Column("PRICE", "final_price"),
        Column("CURRENCY", "currency"),
    ];
    inbox.list(&reply, "orders", &columns)
}

#[derive(Subcommand)]
pub(crate) enum QuarantineCommand {
    /// What is genuine and could not be read.
    List {
        #[command(flatten)]
        common: Common,
        /// Things behind this one: where the page before has ended.
        #[arg(long, value_name = "ID")]
        after: Option<i64>,
        /// How many.
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
    },
    /// One thing, with its bytes.
    Show {
        #[command(flatten)]
        common: Common,
        /// Its number.
        id: i64,
    },
    /// Reads one thing anew, or everything: what reads now enters the view.
    Apply {
        #[command(flatten)]
        common: Common,
        /// Its number; everything where none is given.
        id: Option<i64>,
    },
    /// Takes one thing out for good, unread; a repeat of its delivery is ignored still.
    Discard {
        #[command(flatten)]
        common: Common,
        /// Its number.
        id: i64,
    },
}

pub(crate) async fn quarantine(command: QuarantineCommand) -> anyhow::Result<Exit> {
    match command {
        QuarantineCommand::List { common, after, limit } => {
            let inbox = common.reader()?;
            let query = query(&[("after", text(after.as_ref())), ("limit", text(limit.as_ref()))]);
            let reply = inbox.get(&format!("quarantine{query}")).await?;
            let columns = [
                Column("ID", "quarantine_id"),
                Column("RECEIVED", "received_at"),
                Column("DELIVERY", "delivery_id"),
                Column("REASON", "reason"),
            ];
            inbox.list(&reply, "quarantine", &columns)
        }
        QuarantineCommand::Show { common, id } => {
            let inbox = common.reader()?;
            inbox.one(&inbox.get(&format!("quarantine/{id}")).await?)
        }
        QuarantineCommand::Apply { common, id } => {
            let inbox = common.writer()?;
            let path =
                id.map_or_else(|| "quarantine/apply".to_owned(), |id| format!("quarantine/{id}/apply"));
            inbox.one(&inbox.post(&path).await?)
        }
        QuarantineCommand::Discard { common, id } => {
            let inbox = common.writer()?;
            inbox.one(&inbox.post(&format!("quarantine/{id}/discard")).await?)
        }
    }
}

#[derive(clap::Args)]
pub(crate) struct AgainArgs {
    #[command(flatten)]
    common: Common,
    /// The sink's name.
    sink: String,
}

/// Hands on again what a sink has given up.
pub(crate) async fn again(args: AgainArgs) -> anyhow::Result<Exit> {
    let inbox = args.common.writer()?;
    inbox.one(&inbox.post(&format!("sinks/{}/again", escaped(&args.sink))).await?)
}
