//! `/metrics`: who may read it, that it says what the status says and what has happened, and that its documentation is
//! complete.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use hookit_contract::EventType;
use hookit_platform::MetricsAccess;
use hookit_server::Secret;
use hookit_sim::endpoints::{Answer, ScriptedEndpoint};
use serde_json::{Value, json};

use crate::exposition::Exposition;
use crate::harness::{BUSINESS, HOUR, PartnerAccess, Running, Setup, ids, operator, received};
use crate::http::{PATIENCE, patiently};

async fn scrape(platform: &Running) -> Exposition {
    let answer = platform.get("/metrics").await;
    let text_form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.header("content-type"), Some(text_form));
    Exposition::parse(answer.text())
}

/// The status and the metrics of one moment at which nothing happens.
async fn at_rest(platform: &Running) -> (Value, Exposition) {
    let without_ages = |status: &Value| {
        let mut status = status.clone();
        status.as_object_mut().unwrap().remove("oldest_pending_age_ms");
        for endpoint in status["endpoints"].as_array_mut().unwrap() {
            endpoint.as_object_mut().unwrap().remove("oldest_pending_age_ms");
        }
        status
    };
    patiently(async {
        loop {
            let (before, metrics) = (platform.status().await, scrape(platform).await);
            let after = platform.status().await;
            if without_ages(&before) == without_ages(&after) {
                return (before, metrics);
            }
        }
    })
    .await
}

/// Fails where the two surfaces tell different figures. Ages go on growing between the two.
fn assert_same(status: &Value, metrics: &Exposition) {
    let same = |name: &str, labels: &[(&str, &str)], figure: &Value| {
        let figure = figure.as_f64().unwrap_or_else(|| panic!("{name}: {figure}"));
        assert_eq!(metrics.value(name, labels), figure, "{name} {labels:?}");
    };
    let age = |name: &str, labels: &[(&str, &str)], age_ms: &Value| {
        let (exposed, age) = (metrics.value(name, labels), age_ms.as_f64().unwrap_or(0.0) / 1e3);
        assert!(age <= exposed && exposed <= age + PATIENCE.as_secs_f64(), "{name}: {age} and {exposed}");
        assert_eq!(age_ms.is_null(), exposed == 0.0, "{name}: {age} and {exposed}");
    };
    for name in ["orders", "events", "attempts"] {
        same(&format!("hookit_stored_{name}"), &[], &status[name]);
    }
    for state in ["pending", "delivered", "dead", "cancelled", "superseded"] {
        same("hookit_deliveries", &[("state", state)], &status[state]);
    }
    let since = &status["since_start"];
    same("hookit_changes_total", &[], &since["events"]);
    same("hookit_deliveries_formed_total", &[], &since["formed"]);
    same("hookit_deliveries_replayed_total", &[], &since["replayed"]);
    for (family, label, figures) in
        [("deliveries_ended", "state", &since["ended"]), ("attempts", "outcome", &since["attempts"])]
    {
        let figures = figures.as_object().unwrap();
        let family = format!("hookit_{family}_total");
        assert_eq!(metrics.all(&family).len(), figures.len());
        for (word, figure) in figures {
            same(&family, &[(label, word)], figure);
        }
    }
    for (name, figures, unit, suffix) in [
        ("hookit_delivery_latency_seconds", &status["latency"], 1e6, "_us"),
        ("hookit_tick_duration_seconds", &status["ticks"]["duration"], 1e6, "_us"),
        ("hookit_tick_writes", &status["ticks"]["writes"], 1.0, ""),
    ] {
        same(&format!("{name}_count"), &[], &figures["count"]);
        let sum = figures[format!("sum{suffix}")].as_f64().unwrap() / unit;
        assert_eq!(metrics.value(&format!("{name}_sum"), &[]), sum, "{name}");
        let mut buckets: Vec<(f64, f64)> = figures["buckets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|bucket| {
                let bound = bucket[format!("up_to{suffix}")].as_f64().unwrap() / unit;
                (bound, bucket["count"].as_f64().unwrap())
            })
            .collect();
        buckets.push((f64::INFINITY, figures["count"].as_f64().unwrap()));
        assert_eq!(metrics.buckets(name), buckets, "{name}");
    }
    let queue = &status["queue"];
    same("hookit_queue_commands", &[], &queue["commands"]);
    same("hookit_queue_max_commands", &[], &queue["commands_max"]);
    same("hookit_queue_bytes", &[], &queue["bytes"]);
    same("hookit_queue_max_bytes", &[], &queue["bytes_max"]);
    same("hookit_in_flight_attempts", &[], &status["in_flight"]);
    age("hookit_oldest_pending_age_seconds", &[], &status["oldest_pending_age_ms"]);

    let endpoints = status["endpoints"].as_array().unwrap();
    let in_all: f64 = metrics.all("hookit_endpoints").iter().map(|(_, count)| count).sum();
    assert_eq!(in_all, endpoints.len() as f64);
    let mut talking = 0;
    for endpoint in endpoints {
        let id = endpoint["endpoint_id"].to_string();
        let whose = [("endpoint_id", id.as_str()), ("host", "127.0.0.1")];
        let is_quiet = endpoint["hold"].is_null()
            && endpoint["breaker"] == "closed"
            && endpoint["pending"] == 0
            && endpoint["in_flight"] == 0;
        if is_quiet {
            assert_eq!(metrics.find("hookit_endpoint_pending_deliveries", &whose), None, "{endpoint}");
            continue;
        }
        talking += 1;
        same("hookit_endpoint_pending_deliveries", &whose, &endpoint["pending"]);
        same("hookit_endpoint_in_flight_attempts", &whose, &endpoint["in_flight"]);
        same("hookit_endpoint_failures_in_a_row", &whose, &endpoint["failures_in_a_row"]);
        age("hookit_endpoint_oldest_pending_age_seconds", &whose, &endpoint["oldest_pending_age_ms"]);
        for state in ["closed", "open", "probing", "recovering"] {
            let labels = [("breaker", state), whose[0], whose[1]];
            let is_in = metrics.value("hookit_endpoint_breaker", &labels) == 1.0;
            assert_eq!(is_in, endpoint["breaker"] == state, "{endpoint}");
        }
        for reason in ["operator", "gone"] {
            let labels = [whose[0], whose[1], ("reason", reason)];
            let held = metrics.find("hookit_endpoint_held", &labels);
            assert_eq!(held, (endpoint["hold"]["reason"] == reason).then_some(1.0), "{endpoint}");
        }
    }
    assert_eq!(metrics.all("hookit_endpoint_pending_deliveries").len(), talking);
}

/// A partner that hears of new orders only.
async fn hears_of_new_orders(platform: &Running, endpoint: &ScriptedEndpoint) -> PartnerAccess {
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    platform.register(&partner, None, None, EventType::OrderCreated, &endpoint.url()).await.expect(201);
    partner
}

/// A platform that has seen everything: what was delivered at once and late, what is dead, taken back, passed over, what
/// waits for an endpoint that is down and for one that is held.
async fn eventful(dir: &Path) -> (Running, Vec<ScriptedEndpoint>) {
    let mut setup = Setup::default();
    setup.retry_after(&[HOUR]);
    let platform = Running::on(dir, setup).await;
    let (good, failing, held, moves) = (
        ScriptedEndpoint::start().await.unwrap(),
        ScriptedEndpoint::start().await.unwrap(),
        ScriptedEndpoint::start().await.unwrap(),
        ScriptedEndpoint::start().await.unwrap(),
    );
    let mut down = ScriptedEndpoint::start().await.unwrap();
    down.stop().await.unwrap();
    for endpoint in [&good, &failing, &held, &down] {
        hears_of_new_orders(&platform, endpoint).await;
    }
    let body = json!({
        "partner_id": platform.partner("ERP", BUSINESS).await.id, "event_type": EventType::OrderStatusUpdated,
        "url": moves.url(), "coalesce": true,
    });
    platform.call("PUT", "/v1/operator/webhooks", body.to_string()).await.expect(201);
    let webhooks = platform.get("/v1/operator/webhooks").await.data()["webhooks"].clone();
    let of_held = webhooks.as_array().unwrap().iter().find(|w| w["url"] == held.url()).unwrap();
    let (webhook_id, endpoint_id) = (&of_held["webhook_id"], &of_held["endpoint_id"]);
    platform.call("POST", &format!("/v1/operator/webhooks/{webhook_id}/disable"), "").await.expect(200);

    let first = platform.order().await;
    received(&failing, 1).await;
    failing.answer_each(move |webhook| Answer::Status(if ids(webhook).len() == 1 { 422 } else { 200 }));
    let refused = platform.order().await;
    received(&failing, 2).await;
    failing.answer(Answer::Status(200));
    platform.order().await;
    received(&failing, 3).await;
    failing.answer_each(move |webhook| Answer::Status(if ids(webhook) == [refused] { 422 } else { 200 }));
    moves.answer_next(1, Answer::Status(500));
    platform.move_to(first, "ACCEPTED").await.expect(200);
    received(&moves, 1).await;
    platform.move_to(first, "READY").await.expect(200);
    // The first attempts are all in: three to the good one, three to the failing one, a move, and at least one to what
    // is not there.
    patiently(async {
        while platform.status().await["attempts"].as_u64() < Some(8) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    platform.pass(2 * HOUR).await;
    platform.until("dead", 1).await;
    platform.until("superseded", 1).await;
    platform.until("delivered", 6).await;
    let waiting = platform.deliveries(&format!("?state=pending&endpoint_id={endpoint_id}")).await;
    let newest = waiting[0]["delivery_id"].as_str().unwrap();
    platform.call("POST", &format!("/v1/operator/deliveries/{newest}/cancel"), "").await.expect(200);
    (platform, vec![good, failing, held, down, moves])
}

#[tokio::test]
async fn the_metrics_and_the_status_say_what_has_happened_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (platform, mut endpoints) = eventful(dir.path()).await;
    let (status, metrics) = at_rest(&platform).await;
    assert_same(&status, &metrics);
    let deliveries = |metrics: &Exposition| {
        ["pending", "delivered", "dead", "cancelled", "superseded"]
            .map(|state| metrics.value("hookit_deliveries", &[("state", state)]))
    };
    assert_eq!(deliveries(&metrics), [5.0, 6.0, 1.0, 1.0, 1.0]);
    let ended = ["delivered", "dead", "cancelled", "superseded"]
        .map(|state| metrics.value("hookit_deliveries_ended_total", &[("state", state)]));
    assert_eq!(ended, [6.0, 1.0, 1.0, 1.0]);
    let attempts = |outcome: &str| metrics.value("hookit_attempts_total", &[("outcome", outcome)]);
    assert_eq!((attempts("acknowledged"), attempts("refused")), (6.0, 3.0));
    assert!(attempts("connect_failed") >= 1.0);
    assert_eq!(metrics.value("hookit_changes_total", &[]), 5.0);
    assert_eq!(metrics.value("hookit_deliveries_formed_total", &[]), 14.0);
    assert_eq!(metrics.value("hookit_delivery_latency_seconds_count", &[]), 6.0);
    assert!(metrics.value("hookit_tick_writes_count", &[]) >= 5.0);
    assert!(metrics.value("hookit_tick_duration_seconds_sum", &[]) > 0.0);
    assert_eq!(metrics.value("hookit_queue_max_commands", &[]), 16_384.0);
    let two_hours = 7_200.0;
    assert!(metrics.value("hookit_oldest_pending_age_seconds", &[]) >= two_hours);
    assert_eq!(metrics.value("hookit_endpoints_held", &[("reason", "operator")]), 1.0);

    let of = |status: &Value, endpoint: &ScriptedEndpoint| {
        let all = status["endpoints"].as_array().unwrap().clone();
        all.into_iter().find(|shown| shown["url"] == endpoint.url()).unwrap()
    };
    let (held, down) = (of(&status, &endpoints[2]), of(&status, &endpoints[3]));
    assert_eq!(
        (&held["pending"], &held["hold"]["reason"], &held["in_flight"]),
        (&json!(2), &json!("operator"), &json!(0))
    );
    assert_eq!(down["pending"], 3);
    assert!(down["breaker"] == "open" || down["breaker"] == "probing", "{down}");
    for endpoint in [&held, &down] {
        let age = endpoint["oldest_pending_age_ms"].as_u64().unwrap();
        assert!(Duration::from_millis(age) >= 2 * HOUR, "{endpoint}");
    }
    assert_eq!(of(&status, &endpoints[0])["oldest_pending_age_ms"], Value::Null);

    platform.stop().await;
    let platform = Running::on(dir.path(), Setup::default()).await;
    let (status, metrics) = at_rest(&platform).await;
    assert_same(&status, &metrics);
    assert_eq!(deliveries(&metrics), [5.0, 6.0, 1.0, 1.0, 1.0]);
    let (held, down) = (of(&status, &endpoints[2]), of(&status, &endpoints[3]));
    assert_eq!((&held["pending"], &down["pending"]), (&json!(2), &json!(3)));
    // What is counted since the start begins anew.
    assert_eq!(metrics.value("hookit_deliveries_formed_total", &[]), 0.0);
    assert_eq!(metrics.value("hookit_deliveries_ended_total", &[("state", "dead")]), 0.0);
    // What was committed before the start is measured, too.
    endpoints[3].restart().await.unwrap();
    platform.pass(4 * HOUR).await;
    platform.until("delivered", 9).await;
    let (status, metrics) = at_rest(&platform).await;
    assert_same(&status, &metrics);
    let latency = (
        metrics.value("hookit_delivery_latency_seconds_count", &[]),
        metrics.value("hookit_delivery_latency_seconds_sum", &[]),
    );
    assert!(latency.0 == 3.0 && latency.1 >= 3.0 * 4.0 * 3_600.0, "{latency:?}");
}

#[tokio::test]
async fn an_attempt_under_way_shows_in_both_and_a_replay_counts_as_one() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    hears_of_new_orders(&platform, &endpoint).await;
    platform.order().await;
    platform.until("delivered", 1).await;
    endpoint.answer(Answer::Hang);
    let id = platform.deliveries("").await[0]["delivery_id"].as_str().unwrap().to_owned();
    platform.call("POST", &format!("/v1/operator/deliveries/{id}/replay"), "").await.expect(200);
    received(&endpoint, 2).await;
    let (status, metrics) = at_rest(&platform).await;
    assert_same(&status, &metrics);
    assert_eq!((&status["in_flight"], &status["endpoints"][0]["in_flight"]), (&json!(1), &json!(1)));
    assert_eq!(metrics.value("hookit_deliveries_replayed_total", &[]), 1.0);
    assert_eq!(metrics.value("hookit_delivery_latency_seconds_count", &[]), 1.0, "of the first time alone");
}

#[tokio::test]
async fn an_endpoint_has_series_while_it_has_something_to_say_and_they_hold_no_url() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let url = format!("{}?key=hush", endpoint.url());
    platform.register(&partner, None, None, EventType::OrderCreated, &url).await.expect(201);
    let id = platform.get("/v1/operator/webhooks").await.data()["webhooks"][0]["webhook_id"].clone();
    let verb = async |verb: &str| {
        platform.call("POST", &format!("/v1/operator/webhooks/{id}/{verb}"), "").await.expect(200);
    };
    let held = async || scrape(&platform).await.all("hookit_endpoint_held").len();
    assert_eq!(held().await, 0);
    assert_eq!(scrape(&platform).await.value("hookit_endpoints", &[("breaker", "closed")]), 1.0);
    verb("disable").await;
    let text = platform.get("/metrics").await.text().to_owned();
    assert!(text.contains("host=\"127.0.0.1\"") && text.contains("reason=\"operator\""), "{text}");
    assert!(!text.contains("hush") && !text.contains("http"), "{text}");
    verb("enable").await;
    assert_eq!(held().await, 0);
    endpoint.answer(Answer::Status(410));
    platform.order().await;
    let gone = [("reason", "gone")];
    patiently(async {
        while scrape(&platform).await.value("hookit_endpoints_held", &gone) != 1.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let (status, metrics) = at_rest(&platform).await;
    assert_same(&status, &metrics);
}

#[tokio::test]
async fn only_operators_and_who_has_the_metrics_token_read_the_metrics_unless_they_are_open() {
    const SCRAPER: &str = "metrics_token_of_the_tests";
    let mut setup = Setup::default();
    let closed = Running::with(setup.clone()).await;
    let read = async |platform: &Running, token: Option<&str>| {
        let token = token.map(|token| format!("Bearer {token}"));
        platform.call_as(token.as_deref(), "GET", "/metrics", "").await
    };
    let missing = "Authorization: expected Bearer and the metrics token or an operator token";
    let wrong = "Authorization: neither the metrics token nor an operator token";
    let refused = read(&closed, None).await;
    refused.is_refused(401, "auth_missing", missing);
    assert_eq!(refused.header("www-authenticate"), Some("bearer realm=\"hookit\""));
    read(&closed, Some(SCRAPER)).await.is_refused(401, "auth_invalid_credential", wrong);
    closed.call_as(Some(&operator()), "GET", "/metrics", "").await.expect(200);
    closed.call("POST", "/metrics", "").await.expect(405);

    setup.metrics = MetricsAccess { is_open: false, token: Some(Secret::new(SCRAPER)) };
    let with_token = Running::with(setup.clone()).await;
    read(&with_token, Some(SCRAPER)).await.expect(200);
    with_token.call_as(Some(&operator()), "GET", "/metrics", "").await.expect(200);
    read(&with_token, None).await.is_refused(401, "auth_missing", missing);
    read(&with_token, Some("")).await.expect(401);
    let scraper = format!("Bearer {SCRAPER}");
    for path in ["/v1/operator/status", "/v1/operator/orders"] {
        with_token.call_as(Some(&scraper), "GET", path, "").await.expect(401);
    }

    setup.metrics = MetricsAccess { is_open: true, token: None };
    let open = Running::with(setup).await;
    read(&open, None).await.expect(200);
    open.call_as(None, "GET", "/v1/operator/status", "").await.expect(401);
}

/// The rows of the documentation's table: name, type, unit, labels. The inbox has a table and a test of its own.
fn documented() -> BTreeMap<String, (String, String, BTreeSet<String>)> {
    let text = include_str!("../../../../docs/metrics.md");
    let rows = text.lines().filter(|line| line.starts_with("| `hookit_") && !line.contains("`hookit_inbox_"));
    let rows = rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 6, "{row}");
        assert!(!cells[4].is_empty(), "no meaning: {row}");
        let labels = cells[3].split(' ').map(|label| label.trim_matches(['`', ',']).to_owned());
        let labels = labels.filter(|label| !label.is_empty() && label != "-").collect();
        let name = cells[0].trim_matches('`').to_owned();
        let name = if cells[1] == "counter" { name.strip_suffix("_total").unwrap().to_owned() } else { name };
        (name, (cells[1].to_owned(), cells[2].trim_matches('-').to_owned(), labels))
    });
    let rows: Vec<_> = rows.collect();
    let table: BTreeMap<_, _> = rows.iter().cloned().collect();
    assert_eq!(table.len(), rows.len(), "a family has two rows");
    table
}

#[tokio::test]
async fn every_family_is_documented_and_every_row_of_the_documentation_is_a_family() {
    let dir = tempfile::tempdir().unwrap();
    let (platform, _endpoints) = eventful(dir.path()).await;
    let families = scrape(&platform).await.families;
    let exposed: BTreeMap<_, _> = families
        .into_iter()
        .map(|(name, family)| (name, (family.kind, family.unit, family.labels)))
        .collect();
    assert_eq!(documented(), exposed);
}
