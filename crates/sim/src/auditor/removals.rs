//! What an operator takes back: one delivery, or a registration with all that waits for it. Each ends in the name in which
//! it was asked for; nothing of it is sent that was not asked for before; and nothing else is touched.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Cancelled, Commit};
use super::{Auditor, State};

/// What was asked for, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Removals {
    removals_asked: BTreeSet<(i64, String)>,
    cancels_asked: BTreeSet<(String, String)>,
    /// In whose name a registration was removed, and by which event.
    removed: BTreeMap<i64, (String, u64)>,
}

impl Removals {
    pub(super) fn removal_asked(&mut self, webhook: i64, by: &str) {
        self.removals_asked.insert((webhook, by.to_owned()));
    }

    pub(super) fn cancel_asked(&mut self, delivery_id: &str, by: &str) {
        self.cancels_asked.insert((delivery_id.to_owned(), by.to_owned()));
    }

    pub(super) fn is_removed(&self, webhook: i64) -> bool {
        self.removed.contains_key(&webhook)
    }

    /// The registration, where it had been removed when the bytes were asked for.
    pub(super) fn removed_before(&self, webhook: i64, asked_no: u64) -> Option<i64> {
        self.removed.get(&webhook).filter(|(_, removed_no)| *removed_no < asked_no).map(|_| webhook)
    }
}

impl Auditor {
    pub(super) fn registrations_removed(&mut self, commit: &Commit) {
        for (webhook, by) in &commit.removed {
            self.counts.removed += 1;
            if !self.removals.removals_asked.contains(&(*webhook, by.clone())) {
                self.broken(
                    "G2",
                    format!("registration {webhook} is removed by {by}, who did not ask for it"),
                );
            }
            let no = self.counts.events;
            if self.removals.removed.insert(*webhook, (by.clone(), no)).is_some() {
                self.broken("G2", format!("registration {webhook} is removed twice"));
            }
        }
    }

    pub(super) fn ended_by_operators(&mut self, commit: &Commit, which: impl Fn(i64) -> bool) {
        for cancelled in commit.cancelled.iter().filter(|cancelled| which(cancelled.seq)) {
            self.cancelled(cancelled);
        }
        for &(seq, delivered) in commit.taken_back.iter().filter(|(seq, _)| which(*seq)) {
            self.taken_back(seq, delivered);
        }
    }

    fn cancelled(&mut self, cancelled: &Cancelled) {
        let Cancelled { seq, by, with_registration } = cancelled;
        let Some(held) = self.deliveries.get(seq).filter(|held| held.state == State::Pending) else {
            return self.broken("G2", format!("delivery {seq} is taken back and was not pending"));
        };
        let webhook = held.webhook;
        let is_asked = if *with_registration {
            self.removals.removed.get(&webhook).is_some_and(|(whose, _)| whose == by)
        } else {
            let ids = self.by_id.iter().filter(|(_, place)| *place == seq);
            ids.into_iter().any(|(id, _)| self.removals.cancels_asked.contains(&(id.clone(), by.clone())))
        };
        if !is_asked {
            let what = format!("delivery {seq} of registration {webhook} is taken back by {by}");
            return self.broken("G2", format!("{what}, and nobody asked for it"));
        }
        let count =
            if *with_registration { &mut self.counts.removed_with } else { &mut self.counts.cancelled };
        *count += 1;
        let no = self.counts.events;
        if let Some(held) = self.deliveries.get_mut(seq) {
            (held.state, held.stopped_no) = (State::Cancelled, no);
        }
        self.finished(*seq);
    }
}
