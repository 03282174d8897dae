//! The simulated store: the real trait over the simulated disk, as slow, busy and broken as it is told to be.
//!
//! One writer commits groups, as the real store does: whatever arrives while one commit is being written goes into the
//! next. A crash takes what was not committed yet; what was committed, and nobody was told of, stays.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hookit_contract::{
    BranchId, BrandId, BusinessId, DeliveryId, DeliverySeq, EndpointId, OrderId, PartnerId, Record, ReplayId,
    Timestamp, TokenId, WebhookId,
};
use hookit_store::hints::{HINTS_MAX, Hints};
use hookit_store::platform::{
    AddToken, Attempt, AuditPage, AuditQuery, Business, Caller, Cancelled, Change, Changed, CountReplay,
    DeadLetters, DeliveriesOf, Delivery, DeliveryPage, DeliveryQuery, Endpoint, EventQuery, EventsRead,
    Expiry, Figures, Held, HoldReason, Invalid, LatelyChanged, NewToken, NewWebhook, NothingToSend, Once,
    OnceKey, OperatorKey, OperatorToken, OrderEvent, OrderPage, OrderQuery, OrderSearch, OrdersFound,
    Partner, PartnerChange, PartnerChanged, PartnerMoveRequest, PartnerMoved, PartnerQuery, PastFigures,
    PastQuery, Payload, PendingDelivery, PendingPage, PutBusiness, PutWebhook, Replay, ReplayRequest,
    ReplayStep, Replayed, StartReplay, SteerReplay, SteeredReplay, Store, StoredOrder, TokenQuery,
    TokenRevoked, Webhook, WebhookAccess, WebhookQuery,
};
use hookit_store::{Condition, Error, cut};
use rand::RngExt as _;
use rand::rngs::Xoshiro256PlusPlus;
use tokio::sync::{Notify, oneshot};

use super::disk::{Command, Disk, Reply, Tick};
use super::trace::{Trace, lock};
use crate::auditor::event::Event;

/// How the store behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoreMood {
    pub(super) commit_ms_max: u64,
    pub(super) commit_fails_percent: u32,
    pub(super) busy_percent: u32,
    pub(super) read_ms_max: u64,
    pub(super) read_fails_percent: u32,
    /// The time from the commit to the hint and to the answers.
    pub(super) told_ms_max: u64,
    pub(super) hints_lost_percent: u32,
    /// Commands that wait for a commit; what comes beyond is refused before anything is done.
    pub(super) queue_max: usize,
}

impl StoreMood {
    pub(super) const CALM: StoreMood = StoreMood {
        commit_ms_max: 8,
        commit_fails_percent: 0,
        busy_percent: 0,
        read_ms_max: 3,
        read_fails_percent: 0,
        told_ms_max: 1,
        hints_lost_percent: 0,
        queue_max: usize::MAX,
    };
}

/// What outlives a process: the disk, and how it behaves.
pub(super) struct Medium {
    pub(super) disk: Mutex<Disk>,
    pub(super) trace: Arc<Trace>,
    mood: Mutex<StoreMood>,
    dice: Mutex<Xoshiro256PlusPlus>,
}

impl Medium {
    pub(super) fn new(disk: Disk, trace: Arc<Trace>, dice: Xoshiro256PlusPlus) -> Self {
        Medium { disk: Mutex::new(disk), trace, mood: Mutex::new(StoreMood::CALM), dice: Mutex::new(dice) }
    }

    pub(super) fn set_mood(&self, mood: Option<StoreMood>) {
        *lock(&self.mood) = mood.unwrap_or(StoreMood::CALM);
        self.trace.note(&Event::StoreCalm(mood.is_none()));
    }

    fn chance(&self, percent: impl Fn(&StoreMood) -> u32) -> bool {
        let percent = percent(&lock(&self.mood));
        percent > 0 && lock(&self.dice).random_range(0..100) < percent
    }

    async fn pause(&self, ms_max: impl Fn(&StoreMood) -> u64) {
        let ms_max = ms_max(&lock(&self.mood));
        let ms = lock(&self.dice).random_range(0..=ms_max);
        if ms == 0 {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }
}

struct Job {
    command: Command,
    reply: oneshot::Sender<Result<Reply, Error>>,
}

#[derive(Default)]
struct Queue {
    jobs: Vec<Job>,
    closing: bool,
    closed: bool,
}

/// The store of one process's life.
pub(super) struct SimStore {
    medium: Arc<Medium>,
    hints: Hints,
    queue: Mutex<Queue>,
    filled: Notify,
    closed: Notify,
}

fn broken(doing: &'static str) -> Error {
    Error::Database { doing, source: "the simulated disk does not want to".into() }
}

impl SimStore {
    pub(super) fn new(medium: Arc<Medium>) -> Self {
        SimStore {
            medium,
            hints: Hints::default(),
            queue: Mutex::new(Queue::default()),
            filled: Notify::new(),
            closed: Notify::new(),
        }
    }

    /// The writer.
    pub(super) async fn serve(self: Arc<Self>) {
        loop {
            let jobs = {
                let mut queue = lock(&self.queue);
                if queue.jobs.is_empty() && queue.closing {
                    queue.closed = true;
                    self.closed.notify_one();
                    return;
                }
                std::mem::take(&mut queue.jobs)
            };
            if jobs.is_empty() {
                self.filled.notified().await;
                continue;
            }
            self.write(jobs).await;
        }
    }

    async fn write(&self, jobs: Vec<Job>) {
        let medium = &*self.medium;
        medium.pause(|mood| mood.commit_ms_max).await;
        if medium.chance(|mood| mood.commit_fails_percent) {
            medium.trace.remark("a commit fails");
            for job in jobs {
                let _ = job.reply.send(Err(broken("committing")));
            }
            return;
        }
        let (commands, replies): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.command, job.reply)).unzip();
        let (answers, tick) = lock(&medium.disk).commit(commands);
        let Tick { commit, endpoints, mut hints, .. } = tick;
        let now = |id| {
            let endpoint = lock(&medium.disk).endpoint(id);
            let is_held = endpoint.as_ref().is_some_and(|endpoint| endpoint.hold.is_some());
            (id, is_held, endpoint.map(|endpoint| endpoint.settings).unwrap_or_default())
        };
        let endpoints: Vec<_> = endpoints.into_iter().map(now).collect();
        let number = commit.tick;
        medium.trace.note(&Event::Committed(Box::new(commit)));
        medium.pause(|mood| mood.told_ms_max).await;
        let lost = !hints.is_empty() && medium.chance(|mood| mood.hints_lost_percent);
        if lost {
            // A mailbox that overflows: these are never seen.
            let filler = PendingDelivery { orders: Box::new([]), ..hints[0].clone() };
            hints.resize(HINTS_MAX + 1, filler);
        }
        if !hints.is_empty() || !endpoints.is_empty() {
            self.hints.put(endpoints, hints);
            medium.trace.note(&Event::Hinted { tick: number, lost });
        }
        medium.pause(|mood| mood.told_ms_max).await;
        for (reply, answer) in replies.into_iter().zip(answers) {
            let _ = reply.send(Ok(answer));
        }
    }

    async fn run(&self, command: Command) -> Result<Reply, Error> {
        if self.medium.chance(|mood| mood.busy_percent) {
            return Err(Error::Busy);
        }
        let (reply, answer) = oneshot::channel();
        {
            let mut queue = lock(&self.queue);
            if queue.closing || queue.jobs.len() >= lock(&self.medium.mood).queue_max {
                return Err(Error::Busy);
            }
            queue.jobs.push(Job { command, reply });
        }
        self.filled.notify_one();
        answer.await.unwrap_or(Err(Error::Busy))
    }

    /// A look at the disk somewhere between the question and the answer.
    async fn read<T>(&self, look: impl FnOnce(&Disk) -> T + Send) -> Result<T, Error> {
        self.medium.pause(|mood| mood.read_ms_max).await;
        if self.medium.chance(|mood| mood.read_fails_percent) {
            return Err(broken("reading"));
        }
        let seen = look(&lock(&self.medium.disk));
        self.medium.pause(|mood| mood.read_ms_max).await;
        Ok(seen)
    }
}

fn another() -> Error {
    Error::Corrupt("another command's answer".to_owned())
}

fn done(reply: &Reply) -> bool {
    matches!(reply, Reply::Done(true))
}

#[async_trait]
impl Store for SimStore {
    /// Nobody acts in a name here, and nobody asks who did.
    fn in_name_of(self: Arc<Self>, _: Caller) -> Arc<dyn Store> {
        self
    }

    async fn audit(&self, _: AuditQuery) -> Result<AuditPage, Error> {
        Ok(AuditPage::default())
    }

    async fn note_test(&self, _: WebhookId) -> Result<(), Error> {
        Ok(())
    }

    fn objections_to_order(&self, _: &Record) -> Vec<Invalid> {
        Vec::new()
    }

    fn objection_to_webhook(
        &self,
        _: BusinessId,
        _: Option<BrandId>,
        _: Option<BranchId>,
    ) -> Option<Invalid> {
        None
    }

    fn business_of(&self, _: BrandId) -> Option<BusinessId> {
        None
    }

    async fn change(&self, change: Change, now: Timestamp) -> Result<Changed, Error> {
        match self.run(Command::Change(change, now)).await? {
            Reply::Changed(changed) => Ok(changed),
            _ => Err(another()),
        }
    }

    async fn changes(&self, changes: Vec<Change>, now: Timestamp) -> Result<Vec<Changed>, Error> {
        // Only a surface's bulk call needs them to be one transaction, and there is none here.
        let mut changed = Vec::with_capacity(changes.len());
        for change in changes {
            changed.push(self.change(change, now).await?);
        }
        Ok(changed)
    }

    /// No producer has a key in a schedule.
    async fn change_once(&self, _: OperatorKey, _: Change, _: Timestamp) -> Result<Once<Changed>, Error> {
        Err(Error::Busy)
    }

    /// No partner asks in a schedule.
    async fn move_once(
        &self,
        _: OnceKey,
        _: PartnerMoveRequest,
        _: Timestamp,
    ) -> Result<Once<PartnerMoved>, Error> {
        Err(Error::Busy)
    }

    async fn order(&self, order_id: OrderId) -> Result<Option<StoredOrder>, Error> {
        self.read(|disk| disk.order(order_id)).await
    }

    /// Records are small here.
    async fn orders(&self, query: OrderQuery) -> Result<OrderPage, Error> {
        self.read(|disk| {
            let asked = |order: &&StoredOrder| {
                query.after.is_none_or(|after| order.order_id > after)
                    && query.business_id.is_none_or(|business| order.business_id == business)
            };
            let mut found = disk.orders().filter(asked).cloned();
            let orders = found.by_ref().take(query.limit).collect();
            OrderPage { orders, more: found.next().is_some() }
        })
        .await
    }

    /// No partner asks in a schedule.
    async fn find_orders(&self, _: OrderSearch) -> Result<OrdersFound, Error> {
        Ok(OrdersFound::default())
    }

    async fn records(&self, _: Vec<i64>) -> Result<Option<Vec<Bytes>>, Error> {
        Ok(None)
    }

    async fn orders_named(&self, _: &str, _: usize) -> Result<Vec<OrderId>, Error> {
        Ok(Vec::new())
    }

    async fn orders_lately(&self, _: usize, _: usize) -> Result<Vec<LatelyChanged>, Error> {
        Ok(Vec::new())
    }

    async fn orders_of_branch(&self, _: BranchId, _: usize, _: usize) -> Result<Vec<LatelyChanged>, Error> {
        Ok(Vec::new())
    }

    async fn hearing(&self, _: BusinessId, _: BranchId, _: BrandId) -> Result<Vec<WebhookId>, Error> {
        Ok(Vec::new())
    }

    async fn events_of_order(&self, _: OrderId, _: usize, _: usize) -> Result<Vec<OrderEvent>, Error> {
        Ok(Vec::new())
    }

    /// Charts are of no concern here.
    async fn note_past(&self, _: Vec<PastFigures>, _: Timestamp) -> Result<(), Error> {
        Ok(())
    }

    async fn past(&self, _: PastQuery) -> Result<Vec<PastFigures>, Error> {
        Ok(Vec::new())
    }

    async fn pending(
        &self,
        endpoint_id: EndpointId,
        after: DeliverySeq,
        limit: usize,
    ) -> Result<PendingPage, Error> {
        self.read(|disk| disk.page(endpoint_id, after, limit)).await
    }

    async fn payload(&self, seq: DeliverySeq) -> Result<Result<Payload, NothingToSend>, Error> {
        self.medium.trace.note(&Event::Decided { seq: seq.0 });
        let payload = self.read(|disk| disk.payload(seq)).await?;
        match &payload {
            Ok(payload) if payload.is_superseded => {
                self.medium.trace.note(&Event::Outdated { seq: seq.0, endpoint: payload.endpoint_id.0 });
            }
            Ok(_) => self.medium.trace.note(&Event::Given { seq: seq.0 }),
            Err(_) => self.medium.trace.note(&Event::Vain { seq: seq.0 }),
        }
        Ok(payload)
    }

    async fn record_attempts(&self, attempts: Vec<Attempt>, now: Timestamp) -> Result<(), Error> {
        self.run(Command::Attempts(attempts, now)).await.map(|_| ())
    }

    async fn deliveries(&self, query: DeliveryQuery) -> Result<DeliveryPage, Error> {
        self.read(|disk| {
            let asked = |delivery: &&Delivery| {
                query.before.is_none_or(|before| delivery.seq < before)
                    && query.state.is_none_or(|state| delivery.state == state)
                    && query.endpoint_id.is_none_or(|endpoint| delivery.endpoint_id == endpoint)
                    && query.order_id.is_none_or(|order| delivery.orders.iter().any(|(id, _)| *id == order))
                    && query.event_type.is_none_or(|event_type| delivery.event_type == event_type)
                    && query.since.is_none_or(|since| delivery.created_at >= since)
                    && query.until.is_none_or(|until| delivery.created_at < until)
            };
            let found = disk.deliveries().map(|(delivery, _)| delivery).filter(asked);
            let mut deliveries: Vec<Delivery> = found.take(query.limit + 1).cloned().collect();
            let next_before = cut(&mut deliveries, query.limit).map(|last| last.seq);
            DeliveryPage { deliveries, next_before }
        })
        .await
    }

    /// No partner asks in a schedule.
    async fn deliveries_of(&self, _: &PartnerId, _: DeliveryQuery) -> Result<DeliveriesOf, Error> {
        Err(Error::Busy)
    }

    /// No partner asks in a schedule.
    async fn events(&self, _: EventQuery) -> Result<EventsRead, Error> {
        Err(Error::Busy)
    }

    async fn delivery(&self, delivery_id: &DeliveryId) -> Result<Option<(Delivery, Vec<Attempt>)>, Error> {
        self.read(|disk| {
            let mut all = disk.deliveries();
            all.find(|(delivery, _)| delivery.delivery_id == *delivery_id)
                .map(|(delivery, log)| (delivery.clone(), log.to_vec()))
        })
        .await
    }

    /// Pages are of no concern here.
    async fn payload_of(&self, _: &DeliveryId) -> Result<Option<Payload>, Error> {
        Ok(None)
    }

    async fn dead_letters(&self, _: usize) -> Result<Vec<DeadLetters>, Error> {
        Ok(Vec::new())
    }

    async fn add_partner(&self, partner: Partner) -> Result<(), Error> {
        self.run(Command::AddPartner(partner)).await.map(|_| ())
    }

    async fn change_partner(
        &self,
        partner_id: &PartnerId,
        change: PartnerChange,
        now: Timestamp,
    ) -> Result<PartnerChanged, Error> {
        match self.run(Command::ChangePartner(partner_id.clone(), change, now)).await? {
            Reply::PartnerChanged(answer) => Ok(answer),
            _ => Err(another()),
        }
    }

    /// They are few here.
    async fn partners(&self, _: PartnerQuery) -> Result<Vec<Partner>, Error> {
        self.read(|disk| disk.partners().to_vec()).await
    }

    async fn partner(&self, partner_id: &PartnerId) -> Result<Option<Partner>, Error> {
        self.read(|disk| disk.partners().iter().find(|partner| partner.partner_id == *partner_id).cloned())
            .await
    }

    async fn partner_by_key(&self, partner_key: &str) -> Result<Option<Partner>, Error> {
        self.read(|disk| disk.partners().iter().find(|partner| partner.partner_key == partner_key).cloned())
            .await
    }

    /// Nobody asks for tokens here.
    async fn add_token(&self, _: NewToken, _: Timestamp) -> Result<AddToken, Error> {
        Err(broken("adding a token"))
    }

    async fn revoke_token(&self, _: TokenId, _: Timestamp) -> Result<TokenRevoked, Error> {
        Ok(TokenRevoked::NoSuchToken)
    }

    async fn tokens(&self, _: TokenQuery) -> Result<Vec<OperatorToken>, Error> {
        Ok(Vec::new())
    }

    async fn token_by_hash(&self, _: &[u8]) -> Result<Option<OperatorToken>, Error> {
        Ok(None)
    }

    async fn put_webhook(&self, webhook: NewWebhook, now: Timestamp) -> Result<PutWebhook, Error> {
        match self.run(Command::PutWebhook(webhook, now)).await? {
            Reply::Webhook(answer) => Ok(answer),
            _ => Err(another()),
        }
    }

    /// They are few here.
    async fn webhooks(&self, _: WebhookQuery) -> Result<Vec<Webhook>, Error> {
        self.read(Disk::webhooks).await
    }

    async fn webhook_access(&self, webhook_id: WebhookId) -> Result<Option<WebhookAccess>, Error> {
        self.read(|disk| disk.webhook_access(webhook_id)).await
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, Error> {
        self.read(Disk::endpoints).await
    }

    async fn endpoint(&self, endpoint_id: EndpointId) -> Result<Option<Endpoint>, Error> {
        self.read(|disk| disk.endpoint(endpoint_id)).await
    }

    async fn hold_endpoint(
        &self,
        endpoint_id: EndpointId,
        hold: Option<HoldReason>,
        now: Timestamp,
    ) -> Result<Held, Error> {
        match self.run(Command::HoldEndpoint(endpoint_id, hold, now)).await? {
            Reply::Held(answer) => Ok(answer),
            _ => Err(another()),
        }
    }

    async fn give_up(&self, seqs: Vec<DeliverySeq>, now: Timestamp) -> Result<(), Error> {
        self.run(Command::GiveUp(seqs, now)).await.map(|_| ())
    }

    async fn replay_delivery(&self, delivery_id: &DeliveryId, now: Timestamp) -> Result<Replayed, Error> {
        match self.run(Command::ReplayDelivery(delivery_id.clone(), now)).await? {
            Reply::Replayed(answer) => Ok(answer),
            _ => Err(another()),
        }
    }

    /// No partner asks in a schedule.
    async fn replay_once(&self, _: OnceKey, _: &DeliveryId, _: Timestamp) -> Result<Once<Replayed>, Error> {
        Err(Error::Busy)
    }

    async fn start_replay(&self, request: ReplayRequest, now: Timestamp) -> Result<StartReplay, Error> {
        match self.run(Command::StartReplay(request, now)).await? {
            Reply::ReplayStarted(answer) => Ok(answer),
            _ => Err(another()),
        }
    }

    /// Nobody asks for a dry run here.
    async fn count_replay(&self, _: ReplayRequest, _: i64) -> Result<CountReplay, Error> {
        Err(broken("counting"))
    }

    async fn step_replays(&self, now: Timestamp) -> Result<ReplayStep, Error> {
        match self.run(Command::StepReplays(now)).await? {
            Reply::ReplayStepped(answer) => Ok(answer),
            _ => Err(another()),
        }
    }

    async fn replays(&self, before: Option<ReplayId>, limit: usize) -> Result<Vec<Replay>, Error> {
        self.read(|disk| {
            let asked = |replay: &&Replay| before.is_none_or(|before| replay.replay_id < before);
            disk.replays.iter().rev().filter(asked).take(limit).cloned().collect()
        })
        .await
    }

    async fn replay(&self, replay_id: ReplayId) -> Result<Option<Replay>, Error> {
        self.read(|disk| disk.replays.iter().find(|replay| replay.replay_id == replay_id).cloned()).await
    }

    async fn steer_replay(
        &self,
        replay_id: ReplayId,
        steer: SteerReplay,
        now: Timestamp,
    ) -> Result<SteeredReplay, Error> {
        match self.run(Command::SteerReplay(replay_id, steer, now)).await? {
            Reply::ReplaySteered(answer) => Ok(answer),
            _ => Err(another()),
        }
    }

    async fn supersede(&self, seq: DeliverySeq, now: Timestamp) -> Result<bool, Error> {
        self.run(Command::Supersede(seq, now)).await.map(|reply| done(&reply))
    }

    async fn cancel_delivery(
        &self,
        delivery_id: &DeliveryId,
        by: &str,
        now: Timestamp,
    ) -> Result<Cancelled, Error> {
        match self.run(Command::CancelDelivery(delivery_id.clone(), by.to_owned(), now)).await? {
            Reply::Cancelled(cancelled) => Ok(cancelled),
            _ => Err(another()),
        }
    }

    async fn remove_webhook(&self, webhook_id: WebhookId, by: &str, _: Timestamp) -> Result<bool, Error> {
        let command = Command::RemoveWebhook(webhook_id, by.to_owned());
        self.run(command).await.map(|reply| done(&reply))
    }

    async fn step_removals(&self, now: Timestamp) -> Result<bool, Error> {
        self.run(Command::StepRemovals(now)).await.map(|reply| done(&reply))
    }

    async fn put_business(&self, business: Business) -> Result<PutBusiness, Error> {
        self.run(Command::PutBusiness(business)).await.map(|_| PutBusiness::Done)
    }

    async fn business(&self, business_id: BusinessId) -> Result<Option<Business>, Error> {
        self.read(|disk| disk.business(business_id)).await
    }

    /// Nothing is removed: a schedule ends sooner than anything grows old enough.
    async fn expire(&self, _: Timestamp, _: Expiry) -> Result<Option<Expiry>, Error> {
        Ok(None)
    }

    /// What there is; what was done, and how long it took, is the auditor's to judge.
    async fn figures(&self) -> Result<Figures, Error> {
        self.read(|disk| Figures {
            counts: disk.counts(),
            pending_at: disk.pending_at(),
            ..Figures::default()
        })
        .await
    }

    async fn oldest_pending(&self) -> Result<Vec<(EndpointId, Timestamp)>, Error> {
        self.read(Disk::oldest_pending).await
    }

    fn hints(&self) -> &Hints {
        &self.hints
    }

    /// Nobody asks a schedule whether it is ready.
    fn condition(&self) -> Condition {
        Condition::Writable
    }

    async fn close(&self) {
        lock(&self.queue).closing = true;
        self.filled.notify_one();
        while !lock(&self.queue).closed {
            self.closed.notified().await;
        }
    }
}
