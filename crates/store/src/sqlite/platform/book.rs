//! The platform's commands, and what one tick gathers: changes, the events for the fan-out, the totals.

use std::sync::{Arc, PoisonError};

use hookit_contract::{
    DeliveryId, DeliverySeq, EndpointId, OrderId, PartnerId, ReplayId, StatusCodes, Timestamp, TokenId,
    WebhookId,
};
use rusqlite::Connection;

use super::changes::Prepared;
use super::fresh::FreshChanges;
use super::registry::Registry;
use super::replays::{self, jobs};
use super::tally::{self, Moved, Tallied};
use super::{
    PlatformOptions, Published, attempts, audit, changes, deliveries, endings, expiry, once, operator_once,
    past, reads, registrations, tokens,
};
use crate::Error;
use crate::fanout::Event;
use crate::platform::{
    Activity, AddToken, Attempt, Business, Caller, Cancelled, Changed, Counts, EndpointSettings, Held,
    HoldReason, Invalid, NewToken, NewWebhook, Once, OnceKey, OperatorKey, Partner, PartnerChange,
    PartnerChanged, PartnerMoveRequest, PartnerMoved, PastFigures, PendingDelivery, PutBusiness, PutWebhook,
    Reason, ReplayRequest, Replayed, StartReplay, SteerReplay, SteeredReplay, TokenRevoked,
};
use crate::sqlite::ids::DeliveryIds;
use crate::sqlite::writer::Book;
use crate::sqlite::{count, failed};

pub(super) enum Command {
    /// In somebody's name, and so with an entry in the audit log.
    Named(Box<Command>, Arc<Caller>),
    NoteTest(WebhookId),
    Change(Prepared, Timestamp),
    Changes(Vec<Result<Prepared, Vec<Invalid>>>, Timestamp),
    ChangeOnce(OperatorKey, Prepared, Timestamp),
    MoveOnce(OnceKey, PartnerMoveRequest, Timestamp),
    Attempts(Vec<Attempt>, Timestamp),
    GiveUp(Vec<DeliverySeq>, Timestamp),
    ReplayDelivery(DeliveryId, Timestamp),
    ReplayOnce(OnceKey, DeliveryId, Timestamp),
    StartReplay(ReplayRequest, Timestamp),
    StepReplay(jobs::Step, Timestamp),
    SteerReplay(ReplayId, SteerReplay, Timestamp),
    Expire(expiry::Step),
    HoldEndpoint(EndpointId, Option<HoldReason>, Timestamp),
    Supersede(DeliverySeq, Timestamp),
    CancelDelivery(DeliveryId, String, Timestamp),
    RemoveWebhook(WebhookId, String, Timestamp),
    StepRemovals(Timestamp),
    AddPartner(Partner),
    ChangePartner(PartnerId, PartnerChange, Timestamp),
    AddToken(NewToken, Timestamp),
    RevokeToken(TokenId, Timestamp),
    PutWebhook(NewWebhook, Timestamp),
    PutBusiness(Business),
    NotePast(Vec<PastFigures>, Timestamp),
}

impl Command {
    /// Notes which deliveries that wait the command moves on.
    fn moves_on(&self, fresh: &mut FreshChanges) {
        match self {
            // What is within is looked at by itself.
            Command::Named(..) => {}
            // They make deliveries, or change what the registry says.
            Command::Change(..)
            | Command::Changes(..)
            | Command::ChangeOnce(..)
            | Command::MoveOnce(..)
            | Command::AddPartner(_)
            | Command::ChangePartner(..)
            | Command::AddToken(..)
            | Command::RevokeToken(..)
            | Command::PutWebhook(..)
            | Command::PutBusiness(_)
            | Command::HoldEndpoint(..)
            | Command::RemoveWebhook(..)
            | Command::NotePast(..)
            | Command::NoteTest(_) => {}
            // What they move on had ended, or was never given out here.
            Command::ReplayDelivery(..)
            | Command::ReplayOnce(..)
            | Command::StartReplay(..)
            | Command::StepReplay(..)
            | Command::SteerReplay(..)
            | Command::Expire(_) => {}
            Command::Attempts(attempts, _) => fresh.moved_on.extend(attempts.iter().map(|a| a.seq)),
            Command::GiveUp(seqs, _) => fresh.moved_on.extend(seqs),
            Command::Supersede(seq, _) => fresh.moved_on.push(*seq),
            Command::CancelDelivery(..) | Command::StepRemovals(_) => fresh.any = true,
        }
    }
}

pub(super) enum Reply {
    Noted(()),
    Changed(Changed),
    ManyChanged(Vec<Changed>),
    ChangedOnce(operator_once::Outcome),
    MovedOnce(Once<PartnerMoved>),
    Attempts(()),
    GivenUp(()),
    Replayed(Replayed),
    ReplayedOnce(Once<Replayed>),
    ReplayStarted(StartReplay),
    ReplayStepped(()),
    ReplaySteered(SteeredReplay),
    Expired(()),
    Held(Held),
    Superseded(bool),
    Cancelled(Cancelled),
    Removed(bool),
    RemovalStepped(bool),
    PartnerAdded(()),
    PartnerChanged(PartnerChanged),
    TokenAdded(AddToken),
    TokenRevoked(TokenRevoked),
    Webhook(PutWebhook),
    Business(PutBusiness),
    PastNoted(()),
}

/// Ids that the platform gives begin above this one.
const ORDER_ID_BEFORE_FIRST: i64 = 1_000_000;

/// An order that a surface gave an id up to here lifts the ids that the platform gives. It is half of what every
/// reader of JSON keeps exactly, so that nobody can use the ids up by taking a high one.
const ORDER_ID_LIFTING_MAX: i64 = 1 << 52;

/// The numbers that are given next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    pub(super) order_id: i64,
    pub(super) record_id: i64,
    pub(super) delivery_seq: i64,
    pub(super) replay_no: i64,
}

impl Numbers {
    fn load(db: &Connection) -> rusqlite::Result<Self> {
        let last = |sql| db.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).map(|n| n.unwrap_or(0));
        let last_order = db.query_row(
            "SELECT max(order_id) FROM orders WHERE order_id <= ?1",
            [ORDER_ID_LIFTING_MAX],
            |row| row.get::<_, Option<i64>>(0),
        )?;
        let after = last("SELECT numbers_after FROM totals")?;
        Ok(Numbers {
            order_id: last_order.unwrap_or(0).max(ORDER_ID_BEFORE_FIRST) + 1,
            record_id: last("SELECT max(record_id) FROM records")?.max(after) + 1,
            delivery_seq: last("SELECT max(delivery_seq) FROM deliveries")?.max(after) + 1,
            replay_no: last("SELECT max(replay_no) FROM deliveries WHERE replay_no IS NOT NULL")? + 1,
        })
    }

    /// Keeps clear of an id that is taken now.
    pub(super) fn order_taken(&mut self, order_id: OrderId) {
        if order_id.0 <= ORDER_ID_LIFTING_MAX {
            self.order_id = self.order_id.max(order_id.0 + 1);
        }
    }
}

/// What the writing thread knows between ticks. All of it is on disk too; it is here so that it is not read again.
pub(super) struct PlatformBook {
    pub(super) codes: StatusCodes,
    orders_per_delivery_max: usize,
    ids: DeliveryIds,
    numbers: Numbers,
    counts: Counts,
    activity: Activity,
    registry: Arc<Registry>,
    published: Arc<Published>,
}

/// What one tick gathers.
pub(super) struct Tick {
    pub(super) numbers: Numbers,
    pub(super) counts: Counts,
    pub(super) activity: Activity,
    /// How many more deliveries, or less, wait at each endpoint.
    pub(super) moved: Moved,
    pub(super) events: Vec<Event>,
    pub(super) hints: Vec<PendingDelivery>,
    pub(super) fresh: FreshChanges,
    /// Endpoints that are new, or got or lost deliveries.
    pub(super) endpoints: Vec<EndpointId>,
    /// The same with whether they are held and how they are served, at the end of the tick.
    endpoints_now: Vec<(EndpointId, bool, EndpointSettings)>,
    /// The hierarchy and the registrations; none where a command of this tick has changed them on disk.
    registry: Option<Arc<Registry>>,
}

impl Tick {
    /// The hierarchy and the registrations as they are at this point of the tick.
    pub(super) fn registry(&mut self, db: &Connection) -> Result<Arc<Registry>, Error> {
        if let Some(registry) = &self.registry {
            return Ok(Arc::clone(registry));
        }
        // Read anew as a whole: registrations change seldom, and this way there is one way to read them.
        let registry = Arc::new(Registry::load(db)?);
        self.registry = Some(Arc::clone(&registry));
        Ok(registry)
    }

    /// Says that a command has changed partners, registrations or the hierarchy.
    pub(super) fn registry_changed(&mut self) {
        self.registry = None;
    }
}

impl PlatformBook {
    pub(super) fn load(
        db: &Connection,
        options: &PlatformOptions,
        id_seed: u64,
        registry: Arc<Registry>,
        published: Arc<Published>,
    ) -> Result<Self, Error> {
        let reading = failed("reading the totals");
        let numbers = Numbers::load(db).map_err(&reading)?;
        let totals: [i64; 8] = db
            .query_row(
                "SELECT orders, events, pending, delivered, dead, cancelled, attempts, superseded FROM totals",
                [],
                |row| {
                    let mut totals = [0; 8];
                    for (i, total) in totals.iter_mut().enumerate() {
                        *total = row.get(i)?;
                    }
                    Ok(totals)
                },
            )
            .map_err(&reading)?;
        let [orders, events, pending, delivered, dead, cancelled, attempts, superseded] = totals;
        let counts = Counts {
            orders: count(orders, "the total of orders")?,
            events: count(events, "the total of events")?,
            pending: count(pending, "the total of pending deliveries")?,
            delivered: count(delivered, "the total of delivered deliveries")?,
            dead: count(dead, "the total of dead deliveries")?,
            cancelled: count(cancelled, "the total of cancelled deliveries")?,
            superseded: count(superseded, "the total of superseded deliveries")?,
            attempts: count(attempts, "the total of attempts")?,
        };
        let (pending_at, activity) = (tally::pending_at(db)?, Activity::default());
        *published.tallied.lock().unwrap_or_else(PoisonError::into_inner) =
            Tallied { counts, pending_at, activity };
        Ok(PlatformBook {
            codes: options.codes,
            orders_per_delivery_max: options.orders_per_delivery_max.max(1),
            ids: DeliveryIds::new(id_seed),
            numbers,
            counts,
            activity,
            registry,
            published,
        })
    }
}

impl Book for PlatformBook {
    type Command = Command;
    type Reply = Reply;
    type Tick = Tick;

    fn bytes(command: &Command) -> usize {
        /// What a command weighs besides the bytes that it brings.
        const EMPTY: usize = 256;
        EMPTY
            + match command {
                Command::Named(command, _) => Self::bytes(command),
                Command::Change(prepared, _) => prepared.bytes(),
                Command::Changes(many, _) => {
                    many.iter().map(|one| EMPTY + one.as_ref().map_or(0, Prepared::bytes)).sum()
                }
                Command::ChangeOnce(key, prepared, _) => key.key.len() + prepared.bytes(),
                Command::MoveOnce(key, request, _) => {
                    let reason = request.reason.as_ref();
                    key.key.len()
                        + reason.map_or(0, |r| if let Reason::Text(text) = r { text.len() } else { 0 })
                }
                Command::Attempts(attempts, _) => attempts.iter().map(|a| EMPTY + a.answer.len()).sum(),
                Command::PutBusiness(business) => {
                    business.brands.iter().map(|b| EMPTY + 8 * b.branches.len()).sum()
                }
                Command::GiveUp(seqs, _) => seqs.len() * size_of::<DeliverySeq>(),
                Command::Expire(step) => step.rows() * size_of::<i64>(),
                Command::NotePast(figures, _) => figures.len() * size_of::<PastFigures>(),
                Command::StepReplay(jobs::Step::Queue { numbers, .. }, _) => numbers.len() * size_of::<i64>(),
                Command::StepReplay(jobs::Step::TakeBack(_), _)
                | Command::AddPartner(_)
                | Command::ChangePartner(..)
                | Command::AddToken(..)
                | Command::RevokeToken(..)
                | Command::PutWebhook(..)
                | Command::ReplayDelivery(..)
                | Command::ReplayOnce(..)
                | Command::StartReplay(..)
                | Command::SteerReplay(..)
                | Command::Supersede(..)
                | Command::CancelDelivery(..)
                | Command::RemoveWebhook(..)
                | Command::StepRemovals(_)
                | Command::HoldEndpoint(..)
                | Command::NoteTest(_) => EMPTY,
            }
    }

    fn writes(command: &Command) -> usize {
        match command {
            Command::Named(command, _) => Self::writes(command),
            Command::Changes(many, _) => many.len(),
            Command::Attempts(attempts, _) => attempts.len(),
            Command::GiveUp(seqs, _) => seqs.len(),
            Command::Expire(step) => step.rows(),
            Command::NotePast(figures, _) => figures.len(),
            Command::StepReplay(jobs::Step::Queue { numbers, .. }, _) => numbers.len(),
            _ => 1,
        }
    }

    fn begin(&mut self) -> Tick {
        Tick {
            numbers: self.numbers,
            counts: self.counts,
            activity: self.activity,
            moved: Moved::new(),
            events: Vec::new(),
            hints: Vec::new(),
            fresh: FreshChanges::default(),
            endpoints: Vec::new(),
            endpoints_now: Vec::new(),
            registry: Some(Arc::clone(&self.registry)),
        }
    }

    fn apply(&mut self, db: &Connection, tick: &mut Tick, command: &Command) -> Result<Reply, Error> {
        command.moves_on(&mut tick.fresh);
        match command {
            Command::Named(command, caller) => {
                let reply = self.apply(db, tick, command)?;
                audit::note(db, caller, command, &reply).map(|()| reply)
            }
            Command::NoteTest(_) => Ok(Reply::Noted(())),
            Command::Change(change, now) => {
                changes::apply(db, tick, &self.codes, change, *now).map(Reply::Changed)
            }
            Command::Changes(many, now) => many
                .iter()
                .map(|one| match one {
                    Ok(change) => changes::apply(db, tick, &self.codes, change, *now),
                    Err(invalid) => Ok(Changed::Invalid(invalid.clone())),
                })
                .collect::<Result<_, _>>()
                .map(Reply::ManyChanged),
            Command::ChangeOnce(key, change, now) => {
                operator_once::change(db, tick, &self.codes, key, change, *now).map(Reply::ChangedOnce)
            }
            Command::MoveOnce(key, request, now) => {
                once::move_order(db, tick, &self.codes, key, request, *now).map(Reply::MovedOnce)
            }
            Command::Attempts(attempts, now) => {
                attempts::record(db, tick, attempts, *now).map(Reply::Attempts)
            }
            Command::GiveUp(seqs, now) => attempts::give_up(db, tick, seqs, *now).map(Reply::GivenUp),
            Command::ReplayDelivery(delivery_id, now) => {
                replays::replay_delivery(db, tick, delivery_id, *now).map(Reply::Replayed)
            }
            Command::ReplayOnce(key, delivery_id, now) => {
                once::replay(db, tick, key, delivery_id, *now).map(Reply::ReplayedOnce)
            }
            Command::StartReplay(request, now) => {
                let registry = tick.registry(db)?;
                jobs::start(db, &registry.routes, request, *now).map(Reply::ReplayStarted)
            }
            Command::StepReplay(step, now) => {
                jobs::step(db, tick, &mut self.ids, step, *now).map(Reply::ReplayStepped)
            }
            Command::SteerReplay(replay_id, steer, now) => {
                jobs::steer(db, tick, *replay_id, *steer, *now).map(Reply::ReplaySteered)
            }
            Command::Expire(step) => expiry::remove(db, tick, step).map(Reply::Expired),
            Command::HoldEndpoint(endpoint_id, hold, now) => {
                registrations::hold_endpoint(db, tick, *endpoint_id, *hold, *now).map(Reply::Held)
            }
            Command::Supersede(seq, now) => endings::supersede(db, tick, *seq, *now).map(Reply::Superseded),
            Command::CancelDelivery(delivery_id, by, now) => {
                endings::cancel_delivery(db, tick, delivery_id, by, *now).map(Reply::Cancelled)
            }
            Command::RemoveWebhook(webhook_id, by, now) => {
                endings::remove_webhook(db, tick, *webhook_id, by, *now).map(Reply::Removed)
            }
            Command::StepRemovals(now) => endings::step(db, tick, *now).map(Reply::RemovalStepped),
            Command::AddPartner(partner) => {
                registrations::add_partner(db, tick, partner).map(Reply::PartnerAdded)
            }
            Command::ChangePartner(partner_id, change, now) => {
                registrations::change_partner(db, tick, partner_id, change, *now).map(Reply::PartnerChanged)
            }
            Command::AddToken(token, now) => tokens::add(db, tick, token, *now).map(Reply::TokenAdded),
            Command::RevokeToken(token_id, now) => {
                tokens::revoke(db, tick, *token_id, *now).map(Reply::TokenRevoked)
            }
            Command::PutWebhook(webhook, now) => {
                registrations::put_webhook(db, tick, webhook, *now).map(Reply::Webhook)
            }
            Command::PutBusiness(business) => {
                registrations::put_business(db, tick, business).map(Reply::Business)
            }
            Command::NotePast(figures, now) => past::note(db, figures, *now).map(Reply::PastNoted),
        }
    }

    fn finish(&mut self, db: &Connection, tick: &mut Tick) -> Result<(), Error> {
        let registry = tick.registry(db)?;
        deliveries::form(db, tick, &registry, &mut self.ids, self.orders_per_delivery_max)?;
        for endpoint_id in std::mem::take(&mut tick.endpoints) {
            let endpoint = reads::endpoint(db, endpoint_id)?;
            let is_held = endpoint.as_ref().is_some_and(|e| e.hold.is_some());
            let settings = endpoint.map(|e| e.settings).unwrap_or_default();
            tick.endpoints_now.push((endpoint_id, is_held, settings));
        }
        if tick.counts != self.counts {
            write_totals(db, &tick.counts).map_err(failed("writing the totals"))?;
        }
        Ok(())
    }

    fn committed(&mut self, tick: Tick) {
        self.numbers = tick.numbers;
        // What changes a figure of an endpoint alone is a move, which changes no total.
        if tick.counts != self.counts || tick.activity != self.activity || !tick.moved.is_empty() {
            (self.counts, self.activity) = (tick.counts, tick.activity);
            self.published.tallied.lock().unwrap_or_else(PoisonError::into_inner).committed(
                tick.counts,
                &tick.moved,
                tick.activity,
            );
        }
        if let Some(registry) = tick.registry
            && !Arc::ptr_eq(&registry, &self.registry)
        {
            self.registry = Arc::clone(&registry);
            *self.published.registry.write().unwrap_or_else(PoisonError::into_inner) = registry;
        }
        self.published.fresh.committed(tick.fresh);
        self.published.hints.put(tick.endpoints_now, tick.hints);
    }
}

fn write_totals(db: &Connection, counts: &Counts) -> rusqlite::Result<()> {
    let Counts { orders, events, pending, delivered, dead, cancelled, superseded, attempts } = *counts;
    let totals =
        [orders, events, pending, delivered, dead, cancelled, attempts, superseded].map(|n| n as i64);
    db.prepare_cached(
        "UPDATE totals SET orders = ?1, events = ?2, pending = ?3, delivered = ?4, dead = ?5, cancelled = ?6,
         attempts = ?7, superseded = ?8",
    )?
    .execute(totals)
    .map(|_| ())
}
