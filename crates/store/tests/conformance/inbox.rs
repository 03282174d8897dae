//! The inbox's store.

use bytes::Bytes;
use hookit_contract::{DeliveryId, KnownStatus, OrderId};
use hookit_store::Error;
use hookit_store::inbox::{Counts, Receipt, Received, Store};

use crate::fixture::at;

fn delivery(id: &str, body: &str) -> Received {
    Received {
        delivery_id: DeliveryId::from(id),
        event_type: Some("klikit.order.status.updated".to_owned()),
        body: Bytes::copy_from_slice(body.as_bytes()),
        received_at: at(id.len() as i64),
    }
}

fn envelope(orders: &str) -> String {
    format!(r#"{{"brand_id":663,"branch_id":1062,"orders":[{orders}]}}"#)
}

async fn receive(store: &impl Store, id: &str, orders: &str) -> Receipt {
    store.receive(delivery(id, &envelope(orders))).await.unwrap()
}

fn received(applied: usize, stale: usize, quarantined: usize) -> Receipt {
    Receipt::Received { applied, stale, quarantined }
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

    let history = store.history(OrderId(7)).await.unwrap().unwrap();
    let told: Vec<_> = history.iter().map(|h| (h.version, h.applied, h.delivery_id.as_str())).collect();
    assert_eq!(told, [(Some(1), true, "a"), (Some(2), true, "bb")]);
    assert_eq!(history[0].status, Some(KnownStatus::Placed.into()));
    assert_eq!(history[0].event_type.as_deref(), Some("klikit.order.status.updated"));
    assert_eq!(history[0].updated_at.map(|t| t.to_string()).as_deref(), Some("2026-03-01T10:00:00.000Z"));
    assert_eq!(history[1].received_at, at(2));
    assert!(store.history(OrderId(9)).await.unwrap().is_none());
    assert!(store.order(OrderId(9)).await.unwrap().is_none());
    assert_eq!(store.counts().await.unwrap(), Counts { orders: 2, received: 2, quarantined: 0 });
}

pub(crate) async fn a_repeat_changes_nothing(store: &impl Store) {
    receive(store, "a", r#"{"id":7,"version":1}"#).await;
    // The id decides, whatever the body says.
    assert_eq!(receive(store, "a", r#"{"id":7,"version":2},null"#).await, Receipt::Duplicate);
    assert_eq!(store.order(OrderId(7)).await.unwrap().unwrap().version, Some(1));
    assert_eq!(store.history(OrderId(7)).await.unwrap().unwrap().len(), 1);
    assert_eq!(store.counts().await.unwrap(), Counts { orders: 1, received: 1, quarantined: 0 });
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
    let applied: Vec<_> =
        store.history(OrderId(8)).await.unwrap().unwrap().iter().map(|h| h.applied).collect();
    assert_eq!(applied, [true, false, false, true]);
}

pub(crate) async fn an_order_twice_in_one_envelope_is_applied_in_order(store: &impl Store) {
    let orders = r#"{"id":7,"version":1},{"id":8},{"id":7,"version":3},{"id":7,"version":2}"#;
    assert_eq!(receive(store, "a", orders).await, received(3, 1, 0));
    assert_eq!(store.order(OrderId(7)).await.unwrap().unwrap().version, Some(3));
    let versions: Vec<_> =
        store.history(OrderId(7)).await.unwrap().unwrap().iter().map(|h| (h.version, h.applied)).collect();
    assert_eq!(versions, [(Some(1), true), (Some(3), true), (Some(2), false)]);
    assert_eq!(store.counts().await.unwrap().orders, 2);
}

pub(crate) async fn what_cannot_be_read_is_kept_aside_and_does_not_hinder_its_neighbours(store: &impl Store) {
    assert_eq!(receive(store, "a", r#"{"id":7},{"status":1},{"id":8}"#).await, received(2, 0, 1));
    let broken = delivery("b", "{\"orders\":");
    assert_eq!(store.receive(broken.clone()).await.unwrap(), received(0, 0, 1));
    assert_eq!(store.receive(broken).await.unwrap(), Receipt::Duplicate);
    let kept = store.quarantine(None, 10).await.unwrap();
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
        let orders = store.orders(after.map(OrderId), limit).await.unwrap();
        orders.iter().map(|order| order.order_id.0).collect()
    };
    assert_eq!(ids(None, 2).await, [3, 5]);
    assert_eq!(ids(Some(5), 2).await, [9]);
    let first = store.quarantine(None, 2).await.unwrap();
    let rest = store.quarantine(Some(first[1].quarantine_id), 2).await.unwrap();
    let positions: Vec<_> = first.iter().chain(&rest).map(|q| q.position).collect();
    assert_eq!(positions, [Some(1), Some(4), Some(5)]);
}

pub(crate) async fn a_closed_inbox_is_busy(store: &impl Store) {
    receive(store, "a", r#"{"id":7}"#).await;
    store.close().await;
    store.close().await;
    assert!(matches!(store.receive(delivery("b", "{}")).await, Err(Error::Busy)));
    assert!(matches!(store.order(OrderId(7)).await, Err(Error::Busy)));
}
