//! What came long ago is removed while the inbox runs, and the view stays as it is.

use std::time::Duration;

use hookit_contract::DeliveryId;
use hookit_inbox::InboxConfig;

use crate::harness::{Running, config, envelope, open, patiently};

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
