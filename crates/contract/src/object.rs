//! A JSON object as the text that it is, with an index of where its top-level fields stand.
//!
//! serde_json checks the grammar and finds the ends of values; nothing is turned into values, so nothing can be lost:
//! not a digit, not an escape, not the order of keys, not white space.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Where one field stands in the text. Offsets in bytes; a text over 4 GiB is refused long before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// The key without its quotes, escapes as written.
    pub(crate) key: Range<u32>,
    /// The value, without white space around it.
    pub(crate) value: Range<u32>,
    /// Whether the key is written with escapes, so that its bytes alone do not say what it is.
    pub(crate) is_escaped: bool,
}

/// A part of a text that is known to be UTF-8 as a whole; only this part is looked at again.
pub(crate) fn slice<'t>(text: &'t [u8], range: &Range<u32>) -> &'t str {
    std::str::from_utf8(&text[range.start as usize..range.end as usize])
        .expect("keys and values of a text begin and end between characters")
}

impl Field {
    /// True where the key, its escapes resolved, is `name`.
    pub(crate) fn is_named(&self, text: &[u8], name: &str) -> bool {
        if !self.is_escaped {
            return text[self.key.start as usize..self.key.end as usize] == *name.as_bytes();
        }
        serde_json::from_slice::<String>(self.quoted_key(text)).is_ok_and(|key| key == name)
    }

    /// The key as it is written, with its quotes.
    pub(crate) fn quoted_key<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        &text[self.key.start as usize - 1..self.key.end as usize + 1]
    }
}

/// Reads the top-level fields of an object, in their order, repeated keys included.
///
/// # Errors
/// serde_json's, with line and column, where the text is not exactly one JSON object.
pub(crate) fn index(text: &str) -> Result<Vec<Field>, serde_json::Error> {
    struct Index<'t>(&'t str);

    impl<'t> Visitor<'t> for Index<'t> {
        type Value = Vec<Field>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Vec<Field>, A::Error> {
            // `&RawValue`s borrow from the text, so a difference of addresses is an offset into it.
            let offset = |part: &str| (part.as_ptr().addr() - self.0.as_ptr().addr()) as u32;
            let mut fields = Vec::with_capacity(128);
            while let Some((key, value)) = map.next_entry::<&'t RawValue, &'t RawValue>()? {
                let (key, value) = (key.get(), value.get());
                let (k, v) = (offset(key), offset(value));
                fields.push(Field {
                    key: k + 1..k + key.len() as u32 - 1,
                    value: v..v + value.len() as u32,
                    is_escaped: key.contains('\\'),
                });
            }
            Ok(fields)
        }
    }

    let mut reader = serde_json::Deserializer::from_str(text);
    let fields = reader.deserialize_map(Index(text))?;
    reader.end()?;
    Ok(fields)
}

/// What kind of JSON value a text begins, in words, for messages.
pub(crate) fn kind(value: &str) -> &'static str {
    match value.trim_start().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        Some(b'-' | b'0'..=b'9') => "a number",
        Some(_) => "no JSON",
        None => "nothing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_where_they_stand_with_escapes_and_repeats() {
        let text = " { \"a\" : 1E+2 ,\"st\\u0061tus\":\t[ 1, {\"status\":3} ] , \"a\":null}\n";
        let fields = index(text).unwrap();
        let found: Vec<_> = fields
            .iter()
            .map(|f| (slice(text.as_bytes(), &f.key), slice(text.as_bytes(), &f.value)))
            .collect();
        assert_eq!(found, [("a", "1E+2"), ("st\\u0061tus", "[ 1, {\"status\":3} ]"), ("a", "null")]);
        assert!(fields[1].is_named(text.as_bytes(), "status"));
        assert!(!fields[0].is_named(text.as_bytes(), "status"));
    }

    #[test]
    fn what_is_not_exactly_one_object_is_refused() {
        for text in
            ["", "[]", "1", "{", "{}{}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{\"a\":01}", "\u{feff}{}"]
        {
            assert!(index(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn deep_nesting_and_lone_surrogates_are_no_trouble() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
        assert_eq!(index(&deep).unwrap().len(), 1);
        let text = "{\"\\ud800\":\"\\udfff\",\"b\":2}";
        let fields = index(text).unwrap();
        assert!(!fields[0].is_named(text.as_bytes(), "b") && fields[1].is_named(text.as_bytes(), "b"));
    }
}
