//! How a digest is written: lowercase hex is the contract's way, and there are many others.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::Cause;

/// What a signature may stand for, read in one of the ways in which digests are written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) digest: Vec<u8>,
    /// Only the beginning of the digest is there.
    pub(super) cut: bool,
    pub(super) causes: Vec<Cause>,
}

/// What senders of other webhooks write before the digest.
const PREFIXES: [&str; 9] =
    ["hmac-sha256=", "sha256=", "sha1=", "sha512=", "sha256:", "v1=", "v1,", "hmac ", "signature="];

/// Shorter than this, a piece of a digest fits too much to say anything.
const CUT_BYTES_MIN: usize = 6;

/// Lengths of the digests that are told apart, in bytes.
pub(super) const SHA1_LEN: usize = 20;
pub(super) const SHA256_LEN: usize = 32;
pub(super) const SHA384_LEN: usize = 48;
pub(super) const SHA512_LEN: usize = 64;
const LENS: [usize; 4] = [SHA1_LEN, SHA256_LEN, SHA384_LEN, SHA512_LEN];

/// All ways to read a signature, the plainest first; none where it is no digest in any of them.
pub(super) fn readings(signature: &str) -> Vec<Reading> {
    let mut causes = Vec::new();
    let mut text = signature.trim();
    if text.len() != signature.len() {
        causes.push(Cause::SignatureSpaced);
    }
    if let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        causes.push(Cause::SignatureQuoted);
        text = inner;
    }
    let prefix = PREFIXES.into_iter().find(|prefix| {
        text.get(..prefix.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(prefix))
    });
    if let Some(prefix) = prefix {
        causes.push(Cause::SignaturePrefixed(prefix.trim_end().to_owned()));
        text = &text[prefix.len()..];
    }
    let joined: String = text.chars().filter(|c| !matches!(c, '-' | ':' | ' ')).collect();
    let mut found = Vec::new();
    let mut add = |digest: Vec<u8>, cut, cause: Option<Cause>| {
        if cut && digest.len() < CUT_BYTES_MIN || !cut && !LENS.contains(&digest.len()) {
            return;
        }
        let causes = causes.iter().cloned().chain(cause).chain(cut.then_some(Cause::SignatureCut)).collect();
        found.push(Reading { digest, cut, causes });
    };
    if let Some(digest) = hex(text) {
        let upper = text.bytes().any(|byte| byte.is_ascii_uppercase()).then_some(Cause::SignatureUppercase);
        if digest.len() < SHA256_LEN {
            add(digest.clone(), true, upper.clone());
        }
        if let Some(inner) = std::str::from_utf8(&digest).ok().and_then(hex) {
            add(inner, false, Some(Cause::SignatureTwice("hex of the hex text")));
        }
        add(digest, false, upper);
    } else if let Some(digest) = hex(&joined) {
        add(digest, false, Some(Cause::SignatureSeparated));
    }
    if let Some(digest) = base64(text) {
        if let Some(inner) = std::str::from_utf8(&digest).ok().and_then(hex) {
            add(inner, false, Some(Cause::SignatureTwice("base64 of the hex text")));
        }
        add(digest, false, Some(Cause::SignatureBase64));
    }
    found
}

/// The bytes that a text of hex digits stands for.
pub(super) fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0 && !digits.is_empty())?;
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect()
}

/// The bytes that a base64 text stands for, in either alphabet, with or without padding, escaped for a URL or not.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    let text = text.trim_end_matches('=');
    let bytes = STANDARD_NO_PAD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}
