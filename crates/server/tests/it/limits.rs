//! What a listener takes, and what it does beyond it.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use hookit_server::{Answer, ApiError, BrokenOff, Fault, Limits, Pieces, RawBody, bind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::client::{call, exchange, listen, next_answer, patiently};

fn router() -> Router {
    Router::new()
        .route("/", get(async || Answer::ok(&"here")))
        .route("/raw", post(async |RawBody(body): RawBody| Answer::ok(&body.len())))
        .route("/refuse", post(async || ApiError::from(Fault::new("x", "no"))))
}

const SMALL: Limits = Limits {
    streams_max: 2,
    connections_max: 64,
    head_bytes_max: 1_000,
    body_bytes_max: 10,
    handshake_timeout: Duration::from_secs(60),
    head_timeout: Duration::from_secs(60),
    body_timeout: Duration::from_secs(60),
    write_timeout: Duration::from_secs(60),
    answers_bytes_max: 64 << 20,
    stop_timeout: Duration::from_secs(60),
};

#[tokio::test]
async fn who_takes_nothing_of_an_answer_gives_up_its_place_and_who_is_slow_does_not() {
    let large = "x".repeat(64 << 20);
    let router = Router::new().route("/", get(async move || large));
    let limits = Limits { connections_max: 1, write_timeout: Duration::from_millis(300), ..SMALL };
    let (address, _tasks) = listen(router, limits).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // There is one place, and whoever sits in it reads nothing.
    let answer = tokio::time::timeout(Duration::from_secs(30), call(address, "GET /nothing", "", "")).await;
    assert_eq!(answer.expect("the place was given up").status, 404);

    // One that reads a little all the time takes longer than that for the whole, and gets it.
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let (mut read, mut buffer) = (0, vec![0; 4 << 20]);
    loop {
        match slow.read(&mut buffer).await.unwrap() {
            0 => break,
            some => read += some,
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(read > 64 << 20, "{read}");
}

/// Asks, and reads nothing of the answer but that it has begun.
async fn asked(address: SocketAddr, line: &str) -> (TcpStream, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream
        .write_all(format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut head = [0; 12];
    patiently(stream.read_exact(&mut head)).await.unwrap();
    (stream, std::str::from_utf8(&head[9..]).unwrap().parse().unwrap())
}

/// Pieces without end, of 1 MiB.
struct Endless(Bytes);

impl Pieces for Endless {
    async fn next(&mut self) -> Result<Option<Bytes>, BrokenOff> {
        Ok(Some(self.0.clone()))
    }
}

#[tokio::test]
async fn large_answers_that_nobody_takes_have_a_sum_and_small_ones_and_what_was_done_are_told_all_the_same() {
    let large = || async { Answer::<()>::raw(vec![b' '; 24 << 20].into()) };
    let pieces = || async { Answer::<()>::in_pieces(1 << 40, Endless(vec![b' '; 1 << 20].into())) };
    let router = router()
        .route("/large", get(large).post(large))
        .route("/pieces", get(pieces))
        .route("/plain", get(async || "x".repeat(24 << 20)));
    let (address, _tasks) = listen(router, SMALL).await;
    let mut idle = vec![asked(address, "GET /large").await, asked(address, "GET /large").await];
    // Two times 24 MiB of 64; as pieces there is room for 8 times 2 MiB, since no more of them is in memory.
    for _ in 0..8 {
        idle.push(asked(address, "GET /pieces").await);
    }
    assert!(idle.iter().all(|(_, status)| *status == 200), "{idle:?}");
    let message = "many large answers are being taken at this moment; ask again, or for a smaller page";
    for line in ["GET /large", "GET /pieces", "GET /plain", "HEAD /large"] {
        let answer = call(address, line, "", "").await;
        if line.starts_with("GET") {
            answer.is_refused(503, "unavailable", message);
        }
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{line}");
    }
    assert_eq!(call(address, "GET /", "", "").await.status, 200);
    assert_eq!(call(address, "GET /nothing", "", "").await.status, 404);
    // It was done; that has to be said.
    assert_eq!(call(address, "POST /large", "", "").await.status, 200);

    // What they held is there again once they are gone.
    drop(idle);
    patiently(async {
        while call(address, "GET /large", "", "").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    for line in ["GET /large", "GET /plain"] {
        assert_eq!(call(address, line, "", "").await.status, 200, "{line}");
    }
}

#[tokio::test]
async fn hundreds_may_wait_to_be_accepted() {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    for nth in 0..400 {
        // Where the queue is full, the system lets a client wait a second and longer.
        let connection = tokio::time::timeout(Duration::from_secs(20), TcpStream::connect(address)).await;
        waiting.push(connection.unwrap_or_else(|_| panic!("no room for the {nth}th")).unwrap());
    }
}

#[tokio::test]
async fn a_body_up_to_the_limit_is_taken_and_one_byte_more_is_not() {
    let (address, _tasks) = listen(router(), SMALL).await;
    assert_eq!(call(address, "POST /raw", "", "x".repeat(10)).await.json()["data"], 10);
    let message = "body: at most 10 bytes are taken";
    call(address, "POST /raw", "", "x".repeat(11)).await.is_refused(413, "request_too_large", message);
    let chunked = |sizes: &[usize]| {
        let mut request =
            "POST /raw HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
                .to_owned();
        for size in sizes {
            request.push_str(&format!("{size:x}\r\n{}\r\n", "y".repeat(*size)));
        }
        request + "0\r\n\r\n"
    };
    assert_eq!(exchange(address, chunked(&[5, 5])).await.unwrap().json()["data"], 10);
    exchange(address, chunked(&[5, 5, 1])).await.unwrap().is_refused(413, "request_too_large", message);
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused_with_what_was_too_long() {
    let (address, _tasks) = listen(router(), SMALL).await;
    assert_eq!(call(address, "GET /", &format!("x-note: {}\r\n", "y".repeat(800)), "").await.status, 200);
    let answer = call(address, "GET /", &format!("x-note: {}\r\n", "y".repeat(1_000)), "").await;
    let message = "header x-note: 1000 bytes; request line and headers together may have at most 1000";
    answer.is_refused(431, "request_header_too_large", message);
    let answer = call(address, &format!("GET /?{}", "y".repeat(1_000)), "", "").await;
    let message = "path: 1002 bytes; request line and headers together may have at most 1000";
    answer.is_refused(431, "request_header_too_large", message);
    // Far beyond, the HTTP library gives up reading, and its answer may be lost with the connection.
    let far = format!("GET / HTTP/1.1\r\nhost: x\r\nx-note: {}\r\n\r\n", "y".repeat(3 << 20));
    assert!(exchange(address, far).await.is_none_or(|answer| answer.status == 431));
    assert_eq!(call(address, "GET /", "", "").await.status, 200);
}

#[tokio::test]
async fn what_a_handler_does_not_read_is_read_for_it_so_that_the_sender_gets_the_answer() {
    let (address, _tasks) = listen(router(), SMALL).await;
    // Over and over on one connection: more than any buffer between the two would hold.
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = vec![b'x'; 20 << 20];
    for line in ["POST /refuse", "POST /nothing", "POST /raw", "DELETE /raw", "POST /refuse"] {
        let head = format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.expect("the sender can send it all");
        assert!((400..500).contains(&next_answer(&mut stream).await.status), "{line}");
    }
}

#[tokio::test]
async fn a_sender_that_waits_for_the_go_ahead_is_refused_without_it() {
    let (address, _tasks) = listen(router(), SMALL).await;
    for (line, status) in [("POST /raw", 413), ("POST /refuse", 400), ("POST /nothing", 404)] {
        let head =
            format!("{line} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5000000\r\n\r\n");
        // Not one byte of the body is sent, and the time for it would be a minute.
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = next_answer(&mut stream).await;
        assert_eq!(answer.status, status, "{line}");
        // What comes next might be the body or another request.
        assert_eq!(answer.header("connection"), Some("close"), "{line}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up_in_its_time_whoever_waits_for_it() {
    let (address, _tasks) =
        listen(router(), Limits { body_timeout: Duration::from_millis(100), ..SMALL }).await;
    let half = |path: &str| format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf");
    let answer = exchange(address, half("/raw")).await.unwrap();
    answer.is_refused(408, "request_timeout", "body: did not arrive within 0.1 s");
    exchange(address, half("/refuse")).await.unwrap().is_refused(400, "request_invalid", "x: no");
}

#[tokio::test]
async fn a_head_that_does_not_come_is_given_up_in_its_time() {
    let (address, _tasks) =
        listen(router(), Limits { head_timeout: Duration::from_millis(100), ..SMALL }).await;
    for half in ["", "GET", "GET / HTTP/1.1\r\nhost: x\r\n"] {
        // Reads to the end of the connection, which the listener has to bring about.
        let answer = exchange(address, half).await;
        assert!(answer.is_none_or(|answer| answer.status == 408), "{half:?}");
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_until_one_ends() {
    let (address, _tasks) = listen(router(), Limits { connections_max: 1, ..SMALL }).await;
    let request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(request).await.unwrap();
    next_answer(&mut first).await;
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(request).await.unwrap();
    // Time enough for an answer to the second, were there one.
    for _ in 0..50 {
        first.write_all(request).await.unwrap();
        next_answer(&mut first).await;
    }
    let nothing = second.try_read(&mut [0; 1]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    drop(first);
    assert_eq!(next_answer(&mut second).await.status, 200);
}
