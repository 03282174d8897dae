//! Handing on: every change of the view goes to the partner's own systems, in the order of each order's changes, again
//! until they have it.
//!
//! A **sink** is one such system. Whatever its kind, `runner.rs` drives it: an engine of its own decides what is handed
//! on when, and the store keeps, durably and for each sink, which changes have ended. A change has ended when the sink
//! has it, or when it was given up; what was given up is kept, listed, and can be handed on again.
//!
//! What this must not do: hand on what is not on disk, or let one sink wait for another.
//!
//! Start reading at [`Sinks`], then `runner.rs`; a kind is a `Target` (`target.rs`).

mod command;
mod http;
pub(crate) mod message;
mod nats;
mod ndjson;
mod postgres;
mod runner;
mod status;
mod target;
mod tls;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookit_contract::{Clock, StatusCodes};
use hookit_engine::{EngineConfig, RetryPlan};
use hookit_server::Tasks;
use hookit_store::Error as StoreError;
use hookit_store::inbox::{GivenUp, SinkStart, SinkWanted, Store};
use tokio::sync::Notify;

pub use command::CommandSink;
pub use http::HttpSink;
pub use nats::{NatsAuth, NatsSink};
pub use ndjson::NdjsonSink;
pub use postgres::PostgresSink;
pub use status::{Failure, SinkState, SinkStatus};

use self::runner::{Runner, Shared};
use self::status::Live;
use self::target::Target;

/// Sinks of one inbox.
pub const SINKS_MAX: usize = 32;

/// Characters of a sink's name.
pub const NAME_CHARS_MAX: usize = 64;

/// What a sink is.
#[derive(Clone, Debug)]
pub enum SinkKind {
    /// The partner's own application, which is posted to.
    Http(HttpSink),
    /// A file or standard output.
    Ndjson(NdjsonSink),
    /// A program, run for each change.
    Command(CommandSink),
    /// NATS JetStream.
    Nats(NatsSink),
    /// A table in PostgreSQL.
    Postgres(PostgresSink),
}

impl SinkKind {
    /// The word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            SinkKind::Http(_) => "http",
            SinkKind::Ndjson(_) => "ndjson",
            SinkKind::Command(_) => "command",
            SinkKind::Nats(_) => "nats",
            SinkKind::Postgres(_) => "postgres",
        }
    }

    /// How many changes may be under way to it at a time where nothing else is said: as many as go in one write, or as
    /// many requests or programs as a machine bears.
    pub const fn in_flight_max(&self) -> usize {
        match self {
            SinkKind::Http(_) => 32,
            SinkKind::Command(_) => 4,
            SinkKind::Ndjson(_) | SinkKind::Nats(_) | SinkKind::Postgres(_) => 256,
        }
    }
}

/// The settings of one sink.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    /// What it is called. Its position is kept under this name: a sink of another name is a new one.
    pub name: String,
    /// What it is.
    pub kind: SinkKind,
    /// Where it begins when it is new.
    pub start: SinkStart,
    /// How long handing on may take.
    pub timeout: Duration,
    /// When a change that was not taken is handed on again, and when it is given up. Only for changes that are not taken
    /// while others are: an outage gives nothing up.
    pub retry: RetryPlan,
    /// How many changes may be under way at a time.
    pub in_flight_max: usize,
}

impl SinkConfig {
    /// The defaults for a sink.
    pub fn new(name: String, kind: SinkKind) -> Self {
        let in_flight_max = kind.in_flight_max();
        SinkConfig {
            name,
            kind,
            start: SinkStart::Oldest,
            timeout: Duration::from_secs(10),
            retry: default_retry(),
            in_flight_max,
        }
    }

    fn target(&self, codes: StatusCodes, clock: &Arc<dyn Clock>) -> Result<Box<dyn Target>, String> {
        Ok(match &self.kind {
            SinkKind::Http(sink) => Box::new(http::Http::new(sink, self.timeout, Arc::clone(clock))?),
            SinkKind::Ndjson(sink) => Box::new(ndjson::Ndjson::new(sink.clone(), codes)),
            SinkKind::Command(sink) => Box::new(command::Program::new(sink.clone(), codes)?),
            SinkKind::Nats(sink) => Box::new(nats::Nats::new(sink.clone(), self.timeout, codes)?),
            SinkKind::Postgres(sink) => Box::new(postgres::Postgres::new(sink, self.timeout, codes)?),
        })
    }
}

/// Shorter than a platform's: the other side is near, and what one order waits for, its later changes wait for, too.
fn default_retry() -> RetryPlan {
    let delays = [1, 5, 30, 120, 600].map(Duration::from_secs).to_vec();
    RetryPlan::new(delays).expect("five delays within the plan's limits")
}

/// Everything that is wrong in the settings of sinks.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the sinks' configuration cannot be used: {}", problems.join("; "))]
pub struct SinksConfigError {
    /// A sentence for each problem, beginning with the sink.
    pub problems: Vec<String>,
}

/// Sinks that are ready to be started.
pub struct SinkSet(Vec<(SinkConfig, Box<dyn Target>)>);

impl SinkSet {
    /// Checks the settings. Nothing is connected to yet: a sink that is down is no reason not to receive.
    ///
    /// # Errors
    /// [`SinksConfigError`] with everything that is wrong.
    pub fn new(
        configs: Vec<SinkConfig>,
        codes: StatusCodes,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, SinksConfigError> {
        let mut problems = Vec::new();
        if configs.len() > SINKS_MAX {
            problems.push(format!("sinks: {} are too many; expected at most {SINKS_MAX}", configs.len()));
        }
        let mut targets = Vec::new();
        for (i, config) in configs.iter().enumerate() {
            let name = &config.name;
            let is_character = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
            if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(is_character) {
                problems.push(format!(
                    "sinks[{i}].name: {name:?} cannot be used; expected 1 to {NAME_CHARS_MAX} lowercase letters, \
                     digits, - and _"
                ));
            }
            if configs[..i].iter().any(|earlier| earlier.name == *name) {
                problems.push(format!("sinks[{i}].name: there are two sinks of the name {name:?}"));
            }
            if let SinkKind::Ndjson(to) = &config.kind
                && configs[..i]
                    .iter()
                    .any(|earlier| matches!(&earlier.kind, SinkKind::Ndjson(too) if too == to))
            {
                problems.push(format!("sinks[{i}].path: another sink writes there, too"));
            }
            match config.target(codes, clock) {
                Ok(target) => targets.push(target),
                Err(problem) => problems.push(format!("sinks[{i}] ({name}): {problem}")),
            }
        }
        if !problems.is_empty() {
            return Err(SinksConfigError { problems });
        }
        Ok(SinkSet(configs.into_iter().zip(targets).collect()))
    }
}

/// The sinks of an inbox, at work. Clones are the same sinks.
#[derive(Clone)]
pub struct Sinks(Arc<Running>);

struct Running {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    sinks: Vec<(Arc<Shared>, &'static str)>,
}

impl Sinks {
    /// Starts a task for each sink. They stop with the tasks: what is under way is waited for, nothing more is begun.
    ///
    /// # Errors
    /// The store's.
    pub async fn start(
        set: SinkSet,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        jitter_seed: u64,
        tasks: &Tasks,
    ) -> Result<Self, StoreError> {
        let wanted =
            |(config, _): &(SinkConfig, _)| SinkWanted { name: config.name.clone(), start: config.start };
        // Also where there are none: what is not here any more is not to hold up the removal of what is old.
        let places = store.put_sinks(set.0.iter().map(wanted).collect(), clock.now()).await?;
        let mut sinks = Vec::with_capacity(set.0.len());
        for ((i, (config, target)), place) in (0..).zip(set.0).zip(places) {
            let kind = config.kind.as_str();
            tracing::info!(sink = config.name, kind, position = place.position, "handing on");
            let shared = Arc::new(Shared {
                name: config.name,
                store: Arc::clone(&store),
                clock: Arc::clone(&clock),
                target,
                timeout: config.timeout,
                live: Mutex::new(Live::new(clock.now())),
                again: Notify::new(),
            });
            let base = EngineConfig {
                retry: config.retry,
                probe_pause_min: PROBE_PAUSE_MIN,
                probe_pause_max: PROBE_PAUSE_MAX,
                ..EngineConfig::default()
            };
            let engine = runner::engine_config(base, config.in_flight_max);
            let runner = Runner::new(Arc::clone(&shared), engine, place, jitter_seed.wrapping_add(i));
            tasks.spawn("sink", runner.run(store.changed(), tasks.stop_signal().clone()));
            sinks.push((shared, kind));
        }
        Ok(Sinks(Arc::new(Running { store, clock, sinks })))
    }

    /// How each sink stands.
    pub fn status(&self) -> Vec<SinkStatus> {
        let (newest, now) = (*self.0.store.changed().borrow(), self.0.clock.now());
        let of = |(shared, kind): &(Arc<Shared>, &'static str)| {
            shared.live().status(&shared.name, kind, newest, now)
        };
        self.0.sinks.iter().map(of).collect()
    }

    /// What a sink has given up, oldest change first, above `after`, at most `limit`. None where there is no such sink.
    ///
    /// # Errors
    /// The store's.
    pub async fn given_up(
        &self,
        name: &str,
        after: i64,
        limit: usize,
    ) -> Result<Option<Vec<GivenUp>>, StoreError> {
        match self.named(name) {
            None => Ok(None),
            Some(sink) => self.0.store.given_up(&sink.name, after, limit).await.map(Some),
        }
    }

    /// Hands on again what a sink has given up of these changes; says how many that are. They go behind what is fresh of
    /// their orders, with the id and the bytes that they had. None where there is no such sink.
    ///
    /// # Errors
    /// The store's.
    pub async fn hand_on_again(&self, name: &str, changes: Vec<i64>) -> Result<Option<usize>, StoreError> {
        let Some(sink) = self.named(name) else { return Ok(None) };
        let asked = self.0.store.hand_on_again(&sink.name, changes).await?;
        sink.again.notify_one();
        Ok(Some(asked))
    }

    fn named(&self, name: &str) -> Option<&Arc<Shared>> {
        self.0.sinks.iter().map(|(shared, _)| shared).find(|shared| shared.name == name)
    }
}

/// The pause before the first probe of a sink that went down. The other side is near, and often only restarts.
const PROBE_PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause between two probes.
const PROBE_PAUSE_MAX: Duration = Duration::from_secs(60);
