//! `Idempotency-Key`: under which key a write is asked for, and what it stands for.
//!
//! A partner's write needs one. A surface's or an operator's change of an order may have one; without, it is done each time that it
//! is asked for.

use hookit_contract::{ErrorCode, TokenId};
use hookit_server::ApiError;
use hookit_server::routes::{Call, IDEMPOTENCY_KEY};
use hookit_store::platform::{Once, OnceKey, OperatorKey, Partner};
use sha2::{Digest as _, Sha256};

use crate::api::Result;

/// What a key does, said of each call that takes one.
const KEY: &str = "A key of your own, 1 to 255 visible ASCII characters, new for each write. The same key and body within 24 hours get \
     the first answer again; the same key and anything else get 409.";

/// Says of a call that it is made under a key.
pub(crate) fn keyed<S>(call: Call<S>) -> Call<S> {
    call.header(IDEMPOTENCY_KEY, KEY, true).refuses(&[ErrorCode::StateIdempotencyConflict])
}

/// Says of a call that it may be made under a key.
pub(crate) fn may_be_keyed<S>(call: Call<S>) -> Call<S> {
    call.header(IDEMPOTENCY_KEY, KEY, false).refuses(&[ErrorCode::StateIdempotencyConflict])
}

/// What a partner's key stands for: this call, about this thing, with this body.
pub(crate) fn once_key(partner: &Partner, key: String, call: &str, id: &str, body: &[u8]) -> OnceKey {
    OnceKey { partner_id: partner.partner_id.clone(), key, request_hash: request_hash(call, id, body) }
}

/// What an operator's key stands for.
pub(crate) fn operator_key(token_id: TokenId, key: String, call: &str, id: &str, body: &[u8]) -> OperatorKey {
    OperatorKey { token_id, key, request_hash: request_hash(call, id, body) }
}

fn request_hash(call: &str, id: &str, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [call.as_bytes(), id.as_bytes(), body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// What became of it, unless the key stands for something else.
pub(crate) fn done<T>(once: Once<T>) -> Result<T> {
    match once {
        Once::Done(outcome) => Ok(outcome),
        Once::KeyTaken => Err(ApiError::new(
            ErrorCode::StateIdempotencyConflict,
            "Idempotency-Key: used for another write within the last 24 hours; a new write needs a new key",
        )),
    }
}
