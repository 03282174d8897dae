//! How the inbox stands: the status, and the same in the text form of OpenMetrics.

use std::collections::BTreeSet;

use hookit_contract::header;
use hookit_inbox::{InboxConfig, InboxStatus};
use hookit_server::Secret;

use crate::harness::{Running, SECRET, config, envelope, exchange, head, named, sign};

async fn status(inbox: &Running) -> InboxStatus {
    serde_json::from_value(inbox.get("/status").await.json()["data"].clone()).unwrap()
}

#[tokio::test]
async fn what_came_and_what_was_refused_is_told_by_reason_and_by_secret() {
    let mut settings = config();
    settings.secrets.push(named("next", "whsec_next"));
    let inbox = Running::with(settings).await;
    assert_eq!(status(&inbox).await.last_delivery_at, None);
    let body = envelope(&[r#"{"id":7,"status":2,"version":2}"#, "null"]);
    for _ in 0..3 {
        assert_eq!(inbox.deliver("evt_1", &body).await.status, 200);
    }
    let older = envelope(&[r#"{"id":7,"status":1,"version":1}"#]);
    let signature = sign("whsec_next", older.as_bytes());
    let next = [(header::SIGNATURE, signature.as_str()), (header::EVENT_ID, "evt_0")];
    assert_eq!(inbox.post(&next, older.as_bytes()).await.status, 200);
    let wrong = sign("whsec_gone", older.as_bytes());
    for signature in [wrong.as_str(), "0"] {
        assert_eq!(inbox.post(&[(header::SIGNATURE, signature)], older.as_bytes()).await.status, 403);
    }
    let told = status(&inbox).await;
    assert_eq!((told.orders, told.deliveries, told.quarantined, told.newest_change), (1, 2, 1, 1));
    assert!(told.last_delivery_at > Some(told.started_at), "{told:?}");
    let since = &told.since_start;
    assert_eq!((since.received, since.duplicates, since.applied, since.stale), (2, 2, 1, 1));
    assert_eq!((since.refused["signature_wrong"], since.refused["too_large"]), (2, 0));
    assert_eq!((since.by_secret["main"], since.by_secret["next"]), (3, 1));
    assert!(told.sinks.is_empty() && told.reconcile.is_none());

    let text = exchange(inbox.address, head("GET", "/metrics", &[], None)).await.text().to_owned();
    for line in [
        "hookit_inbox_deliveries_total 2\n",
        "hookit_inbox_duplicates_total 2\n",
        "hookit_inbox_refused_total{reason=\"signature_wrong\"} 2\n",
        "hookit_inbox_signed_total{secret=\"main\"} 3\n",
        "hookit_inbox_quarantine 1\n",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert!(text.ends_with("# EOF\n") && !text.contains(SECRET), "{text}");
}

#[tokio::test]
async fn every_series_is_in_the_list_and_every_line_of_the_list_is_a_series() {
    let inbox = Running::start().await;
    let text = exchange(inbox.address, head("GET", "/metrics", &[], None)).await.text().to_owned();
    let mut told = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let end = if kind == "counter" { "_total" } else { "" };
        told.insert((format!("{name}{end}"), kind.to_owned()));
    }
    let document = include_str!("../../../../docs/metrics.md");
    let listed = document.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `hookit_inbox_")?.split(" | ");
        let name = format!("hookit_inbox_{}", cells.next()?.trim_end_matches('`'));
        Some((name, cells.next()?.to_owned()))
    });
    assert_eq!(listed.collect::<BTreeSet<_>>(), told);
}

#[tokio::test]
async fn the_status_is_for_readers_and_no_sink_is_there_that_was_not_set() {
    let inbox = Running::with(InboxConfig {
        read_tokens: vec![named("kitchen", "read_me_in_the_kitchen")],
        write_token: Some(Secret::new("write_me_if_you_can")),
        ..config()
    })
    .await;
    for path in ["/status", "/metrics", "/sinks/pos/given-up"] {
        assert_eq!(inbox.get(path).await.status, 401, "{path}");
    }
    let bearing = |token: &'static str| [("authorization", token)];
    let ask = async |method: &str, path: &str, token: &'static str| {
        exchange(inbox.address, head(method, path, &bearing(token), Some(0))).await.status
    };
    assert_eq!(ask("GET", "/sinks/pos/given-up", "Bearer read_me_in_the_kitchen").await, 404);
    assert_eq!(ask("POST", "/sinks/pos/again", "Bearer read_me_in_the_kitchen").await, 401);
    assert_eq!(ask("POST", "/sinks/pos/again", "Bearer write_me_if_you_can").await, 404);
}
