//! How fast the other side may be asked: one request at a time, no sooner than it wishes, and ever more slowly while it
//! does not answer.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hookit_contract::Timestamp;
use http::HeaderMap;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;

use super::{CallError, RETRY_AFTER_MAX, Reply};

/// The pause after the first failure in a row, and the longest one.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// After so many failures in a row it is not worth asking again at once.
const FAILURES_MAX: u32 = 5;

/// What a header says about a limit is believed for so long: it may mean a clock that is not ours.
const RESET_MAX: Duration = Duration::from_secs(120);

/// One track of requests.
pub(crate) struct Pace {
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    not_before: Option<Instant>,
    failures: u32,
    jitter: SmallRng,
}

impl Pace {
    pub(super) fn new(jitter_seed: u64) -> Self {
        let state = State { not_before: None, failures: 0, jitter: SmallRng::seed_from_u64(jitter_seed) };
        Pace { turn: tokio::sync::Mutex::new(()), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the next request may be made.
    pub(crate) async fn wait(&self) {
        let not_before = self.state().not_before;
        if let Some(at) = not_before {
            tokio::time::sleep_until(at).await;
        }
    }

    /// Holds others off while a request is under way.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// True once so many requests in a row came to nothing that the caller does better to come back later. Its next one is
    /// a fresh beginning.
    pub(super) fn is_hopeless(&self) -> bool {
        let mut state = self.state();
        let is_hopeless = state.failures >= FAILURES_MAX;
        if is_hopeless {
            state.failures = 0;
            state.not_before = None;
        }
        is_hopeless
    }

    /// Takes note of how a request went.
    pub(super) fn answered(&self, result: &Result<Reply, CallError>, headers: &HeaderMap, now: Timestamp) {
        let mut state = self.state();
        let pause = match result {
            Err(error) if error.may_pass() => {
                let doubled = PAUSE_MIN.saturating_mul(1 << state.failures.min(16));
                state.failures += 1;
                let asked = match error {
                    CallError::PutOff { retry_after: Some(after), .. } => (*after).min(RETRY_AFTER_MAX),
                    _ => Duration::ZERO,
                };
                // Never sooner than asked, and not all inboxes at one moment.
                let later = 1.0 + state.jitter.random::<f64>() / 5.0;
                Some(asked.max(doubled.min(PAUSE_MAX)).mul_f64(later))
            }
            _ => {
                state.failures = 0;
                used_up(headers, now)
            }
        };
        state.not_before = pause.map(|pause| Instant::now() + pause);
    }
}

/// How long to wait where a limit is used up. `X-RateLimit-Reset` is written in two ways: as seconds from now, and as a
/// time.
fn used_up(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    if number("x-ratelimit-remaining")? > 0 {
        return None;
    }
    let reset = number("x-ratelimit-reset")?;
    let now_s = u64::try_from(now.as_millis() / 1000).unwrap_or(0);
    let wait_s = if reset >= 1_000_000_000 { reset.saturating_sub(now_s) } else { reset };
    Some(Duration::from_secs(wait_s).min(RESET_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(remaining: &str, reset: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-remaining", remaining.parse().unwrap());
        headers.insert("x-ratelimit-reset", reset.parse().unwrap());
        headers
    }

    #[test]
    fn a_limit_that_is_used_up_is_waited_for_however_its_end_is_written() {
        let now = Timestamp::parse("2026-03-01T18:30:00Z").unwrap();
        let at = now.as_millis() / 1000;
        let check = |remaining: &str, reset: String, expected: Option<u64>| {
            let wait = used_up(&headers(remaining, &reset), now);
            assert_eq!(wait, expected.map(Duration::from_secs), "{remaining} {reset}");
        };
        check("1", "30".to_owned(), None);
        check("0", "30".to_owned(), Some(30));
        check("0", (at + 7).to_string(), Some(7));
        check("0", (at - 7).to_string(), Some(0));
        check("0", "soon".to_owned(), None);
        check("0", "86400".to_owned(), Some(120));
        assert_eq!(used_up(&HeaderMap::new(), now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_put_off_waits_at_least_as_long_as_asked_and_ever_longer_without_an_answer() {
        let now = Timestamp::from_millis(0);
        let pace = Pace::new(1);
        let waited = async || {
            let before = Instant::now();
            pace.wait().await;
            before.elapsed().as_secs_f64()
        };
        let put_off =
            |seconds| Err(CallError::PutOff { status: 429, retry_after: Some(Duration::from_secs(seconds)) });
        pace.answered(&put_off(20), &HeaderMap::new(), now);
        let first = waited().await;
        assert!((20.0..=24.1).contains(&first), "{first}");
        let mut last = 0.0;
        for _ in 0..3 {
            pace.answered(&Err(CallError::NoAnswer(String::new())), &HeaderMap::new(), now);
            let pause = waited().await;
            assert!(pause > last, "{pause} after {last}");
            last = pause;
        }
        assert!(!pace.is_hopeless());
        pace.answered(&put_off(1), &HeaderMap::new(), now);
        assert!(pace.is_hopeless() && !pace.is_hopeless());
        pace.answered(&put_off(86_400), &HeaderMap::new(), now);
        let longest = waited().await;
        assert!((3600.0..=4320.1).contains(&longest), "{longest}");
        let good = Ok(Reply { data: bytes::Bytes::new(), server_time: None });
        pace.answered(&good, &HeaderMap::new(), now);
        assert!(waited().await == 0.0);
    }
}
