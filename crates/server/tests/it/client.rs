//! A listener with a router of the test's, and a client that writes what it is told to.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hookit_server::{Certificate, Limits, Tasks, serve_with};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Long enough for the slowest machine; a test that gets here has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn patiently<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("took longer than any machine should")
}

/// A router that is being served; the stop is asked for when the tasks are stopped.
pub(crate) async fn listen(router: Router, limits: Limits) -> (SocketAddr, Tasks) {
    listen_with(None, router, limits).await
}

/// The same, with TLS where there is a certificate.
pub(crate) async fn listen_with(
    certificate: Option<Certificate>,
    router: Router,
    limits: Limits,
) -> (SocketAddr, Tasks) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = Tasks::new();
    let stop = tasks.stop_signal().clone();
    tasks.spawn("listener", serve_with(listener, certificate, router, limits, stop));
    (address, tasks)
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lowercase.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// What was read to the end of a connection.
    pub(crate) fn read(raw: &[u8]) -> Option<Answer> {
        let end = raw.windows(4).position(|four| four == b"\r\n\r\n")?;
        Some(Answer::of(&raw[..end], &raw[end + 4..]))
    }

    fn of(head: &[u8], body: &[u8]) -> Answer {
        let head = String::from_utf8(head.to_vec()).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails where this is not that refusal, in the envelope.
    pub(crate) fn is_refused(&self, status: u16, code: &str, message: &str) {
        let json = self.json();
        assert_eq!(json["request_id"].as_str().map(str::len), Some(32), "{json}");
        let found = (self.status, json["error"]["code"].as_str(), json["error"]["message"].as_str());
        assert_eq!(found, (status, Some(code), Some(message)));
        let details = json["error"]["details"].as_array();
        assert!(code != "request_invalid" || details.is_some_and(|told| !told.is_empty()), "{json}");
    }
}

/// Writes a request, lets the writing half be, and reads to the end of the connection.
pub(crate) async fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> Option<Answer> {
    let (mut from, mut to) = TcpStream::connect(address).await.unwrap().into_split();
    let mut raw = Vec::new();
    let writing = async {
        // Writing may fail where the answer came early.
        let _ = to.write_all(request.as_ref()).await;
    };
    let reading = async {
        let _ = from.read_to_end(&mut raw).await;
    };
    patiently(async { tokio::join!(writing, reading) }).await;
    Answer::read(&raw)
}

/// One call on a connection of its own.
pub(crate) async fn call(address: SocketAddr, line: &str, headers: &str, body: impl AsRef<[u8]>) -> Answer {
    let body = body.as_ref();
    let mut request = format!(
        "{line} HTTP/1.1\r\nhost: server.test\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    exchange(address, request).await.expect("an answer")
}

/// Reads one answer off a connection that stays open.
pub(crate) async fn next_answer(stream: &mut TcpStream) -> Answer {
    let mut raw = Vec::new();
    patiently(async {
        loop {
            stream.read_buf(&mut raw).await.unwrap();
            let Some(end) = raw.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let answer = Answer::of(&raw[..end], &raw[end + 4..]);
            let length: usize = answer.header("content-length").unwrap().parse().unwrap();
            if answer.body.len() >= length {
                assert_eq!(answer.body.len(), length, "nothing follows an answer that was not asked for");
                return answer;
            }
        }
    })
    .await
}
