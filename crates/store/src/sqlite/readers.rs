//! A few connections that only read, beside the writer. Each read sees all that was committed before it was asked.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::file;
use crate::Error;

/// Connections, and so reads at one time. More would only wait for the processor.
pub(crate) const READERS: usize = 4;

#[derive(Debug)]
pub(crate) struct Readers {
    free: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

/// Brings a connection back however its read ends.
struct Lent {
    connection: Option<Connection>,
    free: Arc<Mutex<Vec<Connection>>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.free.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

impl Readers {
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        let connections = (0..READERS).map(|_| file::open_reader(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Readers { free: Arc::new(Mutex::new(connections)), permits: Arc::new(Semaphore::new(READERS)) })
    }

    /// Reads, away from the async threads: a page may have to come from disk. All statements of one read see one
    /// state of the database.
    pub(crate) async fn read<T, F>(&self, doing: &'static str, read: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Error::Busy)?;
        let connection = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let lent = Lent { connection, free: Arc::clone(&self.free) };
        tokio::task::spawn_blocking(move || {
            // Dropped after the connection is back, so that whoever comes next finds it.
            let _permit = permit;
            let lent = lent;
            let connection = lent.connection.as_ref().ok_or(Error::Busy)?;
            let snapshot = connection.unchecked_transaction().map_err(super::failed(doing))?;
            let result = read(&snapshot);
            // Nothing was written; the end of the transaction only lets the snapshot go.
            snapshot.finish().map_err(super::failed(doing))?;
            result
        })
        .await
        .unwrap_or_else(|stopped| Err(Error::Database { doing, source: Box::new(stopped) }))
    }

    /// Waits for the reads under way, and closes the connections. Later reads answer [`Error::Busy`].
    pub(crate) async fn close(&self) {
        let all = u32::try_from(READERS).expect("readers are few");
        if let Ok(permits) = self.permits.acquire_many(all).await {
            self.permits.close();
            drop(permits);
            self.free.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}
