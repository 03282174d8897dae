//! Endpoints that answer, well or badly.

use std::time::Duration;

use hookit_contract::AttemptOutcome;
use hookit_egress::{Egress, EgressConfig};

use crate::support::{Server, config, egress, impatient, now, post, post_of};

#[tokio::test]
async fn any_2xx_is_an_acknowledgement() {
    for (answer, status, body) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 21\r\n\r\n{\"status\":\"received\"}",
            200,
            "{\"status\":\"received\"}",
        ),
        ("HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 202, "hi"),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
        ("HTTP/1.1 299 Odd\r\ncontent-length: 0\r\n\r\n", 299, ""),
        (
            "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            200,
            "",
        ),
    ] {
        let server = Server::answering(answer).await;
        let attempt = post(&egress(), &server.url(), "{}").await;
        assert_eq!(attempt.outcome, AttemptOutcome::Acknowledged, "{attempt:?}");
        assert_eq!(attempt.status, Some(status));
        assert_eq!(attempt.answer, body);
        assert!(!attempt.answer_truncated);
        assert_eq!(attempt.error, None);
        assert_eq!(attempt.address, Some(server.address));
        assert!(
            attempt.timings.connect.is_some() && attempt.timings.first_byte.is_some(),
            "{:?}",
            attempt.timings
        );
        assert!(attempt.timings.total >= attempt.timings.first_byte);
    }
}

#[tokio::test]
async fn any_other_status_is_a_refusal_with_its_status() {
    for (answer, status) in [
        ("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", 101),
        ("HTTP/1.1 304 Not Modified\r\n\r\n", 304),
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 9\r\n\r\nforbidden", 403),
        ("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n", 500),
        ("HTTP/1.1 999 Whatever\r\ncontent-length: 0\r\n\r\n", 999),
    ] {
        let server = Server::answering(answer).await;
        let attempt = post(&egress(), &server.url(), "{}").await;
        assert_eq!(attempt.outcome, AttemptOutcome::Refused, "{attempt:?}");
        assert_eq!(attempt.status, Some(status));
        assert_eq!(attempt.retry_after, None);
    }
}

#[tokio::test]
async fn a_redirect_is_a_refusal_and_is_not_followed() {
    let mut elsewhere = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let location = elsewhere.url();
    for status in [301, 302, 303, 307, 308] {
        let answer = format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let server = Server::start(move |mut conn| {
            let answer = answer.clone();
            async move { while conn.request().await.is_some() && conn.write(&answer).await {} }
        })
        .await;
        let attempt = post(&egress(), &server.url(), "{}").await;
        assert_eq!((attempt.outcome, attempt.status), (AttemptOutcome::Refused, Some(status)));
    }
    assert_eq!(elsewhere.connections().await, 0);
}

#[tokio::test]
async fn retry_after_is_handed_on_as_it_was_asked_for() {
    // Whether it is heeded is the engine's to say.
    for (answer, seconds) in [
        ("HTTP/1.1 429 Too Many Requests\r\nretry-after: 17\r\ncontent-length: 0\r\n\r\n", Some(17)),
        (
            "HTTP/1.1 503 Unavailable\r\nretry-after: Sun, 01 Mar 2026 18:30:40 GMT\r\ncontent-length: 0\r\n\r\n",
            Some(40),
        ),
        ("HTTP/1.1 500 Oops\r\nretry-after: 90000\r\ncontent-length: 0\r\n\r\n", Some(90_000)),
        ("HTTP/1.1 200 OK\r\nretry-after: soon\r\ncontent-length: 0\r\n\r\n", None),
    ] {
        let server = Server::answering(answer).await;
        let attempt = post(&egress(), &server.url(), "{}").await;
        assert_eq!(attempt.retry_after, seconds.map(Duration::from_secs), "{answer}");
    }
}

#[tokio::test]
async fn of_an_endless_body_only_the_first_bytes_are_read_and_it_is_still_acknowledged() {
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n"] {
        let mut server = Server::start(move |mut conn| async move {
            conn.request().await;
            conn.write(head).await;
            while conn.write([b'x'; 4096]).await {}
        })
        .await;
        let egress = egress();
        let attempt = post(&egress, &server.url(), "{}").await;
        assert_eq!(attempt.outcome, AttemptOutcome::Acknowledged, "{attempt:?}");
        assert_eq!(attempt.answer.len(), 16 * 1024);
        assert!(attempt.answer_truncated);
        // The script only ends when its connection is closed.
        server.connections_finished(1).await;
    }
}

#[tokio::test]
async fn a_body_as_long_as_the_limit_is_kept_whole() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789").await;
    for (limit, kept, truncated) in [(10, "0123456789", false), (9, "012345678", true), (0, "", true)] {
        let egress = Egress::new(EgressConfig { answer_bytes_max: limit, ..config() }).unwrap();
        let attempt = post(&egress, &server.url(), "{}").await;
        assert_eq!(attempt.outcome, AttemptOutcome::Acknowledged);
        assert_eq!((&attempt.answer[..], attempt.answer_truncated), (kept.as_bytes(), truncated), "{limit}");
    }
}

#[tokio::test]
async fn a_body_that_drips_beyond_the_time_limit_is_a_time_out_and_the_connection_is_closed() {
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 500 Oops\r\ncontent-length: 999999\r\n\r\n"] {
        let mut server = Server::start(move |mut conn| async move {
            conn.request().await;
            conn.write(head).await;
            while conn.write("x").await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        let egress = Egress::new(impatient()).unwrap();
        let attempt = post(&egress, &server.url(), "{}").await;
        assert_eq!(attempt.outcome, AttemptOutcome::TimedOut, "{attempt:?}");
        assert_eq!(attempt.status, None);
        assert!(attempt.error.unwrap().ends_with("reading the answer's body"));
        assert!(attempt.timings.first_byte.is_some());
        assert!(attempt.timings.total >= Some(Duration::from_secs(1)));
        server.connections_finished(1).await;
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_acknowledgement() {
    for (answer, outcome) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789", AttemptOutcome::ConnectionLost),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nA\r\n0123456789\r\nZZZ",
            AttemptOutcome::ConnectionLost,
        ),
        ("HTTP/1.1 500 Oops\r\ncontent-length: 100\r\n\r\n0123456789", AttemptOutcome::Refused),
    ] {
        let server = Server::start(move |mut conn| async move {
            conn.request().await;
            conn.write(answer).await;
        })
        .await;
        let attempt = post(&egress(), &server.url(), "{}").await;
        assert_eq!(attempt.outcome, outcome, "{attempt:?}");
        assert_eq!(attempt.status.is_some(), outcome.has_status());
        assert_eq!(attempt.answer, "0123456789");
        assert!(attempt.answer_truncated);
        assert!(attempt.error.unwrap().contains("broke off"));
    }
}

#[tokio::test]
async fn an_answer_head_without_end_is_unreadable() {
    for (start, again) in [
        ("HTTP/1.1 200 OK\r\nx-long: ", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".repeat(128)),
        ("HTTP/1.1 200 OK\r\n", "x-many: a\r\n".repeat(10)),
        ("HTTP/1.1 200 ", "very ".repeat(1000)),
        ("", "HTTP/1.1 100 Continue\r\n\r\n".repeat(100)),
        ("", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(10)),
    ] {
        let mut server = Server::start(move |mut conn| {
            let again = again.clone();
            async move {
                conn.request().await;
                conn.write(start).await;
                while conn.write(&again).await {}
            }
        })
        .await;
        let attempt = post(&egress(), &server.url(), "{}").await;
        assert_eq!(attempt.outcome, AttemptOutcome::AnswerUnreadable, "{attempt:?}");
        assert_eq!(attempt.status, None);
        server.connections_finished(1).await;
    }
}

#[tokio::test]
async fn a_head_of_less_than_the_limit_is_read() {
    let server = Server::start(|mut conn| async move {
        conn.request().await;
        let value = "v".repeat(60_000);
        conn.write(format!("HTTP/1.1 200 OK\r\nx-long: {value}\r\ncontent-length: 2\r\n\r\nok")).await;
        conn.closed().await;
    })
    .await;
    let attempt = post(&egress(), &server.url(), "{}").await;
    assert_eq!(attempt.outcome, AttemptOutcome::Acknowledged, "{attempt:?}");
}

#[tokio::test]
async fn what_is_not_http_is_unreadable() {
    for answer in [
        "SSH-2.0-OpenSSH_9.9\r\n",
        "\0\0\u{6}\u{4}\0\0\0\0\0\0\u{3}\0\0",
        "<html>hello</html>\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    ] {
        let server = Server::start(move |mut conn| async move {
            conn.request().await;
            conn.write(answer).await;
            conn.closed().await;
        })
        .await;
        let attempt = post(&egress(), &server.url(), "{}").await;
        assert_eq!(attempt.outcome, AttemptOutcome::AnswerUnreadable, "{answer:?}: {attempt:?}");
        assert!(attempt.error.unwrap().starts_with("HTTP: "));
    }
}

#[tokio::test]
async fn a_server_that_speaks_first_is_unreadable() {
    let server = Server::start(|mut conn| async move {
        conn.write("220 mail.example ESMTP\r\n").await;
        conn.closed().await;
    })
    .await;
    let attempt = post(&egress(), &server.url(), "{}").await;
    assert_eq!(attempt.outcome, AttemptOutcome::AnswerUnreadable, "{attempt:?}");
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_was_read_counts_and_the_connection_is_not_used_again() {
    let mut server = Server::start(|mut conn| async move {
        if conn.number == 1 {
            conn.write("HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").await;
            std::future::pending::<()>().await;
        }
        conn.request().await;
        conn.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    let egress = egress();
    let big = vec![b'x'; 64 * 1024 * 1024];
    let attempt = egress.post(post_of(&config(), &server.url(), big), now()).await;
    // Whether the answer comes before or after the first byte of the request is up to the machine.
    match attempt.outcome {
        AttemptOutcome::Refused => assert_eq!(attempt.status, Some(413)),
        AttemptOutcome::AnswerUnreadable => assert_eq!(attempt.status, None),
        other => panic!("{other}: {attempt:?}"),
    }
    assert_eq!(post(&egress, &server.url(), "{}").await.outcome, AttemptOutcome::Acknowledged);
    assert_eq!(server.connections().await, 2);
}
