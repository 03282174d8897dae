//! The forms in which a change leaves the inbox. Pure.

use bytes::{BufMut as _, Bytes, BytesMut};
use hookit_contract::{StatusCodes, envelope_bytes};
use hookit_store::inbox::Change;
use serde::Serialize;

/// The id of a change: that of the delivery that brought it and the place of the record in it. It depends on nothing
/// that this inbox made up, so it is the same on every attempt, and also after the inbox was restored from a backup and
/// got the delivery again.
pub(crate) fn event_id(change: &Change) -> String {
    format!("{}:{}", change.delivery_id, change.position)
}

/// A change as a JSON object on one line, without the line's end: what NDJSON, a command and NATS get.
///
/// The record is as it came, but for line ends between its tokens, which become spaces: within a JSON text they mean
/// the same, and there are none in its strings.
pub(crate) fn line(change: &Change, codes: &StatusCodes) -> Vec<u8> {
    #[derive(Serialize)]
    struct Head<'a> {
        event_id: &'a str,
        event_type: Option<&'a str>,
        change_seq: i64,
        delivery_id: &'a str,
        received_at: String,
        brand_id: Option<i64>,
        branch_id: Option<i64>,
        order_id: i64,
        status: Option<i64>,
        version: Option<i64>,
    }
    let head = Head {
        event_id: &event_id(change),
        event_type: change.event_type.as_deref(),
        change_seq: change.change_seq,
        delivery_id: change.delivery_id.as_str(),
        received_at: change.received_at.to_string(),
        brand_id: change.brand_id.map(|id| id.0),
        branch_id: change.branch_id.map(|id| id.0),
        order_id: change.order_id.0,
        status: change.status.map(|status| codes.code_of(status)),
        version: change.version,
    };
    let mut line = serde_json::to_vec(&head).expect("texts and numbers are JSON");
    line.pop();
    line.extend_from_slice(b",\"order\":");
    line.extend(change.record.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    line.push(b'}');
    line
}

/// A change as the body of a webhook with this one order.
pub(crate) fn envelope(change: &Change) -> Bytes {
    if let (Some(brand_id), Some(branch_id)) = (change.brand_id, change.branch_id) {
        return envelope_bytes(brand_id, branch_id, &[&change.record]);
    }
    // The sender gave none, and a made-up one would be wrong.
    let id = |id: Option<i64>| id.map_or_else(|| "null".to_owned(), |id| id.to_string());
    let (brand_id, branch_id) = (id(change.brand_id.map(|id| id.0)), id(change.branch_id.map(|id| id.0)));
    let mut body = BytesMut::with_capacity(change.record.len() + 96);
    body.put_slice(format!("{{\"brand_id\":{brand_id},\"branch_id\":{branch_id},\"orders\":[").as_bytes());
    body.put_slice(&change.record);
    body.put_slice(b"]}");
    body.freeze()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use hookit_contract::{BranchId, BrandId, DeliveryId, KnownStatus, OrderId, Timestamp};

    /// A change with this record, of order 7.
    pub(crate) fn change(change_seq: i64, record: &str) -> Change {
        Change {
            change_seq,
            order_id: OrderId(7),
            status: Some(KnownStatus::Accepted.into()),
            version: Some(3),
            event_type: Some("klikit.order.status.updated".to_owned()),
            delivery_id: DeliveryId::from("evt_1"),
            position: 2,
            brand_id: Some(BrandId(663)),
            branch_id: Some(BranchId(1062)),
            received_at: Timestamp::from_millis(1_772_361_000_000),
            record: Bytes::copy_from_slice(record.as_bytes()),
        }
    }

    #[test]
    fn a_change_is_one_line_and_its_record_means_what_it_meant() {
        let record = "{\n  \"id\": 7,\r\n  \"price\": 1.10, \"note\": \"a\\nb 🍜\"\n}";
        let line = String::from_utf8(line(&change(9, record), &StatusCodes::default())).unwrap();
        assert_eq!(
            line,
            "{\"event_id\":\"evt_1:2\",\"event_type\":\"klikit.order.status.updated\",\"change_seq\":9,\
             \"delivery_id\":\"evt_1\",\"received_at\":\"2026-03-01T10:30:00.000Z\",\"brand_id\":663,\
             \"branch_id\":1062,\"order_id\":7,\"status\":2,\"version\":3,\
             \"order\":{   \"id\": 7,    \"price\": 1.10, \"note\": \"a\\nb 🍜\" }}"
        );
        let shown: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(shown["order"], serde_json::from_str::<serde_json::Value>(record).unwrap());
    }

    #[test]
    fn a_webhooks_body_has_the_one_order_byte_for_byte() {
        let record = "{\"id\":7,\n\"x\":0.1000}";
        let mut change = change(1, record);
        let body = envelope(&change);
        assert_eq!(body, format!("{{\"brand_id\":663,\"branch_id\":1062,\"orders\":[{record}]}}"));
        change.brand_id = None;
        let body = envelope(&change);
        assert_eq!(body, format!("{{\"brand_id\":null,\"branch_id\":1062,\"orders\":[{record}]}}"));
        assert_eq!(hookit_contract::Envelope::read(&body).unwrap().orders[0].bytes, record);
    }
}
