//! Embedded SQLite behind the two stores. No SQL is to be found outside this module.
//!
//! Start reading at the two schemas (`platform/schema_1.sql`, `inbox/schema_1.sql`), then `writer.rs`: one thread
//! owns the writing connection and commits in groups. Reads go to a few connections of their own, in `readers.rs`.

/// Takes the one kind of reply that a command has.
macro_rules! reply {
    ($reply:expr, $kind:ident) => {
        match $reply {
            Reply::$kind(reply) => Ok(reply),
            _ => Err(Error::Corrupt(
                concat!("a command was answered with something else than ", stringify!($kind)).to_owned(),
            )),
        }
    };
}

mod backup;
mod checkpoint;
mod examine;
mod file;
mod ids;
mod inbox;
mod lock;
mod migrations;
mod platform;
mod readers;
mod writer;

pub use backup::{BackupError, backup_inbox, backup_platform, restore_inbox, restore_platform};
pub use examine::{Examined, examine};
pub use inbox::{InboxOptions, InboxStore};
pub use platform::{PlatformOptions, PlatformStore};

use crate::Error;

/// Commands that wait at most, where the options say nothing else. Beyond it, and beyond a bound on their bytes,
/// verbs that write answer [`Error::Busy`] at once.
pub const QUEUE_MAX: usize = 16_384;

/// Orders in one delivery at most, where the options say nothing else.
pub const ORDERS_PER_DELIVERY_MAX: usize = 50;

/// A name of an order that has more bytes is not one that it is found by.
const NAME_BYTES_MAX: usize = 255;

/// Makes the database's error ours.
fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> Error {
    move |source| Error::Database { doing, source: Box::new(source) }
}

/// Reads a word that the schema allows only from a list.
fn word<T: std::str::FromStr>(text: &str, what: &'static str) -> Result<T, Error> {
    text.parse().map_err(|_| Error::Corrupt(format!("{text:?} is no {what}")))
}

/// Reads a column's word that the schema allows only from a list.
fn word_at<T>(row: &rusqlite::Row<'_>, column: usize, read: fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    read(text).ok_or_else(|| {
        let why = format!("{text:?} is none of the words that may stand here");
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, why.into())
    })
}

/// Reads a number that is never negative.
fn count(number: i64, what: &'static str) -> Result<u64, Error> {
    u64::try_from(number).map_err(|_| Error::Corrupt(format!("{what} is {number}")))
}

/// A limit as SQLite takes it.
fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
