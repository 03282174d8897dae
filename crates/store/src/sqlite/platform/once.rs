//! What partners ask for under keys of their own is done once.
//!
//! The key, and what became of it, are written by the transaction that does it. The writer does one thing after the other,
//! so of two that come at one time with one key the second finds what the first has left, be it in the same tick.

use hookit_contract::{DeliveryId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::book::Tick;
use super::order_rows::text;
use super::{changes, expiry, replays};
use crate::Error;
use crate::platform::{KEYS_KEPT, Once, OnceKey, PartnerMoveRequest, PartnerMoved, Replayed};
use crate::sqlite::failed;

/// Keys that are too old, and are removed with each that comes. More than one, so that they never gather.
pub(super) const REMOVED_WITH_EACH: i64 = 4;

/// What is kept of an outcome.
struct Kept {
    outcome: String,
    record_id: Option<i64>,
    refusal: Option<String>,
}

impl Kept {
    fn word(outcome: &str) -> Self {
        Kept { outcome: outcome.to_owned(), record_id: None, refusal: None }
    }
}

/// Moves an order, or says what became of it before.
pub(super) fn move_order(
    db: &Connection,
    tick: &mut Tick,
    codes: &hookit_contract::StatusCodes,
    key: &OnceKey,
    request: &PartnerMoveRequest,
    now: Timestamp,
) -> Result<Once<PartnerMoved>, Error> {
    if let Some(found) = find(db, key, now)? {
        let Some(kept) = found else { return Ok(Once::KeyTaken) };
        return moved_before(db, kept).map(Once::Done);
    }
    let moved = changes::move_for_partner(db, tick, codes, request, now)?;
    let kept = match &moved {
        PartnerMoved::Order(_) => {
            let record_id = db
                .prepare_cached("SELECT record_id FROM orders WHERE order_id = ?1")
                .and_then(|mut s| s.query_row([request.order_id.0], |row| row.get(0)))
                .map_err(failed("reading an order"))?;
            Kept { record_id: Some(record_id), ..Kept::word("moved") }
        }
        PartnerMoved::Refused(refusal) => {
            Kept { refusal: Some(refusal.clone()), ..Kept::word("move_refused") }
        }
        PartnerMoved::NoSuchOrder => Kept::word("no_such_order"),
    };
    keep(db, key, &kept, now)?;
    Ok(Once::Done(moved))
}

fn moved_before(db: &Connection, kept: Kept) -> Result<PartnerMoved, Error> {
    match (kept.outcome.as_str(), kept.record_id, kept.refusal) {
        ("moved", Some(record_id), _) => db
            .prepare_cached("SELECT record FROM records WHERE record_id = ?1")
            .and_then(|mut s| s.query_row([record_id], |row| text(row, 0)))
            .map(PartnerMoved::Order)
            .map_err(failed("reading a record")),
        ("move_refused", _, Some(refusal)) => Ok(PartnerMoved::Refused(refusal)),
        ("no_such_order", ..) => Ok(PartnerMoved::NoSuchOrder),
        (other, ..) => Err(Error::Corrupt(format!("a key says {other:?} of a move"))),
    }
}

/// Sends a delivery of a partner again, or says what became of that before.
pub(super) fn replay(
    db: &Connection,
    tick: &mut Tick,
    key: &OnceKey,
    delivery_id: &DeliveryId,
    now: Timestamp,
) -> Result<Once<Replayed>, Error> {
    if let Some(found) = find(db, key, now)? {
        let Some(kept) = found else { return Ok(Once::KeyTaken) };
        let replayed = REPLAYED.into_iter().find(|(word, _)| *word == kept.outcome);
        let corrupt = || Error::Corrupt(format!("a key says {:?} of a replay", kept.outcome));
        return replayed.map(|(_, replayed)| Once::Done(replayed)).ok_or_else(corrupt);
    }
    let is_own = db
        .prepare_cached(
            "SELECT 1 FROM deliveries d CROSS JOIN webhooks w ON w.webhook_id = d.webhook_id
             WHERE d.delivery_id = ?1 AND w.partner_id = ?2",
        )
        .and_then(|mut s| s.exists([delivery_id.as_str(), key.partner_id.as_str()]))
        .map_err(failed("reading a delivery"))?;
    let replayed = match is_own {
        true => replays::replay_delivery(db, tick, delivery_id, now)?,
        false => Replayed::NoSuchDelivery,
    };
    let (word, _) = REPLAYED.into_iter().find(|(_, of)| *of == replayed).expect("each outcome has a word");
    keep(db, key, &Kept::word(word), now)?;
    Ok(Once::Done(replayed))
}

/// The words that are kept of a replay.
const REPLAYED: [(&str, Replayed); 4] = [
    ("replayed", Replayed::Done),
    ("delivery_pending", Replayed::Pending),
    ("webhook_removed", Replayed::WebhookRemoved),
    ("no_such_delivery", Replayed::NoSuchDelivery),
];

/// What is kept under a key: nothing, or not what is asked for, or what became of it.
fn find(db: &Connection, key: &OnceKey, now: Timestamp) -> Result<Option<Option<Kept>>, Error> {
    let found = db
        .prepare_cached(
            "SELECT request_hash, outcome, record_id, refusal FROM partner_writes
             WHERE partner_id = ?1 AND key = ?2 AND created_at > ?3",
        )
        .and_then(|mut s| {
            s.query_row(params![key.partner_id.as_str(), key.key, oldest(now)], |row| {
                let is_same = row.get_ref(0)?.as_blob()? == key.request_hash;
                let kept = Kept { outcome: row.get(1)?, record_id: row.get(2)?, refusal: row.get(3)? };
                Ok(is_same.then_some(kept))
            })
            .optional()
        });
    found.map_err(failed("looking for a key"))
}

/// Keys of this moment or before are forgotten.
pub(super) fn oldest(now: Timestamp) -> i64 {
    now.as_millis().saturating_sub(i64::try_from(KEYS_KEPT.as_millis()).unwrap_or(i64::MAX))
}

fn keep(db: &Connection, key: &OnceKey, kept: &Kept, now: Timestamp) -> Result<(), Error> {
    let writing = failed("keeping a key");
    let old: Vec<Option<i64>> = db
        .prepare_cached(
            "DELETE FROM partner_writes WHERE (partner_id, key) IN (SELECT partner_id, key FROM partner_writes
                 WHERE created_at <= ?1 ORDER BY created_at LIMIT ?2) OR (partner_id = ?3 AND key = ?4)
             RETURNING record_id",
        )
        .and_then(|mut s| {
            let values = params![oldest(now), REMOVED_WITH_EACH, key.partner_id.as_str(), key.key];
            s.query_map(values, |row| row.get(0))?.collect()
        })
        .map_err(&writing)?;
    db.prepare_cached(
        "INSERT INTO partner_writes (partner_id, key, request_hash, outcome, record_id, refusal, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )
    .and_then(|mut s| {
        s.execute(params![
            key.partner_id.as_str(),
            key.key,
            &key.request_hash[..],
            kept.outcome,
            kept.record_id,
            kept.refusal,
            now.as_millis()
        ])
    })
    .map_err(&writing)?;
    old.into_iter().flatten().try_for_each(|record_id| expiry::remove_record(db, record_id))
}
