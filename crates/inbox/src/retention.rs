//! Has the store remove what is older than it is to be kept, and pack the bodies that nobody is likely to look at, both in steps
//! that leave room for deliveries between them.
//!
//! A pass that is cut short by a stop is begun anew at the next start. What this must not do: decide what may go, or be packed.

use std::sync::Arc;
use std::time::Duration;

use hookit_contract::Timestamp;
use hookit_server::Tasks;
use hookit_store::Error;
use hookit_store::inbox::Expiry;
use tokio_util::sync::CancellationToken;

use crate::Shared;

/// How long deliveries with their bytes, ids and history, and changes, are kept. Our platform keeps a delivery for 30 days after
/// it ended, and can send it again as long: an id is known for longer than any sender is likely to repeat it.
pub const RETENTION: Duration = Duration::from_secs(90 * 86_400);

/// For how long nothing has come of an order before the bodies of its earlier states are packed. By then most orders are over, and
/// sinks and readers have had them.
pub const PACK_AFTER: Duration = Duration::from_secs(86_400);

/// From the end of a pass over what is old to the next one.
const PASS_PAUSE: Duration = Duration::from_secs(3600);

/// From the moment at which everything is packed to the next look.
const PACKED_PAUSE: Duration = Duration::from_secs(60);

/// Between two steps, so that deliveries go first.
const STEP_PAUSE: Duration = Duration::from_millis(10);

/// After a step that failed.
const FAILED_PAUSE: Duration = Duration::from_secs(5);

pub(crate) fn start(shared: Arc<Shared>, tasks: &Tasks) {
    let stop = tasks.stop_signal();
    tasks.spawn("retention", remove(shared.clone(), stop.clone()));
    if let Some(pack_after) = shared.config.pack_after {
        tasks.spawn("packing", pack(shared, pack_after, stop.clone()));
    }
}

async fn remove(shared: Arc<Shared>, stop: CancellationToken) {
    let mut place = Expiry::default();
    loop {
        let before = earlier(shared.clock.now(), shared.config.retention);
        let step = shared.store.expire(before, place).await.map(|next| {
            place = next.unwrap_or_default();
            next.is_some()
        });
        let pause = pause(step, PASS_PAUSE, "what is old could not be removed; trying again");
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

async fn pack(shared: Arc<Shared>, pack_after: Duration, stop: CancellationToken) {
    loop {
        let step = shared.store.pack(earlier(shared.clock.now(), pack_after)).await;
        let pause = pause(step, PACKED_PAUSE, "bodies could not be packed; trying again");
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// How long to wait after a step that says whether there is more to do.
fn pause(step: Result<bool, Error>, when_done: Duration, failed: &'static str) -> Duration {
    match step {
        Ok(true) => STEP_PAUSE,
        Ok(false) => when_done,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "{failed}");
            FAILED_PAUSE
        }
    }
}

fn earlier(now: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(by))
}
