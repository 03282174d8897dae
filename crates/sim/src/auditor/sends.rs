//! What may go out, where to, and when.

use bytes::Bytes;

use super::event::{End, mark};
use super::health::Free;
use super::{Auditor, Ended, Held, Open, State};

impl Auditor {
    /// The platform has made up its mind to send a delivery. This is the moment by which the lanes are judged: what
    /// the disk says a little later, while the bytes are being read, it could not know.
    pub(super) fn decided(&mut self, seq: i64) {
        let asked_no = self.counts.events;
        if let Some(open) = self.open.get_mut(&seq).filter(|open| open.dialled.is_none()) {
            open.asked_no = asked_no;
            return; // The store did not answer, and is asked again.
        }
        if self.open.contains_key(&seq) {
            return self
                .broken("G2", format!("delivery {seq} is sent again before its outcome was recorded"));
        }
        let Some(held) = self.deliveries.get(&self.number_now(seq)) else {
            return self.broken("G2", format!("delivery {seq} is sent and was never committed"));
        };
        let (endpoint, plan) = (held.endpoint, held.plan);
        // Under a number of before its replay it is not sent any more, and its bytes are asked for in vain.
        if held.state == State::Pending && self.number_now(seq) == seq {
            let latest = self.walls.between(held.due_since, self.now).1;
            // A clock that is set back does not make a pause longer, and one that is set forward may end it.
            // What an endpoint that is down has asked for does not bind the one at the registration's new URL.
            let is_free = held.last_was_free && held.moved.is_some();
            let is_bound = held.attempts > 0 && !is_free;
            if is_bound && latest < held.due_ms && self.now < held.due_at {
                let early = held.due_ms - latest;
                self.broken("G2", format!("delivery {seq} is sent {early} ms before it is due"));
            }
            if self.is_settled(seq)
                && let Some(Some(told_at)) = self.held.get(&endpoint)
                && *told_at < self.now
            {
                self.broken("G2", format!("delivery {seq} is sent to endpoint {endpoint}, which is held"));
            }
            if let Err(what) = self.may_go(seq) {
                self.broken("G4", what);
            }
        }
        let home = self.is_settled(self.number_now(seq)).then_some(endpoint);
        let decided_at = self.now;
        let open = Open { decided_at, plan, request: 0, asked_no, home, dialled: None, ended: None };
        self.open.insert(seq, open);
        let goes_there = |open: &&Open| open.ended.is_none() && open.dialled.or(open.home) == Some(endpoint);
        let there = self.open.values().filter(goes_there).count();
        if home.is_some() && there > self.services.in_flight_max(endpoint, self.now, &self.rules) {
            self.broken("G5", format!("delivery {seq} is one too many of {there} to endpoint {endpoint}"));
        }
        if self.open.values().filter(|open| open.ended.is_none()).count() > self.rules.in_flight_max {
            self.broken("G5", "more requests under way than allowed in all".to_owned());
        }
    }

    /// G4: nothing earlier with one of its orders is pending at its endpoint, and nothing at all is under way there.
    fn may_go(&self, seq: i64) -> Result<(), String> {
        let held = &self.deliveries[&seq];
        if !self.is_settled(seq) {
            return Ok(()); // It came from another endpoint a moment ago, and goes out in the lanes of that one.
        }
        if self.services.is_unordered(held.endpoint, self.now) {
            return Ok(());
        }
        for (order, _) in &held.orders {
            let Some(lane) = self.lanes.get(order) else { continue };
            let is_gone = |other: &i64| self.removals.is_removed(self.deliveries[other].webhook);
            for &other in lane.iter().filter(|&&other| other != seq) {
                let home = Some(self.deliveries[&other].endpoint).filter(|_| self.is_settled(other));
                // A replay cannot wait for what was committed a moment ago and nobody was told of, nor for what is kept back.
                let is_known = self.deliveries[&other].told_at.is_some_and(|at| at < self.now);
                if other < seq
                    && home == Some(held.endpoint)
                    && (is_known || !held.replayed)
                    // It will not be sent any more, and ends soon.
                    && !is_gone(&other)
                {
                    return Err(format!("delivery {seq} overtakes {other} with order {order}"));
                }
                // One whose registration was given another URL meanwhile is still under way to the former one.
                let there = |open: &Open| open.dialled.or(home) == Some(held.endpoint);
                if self.open.get(&other).is_some_and(there) {
                    return Err(format!("delivery {seq} goes while {other} is under way with order {order}"));
                }
            }
        }
        match self.under_way_unheard_of(seq) {
            Some(other) => Err(format!("delivery {seq} goes while {other}, taken back, is under way")),
            None => Ok(()),
        }
    }

    /// One that was taken back while it was under way, and perhaps replayed, and goes where this one does with one of its
    /// orders.
    pub(super) fn under_way_unheard_of(&self, seq: i64) -> Option<i64> {
        let held = &self.deliveries[&seq];
        let shares = |other: &Held| {
            held.orders.iter().any(|(order, _)| other.orders.iter().any(|(theirs, _)| theirs == order))
        };
        let found = self.open.iter().find(|(other, open)| {
            let theirs = self.sent(**other);
            let is_unheard_of = theirs.state != State::Pending || self.left.contains_key(other);
            open.dialled == Some(held.endpoint) && is_unheard_of && shares(theirs)
        });
        found.map(|(other, _)| *other)
    }

    /// The number under which a request for this id is under way: one in particular, or any.
    pub(super) fn under_way_as(&self, request: Option<u64>, id: &str) -> Option<i64> {
        let seq = *self.by_id.get(id)?;
        let is_it = |number: i64, open: &Open| {
            self.number_now(number) == seq
                && open.ended.is_none()
                && request.is_none_or(|request| open.request == request)
        };
        self.open.iter().find(|&(&number, open)| is_it(number, open)).map(|(number, _)| *number)
    }

    /// The delivery that was sent under this number.
    pub(super) fn sent(&self, number: i64) -> &Held {
        &self.deliveries[&self.number_now(number)]
    }

    /// False for a delivery that was moved and of which the platform knows only since now, or not yet.
    fn is_settled(&self, seq: i64) -> bool {
        match self.deliveries[&seq].moved {
            None => true,
            Some(None) => false,
            Some(Some(told_at)) => told_at < self.now,
        }
    }

    pub(super) fn vain(&mut self, seq: i64) {
        let decided_at = self.open.get(&seq).map_or(self.now, |open| open.decided_at);
        let pending = self.deliveries.get(&seq).is_some_and(|held| {
            let was_withheld = held.withheld || held.withheld_until.is_some_and(|until| until >= decided_at);
            held.state == State::Pending && !was_withheld && !self.removals.is_removed(held.webhook)
        });
        if pending {
            self.broken("G2", format!("delivery {seq} is pending and was not found"));
        }
        self.open.remove(&seq);
    }

    /// Where the registration's URL has changed since, nothing follows.
    pub(super) fn outdated(&mut self, seq: i64, endpoint: i64) {
        if self.open.get(&seq).is_some_and(|open| open.home != Some(endpoint)) {
            self.open.remove(&seq);
        }
    }

    /// A request goes out.
    pub(super) fn begun(
        &mut self,
        request: u64,
        endpoint: i64,
        id: &str,
        event_type: &str,
        body: &Bytes,
        signed: Option<bool>,
    ) {
        self.counts.requests += 1;
        self.counts.signatures += u64::from(signed == Some(true));
        let Some(&seq) = self.by_id.get(id) else {
            return self.broken("G3", format!("a request has the id {id}, which was never committed"));
        };
        let held = &self.deliveries[&seq];
        if held.body != *body {
            let (is, was) = (mark(body), mark(&held.body));
            return self
                .broken("G3", format!("delivery {seq} has the body {is:016x}, committed was {was:016x}"));
        }
        if held.event_type != event_type {
            return self.broken("G3", format!("delivery {seq} has the event type {event_type}"));
        }
        if signed == Some(false) {
            return self.broken("G3", format!("delivery {seq} has a wrong signature"));
        }
        let asked_no = self.given.as_ref().map_or(u64::MAX, |(_, open)| open.asked_no);
        // An operator was a moment too late where the bytes had been asked for already.
        let was_asked_before = asked_no < held.stopped_no;
        if held.state != State::Pending && !(held.state != State::Dead && was_asked_before) {
            return self.broken("G2", format!("delivery {seq} is sent and was {:?}", held.state));
        }
        if held.withheld && !was_asked_before {
            return self.broken("G2", format!("delivery {seq} is sent and an operator keeps it back"));
        }
        if let Some(webhook) = self.removals.removed_before(held.webhook, asked_no) {
            let what = format!("delivery {seq} is sent, and its registration {webhook} was removed before");
            return self.broken("G2", what);
        }
        self.goes(request, seq, endpoint);
    }

    /// A request goes to this endpoint.
    pub(super) fn goes(&mut self, request: u64, seq: i64, endpoint: i64) {
        let orders = self.deliveries[&seq].orders.clone();
        let Some((number, open)) = self.given.take().filter(|(given, _)| self.number_now(*given) == seq)
        else {
            return self.broken("G2", format!("delivery {seq} is sent and its bytes were not asked for"));
        };
        let decided_at = open.decided_at;
        if self.open.insert(number, Open { request, dialled: Some(endpoint), ..open }).is_some() {
            return self.broken("G4", format!("delivery {seq} is sent twice at a time"));
        }
        self.begins(endpoint, decided_at);
        let mut is_beside = false;
        for (other, open) in self.open.iter().filter(|(other, _)| **other != number) {
            let since = open.decided_at.min(decided_at);
            let shares = |o: &i64| self.sent(*other).orders.iter().any(|(order, _)| order == o);
            if open.dialled == Some(endpoint)
                && let Some((order, _)) = orders.iter().find(|(order, _)| shares(order))
            {
                if self.services.is_unordered(endpoint, since) {
                    is_beside = true;
                    continue;
                }
                let what = format!("deliveries {seq} and {other} are under way to endpoint {endpoint}");
                return self.broken("G4", format!("{what} and both carry order {order}"));
            }
        }
        self.counts.beside += u64::from(is_beside);
        let there = || self.under_way().filter(|open| open.dialled == Some(endpoint));
        let (here, since) =
            (there().count(), there().map(|open| open.decided_at).min().unwrap_or(decided_at));
        if here > self.services.in_flight_max(endpoint, since, &self.rules) {
            self.broken("G5", format!("{here} requests are under way to endpoint {endpoint}"));
        }
        if let Some(held) = self.deliveries.get_mut(&seq) {
            held.idle_since = None;
        }
    }

    pub(super) fn ended(&mut self, request: u64, id: &str, end: &End) {
        let at = self.now;
        if let Some(open) = self.under_way_as(Some(request), id) {
            let open = self.open.get_mut(&open).expect("it is under way");
            let health = self.health.entry(open.dialled.unwrap_or_default()).or_default();
            let blur_ms = self.blur.order_ms;
            let free = health.ended(at, open.decided_at, end, self.rules.failures_to_open, blur_ms);
            let free = if self.unclear.remove(id) { Free::May } else { free };
            open.ended = Some(Ended { at, end: end.clone(), free });
        }
    }
}
