//! An order's row and its newest record, as the writer and the readers take them from disk.

use bytes::Bytes;
use hookit_contract::{BranchId, BusinessId, OrderId, OrderStatus, Record, StatusCodes, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::Error;
use crate::platform::StoredOrder;
use crate::sqlite::failed;

/// The columns that [`stored`] reads, of `orders o JOIN records r`.
pub(super) const COLUMNS: &str = "o.order_id, o.business_id, o.branch_id, o.status, o.version, r.record";

pub(super) fn stored(row: &Row<'_>, codes: &StatusCodes) -> rusqlite::Result<StoredOrder> {
    Ok(StoredOrder {
        order_id: OrderId(row.get(0)?),
        business_id: BusinessId(row.get(1)?),
        branch_id: BranchId(row.get(2)?),
        status: codes.status(row.get(3)?),
        version: row.get(4)?,
        record: text(row, 5)?,
    })
}

/// A text column's bytes.
pub(super) fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    Ok(Bytes::copy_from_slice(row.get_ref(column)?.as_bytes()?))
}

/// An order as it stands, for a change.
#[derive(Debug)]
pub(super) struct CurrentOrder {
    pub(super) order_id: OrderId,
    pub(super) business_id: BusinessId,
    pub(super) branch_id: BranchId,
    pub(super) status: OrderStatus,
    pub(super) version: i64,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) record: Record,
}

impl CurrentOrder {
    pub(super) fn into_stored(self) -> StoredOrder {
        StoredOrder {
            order_id: self.order_id,
            business_id: self.business_id,
            branch_id: self.branch_id,
            status: self.status,
            version: self.version,
            record: self.record.bytes().clone(),
        }
    }
}

pub(super) fn current(
    db: &Connection,
    codes: &StatusCodes,
    order_id: OrderId,
) -> Result<Option<CurrentOrder>, Error> {
    let row = db
        .prepare_cached(
            "SELECT o.order_id, o.business_id, o.branch_id, o.status, o.version, r.record, o.created_at, o.updated_at
             FROM orders o JOIN records r ON r.record_id = o.record_id WHERE o.order_id = ?1",
        )
        .and_then(|mut s| {
            s.query_row([order_id.0], |row| Ok((stored(row, codes)?, row.get(6)?, row.get(7)?))).optional()
        })
        .map_err(failed("reading an order"))?;
    let Some((order, created_at, updated_at)) = row else { return Ok(None) };
    let record = Record::kept(order.record)
        .map_err(|e| Error::Corrupt(format!("the record of order {order_id} cannot be read: {e}")))?;
    Ok(Some(CurrentOrder {
        order_id,
        business_id: order.business_id,
        branch_id: order.branch_id,
        status: order.status,
        version: order.version,
        created_at: Timestamp::from_millis(created_at),
        updated_at: Timestamp::from_millis(updated_at),
        record,
    }))
}
