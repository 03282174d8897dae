//! The figures of the past: written a minute at a time, and forgotten when no chart shows them any more.

use std::time::Duration;

use hookit_contract::{EndpointId, Timestamp};
use rusqlite::{Connection, Row, params};

use crate::Error;
use crate::platform::{PAST_DAY_KEPT, PAST_WEEK_KEPT, PastFigures, PastQuery, PastTimes, Span};
use crate::sqlite::failed;

/// Adds to what a stretch has already, so that a quarter is made of its minutes, and a restart within a stretch takes nothing
/// from it. How long things took is of the whole stretch each time.
const ADD: &str = "INSERT INTO past_figures
        (endpoint_id, span_s, began_at, events, delivered, attempts, acknowledged, dead, pending, p50_us, p95_us, p99_us)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
    ON CONFLICT DO UPDATE SET events = events + excluded.events, delivered = delivered + excluded.delivered,
        attempts = attempts + excluded.attempts, acknowledged = acknowledged + excluded.acknowledged,
        dead = dead + excluded.dead, pending = excluded.pending, p50_us = coalesce(excluded.p50_us, p50_us),
        p95_us = coalesce(excluded.p95_us, p95_us), p99_us = coalesce(excluded.p99_us, p99_us)";

/// What is older than a day goes, but for the quarters of all together, which go after a week.
pub(super) const FORGET_DAY: &str =
    "DELETE FROM past_figures WHERE began_at < ?1 AND (span_s = 60 OR endpoint_id > 0)";
pub(super) const FORGET_WEEK: &str = "DELETE FROM past_figures WHERE began_at < ?1";

pub(super) fn note(db: &Connection, figures: &[PastFigures], now: Timestamp) -> Result<(), Error> {
    let write = || -> rusqlite::Result<()> {
        let mut add = db.prepare_cached(ADD)?;
        for past in figures {
            let PastFigures { events, delivered, attempts, acknowledged, dead, pending, times, .. } = past;
            let time = |of: fn(&PastTimes) -> u64| times.as_ref().map(|times| integer(of(times)));
            add.execute(params![
                past.endpoint_id.map_or(0, |id| id.0),
                past.span.duration().as_secs() as i64,
                past.began_at.as_millis(),
                integer(*events),
                integer(*delivered),
                integer(*attempts),
                integer(*acknowledged),
                integer(*dead),
                integer(*pending),
                time(|times| times.p50_us),
                time(|times| times.p95_us),
                time(|times| times.p99_us),
            ])?;
        }
        let before = |kept: Duration| now.as_millis().saturating_sub(kept.as_millis() as i64);
        db.prepare_cached(FORGET_DAY)?.execute([before(PAST_DAY_KEPT)])?;
        db.prepare_cached(FORGET_WEEK)?.execute([before(PAST_WEEK_KEPT)])?;
        Ok(())
    };
    write().map_err(failed("writing figures of the past"))
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) const READ: &str =
    "SELECT began_at, events, delivered, attempts, acknowledged, dead, pending, p50_us, p95_us, p99_us
    FROM past_figures WHERE endpoint_id = ?1 AND span_s = ?2 AND began_at >= ?3 ORDER BY began_at";

pub(super) fn read(db: &Connection, query: &PastQuery) -> Result<Vec<PastFigures>, Error> {
    let (endpoint, span) = (query.endpoint_id.map_or(0, |id| id.0), query.span.duration().as_secs() as i64);
    db.prepare_cached(READ)
        .and_then(|mut s| {
            s.query_map([endpoint, span, query.since.as_millis()], |row| {
                past(row, query.endpoint_id, query.span)
            })?
            .collect()
        })
        .map_err(failed("reading figures of the past"))
}

fn past(row: &Row<'_>, endpoint_id: Option<EndpointId>, span: Span) -> rusqlite::Result<PastFigures> {
    // The schema keeps them from being negative.
    let figure = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
    let time = |column| row.get::<_, Option<i64>>(column).map(|us| us.map(i64::unsigned_abs));
    let times = match (time(7)?, time(8)?, time(9)?) {
        (Some(p50_us), Some(p95_us), Some(p99_us)) => Some(PastTimes { p50_us, p95_us, p99_us }),
        _ => None,
    };
    Ok(PastFigures {
        endpoint_id,
        span,
        began_at: Timestamp::from_millis(row.get(0)?),
        events: figure(1)?,
        delivered: figure(2)?,
        attempts: figure(3)?,
        acknowledged: figure(4)?,
        dead: figure(5)?,
        pending: figure(6)?,
        times,
    })
}
