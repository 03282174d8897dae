//! The shell of an engine, with everything that can go wrong in one: reads that are late, stale or fail, hints that
//! are lost, verdicts that are on disk before the engine hears of it, deliveries that move, crashes.

use std::collections::BTreeMap;
use std::time::Duration;

use hookit_contract::{AttemptOutcome, DeliverySeq, EndpointId, OrderId, Timestamp};
use hookit_engine::{
    Action, BreakerState, EndpointSettings, Engine, EngineConfig, Input, RetryPlan, Verdict, Waiting,
};

use crate::auditor::{Auditor, Disk, REPLAYS_PER_READ, Row, Rules};

pub(crate) const DELAYS_MS: [i64; 3] = [50, 200, 1_000];
pub(crate) const ENDPOINTS: i64 = 3;
const PAUSE_MIN_MS: i64 = 40;
const PAUSE_MAX_MS: i64 = 300;
const HOLD_MS: i64 = 6_000;
const SLOW_MS: i64 = 150;
const SUSPECT_AFTER: u32 = 2;
const SUSPECT_IN_FLIGHT_MAX: usize = 2;

/// The sizes of an engine, all small, so that every limit is met.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    pub(crate) per_endpoint: usize,
    pub(crate) in_all: usize,
    pub(crate) window: usize,
    pub(crate) page: usize,
    pub(crate) failures_to_open: u32,
}

/// One thing that happens. An index chooses among what there is at that moment.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Commit {
        deliveries: Vec<(i64, Vec<i64>)>,
        /// Old ones that are sent again, in the place of new ones.
        replayed: bool,
        hint: bool,
    },
    DeliverHints,
    EndAttempt {
        which: usize,
        outcome: AttemptOutcome,
        status: Option<u16>,
        retry_after_ms: Option<u64>,
        jitter: f64,
    },
    Write {
        which: usize,
    },
    TellRecorded {
        which: usize,
    },
    LookAtDisk {
        which: usize,
    },
    AnswerRead {
        which: usize,
    },
    FailRead {
        which: usize,
    },
    Advance {
        by_ms: i64,
    },
    SetClockBack {
        by_ms: i64,
    },
    Set {
        endpoint: i64,
        settings: EndpointSettings,
    },
    Gone {
        endpoint: i64,
    },
    Move {
        from: i64,
        to: i64,
        orders: Vec<i64>,
    },
    Crash,
}

struct PendingRead {
    endpoint: EndpointId,
    after: DeliverySeq,
    limit: usize,
    /// The page, once the disk was looked at. It is answered later, and the disk goes on changing.
    seen: Option<(Vec<Waiting>, bool)>,
}

enum Hint {
    New(Vec<Waiting>),
    Lost,
}

pub(crate) struct World {
    config: EngineConfig,
    engine: Engine,
    pub(crate) auditor: Auditor,
    pub(crate) disk: Disk,
    now_ms: i64,
    settings: BTreeMap<EndpointId, Option<EndpointSettings>>,
    in_flight: Vec<DeliverySeq>,
    /// With the attempt that it is of; none for what is given up.
    to_write: Vec<(DeliverySeq, Option<u32>, Verdict)>,
    written: Vec<DeliverySeq>,
    reads: Vec<PendingRead>,
    hints: Vec<Hint>,
}

impl World {
    pub(crate) fn new(sizes: &Sizes) -> Self {
        let delays = DELAYS_MS.iter().map(|&ms| Duration::from_millis(ms as u64)).collect();
        let config = EngineConfig {
            retry: RetryPlan::new(delays).unwrap(),
            in_flight_per_endpoint_max: sizes.per_endpoint,
            in_flight_max: sizes.in_all,
            window_max: sizes.window,
            page_size: sizes.page,
            failures_in_a_row_to_open: sizes.failures_to_open,
            probe_pause_min: Duration::from_millis(PAUSE_MIN_MS as u64),
            probe_pause_max: Duration::from_millis(PAUSE_MAX_MS as u64),
            hold_time: Duration::from_millis(HOLD_MS as u64),
            suspect_after_failures: SUSPECT_AFTER,
            slow_after: Duration::from_millis(SLOW_MS as u64),
            suspect_in_flight_max: SUSPECT_IN_FLIGHT_MAX,
        };
        let rules = Rules {
            delays_ms: DELAYS_MS.to_vec(),
            in_flight_per_endpoint_max: sizes.per_endpoint,
            in_flight_max: sizes.in_all,
            page_size: sizes.page,
            failures_to_open: sizes.failures_to_open as usize,
            pause_min_ms: PAUSE_MIN_MS,
            hold_ms: HOLD_MS,
            suspect_after: SUSPECT_AFTER as usize,
            slow_ms: SLOW_MS,
            suspect_in_flight_max: SUSPECT_IN_FLIGHT_MAX,
        };
        let mut world = World {
            engine: Engine::new(config.clone()),
            config,
            auditor: Auditor::new(rules),
            disk: Disk::new(),
            now_ms: 1_000_000,
            settings: (1..=ENDPOINTS).map(|id| (EndpointId(id), Some(EndpointSettings::default()))).collect(),
            in_flight: Vec::new(),
            to_write: Vec::new(),
            written: Vec::new(),
            reads: Vec::new(),
            hints: Vec::new(),
        };
        world.introduce_endpoints();
        world
    }

    pub(crate) fn step(&mut self, step: &Step) {
        match step.clone() {
            Step::Commit { deliveries, replayed, hint } => self.commit(deliveries, replayed, hint),
            Step::DeliverHints => self.deliver_hints(),
            Step::EndAttempt { which, outcome, status, retry_after_ms, jitter } => {
                self.end_attempt(which, outcome, status, retry_after_ms, jitter);
            }
            Step::Write { which } => self.write(which),
            Step::TellRecorded { which } => self.tell_recorded(which),
            Step::LookAtDisk { which } => {
                if let Some(i) = pick(which, self.reads.len()) {
                    self.look(i);
                }
            }
            Step::AnswerRead { which } => self.answer_read(which),
            Step::FailRead { which } => {
                if let Some(i) = pick(which, self.reads.len()) {
                    let PendingRead { endpoint, after, .. } = self.reads.swap_remove(i);
                    self.auditor.read_answered(endpoint, after);
                    self.tell(Input::ReadFailed { endpoint, after });
                }
            }
            Step::Advance { by_ms } => {
                self.now_ms += by_ms;
                self.tell(Input::TimePassed);
            }
            Step::SetClockBack { by_ms } => {
                self.now_ms -= by_ms;
                self.tell(Input::TimePassed);
            }
            Step::Set { endpoint, settings } => {
                self.settings.insert(EndpointId(endpoint), Some(settings));
                self.introduce(EndpointId(endpoint), settings);
            }
            Step::Gone { endpoint } => {
                let endpoint = EndpointId(endpoint);
                self.settings.insert(endpoint, None);
                self.auditor.gone(endpoint);
                self.tell(Input::EndpointGone { endpoint });
            }
            Step::Move { from, to, orders } => self.move_deliveries(from, to, &orders),
            Step::Crash => self.crash(),
        }
    }

    /// No more faults: everything is answered, every partner acknowledges, every endpoint is there and open.
    pub(crate) fn heal(&mut self) {
        let ids: Vec<EndpointId> = self.settings.keys().copied().collect();
        for endpoint in ids {
            self.step(&Step::Set { endpoint: endpoint.0, settings: EndpointSettings::default() });
        }
        let acknowledged = Step::EndAttempt {
            which: 0,
            outcome: AttemptOutcome::Acknowledged,
            status: Some(200),
            retry_after_ms: None,
            jitter: 0.0,
        };
        for _ in 0..20_000 {
            if !self.hints.is_empty() {
                self.deliver_hints();
            } else if !self.reads.is_empty() {
                self.answer_read(0);
            } else if !self.in_flight.is_empty() {
                self.step(&acknowledged);
            } else if !self.to_write.is_empty() {
                self.write(0);
            } else if !self.written.is_empty() {
                self.tell_recorded(0);
            } else if let Some(&endpoint) = self.settings.keys().find(|id| self.auditor.is_disabled(**id)) {
                self.step(&Step::Set { endpoint: endpoint.0, settings: EndpointSettings::default() });
            } else if let Some(at) = self.engine.next_due() {
                self.now_ms = self.now_ms.max(at.as_millis());
                self.tell(Input::TimePassed);
            } else {
                break;
            }
        }
        self.auditor.all_over(&self.disk);
        assert!(self.engine.is_quiet());
        assert_eq!(self.engine.in_flight(), 0);
        for endpoint in self.settings.keys() {
            let stats = self.engine.endpoint_stats(*endpoint).unwrap();
            assert!(!matches!(stats.breaker, BreakerState::Probing), "{endpoint:?}: {stats:?}");
            assert_eq!((stats.waiting, stats.in_flight, stats.recording), (0, 0, 0), "{endpoint:?}");
            assert!(
                !stats.more_on_disk && stats.next_due.is_none() && stats.orders_set_aside == 0,
                "{endpoint:?}: {stats:?}"
            );
        }
    }

    /// Stops the engine and lets what is under way finish.
    pub(crate) fn stop(&mut self) {
        self.auditor.stopping();
        self.tell(Input::Stopping);
        let refused = Step::EndAttempt {
            which: 0,
            outcome: AttemptOutcome::Refused,
            status: Some(500),
            retry_after_ms: None,
            jitter: 1.0,
        };
        while !self.engine.is_quiet() {
            self.step(&Step::AnswerRead { which: 0 });
            self.step(&Step::Advance { by_ms: 10_000 });
            self.step(&refused);
            self.step(&Step::Write { which: 0 });
            self.step(&Step::TellRecorded { which: 0 });
        }
        assert!(self.in_flight.is_empty() && self.to_write.is_empty() && self.written.is_empty());
        assert_eq!(self.engine.next_due(), None);
    }

    fn tell(&mut self, input: Input) {
        self.auditor.time(self.now_ms);
        let mut actions = Vec::new();
        self.engine.handle(Timestamp::from_millis(self.now_ms), input, &mut actions);
        for action in actions {
            match action {
                Action::Send { seq, endpoint, attempt } => {
                    self.auditor.sent(&self.disk, seq, endpoint, attempt);
                    self.in_flight.push(seq);
                }
                Action::Record { seq, attempt, verdict } => {
                    self.auditor.record_asked(&self.disk, seq, attempt, verdict);
                    self.to_write.push((seq, Some(attempt), verdict));
                }
                Action::GiveUp { seq } => {
                    self.auditor.given_up(&self.disk, seq);
                    self.to_write.push((seq, None, Verdict::Dead));
                }
                Action::Disable { endpoint } => self.auditor.disable_asked(endpoint),
                Action::ReadPending { endpoint, after, limit } => {
                    self.auditor.read_asked(endpoint, after, limit);
                    self.reads.push(PendingRead { endpoint, after, limit, seen: None });
                }
            }
        }
        assert_eq!(self.engine.in_flight(), self.in_flight.len());
        for endpoint in self.settings.keys() {
            if let Some(stats) = self.engine.endpoint_stats(*endpoint) {
                let held = stats.waiting + stats.in_flight + stats.recording;
                let held_max = self.config.window_max + REPLAYS_PER_READ * 3 / 2;
                assert!(held <= held_max, "{endpoint:?} holds {held} in memory");
            }
        }
    }

    fn introduce(&mut self, endpoint: EndpointId, settings: EndpointSettings) {
        self.auditor.endpoint(endpoint, settings);
        self.tell(Input::Endpoint { endpoint, settings });
        self.tell_of_replays(endpoint);
    }

    fn tell_of_replays(&mut self, endpoint: EndpointId) {
        let mut replays = self.disk.range(DeliverySeq::REPLAYS_AFTER..);
        if let Some((&seq, row)) = replays.find(|(_, row)| row.pending && row.endpoint == endpoint) {
            let word = waiting(seq, row);
            self.tell(Input::Committed(vec![word]));
        }
    }

    fn introduce_endpoints(&mut self) {
        for (endpoint, settings) in self.settings.clone() {
            if let Some(settings) = settings {
                self.introduce(endpoint, settings);
            }
        }
    }

    fn commit(&mut self, deliveries: Vec<(i64, Vec<i64>)>, replayed: bool, hint: bool) {
        let mut committed = Vec::new();
        let before = if replayed { DeliverySeq::REPLAYS_AFTER } else { DeliverySeq(0) };
        let end = if replayed { DeliverySeq(i64::MAX) } else { DeliverySeq::REPLAYS_AFTER };
        for (endpoint, orders) in deliveries {
            let last = self.disk.range(before..end).next_back().map_or(before, |(last, _)| *last);
            let seq = DeliverySeq(last.0 + 1);
            let orders: Vec<OrderId> = orders.into_iter().map(OrderId).collect();
            let endpoint = EndpointId(endpoint);
            let row = Row {
                endpoint,
                orders,
                attempts: 0,
                failures: 0,
                due_ms: self.now_ms,
                committed_ms: self.now_ms,
                free: false,
                pending: true,
            };
            committed.push(waiting(seq, &row));
            self.disk.insert(seq, row);
        }
        self.hints.push(if hint { Hint::New(committed) } else { Hint::Lost });
    }

    fn deliver_hints(&mut self) {
        for hint in std::mem::take(&mut self.hints) {
            self.tell(match hint {
                Hint::New(committed) => Input::Committed(committed),
                Hint::Lost => Input::HintsLost,
            });
        }
    }

    fn end_attempt(
        &mut self,
        which: usize,
        outcome: AttemptOutcome,
        status: Option<u16>,
        retry_after_ms: Option<u64>,
        jitter: f64,
    ) {
        let Some(i) = pick(which, self.in_flight.len()) else { return };
        let seq = self.in_flight.swap_remove(i);
        let status = status.filter(|_| outcome.has_status());
        let asks = matches!(status, Some(429 | 503));
        let floor_ms = retry_after_ms.filter(|_| asks).map_or(0, |ms| ms.min(3_600_000));
        self.auditor.time(self.now_ms);
        self.auditor.attempted(&self.disk, seq, outcome, status, floor_ms as i64);
        let retry_after = retry_after_ms.map(Duration::from_millis);
        self.tell(Input::Attempted { seq, outcome, status, retry_after, jitter });
    }

    fn write(&mut self, which: usize) {
        let Some(i) = pick(which, self.to_write.len()) else { return };
        let (seq, attempt, verdict) = self.to_write.swap_remove(i);
        let row = self.disk.get_mut(&seq).unwrap();
        row.attempts = attempt.unwrap_or(row.attempts);
        match verdict {
            Verdict::Delivered | Verdict::Dead => row.pending = false,
            Verdict::RetryAt { at, counted } => {
                row.due_ms = at.as_millis();
                row.failures += u32::from(counted);
                row.free = !counted;
            }
        }
        self.written.push(seq);
    }

    fn tell_recorded(&mut self, which: usize) {
        let Some(i) = pick(which, self.written.len()) else { return };
        let seq = self.written.swap_remove(i);
        self.auditor.recorded(&self.disk, seq);
        self.tell(Input::Recorded { seq });
    }

    fn look(&mut self, i: usize) {
        let read = &mut self.reads[i];
        if read.seen.is_some() {
            return;
        }
        let of_replays = read.after.is_among_replays();
        let end = if of_replays { DeliverySeq(i64::MAX) } else { DeliverySeq::REPLAYS_AFTER };
        let behind = self.disk.range(DeliverySeq(read.after.0 + 1)..end);
        let mut page: Vec<Waiting> = behind
            .filter(|(_, row)| row.pending && row.endpoint == read.endpoint)
            .take(read.limit + 1)
            .map(|(&seq, row)| waiting(seq, row))
            .collect();
        let end = page.len() <= read.limit;
        page.truncate(read.limit);
        read.seen = Some((page, end));
    }

    fn answer_read(&mut self, which: usize) {
        let Some(i) = pick(which, self.reads.len()) else { return };
        self.look(i);
        let PendingRead { endpoint, after, seen, .. } = self.reads.swap_remove(i);
        let (deliveries, end) = seen.expect("it was looked at just now");
        self.auditor.read_answered(endpoint, after);
        self.tell(Input::Page { endpoint, after, deliveries, end });
    }

    /// The move is committed after everything that was committed before it, and the engine hears of it in that order.
    fn move_deliveries(&mut self, from: i64, to: i64, orders: &[i64]) {
        self.deliver_hints();
        let (from, to) = (EndpointId(from), EndpointId(to));
        for row in self.disk.values_mut() {
            let moves = row.pending && row.endpoint == from && orders.contains(&row.orders[0].0);
            if moves {
                row.endpoint = to;
            }
        }
        self.tell(Input::Reread { endpoint: from });
        self.tell(Input::Reread { endpoint: to });
        self.tell_of_replays(to);
    }

    fn crash(&mut self) {
        self.engine = Engine::new(self.config.clone());
        self.in_flight.clear();
        self.to_write.clear();
        self.written.clear();
        self.reads.clear();
        self.hints.clear();
        self.auditor.restarted(&self.disk);
        self.introduce_endpoints();
    }
}

fn pick(which: usize, of: usize) -> Option<usize> {
    which.checked_rem(of)
}

fn waiting(seq: DeliverySeq, row: &Row) -> Waiting {
    Waiting {
        seq,
        endpoint: row.endpoint,
        orders: row.orders.clone().into(),
        attempts: row.attempts,
        failures: row.failures,
        committed_at: Timestamp::from_millis(row.committed_ms),
        due: Timestamp::from_millis(row.due_ms),
    }
}
