//! A NATS server and a PostgreSQL as processes of a test: on a port and in a folder of its own, killed in the middle
//! of work, and started again.

use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::net::TcpStream;

use crate::harness::process::{Launch, Server};
use crate::harness::{Scratch, until};

/// A server of another project's.
pub(super) struct Foreign {
    server: Server,
    /// A signal that ends it at once and leaves its port to the next one.
    kill_by: &'static str,
    /// A folder outside the test's own, where it has to belong to another user.
    _folder: Option<tempfile::TempDir>,
}

impl Foreign {
    pub(super) async fn start(&mut self, scratch: &Scratch) {
        self.server.spawn(scratch);
        let address = self.server.address();
        let server = &mut self.server;
        until("a server that takes connections", async || {
            let process = server.process();
            if let Some(status) = process.has_ended() {
                panic!("it ended before it listened: {status}: {}", process.stderr());
            }
            TcpStream::connect(address).await.ok()
        })
        .await;
    }

    /// Ends it without giving it time to put anything in order.
    pub(super) async fn kill(&mut self) {
        self.server.process().signal(self.kill_by);
        self.server.ended().await;
    }

    pub(super) fn url(&self, before: &str, behind: &str) -> String {
        format!("{before}{}{behind}", self.server.address())
    }
}

/// A NATS server with JetStream, not started yet.
pub(super) fn nats(scratch: &Scratch) -> Foreign {
    let folder = scratch.path("nats");
    let server = Server::prepare(|address| {
        Launch::new("nats-server", &program("nats-server", &["/usr/sbin/nats-server"]))
            .argument("--jetstream")
            .argument("--store_dir")
            .argument(&folder)
            .argument("--addr")
            .argument(address.ip().to_string())
            .argument("--port")
            .argument(address.port().to_string())
    });
    Foreign { server, kill_by: "KILL", _folder: None }
}

/// A PostgreSQL with an empty cluster, not started yet. Whoever connects from this machine is trusted, as `inbox`.
pub(super) fn postgres() -> Foreign {
    let folder = tempfile::Builder::new().prefix("hookit-postgres-").tempdir().unwrap();
    let data = folder.path().join("data");
    // It refuses to be run by root.
    let is_root = run(Command::new("id").arg("-u")).trim() == "0";
    if is_root {
        run(Command::new("chown").arg("postgres").arg(folder.path()));
    }
    // Takes the place of the process rather than start another one, so that signals reach PostgreSQL.
    let as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"];
    let words = |program: &str| -> Vec<String> {
        let program = newest(program).to_str().expect("Debian's paths are text").to_owned();
        as_user
            .iter()
            .take(if is_root { 4 } else { 0 })
            .map(|word| (*word).to_owned())
            .chain([program])
            .collect()
    };
    let make = words("initdb");
    let mut initdb = Command::new(&make[0]);
    initdb.args(&make[1..]).arg("--pgdata").arg(&data).args([
        "--username=inbox",
        "--auth=trust",
        "--no-sync",
        "--encoding=UTF8",
        "--locale=C",
    ]);
    run(&mut initdb);
    let postgres = words("postgres");
    let server = Server::prepare(|address| {
        let launch = Launch::new("postgres", &postgres[0]);
        let launch = postgres[1..].iter().fold(launch, |launch, word| launch.argument(word));
        ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"]
            .iter()
            .fold(launch, |launch, setting| launch.argument("-c").argument(setting))
            .argument("-D")
            .argument(&data)
            .argument("-p")
            .argument(address.port().to_string())
    });
    // At once, as in a crash, but with all of its processes.
    Foreign { server, kill_by: "QUIT", _folder: Some(folder) }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A program by its name, or where Debian has it beside the path.
fn program(name: &str, elsewhere: &[&str]) -> String {
    elsewhere
        .iter()
        .find(|path| Path::new(path).exists())
        .map_or_else(|| name.to_owned(), |path| (*path).to_owned())
}

/// A program of the newest PostgreSQL that is installed. Debian has them in a folder for each version.
fn newest(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|entry| entry.path()).max_by_key(|path| version(path));
    newest.map_or_else(|| PathBuf::from(name), |folder| folder.join("bin").join(name))
}
