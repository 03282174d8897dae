//! The work of replays. What this must not do: choose what is replayed.

use std::time::Duration;

use hookit_store::Error;
use hookit_store::platform::ReplayStep;
use tokio::sync::Notify;

use crate::Shared;
use crate::chores::{Chore, Next};

/// How soon the store is asked again after it had no room for more of a replay in line.
const ROOM_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Replays;

impl Chore for Replays {
    const NAME: &'static str = "replays";
    const FAILED: &'static str = "a replay could not go on";

    async fn step(&mut self, shared: &Shared) -> Result<Next, Error> {
        Ok(match shared.store.step_replays(shared.clock.now()).await? {
            ReplayStep::Made => Next::After(Duration::ZERO),
            ReplayStep::Waiting => Next::After(ROOM_PAUSE),
            ReplayStep::Idle => Next::WhenTold,
        })
    }

    fn told(shared: &Shared) -> Option<&Notify> {
        Some(&shared.replays_changed)
    }
}
