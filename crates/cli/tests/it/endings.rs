//! Deliveries that end without being sent, through the real binary: with a registration that is removed, whatever kills the
//! platform meanwhile, and passed over after an outage.

use hookit_contract::EventType;
use hookit_sim::endpoints::ScriptedEndpoint;
use hookit_sim::traffic::World;
use http::Method;
use serde_json::{Value, json};

use crate::harness::halves::{PATIENT, Partner, Platform};
use crate::harness::{PATIENCE, Scratch, until};

/// A record with nothing but what it has to have.
fn order() -> Value {
    let world = World::new(0);
    let (brand, branch) = (world.brands()[0].id, world.branches()[0].id);
    json!({"business_id": World::BUSINESS, "branch_id": branch, "brands": [{"id": brand}], "cart": []})
}

/// Registers a URL for an event type, served like this; its id.
async fn register(
    platform: &Platform,
    partner: &Partner,
    event_type: EventType,
    url: &str,
    how: (&str, Value),
) -> i64 {
    let mut body = json!({"partner_id": partner.partner_id, "event_type": event_type, "url": url});
    body[how.0] = how.1;
    let answer = platform.operator.call(Method::PUT, "/v1/operator/webhooks", body.to_string()).await;
    answer["webhook_id"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_removed_registration_is_cancelled_by_name_however_often_the_platform_is_killed() {
    const ORDERS: usize = 4_000;
    let scratch = Scratch::new();
    let mut platform = Platform::start(&scratch, PATIENT).await;
    let partner = platform.partner("Leaving").await;
    let mut endpoint = ScriptedEndpoint::start().await.unwrap();
    let each_alone = ("orders_per_delivery_max", json!(1));
    let created =
        register(&platform, &partner, EventType::OrderCreated, &endpoint.url(), each_alone.clone()).await;
    register(&platform, &partner, EventType::OrderStatusUpdated, &endpoint.url(), each_alone).await;
    endpoint.stop().await.unwrap();
    let lines = format!("{}\n", order()).repeat(ORDERS);
    let answer = platform.operator.send(Method::POST, "/v1/operator/orders/bulk", &[], lines).await.unwrap();
    let last = answer.text().lines().last().unwrap().to_owned();
    let last: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(platform.count("pending").await, ORDERS as u64, "{last}");
    let orders = platform.operator.get("/v1/operator/orders?limit=1").await;
    let kept = orders["orders"][0]["id"].as_i64().unwrap();
    let path = format!("/v1/operator/orders/{kept}/status");
    platform.operator.call(Method::PATCH, &path, r#"{"status": "ACCEPTED"}"#).await;

    platform.operator.call(Method::DELETE, &format!("/v1/operator/webhooks/{created}?by=Mai"), "").await;
    let mut before = 0;
    for _ in 0..3 {
        platform.server.kill().await;
        platform.server.start(&scratch).await;
        // Killed again as soon as some more of it is done.
        until("a step of the removal", async || {
            let now = platform.count("cancelled").await;
            (now > before || now == ORDERS as u64).then(|| before = now)
        })
        .await;
    }
    endpoint.restart().await.unwrap();
    let status = until("the end of the removal", async || {
        let status = platform.status().await;
        (status["pending"] == 0).then_some(status)
    })
    .await;
    let figures = (&status["cancelled"], &status["delivered"], &status["dead"]);
    assert_eq!(figures, (&json!(ORDERS), &json!(1), &json!(0)), "{status}");
    let cancelled = platform.deliveries("cancelled").await;
    assert_eq!(cancelled.len(), ORDERS);
    for delivery in &cancelled {
        let why = (&delivery["ended_by"], &delivery["ended_reason"]);
        assert_eq!(why, (&json!("Mai"), &json!("webhook_removed")), "{delivery}");
    }
    // The other registration of this URL goes on, and nothing else has come there.
    let requests = endpoint.requests();
    assert!(
        requests.iter().all(|r| r.event_type() == EventType::OrderStatusUpdated.as_str()),
        "{requests:?}"
    );
    assert!(!requests.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_outage_only_the_newest_of_ten_states_is_sent_and_the_log_says_so_of_the_others() {
    const STATES: i64 = 10;
    let scratch = Scratch::new();
    let mut platform = Platform::start(&scratch, PATIENT).await;
    let partner = platform.partner("Newest only").await;
    let mut endpoint = ScriptedEndpoint::start().await.unwrap();
    let coalesce = ("coalesce", json!(true));
    register(&platform, &partner, EventType::OrderCartUpdated, &endpoint.url(), coalesce).await;
    endpoint.stop().await.unwrap();
    let mut orders = Vec::new();
    for _ in 0..3 {
        let made = platform.operator.call(Method::POST, "/v1/operator/orders", order().to_string()).await;
        orders.push(made["id"].as_i64().unwrap());
    }
    for state in 1..=STATES {
        for order in &orders {
            let cart = json!({"cart": [{"item_id": "7", "quantity": state}]}).to_string();
            platform.operator.call(Method::PUT, &format!("/v1/operator/orders/{order}/cart"), cart).await;
        }
    }
    // Some is passed over already where a probe had its turn. What waits is on disk only.
    assert_eq!(platform.count("delivered").await, 0);
    platform.server.kill().await;
    platform.server.start(&scratch).await;
    endpoint.restart().await.unwrap();
    endpoint.wait_for(3, PATIENCE).await.unwrap();
    platform.drained().await;

    let mut told: Vec<(i64, i64)> = Vec::new();
    for request in endpoint.requests() {
        let envelope: Value = serde_json::from_slice(&request.body).unwrap();
        for order in envelope["orders"].as_array().unwrap() {
            told.push((order["id"].as_i64().unwrap(), order["cart"][0]["quantity"].as_i64().unwrap()));
        }
    }
    told.sort_unstable();
    assert_eq!(told, orders.iter().map(|order| (*order, STATES)).collect::<Vec<_>>());
    let status = platform.status().await;
    assert_eq!((&status["superseded"], &status["delivered"]), (&json!(27), &json!(3)), "{status}");
    let passed_over = platform.deliveries("superseded").await;
    for order in &orders {
        let of_order =
            passed_over.iter().filter(|delivery| delivery["orders"][0]["order_id"] == json!(order));
        let mut versions: Vec<i64> =
            of_order.map(|delivery| delivery["orders"][0]["version"].as_i64().unwrap()).collect();
        versions.sort_unstable();
        assert_eq!(versions, (2..=STATES).collect::<Vec<_>>(), "order {order}");
    }
}
