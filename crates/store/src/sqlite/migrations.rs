//! From an empty file, or an older schema, to the present one. A migration is a numbered SQL text; the number of the
//! last one that ran is the file's `user_version`. Each runs in a transaction of its own, so a crash leaves a file
//! between two migrations, never within one.

use rusqlite::{Connection, TransactionBehavior};

use super::file::Kind;

/// What a file says of itself.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) application_id: i32,
    pub(crate) version: i64,
    /// True for a file in which nothing was made yet.
    pub(crate) is_empty: bool,
}

pub(crate) fn look(db: &Connection) -> rusqlite::Result<Found> {
    let application_id = db.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let version = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let objects: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(Found { application_id, version, is_empty: application_id == 0 && version == 0 && objects == 0 })
}

pub(crate) fn run(db: &mut Connection, kind: &Kind, done: i64) -> rusqlite::Result<()> {
    let known = kind.migrations.len();
    if done > 0 && usize::try_from(done).is_ok_and(|done| done < known) {
        tracing::info!(store = kind.name, from = done, to = known, "the database is brought to its new form");
    }
    for (number, sql) in (1i64..).zip(kind.migrations) {
        if number <= done {
            continue;
        }
        // A migration may put another table in the place of one that others refer to. So references are not checked while
        // it runs, but all of them at its end. SQLite takes this setting outside of transactions only.
        db.pragma_update(None, "foreign_keys", "OFF")?;
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        check_references(&transaction, number)?;
        transaction.pragma_update(None, "application_id", kind.application_id)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
        db.pragma_update(None, "foreign_keys", "ON")?;
    }
    Ok(())
}

fn check_references(db: &Connection, number: i64) -> rusqlite::Result<()> {
    let mut statement = db.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else { return Ok(()) };
    let (table, to): (String, String) = (row.get(0)?, row.get(2)?);
    Err(rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY),
        Some(format!("after migration {number} a row of {table} refers to one of {to} that is not there")),
    ))
}
