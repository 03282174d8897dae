//! How something is distributed that happens often: how long it takes, how much it holds.
//!
//! Counting costs three atomic operations and waits for nobody. Values are told apart to three digits, and the classes
//! end at round numbers, so that "how many took no longer than 250 ms" has an exact answer.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Values up to here have a class each; above it a class is a thousandth to a hundredth of its values wide.
const EXACT_MAX: u64 = 1_000;
/// Classes of each power of ten above.
const CLASSES_OF_A_DECADE: u64 = 900;
/// Powers of ten above [`EXACT_MAX`] that are told apart; for microseconds, up to 11 days. What is larger counts as that.
const DECADES: u64 = 9;
const CLASSES: usize = (EXACT_MAX + DECADES * CLASSES_OF_A_DECADE) as usize;

/// Counts values from 1 on; 0 counts as 1.
#[derive(Debug)]
pub struct Histogram {
    classes: Box<[AtomicU64]>,
    sum: AtomicU64,
    max: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            classes: (0..CLASSES).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
            max: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// Counts a value.
    pub fn count(&self, value: u64) {
        self.classes[class_of(value)].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
        self.max.fetch_max(value, Relaxed);
    }

    /// What was counted so far. A value that is counted at this moment may be in one figure and not yet in another.
    pub fn read(&self) -> Distribution {
        let counted =
            self.classes.iter().enumerate().filter_map(|(class, count)| match count.load(Relaxed) {
                0 => None,
                count => Some((class_max(class), count)),
            });
        Distribution { classes: counted.collect(), sum: self.sum.load(Relaxed), max: self.max.load(Relaxed) }
    }
}

fn class_of(value: u64) -> usize {
    // A class ends with its largest value: it is the one before that says which class it is.
    let before = value.saturating_sub(1);
    if before < EXACT_MAX {
        return before as usize;
    }
    let decade = u64::from(before.ilog10()) - u64::from(EXACT_MAX.ilog10());
    if decade >= DECADES {
        return CLASSES - 1;
    }
    (EXACT_MAX + decade * CLASSES_OF_A_DECADE + before / 10u64.pow(decade as u32 + 1) - EXACT_MAX / 10)
        as usize
}

/// The largest value of a class.
fn class_max(class: usize) -> u64 {
    let class = class as u64;
    if class < EXACT_MAX {
        return class + 1;
    }
    let (decade, place) =
        ((class - EXACT_MAX) / CLASSES_OF_A_DECADE, (class - EXACT_MAX) % CLASSES_OF_A_DECADE);
    (place + EXACT_MAX / 10 + 1) * 10u64.pow(decade as u32 + 1)
}

/// What a [`Histogram`] had counted at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// The largest value of each class that has any, and how many it has; upwards.
    classes: Vec<(u64, u64)>,
    sum: u64,
    max: u64,
}

impl Distribution {
    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.classes.iter().map(|(_, count)| count).sum()
    }

    /// All values together.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The largest value; 0 where there is none.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// What was counted since an earlier reading of the same histogram. The largest value is that of its class.
    pub fn since(&self, earlier: &Distribution) -> Distribution {
        let mut before = earlier.classes.iter().peekable();
        let mut classes = Vec::new();
        for (max, count) in &self.classes {
            let known = before.next_if(|(class, _)| class == max).map_or(0, |(_, count)| *count);
            if *count > known {
                classes.push((*max, count - known));
            }
        }
        let max = classes.last().map_or(0, |(max, _)| self.max.min(*max));
        Distribution { classes, sum: self.sum.saturating_sub(earlier.sum), max }
    }

    /// How many values were at most so large. Exact for a bound of three digits and any number of zeros behind them.
    pub fn up_to(&self, bound: u64) -> u64 {
        self.classes.iter().take_while(|(max, _)| *max <= bound).map(|(_, count)| count).sum()
    }

    /// The value that so many parts in a thousand are not above, to three digits; 0 where there is none.
    pub fn at_thousandth(&self, part: u64) -> u64 {
        let rank = (self.count() * part.min(1_000)).div_ceil(1_000).max(1);
        let mut counted = 0;
        let reached = self.classes.iter().find(|(_, count)| {
            counted += count;
            counted >= rank
        });
        reached.map_or(0, |(max, _)| self.max.min(*max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_between_two_readings_is_told_apart() {
        let histogram = Histogram::default();
        [5, 700, 700, 90_000].into_iter().for_each(|value| histogram.count(value));
        let earlier = histogram.read();
        assert_eq!(earlier.since(&earlier), Distribution::default());
        assert_eq!(earlier.since(&Distribution::default()), earlier);
        [3, 700, 4_000].into_iter().for_each(|value| histogram.count(value));
        let between = histogram.read().since(&earlier);
        assert_eq!((between.count(), between.sum(), between.max()), (3, 4_703, 4_000));
        assert_eq!((between.at_thousandth(500), between.up_to(3)), (700, 1));
    }

    #[test]
    fn every_value_is_in_a_class_that_is_no_wider_than_a_hundredth_of_it() {
        for exponent in 0..12 {
            for digits in [100u64, 101, 250, 499, 500, 998, 999] {
                for value in
                    [-1i64, 0, 1].map(|step| (digits * 10u64.pow(exponent)).saturating_add_signed(step))
                {
                    let class = class_of(value);
                    if class == CLASSES - 1 {
                        assert!(value > class_max(CLASSES - 2), "{value}");
                        continue;
                    }
                    let (below, max) = (class.checked_sub(1).map_or(0, class_max), class_max(class));
                    assert!(below < value && value <= max, "{value}: above {below}, up to {max}");
                    assert!(max - below <= value.div_ceil(100), "{value}: above {below}, up to {max}");
                }
            }
        }
        assert_eq!((class_of(0), class_of(u64::MAX)), (0, CLASSES - 1));
        assert_eq!(class_max(CLASSES - 1), 1_000_000_000_000);
    }

    #[test]
    fn what_is_at_most_a_round_number_is_counted_exactly() {
        let histogram = Histogram::default();
        for value in [1, 250, 251, 250_000, 250_001, 10_000_000, 10_000_001] {
            histogram.count(value);
        }
        let read = histogram.read();
        let up_to =
            [1, 250, 1_000, 250_000, 1_000_000, 10_000_000, 60_000_000].map(|bound| read.up_to(bound));
        assert_eq!(up_to, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!((read.count(), read.sum(), read.max()), (7, 20_500_504, 10_000_001));
    }

    #[test]
    fn parts_of_a_thousand_are_to_three_digits_and_never_above_the_largest() {
        let histogram = Histogram::default();
        assert_eq!((histogram.read().at_thousandth(500), histogram.read().max()), (0, 0));
        (1..=2_000).for_each(|value| histogram.count(value));
        let read = histogram.read();
        assert_eq!([500, 990, 1_000].map(|part| read.at_thousandth(part)), [1_000, 1_980, 2_000]);
        let lone = Histogram::default();
        lone.count(123_456);
        assert_eq!(lone.read().at_thousandth(500), 123_456);
    }
}
