//! The extractor, through a router as a partner has it.

use axum::Router;
use axum::body::Body;
use axum::extract::FromRef;
use axum::routing::post;
use bytes::Bytes;
use hookit_contract::{
    BODY_BYTES_MAX, EventType, SignedWebhook, Webhook, WebhookSecret, WebhookSecrets, header as klikit,
};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

const BODY: &str =
    r#"{"brand_id":663,"branch_id":1062,"orders":[{"id":7,"status":2},{"x":1,"x":2},{"id":8,"new":"ข้าว"}]}"#;

#[derive(Clone, FromRef)]
struct App {
    secrets: WebhookSecrets,
    other: u8,
}

/// Says what it was handed.
async fn receive(webhook: Webhook) -> String {
    let ids = webhook.envelope.orders.iter().map(|order| Some(order.record.as_ref().ok()?.id().ok()??.0));
    let ids: Vec<Option<i64>> = ids.collect();
    format!("{} {:?} {ids:?}", webhook.delivery_id, webhook.event_type)
}

async fn keep(webhook: SignedWebhook) -> Bytes {
    webhook.body
}

async fn answer(path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> (StatusCode, String) {
    let app = App { secrets: WebhookSecrets::new(["whsec_new", "whsec_old"]), other: 0 };
    let router = Router::new().route("/", post(receive)).route("/any", post(keep)).with_state(app.clone());
    assert_eq!(app.other, 0);
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = router.oneshot(request.body(body.into()).expect("a request")).await.expect("an answer");
    if answer.status().is_client_error() {
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
    }
    let status = answer.status();
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

fn signature(secret: &str, body: &[u8]) -> String {
    WebhookSecret::new(secret.as_bytes()).sign(body).as_str().to_owned()
}

#[tokio::test]
async fn what_is_signed_with_any_of_the_secrets_reaches_the_handler_typed() {
    for secret in ["whsec_new", "whsec_old"] {
        let signed = signature(secret, BODY.as_bytes());
        let headers = [
            (klikit::SIGNATURE, signed.as_str()),
            (klikit::EVENT_ID, " evt_1 "),
            (klikit::EVENT_TYPE, EventType::OrderStatusUpdated.as_str()),
        ];
        let expected = "evt_1 Some(OrderStatusUpdated) [Some(7), None, Some(8)]";
        assert_eq!(answer("/", &headers, BODY).await, (StatusCode::OK, expected.to_owned()));
    }
    // Without an id, and of a type that nobody knows, it is genuine all the same.
    let signed = signature("whsec_new", BODY.as_bytes());
    let headers = [(klikit::SIGNATURE, signed.as_str()), (klikit::EVENT_TYPE, "klikit.order.fried")];
    let (status, told) = answer("/", &headers, BODY).await;
    assert_eq!(status, StatusCode::OK);
    assert!(told.starts_with("sha256:") && told.ends_with(" None [Some(7), None, Some(8)]"), "{told}");
}

#[tokio::test]
async fn what_is_not_signed_is_forbidden_and_told_nothing_more() {
    let forbidden = (StatusCode::FORBIDDEN, r#"{"status":"forbidden"}"#.to_owned());
    let right = signature("whsec_new", BODY.as_bytes());
    let wrong = [
        signature("whsec_other", BODY.as_bytes()),
        signature("whsec_new", BODY.trim_end_matches('}').as_bytes()),
        right.to_uppercase(),
        format!("sha256={right}"),
        right[1..].to_owned(),
        String::new(),
    ];
    for signature in &wrong {
        assert_eq!(answer("/", &[(klikit::SIGNATURE, signature)], BODY).await, forbidden, "{signature}");
    }
    assert_eq!(answer("/", &[], BODY).await, forbidden);
}

#[tokio::test]
async fn what_is_genuine_and_no_envelope_is_said_or_kept_as_one_likes() {
    let body = r#"{"brand_id":663,"orders":{}}"#;
    let signed = signature("whsec_new", body.as_bytes());
    let headers = [(klikit::SIGNATURE, signed.as_str())];
    let told =
        r#"{"message":"orders: expected an array of order records, found an object","status":"unreadable"}"#;
    assert_eq!(answer("/", &headers, body).await, (StatusCode::BAD_REQUEST, told.to_owned()));
    assert_eq!(answer("/any", &headers, body).await, (StatusCode::OK, body.to_owned()));
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit() {
    for (bytes, expected) in
        [(BODY_BYTES_MAX, StatusCode::OK), (BODY_BYTES_MAX + 1, StatusCode::PAYLOAD_TOO_LARGE)]
    {
        let body = vec![b' '; bytes];
        let signed = signature("whsec_new", &body);
        assert_eq!(answer("/any", &[(klikit::SIGNATURE, &signed)], body).await.0, expected);
    }
    let broken = Body::new(Broken);
    let (status, told) = answer("/any", &[(klikit::SIGNATURE, "x")], broken).await;
    assert_eq!((status, told.as_str()), (StatusCode::BAD_REQUEST, r#"{"status":"broke-off"}"#));
}

/// A body that breaks off at once.
struct Broken;

impl hyper::body::Body for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, std::io::Error>>> {
        std::task::Poll::Ready(Some(Err(std::io::Error::other("gone"))))
    }
}

#[test]
#[should_panic(expected = "at least one")]
fn there_is_no_receiver_without_a_secret() {
    let _ = WebhookSecrets::new(Vec::<String>::new());
}

#[test]
#[should_panic(expected = "not empty")]
fn there_is_no_receiver_with_an_empty_secret() {
    let _ = WebhookSecrets::new([""]);
}

#[test]
fn secrets_do_not_print_themselves() {
    assert!(!format!("{:?}", WebhookSecrets::new(["whsec_hush"])).contains("hush"));
}
