//! TLS: who is trusted, and for which name.

use std::sync::Arc;

use hookit_contract::AttemptOutcome;
use hookit_egress::{Attempt, CertificateDer, Egress, EgressConfig};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use crate::support::{Server, Stream, config, impatient, now, post_of};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A certificate authority and a server with a certificate of it for one name.
async fn server_named(name: &str) -> (Server, CertificateDer<'static>) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca_params = CertificateParams::new(Vec::new()).unwrap();
    ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = ca_params.self_signed(&ca_key).unwrap().der().clone();
    let issuer = Issuer::new(ca_params, ca_key);

    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().der().clone();

    let mut tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let server = Server::start_over(
        move |tcp| {
            let acceptor = acceptor.clone();
            async move { acceptor.accept(tcp).await.ok().map(|tls| Box::new(tls) as Box<dyn Stream>) }
        },
        |mut conn| async move { while conn.request().await.is_some() && conn.write(OK).await {} },
    )
    .await;
    (server, ca)
}

async fn post_to(egress: &Egress, host: &str, server: &Server) -> Attempt {
    let url = format!("https://{host}:{}/in", server.address.port());
    egress.post(post_of(&config(), &url, "{}"), now()).await
}

fn trusting(roots: Vec<CertificateDer<'static>>) -> Egress {
    Egress::new(EgressConfig { extra_roots: roots, ..config() }).unwrap()
}

#[tokio::test]
async fn a_server_of_a_trusted_authority_is_posted_to_and_its_connection_used_again() {
    for name in ["localhost", "127.0.0.1"] {
        let (mut server, ca) = server_named(name).await;
        let egress = trusting(vec![ca]);
        let first = post_to(&egress, name, &server).await;
        assert_eq!(first.outcome, AttemptOutcome::Acknowledged, "{first:?}");
        assert_eq!(first.address, Some(server.address));
        assert!(
            first.timings.resolve.is_some() && first.timings.connect.is_some() && first.timings.tls.is_some()
        );
        let second = post_to(&egress, name, &server).await;
        assert_eq!(second.outcome, AttemptOutcome::Acknowledged, "{second:?}");
        assert_eq!(second.timings.tls, None);
        assert_eq!(server.requests().len(), 2);
        assert_eq!(server.connections().await, 1);
    }
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_not_sent_anything() {
    let (server, _) = server_named("localhost").await;
    let (_, another) = server_named("localhost").await;
    for roots in [vec![], vec![another]] {
        let attempt = post_to(&trusting(roots), "localhost", &server).await;
        assert_eq!(attempt.outcome, AttemptOutcome::TlsFailed, "{attempt:?}");
        assert!(attempt.error.as_ref().unwrap().contains("certificate"), "{attempt:?}");
        assert!(attempt.timings.connect.is_some() && attempt.timings.tls.is_none());
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_trusted_certificate_for_another_name_is_refused() {
    let (server, ca) = server_named("pos.example").await;
    let egress = trusting(vec![ca]);
    for host in ["localhost", "127.0.0.1"] {
        let attempt = post_to(&egress, host, &server).await;
        assert_eq!(attempt.outcome, AttemptOutcome::TlsFailed, "{attempt:?}");
        assert!(attempt.error.unwrap().contains("name"));
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_fails_and_one_that_says_nothing_times_out() {
    let plain = Server::start(|mut conn| async move {
        conn.write("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        conn.closed().await;
    })
    .await;
    let closing = Server::start(|_| async {}).await;
    for server in [&plain, &closing] {
        let attempt = post_to(&trusting(vec![]), "127.0.0.1", server).await;
        assert_eq!(attempt.outcome, AttemptOutcome::TlsFailed, "{attempt:?}");
    }
    let silent = Server::start(|mut conn| async move { conn.closed().await }).await;
    let attempt = post_to(&Egress::new(impatient()).unwrap(), "127.0.0.1", &silent).await;
    assert_eq!(attempt.outcome, AttemptOutcome::TimedOut, "{attempt:?}");
    assert!(attempt.error.unwrap().ends_with("the TLS handshake"));
}
