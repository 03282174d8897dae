//! How things stand, typed: for the API, for pages, for the terminal, and for `/metrics`, which says the same in another
//! form. Whatever is counted is shown by way of this, so that no two surfaces can tell different figures.
//!
//! Reading it holds up nobody: the store answers from memory and by an index, and the dispatcher says from memory how the
//! endpoints stand and waits for nothing meanwhile.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use hookit_contract::{AttemptOutcome, DeliveryState, EndpointId, PartnerId, Timestamp};
use hookit_engine::{BreakerState, EndpointStats};
use hookit_server::routes::{Routes, get};
use hookit_server::{Answer, ApiError};
use hookit_store::histogram::Distribution;
use hookit_store::platform::{Activity, Endpoint, Figures};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::Shared;
use crate::api::store_error;
use crate::stats::{FailedAt, Failure};

/// How the platform stands.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Orders.
    pub orders: u64,
    /// Events: changes of orders. Those that were removed for their age are not counted, here and in the next ones.
    pub events: u64,
    /// Deliveries that are not acknowledged yet: the backlog.
    pub pending: u64,
    /// Deliveries that were acknowledged.
    pub delivered: u64,
    /// Deliveries that were given up: the dead letters.
    pub dead: u64,
    /// Deliveries that an operator took back.
    pub cancelled: u64,
    /// Deliveries that were passed over for newer ones.
    pub superseded: u64,
    /// Attempts.
    pub attempts: u64,
    /// Attempts under way.
    pub in_flight: u64,
    /// How long the delivery that has waited longest has been waiting; none where nothing is pending.
    pub oldest_pending_age_ms: Option<u64>,
    /// From the commit of a delivery to its acknowledgement, since the start of the process. Replays are not in it.
    pub latency: DurationStatus,
    /// What was done since the start of the process.
    pub since_start: ActivityStatus,
    /// The commits since the start of the process.
    pub ticks: TickStatus,
    /// What waits to be written.
    pub queue: QueueStatus,
    /// Endpoints, by id; empty while the platform is stopping. At most 1000: those that are down or held, then those with the
    /// largest backlogs.
    pub endpoints: Vec<EndpointStatus>,
    /// Endpoints that are not among them.
    #[serde(default)]
    pub endpoints_left_out: u64,
}

/// What was done since the start of the process. Only ever grows.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ActivityStatus {
    /// When the process was started.
    pub started_at: Timestamp,
    /// Changes of orders that were made, each of them an event.
    pub events: u64,
    /// Deliveries that were formed.
    pub formed: u64,
    /// Deliveries that were put in line by replays.
    pub replayed: u64,
    /// Deliveries that ended, by how. One that is replayed ends again.
    pub ended: BTreeMap<String, u64>,
    /// Attempts, by outcome.
    pub attempts: BTreeMap<String, u64>,
}

/// The group commits.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TickStatus {
    /// How much each one wrote: changes, ends of attempts and the like, one by one.
    pub writes: SizeStatus,
    /// How long each one took, until it was on disk.
    pub duration: DurationStatus,
}

/// The queue of what waits for a commit. Full, it refuses what comes with 503.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct QueueStatus {
    /// Commands that wait: changes, batches of them, batches of ends of attempts.
    pub commands: u64,
    /// How many may wait.
    pub commands_max: u64,
    /// About how many bytes they have.
    pub bytes: u64,
    /// How many they may have.
    pub bytes_max: u64,
}

/// How an endpoint stands. Figures of the engine are of what it has in memory.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
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
    /// The last attempt that was not acknowledged, since the start of the process.
    pub last_failure: Option<FailureStatus>,
    /// Deliveries that are not acknowledged yet, wherever they are.
    pub pending: u64,
    /// How long the first of them has been waiting; none where nothing is pending.
    pub oldest_pending_age_ms: Option<u64>,
    /// Deliveries that wait for their turn or their time.
    pub waiting: usize,
    /// True where more deliveries wait on disk than in memory.
    pub more_on_disk: bool,
    /// Attempts under way.
    pub in_flight: usize,
    /// How many attempts may be under way just now.
    pub in_flight_limit: usize,
}

impl EndpointStatus {
    pub(crate) fn is_in_trouble(&self) -> bool {
        self.hold.is_some() || self.breaker != BreakerStatus::Closed
    }
}

/// Why nothing is sent to an endpoint.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HoldStatus {
    /// `operator`, or `gone`: it answered 410.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// An attempt that was not acknowledged.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FailureStatus {
    /// When it ended.
    pub at: Timestamp,
    /// How.
    pub outcome: AttemptOutcome,
    /// With which HTTP status, where there was one.
    pub status: Option<u16>,
    /// The transport's own words, where it had some.
    pub error: Option<String>,
}

impl From<Failure> for FailureStatus {
    fn from(Failure { at, outcome, status, error }: Failure) -> Self {
        FailureStatus { at, outcome, status, error }
    }
}

/// Whether an endpoint is thought to be up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

impl BreakerStatus {
    /// All of them.
    pub const ALL: [BreakerStatus; 4] =
        [BreakerStatus::Closed, BreakerStatus::Open, BreakerStatus::Probing, BreakerStatus::Recovering];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            BreakerStatus::Closed => "closed",
            BreakerStatus::Open => "open",
            BreakerStatus::Probing => "probing",
            BreakerStatus::Recovering => "recovering",
        }
    }
}

/// How long something takes. Times are told apart to three digits.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DurationStatus {
    /// How many were measured.
    pub count: u64,
    /// Half of them took no longer, in microseconds.
    pub p50_us: u64,
    /// 99 of 100 took no longer, in microseconds.
    pub p99_us: u64,
    /// The longest, in microseconds.
    pub max_us: u64,
    /// All of them together, in microseconds.
    pub sum_us: u64,
    /// How many took how long at most.
    pub buckets: Vec<DurationBucket>,
}

/// How many took no longer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DurationBucket {
    /// Than so many microseconds.
    pub up_to_us: u64,
    /// How many, those of the buckets before included.
    pub count: u64,
}

impl DurationStatus {
    /// From a tenth of a millisecond to a day.
    const BOUNDS_US: [u64; 22] = [
        100,
        250,
        500,
        1_000,
        2_500,
        5_000,
        10_000,
        25_000,
        50_000,
        100_000,
        250_000,
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        30_000_000,
        60_000_000,
        300_000_000,
        3_600_000_000,
        21_600_000_000,
        86_400_000_000,
    ];

    fn of(measured: &Distribution) -> Self {
        let bucket = |up_to_us| DurationBucket { up_to_us, count: measured.up_to(up_to_us) };
        DurationStatus {
            count: measured.count(),
            p50_us: measured.at_thousandth(500),
            p99_us: measured.at_thousandth(990),
            max_us: measured.max(),
            sum_us: measured.sum(),
            buckets: DurationStatus::BOUNDS_US.map(bucket).into(),
        }
    }
}

/// How large something is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SizeStatus {
    /// How many were counted.
    pub count: u64,
    /// Half of them were no larger.
    pub p50: u64,
    /// 99 of 100 were no larger.
    pub p99: u64,
    /// The largest.
    pub max: u64,
    /// All of them together.
    pub sum: u64,
    /// How many were how large at most.
    pub buckets: Vec<SizeBucket>,
}

/// How many were no larger.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SizeBucket {
    /// Than this.
    pub up_to: u64,
    /// How many, those of the buckets before included.
    pub count: u64,
}

impl SizeStatus {
    const BOUNDS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];

    fn of(counted: &Distribution) -> Self {
        let bucket = |up_to| SizeBucket { up_to, count: counted.up_to(up_to) };
        SizeStatus {
            count: counted.count(),
            p50: counted.at_thousandth(500),
            p99: counted.at_thousandth(990),
            max: counted.max(),
            sum: counted.sum(),
            buckets: SizeStatus::BOUNDS.map(bucket).into(),
        }
    }
}

/// Endpoints in an answer at most.
const ENDPOINTS_MAX: usize = 1_000;

pub(super) fn routes() -> Routes<Arc<Shared>> {
    Routes::new("Status").route("/status", get(show).named("getStatus", "How the platform stands."))
}

async fn show(State(shared): State<Arc<Shared>>) -> Result<Answer<Status>, ApiError> {
    let mut status = read(&shared).await?;
    status.endpoints_left_out = keep_first(&mut status.endpoints, ENDPOINTS_MAX);
    Ok(Answer::ok(&status))
}

/// Keeps so many endpoints, by id: those that are down or held, then those with the largest backlogs. Says how many are left out.
pub(crate) fn keep_first<E: Borrow<EndpointStatus>>(endpoints: &mut Vec<E>, max: usize) -> u64 {
    let left_out = endpoints.len().saturating_sub(max);
    if left_out > 0 {
        endpoints.sort_by_key(|endpoint| {
            let endpoint = endpoint.borrow();
            (!endpoint.is_in_trouble(), Reverse(endpoint.pending), endpoint.endpoint_id)
        });
        endpoints.truncate(max);
        endpoints.sort_by_key(|endpoint| endpoint.borrow().endpoint_id);
    }
    left_out as u64
}

/// How every endpoint stands, and nothing else.
pub(crate) async fn endpoints_now(shared: &Shared) -> Result<Vec<EndpointStatus>, ApiError> {
    let engine = engine(shared).await;
    let known = shared.store.endpoints().await.map_err(store_error)?;
    let ages = oldest_ages(shared).await?;
    let figures = shared.store.figures().await.map_err(store_error)?;
    Ok(endpoints(known, engine, &figures.pending_at, &ages, &shared.stats.failed_at))
}

/// How long the first in the line of each endpoint has been waiting, in milliseconds.
async fn oldest_ages(shared: &Shared) -> Result<HashMap<EndpointId, u64>, ApiError> {
    let oldest = shared.store.oldest_pending().await.map_err(store_error)?;
    let now = shared.clock.now();
    let age = |since: Timestamp| u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
    Ok(oldest.into_iter().map(|(endpoint, since)| (endpoint, age(since))).collect())
}

pub(crate) async fn read(shared: &Shared) -> Result<Status, ApiError> {
    let engine = engine(shared).await;
    let known = shared.store.endpoints().await.map_err(store_error)?;
    let ages = oldest_ages(shared).await?;
    let figures = shared.store.figures().await.map_err(store_error)?;
    let Figures { counts, pending_at, activity, ticks, queue } = figures;
    Ok(Status {
        orders: counts.orders,
        events: counts.events,
        pending: counts.pending,
        delivered: counts.delivered,
        dead: counts.dead,
        cancelled: counts.cancelled,
        superseded: counts.superseded,
        attempts: counts.attempts,
        in_flight: shared.stats.in_flight.load(Ordering::Relaxed),
        oldest_pending_age_ms: ages.values().copied().max(),
        latency: DurationStatus::of(&shared.stats.latency_us.read()),
        since_start: since_start(shared.stats.started_at, &activity),
        ticks: TickStatus {
            writes: SizeStatus::of(&ticks.writes),
            duration: DurationStatus::of(&ticks.duration_us),
        },
        queue: QueueStatus {
            commands: queue.commands,
            commands_max: queue.commands_max,
            bytes: queue.bytes,
            bytes_max: queue.bytes_max,
        },
        endpoints: endpoints(known, engine, &pending_at, &ages, &shared.stats.failed_at),
        endpoints_left_out: 0,
    })
}

fn since_start(started_at: Timestamp, activity: &Activity) -> ActivityStatus {
    let ends = DeliveryState::ALL.into_iter().filter(|state| *state != DeliveryState::Pending);
    ActivityStatus {
        started_at,
        events: activity.events,
        formed: activity.formed,
        replayed: activity.replayed,
        ended: ends.map(|state| (state.to_string(), activity.ended(state))).collect(),
        attempts: AttemptOutcome::ALL
            .into_iter()
            .map(|outcome| (outcome.to_string(), activity.attempts(outcome)))
            .collect(),
    }
}

/// What the engine has in memory of each endpoint; nothing where the dispatcher has stopped, which drops the question.
async fn engine(shared: &Shared) -> HashMap<EndpointId, EndpointStats> {
    let (answer, figures) = oneshot::channel();
    let figures = match shared.inspections.send(answer).await {
        Ok(()) => figures.await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    figures.into_iter().collect()
}

fn endpoints(
    known: Vec<Endpoint>,
    mut engine: HashMap<EndpointId, EndpointStats>,
    pending_at: &BTreeMap<EndpointId, u64>,
    ages: &HashMap<EndpointId, u64>,
    failed_at: &FailedAt,
) -> Vec<EndpointStatus> {
    known
        .into_iter()
        .filter_map(|endpoint| Some((engine.remove(&endpoint.endpoint_id)?, endpoint)))
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
                last_failure: failed_at.last(endpoint.endpoint_id).map(FailureStatus::from),
                pending: pending_at.get(&endpoint.endpoint_id).copied().unwrap_or(0),
                oldest_pending_age_ms: ages.get(&endpoint.endpoint_id).copied(),
                waiting: figures.waiting,
                more_on_disk: figures.more_on_disk,
                in_flight: figures.in_flight,
                in_flight_limit: figures.in_flight_limit,
            }
        })
        .collect()
}
