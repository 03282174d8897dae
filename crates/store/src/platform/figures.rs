//! What the store counts: how much there is, and what was done since it was opened.

use std::collections::BTreeMap;

use hookit_contract::{AttemptOutcome, DeliveryState, EndpointId};

use crate::histogram::Distribution;

/// All figures, as of one commit.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// How much there is.
    pub counts: Counts,
    /// Deliveries that are pending, of each endpoint that has any: [`Counts::pending`] in all.
    pub pending_at: BTreeMap<EndpointId, u64>,
    /// What was done since the store was opened.
    pub activity: Activity,
    /// The commits since then.
    pub ticks: Ticks,
    /// What waits to be written.
    pub queue: Queue,
}

/// How many deliveries stand where: of what is there. What was removed for its age is not counted any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Orders.
    pub orders: u64,
    /// Events: changes of orders.
    pub events: u64,
    /// Deliveries that are pending.
    pub pending: u64,
    /// Deliveries that were acknowledged.
    pub delivered: u64,
    /// Deliveries that were given up.
    pub dead: u64,
    /// Deliveries that an operator took back.
    pub cancelled: u64,
    /// Deliveries that were passed over for newer ones.
    pub superseded: u64,
    /// Attempts.
    pub attempts: u64,
}

impl Counts {
    /// Deliveries in this state.
    pub fn in_state(&self, state: DeliveryState) -> u64 {
        let mut counts = *self;
        *counts.state_mut(state)
    }

    pub(crate) fn state_mut(&mut self, state: DeliveryState) -> &mut u64 {
        match state {
            DeliveryState::Pending => &mut self.pending,
            DeliveryState::Delivered => &mut self.delivered,
            DeliveryState::Dead => &mut self.dead,
            DeliveryState::Cancelled => &mut self.cancelled,
            DeliveryState::Superseded => &mut self.superseded,
        }
    }
}

/// What was done since the store was opened. Only ever grows, and does not care what is removed for its age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Changes of orders that were made.
    pub events: u64,
    /// Deliveries that were formed of them.
    pub formed: u64,
    /// Deliveries that a replay put in line, under their old ids or new ones.
    pub replayed: u64,
    ended: [u64; DeliveryState::ALL.len()],
    attempts: [u64; AttemptOutcome::ALL.len()],
}

impl Activity {
    /// Deliveries that came to this end. One that is replayed ends again, and so does one whose acknowledgement came in
    /// after it had been taken back. None ever ends as pending.
    pub fn ended(&self, how: DeliveryState) -> u64 {
        self.ended[how as usize]
    }

    /// Attempts that were recorded with this outcome.
    pub fn attempts(&self, outcome: AttemptOutcome) -> u64 {
        self.attempts[outcome as usize]
    }

    pub(crate) fn count_end(&mut self, how: DeliveryState) {
        self.ended[how as usize] += 1;
    }

    pub(crate) fn count_attempt(&mut self, outcome: AttemptOutcome) {
        self.attempts[outcome as usize] += 1;
    }
}

/// The commits since the store was opened. A commit that failed is not among them.
#[derive(Clone, Debug, Default)]
pub struct Ticks {
    /// How much each one held: changes, ends of attempts, and whatever else was written, one by one.
    pub writes: Distribution,
    /// How long each one took, from its beginning until it was on disk, in microseconds.
    pub duration_us: Distribution,
}

/// What waits to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Commands that wait: a change, a batch of them, a batch of ends of attempts, or something else.
    pub commands: u64,
    /// How many may wait.
    pub commands_max: u64,
    /// About how many bytes they have.
    pub bytes: u64,
    /// How many they may have.
    pub bytes_max: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_and_outcome_has_a_count_of_its_own() {
        let (mut counts, mut activity) = (Counts::default(), Activity::default());
        for (n, state) in (1..).zip(DeliveryState::ALL) {
            *counts.state_mut(state) += n;
            (0..n).for_each(|_| activity.count_end(state));
        }
        for (n, outcome) in (1..).zip(AttemptOutcome::ALL) {
            (0..n).for_each(|_| activity.count_attempt(outcome));
        }
        assert_eq!(DeliveryState::ALL.map(|state| counts.in_state(state)), [1, 2, 3, 4, 5]);
        assert_eq!(DeliveryState::ALL.map(|state| activity.ended(state)), [1, 2, 3, 4, 5]);
        assert_eq!(
            AttemptOutcome::ALL.map(|outcome| activity.attempts(outcome)),
            [1, 2, 3, 4, 5, 6, 7, 8, 9]
        );
    }
}
