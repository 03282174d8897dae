//! Reading request bodies and query parameters, bounded in bytes and time, with errors that name the field.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use bytes::{Bytes, BytesMut};
use hookit_contract::ErrorCode;
use http::request::Parts;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use serde::de::DeserializeOwned;

use crate::{ApiError, Limits};

/// How much of an over-long body is read and thrown away so that its sender, still writing, gets to read the answer.
const DISCARDED_BYTES_MAX: u64 = 256 << 20;

/// Reads a body of at most `bytes_max` bytes within `timeout`.
///
/// # Errors
/// `request_too_large`, `request_timeout`, or `request_invalid` where the body broke off.
pub async fn read_body(body: Body, bytes_max: usize, timeout: Duration) -> Result<Bytes, ApiError> {
    let too_large =
        || ApiError::new(ErrorCode::RequestTooLarge, format!("body: at most {bytes_max} bytes are taken"));
    let late = || {
        let message = format!("body: did not arrive within {} s", timeout.as_secs_f32());
        ApiError::new(ErrorCode::RequestTimeout, message)
    };
    let reading = tokio::time::timeout(timeout, collect(body, bytes_max));
    match reading.await.map_err(|_| late())? {
        Ok(bytes) => Ok(bytes),
        Err(Failed::TooLarge(body)) => {
            // Whether the rest arrives makes no difference to the answer.
            let _ = tokio::time::timeout(timeout, discard(body)).await;
            Err(too_large())
        }
        Err(Failed::BrokeOff) => Err(ApiError::invalid("body: broke off before its end")),
    }
}

enum Failed {
    TooLarge(Body),
    BrokeOff,
}

async fn collect(mut body: Body, bytes_max: usize) -> Result<Bytes, Failed> {
    let announced = body.size_hint().lower();
    if announced > bytes_max as u64 {
        return Err(Failed::TooLarge(body));
    }
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Failed::BrokeOff)?.into_data() else { continue };
        if first.as_ref().map_or(0, Bytes::len) + rest.len() + data.len() > bytes_max {
            return Err(Failed::TooLarge(body));
        }
        match &first {
            None => first = Some(data),
            Some(head) => {
                if rest.is_empty() {
                    rest.reserve((announced as usize).max(head.len() + data.len()));
                    rest.extend_from_slice(head);
                    first = Some(Bytes::new());
                }
                rest.extend_from_slice(&data);
            }
        }
    }
    Ok(if rest.is_empty() { first.unwrap_or_default() } else { rest.freeze() })
}

async fn discard(mut body: Body) {
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, |data| data.len() as u64);
        if discarded > DISCARDED_BYTES_MAX {
            return;
        }
    }
}

/// A request's body, within the limits that the router carries.
#[derive(Clone, Debug)]
pub struct RawBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let limits = request.extensions().get::<Limits>().copied().unwrap_or_default();
        read_body(request.into_body(), limits.body_bytes_max, limits.body_timeout).await.map(RawBody)
    }
}

/// A request's body as a value. The error names the path of what is wrong in it. Fields that the type does not know
/// are refused where the type says so.
#[derive(Clone, Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let RawBody(bytes) = RawBody::from_request(request, state).await?;
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            let cause = error.into_inner();
            match path.as_str() {
                _ if cause.is_syntax() || cause.is_eof() => {
                    ApiError::invalid(format!("body: not JSON: {cause}"))
                }
                "." => ApiError::invalid(format!("body: {cause}")),
                path => ApiError::invalid(format!("{path}: {cause}")),
            }
        })?;
        reader.end().map_err(|error| ApiError::invalid(format!("body: not JSON: {error}")))?;
        Ok(JsonBody(value))
    }
}

/// A request's query parameters as a value. The error names the parameter.
#[derive(Clone, Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Query(value) = Query::try_from_uri(&parts.uri).map_err(|rejection| {
            let text = rejection.body_text();
            let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            ApiError::invalid(format!("query: {text}"))
        })?;
        Ok(Params(value))
    }
}
