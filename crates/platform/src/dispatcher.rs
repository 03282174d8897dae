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
use hookit_contract::{AttemptOutcome, DeliveryId, DeliverySeq, EndpointId, Timestamp};
use hookit_engine::{
    Action, EndpointSettings, EndpointStats, Engine, EngineConfig, Flow, Input, NotSent, Ordering as InOrder,
    Verdict, Waiting,
};
use hookit_server::Tasks;
use hookit_store::hints::{Hint, Taken};
use hookit_store::platform::{self as store, PendingDelivery};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::recorder::{self, Verdicts, Written};
use crate::sender::Sender;
use crate::stats::Failure;
use crate::{Shared, StartError};

/// Reports that wait for the dispatcher; beyond it their senders wait.
const REPORTS_MAX: usize = 4096;
/// Verdicts that wait to be written; beyond it no more attempts' ends are looked at, so that a store that hangs stops
/// the sending too.
const UNRECORDED_MAX: usize = 4096;
/// The longest sleep. A clock that was set forward makes things due without a word.
const SLEEP_MAX: Duration = Duration::from_secs(10);
/// How long to wait after the store refused, before it is asked again.
pub(crate) const STORE_PAUSE: Duration = Duration::from_millis(200);

/// What a task beside the dispatcher has to say.
enum Report {
    /// An attempt ended.
    Ended { seq: DeliverySeq, ended: Box<Ended> },
    /// Nothing was sent: the store has moved the delivery on.
    NotSent { seq: DeliverySeq, why: NotSent },
    /// A page was read.
    Page { endpoint: EndpointId, after: DeliverySeq, page: store::PendingPage },
    /// A page could not be read.
    ReadFailed { endpoint: EndpointId, after: DeliverySeq },
}

/// An attempt that ended.
struct Ended {
    /// The delivery's id, and when it was committed; none where nothing was read of it.
    delivery_id: Option<DeliveryId>,
    committed_at: Option<Timestamp>,
    started_at: Timestamp,
    duration: Duration,
    phases: store::Phases,
    outcome: AttemptOutcome,
    status: Option<u16>,
    retry_after: Option<Duration>,
    address: Option<String>,
    answer: Bytes,
    error: Option<String>,
}

/// What a task beside the dispatcher is for.
#[derive(Clone, Copy)]
enum Errand {
    Send(DeliverySeq),
    Read(EndpointId, DeliverySeq),
    Hold,
}

/// A question to the dispatcher: how do the endpoints stand?
pub(crate) type Inspection = oneshot::Sender<Vec<(EndpointId, EndpointStats)>>;

impl Ended {
    /// Nothing went out, and nothing came back.
    fn without_attempt(started_at: Timestamp, outcome: AttemptOutcome, error: String) -> Self {
        Ended {
            delivery_id: None,
            committed_at: None,
            started_at,
            duration: Duration::ZERO,
            phases: store::Phases::default(),
            outcome,
            status: None,
            retry_after: None,
            address: None,
            answer: Bytes::new(),
            error: Some(error),
        }
    }
}

struct Dispatcher {
    shared: Arc<Shared>,
    sender: Arc<dyn Sender>,
    engine: Engine,
    /// How late each retry is, as a part of the longest lateness.
    jitter: SmallRng,
    reports: mpsc::Sender<Report>,
    /// Verdicts that wait while others are being written.
    unrecorded: Verdicts,
    /// The verdicts that are being written: none or one task.
    recording: JoinSet<Written>,
    /// Attempts that ended and whose verdict the engine has yet to give.
    ended: HashMap<DeliverySeq, Box<Ended>>,
    /// When the commit of a delivery became known here, to measure the time to its acknowledgement more finely than by
    /// the clock. Only of hinted deliveries, and only so many: it is a figure, not a promise.
    committed: HashMap<DeliverySeq, Instant>,
    sends: JoinSet<()>,
    /// What each of those tasks is for, in case it panics.
    errands: HashMap<tokio::task::Id, Errand>,
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
    mut inspections: mpsc::Receiver<Inspection>,
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
        unrecorded: Verdicts::default(),
        recording: JoinSet::new(),
        ended: HashMap::new(),
        committed: HashMap::new(),
        sends: JoinSet::new(),
        errands: HashMap::new(),
        actions: Vec::new(),
    };
    for endpoint in endpoints {
        // The engine reads what is fresh by itself, and replays where it hears of some.
        let replays =
            dispatcher.shared.store.pending(endpoint.endpoint_id, DeliverySeq::REPLAYS_AFTER, 1).await?;
        let settings = settings(endpoint.hold.is_some(), &endpoint.settings);
        dispatcher.input(Input::Endpoint { endpoint: endpoint.endpoint_id, settings });
        dispatcher.committed(replays.deliveries);
    }
    let stop = tasks.stop_signal().clone();
    tasks.spawn("dispatcher", async move {
        dispatcher.run(inbox, &mut inspections, stop).await;
    });
    Ok(())
}

impl Dispatcher {
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Report>,
        inspections: &mut mpsc::Receiver<Inspection>,
        stop: tokio_util::sync::CancellationToken,
    ) {
        let mut stopping = false;
        let mut batch = Vec::new();
        // The store is kept apart from `self` so that its hints can be awaited while the rest is borrowed.
        let store = self.shared.store.clone();
        self.act();
        while !(stopping && self.engine.is_quiet()) {
            let now = self.shared.clock.now();
            let pause =
                self.engine.next_due().map(|due| due.since(now).clamp(Duration::from_millis(1), SLEEP_MAX));
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
                Some(inspection) = inspections.recv() => self.inspected(inspection),
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
            while let Ok(inspection) = inspections.try_recv() {
                self.inspected(inspection);
            }
            // Tasks that have reported are done; reaping them keeps the set as small as what is under way.
            while let Some(ended) = self.sends.try_join_next_with_id() {
                self.reap(ended);
            }
            self.act();
        }
        self.sender.close_idle();
    }

    /// False while too many verdicts wait to be written.
    fn has_room(&self) -> bool {
        self.unrecorded.attempts.len() < UNRECORDED_MAX
    }

    /// A task has ended. One that panicked owes the engine an answer: without it a lane and a place in flight would
    /// stay taken until the next start.
    fn reap(&mut self, ended: Result<(tokio::task::Id, ()), tokio::task::JoinError>) {
        let (id, panicked) = match ended {
            Ok((id, ())) => (id, None),
            Err(error) => (error.id(), Some(error)),
        };
        let (Some(errand), Some(error)) = (self.errands.remove(&id), panicked) else { return };
        tracing::error!(%error, "a task of the dispatcher panicked");
        match errand {
            Errand::Send(seq) => {
                self.shared.stats.in_flight.fetch_sub(1, Ordering::Relaxed);
                let ended = Ended::without_attempt(
                    self.shared.clock.now(),
                    AttemptOutcome::ConnectionLost,
                    "a fault of ours ended the attempt".to_owned(),
                );
                self.report(Report::Ended { seq, ended: Box::new(ended) });
            }
            Errand::Read(endpoint, after) => self.report(Report::ReadFailed { endpoint, after }),
            Errand::Hold => {}
        }
    }

    fn spawn(&mut self, errand: Errand, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.sends.spawn(task).id();
        self.errands.insert(id, errand);
    }

    fn recorded(&mut self, written: Result<Written, tokio::task::JoinError>) {
        let Written { seqs, failed } =
            written.expect("writing verdicts does not panic, and only a stop cancels it");
        // They are not dropped: their lanes wait until they are written, and nothing else does.
        self.unrecorded.append(failed);
        for seq in seqs {
            self.input(Input::Recorded { seq });
        }
    }

    fn hinted(&mut self, taken: Taken) {
        for hint in taken.hints {
            match hint {
                Hint::Committed(deliveries) => self.committed(deliveries),
                Hint::Endpoint { endpoint_id: endpoint, is_held, settings: wished } => {
                    self.input(Input::Endpoint { endpoint, settings: settings(is_held, &wished) });
                    self.input(Input::Reread { endpoint });
                }
            }
        }
        // After the endpoints: what was lost may have been about one that is new.
        if taken.lost {
            self.input(Input::HintsLost);
        }
    }

    fn inspected(&self, inspection: Inspection) {
        // Whoever asked may have gone.
        let _ = inspection.send(self.engine.all_endpoint_stats().collect());
    }

    fn input(&mut self, input: Input) {
        self.engine.handle(self.shared.clock.now(), input, &mut self.actions);
    }

    #[expect(clippy::disallowed_methods, reason = "a duration is measured, nothing is decided by it")]
    fn committed(&mut self, deliveries: Vec<PendingDelivery>) {
        let now = Instant::now();
        if self.committed.len() + deliveries.len() <= MEASURED_MAX {
            let fresh = deliveries.iter().filter(|delivery| !delivery.seq.is_among_replays());
            self.committed.extend(fresh.map(|delivery| (delivery.seq, now)));
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
                if ended.outcome == AttemptOutcome::Acknowledged {
                    self.acknowledged(seq, &ended);
                }
                self.ended.insert(seq, ended);
                self.input(input);
            }
            Report::NotSent { seq, why } => {
                if why == NotSent::Ended {
                    self.committed.remove(&seq);
                }
                self.input(Input::NotSent { seq, why });
            }
            Report::Page { endpoint, after, page } => {
                let deliveries = page.deliveries.into_iter().map(waiting).collect();
                self.input(Input::Page { endpoint, after, deliveries, end: page.end });
            }
            Report::ReadFailed { endpoint, after } => self.input(Input::ReadFailed { endpoint, after }),
        }
    }

    /// Measures how long it took from the commit of a delivery. A replay says nothing about that.
    fn acknowledged(&mut self, seq: DeliverySeq, ended: &Ended) {
        if seq.is_among_replays() {
            return;
        }
        // What was not measured, because it waited on disk or through a restart, is told by the clock.
        let by_the_clock = || Some(self.shared.clock.now().since(ended.committed_at?));
        let latency = self.committed.remove(&seq).map(|committed| committed.elapsed()).or_else(by_the_clock);
        if let Some(latency) = latency {
            self.shared.stats.latency_us.count(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// Does what the engine has asked for. Waits for nothing.
    fn act(&mut self) {
        while !self.actions.is_empty() {
            for action in std::mem::take(&mut self.actions) {
                match action {
                    Action::Send { seq, endpoint, .. } => self.send(seq, endpoint),
                    Action::Record { seq, attempt, verdict } => self.conclude(seq, attempt, verdict),
                    Action::GiveUp { seq } => {
                        tracing::warn!(seq = seq.0, "a delivery is older than the hold time and is given up");
                        self.committed.remove(&seq);
                        self.unrecorded.given_up.push(seq);
                    }
                    Action::Disable { endpoint } => self.disable(endpoint),
                    Action::ReadPending { endpoint, after, limit } => self.read(endpoint, after, limit),
                }
            }
        }
        if self.recording.is_empty() && !self.unrecorded.is_empty() {
            self.recording.spawn(recorder::write(self.shared.clone(), std::mem::take(&mut self.unrecorded)));
        }
    }

    fn send(&mut self, seq: DeliverySeq, endpoint: EndpointId) {
        let (shared, sender, reports) = (self.shared.clone(), self.sender.clone(), self.reports.clone());
        shared.stats.in_flight.fetch_add(1, Ordering::Relaxed);
        self.spawn(Errand::Send(seq), async move {
            let ended = attempt(&shared, &*sender, seq, endpoint).await;
            shared.stats.in_flight.fetch_sub(1, Ordering::Relaxed);
            if let Ok(ended) = &ended {
                let is_acknowledged = ended.outcome == AttemptOutcome::Acknowledged;
                shared.stats.done_at.count(endpoint, is_acknowledged, ended.duration);
                if !is_acknowledged {
                    let Ended { outcome, status, ref error, .. } = *ended;
                    let at = shared.clock.now();
                    shared
                        .stats
                        .failed_at
                        .note(endpoint, Failure { at, outcome, status, error: error.clone() });
                }
            }
            let report = match ended {
                Ok(ended) => Report::Ended { seq, ended: Box::new(ended) },
                Err(why) => Report::NotSent { seq, why },
            };
            // The dispatcher outlives its sends but for a stop that ran out of time.
            let _ = reports.send(report).await;
        });
    }

    fn conclude(&mut self, seq: DeliverySeq, attempt: u32, verdict: Verdict) {
        let Some(ended) = self.ended.remove(&seq) else {
            tracing::error!(seq = seq.0, "a verdict on an attempt that nobody made");
            self.input(Input::Recorded { seq });
            return;
        };
        tracing::debug!(
            seq = seq.0, attempt, outcome = %ended.outcome, status = ended.status,
            duration_ms = ended.duration.as_secs_f64() * 1e3, error = ended.error, "an attempt ended"
        );
        let attempt = store::Attempt {
            seq,
            delivery_id: ended.delivery_id,
            number: attempt,
            started_at: ended.started_at,
            duration: ended.duration,
            phases: ended.phases,
            outcome: ended.outcome,
            status: ended.status,
            address: ended.address,
            answer: ended.answer,
            error: ended.error,
            verdict: match verdict {
                Verdict::Delivered => store::Verdict::Delivered,
                Verdict::RetryAt { at, counted } => store::Verdict::RetryAt { at, counted },
                Verdict::Dead => store::Verdict::Dead,
            },
        };
        if verdict == Verdict::Dead {
            self.committed.remove(&seq);
            tracing::warn!(seq = seq.0, outcome = %attempt.outcome, "a delivery was given up");
        }
        self.unrecorded.attempts.push(attempt);
    }

    /// Holds an endpoint that answered 410. The engine sends nothing there meanwhile, and hears of the hold by a hint.
    fn disable(&mut self, endpoint: EndpointId) {
        tracing::warn!(%endpoint, "an endpoint answered 410 and is held until an operator enables it again");
        let shared = self.shared.clone();
        self.spawn(Errand::Hold, async move {
            let gone = Some(store::HoldReason::Gone);
            while let Err(error) = shared.store.hold_endpoint(endpoint, gone, shared.clock.now()).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    %endpoint,
                    "an endpoint could not be held; trying again"
                );
                tokio::time::sleep(STORE_PAUSE).await;
            }
        });
    }

    fn read(&mut self, endpoint: EndpointId, after: DeliverySeq, limit: usize) {
        let (shared, reports) = (self.shared.clone(), self.reports.clone());
        self.spawn(Errand::Read(endpoint, after), async move {
            let report = match shared.store.pending(endpoint, after, limit).await {
                Ok(page) => Report::Page { endpoint, after, page },
                Err(error) => {
                    tracing::warn!(%error, %endpoint, "pending deliveries could not be read; trying again");
                    Report::ReadFailed { endpoint, after }
                }
            };
            let _ = reports.send(report).await;
        });
    }
}

/// One attempt, from the store to the partner and back; or why there was none.
///
/// The engine holds the lanes of one endpoint for it, so it must not go to another: where the registration's URL was
/// changed after the engine had decided, nothing is sent. Nor is one that is passed over for newer states of its orders.
async fn attempt(
    shared: &Shared,
    sender: &dyn Sender,
    seq: DeliverySeq,
    endpoint: EndpointId,
) -> Result<Ended, NotSent> {
    let payload = loop {
        let read = match shared.store.payload(seq).await {
            Ok(Err(store::NothingToSend::Ended)) => return Err(NotSent::Ended),
            Ok(Err(store::NothingToSend::Withheld)) => return Err(NotSent::Withheld),
            Ok(Ok(payload)) if payload.endpoint_id != endpoint => return Err(NotSent::Moved),
            // Nobody but this task could be sending it, so it is not under way when it is passed over, and its lanes are
            // let go when that is on disk. Where the newer ones have ended meanwhile, it is looked at again.
            Ok(Ok(payload)) if payload.is_superseded => {
                match shared.store.supersede(seq, shared.clock.now()).await {
                    Ok(true) => return Err(NotSent::Ended),
                    Ok(false) => continue,
                    Err(error) => Err(error),
                }
            }
            Ok(Ok(payload)) => Ok(payload),
            Err(error) => Err(error),
        };
        match read {
            Ok(payload) => break payload,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    seq = seq.0,
                    "a delivery could not be read or passed over; trying again"
                );
                tokio::time::sleep(STORE_PAUSE).await;
            }
        }
    };
    let (delivery_id, committed_at) = (Some(payload.delivery_id.clone()), Some(payload.created_at));
    let started_at = shared.clock.now();
    match shared.posts.post(payload, started_at) {
        Ok(post) => {
            let attempt = sender.post(post, started_at).await;
            Ok(Ended {
                delivery_id,
                committed_at,
                started_at,
                duration: attempt.timings.total.unwrap_or_default(),
                phases: store::Phases {
                    resolve: attempt.timings.resolve,
                    connect: attempt.timings.connect,
                    tls: attempt.timings.tls,
                    first_byte: attempt.timings.first_byte,
                },
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
        Err(error) => {
            let forbidden = Ended::without_attempt(started_at, AttemptOutcome::AddressForbidden, error);
            Ok(Ended { delivery_id, ..forbidden })
        }
    }
}

fn settings(is_held: bool, wished: &store::EndpointSettings) -> EndpointSettings {
    EndpointSettings {
        flow: if is_held { Flow::Held } else { Flow::Open },
        ordering: match wished.ordering {
            store::Ordering::PerOrder => InOrder::PerOrder,
            store::Ordering::None => InOrder::None,
        },
        in_flight_max: wished.in_flight_max.map(|max| usize::try_from(max).unwrap_or(usize::MAX)),
        rate_per_second_max: wished.rate_per_second_max,
    }
}

fn waiting(delivery: PendingDelivery) -> Waiting {
    Waiting {
        seq: delivery.seq,
        endpoint: delivery.endpoint_id,
        orders: delivery.orders,
        attempts: delivery.attempts,
        failures: delivery.failures,
        due: delivery.due,
        committed_at: delivery.committed_at,
    }
}
