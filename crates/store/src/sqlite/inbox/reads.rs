//! What is read from the inbox's store, each from one snapshot.

use bytes::Bytes;
use hookit_contract::{DeliveryId, OrderId, StatusCodes, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::book::status;
use crate::Error;
use crate::inbox::{HistoryEntry, Quarantined, ViewedOrder};
use crate::sqlite::{failed, limit as sql_limit};

const ORDER: &str =
    "SELECT o.order_id, o.status, o.version, substr(d.body, o.record_offset + 1, o.record_bytes),
         d.delivery_id, o.received_at
     FROM orders o CROSS JOIN deliveries d ON d.delivery_seq = o.delivery_seq";

fn viewed(row: &Row<'_>, codes: &StatusCodes) -> rusqlite::Result<ViewedOrder> {
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

pub(super) fn order(
    db: &Connection,
    codes: &StatusCodes,
    order_id: OrderId,
) -> Result<Option<ViewedOrder>, Error> {
    db.prepare_cached(&format!("{ORDER} WHERE o.order_id = ?1"))
        .and_then(|mut s| s.query_row([order_id.0], |row| viewed(row, codes)).optional())
        .map_err(failed("reading an order"))
}

pub(super) fn orders(
    db: &Connection,
    codes: &StatusCodes,
    after: Option<OrderId>,
    limit: usize,
) -> Result<Vec<ViewedOrder>, Error> {
    let after = after.map_or(0, |id| id.0);
    db.prepare_cached(&format!("{ORDER} WHERE o.order_id > ?1 ORDER BY o.order_id LIMIT ?2"))
        .and_then(|mut s| s.query_map([after, sql_limit(limit)], |row| viewed(row, codes))?.collect())
        .map_err(failed("listing orders"))
}

pub(super) fn history(
    db: &Connection,
    codes: &StatusCodes,
    order_id: OrderId,
) -> Result<Option<Vec<HistoryEntry>>, Error> {
    let entry = |row: &Row<'_>| -> rusqlite::Result<HistoryEntry> {
        Ok(HistoryEntry {
            status: status(codes, row.get(0)?),
            version: row.get(1)?,
            updated_at: row.get::<_, Option<i64>>(2)?.map(Timestamp::from_millis),
            event_type: row.get(3)?,
            delivery_id: delivery_id(row, 4)?,
            received_at: Timestamp::from_millis(row.get(5)?),
            applied: row.get(6)?,
        })
    };
    let entries: Vec<HistoryEntry> = db
        .prepare_cached(
            "SELECT h.status, h.version, h.updated_at, d.event_type, d.delivery_id, d.received_at, h.applied
             FROM order_history h CROSS JOIN deliveries d ON d.delivery_seq = h.delivery_seq
             WHERE h.order_id = ?1 ORDER BY h.delivery_seq, h.position",
        )
        .and_then(|mut s| s.query_map([order_id.0], entry)?.collect())
        .map_err(failed("reading an order's history"))?;
    // Whatever came of an order is in its history, so an empty one means that the order never came.
    Ok((!entries.is_empty()).then_some(entries))
}

pub(super) fn quarantine(
    db: &Connection,
    after: Option<i64>,
    limit: usize,
) -> Result<Vec<Quarantined>, Error> {
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
    .and_then(|mut s| s.query_map([after.unwrap_or(0), sql_limit(limit)], kept)?.collect())
    .map_err(failed("listing the quarantine"))
}
