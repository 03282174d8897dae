//! The simulated network and the receivers at its other end. What a request meets is drawn when it goes out, from
//! what its endpoint is like just then.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hookit_contract::{AttemptOutcome, Clock as _, PartnerId, Timestamp, WebhookSecret, header};
use hookit_egress::{Attempt, Post, Timings};
use hookit_platform::Sender;
use http::HeaderMap;
use rand::RngExt as _;
use rand::rngs::Xoshiro256PlusPlus;

use super::store::Medium;
use super::trace::{VirtualClock, lock};
use crate::auditor::event::{End, Event};

/// The time limit of an exchange.
const TIMEOUT_MS: u64 = 10_000;

/// How long after a rotation a request may still carry the former signature: its bytes were read before, and slowly.
const FORMER_SECRET_MS: i64 = 30_000;

/// What an endpoint is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// 2xx, soon.
    Well,
    /// 2xx, after seconds; now and then too late.
    Slow,
    /// A bit of everything.
    Sick,
    /// Nobody there.
    Down,
    /// Takes requests and never answers.
    Hanging,
    /// 429 and 503, often with a `Retry-After`.
    Overloaded,
    /// Well and down by turns.
    Flapping {
        /// How long each turn lasts.
        turn_ms: i64,
    },
}

/// What one request meets.
struct Fate {
    /// When the receiver processes it; none for never. After the end: it is found in the receiver's socket later.
    seen_ms: Option<u64>,
    ends_ms: u64,
    outcome: AttemptOutcome,
    status: Option<u16>,
    retry_after_s: Option<u64>,
}

impl Fate {
    fn failed(seen_ms: Option<u64>, ends_ms: u64, outcome: AttemptOutcome) -> Fate {
        Fate { seen_ms, ends_ms, outcome, status: None, retry_after_s: None }
    }

    fn answered(ends_ms: u64, status: u16, retry_after_s: Option<u64>) -> Fate {
        let outcome = match status {
            200..=299 => AttemptOutcome::Acknowledged,
            _ => AttemptOutcome::Refused,
        };
        // Who refuses has not processed it.
        let seen_ms = (outcome == AttemptOutcome::Acknowledged).then_some(ends_ms / 2);
        Fate { seen_ms, ends_ms, outcome, status: Some(status), retry_after_s }
    }
}

/// A request that a receiver has not processed yet.
struct Unseen {
    endpoint: i64,
    delivery_id: String,
    body: Bytes,
    /// When it will be although its sender has turned away.
    late_at: Option<i64>,
}

/// A partner's webhook secret, as far as the partner was told.
#[derive(Clone)]
struct Told {
    secret: Option<WebhookSecret>,
    /// The one that signs from a moment of the wall clock on.
    next: Option<(WebhookSecret, Timestamp)>,
    since: i64,
}

impl Told {
    /// Which one signs when the wall clock says this.
    fn at(&self, wall: Timestamp) -> Option<&WebhookSecret> {
        match &self.next {
            Some((next, current_at)) if *current_at <= wall => Some(next),
            Some(_) | None => self.secret.as_ref(),
        }
    }
}

/// Changes of a partner's secret that have no answer yet.
#[derive(Default)]
struct Rotations {
    open: u32,
    /// There was more than one at a time.
    mixed: bool,
}

/// A change of a partner's secret that was asked for, and what the partner was told before.
pub(super) struct Asked {
    partner_id: PartnerId,
    former: Option<Told>,
    begun_at: Timestamp,
}

struct Inner {
    dice: Xoshiro256PlusPlus,
    moods: BTreeMap<i64, Mood>,
    requests: u64,
    unseen: BTreeMap<u64, Unseen>,
    secrets: BTreeMap<PartnerId, Told>,
    rotations: BTreeMap<PartnerId, Rotations>,
}

/// The network. It outlives the platform's processes.
pub(super) struct Network {
    medium: Arc<Medium>,
    clock: Arc<VirtualClock>,
    inner: Mutex<Inner>,
}

impl Network {
    pub(super) fn new(medium: Arc<Medium>, clock: Arc<VirtualClock>, dice: Xoshiro256PlusPlus) -> Self {
        let inner = Inner {
            dice,
            moods: BTreeMap::new(),
            requests: 0,
            unseen: BTreeMap::new(),
            secrets: BTreeMap::new(),
            rotations: BTreeMap::new(),
        };
        Network { medium, clock, inner: Mutex::new(inner) }
    }

    pub(super) fn set_mood(&self, endpoint: i64, mood: Mood) {
        let before = lock(&self.inner).moods.insert(endpoint, mood);
        if before != Some(mood) {
            self.medium.trace.remark(&format!("endpoint {endpoint} is like this now: {mood:?}"));
            self.medium.trace.note(&Event::EndpointWell { endpoint, well: mood == Mood::Well });
        }
    }

    /// Endpoints that nobody has said anything of begin well.
    pub(super) fn meet(&self, endpoints: impl IntoIterator<Item = i64>) {
        for endpoint in endpoints {
            if !lock(&self.inner).moods.contains_key(&endpoint) {
                self.set_mood(endpoint, Mood::Well);
            }
        }
    }

    pub(super) fn endpoints(&self) -> Vec<i64> {
        lock(&self.inner).moods.keys().copied().collect()
    }

    /// A partner's secret is this one from now on; none while it is being changed and nobody was told.
    pub(super) fn secret(&self, partner_id: &PartnerId, secret: Option<&str>) {
        let told = Told {
            secret: secret.map(|secret| WebhookSecret::new(secret.as_bytes())),
            next: None,
            since: self.clock.elapsed_ms(),
        };
        lock(&self.inner).secrets.insert(partner_id.clone(), told);
    }

    /// A partner's secret is being changed; nobody knows which one signs until the answer is there.
    pub(super) fn asked(&self, partner_id: &PartnerId) -> Asked {
        let begun_at = self.clock.now();
        let former = {
            let inner = &mut *lock(&self.inner);
            let rotations = inner.rotations.entry(partner_id.clone()).or_default();
            (rotations.open, rotations.mixed) = (rotations.open + 1, rotations.open > 0);
            inner.secrets.get(partner_id).cloned()
        };
        self.secret(partner_id, None);
        Asked { partner_id: partner_id.clone(), former, begun_at }
    }

    /// The answer is there. False where others were asked for meanwhile: nobody knows which of them came last.
    fn answered(&self, asked: &Asked) -> bool {
        let inner = &mut *lock(&self.inner);
        let Some(rotations) = inner.rotations.get_mut(&asked.partner_id) else { return false };
        let is_clear = !rotations.mixed;
        rotations.open -= 1;
        rotations.mixed &= rotations.open > 0;
        is_clear
    }

    /// This one signs from now on; none where nobody knows.
    pub(super) fn rotated(&self, asked: &Asked, secret: Option<&str>) {
        let is_clear = self.answered(asked);
        self.secret(&asked.partner_id, secret.filter(|_| is_clear));
    }

    /// One is staged; none where nothing was done.
    pub(super) fn staged(&self, asked: Asked, next: Option<(&str, Timestamp)>) {
        if !self.answered(&asked) {
            return;
        }
        let Asked { partner_id, former, begun_at } = asked;
        let (Some(mut told), since) = (former, self.clock.elapsed_ms()) else { return };
        if let Some((next, current_at)) = next {
            // One that was to come and has come meanwhile is the present one; where the two are not to be told apart,
            // nobody knows.
            let now = self.clock.now();
            let has_come = |wall| told.next.as_ref().is_some_and(|(_, at)| *at <= wall);
            if has_come(begun_at) != has_come(now) {
                return;
            }
            told.secret = told.at(now).cloned();
            told.next = Some((WebhookSecret::new(next.as_bytes()), current_at));
        }
        lock(&self.inner).secrets.insert(partner_id, Told { since, ..told });
    }

    /// Whatever is under way loses its sender; some of it arrives all the same.
    pub(super) fn cut(&self) {
        let now = self.clock.elapsed_ms();
        let inner = &mut *lock(&self.inner);
        // Whoever waits for an answer waits in vain.
        inner.rotations.clear();
        let unseen = std::mem::take(&mut inner.unseen);
        for (request, mut unseen) in unseen {
            if unseen.late_at.is_none() {
                if inner.dice.random_range(0..2) == 0 {
                    continue;
                }
                unseen.late_at = Some(now + inner.dice.random_range(0..3_000));
            }
            inner.unseen.insert(request, unseen);
        }
    }

    /// Receivers find requests whose senders have turned away.
    pub(super) fn find_late(&self) {
        let now = self.clock.elapsed_ms();
        let due: Vec<(u64, Unseen)> =
            lock(&self.inner).unseen.extract_if(.., |_, u| u.late_at.is_some_and(|at| at <= now)).collect();
        for (request, unseen) in due {
            let Unseen { endpoint, delivery_id, body, .. } = unseen;
            self.medium.trace.note(&Event::Saw { request, endpoint, delivery_id, body, late: true });
        }
    }

    fn signed(&self, partner_id: &PartnerId, headers: &HeaderMap, body: &[u8]) -> Option<bool> {
        let now = self.clock.elapsed_ms();
        let inner = lock(&self.inner);
        let told = inner.secrets.get(partner_id)?;
        let secret = told.at(self.clock.now())?;
        let signature = headers.get(header::SIGNATURE)?.as_bytes();
        let right = secret.verify(body, signature).is_ok();
        (right || now - told.since > FORMER_SECRET_MS).then_some(right)
    }
}

impl Inner {
    fn ms(&mut self, low: u64, high: u64) -> u64 {
        self.dice.random_range(low..=high)
    }

    fn well(&mut self) -> Fate {
        let status = [200, 200, 200, 201, 202, 204][self.dice.random_range(0..6)];
        let ms = self.ms(1, 60);
        Fate::answered(ms, status, None)
    }

    fn down(&mut self) -> Fate {
        let ms = self.ms(0, 20);
        let outcome =
            [AttemptOutcome::ConnectFailed, AttemptOutcome::NameNotResolved, AttemptOutcome::TlsFailed]
                [self.dice.random_range(0..3)];
        Fate::failed(None, ms, outcome)
    }

    /// No answer in time. The receiver has seen it, never does, or does when it is too late.
    fn timed_out(&mut self) -> Fate {
        let seen = match self.dice.random_range(0..3) {
            0 => None,
            1 => Some(self.ms(1, TIMEOUT_MS - 1)),
            _ => Some(self.ms(TIMEOUT_MS + 1, 4 * TIMEOUT_MS)),
        };
        Fate::failed(seen, TIMEOUT_MS, AttemptOutcome::TimedOut)
    }

    fn overloaded(&mut self) -> Fate {
        let status = [429, 503][self.dice.random_range(0..2)];
        let after = match self.dice.random_range(0..4) {
            0 => None,
            1 => Some(self.ms(0, 5)),
            2 => Some(self.ms(5, 300)),
            _ => Some(self.ms(300, 3_600)),
        };
        let ms = self.ms(1, 50);
        Fate::answered(ms, status, after)
    }

    fn sick(&mut self) -> Fate {
        match self.dice.random_range(0..10) {
            0..3 => self.well(),
            3 => self.timed_out(),
            4 => {
                let ms = self.ms(1, TIMEOUT_MS - 1);
                Fate::answered(ms, 200, None)
            }
            5 => self.down(),
            6 => self.overloaded(),
            7 => {
                // The request was processed, and the answer is lost.
                let ms = self.ms(1, 200);
                let outcome = [AttemptOutcome::ConnectionLost, AttemptOutcome::AnswerUnreadable]
                    [self.dice.random_range(0..2)];
                Fate::failed(Some(ms), ms + 5, outcome)
            }
            8 => {
                let ms = self.ms(1, 200);
                Fate::failed(None, ms, AttemptOutcome::ConnectionLost)
            }
            _ => {
                let statuses = [301, 302, 400, 401, 403, 404, 408, 409, 410, 413, 422, 500, 501, 502, 504];
                let status = statuses[self.dice.random_range(0..statuses.len())];
                let ms = self.ms(1, 100);
                Fate::answered(ms, status, None)
            }
        }
    }

    fn fate(&mut self, endpoint: i64, now: i64) -> Fate {
        match self.moods.get(&endpoint).copied().unwrap_or(Mood::Well) {
            Mood::Well => self.well(),
            Mood::Slow => {
                let ms = self.ms(500, TIMEOUT_MS + 1_000);
                if ms < TIMEOUT_MS { Fate::answered(ms, 200, None) } else { self.timed_out() }
            }
            Mood::Sick => self.sick(),
            Mood::Down => self.down(),
            Mood::Hanging => self.timed_out(),
            Mood::Overloaded => self.overloaded(),
            Mood::Flapping { turn_ms } if (now / turn_ms) % 2 == 0 => self.well(),
            Mood::Flapping { .. } => self.down(),
        }
    }
}

#[async_trait]
impl Sender for Network {
    async fn post(&self, post: Post, _: Timestamp) -> Attempt {
        let Post { url, headers, body } = post;
        let text = |name| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let (delivery_id, event_type) = (text(header::EVENT_ID), text(header::EVENT_TYPE));
        let trace = &*self.medium.trace;
        let (endpoint, partner_id) = lock(&self.medium.disk).endpoint_of(url.as_str()).unzip();
        let endpoint = endpoint.map_or(0, |endpoint| endpoint.0);
        let signed = partner_id.and_then(|partner_id| self.signed(&partner_id, &headers, &body));
        let (request, fate) = {
            let now = self.clock.elapsed_ms();
            let inner = &mut *lock(&self.inner);
            inner.requests += 1;
            let fate = inner.fate(endpoint, now);
            let (delivery_id, body) = (delivery_id.clone(), body.clone());
            if fate.seen_ms.is_some() {
                inner.unseen.insert(inner.requests, Unseen { endpoint, delivery_id, body, late_at: None });
            }
            (inner.requests, fate)
        };
        let begun = Event::Begun {
            request,
            endpoint,
            delivery_id: delivery_id.clone(),
            event_type,
            body: body.clone(),
            signed,
        };
        trace.note(&begun);
        let wait = |ms| tokio::time::sleep(Duration::from_millis(ms));
        match fate.seen_ms {
            Some(seen_ms) if seen_ms <= fate.ends_ms => {
                wait(seen_ms).await;
                lock(&self.inner).unseen.remove(&request);
                let delivery_id = delivery_id.clone();
                trace.note(&Event::Saw { request, endpoint, delivery_id, body, late: false });
                wait(fate.ends_ms - seen_ms).await;
            }
            Some(seen_ms) => {
                wait(fate.ends_ms).await;
                let late_ms = i64::try_from(seen_ms - fate.ends_ms).expect("it is seconds");
                let now = self.clock.elapsed_ms();
                if let Some(unseen) = lock(&self.inner).unseen.get_mut(&request) {
                    unseen.late_at = Some(now + late_ms);
                }
            }
            None => wait(fate.ends_ms).await,
        }
        let end = match (fate.outcome, fate.status) {
            (AttemptOutcome::Acknowledged, _) => End::Acknowledged,
            (_, Some(status)) => {
                let retry_after_ms = fate.retry_after_s.and_then(|s| i64::try_from(s * 1_000).ok());
                End::Refused { status, retry_after_ms }
            }
            (outcome, None) => End::Failed(outcome.as_str()),
        };
        trace.note(&Event::Ended { request, delivery_id, end });
        let total = Some(Duration::from_millis(fate.ends_ms));
        Attempt {
            outcome: fate.outcome,
            status: fate.status,
            retry_after: fate.retry_after_s.map(Duration::from_secs),
            address: None,
            timings: Timings { total, ..Timings::default() },
            answer: Bytes::new(),
            answer_truncated: false,
            error: None,
        }
    }
}
