//! One data folder serves one process at a time.
//!
//! SQLite would let two processes share the file; two writers with caches of their own would not agree. The lock is
//! the operating system's, so it ends with the process however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::OpenError;

/// The lock of a data folder, held while this lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock.
    pub(crate) fn take(dir: &Path, name: &str) -> Result<Self, OpenError> {
        let path = dir.join(name);
        let mut options = OpenOptions::new();
        // Never truncated: what a running process may have open is left as it is.
        options.read(true).write(true).create(true).truncate(false);
        super::file::private(&mut options);
        let file = options.open(&path).map_err(|source| OpenError::Io { path: path.clone(), source })?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: dir.to_owned() }),
            Err(TryLockError::Error(source)) => Err(OpenError::Io { path, source }),
        }
    }
}
