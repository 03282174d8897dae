//! The engine itself: takes an input, changes the state, says what to do.
//!
//! Every input ends the same way: each endpoint that it touched is brought up to date ([`Engine::refresh`]), then
//! whatever may be sent is sent ([`Engine::send_ready`]). An input that the state has no use for changes nothing.

mod loading;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use hookit_contract::{DeliverySeq, EndpointId, OrderId, Timestamp};

use crate::breaker::{End, Sign};
use crate::endpoint::{AT_ONCE, Endpoint, Lined, Lineup};
use crate::reads::{REPLAYS_PER_READ, Read, ReadLog, Settled};
use crate::retry::delay_floor;
use crate::turns::Turns;
use crate::types::{Action, EndpointSettings, EndpointStats, EngineConfig, Flow, Input, NotSent, Verdict};

/// How long a read that failed waits before it is made again.
const READ_RETRY: Duration = Duration::from_secs(1);
/// Deliveries of one endpoint that are being given up without an attempt at a time. A whole backlog may grow too old
/// at once, and the store has better things to do than that.
const GIVING_UP_MAX: usize = 64;

/// Decides for one shard which delivery is sent when. See the head of the crate.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    /// The moment of the present input.
    now: Timestamp,
    endpoints: BTreeMap<EndpointId, Endpoint>,
    lineup: Lineup,
    busy: BTreeMap<DeliverySeq, Busy>,
    /// Attempts under way to all endpoints.
    in_flight: usize,
    /// Endpoints that may have something to send.
    turns: Turns,
    /// Each endpoint's next alarm.
    alarms: BTreeSet<(Timestamp, EndpointId)>,
    reads: ReadLog,
    /// The highest number that any hint or page has shown. Numbers are committed in their order, so a read that is
    /// asked for now sees everything up to here.
    seen_through: DeliverySeq,
    stopping: bool,
}

/// A delivery that is in flight or being recorded.
#[derive(Debug)]
struct Busy {
    orders: Box<[OrderId]>,
    attempts: u32,
    failures: u32,
    committed_at: Timestamp,
    /// Where the present attempt goes.
    sent_to: EndpointId,
    /// Where the next attempt goes. `None` while that is for the disk to say: its endpoint has gone or is read anew.
    home: Option<EndpointId>,
    /// Given once the attempt has ended; to be recorded.
    verdict: Option<Verdict>,
    /// When it may go again, where it goes again.
    due_again: Timestamp,
    /// There is no attempt: it is being given up.
    given_up: bool,
    /// Its endpoint was forgotten while it was busy and no page has shown it since, so a page may yet.
    adrift: bool,
}

impl Engine {
    /// An engine that knows of no endpoint yet.
    pub fn new(mut config: EngineConfig) -> Self {
        for limit in [
            &mut config.in_flight_per_endpoint_max,
            &mut config.in_flight_max,
            &mut config.window_max,
            &mut config.page_size,
            &mut config.suspect_in_flight_max,
        ] {
            *limit = (*limit).max(1);
        }
        for pause in [&mut config.probe_pause_min, &mut config.probe_pause_max, &mut config.slow_after] {
            *pause = (*pause).max(Duration::from_millis(1));
        }
        Engine {
            config,
            now: AT_ONCE,
            endpoints: BTreeMap::new(),
            lineup: HashMap::new(),
            busy: BTreeMap::new(),
            in_flight: 0,
            turns: Turns::default(),
            alarms: BTreeSet::new(),
            reads: ReadLog::default(),
            seen_through: DeliverySeq(0),
            stopping: false,
        }
    }

    /// Takes an input and appends to `actions` what is to be done about it, in that order.
    ///
    /// Every action is safe to lose in a crash: nothing was promised that the disk does not show.
    pub fn handle(&mut self, now: Timestamp, input: Input, actions: &mut Vec<Action>) {
        self.clock_shows(now, actions);
        self.time_passed(actions);
        match input {
            Input::Endpoint { endpoint, settings } => self.endpoint_is(endpoint, settings, actions),
            Input::EndpointGone { endpoint } => self.endpoint_gone(endpoint, actions),
            Input::Committed(deliveries) => self.committed(deliveries, actions),
            Input::HintsLost => self.hints_lost(actions),
            Input::Reread { endpoint } => self.reread(endpoint, actions),
            Input::Page { endpoint, after, deliveries, end } => {
                self.page(endpoint, after, deliveries, end, actions);
            }
            Input::ReadFailed { endpoint, after } => self.read_failed(endpoint, after, actions),
            Input::Attempted { seq, outcome, status, retry_after, jitter } => {
                let floor = delay_floor(status, retry_after);
                self.attempted(seq, Sign::of(outcome, status), floor, jitter, actions);
            }
            Input::NotSent { seq, why } => self.not_sent(seq, why, actions),
            Input::Recorded { seq } => self.recorded(seq, actions),
            Input::TimePassed => {}
            Input::Stopping => self.stopping = true,
        }
        self.send_ready(actions);
    }

    /// When the engine next wants to be told that time has passed, if nothing else happens.
    pub fn next_due(&self) -> Option<Timestamp> {
        if self.stopping {
            return None;
        }
        self.alarms.first().map(|&(at, _)| at)
    }

    /// Attempts under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// True where no attempt is under way and no verdict is being recorded.
    pub fn is_quiet(&self) -> bool {
        self.busy.is_empty()
    }

    /// How an endpoint stands; `None` for one that is not known or has gone.
    pub fn endpoint_stats(&self, endpoint: EndpointId) -> Option<EndpointStats> {
        self.endpoints.get(&endpoint).filter(|e| e.settings.is_some()).map(|e| e.stats(&self.config))
    }

    /// How all endpoints stand, by id.
    pub fn all_endpoint_stats(&self) -> impl Iterator<Item = (EndpointId, EndpointStats)> {
        let known = self.endpoints.iter().filter(|(_, e)| e.settings.is_some());
        known.map(|(id, e)| (*id, e.stats(&self.config)))
    }

    /// Takes the time. Where the clock was set back, everything that waits for a while, and not for a time of day,
    /// is set back with it; otherwise a pause of seconds could become one of hours.
    fn clock_shows(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let back = self.now.since(now);
        self.now = now;
        if !back.is_zero() {
            let ids: Vec<EndpointId> = self.endpoints.keys().copied().collect();
            let latest = self.latest_due();
            for id in ids {
                if let Some(endpoint) = self.endpoints.get_mut(&id) {
                    endpoint.clock_set_back(back, latest, &mut self.lineup);
                }
                self.refresh(id, actions);
            }
        }
    }

    fn time_passed(&mut self, actions: &mut Vec<Action>) {
        let mut due = Vec::new();
        while let Some(&(at, id)) = self.alarms.first()
            && at <= self.now
        {
            self.alarms.pop_first();
            due.push(id);
        }
        // Each of them once, whatever alarm it sets next.
        for id in due {
            if let Some(endpoint) = self.endpoints.get_mut(&id) {
                endpoint.armed = None;
                endpoint.time_passed(self.now);
            }
            self.refresh(id, actions);
        }
    }

    fn endpoint_is(&mut self, id: EndpointId, settings: EndpointSettings, actions: &mut Vec<Action>) {
        let endpoint = self.endpoints.entry(id).or_insert_with(|| Endpoint::new(&self.config, self.now));
        endpoint.set(self.now, settings, &self.config, &self.lineup);
        self.refresh(id, actions);
    }

    fn endpoint_gone(&mut self, id: EndpointId, actions: &mut Vec<Action>) {
        self.forget(id);
        if let Some(endpoint) = self.endpoints.get_mut(&id) {
            endpoint.settings = None;
        }
        self.refresh(id, actions);
    }

    fn reread(&mut self, id: EndpointId, actions: &mut Vec<Action>) {
        self.forget(id);
        self.refresh(id, actions);
    }

    fn attempted(
        &mut self,
        seq: DeliverySeq,
        sign: Sign,
        floor: Duration,
        jitter: f64,
        actions: &mut Vec<Action>,
    ) {
        let Some(busy) = self.busy.get_mut(&seq).filter(|b| b.verdict.is_none()) else { return };
        // It is busy, so the endpoint that it was sent to is still here.
        let Some(endpoint) = self.endpoints.get_mut(&busy.sent_to) else { return };
        let in_flight_max = endpoint.in_flight_max(&self.config);
        let end = End { seq, orders: &busy.orders, sign, floor, jitter };
        let counted = endpoint.breaker.ended(self.now, end, in_flight_max);
        endpoint.ended(seq);
        self.in_flight -= 1;
        if sign == Sign::Gone
            && !endpoint.disabled
            && endpoint.settings.is_some_and(|settings| settings.flow == Flow::Open)
        {
            endpoint.disabled = true;
            actions.push(Action::Disable { endpoint: busy.sent_to });
        }

        busy.attempts = busy.attempts.saturating_add(1);
        busy.failures = busy.failures.saturating_add(u32::from(counted));
        let too_old = self.now.since(busy.committed_at) >= self.config.hold_time;
        let delay =
            if counted { self.config.retry.next(busy.failures, jitter) } else { Some(Duration::ZERO) };
        let verdict = match delay {
            _ if sign == Sign::Acknowledged => Verdict::Delivered,
            Some(delay) if !too_old => Verdict::RetryAt { at: self.now.plus(delay.max(floor)), counted },
            Some(_) | None => Verdict::Dead,
        };
        busy.due_again = match verdict {
            // The breaker alone decides when, unless the answer itself asked for a pause: once the endpoint is back
            // that is this delivery's to keep.
            Verdict::RetryAt { counted: false, .. } if floor.is_zero() => AT_ONCE,
            Verdict::RetryAt { at, .. } => at,
            Verdict::Delivered | Verdict::Dead => AT_ONCE,
        };
        busy.verdict = Some(verdict);
        let (attempt, sent_to) = (busy.attempts, busy.sent_to);
        actions.push(Action::Record { seq, attempt, verdict });
        self.refresh(sent_to, actions);
    }

    fn not_sent(&mut self, seq: DeliverySeq, why: NotSent, actions: &mut Vec<Action>) {
        let Some(busy) = self.busy.get_mut(&seq).filter(|b| b.verdict.is_none()) else { return };
        let Some(endpoint) = self.endpoints.get_mut(&busy.sent_to) else { return };
        endpoint.not_sent(self.now, seq);
        self.in_flight -= 1;
        // From here on as if an attempt had been recorded, but for there having been none.
        busy.verdict = Some(match why {
            NotSent::Moved | NotSent::Withheld => Verdict::RetryAt { at: self.now, counted: false },
            NotSent::Ended => Verdict::Delivered,
        });
        self.recorded(seq, actions);
    }

    fn recorded(&mut self, seq: DeliverySeq, actions: &mut Vec<Action>) {
        let Some(verdict) = self.busy.get(&seq).and_then(|b| b.verdict) else { return };
        let Some(busy) = self.busy.remove(&seq) else { return };
        let Busy { orders, attempts, failures, committed_at, sent_to, home, .. } = busy;
        let settled = match verdict {
            Verdict::Delivered | Verdict::Dead => Settled::Final,
            Verdict::RetryAt { .. } => Settled::Again { attempts, failures, due: busy.due_again },
        };
        if busy.adrift {
            self.reads.note(seq, settled);
        }
        // Back into line before the lanes are let go, so that nobody behind it is considered first.
        if let (Settled::Again { attempts, failures, due }, Some(endpoint)) = (settled, home) {
            let lined = Lined { endpoint, attempts, failures, orders: orders.clone(), due, committed_at };
            self.line_up(seq, lined);
        }
        if let Some(endpoint) = self.endpoints.get_mut(&sent_to) {
            endpoint.recording -= 1;
            endpoint.giving_up -= usize::from(busy.given_up);
        }
        self.let_go(sent_to, seq, &orders, actions);
        if let Some(home) = home.filter(|&home| home != sent_to) {
            self.let_go(home, seq, &orders, actions);
        }
    }

    /// Nothing that waits falls due later than this; what says so was planned by a clock that was ahead.
    fn latest_due(&self) -> Timestamp {
        self.now.plus(self.config.retry.longest_pause())
    }

    fn line_up(&mut self, seq: DeliverySeq, mut lined: Lined) {
        lined.due = lined.due.min(self.latest_due());
        if let Some(endpoint) = self.endpoints.get_mut(&lined.endpoint) {
            endpoint.line_up(self.now, seq, &lined);
            self.lineup.insert(seq, lined);
        }
    }

    /// A delivery is no longer busy at this endpoint: its lanes go to whoever is next.
    fn let_go(&mut self, id: EndpointId, seq: DeliverySeq, orders: &[OrderId], actions: &mut Vec<Action>) {
        if let Some(endpoint) = self.endpoints.get_mut(&id) {
            endpoint.busy.remove(&seq);
            endpoint.lanes.release(seq, orders);
            endpoint.consider_firsts(self.now, orders, &self.lineup);
        }
        self.refresh(id, actions);
    }

    /// Brings an endpoint up to date after a change: makes way in its window, asks for a read, gives up what is too
    /// old, takes its place in the rotation, sets its alarm, or disappears.
    fn refresh(&mut self, id: EndpointId, actions: &mut Vec<Action>) {
        let Some(endpoint) = self.endpoints.get(&id) else { return };
        if !self.stopping && endpoint.wants_back_what_is_aside(self.now, self.config.window_max) {
            self.forget(id);
        }
        let too_old_at = self.give_up_too_old(id, actions);
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        endpoint.suspect = endpoint.looks_suspect(self.now, &self.config);

        if !self.stopping {
            endpoint.make_way(self.now, &self.config, &mut self.lineup);
        }
        if !self.stopping && endpoint.wants_read(self.config.window_max) {
            let after = endpoint.loaded_through;
            let limit = self.config.page_size.min(endpoint.room(self.config.window_max));
            endpoint.read = Read::UnderWay { after, no: self.reads.begin(), sees_through: self.seen_through };
            endpoint.hints.clear();
            endpoint.hints_missed = false;
            actions.push(Action::ReadPending { endpoint: id, after, limit });
        }
        if !self.stopping && endpoint.wants_replays() {
            let after = endpoint.replays.loaded_through;
            let read = Read::UnderWay { after, no: self.reads.begin(), sees_through: after };
            endpoint.replays.read = read;
            // Whatever is hinted from now on may be missing on the page.
            endpoint.replays.behind = false;
            let limit = REPLAYS_PER_READ;
            actions.push(Action::ReadPending { endpoint: id, after, limit });
        }
        let modest = endpoint.is_modest(&self.config);
        endpoint.turn = match endpoint.turn {
            Some(turn) => Some(self.turns.mark(turn, modest)),
            None if endpoint.may_send(self.now, &self.config) => Some(self.turns.join(id, modest)),
            None => None,
        };
        let over = endpoint.is_over();
        let alarm = endpoint.next_alarm(self.now, &self.config).into_iter().chain(too_old_at).min();
        let alarm = alarm.filter(|_| !over && !self.stopping);
        if endpoint.armed != alarm {
            if let Some(at) = endpoint.armed {
                self.alarms.remove(&(at, id));
            }
            if let Some(at) = alarm {
                self.alarms.insert((at, id));
            }
            endpoint.armed = alarm;
        }
        if over {
            self.endpoints.remove(&id);
        }
    }

    /// Gives up what has outlived the hold time at an endpoint that is down. Looks only at what is ready, lowest
    /// first: the rest is behind that, or has a retry of its own to wait for, which will say so in time. Returns when
    /// there is something to be done again.
    fn give_up_too_old(&mut self, id: EndpointId, actions: &mut Vec<Action>) -> Option<Timestamp> {
        let endpoint = self.endpoints.get_mut(&id)?;
        while !self.stopping
            && endpoint.breaker.is_down()
            && endpoint.is_flowing()
            && endpoint.giving_up < GIVING_UP_MAX
        {
            let seq = endpoint.lowest_ready(&self.lineup)?;
            let too_old_at = self.lineup.get(&seq)?.committed_at.plus(self.config.hold_time);
            if too_old_at > self.now {
                return Some(too_old_at);
            }
            let lined = self.lineup.remove(&seq)?;
            endpoint.step_out(seq, &lined);
            endpoint.lanes.hold(seq, &lined.orders);
            endpoint.busy.insert(seq);
            endpoint.recording += 1;
            endpoint.giving_up += 1;
            let busy = Busy { verdict: Some(Verdict::Dead), given_up: true, ..Busy::of(lined) };
            self.busy.insert(seq, busy);
            actions.push(Action::GiveUp { seq });
        }
        None
    }

    /// Gives the endpoints their turns while there is room for another attempt.
    ///
    /// The last quarter of all places is for the modest only. An endpoint that hangs is found out after a while, and
    /// many that begin to hang at once could have taken every place by then.
    fn send_ready(&mut self, actions: &mut Vec<Action>) {
        let places = self.config.in_flight_max;
        let for_all = (places - places.div_ceil(4)).max(1);
        while !self.stopping && self.in_flight < places {
            let Some(id) = self.turns.next(self.in_flight >= for_all) else { return };
            if let Some(endpoint) = self.endpoints.get_mut(&id) {
                endpoint.turn = None;
                if endpoint.may_send(self.now, &self.config)
                    && let Some(seq) = endpoint.take_ready(&self.config, &self.lineup)
                {
                    self.send(seq, actions);
                }
            }
            self.refresh(id, actions);
        }
    }

    fn send(&mut self, seq: DeliverySeq, actions: &mut Vec<Action>) {
        let Some(lined) = self.lineup.remove(&seq) else { return };
        let id = lined.endpoint;
        if let Some(endpoint) = self.endpoints.get_mut(&id) {
            endpoint.step_out(seq, &lined);
            endpoint.lanes.hold(seq, &lined.orders);
            endpoint.busy.insert(seq);
            endpoint.sent(self.now, seq);
        }
        self.in_flight += 1;
        actions.push(Action::Send { seq, endpoint: id, attempt: lined.attempts.saturating_add(1) });
        self.busy.insert(seq, Busy::of(lined));
    }
}

impl Busy {
    fn of(lined: Lined) -> Self {
        let Lined { endpoint, attempts, failures, orders, due: _, committed_at } = lined;
        Busy {
            orders,
            attempts,
            failures,
            committed_at,
            sent_to: endpoint,
            home: Some(endpoint),
            verdict: None,
            due_again: AT_ONCE,
            given_up: false,
            adrift: false,
        }
    }
}
