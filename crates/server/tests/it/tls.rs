//! A listener with TLS: whom it talks to, how long it waits, and which certificate it shows.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use hookit_server::{Answer as Given, Certificate, Limits};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::{Answer, call, listen_with, patiently};

const NAME: &str = "server.test";

/// A certificate and its key in files of their own.
struct Pair {
    certificate: CertificateDer<'static>,
    pem: (String, String),
}

impl Pair {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![NAME.to_owned()]).unwrap().self_signed(&key).unwrap();
        Pair { pem: (certificate.pem(), key.serialize_pem()), certificate: certificate.der().clone() }
    }

    fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        fs::write(&certificate, &self.pem.0).unwrap();
        fs::write(&key, &self.pem.1).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        (certificate, key)
    }
}

/// A connection to whoever shows this certificate and no other.
async fn connect(address: SocketAddr, to: &Pair) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(to.certificate.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(NAME).unwrap(), stream).await
}

async fn get_on(stream: &mut TlsStream<TcpStream>) -> Answer {
    let request = "GET / HTTP/1.1\r\nhost: server.test\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut raw = Vec::new();
    let _ = stream.read_to_end(&mut raw).await;
    Answer::read(&raw).expect("an answer")
}

fn router() -> Router {
    Router::new().route("/", get(async || Given::ok(&"here")))
}

#[tokio::test]
async fn requests_are_answered_over_tls_as_http_1() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new();
    let (certificate, key) = pair.write(folder.path());
    let certificate = Certificate::open(&certificate, &key).unwrap();
    let (address, _tasks) = listen_with(Some(certificate), router(), Limits::default()).await;
    let mut stream = patiently(connect(address, &pair)).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let answer = patiently(get_on(&mut stream)).await;
    assert_eq!((answer.status, &answer.json()["data"]), (200, &"here".into()));
    // What cannot be read is answered in the envelope here, too.
    let mut stream = patiently(connect(address, &pair)).await.unwrap();
    stream.write_all(b"nonsense\r\n\r\n").await.unwrap();
    let mut raw = Vec::new();
    let _ = patiently(stream.read_to_end(&mut raw)).await;
    let message = "head: cannot be read; expected one as HTTP/1.1 has it";
    Answer::read(&raw).expect("an answer").is_refused(400, "request_invalid", message);
    // Another name's, or another's altogether, is the client's to refuse, and ends nothing here.
    patiently(connect(address, &Pair::new())).await.unwrap_err();
    patiently(connect(address, &pair)).await.unwrap();
}

#[tokio::test]
async fn whoever_comes_without_tls_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = Pair::new().write(folder.path());
    let certificate = Certificate::open(&certificate, &key).unwrap();
    let (address, _tasks) = listen_with(Some(certificate), router(), Limits::default()).await;
    let answer = call(address, "POST /", "", "x".repeat(10_000)).await;
    answer.is_refused(400, "request_invalid", "connection: this port speaks TLS alone; expected https");
}

#[tokio::test]
async fn who_dawdles_over_the_handshake_holds_up_nobody_else_and_loses_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new();
    let (certificate, key) = pair.write(folder.path());
    let certificate = Certificate::open(&certificate, &key).unwrap();
    let limits =
        Limits { connections_max: 3, handshake_timeout: Duration::from_millis(200), ..Limits::default() };
    let (address, _tasks) = listen_with(Some(certificate), router(), limits).await;
    // One says nothing at all, the other begins and stops in the middle.
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut begun = TcpStream::connect(address).await.unwrap();
    begun.write_all(&[22, 3, 1]).await.unwrap();
    let mut stream = patiently(connect(address, &pair)).await.unwrap();
    assert_eq!(patiently(get_on(&mut stream)).await.status, 200);
    for dawdler in [&mut silent, &mut begun] {
        let ended = patiently(dawdler.read_to_end(&mut Vec::new())).await;
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }
    // All places are free again.
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(patiently(connect(address, &pair)).await.unwrap());
    }
}

#[tokio::test]
async fn the_limit_on_connections_holds_with_tls_too() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new();
    let (certificate, key) = pair.write(folder.path());
    let certificate = Certificate::open(&certificate, &key).unwrap();
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let (address, _tasks) = listen_with(Some(certificate), router(), limits).await;
    let mut first = patiently(connect(address, &pair)).await.unwrap();
    let mut second = std::pin::pin!(connect(address, &pair));
    first.write_all(b"GET / HTTP/1.1\r\nhost: server.test\r\n\r\n").await.unwrap();
    let mut raw = Vec::new();
    while !raw.ends_with(b"\"here\"}") {
        tokio::select! {
            biased;
            _ = &mut second => panic!("the second was talked to beside the first"),
            read = first.read_buf(&mut raw) => assert_ne!(read.unwrap(), 0),
        }
    }
    drop(first);
    patiently(second).await.unwrap();
}

#[test]
fn files_that_cannot_be_served_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (Pair::new(), Pair::new());
    let (certificate, key) = one.write(folder.path());
    let refused = |certificate: &Path, key: &Path| {
        let error = Certificate::open(certificate, key).unwrap_err();
        let mut text = error.to_string();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        text.extend(source.map(|source| format!(": {source}")));
        text
    };
    let missing = folder.path().join("missing.pem");
    assert!(refused(&missing, &key).contains("missing.pem: No such file"), "{}", refused(&missing, &key));
    assert!(refused(&certificate, &missing).contains("missing.pem: No such file"));
    assert!(refused(&key, &key).ends_with("key.pem: no certificate in it; expected PEM, the server's own first and then those that lead to the root"));
    assert!(
        refused(&certificate, &certificate)
            .ends_with("cert.pem: no private key in it; expected PEM, without a passphrase")
    );
    fs::write(&key, &other.pem.1).unwrap();
    let text = refused(&certificate, &key);
    assert!(
        text.contains("cert.pem cannot be served with the key in") && text.contains("key.pem: "),
        "{text}"
    );
    fs::write(&certificate, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(refused(&certificate, &key).contains("cannot be served"), "{}", refused(&certificate, &key));
}

#[tokio::test]
async fn new_files_are_shown_to_new_connections() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (Pair::new(), Pair::new());
    let (certificate, key) = first.write(folder.path());
    let served = Certificate::open(&certificate, &key).unwrap();
    let (address, _tasks) = listen_with(Some(served), router(), Limits::default()).await;
    let mut old = patiently(connect(address, &first)).await.unwrap();
    second.write(folder.path());
    patiently(async { while connect(address, &second).await.is_err() {} }).await;
    patiently(connect(address, &first)).await.unwrap_err();
    // Whoever was here stays.
    assert_eq!(patiently(get_on(&mut old)).await.status, 200);
}
