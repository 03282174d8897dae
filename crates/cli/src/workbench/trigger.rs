//! `hookit trigger`: one realistic, signed event to a receiver, and the exchange for everybody to see.

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use hookit_contract::{
    AttemptOutcome, Clock as _, EventType, KnownStatus, OrderStatus, Record, StatusCodes, envelope_bytes,
};
use hookit_egress::{Attempt, Timings};
use hookit_server::SystemClock;
use serde_json::json;

use super::events::{BasicArgs, Event, Maker, ORDERS_MAX, Sender, millis};
use super::spelling::pretty;
use super::{ENVIRONMENT, SecretArgs, read_body};
use crate::exit::{Exit, usage};
use crate::output::{self, Output};

#[derive(clap::Args)]
#[command(after_help = ENVIRONMENT)]
pub(crate) struct Args {
    /// What happened: created, status, cart, or an event type's whole name.
    #[arg(value_name = "EVENT", value_parser = event_type)]
    event_type: EventType,
    /// The receiver.
    #[arg(long, value_name = "URL")]
    to: String,
    #[command(flatten)]
    secrets: SecretArgs,
    #[command(flatten)]
    basic: BasicArgs,
    /// The orders' status, a name or a code, also an unknown one; PLACED for a new order and ACCEPTED else.
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<OrderStatus>,
    /// How many orders are in it.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=ORDERS_MAX as i64))]
    orders: u32,
    /// Your own order record, sent as it stands; or a whole body, which is an object with `orders`. - is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["status", "orders"])]
    record: Option<PathBuf>,
    /// The x-klikit-event-id; a new one unless given.
    #[arg(long, value_name = "ID")]
    event_id: Option<String>,
    /// Sends it so many times, with the same id and bytes.
    #[arg(long, value_name = "N", default_value = "1")]
    repeat: NonZeroU32,
    /// The same orders for the same number, but for their ids and times.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// How to print each exchange.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Reads an event type of an argument.
pub(crate) fn event_type(text: &str) -> Result<EventType, String> {
    match text {
        "created" => Ok(EventType::OrderCreated),
        "status" => Ok(EventType::OrderStatusUpdated),
        "cart" => Ok(EventType::OrderCartUpdated),
        name => name.parse().map_err(|_| {
            let names = EventType::ALL.map(EventType::as_str).join(", ");
            format!("expected created, status, cart, or one of {names}")
        }),
    }
}

fn status(text: &str) -> Result<OrderStatus, String> {
    let code = text.parse().ok().map(|code| StatusCodes::default().status(code));
    code.or_else(|| KnownStatus::from_name(text).map(OrderStatus::Known))
        .ok_or_else(|| format!("expected a number, or one of {}", KnownStatus::names()))
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let secret = args.secrets.read_one()?.secret;
    let sender = Sender::new(&args.to, &secret, &args.basic)?;
    let body = match &args.record {
        Some(file) => {
            let body = read_body(file)?;
            own_body(body).map_err(|error| usage(format!("--record {}: {error:#}", file.display())))?
        }
        None => {
            let status = args.status.unwrap_or(OrderStatus::Known(match args.event_type {
                EventType::OrderCreated => KnownStatus::Placed,
                EventType::OrderStatusUpdated | EventType::OrderCartUpdated => KnownStatus::Accepted,
            }));
            Maker::new(args.seed)?.batch(args.orders as usize, status, SystemClock.now())?.body()
        }
    };
    let mut event = Event::new(args.event_type, body);
    if let Some(id) = args.event_id {
        event.id = id;
    }
    let mut exit = Exit::Success;
    for _ in 0..args.repeat.get() {
        let attempt = sender.send(&event).await?;
        match args.output {
            Output::Table => output::print(&shown(&sender, &event, &attempt)?)?,
            Output::Json => output::print_json(&json!({
                "event_id": event.id, "event_type": event.event_type, "url": args.to, "body_bytes": event.body.len(),
                "outcome": attempt.outcome, "status": attempt.status, "answer": String::from_utf8_lossy(&attempt.answer),
                "error": attempt.error, "duration_ms": attempt.timings.total.map(millis),
                "first_byte_ms": attempt.timings.first_byte.map(millis),
            }))?,
        }
        exit = match attempt.outcome {
            AttemptOutcome::Acknowledged => exit,
            AttemptOutcome::Refused => Exit::Refused,
            _ => Exit::Unreachable,
        };
    }
    Ok(exit)
}

/// The body of what somebody has written: a record in an envelope, or an envelope as it stands.
fn own_body(text: Bytes) -> anyhow::Result<Bytes> {
    let record = Record::parse(text)?;
    if record.get("orders").is_some() {
        return Ok(record.bytes().clone());
    }
    let brand_id = record.brand_ids()?.first().copied();
    let brand_id =
        brand_id.ok_or_else(|| usage("brands: expected at least one, which the body's brand_id is"))?;
    let branch_id = record.branch_id()?;
    let branch_id = branch_id.ok_or_else(|| usage("branch_id: expected the body's branch_id"))?;
    Ok(envelope_bytes(brand_id, branch_id, &[record.bytes()]))
}

/// An exchange as people want to see it.
fn shown(sender: &Sender, event: &Event, attempt: &Attempt) -> anyhow::Result<String> {
    let mut out = String::new();
    // Writing to a text cannot fail.
    let _ = writeln!(out, "→ POST {}", sender.url);
    for (name, value) in &event.headers(&sender.secret)? {
        let _ = writeln!(out, "  {name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    let _ = writeln!(out, "\n{}\n", indented(&pretty(&event.body)));
    let status = attempt.status.map_or_else(String::new, |status| format!("{status} "));
    let _ = writeln!(out, "← {status}{} {}", attempt.outcome, times(&attempt.timings));
    if let Some(error) = &attempt.error {
        let _ = writeln!(out, "  {error}");
    }
    if !attempt.answer.is_empty() {
        let _ = writeln!(out, "{}", indented(&pretty(&attempt.answer)));
    }
    Ok(out)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn times(timings: &Timings) -> String {
    let named = [
        ("name", timings.resolve),
        ("connection", timings.connect),
        ("TLS", timings.tls),
        ("first byte", timings.first_byte),
    ];
    let parts: Vec<String> =
        named.iter().filter_map(|(name, time)| Some(format!("{name} {} ms", millis((*time)?)))).collect();
    let total = millis(timings.total.unwrap_or(Duration::ZERO));
    if parts.is_empty() { format!("in {total} ms") } else { format!("in {total} ms ({})", parts.join(", ")) }
}
