//! What a call would pass over without a word is refused: parameters and a body where it takes none, an encoding of a body, and on a
//! write the key under which it is to be done once, where it would be done again.
//!
//! What this module must not do: read what a handler reads.

use axum::extract::Request;
use hookit_contract::ErrorCode;
use http::{HeaderMap, header};
use hyper::body::Body as _;

use crate::Limits;
use crate::body::{is_nothing, read_body};
use crate::faults::{Faults, shortened};
use crate::params::pairs;
use crate::routes::{IDEMPOTENCY_KEY, Operation};

/// What a call takes, or passes over on purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Takes {
    parameters: bool,
    /// An `Idempotency-Key`, also on what changes nothing.
    key: bool,
    body: bool,
    /// Whatever encoding its body is said to be in.
    encoding: bool,
}

impl Takes {
    /// What a call of this description takes.
    pub(crate) fn of(operation: &Operation) -> Self {
        let mut headers = operation.headers.iter();
        Takes {
            parameters: operation.query.is_some(),
            key: operation.method.is_safe()
                || headers.any(|(name, ..)| name.eq_ignore_ascii_case(IDEMPOTENCY_KEY)),
            body: operation.has_a_body(),
            encoding: false,
        }
    }

    /// Whatever comes.
    pub(crate) const ANYTHING: Self = Takes { parameters: true, key: true, body: true, encoding: true };

    /// The request without what it should not have, which is taken down.
    pub(crate) async fn looked_at(self, mut request: Request) -> (Request, Faults) {
        let mut faults = Faults::default();
        if !self.parameters {
            for (name, _) in pairs(request.uri()) {
                faults.add(name, "unknown parameter; this call takes none");
            }
        }
        if !self.key && request.headers().contains_key(IDEMPOTENCY_KEY) {
            faults.add(IDEMPOTENCY_KEY, "this call takes none: it would be done again each time");
        }
        let has_body = !request.body().is_end_stream();
        if has_body && !self.body {
            let body = std::mem::take(request.body_mut());
            let limits = request.extensions().get::<Limits>().copied().unwrap_or_default();
            // Also where it is large, or does not come: it should not be there.
            let read = read_body(body, NOTHING_BYTES_MAX, limits.body_timeout).await;
            faults.unless(read.is_ok_and(|bytes| is_nothing(&bytes)), "body", "this call takes none");
        } else if has_body
            && !self.encoding
            && let Some((name, encoding)) = encoding(request.headers())
        {
            let encoding = shortened(encoding, ENCODING_SHOWN_MAX);
            let message = format!("{encoding:?} is not taken; expected the body as it is");
            faults.add_as(ErrorCode::RequestEncodingUnsupported, name, message);
            request.extensions_mut().insert(Encoded);
        }
        (request, faults)
    }
}

/// Bytes of a body that says nothing.
const NOTHING_BYTES_MAX: usize = 64;

/// Characters of an encoding that are given back.
const ENCODING_SHOWN_MAX: usize = 100;

/// What marks a request whose body cannot be read, because it is in an encoding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoded;

/// The first encoding that a body is said to be in, where it is in one, and the header that says so.
fn encoding(headers: &HeaderMap) -> Option<(&'static str, String)> {
    let said = |name, none: &str| {
        let values =
            headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        let mut codings = values.map(|coding| String::from_utf8_lossy(coding.trim_ascii()).into_owned());
        codings.find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(none))
    };
    let content = said(header::CONTENT_ENCODING, "identity").map(|coding| ("Content-Encoding", coding));
    content.or_else(|| said(header::TRANSFER_ENCODING, "chunked").map(|coding| ("Transfer-Encoding", coding)))
}
