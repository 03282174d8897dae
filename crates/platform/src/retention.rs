//! Has the store remove what is older than it is to be kept, in steps that leave room for others between them.
//!
//! A pass that is cut short by a stop is begun anew at the next start. What this must not do: decide what refers to what.

use std::sync::Arc;
use std::time::Duration;

use hookit_contract::Timestamp;
use hookit_server::Tasks;
use hookit_store::platform::Expiry;

use crate::Shared;
use crate::dispatcher::STORE_PAUSE;

/// From the end of a pass to the next one.
const PASS_PAUSE: Duration = Duration::from_secs(3600);

/// Between two steps, so that whoever waits for the writer goes first.
const STEP_PAUSE: Duration = Duration::from_millis(10);

/// Starts the work as a task.
pub(crate) fn start(shared: Arc<Shared>, retention: Duration, tasks: &Tasks) {
    let stop = tasks.stop_signal().clone();
    tasks.spawn("retention", async move {
        let mut place = Some(Expiry::default());
        loop {
            let before = older_than(shared.clock.now(), retention);
            let pause = match shared.store.expire(before, place.unwrap_or_default()).await {
                Ok(next) => {
                    place = next;
                    if next.is_some() { STEP_PAUSE } else { PASS_PAUSE }
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "what is old could not be removed; trying again");
                    STORE_PAUSE
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    });
}

fn older_than(now: Timestamp, retention: Duration) -> Timestamp {
    let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(retention))
}
