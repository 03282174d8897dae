//! What the dispatcher sends with: egress in production, a simulated network in a simulation.

use async_trait::async_trait;
use hookit_contract::Timestamp;
use hookit_egress::{Attempt, Egress, Post};

/// Makes one attempt. Never fails: whatever happens is an outcome, and it comes within a bounded time.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Posts, and says how it ended. `now` is for dates in the answer.
    async fn post(&self, post: Post, now: Timestamp) -> Attempt;

    /// Lets go of connections that nobody uses. Called when the dispatcher has come to rest.
    fn close_idle(&self) {}
}

#[async_trait]
impl Sender for Egress {
    async fn post(&self, post: Post, now: Timestamp) -> Attempt {
        Egress::post(self, post, now).await
    }

    fn close_idle(&self) {
        Egress::close_idle(self);
    }
}
