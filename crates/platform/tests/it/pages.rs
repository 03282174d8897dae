//! Lists that an operator reads a page at a time: each is whole, in order, and says where it goes on.

use hookit_contract::EventType;
use serde_json::{Value, json};

use crate::harness::{BUSINESS, Running};

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
            ("page=2", "page: unknown field; expected "),
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
