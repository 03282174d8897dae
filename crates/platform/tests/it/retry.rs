//! When the endpoint does not acknowledge: the log, the next attempt, the lanes, the end of the plan, and the others.

use std::time::Duration;

use hookit_contract::Clock as _;
use hookit_sim::audit::Auditor;
use hookit_sim::endpoints::{Answer, Received, ScriptedEndpoint};
use serde_json::{Value, json};

use crate::harness::{BUSINESS, HOUR, Running, Setup, ids, received};
use crate::http::patiently;

const SHORT: Duration = Duration::from_millis(20);

/// Outcome and status of each attempt.
fn outcomes(delivery: &Value) -> Vec<(&str, Option<u64>)> {
    let log = delivery["log"].as_array().unwrap();
    log.iter().map(|attempt| (attempt["outcome"].as_str().unwrap(), attempt["status"].as_u64())).collect()
}

#[tokio::test]
async fn a_failed_attempt_is_logged_and_made_again_with_the_same_id_and_bytes() {
    let mut setup = Setup::default();
    setup.retry_after(&[SHORT; 5]);
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    endpoint.answer_next(
        1,
        Answer::Full {
            status: 500, headers: Vec::new(), body: "kitchen \"on fire\" 🔥".as_bytes().to_vec()
        },
    );
    endpoint.answer_next(1, Answer::with_header(302, "location", "/elsewhere"));
    endpoint.answer_next(1, Answer::ResetAfterRead);
    endpoint.answer_next(1, Answer::Garbage);
    endpoint.answer_next(1, Answer::Status(204));
    let platform = Running::with(setup).await;
    let partner = platform.listener(&endpoint).await;
    platform.order().await;
    platform.until("delivered", 1).await;
    let webhooks = received(&endpoint, 5).await;
    for webhook in &webhooks {
        partner.verify(webhook);
        assert_eq!((webhook.event_id(), &webhook.body), (webhooks[0].event_id(), &webhooks[0].body));
    }
    let delivery = platform.delivery(webhooks[0].event_id()).await;
    assert_eq!(
        outcomes(&delivery),
        [
            ("refused", Some(500)),
            ("refused", Some(302)),
            ("connection_lost", None),
            ("answer_unreadable", None),
            ("acknowledged", Some(204)),
        ]
    );
    assert_eq!((&delivery["state"], &delivery["attempts"]), (&json!("delivered"), &json!(5)));
    let log = delivery["log"].as_array().unwrap();
    assert_eq!(log[0]["answer"], "kitchen \"on fire\" 🔥");
    for (n, attempt) in log.iter().enumerate() {
        assert_eq!(attempt["attempt"], n + 1);
        assert_eq!(attempt["address"], endpoint.address().to_string());
        assert!(attempt["duration_us"].as_u64().unwrap() > 0, "{attempt}");
        let first_byte = attempt["first_byte_us"].as_u64();
        assert_eq!(first_byte.is_some(), attempt["outcome"] != "connection_lost", "{attempt}");
        assert!(first_byte <= attempt["duration_us"].as_u64(), "{attempt}");
        assert!(attempt["tls_us"].is_null(), "no TLS at this endpoint: {attempt}");
        let is_last = n + 1 == log.len();
        assert_eq!(attempt["next_attempt_at"].is_null(), is_last, "{attempt}");
        assert_eq!(attempt["counted"], if is_last { Value::Null } else { json!(true) }, "{attempt}");
        assert_eq!(
            attempt["error"].is_null(),
            attempt["status"].is_u64(),
            "words where there is no answer: {attempt}"
        );
    }
    assert!(log[0]["connect_us"].is_u64(), "the first attempt had to connect: {}", log[0]);
    let times: Vec<_> = log.iter().map(|attempt| attempt["started_at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let status = platform.status().await;
    assert_eq!((&status["attempts"], &status["pending"]), (&json!(5), &json!(0)));
    assert_eq!((&status["latency"]["count"], &status["in_flight"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn while_one_orders_delivery_fails_others_go_out_and_its_own_later_ones_wait() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    platform.listener(&endpoint).await;
    let failing = platform.order().await;
    received(&endpoint, 1).await;
    platform.until("delivered", 1).await;
    endpoint.answer_each(move |webhook| Answer::Status(if ids(webhook) == [failing] { 500 } else { 200 }));
    platform.move_to(failing, "ACCEPTED").await.expect(200);
    received(&endpoint, 2).await;
    platform.move_to(failing, "READY").await.expect(200);
    platform.move_to(failing, "DELIVERED").await.expect(200);
    let other = platform.order().await;
    for status in ["ACCEPTED", "READY", "DELIVERED"] {
        platform.move_to(other, status).await.expect(200);
    }
    platform.until("delivered", 5).await;
    let of = |order: i64, webhooks: &[Received]| webhooks.iter().filter(|w| ids(w) == [order]).count();
    let webhooks = endpoint.requests();
    assert_eq!(
        (of(failing, &webhooks), of(other, &webhooks)),
        (2, 4),
        "what fails is not followed by what is later"
    );
    assert_eq!(platform.status().await["pending"], 3);

    // The endpoint has recovered, and an hour later what waited goes out in its order.
    endpoint.answer(Answer::Status(200));
    platform.pass(2 * HOUR).await;
    platform.until("pending", 0).await;
    let webhooks = endpoint.requests();
    let mut auditor = Auditor::of(webhooks.iter().map(|webhook| (webhook.event_id(), webhook.body.as_ref())));
    auditor.expect_versions([(failing, 4), (other, 4)]);
    auditor.assert_clean();
    assert_eq!((auditor.deliveries(), auditor.repeats()), (8, 1));
}

#[tokio::test]
async fn after_the_last_attempt_of_the_plan_a_delivery_is_dead_and_visible_and_lets_the_next_one_go() {
    let mut setup = Setup::default();
    setup.retry_after(&[SHORT; 2]);
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    endpoint.answer_next(3, Answer::Status(422));
    let platform = Running::with(setup).await;
    platform.listener(&endpoint).await;
    let order = platform.order().await;
    platform.move_to(order, "ACCEPTED").await.expect(200);
    platform.until("dead", 1).await;
    platform.until("delivered", 1).await;
    let webhooks = received(&endpoint, 4).await;
    let dead = platform.deliveries("?state=dead").await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0]["delivery_id"], webhooks[0].event_id());
    assert_eq!((&dead[0]["attempts"], &dead[0]["next_attempt_at"]), (&json!(3), &Value::Null));
    assert!(dead[0]["finished_at"].is_string());
    let delivery = platform.delivery(webhooks[0].event_id()).await;
    assert_eq!(outcomes(&delivery), [("refused", Some(422)); 3]);
    assert_ne!(webhooks[3].event_id(), webhooks[0].event_id());
    // What one delivery used up is not taken from the next.
    assert_eq!(platform.delivery(webhooks[3].event_id()).await["attempts"], 1);
    assert_eq!(platform.status().await["pending"], 0);
}

#[tokio::test]
async fn an_endpoint_that_never_answers_is_timed_out_and_tried_again() {
    let mut setup = Setup::default();
    setup.egress.exchange_timeout = Duration::from_millis(100);
    setup.retry_after(&[SHORT; 30]);
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    endpoint.answer_next(1, Answer::Hang);
    // The head comes at once and the body never ends: it counts as part of the exchange.
    endpoint.answer_next(1, Answer::Drip { every: Duration::from_millis(10) });
    let platform = Running::with(setup).await;
    platform.listener(&endpoint).await;
    platform.order().await;
    platform.until("delivered", 1).await;
    let webhooks = endpoint.requests();
    let delivery = platform.delivery(webhooks[0].event_id()).await;
    assert_eq!(outcomes(&delivery)[..2], [("timed_out", None); 2]);
    for attempt in &delivery["log"].as_array().unwrap()[..2] {
        assert!(attempt["duration_us"].as_u64().unwrap() >= 100_000, "{attempt}");
        assert!(attempt["error"].is_string(), "{attempt}");
    }
}

#[tokio::test]
async fn an_endpoint_that_hangs_with_all_its_places_taken_delays_no_other() {
    let mut setup = Setup::default();
    setup.engine.in_flight_per_endpoint_max = 2;
    setup.engine.in_flight_max = 3;
    let (hanging, good) =
        (ScriptedEndpoint::start().await.unwrap(), ScriptedEndpoint::start().await.unwrap());
    hanging.answer(Answer::Hang);
    let platform = Running::with(setup).await;
    platform.listener(&hanging).await;
    let partner = platform.partner("ERP", BUSINESS).await;
    platform.register_all(&partner, &good.url()).await;
    for _ in 0..6 {
        platform.order().await;
    }
    platform.until("delivered", 6).await;
    received(&hanging, 2).await;
    assert_eq!(good.counts().requests, 6);
    // All of it while the first exchanges with the other one have not even ended.
    let status = platform.status().await;
    let figures = ["pending", "in_flight", "attempts"].map(|name| status[name].clone());
    assert_eq!(figures, [6, 2, 6].map(|figure| json!(figure)));
    assert_eq!(hanging.counts().requests, 2, "no more than its places");
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_a_failed_connection() {
    let mut setup = Setup::default();
    setup.retry_after(&[SHORT; 32]);
    let mut endpoint = ScriptedEndpoint::start().await.unwrap();
    endpoint.stop().await.unwrap();
    let platform = Running::with(setup).await;
    platform.listener(&endpoint).await;
    platform.order().await;
    let id = platform.deliveries("").await[0]["delivery_id"].as_str().unwrap().to_owned();
    let delivery = platform.delivery_after_attempts(&id, 2).await;
    assert_eq!(outcomes(&delivery)[..2], [("connect_failed", None); 2]);
    endpoint.restart().await.unwrap();
    platform.until("delivered", 1).await;
    assert_eq!(endpoint.requests()[0].event_id(), id);
}

#[tokio::test]
async fn an_endpoint_that_answers_410_is_held_until_an_operator_enables_it() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    endpoint.answer_next(1, Answer::Status(410));
    let platform = Running::with(Setup::default()).await;
    platform.listener(&endpoint).await;
    let order = platform.order().await;
    let hold = async || platform.get("/v1/operator/webhooks").await.data()["webhooks"][0]["hold"].clone();
    patiently(async {
        while hold().await["reason"] != "gone" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    platform.move_to(order, "ACCEPTED").await.expect(200);
    let status = platform.status().await;
    assert_eq!((&status["pending"], &status["dead"]), (&json!(2), &json!(0)), "held, not given up");
    assert_eq!(endpoint.requests().len(), 1, "nothing is sent to it");
    let id = platform.get("/v1/operator/webhooks").await.data()["webhooks"][0]["webhook_id"].clone();
    let enabled = platform.call("POST", &format!("/v1/operator/webhooks/{id}/enable"), "").await.expect(200);
    assert_eq!(enabled.data()["hold"], Value::Null);
    platform.until("delivered", 2).await;
    let webhooks = received(&endpoint, 3).await;
    assert_eq!(webhooks[0].event_id(), webhooks[1].event_id());
    let mut auditor = Auditor::new();
    for webhook in &webhooks {
        auditor.receive(webhook.event_id(), &webhook.body);
    }
    auditor.assert_clean();
}

#[tokio::test]
async fn an_operator_disables_and_enables_an_endpoint() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::with(Setup::default()).await;
    platform.listener(&endpoint).await;
    let id = platform.get("/v1/operator/webhooks").await.data()["webhooks"][0]["webhook_id"].clone();
    let path = |verb: &str| format!("/v1/operator/webhooks/{id}/{verb}");
    let disabled = platform.call("POST", &path("disable"), "").await.expect(200);
    assert_eq!(disabled.data()["hold"]["reason"], "operator");
    for _ in 0..3 {
        platform.order().await;
    }
    assert_eq!(platform.status().await["pending"], 3);
    platform.call("POST", &path("enable"), "").await.expect(200);
    platform.until("delivered", 3).await;
    assert_eq!(received(&endpoint, 3).await.len(), 3);
    platform.call("POST", "/v1/operator/webhooks/99/enable", "").await.expect(404);
}

#[tokio::test]
async fn the_status_says_which_endpoint_is_down_and_that_it_is_back() {
    let mut setup = Setup::default();
    setup.engine.probe_pause_min = SHORT;
    setup.engine.probe_pause_max = SHORT;
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    endpoint.answer(Answer::Status(503));
    let platform = Running::with(setup).await;
    let partner = platform.listener(&endpoint).await;
    let breaker = async |state: &str| {
        patiently(async {
            loop {
                let status = platform.status().await["endpoints"][0].clone();
                if status["breaker"] == state {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
    };
    let up = breaker("closed").await;
    assert_eq!((&up["url"], &up["partner_id"]), (&json!(endpoint.url()), &json!(partner.id)));
    for _ in 0..5 {
        platform.order().await;
    }
    let down = breaker("open").await;
    assert!(down["failures_in_a_row"].as_u64().unwrap() > 0 && down["next_probe_at"].is_string(), "{down}");
    assert_eq!(down["hold"], Value::Null);
    let last = &down["last_failure"];
    assert_eq!((&last["outcome"], &last["status"]), (&json!("refused"), &json!(503)), "{down}");
    assert!(up["last_failure"].is_null() && last["at"].is_string(), "{down}");
    endpoint.answer(Answer::Status(200));
    platform.until("delivered", 5).await;
    assert_eq!(platform.status().await["dead"], 0);
}

/// Milliseconds since 1970 of a time in an answer.
fn millis(time: &Value) -> i64 {
    let time: hookit_contract::Timestamp = serde_json::from_value(time.clone()).unwrap();
    time.as_millis()
}

#[tokio::test]
async fn a_retry_after_is_a_floor_on_429_and_503_alone_in_seconds_or_as_a_date_and_for_an_hour_at_most() {
    const PLAN: Duration = Duration::from_secs(100);
    let mut setup = Setup::default();
    setup.retry_after(&[PLAN; 3]);
    setup.engine.probe_pause_min = PLAN;
    let platform = Running::with(setup).await;
    let now = Duration::from_millis(u64::try_from(platform.clock.now().as_millis()).unwrap());
    let date = |at: Duration| httpdate::fmt_http_date(std::time::SystemTime::UNIX_EPOCH + at);
    let (in_ten_minutes, long_ago) = (date(now + Duration::from_secs(600)), date(Duration::ZERO));
    // What is answered; whether the endpoint is down for it; and the pause in seconds, before chance makes it longer.
    let cases = [
        (503, Some("300"), true, 300),
        (429, Some("300"), true, 300),
        (503, Some(in_ten_minutes.as_str()), true, 600),
        (429, Some(in_ten_minutes.as_str()), true, 600),
        (429, Some("86400"), true, 3_600),
        (503, Some("99999999999999999999999"), true, 3_600),
        // A floor: the plan's own pause is longer.
        (503, Some("1"), true, 100),
        (429, Some(long_ago.as_str()), true, 100),
        (503, Some("soon"), true, 100),
        (503, None, true, 100),
        (500, Some("300"), false, 100),
        (404, Some(in_ten_minutes.as_str()), false, 100),
        (302, Some("300"), false, 100),
    ];
    let mut endpoints = Vec::new();
    for (status, retry_after, ..) in cases {
        let endpoint = ScriptedEndpoint::start().await.unwrap();
        endpoint.answer(match retry_after {
            Some(text) => Answer::with_header(status, "retry-after", text),
            None => Answer::Status(status),
        });
        platform.listener(&endpoint).await;
        endpoints.push(endpoint);
    }
    platform.order().await;
    platform.until("attempts", cases.len() as u64).await;
    let status = platform.status().await;
    let webhooks = platform.deliveries("?state=pending").await;
    for (endpoint, (code, retry_after, is_down, pause_s)) in endpoints.iter().zip(cases) {
        let case = format!("{code}, Retry-After {retry_after:?}");
        let shown = status["endpoints"].as_array().unwrap().iter();
        let shown = shown.clone().find(|shown| shown["url"] == endpoint.url()).unwrap();
        assert_eq!(shown["breaker"] == "open", is_down, "{case}: {shown}");
        let delivery =
            webhooks.iter().find(|delivery| delivery["endpoint_id"] == shown["endpoint_id"]).unwrap();
        let log = platform.delivery(delivery["delivery_id"].as_str().unwrap()).await["log"][0].clone();
        let started_at = millis(&log["started_at"]);
        // Behind an outage a delivery waits for the probe, not for its plan.
        let due = if is_down { &shown["next_probe_at"] } else { &log["next_attempt_at"] };
        let pause_ms = millis(due) - started_at;
        // A date has whole seconds, and time went by while the endpoints were set up. Chance adds a fifth at most.
        let (least, most) = match retry_after {
            Some(date) if date.ends_with("GMT") && pause_s > 100 => (pause_s - 60, pause_s + 1),
            _ => (pause_s, pause_s + 60),
        };
        let chance_ms = pause_s * 1_000 / 5;
        assert!((least * 1_000..=most * 1_000 + chance_ms).contains(&pause_ms), "{case}: {pause_ms} ms");
        assert_eq!(log["counted"], !is_down, "{case}: {log}");
    }
}
