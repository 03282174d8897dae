//! A delivery as it is read before it is queued: which orders it brings, and what of it cannot be read. Pure.

use std::error::Error as _;

use bytes::Bytes;
use hookit_contract::{Envelope, OrderId, RecordError, RecordState, StatusCodes};

use crate::inbox::Received;

/// A delivery, read.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) received: Received,
    pub(super) parts: Vec<Part>,
}

/// One element of `orders`, or the whole body where there are none to be had.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A state of an order.
    Order {
        order_id: OrderId,
        state: RecordState,
        /// Where the record stands in the body.
        offset: usize,
        bytes: usize,
    },
    /// Something to be kept aside.
    Unreadable {
        /// Which element; none for the whole body.
        position: Option<u32>,
        reason: String,
        bytes: Bytes,
    },
}

impl Arrival {
    pub(super) fn read(received: Received, codes: &StatusCodes) -> Self {
        let body = &received.body;
        let parts = match Envelope::read(body) {
            Ok(envelope) => (0u32..)
                .zip(envelope.orders)
                .map(|(position, order)| {
                    let state = order.record.and_then(|record| {
                        let order_id = record.id()?.ok_or_else(|| RecordError::Missing {
                            field: "id".into(),
                            expected: "an integer above zero",
                        })?;
                        Ok((order_id, RecordState::of(&record, codes)?))
                    });
                    match state {
                        Ok((order_id, state)) => Part::Order {
                            order_id,
                            state,
                            // An element shares the body's memory, so a difference of addresses is an offset.
                            offset: order.bytes.as_ptr().addr() - body.as_ptr().addr(),
                            bytes: order.bytes.len(),
                        },
                        Err(error) => Part::Unreadable {
                            position: Some(position),
                            reason: format!("This order record cannot be read: {error}."),
                            bytes: order.bytes,
                        },
                    }
                })
                .collect(),
            Err(error) => {
                let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                vec![Part::Unreadable {
                    position: None,
                    reason: format!("This is no envelope of orders: {error}{cause}."),
                    bytes: body.clone(),
                }]
            }
        };
        Arrival { received, parts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookit_contract::{DeliveryId, KnownStatus, Timestamp};

    fn parts(body: &'static str) -> Vec<Part> {
        let received = Received {
            delivery_id: DeliveryId::from("evt_1"),
            event_type: None,
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
                Part::Order { order_id, state, offset, bytes } => {
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
