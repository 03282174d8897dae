//! Reconciling against klikit's published API alone (G8): what never came, what came too late to be looked at only once,
//! and what must not be taken back.

use std::time::Duration;

use hookit_contract::{Clock as _, Timestamp, header};
use hookit_egress::Networks;
use hookit_inbox::{BasicAuth, InboxConfig, ReconcileConfig, ReconcileStatus, ReconcileWay, Sources};
use hookit_server::Secret;
use hookit_store::inbox::{HealReason, RunCause, RunEnd, Source};
use serde_json::json;

use crate::harness::{Running, Ticking, config, envelope, exchange, head, patiently, sign};
use crate::stub::Stub;

const WRITE_TOKEN: &str = "a_token_that_moves";

fn asking(stub: &Stub) -> InboxConfig {
    let reconcile = ReconcileConfig { settle: Duration::ZERO, page_size: 3, ..ReconcileConfig::default() };
    InboxConfig {
        partner_api: Some(stub.config()),
        write_token: Some(Secret::new(WRITE_TOKEN)),
        reconcile,
        ..config()
    }
}

fn days_ago(days: i64) -> Timestamp {
    Timestamp::from_millis(Ticking::new().now().as_millis() - days * 86_400_000)
}

fn record(id: i64, status: i64, updated_at: Timestamp) -> String {
    format!(
        r#"{{"id":{id},"branch_id":1062,"brands":[{{"id":663}}],"status":{status},"updated_at":"{updated_at}"}}"#
    )
}

/// Waits until so many runs have ended.
async fn runs(inbox: &Running, count: usize) -> ReconcileStatus {
    patiently(async {
        loop {
            let ended = inbox.store.reconcile_runs(100).await.unwrap();
            if ended.iter().filter(|run| run.ended.is_some()).count() >= count
                && let Some(status) = inbox.inbox.reconcile_status()
                && status.running.is_none()
            {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// Asks for a run and waits for its end.
async fn again(inbox: &Running) -> ReconcileStatus {
    let before = inbox.store.reconcile_runs(100).await.unwrap().len();
    let bearer = format!("Bearer {WRITE_TOKEN}");
    let asked = head("POST", "/reconcile", &[("authorization", &bearer)], Some(0));
    assert_eq!(exchange(inbox.address, asked).await.status, 202);
    runs(inbox, before + 1).await
}

#[tokio::test]
async fn what_never_came_and_what_came_no_further_is_healed_from_the_list_alone() {
    let stub = Stub::start().await;
    for id in 1..=20 {
        stub.has(days_ago(id), id, &record(id, 4, days_ago(1)));
    }
    stub.has(days_ago(31), 31, &record(31, 4, days_ago(1)));
    let dir = tempfile::tempdir().unwrap();
    let store = crate::harness::open(dir.path());
    // Deliveries of before: an older state, the present one, and one that could not be read.
    let before = Running::on(store.clone(), config()).await;
    before.deliver("evt_1", &envelope(&[&record(1, 2, days_ago(2)), &record(2, 4, days_ago(1))])).await;
    before.deliver("evt_2", &envelope(&[r#"{"id":3,"status":"ready"}"#])).await;

    let inbox = Running::on(store, asking(&stub)).await;
    let status = runs(&inbox, 1).await;
    for id in 1..=20 {
        assert_eq!(inbox.record(id).await, record(id, 4, days_ago(1)));
    }
    assert_eq!(inbox.get("/orders/31").await.status, 404, "older than what is looked back at");
    let last = status.last.unwrap();
    assert_eq!((last.cause, last.ended.unwrap().1, last.problem), (RunCause::Start, RunEnd::Done, None));
    assert_eq!((last.counts.not_seen, last.counts.older_held, last.counts.quarantined), (17, 1, 1));
    assert_eq!((status.way, status.healed, status.failed_runs), (Some(ReconcileWay::List), 19, 0));

    let healed = inbox.store.healed(100).await.unwrap();
    let of = |id: i64| healed.iter().find(|healed| healed.order_id.0 == id).map(|healed| healed.reason);
    assert_eq!(of(1), Some(HealReason::OlderHeld));
    assert_eq!((of(2), of(3), of(4)), (None, Some(HealReason::Quarantined), Some(HealReason::NotSeen)));
    let delivery = inbox.store.delivery(&healed[0].delivery_id).await.unwrap().unwrap();
    assert_eq!(delivery.source, Source::Reconcile);
    assert_eq!((delivery.brand_id.unwrap().0, delivery.branch_id.unwrap().0), (663, 1062));

    let page = inbox.get("/console").await;
    for said in
        ["17 were not seen, 0 were refused, 1 were older, 1 lay in quarantine", "Healed last", "not_seen"]
    {
        assert!(page.text().contains(said), "{said}: {}", page.text());
    }

    // Once more: nothing is missing, and only what is recent is read.
    stub.known().requests.clear();
    let status = again(&inbox).await;
    assert_eq!((status.last.unwrap().counts.healed(), status.healed), (0, 19));
    let known = stub.known();
    assert!(known.requests.len() <= 2 && known.requests[0].contains("created_from="), "{:?}", known.requests);
    assert_eq!(known.in_flight_max, 1, "one request at a time");
}

/// Why each of these orders was healed last; none where it was not.
async fn reasons(inbox: &Running, ids: &[i64]) -> Vec<Option<HealReason>> {
    let healed = inbox.store.healed(100).await.unwrap();
    let last = |id: &i64| healed.iter().find(|one| one.order_id.0 == *id).map(|one| one.reason);
    ids.iter().map(last).collect()
}

/// Posts a delivery as a sender with a wrong secret does.
async fn refused(inbox: &Running, body: &str) {
    let signature = sign("whsec_of_last_year", body.as_bytes());
    let headers = [(header::SIGNATURE, signature.as_str()), (header::EVENT_ID, "evt_refused")];
    inbox.post(&headers, body.as_bytes()).await.is(403, r#"{"status":"forbidden"}"#);
}

#[tokio::test]
async fn what_came_with_a_wrong_secret_is_healed_and_told_apart_from_what_never_came() {
    use HealReason::{NotSeen, OlderHeld, WasRefused};
    let stub = Stub::start().await;
    let lately = Timestamp::from_millis(days_ago(0).as_millis() - 1_000);
    let dir = tempfile::tempdir().unwrap();
    let store = crate::harness::open(dir.path());
    let inbox = Running::on(store.clone(), asking(&stub)).await;
    runs(&inbox, 1).await;
    let is = |id, status, days| {
        let record = record(id, status, days_ago(days));
        stub.has(lately, id, &record);
        envelope(&[&record])
    };
    inbox.deliver("evt_1", &is(1, 1, 5)).await;
    refused(&inbox, &is(1, 2, 4)).await;
    refused(&inbox, &is(2, 2, 4)).await;
    is(3, 2, 4);
    // Refused, then taken, and then something of it never came.
    refused(&inbox, &is(4, 1, 5)).await;
    inbox.deliver("evt_4", &is(4, 2, 4)).await;
    is(4, 4, 3);
    let counts = again(&inbox).await.last.unwrap().counts;
    let why = [Some(WasRefused), Some(WasRefused), Some(NotSeen), Some(OlderHeld)];
    assert_eq!(reasons(&inbox, &[1, 2, 3, 4]).await, why);
    assert_eq!((counts.was_refused, counts.not_seen, counts.older_held), (2, 1, 1));
    let shown = inbox.get("/reconcile").await.json()["data"].clone();
    assert_eq!(
        (&shown["runs"][0]["was_refused"], &shown["healed"].as_array().unwrap().len()),
        (&2.into(), &4)
    );
    assert_eq!(inbox.get("/status").await.json()["data"]["reconcile"]["was_refused"], 2);
    assert_eq!(inbox.record(2).await, record(2, 2, days_ago(4)), "what is believed is what was asked for");

    // What was refused before the view was healed says nothing of what is missing after it.
    is(1, 4, 3);
    again(&inbox).await;
    assert_eq!(reasons(&inbox, &[1]).await, [Some(OlderHeld)]);
    // Nobody knows of it after a restart.
    refused(&inbox, &is(5, 2, 4)).await;
    let restarted = Running::on(store, asking(&stub)).await;
    runs(&restarted, 4).await;
    assert_eq!(reasons(&restarted, &[5]).await, [Some(NotSeen)]);
}

#[tokio::test]
async fn what_is_refused_unread_is_told_apart_too() {
    let stub = Stub::start().await;
    let lately = Timestamp::from_millis(days_ago(0).as_millis() - 1_000);
    let networks = |text: &str| Networks::new(&[text.parse().unwrap()]).unwrap();
    let basic = BasicAuth { user: "klikit".to_owned(), password: Secret::new("a_password_of_ours") };
    let sources = Sources { allowed: networks("203.0.113.0/24"), trusted_proxies: networks("10.0.0.0/8") };
    let long = format!(r#"{{"id":3,"status":1,"x":"{}"}}"#, "x".repeat(300_000));
    for (id, status, settings, body) in [
        (
            1,
            401,
            InboxConfig { basic_auth: Some(basic), ..asking(&stub) },
            envelope(&[r#"{"id":1,"status":1}"#]),
        ),
        (
            2,
            403,
            InboxConfig { sources: Some(sources), ..asking(&stub) },
            envelope(&[r#"{"id":2,"status":1}"#]),
        ),
        (3, 413, InboxConfig { body_bytes_max: 200_000, ..asking(&stub) }, envelope(&[&long])),
    ] {
        let inbox = Running::with(settings).await;
        runs(&inbox, 1).await;
        stub.has(lately, id, &record(id, 2, days_ago(4)));
        stub.has(lately, 9, &record(9, 2, days_ago(4)));
        assert_eq!(inbox.deliver("evt_1", &body).await.status, status);
        again(&inbox).await;
        let why = [Some(HealReason::WasRefused), Some(HealReason::NotSeen)];
        assert_eq!(reasons(&inbox, &[id, 9]).await, why, "{status}");
        stub.known().orders.clear();
    }
}

#[tokio::test]
async fn what_is_refused_while_it_is_read_and_what_is_far_back_in_it_is_told_apart_too() {
    let stub = Stub::start().await;
    let lately = Timestamp::from_millis(days_ago(0).as_millis() - 1_000);
    let inbox = Running::with(InboxConfig { body_bytes_max: 400_000, ..asking(&stub) }).await;
    runs(&inbox, 1).await;
    for id in 1..=5 {
        stub.has(lately, id, &record(id, 2, days_ago(4)));
    }
    let long = |id: i64, bytes: usize| format!(r#"{{"id":{id},"status":1,"x":"{}"}}"#, "x".repeat(bytes));
    // Nobody says beforehand how large it is.
    let body = envelope(&[&long(1, 450_000), &long(2, 300_000)]);
    let mut request = head("POST", "/webhooks/klikit", &[("transfer-encoding", "chunked")], None);
    for piece in body.as_bytes().chunks(100_000) {
        request.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        request.extend_from_slice(piece);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(exchange(inbox.address, request).await.status, 413);
    refused(&inbox, &envelope(&[&long(3, 200_000), &long(4, 10)])).await;
    again(&inbox).await;
    let was_refused = Some(HealReason::WasRefused);
    let why = [was_refused, Some(HealReason::NotSeen), was_refused, was_refused, Some(HealReason::NotSeen)];
    assert_eq!(reasons(&inbox, &[1, 2, 3, 4, 5]).await, why, "of the second nothing was read");
}

#[tokio::test]
async fn what_the_view_has_as_new_or_newer_stays_and_the_run_leaves_no_trace_in_it() {
    let stub = Stub::start().await;
    let inbox = Running::with(asking(&stub)).await;
    runs(&inbox, 1).await;
    let lately = Timestamp::from_millis(days_ago(0).as_millis() - 1_000);
    stub.has(lately, 1, &record(1, 2, days_ago(5)));
    stub.has(lately, 2, &record(2, 4, days_ago(4)));
    inbox.deliver("evt_1", &envelope(&[&record(1, 4, days_ago(4))])).await;
    inbox.deliver("evt_2", &envelope(&[&record(2, 4, days_ago(4))])).await;
    let counts = again(&inbox).await.last.unwrap().counts;
    assert_eq!((counts.compared, counts.healed()), (2, 0));
    assert_eq!(inbox.record(1).await, record(1, 4, days_ago(4)));
    assert_eq!((inbox.history(1).await.len(), inbox.history(2).await.len()), (1, 1));
    assert_eq!(inbox.counts().await.received, 2);
}

#[tokio::test]
async fn a_list_that_moves_while_it_is_read_is_read_whole() {
    let stub = Stub::start().await;
    for id in 1..=30 {
        stub.has(days_ago(1 + id % 9), id, &record(id, 4, days_ago(1)));
    }
    // Listed by the last change: whatever moves goes to the other end, and shifts all the others.
    stub.known().before_a_page = Some(|orders| {
        let last = orders.pop().unwrap();
        orders.insert(0, last);
    });
    let inbox = Running::with(asking(&stub)).await;
    runs(&inbox, 1).await;
    for id in 1..=30 {
        assert_eq!(inbox.get(&format!("/orders/{id}")).await.status, 200, "order {id}");
    }
}

#[tokio::test]
async fn what_changed_just_now_is_left_to_its_delivery_and_healed_where_that_does_not_come() {
    let stub = Stub::start().await;
    let now = days_ago(0);
    stub.known().date = Some("Sun, 01 Mar 2026 10:30:00 GMT");
    for id in [1, 2] {
        stub.has(days_ago(0), id, &record(id, 4, now));
    }
    let settle = Duration::from_millis(400);
    let mut config = asking(&stub);
    config.reconcile.settle = settle;
    let inbox = Running::with(config).await;
    // The list is made for orders of before the start; and the clock only ticks when it is read.
    stub.has(days_ago(1), 1, &record(1, 4, now));
    stub.has(days_ago(1), 2, &record(2, 4, now));
    patiently(async {
        while !stub.known().requests.iter().any(|request| request.starts_with("GET /v1/partner/orders?")) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    inbox.deliver("evt_1", &envelope(&[&record(1, 4, now)])).await;
    let status = runs(&inbox, 1).await;
    assert_eq!(inbox.record(2).await, record(2, 4, now));
    assert_eq!(status.last.unwrap().counts.not_seen, 1, "order 1 came by itself");
    assert_eq!(inbox.history(1).await.len(), 1);
    let known = stub.known();
    assert!(
        known.requests.iter().any(|request| request == "GET /v1/partner/orders/2"),
        "{:?}",
        known.requests
    );
}

#[tokio::test]
async fn of_states_that_nothing_tells_apart_the_one_that_came_last_stays_unless_the_other_side_insists() {
    let stub = Stub::start().await;
    let cart = |items: &str| format!(r#"{{"id":7,"status":2,"cart":[{items}]}}"#);
    stub.has(days_ago(1), 7, &cart("1"));
    let inbox = Running::with(asking(&stub)).await;
    runs(&inbox, 1).await;
    assert_eq!(inbox.record(7).await, cart("1"));
    // The page still has the cart of before; asked for by itself, the order has the one that was delivered.
    inbox.deliver("evt_1", &envelope(&[&cart("1,2")])).await;
    stub.known().scripted.push_back((
        200,
        ("x-a", "b".to_owned()),
        json!({"data": {
        "orders": [{"id": 7, "status": 2, "cart": [1]}], "total": 1}}),
    ));
    stub.has(days_ago(1), 7, &cart("1,2"));
    again(&inbox).await;
    assert_eq!(inbox.record(7).await, cart("1,2"));
    assert_eq!(inbox.history(7).await.len(), 2);
    // An edit whose delivery never came.
    stub.has(days_ago(0), 7, &cart("1,2,3"));
    stub.has(Timestamp::from_millis(days_ago(0).as_millis() - 1000), 7, &cart("1,2,3"));
    again(&inbox).await;
    assert_eq!(inbox.record(7).await, cart("1,2,3"));
}

#[tokio::test]
async fn who_is_put_off_waits_and_a_credential_that_is_not_taken_is_said() {
    let stub = Stub::start().await;
    stub.has(days_ago(1), 1, &record(1, 4, days_ago(1)));
    let busy = json!({"error": {"code": "rate_limited", "message": "later"}});
    stub.known().scripted.push_back((429, ("retry-after", "2".to_owned()), busy));
    let inbox = Running::with(asking(&stub)).await;
    // Longer than after a failure that asks for nothing.
    let before = std::time::Duration::from_secs(2);
    let started = tokio::time::Instant::now();
    runs(&inbox, 1).await;
    assert!(started.elapsed() >= before, "it came back before it was asked to");
    assert_eq!(inbox.record(1).await, record(1, 4, days_ago(1)));

    let mut wrong = asking(&stub);
    wrong.partner_api.as_mut().unwrap().secret_key = Secret::new("sk_of_last_year");
    let refused = Running::with(wrong).await;
    let status = runs(&refused, 1).await;
    let problem = status.last.unwrap().problem.unwrap();
    for words in
        ["does not take the credential", "401 auth_invalid_credential", "check partner_key and secret_key"]
    {
        assert!(problem.contains(words), "{problem}");
    }
    assert_eq!(status.failed_runs, 1);
    let shown = refused.get("/reconcile").await;
    assert_eq!(shown.json()["data"]["status"]["problem"], problem.as_str());
    assert!(!shown.text().contains("sk_"), "{}", shown.text());
}

#[tokio::test]
async fn only_the_orders_of_the_branches_that_are_named_are_asked_for_and_kept() {
    let stub = Stub::start().await;
    for (id, branch) in [(1, 1062), (2, 1063), (3, 1064)] {
        let record = record(id, 4, days_ago(1)).replace("1062", &branch.to_string());
        stub.has(days_ago(1), id, &record);
    }
    let mut config = asking(&stub);
    config.reconcile.branch_ids = [1062, 1064].map(hookit_contract::BranchId).to_vec();
    let inbox = Running::with(config).await;
    runs(&inbox, 1).await;
    let present = async |id: i64| inbox.get(&format!("/orders/{id}")).await.status == 200;
    assert_eq!((present(1).await, present(2).await, present(3).await), (true, false, true));
}

#[tokio::test]
async fn what_looks_like_a_gap_leads_to_a_run() {
    let stub = Stub::start().await;
    let mut config = asking(&stub);
    config.reconcile.gap_pause = Duration::ZERO;
    config.reconcile.quiet = Duration::from_millis(300);
    let inbox = Running::with(config).await;
    let last = async |count| runs(&inbox, count).await.last.unwrap().cause;
    assert_eq!(last(1).await, RunCause::Start);
    inbox.deliver("evt_1", &envelope(&["null"])).await;
    assert_eq!(last(2).await, RunCause::Quarantine);
    inbox.deliver("evt_2", &envelope(&[r#"{"id":1,"version":1}"#])).await;
    inbox.deliver("evt_3", &envelope(&[r#"{"id":1,"version":3}"#])).await;
    assert_eq!(last(3).await, RunCause::VersionJump);
    assert_eq!(last(4).await, RunCause::Quiet);
}

#[tokio::test]
async fn asking_for_a_run_needs_the_write_token() {
    let stub = Stub::start().await;
    let inbox = Running::with(asking(&stub)).await;
    for authorization in ["Bearer wrong", "Basic YTpi"] {
        let asked = head("POST", "/reconcile", &[("authorization", authorization)], Some(0));
        assert_eq!(exchange(inbox.address, asked).await.status, 401, "{authorization}");
    }
    let plain = Running::start().await;
    let asked = exchange(plain.address, head("POST", "/reconcile", &[], Some(0))).await;
    assert_eq!((asked.status, asked.error().0.as_str()), (403, "auth_forbidden"));
    assert_eq!(plain.get("/reconcile").await.data(), r#"{"status":null,"runs":[],"healed":[]}"#);
}
