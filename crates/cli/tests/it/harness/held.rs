//! An endpoint that has the request and does not answer before the test lets it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::until;

/// A listener that answers each request with 200 as soon as there is a permit for it.
pub(crate) struct HeldEndpoint {
    address: SocketAddr,
    received: Arc<AtomicUsize>,
    permits: Arc<Semaphore>,
    _tasks: JoinSet<()>,
}

impl HeldEndpoint {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let received = Arc::new(AtomicUsize::new(0));
        let permits = Arc::new(Semaphore::new(0));
        let mut tasks = JoinSet::new();
        let shared = (received.clone(), permits.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, shared.0.clone(), shared.1.clone()));
            }
        });
        HeldEndpoint { address, received, permits, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/webhooks/klikit", self.address)
    }

    /// How many requests were read to their end.
    pub(crate) fn received(&self) -> usize {
        self.received.load(Ordering::SeqCst)
    }

    pub(crate) async fn receives(&self, count: usize) {
        until("requests at the endpoint", async || (self.received() >= count).then_some(())).await;
    }

    /// Lets so many requests, waiting or coming, be answered.
    pub(crate) fn release(&self, count: usize) {
        self.permits.add_permits(count);
    }
}

async fn serve(mut stream: TcpStream, received: Arc<AtomicUsize>, permits: Arc<Semaphore>) {
    let mut bytes = Vec::new();
    loop {
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
        let whole = head.map(|head| {
            let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
            let (_, length) = text.split_once("content-length:").expect("a post with a length");
            head + length.lines().next().and_then(|l| l.trim().parse::<usize>().ok()).expect("a length")
        });
        match whole {
            Some(whole) if bytes.len() >= whole => {
                bytes.drain(..whole);
                received.fetch_add(1, Ordering::SeqCst);
                permits.acquire().await.expect("it is never closed").forget();
                if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
                    return;
                }
            }
            _ => match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            },
        }
    }
}
