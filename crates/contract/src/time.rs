//! Time as a value. Nothing in the workspace asks the machine for it except the one [`Clock`] that a shell hands in.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment: milliseconds since 1970-01-01T00:00:00Z. Written as RFC 3339 in UTC with three decimals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Timestamp(i64);

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "date-time"})
    }
}

/// A text that is no moment in time.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not a time; expected RFC 3339, for example 2026-03-01T18:30:00Z")]
pub struct TimestampError {
    text: String,
}

impl Timestamp {
    /// The moment this many milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from_millis(millis: i64) -> Self {
        Timestamp(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This moment and `later` more; the end of time where that does not fit.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        Timestamp(self.0.saturating_add(i64::try_from(later.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long before this moment `earlier` was; zero where it was not before.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads RFC 3339: `T` or a space in the middle, seconds with or without a fraction, `Z` or an offset. What is finer than a
    /// millisecond is cut off.
    ///
    /// # Errors
    /// [`TimestampError`] for anything else, a time without an offset included.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        rfc3339(text.as_bytes()).ok_or_else(|| TimestampError { text: text.chars().take(64).collect() })
    }

    /// Reads what a stranger's record has as a time, with less than RFC 3339 asks for: without seconds or separators, with white
    /// space around it.
    pub(crate) fn parse_loosely(text: &str) -> Option<Self> {
        let loosely = || {
            let millis = text.trim().parse::<jiff::Timestamp>().ok()?.as_millisecond();
            WRITTEN.contains(&millis).then_some(Timestamp(millis))
        };
        Timestamp::parse(text).ok().or_else(loosely)
    }
}

const DAY_MILLIS: i64 = 86_400_000;

/// What can be written with a year of four digits: from the year 0 to the end of 9999.
const WRITTEN: std::ops::Range<i64> = -719_528 * DAY_MILLIS..2_932_897 * DAY_MILLIS;

fn rfc3339(text: &[u8]) -> Option<Timestamp> {
    let number = |text: &[u8]| {
        let digit = |sum: Option<i64>, byte: &u8| {
            byte.is_ascii_digit().then(|| sum.map(|n| n * 10 + i64::from(byte - b'0')))?
        };
        text.iter().fold(Some(0), digit)
    };
    let (whole, rest) = text.split_at_checked(19)?;
    let [y @ .., b'-', mo1, mo2, b'-', d1, d2, b'T' | b't' | b' ', h1, h2, b':', mi1, mi2, b':', s1, s2] =
        whole
    else {
        return None;
    };
    let in_range =
        |text: &[u8], range: std::ops::RangeInclusive<i64>| number(text).filter(|n| range.contains(n));
    let (year, month) = (number(y)?, in_range(&[*mo1, *mo2], 1..=12)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(is_leap),
        _ => 31,
    };
    let day = in_range(&[*d1, *d2], 1..=days)?;
    let (hour, minute) = (in_range(&[*h1, *h2], 0..=23)?, in_range(&[*mi1, *mi2], 0..=59)?);
    // A leap second counts as the one before it.
    let second = in_range(&[*s1, *s2], 0..=60)?.min(59);
    let (fraction, offset) = match rest.strip_prefix(b".") {
        Some(rest) => rest.split_at(rest.iter().take_while(|byte| byte.is_ascii_digit()).count()),
        None => (&b"0"[..], rest),
    };
    let millis = fraction.first().map(|_| [0, 1, 2].map(|i| fraction.get(i).copied().unwrap_or(b'0')))?;
    let minutes_ahead = match offset {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let ahead = in_range(&[*h1, *h2], 0..=23)? * 60 + in_range(&[*m1, *m2], 0..=59)?;
            if *sign == b'+' { ahead } else { -ahead }
        }
        _ => return None,
    };
    let of_day = ((hour * 60 + minute - minutes_ahead) * 60 + second) * 1000 + number(&millis)?;
    let millis = days_since_1970(year, month, day) * DAY_MILLIS + of_day;
    WRITTEN.contains(&millis).then_some(Timestamp(millis))
}

/// Days from 1970-01-01 to a date. Years begin in March here, so that the day that not every year has is their last one.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day so many days after 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (
        era * 400 + year_of_era + i64::from(month <= 2),
        month,
        day_of_year - (153 * month_from_march + 2) / 5 + 1,
    )
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !WRITTEN.contains(&self.0) {
            return write!(f, "{} ms", self.0);
        }
        let (year, month, day) = date(self.0.div_euclid(DAY_MILLIS));
        let of_day = self.0.rem_euclid(DAY_MILLIS);
        let (seconds, millis) = (of_day / 1000, of_day % 1000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Timestamp> for String {
    fn from(t: Timestamp) -> String {
        t.to_string()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = TimestampError;

    fn try_from(text: String) -> Result<Self, TimestampError> {
        Timestamp::parse(&text)
    }
}

/// Where a shell takes the time from. The real one is the server's; tests and the simulator bring their own.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_with_three_decimals_and_read_back() {
        let t = Timestamp::parse("2026-03-01T18:30:00.5+07:00").unwrap();
        assert_eq!(t.to_string(), "2026-03-01T11:30:00.500Z");
        assert_eq!(Timestamp::parse(&t.to_string()).unwrap(), t);
        assert_eq!(Timestamp::parse("2026-03-01 11:30:00.5Z").unwrap(), t);
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn what_is_no_time_is_named_in_the_error() {
        for text in [
            "",
            "yesterday",
            "2026-13-01T00:00:00Z",
            "2026-03-01T18:30:00",
            "2026-03-01T18:30Z",
            "2026-03-01T18Z",
            "20260301T183000Z",
            "2026-03-01T18:30:00+07",
            "2026-03-01T18:30:00+0700",
            "2026-03-01T18:30:00+24:00",
            "2026-03-01T18:30:00.Z",
            "2026-03-01T18:30:00,5Z",
            "2026-03-01T18:30:00Z[UTC]",
            "2026-03-01T24:00:00Z",
            "2026-03-01T18:60:00Z",
            "2026-03-01T18:30:61Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-03-00T00:00:00Z",
            " 2026-03-01T18:30:00Z",
            "2026-03-01T18:30:00Z\n",
            "+02026-03-01T18:30:00Z",
            "-001-03-01T18:30:00Z",
            "2026-3-01T18:30:000Z",
            "2026-03-01T18:30:00\u{e9}",
            // No year of four digits in UTC.
            "9999-12-31T23:59:59-00:01",
            "0000-01-01T00:00:00+00:01",
        ] {
            let error = Timestamp::parse(text).unwrap_err();
            assert!(error.to_string().contains("RFC 3339"), "{text}: {error}");
        }
    }

    #[test]
    fn all_that_rfc_3339_can_write_is_read() {
        for (text, expect) in [
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z"),
            ("9999-12-31T23:59:59.9999Z", "9999-12-31T23:59:59.999Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z"),
            ("0000-01-01T00:00:00-00:01", "0000-01-01T00:01:00.000Z"),
            ("1969-12-31t23:59:59.001z", "1969-12-31T23:59:59.001Z"),
            ("2000-02-29T12:00:00+23:59", "2000-02-28T12:01:00.000Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000Z"),
            ("2026-03-01T18:30:00.12Z", "2026-03-01T18:30:00.120Z"),
        ] {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), expect, "{text}");
        }
    }

    #[test]
    fn every_day_is_written_and_read_as_the_calendar_has_it() {
        for days in (WRITTEN.start / DAY_MILLIS..WRITTEN.end / DAY_MILLIS).step_by(13) {
            let time = Timestamp::from_millis(days * DAY_MILLIS + 3_723_004);
            let text = time.to_string();
            assert_eq!(Timestamp::parse(&text), Ok(time), "{text}");
            assert!(text.ends_with("T01:02:03.004Z"), "{text}");
            if let Ok(other) = jiff::Timestamp::from_millisecond(time.as_millis()) {
                assert_eq!(format!("{other:.3}"), text);
            }
        }
    }

    #[test]
    fn a_record_of_somebody_elses_may_have_its_times_in_a_looser_form() {
        for text in ["2026-03-01T18:30Z", "20260301T183000Z", " 2026-03-01T18:30:00+0000 "] {
            assert_eq!(
                Timestamp::parse_loosely(text),
                Timestamp::parse("2026-03-01T18:30:00Z").ok(),
                "{text}"
            );
        }
        assert_eq!(Timestamp::parse_loosely("2026-03-01T18:30:00"), None);
    }

    #[test]
    fn a_difference_is_never_negative_and_a_sum_never_overflows() {
        let (a, b) = (Timestamp::from_millis(5), Timestamp::from_millis(9));
        assert_eq!(b.since(a), Duration::from_millis(4));
        assert_eq!(a.since(b), Duration::ZERO);
        assert_eq!(Timestamp::from_millis(i64::MAX).plus(Duration::from_secs(1)).as_millis(), i64::MAX);
    }
}
