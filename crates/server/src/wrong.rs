//! What is wrong with a value, for whoever sent it: the field first, then what was expected and what kind of value was
//! found.
//!
//! The reader's own texts name Rust types and quote the value. The first says nothing to the sender of a request, the
//! second could put a password into an answer.

use crate::Fault;
use crate::faults;

/// What is said of a field that has to be there.
pub(crate) const MISSING: &str = "missing";

/// What is said of a field that nobody knows, before those that are known.
pub(crate) const UNKNOWN: &str = "unknown field";

/// The same of a parameter.
pub(crate) const UNKNOWN_PARAMETER: &str = "unknown parameter";

/// What is said of a field that is there twice.
pub(crate) const REPEATED: &str = "given more than once";

/// What was found where an integer is larger or smaller than it may be.
pub(crate) const OUT_OF_RANGE: &str = "an integer out of range";

/// Characters of a sender's word that are given back to it.
const QUOTED_MAX: usize = 64;

/// Rewrites what the reader says of the value at this path; `whole` is what is read, for a path to no field in it.
pub(crate) fn in_words(whole: &str, path: &str, cause: &str) -> Fault {
    let path = Some(path).filter(|path| !path.is_empty() && *path != ".");
    let here = path.unwrap_or(whole);
    // The place in the text says less than the path.
    let cause = cause.rsplit_once(" at line ").map_or(cause, |(cause, _)| cause);
    let field = |name: &str| match path {
        // A refused name may stand at the end of the path already.
        Some(path) if path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
        Some(path) => format!("{path}.{name}"),
        None if name.is_empty() => whole.to_owned(),
        None => name.to_owned(),
    };
    if let Some(name) = quoted(cause, "missing field ") {
        return Fault::new(field(name), MISSING);
    }
    if let Some(name) = quoted(cause, "duplicate field ") {
        return Fault::new(field(name), REPEATED);
    }
    if let Some((name, known)) = unknown(cause, "unknown field ") {
        return Fault::new(field(name), format!("{UNKNOWN}; {}", known.replace('`', "")));
    }
    if let Some((word, known)) = unknown(cause, "unknown variant ") {
        let message = format!("{:?} is not known; {}", shortened(word), known.replace('`', ""));
        return Fault::new(here, message);
    }
    if let Some((found, expected)) = mismatch(cause) {
        return Fault::new(here, format!("expected {expected}, found {found}"));
    }
    let message = match cause {
        // A word of a list was expected, and this is no text at all.
        "expected value" => "expected a string",
        "unexpected end of hex escape" | "lone leading surrogate in hex escape" => {
            "a \\u escape of half a character"
        }
        "invalid digit found in string"
        | "cannot parse integer from empty string"
        | "number too large to fit in target type"
        | "number too small to fit in target type" => "expected an integer",
        _ => cause,
    };
    Fault::new(here, message)
}

/// A word that is none of those that are known, in the reader's words.
pub(crate) fn not_known(word: &str, known: &[&str]) -> String {
    format!("{:?} is not known; {}", shortened(word), one_of(known))
}

/// A field that is none of those that are known, in the reader's words.
pub(crate) fn unknown_field(known: &[&str]) -> String {
    format!("{UNKNOWN}; {}", one_of(known))
}

fn one_of(known: &[&str]) -> String {
    match known {
        [] => "there are no fields".to_owned(),
        [one] => format!("expected {one}"),
        [one, other] => format!("expected {one} or {other}"),
        all => format!("expected one of {}", all.join(", ")),
    }
}

/// The word in backticks that is all that follows.
fn quoted<'t>(text: &'t str, before: &str) -> Option<&'t str> {
    text.strip_prefix(before)?.strip_prefix('`')?.strip_suffix('`')
}

/// A refused word and what would have been known. The word is the sender's, and may have anything in it.
fn unknown<'t>(text: &'t str, before: &str) -> Option<(&'t str, &'t str)> {
    let text = text.strip_prefix(before)?.strip_prefix('`')?;
    let end = text.rfind("`, expected ").or_else(|| text.rfind("`, there are no "))?;
    Some((&text[..end], &text[end + 3..]))
}

fn shortened(word: &str) -> String {
    faults::shortened(word.to_owned(), QUOTED_MAX)
}

/// Whether a floating point number, in the reader's words, is what it makes of an integer that is too large for it.
fn is_beyond_integers(found: &str) -> bool {
    let number =
        found.strip_prefix("floating point ").and_then(|number| number.trim_matches('`').parse().ok());
    number.is_some_and(|number: f64| number.abs() >= 2f64.powi(63))
}

/// Whether this is said of something that nobody knows, rather than of something that could not be read.
pub(crate) fn is_of_unknown(message: &str) -> bool {
    message.starts_with(UNKNOWN) || message.starts_with(UNKNOWN_PARAMETER)
}

/// What was found and what was expected, by kind.
fn mismatch(cause: &str) -> Option<(&str, &str)> {
    let kinded = cause.strip_prefix("invalid type: ");
    let (found, expected) =
        kinded.or_else(|| cause.strip_prefix("invalid value: "))?.rsplit_once(", expected ")?;
    let starts = |word: &str| found.starts_with(word);
    let found = match () {
        () if starts("integer") && kinded.is_none() => OUT_OF_RANGE,
        () if starts("integer") => "a number",
        () if is_beyond_integers(found) => OUT_OF_RANGE,
        () if starts("floating point") => "a number that is not written as an integer",
        () if starts("number") => "a number",
        () if starts("string") || starts("character") => "a string",
        () if starts("boolean") => "a boolean",
        () if starts("map") || starts("struct") => "an object",
        () if starts("sequence") => "an array",
        () if starts("null") || starts("unit") || starts("Option") => "null",
        () => "something else",
    };
    let expected = match expected {
        "i64" | "u64" | "i32" | "u32" | "usize" => "an integer",
        "a sequence" => "an array",
        "a map" => "an object",
        expected => expected,
    };
    Some((found, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_comes_first_and_the_value_is_not_repeated() {
        for (path, cause, expect) in [
            (".", "missing field `name` at line 1 column 2", "name: missing"),
            ("brands[0]", "missing field `id` at line 1 column 2", "brands[0].id: missing"),
            ("name", "duplicate field `name` at line 1 column 9", "name: given more than once"),
            (
                "basic_auth.password",
                "invalid type: string \"hush\", expected i64 at line 1 column 2",
                "basic_auth.password: expected an integer, found a string",
            ),
            (
                "basic_auth",
                "invalid type: string \"a, expected b:hush\", expected an object at line 3 column 2",
                "basic_auth: expected an object, found a string",
            ),
            (".", "invalid type: sequence, expected an object", "body: expected an object, found an array"),
            (
                "business_id",
                "invalid type: floating point `1.5`, expected i64 at line 1 column 20",
                "business_id: expected an integer, found a number that is not written as an integer",
            ),
            (
                "business_id",
                "invalid value: integer `18446744073709551615`, expected i64 at line 1 column 20",
                "business_id: expected an integer, found an integer out of range",
            ),
            (
                "business_id",
                "invalid type: floating point `1.8446744073709552e19`, expected i64 at line 1 column 20",
                "business_id: expected an integer, found an integer out of range",
            ),
            (
                "scopes[0]",
                "unknown variant `a`b`, expected one of `x`, `y` at line 1 column 8",
                "scopes[0]: \"a`b\" is not known; expected one of x, y",
            ),
            ("tpyo", "unknown field `tpyo`, expected `a` or `b`", "tpyo: unknown field; expected a or b"),
            (".", "unknown field ``, expected `b`", "body: unknown field; expected b"),
            ("a.tpyo", "unknown field `tpyo`, expected `b`", "a.tpyo: unknown field; expected b"),
            (".", "unknown field `x`, there are no fields", "x: unknown field; there are no fields"),
            ("event_type", "expected value at line 1 column 8", "event_type: expected a string"),
            ("limit", "invalid digit found in string", "limit: expected an integer"),
            ("status", "expected a name or a code", "status: expected a name or a code"),
        ] {
            let Fault { path: named, message } = in_words("body", path, cause);
            assert_eq!(format!("{named}: {message}"), expect, "{path}: {cause}");
        }
    }

    #[test]
    fn a_long_word_of_the_sender_is_not_given_back_whole() {
        let long = "é".repeat(5_000);
        for path in [".", &long, "parts[7]", &format!("parts[7].{long}")] {
            let told = in_words("body", path, &format!("unknown field `{long}`, expected `a`"));
            assert!(told.path.chars().count() <= 101 && told.path.ends_with("é…"), "{told:?}");
        }
    }
}
