//! Bad input: each gets an answer that names the field, and changes nothing.

use serde_json::{Value, json};

use crate::harness::{BUSINESS, Running, order};

const INVALID: (u16, &str) = (400, "request_invalid");
pub(crate) const NOT_FOUND: (u16, &str) = (404, "resource_not_found");

/// A platform with something to damage: two businesses with hierarchies, a partner with a registration whose events
/// do not occur here, an order on its way and one that has ended.
pub(crate) struct Stage {
    pub(crate) platform: Running,
    partner: String,
    pub(crate) order: i64,
    pub(crate) ended: i64,
    pub(crate) before: Vec<String>,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let platform = Running::start().await;
        platform.hierarchy(BUSINESS, &[(10, &[100, 101]), (11, &[100])]).await;
        platform.hierarchy(8, &[(20, &[200])]).await;
        let partner = platform.partner("Kitchen display", BUSINESS).await;
        let url = "http://127.0.0.1:9/webhooks/klikit";
        let created = hookit_contract::EventType::OrderCreated;
        platform.register(&partner, Some(11), Some(100), created, url).await.expect(201);
        let mut ids = Vec::new();
        for _ in 0..2 {
            ids.push(platform.create(&order(BUSINESS, 100, &[10])).await["id"].as_i64().unwrap());
        }
        platform.move_to(ids[0], "ACCEPTED").await.expect(200);
        platform.move_to(ids[1], "CANCELLED").await.expect(200);
        let before = platform.snapshot().await;
        Stage { platform, partner: partner.id, order: ids[0], ended: ids[1], before }
    }

    /// Sends it, expects exactly this refusal, and everything as before.
    pub(crate) async fn refused(
        &self,
        method: &str,
        path: &str,
        body: impl AsRef<[u8]>,
        (status, code): (u16, &str),
        message: &str,
    ) {
        let body = body.as_ref();
        let answer = self.platform.call(method, path, body).await;
        let what = format!("{method} {path} {}", String::from_utf8_lossy(&body[..body.len().min(200)]));
        let refusal = (answer.status, answer.error());
        assert_eq!(refusal, (status, (code.to_owned(), message.to_owned())), "{what}");
        assert_eq!(self.platform.snapshot().await, self.before, "{what}");
    }

    pub(crate) async fn invalid(&self, method: &str, path: &str, body: impl AsRef<[u8]>, message: &str) {
        self.refused(method, path, body, INVALID, message).await;
    }
}

/// A good body with one field set to something else, or taken out where it is set to null.
pub(crate) fn but(good: &Value, field: &str, value: Value) -> String {
    let mut bad = good.clone();
    let fields = bad.as_object_mut().unwrap();
    match value {
        Value::Null => fields.remove(field),
        value => fields.insert(field.to_owned(), value),
    };
    bad.to_string()
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused_by_every_call_that_takes_one() {
    let stage = Stage::set().await;
    let calls = [
        ("POST", "/v1/operator/orders".to_owned()),
        ("PATCH", format!("/v1/operator/orders/{}/status", stage.order)),
        ("PUT", format!("/v1/operator/orders/{}/cart", stage.order)),
        ("POST", "/v1/operator/partners".to_owned()),
        ("PUT", "/v1/operator/webhooks".to_owned()),
        ("PUT", "/v1/operator/businesses/7".to_owned()),
    ];
    for (method, path) in &calls {
        for (body, message) in [
            (&b""[..], "body: missing; expected an object"),
            (b" \r\n", "body: missing; expected an object"),
            (b"{", "body: not JSON: EOF while parsing an object at line 1 column 1"),
            (b"{\"status\":", "body: not JSON: EOF while parsing a value at line 1 column 10"),
            (b"{\"a\" 1}", "body: not JSON: expected `:` at line 1 column 6"),
            (b"{'a':1}", "body: not JSON: key must be a string at line 1 column 2"),
            (b"{\"name\":\"\xff\"}", "body: not UTF-8: the first bad byte is number 9"),
            (b"\xef\xbb\xbf{}", "body: not JSON: expected value at line 1 column 1"),
            (b"[]", "body: expected an object, found an array"),
            (b"[1,null,\"x\"]", "body: expected an object, found an array"),
            (b"\"text\"", "body: expected an object, found a string"),
            (b"17", "body: expected an object, found a number"),
            (b"true", "body: expected an object, found a boolean"),
            (b"null", "body: expected an object, found null"),
        ] {
            stage.invalid(method, path, body, message).await;
        }
    }
}

#[tokio::test]
async fn what_follows_a_good_body_is_refused_too() {
    let stage = Stage::set().await;
    let order = order(BUSINESS, 100, &[10]);
    let partner = json!({"name": "x", "business_id": 7});
    for (path, good) in [("/v1/operator/orders", order), ("/v1/operator/partners", partner)] {
        let answer = stage.platform.call("POST", path, format!("{good} {{}}")).await;
        let (code, message) = answer.error();
        assert_eq!((answer.status, code.as_str()), INVALID);
        assert!(message.starts_with("body: not JSON: trailing characters"), "{message}");
        assert_eq!(stage.platform.snapshot().await, stage.before);
    }
}

#[tokio::test]
async fn a_partner_with_a_wrong_field_is_refused_by_its_name() {
    let stage = Stage::set().await;
    let good = json!({"name": "POS", "business_id": 7, "scopes": ["orders:read"]});
    let known = "expected one of orders:read, orders:write, webhooks:read, webhooks:write";
    for (body, message) in [
        (but(&good, "name", Value::Null), "name: missing".to_owned()),
        (but(&good, "name", json!(7)), "name: expected a string, found a number".to_owned()),
        (
            but(&good, "name", json!("  ")),
            "name: expected 1 to 200 characters, none of them control characters".to_owned(),
        ),
        (
            but(&good, "name", json!("é".repeat(201))),
            "name: expected 1 to 200 characters, none of them control characters".to_owned(),
        ),
        (but(&good, "business_id", Value::Null), "business_id: missing".to_owned()),
        (
            but(&good, "business_id", json!("7")),
            "business_id: expected an integer, found a string".to_owned(),
        ),
        (
            but(&good, "business_id", json!(7.0)),
            "business_id: expected an integer, found a number that is not written as an integer".to_owned(),
        ),
        (
            but(&good, "business_id", json!(u64::MAX)),
            "business_id: expected an integer, found an integer out of range".to_owned(),
        ),
        (but(&good, "business_id", json!(0)), "business_id: expected an integer above zero".to_owned()),
        (but(&good, "scopes", json!("orders:read")), "scopes: expected an array, found a string".to_owned()),
        (but(&good, "scopes", json!([])), {
            "scopes: expected at least one; leave the field out for all of them".to_owned()
        }),
        (but(&good, "scopes", json!([1])), "scopes[0]: expected a string".to_owned()),
        (
            but(&good, "scopes", json!(["orders:read", "orders:delete"])),
            format!("scopes[1]: \"orders:delete\" is not known; {known}"),
        ),
        (good.to_string().replace("7", "1E400"), "business_id: number out of range".to_owned()),
        (good.to_string().replace("POS", "\\ud800"), "name: a \\u escape of half a character".to_owned()),
        (
            good.to_string().replace("7", &format!("{}{}", "[".repeat(60), "]".repeat(60))),
            "business_id: expected an integer, found an array".to_owned(),
        ),
        (but(&good, "scope", json!([])), {
            "scope: unknown field; expected one of name, business_id, scopes".to_owned()
        }),
    ] {
        stage.invalid("POST", "/v1/operator/partners", body, &message).await;
    }
    for action in ["rotate-secret", "rotate-webhook-secret", "revoke"] {
        let path = |id: &str| format!("/v1/operator/partners/{id}/{action}");
        stage.refused("POST", &path("ptn_0"), "", NOT_FOUND, "there is no such partner").await;
        stage.refused("POST", &path("%ff"), "", NOT_FOUND, "id: not UTF-8 in the path").await;
        stage
            .invalid(
                "POST",
                &path(&stage.partner),
                "{\"a\":1}",
                if action == "rotate-webhook-secret" {
                    "a: unknown field; expected current_at"
                } else {
                    "body: this call takes none"
                },
            )
            .await;
        if action != "rotate-webhook-secret" {
            stage.invalid("POST", &path(&stage.partner), "\x00", "body: this call takes none").await;
        }
    }
}

#[tokio::test]
async fn a_registration_with_a_wrong_field_is_refused_by_its_name() {
    let stage = Stage::set().await;
    let good = json!({
        "partner_id": stage.partner, "brand_id": 10, "branch_id": 100, "event_type": "klikit.order.created.v2",
        "url": "https://pos.example/in", "basic_auth": {"user": "pos", "password": "hush"},
    });
    let types =
        "expected one of klikit.order.created.v2, klikit.order.status.updated, klikit.order.cart.updated";
    let an_id = "expected an integer above zero, or null for any";
    for (body, message) in [
        (but(&good, "partner_id", Value::Null), "partner_id: missing".to_owned()),
        (but(&good, "partner_id", json!(1)), "partner_id: expected a string, found a number".to_owned()),
        (but(&good, "partner_id", json!("ptn_0")), "partner_id: there is no such partner".to_owned()),
        (but(&good, "event_type", Value::Null), "event_type: missing".to_owned()),
        (but(&good, "event_type", json!("klikit.order.created")), {
            format!("event_type: \"klikit.order.created\" is not known; {types}")
        }),
        (but(&good, "event_type", json!(1)), "event_type: expected a string".to_owned()),
        (but(&good, "brand_id", json!("10")), "brand_id: expected an integer, found a string".to_owned()),
        (but(&good, "brand_id", json!(0)), format!("brand_id: {an_id}")),
        (but(&good, "brand_id", json!(20)), "brand_id: brand 20 is not a brand of business 7".to_owned()),
        (but(&good, "branch_id", json!(-1)), format!("branch_id: {an_id}")),
        (but(&good, "branch_id", json!(200)), "branch_id: branch 200 is not a branch of brand 10".to_owned()),
        (
            json!({
                "partner_id": stage.partner, "branch_id": 200, "event_type": "klikit.order.created.v2",
                "url": "https://pos.example/in",
            })
            .to_string(),
            "branch_id: branch 200 is not a branch of business 7".to_owned(),
        ),
        (but(&good, "url", Value::Null), "url: missing".to_owned()),
        (
            but(&good, "url", json!(["https://pos.example/in"])),
            "url: expected a string, found an array".to_owned(),
        ),
        (
            but(&good, "basic_auth", json!("pos:hush")),
            "basic_auth: expected an object, found a string".to_owned(),
        ),
        (
            but(&good, "basic_auth", json!(["pos", "hush"])),
            "basic_auth: expected an object, found an array".to_owned(),
        ),
        (but(&good, "basic_auth", json!({"user": "pos"})), "basic_auth.password: missing".to_owned()),
        (but(&good, "basic_auth", json!({"user": "pos", "password": 4711})), {
            "basic_auth.password: expected a string, found a number".to_owned()
        }),
        (but(&good, "basic_auth", json!({"user": "p:s", "password": "hush"})), {
            "basic_auth.user: may not contain a colon".to_owned()
        }),
        (but(&good, "basic_auth", json!({"user": "pos", "password": "x".repeat(1_022)})), {
            "basic_auth: user and password together may have at most 1024 bytes".to_owned()
        }),
        (but(&good, "basic_auth", json!({"user": "pos", "password": "hush", "realm": "x"})), {
            "basic_auth.realm: unknown field; expected user or password".to_owned()
        }),
        (but(&good, "ordering", json!("fifo")), {
            "ordering: \"fifo\" is not known; expected per_order or none".to_owned()
        }),
        (but(&good, "in_flight_max", json!(0)), {
            "in_flight_max: expected 1 to 512, or null for no own limit".to_owned()
        }),
        (but(&good, "in_flight_max", json!(513)), {
            "in_flight_max: expected 1 to 512, or null for no own limit".to_owned()
        }),
        (but(&good, "rate_per_second_max", json!(0)), {
            "rate_per_second_max: expected 1 to 100000, or null for no own limit".to_owned()
        }),
        (but(&good, "orders_per_delivery_max", json!(51)), {
            "orders_per_delivery_max: expected 1 to 50, or null for no own limit".to_owned()
        }),
        (but(&good, "coalesce", json!("yes")), { "coalesce: expected a boolean, found a string".to_owned() }),
        (but(&good, "secret", json!("x")), {
            "secret: unknown field; expected one of partner_id, brand_id, branch_id, event_type, url, basic_auth, \
             ordering, in_flight_max, rate_per_second_max, orders_per_delivery_max, coalesce"
                .to_owned()
        }),
    ] {
        stage.invalid("PUT", "/v1/operator/webhooks", body, &message).await;
    }
    // The words about URLs are egress's; here it counts that they are asked for and name the field.
    for url in [
        "",
        "pos.example/in",
        "ftp://pos.example/in",
        "https://",
        "https://user:hush@pos.example/in",
        "https://pos.example/in#part",
        "https://pos example/in",
        "https://169.254.169.254/latest/meta-data",
        &format!("https://pos.example/{}", "a".repeat(9_999)),
    ] {
        let answer = stage.platform.call("PUT", "/v1/operator/webhooks", but(&good, "url", json!(url))).await;
        let (code, message) = answer.error();
        assert_eq!((answer.status, code.as_str()), INVALID, "{url}");
        assert!(
            message.starts_with("url: ") && !message.contains("hush") && message.len() < 300,
            "{message}"
        );
        assert_eq!(stage.platform.snapshot().await, stage.before, "{url}");
    }
}

#[tokio::test]
async fn a_hierarchy_with_a_wrong_field_is_refused_by_its_name() {
    let stage = Stage::set().await;
    let good = json!({"name": "A", "brands": [{"id": 10, "title": "B", "branches": [100]}]});
    let brand = |field: &str, value: Value| {
        let other = json!({"id": 11, "title": "B", "branches": [100]});
        let bad: Value = serde_json::from_str(&but(&other, field, value)).unwrap();
        but(&good, "brands", json!([good["brands"][0], bad]))
    };
    for (body, message) in [
        (but(&good, "name", Value::Null), "name: missing".to_owned()),
        (but(&good, "name", json!("")), "name: expected 1 to 200 characters".to_owned()),
        (but(&good, "name", json!(1)), "name: expected a string, found a number".to_owned()),
        (but(&good, "brands", Value::Null), "brands: missing".to_owned()),
        (but(&good, "brands", json!({})), "brands: expected an array, found an object".to_owned()),
        (
            but(&good, "brands", json!([[10, "B", [100]]])),
            "brands[0]: expected an object, found an array".to_owned(),
        ),
        (brand("id", Value::Null), "brands[1].id: missing".to_owned()),
        (brand("id", json!("11")), "brands[1].id: expected an integer, found a string".to_owned()),
        (brand("id", json!(0)), "brands[1].id: expected an integer above zero".to_owned()),
        (brand("id", json!(10)), "brands[1].id: brand 10 is given more than once".to_owned()),
        (brand("id", json!(20)), "brands[1].id: brand 20 belongs to business 8".to_owned()),
        (brand("branches", json!(100)), "brands[1].branches: expected an array, found a number".to_owned()),
        (
            but(&good, "brands", json!([{"id": 10, "title": "B", "branches": [100, -1]}])),
            "brands[0].branches[1]: expected an integer above zero".to_owned(),
        ),
        (brand("branch", json!(1)), {
            "brands[1].branch: unknown field; expected one of id, title, branches".to_owned()
        }),
    ] {
        stage.invalid("PUT", "/v1/operator/businesses/7", body, &message).await;
    }
}

#[tokio::test]
async fn an_id_in_a_path_that_is_none_and_a_parameter_that_is_none_are_refused_by_name() {
    let stage = Stage::set().await;
    let an_id = "id: expected an integer above zero in the path";
    for id in ["x", "0", "-1", "+1", "1.0", "0x1", "9223372036854775808", "%20", "%ff", "1%00"] {
        let hierarchy = r#"{"name":"A","brands":[]}"#;
        for (method, path, body) in [
            ("GET", format!("/v1/operator/orders/{id}"), ""),
            ("PATCH", format!("/v1/operator/orders/{id}/status"), r#"{"status":4}"#),
            ("PUT", format!("/v1/operator/orders/{id}/cart"), r#"{"cart":[]}"#),
            ("GET", format!("/v1/operator/businesses/{id}"), ""),
            ("PUT", format!("/v1/operator/businesses/{id}"), hierarchy),
        ] {
            stage.refused(method, &path, body, NOT_FOUND, an_id).await;
        }
    }
    let states = "expected one of pending, delivered, dead, cancelled, superseded";
    for (path, query, message) in [
        ("orders", "limit=x", "limit: expected an integer".to_owned()),
        ("orders", "limit=", "limit: expected an integer".to_owned()),
        ("orders", "limit=0", "limit: expected 1 to 1000".to_owned()),
        ("orders", "limit=1001", "limit: expected 1 to 1000".to_owned()),
        ("orders", "limit=-1", "limit: expected an integer".to_owned()),
        ("orders", "limit=1&limit=2", "limit: given more than once".to_owned()),
        ("orders", "after=a", "after: expected an integer".to_owned()),
        ("orders", "business_id=7.5", "business_id: expected an integer".to_owned()),
        ("orders", "page=1", "page: unknown parameter; expected one of after, limit, business_id".to_owned()),
        ("deliveries", "limit=9999", "limit: expected 1 to 1000".to_owned()),
        ("deliveries", "state=lost", format!("state: \"lost\" is not known; {states}")),
        ("deliveries", "order_id=A-1", "order_id: expected an integer".to_owned()),
        ("deliveries", "endpoint_id=x", "endpoint_id: expected an integer".to_owned()),
        ("deliveries", "before=x", "before: expected an integer".to_owned()),
        ("deliveries", "since=now", {
            "since: \"now\" is not a time; expected RFC 3339, for example 2026-03-01T18:30:00Z".to_owned()
        }),
    ] {
        stage.invalid("GET", &format!("/v1/operator/{path}?{query}"), "", &message).await;
    }
    let path = "/v1/operator/deliveries/evt_0";
    stage.refused("GET", path, "", NOT_FOUND, "there is no such delivery").await;
    stage.refused("GET", "/v1/operator/deliveries/%ff", "", NOT_FOUND, "id: not UTF-8 in the path").await;
    let none = "this business has no hierarchy set";
    stage.refused("GET", "/v1/operator/businesses/9", "", NOT_FOUND, none).await;
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_body_of_ours_is_told_at_once() {
    let stage = Stage::set().await;
    let order = format!("/v1/operator/orders/{}", stage.order);
    let cases = [
        // By its form, and by what is in it where its form is right.
        (
            "POST",
            "/v1/operator/partners",
            json!({"business_id": "7", "scopes": ["x"], "nmae": 1}),
            vec![
                "business_id: expected an integer, found a string",
                "name: missing",
                "nmae: unknown field",
                "scopes[0]: \"x\" is not known",
            ],
        ),
        (
            "POST",
            "/v1/operator/partners",
            json!({"name": " ", "business_id": 0, "scopes": []}),
            vec![
                "business_id: expected an integer above zero",
                "name: expected 1 to 200 characters, none of them control characters",
                "scopes: expected at least one",
            ],
        ),
        (
            "PUT",
            "/v1/operator/webhooks",
            json!({"url": 1, "basic_auth": {"user": 1}, "in_flight_max": -1}),
            vec![
                "basic_auth.password: missing",
                "basic_auth.user: expected a string",
                "event_type: missing",
                "in_flight_max: expected",
                "partner_id: missing",
                "url: expected a string",
            ],
        ),
        (
            "PUT",
            "/v1/operator/webhooks",
            json!({
                "partner_id": "ptn_0", "event_type": "klikit.order.created.v2", "url": "ftp://x", "brand_id": 0,
                "branch_id": -1, "basic_auth": {"user": "a:b", "password": "x"}, "in_flight_max": 0,
            }),
            vec![
                "basic_auth.user: may not contain a colon",
                "branch_id: expected an integer above zero",
                "brand_id: expected an integer above zero",
                "in_flight_max: expected 1 to 512",
                "partner_id: there is no such partner",
                "url: ",
            ],
        ),
        // What values say is told beside what cannot be read, and nothing of what cannot.
        (
            "PUT",
            "/v1/operator/webhooks",
            json!({
                "partner_id": stage.partner, "event_type": "klikit.order.flown", "url": "ftp://x", "brand_id": 99,
                "branch_id": "x", "basic_auth": {"user": "a:b", "password": "x", "realm": 1}, "in_flight_max": 513, "zz": 1,
            }),
            vec![
                "basic_auth.realm: unknown field",
                "basic_auth.user: may not contain a colon",
                "branch_id: expected an integer",
                "brand_id: brand 99 is not a brand of business 7",
                "event_type: \"klikit.order.flown\" is not known",
                "in_flight_max: expected 1 to 512",
                "url: ",
                "zz: unknown field",
            ],
        ),
        (
            "PUT",
            "/v1/operator/webhooks",
            json!({"partner_id": "ptn_0", "event_type": "klikit.order.created.v2", "url": "https://x.test/", "zz": 1}),
            vec!["partner_id: there is no such partner", "zz: unknown field"],
        ),
        (
            "PUT",
            "/v1/operator/businesses/8",
            json!({"name": " ", "brands": [
                {"id": 10, "title": "", "branches": [0, "x"]}, {"id": 5, "title": 1, "branches": []},
                {"id": 5, "title": "", "branches": []}, {"id": "5", "title": "", "branches": []}, {"title": "", "branches": []},
            ]}),
            vec![
                "brands[0].branches[0]: expected an integer above zero",
                "brands[0].branches[1]: expected an integer",
                "brands[0].id: brand 10 belongs to business 7",
                "brands[1].title: expected a string",
                "brands[2].id: brand 5 is given more than once",
                "brands[3].id: expected an integer",
                "brands[4].id: missing",
                "name: expected 1 to 200 characters",
            ],
        ),
        (
            "PUT",
            "/v1/operator/businesses/8",
            json!({"name": "x", "brands": [
                {"id": 10, "title": "", "branches": []}, {"id": 5, "title": "", "branches": []}, {"id": 11, "title": "", "branches": []},
            ]}),
            vec![
                "brands[0].id: brand 10 belongs to business 7",
                "brands[2].id: brand 11 belongs to business 7",
            ],
        ),
        (
            "POST",
            &format!("/v1/operator/partners/{}/rotate-webhook-secret", stage.partner),
            json!({"current_at": "2020-01-01T00:00:00Z", "x": 1}),
            vec!["current_at: expected a time to come", "x: unknown field"],
        ),
        (
            "POST",
            "/v1/operator/tokens",
            json!({"name": "a\nb", "role": "boss"}),
            vec!["name: expected 1 to 100 characters", "role: \"boss\" is not known"],
        ),
        (
            "POST",
            "/v1/operator/tokens",
            json!({"role": "boss", "x": 1}),
            vec!["name: missing", "role: \"boss\" is not known", "x: unknown field"],
        ),
        (
            "PUT",
            "/v1/operator/businesses/7",
            json!({"name": "", "brands": [
                {"id": 0, "title": "", "branches": [0]}, {"id": 5, "title": "", "branches": []}, {"id": 5, "title": "", "branches": []},
            ]}),
            vec![
                "brands[0].branches[0]: expected an integer above zero",
                "brands[0].id: expected an integer above zero",
                "brands[2].id: brand 5 is given more than once",
                "name: expected 1 to 200 characters",
            ],
        ),
        (
            "POST",
            "/v1/operator/replays",
            json!({"new_ids": 1, "filter": {"since": "x", "state": "gone"}}),
            vec![
                "filter.since: \"x\" is not a time",
                "filter.state: \"gone\" is not known",
                "new_ids: expected a boolean",
            ],
        ),
        (
            "POST",
            "/v1/operator/replays",
            json!({"new_ids": true, "missed": true, "filter": {"endpoint_id": 1, "state": "pending"}}),
            vec![
                "filter.endpoint_id: not together with missed",
                "filter.state: not together with missed",
                "filter.state: what is pending is sent anyway",
                "filter.webhook_id: missing",
                "new_ids: not together with missed",
            ],
        ),
        (
            "POST",
            "/v1/operator/replays",
            json!({
                "history": false, "x": 1,
                "filter": {"since": "2026-03-02T00:00:00Z", "until": "2026-03-01T00:00:00Z", "webhook_id": 99, "endpoint_id": 99},
            }),
            vec![
                "filter.endpoint_id: there is no such endpoint",
                "filter.until: expected a time after since",
                "filter.webhook_id: there is no such registration",
                "history: false needs new_ids or missed",
                "x: unknown field",
            ],
        ),
        // A condition was meant, and what kind of replay nobody knows.
        (
            "POST",
            "/v1/operator/replays",
            json!({"history": false, "missed": "yes", "filter": {"oder_id": 7}}),
            vec!["filter.oder_id: unknown field", "missed: expected a boolean"],
        ),
        ("POST", "/v1/operator/replays", json!({"filter": {}, "x": 1}), {
            vec!["filter: expected at least one condition", "x: unknown field"]
        }),
        (
            "PATCH",
            &format!("{order}/status"),
            json!({"status": "FLYING", "reason_code": "x", "occurred_at": "now", "x": 1}),
            vec![
                "occurred_at: \"now\" is not a time",
                "status: \"FLYING\" is not a status",
                "x: unknown field",
            ],
        ),
        ("PATCH", &format!("{order}/status"), json!({"status": "ready", "reason_code": "x", "x": 1}), {
            vec!["reason_code: only a move to CANCELLED has a reason", "x: unknown field"]
        }),
        (
            "PATCH",
            &format!("{order}/status"),
            json!({"reason_code": [], "occurred_at": 1, "x": 1}),
            vec![
                "occurred_at: expected a string",
                "reason_code: expected",
                "status: missing",
                "x: unknown field",
            ],
        ),
        (
            "PUT",
            &format!("{order}/cart"),
            json!({"cart_v2": {}, "id": 1, "brands": []}),
            vec![
                "brands: an order stays where it was placed",
                "cart: missing",
                "cart_v2: expected an array of items",
                "id: the platform owns this field",
            ],
        ),
    ];
    for (method, path, body, expected) in cases {
        let answer = stage.platform.call(method, path, body.to_string()).await.expect(400);
        check_faults(&answer.json()["error"], &expected);
    }
    assert_eq!(stage.platform.snapshot().await, stage.before);
    let access = stage.platform.partner("Till", BUSINESS).await;
    let path = format!("/v1/partner/orders/{}/status", stage.order);
    let answer =
        stage.platform.write_as(&access, Some("key"), "PATCH", &path, "{\"status\":1,\"x\":1}").await;
    check_faults(&answer.json()["error"], &["status: expected a string", "x: unknown field"]);
    for (body, expected) in [
        (json!({"status": "rejected", "x": 1}), ["reason_code: missing", "x: unknown field"]),
        (json!({"status": "ready", "reason_code": 1, "x": 1}), ["reason_code: only", "x: unknown field"]),
        // What is none for any move is told, and not whether the move that nobody knows wants one.
        (
            json!({"status": "eaten", "reason_code": " "}),
            ["reason_code: expected", "status: \"eaten\" is not known"],
        ),
        (json!({"status": "eaten", "x": 1}), ["status: \"eaten\" is not known", "x: unknown field"]),
        (
            json!({"status": "eaten", "reason_code": 1, "x": 1}),
            ["status: \"eaten\" is not known", "x: unknown field"],
        ),
    ] {
        let answer = stage.platform.write_as(&access, Some("key"), "PATCH", &path, &body.to_string()).await;
        check_faults(&answer.json()["error"], &expected);
    }
}

/// Fails where not exactly these are told, and the first of them in the message.
fn check_faults(error: &Value, expected: &[&str]) {
    let told = error["details"].as_array().unwrap_or_else(|| panic!("{error}"));
    let words = |fault: &Value| {
        format!("{}: {}", fault["path"].as_str().unwrap(), fault["message"].as_str().unwrap())
    };
    let message = format!("{} (and {} more in details)", words(&told[0]), told.len() - 1);
    assert_eq!(error["message"], message);
    let mut told: Vec<String> = told.iter().map(words).collect();
    told.sort();
    assert_eq!(told.len(), expected.len(), "{told:?}");
    assert!(told.iter().zip(expected).all(|(told, expected)| told.starts_with(expected)), "{told:?}");
}

#[tokio::test]
async fn another_method_is_405_with_what_is_allowed_and_another_path_is_404() {
    let stage = Stage::set().await;
    for (method, path, allow) in [
        ("DELETE", "/v1/operator/orders".to_owned(), "get,head,post"),
        ("POST", format!("/v1/operator/orders/{}", stage.order), "get,head"),
        ("PUT", format!("/v1/operator/orders/{}/status", stage.order), "patch"),
        ("PATCH", format!("/v1/operator/orders/{}/cart", stage.order), "put"),
        ("GET", format!("/v1/operator/partners/{}/revoke", stage.partner), "post"),
        ("POST", "/v1/operator/webhooks".to_owned(), "get,head,put"),
        ("POST", "/healthz".to_owned(), "get,head"),
    ] {
        let answer = stage.platform.call(method, &path, "{}").await;
        let message = format!("{path} takes no {method}; the Allow header says what it takes");
        answer.is_refused(405, "request_method_not_allowed", &message);
        assert_eq!(
            answer.header("allow").map(|allow| allow.replace(' ', "")).as_deref(),
            Some(allow),
            "{path}"
        );
    }
    // Those of the Partner API ask for its credential first: `rates.rs`.
    for path in ["/", "/v1", "/v1/operator", "/v1/operator/order", "/v1/operator/orders/1/x", "//"] {
        let message = format!("there is nothing at {path}");
        stage.platform.call("GET", path, "").await.is_refused(404, "resource_not_found", &message);
    }
    assert_eq!(stage.platform.snapshot().await, stage.before);
}
