//! What a tick may put on disk.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::Value;

use super::event::{Attempt, Change, Commit, Delivery, End, Verdict};
use super::health::Free;
use super::routing::{Book, Due};
use super::{Auditor, Ended, Held, Plan, Refused, State};

/// What is in the cart of a record.
fn items(record: &[u8]) -> Vec<i64> {
    let record: Value = serde_json::from_slice(record).unwrap_or_default();
    let cart = record["cart"].as_array().map_or(&[][..], Vec::as_slice);
    cart.iter().filter_map(|item| item["item_id"].as_i64()).collect()
}

impl Auditor {
    pub(super) fn committed(&mut self, commit: &Commit) {
        self.counts.ticks += 1;
        self.ended_now.clear();
        // Where a tick changes a registration, what else it does may come before or after.
        let is_coalescing = |book: &Book, seq: i64| {
            let webhook = self.deliveries.get(&seq).map(|held| held.webhook);
            webhook.and_then(|webhook| book.wishes_of(webhook)).is_some_and(|wishes| wishes.coalesce)
        };
        let superseded = || commit.superseded.iter().copied();
        let mut coalescing: BTreeSet<i64> =
            superseded().filter(|seq| is_coalescing(&self.book, *seq)).collect();
        for registration in &commit.registrations {
            self.book.put(registration.clone());
        }
        for (webhook, _) in &commit.removed {
            self.book.remove(*webhook);
        }
        let is_coalescing = |seq: &i64| {
            let webhook = self.deliveries.get(seq).map(|held| held.webhook);
            webhook.and_then(|webhook| self.book.wishes_of(webhook)).is_some_and(|wishes| wishes.coalesce)
        };
        coalescing.extend(commit.superseded.iter().filter(|seq| is_coalescing(seq)));
        if !commit.registrations.is_empty() || !commit.removed.is_empty() {
            self.agreed(commit.tick);
        }
        // What is put in line and moved or taken back in one tick comes after the replays, everything else before.
        let again = commit.replayed.iter().map(|replayed| replayed.to);
        let in_line: BTreeSet<i64> = again.chain(commit.anew.iter().map(|anew| anew.seq)).collect();
        self.moved(commit, |seq| !in_line.contains(&seq));
        let mut dues: BTreeSet<Due> = BTreeSet::new();
        for change in &commit.changes {
            self.counts.changes += 1;
            let newest = self.newest.entry(change.order).or_default();
            let follows = change.version == *newest + 1;
            *newest = change.version;
            if !follows {
                self.broken("G1", format!("order {} skips to version {}", change.order, change.version));
            }
            self.records.insert((change.order, change.version), change.record.clone());
            self.not_refused(change);
            dues.extend(self.book.dues(change));
        }
        self.formed(&commit.deliveries, &dues);
        let fresh = commit.deliveries.iter().map(|delivery| delivery.seq);
        self.untold_fresh.entry(commit.tick).or_default().extend(fresh);
        for attempt in commit.attempts.iter().filter(|attempt| !attempt.late) {
            self.recorded(attempt);
        }
        self.registrations_removed(commit);
        self.ended_by_operators(commit, |seq| !in_line.contains(&seq));
        for attempt in commit.attempts.iter().filter(|attempt| attempt.late) {
            self.recorded(attempt);
        }
        self.replays_committed(commit);
        self.moved(commit, |seq| in_line.contains(&seq));
        self.ended_by_operators(commit, |seq| in_line.contains(&seq));
        for &seq in &commit.given_up {
            self.given_up(seq);
        }
        for &seq in &commit.superseded {
            if !coalescing.contains(&seq) {
                self.broken("G2", format!("delivery {seq} is passed over and its registration wants all"));
            }
            self.superseded(seq);
        }
        for &(endpoint, held) in &commit.holds {
            self.counts.holds += u64::from(held);
            if held {
                self.held.insert(endpoint, None);
                self.untold_holds.entry(commit.tick).or_default().push(endpoint);
            } else {
                self.held.remove(&endpoint);
            }
        }
    }

    /// Deliveries have come to other endpoints by a change of URL.
    fn moved(&mut self, commit: &Commit, which: impl Fn(i64) -> bool) {
        for &(seq, endpoint) in commit.moved.iter().filter(|(seq, _)| which(*seq)) {
            self.counts.moved += 1;
            if let Some(held) = self.deliveries.get_mut(&seq) {
                held.endpoint = endpoint;
                held.moved = Some(None);
                held.idle_since = None;
            }
            self.untold.entry(commit.tick).or_default().push(seq);
        }
    }

    /// G1: what there was no room for is not made either, so that whoever tries again does not make it twice.
    pub(super) fn refused(&mut self, order: i64, is_new: bool, item: Option<i64>) {
        self.counts.refused += 1;
        let asked = [is_new.then_some((Refused::Order, order)), item.map(|item| (Refused::Item, item))];
        self.refused.extend(asked.into_iter().flatten());
        let is_there = is_new && self.records.contains_key(&(order, 1));
        if is_there || item.is_some_and(|item| self.items.contains(&item)) {
            self.broken("G1", format!("there was no room for a change of order {order}, and it is on disk"));
        }
    }

    fn not_refused(&mut self, change: &Change) {
        let items = items(&change.record);
        let is_new = change.version == 1 && self.refused.contains(&(Refused::Order, change.order));
        if is_new || items.iter().any(|item| self.refused.contains(&(Refused::Item, *item))) {
            let (order, version) = (change.order, change.version);
            self.broken("G1", format!("there was no room for order {order} v{version}, and it is on disk"));
        }
        self.items.extend(items);
    }

    /// The platform knows of this tick's moves from now on.
    pub(super) fn told(&mut self, tick: u64) {
        self.services.told(tick, self.now);
        for seq in self.untold.remove(&tick).unwrap_or_default() {
            if let Some(held) = self.deliveries.get_mut(&seq) {
                held.moved = Some(Some(self.now));
            }
        }
        for seq in self.untold_fresh.remove(&tick).unwrap_or_default() {
            if let Some(held) = self.deliveries.get_mut(&seq) {
                held.told_at = Some(self.now);
            }
        }
        for endpoint in self.untold_holds.remove(&tick).unwrap_or_default() {
            if let Some(known) = self.held.get_mut(&endpoint) {
                *known = Some(self.now);
            }
        }
    }

    /// G1: the tick's deliveries carry exactly what somebody has to hear, each thing once.
    fn formed(&mut self, deliveries: &[Delivery], dues: &BTreeSet<Due>) {
        let mut carried: BTreeSet<Due> = BTreeSet::new();
        let mut latest: BTreeMap<(i64, i64), i64> = BTreeMap::new();
        for delivery in deliveries {
            let Delivery { seq, webhook, endpoint, brand, .. } = *delivery;
            self.counts.deliveries += 1;
            self.counts.batches += u64::from(delivery.orders.len() > 1);
            let last = std::mem::replace(&mut self.last_fresh, seq);
            if seq <= last {
                self.broken("G4", format!("delivery {seq} was numbered after {last}"));
            }
            let own_max = self.book.wishes_of(webhook).and_then(|wishes| wishes.orders_per_delivery_max);
            let orders_max = own_max.unwrap_or(usize::MAX).min(self.rules.orders_per_delivery_max);
            if delivery.orders.is_empty() || delivery.orders.len() > orders_max {
                self.broken("G1", format!("delivery {seq} carries {} orders", delivery.orders.len()));
            }
            let orders: BTreeSet<i64> = delivery.orders.iter().map(|&(order, _)| order).collect();
            if orders.len() != delivery.orders.len() {
                self.broken("G1", format!("delivery {seq} carries an order twice"));
            }
            for &(order, version) in &delivery.orders {
                if !carried.insert((webhook, endpoint, brand, order, version)) {
                    self.broken(
                        "G1",
                        format!("order {order} v{version} goes to registration {webhook} twice"),
                    );
                }
                let before = latest.insert((endpoint, order), version);
                if before.is_some_and(|before| before > version) {
                    self.broken(
                        "G4",
                        format!("delivery {seq} carries order {order} v{version} behind {before:?}"),
                    );
                }
            }
            self.hold(delivery);
        }
        if let Some(missing) = dues.difference(&carried).next() {
            let what = "(registration, endpoint, brand, order, version)";
            self.broken("G1", format!("a change has no delivery: {what} {missing:?}"));
        }
        if let Some(extra) = carried.difference(dues).next() {
            self.broken("G1", format!("a delivery that nobody registered for: {extra:?}"));
        }
    }

    pub(super) fn hold(&mut self, delivery: &Delivery) {
        let held = Held {
            webhook: delivery.webhook,
            brand: delivery.brand,
            endpoint: delivery.endpoint,
            event_type: delivery.event_type,
            orders: delivery.orders.clone(),
            body: self.envelope(delivery),
            state: State::Pending,
            attempts: 0,
            unknown: 0,
            plan: Plan { failures: 0, created_ms: delivery.due_ms, created_at: self.now },
            due_ms: delivery.due_ms,
            due_at: self.now,
            due_since: self.now,
            due_by: self.now,
            last_was_free: false,
            moved: None,
            idle_since: None,
            seen: false,
            replayed: false,
            withheld: false,
            withheld_until: None,
            told_at: None,
            stopped_no: 0,
        };
        for &(order, _) in &delivery.orders {
            self.lanes.entry(order).or_default().insert(delivery.seq);
        }
        self.pending.insert(delivery.seq);
        if self.by_id.insert(delivery.id.clone(), delivery.seq).is_some() {
            self.broken("G3", format!("the id {} was given twice", delivery.id));
        }
        self.deliveries.insert(delivery.seq, held);
    }

    /// The bytes that a delivery has to have for ever.
    fn envelope(&self, delivery: &Delivery) -> Bytes {
        let records: Vec<&[u8]> = delivery
            .orders
            .iter()
            .filter_map(|key| self.records.get(key))
            .map(|record| &record[..])
            .collect();
        let head =
            format!("{{\"brand_id\":{},\"branch_id\":{},\"orders\":[", delivery.brand, delivery.branch);
        [head.as_bytes(), &records.join(&b","[..]), b"]}"].concat().into()
    }

    /// G2: every attempt is recorded, once, under its number, with the verdict that the plan has for its end.
    fn recorded(&mut self, attempt: &Attempt) {
        let Attempt { number, .. } = *attempt;
        let seq = self.number_now(attempt.seq);
        let was_replayed = seq != attempt.seq;
        let Some(held) = self.deliveries.get(&seq) else {
            return self
                .broken("G2", format!("an attempt of delivery {seq}, which does not exist, was recorded"));
        };
        if !attempt.applied {
            return self
                .broken("G2", format!("attempt {number} of delivery {seq} was handed in without need"));
        }
        // What was under way when its delivery was taken back came to its end later.
        let was_taken_back = was_replayed
            || held.state == State::Cancelled
            || (held.replayed && held.state == State::Delivered);
        self.counts.late += u64::from(was_taken_back);
        if held.state != State::Pending && !was_taken_back {
            return self
                .broken("G2", format!("delivery {seq} was {:?} and got attempt {number}", held.state));
        }
        // The number is the platform's count and one.
        let next = held.attempts + 1;
        let first = if was_replayed { 1 } else { next - held.unknown };
        if !(first..=next).contains(&number) {
            return self
                .broken("G2", format!("attempt {number} of delivery {seq} follows {}", held.attempts));
        }
        let open = self.open.remove(&attempt.seq);
        let Some((plan, ended)) = open.and_then(|open| Some((open.plan, open.ended?))) else {
            return self
                .broken("G2", format!("attempt {number} of delivery {seq} was recorded and none had ended"));
        };
        self.counts.attempts += 1;
        if let Err((guarantee, what)) = self.judged(&ended, attempt, plan) {
            self.broken(guarantee, format!("attempt {number} of delivery {seq} {what}"));
        }
        let now = self.now;
        let (earliest, latest) = self.walls.between(ended.at, now);
        let Some(held) = self.deliveries.get_mut(&seq) else { return };
        held.attempts += 1;
        held.idle_since = None;
        if was_taken_back {
            self.counts.left += u64::from(was_replayed);
            held.unknown += u32::from(was_replayed);
            if attempt.acknowledged && held.state != State::Pending {
                held.state = State::Delivered;
            }
            return;
        }
        match attempt.verdict {
            Verdict::RetryAt { at_ms, counted } => {
                held.plan.failures += u32::from(counted);
                held.last_was_free = !counted;
                self.counts.free += u64::from(!counted);
                (held.due_ms, held.due_since) = (at_ms, now);
                held.due_at = ended.at + (at_ms - latest).max(0);
                held.due_by = now + (at_ms - earliest).max(0);
                return;
            }
            Verdict::Delivered => held.state = State::Delivered,
            Verdict::Dead => held.state = State::Dead,
        }
        self.finished(seq);
    }

    pub(super) fn finished(&mut self, seq: i64) {
        self.pending.remove(&seq);
        self.ended_now.push(seq);
        let Some(held) = self.deliveries.get(&seq) else { return };
        for (order, _) in &held.orders {
            if let Some(lane) = self.lanes.get_mut(order) {
                lane.remove(&seq);
            }
        }
        match held.state {
            State::Delivered if !held.seen => {
                let what = format!("delivery {seq} counts as delivered and no receiver saw it");
                self.broken("G2", what);
            }
            State::Delivered => self.counts.delivered += 1,
            State::Dead => self.counts.dead += 1,
            State::Superseded => self.counts.superseded += 1,
            State::Pending | State::Cancelled => {}
        }
    }

    /// G2: only what is old is given up without another attempt.
    fn given_up(&mut self, seq: i64) {
        let Some(held) = self.deliveries.get_mut(&seq).filter(|held| held.state == State::Pending) else {
            return self.broken("G2", format!("delivery {seq} is given up and was not pending"));
        };
        held.state = State::Dead;
        let plan = held.plan;
        if !self.is_too_old(plan) {
            self.broken("G2", format!("delivery {seq} is given up for its age and is not old"));
        }
        if self.open.contains_key(&seq) {
            self.broken("G2", format!("delivery {seq} is given up while it is under way"));
        }
        self.counts.too_old += 1;
        self.finished(seq);
    }

    /// G2: only what a newer state of each of its orders waits behind is passed over, and not while it is under way.
    fn superseded(&mut self, seq: i64) {
        let Some(held) = self.deliveries.get(&seq).filter(|held| held.state == State::Pending) else {
            return self.broken("G2", format!("delivery {seq} is passed over and was not pending"));
        };
        let waits_anew = |order: i64| {
            let pending = self.lanes.get(&order).into_iter().flatten();
            // One that has ended in this tick may have waited when this was looked at.
            pending.chain(&self.ended_now).filter(|newer| **newer > seq).any(|newer| {
                let newer = &self.deliveries[newer];
                newer.webhook == held.webhook
                    && newer.brand == held.brand
                    && newer.orders.iter().any(|(theirs, _)| *theirs == order)
            })
        };
        if let Some(&(order, version)) = held.orders.iter().find(|(order, _)| !waits_anew(*order)) {
            let what =
                format!("delivery {seq} is passed over and order {order} has nothing after v{version}");
            return self.broken("G2", what);
        }
        let webhook = held.webhook;
        let open = self.open.remove(&seq);
        let asked_no = open.as_ref().map_or(0, |open| open.asked_no);
        if self.removals.removed_before(webhook, asked_no).is_some() {
            return self.broken("G2", format!("delivery {seq} is passed over for a removed registration"));
        }
        if open.is_some_and(|open| open.dialled.is_some()) {
            return self.broken("G2", format!("delivery {seq} is passed over while it is under way"));
        }
        if let Some(held) = self.deliveries.get_mut(&seq) {
            held.state = State::Superseded;
        }
        self.finished(seq);
    }

    fn is_too_old(&self, plan: Plan) -> bool {
        self.walls.between(plan.created_at, self.now).1 - plan.created_ms >= self.rules.hold_ms
    }

    /// Whether the verdict is the one that this end must have: by the plan (G2), by the breaker (G6).
    fn judged(&self, ended: &Ended, attempt: &Attempt, at: Plan) -> Result<(), (&'static str, String)> {
        let end = &ended.end;
        let acknowledged = *end == End::Acknowledged;
        let index = usize::try_from(at.failures).expect("a count of attempts is small");
        let delay = self.rules.delays_ms.get(index).copied();
        let floor = end.floor_ms().min(self.rules.retry_after_max_ms);
        let (earliest, latest) = self.walls.between(ended.at, self.now);
        let latest = latest + self.blur.judged_ms;
        let plan = |what: String| Err(("G2", what));
        if attempt.acknowledged != acknowledged {
            return plan(format!("ended {end:?} and was recorded as something else"));
        }
        match attempt.verdict {
            Verdict::Delivered if acknowledged => Ok(()),
            _ if acknowledged => plan(format!("was acknowledged and became {:?}", attempt.verdict)),
            Verdict::Delivered => plan(format!("ended {end:?} and became delivered")),
            Verdict::Dead if self.is_too_old(at) => Ok(()),
            Verdict::Dead if delay.is_some() => plan("was the last, and the plan has more".to_owned()),
            Verdict::Dead if ended.free == Free::Must => {
                Err(("G6", format!("ended {end:?} at an endpoint that is down, and was the last")))
            }
            Verdict::Dead => Ok(()),
            Verdict::RetryAt { counted: true, .. } if ended.free == Free::Must => {
                Err(("G6", format!("ended {end:?} at an endpoint that is down, and counts")))
            }
            Verdict::RetryAt { counted: false, .. } if ended.free == Free::MustNot => {
                plan(format!("ended {end:?} at an endpoint that is up, and does not count"))
            }
            Verdict::RetryAt { at_ms, counted } => {
                let shortest = if counted { delay } else { Some(0) };
                let Some(shortest) = shortest else {
                    return plan("goes on after the end of the plan".to_owned());
                };
                let longest = shortest + shortest * self.rules.jitter_percent / 100;
                if at_ms < earliest + shortest.max(floor) {
                    plan(format!("is repeated after {} ms, which is too soon", at_ms - earliest))
                } else if at_ms > latest + longest.max(floor) {
                    plan(format!("is repeated after {} ms, which is too late", at_ms - latest))
                } else {
                    Ok(())
                }
            }
        }
    }
}
