//! Misuse of the API: all that is wrong is told at once and by name, and nothing is passed over without a word.

use serde_json::{Value, json};

use crate::harness::{BUSINESS, PartnerAccess, Running, operator, order};
use crate::http::{Answer, exchange, head};
use crate::openapi;

const INVALID: (u16, &str) = (400, "request_invalid");

/// Sends a request as the operator, with more headers.
async fn call(platform: &Running, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    call_as(platform, &operator(), method, path, headers, body).await
}

async fn call_as(
    platform: &Running,
    authorization: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let all = [&[("authorization", authorization)], headers].concat();
    let mut request = head(method, path, &all, Some(body.len()));
    request.extend_from_slice(body.as_bytes());
    let answer = exchange(platform.address, request).await;
    openapi::assert_documented(method, path, &answer);
    answer
}

/// The paths in the details of a refusal, sorted; the message begins with the first of them.
fn paths(error: &Value) -> Vec<String> {
    let told = error["details"].as_array().unwrap_or_else(|| panic!("{error}"));
    let path = |fault: &Value| fault["path"].as_str().unwrap().to_owned();
    assert!(error["message"].as_str().unwrap().starts_with(&format!("{}: ", path(&told[0]))), "{error}");
    let mut paths: Vec<String> = told.iter().map(path).collect();
    paths.sort();
    paths
}

fn refused(answer: &Answer) -> Value {
    let error = answer.json()["error"].clone();
    assert_eq!((answer.status, error["code"].as_str().unwrap()), INVALID, "{error}");
    error
}

#[tokio::test]
async fn all_that_is_wrong_with_a_new_order_is_told_at_once_alone_and_in_a_line() {
    let platform = Running::start().await;
    platform.hierarchy(BUSINESS, &[(10, &[100]), (11, &[100])]).await;
    let many: Vec<Value> = (0..80).map(Value::from).collect();
    let cases = [
        (json!({}), vec!["branch_id", "brands", "business_id"]),
        (
            json!({"id": 0, "business_id": "7", "branch_id": 1.5, "brands": [7, {}, {"id": 10}, {"id": -1}], "status": 5}),
            vec!["branch_id", "brands[0]", "brands[1].id", "brands[3].id", "business_id", "id", "status"],
        ),
        // What follows from the hierarchy, too.
        (
            json!({"id": "x", "business_id": 7, "branch_id": 100, "brands": [{"id": 10}, {"id": 99}]}),
            vec!["brands[1].id", "id"],
        ),
        (
            json!({"business_id": 7, "branch_id": 5, "brands": [{"id": 98}, {"id": 10}, {"id": 99}]}),
            vec!["branch_id", "brands[0].id", "brands[2].id"],
        ),
    ];
    let mut lines = String::new();
    for (record, expected) in &cases {
        let answer = platform.call("POST", "/v1/operator/orders", record.to_string()).await;
        assert_eq!(paths(&refused(&answer)), *expected, "{record}");
        lines.push_str(&format!("{record}\n"));
    }
    let twice = r#"{"id":1,"id":2,"type":1,"type":2,"business_id":7,"branch_id":100,"brands":[{"id":10}],"status":true}"#;
    let answer = platform.call("POST", "/v1/operator/orders", twice).await;
    assert_eq!(paths(&refused(&answer)), ["id", "status", "type"]);
    let bad = json!({"business_id": 7, "branch_id": 100, "brands": many}).to_string();
    let answer = platform.call("POST", "/v1/operator/orders", &bad).await;
    assert_eq!(refused(&answer)["details"].as_array().unwrap().len(), 50);

    lines.push_str(&format!("{}\n", json!({"op": "move", "id": "x", "status": [], "tpyo": 1})));
    let answers = platform.call("POST", "/v1/operator/orders/bulk", &lines).await.expect(200);
    let text = String::from_utf8_lossy(&answers.body).into_owned();
    let told: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect();
    assert_eq!(told.len(), cases.len() + 1, "{text}");
    for (line, (record, expected)) in told.iter().zip(&cases) {
        assert_eq!(paths(&line["error"]), *expected, "{record}");
    }
    assert_eq!(paths(&told[cases.len()]["error"]), ["id", "status", "tpyo"]);
    assert_eq!(platform.status().await["orders"], 0);
}

#[tokio::test]
async fn all_bad_parameters_are_told_at_once() {
    let platform = Running::start().await;
    let partner = platform.partner("Till", BUSINESS).await;
    let (earlier, later) = ("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z");
    for (path, expected) in [
        ("operator/orders?limit=0&after=-1&business_id=0", &["after", "business_id", "limit"][..]),
        (
            &format!(
                "operator/deliveries?limit=1001&order_id=0&endpoint_id=-5&before=0&since={later}&until={earlier}"
            ),
            &["before", "endpoint_id", "limit", "order_id", "until"],
        ),
        ("operator/deliveries?limit=0&state=lost&order_id=x", &["limit", "order_id", "state"]),
        (
            &format!(
                "operator/audit?action=order.fly&token_id=-1&limit=0&before=0&since={later}&until={earlier}"
            ),
            &["action", "before", "limit", "token_id", "until"],
        ),
        ("operator/replays?limit=0&before=-1", &["before", "limit"]),
        (
            &format!(
                "partner/orders?page=0&size=1001&status=-1&brand_id=0&branch_id=-1&created_from={later}&created_to={earlier}"
            ),
            &["branch_id", "brand_id", "created_to", "page", "size", "status"],
        ),
        ("partner/orders?page=0&size=x&status=flying", &["page", "size", "status"]),
        ("partner/orders?status=x&size=x&zz=1", &["size", "status", "zz"]),
        (
            &format!("partner/orders?size=x&created_from={later}&created_to={earlier}"),
            &["created_to", "size"],
        ),
        ("partner/orders?size=x&created_from=2020-01-01T00:00:00Z", &["created_from", "size"]),
        // Up to when nobody knows, so that nothing is said of how long that is.
        ("partner/orders?created_from=2020-01-01T00:00:00Z&created_to=x", &["created_to"]),
        (&format!("operator/audit?limit=x&since={later}&until={earlier}&zz=1"), &["limit", "until", "zz"]),
        (&format!("operator/deliveries?since={later}&since={later}&until={earlier}"), &["since"]),
        ("partner/deliveries?before=x&limit=0&order_id=0", &["before", "limit", "order_id"]),
        ("partner/events?after=x&limit=201", &["after", "limit"]),
    ] {
        let authorization = if path.starts_with("operator") { operator() } else { partner.basic() };
        let answer = platform.call_as(Some(&authorization), "GET", &format!("/v1/{path}"), "").await;
        assert_eq!(paths(&refused(&answer)), *expected, "{path}");
    }
    // Equal bounds are an empty stretch, and no mistake.
    for path in ["operator/deliveries", "operator/audit"] {
        platform.get(&format!("/v1/{path}?since={later}&until={later}")).await;
    }
    platform.get("/v1/operator/audit?action=order.create&token_id=0").await;
    let body = r#"{"filter":{"order_id":0,"webhook_id":-1,"endpoint_id":0}}"#;
    let answer = platform.call("POST", "/v1/operator/replays", body).await;
    assert_eq!(paths(&refused(&answer)), ["filter.endpoint_id", "filter.order_id", "filter.webhook_id"]);
}

#[tokio::test]
async fn no_call_passes_over_a_parameter_that_it_does_not_know() {
    let platform = Running::start().await;
    let partner = platform.partner("Till", BUSINESS).await;
    let mut looked_at = 0;
    for call in openapi::calls() {
        let path = call.path.replace("{id}", "1");
        let probes = ["/healthz", "/readyz"];
        let authorization = match call.path.starts_with("/v1/partner") {
            true => partner.basic(),
            false => operator(),
        };
        let with = |query: &str| format!("{path}?{query}");
        let methods: &[&str] = if call.method == "GET" { &["GET", "HEAD"] } else { &[&call.method] };
        for method in methods {
            let answer = platform.call_as(Some(&authorization), method, &with("tpyo=1&more=2"), "").await;
            if probes.contains(&path.as_str()) {
                assert_eq!(answer.status, 200, "a monitor may add what it likes: {path}");
                continue;
            }
            assert_eq!(answer.status, 400, "{method} {path}");
            if *method != "HEAD" {
                let mut told = paths(&refused(&answer));
                // They are told beside whatever else is wrong with a request of nothing.
                told.retain(|path| !["body", "Idempotency-Key"].contains(&path.as_str()));
                assert_eq!(told, ["more", "tpyo"], "{method} {path}");
            }
            looked_at += 1;
        }
        if probes.contains(&path.as_str()) {
            continue;
        }
        // A body where none is read, and one in an encoding.
        let headers = [("content-encoding", "gzip")];
        let answer = call_as(&platform, &authorization, &call.method, &path, &headers, "x").await;
        let (_, said) = answer.error();
        match call.method.as_str() {
            "GET" => {
                assert_eq!((answer.status, said.as_str()), (400, "body: this call takes none"), "{path}")
            }
            method => {
                assert_eq!(answer.status, 415, "{method} {path}: {said}");
                assert_eq!(answer.header("accept-encoding"), Some("identity"));
            }
        }
    }
    assert!(looked_at > 60, "{looked_at}");
    // Who may not make the call at all learns nothing of it.
    let reports = platform.partner_with(&["orders:read"]).await;
    let answer = platform.get_as(&reports, "/v1/partner/webhooks?tpyo=1").await;
    assert_eq!((answer.status, answer.error().0.as_str()), (403, "auth_forbidden"));
    assert_eq!(platform.call_as(None, "GET", "/v1/operator/partners?tpyo=1", "").await.status, 401);
}

/// A request with its method, path, further headers and body; its refusal, and the paths in it.
type Bad<'a> = (&'a str, String, &'a [(&'a str, &'a str)], &'a str, (u16, &'a str), &'a [&'a str]);

#[tokio::test]
async fn whatever_is_wrong_with_a_request_is_told_at_once_wherever_it_stands() {
    let platform = Running::start().await;
    platform.hierarchy(BUSINESS, &[(10, &[100])]).await;
    let partner = platform.partner("Till", BUSINESS).await;
    let good = order(BUSINESS, 100, &[10]).to_string();
    let id = platform.create(&order(BUSINESS, 100, &[10])).await["id"].as_i64().unwrap();
    let before = platform.snapshot().await;
    let (invalid, gone) = ((400, "request_invalid"), (404, "resource_not_found"));
    let keyless = (400, "request_missing_idempotency_key");
    let encoded = (415, "request_encoding_unsupported");
    let long = "k".repeat(256);
    let cases: &[Bad<'_>] = &[
        (
            "POST",
            "operator/orders?zz=1".into(),
            &[],
            "{}",
            invalid,
            &["branch_id", "brands", "business_id", "zz"],
        ),
        // What follows from the hierarchy, too.
        (
            "POST",
            "operator/orders?zz=1".into(),
            &[("idempotency-key", "a b")],
            &good.replace("100", "999"),
            invalid,
            &["Idempotency-Key", "branch_id", "zz"],
        ),
        (
            "POST",
            "operator/orders".into(),
            &[("idempotency-key", &long)],
            &good,
            invalid,
            &["Idempotency-Key"],
        ),
        (
            "POST",
            "operator/orders".into(),
            &[("idempotency-key", "")],
            "[]",
            invalid,
            &["Idempotency-Key", "body"],
        ),
        (
            "PATCH",
            format!("operator/orders/{id}/status?zz=1"),
            &[("idempotency-key", "a"), ("idempotency-key", "b")],
            r#"{"status":"eaten","x":1}"#,
            invalid,
            &["Idempotency-Key", "status", "x", "zz"],
        ),
        (
            "PUT",
            format!("operator/orders/{id}/cart?zz=1"),
            &[],
            r#"{"id":1}"#,
            invalid,
            &["cart", "id", "zz"],
        ),
        ("PUT", "operator/orders/07/cart".into(), &[], r#"{"id":1}"#, gone, &["cart", "id", "id"]),
        ("PATCH", "operator/orders/x/status".into(), &[], "{}", gone, &["id", "status"]),
        ("POST", "operator/partners?zz=1".into(), &[("idempotency-key", "a")], r#"{"name":" "}"#, invalid, {
            &["Idempotency-Key", "business_id", "name", "zz"]
        }),
        (
            "POST",
            "operator/deliveries/evt_0/cancel?by=%20&zz=1".into(),
            &[],
            "x",
            invalid,
            &["body", "by", "zz"],
        ),
        // What is too large for us is one fault among others, and nobody knows a field that looks like a part of one.
        (
            "PUT",
            "operator/webhooks".into(),
            &[],
            r#"{"partner_id":"nope","brand_id":0,"event_type":"x","url":"ftp://x","in_flight_max":4294967296}"#,
            invalid,
            &["brand_id", "event_type", "in_flight_max", "partner_id", "url"],
        ),
        (
            "PATCH",
            format!("operator/orders/{id}/status"),
            &[],
            r#"{"zz":1,"status":9223372036854775808,"reason_code":""}"#,
            invalid,
            &["reason_code", "status", "zz"],
        ),
        (
            "PATCH",
            format!("partner/orders/{id}/status"),
            &[("idempotency-key", "a")],
            r#"{"occurred_at":1,"status":"rejected","reason_code":18446744073709551616}"#,
            invalid,
            &["occurred_at", "reason_code"],
        ),
        (
            "PATCH",
            format!("operator/orders/{id}/status"),
            &[],
            r#"{"status.x":1,"":2,"status":"accepted","reason_code":"r"}"#,
            invalid,
            &["body", "reason_code", "status.x"],
        ),
        // Of a body that cannot be read for its encoding nothing is said.
        (
            "PATCH",
            "operator/orders/0/status?zz=1".into(),
            &[("content-encoding", "gzip"), ("idempotency-key", "a b")],
            r#"{"status":"zz"}"#,
            invalid,
            &["Content-Encoding", "Idempotency-Key", "id", "zz"],
        ),
        (
            "POST",
            "operator/orders/bulk".into(),
            &[("content-encoding", "br")],
            "x",
            encoded,
            &["Content-Encoding"],
        ),
        ("POST", "operator/deliveries/%ff/cancel?by=%20".into(), &[], "x", gone, &["body", "by", "id"]),
        ("POST", "operator/orders/bulk?zz=1".into(), &[], "", invalid, &["body", "zz"]),
        ("POST", "operator/webhooks/1/enable".into(), &[], r#"{"a":1}"#, invalid, &["body"]),
        ("GET", "operator/deliveries/%ff".into(), &[], "", gone, &["id"]),
        ("GET", "operator/orders/%ff".into(), &[], "", gone, &["id"]),
        ("GET", "partner/orders/%ff".into(), &[], "", gone, &["id"]),
        ("POST", "partner/deliveries/%ff/replay".into(), &[("idempotency-key", "a")], "", gone, &["id"]),
        ("PATCH", format!("partner/orders/{id}/status?zz=1"), &[], r#"{"status":"eaten"}"#, invalid, {
            &["Idempotency-Key", "status", "zz"]
        }),
        ("PATCH", format!("partner/orders/{id}/status"), &[], r#"{"status":"rejected"}"#, keyless, {
            &["Idempotency-Key", "reason_code"]
        }),
        ("PATCH", format!("partner/orders/{id}/status"), &[("idempotency-key", "\u{e9}")], "{}", invalid, {
            &["Idempotency-Key", "status"]
        }),
        ("POST", "partner/deliveries/evt_0/replay".into(), &[], "x", keyless, &["Idempotency-Key", "body"]),
        (
            "GET",
            "partner/orders?created_from=2020-01-01T00:00:00Z".into(),
            &[],
            "",
            { (400, "request_invalid_range") },
            &["created_from"],
        ),
    ];
    for (method, path, headers, body, refusal, expected) in cases {
        let authorization = if path.starts_with("operator") { operator() } else { partner.basic() };
        let path = format!("/v1/{path}");
        let answer = call_as(&platform, &authorization, method, &path, headers, body).await;
        let error = answer.json()["error"].clone();
        let what = format!("{method} {path} {body}: {error}");
        assert_eq!((answer.status, error["code"].as_str().unwrap()), *refusal, "{what}");
        assert_eq!(paths(&error), *expected, "{what}");
    }
    assert_eq!(platform.snapshot().await, before);
}

/// Asks for the same twice under one key.
async fn twice(platform: &Running, method: &str, path: &str, key: &str, body: &str) -> (Answer, Answer) {
    let first = call(platform, method, path, &[("idempotency-key", key)], body).await;
    let again = call(platform, method, path, &[("Idempotency-Key", key)], body).await;
    (first, again)
}

fn conflicts(answer: &Answer) {
    let (code, message) = answer.error();
    assert_eq!((answer.status, code.as_str()), (409, "state_idempotency_conflict"), "{message}");
    assert!(message.starts_with("Idempotency-Key: "), "{message}");
}

#[tokio::test]
async fn an_order_that_is_posted_again_under_its_key_is_one_order() {
    let platform = Running::start().await;
    let record = order(BUSINESS, 100, &[10]).to_string();
    let (first, again) = twice(&platform, "POST", "/v1/operator/orders", "order-4711", &record).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.data_text(), again.data_text());
    let id = first.data()["id"].as_i64().unwrap();

    // Without a key there is another one each time, and another key is another order.
    for headers in [&[][..], &[("idempotency-key", "order-4712")]] {
        let answer = call(&platform, "POST", "/v1/operator/orders", headers, &record).await.expect(201);
        assert_ne!(answer.data()["id"], id);
    }
    let other = order(BUSINESS, 101, &[10]).to_string();
    let key = [("idempotency-key", "order-4711")];
    conflicts(&call(&platform, "POST", "/v1/operator/orders", &key, &other).await);
    conflicts(
        &call(&platform, "PUT", &format!("/v1/operator/orders/{id}/cart"), &key, r#"{"cart":[]}"#).await,
    );

    // At one time there is one too.
    let at_once = [("idempotency-key", "at-once")];
    let post = || call(&platform, "POST", "/v1/operator/orders", &at_once, &record);
    let (a, b, c, d) = tokio::join!(post(), post(), post(), post());
    assert!([b, c, d].iter().all(|other| other.data_text() == a.data_text()));
    assert_eq!(platform.status().await["orders"], 4);

    // The key is the token's own, and what was done is in the audit log once.
    let token = platform.token("Kiosk", "surface").await;
    let of_kiosk = format!("Bearer {token}");
    let answer =
        call_as(&platform, &of_kiosk, "POST", "/v1/operator/orders", &key, &record).await.expect(201);
    assert_ne!(answer.data()["id"], id);
    let audit = platform.get(&format!("/v1/operator/audit?action=order.create&target={id}")).await.data();
    assert_eq!(audit["entries"].as_array().unwrap().len(), 1);

    for bad in ["", "with space", &"x".repeat(256)] {
        let answer =
            call(&platform, "POST", "/v1/operator/orders", &[("idempotency-key", bad)], &record).await;
        let message = "Idempotency-Key: expected one key of 1 to 255 visible ASCII characters";
        answer.is_refused(400, "request_invalid", message);
    }
    assert_eq!(platform.status().await["orders"], 5);
}

#[tokio::test]
async fn a_move_and_a_cart_edit_under_a_key_are_made_once_and_a_refusal_is_said_again() {
    let platform = Running::start().await;
    let id = platform.order().await;
    let (status, cart) =
        (format!("/v1/operator/orders/{id}/status"), format!("/v1/operator/orders/{id}/cart"));
    let (first, _) = twice(&platform, "PATCH", &status, "m1", r#"{"status":"accepted"}"#).await;
    platform.move_to(id, "READY").await.expect(200);
    let again =
        call(&platform, "PATCH", &status, &[("idempotency-key", "m1")], r#"{"status":"accepted"}"#).await;
    assert_eq!((again.status, again.data_text()), (200, first.data_text()));
    let (backward, again) = twice(&platform, "PATCH", &status, "m2", r#"{"status":"accepted"}"#).await;
    assert_eq!((backward.status, again.status), (409, 409));
    assert_eq!(backward.error(), again.error());

    let (first, again) = twice(&platform, "PUT", &cart, "c1", r#"{"cart":[{"title":"x"}]}"#).await;
    assert_eq!((again.status, again.data_text()), (200, first.data_text()));
    assert_eq!(first.data()["version"], 4);
    platform.move_to(id, "CANCELLED").await.expect(200);
    let again =
        call(&platform, "PATCH", &status, &[("idempotency-key", "m2")], r#"{"status":"accepted"}"#).await;
    assert_eq!(again.error(), backward.error(), "what it was refused for then");
    let (last, again) = twice(&platform, "PUT", &cart, "c2", r#"{"cart":[]}"#).await;
    assert_eq!((last.status, last.error()), (409, again.error()));
    let (missing, again) =
        twice(&platform, "PATCH", "/v1/operator/orders/4040404/status", "m3", r#"{"status":4}"#).await;
    assert_eq!((missing.status, missing.error()), (404, again.error()));
    conflicts(&call(&platform, "PATCH", &status, &[("idempotency-key", "m3")], r#"{"status":4}"#).await);
    assert_eq!(platform.get(&format!("/v1/operator/orders/{id}")).await.data()["version"], 5);
}

#[tokio::test]
async fn a_key_on_a_write_that_takes_none_is_refused() {
    let platform = Running::start().await;
    let keyed = ["/v1/operator/orders", "/v1/operator/orders/{id}/status", "/v1/operator/orders/{id}/cart"];
    let before = platform.snapshot().await;
    let mut looked_at = 0;
    for called in openapi::calls() {
        if called.method == "GET"
            || !called.path.starts_with("/v1/operator")
            || keyed.contains(&called.path.as_str())
        {
            continue;
        }
        let path = called.path.replace("{id}", "1");
        let answer = call(&platform, &called.method, &path, &[("idempotency-key", "k")], "").await;
        // Beside it that a call which takes a body got none.
        let message = "Idempotency-Key: this call takes none: it would be done again each time";
        let error = refused(&answer);
        assert!(error["message"].as_str().unwrap().starts_with(message), "{path} {error}");
        looked_at += 1;
    }
    assert!(looked_at > 15, "{looked_at}");
    assert_eq!(platform.snapshot().await, before);
}

#[tokio::test]
async fn what_is_nested_too_deeply_is_refused_by_every_call_that_takes_json() {
    let platform = Running::start().await;
    let partner = platform.partner("Till", BUSINESS).await;
    let id = platform.order().await;
    let message = "body: nested too deeply: at most 64 levels of arrays and objects are taken";
    let nest = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let record = |levels: usize| {
        let record = order(BUSINESS, 100, &[10]).to_string();
        format!("{},\"deep\":{}}}", &record[..record.len() - 1], nest(levels))
    };
    for levels in [64, 500_000] {
        for (method, path, body) in [
            ("POST", "/v1/operator/orders".to_owned(), record(levels)),
            ("PUT", format!("/v1/operator/orders/{id}/cart"), format!("{{\"cart\":{}}}", nest(levels))),
            ("PATCH", format!("/v1/operator/orders/{id}/status"), format!("{{\"status\":{}}}", nest(levels))),
            ("POST", "/v1/operator/partners".to_owned(), format!("{{\"name\":{}}}", nest(levels))),
            ("POST", "/v1/operator/replays".to_owned(), format!("{{\"filter\":{}}}", nest(levels))),
        ] {
            platform.call(method, &path, body).await.is_refused(400, "request_invalid", message);
        }
        let path = format!("/v1/partner/orders/{id}/status");
        let body = format!("{{\"status\":{}}}", nest(levels));
        platform.write_as(&partner, Some("k"), "PATCH", &path, &body).await.is_refused(
            400,
            "request_invalid",
            message,
        );
        let lines = format!("{}\n{}\n", record(levels), order(BUSINESS, 100, &[10]));
        let answer = platform.call("POST", "/v1/operator/orders/bulk", lines).await.expect(200);
        assert!(
            answer.text().contains(message) && answer.text().contains("\"line\":2,\"data\""),
            "{}",
            answer.text()
        );
    }
    // As deep as it may be, it is kept as it is, and comes back so by every way.
    let made = platform.call("POST", "/v1/operator/orders", record(63)).await.expect(201).data_text();
    assert!(made.contains(&nest(63)));
    let listed = platform.get_as(&partner, "/v1/partner/orders").await.expect(200);
    assert!(listed.text().contains(&nest(63)));
}

#[tokio::test]
async fn an_id_in_a_path_has_one_spelling() {
    let platform = Running::start().await;
    let partner: PartnerAccess = platform.partner("Till", BUSINESS).await;
    let id = platform.order().await;
    platform.get_as(&partner, &format!("/v1/partner/orders/{id}")).await.expect(200);
    for spelling in
        [format!("0{id}"), format!("00{id}"), format!("+{id}"), format!("{id}.0"), format!("%20{id}")]
    {
        let answer = platform.get_as(&partner, &format!("/v1/partner/orders/{spelling}")).await;
        answer.is_refused(404, "resource_not_found", "id: expected an integer above zero in the path");
        let path = format!("/v1/operator/orders/{spelling}/status");
        assert_eq!(platform.call("PATCH", &path, r#"{"status":4}"#).await.status, 404);
    }
}

#[tokio::test]
async fn times_are_those_of_rfc_3339_and_all_of_them() {
    let platform = Running::start().await;
    let list = |since: &str| format!("/v1/operator/deliveries?since={}", since.replace('+', "%2B"));
    for time in ["9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "2026-03-01T18:30:00.123456789%2B07:00"] {
        platform.get(&list(time)).await;
    }
    for time in ["2026-03-01T18:30Z", "20260301T183000Z", "2026-03-01T18:30:00+07", "%202026-03-01T18:30:00Z"]
    {
        let answer = platform.call("GET", &list(time), "").await;
        assert!(refused(&answer)["message"].as_str().unwrap().contains("expected RFC 3339"), "{time}");
    }
}

#[tokio::test]
async fn a_name_like_the_first_operators_is_refused_in_any_case() {
    let platform = Running::start().await;
    for name in ["operator", "Operator", " OPERATOR "] {
        let body = json!({"name": name, "role": "support"}).to_string();
        let answer = platform.call("POST", "/v1/operator/tokens", body).await;
        assert_eq!((answer.status, answer.error().0.as_str()), (409, "state_idempotency_conflict"), "{name}");
    }
    platform.token("Operators", "support").await;
}

#[tokio::test]
async fn two_credentials_in_one_request_are_none() {
    let platform = Running::start().await;
    let partner = platform.partner("Till", BUSINESS).await;
    for (path, authorization) in
        [("/v1/operator/orders", operator()), ("/v1/partner/orders", partner.basic())]
    {
        for second in ["Bearer x", authorization.as_str()] {
            let headers = [("authorization", second)];
            let answer = call_as(&platform, &authorization, "GET", path, &headers, "").await;
            answer.is_refused(400, "request_invalid", "Authorization: given more than once");
        }
    }
}
