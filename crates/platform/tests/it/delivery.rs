//! What a partner is sent: its headers, its signature, its bytes, and how many orders at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hookit_contract::{EventType, Timestamp};
use hookit_sim::audit::Auditor;
use hookit_sim::endpoints::{Received, ScriptedEndpoint};
use hookit_sim::traffic::{World, generator};
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{BUSINESS, Running, Setup, basic, envelope, ids, operator, order, received};
use crate::http::{PATIENCE, exchange, head};

#[tokio::test]
async fn a_webhook_has_the_contracts_headers_a_good_signature_and_the_stored_bytes() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    let partner = platform.listener(&endpoint).await;
    let order = platform.order().await;
    let path = format!("/v1/operator/orders/{order}/cart");
    let mut records = vec![platform.record(order).await];
    platform.move_to(order, "ACCEPTED").await.expect(200);
    records.push(platform.record(order).await);
    platform.call("PUT", &path, r#"{"cart":[{"title":"ข้าวผัด"}]}"#).await.expect(200);
    records.push(platform.record(order).await);

    let webhooks = received(&endpoint, 3).await;
    for ((webhook, record), event_type) in webhooks.iter().zip(&records).zip([
        EventType::OrderCreated,
        EventType::OrderStatusUpdated,
        EventType::OrderCartUpdated,
    ]) {
        assert_eq!((webhook.method.as_str(), webhook.target.as_str()), ("POST", "/webhooks/klikit"));
        assert_eq!(webhook.header("content-type"), Some("application/json"));
        assert_eq!(webhook.event_type(), event_type.as_str());
        let body = format!(r#"{{"brand_id":663,"branch_id":1062,"orders":[{record}]}}"#);
        assert_eq!(std::str::from_utf8(&webhook.body).unwrap(), body);
        assert_eq!(webhook.signature().len(), 64);
        partner.verify(webhook);
        assert_eq!(webhook.header("authorization"), None);
        let delivery = platform.delivery_after_attempts(webhook.event_id(), 1).await;
        assert_eq!((&delivery["state"], &delivery["event_type"]), (&json!("delivered"), &json!(event_type)));
    }
    let ids: BTreeSet<_> = webhooks.iter().map(Received::event_id).collect();
    assert_eq!(ids.len(), 3, "each delivery has an id of its own");
}

#[tokio::test]
async fn basic_authorization_is_sent_along_where_it_is_registered_and_shown_to_nobody() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    let partner = platform.partner("ERP", BUSINESS).await;
    let mut body = json!({
        "partner_id": partner.id, "event_type": EventType::OrderCreated, "url": endpoint.url(),
        "basic_auth": {"user": "erp", "password": "pässword: with a colon"},
    });
    let shown = platform.call("PUT", "/v1/operator/webhooks", body.to_string()).await.expect(201);
    assert_eq!(shown.data()["basic_auth"], true);
    platform.order().await;
    let webhook = received(&endpoint, 1).await.remove(0);
    assert_eq!(webhook.header("authorization"), Some(basic("erp", "pässword: with a colon").as_str()));
    partner.verify(&webhook);
    let listed = platform.get("/v1/operator/webhooks").await;
    assert!(!format!("{}{}", shown.text(), listed.text()).contains("ssword"), "{}", listed.text());
    // Registered again without, it is sent without.
    body.as_object_mut().unwrap().remove("basic_auth");
    platform.call("PUT", "/v1/operator/webhooks", body.to_string()).await.expect(200);
    platform.order().await;
    assert_eq!(received(&endpoint, 2).await[1].header("authorization"), None);
}

#[tokio::test]
async fn two_partners_both_get_an_event_each_with_its_own_id_and_signature() {
    let (pos, erp) = (ScriptedEndpoint::start().await.unwrap(), ScriptedEndpoint::start().await.unwrap());
    let platform = Running::start().await;
    let (to_pos, to_erp) = (platform.listener(&pos).await, platform.partner("ERP", BUSINESS).await);
    platform.register_all(&to_erp, &erp.url()).await;
    // A partner of another business hears nothing.
    let stranger = platform.partner("Stranger", 8).await;
    let silent = ScriptedEndpoint::start().await.unwrap();
    platform.register_all(&stranger, &silent.url()).await;
    platform.order().await;
    let (at_pos, at_erp) = (received(&pos, 1).await.remove(0), received(&erp, 1).await.remove(0));
    to_pos.verify(&at_pos);
    to_erp.verify(&at_erp);
    assert_eq!(at_pos.body, at_erp.body);
    assert_ne!(at_pos.event_id(), at_erp.event_id());
    platform.until("delivered", 2).await;
    assert_eq!((platform.status().await["events"].as_u64(), silent.counts().requests), (Some(1), 0));
}

#[tokio::test]
async fn an_order_of_several_brands_goes_out_once_for_each() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    for brand in [1, 2, 3] {
        let event_type = EventType::OrderCreated;
        platform.register(&partner, Some(brand), None, event_type, &endpoint.url()).await.expect(201);
    }
    // Brand 4 has no registration; brand 2 is named twice.
    let id = platform.create(&order(BUSINESS, 5, &[1, 2, 2, 4])).await["id"].as_i64().unwrap();
    platform.until("delivered", 2).await;
    let mut brands = Vec::new();
    for webhook in received(&endpoint, 2).await {
        let envelope = envelope(&webhook);
        brands.push(envelope["brand_id"].as_i64().unwrap());
        assert_eq!((&envelope["branch_id"], ids(&webhook)), (&json!(5), vec![id]));
    }
    assert_eq!(brands, [1, 2]);
    assert_eq!(platform.status().await["pending"], 0);
}

#[tokio::test]
async fn an_event_that_nobody_registered_for_is_kept_and_delivered_to_nobody() {
    let platform = Running::start().await;
    let order = platform.order().await;
    platform.move_to(order, "READY").await.expect(200);
    let status = platform.status().await;
    let figures =
        ["orders", "events", "pending", "delivered", "dead", "attempts"].map(|name| status[name].clone());
    assert_eq!(figures, [1, 2, 0, 0, 0, 0].map(|figure| json!(figure)));
    assert!(platform.deliveries("").await.is_empty());
    // Who registers later hears of what happens later.
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    platform.listener(&endpoint).await;
    platform.move_to(order, "DELIVERED").await.expect(200);
    let webhook = received(&endpoint, 1).await.remove(0);
    assert_eq!(envelope(&webhook)["orders"][0]["version"], 3);
}

#[tokio::test]
async fn orders_of_one_tick_share_deliveries_up_to_the_limit_and_each_is_in_one() {
    let mut setup = Setup::default();
    setup.options.tick_min = Duration::from_millis(300);
    setup.options.orders_per_delivery_max = 3;
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::with(setup).await;
    let partner = platform.listener(&endpoint).await;
    let mut senders = JoinSet::new();
    for i in 0..12 {
        // Two branches, which share no delivery.
        let body = order(BUSINESS, 1 + i % 2, &[663]).to_string();
        let authorization = operator();
        let mut request =
            head("POST", "/v1/operator/orders", &[("authorization", &authorization)], Some(body.len()));
        request.extend_from_slice(body.as_bytes());
        let address = platform.address;
        senders.spawn(async move { exchange(address, request).await.expect(201).data() });
    }
    let mut created = BTreeMap::new();
    while let Some(record) = senders.join_next().await {
        let record = record.unwrap();
        created.insert(record["id"].as_i64().unwrap(), record["branch_id"].clone());
    }
    let all = |webhooks: &[Received]| webhooks.iter().map(|webhook| ids(webhook).len()).sum::<usize>() >= 12;
    endpoint.wait_until(all, PATIENCE).await.unwrap();
    let webhooks = endpoint.requests();
    let mut seen = Vec::new();
    for webhook in &webhooks {
        partner.verify(webhook);
        let (orders, branch) = (ids(webhook), envelope(webhook)["branch_id"].clone());
        assert!(orders.len() <= 3, "{orders:?}");
        assert!(orders.iter().all(|id| created[id] == branch), "a delivery is of one branch");
        seen.extend(orders);
    }
    seen.sort_unstable();
    assert_eq!(seen, created.keys().copied().collect::<Vec<_>>(), "each order is in one delivery");
    let largest = webhooks.iter().map(|webhook| ids(webhook).len()).max();
    assert_eq!(largest, Some(3), "a tick of several orders makes deliveries of several orders");
}

#[tokio::test]
async fn realistic_lives_of_orders_arrive_whole_and_in_order() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    let business = World::BUSINESS.0;
    let partner = platform.partner("Kitchen display", business).await;
    platform.register_all(&partner, &endpoint.url()).await;
    let mut world = World::new(5);
    let mut rng = generator(5);
    let mut last_versions = BTreeMap::new();
    for _ in 0..20 {
        let new = world.order(&mut rng, Timestamp::from_millis(1_772_361_000_000));
        let created = platform.call("POST", "/v1/operator/orders", &new.record).await.expect(201);
        assert!(
            created
                .data_text()
                .starts_with(std::str::from_utf8(&new.record).unwrap().strip_suffix('}').unwrap())
        );
        let id = created.data()["id"].as_i64().unwrap();
        for status in ["ACCEPTED", "PREPARING", "CANCELLED"] {
            platform.move_to(id, status).await.expect(200);
        }
        last_versions.insert(id, 4);
    }
    let versions: u64 = platform.status().await["events"].as_u64().unwrap();
    assert_eq!(versions, 80);
    platform.until("pending", 0).await;
    let webhooks = endpoint.requests();
    let mut auditor = Auditor::of(webhooks.iter().map(|webhook| (webhook.event_id(), webhook.body.as_ref())));
    auditor.expect_versions(last_versions);
    auditor.assert_clean();
    assert_eq!(platform.status().await["dead"], 0);
}
