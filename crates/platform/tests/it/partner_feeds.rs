//! What a partner catches up by: its own deliveries, and the events of its business.

use std::time::Duration;

use hookit_sim::endpoints::ScriptedEndpoint;
use serde_json::{Value, json};

use crate::harness::{BUSINESS, HOUR, PartnerAccess, Running, Setup, order, received};
use crate::http::Answer;

async fn page(platform: &Running, partner: &PartnerAccess, what: &str, query: &str) -> Value {
    platform.get_as(partner, &format!("/v1/partner/{what}?{query}")).await.expect(200).data()
}

/// Everything behind a cursor, in pages of two: what happened as (order, version), and the cursor behind it.
async fn follow(
    platform: &Running,
    partner: &PartnerAccess,
    after: Option<&str>,
) -> (Vec<(i64, i64)>, String) {
    let (mut seen, mut cursor) = (Vec::new(), after.map(str::to_owned));
    loop {
        let after = cursor.map(|cursor| format!("&after={cursor}")).unwrap_or_default();
        let data = page(platform, partner, "events", &format!("limit=2{after}")).await;
        let number = |event: &Value, name: &str| event[name].as_i64().unwrap();
        let events = data["events"].as_array().unwrap();
        seen.extend(events.iter().map(|event| (number(event, "order_id"), number(event, "version"))));
        let next = data["next_after"].as_str().unwrap().to_owned();
        if data["has_more"] == false {
            return (seen, next);
        }
        cursor = Some(next);
    }
}

#[tokio::test]
async fn a_partner_follows_what_happens_in_its_business_in_order_and_without_gaps() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let (nothing, start) = follow(&platform, &partner, None).await;
    assert!(nothing.is_empty());
    let (one, other) = (platform.order().await, platform.order().await);
    platform.create(&order(8, 1062, &[663])).await;
    platform.move_to(other, "ACCEPTED").await.expect(200);
    let body = json!({"status": "accepted", "occurred_at": "2026-03-01T18:30:00Z"}).to_string();
    let path = format!("/v1/partner/orders/{one}/status");
    platform.write_as(&partner, Some("a"), "PATCH", &path, &body).await.expect(200);
    let all = [(one, 1), (other, 1), (other, 2), (one, 2)];
    let (seen, middle) = follow(&platform, &partner, None).await;
    assert_eq!(seen, all);
    assert_eq!(follow(&platform, &partner, Some(&start)).await.0, all);

    // Each event is as its webhook is, to the byte.
    let answer = platform.get_as(&partner, "/v1/partner/events").await.expect(200);
    assert!(answer.data_text().contains(&format!("\"order\":{}}}]", platform.record(one).await)));
    let events = &answer.data()["events"];
    let last = &events[3];
    assert_eq!(
        (&last["event_type"], &last["actor"], &last["status_from"], &last["status"], &last["occurred_at"]),
        (
            &json!("klikit.order.status.updated"),
            &json!("partner"),
            &json!(1),
            &json!(2),
            &json!("2026-03-01T18:30:00.000Z")
        )
    );
    assert_eq!((&events[0]["status_from"], &events[0]["actor"]), (&Value::Null, &json!("operator")));

    // Nothing is told twice, and what comes later is told.
    assert_eq!(follow(&platform, &partner, Some(&middle)).await.0, []);
    platform.move_to(one, "READY").await.expect(200);
    assert_eq!(follow(&platform, &partner, Some(&middle)).await.0, [(one, 3)]);
    // What happens elsewhere moves the cursor on.
    let (_, before) = follow(&platform, &partner, None).await;
    platform.create(&order(8, 1062, &[663])).await;
    assert_ne!(follow(&platform, &partner, Some(&before)).await.1, before);
}

#[tokio::test]
async fn there_is_more_only_of_the_partners_own_and_nobody_elses_events_show() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let (_, start) = follow(&platform, &partner, None).await;
    let other = async || platform.create(&order(8, 1062, &[663])).await["id"].as_i64().unwrap();
    let mut own = Vec::new();
    for _ in 0..3 {
        own.push((platform.order().await, 1));
        other().await;
        other().await;
    }
    let ask = async |limit: usize, after: &str| {
        let data = page(&platform, &partner, "events", &format!("limit={limit}&after={after}")).await;
        let ids = data["events"].as_array().unwrap().iter().map(|event| event["order_id"].as_i64().unwrap());
        (
            ids.collect::<Vec<_>>(),
            data["has_more"].as_bool().unwrap(),
            data["next_after"].as_str().unwrap().to_owned(),
        )
    };
    let (first, more, after) = ask(2, &start).await;
    assert_eq!((first, more), (vec![own[0].0, own[1].0], true));
    // What others did behind it was looked at, and leads nowhere.
    let (second, more, after) = ask(1, &after).await;
    assert_eq!((second, more), (vec![own[2].0], false));
    let (all, more, _) = ask(3, &start).await;
    assert_eq!((all.len(), more), (3, false));
    let (none, more, moved) = ask(1, &after).await;
    assert_eq!((none, more), (vec![], false));
    assert_eq!(moved, after, "all was looked at before");
    other().await;
    let (none, more, moved) = ask(1, &after).await;
    assert_eq!((none, more), (vec![], false));
    assert_ne!(moved, after);
    own.push((platform.order().await, 1));
    assert_eq!(follow(&platform, &partner, Some(&moved)).await.0, own[3..]);
    assert_eq!(follow(&platform, &partner, Some(&start)).await.0, own);
}

#[tokio::test]
async fn behind_very_many_events_of_others_a_partner_still_comes_to_its_own() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let (_, start) = follow(&platform, &partner, None).await;
    let theirs = format!("{}\n", order(8, 1062, &[663])).repeat(5_001);
    platform.call("POST", "/v1/operator/orders/bulk", theirs).await.expect(200);
    let first = page(&platform, &partner, "events", &format!("after={start}")).await;
    assert_eq!((&first["events"], &first["has_more"]), (&json!([]), &json!(true)));
    let next = first["next_after"].as_str().unwrap();
    assert_ne!(next, start);
    let second = page(&platform, &partner, "events", &format!("after={next}")).await;
    assert_eq!((&second["events"], &second["has_more"]), (&json!([]), &json!(false)));
    let own = platform.order().await;
    assert_eq!(follow(&platform, &partner, Some(&start)).await.0, [(own, 1)]);
}

#[tokio::test]
async fn a_cursor_that_is_none_or_too_old_is_refused_and_never_a_silent_gap() {
    let dir = tempfile::tempdir().unwrap();
    let platform = Running::on(dir.path(), Setup::default()).await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let (_, start) = follow(&platform, &partner, None).await;
    let first = platform.order().await;
    let (_, behind_first) = follow(&platform, &partner, None).await;
    let events = platform.get_as(&partner, &format!("/v1/partner/events?after={start}")).await.expect(200);
    assert_eq!(events.data()["events"].as_array().unwrap().len(), 1);
    let of_deliveries = "AQIAAAAAAAAAAA";
    let message = "after: expected a cursor as this call gave it";
    for cursor in ["", "0", "x", "%21", &format!("{start}A"), &start[1..], of_deliveries, "AQEAAAAAAAAnEA"] {
        let answer = platform.get_as(&partner, &format!("/v1/partner/events?after={cursor}")).await;
        answer.is_refused(400, "request_invalid", message);
    }
    for limit in ["0", "201"] {
        let answer = platform.get_as(&partner, &format!("/v1/partner/events?limit={limit}")).await;
        answer.is_refused(400, "request_invalid", "limit: expected 1 to 200");
    }
    platform.stop().await;

    let setup = Setup { retention: 2 * HOUR, ..Setup::default() };
    let platform = Running::on(dir.path(), setup.clone()).await;
    platform.clock.push(HOUR);
    let second = platform.order().await;
    platform.stop().await;
    // The first is older than it is to be kept when the next start looks, an hour and a half later by its clock.
    let late = Running::on_at(dir.path(), setup, Duration::from_secs(2 * 3600 + 1800)).await;
    late.until("events", 1).await;
    let expired = late.get_as(&partner, &format!("/v1/partner/events?after={start}")).await;
    let message = "after: events behind this cursor are not kept any more; read the orders anew, and go on without a cursor";
    expired.is_refused(410, "request_cursor_expired", message);
    assert_eq!(follow(&late, &partner, Some(&behind_first)).await.0, [(second, 1)]);
    assert_eq!(follow(&late, &partner, None).await.0, [(second, 1)]);
    assert_eq!(late.get_as(&partner, &format!("/v1/partner/orders/{first}")).await.status, 200);
}

fn delivery_ids(data: &Value) -> Vec<&str> {
    let deliveries = data["deliveries"].as_array().unwrap();
    deliveries.iter().map(|delivery| delivery["delivery_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_partner_sees_its_own_deliveries_with_their_attempts_page_by_page() {
    let (endpoint, beside) =
        (ScriptedEndpoint::start().await.unwrap(), ScriptedEndpoint::start().await.unwrap());
    let platform = Running::start().await;
    let partner = platform.listener(&endpoint).await;
    let other = platform.listener(&beside).await;
    let mut orders = Vec::new();
    for _ in 0..3 {
        orders.push(platform.order().await);
    }
    platform.until("delivered", 6).await;
    let mut own: Vec<_> = received(&endpoint, 3).await.iter().map(|w| w.event_id().to_owned()).collect();
    own.sort();
    own.reverse();

    let all = page(&platform, &partner, "deliveries", "").await;
    assert_eq!(delivery_ids(&all), own);
    assert_eq!(all["next_before"], Value::Null);
    let newest = &all["deliveries"][0];
    assert_eq!(
        (&newest["state"], &newest["orders"], &newest["attempts"]),
        (&json!("delivered"), &json!([{"order_id": orders[2], "version": 1}]), &json!(1))
    );
    assert_eq!(
        (&newest["log"][0]["outcome"], &newest["log"][0]["status"]),
        (&json!("acknowledged"), &json!(200))
    );

    let first = page(&platform, &partner, "deliveries", "limit=2").await;
    assert_eq!(delivery_ids(&first), own[..2]);
    let before = first["next_before"].as_str().unwrap();
    let second = page(&platform, &partner, "deliveries", &format!("limit=2&before={before}")).await;
    assert_eq!(delivery_ids(&second), own[2..]);
    assert_eq!(
        delivery_ids(&page(&platform, &partner, "deliveries", &format!("order_id={}", orders[1])).await),
        [&own[1]]
    );
    for (state, count) in [("delivered", 3), ("pending", 0), ("dead", 0)] {
        let data = page(&platform, &partner, "deliveries", &format!("state={state}")).await;
        assert_eq!(delivery_ids(&data).len(), count, "{state}");
    }
    let malformed = platform.get_as(&partner, "/v1/partner/deliveries?before=7").await;
    malformed.is_refused(400, "request_invalid", "before: expected a cursor as this call gave it");
    let theirs = page(&platform, &other, "deliveries", "").await;
    assert!(
        delivery_ids(&theirs).len() == 3
            && delivery_ids(&theirs).iter().all(|id| !own.contains(&(*id).to_owned()))
    );
}

#[tokio::test]
async fn a_partner_does_not_read_which_addresses_were_dialled_for_it() {
    let mut endpoint = ScriptedEndpoint::start().await.unwrap();
    endpoint.stop().await.unwrap();
    let platform = Running::start().await;
    let partner = platform.listener(&endpoint).await;
    platform.order().await;
    let id = platform.deliveries("").await[0]["delivery_id"].as_str().unwrap().to_owned();
    let delivery = platform.delivery_after_attempts(&id, 1).await;
    let address = endpoint.address().to_string();
    assert!(
        delivery["log"][0]["error"].as_str().unwrap().contains(&address),
        "an operator reads it: {delivery}"
    );
    let shown = page(&platform, &partner, "deliveries", "").await;
    let log = &shown["deliveries"][0]["log"][0];
    assert_eq!((&log["outcome"], &log["error"]), (&json!("connect_failed"), &Value::Null));
    assert!(!shown.to_string().contains(&address), "{shown}");
}

#[tokio::test]
async fn a_partner_has_a_delivery_of_its_own_sent_again_once_for_its_key() {
    let (endpoint, beside) =
        (ScriptedEndpoint::start().await.unwrap(), ScriptedEndpoint::start().await.unwrap());
    let platform = Running::start().await;
    let partner = platform.listener(&endpoint).await;
    let other = platform.listener(&beside).await;
    platform.order().await;
    platform.until("delivered", 2).await;
    let first = received(&endpoint, 1).await.remove(0);
    let id = first.event_id().to_owned();
    let again = async |partner: &PartnerAccess, key: Option<&str>, id: &str| -> Answer {
        platform.write_as(partner, key, "POST", &format!("/v1/partner/deliveries/{id}/replay"), "").await
    };
    for _ in 0..2 {
        let answer = again(&partner, Some("key"), &id).await.expect(200);
        assert_eq!(answer.data(), json!({"delivery_id": id, "state": "pending"}));
        received(&endpoint, 2).await;
        platform.until("delivered", 2).await;
    }
    let both = endpoint.requests();
    assert_eq!(both.len(), 2, "once for its key");
    assert_eq!((both[1].event_id(), &both[1].body), (id.as_str(), &first.body));

    let theirs = received(&beside, 1).await[0].event_id().to_owned();
    for unknown in [theirs.as_str(), "evt_0"] {
        let answer = again(&partner, Some(unknown), unknown).await;
        answer.is_refused(404, "resource_not_found", "there is no such delivery");
    }
    assert_eq!(again(&other, Some("key"), &theirs).await.status, 200);
    assert_eq!(again(&partner, None, &id).await.error().0, "request_missing_idempotency_key");
    assert_eq!(again(&partner, Some("key"), "evt_0").await.error().0, "state_idempotency_conflict");
    let reader = platform.partner_with(&["orders:read", "orders:write", "webhooks:read"]).await;
    let message = "Authorization: this credential lacks the scope webhooks:write";
    again(&reader, Some("key"), &id).await.is_refused(403, "auth_forbidden", message);
}
