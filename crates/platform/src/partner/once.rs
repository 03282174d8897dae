//! `Idempotency-Key`: under which key a write is asked for, and what it stands for.

use hookit_contract::ErrorCode;
use hookit_server::routes::Call;
use hookit_server::{ApiError, idempotency_key};
use hookit_store::platform::{Once, OnceKey, Partner};
use http::HeaderMap;
use sha2::{Digest as _, Sha256};

use crate::api::Result;

/// Says of a call that it is made under a key.
pub(super) fn keyed<S>(call: Call<S>) -> Call<S> {
    call.header(
        "Idempotency-Key",
        "A key of your own, 1 to 255 visible ASCII characters, new for each write. The same key and body within 24 hours get \
         the first answer again; the same key and anything else get 409.",
        true,
    )
    .refuses(&[
        ErrorCode::RequestMissingIdempotencyKey,
        ErrorCode::RequestInvalid,
        ErrorCode::StateIdempotencyConflict,
    ])
}

/// The key of a write.
pub(super) fn key(headers: &HeaderMap) -> Result<String> {
    idempotency_key(headers)?.ok_or_else(|| {
        ApiError::new(
            ErrorCode::RequestMissingIdempotencyKey,
            "Idempotency-Key: missing; expected a key of your own that is new for each write",
        )
    })
}

/// What a partner's key stands for: this call, about this thing, with this body.
pub(super) fn once_key(partner: &Partner, key: String, call: &str, id: &str, body: &[u8]) -> OnceKey {
    let mut hash = Sha256::new();
    for part in [call.as_bytes(), id.as_bytes(), body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    OnceKey { partner_id: partner.partner_id.clone(), key, request_hash: hash.finalize().into() }
}

/// What became of it, unless the key stands for something else.
pub(super) fn done<T>(once: Once<T>) -> Result<T> {
    match once {
        Once::Done(outcome) => Ok(outcome),
        Once::KeyTaken => Err(ApiError::new(
            ErrorCode::StateIdempotencyConflict,
            "Idempotency-Key: used for another write within the last 24 hours; a new write needs a new key",
        )),
    }
}
