//! The inbox's store.

use std::ops::RangeInclusive;

use bytes::Bytes;
use hookit_contract::{BranchId, BrandId, DeliveryId, KnownStatus, OrderId, StatusCodes};
use hookit_store::Error;
use hookit_store::inbox::{
    Applied, CHANGES_BYTES_MAX, Counts, Expiry, HistoryEntry, HistoryPlace, HistoryQuery, OrderFilter,
    PAGE_BYTES_MAX, Receipt, Received, SINK_STRETCHES_MAX, SinkAdvanced, SinkEnd, SinkPosition, SinkStart,
    SinkWanted, Source, Store,
};

use crate::fixture::at;

fn delivery(id: &str, body: &str) -> Received {
    Received {
        delivery_id: DeliveryId::from(id),
        event_type: Some("klikit.order.status.updated".to_owned()),
        source: Source::Webhook,
        secret: None,
        headers: Vec::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        received_at: at(id.len() as i64),
    }
}

fn envelope(orders: &str) -> String {
    format!(r#"{{"brand_id":663,"branch_id":1062,"orders":[{orders}]}}"#)
}

async fn receive(store: &impl Store, id: &str, orders: &str) -> Receipt {
    let receipt = store.receive(delivery(id, &envelope(orders))).await.unwrap();
    match receipt {
        // Jumps of the version have a check of their own.
        Receipt::Received { applied, stale, quarantined, .. } => received(applied, stale, quarantined),
        Receipt::Duplicate => receipt,
    }
}

fn received(applied: usize, stale: usize, quarantined: usize) -> Receipt {
    Receipt::Received { applied, stale, quarantined, jumped: 0 }
}

/// All that came of an order.
pub(crate) async fn history_of(store: &impl Store, order_id: i64) -> Option<Vec<HistoryEntry>> {
    let query = HistoryQuery { order_id: OrderId(order_id), after: None, newest_first: false, limit: 99 };
    store.history(query).await.unwrap().map(|page| page.items)
}

pub(crate) async fn a_delivery_renews_the_view_and_the_history(store: &impl Store) {
    let first = r#"{"id":7, "status":1,"version":1,"updated_at":"2026-03-01T10:00:00Z","x":0.10}"#;
    let second = r#"{"id":7,"status":2,"version":2,"note":"Gửi 🍜"}"#;
    assert_eq!(receive(store, "a", &format!("{first} , {}", r#"{"id":8}"#)).await, received(2, 0, 0));
    assert_eq!(store.order(OrderId(7)).await.unwrap().unwrap().record, first);
    assert_eq!(receive(store, "bb", second).await, received(1, 0, 0));
    let order = store.order(OrderId(7)).await.unwrap().unwrap();
    assert_eq!((order.record, order.version), (Bytes::from(second), Some(2)));
    assert_eq!((order.order_id, order.status), (OrderId(7), Some(KnownStatus::Accepted.into())));
    assert_eq!((order.delivery_id, order.received_at), (DeliveryId::from("bb"), at(2)));
    let bare = store.order(OrderId(8)).await.unwrap().unwrap();
    assert_eq!((bare.status, bare.version, bare.record), (None, None, Bytes::from(r#"{"id":8}"#)));

    let history = history_of(store, 7).await.unwrap();
    let told: Vec<_> = history.iter().map(|h| (h.version, h.applied, h.delivery_id.as_str())).collect();
    assert_eq!(told, [(Some(1), true, "a"), (Some(2), true, "bb")]);
    assert_eq!(history[0].status, Some(KnownStatus::Placed.into()));
    assert_eq!(history[0].event_type.as_deref(), Some("klikit.order.status.updated"));
    assert_eq!(history[0].updated_at.map(|t| t.to_string()).as_deref(), Some("2026-03-01T10:00:00.000Z"));
    assert_eq!(history[1].received_at, at(2));
    assert!(history_of(store, 9).await.is_none());
    assert!(store.order(OrderId(9)).await.unwrap().is_none());
    assert_eq!(store.counts().await.unwrap(), Counts { orders: 2, received: 2, quarantined: 0 });
}

pub(crate) async fn a_version_that_jumps_is_noticed(store: &impl Store) {
    for (n, (orders, expected)) in [
        (r#"{"id":1,"version":1},{"id":2,"version":2},{"id":3},{"id":4,"version":-9223372036854775808}"#, 1),
        (r#"{"id":1,"version":2},{"id":2,"version":4},{"id":3,"version":9},{"id":4,"version":9}"#, 2),
        (r#"{"id":1,"version":4},{"id":2,"version":3},{"id":2,"version":4},{"id":3,"version":10}"#, 1),
        (r#"{"id":1,"version":9223372036854775807}"#, 1),
    ]
    .into_iter()
    .enumerate()
    {
        let receipt = store.receive(delivery(&format!("evt_{n}"), &envelope(orders))).await.unwrap();
        let Receipt::Received { jumped, .. } = receipt else { panic!("{receipt:?}") };
        assert_eq!(jumped, expected, "{orders}");
    }
}

pub(crate) async fn a_repeat_changes_nothing(store: &impl Store) {
    receive(store, "a", r#"{"id":7,"version":1}"#).await;
    // The id decides, whatever the body says.
    assert_eq!(receive(store, "a", r#"{"id":7,"version":2},null"#).await, Receipt::Duplicate);
    assert_eq!(store.order(OrderId(7)).await.unwrap().unwrap().version, Some(1));
    assert_eq!(history_of(store, 7).await.unwrap().len(), 1);
    assert_eq!(store.counts().await.unwrap(), Counts { orders: 1, received: 1, quarantined: 0 });
}

pub(crate) async fn a_test_of_a_registration_is_received_and_is_no_trouble(store: &impl Store) {
    let test = r#"{"orders":[{"id":-1,"is_fake":true,"version":2,"status":2}]}"#;
    for (id, quarantined) in [("test_1", 0), ("evt_1", 1)] {
        let Receipt::Received { quarantined: found, .. } = store.receive(delivery(id, test)).await.unwrap()
        else {
            panic!("{id} was here before")
        };
        assert_eq!(found, quarantined, "{id}");
    }
    // Whatever its id, an order that can be read is one.
    store.receive(delivery("test_2", r#"{"orders":[{"id":7,"version":1,"status":1}]}"#)).await.unwrap();
    assert!(store.order(OrderId(7)).await.unwrap().is_some());
}

pub(crate) async fn of_the_same_delivery_many_times_at_once_one_counts(store: &impl Store) {
    let body = envelope(r#"{"id":7}"#);
    let (a, b, c, d) = tokio::join!(
        store.receive(delivery("a", &body)),
        store.receive(delivery("a", &body)),
        store.receive(delivery("b", &body)),
        store.receive(delivery("a", &body)),
    );
    let same = [a.unwrap(), b.unwrap(), d.unwrap()];
    assert_eq!(same.iter().filter(|r| **r == Receipt::Duplicate).count(), 2, "{same:?}");
    assert_eq!(c.unwrap(), received(1, 0, 0));
    assert_eq!(store.counts().await.unwrap().received, 2);
}

pub(crate) async fn an_older_state_never_overwrites_a_newer_one(store: &impl Store) {
    let newer = r#"{"id":7,"version":5,"status":4}"#;
    receive(store, "a", newer).await;
    assert_eq!(receive(store, "b", r#"{"id":7,"version":4,"status":2}"#).await, received(0, 1, 0));
    assert_eq!(receive(store, "c", r#"{"id":7,"version":5,"status":4}"#).await, received(0, 1, 0));
    assert_eq!(store.order(OrderId(7)).await.unwrap().unwrap().record, newer);
    // Without versions, by time; without times, by the order of statuses.
    receive(store, "d", r#"{"id":8,"updated_at":2000000000,"status":2}"#).await;
    assert_eq!(
        receive(store, "e", r#"{"id":8,"updated_at":1999999999,"status":4}"#).await,
        received(0, 1, 0)
    );
    assert_eq!(receive(store, "f", r#"{"id":8,"status":1}"#).await, received(0, 1, 0));
    assert_eq!(receive(store, "g", r#"{"id":8,"status":4}"#).await, received(1, 0, 0));
    let applied: Vec<_> = history_of(store, 8).await.unwrap().iter().map(|h| h.applied).collect();
    assert_eq!(applied, [true, false, false, true]);
}

pub(crate) async fn what_was_seen_before_tells_what_is_old_where_the_view_lacks_it(store: &impl Store) {
    receive(store, "a", r#"{"id":7,"version":5,"status":4},{"id":8,"updated_at":2000000009}"#).await;
    // Newer, for all that can be told, and without what the one before had.
    receive(store, "b", r#"{"id":7,"status":99},{"id":8,"version":2,"updated_at":2000000005}"#).await;
    let late = r#"{"id":7,"version":4,"status":5},{"id":7,"status":2},{"id":8,"version":1}"#;
    assert_eq!(receive(store, "c", late).await, received(0, 3, 0));
    assert_eq!(store.order(OrderId(7)).await.unwrap().unwrap().record, r#"{"id":7,"status":99}"#);
    assert_eq!(receive(store, "d", r#"{"id":7,"version":6,"status":5}"#).await, received(1, 0, 0));
    assert_eq!(receive(store, "e", r#"{"id":8,"version":3}"#).await, received(1, 0, 0));
}

pub(crate) async fn a_cancellation_stays_unless_something_newer_says_otherwise(store: &impl Store) {
    receive(store, "a", r#"{"id":7,"status":2},{"id":8,"version":1,"status":2}"#).await;
    receive(store, "b", r#"{"id":7,"status":3},{"id":8,"version":2,"status":3}"#).await;
    let late = r#"{"id":7,"status":5},{"id":7,"status":99},{"id":7},{"id":8,"version":1,"status":5}"#;
    assert_eq!(receive(store, "c", late).await, received(0, 4, 0));
    assert_eq!(receive(store, "d", r#"{"id":8,"version":3,"status":2}"#).await, received(1, 0, 0));
    let status = async |id| store.order(OrderId(id)).await.unwrap().unwrap().status.unwrap();
    assert_eq!(status(7).await, KnownStatus::Cancelled.into());
    assert_eq!(status(8).await, KnownStatus::Accepted.into());
}

pub(crate) async fn an_order_twice_in_one_envelope_is_applied_in_order(store: &impl Store) {
    let orders = r#"{"id":7,"version":1},{"id":8},{"id":7,"version":3},{"id":7,"version":2}"#;
    assert_eq!(receive(store, "a", orders).await, received(3, 1, 0));
    assert_eq!(store.order(OrderId(7)).await.unwrap().unwrap().version, Some(3));
    let versions: Vec<_> =
        history_of(store, 7).await.unwrap().iter().map(|h| (h.version, h.applied)).collect();
    assert_eq!(versions, [(Some(1), true), (Some(3), true), (Some(2), false)]);
    assert_eq!(store.counts().await.unwrap().orders, 2);
}

pub(crate) async fn what_cannot_be_read_is_kept_aside_and_does_not_hinder_its_neighbours(store: &impl Store) {
    assert_eq!(receive(store, "a", r#"{"id":7},{"status":1},{"id":8}"#).await, received(2, 0, 1));
    let broken = delivery("b", "{\"orders\":");
    assert_eq!(store.receive(broken.clone()).await.unwrap(), received(0, 0, 1));
    assert_eq!(store.receive(broken).await.unwrap(), Receipt::Duplicate);
    let kept = store.quarantine(None, 10).await.unwrap().items;
    let told: Vec<_> = kept.iter().map(|q| (q.delivery_id.as_str(), q.position, &q.bytes[..])).collect();
    assert_eq!(told, [("a", Some(1), &br#"{"status":1}"#[..]), ("b", None, &b"{\"orders\":"[..])]);
    assert!(kept[0].reason.contains("id: missing"), "{}", kept[0].reason);
    assert!(kept[1].reason.contains("not JSON"), "{}", kept[1].reason);
    assert_eq!(kept[1].received_at, at(1));
    assert_eq!(store.counts().await.unwrap(), Counts { orders: 2, received: 2, quarantined: 2 });
}

pub(crate) async fn orders_and_quarantine_are_read_in_pages(store: &impl Store) {
    receive(store, "a", r#"{"id":5},null,{"id":3},{"id":9},[],7"#).await;
    let ids = async |after: Option<i64>, limit| -> Vec<i64> {
        let orders = store.orders(&OrderFilter::default(), after.map(OrderId), limit).await.unwrap().orders;
        orders.iter().map(|order| order.order_id.0).collect()
    };
    assert_eq!(ids(None, 2).await, [3, 5]);
    assert_eq!(ids(Some(5), 2).await, [9]);
    let first = store.quarantine(None, 2).await.unwrap().items;
    let rest = store.quarantine(Some(first[1].quarantine_id), 2).await.unwrap().items;
    let positions: Vec<_> = first.iter().chain(&rest).map(|q| q.position).collect();
    assert_eq!(positions, [Some(1), Some(4), Some(5)]);
}

pub(crate) async fn a_page_ends_before_it_has_too_many_bytes_and_one_that_is_larger_comes_alone(
    store: &impl Store,
) {
    let long = |id: i64, bytes: usize| format!(r#"{{"id":{id},"x":"{}"}}"#, "x".repeat(bytes));
    let third = PAGE_BYTES_MAX / 3;
    let orders = [long(1, third), long(2, third), long(3, third), long(4, PAGE_BYTES_MAX), long(5, 1)];
    receive(store, "a", &orders.join(",")).await;
    let page = async |after: Option<i64>| {
        let page = store.orders(&OrderFilter::default(), after.map(OrderId), 9).await.unwrap();
        (page.orders.iter().map(|order| order.order_id.0).collect::<Vec<_>>(), page.next_after.is_some())
    };
    assert_eq!(page(None).await, (vec![1, 2], true));
    assert_eq!(page(Some(2)).await, (vec![3], true));
    assert_eq!(page(Some(3)).await, (vec![4], true));
    assert_eq!(page(Some(4)).await, (vec![5], false));

    let unreadable = [third, third, third].map(|bytes| format!("[\"{}\"]", "x".repeat(bytes)));
    receive(store, "bb", &unreadable.join(",")).await;
    let first = store.quarantine(None, 9).await.unwrap();
    assert_eq!((first.items.len(), first.more), (2, true));
    let rest = store.quarantine(Some(first.items[1].quarantine_id), 9).await.unwrap();
    assert_eq!((rest.items.len(), rest.more), (1, false));
}

pub(crate) async fn a_history_is_read_in_pages_from_either_end(store: &impl Store) {
    receive(store, "a", r#"{"id":7,"version":1},{"id":7,"version":2}"#).await;
    receive(store, "bb", r#"{"id":7,"version":3},{"id":8}"#).await;
    let page = async |order_id, after: Option<HistoryPlace>, newest_first, limit| {
        let query = HistoryQuery { order_id: OrderId(order_id), after, newest_first, limit };
        let page = store.history(query).await.unwrap()?;
        let versions: Vec<_> = page.items.iter().map(|entry| entry.version.unwrap_or(0)).collect();
        Some((versions, page.more, page.items.last().map(|entry| entry.place)))
    };
    let (first, more, last) = page(7, None, false, 1).await.unwrap();
    assert_eq!((first, more), (vec![1], true));
    let (rest, more, last) = page(7, last, false, 2).await.unwrap();
    assert_eq!((rest, more), (vec![2, 3], false));
    assert_eq!(page(7, last, false, 2).await, Some((vec![], false, None)));
    let (newest, more, last) = page(7, None, true, 2).await.unwrap();
    assert_eq!((newest, more), (vec![3, 2], true));
    assert_eq!(page(7, last, true, 2).await.unwrap().0, [1]);
    assert_eq!(page(9, last, false, 2).await, None);
}

pub(crate) async fn orders_are_found_by_filters_that_combine(store: &impl Store) {
    let order = |id: i64, status: i64, branch: i64, brand: i64, short: &str| {
        format!(
            r#"{{"id":{id},"status":{status},"branch_id":{branch},"brands":[{{"id":{brand}}}],"short_id":"{short}","external_id":"x-{id}"}}"#
        )
    };
    receive(store, "a", &[order(1, 1, 10, 100, "A1"), order(2, 2, 10, 200, "a12")].join(",")).await;
    receive(store, "b", &[order(3, 1, 20, 100, "B3"), order(4, 4, 20, 200, "4")].join(",")).await;
    receive(store, "ccc", &order(5, 99, 20, 100, "C%")).await;
    let all = OrderFilter::default();
    let status = |code: i64| StatusCodes::default().status(code);
    let text = |text: &str| Some(text.to_owned());
    for (filter, expect) in [
        (all.clone(), &[1, 2, 3, 4, 5][..]),
        (OrderFilter { statuses: vec![status(1)], ..all.clone() }, &[1, 3]),
        (OrderFilter { statuses: vec![status(4), status(99), status(1)], ..all.clone() }, &[1, 3, 4, 5]),
        (OrderFilter { branch_id: Some(BranchId(20)), ..all.clone() }, &[3, 4, 5]),
        (OrderFilter { branch_id: Some(BranchId(20)), statuses: vec![status(99)], ..all.clone() }, &[5]),
        // The brand of the envelope that it came in counts as well.
        (OrderFilter { brand_id: Some(BrandId(100)), ..all.clone() }, &[1, 3, 5]),
        (OrderFilter { brand_id: Some(BrandId(100)), branch_id: Some(BranchId(10)), ..all.clone() }, &[1]),
        (
            OrderFilter { brand_id: Some(BrandId(663)), statuses: vec![status(2), status(4)], ..all.clone() },
            &[2, 4],
        ),
        (OrderFilter { text: text("a1"), ..all.clone() }, &[1, 2]),
        (OrderFilter { text: text("4"), ..all.clone() }, &[4]),
        (OrderFilter { text: text("X-3"), ..all.clone() }, &[3]),
        (OrderFilter { text: text("x-"), branch_id: Some(BranchId(10)), ..all.clone() }, &[1, 2]),
        (
            OrderFilter {
                text: text("x-"),
                brand_id: Some(BrandId(200)),
                statuses: vec![status(4)],
                ..all.clone()
            },
            &[4],
        ),
        // No pattern.
        (OrderFilter { text: text("%"), ..all.clone() }, &[]),
        (OrderFilter { text: text("C%"), ..all.clone() }, &[5]),
        (OrderFilter { received_since: Some(at(2)), ..all.clone() }, &[5]),
        (
            OrderFilter { received_since: Some(at(1)), received_until: Some(at(2)), ..all.clone() },
            &[1, 2, 3, 4],
        ),
        (OrderFilter { received_until: Some(at(1)), ..all.clone() }, &[]),
    ] {
        let mut found = Vec::new();
        loop {
            let page = store.orders(&filter, found.last().copied().map(OrderId), 2).await.unwrap();
            assert!(page.orders.len() <= 2);
            found.extend(page.orders.iter().map(|order| order.order_id.0));
            if page.next_after.is_none() {
                break;
            }
            assert_eq!(page.next_after, found.last().copied().map(OrderId));
        }
        assert_eq!(found, expect, "{filter:?}");
    }
}

/// Whole passes; the number of their steps.
async fn expire(store: &impl Store, before: i64) -> usize {
    let (mut steps, mut place) = (1, Expiry::default());
    while let Some(next) = store.expire(at(before), place).await.unwrap() {
        place = next;
        steps += 1;
    }
    steps
}

pub(crate) async fn what_is_old_goes_and_the_view_stays(store: &impl Store) {
    // Came at 1, 2, 3 and 4, by the lengths of their ids.
    receive(store, "a", r#"{"id":7,"version":1},{"id":8,"version":1}"#).await;
    receive(store, "bb", r#"{"id":7,"version":2},null"#).await;
    receive(store, "ccc", r#"{"id":7,"version":3}"#).await;
    receive(store, "dddd", r#"{"id":7,"version":4}"#).await;
    receive(store, "eeeee", r#"{"id":7,"version":5}"#).await;
    let seen = async |id: &str| store.delivery(&DeliveryId::from(id)).await.unwrap().is_some();
    let versions = async || {
        let history = history_of(store, 7).await.unwrap();
        history.iter().map(|entry| entry.version.unwrap()).collect::<Vec<_>>()
    };
    expire(store, 1).await;
    assert_eq!((store.changes(0, 10).await.unwrap().changes.len(), versions().await.len()), (6, 5));

    // A sink holds what it has not had.
    let pos = SinkWanted { name: "pos".to_owned(), start: SinkStart::Oldest };
    let gone = SinkWanted { name: "gone".to_owned(), start: SinkStart::Oldest };
    store.put_sinks(vec![pos.clone(), gone], at(0)).await.unwrap();
    store.put_sinks(vec![pos], at(0)).await.unwrap();
    let end = async |seqs: &[i64], end: SinkEnd| {
        let ended = seqs.iter().map(|seq| (*seq, end.clone())).collect();
        store.sink_ended("pos", ended, at(0)).await.unwrap();
    };
    end(&[1, 2], SinkEnd::HandedOn).await;
    end(&[3, 4], SinkEnd::GivenUp { reason: "No.".to_owned() }).await;
    store.hand_on_again("pos", vec![4]).await.unwrap();
    expire(store, 4).await;
    let left = store.changes(0, 10).await.unwrap();
    assert_eq!((left.removed_to, left.changes[0].change_seq), (3, 4), "what is asked for again is kept");
    // The first delivery has order 8 as it is, the second something in quarantine.
    assert_eq!((seen("a").await, seen("bb").await, seen("ccc").await), (true, true, true));
    end(&[4, 5], SinkEnd::HandedOn).await;

    expire(store, 5).await;
    let left = store.changes(0, 10).await.unwrap();
    assert_eq!((left.removed_to, left.changes.len()), (5, 1));
    assert_eq!(left.changes[0].version, Some(5), "what the sink has not had");
    assert_eq!(
        (seen("a").await, seen("bb").await, seen("ccc").await, seen("dddd").await),
        (true, true, false, false)
    );
    assert_eq!(versions().await, [1, 2, 5]);
    let shown = |id| async move { store.order(OrderId(id)).await.unwrap().unwrap().record };
    assert_eq!(
        (shown(7).await, shown(8).await),
        (r#"{"id":7,"version":5}"#.into(), r#"{"id":8,"version":1}"#.into())
    );
    assert_eq!(store.quarantine(None, 10).await.unwrap().items.len(), 1);
    // What is known is not taken for new; what was forgotten is, and changes nothing.
    assert_eq!(receive(store, "a", r#"{"id":7,"version":1}"#).await, Receipt::Duplicate);
    assert_eq!(receive(store, "ccc", r#"{"id":7,"version":3}"#).await, received(0, 1, 0));
    // Numbers go on.
    receive(store, "ffffff", r#"{"id":7,"version":6}"#).await;
    assert_eq!(store.changes(6, 10).await.unwrap().changes[0].change_seq, 7);
    // A sink that comes now begins behind what was removed.
    let late = SinkWanted { name: "late".to_owned(), start: SinkStart::Oldest };
    assert_eq!(store.put_sinks(vec![late], at(9)).await.unwrap()[0].position, 5);
}

pub(crate) async fn much_that_is_old_goes_in_short_steps(store: &impl Store) {
    for n in 0..1_200 {
        receive(store, &format!("{n:04}"), &format!(r#"{{"id":7,"version":{n}}}"#)).await;
    }
    assert_eq!(
        expire(store, 100).await,
        7,
        "three for the changes, three for the deliveries, and a last look"
    );
    let left = history_of(store, 7).await.unwrap();
    assert_eq!((left.len(), left[0].version), (1, Some(1_199)));
    assert_eq!(store.counts().await.unwrap().orders, 1);
}

pub(crate) async fn what_cannot_be_read_anew_stays_in_quarantine(store: &impl Store) {
    receive(store, "a", r#"{"id":7},null"#).await;
    store.receive(delivery("b", "not JSON")).await.unwrap();
    let kept = store.quarantine(None, 10).await.unwrap().items;
    for item in &kept {
        let applied = store.apply_quarantined(item.quarantine_id, at(9)).await.unwrap();
        assert_eq!(applied, Applied::Unreadable { reason: item.reason.clone() });
    }
    assert_eq!(store.apply_quarantined(404, at(9)).await.unwrap(), Applied::NoSuchThing);
    assert_eq!(store.quarantine(None, 10).await.unwrap().items.len(), 2);
    assert_eq!(store.counts().await.unwrap(), Counts { orders: 1, received: 2, quarantined: 2 });
}

pub(crate) async fn what_is_discarded_leaves_the_quarantine_and_its_delivery_stays(store: &impl Store) {
    receive(store, "a", r#"{"id":7},null"#).await;
    store.receive(delivery("b", "not JSON")).await.unwrap();
    let number = |kept: &[hookit_store::inbox::Quarantined]| {
        kept.iter().map(|item| item.quarantine_id).collect::<Vec<_>>()
    };
    let kept = number(&store.quarantine(None, 10).await.unwrap().items);
    assert_eq!(store.discard_quarantined(kept[1]).await.unwrap(), Some(DeliveryId::from("b")));
    assert_eq!(number(&store.quarantine(None, 10).await.unwrap().items), kept[..1]);
    assert_eq!(store.counts().await.unwrap(), Counts { orders: 1, received: 2, quarantined: 1 });
    assert_eq!(store.receive(delivery("b", "not JSON")).await.unwrap(), Receipt::Duplicate);
    assert_eq!(store.delivery(&DeliveryId::from("b")).await.unwrap().unwrap().body, "not JSON");
    // Its number is not another one's now: who looked at it did not look at that.
    store.receive(delivery("c", "nor this")).await.unwrap();
    for id in [kept[1], 404] {
        assert_eq!(store.discard_quarantined(id).await.unwrap(), None);
        assert_eq!(store.apply_quarantined(id, at(9)).await.unwrap(), Applied::NoSuchThing);
    }
    assert_eq!(store.quarantine(None, 10).await.unwrap().items.len(), 2);
    // Of what has its neighbours' delivery nothing else is touched, and the rest is old like any other.
    assert_eq!(store.discard_quarantined(kept[0]).await.unwrap(), Some(DeliveryId::from("a")));
    assert!(store.order(OrderId(7)).await.unwrap().is_some());
    receive(store, "d", r#"{"id":8}"#).await;
    expire(store, 100).await;
    assert!(store.delivery(&DeliveryId::from("b")).await.unwrap().is_none());
    assert!(store.delivery(&DeliveryId::from("c")).await.unwrap().is_some(), "it is in quarantine");
    assert_eq!(store.counts().await.unwrap().quarantined, 1);
}

pub(crate) async fn a_closed_inbox_is_busy(store: &impl Store) {
    receive(store, "a", r#"{"id":7}"#).await;
    store.close().await;
    store.close().await;
    assert!(matches!(store.receive(delivery("b", "{}")).await, Err(Error::Busy)));
    assert!(matches!(store.order(OrderId(7)).await, Err(Error::Busy)));
}

fn wanted(name: &str, start: SinkStart) -> SinkWanted {
    SinkWanted { name: name.to_owned(), start }
}

/// The numbers and orders of the changes behind a number.
async fn line(store: &impl Store, after: i64, limit: usize) -> Vec<(i64, i64)> {
    let found = store.changes(after, limit).await.unwrap();
    found.changes.iter().map(|change| (change.change_seq, change.order_id.0)).collect()
}

async fn ended(store: &impl Store, name: &str, changes: &[i64]) -> SinkAdvanced {
    let ended = changes.iter().map(|seq| (*seq, SinkEnd::HandedOn)).collect();
    store.sink_ended(name, ended, at(50)).await.unwrap()
}

async fn given_up(store: &impl Store, name: &str, seq: i64, reason: &str) -> SinkAdvanced {
    let end = SinkEnd::GivenUp { reason: reason.to_owned() };
    store.sink_ended(name, vec![(seq, end)], at(seq)).await.unwrap()
}

fn to(position: i64) -> SinkAdvanced {
    SinkAdvanced::To { position }
}

pub(crate) async fn each_renewal_of_the_view_is_a_change_and_nothing_else_is(store: &impl Store) {
    let mut changed = store.changed();
    assert_eq!(*changed.borrow_and_update(), 0);
    let second = r#"{"id":7, "status":2,"version":2}"#;
    receive(
        store,
        "a",
        &format!(r#"{{"id":7,"version":1}},null,{second},{{"id":7,"version":1}},{{"id":8}}"#),
    )
    .await;
    receive(store, "a", r#"{"id":9}"#).await;
    receive(store, "b", r#"{"id":7,"version":2}"#).await;
    receive(store, "c", r#"{"id":5}"#).await;
    assert_eq!(*changed.borrow_and_update(), 4);
    assert_eq!(line(store, 0, 9).await, [(1, 7), (2, 7), (3, 8), (4, 5)]);
    assert_eq!(line(store, 1, 2).await, [(2, 7), (3, 8)]);
    assert_eq!(line(store, 4, 9).await, []);
    let found = store.changes(1, 1).await.unwrap();
    assert_eq!(found.removed_to, 0);
    let change = &found.changes[0];
    assert_eq!((&change.record[..], change.position), (second.as_bytes(), 2));
    assert_eq!((change.version, change.status), (Some(2), Some(KnownStatus::Accepted.into())));
    assert_eq!(change.event_type.as_deref(), Some("klikit.order.status.updated"));
    assert_eq!((change.brand_id, change.branch_id), (Some(BrandId(663)), Some(BranchId(1062))));
    assert_eq!((change.delivery_id.as_str(), change.received_at), ("a", at(1)));
}

pub(crate) async fn a_piece_of_the_line_is_bounded_in_bytes_and_never_empty(store: &impl Store) {
    let large = |id: i64, bytes: usize| format!(r#"{{"id":{id},"x":"{}"}}"#, "x".repeat(bytes));
    receive(store, "a", &large(1, CHANGES_BYTES_MAX + 1)).await;
    receive(store, "b", &large(2, CHANGES_BYTES_MAX / 2)).await;
    receive(store, "c", &large(3, CHANGES_BYTES_MAX / 3)).await;
    receive(store, "d", &large(4, CHANGES_BYTES_MAX / 3)).await;
    assert_eq!(line(store, 0, 9).await, [(1, 1)]);
    assert_eq!(line(store, 1, 9).await, [(2, 2), (3, 3)]);
    assert_eq!(line(store, 3, 9).await, [(4, 4)]);
}

pub(crate) async fn a_delivery_is_kept_with_where_it_came_from(store: &impl Store) {
    let received = Received {
        source: Source::Reconcile,
        secret: Some("kitchen".into()),
        headers: vec![("user-agent", "Gửi \"🍜\"".to_owned()), ("date", "today".to_owned())],
        ..delivery("a", r#"{"branch_id":1062,"orders":[null]}"#)
    };
    store.receive(received).await.unwrap();
    receive(store, "b", "null").await;
    let kept = store.delivery(&DeliveryId::from("a")).await.unwrap().unwrap();
    assert_eq!((kept.source, kept.secret.as_deref()), (Source::Reconcile, Some("kitchen")));
    let headers = [("date", "today"), ("user-agent", "Gửi \"🍜\"")];
    assert_eq!(kept.headers, headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!((kept.brand_id, kept.branch_id), (None, Some(BranchId(1062))));
    assert_eq!(kept.body, r#"{"branch_id":1062,"orders":[null]}"#);
    assert_eq!((kept.delivery_id.as_str(), kept.received_at), ("a", at(1)));
    let other = store.delivery(&DeliveryId::from("b")).await.unwrap().unwrap();
    assert_eq!((other.source, other.secret, other.headers), (Source::Webhook, None, Vec::new()));
    assert!(store.delivery(&DeliveryId::from("c")).await.unwrap().is_none());
}

pub(crate) async fn a_sink_begins_where_it_wants_to_and_goes_on_where_it_was(store: &impl Store) {
    receive(store, "a", r#"{"id":1},{"id":2}"#).await;
    let both = vec![wanted("late", SinkStart::Next), wanted("all", SinkStart::Oldest)];
    let positions = |sinks: Vec<SinkPosition>| -> Vec<(String, i64)> {
        sinks.into_iter().map(|sink| (sink.name, sink.position)).collect()
    };
    let first = positions(store.put_sinks(both.clone(), at(0)).await.unwrap());
    assert_eq!(first, [("late".to_owned(), 2), ("all".to_owned(), 0)]);
    assert_eq!(ended(store, "all", &[1]).await, to(1));
    receive(store, "b", r#"{"id":3}"#).await;
    assert_eq!(ended(store, "late", &[3]).await, to(3));

    // One leaves; nothing can be noted for it, and it is not forgotten.
    store.put_sinks(vec![wanted("all", SinkStart::Next)], at(1)).await.unwrap();
    assert_eq!(ended(store, "late", &[]).await, SinkAdvanced::NoSuchSink);
    assert_eq!(ended(store, "nobody", &[3]).await, SinkAdvanced::NoSuchSink);
    assert_eq!(positions(store.sinks().await.unwrap()), [("all".to_owned(), 1)]);
    let again = positions(store.put_sinks(both, at(2)).await.unwrap());
    assert_eq!(again, [("late".to_owned(), 3), ("all".to_owned(), 1)]);
    assert_eq!(positions(store.sinks().await.unwrap()), [("all".to_owned(), 1), ("late".to_owned(), 3)]);
}

pub(crate) async fn a_sinks_position_moves_over_all_that_has_ended(store: &impl Store) {
    receive(store, "a", r#"{"id":1},{"id":2},{"id":3},{"id":4},{"id":5}"#).await;
    let sinks = vec![wanted("one", SinkStart::Oldest), wanted("other", SinkStart::Oldest)];
    store.put_sinks(sinks, at(0)).await.unwrap();
    let of =
        async |name: &str| store.sinks().await.unwrap().into_iter().find(|sink| sink.name == name).unwrap();
    assert_eq!(ended(store, "one", &[2, 4]).await, to(0));
    assert_eq!(stretches(&of("one").await), [2..=2, 4..=4]);
    // What never was does not count, and what is noted again changes nothing.
    assert_eq!(ended(store, "one", &[4, 6, 77]).await, to(0));
    assert_eq!(stretches(&of("one").await), [2..=2, 4..=4]);
    assert_eq!(ended(store, "one", &[1]).await, to(2));
    assert_eq!(stretches(&of("one").await), [4..=4]);
    assert_eq!(ended(store, "one", &[5, 3, 1]).await, to(5));
    assert!(of("one").await.ended.is_empty());
    assert_eq!((of("other").await.position, of("other").await.ended.len()), (0, 0));
}

/// What has ended for a sink above its position.
fn stretches(sink: &SinkPosition) -> Vec<RangeInclusive<i64>> {
    sink.ended.iter().collect()
}

pub(crate) async fn a_sink_may_be_ahead_of_its_position_by_any_number_in_so_many_stretches(
    store: &impl Store,
) {
    let most = SINK_STRETCHES_MAX as i64;
    let last = 2 * most + 5;
    let orders: Vec<_> = (1..=last).map(|id| format!(r#"{{"id":{id}}}"#)).collect();
    receive(store, "a", &orders.join(",")).await;
    store.put_sinks(vec![wanted("one", SinkStart::Oldest)], at(0)).await.unwrap();
    let all: Vec<i64> = (2..=most + 5).collect();
    assert_eq!(ended(store, "one", &all).await, to(0), "more changes than there may be stretches");
    assert_eq!(stretches(&store.sinks().await.unwrap()[0]), [2..=most + 5]);
    assert_eq!(given_up(store, "one", most + 6, "It said 400.").await, to(0));
    assert_eq!(stretches(&store.sinks().await.unwrap()[0]), [2..=most + 6], "what is given up has ended");
    assert_eq!(ended(store, "one", &[1]).await, to(most + 6));

    store.put_sinks(vec![wanted("two", SinkStart::Oldest)], at(0)).await.unwrap();
    let every_other: Vec<i64> = (1..=most).map(|n| 2 * n).collect();
    assert_eq!(ended(store, "two", &every_other).await, to(0));
    assert_eq!(ended(store, "two", &[2 * most + 2]).await, SinkAdvanced::TooFarAhead);
    let sink = store.sinks().await.unwrap().remove(0);
    assert_eq!((sink.ended.len(), sink.ended.numbers()), (SINK_STRETCHES_MAX, SINK_STRETCHES_MAX as u64));
    assert_eq!(ended(store, "two", &[5, 2 * most + 2]).await, to(0), "two that join make room");
    assert_eq!(stretches(&store.sinks().await.unwrap()[0])[..3], [2..=2, 4..=6, 8..=8]);
    assert_eq!(ended(store, "two", &[1, 3]).await, to(6));
    let odd: Vec<i64> = (7..=last).filter(|n| n % 2 == 1).collect();
    assert_eq!(ended(store, "two", &odd).await, to(2 * most + 3));
}

pub(crate) async fn what_has_ended_ahead_is_there_when_a_sink_comes_back_and_goes_with_its_changes(
    store: &impl Store,
) {
    receive(store, "a", r#"{"id":1},{"id":2},{"id":3},{"id":4},{"id":5},{"id":6}"#).await;
    let all = || vec![wanted("stays", SinkStart::Oldest), wanted("leaves", SinkStart::Oldest)];
    store.put_sinks(all(), at(0)).await.unwrap();
    assert_eq!(ended(store, "leaves", &[2, 3, 4, 6]).await, to(0));
    store.put_sinks(vec![wanted("stays", SinkStart::Oldest)], at(1)).await.unwrap();
    let back = async || {
        let sink = store.put_sinks(all(), at(2)).await.unwrap().remove(1);
        (sink.position, stretches(&sink))
    };
    assert_eq!(back().await, (0, vec![2..=4, 6..=6]));
    // It leaves again, and what the other one has had is removed for its age.
    store.put_sinks(vec![wanted("stays", SinkStart::Oldest)], at(3)).await.unwrap();
    assert_eq!(ended(store, "stays", &[1, 2, 3]).await, to(3));
    receive(store, "b", r#"{"id":7}"#).await;
    expire(store, 100).await;
    assert_eq!(back().await, (3, vec![4..=4, 6..=6]));
    assert_eq!(ended(store, "leaves", &[5]).await, to(6));
}

pub(crate) async fn what_a_sink_gives_up_is_kept_until_it_is_handed_on_after_all(store: &impl Store) {
    receive(store, "a", r#"{"id":1},{"id":2},{"id":3},{"id":4}"#).await;
    store.put_sinks(vec![wanted("one", SinkStart::Oldest)], at(0)).await.unwrap();
    assert_eq!(given_up(store, "one", 3, "It said 400.").await, to(0));
    assert_eq!(given_up(store, "one", 77, "It never was.").await, to(0));
    assert_eq!(ended(store, "one", &[1, 2]).await, to(3));
    assert_eq!(given_up(store, "one", 4, "It said 404.").await, to(4));
    let listed = async |after, limit| -> Vec<(i64, i64, String, bool)> {
        let found = store.given_up("one", after, limit).await.unwrap();
        assert!(found.iter().all(|given_up| given_up.given_up_at == at(given_up.change_seq)));
        found.into_iter().map(|g| (g.change_seq, g.order_id.0, g.reason, g.again)).collect()
    };
    let (three, four) = ((3, 3, "It said 400.".to_owned(), false), (4, 4, "It said 404.".to_owned(), false));
    assert_eq!(listed(0, 9).await, [three.clone(), four.clone()]);
    assert_eq!(listed(0, 1).await, std::slice::from_ref(&three));
    assert_eq!(listed(3, 9).await, [four]);
    assert_eq!(store.sinks().await.unwrap()[0].given_up, 2);

    assert!(store.asked_again("one", 9).await.unwrap().is_empty());
    assert_eq!(store.hand_on_again("one", vec![1, 3, 4, 77]).await.unwrap(), 2);
    assert_eq!(store.hand_on_again("one", vec![3]).await.unwrap(), 0, "it is asked for already");
    let asked: Vec<_> =
        store.asked_again("one", 9).await.unwrap().iter().map(|c| (c.change_seq, c.record.clone())).collect();
    assert_eq!(asked, [(3, Bytes::from(r#"{"id":3}"#)), (4, Bytes::from(r#"{"id":4}"#))]);
    assert_eq!(store.asked_again("one", 1).await.unwrap().len(), 1);
    assert!(listed(0, 9).await.iter().all(|(.., again)| *again));
    assert_eq!(ended(store, "one", &[4]).await, to(4));
    assert_eq!(given_up(store, "one", 3, "It said 400 again.").await, to(4));
    assert_eq!(listed(0, 9).await, [(3, 3, "It said 400 again.".to_owned(), false)]);
    let sink = store.sinks().await.unwrap().remove(0);
    assert_eq!((sink.position, sink.ended.len(), sink.given_up), (4, 0, 1));
}
