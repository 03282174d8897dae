//! What is on the simulated disk, and how a tick changes it. Whatever is in here survives a crash; whatever is not,
//! does not.
//!
//! A second, naive implementation of the platform's store: plain maps, no transaction but that a tick is applied
//! without a pause.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hookit_contract::{
    AttemptOutcome, BranchId, BrandId, BusinessId, Changes, DeliveryId, DeliverySeq, DeliveryState,
    EndpointId, EventType, KnownStatus, MoveVerdict, OWNED_FIELDS, OrderId, OrderStatus, OwnedFields,
    PartnerId, Record, ReplayId, StatusCodes, Timestamp, WebhookId, check_move, envelope_bytes,
};
use hookit_store::platform::{
    Attempt, Business, Cancelled, Change, Changed, Counts, Delivery, EndReason, Endpoint, EndpointSettings,
    HoldReason, NewWebhook, NothingToSend, Ordering, Partner, PartnerChange, Payload, PendingDelivery,
    PendingPage, PutWebhook, Reason, Replay, ReplayRequest, ReplayStep, Replayed, StartReplay, SteerReplay,
    SteeredReplay, StoredOrder, Verdict, Webhook, WebhookAccess,
};

use super::batches;
use crate::auditor::event::{self, Commit};

/// Something that is to be done in a tick.
pub(super) enum Command {
    Change(Change, Timestamp),
    Attempts(Vec<Attempt>, Timestamp),
    AddPartner(Partner),
    ChangePartner(PartnerId, PartnerChange, Timestamp),
    PutWebhook(NewWebhook, Timestamp),
    PutBusiness(Business),
    GiveUp(Vec<DeliverySeq>, Timestamp),
    HoldEndpoint(EndpointId, Option<HoldReason>, Timestamp),
    Supersede(DeliverySeq, Timestamp),
    CancelDelivery(DeliveryId, String, Timestamp),
    RemoveWebhook(WebhookId, String, Timestamp),
    StepRemovals(Timestamp),
    ReplayDelivery(DeliveryId, Timestamp),
    StartReplay(ReplayRequest, Timestamp),
    StepReplays(Timestamp),
    SteerReplay(ReplayId, SteerReplay, Timestamp),
}

/// What became of it.
pub(super) enum Reply {
    Changed(Changed),
    Done(bool),
    Cancelled(Cancelled),
    Webhook(PutWebhook),
    Replayed(Replayed),
    ReplayStarted(StartReplay),
    ReplayStepped(ReplayStep),
    ReplaySteered(SteeredReplay),
}

/// A change of an order in the present tick.
pub(super) struct Occurrence {
    pub(super) order_id: OrderId,
    pub(super) version: i64,
    pub(super) branch_id: BranchId,
    pub(super) brands: Vec<BrandId>,
    /// The partners of its business.
    pub(super) partners: BTreeSet<usize>,
    pub(super) event_type: EventType,
    pub(super) record: Bytes,
    pub(super) at: Timestamp,
}

struct Order {
    stored: StoredOrder,
    record: Record,
    created_at: Timestamp,
    updated_at: Timestamp,
}

struct Place {
    partner: usize,
    url: String,
    hold: Option<(HoldReason, Timestamp)>,
}

pub(super) struct Row {
    failures: u32,
    pub(super) delivery: Delivery,
    webhook: usize,
    body: Bytes,
    log: Vec<Attempt>,
    /// Where it stands in line: in the order of commits, or among the replays.
    pub(super) place: DeliverySeq,
    /// When it was put there.
    since: Timestamp,
    /// The replay that put it there.
    pub(super) replay_id: Option<ReplayId>,
}

/// What a tick did, for the auditor and for the dispatcher.
#[derive(Default)]
pub(super) struct Tick {
    pub(super) commit: Commit,
    occurrences: Vec<Occurrence>,
    /// Endpoints that are new, or were held or let go, or got or lost deliveries.
    pub(super) endpoints: Vec<EndpointId>,
    pub(super) hints: Vec<PendingDelivery>,
}

/// The disk.
pub(super) struct Disk {
    codes: StatusCodes,
    orders_per_delivery_max: usize,
    ticks: u64,
    orders: BTreeMap<OrderId, Order>,
    pub(super) deliveries: BTreeMap<DeliverySeq, Row>,
    /// Places in line.
    pending: BTreeSet<(EndpointId, DeliverySeq)>,
    /// Which delivery stands, or stood last, in a place of a replay.
    replayed: BTreeMap<DeliverySeq, DeliverySeq>,
    pub(super) replays: Vec<Replay>,
    partners: Vec<Partner>,
    endpoints: Vec<Place>,
    /// Each with its partner's place in `partners`.
    webhooks: Vec<(Webhook, usize)>,
    basic_auth: Vec<Option<Bytes>>,
    /// Registrations that were removed, by their place in `webhooks`.
    removed: BTreeMap<usize, Removal>,
    businesses: BTreeMap<BusinessId, Business>,
    events: u64,
}

struct Removal {
    by: String,
    /// Nothing waits for it any more.
    is_over: bool,
}

impl Disk {
    pub(super) fn new(orders_per_delivery_max: usize) -> Self {
        Disk {
            codes: StatusCodes::default(),
            orders_per_delivery_max,
            ticks: 0,
            orders: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            pending: BTreeSet::new(),
            replayed: BTreeMap::new(),
            replays: Vec::new(),
            partners: Vec::new(),
            endpoints: Vec::new(),
            webhooks: Vec::new(),
            basic_auth: Vec::new(),
            removed: BTreeMap::new(),
            businesses: BTreeMap::new(),
            events: 0,
        }
    }

    /// One group commit: all of it is on disk when this returns.
    pub(super) fn commit(&mut self, commands: Vec<Command>) -> (Vec<Reply>, Tick) {
        self.ticks += 1;
        let mut tick = Tick::default();
        tick.commit.tick = self.ticks;
        let replies = commands.into_iter().map(|command| self.apply(&mut tick, command)).collect();
        self.form(&mut tick);
        (replies, tick)
    }

    fn apply(&mut self, tick: &mut Tick, command: Command) -> Reply {
        match command {
            Command::Change(change, now) => Reply::Changed(self.change(tick, change, now)),
            Command::Attempts(attempts, now) => {
                for attempt in attempts {
                    self.record(tick, attempt, now);
                }
                Reply::Done(true)
            }
            Command::AddPartner(partner) => {
                self.partners.push(partner);
                Reply::Done(true)
            }
            Command::ChangePartner(partner_id, change, now) => {
                let Some(partner) = self.partners.iter_mut().find(|p| p.partner_id == partner_id) else {
                    return Reply::Done(false);
                };
                match change {
                    PartnerChange::RotateSecret { secret_hash } => partner.secret_hash = secret_hash,
                    PartnerChange::RotateWebhookSecret { webhook_secret } => {
                        partner.webhook_secret = webhook_secret;
                        partner.webhook_secret_next = None;
                    }
                    PartnerChange::StageWebhookSecret { webhook_secret, current_at } => {
                        let next = partner.webhook_secret_next.replace((webhook_secret, current_at));
                        if let Some((came, _)) = next.filter(|(_, at)| *at <= now) {
                            partner.webhook_secret = came;
                        }
                    }
                    PartnerChange::Revoke => partner.revoked_at = partner.revoked_at.or(Some(now)),
                }
                Reply::Done(true)
            }
            Command::PutWebhook(webhook, now) => Reply::Webhook(self.put_webhook(tick, webhook, now)),
            Command::GiveUp(seqs, now) => {
                for seq in seqs {
                    self.end(seq, DeliveryState::Dead, now);
                    tick.commit.given_up.push(seq.0);
                }
                Reply::Done(true)
            }
            Command::HoldEndpoint(endpoint_id, hold, now) => {
                let Some(there) = self.endpoints.get_mut(place(endpoint_id)) else {
                    return Reply::Done(false);
                };
                there.hold = hold.map(|reason| (reason, now));
                tick.endpoints.push(endpoint_id);
                tick.commit.holds.push((endpoint_id.0, hold.is_some()));
                Reply::Done(true)
            }
            Command::Supersede(seq, now) => {
                let superseded = self.is_superseded(seq);
                if superseded {
                    self.end(seq, DeliveryState::Superseded, now);
                    tick.commit.superseded.push(seq.0);
                }
                Reply::Done(superseded)
            }
            Command::CancelDelivery(delivery_id, by, now) => {
                let found = self.deliveries.values().find(|row| row.delivery.delivery_id == delivery_id);
                let Some((delivery, place)) = found.map(|row| (row.delivery.clone(), row.place)) else {
                    return Reply::Cancelled(Cancelled::NoSuchDelivery);
                };
                if delivery.state != DeliveryState::Pending {
                    return Reply::Cancelled(Cancelled::Ended(delivery.state));
                }
                self.cancel(tick, place, &by, EndReason::DeliveryCancelled, now);
                tick.endpoints.push(delivery.endpoint_id);
                Reply::Cancelled(Cancelled::Done)
            }
            Command::RemoveWebhook(webhook_id, by, now) => {
                let found = self.webhooks.iter().position(|(webhook, _)| webhook.webhook_id == webhook_id);
                let Some(index) = found.filter(|index| !self.removed.contains_key(index)) else {
                    return Reply::Done(false);
                };
                let _ = now;
                self.removed.insert(index, Removal { by, is_over: false });
                tick.commit.removed.push(webhook_id.0);
                tick.endpoints.push(self.webhooks[index].0.endpoint_id);
                Reply::Done(true)
            }
            Command::StepRemovals(now) => {
                let next = self.removed.iter().find(|(_, removal)| !removal.is_over);
                let Some((&index, Removal { by, .. })) = next else { return Reply::Done(false) };
                let by = by.clone();
                let waits = |row: &Row| {
                    (row.webhook == index && row.delivery.state == DeliveryState::Pending)
                        .then_some(row.place)
                };
                // A few at a time, so that crashes come between.
                let part: Vec<DeliverySeq> = self.deliveries.values().filter_map(waits).take(3).collect();
                if part.is_empty() {
                    self.removed.insert(index, Removal { by, is_over: true });
                    tick.endpoints.push(self.webhooks[index].0.endpoint_id);
                    return Reply::Done(true);
                }
                for seq in part {
                    self.cancel(tick, seq, &by, EndReason::WebhookRemoved, now);
                }
                Reply::Done(true)
            }
            Command::ReplayDelivery(delivery_id, now) => {
                Reply::Replayed(self.replay_delivery(tick, &delivery_id, now))
            }
            Command::StartReplay(request, now) => Reply::ReplayStarted(self.start_replay(request, now)),
            Command::StepReplays(now) => Reply::ReplayStepped(self.step_replays(tick, now)),
            Command::SteerReplay(id, steer, now) => {
                Reply::ReplaySteered(self.steer_replay(tick, id, steer, now))
            }
            Command::PutBusiness(business) => {
                self.businesses.insert(business.business_id, business);
                Reply::Done(true)
            }
        }
    }

    fn change(&mut self, tick: &mut Tick, change: Change, now: Timestamp) -> Changed {
        let (order_id, event_type, status, record) = match change {
            Change::Create { record } => return self.create(tick, &record, now),
            Change::Move { order_id, to, actor, reason, .. } => {
                let Some(order) = self.orders.get(&order_id) else { return Changed::NoSuchOrder };
                match check_move(order.stored.status, to, actor) {
                    MoveVerdict::Unchanged => return Changed::Unchanged(order.stored.clone()),
                    MoveVerdict::Refused(refusal) => return Changed::MoveRefused(refusal),
                    MoveVerdict::Allowed => {}
                }
                let mut changes = Changes::new();
                match reason.filter(|_| to == KnownStatus::Cancelled) {
                    Some(Reason::Code(code)) => changes.integer("cancellation_reason_id", code),
                    Some(Reason::Text(text)) => changes.string("cancellation_reason", &text),
                    None => {}
                }
                (order_id, EventType::OrderStatusUpdated, OrderStatus::Known(to), order.record.with(&changes))
            }
            Change::EditCart { order_id, fields } => {
                let Some(order) = self.orders.get(&order_id) else { return Changed::NoSuchOrder };
                let status = order.stored.status;
                if matches!(status, OrderStatus::Known(status) if status.has_ended()) {
                    return Changed::CartFinal(status);
                }
                let mut changes = Changes::new();
                for name in fields.names().filter(|name| !OWNED_FIELDS.contains(&name.as_ref())) {
                    changes.copied(&name, &fields);
                }
                if changes.are_in(&order.record) {
                    return Changed::Unchanged(order.stored.clone());
                }
                (order_id, EventType::OrderCartUpdated, status, order.record.with(&changes))
            }
        };
        self.renew(tick, order_id, event_type, status, &record, now)
    }

    fn create(&mut self, tick: &mut Tick, record: &Record, now: Timestamp) -> Changed {
        let read = || Some((record.id().ok()??, record.business_id().ok()??, record.branch_id().ok()??));
        let Some((order_id, business_id, branch_id)) = read() else { return Changed::NoSuchOrder };
        if self.orders.contains_key(&order_id) {
            return Changed::IdTaken(order_id);
        }
        let status = OrderStatus::Known(KnownStatus::Placed);
        let stored =
            StoredOrder { order_id, business_id, branch_id, status, version: 0, record: Bytes::new() };
        let order = Order { stored, record: record.clone(), created_at: now, updated_at: now };
        self.orders.insert(order_id, order);
        self.renew(tick, order_id, EventType::OrderCreated, status, record, now)
    }

    fn renew(
        &mut self,
        tick: &mut Tick,
        order_id: OrderId,
        event_type: EventType,
        status: OrderStatus,
        record: &Record,
        now: Timestamp,
    ) -> Changed {
        let order = self.orders.get_mut(&order_id).expect("the caller has looked it up");
        order.updated_at = now.max(order.updated_at);
        let owned = OwnedFields {
            id: order_id,
            status,
            version: order.stored.version + 1,
            created_at: order.created_at,
            updated_at: order.updated_at,
            order_type: record.order_type(),
        };
        let mut changes = Changes::new();
        owned.set(&self.codes, &mut changes);
        order.record = record.with(&changes);
        order.stored.status = status;
        order.stored.version = owned.version;
        order.stored.record = order.record.bytes().clone();
        self.events += 1;

        let brands = order.record.brand_ids().unwrap_or_default();
        let StoredOrder { business_id, branch_id, version, .. } = order.stored;
        let of_business = |(i, p): (usize, &Partner)| (p.business_id == business_id).then_some(i);
        tick.commit.changes.push(event::Change {
            order: order_id.0,
            version,
            business: business_id.0,
            branch: branch_id.0,
            brands: brands.iter().map(|brand| brand.0).collect(),
            event_type: event_type.as_str(),
            record: order.stored.record.clone(),
        });
        tick.occurrences.push(Occurrence {
            order_id,
            version,
            branch_id,
            brands,
            partners: self.partners.iter().enumerate().filter_map(of_business).collect(),
            event_type,
            record: order.stored.record.clone(),
            at: now,
        });
        Changed::Done(order.stored.clone())
    }

    fn record(&mut self, tick: &mut Tick, attempt: Attempt, now: Timestamp) {
        let row = self.seq_at(attempt.seq).and_then(|seq| self.deliveries.get_mut(&seq));
        // One that was under way when its delivery was taken back is logged too.
        let is_late = row.as_ref().is_some_and(|row| {
            row.delivery.state == DeliveryState::Cancelled
                || (row.delivery.state == DeliveryState::Delivered && row.replay_id.is_some())
        });
        let applied = row.as_ref().is_some_and(|row| {
            (is_late || row.delivery.state == DeliveryState::Pending)
                && row.log.iter().all(|a| a.number != attempt.number)
        });
        tick.commit.attempts.push(event::Attempt {
            seq: attempt.seq.0,
            number: attempt.number,
            acknowledged: attempt.outcome == AttemptOutcome::Acknowledged,
            verdict: match attempt.verdict {
                Verdict::Delivered => event::Verdict::Delivered,
                Verdict::RetryAt { at, counted } => {
                    event::Verdict::RetryAt { at_ms: at.as_millis(), counted }
                }
                Verdict::Dead => event::Verdict::Dead,
            },
            applied,
        });
        let Some(row) = row.filter(|_| applied) else { return };
        row.delivery.attempts += 1;
        let (seq, verdict) = (attempt.seq, attempt.verdict);
        row.log.push(attempt);
        if is_late {
            if verdict == Verdict::Delivered {
                let delivery = &mut row.delivery;
                delivery.state = DeliveryState::Delivered;
                (delivery.ended_by, delivery.ended_reason) = (None, None);
            }
            return;
        }
        match verdict {
            Verdict::RetryAt { at, counted } => {
                row.delivery.next_attempt_at = Some(at);
                row.failures += u32::from(counted);
            }
            Verdict::Delivered => self.end(seq, DeliveryState::Delivered, now),
            Verdict::Dead => self.end(seq, DeliveryState::Dead, now),
        }
    }

    fn end(&mut self, seq: DeliverySeq, state: DeliveryState, now: Timestamp) {
        let Some(row) = self.seq_at(seq).and_then(|seq| self.deliveries.get_mut(&seq)) else { return };
        let delivery = &mut row.delivery;
        if delivery.state == DeliveryState::Pending {
            (delivery.state, delivery.next_attempt_at, delivery.finished_at) = (state, None, Some(now));
            self.pending.remove(&(delivery.endpoint_id, seq));
            if let Some(replay_id) = row.replay_id {
                self.tally(replay_id, state, now);
            }
        }
    }

    fn cancel(&mut self, tick: &mut Tick, seq: DeliverySeq, by: &str, reason: EndReason, now: Timestamp) {
        self.end(seq, DeliveryState::Cancelled, now);
        if let Some(row) = self.seq_at(seq).and_then(|seq| self.deliveries.get_mut(&seq)) {
            (row.delivery.ended_by, row.delivery.ended_reason) = (Some(by.to_owned()), Some(reason));
        }
        tick.commit.cancelled.push(seq.0);
    }

    /// Whether newer states of all of a delivery's orders wait at a registration that wants only those. Replays pass
    /// nothing over and are not passed over.
    fn is_superseded(&self, seq: DeliverySeq) -> bool {
        let Some(row) = self.deliveries.get(&seq).filter(|row| row.place == seq) else { return false };
        let is_newer = |(other, newer): (&DeliverySeq, &Row)| {
            *other > seq
                && newer.place == *other
                && newer.webhook == row.webhook
                && newer.delivery.brand_id == row.delivery.brand_id
                && newer.delivery.state == DeliveryState::Pending
        };
        let newer = || self.deliveries.iter().filter(|&entry| is_newer(entry)).map(|(_, row)| row);
        row.delivery.state == DeliveryState::Pending
            && self.webhooks[row.webhook].0.settings.coalesce
            && row.delivery.orders.iter().all(|(order, _)| {
                newer().any(|row| row.delivery.orders.iter().any(|(other, _)| other == order))
            })
    }

    /// The delivery that stands in a place in line, or stood there last.
    fn seq_at(&self, place: DeliverySeq) -> Option<DeliverySeq> {
        let seq = if place.is_among_replays() { *self.replayed.get(&place)? } else { place };
        self.deliveries.get(&seq).is_some_and(|row| row.place == place).then_some(seq)
    }

    fn in_line(&self, place: DeliverySeq) -> &Row {
        &self.deliveries[&self.seq_at(place).expect("what is pending has a place")]
    }

    /// Moves a delivery that has ended, or is new, into the next place of the replays.
    pub(super) fn line_up(
        &mut self,
        tick: &mut Tick,
        seq: DeliverySeq,
        replay_id: Option<ReplayId>,
        now: Timestamp,
    ) {
        let place = self
            .replayed
            .last_key_value()
            .map_or(DeliverySeq::of_replay(1), |(last, _)| DeliverySeq(last.0 + 1));
        self.replayed.insert(place, seq);
        let row = self.deliveries.get_mut(&seq).expect("the caller has looked it up");
        row.delivery.endpoint_id = self.webhooks[row.webhook].0.endpoint_id;
        (row.delivery.state, row.delivery.next_attempt_at, row.delivery.finished_at) =
            (DeliveryState::Pending, Some(now), None);
        (row.failures, row.place, row.since, row.replay_id) = (0, place, now, replay_id);
        self.pending.insert((row.delivery.endpoint_id, place));
        tick.hints.push(waiting_delivery(row));
    }

    /// Ends what an operator takes back: delivered where it had been acknowledged before.
    pub(super) fn take_out(&mut self, seq: DeliverySeq, now: Timestamp) {
        let row = self.deliveries.get_mut(&seq).expect("the caller has looked it up");
        let is_acknowledged = |attempt: &Attempt| attempt.outcome == AttemptOutcome::Acknowledged;
        let was_delivered = row.log.iter().any(is_acknowledged);
        let state = if was_delivered { DeliveryState::Delivered } else { DeliveryState::Cancelled };
        (row.delivery.state, row.delivery.next_attempt_at, row.delivery.finished_at) =
            (state, None, Some(now));
        self.pending.remove(&(row.delivery.endpoint_id, row.place));
    }

    /// The record of an order as a new delivery in a place of the replays.
    pub(super) fn form_anew(
        &mut self,
        tick: &mut Tick,
        of: DeliverySeq,
        orders: &[(OrderId, Bytes, i64)],
        replay_id: ReplayId,
        now: Timestamp,
    ) {
        let seq = DeliverySeq(self.deliveries.last_key_value().map_or(0, |(seq, _)| seq.0) + 1);
        let Row { delivery: former, webhook, .. } = &self.deliveries[&of];
        let webhook = *webhook;
        let delivery = Delivery {
            seq,
            delivery_id: DeliveryId::from(format!("evt_{:032x}", seq.0)),
            orders: orders.iter().map(|(order_id, _, version)| (*order_id, *version)).collect(),
            attempts: 0,
            created_at: now,
            ..former.clone()
        };
        let records: Vec<&[u8]> = orders.iter().map(|(_, record, _)| &record[..]).collect();
        let body = envelope_bytes(delivery.brand_id, delivery.branch_id, &records);
        let row = Row {
            failures: 0,
            delivery,
            webhook,
            body,
            log: Vec::new(),
            place: seq,
            since: now,
            replay_id: Some(replay_id),
        };
        self.deliveries.insert(seq, row);
        self.line_up(tick, seq, Some(replay_id), now);
        let row = &self.deliveries[&seq];
        tick.commit.anew.push(formed(&row.delivery, row.place, now));
    }

    fn put_webhook(&mut self, tick: &mut Tick, new: NewWebhook, now: Timestamp) -> PutWebhook {
        let Some(partner) = self.partners.iter().position(|p| p.partner_id == new.partner_id) else {
            return PutWebhook::NoSuchPartner;
        };
        let place = self.endpoints.iter().position(|place| place.partner == partner && place.url == new.url);
        let place = place.unwrap_or_else(|| {
            self.endpoints.push(Place { partner, url: new.url.clone(), hold: None });
            self.endpoints.len() - 1
        });
        let endpoint_id = endpoint_id(place);
        let key = (new.brand_id, new.branch_id, new.event_type);
        let known = self.webhooks.iter().enumerate().position(|(i, (w, whose))| {
            *whose == partner
                && (w.brand_id, w.branch_id, w.event_type) == key
                && !self.removed.contains_key(&i)
        });
        tick.endpoints.push(endpoint_id);
        let index = known.unwrap_or(self.webhooks.len());
        let answer = match known {
            Some(index) => {
                let webhook = &mut self.webhooks[index].0;
                let before = std::mem::replace(&mut webhook.endpoint_id, endpoint_id);
                webhook.url.clone_from(&new.url);
                webhook.has_basic_auth = new.basic_auth.is_some();
                webhook.settings = new.settings;
                webhook.updated_at = now;
                self.basic_auth[index] = new.basic_auth;
                let moved_from = (before != endpoint_id).then_some(before);
                if moved_from.is_some() {
                    self.move_pending(tick, index, before, endpoint_id);
                }
                tick.endpoints.extend(moved_from);
                PutWebhook::Updated { webhook: self.webhooks[index].0.clone(), moved_from }
            }
            None => {
                let webhook = Webhook {
                    webhook_id: WebhookId(i64::try_from(index).expect("there are few") + 1),
                    endpoint_id,
                    partner_id: new.partner_id,
                    brand_id: new.brand_id,
                    branch_id: new.branch_id,
                    event_type: new.event_type,
                    url: new.url,
                    has_basic_auth: new.basic_auth.is_some(),
                    settings: new.settings,
                    created_at: now,
                    updated_at: now,
                };
                self.basic_auth.push(new.basic_auth);
                self.webhooks.push((webhook.clone(), partner));
                PutWebhook::Created(webhook)
            }
        };
        let webhook = &self.webhooks[index].0;
        tick.commit.registrations.push(event::Registration {
            webhook: webhook.webhook_id.0,
            partner,
            business: self.partners[partner].business_id.0,
            endpoint: endpoint_id.0,
            brand: webhook.brand_id.map(|id| id.0),
            branch: webhook.branch_id.map(|id| id.0),
            event_type: webhook.event_type.as_str(),
        });
        answer
    }

    fn move_pending(&mut self, tick: &mut Tick, webhook: usize, from: EndpointId, to: EndpointId) {
        let range = (from, DeliverySeq(i64::MIN))..=(from, DeliverySeq(i64::MAX));
        let there: Vec<DeliverySeq> = self.pending.range(range).map(|&(_, seq)| seq).collect();
        for seq in there {
            let row = self.seq_at(seq).and_then(|seq| self.deliveries.get_mut(&seq));
            let row = row.expect("what is pending has a place");
            if row.webhook == webhook {
                row.delivery.endpoint_id = to;
                self.pending.remove(&(from, seq));
                self.pending.insert((to, seq));
                tick.commit.moved.push((seq.0, to.0));
                if seq.is_among_replays() {
                    // The engine reads replays where it hears of some.
                    tick.hints.push(waiting_delivery(row));
                }
            }
        }
    }

    /// Forms the tick's deliveries. All of a tick's events go by the registrations at its end.
    fn form(&mut self, tick: &mut Tick) {
        let waiting: BTreeSet<(EndpointId, OrderId)> = self
            .pending
            .iter()
            .flat_map(|(endpoint_id, seq)| {
                self.in_line(*seq).delivery.orders.iter().map(|(order_id, _)| (*endpoint_id, *order_id))
            })
            .collect();
        let planned = batches::plan(
            &self.webhooks,
            |i| !self.removed.contains_key(&i),
            &tick.occurrences,
            self.orders_per_delivery_max,
            |e, o| waiting.contains(&(e, o)),
        );
        for planned in planned {
            let carried: Vec<&Occurrence> =
                planned.occurrences.iter().map(|&i| &tick.occurrences[i]).collect();
            let at =
                carried.iter().map(|occurrence| occurrence.at).max().expect("a delivery carries something");
            let records: Vec<&[u8]> = carried.iter().map(|occurrence| &occurrence.record[..]).collect();
            let seq = DeliverySeq(self.deliveries.last_key_value().map_or(0, |(seq, _)| seq.0) + 1);
            let delivery = Delivery {
                seq,
                delivery_id: DeliveryId::from(format!("evt_{:032x}", seq.0)),
                endpoint_id: planned.endpoint_id,
                webhook_id: self.webhooks[planned.webhook].0.webhook_id,
                event_type: planned.event_type,
                brand_id: planned.brand_id,
                branch_id: planned.branch_id,
                orders: carried.iter().map(|o| (o.order_id, o.version)).collect(),
                state: DeliveryState::Pending,
                attempts: 0,
                created_at: at,
                next_attempt_at: Some(at),
                finished_at: None,
                ended_by: None,
                ended_reason: None,
            };
            tick.commit.deliveries.push(formed(&delivery, seq, at));
            let body = envelope_bytes(planned.brand_id, planned.branch_id, &records);
            self.pending.insert((delivery.endpoint_id, seq));
            let row = Row {
                failures: 0,
                delivery,
                webhook: planned.webhook,
                body,
                log: Vec::new(),
                place: seq,
                since: at,
                replay_id: None,
            };
            tick.hints.push(waiting_delivery(&row));
            self.deliveries.insert(seq, row);
        }
    }

    pub(super) fn order(&self, order_id: OrderId) -> Option<StoredOrder> {
        self.orders.get(&order_id).map(|order| order.stored.clone())
    }

    pub(super) fn orders(&self) -> impl Iterator<Item = &StoredOrder> {
        self.orders.values().map(|order| &order.stored)
    }

    pub(super) fn page(&self, endpoint_id: EndpointId, after: DeliverySeq, limit: usize) -> PendingPage {
        let last = if after.is_among_replays() { DeliverySeq(i64::MAX) } else { DeliverySeq::REPLAYS_AFTER };
        let range = (endpoint_id, DeliverySeq(after.0 + 1))..=(endpoint_id, last);
        let rows = self.pending.range(range).map(|(_, place)| self.in_line(*place));
        let mut behind = rows.filter(|row| !self.is_withheld(row));
        let page = behind.by_ref().take(limit).map(waiting_delivery);
        PendingPage { deliveries: page.collect(), end: behind.next().is_none() }
    }

    pub(super) fn payload(&self, place_in_line: DeliverySeq) -> Result<Payload, NothingToSend> {
        let row = self
            .seq_at(place_in_line)
            .map(|seq| &self.deliveries[&seq])
            .filter(|row| row.delivery.state == DeliveryState::Pending)
            .filter(|row| !self.removed.contains_key(&row.webhook))
            .ok_or(NothingToSend::Ended)?;
        if self.is_withheld(row) {
            return Err(NothingToSend::Withheld);
        }
        let Place { partner, url, .. } = &self.endpoints[place(row.delivery.endpoint_id)];
        let partner = &self.partners[*partner];
        Ok(Payload {
            delivery_id: row.delivery.delivery_id.clone(),
            event_type: row.delivery.event_type,
            webhook_id: row.delivery.webhook_id,
            partner_id: partner.partner_id.clone(),
            endpoint_id: row.delivery.endpoint_id,
            url: url.clone(),
            webhook_secret: partner.webhook_secret.clone(),
            webhook_secret_next: partner.webhook_secret_next.clone(),
            basic_auth: self.basic_auth[row.webhook].clone(),
            body: row.body.clone(),
            created_at: row.delivery.created_at,
            is_superseded: self.is_superseded(place_in_line),
        })
    }

    pub(super) fn deliveries(&self) -> impl Iterator<Item = (&Delivery, &[Attempt])> {
        self.deliveries.values().rev().map(|row| (&row.delivery, &row.log[..]))
    }

    pub(super) fn partners(&self) -> &[Partner] {
        &self.partners
    }

    pub(super) fn is_of_removed(&self, seq: DeliverySeq) -> bool {
        self.removed.contains_key(&self.deliveries[&seq].webhook)
    }

    /// Registrations that were not removed, with their places.
    fn present(&self) -> impl Iterator<Item = (usize, &Webhook)> {
        let all = self.webhooks.iter().enumerate();
        all.filter(|(i, _)| !self.removed.contains_key(i)).map(|(i, (webhook, _))| (i, webhook))
    }

    pub(super) fn webhooks(&self) -> Vec<Webhook> {
        self.present().map(|(_, webhook)| webhook.clone()).collect()
    }

    pub(super) fn webhook_access(&self, webhook_id: WebhookId) -> Option<WebhookAccess> {
        let (index, webhook) = self.present().find(|(_, webhook)| webhook.webhook_id == webhook_id)?;
        let partner = &self.partners[self.webhooks[index].1];
        Some(WebhookAccess {
            webhook: webhook.clone(),
            webhook_secret: partner.webhook_secret.clone(),
            webhook_secret_next: partner.webhook_secret_next.clone(),
            basic_auth: self.basic_auth[index].clone(),
        })
    }

    pub(super) fn endpoint(&self, endpoint_id: EndpointId) -> Option<Endpoint> {
        let Place { partner, url, hold } = self.endpoints.get(place(endpoint_id))?;
        let partner_id = self.partners[*partner].partner_id.clone();
        let settings = self.settings(endpoint_id);
        Some(Endpoint { endpoint_id, partner_id, url: url.clone(), hold: *hold, settings })
    }

    /// The strictest of what its registrations say.
    fn settings(&self, endpoint_id: EndpointId) -> EndpointSettings {
        let all = || {
            let there = self.present().filter(|(_, webhook)| webhook.endpoint_id == endpoint_id);
            there.map(|(_, webhook)| webhook.settings.endpoint)
        };
        let is_free = all().next().is_some() && all().all(|s| s.ordering == Ordering::None);
        EndpointSettings {
            ordering: if is_free { Ordering::None } else { Ordering::PerOrder },
            in_flight_max: all().filter_map(|s| s.in_flight_max).min(),
            rate_per_second_max: all().filter_map(|s| s.rate_per_second_max).min(),
        }
    }

    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        let is_used = |id: &EndpointId| {
            self.present().any(|(_, webhook)| webhook.endpoint_id == *id)
                || self.pending.iter().any(|(endpoint_id, _)| endpoint_id == id)
        };
        (0..self.endpoints.len())
            .map(endpoint_id)
            .filter(is_used)
            .filter_map(|id| self.endpoint(id))
            .collect()
    }

    /// The endpoint behind a URL, and whose it is. No two partners share one here.
    pub(super) fn endpoint_of(&self, url: &str) -> Option<(EndpointId, PartnerId)> {
        let place = self.endpoints.iter().position(|place| place.url == url)?;
        let Place { partner, .. } = self.endpoints[place];
        Some((endpoint_id(place), self.partners[partner].partner_id.clone()))
    }

    pub(super) fn business(&self, business_id: BusinessId) -> Option<Business> {
        self.businesses.get(&business_id).cloned()
    }

    pub(super) fn counts(&self) -> Counts {
        let in_state =
            |state| self.deliveries.values().filter(|row| row.delivery.state == state).count() as u64;
        Counts {
            orders: self.orders.len() as u64,
            events: self.events,
            pending: in_state(DeliveryState::Pending),
            delivered: in_state(DeliveryState::Delivered),
            dead: in_state(DeliveryState::Dead),
            cancelled: in_state(DeliveryState::Cancelled),
            superseded: in_state(DeliveryState::Superseded),
            attempts: self.deliveries.values().map(|row| row.log.len() as u64).sum(),
        }
    }
}

fn endpoint_id(place: usize) -> EndpointId {
    EndpointId(i64::try_from(place).expect("there are few") + 1)
}

fn place(endpoint_id: EndpointId) -> usize {
    usize::try_from(endpoint_id.0 - 1).expect("ids begin at 1")
}

fn formed(delivery: &Delivery, place: DeliverySeq, at: Timestamp) -> event::Delivery {
    event::Delivery {
        seq: place.0,
        id: delivery.delivery_id.as_str().to_owned(),
        webhook: delivery.webhook_id.0,
        endpoint: delivery.endpoint_id.0,
        brand: delivery.brand_id.0,
        branch: delivery.branch_id.0,
        event_type: delivery.event_type.as_str(),
        orders: delivery.orders.iter().map(|(order_id, version)| (order_id.0, *version)).collect(),
        due_ms: at.as_millis(),
    }
}

pub(super) fn waiting_delivery(row: &Row) -> PendingDelivery {
    let Row { delivery, failures, place, since, .. } = row;
    PendingDelivery {
        seq: *place,
        endpoint_id: delivery.endpoint_id,
        orders: delivery.orders.iter().map(|(order_id, _)| *order_id).collect(),
        attempts: delivery.attempts,
        failures: *failures,
        committed_at: *since,
        due: delivery.next_attempt_at.unwrap_or(delivery.created_at),
    }
}
