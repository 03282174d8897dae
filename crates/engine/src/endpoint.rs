//! One endpoint's state: its lanes, what is ready or timed, its own limit, and how far it is loaded from disk.
//!
//! What keeps an endpoint from sending (held, at its limit, and whatever comes to that) is asked in one place,
//! [`Endpoint::may_send`]; nothing here knows of other endpoints.

use std::collections::{BTreeSet, HashMap};

use hookit_contract::{DeliverySeq, EndpointId, OrderId, Timestamp};

use crate::lanes::Lanes;
use crate::reads::Read;
use crate::types::{EndpointStats, Flow, Waiting};

/// A delivery in memory that waits. Small on purpose: there may be a window of them for every endpoint.
#[derive(Debug)]
pub(crate) struct Lined {
    pub(crate) endpoint: EndpointId,
    pub(crate) attempts: u32,
    pub(crate) orders: Box<[OrderId]>,
    pub(crate) due: Timestamp,
}

/// All that wait, of every endpoint: one index, so that no delivery can wait at two endpoints. Never iterated: its
/// order would differ from run to run.
pub(crate) type Lineup = HashMap<DeliverySeq, Lined>;

#[derive(Debug)]
pub(crate) struct Endpoint {
    /// `None` once it has gone and only what is still under way keeps it here.
    pub(crate) flow: Option<Flow>,
    pub(crate) in_flight_max: usize,
    pub(crate) in_flight: usize,
    pub(crate) recording: usize,
    /// Whether it stands in the engine's rotation.
    pub(crate) in_turn: bool,
    /// The moment for which the engine has an alarm set.
    pub(crate) armed: Option<Timestamp>,

    pub(crate) lanes: Lanes,
    /// What waits here, each with an entry in the [`Lineup`].
    waiting: BTreeSet<DeliverySeq>,
    /// What was sent here, or goes on from here after its present attempt, and is not settled. Holds its lanes.
    pub(crate) busy: BTreeSet<DeliverySeq>,
    /// Everything that is due and first in its lanes is in here. So may be what was once and is not now: that is
    /// found out when it is taken, which is cheaper than keeping it exact.
    ready: BTreeSet<DeliverySeq>,
    /// Everything that is first in its lanes and not due yet, under the same reservation.
    timers: BTreeSet<(Timestamp, DeliverySeq)>,

    pub(crate) read: Read,
    /// Every pending delivery of this endpoint up to here is in memory.
    pub(crate) loaded_through: DeliverySeq,
    /// There may be more on disk behind `loaded_through`. Always so while a read is under way.
    pub(crate) behind: bool,
    /// What was hinted since the present read was asked for: its page may have missed it. Kept, up to a page, because
    /// under steady traffic a read that only led to the next read would never end.
    pub(crate) hints: Vec<Waiting>,
    /// Something was committed since then that is not among `hints`.
    pub(crate) hints_missed: bool,
}

impl Endpoint {
    pub(crate) fn new(flow: Flow, in_flight_max: usize) -> Self {
        Endpoint {
            flow: Some(flow),
            in_flight_max,
            in_flight: 0,
            recording: 0,
            in_turn: false,
            armed: None,
            lanes: Lanes::default(),
            waiting: BTreeSet::new(),
            busy: BTreeSet::new(),
            ready: BTreeSet::new(),
            timers: BTreeSet::new(),
            read: Read::Idle,
            loaded_through: DeliverySeq(0),
            behind: true,
            hints: Vec::new(),
            hints_missed: false,
        }
    }

    /// Whether it would take part in the rotation now.
    pub(crate) fn may_send(&self) -> bool {
        self.flow == Some(Flow::Open) && self.in_flight < self.in_flight_max && !self.ready.is_empty()
    }

    /// Takes the lowest delivery that is due and first in its lanes out of the ready ones.
    pub(crate) fn take_ready(&mut self, lineup: &Lineup) -> Option<DeliverySeq> {
        while let Some(seq) = self.ready.pop_first() {
            if lineup.get(&seq).is_some_and(|lined| self.lanes.is_first(seq, &lined.orders)) {
                return Some(seq);
            }
        }
        None
    }

    /// Puts a delivery in line. The caller puts it into the [`Lineup`].
    pub(crate) fn line_up(&mut self, now: Timestamp, seq: DeliverySeq, lined: &Lined) {
        self.waiting.insert(seq);
        self.lanes.join(seq, &lined.orders);
        self.consider(now, seq, lined);
    }

    /// Takes a delivery out of line. Who is next in its lanes is for the caller to consider.
    pub(crate) fn step_out(&mut self, seq: DeliverySeq, lined: &Lined) {
        self.waiting.remove(&seq);
        self.lanes.leave(seq, &lined.orders);
        self.ready.remove(&seq);
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
        if !self.lanes.is_first(seq, &lined.orders) {
            return;
        }
        if lined.due <= now {
            self.ready.insert(seq);
        } else if !self.ready.contains(&seq) {
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
    }

    /// Lets go off what has fallen due.
    pub(crate) fn time_passed(&mut self, now: Timestamp) {
        while let Some(&(due, seq)) = self.timers.first()
            && due <= now
        {
            self.timers.pop_first();
            self.ready.insert(seq);
        }
        if let Read::Failed { until } = self.read
            && until <= now
        {
            self.read = Read::Idle;
        }
    }

    /// When [`Endpoint::time_passed`] has something to do.
    pub(crate) fn next_alarm(&self) -> Option<Timestamp> {
        let due = self.timers.first().map(|&(due, _)| due);
        let read = match self.read {
            Read::Failed { until } => Some(until),
            Read::Idle | Read::UnderWay { .. } | Read::Superseded { .. } => None,
        };
        due.into_iter().chain(read).min()
    }

    /// How many more deliveries may be taken into memory.
    pub(crate) fn room(&self, window_max: usize) -> usize {
        window_max.saturating_sub(self.waiting.len() + self.busy.len())
    }

    /// Whether it is time to read on. Not for every delivery that leaves, but once half the window is free.
    pub(crate) fn wants_read(&self, window_max: usize) -> bool {
        self.flow.is_some()
            && self.behind
            && self.read == Read::Idle
            && self.room(window_max) >= window_max.div_ceil(2)
    }

    /// True where it has gone and nothing under way refers to it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.flow.is_none()
            && self.busy.is_empty()
            && !self.in_turn
            && !matches!(self.read, Read::UnderWay { .. } | Read::Superseded { .. })
    }

    pub(crate) fn stats(&self) -> EndpointStats {
        EndpointStats {
            waiting: self.waiting.len(),
            in_flight: self.in_flight,
            recording: self.recording,
            more_on_disk: self.behind,
            next_due: self.timers.first().map(|&(due, _)| due),
        }
    }
}
