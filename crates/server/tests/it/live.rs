//! Streams of events: told one by one, counted, and over at the stop.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use hookit_server::{ApiError, Limits, Live, LiveEvent, LiveEvents};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{PATIENCE, call, listen, patiently};

/// Counts: the first three numbers at once, then nothing more.
async fn counting(live: Result<Live, ApiError>) -> Result<LiveEvents, ApiError> {
    Ok(live?.tell(1, |number: i64| async move {
        if number > 3 {
            std::future::pending::<()>().await;
        }
        Some((LiveEvent::json("number", &format!("{{\r\n\"is\": {number}}}")).with_id(number), number + 1))
    }))
}

/// Opens a stream and reads until all three numbers are in.
async fn open(address: std::net::SocketAddr) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut told = Vec::new();
    patiently(async {
        while !String::from_utf8_lossy(&told).contains("\"is\": 3") {
            assert!(stream.read_buf(&mut told).await.unwrap() > 0, "{}", String::from_utf8_lossy(&told));
        }
    })
    .await;
    (stream, String::from_utf8(told).unwrap())
}

#[tokio::test]
async fn events_come_with_their_numbers_and_end_at_the_stop() {
    let (address, tasks) = listen(Router::new().route("/", get(counting)), Limits::default()).await;
    let (mut stream, told) = open(address).await;
    assert!(told.starts_with("HTTP/1.1 200") && told.contains("content-type: text/event-stream"), "{told}");
    assert!(told.contains("cache-control: no-store"), "{told}");
    // A line end within the text would be the end of the line of data.
    assert!(told.contains("event: number\ndata: {  \"is\": 1}\nid: 1\n\n"), "{told}");
    assert!(tasks.stop(PATIENCE).await, "the stream held the stop up");
    let mut rest = Vec::new();
    patiently(stream.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "the answer is whole: {}", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn so_many_streams_and_no_more_and_a_place_is_free_again_when_its_reader_is_gone() {
    let limits = Limits { streams_max: 2, ..Limits::default() };
    let (address, _tasks) = listen(Router::new().route("/", get(counting)), limits).await;
    let (first, _second) = (open(address).await, open(address).await);
    let refused = call(address, "GET /", "", "").await;
    refused.is_refused(503, "unavailable", "as many live streams are open as may be");
    assert_eq!(refused.header("retry-after"), Some("30"));
    drop(first);
    // Its end is noticed when the connection's is.
    patiently(async {
        loop {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let mut start = [0; 12];
            stream.read_exact(&mut start).await.unwrap();
            if start == *b"HTTP/1.1 200" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
