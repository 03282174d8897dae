//! Quarantine over HTTP: shown one by one, and read anew by who may.

use hookit_inbox::InboxConfig;
use hookit_server::Secret;

use crate::harness::{Answer, Running, config, envelope, exchange, head};

const WRITE_TOKEN: &str = "write_me_if_you_can";

async fn post(inbox: &Running, path: &str, token: Option<&str>) -> Answer {
    let authorization = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = authorization.iter().map(|value| ("authorization", value.as_str())).collect();
    let answer = exchange(inbox.address, head("POST", path, &headers, Some(0))).await;
    crate::openapi::assert_documented("POST", path, &answer);
    answer
}

#[tokio::test]
async fn one_thing_is_shown_and_read_anew_only_by_who_may() {
    let inbox = Running::with(InboxConfig { write_token: Some(Secret::new(WRITE_TOKEN)), ..config() }).await;
    let answer = inbox.deliver("evt_1", &envelope(&["{\"status\":1}", "null"])).await;
    assert_eq!(answer.status, 200);
    let one = inbox.get("/quarantine/2").await.json()["data"].clone();
    assert_eq!(
        (&one["quarantine_id"], &one["text"], &one["position"]),
        (&2.into(), &"null".into(), &1.into())
    );
    for missing in ["/quarantine/3", "/quarantine/9223372036854775807", "/quarantine/0", "/quarantine/02"] {
        assert_eq!(inbox.get(missing).await.status, 404, "{missing}");
    }

    for path in ["/quarantine/1/apply", "/quarantine/apply"] {
        assert_eq!(post(&inbox, path, None).await.status, 401, "{path}");
        assert_eq!(post(&inbox, path, Some("write_me_if_you_cam")).await.status, 401, "{path}");
    }
    let still = post(&inbox, "/quarantine/1/apply", Some(WRITE_TOKEN)).await.json()["data"].clone();
    assert_eq!((&still["applied"], &still["renewed"]), (&false.into(), &0.into()));
    assert!(still["reason"].as_str().unwrap().contains("id: missing"), "{still}");
    assert_eq!(post(&inbox, "/quarantine/3/apply", Some(WRITE_TOKEN)).await.status, 404);
    let all = post(&inbox, "/quarantine/apply", Some(WRITE_TOKEN)).await;
    assert_eq!(all.data(), r#"{"applied":0,"renewed":0,"unreadable":2,"next_after":null}"#);
    let behind = post(&inbox, "/quarantine/apply?after=1", Some(WRITE_TOKEN)).await;
    assert_eq!(behind.json()["data"]["unreadable"], 1);
}

#[tokio::test]
async fn what_is_discarded_is_gone_for_good_and_a_repeat_of_it_is_still_a_repeat() {
    let inbox = Running::with(InboxConfig { write_token: Some(Secret::new(WRITE_TOKEN)), ..config() }).await;
    let body = envelope(&[r#"{"id":7,"status":1}"#, "null", "false"]);
    assert_eq!(inbox.deliver("evt_1", &body).await.status, 200);
    const DISCARD: &str = "/quarantine/1/discard";
    for token in [None, Some("write_me_if_you_cam")] {
        assert_eq!(post(&inbox, DISCARD, token).await.status, 401);
    }
    assert_eq!(inbox.get(DISCARD).await.status, 405);
    let discarded = post(&inbox, DISCARD, Some(WRITE_TOKEN)).await;
    assert_eq!(
        (discarded.status, discarded.data()),
        (200, r#"{"quarantine_id":1,"delivery_id":"evt_1"}"#.into())
    );
    for gone in [DISCARD, "/quarantine/1/apply", "/quarantine/404/discard", "/quarantine/0/discard"] {
        assert_eq!(post(&inbox, gone, Some(WRITE_TOKEN)).await.status, 404, "{gone}");
    }
    assert_eq!(inbox.get("/quarantine/1").await.status, 404);
    assert_eq!(inbox.get("/status").await.json()["data"]["quarantined"], 1, "its neighbour stays");
    inbox.deliver("evt_1", &body).await.is(200, r#"{"status":"duplicate-ignored"}"#);
    assert_eq!(inbox.get("/status").await.json()["data"]["quarantined"], 1);
    assert_eq!(inbox.record(7).await, r#"{"id":7,"status":1}"#);
}
