//! Cursors: where a list goes on, as a text that nobody needs to understand.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// Which list a cursor is of.
pub(super) const EVENTS: u8 = 1;
pub(super) const DELIVERIES: u8 = 2;

/// The form of what is in a cursor.
const FORM: u8 = 1;

/// What is said of a text that is none.
pub(super) const EXPECTED: &str = "expected a cursor as this call gave it";

/// A place in a list, which is written as a cursor.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Cursor<const LIST: u8>(pub(super) i64);

impl<const LIST: u8> TryFrom<String> for Cursor<LIST> {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let read = || -> Option<i64> {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let place = bytes.strip_prefix(&[FORM, LIST])?;
            Some(i64::from_be_bytes(place.try_into().ok()?)).filter(|place| *place >= 0)
        };
        read().map(Cursor).ok_or(EXPECTED)
    }
}

impl<const LIST: u8> fmt::Display for Cursor<LIST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![FORM, LIST];
        bytes.extend(self.0.to_be_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl<const LIST: u8> From<Cursor<LIST>> for String {
    fn from(cursor: Cursor<LIST>) -> String {
        cursor.to_string()
    }
}

impl<const LIST: u8> JsonSchema for Cursor<LIST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Cursor".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}
