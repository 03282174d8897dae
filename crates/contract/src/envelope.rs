//! The envelope: the one body that all three events share.

use std::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::object::{Index, depth_fits};
use crate::{BranchId, BrandId, OrderId, Record, RecordError};

/// The bytes of an envelope, made from the bytes of its records as they are kept. Compact, keys in the contract's
/// order. A delivery's bytes are promised to stay the same for ever, so this function must never give other bytes
/// for the same input; another form would be another function beside it.
pub fn envelope_bytes<R: AsRef<[u8]>>(brand_id: BrandId, branch_id: BranchId, records: &[R]) -> Bytes {
    let size: usize = records.iter().map(|r| r.as_ref().len() + 1).sum();
    let mut out = BytesMut::with_capacity(size + 96);
    out.put_slice(b"{\"brand_id\":");
    out.put_slice(brand_id.to_string().as_bytes());
    out.put_slice(b",\"branch_id\":");
    out.put_slice(branch_id.to_string().as_bytes());
    out.put_slice(b",\"orders\":[");
    for (i, record) in records.iter().enumerate() {
        if i > 0 {
            out.put_u8(b',');
        }
        out.put_slice(record.as_ref());
    }
    out.put_slice(b"]}");
    out.freeze()
}

/// What decides where a record belongs and how new it is. Given twice it decides nothing.
const DECIDING_FIELDS: [&str; 4] = ["id", "status", "version", "updated_at"];

/// An envelope as a receiver reads it. Fields that it does not know are ignored.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The brand, where it is given as an integer.
    pub brand_id: Option<BrandId>,
    /// The branch, where it is given as an integer.
    pub branch_id: Option<BranchId>,
    /// The orders, one or more, each read by itself.
    pub orders: Vec<EnvelopeOrder>,
}

/// One element of `orders`: one that cannot be read does not stand in the way of its neighbours.
#[derive(Clone, Debug)]
pub struct EnvelopeOrder {
    /// The element's bytes, as they stand in the body.
    pub bytes: Bytes,
    /// The record, or why it is none.
    pub record: Result<Record, RecordError>,
}

/// Why a body is no envelope.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnvelopeError {
    /// Not UTF-8, not JSON, or not an object.
    #[error("the body cannot be read")]
    Unreadable(#[source] RecordError),
    /// No `orders`, or not an array.
    #[error("orders: expected an array of order records, found {found}")]
    NoOrders {
        /// What is there instead.
        found: &'static str,
    },
    /// `orders` is empty.
    #[error("orders: expected one or more order records, found none")]
    EmptyOrders,
}

impl Envelope {
    /// Reads a body. The records share its memory.
    ///
    /// # Errors
    /// [`EnvelopeError`] where there is no array of orders in it.
    pub fn read(body: &Bytes) -> Result<Envelope, EnvelopeError> {
        match at_once(body) {
            Some(envelope) => Ok(envelope),
            None => step_by_step(body),
        }
    }

    /// The orders that can be read and say which order they are, in the order of the envelope.
    pub fn records(&self) -> impl Iterator<Item = (OrderId, &Record)> {
        self.orders.iter().filter_map(|order| {
            let record = order.record.as_ref().ok()?;
            Some((record.id().ok()??, record))
        })
    }
}

/// Reads a body of the usual form, orders that are objects with fields, in one go; nothing where it is another, which is to be
/// told what is wrong with it, or has a part that can be read all the same.
fn at_once(body: &Bytes) -> Option<Envelope> {
    // One of its orders may be too deep: which one is found step by step.
    if !depth_fits(body) {
        return None;
    }
    let text = std::str::from_utf8(body).ok()?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let envelope = reader.deserialize_map(Usual { text, body }).ok()?;
    reader.end().ok()?;
    Some(envelope)
}

/// Reads an envelope of the usual form; any other is an error that nobody sees.
struct Usual<'t> {
    text: &'t str,
    body: &'t Bytes,
}

impl<'t> Visitor<'t> for Usual<'t> {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an envelope")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let unusual = || A::Error::custom("unusual");
        let (mut brand_id, mut branch_id, mut orders) = (None, None, None);
        while let Some(key) = map.next_key::<&'t RawValue>()? {
            match key.get() {
                // Of two the last one would count, or none.
                "\"orders\"" if orders.is_some() => return Err(unusual()),
                "\"orders\"" => {
                    orders = Some(map.next_value_seed(UsualOrders { text: self.text, body: self.body })?)
                }
                "\"brand_id\"" => brand_id = map.next_value::<&RawValue>()?.get().parse().ok().map(BrandId),
                "\"branch_id\"" => {
                    branch_id = map.next_value::<&RawValue>()?.get().parse().ok().map(BranchId)
                }
                escaped if escaped.contains('\\') => return Err(unusual()),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let orders = orders.filter(|orders| !orders.is_empty()).ok_or_else(unusual)?;
        Ok(Envelope { brand_id, branch_id, orders })
    }
}

struct UsualOrders<'t> {
    text: &'t str,
    body: &'t Bytes,
}

impl<'t> DeserializeSeed<'t> for UsualOrders<'t> {
    type Value = Vec<EnvelopeOrder>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Vec<EnvelopeOrder>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'t> Visitor<'t> for UsualOrders<'t> {
    type Value = Vec<EnvelopeOrder>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("orders")
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut elements: A) -> Result<Vec<EnvelopeOrder>, A::Error> {
        let mut orders = Vec::new();
        while let Some(indexed) = elements.next_element_seed(Index { text: self.text, start: None })? {
            let record = Record::indexed(self.body, indexed).ok_or_else(|| A::Error::custom("unusual"))?;
            orders.push(order(record.bytes().clone(), Ok(record)));
        }
        Ok(orders)
    }
}

/// Reads a body part by part, so that what can be read of it is, and what cannot be is told.
fn step_by_step(body: &Bytes) -> Result<Envelope, EnvelopeError> {
    // However deep it is nested: each order is looked at by itself, and one that is too deep stands in nobody's way.
    let object = Record::kept(body.clone()).map_err(EnvelopeError::Unreadable)?;
    // Two arrays of orders: whichever were taken, the other's orders would be lost without a word.
    object.refuse_repeated(&["orders"]).map_err(EnvelopeError::Unreadable)?;
    let orders = object.get("orders").ok_or(EnvelopeError::NoOrders { found: "nothing" })?;
    let elements: Vec<&RawValue> = serde_json::from_str(orders)
        .map_err(|_| EnvelopeError::NoOrders { found: crate::object::kind(orders) })?;
    if elements.is_empty() {
        return Err(EnvelopeError::EmptyOrders);
    }
    let element =
        |raw: &RawValue| order(body.slice_ref(raw.get().as_bytes()), Record::within(body, raw.get()));
    let id = |name| object.get(name).and_then(|text| text.parse().ok());
    Ok(Envelope {
        brand_id: id("brand_id").map(BrandId),
        branch_id: id("branch_id").map(BranchId),
        orders: elements.into_iter().map(element).collect(),
    })
}

/// An element of `orders`, whose record is one where what decides stands in it once.
fn order(bytes: Bytes, record: Result<Record, RecordError>) -> EnvelopeOrder {
    let record = record.and_then(|record| record.refuse_repeated(&DECIDING_FIELDS).map(|()| record));
    EnvelopeOrder { bytes, record }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_is_nested_too_deeply_is_named_and_its_neighbours_are_read() {
        let deep = |levels: usize| format!("{{\"id\":2,\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        let body = |orders: &str| Bytes::from(format!("{{\"orders\":[{orders}]}}"));
        let (fits, too_deep) = (deep(crate::DEPTH_MAX - 1), deep(500_000));
        let read = Envelope::read(&body(&format!("{{\"id\":1}},{too_deep},{fits}"))).unwrap();
        let errors: Vec<_> = read.orders.iter().map(|order| order.record.as_ref().err()).collect();
        assert_eq!(errors, [None, Some(&RecordError::TooDeep), None]);
        let alone = Envelope::read(&body(&too_deep)).unwrap();
        assert_eq!(alone.orders[0].record.as_ref().unwrap_err(), &RecordError::TooDeep);
        assert_eq!(alone.orders[0].bytes, too_deep);
    }

    #[test]
    fn an_envelope_is_its_records_bytes_in_the_contracts_order() {
        let records = [r#"{"id":42, "x":0.1000}"#, r#"{"id":43,"y":"Gửi 🍜 \u0022"}"#];
        let bytes = envelope_bytes(BrandId(663), BranchId(1062), &records);
        assert_eq!(
            bytes,
            r#"{"brand_id":663,"branch_id":1062,"orders":[{"id":42, "x":0.1000},{"id":43,"y":"Gửi 🍜 \u0022"}]}"#
        );
        let envelope = Envelope::read(&bytes).unwrap();
        assert_eq!((envelope.brand_id, envelope.branch_id), (Some(BrandId(663)), Some(BranchId(1062))));
        for (order, record) in envelope.orders.iter().zip(records) {
            assert_eq!(order.bytes, record);
            assert_eq!(order.record.as_ref().unwrap().bytes(), record);
        }
    }

    #[test]
    fn one_bad_record_does_not_refuse_its_neighbours() {
        let body = Bytes::from_static(
            br#"{"orders":[{"id":1},null,{"id":2},{"id":3,"id":4},{"id":5,"x":1,"x":2}],"brand_id":"x","new":true}"#,
        );
        let envelope = Envelope::read(&body).unwrap();
        assert_eq!(envelope.brand_id, None);
        let ids: Vec<_> =
            envelope.orders.iter().map(|o| o.record.as_ref().ok().and_then(|r| r.id().unwrap())).collect();
        assert_eq!(ids, [Some(OrderId(1)), None, Some(OrderId(2)), None, Some(OrderId(5))]);
        let ids: Vec<_> = envelope.records().map(|(id, _)| id).collect();
        assert_eq!(ids, [OrderId(1), OrderId(2), OrderId(5)]);
    }

    #[test]
    fn both_ways_of_reading_find_the_same() {
        for text in [
            r#"{"brand_id":663,"branch_id":1062,"orders":[{"id":42}]}"#,
            " { \"x\" : [1,{}] ,\"orders\" : [ {\t\"id\" : 1 ,\"st\\u0061tus\":2 } , { \"id\":2}\n] , \"branch_id\":\"7\",\"brand_id\":1,\"brand_id\":2}\r\n",
            r#"{"orders":[{"id":5,"x":1,"x":{"}":"]"}},{"id":1,"id":2}],"brand_id":1.0}"#,
            r#"{"orders":[{"名前":"Gửi 🍜 \u0022","id":9}]}"#,
        ] {
            let body = Bytes::from(text);
            let (at_once, step_by_step) = (at_once(&body).unwrap(), step_by_step(&body).unwrap());
            assert_eq!(
                (at_once.brand_id, at_once.branch_id),
                (step_by_step.brand_id, step_by_step.branch_id),
                "{text}"
            );
            assert_eq!(at_once.orders.len(), step_by_step.orders.len(), "{text}");
            for (one, other) in at_once.orders.iter().zip(&step_by_step.orders) {
                assert_eq!(one.bytes, other.bytes, "{text}");
                assert_eq!(one.bytes.as_ptr(), other.bytes.as_ptr(), "both share the body's memory");
                match (&one.record, &other.record) {
                    (Ok(one), Ok(other)) => assert_eq!(one, other, "{text}"),
                    (one, other) => assert_eq!(one.as_ref().err(), other.as_ref().err(), "{text}"),
                }
            }
        }
        for text in [
            r#"{"orders":[{}]}"#,
            r#"{"orders":[null,{"id":1}]}"#,
            r#"{"orders":[]}"#,
            r#"{"orders":{}}"#,
            r#"{"orders":[{"id":1}],"orders":[{"id":2}]}"#,
            r#"{"ord\u0065rs":[{"id":1}]}"#,
            r#"{"orders":[{"id":1}]} x"#,
            "[]",
        ] {
            assert!(at_once(&Bytes::from(text)).is_none(), "{text}");
        }
    }

    #[test]
    fn an_order_alone_is_read_as_one_among_others() {
        for (alone, bytes, is_read) in [
            ("[ {\"id\":1}\r\n]", r#"{"id":1}"#, true),
            ("[null]", "null", false),
            ("[ \"{}\" ]", r#""{}""#, false),
            (r#"[{"id":1,"id":2}]"#, r#"{"id":1,"id":2}"#, false),
            ("[[]]", "[]", false),
        ] {
            let body = |orders: &str| Bytes::from(format!("{{\"orders\":{orders}}}"));
            let among = format!("{},{{\"id\":9}}]", &alone[..alone.len() - 1]);
            for (body, count) in [(body(alone), 1), (body(&among), 2)] {
                let envelope = Envelope::read(&body).unwrap();
                assert_eq!(envelope.orders.len(), count, "{body:?}");
                let first = &envelope.orders[0];
                assert_eq!((&first.bytes[..], first.record.is_ok()), (bytes.as_bytes(), is_read), "{body:?}");
                assert!(body.as_ptr_range().contains(&first.bytes.as_ptr()), "it shares the body's memory");
            }
        }
        assert_eq!(
            Envelope::read(&Bytes::from_static(b"{\"orders\":[ ]}")).unwrap_err(),
            EnvelopeError::EmptyOrders
        );
    }

    #[test]
    fn what_is_no_envelope_is_named() {
        for (body, expected) in [
            (&b"{"[..], "cannot be read"),
            (b"[]", "cannot be read"),
            (b"\xff{}", "cannot be read"),
            (b"{}", "found nothing"),
            (br#"{"orders":[{"id":1}],"orders":[{"id":2}]}"#, "cannot be read"),
            (br#"{"orders":{}}"#, "found an object"),
            (br#"{"orders":[]}"#, "found none"),
        ] {
            let error = Envelope::read(&Bytes::copy_from_slice(body)).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
