//! Too much, too slow, or only half: refused with a clear answer, and nothing is stored.

use std::time::Duration;

use hookit_contract::header;
use hookit_inbox::RefusalReason;
use hookit_server::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Answer, Running, SECRET, config, envelope, exchange, head, patiently, sign, stream};

const MIB: usize = 1 << 20;

fn is_too_large(answer: &Answer) {
    assert_eq!(answer.status, 413, "{}", answer.text());
    let json = answer.json();
    assert_eq!(json["status"], "request_too_large");
    assert!(json["message"].as_str().unwrap().starts_with("body: at most 10485760 bytes"), "{json}");
}

#[tokio::test]
async fn a_body_of_50_mb_is_refused_whether_announced_or_not() {
    let inbox = Running::start().await;
    let announced = stream(inbox.address, |mut to| async move {
        let head = head("POST", "/webhooks/klikit", &[(header::SIGNATURE, &"0".repeat(64))], Some(50 * MIB));
        to.write_all(&head).await.unwrap();
        let chunk = vec![b' '; MIB];
        for _ in 0..50 {
            if to.write_all(&chunk).await.is_err() {
                break;
            }
        }
        to
    })
    .await;
    is_too_large(&announced.expect("an answer"));

    let chunked = stream(inbox.address, |mut to| async move {
        let headers = [(header::SIGNATURE, &*"0".repeat(64)), ("transfer-encoding", "chunked")];
        to.write_all(&head("POST", "/webhooks/klikit", &headers, None)).await.unwrap();
        let mut chunk = format!("{MIB:x}\r\n").into_bytes();
        chunk.resize(chunk.len() + MIB, b' ');
        chunk.extend_from_slice(b"\r\n");
        for _ in 0..50 {
            if to.write_all(&chunk).await.is_err() {
                break;
            }
        }
        let _ = to.write_all(b"0\r\n\r\n").await;
        to
    })
    .await;
    is_too_large(&chunked.expect("an answer"));
    inbox.assert_nothing_stored().await;
    assert_eq!(inbox.inbox.counters().refused(RefusalReason::TooLarge), 2);
}

#[tokio::test]
async fn a_sender_that_asks_before_it_sends_too_much_is_answered_before_it_does() {
    let inbox = Running::start().await;
    let headers = [(header::SIGNATURE, &*"0".repeat(64)), ("expect", "100-continue")];
    // Not one byte of the body is ever sent.
    let answer = exchange(inbox.address, head("POST", "/webhooks/klikit", &headers, Some(50 * MIB))).await;
    is_too_large(&answer);
    inbox.assert_nothing_stored().await;
}

#[tokio::test]
async fn a_body_of_the_largest_size_is_taken_and_one_byte_more_is_not() {
    let inbox = Running::start().await;
    let frame = envelope(&[r#"{"id":1,"status":1,"order_comment":""}"#]);
    let of_size = |size: usize| {
        let comment = "x".repeat(size - frame.len());
        envelope(&[&format!(r#"{{"id":1,"status":1,"order_comment":"{comment}"}}"#)])
    };
    is_too_large(&inbox.deliver("evt_1", &of_size(10 * MIB + 1)).await);
    inbox.assert_nothing_stored().await;
    let largest = of_size(10 * MIB);
    inbox.deliver("evt_1", &largest).await.is(200, r#"{"status":"received"}"#);
    assert!(envelope(&[&inbox.record(1).await]) == largest, "the record is not the one that was sent");
}

#[tokio::test]
async fn half_a_request_leaves_nothing_behind_even_where_the_half_is_signed() {
    let inbox = Running::start().await;
    let half = envelope(&[r#"{"id":1,"status":1}"#]);
    let signature = sign(SECRET, half.as_bytes());
    let headers = [(header::SIGNATURE, signature.as_str()), (header::EVENT_ID, "evt_1")];
    let whole = {
        let mut request = head("POST", "/webhooks/klikit", &headers, Some(half.len() * 2));
        request.extend_from_slice(half.as_bytes());
        request
    };
    // Broken off at each of these places; then in the middle of a chunk.
    let mut requests: Vec<Vec<u8>> = [4, 40, whole.len() - half.len() - 2, whole.len() - 1, whole.len()]
        .map(|n| whole[..n].to_vec())
        .into();
    let chunked = [headers[0], headers[1], ("transfer-encoding", "chunked")];
    let mut request = head("POST", "/webhooks/klikit", &chunked, None);
    request.extend_from_slice(format!("{:x}\r\n{half}\r\n", half.len()).as_bytes());
    requests.push(request);
    for request in requests {
        // Reading to the end waits until the inbox is done with the connection.
        let answer = stream(inbox.address, |mut to| async move {
            to.write_all(&request).await.unwrap();
            to.shutdown().await.unwrap();
            to
        })
        .await;
        assert!(answer.is_none_or(|answer| answer.status == 400));
    }
    inbox.assert_nothing_stored().await;
    inbox.deliver("evt_1", &half).await.is(200, r#"{"status":"received"}"#);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_is_given_up() {
    let inbox = Running::start().await;
    let hasty = Limits { body_timeout: Duration::from_millis(50), ..Limits::default() };
    let address = inbox.listen(hasty).await;
    let half = envelope(&[r#"{"id":1,"status":1}"#]);
    let signature = sign(SECRET, half.as_bytes());
    let mut request =
        head("POST", "/webhooks/klikit", &[(header::SIGNATURE, &signature)], Some(half.len() + 1));
    request.extend_from_slice(half.as_bytes());
    let answer = exchange(address, request).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (408, Some("request_timeout")));
    inbox.assert_nothing_stored().await;
    assert_eq!(inbox.inbox.counters().refused(RefusalReason::TimedOut), 1);
}

#[tokio::test]
async fn a_header_of_1_mb_is_refused_by_name() {
    let inbox = Running::start().await;
    let body = envelope(&[r#"{"id":1,"status":1}"#]);
    let signature = sign(SECRET, body.as_bytes());
    let huge = "x".repeat(MIB);
    let headers = [(header::SIGNATURE, signature.as_str()), (header::EVENT_ID, "evt_1"), ("x-note", &huge)];
    let answer = inbox.post(&headers, body.as_bytes()).await;
    let (code, message) = answer.error();
    assert_eq!((answer.status, code.as_str()), (431, "request_header_too_large"));
    assert!(message.contains("header x-note: 1048576 bytes"), "{message}");
    inbox.assert_nothing_stored().await;
}

#[tokio::test]
async fn large_bodies_wait_for_room_and_small_ones_do_not_need_it() {
    let mut config = config();
    config.body_bytes_max = MIB;
    config.large_bodies_bytes_max = MIB;
    let inbox = Running::with(config).await;
    let hasty = inbox.listen(Limits { body_timeout: Duration::from_millis(50), ..Limits::default() }).await;

    let comment = "x".repeat(MIB / 2);
    let large = envelope(&[&format!(r#"{{"id":1,"status":1,"order_comment":"{comment}"}}"#)]);
    let signature = sign(SECRET, large.as_bytes());
    let post = |chunked: bool| {
        let mut headers = vec![(header::SIGNATURE, signature.as_str()), (header::EVENT_ID, "evt_1")];
        if chunked {
            // The length is a lie, for which nothing is let through.
            headers.extend([
                ("content-length", "5"),
                ("transfer-encoding", "chunked"),
                ("expect", "100-continue"),
            ]);
        }
        head("POST", "/webhooks/klikit", &headers, (!chunked).then_some(large.len()))
    };

    // A chunked body could be of any size, so it gets all the room. The go-ahead says that it has it.
    let mut slow = TcpStream::connect(inbox.address).await.unwrap();
    slow.write_all(&post(true)).await.unwrap();
    let mut go_ahead = [0; 25];
    patiently(slow.read_exact(&mut go_ahead)).await.unwrap();
    assert_eq!(&go_ahead, b"HTTP/1.1 100 Continue\r\n\r\n");

    let mut request = post(false);
    request.extend_from_slice(large.as_bytes());
    let answer = exchange(hasty, request).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (503, Some("unavailable")));
    assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
    inbox.deliver("evt_2", &envelope(&[r#"{"id":2,"status":1}"#])).await.is(200, r#"{"status":"received"}"#);

    // The first one ends, and its room is free again.
    let body = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    slow.write_all(body.as_bytes()).await.unwrap();
    let mut raw = Vec::new();
    patiently(slow.read_to_end(&mut raw)).await.unwrap();
    Answer::read(&raw).unwrap().is(200, r#"{"status":"received"}"#);
    inbox.deliver("evt_1", &large).await.is(200, r#"{"status":"duplicate-ignored"}"#);
}
