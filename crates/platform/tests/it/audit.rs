//! The audit log: which operator did what, when, and from where.

use std::time::Duration;

use hookit_contract::{Clock as _, EventType, Timestamp};
use hookit_sim::endpoints::{Answer, ScriptedEndpoint};
use serde_json::{Value, json};

use crate::harness::{BUSINESS, Running, Setup, bearer, order, received};
use crate::http::patiently;

/// What the log says was done, oldest first: by whom, what, to what.
async fn log(platform: &Running, query: &str) -> Vec<(String, String, String)> {
    let data = platform.get(&format!("/v1/operator/audit{query}")).await.data();
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    let entries = data["entries"].as_array().unwrap().iter().rev();
    entries.map(|entry| (text(entry, "name"), text(entry, "action"), text(entry, "target"))).collect()
}

#[tokio::test]
async fn whatever_an_operator_does_is_in_the_log_with_the_name_of_its_token() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    let ayu = bearer(&platform.token("Ayu", "admin").await);
    let mut expected = vec![("operator".to_owned(), "token.issue".to_owned(), "1".to_owned())];
    let mut say = |action: &str, target: &Value| {
        let target = target.as_str().map_or_else(|| target.to_string(), str::to_owned);
        expected.push(("Ayu".to_owned(), action.to_owned(), target));
    };
    let call = |method: &'static str, path: String, body: Value| {
        let (platform, ayu) = (&platform, &ayu);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        async move {
            let answer = platform.call_as(Some(ayu), method, &format!("/v1/operator{path}"), body).await;
            assert!(answer.status < 300, "{method} {path}: {}", answer.text());
            answer.data()
        }
    };
    let token = call("POST", "/tokens".into(), json!({"name": "Budi", "role": "support"})).await;
    say("token.issue", &token["token_id"]);
    call("POST", format!("/tokens/{}/revoke", token["token_id"]), Value::Null).await;
    say("token.revoke", &token["token_id"]);
    let body = json!({"name": "A business", "brands": [{"id": 663, "title": "x", "branches": [1062]}]});
    call("PUT", "/businesses/7".into(), body).await;
    say("business.put", &json!(7));

    let partner = call("POST", "/partners".into(), json!({"name": "x", "business_id": BUSINESS})).await;
    let partner_id = &partner["partner_id"];
    say("partner.issue", partner_id);
    for (verb, action) in [
        ("rotate-secret", "partner.rotate_secret"),
        ("rotate-webhook-secret", "partner.rotate_webhook_secret"),
        ("revoke", "partner.revoke"),
    ] {
        call("POST", format!("/partners/{}/{verb}", partner_id.as_str().unwrap()), Value::Null).await;
        say(action, partner_id);
    }
    let body =
        json!({"partner_id": partner_id, "event_type": EventType::OrderCreated, "url": endpoint.url()});
    let webhook = call("PUT", "/webhooks".into(), body).await;
    say("webhook.put", &webhook["webhook_id"]);
    let path = format!("/webhooks/{}", webhook["webhook_id"]);
    call("POST", format!("{path}/test"), Value::Null).await;
    say("webhook.test", &webhook["webhook_id"]);
    call("POST", format!("{path}/disable"), Value::Null).await;
    say("endpoint.hold", &webhook["endpoint_id"]);

    let new = order(BUSINESS, 1062, &[663]);
    let made = call("POST", "/orders".into(), new.clone()).await;
    say("order.create", &made["id"]);
    let order_path = format!("/orders/{}", made["id"]);
    call("PATCH", format!("{order_path}/status"), json!({"status": "ACCEPTED"})).await;
    say("order.move", &made["id"]);
    call("PUT", format!("{order_path}/cart"), json!({"cart": [{"item_id": 1}]})).await;
    say("order.edit_cart", &made["id"]);
    // Line by line; what a line does not change is not said.
    let line = |status: &str| json!({"op": "move", "id": made["id"], "status": status});
    let lines = format!("{new}\n{}\n{}\n{}\n", line("PLACED"), line("ACCEPTED"), line("READY"));
    platform.call_as(Some(&ayu), "POST", "/v1/operator/orders/bulk", lines).await.expect(200);
    say("order.create", &json!(made["id"].as_i64().unwrap() + 1));
    say("order.move", &made["id"]);

    let delivery = platform.deliveries(&format!("?order_id={}", made["id"])).await[0]["delivery_id"].clone();
    let delivery_path = format!("/deliveries/{}", delivery.as_str().unwrap());
    call("POST", format!("{delivery_path}/cancel"), Value::Null).await;
    say("delivery.cancel", &delivery);
    call("POST", format!("{delivery_path}/replay"), Value::Null).await;
    say("delivery.replay", &delivery);
    let begin = json!({"filter": {"webhook_id": webhook["webhook_id"]}, "missed": true, "history": true});
    let replay = call("POST", "/replays".into(), begin).await;
    say("replay.begin", &replay["replay_id"]);
    for verb in ["pause", "resume", "cancel"] {
        let steered = platform
            .call_as(Some(&ayu), "POST", &format!("/v1/operator/replays/{}/{verb}", replay["replay_id"]), "")
            .await;
        // It may have ended meanwhile: then nothing was done.
        if steered.status == 200 {
            say(&format!("replay.{verb}"), &replay["replay_id"]);
        }
    }
    call("POST", format!("{path}/enable"), Value::Null).await;
    say("endpoint.release", &webhook["endpoint_id"]);
    call("DELETE", path, Value::Null).await;
    say("webhook.remove", &webhook["webhook_id"]);
    assert_eq!(log(&platform, "").await, expected);

    // It is on disk.
    let dir = platform.stop().await.unwrap();
    let platform = Running::on(dir.path(), Setup::default()).await;
    assert_eq!(log(&platform, "").await, expected);
}

#[tokio::test]
async fn what_was_refused_or_only_read_is_not_in_the_log() {
    let platform = Running::start().await;
    let id = platform.order().await;
    let before = log(&platform, "").await;
    assert_eq!(before.len(), 1);
    platform.snapshot().await;
    for (method, path, body) in [
        ("POST", "/orders".to_owned(), "{}"),
        ("PATCH", format!("/orders/{id}/status"), r#"{"status":"PLACED"}"#),
        ("PATCH", "/orders/404/status".to_owned(), r#"{"status":"READY"}"#),
        ("POST", "/partners/ptn_404/revoke".to_owned(), ""),
        ("POST", "/tokens/404/revoke".to_owned(), ""),
        ("DELETE", "/webhooks/404".to_owned(), ""),
        ("POST", "/deliveries/dlv_404/replay".to_owned(), ""),
        ("POST", "/replays/404/cancel".to_owned(), ""),
    ] {
        platform.call(method, &format!("/v1/operator{path}"), body).await;
    }
    assert_eq!(log(&platform, "").await, before);
}

#[tokio::test]
async fn what_is_asked_for_as_it_stands_is_answered_and_is_in_the_log_once() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    platform.token("Budi", "support").await;
    let webhook = json!({
        "partner_id": partner.id, "event_type": EventType::OrderCreated, "url": endpoint.url(), "brand_id": 663,
        "basic_auth": {"user": "pos", "password": "of the partner's choosing"}, "in_flight_max": 3,
    });
    let business =
        json!({"name": "A business", "brands": [{"id": 663, "title": "x", "branches": [1062, 7]}]});
    let mut seen = log(&platform, "").await.len();
    let mut first = Vec::new();
    for (method, path, body, action) in [
        ("PUT", "/businesses/7".to_owned(), business.to_string(), "business.put"),
        ("PUT", "/webhooks".to_owned(), webhook.to_string(), "webhook.put"),
        ("POST", "/webhooks/1/disable".to_owned(), String::new(), "endpoint.hold"),
        ("POST", "/webhooks/1/enable".to_owned(), String::new(), "endpoint.release"),
        ("POST", format!("/partners/{}/revoke", partner.id), String::new(), "partner.revoke"),
        ("POST", "/tokens/1/revoke".to_owned(), String::new(), "token.revoke"),
    ] {
        for round in 0..2 {
            let answer = platform.call(method, &format!("/v1/operator{path}"), body.as_str()).await;
            let expected = if round == 0 && path == "/webhooks" { 201 } else { 200 };
            let data = answer.expect(expected).data();
            let entries = log(&platform, "").await;
            match round {
                0 => {
                    assert_eq!(entries.len(), seen + 1, "{path}");
                    assert_eq!(entries.last().unwrap().1, action);
                    first.push(data);
                }
                _ => {
                    assert_eq!(entries.len(), seen + 1, "{path} again");
                    assert_eq!(Some(&data), first.last(), "{path} again");
                }
            }
        }
        seen += 1;
    }
    // Another password is another registration, and the first one again is, too.
    for password in ["another", "of the partner's choosing"] {
        let mut changed = webhook.clone();
        changed["basic_auth"]["password"] = json!(password);
        platform.call("PUT", "/v1/operator/webhooks", changed.to_string()).await.expect(200);
        seen += 1;
        assert_eq!(log(&platform, "").await.len(), seen, "{password}");
    }
}

#[tokio::test]
async fn an_entry_says_when_from_where_and_with_which_request() {
    let platform = Running::start().await;
    let mut head = crate::http::head(
        "POST",
        "/v1/operator/partners",
        &[
            ("authorization", &crate::harness::operator()),
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ],
        Some(30),
    );
    head.extend_from_slice(br#"{"name":"x" , "business_id":7}"#);
    let asked_at = platform.clock.now();
    let issued = crate::http::exchange(platform.address, head).await.expect(201);
    let answered_at = platform.clock.now();
    let entry = platform.get("/v1/operator/audit").await.data()["entries"][0].clone();
    assert_eq!(entry["request_id"], issued.json()["request_id"]);
    assert_eq!(entry["request_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!((&entry["address"], &entry["token_id"]), (&json!("127.0.0.1"), &json!(0)));
    let done_at = Timestamp::parse(entry["done_at"].as_str().unwrap()).unwrap();
    assert!((asked_at..=answered_at).contains(&done_at), "{asked_at} {done_at} {answered_at}");
}

#[tokio::test]
async fn the_log_is_read_in_pages_by_filters_that_combine() {
    let platform = Running::start().await;
    let mut ids = vec![];
    for _ in 0..5 {
        ids.push(platform.order().await.to_string());
        platform.move_to(ids.last().unwrap().parse().unwrap(), "READY").await.expect(200);
    }
    let (mut before, mut found) = (String::new(), vec![]);
    loop {
        let path = format!("/v1/operator/audit?action=order.create&limit=2{before}");
        let page = platform.get(&path).await.data();
        found.extend(
            page["entries"].as_array().unwrap().iter().map(|e| e["target"].as_str().unwrap().to_owned()),
        );
        match &page["next_before"] {
            Value::Null => break,
            next => before = format!("&before={next}"),
        }
    }
    found.reverse();
    assert_eq!(found, ids);
    let only = log(&platform, &format!("?target={}&action=order.move&token_id=0", ids[3])).await;
    assert_eq!(only, [("operator".to_owned(), "order.move".to_owned(), ids[3].clone())]);
    assert_eq!(log(&platform, "?token_id=1").await, []);
    assert_eq!(log(&platform, "?since=2001-01-01T00:00:00Z").await.len(), 10);
    assert_eq!(log(&platform, "?until=2001-01-01T00:00:00Z").await, []);
    for (query, message) in [
        ("limit=0", "limit: expected 1 to 1000"),
        ("token_id=x", "token_id: expected an integer"),
        (
            "who=x",
            "who: unknown parameter; expected one of token_id, action, target, since, until, before, limit",
        ),
    ] {
        platform.call("GET", &format!("/v1/operator/audit?{query}"), "").await.is_refused(
            400,
            "request_invalid",
            message,
        );
    }
}

#[tokio::test]
async fn a_webhook_that_is_sent_and_a_hold_that_an_endpoint_asked_for_are_nobodys_doing() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    platform.listener(&endpoint).await;
    let before = log(&platform, "").await.len();
    platform.order().await;
    received(&endpoint, 1).await;
    platform.until("delivered", 1).await;
    endpoint.answer_next(1, Answer::Status(410));
    platform.order().await;
    patiently(async {
        while platform.get("/v1/operator/webhooks").await.data()["webhooks"][0]["hold"].is_null() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    // The two orders, and nothing else.
    assert_eq!(log(&platform, "").await.len(), before + 2);
}

#[tokio::test]
async fn an_old_entry_is_removed_and_no_number_is_given_twice() {
    let platform = Running::start().await;
    for _ in 0..3 {
        platform.order().await;
    }
    let newest = async |platform: &Running| {
        platform.get("/v1/operator/audit?limit=1").await.data()["entries"][0]["audit_id"].as_i64().unwrap()
    };
    assert_eq!(newest(&platform).await, 3);
    let dir = platform.stop().await.unwrap();
    let platform =
        Running::on(dir.path(), Setup { retention: Duration::from_millis(1), ..Setup::default() }).await;
    patiently(async {
        while log(&platform, "").await.len() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    platform.order().await;
    assert_eq!(newest(&platform).await, 4);
}
