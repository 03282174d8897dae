//! The inbox's store in SQLite.

mod arrival;
mod book;
mod reads;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hookit_contract::{OrderId, StatusCodes};

use self::arrival::Arrival;
use self::book::InboxBook;
use super::file::{self, Kind};
use super::readers::Readers;
use super::writer::Writer;
use crate::inbox::{Counts, HistoryEntry, Quarantined, Receipt, Received, Store, ViewedOrder};
use crate::{Error, OpenError};

const KIND: Kind = Kind {
    name: "inbox",
    words: "a hookit inbox's store",
    // "hkIN"
    application_id: 0x686b_494e,
    migrations: &[include_str!("schema_1.sql")],
};

/// How to open an inbox's store.
#[derive(Clone, Debug)]
pub struct InboxOptions {
    /// The codes of statuses in records.
    pub codes: StatusCodes,
    /// How long a tick waits for more deliveries after its first one. Zero waits for nobody.
    pub tick_min: Duration,
    /// Commands that wait at most.
    pub queue_max: usize,
}

impl Default for InboxOptions {
    fn default() -> Self {
        InboxOptions { codes: StatusCodes::default(), tick_min: Duration::ZERO, queue_max: super::QUEUE_MAX }
    }
}

/// The inbox's store, in the file `inbox.db` of a data folder.
pub struct InboxStore {
    writer: Writer<InboxBook>,
    readers: Readers,
    counts: Arc<Mutex<Counts>>,
    codes: StatusCodes,
}

impl InboxStore {
    /// Opens the store of a data folder, or makes it. Not to be called where blocking is not allowed.
    ///
    /// # Errors
    /// [`OpenError`] where it is in use, newer than this program, not an inbox's, or cannot be read.
    pub fn open(dir: &Path, options: InboxOptions) -> Result<Self, OpenError> {
        let opened = file::open(dir, &KIND)?;
        let path = opened.path.clone();
        let database = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Database {
            path: path.clone(),
            source,
        };
        let counts = Arc::new(Mutex::default());
        let book = InboxBook::load(&opened.writer, options.codes, Arc::clone(&counts))
            .map_err(|e| database(Box::new(e)))?;
        let readers = Readers::open(&path).map_err(|e| database(Box::new(e)))?;
        let writer = Writer::start(KIND.name, opened, book, options.queue_max, options.tick_min)?;
        Ok(InboxStore { writer, readers, counts, codes: options.codes })
    }
}

#[async_trait]
impl Store for InboxStore {
    async fn receive(&self, received: Received) -> Result<Receipt, Error> {
        // Read here, so that the one writing thread does not have to.
        self.writer.run(Arrival::read(received, &self.codes)).await
    }

    async fn order(&self, order_id: OrderId) -> Result<Option<ViewedOrder>, Error> {
        let codes = self.codes;
        self.readers.read("reading an order", move |db| reads::order(db, &codes, order_id)).await
    }

    async fn orders(&self, after: Option<OrderId>, limit: usize) -> Result<Vec<ViewedOrder>, Error> {
        let codes = self.codes;
        self.readers.read("listing orders", move |db| reads::orders(db, &codes, after, limit)).await
    }

    async fn history(&self, order_id: OrderId) -> Result<Option<Vec<HistoryEntry>>, Error> {
        let codes = self.codes;
        self.readers.read("reading an order's history", move |db| reads::history(db, &codes, order_id)).await
    }

    async fn quarantine(&self, after: Option<i64>, limit: usize) -> Result<Vec<Quarantined>, Error> {
        self.readers.read("listing the quarantine", move |db| reads::quarantine(db, after, limit)).await
    }

    async fn counts(&self) -> Result<Counts, Error> {
        Ok(*self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn close(&self) {
        // Readers first: the last connection to close is the writer's, which then tidies the log file away.
        self.readers.close().await;
        self.writer.close().await;
    }
}
