//! Attempts at deliveries, and what follows from them.

use std::time::Duration;

use bytes::Bytes;
use hookit_contract::{AttemptOutcome, DeliveryId, DeliverySeq, Timestamp};

/// Attempts that are read with a delivery: each may have 16 KiB of an answer, and a delivery that waits for an endpoint that is down
/// has as many as there were probes.
pub const ATTEMPTS_SHOWN_MAX: u32 = 100;

/// One attempt, as it is written into `webhook_logs`, and what follows from it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The delivery, by the place in line that it went out from.
    pub seq: DeliverySeq,
    /// The delivery's id, by which it is found where it stands in another place by now; none where the attempt ended
    /// before that was read.
    pub delivery_id: Option<DeliveryId>,
    /// 1 for the first. It is logged under the next number that is free where an attempt that was under way at a replay
    /// has taken this one.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took in all.
    pub duration: Duration,
    /// How long its phases took.
    pub phases: Phases,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// The HTTP status, exactly where the outcome has one.
    pub status: Option<u16>,
    /// The address that was dialled.
    pub address: Option<String>,
    /// The beginning of the answer's body.
    pub answer: Bytes,
    /// The transport's own words, for a failure.
    pub error: Option<String>,
    /// What follows.
    pub verdict: Verdict,
}

impl Attempt {
    /// When the next one was to be, where one was.
    pub fn next_attempt_at(&self) -> Option<Timestamp> {
        match self.verdict {
            Verdict::RetryAt { at, .. } => Some(at),
            Verdict::Delivered | Verdict::Dead => None,
        }
    }
}

/// How long the phases of an attempt took; none for one that did not come to its end, or was not needed: a connection
/// that is kept is resolved, made and secured once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Looking the name up.
    pub resolve: Option<Duration>,
    /// Connecting.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// From handing over the request to the first byte of the answer.
    pub first_byte: Option<Duration>,
}

/// What follows from an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The delivery is delivered.
    Delivered,
    /// It is tried again.
    RetryAt {
        /// Not before this moment.
        at: Timestamp,
        /// Whether this attempt counts against the retry plan.
        counted: bool,
    },
    /// It is given up.
    Dead,
}
