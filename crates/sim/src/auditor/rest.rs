//! That things go on, and come to an end.

use super::{Auditor, State};

impl Auditor {
    /// To be called now and then: nobody waits for nothing.
    pub fn look(&mut self, now: i64) {
        self.now = now;
        let Some(longest) = self.rules.idle_max_ms else { return };
        for seq in self.pending.clone() {
            let waits_for_nothing = self.waits_for_nothing(seq);
            let Some(held) = self.deliveries.get_mut(&seq) else { continue };
            held.idle_since = if waits_for_nothing { held.idle_since.or(Some(now)) } else { None };
            if let Some(since) = held.idle_since
                && now - since > longest
            {
                let (endpoint, waited) = (held.endpoint, now - since);
                self.broken(
                    "G5",
                    format!("delivery {seq} to endpoint {endpoint} waits for nothing for {waited} ms"),
                );
            }
        }
        let calm = self.calm_since.is_some_and(|since| now - since > longest);
        if calm && self.running_since.is_some() {
            let overdue = self.open.iter().find(|(_, open)| {
                open.ended.as_ref().is_some_and(|ended| now - ended.at > longest)
                    || (open.dialled.is_none() && now - open.decided_at > longest)
            });
            if let Some((seq, _)) = overdue {
                let what = format!("the attempt of delivery {seq} is not recorded");
                self.broken("G2", what);
            }
        }
    }

    fn waits_for_nothing(&self, seq: i64) -> bool {
        let held = &self.deliveries[&seq];
        let now = self.now;
        if self.running_since.is_none()
            // A replay waits for whatever is fresh; that it goes out in the end is seen when all goes quiet.
            || held.replayed
            || self.removals.is_removed(held.webhook)
            || self.calm_since.is_none()
            || !self.is_trusted(held.endpoint)
            || self.held.contains_key(&held.endpoint)
            || self.open.contains_key(&seq)
            || self.walls.now(now) < held.due_ms
            || now < held.due_by
        {
            return false;
        }
        let lane_is_free = held.orders.iter().all(|(order, _)| {
            self.lanes[order].iter().all(|other| {
                *other == seq
                    || self.deliveries[other].endpoint != held.endpoint
                    || (*other > seq && !self.open.contains_key(other))
            })
        });
        // One that was taken back while it was under way holds its lanes until it has come to its end.
        let lane_is_free = lane_is_free && self.under_way_unheard_of(seq).is_none();
        let is_unordered = self.services.since(held.endpoint, now).all(|service| service.unordered);
        let Some(room) = self.services.room(held.endpoint, now, &self.rules) else { return false };
        let at = |number: &i64| self.sent(*number).endpoint;
        let unended = || self.open.iter().filter(|(_, open)| open.ended.is_none());
        (lane_is_free || is_unordered)
            && unended().filter(|(other, _)| at(other) == held.endpoint).count() < room
            && unended().count() < self.rules.in_flight_max
    }

    /// True for an endpoint that has been well for so long that a breaker must have found out.
    fn is_trusted(&self, endpoint: i64) -> bool {
        let asked_until = self.health.get(&endpoint).map_or(0, |health| health.asked_until);
        let Some(since) = self.well_since.get(&endpoint) else { return false };
        // Nothing was ever wrong with an endpoint that is well since it is there.
        let found_out = if self.never_unwell.contains(&endpoint) {
            *since
        } else {
            since + self.rules.probe_pause_max_ms
        };
        self.now
            >= found_out.max(if asked_until > 0 { asked_until + self.rules.probe_pause_max_ms } else { 0 })
    }

    /// True where nothing is pending and nothing under way.
    pub fn is_quiet(&self) -> bool {
        self.pending.is_empty() && self.open.is_empty()
    }

    /// The end of a schedule, long after the faults: all is quiet, and the views are equal.
    pub fn finish(&mut self, now: i64) {
        self.now = now;
        if let Some(seq) = self.pending.first() {
            let held = &self.deliveries[seq];
            let (attempts, due) = (held.attempts, held.due_ms - self.walls.now(now));
            let what = format!("delivery {seq} never ended: {attempts} attempts, due in {due} ms");
            self.broken("G2", what);
        }
        if let Some((seq, _)) = self.open.first_key_value() {
            let what = format!("the attempt of delivery {seq} was never recorded");
            self.broken("G2", what);
        }
        let undone = self.deliveries.iter().find(|(_, held)| held.state == State::Pending);
        debug_assert_eq!(undone.is_none(), self.pending.is_empty());
        self.compare_views();
    }
}
