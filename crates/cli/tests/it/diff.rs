//! `hookit diff` tells every way in which two views can differ, and by its exit code what kept it from telling.

use bytes::Bytes;
use hookit_contract::{EventType, WebhookSecret, header};
use http::Method;
use serde_json::{Value, json};

use crate::harness::Scratch;
use crate::harness::halves::{Inbox, OPERATOR_TOKEN, PATIENT, Partner, Platform};
use crate::harness::process::{Launch, Server};

const DIFFERS: i32 = 1;
const USAGE: i32 = 2;
const REFUSED: i32 = 4;
const UNREACHABLE: i32 = 5;

/// Both halves, registered with each other, with these orders at both.
async fn with_orders(scratch: &Scratch, orders: &[i64]) -> (Platform, Partner, Inbox) {
    let platform = Platform::start(scratch, PATIENT).await;
    let partner = platform.partner("Inbox").await;
    let inbox = Inbox::start(scratch, &partner.webhook_secret).await;
    platform.register(&partner, &[EventType::OrderCreated], &inbox.webhook()).await;
    for order_id in orders {
        create(&platform, *order_id).await;
    }
    platform.drained().await;
    (platform, partner, inbox)
}

async fn create(platform: &Platform, order_id: i64) {
    let record = json!({"id": order_id, "business_id": 737, "branch_id": 1062, "brands": [{"id": 663}]});
    platform.operator.call(Method::POST, "/v1/operator/orders", record.to_string()).await;
}

/// Gives the inbox something that the platform knows nothing of, in its name.
async fn slip_in(inbox: &Inbox, partner: &Partner, event_id: &str, record: &Value) {
    let body = Bytes::from(json!({"brand_id": 663, "branch_id": 1062, "orders": [record]}).to_string());
    let signature = WebhookSecret::new(partner.webhook_secret.as_bytes()).sign(&body);
    let headers = [(header::SIGNATURE, signature.as_str()), (header::EVENT_ID, event_id)];
    let answer = inbox.client.send(Method::POST, "/webhooks/klikit", &headers, body).await.unwrap();
    assert_eq!((answer.status, answer.text()), (200, r#"{"status":"received"}"#));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_views_are_equal_and_every_kind_of_difference_is_named() {
    let scratch = Scratch::new();
    let (platform, partner, inbox) = with_orders(&scratch, &[3, 5, 8, 12]).await;
    platform.assert_equal_views(&scratch, &inbox, 4).await;
    let equal = platform.diff(&scratch, &inbox, &["--output", "json"]).await;
    assert_eq!(equal.code, Some(0));
    let found: Value = serde_json::from_str(&equal.stdout).unwrap();
    assert_eq!(found, json!({"equal": 4, "different": 0, "missing": 0, "extra": 0, "differences": []}));

    // A record of the same order that says something else, an order that only the inbox has, and one that it lacks.
    slip_in(&inbox, &partner, "evt_other", &json!({"id": 5, "status": 1, "version": 2})).await;
    slip_in(&inbox, &partner, "evt_extra", &json!({"id": 9, "status": 1, "version": 4})).await;
    platform.operator.call(Method::PATCH, "/v1/operator/orders/12/status", r#"{"status":"accepted"}"#).await;
    let settle = ["--settle", "0"];
    let differs = platform.diff(&scratch, &inbox, &settle).await;
    assert_eq!(differs.code, Some(DIFFERS), "{}{}", differs.stdout, differs.stderr);
    assert_eq!(
        differs.stdout,
        "orders equal 2, different 2, missing in the inbox 0, unknown to the platform 1\n\
         \x20 order 5: different records (version 1 on the platform, 2 in the inbox)\n\
         \x20 order 9: unknown to the platform (version - on the platform, 4 in the inbox)\n\
         \x20 order 12: different records (version 2 on the platform, 1 in the inbox)\n"
    );
    // An order of which the inbox is told nothing: its registration is for another brand's events by now.
    let elsewhere = json!({"id": 13, "business_id": 9, "branch_id": 1, "brands": [{"id": 44}]}).to_string();
    platform.operator.call(Method::POST, "/v1/operator/orders", elsewhere).await;
    let json = platform.diff(&scratch, &inbox, &["--settle", "0", "--output", "json"]).await;
    assert_eq!(json.code, Some(DIFFERS), "{}", json.stderr);
    let found: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        found,
        json!({"equal": 2, "different": 2, "missing": 1, "extra": 1, "differences": [
            {"order_id": 5, "what": "different records", "platform_version": 1, "inbox_version": 2},
            {"order_id": 9, "what": "unknown to the platform", "platform_version": null, "inbox_version": 4},
            {"order_id": 12, "what": "different records", "platform_version": 2, "inbox_version": 1},
            {"order_id": 13, "what": "missing in the inbox", "platform_version": 1, "inbox_version": null},
        ]})
    );
    // What belongs to another business is not the inbox's partner's, and can be left out.
    let own =
        platform.diff(&scratch, &inbox, &["--settle", "0", "--output", "json", "--business-id", "737"]).await;
    let found: Value = serde_json::from_str(&own.stdout).unwrap();
    assert_eq!((&found["missing"], &found["different"]), (&json!(0), &json!(2)), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_of_more_orders_than_a_page_are_compared_to_their_end() {
    let scratch = Scratch::new();
    let orders: Vec<i64> = (1..=1_003).collect();
    let (platform, partner, inbox) = with_orders(&scratch, &[]).await;
    let mut posting = tokio::task::JoinSet::new();
    for part in orders.chunks(64).map(<[i64]>::to_vec) {
        let operator = platform.operator.clone();
        posting.spawn(async move {
            for order_id in part {
                let record =
                    json!({"id": order_id, "business_id": 737, "branch_id": 1062, "brands": [{"id": 663}]});
                operator.call(Method::POST, "/v1/operator/orders", record.to_string()).await;
            }
        });
    }
    while let Some(posted) = posting.join_next().await {
        posted.unwrap();
    }
    platform.drained().await;
    platform.assert_equal_views(&scratch, &inbox, 1_003).await;
    slip_in(&inbox, &partner, "evt_last", &json!({"id": 1_003, "status": 5, "version": 9})).await;
    slip_in(&inbox, &partner, "evt_after", &json!({"id": 5_000, "status": 5, "version": 1})).await;
    let differs = platform.diff(&scratch, &inbox, &["--settle", "0"]).await;
    assert_eq!(differs.code, Some(DIFFERS));
    assert!(differs.stdout.starts_with("orders equal 1002, different 1,"), "{}", differs.stdout);
    assert!(
        differs.stdout.contains("order 1003: different") && differs.stdout.contains("order 5000: unknown")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_still_on_its_way_is_waited_for() {
    let scratch = Scratch::new();
    let (platform, _, mut inbox) = with_orders(&scratch, &[1]).await;
    inbox.server.stop().await;
    create(&platform, 2).await;
    inbox.server.start(&scratch).await;
    // The order is on its way, or its retry is; the comparison has the patience for both.
    let diff = platform.diff(&scratch, &inbox, &["--settle", "60"]).await;
    assert_eq!(diff.code, Some(0), "{}{}", diff.stdout, diff.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_it_from_comparing_is_told_apart_by_the_exit_code() {
    let scratch = Scratch::new();
    let (mut platform, _, mut inbox) = with_orders(&scratch, &[1]).await;
    let (platform_url, inbox_url) = (platform.server.url(""), inbox.server.url(""));
    let nobody = Server::prepare(|_| Launch::hookit(&[])).url("");
    let launch = |platform: &str, inbox: &str, token: Option<&str>| {
        let launch = Launch::hookit(&["diff", "--platform", platform, "--inbox", inbox, "--settle", "0"]);
        token.into_iter().fold(launch, |launch, token| launch.variable("HOOKIT_OPERATOR_TOKEN", token))
    };
    let check = async |what: &str, launch: Launch, code: i32, words: &[&str]| {
        let ended = launch.run(&scratch).await;
        assert_eq!(ended.code, Some(code), "{what}: {}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.stdout, "", "{what}");
        for word in words {
            assert!(ended.stderr.contains(word), "{what}: expected {word:?} in: {}", ended.stderr);
        }
    };
    let right = Some(OPERATOR_TOKEN);
    check("no platform", launch(&nobody, &inbox_url, right), UNREACHABLE, &[&nobody]).await;
    check("no inbox", launch(&platform_url, &nobody, right), UNREACHABLE, &[&nobody]).await;
    let wrong = Some("op_0000000000000000");
    let words = ["401", "auth_invalid_credential", "operator token"];
    check("wrong token", launch(&platform_url, &inbox_url, wrong), REFUSED, &words).await;
    check("no token", launch(&platform_url, &inbox_url, None), USAGE, &["HOOKIT_OPERATOR_TOKEN"]).await;
    check("no URL", launch("platform", &inbox_url, right), USAGE, &["platform"]).await;
    check("not http", launch("ftp://x:1", &inbox_url, right), USAGE, &["ftp://x:1", "http://HOST:PORT"])
        .await;
    check("sides exchanged", launch(&inbox_url, &platform_url, right), REFUSED, &["404"]).await;
    // The URL of the platform may come from the environment.
    let launch = Launch::hookit(&["diff", "--inbox", &inbox_url]).variable("HOOKIT_URL", &platform_url);
    let ended = launch.variable("HOOKIT_OPERATOR_TOKEN", OPERATOR_TOKEN).run(&scratch).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    platform.server.stop().await;
    inbox.server.stop().await;
}
