//! What changes for a judge who stands outside of a real process: times are those of logs and of receivers, some
//! requests are seen by nobody, and how some ended nobody can know. Where that leaves two readings open, both are right;
//! nothing else is excused.

use super::event::End;
use super::health::Free;
use super::{Auditor, Ended, Rules};

/// How far off the times may be that the auditor is shown. All zero where it is shown each thing as it happens.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Blur {
    /// How much sooner than shown a decision may have been made, and how near two ends at an endpoint may be to have
    /// been heard of in the other order.
    pub(super) order_ms: i64,
    /// How long after its end an attempt may have been judged.
    pub(super) judged_ms: i64,
}

impl Auditor {
    /// An auditor who is told of everything afterwards, from what a process has left behind.
    pub fn from_outside(rules: Rules, wall_ms: i64, order_ms: i64, judged_ms: i64) -> Self {
        Auditor { blur: Blur { order_ms, judged_ms }, ..Auditor::new(rules, wall_ms) }
    }

    /// A request of which only the log tells: its lanes and limits are judged, its bytes cannot be.
    pub(super) fn dialled(&mut self, endpoint: i64, id: &str) {
        self.counts.requests += 1;
        match self.by_id.get(id) {
            Some(&seq) => self.goes(0, seq, endpoint),
            None => self.broken("G3", format!("{id} was dialled for and never committed")),
        }
    }

    /// A request that no log tells of: cut off, as far as can be seen. Its place is taken to be free again.
    pub(super) fn unheard(&mut self, id: &str) {
        let at = self.now;
        let under_way = self.under_way_as(None, id);
        let Some(open) = under_way.and_then(|number| self.open.get_mut(&number)) else { return };
        self.health.entry(open.dialled.unwrap_or_default()).or_default().may_have_changed(at);
        open.ended = Some(Ended { at, end: End::Failed("unheard"), free: Free::May });
    }
}
