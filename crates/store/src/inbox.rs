//! The inbox's store: what was received, a partner's order view, and what could not be read.
//!
//! The heart is [`Store::receive`]: "seen this id" and "the view is updated" are one transaction (G7), and many
//! concurrent deliveries share one commit.

mod moves;
mod reconcile;
mod stretches;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use hookit_contract::{BranchId, BrandId, DeliveryId, OrderId, OrderStatus, Timestamp};
use tokio::sync::watch;

pub use self::moves::{MOVES_PENDING_MAX, MoveAsked, MoveEnd, MoveState, NewMove, OrderMove};
pub use self::reconcile::{
    HEALED_KEPT, Heal, HealOutcome, HealReason, HealedOrder, Held, RUNS_KEPT, ReconcileMark, ReconcileRun,
    ReconcileStep, RunCause, RunCounts, RunEnd,
};
pub use self::stretches::Stretches;
use crate::{Condition, Error};

/// How a delivery came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Posted to us, its signature verified.
    Webhook,
    /// Asked for, because it had not come: an envelope that we formed ourselves.
    Reconcile,
}

impl Source {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Source::Webhook => "webhook",
            Source::Reconcile => "reconcile",
        }
    }
}

impl std::str::FromStr for Source {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        [Source::Webhook, Source::Reconcile].into_iter().find(|source| source.as_str() == word).ok_or(())
    }
}

/// A delivery that is genuine.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its id, `x-klikit-event-id`; of one that did not come as a webhook an id that no webhook has.
    pub delivery_id: DeliveryId,
    /// `x-klikit-event-type` as it came; kept, never refused.
    pub event_type: Option<String>,
    /// How it came.
    pub source: Source,
    /// The name of the secret that it was signed with.
    pub secret: Option<Arc<str>>,
    /// The headers worth keeping, each name once, in lowercase.
    pub headers: Vec<(&'static str, String)>,
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
        /// Of those whose view it renewed, the orders of which versions in between never came.
        jumped: usize,
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

/// Which orders are looked for: those that all of it is true of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// In one of these; in any where there are none.
    pub statuses: Vec<OrderStatus>,
    /// Of this brand, by the record or by an envelope that it came in.
    pub brand_id: Option<BrandId>,
    /// Of this branch.
    pub branch_id: Option<BranchId>,
    /// Of this id, or with an `external_id` or a `short_id` that begins so, in any case.
    pub text: Option<String>,
    /// Whose newest state came at this time or later.
    pub received_since: Option<Timestamp>,
    /// Whose newest state came before this time.
    pub received_until: Option<Timestamp>,
}

/// Orders that were found.
#[derive(Clone, Debug, Default)]
pub struct FoundOrders {
    /// By their id.
    pub orders: Vec<ViewedOrder>,
    /// Where to go on; none where there are no more. There may be more also where there are fewer than were asked for, or none.
    pub next_after: Option<OrderId>,
}

/// Records in one [`FoundOrders`], or what is in quarantine on one [`Page`], have about so many bytes together at most; one that has
/// more by itself comes alone.
pub const PAGE_BYTES_MAX: usize = 16 << 20;

/// Part of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// What is on it; at least one where there is any.
    pub items: Vec<T>,
    /// True where there is more behind the last one.
    pub more: bool,
}

/// The place of a state in an order's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryPlace {
    /// The place of the delivery that brought it, in the order of arrival.
    pub delivery_seq: i64,
    /// Its place in that delivery.
    pub position: u32,
}

/// Which states of an order to read.
#[derive(Clone, Copy, Debug)]
pub struct HistoryQuery {
    /// The order.
    pub order_id: OrderId,
    /// Behind this one.
    pub after: Option<HistoryPlace>,
    /// From the newest one back, instead of from the oldest one on.
    pub newest_first: bool,
    /// At most so many.
    pub limit: usize,
}

/// One state of an order that was received.
#[derive(Clone, Debug)]
pub struct HistoryEntry {
    /// Its place.
    pub place: HistoryPlace,
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
    /// How that came.
    pub source: Source,
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

/// What became of something in quarantine that was read anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was taken in.
    Read(Receipt),
    /// It cannot be read still.
    Unreadable {
        /// Why, in a sentence.
        reason: String,
    },
    /// Nothing in quarantine has that number.
    NoSuchThing,
}

/// A delivery as it is kept.
#[derive(Clone, Debug)]
pub struct KeptDelivery {
    /// Its id.
    pub delivery_id: DeliveryId,
    /// The event type.
    pub event_type: Option<String>,
    /// How it came.
    pub source: Source,
    /// The name of the secret that it was signed with.
    pub secret: Option<String>,
    /// The headers that were kept.
    pub headers: Vec<(String, String)>,
    /// The envelope's brand.
    pub brand_id: Option<BrandId>,
    /// The envelope's branch.
    pub branch_id: Option<BranchId>,
    /// The raw body.
    pub body: Bytes,
    /// When it came.
    pub received_at: Timestamp,
}

/// One renewal of the view.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its place in the line of changes, above zero. A store that is made of a copy leaves [`CHANGES_AHEAD`] numbers out.
    pub change_seq: i64,
    /// The order.
    pub order_id: OrderId,
    /// The status it then had, where the record has one.
    pub status: Option<OrderStatus>,
    /// The version it then had, where the record has one.
    pub version: Option<i64>,
    /// The event type of the delivery.
    pub event_type: Option<String>,
    /// The delivery that brought it.
    pub delivery_id: DeliveryId,
    /// Which element of the delivery's `orders` it is.
    pub position: u32,
    /// The brand of the delivery's envelope.
    pub brand_id: Option<BrandId>,
    /// The branch of the delivery's envelope.
    pub branch_id: Option<BranchId>,
    /// When the delivery came.
    pub received_at: Timestamp,
    /// The record, byte for byte as it came.
    pub record: Bytes,
}

/// A piece of the line of changes.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// In the order of the line; where there are none, there are none so far.
    pub changes: Vec<Change>,
    /// Changes up to here were removed for their age: who asks behind a lower number has missed some.
    pub removed_to: i64,
}

/// Records in one [`Changes`] have about so many bytes together at most; one that has more by itself comes alone.
pub const CHANGES_BYTES_MAX: usize = 8 << 20;

/// What a store that is made of a copy adds to the numbers of changes. Since the copy was made some were given that are not in
/// it, and none of them may be given twice: who follows the line would take what is new for what it had. No inbox makes as many
/// changes in the life of a copy, and of so many steps there are 8,000 in the integers that JSON can write. So how many changes
/// there are between two numbers is their difference without whole steps.
pub const CHANGES_AHEAD: i64 = 1 << 40;

/// A sink as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkWanted {
    /// Its name, unique and never another sink's.
    pub name: String,
    /// Where it begins when it is new.
    pub start: SinkStart,
}

/// Where a new sink begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkStart {
    /// With the oldest change that is kept.
    Oldest,
    /// With what comes from now on.
    Next,
}

/// How far a sink has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkPosition {
    /// Its name.
    pub name: String,
    /// Every change up to here has ended.
    pub position: i64,
    /// What has ended above it.
    pub ended: Stretches,
    /// Changes that it has given up, and that were not handed on since.
    pub given_up: u64,
}

/// Stretches of consecutive changes that may have ended above a sink's position. In each there may be any number of them.
pub const SINK_STRETCHES_MAX: usize = 10_000;

/// How a change ended for a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkEnd {
    /// It took it.
    HandedOn,
    /// It will not be tried again unless somebody asks for it.
    GivenUp {
        /// Why, in a sentence.
        reason: String,
    },
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkAdvanced {
    /// It is on disk.
    To {
        /// Every change up to here has ended.
        position: i64,
    },
    /// What has ended above the position would be in more than [`SINK_STRETCHES_MAX`] stretches. Nothing was done.
    TooFarAhead,
    /// No sink has that name. Nothing was done.
    NoSuchSink,
}

/// A change that a sink has given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// The change.
    pub change_seq: i64,
    /// Its order.
    pub order_id: OrderId,
    /// Why.
    pub reason: String,
    /// When.
    pub given_up_at: Timestamp,
    /// True where it is to be handed on again, and was not yet.
    pub again: bool,
}

/// How far a pass over what is old has come; the default is its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// In the line of changes, at what is its beginning then.
    #[default]
    Changes,
    /// Among the deliveries.
    Deliveries {
        /// Behind this one.
        after: i64,
    },
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

    /// Orders that pass the filter by id, above `after`, at most `limit` and [`PAGE_BYTES_MAX`], and as far as can be looked at in a
    /// moment.
    async fn orders(
        &self,
        filter: &OrderFilter,
        after: Option<OrderId>,
        limit: usize,
    ) -> Result<FoundOrders, Error>;

    /// States of an order that were received, by their arrival; none for an order that never came.
    async fn history(&self, query: HistoryQuery) -> Result<Option<Page<HistoryEntry>>, Error>;

    /// What is in quarantine, oldest first, above `after`, at most `limit` and [`PAGE_BYTES_MAX`].
    async fn quarantine(&self, after: Option<i64>, limit: usize) -> Result<Page<Quarantined>, Error>;

    /// A delivery.
    async fn delivery(&self, delivery_id: &DeliveryId) -> Result<Option<KeptDelivery>, Error>;

    /// The line of changes behind `after`, at most `limit` and [`CHANGES_BYTES_MAX`]. Of one order an older state never
    /// comes after a newer one.
    async fn changes(&self, after: i64, limit: usize) -> Result<Changes, Error>;

    /// The number of the newest change that is on disk, 0 where there was none; it tells of each commit.
    fn changed(&self) -> watch::Receiver<i64>;

    /// Has these sinks, and no others: a new one begins where it wants to, one that was there before goes on where it
    /// was, and what is not among them leaves and holds nothing up any more. Answers in the order of `wanted`.
    async fn put_sinks(&self, wanted: Vec<SinkWanted>, now: Timestamp) -> Result<Vec<SinkPosition>, Error>;

    /// The sinks that have not left, by name.
    async fn sinks(&self) -> Result<Vec<SinkPosition>, Error>;

    /// Notes how changes ended for a sink, and moves its position on over all that have.
    async fn sink_ended(
        &self,
        name: &str,
        ended: Vec<(i64, SinkEnd)>,
        now: Timestamp,
    ) -> Result<SinkAdvanced, Error>;

    /// What a sink has given up, above `after`, at most `limit`.
    async fn given_up(&self, name: &str, after: i64, limit: usize) -> Result<Vec<GivenUp>, Error>;

    /// Asks that changes which a sink has given up be handed on again; how many there were of them.
    async fn hand_on_again(&self, name: &str, changes: Vec<i64>) -> Result<usize, Error>;

    /// The changes that were asked for again, at most `limit` and [`CHANGES_BYTES_MAX`], until they end anew.
    async fn asked_again(&self, name: &str, limit: usize) -> Result<Vec<Change>, Error>;

    /// What the view has of these orders; those that it does not have are left out.
    async fn held(&self, order_ids: Vec<OrderId>) -> Result<Vec<Held>, Error>;

    /// Where reconciling goes on.
    async fn reconcile_mark(&self) -> Result<ReconcileMark, Error>;

    /// Begins a run; its number. A run that has not ended was broken off.
    async fn reconcile_begin(&self, cause: RunCause, started_at: Timestamp) -> Result<i64, Error>;

    /// Takes in what the view lacks, each as [`Store::receive`] does and where the view is still as it was when it was
    /// compared, and counts it for the run. All of it together, in its order.
    async fn heal(&self, run_id: i64, heals: Vec<Heal>) -> Result<Vec<HealOutcome>, Error>;

    /// Writes down how far a run has come.
    async fn reconcile_step(&self, step: ReconcileStep) -> Result<(), Error>;

    /// The newest runs, newest first.
    async fn reconcile_runs(&self, limit: usize) -> Result<Vec<ReconcileRun>, Error>;

    /// The orders that were healed last, newest first.
    async fn healed(&self, limit: usize) -> Result<Vec<HealedOrder>, Error>;

    /// Keeps a move that is to be made.
    async fn ask_move(&self, new: NewMove) -> Result<MoveAsked, Error>;

    /// The moves that are still to be made, in the order in which they were asked for.
    async fn pending_moves(&self, limit: usize) -> Result<Vec<OrderMove>, Error>;

    /// Ends a move; false where it was not pending.
    async fn end_move(&self, move_id: String, end: MoveEnd) -> Result<bool, Error>;

    /// A move.
    async fn order_move(&self, move_id: String) -> Result<Option<OrderMove>, Error>;

    /// The newest moves of an order, newest first.
    async fn moves_of(&self, order_id: OrderId, limit: usize) -> Result<Vec<OrderMove>, Error>;

    /// Reads something in quarantine anew. Where something of it reads now it comes in as a delivery does, at this moment, and
    /// leaves the quarantine; else it stays, with the reason of today.
    async fn apply_quarantined(&self, quarantine_id: i64, now: Timestamp) -> Result<Applied, Error>;

    /// Takes something out of quarantine for good, unread. Its delivery stays as it came, so that a repeat of it is one still,
    /// and grows old as others do. The delivery that brought it; none where nothing in quarantine has that number.
    async fn discard_quarantined(&self, quarantine_id: i64) -> Result<Option<DeliveryId>, Error>;

    /// Removes, in a step that is short, some of what came before this moment and is over: changes that every sink has come
    /// past, and deliveries, with their history, that hold no newest state of an order, no change that is kept, and nothing in
    /// quarantine. Where to go on; nowhere where the pass is at its end.
    async fn expire(&self, before: Timestamp, place: Expiry) -> Result<Option<Expiry>, Error>;

    /// Packs, in a step that is short, bodies that nobody is likely to look at: those of orders of which nothing came since this
    /// moment, but for the one with the newest state, and where it pays. They read as they did before. True where there may be
    /// more to do.
    async fn pack(&self, before: Timestamp) -> Result<bool, Error>;

    /// How much there is. Cheap: asked every second.
    async fn counts(&self) -> Result<Counts, Error>;

    /// Whether changes are taken. Answered from memory; a store that is in trouble finds out by itself when that is over.
    fn condition(&self) -> Condition;

    /// Commits what waits, and closes. Later verbs answer [`Error::Busy`].
    async fn close(&self);
}
