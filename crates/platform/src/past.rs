//! Keeps the figures of the past: once a minute, what was done in it, beside the traffic.
//!
//! What is counted is counted elsewhere, since the start; here two readings are told apart. A minute without the process is
//! a gap and not a zero.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hookit_contract::{DeliveryState, EndpointId, Timestamp};
use hookit_store::Error;
use hookit_store::histogram::Distribution;
use hookit_store::platform::{Activity, Figures, PastFigures, PastTimes, Span};
use tokio::sync::Notify;

use crate::Shared;
use crate::chores::{Chore, Next};

/// Endpoints with figures of their own in a minute: those at which most was done.
const ENDPOINTS_MAX: usize = 1_000;

/// Endpoints that are counted at within a minute; what is done at others is in the figures of all alone.
pub(crate) const COUNTED_MAX: usize = 10_000;

/// How often it is looked whether a minute is over: a clock may be set, and pauses do not notice.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Classes of durations: eight to each doubling, from a tenth of a millisecond to some two minutes.
const CLASSES: usize = 8 * 20 + 1;
const SHORTEST_US: f64 = 100.0;

/// How long attempts took, told apart by a tenth.
#[derive(Clone, Debug)]
struct Durations(Box<[u32; CLASSES]>);

impl Default for Durations {
    fn default() -> Self {
        Durations(Box::new([0; CLASSES]))
    }
}

impl Durations {
    fn count(&mut self, duration: Duration) {
        let doublings = (duration.as_secs_f64() * 1e6 / SHORTEST_US).max(1.0).log2();
        let class = ((doublings * 8.0).ceil() as usize).min(CLASSES - 1);
        self.0[class] = self.0[class].saturating_add(1);
    }

    fn add(&mut self, other: &Durations) {
        for (mine, more) in self.0.iter_mut().zip(other.0.iter()) {
            *mine = mine.saturating_add(*more);
        }
    }

    fn times(&self) -> Option<PastTimes> {
        let all: u64 = self.0.iter().map(|count| u64::from(*count)).sum();
        let at = |thousandth: u64| {
            let (rank, mut seen) = ((all * thousandth).div_ceil(1_000), 0);
            let class = self.0.iter().position(|count| {
                seen += u64::from(*count);
                seen >= rank
            });
            (SHORTEST_US * (class.unwrap_or(0) as f64 / 8.0).exp2()).round() as u64
        };
        (all > 0).then(|| PastTimes { p50_us: at(500), p95_us: at(950), p99_us: at(990) })
    }
}

/// What was done at an endpoint.
#[derive(Clone, Debug, Default)]
struct Done {
    attempts: u64,
    acknowledged: u64,
    durations: Durations,
}

/// What was done at each endpoint since it was last taken.
#[derive(Debug, Default)]
pub(crate) struct DoneAt(Mutex<HashMap<EndpointId, Done>>);

impl DoneAt {
    /// An attempt has ended.
    pub(crate) fn count(&self, endpoint_id: EndpointId, is_acknowledged: bool, duration: Duration) {
        let mut done = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if done.len() >= COUNTED_MAX && !done.contains_key(&endpoint_id) {
            return;
        }
        let done = done.entry(endpoint_id).or_default();
        done.attempts += 1;
        done.acknowledged += u64::from(is_acknowledged);
        done.durations.count(duration);
    }

    fn take(&self) -> HashMap<EndpointId, Done> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What was counted up to one moment.
#[derive(Clone, Debug, Default)]
struct Reading {
    activity: Activity,
    latency: Distribution,
}

#[derive(Debug, Default)]
pub(crate) struct Past {
    /// The minute that is under way; none before the first look.
    minute: Option<Timestamp>,
    /// What was counted when it began.
    at_minute: Reading,
    /// What was counted when its quarter of an hour began.
    at_quarter: Reading,
    /// What was done in the minute.
    in_minute: HashMap<EndpointId, Done>,
    /// How long attempts took in the quarter, up to the minute.
    in_quarter: HashMap<EndpointId, Durations>,
}

impl Past {
    /// The figures of the minute that is over, where one is.
    fn over(&mut self, read: &Reading, figures: &Figures, now: Timestamp) -> Option<Vec<PastFigures>> {
        let minute = *self.minute.get_or_insert_with(|| Span::Minute.beginning(now));
        // A clock that was set back begins anew: what follows is added to what is there.
        if now < minute {
            self.minute = Some(Span::Minute.beginning(now));
            return None;
        }
        if Span::Minute.beginning(now) == minute {
            return None;
        }
        let quarter = Span::Quarter.beginning(minute);
        let all = |span, began_at, since: &Reading| PastFigures {
            endpoint_id: None,
            span,
            began_at,
            events: read.activity.events - self.at_minute.activity.events,
            delivered: ended(&read.activity, &self.at_minute.activity, DeliveryState::Delivered),
            attempts: attempts(&read.activity) - attempts(&self.at_minute.activity),
            acknowledged: acknowledged(&read.activity) - acknowledged(&self.at_minute.activity),
            dead: ended(&read.activity, &self.at_minute.activity, DeliveryState::Dead),
            pending: figures.counts.pending,
            times: times(&read.latency.since(&since.latency)),
        };
        let mut over =
            vec![all(Span::Minute, minute, &self.at_minute), all(Span::Quarter, quarter, &self.at_quarter)];
        over.extend(self.at_endpoints(quarter, &figures.pending_at));
        Some(over)
    }

    fn at_endpoints<'s>(
        &'s self,
        quarter: Timestamp,
        pending_at: &'s std::collections::BTreeMap<EndpointId, u64>,
    ) -> impl Iterator<Item = PastFigures> + 's {
        let idle = pending_at.keys().filter(|id| !self.in_minute.contains_key(id));
        let pending = |id: &EndpointId| pending_at.get(id).copied().unwrap_or(0);
        let mut ids: Vec<EndpointId> = self.in_minute.keys().chain(idle).copied().collect();
        let done = |id: &EndpointId| self.in_minute.get(id).map_or(0, |done| done.attempts);
        ids.sort_by_key(|id| std::cmp::Reverse((done(id), pending(id), *id)));
        ids.truncate(ENDPOINTS_MAX);
        ids.into_iter().map(move |id| {
            let done = self.in_minute.get(&id);
            let (attempts, acknowledged) = done.map_or((0, 0), |done| (done.attempts, done.acknowledged));
            let mut durations = self.in_quarter.get(&id).cloned().unwrap_or_default();
            if let Some(done) = done {
                durations.add(&done.durations);
            }
            PastFigures {
                endpoint_id: Some(id),
                span: Span::Quarter,
                began_at: quarter,
                events: 0,
                delivered: acknowledged,
                attempts,
                acknowledged,
                dead: 0,
                pending: pending(&id),
                times: durations.times(),
            }
        })
    }

    /// What was over is on disk: the minute of `now` begins.
    fn written(&mut self, read: Reading, now: Timestamp) {
        let begins = Span::Minute.beginning(now);
        let before = self.minute.replace(begins).unwrap_or(begins);
        if Span::Quarter.beginning(before) == Span::Quarter.beginning(begins) {
            for (id, done) in self.in_minute.drain() {
                self.in_quarter.entry(id).or_default().add(&done.durations);
            }
        } else {
            self.in_minute.clear();
            self.in_quarter.clear();
            self.at_quarter = read.clone();
        }
        self.at_minute = read;
    }
}

fn attempts(activity: &Activity) -> u64 {
    hookit_contract::AttemptOutcome::ALL.into_iter().map(|outcome| activity.attempts(outcome)).sum()
}

fn acknowledged(activity: &Activity) -> u64 {
    activity.attempts(hookit_contract::AttemptOutcome::Acknowledged)
}

fn ended(now: &Activity, before: &Activity, how: DeliveryState) -> u64 {
    now.ended(how) - before.ended(how)
}

fn times(measured: &Distribution) -> Option<PastTimes> {
    (measured.count() > 0).then(|| PastTimes {
        p50_us: measured.at_thousandth(500),
        p95_us: measured.at_thousandth(950),
        p99_us: measured.at_thousandth(990),
    })
}

impl Chore for Past {
    const NAME: &'static str = "figures of the past";
    const FAILED: &'static str = "figures of the past could not be written";

    async fn step(&mut self, shared: &Shared) -> Result<Next, Error> {
        let now = shared.clock.now();
        let next = Span::Minute.beginning(now).plus(Span::Minute.duration());
        let pause = next.since(now).clamp(Duration::from_millis(1), LOOK_EVERY);
        if self.minute == Some(Span::Minute.beginning(now)) {
            return Ok(Next::After(pause));
        }
        let figures = shared.store.figures().await?;
        let read = Reading { activity: figures.activity, latency: shared.stats.latency_us.read() };
        for (id, done) in shared.stats.done_at.take() {
            let mine = self.in_minute.entry(id).or_default();
            mine.attempts += done.attempts;
            mine.acknowledged += done.acknowledged;
            mine.durations.add(&done.durations);
        }
        if let Some(over) = self.over(&read, &figures, now) {
            shared.store.note_past(over, now).await?;
            self.written(read, now);
        }
        Ok(Next::After(pause))
    }

    fn told(_: &Shared) -> Option<&Notify> {
        None
    }
}

#[cfg(test)]
mod tests {
    use hookit_store::histogram::Histogram;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000).plus(Duration::from_secs(seconds))
    }

    fn done(attempts: u64, acknowledged: u64, each: Duration) -> Done {
        let mut durations = Durations::default();
        (0..attempts).for_each(|_| durations.count(each));
        Done { attempts, acknowledged, durations }
    }

    #[test]
    fn durations_are_told_apart_by_a_tenth() {
        for us in [100u64, 150, 1_000, 33_000, 999_999, 10_000_000] {
            let mut durations = Durations::default();
            durations.count(Duration::from_micros(us));
            let said = durations.times().unwrap().p95_us;
            assert!((us..=us + us / 9).contains(&said), "{us}: {said}");
        }
        assert_eq!(Durations::default().times(), None);
        let mut mixed = Durations::default();
        (0..95).for_each(|_| mixed.count(Duration::from_millis(10)));
        (0..5).for_each(|_| mixed.count(Duration::from_secs(1)));
        let times = mixed.times().unwrap();
        assert!(times.p50_us < 11_100 && times.p95_us < 11_100 && times.p99_us >= 1_000_000, "{times:?}");
    }

    #[test]
    fn a_minute_is_told_when_it_is_over_and_its_quarter_with_it() {
        let (mut past, latency) = (Past::default(), Histogram::default());
        let mut figures = Figures::default();
        let mut look = |past: &mut Past, events: u64, seconds: u64| {
            figures.activity.events = events;
            figures.counts.pending = 3;
            figures.pending_at = [(EndpointId(2), 3)].into();
            let read = Reading { activity: figures.activity, latency: latency.read() };
            let over = past.over(&read, &figures, at(seconds));
            if over.is_some() {
                past.written(read, at(seconds));
            }
            over
        };
        // 1,800,000,000 s begin a minute and a quarter.
        assert_eq!(look(&mut past, 1, 5), None);
        latency.count(400);
        past.in_minute.insert(EndpointId(1), done(2, 1, Duration::from_millis(10)));
        let over = look(&mut past, 5, 60).unwrap();
        let [minute, quarter, first, second] = &over[..] else { panic!("{over:?}") };
        assert_eq!(
            (minute.span, minute.began_at, minute.events, minute.pending),
            (Span::Minute, at(0), 5, 3)
        );
        assert_eq!(minute.times.map(|times| times.p99_us), Some(400));
        assert_eq!((quarter.span, quarter.began_at, quarter.events), (Span::Quarter, at(0), 5));
        assert_eq!((first.endpoint_id, first.attempts, first.acknowledged), (Some(EndpointId(1)), 2, 1));
        assert_eq!((second.endpoint_id, second.attempts, second.pending), (Some(EndpointId(2)), 0, 3));
        assert_eq!(second.times, None);

        // The next minute has its own, and how long things took in the quarter so far.
        latency.count(900);
        past.in_minute.insert(EndpointId(1), done(1, 0, Duration::from_secs(1)));
        let over = look(&mut past, 7, 125).unwrap();
        assert_eq!((over[0].began_at, over[0].events), (at(60), 2));
        assert_eq!(over[0].times.map(|times| times.p50_us), Some(900));
        assert_eq!(
            (over[1].began_at, over[1].events, over[1].times.map(|times| times.p50_us)),
            (at(0), 2, Some(400))
        );
        assert!(over[2].times.is_some_and(|times| times.p50_us < 11_100 && times.p99_us >= 1_000_000));

        // A quarter later everything is new, and what was not measured has no times.
        assert_eq!(look(&mut past, 7, 900).unwrap()[1].began_at, at(0));
        let over = look(&mut past, 8, 960).unwrap();
        assert_eq!((over[1].began_at, over[1].events, over[1].times), (at(900), 1, None));
        assert_eq!(over.len(), 3, "{over:?}");
    }

    #[test]
    fn a_clock_that_is_set_back_tells_nothing_twice() {
        let mut past = Past::default();
        let look = |past: &mut Past, events: u64, seconds: u64| {
            let mut figures = Figures::default();
            figures.activity.events = events;
            let read = Reading { activity: figures.activity, latency: Distribution::default() };
            let over = past.over(&read, &figures, at(seconds));
            if over.is_some() {
                past.written(read, at(seconds));
            }
            over.map(|over| (over[0].began_at, over[0].events))
        };
        assert_eq!(look(&mut past, 1, 600), None);
        assert_eq!(look(&mut past, 2, 660), Some((at(600), 2)));
        assert_eq!(look(&mut past, 3, 30), None);
        assert_eq!(look(&mut past, 4, 60), Some((at(0), 2)));
    }
}
