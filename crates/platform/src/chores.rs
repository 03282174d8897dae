//! Work beside the traffic, step after step: as long as the store has something to do, and then not until it is told, or a
//! while later.
//!
//! A step is the store's own business and durable when it answers, so a crash between two of them loses nothing: what is
//! unfinished is found in the store at the next start.

use std::sync::Arc;
use std::time::Duration;

use hookit_server::Tasks;
use hookit_store::Error;
use tokio::sync::Notify;

use crate::Shared;
use crate::dispatcher::STORE_PAUSE;

/// Something that is done in steps.
pub(crate) trait Chore: Send + 'static {
    /// The task's name.
    const NAME: &'static str;
    /// What the log says of a step that failed; it is made again.
    const FAILED: &'static str;

    /// Makes a step.
    fn step(&mut self, shared: &Shared) -> impl Future<Output = Result<Next, Error>> + Send;

    /// What tells that there is something to do; nothing, where only time does.
    fn told(shared: &Shared) -> Option<&Notify>;
}

/// When the next step is due.
pub(crate) enum Next {
    /// After this pause, or when it is told.
    After(Duration),
    /// When it is told.
    WhenTold,
}

/// Starts a chore as a task.
pub(crate) fn start<C: Chore>(mut chore: C, shared: Arc<Shared>, tasks: &Tasks) {
    let stop = tasks.stop_signal().clone();
    tasks.spawn(C::NAME, async move {
        loop {
            let pause = match chore.step(&shared).await {
                Ok(Next::After(pause)) => Some(pause),
                Ok(Next::WhenTold) => None,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, chore = C::NAME, "{}; trying again", C::FAILED);
                    Some(STORE_PAUSE)
                }
            };
            let told = async {
                match C::told(&shared) {
                    Some(told) => told.notified().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = told => {}
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            }
        }
    });
}
