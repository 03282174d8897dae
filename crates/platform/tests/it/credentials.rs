//! Who may call: nobody without a credential, a partner only with its own, and only while it holds.

use std::collections::BTreeSet;
use std::time::Duration;

use hookit_contract::EventType;
use hookit_sim::endpoints::ScriptedEndpoint;
use serde_json::{Value, json};

use crate::harness::{BUSINESS, PartnerAccess, Running, TOKEN, basic, bearer, operator, order, received};
use crate::http::{Answer, KeptOpen, head_to_keep_open};
use crate::openapi::{self, Call};

/// What a token of the role `surface` may call.
const SURFACE_CALLS: [(&str, &str); 2] =
    [("POST", "/v1/operator/orders"), ("POST", "/v1/operator/orders/bulk")];
/// What a token of the role `support` may call, beside everything that only reads.
const SUPPORT_CALLS: [(&str, &str); 5] = [
    ("POST", "/v1/operator/deliveries/{id}/replay"),
    ("POST", "/v1/operator/replays"),
    ("POST", "/v1/operator/replays/{id}/pause"),
    ("POST", "/v1/operator/replays/{id}/resume"),
    ("POST", "/v1/operator/replays/{id}/cancel"),
];
/// What only reads, and is the admin's all the same.
const ADMIN_READS: [&str; 2] = ["/v1/operator/audit", "/v1/operator/tokens"];

#[tokio::test]
async fn no_call_is_answered_without_the_credential_that_it_asks_for() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let order_id = platform.order().await;
    let before = platform.snapshot().await;
    let basic_operator = basic("operator", TOKEN);
    let (bearer_partner, basic_partner) = (format!("Bearer {}", partner.secret), partner.basic());
    let wrong_key = basic("pk_000000000000000000000000", &partner.secret);
    let wrong_secret = basic(&partner.key, "sk_0");
    let (lower, double) = (format!("bearer {TOKEN}x"), format!("Bearer {TOKEN} {TOKEN}"));
    let missing = "auth_missing";
    let invalid = "auth_invalid_credential";
    let for_operators = [
        (None, missing),
        (Some(""), missing),
        (Some(TOKEN), missing),
        (Some("Bearer"), missing),
        (Some("Basic"), missing),
        (Some(basic_operator.as_str()), missing),
        (Some(&basic_partner), missing),
        (Some("Bearer x"), invalid),
        (Some(&lower), invalid),
        (Some(&double), invalid),
        (Some(&bearer_partner), invalid),
    ];
    let for_partners = [
        (None, missing),
        (Some(""), missing),
        (Some("Basic"), missing),
        (Some(bearer_partner.as_str()), missing),
        (Some("Bearer op_token_of_the_tests"), missing),
        (Some("Basic ????"), invalid),
        // Base64 of bytes that are not UTF-8, and of a text without a colon.
        (Some("Basic //79"), invalid),
        (Some("Basic cGs="), invalid),
        (Some(&wrong_key), invalid),
        (Some(&wrong_secret), invalid),
    ];
    let partner_realm = "basic realm=\"klikit partner api\", charset=\"utf-8\"";
    let mut checked = 0;
    for Call { method, path, credential, .. } in openapi::calls() {
        let (credentials, challenge) = match credential.as_deref() {
            Some("operatorToken" | "metricsToken") => (&for_operators[..], "bearer realm=\"hookit\""),
            Some("partnerCredential") => (&for_partners[..], partner_realm),
            Some(other) => panic!("{method} {path} asks for {other}, which this test does not know"),
            None => {
                let open = ["/healthz", "/readyz", "/openapi.json", "/reference"];
                assert!(open.contains(&path.as_str()), "{method} {path} asks nobody who it is");
                continue;
            }
        };
        checked += 1;
        // An address may be wrong only so often a minute.
        platform.clock.push(Duration::from_secs(60));
        // A good id, one of a thing that is not there, and none at all: who is asking comes first.
        for id in [order_id.to_string(), partner.id.clone(), "404".to_owned(), "%ff".to_owned()] {
            let path = path.replace("{id}", &id);
            for (authorization, code) in credentials {
                let answer = platform.call_as(*authorization, &method, &path, r#"{"status":4}"#).await;
                let what = format!("{method} {path} with {authorization:?}: {}", answer.text());
                assert_eq!((answer.status, answer.error().0.as_str()), (401, *code), "{what}");
                assert_eq!(answer.header("www-authenticate"), Some(challenge), "{what}");
                assert!(answer.error().1.starts_with("Authorization: "), "{what}");
            }
        }
    }
    assert!(checked >= 30, "{checked}");
    assert_eq!(platform.snapshot().await, before);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(platform.call_as(None, "GET", path, "").await.status, 200, "{path} asks nobody who it is");
    }
}

#[tokio::test]
async fn a_token_makes_the_calls_of_its_role_and_no_other() {
    let platform = Running::start().await;
    for role in ["admin", "support", "surface"] {
        let authorization = bearer(&platform.token(role, role).await);
        for Call { method, path, credential, .. } in openapi::calls() {
            if credential.as_deref() != Some("operatorToken") {
                continue;
            }
            let (method, call) = (method.as_str(), (method.as_str(), path.as_str()));
            let is_open = match role {
                "admin" => true,
                "support" => {
                    SUPPORT_CALLS.contains(&call) || (method == "GET" && !ADMIN_READS.contains(&call.1))
                }
                _ => SURFACE_CALLS.contains(&call),
            };
            // Of a thing that is not there, with a body that nobody takes: so nothing is done.
            let path = path.replace("{id}", "404404");
            let body = if method == "GET" { "" } else { "[]" };
            let before = platform.snapshot().await;
            let answer = platform.call_as(Some(&authorization), method, &path, body).await;
            let what = format!("{role}: {method} {path}: {}", answer.text());
            match is_open {
                true => assert!([200, 400, 404].contains(&answer.status), "{what}"),
                false => {
                    let message = format!("Authorization: the role {role} may not make this call");
                    answer.is_refused(403, "auth_forbidden", &message);
                    assert_eq!(platform.snapshot().await, before, "{what}");
                }
            }
            if method == "GET" {
                let head = platform.call_as(Some(&authorization), "HEAD", &path, "").await;
                assert_eq!(head.status, answer.status, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_partners_secrets_are_shown_once_and_never_again() {
    let platform = Running::start().await;
    let issue =
        json!({"name": " Kitchen display ", "business_id": 7, "scopes": ["orders:read", "orders:read"]});
    let issued = platform.call("POST", "/v1/operator/partners", issue.to_string()).await.expect(201).data();
    assert_eq!((&issued["name"], &issued["scopes"]), (&json!("Kitchen display"), &json!(["orders:read"])));
    let first = PartnerAccess::of(&issued);
    let rotated = |what: &'static str| {
        let path = format!("/v1/operator/partners/{}/{what}", first.id);
        let platform = &platform;
        async move { platform.call("POST", &path, "").await.expect(200).data() }
    };
    let second = rotated("rotate-secret").await;
    assert_eq!(second.as_object().unwrap().len(), 2, "the id and the one new secret: {second}");
    let third = rotated("rotate-webhook-secret").await;
    assert_eq!(third.as_object().unwrap().len(), 2, "the id and the one new secret: {third}");
    let secret = |shown: &Value, name: &str| shown[name].as_str().unwrap().to_owned();
    let secrets = [
        first.secret.clone(),
        first.webhook_secret.clone(),
        secret(&second, "secret_key"),
        secret(&third, "webhook_secret_key"),
    ];
    // 256 bits each, no two alike.
    assert_eq!(BTreeSet::from(secrets.clone()).len(), 4);
    assert!(secrets.iter().all(|secret| secret.split_once('_').unwrap().1.len() == 64), "{secrets:?}");

    let revoked = rotated("revoke").await;
    let listed = platform.get("/v1/operator/partners").await.data();
    assert_eq!(listed["partners"][0]["partner_key"], first.key.as_str());
    assert!(listed["partners"][0]["revoked_at"].is_string());
    let everything = format!("{revoked} {listed} {:?}", platform.snapshot().await);
    for secret in &secrets {
        let hidden = secret.split_once('_').unwrap().1;
        assert!(!everything.contains(hidden) && !everything.contains("secret_key"), "{everything}");
    }
    // A new partner has all scopes where it is not said which.
    let all = platform.call("POST", "/v1/operator/partners", r#"{"name":"x","business_id":7}"#).await.data();
    assert_eq!(all["scopes"], json!(["orders:read", "orders:write", "webhooks:read", "webhooks:write"]));
}

fn read(platform: &Running, authorization: String, order: i64) -> impl Future<Output = Answer> {
    let path = format!("/v1/partner/orders/{order}");
    async move { platform.call_as(Some(&authorization), "GET", &path, "").await }
}

#[tokio::test]
async fn a_partner_reads_its_orders_record_as_the_webhook_has_it_to_the_byte() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    let partner = platform.listener(&endpoint).await;
    let strange = r#"{ "business_id":7,"branch_id" : 1062, "brands":[{"id":663}],"big":9007199254740993,
        "sum":12345678901234567890.10,"e":1E+2,"zero":0.1000,"name":"\u00e9\/é 你好","x":null }"#;
    let order = platform.call("POST", "/v1/operator/orders", strange).await.expect(201).data()["id"]
        .as_i64()
        .unwrap();
    for (arrived, status) in ["", "ACCEPTED", "READY"].into_iter().enumerate() {
        if !status.is_empty() {
            platform.move_to(order, status).await.expect(200);
        }
        let webhook = received(&endpoint, arrived as u64 + 1).await.pop().unwrap();
        let record = read(&platform, partner.basic(), order).await.expect(200).data_text();
        let envelope = format!(r#"{{"brand_id":663,"branch_id":1062,"orders":[{record}]}}"#);
        assert_eq!(std::str::from_utf8(&webhook.body).unwrap(), envelope);
        assert_eq!(record, platform.record(order).await);
    }
}

#[tokio::test]
async fn a_wrong_key_and_a_wrong_secret_cannot_be_told_apart() {
    let platform = Running::start().await;
    let (one, other) = (platform.partner("One", BUSINESS).await, platform.partner("Other", BUSINESS).await);
    let order = platform.order().await;
    read(&platform, one.basic(), order).await.expect(200);
    let mut answers = BTreeSet::new();
    for authorization in [
        basic("pk_0", &one.secret),
        basic(&one.key, "sk_0"),
        basic(&one.key, ""),
        basic("", &one.secret),
        basic(&one.key, &other.secret),
        basic(&one.key, &format!("{} ", one.secret)),
        basic(&one.key, &one.webhook_secret),
    ] {
        let answer = read(&platform, authorization, order).await;
        assert_eq!(answer.error().0, "auth_invalid_credential");
        let lines =
            answer.head.lines().filter(|line| !line.starts_with("date:")).collect::<Vec<_>>().join("\n");
        let request_id = answer.json()["request_id"].as_str().unwrap().to_owned();
        answers.insert((lines, answer.text().replace(&request_id, "")));
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn a_rotated_secret_fails_on_the_very_next_call_and_a_revoked_one_says_so() {
    let platform = Running::start().await;
    let mut partner = platform.partner("Kitchen display", BUSINESS).await;
    let order = platform.order().await;
    for _ in 0..5 {
        read(&platform, partner.basic(), order).await.expect(200);
        let path = format!("/v1/operator/partners/{}/rotate-secret", partner.id);
        let rotated = platform.call("POST", &path, "{}").await.expect(200).data();
        let old = read(&platform, partner.basic(), order).await;
        assert_eq!(old.error().0, "auth_invalid_credential");
        partner.secret = rotated["secret_key"].as_str().unwrap().to_owned();
    }
    read(&platform, partner.basic(), order).await.expect(200);
    let path = format!("/v1/operator/partners/{}/revoke", partner.id);
    platform.call("POST", &path, "").await.expect(200);
    let revoked = read(&platform, partner.basic(), order).await;
    revoked.is_refused(403, "auth_revoked", "Authorization: this credential was revoked");
    assert_eq!(revoked.header("www-authenticate"), None);
    // Only who knows the secret learns that it was revoked.
    let guess = read(&platform, basic(&partner.key, "sk_0"), order).await;
    assert_eq!(guess.error().0, "auth_invalid_credential");
}

#[tokio::test]
async fn on_a_connection_that_is_kept_open_too_a_credential_ends_with_the_call_that_ends_it() {
    let platform = Running::start().await;
    let mut partner = platform.partner("Kitchen display", BUSINESS).await;
    let path = format!("/v1/partner/orders/{}", platform.order().await);
    let mut connection = KeptOpen::to(platform.address).await;
    let mut refused = async |path: &str, authorization: &str| {
        let request = head_to_keep_open("GET", path, &[("authorization", authorization)]);
        let answer = connection.exchange(&request).await;
        (answer.status != 200).then(|| answer.error().0)
    };
    for _ in 0..3 {
        let old = partner.basic();
        assert_eq!(refused(&path, &old).await, None);
        let rotate = format!("/v1/operator/partners/{}/rotate-secret", partner.id);
        let rotated = platform.call("POST", &rotate, "").await.expect(200).data();
        assert_eq!(refused(&path, &old).await.as_deref(), Some("auth_invalid_credential"));
        partner.secret = rotated["secret_key"].as_str().unwrap().to_owned();
    }
    assert_eq!(refused(&path, &partner.basic()).await, None);
    let revoke = format!("/v1/operator/partners/{}/revoke", partner.id);
    platform.call("POST", &revoke, "").await.expect(200);
    assert_eq!(refused(&path, &partner.basic()).await.as_deref(), Some("auth_revoked"));

    let body = json!({"name": "Ana", "role": "support"}).to_string();
    let issued = platform.call("POST", "/v1/operator/tokens", body).await.expect(201).data();
    let token = bearer(issued["token"].as_str().unwrap());
    for path in ["/v1/operator/status", "/metrics"] {
        assert_eq!(refused(path, &token).await, None);
    }
    let revoke = format!("/v1/operator/tokens/{}/revoke", issued["token_id"]);
    platform.call("POST", &revoke, "").await.expect(200);
    for path in ["/v1/operator/status", "/metrics"] {
        assert_eq!(refused(path, &token).await.as_deref(), Some("auth_revoked"), "{path}");
    }
}

#[tokio::test]
async fn another_businesss_order_is_not_found_and_a_scope_that_is_missing_is_forbidden() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let theirs = platform.create(&order(8, 1062, &[663])).await["id"].as_i64().unwrap();
    let ours = platform.order().await;
    read(&platform, partner.basic(), ours).await.expect(200);
    let (not_ours, not_there) =
        (read(&platform, partner.basic(), theirs).await, read(&platform, partner.basic(), 404_404).await);
    not_ours.is_refused(404, "resource_not_found", "there is no such order");
    assert_eq!(not_ours.error(), not_there.error());
    let bad = platform.call_as(Some(&partner.basic()), "GET", "/v1/partner/orders/x", "").await;
    bad.is_refused(404, "resource_not_found", "id: expected an integer above zero in the path");

    let body = json!({"name": "Reports", "business_id": 7, "scopes": ["orders:write", "webhooks:read"]});
    let issued = platform.call("POST", "/v1/operator/partners", body.to_string()).await.expect(201).data();
    let message = "Authorization: this credential lacks the scope orders:read";
    let answer = read(&platform, PartnerAccess::of(&issued).basic(), ours).await;
    answer.is_refused(403, "auth_forbidden", message);
}

#[tokio::test]
async fn every_call_of_a_partner_asks_for_its_scope_and_knows_nothing_of_another_business() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    let ours = platform.listener(&endpoint).await;
    let order = platform.order().await;
    received(&endpoint, 1).await;
    platform.until("pending", 0).await;
    let delivery = platform.deliveries("").await[0]["delivery_id"].as_str().unwrap().to_owned();
    let theirs = platform.partner("Another business", BUSINESS + 1).await;
    let all: Vec<String> =
        calls().flat_map(|call| call.scopes).collect::<BTreeSet<_>>().into_iter().collect();
    assert_eq!(all, ["orders:read", "orders:write", "webhooks:read", "webhooks:write"]);

    let mut of_one_thing = 0;
    for (number, Call { method, path, scopes, .. }) in calls().enumerate() {
        let [scope] = &scopes[..] else { panic!("{method} {path} needs {scopes:?}") };
        let id = if path.contains("/deliveries/") { delivery.clone() } else { order.to_string() };
        let body = if method == "PATCH" { r#"{"status":"accepted"}"# } else { "" };
        let ask = async |partner: &PartnerAccess, id: &str| {
            let (path, key) = (path.replace("{id}", id), format!("walk-{number}-{id}"));
            platform.write_as(partner, Some(&key), &method, &path, body).await
        };
        let others: Vec<&str> = all.iter().filter(|other| *other != scope).map(String::as_str).collect();
        let without = platform.partner_with(&others).await;
        platform.until("pending", 0).await;
        let before = platform.snapshot().await;
        let message = format!("Authorization: this credential lacks the scope {scope}");
        ask(&without, &id).await.is_refused(403, "auth_forbidden", &message);
        if path.contains("{id}") {
            of_one_thing += 1;
            let not_theirs = ask(&theirs, &id).await;
            let message = not_theirs.error().1;
            not_theirs.is_refused(404, "resource_not_found", &message);
            assert_eq!(ask(&theirs, "404404").await.error(), not_theirs.error(), "{method} {path}");
        }
        assert_eq!(platform.snapshot().await, before, "{method} {path}");
        ask(&ours, &id).await.expect(200);
        // The scope alone is enough, but for what is another partner's of the same business.
        let alone = ask(&platform.partner_with(&[scope]).await, &id).await;
        assert_eq!(alone.status, if id == delivery { 404 } else { 200 }, "{method} {path}: {}", alone.text());
    }
    assert_eq!(of_one_thing, 3, "an order, its move, a delivery's replay");
}

/// The calls of the document that partners make.
fn calls() -> impl Iterator<Item = Call> {
    openapi::calls().into_iter().filter(|call| call.credential.as_deref() == Some("partnerCredential"))
}

#[tokio::test]
async fn a_revoked_partner_is_still_sent_what_it_registered_for_and_that_can_be_changed() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    let partner = platform.listener(&endpoint).await;
    let path = format!("/v1/operator/partners/{}/revoke", partner.id);
    platform.call_as(Some(&operator()), "POST", &path, "").await.expect(200);
    platform.order().await;
    let webhook = received(&endpoint, 1).await.remove(0);
    assert_eq!(webhook.event_type(), EventType::OrderCreated.as_str());
    partner.verify(&webhook);
    // So what signs them can be replaced, and where they go can be changed; what it would call with cannot.
    let path = format!("/v1/operator/partners/{}", partner.id);
    let message = "the credential was revoked; a new secret key would not work either";
    let refused = platform.call("POST", &format!("{path}/rotate-secret"), "").await;
    refused.is_refused(409, "state_invalid_transition", message);
    let rotated =
        platform.call("POST", &format!("{path}/rotate-webhook-secret"), "").await.expect(200).data();
    let webhook_secret = rotated["webhook_secret_key"].as_str().unwrap().to_owned();
    let partner = PartnerAccess { webhook_secret, ..partner };
    let elsewhere = ScriptedEndpoint::start().await.unwrap();
    let body =
        json!({"partner_id": partner.id, "event_type": EventType::OrderCreated, "url": elsewhere.url()});
    platform.call("PUT", "/v1/operator/webhooks", body.to_string()).await.expect(200);
    platform.order().await;
    partner.verify(&received(&elsewhere, 1).await.remove(0));
}
