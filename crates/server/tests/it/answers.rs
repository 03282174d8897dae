//! The envelope around every answer.

use std::collections::BTreeSet;

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use hookit_contract::ErrorCode;
use hookit_server::{Answer, ApiError, BrokenOff, Fault, Limits, PathId, PathText, Pieces};
use serde_json::json;

use crate::client::{call, exchange, listen};

/// Pieces of three bytes; there is no fourth.
struct Counting {
    next: usize,
    last: usize,
}

impl Pieces for Counting {
    async fn next(&mut self) -> Result<Option<Bytes>, BrokenOff> {
        let n = self.next;
        self.next += 1;
        // What was made before is on its way meanwhile.
        tokio::task::yield_now().await;
        match n {
            n if n > self.last => Ok(None),
            4 => Err("there is no fourth".into()),
            n => Ok(Some(format!(" {n} ").into())),
        }
    }
}

fn router() -> Router {
    Router::new()
        .route("/data", get(async || Answer::<()>::raw(Bytes::from_static(b"{\"n\": 1E+2}"))))
        .route("/pieces", get(async || Answer::<()>::in_pieces(9, Counting { next: 1, last: 3 })))
        .route("/breaks", get(async || Answer::<()>::in_pieces(15, Counting { next: 1, last: 5 })))
        .route("/made", post(async || Answer::ok(&"made").created()))
        .route("/plain", get(async || "as it is"))
        .route("/busy", get(async || ApiError::unavailable("later")))
        .route("/details", get(async || ApiError::from(Fault::new("a", "wrong"))))
        .route("/invalid", get(async || ApiError::new(ErrorCode::RequestInvalid, "wrong somehow")))
        .route("/token", get(async || ApiError::new(ErrorCode::AuthMissing, "no token")))
        .route(
            "/pair",
            get(async || {
                ApiError::new(ErrorCode::AuthMissing, "no pair").with_challenge("Basic realm=\"x\"")
            }),
        )
        .route("/forbidden", get(async || ApiError::new(ErrorCode::AuthForbidden, "no")))
        .route("/inside", get(async || ApiError::internal(&std::io::Error::other("disk at /srv/private"))))
        .route("/things/{id}", get(async |PathId(id): PathId| Answer::ok(&id)))
        .route("/words/{id}", get(async |PathText(id): PathText| Answer::ok(&id)))
}

#[tokio::test]
async fn data_and_errors_are_in_the_envelope_with_the_requests_id() {
    let (address, _tasks) = listen(router(), Limits::default()).await;
    let answer = call(address, "GET /data", "", "").await;
    let id = answer.json()["request_id"].as_str().unwrap().to_owned();
    assert_eq!(answer.body, format!("{{\"request_id\":\"{id}\",\"data\":{{\"n\": 1E+2}}}}"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(call(address, "POST /made", "", "").await.status, 201);
    let plain = call(address, "GET /plain", "", "").await;
    assert_eq!((plain.status, plain.body.as_str()), (200, "as it is"));

    let busy = call(address, "GET /busy", "", "").await;
    busy.is_refused(503, "unavailable", "later");
    assert_eq!(busy.header("retry-after"), Some("1"));
    assert_eq!(
        call(address, "GET /details", "", "").await.json()["error"]["details"],
        json!([{"path": "a", "message": "wrong"}])
    );
    // It says with what in any case.
    let invalid = call(address, "GET /invalid", "", "").await;
    invalid.is_refused(400, "request_invalid", "wrong somehow");
    assert_eq!(invalid.json()["error"]["details"], json!([{"path": "request", "message": "wrong somehow"}]));
    let inside = call(address, "GET /inside", "", "").await;
    inside.is_refused(500, "internal", "something failed on our side; the log has it under this request_id");
}

#[tokio::test]
async fn an_answer_in_pieces_says_its_length_before_and_breaks_off_where_one_cannot_be_had() {
    let (address, _tasks) = listen(router(), Limits::default()).await;
    let answer = call(address, "GET /pieces", "", "").await;
    let (head, rest) = answer.body.split_at("{\"request_id\":\"".len() + 32);
    assert!(head.starts_with("{\"request_id\":\""), "{head}");
    assert_eq!(rest, "\",\"data\": 1  2  3 }");
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let asked = call(address, "HEAD /pieces", "", "").await;
    assert_eq!((asked.header("content-length"), asked.body.as_str()), (answer.header("content-length"), ""));

    let broken = call(address, "GET /breaks", "", "").await;
    let length: usize = broken.header("content-length").unwrap().parse().unwrap();
    assert!(broken.body.ends_with("\"data\": 1  2  3 ") && broken.body.len() < length, "{}", broken.body);
}

#[tokio::test]
async fn a_401_says_what_is_asked_for_and_nothing_else_does() {
    let (address, _tasks) = listen(router(), Limits::default()).await;
    for (path, challenge) in [
        ("/token", Some("bearer realm=\"hookit\"")),
        ("/pair", Some("basic realm=\"x\"")),
        ("/forbidden", None),
    ] {
        let answer = call(address, &format!("GET {path}"), "", "").await;
        assert_eq!(answer.header("www-authenticate"), challenge, "{path}");
    }
}

#[tokio::test]
async fn the_request_id_is_the_callers_trace_or_a_new_one() {
    let (address, _tasks) = listen(router(), Limits::default()).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let id = async |headers: String| {
        let answer = call(address, "GET /data", &headers, "").await;
        answer.json()["request_id"].as_str().unwrap().to_owned()
    };
    assert_eq!(id(format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n")).await, trace);
    assert_eq!(id(format!("traceparent: 02-{trace}-00f067aa0ba902b7-01-later\r\n")).await, trace);
    let mut ids = BTreeSet::from([trace.to_owned()]);
    for headers in [
        "".to_owned(),
        "".to_owned(),
        format!("traceparent: 00-{trace}\r\n"),
        format!("traceparent: ff-{trace}-00f067aa0ba902b7-01\r\n"),
        "traceparent: \"x\"\r\n".into(),
    ] {
        let id = id(headers).await;
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert!(ids.insert(id), "an id was given twice");
    }
}

#[tokio::test]
async fn an_unknown_path_is_404_and_an_unknown_method_405_with_the_known_ones() {
    let (address, _tasks) = listen(router(), Limits::default()).await;
    call(address, "GET /nothing?x=1", "", "").await.is_refused(
        404,
        "resource_not_found",
        "there is nothing at /nothing",
    );
    for line in ["DELETE /made", "PATCH /made", "OPTIONS /made", "BREW /made"] {
        let answer = call(address, line, "", "").await;
        let method = line.split(' ').next().unwrap();
        let message = format!("/made takes no {method}; the Allow header says what it takes");
        answer.is_refused(405, "request_method_not_allowed", &message);
        assert_eq!(answer.header("allow"), Some("post"));
    }
    let head = call(address, "HEAD /data", "", "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn a_path_that_is_none_of_ours_in_form_is_refused_and_the_listener_goes_on() {
    let (address, _tasks) = listen(router(), Limits::default()).await;
    for line in
        ["OPTIONS *", "CONNECT server.test:80", "GET http://other.test/nothing", "GET //", "GET /%ff%00"]
    {
        let answer = call(address, line, "", "").await;
        assert!(answer.status == 404 || answer.status == 405, "{line}: {answer:?}");
        assert!(answer.json()["error"]["code"].is_string(), "{line}: {answer:?}");
    }
    for garbage in
        ["\x16\x03\x01\r\n\r\n", "GET\r\n\r\n", "GET /data HTTP/9.9\r\n\r\n", "\r\n\r\n\r\n \r\n\r\n"]
    {
        let answer = exchange(address, garbage).await;
        assert!(answer.is_none_or(|answer| answer.status == 400), "{garbage:?}");
    }
    assert_eq!(call(address, "GET /data", "", "").await.status, 200);
}

#[tokio::test]
async fn an_id_in_a_path_is_digits_or_text_and_nothing_else() {
    let (address, _tasks) = listen(router(), Limits::default()).await;
    assert_eq!(call(address, "GET /things/9223372036854775807", "", "").await.json()["data"], i64::MAX);
    for bad in ["0", "-1", "+1", "01", "1.0", "x", "%31x", "9223372036854775808", "%ff"] {
        let answer = call(address, &format!("GET /things/{bad}"), "", "").await;
        answer.is_refused(404, "resource_not_found", "id: expected an integer above zero in the path");
    }
    assert_eq!(call(address, "GET /words/%C3%A9%20x", "", "").await.json()["data"], "é x");
    call(address, "GET /words/%ff", "", "").await.is_refused(
        404,
        "resource_not_found",
        "id: not UTF-8 in the path",
    );
}
