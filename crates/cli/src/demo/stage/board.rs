//! What is known of both sides, and what happened: the one thing that the page and the terminal are drawn from.
//!
//! Figures are asked for over the same calls that anybody has. What this module must not do: ask, or wait.

use std::collections::VecDeque;
use std::time::Duration;

use hookit_contract::Timestamp;
use hookit_inbox::{InboxActivity, InboxStatus};
use hookit_platform::{BreakerStatus, Status};
use hookit_server::page::{Tone, count, duration};

use super::switch::Switch;
use crate::demo::Received;
use crate::diff::Comparison;

/// How far back samples go, one a second.
const SAMPLES_MAX: usize = 600;
/// Entries of the log.
const LOG_MAX: usize = 100;
/// Over what rates are told.
const RATE_SPAN: Duration = Duration::from_secs(5);
/// Over what the success is told.
const SUCCESS_SPAN: Duration = Duration::from_secs(60);
/// A delivery that waits for longer means that there is a backlog, and not only traffic.
const BEHIND: Duration = Duration::from_secs(2);

/// How things stood at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) at: Timestamp,
    pub(super) pending: u64,
    pub(super) delivered: u64,
    pub(super) attempts: u64,
    /// Repeats included.
    pub(super) received: u64,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) at: Timestamp,
    pub(super) tone: Tone,
    pub(super) what: String,
}

/// The last comparison of both views.
pub(super) struct Compared {
    pub(super) at: Timestamp,
    pub(super) found: Comparison,
}

impl Compared {
    pub(super) fn unequal(&self) -> u64 {
        self.found.different + self.found.missing + self.found.extra
    }
}

/// What is known.
#[derive(Default)]
pub(super) struct Board {
    /// The URL that the platform has of the inbox.
    url: String,
    /// What the platform said last, and whether it still answers.
    pub(super) platform: Option<Status>,
    pub(super) platform_answers: bool,
    /// The same of the inbox.
    pub(super) inbox: Option<InboxStatus>,
    pub(super) inbox_answers: bool,
    /// What the inbox's earlier processes counted, and what had been taken in before the demo.
    before: Received,
    taken_in_before: Option<u64>,
    pub(super) compared: Option<Compared>,
    pub(super) samples: VecDeque<Sample>,
    pub(super) log: VecDeque<Entry>,
    /// Since when each switch is on, in the order of [`Switch::ALL`].
    on: [Option<Timestamp>; Switch::ALL.len()],
    /// When a switch was last turned off.
    mended_at: Option<Timestamp>,
    /// The largest backlog since deliveries began to wait.
    behind: Option<u64>,
    /// Comparisons in a row that found a difference.
    unequal_in_a_row: u32,
}

/// What an inbox's process has counted.
fn counted(activity: &InboxActivity) -> Received {
    Received {
        received: activity.received,
        duplicates: activity.duplicates,
        quarantined: activity.quarantined,
        refused: activity.refused.values().sum(),
    }
}

impl std::ops::Add for Received {
    type Output = Received;

    fn add(self, more: Received) -> Received {
        Received {
            received: self.received + more.received,
            duplicates: self.duplicates + more.duplicates,
            quarantined: self.quarantined + more.quarantined,
            refused: self.refused + more.refused,
        }
    }
}

impl Board {
    /// Nothing is known yet of the inbox at this URL.
    pub(super) fn new(url: String) -> Self {
        Board { url, ..Board::default() }
    }

    /// What came to the inbox since the demo was started, whichever of its processes took it.
    pub(super) fn received(&self) -> Received {
        let Some(inbox) = &self.inbox else { return self.before };
        let taken_in = inbox.deliveries.saturating_sub(self.taken_in_before.unwrap_or_default());
        // The store knows how many were taken in. What a process counted may lack one whose sender went away meanwhile.
        Received { received: taken_in, ..self.before + counted(&inbox.since_start) }
    }

    pub(super) fn breaker(&self) -> Option<BreakerStatus> {
        Some(self.endpoint()?.breaker)
    }

    /// The inbox, as the platform sees it. In a folder that was used before there are others, to which nothing is sent any more.
    pub(super) fn endpoint(&self) -> Option<&hookit_platform::EndpointStatus> {
        self.platform.as_ref()?.endpoints.iter().find(|endpoint| endpoint.url == self.url)
    }

    /// Since when this switch is on.
    pub(super) fn is_on(&self, switch: Switch) -> Option<Timestamp> {
        self.on[switch as usize]
    }

    pub(super) fn broken(&self) -> Vec<&'static str> {
        Switch::ALL.into_iter().filter(|one| self.is_on(*one).is_some()).map(Switch::name).collect()
    }

    /// Notes that a switch was pressed, or went off by itself.
    pub(super) fn switched(&mut self, switch: Switch, is_on: bool, now: Timestamp) {
        self.on[switch as usize] = is_on.then_some(now);
        let what = match (switch, is_on) {
            (Switch::Kill, true) => "The platform was killed".to_owned(),
            (Switch::Kill, false) => "The platform was started again, on the same files".to_owned(),
            (Switch::Secret, true) => {
                "The webhook secret was replaced, and the inbox was not told".to_owned()
            }
            (Switch::Secret, false) => "The inbox was started again with the new secret".to_owned(),
            (_, true) => format!("{}: on", switch.name()),
            (_, false) => format!("{}: off", switch.name()),
        };
        if !is_on {
            self.mended_at = Some(now);
        }
        self.note(if is_on { Tone::Warn } else { Tone::Info }, now, what);
    }

    pub(super) fn note(&mut self, tone: Tone, at: Timestamp, what: String) {
        if self.log.len() == LOG_MAX {
            self.log.pop_front();
        }
        self.log.push_back(Entry { at, tone, what });
    }

    /// Takes what the platform said; nothing where it did not answer.
    pub(super) fn platform_said(&mut self, status: Option<Status>, now: Timestamp) {
        self.platform_answers = status.is_some();
        let Some(status) = status else { return };
        let was = self.breaker();
        self.platform = Some(status);
        self.follow_breaker(was, now);
        self.follow_backlog(now);
    }

    fn follow_breaker(&mut self, was: Option<BreakerStatus>, now: Timestamp) {
        use BreakerStatus::{Closed, Open, Probing, Recovering};
        let is_down = |breaker| matches!(breaker, Open | Probing);
        let Some(is) = self.breaker() else { return };
        match (was.unwrap_or(Closed), is) {
            (was, is) if is_down(is) && !is_down(was) => {
                self.note(Tone::Bad, now, "The breaker opened: to the platform the inbox is down".to_owned());
            }
            (was, Recovering) if was != Recovering => {
                let what = "A probe was acknowledged: the backlog goes out, faster and faster".to_owned();
                self.note(Tone::Info, now, what);
            }
            (was, Closed) if was != Closed => {
                self.note(Tone::Good, now, "The breaker closed: the inbox is up".to_owned());
            }
            _ => {}
        }
    }

    fn follow_backlog(&mut self, now: Timestamp) {
        let Some(status) = &self.platform else { return };
        let (pending, oldest) = (status.pending, status.oldest_pending_age_ms.map(Duration::from_millis));
        if oldest.is_some_and(|oldest| oldest >= BEHIND) {
            self.behind = Some(self.behind.unwrap_or_default().max(pending));
        } else if let Some(largest) = self.behind.take() {
            self.note(
                Tone::Good,
                now,
                format!("The backlog has drained; at its largest it was {}", count(largest)),
            );
        }
    }

    /// Takes what the inbox said; nothing where it did not answer.
    pub(super) fn inbox_said(&mut self, status: Option<InboxStatus>) {
        self.inbox_answers = status.is_some();
        let Some(status) = status else { return };
        self.taken_in_before.get_or_insert(status.deliveries);
        if let Some(last) = &self.inbox
            && last.started_at != status.started_at
        {
            self.before = self.before + counted(&last.since_start);
        }
        self.inbox = Some(status);
    }

    /// Takes a comparison that began at `at`.
    pub(super) fn compared(&mut self, found: Comparison, at: Timestamp, now: Timestamp) {
        let compared = Compared { at, found };
        let unequal = compared.unequal();
        if unequal > 0 {
            self.unequal_in_a_row = self.unequal_in_a_row.saturating_add(1);
            // A single one may be a record that was on its way for a little longer.
            if self.unequal_in_a_row == 2 {
                self.note(Tone::Bad, now, format!("The views differ, in {} orders by now", count(unequal)));
            }
        } else {
            if self.unequal_in_a_row >= 2 {
                let mended = self.mended_at.filter(|mended| *mended <= at && self.broken().is_empty());
                let after = mended
                    .map(|mended| format!(", {} after the last repair", duration(now.since(mended))))
                    .unwrap_or_default();
                let equal = count(compared.found.equal);
                self.note(Tone::Good, now, format!("Both views are equal again{after}: all {equal} orders"));
            }
            self.unequal_in_a_row = 0;
        }
        self.compared = Some(compared);
    }

    /// Keeps how things stand for the charts and rates. What a side does not say is not known, and leaves a gap.
    pub(super) fn sample(&mut self, now: Timestamp) {
        let (true, Some(status)) = (self.platform_answers, &self.platform) else { return };
        let received = self.received();
        let sample = Sample {
            at: now,
            pending: status.pending,
            delivered: status.delivered,
            attempts: status.attempts,
            received: received.received + received.duplicates,
        };
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// The newest sample, and the first of those within this time before it.
    fn within(&self, span: Duration, now: Timestamp) -> Option<(Sample, Sample)> {
        let newest = *self.samples.back().filter(|newest| now.since(newest.at) <= span)?;
        let first = *self.samples.iter().find(|sample| newest.at.since(sample.at) <= span)?;
        Some((first, newest))
    }

    fn rate(&self, of: fn(&Sample) -> u64, now: Timestamp) -> Option<f64> {
        let (first, newest) = self.within(RATE_SPAN, now)?;
        let seconds = newest.at.since(first.at).as_secs_f64();
        (seconds > 0.0).then(|| of(&newest).saturating_sub(of(&first)) as f64 / seconds)
    }

    /// Deliveries acknowledged in a second.
    pub(super) fn delivered_a_second(&self, now: Timestamp) -> Option<f64> {
        self.rate(|sample| sample.delivered, now)
    }

    /// Deliveries taken in by the inbox in a second, repeats included.
    pub(super) fn received_a_second(&self, now: Timestamp) -> Option<f64> {
        self.rate(|sample| sample.received, now)
    }

    /// How many attempts of the last minute were acknowledged, of how many.
    pub(super) fn success(&self, now: Timestamp) -> Option<(u64, u64)> {
        let (first, newest) = self.within(SUCCESS_SPAN, now)?;
        let attempts = newest.attempts.saturating_sub(first.attempts);
        Some((newest.delivered.saturating_sub(first.delivered).min(attempts), attempts))
    }
}
