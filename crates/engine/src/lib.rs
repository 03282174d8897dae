//! Delivery decisions as a pure function of state, input and time: `(state, input, now) → (state, actions)`.
//!
//! The engine decides which delivery is sent when. Within one endpoint the deliveries of an order form a **lane** and
//! go one after the other; an attempt that failed is made again by the **retry plan**; limits keep an endpoint, and
//! all of them together, from having too much in flight. Everything that it knows it can learn again from disk: it
//! may be thrown away at any moment and started anew.
//!
//! What this crate must not do: read a clock, draw a random number, run a task, touch a disk or a network. The shell
//! around it carries actions out and reports back with inputs. Equal inputs give equal actions, to the byte, so that
//! the simulator and a failing test can be replayed.
//!
//! The life of a delivery in here:
//!
//! ```text
//! waiting ──Send──▶ in flight ──Attempted, Record──▶ being recorded ──Recorded──▶ forgotten (delivered, dead)
//!    ▲                                                                    │
//!    └──────────────────────────── again at its due time ─────────────────┘
//! ```
//!
//! A delivery holds its lanes from the moment it is sent until its verdict is on disk, not merely until the partner
//! has answered. If the successor went out earlier and the machine then crashed, the unrecorded predecessor would be
//! sent again, and the partner would see an older state after a newer one.
//!
//! One engine is one shard: nothing in it is shared, and nothing in it knows of other engines.
//!
//! Start reading at [`Input`] and [`Action`], then `engine.rs`, then `endpoint.rs`.

mod endpoint;
mod engine;
mod lanes;
mod reads;
mod retry;
mod types;

pub use engine::Engine;
pub use retry::{RetryPlan, RetryPlanError};
pub use types::{Action, EndpointStats, EngineConfig, Flow, Input, Verdict, Waiting};
