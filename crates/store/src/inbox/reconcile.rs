//! What reconciling leaves behind: where to go on, which runs there were, and which orders they healed.

use hookit_contract::{DeliveryId, OrderId, RecordState, Timestamp};

use super::Received;

/// Runs that are kept, the newest.
pub const RUNS_KEPT: i64 = 1_000;

/// Healed orders that are kept, the newest.
pub const HEALED_KEPT: i64 = 10_000;

/// What the view has of an order, without the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The order.
    pub order_id: OrderId,
    /// How new it is.
    pub state: RecordState,
    /// The delivery that brought it.
    pub delivery_id: DeliveryId,
    /// When that came.
    pub received_at: Timestamp,
}

/// Where reconciling goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReconcileMark {
    /// The other side's cursor behind the events that were looked at; none before the first, or where it has no events.
    pub cursor: Option<String>,
    /// When all orders that may still move were last looked through.
    pub deep_at: Option<Timestamp>,
}

/// Why a run was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunCause {
    /// The inbox was started; it may have been down.
    Start,
    /// The last one was long enough ago.
    Interval,
    /// An order's version jumped.
    VersionJump,
    /// Something came that could not be read.
    Quarantine,
    /// Nothing came for a while.
    Quiet,
    /// A person asked for it.
    Asked,
}

impl RunCause {
    /// All causes.
    pub const ALL: [RunCause; 6] = [
        RunCause::Start,
        RunCause::Interval,
        RunCause::VersionJump,
        RunCause::Quarantine,
        RunCause::Quiet,
        RunCause::Asked,
    ];

    /// The word for it, in the table, the API and the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            RunCause::Start => "start",
            RunCause::Interval => "interval",
            RunCause::VersionJump => "version_jump",
            RunCause::Quarantine => "quarantine",
            RunCause::Quiet => "quiet",
            RunCause::Asked => "asked",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<RunCause> {
        RunCause::ALL.into_iter().find(|cause| cause.as_str() == word)
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// Everything that was to be looked at was.
    Done,
    /// The other side did not let it finish.
    Failed,
    /// The inbox was stopped, or broke down, meanwhile.
    BrokenOff,
}

impl RunEnd {
    /// All ends.
    pub const ALL: [RunEnd; 3] = [RunEnd::Done, RunEnd::Failed, RunEnd::BrokenOff];

    /// The word for it, in the table, the API and the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            RunEnd::Done => "done",
            RunEnd::Failed => "failed",
            RunEnd::BrokenOff => "broken_off",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<RunEnd> {
        RunEnd::ALL.into_iter().find(|end| end.as_str() == word)
    }
}

/// Why an order's state was missing in the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealReason {
    /// Nothing of the order was seen: it never came, or was refused and is not remembered.
    NotSeen,
    /// Something of it came and was refused, as far as what is refused can be believed.
    WasRefused,
    /// Something of it came, and what came after that did not.
    OlderHeld,
    /// Something of it came that could not be read.
    Quarantined,
}

impl HealReason {
    /// All reasons.
    pub const ALL: [HealReason; 4] =
        [HealReason::NotSeen, HealReason::WasRefused, HealReason::OlderHeld, HealReason::Quarantined];

    /// The word for it, in the table, the API and the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            HealReason::NotSeen => "not_seen",
            HealReason::WasRefused => "was_refused",
            HealReason::OlderHeld => "older_held",
            HealReason::Quarantined => "quarantined",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<HealReason> {
        HealReason::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// An order that was healed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealedOrder {
    /// The order.
    pub order_id: OrderId,
    /// Why its state was missing.
    pub reason: HealReason,
    /// The version that the view had.
    pub version_held: Option<i64>,
    /// The version that it was given.
    pub version: Option<i64>,
    /// The reconciled record, as a delivery.
    pub delivery_id: DeliveryId,
    /// When.
    pub healed_at: Timestamp,
}

/// What a run has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunCounts {
    /// Requests that were answered.
    pub requests: u64,
    /// States of orders that were compared with the view.
    pub compared: u64,
    /// Orders healed of which nothing had been seen.
    pub not_seen: u64,
    /// Orders healed of which something had come and was refused.
    pub was_refused: u64,
    /// Orders healed of which an older state was held.
    pub older_held: u64,
    /// Orders healed of which something lies in quarantine.
    pub quarantined: u64,
}

impl RunCounts {
    /// Orders healed.
    pub fn healed(&self) -> u64 {
        self.not_seen + self.was_refused + self.older_held + self.quarantined
    }

    /// Counts a healed order.
    pub fn count(&mut self, reason: HealReason) {
        match reason {
            HealReason::NotSeen => self.not_seen += 1,
            HealReason::WasRefused => self.was_refused += 1,
            HealReason::OlderHeld => self.older_held += 1,
            HealReason::Quarantined => self.quarantined += 1,
        }
    }
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconcileRun {
    /// Its number.
    pub run_id: i64,
    /// Why it was made.
    pub cause: RunCause,
    /// When it began.
    pub started_at: Timestamp,
    /// When and how it ended; none while it goes on.
    pub ended: Option<(Timestamp, RunEnd)>,
    /// What it did.
    pub counts: RunCounts,
    /// What kept it from finishing, in words.
    pub problem: Option<String>,
}

/// What a run has come to, beside what it healed.
#[derive(Clone, Debug)]
pub struct ReconcileStep {
    /// The run.
    pub run_id: i64,
    /// Requests that were answered by now.
    pub requests: u64,
    /// States that were compared by now.
    pub compared: u64,
    /// Where to go on from now on.
    pub mark: ReconcileMark,
    /// When and how it ended, and why where it is not [`RunEnd::Done`].
    pub ended: Option<(Timestamp, RunEnd, Option<String>)>,
}

/// A state that the view lacks.
#[derive(Clone, Debug)]
pub struct Heal {
    /// The order.
    pub order_id: OrderId,
    /// The delivery that brought what the view had when the two were compared; none where it had nothing. Where the view
    /// has something else by now, it is left as it is.
    pub held: Option<DeliveryId>,
    /// Whether something of the order was refused since then. The store does not know of refusals.
    pub was_refused: bool,
    /// The state, as an envelope with this order alone.
    pub received: Received,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealOutcome {
    /// The view has it now, and the run counts it.
    Healed(HealReason),
    /// The view had it, or a newer state, or once had it.
    Held,
    /// The view was renewed after the comparison. Nothing was done.
    MovedOn,
}
