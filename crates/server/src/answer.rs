//! The one form of every answer: `{"request_id": …, "data": …}` or `{"request_id": …, "error": {code, message,
//! details?}}` (CONTRACT.md section 7).
//!
//! A handler gives back an [`Answer`] or an [`ApiError`], neither of which knows the request id; the [`envelope`]
//! layer puts it in, so that no handler can forget it.
//!
//! An answer that may be too large for memory comes in [`Pieces`], each of which is made when the other end has taken those
//! before it. Its length is known before; so where a piece cannot be had the connection ends before the answer does, and nobody
//! takes a part of it for the whole.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{OriginalUri, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use hookit_contract::ErrorCode;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::body::{Body as _, Frame, SizeHint};
use serde::Serialize;
use tracing::{Instrument as _, Span};

use crate::faults::shortened;
use crate::in_flight::{Counted, IN_PIECES_BYTES, InFlight};
use crate::{Fault, RequestId};

/// A good answer: a status and the JSON text of `data`, which is a `T`.
#[derive(Debug)]
pub struct Answer<T> {
    status: StatusCode,
    data: Data,
    /// A handler says `T<'static>` and answers with a `T` that borrows: of the two, a function that takes any is one
    /// that takes a static one.
    shape: PhantomData<fn(T)>,
}

/// The text of `data`: here, or to come.
#[derive(Debug)]
enum Data {
    Whole(Bytes),
    InPieces { bytes: u64, pieces: Body },
}

/// Why the rest of an answer cannot be had.
pub type BrokenOff = Box<dyn std::error::Error + Send + Sync>;

/// A text that is made while it is taken.
pub trait Pieces: Send + 'static {
    /// The next piece; none at the end. Called when there is room for it.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, BrokenOff>> + Send;
}

impl<T: Serialize> Answer<T> {
    /// 200 with a value.
    pub fn ok(data: &T) -> Self {
        Answer::raw(serde_json::to_vec(data).expect("answers have string keys and finite numbers").into())
    }
}

impl<T> Answer<T> {
    /// 200 with JSON text as it is kept, byte for byte. That it is a `T` is the caller's word.
    pub fn raw(data: Bytes) -> Self {
        Answer { status: StatusCode::OK, data: Data::Whole(data), shape: PhantomData }
    }

    /// 200 with JSON text of so many bytes, that a `T` is, in pieces.
    pub fn in_pieces(bytes: u64, pieces: impl Pieces) -> Self {
        let pieces = stream::try_unfold(pieces, |mut pieces| async {
            let piece = pieces.next().await.inspect_err(|error| {
                tracing::warn!(error = %chain(&**error), "the rest of an answer cannot be had; its connection is ended");
            })?;
            Ok::<_, BrokenOff>(piece.map(|piece| (piece, pieces)))
        });
        let data = Data::InPieces { bytes, pieces: Body::from_stream(pieces) };
        Answer { status: StatusCode::OK, data, shape: PhantomData }
    }

    /// 201 instead of 200.
    #[must_use]
    pub fn created(mut self) -> Self {
        self.status = StatusCode::CREATED;
        self
    }

    /// 202 instead of 200.
    #[must_use]
    pub fn accepted(mut self) -> Self {
        self.status = StatusCode::ACCEPTED;
        self
    }
}

/// A refusal: a code of the closed list, and words for whoever sent the request. Nothing internal belongs in it.
#[derive(Clone, Debug)]
pub struct ApiError {
    code: ErrorCode,
    message: String,
    details: Vec<Fault>,
    retry_after_seconds: Option<u32>,
    challenge: &'static str,
}

/// What a 401 asks for where nothing else is said.
const CHALLENGE: &str = "Bearer realm=\"hookit\"";

impl ApiError {
    /// A refusal with its message. Whoever knows which part of the request it is about says so: [`ApiError::about`], or a
    /// [`Fault`]; `request_invalid` says it in any case.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let message = message.into();
        let of_all = || Fault::new("request", message.clone());
        let details = (code == ErrorCode::RequestInvalid).then(of_all).into_iter().collect();
        ApiError { code, message, details, retry_after_seconds: None, challenge: CHALLENGE }
    }

    /// A refusal for what is wrong with one part of the request. The message begins with its path.
    pub fn about(code: ErrorCode, fault: Fault) -> Self {
        ApiError::faulty(code, vec![fault])
    }

    /// A refusal for all of these; there is one at least. The message is about the first.
    pub(crate) fn faulty(code: ErrorCode, faults: Vec<Fault>) -> Self {
        let mut message = match &faults[..] {
            [Fault { path, message }, ..] => format!("{path}: {message}"),
            [] => String::new(),
        };
        if let Some(others @ 1..) = faults.len().checked_sub(1) {
            message.push_str(&format!(" (and {others} more in details)"));
        }
        ApiError { details: faults, ..ApiError::new(code, message) }
    }

    /// No such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        ApiError::new(ErrorCode::ResourceNotFound, message)
    }

    /// Not now; try again in a second.
    pub fn unavailable(message: impl Into<String>) -> Self {
        ApiError::new(ErrorCode::Unavailable, message).with_retry_after(1)
    }

    /// A fault of ours. What it was goes to the log, with the chain of causes; the answer says only that it was.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = %chain(error), "a request failed inside");
        ApiError::new(
            ErrorCode::Internal,
            "something failed on our side; the log has it under this request_id",
        )
    }

    /// Says after how many seconds it is worth trying again.
    #[must_use]
    pub fn with_retry_after(self, seconds: u32) -> Self {
        ApiError { retry_after_seconds: Some(seconds), ..self }
    }

    /// Sets what a 401 asks for in `WWW-Authenticate`, where that is not a Bearer token.
    #[must_use]
    pub fn with_challenge(self, challenge: &'static str) -> Self {
        ApiError { challenge, ..self }
    }

    /// The code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Everything that is wrong with the request, where that is why.
    pub fn details(&self) -> &[Fault] {
        &self.details
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// What the envelope layer finds on a response that wants to be enveloped.
#[derive(Clone, Debug)]
enum Content {
    Data(Bytes),
    /// The response's body is the text, of so many bytes.
    Body(u64),
    Error(ApiError),
}

impl<T> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        match self.data {
            Data::Whole(data) => {
                response.extensions_mut().insert(Content::Data(data));
            }
            Data::InPieces { bytes, pieces } => {
                *response.body_mut() = pieces;
                response.extensions_mut().insert(Content::Body(bytes));
            }
        }
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.http_status()).expect("the list holds HTTP statuses");
        let mut response = status.into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == ErrorCode::RequestEncodingUnsupported {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(self.challenge));
        }
        response.extensions_mut().insert(Content::Error(self));
        response
    }
}

/// What stands before the value, of this name, and [`CLOSE`] behind it.
fn open(request_id: &RequestId, name: &str, further_bytes: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(128 + further_bytes);
    out.put_slice(b"{\"request_id\":\"");
    out.put_slice(request_id.as_str().as_bytes());
    out.put_slice(b"\",\"");
    out.put_slice(name.as_bytes());
    out.put_slice(b"\":");
    out
}

const CLOSE: &[u8] = b"}";

fn wrap_data(request_id: &RequestId, data: &[u8]) -> Bytes {
    let mut out = open(request_id, "data", data.len());
    out.put_slice(data);
    out.put_slice(CLOSE);
    out.freeze()
}

fn wrap_error(request_id: &RequestId, error: &ApiError) -> Bytes {
    #[derive(Serialize)]
    struct ErrorBody<'a> {
        code: ErrorCode,
        message: &'a str,
        #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
        details: &'a [Fault],
    }

    let mut out = open(request_id, "error", 0);
    let body = ErrorBody { code: error.code, message: &error.message, details: &error.details };
    out.put_slice(&serde_json::to_vec(&body).expect("an error is plain text"));
    out.put_slice(CLOSE);
    out.freeze()
}

/// A text that comes in pieces, in the envelope; and how long all of it is.
fn wrap_pieces(request_id: &RequestId, bytes: u64, pieces: Body) -> (u64, Body) {
    let open = open(request_id, "data", 0).freeze();
    let length = open.len() as u64 + bytes + CLOSE.len() as u64;
    let part = |text| stream::iter([Ok::<_, axum::Error>(text)]);
    let all = part(open).chain(pieces.into_data_stream()).chain(part(Bytes::from_static(CLOSE)));
    (length, Body::from_stream(all))
}

/// Takes the refusal out of a response, for whoever shows it in another form than the envelope.
pub fn refusal(response: &mut Response) -> Option<ApiError> {
    match response.extensions_mut().remove::<Content>() {
        Some(Content::Error(error)) => Some(error),
        Some(data) => {
            response.extensions_mut().insert(data);
            None
        }
        None => None,
    }
}

/// The layer around a whole router: gives the request its id, puts answers into the envelope, writes a log line.
pub async fn envelope(mut request: Request, next: Next) -> Response {
    let request_id = RequestId::of(request.headers());
    request.extensions_mut().insert(request_id.clone());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    // Whatever is logged about it has its id, at whatever level.
    let span = tracing::error_span!("request", request_id = request_id.as_str());
    let in_flight = request.extensions().get::<InFlight>().cloned();
    let mut response = next.run(request).instrument(span.clone()).await;
    let share =
        in_flight.map_or(Ok(None), |in_flight| in_flight.share(held_by(&response), !method.is_safe()));
    if share.is_err() {
        response = without_room(response);
    }
    tracing::debug!(
        request_id = request_id.as_str(), %method, path, status = response.status().as_u16(), "answered"
    );
    let response = enveloped(&request_id, span, response);
    match share {
        Ok(Some(share)) => response.map(|body| Body::new(Counted::new(body, share))),
        _ => response,
    }
}

/// Bytes of memory that an answer holds while it is taken; zero where that is bounded otherwise, as for a stream of events.
fn held_by(response: &Response) -> u64 {
    match response.extensions().get::<Content>() {
        Some(Content::Data(data)) => data.len() as u64,
        Some(Content::Body(bytes)) => IN_PIECES_BYTES.min(*bytes),
        Some(Content::Error(_)) => 0,
        None => response.body().size_hint().exact().unwrap_or(0),
    }
}

/// Seconds after which a large answer is worth being asked for again.
const NO_ROOM_RETRY_S: u32 = 5;

/// The refusal in the place of a large answer. What was said of whoever asks stays with it.
fn without_room(large: Response) -> Response {
    let message = "many large answers are being taken at this moment; ask again, or for a smaller page";
    let mut refused = ApiError::unavailable(message).with_retry_after(NO_ROOM_RETRY_S).into_response();
    if large.extensions().get::<Content>().is_some() {
        let said = large.into_parts().0.headers;
        let said = said.into_iter().filter_map(|(name, value)| Some((name?, value)));
        refused.headers_mut().extend(said.filter(|(name, _)| *name != header::CONTENT_LENGTH));
    }
    refused
}

fn enveloped(request_id: &RequestId, span: Span, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Some(content) = parts.extensions.remove::<Content>() else {
        // Of most the whole is here, and nothing is left to do.
        let body = match body.size_hint().exact() {
            Some(_) => body,
            None => Body::new(Within { span, body }),
        };
        return Response::from_parts(parts, body);
    };
    // The empty body that the parts were made with must not leave its length behind.
    parts.headers.remove(header::CONTENT_LENGTH);
    let body = match content {
        Content::Data(data) => Body::from(wrap_data(request_id, &data)),
        Content::Error(error) => Body::from(wrap_error(request_id, &error)),
        Content::Body(bytes) => {
            let (length, body) = wrap_pieces(request_id, bytes, Body::new(Within { span, body }));
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            body
        }
    };
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Response::from_parts(parts, body)
}

/// A body that is made while it is taken, which is work for its request, too.
struct Within {
    span: Span,
    body: Body,
}

impl hyper::body::Body for Within {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Within { span, body } = &mut *self;
        let _within = span.enter();
        Pin::new(body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What is written to whoever speaks HTTP where TLS was expected.
pub(crate) fn without_tls() -> Bytes {
    envelope_alone(Fault::new("connection", "this port speaks TLS alone; expected https").into())
}

/// A refusal as the bytes of a whole answer, for what no router gets to see. The connection ends with it.
pub(crate) fn envelope_alone(refused: ApiError) -> Bytes {
    let request_id = RequestId::of(&HeaderMap::new());
    let status = refused.code().http_status();
    let reason =
        StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
    tracing::debug!(request_id = request_id.as_str(), status, message = refused.message(), "refused unread");
    let body = wrap_error(&request_id, &refused);
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat().into()
}

/// The fallback of a router: no such path.
pub async fn not_found(request: Request) -> ApiError {
    ApiError::not_found(format!("there is nothing at {}", shown(&request)))
}

/// The fallback of a path: not with this method.
pub async fn method_not_allowed(request: Request) -> ApiError {
    // Which methods are is said by the router, in `Allow`.
    let message =
        format!("{} takes no {}; the Allow header says what it takes", shown(&request), request.method());
    ApiError::new(ErrorCode::RequestMethodNotAllowed, message)
}

/// Characters of a path that are given back to whoever asked for it.
const PATH_SHOWN_MAX: usize = 200;

/// The path as it was asked for, also within a part of a router that goes on behind a prefix.
fn shown(request: &Request) -> String {
    let asked =
        request.extensions().get::<OriginalUri>().map_or_else(|| request.uri(), |OriginalUri(uri)| uri);
    shortened(asked.path().to_owned(), PATH_SHOWN_MAX)
}
