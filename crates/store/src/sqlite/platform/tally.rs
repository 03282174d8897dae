//! Counting, beside the rows: how many deliveries wait where, how many have ended how.
//!
//! A delivery comes in line, moves, and ends by the words below and no others, so that the total of what is pending and
//! the parts of the endpoints cannot come apart.

use std::collections::BTreeMap;

use hookit_contract::{AttemptOutcome, DeliveryState, EndpointId, Timestamp};
use rusqlite::Connection;

use super::book::Tick;
use crate::Error;
use crate::platform::{Activity, Counts};
use crate::sqlite::{count, failed};

/// The figures that change with commits, as of the last one.
#[derive(Clone, Debug, Default)]
pub(super) struct Tallied {
    pub(super) counts: Counts,
    pub(super) pending_at: BTreeMap<EndpointId, u64>,
    pub(super) activity: Activity,
}

/// What a tick does to the endpoints' parts.
pub(super) type Moved = BTreeMap<EndpointId, i64>;

/// What is pending, of each endpoint that has any. Read once, when the store is opened: it walks through the backlog's
/// index.
pub(super) const PENDING_AT: &str =
    "SELECT endpoint_id, count(*) FROM deliveries WHERE state = 'pending' GROUP BY endpoint_id";

/// The first in line of each endpoint, among what is fresh and among replays. What is fresh is
/// looked for past the replays that were committed before it, which are few.
pub(super) const FIRST_IN_LINE: &str = "SELECT e.endpoint_id,
         (SELECT d.created_at FROM deliveries d
          WHERE d.endpoint_id = e.endpoint_id AND d.state = 'pending' AND d.replay_no IS NULL
          ORDER BY d.delivery_seq LIMIT 1),
         (SELECT d.replayed_at FROM deliveries d
          WHERE d.endpoint_id = e.endpoint_id AND d.state = 'pending' AND d.replay_no IS NOT NULL
          ORDER BY d.replay_no LIMIT 1)
     FROM endpoints e ORDER BY e.endpoint_id";

pub(super) fn pending_at(db: &Connection) -> Result<BTreeMap<EndpointId, u64>, Error> {
    let counted: Vec<(i64, i64)> = db
        .prepare_cached(PENDING_AT)
        .and_then(|mut s| s.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
        .map_err(failed("counting what is pending"))?;
    counted
        .into_iter()
        .map(|(endpoint, pending)| {
            Ok((EndpointId(endpoint), count(pending, "the number of pending deliveries")?))
        })
        .collect()
}

pub(super) fn oldest_pending(db: &Connection) -> Result<Vec<(EndpointId, Timestamp)>, Error> {
    db.prepare_cached(FIRST_IN_LINE)
        .and_then(|mut s| {
            let rows = s.query_map([], |row| {
                let since: [Option<i64>; 2] = [row.get(1)?, row.get(2)?];
                Ok((EndpointId(row.get(0)?), since.into_iter().flatten().min()))
            })?;
            let known = rows.map(|row| {
                row.map(|(endpoint, since)| since.map(|at| (endpoint, Timestamp::from_millis(at))))
            });
            known.filter_map(Result::transpose).collect()
        })
        .map_err(failed("looking for what has waited longest"))
}

impl Tallied {
    /// Takes in what a tick did, which is on disk now.
    pub(super) fn committed(&mut self, counts: Counts, moved: &Moved, activity: Activity) {
        self.counts = counts;
        self.activity = activity;
        for (endpoint, by) in moved {
            let pending = self.pending_at.entry(*endpoint).or_default();
            *pending = pending.saturating_add_signed(*by);
            if *pending == 0 {
                self.pending_at.remove(endpoint);
            }
        }
    }
}

impl Tick {
    /// A delivery was formed, and waits at this endpoint.
    pub(super) fn formed(&mut self, endpoint: EndpointId) {
        self.activity.formed += 1;
        self.counts.pending += 1;
        self.moved(endpoint, 1);
    }

    /// A delivery waits at this endpoint because of a replay: one that had ended so, or one that is new.
    pub(super) fn replayed(&mut self, endpoint: EndpointId, had_ended: Option<DeliveryState>) {
        if let Some(state) = had_ended {
            *self.counts.state_mut(state) -= 1;
        }
        self.activity.replayed += 1;
        self.counts.pending += 1;
        self.moved(endpoint, 1);
    }

    /// A delivery that was pending at this endpoint has ended so.
    pub(super) fn ended(&mut self, endpoint: EndpointId, how: DeliveryState) {
        self.activity.count_end(how);
        self.counts.pending -= 1;
        *self.counts.state_mut(how) += 1;
        self.moved(endpoint, -1);
    }

    /// A delivery that had ended has come to another end.
    pub(super) fn ended_anew(&mut self, before: DeliveryState, how: DeliveryState) {
        self.activity.count_end(how);
        *self.counts.state_mut(before) -= 1;
        *self.counts.state_mut(how) += 1;
    }

    /// An attempt was written.
    pub(super) fn attempted(&mut self, outcome: AttemptOutcome) {
        self.activity.count_attempt(outcome);
        self.counts.attempts += 1;
    }

    /// So many deliveries wait at another endpoint.
    pub(super) fn went(&mut self, from: EndpointId, to: EndpointId, deliveries: usize) {
        let deliveries = i64::try_from(deliveries).unwrap_or(i64::MAX);
        self.moved(from, -deliveries);
        self.moved(to, deliveries);
    }

    fn moved(&mut self, endpoint: EndpointId, by: i64) {
        *self.moved.entry(endpoint).or_default() += by;
    }
}
