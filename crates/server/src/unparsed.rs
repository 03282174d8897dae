//! What cannot be read as a request never comes to a router: hyper answers it by itself, with a status and nothing else. Here
//! that answer gets the envelope of all others, on its way out.
//!
//! Which bytes are hyper's own is known by when they are written: the service has not been called since the last answer was
//! written to its end. Where that is not certain, because an answer is still on its way, hyper's answer goes out as it is.
//!
//! What this module must not do: touch what a handler has answered.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use hookit_contract::ErrorCode;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::answer::envelope_alone;
use crate::{ApiError, Fault};

/// No request is being answered, and all that was answered is written.
const IDLE: u8 = 0;
/// The service has been called.
const ANSWERING: u8 = 1;
/// The answer is with hyper as a whole, and may be written only in part.
const ANSWERED: u8 = 2;

/// Whose bytes are being written on a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn(Arc<AtomicU8>);

impl Turn {
    /// The service is called.
    pub(crate) fn begin(&self) {
        self.0.store(ANSWERING, Ordering::Relaxed);
    }

    /// The body of its answer, with whose end the answer ends.
    pub(crate) fn watch(&self, body: axum::body::Body) -> axum::body::Body {
        axum::body::Body::new(Watched { body, turn: self.clone() })
    }
}

struct Watched {
    body: axum::body::Body,
    turn: Turn,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.turn.0.store(ANSWERED, Ordering::Relaxed);
    }
}

/// Who sent what cannot be read may still be sending: closed at once, the connection would be reset, and the answer lost. So
/// the rest is read for a moment, and thrown away.
const LINGER: Duration = Duration::from_secs(1);

/// A stream on which hyper's own answers get our form.
pub(crate) struct Unparsed<S> {
    stream: S,
    turn: Turn,
    head_bytes_max: usize,
    /// What is left to be written of an answer in our form.
    ours: Bytes,
    /// Runs once such an answer is out.
    lingering: Option<Pin<Box<Sleep>>>,
    has_answered: bool,
}

impl<S> Unparsed<S> {
    pub(crate) fn new(stream: S, turn: Turn, head_bytes_max: usize) -> Self {
        Unparsed { stream, turn, head_bytes_max, ours: Bytes::new(), lingering: None, has_answered: false }
    }

    /// Our answer in the place of hyper's, where these bytes are one.
    fn in_our_form(&self, bytes: &[u8]) -> Option<Bytes> {
        if self.turn.0.load(Ordering::Relaxed) != IDLE || self.has_answered || !bytes.ends_with(b"\r\n\r\n") {
            return None;
        }
        let status = bytes.strip_prefix(b"HTTP/1.1 ")?.first_chunk::<3>()?;
        let refused = match status {
            b"400" => Fault::new("head", "cannot be read; expected one as HTTP/1.1 has it").into(),
            b"414" | b"431" => {
                let limit = self.head_bytes_max;
                let message = format!(
                    "request line and headers together may have at most {limit} bytes, and at most {HEADERS_MAX} headers"
                );
                ApiError::new(ErrorCode::RequestHeaderTooLarge, message)
            }
            _ => return None,
        };
        Some(envelope_alone(refused))
    }
}

/// Headers of a request, as hyper has it. Beyond it, 431.
const HEADERS_MAX: usize = 100;

impl<S: AsyncRead + AsyncWrite + Unpin> Unparsed<S> {
    fn write_ours(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.ours.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, &self.ours))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.ours.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads on until the other end has no more to send, or for as long as that may take.
    fn linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let lingering = self.lingering.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        let mut buffer = [0; 4096];
        loop {
            if lingering.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            let mut buffer = ReadBuf::new(&mut buffer);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unparsed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Unparsed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(ours) = self.in_our_form(bytes) else {
            return Pin::new(&mut self.stream).poll_write(context, bytes);
        };
        (self.ours, self.has_answered) = (ours, true);
        // Hyper's is as good as written; ours goes out with the flush.
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match parts {
            [one] => self.poll_write(context, one),
            parts => Pin::new(&mut self.stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_ours(context))?;
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        // Hyper flushes when it has handed over all that it had.
        let _ = self.turn.0.compare_exchange(ANSWERED, IDLE, Ordering::Relaxed, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_ours(context))?;
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        if self.has_answered {
            ready!(self.linger(context));
        }
        Poll::Ready(Ok(()))
    }
}
