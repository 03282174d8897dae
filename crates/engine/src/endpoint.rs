//! One endpoint's state: its lanes, what is ready or timed, its limits, and how far it is loaded from disk.
//!
//! What keeps an endpoint from sending is asked in one place, [`Endpoint::may_send`]; nothing here knows of other
//! endpoints.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use hookit_contract::{DeliverySeq, EndpointId, OrderId, Timestamp};

use crate::breaker::{Breaker, BreakerRules, earlier};
use crate::lanes::Lanes;
use crate::rate::Bucket;
use crate::reads::{Read, Replays};
use crate::ready::Ready;
use crate::turns::Turn;
use crate::types::{BreakerState, EndpointSettings, EndpointStats, EngineConfig, Flow, Ordering, Waiting};

/// The due time of what waits for nothing but its turn: before every clock, wherever that is set back to.
pub(crate) const AT_ONCE: Timestamp = Timestamp::from_millis(i64::MIN);

/// How long deliveries that were set aside stay so.
const ASIDE: Duration = Duration::from_secs(30);
/// Orders that may be set aside, for each place in the window. An entry is a tenth of a delivery in memory.
const ORDERS_ASIDE_PER_PLACE_MAX: usize = 4;
/// The part of the window that stays in memory when the rest is set aside.
const KEPT_PART: usize = 4;
/// The part of an endpoint's places that replays may have.
const REPLAY_PART: usize = 4;

/// A delivery in memory that waits. Small on purpose: there may be a window of them for every endpoint.
#[derive(Debug)]
pub(crate) struct Lined {
    pub(crate) endpoint: EndpointId,
    pub(crate) attempts: u32,
    pub(crate) failures: u32,
    pub(crate) orders: Box<[OrderId]>,
    /// [`AT_ONCE`], or when the retry plan has its next attempt.
    pub(crate) due: Timestamp,
    pub(crate) committed_at: Timestamp,
}

/// All that wait, of every endpoint: one index, so that no delivery can wait at two endpoints. Never iterated: its
/// order would differ from run to run.
pub(crate) type Lineup = HashMap<DeliverySeq, Lined>;

#[derive(Debug)]
pub(crate) struct Endpoint {
    /// `None` once it has gone and only what is still under way keeps it here.
    pub(crate) settings: Option<EndpointSettings>,
    /// It answered 410, and the shell has not said yet what becomes of it.
    pub(crate) disabled: bool,
    pub(crate) breaker: Breaker,
    bucket: Option<Bucket>,
    pub(crate) in_flight: usize,
    pub(crate) recording: usize,
    /// What was given up here and is not on disk as such yet.
    pub(crate) giving_up: usize,
    /// When each attempt under way began.
    pub(crate) under_way: BTreeSet<(Timestamp, DeliverySeq)>,
    /// Kept from the places that are reserved for healthy endpoints; as of the last refresh.
    pub(crate) suspect: bool,
    /// Its place in the engine's rotation.
    pub(crate) turn: Option<Turn>,
    /// The moment for which the engine has an alarm set.
    pub(crate) armed: Option<Timestamp>,

    pub(crate) lanes: Lanes,
    /// What waits here, each with an entry in the [`Lineup`].
    waiting: BTreeSet<DeliverySeq>,
    /// What was sent here, or goes on from here after its present attempt, and is not settled. Holds its lanes.
    pub(crate) busy: BTreeSet<DeliverySeq>,
    /// Everything that is due and first in its lanes is in here. So may be what was once and is not now: that is
    /// found out when it is taken, which is cheaper than keeping it exact.
    ready: Ready,
    /// Everything that is first in its lanes and not due yet, under the same reservation.
    timers: BTreeSet<(Timestamp, DeliverySeq)>,

    pub(crate) read: Read,
    /// Every pending delivery of this endpoint up to here is in memory or was set aside.
    pub(crate) loaded_through: DeliverySeq,
    /// There may be more on disk behind `loaded_through`. Always so while a read is under way.
    pub(crate) behind: bool,
    /// What was hinted since the present read was asked for: its page may have missed it. Kept, up to a page, because
    /// under steady traffic a read that only led to the next read would never end.
    pub(crate) hints: Vec<Waiting>,
    /// Something was committed since then that is not among `hints`.
    pub(crate) hints_missed: bool,
    /// When the disk is to be read from the start again, because something was set aside.
    aside_until: Option<Timestamp>,
    pub(crate) replays: Replays,
}

impl Endpoint {
    pub(crate) fn new(config: &EngineConfig, now: Timestamp) -> Self {
        Endpoint {
            settings: None,
            disabled: false,
            breaker: Breaker::new(BreakerRules::of(config), now),
            bucket: None,
            in_flight: 0,
            recording: 0,
            giving_up: 0,
            under_way: BTreeSet::new(),
            suspect: false,
            turn: None,
            armed: None,
            lanes: Lanes::default(),
            waiting: BTreeSet::new(),
            busy: BTreeSet::new(),
            ready: Ready::default(),
            timers: BTreeSet::new(),
            read: Read::Idle,
            loaded_through: DeliverySeq(0),
            behind: true,
            hints: Vec::new(),
            hints_missed: false,
            aside_until: None,
            replays: Replays::default(),
        }
    }

    /// It is to be served like this from now on.
    pub(crate) fn set(
        &mut self,
        now: Timestamp,
        settings: EndpointSettings,
        config: &EngineConfig,
        lineup: &Lineup,
    ) {
        let Some(former) = self.settings.replace(settings) else {
            // It is new, or comes back after it had gone: what was known of it may be about another host.
            self.breaker = Breaker::new(BreakerRules::of(config), now);
            self.disabled = false;
            self.bucket = settings.rate_per_second_max.map(|rate| Bucket::new(rate, now));
            return;
        };
        if settings.flow == Flow::Open && (former.flow == Flow::Held || self.disabled) {
            self.breaker.end_pause(now);
        }
        self.disabled = false;
        self.bucket = match (self.bucket.take(), settings.rate_per_second_max) {
            (_, None) => None,
            (None, Some(rate)) => Some(Bucket::new(rate, now)),
            (Some(mut bucket), Some(rate)) => {
                bucket.set_rate(rate, now);
                Some(bucket)
            }
        };
        if settings.ordering == Ordering::None && former.ordering == Ordering::PerOrder {
            for seq in self.waiting.clone() {
                if let Some(lined) = lineup.get(&seq) {
                    self.consider(now, seq, lined);
                }
            }
        }
    }

    pub(crate) fn is_flowing(&self) -> bool {
        self.settings.is_some_and(|settings| settings.flow == Flow::Open) && !self.disabled
    }

    fn in_order(&self) -> bool {
        self.settings.is_none_or(|settings| settings.ordering == Ordering::PerOrder)
    }

    /// The most that may be under way while all is well.
    pub(crate) fn in_flight_max(&self, config: &EngineConfig) -> usize {
        let own = self.settings.and_then(|settings| settings.in_flight_max);
        own.unwrap_or(config.in_flight_per_endpoint_max).max(1)
    }

    /// How many may be under way now.
    pub(crate) fn in_flight_limit(&self, config: &EngineConfig) -> usize {
        let limit = self.breaker.limit(self.in_flight_max(config));
        if self.suspect && !self.breaker.is_ripe() { limit.min(config.suspect_in_flight_max) } else { limit }
    }

    /// Whether it would take part in the rotation now.
    pub(crate) fn may_send(&self, now: Timestamp, config: &EngineConfig) -> bool {
        self.would_send(config) && self.bucket.as_ref().is_none_or(|bucket| bucket.has_one(now))
    }

    fn would_send(&self, config: &EngineConfig) -> bool {
        self.is_flowing()
            && self.in_flight < self.in_flight_limit(config)
            && self
                .ready
                .lowest()
                .is_some_and(|lowest| lowest.replay().is_none() || self.replay_has_place(config))
    }

    /// Whether another replay may be under way: most places are kept for what is fresh; and while some of that is on disk
    /// only, nobody can say whether a replay would overtake it.
    fn replay_has_place(&self, config: &EngineConfig) -> bool {
        !self.behind
            && self.lanes.orders_aside() == 0
            && self.replays.in_flight < (self.in_flight_limit(config) / REPLAY_PART).max(1)
    }

    /// Whether there is reason to think that what is sent there does not come to a good end soon.
    pub(crate) fn looks_suspect(&self, now: Timestamp, config: &EngineConfig) -> bool {
        self.breaker.failures_in_a_row() >= config.suspect_after_failures
            || self.under_way.first().is_some_and(|&(began, _)| now.since(began) >= config.slow_after)
    }

    /// Whether it may have one of the last places: neither suspect, nor with as much under way as would be too much
    /// if it were to become suspect now.
    pub(crate) fn is_modest(&self, config: &EngineConfig) -> bool {
        !self.suspect && self.in_flight < config.suspect_in_flight_max
    }

    /// Takes the lowest delivery that is due and first in its lanes out of the ready ones; where the
    /// endpoint has to prove itself, the lowest that speaks for it.
    pub(crate) fn take_ready(&mut self, config: &EngineConfig, lineup: &Lineup) -> Option<DeliverySeq> {
        loop {
            let mut seq = match self.breaker.clean_first_after() {
                Some(after) => self.ready.clean_first(after)?,
                None => self.ready.lowest()?,
            };
            if seq.replay().is_some() && !self.replay_has_place(config) {
                seq = self.ready.lowest().filter(|lowest| lowest.replay().is_none())?;
            }
            self.ready.remove(seq);
            if self.has_turn(seq, lineup) {
                return Some(seq);
            }
        }
    }

    /// The lowest delivery that waits for nothing but that the endpoint may be sent to.
    pub(crate) fn lowest_ready(&mut self, lineup: &Lineup) -> Option<DeliverySeq> {
        loop {
            let seq = self.ready.lowest()?;
            if self.has_turn(seq, lineup) {
                return Some(seq);
            }
            self.ready.remove(seq);
        }
    }

    fn has_turn(&self, seq: DeliverySeq, lineup: &Lineup) -> bool {
        lineup.get(&seq).is_some_and(|lined| self.is_first(seq, &lined.orders))
    }

    fn is_first(&self, seq: DeliverySeq, orders: &[OrderId]) -> bool {
        !self.in_order() || self.lanes.is_first(seq, orders)
    }

    /// Puts a delivery in line. The caller puts it into the [`Lineup`].
    pub(crate) fn line_up(&mut self, now: Timestamp, seq: DeliverySeq, lined: &Lined) {
        self.waiting.insert(seq);
        self.replays.waiting += usize::from(seq.replay().is_some());
        self.lanes.join(seq, &lined.orders);
        self.consider(now, seq, lined);
    }

    /// Takes a delivery out of line. Who is next in its lanes is for the caller to consider.
    pub(crate) fn step_out(&mut self, seq: DeliverySeq, lined: &Lined) {
        self.waiting.remove(&seq);
        self.replays.waiting -= usize::from(seq.replay().is_some());
        self.lanes.leave(seq, &lined.orders);
        self.ready.remove(seq);
        self.timers.remove(&(lined.due, seq));
    }

    /// Lets the first delivery in each of these lanes have its turn, now that something before it has gone.
    pub(crate) fn consider_firsts(&mut self, now: Timestamp, orders: &[OrderId], lineup: &Lineup) {
        for &order in orders {
            if let Some(seq) = self.lanes.first(order)
                && let Some(lined) = lineup.get(&seq)
            {
                self.consider(now, seq, lined);
            }
        }
    }

    fn consider(&mut self, now: Timestamp, seq: DeliverySeq, lined: &Lined) {
        if !self.is_first(seq, &lined.orders) {
            return;
        }
        if lined.due <= now {
            self.ready.insert(seq, lined.failures > 0);
        } else if !self.ready.contains(seq) {
            // What was ready stays ready when the clock steps back.
            self.timers.insert((lined.due, seq));
        }
    }

    /// Forgets all that waits and where the disk was read to. What is busy goes on holding its lanes.
    pub(crate) fn forget(&mut self, lineup: &mut Lineup) {
        for seq in std::mem::take(&mut self.waiting) {
            lineup.remove(&seq);
        }
        self.lanes.clear_lines();
        self.ready.clear();
        self.timers.clear();
        self.loaded_through = DeliverySeq(0);
        self.behind = true;
        self.hints.clear();
        self.hints_missed = false;
        self.aside_until = None;
        self.replays.forget();
    }

    /// Whether a delivery that the disk shows must stay there, because one before it in its lanes did. Its place is
    /// kept then.
    pub(crate) fn leaves_on_disk(&mut self, now: Timestamp, seq: DeliverySeq, orders: &[OrderId]) -> bool {
        let leaves = self.in_order() && self.lanes.has_aside(orders);
        if leaves {
            self.set_aside(now, seq, orders);
        }
        leaves
    }

    fn set_aside(&mut self, now: Timestamp, seq: DeliverySeq, orders: &[OrderId]) {
        self.lanes.set_aside(seq, orders);
        self.aside_until.get_or_insert_with(|| now.plus(ASIDE));
    }

    /// Where everything in a full window has failed, or waits behind something that has, and there is more on disk:
    /// leaves all but the lowest of that on disk, so that newer orders come into memory. They would have to wait
    /// otherwise until the old ones have used up their plans, and an endpoint that is thought to be down would only
    /// ever be probed with what fails.
    pub(crate) fn make_way(&mut self, now: Timestamp, config: &EngineConfig, lineup: &mut Lineup) {
        let nothing_goes = match self.breaker.state() {
            BreakerState::Closed => self.ready.is_empty() && self.in_flight < self.in_flight_limit(config),
            // Whatever is ready is about to be the probe.
            BreakerState::Open { .. } if self.breaker.is_ripe() => self.ready.is_empty(),
            BreakerState::Open { .. } | BreakerState::Probing => !self.ready.has_clean(),
            BreakerState::Recovering => {
                !self.ready.has_clean() && self.in_flight < self.in_flight_limit(config)
            }
        };
        let stuck = nothing_goes
            && self.behind
            && self.read == Read::Idle
            && self.is_flowing()
            && !self.wants_read(config.window_max)
            && !self.aside_is_full(config.window_max);
        if !stuck {
            return;
        }
        while self.waiting.len() > (config.window_max / KEPT_PART).max(1) {
            let Some(seq) = self.waiting.pop_last() else { return };
            let Some(lined) = lineup.remove(&seq) else { continue };
            self.step_out(seq, &lined);
            self.set_aside(now, seq, &lined.orders);
        }
    }

    /// Whether what was set aside is to be looked at again: some time has passed, or most of what was kept instead
    /// has gone.
    pub(crate) fn wants_back_what_is_aside(&self, now: Timestamp, window_max: usize) -> bool {
        let drained = !self.behind && self.waiting.len() < window_max / KEPT_PART / 2;
        self.aside_until.is_some_and(|until| until <= now || drained)
    }

    fn aside_is_full(&self, window_max: usize) -> bool {
        self.lanes.orders_aside() >= window_max.saturating_mul(ORDERS_ASIDE_PER_PLACE_MAX)
    }

    /// Lets go off what has fallen due.
    pub(crate) fn time_passed(&mut self, now: Timestamp) {
        while let Some(&(due, seq)) = self.timers.first()
            && due <= now
        {
            self.timers.pop_first();
            self.ready.insert(seq, true);
        }
        self.breaker.time_passed(now);
        self.read.time_passed(now);
        self.replays.read.time_passed(now);
    }

    /// When [`Endpoint::time_passed`] has something to do, or one of the answers given here changes by itself.
    pub(crate) fn next_alarm(&self, now: Timestamp, config: &EngineConfig) -> Option<Timestamp> {
        let due = self.timers.first().map(|&(due, _)| due);
        let slow =
            self.under_way.first().map(|&(began, _)| began.plus(config.slow_after)).filter(|&at| at > now);
        let rate =
            self.bucket.as_ref().filter(|_| self.would_send(config)).and_then(|bucket| bucket.next_at(now));
        let (read, replays_read) = (self.read.alarm(), self.replays.read.alarm());
        let alarms = [due, read, replays_read, slow, rate, self.breaker.alarm(), self.aside_until];
        alarms.into_iter().flatten().min()
    }

    /// The clock was set back: pauses stay as long as they were. Retries have a time of day, and keep it where it is not
    /// behind the latest that there can be.
    pub(crate) fn clock_set_back(&mut self, by: Duration, latest_due: Timestamp, lineup: &mut Lineup) {
        for &seq in &self.waiting {
            if let Some(lined) = lineup.get_mut(&seq).filter(|lined| lined.due > latest_due) {
                if self.timers.remove(&(lined.due, seq)) {
                    self.timers.insert((latest_due, seq));
                }
                lined.due = latest_due;
            }
        }
        self.breaker.clock_set_back(by);
        if let Some(bucket) = &mut self.bucket {
            bucket.clock_set_back(by);
        }
        for read in [&mut self.read, &mut self.replays.read] {
            if let Read::Failed { until } = read {
                *until = earlier(*until, by);
            }
        }
        self.aside_until = self.aside_until.map(|until| earlier(until, by));
        self.under_way = self.under_way.iter().map(|&(began, seq)| (earlier(began, by), seq)).collect();
    }

    /// An attempt begins.
    pub(crate) fn sent(&mut self, now: Timestamp, seq: DeliverySeq) {
        self.in_flight += 1;
        self.replays.in_flight += usize::from(seq.replay().is_some());
        self.under_way.insert((now, seq));
        self.breaker.sent(now, seq);
        if let Some(bucket) = &mut self.bucket {
            bucket.take_one(now, seq);
        }
    }

    /// An attempt has ended, and what it means is being recorded.
    pub(crate) fn ended(&mut self, seq: DeliverySeq) {
        self.in_flight -= 1;
        self.replays.in_flight -= usize::from(seq.replay().is_some());
        self.recording += 1;
        if let Some(bucket) = &mut self.bucket {
            bucket.used(seq);
        }
        // By number, because the beginnings move with the clock. There are never more than are in flight.
        self.under_way.retain(|&(_, other)| other != seq);
    }

    /// What was about to be sent was not: no attempt has begun.
    pub(crate) fn not_sent(&mut self, now: Timestamp, seq: DeliverySeq) {
        self.breaker.not_sent(now, seq);
        if let Some(bucket) = &mut self.bucket {
            bucket.give_back(now, seq);
        }
        self.ended(seq);
    }

    /// How many more deliveries may be taken into memory.
    pub(crate) fn room(&self, window_max: usize) -> usize {
        if self.aside_is_full(window_max) {
            return 0;
        }
        // Replays have room of their own: what is fresh does not wait on disk for them.
        window_max.saturating_sub(self.waiting.len() - self.replays.waiting + self.busy.len())
    }

    /// Whether it is time to read on. Not for every delivery that leaves, but once half the window is free.
    pub(crate) fn wants_read(&self, window_max: usize) -> bool {
        self.settings.is_some()
            && self.behind
            && self.read == Read::Idle
            && self.room(window_max) >= window_max.div_ceil(2)
    }

    /// Whether it is time to read on among its replays.
    pub(crate) fn wants_replays(&self) -> bool {
        self.settings.is_some() && self.replays.wants_read()
    }

    /// True where it has gone and nothing under way refers to it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.settings.is_none()
            && self.busy.is_empty()
            && self.turn.is_none()
            && ![self.read, self.replays.read].iter().any(Read::is_to_be_answered)
    }

    pub(crate) fn stats(&self, config: &EngineConfig) -> EndpointStats {
        EndpointStats {
            waiting: self.waiting.len(),
            in_flight: self.in_flight,
            recording: self.recording,
            more_on_disk: self.behind || self.replays.behind || self.lanes.orders_aside() > 0,
            orders_set_aside: self.lanes.orders_aside(),
            next_due: self.timers.first().map(|&(due, _)| due),
            breaker: self.breaker.state(),
            breaker_since: self.breaker.since(),
            failures_in_a_row: self.breaker.failures_in_a_row(),
            in_flight_limit: if self.breaker.is_ripe() { 1 } else { self.in_flight_limit(config) },
            suspect: self.suspect,
        }
    }
}
