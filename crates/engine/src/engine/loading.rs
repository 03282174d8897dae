//! How deliveries come into memory: by hints and by pages from disk, and how those that are there already are told
//! from those that are new. Decides nothing about sending.

use hookit_contract::{DeliverySeq, EndpointId};

use super::{Engine, READ_RETRY};
use crate::endpoint::{AT_ONCE, Lined};
use crate::reads::{Read, ReadNo, Settled};
use crate::types::{Action, Waiting};

impl Engine {
    pub(super) fn committed(&mut self, deliveries: Vec<Waiting>, actions: &mut Vec<Action>) {
        for delivery in deliveries {
            if delivery.seq.is_among_replays() {
                if let Some(endpoint) = self.endpoints.get_mut(&delivery.endpoint) {
                    endpoint.replays.behind = true;
                }
                self.refresh(delivery.endpoint, actions);
                continue;
            }
            self.seen_through = self.seen_through.max(delivery.seq);
            self.hinted(delivery, actions);
        }
    }

    fn hinted(&mut self, delivery: Waiting, actions: &mut Vec<Action>) {
        let (id, seq) = (delivery.endpoint, delivery.seq);
        // An endpoint that is not known yet will be read from the start, and this delivery with it.
        let Some(endpoint) = self.endpoints.get_mut(&id).filter(|e| e.settings.is_some()) else { return };
        if let Read::UnderWay { .. } = endpoint.read {
            if endpoint.hints_missed || endpoint.hints.len() >= self.config.page_size {
                endpoint.hints_missed = true;
            } else {
                endpoint.hints.push(delivery);
            }
        } else if endpoint.behind || seq <= endpoint.loaded_through {
            // The next read will bring it, or the last one was faster than the hint.
        } else if endpoint.room(self.config.window_max) == 0 {
            endpoint.behind = true;
        } else {
            endpoint.loaded_through = seq;
            self.admit(id, delivery, None, actions);
            self.refresh(id, actions);
        }
    }

    pub(super) fn hints_lost(&mut self, actions: &mut Vec<Action>) {
        let ids: Vec<EndpointId> = self.endpoints.keys().copied().collect();
        for id in ids {
            if let Some(endpoint) = self.endpoints.get_mut(&id) {
                endpoint.behind = true;
                endpoint.hints_missed = true;
                endpoint.replays.behind = true;
            }
            self.refresh(id, actions);
        }
    }

    pub(super) fn page(
        &mut self,
        id: EndpointId,
        after: DeliverySeq,
        mut deliveries: Vec<Waiting>,
        end: bool,
        actions: &mut Vec<Action>,
    ) {
        if after.is_among_replays() {
            self.page_of_replays(id, after, deliveries, end, actions);
            return;
        }
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        let (no, sees_through) = match endpoint.read {
            Read::UnderWay { after: asked, no, sees_through } if asked == after => (no, sees_through),
            Read::Superseded { after: asked } if asked == after => {
                endpoint.read = Read::Idle;
                self.refresh(id, actions);
                return;
            }
            Read::Idle | Read::UnderWay { .. } | Read::Superseded { .. } | Read::Failed { .. } => return,
        };
        if self.stopping {
            return;
        }
        if deliveries.is_empty() && !end {
            // No progress: asking again at once would ask for ever.
            self.read_failed(id, after, actions);
            return;
        }
        deliveries.sort_by_key(|delivery| delivery.seq);
        let mut through = after;
        let mut all = true;
        for delivery in deliveries {
            if delivery.seq <= through {
                continue;
            }
            // A page longer than was asked for must not break the window; the rest is read again.
            if self.endpoints.get(&id).is_none_or(|e| e.room(self.config.window_max) == 0) {
                all = false;
                break;
            }
            through = delivery.seq;
            self.admit(id, delivery, Some(no), actions);
        }
        self.reads.end(no);
        self.seen_through = self.seen_through.max(through);
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        endpoint.read = Read::Idle;
        endpoint.behind = !(end && all);
        // What a complete page does not show is not pending, however late its hint comes.
        endpoint.loaded_through = if endpoint.behind { through } else { through.max(sees_through) };
        let hints_missed = endpoint.hints_missed;
        for delivery in std::mem::take(&mut endpoint.hints) {
            self.hinted(delivery, actions);
        }
        if hints_missed && let Some(endpoint) = self.endpoints.get_mut(&id) {
            endpoint.behind = true;
        }
        self.refresh(id, actions);
    }

    fn page_of_replays(
        &mut self,
        id: EndpointId,
        after: DeliverySeq,
        mut deliveries: Vec<Waiting>,
        end: bool,
        actions: &mut Vec<Action>,
    ) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        let no = match endpoint.replays.read {
            Read::UnderWay { after: asked, no, .. } if asked == after => no,
            Read::Superseded { after: asked } if asked == after => {
                endpoint.replays.read = Read::Idle;
                self.refresh(id, actions);
                return;
            }
            Read::Idle | Read::UnderWay { .. } | Read::Superseded { .. } | Read::Failed { .. } => return,
        };
        if self.stopping {
            return;
        }
        if deliveries.is_empty() && !end {
            self.read_failed(id, after, actions);
            return;
        }
        deliveries.sort_by_key(|delivery| delivery.seq);
        let mut through = after;
        for delivery in deliveries {
            if delivery.seq > through {
                through = delivery.seq;
                self.admit(id, delivery, Some(no), actions);
            }
        }
        self.reads.end(no);
        if let Some(endpoint) = self.endpoints.get_mut(&id) {
            let replays = &mut endpoint.replays;
            replays.read = Read::Idle;
            replays.loaded_through = through;
            replays.behind |= !end;
        }
        self.refresh(id, actions);
    }

    pub(super) fn read_failed(&mut self, id: EndpointId, after: DeliverySeq, actions: &mut Vec<Action>) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        let of_replays = after.is_among_replays();
        let read = if of_replays { &mut endpoint.replays.read } else { &mut endpoint.read };
        match *read {
            Read::UnderWay { no, .. } => self.reads.end(no),
            Read::Superseded { .. } => {}
            Read::Idle | Read::Failed { .. } => return,
        }
        *read = Read::Failed { until: self.now.plus(READ_RETRY) };
        endpoint.replays.behind |= of_replays;
        self.refresh(id, actions);
    }

    /// Takes a delivery into memory that a hint or a page shows, unless it is known already.
    fn admit(&mut self, id: EndpointId, delivery: Waiting, read: Option<ReadNo>, actions: &mut Vec<Action>) {
        let Waiting { seq, endpoint: _, orders, attempts, failures, due, committed_at } = delivery;
        if self.busy.contains_key(&seq) {
            self.claim(id, seq, actions);
            return;
        }
        let lined = match self.lineup.get(&seq) {
            Some(known) if known.endpoint == id => return,
            Some(_) => self.take_from_former(seq, actions).map(|lined| Lined { endpoint: id, ..lined }),
            None => {
                let (attempts, failures, due) = match read.and_then(|no| self.reads.settled_since(no, seq)) {
                    Some(Settled::Final) => return,
                    Some(Settled::Again { attempts, failures, due }) => (attempts, failures, due),
                    None => (attempts, failures, if attempts == 0 { AT_ONCE } else { due }),
                };
                Some(Lined { endpoint: id, attempts, failures, orders, due, committed_at })
            }
        };
        if let Some(lined) = lined
            && let Some(endpoint) = self.endpoints.get_mut(&id)
            && !endpoint.leaves_on_disk(self.now, seq, &lined.orders)
        {
            self.line_up(seq, lined);
        }
    }

    /// A busy delivery is this endpoint's: the next attempt goes there, and its lanes there wait for the present one.
    fn claim(&mut self, id: EndpointId, seq: DeliverySeq, actions: &mut Vec<Action>) {
        let Some(busy) = self.busy.get_mut(&seq) else { return };
        busy.adrift = false;
        let former = busy.home.replace(id);
        if former == Some(id) {
            return;
        }
        let (sent_to, orders) = (busy.sent_to, busy.orders.clone());
        if id != sent_to
            && let Some(endpoint) = self.endpoints.get_mut(&id)
        {
            endpoint.busy.insert(seq);
            endpoint.lanes.hold(seq, &orders);
        }
        if let Some(former) = former.filter(|&former| former != sent_to) {
            self.let_go(former, seq, &orders, actions);
        }
    }

    /// Takes out of line what waits at another endpoint. What memory knows of it is newer than the page.
    fn take_from_former(&mut self, seq: DeliverySeq, actions: &mut Vec<Action>) -> Option<Lined> {
        let lined = self.lineup.remove(&seq)?;
        if let Some(endpoint) = self.endpoints.get_mut(&lined.endpoint) {
            endpoint.step_out(seq, &lined);
            endpoint.consider_firsts(self.now, &lined.orders, &self.lineup);
        }
        self.refresh(lined.endpoint, actions);
        Some(lined)
    }

    /// Forgets what waits for an endpoint, and that what is busy there belongs to it: the disk will say.
    pub(super) fn forget(&mut self, id: EndpointId) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        if endpoint.replays.read.is_to_be_answered() {
            endpoint.replays.behind = true;
        }
        endpoint.forget(&mut self.lineup);
        for read in [&mut endpoint.read, &mut endpoint.replays.read] {
            if let Read::UnderWay { after, no, .. } = *read {
                *read = Read::Superseded { after };
                self.reads.end(no);
            }
        }
        for seq in endpoint.busy.clone() {
            let Some(busy) = self.busy.get_mut(&seq) else { continue };
            busy.adrift = true;
            if busy.home == Some(id) {
                busy.home = None;
            }
            // It was sent elsewhere and only its next attempt was to go here. Nothing waits here that could overtake
            // it, and the page that brings what does brings it too.
            if busy.sent_to != id {
                endpoint.busy.remove(&seq);
                endpoint.lanes.release(seq, &busy.orders);
            }
        }
    }
}
