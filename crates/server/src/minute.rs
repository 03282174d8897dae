//! So many in a minute, which begins with the first of them. Pure; what is counted, and for whom, is the caller's.

use std::time::Duration;

use hookit_contract::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);

/// Calls since the first one of a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Minute {
    since: Option<Timestamp>,
    calls: u64,
}

impl Minute {
    /// Counts a call, unless there were so many already. Whether it was one of them.
    pub fn count(&mut self, max: u64, now: Timestamp) -> bool {
        if self.is_over(now) {
            *self = Minute { since: Some(now), calls: 0 };
        }
        let is_within = self.calls < max;
        self.calls += u64::from(is_within);
        is_within
    }

    /// Is none under way? A clock that is set back makes nobody wait longer.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.since.is_none_or(|since| now < since || now.since(since) >= MINUTE)
    }

    /// How many further ones there may be before it is over.
    pub fn left(&self, max: u64) -> u64 {
        max.saturating_sub(self.calls)
    }

    /// Until it is over, in seconds. Rounded up, so that nobody comes back too early.
    pub fn seconds_left(&self, now: Timestamp) -> u32 {
        let gone = self.since.map_or(MINUTE, |since| now.since(since));
        let left = MINUTE.saturating_sub(gone).as_millis().div_ceil(1000);
        u32::try_from(left).expect("a minute has sixty seconds")
    }
}
