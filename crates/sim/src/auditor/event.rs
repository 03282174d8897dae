//! What the auditor is shown: plain numbers and bytes, none of the types of those who are audited.
//!
//! An event is written by the simulated store, network or producer at the moment in which it happens, and shown as
//! one line of the log. What changes from run to run although the seed is the same (random ids of partners, secrets
//! and what is encrypted with them) is not in here.

use std::fmt;

use bytes::Bytes;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A process of the platform begins its life.
    Started,
    /// It ended in the middle of whatever it was doing.
    Crashed,
    /// It was asked to stop, and has.
    Stopped {
        /// Everything under way came to its end.
        drained: bool,
    },
    /// The wall clock was set.
    ClockStepped {
        /// By how much.
        by_ms: i64,
    },
    /// The store begins or ends to be slow, busy or broken.
    StoreCalm(bool),
    /// An endpoint begins or ends to answer every request well and soon.
    EndpointWell {
        /// Which.
        endpoint: i64,
        /// Whether it does now.
        well: bool,
    },
    /// The faults are over; from here on all has to go quiet.
    Healed,
    /// A tick is on disk.
    Committed(Box<Commit>),
    /// The platform was told of what this tick committed.
    Hinted {
        /// The tick.
        tick: u64,
        /// It was told only that hints were lost.
        lost: bool,
    },
    /// The platform is about to send: it asks for the bytes of a delivery.
    Decided {
        /// The delivery.
        seq: i64,
    },
    /// The platform was told that there is nothing to send: the delivery is not pending.
    Vain {
        /// The delivery.
        seq: i64,
    },
    /// The platform was told that a newer one waits: it passes this one over, or lets it be where it is none of this
    /// endpoint's any more.
    Outdated {
        /// The delivery.
        seq: i64,
        /// Where it goes.
        endpoint: i64,
    },
    /// The platform was given the bytes.
    Given {
        /// The delivery.
        seq: i64,
    },
    /// A request went out.
    Begun {
        /// Which request, counted from 1.
        request: u64,
        /// Where it went.
        endpoint: i64,
        /// Its event id.
        delivery_id: String,
        /// Its event type.
        event_type: String,
        /// Its body.
        body: Bytes,
        /// Whether the signature is one of the partner's; none where the secret cannot be known just now.
        signed: Option<bool>,
    },
    /// A receiver processed a request.
    Saw {
        /// Which request.
        request: u64,
        /// The endpoint.
        endpoint: i64,
        /// Its event id.
        delivery_id: String,
        /// Its body.
        body: Bytes,
        /// The sender had turned away by then.
        late: bool,
    },
    /// A request came to its end, as the platform sees it.
    Ended {
        /// Which request.
        request: u64,
        /// Its event id.
        delivery_id: String,
        /// How.
        end: End,
    },
    /// A producer got a 2xx for a change of an order.
    Acknowledged {
        /// The order.
        order: i64,
        /// The version that it was told.
        version: i64,
    },
    /// A producer was told that the platform has no room for a change just now.
    Refused {
        /// The order.
        order: i64,
        /// It was to be a new one.
        is_new: bool,
        /// What was to be in its cart: nothing else is ever put in there.
        item: Option<i64>,
    },
    /// Somebody asks, in this name, that a registration be removed.
    RemovalAsked {
        /// Which.
        webhook: i64,
        /// The name.
        by: String,
    },
    /// Somebody asks that a registration be told what it has missed.
    MissedAsked {
        /// Which.
        webhook: i64,
    },
    /// Somebody asks, in this name, that a delivery be taken back.
    CancelAsked {
        /// Its event id.
        delivery_id: String,
        /// The name.
        by: String,
    },
    /// A process could not start: the store would not let it read.
    StartFailed,
    /// From outside only: a request went out, or was to go out, that no receiver saw.
    Dialled {
        /// Where to.
        endpoint: i64,
        /// Its event id.
        delivery_id: String,
    },
    /// From outside only: how this request ended for the platform, nobody can know.
    Unheard {
        /// Its event id.
        delivery_id: String,
    },
    /// From outside only: the request that ends next ended so near to others that the platform may have heard of them
    /// in another order.
    Unclear {
        /// Its event id.
        delivery_id: String,
    },
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With a 2xx in time.
    Acknowledged,
    /// With another status, and what its `Retry-After` asked for.
    Refused {
        /// The status.
        status: u16,
        /// The pause that was asked for.
        retry_after_ms: Option<i64>,
    },
    /// Without an answer; in a word, why.
    Failed(&'static str),
}

/// What one tick put on disk, all of it or nothing.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// The tick's number.
    pub tick: u64,
    /// Registrations that are new or changed, as they stand now.
    pub registrations: Vec<Registration>,
    /// Changes of orders, in their order.
    pub changes: Vec<Change>,
    /// Deliveries that were formed.
    pub deliveries: Vec<Delivery>,
    /// Deliveries that wait at another endpoint from now on.
    pub moved: Vec<(i64, i64)>,
    /// Attempts that were recorded.
    pub attempts: Vec<Attempt>,
    /// Deliveries that were given up without another attempt.
    pub given_up: Vec<i64>,
    /// Deliveries that were passed over for newer ones.
    pub superseded: Vec<i64>,
    /// Deliveries that were taken back.
    pub cancelled: Vec<Cancelled>,
    /// Registrations that were removed, and in whose name.
    pub removed: Vec<(i64, String)>,
    /// Endpoints to which nothing is sent from now on, or something again.
    pub holds: Vec<(i64, bool)>,
    /// Deliveries that had ended and are sent again.
    pub replayed: Vec<Replayed>,
    /// Deliveries that a replay made, each numbered by its place among the replays.
    pub anew: Vec<Delivery>,
    /// Those of them that were made because their registration had missed something.
    pub missed: Vec<i64>,
    /// Replayed deliveries that are not sent for now, or again.
    pub withheld: Vec<(i64, bool)>,
    /// Replayed deliveries that were taken back, and whether each counts as delivered, as it did before.
    pub taken_back: Vec<(i64, bool)>,
}

/// A registration.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Its id.
    pub webhook: i64,
    /// Whose it is, in the order in which partners were added.
    pub partner: usize,
    /// The partner's business.
    pub business: i64,
    /// Where it points.
    pub endpoint: i64,
    /// The brand; none for any.
    pub brand: Option<i64>,
    /// The branch; none for any.
    pub branch: Option<i64>,
    /// The event type.
    pub event_type: &'static str,
    /// How it is to be served.
    pub wishes: Wishes,
}

/// How a registration is to be served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// No delivery waits for another of its order.
    pub unordered: bool,
    /// Requests under way.
    pub in_flight_max: Option<usize>,
    /// Requests that begin in a second.
    pub rate_per_second_max: Option<i64>,
    /// Orders that share a delivery.
    pub orders_per_delivery_max: Option<usize>,
    /// Only the newest of an order's deliveries that wait is sent.
    pub coalesce: bool,
}

/// A change of an order, with the record as it is after it.
#[derive(Clone, Debug)]
pub struct Change {
    /// The order.
    pub order: i64,
    /// Its version after the change.
    pub version: i64,
    /// Its business.
    pub business: i64,
    /// Its branch.
    pub branch: i64,
    /// Its brands.
    pub brands: Vec<i64>,
    /// The event type.
    pub event_type: &'static str,
    /// The record.
    pub record: Bytes,
}

/// A delivery, as it was committed.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its place in the order of commits.
    pub seq: i64,
    /// Its public id.
    pub id: String,
    /// The registration.
    pub webhook: i64,
    /// Where it goes.
    pub endpoint: i64,
    /// The envelope's brand.
    pub brand: i64,
    /// The envelope's branch.
    pub branch: i64,
    /// The event type.
    pub event_type: &'static str,
    /// The orders, each with the version that it carries.
    pub orders: Vec<(i64, i64)>,
    /// When it is due.
    pub due_ms: i64,
}

/// A delivery that had ended and is sent again.
#[derive(Clone, Copy, Debug)]
pub struct Replayed {
    /// Its number so far.
    pub from: i64,
    /// Its number from now on, above everything fresh.
    pub to: i64,
    /// Where it goes.
    pub endpoint: i64,
    /// When it is due.
    pub due_ms: i64,
}

/// A delivery that was taken back.
#[derive(Clone, Debug)]
pub struct Cancelled {
    /// Its place in line.
    pub seq: i64,
    /// In whose name.
    pub by: String,
    /// With its registration, and not by itself.
    pub with_registration: bool,
}

/// An attempt that was handed in to be recorded.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The delivery.
    pub seq: i64,
    /// The number that it was given.
    pub number: u32,
    /// It ended with an acknowledgement.
    pub acknowledged: bool,
    /// What follows.
    pub verdict: Verdict,
    /// False where it is in the log already, or there is no such delivery.
    pub applied: bool,
    /// The delivery had been taken back before, and perhaps replayed: it was under way then.
    pub late: bool,
}

/// What follows from an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The delivery is delivered.
    Delivered,
    /// It is tried again.
    RetryAt {
        /// Not before this moment.
        at_ms: i64,
        /// It counts against the retry plan.
        counted: bool,
    },
    /// It is given up.
    Dead,
}

/// A short name for some bytes, so that a log can tell bodies apart without holding them.
pub(crate) fn mark(bytes: &[u8]) -> u64 {
    // FNV-1a: the same on every machine and in every build.
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Started => f.write_str("the platform starts"),
            Event::Crashed => f.write_str("the platform crashes"),
            Event::Stopped { drained: true } => f.write_str("the platform has stopped"),
            Event::Stopped { drained: false } => f.write_str("the platform has stopped before all was done"),
            Event::ClockStepped { by_ms } => write!(f, "the clock steps by {by_ms} ms"),
            Event::StoreCalm(true) => f.write_str("the store is calm"),
            Event::StoreCalm(false) => f.write_str("the store is troubled"),
            Event::EndpointWell { endpoint, well: true } => write!(f, "endpoint {endpoint} is well"),
            Event::EndpointWell { endpoint, well: false } => write!(f, "endpoint {endpoint} is unwell"),
            Event::Healed => f.write_str("the faults are over"),
            Event::Committed(commit) => commit.fmt(f),
            Event::Hinted { tick, lost: false } => write!(f, "tick {tick} hinted"),
            Event::Hinted { tick, lost: true } => write!(f, "tick {tick} hinted, and hints were lost"),
            Event::Decided { seq } => write!(f, "delivery {seq} asked for"),
            Event::Vain { seq } => write!(f, "delivery {seq} has nothing to send"),
            Event::Outdated { seq, .. } => write!(f, "delivery {seq} has a newer one behind it"),
            Event::Given { seq } => write!(f, "delivery {seq} given"),
            Event::Begun { request, endpoint, delivery_id, body, signed, .. } => {
                write!(
                    f,
                    "request {request} of {delivery_id} to endpoint {endpoint}, body {:016x}",
                    mark(body)
                )?;
                match signed {
                    Some(true) => Ok(()),
                    Some(false) => f.write_str(", with a wrong signature"),
                    None => f.write_str(", with a secret that nobody was told"),
                }
            }
            Event::Saw { request, endpoint, delivery_id, body, late } => {
                let late = if *late { " late" } else { "" };
                write!(
                    f,
                    "endpoint {endpoint} sees request {request}{late}: {delivery_id}, body {:016x}",
                    mark(body)
                )
            }
            Event::Ended { request, delivery_id, end } => {
                write!(f, "request {request} of {delivery_id} ended: ")?;
                match end {
                    End::Acknowledged => f.write_str("acknowledged"),
                    End::Refused { status, retry_after_ms: None } => write!(f, "{status}"),
                    End::Refused { status, retry_after_ms: Some(ms) } => {
                        write!(f, "{status}, again after {ms} ms")
                    }
                    End::Failed(why) => f.write_str(why),
                }
            }
            Event::Acknowledged { order, version } => {
                write!(f, "the producer is told: order {order} v{version}")
            }
            Event::Refused { order, item: Some(item), .. } => {
                write!(f, "the producer is told that there is no room for item {item} of order {order}")
            }
            Event::Refused { order, .. } => {
                write!(f, "the producer is told that there is no room for a change of order {order}")
            }
            Event::RemovalAsked { webhook, by } => {
                write!(f, "{by} asks that registration {webhook} be removed")
            }
            Event::MissedAsked { webhook } => {
                write!(f, "somebody asks for what registration {webhook} missed")
            }
            Event::CancelAsked { delivery_id, by } => write!(f, "{by} asks that {delivery_id} be taken back"),
            Event::StartFailed => f.write_str("the platform cannot start"),
            Event::Dialled { endpoint, delivery_id } => {
                write!(f, "endpoint {endpoint} was dialled for {delivery_id}")
            }
            Event::Unheard { delivery_id } => write!(f, "nobody knows how {delivery_id} ended"),
            Event::Unclear { delivery_id } => write!(f, "{delivery_id} ends beside others"),
        }
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tick {} on disk", self.tick)?;
        for registration in &self.registrations {
            let Registration { webhook, partner, endpoint, brand, branch, event_type, wishes, .. } =
                registration;
            write!(f, "; registration {webhook} of partner {partner}: {event_type}, ")?;
            write!(f, "brand {brand:?}, branch {branch:?} to endpoint {endpoint}")?;
            let Wishes { unordered, in_flight_max, rate_per_second_max, orders_per_delivery_max, coalesce } =
                wishes;
            for (said, what) in [(unordered, "no order"), (coalesce, "only the newest")] {
                if *said {
                    write!(f, ", {what}")?;
                }
            }
            for (max, what) in [(in_flight_max, "under way"), (orders_per_delivery_max, "in a delivery")] {
                if let Some(max) = max {
                    write!(f, ", {max} {what}")?;
                }
            }
            if let Some(max) = rate_per_second_max {
                write!(f, ", {max} in a second")?;
            }
        }
        for change in &self.changes {
            write!(f, "; order {} v{} {}", change.order, change.version, change.event_type)?;
        }
        for Delivery { seq, endpoint, webhook, brand, orders, .. } in &self.deliveries {
            write!(f, "; delivery {seq} to endpoint {endpoint} for {webhook} brand {brand}:")?;
            for (order, version) in orders {
                write!(f, " {order}v{version}")?;
            }
        }
        for (seq, endpoint) in &self.moved {
            write!(f, "; delivery {seq} goes to endpoint {endpoint} now")?;
        }
        for Attempt { seq, number, verdict, applied, late, .. } in &self.attempts {
            let refused = match (applied, late) {
                (false, _) => " (refused)",
                (true, true) => " (late)",
                (true, false) => "",
            };
            write!(f, "; attempt {number} of {seq}{refused}: ")?;
            match verdict {
                Verdict::Delivered => f.write_str("delivered")?,
                Verdict::RetryAt { at_ms, counted: true } => write!(f, "again at {at_ms}")?,
                Verdict::RetryAt { at_ms, counted: false } => write!(f, "again at {at_ms}, for free")?,
                Verdict::Dead => f.write_str("dead")?,
            }
        }
        for seq in &self.given_up {
            write!(f, "; delivery {seq} is too old")?;
        }
        for seq in &self.superseded {
            write!(f, "; delivery {seq} is passed over")?;
        }
        for Cancelled { seq, by, with_registration } in &self.cancelled {
            let how = if *with_registration { " with its registration" } else { "" };
            write!(f, "; delivery {seq} is taken back{how} by {by}")?;
        }
        for (webhook, by) in &self.removed {
            write!(f, "; registration {webhook} is removed by {by}")?;
        }
        for Replayed { from, to, endpoint, .. } in &self.replayed {
            write!(f, "; delivery {from} is replayed as {to} to endpoint {endpoint}")?;
        }
        for Delivery { seq, endpoint, webhook, brand, orders, .. } in &self.anew {
            write!(
                f,
                "; delivery {seq} is a replay's own, to endpoint {endpoint} for {webhook} brand {brand}:"
            )?;
            if self.missed.contains(seq) {
                f.write_str(" missed")?;
            }
            for (order, version) in orders {
                write!(f, " {order}v{version}")?;
            }
        }
        for (seq, withheld) in &self.withheld {
            write!(f, "; delivery {seq} is {}", if *withheld { "kept back" } else { "let go" })?;
        }
        for (seq, delivered) in &self.taken_back {
            let how = if *delivered { ", delivered as before" } else { "" };
            write!(f, "; delivery {seq} of a replay is taken back{how}")?;
        }
        for (endpoint, held) in &self.holds {
            write!(f, "; endpoint {endpoint} is {}", if *held { "held" } else { "let go" })?;
        }
        Ok(())
    }
}
