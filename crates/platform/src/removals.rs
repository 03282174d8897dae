//! Takes back what waits for registrations that were removed, a small part at a time, so that a million of it stalls
//! nobody's commit. What is unfinished is found in the store at the next start.
//!
//! What this must not do: choose what is taken back. That nothing of it is sent meanwhile is the store's promise.

use std::sync::Arc;
use std::time::Duration;

use hookit_server::Tasks;

use crate::Shared;
use crate::dispatcher::STORE_PAUSE;

/// Starts the work as a task.
pub(crate) fn start(shared: Arc<Shared>, tasks: &Tasks) {
    let stop = tasks.stop_signal().clone();
    tasks.spawn("removals", async move {
        loop {
            let pause = match shared.store.step_removals(shared.clock.now()).await {
                Ok(true) => Some(Duration::ZERO),
                Ok(false) => None,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "what waits for a removed registration could not be taken back; trying again"
                    );
                    Some(STORE_PAUSE)
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = shared.webhook_removed.notified() => {}
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            }
        }
    });
}
