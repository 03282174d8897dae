//! Figures of the running platform that are not in the store: how long deliveries take, what is under way.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use hookit_contract::{AttemptOutcome, EndpointId, Timestamp};
use hookit_store::histogram::Histogram;

use crate::past::{COUNTED_MAX, DoneAt};

/// Counted since the start of the process, with atomic additions; what is told apart by endpoint is behind a lock that is held for
/// an addition.
pub(crate) struct Stats {
    /// When that was.
    pub(crate) started_at: Timestamp,
    /// From the commit of a delivery to its acknowledgement, in microseconds.
    pub(crate) latency_us: Histogram,
    /// What was done at each endpoint since it was last written down.
    pub(crate) done_at: DoneAt,
    /// The last attempt at each endpoint that was not acknowledged.
    pub(crate) failed_at: FailedAt,
    /// Attempts under way.
    pub(crate) in_flight: AtomicU64,
}

/// An attempt that was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) at: Timestamp,
    pub(crate) outcome: AttemptOutcome,
    pub(crate) status: Option<u16>,
    /// The transport's own words, where it had some.
    pub(crate) error: Option<String>,
}

/// The last failure at each endpoint.
#[derive(Debug, Default)]
pub(crate) struct FailedAt(Mutex<HashMap<EndpointId, Failure>>);

impl FailedAt {
    /// An attempt has failed.
    pub(crate) fn note(&self, endpoint_id: EndpointId, failure: Failure) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < COUNTED_MAX || all.contains_key(&endpoint_id) {
            all.insert(endpoint_id, failure);
        }
    }

    /// How the last one at an endpoint failed, where one did.
    pub(crate) fn last(&self, endpoint_id: EndpointId) -> Option<Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&endpoint_id).cloned()
    }
}

impl Stats {
    pub(crate) fn new(started_at: Timestamp) -> Self {
        Stats {
            started_at,
            latency_us: Histogram::default(),
            done_at: DoneAt::default(),
            failed_at: FailedAt::default(),
            in_flight: AtomicU64::new(0),
        }
    }
}
