//! A full queue refuses the change before it is made: 503, and nothing of it is there.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{BUSINESS, Running, Setup, operator, order};
use crate::http::{exchange, head};

#[tokio::test]
async fn what_a_full_queue_refuses_is_503_with_retry_after_and_leaves_nothing_behind() {
    let mut setup = Setup::default();
    setup.options.queue_max = 2;
    // While the tick waits for company, the queue fills.
    setup.options.tick_min = Duration::from_millis(300);
    let platform = Running::with(setup).await;
    let mut senders = JoinSet::new();
    for id in 1..=40_i64 {
        let mut record = order(BUSINESS, 1062, &[663]);
        record["id"] = json!(id);
        let body = record.to_string();
        let authorization = operator();
        let mut request =
            head("POST", "/v1/operator/orders", &[("authorization", &authorization)], Some(body.len()));
        request.extend_from_slice(body.as_bytes());
        let address = platform.address;
        senders.spawn(async move { (id, exchange(address, request).await) });
    }
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    while let Some(sent) = senders.join_next().await {
        let (id, answer) = sent.unwrap();
        if answer.status == 201 {
            taken.push(id);
            continue;
        }
        let message = "too many changes are waiting to be written; try again in a second";
        answer.is_refused(503, "unavailable", message);
        assert_eq!(answer.header("retry-after"), Some("1"));
        refused.push(id);
    }
    assert!(!taken.is_empty() && !refused.is_empty(), "taken {taken:?}, refused {refused:?}");
    let status = platform.status().await;
    assert_eq!((&status["orders"], &status["events"]), (&json!(taken.len()), &json!(taken.len())));
    for id in taken {
        platform.get(&format!("/v1/operator/orders/{id}")).await;
    }
    for id in &refused {
        platform.call("GET", &format!("/v1/operator/orders/{id}"), "").await.expect(404);
    }
    // The refusal was for the moment: the same order is taken now.
    let mut record = order(BUSINESS, 1062, &[663]);
    record["id"] = json!(refused[0]);
    platform.create(&record).await;
}
