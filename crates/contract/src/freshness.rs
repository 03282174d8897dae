//! Which of two states of an order is the newer one, also for senders that give no version.

use crate::{OrderStatus, Record, RecordError, StatusCodes, Timestamp};

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
    /// status that is no integer tells nothing.
    pub fn freshness(&self, kept: &Record) -> Freshness {
        let state = |record: &Record| RecordState {
            version: record.version(),
            updated_at: record.updated_at(),
            status: record.status(&StatusCodes::default()).ok().flatten(),
        };
        state(self).compare(&state(kept))
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
    /// edit changes neither and must not be lost; only equal versions say that nothing is new.
    pub fn compare(&self, kept: &RecordState) -> Freshness {
        use std::cmp::Ordering::{Equal, Greater, Less};
        if let (Some(arriving), Some(kept)) = (self.version, kept.version) {
            return match arriving.cmp(&kept) {
                Greater => Freshness::Newer,
                Equal => Freshness::Same,
                Less => Freshness::Older,
            };
        }
        if let (Some(arriving), Some(kept)) = (self.updated_at, kept.updated_at) {
            match arriving.cmp(&kept) {
                Greater => return Freshness::Newer,
                Less => return Freshness::Older,
                Equal => {}
            }
        }
        let rank = |state: &RecordState| state.status.and_then(OrderStatus::rank);
        match (rank(self), rank(kept)) {
            (Some(arriving), Some(kept)) if arriving < kept => Freshness::Older,
            _ => Freshness::Newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KnownStatus;

    fn check(arriving: &str, kept: &str, expected: Freshness) {
        let codes = StatusCodes::default();
        let state = |text: &str| RecordState::of(&Record::parse(text.to_owned()).unwrap(), &codes).unwrap();
        assert_eq!(state(arriving).compare(&state(kept)), expected, "{arriving} on {kept}");
        let record = |text: &str| Record::parse(text.to_owned()).unwrap();
        assert_eq!(record(arriving).freshness(&record(kept)), expected, "{arriving} on {kept}");
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
