//! The platform's store: orders, events, deliveries, attempts, partners, registrations.
//!
//! The heart is [`Store::change`]: an order's change, its event and its deliveries are one transaction (G1), and many
//! concurrent changes share one commit, the *tick*. What a delivery carries is fixed there and never changes (G3).

mod figures;
mod replays;
mod settings;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hookit_contract::{
    Actor, AttemptOutcome, BranchId, BrandId, BusinessId, DeliveryId, DeliverySeq, DeliveryState, EndpointId,
    EventType, KnownStatus, MoveRefusal, OrderId, OrderStatus, PartnerId, Record, RecordError, ReplayId,
    Timestamp, WebhookId,
};

pub use self::figures::{Activity, Counts, Figures, Queue, Ticks};
pub use self::replays::{
    OPEN_REPLAYS_MAX, Replay, ReplayCount, ReplayFilter, ReplayKind, ReplayRequest, ReplayState, ReplayStep,
    StartReplay, SteerReplay, SteeredReplay,
};
pub use self::settings::{EndpointSettings, Ordering, WebhookSettings};
use crate::Error;

/// Bytes of an order's record at most. Edits of the cart could otherwise make it grow beyond what any receiver takes.
pub const RECORD_BYTES_MAX: usize = 4 << 20;

/// A change of one order.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new order. The record is as the surface gave it; the store sets the owned fields. An `id` in it is kept
    /// where it is free, else the platform gives the next one.
    Create {
        /// The record.
        record: Record,
    },
    /// A move to another status.
    Move {
        /// The order.
        order_id: OrderId,
        /// Where to.
        to: KnownStatus,
        /// Who asks.
        actor: Actor,
        /// Why, for a cancellation: an integer becomes `cancellation_reason_id`, a text `cancellation_reason`.
        reason: Option<Reason>,
        /// When it happened at the restaurant, where that is known. Kept with the event.
        occurred_at: Option<Timestamp>,
    },
    /// An edit of the cart: each field of `fields` replaces the record's, never merges.
    EditCart {
        /// The order.
        order_id: OrderId,
        /// The fields to replace; `cart` among them. Checked by the caller for fields that may not be edited.
        fields: Record,
    },
}

/// A reason code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A number of klikit's list.
    Code(i64),
    /// A text.
    Text(String),
}

/// What became of a change.
#[derive(Clone, Debug)]
pub enum Changed {
    /// It was made and is on disk, with its event and deliveries.
    Done(StoredOrder),
    /// The order is that already; nothing was written, nothing fires.
    Unchanged(StoredOrder),
    /// There is no such order.
    NoSuchOrder,
    /// The id is taken by another order.
    IdTaken(OrderId),
    /// The record cannot be an order of this installation.
    Invalid(Invalid),
    /// The order may not make this move.
    MoveRefused(MoveRefusal),
    /// The order has ended in this status; its cart is final.
    CartFinal(OrderStatus),
}

/// Why a record cannot be an order of this installation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A field is missing, of the wrong kind, or repeated.
    #[error(transparent)]
    Field(#[from] RecordError),
    /// The record would be over [`RECORD_BYTES_MAX`].
    #[error("the order's record would have {bytes} bytes; at most {RECORD_BYTES_MAX} are kept")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The status code is none that an order can begin with.
    #[error("status: a new order may not begin as {0}")]
    Status(OrderStatus),
    /// The business's hierarchy is registered, and this brand is not in it.
    #[error("{field}: brand {brand_id} is not a brand of business {business_id}")]
    UnknownBrand {
        /// The path of the field, `brands[0].id` for instance.
        field: String,
        /// The brand.
        brand_id: BrandId,
        /// The business.
        business_id: BusinessId,
    },
    /// The business's hierarchy is registered, and no brand of it is sold in this branch.
    #[error("branch_id: branch {branch_id} is not a branch of business {business_id}")]
    UnknownBranchOfBusiness {
        /// The branch.
        branch_id: BranchId,
        /// The business.
        business_id: BusinessId,
    },
    /// The brand's branches are registered, and this branch is not among them.
    #[error("branch_id: branch {branch_id} is not a branch of brand {brand_id}")]
    UnknownBranch {
        /// The branch.
        branch_id: BranchId,
        /// The brand.
        brand_id: BrandId,
    },
}

/// An order as it stands.
#[derive(Clone, Debug)]
pub struct StoredOrder {
    /// Its id.
    pub order_id: OrderId,
    /// The business that it belongs to.
    pub business_id: BusinessId,
    /// The branch.
    pub branch_id: BranchId,
    /// The present status.
    pub status: OrderStatus,
    /// The present version.
    pub version: i64,
    /// The record's bytes: the same ones that a webhook of this version carries.
    pub record: Bytes,
}

/// Which orders to list, by id, upwards.
#[derive(Clone, Debug, Default)]
pub struct OrderQuery {
    /// Only ids above this one.
    pub after: Option<OrderId>,
    /// Only this business.
    pub business_id: Option<BusinessId>,
    /// At most so many.
    pub limit: usize,
}

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
    /// It is not to be sent but to be passed over ([`Store::supersede`]): newer states of all its orders wait.
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

/// One attempt, as it is written into `webhook_logs`, and what follows from it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The delivery.
    pub seq: DeliverySeq,
    /// 1 for the first.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took in all.
    pub duration: Duration,
    /// How long its phases took.
    pub phases: Phases,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// The HTTP status, exactly where the outcome has one.
    pub status: Option<u16>,
    /// The address that was dialled.
    pub address: Option<String>,
    /// The beginning of the answer's body.
    pub answer: Bytes,
    /// The transport's own words, for a failure.
    pub error: Option<String>,
    /// What follows.
    pub verdict: Verdict,
}

/// How long the phases of an attempt took; none for one that did not come to its end, or was not needed: a connection
/// that is kept is resolved, made and secured once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Looking the name up.
    pub resolve: Option<Duration>,
    /// Connecting.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// From handing over the request to the first byte of the answer.
    pub first_byte: Option<Duration>,
}

/// What follows from an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The delivery is delivered.
    Delivered,
    /// It is tried again.
    RetryAt {
        /// Not before this moment.
        at: Timestamp,
        /// Whether this attempt counts against the retry plan.
        counted: bool,
    },
    /// It is given up.
    Dead,
}

/// A partner as it is kept. Secrets are opaque here: hashed or encrypted by the caller.
#[derive(Clone)]
pub struct Partner {
    /// Its id.
    pub partner_id: PartnerId,
    /// Its name.
    pub name: String,
    /// The one business that its credential belongs to.
    pub business_id: BusinessId,
    /// The scopes, as on the wire.
    pub scopes: Vec<String>,
    /// The public half of the credential.
    pub partner_key: String,
    /// A keyed hash of the secret half.
    pub secret_hash: Bytes,
    /// The webhook secret, encrypted.
    pub webhook_secret: Bytes,
    /// The one that takes its place from a moment on, which may have come already.
    pub webhook_secret_next: Option<(Bytes, Timestamp)>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

/// A change of a partner.
#[derive(Clone)]
pub enum PartnerChange {
    /// Another secret from now on; the old one fails at once.
    RotateSecret {
        /// The keyed hash of the new one.
        secret_hash: Bytes,
    },
    /// Another webhook secret from now on.
    RotateWebhookSecret {
        /// The new one, encrypted.
        webhook_secret: Bytes,
    },
    /// Another webhook secret from a moment on. One that was to come is replaced.
    StageWebhookSecret {
        /// The new one, encrypted.
        webhook_secret: Bytes,
        /// The moment.
        current_at: Timestamp,
    },
    /// No more calls. Deliveries go on: what a partner was sent is another matter than what it may ask.
    Revoke,
}

/// A registration to be made or changed. One per (partner, brand, branch, event type).
#[derive(Clone)]
pub struct NewWebhook {
    /// The partner.
    pub partner_id: PartnerId,
    /// The brand; none for any.
    pub brand_id: Option<BrandId>,
    /// The branch; none for any.
    pub branch_id: Option<BranchId>,
    /// The event type.
    pub event_type: EventType,
    /// Where to post. Vetted by the caller.
    pub url: String,
    /// Basic authorization to send along, encrypted.
    pub basic_auth: Option<Bytes>,
    /// How it is to be served.
    pub settings: WebhookSettings,
}

/// A registration as it stands.
#[derive(Clone)]
pub struct Webhook {
    /// Its id.
    pub webhook_id: WebhookId,
    /// The endpoint: the (partner, URL) it points at.
    pub endpoint_id: EndpointId,
    /// The partner.
    pub partner_id: PartnerId,
    /// The brand; none for any.
    pub brand_id: Option<BrandId>,
    /// The branch; none for any.
    pub branch_id: Option<BranchId>,
    /// The event type.
    pub event_type: EventType,
    /// The URL.
    pub url: String,
    /// True where Basic authorization is sent along.
    pub has_basic_auth: bool,
    /// How it is served.
    pub settings: WebhookSettings,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A registration with what is needed to post to it.
#[derive(Clone)]
pub struct WebhookAccess {
    /// The registration.
    pub webhook: Webhook,
    /// The partner's webhook secret, encrypted as it was handed in.
    pub webhook_secret: Bytes,
    /// The one that takes its place from a moment on.
    pub webhook_secret_next: Option<(Bytes, Timestamp)>,
    /// The Basic authorization to send along, encrypted as it was handed in.
    pub basic_auth: Option<Bytes>,
}

/// What became of a registration.
#[derive(Clone)]
pub enum PutWebhook {
    /// It is new.
    Created(Webhook),
    /// It was there and is as asked now. `moved_from` names the endpoint that it pointed at before, where the URL
    /// changed: what waited there for this registration waits at the new endpoint now.
    Updated {
        /// The registration.
        webhook: Webhook,
        /// The endpoint before, where it is another one.
        moved_from: Option<EndpointId>,
    },
    /// There is no such partner.
    NoSuchPartner,
    /// The brand or branch is not one of the partner's business, whose hierarchy is registered.
    Invalid(Invalid),
}

/// An endpoint as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id.
    pub endpoint_id: EndpointId,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// Where it is.
    pub url: String,
    /// Why and since when nothing is sent to it, where that is so.
    pub hold: Option<(HoldReason, Timestamp)>,
    /// How it is served: what its registrations say, the strictest of each.
    pub settings: EndpointSettings,
}

/// Why nothing is sent to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldReason {
    /// An operator wants it so.
    Operator,
    /// It answered 410.
    Gone,
}

impl HoldReason {
    /// All reasons.
    pub const ALL: [HoldReason; 2] = [HoldReason::Operator, HoldReason::Gone];

    /// The word for it, in the store and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            HoldReason::Operator => "operator",
            HoldReason::Gone => "gone",
        }
    }
}

/// A business's hierarchy: which brands it has, and in which branches each is sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Business {
    /// The business.
    pub business_id: BusinessId,
    /// Its name.
    pub name: String,
    /// Its brands.
    pub brands: Vec<Brand>,
}

/// A brand in a business's hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brand {
    /// The brand.
    pub brand_id: BrandId,
    /// Its name.
    pub title: String,
    /// Where it is sold.
    pub branches: Vec<BranchId>,
}

/// What became of a hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutBusiness {
    /// It is as asked now; the one before is replaced.
    Done,
    /// A brand belongs to another business.
    BrandTaken {
        /// The brand.
        brand_id: BrandId,
        /// Whose it is.
        business_id: BusinessId,
    },
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

/// How far a pass over what is old has come; the default is its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Among the events.
    Events {
        /// Behind this one.
        after: i64,
    },
    /// Among the deliveries.
    Deliveries {
        /// Behind this one.
        after: i64,
    },
}

impl Default for Expiry {
    fn default() -> Self {
        Expiry::Events { after: 0 }
    }
}

/// The platform's store. Every verb is atomic, and durable (fsync) when it answers.
#[async_trait]
pub trait Store: Send + Sync {
    /// Changes an order: checks it against the order as it stands, stores the record, appends the event, and forms
    /// the deliveries, in one transaction, together with whatever else is waiting: the tick. Deliveries of one tick
    /// that go to one (endpoint, brand, branch, event type) are one delivery of several orders, no order twice.
    async fn change(&self, change: Change, now: Timestamp) -> Result<Changed, Error>;

    /// Changes many orders, one after the other, in one transaction: what became of each, in their order. A change that
    /// is refused leaves the others as they are; an error undoes all of them.
    async fn changes(&self, changes: Vec<Change>, now: Timestamp) -> Result<Vec<Changed>, Error>;

    /// An order as it stands.
    async fn order(&self, order_id: OrderId) -> Result<Option<StoredOrder>, Error>;

    /// Orders by id.
    async fn orders(&self, query: OrderQuery) -> Result<Vec<StoredOrder>, Error>;

    /// Pending deliveries of an endpoint behind a place in line: replays where `after` is among theirs
    /// ([`DeliverySeq::is_among_replays`]), else those that are none.
    async fn pending(
        &self,
        endpoint_id: EndpointId,
        after: DeliverySeq,
        limit: usize,
    ) -> Result<PendingPage, Error>;

    /// What to send for a delivery, or why nothing.
    async fn payload(&self, seq: DeliverySeq) -> Result<Result<Payload, NothingToSend>, Error>;

    /// Writes attempts into `webhook_logs` and moves their deliveries on. An attempt of that number that is there
    /// already, or whose delivery has ended, changes nothing; but one that was under way when its delivery was taken back
    /// is logged, and makes it delivered where it was acknowledged.
    async fn record_attempts(&self, attempts: Vec<Attempt>, now: Timestamp) -> Result<(), Error>;

    /// Gives deliveries up without another attempt: they are dead. One that is not pending stays as it is.
    async fn give_up(&self, seqs: Vec<DeliverySeq>, now: Timestamp) -> Result<(), Error>;

    /// Sends a delivery again that has ended, however it did: it becomes pending, its plan begins anew, and its attempts
    /// go on being counted. It goes to where its registration points now.
    async fn replay_delivery(&self, delivery_id: &DeliveryId, now: Timestamp) -> Result<Replayed, Error>;

    /// Begins a replay: a durable job. [`Store::step_replays`] does its work.
    async fn start_replay(&self, request: ReplayRequest, now: Timestamp) -> Result<StartReplay, Error>;

    /// How many deliveries a replay would send, counted from `after` on, which is 0 or what the part before said; none
    /// where it is about a registration that does not exist.
    async fn count_replay(&self, request: ReplayRequest, after: i64) -> Result<Option<ReplayCount>, Error>;

    /// Does a bounded part of what replays have to do: puts deliveries in line, or takes back those of one that was
    /// cancelled.
    async fn step_replays(&self, now: Timestamp) -> Result<ReplayStep, Error>;

    /// Replays, newest first, of ids below `before`.
    async fn replays(&self, before: Option<ReplayId>, limit: usize) -> Result<Vec<Replay>, Error>;

    /// One replay.
    async fn replay(&self, replay_id: ReplayId) -> Result<Option<Replay>, Error>;

    /// Pauses, resumes or cancels a replay.
    async fn steer_replay(
        &self,
        replay_id: ReplayId,
        steer: SteerReplay,
        now: Timestamp,
    ) -> Result<SteeredReplay, Error>;

    /// Deliveries, newest first.
    async fn deliveries(&self, query: DeliveryQuery) -> Result<Vec<Delivery>, Error>;

    /// One delivery with its attempts, oldest first.
    async fn delivery(&self, delivery_id: &DeliveryId) -> Result<Option<(Delivery, Vec<Attempt>)>, Error>;

    /// Keeps a new partner. Its id and key are made unique by the caller.
    async fn add_partner(&self, partner: Partner) -> Result<(), Error>;

    /// Changes a partner; false where there is none.
    async fn change_partner(
        &self,
        partner_id: &PartnerId,
        change: PartnerChange,
        now: Timestamp,
    ) -> Result<bool, Error>;

    /// All partners, by the time they were issued.
    async fn partners(&self) -> Result<Vec<Partner>, Error>;

    /// The partner of a key. Answered from memory: it is asked at every call of the Partner API.
    async fn partner_by_key(&self, partner_key: &str) -> Result<Option<Partner>, Error>;

    /// Makes or changes a registration.
    async fn put_webhook(&self, webhook: NewWebhook, now: Timestamp) -> Result<PutWebhook, Error>;

    /// All registrations, by id.
    async fn webhooks(&self) -> Result<Vec<Webhook>, Error>;

    /// One registration, with what is needed to post to it.
    async fn webhook_access(&self, webhook_id: WebhookId) -> Result<Option<WebhookAccess>, Error>;

    /// All endpoints that registrations point at, or that have pending deliveries.
    async fn endpoints(&self) -> Result<Vec<Endpoint>, Error>;

    /// One endpoint.
    async fn endpoint(&self, endpoint_id: EndpointId) -> Result<Option<Endpoint>, Error>;

    /// Holds an endpoint: nothing is sent to it, what is for it waits. Or lets it go. False where there is none.
    async fn hold_endpoint(
        &self,
        endpoint_id: EndpointId,
        hold: Option<HoldReason>,
        now: Timestamp,
    ) -> Result<bool, Error>;

    /// Passes a delivery over that [`Payload::is_superseded`] was said of: it ends as superseded, if each of its orders
    /// still waits in a newer delivery of the same registration and brand, else it stays as it is. To be called only by
    /// whoever would send it, so that none is passed over that is being sent. True where it has ended so.
    async fn supersede(&self, seq: DeliverySeq, now: Timestamp) -> Result<bool, Error>;

    /// Takes a delivery back that is pending: it is cancelled, by this name. An attempt that is under way is logged when
    /// it ends, and makes it delivered where it was acknowledged.
    async fn cancel_delivery(
        &self,
        delivery_id: &DeliveryId,
        by: &str,
        now: Timestamp,
    ) -> Result<Cancelled, Error>;

    /// Removes a registration: nothing is made or sent for it from here on, and what waits for it is cancelled, by this
    /// name, by and by: see [`Store::step_removals`]. False where there is none.
    async fn remove_webhook(&self, webhook_id: WebhookId, by: &str, now: Timestamp) -> Result<bool, Error>;

    /// Cancels a bounded part of what waits for registrations that were removed; false where there was nothing to do.
    async fn step_removals(&self, now: Timestamp) -> Result<bool, Error>;

    /// Sets a business's hierarchy. From then on its orders and registrations must name brands and branches in it;
    /// a business without one may name any.
    async fn put_business(&self, business: Business) -> Result<PutBusiness, Error>;

    /// A business's hierarchy, where it has one.
    async fn business(&self, business_id: BusinessId) -> Result<Option<Business>, Error>;

    /// Removes a bounded part of what is older than `before`: events; deliveries that ended before it, with their
    /// attempts; and the records that nothing refers to after that. What is pending stays, however old, and so do orders
    /// with their newest records. Says where to go on; none where a pass has come to its end.
    async fn expire(&self, before: Timestamp, place: Expiry) -> Result<Option<Expiry>, Error>;

    /// How much there is, and what was done since the store was opened. Cheap: asked every second, answered from memory.
    async fn figures(&self) -> Result<Figures, Error>;

    /// How many deliveries stand where.
    async fn counts(&self) -> Result<Counts, Error> {
        Ok(self.figures().await?.counts)
    }

    /// Since when the delivery that is first in line of each endpoint has been there, fresh or replayed: of each endpoint
    /// that has something pending. Costs the same whatever waits behind it.
    async fn oldest_pending(&self) -> Result<Vec<(EndpointId, Timestamp)>, Error>;

    /// The hints of new deliveries, for the dispatcher.
    fn hints(&self) -> &crate::hints::Hints;

    /// Commits what waits, and closes. Later verbs answer [`Error::Busy`].
    async fn close(&self);
}
