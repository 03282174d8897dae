//! What is particular to the SQLite backend: its files, its schema's own rules, and what a crash leaves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where by failing there")]

mod backlogs;
mod backups;
mod constraints;
mod files;
#[path = "../conformance/fixture.rs"]
#[allow(dead_code)]
mod fixture;
mod histories;
mod inbox_migrations;
mod keys;
mod packing;
mod quarantine;
mod registrations;
