//! What is read from the inbox's store, each from one snapshot.

use std::collections::BTreeMap;

use bytes::Bytes;
use hookit_contract::{BranchId, BrandId, DeliveryId, OrderId, StatusCodes, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};

use super::book::status;
use super::packing::{Unpacker, packed_columns};
use super::sinks;
use crate::Error;
use crate::inbox::{
    CHANGES_BYTES_MAX, Change, Changes, GivenUp, HistoryEntry, HistoryPlace, HistoryQuery, KeptDelivery,
    PAGE_BYTES_MAX, Page, Quarantined, SinkPosition, Source, ViewedOrder,
};
use crate::sqlite::{count, failed, limit as sql_limit, word};

pub(super) const ORDER: &str =
    "SELECT o.order_id, o.status, o.version, substr(d.body, o.record_offset + 1, o.record_bytes),
         d.delivery_id, o.received_at
     FROM orders o CROSS JOIN deliveries d ON d.delivery_seq = o.delivery_seq";

pub(super) fn viewed(row: &Row<'_>, codes: &StatusCodes) -> rusqlite::Result<ViewedOrder> {
    Ok(ViewedOrder {
        order_id: OrderId(row.get(0)?),
        status: status(codes, row.get(1)?),
        version: row.get(2)?,
        record: Bytes::copy_from_slice(row.get_ref(3)?.as_bytes()?),
        delivery_id: delivery_id(row, 4)?,
        received_at: Timestamp::from_millis(row.get(5)?),
    })
}

fn delivery_id(row: &Row<'_>, column: usize) -> rusqlite::Result<DeliveryId> {
    Ok(DeliveryId::from(row.get_ref(column)?.as_str()?))
}

/// A page of what is found, which was asked for one more than the limit.
pub(super) fn page<T>(
    found: impl Iterator<Item = rusqlite::Result<T>>,
    limit: usize,
    bytes_of: impl Fn(&T) -> usize,
) -> rusqlite::Result<Page<T>> {
    let (mut items, mut bytes) = (Vec::new(), 0);
    for item in found {
        let item = item?;
        bytes += bytes_of(&item);
        if items.len() == limit || (bytes > PAGE_BYTES_MAX && !items.is_empty()) {
            return Ok(Page { items, more: true });
        }
        items.push(item);
    }
    Ok(Page { items, more: false })
}

pub(super) fn order(
    db: &Connection,
    codes: &StatusCodes,
    order_id: OrderId,
) -> Result<Option<ViewedOrder>, Error> {
    db.prepare_cached(&format!("{ORDER} WHERE o.order_id = ?1"))
        .and_then(|mut s| s.query_row([order_id.0], |row| viewed(row, codes)).optional())
        .map_err(failed("reading an order"))
}

pub(super) fn history(
    db: &Connection,
    codes: &StatusCodes,
    query: HistoryQuery,
) -> Result<Option<Page<HistoryEntry>>, Error> {
    let entry = |row: &Row<'_>| -> rusqlite::Result<(HistoryEntry, String)> {
        let entry = HistoryEntry {
            place: HistoryPlace { delivery_seq: row.get(8)?, position: row.get(9)? },
            status: status(codes, row.get(0)?),
            version: row.get(1)?,
            updated_at: row.get::<_, Option<i64>>(2)?.map(Timestamp::from_millis),
            event_type: row.get(3)?,
            delivery_id: delivery_id(row, 4)?,
            // Put in below, where an error of ours can be told.
            source: Source::Webhook,
            received_at: Timestamp::from_millis(row.get(5)?),
            applied: row.get(6)?,
        };
        Ok((entry, row.get(7)?))
    };
    let HistoryQuery { order_id, after, newest_first, limit } = query;
    let (which, from) = match newest_first {
        false => ("> (?2, ?3) ORDER BY h.delivery_seq, h.position", (0, 0)),
        true => ("< (?2, ?3) ORDER BY h.delivery_seq DESC, h.position DESC", (i64::MAX, 0)),
    };
    let (seq, position) = after.map_or(from, |place| (place.delivery_seq, place.position));
    let read = db
        .prepare_cached(&format!(
            "SELECT h.status, h.version, h.updated_at, d.event_type, d.delivery_id, d.received_at, h.applied, d.source,
                 h.delivery_seq, h.position
             FROM order_history h CROSS JOIN deliveries d ON d.delivery_seq = h.delivery_seq
             WHERE h.order_id = ?1 AND (h.delivery_seq, h.position) {which} LIMIT ?4"
        ))
        .and_then(|mut s| {
            let values = params![order_id.0, seq, position, sql_limit(limit.saturating_add(1))];
            page(s.query_map(values, entry)?, limit, |_| 0)
        })
        .map_err(failed("reading an order's history"))?;
    let mut entries = Vec::with_capacity(read.items.len());
    for (entry, source) in read.items {
        entries.push(HistoryEntry { source: word(&source, "source of a delivery")?, ..entry });
    }
    // Whatever came of an order is in its history, so an empty one means that the order never came.
    let came = !entries.is_empty() || (after.is_some() && order(db, codes, order_id)?.is_some());
    Ok(came.then_some(Page { items: entries, more: read.more }))
}

pub(super) fn quarantine(
    db: &Connection,
    after: Option<i64>,
    limit: usize,
) -> Result<Page<Quarantined>, Error> {
    let kept = |row: &Row<'_>| -> rusqlite::Result<Quarantined> {
        Ok(Quarantined {
            quarantine_id: row.get(0)?,
            delivery_id: delivery_id(row, 1)?,
            position: row.get(2)?,
            reason: row.get(3)?,
            bytes: Bytes::from(row.get::<_, Vec<u8>>(4)?),
            received_at: Timestamp::from_millis(row.get(5)?),
        })
    };
    db.prepare_cached(
        "SELECT q.quarantine_id, d.delivery_id, q.position, q.reason, q.bytes, d.received_at
         FROM quarantine q CROSS JOIN deliveries d ON d.delivery_seq = q.delivery_seq
         WHERE q.quarantine_id > ?1 ORDER BY q.quarantine_id LIMIT ?2",
    )
    .and_then(|mut s| {
        let found = s.query_map([after.unwrap_or(0), sql_limit(limit.saturating_add(1))], kept)?;
        page(found, limit, |thing| thing.bytes.len())
    })
    .map_err(failed("listing the quarantine"))
}

pub(super) fn delivery(db: &Connection, delivery_id: &DeliveryId) -> Result<Option<KeptDelivery>, Error> {
    let kept = |row: &Row<'_>| -> rusqlite::Result<(KeptDelivery, String, Option<String>)> {
        let kept = KeptDelivery {
            delivery_id: delivery_id.clone(),
            event_type: row.get(0)?,
            // Put in below, where an error of ours can be told.
            source: Source::Webhook,
            headers: Vec::new(),
            secret: row.get(2)?,
            brand_id: row.get::<_, Option<i64>>(4)?.map(BrandId),
            branch_id: row.get::<_, Option<i64>>(5)?.map(BranchId),
            body: match Unpacker::default().part(row, 8)? {
                Some(unpacked) => Bytes::copy_from_slice(unpacked),
                None => Bytes::from(row.get::<_, Vec<u8>>(6)?),
            },
            received_at: Timestamp::from_millis(row.get(7)?),
        };
        Ok((kept, row.get(1)?, row.get(3)?))
    };
    let found = db
        .prepare_cached(concat!(
            "SELECT d.event_type, d.source, d.secret, d.headers, d.brand_id, d.branch_id, d.body, d.received_at, ",
            packed_columns!(),
            ", 0, d.body_bytes
             FROM deliveries d LEFT JOIN packs p ON p.pack_id = d.pack_id WHERE d.delivery_id = ?1",
        ))
        .and_then(|mut s| s.query_row([delivery_id.as_str()], kept).optional())
        .map_err(failed("reading a delivery"))?;
    let Some((mut kept, source, headers)) = found else { return Ok(None) };
    kept.source = word(&source, "source of a delivery")?;
    if let Some(headers) = headers {
        let object: BTreeMap<String, String> = serde_json::from_str(&headers)
            .map_err(|error| Error::Corrupt(format!("headers of a delivery: {error}")))?;
        kept.headers = object.into_iter().collect();
    }
    Ok(Some(kept))
}

const CHANGE: &str = concat!(
    "SELECT c.change_seq, c.order_id, h.status, h.version, d.event_type, d.delivery_id, c.position,
         d.brand_id, d.branch_id, d.received_at, substr(d.body, c.record_offset + 1, c.record_bytes), ",
    packed_columns!(),
    ", c.record_offset, c.record_bytes
     FROM changes c
     CROSS JOIN deliveries d ON d.delivery_seq = c.delivery_seq
     CROSS JOIN order_history h
         ON h.order_id = c.order_id AND h.delivery_seq = c.delivery_seq AND h.position = c.position
     LEFT JOIN packs p ON p.pack_id = d.pack_id"
);

/// Reads changes until their records have so many bytes together.
fn read_changes(
    db: &Connection,
    codes: &StatusCodes,
    which: &str,
    values: impl Params,
) -> Result<Vec<Change>, Error> {
    let read = || -> rusqlite::Result<Vec<Change>> {
        let mut statement = db.prepare_cached(&format!("{CHANGE} {which}"))?;
        let mut rows = statement.query(values)?;
        let (mut found, mut bytes, mut unpacker) = (Vec::new(), 0, Unpacker::default());
        while let Some(row) = rows.next()? {
            let record = match unpacker.part(row, 11)? {
                Some(unpacked) => unpacked,
                None => row.get_ref(10)?.as_bytes()?,
            };
            bytes += record.len();
            if bytes > CHANGES_BYTES_MAX && !found.is_empty() {
                break;
            }
            found.push(Change {
                change_seq: row.get(0)?,
                order_id: OrderId(row.get(1)?),
                status: status(codes, row.get(2)?),
                version: row.get(3)?,
                event_type: row.get(4)?,
                delivery_id: delivery_id(row, 5)?,
                position: row.get(6)?,
                brand_id: row.get::<_, Option<i64>>(7)?.map(BrandId),
                branch_id: row.get::<_, Option<i64>>(8)?.map(BranchId),
                received_at: Timestamp::from_millis(row.get(9)?),
                record: Bytes::copy_from_slice(record),
            });
        }
        Ok(found)
    };
    read().map_err(failed("reading changes"))
}

pub(super) fn changes(
    db: &Connection,
    codes: &StatusCodes,
    after: i64,
    limit: usize,
) -> Result<Changes, Error> {
    let removed_to = db
        .prepare_cached("SELECT changes_removed_to FROM totals")
        .and_then(|mut s| s.query_row([], |row| row.get(0)))
        .map_err(failed("reading the totals"))?;
    let which = "WHERE c.change_seq > ?1 ORDER BY c.change_seq LIMIT ?2";
    Ok(Changes { changes: read_changes(db, codes, which, [after, sql_limit(limit)])?, removed_to })
}

pub(super) fn asked_again(
    db: &Connection,
    codes: &StatusCodes,
    name: &str,
    limit: usize,
) -> Result<Vec<Change>, Error> {
    let which = "WHERE c.change_seq IN (SELECT change_seq FROM sink_given_up
             WHERE name = ?1 AND state = 'again' ORDER BY change_seq LIMIT ?2)
         ORDER BY c.change_seq";
    read_changes(db, codes, which, params![name, sql_limit(limit)])
}

pub(super) fn sinks(db: &Connection) -> Result<Vec<SinkPosition>, Error> {
    let names: Vec<String> = db
        .prepare_cached("SELECT name FROM sinks WHERE left_at IS NULL ORDER BY name")
        .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
        .map_err(failed("reading the sinks"))?;
    names.iter().filter_map(|name| sink(db, name).transpose()).collect()
}

pub(super) fn sink(db: &Connection, name: &str) -> Result<Option<SinkPosition>, Error> {
    let reading = failed("reading a sink");
    let position: Option<i64> = db
        .prepare_cached("SELECT position FROM sinks WHERE name = ?1 AND left_at IS NULL")
        .and_then(|mut s| s.query_row([name], |row| row.get(0)).optional())
        .map_err(&reading)?;
    let Some(position) = position else { return Ok(None) };
    let ended = sinks::stretches(db, name, position).map_err(&reading)?;
    let given_up = db
        .prepare_cached("SELECT count(*) FROM sink_given_up WHERE name = ?1")
        .and_then(|mut s| s.query_row([name], |row| row.get(0)))
        .map_err(&reading)?;
    let given_up = count(given_up, "the number of changes that a sink has given up")?;
    Ok(Some(SinkPosition { name: name.to_owned(), position, ended, given_up }))
}

pub(super) fn given_up(db: &Connection, name: &str, after: i64, limit: usize) -> Result<Vec<GivenUp>, Error> {
    let line = |row: &Row<'_>| -> rusqlite::Result<GivenUp> {
        Ok(GivenUp {
            change_seq: row.get(0)?,
            order_id: OrderId(row.get(1)?),
            reason: row.get(2)?,
            given_up_at: Timestamp::from_millis(row.get(3)?),
            again: row.get(4)?,
        })
    };
    db.prepare_cached(
        "SELECT s.change_seq, c.order_id, s.reason, s.given_up_at, s.state = 'again'
         FROM sink_given_up s CROSS JOIN changes c ON c.change_seq = s.change_seq
         WHERE s.name = ?1 AND s.change_seq > ?2 ORDER BY s.change_seq LIMIT ?3",
    )
    .and_then(|mut s| s.query_map(params![name, after, sql_limit(limit)], line)?.collect())
    .map_err(failed("listing what a sink has given up"))
}
