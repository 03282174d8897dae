//! Orders over the operator API: what is kept of a record, what a move and a cart edit change, what fires and what
//! does not.

use hookit_contract::OWNED_FIELDS;
use serde_json::{Map, Value, json};

use crate::harness::{BUSINESS, Running, order};

fn but_owned(record: &str) -> Map<String, Value> {
    let mut record: Map<String, Value> = serde_json::from_str(record).unwrap();
    record.retain(|name, _| !OWNED_FIELDS.contains(&name.as_str()));
    record
}

#[tokio::test]
async fn a_new_orders_record_comes_back_as_it_went_in_but_for_the_owned_fields() {
    let platform = Running::start().await;
    let rest = r#""business_id":7, "branch_id" :1062,"brands":[ {"id":663 , "id2":1E400} ],
        "wide":9007199254740993,"money":12345678901234567890.10,"zeros":0.1000,"exponent":1E+2,"negative":-0.0,
        "text":"\u00e9 \/ \ud83c\udf5c 🍜 日本語 ไทย \"quoted\"","lone":"\ud800","empty":{},"again":1,"again":2"#;
    let given = format!("{{\"status\":1,\"version\":99, {rest}\n}}");
    let answer = platform.call("POST", "/v1/operator/orders", &given).await.expect(201);
    let record = answer.data_text();
    let (before, after) = record.split_once(rest).expect("what is not owned comes out byte for byte");
    assert_eq!(before, "{\"status\":1,\"version\":1, ");
    assert!(after.starts_with(",\"id\":1000001,\"created_at\":\"20") && after.ends_with("\n}"), "{after}");
    assert_eq!(platform.record(1_000_001).await, record);

    // A move changes the owned fields, and nothing between them.
    let moved = platform.move_to(1_000_001, "accepted").await.expect(200).data_text();
    let (before, after_move) = moved.split_once(rest).expect("what is not owned comes out byte for byte");
    assert_eq!(before, "{\"status\":2,\"version\":2, ");
    let names = |text: &str| {
        text.split(",\"").map(|field| field.split('"').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(after_move), names(after), "a move adds no field and moves none");
    assert_eq!(platform.record(1_000_001).await, moved);
}

#[tokio::test]
async fn a_given_id_is_kept_and_a_taken_one_is_refused() {
    let platform = Running::start().await;
    let mut record = order(BUSINESS, 1062, &[663]);
    for id in [5_i64, 7_585_307, 9_007_199_254_740_993] {
        record["id"] = json!(id);
        assert_eq!(platform.create(&record).await["id"], id);
        let refused = platform.call("POST", "/v1/operator/orders", record.to_string()).await;
        assert_eq!((refused.status, refused.error().0.as_str()), (409, "state_idempotency_conflict"));
    }
    // The platform's own ids keep clear of given ones, but not beyond what every JSON reader can tell apart.
    assert_eq!(platform.order().await, 7_585_308);
    assert_eq!(platform.status().await["orders"], 4);
}

#[tokio::test]
async fn a_move_changes_status_version_and_time_and_a_move_to_the_same_status_changes_nothing() {
    let platform = Running::start().await;
    let order = platform.order().await;
    let created = platform.record(order).await;
    let moved = platform.move_to(order, "Preparing").await.expect(200).data_text();
    let [before, after]: [Value; 2] = [&created, &moved].map(|text| serde_json::from_str(text).unwrap());
    assert_eq!((&after["status"], &after["version"]), (&json!(10), &json!(2)));
    assert_eq!(after["created_at"], before["created_at"]);
    assert!(after["updated_at"].as_str() >= before["updated_at"].as_str());
    assert_eq!(but_owned(&created), but_owned(&moved));
    let fired = platform.status().await["events"].clone();
    for again in ["PREPARING", "preparing"] {
        assert_eq!(platform.move_to(order, again).await.expect(200).data_text(), moved);
    }
    let path = format!("/v1/operator/orders/{order}/status");
    assert_eq!(platform.call("PATCH", &path, r#"{"status":10}"#).await.expect(200).data_text(), moved);
    assert_eq!(platform.status().await["events"], fired);
    assert_eq!(platform.record(order).await, moved);
}

#[tokio::test]
async fn an_order_is_cancelled_with_a_reason_in_words_or_as_a_code() {
    let platform = Running::start().await;
    for (reason, field) in [
        (json!("out of \"ayam\" 鸡"), Some("cancellation_reason")),
        (json!(12), Some("cancellation_reason_id")),
        (Value::Null, None),
    ] {
        let order = platform.order().await;
        let body =
            json!({"status": "CANCELLED", "reason_code": reason, "occurred_at": "2026-03-01T18:30:00+07:00"});
        let path = format!("/v1/operator/orders/{order}/status");
        let record = platform.call("PATCH", &path, body.to_string()).await.expect(200).data();
        assert_eq!(record["status"], 3);
        for name in ["cancellation_reason", "cancellation_reason_id"] {
            let expected = if field == Some(name) { reason.clone() } else { Value::Null };
            assert_eq!(record[name], expected, "{name}");
        }
        let flags = ["can_update", "can_accept", "can_ready", "can_cancel", "can_deliver", "can_void"];
        assert!(flags.iter().all(|flag| record[*flag] == false), "nothing follows a cancellation: {record}");
    }
}

#[tokio::test]
async fn a_delivered_order_may_be_voided_and_nothing_else() {
    let platform = Running::start().await;
    let order = platform.order().await;
    for status in ["ACCEPTED", "READY", "DISPATCHED", "DELIVERED"] {
        platform.move_to(order, status).await.expect(200);
    }
    let delivered: Value = serde_json::from_str(&platform.record(order).await).unwrap();
    assert_eq!((&delivered["can_void"], &delivered["can_cancel"]), (&json!(true), &json!(false)));
    for status in ["READY", "PICKED_UP"] {
        let message =
            "status: the order has ended in DELIVERED; only a cancellation by an operator may follow";
        platform.move_to(order, status).await.is_refused(409, "state_invalid_transition", message);
    }
    let voided = platform.move_to(order, "CANCELLED").await.expect(200).data();
    assert_eq!((&voided["status"], &voided["version"]), (&json!(3), &json!(6)));
    assert_eq!(platform.status().await["events"], 6);
}

#[tokio::test]
async fn a_cart_edit_replaces_and_never_merges() {
    let platform = Running::start().await;
    let mut record = order(BUSINESS, 1062, &[663]);
    record["cart"] =
        json!([{"item_id": 1, "quantity": 2, "comment": "spicy"}, {"item_id": 2, "quantity": 1}]);
    record["cart_v2"] = json!([{"id": 1}]);
    record["promos"] = json!({"code": "OLD", "by": "us"});
    let order = platform.create(&record).await["id"].as_i64().unwrap();
    let before = platform.record(order).await;
    let edit =
        r#"{"cart":[{"item_id":1,"quantity":3}],"promos":{"code":"NEW"},"final_price":1.50,"new":[1E2]}"#;
    let path = format!("/v1/operator/orders/{order}/cart");
    let edited = platform.call("PUT", &path, edit).await.expect(200).data_text();
    for (given, kept) in [
        ("the item", r#""cart":[{"item_id":1,"quantity":3}]"#),
        ("another object", r#""promos":{"code":"NEW"}"#),
        ("a new field", r#""final_price":1.50"#),
        ("a number", r#""new":[1E2]"#),
        ("what was not edited", r#""cart_v2":[{"id":1}]"#),
    ] {
        assert!(edited.contains(kept), "{given}: {edited}");
    }
    let [old, new]: [Value; 2] = [&before, &edited].map(|text| serde_json::from_str(text).unwrap());
    assert_eq!((&new["version"], &new["status"]), (&json!(2), &old["status"]));
    // The same edit again changes nothing.
    assert_eq!(platform.call("PUT", &path, edit).await.expect(200).data_text(), edited);
    assert_eq!(platform.status().await["events"], 2);
}

#[tokio::test]
async fn the_list_is_paged_by_id_and_misses_nothing() {
    let platform = Running::start().await;
    for i in 0..7 {
        platform.create(&order(if i % 3 == 0 { 8 } else { BUSINESS }, 1062, &[663])).await;
    }
    for (query, expect) in [("", 7), ("&business_id=7", 4), ("&business_id=8", 3), ("&business_id=9", 0)] {
        let (mut ids, mut texts, mut after) = (Vec::new(), Vec::new(), String::new());
        let mut pages = 0;
        loop {
            let page = platform.get(&format!("/v1/operator/orders?limit=3{query}{after}")).await;
            pages += 1;
            let data = page.data();
            for record in data["orders"].as_array().unwrap() {
                let id = record["id"].as_i64().unwrap();
                texts.push((platform.record(id).await, page.data_text()));
                ids.push(id);
            }
            match data["next_after"].as_i64() {
                Some(id) => after = format!("&after={id}"),
                None => break,
            }
        }
        assert_eq!((ids.len(), pages), (expect, usize::div_ceil(expect, 3).max(1)), "{query}: {ids:?}");
        assert!(ids.is_sorted());
        assert!(
            texts.iter().all(|(record, page)| page.contains(record)),
            "records stand in pages byte for byte"
        );
    }
    assert_eq!(platform.get("/v1/operator/orders").await.data()["orders"].as_array().unwrap().len(), 7);
}
