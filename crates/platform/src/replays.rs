//! Does the work of replays: step after step, as long as the store has something to do, and then not until it is told.
//!
//! A step is the store's own business and durable when it answers, so a crash between two of them loses nothing: at its
//! start this task finds in the store whatever is unfinished. What this must not do: choose what is replayed.

use std::sync::Arc;
use std::time::Duration;

use hookit_server::Tasks;
use hookit_store::platform::ReplayStep;

use crate::Shared;
use crate::dispatcher::STORE_PAUSE;

/// How soon the store is asked again after it had no room for more of a replay in line.
const ROOM_PAUSE: Duration = Duration::from_secs(1);

/// Starts the work as a task.
pub(crate) fn start(shared: Arc<Shared>, tasks: &Tasks) {
    let stop = tasks.stop_signal().clone();
    tasks.spawn("replays", async move {
        loop {
            let pause = match shared.store.step_replays(shared.clock.now()).await {
                Ok(ReplayStep::Made) => Some(Duration::ZERO),
                Ok(ReplayStep::Waiting) => Some(ROOM_PAUSE),
                Ok(ReplayStep::Idle) => None,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a replay could not go on; trying again"
                    );
                    Some(STORE_PAUSE)
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = shared.replays_changed.notified() => {}
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            }
        }
    });
}
