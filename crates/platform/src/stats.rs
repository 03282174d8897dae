//! Figures of the running platform that are not in the store: how long deliveries take, what is under way.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hdrhistogram::Histogram;

/// Longest time that the histogram tells apart, in microseconds: an hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// Counted since the start of the process.
pub(crate) struct Stats {
    /// From the commit of a delivery to its acknowledgement, in microseconds; only deliveries of this process's life.
    latency_us: Mutex<Histogram<u64>>,
    /// Attempts under way.
    pub(crate) in_flight: AtomicU64,
}

/// Quantiles of the time from commit to acknowledgement, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
}

impl Stats {
    pub(crate) fn new() -> Self {
        Stats {
            latency_us: Mutex::new(
                Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are in order"),
            ),
            in_flight: AtomicU64::new(0),
        }
    }

    pub(crate) fn acknowledged_after(&self, latency_us: u64) {
        self.latency_us.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(latency_us);
    }

    pub(crate) fn latency(&self) -> Latency {
        let latency = self.latency_us.lock().unwrap_or_else(PoisonError::into_inner);
        if latency.is_empty() {
            return Latency::default();
        }
        Latency {
            count: latency.len(),
            p50_us: latency.value_at_quantile(0.50),
            p99_us: latency.value_at_quantile(0.99),
            max_us: latency.max(),
        }
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }
}
