//! TLS for the listener: a certificate from files that may change while it is served.
//!
//! A certificate that was renewed is found by looking at the files every few seconds, and is shown to connections from then
//! on; those that are there go on. Files that make no pair keep the one that is served: a renewal may be seen when only one of
//! the two has been written.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use zeroize::Zeroizing;

use crate::answer;

/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The first byte of whatever speaks TLS.
const HANDSHAKE: u8 = 22;

/// What is read of a request without TLS so that its sender reads the refusal, and for how long.
const PLAIN_BYTES_MAX: u64 = 64 << 10;
const PLAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no certificate in the file.
    #[error(
        "{path}: no certificate in it; expected PEM, the server's own first and then those that lead to the root"
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// There is no key in the file.
    #[error("{path}: no private key in it; expected PEM, without a passphrase")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The two do not do together.
    #[error("{certificate} cannot be served with the key in {key}")]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// A certificate with its key, as its files had them when they were last in order.
#[derive(Clone, Debug)]
pub struct Certificate(Arc<Shared>);

struct Shared {
    certificate: PathBuf,
    key: PathBuf,
    served: Mutex<Arc<ServerConfig>>,
    /// What was last found in the files, whether it could be served or not; none where they could not be read.
    seen: Mutex<Option<Files>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// What the two files hold.
#[derive(PartialEq)]
struct Files {
    certificate: Zeroizing<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
}

impl Files {
    fn read(certificate: &Path, key: &Path) -> Result<Files, CertificateError> {
        let read = |path: &Path| {
            let failed = |source| CertificateError::File { path: path.to_owned(), source };
            std::fs::read(path).map(Zeroizing::new).map_err(failed)
        };
        Ok(Files { certificate: read(certificate)?, key: read(key)? })
    }
}

impl Certificate {
    /// Reads both files. Where others may read the key, that is told in the log.
    ///
    /// # Errors
    /// [`CertificateError`]
    pub fn open(certificate: &Path, key: &Path) -> Result<Certificate, CertificateError> {
        let files = Files::read(certificate, key)?;
        let served = config(certificate, key, &files)?;
        warn_of_readers(key);
        Ok(Certificate(Arc::new(Shared {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            served: Mutex::new(served),
            seen: Mutex::new(Some(files)),
        })))
    }

    fn served(&self) -> Arc<ServerConfig> {
        self.0.served.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the files for as long as it is polled.
    pub(crate) async fn follow_files(self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let certificate = self.clone();
            let looked = tokio::task::spawn_blocking(move || certificate.look()).await;
            looked.expect("reading two files does not panic");
        }
    }

    /// Serves what the files have, where that is something new.
    fn look(&self) {
        let Shared { certificate, key, served, seen } = &*self.0;
        let read = Files::read(certificate, key);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.as_ref() == read.as_ref().ok() {
            return;
        }
        let (found, read) = match read {
            Ok(files) => (config(certificate, key, &files), Some(files)),
            Err(error) => (Err(error), None),
        };
        match found {
            Ok(config) => {
                *served.lock().unwrap_or_else(PoisonError::into_inner) = config;
                tracing::info!(certificate = %certificate.display(), "a new certificate is served");
                warn_of_readers(key);
            }
            Err(error) => tracing::warn!(
                error = %answer::chain(&error),
                "the files of the certificate changed and cannot be served; the one before is served on"
            ),
        }
        *seen = read;
    }

    /// Makes a connection one with TLS. None where it is none: whoever came without TLS has been told so.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first != [HANDSHAKE] {
            refuse_plain(stream).await?;
            return Ok(None);
        }
        TlsAcceptor::from(self.served()).accept(stream).await.map(Some)
    }
}

/// Answers a request that came without TLS, as well as that can be done, since nobody knows what it was.
async fn refuse_plain(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(&answer::without_tls()).await?;
    stream.shutdown().await?;
    // What was not read would reset the connection, and the answer with it.
    let mut rest = stream.take(PLAIN_BYTES_MAX);
    let mut nowhere = tokio::io::sink();
    let discarded = tokio::io::copy(&mut rest, &mut nowhere);
    let _ = tokio::time::timeout(PLAIN_TIMEOUT, discarded).await;
    Ok(())
}

fn config(certificate: &Path, key: &Path, files: &Files) -> Result<Arc<ServerConfig>, CertificateError> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(&files.certificate).collect::<Result<_, _>>().unwrap_or_default();
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate { path: certificate.to_owned() });
    }
    let private = PrivateKeyDer::from_pem_slice(&files.key)
        .map_err(|_| CertificateError::NoKey { path: key.to_owned() })?;
    let unusable = |source| CertificateError::Unusable {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn warn_of_readers(key: &Path) {
    let mode = std::fs::metadata(key).map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        tracing::warn!(
            key = %key.display(), mode = format!("{mode:o}"),
            "others than its owner may read or change the private key; chmod 600 keeps it to the owner"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["server.test".to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn what_is_served_changes_once_both_files_have_it_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let ((first, first_key), (second, second_key)) = (pair(), pair());
        fs::write(&certificate, first).unwrap();
        fs::write(&key, first_key).unwrap();
        let served = Certificate::open(&certificate, &key).unwrap();
        let at_first = served.served();
        let is_first = |served: &Certificate| {
            served.look();
            Arc::ptr_eq(&served.served(), &at_first)
        };
        assert!(is_first(&served), "nothing has changed");
        fs::write(&certificate, &second).unwrap();
        assert!(is_first(&served), "its key is not there yet");
        fs::remove_file(&key).unwrap();
        assert!(is_first(&served), "a key that is gone");
        fs::write(&key, "").unwrap();
        assert!(is_first(&served), "half of a file");
        fs::write(&key, second_key).unwrap();
        assert!(!is_first(&served), "both are there");
        let at_second = served.served();
        served.look();
        assert!(Arc::ptr_eq(&served.served(), &at_second), "they have not changed since");
    }
}
