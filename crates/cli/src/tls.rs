//! `--tls-cert` and `--tls-key` of both halves.

use std::path::PathBuf;

use hookit_server::Certificate;

use crate::exit::usage;

/// What the addresses begin with that are served.
pub(crate) fn scheme(certificate: Option<&Certificate>) -> &'static str {
    if certificate.is_some() { "https" } else { "http" }
}

#[derive(clap::Args)]
pub(crate) struct TlsArgs {
    /// Speaks TLS with this certificate (PEM, the server's own first); a new one is served once both files have it.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM, without a passphrase).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl TlsArgs {
    /// The certificate to serve; none where there is to be no TLS.
    pub(crate) fn certificate(&self) -> anyhow::Result<Option<Certificate>> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let opened = Certificate::open(certificate, key);
        opened
            .map(Some)
            .map_err(|error| usage(format!("--tls-cert, --tls-key: {:#}", anyhow::Error::from(error))))
    }
}
