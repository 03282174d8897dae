//! Whole outages, hours of them in a moment: an engine in a closed loop with scripted endpoints and a clock of its
//! own. What the tables show step by step must come to the right thing in the end.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;

use hookit_contract::{AttemptOutcome, DeliverySeq, EndpointId, OrderId, Timestamp};
use hookit_engine::{Action, BreakerState, EndpointSettings, Engine, EngineConfig, Input, Verdict, Waiting};

const SECOND_MS: i64 = 1_000;
const HOUR_MS: i64 = 3_600 * SECOND_MS;

/// How an attempt goes: after how long, and how it ends.
type Answer = (i64, AttemptOutcome, Option<u16>);

const OK: Answer = (20, AttemptOutcome::Acknowledged, Some(200));
const HANGS: Answer = (10_000, AttemptOutcome::TimedOut, None);

struct Delivery {
    endpoint: i64,
    order: i64,
    committed_ms: i64,
    failures: u32,
    attempts: u32,
    ended_ms: Option<i64>,
    dead: bool,
}

enum Event {
    Commit { endpoint: i64, order: i64 },
    End { seq: DeliverySeq, answer: Answer },
}

struct Loop<F> {
    engine: Engine,
    answers: F,
    now_ms: i64,
    events: BTreeMap<(i64, u64), Event>,
    next_no: u64,
    deliveries: BTreeMap<DeliverySeq, Delivery>,
    /// Each send, with how many were under way to that endpoint then, this one included.
    sends: Vec<(i64, DeliverySeq, usize)>,
    opened: bool,
}

impl<F: Fn(i64, i64, i64) -> Answer> Loop<F> {
    /// `answers` is given the endpoint, the order and the moment.
    fn new(config: EngineConfig, endpoints: i64, answers: F) -> Self {
        let mut this = Loop {
            engine: Engine::new(config),
            answers,
            now_ms: 0,
            events: BTreeMap::new(),
            next_no: 0,
            deliveries: BTreeMap::new(),
            sends: Vec::new(),
            opened: false,
        };
        for endpoint in (1..=endpoints).map(EndpointId) {
            this.tell(Input::Endpoint { endpoint, settings: EndpointSettings::default() });
        }
        this
    }

    fn at(&mut self, at_ms: i64, event: Event) {
        self.events.insert((at_ms, self.next_no), event);
        self.next_no += 1;
    }

    fn commit(&mut self, at_ms: i64, endpoint: i64, order: i64) {
        self.at(at_ms, Event::Commit { endpoint, order });
    }

    /// Goes on until nothing happens any more, or until then.
    fn run(&mut self, until_ms: i64) {
        loop {
            let event_ms = self.events.first_key_value().map(|(&(at_ms, _), _)| at_ms);
            let due_ms = self.engine.next_due().map(Timestamp::as_millis);
            let Some(next_ms) = event_ms.into_iter().chain(due_ms).min() else { break };
            assert!(
                due_ms.is_none_or(|due_ms| due_ms > self.now_ms || self.now_ms == 0),
                "an alarm in the past"
            );
            if next_ms > until_ms {
                break;
            }
            self.now_ms = next_ms;
            if due_ms == Some(next_ms) {
                self.tell(Input::TimePassed);
                continue;
            }
            match self.events.pop_first().unwrap().1 {
                Event::Commit { endpoint, order } => {
                    let seq = DeliverySeq(self.deliveries.len() as i64 + 1);
                    let delivery = Delivery {
                        endpoint,
                        order,
                        committed_ms: self.now_ms,
                        failures: 0,
                        attempts: 0,
                        ended_ms: None,
                        dead: false,
                    };
                    self.deliveries.insert(seq, delivery);
                    self.tell(Input::Committed(vec![self.waiting(seq)]));
                }
                Event::End { seq, answer: (_, outcome, status) } => {
                    let jitter = (self.next_no % 11) as f64 / 10.0;
                    self.tell(Input::Attempted { seq, outcome, status, retry_after: None, jitter });
                }
            }
        }
    }

    fn waiting(&self, seq: DeliverySeq) -> Waiting {
        let delivery = &self.deliveries[&seq];
        Waiting {
            seq,
            endpoint: EndpointId(delivery.endpoint),
            orders: Box::new([OrderId(delivery.order)]),
            attempts: delivery.attempts,
            failures: delivery.failures,
            due: Timestamp::from_millis(delivery.committed_ms),
            committed_at: Timestamp::from_millis(delivery.committed_ms),
        }
    }

    fn tell(&mut self, input: Input) {
        let mut actions = Vec::new();
        let now = Timestamp::from_millis(self.now_ms);
        self.engine.handle(now, input, &mut actions);
        for action in actions {
            match action {
                Action::Send { seq, endpoint, .. } => {
                    let answer = (self.answers)(endpoint.0, self.deliveries[&seq].order, self.now_ms);
                    self.at(self.now_ms + answer.0, Event::End { seq, answer });
                    let under_way = self.events.values().filter(|event| match event {
                        Event::End { seq, .. } => self.deliveries[seq].endpoint == endpoint.0,
                        Event::Commit { .. } => false,
                    });
                    self.sends.push((self.now_ms, seq, under_way.count()));
                }
                Action::Record { seq, attempt, verdict } => {
                    let delivery = self.deliveries.get_mut(&seq).unwrap();
                    delivery.attempts = attempt;
                    match verdict {
                        Verdict::Delivered => delivery.ended_ms = Some(self.now_ms),
                        Verdict::Dead => {
                            delivery.ended_ms = Some(self.now_ms);
                            delivery.dead = true;
                        }
                        Verdict::RetryAt { counted, .. } => delivery.failures += u32::from(counted),
                    }
                    self.tell(Input::Recorded { seq });
                }
                Action::GiveUp { seq } => {
                    let delivery = self.deliveries.get_mut(&seq).unwrap();
                    delivery.ended_ms = Some(self.now_ms);
                    delivery.dead = true;
                    self.tell(Input::Recorded { seq });
                }
                Action::Disable { endpoint } => panic!("{endpoint:?} did not answer 410"),
                Action::ReadPending { endpoint, after, limit } => {
                    let pending = self.deliveries.iter().filter(|(seq, delivery)| {
                        **seq > after && delivery.endpoint == endpoint.0 && delivery.ended_ms.is_none()
                    });
                    let mut deliveries: Vec<Waiting> =
                        pending.take(limit + 1).map(|(&seq, _)| self.waiting(seq)).collect();
                    let end = deliveries.len() <= limit;
                    deliveries.truncate(limit);
                    self.tell(Input::Page { endpoint, after, deliveries, end });
                }
            }
        }
        self.opened |= self.state(1) != Some(BreakerState::Closed);
    }

    fn state(&self, endpoint: i64) -> Option<BreakerState> {
        self.engine.endpoint_stats(EndpointId(endpoint)).map(|stats| stats.breaker)
    }

    /// The longest time from commit to acknowledgement at an endpoint.
    fn slowest_ms(&self, endpoint: i64) -> i64 {
        let there = self.deliveries.values().filter(|delivery| delivery.endpoint == endpoint);
        there.map(|delivery| delivery.ended_ms.unwrap() - delivery.committed_ms).max().unwrap()
    }
}

#[test]
fn g6_after_an_outage_of_71_hours_of_any_kind_all_is_delivered_and_nobody_had_to_do_anything() {
    for down in [
        (1, AttemptOutcome::ConnectFailed, None),
        (5, AttemptOutcome::Refused, Some(503)),
        (5, AttemptOutcome::Refused, Some(500)),
        (5, AttemptOutcome::Refused, Some(404)),
        (9, AttemptOutcome::ConnectionLost, None),
        HANGS,
    ] {
        let back_ms = 71 * HOUR_MS;
        let mut run =
            Loop::new(EngineConfig::default(), 1, |_, _, now_ms| if now_ms < back_ms { down } else { OK });
        for n in 0..400 {
            run.commit((n - 9).max(0) * 37 * SECOND_MS, 1, n % 90);
        }
        run.run(i64::MAX);

        assert!(
            run.deliveries.values().all(|delivery| delivery.ended_ms.is_some() && !delivery.dead),
            "{down:?}"
        );
        let counted: Vec<u32> = run.deliveries.values().map(|delivery| delivery.failures).collect();
        assert!(counted.iter().all(|&failures| failures <= 1), "{down:?}");
        assert!(counted.iter().sum::<u32>() <= 2, "{down:?}: the row before it opened");
        let quiet_from_ms = run.sends[0].0 + 120 * SECOND_MS;
        for &(at_ms, seq, under_way) in &run.sends {
            let probing = (quiet_from_ms..back_ms).contains(&at_ms);
            assert!(!probing || under_way == 1, "{down:?}: {seq} is one of {under_way} at {at_ms} ms");
        }
        let probes = run.sends.iter().filter(|(at_ms, ..)| *at_ms < back_ms).count();
        assert!((710..=900).contains(&probes), "{down:?}: {probes} probes");
        // The longest pause, the last hanging probe, and then the backlog: 400 in 90 lanes, 20 ms each.
        let last_ms = run.deliveries.values().filter_map(|delivery| delivery.ended_ms).max().unwrap();
        assert!(last_ms <= back_ms + 360 * SECOND_MS + 10 * SECOND_MS + SECOND_MS, "{down:?}: {last_ms}");
        assert!(
            run.sends.iter().any(|&(.., under_way)| under_way == 32),
            "{down:?}: it never got up to speed"
        );
        assert_eq!(run.state(1), Some(BreakerState::Closed));
        for order in 0..90 {
            let ended: Vec<_> =
                run.deliveries.values().filter(|d| d.order == order).map(|d| d.ended_ms).collect();
            assert!(ended.is_sorted(), "{down:?}: order {order}");
        }
    }
}

#[test]
fn g6_what_an_outage_outlasts_is_dead_at_the_hold_time_and_what_is_younger_is_delivered() {
    let down = (1, AttemptOutcome::ConnectFailed, None);
    let back_ms = 80 * HOUR_MS;
    let mut run =
        Loop::new(EngineConfig::default(), 1, |_, _, now_ms| if now_ms < back_ms { down } else { OK });
    for n in 0..200 {
        run.commit(n, 1, n);
    }
    for n in 200..300 {
        run.commit(20 * HOUR_MS + n, 1, n);
    }
    run.run(73 * HOUR_MS);
    let dead = run.deliveries.values().filter(|delivery| delivery.dead);
    let after_ms: Vec<i64> =
        dead.map(|delivery| delivery.ended_ms.unwrap() - delivery.committed_ms).collect();
    assert_eq!(after_ms.len(), 200);
    assert!(
        after_ms.iter().all(|&ms| (72 * HOUR_MS..72 * HOUR_MS + SECOND_MS).contains(&ms)),
        "{after_ms:?}"
    );
    run.run(i64::MAX);
    assert_eq!(run.deliveries.values().filter(|delivery| delivery.dead).count(), 200);
    assert!(run.deliveries.values().all(|delivery| delivery.ended_ms.is_some()));
}

#[test]
fn g6_an_order_that_can_never_be_delivered_dies_by_its_plan_and_opens_nothing_while_others_flow() {
    let poison = (20, AttemptOutcome::Refused, Some(500));
    let mut run = Loop::new(EngineConfig::default(), 1, |_, order, _| if order == 7 { poison } else { OK });
    run.commit(0, 1, 7);
    for n in 0..4_000 {
        run.commit(n * 60 * SECOND_MS, 1, 1_000 + n % 50);
    }
    run.run(i64::MAX);
    assert!(!run.opened);
    let poisonous = &run.deliveries[&DeliverySeq(1)];
    assert!(poisonous.dead);
    assert_eq!((poisonous.attempts, poisonous.failures), (8, 7));
    let others = run.deliveries.values().filter(|delivery| delivery.order != 7);
    assert!(others.into_iter().all(|d| !d.dead && d.ended_ms.unwrap() - d.committed_ms == 20));
}

#[test]
fn g6_orders_that_can_never_be_delivered_do_not_keep_an_endpoint_down() {
    let back_ms = HOUR_MS;
    let poison = (20, AttemptOutcome::Refused, Some(500));
    let down = (1, AttemptOutcome::ConnectFailed, None);
    let answers = |_, order, now_ms| match order {
        _ if now_ms < back_ms => down,
        1..=3 => poison,
        _ => OK,
    };
    let mut run = Loop::new(EngineConfig::default(), 1, answers);
    for order in 1..=10 {
        run.commit(order, 1, order);
    }
    run.run(i64::MAX);
    for delivery in run.deliveries.values() {
        assert_eq!(delivery.dead, delivery.order <= 3, "{}", delivery.order);
        // At most three probes are wasted on those that fail.
        assert!(delivery.dead || delivery.ended_ms.unwrap() < back_ms + 4 * 361 * SECOND_MS);
    }
}

#[test]
fn orders_that_can_never_be_delivered_and_have_an_endpoint_to_themselves_end_at_the_hold_time() {
    let poison = (20, AttemptOutcome::Refused, Some(400));
    let mut run = Loop::new(EngineConfig::default(), 1, |_, order, _| if order <= 3 { poison } else { OK });
    for order in 1..=3 {
        run.commit(order, 1, order);
    }
    // From outside this looks like an endpoint that refuses everything, until somebody else's order comes.
    let late_ms = 30 * HOUR_MS;
    run.commit(late_ms, 1, 9);
    run.run(i64::MAX);
    let late = run.deliveries.values().find(|delivery| delivery.order == 9).unwrap();
    assert!(late.ended_ms.unwrap() - late_ms <= 361 * SECOND_MS, "it is the next probe");
    for delivery in run.deliveries.values().filter(|delivery| delivery.order <= 3) {
        let age_ms = delivery.ended_ms.unwrap() - delivery.committed_ms;
        assert!(delivery.dead && (71 * HOUR_MS..73 * HOUR_MS).contains(&age_ms), "{age_ms}");
        assert!(delivery.failures <= 2, "{}", delivery.failures);
    }
}

/// The longest time to acknowledgement at the healthy ones of these endpoints, the first so many of which hang.
fn slowest_beside(hanging: i64, endpoints: i64) -> i64 {
    let config = EngineConfig { in_flight_max: 64, ..EngineConfig::default() };
    let mut run = Loop::new(config, endpoints, |endpoint, _, _| if endpoint <= hanging { HANGS } else { OK });
    for n in 0..60_000 / 25 {
        for endpoint in 1..=endpoints {
            // Those that hang have a backlog before the others begin.
            let at_ms = if endpoint <= hanging { 0 } else { 100 + n * 25 };
            run.commit(at_ms, endpoint, n);
        }
    }
    run.run(70 * SECOND_MS);
    (hanging + 1..=endpoints).map(|endpoint| run.slowest_ms(endpoint)).max().unwrap()
}

#[test]
fn g5_one_that_hangs_or_half_of_all_take_nothing_from_those_that_do_not() {
    let alone = slowest_beside(0, 10);
    assert_eq!(alone, 20);
    assert_eq!(slowest_beside(1, 10), alone);
    assert_eq!(slowest_beside(5, 10), alone);
}

#[test]
fn a_rate_limit_is_kept_over_a_whole_backlog_and_costs_no_more_than_it_must() {
    let mut run = Loop::new(EngineConfig::default(), 1, |_, _, _| OK);
    let settings = EndpointSettings { rate_per_second_max: Some(10), ..EndpointSettings::default() };
    run.tell(Input::Endpoint { endpoint: EndpointId(1), settings });
    for n in 0..310 {
        run.commit(0, 1, n);
    }
    run.run(i64::MAX);
    let sent_ms: Vec<i64> = run.sends.iter().map(|&(at_ms, ..)| at_ms).collect();
    for (i, &at_ms) in sent_ms.iter().enumerate() {
        let within_second = sent_ms[i..].iter().filter(|&&later| later < at_ms + SECOND_MS).count();
        assert!(within_second <= 20, "{within_second} within a second from {at_ms} ms");
    }
    assert_eq!(*sent_ms.last().unwrap(), 30 * SECOND_MS);
}

#[test]
fn newer_orders_pass_a_window_full_of_orders_that_fail_and_those_still_end_by_their_own_plan() {
    let config = EngineConfig { window_max: 64, page_size: 16, ..EngineConfig::default() };
    let failing = (20, AttemptOutcome::Refused, Some(422));
    let mut run = Loop::new(config, 1, |_, order, _| if order % 10 == 0 { failing } else { OK });
    for n in 0..1_500 {
        run.commit(n * 500, 1, n);
    }
    run.run(i64::MAX);
    for delivery in run.deliveries.values() {
        assert_eq!(delivery.dead, delivery.order % 10 == 0, "{}", delivery.order);
        let took_ms = delivery.ended_ms.unwrap() - delivery.committed_ms;
        // A minute is for breaks in which only orders that fail had their turn.
        assert!(delivery.dead || took_ms < 60 * SECOND_MS, "order {} took {took_ms} ms", delivery.order);
    }
}
