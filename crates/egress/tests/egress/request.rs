//! What goes over the wire.

use bytes::Bytes;
use hookit_contract::AttemptOutcome;
use http::{HeaderMap, HeaderValue, header};

use crate::support::{Server, config, egress, now, post_of};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn the_request_carries_the_given_headers_and_the_exact_body_with_its_length() {
    let server = Server::answering(OK).await;
    let body: Bytes = (0..=255u8).cycle().take(70_000).collect();
    let url = format!("http://{}/webhooks/klikit?branch=1062&x=%20", server.address);
    let mut post = post_of(&config(), &url, body.clone());
    post.headers.insert("content-type", HeaderValue::from_static("application/json"));
    post.headers.insert("x-klikit-event-id", HeaderValue::from_static("evt-1"));
    post.headers.append("x-twice", HeaderValue::from_static("one"));
    post.headers.append("x-twice", HeaderValue::from_static("two"));
    assert_eq!(egress().post(post, now()).await.outcome, AttemptOutcome::Acknowledged);

    let [seen] = &server.requests()[..] else { panic!("one request") };
    assert!(seen.head.starts_with("POST /webhooks/klikit?branch=1062&x=%20 HTTP/1.1\r\n"), "{}", seen.head);
    assert_eq!(seen.header("host"), [server.address.to_string()]);
    assert_eq!(seen.header("user-agent"), [config().user_agent]);
    assert_eq!(seen.header("content-length"), ["70000"]);
    assert_eq!(seen.header("content-type"), ["application/json"]);
    assert_eq!(seen.header("x-klikit-event-id"), ["evt-1"]);
    assert_eq!(seen.header("x-twice"), ["one", "two"]);
    assert_eq!(seen.head.split("\r\n").count(), 1 + 7, "and no other header: {}", seen.head);
    assert!(seen.body == body, "the body arrives byte for byte");
}

#[tokio::test]
async fn a_body_is_never_chunked_whatever_the_given_headers_say() {
    let server = Server::answering(OK).await;
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("evil.example"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("1"));
    headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("h2c"));
    headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("klikit"));
    for (body, length) in [("{\"a\":1}", "7"), ("", "0")] {
        let mut post = post_of(&config(), &server.url(), body);
        post.headers = headers.clone();
        assert_eq!(egress().post(post, now()).await.outcome, AttemptOutcome::Acknowledged);
        let seen = server.requests().pop().unwrap();
        assert_eq!(seen.header("host"), [server.address.to_string()]);
        assert_eq!(seen.header("content-length"), [length]);
        assert_eq!(seen.header("user-agent"), ["klikit"]);
        for name in ["transfer-encoding", "connection", "upgrade", "expect"] {
            assert_eq!(seen.header(name), [""; 0], "{name}");
        }
        assert_eq!(seen.body, body.as_bytes());
    }
}
