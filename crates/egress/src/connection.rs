//! One HTTP/1.1 connection, driven by whoever uses it.
//!
//! The HTTP library splits a connection into a sender and a driver, and expects the driver to run as a task of its
//! own. Here the two are polled together by the one attempt that owns the connection, and nobody polls it while it
//! is idle. So there are no tasks to name and drain, a connection ends when its attempt is dropped, and it is back
//! in the pool before the attempt returns.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hookit_contract::AttemptOutcome;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::connector::Transport;
use crate::post::{Failure, cause_chain};

type Driver = http1::Connection<TokioIo<Metered>, Full<Bytes>>;

pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// None once it has finished; a finished driver must not be polled.
    driver: Option<Box<Driver>>,
    meter: Arc<Meter>,
    address: SocketAddr,
    answer_head_bytes_max: usize,
}

/// Why there is no answer head.
pub(crate) enum SendError {
    /// Not one byte of the request was handed to the socket: it may go out on another connection.
    NotSent(Box<Request<Full<Bytes>>>, Failure),
    /// The request may have been read.
    Failed(Failure),
}

impl Connection {
    pub(crate) async fn open(
        transport: Transport,
        address: SocketAddr,
        answer_head_bytes_max: usize,
    ) -> Result<Self, Failure> {
        let meter = Arc::new(Meter::default());
        let io = TokioIo::new(Metered { transport, meter: Arc::clone(&meter) });
        let (sender, driver) =
            http1::Builder::new().max_buf_size(answer_head_bytes_max).handshake(io).await.map_err(|e| {
                Failure { outcome: AttemptOutcome::ConnectionLost, error: cause_chain("HTTP", &e) }
            })?;
        Ok(Connection { sender, driver: Some(Box::new(driver)), meter, address, answer_head_bytes_max })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// When the first byte after the last request came.
    pub(crate) fn first_byte_at(&self) -> Option<Instant> {
        self.meter.state().first_byte_at
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, SendError> {
        // A read that completes the head may bring as much of the body with it as fits the parser's buffer.
        self.meter.begin(self.answer_head_bytes_max.saturating_mul(2));
        let answer = self.sender.try_send_request(request);
        let answer = drive(&mut self.driver, answer).await;
        self.meter.head_is_here();
        answer.map_err(|mut error| {
            let message = error.take_message();
            let error = error.into_error();
            let unreadable = error.is_parse()
                || has_cause::<AnswerHeadTooLong>(&error)
                // Bytes that are neither an answer nor the end of the connection: a greeting of another protocol.
                || (self.first_byte_at().is_some()
                    && !error.is_incomplete_message()
                    && !has_cause::<io::Error>(&error));
            let outcome =
                if unreadable { AttemptOutcome::AnswerUnreadable } else { AttemptOutcome::ConnectionLost };
            let failure = Failure { outcome, error: cause_chain("HTTP", &error) };
            match message {
                Some(request) => SendError::NotSent(Box::new(request), failure),
                None => SendError::Failed(failure),
            }
        })
    }

    /// The next piece of the answer's body; none at its end.
    pub(crate) async fn next_data(&mut self, body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            match drive(&mut self.driver, body.frame()).await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Whether the connection can take another request: open, and with nothing outstanding either way. It never waits:
    /// a connection that would need more time (the answer came before the request was read) is not worth keeping.
    pub(crate) async fn is_ready(&mut self) -> bool {
        poll_fn(|cx| {
            // The first turn of the driver may only end the exchange; the second then asks for the next request.
            for _ in 0..2 {
                poll_driver(&mut self.driver, cx);
                if self.driver.is_none() {
                    return Poll::Ready(false);
                }
                if let Poll::Ready(ready) = self.sender.poll_ready(cx) {
                    return Poll::Ready(ready.is_ok());
                }
            }
            Poll::Ready(false)
        })
        .await
    }
}

/// Polls a future that waits for the connection together with the connection itself.
async fn drive<F: Future>(driver: &mut Option<Box<Driver>>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        // First, since this is what hands the driver its work; last, since the driver may have brought the result.
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(output);
        }
        poll_driver(driver, cx);
        future.as_mut().poll(cx)
    })
    .await
}

fn poll_driver(driver: &mut Option<Box<Driver>>, cx: &mut Context<'_>) {
    // The error it may end with also reaches the request or the body that it breaks, and is reported from there.
    if let Some(running) = driver
        && Pin::new(running).poll(cx).is_ready()
    {
        *driver = None;
    }
}

fn has_cause<E: std::error::Error + 'static>(error: &dyn std::error::Error) -> bool {
    std::iter::successors(error.source(), |e| e.source()).any(|e| {
        e.is::<E>()
            || e.downcast_ref::<io::Error>().and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<E>())
    })
}

/// What an answer says about how long its connection will be kept: the `timeout` of `Keep-Alive`.
pub(crate) fn keep_alive_hint(headers: &http::HeaderMap) -> Option<Duration> {
    let text = headers.get("keep-alive")?.to_str().ok()?;
    let seconds = text.split(',').find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.eq_ignore_ascii_case("timeout").then(|| value.trim().parse().ok())?
    })?;
    Some(Duration::from_secs(seconds))
}

/// What came over a connection during the current exchange.
#[derive(Default)]
struct Meter(Mutex<MeterState>);

#[derive(Default)]
struct MeterState {
    first_byte_at: Option<Instant>,
    /// How many more bytes may come before there is a head. None while a body is read, which is counted elsewhere,
    /// and while the connection is idle.
    head_bytes_left: Option<usize>,
}

/// The parser bounds one head. It does not bound a row of informational answers, of which each is thrown away.
#[derive(Debug, thiserror::Error)]
#[error("the answer's head is too long")]
struct AnswerHeadTooLong;

impl Meter {
    fn state(&self) -> MutexGuard<'_, MeterState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, head_bytes_max: usize) {
        *self.state() = MeterState { first_byte_at: None, head_bytes_left: Some(head_bytes_max) };
    }

    fn head_is_here(&self) {
        self.state().head_bytes_left = None;
    }

    fn count(&self, bytes: usize) -> io::Result<()> {
        let mut state = self.state();
        if bytes > 0 && state.first_byte_at.is_none() {
            state.first_byte_at = Some(Instant::now());
        }
        if let Some(left) = &mut state.head_bytes_left {
            *left = left.checked_sub(bytes).ok_or_else(|| io::Error::other(AnswerHeadTooLong))?;
        }
        Ok(())
    }
}

struct Metered {
    transport: Transport,
    meter: Arc<Meter>,
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.transport).poll_read(cx, buf))?;
        Poll::Ready(self.meter.count(buf.filled().len() - before))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keep_alive_hint_is_read_where_there_is_one() {
        let hint = |text: &str| {
            let mut headers = http::HeaderMap::new();
            headers.insert("keep-alive", text.parse().unwrap());
            keep_alive_hint(&headers)
        };
        assert_eq!(hint("timeout=5"), Some(Duration::from_secs(5)));
        assert_eq!(hint("max=100, Timeout = 72"), None);
        assert_eq!(hint("max=100, Timeout=72"), Some(Duration::from_secs(72)));
        assert_eq!(hint("timeout=soon"), None);
        assert_eq!(hint("5"), None);
        assert_eq!(keep_alive_hint(&http::HeaderMap::new()), None);
    }
}
