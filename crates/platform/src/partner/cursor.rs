//! Cursors: where a list goes on, as a text that nobody needs to understand.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hookit_server::ApiError;

use crate::api::Result;

/// Which list a cursor is of.
#[derive(Clone, Copy)]
pub(super) enum List {
    Events = 1,
    Deliveries = 2,
}

/// The form of what is in a cursor.
const FORM: u8 = 1;

/// A place in a list as a cursor.
pub(super) fn cursor(list: List, place: i64) -> String {
    let mut bytes = vec![FORM, list as u8];
    bytes.extend(place.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place that a cursor says; `name` is the parameter that it came in.
pub(super) fn place(list: List, name: &str, cursor: &str) -> Result<i64> {
    let read = || -> Option<i64> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let place = bytes.strip_prefix(&[FORM, list as u8])?;
        Some(i64::from_be_bytes(place.try_into().ok()?)).filter(|place| *place >= 0)
    };
    read().ok_or_else(|| malformed(name))
}

pub(super) fn malformed(name: &str) -> ApiError {
    ApiError::invalid(format!("{name}: expected a cursor as this call gave it"))
}
