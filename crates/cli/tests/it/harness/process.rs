//! Processes of the real binary and of strangers' receivers. None outlives its test.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::net::TcpSocket;
use tokio::process::{Child, Command};

use super::{Scratch, patiently, until};

/// The program under test.
pub(crate) const HOOKIT: &str = env!("CARGO_BIN_EXE_hookit");

/// Variables of the machine that must not reach a process under test.
const VARIABLES: [&str; 11] = [
    "HOOKIT_LOG",
    "HOOKIT_URL",
    "HOOKIT_OPERATOR_TOKEN",
    "HOOKIT_METRICS_TOKEN",
    "HOOKIT_INBOX_TOKEN",
    "HOOKIT_INBOX_URL",
    "HOOKIT_INBOX_WRITE_TOKEN",
    "KLIKIT_PARTNER_KEY",
    "KLIKIT_SECRET_KEY",
    "KLIKIT_WEBHOOK_SECRET",
    "PORT",
];

/// A command line with its environment.
#[derive(Clone)]
pub(crate) struct Launch {
    name: &'static str,
    program: OsString,
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, String)>,
}

impl Launch {
    pub(crate) fn new(name: &'static str, program: &str) -> Self {
        Launch { name, program: program.into(), arguments: Vec::new(), variables: Vec::new() }
    }

    /// `hookit` with these arguments.
    pub(crate) fn hookit(arguments: &[&str]) -> Self {
        arguments.iter().fold(Launch::new("hookit", HOOKIT), |launch, argument| launch.argument(argument))
    }

    pub(crate) fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    pub(crate) fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn variable(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// The same with another value for an argument.
    pub(crate) fn replaced(mut self, argument: &str, by: &str) -> Self {
        let place = self.arguments.iter_mut().find(|a| *a == argument).expect("it has this argument");
        *place = by.into();
        self
    }

    /// Starts it, without waiting for anything.
    pub(crate) fn spawn(&self, scratch: &Scratch) -> Process {
        let (stdout, stderr) = scratch.sayings(self.name);
        let file = |path: &Path| std::fs::File::create(path).expect("the folder takes files");
        let mut command = Command::new(&self.program);
        for name in VARIABLES {
            command.env_remove(name);
        }
        let child = command
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(scratch.folder())
            .stdin(Stdio::null())
            .stdout(file(&stdout))
            .stderr(file(&stderr))
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{} is needed for this test and cannot be run: {error}", self.program.display())
            });
        Process { name: self.name, child, stdout, stderr }
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, scratch: &Scratch) -> Ended {
        let mut process = self.spawn(scratch);
        let status = process.ended().await;
        Ended { code: status.code(), stdout: process.stdout(), stderr: process.stderr() }
    }
}

/// What a command that has ended leaves behind.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A running process; killed when dropped.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).expect("the process has a file to write to")).into_owned()
}

impl Process {
    /// What it has said so far on standard output.
    pub(crate) fn stdout(&self) -> String {
        text(&self.stdout)
    }

    /// What it has said so far on standard error.
    pub(crate) fn stderr(&self) -> String {
        text(&self.stderr)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it has not been waited for")
    }

    /// How it ended, where it has.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is a child of this process")
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let name = self.name;
        patiently(&format!("the end of {name}"), self.child.wait())
            .await
            .expect("it is a child of this process")
    }

    /// Sends a signal: TERM, INT, KILL.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.id().to_string();
        let sent = std::process::Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.expect("kill can be run").success(), "{}: signal {signal}", self.name);
    }

    /// The address that it says it listens on; the first line of its standard output.
    pub(crate) async fn listening(&mut self) -> SocketAddr {
        until("the line with the address", async || {
            let said = self.stdout();
            if let Some((line, _)) = said.split_once('\n') {
                let (_, url) = line.split_once("listening on ").expect(line);
                let (_, address) = url.split_once("://").expect(line);
                return Some(address.parse().expect(line));
            }
            if let Some(status) = self.has_ended() {
                panic!("{} ended before it listened: {status}: {}", self.name, self.stderr());
            }
            None
        })
        .await
    }
}

/// A port of this machine that is nobody else's while this lives, so that a server can come back to it. It is bound
/// and not listened on, and so it stands in nobody's way who asks to share it, as servers do.
struct ReservedPort {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl ReservedPort {
    fn take() -> Self {
        let socket = TcpSocket::new_v4().expect("the machine has sockets");
        socket.set_reuseaddr(true).expect("sockets can be shared");
        socket.bind(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        ReservedPort { address: socket.local_addr().expect("it is bound"), _socket: socket }
    }
}

/// A server that can be killed and started again on the same port, with the same data.
pub(crate) struct Server {
    launch: Launch,
    port: ReservedPort,
    process: Option<Process>,
}

impl Server {
    /// A server that is not started yet. `launch` makes the command line from the address.
    pub(crate) fn prepare(launch: impl FnOnce(SocketAddr) -> Launch) -> Self {
        let port = ReservedPort::take();
        Server { launch: launch(port.address), port, process: None }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.port.address)
    }

    /// Starts it, without waiting until it listens.
    pub(crate) fn spawn(&mut self, scratch: &Scratch) {
        assert!(self.process.is_none(), "it runs already");
        self.process = Some(self.launch.spawn(scratch));
    }

    /// Returns once it listens.
    pub(crate) async fn listening(&mut self) {
        let address = self.process().listening().await;
        assert_eq!(address, self.port.address);
    }

    pub(crate) async fn start(&mut self, scratch: &Scratch) {
        self.spawn(scratch);
        self.listening().await;
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it was started")
    }

    /// `kill -9`; returns when it is gone.
    pub(crate) async fn kill(&mut self) {
        let mut process = self.process.take().expect("it was started");
        assert!(process.has_ended().is_none(), "{} had ended by itself: {}", process.name, process.stderr());
        process.child.kill().await.expect("it is a child of this process");
    }

    /// Waits for its end, and forgets it.
    pub(crate) async fn ended(&mut self) -> Ended {
        let mut process = self.process.take().expect("it was started");
        let status = process.ended().await;
        Ended { code: status.code(), stdout: process.stdout(), stderr: process.stderr() }
    }

    /// Asks it to stop, and checks that it does so with success.
    pub(crate) async fn stop(&mut self) {
        self.process().signal("TERM");
        let ended = self.ended().await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}
