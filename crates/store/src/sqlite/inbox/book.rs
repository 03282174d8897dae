//! The inbox's commands. The heart of it: "seen this id" and "the view is updated" are one transaction.

use std::sync::{Arc, Mutex, PoisonError};

use hookit_contract::{DeliveryId, Freshness, OrderId, OrderStatus, RecordState, StatusCodes, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::watch;

use super::arrival::{Arrival, FoundBy, Part, Place};
use super::reconcile::Lacking;
use super::{expiry, moves, packing, quarantine, reconcile, sinks};
use crate::Error;
use crate::inbox::{
    Applied, Counts, HealOutcome, MoveAsked, MoveEnd, NewMove, Receipt, ReconcileStep, RunCause,
    SinkAdvanced, SinkEnd, SinkPosition, SinkWanted,
};
use crate::sqlite::writer::Book;
use crate::sqlite::{count, failed};

/// What is asked of the writing thread.
pub(super) enum Command {
    Receive(Box<Arrival>),
    PutSinks(Vec<SinkWanted>, Timestamp),
    SinkEnded(Box<str>, Vec<(i64, SinkEnd)>, Timestamp),
    HandOnAgain(Box<str>, Vec<i64>),
    ReconcileBegin(RunCause, Timestamp),
    Heal(i64, Vec<Lacking>),
    ReconcileStep(Box<ReconcileStep>),
    AskMove(Box<NewMove>),
    EndMove(String, MoveEnd),
    Expire(expiry::Step),
    Pack(packing::Step),
    Apply(i64, Box<Arrival>),
    Discard(i64),
}

/// What it answers.
pub(super) enum Reply {
    Received(Receipt),
    Sinks(Vec<SinkPosition>),
    Advanced(SinkAdvanced),
    Marked(usize),
    Begun(i64),
    Healed(Vec<HealOutcome>),
    Noted(()),
    MoveAsked(MoveAsked),
    MoveEnded(bool),
    Applied(Applied),
    Discarded(Option<DeliveryId>),
}

/// What everybody may see without asking the writing thread, as of the last commit.
#[derive(Clone)]
pub(super) struct Published {
    pub(super) counts: Arc<Mutex<Counts>>,
    /// The newest change.
    pub(super) changed: Arc<watch::Sender<i64>>,
}

impl Default for Published {
    fn default() -> Self {
        Published { counts: Arc::default(), changed: Arc::new(watch::Sender::new(0)) }
    }
}

/// What the writing thread knows between ticks.
pub(super) struct InboxBook {
    codes: StatusCodes,
    next_seq: i64,
    last_change: i64,
    counts: Counts,
    published: Published,
}

/// What one tick gathers.
pub(super) struct Tick {
    next_seq: i64,
    last_change: i64,
    pub(super) counts: Counts,
}

impl InboxBook {
    pub(super) fn load(db: &Connection, codes: StatusCodes, published: Published) -> Result<Self, Error> {
        let reading = failed("reading the totals");
        let last: Option<i64> = db
            .query_row("SELECT max(delivery_seq) FROM deliveries", [], |row| row.get(0))
            .map_err(&reading)?;
        let (orders, received, quarantined, last_change) = db
            .query_row("SELECT orders, received, quarantined, last_change FROM totals", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .map_err(&reading)?;
        let counts = Counts {
            orders: count(orders, "the total of orders")?,
            received: count(received, "the total of deliveries")?,
            quarantined: count(quarantined, "the total of the quarantine")?,
        };
        published.publish(counts, last_change);
        Ok(InboxBook { codes, next_seq: last.unwrap_or(0) + 1, last_change, counts, published })
    }
}

impl Published {
    fn publish(&self, counts: Counts, last_change: i64) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = counts;
        self.changed.send_if_modified(|newest| std::mem::replace(newest, last_change) != last_change);
    }
}

impl Book for InboxBook {
    type Command = Command;
    type Reply = Reply;
    type Tick = Tick;

    fn bytes(command: &Command) -> usize {
        match command {
            Command::Receive(arrival) | Command::Apply(_, arrival) => arrival_bytes(arrival),
            Command::PutSinks(sinks, _) => 64 * (1 + sinks.len()),
            Command::SinkEnded(_, ended, _) => 64 * (1 + ended.len()),
            Command::HandOnAgain(_, changes) => 64 + 8 * changes.len(),
            Command::Heal(_, lacking) => {
                lacking.iter().map(|one| 512 + arrival_bytes(&one.arrival)).sum::<usize>() + 64
            }
            Command::AskMove(new) => new.body.len() + 512,
            Command::Expire(expiry::Step::Deliveries(old)) => 64 + 8 * old.len(),
            Command::Pack(step) => step.bytes() + 64,
            Command::Expire(expiry::Step::Changes(_)) | Command::Discard(_) => 64,
            Command::ReconcileBegin(..) | Command::ReconcileStep(_) | Command::EndMove(..) => 512,
        }
    }

    fn begin(&mut self) -> Tick {
        Tick { next_seq: self.next_seq, last_change: self.last_change, counts: self.counts }
    }

    fn apply(&mut self, db: &Connection, tick: &mut Tick, command: &Command) -> Result<Reply, Error> {
        match command {
            Command::Receive(arrival) => receive(db, tick, &self.codes, arrival)
                .map(Reply::Received)
                .map_err(failed("receiving a delivery")),
            Command::PutSinks(wanted, now) => {
                sinks::put(db, wanted, tick.last_change, *now).map(Reply::Sinks)
            }
            Command::SinkEnded(name, ended, now) => sinks::ended(db, name, ended, *now)
                .map(Reply::Advanced)
                .map_err(failed("noting what ended for a sink")),
            Command::HandOnAgain(name, changes) => sinks::hand_on_again(db, name, changes)
                .map(Reply::Marked)
                .map_err(failed("asking for changes again")),
            Command::ReconcileBegin(cause, started_at) => reconcile::begin(db, *cause, *started_at)
                .map(Reply::Begun)
                .map_err(failed("beginning a reconciliation")),
            Command::Heal(run_id, lacking) => reconcile::heal(db, tick, &self.codes, *run_id, lacking)
                .map(Reply::Healed)
                .map_err(failed("healing the view")),
            Command::ReconcileStep(step) => reconcile::step(db, step)
                .map(Reply::Noted)
                .map_err(failed("noting how far a reconciliation is")),
            Command::AskMove(new) => {
                moves::ask(db, new).map(Reply::MoveAsked).map_err(failed("keeping a move"))
            }
            Command::Apply(quarantine_id, arrival) => {
                quarantine::apply(db, tick, &self.codes, *quarantine_id, arrival)
                    .map(Reply::Applied)
                    .map_err(failed("applying what is in quarantine"))
            }
            Command::Discard(quarantine_id) => quarantine::discard(db, tick, *quarantine_id)
                .map(Reply::Discarded)
                .map_err(failed("discarding what is in quarantine")),
            Command::Expire(step) => {
                expiry::remove(db, step).map(Reply::Noted).map_err(failed("removing what is old"))
            }
            Command::Pack(step) => {
                packing::put(db, step).map(Reply::Noted).map_err(failed("packing what is looked at seldom"))
            }
            Command::EndMove(move_id, end) => {
                moves::end(db, move_id, end).map(Reply::MoveEnded).map_err(failed("ending a move"))
            }
        }
    }

    fn finish(&mut self, db: &Connection, tick: &mut Tick) -> Result<(), Error> {
        if tick.counts == self.counts && tick.last_change == self.last_change {
            return Ok(());
        }
        let Counts { orders, received, quarantined } = tick.counts;
        db.prepare_cached("UPDATE totals SET orders = ?1, received = ?2, quarantined = ?3, last_change = ?4")
            .and_then(|mut s| {
                let [orders, received, quarantined] = [orders, received, quarantined].map(|n| n as i64);
                s.execute([orders, received, quarantined, tick.last_change])
            })
            .map(|_| ())
            .map_err(failed("writing the totals"))
    }

    fn committed(&mut self, tick: Tick) {
        self.next_seq = tick.next_seq;
        self.last_change = tick.last_change;
        self.counts = tick.counts;
        self.published.publish(tick.counts, tick.last_change);
    }
}

fn arrival_bytes(arrival: &Arrival) -> usize {
    arrival.received.body.len() + 512 * (1 + arrival.parts.len())
}

pub(super) fn receive(
    db: &Connection,
    tick: &mut Tick,
    codes: &StatusCodes,
    Arrival { received, headers, brand_id, branch_id, parts }: &Arrival,
) -> rusqlite::Result<Receipt> {
    let seq = tick.next_seq;
    let is_new = db
        .prepare_cached(
            "INSERT INTO deliveries (delivery_seq, delivery_id, event_type, body, received_at, source, secret, headers,
                 brand_id, branch_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (delivery_id) DO NOTHING",
        )?
        .execute(params![
            seq,
            received.delivery_id.as_str(),
            received.event_type,
            &received.body[..],
            received.received_at.as_millis(),
            received.source.as_str(),
            received.secret,
            headers,
            brand_id.map(|id| id.0),
            branch_id.map(|id| id.0),
        ])?
        > 0;
    if !is_new {
        return Ok(Receipt::Duplicate);
    }
    tick.next_seq += 1;
    tick.counts.received += 1;
    let (mut applied, mut stale, mut quarantined, mut jumped) = (0, 0, 0, 0);
    for (position, part) in (0i64..).zip(parts) {
        match part {
            Part::Order { order_id, state, found_by, place } => {
                let came = Came { seq, position, at: received.received_at };
                match receive_order(db, tick, codes, *order_id, state, found_by, *place, came)? {
                    Effect::Renewed { by_a_jump } => {
                        applied += 1;
                        jumped += usize::from(by_a_jump);
                    }
                    Effect::None => stale += 1,
                }
            }
            Part::Unreadable { position, reason, bytes } => {
                db.prepare_cached(
                    "INSERT INTO quarantine (delivery_seq, position, reason, bytes) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![seq, position, reason, &bytes[..]])?;
                tick.counts.quarantined += 1;
                quarantined += 1;
            }
        }
    }
    Ok(Receipt::Received { applied, stale, quarantined, jumped })
}

/// Where in which delivery a state came, and when.
#[derive(Clone, Copy)]
struct Came {
    seq: i64,
    position: i64,
    at: Timestamp,
}

/// What a state did to the view.
enum Effect {
    Renewed {
        /// By its version, there were others since the state that the view had.
        by_a_jump: bool,
    },
    None,
}

/// Takes one state of an order in.
#[expect(clippy::too_many_arguments, reason = "what a state is, where it stands, and how it came")]
fn receive_order(
    db: &Connection,
    tick: &mut Tick,
    codes: &StatusCodes,
    order_id: OrderId,
    state: &RecordState,
    found_by: &FoundBy,
    place: Place,
    came: Came,
) -> rusqlite::Result<Effect> {
    let kept = kept_order(db, codes, order_id, found_by)?;
    let is_newer =
        kept.as_ref().is_none_or(|kept| state.compare(&kept.state, &kept.seen) == Freshness::Newer);
    let seen = kept.as_ref().map_or(*state, |kept| kept.seen.highest(state));
    if is_newer {
        match &kept {
            None => {
                insert_order(db, codes, order_id, state, found_by, place, came)?;
                tick.counts.orders += 1;
            }
            Some(kept) => {
                renew_order(db, codes, order_id, state, &seen, place, came)?;
                if !kept.is_found_by_the_same {
                    find_order_by(db, order_id, found_by)?;
                }
            }
        }
        tick.last_change += 1;
        db.prepare_cached(
            "INSERT INTO changes (change_seq, order_id, delivery_seq, position, record_offset, record_bytes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            tick.last_change,
            order_id.0,
            came.seq,
            came.position,
            place.offset as i64,
            place.bytes as i64
        ])?;
    }
    if !is_newer && kept.as_ref().is_some_and(|kept| kept.seen != seen) {
        db.prepare_cached(
            "UPDATE orders SET seen_version = ?2, seen_updated_at = ?3, seen_status = ?4 WHERE order_id = ?1",
        )?
        .execute(params![
            order_id.0,
            seen.version,
            seen.updated_at.map(Timestamp::as_millis),
            seen.status.map(|s| codes.code_of(s))
        ])?;
    }
    // Also those of a state that changes nothing: an order of several brands comes once for each.
    for brand_id in &found_by.brands {
        db.prepare_cached("INSERT OR IGNORE INTO order_brands (brand_id, order_id) VALUES (?1, ?2)")?
            .execute([brand_id.0, order_id.0])?;
    }
    db.prepare_cached(
        "INSERT INTO order_history (order_id, delivery_seq, position, status, version, updated_at, applied)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        order_id.0,
        came.seq,
        came.position,
        state.status.map(|s| codes.code_of(s)),
        state.version,
        state.updated_at.map(Timestamp::as_millis),
        is_newer
    ])?;
    if !is_newer {
        return Ok(Effect::None);
    }
    let version_before = kept.map_or(Some(0), |kept| kept.state.version);
    let by_a_jump =
        state.version.zip(version_before).is_some_and(|(version, before)| version > before.saturating_add(1));
    Ok(Effect::Renewed { by_a_jump })
}

/// What the view has of an order.
struct Kept {
    state: RecordState,
    /// The highest that ever came of it.
    seen: RecordState,
    /// What it is looked for by is what the new state says, too.
    is_found_by_the_same: bool,
}

fn kept_order(
    db: &Connection,
    codes: &StatusCodes,
    order_id: OrderId,
    found_by: &FoundBy,
) -> rusqlite::Result<Option<Kept>> {
    db.prepare_cached(
        "SELECT version, updated_at, status, seen_version, seen_updated_at, seen_status,
             (branch_id, external_id, short_id, identity, created_at) IS (?2, ?3, ?4, ?5, ?6)
         FROM orders WHERE order_id = ?1",
    )?
    .query_row(found_by.columns(order_id), |row| {
        let state = |version, updated_at, code| -> rusqlite::Result<RecordState> {
            Ok(RecordState {
                version: row.get(version)?,
                updated_at: row.get::<_, Option<i64>>(updated_at)?.map(Timestamp::from_millis),
                status: status(codes, row.get(code)?),
            })
        };
        Ok(Kept { state: state(0, 1, 2)?, seen: state(3, 4, 5)?, is_found_by_the_same: row.get(6)? })
    })
    .optional()
}

pub(super) fn status(codes: &StatusCodes, code: Option<i64>) -> Option<OrderStatus> {
    code.map(|code| codes.status(code))
}

/// The first state of an order.
fn insert_order(
    db: &Connection,
    codes: &StatusCodes,
    order_id: OrderId,
    state: &RecordState,
    found_by: &FoundBy,
    place: Place,
    came: Came,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO orders (order_id, status, version, updated_at, delivery_seq, record_offset, record_bytes,
             received_at, branch_id, external_id, short_id, identity, created_at, seen_version, seen_updated_at,
             seen_status)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?3, ?4, ?2)",
    )?
    .execute(params![
        order_id.0,
        state.status.map(|s| codes.code_of(s)),
        state.version,
        state.updated_at.map(Timestamp::as_millis),
        came.seq,
        place.offset as i64,
        place.bytes as i64,
        came.at.as_millis(),
        found_by.branch_id.map(|id| id.0),
        found_by.external_id,
        found_by.short_id,
        found_by.identity,
        found_by.created_at.map(Timestamp::as_millis),
    ])
    .map(|_| ())
}

/// A newer state of an order. It touches no index but those of what a new state changes: SQLite writes to an index anew whenever
/// one of its columns is named, also with the value that it has.
fn renew_order(
    db: &Connection,
    codes: &StatusCodes,
    order_id: OrderId,
    state: &RecordState,
    seen: &RecordState,
    place: Place,
    came: Came,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE orders SET status = ?2, version = ?3, updated_at = ?4, delivery_seq = ?5, record_offset = ?6,
             record_bytes = ?7, received_at = ?8, seen_version = ?9, seen_updated_at = ?10, seen_status = ?11
         WHERE order_id = ?1",
    )?
    .execute(params![
        order_id.0,
        state.status.map(|s| codes.code_of(s)),
        state.version,
        state.updated_at.map(Timestamp::as_millis),
        came.seq,
        place.offset as i64,
        place.bytes as i64,
        came.at.as_millis(),
        seen.version,
        seen.updated_at.map(Timestamp::as_millis),
        seen.status.map(|s| codes.code_of(s)),
    ])
    .map(|_| ())
}

/// What an order is looked for by, where a new state says something else than the one before.
fn find_order_by(db: &Connection, order_id: OrderId, found_by: &FoundBy) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE orders SET branch_id = ?2, external_id = ?3, short_id = ?4, identity = ?5, created_at = ?6
         WHERE order_id = ?1",
    )?
    .execute(found_by.columns(order_id))
    .map(|_| ())
}
