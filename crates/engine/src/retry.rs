//! When a delivery is attempted again, and when it is given up. Knows numbers of attempts and durations, nothing else.

use std::fmt;
use std::time::Duration;

/// The delays between the attempts of a delivery. With seven delays there are up to eight attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPlan {
    /// Whole milliseconds, because that is what a timestamp can express without coming out earlier.
    delays_ms: Box<[u64]>,
}

/// Why a list of delays is no retry plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryPlanError {
    /// Too few or too many delays.
    Count {
        /// How many there were.
        count: usize,
    },
    /// A delay that is too short or too long.
    Delay {
        /// Which one, the first being 1.
        position: usize,
        /// How long it was.
        delay: Duration,
    },
}

impl fmt::Display for RetryPlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RetryPlanError::Count { count } => {
                write!(f, "a retry plan has 1 to {} delays, this one has {count}", RetryPlan::DELAYS_MAX)
            }
            RetryPlanError::Delay { position, delay } => {
                write!(f, "delay {position} of the retry plan is {delay:?}; expected 1 ms to 30 days")
            }
        }
    }
}

impl std::error::Error for RetryPlanError {}

impl RetryPlan {
    /// The pauses before the second, third, … attempt, without jitter.
    pub fn delays(&self) -> Vec<Duration> {
        self.delays_ms.iter().copied().map(Duration::from_millis).collect()
    }

    /// The most delays that a plan may have.
    pub const DELAYS_MAX: usize = 32;
    /// The shortest delay.
    pub const DELAY_MIN: Duration = Duration::from_millis(1);
    /// The longest delay.
    pub const DELAY_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
    /// A plan of these delays. A part of a millisecond counts as a whole one.
    ///
    /// # Errors
    /// [`RetryPlanError`] where there is no delay, more than 32, or one outside 1 ms to 30 days.
    pub fn new(delays: Vec<Duration>) -> Result<Self, RetryPlanError> {
        let count = delays.len();
        if count == 0 || count > Self::DELAYS_MAX {
            return Err(RetryPlanError::Count { count });
        }
        if let Some(i) = delays.iter().position(|d| *d < Self::DELAY_MIN || *d > Self::DELAY_MAX) {
            return Err(RetryPlanError::Delay { position: i + 1, delay: delays[i] });
        }
        Ok(RetryPlan { delays_ms: delays.into_iter().map(whole_millis).collect() })
    }

    /// The delay after this many failures, up to a fifth longer by `jitter` (0.0 to 1.0) and never shorter; `None`
    /// when the plan is used up.
    pub fn next(&self, failures: u32, jitter: f64) -> Option<Duration> {
        let index = usize::try_from(failures.saturating_sub(1)).ok()?;
        let delay_ms = *self.delays_ms.get(index)?;
        Some(later_by_jitter(Duration::from_millis(delay_ms), jitter))
    }

    /// Nothing waits longer for its next attempt than this: neither the plan nor an answer can ask for more.
    pub(crate) fn longest_pause(&self) -> Duration {
        let longest_ms = self.delays_ms.iter().copied().max().unwrap_or(0);
        later_by_jitter(Duration::from_millis(longest_ms), 1.0).max(RETRY_AFTER_MAX)
    }
}

/// The most that jitter adds, as a part of the delay.
const JITTER_PART: f64 = 0.2;

/// A delay in whole milliseconds, up to a fifth longer and never shorter.
pub(crate) fn later_by_jitter(delay: Duration, jitter: f64) -> Duration {
    // A jitter that is no number, or outside its range, must neither shorten the delay nor stretch it for ever.
    let jitter = if jitter.is_nan() { 0.0 } else { jitter.clamp(0.0, 1.0) };
    let longer_ms = u64::try_from(delay.mul_f64(JITTER_PART * jitter).as_millis()).unwrap_or(u64::MAX);
    delay.saturating_add(Duration::from_millis(longer_ms))
}

impl Default for RetryPlan {
    fn default() -> Self {
        const SECOND_MS: u64 = 1_000;
        const MINUTE_MS: u64 = 60 * SECOND_MS;
        const HOUR_MS: u64 = 60 * MINUTE_MS;
        RetryPlan {
            delays_ms: Box::new([
                5 * SECOND_MS,
                30 * SECOND_MS,
                2 * MINUTE_MS,
                10 * MINUTE_MS,
                HOUR_MS,
                6 * HOUR_MS,
                24 * HOUR_MS,
            ]),
        }
    }
}

/// A partner that says it is overloaded may ask for a longer delay than the plan's, up to this one. More would let a
/// broken `Retry-After` park a delivery beyond an operator's patience.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// The shortest delay that an answer asks for: its `Retry-After`, where its status says that it is meant so.
pub(crate) fn delay_floor(status: Option<u16>, retry_after: Option<Duration>) -> Duration {
    match (status, retry_after) {
        (Some(429 | 503), Some(asked)) => Duration::from_millis(whole_millis(asked.min(RETRY_AFTER_MAX))),
        _ => Duration::ZERO,
    }
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn the_default_plan_has_seven_delays_and_so_eight_attempts() {
        let plan = RetryPlan::default();
        let delays_s: Vec<Option<u64>> =
            (1..=9).map(|made| plan.next(made, 0.0).map(|d| d.as_secs())).collect();
        let expected = [5, 30, 120, 600, 3600, 21_600, 86_400].map(Some);
        assert_eq!(delays_s[..7], expected);
        assert_eq!(delays_s[7..], [None, None]);
        assert_eq!(plan.next(u32::MAX, 0.0), None);
    }

    #[test]
    fn the_longest_pause_is_that_of_the_plan_with_all_jitter_or_what_an_answer_may_ask_for() {
        let longest = |delays_s: &[u64]| {
            let delays = delays_s.iter().copied().map(Duration::from_secs).collect();
            RetryPlan::new(delays).unwrap().longest_pause().as_secs()
        };
        assert_eq!(longest(&[10, 50_000, 20]), 60_000);
        assert_eq!(longest(&[1]), 3_600);
    }

    #[test]
    fn jitter_makes_a_delay_up_to_a_fifth_longer_and_never_shorter() {
        let plan = RetryPlan::new(vec![Duration::from_secs(10)]).unwrap();
        let check = |jitter: f64, expect_ms: u64| {
            assert_eq!(plan.next(1, jitter), Some(Duration::from_millis(expect_ms)), "jitter {jitter}");
        };
        check(0.0, 10_000);
        check(0.5, 11_000);
        check(1.0, 12_000);
        check(-3.0, 10_000);
        check(7.0, 12_000);
        check(f64::NAN, 10_000);
        check(f64::INFINITY, 12_000);
        check(f64::NEG_INFINITY, 10_000);
    }

    #[test]
    fn a_part_of_a_millisecond_makes_a_delay_longer_not_shorter() {
        let plan = RetryPlan::new(vec![Duration::from_micros(1_900)]).unwrap();
        assert_eq!(plan.next(1, 0.0), Some(Duration::from_millis(2)));
    }

    #[test]
    fn a_list_that_is_no_plan_is_refused_with_the_reason() {
        let check = |delays: Vec<Duration>, expect: RetryPlanError, text: &str| {
            let error = RetryPlan::new(delays).unwrap_err();
            assert_eq!(error, expect);
            assert!(error.to_string().contains(text), "{error}");
        };
        let one = Duration::from_secs(1);
        check(vec![], RetryPlanError::Count { count: 0 }, "has 0");
        check(vec![one; 33], RetryPlanError::Count { count: 33 }, "has 33");
        let short = Duration::from_micros(999);
        check(vec![one, short], RetryPlanError::Delay { position: 2, delay: short }, "delay 2");
        let long = 31 * DAY;
        check(vec![long, one], RetryPlanError::Delay { position: 1, delay: long }, "delay 1");
        assert!(RetryPlan::new(vec![Duration::from_millis(1); 32]).is_ok());
        assert!(RetryPlan::new(vec![30 * DAY]).is_ok());
    }

    #[test]
    fn only_an_overloaded_partner_may_ask_for_a_longer_delay_and_for_no_more_than_an_hour() {
        let check = |status: Option<u16>, asked_s: Option<u64>, expect_s: u64| {
            let floor = delay_floor(status, asked_s.map(Duration::from_secs));
            assert_eq!(floor, Duration::from_secs(expect_s), "{status:?} {asked_s:?}");
        };
        check(Some(429), Some(90), 90);
        check(Some(503), Some(90), 90);
        check(Some(503), Some(u64::MAX), 3600);
        check(Some(429), None, 0);
        check(Some(500), Some(90), 0);
        check(None, Some(90), 0);
    }
}
