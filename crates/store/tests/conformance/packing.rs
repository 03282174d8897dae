//! Bodies that nobody is likely to look at are packed, and nobody who does look can tell.

use std::sync::Arc;

use bytes::Bytes;
use hookit_contract::{DeliveryId, WebhookSecret};
use hookit_store::inbox::{
    Change, Expiry, KeptDelivery, OrderFilter, Receipt, Received, SinkEnd, SinkStart, SinkWanted, Source,
    Store,
};

use crate::fixture::at;
use crate::inbox::history_of;

/// A delivery of these orders at a version, with what a record has beside what is looked at.
fn delivery(id: &str, orders: &[i64], version: i64, millis: i64) -> Received {
    let record = |order_id: &i64| {
        format!(
            r#"{{"id":{order_id}, "version":{version},"status":{},"note":"Gửi 🍜 {}","price":0.10}}"#,
            1 + version % 2,
            "a dish with a name ".repeat(20)
        )
    };
    let orders: Vec<_> = orders.iter().map(record).collect();
    let body = format!("{{\"brand_id\":663,\"branch_id\":1062,\"orders\":[{}]}}\n", orders.join(" , "));
    Received {
        delivery_id: DeliveryId::from(id),
        event_type: Some("klikit.order.status.updated".to_owned()),
        source: Source::Webhook,
        secret: Some(Arc::from("klikit")),
        headers: vec![("x-klikit-signature", signature(body.as_bytes()))],
        body: Bytes::from(body),
        received_at: at(millis),
    }
}

fn signature(body: &[u8]) -> String {
    WebhookSecret::new(b"whsec_packing").sign(body).to_string()
}

/// Packs all that came to rest before a moment; the number of steps that did something.
async fn pack(store: &impl Store, before: i64) -> usize {
    let mut steps = 0;
    while store.pack(at(before)).await.unwrap() {
        steps += 1;
    }
    steps
}

/// Everything that may be read of bodies, as texts.
async fn read(store: &impl Store, ids: &[String]) -> (Vec<String>, Vec<String>, Vec<String>) {
    let mut deliveries = Vec::new();
    for id in ids {
        let kept = store.delivery(&DeliveryId::from(id.as_str())).await.unwrap().unwrap();
        let KeptDelivery { body, headers, .. } = &kept;
        assert_eq!(headers[0].1, signature(body), "the bytes that were signed");
        deliveries.push(format!("{kept:?}"));
    }
    let changes = store.changes(0, 1_000).await.unwrap().changes;
    let orders = store.orders(&OrderFilter::default(), None, 1_000).await.unwrap().orders;
    (deliveries, debugged(&changes), debugged(&orders))
}

fn debugged(all: &[impl std::fmt::Debug]) -> Vec<String> {
    all.iter().map(|one| format!("{one:?}")).collect()
}

pub(crate) async fn what_is_packed_reads_as_it_came(store: &impl Store) {
    let mut ids = Vec::new();
    for version in 1..=6 {
        // Two in one delivery and in deliveries of their own; an old state, and one twice in one envelope.
        for (name, orders) in [("a", &[1, 2][..]), ("b", &[3]), ("c", &[4, 4])] {
            let id = format!("{name}{version}");
            store.receive(delivery(&id, orders, version, version)).await.unwrap();
            ids.push(id);
        }
    }
    store.receive(delivery("late", &[3], 2, 7)).await.unwrap();
    store.receive(delivery("later", &[2], 7, 8)).await.unwrap();
    store
        .receive(Received { source: Source::Reconcile, secret: None, ..delivery("last", &[3], 9, 9) })
        .await
        .unwrap();
    ids.extend(["late", "later", "last"].map(str::to_owned));
    let wanted = SinkWanted { name: "pos".to_owned(), start: SinkStart::Oldest };
    store.put_sinks(vec![wanted], at(9)).await.unwrap();
    let gave_up = SinkEnd::GivenUp { reason: "No.".to_owned() };
    store.sink_ended("pos", vec![(1, gave_up.clone()), (4, gave_up)], at(9)).await.unwrap();
    store.hand_on_again("pos", vec![1, 4]).await.unwrap();
    let as_it_came = read(store, &ids).await;
    let again = debugged(&store.asked_again("pos", 10).await.unwrap());

    assert!(pack(store, 100).await > 0);
    assert_eq!(read(store, &ids).await, as_it_came);
    assert_eq!(debugged(&store.asked_again("pos", 10).await.unwrap()), again);
    // A piece from within.
    let Change { change_seq, record, .. } = store.changes(7, 1).await.unwrap().changes.remove(0);
    assert_eq!(change_seq, 8);
    assert!(as_it_came.1[7].contains(&format!("{record:?}")));
    // A repeat is one still, and the view goes on.
    assert_eq!(store.receive(delivery("a1", &[1, 2], 1, 10)).await.unwrap(), Receipt::Duplicate);
    store.receive(delivery("new", &[1, 3], 10, 10)).await.unwrap();
    ids.push("new".to_owned());
    let as_it_came = read(store, &ids).await;
    pack(store, 100).await;
    assert_eq!(read(store, &ids).await, as_it_came);
    assert_eq!(history_of(store, 3).await.unwrap().len(), 9);
    assert_eq!(store.counts().await.unwrap().received, ids.len() as u64);
}

pub(crate) async fn only_what_has_come_to_rest_is_packed_and_in_short_steps(store: &impl Store) {
    for version in 1..=300 {
        store.receive(delivery(&format!("a{version}"), &[1], version, version)).await.unwrap();
    }
    for order_id in 2..=400 {
        store.receive(delivery(&format!("b{order_id}"), &[order_id], 1, 400 + order_id)).await.unwrap();
    }
    assert_eq!(pack(store, 300).await, 0, "something came at that moment");
    assert_eq!(pack(store, 301).await, 10, "32 at a time");
    // Orders with one state have nothing to pack, and are gone over quickly.
    assert_eq!(pack(store, 1_000).await, 3);
    assert_eq!(pack(store, 1_000).await, 0);
    // What comes to rest anew is looked at anew.
    store.receive(delivery("again", &[2], 2, 1_000)).await.unwrap();
    assert_eq!(pack(store, 1_001).await, 1);
    assert_eq!(pack(store, 1_001).await, 0);
}

pub(crate) async fn what_is_packed_goes_when_it_is_old(store: &impl Store) {
    let mut ids = Vec::new();
    for version in 1..=8 {
        let id = format!("a{version}");
        store.receive(delivery(&id, &[1], version, version)).await.unwrap();
        ids.push(id);
    }
    let as_it_came = read(store, &ids).await;
    pack(store, 100).await;
    for (before, left, changes_left) in [(4, 3, 3), (7, 6, 6), (100, 7, 8)] {
        let mut place = Some(Expiry::default());
        while let Some(here) = place {
            place = store.expire(at(before), here).await.unwrap();
        }
        for id in &ids[..left] {
            assert!(store.delivery(&DeliveryId::from(id.as_str())).await.unwrap().is_none());
        }
        let (deliveries, changes, orders) = read(store, &ids[left..]).await;
        assert_eq!(deliveries, as_it_came.0[left..]);
        assert_eq!((changes, orders), (as_it_came.1[changes_left..].to_vec(), as_it_came.2.clone()));
    }
    // What came anew under an id that was forgotten is packed like anything else.
    store.receive(delivery("a1", &[1], 1, 200)).await.unwrap();
    store.receive(delivery("a9", &[1], 9, 201)).await.unwrap();
    assert!(pack(store, 300).await > 0);
    read(store, &["a1".to_owned(), "a8".to_owned(), "a9".to_owned()]).await;
}
