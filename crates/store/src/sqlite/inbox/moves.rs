//! Moves that wait for the platform's word, and their ends.

use bytes::Bytes;
use hookit_contract::{OrderId, PartnerMove, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::inbox::{MOVES_PENDING_MAX, MoveAsked, MoveEnd, MoveState, NewMove, OrderMove};
use crate::sqlite::{limit as sql_limit, word_at};

/// Age of an ended move that is removed when another is asked for. As long as the platform's own record of it.
const KEPT_MS: i64 = 30 * 86_400_000;

/// So many are removed with each new one, so that none pays for all.
const REMOVED_AT_ONCE: i64 = 4;

const MOVE: &str =
    "SELECT move_id, order_id, asked, body, asked_at, state, ended_at, code, message FROM moves";

fn read(row: &Row<'_>) -> rusqlite::Result<OrderMove> {
    Ok(OrderMove {
        move_id: row.get(0)?,
        order_id: OrderId(row.get(1)?),
        asked: word_at(row, 2, PartnerMove::from_word)?,
        body: Bytes::from(row.get::<_, Vec<u8>>(3)?),
        asked_at: Timestamp::from_millis(row.get(4)?),
        state: word_at(row, 5, MoveState::from_word)?,
        ended_at: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_millis),
        code: row.get(7)?,
        message: row.get(8)?,
    })
}

pub(super) fn ask(db: &Connection, new: &NewMove) -> rusqlite::Result<MoveAsked> {
    if let Some(key) = &new.key {
        let found = db
            .prepare_cached("SELECT move_id, request_hash FROM moves WHERE key = ?1")?
            .query_row([key], |row| Ok((row.get::<_, String>(0)?, row.get::<_, [u8; 32]>(1)?)))
            .optional()?;
        match found {
            Some((move_id, hash)) if hash == new.request_hash => {
                let known = one(db, &move_id)?.expect("it was found in this transaction");
                return Ok(MoveAsked::Same(known));
            }
            Some(_) => return Ok(MoveAsked::KeyTaken),
            None => {}
        }
    }
    let pending: i64 = db
        .prepare_cached("SELECT count(*) FROM moves WHERE state = 'pending'")?
        .query_row([], |row| row.get(0))?;
    if u64::try_from(pending).unwrap_or(0) >= MOVES_PENDING_MAX {
        return Ok(MoveAsked::TooMany);
    }
    db.prepare_cached(
        "DELETE FROM moves WHERE move_seq IN
             (SELECT move_seq FROM moves WHERE ended_at < ?1 ORDER BY ended_at LIMIT ?2)",
    )?
    .execute([new.asked_at.as_millis().saturating_sub(KEPT_MS), REMOVED_AT_ONCE])?;
    db.prepare_cached(
        "INSERT INTO moves (move_id, key, request_hash, order_id, asked, body, asked_at, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'pending')",
    )?
    .execute(params![
        new.move_id,
        new.key,
        new.request_hash,
        new.order_id.0,
        new.asked.as_str(),
        &new.body[..],
        new.asked_at.as_millis()
    ])?;
    Ok(MoveAsked::New)
}

/// False where it has ended already.
pub(super) fn end(db: &Connection, move_id: &str, end: &MoveEnd) -> rusqlite::Result<bool> {
    let changed = db
        .prepare_cached(
            "UPDATE moves SET state = ?2, code = ?3, message = ?4, ended_at = ?5
             WHERE move_id = ?1 AND state = 'pending'",
        )?
        .execute(params![move_id, end.state.as_str(), end.code, end.message, end.ended_at.as_millis()])?;
    Ok(changed > 0)
}

pub(super) fn one(db: &Connection, move_id: &str) -> rusqlite::Result<Option<OrderMove>> {
    db.prepare_cached(&format!("{MOVE} WHERE move_id = ?1"))?.query_row([move_id], read).optional()
}

pub(super) fn pending(db: &Connection, limit: usize) -> rusqlite::Result<Vec<OrderMove>> {
    db.prepare_cached(&format!("{MOVE} WHERE state = 'pending' ORDER BY move_seq LIMIT ?1"))?
        .query_map([sql_limit(limit)], read)?
        .collect()
}

pub(super) fn of_order(db: &Connection, order_id: OrderId, limit: usize) -> rusqlite::Result<Vec<OrderMove>> {
    db.prepare_cached(&format!("{MOVE} WHERE order_id = ?1 ORDER BY move_seq DESC LIMIT ?2"))?
        .query_map([order_id.0, sql_limit(limit)], read)?
        .collect()
}
