//! Moves of the partner's own: sent on once, refused in the platform's words.

use std::time::Duration;

use hookit_contract::{Clock as _, OrderId, PartnerMove};
use hookit_inbox::InboxConfig;
use hookit_server::Secret;
use hookit_store::inbox::{NewMove, Store as _};
use serde_json::{Value, json};

use crate::harness::{Answer, Running, Ticking, config, exchange, head, open, patiently};
use crate::stub::Stub;

const WRITE_TOKEN: &str = "a_token_that_moves";

async fn with_moves(stub: &Stub) -> Running {
    Running::with(InboxConfig {
        partner_api: Some(stub.config()),
        write_token: Some(Secret::new(WRITE_TOKEN)),
        ..config()
    })
    .await
}

async fn ask(inbox: &Running, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let body = body.to_string();
    let bearer = format!("Bearer {WRITE_TOKEN}");
    let mut all = vec![("authorization", bearer.as_str())];
    all.retain(|(name, _)| !headers.iter().any(|(given, _)| given == name));
    all.extend(headers);
    let mut request = head("POST", path, &all, Some(body.len()));
    request.extend_from_slice(body.as_bytes());
    exchange(inbox.address, request).await
}

#[tokio::test]
async fn a_move_goes_out_once_with_its_key_and_the_moment_it_was_made() {
    let stub = Stub::start().await;
    stub.has(Ticking::new().now(), 7, r#"{"id":7,"status":4}"#);
    let inbox = with_moves(&stub).await;
    let key = [("idempotency-key", "till-3/00017")];
    let first = ask(&inbox, "/orders/7/moves", &key, &json!({"status": "ready"})).await;
    let shown = first.json()["data"].clone();
    assert_eq!((first.status, &shown["state"], &shown["status"]), (200, &json!("done"), &json!("ready")));
    assert_eq!((&shown["order_id"], &shown["code"]), (&json!(7), &json!(null)));
    let again = ask(&inbox, "/orders/7/moves", &key, &json!({"status": "ready"})).await;
    assert_eq!(again.json()["data"], shown);
    let other = ask(&inbox, "/orders/7/moves", &key, &json!({"status": "picked_up"})).await;
    assert_eq!((other.status, other.error().0.as_str()), (409, "state_idempotency_conflict"));
    let without =
        ask(&inbox, "/orders/7/moves", &[], &json!({"status": "rejected", "reason_code": 12})).await;
    assert_eq!(without.status, 200);

    let moves = stub.known().moves.clone();
    let [(first_key, first_body), (second_key, second_body)] = &moves[..] else { panic!("{moves:?}") };
    assert_eq!(first_key.as_str(), shown["move_id"]);
    assert_ne!(first_key, second_key);
    assert_eq!(first_body, &json!({"status": "ready", "occurred_at": shown["asked_at"]}));
    assert_eq!((&second_body["status"], &second_body["reason_code"]), (&json!("rejected"), &json!(12)));
    let listed = inbox.get("/orders/7/moves").await.json();
    assert_eq!(listed["data"]["moves"].as_array().unwrap().len(), 2);
    assert_eq!(listed["data"]["moves"][1], shown);
    assert_eq!(inbox.get("/orders/7").await.status, 404, "the view waits for the delivery");
}

#[tokio::test]
async fn a_refusal_is_the_platforms_own() {
    let stub = Stub::start().await;
    let inbox = with_moves(&stub).await;
    let missing = ask(&inbox, "/orders/8/moves", &[], &json!({"status": "ready"})).await;
    assert_eq!((missing.status, missing.error().0.as_str()), (404, "resource_not_found"));
    for (status, code, told) in [
        (409, "state_invalid_transition", "state_invalid_transition"),
        (401, "auth_invalid_credential", "auth_invalid_credential"),
        (403, "auth_forbidden", "auth_forbidden"),
        (409, "some_word_of_their_own", "state_invalid_transition"),
        (400, "request_invalid", "request_invalid"),
    ] {
        let body = json!({"error": {"code": code, "message": "not like this"}});
        stub.known().scripted.push_back((status, ("x-a", "b".to_owned()), body));
        let refused = ask(&inbox, "/orders/8/moves", &[], &json!({"status": "ready"})).await;
        let (found, message) = refused.error();
        assert_eq!((refused.status, found.as_str()), (status, told));
        let details = refused.json()["error"]["details"].clone();
        let expected = json!([{"path": "request", "message": message}]);
        assert!(if status == 400 { details == expected } else { details.is_null() }, "{details}");
        assert_eq!(message, format!("the Partner API answers {status} {code}: not like this"));
        let listed = inbox.get("/orders/8/moves").await.json();
        assert_eq!(listed["data"]["moves"][0]["state"], "refused");
    }
}

#[tokio::test]
async fn what_gets_no_answer_is_tried_again_with_the_same_key() {
    let stub = Stub::start().await;
    stub.has(Ticking::new().now(), 7, r#"{"id":7,"status":4}"#);
    let inbox = with_moves(&stub).await;
    stub.known().scripted.push_back((503, ("retry-after", "0".to_owned()), json!({})));
    let moved = ask(&inbox, "/orders/7/moves", &[], &json!({"status": "ready"})).await;
    assert_eq!((moved.status, &moved.json()["data"]["state"]), (200, &json!("done")));
    let requests = stub.known().requests.iter().filter(|request| request.starts_with("PATCH")).count();
    assert_eq!(requests, 2);
    let keys = stub.known().keys.clone();
    assert_eq!(keys[0], keys[1], "so that the platform makes it once");
    assert_eq!(keys[0].as_str(), moved.json()["data"]["move_id"]);
}

#[tokio::test]
async fn a_move_that_was_asked_for_before_a_stop_is_made_after_it_under_the_key_that_it_had() {
    let stub = Stub::start().await;
    stub.has(Ticking::new().now(), 7, r#"{"id":7,"status":4}"#);
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // As it is on disk when the inbox dies before the first try.
    let asked = NewMove {
        move_id: "mv_of_before".to_owned(),
        key: None,
        request_hash: [0; 32],
        order_id: OrderId(7),
        asked: PartnerMove::Ready,
        body: br#"{"status":"ready"}"#[..].into(),
        asked_at: Ticking::new().now(),
    };
    store.ask_move(asked).await.unwrap();
    let settings = InboxConfig { partner_api: Some(stub.config()), ..config() };
    let inbox = Running::on(store, settings).await;
    patiently(async {
        while inbox.get("/orders/7/moves").await.json()["data"]["moves"][0]["state"] != "done" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(stub.known().moves, [("mv_of_before".to_owned(), json!({"status": "ready"}))]);
}

#[tokio::test]
async fn a_move_needs_the_write_token_and_a_body_that_makes_sense() {
    let stub = Stub::start().await;
    let inbox = with_moves(&stub).await;
    let ready = json!({"status": "ready"});
    for (authorization, code) in
        [("Bearer wrong", "auth_invalid_credential"), ("Basic YTpi", "auth_invalid_credential")]
    {
        let headers = [("authorization", authorization)];
        assert_eq!(ask(&inbox, "/orders/7/moves", &headers, &ready).await.error().0, code);
    }
    for (path, key, body, words) in [
        ("/orders/7/moves", "k", json!({"status": "eaten"}), "status"),
        ("/orders/7/moves", "k", json!({"status": "cancelled"}), "reason_code: missing"),
        ("/orders/7/moves", "k", json!({"status": "ready", "reason_code": 1}), "reason_code: only"),
        ("/orders/7/moves", "k", json!({"status": "rejected", "reason_code": " "}), "reason_code: expected"),
        ("/orders/7/moves", "k", json!({"status": "ready", "why": 1}), "why"),
        ("/orders/7/moves", "a key", json!({"status": "ready"}), "Idempotency-Key: expected"),
    ] {
        let answer = ask(&inbox, path, &[("idempotency-key", key)], &body).await;
        let (code, message) = answer.error();
        assert_eq!((answer.status, code.as_str()), (400, "request_invalid"), "{body}: {message}");
        assert!(message.contains(words), "{body}: {message}");
    }
    let answer = ask(&inbox, "/orders/x/moves", &[("idempotency-key", "k")], &ready).await;
    assert_eq!((answer.status, answer.error().0.as_str()), (404, "resource_not_found"));
    assert!(stub.known().requests.iter().all(|request| !request.starts_with("PATCH")));

    let without =
        Running::with(InboxConfig { write_token: Some(Secret::new(WRITE_TOKEN)), ..config() }).await;
    let answer = ask(&without, "/orders/7/moves", &[], &ready).await;
    assert_eq!((answer.status, answer.error().0.as_str()), (503, "unavailable"));
    assert!(answer.error().1.contains("[partner_api]"), "{}", answer.text());
}
