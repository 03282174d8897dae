//! Operator tokens: issued with a name and a role, shown once, revoked at once.

use serde_json::json;

use crate::harness::{BUSINESS, Running, bearer, order};

#[tokio::test]
async fn a_token_is_shown_once_and_kept_as_a_hash() {
    let platform = Running::start().await;
    let body = json!({"name": " Ayu ", "role": "support"}).to_string();
    let issued = platform.call("POST", "/v1/operator/tokens", body).await.expect(201).data();
    assert_eq!((&issued["name"], &issued["role"]), (&json!("Ayu"), &json!("support")));
    let token = issued["token"].as_str().unwrap();
    assert_eq!(token.strip_prefix("op_").unwrap().len(), 64, "256 bits: {token}");
    let listed = platform.get("/v1/operator/tokens").await.data();
    let mut shown = issued.clone();
    shown.as_object_mut().unwrap().remove("token");
    assert_eq!(listed, json!({"tokens": [shown], "next_after": null}));
    platform.call_as(Some(&bearer(token)), "GET", "/v1/operator/status", "").await.expect(200);

    let token = token.to_owned();
    let dir = platform.stop().await.unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let hidden = &token.as_bytes()[3..];
        assert!(!bytes.windows(hidden.len()).any(|window| window == hidden), "the token is in a file");
    }
    // It is as good after a restart.
    let again = Running::on(dir.path(), crate::harness::Setup::default()).await;
    again.call_as(Some(&bearer(&token)), "GET", "/v1/operator/status", "").await.expect(200);
}

#[tokio::test]
async fn a_revoked_token_fails_on_the_very_next_call_and_its_name_is_free() {
    let platform = Running::start().await;
    for role in ["admin", "support", "surface"] {
        let body = json!({"name": "Ayu", "role": role}).to_string();
        let issued = platform.call("POST", "/v1/operator/tokens", body).await.expect(201).data();
        let authorization = bearer(issued["token"].as_str().unwrap());
        let used = || platform.call_as(Some(&authorization), "GET", "/v1/operator/status", "");
        assert_ne!(used().await.status, 401);
        let path = format!("/v1/operator/tokens/{}/revoke", issued["token_id"]);
        platform.call("POST", &path, "").await.expect(200);
        used().await.is_refused(403, "auth_revoked", "Authorization: this token was revoked");
        let metrics = platform.call_as(Some(&authorization), "GET", "/metrics", "").await;
        metrics.is_refused(403, "auth_revoked", "Authorization: this token was revoked");
        // Revoked again is revoked since the first time.
        let revoked_at = |listed: serde_json::Value| {
            listed["tokens"].as_array().unwrap().last().unwrap()["revoked_at"].clone()
        };
        let first = revoked_at(platform.get("/v1/operator/tokens").await.data());
        platform.call("POST", &path, "").await.expect(200);
        assert_eq!(revoked_at(platform.get("/v1/operator/tokens").await.data()), first);
    }
    let missing = platform.call("POST", "/v1/operator/tokens/404/revoke", "").await;
    missing.is_refused(404, "resource_not_found", "there is no such token");
}

#[tokio::test]
async fn a_token_without_a_name_of_its_own_or_a_role_is_refused_by_the_field() {
    let platform = Running::start().await;
    platform.token("Ayu", "support").await;
    let names = "name: expected 1 to 100 characters, none of them control characters";
    for (body, message) in [
        (json!({"role": "admin"}), "name: missing"),
        (json!({"name": "x"}), "role: missing"),
        (json!({"name": "  ", "role": "admin"}), names),
        (json!({"name": "x".repeat(101), "role": "admin"}), names),
        (json!({"name": "a\nb", "role": "admin"}), names),
        (
            json!({"name": "x", "role": "root"}),
            "role: \"root\" is not known; expected one of admin, support, surface",
        ),
        (json!({"name": "x", "role": "admin", "scope": 1}), "scope: unknown field; expected name or role"),
    ] {
        let answer = platform.call("POST", "/v1/operator/tokens", body.to_string()).await;
        answer.is_refused(400, "request_invalid", message);
    }
    // The name of whoever has the first token is taken, too.
    for name in ["Ayu", "operator"] {
        let body = json!({"name": name, "role": "admin"}).to_string();
        let message =
            format!("name: a token of the name {name} is in use; revoke it first, or take another name");
        let answer = platform.call("POST", "/v1/operator/tokens", body).await;
        answer.is_refused(409, "state_idempotency_conflict", &message);
    }
}

#[tokio::test]
async fn a_surface_posts_new_orders_and_its_lines_move_none() {
    let platform = Running::start().await;
    let surface = bearer(&platform.token("Kiosk", "surface").await);
    let record = order(BUSINESS, 1062, &[663]);
    let made = platform.call_as(Some(&surface), "POST", "/v1/operator/orders", record.to_string()).await;
    let id = made.expect(201).data()["id"].as_i64().unwrap();
    let lines = format!("{{\"op\":\"move\",\"id\":{id},\"status\":\"READY\"}}\n{record}\n");
    let answer =
        platform.call_as(Some(&surface), "POST", "/v1/operator/orders/bulk", &lines).await.expect(200);
    let said: Vec<serde_json::Value> = answer
        .text()
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let forbidden = json!({"code": "auth_forbidden", "message": "op: the role surface may not move orders"});
    assert_eq!((&said[0]["line"], &said[0]["error"]), (&json!(1), &forbidden));
    assert_eq!(said[1]["data"]["version"], 1);
    assert_eq!(platform.get(&format!("/v1/operator/orders/{id}")).await.data()["version"], 1);
}

#[tokio::test]
async fn what_is_taken_back_is_so_in_the_name_of_the_token() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let authorization = bearer(&platform.token("Ayu", "admin").await);
    for (query, name) in [("", "Ayu"), ("?by=Budi", "Budi")] {
        let put = platform.register(
            &partner,
            None,
            None,
            hookit_contract::EventType::OrderCreated,
            "http://127.0.0.1:9/",
        );
        let id = put.await.data()["webhook_id"].clone();
        let path = format!("/v1/operator/webhooks/{id}{query}");
        let removed = platform.call_as(Some(&authorization), "DELETE", &path, "").await.expect(200).data();
        assert_eq!(removed["removed_by"], name);
    }
}
