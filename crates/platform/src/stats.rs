//! Figures of the running platform that are not in the store: how long deliveries take, what is under way.

use std::sync::atomic::AtomicU64;

use hookit_contract::Timestamp;
use hookit_store::histogram::Histogram;

use crate::past::DoneAt;

/// Counted since the start of the process, with atomic additions; what is told apart by endpoint is behind a lock that is held for
/// an addition.
pub(crate) struct Stats {
    /// When that was.
    pub(crate) started_at: Timestamp,
    /// From the commit of a delivery to its acknowledgement, in microseconds.
    pub(crate) latency_us: Histogram,
    /// What was done at each endpoint since it was last written down.
    pub(crate) done_at: DoneAt,
    /// Attempts under way.
    pub(crate) in_flight: AtomicU64,
}

impl Stats {
    pub(crate) fn new(started_at: Timestamp) -> Self {
        Stats {
            started_at,
            latency_us: Histogram::default(),
            done_at: DoneAt::default(),
            in_flight: AtomicU64::new(0),
        }
    }
}
