//! How a sink stands, for pages, metrics and people.

use std::time::Duration;

use hookit_contract::Timestamp;
use hookit_engine::BreakerState;
use hookit_store::inbox::CHANGES_AHEAD;

/// Whether a sink takes what it is handed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkState {
    /// It does.
    Up,
    /// It does not; now and then one change finds out whether it does again.
    Down,
    /// It does again, and is handed more and more at a time.
    Recovering,
}

impl SinkState {
    /// The word for it, in the API, in metrics and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            SinkState::Up => "up",
            SinkState::Down => "down",
            SinkState::Recovering => "recovering",
        }
    }
}

/// The last time that something could not be handed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When.
    pub at: Timestamp,
    /// Why, in one line. No secrets; what the other side said may be in it.
    pub error: String,
}

/// How one sink stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkStatus {
    /// Its name.
    pub name: String,
    /// What it is: `http`, `ndjson`, `command`, `nats` or `postgres`.
    pub kind: &'static str,
    /// Every change up to this one has ended: was handed on, or given up.
    pub position: i64,
    /// The newest change that there is.
    pub newest: i64,
    /// Changes that wait to be handed on.
    pub lag_changes: u64,
    /// How long the oldest of them has waited since it was received; zero where none does.
    pub lag: Duration,
    /// Whether it takes what it is handed.
    pub state: SinkState,
    /// Since when.
    pub since: Timestamp,
    /// Changes that are being handed on.
    pub in_flight: usize,
    /// Changes that were handed on since the start.
    pub handed_on: u64,
    /// Attempts that failed since the start.
    pub failed: u64,
    /// Changes that were given up and are kept, in all.
    pub given_up: u64,
    /// When something was last handed on, since the start.
    pub handed_on_at: Option<Timestamp>,
    /// The last failure since the start, also of a sink that is up again.
    pub last_failure: Option<Failure>,
}

/// What a sink's task lets others see.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) position: i64,
    pub(crate) ended_ahead: u64,
    pub(crate) given_up: u64,
    pub(crate) oldest_at: Option<Timestamp>,
    pub(crate) breaker: BreakerState,
    pub(crate) since: Timestamp,
    pub(crate) in_flight: usize,
    pub(crate) handed_on: u64,
    pub(crate) failed: u64,
    pub(crate) handed_on_at: Option<Timestamp>,
    pub(crate) last_failure: Option<Failure>,
}

impl Live {
    pub(crate) fn new(now: Timestamp) -> Self {
        Live {
            position: 0,
            ended_ahead: 0,
            given_up: 0,
            oldest_at: None,
            breaker: BreakerState::Closed,
            since: now,
            in_flight: 0,
            handed_on: 0,
            failed: 0,
            handed_on_at: None,
            last_failure: None,
        }
    }

    pub(crate) fn status(&self, name: &str, kind: &'static str, newest: i64, now: Timestamp) -> SinkStatus {
        let waiting = u64::try_from((newest - self.position) % CHANGES_AHEAD).unwrap_or(0);
        SinkStatus {
            name: name.to_owned(),
            kind,
            position: self.position,
            newest,
            lag_changes: waiting.saturating_sub(self.ended_ahead),
            lag: self.oldest_at.map(|oldest| now.since(oldest)).unwrap_or_default(),
            state: match self.breaker {
                BreakerState::Closed => SinkState::Up,
                BreakerState::Open { .. } | BreakerState::Probing => SinkState::Down,
                BreakerState::Recovering => SinkState::Recovering,
            },
            since: self.since,
            in_flight: self.in_flight,
            handed_on: self.handed_on,
            failed: self.failed,
            given_up: self.given_up,
            handed_on_at: self.handed_on_at,
            last_failure: self.last_failure.clone(),
        }
    }
}
