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
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            retry: RetryPlan::default(),
            in_flight_per_endpoint_max: 32,
            in_flight_max: 512,
            window_max: 10_000,
            page_size: 1_000,
        }
    }
}

/// A pending delivery, as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its place in the order of commits, above zero. Lanes go by it, and the engine relies on it: once a number was
    /// seen, no lower one is committed any more.
    pub seq: DeliverySeq,
    /// Where it goes.
    pub endpoint: EndpointId,
    /// The orders that it carries, each once: it stands in the lane of every one.
    pub orders: Box<[OrderId]>,
    /// Attempts made and recorded so far.
    pub attempts: u32,
    /// Not before this moment.
    pub due: Timestamp,
}

/// Whether deliveries go out to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// They do.
    Open,
    /// Nothing is sent and everything waits: an operator disabled the endpoint.
    Held,
}

/// What the shell tells the engine. Inputs that speak of the store come in the order of its commits: a hint, a
/// [`Input::HintsLost`] or a [`Input::Reread`] never overtakes another.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// An endpoint exists or has changed. One that was unknown, or gone, is read from the start.
    Endpoint {
        /// Which.
        endpoint: EndpointId,
        /// Whether deliveries go out to it.
        flow: Flow,
    },
    /// Forget what waits for this endpoint. Attempts in flight finish and are recorded.
    EndpointGone {
        /// Which.
        endpoint: EndpointId,
    },
    /// New deliveries were committed, here in the order of their numbers. Only a hint: the disk is what counts, and a
    /// hint for an endpoint that is not loaded to its end is merely noted.
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
    /// The verdict of [`Action::Record`] is on disk.
    Recorded {
        /// Which delivery.
        seq: DeliverySeq,
    },
    /// Nothing happened but that time went by.
    TimePassed,
    /// The shell is about to stop: nothing more is sent or read; attempts in flight finish and are recorded.
    Stopping,
}

/// What an ended attempt means for its delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Acknowledged. Final.
    Delivered,
    /// Not acknowledged; to be attempted again, not before this moment.
    RetryAt(Timestamp),
    /// Not acknowledged, and the retry plan is used up. Final.
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
    /// Read pending deliveries of an endpoint, lowest number first. The read must see every commit that the engine
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
    /// When the next delivery that waits for nothing but its time falls due.
    pub next_due: Option<Timestamp>,
}
