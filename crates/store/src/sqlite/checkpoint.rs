//! Moves what was committed from the log into the database file, beside the writer, so that nobody waits for it.
//!
//! SQLite would do it within a commit, which then takes a hundred times as long as others. Here a thread with a connection
//! of its own does it while the writer goes on, and the writer only moves what came meanwhile, between two ticks: with
//! nothing left in it, the log begins at its start again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;

use super::file;

/// Pages in the log from which on they are moved: 32 MiB. Pages that every tick touches are moved once in many ticks.
pub(super) const LOG_PAGES: usize = 4096;

/// So many times that, and the writer does it all by itself: a disk that cannot keep up slows the commits down rather
/// than let the log grow without end.
const BEHIND: usize = 8;

/// The thread moves until so small a part is left for the writer, or it has tried so often.
const LEFT_PARTS: usize = 16;
const PASSES: usize = 4;

/// The writer's side.
#[derive(Debug)]
pub(super) struct Checkpoints {
    log_pages: usize,
    shared: Arc<Shared>,
    /// Asks the thread to move what there is. None once it is to end.
    ask: Option<SyncSender<()>>,
    is_under_way: bool,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Pages in the log after the last commit.
    in_log: AtomicUsize,
    /// The thread has moved what it could.
    is_moved: AtomicBool,
}

impl Checkpoints {
    /// Takes over the checkpoints of the writing connection.
    pub(super) fn start(
        name: &str,
        path: &Path,
        writer: &mut Connection,
        log_pages: usize,
    ) -> rusqlite::Result<Self> {
        let shared = Arc::new(Shared::default());
        let db = file::open_checkpointer(path)?;
        let noting = Arc::clone(&shared);
        writer.wal_hook(Some(move |_: &mut _, pages: std::ffi::c_int| {
            noting.in_log.store(usize::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        let (ask, asked) = sync_channel(1);
        let moving = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(format!("{name}-checkpoint"))
            .spawn(move || moving.serve(&db, &asked, log_pages / LEFT_PARTS));
        // Without the thread the writer does all of it, as a log that is far too long.
        let thread = thread.inspect_err(|error| tracing::warn!(%error, "no thread for checkpoints")).ok();
        let ask = thread.is_some().then_some(ask);
        Ok(Checkpoints { log_pages, shared, ask, is_under_way: false, thread })
    }

    /// To be called between two ticks.
    pub(super) fn between_ticks(&mut self, writer: &Connection) {
        let in_log = self.shared.in_log.load(Ordering::Relaxed);
        let is_moved = self.is_under_way && self.shared.is_moved.swap(false, Ordering::AcqRel);
        if is_moved || in_log >= self.log_pages * BEHIND {
            self.is_under_way &= !is_moved;
            // A reader in an old snapshot may keep some of it where it is; then it is tried again.
            if let Err(error) = checkpoint(writer) {
                tracing::warn!(%error, "the log could not be moved into the database file; trying again");
            }
        } else if in_log >= self.log_pages
            && !self.is_under_way
            && let Some(ask) = &self.ask
        {
            self.is_under_way = ask.try_send(()).is_ok();
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread for checkpoints had panicked");
        }
    }
}

impl Shared {
    fn serve(&self, db: &Connection, asked: &Receiver<()>, left_max: usize) {
        while asked.recv().is_ok() {
            for _ in 0..PASSES {
                match checkpoint(db) {
                    Ok(moved) if self.in_log.load(Ordering::Relaxed) > moved + left_max => {}
                    Ok(_) => break,
                    Err(error) => {
                        tracing::debug!(%error, "a checkpoint beside the writer failed");
                        break;
                    }
                }
            }
            self.is_moved.store(true, Ordering::Release);
        }
    }
}

/// Moves what can be moved without waiting for anybody. How many pages of the log are moved by now.
fn checkpoint(db: &Connection) -> rusqlite::Result<usize> {
    let (_, moved) = db.wal_checkpoint_v2(Some(c"main"), CheckpointMode::PASSIVE)?;
    Ok(usize::try_from(moved).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES: usize = 20;

    fn log_bytes(path: &Path) -> u64 {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        std::fs::metadata(log).unwrap().len()
    }

    #[test]
    fn the_log_stays_short_and_everything_is_in_the_file_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let file::Database { path, mut writer, lock: _lock } = file::open(folder.path(), &file::ANY).unwrap();
        let mut checkpoints = Checkpoints::start("any", &path, &mut writer, PAGES).unwrap();
        let page: i64 = writer.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
        let mut handed_over = 0;
        for n in 0..1_000_i64 {
            writer.execute("INSERT INTO t (x) VALUES (?1)", [n]).unwrap();
            let before = checkpoints.is_under_way;
            checkpoints.between_ticks(&writer);
            handed_over += usize::from(!before && checkpoints.is_under_way);
        }
        assert!(handed_over > 0, "the thread had something to do");
        // One tick more than the longest log before the writer moves it by itself, and the pages' heads.
        let longest = (PAGES * BEHIND + 10) as u64 * (page.unsigned_abs() + 24) + 32;
        assert!(log_bytes(&path) <= longest, "{} > {longest}", log_bytes(&path));
        drop(checkpoints);
        checkpoint(&writer).unwrap();
        // The file alone has it all.
        let copy = folder.path().join("copy.db");
        std::fs::copy(&path, &copy).unwrap();
        let rows: i64 = Connection::open(&copy)
            .unwrap()
            .query_row("SELECT count(DISTINCT x) FROM t", [], |row| row.get(0))
            .unwrap();
        assert_eq!(rows, 1_000);
    }

    #[test]
    fn a_reader_in_an_old_snapshot_holds_nobody_up_and_the_log_is_moved_when_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let file::Database { path, mut writer, lock: _lock } = file::open(folder.path(), &file::ANY).unwrap();
        let mut checkpoints = Checkpoints::start("any", &path, &mut writer, PAGES).unwrap();
        let reader = file::open_reader(&path).unwrap();
        let snapshot = reader.unchecked_transaction().unwrap();
        snapshot.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap();
        let write = |checkpoints: &mut Checkpoints, ticks: i64| {
            for n in 0..ticks {
                writer.execute("INSERT INTO t (x) VALUES (?1)", [n]).unwrap();
                checkpoints.between_ticks(&writer);
            }
        };
        write(&mut checkpoints, 1_000);
        assert!(checkpoints.shared.in_log.load(Ordering::Relaxed) >= 1_000, "the log could not begin anew");
        drop(snapshot);
        write(&mut checkpoints, 1_000);
        assert!(checkpoints.shared.in_log.load(Ordering::Relaxed) < PAGES * BEHIND + 10);
    }
}
