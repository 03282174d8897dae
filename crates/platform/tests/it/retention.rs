//! What ended long ago is removed while the platform runs.

use std::time::Duration;

use hookit_sim::endpoints::ScriptedEndpoint;

use crate::harness::{Running, Setup, received};

#[tokio::test]
async fn a_delivery_that_ended_long_ago_is_gone_and_its_order_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::on(dir.path(), Setup::default()).await;
    platform.listener(&endpoint).await;
    let order = platform.order().await;
    platform.order().await;
    platform.until("delivered", 2).await;
    let id = received(&endpoint, 2).await[0].event_id().to_owned();
    let record = platform.record(order).await;
    platform.stop().await;

    // The last delivery of all is kept: numbers go on behind it.
    let setup = Setup { retention: Duration::from_millis(1), ..Setup::default() };
    let platform = Running::on(dir.path(), setup).await;
    platform.until("delivered", 1).await;
    let answer = platform.call("POST", &format!("/v1/operator/deliveries/{id}/replay"), "").await;
    assert_eq!(answer.status, 404, "{}", answer.json());
    assert_eq!(platform.call("GET", &format!("/v1/operator/deliveries/{id}"), "").await.status, 404);
    assert_eq!(platform.deliveries("").await.len(), 1);
    assert_eq!(platform.record(order).await, record);
}
