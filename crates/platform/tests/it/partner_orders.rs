//! What a partner reads: its business's orders, the tables of codes, and what is registered.

use std::time::Duration;

use hookit_contract::{Clock as _, EventType};
use serde_json::{Value, json};

use crate::harness::{BUSINESS, HOUR, Running, order};
use crate::http::Answer;

const DAY: Duration = Duration::from_secs(86_400);

/// The ids on a page of orders.
fn ids(answer: &Answer) -> Vec<i64> {
    let data = answer.clone().expect(200).data();
    data["orders"].as_array().unwrap().iter().map(|order| order["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_partner_finds_the_orders_of_its_business_by_page_and_by_what_they_are() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    platform.create(&order(8, 1062, &[663])).await;
    let mut all = Vec::new();
    for (branch, brands) in [(1, &[11][..]), (1, &[12]), (2, &[11, 12]), (2, &[13])] {
        all.push(platform.create(&order(BUSINESS, branch, brands)).await["id"].as_i64().unwrap());
        // An id that a surface gave says nothing of when the order came.
        platform.clock.push(HOUR);
    }
    let mut early = order(BUSINESS, 3, &[14]);
    early["id"] = json!(5);
    all.push(platform.create(&early).await["id"].as_i64().unwrap());
    platform.move_to(all[1], "ACCEPTED").await.expect(200);
    let find = |query: &str| {
        let path = format!("/v1/partner/orders{query}");
        let (platform, partner) = (&platform, &partner);
        async move { platform.get_as(partner, &path).await }
    };

    let whole = find("").await.expect(200);
    assert_eq!(ids(&whole), all);
    let data = whole.data();
    assert_eq!((&data["page"], &data["size"], &data["total"]), (&json!(1), &json!(100), &json!(5)));
    // As it is kept, to the byte.
    assert!(whole.data_text().contains(&platform.record(all[1]).await));
    for (query, found, total) in [
        ("?size=2", &all[..2], 5),
        ("?size=2&page=2", &all[2..4], 5),
        ("?size=2&page=3", &all[4..], 5),
        ("?size=2&page=4", &[], 5),
        ("?page=18446744073709551615&size=1000", &[], 5),
        ("?branch_id=2", &all[2..4], 2),
        ("?brand_id=12", &all[1..3], 2),
        ("?brand_id=12&branch_id=2", &all[2..3], 1),
        ("?brand_id=663", &[], 0),
        ("?status=accepted", &all[1..2], 1),
        ("?status=2", &all[1..2], 1),
        ("?status=77", &[], 0),
    ] {
        let answer = find(query).await;
        assert_eq!((ids(&answer), &answer.data()["total"]), (found.to_vec(), &json!(total)), "{query}");
    }
    let created: Vec<String> = data["orders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|order| order["created_at"].as_str().unwrap().to_owned())
        .collect();
    let window = format!("?created_from={}&created_to={}", created[1], created[3]);
    assert_eq!(ids(&find(&window).await), all[1..3]);
    let empty = format!("?created_from={0}&created_to={0}", created[1]);
    assert_eq!(ids(&find(&empty).await), [0; 0]);
}

#[tokio::test]
async fn a_page_of_orders_that_cannot_be_is_refused_by_its_parameter() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let order = platform.order().await;
    let now = platform.clock.now();
    let ago = |time: Duration| {
        hookit_contract::Timestamp::from_millis(now.as_millis() - i64::try_from(time.as_millis()).unwrap())
    };
    let (long_ago, longer_ago, recently) = (ago(89 * DAY), ago(91 * DAY), ago(HOUR));
    for (query, code, message) in [
        ("page=0", "request_invalid", "page: expected an integer above zero"),
        ("page=-1", "request_invalid", "page: expected an integer"),
        ("size=0", "request_invalid", "size: expected 1 to 1000"),
        ("size=1001", "request_invalid", "size: expected 1 to 1000"),
        ("brand_id=0", "request_invalid", "brand_id: expected an integer above zero"),
        ("branch_id=-4", "request_invalid", "branch_id: expected an integer above zero"),
        ("status=burnt", "request_invalid", "status: expected a status code, or one of PLACED, "),
        ("created_from=yesterday", "request_invalid", "created_from: "),
        ("limit=3", "request_invalid", "limit: "),
        (
            &format!("created_from={recently}&created_to={long_ago}"),
            "request_invalid",
            "created_to: expected a time that is not before created_from",
        ),
        (
            &format!("created_from={longer_ago}"),
            "request_invalid_range",
            "created_from: expected a time at most 90 days ago where no created_to is given",
        ),
        (
            &format!("created_from={longer_ago}&created_to={recently}"),
            "request_invalid_range",
            "created_from: expected a time at most 90 days before created_to",
        ),
    ] {
        let answer = platform.get_as(&partner, &format!("/v1/partner/orders?{query}")).await;
        let (found_code, found_message) = answer.error();
        assert_eq!((answer.status, found_code.as_str()), (400, code), "{query}: {found_message}");
        assert!(found_message.starts_with(message), "{query}: {found_message}");
    }
    for query in [
        format!("created_from={long_ago}"),
        format!("created_from={}&created_to={now}", ago(90 * DAY)),
        format!("created_to={}", ago(Duration::ZERO).plus(HOUR)),
    ] {
        let answer = platform.get_as(&partner, &format!("/v1/partner/orders?{query}")).await;
        assert_eq!(ids(&answer), [order], "{query}");
    }
    // What is older than a stretch may reach back is not in it by default.
    platform.clock.push(91 * DAY);
    assert_eq!(ids(&platform.get_as(&partner, "/v1/partner/orders").await), [0; 0]);
    let then = format!("/v1/partner/orders?created_to={}", now.plus(HOUR));
    assert_eq!(ids(&platform.get_as(&partner, &then).await), [order]);
}

#[tokio::test]
async fn the_tables_of_codes_are_the_published_ones() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let table = |answer: Answer| -> Vec<(i64, String)> {
        let data = answer.expect(200).data();
        let row = |row: &Value| (row["id"].as_i64().unwrap(), row["status"].as_str().unwrap().to_owned());
        data.as_array().unwrap().iter().map(row).collect()
    };
    let statuses = table(platform.get_as(&partner, "/v1/partner/orders/statuses").await);
    assert_eq!(statuses.len(), 11);
    for (id, name) in [(1, "PLACED"), (3, "CANCELLED"), (9, "PICKED_UP"), (10, "PREPARING")] {
        assert!(statuses.contains(&(id, name.to_owned())), "{statuses:?}");
    }
    let fulfillment = table(platform.get_as(&partner, "/v1/partner/orders/fulfillment-statuses").await);
    assert_eq!(fulfillment.len(), 11);
    for (id, name) in [(1, "DISPATCHING"), (6, "COMPLETED"), (9, "CANCELED"), (11, "DISPATCH_FAILED")] {
        assert!(fulfillment.contains(&(id, name.to_owned())), "{fulfillment:?}");
    }
}

#[tokio::test]
async fn a_partner_sees_what_is_registered_for_its_business_and_nothing_of_another() {
    let platform = Running::start().await;
    let (ours, beside) =
        (platform.partner("Kitchen display", BUSINESS).await, platform.partner("ERP", BUSINESS).await);
    let theirs = platform.partner("Other", 8).await;
    let put = async |partner, url: &str| {
        let answer = platform.register(partner, Some(663), None, EventType::OrderCreated, url).await;
        answer.expect(201).data()["webhook_id"].as_i64().unwrap()
    };
    let mine = put(&ours, "https://kds.example/hook").await;
    let erp = put(&beside, "https://erp.example/hook").await;
    let gone = platform.partner("Gone", BUSINESS).await;
    let removed = put(&gone, "https://gone.example/").await;
    platform.call("DELETE", &format!("/v1/operator/webhooks/{removed}"), "").await.expect(200);
    put(&theirs, "https://other.example/hook").await;

    let data = platform.get_as(&ours, "/v1/partner/webhooks").await.expect(200).data();
    let shown = data["webhooks"].as_array().unwrap();
    let listed: Vec<_> = shown.iter().map(|webhook| webhook["webhook_id"].as_i64().unwrap()).collect();
    assert_eq!(listed, [mine, erp]);
    assert_eq!(
        (&shown[0]["url"], &shown[0]["brand_id"], &shown[0]["branch_id"], &shown[0]["event_type"]),
        (&json!("https://kds.example/hook"), &json!(663), &Value::Null, &json!("klikit.order.created.v2"))
    );
    let data = platform.get_as(&theirs, "/v1/partner/webhooks").await.expect(200).data();
    assert_eq!(data["webhooks"].as_array().unwrap().len(), 1);
}
