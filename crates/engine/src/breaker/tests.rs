use super::*;

const RULES: BreakerRules = BreakerRules {
    failures_in_a_row_to_open: 3,
    probe_pause_min: Duration::from_secs(5),
    probe_pause_max: Duration::from_secs(20),
};

enum Step {
    /// The attempt of a delivery that carries this one order ended; whether that is expected to count.
    End(i64, Sign, bool),
    /// The same, and its answer asked for so many seconds.
    Asked(i64, Sign, u64),
    Sent(i64),
    Time,
    Back(u64),
    PauseEnded,
}
use Sign::{Acknowledged as Ack, DeliveryFailed as No, EndpointFailed as Down, Gone};
use Step::{Asked, Back, End as Ended, PauseEnded, Sent, Time};

/// What it says after each step: `closed`, `open 5000`, `ripe`, `probing`, `recovering 2`.
fn check(in_flight_max: usize, rows: &[(i64, Step, &str)]) -> Breaker {
    let mut breaker = Breaker::new(RULES, Timestamp::from_millis(0));
    for (i, (now_ms, step, expect)) in rows.iter().enumerate() {
        let now = Timestamp::from_millis(*now_ms);
        let mut end = |order: i64, sign, floor_s| {
            let (seq, orders, floor) = (DeliverySeq(order), &[OrderId(order)], Duration::from_secs(floor_s));
            breaker.ended(now, End { seq, orders, sign, floor, jitter: 0.0 }, in_flight_max)
        };
        match *step {
            Ended(order, sign, counts) => {
                assert_eq!(end(order, sign, 0), counts, "row {i}");
            }
            Asked(order, sign, floor_s) => {
                end(order, sign, floor_s);
            }
            Sent(seq) => breaker.sent(now, DeliverySeq(seq)),
            Time => breaker.time_passed(now),
            Back(by_ms) => breaker.clock_set_back(Duration::from_millis(by_ms)),
            PauseEnded => breaker.end_pause(now),
        }
        let shown = match breaker.state {
            State::Closed => "closed".to_owned(),
            State::Open { until, .. } => format!("open {}", until.as_millis()),
            State::Ripe { .. } => "ripe".to_owned(),
            State::Probing { .. } => "probing".to_owned(),
            State::Recovering { limit, .. } => format!("recovering {limit}"),
        };
        assert_eq!(shown, *expect, "row {i}, at {now_ms} ms");
    }
    breaker
}

#[test]
fn a_failure_of_the_endpoint_opens_it_at_once_and_is_free() {
    check(8, &[(10, Ended(1, Down, false), "open 5010")]);
}

#[test]
fn failures_of_three_different_orders_in_a_row_open_it_and_the_third_is_free() {
    check(
        8,
        &[
            (0, Ended(1, No, true), "closed"),
            (0, Ended(2, No, true), "closed"),
            (0, Ended(3, No, false), "open 5000"),
        ],
    );
}

#[test]
fn one_order_that_fails_again_and_again_never_opens_it() {
    let rows: Vec<_> = (0..50).map(|i| (i, Ended(1, No, true), "closed")).collect();
    check(8, &rows);
}

#[test]
fn an_acknowledgement_in_between_begins_the_row_anew() {
    let breaker = check(
        8,
        &[
            (0, Ended(1, No, true), "closed"),
            (0, Ended(2, No, true), "closed"),
            (0, Ended(9, Ack, false), "closed"),
            (0, Ended(3, No, true), "closed"),
            (0, Ended(1, No, true), "closed"),
        ],
    );
    assert_eq!(breaker.failures_in_a_row(), 2);
}

#[test]
fn batches_that_have_an_order_in_common_are_one_in_the_row() {
    let mut breaker = Breaker::new(RULES, Timestamp::from_millis(0));
    for (seq, orders) in [(1, [7, 8]), (2, [8, 9]), (3, [9, 7])] {
        let orders = orders.map(OrderId);
        let end =
            End { seq: DeliverySeq(seq), orders: &orders, sign: No, floor: Duration::ZERO, jitter: 0.0 };
        assert!(breaker.ended(Timestamp::from_millis(0), end, 8));
    }
    assert_eq!(breaker.state, State::Closed);
}

#[test]
fn one_probe_at_a_time_after_a_pause_that_doubles_to_its_longest() {
    let breaker = check(
        8,
        &[
            (0, Ended(1, Down, false), "open 5000"),
            (4_999, Time, "open 5000"),
            (5_000, Time, "ripe"),
            (5_000, Sent(1), "probing"),
            (5_100, Ended(1, Down, false), "open 15100"),
            (15_100, Time, "ripe"),
            (15_100, Sent(2), "probing"),
            (15_100, Ended(2, No, false), "open 35100"),
            (35_100, Time, "ripe"),
            (35_100, Sent(3), "probing"),
            (35_100, Ended(3, Gone, false), "open 55100"),
        ],
    );
    assert_eq!(breaker.since(), Timestamp::from_millis(0), "an outage counts from its beginning");
    assert_eq!(breaker.limit(8), 0);
    assert!(breaker.is_down());
}

#[test]
fn the_probe_is_another_one_each_time_and_a_new_outage_begins_with_the_lowest() {
    let mut breaker = check(
        1,
        &[
            (0, Ended(1, Down, false), "open 5000"),
            (5_000, Time, "ripe"),
            (5_000, Sent(4), "probing"),
            (5_000, Ended(4, No, false), "open 15000"),
            (15_000, Time, "ripe"),
        ],
    );
    assert_eq!(breaker.clean_first_after(), Some(DeliverySeq(4)));
    breaker = check(
        1,
        &[
            (0, Ended(1, Down, false), "open 5000"),
            (5_000, Time, "ripe"),
            (5_000, Sent(4), "probing"),
            (5_000, Ended(4, Ack, false), "closed"),
            (6_000, Ended(1, Down, false), "open 11000"),
            (11_000, Time, "ripe"),
        ],
    );
    assert_eq!(breaker.clean_first_after(), Some(DeliverySeq(0)));
}

#[test]
fn stragglers_are_free_lengthen_no_pause_and_close_nothing() {
    check(
        8,
        &[
            (0, Ended(1, Down, false), "open 5000"),
            (10, Ended(2, Down, false), "open 5000"),
            (20, Ended(3, No, false), "open 5000"),
            (30, Ended(4, Ack, false), "open 5000"),
            (5_000, Time, "ripe"),
            (5_001, Ended(5, No, false), "ripe"),
            (5_001, Ended(6, Ack, false), "ripe"),
            (5_002, Sent(1), "probing"),
            (5_003, Ended(7, Ack, false), "probing"),
            (5_003, Ended(8, Down, false), "probing"),
            (5_004, Ended(1, Down, false), "open 15004"),
        ],
    );
}

#[test]
fn an_answer_may_ask_for_a_longer_pause_whoever_gets_it() {
    check(
        8,
        &[
            (0, Asked(1, Down, 60), "open 60000"),
            (0, Asked(2, Down, 3), "open 60000"),
            (10_000, Asked(3, Down, 70), "open 80000"),
            (80_000, Time, "ripe"),
            (80_000, Asked(4, Down, 10), "open 90000"),
            (90_000, Time, "ripe"),
            (90_000, Sent(1), "probing"),
            (90_000, Asked(5, Down, 100), "probing"),
            (90_000, Ended(1, Down, false), "open 190000"),
        ],
    );
}

#[test]
fn the_limit_doubles_with_every_round_that_is_acknowledged_until_it_is_reached() {
    let ack = |i| (5_000, Ended(i, Ack, false), "recovering 1");
    let mut rows = vec![
        (0, Ended(1, Down, false), "open 5000"),
        (5_000, Time, "ripe"),
        (5_000, Sent(1), "probing"),
        ack(1),
        (5_000, Ended(2, Ack, false), "recovering 2"),
        (5_000, Ended(3, Ack, false), "recovering 2"),
        (5_000, Ended(4, Ack, false), "recovering 4"),
    ];
    rows.extend((5..8).map(|i| (5_000, Ended(i, Ack, false), "recovering 4")));
    rows.push((5_000, Ended(8, Ack, false), "closed"));
    let breaker = check(6, &rows);
    assert_eq!(breaker.limit(6), 6);
    assert_eq!(breaker.since(), Timestamp::from_millis(5_000));
}

#[test]
fn while_it_recovers_one_delivery_may_fail_but_not_the_endpoint() {
    check(
        8,
        &[
            (0, Ended(1, Down, false), "open 5000"),
            (5_000, Time, "ripe"),
            (5_000, Sent(1), "probing"),
            (5_000, Ended(1, Ack, false), "recovering 1"),
            (5_000, Ended(2, No, true), "recovering 1"),
            (5_001, Ended(3, Ack, false), "recovering 2"),
            (5_002, Ended(3, Down, false), "open 10002"),
        ],
    );
}

#[test]
fn a_clock_that_is_set_back_leaves_a_pause_as_long_as_it_was() {
    check(
        8,
        &[
            (100_000, Ended(1, Down, false), "open 105000"),
            (2_000, Back(99_000), "open 6000"),
            (6_000, Time, "ripe"),
        ],
    );
}

#[test]
fn whoever_says_that_it_is_worth_trying_ends_the_pause_and_begins_with_a_short_one_again() {
    check(
        8,
        &[
            (0, Ended(1, Down, false), "open 5000"),
            (5_000, Time, "ripe"),
            (5_000, Sent(1), "probing"),
            (5_000, PauseEnded, "probing"),
            (5_000, Ended(1, Down, false), "open 15000"),
            (5_001, PauseEnded, "ripe"),
            (5_001, Sent(2), "probing"),
            (5_001, Ended(2, Down, false), "open 15001"),
        ],
    );
}

#[test]
fn jitter_makes_a_pause_longer_and_never_shorter() {
    let mut breaker = Breaker::new(RULES, Timestamp::from_millis(0));
    let end = End { seq: DeliverySeq(1), orders: &[], sign: Down, floor: Duration::ZERO, jitter: 1.0 };
    breaker.ended(Timestamp::from_millis(0), end, 8);
    assert_eq!(breaker.alarm(), Some(Timestamp::from_millis(6_000)));
}

#[test]
fn every_outcome_is_a_sign_of_something() {
    let check = |outcomes: &[(AttemptOutcome, Option<u16>)], expect: Sign| {
        for &(outcome, status) in outcomes {
            assert_eq!(Sign::of(outcome, status), expect, "{outcome} {status:?}");
        }
    };
    use AttemptOutcome::*;
    check(&[(Acknowledged, Some(200))], Ack);
    let down = [(ConnectFailed, None), (NameNotResolved, None), (TlsFailed, None), (AddressForbidden, None)];
    check(&down, Down);
    check(&[(Refused, Some(429)), (Refused, Some(503))], Down);
    check(&[(Refused, Some(410))], Gone);
    check(&[(Refused, Some(500)), (Refused, Some(302)), (Refused, None)], No);
    check(&[(TimedOut, None), (ConnectionLost, None), (AnswerUnreadable, None)], No);
}
