//! Why a signature does not match its body: pure, from what is at hand to the reason, where it can be told.
//!
//! There is one way to make a signature right and there are many well-worn ways to make it wrong. Each is tried: another
//! way to write the digest, another digest, another form of the secret, another form of the body. What reproduces the
//! signature that was given is the reason, beyond doubt; where nothing does, what looks odd is said as a hint and no more.
//!
//! What this module must not do: decide that a signature is good. That is the contract's to say, and only one form is.

mod notation;

use std::collections::BTreeSet;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use hookit_contract::WebhookSecret;
use serde::Serialize;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::workbench::base64 as to_base64;
use crate::workbench::spelling::{self, Spelling};

use notation::{Reading, SHA1_LEN, SHA256_LEN, SHA384_LEN, SHA512_LEN, base64, hex, readings};

/// A larger body is not written anew in each of the ways: that would take too long.
const REWRITTEN_BYTES_MAX: usize = 1 << 20;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// A secret with what to call it.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) name: &'a str,
    pub(crate) key: &'a [u8],
}

/// What is to be said of a signature.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the body's, with the secret of this name.
    Genuine { secret: String },
    /// It does not match, and these together are why. With the secret of this name.
    Explained { secret: String, causes: Vec<Cause> },
    /// It does not match, and nothing that was tried leads to it.
    Unexplained { hints: Vec<Hint> },
}

/// A reason why a signature does not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    SignatureSpaced,
    SignatureQuoted,
    SignaturePrefixed(String),
    SignatureUppercase,
    SignatureSeparated,
    SignatureBase64,
    SignatureTwice(&'static str),
    SignatureCut,
    /// Another digest than SHA-256.
    Algorithm(&'static str),
    /// A hash where an HMAC is expected.
    Unkeyed(&'static str),
    /// Body and secret have changed places.
    Swapped,
    /// Another form of the secret.
    Secret(&'static str),
    /// Another form of the body: what was signed is the body…
    Body(&'static str),
    /// The body's JSON, written in another way.
    Rewritten(String),
}

/// Something that looks odd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    SignatureEmpty,
    SignatureNoDigest,
    BodyEmpty,
    BodyCutOff,
    BodyNoJson(String),
    BodyReplaced,
    SecretOfTheApi(String),
    SecretSpaced(String),
    OtherSecretOrBody,
}

/// A cause or hint, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Said {
    pub(crate) code: &'static str,
    pub(crate) what: String,
    pub(crate) mend: &'static str,
}

const RAW_BODY: &str = "sign and verify the bytes that go over the wire: take the raw body before any parser, logger or editor has touched it";
const LOWERCASE_HEX: &str = "write the 32 bytes of the HMAC as 64 lowercase hex digits and nothing else";
const PLAIN_KEY: &str =
    "use the bytes of the text that klikit issued as the key, all of them and nothing else";

impl Cause {
    /// What is different, and what to do.
    pub(crate) fn said(&self) -> Said {
        let (code, what, mend) = match self {
            Cause::SignatureSpaced => (
                "signature_spaced",
                "the signature has white space around it".to_owned(),
                "trim the header's value where it is made",
            ),
            Cause::SignatureQuoted => {
                ("signature_quoted", "the signature stands in quotes".to_owned(), LOWERCASE_HEX)
            }
            Cause::SignaturePrefixed(prefix) => {
                ("signature_prefixed", format!("the signature begins with {prefix}"), LOWERCASE_HEX)
            }
            Cause::SignatureUppercase => {
                ("signature_uppercase", "the digest is in uppercase hex".to_owned(), LOWERCASE_HEX)
            }
            Cause::SignatureSeparated => (
                "signature_separated",
                "the digest's hex digits are separated by dashes, colons or spaces".to_owned(),
                LOWERCASE_HEX,
            ),
            Cause::SignatureBase64 => (
                "signature_base64",
                "the digest is written in base64 instead of hex".to_owned(),
                LOWERCASE_HEX,
            ),
            Cause::SignatureTwice(how) => {
                ("signature_twice", format!("the digest is encoded twice: {how}"), LOWERCASE_HEX)
            }
            Cause::SignatureCut => {
                ("signature_cut", "only the beginning of the digest is there".to_owned(), LOWERCASE_HEX)
            }
            Cause::Algorithm(name) => (
                "algorithm",
                format!("the digest is an HMAC with {name} instead of SHA-256"),
                "use HMAC-SHA256",
            ),
            Cause::Unkeyed(how) => (
                "no_hmac",
                format!("the digest is a plain SHA-256 of {how} instead of an HMAC"),
                "use HMAC-SHA256 with the secret as its key",
            ),
            Cause::Swapped => (
                "swapped",
                "secret and body have changed places: the body was taken as the key".to_owned(),
                "look up the order of arguments of the HMAC function: the secret is the key, the body is the message",
            ),
            Cause::Secret(how) => ("secret", format!("the secret was used {how}"), PLAIN_KEY),
            Cause::Body(how) => ("body", format!("what was signed is the body {how}"), RAW_BODY),
            Cause::Rewritten(how) => (
                "body_rewritten",
                format!(
                    "what was signed is the body's JSON written in another way: {how}. One of the two was parsed and written again"
                ),
                RAW_BODY,
            ),
        };
        Said { code, what, mend }
    }
}

impl Hint {
    /// What is odd, and what to do.
    pub(crate) fn said(&self) -> Said {
        let (code, what, mend) = match self {
            Hint::SignatureEmpty => (
                "signature_empty",
                "the signature is empty".to_owned(),
                "look whether a proxy takes the header x-klikit-signature away",
            ),
            Hint::SignatureNoDigest => (
                "signature_no_digest",
                "the signature is no digest: neither hex nor base64 of a length that any of the usual ones has".to_owned(),
                LOWERCASE_HEX,
            ),
            Hint::BodyEmpty => (
                "body_empty",
                "the body is empty".to_owned(),
                "something has read the body before: take it first, and only once",
            ),
            Hint::BodyCutOff => (
                "body_cut_off",
                "the body is JSON that ends in the middle".to_owned(),
                "read the body to its end before verifying; look for a size limit on the way",
            ),
            Hint::BodyNoJson(why) => ("body_no_json", format!("the body is no JSON: {why}"), RAW_BODY),
            Hint::BodyReplaced => (
                "body_replaced",
                "the body has the replacement character U+FFFD: bytes of it were lost when it was decoded".to_owned(),
                RAW_BODY,
            ),
            Hint::SecretOfTheApi(name) => (
                "secret_of_the_api",
                format!("the secret of {name} begins with sk_: it is the API's secret_key"),
                "webhooks are signed with the webhook_secret_key, which begins with whsec_",
            ),
            Hint::SecretSpaced(name) => (
                "secret_spaced",
                format!("the secret of {name} has white space in it"),
                PLAIN_KEY,
            ),
            Hint::OtherSecretOrBody => (
                "other_secret_or_body",
                "neither this body nor any usual form of it leads to this signature with these secrets".to_owned(),
                "the secret is another one (another partner's, or from before a rotation), or the body's content was changed",
            ),
        };
        Said { code, what, mend }
    }
}

/// Compares, and where that fails finds out why.
pub(crate) fn diagnose(signature: &[u8], body: &[u8], secrets: &[Candidate<'_>]) -> Verdict {
    for secret in secrets {
        if WebhookSecret::new(secret.key).verify(body, signature).is_ok() {
            return Verdict::Genuine { secret: secret.name.to_owned() };
        }
    }
    let text = String::from_utf8_lossy(signature);
    let search = Search { readings: readings(&text) };
    let explained = secrets.iter().find_map(|secret| Some((secret.name, search.explain(body, secret.key)?)));
    match explained {
        Some((name, causes)) => Verdict::Explained { secret: name.to_owned(), causes },
        None => Verdict::Unexplained { hints: hints(&text, &search, body, secrets) },
    }
}

fn hints(text: &str, search: &Search, body: &[u8], secrets: &[Candidate<'_>]) -> Vec<Hint> {
    let mut hints = Vec::new();
    if text.trim().is_empty() {
        hints.push(Hint::SignatureEmpty);
    } else if search.readings.is_empty() {
        hints.push(Hint::SignatureNoDigest);
    }
    match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
        _ if body.is_empty() => hints.push(Hint::BodyEmpty),
        Err(error) if error.is_eof() => hints.push(Hint::BodyCutOff),
        Err(error) => hints.push(Hint::BodyNoJson(error.to_string())),
        Ok(_) => {}
    }
    if body.windows(3).any(|bytes| bytes == "\u{fffd}".as_bytes()) {
        hints.push(Hint::BodyReplaced);
    }
    for secret in secrets {
        if secret.key.starts_with(b"sk_") {
            hints.push(Hint::SecretOfTheApi(secret.name.to_owned()));
        }
        if secret.key.iter().any(u8::is_ascii_whitespace) {
            hints.push(Hint::SecretSpaced(secret.name.to_owned()));
        }
    }
    if hints.is_empty() {
        hints.push(Hint::OtherSecretOrBody);
    }
    hints
}

/// Looks for what leads to a signature.
struct Search {
    readings: Vec<Reading>,
}

impl Search {
    /// What together leads to the signature; the fewest causes, in the order signature, secret, body.
    fn explain(&self, body: &[u8], secret: &[u8]) -> Option<Vec<Cause>> {
        if self.readings.is_empty() {
            return None;
        }
        let (keys, bodies) = (keys(secret), bodies(body));
        let mut pairs: Vec<_> =
            keys.iter().flat_map(|key| bodies.iter().map(move |body| (key, body))).collect();
        pairs.sort_by_key(|(key, body)| usize::from(key.1.is_some()) + usize::from(body.1.is_some()));
        for ((key, key_cause), (bytes, body_cause)) in pairs {
            if let Some(causes) = self.with_key(key, bytes) {
                return Some(causes.into_iter().chain(key_cause.clone()).chain(body_cause.clone()).collect());
            }
        }
        self.without_key(body, secret).or_else(|| self.rewritten(body, secret))
    }

    /// Whether a digest is the signature in one of its readings.
    fn is(&self, digest: &[u8]) -> Option<Vec<Cause>> {
        let fits = |reading: &&Reading| {
            if reading.cut { digest.starts_with(&reading.digest) } else { digest == reading.digest }
        };
        self.readings.iter().find(fits).map(|reading| reading.causes.clone())
    }

    /// Only digests that a reading's length allows are made.
    fn wants(&self, len: usize) -> bool {
        self.readings.iter().any(|reading| reading.cut || reading.digest.len() == len)
    }

    fn with_key(&self, key: &[u8], body: &[u8]) -> Option<Vec<Cause>> {
        let other =
            |name| move |causes: Vec<Cause>| causes.into_iter().chain([Cause::Algorithm(name)]).collect();
        if self.wants(SHA256_LEN)
            && let Some(causes) = self.is(&hmac::<Hmac<Sha256>>(key, body))
        {
            return Some(causes);
        }
        if self.wants(SHA1_LEN)
            && let Some(causes) = self.is(&hmac::<Hmac<Sha1>>(key, body))
        {
            return Some(causes).map(other("SHA-1"));
        }
        if self.wants(SHA384_LEN)
            && let Some(causes) = self.is(&hmac::<Hmac<Sha384>>(key, body))
        {
            return Some(causes).map(other("SHA-384"));
        }
        if self.wants(SHA512_LEN)
            && let Some(causes) = self.is(&hmac::<Hmac<Sha512>>(key, body))
        {
            return Some(causes).map(other("SHA-512"));
        }
        None
    }

    fn without_key(&self, body: &[u8], secret: &[u8]) -> Option<Vec<Cause>> {
        let sha256 = |parts: &[&[u8]]| {
            parts.iter().fold(Sha256::new(), |digest, part| digest.chain_update(part)).finalize().to_vec()
        };
        for (digest, cause) in [
            (sha256(&[body]), Cause::Unkeyed("the body alone")),
            (sha256(&[secret, body]), Cause::Unkeyed("the secret and the body behind it")),
            (sha256(&[body, secret]), Cause::Unkeyed("the body and the secret behind it")),
            (hmac::<Hmac<Sha256>>(body, secret), Cause::Swapped),
        ] {
            if let Some(causes) = self.is(&digest) {
                return Some(causes.into_iter().chain([cause]).collect());
            }
        }
        None
    }

    fn rewritten(&self, body: &[u8], secret: &[u8]) -> Option<Vec<Cause>> {
        if body.len() > REWRITTEN_BYTES_MAX || !self.wants(SHA256_LEN) {
            return None;
        }
        let node = spelling::parse(body.strip_prefix(BOM).unwrap_or(body))?;
        let keyed = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
        let mut tried = BTreeSet::new();
        for spelling in Spelling::all() {
            let text = spelling::write(&node, spelling);
            let mut mac = keyed.clone();
            mac.update(text.as_bytes());
            let with_line_end = mac.clone().chain_update(b"\n").finalize().into_bytes();
            let digest = mac.finalize().into_bytes();
            if !tried.insert(digest.to_vec()) {
                continue;
            }
            for (digest, line_end) in [(digest, ""), (with_line_end, ", and a line end behind it")] {
                if let Some(causes) = self.is(&digest) {
                    let cause = Cause::Rewritten(format!("{}{line_end}", spelling.words()));
                    return Some(causes.into_iter().chain([cause]).collect());
                }
            }
        }
        None
    }
}

fn hmac<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
    let keyed = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    keyed.chain_update(message).finalize().into_bytes().to_vec()
}

type Form = (Vec<u8>, Option<Cause>);

/// The forms in which a secret comes to be used, the right one first.
fn keys(secret: &[u8]) -> Vec<Form> {
    let mut keys: Vec<Form> = vec![(secret.to_vec(), None)];
    let mut add = |key: Vec<u8>, how| {
        if keys.iter().all(|(known, _)| *known != key) {
            keys.push((key, Some(Cause::Secret(how))));
        }
    };
    let text = String::from_utf8_lossy(secret);
    add(text.trim().into(), "without the white space around it");
    for (end, how) in [
        ("\n", "with a line end behind it"),
        ("\r\n", "with a line end (CR LF) behind it"),
        (" ", "with a space behind it"),
    ] {
        add([secret, end.as_bytes()].concat(), how);
    }
    let text = text.trim();
    for (quote, how) in [('"', "in quotes"), ('\'', "in single quotes")] {
        add(format!("{quote}{text}{quote}").into(), how);
        if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            add(inner.into(), "without the quotes around it");
        }
    }
    let bare = text.strip_prefix("whsec_");
    if let Some(bare) = bare {
        add(bare.into(), "without its prefix whsec_");
    }
    for (text, decoded_hex, decoded_base64) in [
        (Some(text), "decoded from hex to bytes", "decoded from base64 to bytes"),
        (
            bare,
            "without its prefix and decoded from hex to bytes",
            "without its prefix and decoded from base64 to bytes",
        ),
    ] {
        let Some(text) = text else { continue };
        if let Some(bytes) = hex(text) {
            add(bytes, decoded_hex);
        }
        if let Some(bytes) = base64(text) {
            add(bytes, decoded_base64);
        }
    }
    add(to_base64(text.as_bytes()).into(), "in base64");
    add(to_hex(text.as_bytes()).into(), "in hex");
    add(text.to_uppercase().into(), "in uppercase");
    add(text.to_lowercase().into(), "in lowercase");
    add(Vec::new(), "as an empty text: it was not set");
    add(b"undefined".to_vec(), "as the word undefined: it was not set");
    keys
}

/// The forms in which a body comes to be signed, the right one first.
fn bodies(body: &[u8]) -> Vec<Form> {
    let mut bodies: Vec<Form> = vec![(body.to_vec(), None)];
    let mut add = |form: Vec<u8>, how| {
        if bodies.iter().all(|(known, _)| *known != form) {
            bodies.push((form, Some(Cause::Body(how))));
        }
    };
    for (end, with, without) in [
        (&b"\r\n"[..], "with a line end (CR LF) behind it", "without the line end (CR LF) behind it"),
        (b"\n", "with a line end behind it", "without the line end behind it"),
    ] {
        add([body, end].concat(), with);
        if let Some(form) = body.strip_suffix(end) {
            add(form.to_vec(), without);
        }
    }
    add(body.trim_ascii().to_vec(), "without the white space around it");
    add(unix_line_ends(body), "with line ends of LF instead of CR LF");
    add(windows_line_ends(body), "with line ends of CR LF instead of LF");
    match body.strip_prefix(BOM) {
        Some(form) => add(form.to_vec(), "without the byte order mark (BOM) before it"),
        None => add([BOM, body].concat(), "with a byte order mark (BOM) before it"),
    }
    if let Ok(text) = std::str::from_utf8(body) {
        if let Ok(inner) = serde_json::from_str::<String>(text) {
            add(inner.into(), "that stands as a text inside of it: it was encoded as JSON twice");
        }
        add(
            serde_json::to_vec(text).expect("a text can be written as JSON"),
            "as a JSON text: it was encoded as JSON twice",
        );
        let latin: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
        if let Some(form) = latin {
            add(form, "before its UTF-8 was taken for Latin-1 and encoded once more");
        }
        add(text.encode_utf16().flat_map(u16::to_le_bytes).collect(), "in UTF-16 instead of UTF-8");
        add(
            text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            "in UTF-16 (big endian) instead of UTF-8",
        );
    }
    let twice: String = body.iter().map(|byte| char::from(*byte)).collect();
    add(twice.into(), "with its UTF-8 taken for Latin-1 and encoded once more");
    add(to_base64(body).into(), "in base64");
    if let Some(bytes) = std::str::from_utf8(body).ok().and_then(|text| base64(text.trim())) {
        add(bytes, "decoded from base64");
    }
    add(Vec::new(), "as nothing at all: something had read it before it was signed");
    add(b"[object Object]".to_vec(), "as the words [object Object]: it was parsed and not written again");
    add(b"undefined".to_vec(), "as the word undefined: the raw body was not there");
    bodies
}

fn unix_line_ends(body: &[u8]) -> Vec<u8> {
    let mut bytes = body.iter().copied().peekable();
    let mut out = Vec::with_capacity(body.len());
    while let Some(byte) = bytes.next() {
        if byte != b'\r' || bytes.peek() != Some(&b'\n') {
            out.push(byte);
        }
    }
    out
}

fn windows_line_ends(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 64);
    for byte in unix_line_ends(body) {
        if byte == b'\n' {
            out.push(b'\r');
        }
        out.push(byte);
    }
    out
}

fn to_hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a text cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests;
