//! Endpoints that cannot be reached, or fall silent.

use std::time::Duration;

use hookit_contract::AttemptOutcome;
use hookit_egress::{AddressPolicy, Egress, EgressConfig, EndpointUrl, Post, UrlRules};
use http::HeaderMap;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::{Server, config, egress, impatient, now, post, post_of, refusing, soon};

#[tokio::test]
async fn an_endpoint_that_never_answers_is_a_time_out() {
    let mut server = Server::start(|mut conn| async move {
        conn.request().await;
        conn.closed().await;
    })
    .await;
    let attempt = post(&Egress::new(impatient()).unwrap(), &server.url(), "{}").await;
    assert_eq!(attempt.outcome, AttemptOutcome::TimedOut, "{attempt:?}");
    assert!(attempt.error.unwrap().ends_with("1000 ms ended waiting for the answer"));
    assert_eq!(attempt.address, Some(server.address));
    assert_eq!(attempt.timings.first_byte, None);
    assert!(attempt.timings.total >= Some(Duration::from_secs(1)));
    server.connections_finished(1).await;
    assert_eq!(server.bodies(), ["{}"]);
}

#[tokio::test]
async fn an_endpoint_that_drips_its_head_or_never_accepts_is_a_time_out() {
    let server = Server::start(|mut conn| async move {
        conn.request().await;
        conn.write("HTTP/1.1 200 OK\r\nx: ").await;
        while conn.write("x").await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let listening_only = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for url in [server.url(), format!("http://{}/in", listening_only.local_addr().unwrap())] {
        let attempt = post(&Egress::new(impatient()).unwrap(), &url, "{}").await;
        assert_eq!(attempt.outcome, AttemptOutcome::TimedOut, "{attempt:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_does_not_read_a_long_request_is_a_time_out() {
    let listening_only = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/in", listening_only.local_addr().unwrap());
    let big = vec![b'x'; 64 * 1024 * 1024];
    let attempt = Egress::new(impatient()).unwrap().post(post_of(&config(), &url, big), now()).await;
    assert_eq!(attempt.outcome, AttemptOutcome::TimedOut, "{attempt:?}");
}

#[tokio::test]
async fn a_refused_connection_is_a_failed_one() {
    let (_held, address) = refusing();
    let attempt = post(&egress(), &format!("http://{address}/in"), "{}").await;
    assert_eq!(attempt.outcome, AttemptOutcome::ConnectFailed, "{attempt:?}");
    assert_eq!(attempt.address, Some(address));
    assert!(attempt.error.unwrap().contains(&address.to_string()));
    assert_eq!(attempt.timings.connect, None);
}

#[tokio::test]
async fn a_name_without_an_address_is_not_resolved() {
    // A label of more than 63 characters cannot be asked for, so no name server is needed to say no.
    let url = format!("http://{}.invalid/in", "a".repeat(64));
    let attempt = post(&egress(), &url, "{}").await;
    assert_eq!(attempt.outcome, AttemptOutcome::NameNotResolved, "{attempt:?}");
    assert_eq!(attempt.address, None);
    assert!(attempt.error.unwrap().contains(".invalid"));
}

#[tokio::test]
async fn a_name_that_resolves_to_loopback_is_forbidden_and_never_dialled() {
    let mut server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let public_only = EgressConfig { addresses: AddressPolicy::PublicOnly, ..config() };
    let egress = Egress::new(public_only.clone()).unwrap();
    let url = format!("http://localhost:{}/in", server.address.port());
    let attempt = egress.post(post_of(&public_only, &url, "{}"), now()).await;
    assert_eq!(attempt.outcome, AttemptOutcome::AddressForbidden, "{attempt:?}");
    assert_eq!(attempt.address, None);
    assert!(attempt.error.unwrap().contains("loopback"));

    // A URL that was vetted under other rules does not get round the policy either.
    let attempt = egress.post(post_of(&config(), &server.url(), "{}"), now()).await;
    assert_eq!(attempt.outcome, AttemptOutcome::AddressForbidden, "{attempt:?}");
    assert_eq!(server.connections().await, 0);
    assert_eq!(server.bodies(), Vec::<String>::new());
}

#[tokio::test]
async fn plain_http_is_not_posted_to_where_https_is_required() {
    let mut server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let egress = Egress::new(EgressConfig { https_required: true, ..config() }).unwrap();
    let rules = UrlRules { addresses: AddressPolicy::AllowPrivate, https_required: false };
    let url = EndpointUrl::parse(&server.url(), &rules).unwrap();
    let attempt = egress.post(Post { url, headers: HeaderMap::new(), body: "{}".into() }, now()).await;
    assert_eq!(attempt.outcome, AttemptOutcome::AddressForbidden, "{attempt:?}");
    assert_eq!(server.connections().await, 0);
}

#[tokio::test]
async fn a_connection_that_ends_before_a_whole_answer_head_is_lost() {
    for (reads, answer) in [(true, ""), (true, "HTTP/1.1 200 OK\r\ncontent-le"), (true, "HTT"), (false, "")] {
        let mut server = Server::start(move |mut conn| async move {
            if reads {
                conn.request().await;
            }
            conn.write(answer).await;
        })
        .await;
        let attempt = post(&egress(), &server.url(), "{}").await;
        assert_eq!(attempt.outcome, AttemptOutcome::ConnectionLost, "{answer:?}: {attempt:?}");
        assert_eq!(attempt.status, None);
        assert_eq!(server.connections().await, 1, "nothing is sent a second time");
    }
}

#[tokio::test]
async fn an_attempt_that_is_dropped_closes_its_connection() {
    let mut server = Server::start(|mut conn| async move {
        conn.request().await;
        conn.closed().await;
    })
    .await;
    let egress = egress();
    let url = server.url();
    let mut attempts = JoinSet::new();
    attempts.spawn(async move { post(&egress, &url, "{}").await });
    soon(async {
        while server.bodies().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    attempts.shutdown().await;
    server.connections_finished(1).await;
}
