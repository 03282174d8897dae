//! A copy of a store that is at work, and a store made of a copy.
//!
//! The copy is made from beside, in a reading connection of its own: it is the database as of one moment, whatever the writer
//! does meanwhile. Only what is whole gets the name that was asked for.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::file::{self, Kind};
use super::lock::Lock;
use super::{inbox, migrations, platform};
use crate::OpenError;
use crate::inbox::CHANGES_AHEAD;

/// Pages that are copied between two looks at who waits: 8 MiB.
const STEP_PAGES: i32 = 1_024;

/// Why a copy could not be made, or made use of.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is something of that name.
    #[error("{path} is there already, and is left as it is")]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// There is no store.
    #[error("{path} is not there: no store was ever opened in this folder")]
    Missing {
        /// The database file.
        path: PathBuf,
    },
    /// There is no copy.
    #[error("{path} is not there; expected a copy that a backup has made")]
    NoCopy {
        /// What is not there.
        path: PathBuf,
    },
    /// SQLite says that it is damaged.
    #[error("{path} is damaged: {problem}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first thing that is wrong.
        problem: String,
    },
    /// It cannot be opened as such a store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file cannot be read or written.
    #[error("{path} cannot be read or written")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// SQLite failed.
    #[error("{path} cannot be copied")]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> BackupError {
    move |source| BackupError::Io { path: path.to_owned(), source }
}

fn database(path: &Path, kind: &Kind) -> impl Fn(rusqlite::Error) -> BackupError {
    let expected = kind.words;
    move |source| match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign { path: path.to_owned(), expected }.into(),
        _ => BackupError::Database { path: path.to_owned(), source: Box::new(source) },
    }
}

/// Copies the inbox's store of a data folder into one file, also while it is at work. `told` is told of the bytes that are
/// copied and of all; the answer is all.
///
/// # Errors
/// [`BackupError`]; then there is no such file.
pub fn backup_inbox(dir: &Path, to: &Path, told: impl FnMut(u64, u64)) -> Result<u64, BackupError> {
    backup(&inbox::KIND, dir, to, told)
}

/// The same for the platform's store. Its key is not in it.
///
/// # Errors
/// [`BackupError`]; then there is no such file.
pub fn backup_platform(dir: &Path, to: &Path, told: impl FnMut(u64, u64)) -> Result<u64, BackupError> {
    backup(&platform::KIND, dir, to, told)
}

/// Makes the inbox's store of a data folder of a copy. The folder may be there, but have no store.
///
/// # Errors
/// [`BackupError`]; then the folder has no store.
pub fn restore_inbox(from: &Path, dir: &Path, told: impl FnMut(u64, u64)) -> Result<u64, BackupError> {
    restore(&inbox::KIND, from, dir, told, |db| {
        db.execute("UPDATE totals SET last_change = last_change + ?1", [CHANGES_AHEAD])
    })
}

/// The same for the platform's store. It leaves 2^40 numbers of events and deliveries out: none is given twice, and whoever reads
/// the events goes on from where he was.
///
/// # Errors
/// [`BackupError`]; then the folder has no store.
pub fn restore_platform(from: &Path, dir: &Path, told: impl FnMut(u64, u64)) -> Result<u64, BackupError> {
    restore(&platform::KIND, from, dir, told, |db| {
        db.execute(
            "UPDATE totals SET numbers_after = ?1 + max(numbers_after,
                coalesce((SELECT max(record_id) FROM records), 0), coalesce((SELECT max(delivery_seq) FROM deliveries), 0))",
            [NUMBERS_AHEAD],
        )
    })
}

/// How many numbers a platform's store that is made of a copy leaves out: more than any gives in the life of a copy.
const NUMBERS_AHEAD: i64 = 1 << 40;

fn backup(kind: &Kind, dir: &Path, to: &Path, told: impl FnMut(u64, u64)) -> Result<u64, BackupError> {
    let from = dir.join(format!("{}.db", kind.name));
    if !from.exists() {
        return Err(BackupError::Missing { path: from });
    }
    written(to, |draft| copy(&from, draft, kind, told))
}

fn restore(
    kind: &Kind,
    from: &Path,
    dir: &Path,
    told: impl FnMut(u64, u64),
    step_ahead: impl FnOnce(&Connection) -> rusqlite::Result<usize>,
) -> Result<u64, BackupError> {
    file::make_dir(dir).map_err(io(dir))?;
    let _lock = Lock::take(dir, &format!("{}.lock", kind.name))?;
    if !from.is_file() {
        return Err(BackupError::NoCopy { path: from.to_owned() });
    }
    let path = dir.join(format!("{}.db", kind.name));
    // A log that was left behind would be taken for this database's own, and written into it.
    for beside in [beside(&path, "-wal"), beside(&path, "-shm")] {
        if beside.exists() {
            return Err(BackupError::Exists { path: beside });
        }
    }
    written(&path, |draft| {
        let bytes = copy(from, draft, kind, told)?;
        let failed = database(draft, kind);
        let mut db = Connection::open_with_flags(
            draft,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(&failed)?;
        let found = migrations::look(&db).map_err(&failed)?;
        migrations::run(&mut db, kind, found.version).map_err(&failed)?;
        step_ahead(&db).map_err(&failed)?;
        db.close().map_err(|(_, error)| failed(error))?;
        Ok(bytes)
    })
}

/// A file's path with something added to its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Has a file written under another name, and gives it its own when all of it is on disk.
fn written(path: &Path, write: impl FnOnce(&Path) -> Result<u64, BackupError>) -> Result<u64, BackupError> {
    if path.exists() {
        return Err(BackupError::Exists { path: path.to_owned() });
    }
    let draft = beside(path, ".part");
    // Of one that was broken off: SQLite would roll its journal back into this one.
    forget(&draft)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    file::private(&mut options);
    options.open(&draft).map_err(io(&draft))?;
    let outcome = write(&draft).and_then(|bytes| {
        File::open(&draft).and_then(|file| file.sync_all()).map_err(io(&draft))?;
        fs::rename(&draft, path).map_err(io(path))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or_else(|| Path::new("."));
        File::open(parent).and_then(|dir| dir.sync_all()).map_err(io(parent))?;
        Ok(bytes)
    });
    if outcome.is_err() {
        // What is left of it would only be in the way; the error that is told is the one that came first.
        let _ = forget(&draft);
    }
    outcome
}

/// Removes a draft and what SQLite may have left beside it.
fn forget(draft: &Path) -> Result<(), BackupError> {
    for file in ["", "-journal", "-wal", "-shm"].map(|suffix| beside(draft, suffix)) {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(&file)(error)),
            _ => {}
        }
    }
    Ok(())
}

/// Copies a database as of this moment, and looks whether the copy is whole.
fn copy(from: &Path, to: &Path, kind: &Kind, mut told: impl FnMut(u64, u64)) -> Result<u64, BackupError> {
    let reading = database(from, kind);
    let source = file::open_reader(from).map_err(&reading)?;
    let found = migrations::look(&source).map_err(&reading)?;
    if found.application_id != kind.application_id {
        return Err(OpenError::Foreign { path: from.to_owned(), expected: kind.words }.into());
    }
    let known = i64::try_from(kind.migrations.len()).expect("there are few migrations");
    if found.version > known {
        return Err(OpenError::Newer { path: from.to_owned(), found: found.version, known }.into());
    }
    // Holds the moment: without it a commit in another process would have the copy begin anew.
    source.execute_batch("BEGIN").map_err(&reading)?;
    let page: i64 = source.query_row("PRAGMA page_size", [], |row| row.get(0)).map_err(&reading)?;
    let _: i64 =
        source.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(&reading)?;
    let writing = database(to, kind);
    let mut target = Connection::open(to).map_err(&writing)?;
    let bytes = {
        let steps = Backup::new(&source, &mut target).map_err(&writing)?;
        loop {
            let step = steps.step(STEP_PAGES).map_err(&reading)?;
            let progress = steps.progress();
            let bytes = |pages: i32| u64::try_from(i64::from(pages) * page).unwrap_or(0);
            told(bytes(progress.pagecount - progress.remaining), bytes(progress.pagecount));
            match step {
                rusqlite::backup::StepResult::Done => break bytes(progress.pagecount),
                rusqlite::backup::StepResult::More => {}
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    };
    // One file, without a log beside it.
    target.pragma_update(None, "journal_mode", "DELETE").map_err(&writing)?;
    let said: String = target.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(&writing)?;
    target.close().map_err(|(_, error)| writing(error))?;
    match said.as_str() {
        "ok" => Ok(bytes),
        _ => Err(BackupError::Damaged { path: from.to_owned(), problem: said }),
    }
}
