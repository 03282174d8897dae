//! How things stand, typed: for the API, for pages, for the terminal.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use hookit_server::{Answer, ApiError};
use serde::{Deserialize, Serialize};

use crate::Shared;
use crate::api::store_error;

/// How the platform stands.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Orders.
    pub orders: u64,
    /// Events: changes of orders.
    pub events: u64,
    /// Deliveries that are not acknowledged yet.
    pub pending: u64,
    /// Deliveries that were acknowledged.
    pub delivered: u64,
    /// Deliveries that were given up.
    pub dead: u64,
    /// Deliveries that an operator took back.
    pub cancelled: u64,
    /// Attempts.
    pub attempts: u64,
    /// Attempts under way.
    pub in_flight: u64,
    /// From commit to acknowledgement, since the start of the process.
    pub latency: LatencyStatus,
}

/// Quantiles of the time from the commit of a delivery to its acknowledgement.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct LatencyStatus {
    /// Deliveries counted.
    pub count: u64,
    /// Half of them took no longer, in microseconds.
    pub p50_us: u64,
    /// 99 of 100 took no longer, in microseconds.
    pub p99_us: u64,
    /// The longest, in microseconds.
    pub max_us: u64,
}

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new().route("/status", get(show))
}

async fn show(State(shared): State<Arc<Shared>>) -> Result<Answer, ApiError> {
    Ok(Answer::ok(&read(&shared).await?))
}

pub(crate) async fn read(shared: &Shared) -> Result<Status, ApiError> {
    let counts = shared.store.counts().await.map_err(store_error)?;
    let latency = shared.stats.latency();
    Ok(Status {
        orders: counts.orders,
        events: counts.events,
        pending: counts.pending,
        delivered: counts.delivered,
        dead: counts.dead,
        cancelled: counts.cancelled,
        attempts: counts.attempts,
        in_flight: shared.stats.in_flight(),
        latency: LatencyStatus {
            count: latency.count,
            p50_us: latency.p50_us,
            p99_us: latency.p99_us,
            max_us: latency.max_us,
        },
    })
}
