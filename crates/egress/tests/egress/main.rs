//! Posts against scripted endpoints on loopback: each outcome, each limit, and what goes over the wire.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod answers;
mod failures;
mod request;
mod reuse;
mod support;
mod tls;
