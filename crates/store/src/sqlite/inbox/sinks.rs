//! How far each sink has followed the changes.

use std::collections::BTreeSet;

use hookit_contract::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::reads;
use crate::Error;
use crate::inbox::{SINK_ENDED_MAX, SinkAdvanced, SinkEnd, SinkPosition, SinkStart, SinkWanted};
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
    let noted: BTreeSet<i64> = db
        .prepare_cached("SELECT change_seq FROM sink_changes WHERE name = ?1 AND change_seq > ?2")?
        .query_map(params![name, position], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut above = noted.clone();
    for (seq, _) in ended.iter().filter(|(seq, _)| *seq > position) {
        if is_change(db, *seq)? {
            above.insert(*seq);
        }
    }
    // The line is walked for as long as all in it have ended. Numbers that were never given do not stop it.
    let mut moved_to = position;
    {
        let mut line =
            db.prepare_cached("SELECT change_seq FROM changes WHERE change_seq > ?1 ORDER BY change_seq")?;
        let mut rows = line.query([position])?;
        while let Some(row) = rows.next()? {
            let seq = row.get(0)?;
            if !above.contains(&seq) {
                break;
            }
            moved_to = seq;
        }
    }
    if above.range(moved_to + 1..).count() > SINK_ENDED_MAX {
        return Ok(SinkAdvanced::TooFarAhead);
    }
    for (seq, end) in ended {
        match end {
            SinkEnd::GivenUp { reason } if *seq <= position || above.contains(seq) => {
                db.prepare_cached(
                    "INSERT INTO sink_changes (name, change_seq, state, reason, given_up_at)
                     SELECT ?1, change_seq, 'given_up', ?3, ?4 FROM changes WHERE change_seq = ?2
                     ON CONFLICT (name, change_seq) DO UPDATE SET state = excluded.state,
                         reason = excluded.reason, given_up_at = excluded.given_up_at",
                )?
                .execute(params![name, seq, reason, now.as_millis()])?;
            }
            SinkEnd::HandedOn if *seq > moved_to && above.contains(seq) => {
                db.prepare_cached(
                    "INSERT INTO sink_changes (name, change_seq, state) VALUES (?1, ?2, 'ended')
                     ON CONFLICT (name, change_seq) DO UPDATE SET state = 'ended', reason = NULL,
                         given_up_at = NULL",
                )?
                .execute(params![name, seq])?;
            }
            // At or below the position only what was given up has a row.
            SinkEnd::HandedOn if *seq <= position || noted.contains(seq) => {
                db.prepare_cached("DELETE FROM sink_changes WHERE name = ?1 AND change_seq = ?2")?
                    .execute(params![name, seq])?;
            }
            SinkEnd::HandedOn | SinkEnd::GivenUp { .. } => {}
        }
    }
    if moved_to > position {
        db.prepare_cached("UPDATE sinks SET position = ?2 WHERE name = ?1")?
            .execute(params![name, moved_to])?;
        if noted.range(..=moved_to).next().is_some() {
            db.prepare_cached(
                "DELETE FROM sink_changes
                 WHERE name = ?1 AND change_seq > ?2 AND change_seq <= ?3 AND state = 'ended'",
            )?
            .execute(params![name, position, moved_to])?;
        }
    }
    Ok(SinkAdvanced::To { position: moved_to })
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
                "UPDATE sink_changes SET state = 'again'
                 WHERE name = ?1 AND change_seq = ?2 AND state = 'given_up'",
            )?
            .execute(params![name, seq])?;
    }
    Ok(marked)
}
