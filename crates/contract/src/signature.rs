//! The webhook signature: HMAC-SHA256 of the raw body in lowercase hex.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// Length of a signature on the wire, in characters.
pub const SIGNATURE_HEX_LEN: usize = 64;

/// A partner's `webhook_secret_key`, ready to sign with. Shows nothing of itself in `Debug`.
#[derive(Clone)]
pub struct WebhookSecret {
    keyed: Hmac<Sha256>,
}

/// A signature as it stands in `x-klikit-signature`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; SIGNATURE_HEX_LEN]);

/// The signature is not the body's. Deliberately says nothing more.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the signature does not match the body")]
pub struct SignatureMismatch;

impl WebhookSecret {
    /// Takes a secret of any length.
    pub fn new(secret: &[u8]) -> Self {
        WebhookSecret { keyed: Hmac::new_from_slice(secret).expect("HMAC takes keys of any length") }
    }

    /// Signs the raw body.
    pub fn sign(&self, body: &[u8]) -> Signature {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut mac = self.keyed.clone();
        mac.update(body);
        let mut hex = [0; SIGNATURE_HEX_LEN];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(mac.finalize().into_bytes()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Signature(hex)
    }

    /// Compares a signature that came with a body, in constant time for signatures of the right length. Only lowercase
    /// hex matches, as the contract has it.
    ///
    /// # Errors
    /// [`SignatureMismatch`] for anything else.
    pub fn verify(&self, body: &[u8], signature: &[u8]) -> Result<(), SignatureMismatch> {
        if self.sign(body).0.ct_eq(signature).into() { Ok(()) } else { Err(SignatureMismatch) }
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

impl Signature {
    /// The 64 characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hex digits are text")
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Vector {
        name: String,
        webhook_secret_key: String,
        body: String,
        #[serde(rename = "x-klikit-signature")]
        signature: String,
    }

    #[derive(serde::Deserialize)]
    struct Vectors {
        vectors: Vec<Vector>,
    }

    fn vectors() -> Vec<Vector> {
        let text = include_str!("../tests/vectors/signature.json");
        serde_json::from_str::<Vectors>(text).unwrap().vectors
    }

    #[test]
    fn the_published_vectors_are_met_both_ways() {
        let vectors = vectors();
        assert_eq!(vectors.len(), 7);
        for v in &vectors {
            let secret = WebhookSecret::new(v.webhook_secret_key.as_bytes());
            assert_eq!(secret.sign(v.body.as_bytes()).as_str(), v.signature, "{}", v.name);
            assert_eq!(secret.verify(v.body.as_bytes(), v.signature.as_bytes()), Ok(()), "{}", v.name);
        }
    }

    #[test]
    fn one_bit_of_body_secret_or_signature_makes_it_not_match() {
        for v in vectors().into_iter().filter(|v| !v.body.is_empty()) {
            let secret = WebhookSecret::new(v.webhook_secret_key.as_bytes());
            let mut body = v.body.clone().into_bytes();
            for at in [0, body.len() / 2, body.len() - 1] {
                body[at] ^= 1;
                assert!(secret.verify(&body, v.signature.as_bytes()).is_err(), "{} body {at}", v.name);
                body[at] ^= 1;
            }
            for at in 0..SIGNATURE_HEX_LEN {
                let mut signature = v.signature.clone().into_bytes();
                signature[at] ^= 1;
                assert!(secret.verify(&body, &signature).is_err(), "{} signature {at}", v.name);
            }
            let other = WebhookSecret::new(format!("{}x", v.webhook_secret_key).as_bytes());
            assert!(other.verify(&body, v.signature.as_bytes()).is_err(), "{} secret", v.name);
        }
    }

    #[test]
    fn uppercase_truncated_padded_and_prefixed_signatures_do_not_match() {
        let v = &vectors()[0];
        let secret = WebhookSecret::new(v.webhook_secret_key.as_bytes());
        for signature in [
            v.signature.to_uppercase(),
            v.signature[..63].to_owned(),
            format!("{}0", v.signature),
            format!("sha256={}", v.signature),
            format!(" {}", v.signature),
            String::new(),
        ] {
            assert!(secret.verify(v.body.as_bytes(), signature.as_bytes()).is_err(), "{signature:?}");
        }
    }

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        assert_eq!(format!("{:?}", WebhookSecret::new(b"whsec_very_secret")), "WebhookSecret(…)");
    }
}
