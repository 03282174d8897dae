//! The real binary, run as an operator or a partner runs it: on ports and folders of its own, started, killed,
//! stopped, and looked at from outside only. What a single part does in a corner case is tested in that part's crate.
//!
//! What these tests must not do: reach into the program's crates for anything but the wire's own types, or wait for a
//! time to pass where they can wait for a state.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod api_walk;
mod bench;
mod demo;
mod demo_page;
mod diff;
mod doctor;
mod endings;
mod graceful;
mod harness;
mod kills;
mod long_lists;
mod moved;
mod operate;
mod outage;
mod proof;
mod readme;
mod receiving;
mod repairs;
mod room;
mod secrets;
mod sinks;
mod startup;
mod storm;
mod strangers;
mod tls;
mod workbench;
