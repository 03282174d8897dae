//! Reconciling: asking the Partner API what we may have missed, and healing the view with it (G8).
//!
//! Deliveries that were acknowledged and then lost with a disk, that were refused with a wrong secret for longer than the
//! sender holds them, or that were never made, do not come again by themselves. So the inbox asks: at its start, when
//! something looks like a gap, and now and then. What it finds goes through the store's own rule about which state is the
//! newer one, and never past it.
//!
//! What this module must not do: believe its own timing. A page that was read is old by the time it is looked at; so
//! nothing replaces a state other than the one that it was compared with, and what might just be on its way as a delivery
//! is looked at a second time, a while later.
//!
//! Start reading at [`Run::go`] in `run.rs`; `window.rs` says how a list that is paged by numbers is read without missing
//! anything.

mod pages;
mod run;
mod show;
mod window;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hookit_contract::{BranchId, BrandId, Timestamp};
use hookit_server::Tasks;
use hookit_store::inbox::{ReconcileRun, RunCause, RunEnd};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::Notify;
use tokio::time::Instant;

use self::run::Run;
pub(crate) use self::show::{asked, shown};
use crate::Shared;
use crate::partner::PartnerApi;

/// The pause after a run that failed; doubled with each, up to the interval.
const FAILED_PAUSE: Duration = Duration::from_secs(30);

/// When and how far the inbox asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconcileConfig {
    /// From the end of one run to the next, up to a fifth longer.
    pub interval: Duration,
    /// What has changed within this time may be on its way as a delivery, and is left to it.
    pub settle: Duration,
    /// No delivery for so long leads to a run.
    pub quiet: Duration,
    /// From the end of one run to the next that looks like a gap asks for: a partner that does not get all events sees
    /// versions jump all the time.
    pub gap_pause: Duration,
    /// Orders that were created within this time may still move. A whole look reaches back so far.
    pub lookback: Duration,
    /// Between whole looks, the orders that were created within this time are looked at.
    pub recent: Duration,
    /// Orders that are asked for at a time.
    pub page_size: u64,
    /// Where there are any, orders of other brands are left out.
    pub brand_ids: Vec<BrandId>,
    /// Where there are any, orders of other branches are left out.
    pub branch_ids: Vec<BranchId>,
}

impl Default for ReconcileConfig {
    fn default() -> Self {
        ReconcileConfig {
            interval: Duration::from_secs(15 * 60),
            settle: Duration::from_secs(60),
            quiet: Duration::from_secs(10 * 60),
            gap_pause: Duration::from_secs(2 * 60),
            lookback: Duration::from_secs(30 * 86_400),
            recent: Duration::from_secs(86_400),
            page_size: 200,
            brand_ids: Vec::new(),
            branch_ids: Vec::new(),
        }
    }
}

/// From where the inbox last learnt what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileWay {
    /// From the events, which are in order and without gaps.
    Events,
    /// From the list of orders, since the other side has no events for us.
    List,
}

impl ReconcileWay {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ReconcileWay::Events => "events",
            ReconcileWay::List => "list",
        }
    }
}

/// How reconciling goes, as far as this process knows. The runs are the store's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReconcileStatus {
    /// The run that is under way.
    pub running: Option<ReconcileRun>,
    /// The last one that ended.
    pub last: Option<ReconcileRun>,
    /// When one last ended well.
    pub done_at: Option<Timestamp>,
    /// What it went by.
    pub way: Option<ReconcileWay>,
    /// When the next one is due, unless something asks for one before.
    pub next_at: Option<Timestamp>,
    /// Orders healed since the start.
    pub healed: u64,
    /// Runs that failed since the last one that did not.
    pub failed_runs: u32,
}

/// What asks for runs, and sees how they go.
#[derive(Default)]
pub(crate) struct Reconciler {
    asked: Mutex<Option<RunCause>>,
    wake: Notify,
    status: Mutex<ReconcileStatus>,
}

impl Reconciler {
    /// Asks for a run. Where one was asked for already, that one will do.
    pub(crate) fn ask(&self, cause: RunCause) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_none() {
            *asked = Some(cause);
            self.wake.notify_one();
        }
    }

    fn take(&self) -> Option<RunCause> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn status(&self) -> ReconcileStatus {
        self.state().clone()
    }

    fn state(&self) -> MutexGuard<'_, ReconcileStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts reconciling as a task.
pub(crate) fn start(shared: Arc<Shared>, api: Arc<PartnerApi>, tasks: &Tasks) {
    let stop = tasks.stop_signal().clone();
    tasks.spawn("reconcile", async move {
        let mut jitter = SmallRng::seed_from_u64(shared.config.jitter_seed);
        let config = &shared.config.reconcile;
        let reconciler = &shared.reconciler;
        let mut loop_state = Loop { has_events: None, last_end: None };
        // What waited at the sender while we were down comes by itself; only then is it time to ask for the rest.
        let mut due = Instant::now() + config.settle;
        let mut cause = RunCause::Start;
        let mut quiet = Quiet::default();
        loop {
            set_next(&shared, due);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = reconciler.wake.notified() => {
                    if let Some(asked) = reconciler.take() {
                        let soonest = match (asked, loop_state.last_end) {
                            (RunCause::Asked, _) => Instant::now(),
                            (_, Some(end)) => (Instant::now() + config.settle).max(end + config.gap_pause),
                            (_, None) => due,
                        };
                        if soonest < due {
                            (due, cause) = (soonest, asked);
                        }
                    }
                    continue;
                }
                () = quiet.has_come(&shared, config.quiet) => {
                    reconciler.ask(RunCause::Quiet);
                    continue;
                }
                () = tokio::time::sleep_until(due) => {}
            }
            let mut run = match Run::begin(&shared, &api, cause, loop_state.has_events).await {
                Ok(run) => run,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "no reconciliation could be begun; trying again");
                    due = Instant::now() + FAILED_PAUSE;
                    continue;
                }
            };
            let ended = tokio::select! {
                biased;
                () = stop.cancelled() => None,
                ended = Box::pin(run.go()) => Some(ended),
            };
            loop_state.has_events = run.has_events();
            let is_stopping = ended.is_none();
            let end = match ended {
                Some(Ok(())) => (RunEnd::Done, None),
                Some(Err(problem)) => (RunEnd::Failed, Some(problem)),
                None => (RunEnd::BrokenOff, Some("the inbox was stopped".to_owned())),
            };
            run.end(end).await;
            if is_stopping {
                return;
            }
            loop_state.last_end = Some(Instant::now());
            let failed_runs = reconciler.state().failed_runs;
            let pause = match failed_runs {
                0 => config.interval,
                n => FAILED_PAUSE.saturating_mul(1 << (n - 1).min(10)).min(config.interval),
            };
            due = Instant::now() + pause.mul_f64(1.0 + jitter.random::<f64>() / 5.0);
            cause = RunCause::Interval;
        }
    });
}

/// What one run leaves to the next.
struct Loop {
    /// Whether the other side has events for us; none while that is not known.
    has_events: Option<bool>,
    last_end: Option<Instant>,
}

fn set_next(shared: &Shared, due: Instant) {
    let wait = due.saturating_duration_since(Instant::now());
    shared.reconciler.state().next_at = Some(shared.clock.now().plus(wait));
}

/// Notices that nothing has come for a while, once for each silence.
#[derive(Default)]
struct Quiet {
    noticed: u64,
}

impl Quiet {
    async fn has_come(&mut self, shared: &Shared, quiet: Duration) {
        loop {
            let received = shared.counters.snapshot().received;
            // Nothing since the last silence, or none at all yet: there is nothing to have fallen silent.
            tokio::time::sleep(quiet).await;
            let now = shared.counters.snapshot().received;
            if now == received && now > self.noticed {
                self.noticed = now;
                return;
            }
        }
    }
}
