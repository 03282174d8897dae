//! What happened to a business's orders, in order.

use bytes::Bytes;
use hookit_contract::{Actor, BusinessId, EventType, OrderId, OrderStatus, Timestamp};

/// What is to be read of a business's events.
#[derive(Clone, Copy, Debug)]
pub struct EventQuery {
    /// The business.
    pub business_id: BusinessId,
    /// Behind this place, which is one that an [`EventPage::next`] said; none for what is kept from its beginning on.
    pub after: Option<i64>,
    /// At most so many.
    pub limit: usize,
    /// Records of about so many bytes at most, but one in any case.
    pub record_bytes_max: usize,
}

/// An event, as it is shown.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// What happened.
    pub event_type: EventType,
    /// The order.
    pub order_id: OrderId,
    /// Its version after it.
    pub version: i64,
    /// Its status before; none for a new order.
    pub status_from: Option<OrderStatus>,
    /// Its status after.
    pub status: OrderStatus,
    /// Who did it.
    pub actor: Actor,
    /// When it happened at the restaurant, where that was said.
    pub occurred_at: Option<Timestamp>,
    /// When it was committed.
    pub created_at: Timestamp,
    /// The record after it: the bytes that a webhook of it carries.
    pub record: Bytes,
}

/// A page of events.
#[derive(Clone, Debug)]
pub struct EventPage {
    /// In the order in which they were committed.
    pub events: Vec<StoredEvent>,
    /// Where to go on. It moves on also where nothing was found, with what was looked at.
    pub next: i64,
    /// True where there is more of the business's own, or where so many events of others follow that nobody looked further.
    pub more: bool,
}

/// What became of a wish to read events.
#[derive(Clone, Debug)]
pub enum EventsRead {
    /// They were read.
    Page(EventPage),
    /// Events behind that place were removed for their age.
    Expired,
    /// That place lies ahead of everything: it is of another store, or of a later state of this one.
    Ahead,
}
