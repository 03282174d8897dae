//! Judges what an engine asks for by the disk and by what it was told, never by asking the engine. It shares no code
//! with the engine: each guarantee is stated here a second time, in the plainest way that works on a small disk.

use std::collections::{BTreeMap, BTreeSet};

use hookit_contract::{AttemptOutcome, DeliverySeq, EndpointId, OrderId};
use hookit_engine::Verdict;

/// A delivery as it lies on disk.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) endpoint: EndpointId,
    pub(crate) orders: Vec<OrderId>,
    pub(crate) attempts: u32,
    pub(crate) due_ms: i64,
    pub(crate) pending: bool,
}

pub(crate) type Disk = BTreeMap<DeliverySeq, Row>;

#[derive(Debug)]
struct Open {
    sent_to: EndpointId,
    attempt: u32,
    /// Set when the attempt has ended: its outcome, when, the floor that the answer asked for.
    ended: Option<(AttemptOutcome, i64, i64)>,
    asked_to_record: bool,
}

/// What the auditor holds the engine to.
pub(crate) struct Rules {
    pub(crate) delays_ms: Vec<i64>,
    pub(crate) in_flight_per_endpoint_max: usize,
    pub(crate) in_flight_max: usize,
    pub(crate) page_size: usize,
}

pub(crate) struct Auditor {
    rules: Rules,
    /// Sent and not recorded, as far as the engine was told.
    open: BTreeMap<DeliverySeq, Open>,
    /// Delivered or dead, and the engine knows, or could know from the disk when it started.
    over: BTreeSet<DeliverySeq>,
    /// Endpoints that are open.
    flowing: BTreeSet<EndpointId>,
    reading: BTreeSet<EndpointId>,
    latest_ms: i64,
    stopping: bool,
    pub(crate) sends: usize,
}

impl Auditor {
    pub(crate) fn new(rules: Rules) -> Self {
        Auditor {
            rules,
            open: BTreeMap::new(),
            over: BTreeSet::new(),
            flowing: BTreeSet::new(),
            reading: BTreeSet::new(),
            latest_ms: i64::MIN,
            stopping: false,
            sends: 0,
        }
    }

    pub(crate) fn time(&mut self, now_ms: i64) {
        self.latest_ms = self.latest_ms.max(now_ms);
    }

    pub(crate) fn flow(&mut self, endpoint: EndpointId, open: bool) {
        if open {
            self.flowing.insert(endpoint);
        } else {
            self.flowing.remove(&endpoint);
        }
    }

    pub(crate) fn stopping(&mut self) {
        self.stopping = true;
    }

    /// A new engine on the same disk, which knows nothing of what the one before had under way.
    pub(crate) fn restarted(&mut self, disk: &Disk) {
        self.open.clear();
        self.reading.clear();
        self.flowing.clear();
        self.over = disk.iter().filter(|(_, row)| !row.pending).map(|(&seq, _)| seq).collect();
    }

    pub(crate) fn read_asked(&mut self, endpoint: EndpointId, limit: usize) {
        assert!(self.reading.insert(endpoint), "two reads of {endpoint:?} at a time");
        assert!(limit >= 1 && limit <= self.rules.page_size, "a read of {limit} deliveries");
        assert!(!self.stopping, "a read was asked for while stopping");
    }

    pub(crate) fn read_answered(&mut self, endpoint: EndpointId) {
        self.reading.remove(&endpoint);
    }

    pub(crate) fn sent(&mut self, disk: &Disk, seq: DeliverySeq, endpoint: EndpointId, attempt: u32) {
        let row = disk.get(&seq).unwrap_or_else(|| panic!("{seq:?} was never committed"));
        assert!(!self.stopping, "{seq:?} was sent while stopping");
        assert!(row.pending && !self.over.contains(&seq), "{seq:?} was sent after it was final");
        assert!(!self.open.contains_key(&seq), "{seq:?} was sent while it was not settled");
        assert_eq!(row.endpoint, endpoint, "{seq:?} was sent to the wrong endpoint");
        assert!(self.flowing.contains(&endpoint), "{seq:?} was sent to an endpoint that is not open");
        assert_eq!(attempt, row.attempts + 1, "{seq:?}: attempts are numbered without a gap");
        assert!(self.latest_ms >= row.due_ms, "{seq:?} was sent before it was due");

        for order in &row.orders {
            for (other, open) in &self.open {
                let same_lane = open.sent_to == endpoint && disk[other].orders.contains(order);
                assert!(!same_lane, "{seq:?} was sent while {other:?} was out in the lane of {order:?}");
            }
            for (before, earlier) in disk.range(..seq) {
                let ahead = earlier.endpoint == endpoint && earlier.orders.contains(order);
                let overtaken = ahead && earlier.pending;
                assert!(!overtaken, "{seq:?} overtook {before:?} in the lane of {order:?}");
            }
        }

        self.open.insert(seq, Open { sent_to: endpoint, attempt, ended: None, asked_to_record: false });
        self.sends += 1;
        let in_flight = |at: Option<EndpointId>| {
            let open = self.open.values().filter(|o| o.ended.is_none());
            open.filter(|o| at.is_none_or(|id| o.sent_to == id)).count()
        };
        assert!(in_flight(None) <= self.rules.in_flight_max, "too many in flight");
        let here = in_flight(Some(endpoint));
        assert!(here <= self.rules.in_flight_per_endpoint_max, "too many in flight to {endpoint:?}");
    }

    pub(crate) fn attempted(
        &mut self,
        seq: DeliverySeq,
        outcome: AttemptOutcome,
        now_ms: i64,
        floor_ms: i64,
    ) {
        let open = self.open.get_mut(&seq).expect("the world ends only attempts that were sent");
        open.ended = Some((outcome, now_ms, floor_ms));
    }

    pub(crate) fn record_asked(&mut self, seq: DeliverySeq, attempt: u32, verdict: Verdict) {
        let open = self.open.get_mut(&seq).unwrap_or_else(|| panic!("{seq:?} was not sent"));
        let (outcome, ended_ms, floor_ms) = open.ended.expect("an attempt is recorded when it has ended");
        assert!(!open.asked_to_record, "{seq:?} is recorded twice");
        open.asked_to_record = true;
        assert_eq!(attempt, open.attempt);
        let delay_ms = self.rules.delays_ms.get(attempt as usize - 1);
        match (outcome, delay_ms, verdict) {
            (AttemptOutcome::Acknowledged, _, Verdict::Delivered) => {}
            (AttemptOutcome::Acknowledged, ..) | (_, _, Verdict::Delivered) => {
                panic!("{seq:?}: {outcome} became {verdict:?}");
            }
            (_, Some(&delay_ms), Verdict::RetryAt(at)) => {
                let waits_ms = at.as_millis() - ended_ms;
                assert!(waits_ms >= delay_ms.max(floor_ms), "{seq:?} is retried too early");
                assert!(waits_ms <= (delay_ms + delay_ms / 5).max(floor_ms), "{seq:?} is retried too late");
            }
            (_, None, Verdict::Dead) => {}
            (_, Some(_), Verdict::Dead) => panic!("{seq:?} was given up after {attempt} attempts"),
            (_, None, Verdict::RetryAt(_)) => panic!("{seq:?} goes on after the end of the plan"),
        }
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
