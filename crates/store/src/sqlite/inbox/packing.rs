//! Packs bodies that nobody is likely to look at: those of an order of which nothing came for a while, but for the one with its
//! newest state, together. Alone a body becomes a third of what it was, with its neighbours in time a tenth.
//!
//! The orders are gone through in the order in which they came to rest, each once and again whenever it has come to rest anew; so
//! what it costs is what came, however much there is. What goes is found and packed in a reading connection; the writer only puts
//! it in its place, a few bodies in a transaction that others share.
//!
//! zlib's format, because everybody can read it: SQLite's own shell, and whatever language an operator has. Its checksum is
//! compared at each unpacking.

use std::collections::HashSet;

use hookit_contract::Timestamp;
use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use rusqlite::{Connection, Row, params};

/// Bodies that one step packs at most, and their bytes; one that has more comes alone. A commit writes a page for each, and others
/// wait for it.
const STEP_BODIES: usize = 32;
const STEP_BYTES: usize = 1 << 20;

/// Orders that one step looks at. Most have nothing to pack where packing has come this far before.
const STEP_ORDERS: i64 = 200;

/// Bytes in one pack before it is packed: what has to be unpacked for one body of it.
const PACK_BYTES: usize = 256 << 10;

/// From the first to the last body of a pack: its bytes stay as long as any of them does, and so no longer than this for another's
/// sake.
const PACK_SPAN_MS: u64 = 86_400_000;

/// How hard it is tried, of 10. More takes longer and saves nothing.
const LEVEL: u8 = 6;

/// A body in a pack.
struct Body {
    delivery_seq: i64,
    offset: usize,
    bytes: usize,
}

/// Bodies that were packed together.
struct Pack {
    bytes: Vec<u8>,
    unpacked: usize,
    bodies: Vec<Body>,
}

/// Where packing goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mark {
    received_at: i64,
    order_id: i64,
    /// Behind this delivery of the order.
    delivery_seq: i64,
}

/// What a step puts in its place.
pub(super) struct Step {
    packs: Vec<Pack>,
    next: Mark,
}

impl Step {
    pub(super) fn bytes(&self) -> usize {
        self.packs.iter().map(|pack| pack.bytes.len() + 64 * pack.bodies.len()).sum()
    }
}

const ORDERS: &str = "SELECT received_at, order_id FROM orders INDEXED BY orders_by_received
     WHERE (received_at, order_id) >= (?1, ?2) AND received_at < ?3
     ORDER BY received_at, order_id LIMIT ?4";

/// Bodies of an order that may be packed. Of what is in quarantine it is not known how long it stays.
const BODIES: &str = "SELECT h.delivery_seq, d.received_at, d.body
     FROM order_history h CROSS JOIN deliveries d ON d.delivery_seq = h.delivery_seq
     WHERE h.order_id = ?1 AND h.delivery_seq > ?2 AND d.pack_id IS NULL
         AND NOT EXISTS (SELECT 1 FROM quarantine q WHERE q.delivery_seq = h.delivery_seq)
         AND NOT EXISTS (SELECT 1 FROM order_history n CROSS JOIN orders o ON o.order_id = n.order_id
             WHERE n.delivery_seq = h.delivery_seq AND o.delivery_seq = n.delivery_seq)
     ORDER BY h.delivery_seq";

/// What is to be packed next of orders of which nothing came since this moment; nothing where there are none.
pub(super) fn look(db: &Connection, before: Timestamp) -> rusqlite::Result<Option<Step>> {
    let mark = db
        .prepare_cached("SELECT received_at, order_id, delivery_seq FROM packing")?
        .query_row([], |row| {
            Ok(Mark { received_at: row.get(0)?, order_id: row.get(1)?, delivery_seq: row.get(2)? })
        })?;
    let orders: Vec<(i64, i64)> = db
        .prepare_cached(ORDERS)?
        .query_map(params![mark.received_at, mark.order_id, before.as_millis(), STEP_ORDERS], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    let mut gathered = Gathered::default();
    let mut next = mark;
    for (received_at, order_id) in orders {
        let is_mark = (received_at, order_id) == (mark.received_at, mark.order_id);
        let mut behind = if is_mark { mark.delivery_seq } else { 0 };
        next = Mark { received_at, order_id, delivery_seq: i64::MAX };
        let mut bodies = db.prepare_cached(BODIES)?;
        let mut rows = bodies.query([order_id, behind])?;
        while let Some(row) = rows.next()? {
            if gathered.is_full() {
                next.delivery_seq = behind;
                break;
            }
            behind = row.get(0)?;
            gathered.take(row)?;
        }
        gathered.end_pack();
        if gathered.is_full() {
            break;
        }
    }
    Ok((next != mark).then_some(Step { packs: gathered.packs, next }))
}

/// The packs of a step as they grow.
#[derive(Default)]
struct Gathered {
    packs: Vec<Pack>,
    /// Of the pack that is open.
    raw: Vec<u8>,
    bodies: Vec<Body>,
    began_at: i64,
    /// In all. A delivery may bring several orders, or one more than once.
    taken: HashSet<i64>,
    taken_bytes: usize,
}

impl Gathered {
    fn is_full(&self) -> bool {
        self.taken.len() >= STEP_BODIES || self.taken_bytes >= STEP_BYTES
    }

    fn take(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let (delivery_seq, received_at) = (row.get(0)?, row.get::<_, i64>(1)?);
        if !self.taken.insert(delivery_seq) {
            return Ok(());
        }
        let body = row.get_ref(2)?.as_bytes()?;
        if self.raw.len() + body.len() > PACK_BYTES || received_at.abs_diff(self.began_at) > PACK_SPAN_MS {
            self.end_pack();
        }
        if self.bodies.is_empty() {
            self.began_at = received_at;
        }
        self.bodies.push(Body { delivery_seq, offset: self.raw.len(), bytes: body.len() });
        self.raw.extend_from_slice(body);
        self.taken_bytes += body.len();
        Ok(())
    }

    fn end_pack(&mut self) {
        if self.bodies.is_empty() {
            return;
        }
        let (raw, bodies) = (std::mem::take(&mut self.raw), std::mem::take(&mut self.bodies));
        self.packs.extend(pack(&raw).map(|bytes| Pack { bytes, unpacked: raw.len(), bodies }));
    }
}

/// Packs; nothing where that saves less than a quarter.
fn pack(raw: &[u8]) -> Option<Vec<u8>> {
    let packed = compress_to_vec_zlib(raw, LEVEL);
    let pays = packed.len() <= raw.len() / 4 * 3;
    // What takes the place of signed bytes was seen to be them.
    (pays && unpack(&packed, raw.len()).is_ok_and(|again| again == raw)).then_some(packed)
}

/// Unpacks what is known to have so many bytes.
pub(super) fn unpack(packed: &[u8], unpacked: usize) -> Result<Vec<u8>, String> {
    let raw = decompress_to_vec_zlib_with_limit(packed, unpacked)
        .map_err(|error| format!("a pack cannot be unpacked: {error}"))?;
    match raw.len() {
        found if found == unpacked => Ok(raw),
        found => Err(format!("a pack has {found} bytes; expected {unpacked}")),
    }
}

/// Reads bodies and parts of them, packed or not. Of one pack many may follow each other.
#[derive(Default)]
pub(super) struct Unpacker {
    open: Option<(i64, Vec<u8>)>,
}

/// What [`Unpacker::part`] asks of a row, of deliveries `d` with their packs `p`; behind it where in the body the part is, and how
/// many bytes it has.
macro_rules! packed_columns {
    () => {
        "d.pack_id, d.pack_offset, p.bytes, p.unpacked"
    };
}
pub(super) use packed_columns;

impl Unpacker {
    /// A part of a packed body; `column` is the first of [`packed_columns`]. Nothing where the body is not packed.
    pub(super) fn part(&mut self, row: &Row<'_>, column: usize) -> rusqlite::Result<Option<&[u8]>> {
        let Some(pack_id) = row.get::<_, Option<i64>>(column)? else { return Ok(None) };
        let corrupt = |column, why: String| {
            rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, why.into())
        };
        let size = |column| {
            let number: i64 = row.get(column)?;
            usize::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
        };
        if self.open.as_ref().is_none_or(|(open, _)| *open != pack_id) {
            let raw = unpack(row.get_ref(column + 2)?.as_bytes()?, size(column + 3)?)
                .map_err(|why| corrupt(column + 2, why))?;
            self.open = Some((pack_id, raw));
        }
        let raw = self.open.as_ref().map_or(&[][..], |(_, raw)| raw);
        let from = size(column + 1)?.saturating_add(size(column + 4)?);
        let part = from.checked_add(size(column + 5)?).and_then(|to| raw.get(from..to));
        part.map(Some).ok_or_else(|| corrupt(column + 1, "a body is not within its pack".to_owned()))
    }
}

/// A delivery whose body is in a pack takes the place of itself. An update would leave its page as it is, nearly empty; of rows
/// that go and come SQLite joins the pages.
const REPLACE: &str = "INSERT OR REPLACE INTO deliveries (delivery_seq, delivery_id, event_type, body, received_at, source,
         secret, headers, brand_id, branch_id, pack_id, pack_offset, body_bytes)
     SELECT delivery_seq, delivery_id, event_type, x'', received_at, source, secret, headers, brand_id, branch_id, ?2, ?3, ?4
     FROM deliveries WHERE delivery_seq = ?1 AND pack_id IS NULL";

/// Does a step. What it packs may have been removed for its age since it was looked for.
pub(super) fn put(db: &Connection, Step { packs, next }: &Step) -> rusqlite::Result<()> {
    for Pack { bytes, unpacked, bodies } in packs {
        db.prepare_cached("INSERT INTO packs (bytes, unpacked, bodies) VALUES (?1, ?2, ?3)")?
            .execute(params![bytes, *unpacked as i64, bodies.len() as i64])?;
        let pack_id = db.last_insert_rowid();
        let mut replace = db.prepare_cached(REPLACE)?;
        let mut put = 0;
        for Body { delivery_seq, offset, bytes } in bodies {
            put += replace.execute([*delivery_seq, pack_id, *offset as i64, *bytes as i64])?;
        }
        for _ in put..bodies.len() {
            leave(db, pack_id)?;
        }
    }
    db.prepare_cached("UPDATE packing SET received_at = ?1, order_id = ?2, delivery_seq = ?3")?.execute([
        next.received_at,
        next.order_id,
        next.delivery_seq,
    ])?;
    Ok(())
}

/// One delivery less is in a pack, which goes with its last one.
pub(super) fn leave(db: &Connection, pack_id: i64) -> rusqlite::Result<()> {
    let is_last =
        db.prepare_cached("DELETE FROM packs WHERE pack_id = ?1 AND bodies = 1")?.execute([pack_id])? > 0;
    if !is_last {
        db.prepare_cached("UPDATE packs SET bodies = bodies - 1 WHERE pack_id = ?1")?.execute([pack_id])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_as_it_went_in_and_damage_is_noticed() {
        let raw = br#"{"id":7,"status":1}"#.repeat(100);
        let packed = pack(&raw).expect("it pays");
        assert!(packed.len() < raw.len() / 4);
        assert_eq!(unpack(&packed, raw.len()).unwrap(), raw);
        for at in 0..packed.len() {
            let mut damaged = packed.clone();
            damaged[at] ^= 0x10;
            let unpacked = unpack(&damaged, raw.len());
            // Before the checksum there may be some bits that say nothing.
            let is_last = at >= packed.len() - 4;
            assert!(unpacked.is_err() || !is_last && unpacked.unwrap() == raw, "byte {at}");
        }
        assert!(unpack(&packed, raw.len() - 1).is_err());
        assert!(unpack(&packed, raw.len() + 1).is_err());
        assert!(unpack(&packed[..packed.len() - 1], raw.len()).is_err());
    }

    #[test]
    fn what_would_save_less_than_a_quarter_stays_as_it_is() {
        // A generator of numbers without any order.
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(4_000)
        .collect();
        assert!(pack(&noise).is_none());
        assert!(pack(b"{}").is_none() && pack(b"").is_none());
    }
}
