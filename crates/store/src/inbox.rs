//! The inbox's store: what was received, a partner's order view, and what could not be read.
//!
//! The heart is [`Store::receive`]: "seen this id" and "the view is updated" are one transaction (G7), and many
//! concurrent deliveries share one commit.

use async_trait::async_trait;
use bytes::Bytes;
use hookit_contract::{DeliveryId, OrderId, OrderStatus, Timestamp};

use crate::Error;

/// A delivery whose signature was right.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its id, `x-klikit-event-id`.
    pub delivery_id: DeliveryId,
    /// `x-klikit-event-type` as it came; kept, never refused.
    pub event_type: Option<String>,
    /// The raw body.
    pub body: Bytes,
    /// When it came.
    pub received_at: Timestamp,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It is new, and on disk with its effect.
    Received {
        /// Orders whose view it renewed.
        applied: usize,
        /// Orders that had a newer state already.
        stale: usize,
        /// Records that could not be read and are kept aside.
        quarantined: usize,
    },
    /// It was received before. Nothing changed.
    Duplicate,
}

/// An order in the view.
#[derive(Clone, Debug)]
pub struct ViewedOrder {
    /// Its id.
    pub order_id: OrderId,
    /// Its status, where the record has one.
    pub status: Option<OrderStatus>,
    /// Its version, where the record has one.
    pub version: Option<i64>,
    /// The newest record, byte for byte as it came.
    pub record: Bytes,
    /// The delivery that brought it.
    pub delivery_id: DeliveryId,
    /// When that came.
    pub received_at: Timestamp,
}

/// One state of an order that was received, in the order of arrival.
#[derive(Clone, Debug)]
pub struct HistoryEntry {
    /// Its status, where the record has one.
    pub status: Option<OrderStatus>,
    /// Its version, where the record has one.
    pub version: Option<i64>,
    /// Its `updated_at`, where it can be read.
    pub updated_at: Option<Timestamp>,
    /// The event type.
    pub event_type: Option<String>,
    /// The delivery that brought it.
    pub delivery_id: DeliveryId,
    /// When that came.
    pub received_at: Timestamp,
    /// False where the view had a newer state already, or this very one.
    pub applied: bool,
}

/// Something genuine that could not be read.
#[derive(Clone, Debug)]
pub struct Quarantined {
    /// Its number.
    pub quarantine_id: i64,
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Which element of `orders`; none where the whole body is meant.
    pub position: Option<u32>,
    /// Why it could not be read.
    pub reason: String,
    /// The bytes: the element, or the whole body.
    pub bytes: Bytes,
    /// When it came.
    pub received_at: Timestamp,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Orders in the view.
    pub orders: u64,
    /// Deliveries received, repeats not counted.
    pub received: u64,
    /// Things in quarantine.
    pub quarantined: u64,
}

/// The inbox's store. Every verb is atomic, and durable (fsync) when it answers.
#[async_trait]
pub trait Store: Send + Sync {
    /// Takes a delivery in: its id, its raw bytes, and the view, together. An older state never overwrites a newer
    /// one ([`hookit_contract::RecordState::compare`]); a record that cannot be read is kept aside and does not
    /// stand in its neighbours' way.
    async fn receive(&self, received: Received) -> Result<Receipt, Error>;

    /// An order.
    async fn order(&self, order_id: OrderId) -> Result<Option<ViewedOrder>, Error>;

    /// Orders by id, above `after`, at most `limit`.
    async fn orders(&self, after: Option<OrderId>, limit: usize) -> Result<Vec<ViewedOrder>, Error>;

    /// All states of an order that were received, in the order of arrival; none for an order that never came.
    async fn history(&self, order_id: OrderId) -> Result<Option<Vec<HistoryEntry>>, Error>;

    /// What is in quarantine, oldest first, above `after`, at most `limit`.
    async fn quarantine(&self, after: Option<i64>, limit: usize) -> Result<Vec<Quarantined>, Error>;

    /// How much there is. Cheap: asked every second.
    async fn counts(&self) -> Result<Counts, Error>;

    /// Commits what waits, and closes. Later verbs answer [`Error::Busy`].
    async fn close(&self);
}
