//! What a packed inbox looks like to whoever opens its file with a tool of their own, and in a copy.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hookit_contract::DeliveryId;
use hookit_store::Error;
use hookit_store::inbox::{Expiry, Received, Source, Store};
use hookit_store::sqlite::{InboxOptions, InboxStore, backup_inbox, restore_inbox};
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::fixture::at;

const ORDERS: i64 = 100;
const VERSIONS: i64 = 6;
const HOUR: i64 = 3_600_000;

fn body(order_id: i64, version: i64) -> String {
    // Some of a record is like that of all others, some like that of the same order, and some like nothing.
    let dishes: Vec<_> = (0..20)
        .map(|n| format!(r#"{{"title":"{:x}","price":{version}}}"#, order_id * 7_919 * (n + 1)))
        .collect();
    let cart = dishes.join(",");
    let words = r#""is_manual_order":false,"is_merchant_delivery":false,"currency_symbol":"₱","#.repeat(20);
    format!(r#"{{"brand_id":663,"orders":[{{"id":{order_id},"version":{version},{words}"cart":[{cart}]}}]}}"#)
}

/// An inbox in which so many orders came to rest, each by the hour.
async fn fill(dir: &Path) -> InboxStore {
    let store = InboxStore::open(dir, InboxOptions::default()).unwrap();
    for version in 1..=VERSIONS {
        for order_id in 1..=ORDERS {
            let received = Received {
                delivery_id: DeliveryId::from(format!("evt_{order_id}_{version}")),
                event_type: Some("klikit.order.status.updated".to_owned()),
                source: Source::Webhook,
                secret: Some(Arc::from("klikit")),
                headers: vec![("user-agent", "hookit".to_owned())],
                body: Bytes::from(body(order_id, version)),
                received_at: at(version * HOUR),
            };
            store.receive(received).await.unwrap();
        }
    }
    store
}

async fn pack(store: &InboxStore) {
    while store.pack(at(100 * HOUR)).await.unwrap() {}
}

async fn expire(store: &InboxStore, before: i64) {
    let mut place = Some(Expiry::default());
    while let Some(here) = place {
        place = store.expire(at(before), here).await.unwrap();
    }
}

fn open(dir: &Path) -> Connection {
    Connection::open(dir.join("inbox.db")).unwrap()
}

fn number(db: &Connection, sql: &str) -> i64 {
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// All of the deliveries but their bodies.
fn rows(db: &Connection) -> Vec<Vec<Value>> {
    let columns: Vec<String> = db
        .prepare("SELECT name FROM pragma_table_info('deliveries')")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .filter(|name: &String| !["body", "pack_id", "pack_offset", "body_bytes"].contains(&name.as_str()))
        .collect();
    db.prepare(&format!("SELECT {} FROM deliveries ORDER BY delivery_seq", columns.join(", ")))
        .unwrap()
        .query_map([], |row| (0..columns.len()).map(|column| row.get(column)).collect())
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

#[tokio::test]
async fn a_packed_store_is_a_fraction_of_what_it_was_and_its_view_is_text_still() {
    let folder = tempfile::tempdir().unwrap();
    let store = fill(folder.path()).await;
    let db = open(folder.path());
    let used = |db: &Connection| {
        number(db, "SELECT page_count - freelist_count FROM pragma_page_count, pragma_freelist_count")
    };
    let (before, pages) = (rows(&db), used(&db));
    pack(&store).await;
    assert_eq!(rows(&db), before, "a column that is lost with packing");
    // One of six stays as it came.
    assert!(used(&db) < pages * 2 / 5, "{} of {pages} pages", used(&db));
    let packed = number(&db, "SELECT count(*) FROM deliveries WHERE pack_id IS NOT NULL AND body = x''");
    assert_eq!(packed, ORDERS * (VERSIONS - 1));
    assert_eq!(number(&db, "SELECT sum(bodies) FROM packs"), packed);
    let records: Vec<(i64, String)> = db
        .prepare("SELECT order_id, record FROM order_records ORDER BY order_id")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(records.len() as i64, ORDERS);
    for (order_id, record) in records {
        assert!(body(order_id, VERSIONS).contains(&record));
    }
    assert_eq!(number(&db, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    store.close().await;
}

#[tokio::test]
async fn a_pack_goes_with_the_last_delivery_that_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = fill(folder.path()).await;
    pack(&store).await;
    let db = open(folder.path());
    expire(&store, (VERSIONS - 1) * HOUR).await;
    assert_eq!(number(&db, "SELECT count(*) FROM packs"), ORDERS);
    assert_eq!(number(&db, "SELECT sum(bodies) FROM packs"), ORDERS, "the others have gone");
    expire(&store, 100 * HOUR).await;
    assert_eq!(number(&db, "SELECT count(*) FROM packs"), 0);
    assert_eq!(number(&db, "SELECT count(*) FROM deliveries"), ORDERS);
}

#[tokio::test]
async fn what_is_in_quarantine_or_long_apart_does_not_keep_others_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let store = InboxStore::open(folder.path(), InboxOptions::default()).unwrap();
    for (version, hour) in [(1, 0), (2, 1), (3, 2), (4, 20), (5, 24), (6, 25), (7, 47), (8, 48)] {
        let body = body(7, version);
        let body = if version == 2 { body.replace("]}]}", "]},null]}") } else { body };
        let received = Received {
            delivery_id: DeliveryId::from(format!("evt_{version}")),
            event_type: None,
            source: Source::Webhook,
            secret: None,
            headers: Vec::new(),
            body: Bytes::from(body),
            received_at: at(hour * HOUR),
        };
        store.receive(received).await.unwrap();
    }
    assert_eq!(store.counts().await.unwrap().quarantined, 1);
    pack(&store).await;
    let together: Vec<String> = open(folder.path())
        .prepare("SELECT group_concat(delivery_id ORDER BY delivery_seq) FROM deliveries WHERE pack_id IS NOT NULL GROUP BY pack_id")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(together, ["evt_1,evt_3,evt_4,evt_5", "evt_6,evt_7"], "a day from the first to the last");
}

#[tokio::test]
async fn a_copy_of_a_packed_store_reads_as_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let store = fill(&path("data")).await;
    pack(&store).await;
    backup_inbox(&path("data"), &path("copy"), |_, _| {}).unwrap();
    restore_inbox(&path("copy"), &path("again"), |_, _| {}).unwrap();
    let restored = InboxStore::open(&path("again"), InboxOptions::default()).unwrap();
    for order_id in 1..=ORDERS {
        for version in 1..=VERSIONS {
            let id = DeliveryId::from(format!("evt_{order_id}_{version}"));
            let kept = restored.delivery(&id).await.unwrap().unwrap();
            assert_eq!(kept.body, body(order_id, version));
        }
    }
}

#[tokio::test]
async fn a_pack_that_was_damaged_on_disk_is_told_and_never_taken_for_the_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let store = fill(folder.path()).await;
    pack(&store).await;
    let damage = "UPDATE packs SET bytes = CAST(substr(bytes, 1, 50) || x'00' || substr(bytes, 52) AS BLOB)";
    open(folder.path()).execute(damage, []).unwrap();
    let error = store.delivery(&DeliveryId::from("evt_1_1")).await.unwrap_err();
    assert!(matches!(error, Error::Database { .. }), "{error:?}");
    assert!(store.changes(0, 10).await.is_err());
    // The view does not need it.
    assert_eq!(store.order(hookit_contract::OrderId(1)).await.unwrap().unwrap().version, Some(VERSIONS));
}
