//! A writer of JSON text without a value tree in between: the records are a hundred fields each, and benches want
//! tens of thousands of them in a second.
//!
//! It writes what it is told; that the result is one well-formed object is the caller's doing and is tested there.

use std::fmt::{Display, Write as _};

use super::money::Currency;

/// JSON text that grows at its end.
pub(super) struct Json {
    out: Vec<u8>,
    /// Some surfaces post plain ASCII with `\u` escapes; the record has to survive either way.
    ascii_only: bool,
}

impl Json {
    pub(super) fn new(ascii_only: bool) -> Self {
        Json { out: Vec::with_capacity(6 * 1024), ascii_only }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// A comma where one is needed. A finished value never ends in one of the three opening characters, so the last
    /// byte tells.
    fn separate(&mut self) {
        if !matches!(self.out.last(), None | Some(b'{' | b'[' | b':')) {
            self.out.push(b',');
        }
    }

    fn key(&mut self, key: &str) {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn text(&mut self, value: &str) {
        let start = self.out.len();
        serde_json::to_writer(&mut self.out, value).expect("writing text to memory cannot fail");
        if self.ascii_only && !value.is_ascii() {
            let written = String::from_utf8(self.out.split_off(start)).expect("serde_json writes UTF-8");
            let mut units = [0_u16; 2];
            let mut escaped = String::with_capacity(written.len() * 2);
            for c in written.chars() {
                if c.is_ascii() {
                    escaped.push(c);
                    continue;
                }
                for unit in c.encode_utf16(&mut units) {
                    write!(escaped, "\\u{unit:04x}").expect("writing to a String cannot fail");
                }
            }
            self.out.extend_from_slice(escaped.as_bytes());
        }
    }

    /// Opens an object or array: as an element, or as the whole text.
    pub(super) fn open(&mut self, bracket: char) {
        self.separate();
        self.out.push(bracket as u8);
    }

    /// Opens an object or array as the value of `key`.
    pub(super) fn open_at(&mut self, key: &str, bracket: char) {
        self.key(key);
        self.out.push(bracket as u8);
    }

    pub(super) fn close(&mut self, bracket: char) {
        self.out.push(bracket as u8);
    }

    pub(super) fn str(&mut self, key: &str, value: &str) {
        self.key(key);
        self.text(value);
    }

    /// The text of anything printable that needs no escaping: ids and times.
    pub(super) fn plain(&mut self, key: &str, value: impl Display) {
        use std::io::Write as _;
        self.key(key);
        write!(self.out, "\"{value}\"").expect("writing to memory cannot fail");
    }

    pub(super) fn str_or_null(&mut self, key: &str, value: Option<&str>) {
        match value {
            Some(value) => self.str(key, value),
            None => self.raw(key, "null"),
        }
    }

    pub(super) fn int(&mut self, key: &str, value: i64) {
        use std::io::Write as _;
        self.key(key);
        write!(self.out, "{value}").expect("writing to memory cannot fail");
    }

    pub(super) fn bool(&mut self, key: &str, value: bool) {
        self.raw(key, if value { "true" } else { "false" });
    }

    /// A value that is JSON already.
    pub(super) fn raw(&mut self, key: &str, value: &str) {
        self.key(key);
        self.out.extend_from_slice(value.as_bytes());
    }

    /// A small object whose values are JSON already.
    pub(super) fn object(&mut self, key: &str, fields: &[(&str, &str)]) {
        self.open_at(key, '{');
        for (name, value) in fields {
            self.raw(name, value);
        }
        self.close('}');
    }

    /// An element of an array that is JSON already.
    pub(super) fn raw_element(&mut self, value: &str) {
        self.separate();
        self.out.extend_from_slice(value.as_bytes());
    }

    /// An amount and its `_display` twin.
    pub(super) fn money(&mut self, key: &str, amount: i64, currency: Currency) {
        use std::io::Write as _;
        self.int(key, amount);
        self.separate();
        write!(self.out, "\"{key}_display\":\"{}\"", currency.display(amount))
            .expect("writing to memory cannot fail");
    }
}
