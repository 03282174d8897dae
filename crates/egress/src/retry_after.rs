//! Reading `Retry-After`, which a hostile endpoint writes.

use std::time::{Duration, UNIX_EPOCH};

use hookit_contract::Timestamp;
use http::HeaderMap;
use http::header::RETRY_AFTER;

/// How long the endpoint asks to be left alone. On which status that counts, and for how long at most, is the retry
/// plan's to say. What cannot be read is as good as not sent.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are still a number of seconds: too many.
        Some(text.parse().map_or(Duration::MAX, Duration::from_secs))
    } else {
        let date = httpdate::parse_http_date(text).ok()?;
        let since_epoch = date.duration_since(UNIX_EPOCH).ok()?;
        Some(Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).ok()?).since(now))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
        let now = Timestamp::parse("2026-03-01T18:30:00Z").unwrap();
        retry_after(&headers, now)
    }

    #[test]
    fn seconds_and_dates_are_read_and_everything_else_is_ignored() {
        let seconds = |s| Some(Duration::from_secs(s));
        for (text, expect) in [
            ("0", seconds(0)),
            ("120", seconds(120)),
            (" 7 ", seconds(7)),
            ("86401", seconds(86_401)),
            ("99999999999999999999999999", Some(Duration::MAX)),
            ("Sun, 01 Mar 2026 18:31:30 GMT", seconds(90)),
            ("Sunday, 01-Mar-26 18:31:30 GMT", seconds(90)),
            ("Sun, 01 Mar 2026 18:00:00 GMT", seconds(0)),
            ("Mon, 01 Mar 2027 18:30:00 GMT", seconds(365 * 86_400)),
            ("", None),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("2026-03-01T18:31:30Z", None),
        ] {
            assert_eq!(read(text), expect, "{text:?}");
        }
    }
}
