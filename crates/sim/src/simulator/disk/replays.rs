//! Replays on the simulated disk: simpler than the real store does them, with the same promises. What a registration
//! missed is not looked for here.

use bytes::Bytes;
use hookit_contract::{DeliveryId, DeliverySeq, DeliveryState, OrderId, ReplayId, Timestamp};
use hookit_store::platform::{
    Replay, ReplayKind, ReplayRequest, ReplayState, ReplayStep, Replayed, StartReplay, SteerReplay,
    SteeredReplay,
};

use super::deliveries::waiting_delivery;
use super::{Disk, Row, Tick};
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
        if request.kind == ReplayKind::Missed {
            return StartReplay::NoSuchWebhook;
        }
        let replay_id = ReplayId(i64::try_from(self.replays.len()).expect("there are few") + 1);
        let looks_to = self.deliveries.last_key_value().map_or(0, |(seq, _)| seq.0);
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
            self.form_anew(tick, seq, &orders, replay_id, now);
            self.of(replay_id).queued += 1;
        }
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
            return SteeredReplay::Done(replay.clone());
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
