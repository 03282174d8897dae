//! The read side: pages, refusals that name the parameter, and who may look.

use serde_json::Value;

use crate::harness::{Running, config, envelope, exchange, head, named};

async fn with_orders(ids: impl IntoIterator<Item = i64>) -> Running {
    let inbox = Running::start().await;
    for id in ids {
        let record = format!(r#"{{"id":{id},"status":1}}"#);
        inbox.deliver(&format!("evt_{id}"), &envelope(&[&record])).await.is(200, r#"{"status":"received"}"#);
    }
    inbox
}

fn ids(answer: &Value) -> Vec<i64> {
    answer["data"]["orders"].as_array().unwrap().iter().map(|order| order["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn orders_come_in_pages_by_id_each_exactly_once() {
    let inbox = with_orders((1..=7).map(|i| i * 10)).await;
    for (limit, pages) in [(1, 7), (3, 3), (6, 2), (7, 1), (8, 1), (1000, 1)] {
        let (mut seen, mut after, mut count) = (Vec::new(), None, 0);
        loop {
            let path = match after {
                None => format!("/orders?limit={limit}"),
                Some(after) => format!("/orders?limit={limit}&after={after}"),
            };
            let answer = inbox.get(&path).await.json();
            let page = ids(&answer);
            assert!(page.len() <= limit);
            seen.extend(page);
            count += 1;
            after = answer["data"]["next_after"].as_i64();
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, [10, 20, 30, 40, 50, 60, 70], "limit {limit}");
        assert_eq!(count, pages, "limit {limit}");
    }
    // A place between two orders is a place, too.
    assert_eq!(ids(&inbox.get("/orders?after=55").await.json()), [60, 70]);
    assert_eq!(ids(&inbox.get("/orders?after=0&limit=1").await.json()), [10]);
}

#[tokio::test]
async fn a_page_has_a_hundred_orders_unless_more_are_asked_for() {
    let records: Vec<String> = (1..=130).map(|id| format!(r#"{{"id":{id},"status":1}}"#)).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let inbox = Running::start().await;
    inbox.deliver("evt_1", &envelope(&records)).await.is(200, r#"{"status":"received"}"#);
    let first = inbox.get("/orders").await.json();
    assert_eq!(ids(&first), (1..=100).collect::<Vec<_>>());
    assert_eq!(first["data"]["next_after"], 100);
    let rest = inbox.get("/orders?after=100").await.json();
    assert_eq!(ids(&rest), (101..=130).collect::<Vec<_>>());
    assert!(rest["data"]["next_after"].is_null());
    assert_eq!(ids(&inbox.get("/orders?limit=130").await.json()).len(), 130);
}

#[tokio::test]
async fn a_page_of_large_records_ends_early_and_says_where_to_go_on() {
    let inbox = Running::start().await;
    let comment = "x".repeat(6 << 20);
    for id in 1..=4 {
        let record = format!(r#"{{"id":{id},"status":1,"order_comment":"{comment}"}}"#);
        inbox.deliver(&format!("evt_{id}"), &envelope(&[&record])).await.is(200, r#"{"status":"received"}"#);
    }
    let first = inbox.get("/orders").await.json();
    assert_eq!((ids(&first), first["data"]["next_after"].as_i64()), (vec![1, 2], Some(2)));
    let rest = inbox.get("/orders?after=2").await.json();
    assert_eq!((ids(&rest), rest["data"]["next_after"].as_i64()), (vec![3, 4], None));
}

#[tokio::test]
async fn a_history_comes_in_pages_and_all_of_it_unless_it_is_long() {
    let inbox = Running::start().await;
    for version in 1..=5 {
        let record = format!(r#"{{"id":7,"status":1,"version":{version}}}"#);
        let id = format!("evt_{version}");
        // The first comes twice in one delivery.
        let again = if version == 1 { vec![record.as_str(); 2] } else { vec![record.as_str()] };
        inbox.deliver(&id, &envelope(&again)).await.is(200, r#"{"status":"received"}"#);
    }
    let versions = |answer: &Value| -> Vec<i64> {
        let states = answer["data"]["history"].as_array().unwrap();
        states.iter().map(|state| state["version"].as_i64().unwrap()).collect()
    };
    let whole = inbox.get("/orders/7/history").await.json();
    assert_eq!((versions(&whole), &whole["data"]["next_after"]), (vec![1, 1, 2, 3, 4, 5], &Value::Null));
    for limit in [1, 2, 4, 6] {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let page = inbox.get(&format!("/orders/7/history?limit={limit}{after}")).await.json();
            assert!(versions(&page).len() <= limit);
            found.extend(versions(&page));
            match page["data"]["next_after"].as_str() {
                Some(place) => after = format!("&after={place}"),
                None => break,
            }
        }
        assert_eq!(found, [1, 1, 2, 3, 4, 5], "{limit}");
    }
}

#[tokio::test]
async fn the_quarantine_comes_in_pages() {
    let inbox = Running::start().await;
    for i in 0..3 {
        inbox.deliver(&format!("evt_{i}"), &format!("garbage {i}")).await.is(200, r#"{"status":"received"}"#);
    }
    let first = inbox.get("/quarantine?limit=2").await.json();
    let texts = |answer: &Value| -> Vec<String> {
        let kept = answer["data"]["quarantine"].as_array().unwrap();
        kept.iter().map(|item| item["text"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(texts(&first), ["garbage 0", "garbage 1"]);
    let after = first["data"]["next_after"].as_i64().unwrap();
    let rest = inbox.get(&format!("/quarantine?after={after}")).await.json();
    assert_eq!(texts(&rest), ["garbage 2"]);
    assert!(rest["data"]["next_after"].is_null());
}

#[tokio::test]
async fn a_bad_parameter_is_named() {
    let inbox = Running::start().await;
    for (path, named) in [
        ("/orders?limit=0", "limit:"),
        ("/orders?limit=1001", "limit:"),
        ("/orders?limit=-1", "limit:"),
        ("/orders?limit=ten", "limit:"),
        ("/orders?limit=", "limit:"),
        ("/orders?after=x", "after:"),
        ("/orders?after=1.5", "after:"),
        ("/orders?after=99999999999999999999", "after:"),
        ("/orders?limit=1&limit=2", "limit"),
        ("/orders?limt=5", "limt"),
        ("/quarantine?limit=0", "limit:"),
        ("/quarantine?after=x", "after:"),
        ("/orders?after=-1", "after:"),
        ("/orders?status=-1", "status:"),
        ("/orders/7/history?limit=0", "limit:"),
        ("/orders/7/history?after=7", "after:"),
        ("/orders/7/history?after=x.1", "after:"),
        ("/orders/7/history?page=1", "page"),
    ] {
        let answer = inbox.get(path).await;
        let (code, message) = answer.error();
        assert_eq!((answer.status, code.as_str()), (400, "request_invalid"), "{path}: {message}");
        assert!(message.contains(named), "{path}: {message}");
    }
    for path in [
        "/orders/0",
        "/orders/-1",
        "/orders/x",
        "/orders/07",
        "/orders/1x/history",
        "/orders/99999999999999999999",
    ] {
        let answer = inbox.get(path).await;
        let (code, message) = answer.error();
        assert_eq!((answer.status, code.as_str()), (404, "resource_not_found"), "{path}: {message}");
        assert!(message.contains("id:"), "{path}: {message}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_in_the_envelope() {
    let inbox = with_orders([7]).await;
    for path in ["/orders/8", "/orders/8/history", "/", "/order", "/orders/7/x", "/webhooks", "/metricsx"] {
        let answer = inbox.get(path).await;
        assert_eq!((answer.status, answer.error().0.as_str()), (404, "resource_not_found"), "{path}");
    }
    for (method, path, allowed) in [
        ("GET", "/webhooks/klikit", "post"),
        ("PUT", "/webhooks/klikit", "post"),
        ("POST", "/orders", "get,head"),
        ("DELETE", "/orders/7", "get,head"),
        ("POST", "/quarantine", "get,head"),
    ] {
        let answer = exchange(inbox.address, head(method, path, &[], Some(0))).await;
        let code = answer.error().0;
        assert_eq!((answer.status, code.as_str()), (405, "request_method_not_allowed"), "{method} {path}");
        assert!(answer.head.contains(&format!("allow: {allowed}")), "{method} {path}: {}", answer.head);
    }
    assert_eq!(inbox.record(7).await, r#"{"id":7,"status":1}"#);
}

#[tokio::test]
async fn a_read_token_guards_every_page_of_the_view_and_not_the_health() {
    let mut config = config();
    config.read_tokens =
        vec![named("kitchen", "read_me_in_the_kitchen"), named("office", "read_me_in_the_office")];
    let inbox = Running::with(config).await;
    inbox.deliver("evt_1", &envelope(&[r#"{"id":7,"status":1}"#])).await.is(200, r#"{"status":"received"}"#);
    for path in ["/orders", "/orders/7", "/orders/7/history", "/quarantine", "/orders/x", "/orders?limit=0"] {
        let get =
            |authorization: &[(&str, &str)]| exchange(inbox.address, head("GET", path, authorization, None));
        let none = get(&[]).await;
        assert_eq!((none.status, none.error().0.as_str()), (401, "auth_missing"), "{path}");
        let wrong = get(&[("authorization", "Bearer read_me_in_the_kitchem")]).await;
        assert_eq!((wrong.status, wrong.error().0.as_str()), (401, "auth_invalid_credential"), "{path}");
        for token in ["Bearer read_me_in_the_kitchen", "bearer read_me_in_the_office"] {
            let right = get(&[("authorization", token)]).await;
            assert!([200, 400, 404].contains(&right.status), "{path}: {}", right.text());
        }
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(inbox.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn without_a_read_token_a_proxy_cannot_show_the_view_to_others() {
    let inbox = with_orders([7]).await;
    let headers = [("x-forwarded-for", "203.0.113.9")];
    let answer = exchange(inbox.address, head("GET", "/orders/7", &headers, None)).await;
    assert_eq!((answer.status, answer.error().0.as_str()), (403, "auth_forbidden"));
    assert_eq!(inbox.get("/orders/7").await.status, 200);
}

#[tokio::test]
async fn an_order_is_found_by_what_its_newest_state_says() {
    let inbox = Running::start().await;
    let states = [
        (1, r#""external_id":"W-1","short_id":"A7","branch_id":11"#),
        (2, r#""external_id":"W-1","short_id":"A7","branch_id":11"#),
        (4, r#""external_id":"W-2","short_id":"B7","branch_id":12"#),
        // Late, and so not what it is found by.
        (3, r#""external_id":"W-3","short_id":"C7","branch_id":13"#),
    ];
    for (version, found_by) in states {
        let record = format!(r#"{{"id":7,"status":2,"version":{version},{found_by}}}"#);
        inbox.deliver(&format!("evt_{version}"), &envelope(&[&record])).await;
        if version <= 2 {
            assert_eq!(ids(&inbox.get("/orders?text=W-1").await.json()), [7]);
        }
    }
    for (filter, found) in [
        ("text=W-2", true),
        ("text=b7", true),
        ("branch_id=12", true),
        ("text=W-1", false),
        ("text=A7", false),
        ("branch_id=11", false),
        ("text=W-3", false),
        ("branch_id=13", false),
    ] {
        let answer = inbox.get(&format!("/orders?{filter}")).await;
        assert_eq!(ids(&answer.json()).len(), usize::from(found), "{filter}: {}", answer.text());
    }
}
