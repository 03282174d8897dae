//! What came long ago is removed while the inbox runs, and what came some time ago is packed, and the view stays as it is.

use std::time::Duration;

use hookit_contract::{DeliveryId, header};
use hookit_inbox::InboxConfig;
use hookit_store::sqlite::examine;

use crate::harness::{Running, SECRET, config, envelope, open, patiently, sign};

#[tokio::test]
async fn what_came_long_ago_is_gone_and_the_view_and_the_stream_say_so() {
    let inbox = Running::start().await;
    for version in 1..=3 {
        let record = format!(r#"{{"id":7,"status":{version},"version":{version}}}"#);
        let answer = inbox.deliver(&format!("evt_{version}"), &envelope(&[&record])).await;
        assert_eq!(answer.status, 200);
    }
    let newest = inbox.record(7).await;
    let dir = inbox.stop().await;

    let settings = InboxConfig { retention: Duration::from_secs(60), ..config() };
    let inbox = Running::on_later(open(dir.path()), settings, Duration::from_secs(61)).await;
    let seen = async |id: &str| inbox.store.delivery(&DeliveryId::from(id)).await.unwrap().is_some();
    patiently(async {
        while seen("evt_1").await || seen("evt_2").await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(seen("evt_3").await, "the newest state is in it");
    assert_eq!(inbox.record(7).await, newest);
    assert_eq!(inbox.history(7).await.len(), 1);
    // A reader that had seen the first change has missed something, and is told.
    let mut told = crate::stream::Reader::open(&inbox, "/orders/stream", &[("last-event-id", "1")]).await;
    let (event, id, ..) = told.next().await;
    assert_eq!((event.as_str(), id), ("removed", 3));
}

#[tokio::test]
async fn what_has_come_to_rest_is_packed_and_shown_byte_for_byte_and_only_where_it_is_wanted() {
    const VERSIONS: i64 = 40;
    let body = |version: i64| {
        let dishes = r#"{"title":"Bún chả 🍜","price":0.10},"#.repeat(100);
        let record = format!(r#"{{"id":7, "status":1,"version":{version},"cart":[{dishes}0]}}"#);
        format!(" {}\n", envelope(&[&record]))
    };
    let inbox = Running::start().await;
    for version in 1..=VERSIONS {
        assert_eq!(inbox.deliver(&format!("evt_{version}"), &body(version)).await.status, 200);
    }
    inbox.deliver("evt_raw", "\u{0} not JSON").await;
    let (view, history) = (inbox.record(7).await, inbox.history(7).await);
    let dir = inbox.stop().await;
    let free = || examine(dir.path()).unwrap()[0].free_bytes;
    let later = Duration::from_secs(3_600);

    let never = InboxConfig { pack_after: None, ..config() };
    let inbox = Running::on_later(open(dir.path()), never, later).await;
    assert_eq!(inbox.deliver("evt_1", &body(1)).await.text(), r#"{"status":"duplicate-ignored"}"#);
    inbox.stop_here().await;
    assert_eq!(free(), 0);

    let soon = InboxConfig { pack_after: Some(Duration::from_secs(3_500)), ..config() };
    let inbox = Running::on_later(open(dir.path()), soon, later).await;
    patiently(async {
        while free() < 30 * 4_000 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    for version in 1..=VERSIONS {
        let shown = inbox.get(&format!("/deliveries/evt_{version}")).await.json()["data"].clone();
        assert_eq!(shown["text"], body(version));
        assert_eq!(shown["body_bytes"], body(version).len());
        assert_eq!(shown["headers"][header::SIGNATURE], sign(SECRET, body(version).as_bytes()));
        assert_eq!(
            (&shown["source"], &shown["secret"], &shown["brand_id"]),
            (&"webhook".into(), &"main".into(), &663.into())
        );
    }
    assert_eq!((inbox.record(7).await, inbox.history(7).await), (view, history));
    assert_eq!(inbox.get("/deliveries/evt_nobody").await.status, 404);
    assert_eq!(inbox.deliver("evt_2", &body(2)).await.text(), r#"{"status":"duplicate-ignored"}"#);
    // Whoever follows the line from its beginning has them as they came.
    let changes = inbox.store.changes(0, 100).await.unwrap().changes;
    assert_eq!(changes.len() as i64, VERSIONS);
    for (version, change) in (1..).zip(changes) {
        assert!(body(version).contains(std::str::from_utf8(&change.record).unwrap()));
    }
}
