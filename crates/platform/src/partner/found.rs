//! A page of found orders, whose records are read while the page is taken.
//!
//! A page may have a thousand records of some MiB each, and must be whole: the published call knows no page that ends early. So
//! which records are on it, and how long they are, is found in one reading; the records follow a few at a time, each time the
//! other end has taken those before them. Between two readings nothing is held but their numbers: no connection of the store and
//! no transaction, which would keep the log from being tidied for as long as somebody dawdles. A record's bytes never change, so
//! the page is of one moment all the same.
//!
//! What this module must not do: end a page before its end. Where a record cannot be had the connection is broken off.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use hookit_server::{Answer, ApiError, BrokenOff, Pieces};
use hookit_store::platform::{OrdersFound, RecordPlace, Store};

use crate::api::{self, ORDERS_OPEN, Result};
use crate::order_schema;

/// Bytes of records that are read at a time; one record in any case.
const READ_BYTES_MAX: usize = 1 << 20;

/// What of a page has not been taken yet.
pub(super) struct Page {
    store: Arc<dyn Store>,
    /// The first piece, where it was read already.
    first: Option<Bytes>,
    /// Records that have not been read.
    rest: VecDeque<RecordPlace>,
    /// What stands behind the records; none once it was written.
    close: Option<String>,
    is_begun: bool,
    /// Of all of it.
    bytes: u64,
}

/// Why a page cannot go on.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error("the records of a page cannot be read")]
    Store(#[from] hookit_store::Error),
    #[error(
        "a record that was on a page was removed before it was read: it was too old, and its order has a newer one"
    )]
    Removed,
}

impl Page {
    /// A page of these, with the number and the size that it was asked by.
    pub(super) fn new(store: Arc<dyn Store>, found: OrdersFound, number: u64, size: u64) -> Self {
        let close = format!("],\"page\":{number},\"size\":{size},\"total\":{}}}", found.total);
        let rest = VecDeque::from(found.records);
        let commas = rest.len().saturating_sub(1);
        let records: usize = rest.iter().map(|place| place.bytes).sum();
        let bytes = (ORDERS_OPEN.len() + records + commas + close.len()) as u64;
        Page { store, first: None, rest, close: Some(close), is_begun: false, bytes }
    }

    /// The page as an answer. Where its body is `wanted`, the first records are read before anything is answered: so a store that
    /// cannot be read is told of by its own status. Most pages end with them.
    pub(super) async fn answer(mut self, wanted: bool) -> Result<Answer<order_schema::OrdersFound>> {
        if wanted {
            let first = self.read().await.map_err(|unread| match unread {
                Unread::Store(error) => api::store_error(error),
                Unread::Removed => {
                    ApiError::unavailable("the orders changed while they were read; ask again")
                }
            })?;
            if self.close.is_none() {
                return Ok(Answer::raw(first));
            }
            self.first = Some(first);
        }
        Ok(Answer::in_pieces(self.bytes, self))
    }

    /// The next piece. There is one at least.
    async fn read(&mut self) -> std::result::Result<Bytes, Unread> {
        let (mut record_ids, mut bytes) = (Vec::new(), 0);
        while let Some(place) = self.rest.front()
            && (record_ids.is_empty() || bytes + place.bytes <= READ_BYTES_MAX)
        {
            record_ids.push(place.record_id);
            bytes += place.bytes;
            self.rest.pop_front();
        }
        let records = match record_ids.len() {
            0 => Vec::new(),
            _ => self.store.records(record_ids).await?.ok_or(Unread::Removed)?,
        };
        let mut out = BytesMut::with_capacity(bytes + records.len() + 128);
        if !std::mem::replace(&mut self.is_begun, true) {
            out.put_slice(ORDERS_OPEN);
        } else if !records.is_empty() {
            out.put_u8(b',');
        }
        for (i, record) in records.iter().enumerate() {
            if i > 0 {
                out.put_u8(b',');
            }
            out.put_slice(record);
        }
        if self.rest.is_empty() {
            out.put_slice(self.close.take().unwrap_or_default().as_bytes());
        }
        Ok(out.freeze())
    }
}

impl Pieces for Page {
    async fn next(&mut self) -> std::result::Result<Option<Bytes>, BrokenOff> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        if self.close.is_none() {
            return Ok(None);
        }
        Ok(Some(self.read().await?))
    }
}
