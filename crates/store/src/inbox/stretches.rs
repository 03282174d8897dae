//! Numbers of changes as stretches of consecutive ones: a million that follow each other are one.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Numbers, as the longest stretches of consecutive ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stretches {
    /// The last number of each by its first; no two touch.
    by_first: BTreeMap<i64, i64>,
    numbers: u64,
}

impl Stretches {
    /// How many stretches there are.
    pub fn len(&self) -> usize {
        self.by_first.len()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.by_first.is_empty()
    }

    /// How many numbers there are in all of them.
    pub fn numbers(&self) -> u64 {
        self.numbers
    }

    /// The stretches, rising.
    pub fn iter(&self) -> impl Iterator<Item = RangeInclusive<i64>> + '_ {
        self.by_first.iter().map(|(first, last)| *first..=*last)
    }

    /// The last number of the stretch that this one is in.
    pub fn last_with(&self, number: i64) -> Option<i64> {
        self.by_first.range(..=number).next_back().map(|(_, last)| *last).filter(|last| number <= *last)
    }

    /// Whether this number is in one.
    pub fn contains(&self, number: i64) -> bool {
        self.last_with(number).is_some()
    }

    /// Whether this is one of them, as it stands.
    pub fn has(&self, stretch: &RangeInclusive<i64>) -> bool {
        self.by_first.get(stretch.start()) == Some(stretch.end())
    }

    /// Puts a number in. It may join two stretches.
    pub fn insert(&mut self, number: i64) {
        if self.contains(number) {
            return;
        }
        let before = self.by_first.range(..number).next_back().filter(|(_, last)| **last + 1 == number);
        let first = before.map_or(number, |(first, _)| *first);
        let last = number.checked_add(1).and_then(|next| self.by_first.remove(&next)).unwrap_or(number);
        self.by_first.insert(first, last);
        self.numbers += 1;
    }

    /// Takes everything out up to this number.
    pub fn remove_through(&mut self, number: i64) {
        while let Some(entry) = self.by_first.first_entry() {
            let (first, last) = (*entry.key(), *entry.get());
            if first > number {
                return;
            }
            self.numbers -= last.min(number).abs_diff(first) + 1;
            entry.remove();
            if last > number {
                self.by_first.insert(number + 1, last);
                return;
            }
        }
    }
}

impl FromIterator<RangeInclusive<i64>> for Stretches {
    /// Of what does not overlap.
    fn from_iter<I: IntoIterator<Item = RangeInclusive<i64>>>(stretches: I) -> Self {
        let by_first: BTreeMap<i64, i64> =
            stretches.into_iter().map(|stretch| stretch.into_inner()).collect();
        let numbers = by_first.iter().map(|(first, last)| last.abs_diff(*first) + 1).sum();
        Stretches { by_first, numbers }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The stretches of a set, found the long way.
    fn expected(set: &BTreeSet<i64>) -> Vec<RangeInclusive<i64>> {
        let mut stretches: Vec<RangeInclusive<i64>> = Vec::new();
        for number in set {
            match stretches.last_mut() {
                Some(stretch) if stretch.end() + 1 == *number => *stretch = *stretch.start()..=*number,
                _ => stretches.push(*number..=*number),
            }
        }
        stretches
    }

    fn check(stretches: &Stretches, set: &BTreeSet<i64>) {
        assert_eq!(stretches.iter().collect::<Vec<_>>(), expected(set));
        assert_eq!((stretches.len(), stretches.numbers()), (expected(set).len(), set.len() as u64));
        assert!(stretches.iter().all(|stretch| stretches.has(&stretch)));
        assert!(!stretches.has(&(-2..=60)));
        for number in -2..60 {
            assert_eq!(stretches.contains(number), set.contains(&number), "{number} in {stretches:?}");
        }
        assert_eq!(stretches.iter().collect::<Stretches>(), *stretches);
    }

    #[test]
    fn whatever_is_put_in_and_taken_out_they_are_those_of_a_set() {
        let mut dice = 1u64;
        let mut roll = move |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((dice >> 33) % sides) as i64
        };
        for _ in 0..100 {
            let (mut stretches, mut set) = (Stretches::default(), BTreeSet::new());
            for _ in 0..80 {
                let number = roll(50);
                if roll(12) == 0 {
                    stretches.remove_through(number / 2);
                    set.retain(|kept| *kept > number / 2);
                } else {
                    stretches.insert(number);
                    set.insert(number);
                }
                check(&stretches, &set);
            }
        }
    }

    #[test]
    fn the_largest_number_is_one_like_another() {
        let mut stretches = Stretches::default();
        for number in [i64::MAX, i64::MAX - 1, i64::MAX] {
            stretches.insert(number);
        }
        assert_eq!((stretches.len(), stretches.numbers()), (1, 2));
        assert_eq!(stretches.last_with(i64::MAX - 1), Some(i64::MAX));
        stretches.remove_through(i64::MAX);
        assert!(stretches.is_empty() && stretches.numbers() == 0);
    }
}
