//! What is taken in, what is not, and what the view is afterwards.

use std::sync::Arc;
use std::time::Duration;

use hookit_contract::header;
use hookit_egress::Networks;
use hookit_inbox::{BasicAuth, InboxConfig, RefusalReason, Sources};
use hookit_server::Secret;
use hookit_store::inbox::Counts;
use hookit_store::sqlite::{InboxOptions, InboxStore};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::{Running, SECRET, config, envelope, head, named, open, patiently, sign};

const RECEIVED: &str = r#"{"status":"received"}"#;
const DUPLICATE: &str = r#"{"status":"duplicate-ignored"}"#;
const FORBIDDEN: &str = r#"{"status":"forbidden"}"#;

/// White space, digits, escapes and scripts that reading and writing anew would change.
const AWKWARD: &str = r#"{ "id":42 ,"status":2,	"version" : 3, "provider_grand_total":12345678901234567890.10,
 "vat":0.1000,"rate":1E+2,"big":9007199254740993,"order_comment":"Gửi đi — ไม่เผ็ด \u0022🍜\n","z":1,"a":{"y":[ ]}}"#;

#[tokio::test]
async fn a_genuine_delivery_is_received_and_its_order_shown_byte_for_byte() {
    let inbox = Running::start().await;
    inbox.deliver("evt_1", &envelope(&[AWKWARD])).await.is(200, RECEIVED);
    assert_eq!(inbox.record(42).await, AWKWARD);
    let all = inbox.get("/orders").await.data();
    assert_eq!(all, format!(r#"{{"orders":[{AWKWARD}],"next_after":null}}"#));
    let history = inbox.get("/orders/42/history").await.json();
    let line = &history["data"]["history"][0];
    assert_eq!(history["data"]["order_id"], 42);
    assert_eq!((line["status"].as_i64(), line["status_name"].as_str()), (Some(2), Some("ACCEPTED")));
    assert_eq!(line["event_type"], "klikit.order.status.updated");
    assert_eq!(line["delivery_id"], "evt_1");
    assert_eq!(line["applied"], true);
    // The clock goes on with each look at it, and others look, too.
    let received_at = line["received_at"].as_str().unwrap();
    assert!(received_at.starts_with("2026-03-01T10:30:00.0"), "{received_at}");
    let counters = inbox.inbox.counters();
    assert_eq!((counters.received, counters.applied, counters.refused_in_all()), (1, 1, 0));
}

#[tokio::test]
async fn a_repeat_is_acknowledged_and_changes_nothing() {
    let inbox = Running::start().await;
    let body = envelope(&[r#"{"id":42,"status":2,"version":3}"#]);
    inbox.deliver("evt_1", &body).await.is(200, RECEIVED);
    let before = inbox.get("/orders/42/history").await.data();
    for _ in 0..3 {
        inbox.deliver("evt_1", &body).await.is(200, DUPLICATE);
    }
    assert_eq!(inbox.get("/orders/42/history").await.data(), before);
    assert_eq!(inbox.counts().await, Counts { orders: 1, received: 1, quarantined: 0 });
    let counters = inbox.inbox.counters();
    assert_eq!((counters.received, counters.duplicates), (1, 3));
}

#[tokio::test]
async fn a_signature_that_is_missing_malformed_or_wrong_is_forbidden_and_nothing_is_stored() {
    let inbox = Running::start().await;
    let body = envelope(&[r#"{"id":42,"status":2}"#]);
    let right = sign(SECRET, body.as_bytes());
    let another_body = sign(SECRET, b"{}");
    let another_secret = sign("whsec_other", body.as_bytes());
    let prefixed = format!("sha256={right}");
    let upper = right.to_uppercase();
    assert_ne!(upper, right);
    let wrong = [
        "",
        "forbidden",
        &right[..63],
        &right[..32],
        &format!("{right}0"),
        &upper,
        &prefixed,
        &another_body,
        &another_secret,
        &"0".repeat(64),
        &"g".repeat(64),
        &"é".repeat(32),
    ];
    for signature in wrong {
        let headers = [(header::SIGNATURE, signature), (header::EVENT_ID, "evt_1")];
        inbox.post(&headers, body.as_bytes()).await.is(403, FORBIDDEN);
    }
    inbox.post(&[(header::EVENT_ID, "evt_1")], body.as_bytes()).await.is(403, FORBIDDEN);
    inbox.assert_nothing_stored().await;
    let counters = inbox.inbox.counters();
    assert_eq!(counters.refused(RefusalReason::SignatureWrong), wrong.len() as u64);
    assert_eq!(counters.refused(RefusalReason::SignatureMissing), 1);
    // The id that was used in vain is still free.
    inbox.deliver("evt_1", &body).await.is(200, RECEIVED);
}

#[tokio::test]
async fn either_of_two_secrets_is_right_while_one_is_being_replaced() {
    let mut config = config();
    config.secrets.push(named("next", "whsec_next"));
    let inbox = Running::with(config).await;
    for (id, secret, expected) in
        [("evt_1", SECRET, RECEIVED), ("evt_2", "whsec_next", RECEIVED), ("evt_3", "whsec_gone", FORBIDDEN)]
    {
        let body = envelope(&[r#"{"id":42,"status":2}"#]);
        let signature = sign(secret, body.as_bytes());
        let answer =
            inbox.post(&[(header::SIGNATURE, &signature), (header::EVENT_ID, id)], body.as_bytes()).await;
        assert_eq!(answer.text(), expected, "{secret}");
    }
    // How one knows that the old one is out of use.
    let used: Vec<_> = inbox.inbox.deliveries_by_secret().collect();
    assert_eq!(used, [("main", 1), ("next", 1)]);
}

#[tokio::test]
async fn where_basic_credentials_are_required_a_right_signature_alone_is_not_enough() {
    let mut config = config();
    config.basic_auth = Some(BasicAuth { user: "pos".to_owned(), password: Secret::new("pa:ss wörd") });
    let inbox = Running::with(config).await;
    let body = envelope(&[r#"{"id":42,"status":2}"#]);
    let signature = sign(SECRET, body.as_bytes());
    // printf 'pos:pa:ss wörd' | base64
    let right = "cG9zOnBhOnNzIHfDtnJk";
    for wrong in [None, Some("Basic cG9zOng="), Some("Basic"), Some("Bearer cG9zOnBhOnNzIHfDtnJk")] {
        let mut headers = vec![(header::SIGNATURE, signature.as_str()), (header::EVENT_ID, "evt_1")];
        headers.extend(wrong.map(|value| ("authorization", value)));
        let answer = inbox.post(&headers, body.as_bytes()).await;
        answer.is(401, r#"{"status":"unauthorized"}"#);
        assert!(answer.head.contains("www-authenticate: basic"), "{}", answer.head);
    }
    inbox.assert_nothing_stored().await;
    let authorization = format!("basic {right}");
    let with = |signature| [(header::SIGNATURE, signature), ("authorization", authorization.as_str())];
    inbox.post(&with("0"), body.as_bytes()).await.is(403, FORBIDDEN);
    inbox.post(&with(&signature), body.as_bytes()).await.is(200, RECEIVED);
}

#[tokio::test]
async fn nothing_is_read_that_comes_from_an_address_that_is_not_allowed() {
    let networks = |text: &str| Networks::new(&[text.parse().unwrap()]).unwrap();
    let body = envelope(&[r#"{"id":42,"status":2}"#]);
    let signature = sign(SECRET, body.as_bytes());
    let post = async |inbox: &Running, forwarded: Option<&str>| {
        let mut headers = vec![(header::SIGNATURE, signature.as_str()), (header::EVENT_ID, "evt_1")];
        headers.extend(forwarded.map(|value| ("x-forwarded-for", value)));
        inbox.post(&headers, body.as_bytes()).await
    };
    let sources =
        |allowed, trusted| Sources { allowed: networks(allowed), trusted_proxies: networks(trusted) };
    let config = |sources| InboxConfig { sources: Some(sources), ..config() };

    let inbox = Running::with(config(sources("203.0.113.0/24", "127.0.0.0/8"))).await;
    for forwarded in [None, Some("203.0.113.7, 198.51.100.1"), Some("nobody")] {
        post(&inbox, forwarded).await.is(403, FORBIDDEN);
    }
    inbox.assert_nothing_stored().await;
    assert_eq!(inbox.inbox.counters().refused(RefusalReason::SourceForbidden), 3);
    post(&inbox, Some("198.51.100.1, 203.0.113.7")).await.is(200, RECEIVED);

    // The header of a peer that is no proxy of ours says nothing.
    let inbox = Running::with(config(sources("203.0.113.0/24", "10.0.0.0/8"))).await;
    post(&inbox, Some("203.0.113.7")).await.is(403, FORBIDDEN);
    let inbox = Running::with(config(sources("127.0.0.1/32", "10.0.0.0/8"))).await;
    post(&inbox, Some("198.51.100.1")).await.is(200, RECEIVED);
}

#[tokio::test]
async fn an_older_version_after_a_newer_one_is_received_and_leaves_the_view_as_it_is() {
    let inbox = Running::start().await;
    let newer = r#"{"id":42,"status":4,"version":3}"#;
    inbox.deliver("evt_3", &envelope(&[newer])).await.is(200, RECEIVED);
    inbox.deliver("evt_2", &envelope(&[r#"{"id":42,"status":2,"version":2}"#])).await.is(200, RECEIVED);
    assert_eq!(inbox.record(42).await, newer);
    let name = |text: &str| Some(text.to_owned());
    assert_eq!(inbox.history(42).await, [(name("READY"), Some(3), true), (name("ACCEPTED"), Some(2), false)]);
    let counters = inbox.inbox.counters();
    assert_eq!((counters.received, counters.applied, counters.stale), (2, 1, 1));
}

#[tokio::test]
async fn without_a_version_updated_at_decides_and_without_both_the_order_of_the_statuses() {
    let inbox = Running::start().await;
    let late = r#"{"id":1,"status":2,"updated_at":"2026-03-01T10:00:05Z"}"#;
    let early = r#"{"id":1,"status":4,"updated_at":"2026-03-01T18:00:04+08:00"}"#;
    inbox.deliver("a1", &envelope(&[late])).await.is(200, RECEIVED);
    inbox.deliver("a2", &envelope(&[early])).await.is(200, RECEIVED);
    assert_eq!(inbox.record(1).await, late);

    // PREPARING has a higher code than READY and comes before it all the same.
    let ready = r#"{"id":2,"status":4}"#;
    let preparing = r#"{"id":2,"status":10}"#;
    let cancelled = r#"{"id":2,"status":3}"#;
    for (id, record, shown) in [
        ("b1", preparing, preparing),
        ("b2", ready, ready),
        ("b3", preparing, ready),
        ("b4", cancelled, cancelled),
        ("b5", ready, cancelled),
    ] {
        inbox.deliver(id, &envelope(&[record])).await.is(200, RECEIVED);
        assert_eq!(inbox.record(2).await, shown, "{id}");
    }
    let applied: Vec<_> = inbox.history(2).await.into_iter().map(|line| line.2).collect();
    assert_eq!(applied, [true, true, false, true, false]);
}

#[tokio::test]
async fn all_orders_of_a_batch_are_taken_and_one_bad_record_goes_to_quarantine_alone() {
    let inbox = Running::start().await;
    let (first, last) = (r#"{"id":1,"status":1}"#, r#"{"id":3,"status":4}"#);
    for (id, bad, position) in [
        ("evt_1", r#"{"id":"two","status":1}"#, 1),
        ("evt_2", "17", 1),
        ("evt_3", r#"{"status":1}"#, 1),
        ("evt_4", r#"{"id":2,"status":"READY"}"#, 1),
    ] {
        let before = inbox.counts().await.quarantined;
        inbox.deliver(id, &envelope(&[first, bad, last])).await.is(200, RECEIVED);
        assert_eq!(inbox.record(1).await, first);
        assert_eq!(inbox.record(3).await, last);
        let kept = inbox.get(&format!("/quarantine?after={before}")).await.json();
        let kept = kept["data"]["quarantine"].as_array().unwrap().clone();
        assert_eq!(kept.len(), 1, "{bad}: {kept:?}");
        assert_eq!(kept[0]["text"], bad);
        assert_eq!(kept[0]["position"], position);
        assert_eq!(kept[0]["delivery_id"], id);
        assert!(!kept[0]["reason"].as_str().unwrap().is_empty());
    }
    assert_eq!(inbox.counts().await, Counts { orders: 2, received: 4, quarantined: 4 });
    assert_eq!(inbox.inbox.counters().quarantined, 4);
}

#[tokio::test]
async fn signed_garbage_is_acknowledged_once_and_kept_in_quarantine() {
    let inbox = Running::start().await;
    let garbage: [&[u8]; 6] = [b"", b"{", b"[]", b"{}", br#"{"orders":[]}"#, b"\xff\xfe{}\x00"];
    for (i, body) in garbage.iter().enumerate() {
        let signature = sign(SECRET, body);
        let id = format!("evt_{i}");
        let headers = [(header::SIGNATURE, signature.as_str()), (header::EVENT_ID, &id)];
        inbox.post(&headers, body).await.is(200, RECEIVED);
        inbox.post(&headers, body).await.is(200, DUPLICATE);
    }
    let kept = inbox.get("/quarantine").await.json();
    let kept = kept["data"]["quarantine"].as_array().unwrap();
    assert_eq!(kept.len(), garbage.len());
    assert_eq!(kept[1]["text"], "{");
    assert!(kept[1]["position"].is_null());
    // printf '\xff\xfe{}\x00' | base64
    assert_eq!(kept[5]["base64"], "//57fQA=");
    assert!(kept[5].get("text").is_none());
    assert_eq!(inbox.counts().await, Counts { orders: 0, received: 6, quarantined: 6 });
}

#[tokio::test]
async fn an_unknown_status_and_unknown_fields_are_kept() {
    let inbox = Running::start().await;
    let fields: String = (0..100).map(|i| format!(r#","new_field_{i}":{{"n":{i}.{i}0}}"#)).collect();
    let record = format!(r#"{{"id":7,"status":77,"version":1{fields}}}"#);
    inbox.deliver("evt_1", &envelope(&[&record])).await.is(200, RECEIVED);
    assert_eq!(inbox.record(7).await, record);
    assert_eq!(inbox.history(7).await, [(Some("UNKNOWN_77".to_owned()), Some(1), true)]);
    let line = inbox.get("/orders/7/history").await.json()["data"]["history"][0].clone();
    assert_eq!(line["status"], 77);
}

#[tokio::test]
async fn an_event_type_that_is_unknown_or_missing_is_no_reason_to_refuse() {
    let inbox = Running::start().await;
    let long = "x".repeat(5000);
    for (i, event_type) in
        [None, Some("klikit.order.courier.moved"), Some(""), Some("ÿ"), Some(&*long)].into_iter().enumerate()
    {
        let body = envelope(&[&format!(r#"{{"id":{},"status":1}}"#, i + 1)]);
        let (signature, id) = (sign(SECRET, body.as_bytes()), format!("evt_{i}"));
        let mut headers = vec![(header::SIGNATURE, signature.as_str()), (header::EVENT_ID, &id)];
        headers.extend(event_type.map(|event_type| (header::EVENT_TYPE, event_type)));
        inbox.post(&headers, body.as_bytes()).await.is(200, RECEIVED);
        let history = inbox.get(&format!("/orders/{}/history", i + 1)).await.json();
        assert_eq!(history["data"]["history"][0]["event_type"].as_str(), event_type);
    }
}

#[tokio::test]
async fn a_genuine_delivery_without_an_id_that_can_be_used_is_known_by_its_bytes() {
    let inbox = Running::start().await;
    // printf '{"brand_id":663,"branch_id":1062,"orders":[{"id":1,"status":1}]}' | sha256sum
    let body = envelope(&[r#"{"id":1,"status":1}"#]);
    let derived = "sha256:c624903bed243d5abec576d103e8330990e101dc93824dd70f55418e707ab628";
    let signature = sign(SECRET, body.as_bytes());
    let signed = (header::SIGNATURE, signature.as_str());
    let long = "e".repeat(256);
    inbox.post(&[signed], body.as_bytes()).await.is(200, RECEIVED);
    for id in ["", "   ", &long, "ab\u{fffd}"] {
        // The last one is sent as bytes that are no text.
        let mut request = crate::harness::head(
            "POST",
            "/webhooks/klikit",
            &[signed, (header::EVENT_ID, id)],
            Some(body.len()),
        );
        if let Some(at) = request.windows(3).position(|three| three == "\u{fffd}".as_bytes()) {
            request.splice(at..at + 3, [0xff]);
        }
        request.extend_from_slice(body.as_bytes());
        crate::harness::exchange(inbox.address, request).await.is(200, DUPLICATE);
    }
    let history = inbox.get("/orders/1/history").await.json();
    assert_eq!(history["data"]["history"][0]["delivery_id"], derived);
    assert_eq!(inbox.inbox.counters().without_id, 5);

    // Other bytes are another delivery; so is an id of the longest length.
    inbox.post(&[signed, (header::EVENT_ID, &long[1..])], body.as_bytes()).await.is(200, RECEIVED);
    let other = envelope(&[r#"{"id":1,"status":2}"#]);
    inbox
        .post(&[(header::SIGNATURE, &sign(SECRET, other.as_bytes()))], other.as_bytes())
        .await
        .is(200, RECEIVED);
    assert_eq!(inbox.counts().await.received, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_repeats_at_the_same_moment_exactly_one_is_received() {
    let inbox = std::sync::Arc::new(Running::start().await);
    let body: std::sync::Arc<str> = envelope(&[r#"{"id":42,"status":2,"version":1}"#]).into();
    let mut posts = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let (inbox, body) = (inbox.clone(), body.clone());
        posts.spawn(async move { inbox.deliver("evt_1", &body).await });
    }
    let answers = posts.join_all().await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(answers.iter().filter(|answer| answer.text() == RECEIVED).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.text() == DUPLICATE).count(), 31);
    assert_eq!(inbox.history(42).await.len(), 1);
    assert_eq!(inbox.counts().await, Counts { orders: 1, received: 1, quarantined: 0 });
}

#[tokio::test]
async fn what_a_sender_did_not_wait_for_is_taken_in_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    // The commit waits for company, long enough for the sender to be gone.
    let options = InboxOptions { tick_min: Duration::from_millis(500), ..InboxOptions::default() };
    let inbox = Running::on(Arc::new(InboxStore::open(dir.path(), options).unwrap()), config()).await;
    let body = envelope(&[r#"{"id":1,"status":1}"#]);
    let signature = sign(SECRET, body.as_bytes());
    let headers = [(header::SIGNATURE, signature.as_str())];
    let mut request = head("POST", "/webhooks/klikit", &headers, Some(body.len()));
    request.extend_from_slice(body.as_bytes());
    let mut sender = TcpStream::connect(inbox.address).await.unwrap();
    sender.write_all(&request).await.unwrap();
    drop(sender);
    patiently(async {
        while inbox.inbox.counters().received == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(inbox.counts().await.received, 1);
    let counters = inbox.inbox.counters();
    assert_eq!((counters.applied, counters.without_id, counters.refused_in_all()), (1, 1, 0));
    assert_eq!(inbox.inbox.deliveries_by_secret().collect::<Vec<_>>(), [("main", 1)]);
    assert_eq!(inbox.record(1).await, r#"{"id":1,"status":1}"#);
}

#[tokio::test]
async fn a_restart_keeps_ids_view_history_and_quarantine() {
    let inbox = Running::start().await;
    let body = envelope(&[AWKWARD]);
    inbox.deliver("evt_1", &body).await.is(200, RECEIVED);
    inbox.deliver("evt_2", "not JSON").await.is(200, RECEIVED);
    let paths = ["/orders", "/orders/42", "/orders/42/history", "/quarantine"];
    let mut before = Vec::new();
    for path in paths {
        before.push(inbox.get(path).await.data());
    }
    let dir = inbox.stop().await;

    let inbox = Running::on(open(dir.path()), config()).await;
    for (path, before) in paths.into_iter().zip(before) {
        assert_eq!(inbox.get(path).await.data(), before, "{path}");
    }
    inbox.deliver("evt_1", &body).await.is(200, DUPLICATE);
    inbox.deliver("evt_2", "not JSON").await.is(200, DUPLICATE);
    inbox.deliver("evt_3", &envelope(&[r#"{"id":42,"status":1,"version":2}"#])).await.is(200, RECEIVED);
    assert_eq!(inbox.record(42).await, AWKWARD);
}
