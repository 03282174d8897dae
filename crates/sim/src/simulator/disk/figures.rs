//! How much there is of what: counted anew each time.

use std::collections::BTreeMap;

use hookit_contract::{DeliverySeq, DeliveryState, EndpointId, Timestamp};
use hookit_store::platform::Counts;

use super::{Disk, Row};

impl Disk {
    pub(in crate::simulator) fn counts(&self) -> Counts {
        let in_state =
            |state| self.deliveries.values().filter(|row| row.delivery.state == state).count() as u64;
        Counts {
            orders: self.orders.len() as u64,
            events: self.events.len() as u64,
            pending: in_state(DeliveryState::Pending),
            delivered: in_state(DeliveryState::Delivered),
            dead: in_state(DeliveryState::Dead),
            cancelled: in_state(DeliveryState::Cancelled),
            superseded: in_state(DeliveryState::Superseded),
            attempts: self.deliveries.values().map(|row| row.log.len() as u64).sum(),
        }
    }

    pub(in crate::simulator) fn pending_at(&self) -> BTreeMap<EndpointId, u64> {
        let mut pending = BTreeMap::new();
        for row in self.pending_rows() {
            *pending.entry(row.delivery.endpoint_id).or_default() += 1;
        }
        pending
    }

    pub(in crate::simulator) fn oldest_pending(&self) -> Vec<(EndpointId, Timestamp)> {
        // The first in line, fresh and replayed; of the two what has been there longer.
        let mut first: BTreeMap<(EndpointId, bool), (DeliverySeq, Timestamp)> = BTreeMap::new();
        for row in self.pending_rows() {
            let line = (row.delivery.endpoint_id, row.place.is_among_replays());
            let here = first.entry(line).or_insert((row.place, row.since));
            *here = (*here).min((row.place, row.since));
        }
        let mut oldest: BTreeMap<EndpointId, Timestamp> = BTreeMap::new();
        for ((endpoint, _), (_, since)) in first {
            let here = oldest.entry(endpoint).or_insert(since);
            *here = (*here).min(since);
        }
        oldest.into_iter().collect()
    }

    fn pending_rows(&self) -> impl Iterator<Item = &Row> {
        self.deliveries.values().filter(|row| row.delivery.state == DeliveryState::Pending)
    }
}
