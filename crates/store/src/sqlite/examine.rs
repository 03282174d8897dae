//! A look at the databases of a data folder from beside: whose they are, and whether they are whole. It takes no lock, changes
//! nothing, and may be had while the folder is in use.

use std::path::{Path, PathBuf};

use super::file::{self, Kind};
use super::{inbox, migrations, platform};
use crate::OpenError;

/// What is said of damage at most.
const PROBLEMS_MAX: i64 = 20;

/// A database that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// The file.
    pub path: PathBuf,
    /// What it is, in words.
    pub what: &'static str,
    /// What it takes on disk, without its log.
    pub bytes: u64,
    /// Of that, what is free for what comes.
    pub free_bytes: u64,
    /// What SQLite says of damage; nothing where it is whole.
    pub problems: Vec<String>,
}

/// Looks at each database that is in a folder; how long that takes grows with the file.
///
/// # Errors
/// [`OpenError`] where one cannot be read, is foreign, or was written by a newer program.
pub fn examine(dir: &Path) -> Result<Vec<Examined>, OpenError> {
    let mut examined = Vec::new();
    for kind in [&platform::KIND, &inbox::KIND] {
        let path = dir.join(format!("{}.db", kind.name));
        if path.exists() {
            examined.push(match look(path.clone(), kind) {
                Err(OpenError::Database { source, .. }) if is_damage(&*source) => {
                    let bytes = std::fs::metadata(&path).map_or(0, |file| file.len());
                    Examined {
                        path,
                        what: kind.words,
                        bytes,
                        free_bytes: 0,
                        problems: vec![source.to_string()],
                    }
                }
                looked => looked?,
            });
        }
    }
    Ok(examined)
}

/// Where the damage is at the beginning, SQLite cannot even begin to look.
fn is_damage(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<rusqlite::Error>();
    error.and_then(rusqlite::Error::sqlite_error_code) == Some(rusqlite::ErrorCode::DatabaseCorrupt)
}

fn look(path: PathBuf, kind: &Kind) -> Result<Examined, OpenError> {
    let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => {
            OpenError::Foreign { path: path.clone(), expected: kind.words }
        }
        _ => OpenError::Database { path: path.clone(), source: Box::new(source) },
    };
    let db = file::open_reader(&path).map_err(&failed)?;
    let found = migrations::look(&db).map_err(&failed)?;
    if !found.is_empty && found.application_id != kind.application_id {
        return Err(OpenError::Foreign { path, expected: kind.words });
    }
    let known = i64::try_from(kind.migrations.len()).expect("there are few migrations");
    if found.version > known {
        return Err(OpenError::Newer { path, found: found.version, known });
    }
    let said: Vec<String> = db
        .prepare(&format!("PRAGMA quick_check({PROBLEMS_MAX})"))
        .and_then(|mut check| check.query_map([], |row| row.get(0))?.collect())
        .map_err(&failed)?;
    let problems = said.into_iter().filter(|line| line != "ok").collect();
    let number =
        |pragma| db.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0)).map_err(&failed);
    let page = number("page_size")?;
    let bytes = |pages: i64| u64::try_from(pages * page).unwrap_or(0);
    let (bytes, free_bytes) = (bytes(number("page_count")?), bytes(number("freelist_count")?));
    Ok(Examined { path, what: kind.words, bytes, free_bytes, problems })
}
