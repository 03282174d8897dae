//! Has the store remove what is older than it is to be kept, in steps that leave room for deliveries between them.
//!
//! A pass that is cut short by a stop is begun anew at the next start. What this must not do: decide what may go.

use std::sync::Arc;
use std::time::Duration;

use hookit_contract::Timestamp;
use hookit_server::Tasks;
use hookit_store::inbox::Expiry;

use crate::Shared;

/// How long deliveries with their bytes, ids and history, and changes, are kept. Our platform keeps a delivery for 30 days after
/// it ended, and can send it again as long: an id is known for longer than any sender is likely to repeat it.
pub const RETENTION: Duration = Duration::from_secs(90 * 86_400);

/// From the end of a pass to the next one.
const PASS_PAUSE: Duration = Duration::from_secs(3600);

/// Between two steps, so that deliveries go first.
const STEP_PAUSE: Duration = Duration::from_millis(10);

/// After a step that failed.
const FAILED_PAUSE: Duration = Duration::from_secs(5);

pub(crate) fn start(shared: Arc<Shared>, tasks: &Tasks) {
    let stop = tasks.stop_signal().clone();
    tasks.spawn("retention", async move {
        let mut place = Expiry::default();
        loop {
            let before = older_than(shared.clock.now(), shared.config.retention);
            let pause = match shared.store.expire(before, place).await {
                Ok(next) => {
                    place = next.unwrap_or_default();
                    if next.is_some() { STEP_PAUSE } else { PASS_PAUSE }
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "what is old could not be removed; trying again");
                    FAILED_PAUSE
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

fn older_than(now: Timestamp, kept_for: Duration) -> Timestamp {
    let kept_for = i64::try_from(kept_for.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(kept_for))
}
