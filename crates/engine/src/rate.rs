//! How fast attempts may begin at one endpoint: a bucket that holds one second's worth and fills as time goes by.

use std::collections::BTreeMap;
use std::time::Duration;

use hookit_contract::{DeliverySeq, Timestamp};

use crate::breaker::earlier;

/// A place in the bucket, divided finely enough that a millisecond fills a whole number of parts at any rate.
const PARTS: u64 = 1_000;

#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: u64,
    parts: u64,
    filled_at: Timestamp,
    /// What was taken by attempts that may still turn out not to be made; with the most that was in the bucket since. Only
    /// what would not have run over meanwhile is there to be given back.
    lent: BTreeMap<DeliverySeq, u64>,
}

impl Bucket {
    /// A full one. A rate of zero is taken as one: it would stop everything for ever.
    pub(crate) fn new(per_second: u32, now: Timestamp) -> Self {
        let per_second = u64::from(per_second.max(1));
        Bucket { per_second, parts: per_second * PARTS, filled_at: now, lent: BTreeMap::new() }
    }

    /// Changes the rate; what is in the bucket stays, so that changes of settings give nothing away.
    pub(crate) fn set_rate(&mut self, per_second: u32, now: Timestamp) {
        self.fill(now);
        self.per_second = u64::from(per_second.max(1));
        self.parts = self.parts.min(self.per_second * PARTS);
    }

    fn fill(&mut self, now: Timestamp) {
        self.parts = self.parts_at(now);
        self.filled_at = now;
        for highest in self.lent.values_mut() {
            *highest = self.parts.max(*highest);
        }
    }

    fn parts_at(&self, now: Timestamp) -> u64 {
        let passed_ms = u64::try_from(now.since(self.filled_at).as_millis()).unwrap_or(u64::MAX);
        let more = passed_ms.saturating_mul(self.per_second);
        self.parts.saturating_add(more).min(self.per_second * PARTS)
    }

    pub(crate) fn has_one(&self, now: Timestamp) -> bool {
        self.parts_at(now) >= PARTS
    }

    pub(crate) fn take_one(&mut self, now: Timestamp, seq: DeliverySeq) {
        self.fill(now);
        self.parts = self.parts.saturating_sub(PARTS);
        self.lent.insert(seq, self.parts);
    }

    /// What was taken for this delivery was used.
    pub(crate) fn used(&mut self, seq: DeliverySeq) {
        self.lent.remove(&seq);
    }

    /// What was taken for this delivery was not used: it is as if it had never been taken. The bucket would have been
    /// fuller and might have run over since, so that what comes back late may be less than a place, or nothing.
    pub(crate) fn give_back(&mut self, now: Timestamp, seq: DeliverySeq) {
        self.fill(now);
        let Some(highest) = self.lent.remove(&seq) else { return };
        let full = self.per_second * PARTS;
        let back = full.saturating_sub(highest).min(PARTS);
        self.parts += back;
        for other in self.lent.values_mut() {
            // Less than the highest means taken after it; what would have run over had done so by then.
            *other = if *other < highest { *other + back } else { (highest + PARTS).min(full).max(*other) };
        }
    }

    /// When there is one to take; `None` where there is now.
    pub(crate) fn next_at(&self, now: Timestamp) -> Option<Timestamp> {
        let missing = PARTS.checked_sub(self.parts_at(now)).filter(|&missing| missing > 0)?;
        Some(now.plus(Duration::from_millis(missing.div_ceil(self.per_second))))
    }

    pub(crate) fn clock_set_back(&mut self, by: Duration) {
        self.filled_at = earlier(self.filled_at, by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    const ONE: DeliverySeq = DeliverySeq(1);
    const TWO: DeliverySeq = DeliverySeq(2);
    const THREE: DeliverySeq = DeliverySeq(3);

    #[test]
    fn a_second_s_worth_goes_at_once_and_then_one_at_a_time() {
        let mut bucket = Bucket::new(4, at(0));
        for _ in 0..4 {
            assert!(bucket.has_one(at(0)));
            assert_eq!(bucket.next_at(at(0)), None);
            bucket.take_one(at(0), ONE);
        }
        assert!(!bucket.has_one(at(249)));
        assert_eq!(bucket.next_at(at(0)), Some(at(250)));
        assert!(bucket.has_one(at(250)));
        bucket.take_one(at(250), ONE);
        assert_eq!(bucket.next_at(at(300)), Some(at(500)));
        let taken =
            std::iter::from_fn(|| bucket.has_one(at(9_000)).then(|| bucket.take_one(at(9_000), ONE))).count();
        assert_eq!(taken, 4, "an idle time is not saved up beyond a second");
    }

    #[test]
    fn a_rate_that_no_millisecond_divides_is_kept_over_a_second() {
        let mut bucket = Bucket::new(7, at(0));
        let taken =
            (0..10_000).filter(|&ms| bucket.has_one(at(ms)).then(|| bucket.take_one(at(ms), ONE)).is_some());
        assert_eq!(taken.count(), 7 + 69);
    }

    #[test]
    fn a_change_of_the_rate_gives_nothing_away() {
        let mut bucket = Bucket::new(2, at(0));
        bucket.take_one(at(0), ONE);
        bucket.take_one(at(0), ONE);
        bucket.set_rate(1_000, at(0));
        assert!(!bucket.has_one(at(0)));
        assert!(bucket.has_one(at(1)));
        bucket.set_rate(0, at(10));
        assert!(bucket.has_one(at(10)));
        bucket.take_one(at(10), ONE);
        assert_eq!(bucket.next_at(at(10)), Some(at(1_010)));
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nobody_wait_longer() {
        let mut bucket = Bucket::new(1, at(10_000));
        bucket.take_one(at(10_000), ONE);
        bucket.clock_set_back(Duration::from_millis(9_000));
        assert_eq!(bucket.next_at(at(1_000)), Some(at(2_000)));
    }

    #[test]
    fn what_is_given_back_late_is_what_would_still_be_there() {
        let mut bucket = Bucket::new(1, at(0));
        bucket.take_one(at(0), ONE);
        bucket.take_one(at(1_000), TWO);
        // By then the place would have run over.
        bucket.give_back(at(1_001), ONE);
        assert!(!bucket.has_one(at(1_001)));
        bucket.give_back(at(1_002), TWO);
        assert!(bucket.has_one(at(1_002)));
        bucket.take_one(at(1_002), THREE);
        assert_eq!(bucket.next_at(at(1_002)), Some(at(2_002)));

        // Both come back, and together they are no more than a second's worth.
        let mut bucket = Bucket::new(2, at(0));
        for seq in [ONE, TWO] {
            bucket.take_one(at(0), seq);
        }
        bucket.take_one(at(500), THREE);
        bucket.used(THREE);
        for seq in [ONE, TWO] {
            bucket.give_back(at(500), seq);
        }
        bucket.take_one(at(500), THREE);
        assert!(!bucket.has_one(at(500)));
    }
}
