//! The platform's store in SQLite.

mod attempts;
mod audit;
mod book;
mod changes;
mod deliveries;
mod endings;
mod expiry;
mod fresh;
mod lists;
mod once;
mod operator_once;
mod order_rows;
mod past;
mod reads;
mod registrations;
mod registry;
mod replays;
mod seen;
mod tally;
mod tokens;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hookit_contract::{
    BranchId, BrandId, BusinessId, DeliveryId, DeliverySeq, EndpointId, OrderId, PartnerId, Record, ReplayId,
    StatusCodes, Timestamp, TokenId, WebhookId,
};

use self::book::{Command, PlatformBook, Reply};
use self::changes::{NewOrder, Prepared};
use self::fresh::Fresh;
use self::registry::Registry;
use self::replays::jobs;
use self::tally::Tallied;
use super::file::{self, Kind};
use super::readers::Readers;
use super::writer::Writer;
use crate::hints::Hints;
use crate::platform::{
    AddToken, Attempt, AuditPage, AuditQuery, Business, Caller, Cancelled, Change, Changed, CountReplay,
    DeadLetters, DeliveriesOf, Delivery, DeliveryPage, DeliveryQuery, Endpoint, EventQuery, EventsRead,
    Expiry, Figures, Held, HoldReason, Invalid, LatelyChanged, NewToken, NewWebhook, NothingToSend, Once,
    OnceKey, OperatorKey, OperatorToken, OrderEvent, OrderPage, OrderQuery, OrderSearch, OrdersFound,
    Partner, PartnerChange, PartnerChanged, PartnerMoveRequest, PartnerMoved, PartnerQuery, PastFigures,
    PastQuery, Payload, PendingPage, PutBusiness, PutWebhook, Replay, ReplayRequest, ReplayStep, Replayed,
    StartReplay, SteerReplay, SteeredReplay, Store, StoredOrder, TokenQuery, TokenRevoked, Webhook,
    WebhookAccess, WebhookQuery,
};
use crate::{Condition, Error, OpenError};

pub(super) const KIND: Kind = Kind {
    name: "platform",
    words: "a hookit platform's store",
    // "hkPL"
    application_id: 0x686b_504c,
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
        include_str!("schema_11.sql"),
        include_str!("schema_12.sql"),
    ],
};

/// How to open a platform's store.
#[derive(Clone, Debug)]
pub struct PlatformOptions {
    /// The codes of statuses in records.
    pub codes: StatusCodes,
    /// Orders in one delivery at most.
    pub orders_per_delivery_max: usize,
    /// How long a tick waits for more changes after its first one. Zero waits for nobody.
    pub tick_min: Duration,
    /// Commands that wait at most.
    pub queue_max: usize,
    /// Where the random part of delivery ids begins; from the system where none is given.
    pub id_seed: Option<u64>,
}

impl Default for PlatformOptions {
    fn default() -> Self {
        PlatformOptions {
            codes: StatusCodes::default(),
            orders_per_delivery_max: super::ORDERS_PER_DELIVERY_MAX,
            tick_min: Duration::ZERO,
            queue_max: super::QUEUE_MAX,
            id_seed: None,
        }
    }
}

/// What the writer tells the rest after each commit.
#[derive(Debug)]
struct Published {
    hints: Hints,
    tallied: Mutex<Tallied>,
    registry: RwLock<Arc<Registry>>,
    fresh: Fresh,
}

/// The platform's store, in the file `platform.db` of a data folder.
pub struct PlatformStore {
    writer: Named,
    readers: Arc<Readers>,
    published: Arc<Published>,
    codes: StatusCodes,
}

/// The writer, and in whose name it is asked to write.
#[derive(Clone)]
struct Named {
    writer: Arc<Writer<PlatformBook>>,
    caller: Option<Arc<Caller>>,
}

impl Named {
    async fn run(&self, command: Command) -> Result<Reply, Error> {
        match &self.caller {
            Some(caller) => self.writer.run(Command::Named(Box::new(command), Arc::clone(caller))).await,
            None => self.writer.run(command).await,
        }
    }
}

impl PlatformStore {
    /// Opens the store of a data folder, or makes it. Not to be called where blocking is not allowed.
    ///
    /// # Errors
    /// [`OpenError`] where it is in use, newer than this program, not a platform's, or cannot be read.
    pub fn open(dir: &Path, options: PlatformOptions) -> Result<Self, OpenError> {
        let opened = file::open(dir, &KIND)?;
        let (path, db) = (opened.path.clone(), &opened.writer);
        let database = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Database {
            path: path.clone(),
            source,
        };
        let id_seed = match options.id_seed {
            Some(seed) => seed,
            None => getrandom::u64().map_err(|e| database(Box::new(e)))?,
        };
        let registry = Arc::new(Registry::load(db).map_err(|e| database(Box::new(e)))?);
        let published = Arc::new(Published {
            hints: Hints::default(),
            tallied: Mutex::default(),
            registry: RwLock::new(Arc::clone(&registry)),
            fresh: Fresh::default(),
        });
        let book = PlatformBook::load(db, &options, id_seed, registry, Arc::clone(&published))
            .map_err(|e| database(Box::new(e)))?;
        let readers = Readers::open(&path).map_err(|e| database(Box::new(e)))?;
        let writer = Writer::start(KIND.name, opened, book, options.queue_max, options.tick_min)?;
        let writer = Named { writer: Arc::new(writer), caller: None };
        Ok(PlatformStore { writer, readers: Arc::new(readers), published, codes: options.codes })
    }

    fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.published.registry.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Store for PlatformStore {
    fn in_name_of(self: Arc<Self>, caller: Caller) -> Arc<dyn Store> {
        Arc::new(PlatformStore {
            writer: Named { writer: Arc::clone(&self.writer.writer), caller: Some(Arc::new(caller)) },
            readers: Arc::clone(&self.readers),
            published: Arc::clone(&self.published),
            codes: self.codes,
        })
    }

    async fn audit(&self, query: AuditQuery) -> Result<AuditPage, Error> {
        self.readers.read("reading the audit log", move |db| audit::page(db, &query)).await
    }

    async fn note_test(&self, webhook_id: WebhookId) -> Result<(), Error> {
        reply!(self.writer.run(Command::NoteTest(webhook_id)).await?, Noted)
    }

    async fn change(&self, change: Change, now: Timestamp) -> Result<Changed, Error> {
        // What can be checked without the order is checked here, so that the writer has less to do.
        let prepared = match Prepared::new(change, &self.codes, &|| self.registry()) {
            Ok(prepared) => prepared,
            Err(invalid) => return Ok(Changed::Invalid(invalid)),
        };
        reply!(self.writer.run(Command::Change(prepared, now)).await?, Changed)
    }

    async fn changes(&self, changes: Vec<Change>, now: Timestamp) -> Result<Vec<Changed>, Error> {
        let prepare = |change| Prepared::new(change, &self.codes, &|| self.registry());
        let prepared = changes.into_iter().map(prepare).collect();
        reply!(self.writer.run(Command::Changes(prepared, now)).await?, ManyChanged)
    }

    async fn change_once(
        &self,
        key: OperatorKey,
        change: Change,
        now: Timestamp,
    ) -> Result<Once<Changed>, Error> {
        let prepared = match Prepared::new(change, &self.codes, &|| self.registry()) {
            Ok(prepared) => prepared,
            Err(invalid) => return Ok(Once::Done(Changed::Invalid(invalid))),
        };
        reply!(self.writer.run(Command::ChangeOnce(key, prepared, now)).await?, ChangedOnce)
            .map(|(changed, _)| changed)
    }

    async fn move_once(
        &self,
        key: OnceKey,
        request: PartnerMoveRequest,
        now: Timestamp,
    ) -> Result<Once<PartnerMoved>, Error> {
        reply!(self.writer.run(Command::MoveOnce(key, request, now)).await?, MovedOnce)
    }

    async fn order(&self, order_id: OrderId) -> Result<Option<StoredOrder>, Error> {
        let codes = self.codes;
        self.readers.read("reading an order", move |db| reads::order(db, &codes, order_id)).await
    }

    async fn orders(&self, query: OrderQuery) -> Result<OrderPage, Error> {
        let codes = self.codes;
        self.readers.read("listing orders", move |db| reads::orders(db, &codes, &query)).await
    }

    async fn find_orders(&self, search: OrderSearch) -> Result<OrdersFound, Error> {
        let codes = self.codes;
        self.readers.read("finding orders", move |db| reads::find_orders(db, &codes, &search)).await
    }

    async fn records(&self, record_ids: Vec<i64>) -> Result<Option<Vec<Bytes>>, Error> {
        self.readers.read("reading records", move |db| reads::records(db, &record_ids)).await
    }

    async fn orders_named(&self, name: &str, limit: usize) -> Result<Vec<OrderId>, Error> {
        let name = name.to_owned();
        self.readers.read("looking for an order by name", move |db| seen::named(db, &name, limit)).await
    }

    async fn orders_lately(
        &self,
        limit: usize,
        record_bytes_max: usize,
    ) -> Result<Vec<LatelyChanged>, Error> {
        let codes = self.codes;
        self.readers
            .read("looking for what changed lately", move |db| {
                seen::lately(db, &codes, limit, record_bytes_max)
            })
            .await
    }

    async fn orders_of_branch(
        &self,
        branch_id: BranchId,
        limit: usize,
        record_bytes_max: usize,
    ) -> Result<Vec<LatelyChanged>, Error> {
        let codes = self.codes;
        self.readers
            .read("looking for a branch's orders", move |db| {
                seen::of_branch(db, &codes, branch_id, limit, record_bytes_max)
            })
            .await
    }

    async fn hearing(
        &self,
        business_id: BusinessId,
        branch_id: BranchId,
        brand_id: BrandId,
    ) -> Result<Vec<WebhookId>, Error> {
        Ok(self.registry().hearing(business_id, branch_id, brand_id))
    }

    async fn events_of_order(
        &self,
        order_id: OrderId,
        limit: usize,
        record_bytes_max: usize,
    ) -> Result<Vec<OrderEvent>, Error> {
        let codes = self.codes;
        self.readers
            .read("reading what happened to an order", move |db| {
                seen::events_of(db, &codes, order_id, limit, record_bytes_max)
            })
            .await
    }

    async fn pending(
        &self,
        endpoint_id: EndpointId,
        after: DeliverySeq,
        limit: usize,
    ) -> Result<PendingPage, Error> {
        self.readers
            .read("listing pending deliveries", move |db| reads::pending(db, endpoint_id, after, limit))
            .await
    }

    async fn payload(&self, seq: DeliverySeq) -> Result<Result<Payload, NothingToSend>, Error> {
        if let Some(payload) = self.published.fresh.take(seq, || self.registry()) {
            return Ok(payload);
        }
        self.readers.read("reading a delivery's payload", move |db| reads::payload(db, seq)).await
    }

    async fn record_attempts(&self, attempts: Vec<Attempt>, now: Timestamp) -> Result<(), Error> {
        reply!(self.writer.run(Command::Attempts(attempts, now)).await?, Attempts)
    }

    async fn give_up(&self, seqs: Vec<DeliverySeq>, now: Timestamp) -> Result<(), Error> {
        reply!(self.writer.run(Command::GiveUp(seqs, now)).await?, GivenUp)
    }

    async fn replay_delivery(&self, delivery_id: &DeliveryId, now: Timestamp) -> Result<Replayed, Error> {
        reply!(self.writer.run(Command::ReplayDelivery(delivery_id.clone(), now)).await?, Replayed)
    }

    async fn replay_once(
        &self,
        key: OnceKey,
        delivery_id: &DeliveryId,
        now: Timestamp,
    ) -> Result<Once<Replayed>, Error> {
        reply!(self.writer.run(Command::ReplayOnce(key, delivery_id.clone(), now)).await?, ReplayedOnce)
    }

    async fn start_replay(&self, request: ReplayRequest, now: Timestamp) -> Result<StartReplay, Error> {
        reply!(self.writer.run(Command::StartReplay(request, now)).await?, ReplayStarted)
    }

    async fn count_replay(&self, request: ReplayRequest, after: i64) -> Result<CountReplay, Error> {
        let registry = self.registry();
        self.readers
            .read("counting what to replay", move |db| {
                jobs::deliveries(db, &registry.routes, &request, after)
            })
            .await
    }

    async fn step_replays(&self, now: Timestamp) -> Result<ReplayStep, Error> {
        let registry = self.registry();
        let step = self
            .readers
            .read("looking for what to replay", move |db| jobs::next_step(db, &registry.routes, now))
            .await?;
        let step = match step {
            jobs::Next::Step(step) => step,
            jobs::Next::Waiting => return Ok(ReplayStep::Waiting),
            jobs::Next::Idle => return Ok(ReplayStep::Idle),
        };
        reply!(self.writer.run(Command::StepReplay(step, now)).await?, ReplayStepped)
            .map(|()| ReplayStep::Made)
    }

    async fn replays(&self, before: Option<ReplayId>, limit: usize) -> Result<Vec<Replay>, Error> {
        self.readers.read("listing replays", move |db| jobs::replays(db, before, limit)).await
    }

    async fn replay(&self, replay_id: ReplayId) -> Result<Option<Replay>, Error> {
        self.readers.read("reading a replay", move |db| jobs::replay(db, replay_id)).await
    }

    async fn steer_replay(
        &self,
        replay_id: ReplayId,
        steer: SteerReplay,
        now: Timestamp,
    ) -> Result<SteeredReplay, Error> {
        reply!(self.writer.run(Command::SteerReplay(replay_id, steer, now)).await?, ReplaySteered)
    }

    async fn deliveries(&self, query: DeliveryQuery) -> Result<DeliveryPage, Error> {
        self.readers.read("listing deliveries", move |db| lists::deliveries(db, &query)).await
    }

    async fn deliveries_of(
        &self,
        partner_id: &PartnerId,
        query: DeliveryQuery,
    ) -> Result<DeliveriesOf, Error> {
        let partner_id = partner_id.clone();
        self.readers
            .read("listing a partner's deliveries", move |db| lists::deliveries_of(db, &partner_id, &query))
            .await
    }

    async fn events(&self, query: EventQuery) -> Result<EventsRead, Error> {
        let codes = self.codes;
        self.readers.read("reading events", move |db| reads::events(db, &codes, &query)).await
    }

    async fn delivery(&self, delivery_id: &DeliveryId) -> Result<Option<(Delivery, Vec<Attempt>)>, Error> {
        let delivery_id = delivery_id.clone();
        self.readers.read("reading a delivery", move |db| reads::delivery(db, &delivery_id)).await
    }

    async fn payload_of(&self, delivery_id: &DeliveryId) -> Result<Option<Payload>, Error> {
        let delivery_id = delivery_id.clone();
        let doing = "reading a delivery's payload";
        self.readers.read(doing, move |db| reads::payload_of(db, &delivery_id)).await
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetters>, Error> {
        self.readers.read("counting dead letters", move |db| reads::dead_letters(db, limit)).await
    }

    async fn add_partner(&self, partner: Partner) -> Result<(), Error> {
        reply!(self.writer.run(Command::AddPartner(partner)).await?, PartnerAdded)
    }

    async fn change_partner(
        &self,
        partner_id: &PartnerId,
        change: PartnerChange,
        now: Timestamp,
    ) -> Result<PartnerChanged, Error> {
        let command = Command::ChangePartner(partner_id.clone(), change, now);
        reply!(self.writer.run(command).await?, PartnerChanged)
    }

    async fn partners(&self, query: PartnerQuery) -> Result<Vec<Partner>, Error> {
        self.readers.read("listing partners", move |db| registry::partners(db, &query)).await
    }

    async fn partner(&self, partner_id: &PartnerId) -> Result<Option<Partner>, Error> {
        let partner_id = partner_id.clone();
        self.readers.read("reading a partner", move |db| registry::partner(db, &partner_id)).await
    }

    async fn partner_by_key(&self, partner_key: &str) -> Result<Option<Partner>, Error> {
        Ok(self.registry().partner_by_key(partner_key).cloned())
    }

    async fn add_token(&self, token: NewToken, now: Timestamp) -> Result<AddToken, Error> {
        reply!(self.writer.run(Command::AddToken(token, now)).await?, TokenAdded)
    }

    async fn revoke_token(&self, token_id: TokenId, now: Timestamp) -> Result<TokenRevoked, Error> {
        reply!(self.writer.run(Command::RevokeToken(token_id, now)).await?, TokenRevoked)
    }

    async fn tokens(&self, query: TokenQuery) -> Result<Vec<OperatorToken>, Error> {
        self.readers.read("listing operator tokens", move |db| tokens::page(db, query)).await
    }

    async fn token_by_hash(&self, token_hash: &[u8]) -> Result<Option<OperatorToken>, Error> {
        Ok(self.registry().token_by_hash(token_hash).cloned())
    }

    fn objections_to_order(&self, record: &Record) -> Vec<Invalid> {
        NewOrder::objections(record.clone(), &self.codes, &self.registry())
    }

    fn objection_to_webhook(
        &self,
        business_id: BusinessId,
        brand_id: Option<BrandId>,
        branch_id: Option<BranchId>,
    ) -> Option<Invalid> {
        self.registry().check_webhook(business_id, brand_id, branch_id).err()
    }

    fn business_of(&self, brand_id: BrandId) -> Option<BusinessId> {
        self.registry().business_of(brand_id)
    }

    async fn put_webhook(&self, webhook: NewWebhook, now: Timestamp) -> Result<PutWebhook, Error> {
        reply!(self.writer.run(Command::PutWebhook(webhook, now)).await?, Webhook)
    }

    async fn webhooks(&self, query: WebhookQuery) -> Result<Vec<Webhook>, Error> {
        self.readers.read("listing registrations", move |db| registry::webhooks(db, &query)).await
    }

    async fn webhook_access(&self, webhook_id: WebhookId) -> Result<Option<WebhookAccess>, Error> {
        self.readers.read("reading a registration", move |db| registry::webhook_access(db, webhook_id)).await
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, Error> {
        self.readers.read("listing endpoints", reads::endpoints).await
    }

    async fn endpoint(&self, endpoint_id: EndpointId) -> Result<Option<Endpoint>, Error> {
        self.readers.read("reading an endpoint", move |db| reads::endpoint(db, endpoint_id)).await
    }

    async fn hold_endpoint(
        &self,
        endpoint_id: EndpointId,
        hold: Option<HoldReason>,
        now: Timestamp,
    ) -> Result<Held, Error> {
        reply!(self.writer.run(Command::HoldEndpoint(endpoint_id, hold, now)).await?, Held)
    }

    async fn supersede(&self, seq: DeliverySeq, now: Timestamp) -> Result<bool, Error> {
        reply!(self.writer.run(Command::Supersede(seq, now)).await?, Superseded)
    }

    async fn cancel_delivery(
        &self,
        delivery_id: &DeliveryId,
        by: &str,
        now: Timestamp,
    ) -> Result<Cancelled, Error> {
        let command = Command::CancelDelivery(delivery_id.clone(), by.to_owned(), now);
        reply!(self.writer.run(command).await?, Cancelled)
    }

    async fn remove_webhook(&self, webhook_id: WebhookId, by: &str, now: Timestamp) -> Result<bool, Error> {
        reply!(self.writer.run(Command::RemoveWebhook(webhook_id, by.to_owned(), now)).await?, Removed)
    }

    async fn step_removals(&self, now: Timestamp) -> Result<bool, Error> {
        reply!(self.writer.run(Command::StepRemovals(now)).await?, RemovalStepped)
    }

    async fn put_business(&self, business: Business) -> Result<PutBusiness, Error> {
        reply!(self.writer.run(Command::PutBusiness(business)).await?, Business)
    }

    async fn business(&self, business_id: BusinessId) -> Result<Option<Business>, Error> {
        self.readers.read("reading a business", move |db| registry::business(db, business_id)).await
    }

    async fn expire(&self, before: Timestamp, place: Expiry) -> Result<Option<Expiry>, Error> {
        let (step, next) =
            self.readers.read("looking for what is old", move |db| expiry::look(db, before, place)).await?;
        if step.rows() > 0 {
            reply!(self.writer.run(Command::Expire(step)).await?, Expired)?;
        }
        Ok(next)
    }

    async fn figures(&self) -> Result<Figures, Error> {
        let Tallied { counts, pending_at, activity } =
            self.published.tallied.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (ticks, queue) = self.writer.writer.figures();
        Ok(Figures { counts, pending_at, activity, ticks, queue })
    }

    async fn oldest_pending(&self) -> Result<Vec<(EndpointId, Timestamp)>, Error> {
        self.readers.read("looking for what has waited longest", tally::oldest_pending).await
    }

    async fn note_past(&self, figures: Vec<PastFigures>, now: Timestamp) -> Result<(), Error> {
        reply!(self.writer.run(Command::NotePast(figures, now)).await?, PastNoted)
    }

    async fn past(&self, query: PastQuery) -> Result<Vec<PastFigures>, Error> {
        self.readers.read("reading figures of the past", move |db| past::read(db, &query)).await
    }

    fn hints(&self) -> &Hints {
        &self.published.hints
    }

    fn condition(&self) -> Condition {
        self.writer.writer.condition()
    }

    async fn close(&self) {
        // Readers first: the last connection to close is the writer's, which then tidies the log file away.
        self.readers.close().await;
        self.writer.writer.close().await;
    }
}

#[cfg(test)]
mod tests;
