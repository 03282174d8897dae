//! Using a connection again, and never sending anything twice.

use std::time::Duration;

use hookit_contract::AttemptOutcome;
use hookit_egress::{Egress, EgressConfig};
use tokio::task::JoinSet;

use crate::support::{Server, config, egress, now, post, post_of};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn posts_one_after_the_other_use_one_connection() {
    for answer in [
        OK,
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\nno",
    ] {
        let mut server = Server::answering(answer).await;
        let egress = egress();
        let first = post(&egress, &server.url(), "1").await;
        assert!(first.timings.connect.is_some());
        for body in ["2", "3", "4", "5"] {
            let next = post(&egress, &server.url(), body).await;
            assert_eq!(next.status, first.status);
            assert_eq!((next.timings.resolve, next.timings.connect, next.timings.tls), (None, None, None));
            assert!(next.timings.first_byte.is_some());
            assert_eq!(next.address, Some(server.address));
        }
        assert_eq!(server.bodies(), ["1", "2", "3", "4", "5"]);
        assert_eq!(server.connections().await, 1, "{answer}");
    }
}

#[tokio::test]
async fn an_idle_connection_that_the_server_has_closed_is_noticed_and_each_body_is_processed_once() {
    let mut server = Server::start(|mut conn| async move {
        conn.request().await;
        conn.write(OK).await;
    })
    .await;
    let egress = egress();
    for (number, body) in ["first", "second", "third"].into_iter().enumerate() {
        let attempt = post(&egress, &server.url(), body).await;
        assert_eq!(attempt.outcome, AttemptOutcome::Acknowledged, "{attempt:?}");
        server.connections_finished(number + 1).await;
    }
    assert_eq!(server.bodies(), ["first", "second", "third"]);
    assert_eq!(server.connections().await, 3);
}

#[tokio::test]
async fn a_request_that_was_lost_on_a_used_connection_is_not_sent_again() {
    let mut server = Server::start(|mut conn| async move {
        conn.request().await;
        conn.write(OK).await;
        conn.request().await;
    })
    .await;
    let egress = egress();
    assert_eq!(post(&egress, &server.url(), "first").await.outcome, AttemptOutcome::Acknowledged);
    assert_eq!(post(&egress, &server.url(), "second").await.outcome, AttemptOutcome::ConnectionLost);
    assert_eq!(server.bodies(), ["first", "second"]);
    assert_eq!(server.connections().await, 1);
}

#[tokio::test]
async fn what_a_server_adds_after_its_answer_is_never_taken_for_the_next_answer() {
    let mut server = Server::start(|mut conn| async move {
        conn.request().await;
        conn.write(format!("{OK}HTTP/1.1 299 Smuggled\r\ncontent-length: 0\r\n\r\n")).await;
        conn.closed().await;
    })
    .await;
    let egress = egress();
    for body in ["first", "second"] {
        let attempt = post(&egress, &server.url(), body).await;
        assert_eq!(attempt.status, Some(200), "{attempt:?}");
    }
    assert_eq!(server.bodies(), ["first", "second"]);
    assert_eq!(server.connections().await, 2);
}

#[tokio::test]
async fn a_connection_is_not_kept_against_the_servers_wish_or_the_configuration() {
    let closing = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
    let old = "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let in_a_hurry = "HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 2\r\n\r\nok";
    for (answer, config) in [
        (closing, config()),
        (old, config()),
        (in_a_hurry, config()),
        (OK, EgressConfig { idle_per_host_max: 0, ..config() }),
        (OK, EgressConfig { idle_timeout: Duration::ZERO, ..config() }),
    ] {
        let mut server = Server::answering(answer).await;
        let egress = Egress::new(config).unwrap();
        for body in ["first", "second"] {
            assert_eq!(post(&egress, &server.url(), body).await.outcome, AttemptOutcome::Acknowledged);
        }
        assert_eq!(server.connections().await, 2, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_posts_at_once_each_get_their_own_answer() {
    let server = Server::start(|mut conn| async move {
        while let Some(seen) = conn.request().await {
            let body = String::from_utf8(seen.body).unwrap();
            conn.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
        }
    })
    .await;
    let egress = egress();
    let mut workers = JoinSet::new();
    for worker in 0..20 {
        let (egress, url) = (egress.clone(), server.url());
        workers.spawn(async move {
            for n in 0..25 {
                let body = format!("{worker}/{n}");
                let attempt = egress.post(post_of(&config(), &url, body.clone()), now()).await;
                assert_eq!(attempt.outcome, AttemptOutcome::Acknowledged, "{attempt:?}");
                assert_eq!(attempt.answer, body);
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
    let mut bodies = server.bodies();
    bodies.sort();
    bodies.dedup();
    assert_eq!((bodies.len(), server.requests().len()), (500, 500));
}
