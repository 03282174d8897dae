//! What is kept of secrets: a keyed hash of what only has to be recognised, ciphertext of what has to be used.
//!
//! Both keys are derived from one master key, which lies in a private file beside the database and not in it, so that
//! a copy of the database alone gives nothing away.

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use hookit_server::{PrivateFileError, private_file, random_hex};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

const NONCE_LEN: usize = 24;
const KEY_LEN: usize = 32;

/// Hashes and encrypts with the keys of one data folder.
#[derive(Clone)]
pub struct Vault {
    cipher: XChaCha20Poly1305,
    hash: Hmac<Sha256>,
    /// Secrets that were compared with a hash.
    #[cfg(test)]
    pub(crate) comparisons: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(…)")
    }
}

/// Why the key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The file holds no key.
    #[error("{path} does not hold a key; expected {} hex digits", 2 * KEY_LEN)]
    NoKey {
        /// The file.
        path: std::path::PathBuf,
    },
}

impl Vault {
    /// Reads the master key from this file; makes one where there is none.
    ///
    /// # Errors
    /// [`VaultError`]
    pub fn open(path: &Path) -> Result<Vault, VaultError> {
        let text = private_file(path, || random_hex("", KEY_LEN))?;
        let key = decode_hex(text.expose()).ok_or_else(|| VaultError::NoKey { path: path.to_owned() })?;
        Ok(Vault::new(&key))
    }

    pub(crate) fn new(master: &[u8; KEY_LEN]) -> Vault {
        let derive = |purpose: &[u8]| {
            let mut mac = Hmac::<Sha256>::new_from_slice(master).expect("HMAC takes keys of any length");
            mac.update(purpose);
            Zeroizing::new(<[u8; KEY_LEN]>::from(mac.finalize().into_bytes()))
        };
        let cipher_key = derive(b"hookit: secrets at rest, 1");
        let hash_key = derive(b"hookit: credential hashes, 1");
        Vault {
            cipher: XChaCha20Poly1305::new_from_slice(&*cipher_key).expect("the key has the cipher's length"),
            hash: Hmac::new_from_slice(&*hash_key).expect("HMAC takes keys of any length"),
            #[cfg(test)]
            comparisons: std::sync::Arc::default(),
        }
    }

    /// The hash to keep of a credential's secret.
    pub(crate) fn hash(&self, secret: &str) -> Bytes {
        let mut mac = self.hash.clone();
        mac.update(secret.as_bytes());
        Bytes::copy_from_slice(&mac.finalize().into_bytes())
    }

    /// Says in constant time whether a secret is the one whose hash is kept.
    pub(crate) fn is_hash_of(&self, hash: &[u8], secret: &str) -> bool {
        #[cfg(test)]
        self.comparisons.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.hash(secret).as_ref().ct_eq(hash).into()
    }

    /// Encrypts. The place is bound into the ciphertext, so that it cannot be moved to another row.
    pub(crate) fn seal(&self, place: &str, secret: &str) -> Bytes {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).expect("the operating system gives random bytes");
        let payload = Payload { msg: secret.as_bytes(), aad: place.as_bytes() };
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a secret is far below the cipher's limit");
        let mut out = nonce.to_vec();
        out.extend_from_slice(&sealed);
        out.into()
    }

    /// Decrypts what was sealed for this place; none where it was not, or not with this key.
    pub(crate) fn open_sealed(&self, place: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        self.cipher.decrypt(&XNonce::from(*nonce), payload).ok().map(Zeroizing::new)
    }
}

fn decode_hex(text: &str) -> Option<Zeroizing<[u8; KEY_LEN]>> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    if text.len() != 2 * KEY_LEN || !text.is_ascii() {
        return None;
    }
    for (byte, at) in key.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_with_its_key_in_its_place_and_whole() {
        let vault = Vault::new(&[7; KEY_LEN]);
        let sealed = vault.seal("partner a", "whsec_1");
        assert!(!sealed.windows(7).any(|w| w == b"whsec_1"));
        assert_eq!(vault.open_sealed("partner a", &sealed).unwrap().as_slice(), b"whsec_1");
        assert!(vault.open_sealed("partner b", &sealed).is_none());
        assert!(Vault::new(&[8; KEY_LEN]).open_sealed("partner a", &sealed).is_none());
        let mut bent = sealed.to_vec();
        bent[30] ^= 1;
        assert!(vault.open_sealed("partner a", &bent).is_none());
        assert!(vault.open_sealed("partner a", &sealed[..10]).is_none());
        assert_ne!(vault.seal("partner a", "whsec_1"), sealed, "each sealing has a nonce of its own");
    }

    #[test]
    fn a_hash_recognises_its_secret_and_depends_on_the_key() {
        let vault = Vault::new(&[7; KEY_LEN]);
        let hash = vault.hash("sk_1");
        assert!(vault.is_hash_of(&hash, "sk_1"));
        assert!(!vault.is_hash_of(&hash, "sk_2") && !vault.is_hash_of(&hash[..31], "sk_1"));
        assert_ne!(Vault::new(&[8; KEY_LEN]).hash("sk_1"), hash);
    }

    #[test]
    fn the_key_file_is_made_private_kept_and_checked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("platform.key");
        let hash = Vault::open(&path).unwrap().hash("x");
        assert_eq!(Vault::open(&path).unwrap().hash("x"), hash);
        std::fs::write(&path, "not a key").unwrap();
        assert!(matches!(Vault::open(&path), Err(VaultError::NoKey { .. })));
    }
}
