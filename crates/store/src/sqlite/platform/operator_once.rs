//! What operators and surfaces ask for under keys of their own is done once, in the way of [`super::once`]: the key, and what became
//! of it, are written by the transaction that does it.
//!
//! A record that cannot be an order leaves no key behind: nothing was done, and it is judged anew. So is a move that was refused by
//! rules that are no longer the same.

use hookit_contract::{MoveVerdict, OrderId, Record, StatusCodes, Timestamp, check_move};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::book::Tick;
use super::changes::{self, Prepared};
use super::expiry;
use super::once::{REMOVED_WITH_EACH, oldest};
use super::order_rows::text;
use crate::Error;
use crate::platform::{Changed, Once, OperatorKey, StoredOrder};
use crate::sqlite::failed;

/// What is kept of an outcome.
struct Kept {
    outcome: String,
    record_id: Option<i64>,
    status: Option<i64>,
}

/// What became of a change, and whether it was asked for just now for the first time.
pub(super) type Outcome = (Once<Changed>, bool);

/// Changes an order, or says what became of it before.
pub(super) fn change(
    db: &Connection,
    tick: &mut Tick,
    codes: &StatusCodes,
    key: &OperatorKey,
    change: &Prepared,
    now: Timestamp,
) -> Result<Outcome, Error> {
    if let Some(found) = find(db, key, now)? {
        let Some(kept) = found else { return Ok((Once::KeyTaken, false)) };
        if let Some(before) = before(db, codes, change, &kept)? {
            return Ok((Once::Done(before), false));
        }
    }
    let changed = changes::apply(db, tick, codes, change, now)?;
    if let Some(kept) = kept(db, change, &changed)? {
        keep(db, key, &kept, now)?;
    }
    Ok((Once::Done(changed), true))
}

fn kept(db: &Connection, change: &Prepared, changed: &Changed) -> Result<Option<Kept>, Error> {
    let of_order = |column: &str, order_id: OrderId| {
        db.prepare_cached(&format!("SELECT {column} FROM orders WHERE order_id = ?1"))
            .and_then(|mut s| s.query_row([order_id.0], |row| row.get(0)))
            .map(Some)
            .map_err(failed("reading an order"))
    };
    let of_refused = || change.order_id().map_or(Ok(None), |order_id| of_order("status", order_id));
    let (outcome, record_id, status) = match changed {
        Changed::Done(order) => ("done", of_order("record_id", order.order_id)?, None),
        Changed::Unchanged(order) => ("unchanged", of_order("record_id", order.order_id)?, None),
        Changed::NoSuchOrder => ("no_such_order", None, None),
        Changed::IdTaken(_) => ("id_taken", None, None),
        Changed::MoveRefused(_) => ("move_refused", None, of_refused()?),
        Changed::CartFinal(_) => ("cart_final", None, of_refused()?),
        Changed::Invalid(_) => return Ok(None),
    };
    Ok(Some(Kept { outcome: outcome.to_owned(), record_id, status }))
}

/// What was answered when it was asked for first; nothing where that would no longer be refused.
fn before(
    db: &Connection,
    codes: &StatusCodes,
    change: &Prepared,
    kept: &Kept,
) -> Result<Option<Changed>, Error> {
    let changed = match (kept.outcome.as_str(), change, kept.record_id, kept.status) {
        ("done", _, Some(record_id), _) => Changed::Done(recorded(db, codes, record_id)?),
        ("unchanged", _, Some(record_id), _) => Changed::Unchanged(recorded(db, codes, record_id)?),
        ("no_such_order", ..) => Changed::NoSuchOrder,
        ("id_taken", Prepared::Create(order), ..) if order.id().is_some() => {
            Changed::IdTaken(order.id().expect("it was just looked at"))
        }
        ("move_refused", Prepared::Move { to, actor, .. }, _, Some(status)) => {
            match check_move(codes.status(status), *to, *actor) {
                MoveVerdict::Refused(refusal) => Changed::MoveRefused(refusal),
                _ => return Ok(None),
            }
        }
        ("cart_final", Prepared::EditCart { .. }, _, Some(status)) => {
            Changed::CartFinal(codes.status(status))
        }
        (other, ..) => return Err(Error::Corrupt(format!("a key says {other:?} of a change"))),
    };
    Ok(Some(changed))
}

/// An order as it stood at one of its versions.
fn recorded(db: &Connection, codes: &StatusCodes, record_id: i64) -> Result<StoredOrder, Error> {
    let (order_id, version, business_id, branch_id, bytes) = db
        .prepare_cached(
            "SELECT r.order_id, r.version, o.business_id, o.branch_id, r.record
             FROM records r JOIN orders o ON o.order_id = r.order_id WHERE r.record_id = ?1",
        )
        .and_then(|mut s| {
            s.query_row([record_id], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, text(row, 4)?))
            })
        })
        .map_err(failed("reading a record"))?;
    let order_id = OrderId(order_id);
    let corrupt = |e| Error::Corrupt(format!("a record of order {order_id} cannot be read: {e}"));
    let status = Record::kept(bytes.clone()).and_then(|record| record.status(codes)).map_err(corrupt)?;
    let status =
        status.ok_or_else(|| Error::Corrupt(format!("a record of order {order_id} has no status")))?;
    let (business_id, branch_id) =
        (hookit_contract::BusinessId(business_id), hookit_contract::BranchId(branch_id));
    Ok(StoredOrder { order_id, business_id, branch_id, status, version, record: bytes })
}

/// What is kept under a key: nothing, or not what is asked for, or what became of it.
fn find(db: &Connection, key: &OperatorKey, now: Timestamp) -> Result<Option<Option<Kept>>, Error> {
    let found = db
        .prepare_cached(
            "SELECT request_hash, outcome, record_id, status FROM operator_writes
             WHERE token_id = ?1 AND key = ?2 AND created_at > ?3",
        )
        .and_then(|mut s| {
            s.query_row(params![key.token_id.0, key.key, oldest(now)], |row| {
                let is_same = row.get_ref(0)?.as_blob()? == key.request_hash;
                let kept = Kept { outcome: row.get(1)?, record_id: row.get(2)?, status: row.get(3)? };
                Ok(is_same.then_some(kept))
            })
            .optional()
        });
    found.map_err(failed("looking for a key"))
}

fn keep(db: &Connection, key: &OperatorKey, kept: &Kept, now: Timestamp) -> Result<(), Error> {
    let writing = failed("keeping a key");
    let old: Vec<Option<i64>> = db
        .prepare_cached(
            "DELETE FROM operator_writes WHERE (token_id, key) IN (SELECT token_id, key FROM operator_writes
                 WHERE created_at <= ?1 ORDER BY created_at LIMIT ?2) OR (token_id = ?3 AND key = ?4)
             RETURNING record_id",
        )
        .and_then(|mut s| {
            let values = params![oldest(now), REMOVED_WITH_EACH, key.token_id.0, key.key];
            s.query_map(values, |row| row.get(0))?.collect()
        })
        .map_err(&writing)?;
    db.prepare_cached(
        "INSERT INTO operator_writes (token_id, key, request_hash, outcome, record_id, status, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )
    .and_then(|mut s| {
        s.execute(params![
            key.token_id.0,
            key.key,
            &key.request_hash[..],
            kept.outcome,
            kept.record_id,
            kept.status,
            now.as_millis()
        ])
    })
    .map_err(&writing)?;
    old.into_iter().flatten().try_for_each(|record_id| expiry::remove_record(db, record_id))
}
