//! Random histories: whatever happens, in whatever order, the guarantees hold, and once it stops happening everything
//! ends. A failure prints the smallest history that shows it.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod auditor;
mod health;
mod world;

use hookit_contract::AttemptOutcome;
use hookit_engine::{EndpointSettings, Flow, Ordering};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use world::{ENDPOINTS, Sizes, Step, World};

const ORDERS: i64 = 5;

fn endpoints() -> impl Strategy<Value = i64> {
    1..=ENDPOINTS
}

fn orders() -> impl Strategy<Value = Vec<i64>> {
    btree_set(1..=ORDERS, 1..=3).prop_map(|set| set.into_iter().collect())
}

fn outcomes() -> impl Strategy<Value = AttemptOutcome> {
    prop_oneof![2 => Just(AttemptOutcome::Acknowledged), 3 => prop::sample::select(&AttemptOutcome::ALL[..])]
}

fn sizes() -> impl Strategy<Value = Sizes> {
    (1..=4_usize, 1..=8_usize, 1..=12_usize, 1..=4_usize, 1..=3_u32).prop_map(
        |(per_endpoint, in_all, window, page, failures_to_open)| Sizes {
            per_endpoint,
            in_all,
            window,
            page,
            failures_to_open,
        },
    )
}

fn statuses() -> impl Strategy<Value = Option<u16>> {
    prop_oneof![
        8 => Just(Some(500)),
        3 => prop::sample::select(&[Some(429), Some(503)][..]),
        1 => prop::sample::select(&[Some(410), Some(302), None][..]),
    ]
}

fn settings() -> impl Strategy<Value = EndpointSettings> {
    let flow = prop::sample::select(&[Flow::Open, Flow::Open, Flow::Held][..]);
    let ordering = prop::sample::select(&[Ordering::PerOrder, Ordering::PerOrder, Ordering::None][..]);
    (flow, ordering, prop::option::of(1..=3_usize), prop::option::weighted(0.2, 1..=20_u32)).prop_map(
        |(flow, ordering, in_flight_max, rate_per_second_max)| EndpointSettings {
            flow,
            ordering,
            in_flight_max,
            rate_per_second_max,
        },
    )
}

fn which() -> std::ops::Range<usize> {
    0..16
}

/// What happens all the time.
fn ordinary() -> impl Strategy<Value = Step> {
    let retry_after_ms = prop::option::weighted(0.2, 0..5_000_u64);
    prop_oneof![
        5 => (vec((endpoints(), orders()), 1..4), prop::bool::weighted(0.2), prop::bool::weighted(0.8))
            .prop_map(|(deliveries, replayed, hint)| Step::Commit { deliveries, replayed, hint }),
        5 => Just(Step::DeliverHints),
        8 => (which(), outcomes(), statuses(), retry_after_ms, 0.0..=1.0_f64).prop_map(
            |(which, outcome, status, retry_after_ms, jitter)| Step::EndAttempt {
                which,
                outcome,
                status,
                retry_after_ms,
                jitter,
            }
        ),
        8 => which().prop_map(|which| Step::Write { which }),
        8 => which().prop_map(|which| Step::TellRecorded { which }),
        3 => which().prop_map(|which| Step::LookAtDisk { which }),
        6 => which().prop_map(|which| Step::AnswerRead { which }),
        1 => which().prop_map(|which| Step::FailRead { which }),
        4 => (1..400_i64).prop_map(|by_ms| Step::Advance { by_ms }),
    ]
}

/// What happens now and then.
fn unusual() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (1..2_000_i64).prop_map(|by_ms| Step::SetClockBack { by_ms }),
        1 => Just(Step::Advance { by_ms: 100_000 }),
        3 => (endpoints(), settings()).prop_map(|(endpoint, settings)| Step::Set { endpoint, settings }),
        2 => endpoints().prop_map(|endpoint| Step::Gone { endpoint }),
        3 => (endpoints(), endpoints(), orders()).prop_map(|(from, to, orders)| Step::Move { from, to, orders }),
        1 => Just(Step::Crash),
    ]
}

fn histories() -> impl Strategy<Value = Vec<Step>> {
    vec(prop_oneof![8 => ordinary(), 1 => unusual()], 1..150)
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(4_000))]

    #[test]
    fn g4_whatever_happens_lanes_keep_their_order_and_everything_ends(
        sizes in sizes(),
        history in histories(),
    ) {
        let mut world = World::new(&sizes);
        for step in &history {
            world.step(step);
        }
        world.heal();
        prop_assert!(world.disk.is_empty() || world.auditor.sends > 0);
    }
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn g2_after_a_stop_at_any_moment_nothing_is_sent_and_what_was_under_way_is_recorded(
        sizes in sizes(),
        history in histories(),
    ) {
        let mut world = World::new(&sizes);
        for step in &history {
            world.step(step);
        }
        world.stop();
    }
}
