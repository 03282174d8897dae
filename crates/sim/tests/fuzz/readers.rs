//! Readers that are functions: no input makes them panic, and what they take is what was written.

use bytes::Bytes;
use hookit_contract::{Changes, Envelope, Record, Timestamp, WebhookSecret, depth_fits};
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

use crate::inputs::fuzz;

#[test]
fn a_record_is_taken_as_it_was_written_or_not_at_all() {
    fuzz("record", 4_000, |input| {
        let json: Result<Value, _> = serde_json::from_slice(input);
        let Ok(record) = Record::parse(Bytes::copy_from_slice(input)) else {
            assert!(!depth_fits(input) || !json.is_ok_and(|json| json.is_object()), "an object was refused");
            return;
        };
        assert_eq!(record.bytes(), input);
        let names: Vec<String> = record.names().map(Into::into).collect();
        let mut changes = Changes::new();
        changes.integer("version", 7);
        changes.string("note", "\"\\\u{0}");
        let changed = record.with(&changes);
        let again = Record::parse(changed.bytes().clone()).expect("a change leaves it a record");
        assert_eq!((again.get("version"), again.version()), (Some("7"), Some(7)));
        for name in names {
            if !["version", "note"].contains(&name.as_str()) {
                assert_eq!(again.get(&name), record.get(&name), "{name}");
            }
        }
        let _ = (record.id(), record.brand_ids(), record.updated_at(), record.status(&Default::default()));
    });
}

#[test]
fn an_envelope_is_read_into_records_that_stand_in_it() {
    fuzz("envelope", 4_000, |input| {
        let body = Bytes::copy_from_slice(input);
        let Ok(envelope) = Envelope::read(&body) else { return };
        assert!(!envelope.orders.is_empty());
        for order in &envelope.orders {
            assert!(body.as_ptr_range().contains(&order.bytes.as_ptr()), "copied");
            assert!(body.windows(order.bytes.len()).any(|part| part == order.bytes));
            if let Ok(record) = &order.record {
                assert_eq!(record.bytes(), &order.bytes);
            }
        }
    });
}

#[test]
fn no_header_is_a_signature_but_the_one() {
    let secret = WebhookSecret::new(b"whsec_of_the_tests");
    fuzz("signature", 4_000, |input| {
        let at = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
        let (header, body) = (&input[..at], input.get(at + 1..).unwrap_or_default());
        let right = secret.sign(body);
        secret.verify(body, right.as_str().as_bytes()).unwrap();
        assert!(
            secret.verify(body, header).is_err() || header.eq_ignore_ascii_case(right.as_str().as_bytes())
        );
    });
}

#[test]
fn a_time_that_is_read_is_written_so_that_it_is_read_again() {
    fuzz("time", 4_000, |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let Ok(time) = Timestamp::parse(text) else { return };
        assert_eq!(Timestamp::parse(&time.to_string()), Ok(time), "{text}: {time}");
    });
}

#[test]
fn a_retry_after_is_read_or_as_good_as_not_sent() {
    let now = Timestamp::parse("2026-03-01T18:30:00Z").unwrap();
    fuzz("retry-after", 4_000, |input| {
        let Ok(value) = HeaderValue::from_bytes(input) else { return };
        let headers = HeaderMap::from_iter([(RETRY_AFTER, value)]);
        let _ = hookit_egress::retry_after(&headers, now);
    });
}
