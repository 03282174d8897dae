//! How things stand, typed: for the API, for pages, for the terminal.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use hookit_contract::{EndpointId, PartnerId, Timestamp};
use hookit_engine::{BreakerState, EndpointStats};
use hookit_server::{Answer, ApiError};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::Shared;
use crate::api::store_error;

/// How the platform stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// Deliveries that were passed over for newer ones.
    pub superseded: u64,
    /// Attempts.
    pub attempts: u64,
    /// Attempts under way.
    pub in_flight: u64,
    /// From commit to acknowledgement, since the start of the process.
    pub latency: LatencyStatus,
    /// Every endpoint, by id; empty while the platform is stopping.
    pub endpoints: Vec<EndpointStatus>,
}

/// How an endpoint stands. Figures of the engine are of what it has in memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// Its id.
    pub endpoint_id: EndpointId,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// Where it is.
    pub url: String,
    /// Why and since when nothing is sent to it.
    pub hold: Option<HoldStatus>,
    /// Whether it is thought to be up.
    pub breaker: BreakerStatus,
    /// Since when.
    pub breaker_since: Timestamp,
    /// When the next probe may go, while it is down.
    pub next_probe_at: Option<Timestamp>,
    /// Attempts that have ended since the last acknowledgement.
    pub failures_in_a_row: u32,
    /// Deliveries that wait for their turn or their time.
    pub waiting: usize,
    /// True where more deliveries wait on disk than in memory.
    pub more_on_disk: bool,
    /// Attempts under way.
    pub in_flight: usize,
    /// How many attempts may be under way just now.
    pub in_flight_limit: usize,
}

/// Why nothing is sent to an endpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HoldStatus {
    /// `operator`, or `gone`: it answered 410.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// Whether an endpoint is thought to be up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerStatus {
    /// It is up.
    Closed,
    /// It is down.
    Open,
    /// It was down; one probe is under way.
    Probing,
    /// It is back, and its backlog goes out faster and faster.
    Recovering,
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
        superseded: counts.superseded,
        attempts: counts.attempts,
        in_flight: shared.stats.in_flight(),
        latency: LatencyStatus {
            count: latency.count,
            p50_us: latency.p50_us,
            p99_us: latency.p99_us,
            max_us: latency.max_us,
        },
        endpoints: endpoints(shared).await?,
    })
}

async fn endpoints(shared: &Shared) -> Result<Vec<EndpointStatus>, ApiError> {
    let (answer, figures) = oneshot::channel();
    // A dispatcher that has stopped drops the question.
    let figures = match shared.inspections.send(answer).await {
        Ok(()) => figures.await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let mut figures: HashMap<EndpointId, EndpointStats> = figures.into_iter().collect();
    let known = shared.store.endpoints().await.map_err(store_error)?;
    Ok(known
        .into_iter()
        .filter_map(|endpoint| Some((figures.remove(&endpoint.endpoint_id)?, endpoint)))
        .map(|(figures, endpoint)| {
            let (breaker, next_probe_at) = match figures.breaker {
                BreakerState::Closed => (BreakerStatus::Closed, None),
                BreakerState::Open { until } => (BreakerStatus::Open, Some(until)),
                BreakerState::Probing => (BreakerStatus::Probing, None),
                BreakerState::Recovering => (BreakerStatus::Recovering, None),
            };
            EndpointStatus {
                endpoint_id: endpoint.endpoint_id,
                partner_id: endpoint.partner_id,
                url: endpoint.url,
                hold: endpoint
                    .hold
                    .map(|(reason, since)| HoldStatus { reason: reason.as_str().to_owned(), since }),
                breaker,
                breaker_since: figures.breaker_since,
                next_probe_at,
                failures_in_a_row: figures.failures_in_a_row,
                waiting: figures.waiting,
                more_on_disk: figures.more_on_disk,
                in_flight: figures.in_flight,
                in_flight_limit: figures.in_flight_limit,
            }
        })
        .collect())
}
