//! Reading anew what could not be read, and taking it out for good.
//!
//! What reads now comes in as a delivery of its own, with an id made of that of the delivery that brought it: so the rule of
//! the view, the line of changes and the history need to know nothing of it.

use bytes::{BufMut as _, Bytes, BytesMut};
use hookit_contract::{DeliveryId, StatusCodes, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::arrival::{Arrival, Part};
use super::book::{Tick, receive};
use crate::inbox::{Applied, Received, Source};
use crate::sqlite::word_at;

/// The thing, read as a delivery; none where it is not there.
pub(super) fn read(
    db: &Connection,
    codes: &StatusCodes,
    quarantine_id: i64,
    now: Timestamp,
) -> rusqlite::Result<Option<Arrival>> {
    db.prepare_cached(
        "SELECT q.position, q.bytes, d.delivery_id, d.event_type, d.source, d.secret, d.brand_id, d.branch_id
         FROM quarantine q CROSS JOIN deliveries d ON d.delivery_seq = q.delivery_seq WHERE q.quarantine_id = ?1",
    )?
    .query_row([quarantine_id], |row| {
        let position: Option<u32> = row.get(0)?;
        let bytes = Bytes::copy_from_slice(row.get_ref(1)?.as_bytes()?);
        let delivery_id = row.get_ref(2)?.as_str()?;
        let received = Received {
            delivery_id: DeliveryId::from(format!("{delivery_id}#{quarantine_id}")),
            event_type: row.get(3)?,
            source: word_at(row, 4, |word| word.parse::<Source>().ok())?,
            secret: row.get::<_, Option<String>>(5)?.map(Into::into),
            headers: Vec::new(),
            body: match position {
                None => bytes,
                Some(_) => envelope(row.get(6)?, row.get(7)?, &bytes),
            },
            received_at: now,
        };
        Ok(Arrival::read(received, codes))
    })
    .optional()
}

/// An envelope with one element, which may be anything.
fn envelope(brand_id: Option<i64>, branch_id: Option<i64>, element: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(element.len() + 96);
    body.put_u8(b'{');
    for (name, id) in [("brand_id", brand_id), ("branch_id", branch_id)] {
        if let Some(id) = id {
            body.put_slice(format!("\"{name}\":{id},").as_bytes());
        }
    }
    body.put_slice(b"\"orders\":[");
    body.put_slice(element);
    body.put_slice(b"]}");
    body.freeze()
}

/// Takes it in, where something of it reads now; keeps it with the reason of today where nothing does.
pub(super) fn apply(
    db: &Connection,
    tick: &mut Tick,
    codes: &StatusCodes,
    quarantine_id: i64,
    arrival: &Arrival,
) -> rusqlite::Result<Applied> {
    if !db.prepare_cached("SELECT 1 FROM quarantine WHERE quarantine_id = ?1")?.exists([quarantine_id])? {
        return Ok(Applied::NoSuchThing);
    }
    if let [Part::Unreadable { reason, .. }] = &arrival.parts[..] {
        db.prepare_cached("UPDATE quarantine SET reason = ?2 WHERE quarantine_id = ?1")?
            .execute(params![quarantine_id, reason])?;
        return Ok(Applied::Unreadable { reason: reason.clone() });
    }
    let receipt = receive(db, tick, codes, arrival)?;
    take_out(db, tick, quarantine_id)?;
    Ok(Applied::Read(receipt))
}

/// Takes it out; its delivery stays. The delivery, where there was such a thing.
pub(super) fn discard(
    db: &Connection,
    tick: &mut Tick,
    quarantine_id: i64,
) -> rusqlite::Result<Option<DeliveryId>> {
    let discarded = db
        .prepare_cached(
            "SELECT d.delivery_id FROM quarantine q CROSS JOIN deliveries d ON d.delivery_seq = q.delivery_seq
             WHERE q.quarantine_id = ?1",
        )?
        .query_row([quarantine_id], |row| Ok(DeliveryId::from(row.get_ref(0)?.as_str()?)))
        .optional()?;
    if discarded.is_some() {
        take_out(db, tick, quarantine_id)?;
    }
    Ok(discarded)
}

fn take_out(db: &Connection, tick: &mut Tick, quarantine_id: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM quarantine WHERE quarantine_id = ?1")?.execute([quarantine_id])?;
    tick.counts.quarantined -= 1;
    Ok(())
}
