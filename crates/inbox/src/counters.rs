//! What an inbox has done since it was started, counted. The truth about orders is the store's; these are for people
//! and graphs, and begin at zero with every start.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hookit_contract::Timestamp;

/// Why a delivery was not taken in. Closed: a new reason is a new variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalReason {
    /// No `x-klikit-signature`.
    SignatureMissing,
    /// A signature that is none of the secrets'.
    SignatureWrong,
    /// From an address that deliveries may not come from.
    SourceForbidden,
    /// No Basic credentials, or wrong ones, where the inbox requires them.
    CredentialsWrong,
    /// The body is over the limit.
    TooLarge,
    /// The body did not arrive in time.
    TimedOut,
    /// The body broke off, with the connection still there to say so.
    BrokeOff,
    /// The store, or the memory for large bodies, had no room. The sender comes again.
    Busy,
    /// The store failed. The sender comes again.
    Failed,
}

impl RefusalReason {
    /// All reasons.
    pub const ALL: [RefusalReason; 9] = [
        RefusalReason::SignatureMissing,
        RefusalReason::SignatureWrong,
        RefusalReason::SourceForbidden,
        RefusalReason::CredentialsWrong,
        RefusalReason::TooLarge,
        RefusalReason::TimedOut,
        RefusalReason::BrokeOff,
        RefusalReason::Busy,
        RefusalReason::Failed,
    ];

    /// The word for it, in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            RefusalReason::SignatureMissing => "signature_missing",
            RefusalReason::SignatureWrong => "signature_wrong",
            RefusalReason::SourceForbidden => "source_forbidden",
            RefusalReason::CredentialsWrong => "credentials_wrong",
            RefusalReason::TooLarge => "too_large",
            RefusalReason::TimedOut => "timed_out",
            RefusalReason::BrokeOff => "broke_off",
            RefusalReason::Busy => "busy",
            RefusalReason::Failed => "failed",
        }
    }
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Deliveries taken in, repeats not counted.
    pub received: u64,
    /// Repeats.
    pub duplicates: u64,
    /// Orders whose view was renewed.
    pub applied: u64,
    /// Orders that had a newer state already.
    pub stale: u64,
    /// Records and bodies put into quarantine.
    pub quarantined: u64,
    /// Deliveries among those received and repeated that came without an id that can be used.
    pub without_id: u64,
    refused: [u64; RefusalReason::ALL.len()],
}

impl Counters {
    /// Requests that were refused for this reason.
    pub fn refused(&self, reason: RefusalReason) -> u64 {
        self.refused[reason as usize]
    }

    /// Requests that were refused for any reason.
    pub fn refused_in_all(&self) -> u64 {
        self.refused.iter().sum()
    }
}

/// The counts as they grow. Each is exact; a snapshot may fall between two that belong together.
#[derive(Debug, Default)]
pub(crate) struct LiveCounters {
    pub(crate) received: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) applied: AtomicU64,
    pub(crate) stale: AtomicU64,
    pub(crate) quarantined: AtomicU64,
    pub(crate) without_id: AtomicU64,
    refused: [AtomicU64; RefusalReason::ALL.len()],
    /// When a refusal for each reason was last told to people, in milliseconds.
    told_at: [AtomicI64; RefusalReason::ALL.len()],
}

/// How often people are told of refusals for one reason: whoever knows the URL can provoke one at any time.
const TOLD_EVERY: Duration = Duration::from_secs(60);

impl LiveCounters {
    /// Counts a refusal. How many there are by now, where people are to be told of it.
    pub(crate) fn refuse(&self, reason: RefusalReason, now: Timestamp) -> Option<u64> {
        let refused = self.refused[reason as usize].fetch_add(1, Relaxed) + 1;
        let (told_at, now) = (&self.told_at[reason as usize], now.as_millis());
        let last = told_at.load(Relaxed);
        let is_due = refused == 1 || now.abs_diff(last) >= TOLD_EVERY.as_millis() as u64;
        // Of two at one time one tells.
        (is_due && told_at.compare_exchange(last, now, Relaxed, Relaxed).is_ok()).then_some(refused)
    }

    pub(crate) fn snapshot(&self) -> Counters {
        Counters {
            received: self.received.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            applied: self.applied.load(Relaxed),
            stale: self.stale.load(Relaxed),
            quarantined: self.quarantined.load(Relaxed),
            without_id: self.without_id.load(Relaxed),
            refused: std::array::from_fn(|i| self.refused[i].load(Relaxed)),
        }
    }
}

/// How many came lately: five minutes in pieces of ten seconds.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Pieces>);

const PIECE_S: i64 = 10;
const PIECES: usize = 30;

#[derive(Debug, Default)]
struct Pieces {
    last: Option<Timestamp>,
    /// The number of a piece of time, and how many came in it.
    counts: [(i64, u64); PIECES],
}

fn piece(now: Timestamp) -> i64 {
    now.as_millis().div_euclid(PIECE_S * 1_000)
}

impl Recent {
    pub(crate) fn count(&self, now: Timestamp) {
        let mut pieces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.last = pieces.last.max(Some(now));
        let piece = piece(now);
        let place = &mut pieces.counts[piece.rem_euclid(PIECES as i64) as usize];
        if place.0 != piece {
            *place = (piece, 0);
        }
        place.1 += 1;
    }

    /// When the last one came.
    pub(crate) fn last(&self) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last
    }

    /// How many a second came within so many seconds, 10 to 290; the piece of now, which is not over, is left out.
    pub(crate) fn per_second(&self, now: Timestamp, seconds: i64) -> f64 {
        let now = piece(now);
        let pieces = (seconds / PIECE_S).clamp(1, PIECES as i64 - 1);
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner).counts;
        let lately = |(piece, _): &&(i64, u64)| (now - pieces..now).contains(piece);
        let came: u64 = counts.iter().filter(lately).map(|(_, count)| count).sum();
        came as f64 / (pieces * PIECE_S) as f64
    }
}

pub(crate) fn add(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_count_and_a_word_of_its_own() {
        let live = LiveCounters::default();
        for (i, reason) in RefusalReason::ALL.into_iter().enumerate() {
            for _ in 0..=i {
                live.refuse(reason, Timestamp::from_millis(0));
            }
        }
        let counts = live.snapshot();
        for (i, reason) in RefusalReason::ALL.into_iter().enumerate() {
            assert_eq!(counts.refused(reason), i as u64 + 1, "{}", reason.as_str());
            assert_eq!(RefusalReason::ALL.iter().filter(|r| r.as_str() == reason.as_str()).count(), 1);
        }
        assert_eq!(counts.refused_in_all(), 45);
    }

    #[test]
    fn a_rate_is_that_of_the_last_minutes_and_falls_to_nothing() {
        let recent = Recent::default();
        let at = |seconds: i64| Timestamp::from_millis(1_772_361_000_000 + seconds * 1_000);
        for second in 0..60 {
            for _ in 0..3 {
                recent.count(at(second));
            }
        }
        assert_eq!(recent.per_second(at(60), 60), 3.0);
        assert_eq!(recent.per_second(at(90), 60), 1.5);
        assert!((recent.per_second(at(60), 300) - 180.0 / 290.0).abs() < 1e-9);
        assert_eq!((recent.per_second(at(3_600), 300), recent.last()), (0.0, Some(at(59))));
        recent.count(at(3_600));
        assert_eq!(recent.per_second(at(3_610), 10), 0.1, "a place is used again");
    }

    #[test]
    fn people_are_told_of_the_first_refusal_and_then_once_a_minute() {
        let live = LiveCounters::default();
        let told: Vec<_> = [0, 1, 59_999, 60_000, 60_001, 119_999, 120_000, 1_000]
            .into_iter()
            .map(|now| live.refuse(RefusalReason::SignatureWrong, Timestamp::from_millis(now)))
            .collect();
        // A clock that is set back does not silence it.
        assert_eq!(told, [Some(1), None, None, Some(4), None, None, Some(7), Some(8)]);
        assert_eq!(live.refuse(RefusalReason::TooLarge, Timestamp::from_millis(1_000)), Some(1));
    }
}
