//! How much a partner may ask: so many reads and so many writes a minute, each credential for itself.
//!
//! A minute begins with the first call in it. It is counted in memory alone, so a restart begins anew.
//!
//! What this module must not do: know who is calling. Only who has shown a valid credential is counted.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hookit_contract::{ErrorCode, PartnerId, Timestamp};
use hookit_server::{ApiError, Minute};
use http::{HeaderName, HeaderValue, Method};

/// How many calls a credential may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartnerRates {
    /// Calls in a minute that only read.
    pub reads_per_minute_max: u64,
    /// All other calls in a minute.
    pub writes_per_minute_max: u64,
}

impl Default for PartnerRates {
    /// As published.
    fn default() -> Self {
        PartnerRates { reads_per_minute_max: 600, writes_per_minute_max: 300 }
    }
}

/// The headers that say how a credential stands, and what is in each. A refusal of the credential itself has none of them.
pub(crate) const HEADERS: [(&str, &str); 3] = [
    (
        "X-RateLimit-Limit",
        "Calls of this kind, reads or writes, that the credential may make in a minute. Missing where the credential is refused.",
    ),
    ("X-RateLimit-Remaining", "How many of them are left. Missing where the credential is refused."),
    (
        "X-RateLimit-Reset",
        "Seconds until all of them are there again. Missing where the credential is refused.",
    ),
];

/// Credentials that are remembered before those whose minutes are over are forgotten.
const REMEMBERED_MAX: usize = 1024;

/// The minutes of all credentials.
#[derive(Debug)]
pub(crate) struct Rates {
    limits: PartnerRates,
    minutes: Mutex<HashMap<PartnerId, Minutes>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Minutes {
    reads: Minute,
    writes: Minute,
}

/// How a credential stands after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    is_within: bool,
    kind: &'static str,
    limit: u64,
    remaining: u64,
    reset_seconds: u32,
}

impl Rates {
    pub(crate) fn new(limits: PartnerRates) -> Self {
        Rates { limits, minutes: Mutex::default() }
    }

    /// Counts a call.
    pub(crate) fn count(&self, partner_id: &PartnerId, method: &Method, now: Timestamp) -> Standing {
        let mut minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        if minutes.len() >= REMEMBERED_MAX && !minutes.contains_key(partner_id) {
            minutes.retain(|_, Minutes { reads, writes }| !reads.is_over(now) || !writes.is_over(now));
        }
        let Minutes { reads, writes } = minutes.entry(partner_id.clone()).or_default();
        let PartnerRates { reads_per_minute_max, writes_per_minute_max } = self.limits;
        let (kind, limit, minute) = match *method {
            Method::GET | Method::HEAD => ("reads", reads_per_minute_max, reads),
            _ => ("writes", writes_per_minute_max, writes),
        };
        let is_within = minute.count(limit, now);
        let remaining = minute.left(limit);
        Standing { is_within, kind, limit, remaining, reset_seconds: minute.seconds_left(now) }
    }
}

impl Standing {
    /// The refusal of a call that was one too many.
    pub(crate) fn refusal(&self) -> Option<ApiError> {
        let Standing { is_within, kind, limit, reset_seconds, .. } = *self;
        let message =
            || format!("{limit} {kind} a minute are taken of a credential; the next in {reset_seconds} s");
        (!is_within).then(|| ApiError::new(ErrorCode::RateLimited, message()).with_retry_after(reset_seconds))
    }

    /// [`HEADERS`].
    pub(crate) fn headers(&self) -> [(HeaderName, HeaderValue); 3] {
        [
            (HeaderName::from_static("x-ratelimit-limit"), self.limit.into()),
            (HeaderName::from_static("x-ratelimit-remaining"), self.remaining.into()),
            (HeaderName::from_static("x-ratelimit-reset"), self.reset_seconds.into()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + millis)
    }

    fn id(number: usize) -> PartnerId {
        PartnerId::from(format!("ptn_{number}"))
    }

    #[test]
    fn a_minute_begins_with_its_first_call_and_takes_so_many() {
        let rates = Rates::new(PartnerRates { reads_per_minute_max: 2, writes_per_minute_max: 1 });
        for (partner, method, now, is_within, remaining, reset_seconds) in [
            (1, Method::GET, 500, true, 1, 60),
            (1, Method::HEAD, 1_500, true, 0, 59),
            (1, Method::GET, 1_501, false, 0, 59),
            (1, Method::PATCH, 1_501, true, 0, 60),
            (1, Method::POST, 1_501, false, 0, 60),
            (2, Method::GET, 1_501, true, 1, 60),
            // What was refused is not counted and does not lengthen the minute.
            (1, Method::GET, 60_499, false, 0, 1),
            (1, Method::GET, 60_500, true, 1, 60),
            // A clock that was set back.
            (1, Method::GET, 0, true, 1, 60),
        ] {
            let standing = rates.count(&id(partner), &method, at(now));
            let (kind, limit) =
                if method == Method::GET || method == Method::HEAD { ("reads", 2) } else { ("writes", 1) };
            assert_eq!(standing, Standing { is_within, kind, limit, remaining, reset_seconds }, "{now}");
            assert_eq!(standing.refusal().is_none(), is_within);
        }
    }

    #[test]
    fn credentials_that_do_not_call_are_forgotten_and_those_that_do_are_not() {
        let rates = Rates::new(PartnerRates { reads_per_minute_max: 1, writes_per_minute_max: 1 });
        for number in 0..REMEMBERED_MAX {
            rates.count(&id(number), &Method::GET, at(0));
        }
        rates.count(&id(0), &Method::POST, at(59_000));
        rates.count(&id(REMEMBERED_MAX), &Method::GET, at(60_000));
        assert_eq!(rates.minutes.lock().unwrap().len(), 2);
        assert!(!rates.count(&id(0), &Method::POST, at(60_000)).is_within);
    }
}
