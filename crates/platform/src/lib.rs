//! The platform: the source of truth for orders, and the delivery of their events.
//!
//! [`Platform::start`] puts the dispatcher to work on a store; [`Platform::router`] is its HTTP side: the operator
//! API, the Partner API, the console, the metrics, and the probes. What each may do is decided elsewhere: moves in the contract, sending in the
//! engine, atomicity in the store. This crate connects them.
//!
//! What this crate must not do: SQL, name a concrete store, decide whether or when to send.
//!
//! Start reading at `dispatcher.rs`, which is the way from a commit to a partner's acknowledgement and back.

mod api;
mod chores;
mod console;
mod credentials;
mod dispatcher;
mod metrics;
mod once;
mod operator;
mod order_schema;
mod partner;
mod past;
mod payload;
mod rates;
mod recorder;
mod reference;
mod removals;
mod replays;
mod retention;
mod sender;
mod stats;
mod vault;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hookit_contract::{Clock, StatusCodes};
use hookit_egress::UrlRules;
use hookit_engine::EngineConfig;
use hookit_server::page::Sessions;
use hookit_server::routes::{Routes, get};
use hookit_server::{Answer, ApiError, Guesses, Secret, Tasks};
use hookit_store::platform::Store;

pub use credentials::MetricsAccess;
pub use operator::status::{
    ActivityStatus, BreakerStatus, DurationBucket, DurationStatus, EndpointStatus, HoldStatus, QueueStatus,
    SizeBucket, SizeStatus, Status, TickStatus,
};
pub use rates::PartnerRates;
pub use sender::Sender;
pub use vault::{Vault, VaultError};

/// How the platform behaves. Where it listens and keeps its data is the caller's to say.
#[derive(Clone, Debug)]
pub struct PlatformConfig {
    /// Limits and retry plan of the delivery engine.
    pub engine: EngineConfig,
    /// Orders in a delivery at most, for all registrations; the same as the store's.
    pub orders_per_delivery_max: usize,
    /// What a registration's URL must be like; the same as the sender's.
    pub url_rules: UrlRules,
    /// The token of the first admin of the operator API, who can issue others.
    pub operator_token: Secret,
    /// Who may read `/metrics`, beside operators.
    pub metrics: MetricsAccess,
    /// How many calls a partner may make.
    pub rates: PartnerRates,
    /// Which code stands for which status; the same as the store's.
    pub codes: StatusCodes,
    /// Seed of the jitter of retries. Any number; another one after each start.
    pub jitter_seed: u64,
    /// How long events, and deliveries that have ended, are kept.
    pub retention: Duration,
    /// How long a stop waits for attempts under way; longer than one exchange may last.
    pub stop_timeout: Duration,
}

/// How long events and ended deliveries are kept where nothing else is said: 30 days.
pub const RETENTION: Duration = Duration::from_secs(30 * 86_400);

/// Why the platform could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store does not answer.
    #[error("the store cannot be read")]
    Store(#[from] hookit_store::Error),
    /// The key file and the store do not belong together.
    #[error(
        "the webhook secret of partner {partner_id} cannot be read with the key of this data folder; was platform.key replaced?"
    )]
    WrongKey {
        /// The first partner that it shows at.
        partner_id: String,
    },
}

/// A platform at work.
pub struct Platform {
    shared: Arc<Shared>,
    tasks: Tasks,
    stop_timeout: Duration,
}

/// What the handlers and the dispatcher share.
struct Shared {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    vault: Vault,
    operator_token: Secret,
    metrics: MetricsAccess,
    rates: rates::Rates,
    /// Wrong credentials of all kinds, at the APIs and at the console's door.
    guesses: Guesses,
    /// Who is signed in at the console.
    sessions: Sessions<credentials::Holder>,
    codes: StatusCodes,
    url_rules: UrlRules,
    posts: payload::Posts,
    /// What a registration may ask for at most.
    in_flight_max: usize,
    orders_per_delivery_max: usize,
    stats: stats::Stats,
    /// Posts what is tried out by hand; the dispatcher has the same one.
    sender: Arc<dyn Sender>,
    trials: operator::trial::Trials,
    /// Tells that a replay was begun or steered, so that its work is looked after.
    replays_changed: tokio::sync::Notify,
    /// Tells that a registration was removed, so that what waits for it is taken back.
    webhook_removed: tokio::sync::Notify,
    /// Asks the dispatcher how the endpoints stand.
    inspections: tokio::sync::mpsc::Sender<dispatcher::Inspection>,
}

/// Questions to the dispatcher that wait at most; beyond it whoever asks waits.
const INSPECTIONS_MAX: usize = 16;

impl Platform {
    /// Puts the dispatcher to work: what is pending in the store goes out from here on.
    ///
    /// # Errors
    /// [`StartError`]
    pub async fn start(
        config: PlatformConfig,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        vault: Vault,
        sender: Arc<dyn Sender>,
    ) -> Result<Platform, StartError> {
        let unreadable = api::find_partner(&*store, |partner| {
            let next = partner.webhook_secret_next.iter().map(|(sealed, _)| sealed);
            let mut secrets = next.chain([&partner.webhook_secret]);
            secrets.any(|sealed| payload::webhook_secret(&vault, &partner.partner_id, sealed).is_none())
        });
        if let Some(partner) = unreadable.await? {
            return Err(StartError::WrongKey { partner_id: partner.partner_id.to_string() });
        }
        let (inspections, asked) = tokio::sync::mpsc::channel(INSPECTIONS_MAX);
        let started_at = clock.now();
        let shared = Arc::new(Shared {
            store,
            clock,
            posts: payload::Posts::new(vault.clone(), config.url_rules),
            vault,
            operator_token: config.operator_token,
            metrics: config.metrics,
            rates: rates::Rates::new(config.rates),
            guesses: Guesses::default(),
            sessions: console::sessions(),
            codes: config.codes,
            url_rules: config.url_rules,
            in_flight_max: config.engine.in_flight_max,
            orders_per_delivery_max: config.orders_per_delivery_max,
            stats: stats::Stats::new(started_at),
            sender: sender.clone(),
            trials: operator::trial::Trials::default(),
            replays_changed: tokio::sync::Notify::new(),
            webhook_removed: tokio::sync::Notify::new(),
            inspections,
        });
        let tasks = Tasks::new();
        dispatcher::start(shared.clone(), sender, config.engine, config.jitter_seed, asked, &tasks).await?;
        chores::start(replays::Replays, shared.clone(), &tasks);
        chores::start(removals::Removals, shared.clone(), &tasks);
        chores::start(retention::Retention::new(config.retention), shared.clone(), &tasks);
        chores::start(past::Past::default(), shared.clone(), &tasks);
        Ok(Platform { shared, tasks, stop_timeout: config.stop_timeout })
    }

    /// The HTTP side.
    pub fn router(&self) -> Router {
        let probes = Routes::new("Status")
            .route(
                "/healthz",
                get(async || Answer::ok(&"ok")).lenient().named("getHealth", "The process is up."),
            )
            .route(
                "/readyz",
                get(api::ready)
                    .lenient()
                    .named("getReadiness", "The store takes changes, and answers from its file.")
                    .details("Where the last commit failed, for want of room on the disk for example, the answer is 503 until one does not."),
            )
            .with_state(self.shared.clone());
        let routes = probes
            .merge(metrics::routes(self.shared.clone()))
            .merge(operator::routes(self.shared.clone()))
            .merge(partner::routes(self.shared.clone()));
        reference::served(routes).merge(console::router(self.shared.clone()))
    }

    /// How things stand, as `/v1/operator/status` says it.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn status(&self) -> Result<Status, ApiError> {
        operator::status::read(&self.shared).await
    }

    /// Stops: attempts under way finish or time out, outcomes are recorded, the store is closed. To be called when
    /// no more requests come in.
    pub async fn stop(self) {
        if !self.tasks.stop(self.stop_timeout).await {
            tracing::warn!("some attempts did not finish before the stop; they will be made again");
        }
        self.shared.store.close().await;
    }
}
