//! The listener, the envelope and the readers of requests, over real sockets.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod answers;
mod bodies;
mod client;
mod heads;
mod limits;
mod live;
mod stop;
mod tls;
