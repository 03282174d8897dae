//! The engine itself: takes an input, changes the state, says what to do.
//!
//! Every input ends the same way: each endpoint that it touched is brought up to date ([`Engine::refresh`]), then
//! whatever may be sent is sent ([`Engine::send_ready`]). An input that the state has no use for changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use hookit_contract::{AttemptOutcome, DeliverySeq, EndpointId, OrderId, Timestamp};

use crate::endpoint::{Endpoint, Lined, Lineup};
use crate::reads::{Read, ReadLog, ReadNo, Settled};
use crate::retry::delay_floor;
use crate::types::{Action, EndpointStats, EngineConfig, Flow, Input, Verdict, Waiting};

/// How long a read that failed waits before it is made again.
const READ_RETRY: Duration = Duration::from_secs(1);

/// Decides for one shard which delivery is sent when. See the head of the crate.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    endpoints: BTreeMap<EndpointId, Endpoint>,
    lineup: Lineup,
    busy: BTreeMap<DeliverySeq, Busy>,
    /// Attempts under way to all endpoints.
    in_flight: usize,
    /// Endpoints that may have something to send, in the order in which they get a turn: one delivery a turn, so
    /// that a backlog takes no more of the free room than anybody else's single delivery.
    turns: VecDeque<EndpointId>,
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
    /// Where the present attempt goes.
    sent_to: EndpointId,
    /// Where the next attempt goes. `None` while that is for the disk to say: its endpoint has gone or is read anew.
    home: Option<EndpointId>,
    /// Given once the attempt has ended; to be recorded.
    verdict: Option<Verdict>,
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
        ] {
            *limit = (*limit).max(1);
        }
        Engine {
            config,
            endpoints: BTreeMap::new(),
            lineup: HashMap::new(),
            busy: BTreeMap::new(),
            in_flight: 0,
            turns: VecDeque::new(),
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
        self.time_passed(now, actions);
        match input {
            Input::Endpoint { endpoint, flow } => self.endpoint_is(endpoint, flow, actions),
            Input::EndpointGone { endpoint } => self.endpoint_gone(endpoint, actions),
            Input::Committed(deliveries) => self.committed(now, deliveries, actions),
            Input::HintsLost => self.hints_lost(actions),
            Input::Reread { endpoint } => self.reread(endpoint, actions),
            Input::Page { endpoint, after, deliveries, end } => {
                self.page(now, endpoint, after, deliveries, end, actions);
            }
            Input::ReadFailed { endpoint } => self.read_failed(now, endpoint, actions),
            Input::Attempted { seq, outcome, status, retry_after, jitter } => {
                let floor = delay_floor(status, retry_after);
                self.attempted(now, seq, outcome, floor, jitter, actions);
            }
            Input::Recorded { seq } => self.recorded(now, seq, actions),
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
        self.endpoints.get(&endpoint).filter(|e| e.flow.is_some()).map(Endpoint::stats)
    }

    fn time_passed(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        while let Some(&(at, id)) = self.alarms.first()
            && at <= now
        {
            self.alarms.pop_first();
            if let Some(endpoint) = self.endpoints.get_mut(&id) {
                endpoint.armed = None;
                endpoint.time_passed(now);
            }
            self.refresh(id, actions);
        }
    }

    fn endpoint_is(&mut self, id: EndpointId, flow: Flow, actions: &mut Vec<Action>) {
        let in_flight_max = self.config.in_flight_per_endpoint_max;
        let endpoint = self.endpoints.entry(id).or_insert_with(|| Endpoint::new(flow, in_flight_max));
        endpoint.flow = Some(flow);
        self.refresh(id, actions);
    }

    fn endpoint_gone(&mut self, id: EndpointId, actions: &mut Vec<Action>) {
        self.forget(id);
        if let Some(endpoint) = self.endpoints.get_mut(&id) {
            endpoint.flow = None;
        }
        self.refresh(id, actions);
    }

    fn reread(&mut self, id: EndpointId, actions: &mut Vec<Action>) {
        self.forget(id);
        self.refresh(id, actions);
    }

    fn committed(&mut self, now: Timestamp, deliveries: Vec<Waiting>, actions: &mut Vec<Action>) {
        for delivery in deliveries {
            self.seen_through = self.seen_through.max(delivery.seq);
            self.hinted(now, delivery, actions);
        }
    }

    fn hinted(&mut self, now: Timestamp, delivery: Waiting, actions: &mut Vec<Action>) {
        let (id, seq) = (delivery.endpoint, delivery.seq);
        // An endpoint that is not known yet will be read from the start, and this delivery with it.
        let Some(endpoint) = self.endpoints.get_mut(&id).filter(|e| e.flow.is_some()) else { return };
        if let Read::UnderWay { .. } = endpoint.read {
            if endpoint.hints_missed || endpoint.hints.len() >= self.config.page_size {
                endpoint.hints_missed = true;
            } else {
                endpoint.hints.push(delivery);
            }
        } else if endpoint.behind || seq <= endpoint.loaded_through {
            // The next read will bring it, or the last one was faster than the hint.
        } else if endpoint.room(self.config.window_max) == 0 {
            endpoint.behind = true;
        } else {
            endpoint.loaded_through = seq;
            self.admit(now, id, delivery, None, actions);
            self.refresh(id, actions);
        }
    }

    fn hints_lost(&mut self, actions: &mut Vec<Action>) {
        let ids: Vec<EndpointId> = self.endpoints.keys().copied().collect();
        for id in ids {
            if let Some(endpoint) = self.endpoints.get_mut(&id) {
                endpoint.behind = true;
                endpoint.hints_missed = true;
            }
            self.refresh(id, actions);
        }
    }

    fn page(
        &mut self,
        now: Timestamp,
        id: EndpointId,
        after: DeliverySeq,
        mut deliveries: Vec<Waiting>,
        end: bool,
        actions: &mut Vec<Action>,
    ) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        let (no, sees_through) = match endpoint.read {
            Read::UnderWay { after: asked, no, sees_through } if asked == after => (no, sees_through),
            Read::Superseded { after: asked } if asked == after => {
                endpoint.read = Read::Idle;
                self.refresh(id, actions);
                return;
            }
            Read::Idle | Read::UnderWay { .. } | Read::Superseded { .. } | Read::Failed { .. } => return,
        };
        if self.stopping {
            return;
        }
        if deliveries.is_empty() && !end {
            // No progress: asking again at once would ask for ever.
            self.read_failed(now, id, actions);
            return;
        }
        deliveries.sort_by_key(|delivery| delivery.seq);
        let mut through = after;
        let mut all = true;
        for delivery in deliveries {
            if delivery.seq <= through {
                continue;
            }
            // A page longer than was asked for must not break the window; the rest is read again.
            if self.endpoints.get(&id).is_none_or(|e| e.room(self.config.window_max) == 0) {
                all = false;
                break;
            }
            through = delivery.seq;
            self.admit(now, id, delivery, Some(no), actions);
        }
        self.reads.end(no);
        self.seen_through = self.seen_through.max(through);
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        endpoint.read = Read::Idle;
        endpoint.behind = !(end && all);
        // What a complete page does not show is not pending, however late its hint comes.
        endpoint.loaded_through = if endpoint.behind { through } else { through.max(sees_through) };
        let hints_missed = endpoint.hints_missed;
        for delivery in std::mem::take(&mut endpoint.hints) {
            self.hinted(now, delivery, actions);
        }
        if hints_missed && let Some(endpoint) = self.endpoints.get_mut(&id) {
            endpoint.behind = true;
        }
        self.refresh(id, actions);
    }

    fn read_failed(&mut self, now: Timestamp, id: EndpointId, actions: &mut Vec<Action>) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        match endpoint.read {
            Read::UnderWay { no, .. } => self.reads.end(no),
            Read::Superseded { .. } => {}
            Read::Idle | Read::Failed { .. } => return,
        }
        endpoint.read = Read::Failed { until: now.plus(READ_RETRY) };
        self.refresh(id, actions);
    }

    fn attempted(
        &mut self,
        now: Timestamp,
        seq: DeliverySeq,
        outcome: AttemptOutcome,
        floor: Duration,
        jitter: f64,
        actions: &mut Vec<Action>,
    ) {
        let Some(busy) = self.busy.get_mut(&seq).filter(|b| b.verdict.is_none()) else { return };
        busy.attempts = busy.attempts.saturating_add(1);
        let verdict = match outcome {
            AttemptOutcome::Acknowledged => Verdict::Delivered,
            AttemptOutcome::Refused
            | AttemptOutcome::TimedOut
            | AttemptOutcome::NameNotResolved
            | AttemptOutcome::AddressForbidden
            | AttemptOutcome::ConnectFailed
            | AttemptOutcome::TlsFailed
            | AttemptOutcome::ConnectionLost
            | AttemptOutcome::AnswerUnreadable => match self.config.retry.next(busy.attempts, jitter) {
                Some(delay) => Verdict::RetryAt(now.plus(delay.max(floor))),
                None => Verdict::Dead,
            },
        };
        busy.verdict = Some(verdict);
        let (attempt, sent_to) = (busy.attempts, busy.sent_to);
        self.in_flight -= 1;
        if let Some(endpoint) = self.endpoints.get_mut(&sent_to) {
            endpoint.in_flight -= 1;
            endpoint.recording += 1;
        }
        actions.push(Action::Record { seq, attempt, verdict });
        self.refresh(sent_to, actions);
    }

    fn recorded(&mut self, now: Timestamp, seq: DeliverySeq, actions: &mut Vec<Action>) {
        let Some(verdict) = self.busy.get(&seq).and_then(|b| b.verdict) else { return };
        let Some(busy) = self.busy.remove(&seq) else { return };
        let settled = match verdict {
            Verdict::Delivered | Verdict::Dead => Settled::Final,
            Verdict::RetryAt(due) => Settled::Again { attempts: busy.attempts, due },
        };
        if busy.adrift {
            self.reads.note(seq, settled);
        }
        // Back into line before the lanes are let go, so that nobody behind it is considered first.
        if let (Settled::Again { attempts, due }, Some(home)) = (settled, busy.home) {
            let lined = Lined { endpoint: home, attempts, orders: busy.orders.clone(), due };
            self.line_up(now, seq, lined);
        }
        if let Some(endpoint) = self.endpoints.get_mut(&busy.sent_to) {
            endpoint.recording -= 1;
        }
        self.let_go(now, busy.sent_to, seq, &busy.orders, actions);
        if let Some(home) = busy.home.filter(|&home| home != busy.sent_to) {
            self.let_go(now, home, seq, &busy.orders, actions);
        }
    }

    /// Takes a delivery into memory that a hint or a page shows, unless it is known already.
    fn admit(
        &mut self,
        now: Timestamp,
        id: EndpointId,
        delivery: Waiting,
        read: Option<ReadNo>,
        actions: &mut Vec<Action>,
    ) {
        let Waiting { seq, endpoint: _, orders, attempts, due } = delivery;
        if self.busy.contains_key(&seq) {
            self.claim(now, id, seq, actions);
            return;
        }
        if let Some(known) = self.lineup.get(&seq) {
            if known.endpoint != id {
                self.move_over(now, id, seq, actions);
            }
            return;
        }
        let (attempts, due) = match read.and_then(|no| self.reads.settled_since(no, seq)) {
            Some(Settled::Final) => return,
            Some(Settled::Again { attempts, due }) => (attempts, due),
            None => (attempts, due),
        };
        self.line_up(now, seq, Lined { endpoint: id, attempts, orders, due });
    }

    /// A busy delivery is this endpoint's: the next attempt goes there, and its lanes there wait for the present one.
    fn claim(&mut self, now: Timestamp, id: EndpointId, seq: DeliverySeq, actions: &mut Vec<Action>) {
        let Some(busy) = self.busy.get_mut(&seq) else { return };
        busy.adrift = false;
        let former = busy.home.replace(id);
        if former == Some(id) {
            return;
        }
        let (sent_to, orders) = (busy.sent_to, busy.orders.clone());
        if id != sent_to
            && let Some(endpoint) = self.endpoints.get_mut(&id)
        {
            endpoint.busy.insert(seq);
            endpoint.lanes.hold(seq, &orders);
        }
        if let Some(former) = former.filter(|&former| former != sent_to) {
            self.let_go(now, former, seq, &orders, actions);
        }
    }

    /// A delivery that waits at another endpoint is this one's. What memory knows of it is newer than the page.
    fn move_over(&mut self, now: Timestamp, id: EndpointId, seq: DeliverySeq, actions: &mut Vec<Action>) {
        let Some(lined) = self.lineup.remove(&seq) else { return };
        let former = lined.endpoint;
        if let Some(endpoint) = self.endpoints.get_mut(&former) {
            endpoint.step_out(seq, &lined);
            endpoint.consider_firsts(now, &lined.orders, &self.lineup);
        }
        self.refresh(former, actions);
        self.line_up(now, seq, Lined { endpoint: id, ..lined });
    }

    fn line_up(&mut self, now: Timestamp, seq: DeliverySeq, lined: Lined) {
        if let Some(endpoint) = self.endpoints.get_mut(&lined.endpoint) {
            endpoint.line_up(now, seq, &lined);
            self.lineup.insert(seq, lined);
        }
    }

    /// A delivery is no longer busy at this endpoint: its lanes go to whoever is next.
    fn let_go(
        &mut self,
        now: Timestamp,
        id: EndpointId,
        seq: DeliverySeq,
        orders: &[OrderId],
        actions: &mut Vec<Action>,
    ) {
        if let Some(endpoint) = self.endpoints.get_mut(&id) {
            endpoint.busy.remove(&seq);
            endpoint.lanes.release(seq, orders);
            endpoint.consider_firsts(now, orders, &self.lineup);
        }
        self.refresh(id, actions);
    }

    /// Forgets what waits for an endpoint, and that what is busy there belongs to it: the disk will say.
    fn forget(&mut self, id: EndpointId) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        endpoint.forget(&mut self.lineup);
        if let Read::UnderWay { after, no, .. } = endpoint.read {
            endpoint.read = Read::Superseded { after };
            self.reads.end(no);
        }
        for seq in endpoint.busy.clone() {
            let Some(busy) = self.busy.get_mut(&seq) else { continue };
            busy.adrift = true;
            if busy.home == Some(id) {
                busy.home = None;
            }
            // It was sent elsewhere and only its next attempt was to go here. Nothing waits here that could overtake
            // it, and the page that brings what does brings it too.
            if busy.sent_to != id {
                endpoint.busy.remove(&seq);
                endpoint.lanes.release(seq, &busy.orders);
            }
        }
    }

    /// Brings an endpoint up to date after a change: asks for a read, takes its place in the rotation, sets its
    /// alarm, or disappears.
    fn refresh(&mut self, id: EndpointId, actions: &mut Vec<Action>) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        if !self.stopping && endpoint.wants_read(self.config.window_max) {
            let after = endpoint.loaded_through;
            let limit = self.config.page_size.min(endpoint.room(self.config.window_max));
            endpoint.read = Read::UnderWay { after, no: self.reads.begin(), sees_through: self.seen_through };
            endpoint.hints.clear();
            endpoint.hints_missed = false;
            actions.push(Action::ReadPending { endpoint: id, after, limit });
        }
        if !endpoint.in_turn && endpoint.may_send() {
            endpoint.in_turn = true;
            self.turns.push_back(id);
        }
        let over = endpoint.is_over();
        let alarm = endpoint.next_alarm().filter(|_| !over);
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

    /// Gives the endpoints their turns while there is room for another attempt.
    fn send_ready(&mut self, actions: &mut Vec<Action>) {
        while !self.stopping && self.in_flight < self.config.in_flight_max {
            let Some(id) = self.turns.pop_front() else { return };
            if let Some(endpoint) = self.endpoints.get_mut(&id) {
                endpoint.in_turn = false;
                if endpoint.may_send()
                    && let Some(seq) = endpoint.take_ready(&self.lineup)
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
            endpoint.in_flight += 1;
        }
        self.in_flight += 1;
        actions.push(Action::Send { seq, endpoint: id, attempt: lined.attempts.saturating_add(1) });
        let Lined { orders, attempts, .. } = lined;
        let busy = Busy { orders, attempts, sent_to: id, home: Some(id), verdict: None, adrift: false };
        self.busy.insert(seq, busy);
    }
}
