//! An extractor for [axum](https://docs.rs/axum): a handler that takes a [`Webhook`] runs only for what klikit has signed.
//!
//! ```
//! use axum::{Router, extract::FromRef, routing::post};
//! use hookit_contract::{Webhook, WebhookSecrets};
//!
//! async fn receive(webhook: Webhook) -> &'static str {
//!     for order in &webhook.envelope.orders {
//!         // Keep `webhook.delivery_id` and the order in one transaction, and answer when it is on disk.
//!         println!("{:?}", order.record);
//!     }
//!     r#"{"status":"received"}"#
//! }
//!
//! #[derive(Clone, FromRef)]
//! struct App {
//!     secrets: WebhookSecrets,
//! }
//!
//! let app = App { secrets: WebhookSecrets::new(["whsec_of_the_partner"]) };
//! let router: Router = Router::new().route("/webhooks/klikit", post(receive)).with_state(app);
//! ```
//!
//! The body is read as it came, at most [`BODY_BYTES_MAX`] of it, and verified before anything else is done with it. How long a
//! body may take is the server's to say. What is left to the handler is what needs a store: to know a repeated
//! [`Webhook::delivery_id`] also after a restart, and to keep an older state from replacing a newer one
//! ([`RecordState::compare`](crate::RecordState::compare)). Whatever is answered that is no 2xx, or comes later than ten seconds,
//! is sent again.

use std::sync::Arc;

use axum_core::body::Body;
use axum_core::extract::{FromRef, FromRequest, Request};
use axum_core::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::header as klikit;
use crate::{DeliveryId, Envelope, EnvelopeError, EventType, WebhookSecret};

/// Bytes of a body that are read. The platform sends 2 MiB of orders, or one order of up to 4 MiB; another sender's may be
/// larger.
pub const BODY_BYTES_MAX: usize = 10 << 20;

/// The secrets that a webhook may be signed with: one, and while it is rotated the next one too. Clones are cheap.
#[derive(Clone, Debug)]
pub struct WebhookSecrets(Arc<[WebhookSecret]>);

impl WebhookSecrets {
    /// Takes the `webhook_secret_key`s.
    ///
    /// # Panics
    /// Where there is none, or one is empty: anybody could sign.
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Self {
        let keyed = |secret: S| {
            assert!(!secret.as_ref().is_empty(), "a webhook secret is not empty");
            WebhookSecret::new(secret.as_ref())
        };
        let secrets: Arc<[WebhookSecret]> = secrets.into_iter().map(keyed).collect();
        assert!(!secrets.is_empty(), "at least one webhook secret is needed");
        WebhookSecrets(secrets)
    }

    fn verify(&self, body: &[u8], signature: &[u8]) -> bool {
        self.0.iter().any(|secret| secret.verify(body, signature).is_ok())
    }
}

/// A webhook whose signature was right, as it came. Take this one rather than [`Webhook`] to keep also what cannot be read.
#[derive(Clone, Debug)]
pub struct SignedWebhook {
    /// What repeats are known by: see [`DeliveryId::received`].
    pub delivery_id: DeliveryId,
    /// What happened; none for a type that this version does not know, or where the sender did not say. The orders tell
    /// the state in any case.
    pub event_type: Option<EventType>,
    /// The raw body.
    pub body: Bytes,
}

/// A webhook whose signature was right, and its orders. The state of the router has to have [`WebhookSecrets`] in it.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// What repeats are known by: see [`DeliveryId::received`].
    pub delivery_id: DeliveryId,
    /// What happened; none for a type that this version does not know, or where the sender did not say. The orders tell
    /// the state in any case.
    pub event_type: Option<EventType>,
    /// The orders, each as it stood after the change, each read by itself.
    pub envelope: Envelope,
}

/// Why a request is not handed to its handler.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WebhookRejection {
    /// No signature, or one that is none of the secrets': 403. Deliberately says nothing more.
    #[error("the signature is missing or does not match the body")]
    Forbidden,
    /// The body has more than [`BODY_BYTES_MAX`]: 413.
    #[error("the body has more than {BODY_BYTES_MAX} bytes")]
    TooLarge,
    /// The body broke off: 400.
    #[error("the body broke off")]
    BrokeOff,
    /// It is genuine, and there are no orders in it: 400, so that the sender's log has the reason. Only [`Webhook`] says so.
    #[error(transparent)]
    Unreadable(#[from] EnvelopeError),
}

impl IntoResponse for WebhookRejection {
    fn into_response(self) -> Response {
        let (status, word) = match self {
            WebhookRejection::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            WebhookRejection::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            WebhookRejection::BrokeOff => (StatusCode::BAD_REQUEST, "broke-off"),
            WebhookRejection::Unreadable(_) => (StatusCode::BAD_REQUEST, "unreadable"),
        };
        let told = match &self {
            WebhookRejection::Unreadable(error) => {
                serde_json::json!({ "status": word, "message": error.to_string() })
            }
            _ => serde_json::json!({ "status": word }),
        };
        let json = HeaderValue::from_static("application/json");
        (status, [(header::CONTENT_TYPE, json)], told.to_string()).into_response()
    }
}

impl<S> FromRequest<S> for SignedWebhook
where
    S: Send + Sync,
    WebhookSecrets: FromRef<S>,
{
    type Rejection = WebhookRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, WebhookRejection> {
        let (head, body) = request.into_parts();
        // A stranger without a signature need not send its body.
        let signature = head.headers.get(klikit::SIGNATURE).ok_or(WebhookRejection::Forbidden)?;
        let body = read(body).await?;
        if !WebhookSecrets::from_ref(state).verify(&body, signature.as_bytes()) {
            return Err(WebhookRejection::Forbidden);
        }
        let given = |name| head.headers.get(name).map(HeaderValue::as_bytes);
        let (delivery_id, _) = DeliveryId::received(given(klikit::EVENT_ID), &body);
        Ok(SignedWebhook { delivery_id, event_type: event_type(&head.headers), body })
    }
}

impl<S> FromRequest<S> for Webhook
where
    S: Send + Sync,
    WebhookSecrets: FromRef<S>,
{
    type Rejection = WebhookRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, WebhookRejection> {
        let SignedWebhook { delivery_id, event_type, body } =
            SignedWebhook::from_request(request, state).await?;
        Ok(Webhook { delivery_id, event_type, envelope: Envelope::read(&body)? })
    }
}

async fn read(body: Body) -> Result<Bytes, WebhookRejection> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(WebhookRejection::TooLarge),
        Err(_) => Err(WebhookRejection::BrokeOff),
    }
}

fn event_type(headers: &HeaderMap) -> Option<EventType> {
    headers.get(klikit::EVENT_TYPE)?.to_str().ok()?.parse().ok()
}
