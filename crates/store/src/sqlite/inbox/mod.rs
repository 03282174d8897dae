//! The inbox's store in SQLite.

mod arrival;
mod book;
mod expiry;
mod found;
mod moves;
mod packing;
mod quarantine;
mod reads;
mod reconcile;
mod sinks;

use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use hookit_contract::{DeliveryId, OrderId, StatusCodes, Timestamp};
use tokio::sync::watch;

use self::arrival::Arrival;
use self::book::{Command, InboxBook, Published, Reply};
use super::failed;
use super::file::{self, Kind};
use super::readers::Readers;
use super::writer::Writer;
use crate::inbox::{
    Applied, Change, Changes, Counts, Expiry, FoundOrders, GivenUp, Heal, HealOutcome, HealedOrder, Held,
    HistoryEntry, HistoryQuery, KeptDelivery, MoveAsked, MoveEnd, NewMove, OrderFilter, OrderMove, Page,
    Quarantined, Receipt, Received, ReconcileMark, ReconcileRun, ReconcileStep, RunCause, SinkAdvanced,
    SinkEnd, SinkPosition, SinkWanted, Store, ViewedOrder,
};
use crate::{Condition, Error, OpenError};

pub(super) const KIND: Kind = Kind {
    name: "inbox",
    words: "a hookit inbox's store",
    // "hkIN"
    application_id: 0x686b_494e,
    migrations: &[
        include_str!("schema_1.sql"),
        include_str!("schema_2.sql"),
        include_str!("schema_3.sql"),
        include_str!("schema_4.sql"),
        include_str!("schema_5.sql"),
        include_str!("schema_6.sql"),
        include_str!("schema_7.sql"),
        include_str!("schema_8.sql"),
        include_str!("schema_9.sql"),
        include_str!("schema_10.sql"),
    ],
};

/// How to open an inbox's store.
#[derive(Clone, Debug)]
pub struct InboxOptions {
    /// The codes of statuses in records.
    pub codes: StatusCodes,
    /// How long a tick waits for more deliveries after its first one. Zero waits for nobody.
    pub tick_min: Duration,
    /// Commands that wait at most.
    pub queue_max: usize,
}

impl Default for InboxOptions {
    fn default() -> Self {
        InboxOptions { codes: StatusCodes::default(), tick_min: Duration::ZERO, queue_max: super::QUEUE_MAX }
    }
}

/// The inbox's store, in the file `inbox.db` of a data folder.
pub struct InboxStore {
    writer: Writer<InboxBook>,
    readers: Readers,
    published: Published,
    codes: StatusCodes,
}

impl InboxStore {
    /// Opens the store of a data folder, or makes it. Not to be called where blocking is not allowed.
    ///
    /// # Errors
    /// [`OpenError`] where it is in use, newer than this program, not an inbox's, or cannot be read.
    pub fn open(dir: &Path, options: InboxOptions) -> Result<Self, OpenError> {
        let opened = file::open(dir, &KIND)?;
        let path = opened.path.clone();
        let database = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Database {
            path: path.clone(),
            source,
        };
        let published = Published::default();
        let book = InboxBook::load(&opened.writer, options.codes, published.clone())
            .map_err(|e| database(Box::new(e)))?;
        let readers = Readers::open(&path).map_err(|e| database(Box::new(e)))?;
        let writer = Writer::start(KIND.name, opened, book, options.queue_max, options.tick_min)?;
        Ok(InboxStore { writer, readers, published, codes: options.codes })
    }
}

#[async_trait]
impl Store for InboxStore {
    async fn receive(&self, received: Received) -> Result<Receipt, Error> {
        // Read here, so that the one writing thread does not have to.
        let arrival = Box::new(Arrival::read(received, &self.codes));
        reply!(self.writer.run(Command::Receive(arrival)).await?, Received)
    }

    async fn order(&self, order_id: OrderId) -> Result<Option<ViewedOrder>, Error> {
        let codes = self.codes;
        self.readers.read("reading an order", move |db| reads::order(db, &codes, order_id)).await
    }

    async fn orders(
        &self,
        filter: &OrderFilter,
        after: Option<OrderId>,
        limit: usize,
    ) -> Result<FoundOrders, Error> {
        let (codes, filter) = (self.codes, filter.clone());
        self.readers.read("listing orders", move |db| found::orders(db, &codes, &filter, after, limit)).await
    }

    async fn history(&self, query: HistoryQuery) -> Result<Option<Page<HistoryEntry>>, Error> {
        let codes = self.codes;
        self.readers.read("reading an order's history", move |db| reads::history(db, &codes, query)).await
    }

    async fn quarantine(&self, after: Option<i64>, limit: usize) -> Result<Page<Quarantined>, Error> {
        self.readers.read("listing the quarantine", move |db| reads::quarantine(db, after, limit)).await
    }

    async fn delivery(&self, delivery_id: &DeliveryId) -> Result<Option<KeptDelivery>, Error> {
        let delivery_id = delivery_id.clone();
        self.readers.read("reading a delivery", move |db| reads::delivery(db, &delivery_id)).await
    }

    async fn changes(&self, after: i64, limit: usize) -> Result<Changes, Error> {
        let codes = self.codes;
        self.readers.read("reading the changes", move |db| reads::changes(db, &codes, after, limit)).await
    }

    fn changed(&self) -> watch::Receiver<i64> {
        self.published.changed.subscribe()
    }

    async fn put_sinks(&self, wanted: Vec<SinkWanted>, now: Timestamp) -> Result<Vec<SinkPosition>, Error> {
        reply!(self.writer.run(Command::PutSinks(wanted, now)).await?, Sinks)
    }

    async fn sinks(&self) -> Result<Vec<SinkPosition>, Error> {
        self.readers.read("reading the sinks", reads::sinks).await
    }

    async fn sink_ended(
        &self,
        name: &str,
        ended: Vec<(i64, SinkEnd)>,
        now: Timestamp,
    ) -> Result<SinkAdvanced, Error> {
        reply!(self.writer.run(Command::SinkEnded(name.into(), ended, now)).await?, Advanced)
    }

    async fn given_up(&self, name: &str, after: i64, limit: usize) -> Result<Vec<GivenUp>, Error> {
        let name = name.to_owned();
        self.readers
            .read("listing what a sink has given up", move |db| reads::given_up(db, &name, after, limit))
            .await
    }

    async fn hand_on_again(&self, name: &str, changes: Vec<i64>) -> Result<usize, Error> {
        reply!(self.writer.run(Command::HandOnAgain(name.into(), changes)).await?, Marked)
    }

    async fn asked_again(&self, name: &str, limit: usize) -> Result<Vec<Change>, Error> {
        let (name, codes) = (name.to_owned(), self.codes);
        self.readers
            .read("reading what is asked for again", move |db| reads::asked_again(db, &codes, &name, limit))
            .await
    }

    async fn held(&self, order_ids: Vec<OrderId>) -> Result<Vec<Held>, Error> {
        let codes = self.codes;
        self.readers
            .read("comparing orders", move |db| {
                reconcile::held(db, &codes, &order_ids).map_err(failed("comparing orders"))
            })
            .await
    }

    async fn reconcile_mark(&self) -> Result<ReconcileMark, Error> {
        let doing = "reading where to go on reconciling";
        self.readers.read(doing, move |db| reconcile::mark(db).map_err(failed(doing))).await
    }

    async fn reconcile_begin(&self, cause: RunCause, started_at: Timestamp) -> Result<i64, Error> {
        reply!(self.writer.run(Command::ReconcileBegin(cause, started_at)).await?, Begun)
    }

    async fn heal(&self, run_id: i64, heals: Vec<Heal>) -> Result<Vec<HealOutcome>, Error> {
        let read = |Heal { order_id, held, was_refused, received }| reconcile::Lacking {
            order_id,
            held,
            was_refused,
            arrival: Arrival::read(received, &self.codes),
        };
        let lacking = heals.into_iter().map(read).collect();
        reply!(self.writer.run(Command::Heal(run_id, lacking)).await?, Healed)
    }

    async fn reconcile_step(&self, step: ReconcileStep) -> Result<(), Error> {
        reply!(self.writer.run(Command::ReconcileStep(Box::new(step))).await?, Noted)
    }

    async fn reconcile_runs(&self, limit: usize) -> Result<Vec<ReconcileRun>, Error> {
        let doing = "listing reconciliations";
        self.readers.read(doing, move |db| reconcile::runs(db, limit).map_err(failed(doing))).await
    }

    async fn healed(&self, limit: usize) -> Result<Vec<HealedOrder>, Error> {
        let doing = "listing what was healed";
        self.readers.read(doing, move |db| reconcile::healed(db, limit).map_err(failed(doing))).await
    }

    async fn ask_move(&self, new: NewMove) -> Result<MoveAsked, Error> {
        reply!(self.writer.run(Command::AskMove(Box::new(new))).await?, MoveAsked)
    }

    async fn pending_moves(&self, limit: usize) -> Result<Vec<OrderMove>, Error> {
        let doing = "listing pending moves";
        self.readers.read(doing, move |db| moves::pending(db, limit).map_err(failed(doing))).await
    }

    async fn end_move(&self, move_id: String, end: MoveEnd) -> Result<bool, Error> {
        reply!(self.writer.run(Command::EndMove(move_id, end)).await?, MoveEnded)
    }

    async fn order_move(&self, move_id: String) -> Result<Option<OrderMove>, Error> {
        let doing = "reading a move";
        self.readers.read(doing, move |db| moves::one(db, &move_id).map_err(failed(doing))).await
    }

    async fn moves_of(&self, order_id: OrderId, limit: usize) -> Result<Vec<OrderMove>, Error> {
        let doing = "listing an order's moves";
        self.readers.read(doing, move |db| moves::of_order(db, order_id, limit).map_err(failed(doing))).await
    }

    async fn apply_quarantined(&self, quarantine_id: i64, now: Timestamp) -> Result<Applied, Error> {
        let (codes, doing) = (self.codes, "reading what is in quarantine");
        let read = move |db: &_| quarantine::read(db, &codes, quarantine_id, now).map_err(failed(doing));
        let Some(arrival) = self.readers.read(doing, read).await? else { return Ok(Applied::NoSuchThing) };
        reply!(self.writer.run(Command::Apply(quarantine_id, Box::new(arrival))).await?, Applied)
    }

    async fn discard_quarantined(&self, quarantine_id: i64) -> Result<Option<DeliveryId>, Error> {
        reply!(self.writer.run(Command::Discard(quarantine_id)).await?, Discarded)
    }

    async fn expire(&self, before: Timestamp, place: Expiry) -> Result<Option<Expiry>, Error> {
        let doing = "looking for what is old";
        let (step, next) = self
            .readers
            .read(doing, move |db| expiry::look(db, before, place).map_err(failed(doing)))
            .await?;
        // Most looks find nothing, and need no commit.
        if let Some(step) = step {
            reply!(self.writer.run(Command::Expire(step)).await?, Noted)?;
        }
        Ok(next)
    }

    async fn pack(&self, before: Timestamp) -> Result<bool, Error> {
        let doing = "looking for what is to be packed";
        let look = move |db: &_| packing::look(db, before).map_err(failed(doing));
        let Some(step) = self.readers.read(doing, look).await? else { return Ok(false) };
        reply!(self.writer.run(Command::Pack(step)).await?, Noted)?;
        Ok(true)
    }

    async fn counts(&self) -> Result<Counts, Error> {
        Ok(*self.published.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn condition(&self) -> Condition {
        self.writer.condition()
    }

    async fn close(&self) {
        // Readers first: the last connection to close is the writer's, which then tidies the log file away.
        self.readers.close().await;
        self.writer.close().await;
    }
}
