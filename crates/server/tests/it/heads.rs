//! Heads: what is said twice, what cannot be read at all, and what a call would pass over without a word.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::routing::get;
use hookit_server::routes::{IDEMPOTENCY_KEY, Routes, delete, get as read, post};
use hookit_server::{Answer, ApiError, Checked, Limits, NoBody, Params};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::client::{call, exchange, listen, next_answer};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    n: Option<i64>,
}

impl Checked<()> for Wanted {}

fn router() -> Router {
    let calls: Routes = Routes::new("Things")
        .route("/plain", read(async || Answer::ok(&"here")))
        .route("/wanted", read(async |Params(wanted): Params<Wanted>| Answer::ok(&wanted.n)))
        .route("/health", read(async || Answer::ok(&"well")).lenient())
        .route("/thing", delete(async |_: NoBody| Answer::ok(&"gone")))
        .route("/once", post(async |_: NoBody| Answer::ok(&"done")).header(IDEMPOTENCY_KEY, "A key.", false))
        .route(
            "/closed",
            read(async || Answer::ok(&"open")).behind(|handler| {
                handler.route_layer(middleware::from_fn(async |_: Request, _: Next| {
                    ApiError::not_found("closed")
                }))
            }),
        );
    calls.into_parts().0.route("/", get(async || Answer::ok(&"here")))
}

const INVALID: (u16, &str) = (400, "request_invalid");

#[tokio::test]
async fn a_body_where_none_is_taken_is_refused_and_so_is_one_in_an_encoding() {
    let (address, _tasks) = listen(router(), Limits::default()).await;
    let large = "x".repeat(100_000);
    for (line, body) in [
        ("GET /plain", "{\"n\": 1}"),
        ("GET /wanted?n=1", "n=1"),
        ("GET /plain", &large),
        // All at once.
        ("GET /plain?n=1", "x"),
        ("POST /once", "x"),
        ("DELETE /thing", "x"),
    ] {
        let answer = call(address, line, "", body).await;
        let message = match line {
            "GET /plain?n=1" => "n: unknown parameter; this call takes none (and 1 more in details)",
            _ => "body: this call takes none",
        };
        answer.is_refused(INVALID.0, INVALID.1, message);
    }
    // One that says nothing is none; a prober may send whatever it likes.
    for (line, body) in
        [("GET /plain", ""), ("GET /plain", " {} \n"), ("DELETE /thing", "{}"), ("GET /health", "well?")]
    {
        assert_eq!(call(address, line, "", body).await.status, 200, "{line} {body}");
    }
    let chunked = "GET /plain HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(exchange(address, format!("{chunked}0\r\n\r\n")).await.unwrap().status, 200);
    let answer = exchange(address, format!("{chunked}1\r\nx\r\n0\r\n\r\n")).await.unwrap();
    answer.is_refused(INVALID.0, INVALID.1, "body: this call takes none");

    for (said, shown) in [
        ("content-encoding: gzip\r\n", "gzip"),
        ("content-encoding: identity, br\r\n", "br"),
        ("content-encoding: identity\r\ncontent-encoding: Deflate\r\n", "Deflate"),
    ] {
        let answer = call(address, "POST /once", said, "{}").await;
        let message = format!("Content-Encoding: {shown:?} is not taken; expected the body as it is");
        answer.is_refused(415, "request_encoding_unsupported", &message);
        assert_eq!(answer.header("accept-encoding"), Some("identity"));
    }
    let chunked =
        "POST /once HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: gzip, chunked\r\n\r\n";
    let answer = exchange(address, format!("{chunked}2\r\n{{}}\r\n0\r\n\r\n")).await.unwrap();
    let message = "Transfer-Encoding: \"gzip\" is not taken; expected the body as it is";
    answer.is_refused(415, "request_encoding_unsupported", message);
    for (line, said, body) in [
        ("POST /once", "content-encoding: Identity\r\n", "{}"),
        ("POST /once", "content-encoding: \r\n", "{}"),
        // Without a body it says nothing.
        ("POST /once", "content-encoding: gzip\r\n", ""),
        ("GET /plain", "content-encoding: gzip\r\n", ""),
    ] {
        assert_eq!(call(address, line, said, body).await.status, 200, "{line} {said}");
    }
}

#[tokio::test]
async fn what_a_call_does_not_take_is_refused_by_name() {
    let (address, _tasks) = listen(router(), Limits::default()).await;
    const NONE: &str = "unknown parameter; this call takes none";
    for (line, headers, message) in [
        ("GET /plain?tpyo=1", "", format!("tpyo: {NONE}")),
        ("GET /plain?a%26b", "", format!("a&b: {NONE}")),
        ("GET /plain?a=1&b=2&a=3", "", format!("a: {NONE} (and 1 more in details)")),
        ("GET /wanted?m=1", "", "m: unknown parameter; expected n".to_owned()),
        ("POST /once?n=1", "", format!("n: {NONE}")),
        ("DELETE /thing", "idempotency-key: k\r\n", {
            "Idempotency-Key: this call takes none: it would be done again each time".to_owned()
        }),
        ("DELETE /thing?n=1", "idempotency-key: k\r\n", format!("n: {NONE} (and 1 more in details)")),
    ] {
        let answer = call(address, line, headers, "").await;
        answer.is_refused(INVALID.0, INVALID.1, &message);
    }
    assert_eq!(call(address, "HEAD /plain?n=1", "", "").await.status, 400);
    for (line, headers) in [
        ("GET /plain?", ""),
        ("GET /plain?&", ""),
        ("GET /wanted?n=1", ""),
        // A key on what changes nothing does no harm.
        ("GET /plain", "idempotency-key: k\r\n"),
        ("POST /once", "idempotency-key: k\r\n"),
        // A monitor that keeps caches away with a number is no reason to call a server sick.
        ("GET /health?now=1", ""),
        ("HEAD /plain", ""),
    ] {
        assert_eq!(call(address, line, headers, "").await.status, 200, "{line}");
    }
    // Whoever may not make a call does not learn what it takes.
    call(address, "GET /closed?n=1", "", "").await.is_refused(404, "resource_not_found", "closed");
}

#[tokio::test]
async fn who_calls_and_which_host_is_meant_is_said_once() {
    let (address, _tasks) = listen(router(), Limits::default()).await;
    let plain = |headers: &str| format!("GET / HTTP/1.1\r\nconnection: close\r\n{headers}\r\n");
    for (headers, message) in [
        (
            "host: a\r\nauthorization: Bearer x\r\nAuthorization: Bearer y\r\n",
            "Authorization: given more than once",
        ),
        ("host: a\r\nhost: a\r\n", "Host: given more than once"),
        ("", "Host: missing; HTTP/1.1 asks for it"),
        (
            "authorization: Bearer x\r\nauthorization: Bearer x\r\n",
            "Authorization: given more than once (and 1 more in details)",
        ),
    ] {
        let answer = exchange(address, plain(headers)).await.unwrap();
        answer.is_refused(INVALID.0, INVALID.1, message);
    }
    let old = exchange(address, "GET / HTTP/1.0\r\n\r\n").await.unwrap();
    assert_eq!(old.status, 200, "HTTP/1.0 knows no Host");
}

#[tokio::test]
async fn what_cannot_be_read_as_a_request_is_answered_in_the_envelope_too() {
    let (address, _tasks) = listen(router(), Limits::default()).await;
    const NO_HEAD: &str = "head: cannot be read; expected one as HTTP/1.1 has it";
    const TOO_LARGE: &str =
        "request line and headers together may have at most 32768 bytes, and at most 100 headers";
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    for (request, status, code, message) in [
        ("nonsense\r\n\r\n".to_owned(), 400, "request_invalid", NO_HEAD),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), 400, "request_invalid", NO_HEAD),
        ("GET /\u{0} HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), 400, "request_invalid", NO_HEAD),
        (
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1, 2\r\n\r\n".to_owned(),
            400,
            "request_invalid",
            NO_HEAD,
        ),
        (
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".to_owned(),
            400,
            "request_invalid",
            NO_HEAD,
        ),
        (
            "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n".to_owned(),
            400,
            "request_invalid",
            NO_HEAD,
        ),
        (format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n"), 431, "request_header_too_large", TOO_LARGE),
        (
            format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(70_000)),
            431,
            "request_header_too_large",
            TOO_LARGE,
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(3_000_000)),
            431,
            "request_header_too_large",
            TOO_LARGE,
        ),
    ] {
        let what = &request[..request.len().min(60)];
        let answer = exchange(address, &request).await.unwrap_or_else(|| panic!("no answer to {what}"));
        assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
        assert_eq!(answer.header("connection"), Some("close"), "{what}");
        answer.is_refused(status, code, message);
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_after_good_requests_on_the_same_connection_too() {
    let (address, _tasks) = listen(router(), Limits::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for path in ["/", "/nothing", "/plain?x=1"] {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        next_answer(&mut stream).await;
    }
    stream.write_all(b"nonsense\r\n\r\n").await.unwrap();
    let message = "head: cannot be read; expected one as HTTP/1.1 has it";
    next_answer(&mut stream).await.is_refused(INVALID.0, INVALID.1, message);
}

#[tokio::test]
async fn an_answer_of_ours_is_never_taken_for_one_that_is_not() {
    let router = Router::new().route("/bare", get(async || axum::http::StatusCode::BAD_REQUEST));
    let (address, _tasks) = listen(router, Limits::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /bare HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let answer = next_answer(&mut stream).await;
        assert_eq!((answer.status, answer.body.as_str()), (400, ""));
    }
    let both =
        "GET /bare HTTP/1.1\r\nhost: x\r\n\r\nGET /bare HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answers = exchange(address, both).await.unwrap();
    assert!(answers.body.starts_with("HTTP/1.1 400") && answers.body.ends_with("\r\n\r\n"), "{answers:?}");
}
