//! What deliveries that were refused say of themselves: the ids of their orders. Nothing of it is proven, so it decides nothing;
//! where reconciling finds such an order missing, it tells that something of it came and was refused, and not that nothing came.
//!
//! It is kept in memory alone: a stranger must not be able to write to the disk. After a restart nobody knows of refusals before it.
//!
//! What this module must not do: take time or memory that grows with what is sent, or keep anything of a body but these ids.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use hookit_contract::{OrderId, Timestamp};
use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Orders that are remembered, those that were refused last.
const REMEMBERED: usize = 10_000;

/// So much of a body that is refused unread is looked at, from its beginning.
const BEGINNING_BYTES: usize = 64 << 10;

/// So much of one that is in memory: what a delivery of our platform has at most. It takes as long as looking for its signature.
const BYTES_MAX: usize = 2 << 20;

/// Orders of one body that are noted. A delivery has 50 at most, and a body of nothing but ids does not push all others out.
const NOTED_MAX: usize = 50;

/// Of a body that is not read otherwise, the beginning is waited for so long.
const WAIT: Duration = Duration::from_secs(1);

/// Orders of which something was refused, and when last.
#[derive(Debug, Default)]
pub(crate) struct RefusedOrders(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    last: HashMap<OrderId, Timestamp>,
    /// The same in the order in which they came; of an order that came again the earlier ones say nothing.
    line: VecDeque<(OrderId, Timestamp)>,
}

impl RefusedOrders {
    /// Remembers the orders that a body says it is of.
    pub(crate) fn note(&self, body: &[u8], now: Timestamp) {
        let ids = order_ids(&body[..body.len().min(BYTES_MAX)]);
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            remembered.last.insert(id, now);
            remembered.line.push_back((id, now));
            if remembered.line.len() > REMEMBERED
                && let Some((oldest, at)) = remembered.line.pop_front()
                && remembered.last.get(&oldest) == Some(&at)
            {
                remembered.last.remove(&oldest);
            }
        }
    }

    /// When something of this order was last refused.
    pub(crate) fn last(&self, order_id: OrderId) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last.get(&order_id).copied()
    }
}

/// The beginning of a body that is refused unread, as far as it comes in a moment.
pub(crate) async fn beginning(mut body: Body) -> Bytes {
    let mut read = BytesMut::new();
    let reading = async {
        while read.len() < BEGINNING_BYTES
            && let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
        {
            if let Ok(data) = frame.into_data() {
                read.extend_from_slice(&data[..data.len().min(BEGINNING_BYTES - read.len())]);
            }
        }
    };
    // What did not come is not known; what came is looked at.
    let _ = tokio::time::timeout(WAIT, reading).await;
    read.freeze()
}

/// The ids in an envelope, as far as it can be read: it may be cut off, or anything at all.
fn order_ids(body: &[u8]) -> Vec<OrderId> {
    let mut ids = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(body);
    // An error ends the reading; what was found before it stays.
    let _ = json.deserialize_map(Envelope(&mut ids));
    ids
}

struct Envelope<'i>(&'i mut Vec<OrderId>);

impl<'de> Visitor<'de> for Envelope<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an envelope")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "orders" => map.next_value_seed(Orders(&mut *self.0))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

struct Orders<'i>(&'i mut Vec<OrderId>);

impl<'de> DeserializeSeed<'de> for Orders<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Orders<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("orders")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut orders: A) -> Result<(), A::Error> {
        while orders.next_element_seed(Order(&mut *self.0))?.is_some() {}
        Ok(())
    }
}

struct Order<'i>(&'i mut Vec<OrderId>);

impl<'de> DeserializeSeed<'de> for Order<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Order<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an order")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name != "id" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if self.0.len() >= NOTED_MAX {
                return Err(A::Error::custom("there are enough"));
            }
            let id = map.next_value::<i64>()?;
            self.0.extend((id > 0).then_some(OrderId(id)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(body: &str) -> Vec<i64> {
        order_ids(body.as_bytes()).iter().map(|id| id.0).collect()
    }

    #[test]
    fn ids_are_read_as_far_as_a_body_goes_and_anything_else_says_nothing() {
        for (body, expect) in [
            (
                r#"{"brand_id":1,"orders":[{"id":7,"cart":[{"id":9}]},{"status":1},{"x":{"id":3},"id":8}]}"#,
                &[7, 8][..],
            ),
            (r#"{"orders":[{"id":7,"status":2},{"id":8,"sta"#, &[7, 8]),
            (r#"{"orders":[{"id":7},{"id":"8"},{"id":9}]}"#, &[7]),
            (r#"{"orders":[{"id":-7},{"id":0},{"id":1e3}]}"#, &[]),
            (r#"{"orders":{"id":7}}"#, &[]),
            (r#"{"order":[{"id":7}],"id":8}"#, &[]),
            (r#"[{"id":7}]"#, &[]),
            ("not JSON", &[]),
            ("", &[]),
        ] {
            assert_eq!(ids(body), expect, "{body}");
        }
        for deep in ["[", r#"{"orders":"#, r#"{"orders":["#, r#"{"orders":[{"id":"#] {
            assert_eq!(ids(&deep.repeat(BEGINNING_BYTES / deep.len())), [0; 0], "{deep}");
        }
    }

    #[test]
    fn only_so_many_of_one_body_and_in_all_are_remembered_and_the_newest_stay() {
        let refused = RefusedOrders::default();
        let at = Timestamp::from_millis;
        let body = |from: i64| {
            let orders: Vec<_> = (from..from + 60).map(|id| format!("{{\"id\":{id}}}")).collect();
            format!("{{\"orders\":[{}]}}", orders.join(","))
        };
        refused.note(body(1).as_bytes(), at(1));
        assert_eq!((refused.last(OrderId(50)), refused.last(OrderId(51))), (Some(at(1)), None));
        for n in 0..1_000 {
            refused.note(body(1_000 + 100 * n).as_bytes(), at(2 + n));
            refused.note(br#"{"orders":[{"id":7}]}"#, at(2 + n));
        }
        let remembered = refused.0.lock().unwrap();
        assert_eq!(remembered.line.len(), REMEMBERED);
        assert!(remembered.last.len() <= REMEMBERED, "{}", remembered.last.len());
        drop(remembered);
        assert_eq!((refused.last(OrderId(50)), refused.last(OrderId(7))), (None, Some(at(1_001))));
        assert_eq!(refused.last(OrderId(100_900)), Some(at(1_001)));
        let late = format!("{}{}", " ".repeat(BYTES_MAX), r#"{"orders":[{"id":8}]}"#);
        refused.note(late.as_bytes(), at(2_000));
        assert_eq!(refused.last(OrderId(8)), None, "not beyond the bound");
    }
}
