//! What the tests run the program with: folders, processes on fixed ports, an HTTP client, the two halves ready to
//! use, and producers that remember what was acknowledged to them.

pub(crate) mod halves;
pub(crate) mod held;
pub(crate) mod http;
pub(crate) mod ledger;
pub(crate) mod process;
pub(crate) mod producer;

use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A port that nobody listens on just now, for a program that has to be told one.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Long enough for the slowest machine; a test that gets here has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// How often something is looked at that cannot call out.
pub(crate) const GLANCE: Duration = Duration::from_millis(10);

/// Waits for something that must end.
#[track_caller]
pub(crate) fn patiently<T>(what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(PATIENCE, future).await {
            Ok(value) => value,
            Err(_) => panic!("{caller}: {what}: nothing within {} s", PATIENCE.as_secs()),
        }
    }
}

/// Looks again and again until there is something to see.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> impl Future<Output = T> {
    patiently(what, async move {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(GLANCE).await;
        }
    })
}

/// A test's folder: data, configuration and everything that the processes said. Kept where the test fails.
pub(crate) struct Scratch {
    folder: Option<tempfile::TempDir>,
    processes: AtomicUsize,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("hookit-test-").tempdir().expect("a temporary folder");
        Scratch { folder: Some(folder), processes: AtomicUsize::new(0) }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.as_ref().expect("it is there until the drop").path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Writes a file, for example a configuration.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("the folder takes files");
        path
    }

    /// Where the next process of this name says what it says: standard output and standard error.
    fn sayings(&self, name: &str) -> (PathBuf, PathBuf) {
        let number = self.processes.fetch_add(1, Ordering::Relaxed);
        let said = self.path("said");
        std::fs::create_dir_all(&said).expect("the folder takes folders");
        (said.join(format!("{number:03}-{name}.out")), said.join(format!("{number:03}-{name}.err")))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take()
            && std::thread::panicking()
        {
            let kept = folder.keep();
            let _ = writeln!(std::io::stderr(), "what the processes said and kept: {}", kept.display());
        }
    }
}
