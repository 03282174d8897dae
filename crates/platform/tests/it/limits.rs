//! Too much, too slow, or only half: refused with a clear answer, and nothing changes.

use std::net::SocketAddr;
use std::time::Duration;

use hookit_server::Limits;
use tokio::io::AsyncWriteExt as _;

use serde_json::json;

use crate::harness::{BUSINESS, PartnerAccess, Running, Setup, operator, order};
use crate::http::{Answer, exchange, head, stream};

const MIB: usize = 1 << 20;

/// Every call that takes a body, with the status of its answer where nobody says who is asking.
async fn calls(platform: &Running) -> (Vec<(&'static str, String)>, PartnerAccess) {
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let order = platform.order().await;
    let calls = vec![
        ("POST", "/v1/operator/orders".to_owned()),
        ("PATCH", format!("/v1/operator/orders/{order}/status")),
        ("PUT", format!("/v1/operator/orders/{order}/cart")),
        ("POST", "/v1/operator/partners".to_owned()),
        ("POST", format!("/v1/operator/partners/{}/rotate-secret", partner.id)),
        ("POST", format!("/v1/operator/partners/{}/rotate-webhook-secret", partner.id)),
        ("POST", format!("/v1/operator/partners/{}/revoke", partner.id)),
        ("PUT", "/v1/operator/webhooks".to_owned()),
        ("PUT", "/v1/operator/businesses/7".to_owned()),
    ];
    (calls, partner)
}

/// Sends 50 MB behind this head, in chunks where it says so, without looking for an answer before the end.
async fn send_50_mb(address: SocketAddr, head: Vec<u8>, chunked: bool) -> Answer {
    stream(address, |mut to| async move {
        to.write_all(&head).await.unwrap();
        let mut part = if chunked { format!("{MIB:x}\r\n").into_bytes() } else { Vec::new() };
        part.resize(part.len() + MIB, b' ');
        if chunked {
            part.extend_from_slice(b"\r\n");
        }
        for _ in 0..50 {
            to.write_all(&part).await.expect("the sender can send it all");
        }
        if chunked {
            to.write_all(b"0\r\n\r\n").await.expect("the sender can send it all");
        }
        to
    })
    .await
    .expect("the sender reads its answer")
}

#[tokio::test]
async fn a_body_of_50_mb_is_refused_by_every_call_whether_announced_or_not() {
    let platform = Running::start().await;
    let (calls, _) = calls(&platform).await;
    let before = platform.snapshot().await;
    let authorization = operator();
    for (method, path) in &calls {
        let headers = [("authorization", authorization.as_str())];
        let announced = head(method, path, &headers, Some(50 * MIB));
        let chunked = head(method, path, &[headers[0], ("transfer-encoding", "chunked")], None);
        for (head, chunked) in [(announced, false), (chunked, true)] {
            let answer = send_50_mb(platform.address, head, chunked).await;
            // What takes a record takes as much as a record may have.
            let max = if path.contains("/orders") && !path.ends_with("/status") { 4 * MIB } else { 2 * MIB };
            answer.is_refused(413, "request_too_large", &format!("body: at most {max} bytes are taken"));
            assert_eq!(platform.snapshot().await, before, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_sender_of_50_mb_that_may_not_send_them_reads_why() {
    let platform = Running::start().await;
    for (method, path, status) in [
        ("POST", "/v1/operator/orders", 401),
        ("DELETE", "/v1/operator/orders", 405),
        ("POST", "/v1/operator/nothing", 404),
        ("GET", "/v1/partner/orders/1", 401),
        ("GET", "/healthz", 200),
    ] {
        let answer = send_50_mb(platform.address, head(method, path, &[], Some(50 * MIB)), false).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_sender_that_asks_before_it_sends_too_much_is_answered_before_it_does() {
    let platform = Running::start().await;
    let authorization = operator();
    let headers = [("authorization", authorization.as_str()), ("expect", "100-continue")];
    // Not one byte of the body is ever sent.
    let answer =
        exchange(platform.address, head("POST", "/v1/operator/orders", &headers, Some(50 * MIB))).await;
    answer.is_refused(413, "request_too_large", "body: at most 4194304 bytes are taken");
    let answer =
        exchange(platform.address, head("POST", "/v1/operator/orders", &headers[1..], Some(9))).await;
    assert_eq!(answer.error().0, "auth_missing");
}

#[tokio::test]
async fn a_record_of_the_largest_size_is_taken_to_the_byte_by_itself_or_in_a_line_and_one_byte_more_is_not() {
    let mut setup = Setup::default();
    // What other bodies may have is another matter.
    setup.limits.body_bytes_max = MIB;
    let platform = Running::with(setup).await;
    let frame = order(BUSINESS, 1, &[1]).to_string();
    let of_size = |size: usize| {
        let comment = "x".repeat(size - frame.len() - ",\"order_comment\":\"\"".len());
        format!("{},\"order_comment\":\"{comment}\"}}", frame.strip_suffix('}').unwrap())
    };
    let bulk = async |record: String| {
        let answer = platform.call("POST", "/v1/operator/orders/bulk", record).await.expect(200);
        answer.text().to_owned()
    };
    let answer = platform.call("POST", "/v1/operator/orders", of_size(4 * MIB + 1)).await;
    answer.is_refused(413, "request_too_large", "body: at most 4194304 bytes are taken");
    let said = bulk(of_size(4 * MIB + 1)).await;
    assert!(said.contains("request_too_large") && said.contains("at most 4194304 bytes are taken"), "{said}");
    // With what the platform adds it is larger than what is kept.
    let answer = platform.call("POST", "/v1/operator/orders", of_size(4 * MIB)).await;
    let (code, message) = answer.error();
    assert_eq!((answer.status, code.as_str()), (400, "request_invalid"));
    assert!(message.ends_with("bytes; at most 4190208 are taken"), "{message}");
    assert!(bulk(of_size(4 * MIB)).await.contains(&message));
    assert_eq!(platform.status().await["orders"], 0);

    let small = platform.create(&order(BUSINESS, 1, &[1])).await;
    let added = small.to_string().len() - frame.len();
    // 4 KiB of it are left for what moves add.
    let given = 4 * MIB - 4096;
    let largest = of_size(given - added);
    let answer = platform.call("POST", "/v1/operator/orders", of_size(given - added + 1)).await;
    answer.is_refused(
        400,
        "request_invalid",
        &message.replace(&format!("{}", 4 * MIB + added), &format!("{}", given + 1)),
    );
    let answer = platform.call("POST", "/v1/operator/orders", &largest).await.expect(201);
    assert_eq!(answer.data_text().len(), given);
    assert!(answer.data_text().starts_with(largest.strip_suffix('}').unwrap()));
    assert!(bulk(of_size(given - added)).await.contains("\"version\":1"));
    // Its cart can be edited, by as much.
    let id = answer.data()["id"].as_i64().unwrap();
    let cart = format!("{{\"cart\":[],\"order_comment\":\"{}\"}}", "y".repeat(3 * MIB));
    platform.call("PUT", &format!("/v1/operator/orders/{id}/cart"), cart).await.expect(200);
}

#[tokio::test]
async fn moves_never_take_a_record_over_what_a_receiver_has_to_take() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    // The longest there is: in JSON each of these takes six bytes.
    let reason = "\u{1}".repeat(500);
    for by_partner in [false, true] {
        let frame = order(BUSINESS, 1062, &[663]).to_string();
        let added = platform.create(&order(BUSINESS, 1062, &[663])).await.to_string().len() - frame.len();
        let room = 4 * MIB - 4096 - added - frame.len() - ",\"order_comment\":\"\"".len();
        let record =
            format!("{},\"order_comment\":\"{}\"}}", frame.strip_suffix('}').unwrap(), "x".repeat(room));
        let made = platform.call("POST", "/v1/operator/orders", record).await.expect(201);
        assert_eq!(made.data_text().len(), 4 * MIB - 4096);
        let id = made.data()["id"].as_i64().unwrap();
        for status in ["ACCEPTED", "PREPARING", "READY"] {
            platform.move_to(id, status).await.expect(200);
        }
        let body = json!({"status": "cancelled", "reason_code": reason}).to_string();
        if by_partner {
            let path = format!("/v1/partner/orders/{id}/status");
            platform.write_as(&partner, Some("c"), "PATCH", &path, &body).await.expect(200);
        } else {
            platform.call("PATCH", &format!("/v1/operator/orders/{id}/status"), body).await.expect(200);
        }
        let bytes = platform.record(id).await.len();
        assert!((4 * MIB - 1096..=4 * MIB).contains(&bytes), "{bytes}");
    }
    // One that is longer is refused, whoever gives it.
    let id = platform.order().await;
    let body = json!({"status": "CANCELLED", "reason_code": "x".repeat(501)}).to_string();
    let message = "reason_code: expected an integer, or a text of 1 to 500 characters";
    platform.call("PATCH", &format!("/v1/operator/orders/{id}/status"), body).await.is_refused(
        400,
        "request_invalid",
        message,
    );
}

#[tokio::test]
async fn a_header_of_1_mb_is_refused_by_name_and_so_is_a_long_path() {
    let platform = Running::start().await;
    let (calls, partner) = calls(&platform).await;
    let before = platform.snapshot().await;
    let authorization = operator();
    let huge = "x".repeat(MIB);
    let mut calls = calls;
    calls.push(("GET", "/v1/partner/orders/1".to_owned()));
    calls.push(("GET", "/v1/operator/status".to_owned()));
    for (method, path) in &calls {
        let headers = [("authorization", authorization.as_str()), ("x-note", &huge)];
        let answer = exchange(platform.address, head(method, path, &headers, Some(0))).await;
        let message =
            "header x-note: 1048576 bytes; request line and headers together may have at most 32768";
        answer.is_refused(431, "request_header_too_large", message);
    }
    // The credential itself is too long: its length is told, not the credential.
    let headers = [("authorization", format!("Bearer {huge}"))].map(|(name, value)| (name, value));
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let answer = exchange(platform.address, head("GET", "/v1/operator/status", &headers, None)).await;
    assert_eq!((answer.status, answer.error().0.as_str()), (431, "request_header_too_large"));
    assert!(answer.body.len() < 300);
    let path = format!("/v1/operator/deliveries?order_id={}", "1".repeat(40_000));
    let answer = platform.call("GET", &path, "").await;
    let message = "path: 40033 bytes; request line and headers together may have at most 32768";
    answer.is_refused(431, "request_header_too_large", message);
    assert_eq!(platform.snapshot().await, before);
    assert!(!partner.secret.is_empty());
}

#[tokio::test]
async fn half_a_request_changes_nothing_wherever_it_breaks_off() {
    let platform = Running::start().await;
    let authorization = operator();
    let good = order(BUSINESS, 1, &[1]).to_string();
    let before = platform.snapshot().await;
    let headers = [("authorization", authorization.as_str())];
    let head_len = head("POST", "/v1/operator/orders", &headers, Some(good.len())).len();
    let mut whole = head("POST", "/v1/operator/orders", &headers, Some(good.len()));
    whole.extend_from_slice(good.as_bytes());
    // The body says that it is longer than it is: what did come is a whole order, and still half a request.
    let mut longer = head("POST", "/v1/operator/orders", &headers, Some(good.len() + 1));
    longer.extend_from_slice(good.as_bytes());
    // A chunk that is an order, and no end.
    let chunked = [headers[0], ("transfer-encoding", "chunked")];
    let mut chunk = head("POST", "/v1/operator/orders", &chunked, None);
    chunk.extend_from_slice(format!("{:x}\r\n{good}\r\n", good.len()).as_bytes());
    let mut halves: Vec<Vec<u8>> =
        [4, 40, head_len - 1, head_len, head_len + 1, whole.len() - 1].map(|n| whole[..n].to_vec()).into();
    halves.extend([longer, chunk]);
    for half in halves {
        let shown = String::from_utf8_lossy(&half).into_owned();
        // Reading to the end waits until the platform is done with the connection.
        let answer = stream(platform.address, |mut to| async move {
            to.write_all(&half).await.unwrap();
            to.shutdown().await.unwrap();
            to
        })
        .await;
        assert!(answer.is_none_or(|answer| answer.status == 400), "{shown}");
        assert_eq!(platform.snapshot().await, before, "{shown}");
    }
    let answer = exchange(platform.address, whole).await;
    assert_eq!(answer.status, 201, "the whole of it is an order: {}", answer.text());
}

#[tokio::test]
async fn half_a_request_and_then_silence_ends_in_time() {
    let short = Duration::from_millis(100);
    let limits = Limits { body_timeout: short, head_timeout: short, ..Limits::default() };
    let platform = Running::with(Setup { limits, ..Setup::default() }).await;
    let authorization = operator();
    let good = order(BUSINESS, 1, &[1]).to_string();
    let before = platform.snapshot().await;
    let headers = [("authorization", authorization.as_str())];
    let mut half = head("POST", "/v1/operator/orders", &headers, Some(good.len() + 1));
    half.extend_from_slice(good.as_bytes());
    let answer = exchange(platform.address, half).await;
    answer.is_refused(408, "request_timeout", "body: did not arrive within 0.1 s");
    // Without a whole head there is nobody to answer; the connection is closed.
    let head = head("POST", "/v1/operator/orders", &headers, Some(good.len()));
    let silent = stream(platform.address, |mut to| async move {
        to.write_all(&head[..head.len() - 2]).await.unwrap();
        to
    })
    .await;
    assert!(silent.is_none_or(|answer| answer.status == 408));
    assert_eq!(platform.snapshot().await, before);
}
