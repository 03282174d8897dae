//! The storage boundary.
//!
//! Two stores, one for each half: [`platform::Store`], the source of truth with its events and deliveries, and
//! [`inbox::Store`], a partner's order view. Each is a trait of verbs. A verb is one transaction, so what is atomic
//! can be read off the trait; outcomes are enums; times are arguments. Behind both stands embedded SQLite
//! ([`sqlite`]), and no SQL text or type is to be found anywhere else.
//!
//! What this crate must not do: HTTP, retry decisions, reading a clock.

mod fanout;
pub mod hints;
pub mod histogram;
pub mod inbox;
mod paging;
pub mod platform;
pub mod sqlite;

pub use paging::cut;

/// Why a verb could not be done. Outcomes that a caller has to handle are not here but in the verb's own enum.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The queue of waiting changes is full, or the store is closing. Nothing was done; it can be tried again.
    #[error("the store is busy: its queue of waiting changes is full or closing")]
    Busy,
    /// The database failed. Whether the change was made is unknown only if the process dies; an answered error means
    /// that it was not.
    #[error("the database failed while {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// The database's own error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A row says what no row may say: a fault in hookit, or a damaged file.
    #[error("the database is inconsistent: {0}")]
    Corrupt(String),
}

/// Whether a store takes changes, as its last commit tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The last commit came to its end, or none was tried yet.
    Writable,
    /// The last one failed for want of room.
    NoRoom,
    /// The last one failed for a fault of the disk, or of the database file.
    Failing,
    /// It was closed, or the thread that writes has died.
    Closed,
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Condition::Writable => "the store takes changes",
            Condition::NoRoom => "the disk is full, so the store takes no changes until there is room",
            Condition::Failing => "the disk or the database file fails, so the store takes no changes",
            Condition::Closed => "the store is closed",
        })
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{path} is in use by another process; one data folder serves one process at a time")]
    Locked {
        /// The data folder.
        path: std::path::PathBuf,
    },
    /// A newer hookit wrote it.
    #[error(
        "{path} was written by a newer hookit (schema version {found}; this program knows up to {known})"
    )]
    Newer {
        /// The database file.
        path: std::path::PathBuf,
        /// The version found.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// It is not a store of this kind.
    #[error("{path} is not {expected}")]
    Foreign {
        /// The database file.
        path: std::path::PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// The folder or file cannot be used.
    #[error("{path} cannot be opened")]
    Io {
        /// The path.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database cannot be opened or brought up to date.
    #[error("{path} cannot be opened")]
    Database {
        /// The database file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
