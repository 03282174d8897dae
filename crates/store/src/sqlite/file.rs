//! Opening a database file: folder and file modes, the lock, whose file it is, and the settings of each connection.

use std::fs::{DirBuilder, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::lock::Lock;
use super::migrations;
use crate::OpenError;

/// What tells one kind of store from the other.
#[derive(Debug)]
pub(crate) struct Kind {
    /// The beginning of the names of its files.
    pub(crate) name: &'static str,
    /// What it is, in words.
    pub(crate) words: &'static str,
    /// SQLite's `application_id`, which says whose file it is.
    pub(crate) application_id: i32,
    /// The steps from an empty file to the present schema. Written once, never changed.
    pub(crate) migrations: &'static [&'static str],
}

/// An open database, its schema up to date.
#[derive(Debug)]
pub(crate) struct Database {
    /// The file.
    pub(crate) path: PathBuf,
    /// The writing connection.
    pub(crate) writer: Connection,
    /// Held as long as anything of it is open.
    pub(crate) lock: Lock,
}

/// Statements kept prepared by each connection. There are fewer in the program.
const STATEMENTS_MAX: usize = 96;

/// How long a connection waits for a lock. Within the process nobody waits for one; an operator's own SQL tool may
/// hold one for a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(unix)]
pub(crate) fn private(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600);
}

#[cfg(not(unix))]
pub(crate) fn private(_options: &mut OpenOptions) {}

/// Takes from others what they may do with the database's files: one that was restored from a backup may have come
/// with any mode.
#[cfg(unix)]
fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        match std::fs::metadata(&file) {
            Ok(found) if found.permissions().mode() & 0o077 != 0 => {
                std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_private(_path: &Path) -> std::io::Result<()> {
    Ok(())
}

pub(super) fn make_dir(dir: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(dir)
}

/// Opens a store's database, making folder and file where they are not there.
pub(crate) fn open(dir: &Path, kind: &Kind) -> Result<Database, OpenError> {
    make_dir(dir).map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
    let lock = Lock::take(dir, &format!("{}.lock", kind.name))?;
    let path = dir.join(format!("{}.db", kind.name));
    // Made here rather than by SQLite, which knows nothing of modes; its other files take theirs from this one.
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    private(&mut options);
    options
        .open(&path)
        .and_then(|_| make_private(&path))
        .map_err(|source| OpenError::Io { path: path.clone(), source })?;
    // A new file's name must be on disk before anything in it counts as being there.
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;

    let database = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign { path: path.clone(), expected: kind.words },
        _ => OpenError::Database { path: path.clone(), source: Box::new(source) },
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut writer = Connection::open_with_flags(&path, flags).map_err(&database)?;
    let found = migrations::look(&writer).map_err(&database)?;
    // Nothing is written before it is certain that the file is ours and that we know its schema.
    if !found.is_empty && found.application_id != kind.application_id {
        return Err(OpenError::Foreign { path, expected: kind.words });
    }
    let known = i64::try_from(kind.migrations.len()).expect("there are few migrations");
    if found.version > known {
        return Err(OpenError::Newer { path, found: found.version, known });
    }
    prepare_writer(&writer).map_err(&database)?;
    migrations::run(&mut writer, kind, found.version).map_err(&database)?;
    Ok(Database { path, writer, lock })
}

fn prepare_writer(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    keep_plans(db)?;
    // 8 KiB: three ordinary records share a page, of which 4 KiB would hold one and waste half.
    db.pragma_update(None, "page_size", 8192)?;
    let mode: String = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        // SQLite keeps to the mode that it had where a file system cannot do this one, and says no more.
        let message = format!("the file system does not allow SQLite's WAL mode; it stays in mode {mode}");
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
            Some(message),
        ));
    }
    // Every commit is on disk before it is answered.
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", "ON")?;
    // What a crash or a burst left behind is given back to the disk at the next checkpoint.
    db.pragma_update(None, "journal_size_limit", 64 << 20)?;
    // 64 MiB, in KiB with a minus sign: the inner pages and the recent leaves of all trees.
    db.pragma_update(None, "cache_size", -(64 << 10))?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    // No mapped memory: a bad disk is to be an error to answer, not a signal that ends the process.
    db.pragma_update(None, "mmap_size", 0)
}

/// A statement is planned once, whatever values it gets: else SQLite plans some anew at every use, to see whether a
/// partial index would do for the value.
fn keep_plans(db: &Connection) -> rusqlite::Result<()> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(|_| ())
}

/// A connection that only reads.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    keep_plans(&db)?;
    db.pragma_update(None, "query_only", "ON")?;
    // 8 MiB each: readers want what was written a moment ago, and the system's cache has that too.
    db.pragma_update(None, "cache_size", -(8 << 10))?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(db)
}

/// A connection that only moves the log into the database file.
pub(crate) fn open_checkpointer(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    // Both files are on disk before the log's beginning is written over.
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "mmap_size", 0)?;
    Ok(db)
}

/// A store of one small table, for tests of what any store has.
#[cfg(test)]
pub(crate) const ANY: Kind = Kind {
    name: "any",
    words: "any store",
    application_id: 7,
    migrations: &["CREATE TABLE t (x INTEGER) STRICT"],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_waits_for_the_disk_and_references_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let kind = Kind {
            name: "any",
            words: "any store",
            application_id: 7,
            migrations: &["CREATE TABLE t (x INTEGER) STRICT", "CREATE TABLE u (x INTEGER) STRICT"],
        };
        let db = open(folder.path(), &kind).unwrap().writer;
        let ask = |pragma: &str| -> String {
            db.query_row(&format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}"), [], |row| row.get(0))
                .unwrap()
        };
        assert_eq!(ask("journal_mode"), "wal");
        assert_eq!(ask("synchronous"), "2", "FULL");
        assert_eq!(ask("foreign_keys"), "1");
        assert_eq!(ask("user_version"), "2");
    }

    #[test]
    fn an_older_file_is_brought_up_to_date_by_the_migrations_that_it_lacks() {
        let folder = tempfile::tempdir().unwrap();
        const FIRST: &str = "CREATE TABLE t (x INTEGER) STRICT; INSERT INTO t VALUES (1);";
        let kind = |migrations| Kind { name: "any", words: "any store", application_id: 7, migrations };
        drop(open(folder.path(), &kind(&[FIRST])).unwrap());
        let broken = kind(&[FIRST, "INSERT INTO t VALUES (2); INSERT INTO nowhere VALUES (1);"]);
        assert!(matches!(open(folder.path(), &broken), Err(OpenError::Database { .. })));
        let good = kind(&[FIRST, "INSERT INTO t VALUES (3);"]);
        for _ in 0..2 {
            let db = open(folder.path(), &good).unwrap().writer;
            let rows: String = db.query_row("SELECT group_concat(x) FROM t", [], |row| row.get(0)).unwrap();
            assert_eq!(rows, "1,3", "each ran once, and the broken one left nothing");
        }
    }
}
