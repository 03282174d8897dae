//! Both halves with a certificate of their own: served, renewed while they run, and refused at the start where it is none.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::process::Launch;
use crate::harness::{Scratch, patiently, until};

const NAME: &str = "hookit.test";
const USAGE: i32 = 2;

struct Pair {
    certificate: CertificateDer<'static>,
    pem: String,
    key: String,
}

impl Pair {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![NAME.to_owned()]).unwrap().self_signed(&key).unwrap();
        Pair { pem: certificate.pem(), key: key.serialize_pem(), certificate: certificate.der().clone() }
    }
}

/// Asks over TLS, of whoever shows this certificate and no other, whether it is well; its status.
async fn health(address: SocketAddr, shows: &Pair) -> std::io::Result<u16> {
    let mut roots = RootCertStore::empty();
    roots.add(shows.certificate.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(NAME).unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: hookit.test\r\nconnection: close\r\n\r\n").await?;
    Ok(status(&mut stream).await)
}

async fn status(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> u16 {
    let mut raw = Vec::new();
    let _ = stream.read_to_end(&mut raw).await;
    let text = String::from_utf8_lossy(&raw);
    text.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("no answer: {text}"))
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

fn launch(scratch: &Scratch, half: &'static str, Files { certificate, key }: &Files) -> Launch {
    Launch::hookit(&[half, "serve", "--listen", "127.0.0.1:0"])
        .named(half)
        .argument("--data")
        .argument(scratch.path(&format!("{half}-data")))
        .argument("--tls-cert")
        .argument(certificate)
        .argument("--tls-key")
        .argument(key)
        .variable("KLIKIT_WEBHOOK_SECRET", "whsec_of_the_tests")
}

#[tokio::test]
async fn either_half_speaks_tls_and_takes_a_new_certificate_while_it_runs() {
    for half in ["platform", "inbox"] {
        let scratch = Scratch::new();
        let (first, second) = (Pair::new(), Pair::new());
        let files = Files {
            certificate: scratch.write("cert.pem", &first.pem),
            key: scratch.write("key.pem", &first.key),
        };
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap();
        let mut process = launch(&scratch, half, &files).spawn(&scratch);
        let address = process.listening().await;
        assert!(process.stdout().contains("listening on https://"), "{}", process.stdout());
        // That anybody may read the key is told, and is up to whoever runs it.
        let said = process.stderr();
        assert!(said.contains("chmod 600") && said.contains("644"), "{said}");
        assert_eq!(patiently("an answer", health(address, &first)).await.unwrap(), 200);
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert_eq!(patiently("a refusal", status(&mut plain)).await, 400);

        scratch.write("cert.pem", &second.pem);
        until("word of half a renewal", async || {
            process.stderr().contains("the one before is served on").then_some(())
        })
        .await;
        assert_eq!(patiently("an answer", health(address, &first)).await.unwrap(), 200);
        scratch.write("key.pem", &second.key);
        until("the new certificate", async || health(address, &second).await.ok()).await;
        health(address, &first).await.unwrap_err();
        process.signal("TERM");
        assert_eq!(process.ended().await.code(), Some(0), "{}", process.stderr());
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_served_is_named_at_the_start() {
    let scratch = Scratch::new();
    let (pair, other) = (Pair::new(), Pair::new());
    let [certificate, key, wrong, empty] = [
        ("cert.pem", pair.pem.as_str()),
        ("key.pem", &pair.key),
        ("wrong.pem", &other.key),
        ("empty.pem", ""),
    ]
    .map(|(name, text)| scratch.write(name, text));
    for half in ["platform", "inbox"] {
        for (certificate, key, words) in [
            (&scratch.path("missing.pem"), &key, ["missing.pem", "No such file"]),
            (&certificate, &scratch.path("missing.pem"), ["missing.pem", "No such file"]),
            (&empty, &key, ["empty.pem", "no certificate in it"]),
            (&certificate, &empty, ["empty.pem", "no private key in it"]),
            (&certificate, &wrong, ["cert.pem cannot be served with the key in", "wrong.pem"]),
        ] {
            let files = Files { certificate: certificate.clone(), key: key.clone() };
            let ended = launch(&scratch, half, &files).run(&scratch).await;
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(USAGE), ""), "{}", ended.stderr);
            for word in words.into_iter().chain(["--tls-cert"]) {
                assert!(ended.stderr.contains(word), "expected {word:?} in: {}", ended.stderr);
            }
            assert!(!scratch.path(&format!("{half}-data")).exists(), "nothing was made");
        }
        let alone =
            Launch::hookit(&[half, "serve", "--data", "x", "--tls-cert", "cert.pem"]).run(&scratch).await;
        assert!(alone.code == Some(USAGE) && alone.stderr.contains("--tls-key"), "{}", alone.stderr);
    }
}
