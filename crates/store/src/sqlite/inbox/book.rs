//! The inbox's one command: "seen this id" and "the view is updated" in one transaction.

use std::sync::{Arc, Mutex, PoisonError};

use hookit_contract::{Freshness, OrderId, OrderStatus, RecordState, StatusCodes, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::arrival::{Arrival, Part};
use crate::Error;
use crate::inbox::{Counts, Receipt};
use crate::sqlite::writer::Book;
use crate::sqlite::{count, failed};

/// What the writing thread knows between ticks.
pub(super) struct InboxBook {
    codes: StatusCodes,
    next_seq: i64,
    counts: Counts,
    published: Arc<Mutex<Counts>>,
}

/// What one tick gathers.
pub(super) struct Tick {
    next_seq: i64,
    counts: Counts,
}

impl InboxBook {
    pub(super) fn load(
        db: &Connection,
        codes: StatusCodes,
        published: Arc<Mutex<Counts>>,
    ) -> Result<Self, Error> {
        let reading = failed("reading the totals");
        let last: Option<i64> = db
            .query_row("SELECT max(delivery_seq) FROM deliveries", [], |row| row.get(0))
            .map_err(&reading)?;
        let (orders, received, quarantined) = db
            .query_row("SELECT orders, received, quarantined FROM totals", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .map_err(&reading)?;
        let counts = Counts {
            orders: count(orders, "the total of orders")?,
            received: count(received, "the total of deliveries")?,
            quarantined: count(quarantined, "the total of the quarantine")?,
        };
        *published.lock().unwrap_or_else(PoisonError::into_inner) = counts;
        Ok(InboxBook { codes, next_seq: last.unwrap_or(0) + 1, counts, published })
    }
}

impl Book for InboxBook {
    type Command = Arrival;
    type Reply = Receipt;
    type Tick = Tick;

    fn bytes(arrival: &Arrival) -> usize {
        arrival.received.body.len() + 256 * (1 + arrival.parts.len())
    }

    fn begin(&mut self) -> Tick {
        Tick { next_seq: self.next_seq, counts: self.counts }
    }

    fn apply(&mut self, db: &Connection, tick: &mut Tick, arrival: &Arrival) -> Result<Receipt, Error> {
        receive(db, tick, &self.codes, arrival).map_err(failed("receiving a delivery"))
    }

    fn finish(&mut self, db: &Connection, tick: &mut Tick) -> Result<(), Error> {
        if tick.counts == self.counts {
            return Ok(());
        }
        let Counts { orders, received, quarantined } = tick.counts;
        db.prepare_cached("UPDATE totals SET orders = ?1, received = ?2, quarantined = ?3")
            .and_then(|mut s| s.execute([orders, received, quarantined].map(|n| n as i64)))
            .map(|_| ())
            .map_err(failed("writing the totals"))
    }

    fn committed(&mut self, tick: Tick) {
        self.next_seq = tick.next_seq;
        self.counts = tick.counts;
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = tick.counts;
    }
}

fn receive(
    db: &Connection,
    tick: &mut Tick,
    codes: &StatusCodes,
    Arrival { received, parts }: &Arrival,
) -> rusqlite::Result<Receipt> {
    let seq = tick.next_seq;
    let is_new =
        db.prepare_cached(
            "INSERT INTO deliveries (delivery_seq, delivery_id, event_type, body, received_at)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (delivery_id) DO NOTHING",
        )?
        .execute(params![
            seq,
            received.delivery_id.as_str(),
            received.event_type,
            &received.body[..],
            received.received_at.as_millis()
        ])? > 0;
    if !is_new {
        return Ok(Receipt::Duplicate);
    }
    tick.next_seq += 1;
    tick.counts.received += 1;
    let (mut applied, mut stale, mut quarantined) = (0, 0, 0);
    for (position, part) in (0i64..).zip(parts) {
        match part {
            Part::Order { order_id, state, offset, bytes } => {
                let kept = kept_state(db, codes, *order_id)?;
                let is_newer = kept.is_none_or(|kept| state.compare(&kept) == Freshness::Newer);
                if is_newer {
                    let place = (*offset as i64, *bytes as i64);
                    put_order(db, codes, *order_id, state, seq, place, received.received_at)?;
                    tick.counts.orders += u64::from(kept.is_none());
                    applied += 1;
                } else {
                    stale += 1;
                }
                db.prepare_cached(
                    "INSERT INTO order_history (order_id, delivery_seq, position, status, version, updated_at, applied)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![
                    order_id.0,
                    seq,
                    position,
                    state.status.map(|s| codes.code_of(s)),
                    state.version,
                    state.updated_at.map(Timestamp::as_millis),
                    is_newer
                ])?;
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
    Ok(Receipt::Received { applied, stale, quarantined })
}

/// How new the state is that the view has of an order.
fn kept_state(
    db: &Connection,
    codes: &StatusCodes,
    order_id: OrderId,
) -> rusqlite::Result<Option<RecordState>> {
    db.prepare_cached("SELECT version, updated_at, status FROM orders WHERE order_id = ?1")?
        .query_row([order_id.0], |row| {
            Ok(RecordState {
                version: row.get(0)?,
                updated_at: row.get::<_, Option<i64>>(1)?.map(Timestamp::from_millis),
                status: status(codes, row.get(2)?),
            })
        })
        .optional()
}

pub(super) fn status(codes: &StatusCodes, code: Option<i64>) -> Option<OrderStatus> {
    code.map(|code| codes.status(code))
}

fn put_order(
    db: &Connection,
    codes: &StatusCodes,
    order_id: OrderId,
    state: &RecordState,
    seq: i64,
    (offset, bytes): (i64, i64),
    received_at: Timestamp,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO orders (order_id, status, version, updated_at, delivery_seq, record_offset, record_bytes,
             received_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (order_id) DO UPDATE SET status = excluded.status, version = excluded.version,
             updated_at = excluded.updated_at, delivery_seq = excluded.delivery_seq,
             record_offset = excluded.record_offset, record_bytes = excluded.record_bytes,
             received_at = excluded.received_at",
    )?
    .execute(params![
        order_id.0,
        state.status.map(|s| codes.code_of(s)),
        state.version,
        state.updated_at.map(Timestamp::as_millis),
        seq,
        offset,
        bytes,
        received_at.as_millis()
    ])
    .map(|_| ())
}
