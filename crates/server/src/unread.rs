//! What a handler leaves of a request's body is read and thrown away before the answer goes out.
//!
//! A sender that is still writing when the connection is closed gets a reset instead of the answer that tells it what
//! was wrong: too large, no credentials, no such path. So the rest is read, within the body's time and a bound, and
//! kept nowhere. A sender that waits for our word before it sends (`Expect: 100-continue`) is answered right away:
//! nothing is on its way.
//!
//! What this module must not do: hold up an answer for a body that was read to its end.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Instant;

/// How much is thrown away at most.
const DISCARDED_BYTES_MAX: usize = 256 << 20;

/// What is left of one request's body.
pub(crate) struct Unread {
    rest: Arc<Mutex<Option<Incoming>>>,
    /// The sender waits for our word, and has not had it.
    waits: Arc<AtomicBool>,
    /// The body's time runs from the head on, whoever reads it.
    deadline: Instant,
}

impl Unread {
    pub(crate) fn of(request: &Request<Incoming>, timeout: Duration) -> Self {
        let expect = request.headers().get(header::EXPECT);
        Unread {
            rest: Arc::default(),
            waits: Arc::new(AtomicBool::new(
                !request.body().is_end_stream()
                    && expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")),
            )),
            deadline: Instant::now() + timeout,
        }
    }

    /// The body for the handler.
    pub(crate) fn watch(&self, body: Incoming) -> Watched {
        Watched { body: Some(body), waits: Arc::clone(&self.waits), rest: Arc::clone(&self.rest) }
    }

    /// The answer comes before the body that its sender was not told to send: what follows on this connection may be that or
    /// another request, so none can.
    pub(crate) fn ends_connection(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// Throws away what the handler left. Whether it arrives makes no difference to the answer.
    pub(crate) async fn discard(self) {
        let rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut body) = rest else { return };
        let discarding = async {
            let mut discarded = 0;
            while let Some(Ok(frame)) = body.frame().await {
                discarded += frame.data_ref().map_or(0, Bytes::len);
                if discarded > DISCARDED_BYTES_MAX {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout_at(self.deadline, discarding).await;
    }
}

/// A body that gives itself back when it is dropped before its end.
pub(crate) struct Watched {
    body: Option<Incoming>,
    /// The first look at its body is its go-ahead.
    waits: Arc<AtomicBool>,
    rest: Arc<Mutex<Option<Incoming>>>,
}

impl Watched {
    fn inner(&mut self) -> &mut Incoming {
        self.body.as_mut().expect("the body is taken when this is dropped, not before")
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.waits.store(false, Ordering::Relaxed);
        Pin::new(self.inner()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.waits.load(Ordering::Relaxed) && !self.is_end_stream() {
            *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = self.body.take();
        }
    }
}
