//! How far each sink has followed the changes.

use hookit_contract::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::reads;
use crate::Error;
use crate::inbox::{
    SINK_STRETCHES_MAX, SinkAdvanced, SinkEnd, SinkPosition, SinkStart, SinkWanted, Stretches,
};
use crate::sqlite::failed;

/// Has these sinks and no others. `last_change` is the newest number that was given.
pub(super) fn put(
    db: &Connection,
    wanted: &[SinkWanted],
    last_change: i64,
    now: Timestamp,
) -> Result<Vec<SinkPosition>, Error> {
    put_rows(db, wanted, last_change, now).map_err(failed("writing the sinks"))?;
    wanted
        .iter()
        .map(|sink| {
            reads::sink(db, &sink.name)?
                .ok_or_else(|| Error::Corrupt(format!("sink {}: not there after it was made", sink.name)))
        })
        .collect()
}

fn put_rows(
    db: &Connection,
    wanted: &[SinkWanted],
    last_change: i64,
    now: Timestamp,
) -> rusqlite::Result<()> {
    db.execute("UPDATE sinks SET left_at = ?1 WHERE left_at IS NULL", [now.as_millis()])?;
    let removed_to: i64 = db.query_row("SELECT changes_removed_to FROM totals", [], |row| row.get(0))?;
    for SinkWanted { name, start } in wanted {
        let position = match start {
            SinkStart::Oldest => removed_to,
            SinkStart::Next => last_change,
        };
        db.execute(
            "INSERT INTO sinks (name, position, made_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET left_at = NULL, position = max(position, ?4)",
            params![name, position, now.as_millis(), removed_to],
        )?;
    }
    Ok(())
}

/// Notes how changes ended, and moves the position on.
pub(super) fn ended(
    db: &Connection,
    name: &str,
    ended: &[(i64, SinkEnd)],
    now: Timestamp,
) -> rusqlite::Result<SinkAdvanced> {
    let Some(position) = position(db, name)? else { return Ok(SinkAdvanced::NoSuchSink) };
    // Those that have ended above the position, as they stand and as they will.
    let noted = stretches(db, name, position)?;
    let mut above = noted.clone();
    for (seq, _) in ended.iter().filter(|(seq, _)| *seq > position) {
        if is_change(db, *seq)? {
            above.insert(*seq);
        }
    }
    let moved_to = moved_on(db, position, &above)?;
    above.remove_through(moved_to);
    if above.len() > SINK_STRETCHES_MAX {
        return Ok(SinkAdvanced::TooFarAhead);
    }
    for (seq, end) in ended {
        match end {
            SinkEnd::GivenUp { reason } => {
                db.prepare_cached(
                    "INSERT INTO sink_given_up (name, change_seq, state, reason, given_up_at)
                     SELECT ?1, change_seq, 'given_up', ?3, ?4 FROM changes WHERE change_seq = ?2
                     ON CONFLICT (name, change_seq) DO UPDATE SET state = excluded.state,
                         reason = excluded.reason, given_up_at = excluded.given_up_at",
                )?
                .execute(params![name, seq, reason, now.as_millis()])?;
            }
            // Only what had ended before can have been given up.
            SinkEnd::HandedOn if *seq <= position || noted.contains(*seq) => {
                db.prepare_cached("DELETE FROM sink_given_up WHERE name = ?1 AND change_seq = ?2")?
                    .execute(params![name, seq])?;
            }
            SinkEnd::HandedOn => {}
        }
    }
    write_stretches(db, name, &noted, &above)?;
    if moved_to > position {
        db.prepare_cached("UPDATE sinks SET position = ?2 WHERE name = ?1")?
            .execute(params![name, moved_to])?;
    }
    Ok(SinkAdvanced::To { position: moved_to })
}

/// How far the line has ended from a position on. Numbers that were never given do not stop it.
fn moved_on(db: &Connection, position: i64, above: &Stretches) -> rusqlite::Result<i64> {
    let mut next = db
        .prepare_cached("SELECT change_seq FROM changes WHERE change_seq > ?1 ORDER BY change_seq LIMIT 1")?;
    let mut moved_to = position;
    while let Some(seq) = next.query_row([moved_to], |row| row.get(0)).optional()? {
        let Some(last) = above.last_with(seq) else { break };
        moved_to = last;
    }
    Ok(moved_to)
}

/// What has ended for a sink above its position.
pub(super) fn stretches(db: &Connection, name: &str, position: i64) -> rusqlite::Result<Stretches> {
    let mut stretches: Stretches = db
        .prepare_cached("SELECT first_seq, last_seq FROM sink_ended WHERE name = ?1 ORDER BY first_seq")?
        .query_map([name], |row| Ok(row.get(0)?..=row.get(1)?))?
        .collect::<rusqlite::Result<_>>()?;
    stretches.remove_through(position);
    Ok(stretches)
}

/// Writes what is another stretch now than before; most are the same.
fn write_stretches(
    db: &Connection,
    name: &str,
    before: &Stretches,
    after: &Stretches,
) -> rusqlite::Result<()> {
    for stretch in before.iter().filter(|stretch| !after.has(stretch)) {
        db.prepare_cached("DELETE FROM sink_ended WHERE name = ?1 AND first_seq = ?2")?
            .execute(params![name, stretch.start()])?;
    }
    for stretch in after.iter().filter(|stretch| !before.has(stretch)) {
        db.prepare_cached("INSERT INTO sink_ended (name, first_seq, last_seq) VALUES (?1, ?2, ?3)")?
            .execute(params![name, stretch.start(), stretch.end()])?;
    }
    Ok(())
}

/// Forgets what is noted of changes up to this one, which are removed.
pub(super) fn forget(db: &Connection, name: &str, removed_to: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM sink_given_up WHERE name = ?1 AND change_seq <= ?2")?
        .execute(params![name, removed_to])?;
    let before = stretches(db, name, 0)?;
    let mut after = before.clone();
    after.remove_through(removed_to);
    write_stretches(db, name, &before, &after)
}

/// The position of a sink that has not left.
fn position(db: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT position FROM sinks WHERE name = ?1 AND left_at IS NULL")?
        .query_row([name], |row| row.get(0))
        .optional()
}

fn is_change(db: &Connection, seq: i64) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM changes WHERE change_seq = ?1")?.exists([seq])
}

/// Marks what was given up to be handed on again.
pub(super) fn hand_on_again(db: &Connection, name: &str, changes: &[i64]) -> rusqlite::Result<usize> {
    let mut marked = 0;
    for seq in changes {
        marked += db
            .prepare_cached(
                "UPDATE sink_given_up SET state = 'again'
                 WHERE name = ?1 AND change_seq = ?2 AND state = 'given_up'",
            )?
            .execute(params![name, seq])?;
    }
    Ok(marked)
}
