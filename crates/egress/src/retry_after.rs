//! Reading `Retry-After`, which a hostile endpoint writes.

use std::time::{Duration, UNIX_EPOCH};

use hookit_contract::Timestamp;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

/// The longest wait that is believed; a longer one counts as this. It is the longest pause of the retry plan, so an
/// endpoint cannot push its deliveries further away by asking than by being silent.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the endpoint asks to be left alone. Only 429 and 503 give the header that meaning here: on a 3xx it is
/// about the redirect, and on anything else it is noise. What cannot be read is as good as not sent.
pub(crate) fn retry_after(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    if status != StatusCode::TOO_MANY_REQUESTS && status != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are still a number of seconds: too many.
        text.parse().map_or(Duration::MAX, Duration::from_secs)
    } else {
        let date = httpdate::parse_http_date(text).ok()?;
        let since_epoch = date.duration_since(UNIX_EPOCH).ok()?;
        Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).ok()?).since(now)
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(status: u16, text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
        let now = Timestamp::parse("2026-03-01T18:30:00Z").unwrap();
        retry_after(StatusCode::from_u16(status).unwrap(), &headers, now)
    }

    #[test]
    fn seconds_and_dates_are_read_and_everything_else_is_ignored() {
        let seconds = |s| Some(Duration::from_secs(s));
        for (text, expect) in [
            ("0", seconds(0)),
            ("120", seconds(120)),
            (" 7 ", seconds(7)),
            ("86401", seconds(86_400)),
            ("99999999999999999999999999", seconds(86_400)),
            ("Sun, 01 Mar 2026 18:31:30 GMT", seconds(90)),
            ("Sunday, 01-Mar-26 18:31:30 GMT", seconds(90)),
            ("Sun, 01 Mar 2026 18:00:00 GMT", seconds(0)),
            ("Mon, 01 Mar 2027 18:30:00 GMT", seconds(86_400)),
            ("", None),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("2026-03-01T18:31:30Z", None),
        ] {
            assert_eq!(read(429, text), expect, "{text:?}");
        }
    }

    #[test]
    fn it_means_something_on_429_and_503_only() {
        for (status, kept) in [
            (429, true),
            (503, true),
            (200, false),
            (202, false),
            (302, false),
            (413, false),
            (500, false),
            (502, false),
        ] {
            assert_eq!(read(status, "5").is_some(), kept, "{status}");
        }
    }
}
