//! Judges a platform by what can be seen from outside: what is on disk, what goes out, what receivers see, what is
//! recorded. It is shown one [`Event`] after the other and says, as soon as it can be known, which guarantee did not
//! hold.
//!
//! It shares no code with engine, dispatcher, store or fan-out: each guarantee is stated here a second time, as
//! plainly as it can be on a small disk, and [`Rules`] is the one place for the numbers.
//!
//! - `commits` - what a tick may put on disk: everybody who registered hears of a change (G1), a delivery's state only
//!   goes forward, attempts are numbered without a gap and judged by the plan (G2).
//! - `replays` - what may be sent again, and what an operator keeps back.
//! - `removals` - what an operator takes back, and that nothing else is touched.
//! - `sends` - what may go out, and when: the same id with the same bytes (G3), order per order (G4), within the limits
//!   and not before it is due (G5).
//! - `health` - which failures may, and which must, cost a delivery nothing, because its endpoint is down (G6).
//! - `receivers` - what an endpoint sees, and which view its partner gets from it (G4, G8).
//! - `wishes` - how fast, how much at a time and in which order an endpoint wants it (G4, G5).
//! - `outside` - what is excused where the platform is a process that can only be looked at from outside.
//! - `rest` - that things go on: nobody waits for a stranger (G5), and after the faults all goes quiet (G2, G8).

mod commits;
pub mod event;
mod health;
mod outside;
mod receivers;
mod removals;
mod replays;
mod rest;
mod routing;
mod sends;
mod walls;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;

use event::{End, Event};
use health::{Free, Health};
use outside::Blur;
use receivers::Receivers;
use removals::Removals;
use routing::Book;
use walls::Walls;
use wishes::Services;

/// What the platform is held to.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The pauses of the retry plan.
    pub delays_ms: Vec<i64>,
    /// A retry may be later than that by so many parts of a hundred.
    pub jitter_percent: i64,
    /// The longest pause that a `Retry-After` can ask for.
    pub retry_after_max_ms: i64,
    /// How many requests may be under way to one endpoint.
    pub in_flight_per_endpoint_max: usize,
    /// How many requests may be under way in all.
    pub in_flight_max: usize,
    /// How many orders may share a delivery.
    pub orders_per_delivery_max: usize,
    /// How many failures in a row mean that an endpoint is down.
    pub failures_to_open: u32,
    /// The longest pause between two looks at an endpoint that is down, jitter included.
    pub probe_pause_max_ms: i64,
    /// How old a delivery must be to be given up for its age.
    pub hold_ms: i64,
    /// How long a delivery may wait for nothing: it is due, the first in all its lanes, its endpoint is well and has
    /// room, the store is calm and the platform runs. None where a configuration makes no such promise.
    pub idle_max_ms: Option<i64>,
}

/// A guarantee that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub guarantee: &'static str,
    /// How it showed.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.guarantee, self.what)
    }
}

/// Where a delivery stands, as far as the disk says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Pending,
    Delivered,
    Dead,
    Superseded,
    /// An operator took it back.
    Cancelled,
}

/// A delivery, and what is known of it.
#[derive(Debug)]
struct Held {
    webhook: i64,
    brand: i64,
    endpoint: i64,
    event_type: &'static str,
    orders: Vec<(i64, i64)>,
    body: Bytes,
    state: State,
    attempts: u32,
    /// Those among them that had been under way at a replay: the platform may not know of so many.
    unknown: u32,
    /// How far its plan is.
    plan: Plan,
    /// By the wall clock.
    due_ms: i64,
    /// When it falls due whatever the wall clock is set to.
    due_at: i64,
    /// Since when that is so, and until when a platform may sleep that reckoned with the clock as it was.
    due_since: i64,
    due_by: i64,
    /// Its last failure cost nothing: it says more about the endpoint there than about this delivery.
    last_was_free: bool,
    /// It has come here from another endpoint; `Some(None)` while the platform has not been told.
    moved: Option<Option<i64>>,
    /// Since when it waits for nothing, as of the last look.
    idle_since: Option<i64>,
    seen: bool,
    /// It is a replay, or a replay's own: what it carries may be older than what was sent since.
    replayed: bool,
    /// An operator keeps it back, or did until then.
    withheld: bool,
    withheld_until: Option<i64>,
    /// The platform knows of it, and since when.
    told_at: Option<i64>,
    /// Which event took it back, or kept it back: what was asked for sooner may still go out.
    stopped_no: u64,
}

/// What the plan has for a delivery's next failure depends on these.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Attempts that counted.
    failures: u32,
    /// When it was committed, or replayed; by the wall clock, too.
    created_ms: i64,
    created_at: i64,
}

/// A delivery that the platform is about to send, has sent, or has not recorded yet.
#[derive(Debug)]
struct Open {
    decided_at: i64,
    /// As it was then.
    plan: Plan,
    /// Which request it is, once it is one.
    request: u64,
    /// Which event asked for its bytes, the last time.
    asked_no: u64,
    /// Where it was to go, if that was known to all.
    home: Option<i64>,
    /// Where its request went.
    dialled: Option<i64>,
    ended: Option<Ended>,
}

/// What a producer was told that there is no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Refused {
    Order,
    Item,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
struct Ended {
    at: i64,
    end: End,
    free: Free,
}

/// What was counted along the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that were looked at.
    pub events: u64,
    /// Ticks.
    pub ticks: u64,
    /// Changes of orders.
    pub changes: u64,
    /// Changes for which there was no room.
    pub refused: u64,
    /// Deliveries that were formed.
    pub deliveries: u64,
    /// Deliveries of several orders.
    pub batches: u64,
    /// Deliveries that went to another URL while they waited.
    pub moved: u64,
    /// Deliveries that were sent again after they had ended.
    pub replayed: u64,
    /// Deliveries that replays made.
    pub anew: u64,
    /// Those of them for something that a registration missed.
    pub missed: u64,
    /// Replayed deliveries that were taken back.
    pub taken_back: u64,
    /// Registrations that were removed.
    pub removed: u64,
    /// Deliveries that were taken back with their registration.
    pub removed_with: u64,
    /// Deliveries that were taken back one by one.
    pub cancelled: u64,
    /// Attempts that were under way when their delivery was taken back.
    pub late: u64,
    /// Those whose delivery had been replayed when they ended.
    pub left: u64,
    /// Deliveries that ended acknowledged.
    pub delivered: u64,
    /// Deliveries that were given up.
    pub dead: u64,
    /// Deliveries that were passed over for newer ones.
    pub superseded: u64,
    /// Requests that went out.
    pub requests: u64,
    /// Those that went beside another of their order, where nobody asked for order.
    pub beside: u64,
    /// Requests that a receiver processed although the platform never heard of it.
    pub answers_lost: u64,
    /// Requests that a receiver had processed before.
    pub repeats: u64,
    /// Attempts that were recorded.
    pub attempts: u64,
    /// Those that cost their delivery nothing.
    pub free: u64,
    /// Deliveries that grew too old.
    pub too_old: u64,
    /// Times that an endpoint was held.
    pub holds: u64,
    /// Crashes.
    pub crashes: u64,
    /// Starts in vain.
    pub not_started: u64,
    /// Requests that were under way in a crash.
    pub cut_off: u64,
    /// Stops in good order.
    pub stops: u64,
    /// Steps of the clock.
    pub clock_steps: u64,
    /// Times that hints were lost.
    pub hints_lost: u64,
    /// Signatures that were verified.
    pub signatures: u64,
}

impl Counts {
    fn named(&mut self) -> [(&'static str, &mut u64); 34] {
        [
            ("events looked at", &mut self.events),
            ("ticks", &mut self.ticks),
            ("changes of orders", &mut self.changes),
            ("refused for want of room", &mut self.refused),
            ("deliveries", &mut self.deliveries),
            ("of several orders", &mut self.batches),
            ("moved to another URL", &mut self.moved),
            ("replayed", &mut self.replayed),
            ("made by replays", &mut self.anew),
            ("for what was missed", &mut self.missed),
            ("taken back by replays", &mut self.taken_back),
            ("registrations removed", &mut self.removed),
            ("deliveries taken back with them", &mut self.removed_with),
            ("deliveries taken back one by one", &mut self.cancelled),
            ("attempts under way when they were", &mut self.late),
            ("and still when they were replayed", &mut self.left),
            ("delivered", &mut self.delivered),
            ("given up", &mut self.dead),
            ("passed over", &mut self.superseded),
            ("requests", &mut self.requests),
            ("beside another of their order, as agreed", &mut self.beside),
            ("seen after the sender had turned away", &mut self.answers_lost),
            ("repeats seen by receivers", &mut self.repeats),
            ("attempts recorded", &mut self.attempts),
            ("of them for free", &mut self.free),
            ("deliveries too old", &mut self.too_old),
            ("holds of endpoints", &mut self.holds),
            ("crashes", &mut self.crashes),
            ("requests cut off by them", &mut self.cut_off),
            ("starts in vain", &mut self.not_started),
            ("stops in good order", &mut self.stops),
            ("steps of the clock", &mut self.clock_steps),
            ("times that hints were lost", &mut self.hints_lost),
            ("signatures verified", &mut self.signatures),
        ]
    }

    /// Adds another schedule's counts.
    pub fn add(&mut self, other: &Counts) {
        let mut other = *other;
        for ((_, sum), (_, part)) in self.named().into_iter().zip(other.named()) {
            *sum += *part;
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts = *self;
        for (i, (name, count)) in counts.named().into_iter().enumerate() {
            let line = if i == 0 { "" } else { "\n" };
            write!(f, "{line}{count:>12} {name}")?;
        }
        Ok(())
    }
}

/// Watches one schedule.
#[derive(Debug)]
pub struct Auditor {
    rules: Rules,
    walls: Walls,
    now: i64,
    book: Book,
    records: BTreeMap<(i64, i64), Bytes>,
    newest: BTreeMap<i64, i64>,
    deliveries: BTreeMap<i64, Held>,
    /// The last number that was given to something fresh.
    last_fresh: i64,
    /// The last number that was given to a replay.
    last_replay: i64,
    by_id: BTreeMap<String, i64>,
    /// The pending deliveries of each order.
    lanes: BTreeMap<i64, BTreeSet<i64>>,
    pending: BTreeSet<i64>,
    /// What has ended in the present tick.
    ended_now: Vec<i64>,
    /// By the number that the platform knows it by, which is not its own any more where it was replayed meanwhile.
    open: BTreeMap<i64, Open>,
    /// The numbers that deliveries had in this life before they were replayed, and those that they got.
    left: BTreeMap<i64, i64>,
    /// The bytes of this one were given out. Its request goes out at once, or there is none: the platform found that
    /// it belongs to another endpoint by now.
    given: Option<(i64, Open)>,
    /// What was moved in ticks of which the platform has not been told.
    untold: BTreeMap<u64, Vec<i64>>,
    /// What is fresh, or let go, since ticks of which the platform has not been told: a replay may go before it.
    untold_fresh: BTreeMap<u64, Vec<i64>>,
    removals: Removals,
    services: Services,
    /// Orders and items for which there was no room: those nobody has made.
    refused: BTreeSet<(Refused, i64)>,
    /// Registrations that somebody wants to be told what they missed.
    missed_asked: BTreeSet<i64>,
    /// What was put into carts.
    items: BTreeSet<i64>,
    receivers: Receivers,
    running_since: Option<i64>,
    calm_since: Option<i64>,
    well_since: BTreeMap<i64, i64>,
    met: BTreeSet<i64>,
    never_unwell: BTreeSet<i64>,
    health: BTreeMap<i64, Health>,
    /// Endpoints that are held, and since when the platform knows of it.
    held: BTreeMap<i64, Option<i64>>,
    untold_holds: BTreeMap<u64, Vec<i64>>,
    violation: Option<Violation>,
    counts: Counts,
    /// How far off the times may be that it is shown.
    blur: Blur,
    /// What ends next and beside others.
    unclear: BTreeSet<String>,
}

impl Auditor {
    /// An auditor of an empty installation, at moment 0, when the wall clock says `wall_ms`.
    pub fn new(rules: Rules, wall_ms: i64) -> Self {
        Auditor {
            rules,
            walls: Walls::new(wall_ms),
            now: 0,
            book: Book::default(),
            records: BTreeMap::new(),
            newest: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            last_fresh: 0,
            last_replay: 0,
            by_id: BTreeMap::new(),
            lanes: BTreeMap::new(),
            pending: BTreeSet::new(),
            ended_now: Vec::new(),
            open: BTreeMap::new(),
            left: BTreeMap::new(),
            given: None,
            untold: BTreeMap::new(),
            untold_fresh: BTreeMap::new(),
            removals: Removals::default(),
            services: Services::default(),
            refused: BTreeSet::new(),
            missed_asked: BTreeSet::new(),
            items: BTreeSet::new(),
            receivers: Receivers::default(),
            running_since: None,
            calm_since: Some(0),
            well_since: BTreeMap::new(),
            met: BTreeSet::new(),
            never_unwell: BTreeSet::new(),
            health: BTreeMap::new(),
            held: BTreeMap::new(),
            untold_holds: BTreeMap::new(),
            violation: None,
            counts: Counts::default(),
            blur: Blur::default(),
            unclear: BTreeSet::new(),
        }
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The first guarantee that did not hold.
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Takes an event in. `now` counts milliseconds from the beginning and never goes back.
    pub fn observe(&mut self, now: i64, event: &Event) {
        self.now = now;
        self.counts.events += 1;
        match event {
            Event::Started => self.running_since = Some(now),
            Event::Crashed => {
                self.counts.crashes += 1;
                self.counts.cut_off += self.under_way().count() as u64;
                self.ended_its_life();
            }
            Event::StartFailed => {
                self.counts.not_started += 1;
                self.ended_its_life();
            }
            Event::RemovalAsked { webhook, by } => self.removals.removal_asked(*webhook, by),
            Event::MissedAsked { webhook } => {
                self.missed_asked.insert(*webhook);
            }
            Event::CancelAsked { delivery_id, by } => self.removals.cancel_asked(delivery_id, by),
            Event::Stopped { drained } => {
                self.counts.stops += 1;
                if *drained && !self.open.is_empty() {
                    let seqs: Vec<i64> = self.open.keys().copied().collect();
                    self.broken("G2", format!("a stop in good order left outcomes unrecorded: {seqs:?}"));
                }
                self.ended_its_life();
            }
            Event::ClockStepped { by_ms } => self.clock_stepped(*by_ms),
            Event::StoreCalm(true) => self.calm_since = self.calm_since.or(Some(now)),
            Event::StoreCalm(false) => self.calm_since = None,
            Event::EndpointWell { endpoint, well: true } => {
                if !self.met.insert(*endpoint) {
                    self.never_unwell.remove(endpoint);
                } else {
                    self.never_unwell.insert(*endpoint);
                }
                self.well_since.entry(*endpoint).or_insert(now);
            }
            Event::EndpointWell { endpoint, well: false } => {
                self.met.insert(*endpoint);
                self.never_unwell.remove(endpoint);
                self.well_since.remove(endpoint);
            }
            Event::Healed => {}
            Event::Committed(commit) => self.committed(commit),
            Event::Hinted { tick, lost } => {
                self.counts.hints_lost += u64::from(*lost);
                self.told(*tick);
            }
            Event::Decided { seq } => self.decided(*seq),
            Event::Vain { seq } => self.vain(*seq),
            Event::Outdated { seq, endpoint } => self.outdated(*seq, *endpoint),
            Event::Given { seq } => self.given = self.open.remove(seq).map(|open| (*seq, open)),
            Event::Begun { request, endpoint, delivery_id, event_type, body, signed } => {
                self.begun(*request, *endpoint, delivery_id, event_type, body, *signed);
            }
            Event::Saw { request: _, endpoint, delivery_id, body, late } => {
                self.saw(*endpoint, delivery_id, body, *late);
            }
            Event::Ended { request, delivery_id, end } => self.ended(*request, delivery_id, end),
            Event::Acknowledged { order, version } => {
                if !self.records.contains_key(&(*order, *version)) {
                    self.broken(
                        "G1",
                        format!("order {order} v{version} was acknowledged and is not on disk"),
                    );
                }
            }
            Event::Refused { order, is_new, item } => self.refused(*order, *is_new, *item),
            Event::Dialled { endpoint, delivery_id } => self.dialled(*endpoint, delivery_id),
            Event::Unheard { delivery_id } => self.unheard(delivery_id),
            Event::Unclear { delivery_id } => {
                self.unclear.insert(delivery_id.clone());
            }
        }
    }

    /// Notes what is broken, unless something was broken before: later breaks often follow from the first.
    fn broken(&mut self, guarantee: &'static str, what: String) {
        self.violation.get_or_insert(Violation { guarantee, what });
    }

    /// A process has ended: what it had under way is as if it had never been decided.
    fn ended_its_life(&mut self) {
        self.open.clear();
        self.services.begin_anew(self.now);
        self.left.clear();
        self.running_since = None;
        for seq in &self.pending {
            if let Some(held) = self.deliveries.get_mut(seq) {
                held.idle_since = None;
            }
        }
        // Whoever starts next reads the disk.
        let ticks: BTreeSet<u64> = self
            .untold
            .keys()
            .chain(self.untold_holds.keys())
            .chain(self.untold_fresh.keys())
            .copied()
            .chain(self.services.untold())
            .collect();
        for tick in ticks {
            self.told(tick);
        }
        for health in self.health.values_mut() {
            health.forget();
        }
    }

    fn clock_stepped(&mut self, by_ms: i64) {
        self.counts.clock_steps += 1;
        if by_ms > 0 {
            self.services.begin_anew(self.now);
            // A pause that went on although the clock was set back may end when it is set forward; and a platform
            // may have gone to sleep until the moment that the clock of before promised.
            let before = self.walls.now(self.now);
            for seq in &self.pending {
                if let Some(held) = self.deliveries.get_mut(seq) {
                    held.due_at -= by_ms;
                    held.due_by = held.due_by.max(self.now + (held.due_ms - before).max(0));
                }
            }
        }
        self.walls.step(self.now, by_ms);
    }

    /// Requests that have gone out and have not ended.
    fn under_way(&self) -> impl Iterator<Item = &Open> {
        self.open.values().filter(|open| open.dialled.is_some() && open.ended.is_none())
    }
}

#[cfg(test)]
mod tests;
