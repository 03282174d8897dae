//! The platform's store: orders, events, deliveries, attempts, partners, registrations.
//!
//! The heart is [`Store::change`]: an order's change, its event and its deliveries are one transaction (G1), and many
//! concurrent changes share one commit, the *tick*. What a delivery carries is fixed there and never changes (G3).
//!
//! The verbs are one trait, so that what is atomic is read off in one place; what they take and give is beside it, by
//! concern.

mod attempts;
mod audit;
mod deliveries;
mod events;
mod expiry;
mod figures;
mod once;
mod orders;
mod partners;
mod past;
mod registrations;
mod replays;
mod settings;
mod tokens;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use hookit_contract::{
    BranchId, BrandId, BusinessId, DeliveryId, DeliverySeq, EndpointId, OrderId, PartnerId, Record, ReplayId,
    Timestamp, TokenId, WebhookId,
};

pub use self::attempts::{ATTEMPTS_SHOWN_MAX, Attempt, Phases, Verdict};
pub use self::audit::{AUDIT_ACTIONS, AUDIT_LOOKS_MAX, AuditEntry, AuditPage, AuditQuery, Caller};
pub use self::deliveries::{
    Cancelled, DELIVERY_LOOKS_MAX, DeadLetters, DeliveriesOf, Delivery, DeliveryPage, DeliveryQuery,
    EndReason, NothingToSend, Payload, PendingDelivery, PendingPage, Replayed,
};
pub use self::events::{EventPage, EventQuery, EventsRead, StoredEvent};
pub use self::expiry::Expiry;
pub use self::figures::{Activity, Counts, Figures, Queue, Ticks};
pub use self::once::{KEYS_KEPT, Once, OnceKey, OperatorKey, PartnerMoveRequest, PartnerMoved};
pub use self::orders::{
    Change, Changed, Invalid, LatelyChanged, OrderEvent, OrderPage, OrderQuery, OrderSearch, OrdersFound,
    RECORD_BYTES_MAX, RECORD_GIVEN_BYTES_MAX, Reason, RecordPlace, StoredOrder,
};
pub use self::partners::{
    Brand, Business, Partner, PartnerChange, PartnerChanged, PartnerQuery, PutBusiness,
};
pub use self::past::{PAST_DAY_KEPT, PAST_WEEK_KEPT, PastFigures, PastQuery, PastTimes, Span};
pub use self::registrations::{
    Endpoint, Held, HoldReason, NewWebhook, PutWebhook, WEBHOOKS_MAX, Webhook, WebhookAccess, WebhookQuery,
};
pub use self::replays::{
    CountReplay, OPEN_REPLAYS_MAX, Replay, ReplayCount, ReplayFilter, ReplayKind, ReplayRequest, ReplayState,
    ReplayStep, StartReplay, SteerReplay, SteeredReplay,
};
pub use self::settings::{EndpointSettings, Ordering, WebhookSettings};
pub use self::tokens::{AddToken, NewToken, OperatorToken, Role, TOKENS_MAX, TokenQuery, TokenRevoked};
use crate::{Condition, Error};

/// The platform's store. Every verb is atomic, and durable (fsync) when it answers.
#[async_trait]
pub trait Store: Send + Sync {
    /// The same store for whoever acts in somebody's name: what is done through it is in the audit log with it, in the same
    /// transaction. What was refused, or changed nothing, is not.
    fn in_name_of(self: Arc<Self>, caller: Caller) -> Arc<dyn Store>;

    /// The audit log.
    async fn audit(&self, query: AuditQuery) -> Result<AuditPage, Error>;

    /// Puts into the audit log that a registration is tested, which nothing else tells of.
    async fn note_test(&self, webhook_id: WebhookId) -> Result<(), Error>;

    /// Changes an order: checks it against the order as it stands, stores the record, appends the event, and forms
    /// the deliveries, in one transaction, together with whatever else is waiting: the tick. Deliveries of one tick
    /// that go to one (endpoint, brand, branch, event type) are one delivery of several orders, no order twice.
    async fn change(&self, change: Change, now: Timestamp) -> Result<Changed, Error>;

    /// Changes many orders, one after the other, in one transaction: what became of each, in their order. A change that
    /// is refused leaves the others as they are; an error undoes all of them.
    async fn changes(&self, changes: Vec<Change>, now: Timestamp) -> Result<Vec<Changed>, Error>;

    /// Changes an order as an operator or a surface asks, once for a key: what became of it is kept in the transaction that did
    /// it, and whoever asks again within [`KEYS_KEPT`] hears it again. A record that cannot be an order leaves no key behind.
    async fn change_once(
        &self,
        key: OperatorKey,
        change: Change,
        now: Timestamp,
    ) -> Result<Once<Changed>, Error>;

    /// Moves an order as a partner asks, once for a key: what became of it is kept in the transaction that did it, and whoever
    /// asks again within [`KEYS_KEPT`] hears it again.
    async fn move_once(
        &self,
        key: OnceKey,
        request: PartnerMoveRequest,
        now: Timestamp,
    ) -> Result<Once<PartnerMoved>, Error>;

    /// An order as it stands.
    async fn order(&self, order_id: OrderId) -> Result<Option<StoredOrder>, Error>;

    /// Orders by id.
    async fn orders(&self, query: OrderQuery) -> Result<OrderPage, Error>;

    /// A business's orders that were created in a stretch of time, the earliest first, and how many there are. Of each where its
    /// record is kept and no more, so that many large ones can be read a few at a time and still are of one moment.
    async fn find_orders(&self, search: OrderSearch) -> Result<OrdersFound, Error>;

    /// These records, in this order; none where one of them is kept no more. All of them are in memory: ask for few at a time.
    async fn records(&self, record_ids: Vec<i64>) -> Result<Option<Vec<Bytes>>, Error>;

    /// Orders that have this name (`external_id`, `short_id`, `identity` of the record they were created with), the newest first,
    /// and behind them those with a name that begins so.
    async fn orders_named(&self, name: &str, limit: usize) -> Result<Vec<OrderId>, Error>;

    /// The orders that changed last, the newest change first. Looks at a bounded number of events, and ends with the order whose
    /// record passes `record_bytes_max`.
    async fn orders_lately(&self, limit: usize, record_bytes_max: usize)
    -> Result<Vec<LatelyChanged>, Error>;

    /// Orders of a branch, those first that were created last. Ends as [`Store::orders_lately`] does.
    async fn orders_of_branch(
        &self,
        branch_id: BranchId,
        limit: usize,
        record_bytes_max: usize,
    ) -> Result<Vec<LatelyChanged>, Error>;

    /// The registrations that an order of this business, branch and brand goes to, by the rule that deliveries are formed by: of each
    /// partner and event type the most specific one. Answered from memory.
    async fn hearing(
        &self,
        business_id: BusinessId,
        branch_id: BranchId,
        brand_id: BrandId,
    ) -> Result<Vec<WebhookId>, Error>;

    /// What happened to an order, the newest first: as much of it as is kept. Records end with the one that passes
    /// `record_bytes_max`; older events come without theirs.
    async fn events_of_order(
        &self,
        order_id: OrderId,
        limit: usize,
        record_bytes_max: usize,
    ) -> Result<Vec<OrderEvent>, Error>;

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

    /// Sends a delivery of a partner again, once for a key, as [`Store::move_once`] does. One of another partner is not there.
    async fn replay_once(
        &self,
        key: OnceKey,
        delivery_id: &DeliveryId,
        now: Timestamp,
    ) -> Result<Once<Replayed>, Error>;

    /// Begins a replay: a durable job. [`Store::step_replays`] does its work.
    async fn start_replay(&self, request: ReplayRequest, now: Timestamp) -> Result<StartReplay, Error>;

    /// How many deliveries a replay would send, counted from `after` on, which is 0 or what the part before said.
    async fn count_replay(&self, request: ReplayRequest, after: i64) -> Result<CountReplay, Error>;

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

    /// Deliveries, newest first. Looks at a bounded number of them ([`DELIVERY_LOOKS_MAX`]), so a page may have fewer than it could.
    async fn deliveries(&self, query: DeliveryQuery) -> Result<DeliveryPage, Error>;

    /// A partner's own deliveries with their newest attempts, newest first. Looks at a bounded number of deliveries, so a page may
    /// have fewer than it could.
    async fn deliveries_of(
        &self,
        partner_id: &PartnerId,
        query: DeliveryQuery,
    ) -> Result<DeliveriesOf, Error>;

    /// What happened to a business's orders. Looks at a bounded number of events.
    async fn events(&self, query: EventQuery) -> Result<EventsRead, Error>;

    /// What a delivery is posted with, wherever it stands and also after it has ended: the same bytes as at its attempts, and
    /// today's URL and secrets. None where there is no such delivery.
    async fn payload_of(&self, delivery_id: &DeliveryId) -> Result<Option<Payload>, Error>;

    /// Of the newest dead letters, so many as `limit`: how many are alike, the most first.
    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetters>, Error>;

    /// One delivery with its newest attempts ([`ATTEMPTS_SHOWN_MAX`]), oldest first.
    async fn delivery(&self, delivery_id: &DeliveryId) -> Result<Option<(Delivery, Vec<Attempt>)>, Error>;

    /// Keeps a new partner. Its id and key are made unique by the caller.
    async fn add_partner(&self, partner: Partner) -> Result<(), Error>;

    /// Changes a partner.
    async fn change_partner(
        &self,
        partner_id: &PartnerId,
        change: PartnerChange,
        now: Timestamp,
    ) -> Result<PartnerChanged, Error>;

    /// Partners.
    async fn partners(&self, query: PartnerQuery) -> Result<Vec<Partner>, Error>;

    /// One partner.
    async fn partner(&self, partner_id: &PartnerId) -> Result<Option<Partner>, Error>;

    /// The partner of a key. Answered from memory: it is asked at every call of the Partner API.
    async fn partner_by_key(&self, partner_key: &str) -> Result<Option<Partner>, Error>;

    /// Keeps a new operator token. A name is in use once; it is free again when its token was revoked.
    async fn add_token(&self, token: NewToken, now: Timestamp) -> Result<AddToken, Error>;

    /// Revokes an operator token.
    async fn revoke_token(&self, token_id: TokenId, now: Timestamp) -> Result<TokenRevoked, Error>;

    /// Operator tokens, revoked ones among them.
    async fn tokens(&self, query: TokenQuery) -> Result<Vec<OperatorToken>, Error>;

    /// The operator token of a hash, also a revoked one. Answered from memory: it is asked at every call.
    async fn token_by_hash(&self, token_hash: &[u8]) -> Result<Option<OperatorToken>, Error>;

    /// What a new order would be refused for, as far as can be said without making it. Answered from memory: for telling it beside
    /// what else is wrong with a request, while the last word is that of the verb that makes it.
    fn objections_to_order(&self, record: &Record) -> Vec<Invalid>;

    /// What a registration of a partner of this business would be refused for, likewise.
    fn objection_to_webhook(
        &self,
        business_id: BusinessId,
        brand_id: Option<BrandId>,
        branch_id: Option<BranchId>,
    ) -> Option<Invalid>;

    /// The business in whose hierarchy a brand is, likewise.
    fn business_of(&self, brand_id: BrandId) -> Option<BusinessId>;

    /// Makes or changes a registration.
    async fn put_webhook(&self, webhook: NewWebhook, now: Timestamp) -> Result<PutWebhook, Error>;

    /// Registrations.
    async fn webhooks(&self, query: WebhookQuery) -> Result<Vec<Webhook>, Error>;

    /// One registration, with what is needed to post to it.
    async fn webhook_access(&self, webhook_id: WebhookId) -> Result<Option<WebhookAccess>, Error>;

    /// All endpoints that registrations point at, or that have pending deliveries.
    async fn endpoints(&self) -> Result<Vec<Endpoint>, Error>;

    /// One endpoint.
    async fn endpoint(&self, endpoint_id: EndpointId) -> Result<Option<Endpoint>, Error>;

    /// Holds an endpoint: nothing is sent to it, what is for it waits. Or lets it go.
    async fn hold_endpoint(
        &self,
        endpoint_id: EndpointId,
        hold: Option<HoldReason>,
        now: Timestamp,
    ) -> Result<Held, Error>;

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

    /// Adds to the figures of the past, and forgets those that are older than they are kept ([`PAST_DAY_KEPT`],
    /// [`PAST_WEEK_KEPT`]).
    async fn note_past(&self, figures: Vec<PastFigures>, now: Timestamp) -> Result<(), Error>;

    /// Figures of the past, the oldest first.
    async fn past(&self, query: PastQuery) -> Result<Vec<PastFigures>, Error>;

    /// The hints of new deliveries, for the dispatcher.
    fn hints(&self) -> &crate::hints::Hints;

    /// Whether changes are taken. Answered from memory; a store that is in trouble finds out by itself when that is over.
    fn condition(&self) -> Condition;

    /// Commits what waits, and closes. Later verbs answer [`Error::Busy`].
    async fn close(&self);
}
