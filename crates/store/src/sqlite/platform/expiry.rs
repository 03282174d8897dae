//! Removes what is older than it is to be kept: events and the audit log by their age, deliveries by the time since they ended, each with
//! its log, and the records that nothing refers to after that.
//!
//! What goes is found in a reading connection, upwards by number; the writer only removes it, a few rows in a
//! transaction that others share. Events go before deliveries, and a delivery takes its events along: a replay of what a
//! registration missed must never see an event without the deliveries that it had.

use hookit_contract::{DeliveryState, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::book::Tick;
use crate::Error;
use crate::platform::Expiry;
use crate::sqlite::{failed, word};

/// Rows that one step removes, about: what others wait for behind it. A delivery goes as a whole, so one with a long log
/// may be more by itself.
const STEP_ROWS: i64 = 1_000;

/// Rows that go with an event: its own and its record's.
const ROWS_OF_EVENT: i64 = 2;

/// Rows that go with an order of a delivery: its place in there, its event, its record.
const ROWS_OF_ORDER: i64 = 3;

/// Deliveries that one step looks at. Where none of so many is old enough, those after them are not either.
const LOOKS_PER_STEP: i64 = 10_000;

/// What a step removes.
pub(super) enum Step {
    /// These events.
    Events(Vec<i64>),
    /// These deliveries, where they have ended before this moment.
    Deliveries(Vec<i64>, Timestamp),
    /// These entries of the audit log.
    Audit(Vec<i64>),
}

impl Step {
    pub(super) fn rows(&self) -> usize {
        match self {
            Step::Events(rows) | Step::Deliveries(rows, _) | Step::Audit(rows) => rows.len(),
        }
    }
}

/// The first events behind a number.
pub(super) const EVENTS: &str =
    "SELECT event_seq, created_at FROM events WHERE event_seq > ?1 ORDER BY event_seq LIMIT ?2";

/// The first deliveries behind a number, but for the last of all and the last replay of all: the numbers that are given
/// next are read off those.
pub(super) const DELIVERIES: &str = "SELECT delivery_seq, finished_at, created_at,
         delivery_seq < (SELECT max(delivery_seq) FROM deliveries)
             AND coalesce(replay_no < (SELECT max(replay_no) FROM deliveries WHERE replay_no IS NOT NULL), 1),
         attempts
     FROM deliveries WHERE delivery_seq > ?1 ORDER BY delivery_seq LIMIT ?2";

/// How many orders a delivery has.
pub(super) const ORDERS: &str = "SELECT count(*) FROM delivery_orders WHERE delivery_seq = ?1";

/// What is to be removed behind a place, and where to go on; nowhere where there is nothing more.
pub(super) fn look(
    db: &Connection,
    before: Timestamp,
    place: Expiry,
) -> Result<(Step, Option<Expiry>), Error> {
    match place {
        Expiry::Events { after } => look_at_events(db, before, after),
        Expiry::Deliveries { after } => look_at_deliveries(db, before, after),
        Expiry::Audit { after } => look_at_audit(db, before, after),
    }
    .map_err(failed("looking for what is old"))
}

fn look_at_events(
    db: &Connection,
    before: Timestamp,
    after: i64,
) -> rusqlite::Result<(Step, Option<Expiry>)> {
    let mut statement = db.prepare_cached(EVENTS)?;
    let mut rows = statement.query([after, STEP_ROWS / ROWS_OF_EVENT])?;
    let (mut old, mut last) = (Vec::new(), after);
    while let Some(row) = rows.next()? {
        last = row.get(0)?;
        if row.get::<_, i64>(1)? < before.as_millis() {
            old.push(last);
        }
    }
    let next = match old.is_empty() {
        true => Expiry::Deliveries { after: 0 },
        false => Expiry::Events { after: last },
    };
    Ok((Step::Events(old), Some(next)))
}

fn look_at_deliveries(
    db: &Connection,
    before: Timestamp,
    after: i64,
) -> rusqlite::Result<(Step, Option<Expiry>)> {
    let mut statement = db.prepare_cached(DELIVERIES)?;
    let mut orders_of = db.prepare_cached(ORDERS)?;
    let mut rows = statement.query([after, LOOKS_PER_STEP])?;
    let (mut old, mut rows_of_old, mut last, mut any_is_old) = (Vec::new(), 0, after, false);
    while let Some(row) = rows.next()? {
        let seq = row.get(0)?;
        any_is_old |= row.get::<_, i64>(2)? < before.as_millis();
        let has_ended = row.get::<_, Option<i64>>(1)?.is_some_and(|at| at < before.as_millis());
        if has_ended && row.get(3)? {
            let orders: i64 = orders_of.query_row([seq], |row| row.get(0))?;
            rows_of_old += 1 + row.get::<_, i64>(4)? + ROWS_OF_ORDER * orders;
            if rows_of_old > STEP_ROWS && !old.is_empty() {
                break;
            }
            old.push(seq);
        }
        last = seq;
    }
    let next = match any_is_old || !old.is_empty() {
        true => Expiry::Deliveries { after: last },
        false => Expiry::Audit { after: 0 },
    };
    Ok((Step::Deliveries(old, before), Some(next)))
}

/// The first entries behind a number, but for the last of all: the number that is given next is read off that.
pub(super) const AUDIT: &str = "SELECT audit_id, done_at FROM audit
     WHERE audit_id > ?1 AND audit_id < (SELECT max(audit_id) FROM audit) ORDER BY audit_id LIMIT ?2";

fn look_at_audit(db: &Connection, before: Timestamp, after: i64) -> rusqlite::Result<(Step, Option<Expiry>)> {
    let mut statement = db.prepare_cached(AUDIT)?;
    let mut rows = statement.query([after, STEP_ROWS])?;
    let (mut old, mut last) = (Vec::new(), after);
    while let Some(row) = rows.next()? {
        last = row.get(0)?;
        if row.get::<_, i64>(1)? < before.as_millis() {
            old.push(last);
        }
    }
    let next = (!old.is_empty()).then_some(Expiry::Audit { after: last });
    Ok((Step::Audit(old), next))
}

/// Removes what was found. What has changed since stays.
pub(super) fn remove(db: &Connection, tick: &mut Tick, step: &Step) -> Result<(), Error> {
    match step {
        Step::Events(events) => {
            for event in events {
                let order_id: Option<i64> = db
                    .prepare_cached("SELECT order_id FROM records WHERE record_id = ?1")
                    .and_then(|mut s| s.query_row([event], |row| row.get(0)).optional())
                    .map_err(failed("reading an old event"))?;
                if let Some(order_id) = order_id {
                    remove_event(db, tick, order_id, *event)?;
                }
            }
            Ok(())
        }
        Step::Deliveries(deliveries, before) => {
            deliveries.iter().try_for_each(|seq| remove_delivery(db, tick, *seq, *before))
        }
        Step::Audit(entries) => entries.iter().try_for_each(|entry| {
            db.prepare_cached("DELETE FROM audit WHERE audit_id = ?1")
                .and_then(|mut s| s.execute([entry]))
                .map(|_| ())
                .map_err(failed("removing an old entry of the audit log"))
        }),
    }
}

/// Removes a record that a key was the last to refer to.
pub(super) fn remove_record(db: &Connection, record_id: i64) -> Result<(), Error> {
    let removing = failed("removing an old record");
    let order_id: Option<i64> = db
        .prepare_cached("SELECT order_id FROM records WHERE record_id = ?1")
        .and_then(|mut s| s.query_row([record_id], |row| row.get(0)).optional())
        .map_err(&removing)?;
    let Some(order_id) = order_id else { return Ok(()) };
    db.prepare_cached(RECORDS)
        .and_then(|mut s| s.execute([order_id, record_id]))
        .map(|_| ())
        .map_err(&removing)
}

/// Removes an event, and what nothing refers to after that.
fn remove_event(db: &Connection, tick: &mut Tick, order_id: i64, event: i64) -> Result<(), Error> {
    let removing = failed("removing an old event");
    let removed = db
        .prepare_cached("DELETE FROM events WHERE event_seq = ?1")
        .and_then(|mut s| s.execute([event]))
        .map_err(&removing)?;
    tick.counts.events -= removed as u64;
    if removed > 0 {
        db.prepare_cached("UPDATE totals SET events_removed_to = max(events_removed_to, ?1)")
            .and_then(|mut s| s.execute([event]))
            .map_err(&removing)?;
    }
    db.prepare_cached(RECORDS).and_then(|mut s| s.execute([order_id, event])).map(|_| ()).map_err(&removing)
}

fn remove_delivery(db: &Connection, tick: &mut Tick, seq: i64, before: Timestamp) -> Result<(), Error> {
    let removing = failed("removing an old delivery");
    let state: Option<String> = db
        .prepare_cached("SELECT state FROM deliveries WHERE delivery_seq = ?1 AND finished_at < ?2")
        .and_then(|mut s| s.query_row(params![seq, before.as_millis()], |row| row.get(0)).optional())
        .map_err(&removing)?;
    let Some(state) = state else { return Ok(()) };
    // The schema gives what is pending no end, so it is none of these.
    *tick.counts.state_mut(word::<DeliveryState>(&state, "state of a delivery")?) -= 1;
    let orders: Vec<(i64, i64)> = db
        .prepare_cached("SELECT order_id, record_id FROM delivery_orders WHERE delivery_seq = ?1")
        .and_then(|mut s| s.query_map([seq], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
        .map_err(&removing)?;
    let remove = |sql: &str| db.prepare_cached(sql).and_then(|mut s| s.execute([seq])).map_err(&removing);
    tick.counts.attempts -= remove("DELETE FROM webhook_logs WHERE delivery_seq = ?1")? as u64;
    remove("DELETE FROM delivery_orders WHERE delivery_seq = ?1")?;
    remove("DELETE FROM deliveries WHERE delivery_seq = ?1")?;
    for (order_id, record_id) in orders {
        remove_event(db, tick, order_id, record_id)?;
    }
    Ok(())
}

/// Of a record that has lost its event or a delivery, and of the one before it: what is not the order's newest and has
/// neither of them. The one before may have been the newest until this one came, when nothing else referred to it any more.
/// All of an order's records are not looked at: that would be done for each of them.
pub(super) const RECORDS: &str = "DELETE FROM records WHERE order_id = ?1
     AND record_id IN (?2, (SELECT b.record_id FROM records b WHERE b.order_id = ?1
         AND b.version < (SELECT r.version FROM records r WHERE r.record_id = ?2) ORDER BY b.version DESC LIMIT 1))
     AND record_id <> (SELECT o.record_id FROM orders o WHERE o.order_id = ?1)
     AND NOT EXISTS (SELECT 1 FROM events e WHERE e.event_seq = records.record_id)
     AND NOT EXISTS (SELECT 1 FROM partner_writes k WHERE k.record_id = records.record_id)
     AND NOT EXISTS (SELECT 1 FROM operator_writes k WHERE k.record_id = records.record_id)
     AND NOT EXISTS (SELECT 1 FROM delivery_orders c WHERE c.order_id = ?1 AND c.record_id = records.record_id)";
