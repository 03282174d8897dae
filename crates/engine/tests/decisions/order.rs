//! Lanes, retries, and how deliveries come into memory.

use hookit_contract::{AttemptOutcome, DeliverySeq, EndpointId, Timestamp};
use hookit_engine::{Engine, EngineConfig, Input, NotSent, Waiting};

use crate::table::*;

#[test]
fn g4_the_next_of_an_order_goes_when_the_one_before_is_recorded_not_when_it_is_acknowledged() {
    check(
        &mut engine(small(), &[1]),
        &[
            (0, committed(&[(1, 1, &[7]), (2, 1, &[7])]), &["send 1 to 1, attempt 1"]),
            (5, attempted(1, OK), &["record 1, attempt 1: delivered"]),
            (6, Input::TimePassed, &[]),
            (7, recorded(1), &["send 2 to 1, attempt 1"]),
        ],
    );
}

#[test]
fn g4_a_batch_waits_for_every_order_it_carries_and_holds_them_all_up() {
    check(
        &mut engine(small(), &[1]),
        &[
            (
                0,
                committed(&[(1, 1, &[7]), (2, 1, &[8]), (3, 1, &[7, 8]), (4, 1, &[8]), (5, 1, &[9])]),
                &["send 1 to 1, attempt 1", "send 2 to 1, attempt 1", "send 5 to 1, attempt 1"],
            ),
            (1, attempted(1, OK), &["record 1, attempt 1: delivered"]),
            (1, recorded(1), &[]),
            (2, attempted(2, OK), &["record 2, attempt 1: delivered"]),
            (2, recorded(2), &["send 3 to 1, attempt 1"]),
            (3, attempted(3, OK), &["record 3, attempt 1: delivered"]),
            (3, recorded(3), &["send 4 to 1, attempt 1"]),
        ],
    );
}

#[test]
fn g4_the_same_order_at_two_endpoints_is_two_lanes() {
    check(
        &mut engine(small(), &[1, 2]),
        &[(
            0,
            committed(&[(1, 1, &[7]), (2, 2, &[7])]),
            &["send 1 to 1, attempt 1", "send 2 to 2, attempt 1"],
        )],
    );
}

#[test]
fn a_refused_delivery_is_retried_by_the_plan_then_dead_and_holds_up_only_its_own_lane() {
    let mut engine = engine(small(), &[1]);
    check(
        &mut engine,
        &[
            (0, committed(&[(1, 1, &[7]), (2, 1, &[7])]), &["send 1 to 1, attempt 1"]),
            (100, attempted(1, NO), &["record 1, attempt 1: again at 10100 ms"]),
            (100, recorded(1), &[]),
            (200, committed(&[(3, 1, &[8])]), &["send 3 to 1, attempt 1"]),
            (10_099, Input::TimePassed, &[]),
        ],
    );
    assert_eq!(engine.next_due(), Some(Timestamp::from_millis(10_100)));
    check(
        &mut engine,
        &[
            (10_100, Input::TimePassed, &["send 1 to 1, attempt 2"]),
            (10_200, attempted(1, AttemptOutcome::TimedOut), &["record 1, attempt 2: again at 30200 ms"]),
            (10_200, recorded(1), &[]),
            (30_200, Input::TimePassed, &["send 1 to 1, attempt 3"]),
            (30_300, attempted(1, AttemptOutcome::ConnectionLost), &["record 1, attempt 3: dead"]),
            (30_300, recorded(1), &["send 2 to 1, attempt 1"]),
        ],
    );
}

#[test]
fn an_attempt_that_ended_makes_room_at_once_for_another_order() {
    let config = EngineConfig { in_flight_per_endpoint_max: 1, ..small() };
    check(
        &mut engine(config, &[1]),
        &[
            (0, committed(&[(1, 1, &[7]), (2, 1, &[8])]), &["send 1 to 1, attempt 1"]),
            (1, attempted(1, OK), &["record 1, attempt 1: delivered", "send 2 to 1, attempt 1"]),
        ],
    );
}

#[test]
fn g5_endpoints_take_turns_so_that_a_backlog_leaves_room_for_the_others() {
    let config = EngineConfig { in_flight_max: 2, ..small() };
    check(
        &mut engine(config, &[1, 2]),
        &[
            (
                0,
                committed(&[(1, 1, &[1]), (2, 1, &[2]), (3, 1, &[3]), (4, 1, &[4]), (5, 2, &[5])]),
                &["send 1 to 1, attempt 1", "send 5 to 2, attempt 1"],
            ),
            (1, attempted(5, OK), &["record 5, attempt 1: delivered", "send 2 to 1, attempt 1"]),
            (1, recorded(5), &[]),
            (2, committed(&[(6, 2, &[6]), (7, 2, &[7])]), &[]),
            (3, attempted(1, OK), &["record 1, attempt 1: delivered", "send 3 to 1, attempt 1"]),
            (4, attempted(2, OK), &["record 2, attempt 1: delivered", "send 6 to 2, attempt 1"]),
            (5, attempted(3, OK), &["record 3, attempt 1: delivered", "send 4 to 1, attempt 1"]),
            (6, attempted(6, OK), &["record 6, attempt 1: delivered", "send 7 to 2, attempt 1"]),
        ],
    );
}

#[test]
fn a_held_endpoint_gets_nothing_and_what_waits_goes_out_when_it_opens() {
    check(
        &mut engine(small(), &[1]),
        &[
            (0, held(1), &[]),
            (0, committed(&[(1, 1, &[1]), (2, 1, &[2])]), &[]),
            (9_000, Input::TimePassed, &[]),
            (9_001, open(1), &["send 1 to 1, attempt 1", "send 2 to 1, attempt 1"]),
        ],
    );
}

#[test]
fn a_clock_that_jumps_makes_things_due_and_one_that_steps_back_takes_nothing_back() {
    let config = EngineConfig { in_flight_per_endpoint_max: 1, ..small() };
    let late =
        Waiting { due: Timestamp::from_millis(90_000), attempts: 1, failures: 1, ..waiting(2, 1, &[2]) };
    check(
        &mut engine(config, &[1]),
        &[
            (0, Input::Committed(vec![waiting(1, 1, &[1]), late]), &["send 1 to 1, attempt 1"]),
            (90_000, Input::TimePassed, &[]),
            (10, Input::TimePassed, &[]),
            (10, attempted(1, OK), &["record 1, attempt 1: delivered", "send 2 to 1, attempt 2"]),
        ],
    );
}

#[test]
fn a_new_endpoint_is_read_page_by_page_up_to_half_a_window_and_then_as_it_empties() {
    let sizes = EngineConfig { in_flight_per_endpoint_max: 1, window_max: 6, page_size: 2, ..small() };
    let mut engine = Engine::new(sizes);
    check(
        &mut engine,
        &[
            (0, open(1), &["read 2 of 1 after 0"]),
            (0, page(1, 0, on_disk(1, 2), false), &["read 2 of 1 after 2", "send 1 to 1, attempt 1"]),
            (0, page(1, 2, on_disk(3, 4), false), &[]),
            (0, committed(&[(9, 1, &[9])]), &[]),
            (1, attempted(1, OK), &["record 1, attempt 1: delivered", "send 2 to 1, attempt 1"]),
            (1, recorded(1), &["read 2 of 1 after 4"]),
            (1, page(1, 4, vec![waiting(5, 1, &[5]), waiting(9, 1, &[9])], true), &[]),
            (2, committed(&[(9, 1, &[9]), (10, 1, &[10])]), &[]),
        ],
    );
    let stats = engine.endpoint_stats(EndpointId(1)).unwrap();
    assert_eq!((stats.waiting, stats.in_flight), (5, 1));
    assert!(!stats.more_on_disk);
}

#[test]
fn g2_a_hint_that_comes_while_a_read_is_under_way_is_not_lost() {
    let mut engine = Engine::new(EngineConfig { page_size: 2, ..small() });
    check(
        &mut engine,
        &[
            (0, open(1), &["read 2 of 1 after 0"]),
            (0, committed(&[(3, 1, &[3]), (4, 1, &[4]), (5, 1, &[5])]), &[]),
            // The page was read before 4 and 5 were committed. 5 was one hint too many to keep.
            (
                0,
                page(1, 0, vec![waiting(3, 1, &[3])], true),
                &["read 2 of 1 after 4", "send 3 to 1, attempt 1", "send 4 to 1, attempt 1"],
            ),
            (0, page(1, 4, vec![waiting(5, 1, &[5])], true), &["send 5 to 1, attempt 1"]),
        ],
    );
}

#[test]
fn g2_a_hint_for_a_full_window_and_lost_hints_are_made_good_from_disk() {
    let config = EngineConfig { in_flight_per_endpoint_max: 1, window_max: 2, ..small() };
    let all = committed(&[(1, 1, &[1]), (2, 1, &[2]), (3, 1, &[3]), (4, 1, &[4])]);
    check(
        &mut engine(config, &[1]),
        &[
            (0, all, &["send 1 to 1, attempt 1"]),
            (0, attempted(1, OK), &["record 1, attempt 1: delivered", "send 2 to 1, attempt 1"]),
            (0, recorded(1), &["read 1 of 1 after 2"]),
            (0, page(1, 2, on_disk(3, 3), false), &[]),
            (0, attempted(2, OK), &["record 2, attempt 1: delivered", "send 3 to 1, attempt 1"]),
            (0, recorded(2), &["read 1 of 1 after 3"]),
            (0, page(1, 3, on_disk(4, 4), true), &[]),
            (0, attempted(3, OK), &["record 3, attempt 1: delivered", "send 4 to 1, attempt 1"]),
            (0, recorded(3), &[]),
            (0, Input::HintsLost, &["read 1 of 1 after 4", "read 64 of 1 after r0"]),
            (0, Input::HintsLost, &[]),
            (0, page(1, 4, vec![], true), &["read 1 of 1 after 4"]),
            (0, page(1, 4, on_disk(5, 5), true), &[]),
            (0, attempted(4, OK), &["record 4, attempt 1: delivered", "send 5 to 1, attempt 1"]),
        ],
    );
}

#[test]
fn a_read_that_failed_is_made_again_after_a_second() {
    let mut engine = Engine::new(small());
    let failed = Input::ReadFailed { endpoint: EndpointId(1), after: DeliverySeq(0) };
    check(
        &mut engine,
        &[
            (0, open(1), &["read 5 of 1 after 0"]),
            (100, failed, &[]),
            (1_099, Input::TimePassed, &[]),
            (1_100, Input::TimePassed, &["read 5 of 1 after 0"]),
        ],
    );
}

#[test]
fn g4_after_a_reread_what_is_in_flight_still_holds_its_lane_and_is_not_taken_in_twice() {
    check(
        &mut engine(small(), &[1]),
        &[
            (0, committed(&[(1, 1, &[7]), (2, 1, &[7])]), &["send 1 to 1, attempt 1"]),
            (1, reread(1), &["read 5 of 1 after 0"]),
            (1, page(1, 0, vec![waiting(1, 1, &[7]), waiting(2, 1, &[7])], true), &[]),
            (2, attempted(1, NO), &["record 1, attempt 1: again at 10002 ms"]),
            (2, recorded(1), &[]),
            (10_002, Input::TimePassed, &["send 1 to 1, attempt 2"]),
            (10_003, attempted(1, OK), &["record 1, attempt 2: delivered"]),
            (10_003, recorded(1), &["send 2 to 1, attempt 1"]),
        ],
    );
}

#[test]
fn a_page_that_was_overtaken_by_a_reread_is_dropped_and_the_read_made_again() {
    check(
        &mut Engine::new(small()),
        &[
            (0, open(1), &["read 5 of 1 after 0"]),
            (0, reread(1), &[]),
            (0, page(1, 3, vec![waiting(4, 1, &[4])], true), &[]),
            (0, page(1, 0, vec![waiting(1, 1, &[1])], true), &["read 5 of 1 after 0"]),
            (0, page(1, 0, vec![waiting(2, 1, &[2])], true), &["send 2 to 1, attempt 1"]),
            (0, page(1, 0, vec![waiting(1, 1, &[1])], true), &[]),
        ],
    );
}

#[test]
fn g3_what_was_recorded_while_a_page_was_on_its_way_is_not_sent_again() {
    check(
        &mut engine(small(), &[1]),
        &[
            (
                0,
                committed(&[(1, 1, &[1]), (2, 1, &[2])]),
                &["send 1 to 1, attempt 1", "send 2 to 1, attempt 1"],
            ),
            (1, reread(1), &["read 5 of 1 after 0"]),
            (2, attempted(1, OK), &["record 1, attempt 1: delivered"]),
            (2, recorded(1), &[]),
            (2, attempted(2, NO), &["record 2, attempt 1: again at 10002 ms"]),
            (2, recorded(2), &[]),
            // The page was read before the two were recorded.
            (3, page(1, 0, vec![waiting(1, 1, &[1]), waiting(2, 1, &[2])], true), &[]),
            (10_002, Input::TimePassed, &["send 2 to 1, attempt 2"]),
        ],
    );
}

#[test]
fn g3_a_hint_that_comes_after_its_delivery_was_read_sent_and_recorded_changes_nothing() {
    check(
        &mut Engine::new(small()),
        &[
            (0, open(1), &["read 5 of 1 after 0"]),
            (0, page(1, 0, vec![waiting(1, 1, &[1])], true), &["send 1 to 1, attempt 1"]),
            (1, attempted(1, OK), &["record 1, attempt 1: delivered"]),
            (1, recorded(1), &[]),
            (2, gone(1), &[]),
            (2, open(1), &["read 5 of 1 after 0"]),
            (2, page(1, 0, vec![], true), &[]),
            (3, committed(&[(1, 1, &[1])]), &[]),
            (3, committed(&[(2, 1, &[1])]), &["send 2 to 1, attempt 1"]),
        ],
    );
}

#[test]
fn a_page_longer_than_was_asked_for_does_not_break_the_window() {
    let config = EngineConfig { in_flight_per_endpoint_max: 1, window_max: 2, ..small() };
    check(
        &mut Engine::new(config),
        &[
            (0, open(1), &["read 2 of 1 after 0"]),
            (0, page(1, 0, on_disk(1, 3), true), &["send 1 to 1, attempt 1"]),
            (0, attempted(1, OK), &["record 1, attempt 1: delivered", "send 2 to 1, attempt 1"]),
            (0, recorded(1), &["read 1 of 1 after 2"]),
        ],
    );
}

#[test]
fn what_was_ready_waits_when_its_lane_is_taken_by_a_delivery_in_flight_to_the_former_endpoint() {
    check(
        &mut engine(small(), &[1]),
        &[
            (0, held(2), &["read 5 of 2 after 0"]),
            (0, committed(&[(1, 2, &[7]), (2, 1, &[7])]), &["send 2 to 1, attempt 1"]),
            (1, page(2, 0, vec![waiting(1, 2, &[7])], false), &["read 5 of 2 after 1"]),
            (2, reread(1), &["read 5 of 1 after 0"]),
            (2, page(2, 1, vec![waiting(2, 2, &[7])], true), &[]),
            (3, open(2), &[]),
            (4, attempted(2, OK), &["record 2, attempt 1: delivered"]),
            (4, recorded(2), &["send 1 to 2, attempt 1"]),
        ],
    );
}

#[test]
fn a_delivery_that_moved_while_it_was_in_flight_is_retried_at_its_new_endpoint() {
    check(
        &mut engine(small(), &[1, 2]),
        &[
            (0, committed(&[(1, 1, &[7])]), &["send 1 to 1, attempt 1"]),
            (1, reread(1), &["read 5 of 1 after 0"]),
            (1, reread(2), &["read 5 of 2 after 0"]),
            (1, page(1, 0, vec![], true), &[]),
            (1, page(2, 0, vec![waiting(1, 2, &[7])], true), &[]),
            (1, committed(&[(2, 2, &[7]), (3, 1, &[7])]), &[]),
            (2, attempted(1, NO), &["record 1, attempt 1: again at 10002 ms"]),
            (2, recorded(1), &["send 3 to 1, attempt 1"]),
            (10_002, Input::TimePassed, &["send 1 to 2, attempt 2"]),
            (10_003, attempted(1, OK), &["record 1, attempt 2: delivered"]),
            (10_003, recorded(1), &["send 2 to 2, attempt 1"]),
        ],
    );
}

#[test]
fn a_delivery_that_waits_at_one_endpoint_and_shows_up_at_another_goes_out_once() {
    check(
        &mut engine(small(), &[1]),
        &[
            (0, held(1), &[]),
            (0, committed(&[(1, 1, &[7]), (2, 1, &[7])]), &[]),
            (1, open(2), &["read 5 of 2 after 0"]),
            (1, page(2, 0, vec![waiting(1, 2, &[7])], true), &["send 1 to 2, attempt 1"]),
            (2, open(1), &["send 2 to 1, attempt 1"]),
        ],
    );
}

#[test]
fn an_endpoint_that_has_gone_is_forgotten_but_its_attempts_are_recorded() {
    let mut engine = engine(small(), &[1]);
    check(
        &mut engine,
        &[
            (0, committed(&[(1, 1, &[7]), (2, 1, &[7])]), &["send 1 to 1, attempt 1"]),
            (1, gone(1), &[]),
            (2, attempted(1, NO), &["record 1, attempt 1: again at 10002 ms"]),
            (2, recorded(1), &[]),
            (99_000, Input::TimePassed, &[]),
        ],
    );
    assert_eq!(engine.endpoint_stats(EndpointId(1)), None);
    assert!(engine.is_quiet());
    assert_eq!(engine.next_due(), None);
    check(&mut engine, &[(99_001, open(1), &["read 5 of 1 after 0"])]);
}

#[test]
fn answers_to_what_was_not_asked_change_nothing() {
    check(
        &mut engine(small(), &[1]),
        &[
            (0, attempted(99, OK), &[]),
            (0, recorded(99), &[]),
            (0, page(99, 0, vec![waiting(1, 99, &[1])], true), &[]),
            (0, page(1, 0, vec![waiting(1, 1, &[1])], true), &[]),
            (0, Input::ReadFailed { endpoint: EndpointId(1), after: DeliverySeq(0) }, &[]),
            (0, committed(&[(1, 1, &[1]), (2, 1, &[1])]), &["send 1 to 1, attempt 1"]),
            (0, recorded(1), &[]),
            (0, attempted(1, OK), &["record 1, attempt 1: delivered"]),
            (0, attempted(1, OK), &[]),
            (0, attempted(2, OK), &[]),
            (0, recorded(1), &["send 2 to 1, attempt 1"]),
            (0, recorded(1), &[]),
        ],
    );
}

#[test]
fn the_figures_of_an_endpoint_tell_waiting_in_flight_and_being_recorded_apart() {
    let mut engine = engine(small(), &[1]);
    let late = Waiting { due: Timestamp::from_millis(500), attempts: 1, ..waiting(4, 1, &[9]) };
    check(
        &mut engine,
        &[
            (
                0,
                committed(&[(1, 1, &[7]), (2, 1, &[7]), (3, 1, &[8])]),
                &["send 1 to 1, attempt 1", "send 3 to 1, attempt 1"],
            ),
            (0, Input::Committed(vec![late]), &[]),
            (0, attempted(3, OK), &["record 3, attempt 1: delivered"]),
        ],
    );
    let stats = engine.endpoint_stats(EndpointId(1)).unwrap();
    assert_eq!((stats.waiting, stats.in_flight, stats.recording), (2, 1, 1));
    assert_eq!(stats.next_due, Some(Timestamp::from_millis(500)));
    assert_eq!(engine.in_flight(), 1);
}

#[test]
fn limits_of_zero_do_not_stop_everything() {
    let config = EngineConfig {
        in_flight_per_endpoint_max: 0,
        in_flight_max: 0,
        window_max: 0,
        page_size: 0,
        ..EngineConfig::default()
    };
    check(&mut engine(config, &[1]), &[(0, committed(&[(1, 1, &[1])]), &["send 1 to 1, attempt 1"])]);
}

#[test]
fn g4_what_moved_before_it_was_sent_goes_first_in_its_lane_at_the_new_endpoint() {
    check(
        &mut engine(small(), &[1, 2]),
        &[
            (0, committed(&[(1, 1, &[7])]), &["send 1 to 1, attempt 1"]),
            // The registration moves from 1 to 2; what comes after belongs to 2 already.
            (1, reread(1), &["read 5 of 1 after 0"]),
            (1, reread(2), &["read 5 of 2 after 0"]),
            (1, committed(&[(2, 2, &[7])]), &[]),
            (2, not_sent(1, NotSent::Moved), &[]),
            (3, page(1, 0, vec![], true), &[]),
            (
                4,
                page(2, 0, vec![waiting(1, 2, &[7]), waiting(2, 2, &[7])], true),
                &["send 1 to 2, attempt 1"],
            ),
            (5, attempted(1, OK), &["record 1, attempt 1: delivered"]),
            (6, recorded(1), &["send 2 to 2, attempt 1"]),
        ],
    );
}

#[test]
fn what_was_not_sent_is_no_attempt_and_says_nothing_about_the_endpoint() {
    let mut engine = engine(small(), &[1]);
    check(
        &mut engine,
        &[
            (
                0,
                committed(&[(1, 1, &[7]), (2, 1, &[8])]),
                &["send 1 to 1, attempt 1", "send 2 to 1, attempt 1"],
            ),
            (1, not_sent(1, NotSent::Moved), &["send 1 to 1, attempt 1"]),
            (2, not_sent(1, NotSent::Ended), &[]),
            (3, attempted(2, AttemptOutcome::ConnectFailed), &["record 2, attempt 1: again at 3 ms, free"]),
            (4, recorded(2), &[]),
            // A probe that never left: the next is the probe, and there is one.
            (5_003, Input::TimePassed, &["send 2 to 1, attempt 2"]),
            (5_004, not_sent(2, NotSent::Moved), &["send 2 to 1, attempt 2"]),
            (5_005, attempted(2, OK), &["record 2, attempt 2: delivered"]),
            (5_006, recorded(2), &[]),
        ],
    );
    assert!(engine.is_quiet() && engine.in_flight() == 0);
}
