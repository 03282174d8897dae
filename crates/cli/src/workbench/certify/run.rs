//! One run against one receiver: what is sent, what came back, what is seen in its view, and what was found.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hookit_contract::{
    AttemptOutcome, Clock as _, EventType, KnownStatus, OrderStatus, StatusCodes, Timestamp,
};
use hookit_egress::Attempt;
use hookit_server::SystemClock;
use http::HeaderMap;
use serde::Serialize;
use tokio::task::JoinSet;

use super::faults::{Fault, Severity};
use super::view::{Seen, View};
use crate::workbench::events::{Batch, Event, Maker, Sender};

/// How long what was acknowledged may take to be in the view.
const APPEARS_WITHIN: Duration = Duration::from_secs(5);
/// How long something that must not happen is waited for.
const SETTLES_WITHIN: Duration = Duration::from_millis(600);
const GLANCE: Duration = Duration::from_millis(40);
/// How long a receiver may take to come back after it has gone.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// What came of one check.
#[derive(Debug, Default, Serialize)]
pub(super) struct Checked {
    pub(super) check: &'static str,
    pub(super) title: &'static str,
    pub(super) faults: Vec<Found>,
    /// What could not be seen, and what it takes to see it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) unseen: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) notes: Vec<String>,
}

/// A fault, and what it was told by.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    #[serde(rename = "fault", serialize_with = "code")]
    pub(super) fault: Fault,
    pub(super) seen: String,
}

fn code<S: serde::Serializer>(fault: &Fault, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(fault.code())
}

impl Checked {
    pub(super) fn new(check: &'static str, title: &'static str) -> Self {
        Checked { check, title, ..Checked::default() }
    }

    pub(super) fn found(&mut self, fault: Fault, seen: impl Into<String>) {
        // Once is enough: the first time is the plainest.
        if self.faults.iter().all(|found| found.fault != fault) {
            self.faults.push(Found { fault, seen: seen.into() });
        }
    }

    /// The worst that was found.
    pub(super) fn severity(&self) -> Option<Severity> {
        self.faults.iter().map(|found| found.fault.severity()).max()
    }
}

/// The words that the published receivers answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Received,
    Duplicate,
    /// None that is known: then the answer says nothing of what became of the delivery.
    Other,
}

pub(super) fn word(attempt: &Attempt) -> Word {
    #[derive(serde::Deserialize)]
    struct Told {
        status: String,
    }
    match serde_json::from_slice::<Told>(&attempt.answer).as_ref().map(|told| told.status.as_str()) {
        Ok("received") => Word::Received,
        Ok("duplicate-ignored") => Word::Duplicate,
        _ => Word::Other,
    }
}

pub(super) fn is_acknowledged(attempt: &Attempt) -> bool {
    attempt.outcome == AttemptOutcome::Acknowledged
}

/// True where the receiver has failed rather than refused.
pub(super) fn has_failed(attempt: &Attempt) -> bool {
    match attempt.outcome {
        AttemptOutcome::Refused => attempt.status.is_some_and(|status| status >= 500),
        AttemptOutcome::ConnectionLost | AttemptOutcome::AnswerUnreadable => true,
        _ => false,
    }
}

/// What came back, in words.
pub(super) fn answered(attempt: &Attempt) -> String {
    match (attempt.status, &attempt.error) {
        (Some(status), _) => {
            let answer = String::from_utf8_lossy(&attempt.answer);
            let answer: String = answer.chars().filter(|c| !c.is_control()).take(80).collect();
            format!("answered {status} {answer}").trim_end().to_owned()
        }
        (None, Some(error)) => format!("{}: {error}", attempt.outcome),
        (None, None) => attempt.outcome.to_string(),
    }
}

/// A run. Clones are the same one.
#[derive(Clone)]
pub(super) struct Run(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) sender: Sender,
    pub(super) view: Option<View>,
    maker: Mutex<Maker>,
    heard: Mutex<Heard>,
}

/// What was heard so far.
#[derive(Default)]
struct Heard {
    /// How long the acknowledged ones took.
    times: Vec<Duration>,
    connection_failed: bool,
    /// What was found that a later refusal is to be blamed on as well.
    known: Known,
}

/// Faults that get in the way of other checks.
#[derive(Clone, Copy, Default)]
struct Known {
    /// Bodies are refused for how they are written.
    rewrites: bool,
    /// Bodies are refused for texts beyond ASCII.
    scripts: bool,
    /// Bodies of so many bytes and more are refused.
    too_large: Option<usize>,
    /// Nothing that is acknowledged comes to be in the view.
    not_applied: bool,
}

impl Known {
    /// What a refusal is to be blamed on, where that is known already.
    fn blame(self, body: &[u8], attempt: &Attempt) -> Option<Fault> {
        if self.too_large.is_some_and(|bytes| body.len() >= bytes) {
            return Some(Fault::BodyLimit);
        }
        if self.scripts && !body.is_ascii() {
            return Some(Fault::Scripts);
        }
        (self.rewrites && !has_failed(attempt)).then_some(Fault::RewritesBody)
    }
}

impl Run {
    pub(super) fn new(sender: Sender, view: Option<View>) -> anyhow::Result<Self> {
        let (maker, heard) = (Mutex::new(Maker::new(0)?), Mutex::default());
        Ok(Run(Arc::new(Shared { sender, view, maker, heard })))
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.0.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_view(&self) -> bool {
        self.0.view.is_some()
    }

    /// False where the view says nothing, because nothing comes to be in it.
    pub(super) fn applies(&self) -> bool {
        !self.heard().known.not_applied
    }

    /// Remembers a fault that gets in the way of later checks. The body is the one that it was told by.
    pub(super) fn remember(&self, fault: Fault, body: &[u8]) {
        let known = &mut self.heard().known;
        match fault {
            Fault::RewritesBody => known.rewrites = true,
            Fault::Scripts => known.scripts = true,
            Fault::NotApplied => known.not_applied = true,
            Fault::BodyLimit => {
                known.too_large = Some(known.too_large.map_or(body.len(), |least| least.min(body.len())))
            }
            _ => {}
        }
    }

    /// The times of all that was acknowledged, the shortest first.
    pub(super) fn times(&self) -> Vec<Duration> {
        let mut times = self.heard().times.clone();
        times.sort_unstable();
        times
    }

    pub(super) fn next_id(&self) -> i64 {
        self.0.maker.lock().unwrap_or_else(PoisonError::into_inner).next_id()
    }

    /// Realistic orders that have just been placed.
    pub(super) fn batch(&self, orders: usize) -> anyhow::Result<Batch> {
        let mut maker = self.0.maker.lock().unwrap_or_else(PoisonError::into_inner);
        maker.batch(orders, OrderStatus::Known(KnownStatus::Placed), SystemClock.now())
    }

    /// Sends an event as it should be.
    pub(super) async fn send(&self, event: &Event) -> anyhow::Result<Attempt> {
        Ok(self.post(event.headers(&self.0.sender.secret)?, event.body.clone()).await)
    }

    pub(super) async fn post(&self, headers: HeaderMap, body: Bytes) -> Attempt {
        let attempt = self.0.sender.post(headers, body).await;
        let mut heard = self.heard();
        match attempt.outcome {
            AttemptOutcome::Acknowledged => heard.times.extend(attempt.timings.total),
            AttemptOutcome::ConnectFailed | AttemptOutcome::ConnectionLost => heard.connection_failed = true,
            _ => {}
        }
        attempt
    }

    /// Sends many, so many at a time; what came of each, in their order.
    pub(super) async fn send_all(
        &self,
        events: Vec<Event>,
        at_a_time: usize,
    ) -> anyhow::Result<Vec<Attempt>> {
        let events = Arc::new(events);
        let next = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let mut workers = JoinSet::new();
        for _ in 0..at_a_time {
            let (run, events, next) = (self.clone(), events.clone(), next.clone());
            workers.spawn(async move {
                let mut done = Vec::new();
                loop {
                    let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(event) = events.get(index) else { return anyhow::Ok(done) };
                    done.push((index, run.send(event).await?));
                }
            });
        }
        let mut all = Vec::with_capacity(events.len());
        while let Some(done) = workers.join_next().await {
            all.extend(done??);
        }
        all.sort_by_key(|(index, _)| *index);
        Ok(all.into_iter().map(|(_, attempt)| attempt).collect())
    }

    /// Sends something genuine that must be acknowledged; where it is not, this is the fault that it is a sign of.
    pub(super) async fn must_take(
        &self,
        out: &mut Checked,
        fault: Fault,
        what: &str,
        event: &Event,
    ) -> anyhow::Result<bool> {
        let attempt = self.send(event).await?;
        self.judge(out, fault, what, &event.body, &attempt);
        Ok(is_acknowledged(&attempt))
    }

    /// What a genuine delivery's answer says.
    pub(super) fn judge(&self, out: &mut Checked, fault: Fault, what: &str, body: &[u8], attempt: &Attempt) {
        let fault = match attempt.outcome {
            AttemptOutcome::Acknowledged => return,
            AttemptOutcome::TimedOut => Fault::TimedOut,
            AttemptOutcome::NameNotResolved
            | AttemptOutcome::AddressForbidden
            | AttemptOutcome::ConnectFailed
            | AttemptOutcome::TlsFailed => Fault::Unreachable,
            AttemptOutcome::Refused if attempt.status.is_some_and(|status| (300..400).contains(&status)) => {
                Fault::Redirects
            }
            _ => {
                let known = self.heard().known;
                known.blame(body, attempt).unwrap_or(fault)
            }
        };
        self.remember(fault, body);
        out.found(fault, format!("{what}: {}", answered(attempt)));
    }

    /// What the view has of an order, once it is as wanted, or else at the end of the time.
    pub(super) async fn sees(&self, id: i64, wanted: impl Fn(Option<Seen>) -> bool) -> anyhow::Result<bool> {
        let within = if self.applies() { APPEARS_WITHIN } else { Duration::ZERO };
        self.look(id, wanted, within).await
    }

    /// True where the view comes to have what it must not have.
    pub(super) async fn comes_to_see(
        &self,
        id: i64,
        unwanted: impl Fn(Option<Seen>) -> bool,
    ) -> anyhow::Result<bool> {
        self.look(id, unwanted, SETTLES_WITHIN).await
    }

    async fn look(
        &self,
        id: i64,
        is: impl Fn(Option<Seen>) -> bool,
        within: Duration,
    ) -> anyhow::Result<bool> {
        let Some(view) = &self.0.view else { return Ok(false) };
        let mut left = within;
        loop {
            if is(view.order(id).await?) {
                return Ok(true);
            }
            if left.is_zero() {
                return Ok(false);
            }
            tokio::time::sleep(GLANCE).await;
            left = left.saturating_sub(GLANCE);
        }
    }

    /// How many of these orders the view has, once it has all of them or the time is over; some of the missing.
    pub(super) async fn sees_all(&self, ids: &[i64]) -> anyhow::Result<Vec<i64>> {
        let mut missing = Vec::new();
        for id in ids {
            // The first that is missing is waited for, and then the others are late, too.
            let within = if missing.is_empty() && self.applies() { APPEARS_WITHIN } else { Duration::ZERO };
            if !self.look(*id, |seen| seen.is_some(), within).await? {
                missing.push(*id);
            }
        }
        Ok(missing)
    }

    /// After a check: whether the receiver is still there, where there is reason to ask.
    pub(super) async fn is_gone(&self) -> anyhow::Result<bool> {
        if !std::mem::take(&mut self.heard().connection_failed) {
            return Ok(false);
        }
        let is_back = self.comes_back().await?;
        self.heard().connection_failed = false;
        Ok(!is_back)
    }

    /// Waits until a connection can be made again.
    pub(super) async fn comes_back(&self) -> anyhow::Result<bool> {
        let mut left = BACK_WITHIN;
        loop {
            let event = Event::new(EventType::OrderCreated, simple(self.next_id(), 1, 1, ""));
            let attempt = self.send(&event).await?;
            if !matches!(attempt.outcome, AttemptOutcome::ConnectFailed | AttemptOutcome::ConnectionLost) {
                return Ok(true);
            }
            if left.is_zero() {
                return Ok(false);
            }
            tokio::time::sleep(GLANCE).await;
            left = left.saturating_sub(GLANCE);
        }
    }
}

/// The plainest body there is: one order with whole numbers only, and perhaps more fields, as JSON text behind a comma.
pub(super) fn simple(id: i64, status: i64, version: i64, more: &str) -> Bytes {
    // What was changed later has a later time, for receivers that go by time.
    let updated_at = Timestamp::from_millis(SystemClock.now().as_millis() + version);
    format!(
        r#"{{"brand_id":663,"branch_id":1062,"orders":[{{"id":{id},"status":{status},"version":{version},"updated_at":"{updated_at}"{more}}}]}}"#
    )
    .into()
}

/// An event of one plain order.
pub(super) fn event(id: i64, status: KnownStatus, version: i64) -> Event {
    let event_type = if version == 1 { EventType::OrderCreated } else { EventType::OrderStatusUpdated };
    Event::new(event_type, simple(id, StatusCodes::default().code(status), version, ""))
}

/// The ids of a batch's orders.
pub(super) fn ids(batch: &Batch) -> Vec<i64> {
    batch.records.iter().filter_map(|record| record.id().ok().flatten()).map(|id| id.0).collect()
}
