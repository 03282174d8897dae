//! What large answers may hold of memory together while they are taken.
//!
//! Each of them is bounded by itself, and who takes nothing loses the connection after a while; but many who are slow would hold
//! the sum of theirs until then. So what an answer holds is counted from the moment at which it is ready until its last byte has
//! left, and a reading call whose answer has no room is refused: it can be made again. What was done already is told in any case,
//! and so is everything small.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

/// Answers up to this size are not counted.
const SMALL_BYTES_MAX: u64 = 64 << 10;

/// What an answer that comes in pieces holds at a time, about: one piece, and what the connection has of the one before.
pub(crate) const IN_PIECES_BYTES: u64 = 2 << 20;

/// The count of one listener.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    bytes: Arc<AtomicU64>,
    bytes_max: u64,
}

/// What one answer holds, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    of: Arc<AtomicU64>,
    bytes: u64,
}

/// There is no room for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl InFlight {
    pub(crate) fn new(bytes_max: u64) -> Self {
        InFlight { bytes: Arc::default(), bytes_max }
    }

    /// The share of an answer; none where it is small. What has to be told gets one in any case; so does an answer that is alone,
    /// whatever it has.
    pub(crate) fn share(&self, bytes: u64, has_to_be_told: bool) -> Result<Option<Share>, NoRoom> {
        if bytes <= SMALL_BYTES_MAX {
            return Ok(None);
        }
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let share = Share { of: Arc::clone(&self.bytes), bytes };
        let has_room = before == 0 || before.saturating_add(bytes) <= self.bytes_max;
        if has_room || has_to_be_told { Ok(Some(share)) } else { Err(NoRoom) }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A body that holds its share until the last of its bytes is let go: also those that wait in the connection.
pub(crate) struct Counted {
    body: Body,
    share: Arc<Share>,
}

impl Counted {
    pub(crate) fn new(body: Body, share: Share) -> Self {
        Counted { body, share: Arc::new(share) }
    }
}

/// Bytes with the share that they are of.
struct Of {
    bytes: Bytes,
    _share: Arc<Share>,
}

impl AsRef<[u8]> for Of {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Counted { body, share } = &mut *self;
        Pin::new(body).poll_frame(context).map_ok(|frame| {
            frame.map_data(|bytes| Bytes::from_owner(Of { bytes, _share: Arc::clone(share) }))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
