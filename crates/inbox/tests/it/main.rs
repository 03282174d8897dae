//! The inbox through a real socket, on the real store in a temporary folder.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod console;
mod harness;
mod limits;
mod moves;
mod never_backwards;
mod openapi;
mod quarantine;
mod receiving;
mod reconcile;
mod retention;
mod secrecy;
mod sinks;
mod status;
mod strangers;
mod stream;
mod strict;
mod stub;
mod trouble;
mod view;
