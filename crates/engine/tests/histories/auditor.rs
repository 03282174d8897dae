//! Judges what an engine asks for by the disk and by what it was told, never by asking the engine. It shares no code
//! with the engine: each guarantee is stated here a second time, in the plainest way that works on a small disk.

use std::collections::{BTreeMap, BTreeSet};

use hookit_contract::{AttemptOutcome, DeliverySeq, EndpointId, OrderId};
use hookit_engine::{EndpointSettings, Flow, Ordering, Verdict};

use crate::health::Health;

/// A delivery as it lies on disk.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) endpoint: EndpointId,
    pub(crate) orders: Vec<OrderId>,
    pub(crate) attempts: u32,
    pub(crate) failures: u32,
    pub(crate) due_ms: i64,
    pub(crate) committed_ms: i64,
    /// Its last failure did not count.
    pub(crate) free: bool,
    pub(crate) pending: bool,
}

pub(crate) type Disk = BTreeMap<DeliverySeq, Row>;

#[derive(Debug)]
struct Open {
    sent_to: EndpointId,
    attempt: u32,
    failures: u32,
    sent_elapsed_ms: i64,
    ended: Option<Ended>,
    asked_to_record: bool,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: AttemptOutcome,
    pub(crate) status: Option<u16>,
    pub(crate) now_ms: i64,
    /// The shortest delay that the answer asked for.
    pub(crate) floor_ms: i64,
    /// Whether, by what the auditor knows of the endpoint, it may count against the plan.
    counts: bool,
}

/// Replays in one read at most; and half as many may wait in memory before.
pub(crate) const REPLAYS_PER_READ: usize = 64;

/// What the auditor holds the engine to.
pub(crate) struct Rules {
    pub(crate) delays_ms: Vec<i64>,
    pub(crate) in_flight_per_endpoint_max: usize,
    pub(crate) in_flight_max: usize,
    pub(crate) page_size: usize,
    pub(crate) failures_to_open: usize,
    pub(crate) pause_min_ms: i64,
    pub(crate) hold_ms: i64,
    pub(crate) suspect_after: usize,
    pub(crate) slow_ms: i64,
    pub(crate) suspect_in_flight_max: usize,
}

pub(crate) struct Auditor {
    rules: Rules,
    /// Sent and not recorded, as far as the engine was told.
    open: BTreeMap<DeliverySeq, Open>,
    /// Delivered or dead, and the engine knows, or could know from the disk when it started.
    over: BTreeSet<DeliverySeq>,
    /// What the endpoints that are there were last said to be.
    settings: BTreeMap<EndpointId, EndpointSettings>,
    health: BTreeMap<EndpointId, Health>,
    /// Endpoints that were asked to be disabled, until something new is said of them.
    disabled: BTreeSet<EndpointId>,
    /// With whether the read is one of replays.
    reading: BTreeSet<(EndpointId, bool)>,
    latest_ms: i64,
    now_ms: i64,
    /// The time that has passed, whatever the clock was set to.
    elapsed_ms: i64,
    stopping: bool,
    pub(crate) sends: usize,
}

impl Auditor {
    pub(crate) fn new(rules: Rules) -> Self {
        Auditor {
            rules,
            open: BTreeMap::new(),
            over: BTreeSet::new(),
            settings: BTreeMap::new(),
            health: BTreeMap::new(),
            disabled: BTreeSet::new(),
            reading: BTreeSet::new(),
            latest_ms: i64::MIN,
            now_ms: 0,
            elapsed_ms: 0,
            stopping: false,
            sends: 0,
        }
    }

    pub(crate) fn time(&mut self, now_ms: i64) {
        self.elapsed_ms += (now_ms - self.now_ms).max(0);
        self.now_ms = now_ms;
        self.latest_ms = self.latest_ms.max(now_ms);
    }

    pub(crate) fn endpoint(&mut self, endpoint: EndpointId, settings: EndpointSettings) {
        let was_disabled = self.disabled.remove(&endpoint);
        match self.settings.insert(endpoint, settings) {
            None => {
                self.health.insert(endpoint, Health::default());
            }
            Some(former) => {
                if settings.flow == Flow::Open && (former.flow == Flow::Held || was_disabled) {
                    self.health.entry(endpoint).or_default().pause_is_over();
                }
            }
        }
    }

    pub(crate) fn gone(&mut self, endpoint: EndpointId) {
        self.settings.remove(&endpoint);
    }

    pub(crate) fn stopping(&mut self) {
        self.stopping = true;
    }

    /// A new engine on the same disk, which knows nothing of what the one before had under way.
    pub(crate) fn restarted(&mut self, disk: &Disk) {
        self.open.clear();
        self.reading.clear();
        self.settings.clear();
        self.health.clear();
        self.disabled.clear();
        self.over = disk.iter().filter(|(_, row)| !row.pending).map(|(&seq, _)| seq).collect();
    }

    pub(crate) fn read_asked(&mut self, endpoint: EndpointId, after: DeliverySeq, limit: usize) {
        let of_replays = after.is_among_replays();
        assert!(self.reading.insert((endpoint, of_replays)), "two reads of {endpoint:?} at a time");
        let limit_max = if of_replays { REPLAYS_PER_READ } else { self.rules.page_size };
        assert!(limit >= 1 && limit <= limit_max, "a read of {limit} deliveries");
        assert!(!self.stopping, "a read was asked for while stopping");
    }

    pub(crate) fn read_answered(&mut self, endpoint: EndpointId, after: DeliverySeq) {
        self.reading.remove(&(endpoint, after.is_among_replays()));
    }

    pub(crate) fn sent(&mut self, disk: &Disk, seq: DeliverySeq, endpoint: EndpointId, attempt: u32) {
        let row = disk.get(&seq).unwrap_or_else(|| panic!("{seq:?} was never committed"));
        assert!(!self.stopping, "{seq:?} was sent while stopping");
        assert!(row.pending && !self.over.contains(&seq), "{seq:?} was sent after it was final");
        assert!(!self.open.contains_key(&seq), "{seq:?} was sent while it was not settled");
        assert_eq!(row.endpoint, endpoint, "{seq:?} was sent to the wrong endpoint");
        let settings = self.settings.get(&endpoint).filter(|s| s.flow == Flow::Open);
        let settings =
            *settings.unwrap_or_else(|| panic!("{seq:?} was sent to an endpoint that is not open"));
        assert!(!self.disabled.contains(&endpoint), "{seq:?} was sent to an endpoint that answered 410");
        assert_eq!(attempt, row.attempts + 1, "{seq:?}: attempts are numbered without a gap");
        // What failed for nothing waits for the endpoint, which [`Health`] watches, and not for a time of day.
        if row.attempts > 0 && !row.free {
            assert!(self.latest_ms >= row.due_ms, "{seq:?} was sent before it was due");
        }
        self.limits(seq, endpoint, settings);
        if settings.ordering == Ordering::PerOrder {
            self.lanes(disk, seq, endpoint, row);
        }
        let health = self.health.entry(endpoint).or_default();
        health.sent(seq, self.elapsed_ms);
        let open = Open {
            sent_to: endpoint,
            attempt,
            failures: row.failures,
            sent_elapsed_ms: self.elapsed_ms,
            ended: None,
            asked_to_record: false,
        };
        self.open.insert(seq, open);
        self.sends += 1;
    }

    /// G4.
    fn lanes(&self, disk: &Disk, seq: DeliverySeq, endpoint: EndpointId, row: &Row) {
        for order in &row.orders {
            for (other, open) in &self.open {
                let same_lane = open.sent_to == endpoint && disk[other].orders.contains(order);
                assert!(!same_lane, "{seq:?} was sent while {other:?} was out in the lane of {order:?}");
            }
            // Replays give way to what is fresh as far as the engine has heard of it, and keep their order among
            // themselves.
            let first = if seq.replay().is_some() { DeliverySeq::REPLAYS_AFTER } else { DeliverySeq(0) };
            for (before, earlier) in disk.range(first..seq) {
                let ahead = earlier.endpoint == endpoint && earlier.orders.contains(order);
                let overtaken = ahead && earlier.pending;
                assert!(!overtaken, "{seq:?} overtook {before:?} in the lane of {order:?}");
            }
        }
    }

    /// G5.
    fn limits(&mut self, seq: DeliverySeq, endpoint: EndpointId, settings: EndpointSettings) {
        let in_flight = |counts: &dyn Fn(EndpointId) -> bool| {
            1 + self.open.values().filter(|o| o.ended.is_none() && counts(o.sent_to)).count()
        };
        let rules = &self.rules;
        assert!(in_flight(&|_| true) <= rules.in_flight_max, "too many in flight");
        let here = in_flight(&|id| id == endpoint);
        let own = settings.in_flight_max.unwrap_or(rules.in_flight_per_endpoint_max);
        assert!(here <= own, "too many in flight to {endpoint:?}");
        let is_probe = self.health.get(&endpoint).is_some_and(Health::is_down);
        let few = rules.suspect_in_flight_max;
        let is_suspect = self.suspect(endpoint);
        assert!(!is_suspect || is_probe || here <= few, "{endpoint:?} is suspect and has {here}");
        if is_suspect || here > few {
            let most = (rules.in_flight_max - rules.in_flight_max.div_ceil(4)).max(1);
            assert!(in_flight(&|_| true) <= most, "{seq:?} took a place that is kept for the modest");
        }
    }

    fn suspect(&self, endpoint: EndpointId) -> bool {
        let under_way = self.open.values().filter(|o| o.sent_to == endpoint && o.ended.is_none());
        let hangs = under_way.map(|o| self.elapsed_ms - o.sent_elapsed_ms).max();
        let failures = self.health.get(&endpoint).map_or(0, |health| health.failures_in_a_row);
        failures >= self.rules.suspect_after || hangs.is_some_and(|ms| ms >= self.rules.slow_ms)
    }

    pub(crate) fn attempted(
        &mut self,
        disk: &Disk,
        seq: DeliverySeq,
        outcome: AttemptOutcome,
        status: Option<u16>,
        floor_ms: i64,
    ) {
        let open = self.open.get_mut(&seq).expect("the world ends only attempts that were sent");
        let health = self.health.entry(open.sent_to).or_default();
        let counts = health.ended(
            seq,
            &disk[&seq].orders,
            (outcome, status),
            self.elapsed_ms,
            floor_ms.max(self.rules.pause_min_ms),
            self.rules.failures_to_open,
        );
        open.ended = Some(Ended { outcome, status, now_ms: self.now_ms, floor_ms, counts });
    }

    pub(crate) fn record_asked(&mut self, disk: &Disk, seq: DeliverySeq, attempt: u32, verdict: Verdict) {
        let open = self.open.get_mut(&seq).unwrap_or_else(|| panic!("{seq:?} was not sent"));
        let ended = open.ended.expect("an attempt is recorded when it has ended");
        assert!(!open.asked_to_record, "{seq:?} is recorded twice");
        open.asked_to_record = true;
        assert_eq!(attempt, open.attempt);
        let failures = open.failures + u32::from(ended.counts);
        let delay_ms = match ended.counts {
            true => self.rules.delays_ms.get(failures as usize - 1).copied(),
            false => Some(0),
        };
        let too_old = ended.now_ms - disk[&seq].committed_ms >= self.rules.hold_ms;
        match (ended.outcome, delay_ms, verdict) {
            (AttemptOutcome::Acknowledged, _, Verdict::Delivered) => {}
            (AttemptOutcome::Acknowledged, ..) | (_, _, Verdict::Delivered) => {
                panic!("{seq:?}: {ended:?} became {verdict:?}");
            }
            (_, Some(delay_ms), Verdict::RetryAt { at, counted }) => {
                assert!(!too_old, "{seq:?} goes on beyond the hold time");
                assert_eq!(counted, ended.counts, "{seq:?}: {ended:?}");
                let waits_ms = at.as_millis() - ended.now_ms;
                assert!(waits_ms >= delay_ms.max(ended.floor_ms), "{seq:?} is retried too early");
                assert!(
                    waits_ms <= (delay_ms + delay_ms / 5).max(ended.floor_ms),
                    "{seq:?} is retried too late"
                );
            }
            (_, Some(_), Verdict::Dead) => assert!(too_old, "{seq:?} was given up after {failures} failures"),
            (_, None, Verdict::Dead) => {}
            (_, None, Verdict::RetryAt { .. }) => panic!("{seq:?} goes on after the end of the plan"),
        }
    }

    /// G2: what is given up without an attempt is too old, and behind an outage.
    pub(crate) fn given_up(&mut self, disk: &Disk, seq: DeliverySeq) {
        let row = &disk[&seq];
        assert!(row.pending && !self.over.contains(&seq), "{seq:?} was given up after it was final");
        assert!(!self.open.contains_key(&seq), "{seq:?} was given up while it was out");
        assert!(self.now_ms - row.committed_ms >= self.rules.hold_ms, "{seq:?} was given up too early");
        assert!(
            self.health.get(&row.endpoint).is_some_and(Health::is_down),
            "{seq:?} might have been delivered"
        );
        assert!(!self.stopping, "{seq:?} was given up while stopping");
        if self.settings[&row.endpoint].ordering == Ordering::PerOrder {
            self.lanes(disk, seq, row.endpoint, row);
        }
        let ended = Ended {
            outcome: AttemptOutcome::TimedOut,
            status: None,
            now_ms: self.now_ms,
            floor_ms: 0,
            counts: false,
        };
        let open = Open {
            sent_to: row.endpoint,
            attempt: row.attempts,
            failures: row.failures,
            sent_elapsed_ms: self.elapsed_ms,
            ended: Some(ended),
            asked_to_record: true,
        };
        self.open.insert(seq, open);
    }

    /// Asked for once, by an endpoint that is open and has answered 410 just now.
    pub(crate) fn disable_asked(&mut self, endpoint: EndpointId) {
        assert_eq!(self.settings[&endpoint].flow, Flow::Open);
        assert!(self.disabled.insert(endpoint), "{endpoint:?} was disabled twice");
        let answered = |o: &Open| {
            let by_410 = o.ended.is_some_and(|e| e.status == Some(410) && e.now_ms == self.now_ms);
            o.sent_to == endpoint && by_410
        };
        assert!(self.open.values().any(answered), "{endpoint:?} was disabled without a reason");
    }

    pub(crate) fn is_disabled(&self, endpoint: EndpointId) -> bool {
        self.disabled.contains(&endpoint)
    }

    pub(crate) fn recorded(&mut self, disk: &Disk, seq: DeliverySeq) {
        self.open.remove(&seq);
        if !disk[&seq].pending {
            self.over.insert(seq);
        }
    }

    pub(crate) fn all_over(&self, disk: &Disk) {
        for (seq, row) in disk {
            assert!(!row.pending, "{seq:?} never ended: {row:?}");
        }
        assert!(self.open.is_empty());
    }
}
