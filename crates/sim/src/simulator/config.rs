//! What a seed decides before anything happens: the limits of the platform, its retry plan, and what it is held to.

use std::time::Duration;

use hookit_contract::StatusCodes;
use hookit_egress::{AddressPolicy, UrlRules};
use hookit_engine::{EngineConfig, RetryPlan};
use hookit_platform::{MetricsAccess, PartnerRates, PlatformConfig};
use hookit_server::Secret;
use rand::RngExt as _;
use rand::rngs::Xoshiro256PlusPlus;

use super::producers::OPERATOR_TOKEN;
use crate::auditor::Rules;

/// Partners, at most this many.
pub(super) const PARTNERS_MAX: usize = 4;
/// URLs that a partner's registrations go round.
pub(super) const URLS_PER_PARTNER: usize = 2;

/// The longest that a stop waits.
pub(super) const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a delivery may wait for nothing, where a configuration promises that it does not. Reads that fail are
/// repeated after a second, and a request that hangs has its place for ten.
const IDLE_MAX_MS: i64 = 30_000;

fn choice<T: Copy>(dice: &mut Xoshiro256PlusPlus, of: &[T]) -> T {
    of[dice.random_range(0..of.len())]
}

/// Limits and plan of one schedule, and the rules that follow.
pub(super) fn draw(dice: &mut Xoshiro256PlusPlus) -> (PlatformConfig, Rules, usize) {
    let ms = |delays: &[u64]| delays.iter().copied().map(Duration::from_millis).collect::<Vec<_>>();
    let retry = match dice.random_range(0..4) {
        0 => RetryPlan::default(),
        1 => RetryPlan::new(ms(&[50, 200, 1_000])).expect("the delays are in bounds"),
        2 => RetryPlan::new(ms(&[500, 2_000, 5_000, 20_000, 60_000])).expect("the delays are in bounds"),
        _ => RetryPlan::new(ms(&[5_000; 12])).expect("the delays are in bounds"),
    };
    let in_flight_per_endpoint_max = choice(dice, &[1, 2, 3, 8, 32]);
    // A limit that hanging endpoints can fill by themselves promises nothing to the others.
    let roomy = dice.random_range(0..4) > 0;
    let in_flight_max = if roomy {
        in_flight_per_endpoint_max * PARTNERS_MAX * URLS_PER_PARTNER * 2
    } else {
        choice(dice, &[1, 2, 5])
    };
    // In a small window the deliveries of one stuck lane can stand in the way of those that are still on disk.
    let wide = dice.random_range(0..3) > 0;
    let window_max = if wide { 10_000 } else { choice(dice, &[1, 2, 4, 10]) };
    let page_size = choice(dice, &[1, 3, 20, 1_000]);
    let orders_per_delivery_max = choice(dice, &[1, 2, 5, 50]);
    let failures_in_a_row_to_open = choice(dice, &[1, 3, 3, 10]);
    let probe_pause_max = Duration::from_secs(choice(dice, &[10, 300]));
    let hold_time = Duration::from_secs(choice(dice, &[600, 7_200, 72 * 3_600, 72 * 3_600]));

    let to_ms = |delay: Duration| i64::try_from(delay.as_millis()).expect("a delay is at most 30 days");
    let rules = Rules {
        delays_ms: retry.delays().into_iter().map(to_ms).collect(),
        jitter_percent: 20,
        retry_after_max_ms: to_ms(Duration::from_secs(3_600)),
        in_flight_per_endpoint_max,
        in_flight_max,
        orders_per_delivery_max,
        failures_to_open: failures_in_a_row_to_open,
        probe_pause_max_ms: to_ms(probe_pause_max) * 12 / 10,
        hold_ms: to_ms(hold_time),
        idle_max_ms: (roomy && wide).then_some(IDLE_MAX_MS),
    };
    let config = PlatformConfig {
        engine: EngineConfig {
            retry,
            in_flight_per_endpoint_max,
            in_flight_max,
            window_max,
            page_size,
            failures_in_a_row_to_open,
            probe_pause_max,
            hold_time,
            ..EngineConfig::default()
        },
        orders_per_delivery_max,
        url_rules: UrlRules { addresses: AddressPolicy::PublicOnly, https_required: true },
        operator_token: Secret::new(OPERATOR_TOKEN),
        metrics: MetricsAccess::default(),
        rates: PartnerRates::default(),
        codes: StatusCodes::default(),
        jitter_seed: dice.random_range(0..u64::MAX),
        retention: hookit_platform::RETENTION,
        stop_timeout: STOP_TIMEOUT,
    };
    (config, rules, orders_per_delivery_max)
}
