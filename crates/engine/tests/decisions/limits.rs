//! Settings of endpoints, their limits, the places kept for the healthy, and what a full window does.

use std::time::Duration;

use hookit_contract::{AttemptOutcome, DeliverySeq, EndpointId, Timestamp};
use hookit_engine::{EndpointSettings, Engine, EngineConfig, Input, NotSent, Ordering, Waiting};

use crate::table::*;

fn tuned(id: i64, tune: impl FnOnce(&mut EndpointSettings)) -> Input {
    let mut settings = EndpointSettings::default();
    tune(&mut settings);
    set(id, settings)
}

fn sends(engine: &mut Engine, now_ms: i64, input: Input) -> usize {
    let mut actions = Vec::new();
    engine.handle(Timestamp::from_millis(now_ms), input, &mut actions);
    actions.iter().map(show).filter(|text| text.starts_with("send")).count()
}

#[test]
fn an_endpoint_may_have_a_limit_of_its_own_which_may_change() {
    let mut engine = engine(small(), &[1]);
    check(
        &mut engine,
        &[
            (0, tuned(1, |s| s.in_flight_max = Some(1)), &[]),
            (0, Input::Committed(on_disk(1, 5)), &["send 1 to 1, attempt 1"]),
            (0, tuned(1, |s| s.in_flight_max = Some(2)), &["send 2 to 1, attempt 1"]),
            (0, tuned(1, |s| s.in_flight_max = Some(0)), &[]),
            (0, attempted(1, OK), &["record 1, attempt 1: delivered"]),
            (0, attempted(2, OK), &["record 2, attempt 1: delivered", "send 3 to 1, attempt 1"]),
            (0, tuned(1, |_| {}), &["send 4 to 1, attempt 1", "send 5 to 1, attempt 1"]),
        ],
    );
}

#[test]
fn without_an_ordering_none_waits_for_another_and_with_one_again_they_do() {
    let config = EngineConfig { in_flight_per_endpoint_max: 2, ..small() };
    let mut engine = engine(config, &[1]);
    let same = |from: i64, to: i64| Input::Committed((from..=to).map(|n| waiting(n, 1, &[7])).collect());
    check(
        &mut engine,
        &[
            (0, same(1, 4), &["send 1 to 1, attempt 1"]),
            (0, tuned(1, |s| s.ordering = Ordering::None), &["send 2 to 1, attempt 1"]),
            (1, attempted(2, OK), &["record 2, attempt 1: delivered", "send 3 to 1, attempt 1"]),
            (1, recorded(2), &[]),
            (1, tuned(1, |_| {}), &[]),
            (2, attempted(1, OK), &["record 1, attempt 1: delivered"]),
            (2, recorded(1), &[]),
            (3, attempted(3, NO), &["record 3, attempt 1: again at 10003 ms"]),
            (3, recorded(3), &[]),
            (10_003, Input::TimePassed, &["send 3 to 1, attempt 2"]),
            (10_004, attempted(3, OK), &["record 3, attempt 2: delivered"]),
            (10_004, recorded(3), &["send 4 to 1, attempt 1"]),
        ],
    );
}

#[test]
fn a_rate_limit_lets_a_second_s_worth_go_at_once_and_then_one_at_a_time() {
    let mut engine = engine(small(), &[1]);
    check(
        &mut engine,
        &[
            (0, tuned(1, |s| s.rate_per_second_max = Some(2)), &[]),
            (0, Input::Committed(on_disk(1, 5)), &["send 1 to 1, attempt 1", "send 2 to 1, attempt 1"]),
        ],
    );
    assert_eq!(engine.next_due(), Some(Timestamp::from_millis(500)));
    check(
        &mut engine,
        &[
            (499, Input::TimePassed, &[]),
            (500, Input::TimePassed, &["send 3 to 1, attempt 1"]),
            (501, tuned(1, |_| {}), &["send 4 to 1, attempt 1"]),
        ],
    );
}

#[test]
fn what_was_not_sent_uses_up_nothing_of_a_rate_limit() {
    let ended = |seq: i64| Input::NotSent { seq: DeliverySeq(seq), why: NotSent::Ended };
    let mut engine = engine(small(), &[1]);
    check(
        &mut engine,
        &[
            (0, tuned(1, |s| s.rate_per_second_max = Some(1)), &[]),
            (0, Input::Committed(on_disk(1, 4)), &["send 1 to 1, attempt 1"]),
            // Passed over, or taken back: the endpoint has heard nothing yet.
            (0, ended(1), &["send 2 to 1, attempt 1"]),
            (0, ended(2), &["send 3 to 1, attempt 1"]),
            (0, attempted(3, OK), &["record 3, attempt 1: delivered"]),
            (999, Input::TimePassed, &[]),
            (1_000, Input::TimePassed, &["send 4 to 1, attempt 1"]),
            // What is given back is no more than a second's worth.
            (1_900, committed(&[(5, 1, &[5])]), &[]),
            (2_000, Input::TimePassed, &["send 5 to 1, attempt 1"]),
            (3_500, ended(4), &[]),
            (3_500, ended(5), &[]),
            (3_500, committed(&[(6, 1, &[6]), (7, 1, &[7])]), &["send 6 to 1, attempt 1"]),
            (4_500, Input::TimePassed, &["send 7 to 1, attempt 1"]),
            // Nor is it more than would be there if it had never been taken: the rate holds over any second.
            (4_501, committed(&[(8, 1, &[8])]), &[]),
            (4_502, ended(6), &[]),
            (5_499, Input::TimePassed, &[]),
            (5_500, Input::TimePassed, &["send 8 to 1, attempt 1"]),
        ],
    );
}

#[test]
fn g5_an_endpoint_whose_attempts_hang_may_use_only_a_few_places_until_it_answers() {
    let config = EngineConfig { in_flight_per_endpoint_max: 6, in_flight_max: 64, window_max: 99, ..small() };
    let mut engine = engine(config, &[1]);
    assert_eq!(sends(&mut engine, 0, Input::Committed(on_disk(1, 30))), 6);
    assert_eq!(sends(&mut engine, 0, attempted(1, OK)), 1);
    assert_eq!(engine.next_due(), Some(Timestamp::from_millis(2_000)));
    assert_eq!(sends(&mut engine, 2_000, Input::TimePassed), 0);
    assert!(engine.endpoint_stats(EndpointId(1)).unwrap().suspect);
    for (seq, expect) in [(2, 0), (3, 0), (4, 1)] {
        assert_eq!(sends(&mut engine, 2_001, attempted(seq, OK)), expect, "{seq}");
    }
    assert_eq!(sends(&mut engine, 2_001, attempted(5, OK)), 1);
    // 6 is the last one that hangs.
    assert_eq!(sends(&mut engine, 2_001, attempted(6, OK)), 1);
    assert_eq!(sends(&mut engine, 2_002, attempted(7, OK)), 3);
    assert!(!engine.endpoint_stats(EndpointId(1)).unwrap().suspect);
}

#[test]
fn g5_a_quarter_of_all_places_is_never_given_to_endpoints_that_hang() {
    let config = EngineConfig {
        in_flight_max: 8,
        in_flight_per_endpoint_max: 6,
        suspect_in_flight_max: 4,
        window_max: 99,
        ..small()
    };
    let mut engine = engine(config, &[1, 2, 3]);
    let to = |id: i64, from: i64| Input::Committed((from..from + 9).map(|n| waiting(n, id, &[n])).collect());
    // One attempt each that hangs makes 1 and 2 suspect before their backlogs come.
    check(
        &mut engine,
        &[
            (0, committed(&[(1, 1, &[1])]), &["send 1 to 1, attempt 1"]),
            (0, committed(&[(2, 2, &[2])]), &["send 2 to 2, attempt 1"]),
        ],
    );
    assert_eq!(sends(&mut engine, 2_000, to(1, 10)), 3);
    assert_eq!(sends(&mut engine, 2_000, to(2, 20)), 1, "six of eight are taken");
    assert_eq!(sends(&mut engine, 2_000, to(3, 30)), 2, "the last two are for whoever does not hang");
    assert_eq!(engine.in_flight(), 8);
    // A place that a suspect leaves goes to whoever is next.
    assert_eq!(sends(&mut engine, 2_000, attempted(30, OK)), 1);
    let suspects = [1, 2].map(|id| engine.endpoint_stats(EndpointId(id)).unwrap().in_flight);
    assert_eq!(suspects.iter().sum::<usize>(), 6);
}

#[test]
fn g5_even_a_single_place_is_given_to_a_suspect_when_nobody_else_wants_it() {
    let config = EngineConfig { in_flight_max: 1, suspect_after_failures: 1, ..small() };
    let mut engine = engine(config, &[1]);
    assert_eq!(sends(&mut engine, 0, Input::Committed(on_disk(1, 2))), 1);
    assert_eq!(sends(&mut engine, 0, attempted(1, NO)), 1);
}

#[test]
fn a_window_full_of_retries_lets_newer_orders_pass_and_looks_again_half_a_minute_later() {
    let later = |n: i64, order: i64| Waiting {
        due: Timestamp::from_millis(40_000),
        attempts: 1,
        failures: 1,
        ..waiting(n, 1, &[order])
    };
    let config = EngineConfig { window_max: 8, page_size: 8, ..small() };
    let mut engine = Engine::new(config);
    let stuck: Vec<Waiting> = (1..=8).map(|n| later(n, n)).collect();
    check(
        &mut engine,
        &[
            (0, open(1), &["read 8 of 1 after 0"]),
            (0, page(1, 0, stuck, false), &["read 6 of 1 after 8"]),
            // 9 is behind 7, which was left on disk; 10 carries an order of 9 too; 11 is behind 2, which was kept.
            (
                0,
                page(
                    1,
                    8,
                    vec![
                        waiting(9, 1, &[7, 20]),
                        waiting(10, 1, &[20]),
                        waiting(11, 1, &[2]),
                        waiting(12, 1, &[12]),
                    ],
                    true,
                ),
                &["send 12 to 1, attempt 1"],
            ),
            (0, committed(&[(13, 1, &[20])]), &[]),
            (0, committed(&[(14, 1, &[14])]), &["send 14 to 1, attempt 1"]),
            (1, attempted(12, OK), &["record 12, attempt 1: delivered"]),
            (1, recorded(12), &[]),
            (1, attempted(14, OK), &["record 14, attempt 1: delivered"]),
            (1, recorded(14), &[]),
        ],
    );
    let stats = engine.endpoint_stats(EndpointId(1)).unwrap();
    assert_eq!((stats.waiting, stats.orders_set_aside, stats.more_on_disk), (3, 7, true));
    assert_eq!(engine.next_due(), Some(Timestamp::from_millis(30_000)));
    check(&mut engine, &[(30_000, Input::TimePassed, &["read 8 of 1 after 0"])]);
}

#[test]
fn what_was_set_aside_comes_back_as_soon_as_most_of_what_was_kept_has_gone() {
    let config = EngineConfig { window_max: 16, page_size: 16, hold_time: Duration::from_secs(9), ..small() };
    let mut engine = Engine::new(config);
    let lane = |from: i64, to: i64| (from..=to).map(|n| waiting(n, 1, &[1])).collect::<Vec<_>>();
    check(
        &mut engine,
        &[
            (0, open(1), &["read 16 of 1 after 0"]),
            (0, page(1, 0, lane(1, 16), false), &["send 1 to 1, attempt 1", "read 11 of 1 after 16"]),
            (0, page(1, 16, vec![waiting(17, 1, &[17])], true), &["send 17 to 1, attempt 1"]),
            (0, attempted(1, OK), &["record 1, attempt 1: delivered"]),
            (0, recorded(1), &["send 2 to 1, attempt 1"]),
            (0, attempted(2, OK), &["record 2, attempt 1: delivered"]),
            (0, recorded(2), &["send 3 to 1, attempt 1"]),
            (0, attempted(3, OK), &["record 3, attempt 1: delivered"]),
            (0, recorded(3), &["send 4 to 1, attempt 1", "read 14 of 1 after 0"]),
            (0, page(1, 0, lane(4, 16), true), &[]),
            (0, attempted(4, OK), &["record 4, attempt 1: delivered"]),
            (0, recorded(4), &["send 5 to 1, attempt 1"]),
        ],
    );
}

#[test]
fn an_endpoint_that_is_down_with_nothing_but_failures_in_its_window_is_probed_with_one_of_them() {
    let failed = |n: i64, due_ms: i64| Waiting {
        due: Timestamp::from_millis(due_ms),
        attempts: 1,
        failures: 1,
        ..waiting(n, 1, &[n])
    };
    let on_disk = || (1..=8).map(|n| failed(n, if n <= 2 { 900_000 } else { 0 })).collect::<Vec<_>>();
    let config = EngineConfig { in_flight_per_endpoint_max: 1, window_max: 8, page_size: 8, ..small() };
    check(
        &mut Engine::new(config),
        &[
            (0, open(1), &["read 8 of 1 after 0"]),
            (0, page(1, 0, on_disk(), false), &["send 3 to 1, attempt 2"]),
            // Those that wait until much later are the lowest, and are what is kept.
            (
                0,
                attempted(3, AttemptOutcome::ConnectFailed),
                &["record 3, attempt 2: again at 0 ms, free", "read 5 of 1 after 8"],
            ),
            (0, recorded(3), &[]),
            (0, page(1, 8, vec![], true), &[]),
            (5_000, Input::TimePassed, &["send 3 to 1, attempt 3"]),
            (
                5_000,
                attempted(3, AttemptOutcome::ConnectFailed),
                &["record 3, attempt 3: again at 5000 ms, free"],
            ),
            (5_000, recorded(3), &[]),
            (15_000, Input::TimePassed, &["send 3 to 1, attempt 4"]),
            (30_000, Input::TimePassed, &["read 7 of 1 after 0"]),
            (30_000, attempted(3, NO), &["record 3, attempt 4: again at 30000 ms, free"]),
            (30_000, recorded(3), &[]),
            (30_000, page(1, 0, on_disk(), false), &["read 6 of 1 after 8"]),
            (30_000, page(1, 8, vec![], true), &[]),
            (50_000, Input::TimePassed, &[]),
            (60_000, Input::TimePassed, &["read 8 of 1 after 0"]),
            // The pause is over, so there is a probe among them before the rest makes way again.
            (60_000, page(1, 0, on_disk(), false), &["send 4 to 1, attempt 2", "read 5 of 1 after 8"]),
        ],
    );
}
