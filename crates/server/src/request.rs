//! What is read off a request's head: its id, ids in its path, its credentials.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, Path};
use hookit_contract::ErrorCode;
use http::request::Parts;
use http::uri::Authority;
use http::{Extensions, HeaderMap, header};
use schemars::json_schema;

use crate::input::{Incoming, Input};
use crate::routes::{IDEMPOTENCY_KEY, Operation};
use crate::{ApiError, Fault, random_hex};

/// A request's id: in every answer and in every log line about it. Taken from `traceparent` where there is a valid
/// one, so that a trace that began elsewhere goes on here.
#[derive(Clone, Debug)]
pub struct RequestId(Arc<str>);

impl RequestId {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let traced = headers.get("traceparent").and_then(|v| v.to_str().ok()).and_then(trace_id);
        RequestId(match traced {
            Some(id) => id.into(),
            None => random_hex("", 16).into(),
        })
    }

    /// 32 lowercase hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The trace id of a W3C `traceparent` header. A version above 00 begins as 00 does, and may have more behind another dash.
fn trace_id(header: &str) -> Option<&str> {
    let mut parts = header.splitn(5, '-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex =
        |text: &str, len| text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let given = |text: &str| text.bytes().any(|b| b != b'0');
    let is_version = match version {
        "00" => parts.next().is_none(),
        // The one that stands for none.
        "ff" => false,
        _ => hex(version, 2),
    };
    let valid = is_version && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    (valid && given(trace) && given(parent)).then_some(trace)
}

/// The one id in a path, an integer above zero.
#[derive(Clone, Copy, Debug)]
pub struct PathId(pub i64);

impl PathId {
    async fn read(parts: &mut Parts) -> Result<Self, Fault> {
        let nothing = || Fault::new("id", "expected an integer above zero in the path");
        let PathText(text) = PathText::read(parts).await.map_err(|_| nothing())?;
        // As it is written in answers, and in no other way: `+7` or `07` would be a second name for 7.
        text.parse().ok().filter(|id: &i64| *id > 0 && id.to_string() == text).map(PathId).ok_or_else(nothing)
    }
}

/// The one id in a path, a text.
#[derive(Clone, Debug)]
pub struct PathText(pub String);

impl PathText {
    async fn read(parts: &mut Parts) -> Result<Self, Fault> {
        let read = Path::from_request_parts(parts, &()).await;
        read.map(|Path(text)| PathText(text)).map_err(|_| Fault::new("id", "not UTF-8 in the path"))
    }
}

/// What cannot be an id is that of nothing.
macro_rules! ids {
    ($($id:ident $schema:expr;)*) => {$(
        impl<S: Send + Sync> Input<S> for $id {
            fn describe(operation: &mut Operation) {
                operation.path_id = Some(|_| $schema);
                operation.refusals.insert(ErrorCode::ResourceNotFound);
            }

            async fn take(incoming: &mut Incoming, _: &S) -> Option<Self> {
                let read = $id::read(incoming.parts()).await;
                let nothing = |Fault { path, message }| {
                    incoming.faults().add_as(ErrorCode::ResourceNotFound, path, message);
                };
                read.map_err(nothing).ok()
            }
        }

        impl<S: Send + Sync> FromRequestParts<S> for $id {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
                let nothing = |fault| ApiError::about(ErrorCode::ResourceNotFound, fault);
                $id::read(parts).await.map_err(nothing)
            }
        }
    )*};
}

ids! {
    PathId json_schema!({"type": "integer", "format": "int64", "minimum": 1});
    PathText json_schema!({"type": "string", "minLength": 1});
}

/// The address that a request came from: of a proxy, where there is one. None without a listener.
pub fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip())
}

/// The token of an `Authorization: Bearer` header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Characters of an `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_MAX: usize = 255;

/// The `Idempotency-Key` of a write, where it has one. That the call takes one is to be said by [`crate::routes::Call::header`].
#[derive(Clone, Debug)]
pub struct OptionalKey(pub Option<String>);

/// The `Idempotency-Key` of a write that has to have one.
#[derive(Clone, Debug)]
pub struct Key(pub String);

impl OptionalKey {
    fn read(headers: &HeaderMap) -> Result<Self, Fault> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else { return Ok(OptionalKey(None)) };
        let text = value.to_str().unwrap_or_default();
        let fits = (1..=IDEMPOTENCY_KEY_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits && values.next().is_none() {
            return Ok(OptionalKey(Some(text.to_owned())));
        }
        let message = format!("expected one key of 1 to {IDEMPOTENCY_KEY_MAX} visible ASCII characters");
        Err(Fault::new(IDEMPOTENCY_KEY, message))
    }
}

impl<S: Send + Sync> Input<S> for OptionalKey {
    fn describe(_: &mut Operation) {}

    async fn take(incoming: &mut Incoming, _: &S) -> Option<Self> {
        let read = OptionalKey::read(&incoming.parts().headers);
        incoming.faults().of(read)
    }
}

impl<S: Send + Sync> Input<S> for Key {
    fn describe(operation: &mut Operation) {
        operation.refusals.insert(ErrorCode::RequestMissingIdempotencyKey);
    }

    async fn take(incoming: &mut Incoming, shared: &S) -> Option<Self> {
        let OptionalKey(key) = OptionalKey::take(incoming, shared).await?;
        if key.is_none() {
            let message = "missing; expected a key of your own that is new for each write";
            incoming.faults().add_as(ErrorCode::RequestMissingIdempotencyKey, IDEMPOTENCY_KEY, message);
        }
        key.map(Key)
    }
}

/// Does a request name this machine by a name that nobody else can give to it: an address of its own, or `localhost`? A page of
/// another site may have its own name point here, and would else read what is meant for this machine alone. What names nothing
/// comes from no browser.
pub fn is_named_locally(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    authority.is_some_and(|authority| {
        let name = authority.host().trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machines_own_names_are_answered_to() {
        let with =
            |host: &'static str| HeaderMap::from_iter([(header::HOST, http::HeaderValue::from_static(host))]);
        for host in ["127.0.0.1:8790", "localhost:8790", "LOCALHOST", "[::1]:8790", "127.0.0.2"] {
            assert!(is_named_locally(&with(host)), "{host}");
        }
        for host in [
            "evil.test:8790",
            "localhost.evil.test",
            "127.0.0.1.evil.test",
            "192.168.1.7:8790",
            "",
            "[::]:8790",
        ] {
            assert!(!is_named_locally(&with(host)), "{host}");
        }
        assert!(is_named_locally(&HeaderMap::new()));
    }

    #[test]
    fn a_valid_traceparent_gives_the_request_id_and_any_other_does_not() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        for good in [
            &format!("00-{id}-00f067aa0ba902b7-01"),
            &format!("01-{id}-00f067aa0ba902b7-01"),
            &format!("fe-{id}-00f067aa0ba902b7-03-what-comes-later"),
        ] {
            assert_eq!(trace_id(good), Some(id), "{good}");
        }
        for bad in [
            "",
            "00",
            &format!("ff-{id}-00f067aa0ba902b7-01"),
            &format!("0-{id}-00f067aa0ba902b7-01"),
            &format!("0A-{id}-00f067aa0ba902b7-01"),
            &format!("01-{id}-00f067aa0ba902b7"),
            &format!("01-{id}-00f067aa0ba902b7-01x"),
            &format!("01-{id}-00f067aa0ba902b7-01.x"),
            &format!("00-{id}-0000000000000000-01"),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            &format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase()),
            &format!("00-{id}-00f067aa0ba902b7-01-x"),
            &format!("00-{id}\"-00f067aa0ba902b7-01"),
        ] {
            assert_eq!(trace_id(bad), None, "{bad}");
        }
        assert_eq!(RequestId::of(&HeaderMap::new()).as_str().len(), 32);
    }
}
