//! Where a demo keeps everything: a folder of the user's, or a temporary one that is gone at the end.
//!
//! A demo that is killed leaves its temporary folder behind. The next one removes it: whoever has a folder holds a lock in it,
//! which goes with the process.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

const PREFIX: &str = "hookit-demo-";
const LOCK: &str = "demo.lock";

/// A folder, and the lock on it where it is a temporary one.
pub(super) enum Folder {
    Given(PathBuf),
    Temporary { folder: TempDir, _lock: File },
}

impl Folder {
    /// The given folder, or a temporary one.
    pub(super) fn open(given: Option<&Path>) -> std::io::Result<Self> {
        if let Some(given) = given {
            return Ok(Folder::Given(given.to_owned()));
        }
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
        // Locked before it has its name, so that nobody finds it unlocked.
        let unnamed = folder.path().join("lock");
        let lock = File::create(&unnamed)?;
        lock.lock()?;
        std::fs::rename(unnamed, folder.path().join(LOCK))?;
        remove_remains(folder.path());
        Ok(Folder::Temporary { folder, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Folder::Given(path) => path,
            Folder::Temporary { folder, .. } => folder.path(),
        }
    }
}

/// Removes what demos have left that were killed. What cannot be removed stays; it stands in nobody's way.
fn remove_remains(own: &Path) {
    let (Some(all), Ok(owner)) = (own.parent(), own.metadata().map(|own| own.uid())) else { return };
    for entry in std::fs::read_dir(all).into_iter().flatten().flatten() {
        let is_one = entry.file_name().to_string_lossy().starts_with(PREFIX) && entry.path() != own;
        // No link is followed: who else can write here could lay one.
        let is_ours = || entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == owner);
        if !is_one || !is_ours() {
            continue;
        }
        let is_left = File::open(entry.path().join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
        if is_left && let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::debug!(%error, folder = %entry.path().display(), "the remains of a demo cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_demo_left_is_removed_and_what_another_one_has_is_not() {
        let all = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = all.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let (own, left, held, young, other) = (
            folder("hookit-demo-own"),
            folder("hookit-demo-left"),
            folder("hookit-demo-held"),
            folder("hookit-demo-young"),
            folder("else"),
        );
        for one in [&own, &left, &held, &other] {
            File::create(one.join(LOCK)).unwrap();
        }
        let lock = File::open(held.join(LOCK)).unwrap();
        lock.lock().unwrap();
        remove_remains(&own);
        assert!(own.exists() && held.exists() && young.exists() && other.exists() && !left.exists());
    }

    #[test]
    fn a_temporary_folder_is_gone_at_the_end() {
        let folder = Folder::open(None).unwrap();
        let path = folder.path().to_owned();
        assert!(path.join(LOCK).exists());
        drop(folder);
        assert!(!path.exists());
    }
}
