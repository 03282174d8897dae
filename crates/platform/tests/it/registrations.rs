//! Which registration gets an event, and what a change of one does to what waits for it.

use hookit_contract::EventType;
use hookit_sim::endpoints::{Answer, ScriptedEndpoint};
use serde_json::{Value, json};

use crate::harness::{BUSINESS, HOUR, PartnerAccess, Running, Setup, order, received};

const CREATED: EventType = EventType::OrderCreated;

#[tokio::test]
async fn the_most_specific_registration_gets_the_event_and_no_other() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let url = |path: &str| endpoint.url_of(path);
    for (brand, branch, path) in [
        (None, None, "/any"),
        (None, Some(2), "/branch"),
        (Some(1), None, "/brand"),
        (Some(1), Some(2), "/both"),
        (Some(5), None, "/brand-5"),
    ] {
        platform.register(&partner, brand, branch, CREATED, &url(path)).await.expect(201);
    }
    // For another event type, which must not be mixed up.
    let moved = EventType::OrderStatusUpdated;
    platform.register(&partner, Some(1), Some(2), moved, &url("/moved")).await.expect(201);
    for (n, (brand, branch, expect)) in
        [(1, 2, "/both"), (1, 3, "/brand"), (5, 2, "/brand-5"), (4, 2, "/branch"), (4, 3, "/any")]
            .into_iter()
            .enumerate()
    {
        platform.create(&order(BUSINESS, branch, &[brand])).await;
        platform.until("delivered", n as u64 + 1).await;
        assert_eq!(
            received(&endpoint, n as u64 + 1).await[n].target,
            expect,
            "brand {brand}, branch {branch}"
        );
    }
}

#[tokio::test]
async fn a_registration_is_made_once_and_changed_after() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let url = "http://127.0.0.1:9/in";
    let first = platform.register(&partner, Some(1), None, CREATED, url).await.expect(201).data();
    let again = platform.register(&partner, Some(1), None, CREATED, url).await.expect(200).data();
    let moved = platform
        .register(&partner, Some(1), None, CREATED, "http://127.0.0.1:9/new")
        .await
        .expect(200)
        .data();
    for other in [&again, &moved] {
        assert_eq!(
            (&other["webhook_id"], &other["created_at"]),
            (&first["webhook_id"], &first["created_at"])
        );
    }
    assert_eq!(again["endpoint_id"], first["endpoint_id"]);
    assert_ne!(moved["endpoint_id"], first["endpoint_id"]);
    let expected = json!({
        "webhook_id": first["webhook_id"], "endpoint_id": moved["endpoint_id"], "partner_id": partner.id,
        "brand_id": 1, "branch_id": null, "event_type": CREATED, "url": "http://127.0.0.1:9/new",
        "basic_auth": false, "created_at": first["created_at"], "updated_at": moved["updated_at"],
        "hold": null, "ordering": "per_order", "in_flight_max": null, "rate_per_second_max": null,
        "orders_per_delivery_max": null, "coalesce": false,
    });
    assert_eq!(platform.get("/v1/operator/webhooks").await.data()["webhooks"], json!([expected]));
}

/// The one delivery that has not been acknowledged.
async fn waiting(platform: &Running) -> Value {
    let mut pending = platform.deliveries("?state=pending").await;
    assert_eq!(pending.len(), 1, "{pending:?}");
    pending.remove(0)
}

#[tokio::test]
async fn a_rotated_webhook_secret_signs_the_next_attempt_of_what_waits() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    endpoint.answer_next(1, Answer::Status(500));
    let platform = Running::start().await;
    let before = platform.listener(&endpoint).await;
    platform.order().await;
    let id = waiting(&platform).await["delivery_id"].as_str().unwrap().to_owned();
    platform.delivery_after_attempts(&id, 1).await;

    let path = format!("/v1/operator/partners/{}/rotate-webhook-secret", before.id);
    let rotated = platform.call("POST", &path, "").await.expect(200).data();
    let webhook_secret = rotated["webhook_secret_key"].as_str().unwrap().to_owned();
    let after = PartnerAccess { webhook_secret, ..before.clone() };
    platform.pass(2 * HOUR).await;
    let webhooks = received(&endpoint, 2).await;
    before.verify(&webhooks[0]);
    after.verify(&webhooks[1]);
    assert_ne!(webhooks[0].signature(), webhooks[1].signature());
    assert_eq!(webhooks[0].body, webhooks[1].body);
    assert_eq!((webhooks[0].event_id(), webhooks[1].event_id()), (id.as_str(), id.as_str()));
}

#[tokio::test]
async fn a_new_url_takes_over_what_waits_at_the_old_one_with_ids_bytes_and_order() {
    let (old, new) = (ScriptedEndpoint::start().await.unwrap(), ScriptedEndpoint::start().await.unwrap());
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let moved = EventType::OrderStatusUpdated;
    platform.register(&partner, None, None, moved, &old.url()).await.expect(201);
    old.answer(Answer::Status(500));
    let order = platform.order().await;
    for status in ["ACCEPTED", "READY", "DELIVERED"] {
        platform.move_to(order, status).await.expect(200);
    }
    let first = received(&old, 1).await.remove(0);
    platform.delivery_after_attempts(first.event_id(), 1).await;
    let deliveries = platform.deliveries("?state=pending").await;
    let ids: Vec<_> =
        deliveries.iter().rev().map(|delivery| delivery["delivery_id"].as_str().unwrap()).collect();
    assert_eq!((ids.len(), ids[0]), (3, first.event_id()), "an order's later deliveries wait for its first");

    platform.register(&partner, None, None, moved, &new.url()).await.expect(200);
    platform.pass(2 * HOUR).await;
    platform.until("delivered", 3).await;
    let webhooks = received(&new, 3).await;
    assert_eq!(webhooks.iter().map(|webhook| webhook.event_id()).collect::<Vec<_>>(), ids);
    assert_eq!(webhooks[0].body, first.body);
    webhooks.iter().for_each(|webhook| partner.verify(webhook));
    assert_eq!((old.counts().requests, new.counts().requests), (1, 3));
    // The attempt at the old place counts.
    assert_eq!(platform.delivery(ids[0]).await["attempts"], 2);
}

#[tokio::test]
async fn settings_are_shown_and_a_put_without_them_sets_the_defaults() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let mut body = json!({
        "partner_id": partner.id, "event_type": CREATED, "url": "http://127.0.0.1:9/in", "ordering": "none",
        "in_flight_max": 3, "rate_per_second_max": 20, "orders_per_delivery_max": 1, "coalesce": true,
    });
    let names = ["ordering", "in_flight_max", "rate_per_second_max", "orders_per_delivery_max", "coalesce"];
    let put = platform.call("PUT", "/v1/operator/webhooks", body.to_string()).await.expect(201).data();
    let listed = platform.get("/v1/operator/webhooks").await.data()["webhooks"][0].clone();
    for name in names {
        assert_eq!((&put[name], &listed[name]), (&body[name], &body[name]), "{name}");
    }
    names.iter().for_each(|name| drop(body.as_object_mut().unwrap().remove(*name)));
    let put = platform.call("PUT", "/v1/operator/webhooks", body.to_string()).await.expect(200).data();
    let shown = names.map(|name| put[name].clone());
    assert_eq!(shown, [json!("per_order"), Value::Null, Value::Null, Value::Null, json!(false)]);
}

#[tokio::test]
async fn a_registrations_limit_in_flight_holds_from_its_put_on_and_after_a_restart() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let mut platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let put = async |platform: &Running, in_flight_max: Value| {
        let body = json!({
            "partner_id": partner.id, "event_type": CREATED, "url": endpoint.url(), "in_flight_max": in_flight_max,
        });
        let answer = platform.call("PUT", "/v1/operator/webhooks", body.to_string()).await;
        assert!([200, 201].contains(&answer.status), "{}", answer.text());
    };
    let limit = async |platform: &Running| platform.status().await["endpoints"][0]["in_flight_limit"].clone();
    put(&platform, json!(2)).await;
    platform.order().await;
    platform.until("delivered", 1).await;
    assert_eq!(limit(&platform).await, 2);
    let dir = platform.stop().await.unwrap();
    platform = Running::on(dir.path(), Setup::default()).await;
    assert_eq!(limit(&platform).await, 2);
    put(&platform, Value::Null).await;
    platform.order().await;
    platform.until("delivered", 2).await;
    assert_eq!(limit(&platform).await, 32);
}

#[tokio::test]
async fn where_every_registration_of_a_url_says_so_an_order_does_not_wait_for_its_earlier_delivery() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let moved = EventType::OrderStatusUpdated;
    let body =
        json!({"partner_id": partner.id, "event_type": moved, "url": endpoint.url(), "ordering": "none"});
    platform.call("PUT", "/v1/operator/webhooks", body.to_string()).await.expect(201);
    endpoint.answer_next(1, Answer::Status(500));
    let order = platform.order().await;
    platform.move_to(order, "ACCEPTED").await.expect(200);
    received(&endpoint, 1).await;
    platform.move_to(order, "READY").await.expect(200);
    // The first one waits an hour for its next attempt.
    platform.until("delivered", 1).await;
    assert_eq!(platform.status().await["pending"], 1);
}

/// A registration for moves that wants of what waits only the newest.
async fn coalescing(platform: &Running, endpoint: &ScriptedEndpoint) -> i64 {
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let moved = EventType::OrderStatusUpdated;
    let body =
        json!({"partner_id": partner.id, "event_type": moved, "url": endpoint.url(), "coalesce": true});
    let put = platform.call("PUT", "/v1/operator/webhooks", body.to_string()).await.expect(201).data();
    put["webhook_id"].as_i64().unwrap()
}

#[tokio::test]
async fn after_an_outage_only_an_orders_newest_state_is_sent_where_that_was_asked_for() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    coalescing(&platform, &endpoint).await;
    endpoint.answer(Answer::Status(503));
    let orders = [platform.order().await, platform.order().await];
    for order in orders {
        for status in ["ACCEPTED", "PREPARING", "READY"] {
            platform.move_to(order, status).await.expect(200);
        }
    }
    received(&endpoint, 1).await;
    endpoint.answer(Answer::Status(200));
    let before = endpoint.requests().len();
    platform.pass(HOUR).await;
    platform.until("delivered", 2).await;
    let webhooks = endpoint.requests();
    let sent: Vec<_> =
        webhooks[before..].iter().map(|w| crate::harness::envelope(w)["orders"][0].clone()).collect();
    let mut told: Vec<_> =
        sent.iter().map(|order| (order["id"].as_i64(), order["version"].as_i64())).collect();
    told.sort_unstable();
    assert_eq!(told, orders.map(|order| (Some(order), Some(4))));
    let status = platform.status().await;
    assert_eq!((&status["superseded"], &status["pending"]), (&json!(4), &json!(0)));
    let passed_over = platform.deliveries("?state=superseded").await;
    assert_eq!(passed_over.len(), 4);
    let id = passed_over[0]["delivery_id"].as_str().unwrap();
    platform.call("POST", &format!("/v1/operator/deliveries/{id}/replay"), "").await.expect(200);
    platform.until("delivered", 3).await;
}

#[tokio::test]
async fn a_removed_registration_is_sent_nothing_and_what_waited_is_cancelled_with_who_and_why() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let url = endpoint.url();
    let created = platform.register(&partner, None, None, CREATED, &url).await.expect(201).data();
    let moved = EventType::OrderStatusUpdated;
    platform.register(&partner, None, None, moved, &url).await.expect(201);
    endpoint.answer(Answer::Status(500));
    let order = platform.order().await;
    let first = received(&endpoint, 1).await.remove(0);
    platform.delivery_after_attempts(first.event_id(), 1).await;
    platform.move_to(order, "ACCEPTED").await.expect(200);
    endpoint.answer(Answer::Status(200));

    let path = format!("/v1/operator/webhooks/{}", created["webhook_id"]);
    let removed = platform.call("DELETE", &format!("{path}?by=Mai%20Lan"), "").await.expect(200).data();
    assert_eq!(removed, json!({"webhook_id": created["webhook_id"], "removed_by": "Mai Lan"}));
    // What stood behind its delivery need not wait an hour any more.
    platform.until("delivered", 1).await;
    platform.until("cancelled", 1).await;
    let delivery = platform.delivery(first.event_id()).await;
    assert_eq!(delivery["state"], "cancelled");
    assert_eq!(
        (&delivery["ended_by"], &delivery["ended_reason"]),
        (&json!("Mai Lan"), &json!("webhook_removed"))
    );
    platform.call("DELETE", &path, "").await.is_refused(
        404,
        "resource_not_found",
        "there is no such registration",
    );
    let replay = format!("/v1/operator/deliveries/{}/replay", first.event_id());
    let answer = platform.call("POST", &replay, "").await;
    assert_eq!((answer.status, answer.error().0.as_str()), (409, "state_invalid_transition"));
    platform.order().await;
    assert_eq!(platform.status().await["pending"], 0, "nothing is made for it");
    let anew = platform.register(&partner, None, None, CREATED, &url).await.expect(201).data();
    assert_ne!(anew["webhook_id"], created["webhook_id"]);
    platform.order().await;
    platform.until("delivered", 2).await;
    for by in ["", "%20", &"x".repeat(101)] {
        let answer = platform.call("DELETE", &format!("{path}?by={by}"), "").await;
        assert!(answer.status == 400 && answer.error().1.starts_with("by: "), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_cancelled_delivery_lets_its_orders_next_one_go_at_once() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    platform.listener(&endpoint).await;
    endpoint.answer_next(1, Answer::Status(500));
    let order = platform.order().await;
    let first = received(&endpoint, 1).await.remove(0);
    platform.delivery_after_attempts(first.event_id(), 1).await;
    platform.move_to(order, "ACCEPTED").await.expect(200);
    let path = format!("/v1/operator/deliveries/{}/cancel", first.event_id());
    let cancelled = platform.call("POST", &path, "").await.expect(200).data();
    assert_eq!((&cancelled["state"], &cancelled["ended_by"]), (&json!("cancelled"), &json!("operator")));
    platform.until("delivered", 1).await;
    let answer = platform.call("POST", &path, "").await;
    let message = "the delivery is cancelled; only one that is pending can be cancelled";
    answer.is_refused(409, "state_invalid_transition", message);
    platform.call("POST", "/v1/operator/deliveries/evt_0/cancel", "").await.is_refused(
        404,
        "resource_not_found",
        "there is no such delivery",
    );
}

#[tokio::test]
async fn a_webhook_secret_that_is_to_come_signs_from_its_moment_on() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    let before = platform.listener(&endpoint).await;
    let rotate = async |body: Value| {
        let path = format!("/v1/operator/partners/{}/rotate-webhook-secret", before.id);
        platform.call("POST", &path, body.to_string()).await
    };
    let holding = |answer: &Value| {
        let webhook_secret = answer["webhook_secret_key"].as_str().unwrap().to_owned();
        PartnerAccess { webhook_secret, ..before.clone() }
    };
    let next_at = async || {
        platform.get("/v1/operator/partners").await.data()["partners"][0]["webhook_secret_next_at"].clone()
    };
    for (current_at, message) in [
        (json!("2020-01-01T00:00:00.000Z"), "current_at: expected a time to come; leave it out for now"),
        (json!(17), "current_at: "),
    ] {
        let answer = rotate(json!({"current_at": current_at})).await;
        assert!(answer.status == 400 && answer.error().1.starts_with(message), "{}", answer.text());
    }
    assert_eq!(next_at().await, Value::Null);
    let replaced = rotate(json!({"current_at": "2098-01-01T00:00:00.000Z"})).await.expect(200).data();
    let staged = rotate(json!({"current_at": "2099-01-01T00:00:00.000Z"})).await.expect(200).data();
    let after = holding(&staged);
    assert_ne!(replaced["webhook_secret_key"], staged["webhook_secret_key"]);
    assert_eq!(
        (&staged["current_at"], next_at().await),
        (&json!("2099-01-01T00:00:00.000Z"), staged["current_at"].clone())
    );
    let shown = platform.get("/v1/operator/partners").await.data_text();
    assert!(!shown.contains(&after.webhook_secret));
    platform.order().await;
    before.verify(&received(&endpoint, 1).await[0]);
    platform.until("delivered", 1).await;

    platform.pass(75 * 365 * 24 * HOUR).await;
    platform.order().await;
    after.verify(&received(&endpoint, 2).await[1]);
    platform.until("delivered", 2).await;
    assert_eq!(next_at().await, Value::Null, "it is the present one");
    // Another one to come does not bring the first one back.
    rotate(json!({"current_at": "2199-01-01T00:00:00.000Z"})).await.expect(200);
    platform.order().await;
    after.verify(&received(&endpoint, 3).await[2]);
    // And one at once leaves none to come.
    let at_once = holding(&rotate(json!({})).await.expect(200).data());
    assert_eq!(next_at().await, Value::Null);
    platform.order().await;
    at_once.verify(&received(&endpoint, 4).await[3]);
}

#[tokio::test]
async fn a_test_posts_a_signed_order_that_is_none_and_says_how_it_went() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let put = platform.register(&partner, Some(5), None, CREATED, &endpoint.url()).await.expect(201).data();
    let path = |what: &str| format!("/v1/operator/webhooks/{}/{what}", put["webhook_id"]);
    // What is held is tested too: whether it is back is what one wants to know.
    platform.call("POST", &path("disable"), "").await.expect(200);
    let tested = platform.call("POST", &path("test"), "").await.expect(200).data();
    let webhook = received(&endpoint, 1).await.remove(0);
    partner.verify(&webhook);
    assert!(webhook.event_id().starts_with("test_"));
    assert_eq!(
        (tested["event_id"].as_str(), tested["outcome"].as_str()),
        (Some(webhook.event_id()), Some("acknowledged"))
    );
    assert_eq!((&tested["status"], webhook.event_type()), (&json!(200), CREATED.as_str()));
    assert!(tested["duration_us"].as_u64().unwrap() > 0 && tested["first_byte_us"].is_u64(), "{tested}");
    assert_eq!(tested["address"], endpoint.address().to_string());
    let envelope = crate::harness::envelope(&webhook);
    let order = &envelope["orders"][0];
    assert_eq!(
        (&envelope["brand_id"], &order["is_fake"], &order["status"]),
        (&json!(5), &json!(true), &json!(1))
    );
    assert!(order["id"].as_i64().unwrap() < 0, "no order has such an id");
    let status = platform.status().await;
    for figure in ["orders", "events", "pending", "delivered", "attempts"] {
        assert_eq!(status[figure], 0, "{figure}");
    }
    endpoint.answer(Answer::Status(418));
    let tested = platform.call("POST", &path("test"), "").await.expect(200).data();
    assert_eq!((tested["outcome"].as_str(), tested["status"].as_u64()), (Some("refused"), Some(418)));
    assert!(!tested.to_string().contains(&partner.webhook_secret));
    platform.call("POST", "/v1/operator/webhooks/99/test", "").await.is_refused(
        404,
        "resource_not_found",
        "there is no such registration",
    );
}

#[tokio::test]
async fn one_test_of_an_endpoint_runs_at_a_time() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let mut setup = Setup::default();
    setup.egress.exchange_timeout = std::time::Duration::from_secs(2);
    let platform = Running::with(setup).await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let mut paths = Vec::new();
    for event_type in [CREATED, EventType::OrderCartUpdated] {
        let put =
            platform.register(&partner, None, None, event_type, &endpoint.url()).await.expect(201).data();
        paths.push(format!("/v1/operator/webhooks/{}/test", put["webhook_id"]));
    }
    endpoint.answer(Answer::Hang);
    let first = platform.call("POST", &paths[0], "");
    let second = async {
        received(&endpoint, 1).await;
        platform.call("POST", &paths[1], "").await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.expect(200).data()["outcome"], "timed_out");
    let message = "the endpoint is being tested; try again when that has ended";
    second.is_refused(429, "rate_limited", message);
    endpoint.answer(Answer::Status(200));
    platform.call("POST", &paths[1], "").await.expect(200);
}
