//! A sink that is a program: it is run once for each change, with the change as JSON on its standard input. Exit code
//! 0 means that it has taken it.
//!
//! The program is run as it is named, by no shell. Of this process's environment it gets what programs need to run at
//! all and what the settings name: the inbox's own secrets are in there, too.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use hookit_contract::{AttemptOutcome, StatusCodes};
use hookit_store::inbox::Change;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::message;
use super::target::{Handed, Target};

/// How much of what the program says on standard error is kept, for the error's text.
const SAYING_BYTES_MAX: u64 = 4096;

/// How long the last words of a program that has failed are waited for.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// What every program gets of the environment.
const ENVIRONMENT: [&str; 8] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"];

/// The settings of a sink that runs a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSink {
    /// The program, and its arguments. Whoever lists processes can read them.
    pub command: Vec<String>,
    /// Variables of this process's environment that it gets beside those that every program does.
    pub environment: Vec<String>,
    /// The folder to run it in; the inbox's own where none is said.
    pub folder: Option<PathBuf>,
}

pub(crate) struct Program {
    config: CommandSink,
    environment: Vec<(String, OsString)>,
    codes: StatusCodes,
}

impl Program {
    pub(crate) fn new(config: CommandSink, codes: StatusCodes) -> Result<Self, String> {
        if config.command.first().is_none_or(String::is_empty) {
            return Err("command: is empty; expected a program and its arguments".to_owned());
        }
        if let Some(odd) = config.command.iter().chain(&config.environment).find(|text| text.contains('\0')) {
            return Err(format!("command: {odd:?} has a NUL character, which no argument can have"));
        }
        let named = config.environment.iter().map(String::as_str);
        let environment = ENVIRONMENT
            .into_iter()
            .chain(named)
            .filter_map(|name| Some((name.to_owned(), std::env::var_os(name)?)))
            .collect();
        Ok(Program { config, environment, codes })
    }

    async fn run(&self, change: &Change) -> Handed {
        let [program, arguments @ ..] = &self.config.command[..] else { unreachable!("it was checked") };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A group of its own, so that what it has started ends with it.
            .process_group(0);
        if let Some(folder) = &self.config.folder {
            command.current_dir(folder);
        }
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Handed::unreachable(format!("{program}: {error}")),
        };
        let mut group = Group::of(child);
        let mut line = message::line(change, &self.codes);
        line.push(b'\n');
        let (status, saying) = match group.follow(&line).await {
            Ok(ended) => ended,
            Err(error) => {
                return Handed::failed(AttemptOutcome::ConnectionLost, format!("{program}: {error}"));
            }
        };
        if status.success() {
            return Handed::on();
        }
        let last = saying.lines().rev().map(str::trim).find(|line| !line.is_empty());
        let last = last.map(|line| format!(": {line}")).unwrap_or_default();
        Handed::refused(format!("{program} ended with {status}{last}"))
    }
}

/// A program that is running, and all that it has started. Whatever is left of it is killed when this is dropped.
struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Group {
    fn of(child: Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Group { child, id }
    }

    /// Gives it its input, and waits for its end.
    async fn follow(&mut self, input: &[u8]) -> std::io::Result<(ExitStatus, String)> {
        let mut stdin = self.child.stdin.take().expect("it was asked for");
        let mut stderr = self.child.stderr.take().expect("it was asked for");
        let writing = async move {
            // One that does not care for its input may close it; its exit code says what it made of that.
            let _ = stdin.write_all(input).await;
        };
        let mut saying = Vec::new();
        let reading = async {
            let _ = (&mut stderr).take(SAYING_BYTES_MAX).read_to_end(&mut saying).await;
            // The rest is thrown away: a program that nobody listens to would wait for ever.
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        };
        let status = {
            // What it has started in the background may hold standard error open; its own end is what counts.
            let child = &mut self.child;
            let waiting = child.wait();
            tokio::pin!(waiting, writing, reading);
            let (mut written, mut read) = (false, false);
            loop {
                tokio::select! {
                    biased;
                    () = &mut writing, if !written => written = true,
                    () = &mut reading, if !read => read = true,
                    status = &mut waiting => {
                        let status = status?;
                        // What it said last may lie in the pipe still. One that has it open in the background must not
                        // be waited for, and the text decides nothing.
                        if !read && !status.success() {
                            let _ = tokio::time::timeout(LAST_WORDS, &mut reading).await;
                        }
                        break status;
                    }
                }
            }
        };
        Ok((status, String::from_utf8_lossy(&saying).into_owned()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Only while the child has not been waited for is its number surely its own.
        if let Some(id) = self.id.filter(|_| self.child.id().is_some()) {
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

#[async_trait]
impl Target for Program {
    async fn hand_on(&self, changes: &[Change]) -> Vec<Handed> {
        let mut ends = Vec::with_capacity(changes.len());
        for change in changes {
            ends.push(self.run(change).await);
        }
        ends
    }

    fn batch_max(&self) -> usize {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::change;
    use super::*;

    fn shell(script: &str) -> Program {
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        let config = CommandSink { command, environment: Vec::new(), folder: None };
        Program::new(config, StatusCodes::default()).unwrap()
    }

    async fn run(script: &str) -> Handed {
        shell(script).hand_on(&[change(1, "{\"id\":7}")]).await.remove(0)
    }

    #[tokio::test]
    async fn its_exit_code_decides_and_its_last_words_are_the_error() {
        assert_eq!(run("grep -q '\"order\":{\"id\":7}'").await.outcome, AttemptOutcome::Acknowledged);
        // Without having read its input.
        assert_eq!(run("exit 0").await.outcome, AttemptOutcome::Acknowledged);
        let refused = run("echo first >&2; echo 'no such table' >&2; exit 3").await;
        assert_eq!(refused.outcome, AttemptOutcome::Refused);
        assert_eq!(refused.error.unwrap(), "sh ended with exit status: 3: no such table");
        let much = run("yes | head -c 1000000 >&2; exit 0").await;
        assert_eq!(much.outcome, AttemptOutcome::Acknowledged);
        // Something that goes on in the background holds nobody up.
        assert_eq!(run("sleep 1000 & exit 0").await.outcome, AttemptOutcome::Acknowledged);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_the_sinks_fault_and_not_the_changes() {
        let command = vec!["/no/such/program".to_owned()];
        let config = CommandSink { command, environment: Vec::new(), folder: None };
        let program = Program::new(config, StatusCodes::default()).unwrap();
        let end = program.hand_on(&[change(1, "{}")]).await.remove(0);
        assert_eq!(end.outcome, AttemptOutcome::ConnectFailed);
        assert!(end.error.unwrap().contains("/no/such/program"));
    }

    #[tokio::test]
    async fn it_gets_no_variable_that_was_not_named_for_it() {
        let end = run(
            "env | cut -d= -f1 | grep -v -x -e PATH -e HOME -e USER -e LANG -e LC_ALL -e LC_CTYPE -e TZ \
             -e TMPDIR -e PWD -e SHLVL -e _ -e OLDPWD >&2 && exit 1; exit 0",
        )
        .await;
        assert_eq!(end.outcome, AttemptOutcome::Acknowledged, "{:?}", end.error);
        // Cargo sets this one for every test.
        let named = CommandSink {
            command: ["sh", "-c", "test -n \"$CARGO_MANIFEST_DIR\""].map(str::to_owned).to_vec(),
            environment: vec!["CARGO_MANIFEST_DIR".to_owned()],
            folder: None,
        };
        let program = Program::new(named, StatusCodes::default()).unwrap();
        assert_eq!(program.hand_on(&[change(1, "{}")]).await[0].outcome, AttemptOutcome::Acknowledged);
    }

    #[tokio::test]
    async fn what_runs_too_long_is_killed_with_all_that_it_has_started() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let program = shell(&format!("sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait", pid.display()));
        let change = [change(1, "{}")];
        let handing = program.hand_on(&change);
        tokio::pin!(handing);
        let pid = loop {
            tokio::select! {
                _ = &mut handing => panic!("it ended"),
                () = tokio::time::sleep(Duration::from_millis(10)) => {}
            }
            if let Ok(text) = std::fs::read_to_string(&pid) {
                break text.trim().to_owned();
            }
        };
        let is_running = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // A zombie that nobody has waited for has ended all the same.
            !stat.is_empty() && !stat.contains(") Z ")
        };
        assert!(is_running());
        // As the runner does when the time is over.
        handing.set(program.hand_on(&[]));
        tokio::time::timeout(Duration::from_secs(60), async {
            while is_running() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .expect("it outlived its time");
    }

    #[test]
    fn a_command_that_cannot_be_run_is_refused_with_the_reason() {
        for (command, words) in [(vec![], "is empty"), (vec![""], "is empty"), (vec!["a", "b\0"], "NUL")] {
            let command = command.into_iter().map(str::to_owned).collect();
            let config = CommandSink { command, environment: Vec::new(), folder: None };
            let error = Program::new(config, StatusCodes::default()).err().unwrap();
            assert!(error.contains(words), "{error}");
        }
    }
}
