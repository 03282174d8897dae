//! An inbox's store of an older version, opened by this one.

use hookit_contract::{BranchId, BrandId, DeliveryId, OrderId};
use hookit_store::inbox::{HealReason, Received, SinkPosition, SinkStart, SinkWanted, Source, Store};
use hookit_store::sqlite::{InboxOptions, InboxStore};
use rusqlite::{Connection, params};

use crate::fixture::at;

const FIRST: &str = include_str!("../../src/sqlite/inbox/schema_1.sql");

/// A file as the first version made it, with an order that came three times, and one in each later delivery.
fn make_first(db: &Connection, deliveries: &[(&str, &str)]) {
    db.execute_batch(FIRST).unwrap();
    db.pragma_update(None, "application_id", 0x686b_494e).unwrap();
    db.pragma_update(None, "user_version", 1).unwrap();
    for (seq, (id, body)) in (1i64..).zip(deliveries) {
        db.execute(
            "INSERT INTO deliveries VALUES (?1, ?2, 'klikit.order.created.v2', ?3, ?4)",
            params![seq, id, body.as_bytes(), at(seq).as_millis()],
        )
        .unwrap();
    }
    let place = |seq: usize, record: &str| {
        let offset = deliveries[seq - 1].1.find(record).unwrap();
        (seq as i64, offset as i64, record.len() as i64)
    };
    for (order_id, status, (seq, offset, bytes)) in
        [(7, 2, place(2, SECOND)), (8, 1, place(2, NEIGHBOUR)), (9, 1, place(3, DEEP))]
    {
        db.execute(
            "INSERT INTO orders VALUES (?1, ?2, 2, NULL, ?3, ?4, ?5, ?6)",
            params![order_id, status, seq, offset, bytes, at(seq).as_millis()],
        )
        .unwrap();
    }
    db.execute_batch(
        "INSERT INTO order_history VALUES (7, 1, 0, 1, 1, NULL, 1), (7, 2, 0, 2, 2, NULL, 1), (8, 2, 1, 1, 2, NULL, 1),
             (7, 3, 0, 1, 1, NULL, 0), (9, 3, 1, 1, 2, NULL, 1);
         INSERT INTO quarantine VALUES (1, 3, 2, 'This order record cannot be read.', CAST('null' AS BLOB));
         UPDATE totals SET orders = 3, received = 3, quarantined = 1;",
    )
    .unwrap();
}

const SECOND: &str = r#"{"id":7,"status":2,"version":2,"branch_id":5,"external_id":"GF-1","short_id":42,"identity":"",
    "created_at":"2026-03-01T10:00:00.5+07:00","brands":[{"id":1},{"id":2}]}"#;
const NEIGHBOUR: &str =
    r#"{"id":8,"status":1,"version":2,"created_at":1772361000,"external_id":{},"brands":"x"}"#;
const DEEP: &str = r#"{"id":9,"status":1,"version":2,"x":"DEEP"}"#;

/// What orders are found by, and the changes, read with a tool of one's own.
fn told(db: &Connection) -> (Vec<String>, Vec<String>) {
    let lines = |sql: &str| -> Vec<String> {
        db.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    (
        lines(
            "SELECT concat_ws('|', order_id, coalesce(branch_id, '-'), coalesce(external_id, '-'), coalesce(short_id, '-'),
                 coalesce(identity, '-'), coalesce(created_at, '-'), coalesce(seen_version, '-'), seen_status,
                 (SELECT group_concat(brand_id) FROM (SELECT brand_id FROM order_brands b
                  WHERE b.order_id = o.order_id ORDER BY brand_id))) FROM orders o ORDER BY order_id",
        ),
        lines("SELECT concat_ws('|', order_id, position, record_bytes) FROM changes ORDER BY change_seq"),
    )
}

#[tokio::test]
async fn what_an_inbox_of_the_first_version_has_is_found_and_followed_as_if_it_came_today() {
    let envelope = |orders: &str| format!(r#"{{"brand_id":663,"branch_id":1062,"orders":[{orders}]}}"#);
    let deep = DEEP.replace("\"DEEP\"", &format!("{}{}", "[".repeat(2_000), "]".repeat(2_000)));
    let first = r#"{"id":7,"status":1,"version":1}"#;
    let deliveries = [
        ("a", envelope(first)),
        ("b", envelope(&format!("{SECOND}, {NEIGHBOUR}"))),
        ("c", envelope(&format!("{first},{DEEP},null"))),
    ];
    let as_text: Vec<(&str, &str)> = deliveries.iter().map(|(id, body)| (*id, body.as_str())).collect();
    let folder = tempfile::tempdir().unwrap();
    make_first(&Connection::open(folder.path().join("inbox.db")).unwrap(), &as_text);
    let store = InboxStore::open(folder.path(), InboxOptions::default()).unwrap();

    let changes = store.changes(0, 10).await.unwrap().changes;
    let of: Vec<_> = changes.iter().map(|c| (c.change_seq, c.order_id.0, &c.record[..])).collect();
    assert_eq!(of, [(1, 7, SECOND.as_bytes()), (2, 8, NEIGHBOUR.as_bytes()), (3, 9, DEEP.as_bytes())]);
    assert_eq!((changes[1].position, changes[1].version), (1, Some(2)));
    assert_eq!((changes[0].brand_id, changes[0].branch_id), (Some(BrandId(663)), Some(BranchId(1062))));
    assert_eq!(*store.changed().borrow(), 3);
    let kept = store.delivery(&DeliveryId::from("c")).await.unwrap().unwrap();
    assert_eq!((kept.source, kept.secret, kept.received_at), (Source::Webhook, None, at(3)));
    assert_eq!(store.order(OrderId(7)).await.unwrap().unwrap().record, SECOND);
    assert_eq!(store.discard_quarantined(1).await.unwrap(), Some(DeliveryId::from("c")));
    assert_eq!(store.counts().await.unwrap().quarantined, 0);
    store.close().await;
    let migrated = told(&Connection::open(folder.path().join("inbox.db")).unwrap());
    let found = migrated.0.clone();
    assert_eq!(found[0], "7|5|GF-1|42|-|1772334000500|2|2|1,2,663");

    // The same, received by this version.
    let fresh = tempfile::tempdir().unwrap();
    let again = InboxStore::open(fresh.path(), InboxOptions::default()).unwrap();
    for (seq, (id, body)) in (1..).zip(&deliveries) {
        let received = Received {
            delivery_id: DeliveryId::from(*id),
            event_type: None,
            source: Source::Webhook,
            secret: None,
            headers: Vec::new(),
            body: body.clone().into(),
            received_at: at(seq),
        };
        again.receive(received).await.unwrap();
    }
    again.close().await;
    let (found_fresh, mut changes_fresh) = told(&Connection::open(fresh.path().join("inbox.db")).unwrap());
    assert_eq!(found, found_fresh);
    // The first version did not keep where the first state stood.
    changes_fresh.remove(0);
    assert_eq!(migrated.1, changes_fresh);

    // What SQLite cannot read is left as it was.
    let folder = tempfile::tempdir().unwrap();
    {
        let db = Connection::open(folder.path().join("inbox.db")).unwrap();
        make_first(&db, &as_text);
        let body = envelope(&format!("{first},{deep},null"));
        db.execute("UPDATE deliveries SET body = ?1 WHERE delivery_seq = 3", [body.as_bytes()]).unwrap();
        db.execute("UPDATE orders SET record_bytes = ?1 WHERE order_id = 9", [deep.len() as i64]).unwrap();
    }
    let store = InboxStore::open(folder.path(), InboxOptions::default()).unwrap();
    assert_eq!(store.order(OrderId(9)).await.unwrap().unwrap().record, deep);
    assert_eq!(store.changes(2, 10).await.unwrap().changes[0].record, deep);
}

/// The steps up to version 5.
const FIFTH: [&str; 5] = [
    FIRST,
    include_str!("../../src/sqlite/inbox/schema_2.sql"),
    include_str!("../../src/sqlite/inbox/schema_3.sql"),
    include_str!("../../src/sqlite/inbox/schema_4.sql"),
    include_str!("../../src/sqlite/inbox/schema_5.sql"),
];

#[tokio::test]
async fn an_inbox_of_the_fifth_version_keeps_its_quarantine_its_healed_orders_and_how_far_its_sinks_are() {
    let folder = tempfile::tempdir().unwrap();
    {
        let db = Connection::open(folder.path().join("inbox.db")).unwrap();
        db.execute_batch(&FIFTH.concat()).unwrap();
        db.pragma_update(None, "application_id", 0x686b_494e).unwrap();
        db.pragma_update(None, "user_version", 5).unwrap();
        db.execute_batch(
            "INSERT INTO deliveries (delivery_seq, delivery_id, body, received_at) VALUES (1, 'a', x'5b', 0);
             INSERT INTO quarantine VALUES (3, 1, NULL, 'It is no envelope.', x'5b'), (5, 1, 2, 'It is null.', x'00');
             UPDATE totals SET received = 1, quarantined = 2;
             INSERT INTO reconcile_runs VALUES (1, 'start', 0, 1, 'done', 2, 3, 4, 5, 6, NULL);
             INSERT INTO reconcile_healed VALUES (7, 1, 9, 'older_held', 1, 2, 'r', 1), (8, 1, 10, 'never_came', NULL, 1, 's', 1);
             INSERT INTO sinks VALUES ('pos', 10, 0, NULL), ('gone', 3, 0, 5), ('new', 0, 0, NULL);
             INSERT INTO sink_changes VALUES ('pos', 4, 'given_up', 'It said 400.', 1), ('pos', 12, 'ended', NULL, NULL),
                 ('pos', 13, 'given_up', 'It said 400.', 2), ('pos', 14, 'ended', NULL, NULL),
                 ('pos', 16, 'again', 'It said 400.', 3), ('pos', 18, 'ended', NULL, NULL),
                 ('gone', 12, 'ended', NULL, NULL), ('gone', 13, 'ended', NULL, NULL);",
        )
        .unwrap();
    }
    let store = InboxStore::open(folder.path(), InboxOptions::default()).unwrap();
    let sinks = store.sinks().await.unwrap();
    let told = |sink: &SinkPosition| (sink.position, sink.ended.iter().collect::<Vec<_>>(), sink.given_up);
    assert_eq!(told(&sinks[0]), (0, vec![], 0));
    assert_eq!(told(&sinks[1]), (10, vec![12..=14, 16..=16, 18..=18], 3));
    let gone = SinkWanted { name: "gone".to_owned(), start: SinkStart::Next };
    assert_eq!(told(&store.put_sinks(vec![gone], at(0)).await.unwrap()[0]), (3, vec![12..=13], 0));

    let run = store.reconcile_runs(1).await.unwrap().remove(0);
    assert_eq!((run.counts.not_seen, run.counts.older_held, run.counts.quarantined), (4, 5, 6));
    assert_eq!((run.counts.was_refused, run.counts.requests, run.counts.compared), (0, 2, 3));
    let healed = store.healed(10).await.unwrap();
    let why: Vec<_> = healed.iter().map(|one| (one.order_id.0, one.reason)).collect();
    assert_eq!(why, [(10, HealReason::NotSeen), (9, HealReason::OlderHeld)]);

    assert_eq!(store.quarantine(None, 10).await.unwrap().items[1].position, Some(2));
    assert_eq!(store.discard_quarantined(5).await.unwrap(), Some(DeliveryId::from("a")));
    let received = Received {
        delivery_id: DeliveryId::from("b"),
        event_type: None,
        source: Source::Webhook,
        secret: None,
        headers: Vec::new(),
        body: "[".into(),
        received_at: at(1),
    };
    store.receive(received).await.unwrap();
    let numbers: Vec<_> =
        store.quarantine(None, 10).await.unwrap().items.iter().map(|one| one.quarantine_id).collect();
    assert_eq!(numbers, [3, 6], "a number that was given is not given again");
}
