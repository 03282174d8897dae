//! The marks and the report of reconciling, and the view as it is compared.

use std::collections::HashSet;

use bytes::Bytes;
use hookit_contract::{DeliveryId, OrderId, Record, RecordState, StatusCodes, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::arrival::{Arrival, Part};
use super::book::{Tick, receive, status};
use crate::inbox::{
    HEALED_KEPT, HealOutcome, HealReason, HealedOrder, Held, RUNS_KEPT, Receipt, ReconcileMark, ReconcileRun,
    ReconcileStep, RunCause, RunCounts, RunEnd,
};
use crate::sqlite::{limit as sql_limit, word_at};

pub(super) fn held(
    db: &Connection,
    codes: &StatusCodes,
    order_ids: &[OrderId],
) -> rusqlite::Result<Vec<Held>> {
    let mut one = db.prepare_cached(
        "SELECT o.version, o.updated_at, o.status, d.delivery_id, o.received_at
         FROM orders o CROSS JOIN deliveries d ON d.delivery_seq = o.delivery_seq WHERE o.order_id = ?1",
    )?;
    let mut found = Vec::with_capacity(order_ids.len());
    for order_id in order_ids {
        let held = one
            .query_row([order_id.0], |row| {
                Ok(Held {
                    order_id: *order_id,
                    state: RecordState {
                        version: row.get(0)?,
                        updated_at: row.get::<_, Option<i64>>(1)?.map(Timestamp::from_millis),
                        status: status(codes, row.get(2)?),
                    },
                    delivery_id: DeliveryId::from(row.get_ref(3)?.as_str()?),
                    received_at: Timestamp::from_millis(row.get(4)?),
                })
            })
            .optional()?;
        found.extend(held);
    }
    Ok(found)
}

pub(super) fn mark(db: &Connection) -> rusqlite::Result<ReconcileMark> {
    db.prepare_cached("SELECT cursor, deep_at FROM reconcile_mark")?.query_row([], |row| {
        Ok(ReconcileMark {
            cursor: row.get(0)?,
            deep_at: row.get::<_, Option<i64>>(1)?.map(Timestamp::from_millis),
        })
    })
}

pub(super) fn begin(db: &Connection, cause: RunCause, started_at: Timestamp) -> rusqlite::Result<i64> {
    // Whatever is not ended was under way when the inbox went down.
    db.prepare_cached(
        "UPDATE reconcile_runs SET ended_at = started_at, ended_as = ?1 WHERE ended_at IS NULL",
    )?
    .execute([RunEnd::BrokenOff.as_str()])?;
    db.prepare_cached("INSERT INTO reconcile_runs (cause, started_at) VALUES (?1, ?2)")?
        .execute(params![cause.as_str(), started_at.as_millis()])?;
    let run_id = db.last_insert_rowid();
    db.prepare_cached("DELETE FROM reconcile_runs WHERE run_id <= ?1")?.execute([run_id - RUNS_KEPT])?;
    Ok(run_id)
}

/// A state that the view lacks, read.
pub(super) struct Lacking {
    pub(super) order_id: OrderId,
    pub(super) held: Option<DeliveryId>,
    pub(super) was_refused: bool,
    pub(super) arrival: Arrival,
}

/// Things in quarantine that are looked through for the orders they are of, the newest, and how large each may be.
const QUARANTINED_LOOKED_AT: i64 = 200;
const QUARANTINED_BYTES_MAX: i64 = 256 << 10;

pub(super) fn heal(
    db: &Connection,
    tick: &mut Tick,
    codes: &StatusCodes,
    run_id: i64,
    lacking: &[Lacking],
) -> rusqlite::Result<Vec<HealOutcome>> {
    let in_quarantine = in_quarantine(db)?;
    let mut outcomes = Vec::with_capacity(lacking.len());
    for Lacking { order_id, held: expected, was_refused, arrival } in lacking {
        let found = held(db, codes, std::slice::from_ref(order_id))?.pop();
        if found.as_ref().map(|found| &found.delivery_id) != expected.as_ref() {
            outcomes.push(HealOutcome::MovedOn);
            continue;
        }
        let Receipt::Received { applied: 1.., .. } = receive(db, tick, codes, arrival)? else {
            outcomes.push(HealOutcome::Held);
            continue;
        };
        let reason = match &found {
            _ if in_quarantine.contains(order_id) => HealReason::Quarantined,
            _ if *was_refused => HealReason::WasRefused,
            None => HealReason::NotSeen,
            Some(_) => HealReason::OlderHeld,
        };
        let version = arrival.parts.iter().find_map(|part| match part {
            Part::Order { state, .. } => state.version,
            Part::Unreadable { .. } => None,
        });
        db.prepare_cached(
            "INSERT INTO reconcile_healed (run_id, order_id, reason, version_held, version, delivery_id, healed_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            run_id,
            order_id.0,
            reason.as_str(),
            found.and_then(|found| found.state.version),
            version,
            arrival.received.delivery_id.as_str(),
            arrival.received.received_at.as_millis()
        ])?;
        let last = db.last_insert_rowid();
        db.prepare_cached("DELETE FROM reconcile_healed WHERE healed_seq <= ?1")?
            .execute([last - HEALED_KEPT])?;
        outcomes.push(HealOutcome::Healed(reason));
    }
    let count =
        |reason| outcomes.iter().filter(|outcome| **outcome == HealOutcome::Healed(reason)).count() as i64;
    db.prepare_cached(
        "UPDATE reconcile_runs SET not_seen = not_seen + ?2, older_held = older_held + ?3,
             quarantined = quarantined + ?4, was_refused = was_refused + ?5
         WHERE run_id = ?1",
    )?
    .execute([
        run_id,
        count(HealReason::NotSeen),
        count(HealReason::OlderHeld),
        count(HealReason::Quarantined),
        count(HealReason::WasRefused),
    ])?;
    Ok(outcomes)
}

/// The orders of which something lies in quarantine, as far as that can be read off it.
fn in_quarantine(db: &Connection) -> rusqlite::Result<HashSet<OrderId>> {
    let mut found = HashSet::new();
    let mut newest = db.prepare_cached(
        "SELECT bytes FROM quarantine WHERE octet_length(bytes) <= ?1 ORDER BY quarantine_id DESC LIMIT ?2",
    )?;
    let mut rows = newest.query([QUARANTINED_BYTES_MAX, QUARANTINED_LOOKED_AT])?;
    while let Some(row) = rows.next()? {
        let bytes = Bytes::copy_from_slice(row.get_ref(0)?.as_bytes()?);
        found.extend(Record::parse(bytes).ok().and_then(|record| record.id().ok()?));
    }
    Ok(found)
}

pub(super) fn step(db: &Connection, step: &ReconcileStep) -> rusqlite::Result<()> {
    let (ended_at, ended_as, problem) = match &step.ended {
        Some((at, end, problem)) => (Some(at.as_millis()), Some(end.as_str()), problem.as_deref()),
        None => (None, None, None),
    };
    db.prepare_cached(
        "UPDATE reconcile_runs SET requests = ?2, compared = ?3, ended_at = ?4, ended_as = ?5, problem = ?6
         WHERE run_id = ?1",
    )?
    .execute(params![
        step.run_id,
        step.requests as i64,
        step.compared as i64,
        ended_at,
        ended_as,
        problem
    ])?;
    let ReconcileMark { cursor, deep_at } = &step.mark;
    db.prepare_cached("UPDATE reconcile_mark SET cursor = ?1, deep_at = ?2")?
        .execute(params![cursor, deep_at.map(Timestamp::as_millis)])?;
    Ok(())
}

pub(super) fn runs(db: &Connection, limit: usize) -> rusqlite::Result<Vec<ReconcileRun>> {
    let number = |row: &Row<'_>, column: usize| -> rusqlite::Result<u64> {
        Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
    };
    let read = |row: &Row<'_>| -> rusqlite::Result<ReconcileRun> {
        let ended = match row.get::<_, Option<i64>>(3)? {
            Some(at) => Some((Timestamp::from_millis(at), word_at(row, 4, RunEnd::from_word)?)),
            None => None,
        };
        Ok(ReconcileRun {
            run_id: row.get(0)?,
            cause: word_at(row, 1, RunCause::from_word)?,
            started_at: Timestamp::from_millis(row.get(2)?),
            ended,
            counts: RunCounts {
                requests: number(row, 5)?,
                compared: number(row, 6)?,
                not_seen: number(row, 7)?,
                older_held: number(row, 8)?,
                quarantined: number(row, 9)?,
                was_refused: number(row, 10)?,
            },
            problem: row.get(11)?,
        })
    };
    db.prepare_cached(
        "SELECT run_id, cause, started_at, ended_at, ended_as, requests, compared, not_seen, older_held, quarantined,
             was_refused, problem
         FROM reconcile_runs ORDER BY run_id DESC LIMIT ?1",
    )?
    .query_map([sql_limit(limit)], read)?
    .collect()
}

pub(super) fn healed(db: &Connection, limit: usize) -> rusqlite::Result<Vec<HealedOrder>> {
    let read = |row: &Row<'_>| -> rusqlite::Result<HealedOrder> {
        Ok(HealedOrder {
            order_id: OrderId(row.get(0)?),
            reason: word_at(row, 1, HealReason::from_word)?,
            version_held: row.get(2)?,
            version: row.get(3)?,
            delivery_id: DeliveryId::from(row.get_ref(4)?.as_str()?),
            healed_at: Timestamp::from_millis(row.get(5)?),
        })
    };
    db.prepare_cached(
        "SELECT order_id, reason, version_held, version, delivery_id, healed_at
         FROM reconcile_healed ORDER BY healed_seq DESC LIMIT ?1",
    )?
    .query_map([sql_limit(limit)], read)?
    .collect()
}
