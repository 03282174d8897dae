//! Replays: behind everything fresh, in order among themselves, a few at a time.

use hookit_contract::{DeliverySeq, EndpointId};
use hookit_engine::{EngineConfig, Input, NotSent, Waiting};

use crate::table::*;

const BEFORE: i64 = DeliverySeq::REPLAYS_AFTER.0;

fn replay(n: i64, order: i64) -> Waiting {
    waiting(BEFORE + n, 1, &[order])
}

/// Word that endpoint 1 has replays.
fn word() -> Input {
    Input::Committed(vec![replay(1, 1)])
}

fn replays(after: i64, deliveries: Vec<Waiting>, end: bool) -> Input {
    page(1, BEFORE + after, deliveries, end)
}

#[test]
fn the_replays_of_an_order_go_one_after_the_other() {
    check(
        &mut engine(small(), &[1]),
        &[
            (0, word(), &["read 64 of 1 after r0"]),
            (0, replays(0, vec![replay(1, 7), replay(2, 7)], true), &["send r1 to 1, attempt 1"]),
            (1, attempted(BEFORE + 1, OK), &["record r1, attempt 1: delivered"]),
            (1, recorded(BEFORE + 1), &["send r2 to 1, attempt 1"]),
        ],
    );
}

#[test]
fn what_is_fresh_waits_for_no_replay_but_one_of_its_order_that_is_under_way() {
    check(
        &mut engine(small(), &[1]),
        &[
            (0, word(), &["read 64 of 1 after r0"]),
            (0, replays(0, vec![replay(1, 7), replay(2, 7)], true), &["send r1 to 1, attempt 1"]),
            (0, committed(&[(1, 1, &[7]), (2, 1, &[8])]), &["send 2 to 1, attempt 1"]),
            (1, attempted(BEFORE + 1, NO), &["record r1, attempt 1: again at 10001 ms"]),
            // The replay has failed and waits for its time: its order goes on without it.
            (1, recorded(BEFORE + 1), &["send 1 to 1, attempt 1"]),
            (10_001, Input::TimePassed, &[]),
            (10_002, attempted(1, OK), &["record 1, attempt 1: delivered"]),
            (10_002, recorded(1), &["send r1 to 1, attempt 2"]),
        ],
    );
}

#[test]
fn three_quarters_of_an_endpoint_s_places_are_kept_for_what_is_fresh() {
    let config = EngineConfig { in_flight_per_endpoint_max: 4, ..small() };
    check(
        &mut engine(config, &[1]),
        &[
            (0, word(), &["read 64 of 1 after r0"]),
            (0, replays(0, (1..=9).map(|n| replay(n, n)).collect(), true), &["send r1 to 1, attempt 1"]),
            (
                0,
                committed(&[(1, 1, &[11]), (2, 1, &[12]), (3, 1, &[13]), (4, 1, &[14])]),
                &["send 1 to 1, attempt 1", "send 2 to 1, attempt 1", "send 3 to 1, attempt 1"],
            ),
            // Its place goes to what is fresh first.
            (1, attempted(BEFORE + 1, OK), &["record r1, attempt 1: delivered", "send 4 to 1, attempt 1"]),
            (1, attempted(1, OK), &["record 1, attempt 1: delivered", "send r2 to 1, attempt 1"]),
            (1, attempted(2, OK), &["record 2, attempt 1: delivered"]),
            (1, attempted(BEFORE + 2, OK), &["record r2, attempt 1: delivered", "send r3 to 1, attempt 1"]),
        ],
    );
}

#[test]
fn replays_are_read_a_few_at_a_time_and_again_from_the_start_after_a_reread() {
    let some = |from: i64, to: i64| (from..=to).map(|n| replay(n, n)).collect::<Vec<_>>();
    let mut engine = engine(small(), &[1]);
    check(
        &mut engine,
        &[
            (0, held(1), &[]),
            (0, word(), &["read 64 of 1 after r0"]),
            (0, replays(0, some(1, 64), false), &[]),
            (0, word(), &[]),
            (0, reread(1), &["read 5 of 1 after 0", "read 64 of 1 after r0"]),
            (0, page(1, 0, vec![], true), &[]),
            (0, Input::ReadFailed { endpoint: EndpointId(1), after: DeliverySeq(BEFORE) }, &[]),
            (1_000, Input::TimePassed, &["read 64 of 1 after r0"]),
            (1_000, replays(0, some(1, 20), false), &["read 64 of 1 after r20"]),
            // What was asked before the endpoint was forgotten is not used, and asked again.
            (1_000, reread(1), &["read 5 of 1 after 0"]),
            (1_000, replays(20, some(21, 30), true), &["read 64 of 1 after r0"]),
            (1_000, replays(0, some(3, 3), true), &[]),
            (1_000, page(1, 0, vec![], true), &[]),
            (1_001, open(1), &["send r3 to 1, attempt 1"]),
        ],
    );
}

#[test]
fn an_endpoint_that_never_had_a_replay_is_not_asked_for_any() {
    check(
        &mut engine(small(), &[1]),
        &[
            (0, reread(1), &["read 5 of 1 after 0"]),
            (0, page(1, 0, vec![], true), &[]),
            // What was lost may have spoken of one.
            (0, Input::HintsLost, &["read 5 of 1 after 0", "read 64 of 1 after r0"]),
        ],
    );
}

#[test]
fn a_replay_that_was_kept_back_and_let_go_while_its_bytes_were_read_goes_out() {
    let mut engine = engine(small(), &[1]);
    check(
        &mut engine,
        &[
            (0, word(), &["read 64 of 1 after r0"]),
            (0, replays(0, vec![replay(1, 7)], true), &["send r1 to 1, attempt 1"]),
            // Paused: it is not on the page.
            (1, reread(1), &["read 5 of 1 after 0", "read 64 of 1 after r0"]),
            (1, page(1, 0, vec![], true), &[]),
            (1, replays(0, vec![], true), &[]),
            // Resumed: it is; and only then comes the word that it was kept back.
            (2, reread(1), &["read 5 of 1 after 0"]),
            (2, word(), &["read 64 of 1 after r0"]),
            (2, page(1, 0, vec![], true), &[]),
            (2, replays(0, vec![replay(1, 7)], true), &[]),
            (3, not_sent(BEFORE + 1, NotSent::Withheld), &["send r1 to 1, attempt 1"]),
            // Paused once more, and this time the word comes before the pause is over.
            (4, reread(1), &["read 5 of 1 after 0", "read 64 of 1 after r0"]),
            (4, page(1, 0, vec![], true), &[]),
            (4, replays(0, vec![], true), &[]),
            (5, not_sent(BEFORE + 1, NotSent::Withheld), &[]),
        ],
    );
    assert!(engine.is_quiet());
}

#[test]
fn a_replay_waits_until_all_that_is_fresh_is_known_lest_it_overtakes_some() {
    let fresh = |seq: i64| waiting(seq, 1, &[seq]);
    check(
        &mut engine(small(), &[1]),
        &[
            (2, reread(1), &["read 5 of 1 after 0"]),
            (2, word(), &["read 64 of 1 after r0"]),
            (2, replays(0, vec![replay(2, 7)], true), &[]),
            (3, page(1, 0, vec![fresh(7)], true), &["send 7 to 1, attempt 1"]),
            (4, attempted(7, OK), &["record 7, attempt 1: delivered"]),
            (4, recorded(7), &["send r2 to 1, attempt 1"]),
        ],
    );
}
