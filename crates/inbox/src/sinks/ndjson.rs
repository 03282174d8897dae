//! A sink that is a file or standard output: a line of JSON for each change.
//!
//! A file is opened anew for each write, so that it may be moved away by a log rotation at any time. What a crash or a
//! full disk has left of a line is cut off before the next one is written: it was never counted as handed on.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use hookit_contract::StatusCodes;
use hookit_store::inbox::Change;
use tokio::sync::Mutex;

use super::message;
use super::target::{Handed, Target};

/// How much of a file's end is read at a time to find where its last whole line ends.
const TAIL_BYTES: u64 = 64 << 10;

/// Lines in one write.
const LINES_MAX: usize = 256;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NdjsonSink {
    /// Standard output.
    Stdout,
    /// A file, which is appended to.
    File(PathBuf),
}

pub(crate) struct Ndjson {
    to: NdjsonSink,
    codes: StatusCodes,
    /// Held for as long as a write is under way, also one whose caller has gone: a pipe that nobody reads may keep it for
    /// ever.
    writing: Arc<Mutex<()>>,
}

impl Ndjson {
    pub(crate) fn new(to: NdjsonSink, codes: StatusCodes) -> Self {
        Ndjson { to, codes, writing: Arc::default() }
    }
}

#[async_trait]
impl Target for Ndjson {
    async fn hand_on(&self, changes: &[Change]) -> Vec<Handed> {
        let mut text = Vec::new();
        for change in changes {
            text.extend(message::line(change, &self.codes));
            text.push(b'\n');
        }
        let writing = Arc::clone(&self.writing).lock_owned().await;
        let to = self.to.clone();
        let written = tokio::task::spawn_blocking(move || {
            let _writing = writing;
            match to {
                NdjsonSink::Stdout => write_stdout(&text),
                NdjsonSink::File(path) => append(&path, &text),
            }
        });
        let end = match written.await {
            Ok(Ok(())) => Handed::on(),
            Ok(Err(error)) => Handed::unreachable(match &self.to {
                NdjsonSink::Stdout => format!("standard output: {error}"),
                NdjsonSink::File(path) => format!("{}: {error}", path.display()),
            }),
            Err(error) => Handed::unreachable(error),
        };
        vec![end; changes.len()]
    }

    fn batch_max(&self) -> usize {
        LINES_MAX
    }
}

fn write_stdout(text: &[u8]) -> io::Result<()> {
    let stdout = io::stdout();
    let mut out = stdout.lock();
    out.write_all(text)?;
    out.flush()?;
    // Where it was redirected into a file the lines are to be on disk; a pipe or a terminal has nothing to sync.
    let file = File::from(stdout.as_fd().try_clone_to_owned()?);
    if file.metadata()?.is_file() {
        file.sync_data()?;
    }
    Ok(())
}

fn append(path: &Path, text: &[u8]) -> io::Result<()> {
    // Customers are in it, so others do not read it.
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let length = file.metadata()?.len();
    let whole = whole_lines(&mut file, length)?;
    if whole < length {
        tracing::warn!(path = %path.display(), bytes = length - whole, "half a line at the file's end is cut off");
        file.set_len(whole)?;
    }
    file.write_all(text)?;
    file.sync_data()?;
    if length == 0 {
        // It may be new, and then its name must be on disk, too.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// How many bytes of the file are whole lines.
fn whole_lines(file: &mut File, length: u64) -> io::Result<u64> {
    let mut end = length;
    let mut part = Vec::new();
    // The first look is at the last byte alone: nearly always it ends a line.
    let mut reach = 1;
    while end > 0 {
        let begin = end.saturating_sub(reach);
        file.seek(SeekFrom::Start(begin))?;
        part.clear();
        file.take(end - begin).read_to_end(&mut part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
        reach = TAIL_BYTES;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::change;
    use super::*;
    use hookit_contract::AttemptOutcome;
    use std::os::unix::fs::PermissionsExt as _;

    fn file_sink(path: &Path) -> Ndjson {
        Ndjson::new(NdjsonSink::File(path.to_owned()), StatusCodes::default())
    }

    #[tokio::test]
    async fn lines_are_appended_behind_the_last_whole_one_and_only_the_owner_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.ndjson");
        let sink = file_sink(&path);
        let ends = sink.hand_on(&[change(1, "{\"id\":7}"), change(2, "{\"id\":8}")]).await;
        assert!(ends.iter().all(|end| end.outcome == AttemptOutcome::Acknowledged) && ends.len() == 2);
        let first = std::fs::read_to_string(&path).unwrap();
        assert_eq!(first.lines().count(), 2);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for torn in ["{".to_owned(), "x".repeat(3 * TAIL_BYTES as usize)] {
            std::fs::write(&path, format!("{first}{torn}")).unwrap();
            sink.hand_on(&[change(3, "{\"id\":9}")]).await;
            let now = std::fs::read_to_string(&path).unwrap();
            assert!(now.starts_with(&first), "a whole line was cut off");
            let third = now.strip_prefix(&first).unwrap();
            assert!(third.ends_with("\"order\":{\"id\":9}}\n") && third.lines().count() == 1, "{third}");
        }
        std::fs::write(&path, "torn").unwrap();
        sink.hand_on(&[change(3, "{\"id\":9}")]).await;
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("{\"event_id\""));
    }

    #[tokio::test]
    async fn a_file_that_was_moved_away_is_begun_again_and_one_that_cannot_be_written_says_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.ndjson");
        let sink = file_sink(&path);
        sink.hand_on(&[change(1, "{}")]).await;
        std::fs::rename(&path, dir.path().join("orders.1")).unwrap();
        sink.hand_on(&[change(2, "{}")]).await;
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
        let folder = file_sink(dir.path());
        let ends = folder.hand_on(&[change(3, "{}")]).await;
        assert_eq!(ends[0].outcome, AttemptOutcome::ConnectFailed);
        assert!(ends[0].error.as_ref().unwrap().contains(&dir.path().display().to_string()));
    }
}
