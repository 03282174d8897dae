//! The deliveries: how they are formed, where they stand in line, how they end.

use std::collections::BTreeSet;

use bytes::Bytes;
use hookit_contract::{
    AttemptOutcome, BranchId, BrandId, DeliveryId, DeliverySeq, DeliveryState, EndpointId, OrderId, ReplayId,
    Timestamp, envelope_bytes,
};
use hookit_store::platform::{
    Attempt, Cancelled, Delivery, EndReason, NothingToSend, Payload, PendingDelivery, PendingPage, Verdict,
};

use super::{Disk, Occurrence, Place, Row, Tick, batches, place};
use crate::auditor::event;

/// What a delivery that a replay makes is about.
#[derive(Clone, Copy)]
pub(super) struct Meant {
    /// The registration's place.
    pub(super) webhook: usize,
    pub(super) brand_id: BrandId,
    pub(super) branch_id: BranchId,
}

impl Disk {
    /// Forms the tick's deliveries. All of a tick's events go by the registrations at its end.
    pub(super) fn form(&mut self, tick: &mut Tick) {
        let waiting: BTreeSet<(EndpointId, OrderId)> = self
            .pending
            .iter()
            .flat_map(|(endpoint_id, seq)| {
                self.in_line(*seq).delivery.orders.iter().map(|(order_id, _)| (*endpoint_id, *order_id))
            })
            .collect();
        let planned = batches::plan(
            &self.webhooks,
            |i| !self.removed.contains_key(&i),
            &tick.occurrences,
            self.orders_per_delivery_max,
            |e, o| waiting.contains(&(e, o)),
        );
        for planned in planned {
            let carried: Vec<&Occurrence> =
                planned.occurrences.iter().map(|&i| &tick.occurrences[i]).collect();
            let at =
                carried.iter().map(|occurrence| occurrence.at).max().expect("a delivery carries something");
            let records: Vec<&[u8]> = carried.iter().map(|occurrence| &occurrence.record[..]).collect();
            let seq = DeliverySeq(self.deliveries.last_key_value().map_or(0, |(seq, _)| seq.0) + 1);
            let delivery = Delivery {
                seq,
                delivery_id: DeliveryId::from(format!("evt_{:032x}", seq.0)),
                endpoint_id: planned.endpoint_id,
                webhook_id: self.webhooks[planned.webhook].0.webhook_id,
                event_type: planned.event_type,
                brand_id: planned.brand_id,
                branch_id: planned.branch_id,
                orders: carried.iter().map(|o| (o.order_id, o.version)).collect(),
                state: DeliveryState::Pending,
                is_replay: false,
                replay_id: None,
                attempts: 0,
                created_at: at,
                next_attempt_at: Some(at),
                finished_at: None,
                ended_by: None,
                ended_reason: None,
            };
            tick.commit.deliveries.push(formed(&delivery, seq, at));
            let body = envelope_bytes(planned.brand_id, planned.branch_id, &records);
            self.pending.insert((delivery.endpoint_id, seq));
            let row = Row {
                failures: 0,
                delivery,
                webhook: planned.webhook,
                body,
                log: Vec::new(),
                place: seq,
                since: at,
                replay_id: None,
            };
            tick.hints.push(waiting_delivery(&row));
            self.deliveries.insert(seq, row);
        }
    }

    pub(super) fn record(&mut self, tick: &mut Tick, attempt: Attempt, now: Timestamp) {
        let in_line = self.seq_at(attempt.seq);
        // One that was replayed while it was under way is known by its id.
        let of_id = |id: &DeliveryId| self.deliveries.values().find(|row| row.delivery.delivery_id == *id);
        let elsewhere = || attempt.delivery_id.as_ref().and_then(of_id).map(|row| row.delivery.seq);
        let row = in_line.or_else(elsewhere).and_then(|seq| self.deliveries.get_mut(&seq));
        // One that was under way when its delivery was taken back is logged too, and moves nothing on.
        let is_late =
            row.as_ref().is_some_and(|row| in_line.is_none() || row.delivery.state != DeliveryState::Pending);
        let begun = |a: &Attempt| (a.started_at, a.duration);
        let applied = row.as_ref().is_some_and(|row| row.log.iter().all(|a| begun(a) != begun(&attempt)));
        tick.commit.attempts.push(event::Attempt {
            seq: attempt.seq.0,
            number: attempt.number,
            acknowledged: attempt.outcome == AttemptOutcome::Acknowledged,
            verdict: match attempt.verdict {
                Verdict::Delivered => event::Verdict::Delivered,
                Verdict::RetryAt { at, counted } => {
                    event::Verdict::RetryAt { at_ms: at.as_millis(), counted }
                }
                Verdict::Dead => event::Verdict::Dead,
            },
            applied,
            late: is_late,
        });
        let Some(row) = row.filter(|_| applied) else { return };
        row.delivery.attempts += 1;
        let (seq, verdict) = (attempt.seq, attempt.verdict);
        row.log.push(Attempt { number: row.delivery.attempts, ..attempt });
        if is_late {
            let delivery = &mut row.delivery;
            if verdict == Verdict::Delivered && delivery.state != DeliveryState::Pending {
                delivery.state = DeliveryState::Delivered;
                (delivery.ended_by, delivery.ended_reason) = (None, None);
            }
            return;
        }
        match verdict {
            Verdict::RetryAt { at, counted } => {
                row.delivery.next_attempt_at = Some(at);
                row.failures += u32::from(counted);
            }
            Verdict::Delivered => {
                self.end(seq, DeliveryState::Delivered, now);
            }
            Verdict::Dead => {
                self.end(seq, DeliveryState::Dead, now);
            }
        }
    }

    /// False where it had ended before.
    pub(super) fn end(&mut self, seq: DeliverySeq, state: DeliveryState, now: Timestamp) -> bool {
        let row = self.seq_at(seq).and_then(|seq| self.deliveries.get_mut(&seq));
        let Some(row) = row.filter(|row| row.delivery.state == DeliveryState::Pending) else { return false };
        let delivery = &mut row.delivery;
        (delivery.state, delivery.next_attempt_at, delivery.finished_at) = (state, None, Some(now));
        self.pending.remove(&(delivery.endpoint_id, seq));
        if let Some(replay_id) = row.replay_id {
            self.tally(replay_id, state, now);
        }
        true
    }

    pub(super) fn cancel(
        &mut self,
        tick: &mut Tick,
        seq: DeliverySeq,
        by: &str,
        reason: EndReason,
        now: Timestamp,
    ) {
        self.end(seq, DeliveryState::Cancelled, now);
        if let Some(row) = self.seq_at(seq).and_then(|seq| self.deliveries.get_mut(&seq)) {
            (row.delivery.ended_by, row.delivery.ended_reason) = (Some(by.to_owned()), Some(reason));
        }
        let with_registration = reason == EndReason::WebhookRemoved;
        tick.commit.cancelled.push(event::Cancelled { seq: seq.0, by: by.to_owned(), with_registration });
    }

    /// Whether newer states of all of a delivery's orders wait at a registration that wants only those. Replays pass
    /// nothing over and are not passed over.
    pub(super) fn is_superseded(&self, seq: DeliverySeq) -> bool {
        let Some(row) = self.deliveries.get(&seq).filter(|row| row.place == seq) else { return false };
        let is_newer = |(other, newer): (&DeliverySeq, &Row)| {
            *other > seq
                && newer.place == *other
                && newer.webhook == row.webhook
                && newer.delivery.brand_id == row.delivery.brand_id
                && newer.delivery.state == DeliveryState::Pending
        };
        let newer = || self.deliveries.iter().filter(|&entry| is_newer(entry)).map(|(_, row)| row);
        row.delivery.state == DeliveryState::Pending
            && self.webhooks[row.webhook].0.settings.coalesce
            && row.delivery.orders.iter().all(|(order, _)| {
                newer().any(|row| row.delivery.orders.iter().any(|(other, _)| other == order))
            })
    }

    pub(super) fn cancel_delivery(
        &mut self,
        tick: &mut Tick,
        delivery_id: &DeliveryId,
        by: &str,
        now: Timestamp,
    ) -> Cancelled {
        let found = self.deliveries.values().find(|row| row.delivery.delivery_id == *delivery_id);
        let Some((delivery, place)) = found.map(|row| (row.delivery.clone(), row.place)) else {
            return Cancelled::NoSuchDelivery;
        };
        if delivery.state != DeliveryState::Pending {
            return Cancelled::Ended(delivery.state);
        }
        self.cancel(tick, place, by, EndReason::DeliveryCancelled, now);
        self.gives_way(tick, delivery.endpoint_id);
        Cancelled::Done
    }

    /// What waits there need not wait for something any more.
    pub(super) fn gives_way(&self, tick: &mut Tick, endpoint_id: EndpointId) {
        tick.endpoints.push(endpoint_id);
        // One word of replays is enough for the engine to read them.
        tick.hints.extend(self.page(endpoint_id, DeliverySeq::REPLAYS_AFTER, 1).deliveries);
    }

    pub(super) fn supersede(&mut self, tick: &mut Tick, seq: DeliverySeq, now: Timestamp) -> bool {
        let superseded = self.is_superseded(seq);
        if superseded {
            self.end(seq, DeliveryState::Superseded, now);
            tick.commit.superseded.push(seq.0);
        }
        superseded
    }

    /// The delivery that stands in a place in line, or stood there last.
    pub(super) fn seq_at(&self, place: DeliverySeq) -> Option<DeliverySeq> {
        let seq = if place.is_among_replays() { *self.replayed.get(&place)? } else { place };
        self.deliveries.get(&seq).is_some_and(|row| row.place == place).then_some(seq)
    }

    pub(super) fn in_line(&self, place: DeliverySeq) -> &Row {
        &self.deliveries[&self.seq_at(place).expect("what is pending has a place")]
    }

    /// Moves a delivery that has ended, or is new, into the next place of the replays.
    pub(super) fn line_up(
        &mut self,
        tick: &mut Tick,
        seq: DeliverySeq,
        replay_id: Option<ReplayId>,
        now: Timestamp,
    ) {
        let place = self
            .replayed
            .last_key_value()
            .map_or(DeliverySeq::of_replay(1), |(last, _)| DeliverySeq(last.0 + 1));
        self.replayed.insert(place, seq);
        let row = self.deliveries.get_mut(&seq).expect("the caller has looked it up");
        row.delivery.endpoint_id = self.webhooks[row.webhook].0.endpoint_id;
        (row.delivery.is_replay, row.delivery.replay_id) = (true, replay_id);
        (row.delivery.state, row.delivery.next_attempt_at, row.delivery.finished_at) =
            (DeliveryState::Pending, Some(now), None);
        (row.failures, row.place, row.since, row.replay_id) = (0, place, now, replay_id);
        self.pending.insert((row.delivery.endpoint_id, place));
        tick.hints.push(waiting_delivery(row));
    }

    /// Ends what an operator takes back: delivered where it had been acknowledged before.
    pub(super) fn take_out(&mut self, seq: DeliverySeq, now: Timestamp) {
        let row = self.deliveries.get_mut(&seq).expect("the caller has looked it up");
        let is_acknowledged = |attempt: &Attempt| attempt.outcome == AttemptOutcome::Acknowledged;
        let was_delivered = row.log.iter().any(is_acknowledged);
        let state = if was_delivered { DeliveryState::Delivered } else { DeliveryState::Cancelled };
        (row.delivery.state, row.delivery.next_attempt_at, row.delivery.finished_at) =
            (state, None, Some(now));
        self.pending.remove(&(row.delivery.endpoint_id, row.place));
    }

    /// The record of an order as a new delivery in a place of the replays.
    pub(super) fn form_anew(
        &mut self,
        tick: &mut Tick,
        what: Meant,
        orders: &[(OrderId, Bytes, i64)],
        replay_id: ReplayId,
        now: Timestamp,
    ) -> DeliverySeq {
        let Meant { webhook, brand_id, branch_id } = what;
        let seq = DeliverySeq(self.deliveries.last_key_value().map_or(0, |(seq, _)| seq.0) + 1);
        let registration = &self.webhooks[webhook].0;
        let delivery = Delivery {
            seq,
            delivery_id: DeliveryId::from(format!("evt_{:032x}", seq.0)),
            orders: orders.iter().map(|(order_id, _, version)| (*order_id, *version)).collect(),
            attempts: 0,
            created_at: now,
            endpoint_id: registration.endpoint_id,
            webhook_id: registration.webhook_id,
            event_type: registration.event_type,
            brand_id,
            branch_id,
            state: DeliveryState::Pending,
            is_replay: false,
            replay_id: None,
            next_attempt_at: Some(now),
            finished_at: None,
            ended_by: None,
            ended_reason: None,
        };
        let records: Vec<&[u8]> = orders.iter().map(|(_, record, _)| &record[..]).collect();
        let body = envelope_bytes(delivery.brand_id, delivery.branch_id, &records);
        let row = Row {
            failures: 0,
            delivery,
            webhook,
            body,
            log: Vec::new(),
            place: seq,
            since: now,
            replay_id: Some(replay_id),
        };
        self.deliveries.insert(seq, row);
        self.line_up(tick, seq, Some(replay_id), now);
        let row = &self.deliveries[&seq];
        tick.commit.anew.push(formed(&row.delivery, row.place, now));
        row.place
    }

    pub(in crate::simulator) fn page(
        &self,
        endpoint_id: EndpointId,
        after: DeliverySeq,
        limit: usize,
    ) -> PendingPage {
        let last = if after.is_among_replays() { DeliverySeq(i64::MAX) } else { DeliverySeq::REPLAYS_AFTER };
        let range = (endpoint_id, DeliverySeq(after.0 + 1))..=(endpoint_id, last);
        let rows = self.pending.range(range).map(|(_, place)| self.in_line(*place));
        let mut behind = rows.filter(|row| !self.is_withheld(row));
        let page = behind.by_ref().take(limit).map(waiting_delivery);
        PendingPage { deliveries: page.collect(), end: behind.next().is_none() }
    }

    pub(in crate::simulator) fn payload(&self, place_in_line: DeliverySeq) -> Result<Payload, NothingToSend> {
        let row = self
            .seq_at(place_in_line)
            .map(|seq| &self.deliveries[&seq])
            .filter(|row| row.delivery.state == DeliveryState::Pending)
            .filter(|row| !self.removed.contains_key(&row.webhook))
            .ok_or(NothingToSend::Ended)?;
        if self.is_withheld(row) {
            return Err(NothingToSend::Withheld);
        }
        let Place { partner, url, .. } = &self.endpoints[place(row.delivery.endpoint_id)];
        let partner = &self.partners[*partner];
        Ok(Payload {
            delivery_id: row.delivery.delivery_id.clone(),
            event_type: row.delivery.event_type,
            webhook_id: row.delivery.webhook_id,
            partner_id: partner.partner_id.clone(),
            endpoint_id: row.delivery.endpoint_id,
            url: url.clone(),
            webhook_secret: partner.webhook_secret.clone(),
            webhook_secret_next: partner.webhook_secret_next.clone(),
            basic_auth: self.basic_auth[row.webhook].clone(),
            body: row.body.clone(),
            created_at: row.delivery.created_at,
            is_superseded: self.is_superseded(place_in_line),
        })
    }

    pub(in crate::simulator) fn deliveries(&self) -> impl Iterator<Item = (&Delivery, &[Attempt])> {
        self.deliveries.values().rev().map(|row| (&row.delivery, &row.log[..]))
    }
}

fn formed(delivery: &Delivery, place: DeliverySeq, at: Timestamp) -> event::Delivery {
    event::Delivery {
        seq: place.0,
        id: delivery.delivery_id.as_str().to_owned(),
        webhook: delivery.webhook_id.0,
        endpoint: delivery.endpoint_id.0,
        brand: delivery.brand_id.0,
        branch: delivery.branch_id.0,
        event_type: delivery.event_type.as_str(),
        orders: delivery.orders.iter().map(|(order_id, version)| (order_id.0, *version)).collect(),
        due_ms: at.as_millis(),
    }
}

pub(super) fn waiting_delivery(row: &Row) -> PendingDelivery {
    let Row { delivery, failures, place, since, .. } = row;
    PendingDelivery {
        seq: *place,
        endpoint_id: delivery.endpoint_id,
        orders: delivery.orders.iter().map(|(order_id, _)| *order_id).collect(),
        attempts: delivery.attempts,
        failures: *failures,
        committed_at: *since,
        due: delivery.next_attempt_at.unwrap_or(delivery.created_at),
    }
}
