//! The inbox: what a partner runs in front of its own system, so that it never has to write a webhook receiver.
//!
//! [`Inbox::router`] has two sides. `POST /webhooks/klikit` takes deliveries in: raw body, signature, one store verb
//! that commits id and view together, and only then the 2xx (G7). The read side shows the view: the newest record of
//! each order byte for byte, what came in which order, and what could not be read.
//!
//! What this crate must not do: decide which of two states is the newer one (the store applies the contract's rule),
//! keep anything in memory that a restart would miss, but for counts and hints for people, or write a body, a secret or a
//! signature to a log.

mod config;
mod console;
mod counters;
mod deliveries;
mod moves;
mod partner;
mod quarantine;
mod read;
mod receive;
mod reconcile;
mod reference;
mod refused;
mod retention;
pub mod sinks;
mod sources;
mod status;
mod stream;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use axum::Router;
use hookit_contract::{Clock, Timestamp, WebhookSecret};
use hookit_server::page::Sessions;
use hookit_server::{Guesses, Secret, Tasks};
use hookit_store::inbox::Store;
use tokio::sync::Semaphore;

pub use config::{BasicAuth, InboxConfig, InboxConfigError, NAMED_MAX, NamedSecret};
pub use counters::{Counters, RefusalReason};
pub use moves::HOLD_TIME as MOVES_HOLD_TIME;
pub use partner::PartnerApiConfig;
pub use reconcile::{ReconcileConfig, ReconcileStatus, ReconcileWay};
pub use retention::{PACK_AFTER, RETENTION};
pub use sources::Sources;
pub use status::{InboxActivity, InboxStatus, ReconcileLine, SinkLine};

use crate::counters::{LiveCounters, Recent};
use crate::moves::Mover;
use crate::partner::PartnerApi;
use crate::reconcile::Reconciler;
use crate::refused::RefusedOrders;
use crate::sinks::Sinks;

/// A receiver with its view. Clones are the same inbox.
#[derive(Clone)]
pub struct Inbox(Arc<Shared>);

/// What all handlers share.
struct Shared {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    secrets: Vec<KeyedSecret>,
    /// The whole value of the `Authorization` header that a delivery must carry, after the scheme.
    basic_auth: Option<Secret>,
    config: InboxConfig,
    /// Bytes of large bodies that may still be taken into memory.
    body_room: Arc<Semaphore>,
    counters: LiveCounters,
    recent: Recent,
    refused: RefusedOrders,
    started_at: Timestamp,
    /// Wrong tokens, at the API and at the console's door.
    guesses: Guesses,
    /// Who is signed in at the console.
    sessions: Sessions<console::Holder>,
    /// Where there are any, once they are started.
    sinks: OnceLock<Sinks>,
    reconciler: Reconciler,
    mover: Mover,
}

/// A secret ready to verify with, what to call it in a log, and how many deliveries it has signed since the start.
struct KeyedSecret {
    name: Arc<str>,
    secret: WebhookSecret,
    deliveries: AtomicU64,
}

impl Inbox {
    /// An inbox on a store.
    ///
    /// # Errors
    /// [`InboxConfigError`] with everything that is wrong in the configuration.
    pub fn new(
        config: InboxConfig,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, InboxConfigError> {
        config.check()?;
        let keyed = |named: &NamedSecret| KeyedSecret {
            name: named.name.as_str().into(),
            secret: WebhookSecret::new(named.secret.expose().as_bytes()),
            deliveries: AtomicU64::new(0),
        };
        Ok(Inbox(Arc::new(Shared {
            store,
            started_at: clock.now(),
            clock,
            secrets: config.secrets.iter().map(keyed).collect(),
            basic_auth: config.basic_auth.as_ref().map(BasicAuth::credentials),
            body_room: Arc::new(Semaphore::new(config.large_bodies_bytes_max)),
            counters: LiveCounters::default(),
            recent: Recent::default(),
            refused: RefusedOrders::default(),
            guesses: Guesses::default(),
            sessions: console::sessions(),
            sinks: OnceLock::new(),
            reconciler: Reconciler::default(),
            mover: Mover::default(),
            config,
        })))
    }

    /// Starts what goes on beside the requests: removing what is old, packing what is seldom looked at and, where there is a Partner API credential, asking it for what was missed, and
    /// sending it the moves that were asked for.
    ///
    /// # Errors
    /// Where no connections could be made at all.
    pub fn start(&self, tasks: &Tasks) -> Result<(), hookit_egress::Error> {
        retention::start(self.0.clone(), tasks);
        let Some(config) = &self.0.config.partner_api else { return Ok(()) };
        let api = Arc::new(PartnerApi::new(config, self.0.clock.clone(), self.0.config.jitter_seed)?);
        reconcile::start(self.0.clone(), api.clone(), tasks);
        moves::start(self.0.clone(), api, tasks);
        Ok(())
    }

    /// How asking for what was missed goes; nothing where there is no credential to ask with.
    pub fn reconcile_status(&self) -> Option<ReconcileStatus> {
        self.0.config.partner_api.as_ref().map(|_| self.0.reconciler.status())
    }

    /// The routes, to be served by [`hookit_server::serve`], which adds what every router has.
    pub fn router(&self) -> Router {
        let shown = read::routes()
            .merge(stream::routes())
            .merge(deliveries::shown())
            .merge(quarantine::shown())
            .merge(moves::shown())
            .merge(reconcile::shown())
            .merge(status::shown());
        let asked =
            moves::asked().merge(quarantine::asked()).merge(reconcile::asked()).merge(status::asked());
        let routes = receive::routes()
            .merge(read::for_readers(&self.0, shown))
            .merge(read::for_writers(&self.0, asked))
            .merge(read::probes());
        reference::served(routes.with_state(self.0.clone())).merge(console::router(self.0.clone()))
    }

    /// How many deliveries came since the start that were signed with each secret, repeats included: whether one of them is
    /// still in use.
    pub fn deliveries_by_secret(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.by_secret()
    }

    /// What happened since the start.
    pub fn counters(&self) -> Counters {
        self.0.counters.snapshot()
    }
}

impl Shared {
    fn by_secret(&self) -> impl Iterator<Item = (&str, u64)> {
        self.secrets.iter().map(|keyed| (&*keyed.name, keyed.deliveries.load(Relaxed)))
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("config", &self.0.config).finish_non_exhaustive()
    }
}
