//! Many deliveries are sent again by a job: counted first, watched, paused, cancelled, and not forgotten by a restart.

use std::collections::HashSet;
use std::time::Duration;

use hookit_sim::endpoints::{Answer, ScriptedEndpoint};
use serde_json::{Value, json};

use crate::harness::{Running, Setup, envelope, ids, received};
use crate::http::patiently;

/// One attempt more, and dead.
pub(crate) fn hasty() -> Setup {
    let mut setup = Setup::default();
    setup.retry_after(&[Duration::from_millis(20)]);
    setup
}

async fn begin(platform: &Running, body: &Value) -> Value {
    platform.call("POST", "/v1/operator/replays", body.to_string()).await.expect(201).data()
}

async fn steer(platform: &Running, replay: &Value, how: &str) -> (u16, Value) {
    let path = format!("/v1/operator/replays/{}/{how}", replay["replay_id"]);
    let answer = platform.call("POST", &path, "").await;
    (answer.status, answer.json())
}

/// The replay, as soon as it is so.
async fn until(platform: &Running, replay: &Value, is_so: impl Fn(&Value) -> bool) -> Value {
    patiently(async {
        loop {
            let now = platform.get(&format!("/v1/operator/replays/{}", replay["replay_id"])).await.data();
            if is_so(&now) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

fn is_done(replay: &Value) -> bool {
    replay["state"] == "done"
}

/// A platform with so many dead deliveries of as many orders; the ids of the orders.
pub(crate) async fn with_dead(platform: &Running, endpoint: &ScriptedEndpoint, orders: u64) -> Vec<i64> {
    endpoint.answer(Answer::Status(400));
    let mut created = Vec::new();
    for _ in 0..orders {
        created.push(platform.order().await);
        // One after the other: several dead at once would make the endpoint look down.
        platform.until("dead", created.len() as u64).await;
        endpoint.answer_next(1, Answer::Status(200));
        created_elsewhere(platform, created.len() as u64).await;
    }
    endpoint.answer(Answer::Status(200));
    created
}

/// An order that is delivered: a success in between keeps the breaker closed.
async fn created_elsewhere(platform: &Running, delivered: u64) {
    platform.order().await;
    platform.until("delivered", delivered).await;
}

#[tokio::test]
async fn dead_deliveries_are_counted_and_then_all_sent_again_with_their_ids() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::with(hasty()).await;
    platform.listener(&endpoint).await;
    with_dead(&platform, &endpoint, 3).await;
    let dead = platform.deliveries("?state=dead").await;

    let mut body = json!({"filter": {"state": "dead"}, "dry_run": true});
    let counted = platform.call("POST", "/v1/operator/replays", body.to_string()).await.expect(200).data();
    assert_eq!(counted, json!({"dry_run": true, "deliveries": 3}));
    assert_eq!(platform.status().await["dead"], 3, "nothing was done");
    assert_eq!(platform.get("/v1/operator/replays").await.data()["replays"], json!([]));

    let before = endpoint.requests().len();
    body["dry_run"] = json!(false);
    let replay = begin(&platform, &body).await;
    assert_eq!((&replay["new_ids"], &replay["history"]), (&json!(false), &json!(true)), "{replay}");
    let replay = until(&platform, &replay, is_done).await;
    let figures = ["queued", "pending", "delivered", "dead", "cancelled"].map(|name| replay[name].clone());
    assert_eq!(figures, [3, 0, 3, 0, 0].map(|n| json!(n)), "{replay}");
    assert_eq!(replay["progress"], 1.0);
    assert!(replay["finished_at"].is_string());
    let again: HashSet<_> = received(&endpoint, before as u64 + 3).await[before..]
        .iter()
        .map(|webhook| webhook.event_id().to_owned())
        .collect();
    let expected: HashSet<_> = dead.iter().map(|d| d["delivery_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(again, expected);
    assert_eq!(platform.status().await["dead"], 0);
    let listed = platform.get("/v1/operator/replays?limit=1").await.data();
    assert_eq!(listed["replays"], json!([replay]));
}

#[tokio::test]
async fn with_new_ids_a_partner_gets_each_orders_newest_record_once() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    let partner = platform.listener(&endpoint).await;
    let order = platform.order().await;
    for status in ["accepted", "preparing", "ready"] {
        platform.move_to(order, status).await.expect(200);
    }
    platform.until("delivered", 4).await;
    let endpoint_id = platform.deliveries("").await[0]["endpoint_id"].clone();
    let body = json!({"filter": {"endpoint_id": endpoint_id}, "new_ids": true});
    let replay = until(&platform, &begin(&platform, &body).await, is_done).await;
    assert_eq!((&replay["queued"], &replay["history"]), (&json!(1), &json!(false)), "{replay}");
    let webhooks = received(&endpoint, 5).await;
    partner.verify(&webhooks[4]);
    assert_eq!(webhooks[4].body, webhooks[3].body, "the newest record");
    assert!(webhooks[..4].iter().all(|webhook| webhook.event_id() != webhooks[4].event_id()));

    let body = json!({"filter": {"order_id": order}, "new_ids": true, "history": true});
    // All that there was to this order: four deliveries of its life, and the one that was just made.
    let replay = until(&platform, &begin(&platform, &body).await, is_done).await;
    assert_eq!(replay["queued"], 5, "{replay}");
    let versions: Vec<_> = received(&endpoint, 10).await[5..]
        .iter()
        .map(|webhook| envelope(webhook)["orders"][0]["version"].as_i64().unwrap())
        .collect();
    assert_eq!(versions, [1, 2, 3, 4, 4]);
}

#[tokio::test]
async fn a_registration_that_came_later_gets_what_it_missed() {
    let first = ScriptedEndpoint::start().await.unwrap();
    let late = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    platform.listener(&first).await;
    let orders = [platform.order().await, platform.order().await];
    platform.until("delivered", 2).await;

    let partner = platform.partner("Late", crate::harness::BUSINESS).await;
    let created = hookit_contract::EventType::OrderCreated;
    let webhook = platform.register(&partner, None, None, created, &late.url()).await.expect(201).data();
    let body = json!({"filter": {"webhook_id": webhook["webhook_id"]}, "missed": true});
    let replay = until(&platform, &begin(&platform, &body).await, is_done).await;
    assert_eq!(replay["delivered"], 2, "{replay}");
    let webhooks = received(&late, 2).await;
    partner.verify(&webhooks[0]);
    assert_eq!(webhooks.iter().flat_map(ids).collect::<HashSet<_>>(), HashSet::from(orders));
    let again = json!({"filter": {"webhook_id": webhook["webhook_id"]}, "missed": true, "dry_run": true});
    let counted = platform.call("POST", "/v1/operator/replays", again.to_string()).await.expect(200).data();
    assert_eq!(counted["deliveries"], 0);
}

#[tokio::test]
async fn a_replay_is_paused_resumed_and_cancelled_and_outlives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::on(dir.path(), hasty()).await;
    platform.listener(&endpoint).await;
    with_dead(&platform, &endpoint, 3).await;
    let webhooks = platform.get("/v1/operator/webhooks").await.data();
    let webhook = &webhooks["webhooks"][0]["webhook_id"];
    platform.call("POST", &format!("/v1/operator/webhooks/{webhook}/disable"), "").await.expect(200);
    let before = endpoint.requests().len();

    let replay = begin(&platform, &json!({"filter": {"state": "dead"}})).await;
    let replay = until(&platform, &replay, |replay| replay["queued"] == 3).await;
    assert_eq!((&replay["state"], &replay["pending"]), (&json!("running"), &json!(3)));
    assert_eq!(steer(&platform, &replay, "pause").await.1["data"]["state"], "paused");
    platform.call("POST", &format!("/v1/operator/webhooks/{webhook}/enable"), "").await.expect(200);
    // What is fresh goes by it.
    platform.order().await;
    platform.until("delivered", 4).await;
    assert_eq!(endpoint.requests().len(), before + 1);
    platform.stop().await;

    let platform = Running::on(dir.path(), hasty()).await;
    platform.order().await;
    platform.until("delivered", 5).await;
    assert_eq!(endpoint.requests().len(), before + 2, "it is paused still");
    endpoint.answer(Answer::Hang);
    assert_eq!(steer(&platform, &replay, "resume").await.0, 200);
    received(&endpoint, before as u64 + 3).await;
    let (status, cancelled) = steer(&platform, &replay, "cancel").await;
    assert_eq!((status, &cancelled["data"]["state"]), (200, &json!("cancelled")), "{cancelled}");
    let replay = until(&platform, &replay, |replay| replay["pending"] == 0).await;
    assert_eq!((&replay["cancelled"], &replay["state"]), (&json!(3), &json!("cancelled")), "{replay}");
    let (status, answer) = steer(&platform, &replay, "resume").await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("state_invalid_transition")), "{answer}");
    assert_eq!(platform.status().await["cancelled"], 3);
}

#[tokio::test]
async fn a_wish_that_makes_no_sense_is_refused_by_its_field() {
    let platform = Running::start().await;
    for (body, field) in [
        (json!({}), "filter"),
        (json!({"filter": {}}), "filter:"),
        (json!({"filter": {"state": "pending"}}), "filter.state"),
        (json!({"filter": {"state": "lost"}}), "filter.state"),
        (json!({"filter": {"colour": 1}}), "colour"),
        (json!({"filter": {"since": "yesterday"}}), "filter.since"),
        (
            json!({"filter": {"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}}),
            "filter.until",
        ),
        (json!({"filter": {"order_id": 1}, "history": false}), "history"),
        (json!({"filter": {"order_id": 1}, "missed": true}), "filter.webhook_id"),
        (json!({"filter": {"webhook_id": 1, "state": "dead"}, "missed": true}), "filter.state"),
        (json!({"filter": {"webhook_id": 1}, "missed": true, "new_ids": true}), "new_ids"),
        (json!({"filter": {"webhook_id": 1}, "missed": true}), "filter.webhook_id"),
        (json!({"filter": {"webhook_id": 1}, "missed": true, "dry_run": true}), "filter.webhook_id"),
        (json!({"filter": {"webhook_id": 1}, "dry_run": true}), "filter.webhook_id"),
        (json!({"filter": {"endpoint_id": 1}}), "filter.endpoint_id"),
        (json!({"filter": {"endpoint_id": 1}, "dry_run": true}), "filter.endpoint_id"),
    ] {
        let answer = platform.call("POST", "/v1/operator/replays", body.to_string()).await;
        let json = answer.json();
        assert_eq!(
            (answer.status, &json["error"]["code"]),
            (400, &json!("request_invalid")),
            "{body} {json}"
        );
        let message = json["error"]["message"].as_str().unwrap();
        assert!(message.contains(field), "{body}: {message}");
    }
    for path in ["", "/pause", "/resume", "/cancel"] {
        let method = if path.is_empty() { "GET" } else { "POST" };
        platform.call(method, &format!("/v1/operator/replays/77{path}"), "").await.expect(404);
    }
    let answer = platform.call_as(None, "POST", "/v1/operator/replays", "{}").await;
    assert_eq!(answer.status, 401);
}
