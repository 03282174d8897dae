//! A delivery as it is read before it is queued: which orders it brings, and what of it cannot be read. Pure.

use std::borrow::Cow;
use std::error::Error as _;

use bytes::Bytes;
use hookit_contract::{
    BranchId, BrandId, Envelope, OrderId, Record, RecordError, RecordState, StatusCodes,
    TEST_DELIVERY_PREFIX, Timestamp,
};
use serde::Serializer as _;

use crate::inbox::Received;
use crate::sqlite::NAME_BYTES_MAX;

/// A delivery, read.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) received: Received,
    /// The headers as an object of texts.
    pub(super) headers: Option<String>,
    pub(super) brand_id: Option<BrandId>,
    pub(super) branch_id: Option<BranchId>,
    pub(super) parts: Vec<Part>,
}

/// One element of `orders`, or the whole body where there are none to be had.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A state of an order.
    Order { order_id: OrderId, state: RecordState, found_by: Box<FoundBy>, place: Place },
    /// Something to be kept aside.
    Unreadable {
        /// Which element; none for the whole body.
        position: Option<u32>,
        reason: String,
        bytes: Bytes,
    },
}

/// Where a record stands in its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: usize,
    pub(super) bytes: usize,
}

/// What an order is looked for by.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FoundBy {
    /// Those that the record names, and the envelope's.
    pub(super) brands: Vec<BrandId>,
    pub(super) branch_id: Option<BranchId>,
    pub(super) external_id: Option<String>,
    pub(super) short_id: Option<String>,
    pub(super) identity: Option<String>,
    pub(super) created_at: Option<Timestamp>,
}

impl FoundBy {
    /// What of it cannot be read is left out: it decides nothing.
    fn of(record: &Record, brand_id: Option<BrandId>, branch_id: Option<BranchId>) -> Self {
        let name =
            |field| record.name(field).filter(|name| name.len() <= NAME_BYTES_MAX).map(Cow::into_owned);
        let mut brands = record.brand_ids().unwrap_or_default();
        brands.extend(brand_id.filter(|id| !brands.contains(id)));
        FoundBy {
            brands,
            branch_id: record.branch_id().ok().flatten().or(branch_id),
            external_id: name("external_id"),
            short_id: name("short_id"),
            identity: name("identity"),
            created_at: record.created_at(),
        }
    }

    /// An order's id, and what it is looked for by as its row has it.
    pub(super) fn columns(&self, order_id: OrderId) -> impl rusqlite::Params + '_ {
        (
            order_id.0,
            self.branch_id.map(|id| id.0),
            &self.external_id,
            &self.short_id,
            &self.identity,
            self.created_at.map(Timestamp::as_millis),
        )
    }
}

impl Arrival {
    pub(super) fn read(received: Received, codes: &StatusCodes) -> Self {
        let body = &received.body;
        let (mut brand_id, mut branch_id) = (None, None);
        let mut parts: Vec<Part> = match Envelope::read(body) {
            Ok(envelope) => {
                (brand_id, branch_id) = (envelope.brand_id, envelope.branch_id);
                (0u32..)
                    .zip(envelope.orders)
                    .map(|(position, order)| {
                        let state = order.record.and_then(|record| {
                            let order_id = record.id()?.ok_or_else(|| RecordError::Missing {
                                field: "id".into(),
                                expected: "an integer above zero",
                            })?;
                            let state = RecordState::of(&record, codes)?;
                            Ok((order_id, state, Box::new(FoundBy::of(&record, brand_id, branch_id))))
                        });
                        match state {
                            Ok((order_id, state, found_by)) => Part::Order {
                                order_id,
                                state,
                                found_by,
                                place: Place {
                                    // An element shares the body's memory, so a difference of addresses is an offset.
                                    offset: order.bytes.as_ptr().addr() - body.as_ptr().addr(),
                                    bytes: order.bytes.len(),
                                },
                            },
                            Err(error) => Part::Unreadable {
                                position: Some(position),
                                reason: format!("This order record cannot be read: {error}."),
                                bytes: order.bytes,
                            },
                        }
                    })
                    .collect()
            }
            Err(error) => {
                let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                vec![Part::Unreadable {
                    position: None,
                    reason: format!("This is no envelope of orders: {error}{cause}."),
                    bytes: body.clone(),
                }]
            }
        };
        // The order of a test has no id that an order may have. Nobody has to look at that.
        if received.delivery_id.as_str().starts_with(TEST_DELIVERY_PREFIX) {
            parts.retain(|part| matches!(part, Part::Order { .. }));
        }
        let headers = (!received.headers.is_empty()).then(|| as_object(&received.headers));
        Arrival { received, headers, brand_id, branch_id, parts }
    }
}

/// Headers as an object of texts.
fn as_object(headers: &[(&str, String)]) -> String {
    let mut object = Vec::with_capacity(512);
    (&mut serde_json::Serializer::new(&mut object))
        .collect_map(headers.iter().map(|(name, value)| (name, value)))
        .expect("texts are JSON");
    String::from_utf8(object).expect("JSON is text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::Source;
    use hookit_contract::{DeliveryId, KnownStatus};

    fn parts(body: &'static str) -> Vec<Part> {
        let received = Received {
            delivery_id: DeliveryId::from("evt_1"),
            event_type: None,
            source: Source::Webhook,
            secret: None,
            headers: Vec::new(),
            body: Bytes::from_static(body.as_bytes()),
            received_at: Timestamp::from_millis(0),
        };
        Arrival::read(received, &StatusCodes::default()).parts
    }

    #[test]
    fn an_orders_place_in_the_body_is_found() {
        let body = r#" {"orders": [ {"id":7,"status":2} , {"id":8,"version":3}], "brand_id":1}"#;
        let found: Vec<_> = parts(body)
            .into_iter()
            .map(|part| match part {
                Part::Order { order_id, state, place: Place { offset, bytes }, .. } => {
                    (order_id.0, state.status, state.version, &body[offset..offset + bytes])
                }
                Part::Unreadable { reason, .. } => panic!("{reason}"),
            })
            .collect();
        assert_eq!(
            found,
            [
                (7, Some(KnownStatus::Accepted.into()), None, r#"{"id":7,"status":2}"#),
                (8, None, Some(3), r#"{"id":8,"version":3}"#)
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_kept_with_a_sentence_that_says_why() {
        for (body, position, reason, bytes) in [
            ("{", None, "This is no envelope of orders: the body cannot be read: not JSON: ", "{"),
            ("{}", None, "orders: expected an array of order records, found nothing.", "{}"),
            (r#"{"orders":[null]}"#, Some(0), "expected an object, found null.", "null"),
            (
                r#"{"orders":[{"status":1}]}"#,
                Some(0),
                "id: missing; expected an integer above zero.",
                r#"{"status":1}"#,
            ),
            (
                r#"{"orders":[{"id":1,"status":"2"}]}"#,
                Some(0),
                "status: expected an integer status code, found a string.",
                r#"{"id":1,"status":"2"}"#,
            ),
        ] {
            let [Part::Unreadable { position: at, reason: why, bytes: kept }] = &parts(body)[..] else {
                panic!("{body} was read");
            };
            assert_eq!(*at, position);
            assert!(why.contains(reason) && why.ends_with('.'), "{why}");
            assert_eq!(kept, bytes);
        }
    }
}
