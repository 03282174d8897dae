//! Writes attempts into `webhook_logs`, and moves their deliveries on.

use std::time::Duration;

use hookit_contract::{DeliverySeq, DeliveryState, Timestamp};
use rusqlite::{Connection, params};

use super::book::Tick;
use super::reads::{self, Place};
use super::replays::jobs;
use crate::Error;
use crate::platform::{Attempt, Verdict};
use crate::sqlite::{failed, word};

pub(super) fn record(
    db: &Connection,
    tick: &mut Tick,
    attempts: &[Attempt],
    now: Timestamp,
) -> Result<(), Error> {
    let writing = failed("writing an attempt");
    for attempt in attempts {
        let (state, next_attempt_at, finished_at, counted) = match attempt.verdict {
            Verdict::RetryAt { at, counted } => ("pending", Some(at.as_millis()), None, counted),
            Verdict::Delivered => ("delivered", None, Some(now.as_millis()), true),
            Verdict::Dead => ("dead", None, Some(now.as_millis()), true),
        };
        let Some((place, is_in_line)) = find(db, attempt).map_err(&writing)? else { continue };
        let row_id = place.row_id;
        let failed = counted && attempt.verdict != Verdict::Delivered;
        let next = place.attempts.checked_add(1);
        // One that is its next cannot have been written before.
        if next != Some(attempt.number) && is_written(db, row_id, attempt).map_err(&writing)? {
            continue;
        }
        let Some(number) = next else { continue };
        // The delivery is moved first: it tells whether this attempt counts at all.
        let moved = is_in_line
            && db
            .prepare_cached(
                "UPDATE deliveries SET state = ?2, attempts = attempts + 1, next_attempt_at = ?3, finished_at = ?4,
                     failures = failures + ?5
                 WHERE delivery_seq = ?1 AND state = 'pending'",
            )
            .and_then(|mut s| s.execute(params![row_id, state, next_attempt_at, finished_at, failed]))
            .map_err(&writing)?
            > 0;
        if !moved {
            take_late(db, tick, row_id, attempt)?;
        }
        db.prepare_cached(
            "INSERT INTO webhook_logs (delivery_seq, attempt, started_at, duration_us, outcome, http_status, address,
                 answer, error, next_attempt_at, counted, resolve_us, connect_us, tls_us, first_byte_us)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )
        .and_then(|mut s| {
            s.execute(params![
                row_id,
                number,
                attempt.started_at.as_millis(),
                micros(attempt.duration),
                attempt.outcome.as_str(),
                attempt.status,
                attempt.address,
                &attempt.answer[..],
                attempt.error,
                next_attempt_at,
                counted,
                attempt.phases.resolve.map(micros),
                attempt.phases.connect.map(micros),
                attempt.phases.tls.map(micros),
                attempt.phases.first_byte.map(micros)
            ])
        })
        .map_err(&writing)?;
        tick.attempted(attempt.outcome);
        let ended = match attempt.verdict {
            _ if !moved => continue,
            Verdict::RetryAt { .. } => continue,
            Verdict::Delivered => DeliveryState::Delivered,
            Verdict::Dead => DeliveryState::Dead,
        };
        tick.ended(place.endpoint_id, ended);
        jobs::ended(db, attempt.seq, row_id, ended, now)?;
    }
    Ok(())
}

/// The delivery of an attempt, and whether it stands where the attempt went out from. It does not where it was taken back and
/// replayed meanwhile.
fn find(db: &Connection, attempt: &Attempt) -> rusqlite::Result<Option<(Place, bool)>> {
    if let Some(place) = reads::delivery_at(db, attempt.seq)? {
        return Ok(Some((place, true)));
    }
    let Some(delivery_id) = &attempt.delivery_id else { return Ok(None) };
    Ok(reads::delivery_of(db, delivery_id)?.map(|place| (place, false)))
}

/// Whether the attempt is in the log, under its number or another. A delivery is never under way twice, so two attempts of it
/// differ in when they began or in how long they took.
fn is_written(db: &Connection, row_id: i64, attempt: &Attempt) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT 1 FROM webhook_logs WHERE delivery_seq = ?1 AND started_at = ?2 AND duration_us = ?3",
    )?
    .exists(params![row_id, attempt.started_at.as_millis(), micros(attempt.duration)])
}

/// Takes in the end of an attempt that was under way when its delivery was taken back or passed over, and perhaps replayed. It
/// was made, so it is logged; what was acknowledged is delivered, and what was asked for again is sent again.
fn take_late(db: &Connection, tick: &mut Tick, row_id: i64, attempt: &Attempt) -> Result<(), Error> {
    let writing = failed("writing a late attempt");
    let state: String = db
        .prepare_cached("SELECT state FROM deliveries WHERE delivery_seq = ?1")
        .and_then(|mut s| s.query_row([row_id], |row| row.get(0)))
        .map_err(&writing)?;
    let state: DeliveryState = word(&state, "state of a delivery")?;
    let is_open = matches!(state, DeliveryState::Pending | DeliveryState::Delivered);
    let before = Some(state).filter(|_| !is_open && attempt.verdict == Verdict::Delivered);
    db.prepare_cached(
        "UPDATE deliveries SET attempts = attempts + 1, state = iif(?2, 'delivered', state),
             ended_by = iif(?2, NULL, ended_by), ended_reason = iif(?2, NULL, ended_reason)
         WHERE delivery_seq = ?1",
    )
    .and_then(|mut s| s.execute(params![row_id, before.is_some()]))
    .map_err(&writing)?;
    if let Some(before) = before {
        tick.ended_anew(before, DeliveryState::Delivered);
    }
    Ok(())
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Gives deliveries up without another attempt.
pub(super) fn give_up(
    db: &Connection,
    tick: &mut Tick,
    seqs: &[DeliverySeq],
    now: Timestamp,
) -> Result<(), Error> {
    let writing = failed("giving a delivery up");
    for seq in seqs {
        let Some(Place { row_id, endpoint_id, .. }) = reads::delivery_at(db, *seq).map_err(&writing)? else {
            continue;
        };
        let given_up = db
            .prepare_cached(
                "UPDATE deliveries SET state = 'dead', next_attempt_at = NULL, finished_at = ?2
                 WHERE delivery_seq = ?1 AND state = 'pending'",
            )
            .and_then(|mut s| s.execute(params![row_id, now.as_millis()]))
            .map_err(&writing)?;
        if given_up > 0 {
            tick.ended(endpoint_id, DeliveryState::Dead);
            jobs::ended(db, *seq, row_id, DeliveryState::Dead, now)?;
        }
    }
    Ok(())
}
