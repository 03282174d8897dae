//! Takes back what waits for registrations that were removed, a small part at a time, so that a million of it stalls
//! nobody's commit.
//!
//! What this must not do: choose what is taken back. That nothing of it is sent meanwhile is the store's promise.

use std::time::Duration;

use hookit_store::Error;
use tokio::sync::Notify;

use crate::Shared;
use crate::chores::{Chore, Next};

pub(crate) struct Removals;

impl Chore for Removals {
    const NAME: &'static str = "removals";
    const FAILED: &'static str = "what waits for a removed registration could not be taken back";

    async fn step(&mut self, shared: &Shared) -> Result<Next, Error> {
        let is_made = shared.store.step_removals(shared.clock.now()).await?;
        Ok(if is_made { Next::After(Duration::ZERO) } else { Next::WhenTold })
    }

    fn told(shared: &Shared) -> Option<&Notify> {
        Some(&shared.webhook_removed)
    }
}
