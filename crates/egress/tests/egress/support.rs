//! Endpoints that follow a script, byte by byte, and remember what they saw.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hookit_contract::Timestamp;
use hookit_egress::{AddressPolicy, Attempt, Egress, EgressConfig, EndpointUrl, Post};
use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A bound on waiting for something that is sure to come; never a measure of how long it takes.
const GENEROUS: Duration = Duration::from_secs(60);

pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(GENEROUS, future).await.expect("what is waited for comes")
}

/// A request as it came over the wire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// The values of a header, in order.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        self.head
            .split("\r\n")
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection, in the hands of a script.
pub(crate) struct Conn {
    stream: Box<dyn Stream>,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Which connection this is, from 1.
    pub(crate) number: usize,
}

impl Conn {
    /// Reads a whole request; none when the connection ends instead.
    pub(crate) async fn request(&mut self) -> Option<Seen> {
        let mut bytes = Vec::new();
        let head_end = loop {
            if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                break at;
            }
            if self.stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let mut body = bytes.split_off(head_end + 4);
        bytes.truncate(head_end);
        let mut seen = Seen { head: String::from_utf8(bytes).unwrap(), body: Vec::new() };
        let length: usize = match seen.header("content-length").first() {
            Some(text) => text.parse().unwrap(),
            None => {
                assert!(seen.head.starts_with("GET "), "a body needs its length: {}", seen.head);
                0
            }
        };
        while body.len() < length {
            if self.stream.read_buf(&mut body).await.ok()? == 0 {
                return None;
            }
        }
        assert_eq!(body.len(), length, "nothing follows a request before its answer");
        seen.body = body;
        self.seen.lock().unwrap().push(seen.clone());
        Some(seen)
    }

    /// Writes; false once the other side is gone.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// Waits until the other side has closed the connection.
    pub(crate) async fn closed(&mut self) {
        let mut rest = [0; 1024];
        while !matches!(self.stream.read(&mut rest).await, Ok(0) | Err(_)) {}
    }
}

/// An endpoint on loopback that follows the same script on each connection.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    accepted: watch::Receiver<usize>,
    finished: watch::Receiver<usize>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start<F>(script: impl Fn(Conn) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Server::start_over(|tcp| async { Some(Box::new(tcp) as Box<dyn Stream>) }, script).await
    }

    /// With something between TCP and the script. A connection for which that fails ends there.
    pub(crate) async fn start_over<H, F>(
        wrap: impl Fn(TcpStream) -> H + Send + Sync + 'static,
        script: impl Fn(Conn) -> F + Send + Sync + 'static,
    ) -> Self
    where
        H: Future<Output = Option<Box<dyn Stream>>> + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (count_accepted, accepted) = watch::channel(0);
        let (count_finished, finished) = watch::channel(0);
        let count_finished = Arc::new(count_finished);
        let script = Arc::new(script);
        let mut tasks = JoinSet::new();
        let seen_here = Arc::clone(&seen);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            let mut number = 0;
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                number += 1;
                count_accepted.send_replace(number);
                let wrapped = wrap(tcp);
                let (script, seen, count_finished) =
                    (Arc::clone(&script), Arc::clone(&seen_here), Arc::clone(&count_finished));
                connections.spawn(async move {
                    if let Some(stream) = wrapped.await {
                        script(Conn { stream, seen, number }).await;
                    }
                    count_finished.send_modify(|n| *n += 1);
                });
            }
        });
        Server { address, seen, accepted, finished, _tasks: tasks }
    }

    /// An endpoint that answers each request with these bytes and keeps the connection open.
    pub(crate) async fn answering(answer: &'static str) -> Self {
        Server::start(move |mut conn| async move {
            while conn.request().await.is_some() && conn.write(answer).await {}
        })
        .await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/in", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn bodies(&self) -> Vec<String> {
        self.requests().into_iter().map(|seen| String::from_utf8(seen.body).unwrap()).collect()
    }

    /// How many connections there have been. The listening queue is first in, first out, so once a connection of our
    /// own has been accepted, there is none before it that has not.
    pub(crate) async fn connections(&mut self) -> usize {
        let before = *self.accepted.borrow();
        drop(TcpStream::connect(self.address).await.unwrap());
        soon(self.accepted.wait_for(|n| *n > before)).await.unwrap();
        // Another may have come in between; wait until the count stands still over a whole round trip.
        round_trip().await;
        *self.accepted.borrow() - 1
    }

    /// Waits until the script has ended on so many connections, each of which is closed then, and until that has
    /// reached the client's side.
    pub(crate) async fn connections_finished(&mut self, count: usize) {
        soon(self.finished.wait_for(|n| *n >= count)).await.unwrap();
        round_trip().await;
    }
}

/// One exchange over a fresh connection. What the kernel had to tell before it, the runtime has heard after it.
async fn round_trip() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut far, _) = listener.accept().await.unwrap();
    for _ in 0..2 {
        let mut byte = [0];
        far.write_all(b"x").await.unwrap();
        near.read_exact(&mut byte).await.unwrap();
        near.write_all(b"y").await.unwrap();
        far.read_exact(&mut byte).await.unwrap();
    }
}

/// A port that refuses connections, for as long as the socket is held.
pub(crate) fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

pub(crate) fn config() -> EgressConfig {
    EgressConfig {
        addresses: AddressPolicy::AllowPrivate,
        https_required: false,
        exchange_timeout: GENEROUS,
        idle_timeout: GENEROUS,
        ..EgressConfig::default()
    }
}

/// For the tests in which the time limit is what ends the exchange; long enough to get as far as the script on a
/// busy machine.
pub(crate) fn impatient() -> EgressConfig {
    EgressConfig { exchange_timeout: Duration::from_secs(1), ..config() }
}

pub(crate) fn egress() -> Egress {
    Egress::new(config()).unwrap()
}

pub(crate) fn now() -> Timestamp {
    Timestamp::parse("2026-03-01T18:30:00Z").unwrap()
}

pub(crate) fn post_of(config: &EgressConfig, url: &str, body: impl Into<Bytes>) -> Post {
    let url = EndpointUrl::parse(url, &config.url_rules()).unwrap();
    Post { url, headers: HeaderMap::new(), body: body.into() }
}

/// Posts a small body.
pub(crate) async fn post(egress: &Egress, url: &str, body: &'static str) -> Attempt {
    egress.post(post_of(&config(), url, body), now()).await
}
