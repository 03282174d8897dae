//! What may be sent again. A replay has the id and the bytes that it had; it stands behind everything fresh, in the order
//! in which replays were asked for; and what an operator keeps back or takes back does not go out.

use super::event::{Commit, Delivery, Replayed};
use super::{Auditor, Plan, State};

impl Auditor {
    pub(super) fn replays_committed(&mut self, commit: &Commit) {
        let again = commit.replayed.iter().map(|replayed| replayed.to);
        let mut places: Vec<i64> = again.chain(commit.anew.iter().map(|delivery| delivery.seq)).collect();
        places.sort_unstable();
        for place in places {
            self.next_place(place);
        }
        for replayed in &commit.replayed {
            self.replayed(replayed);
        }
        for delivery in &commit.anew {
            self.made_anew(delivery, commit);
        }
        for &(seq, withheld) in &commit.withheld {
            if let Some(held) = self.deliveries.get_mut(&seq) {
                held.withheld = withheld;
                held.stopped_no = self.counts.events;
                held.withheld_until = (!withheld).then_some(self.now);
                held.told_at = None;
            }
            // One that is kept back stands in nobody's way, and is in line again when the platform knows.
            if !withheld {
                self.untold_fresh.entry(commit.tick).or_default().push(seq);
            }
        }
    }

    /// The number that a delivery has now that had this one.
    pub(super) fn number_now(&self, seq: i64) -> i64 {
        std::iter::successors(Some(seq), |seq| self.left.get(seq).copied()).last().unwrap_or(seq)
    }

    fn next_place(&mut self, place: i64) {
        let last = std::mem::replace(&mut self.last_replay, place);
        if place <= last || place <= self.last_fresh {
            self.broken("G4", format!("a replay is numbered {place} after {last}"));
        }
    }

    fn replayed(&mut self, replayed: &Replayed) {
        let Replayed { from, to, endpoint, due_ms } = *replayed;
        self.counts.replayed += 1;
        let Some(mut held) = self.deliveries.remove(&from) else {
            return self.broken("G2", format!("delivery {from} is replayed and does not exist"));
        };
        if held.state == State::Pending {
            return self.broken("G2", format!("delivery {from} is replayed and has not ended"));
        }
        // Its last attempt may still be under way, where it was taken back, and goes on under the old number.
        self.left.insert(from, to);
        let now = self.now;
        (held.state, held.endpoint, held.replayed) = (State::Pending, endpoint, true);
        held.plan = Plan { failures: 0, created_ms: due_ms, created_at: now };
        (held.last_was_free, held.moved, held.idle_since) = (false, None, None);
        (held.due_ms, held.due_at, held.due_since, held.due_by) = (due_ms, now, now, now);
        (held.withheld, held.withheld_until, held.told_at) = (false, None, Some(now));
        for &(order, _) in &held.orders {
            self.lanes.entry(order).or_default().insert(to);
        }
        self.pending.insert(to);
        for place in self.by_id.values_mut().filter(|place| **place == from) {
            *place = to;
        }
        self.deliveries.insert(to, held);
    }

    /// A delivery that a replay made carries orders as they stand when it is made, which is somewhere within the tick:
    /// it takes nobody back.
    fn made_anew(&mut self, delivery: &Delivery, commit: &Commit) {
        self.counts.anew += 1;
        for (order, version) in &delivery.orders {
            let newest = self.newest.get(order).copied().unwrap_or_default();
            let in_tick = commit.changes.iter().filter(|change| change.order == *order).count() as i64;
            if !(newest - in_tick..=newest).contains(version) {
                let what = format!("a replay tells order {order} v{version}, and it stands at v{newest}");
                self.broken("G4", what);
            }
        }
        if commit.missed.contains(&delivery.seq) {
            self.missed(delivery);
        }
        self.hold(delivery);
        if let Some(held) = self.deliveries.get_mut(&delivery.seq) {
            (held.replayed, held.told_at) = (true, Some(self.now));
        }
    }

    /// What a registration missed is told to those for whom it was asked, and only where it has not come and is not on its way.
    fn missed(&mut self, delivery: &Delivery) {
        self.counts.missed += 1;
        let Delivery { seq, webhook, endpoint, brand, .. } = *delivery;
        if !self.missed_asked.contains(&webhook) {
            self.broken(
                "G2",
                format!("delivery {seq} is made for what registration {webhook} missed, unasked"),
            );
        }
        let has_come = |told: &(i64, i64)| {
            self.deliveries.values().any(|held| {
                matches!(held.state, State::Pending | State::Delivered)
                    && (held.endpoint == endpoint || held.webhook == webhook)
                    && held.brand == brand
                    && held.orders.contains(told)
            })
        };
        if let Some((order, version)) = delivery.orders.iter().copied().find(has_come) {
            let what =
                format!("delivery {seq} is made for order {order} v{version}, which registration {webhook}");
            self.broken("G2", format!("{what} has not missed"));
        }
    }

    pub(super) fn taken_back(&mut self, seq: i64, delivered: bool) {
        self.counts.taken_back += 1;
        let Some(held) = self.deliveries.get_mut(&seq).filter(|held| held.state == State::Pending) else {
            return self.broken("G2", format!("delivery {seq} is taken back and was not pending"));
        };
        held.state = if delivered { State::Delivered } else { State::Cancelled };
        held.stopped_no = self.counts.events;
        self.finished(seq);
    }
}
