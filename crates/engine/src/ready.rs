//! What one endpoint has ready to be sent. Knows numbers only.

use std::collections::BTreeSet;

use hookit_contract::DeliverySeq;

/// Deliveries that are due and first in their lanes, by number; those that have failed on their own are kept apart
/// from those against which nothing speaks.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    clean: BTreeSet<DeliverySeq>,
    failed: BTreeSet<DeliverySeq>,
}

impl Ready {
    pub(crate) fn insert(&mut self, seq: DeliverySeq, has_failed: bool) {
        if has_failed {
            self.failed.insert(seq);
        } else {
            self.clean.insert(seq);
        }
    }

    pub(crate) fn remove(&mut self, seq: DeliverySeq) {
        self.clean.remove(&seq);
        self.failed.remove(&seq);
    }

    pub(crate) fn contains(&self, seq: DeliverySeq) -> bool {
        self.clean.contains(&seq) || self.failed.contains(&seq)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.clean.is_empty() && self.failed.is_empty()
    }

    /// Whether there is one that has not failed on its own.
    pub(crate) fn has_clean(&self) -> bool {
        !self.clean.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.clean.clear();
        self.failed.clear();
    }

    pub(crate) fn lowest(&self) -> Option<DeliverySeq> {
        self.clean.first().into_iter().chain(self.failed.first()).min().copied()
    }

    /// The next after this number, and from the lowest again after the highest; one that has failed on its own only
    /// where there is no other. A few orders that can never be delivered would otherwise be probed with in turn, or
    /// fail in a row as soon as it was up again, and keep an endpoint down for hours.
    pub(crate) fn clean_first(&self, after: DeliverySeq) -> Option<DeliverySeq> {
        let next = |set: &BTreeSet<DeliverySeq>| {
            let behind = set.range(DeliverySeq(after.0.saturating_add(1))..).next();
            behind.or_else(|| set.first()).copied()
        };
        next(&self.clean).or_else(|| next(&self.failed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_turn_goes_round_those_that_have_not_failed_and_only_then_round_the_others() {
        let mut ready = Ready::default();
        for (seq, has_failed) in [(1, true), (2, false), (3, true), (5, false)] {
            ready.insert(DeliverySeq(seq), has_failed);
        }
        let next = |ready: &Ready, after| ready.clean_first(DeliverySeq(after)).map(|seq| seq.0);
        assert_eq!(ready.lowest(), Some(DeliverySeq(1)));
        assert_eq!([0, 2, 5].map(|after| next(&ready, after)), [Some(2), Some(5), Some(2)]);
        ready.remove(DeliverySeq(2));
        ready.remove(DeliverySeq(5));
        assert_eq!([0, 1, 3].map(|after| next(&ready, after)), [Some(1), Some(3), Some(1)]);
        assert!(ready.contains(DeliverySeq(3)) && !ready.contains(DeliverySeq(5)));
        ready.clear();
        assert!(ready.is_empty() && next(&ready, 0).is_none());
    }
}
