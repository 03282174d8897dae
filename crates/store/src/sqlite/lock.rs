//! One data folder serves one process at a time.
//!
//! SQLite would let two processes share the file; two writers with caches of their own would not agree. The lock is
//! the operating system's, so it ends with the process however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use crate::OpenError;

/// How often a lock is tried for again that another process has. A program that a killed one was about to start has the lock
/// too, from its fork to its exec: whoever restarts after a kill must not be refused for that.
const TRIES_MORE: u32 = 50;

/// From one try to the next.
const PAUSE: Duration = Duration::from_millis(20);

/// The lock of a data folder, held while this lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, and waits a moment for it.
    pub(crate) fn take(dir: &Path, name: &str) -> Result<Self, OpenError> {
        let path = dir.join(name);
        let mut options = OpenOptions::new();
        // Never truncated: what a running process may have open is left as it is.
        options.read(true).write(true).create(true).truncate(false);
        super::file::private(&mut options);
        let file = options.open(&path).map_err(|source| OpenError::Io { path: path.clone(), source })?;
        let mut tries_left = TRIES_MORE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::WouldBlock) if tries_left > 0 => {
                    tries_left -= 1;
                    std::thread::sleep(PAUSE);
                }
                Err(TryLockError::WouldBlock) => return Err(OpenError::Locked { path: dir.to_owned() }),
                Err(TryLockError::Error(source)) => return Err(OpenError::Io { path, source }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_let_go_within_the_moment_is_taken_and_one_that_is_kept_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let held = Lock::take(folder.path(), "a.lock").expect("it is free");
        let letting_go = std::thread::spawn(move || {
            std::thread::sleep(PAUSE * 3);
            drop(held);
        });
        let taken = Lock::take(folder.path(), "a.lock").expect("it becomes free");
        letting_go.join().expect("it ends");
        let refused = Lock::take(folder.path(), "a.lock").expect_err("it is held");
        assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
        drop(taken);
    }
}
