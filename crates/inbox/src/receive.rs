//! `POST /webhooks/klikit`: from the raw bytes to the acknowledgement.
//!
//! Here the answers are not in the APIs' envelope. The published receivers answer small objects with a `status`, and
//! a sender that was tried against them must find the same:
//!
//! | answer | when |
//! |---|---|
//! | 200 `{"status":"received"}` | new, and on disk together with its effect |
//! | 200 `{"status":"duplicate-ignored"}` | received before; nothing changed |
//! | 403 `{"status":"forbidden"}` | the signature is missing, malformed or of none of the secrets; or the address is not allowed |
//! | 401 `{"status":"unauthorized"}` | Basic credentials are required, and these are missing or wrong |
//! | 400, 408, 413 `{"status":<error code>,"message":…}` | the body broke off, came too slowly, or is too large |
//! | 500, 503 likewise | the store failed or has no room: nothing was taken in, and the sender comes again |
//!
//! Whatever is genuine is taken in: an event type that nobody knows, a missing id, a body that cannot be read. Had it
//! been refused, the sender would give up on it after its last attempt, and it would be lost.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody as _};
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hookit_contract::{DeliveryId, ErrorCode, header as klikit};
use hookit_server::routes::{Routes, post};
use hookit_server::{ApiError, Limits, read_body_or_part};
use hookit_store::Error as StoreError;
use hookit_store::inbox::{Receipt, Received, RunCause, Source};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use crate::config::SMALL_BODY_BYTES;
use crate::counters::{RefusalReason, add};
use crate::{Shared, refused};

/// The headers that are kept with a delivery: what it says of itself and where it came from, and no credentials.
const KEPT_HEADERS: [&str; 9] = [
    "content-type",
    "content-encoding",
    "user-agent",
    "date",
    "x-klikit-signature",
    "x-klikit-event-id",
    "x-klikit-event-type",
    "x-request-id",
    "x-forwarded-for",
];

/// Of a header's value so many bytes are kept.
const KEPT_HEADER_BYTES_MAX: usize = 512;

pub(crate) fn routes() -> Routes<Arc<Shared>> {
    Routes::new("Receiving").route(
        "/webhooks/klikit",
        post(receive)
            .lenient()
            .named("receiveWebhook", "Takes a delivery in; the answer comes when it is on disk together with its effect.")
            .details(
                "What is genuine is never refused: an event type that nobody knows, a missing id and a body that cannot be read \
                 are taken in, too. `status` is `received`, or `duplicate-ignored` where the id was here before.",
            )
            .takes::<serde_json::Value>("application/json")
            .header(klikit::SIGNATURE, "HMAC-SHA256 of the raw body, keyed with the secret, in lowercase hex.", true)
            .header(klikit::EVENT_ID, "The delivery's id; what comes again with it changes nothing.", false)
            .header(klikit::EVENT_TYPE, "What happened to the orders.", false)
            .answers::<WebhookAnswer<'_>>("application/json")
            .also::<WebhookAnswer<'_>>(400, "The body broke off.")
            .also::<WebhookAnswer<'_>>(401, "Basic credentials are required, and these are missing or wrong.")
            .also::<WebhookAnswer<'_>>(403, "The signature is missing, or is that of none of the secrets; or nothing is taken from this address.")
            .also::<WebhookAnswer<'_>>(408, "The body did not arrive in time.")
            .also::<WebhookAnswer<'_>>(413, "The body is too large.")
            .also::<WebhookAnswer<'_>>(500, "The store failed. Nothing was taken in; send it again.")
            .also::<WebhookAnswer<'_>>(503, "There is no room at the moment. Nothing was taken in; send it again."),
    )
}

/// What a sender is told.
#[derive(Serialize, JsonSchema)]
struct WebhookAnswer<'a> {
    /// What became of the delivery, or why nothing did.
    status: &'a str,
    /// More about it, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

/// Why a delivery is not taken in, with what its sender is told beyond the reason.
enum Refusal {
    Forbidden(RefusalReason),
    Unauthorized,
    Told(RefusalReason, ApiError),
}

/// Work that is done to its end also where nobody waits for it any more. A sender that hangs up drops what was to answer it; what
/// it sent is on its way to the disk all the same, and counts.
struct ToTheEnd<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> ToTheEnd<T> {
    fn of(work: impl Future<Output = T> + Send + 'static) -> Self {
        ToTheEnd(Some(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for ToTheEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let work = self.0.as_mut().expect("it is not asked again after its end");
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for ToTheEnd<T> {
    fn drop(&mut self) {
        // Without a runtime the process is at its end, and what is counted ends with it.
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

async fn receive(State(inbox): State<Arc<Shared>>, request: Request) -> Response {
    match inbox.take_in(request).await {
        Ok(Receipt::Received { .. }) => answer(StatusCode::OK, "received", None),
        Ok(Receipt::Duplicate) => answer(StatusCode::OK, "duplicate-ignored", None),
        Err(refusal) => inbox.refuse(refusal),
    }
}

impl Shared {
    async fn take_in(self: &Arc<Self>, request: Request) -> Result<Receipt, Refusal> {
        let limits = request.extensions().get::<Limits>().copied().unwrap_or_default();
        let (head, body) = request.into_parts();
        let headers = &head.headers;
        if let Some(sources) = &self.config.sources {
            let peer = head.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
            if !sources.allow(peer, headers) {
                self.remember_unread(headers, body).await;
                return Err(Refusal::Forbidden(RefusalReason::SourceForbidden));
            }
        }
        if let Some(expected) = &self.basic_auth
            && !basic(headers).is_some_and(|given| expected.matches(given))
        {
            self.remember_unread(headers, body).await;
            return Err(Refusal::Unauthorized);
        }
        let (room, body) = self.read(headers, body, limits).await?;
        let secret = self.verify(headers, &body).inspect_err(|_| self.remember_refused(&body))?;
        let (delivery_id, with_id) =
            DeliveryId::received(headers.get(klikit::EVENT_ID).map(|id| id.as_bytes()), &body);
        let event_type = headers
            .get(klikit::EVENT_TYPE)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());

        let received_at = self.clock.now();
        let received = Received {
            delivery_id,
            event_type,
            source: Source::Webhook,
            secret: Some(Arc::clone(&self.secrets[secret].name)),
            headers: worth_keeping(headers),
            body,
            received_at,
        };
        let inbox = Arc::clone(self);
        ToTheEnd::of(async move { inbox.commit(received, secret, with_id, room).await }).await
    }

    /// Commits a delivery, and counts what came of it. `_room` is its room in memory, which it takes until then.
    async fn commit(
        &self,
        received: Received,
        secret: usize,
        with_id: bool,
        _room: OwnedSemaphorePermit,
    ) -> Result<Receipt, Refusal> {
        let (delivery_id, event_type) = (received.delivery_id.clone(), received.event_type.clone());
        let (body, received_at) = (received.body.clone(), received.received_at);
        let receipt = self.store.receive(received).await.inspect_err(|_| self.remember_refused(&body))?;
        self.count(&receipt, with_id);
        let secret = &self.secrets[secret];
        add(&secret.deliveries, 1);
        self.recent.count(received_at);
        let event_type = event_type.as_deref().unwrap_or("");
        let (body_bytes, secret) = (body.len(), &*secret.name);
        match receipt {
            Receipt::Received { applied, stale, quarantined, jumped } => {
                if quarantined > 0 {
                    self.reconciler.ask(RunCause::Quarantine);
                } else if jumped > 0 {
                    self.reconciler.ask(RunCause::VersionJump);
                }
                tracing::debug!(
                    %delivery_id, event_type, body_bytes, secret, applied, stale, quarantined, "received"
                );
                if quarantined > 0 {
                    tracing::warn!(
                        %delivery_id, event_type, quarantined, "a genuine delivery could not be read in full"
                    );
                }
            }
            Receipt::Duplicate => {
                tracing::debug!(%delivery_id, event_type, body_bytes, secret, "repeat ignored");
            }
        }
        Ok(receipt)
    }

    /// Reads the body, within the limits for one and for all together.
    async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        limits: Limits,
    ) -> Result<(OwnedSemaphorePermit, Bytes), Refusal> {
        let bytes_max = self.config.body_bytes_max;
        // Not off the header: beside `Transfer-Encoding` it would say nothing about the body.
        let announced = body.size_hint().exact();
        if announced.is_some_and(|bytes| bytes > bytes_max as u64) && asks_first(headers) {
            // It has not begun to send, and the answer keeps it from doing so. Others are sending already, and what
            // they send is read and thrown away below, or the closing connection would swallow their answer.
            return Err(Refusal::from(too_large(bytes_max)));
        }
        if announced.is_some_and(|bytes| bytes > bytes_max as u64) {
            self.remember_unread(headers, body).await;
            return Err(Refusal::from(too_large(bytes_max)));
        }
        let needed = match announced {
            Some(bytes) if bytes <= SMALL_BODY_BYTES => 0,
            Some(bytes) => bytes,
            None => bytes_max as u64,
        };
        let permits = u32::try_from(needed).expect("the configuration was checked: a body's limit fits");
        let room = tokio::time::timeout(
            limits.body_timeout,
            Arc::clone(&self.body_room).acquire_many_owned(permits),
        )
        .await
        .map_err(|_| {
            let message = "too many large bodies at a time";
            Refusal::Told(RefusalReason::Busy, ApiError::unavailable(message))
        })?
        .expect("the semaphore is never closed");
        let body =
            read_body_or_part(body, bytes_max, limits.body_timeout).await.map_err(|(error, part)| {
                self.remember_refused(&part);
                error
            })?;
        Ok((room, body))
    }

    /// Remembers which orders a delivery is of that is refused unread, where somebody will ask.
    async fn remember_unread(&self, headers: &HeaderMap, body: Body) {
        // Who asks first is not told to go on.
        if self.config.partner_api.is_some() && !asks_first(headers) {
            let beginning = refused::beginning(body).await;
            self.remember_refused(&beginning);
        }
    }

    fn remember_refused(&self, body: &[u8]) {
        if self.config.partner_api.is_some() {
            self.refused.note(body, self.clock.now());
        }
    }

    /// The place of the secret that the body was signed with.
    fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<usize, Refusal> {
        let signature = headers
            .get(klikit::SIGNATURE)
            .ok_or(Refusal::Forbidden(RefusalReason::SignatureMissing))?
            .as_bytes();
        // Inline: hashing a body of the largest size takes milliseconds.
        self.secrets
            .iter()
            .position(|keyed| keyed.secret.verify(body, signature).is_ok())
            .ok_or(Refusal::Forbidden(RefusalReason::SignatureWrong))
    }

    fn count(&self, receipt: &Receipt, with_id: bool) {
        let counters = &self.counters;
        add(&counters.without_id, usize::from(!with_id));
        match *receipt {
            Receipt::Received { applied, stale, quarantined, .. } => {
                add(&counters.received, 1);
                add(&counters.applied, applied);
                add(&counters.stale, stale);
                add(&counters.quarantined, quarantined);
            }
            Receipt::Duplicate => add(&counters.duplicates, 1),
        }
    }

    fn refuse(&self, refusal: Refusal) -> Response {
        let (reason, response) = match refusal {
            Refusal::Forbidden(reason) => (reason, answer(StatusCode::FORBIDDEN, "forbidden", None)),
            Refusal::Unauthorized => {
                let mut response = answer(StatusCode::UNAUTHORIZED, "unauthorized", None);
                let challenge = HeaderValue::from_static("Basic realm=\"hookit inbox\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                (RefusalReason::CredentialsWrong, response)
            }
            Refusal::Told(reason, error) => {
                let status = StatusCode::from_u16(error.code().http_status())
                    .expect("the list of codes holds HTTP statuses");
                let mut response = answer(status, error.code().as_str(), Some(error.message()));
                if status == StatusCode::SERVICE_UNAVAILABLE {
                    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                }
                (reason, response)
            }
        };
        match self.counters.refuse(reason, self.clock.now()) {
            Some(refused) => tracing::warn!(
                reason = reason.as_str(),
                refused,
                "a delivery was refused; more for this reason are told of once a minute"
            ),
            None => tracing::debug!(reason = reason.as_str(), "refused"),
        }
        response
    }
}

impl From<ApiError> for Refusal {
    /// An error in reading a body.
    fn from(error: ApiError) -> Self {
        let reason = match error.code() {
            ErrorCode::RequestTooLarge => RefusalReason::TooLarge,
            ErrorCode::RequestTimeout => RefusalReason::TimedOut,
            _ => RefusalReason::BrokeOff,
        };
        Refusal::Told(reason, error)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => {
                let message = "the inbox has no room for more at the moment";
                Refusal::Told(RefusalReason::Busy, ApiError::unavailable(message))
            }
            error => Refusal::Told(RefusalReason::Failed, ApiError::internal(&error)),
        }
    }
}

fn too_large(bytes_max: usize) -> ApiError {
    ApiError::new(ErrorCode::RequestTooLarge, format!("body: at most {bytes_max} bytes are taken"))
}

/// What is kept of the headers. One given more than once is kept as one, as a proxy would pass it on.
fn worth_keeping(headers: &HeaderMap) -> Vec<(&'static str, String)> {
    let kept = |name: &&'static str| {
        let values: Vec<_> =
            headers.get_all(*name).iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
        let mut value = values.join(", ");
        value.truncate(value.floor_char_boundary(KEPT_HEADER_BYTES_MAX));
        (!values.is_empty()).then_some((*name, value))
    };
    KEPT_HEADERS.iter().filter_map(kept).collect()
}

/// What stands after `Basic` in the `Authorization` header.
fn basic(headers: &HeaderMap) -> Option<&str> {
    let (scheme, credentials) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then(|| credentials.trim())
}

/// True where the sender waits for our word before it sends the body.
fn asks_first(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

fn answer(status: StatusCode, word: &str, message: Option<&str>) -> Response {
    let told = serde_json::to_vec(&WebhookAnswer { status: word, message }).expect("two texts are JSON");
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], told).into_response()
}
