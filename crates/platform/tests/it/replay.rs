//! A delivery that has ended is sent again: same id, same bytes, behind what is fresh, and not forgotten by a restart.

use std::time::Duration;

use hookit_contract::{DeliverySeq, EventType, PartnerId, Timestamp};
use hookit_sim::endpoints::{Answer, ScriptedEndpoint};
use hookit_store::hints::HINTS_MAX;
use hookit_store::platform::{NewWebhook, PendingDelivery, Store as _, WebhookSettings};
use serde_json::json;

use crate::harness::{Running, Setup, ids, received};

/// Two attempts, and dead.
fn hasty() -> Setup {
    let mut setup = Setup::default();
    setup.retry_after(&[Duration::from_millis(20)]);
    setup
}

async fn replay(platform: &Running, id: &str) -> (u16, serde_json::Value) {
    let answer = platform.call("POST", &format!("/v1/operator/deliveries/{id}/replay"), "").await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn a_dead_delivery_is_sent_again_with_its_id_and_bytes_when_an_operator_asks_for_it() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    endpoint.answer(Answer::Status(500));
    let platform = Running::with(hasty()).await;
    let partner = platform.listener(&endpoint).await;
    platform.order().await;
    platform.until("dead", 1).await;
    let id = received(&endpoint, 1).await[0].event_id().to_owned();

    endpoint.answer(Answer::Status(200));
    let (status, answer) = replay(&platform, &id).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["data"]["delivery_id"], id.as_str());
    platform.until("delivered", 1).await;
    let webhooks = received(&endpoint, 3).await;
    partner.verify(&webhooks[2]);
    assert_eq!(webhooks[2].event_id(), id);
    assert_eq!(webhooks[2].body, webhooks[0].body);
    let delivery = platform.delivery(&id).await;
    assert_eq!((&delivery["state"], &delivery["attempts"]), (&json!("delivered"), &json!(3)));
    let status = platform.status().await;
    assert_eq!((&status["dead"], &status["pending"]), (&json!(0), &json!(0)));

    // What was acknowledged and then lost by the partner can be had again too.
    assert_eq!(replay(&platform, &id).await.0, 200);
    assert_eq!(received(&endpoint, 4).await[3].body, webhooks[0].body);
}

#[tokio::test]
async fn what_is_pending_or_unknown_cannot_be_replayed_and_the_answer_says_so() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    endpoint.answer(Answer::Hang);
    let platform = Running::start().await;
    platform.listener(&endpoint).await;
    platform.order().await;
    let id = received(&endpoint, 1).await[0].event_id().to_owned();
    let (status, answer) = replay(&platform, &id).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("state_invalid_transition")), "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("pending"), "{answer}");
    let (status, answer) = replay(&platform, "evt_0").await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("resource_not_found")), "{answer}");
}

#[tokio::test]
async fn a_fresh_event_does_not_wait_for_a_replay_of_its_order_that_fails() {
    let mut setup = Setup::default();
    setup.retry_after(&[Duration::from_secs(600)]);
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::with(setup).await;
    platform.listener(&endpoint).await;
    let order = platform.order().await;
    platform.until("delivered", 1).await;
    let id = received(&endpoint, 1).await[0].event_id().to_owned();
    endpoint.answer_next(1, Answer::Status(500));
    assert_eq!(replay(&platform, &id).await.0, 200);
    platform.delivery_after_attempts(&id, 2).await;
    // The replay waits ten minutes for its next attempt; the order goes on.
    assert_eq!(platform.move_to(order, "accepted").await.status, 200);
    platform.until("delivered", 1).await;
    let webhooks = received(&endpoint, 3).await;
    assert_eq!(ids(&webhooks[2]), [order]);
    assert_ne!(webhooks[2].event_id(), id);
    assert_eq!(platform.delivery(&id).await["state"], "pending");
}

#[tokio::test]
async fn g2_a_replay_that_a_stop_cuts_short_goes_on_after_the_restart() {
    let dir = tempfile::tempdir().unwrap();
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    endpoint.answer(Answer::Status(500));
    let platform = Running::on(dir.path(), hasty()).await;
    platform.listener(&endpoint).await;
    platform.order().await;
    platform.until("dead", 1).await;
    let id = received(&endpoint, 1).await[0].event_id().to_owned();
    // Held, so that it is still to be sent when the platform stops.
    let webhooks = platform.get("/v1/operator/webhooks").await.json();
    let webhook = webhooks["data"]["webhooks"].as_array().unwrap()[0]["webhook_id"].clone();
    let hold = format!("/v1/operator/webhooks/{webhook}/disable");
    assert_eq!(platform.call("POST", &hold, "").await.status, 200);
    assert_eq!(replay(&platform, &id).await.0, 200);
    assert_eq!(endpoint.requests().len(), 2);
    platform.stop().await;

    endpoint.answer(Answer::Status(200));
    let platform = Running::on(dir.path(), hasty()).await;
    let enable = format!("/v1/operator/webhooks/{webhook}/enable");
    assert_eq!(platform.call("POST", &enable, "").await.status, 200);
    platform.until("delivered", 1).await;
    assert_eq!(received(&endpoint, 3).await[2].event_id(), id);
}

#[tokio::test]
async fn g2_a_replay_that_moves_to_a_new_url_is_sent_though_every_hint_of_it_was_lost() {
    let (old, new) = (ScriptedEndpoint::start().await.unwrap(), ScriptedEndpoint::start().await.unwrap());
    let platform = Running::start().await;
    let partner = platform.partner("Moving", crate::harness::BUSINESS).await;
    let created = EventType::OrderCreated;
    let answer = platform.register(&partner, None, None, created, &old.url()).await.expect(201).data();
    let (webhook, endpoint_id) = (&answer["webhook_id"], &answer["endpoint_id"]);
    platform.order().await;
    platform.until("delivered", 1).await;
    let id = received(&old, 1).await[0].event_id().to_owned();
    platform.call("POST", &format!("/v1/operator/webhooks/{webhook}/disable"), "").await.expect(200);
    assert_eq!(replay(&platform, &id).await.0, 200);

    // The mailbox has overflowed when the registration moves, and is looked into only after that: this thread is the
    // dispatcher's, and waits for another one.
    let endpoint_id = hookit_contract::EndpointId(endpoint_id.as_i64().unwrap());
    let filler = PendingDelivery {
        seq: DeliverySeq(1),
        endpoint_id,
        orders: Box::new([]),
        attempts: 0,
        failures: 0,
        due: Timestamp::from_millis(0),
        committed_at: Timestamp::from_millis(0),
    };
    platform.store.hints().put(Vec::new(), vec![filler; HINTS_MAX + 1]);
    let moved = NewWebhook {
        partner_id: PartnerId::from(partner.id.clone()),
        brand_id: None,
        branch_id: None,
        event_type: created,
        url: new.url(),
        basic_auth: None,
        settings: WebhookSettings::default(),
    };
    let store = platform.store.clone();
    let moving = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(store.put_webhook(moved, Timestamp::from_millis(1))).map(|_| ())
    });
    moving.join().unwrap().unwrap();

    assert_eq!(received(&new, 1).await[0].event_id(), id);
    platform.until("delivered", 1).await;
}
