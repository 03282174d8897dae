//! A stop: no new connections, answers under way finish, and what does not finish is broken off.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use hookit_server::{Answer, Limits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};

use crate::client::{PATIENCE, listen, next_answer, patiently};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// A handler that tells when it has begun and goes on when it is let.
fn held() -> (Router, Arc<Notify>, Arc<Semaphore>) {
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let (tell, wait) = (begun.clone(), go.clone());
    let handler = async move || {
        tell.notify_one();
        let _go = wait.acquire().await.expect("the semaphore is not closed");
        Answer::ok(&"finished")
    };
    (Router::new().route("/", get(handler)), begun, go)
}

#[tokio::test]
async fn a_stop_lets_the_answer_under_way_finish_and_takes_no_new_connection() {
    let (router, begun, go) = held();
    let (address, tasks) = listen(router, Limits::default()).await;
    let mut under_way = TcpStream::connect(address).await.unwrap();
    under_way.write_all(REQUEST).await.unwrap();
    patiently(begun.notified()).await;
    // A connection that is open and asks for nothing is no reason to wait.
    let mut idle = TcpStream::connect(address).await.unwrap();

    tasks.stop_signal().cancel();
    patiently(async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    go.add_permits(1);
    let answer = next_answer(&mut under_way).await;
    assert_eq!((answer.status, answer.json()["data"].as_str()), (200, Some("finished")));
    assert!(tasks.stop(PATIENCE).await, "the listener did not end");
    for stream in [&mut under_way, &mut idle] {
        // The end, or a reset where it had not been accepted yet.
        let end = patiently(stream.read(&mut [0; 1])).await;
        assert!(end.is_err() || end.is_ok_and(|bytes| bytes == 0), "the connection is over");
    }
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_broken_off() {
    let (router, begun, go) = held();
    let limits = Limits { stop_timeout: Duration::from_millis(50), ..Limits::default() };
    let (address, tasks) = listen(router, limits).await;
    let mut stuck = TcpStream::connect(address).await.unwrap();
    stuck.write_all(REQUEST).await.unwrap();
    patiently(begun.notified()).await;
    assert!(tasks.stop(PATIENCE).await, "the listener did not end");
    let mut rest = Vec::new();
    // The handler was never let go; the connection ends nevertheless.
    let _ = patiently(stuck.read_to_end(&mut rest)).await;
    assert!(rest.is_empty(), "{rest:?}");
    assert_eq!(Arc::strong_count(&go), 1, "the handler and its router are gone");
}
