//! The shell around the engine: what it decides is done here, and what came of it is told to it.
//!
//! One task owns the engine and is the only one to talk to it. Sends and reads run beside it and report back over
//! one bounded channel. Verdicts that come while others are being written gather and share the next commit. Nothing
//! here decides anything: order, time and limits are the engine's.
//!
//! A crash anywhere in here loses nothing: what was not recorded is still pending in the store and is sent again,
//! with the same id and bytes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookit_contract::{AttemptOutcome, DeliverySeq, EndpointId, Timestamp};
use hookit_engine::{Action, Engine, EngineConfig, Flow, Input, Verdict, Waiting};
use hookit_server::Tasks;
use hookit_store::hints::{Hint, Taken};
use hookit_store::platform::{self as store, PendingDelivery};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::sender::Sender;
use crate::{Shared, StartError, payload};

/// Reports that wait for the dispatcher; beyond it their senders wait.
const REPORTS_MAX: usize = 4096;
/// Verdicts that wait to be written; beyond it no more attempts' ends are looked at, so that a store that hangs stops
/// the sending too.
const UNRECORDED_MAX: usize = 4096;
/// How long to wait after the store refused, before it is asked again.
const STORE_PAUSE: Duration = Duration::from_millis(200);

/// What a task beside the dispatcher has to say.
enum Report {
    /// An attempt ended.
    Ended { seq: DeliverySeq, ended: Box<Ended> },
    /// There was nothing to send: the delivery is not pending any more.
    Gone { seq: DeliverySeq },
    /// A page was read.
    Page { endpoint: EndpointId, after: DeliverySeq, page: store::PendingPage },
    /// A page could not be read.
    ReadFailed { endpoint: EndpointId },
}

/// An attempt that ended.
struct Ended {
    started_at: Timestamp,
    duration: Duration,
    outcome: AttemptOutcome,
    status: Option<u16>,
    retry_after: Option<Duration>,
    address: Option<String>,
    answer: Bytes,
    error: Option<String>,
}

struct Dispatcher {
    shared: Arc<Shared>,
    sender: Arc<dyn Sender>,
    engine: Engine,
    /// How late each retry is, as a part of the longest lateness.
    jitter: SmallRng,
    reports: mpsc::Sender<Report>,
    /// Verdicts that wait while others are being written.
    unrecorded: Vec<store::Attempt>,
    /// The verdicts that are being written: none or one task.
    recording: JoinSet<Vec<DeliverySeq>>,
    /// Attempts that ended and whose verdict the engine has yet to give.
    ended: HashMap<DeliverySeq, Option<Box<Ended>>>,
    /// When the commit of a delivery became known here, to measure the time to its acknowledgement. Only of hinted
    /// deliveries, and only so many: it is a figure, not a promise.
    committed: HashMap<DeliverySeq, Instant>,
    sends: JoinSet<()>,
    /// Actions to be done, reused from input to input.
    actions: Vec<Action>,
}

/// Deliveries whose time to acknowledgement is being measured at most.
const MEASURED_MAX: usize = 100_000;

/// Starts the dispatcher as a task.
pub(crate) async fn start(
    shared: Arc<Shared>,
    sender: Arc<dyn Sender>,
    config: EngineConfig,
    jitter_seed: u64,
    tasks: &Tasks,
) -> Result<(), StartError> {
    let endpoints = shared.store.endpoints().await?;
    let (reports, inbox) = mpsc::channel(REPORTS_MAX);
    let mut dispatcher = Dispatcher {
        shared,
        sender,
        engine: Engine::new(config),
        jitter: SmallRng::seed_from_u64(jitter_seed),
        reports,
        unrecorded: Vec::new(),
        recording: JoinSet::new(),
        ended: HashMap::new(),
        committed: HashMap::new(),
        sends: JoinSet::new(),
        actions: Vec::new(),
    };
    for endpoint in endpoints {
        dispatcher.input(Input::Endpoint { endpoint, flow: Flow::Open });
    }
    let stop = tasks.stop_signal().clone();
    tasks.spawn("dispatcher", async move {
        dispatcher.run(inbox, stop).await;
    });
    Ok(())
}

/// Writes verdicts, again and again until the store has taken them: they are not dropped because it is busy. Their
/// lanes wait, and nothing else does.
async fn record(shared: Arc<Shared>, attempts: Vec<store::Attempt>) -> Vec<DeliverySeq> {
    let seqs = attempts.iter().map(|attempt| attempt.seq).collect();
    while let Err(error) = shared.store.record_attempts(attempts.clone(), shared.clock.now()).await {
        tracing::warn!(%error, attempts = attempts.len(), "attempts could not be recorded; trying again");
        tokio::time::sleep(STORE_PAUSE).await;
    }
    seqs
}

impl Dispatcher {
    async fn run(mut self, mut inbox: mpsc::Receiver<Report>, stop: tokio_util::sync::CancellationToken) {
        let mut stopping = false;
        let mut batch = Vec::new();
        // The store is kept apart from `self` so that its hints can be awaited while the rest is borrowed.
        let store = self.shared.store.clone();
        self.act();
        while !(stopping && self.engine.is_quiet()) {
            let now = self.shared.clock.now();
            let pause = self.engine.next_due().map(|due| due.since(now).max(Duration::from_millis(1)));
            // The order of the branches is fixed so that a simulated run can be repeated. It starves nobody: once
            // woken, everything that is ready is taken in, whichever branch it was.
            tokio::select! {
                biased;
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    self.input(Input::Stopping);
                }
                _ = inbox.recv_many(&mut batch, REPORTS_MAX), if self.has_room() => {}
                Some(recorded) = self.recording.join_next() => self.recorded(recorded),
                taken = store.hints().take() => self.hinted(taken),
                () = tokio::time::sleep(pause.unwrap_or(Duration::MAX)), if pause.is_some() => {
                    self.input(Input::TimePassed);
                }
            }
            while batch.len() < REPORTS_MAX && self.has_room() {
                let Ok(report) = inbox.try_recv() else { break };
                batch.push(report);
            }
            for report in batch.drain(..) {
                self.report(report);
            }
            if let Some(recorded) = self.recording.try_join_next() {
                self.recorded(recorded);
            }
            if let Some(taken) = store.hints().try_take() {
                self.hinted(taken);
            }
            // Tasks that have reported are done; reaping them keeps the set as small as what is under way.
            while self.sends.try_join_next().is_some() {}
            self.act();
        }
        self.sender.close_idle();
    }

    /// False while too many verdicts wait to be written.
    fn has_room(&self) -> bool {
        self.unrecorded.len() < UNRECORDED_MAX
    }

    fn recorded(&mut self, recorded: Result<Vec<DeliverySeq>, tokio::task::JoinError>) {
        for seq in recorded.expect("recording repeats until it is done; it neither panics nor is it cancelled") {
            self.input(Input::Recorded { seq });
        }
    }

    fn hinted(&mut self, taken: Taken) {
        if taken.lost {
            self.input(Input::HintsLost);
        }
        for hint in taken.hints {
            match hint {
                Hint::Committed(deliveries) => self.committed(deliveries),
                Hint::Endpoint(endpoint) => {
                    self.input(Input::Endpoint { endpoint, flow: Flow::Open });
                    self.input(Input::Reread { endpoint });
                }
            }
        }
    }

    fn input(&mut self, input: Input) {
        self.engine.handle(self.shared.clock.now(), input, &mut self.actions);
    }

    #[expect(clippy::disallowed_methods, reason = "a duration is measured, nothing is decided by it")]
    fn committed(&mut self, deliveries: Vec<PendingDelivery>) {
        let now = Instant::now();
        if self.committed.len() + deliveries.len() <= MEASURED_MAX {
            self.committed.extend(deliveries.iter().map(|delivery| (delivery.seq, now)));
        }
        self.input(Input::Committed(deliveries.into_iter().map(waiting).collect()));
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Ended { seq, ended } => {
                let input = Input::Attempted {
                    seq,
                    outcome: ended.outcome,
                    status: ended.status,
                    retry_after: ended.retry_after,
                    jitter: self.jitter.random(),
                };
                if ended.outcome == AttemptOutcome::Acknowledged
                    && let Some(committed) = self.committed.remove(&seq)
                {
                    let latency = committed.elapsed().as_micros();
                    self.shared.stats.acknowledged_after(u64::try_from(latency).unwrap_or(u64::MAX));
                }
                self.ended.insert(seq, Some(ended));
                self.input(input);
            }
            Report::Gone { seq } => {
                // The store moved it on without us; let the engine see it end, and record nothing.
                self.ended.insert(seq, None);
                self.committed.remove(&seq);
                self.input(Input::Attempted {
                    seq,
                    outcome: AttemptOutcome::Acknowledged,
                    status: None,
                    retry_after: None,
                    jitter: 0.0,
                });
            }
            Report::Page { endpoint, after, page } => {
                let deliveries = page.deliveries.into_iter().map(waiting).collect();
                self.input(Input::Page { endpoint, after, deliveries, end: page.end });
            }
            Report::ReadFailed { endpoint } => self.input(Input::ReadFailed { endpoint }),
        }
    }

    /// Does what the engine has asked for. Waits for nothing.
    fn act(&mut self) {
        while !self.actions.is_empty() {
            for action in std::mem::take(&mut self.actions) {
                match action {
                    Action::Send { seq, .. } => self.send(seq),
                    Action::Record { seq, attempt, verdict } => self.conclude(seq, attempt, verdict),
                    Action::ReadPending { endpoint, after, limit } => self.read(endpoint, after, limit),
                }
            }
        }
        if self.recording.is_empty() && !self.unrecorded.is_empty() {
            self.recording.spawn(record(self.shared.clone(), std::mem::take(&mut self.unrecorded)));
        }
    }

    fn send(&mut self, seq: DeliverySeq) {
        let (shared, sender, reports) = (self.shared.clone(), self.sender.clone(), self.reports.clone());
        shared.stats.in_flight.fetch_add(1, Ordering::Relaxed);
        self.sends.spawn(async move {
            let ended = attempt(&shared, &*sender, seq).await;
            shared.stats.in_flight.fetch_sub(1, Ordering::Relaxed);
            let report = match ended {
                Some(ended) => Report::Ended { seq, ended: Box::new(ended) },
                None => Report::Gone { seq },
            };
            // The dispatcher outlives its sends but for a stop that ran out of time.
            let _ = reports.send(report).await;
        });
    }

    fn conclude(&mut self, seq: DeliverySeq, attempt: u32, verdict: Verdict) {
        let Some(Some(ended)) = self.ended.remove(&seq) else {
            self.input(Input::Recorded { seq });
            return;
        };
        tracing::debug!(
            seq = seq.0, attempt, outcome = %ended.outcome, status = ended.status,
            duration_ms = ended.duration.as_secs_f64() * 1e3, error = ended.error, "an attempt ended"
        );
        let attempt = store::Attempt {
            seq,
            number: attempt,
            started_at: ended.started_at,
            duration: ended.duration,
            outcome: ended.outcome,
            status: ended.status,
            address: ended.address,
            answer: ended.answer,
            error: ended.error,
            verdict: match verdict {
                Verdict::Delivered => store::Verdict::Delivered,
                Verdict::RetryAt(at) => store::Verdict::RetryAt(at),
                Verdict::Dead => store::Verdict::Dead,
            },
        };
        if verdict == Verdict::Dead {
            tracing::warn!(seq = seq.0, outcome = %attempt.outcome, "a delivery was given up");
        }
        self.unrecorded.push(attempt);
    }

    fn read(&mut self, endpoint: EndpointId, after: DeliverySeq, limit: usize) {
        let (shared, reports) = (self.shared.clone(), self.reports.clone());
        self.sends.spawn(async move {
            let report = match shared.store.pending(endpoint, after, limit).await {
                Ok(page) => Report::Page { endpoint, after, page },
                Err(error) => {
                    tracing::warn!(%error, %endpoint, "pending deliveries could not be read; trying again");
                    Report::ReadFailed { endpoint }
                }
            };
            let _ = reports.send(report).await;
        });
    }
}

/// One attempt, from the store to the partner and back. None where the delivery is not pending any more.
async fn attempt(shared: &Shared, sender: &dyn Sender, seq: DeliverySeq) -> Option<Ended> {
    let payload = loop {
        match shared.store.payload(seq).await {
            Ok(payload) => break payload?,
            Err(error) => {
                tracing::warn!(%error, seq = seq.0, "a delivery could not be read; trying again");
                tokio::time::sleep(STORE_PAUSE).await;
            }
        }
    };
    let started_at = shared.clock.now();
    match payload::post(&shared.vault, &shared.url_rules, payload) {
        Ok(post) => {
            let attempt = sender.post(post, started_at).await;
            Some(Ended {
                started_at,
                duration: attempt.timings.total.unwrap_or_default(),
                outcome: attempt.outcome,
                status: attempt.status,
                retry_after: attempt.retry_after,
                address: attempt.address.map(|address| address.to_string()),
                answer: attempt.answer,
                error: attempt.error,
            })
        }
        // What was fine when it was registered is not allowed any more, or cannot be read: logged like any failure,
        // retried like any failure, and visible as dead in the end.
        Err(error) => Some(Ended {
            started_at,
            duration: Duration::ZERO,
            outcome: AttemptOutcome::AddressForbidden,
            status: None,
            retry_after: None,
            address: None,
            answer: Bytes::new(),
            error: Some(error),
        }),
    }
}

fn waiting(delivery: PendingDelivery) -> Waiting {
    Waiting {
        seq: delivery.seq,
        endpoint: delivery.endpoint_id,
        orders: delivery.orders,
        attempts: delivery.attempts,
        due: delivery.due,
    }
}
