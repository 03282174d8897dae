//! The figures of the past, in stretches of time, for charts.

use std::time::Duration;

use hookit_contract::{EndpointId, Timestamp};

/// How long the stretches are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Span {
    /// A minute. Kept of all endpoints together.
    Minute,
    /// A quarter of an hour. Kept of all together, and of each endpoint.
    Quarter,
}

impl Span {
    /// How long it is.
    pub const fn duration(self) -> Duration {
        match self {
            Span::Minute => Duration::from_secs(60),
            Span::Quarter => Duration::from_secs(900),
        }
    }

    /// The beginning of the stretch that a moment is in.
    pub fn beginning(self, at: Timestamp) -> Timestamp {
        let span = self.duration().as_millis() as i64;
        Timestamp::from_millis(at.as_millis().div_euclid(span) * span)
    }
}

/// How long minutes, and the quarters of single endpoints, are kept: a day, and what a chart of it begins with.
pub const PAST_DAY_KEPT: Duration = Duration::from_secs(25 * 3600);

/// How long the quarters of all endpoints together are kept: a week, and what a chart of it begins with.
pub const PAST_WEEK_KEPT: Duration = Duration::from_secs(8 * 86_400);

/// What was done in a stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastFigures {
    /// At which endpoint; none for all together.
    pub endpoint_id: Option<EndpointId>,
    /// How long it is.
    pub span: Span,
    /// When it began.
    pub began_at: Timestamp,
    /// Changes of orders; of a single endpoint none.
    pub events: u64,
    /// Deliveries that were acknowledged.
    pub delivered: u64,
    /// Attempts that ended.
    pub attempts: u64,
    /// Those of them that were acknowledged.
    pub acknowledged: u64,
    /// Deliveries that were given up; of a single endpoint none.
    pub dead: u64,
    /// Deliveries that were pending at its end.
    pub pending: u64,
    /// How long things took, where any were measured: of all together from the commit to the acknowledgement, of a single
    /// endpoint the attempts.
    pub times: Option<PastTimes>,
}

/// How long things took, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastTimes {
    /// Half of them no longer.
    pub p50_us: u64,
    /// 95 of 100 no longer.
    pub p95_us: u64,
    /// 99 of 100 no longer.
    pub p99_us: u64,
}

/// Which figures of the past.
#[derive(Clone, Copy, Debug)]
pub struct PastQuery {
    /// Of this endpoint; of all together where none is named.
    pub endpoint_id: Option<EndpointId>,
    /// In stretches of this length.
    pub span: Span,
    /// That began at this moment or later.
    pub since: Timestamp,
}
