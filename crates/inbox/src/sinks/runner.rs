//! The shell around the engine, for one sink: what the engine decides is done here, and what came of it is told to it.
//!
//! To the engine a sink is an endpoint, and a change is a delivery of one order. Each sink has an engine, a task and a
//! position of its own, so that one which is down holds up no other. Nothing here decides about order, time or limits.
//!
//! What is on disk is which changes have ended, not how often one was tried: after a restart the retry plan of those
//! that wait begins anew.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hookit_contract::{AttemptOutcome, Clock, DeliverySeq, EndpointId, Timestamp};
use hookit_engine::{Action, EndpointSettings, Engine, EngineConfig, Input, NotSent, Verdict, Waiting};
use hookit_store::Error as StoreError;
use hookit_store::inbox::{
    Change, SINK_STRETCHES_MAX, SinkAdvanced, SinkEnd, SinkPosition, Store, Stretches,
};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::status::{Failure, Live};
use super::target::{Handed, Target};

/// The one endpoint of a sink's engine.
const SINK: EndpointId = EndpointId(1);

/// Changes of a sink in memory.
const WINDOW_MAX: usize = 2_000;
/// Changes in one read.
const PAGE_SIZE: usize = 500;
/// Bytes of records that are kept from the read to the handing on; what is beyond is read again then.
const RECORD_BYTES_MAX: usize = 16 << 20;
/// Changes that are handed on again and are in line at a time; the others follow.
const AGAIN_MAX: usize = 256;
/// The longest sleep. A clock that was set forward makes things due without a word.
const SLEEP_MAX: Duration = Duration::from_secs(10);
/// How much longer than its time limit a call is waited for: a kind of sink that watches the time itself says better
/// what took so long.
const GRACE: Duration = Duration::from_secs(1);
/// How long to wait after the store refused, before it is asked again.
const STORE_PAUSE: Duration = Duration::from_millis(200);

/// What a task beside the runner has to say.
enum Report {
    /// Changes were handed on, or were not there any more.
    Handed(Vec<(DeliverySeq, Result<Handed, NotSent>)>),
    /// A page was read for a read that had asked for what is after `after`.
    Page { after: DeliverySeq, page: Vec<Change>, end: bool },
    /// What was asked for again was read, likewise, when so many of that had ended.
    Again { after: DeliverySeq, page: Vec<Change>, ended: u64 },
    /// A page could not be read.
    ReadFailed { after: DeliverySeq },
}

/// What a task is for, in case it panics.
enum Errand {
    HandOn(Vec<DeliverySeq>),
    Read { after: DeliverySeq },
}

/// A change that waits or is under way.
struct Known {
    received_at: Timestamp,
    attempts: u32,
    failures: u32,
    due: Timestamp,
    /// Its record, where there was room.
    change: Option<Change>,
}

/// What a pass of writing ends has come to.
struct Written {
    ends: Vec<(DeliverySeq, i64, SinkEnd)>,
    /// Up to where all have ended by now; none where nothing was written.
    position: Option<i64>,
}

/// What all parts of a sink share.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) target: Box<dyn Target>,
    /// How long handing on may take.
    pub(crate) timeout: Duration,
    pub(crate) live: Mutex<Live>,
    /// Something given up is to be handed on again.
    pub(crate) again: Notify,
}

impl Shared {
    pub(crate) fn live(&self) -> std::sync::MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Runner {
    shared: Arc<Shared>,
    engine: Engine,
    /// How late each retry is, as a part of the longest lateness.
    jitter: SmallRng,
    actions: Vec<Action>,
    tasks: JoinSet<Report>,
    errands: HashMap<tokio::task::Id, Errand>,
    /// Let go by the engine, and waiting for the call before to end; only where a call takes several.
    gathered: Vec<DeliverySeq>,
    is_handing_on: bool,
    known: BTreeMap<DeliverySeq, Known>,
    record_bytes: usize,
    /// The highest number that was read.
    read_through: DeliverySeq,
    /// Every change up to here has ended.
    position: i64,
    /// What has ended above it.
    ended_ahead: Stretches,
    given_up: u64,
    /// The changes that were asked for again, by their place in the engine's line, and the last place that was given.
    again: BTreeMap<DeliverySeq, i64>,
    agains: i64,
    /// How many of them have ended.
    agains_ended: u64,
    /// There may be some on disk that are not in line.
    may_be_asked_again: bool,
    /// How handing on ended, until the engine says what that means.
    ended: HashMap<DeliverySeq, Handed>,
    unrecorded: Vec<(DeliverySeq, i64, SinkEnd)>,
    recording: JoinSet<Written>,
}

/// The engine's settings for a sink. There is one endpoint, so nothing has to be kept for others; and what waits is
/// the partner's own, so however long an outage lasts, nothing grows too old for it.
pub(crate) fn engine_config(base: EngineConfig, in_flight_max: usize) -> EngineConfig {
    EngineConfig {
        in_flight_per_endpoint_max: in_flight_max,
        in_flight_max: in_flight_max.saturating_mul(2),
        suspect_in_flight_max: in_flight_max,
        window_max: WINDOW_MAX,
        page_size: PAGE_SIZE,
        hold_time: Duration::MAX,
        ..base
    }
}

impl Runner {
    pub(crate) fn new(
        shared: Arc<Shared>,
        config: EngineConfig,
        place: SinkPosition,
        jitter_seed: u64,
    ) -> Self {
        Runner {
            shared,
            engine: Engine::new(config),
            jitter: SmallRng::seed_from_u64(jitter_seed),
            actions: Vec::new(),
            tasks: JoinSet::new(),
            errands: HashMap::new(),
            gathered: Vec::new(),
            is_handing_on: false,
            known: BTreeMap::new(),
            record_bytes: 0,
            read_through: DeliverySeq(0),
            position: place.position,
            ended_ahead: place.ended,
            given_up: place.given_up,
            again: BTreeMap::new(),
            agains: 0,
            agains_ended: 0,
            may_be_asked_again: place.given_up > 0,
            ended: HashMap::new(),
            unrecorded: Vec::new(),
            recording: JoinSet::new(),
        }
    }

    pub(crate) async fn run(mut self, mut newest: watch::Receiver<i64>, stop: CancellationToken) {
        let shared = self.shared.clone();
        let mut stopping = false;
        self.input(Input::Endpoint { endpoint: SINK, settings: EndpointSettings::default() });
        // Of what was asked for again before the restart the engine has to be told that there may be some.
        self.input(Input::HintsLost);
        self.act();
        while !(stopping && self.engine.is_quiet()) {
            let now = shared.clock.now();
            let pause =
                self.engine.next_due().map(|due| due.since(now).clamp(Duration::from_millis(1), SLEEP_MAX));
            tokio::select! {
                biased;
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    self.input(Input::Stopping);
                }
                Some(ended) = self.tasks.join_next_with_id() => self.reported(ended),
                Some(written) = self.recording.join_next() => self.recorded(written),
                // Whoever publishes it lives as long as the store, which is closed after the sinks have stopped.
                Ok(()) = newest.changed() => self.input(Input::HintsLost),
                () = shared.again.notified() => {
                    self.may_be_asked_again = true;
                    self.input(Input::HintsLost);
                }
                () = tokio::time::sleep(pause.unwrap_or(Duration::MAX)), if pause.is_some() => {
                    self.input(Input::TimePassed);
                }
            }
            while let Some(ended) = self.tasks.try_join_next_with_id() {
                self.reported(ended);
            }
            self.act();
        }
        shared.target.close_idle();
    }

    fn input(&mut self, input: Input) {
        self.engine.handle(self.shared.clock.now(), input, &mut self.actions);
    }

    /// Does what the engine has asked for. Waits for nothing.
    fn act(&mut self) {
        while !self.actions.is_empty() {
            for action in mem::take(&mut self.actions) {
                match action {
                    Action::Send { seq, .. } => self.gathered.push(seq),
                    Action::Record { seq, attempt, verdict } => self.conclude(seq, attempt, verdict),
                    Action::ReadPending { after, limit, .. } => self.read(after, limit),
                    // Both cannot be: nothing grows too old for a sink, and nobody could hold one.
                    Action::GiveUp { seq } => {
                        tracing::error!(seq = seq.0, "a change was given up for its age")
                    }
                    Action::Disable { .. } => {}
                }
            }
        }
        self.hand_on();
        if self.recording.is_empty() && !self.unrecorded.is_empty() {
            self.recording.spawn(write(self.shared.clone(), mem::take(&mut self.unrecorded)));
        }
        self.show();
    }

    /// Hands on what the engine has let go: one by one, or as much as a call takes, one call after the other.
    fn hand_on(&mut self) {
        let batch_max = self.shared.target.batch_max();
        while !self.gathered.is_empty() && (batch_max == 1 || !self.is_handing_on) {
            let rest = self.gathered.split_off(self.gathered.len().min(batch_max));
            let seqs = mem::replace(&mut self.gathered, rest);
            let of = |seq: &DeliverySeq| {
                let change = self.known.get(seq).and_then(|known| known.change.clone());
                (*seq, self.change_seq(*seq), change)
            };
            let batch = seqs.iter().map(of).collect();
            self.is_handing_on = true;
            self.spawn(Errand::HandOn(seqs), hand_on(self.shared.clone(), batch));
        }
    }

    fn read(&mut self, after: DeliverySeq, limit: usize) {
        // All that is in memory may end before the one change that the position waits for, and each may be a stretch by itself.
        let ahead = self.ended_ahead.len() + self.known.len() + limit;
        if after.is_among_replays() && !self.may_be_asked_again && self.again.is_empty() {
            self.input(Input::Page { endpoint: SINK, after, deliveries: Vec::new(), end: true });
        } else if after.is_among_replays() {
            let (shared, ended) = (self.shared.clone(), self.agains_ended);
            self.spawn(Errand::Read { after }, async move { read_again(&shared, after, ended).await });
        } else if after >= self.read_through && ahead > SINK_STRETCHES_MAX {
            // It asks again after a second; what is stuck may have ended by then.
            self.input(Input::ReadFailed { endpoint: SINK, after });
        } else {
            self.read_behind(after, after.0.max(self.position), limit);
        }
    }

    /// Reads what comes behind `from`, for a read that has asked for what comes after `after`. What has ended ahead is not read
    /// once more: there may be any number of it.
    fn read_behind(&mut self, after: DeliverySeq, from: i64, limit: usize) {
        let from = self.ended_ahead.last_with(from.saturating_add(1)).unwrap_or(from);
        let shared = self.shared.clone();
        self.spawn(Errand::Read { after }, async move { read(&shared, after, from, limit).await });
    }

    fn spawn(&mut self, errand: Errand, task: impl Future<Output = Report> + Send + 'static) {
        let id = self.tasks.spawn(task).id();
        self.errands.insert(id, errand);
    }

    /// A task has ended. One that panicked owes the engine an answer: without it a lane would stay taken for ever.
    fn reported(&mut self, ended: Result<(tokio::task::Id, Report), tokio::task::JoinError>) {
        let (id, report) = match ended {
            Ok((id, report)) => (id, Ok(report)),
            Err(error) => (error.id(), Err(error)),
        };
        let errand = self.errands.remove(&id);
        let report = report.unwrap_or_else(|error| {
            tracing::error!(sink = self.shared.name, %error, "a task of a sink panicked");
            let fault =
                || Handed::failed(AttemptOutcome::ConnectionLost, "a fault of ours ended the attempt");
            match errand {
                Some(Errand::HandOn(seqs)) => {
                    Report::Handed(seqs.into_iter().map(|seq| (seq, Ok(fault()))).collect())
                }
                Some(Errand::Read { after }) => Report::ReadFailed { after },
                None => Report::Handed(Vec::new()),
            }
        });
        match report {
            Report::Handed(ends) => {
                self.is_handing_on = false;
                for (seq, end) in ends {
                    match end {
                        Ok(handed) => self.handed(seq, handed),
                        Err(why) => {
                            self.forget(seq);
                            self.input(Input::NotSent { seq, why });
                        }
                    }
                }
            }
            Report::Page { after, page, end } => self.page(after, page, end),
            // It may show what has ended since it was read, and so is read once more.
            Report::Again { after, ended, .. } if ended != self.agains_ended => {
                self.may_be_asked_again = true;
                self.read(after, AGAIN_MAX);
            }
            Report::Again { after, page, .. } => self.page_of_again(after, page),
            Report::ReadFailed { after } => self.input(Input::ReadFailed { endpoint: SINK, after }),
        }
    }

    fn handed(&mut self, seq: DeliverySeq, handed: Handed) {
        let input = Input::Attempted {
            seq,
            outcome: handed.outcome,
            // It would hold the endpoint until somebody enables it again, and for a sink nobody could.
            status: handed.status.filter(|status| *status != 410),
            retry_after: handed.retry_after,
            jitter: self.jitter.random(),
        };
        {
            let mut live = self.shared.live();
            let now = self.shared.clock.now();
            if handed.outcome == AttemptOutcome::Acknowledged {
                live.handed_on += 1;
                live.handed_on_at = Some(now);
            } else {
                live.failed += 1;
                let words = handed.error.clone().unwrap_or_else(|| handed.outcome.to_string());
                live.last_failure = Some(Failure { at: now, error: words });
            }
        }
        self.ended.insert(seq, handed);
        self.input(input);
    }

    fn page(&mut self, after: DeliverySeq, page: Vec<Change>, end: bool) {
        let last = page.last().map_or(after.0, |change| change.change_seq);
        self.read_through = self.read_through.max(DeliverySeq(last));
        let is_empty = page.is_empty();
        let waiting =
            page.into_iter().filter(|change| !self.has_ended(change.change_seq)).collect::<Vec<_>>();
        if waiting.is_empty() && !is_empty && !end {
            // All of it has ended. An empty page would be taken for a failure, so what comes behind it is its answer.
            self.read_behind(after, last, PAGE_SIZE);
            return;
        }
        let of = |change: Change| self.waiting(DeliverySeq(change.change_seq), change);
        let deliveries = waiting.into_iter().map(of).collect();
        self.input(Input::Page { endpoint: SINK, after, deliveries, end });
    }

    /// What was asked for again stands in line as a replay does: behind everything fresh of its order. Its place is given
    /// when it is first seen, and is another after a restart.
    fn page_of_again(&mut self, after: DeliverySeq, page: Vec<Change>) {
        self.may_be_asked_again = page.len() >= AGAIN_MAX;
        let mut deliveries = Vec::new();
        for change in page {
            let place =
                self.again.iter().find(|(_, known)| **known == change.change_seq).map(|(seq, _)| *seq);
            let seq = place.unwrap_or_else(|| {
                self.agains += 1;
                let seq = DeliverySeq::of_replay(self.agains);
                self.again.insert(seq, change.change_seq);
                seq
            });
            if seq > after {
                deliveries.push(self.waiting(seq, change));
            }
        }
        self.input(Input::Page { endpoint: SINK, after, deliveries, end: true });
    }

    fn has_ended(&self, change_seq: i64) -> bool {
        change_seq <= self.position || self.ended_ahead.contains(change_seq)
    }

    fn change_seq(&self, seq: DeliverySeq) -> i64 {
        self.again.get(&seq).copied().unwrap_or(seq.0)
    }

    /// What the engine has to know of a change. It may have been tried already and be read anew.
    fn waiting(&mut self, seq: DeliverySeq, change: Change) -> Waiting {
        let (order_id, received_at) = (change.order_id, change.received_at);
        let known = self.known.entry(seq).or_insert_with(|| Known {
            received_at,
            attempts: 0,
            failures: 0,
            due: received_at,
            change: None,
        });
        if known.change.is_none() && self.record_bytes + change.record.len() <= RECORD_BYTES_MAX {
            self.record_bytes += change.record.len();
            known.change = Some(change);
        }
        Waiting {
            seq,
            endpoint: SINK,
            orders: Box::new([order_id]),
            attempts: known.attempts,
            failures: known.failures,
            due: known.due,
            committed_at: received_at,
        }
    }

    fn forget(&mut self, seq: DeliverySeq) {
        if let Some(change) = self.known.remove(&seq).and_then(|known| known.change) {
            self.record_bytes -= change.record.len();
        }
        self.again.remove(&seq);
    }

    fn conclude(&mut self, seq: DeliverySeq, attempt: u32, verdict: Verdict) {
        let handed = self.ended.remove(&seq);
        let error = handed.and_then(|handed| handed.error);
        let sink = self.shared.name.as_str();
        match verdict {
            Verdict::Delivered => self.unrecorded.push((seq, self.change_seq(seq), SinkEnd::HandedOn)),
            Verdict::RetryAt { at, counted } => {
                tracing::debug!(sink, seq = seq.0, attempt, error, "a change was not handed on");
                if let Some(known) = self.known.get_mut(&seq) {
                    known.attempts = attempt;
                    known.failures += u32::from(counted);
                    known.due = at;
                }
                self.input(Input::Recorded { seq });
            }
            Verdict::Dead => {
                let reason = error.unwrap_or_else(|| "no reason was given".to_owned());
                tracing::warn!(sink, seq = seq.0, attempt, error = reason, "a change was given up");
                self.unrecorded.push((seq, self.change_seq(seq), SinkEnd::GivenUp { reason }));
            }
        }
    }

    fn recorded(&mut self, written: Result<Written, tokio::task::JoinError>) {
        let Written { ends, position } = written.expect("writing does not panic, and only a stop cancels it");
        let Some(position) = position else {
            // They are not dropped: their lanes wait until they are written, and nothing else does.
            self.unrecorded.extend(ends);
            return;
        };
        for (_, change_seq, _) in &ends {
            self.ended_ahead.insert(*change_seq);
        }
        self.position = position;
        self.ended_ahead.remove_through(position);
        let mut made_room = false;
        for (seq, _, end) in ends {
            match (end, seq.is_among_replays()) {
                (SinkEnd::GivenUp { .. }, false) => self.given_up += 1,
                (SinkEnd::HandedOn, true) => self.given_up = self.given_up.saturating_sub(1),
                (SinkEnd::HandedOn, false) | (SinkEnd::GivenUp { .. }, true) => {}
            }
            self.agains_ended += u64::from(seq.is_among_replays());
            made_room |= seq.is_among_replays() && self.may_be_asked_again;
            self.forget(seq);
            self.input(Input::Recorded { seq });
        }
        if made_room {
            self.input(Input::HintsLost);
        }
    }

    /// Lets others see how it stands.
    fn show(&self) {
        let stats = self.engine.endpoint_stats(SINK);
        let mut live = self.shared.live();
        live.position = self.position;
        live.ended_ahead = self.ended_ahead.numbers();
        live.given_up = self.given_up;
        live.oldest_at = self.known.first_key_value().map(|(_, known)| known.received_at);
        if let Some(stats) = stats {
            live.breaker = stats.breaker;
            live.since = stats.breaker_since;
            live.in_flight = stats.in_flight;
        }
    }
}

/// Reads the line of changes behind `from`.
async fn read(shared: &Shared, after: DeliverySeq, from: i64, limit: usize) -> Report {
    // Before the read, which sees at least this.
    let newest = *shared.store.changed().borrow();
    match shared.store.changes(from, limit).await {
        Ok(read) => {
            let end = read.changes.last().is_none_or(|change| change.change_seq >= newest);
            Report::Page { after, page: read.changes, end }
        }
        Err(error) => failed_read(shared, after, &error),
    }
}

/// Reads what was asked for again.
async fn read_again(shared: &Shared, after: DeliverySeq, ended: u64) -> Report {
    match shared.store.asked_again(&shared.name, AGAIN_MAX).await {
        Ok(page) => Report::Again { after, page, ended },
        Err(error) => failed_read(shared, after, &error),
    }
}

fn failed_read(shared: &Shared, after: DeliverySeq, error: &StoreError) -> Report {
    tracing::warn!(
        sink = shared.name,
        error = error as &dyn std::error::Error,
        "changes could not be read; trying again"
    );
    Report::ReadFailed { after }
}

/// One call of the sink, with the records that are not in memory read before.
async fn hand_on(shared: Arc<Shared>, batch: Vec<(DeliverySeq, i64, Option<Change>)>) -> Report {
    let mut ends = Vec::with_capacity(batch.len());
    let (mut seqs, mut changes) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
    for (seq, change_seq, change) in batch {
        let change = match change {
            Some(change) => Some(change),
            None => read_one(&shared, change_seq).await,
        };
        match change {
            Some(change) => {
                seqs.push(seq);
                changes.push(change);
            }
            None => ends.push((seq, Err(NotSent::Ended))),
        }
    }
    if !changes.is_empty() {
        let handing = shared.target.hand_on(&changes);
        let handed = tokio::time::timeout(shared.timeout + GRACE, handing).await.unwrap_or_else(|_| {
            let words = format!("it took longer than {} ms", shared.timeout.as_millis());
            vec![Handed::failed(AttemptOutcome::TimedOut, words); changes.len()]
        });
        ends.extend(seqs.into_iter().zip(handed.into_iter().map(Ok)));
    }
    Report::Handed(ends)
}

/// A change whose record was not kept in memory; none where it is not there any more.
async fn read_one(shared: &Shared, change_seq: i64) -> Option<Change> {
    loop {
        match shared.store.changes(change_seq - 1, 1).await {
            Ok(read) => return read.changes.into_iter().find(|change| change.change_seq == change_seq),
            Err(error) => {
                failed_read(shared, DeliverySeq(change_seq), &error);
                tokio::time::sleep(STORE_PAUSE).await;
            }
        }
    }
}

/// Writes ends. Takes a moment longer where that failed, so that the store is not asked without end.
async fn write(shared: Arc<Shared>, ends: Vec<(DeliverySeq, i64, SinkEnd)>) -> Written {
    let ended = ends.iter().map(|(_, change_seq, end)| (*change_seq, end.clone())).collect();
    let sink = shared.name.as_str();
    match shared.store.sink_ended(sink, ended, shared.clock.now()).await {
        Ok(SinkAdvanced::To { position }) => return Written { ends, position: Some(position) },
        // Neither can be while this is the only one that moves the sink on.
        Ok(refused @ (SinkAdvanced::TooFarAhead | SinkAdvanced::NoSuchSink)) => {
            tracing::error!(sink, ?refused, "the store does not take how changes ended; trying again");
        }
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(sink, error, ends = ends.len(), "ends could not be written; trying again");
        }
    }
    tokio::time::sleep(STORE_PAUSE).await;
    Written { ends, position: None }
}
