//! A JSON object as the text that it is, with an index of where its top-level fields stand.
//!
//! serde_json checks the grammar and finds the ends of values; nothing is turned into values, so nothing can be lost:
//! not a digit, not an escape, not the order of keys, not white space.

use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
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

/// Of a text so many bytes for each of its fields, about: room for all of them is made at once.
const BYTES_PER_FIELD: usize = 24;

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
    let mut reader = serde_json::Deserializer::from_str(text);
    let fields = reader.deserialize_map(Index { text, start: Some(0) })?;
    reader.end()?;
    Ok(fields.0)
}

/// Reads an object's fields from where a reader of `text` stands. What they are counted from is either known or the
/// object's own brace.
#[derive(Clone, Copy)]
pub(crate) struct Index<'t> {
    pub(crate) text: &'t str,
    pub(crate) start: Option<u32>,
}

impl<'t> Index<'t> {
    /// Where a part of the text stands in it: `&RawValue`s borrow from it, so a difference of addresses is an offset.
    pub(crate) fn offset(&self, part: &str) -> u32 {
        (part.as_ptr().addr() - self.text.as_ptr().addr()) as u32
    }
}

/// Fields, and where the object begins that they were counted from; nothing where it has none and nobody knew.
pub(crate) type Indexed = (Vec<Field>, Option<u32>);

impl<'t> Visitor<'t> for Index<'t> {
    type Value = Indexed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Indexed, A::Error> {
        let mut start = self.start;
        let mut fields = Vec::with_capacity((self.text.len() / BYTES_PER_FIELD).clamp(4, 128));
        while let Some((key, value)) = map.next_entry::<&'t RawValue, &'t RawValue>()? {
            let (key, value) = (key.get(), value.get());
            let from = *start.get_or_insert_with(|| brace_before(self.text, self.offset(key)));
            let (k, v) = (self.offset(key) - from, self.offset(value) - from);
            fields.push(Field {
                key: k + 1..k + key.len() as u32 - 1,
                value: v..v + value.len() as u32,
                is_escaped: key.contains('\\'),
            });
        }
        Ok((fields, start))
    }
}

impl<'t> DeserializeSeed<'t> for Index<'t> {
    type Value = Indexed;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Indexed, D::Error> {
        deserializer.deserialize_map(self)
    }
}

/// Where the brace stands that an object's first key comes after.
fn brace_before(text: &str, key: u32) -> u32 {
    let before = text.as_bytes()[..key as usize].trim_ascii_end();
    before.len() as u32 - 1
}

/// Levels of arrays and objects within each other that are taken: of a record, and of any other JSON that is posted to us. A
/// record of a hundred fields has a dozen. With the envelope and the lists around it a record stays below what JSON readers
/// take where nobody has told them otherwise, of which the strictest stop at a hundred.
pub const DEPTH_MAX: usize = 64;

/// Is nothing in this text nested deeper than [`DEPTH_MAX`]? Asked before it is read, so that no reader runs out of stack. Of
/// what is no JSON it may say either.
pub fn depth_fits(text: &[u8]) -> bool {
    // The two differ in one bit. Most texts do not have so many of them, be they within strings or not, and counting is cheap.
    let opens = |byte: &&u8| **byte | 0x20 == b'{';
    if text.iter().filter(opens).count() <= DEPTH_MAX {
        return true;
    }
    let (mut depth, mut in_string) = (0, false);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => drop(bytes.next()),
            _ if in_string => {}
            b'{' | b'[' if depth == DEPTH_MAX => return false,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
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
    fn levels_are_counted_where_they_are_levels() {
        let nested = |depth: usize| format!("{}1{}", "[{\"a\":".repeat(depth / 2), "}]".repeat(depth / 2));
        let quoted = format!("[\"{}\\\"{}\"]", "[{".repeat(500), "[\\\\".repeat(500));
        for (text, expect) in [
            (nested(DEPTH_MAX), true),
            (nested(DEPTH_MAX + 2), false),
            (nested(1_000_000), false),
            ("[".repeat(DEPTH_MAX + 1), false),
            ("[],".repeat(10_000), true),
            (quoted, true),
            // What a string closes closes nothing.
            (format!("{}\"{}\"{}", "[".repeat(40), "]".repeat(40), "[".repeat(40)), false),
        ] {
            assert_eq!(depth_fits(text.as_bytes()), expect, "{}", &text[..text.len().min(80)]);
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
