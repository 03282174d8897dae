//! What a call would pass over without a word is refused.
//!
//! What this module must not do: read what a handler reads.

use axum::body::Body;
use axum::extract::{FromRequest as _, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodRouter;
use hookit_contract::ErrorCode;
use http::{HeaderMap, HeaderValue, header};
use hyper::body::Body as _;

use super::{IDEMPOTENCY_KEY, Operation};
use crate::faults::{Faults, shortened};
use crate::params::pairs;
use crate::{ApiError, Fault, Limits, NoBody};

/// Refuses what a call would pass over without a word: parameters and a body, where it takes none, and on a write the key under which
/// it is to be done once, where it would be done again. A body in an encoding would be taken for another one than was meant.
pub(super) fn guarded<S: Clone + Send + Sync + 'static>(
    handler: MethodRouter<S>,
    operation: &Operation,
) -> MethodRouter<S> {
    let takes_parameters = operation.query.is_some();
    let mut headers = operation.headers.iter();
    let takes_key =
        operation.method.is_safe() || headers.any(|(name, ..)| name.eq_ignore_ascii_case(IDEMPOTENCY_KEY));
    let takes_body = operation.has_a_body();
    let refuse = move |request: Request, next: Next| async move {
        let has_body = !request.body().is_end_stream();
        if has_body
            && takes_body
            && let Some(encoding) = encoding(request.headers())
        {
            return Ok::<_, ApiError>(unsupported(&encoding));
        }
        let mut faults = Faults::default();
        if !takes_parameters {
            for (name, _) in pairs(request.uri()) {
                faults.add(name, "unknown parameter; this call takes none");
            }
        }
        if !takes_key && request.headers().contains_key(IDEMPOTENCY_KEY) {
            faults.add(IDEMPOTENCY_KEY, "this call takes none: it would be done again each time");
        }
        let request = match has_body && !takes_body {
            true => faults.of(without_body(request).await),
            false => Some(request),
        };
        let request = faults.none(request)?;
        Ok(next.run(request.expect("what took it away is a fault")).await)
    };
    handler.route_layer(middleware::from_fn(refuse))
}

/// The request without the body that it should not have, where nothing is in it. What else there is of it is not waited for.
async fn without_body(request: Request) -> Result<Request, Fault> {
    let (parts, body) = request.into_parts();
    let mut alone = Request::new(body);
    let limits = parts.extensions.get::<Limits>().copied().unwrap_or_default();
    alone.extensions_mut().insert(Limits { body_bytes_max: NOTHING_BYTES_MAX, ..limits });
    match NoBody::from_request(alone, &()).await {
        Ok(NoBody) => Ok(Request::from_parts(parts, Body::empty())),
        // Also where it is large, or does not come: it should not be there.
        Err(_) => Err(Fault::new("body", "this call takes none")),
    }
}

/// Bytes of a body that says nothing.
const NOTHING_BYTES_MAX: usize = 64;

/// The first encoding that a body is said to be in, where it is in one.
fn encoding(headers: &HeaderMap) -> Option<String> {
    let said = headers.get_all(header::CONTENT_ENCODING).iter();
    let said = said.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let mut said = said.map(|coding| String::from_utf8_lossy(coding.trim_ascii()).into_owned());
    said.find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
}

fn unsupported(encoding: &str) -> Response {
    let encoding = shortened(encoding.to_owned(), 100);
    let fault = Fault::new(
        "Content-Encoding",
        format!(
            "{encoding:?} is not taken; expected the body as it is, without this header or with identity"
        ),
    );
    let refusal = ApiError::from(fault).with_code(ErrorCode::RequestEncodingUnsupported);
    let mut refused = refusal.into_response();
    refused.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    refused
}
