//! Removes what is older than it is to be kept: first the line of changes from its beginning, as far as every sink has come, then
//! deliveries with their history, each when nothing that is kept stands in it.
//!
//! What goes is found in a reading connection; the writer only removes it, some rows in a transaction that others share. A
//! change is of the delivery that was taken in with it, so numbers of both rise together, and below the first change that is
//! kept no delivery has any.

use hookit_contract::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};

use super::{packing, sinks};
use crate::inbox::Expiry;

/// Rows that one step looks at, and so removes at most: what others wait for behind it.
const STEP_ROWS: i64 = 500;

/// What a step removes.
pub(super) enum Step {
    /// All changes up to this one.
    Changes(i64),
    /// These deliveries.
    Deliveries(Vec<i64>),
}

const CHANGES: &str = "SELECT c.change_seq, d.received_at FROM changes c
     CROSS JOIN deliveries d ON d.delivery_seq = c.delivery_seq ORDER BY c.change_seq LIMIT ?1";

/// The last of all is kept: the numbers that are given next are read off it.
const DELIVERIES: &str = "SELECT d.delivery_seq, d.received_at,
         EXISTS (SELECT 1 FROM quarantine q WHERE q.delivery_seq = d.delivery_seq)
             OR EXISTS (SELECT 1 FROM order_history h CROSS JOIN orders o ON o.order_id = h.order_id
                 WHERE h.delivery_seq = d.delivery_seq AND o.delivery_seq = d.delivery_seq)
     FROM deliveries d
     WHERE d.delivery_seq > ?1 AND d.delivery_seq < (SELECT max(delivery_seq) FROM deliveries)
         AND d.delivery_seq < coalesce(
             (SELECT delivery_seq FROM changes ORDER BY change_seq LIMIT 1), 9223372036854775807)
     ORDER BY d.delivery_seq LIMIT ?2";

/// The number up to which no sink wants a change any more.
const HANDED_ON: &str = "SELECT min(
         coalesce((SELECT min(position) FROM sinks WHERE left_at IS NULL), 9223372036854775807),
         coalesce((SELECT min(c.change_seq) - 1 FROM sink_given_up c JOIN sinks s ON s.name = c.name
             WHERE s.left_at IS NULL AND c.state = 'again'), 9223372036854775807))";

fn handed_on(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached(HANDED_ON)?.query_row([], |row| row.get(0))
}

/// What is to be removed behind a place, where there is something, and where to go on; nowhere where there is nothing more.
pub(super) fn look(
    db: &Connection,
    before: Timestamp,
    place: Expiry,
) -> rusqlite::Result<(Option<Step>, Option<Expiry>)> {
    match place {
        Expiry::Changes => look_at_changes(db, before),
        Expiry::Deliveries { after } => look_at_deliveries(db, before, after),
    }
}

fn look_at_changes(db: &Connection, before: Timestamp) -> rusqlite::Result<(Option<Step>, Option<Expiry>)> {
    let handed_on = handed_on(db)?;
    let mut statement = db.prepare_cached(CHANGES)?;
    let mut rows = statement.query([STEP_ROWS])?;
    let (mut up_to, mut looked_at, mut all_go) = (0, 0, true);
    while let Some(row) = rows.next()? {
        let seq = row.get(0)?;
        looked_at += 1;
        if seq > handed_on || row.get::<_, i64>(1)? >= before.as_millis() {
            all_go = false;
            break;
        }
        up_to = seq;
    }
    let next = match all_go && looked_at == STEP_ROWS {
        true => Expiry::Changes,
        false => Expiry::Deliveries { after: 0 },
    };
    Ok(((up_to > 0).then_some(Step::Changes(up_to)), Some(next)))
}

fn look_at_deliveries(
    db: &Connection,
    before: Timestamp,
    after: i64,
) -> rusqlite::Result<(Option<Step>, Option<Expiry>)> {
    let mut statement = db.prepare_cached(DELIVERIES)?;
    let mut rows = statement.query([after, STEP_ROWS])?;
    let (mut old, mut last, mut any_is_old) = (Vec::new(), after, false);
    while let Some(row) = rows.next()? {
        last = row.get(0)?;
        let is_old = row.get::<_, i64>(1)? < before.as_millis();
        any_is_old |= is_old;
        if is_old && !row.get::<_, bool>(2)? {
            old.push(last);
        }
    }
    // They come in the order of their arrival, but for a clock that was set back.
    let step = (!old.is_empty()).then_some(Step::Deliveries(old));
    Ok((step, any_is_old.then_some(Expiry::Deliveries { after: last })))
}

/// Does a step. A sink may have come since it was looked for.
pub(super) fn remove(db: &Connection, step: &Step) -> rusqlite::Result<()> {
    match step {
        Step::Changes(up_to) => remove_changes(db, (*up_to).min(handed_on(db)?)),
        Step::Deliveries(old) => {
            for seq in old {
                db.prepare_cached("DELETE FROM order_history WHERE delivery_seq = ?1")?.execute([seq])?;
                let pack_id: Option<i64> = db
                    .prepare_cached("DELETE FROM deliveries WHERE delivery_seq = ?1 RETURNING pack_id")?
                    .query_row([seq], |row| row.get(0))
                    .optional()?
                    .flatten();
                if let Some(pack_id) = pack_id {
                    packing::leave(db, pack_id)?;
                }
            }
            Ok(())
        }
    }
}

fn remove_changes(db: &Connection, up_to: i64) -> rusqlite::Result<()> {
    let last: Option<i64> = db
        .prepare_cached("SELECT max(change_seq) FROM changes WHERE change_seq <= ?1")?
        .query_row([up_to], |row| row.get(0))
        .optional()?
        .flatten();
    let Some(last) = last else { return Ok(()) };
    let names: Vec<String> = db
        .prepare_cached("SELECT name FROM sinks")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for name in names {
        sinks::forget(db, &name, last)?;
    }
    db.prepare_cached("DELETE FROM changes WHERE change_seq <= ?1")?.execute([last])?;
    db.prepare_cached("UPDATE totals SET changes_removed_to = ?1")?.execute([last])?;
    Ok(())
}
