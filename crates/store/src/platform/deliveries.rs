//! Deliveries: in line, on their way, and as they are shown.

use bytes::Bytes;
use hookit_contract::{
    AttemptOutcome, BranchId, BrandId, DeliveryId, DeliverySeq, DeliveryState, EndpointId, EventType,
    OrderId, PartnerId, ReplayId, Timestamp, WebhookId,
};

use super::Attempt;

/// A delivery as the engine needs to know it: ids only, no bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingDelivery {
    /// Its place in line.
    pub seq: DeliverySeq,
    /// Where it goes.
    pub endpoint_id: EndpointId,
    /// The orders that it carries.
    pub orders: Box<[OrderId]>,
    /// Attempts made: the next one in the log is this and one.
    pub attempts: u32,
    /// Those of them that count against the retry plan: not the ones that only found an endpoint down.
    pub failures: u32,
    /// When the next attempt is due.
    pub due: Timestamp,
    /// When it was committed, or replayed.
    pub committed_at: Timestamp,
}

/// A page of pending deliveries.
#[derive(Clone, Debug)]
pub struct PendingPage {
    /// In the order of commits.
    pub deliveries: Vec<PendingDelivery>,
    /// True where nothing pending lies behind the last one, as of this reading.
    pub end: bool,
}

/// Everything that an attempt needs.
#[derive(Clone)]
pub struct Payload {
    /// The public id: `x-klikit-event-id`.
    pub delivery_id: DeliveryId,
    /// The event type.
    pub event_type: EventType,
    /// The registration that it belongs to.
    pub webhook_id: WebhookId,
    /// The partner, whose secret signs it.
    pub partner_id: PartnerId,
    /// The endpoint that it goes to now: not the one that it was asked for where its registration's URL was changed
    /// in between.
    pub endpoint_id: EndpointId,
    /// Where that is.
    pub url: String,
    /// The partner's webhook secret, encrypted as it was handed in.
    pub webhook_secret: Bytes,
    /// The one that takes its place from a moment on.
    pub webhook_secret_next: Option<(Bytes, Timestamp)>,
    /// The registration's Basic authorization, encrypted as it was handed in.
    pub basic_auth: Option<Bytes>,
    /// The envelope. The same bytes at every call.
    pub body: Bytes,
    /// When the delivery was committed.
    pub created_at: Timestamp,
    /// It is not to be sent but to be passed over ([`supersede`](super::Store::supersede)): newer states of all its orders wait.
    pub is_superseded: bool,
}

/// Why there is nothing to send for a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NothingToSend {
    /// It is not pending any more.
    Ended,
    /// It is pending and waits for an operator: its replay is paused, or is being taken back.
    Withheld,
}

/// Dead letters of one endpoint that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetters {
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// How the last attempt of each ended; none where there was no attempt.
    pub outcome: Option<AttemptOutcome>,
    /// And with which status.
    pub status: Option<u16>,
    /// How many there are.
    pub deliveries: u64,
    /// When the last of them ended.
    pub last_at: Timestamp,
}

/// Which deliveries to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct DeliveryQuery {
    /// Only those committed before this one: the last of the page before.
    pub before: Option<DeliverySeq>,
    /// Only in this state.
    pub state: Option<DeliveryState>,
    /// Only to this endpoint.
    pub endpoint_id: Option<EndpointId>,
    /// Only those that carry this order.
    pub order_id: Option<OrderId>,
    /// Only of this event type.
    pub event_type: Option<EventType>,
    /// Committed at or after.
    pub since: Option<Timestamp>,
    /// Committed before.
    pub until: Option<Timestamp>,
    /// At most so many.
    pub limit: usize,
}

/// A delivery, as it is shown.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its place in the order of commits.
    pub seq: DeliverySeq,
    /// Its public id.
    pub delivery_id: DeliveryId,
    /// Where it goes.
    pub endpoint_id: EndpointId,
    /// The registration that it belongs to.
    pub webhook_id: WebhookId,
    /// The event type.
    pub event_type: EventType,
    /// The envelope's brand.
    pub brand_id: BrandId,
    /// The envelope's branch.
    pub branch_id: BranchId,
    /// The orders, in the order of the envelope, each with the version that it carries.
    pub orders: Vec<(OrderId, i64)>,
    /// Where it stands.
    pub state: DeliveryState,
    /// It was put in line by a replay: behind everything fresh, and nothing fresh waits for it.
    pub is_replay: bool,
    /// The replay that it belongs to, where it is one of many.
    pub replay_id: Option<ReplayId>,
    /// Attempts made.
    pub attempts: u32,
    /// When it was committed.
    pub created_at: Timestamp,
    /// When the next attempt is due, while it is pending.
    pub next_attempt_at: Option<Timestamp>,
    /// When it ended, where it has.
    pub finished_at: Option<Timestamp>,
    /// Who took it back, where somebody has.
    pub ended_by: Option<String>,
    /// And why.
    pub ended_reason: Option<EndReason>,
}

/// Deliveries that are looked at for one page.
pub const DELIVERY_LOOKS_MAX: usize = 20_000;

/// A page of deliveries, the newest first.
#[derive(Clone, Debug, Default)]
pub struct DeliveryPage {
    /// What was found; perhaps less than was asked for, though there is more to look at.
    pub deliveries: Vec<Delivery>,
    /// Where to go on; none at the end.
    pub next_before: Option<DeliverySeq>,
}

/// A page of a partner's own deliveries.
#[derive(Clone, Debug, Default)]
pub struct DeliveriesOf {
    /// Each with its newest attempts, the oldest of them first.
    pub deliveries: Vec<(Delivery, Vec<Attempt>)>,
    /// Where to go on; none at the end.
    pub next_before: Option<DeliverySeq>,
}

/// Why a delivery was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Somebody wanted this one not to be sent.
    DeliveryCancelled,
    /// Its registration was removed.
    WebhookRemoved,
}

impl EndReason {
    /// All reasons.
    pub const ALL: [EndReason; 2] = [EndReason::DeliveryCancelled, EndReason::WebhookRemoved];

    /// The word for it, in the store and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            EndReason::DeliveryCancelled => "delivery_cancelled",
            EndReason::WebhookRemoved => "webhook_removed",
        }
    }
}

impl std::str::FromStr for EndReason {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        EndReason::ALL.into_iter().find(|r| r.as_str() == text).ok_or(())
    }
}

/// What became of a wish to take a delivery back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It is not sent any more.
    Done,
    /// It has ended already.
    Ended(DeliveryState),
    /// There is no such delivery.
    NoSuchDelivery,
}

/// What became of a wish to send a delivery again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// It is pending again, with its id and bytes as they were, behind everything fresh at its endpoint.
    Done,
    /// It is pending: it will be sent anyway.
    Pending,
    /// Its registration was removed, so there is nowhere to send it to.
    WebhookRemoved,
    /// There is no such delivery.
    NoSuchDelivery,
}
