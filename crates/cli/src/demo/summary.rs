//! What a run of the demo ends with: figures, and the proof.

use std::io::Write as _;

use serde::Serialize;

use crate::demo::Snapshot;
use crate::diff::Comparison;

#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// For scripts.
    Json,
}

/// The figures of a run. Those of deliveries and attempts are of the whole data folder, earlier runs included.
#[derive(Serialize)]
pub(super) struct Summary {
    seconds: f64,
    orders: u64,
    edited: u64,
    cancelled: u64,
    voided: u64,
    changes: u64,
    deliveries: u64,
    delivered: u64,
    pending: u64,
    dead: u64,
    attempts: u64,
    received: u64,
    duplicates: u64,
    quarantined: u64,
    refused: u64,
    commit_to_acknowledgement_p50_us: u64,
    commit_to_acknowledgement_p99_us: u64,
    views: Comparison,
}

impl Summary {
    pub(super) fn of(snapshot: &Snapshot, views: Comparison) -> Self {
        let Snapshot { elapsed, status, inbox, traffic, .. } = snapshot;
        Summary {
            seconds: elapsed.as_secs_f64(),
            orders: traffic.created,
            edited: traffic.edits,
            cancelled: traffic.cancelled,
            voided: traffic.voided,
            changes: traffic.changes(),
            deliveries: status.pending + status.delivered + status.dead + status.cancelled,
            delivered: status.delivered,
            pending: status.pending,
            dead: status.dead,
            attempts: status.attempts,
            received: inbox.received,
            duplicates: inbox.duplicates,
            quarantined: inbox.quarantined,
            refused: inbox.refused,
            commit_to_acknowledgement_p50_us: status.latency.p50_us,
            commit_to_acknowledgement_p99_us: status.latency.p99_us,
            views,
        }
    }

    /// True where there was something to deliver, all of it was, and both views are equal.
    pub(super) fn is_proof(&self) -> bool {
        self.orders > 0
            && self.views.equal >= self.orders
            && self.views.is_equal()
            && self.pending == 0
            && self.dead == 0
    }

    fn table(&self) -> String {
        let ms = |us: u64| format!("{:.1} ms", us as f64 / 1e3);
        let verdict = if self.is_proof() {
            format!("equal: all {} orders, byte for byte", self.views.equal)
        } else if self.orders == 0 {
            "nothing to compare: no order was posted".to_owned()
        } else {
            format!("NOT EQUAL\n{}", self.views.table())
        };
        format!(
            "\norders       {} in {:.1} s; {} cart edits, {} cancelled, {} voided\n\
             changes      {}\n\
             deliveries   {}: {} delivered, {} pending, {} dead\n\
             attempts     {}\n\
             inbox        {} received, {} duplicates, {} quarantined, {} refused\n\
             latency      p50 {}, p99 {} from commit to acknowledgement\n\
             views        {verdict}\n",
            self.orders,
            self.seconds,
            self.edited,
            self.cancelled,
            self.voided,
            self.changes,
            self.deliveries,
            self.delivered,
            self.pending,
            self.dead,
            self.attempts,
            self.received,
            self.duplicates,
            self.quarantined,
            self.refused,
            ms(self.commit_to_acknowledgement_p50_us),
            ms(self.commit_to_acknowledgement_p99_us),
        )
    }

    pub(super) fn print(&self, output: Output) -> anyhow::Result<()> {
        let text = match output {
            Output::Table => self.table(),
            Output::Json => format!("{}\n", serde_json::to_string(self)?),
        };
        Ok(std::io::stdout().write_all(text.as_bytes())?)
    }
}
