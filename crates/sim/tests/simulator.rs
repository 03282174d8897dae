//! A fixed set of schedules, and the promise that a seed is a schedule.

use hookit_sim::auditor::Counts;
use hookit_sim::simulator::{Plan, STEPS, run};

#[test]
fn the_guarantees_hold_in_every_schedule_of_a_fixed_set_of_seeds() {
    let mut sum = Counts::default();
    for seed in 1..=40 {
        let plan = Plan { seed, steps: STEPS, log: false };
        let report = run(plan).unwrap_or_else(|failure| panic!("{failure}"));
        sum.add(&report.counts);
    }
    // What was never exercised was not shown either.
    let Counts { crashes, cut_off, stops, moved, batches, hints_lost, superseded, .. } = sum;
    for count in [crashes, cut_off, stops, moved, batches, hints_lost, superseded] {
        assert!(count > 0, "the seeds do not exercise what they should:\n{sum}");
    }
    let Counts { refused, beside, replayed, anew, missed, .. } = sum;
    for count in [refused, beside, replayed, anew, missed] {
        assert!(count > 0, "the seeds do not exercise what they should:\n{sum}");
    }
    let Counts { removed, removed_with, cancelled, late, .. } = sum;
    for count in [removed, removed_with, cancelled, late] {
        assert!(count > 0, "the seeds do not exercise what they should:\n{sum}");
    }
    let Counts { answers_lost, repeats, dead, too_old, free, holds, clock_steps, signatures, .. } = sum;
    for count in [answers_lost, repeats, dead, too_old, free, holds, clock_steps, signatures] {
        assert!(count > 0, "the seeds do not exercise what they should:\n{sum}");
    }
}

#[test]
fn a_seed_gives_the_same_log_byte_for_byte() {
    for seed in [3, 17] {
        let plan = Plan { seed, steps: STEPS, log: true };
        let [first, second] = [(); 2].map(|()| run(plan).unwrap_or_else(|failure| panic!("{failure}")));
        let (first_log, second_log) = (first.log.unwrap(), second.log.unwrap());
        for (number, (a, b)) in first_log.lines().zip(second_log.lines()).enumerate() {
            assert_eq!(a, b, "seed {seed}, line {number}");
        }
        assert_eq!(first_log.len(), second_log.len());
        assert_eq!(first.mark, second.mark);
        assert!(first_log.lines().count() > 500, "a log of {} lines says little", first_log.lines().count());
    }
    let other = run(Plan { seed: 4, steps: STEPS, log: false }).unwrap();
    let one = run(Plan { seed: 3, steps: STEPS, log: false }).unwrap();
    assert_ne!(one.mark, other.mark, "two seeds gave one schedule");
}
