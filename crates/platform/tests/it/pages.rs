//! Lists that an operator reads a page at a time: each is whole, in order, and says where it goes on.

use hookit_contract::EventType;
use serde_json::{Value, json};

use crate::harness::{BUSINESS, PartnerAccess, Running};

/// The pages of a list that goes backwards, so many items at a time: how many each has.
async fn sizes(platform: &Running, partner: Option<&PartnerAccess>, path: &str, limit: usize) -> Vec<usize> {
    let noun = path.split(['/', '?']).find(|part| ["audit", "deliveries", "replays"].contains(part)).unwrap();
    let noun = if noun == "audit" { "entries" } else { noun };
    let and = if path.contains('?') { '&' } else { '?' };
    let (mut found, mut from) = (Vec::new(), String::new());
    loop {
        let path = format!("{path}{and}limit={limit}{from}");
        let data = match partner {
            Some(partner) => platform.get_as(partner, &path).await.expect(200).data(),
            None => platform.get(&path).await.data(),
        };
        found.push(data[noun].as_array().unwrap().len());
        match &data["next_before"] {
            Value::Null => return found,
            Value::String(before) => from = format!("&before={before}"),
            before => from = format!("&before={before}"),
        }
    }
}

#[tokio::test]
async fn a_page_that_is_just_full_is_the_last_one_where_nothing_is_behind_it() {
    let platform = Running::start().await;
    let (held, open) = (platform.partner("Held", BUSINESS).await, platform.partner("Open", BUSINESS).await);
    // Nothing listens there, so it waits.
    let url = "http://127.0.0.1:9/";
    platform.register(&held, None, None, EventType::OrderCreated, url).await.expect(201);
    for event_type in [EventType::OrderStatusUpdated, EventType::OrderCartUpdated] {
        platform.register(&open, None, None, event_type, url).await.expect(201);
    }
    let mut order = 0;
    for _ in 0..4 {
        order = platform.order().await;
    }
    for status in ["ACCEPTED", "READY"] {
        platform.move_to(order, status).await.expect(200);
    }
    for _ in 0..4 {
        let body = json!({"filter": {"state": "dead"}}).to_string();
        platform.call("POST", "/v1/operator/replays", body).await.expect(201);
    }
    let of_order = format!("/v1/operator/deliveries?order_id={order}");
    for (partner, path, count) in [
        (None, "/v1/operator/audit?action=order.create", 4),
        (None, "/v1/operator/audit?action=order.move", 2),
        (None, "/v1/operator/deliveries", 6),
        (None, "/v1/operator/deliveries?state=pending", 6),
        (None, "/v1/operator/deliveries?state=dead", 0),
        (None, "/v1/operator/deliveries?event_type=klikit.order.created.v2", 4),
        (None, &*of_order, 3),
        (None, "/v1/operator/replays", 4),
        (Some(&held), "/v1/partner/deliveries", 4),
        (Some(&open), "/v1/partner/deliveries", 2),
        (Some(&open), "/v1/partner/deliveries?state=delivered", 0),
    ] {
        for limit in 1..=7 {
            let mut expected = vec![limit; count / limit];
            if count % limit > 0 || count == 0 {
                expected.push(count % limit);
            }
            assert_eq!(sizes(&platform, partner, path, limit).await, expected, "{path} by {limit}");
        }
    }
}

/// All of a list, so many at a time, by this field of each.
async fn all(platform: &Running, noun: &str, more: &str, limit: usize, field: &str) -> Vec<Value> {
    let (mut found, mut from) = (Vec::new(), String::new());
    loop {
        let data = platform.get(&format!("/v1/operator/{noun}?limit={limit}{more}{from}")).await.data();
        let page = data[noun].as_array().unwrap();
        assert!(page.len() <= limit);
        found.extend(page.iter().map(|item| item[field].clone()));
        match &data["next_after"] {
            Value::Null => return found,
            Value::String(after) => from = format!("&after={after}"),
            after => from = format!("&after={after}"),
        }
        assert_eq!(page.len(), limit, "only the last one is shorter");
    }
}

#[tokio::test]
async fn partners_registrations_and_tokens_are_listed_a_page_at_a_time() {
    let platform = Running::start().await;
    let mut partners = Vec::new();
    for n in 0..5 {
        partners.push(platform.partner(&format!("Partner {n}"), BUSINESS).await);
        platform.token(&format!("Operator {n}"), "support").await;
    }
    for (n, partner) in partners.iter().enumerate() {
        for event_type in EventType::ALL.into_iter().take(n) {
            let url = format!("http://127.0.0.1:9/{n}");
            platform.register(partner, None, None, event_type, &url).await.expect(201);
        }
    }
    // As they were issued.
    let issued: Vec<Value> = partners.iter().map(|partner| json!(partner.id)).collect();
    for limit in [1, 2, 5, 1000] {
        assert_eq!(all(&platform, "partners", "", limit, "partner_id").await, issued, "{limit}");
        let tokens = all(&platform, "tokens", "", limit, "token_id").await;
        assert_eq!(tokens, [1, 2, 3, 4, 5], "{limit}");
        let webhooks = all(&platform, "webhooks", "", limit, "webhook_id").await;
        assert_eq!(webhooks, [1, 2, 3, 4, 5, 6, 7, 8, 9], "{limit}");
        let of_one = format!("&partner_id={}", partners[2].id);
        assert_eq!(all(&platform, "webhooks", &of_one, limit, "webhook_id").await, [2, 3], "{limit}");
    }
    for noun in ["partners", "webhooks", "tokens"] {
        for (query, message) in [
            ("limit=0", "limit: expected 1 to 1000"),
            ("limit=1001", "limit: expected 1 to 1000"),
            ("page=2", "page: unknown parameter; expected "),
        ] {
            let answer = platform.call("GET", &format!("/v1/operator/{noun}?{query}"), "").await;
            let (code, said) = answer.error();
            assert_eq!((answer.status, code.as_str()), (400, "request_invalid"), "{noun} {query}: {said}");
            assert!(said.starts_with(message), "{noun} {query}: {said}");
        }
        // Behind the last one there is nothing.
        let behind = if noun == "partners" { "zzz" } else { "99" };
        let data = platform.get(&format!("/v1/operator/{noun}?after={behind}")).await.data();
        assert_eq!((&data[noun], &data["next_after"]), (&json!([]), &Value::Null));
    }
}
