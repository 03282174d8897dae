//! The log of deliveries: what is found by which question, a page at a time.

use hookit_contract::EventType;
use hookit_sim::endpoints::ScriptedEndpoint;
use serde_json::Value;

use crate::harness::{BUSINESS, Running};

/// The place of each delivery in the order of commits.
fn seqs(deliveries: &[Value]) -> Vec<i64> {
    deliveries.iter().map(|delivery| delivery["seq"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn deliveries_are_found_by_state_endpoint_order_type_and_time() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    platform.listener(&endpoint).await;
    let erp = platform.partner("ERP", BUSINESS).await;
    let created = EventType::OrderCreated;
    let registered = platform.register(&erp, None, None, created, &endpoint.url_of("/erp")).await.expect(201);
    let erp = registered.data()["endpoint_id"].as_i64().unwrap();
    let first = platform.order().await;
    let second = platform.order().await;
    platform.until("pending", 0).await;
    // What follows is committed in a later millisecond than what came before.
    platform.clock.push(std::time::Duration::from_secs(1));
    platform.move_to(first, "ACCEPTED").await.expect(200);
    platform.until("delivered", 5).await;

    let all = platform.deliveries("").await;
    assert!(all.len() == 5 && seqs(&all).is_sorted_by(|a, b| a > b), "newest first: {all:?}");
    let moved = all[0]["created_at"].as_str().unwrap();
    for (query, expect) in [
        ("?state=delivered".to_owned(), 5),
        ("?state=pending".to_owned(), 0),
        (format!("?endpoint_id={erp}"), 2),
        (format!("?endpoint_id={}", erp + 100), 0),
        (format!("?order_id={first}"), 3),
        (format!("?order_id={second}"), 2),
        ("?order_id=404".to_owned(), 0),
        (format!("?event_type={}", EventType::OrderStatusUpdated), 1),
        (format!("?event_type={}", EventType::OrderCartUpdated), 0),
        (format!("?since={moved}"), 1),
        (format!("?until={moved}"), 4),
        (format!("?since={moved}&until={moved}"), 0),
        (format!("?order_id={first}&endpoint_id={erp}&state=delivered&event_type={created}"), 1),
    ] {
        assert_eq!(platform.deliveries(&query).await.len(), expect, "{query}");
    }
    let (mut paged, mut before) = (Vec::new(), String::new());
    loop {
        let page = platform.get(&format!("/v1/operator/deliveries?limit=2{before}")).await.data();
        paged.extend(seqs(page["deliveries"].as_array().unwrap()));
        match page["next_before"].as_i64() {
            Some(seq) => before = format!("&before={seq}"),
            None => break,
        }
    }
    assert_eq!(paged, seqs(&all));
}
