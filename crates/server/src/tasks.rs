//! Named tasks under one stop signal. Everything that runs beside a request is started here, so that a stop can wait
//! for it and a log line says what it was.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// A set of tasks with a common stop. Clones are the same set.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// An empty set.
    pub fn new() -> Self {
        Tasks::default()
    }

    /// Starts a task. It should watch [`Tasks::stopping`] and end in its own time.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(task.instrument(tracing::info_span!("task", name)));
    }

    /// The stop signal.
    pub fn stop_signal(&self) -> &CancellationToken {
        &self.stop
    }

    /// Resolves once a stop was asked for.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Asks all tasks to end, and waits for them at most so long. False where some are still running.
    pub async fn stop(&self, wait: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(wait, self.tracker.wait()).await.is_ok()
    }
}
