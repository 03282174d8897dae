//! How libraries write a JSON text that they have read: with which white space, escapes and numbers, and with the keys in
//! which order. A body that was parsed and written again has other bytes, and so another signature.

use std::fmt::Write as _;

use serde_json::value::RawValue;

/// Deeper than this a text is not looked into.
const DEPTH_MAX: usize = 128;

/// A JSON text in lines, every number and text of it as it stands; what is no JSON comes back as it is.
pub(crate) fn pretty(body: &[u8]) -> String {
    let lines = Spelling::laid_out(Layout::Indented("  "));
    parse(body).map_or_else(|| String::from_utf8_lossy(body).into_owned(), |node| write(&node, lines))
}

/// A JSON text in one line, every number and text of it as it stands; what is no JSON comes back as it is.
pub(crate) fn compact(body: &[u8]) -> String {
    let line = Spelling::laid_out(Layout::Compact);
    parse(body).map_or_else(|| String::from_utf8_lossy(body).into_owned(), |node| write(&node, line))
}

/// A JSON text with white space in each of the usual places, with the layout in words; none for what is no JSON.
pub(crate) fn layouts(body: &[u8]) -> Vec<(String, String)> {
    let Some(node) = parse(body) else { return Vec::new() };
    LAYOUTS.map(Spelling::laid_out).map(|spelling| (spelling.words(), write(&node, spelling))).into()
}

/// One way to write a text again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spelling {
    layout: Layout,
    strings: Strings,
    numbers: Numbers,
    keys: Keys,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Compact,
    Spaced,
    Indented(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strings {
    AsTheyStand,
    Unescaped,
    Ascii,
    AsciiAndSlashes,
    Slashes,
    Html,
    DotNet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Numbers {
    AsTheyStand,
    JavaScript,
    Python,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keys {
    AsTheyStand,
    Sorted,
}

const LAYOUTS: [Layout; 5] = [
    Layout::Compact,
    Layout::Spaced,
    Layout::Indented("  "),
    Layout::Indented("    "),
    Layout::Indented("\t"),
];
const STRINGS: [Strings; 7] = [
    Strings::AsTheyStand,
    Strings::Unescaped,
    Strings::Ascii,
    Strings::AsciiAndSlashes,
    Strings::Slashes,
    Strings::Html,
    Strings::DotNet,
];
const NUMBERS: [Numbers; 3] = [Numbers::AsTheyStand, Numbers::JavaScript, Numbers::Python];
const KEYS: [Keys; 2] = [Keys::AsTheyStand, Keys::Sorted];

impl Spelling {
    /// Only the white space is another.
    const fn laid_out(layout: Layout) -> Spelling {
        Spelling {
            layout,
            strings: Strings::AsTheyStand,
            numbers: Numbers::AsTheyStand,
            keys: Keys::AsTheyStand,
        }
    }

    /// All of them; those that change least come first.
    pub(crate) fn all() -> Vec<Spelling> {
        let mut all = Vec::with_capacity(LAYOUTS.len() * STRINGS.len() * NUMBERS.len() * KEYS.len());
        for layout in LAYOUTS {
            for strings in STRINGS {
                for numbers in NUMBERS {
                    all.extend(KEYS.map(|keys| Spelling { layout, strings, numbers, keys }));
                }
            }
        }
        all.sort_by_key(|spelling| {
            usize::from(spelling.layout != Layout::Compact)
                + usize::from(spelling.strings != Strings::AsTheyStand)
                + usize::from(spelling.numbers != Numbers::AsTheyStand)
                + usize::from(spelling.keys != Keys::AsTheyStand)
        });
        all
    }

    /// The spelling in words.
    pub(crate) fn words(self) -> String {
        let mut words = vec![match self.layout {
            Layout::Compact => "no white space",
            Layout::Spaced => "a space after each comma and colon",
            Layout::Indented("\t") => "lines indented by tabs",
            Layout::Indented("    ") => "lines indented by four spaces",
            Layout::Indented(_) => "lines indented by two spaces",
        }];
        words.extend(match self.strings {
            Strings::AsTheyStand => None,
            Strings::Unescaped => Some("nothing escaped that need not be"),
            Strings::Ascii => Some("everything beyond ASCII escaped as \\u…"),
            Strings::AsciiAndSlashes => Some("everything beyond ASCII and each slash escaped"),
            Strings::Slashes => Some("each slash escaped as \\/"),
            Strings::Html => Some("<, > and & escaped as \\u…"),
            Strings::DotNet => Some("everything beyond plain ASCII text escaped as \\u…, in uppercase"),
        });
        words.extend(match self.numbers {
            Numbers::AsTheyStand => None,
            Numbers::JavaScript => Some("numbers as JavaScript writes them"),
            Numbers::Python => Some("numbers as Python writes them"),
        });
        words.extend((self.keys == Keys::Sorted).then_some("keys sorted"));
        words.join(", ")
    }
}

/// A JSON value whose parts still know how they were written.
pub(crate) enum Node<'a> {
    /// A number, true, false, null.
    Word(&'a str),
    Text(Text<'a>),
    List(Vec<Node<'a>>),
    Map(Vec<(Text<'a>, Node<'a>)>),
}

pub(crate) struct Text<'a> {
    raw: &'a str,
    /// None where it is written with half of a surrogate pair.
    plain: Option<String>,
}

/// Reads a JSON text; none where it is not one, or too deep.
pub(crate) fn parse(body: &[u8]) -> Option<Node<'_>> {
    let text: &RawValue = serde_json::from_slice(body).ok()?;
    Reader { text: text.get(), at: 0 }.value(0)
}

/// Reads a text that is known to be JSON.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn value(&mut self, depth: usize) -> Option<Node<'a>> {
        if depth > DEPTH_MAX {
            return None;
        }
        match self.peek()? {
            b'"' => Some(Node::Text(self.string())),
            b'[' => {
                let mut list = Vec::new();
                self.each(b']', |reader| {
                    list.push(reader.value(depth + 1)?);
                    Some(())
                })?;
                Some(Node::List(list))
            }
            b'{' => {
                let mut map = Vec::new();
                self.each(b'}', |reader| {
                    let name = reader.string();
                    reader.peek()?;
                    reader.at += 1;
                    map.push((name, reader.value(depth + 1)?));
                    Some(())
                })?;
                Some(Node::Map(map))
            }
            _ => {
                let rest = &self.text[self.at..];
                let end = rest.find(|c: char| matches!(c, ',' | ']' | '}') || c.is_ascii_whitespace());
                let word = &rest[..end.unwrap_or(rest.len())];
                self.at += word.len();
                Some(Node::Word(word))
            }
        }
    }

    /// Steps over what opens, hands each element to `read`, and steps over what closes.
    fn each(&mut self, close: u8, mut read: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.at += 1;
        while self.peek()? != close {
            read(self)?;
            if self.peek()? == b',' {
                self.at += 1;
                self.peek()?;
            }
        }
        self.at += 1;
        Some(())
    }

    fn string(&mut self) -> Text<'a> {
        let bytes = self.text.as_bytes();
        let mut end = self.at + 1;
        while bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let raw = &self.text[self.at..=end];
        self.at = end + 1;
        Text { raw, plain: serde_json::from_str(raw).ok() }
    }
}

/// Writes a value in one of the spellings.
pub(crate) fn write(node: &Node<'_>, spelling: Spelling) -> String {
    let mut out = String::new();
    Writer { spelling, out: &mut out }.value(node, 0);
    out
}

struct Writer<'a> {
    spelling: Spelling,
    out: &'a mut String,
}

impl Writer<'_> {
    fn value(&mut self, node: &Node<'_>, depth: usize) {
        match node {
            Node::Word(word) => self.word(word),
            Node::Text(text) => self.text(text),
            Node::List(list) => {
                self.out.push('[');
                for (i, node) in list.iter().enumerate() {
                    self.separate(i, depth + 1);
                    self.value(node, depth + 1);
                }
                self.close(']', list.is_empty(), depth);
            }
            Node::Map(map) => {
                let mut fields: Vec<_> = map.iter().collect();
                if self.spelling.keys == Keys::Sorted {
                    fields.sort_by_key(|(name, _)| name.plain.as_deref().unwrap_or(name.raw));
                }
                self.out.push('{');
                for (i, (name, node)) in fields.into_iter().enumerate() {
                    self.separate(i, depth + 1);
                    self.text(name);
                    self.out.push_str(if self.spelling.layout == Layout::Compact { ":" } else { ": " });
                    self.value(node, depth + 1);
                }
                self.close('}', map.is_empty(), depth);
            }
        }
    }

    fn separate(&mut self, index: usize, depth: usize) {
        if index > 0 {
            self.out.push(',');
        }
        match self.spelling.layout {
            Layout::Compact => {}
            Layout::Spaced if index > 0 => self.out.push(' '),
            Layout::Spaced => {}
            Layout::Indented(by) => self.line(by, depth),
        }
    }

    fn close(&mut self, bracket: char, is_empty: bool, depth: usize) {
        if let (Layout::Indented(by), false) = (self.spelling.layout, is_empty) {
            self.line(by, depth);
        }
        self.out.push(bracket);
    }

    fn line(&mut self, by: &str, depth: usize) {
        self.out.push('\n');
        for _ in 0..depth {
            self.out.push_str(by);
        }
    }

    fn word(&mut self, word: &str) {
        let is_integer = word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        match (self.spelling.numbers, word.parse::<f64>()) {
            (Numbers::JavaScript, Ok(number)) => self.out.push_str(&javascript(number)),
            (Numbers::Python, Ok(number)) if !is_integer => self.out.push_str(&python(number)),
            _ => self.out.push_str(word),
        }
    }

    fn text(&mut self, text: &Text<'_>) {
        let strings = self.spelling.strings;
        let (Some(plain), true) = (&text.plain, strings != Strings::AsTheyStand) else {
            self.out.push_str(text.raw);
            return;
        };
        self.out.push('"');
        for c in plain.chars() {
            let escaped = match strings {
                Strings::AsTheyStand | Strings::Unescaped | Strings::Slashes => false,
                Strings::Ascii => c >= '\u{7f}',
                Strings::AsciiAndSlashes => c > '\u{7f}',
                Strings::Html => matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'),
                Strings::DotNet => matches!(c, '<' | '>' | '&' | '\'' | '"' | '+' | '`') || c >= '\u{7f}',
            };
            match c {
                _ if escaped => self.escape(c),
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                '/' if matches!(strings, Strings::Slashes | Strings::AsciiAndSlashes) => {
                    self.out.push_str("\\/");
                }
                c if c < ' ' => self.escape(c),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    fn escape(&mut self, c: char) {
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            // Writing to a text cannot fail.
            let _ = match self.spelling.strings {
                Strings::DotNet => write!(self.out, "\\u{unit:04X}"),
                _ => write!(self.out, "\\u{unit:04x}"),
            };
        }
    }
}

/// A number as JavaScript writes it.
fn javascript(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if (1e-6..1e21).contains(&size) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    if text.contains("e-") { text } else { text.replace('e', "e+") }
}

/// A number that is not written as an integer, as Python writes it.
fn python(number: f64) -> String {
    let text = format!("{number:?}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{}e{sign}{exponent:0>2}", digits.trim_end_matches(".0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "{\"b\": [1.0, 1e2, 7585307, 0.1000, 9007199254740993, true, [], {}],\n \"a\" : \"Gửi \\u0026 </b> 🍜\\t\"}";

    fn check(spelling: Spelling, expected: &str) {
        assert_eq!(write(&parse(TEXT.as_bytes()).unwrap(), spelling), expected);
    }

    #[test]
    fn each_library_has_its_own_way_to_write_what_it_has_read() {
        use {Keys as K, Layout as L, Numbers as N, Strings as S};
        let spelling = |layout, strings, numbers, keys| Spelling { layout, strings, numbers, keys };
        check(
            spelling(L::Compact, S::Unescaped, N::JavaScript, K::AsTheyStand),
            r#"{"b":[1,100,7585307,0.1,9007199254740992,true,[],{}],"a":"Gửi & </b> 🍜\t"}"#,
        );
        check(
            spelling(L::Spaced, S::Ascii, N::Python, K::Sorted),
            r#"{"a": "G\u1eedi & </b> \ud83c\udf5c\t", "b": [1.0, 100.0, 7585307, 0.1, 9007199254740993, true, [], {}]}"#,
        );
        check(
            spelling(L::Compact, S::Html, N::JavaScript, K::Sorted),
            r#"{"a":"Gửi \u0026 \u003c/b\u003e 🍜\t","b":[1,100,7585307,0.1,9007199254740992,true,[],{}]}"#,
        );
        check(
            spelling(L::Compact, S::AsciiAndSlashes, N::AsTheyStand, K::AsTheyStand),
            r#"{"b":[1.0,1e2,7585307,0.1000,9007199254740993,true,[],{}],"a":"G\u1eedi & <\/b> \ud83c\udf5c\t"}"#,
        );
        check(
            spelling(L::Indented("  "), S::AsTheyStand, N::AsTheyStand, K::AsTheyStand),
            "{\n  \"b\": [\n    1.0,\n    1e2,\n    7585307,\n    0.1000,\n    9007199254740993,\n    true,\n    [],\n    {}\n  ],\n  \"a\": \"Gửi \\u0026 </b> 🍜\\t\"\n}",
        );
    }

    #[test]
    fn numbers_are_written_as_the_languages_write_them() {
        for (number, js, py) in [
            (1e21, "1e+21", "1e+21"),
            (1e20, "100000000000000000000", "1e+20"),
            (1.5e-7, "1.5e-7", "1.5e-07"),
            (0.00001, "0.00001", "1e-05"),
            (-0.0, "0", "-0.0"),
            (12.50, "12.5", "12.5"),
        ] {
            assert_eq!((javascript(number).as_str(), python(number).as_str()), (js, py));
        }
    }

    #[test]
    fn what_is_no_json_or_too_deep_is_not_read() {
        for body in [&b"{"[..], b"\xff", b"", &[b'['; 400]] {
            assert!(parse(body).is_none());
        }
        assert!(parse(format!("{}1{}", "[".repeat(300), "]".repeat(300)).as_bytes()).is_none());
        assert!(parse(br#"["\ud800", "\\\"", ""]"#).is_some());
    }
}
