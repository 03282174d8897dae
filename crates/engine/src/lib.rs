//! Delivery decisions as a pure function of state, input and time: `(state, input, now) → (state, actions)`.
//!
//! The engine decides which delivery is sent when. Within one endpoint the deliveries of an order form a **lane** and
//! go one after the other; an attempt that failed is made again by the **retry plan**; a **breaker** leaves an endpoint
//! alone that is down; limits keep an endpoint, and all of them together, from having too much in flight. Everything
//! that it knows it can learn again from disk: it may be thrown away at any moment and started anew.
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
//! **Outages** (`breaker.rs`). While an endpoint is down one probe at a time finds out whether it is back; what waits
//! uses up no retries. A delivery that cannot be delivered while others are dies by its own plan. What outlives the
//! hold time is dead at its next failure, or, behind an outage, without one. What waits for a held endpoint is kept.
//!
//! **Isolation** (`turns.rs`). Endpoints take turns, one delivery each. One that does not answer, or has attempts
//! that hang, is suspect and may have only a few under way; and the last quarter of all places is only for endpoints
//! that have few under way and are not suspect. An endpoint that hangs costs sockets, not throughput.
//!
//! **Memory.** Of each endpoint a window of deliveries is in memory; the rest is on disk and is read on as the window
//! empties. Where nothing in a full window can go, because all of it has failed or waits behind what has, all but the
//! lowest quarter is left on disk and newer orders come in; of what was left only the orders are remembered, so that
//! nothing of them is overtaken, up to four for each place in the window. The disk is read from the start again after
//! half a minute: by so much may the retry of such a delivery be late. Only an endpoint with more orders than that
//! stuck holds newer ones back.
//!
//! **Replays** stand in line behind everything fresh of their orders, also behind what is committed later, and may have
//! a quarter of an endpoint's places. So they keep their order among themselves, and what is fresh waits at most for
//! the one attempt of its order that is under way. They are read from disk a few at a time.
//!
//! One engine is one shard: nothing in it is shared, and nothing in it knows of other engines.
//!
//! Start reading at [`Input`] and [`Action`], then `engine.rs`, then `endpoint.rs`.

mod breaker;
mod endpoint;
mod engine;
mod lanes;
mod rate;
mod reads;
mod ready;
mod retry;
mod turns;
mod types;

pub use engine::Engine;
pub use retry::{RetryPlan, RetryPlanError};
pub use types::{
    Action, BreakerState, EndpointSettings, EndpointStats, EngineConfig, Flow, Input, NotSent, Ordering,
    Verdict, Waiting,
};
