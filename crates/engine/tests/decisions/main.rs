//! Single decisions, as tables: at this moment comes this input, and these actions follow.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod health;
mod limits;
mod order;
mod replays;
mod table;
