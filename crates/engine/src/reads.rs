//! Reads from disk: where an endpoint stands with its own, and what was recorded while reads were under way.

use std::collections::{BTreeMap, BTreeSet};

use hookit_contract::{DeliverySeq, Timestamp};

/// Numbers reads in the order in which they are asked for.
pub(crate) type ReadNo = u64;

/// Where an endpoint stands with its read. There is never more than one to be answered: that is what tells a page
/// that may be used from a page that was overtaken by a re-read from the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// None is under way.
    Idle,
    /// Asked for, and its page is wanted. It sees every delivery that was committed up to `sees_through`.
    UnderWay { after: DeliverySeq, no: ReadNo, sees_through: DeliverySeq },
    /// Asked for, and its page is not to be used any more. The next read waits for it to be answered.
    Superseded { after: DeliverySeq },
    /// Came to nothing; not again before this moment.
    Failed { until: Timestamp },
}

impl Read {
    /// Ends the wait after a read that failed.
    pub(crate) fn time_passed(&mut self, now: Timestamp) {
        if self.alarm().is_some_and(|until| until <= now) {
            *self = Read::Idle;
        }
    }

    pub(crate) fn alarm(&self) -> Option<Timestamp> {
        match *self {
            Read::Failed { until } => Some(until),
            Read::Idle | Read::UnderWay { .. } | Read::Superseded { .. } => None,
        }
    }

    pub(crate) fn is_to_be_answered(&self) -> bool {
        matches!(self, Read::UnderWay { .. } | Read::Superseded { .. })
    }
}

/// Replays that one read asks for. The next one follows when half of them are left: they are in no hurry.
pub(crate) const REPLAYS_PER_READ: usize = 64;

/// How far an endpoint's replays are loaded. They are read a few at a time and never taken from a hint, so that a
/// million of them costs as much memory as a few.
#[derive(Debug)]
pub(crate) struct Replays {
    pub(crate) read: Read,
    /// Every replay up to here is in memory, or set aside.
    pub(crate) loaded_through: DeliverySeq,
    /// There may be more on disk.
    pub(crate) behind: bool,
    /// Replays that stand in line.
    pub(crate) waiting: usize,
    /// Replays under way.
    pub(crate) in_flight: usize,
}

impl Default for Replays {
    fn default() -> Self {
        Replays {
            read: Read::Idle,
            loaded_through: DeliverySeq::REPLAYS_AFTER,
            behind: false,
            waiting: 0,
            in_flight: 0,
        }
    }
}

impl Replays {
    /// Whether it is time to read on.
    pub(crate) fn wants_read(&self) -> bool {
        self.behind && self.read == Read::Idle && self.waiting <= REPLAYS_PER_READ / 2
    }

    /// What stood in line is forgotten: the disk is read from the start, where there was ever anything to read.
    pub(crate) fn forget(&mut self) {
        self.behind |= self.loaded_through != DeliverySeq::REPLAYS_AFTER;
        self.loaded_through = DeliverySeq::REPLAYS_AFTER;
        self.waiting = 0;
    }
}

/// What the disk says of a delivery that was recorded while a read may have been looking at its older state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Delivered or dead: the page still shows it as pending.
    Final,
    /// To be attempted again: the page shows one attempt too few and the wrong time.
    Again { attempts: u32, failures: u32, due: Timestamp },
}

/// Remembers what was recorded while reads were under way, for deliveries that nobody in memory vouches for.
///
/// A page shows the disk as it was at some moment between the question and the answer. A delivery whose verdict was
/// recorded in that time may be on the page in its former state; taken in as it stands there it would be sent once
/// more after it was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct ReadLog {
    next_no: ReadNo,
    under_way: BTreeSet<ReadNo>,
    /// With the number that the next read had when it was recorded: reads with a lower one may show it wrongly.
    settled: BTreeMap<DeliverySeq, (ReadNo, Settled)>,
}

impl ReadLog {
    pub(crate) fn begin(&mut self) -> ReadNo {
        let no = self.next_no;
        self.next_no += 1;
        self.under_way.insert(no);
        no
    }

    /// The read was answered, or its answer is not wanted any more.
    pub(crate) fn end(&mut self, no: ReadNo) {
        self.under_way.remove(&no);
        match self.under_way.first() {
            Some(&oldest) => self.settled.retain(|_, (stamp, _)| *stamp > oldest),
            None => self.settled.clear(),
        }
    }

    pub(crate) fn note(&mut self, seq: DeliverySeq, settled: Settled) {
        if !self.under_way.is_empty() {
            self.settled.insert(seq, (self.next_no, settled));
        }
    }

    /// What was recorded of a delivery since this read was asked for.
    pub(crate) fn settled_since(&self, no: ReadNo, seq: DeliverySeq) -> Option<Settled> {
        self.settled.get(&seq).filter(|(stamp, _)| *stamp > no).map(|&(_, settled)| settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEQ: DeliverySeq = DeliverySeq(4);

    #[test]
    fn what_was_recorded_is_known_to_the_reads_that_were_under_way_and_to_no_later_one() {
        let mut log = ReadLog::default();
        let before = log.begin();
        log.note(SEQ, Settled::Final);
        let later = log.begin();
        assert_eq!(log.settled_since(before, SEQ), Some(Settled::Final));
        assert_eq!(log.settled_since(later, SEQ), None);
    }

    #[test]
    fn what_no_read_needs_any_more_is_forgotten() {
        let mut log = ReadLog::default();
        log.note(SEQ, Settled::Final);
        assert!(log.settled.is_empty());
        let (first, second) = (log.begin(), log.begin());
        log.note(SEQ, Settled::Final);
        let third = log.begin();
        log.end(first);
        assert_eq!(log.settled.len(), 1);
        log.end(second);
        assert!(log.settled.is_empty());
        log.end(third);
    }
}
