//! Endpoints that are down, come back, or want nothing more; deliveries that grow too old.

use std::time::Duration;

use hookit_contract::{AttemptOutcome, DeliverySeq, EndpointId, Timestamp};
use hookit_engine::{BreakerState, EndpointSettings, Engine, EngineConfig, Flow, Input, Waiting};

use crate::table::*;

const DOWN: AttemptOutcome = AttemptOutcome::ConnectFailed;

fn answered(seq: i64, status: u16, retry_after_s: Option<u64>) -> Input {
    let retry_after = retry_after_s.map(Duration::from_secs);
    Input::Attempted { seq: DeliverySeq(seq), outcome: NO, status: Some(status), retry_after, jitter: 0.0 }
}

fn lanes(from: i64, to: i64) -> Input {
    Input::Committed(on_disk(from, to))
}

fn state(engine: &Engine) -> BreakerState {
    engine.endpoint_stats(EndpointId(1)).unwrap().breaker
}

#[test]
fn g6_while_an_endpoint_is_down_one_probe_at_a_time_finds_out_and_nothing_counts() {
    let mut engine = engine(EngineConfig { in_flight_per_endpoint_max: 2, ..small() }, &[1]);
    check(
        &mut engine,
        &[
            (0, lanes(1, 4), &["send 1 to 1, attempt 1", "send 2 to 1, attempt 1"]),
            (0, attempted(1, DOWN), &["record 1, attempt 1: again at 0 ms, free"]),
            (1, attempted(2, DOWN), &["record 2, attempt 1: again at 1 ms, free"]),
            (1, recorded(1), &[]),
            (1, recorded(2), &[]),
            (2, lanes(5, 5), &[]),
        ],
    );
    assert_eq!(engine.next_due(), Some(Timestamp::from_millis(5_000)));
    check(
        &mut engine,
        &[
            (5_000, Input::TimePassed, &["send 1 to 1, attempt 2"]),
            (5_001, lanes(6, 6), &[]),
            (5_002, attempted(1, NO), &["record 1, attempt 2: again at 5002 ms, free"]),
            (5_002, recorded(1), &[]),
            (15_001, Input::TimePassed, &[]),
            // Another one each time: the one before may be what cannot be delivered.
            (15_002, Input::TimePassed, &["send 2 to 1, attempt 2"]),
        ],
    );
    assert_eq!(state(&engine), BreakerState::Probing);
    let stats = engine.endpoint_stats(EndpointId(1)).unwrap();
    assert_eq!((stats.failures_in_a_row, stats.in_flight_limit), (3, 0));
    assert_eq!(stats.breaker_since, Timestamp::from_millis(0));
}

#[test]
fn g6_when_it_is_back_all_that_waited_goes_out_at_once_in_order_at_a_rate_that_ramps_up() {
    let mut engine = engine(small(), &[1]);
    check(
        &mut engine,
        &[
            (0, lanes(1, 1), &["send 1 to 1, attempt 1"]),
            (0, attempted(1, DOWN), &["record 1, attempt 1: again at 0 ms, free"]),
            (0, recorded(1), &[]),
            (0, lanes(2, 9), &[]),
            (5_000, Input::TimePassed, &["send 1 to 1, attempt 2"]),
            (5_000, attempted(1, OK), &["record 1, attempt 2: delivered", "send 2 to 1, attempt 1"]),
            (
                5_001,
                attempted(2, OK),
                &["record 2, attempt 1: delivered", "send 3 to 1, attempt 1", "send 4 to 1, attempt 1"],
            ),
            (5_002, attempted(3, OK), &["record 3, attempt 1: delivered", "send 5 to 1, attempt 1"]),
        ],
    );
    assert_eq!(state(&engine), BreakerState::Recovering);
    let all = [
        "record 4, attempt 1: delivered",
        "send 6 to 1, attempt 1",
        "send 7 to 1, attempt 1",
        "send 8 to 1, attempt 1",
    ];
    check(&mut engine, &[(5_003, attempted(4, OK), &all)]);
    assert_eq!(state(&engine), BreakerState::Closed);
}

#[test]
fn g6_a_retry_after_is_a_floor_for_the_pause_and_for_no_longer_than_an_hour() {
    let mut engine = engine(small(), &[1]);
    check(
        &mut engine,
        &[
            (0, lanes(1, 2), &["send 1 to 1, attempt 1", "send 2 to 1, attempt 1"]),
            (0, answered(1, 429, Some(60)), &["record 1, attempt 1: again at 60000 ms, free"]),
            (0, answered(2, 503, Some(86_400)), &["record 2, attempt 1: again at 3600000 ms, free"]),
            (0, recorded(1), &[]),
            (0, recorded(2), &[]),
            (60_000, Input::TimePassed, &[]),
            (3_600_000, Input::TimePassed, &["send 1 to 1, attempt 2"]),
        ],
    );
}

#[test]
fn a_retry_after_of_another_status_is_not_heard() {
    let row: Row<'_> = (0, answered(1, 500, Some(60)), &["record 1, attempt 1: again at 10000 ms"]);
    check(&mut engine(small(), &[1]), &[(0, lanes(1, 1), &["send 1 to 1, attempt 1"]), row]);
}

#[test]
fn g6_one_order_that_always_fails_dies_by_its_own_plan_while_the_others_flow() {
    check(
        &mut engine(small(), &[1]),
        &[
            (0, committed(&[(1, 1, &[7]), (2, 1, &[7])]), &["send 1 to 1, attempt 1"]),
            (0, attempted(1, NO), &["record 1, attempt 1: again at 10000 ms"]),
            (0, recorded(1), &[]),
            (10_000, Input::TimePassed, &["send 1 to 1, attempt 2"]),
            (10_000, attempted(1, NO), &["record 1, attempt 2: again at 30000 ms"]),
            (10_000, recorded(1), &[]),
            (10_001, committed(&[(3, 1, &[8])]), &["send 3 to 1, attempt 1"]),
            (10_002, attempted(3, OK), &["record 3, attempt 1: delivered"]),
            (10_002, recorded(3), &[]),
            (30_000, Input::TimePassed, &["send 1 to 1, attempt 3"]),
            (30_001, attempted(1, NO), &["record 1, attempt 3: dead"]),
            (30_001, recorded(1), &["send 2 to 1, attempt 1"]),
        ],
    );
}

#[test]
fn what_does_not_count_uses_up_no_retry_even_after_many_attempts() {
    let mut engine = engine(small(), &[1]);
    let tried = Waiting { attempts: 40, failures: 1, ..waiting(1, 1, &[1]) };
    check(
        &mut engine,
        &[
            (0, Input::Committed(vec![tried]), &["send 1 to 1, attempt 41"]),
            (0, attempted(1, NO), &["record 1, attempt 41: again at 20000 ms"]),
            (0, recorded(1), &[]),
            (20_000, Input::TimePassed, &["send 1 to 1, attempt 42"]),
            (20_000, attempted(1, DOWN), &["record 1, attempt 42: again at 20000 ms, free"]),
            (20_000, recorded(1), &[]),
            (25_000, Input::TimePassed, &["send 1 to 1, attempt 43"]),
            (25_000, attempted(1, OK), &["record 1, attempt 43: delivered"]),
        ],
    );
}

#[test]
fn an_endpoint_that_is_opened_by_an_operator_is_probed_at_once() {
    check(
        &mut engine(small(), &[1]),
        &[
            (0, lanes(1, 1), &["send 1 to 1, attempt 1"]),
            (0, attempted(1, DOWN), &["record 1, attempt 1: again at 0 ms, free"]),
            (0, recorded(1), &[]),
            (1, open(1), &[]),
            (1, held(1), &[]),
            (5_000, Input::TimePassed, &[]),
            (5_001, open(1), &["send 1 to 1, attempt 2"]),
            (5_001, attempted(1, DOWN), &["record 1, attempt 2: again at 5001 ms, free"]),
            (5_001, recorded(1), &[]),
            (5_002, held(1), &[]),
            (5_003, open(1), &["send 1 to 1, attempt 3"]),
        ],
    );
}

#[test]
fn an_endpoint_that_answers_410_is_disabled_once_and_what_waits_is_held_and_does_not_count() {
    let mut engine = engine(EngineConfig { hold_time: Duration::from_secs(60), ..small() }, &[1]);
    check(
        &mut engine,
        &[
            (0, lanes(1, 2), &["send 1 to 1, attempt 1", "send 2 to 1, attempt 1"]),
            (0, answered(1, 410, None), &["disable 1", "record 1, attempt 1: again at 0 ms, free"]),
            (0, recorded(1), &[]),
            (0, lanes(3, 3), &[]),
            (1, answered(2, 410, None), &["record 2, attempt 1: again at 1 ms, free"]),
            (1, recorded(2), &[]),
            (2, held(1), &[]),
            (90_000, Input::TimePassed, &[]),
            (
                90_000,
                open(1),
                &["send 1 to 1, attempt 2", "send 2 to 1, attempt 2", "send 3 to 1, attempt 1"],
            ),
            (90_000, attempted(1, OK), &["record 1, attempt 2: delivered"]),
            (90_000, answered(2, 410, None), &["disable 1", "record 2, attempt 2: dead"]),
        ],
    );
}

#[test]
fn a_probe_that_is_answered_410_leaves_no_probe_behind() {
    check(
        &mut engine(small(), &[1]),
        &[
            (0, lanes(1, 1), &["send 1 to 1, attempt 1"]),
            (0, attempted(1, DOWN), &["record 1, attempt 1: again at 0 ms, free"]),
            (0, recorded(1), &[]),
            (5_000, Input::TimePassed, &["send 1 to 1, attempt 2"]),
            (5_000, answered(1, 410, None), &["disable 1", "record 1, attempt 2: again at 5000 ms, free"]),
            (5_000, recorded(1), &[]),
            (5_000, held(1), &[]),
            (5_000, open(1), &["send 1 to 1, attempt 3"]),
        ],
    );
}

#[test]
fn a_delivery_that_has_outlived_the_hold_time_is_dead_when_its_attempt_fails_and_not_before() {
    let config = EngineConfig { hold_time: Duration::from_secs(10), ..small() };
    check(
        &mut engine(config, &[1]),
        &[
            (9_999, lanes(1, 2), &["send 1 to 1, attempt 1", "send 2 to 1, attempt 1"]),
            (9_999, attempted(1, NO), &["record 1, attempt 1: again at 19999 ms"]),
            (9_999, recorded(1), &[]),
            (19_999, Input::TimePassed, &["send 1 to 1, attempt 2"]),
            (19_999, attempted(1, OK), &["record 1, attempt 2: delivered"]),
            (19_999, attempted(2, NO), &["record 2, attempt 1: dead"]),
        ],
    );
}

#[test]
fn what_outlives_the_hold_time_behind_an_outage_is_given_up_and_its_lane_waits_until_that_is_on_disk() {
    let config = EngineConfig { hold_time: Duration::from_secs(8), ..small() };
    let young = Waiting { committed_at: Timestamp::from_millis(4_000), ..waiting(3, 1, &[1]) };
    let mut engine = engine(config, &[1]);
    check(
        &mut engine,
        &[
            (0, lanes(1, 2), &["send 1 to 1, attempt 1", "send 2 to 1, attempt 1"]),
            (0, attempted(1, DOWN), &["record 1, attempt 1: again at 0 ms, free"]),
            (0, recorded(1), &[]),
            (4_000, Input::Committed(vec![young]), &[]),
            (
                5_000,
                attempted(2, DOWN),
                &["record 2, attempt 1: again at 5000 ms, free", "send 1 to 1, attempt 2"],
            ),
            (5_000, attempted(1, DOWN), &["record 1, attempt 2: again at 5000 ms, free"]),
            (5_000, recorded(1), &[]),
        ],
    );
    assert_eq!(engine.next_due(), Some(Timestamp::from_millis(8_000)));
    check(
        &mut engine,
        &[
            (8_000, Input::TimePassed, &["give up 1"]),
            (8_000, recorded(2), &["give up 2"]),
            (8_000, Input::TimePassed, &[]),
        ],
    );
    let stats = engine.endpoint_stats(EndpointId(1)).unwrap();
    assert_eq!((stats.waiting, stats.in_flight, stats.recording), (1, 0, 2));
    check(
        &mut engine,
        &[
            (12_500, Input::TimePassed, &[]),
            (12_500, recorded(1), &["give up 3"]),
            (12_500, recorded(2), &[]),
            (12_500, recorded(3), &[]),
            (20_000, Input::TimePassed, &[]),
        ],
    );
    assert!(engine.is_quiet());
}

#[test]
fn only_so_many_are_given_up_at_a_time() {
    let config = EngineConfig { hold_time: Duration::from_secs(1), window_max: 1_000, ..small() };
    let mut engine = engine(config, &[1]);
    let mut actions = Vec::new();
    engine.handle(Timestamp::from_millis(0), lanes(1, 201), &mut actions);
    engine.handle(Timestamp::from_millis(0), attempted(1, DOWN), &mut actions);
    actions.clear();
    engine.handle(Timestamp::from_millis(1_000), Input::TimePassed, &mut actions);
    assert_eq!(actions.len(), 64, "{actions:?}");
    check(&mut engine, &[(1_000, recorded(5), &["give up 69"])]);
}

#[test]
fn a_held_endpoint_gives_nothing_up_and_a_stop_begins_nothing() {
    let config = EngineConfig { hold_time: Duration::from_secs(8), ..small() };
    let first = |stop: Input| {
        let mut engine = engine(config.clone(), &[1]);
        check(
            &mut engine,
            &[
                (0, lanes(1, 1), &["send 1 to 1, attempt 1"]),
                (0, attempted(1, DOWN), &["record 1, attempt 1: again at 0 ms, free"]),
                (0, recorded(1), &[]),
                (1, stop, &[]),
                (90_000, Input::TimePassed, &[]),
            ],
        );
        engine.next_due()
    };
    first(held(1));
    assert_eq!(first(Input::Stopping), None);
}

#[test]
fn a_clock_that_is_set_back_delays_neither_what_is_new_nor_the_end_of_a_pause() {
    let hour = 3_600_000;
    let later = Waiting { due: Timestamp::from_millis(2 * hour), ..waiting(2, 1, &[2]) };
    let mut engine = engine(small(), &[1]);
    check(
        &mut engine,
        &[
            (hour, lanes(1, 1), &["send 1 to 1, attempt 1"]),
            (hour, Input::Committed(vec![later]), &["send 2 to 1, attempt 1"]),
            (hour, attempted(1, DOWN), &["record 1, attempt 1: again at 3600000 ms, free"]),
            (hour, recorded(1), &[]),
            (hour + 1_000, attempted(2, DOWN), &["record 2, attempt 1: again at 3601000 ms, free"]),
            (1_000, recorded(2), &[]),
        ],
    );
    assert_eq!(engine.next_due(), Some(Timestamp::from_millis(5_000)));
    check(
        &mut engine,
        &[(4_999, Input::TimePassed, &[]), (5_000, Input::TimePassed, &["send 1 to 1, attempt 2"])],
    );
}

#[test]
fn a_retry_planned_by_a_clock_that_was_ahead_waits_no_longer_than_the_longest_pause_there_is() {
    let (hour, year) = (3_600_000, 365 * 24 * 3_600_000);
    let planned_then = |n: i64| Waiting {
        due: Timestamp::from_millis(year + 10_000),
        attempts: 1,
        failures: 1,
        ..waiting(n, 1, &[n])
    };
    let fresh = |n: i64, order: i64| Waiting {
        committed_at: Timestamp::from_millis(year),
        ..waiting(n, 1, &[order])
    };
    // In memory, waiting or being recorded.
    let mut engine = engine(small(), &[1]);
    check(
        &mut engine,
        &[
            (
                year,
                Input::Committed(vec![fresh(1, 1), fresh(2, 2)]),
                &["send 1 to 1, attempt 1", "send 2 to 1, attempt 1"],
            ),
            (year, attempted(1, NO), &["record 1, attempt 1: again at 31536010000 ms"]),
            (year, recorded(1), &[]),
            (year, Input::Committed(vec![fresh(3, 1)]), &[]),
            (year, attempted(2, NO), &["record 2, attempt 1: again at 31536010000 ms"]),
            (1_000, Input::TimePassed, &[]),
            (1_000, recorded(2), &[]),
            (1_000 + hour - 1, Input::TimePassed, &[]),
            (1_000 + hour, Input::TimePassed, &["send 1 to 1, attempt 2", "send 2 to 1, attempt 2"]),
            (1_000 + hour, attempted(1, OK), &["record 1, attempt 2: delivered"]),
            (1_000 + hour, recorded(1), &["send 3 to 1, attempt 1"]),
        ],
    );
    // On disk, read by a process that never saw that clock.
    let mut engine = Engine::new(small());
    check(
        &mut engine,
        &[
            (1_000, open(1), &["read 5 of 1 after 0"]),
            (1_000, page(1, 0, vec![planned_then(1)], true), &[]),
            (1_000 + hour - 1, Input::TimePassed, &[]),
            (1_000 + hour, Input::TimePassed, &["send 1 to 1, attempt 2"]),
        ],
    );
}

#[test]
fn an_endpoint_that_comes_back_after_it_had_gone_begins_with_a_clean_record() {
    let mut engine = engine(small(), &[1]);
    check(
        &mut engine,
        &[
            (0, lanes(1, 2), &["send 1 to 1, attempt 1", "send 2 to 1, attempt 1"]),
            (0, attempted(1, DOWN), &["record 1, attempt 1: again at 0 ms, free"]),
            (0, recorded(1), &[]),
            (1, gone(1), &[]),
            (
                1,
                set(1, EndpointSettings { flow: Flow::Open, ..EndpointSettings::default() }),
                &["read 5 of 1 after 0"],
            ),
            (1, page(1, 0, on_disk(1, 2), true), &["send 1 to 1, attempt 1"]),
        ],
    );
}

#[test]
fn a_retry_after_that_a_straggler_brings_while_the_probe_is_out_is_kept_to() {
    check(
        &mut engine(small(), &[1]),
        &[
            (0, lanes(1, 2), &["send 1 to 1, attempt 1", "send 2 to 1, attempt 1"]),
            (10, answered(1, 503, None), &["record 1, attempt 1: again at 10 ms, free"]),
            (10, recorded(1), &[]),
            (5_010, Input::TimePassed, &["send 1 to 1, attempt 2"]),
            (5_020, answered(2, 503, Some(100)), &["record 2, attempt 1: again at 105020 ms, free"]),
            (5_020, recorded(2), &[]),
            // The endpoint is back, and others go; this one was asked to wait.
            (
                5_030,
                Input::Attempted {
                    seq: DeliverySeq(1),
                    outcome: OK,
                    status: Some(200),
                    retry_after: None,
                    jitter: 0.0,
                },
                &["record 1, attempt 2: delivered"],
            ),
            (5_030, recorded(1), &[]),
            (6_000, lanes(3, 3), &["send 3 to 1, attempt 1"]),
            (6_010, attempted(3, OK), &["record 3, attempt 1: delivered"]),
            (6_010, recorded(3), &[]),
            (105_019, Input::TimePassed, &[]),
            (105_020, Input::TimePassed, &["send 2 to 1, attempt 2"]),
        ],
    );
}
