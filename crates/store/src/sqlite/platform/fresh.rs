//! What was committed a moment ago and has not been sent yet, held in memory, so that a first attempt need not read back
//! what has just been written.
//!
//! It saves time and decides nothing: what is not here is read from disk. An entry holds only what never changes about
//! a delivery; where it goes and what signs it is asked of the [`Registry`] when it is taken. Whatever else may happen
//! to a delivery that waits takes its entry away, before the caller who did it is answered.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use hookit_contract::{
    BranchId, BrandId, DeliveryId, DeliverySeq, EventType, Timestamp, WebhookId, envelope_bytes,
};

use super::registry::Registry;
use crate::platform::{NothingToSend, Payload};

/// Bytes of records that are held at most; beyond it the oldest go, since they have waited longest and may wait longer.
const BYTES_MAX: usize = 16 << 20;

/// A delivery that is pending and was never attempted.
#[derive(Debug)]
pub(super) struct FreshDelivery {
    pub(super) seq: DeliverySeq,
    pub(super) delivery_id: DeliveryId,
    pub(super) event_type: EventType,
    pub(super) webhook_id: WebhookId,
    pub(super) brand_id: BrandId,
    pub(super) branch_id: BranchId,
    pub(super) created_at: Timestamp,
    pub(super) records: Vec<Bytes>,
}

impl FreshDelivery {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.records.iter().map(Bytes::len).sum::<usize>()
    }

    /// The payload, with what the registry says now. None where that is not enough to tell.
    fn payload(self, registry: &Registry) -> Option<Result<Payload, NothingToSend>> {
        let Some(addressee) = registry.addressee(self.webhook_id) else {
            return Some(Err(NothingToSend::Ended));
        };
        // Whether it is passed over depends on what else waits.
        if addressee.is_coalescing {
            return None;
        }
        Some(Ok(Payload {
            delivery_id: self.delivery_id,
            event_type: self.event_type,
            webhook_id: self.webhook_id,
            partner_id: addressee.partner_id.clone(),
            endpoint_id: addressee.endpoint_id,
            url: addressee.url.clone(),
            webhook_secret: addressee.webhook_secret.clone(),
            webhook_secret_next: addressee.webhook_secret_next.clone(),
            basic_auth: addressee.basic_auth.clone(),
            body: envelope_bytes(self.brand_id, self.branch_id, &self.records),
            created_at: self.created_at,
            is_superseded: false,
        }))
    }
}

/// What a tick does to what is held.
#[derive(Debug, Default)]
pub(super) struct FreshChanges {
    /// Deliveries that it made.
    pub(super) made: Vec<FreshDelivery>,
    /// Deliveries that it moved on.
    pub(super) moved_on: Vec<DeliverySeq>,
    /// It may have moved on any others.
    pub(super) any: bool,
}

#[derive(Debug, Default)]
pub(super) struct Fresh(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// In the order in which they came: numbers are given upwards. There is no list beside it, which would keep those that
    /// are gone for as long as one before them waits.
    by_seq: BTreeMap<DeliverySeq, FreshDelivery>,
    bytes: usize,
}

impl Fresh {
    /// Takes in what a tick has committed.
    pub(super) fn committed(&self, changes: FreshChanges) {
        if changes.made.is_empty() && changes.moved_on.is_empty() && !changes.any {
            return;
        }
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if changes.any {
            *held = Held::default();
        } else {
            for seq in changes.moved_on {
                held.remove(seq);
            }
            for delivery in changes.made {
                held.add(delivery);
            }
        }
    }

    /// The payload of a delivery, which is not held any longer then; none where it is to be read from disk.
    pub(super) fn take(
        &self,
        seq: DeliverySeq,
        registry: impl FnOnce() -> std::sync::Arc<Registry>,
    ) -> Option<Result<Payload, NothingToSend>> {
        let delivery = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(seq)?;
        // Asked for after the entry is taken, so that it is no older than whatever left the entry in place.
        delivery.payload(&registry())
    }
}

impl Held {
    fn add(&mut self, delivery: FreshDelivery) {
        self.bytes += delivery.bytes();
        self.by_seq.insert(delivery.seq, delivery);
        while self.bytes > BYTES_MAX
            && let Some((_, oldest)) = self.by_seq.pop_first()
        {
            self.bytes -= oldest.bytes();
        }
    }

    fn remove(&mut self, seq: DeliverySeq) -> Option<FreshDelivery> {
        let delivery = self.by_seq.remove(&seq)?;
        self.bytes -= delivery.bytes();
        Some(delivery)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(seq: i64, bytes: usize) -> FreshDelivery {
        FreshDelivery {
            seq: DeliverySeq(seq),
            delivery_id: DeliveryId::from("evt_1"),
            event_type: EventType::OrderCreated,
            webhook_id: WebhookId(1),
            brand_id: BrandId(1),
            branch_id: BranchId(1),
            created_at: Timestamp::from_millis(0),
            records: vec![Bytes::from(vec![b' '; bytes])],
        }
    }

    fn held(fresh: &Fresh) -> Vec<i64> {
        let held = fresh.0.lock().unwrap();
        let seqs: Vec<_> = held.by_seq.keys().map(|seq| seq.0).collect();
        assert_eq!(held.bytes, held.by_seq.values().map(FreshDelivery::bytes).sum::<usize>());
        seqs
    }

    fn made(made: Vec<FreshDelivery>) -> FreshChanges {
        FreshChanges { made, ..FreshChanges::default() }
    }

    #[test]
    fn so_much_is_held_and_the_oldest_go() {
        let fresh = Fresh::default();
        for seq in 1..=5 {
            fresh.committed(made(vec![delivery(seq, BYTES_MAX / 4)]));
        }
        assert_eq!(held(&fresh), [3, 4, 5]);
        fresh.committed(made(vec![delivery(6, BYTES_MAX)]));
        assert_eq!(held(&fresh), [0; 0], "one that is too large by itself is not held either");
    }

    #[test]
    fn what_a_tick_moved_on_is_held_no_longer_and_leaves_nothing_behind() {
        let fresh = Fresh::default();
        for seq in 1..=10_000 {
            fresh.committed(made(vec![delivery(seq, 10)]));
            let moved_on = vec![DeliverySeq(seq)];
            fresh.committed(FreshChanges { moved_on, ..FreshChanges::default() });
        }
        assert_eq!(held(&fresh), [0; 0]);
        fresh.committed(made(vec![delivery(10_001, 10), delivery(10_002, 10)]));
        fresh.committed(FreshChanges { any: true, ..made(vec![delivery(10_003, 10)]) });
        assert_eq!(held(&fresh), [0; 0], "not even what the same tick made");
    }
}
