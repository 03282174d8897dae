//! Whether one endpoint is up. Knows ends of attempts and time; knows nothing of lanes, retries or other endpoints.
//!
//! ```text
//! Closed ──the endpoint fails, or several orders in a row──▶ Open ──pause over──▶ Ripe ──probe sent──▶ Probing
//!    ▲                                                       ▲ ▲                                      │   │
//!    └── limit reached ── Recovering ◀───────────────────────┼─┼────────── acknowledged ──────────────┘   │
//!                             └── the endpoint fails again ──┘ └───────────── not acknowledged ───────────┘
//! ```
//!
//! **What counts.** A failure counts against its delivery's retry plan only where the breaker was closed or
//! recovering when the attempt ended and this failure did not open it. So whatever opens the breaker is free, and so
//! is every probe and every straggler that ends during the outage: from then on an endpoint may be down for as long as
//! it likes and answer what it likes. What stood in the row before that has counted: fewer deliveries than the row is
//! long, once each where other orders were there to fail as well. An endpoint that refuses everything while there is
//! only one order for it cannot be told from an order that cannot be delivered, and that one order's failures count.
//!
//! One that refuses as many orders as the row is long, and gets no others, is down for all that can be seen: they end at the
//! hold time and not by their plan. To count what is refused after so many probes would end them sooner, and with them
//! everything for a partner that answers 403 to all of it because its secret is wrong, whose outage is to cost nothing.
//! What has not failed is always probed with first, so they hold nobody up for longer than a pause.
//!
//! **What opens it.** A failure that is the endpoint's and not the delivery's (no connection, no address, no TLS, 429,
//! 503) at once; any other failure as part of a row: so many deliveries with no order in common failed and none was
//! acknowledged in between. One order that cannot be delivered is only ever one in that row.
//!
//! **What closes it.** Only the acknowledgement of a probe. One that belongs to an attempt sent before the outage
//! says nothing about what came after, and would make a `Retry-After` worthless at an endpoint with much in flight.

use std::collections::BTreeSet;
use std::time::Duration;

use hookit_contract::{AttemptOutcome, DeliverySeq, OrderId, Timestamp};

use crate::retry::later_by_jitter;
use crate::types::{BreakerState, EngineConfig};

/// What the end of an attempt says about the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It is up.
    Acknowledged,
    /// It is down or wants to be left alone, whatever was sent.
    EndpointFailed,
    /// This delivery failed. Only several of them say something about the endpoint.
    DeliveryFailed,
    /// It is there and wants nothing more, ever: 410.
    Gone,
}

impl Sign {
    pub(crate) fn of(outcome: AttemptOutcome, status: Option<u16>) -> Self {
        match (outcome, status) {
            (AttemptOutcome::Acknowledged, _) => Sign::Acknowledged,
            (AttemptOutcome::Refused, Some(429 | 503)) => Sign::EndpointFailed,
            (AttemptOutcome::Refused, Some(410)) => Sign::Gone,
            (
                AttemptOutcome::ConnectFailed
                | AttemptOutcome::NameNotResolved
                | AttemptOutcome::TlsFailed
                | AttemptOutcome::AddressForbidden,
                _,
            ) => Sign::EndpointFailed,
            (
                AttemptOutcome::Refused
                | AttemptOutcome::TimedOut
                | AttemptOutcome::ConnectionLost
                | AttemptOutcome::AnswerUnreadable,
                _,
            ) => Sign::DeliveryFailed,
        }
    }
}

/// The end of one attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End<'a> {
    pub(crate) seq: DeliverySeq,
    pub(crate) orders: &'a [OrderId],
    pub(crate) sign: Sign,
    /// The shortest pause that the answer asked for.
    pub(crate) floor: Duration,
    pub(crate) jitter: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BreakerRules {
    pub(crate) failures_in_a_row_to_open: u32,
    pub(crate) probe_pause_min: Duration,
    pub(crate) probe_pause_max: Duration,
}

impl BreakerRules {
    pub(crate) fn of(config: &EngineConfig) -> Self {
        BreakerRules {
            failures_in_a_row_to_open: config.failures_in_a_row_to_open,
            probe_pause_min: config.probe_pause_min,
            probe_pause_max: config.probe_pause_max,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    /// Nothing is sent until the pause is over. `failed_probes` decides how long it is.
    Open {
        until: Timestamp,
        failed_probes: u32,
    },
    /// The pause is over, and the next delivery that is due is the probe.
    Ripe {
        since: Timestamp,
        failed_probes: u32,
    },
    Probing {
        seq: DeliverySeq,
        /// What else was under way may ask for a longer pause before the probe has ended.
        not_before: Timestamp,
        failed_probes: u32,
    },
    Recovering {
        limit: usize,
        acknowledged: usize,
    },
}

#[derive(Debug)]
pub(crate) struct Breaker {
    rules: BreakerRules,
    state: State,
    /// Since when it is up, down or recovering.
    since: Timestamp,
    failures_in_a_row: u32,
    /// The orders of the deliveries that stand in the row, and how many deliveries these are.
    row_orders: BTreeSet<OrderId>,
    row: u32,
    /// The last probe of this outage, zero before the first. The next is another delivery where there is one: if it
    /// were always the lowest, one that can never be delivered would keep the endpoint down for good.
    last_probe: DeliverySeq,
}

impl Breaker {
    pub(crate) fn new(rules: BreakerRules, now: Timestamp) -> Self {
        Breaker {
            rules,
            state: State::Closed,
            since: now,
            failures_in_a_row: 0,
            row_orders: BTreeSet::new(),
            row: 0,
            last_probe: DeliverySeq(0),
        }
    }

    /// Takes note of the end of an attempt. True where a failure counts against the delivery's retry plan.
    pub(crate) fn ended(&mut self, now: Timestamp, end: End<'_>, in_flight_max: usize) -> bool {
        if end.sign == Sign::Acknowledged {
            self.acknowledged(now, end.seq, in_flight_max);
            return false;
        }
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        match &mut self.state {
            State::Closed | State::Recovering { .. } => {
                let opens = match end.sign {
                    Sign::EndpointFailed => true,
                    Sign::DeliveryFailed => self.lengthens_row_to_the_end(end.orders),
                    Sign::Acknowledged | Sign::Gone => false,
                };
                if opens {
                    self.last_probe = DeliverySeq(0);
                    self.since = now;
                    self.open(now, end, 0, now);
                }
                !opens && end.sign != Sign::Gone
            }
            State::Probing { seq, not_before, failed_probes } if *seq == end.seq => {
                let (failed_probes, not_before) = (failed_probes.saturating_add(1), *not_before);
                self.open(now, end, failed_probes, not_before);
                false
            }
            State::Open { until, .. } | State::Probing { not_before: until, .. } => {
                *until = (*until).max(now.plus(end.floor));
                false
            }
            State::Ripe { failed_probes, .. } => {
                if !end.floor.is_zero() {
                    self.state = State::Open { until: now.plus(end.floor), failed_probes: *failed_probes };
                }
                false
            }
        }
    }

    fn acknowledged(&mut self, now: Timestamp, acknowledged: DeliverySeq, in_flight_max: usize) {
        self.failures_in_a_row = 0;
        self.row = 0;
        self.row_orders.clear();
        match &mut self.state {
            State::Probing { seq, .. } if *seq == acknowledged => {
                self.since = now;
                self.state = State::Recovering { limit: 1, acknowledged: 0 };
            }
            State::Recovering { limit, acknowledged } => {
                *acknowledged += 1;
                if *acknowledged >= *limit {
                    *limit = limit.saturating_mul(2);
                    *acknowledged = 0;
                }
            }
            State::Closed | State::Open { .. } | State::Ripe { .. } | State::Probing { .. } => {}
        }
        if let State::Recovering { limit, .. } = self.state
            && limit >= in_flight_max
        {
            self.since = now;
            self.state = State::Closed;
        }
    }

    /// Whether with this failure the row is long enough.
    fn lengthens_row_to_the_end(&mut self, orders: &[OrderId]) -> bool {
        if orders.iter().all(|order| !self.row_orders.contains(order)) {
            self.row += 1;
            self.row_orders.extend(orders);
        }
        self.row >= self.rules.failures_in_a_row_to_open
    }

    fn open(&mut self, now: Timestamp, end: End<'_>, failed_probes: u32, not_before: Timestamp) {
        self.row = 0;
        self.row_orders.clear();
        let doubled = 2_u32.saturating_pow(failed_probes);
        let pause = self.rules.probe_pause_min.saturating_mul(doubled).min(self.rules.probe_pause_max);
        let until = now.plus(later_by_jitter(pause, end.jitter).max(end.floor)).max(not_before);
        self.state = State::Open { until, failed_probes };
    }

    /// True from the failure that opens it to the acknowledgement that closes it.
    pub(crate) fn is_down(&self) -> bool {
        matches!(self.state, State::Open { .. } | State::Ripe { .. } | State::Probing { .. })
    }

    /// How many attempts may be under way, out of `in_flight_max`. Once the probe is sent that is none, so that one
    /// probe is all there is, whatever else is still under way from before the outage.
    pub(crate) fn limit(&self, in_flight_max: usize) -> usize {
        match self.state {
            State::Closed | State::Ripe { .. } => in_flight_max,
            State::Open { .. } | State::Probing { .. } => 0,
            State::Recovering { limit, .. } => limit.min(in_flight_max),
        }
    }

    /// Whether the next delivery is the probe.
    pub(crate) fn is_ripe(&self) -> bool {
        matches!(self.state, State::Ripe { .. })
    }

    /// Where deliveries that have not failed on their own go first: the number after which to look for the next one.
    /// So it is until the endpoint has proved itself; what has failed before would say too little about it.
    pub(crate) fn clean_first_after(&self) -> Option<DeliverySeq> {
        match self.state {
            State::Ripe { .. } => Some(self.last_probe),
            State::Recovering { .. } => Some(DeliverySeq(0)),
            State::Closed | State::Open { .. } | State::Probing { .. } => None,
        }
    }

    /// A delivery was sent.
    pub(crate) fn sent(&mut self, now: Timestamp, seq: DeliverySeq) {
        if let State::Ripe { failed_probes, .. } = self.state {
            self.last_probe = seq;
            self.state = State::Probing { seq, not_before: now, failed_probes };
        }
    }

    /// What was to be sent was not: a probe that never left tells nothing, and the next delivery is the probe.
    pub(crate) fn not_sent(&mut self, now: Timestamp, not_sent: DeliverySeq) {
        if let State::Probing { seq, not_before, failed_probes } = self.state
            && seq == not_sent
        {
            // A straggler may have asked for a longer pause meanwhile.
            self.state = if not_before > now {
                State::Open { until: not_before, failed_probes }
            } else {
                State::Ripe { since: now, failed_probes }
            };
        }
    }

    /// Somebody who knows has said that it is worth trying now.
    pub(crate) fn end_pause(&mut self, now: Timestamp) {
        if let State::Open { .. } = self.state {
            self.state = State::Ripe { since: now, failed_probes: 0 };
        }
    }

    pub(crate) fn time_passed(&mut self, now: Timestamp) {
        if let State::Open { until, failed_probes } = self.state
            && until <= now
        {
            self.state = State::Ripe { since: until, failed_probes };
        }
    }

    /// When [`Breaker::time_passed`] has something to do.
    pub(crate) fn alarm(&self) -> Option<Timestamp> {
        match self.state {
            State::Open { until, .. } => Some(until),
            State::Closed | State::Ripe { .. } | State::Probing { .. } | State::Recovering { .. } => None,
        }
    }

    /// The clock was set back: what is left of a pause stays as long as it was.
    pub(crate) fn clock_set_back(&mut self, by: Duration) {
        match &mut self.state {
            State::Open { until, .. } | State::Probing { not_before: until, .. } => {
                *until = earlier(*until, by)
            }
            State::Closed | State::Ripe { .. } | State::Recovering { .. } => {}
        }
    }

    pub(crate) fn failures_in_a_row(&self) -> u32 {
        self.failures_in_a_row
    }

    pub(crate) fn since(&self) -> Timestamp {
        self.since
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { until, .. } | State::Ripe { since: until, .. } => BreakerState::Open { until },
            State::Probing { .. } => BreakerState::Probing,
            State::Recovering { .. } => BreakerState::Recovering,
        }
    }
}

/// So much before a moment.
pub(crate) fn earlier(moment: Timestamp, by: Duration) -> Timestamp {
    let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(moment.as_millis().saturating_sub(by_ms))
}

#[cfg(test)]
mod tests;
