//! What goes over the wire.

use bytes::Bytes;
use hookit_contract::AttemptOutcome;
use hookit_egress::{Call, Egress, EgressConfig, EndpointUrl};
use http::{HeaderMap, HeaderValue, Method, header};

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

#[tokio::test]
async fn other_methods_go_the_same_way_and_the_answers_headers_come_back() {
    let server = Server::answering(
        "HTTP/1.1 429 Too Many Requests\r\nx-ratelimit-reset: 7\r\nretry-after: 3\r\ncontent-length: 4\r\n\r\nwait",
    )
    .await;
    let url = EndpointUrl::parse(&format!("{}?page=2", server.url()), &config().url_rules()).unwrap();
    for (method, body, first_line, length) in [
        (Method::GET, "", "GET /in?page=2 HTTP/1.1", None),
        (Method::PATCH, "{}", "PATCH /in?page=2 HTTP/1.1", Some("2")),
    ] {
        let call = Call { method, url: url.clone(), headers: HeaderMap::new(), body: body.into() };
        assert!(!format!("{call:?}").contains("page"), "{call:?}");
        let called = egress().call(call, now()).await;
        assert_eq!((called.attempt.outcome, called.attempt.status), (AttemptOutcome::Refused, Some(429)));
        assert_eq!(called.attempt.retry_after, Some(std::time::Duration::from_secs(3)));
        assert_eq!(called.attempt.answer, "wait");
        assert_eq!(called.headers["x-ratelimit-reset"], "7");
        let seen = server.requests().pop().unwrap();
        assert_eq!(seen.head.lines().next(), Some(first_line));
        assert_eq!(seen.header("content-length").first().copied(), length);
    }
}

#[tokio::test]
async fn an_answer_may_be_as_long_as_the_configuration_says() {
    let page = "x".repeat(12 << 20);
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{page}", page.len());
    let server = Server::answering(answer.leak()).await;
    for (answer_bytes_max, truncated) in [(12 << 20, false), ((12 << 20) - 1, true)] {
        let config = EgressConfig { answer_bytes_max, ..config() };
        let url = EndpointUrl::parse(&server.url(), &config.url_rules()).unwrap();
        let call = Call { method: Method::GET, url, headers: HeaderMap::new(), body: Bytes::new() };
        let attempt = Egress::new(config).unwrap().call(call, now()).await.attempt;
        assert_eq!(attempt.answer_truncated, truncated);
        assert_eq!(attempt.answer.len(), answer_bytes_max);
    }
}
