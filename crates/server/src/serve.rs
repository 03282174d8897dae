//! The listener: connections, with TLS or without, heads, bodies and times within limits, and a stop that lets answers finish.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use hookit_contract::ErrorCode;
use http::{HeaderValue, Version, header};
use hyper::body::Incoming;
use hyper::server::conn::http1::Connection;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use crate::answer::{envelope, method_not_allowed, not_found};
use crate::faults::shortened;
use crate::in_flight::InFlight;
use crate::live::Streams;
use crate::stalled::Stalled;
use crate::unparsed::{Turn, Unparsed};
use crate::unread::Unread;
use crate::{ApiError, Certificate, Faults};

/// What a listener takes, and what it does beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time. Beyond it new ones wait in the system's queue.
    pub connections_max: usize,
    /// Request line and headers together. Beyond it: 431.
    pub head_bytes_max: usize,
    /// The body. Beyond it: 413.
    pub body_bytes_max: usize,
    /// For the handshake of TLS. Beyond it the connection is closed.
    pub handshake_timeout: Duration,
    /// For the head, from the first byte or from the answer before it on. Beyond it the connection is closed.
    pub head_timeout: Duration,
    /// For the body. Beyond it: 408.
    pub body_timeout: Duration,
    /// For the other end to take something of an answer. Beyond it the connection is closed.
    pub write_timeout: Duration,
    /// Bytes of large answers that are being taken, together. Beyond it a reading call with another large one: 503.
    pub answers_bytes_max: usize,
    /// Streams of events that are open at a time. Beyond it: 503.
    pub streams_max: usize,
    /// For answers that are under way when a stop is asked for. Beyond it they are broken off.
    pub stop_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 1024,
            head_bytes_max: 32 << 10,
            body_bytes_max: 2 << 20,
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(20),
            write_timeout: Duration::from_secs(60),
            answers_bytes_max: 128 << 20,
            streams_max: 128,
            stop_timeout: Duration::from_secs(15),
        }
    }
}

/// Whether a request came by TLS. In every request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsSecure(pub bool);

/// Beyond this many bytes of head hyper itself answers 431; below it we do, and name what is too large.
const HYPER_HEAD_BYTES_MAX: usize = 1_500_000;

/// Connections that wait in the system's queue, where the system allows so many.
const BACKLOG: u32 = 1024;

/// A listener to serve on.
///
/// # Errors
/// The operating system's.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of a server that has just ended linger on; they are not in the way of the next one.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves a router on a listener until the stop, then lets answers under way finish. Adds what every router has: the
/// envelope, the fallbacks, the head limit.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    serve_with(listener, None, router, limits, stop).await;
}

/// The same, with TLS where there is a certificate.
pub async fn serve_with(
    listener: TcpListener,
    certificate: Option<Certificate>,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let following = certificate.clone().map(Certificate::follow_files);
    let following = async {
        match following {
            Some(following) => following.await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = listen(listener, certificate, router, limits, stop) => {}
        () = following => unreachable!("files are looked at without end"),
    }
}

async fn listen(
    listener: TcpListener,
    certificate: Option<Certificate>,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let router = router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(move |request, next| check_head(limits, request, next)))
        .layer(middleware::from_fn(envelope));

    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        // No `pipeline_flush`: while more requests or more of a body are here to be read it lets answers pile up without
        // bound for a client that does not read them.
        .max_buf_size(HYPER_HEAD_BYTES_MAX);

    let shared = Shared {
        streams: Streams::new(limits.streams_max, stop.clone()),
        in_flight: InFlight::new(limits.answers_bytes_max as u64),
    };
    let connections = TaskTracker::new();
    let broken_off = CancellationToken::new();
    let places = Arc::new(Semaphore::new(limits.connections_max));
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = places.clone().acquire_owned() => place.expect("the semaphore is never closed"),
        };
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, or a connection that went away: neither ends the listener, and the
                    // first lasts a while.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        // Answers are small and waited for.
        let _ = stream.set_nodelay(true);
        let is_secure = IsSecure(certificate.is_some());
        let turn = Turn::default();
        let service = service(router.clone(), peer, is_secure, limits, shared.clone(), turn.clone());
        let builder = builder.clone();
        let (certificate, stop, broken_off) = (certificate.clone(), stop.clone(), broken_off.clone());
        connections.spawn(async move {
            let _place = place;
            let Some(certificate) = certificate else {
                let stream = TokioIo::new(Unparsed::new(Stalled::after(limits.write_timeout, stream), turn, limits.head_bytes_max));
                return converse(builder.serve_connection(stream, service), peer, stop, broken_off).await;
            };
            // A place is taken from the first byte on, so who dawdles here holds up nobody but itself.
            let accepted = tokio::select! {
                accepted = tokio::time::timeout(limits.handshake_timeout, certificate.accept(stream)) => accepted,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok(Ok(Some(stream))) => {
                    let stream = TokioIo::new(Unparsed::new(Stalled::after(limits.write_timeout, stream), turn, limits.head_bytes_max));
                    converse(builder.serve_connection(stream, service), peer, stop, broken_off).await;
                }
                Ok(Ok(None)) => tracing::debug!(%peer, "a connection came without TLS"),
                Ok(Err(error)) => tracing::debug!(%peer, %error, "a handshake failed"),
                Err(_) => tracing::debug!(%peer, "a handshake took too long"),
            }
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.stop_timeout, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "some answers did not finish before the stop");
        broken_off.cancel();
        connections.wait().await;
    }
}

/// Serves a connection to its end, or past the stop to the end of the answer that is under way.
async fn converse<I, S>(
    connection: Connection<I, S>,
    peer: SocketAddr,
    stop: CancellationToken,
    broken_off: CancellationToken,
) where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: hyper::service::Service<Request<Incoming>, Response = Response, Error = Infallible>,
{
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = broken_off.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}

/// What all connections of a listener share.
#[derive(Clone)]
struct Shared {
    streams: Streams,
    in_flight: InFlight,
}

fn service(
    router: Router,
    peer: SocketAddr,
    is_secure: IsSecure,
    limits: Limits,
    shared: Shared,
    turn: Turn,
) -> impl hyper::service::Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> {
    hyper::service::service_fn(move |request: Request<Incoming>| {
        let (mut router, shared, turn) = (router.clone(), shared.clone(), turn.clone());
        turn.begin();
        async move {
            let unread = Unread::of(&request, limits.body_timeout);
            let mut request = request.map(|body| Body::new(unread.watch(body)));
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(is_secure);
            request.extensions_mut().insert(shared.streams);
            request.extensions_mut().insert(shared.in_flight);
            let Ok(mut response) = router.call(request).await;
            if unread.ends_connection() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            unread.discard().await;
            Ok(response.map(|body| turn.watch(body)))
        }
    })
}

async fn check_head(limits: Limits, mut request: Request, next: Next) -> Response {
    let line = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let size = |(name, value): (&http::HeaderName, &http::HeaderValue)| name.as_str().len() + value.len() + 4;
    let total = line + request.headers().iter().map(size).sum::<usize>();
    if total > limits.head_bytes_max {
        let largest = request.headers().iter().max_by_key(|header| size(*header));
        let what = match largest {
            Some((name, value)) if value.len() > line => {
                format!("header {}: {} bytes", shortened(name.to_string(), NAME_SHOWN_MAX), value.len())
            }
            _ => format!("path: {line} bytes"),
        };
        let limit = limits.head_bytes_max;
        let message = format!("{what}; request line and headers together may have at most {limit}");
        return ApiError::new(ErrorCode::RequestHeaderTooLarge, message).into_response();
    }
    if let Err(refusal) = check_singles(&request) {
        return refusal.into_response();
    }
    request.extensions_mut().insert(limits);
    next.run(request).await
}

/// Characters of a header's name that are given back to whoever sent it.
const NAME_SHOWN_MAX: usize = 100;

/// Refuses a head that two readers could read differently: who is calling, and which host is meant, is said once.
fn check_singles(request: &Request) -> Result<(), ApiError> {
    let mut faults = Faults::default();
    for (name, shown) in [(header::AUTHORIZATION, "Authorization"), (header::HOST, "Host")] {
        let is_repeated = request.headers().get_all(name).iter().nth(1).is_some();
        faults.unless(!is_repeated, shown, "given more than once");
    }
    let needs_host = request.version() == Version::HTTP_11;
    let is_missing = needs_host && !request.headers().contains_key(header::HOST);
    faults.unless(!is_missing, "Host", "missing; HTTP/1.1 asks for it");
    faults.none(())
}
