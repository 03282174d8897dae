//! Has the store remove what is older than it is to be kept, in steps that leave room for others between them.
//!
//! A pass that is cut short by a stop is begun anew at the next start. What this must not do: decide what refers to what.

use std::time::Duration;

use hookit_contract::Timestamp;
use hookit_store::Error;
use hookit_store::platform::Expiry;
use tokio::sync::Notify;

use crate::Shared;
use crate::chores::{Chore, Next};

/// From the end of a pass to the next one.
const PASS_PAUSE: Duration = Duration::from_secs(3600);

/// Between two steps, so that whoever waits for the writer goes first.
const STEP_PAUSE: Duration = Duration::from_millis(10);

pub(crate) struct Retention {
    kept_for: Duration,
    /// How far the pass has come.
    place: Expiry,
}

impl Retention {
    pub(crate) fn new(kept_for: Duration) -> Self {
        Retention { kept_for, place: Expiry::default() }
    }
}

impl Chore for Retention {
    const NAME: &'static str = "retention";
    const FAILED: &'static str = "what is old could not be removed";

    async fn step(&mut self, shared: &Shared) -> Result<Next, Error> {
        let before = older_than(shared.clock.now(), self.kept_for);
        let next = shared.store.expire(before, self.place).await?;
        self.place = next.unwrap_or_default();
        Ok(Next::After(if next.is_some() { STEP_PAUSE } else { PASS_PAUSE }))
    }

    fn told(_: &Shared) -> Option<&Notify> {
        None
    }
}

fn older_than(now: Timestamp, kept_for: Duration) -> Timestamp {
    let kept_for = i64::try_from(kept_for.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(kept_for))
}
