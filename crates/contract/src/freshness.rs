//! Which of two states of an order is the newer one, also for senders that give no version.

use crate::{KnownStatus, OrderStatus, Record, RecordError, StatusCodes, Timestamp};

/// What tells how new a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordState {
    /// The `version`, where there is one.
    pub version: Option<i64>,
    /// The `updated_at`, where there is one.
    pub updated_at: Option<Timestamp>,
    /// The `status`, where there is one.
    pub status: Option<OrderStatus>,
}

/// How an arriving state stands to the one that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It replaces what is kept.
    Newer,
    /// It is the state that is kept.
    Same,
    /// It came late, and replaces nothing.
    Older,
}

impl Record {
    /// How this record stands to the one that is kept, with the statuses' usual codes: see [`RecordState::compare`]. A
    /// status that is no integer tells nothing, nor do states before the kept one.
    pub fn freshness(&self, kept: &Record) -> Freshness {
        let state = |record: &Record| RecordState {
            version: record.version(),
            updated_at: record.updated_at(),
            status: record.status(&StatusCodes::default()).ok().flatten(),
        };
        let kept = state(kept);
        state(self).compare(&kept, &kept)
    }
}

impl RecordState {
    /// Reads it off a record.
    ///
    /// # Errors
    /// [`RecordError::Invalid`] where `status` is there and not an integer.
    pub fn of(record: &Record, codes: &StatusCodes) -> Result<Self, RecordError> {
        Ok(RecordState {
            version: record.version(),
            updated_at: record.updated_at(),
            status: record.status(codes)?,
        })
    }

    /// Compares an arriving state with the kept one: by version where both have one, else by the time of the last
    /// change, else by the order of the statuses. Where none of it decides, the later arrival counts, because a cart
    /// edit changes neither and must not be lost; but nothing replaces a cancellation unless it is known to be newer,
    /// and of equal versions nothing is new.
    ///
    /// `seen` has the highest of each that ever came of the order ([`RecordState::highest`]). Where the kept state
    /// lacks a version, a time or a status, that of the states before it still tells what is older than they were.
    pub fn compare(&self, kept: &RecordState, seen: &RecordState) -> Freshness {
        use std::cmp::Ordering::{Equal, Greater, Less};
        match (self.version, kept.version, seen.version) {
            (Some(arriving), Some(kept), _) => {
                return match arriving.cmp(&kept) {
                    Greater => Freshness::Newer,
                    Equal => Freshness::Same,
                    Less => Freshness::Older,
                };
            }
            (Some(arriving), None, Some(seen)) if arriving <= seen => return Freshness::Older,
            _ => {}
        }
        match (self.updated_at, kept.updated_at, seen.updated_at) {
            (Some(arriving), Some(kept), _) => match arriving.cmp(&kept) {
                Greater => return Freshness::Newer,
                Less => return Freshness::Older,
                Equal => {}
            },
            (Some(arriving), None, Some(seen)) if arriving < seen => return Freshness::Older,
            _ => {}
        }
        let cancelled = Some(OrderStatus::Known(KnownStatus::Cancelled));
        if kept.status == cancelled && self.status != cancelled {
            return Freshness::Older;
        }
        match (self.rank(), kept.rank().or_else(|| seen.rank())) {
            (Some(arriving), Some(kept)) if arriving < kept => Freshness::Older,
            _ => Freshness::Newer,
        }
    }

    /// The highest version, time and status of both.
    #[must_use]
    pub fn highest(&self, other: &RecordState) -> RecordState {
        RecordState {
            version: self.version.max(other.version),
            updated_at: self.updated_at.max(other.updated_at),
            status: if other.rank() > self.rank() { other.status } else { self.status.or(other.status) },
        }
    }

    /// The status's place on the forward path, where it is known.
    fn rank(&self) -> Option<u8> {
        self.status.and_then(OrderStatus::rank)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(arriving: &str, kept: &str, expected: Freshness) {
        let codes = StatusCodes::default();
        let state = |text: &str| RecordState::of(&Record::parse(text.to_owned()).unwrap(), &codes).unwrap();
        let record = |text: &str| Record::parse(text.to_owned()).unwrap();
        assert_eq!(record(arriving).freshness(&record(kept)), expected, "{arriving} on {kept}");
        let (arriving, kept) = (state(arriving), state(kept));
        assert_eq!(arriving.compare(&kept, &kept), expected, "{arriving:?} on {kept:?}");
    }

    /// The number of the state that is kept in the end, of those that arrive, from 0.
    fn kept_of(arriving: &[RecordState]) -> Option<usize> {
        let mut view: Option<(usize, RecordState)> = None;
        for (i, state) in arriving.iter().enumerate() {
            let is_newer =
                view.is_none_or(|(kept, seen)| state.compare(&arriving[kept], &seen) == Freshness::Newer);
            let kept = view.filter(|_| !is_newer).map_or(i, |(kept, _)| kept);
            view = Some((kept, view.map_or(*state, |(_, seen)| seen.highest(state))));
        }
        view.map(|(kept, _)| kept)
    }

    #[test]
    fn version_decides_before_time_and_time_before_status() {
        use Freshness::*;
        let t1 = r#""updated_at":"2026-03-01T10:00:00Z""#;
        let t2 = r#""updated_at":"2026-03-01T10:00:01+00:00""#;
        check(r#"{"version":2,"status":1}"#, r#"{"version":1,"status":5}"#, Newer);
        check(r#"{"version":1,"status":5}"#, r#"{"version":2,"status":1}"#, Older);
        check(r#"{"version":2,"status":5}"#, r#"{"version":2,"status":1}"#, Same);
        check(&format!(r#"{{"version":1,{t2}}}"#), &format!(r#"{{"version":2,{t1}}}"#), Older);
        check(&format!(r#"{{{t2},"status":1}}"#), &format!(r#"{{{t1},"status":5}}"#), Newer);
        check(&format!(r#"{{{t1},"status":5}}"#), &format!(r#"{{"version":9,{t2},"status":1}}"#), Older);
        check(&format!(r#"{{{t1},"status":5}}"#), &format!(r#"{{{t1},"status":4}}"#), Newer);
        check(&format!(r#"{{{t1},"status":2}}"#), &format!(r#"{{{t1},"status":4}}"#), Older);
        check(r#"{"status":10}"#, r#"{"status":4}"#, Older);
        check(r#"{"status":3}"#, r#"{"status":5}"#, Newer);
        check(r#"{"status":5}"#, r#"{"status":3}"#, Older);
    }

    #[test]
    fn where_nothing_decides_the_later_arrival_counts() {
        check(r#"{"status":2}"#, r#"{"status":2}"#, Freshness::Newer);
        check(r#"{"status":99}"#, r#"{"status":5}"#, Freshness::Newer);
        check(r#"{}"#, r#"{"status":5}"#, Freshness::Newer);
        let unreadable = r#"{"updated_at":"yesterday","status":4}"#;
        check(unreadable, r#"{"updated_at":"2026-03-01T10:00:00Z","status":2}"#, Freshness::Newer);
    }

    #[test]
    fn nothing_replaces_a_cancellation_unless_it_is_known_to_be_newer() {
        let t = |seconds: u32, more: &str| format!(r#"{{"updated_at":{},{more}}}"#, 2_000_000_000 + seconds);
        check(&t(1, r#""status":4"#), &t(0, r#""status":3"#), Freshness::Newer);
        check(r#"{"version":2,"status":4}"#, r#"{"version":1,"status":3}"#, Freshness::Newer);
        for late in
            [&t(0, r#""status":4"#), &t(0, r#""status":99"#), r#"{"version":2,"status":5}"#, r#"{"x":1}"#]
        {
            check(late, &t(0, r#""status":3"#), Freshness::Older);
        }
        check(r#"{"status":3,"cancellation_reason":"void"}"#, r#"{"status":3}"#, Freshness::Newer);
    }

    #[test]
    fn what_is_older_than_a_state_before_the_kept_one_is_older_than_that() {
        let codes = StatusCodes::default();
        let kept_of = |texts: &[&str]| {
            let states: Vec<_> = texts
                .iter()
                .map(|t| RecordState::of(&Record::parse((*t).to_owned()).unwrap(), &codes).unwrap())
                .collect();
            kept_of(&states).unwrap()
        };
        // The kept one has no version; the one before it had.
        assert_eq!(kept_of(&[r#"{"version":5}"#, r#"{"x":1}"#, r#"{"version":4}"#, r#"{"version":5}"#]), 1);
        assert_eq!(kept_of(&[r#"{"version":5}"#, r#"{"x":1}"#, r#"{"version":6}"#]), 2);
        // One that came late counts, too.
        let late =
            [r#"{"updated_at":2000000009}"#, r#"{"version":5,"updated_at":2000000005}"#, r#"{"version":4}"#];
        assert_eq!(kept_of(&late), 0);
        // Neither has the kept one a time, or a status that has a place.
        assert_eq!(
            kept_of(&[r#"{"updated_at":2000000005}"#, r#"{"x":1}"#, r#"{"updated_at":2000000004}"#]),
            1
        );
        assert_eq!(kept_of(&[r#"{"status":4}"#, r#"{"status":99}"#, r#"{"status":2}"#]), 1);
        assert_eq!(kept_of(&[r#"{"status":4}"#, r#"{"status":99}"#, r#"{"status":5}"#]), 2);
    }

    /// Which of version, time and status a sender gives with a state.
    type Given = (bool, bool, bool);

    /// A history as it happened: each state later than the one before, and neither version, time nor status ever goes
    /// back. Times are in whole seconds, so several states may share one; none is as new as the last for all that can be told.
    fn history() -> impl Strategy<Value = Vec<RecordState>> {
        use KnownStatus::*;
        let path =
            [Scheduled, Placed, Accepted, Preparing, Ready, DriverAssigned, Dispatched, Delivered, Cancelled];
        let step = (0usize..3, 0i64..3, any::<bool>(), any::<Given>());
        proptest::collection::vec(step, 1..8).prop_map(move |steps| {
            let (mut at, mut second) = (0, 2_000_000_000);
            let state = |(i, (up, seconds, unknown, given)): (usize, (usize, i64, bool, Given))| {
                at = (at + up).min(path.len() - 1);
                second += seconds;
                let status = match unknown && at + 1 < path.len() {
                    true => OrderStatus::Unknown(99),
                    false => path[at].into(),
                };
                RecordState {
                    version: given.0.then_some(i as i64 + 1),
                    updated_at: given.1.then(|| Timestamp::from_millis(second * 1000)),
                    status: given.2.then_some(status),
                }
            };
            let mut states: Vec<_> = steps.into_iter().enumerate().map(state).collect();
            let last = states.pop().expect("there is one step or more");
            states.retain(|other| can_be_told(&last, other));
            states.push(last);
            states
        })
    }

    /// True where something that both states have tells which is which.
    fn can_be_told(last: &RecordState, other: &RecordState) -> bool {
        let differ = |a: Option<i64>, b: Option<i64>| a.zip(b).is_some_and(|(a, b)| a != b);
        let millis = |state: &RecordState| state.updated_at.map(Timestamp::as_millis);
        let place = |state: &RecordState| state.status.and_then(OrderStatus::rank).map(i64::from);
        differ(last.version, other.version)
            || differ(millis(last), millis(other))
            || differ(place(last), place(other))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn in_whatever_order_and_however_often_states_arrive_the_last_one_is_kept(
            (history, arrivals) in history().prop_flat_map(|history| {
                let all: Vec<usize> = (0..history.len()).collect();
                let repeats = proptest::collection::vec(0..history.len(), 0..6);
                let arrivals = repeats.prop_map(move |repeats| [all.clone(), repeats].concat()).prop_shuffle();
                (Just(history), arrivals)
            })
        ) {
            let arriving: Vec<_> = arrivals.iter().map(|i| history[*i]).collect();
            prop_assert_eq!(arrivals[kept_of(&arriving).unwrap()], history.len() - 1);
        }
    }

    #[test]
    fn seconds_and_milliseconds_are_told_apart() {
        let codes = StatusCodes::default();
        for text in [
            r#"{"updated_at":1772361000,"status":4}"#,
            r#"{"updated_at":1772361000000,"status":4}"#,
            r#"{"updated_at":"2026-03-01T10:30:00Z","status":4}"#,
        ] {
            let state = RecordState::of(&Record::parse(text).unwrap(), &codes).unwrap();
            assert_eq!(state.updated_at, Some(Timestamp::from_millis(1_772_361_000_000)), "{text}");
            assert_eq!(state.status, Some(KnownStatus::Ready.into()));
        }
        for text in [r#"{"updated_at":-9223372036854775808}"#, r#"{"updated_at":9223372036854775807}"#] {
            assert!(Record::parse(text).unwrap().updated_at().is_some(), "{text}");
        }
    }
}
