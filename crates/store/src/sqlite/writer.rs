//! The writer: one thread owns the writing connection and commits in groups.
//!
//! While a commit is being written, commands wait in a bounded queue; the next transaction - the *tick* - takes all
//! of them. So one fsync serves many callers, and a lone caller waits for nobody. A caller is answered after the
//! commit that holds its command, never before.
//!
//! A commit that fails for the disk's sake is remembered until one comes to its end. Where nobody asks for one meanwhile, the thread
//! tries by itself, so that whoever turned away for it hears when it is over.
//!
//! The writer knows nothing of orders or deliveries: a [`Book`] does the work of a command inside the transaction.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{oneshot, watch};

use super::checkpoint::{self, Checkpoints};
use super::file::Database;
use crate::histogram::Histogram;
use crate::platform::{Queue, Ticks};
use crate::{Condition, Error, OpenError};

/// Commands in one tick at most: it bounds what one failure can take along, and how long a caller waits for others.
pub(crate) const TICK_COMMANDS_MAX: usize = 1_000;

/// Bytes of commands in one tick at most; the command that passes it is the last one in.
pub(crate) const TICK_BYTES_MAX: usize = 8 << 20;

/// Bytes of waiting commands at most.
pub(crate) const QUEUE_BYTES_MAX: usize = 64 << 20;

/// The pause before the disk is tried again by itself.
const TRIAL_PAUSE: Duration = Duration::from_secs(1);

/// What a command does, inside the transaction that the writer holds open.
pub(crate) trait Book: Send + 'static {
    type Command: Send + 'static;
    type Reply: Send + 'static;
    /// What one tick gathers, and what holds only if it is committed.
    type Tick;

    /// About how many bytes a command brings.
    fn bytes(command: &Self::Command) -> usize;

    /// How much a command has the store write: changes, rows, whatever is counted one by one in figures.
    fn writes(_command: &Self::Command) -> usize {
        1
    }

    /// Begins a tick.
    fn begin(&mut self) -> Self::Tick;

    /// Does one command. Its checks come before its writes, so that a refusal leaves nothing behind. An error undoes
    /// the whole transaction.
    fn apply(
        &mut self,
        db: &Connection,
        tick: &mut Self::Tick,
        command: &Self::Command,
    ) -> Result<Self::Reply, Error>;

    /// Does what is done once a tick, before the commit.
    fn finish(&mut self, db: &Connection, tick: &mut Self::Tick) -> Result<(), Error>;

    /// The tick is on disk. Called before the callers are answered. A tick that is not committed is just dropped.
    fn committed(&mut self, tick: Self::Tick);
}

struct Job<B: Book> {
    command: B::Command,
    bytes: u64,
    reply: oneshot::Sender<Result<B::Reply, Error>>,
}

/// The handle of the writing thread.
pub(crate) struct Writer<B: Book> {
    queue: Mutex<Option<SyncSender<Job<B>>>>,
    queue_max: usize,
    meters: Arc<Meters>,
    ended: watch::Receiver<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What is counted and noted on the way.
struct Meters {
    condition: Mutex<Condition>,
    waiting: AtomicU64,
    waiting_bytes: AtomicU64,
    writes: Histogram,
    duration_us: Histogram,
}

/// What the thread owns.
struct Thread<B: Book> {
    db: Connection,
    checkpoints: Checkpoints,
    book: B,
    queue: Receiver<Job<B>>,
    meters: Arc<Meters>,
    tick_min: Duration,
}

/// Why a tick was not committed.
enum Undone {
    /// A command failed, perhaps only that one.
    Command(Error),
    /// The transaction itself failed, with all that was in it.
    Transaction(&'static str, Arc<rusqlite::Error>),
}

impl<B: Book> Writer<B> {
    /// Starts the thread. The lock is let go after the connection is closed.
    ///
    /// # Errors
    /// [`OpenError`] where there is no thread or no connection beside it to be had.
    pub(crate) fn start(
        name: &str,
        database: Database,
        book: B,
        queue_max: usize,
        tick_min: Duration,
    ) -> Result<Self, OpenError> {
        let Database { path, writer: mut db, lock } = database;
        let checkpoints = Checkpoints::start(name, &path, &mut db, checkpoint::LOG_PAGES)
            .map_err(|source| OpenError::Database { path: path.clone(), source: Box::new(source) })?;
        let queue_max = queue_max.max(1);
        let (sender, queue) = sync_channel(queue_max);
        let (alive, ended) = watch::channel(());
        let meters = Arc::new(Meters {
            condition: Mutex::new(Condition::Writable),
            waiting: AtomicU64::default(),
            waiting_bytes: AtomicU64::default(),
            writes: Histogram::default(),
            duration_us: Histogram::default(),
        });
        let thread = Thread { db, checkpoints, book, queue, meters: Arc::clone(&meters), tick_min };
        let thread = std::thread::Builder::new().name(format!("{name}-writer")).spawn(move || {
            // Dropped in reverse: the connection is closed by `serve`, then the lock, and only then the end is told.
            let _alive = alive;
            let _lock = lock;
            thread.serve();
        });
        let thread = thread.map_err(|source| OpenError::Io { path, source })?;
        let (queue, thread) = (Mutex::new(Some(sender)), Mutex::new(Some(thread)));
        Ok(Writer { queue, queue_max, meters, ended, thread })
    }

    /// Has a command done, and answers after its commit. A full queue answers at once.
    pub(crate) async fn run(&self, command: B::Command) -> Result<B::Reply, Error> {
        let answer = self.submit(command)?;
        // A thread that panics drops the replies it owes; its transaction was rolled back with its connection.
        answer.await.unwrap_or(Err(Error::Busy))
    }

    fn submit(&self, command: B::Command) -> Result<oneshot::Receiver<Result<B::Reply, Error>>, Error> {
        let bytes = B::bytes(&command) as u64;
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queue.as_ref().ok_or(Error::Busy)?;
        let before = self.meters.put(bytes);
        // A command that is too large by itself still goes in alone.
        let too_much = before > 0 && before + bytes > QUEUE_BYTES_MAX as u64;
        let (reply, answer) = oneshot::channel();
        let sent = if too_much { Err(()) } else { try_send(queue, Job { command, bytes, reply }) };
        sent.map(|()| answer).map_err(|()| {
            self.meters.take(1, bytes);
            Error::Busy
        })
    }

    /// What was counted so far.
    pub(crate) fn figures(&self) -> (Ticks, Queue) {
        let Meters { waiting, waiting_bytes, writes, duration_us, .. } = &*self.meters;
        let queue = Queue {
            commands: waiting.load(Ordering::Relaxed),
            commands_max: self.queue_max as u64,
            bytes: waiting_bytes.load(Ordering::Relaxed),
            bytes_max: QUEUE_BYTES_MAX as u64,
        };
        (Ticks { writes: writes.read(), duration_us: duration_us.read() }, queue)
    }

    /// Whether commands are taken and their commits come to their end.
    pub(crate) fn condition(&self) -> Condition {
        let is_closed = self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_none()
            // The thread has dropped its end.
            || self.ended.has_changed().is_err();
        if is_closed { Condition::Closed } else { self.meters.condition() }
    }

    /// Takes nothing more, commits what waits, and returns when the connection is closed.
    pub(crate) async fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let mut ended = self.ended.clone();
        // The sender says nothing; it is dropped when the thread ends.
        while ended.changed().await.is_ok() {}
    }
}

impl Meters {
    fn condition(&self) -> Condition {
        *self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how a commit went.
    fn note(&self, now: Condition) {
        let before =
            std::mem::replace(&mut *self.condition.lock().unwrap_or_else(PoisonError::into_inner), now);
        match (before, now) {
            (before, now) if before == now => {}
            (_, Condition::Writable) => tracing::info!("commits come to their end again"),
            (_, now) => tracing::error!("{now}"),
        }
    }

    /// A command comes to wait; the bytes that waited before it.
    fn put(&self, bytes: u64) -> u64 {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed)
    }

    /// Commands wait no more.
    fn take(&self, commands: usize, bytes: u64) {
        self.waiting.fetch_sub(commands as u64, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

fn try_send<B: Book>(queue: &SyncSender<Job<B>>, job: Job<B>) -> Result<(), ()> {
    queue.try_send(job).map_err(|refused| match refused {
        TrySendError::Full(_) | TrySendError::Disconnected(_) => (),
    })
}

impl<B: Book> Drop for Writer<B> {
    /// A store that is dropped without being closed still commits what waits, and has let go of its files after.
    fn drop(&mut self) {
        drop(self.queue.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writing thread had panicked");
        }
    }
}

impl<B: Book> Thread<B> {
    fn serve(mut self) {
        while let Some(first) = self.next() {
            if !self.tick_min.is_zero() {
                std::thread::sleep(self.tick_min);
            }
            let mut bytes = first.bytes;
            let mut jobs = vec![first];
            while jobs.len() < TICK_COMMANDS_MAX && bytes < TICK_BYTES_MAX as u64 {
                let Ok(job) = self.queue.try_recv() else { break };
                bytes += job.bytes;
                jobs.push(job);
            }
            self.meters.take(jobs.len(), bytes);
            self.tick(jobs);
            self.checkpoints.between_ticks(&self.db);
        }
        drop(self.checkpoints);
        // Only tidiness: whoever opens the file next would do it too.
        if let Err(error) = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::debug!(%error, "no last checkpoint");
        }
    }

    /// The next command, and none where no more will come.
    fn next(&mut self) -> Option<Job<B>> {
        while self.meters.condition() != Condition::Writable {
            match self.queue.recv_timeout(TRIAL_PAUSE) {
                Ok(job) => return Some(job),
                Err(RecvTimeoutError::Timeout) => self.try_disk(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        self.queue.recv().ok()
    }

    /// Commits a page as it is. Where that has room and the next commit has not, that one says so again.
    fn try_disk(&self) {
        let version = self.db.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
        match version.and_then(|version| self.db.pragma_update(None, "user_version", version)) {
            Ok(()) => self.meters.note(Condition::Writable),
            Err(error) => self.meters.note(trouble(&error).unwrap_or(Condition::Failing)),
        }
    }

    /// Commits these commands and answers them. Whoever has gone away meanwhile does not want to know.
    fn tick(&mut self, mut jobs: Vec<Job<B>>) {
        let done = self.transact(&jobs);
        if let Some(condition) = told_by(&done) {
            self.meters.note(condition);
        }
        match done {
            Ok(replies) => {
                for (job, reply) in jobs.into_iter().zip(replies) {
                    let _ = job.reply.send(Ok(reply));
                }
            }
            Err(Undone::Transaction(doing, source)) => {
                tracing::error!(%source, commands = jobs.len(), "{doing} failed");
                for job in jobs {
                    let _ =
                        job.reply.send(Err(Error::Database { doing, source: Box::new(Arc::clone(&source)) }));
                }
            }
            Err(Undone::Command(error)) if jobs.len() > 1 => {
                // One of them is bad; by itself it fails nobody else.
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a tick is done again command by command"
                );
                for job in jobs {
                    self.tick(vec![job]);
                }
            }
            Err(Undone::Command(error)) => {
                if let Some(job) = jobs.pop() {
                    let _ = job.reply.send(Err(error));
                }
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a duration is measured, nothing is decided by it")]
    fn transact(&mut self, jobs: &[Job<B>]) -> Result<Vec<B::Reply>, Undone> {
        const BEGIN: &str = "beginning a transaction";
        const COMMIT: &str = "committing a transaction";
        let run = |db: &Connection, sql| db.prepare_cached(sql).and_then(|mut s| s.execute([])).map(|_| ());
        let begun = Instant::now();
        run(&self.db, "BEGIN IMMEDIATE").map_err(|e| Undone::Transaction(BEGIN, Arc::new(e)))?;
        let done = self.work(jobs).map_err(Undone::Command).and_then(|done| {
            run(&self.db, "COMMIT").map_err(|e| Undone::Transaction(COMMIT, Arc::new(e)))?;
            Ok(done)
        });
        match done {
            Ok((replies, tick)) => {
                let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.meters.duration_us.count(took);
                self.meters.writes.count(jobs.iter().map(|job| B::writes(&job.command) as u64).sum());
                self.book.committed(tick);
                Ok(replies)
            }
            Err(undone) => {
                // Some errors have ended the transaction already.
                if !self.db.is_autocommit()
                    && let Err(error) = run(&self.db, "ROLLBACK")
                {
                    tracing::error!(%error, "a rollback failed");
                }
                Err(undone)
            }
        }
    }

    fn work(&mut self, jobs: &[Job<B>]) -> Result<(Vec<B::Reply>, B::Tick), Error> {
        let mut tick = self.book.begin();
        let mut replies = Vec::with_capacity(jobs.len());
        for job in jobs {
            replies.push(self.book.apply(&self.db, &mut tick, &job.command)?);
        }
        self.book.finish(&self.db, &mut tick)?;
        Ok((replies, tick))
    }
}

/// What a transaction tells of the disk; none where it failed for its own sake.
fn told_by<T>(done: &Result<T, Undone>) -> Option<Condition> {
    match done {
        Ok(_) => Some(Condition::Writable),
        Err(Undone::Transaction(_, error)) => trouble(error),
        Err(Undone::Command(Error::Database { source, .. })) => source.downcast_ref().and_then(trouble),
        Err(Undone::Command(_)) => None,
    }
}

/// What is wrong with the disk, where that is why something failed.
fn trouble(error: &rusqlite::Error) -> Option<Condition> {
    match error.sqlite_error_code()? {
        ErrorCode::DiskFull => Some(Condition::NoRoom),
        ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::ReadOnly
        | ErrorCode::PermissionDenied
        | ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::FileLockingProtocolFailed => Some(Condition::Failing),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
