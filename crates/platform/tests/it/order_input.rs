//! Bad orders, moves and cart edits: each gets an answer that names the field, and changes nothing.

use serde_json::{Value, json};

use crate::harness::{BUSINESS, order};
use crate::input::{NOT_FOUND, Stage, but};

const CONFLICT: (u16, &str) = (409, "state_invalid_transition");

#[tokio::test]
async fn a_new_order_with_a_wrong_field_is_refused_by_its_name() {
    let stage = Stage::set().await;
    let good = order(BUSINESS, 100, &[10]);
    const AN_ID: &str = "an integer above zero";
    const BRANDS: &str = "an array of brands, each an object with an id";
    let mut cases = vec![
        (but(&good, "business_id", Value::Null), format!("business_id: missing; expected {AN_ID}")),
        (but(&good, "branch_id", Value::Null), format!("branch_id: missing; expected {AN_ID}")),
        (but(&good, "brands", Value::Null), format!("brands: missing; expected {BRANDS}")),
        (but(&good, "brands", json!([])), format!("brands: expected {BRANDS}, found an empty array")),
        (but(&good, "brands", json!({})), format!("brands: expected {BRANDS}, found an object")),
        (but(&good, "brands", json!("10")), format!("brands: expected {BRANDS}, found a string")),
        (
            but(&good, "brands", json!([10])),
            "brands[0]: expected an object with an id, found a number".into(),
        ),
        (but(&good, "brands", json!([{"id": 10}, {}])), format!("brands[1].id: missing; expected {AN_ID}")),
        (
            but(&good, "brands", json!([{"id": "10"}])),
            format!("brands[0].id: expected {AN_ID}, found a string"),
        ),
        (
            but(&good, "brands", json!([{"id": 99}])),
            "brands[0].id: brand 99 is not a brand of business 7".into(),
        ),
        (
            but(&good, "brands", json!([{"id": 10}, {"id": 20}])),
            "brands[1].id: brand 20 is not a brand of business 7".into(),
        ),
        (but(&good, "branch_id", json!(999)), "branch_id: branch 999 is not a branch of brand 10".into()),
        (but(&good, "branch_id", json!(200)), "branch_id: branch 200 is not a branch of brand 10".into()),
        // A business without a hierarchy may name any brand but one of somebody else's.
        (but(&good, "business_id", json!(55)), "brands[0].id: brand 10 is not a brand of business 55".into()),
        (
            but(&good, "status", json!("READY")),
            "status: expected an integer status code, found a string".into(),
        ),
        (but(&good, "status", json!(3)), "status: a new order may not begin as CANCELLED".into()),
        (but(&good, "status", json!(5)), "status: a new order may not begin as DELIVERED".into()),
        (but(&good, "status", json!(77)), "status: a new order may not begin as UNKNOWN_77".into()),
    ];
    for field in ["id", "business_id", "branch_id"] {
        for (value, found) in [
            (json!("7"), "a string"),
            (json!(7.5), "a number"),
            (json!(0), "a number below one"),
            (json!(-7), "a number below one"),
            (json!(true), "a boolean"),
            (json!([7]), "an array"),
            (json!({"id": 7}), "an object"),
            (json!(u64::MAX), "a number"),
        ] {
            cases.push((but(&good, field, value), format!("{field}: expected {AN_ID}, found {found}")));
        }
    }
    for field in ["id", "status", "business_id", "brands", "version", "can_void"] {
        let twice = format!("{{\"{field}\":1,\"{field}\":1,{}", &good.to_string()[1..]);
        cases.push((twice, format!("{field}: given more than once")));
    }
    for (body, message) in cases {
        stage.invalid("POST", "/v1/operator/orders", body, &message).await;
    }
    let taken = but(&good, "id", json!(stage.order));
    let message =
        format!("id: there is an order {} already; a new order needs a new id, or none", stage.order);
    let conflict = (409, "state_idempotency_conflict");
    stage.refused("POST", "/v1/operator/orders", taken, conflict, &message).await;
}

#[tokio::test]
async fn a_move_with_a_wrong_field_is_refused_by_its_name() {
    let stage = Stage::set().await;
    let path = format!("/v1/operator/orders/{}/status", stage.order);
    const NAMES: &str = "PLACED, ACCEPTED, CANCELLED, READY, DELIVERED, SCHEDULED, DRIVER_ASSIGNED, DRIVER_ARRIVED, \
                         PICKED_UP, PREPARING, DISPATCHED";
    const TIME: &str = "is not a time; expected RFC 3339, for example 2026-03-01T18:30:00Z";
    let either = "status: expected a status name or an integer status code";
    for (body, message) in [
        (json!({}), "status: missing".to_owned()),
        (json!({"reason_code": "x"}), "status: missing".to_owned()),
        (json!({"status": true}), either.to_owned()),
        (json!({"status": null}), either.to_owned()),
        (json!({"status": 2.5}), either.to_owned()),
        (json!({"status": ["READY"]}), either.to_owned()),
        (json!({"status": "FLYING"}), format!("status: \"FLYING\" is not a status; expected one of {NAMES}")),
        (json!({"status": ""}), format!("status: \"\" is not a status; expected one of {NAMES}")),
        (json!({"status": 77}), format!("status: 77 is not a status; expected one of {NAMES}")),
        (
            json!({"status": "é".repeat(9_999)}),
            format!("status: \"{}\" is not a status; expected one of {NAMES}", "é".repeat(32)),
        ),
        (
            json!({"status": "accepted", "reason_code": "x"}),
            "reason_code: only a move to CANCELLED has a reason".to_owned(),
        ),
        (json!({"status": 4, "reason_code": []}), "reason_code: expected a text or an integer".to_owned()),
        (json!({"status": 4, "reason_code": 1.5}), "reason_code: expected a text or an integer".to_owned()),
        (json!({"status": 4, "occurred_at": "yesterday"}), format!("occurred_at: \"yesterday\" {TIME}")),
        (json!({"status": 4, "occurred_at": "2026-03-01T18:30:00"}), {
            format!("occurred_at: \"2026-03-01T18:30:00\" {TIME}")
        }),
        (json!({"status": 4, "occurred_at": 5}), "occurred_at: expected a string, found a number".to_owned()),
        (json!({"status": 4, "ocurred_at": "x"}), {
            "ocurred_at: unknown field; expected one of status, reason_code, occurred_at".to_owned()
        }),
    ] {
        stage.invalid("PATCH", &path, body.to_string(), &message).await;
    }
    stage.invalid("PATCH", &path, r#"{"status":4,"status":5}"#, "status: given more than once").await;
}

#[tokio::test]
async fn a_move_that_the_order_cannot_make_is_refused_with_the_reason() {
    let stage = Stage::set().await;
    let path = |order: i64| format!("/v1/operator/orders/{order}/status");
    let cases = [
        (stage.order, "PLACED", "status: a move must go forward, and PLACED comes before ACCEPTED"),
        (stage.order, "SCHEDULED", "status: a move must go forward, and SCHEDULED comes before ACCEPTED"),
        (stage.ended, "READY", "status: the order is CANCELLED, which nothing follows"),
    ];
    for (order, status, message) in cases {
        let body = json!({"status": status}).to_string();
        stage.refused("PATCH", &path(order), body, CONFLICT, message).await;
    }
    let body = json!({"status": "READY"}).to_string();
    stage.refused("PATCH", &path(4_040_404), body, NOT_FOUND, "there is no such order").await;
}

/// Fields of an order that are no carts.
const ODD_CARTS: [(&str, &str); 9] = [
    (r#""cart":null"#, "cart: expected an array of items, found null"),
    (r#""cart":{}"#, "cart: expected an array of items, found an object"),
    (r#""cart":"[]""#, "cart: expected an array of items, found a string"),
    (r#""cart":[],"cart_v2":7"#, "cart_v2: expected an array of items, found a number"),
    (r#""cart_v2":null"#, "cart_v2: expected an array of items, found null"),
    (r#""cart":[{}, 1]"#, "cart[1]: expected an item, an object, found a number"),
    (r#""cart":[[{}]]"#, "cart[0]: expected an item, an object, found an array"),
    (r#""cart_v2":[{},{},null]"#, "cart_v2[2]: expected an item, an object, found null"),
    (
        r#""cart":[null,"x"],"cart_v2":true"#,
        "cart[0]: expected an item, an object, found null (and 2 more in details)",
    ),
];

#[tokio::test]
async fn an_order_whose_carts_are_none_is_refused_alone_and_among_others() {
    let stage = Stage::set().await;
    let frame =
        order(BUSINESS, 100, &[10]).to_string().replace(",\"cart\":[]", "").replace("\"cart\":[],", "");
    assert!(!frame.contains("cart"), "{frame}");
    let with = |fields: &str| format!("{},{fields}}}", frame.strip_suffix('}').unwrap());
    for (fields, message) in ODD_CARTS {
        stage.invalid("POST", "/v1/operator/orders", with(fields), message).await;
        let said = stage.platform.call("POST", "/v1/operator/orders/bulk", with(fields)).await.expect(200);
        assert!(said.text().contains(&format!("\"message\":\"{message}\"")), "{}", said.text());
    }
    let twice =
        r#""cart":[],"cart":[{}],"cart_v2":[],"cart_v2":[],"cancellation_reason":1,"cancellation_reason":2"#;
    let message = "cancellation_reason: given more than once (and 2 more in details)";
    stage.invalid("POST", "/v1/operator/orders", with(twice), message).await;
    // Whatever is in an item, and none at all.
    for fields in [r#""cart":[{},{"quantity":"two","item_id":null}],"cart_v2":[ { "id" : [] } ]"#, "\"x\":1"]
    {
        stage.platform.call("POST", "/v1/operator/orders", with(fields)).await.expect(201);
    }
}

#[tokio::test]
async fn a_cart_edit_of_what_is_not_the_carts_is_refused_by_name() {
    let stage = Stage::set().await;
    let path = format!("/v1/operator/orders/{}/cart", stage.order);
    for name in hookit_contract::OWNED_FIELDS {
        let message = format!("{name}: the platform owns this field; a cart edit cannot set it");
        stage.invalid("PUT", &path, json!({"cart": [], name: 1}).to_string(), &message).await;
    }
    for name in ["business_id", "branch_id", "brands"] {
        let message = format!("{name}: an order stays where it was placed");
        stage.invalid("PUT", &path, json!({"cart": [], name: 1}).to_string(), &message).await;
    }
    let many: String = (0..300).map(|i| format!(",\"f{i}\":1")).collect();
    for (body, message) in [
        ("{}", "cart: missing; expected an array of items"),
        (r#"{"item_count":3}"#, "cart: missing; expected an array of items"),
        (r#"{"cart":[],"note":1,"cart":[{}]}"#, "cart: given more than once"),
        (r#"{"cart":[],"c\u0061rt":[{}]}"#, "cart: given more than once"),
        (r#"{"cart":[],"st\u0061tus":5}"#, "status: the platform owns this field; a cart edit cannot set it"),
        (&format!("{{\"cart\":[]{many}}}"), "body: a cart edit may replace at most 256 fields"),
        (
            &format!("{{\"cart\":[]{many},\"status\":1}}"),
            "body: a cart edit may replace at most 256 fields (and 1 more in details)",
        ),
    ] {
        stage.invalid("PUT", &path, body, message).await;
    }
    for (body, message) in ODD_CARTS {
        let body = if body.contains("\"cart\"") { body.to_owned() } else { format!("\"cart\":[],{body}") };
        stage.invalid("PUT", &path, format!("{{{body}}}"), message).await;
    }
    let path = |order: i64| format!("/v1/operator/orders/{order}/cart");
    let body = json!({"cart": [{"title": "x"}]}).to_string();
    let ended = "cart: the order has ended in CANCELLED, so its cart is final";
    stage.refused("PUT", &path(stage.ended), &body, CONFLICT, ended).await;
    stage.refused("PUT", &path(4_040_404), &body, NOT_FOUND, "there is no such order").await;
}
