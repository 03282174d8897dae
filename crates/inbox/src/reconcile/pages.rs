//! The pages of the Partner API, as far as they concern us. What is not known is ignored.

use std::sync::Arc;

use bytes::Bytes;
use hookit_contract::{BranchId, BrandId, OrderId, Record, RecordState, StatusCodes, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A page of the list of orders.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OrdersPage {
    pub(super) records: Vec<Bytes>,
    /// Orders on a full page, where it is said: perhaps fewer than were asked for.
    pub(super) size: Option<u64>,
    pub(super) total: Option<u64>,
}

/// A page of events.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EventsPage {
    pub(super) events: Vec<Event>,
    pub(super) next_after: String,
    pub(super) has_more: bool,
}

/// An event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) event_type: Option<Arc<str>>,
    pub(super) created_at: Option<Timestamp>,
    pub(super) record: Bytes,
}

impl OrdersPage {
    pub(super) fn read(data: &Bytes) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Page<'a> {
            #[serde(borrow)]
            orders: Vec<&'a RawValue>,
            size: Option<u64>,
            total: Option<u64>,
        }
        let page: Page<'_> = serde_json::from_slice(data)?;
        let records = page.orders.into_iter().map(|record| data.slice_ref(record.get().as_bytes())).collect();
        Ok(OrdersPage { records, size: page.size.filter(|size| *size > 0), total: page.total })
    }
}

impl EventsPage {
    pub(super) fn read(data: &Bytes) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Page<'a> {
            #[serde(borrow)]
            events: Vec<Line<'a>>,
            next_after: String,
            #[serde(default)]
            has_more: bool,
        }
        #[derive(Deserialize)]
        struct Line<'a> {
            event_type: Option<Arc<str>>,
            created_at: Option<Timestamp>,
            #[serde(borrow)]
            order: &'a RawValue,
        }
        let page: Page<'_> = serde_json::from_slice(data)?;
        let event = |line: Line<'_>| Event {
            event_type: line.event_type,
            created_at: line.created_at,
            record: data.slice_ref(line.order.get().as_bytes()),
        };
        Ok(EventsPage {
            events: page.events.into_iter().map(event).collect(),
            next_after: page.next_after,
            has_more: page.has_more,
        })
    }
}

/// A state of an order as the platform has it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) order_id: OrderId,
    pub(super) state: RecordState,
    pub(super) brand_id: Option<BrandId>,
    pub(super) branch_id: Option<BranchId>,
    /// The event that it comes from, where it comes from one.
    pub(super) event_type: Option<Arc<str>>,
    pub(super) record: Bytes,
}

/// Which orders are wanted.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) brand_ids: &'a [BrandId],
    pub(super) branch_ids: &'a [BranchId],
}

/// What a record turns out to be.
#[derive(Debug)]
pub(super) enum Read {
    Order(Seen),
    /// Of a brand or branch that nobody here asked for.
    Unwanted,
    /// Not to be read, as a delivery of it would not be.
    Unreadable,
}

impl Wanted<'_> {
    pub(super) fn read(&self, record: Bytes, event_type: Option<Arc<str>>, codes: &StatusCodes) -> Read {
        let read = || {
            let parsed = Record::parse(record.clone()).ok()?;
            parsed.refuse_repeated(&["id", "status", "version", "updated_at"]).ok()?;
            let order_id = parsed.id().ok()??;
            let state = RecordState::of(&parsed, codes).ok()?;
            let brands = parsed.brand_ids().unwrap_or_default();
            let branch = parsed.branch_id().ok().flatten();
            Some((order_id, state, brands, branch))
        };
        let Some((order_id, state, brands, branch)) = read() else { return Read::Unreadable };
        let brand_wanted = self.brand_ids.is_empty() || brands.iter().any(|id| self.brand_ids.contains(id));
        let branch_wanted =
            self.branch_ids.is_empty() || branch.is_some_and(|id| self.branch_ids.contains(&id));
        if !brand_wanted || !branch_wanted {
            return Read::Unwanted;
        }
        let brand = brands.iter().find(|id| self.brand_ids.contains(id)).or_else(|| brands.first());
        Read::Order(Seen { order_id, state, brand_id: brand.copied(), branch_id: branch, event_type, record })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_out_of_pages_as_they_went_in() {
        let data = Bytes::from_static(
            br#"{"orders":[ {"id":1, "x":0.10} ,null],"page":1,"size":50,"total":7,"new":{}}"#,
        );
        let page = OrdersPage::read(&data).unwrap();
        assert_eq!(page.records, [&br#"{"id":1, "x":0.10}"#[..], b"null"]);
        assert_eq!((page.size, page.total), (Some(50), Some(7)));
        let bare = OrdersPage::read(&Bytes::from_static(br#"{"orders":[]}"#)).unwrap();
        assert_eq!(bare, OrdersPage { records: Vec::new(), size: None, total: None });
        assert!(OrdersPage::read(&Bytes::from_static(b"[]")).is_err());

        let data = Bytes::from_static(
            br#"{"events":[{"event_type":"t","created_at":"2026-03-01T10:00:00Z","order_id":1,"order":{"id": 1}}],"next_after":"c","has_more":true}"#,
        );
        let page = EventsPage::read(&data).unwrap();
        assert_eq!(page.events[0].record, &br#"{"id": 1}"#[..]);
        assert_eq!(page.events[0].event_type.as_deref(), Some("t"));
        assert_eq!((page.next_after.as_str(), page.has_more), ("c", true));
    }

    #[test]
    fn orders_of_other_brands_and_branches_are_left_out_where_some_are_named() {
        let codes = StatusCodes::default();
        let check = |brands: &[i64], branches: &[i64], record: &'static str, expected: &str| {
            let brand_ids: Vec<_> = brands.iter().copied().map(BrandId).collect();
            let branch_ids: Vec<_> = branches.iter().copied().map(BranchId).collect();
            let wanted = Wanted { brand_ids: &brand_ids, branch_ids: &branch_ids };
            let found = match wanted.read(Bytes::from_static(record.as_bytes()), None, &codes) {
                Read::Order(Seen { order_id, brand_id, branch_id, .. }) => {
                    format!("{order_id} of {:?} {:?}", brand_id.map(|id| id.0), branch_id.map(|id| id.0))
                }
                Read::Unwanted => "unwanted".to_owned(),
                Read::Unreadable => "unreadable".to_owned(),
            };
            assert_eq!(found, expected, "{brands:?} {branches:?} {record}");
        };
        let record = r#"{"id":7,"branch_id":5,"brands":[{"id":1},{"id":2}]}"#;
        check(&[], &[], record, "7 of Some(1) Some(5)");
        check(&[2], &[], record, "7 of Some(2) Some(5)");
        check(&[3], &[], record, "unwanted");
        check(&[], &[5, 6], record, "7 of Some(1) Some(5)");
        check(&[1], &[6], record, "unwanted");
        check(&[], &[6], r#"{"id":7}"#, "unwanted");
        check(&[], &[], r#"{"id":7}"#, "7 of None None");
        for unreadable in [r#"{"status":1}"#, r#"{"id":7,"status":"x"}"#, r#"{"id":7,"id":8}"#, "null"] {
            check(&[], &[], unreadable, "unreadable");
        }
    }
}
