//! The platform through a real socket, on the real store in a temporary folder, against scripted endpoints.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod audit;
mod bulk;
mod console;
mod console_actions;
mod console_orders;
mod console_overview;
mod console_people;
mod console_replays;
mod credentials;
mod delivery;
mod exposition;
mod harness;
mod http;
mod input;
mod large_pages;
mod limits;
mod log;
mod metrics;
mod openapi;
mod order_input;
mod orders;
mod pages;
mod partner_feeds;
mod partner_moves;
mod partner_orders;
mod queue;
mod rates;
mod registrations;
mod replay;
mod replay_jobs;
mod restart;
mod retention;
mod retry;
mod strict;
mod tokens;
