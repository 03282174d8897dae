//! Commit, then hint: how a store tells the dispatcher of deliveries that it has just committed.
//!
//! A hint that is lost costs latency, never a delivery: whoever takes the hints learns that some were lost, and reads
//! the disk again. So the mailbox may be bounded and never blocks a commit.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use hookit_contract::EndpointId;

use crate::platform::{EndpointSettings, PendingDelivery};

/// Hints held before they are taken; beyond it they are dropped and the taker is told to read the disk.
pub const HINTS_MAX: usize = 65_536;

/// Something that was committed and that the dispatcher wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// New deliveries, in the order of commits.
    Committed(Vec<PendingDelivery>),
    /// This endpoint is new, was held or let go, is served otherwise, or got or lost deliveries: it is to be read from disk from the start.
    Endpoint {
        /// Which.
        endpoint_id: EndpointId,
        /// True where nothing is sent to it.
        is_held: bool,
        /// How it is served.
        settings: EndpointSettings,
    },
}

/// A mailbox of what was freshly committed.
#[derive(Debug, Default)]
pub struct Hints {
    inbox: Mutex<Taken>,
    filled: Notify,
}

/// What was in the mailbox.
#[derive(Debug, Default)]
pub struct Taken {
    /// True where new deliveries were dropped, before or among what follows.
    pub lost: bool,
    /// The rest, in the order of commits.
    pub hints: Vec<Hint>,
    deliveries: usize,
}

impl Hints {
    /// Puts in what one tick has committed: endpoints first, with whether they are held
    /// and how they are served, because its deliveries were formed after them.
    pub fn put(
        &self,
        endpoints: Vec<(EndpointId, bool, EndpointSettings)>,
        deliveries: Vec<PendingDelivery>,
    ) {
        if endpoints.is_empty() && deliveries.is_empty() {
            return;
        }
        {
            let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
            let hint = |(endpoint_id, is_held, settings)| Hint::Endpoint { endpoint_id, is_held, settings };
            inbox.hints.extend(endpoints.into_iter().map(hint));
            inbox.take_in(deliveries);
        }
        self.filled.notify_one();
    }

    /// Waits until there is something, and takes all of it. One taker at a time. Cancel safe.
    pub async fn take(&self) -> Taken {
        loop {
            let filled = self.filled.notified();
            if let Some(taken) = self.try_take() {
                return taken;
            }
            filled.await;
        }
    }

    /// Takes all that there is now, if there is something.
    pub fn try_take(&self) -> Option<Taken> {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        (inbox.lost || !inbox.hints.is_empty()).then(|| std::mem::take(&mut *inbox))
    }
}

impl Taken {
    fn take_in(&mut self, deliveries: Vec<PendingDelivery>) {
        if deliveries.is_empty() || self.lost {
            return;
        }
        if self.deliveries + deliveries.len() > HINTS_MAX {
            // Dropping the old ones as well keeps what is left free of holes. Endpoints stay: nothing else tells of
            // them, and there are few.
            self.hints.retain(|hint| matches!(hint, Hint::Endpoint { .. }));
            self.lost = true;
            return;
        }
        self.deliveries += deliveries.len();
        match self.hints.last_mut() {
            Some(Hint::Committed(last)) => last.extend(deliveries),
            Some(Hint::Endpoint { .. }) | None => self.hints.push(Hint::Committed(deliveries)),
        }
    }
}

#[cfg(test)]
mod tests {
    use hookit_contract::{DeliverySeq, Timestamp};

    use super::*;

    const PLAIN: EndpointSettings = EndpointSettings {
        ordering: crate::platform::Ordering::PerOrder,
        in_flight_max: None,
        rate_per_second_max: None,
    };

    fn delivery(seq: i64) -> PendingDelivery {
        PendingDelivery {
            seq: DeliverySeq(seq),
            endpoint_id: EndpointId(1),
            orders: Box::new([]),
            attempts: 0,
            failures: 0,
            due: Timestamp::from_millis(0),
            committed_at: Timestamp::from_millis(0),
        }
    }

    #[tokio::test]
    async fn hints_come_out_in_the_order_of_commits() {
        let hints = Hints::default();
        hints.put(Vec::new(), vec![delivery(1)]);
        hints.put(Vec::new(), vec![delivery(2)]);
        hints.put(vec![(EndpointId(7), true, PLAIN)], vec![delivery(3)]);
        let taken = hints.take().await;
        assert!(!taken.lost);
        let expected = [
            Hint::Committed(vec![delivery(1), delivery(2)]),
            Hint::Endpoint { endpoint_id: EndpointId(7), is_held: true, settings: PLAIN },
            Hint::Committed(vec![delivery(3)]),
        ];
        assert_eq!(taken.hints, expected);
    }

    #[tokio::test]
    async fn a_full_mailbox_says_that_hints_were_lost_and_keeps_the_endpoints() {
        let hints = Hints::default();
        hints.put(vec![(EndpointId(7), false, PLAIN)], vec![delivery(1); HINTS_MAX]);
        hints.put(vec![(EndpointId(8), false, PLAIN)], vec![delivery(2)]);
        hints.put(Vec::new(), vec![delivery(3)]);
        let taken = hints.take().await;
        assert!(taken.lost);
        let endpoint = |id| Hint::Endpoint { endpoint_id: EndpointId(id), is_held: false, settings: PLAIN };
        assert_eq!(taken.hints, [endpoint(7), endpoint(8)]);
        hints.put(Vec::new(), vec![delivery(4)]);
        let after = hints.take().await;
        assert!(!after.lost && after.hints == [Hint::Committed(vec![delivery(4)])]);
    }
}
