//! Misuse is refused by name; but what is genuine is taken in, whatever else it brings.

use hookit_server::Secret;
use serde_json::Value;

use crate::harness::{Running, SECRET, config, envelope, exchange, head, sign};
use crate::openapi;

const WRITE_TOKEN: &str = "write_me_if_you_can";

#[tokio::test]
async fn no_call_passes_over_a_parameter_or_a_key_that_it_does_not_know() {
    let inbox =
        Running::with(hookit_inbox::InboxConfig { write_token: Some(Secret::new(WRITE_TOKEN)), ..config() })
            .await;
    let authorization = format!("Bearer {WRITE_TOKEN}");
    let mut looked_at = 0;
    for (method, path) in openapi::named_calls() {
        let path = path.replace("{id}", "1");
        if ["/healthz", "/readyz"].contains(&path.as_str()) {
            assert_eq!(
                inbox.get(&format!("{path}?now=1")).await.status,
                200,
                "a monitor may add what it likes"
            );
            continue;
        }
        if path == "/webhooks/klikit" {
            continue;
        }
        let ask = async |query: &str, headers: &[(&str, &str)]| {
            let target = format!("{path}?{query}");
            let answer = exchange(inbox.address, head(&method, &target, headers, Some(0))).await;
            openapi::assert_documented(&method, &target, &answer);
            answer
        };
        let mut headers = vec![];
        if method != "GET" {
            assert_eq!(ask("tpyo=1", &headers).await.status, 401, "{method} {path}");
            headers.push(("authorization", authorization.as_str()));
        }
        let answer = ask("tpyo=1&more=2", &headers).await;
        let details = answer.json()["error"]["details"].clone();
        let mut told: Vec<_> =
            details.as_array().into_iter().flatten().map(|fault| fault["path"].clone()).collect();
        // Told beside them: a call that takes a body got none.
        told.retain(|path| path != "body");
        assert_eq!((answer.status, told), (400, vec![Value::from("tpyo"), "more".into()]), "{method} {path}");
        if method != "GET" && !path.ends_with("/moves") {
            headers.push(("idempotency-key", "k"));
            let answer = ask("", &headers).await;
            assert!(
                answer.error().1.starts_with("Idempotency-Key: this call takes none"),
                "{}",
                answer.text()
            );
        }
        let headers = [("authorization", authorization.as_str()), ("content-encoding", "gzip")];
        let mut request = head(&method, &path, &headers, Some(1));
        request.push(b'x');
        let answer = exchange(inbox.address, request).await;
        openapi::assert_documented(&method, &path, &answer);
        let (status, (_, said)) = (answer.status, answer.error());
        match method.as_str() {
            "GET" => assert_eq!((status, said.as_str()), (400, "body: this call takes none"), "{path}"),
            _ => {
                assert_eq!(status, 415, "{method} {path}: {said}");
                assert!(said.starts_with("Content-Encoding: \"gzip\" is not taken"), "{said}");
            }
        }
        looked_at += 1;
    }
    assert!(looked_at > 12, "{looked_at}");
}

/// A request with its method, path, further headers and body; its refusal, and the paths in it.
type Bad<'a> = (&'a str, String, &'a [(&'a str, &'a str)], &'a str, (u16, &'a str), &'a [&'a str]);

#[tokio::test]
async fn whatever_is_wrong_with_a_request_is_told_at_once_wherever_it_stands() {
    let inbox =
        Running::with(hookit_inbox::InboxConfig { write_token: Some(Secret::new(WRITE_TOKEN)), ..config() })
            .await;
    let authorization = format!("Bearer {WRITE_TOKEN}");
    let (invalid, gone) = ((400, "request_invalid"), (404, "resource_not_found"));
    let (earlier, later) = ("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z");
    let cases: &[Bad<'_>] = &[
        ("GET", "/orders?status=flying&limit=x&zz=1&brand_id=0".into(), &[], "", invalid, {
            &["limit", "zz", "brand_id", "status"]
        }),
        (
            "GET",
            format!("/orders?received_since={later}&received_until={earlier}&after=x"),
            &[],
            "",
            invalid,
            { &["after", "received_until"] },
        ),
        (
            "GET",
            format!("/orders?received_since={later}&received_since={later}&received_until={earlier}"),
            &[],
            "",
            { invalid },
            &["received_since"],
        ),
        ("GET", "/orders/07/history?after=x&limit=0".into(), &[], "", gone, &["id", "limit", "after"]),
        ("GET", "/orders/stream?status=flying&zz=1".into(), &[("last-event-id", "x")], "", invalid, {
            &["zz", "status", "Last-Event-ID"]
        }),
        ("GET", "/deliveries/%ff".into(), &[], "", gone, &["id"]),
        ("GET", "/sinks/%ff/given-up?limit=0".into(), &[], "", gone, &["id", "limit"]),
        ("POST", "/quarantine/7/discard?zz=1".into(), &[("idempotency-key", "k")], "x", invalid, {
            &["zz", "Idempotency-Key", "body"]
        }),
        (
            "POST",
            "/orders/7/moves?zz=1".into(),
            &[("idempotency-key", "a key")],
            r#"{"status":"cancelled","x":1}"#,
            { invalid },
            &["zz", "Idempotency-Key", "x", "reason_code"],
        ),
        (
            "POST",
            "/orders/7/moves".into(),
            &[],
            r#"{"status":"eaten","reason_code":"","occurred_at":1}"#,
            invalid,
            { &["status", "occurred_at", "reason_code"] },
        ),
        ("POST", "/orders/x/moves".into(), &[], r#"{"status":"ready","reason_code":1,"x":1}"#, gone, {
            &["id", "x", "reason_code"]
        }),
    ];
    for (method, path, headers, body, refusal, expected) in cases {
        let headers = [&[("authorization", authorization.as_str())], *headers].concat();
        let mut request = head(method, path, &headers, Some(body.len()));
        request.extend_from_slice(body.as_bytes());
        let answer = exchange(inbox.address, request).await;
        openapi::assert_documented(method, path, &answer);
        let error = answer.json()["error"].clone();
        let told: Vec<_> =
            error["details"].as_array().unwrap_or_else(|| panic!("{path} {error}")).iter().collect();
        let paths: Vec<_> = told.iter().map(|fault| fault["path"].as_str().unwrap()).collect();
        assert_eq!((answer.status, error["code"].as_str().unwrap()), *refusal, "{method} {path}: {error}");
        assert_eq!(paths, *expected, "{method} {path}: {error}");
        assert!(error["message"].as_str().unwrap().starts_with(&format!("{}: ", paths[0])), "{error}");
    }
}

#[tokio::test]
async fn a_delivery_that_is_said_to_be_in_an_encoding_is_taken_as_it_came() {
    let inbox = Running::start().await;
    let body = envelope(&[r#"{"id":7,"status":1}"#]);
    // The signature covers these bytes, so they are genuine: where they read, they are read, whatever a proxy wrote beside them;
    // where not, they are kept.
    for (id, bytes) in [("evt_1", body.as_bytes()), ("evt_2", b"\x1f\x8b\x08 not unpacked")] {
        let signature = sign(SECRET, bytes);
        let headers = [
            ("x-klikit-signature", signature.as_str()),
            ("x-klikit-event-id", id),
            ("content-encoding", "gzip"),
        ];
        inbox.post(&headers, bytes).await.is(200, r#"{"status":"received"}"#);
    }
    assert_eq!(inbox.record(7).await, r#"{"id":7,"status":1}"#);
    let kept = inbox.get("/quarantine").await.json()["data"]["quarantine"].clone();
    assert_eq!(
        (kept.as_array().unwrap().len(), &kept[0]["delivery_id"]),
        (1, &Value::from("evt_2")),
        "{kept}"
    );
    // Whoever looks into it sees why it does not read.
    let shown = inbox.get("/deliveries/evt_2").await.json()["data"].clone();
    assert_eq!(shown["headers"]["content-encoding"], "gzip", "{shown}");
}

#[tokio::test]
async fn a_genuine_delivery_is_taken_in_whatever_it_brings_beside_it() {
    let inbox = Running::start().await;
    let body = envelope(&[r#"{"id":7,"status":1}"#]);
    let signature = sign(SECRET, body.as_bytes());
    let headers = [("x-klikit-signature", signature.as_str()), ("idempotency-key", "k")];
    let mut request = head("POST", "/webhooks/klikit?source=klikit&v=2", &headers, Some(body.len()));
    request.extend_from_slice(body.as_bytes());
    exchange(inbox.address, request).await.is(200, r#"{"status":"received"}"#);
    assert_eq!(inbox.record(7).await, r#"{"id":7,"status":1}"#);
}

#[tokio::test]
async fn an_order_that_is_nested_too_deeply_is_kept_aside_and_its_neighbours_are_shown() {
    let inbox = Running::start().await;
    let deep =
        |levels: usize| format!(r#"{{"id":8,"status":1,"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    let (fits, too_deep) = (deep(63), deep(200_000));
    let both = envelope(&[r#"{"id":7,"status":1}"#, &too_deep]);
    inbox.deliver("evt_1", &both).await.is(200, r#"{"status":"received"}"#);
    inbox.deliver("evt_2", &envelope(&[&too_deep])).await.is(200, r#"{"status":"received"}"#);
    assert_eq!(inbox.record(7).await, r#"{"id":7,"status":1}"#);
    assert_eq!(inbox.get("/orders/8").await.status, 404);
    let kept = inbox.get("/quarantine").await.json()["data"]["quarantine"].clone();
    assert_eq!(kept.as_array().unwrap().len(), 2, "{kept}");
    for item in kept.as_array().unwrap() {
        let reason = item["reason"].as_str().unwrap();
        assert!(reason.contains("nested too deeply: at most 64 levels"), "{reason}");
    }
    inbox.deliver("evt_3", &envelope(&[&fits])).await.is(200, r#"{"status":"received"}"#);
    assert_eq!(inbox.record(8).await, fits);
}
