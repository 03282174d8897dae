//! The words that the engine and its shell exchange. No decisions here.

use std::time::Duration;

use hookit_contract::{AttemptOutcome, DeliverySeq, EndpointId, OrderId, Timestamp};

use crate::RetryPlan;

/// The engine's limits. A limit of zero is taken as one: it would stop everything for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// When a delivery that was not acknowledged is attempted again, and when it is given up.
    pub retry: RetryPlan,
    /// How many attempts may be under way to one endpoint at a time.
    pub in_flight_per_endpoint_max: usize,
    /// How many attempts may be under way in all.
    pub in_flight_max: usize,
    /// How many deliveries of one endpoint are held in memory; the rest stays on disk until there is room.
    pub window_max: usize,
    /// How many deliveries one read from disk asks for.
    pub page_size: usize,
    /// How many failures in a row, of deliveries that have no order in common, mean that the endpoint is down.
    pub failures_in_a_row_to_open: u32,
    /// The pause before the first probe of an endpoint that went down; each probe that fails doubles it.
    pub probe_pause_min: Duration,
    /// The longest pause between two probes, without jitter.
    pub probe_pause_max: Duration,
    /// How long a delivery is tried for; older than this it is given up when an attempt fails or the endpoint is down.
    pub hold_time: Duration,
    /// How many ends of attempts in a row without an acknowledgement make an endpoint suspect.
    pub suspect_after_failures: u32,
    /// How long an attempt may be under way before it makes its endpoint suspect.
    pub slow_after: Duration,
    /// How many attempts may be under way to a suspect endpoint at a time. Who has as many under way gets none of the
    /// last quarter of [`EngineConfig::in_flight_max`] either, suspect or not.
    pub suspect_in_flight_max: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            retry: RetryPlan::default(),
            in_flight_per_endpoint_max: 32,
            in_flight_max: 512,
            window_max: 10_000,
            page_size: 1_000,
            failures_in_a_row_to_open: 3,
            probe_pause_min: Duration::from_secs(5),
            probe_pause_max: Duration::from_secs(5 * 60),
            hold_time: Duration::from_secs(72 * 3600),
            suspect_after_failures: 3,
            slow_after: Duration::from_secs(2),
            suspect_in_flight_max: 4,
        }
    }
}

/// A pending delivery, as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its place in line, above zero. Lanes go by it, and the engine relies on it: once a number was seen, no lower one
    /// is committed any more; and once that of a replay was, no lower one of a replay.
    pub seq: DeliverySeq,
    /// Where it goes.
    pub endpoint: EndpointId,
    /// The orders that it carries, each once: it stands in the lane of every one.
    pub orders: Box<[OrderId]>,
    /// Attempts made and recorded so far. Numbers the log and nothing else.
    pub attempts: u32,
    /// Those of them that count against the retry plan.
    pub failures: u32,
    /// Not before this moment. Without meaning while nothing was attempted: a delivery is due from its commit on,
    /// and a clock that has stepped back since must not delay it.
    pub due: Timestamp,
    /// When it was committed; the hold time runs from here.
    pub committed_at: Timestamp,
}

/// Whether deliveries go out to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// They do.
    Open,
    /// Nothing is sent and everything waits, however long: an operator disabled the endpoint, or it answered 410.
    Held,
}

/// In which order an endpoint's deliveries go out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ordering {
    /// Those that carry the same order strictly one after the other.
    #[default]
    PerOrder,
    /// None waits for another.
    None,
}

/// What a registration says about how its endpoint is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointSettings {
    /// Whether deliveries go out.
    pub flow: Flow,
    /// In which order.
    pub ordering: Ordering,
    /// How many attempts may be under way at a time; [`EngineConfig::in_flight_per_endpoint_max`] where it is not said.
    pub in_flight_max: Option<usize>,
    /// How many attempts may begin in a second; no limit where it is not said.
    pub rate_per_second_max: Option<u32>,
}

impl Default for EndpointSettings {
    fn default() -> Self {
        EndpointSettings {
            flow: Flow::Open,
            ordering: Ordering::PerOrder,
            in_flight_max: None,
            rate_per_second_max: None,
        }
    }
}

/// What the shell tells the engine. Inputs that speak of the store come in the order of its commits: a hint, a
/// [`Input::HintsLost`] or a [`Input::Reread`] never overtakes another.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// An endpoint exists or has changed. One that was unknown, or gone, is read from the start.
    Endpoint {
        /// Which.
        endpoint: EndpointId,
        /// How it is to be served from now on. Opening one that was held ends the pause of its breaker.
        settings: EndpointSettings,
    },
    /// Forget what waits for this endpoint. Attempts in flight finish and are recorded.
    EndpointGone {
        /// Which.
        endpoint: EndpointId,
    },
    /// New deliveries were committed, here in the order of their numbers. Only a hint: the disk is what counts, and a
    /// hint for an endpoint that is not loaded to its end is merely noted. Of a replay no more is taken from it than
    /// that its endpoint has some.
    Committed(Vec<Waiting>),
    /// Hints were lost here, between the one before this input and the one after it. Every endpoint looks on disk
    /// behind what it has loaded.
    HintsLost,
    /// Forget what waits in memory for this endpoint (not what is in flight or being recorded) and read from the
    /// start. To be given for both the endpoint that lost deliveries and the one that got them, right after the
    /// commit that moved them.
    Reread {
        /// Which.
        endpoint: EndpointId,
    },
    /// The answer to [`Action::ReadPending`]. Each read is answered exactly once, by this or by
    /// [`Input::ReadFailed`], an endpoint's that has gone meanwhile included.
    Page {
        /// The endpoint that was asked for.
        endpoint: EndpointId,
        /// The `after` that was asked for.
        after: DeliverySeq,
        /// Pending deliveries of the endpoint with higher numbers than `after`, lowest first, without a hole.
        deliveries: Vec<Waiting>,
        /// True where no more were pending when the page was read.
        end: bool,
    },
    /// The read came to nothing. It is made again after a second.
    ReadFailed {
        /// The endpoint that was asked for.
        endpoint: EndpointId,
        /// The `after` that was asked for.
        after: DeliverySeq,
    },
    /// An attempt ended. Each [`Action::Send`] is answered exactly once.
    Attempted {
        /// Which delivery.
        seq: DeliverySeq,
        /// How it ended.
        outcome: AttemptOutcome,
        /// The status, where there was an answer.
        status: Option<u16>,
        /// What a `Retry-After` of the answer asked for.
        retry_after: Option<Duration>,
        /// A random number from 0.0 to 1.0, drawn by the shell.
        jitter: f64,
    },
    /// Nothing was sent for an [`Action::Send`], because the store had moved the delivery on meanwhile. Says nothing
    /// about the endpoint. Answers the action in the place of [`Input::Attempted`].
    NotSent {
        /// Which delivery.
        seq: DeliverySeq,
        /// What the store says of it.
        why: NotSent,
    },
    /// The verdict of [`Action::Record`] or [`Action::GiveUp`] is on disk.
    Recorded {
        /// Which delivery.
        seq: DeliverySeq,
    },
    /// Nothing happened but that time went by.
    TimePassed,
    /// The shell is about to stop: nothing more is sent or read; attempts in flight finish and are recorded.
    Stopping,
}

/// Why nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// The delivery belongs to another endpoint by now; the [`Input::Reread`] of both is on its way. It waits again.
    Moved,
    /// It is pending and an operator keeps it back; the [`Input::Reread`] of its endpoint has come or is on its way, and
    /// so is another for when it may go on. It waits again, where none of them has made it be forgotten.
    Withheld,
    /// It is not pending any more. It is forgotten.
    Ended,
}

/// What an ended attempt means for its delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Acknowledged. Final.
    Delivered,
    /// Not acknowledged; to be attempted again.
    RetryAt {
        /// Not before this moment.
        at: Timestamp,
        /// Whether it counts against the retry plan: adds one to [`Waiting::failures`].
        counted: bool,
    },
    /// Not acknowledged, and the retry plan or the hold time is used up. Final.
    Dead,
}

/// What the engine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this delivery. Answered by [`Input::Attempted`].
    Send {
        /// Which delivery.
        seq: DeliverySeq,
        /// Where to.
        endpoint: EndpointId,
        /// The number of this attempt, the first being 1.
        attempt: u32,
    },
    /// Put an attempt's verdict on disk, together with its log row. Answered by [`Input::Recorded`].
    Record {
        /// Which delivery.
        seq: DeliverySeq,
        /// The number of the attempt that ended; also how many were made so far.
        attempt: u32,
        /// What it means.
        verdict: Verdict,
    },
    /// Put on disk that this delivery is dead: it grew older than the hold time while its endpoint was down, and no
    /// attempt has ended that could say so. Answered by [`Input::Recorded`].
    GiveUp {
        /// Which delivery.
        seq: DeliverySeq,
    },
    /// The endpoint answered 410: disable its registrations, and say so with [`Input::Endpoint`] once that is on
    /// disk. Nothing is sent to it meanwhile. Asked once, and again only if it was opened and answers 410 again.
    Disable {
        /// Which.
        endpoint: EndpointId,
    },
    /// Read pending deliveries of an endpoint, lowest number first: replays where `after` is among their numbers, else
    /// those that are none. The read must see every commit that the engine
    /// was told of before it asked. Answered by [`Input::Page`] or [`Input::ReadFailed`].
    ReadPending {
        /// Whose deliveries.
        endpoint: EndpointId,
        /// Only higher numbers than this.
        after: DeliverySeq,
        /// At most so many.
        limit: usize,
    },
}

/// Whether an endpoint is thought to be up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// It is up.
    Closed,
    /// It is down; nothing is sent until then, and then one probe.
    Open {
        /// When the next probe may go. In the past where there is nothing due to probe with.
        until: Timestamp,
    },
    /// It was down; one probe is under way.
    Probing,
    /// It acknowledged the probe; its limit is rising.
    Recovering,
}

/// How one endpoint stands, for pages and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointStats {
    /// Deliveries in memory that wait for their turn or their time.
    pub waiting: usize,
    /// Attempts under way.
    pub in_flight: usize,
    /// Attempts that ended and whose verdict is not on disk yet.
    pub recording: usize,
    /// True while there may be pending deliveries on disk that are not in memory.
    pub more_on_disk: bool,
    /// Orders whose deliveries were left on disk so that newer ones have room in memory.
    pub orders_set_aside: usize,
    /// When the next delivery that waits for nothing but its time falls due.
    pub next_due: Option<Timestamp>,
    /// Whether it is thought to be up.
    pub breaker: BreakerState,
    /// Since when; an outage counts from its beginning, whatever probes there were.
    pub breaker_since: Timestamp,
    /// Attempts that have ended since the last acknowledgement.
    pub failures_in_a_row: u32,
    /// How many attempts may be under way just now.
    pub in_flight_limit: usize,
    /// Whether it is kept from the places that are reserved for healthy endpoints.
    pub suspect: bool,
}
