//! Replays on the simulated disk: simpler than the real store does them, with the same promises. Nobody asks for the
//! whole history of what was missed here.

use bytes::Bytes;
use hookit_contract::{BrandId, DeliveryId, DeliverySeq, DeliveryState, OrderId, ReplayId, Timestamp};
use hookit_store::platform::{
    Replay, ReplayKind, ReplayRequest, ReplayState, ReplayStep, Replayed, StartReplay, SteerReplay,
    SteeredReplay,
};

use super::deliveries::{Meant, waiting_delivery};
use super::{Disk, Occurrence, Row, Tick, batches};
use crate::auditor::event;

/// Deliveries that a step looks at.
const STEP: usize = 4;

/// Deliveries of one replay in line; few, so that replays have to wait.
const IN_LINE_MAX: u64 = 6;

impl Disk {
    pub(super) fn replay_delivery(
        &mut self,
        tick: &mut Tick,
        delivery_id: &DeliveryId,
        now: Timestamp,
    ) -> Replayed {
        let found = self.deliveries.values().find(|row| row.delivery.delivery_id == *delivery_id);
        match found.map(|row| (row.delivery.seq, row.delivery.state)) {
            None => Replayed::NoSuchDelivery,
            Some((_, DeliveryState::Pending)) => Replayed::Pending,
            Some((seq, _)) if self.is_of_removed(seq) => Replayed::WebhookRemoved,
            Some((seq, _)) => {
                self.again(tick, seq, None, now);
                Replayed::Done
            }
        }
    }

    /// Puts in line again what has ended.
    fn again(&mut self, tick: &mut Tick, seq: DeliverySeq, replay_id: Option<ReplayId>, now: Timestamp) {
        let from = self.deliveries[&seq].place;
        self.line_up(tick, seq, replay_id, now);
        let row = &self.deliveries[&seq];
        tick.commit.replayed.push(event::Replayed {
            from: from.0,
            to: row.place.0,
            endpoint: row.delivery.endpoint_id.0,
            due_ms: now.as_millis(),
        });
    }

    pub(super) fn start_replay(&mut self, request: ReplayRequest, now: Timestamp) -> StartReplay {
        let is_missed = request.kind == ReplayKind::Missed;
        if is_missed && self.missing(&request).is_none() {
            return StartReplay::NoSuchWebhook;
        }
        let replay_id = ReplayId(i64::try_from(self.replays.len()).expect("there are few") + 1);
        let looks_to = if is_missed {
            i64::try_from(self.events.len()).expect("there are few")
        } else {
            self.deliveries.last_key_value().map_or(0, |(seq, _)| seq.0)
        };
        self.replays.push(Replay {
            replay_id,
            request,
            state: ReplayState::Running,
            looked_to: 0,
            looks_to,
            queued: 0,
            delivered: 0,
            dead: 0,
            cancelled: 0,
            created_at: now,
            finished_at: None,
        });
        self.settle(replay_id, now);
        StartReplay::Started(self.of(replay_id).clone())
    }

    fn of(&mut self, replay_id: ReplayId) -> &mut Replay {
        let index = usize::try_from(replay_id.0 - 1).expect("ids begin at 1");
        &mut self.replays[index]
    }

    fn settle(&mut self, replay_id: ReplayId, now: Timestamp) {
        let replay = self.of(replay_id);
        if replay.state == ReplayState::Running
            && replay.looked_to == replay.looks_to
            && replay.pending() == 0
        {
            (replay.state, replay.finished_at) = (ReplayState::Done, Some(now));
        }
    }

    /// A delivery of a replay has ended.
    pub(super) fn tally(&mut self, replay_id: ReplayId, how: DeliveryState, now: Timestamp) {
        let replay = self.of(replay_id);
        match how {
            DeliveryState::Delivered => replay.delivered += 1,
            DeliveryState::Dead => replay.dead += 1,
            DeliveryState::Pending | DeliveryState::Cancelled | DeliveryState::Superseded => {
                replay.cancelled += 1
            }
        }
        self.settle(replay_id, now);
    }

    pub(super) fn is_withheld(&self, row: &Row) -> bool {
        row.replay_id.is_some_and(|id| {
            let index = usize::try_from(id.0 - 1).expect("ids begin at 1");
            matches!(self.replays[index].state, ReplayState::Paused | ReplayState::Cancelled)
        })
    }

    pub(super) fn step_replays(&mut self, tick: &mut Tick, now: Timestamp) -> ReplayStep {
        let is_cancelled = |replay: &&Replay| replay.state == ReplayState::Cancelled && replay.pending() > 0;
        if let Some(replay) = self.replays.iter().find(is_cancelled) {
            let replay_id = replay.replay_id;
            self.take_back(tick, replay_id, now);
            return ReplayStep::Made;
        }
        let has_work =
            |replay: &&Replay| replay.state == ReplayState::Running && replay.looked_to < replay.looks_to;
        let Some(replay) =
            self.replays.iter().filter(has_work).min_by_key(|r| (r.pending() >= IN_LINE_MAX, r.replay_id))
        else {
            return ReplayStep::Idle;
        };
        if replay.pending() >= IN_LINE_MAX {
            return ReplayStep::Waiting;
        }
        let replay = replay.clone();
        if replay.request.kind == ReplayKind::Missed {
            let looked_to = replay.looks_to.min(replay.looked_to + STEP as i64);
            for number in replay.looked_to..looked_to {
                self.make_good(tick, &replay, usize::try_from(number).expect("numbers begin at 0"), now);
            }
            self.of(replay.replay_id).looked_to = looked_to;
            self.settle(replay.replay_id, now);
            return ReplayStep::Made;
        }
        let behind = DeliverySeq(replay.looked_to + 1)..=DeliverySeq(replay.looks_to);
        let some: Vec<DeliverySeq> = self.deliveries.range(behind).map(|(seq, _)| *seq).take(STEP).collect();
        for seq in &some {
            self.put_in_line(tick, &replay, *seq, now);
        }
        let looked_to = some.last().map_or(replay.looks_to, |seq| seq.0);
        self.of(replay.replay_id).looked_to = looked_to;
        self.settle(replay.replay_id, now);
        ReplayStep::Made
    }

    fn put_in_line(&mut self, tick: &mut Tick, replay: &Replay, seq: DeliverySeq, now: Timestamp) {
        let row = &self.deliveries[&seq];
        if !is_meant(replay, row) || self.is_of_removed(seq) {
            return;
        }
        let replay_id = replay.replay_id;
        if replay.request.kind == ReplayKind::SameIds {
            self.again(tick, seq, Some(replay_id), now);
            self.of(replay_id).queued += 1;
            return;
        }
        let place_of = |row: &Row| (row.delivery.webhook_id, row.delivery.brand_id);
        for (order_id, _) in row.delivery.orders.clone() {
            let row = &self.deliveries[&seq];
            let has_later =
                self.deliveries.range(seq..=DeliverySeq(replay.looks_to)).skip(1).any(|(_, later)| {
                    is_meant(replay, later)
                        && place_of(later) == place_of(row)
                        && later.delivery.orders.iter().any(|(id, _)| *id == order_id)
                });
            if has_later {
                continue;
            }
            let stored = self.order(order_id).expect("an order stays");
            let orders: [(OrderId, Bytes, i64); 1] = [(order_id, stored.record, stored.version)];
            let Row { delivery, webhook, .. } = &self.deliveries[&seq];
            let meant =
                Meant { webhook: *webhook, brand_id: delivery.brand_id, branch_id: delivery.branch_id };
            self.form_anew(tick, meant, &orders, replay_id, now);
            self.of(replay_id).queued += 1;
        }
    }

    /// The place of the registration whose missed events are wanted.
    fn missing(&self, request: &ReplayRequest) -> Option<usize> {
        let found = self.webhooks.iter().position(|(w, _)| Some(w.webhook_id) == request.filter.webhook_id);
        found.filter(|webhook| !self.removed.contains_key(webhook))
    }

    /// Tells the newest record of an order whose event the registration has missed, where no later one does.
    fn make_good(&mut self, tick: &mut Tick, replay: &Replay, number: usize, now: Timestamp) {
        let Some(webhook) = self.missing(&replay.request) else { return };
        let event = self.events[number].clone();
        for &brand_id in &event.brands {
            let looks_to = usize::try_from(replay.looks_to).expect("numbers begin at 0");
            let is_last = !self.events[number + 1..looks_to]
                .iter()
                .any(|later| later.order_id == event.order_id && self.is_missed(webhook, later, brand_id));
            let stored = self.order(event.order_id).expect("an order stays");
            if is_last
                && self.is_missed(webhook, &event, brand_id)
                && !self.has_come(webhook, event.order_id, stored.version, brand_id)
            {
                let meant = Meant { webhook, brand_id, branch_id: event.branch_id };
                let orders = [(event.order_id, stored.record, stored.version)];
                let place = self.form_anew(tick, meant, &orders, replay.replay_id, now);
                tick.commit.missed.push(place.0);
                self.of(replay.replay_id).queued += 1;
            }
        }
    }

    fn is_missed(&self, webhook: usize, event: &Occurrence, brand_id: BrandId) -> bool {
        let is_present = |i: usize| !self.removed.contains_key(&i);
        event.brands.contains(&brand_id)
            && batches::routes(&self.webhooks, is_present, event, brand_id).contains(&webhook)
            && !self.has_come(webhook, event.order_id, event.version, brand_id)
    }

    /// A record came to the registration's endpoint, or is on its way.
    fn has_come(&self, webhook: usize, order_id: OrderId, version: i64, brand_id: BrandId) -> bool {
        let endpoint_id = self.webhooks[webhook].0.endpoint_id;
        self.deliveries.values().any(|row| {
            matches!(row.delivery.state, DeliveryState::Pending | DeliveryState::Delivered)
                && (row.delivery.endpoint_id == endpoint_id || row.webhook == webhook)
                && row.delivery.brand_id == brand_id
                && row.delivery.orders.contains(&(order_id, version))
        })
    }

    fn take_back(&mut self, tick: &mut Tick, replay_id: ReplayId, now: Timestamp) {
        let in_line: Vec<DeliverySeq> = self
            .deliveries
            .values()
            .filter(|row| row.replay_id == Some(replay_id) && row.delivery.state == DeliveryState::Pending)
            .map(|row| row.delivery.seq)
            .take(STEP)
            .collect();
        for seq in in_line {
            self.take_out(seq, now);
            let row = &self.deliveries[&seq];
            tick.commit.taken_back.push((row.place.0, row.delivery.state == DeliveryState::Delivered));
            self.tally(replay_id, DeliveryState::Cancelled, now);
        }
    }

    pub(super) fn steer_replay(
        &mut self,
        tick: &mut Tick,
        replay_id: ReplayId,
        steer: SteerReplay,
        now: Timestamp,
    ) -> SteeredReplay {
        let Some(replay) = self.replays.iter().find(|replay| replay.replay_id == replay_id) else {
            return SteeredReplay::NoSuchReplay;
        };
        let to = match steer {
            SteerReplay::Pause => ReplayState::Paused,
            SteerReplay::Resume => ReplayState::Running,
            SteerReplay::Cancel => ReplayState::Cancelled,
        };
        if replay.state == to {
            return SteeredReplay::Unchanged(replay.clone());
        }
        if replay.state.has_ended() {
            return SteeredReplay::Ended(replay.state);
        }
        let replay = self.of(replay_id);
        (replay.state, replay.finished_at) = (to, to.has_ended().then_some(now));
        self.settle(replay_id, now);
        let in_line =
            |row: &&Row| row.replay_id == Some(replay_id) && row.delivery.state == DeliveryState::Pending;
        for row in self.deliveries.values().filter(in_line) {
            tick.endpoints.push(row.delivery.endpoint_id);
            tick.commit.withheld.push((row.place.0, to != ReplayState::Running));
            // One word is enough for the engine to read.
            tick.hints.push(waiting_delivery(row));
        }
        SteeredReplay::Done(self.of(replay_id).clone())
    }
}

/// Is a delivery one of those that a replay is about?
fn is_meant(replay: &Replay, row: &Row) -> bool {
    let filter = &replay.request.filter;
    let delivery = &row.delivery;
    delivery.state != DeliveryState::Pending
        && filter.state.is_none_or(|state| delivery.state == state)
        && filter.endpoint_id.is_none_or(|id| delivery.endpoint_id == id)
        && filter.order_id.is_none_or(|id| delivery.orders.iter().any(|(order_id, _)| *order_id == id))
}
