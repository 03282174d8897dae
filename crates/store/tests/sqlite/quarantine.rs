//! What could not be read, and can be by a later program. There is no such program yet, so the bytes are what changes.

use bytes::Bytes;
use hookit_contract::{DeliveryId, OrderId};
use hookit_store::inbox::{Applied, Counts, Receipt, Received, SinkStart, SinkWanted, Source, Store};
use hookit_store::sqlite::{InboxOptions, InboxStore};
use rusqlite::Connection;

use crate::fixture::at;

fn delivery(id: &str, body: &str) -> Received {
    Received {
        delivery_id: DeliveryId::from(id),
        event_type: Some("klikit.order.status.updated".to_owned()),
        source: Source::Webhook,
        secret: Some("klikit".into()),
        headers: Vec::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        received_at: at(1),
    }
}

#[tokio::test]
async fn what_reads_now_enters_the_view_by_the_rule_of_a_delivery_and_sinks_hear_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let open = || InboxStore::open(folder.path(), InboxOptions::default()).unwrap();
    let store = open();
    let body = r#"{"brand_id":663,"branch_id":1062,"orders":[{"id":7,"version":2},1,2,3]}"#;
    store.receive(delivery("evt_1", body)).await.unwrap();
    store.receive(delivery("evt_2", "[")).await.unwrap();
    store.close().await;
    let db = Connection::open(folder.path().join("inbox.db")).unwrap();
    let read = |position: &str, bytes: &str| {
        let sql = format!("UPDATE quarantine SET bytes = CAST(?1 AS BLOB) WHERE position {position}");
        assert_eq!(db.execute(&sql, [bytes]).unwrap(), 1);
    };
    read("= 1", r#"{"id":8,"version":1,"branch_id":5}"#);
    read("= 2", r#"{"id":7,"version":1}"#);
    read("IS NULL", r#"{"orders":[{"id":9},null]}"#);
    drop(db);

    let store = open();
    let kept = store.quarantine(None, 10).await.unwrap().items;
    let mut received = Vec::new();
    for item in &kept {
        received.push(store.apply_quarantined(item.quarantine_id, at(9)).await.unwrap());
    }
    let read = |applied, stale, quarantined| {
        Applied::Read(Receipt::Received { applied, stale, quarantined, jumped: 0 })
    };
    assert_eq!(received[..2], [read(1, 0, 0), read(0, 1, 0)], "new, and older than what the view has");
    assert!(matches!(received[2], Applied::Unreadable { .. }));
    assert_eq!(received[3], read(1, 0, 1), "what of it cannot be read is kept by itself");
    let order = store.order(OrderId(8)).await.unwrap().unwrap();
    let expect = (r#"{"id":8,"version":1,"branch_id":5}"#.into(), at(9), DeliveryId::from("evt_1#1"));
    assert_eq!((order.record, order.received_at, order.delivery_id), expect);
    let kept = store.delivery(&DeliveryId::from("evt_1#1")).await.unwrap().unwrap();
    assert_eq!((kept.secret.as_deref(), kept.brand_id.map(|id| id.0)), (Some("klikit"), Some(663)));
    let changes = store.changes(1, 10).await.unwrap().changes;
    assert_eq!(changes.iter().map(|change| change.order_id.0).collect::<Vec<_>>(), [8, 9]);
    assert_eq!(store.counts().await.unwrap(), Counts { orders: 3, received: 5, quarantined: 2 });
    // Each leaves once.
    assert_eq!(store.apply_quarantined(1, at(9)).await.unwrap(), Applied::NoSuchThing);
    let sink = SinkWanted { name: "pos".to_owned(), start: SinkStart::Oldest };
    assert_eq!(store.put_sinks(vec![sink], at(9)).await.unwrap()[0].position, 0);
    store.close().await;
    let store = open();
    assert_eq!(store.quarantine(None, 10).await.unwrap().items.len(), 2, "it is on disk");
}
