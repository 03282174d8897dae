//! `GET /orders/stream`: the line of changes as server-sent events, for a kitchen's screen that must not ask every second.
//!
//! An event is a change as sinks are handed it, and its id the change's number. Who comes again with the last id that it saw
//! has missed nothing, as long as what followed is still kept; where it is not, that is said, and the view is to be read anew.
//! Each reader reads the line by itself when it has taken what came before: one that is slow holds nothing up and costs no
//! memory.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::extract::State;
use hookit_contract::{BranchId, BrandId, OrderStatus, StatusCodes};
use hookit_server::routes::{Operation, Routes, get};
use hookit_server::{Checked, Faults, Incoming, Input, LAST_EVENT_ID, Live, LiveEvent, LiveEvents, Params};
use hookit_store::inbox::Change;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::watch;

use crate::Shared;
use crate::read::{failed, ids, statuses};
use crate::sinks::message::line;

/// Changes that are read at a time.
const CHUNK: usize = 100;

pub(crate) fn routes() -> Routes<Arc<Shared>> {
    Routes::new("Orders").route(
        "/orders/stream",
        get(stream).named("streamOrders", "Every renewal of the view as it happens, as server-sent events.").details(
            "An event `change` has the change with its record, and the change's number as its id; of one order an older state \
             never comes after a newer one. It begins with what comes from now on, or behind `after`, or behind \
             `Last-Event-ID`, which counts before `after`. An event `removed` says that what followed was removed for its age: \
             read the view anew, and go on with what comes. An id without an event is only where one would go on.",
        ),
    )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StreamParams {
    /// The number of a change: what follows it.
    #[schemars(range(min = 0))]
    after: Option<i64>,
    /// Only orders that came in an envelope of this brand.
    #[schemars(range(min = 1))]
    brand_id: Option<i64>,
    /// Only orders that came in an envelope of this branch.
    #[schemars(range(min = 1))]
    branch_id: Option<i64>,
    /// Names in any case, or codes, with commas between them: only changes to one of these.
    status: Option<String>,
}

impl Checked<Arc<Shared>> for StreamParams {
    fn check(&self, inbox: &Arc<Shared>, faults: &mut Faults) {
        self.wanted(&inbox.config.codes, faults);
    }
}

impl StreamParams {
    fn wanted(&self, codes: &StatusCodes, faults: &mut Faults) -> Wanted {
        let statuses = statuses(self.status.as_deref(), codes, faults);
        let (brand_id, branch_id) = ids(self.brand_id, self.branch_id, faults);
        Wanted { statuses, brand_id, branch_id }
    }
}

/// The event that its reader saw last.
struct LastEventId(Option<i64>);

impl<S: Sync> Input<S> for LastEventId {
    /// [`Live`] says that it is read.
    fn describe(_: &mut Operation) {}

    async fn take(incoming: &mut Incoming, _: &S) -> Option<Self> {
        let Some(id) = incoming.parts().headers.get(LAST_EVENT_ID) else { return Some(LastEventId(None)) };
        let seen = id.to_str().ok().and_then(|id| id.parse().ok()).filter(|id| *id >= 0);
        let message = "expected the id of an event of this stream";
        incoming.faults().unless(seen.is_some(), "Last-Event-ID", message);
        Some(LastEventId(seen))
    }
}

/// Which changes somebody wants to hear of.
struct Wanted {
    statuses: Vec<OrderStatus>,
    brand_id: Option<BrandId>,
    branch_id: Option<BranchId>,
}

impl Wanted {
    fn has(&self, change: &Change) -> bool {
        (self.brand_id.is_none() || self.brand_id == change.brand_id)
            && (self.branch_id.is_none() || self.branch_id == change.branch_id)
            && (self.statuses.is_empty()
                || change.status.is_some_and(|status| self.statuses.contains(&status)))
    }
}

/// Where a reader is.
struct Reader {
    inbox: Arc<Shared>,
    changed: watch::Receiver<i64>,
    wanted: Wanted,
    /// Everything up to here was told or is not wanted.
    after: i64,
    /// What is read and not told yet.
    next: VecDeque<Change>,
    /// The reader does not know of the place yet, since what led to it is not wanted.
    moved_on: bool,
}

async fn stream(
    State(inbox): State<Arc<Shared>>,
    Params(params): Params<StreamParams>,
    LastEventId(seen): LastEventId,
    live: Live,
) -> LiveEvents {
    // They were checked.
    let wanted = params.wanted(&inbox.config.codes, &mut Faults::default());
    let changed = inbox.store.changed();
    let newest = *changed.borrow();
    // A store that was put back to an older state has not come to this number; what it does from now on is new.
    let after = seen.or(params.after).unwrap_or(newest).min(newest);
    let reader = Reader { inbox, changed, wanted, after, next: VecDeque::new(), moved_on: false };
    live.tell(reader, Reader::next)
}

impl Reader {
    /// The next event; none where the store is closed or failed, so that the reader comes again.
    async fn next(mut self) -> Option<(LiveEvent, Reader)> {
        loop {
            while let Some(change) = self.next.pop_front() {
                self.after = change.change_seq;
                if self.wanted.has(&change) {
                    self.moved_on = false;
                    let text = line(&change, &self.inbox.config.codes);
                    let text = String::from_utf8_lossy(&text);
                    return Some((LiveEvent::json("change", &text).with_id(change.change_seq), self));
                }
                self.moved_on = true;
            }
            let read = self.inbox.store.changes(self.after, CHUNK).await;
            let read = read
                .map_err(|error| tracing::warn!(error = %failed(error).message(), "a stream ends"))
                .ok()?;
            if read.removed_to > self.after {
                self.after = read.removed_to;
                let text = format!("{{\"removed_to\":{}}}", read.removed_to);
                return Some((LiveEvent::json("removed", &text).with_id(read.removed_to), self));
            }
            self.next = read.changes.into();
            if !self.next.is_empty() {
                continue;
            }
            if std::mem::take(&mut self.moved_on) {
                return Some((LiveEvent::place(self.after), self));
            }
            // Until something was committed behind what was read.
            let after = self.after;
            self.changed.wait_for(|newest| *newest > after).await.ok()?;
        }
    }
}
