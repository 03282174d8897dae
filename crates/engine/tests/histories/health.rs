//! G6, stated a second time: what may be sent to an endpoint that is down, and what of it may count.

use std::collections::BTreeSet;

use hookit_contract::{AttemptOutcome, DeliverySeq, OrderId};

/// What the auditor knows of one endpoint. Its times are of time that has passed, not of a clock.
#[derive(Debug, Default)]
pub(crate) struct Health {
    down: Option<Down>,
    /// The orders of each delivery that stands in the row.
    row: Vec<BTreeSet<OrderId>>,
    pub(crate) failures_in_a_row: usize,
}

#[derive(Debug)]
struct Down {
    quiet_until_ms: i64,
    probe: Option<DeliverySeq>,
}

impl Health {
    pub(crate) fn is_down(&self) -> bool {
        self.down.is_some()
    }

    /// An operator has opened it.
    pub(crate) fn pause_is_over(&mut self) {
        if let Some(down) = &mut self.down {
            down.quiet_until_ms = i64::MIN;
        }
    }

    pub(crate) fn sent(&mut self, seq: DeliverySeq, elapsed_ms: i64) {
        if let Some(down) = &mut self.down {
            assert!(elapsed_ms >= down.quiet_until_ms, "{seq:?} was sent in the pause");
            assert_eq!(down.probe, None, "{seq:?} is a second probe");
            down.probe = Some(seq);
        }
    }

    /// Whether a failure may count against the plan of its delivery.
    pub(crate) fn ended(
        &mut self,
        seq: DeliverySeq,
        orders: &[OrderId],
        (outcome, status): (AttemptOutcome, Option<u16>),
        elapsed_ms: i64,
        pause_ms: i64,
        failures_to_open: usize,
    ) -> bool {
        let was_probe = self.down.as_ref().is_some_and(|down| down.probe == Some(seq));
        if outcome == AttemptOutcome::Acknowledged {
            self.failures_in_a_row = 0;
            self.row.clear();
            if was_probe {
                self.down = None;
            }
            return false;
        }
        self.failures_in_a_row += 1;
        if was_probe {
            self.down = Some(Down { quiet_until_ms: elapsed_ms + pause_ms, probe: None });
            return false;
        }
        let of_the_endpoint = matches!(status, Some(429 | 503))
            || matches!(
                outcome,
                AttemptOutcome::ConnectFailed
                    | AttemptOutcome::NameNotResolved
                    | AttemptOutcome::TlsFailed
                    | AttemptOutcome::AddressForbidden
            );
        if self.down.is_some() || status == Some(410) {
            return false;
        }
        if !of_the_endpoint {
            let orders: BTreeSet<OrderId> = orders.iter().copied().collect();
            if self.row.iter().all(|other| other.is_disjoint(&orders)) {
                self.row.push(orders);
            }
            if self.row.len() < failures_to_open {
                return true;
            }
        }
        self.row.clear();
        self.down = Some(Down { quiet_until_ms: elapsed_ms + pause_ms, probe: None });
        false
    }
}
