//! What a partner changes: moves, each made once for its key.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hookit_platform::PartnerRates;
use hookit_sim::endpoints::ScriptedEndpoint;
use serde_json::{Value, json};

use crate::harness::{BUSINESS, PartnerAccess, Running, Setup, envelope, ids, order, received};
use crate::http::Answer;

async fn ask(
    platform: &Running,
    partner: &PartnerAccess,
    key: &str,
    order: i64,
    body: impl ToString,
) -> Answer {
    let path = format!("/v1/partner/orders/{order}/status");
    platform.write_as(partner, Some(key), "PATCH", &path, &body.to_string()).await
}

fn status_of(record: &Value) -> (i64, i64) {
    (record["status"].as_i64().unwrap(), record["version"].as_i64().unwrap())
}

#[tokio::test]
async fn a_partners_move_follows_its_rules_and_fires_the_webhook() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    let partner = platform.listener(&endpoint).await;
    let moved = platform.order().await;
    for (key, body, status) in [
        ("a", json!({"status": "accepted", "occurred_at": "2026-03-01T18:30:00+07:00"}), 2),
        ("b", json!({"status": "ready"}), 4),
        ("c", json!({"status": "picked_up"}), 9),
    ] {
        let answer = ask(&platform, &partner, key, moved, &body).await.expect(200);
        assert_eq!(answer.data()["status"], status);
        assert_eq!(answer.data_text(), platform.record(moved).await);
    }
    // To where it is already: accepted, and nothing fires.
    assert_eq!(
        ask(&platform, &partner, "d", moved, json!({"status": "picked_up"})).await.data()["version"],
        4
    );
    let ended = json!({"status": "cancelled", "reason_code": 7});
    let message = "status: the order has ended in PICKED_UP; only a cancellation by an operator may follow";
    ask(&platform, &partner, "e", moved, &ended).await.is_refused(409, "state_invalid_transition", message);

    let rejected = platform.order().await;
    let body = json!({"status": "rejected", "reason_code": "hết món"});
    let record = ask(&platform, &partner, "f", rejected, &body).await.expect(200).data();
    assert_eq!((&record["status"], &record["cancellation_reason"]), (&json!(3), &json!("hết món")));
    let accepted = platform.order().await;
    platform.move_to(accepted, "ACCEPTED").await.expect(200);
    let message = "status: only a PLACED order can be rejected, and the order is ACCEPTED; cancel it instead";
    ask(&platform, &partner, "g", accepted, &body).await.is_refused(409, "state_invalid_transition", message);
    let record = ask(&platform, &partner, "h", accepted, &ended).await.expect(200).data();
    assert_eq!((&record["status"], &record["cancellation_reason_id"]), (&json!(3), &json!(7)));

    // Three orders, three and one and two moves.
    let webhooks = received(&endpoint, 9).await;
    let of = |id: i64| webhooks.iter().filter(|webhook| ids(webhook) == [id]).collect::<Vec<_>>();
    let seen: Vec<_> = of(moved).iter().map(|w| status_of(&envelope(w)["orders"][0])).collect();
    assert_eq!(seen, [(1, 1), (2, 2), (4, 3), (9, 4)]);
    assert_eq!((of(rejected).len(), of(accepted).len()), (2, 3));
    platform.until("pending", 0).await;
    assert_eq!(endpoint.requests().len(), 9);
}

#[tokio::test]
async fn a_kitchens_word_after_the_couriers_is_taken_without_effect() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    let partner = platform.listener(&endpoint).await;
    let order = platform.order().await;
    platform.move_to(order, "PREPARING").await.expect(200);
    for courier in ["DRIVER_ASSIGNED", "DRIVER_ARRIVED"] {
        let carried = platform.move_to(order, courier).await.expect(200).data_text();
        platform.until("pending", 0).await;
        let before = platform.snapshot().await;
        for word in ["accepted", "ready"] {
            let key = format!("{courier}-{word}");
            let answer = ask(&platform, &partner, &key, order, json!({"status": word})).await.expect(200);
            assert_eq!(answer.data_text(), carried, "{courier} {word}");
        }
        for status in ["ACCEPTED", "PREPARING", "READY"] {
            assert_eq!(platform.move_to(order, status).await.expect(200).data_text(), carried, "{status}");
        }
        // What is not the kitchen's moves back, and so does not move.
        let message = format!("status: a move must go forward, and PLACED comes before {courier}");
        platform.move_to(order, "PLACED").await.is_refused(409, "state_invalid_transition", &message);
        assert_eq!(platform.snapshot().await, before);
    }
    platform.move_to(order, "DISPATCHED").await.expect(200);
    let message = "status: a move must go forward, and READY comes before DISPATCHED";
    let late = ask(&platform, &partner, "late", order, json!({"status": "ready"})).await;
    late.is_refused(409, "state_invalid_transition", message);
    let webhooks = received(&endpoint, 5).await;
    let seen: Vec<_> = webhooks.iter().map(|w| status_of(&envelope(w)["orders"][0]).0).collect();
    assert_eq!(seen, [1, 10, 7, 8, 11]);
    platform.until("pending", 0).await;
    assert_eq!(endpoint.requests().len(), 5);
}

#[tokio::test]
async fn a_courier_can_be_told_of_without_a_status_and_the_kitchens_ready_is_a_move_then() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let order = platform.order().await;
    platform.move_to(order, "PREPARING").await.expect(200);
    let courier = json!({"name": "Nguyễn Văn An", "phone": "+84 90 000 0000"});
    let body = json!({"cart": [], "fulfillment_status_id": 3, "fulfillment_rider": courier}).to_string();
    let path = format!("/v1/operator/orders/{order}/cart");
    let told = platform.call("PUT", &path, body).await.expect(200).data();
    assert_eq!((&told["fulfillment_rider"], &told["status"]), (&courier, &json!(10)));
    let ready = ask(&platform, &partner, "r", order, json!({"status": "ready"})).await.expect(200).data();
    assert_eq!((&ready["fulfillment_rider"], &ready["status"]), (&courier, &json!(4)));
}

#[tokio::test]
async fn a_move_that_cannot_be_asked_for_is_refused_by_its_field_and_changes_nothing() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let order = platform.order().await;
    let before = platform.snapshot().await;
    for (body, message) in [
        ("", "body: missing; expected an object"),
        ("{}", "status: "),
        (r#"{"status":"delivered"}"#, "status: "),
        (r#"{"status":2}"#, "status: "),
        (r#"{"status":"rejected"}"#, "reason_code: missing; a move to rejected or cancelled needs one"),
        (r#"{"status":"cancelled"}"#, "reason_code: missing; a move to rejected or cancelled needs one"),
        (
            r#"{"status":"ready","reason_code":1}"#,
            "reason_code: only a move to rejected or cancelled has a reason",
        ),
        (
            r#"{"status":"cancelled","reason_code":" "}"#,
            "reason_code: expected an integer, or a text of 1 to 500 characters",
        ),
        (r#"{"status":"cancelled","reason_code":1.5}"#, "reason_code: "),
        (r#"{"status":"ready","occurred_at":"noon"}"#, "occurred_at: "),
        (r#"{"status":"ready","by":"me"}"#, "by: "),
    ] {
        let answer = ask(&platform, &partner, "key", order, body).await;
        let (code, found) = answer.error();
        assert_eq!((answer.status, code.as_str()), (400, "request_invalid"), "{body}: {found}");
        assert!(found.starts_with(message), "{body}: {found}");
    }
    let path = format!("/v1/partner/orders/{order}/status");
    let keyless = platform.write_as(&partner, None, "PATCH", &path, r#"{"status":"ready"}"#).await;
    let message = "Idempotency-Key: missing; expected a key of your own that is new for each write";
    keyless.is_refused(400, "request_missing_idempotency_key", message);
    let message = "Idempotency-Key: expected one key of 1 to 255 visible ASCII characters";
    for key in ["", "two words", "schlüssel", &"k".repeat(256)] {
        let answer = ask(&platform, &partner, key, order, r#"{"status":"ready"}"#).await;
        answer.is_refused(400, "request_invalid", message);
    }
    assert_eq!(platform.snapshot().await, before);
    // What was refused for its form took no key.
    ask(&platform, &partner, "key", order, r#"{"status":"ready"}"#).await.expect(200);
    ask(&platform, &partner, &"k".repeat(255), order, r#"{"status":"ready"}"#).await.expect(200);
}

#[tokio::test]
async fn a_key_gets_its_first_answer_again_for_a_day_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let platform = Running::on(dir.path(), Setup::default()).await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let other = platform.partner("ERP", BUSINESS).await;
    let order = platform.order().await;
    let (accept, ready) = (json!({"status": "accepted"}), json!({"status": "ready"}));
    let back = "status: a move must go forward, and ACCEPTED comes before READY";
    let nowhere = "there is no such order";

    let first = ask(&platform, &partner, "one", order, &accept).await.expect(200).data_text();
    ask(&platform, &partner, "two", order, &ready).await.expect(200);
    ask(&platform, &partner, "back", order, &accept).await.is_refused(409, "state_invalid_transition", back);
    ask(&platform, &partner, "none", 404, &accept).await.is_refused(404, "resource_not_found", nowhere);
    let again = async |platform: &Running| {
        let repeated = ask(platform, &partner, "one", order, &accept).await.expect(200);
        assert_eq!(repeated.data_text(), first, "as it was then, not as it is now");
        ask(platform, &partner, "back", order, &accept).await.is_refused(
            409,
            "state_invalid_transition",
            back,
        );
        ask(platform, &partner, "none", 404, &accept).await.is_refused(404, "resource_not_found", nowhere);
        let message =
            "Idempotency-Key: used for another write within the last 24 hours; a new write needs a new key";
        for (order, body) in [(order, &ready), (404, &accept)] {
            let conflict = ask(platform, &partner, "one", order, body).await;
            conflict.is_refused(409, "state_idempotency_conflict", message);
        }
        assert_eq!(platform.get(&format!("/v1/operator/orders/{order}")).await.data()["version"], 3);
    };
    again(&platform).await;
    // A key is a partner's own.
    ask(&platform, &other, "one", order, &ready).await.expect(200);
    let _ = platform.stop().await;

    let platform = Running::on(dir.path(), Setup::default()).await;
    platform.clock.push(Duration::from_secs(86_400 - 600));
    again(&platform).await;
    platform.clock.push(Duration::from_secs(601));
    // A new write by now.
    ask(&platform, &partner, "one", order, &accept).await.is_refused(409, "state_invalid_transition", back);
    let placed = platform.order().await;
    assert_eq!(ask(&platform, &partner, "back", placed, &ready).await.expect(200).data()["version"], 2);
}

#[tokio::test]
async fn of_requests_at_one_time_with_one_key_one_acts_and_the_others_get_its_answer() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    let partner = platform.listener(&endpoint).await;
    let order = platform.order().await;
    let mut answers = BTreeSet::new();
    for round in ["accepted", "ready"] {
        let body = json!({"status": round});
        let all = (0..32).map(|_| ask(&platform, &partner, round, order, &body));
        for answer in join_all(all).await {
            answers.insert(answer.expect(200).data_text());
        }
    }
    assert_eq!(answers.len(), 2, "{answers:?}");
    // Of two that say different things, one acts.
    let order = platform.order().await;
    let bodies = ["accepted", "ready"].map(|status| json!({"status": status}));
    let all = (0..32).map(|n| ask(&platform, &partner, "both", order, &bodies[n % 2]));
    let mut codes = BTreeMap::new();
    for answer in join_all(all).await {
        *codes.entry(answer.status).or_insert(0) += 1;
    }
    assert_eq!(codes, BTreeMap::from([(200, 16), (409, 16)]));
    received(&endpoint, 5).await;
    platform.until("pending", 0).await;
    assert_eq!(endpoint.requests().len(), 5, "two orders, and three moves");
}

#[tokio::test]
async fn of_a_thousand_moves_at_one_time_each_valid_step_is_made_once_and_in_order() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let rates = PartnerRates { writes_per_minute_max: 1000, ..PartnerRates::default() };
    let platform = Running::with(Setup { rates, ..Setup::default() }).await;
    let partner = platform.listener(&endpoint).await;
    let order = platform.order().await;
    let asked = [
        json!({"status": "accepted"}),
        json!({"status": "rejected", "reason_code": 1}),
        json!({"status": "ready"}),
        json!({"status": "picked_up"}),
    ];
    let moves = (0..1000).map(|n| {
        // Those that lead far come later, so that there are steps to be made; those that lead back come at all times.
        let body = &asked[(n * 7 + n / 5) % (2 + n / 350)];
        let (platform, partner) = (&platform, &partner);
        async move { ask(platform, partner, &format!("key-{n}"), order, body).await }
    });
    // Each version that was reached, with the statuses that answers had in it.
    let mut reached: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    let mut refused = 0;
    for answer in join_all(moves).await {
        if answer.status == 200 {
            let (status, version) = status_of(&answer.data());
            reached.entry(version).or_default().insert(status);
        } else {
            assert_eq!((answer.status, answer.error().0.as_str()), (409, "state_invalid_transition"));
            refused += 1;
        }
    }
    assert!(refused > 0 && !reached.is_empty());
    let mut steps = vec![(1, 1)];
    for (version, statuses) in &reached {
        assert_eq!(statuses.len(), 1, "a version is one state: {reached:?}");
        steps.extend(statuses.iter().map(|status| (*status, *version)));
    }
    let webhooks = received(&endpoint, steps.len() as u64).await;
    platform.until("pending", 0).await;
    assert_eq!(endpoint.requests().len(), steps.len());
    let told: Vec<_> = webhooks.iter().map(|webhook| status_of(&envelope(webhook)["orders"][0])).collect();
    assert_eq!(told, steps, "exactly the moves that succeeded, in order");
    assert_eq!(
        status_of(&serde_json::from_str(&platform.record(order).await).unwrap()),
        *steps.last().unwrap()
    );
}

#[tokio::test]
async fn another_businesss_order_cannot_be_moved_and_a_move_asks_for_its_scope() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let theirs = platform.create(&order(8, 1062, &[663])).await["id"].as_i64().unwrap();
    let before = platform.record(theirs).await;
    let accept = json!({"status": "accepted"});
    let not_ours = ask(&platform, &partner, "a", theirs, &accept).await;
    not_ours.is_refused(404, "resource_not_found", "there is no such order");
    assert_eq!(ask(&platform, &partner, "b", 404_404, &accept).await.error(), not_ours.error());
    let reader = platform.partner_with(&["orders:read", "webhooks:read"]).await;
    let ours = platform.order().await;
    let message = "Authorization: this credential lacks the scope orders:write";
    ask(&platform, &reader, "c", ours, &accept).await.is_refused(403, "auth_forbidden", message);
    assert_eq!(platform.record(theirs).await, before);
    ask(&platform, &platform.partner_with(&["orders:write"]).await, "c", ours, &accept).await.expect(200);
}

/// All of them, at one time.
async fn join_all<F: Future<Output = Answer>>(all: impl Iterator<Item = F>) -> Vec<Answer> {
    let mut waiting: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_done = true;
        for (one, answer) in &mut waiting {
            if answer.is_none() {
                match one.as_mut().poll(context) {
                    std::task::Poll::Ready(ended) => *answer = Some(ended),
                    std::task::Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    waiting.into_iter().filter_map(|(_, answer)| answer).collect()
}
