//! The road between the platform and the inbox, which can be broken: nobody there, slow, answering by itself, losing answers.
//!
//! What this module must not do: change a request or an answer that it lets pass.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::halves::Port;

/// What the slow road adds. Well below the ten seconds in which an answer counts.
pub(super) const SLOW: Duration = Duration::from_secs(3);
/// Of so many answers one is lost. More of them would be an outage to the platform, and no repeats to be seen.
const LOST_OF: u64 = 4;
/// Connections at a time; the platform has fewer attempts under way to one endpoint.
const CONNECTIONS_MAX: usize = 256;
/// Of a body; what the inbox takes.
const BODY_BYTES_MAX: usize = 10 << 20;
/// From the inbox.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// For a request's head, so that idle connections end.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Before it is tried again to listen.
const AGAIN: Duration = Duration::from_millis(100);

/// What is wrong with the road.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// Nobody listens.
    pub(super) is_down: bool,
    /// [`SLOW`] is added.
    pub(super) is_slow: bool,
    /// 500, and the inbox hears of nothing.
    pub(super) is_failing: bool,
    /// The inbox gets everything, and of its answers every fourth one is lost.
    pub(super) is_losing: bool,
}

/// The connection ends without an answer.
#[derive(Debug)]
struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer is lost")
    }
}

impl std::error::Error for Lost {}

struct Road {
    faults: watch::Receiver<Faults>,
    inbox: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    /// Answers that went through while answers were being lost.
    answers: AtomicU64,
}

/// Listens at `port` and passes on to `inbox`, until the stop.
pub(super) async fn run(
    port: Arc<Port>,
    inbox: SocketAddr,
    mut faults: watch::Receiver<Faults>,
    stop: CancellationToken,
) {
    let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let road = Arc::new(Road { faults: faults.clone(), inbox, client, answers: AtomicU64::new(0) });
    while !stop.is_cancelled() {
        let open = async {
            let listener = listen(port.address()).await;
            // Dropping what it returns closes the listener and every connection: as if the machine were gone.
            accept(&listener, &road).await;
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = open => {}
            Ok(_) = faults.wait_for(|faults| faults.is_down) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            up = faults.wait_for(|faults| !faults.is_down) => if up.is_err() { return },
        }
    }
}

async fn listen(address: SocketAddr) -> TcpListener {
    loop {
        match hookit_server::bind(address) {
            Ok(listener) => return listener,
            Err(error) => tracing::warn!(%error, %address, "the road to the inbox cannot be opened"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn accept(listener: &TcpListener, road: &Arc<Road>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let road = road.clone();
                connections.spawn(async move {
                    let _place = place;
                    converse(stream, road).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, road: Arc<Road>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let road = road.clone();
        async move { road.pass(request).await }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    // It ends with an error wherever an answer is lost, which is what it is for.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

impl Road {
    async fn pass(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Lost> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|_| Lost)?.to_bytes();
        if self.faults().is_slow {
            let mut faults = self.faults.clone();
            // What waits goes on at once when the road is mended.
            let mended = faults.wait_for(|faults| !faults.is_slow);
            let _ = tokio::time::timeout(SLOW, mended).await;
        }
        if self.faults().is_failing {
            let mut answer = Response::new(Full::new(Bytes::from_static(b"out of order\n")));
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return Ok(answer);
        }
        let path = head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let uri = Uri::builder().scheme("http").authority(self.inbox.to_string()).path_and_query(path);
        let mut passed = Request::new(Full::new(body));
        *passed.method_mut() = head.method;
        *passed.uri_mut() = uri.build().map_err(|_| Lost)?;
        *passed.headers_mut() = end_to_end(head.headers);
        let exchange = async {
            let (head, body) = self.client.request(passed).await.map_err(|_| Lost)?.into_parts();
            let body = body.collect().await.map_err(|_| Lost)?.to_bytes();
            Ok((head, body))
        };
        let (head, body) = tokio::time::timeout(ANSWER_TIMEOUT, exchange).await.map_err(|_| Lost)??;
        // Looked at after the exchange: what was under way when the switch was pressed may be lost, too.
        if self.faults().is_losing && self.answers.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOST_OF) {
            return Err(Lost);
        }
        let mut answer = Response::new(Full::new(body));
        *answer.status_mut() = head.status;
        *answer.headers_mut() = end_to_end(head.headers);
        Ok(answer)
    }

    fn faults(&self) -> Faults {
        *self.faults.borrow()
    }
}

/// Without what belongs to one connection, or is written anew.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [
        header::CONNECTION,
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::TE,
        header::TRAILER,
        header::UPGRADE,
    ] {
        headers.remove(name);
    }
    headers
}
