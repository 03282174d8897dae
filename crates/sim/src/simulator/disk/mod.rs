//! What is on the simulated disk, and how a tick changes it. Whatever is in here survives a crash; whatever is not,
//! does not.
//!
//! A second, naive implementation of the platform's store: plain maps, no transaction but that a tick is applied
//! without a pause.
//!
//! - `orders` - what a change makes of an order.
//! - `registrations` - partners, their registrations, and the endpoints that these make.
//! - `batches` - which deliveries a tick's changes need.
//! - `deliveries` - how they are formed, stand in line, and end.
//! - `replays` - what is sent again.
//! - `figures` - how much there is of what.

mod batches;
mod deliveries;
mod figures;
mod orders;
mod registrations;
mod replays;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hookit_contract::{
    BranchId, BrandId, BusinessId, DeliveryId, DeliverySeq, DeliveryState, EndpointId, EventType, OrderId,
    PartnerId, Record, ReplayId, StatusCodes, Timestamp, WebhookId,
};
use hookit_store::platform::{
    Attempt, Business, Cancelled, Change, Changed, Delivery, Held, HoldReason, NewWebhook, Partner,
    PartnerChange, PartnerChanged, PendingDelivery, PutWebhook, Replay, ReplayRequest, ReplayStep, Replayed,
    StartReplay, SteerReplay, SteeredReplay, StoredOrder, Webhook,
};

use crate::auditor::event::Commit;

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
    RemoveWebhook(WebhookId, String),
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
    PartnerChanged(PartnerChanged),
    Held(Held),
    Cancelled(Cancelled),
    Webhook(PutWebhook),
    Replayed(Replayed),
    ReplayStarted(StartReplay),
    ReplayStepped(ReplayStep),
    ReplaySteered(SteeredReplay),
}

/// A change of an order.
#[derive(Clone)]
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
    events: Vec<Occurrence>,
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
            events: Vec::new(),
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
                Reply::PartnerChanged(self.change_partner(&partner_id, change, now))
            }
            Command::PutWebhook(webhook, now) => Reply::Webhook(self.put_webhook(tick, webhook, now)),
            Command::GiveUp(seqs, now) => {
                for seq in seqs {
                    // An operator may have been there first.
                    if self.end(seq, DeliveryState::Dead, now) {
                        tick.commit.given_up.push(seq.0);
                    }
                }
                Reply::Done(true)
            }
            Command::HoldEndpoint(endpoint_id, hold, now) => {
                Reply::Held(self.hold_endpoint(tick, endpoint_id, hold, now))
            }
            Command::Supersede(seq, now) => Reply::Done(self.supersede(tick, seq, now)),
            Command::CancelDelivery(delivery_id, by, now) => {
                Reply::Cancelled(self.cancel_delivery(tick, &delivery_id, &by, now))
            }
            Command::RemoveWebhook(webhook_id, by) => Reply::Done(self.remove_webhook(tick, webhook_id, by)),
            Command::StepRemovals(now) => Reply::Done(self.step_removals(tick, now)),
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

    pub(super) fn partners(&self) -> &[Partner] {
        &self.partners
    }

    pub(super) fn business(&self, business_id: BusinessId) -> Option<Business> {
        self.businesses.get(&business_id).cloned()
    }
}

fn endpoint_id(place: usize) -> EndpointId {
    EndpointId(i64::try_from(place).expect("there are few") + 1)
}

fn place(endpoint_id: EndpointId) -> usize {
    usize::try_from(endpoint_id.0 - 1).expect("ids begin at 1")
}
