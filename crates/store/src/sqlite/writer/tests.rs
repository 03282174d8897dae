use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;

use super::*;
use crate::sqlite::lock::Lock;
use crate::sqlite::{failed, file};

/// A book with one table of numbers. Commands name a number and what goes wrong with it.
struct Numbers {
    begun: Arc<AtomicUsize>,
    committed: Arc<AtomicUsize>,
}

enum Act {
    Put,
    /// Is refused after it has written.
    Fail,
    /// Makes the commit fail: the row refers to one that is not there.
    Dangle,
    /// Leaves no room for more pages.
    Crowd,
    Panic,
    /// Says that it has begun, and holds the thread until it is told to go on.
    Hold(mpsc::SyncSender<()>, Mutex<mpsc::Receiver<()>>),
}

impl Book for Numbers {
    type Command = (i64, Act);
    type Reply = i64;
    type Tick = ();

    fn bytes((number, _): &(i64, Act)) -> usize {
        usize::try_from(*number).unwrap()
    }

    fn begin(&mut self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
    }

    fn apply(&mut self, db: &Connection, _tick: &mut (), (number, act): &(i64, Act)) -> Result<i64, Error> {
        let insert = |other: i64| {
            db.execute("INSERT INTO numbers VALUES (?1, ?2)", [*number, other])
                .map_err(failed("putting a number"))
        };
        match act {
            Act::Put => insert(*number).map(|_| *number),
            Act::Fail => insert(*number).and(Err(Error::Corrupt(format!("{number} is bad")))),
            Act::Dangle => insert(-1).map(|_| *number),
            Act::Crowd => db
                .query_row("PRAGMA max_page_count = 1", [], |_| Ok(*number))
                .map_err(failed("setting a limit")),
            Act::Panic => panic!("as the test asked"),
            Act::Hold(begun, go_on) => {
                begun.send(()).unwrap();
                go_on.lock().unwrap().recv().unwrap();
                Ok(*number)
            }
        }
    }

    fn finish(&mut self, _db: &Connection, _tick: &mut ()) -> Result<(), Error> {
        Ok(())
    }

    fn committed(&mut self, _tick: ()) {
        self.committed.fetch_add(1, Ordering::SeqCst);
    }
}

struct Setup {
    folder: tempfile::TempDir,
    writer: Writer<Numbers>,
    begun: Arc<AtomicUsize>,
    committed: Arc<AtomicUsize>,
}

const KIND: file::Kind = file::Kind {
    name: "numbers",
    words: "numbers",
    application_id: 8,
    migrations: &["CREATE TABLE numbers (
         number INTEGER PRIMARY KEY,
         other INTEGER NOT NULL REFERENCES numbers DEFERRABLE INITIALLY DEFERRED
     )"],
};

fn setup(queue_max: usize) -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let (begun, committed) = (Arc::default(), Arc::default());
    let book = Numbers { begun: Arc::clone(&begun), committed: Arc::clone(&committed) };
    let opened = file::open(folder.path(), &KIND).unwrap();
    let writer = Writer::start(KIND.name, opened, book, queue_max, Duration::ZERO).unwrap();
    Setup { folder, writer, begun, committed }
}

fn numbers(folder: &Path) -> Vec<i64> {
    let db = file::open_reader(&folder.join("numbers.db")).unwrap();
    let mut statement = db.prepare("SELECT number FROM numbers ORDER BY number").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Holds the writing thread in a tick, so that what comes now waits. Dropping the sender's other end is not enough
/// to go on: it must be told.
fn hold(writer: &Writer<Numbers>) -> (mpsc::SyncSender<()>, oneshot::Receiver<Result<i64, Error>>) {
    let (begun, has_begun) = mpsc::sync_channel(1);
    let (go_on, told) = mpsc::sync_channel(1);
    let answer = writer.submit((0, Act::Hold(begun, Mutex::new(told)))).unwrap();
    has_begun.recv().unwrap();
    (go_on, answer)
}

#[tokio::test]
async fn what_waits_while_a_tick_is_written_goes_into_the_next_one() {
    let Setup { folder, writer, committed, .. } = setup(100);
    let (go_on, held) = hold(&writer);
    let answers: Vec<_> = (1..=50).map(|n| writer.submit((n, Act::Put)).unwrap()).collect();
    go_on.send(()).unwrap();
    assert_eq!(held.await.unwrap().unwrap(), 0);
    for (answer, n) in answers.into_iter().zip(1..) {
        assert_eq!(answer.await.unwrap().unwrap(), n);
    }
    assert_eq!(committed.load(Ordering::SeqCst), 2);
    assert_eq!(numbers(folder.path()), (1..=50).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_queue_answers_busy_at_once_and_does_nothing() {
    let Setup { folder, writer, .. } = setup(3);
    let (go_on, _held) = hold(&writer);
    let answers: Vec<_> = (1..=3).map(|n| writer.submit((n, Act::Put)).unwrap()).collect();
    assert!(matches!(writer.run((4, Act::Put)).await, Err(Error::Busy)));
    go_on.send(()).unwrap();
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
    writer.run((5, Act::Put)).await.unwrap();
    assert_eq!(numbers(folder.path()), [1, 2, 3, 5]);
}

#[tokio::test]
async fn a_queue_that_is_full_by_bytes_answers_busy_but_takes_a_large_command_alone() {
    let Setup { folder, writer, .. } = setup(100);
    let large = QUEUE_BYTES_MAX as i64 + 1;
    let (go_on, _held) = hold(&writer);
    let alone = writer.submit((large, Act::Put)).unwrap();
    assert!(matches!(writer.run((1, Act::Put)).await, Err(Error::Busy)));
    go_on.send(()).unwrap();
    alone.await.unwrap().unwrap();
    writer.run((2, Act::Put)).await.unwrap();
    assert_eq!(numbers(folder.path()), [2, large]);
}

#[tokio::test]
async fn a_bad_command_fails_by_itself_and_not_its_neighbours() {
    let Setup { folder, writer, begun, committed } = setup(100);
    let (go_on, _held) = hold(&writer);
    let answers: Vec<_> = [Act::Put, Act::Fail, Act::Put, Act::Dangle]
        .into_iter()
        .zip(1..)
        .map(|(act, n)| writer.submit((n, act)).unwrap())
        .collect();
    go_on.send(()).unwrap();
    let mut results = Vec::new();
    for answer in answers {
        results.push(answer.await.unwrap());
    }
    assert!(
        matches!(results[..], [Ok(1), Err(Error::Corrupt(_)), Ok(3), Err(Error::Database { .. })]),
        "{results:?}"
    );
    assert_eq!(numbers(folder.path()), [1, 3]);
    // The held one, the tick of four, and the four by themselves; two of them were not committed.
    assert_eq!((begun.load(Ordering::SeqCst), committed.load(Ordering::SeqCst)), (6, 3));
}

#[tokio::test]
async fn a_commit_that_fails_fails_all_that_was_in_it_and_nothing_stays() {
    let Setup { folder, writer, .. } = setup(100);
    let (go_on, _held) = hold(&writer);
    let answers = [writer.submit((1, Act::Put)).unwrap(), writer.submit((2, Act::Dangle)).unwrap()];
    go_on.send(()).unwrap();
    for answer in answers {
        assert!(matches!(answer.await.unwrap(), Err(Error::Database { .. })));
    }
    assert_eq!(numbers(folder.path()), [0; 0]);
    writer.run((3, Act::Put)).await.unwrap();
    assert_eq!(numbers(folder.path()), [3]);
}

#[tokio::test]
async fn a_disk_that_fails_is_told_of_until_a_commit_comes_to_its_end_also_where_nobody_asks_for_one() {
    let Setup { folder, writer, .. } = setup(100);
    // What fails for its own sake says nothing of the disk.
    for act in [Act::Fail, Act::Dangle] {
        writer.run((1, act)).await.unwrap_err();
        assert_eq!(writer.condition(), Condition::Writable);
    }
    // Somebody else has the file.
    let other = Connection::open(folder.path().join("numbers.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(writer.run((2, Act::Put)).await, Err(Error::Database { .. })));
    assert_eq!(writer.condition(), Condition::Failing);
    other.execute_batch("ROLLBACK").unwrap();
    let found_out = async {
        while writer.condition() != Condition::Writable {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found_out).await.expect("it finds out by itself");
    writer.run((3, Act::Put)).await.unwrap();
    assert_eq!(numbers(folder.path()), [3]);
    writer.close().await;
    assert_eq!(writer.condition(), Condition::Closed);
}

#[tokio::test]
async fn a_database_without_room_is_told_apart_from_a_disk_that_fails() {
    let Setup { writer, .. } = setup(100);
    writer.run((1, Act::Crowd)).await.unwrap();
    // Asked right after a commit that failed: what needs no further page, as the trial in between, still has room.
    let crowded = async {
        for number in 2.. {
            if writer.run((number, Act::Put)).await.is_err() && writer.condition() == Condition::NoRoom {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), crowded).await.expect("there is an end of the room");
}

#[tokio::test]
async fn a_panic_in_the_thread_hangs_nobody_and_leaves_nothing() {
    let Setup { folder, writer, .. } = setup(100);
    let (go_on, _held) = hold(&writer);
    let answers = [writer.submit((1, Act::Put)).unwrap(), writer.submit((2, Act::Panic)).unwrap()];
    go_on.send(()).unwrap();
    for answer in answers {
        assert!(answer.await.is_err(), "a dropped reply is busy to the caller");
    }
    // The thread may take a moment to be gone; whoever asks is told busy either way.
    assert!(matches!(writer.run((3, Act::Put)).await, Err(Error::Busy)));
    writer.close().await;
    assert_eq!(writer.condition(), Condition::Closed);
    assert_eq!(numbers(folder.path()), [0; 0]);
}

#[tokio::test]
async fn closing_commits_what_waits_and_takes_nothing_more() {
    let Setup { folder, writer, .. } = setup(100);
    let (go_on, _held) = hold(&writer);
    let waiting = writer.submit((1, Act::Put)).unwrap();
    let close = writer.close();
    let late = async {
        assert!(matches!(writer.run((2, Act::Put)).await, Err(Error::Busy)));
        go_on.send(()).unwrap();
    };
    // Polled in this order: the queue is closed before the late one comes.
    tokio::join!(biased; close, late);
    assert_eq!(waiting.await.unwrap().unwrap(), 1);
    assert_eq!(numbers(folder.path()), [1]);
    Lock::take(folder.path(), "numbers.lock").expect("the lock is let go when the store is closed");
}

#[test]
fn dropping_commits_what_waits_and_lets_go_of_the_folder() {
    let Setup { folder, writer, .. } = setup(100);
    let (go_on, _held) = hold(&writer);
    let _waiting: Vec<_> = (1..=3).map(|n| writer.submit((n, Act::Put)).unwrap()).collect();
    go_on.send(()).unwrap();
    drop(writer);
    Lock::take(folder.path(), "numbers.lock").expect("the lock is let go when the store is dropped");
    assert_eq!(numbers(folder.path()), [1, 2, 3]);
}
