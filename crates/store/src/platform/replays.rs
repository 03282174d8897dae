//! Replays: durable jobs that send many deliveries again.

use hookit_contract::{DeliveryState, EndpointId, EventType, OrderId, ReplayId, Timestamp, WebhookId};

/// Replays at most that have not ended: beyond it another has to wait for one of them.
pub const OPEN_REPLAYS_MAX: usize = 100;

/// What a replay sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplayKind {
    /// Deliveries that have ended, again, with their ids and bytes.
    SameIds,
    /// The records of deliveries that have ended, as new deliveries: for a partner that acknowledged and then lost.
    NewIds,
    /// What a registration missed: events that nothing was sent to it about, because it came later or went elsewhere at the
    /// time, and those whose deliveries were given up or taken back.
    Missed,
}

impl ReplayKind {
    /// All kinds.
    pub const ALL: [ReplayKind; 3] = [ReplayKind::SameIds, ReplayKind::NewIds, ReplayKind::Missed];

    /// The word for it, in the store and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            ReplayKind::SameIds => "same_ids",
            ReplayKind::NewIds => "new_ids",
            ReplayKind::Missed => "missed",
        }
    }
}

impl std::str::FromStr for ReplayKind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        ReplayKind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(())
    }
}

/// Which deliveries a replay is about, or, for [`ReplayKind::Missed`], which events. Conditions combine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayFilter {
    /// Only those that went to this endpoint.
    pub endpoint_id: Option<EndpointId>,
    /// Only those of this registration. What is missed is always a registration's.
    pub webhook_id: Option<WebhookId>,
    /// Only those that carry this order.
    pub order_id: Option<OrderId>,
    /// Only of this event type.
    pub event_type: Option<EventType>,
    /// Only in this state. What is pending is never replayed.
    pub state: Option<DeliveryState>,
    /// Committed at or after.
    pub since: Option<Timestamp>,
    /// Committed before.
    pub until: Option<Timestamp>,
}

/// What an operator wants to be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayRequest {
    /// What is sent.
    pub kind: ReplayKind,
    /// True where everything is sent, state by state; false for each order's newest record, once. Deliveries that keep
    /// their ids are what they are: for [`ReplayKind::SameIds`] it is true.
    pub history: bool,
    /// Of which deliveries or events. For [`ReplayKind::Missed`] it names a registration, and neither endpoint, event
    /// type nor state.
    pub filter: ReplayFilter,
}

/// Where a replay stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplayState {
    /// Deliveries are being put in line or sent.
    Running,
    /// An operator wants nothing of it to be sent for now.
    Paused,
    /// An operator took it back. What of it was not sent is not sent.
    Cancelled,
    /// All of its deliveries have ended.
    Done,
}

impl ReplayState {
    /// All states.
    pub const ALL: [ReplayState; 4] =
        [ReplayState::Running, ReplayState::Paused, ReplayState::Cancelled, ReplayState::Done];

    /// The word for it, in the store and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            ReplayState::Running => "running",
            ReplayState::Paused => "paused",
            ReplayState::Cancelled => "cancelled",
            ReplayState::Done => "done",
        }
    }

    /// True where nothing follows.
    pub const fn has_ended(self) -> bool {
        matches!(self, ReplayState::Cancelled | ReplayState::Done)
    }
}

impl std::str::FromStr for ReplayState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        ReplayState::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// A replay as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Its id.
    pub replay_id: ReplayId,
    /// What was asked for.
    pub request: ReplayRequest,
    /// Where it stands.
    pub state: ReplayState,
    /// Up to which delivery or event it has looked.
    pub looked_to: i64,
    /// Up to which one it will look: the last one when it was asked for.
    pub looks_to: i64,
    /// Deliveries that were put in line so far.
    pub queued: u64,
    /// Those of them that were acknowledged.
    pub delivered: u64,
    /// Those that were given up.
    pub dead: u64,
    /// Those that were taken back.
    pub cancelled: u64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it ended, where it has.
    pub finished_at: Option<Timestamp>,
}

impl Replay {
    /// How much of what there was when it was asked for has been looked through, from 0 to 1.
    pub fn progress(&self) -> f64 {
        if self.looks_to == 0 { 1.0 } else { self.looked_to as f64 / self.looks_to as f64 }
    }

    /// Deliveries of it that are in line.
    pub fn pending(&self) -> u64 {
        self.queued.saturating_sub(self.delivered + self.dead + self.cancelled)
    }
}

/// What became of a wish for a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartReplay {
    /// It runs.
    Started(Replay),
    /// The registration that its filter names does not exist.
    NoSuchWebhook,
    /// The endpoint that its filter names does not exist.
    NoSuchEndpoint,
    /// [`OPEN_REPLAYS_MAX`] replays have not ended.
    TooMany,
}

/// What became of the wish to know how many deliveries a replay would send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountReplay {
    /// A part of them was counted.
    Part(ReplayCount),
    /// The registration that its filter names does not exist.
    NoSuchWebhook,
    /// The endpoint that its filter names does not exist.
    NoSuchEndpoint,
}

/// A part of the answer to: how many deliveries would a replay send?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayCount {
    /// So many in this part.
    pub deliveries: u64,
    /// Where the next part begins; none where this was the last one.
    pub next: Option<i64>,
}

/// What a step of the replays has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayStep {
    /// Something was done; there may be more to do.
    Made,
    /// Nothing could be done: as many of each replay's deliveries are in line as may be. Some time later there will be room.
    Waiting,
    /// Nothing is to be done until another replay is begun, resumed or cancelled.
    Idle,
}

/// An operator's word to a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SteerReplay {
    /// Send nothing of it until it is resumed. What is under way ends.
    Pause,
    /// Go on.
    Resume,
    /// Take back what of it was not sent.
    Cancel,
}

/// What became of an operator's word to a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SteeredReplay {
    /// It stands as asked now.
    Done(Replay),
    /// It stood so already.
    Unchanged(Replay),
    /// It has ended, so there is nothing to steer.
    Ended(ReplayState),
    /// There is no such replay.
    NoSuchReplay,
}
