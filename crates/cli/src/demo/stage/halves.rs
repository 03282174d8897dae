//! The two halves as processes of this same program, so that killing one is what it says.
//!
//! Each holds the reading end of a pipe as its standard input, and stops gracefully when that ends: none outlives the demo,
//! however the demo ends. Secrets go by the environment, never by arguments.

use std::ffi::OsString;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use hookit_server::Secret;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpSocket;
use tokio::process::{Child, Command};

use crate::config::{READ_TOKEN, WEBHOOK_SECRET};
use crate::inbox::WRITE_TOKEN;

/// For a start, a database that was killed included.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// For a graceful stop, the answers under way included; a half that needs longer is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// Times that a start is tried: between a kill and the next start somebody else may have the port.
const STARTS: u32 = 20;
/// What is shown of a half's log when it cannot be started.
const LOG_BYTES: usize = 1 << 10;

/// A port of this machine that stays ours while nobody listens there.
pub(super) struct Port {
    address: SocketAddr,
    _reserved: Option<TcpSocket>,
}

impl Port {
    /// This port, or a free one for port 0.
    pub(super) fn reserve(wanted: SocketAddr) -> std::io::Result<Self> {
        let socket = if wanted.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(wanted)?;
        let address = socket.local_addr()?;
        // Linux lets who listens share it with one that is only bound. Elsewhere the port is given back, and taken again soon.
        let _reserved = cfg!(target_os = "linux").then_some(socket);
        Ok(Port { address, _reserved })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// One half.
pub(super) struct Half {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<OsString>,
    log: PathBuf,
    port: Arc<Port>,
    child: Option<Child>,
}

impl Half {
    /// A half that is not started yet, with its data and its log in this folder.
    pub(super) fn new(
        name: &'static str,
        folder: &Path,
        listen: SocketAddr,
        more: Vec<OsString>,
    ) -> anyhow::Result<Self> {
        let port = Arc::new(Port::reserve(listen).with_context(|| format!("{listen}: cannot listen there"))?);
        let mut arguments: Vec<OsString> =
            [name, "serve", "--stop-with-stdin", "--data"].map(Into::into).into();
        arguments.extend([folder.join(name).into(), "--listen".into(), port.address().to_string().into()]);
        arguments.extend(more);
        let program = std::env::current_exe().context("this program's own file")?;
        let log = folder.join(format!("{name}.log"));
        Ok(Half { name, program, arguments, log, port, child: None })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Starts it, and waits until it listens.
    pub(super) async fn start(&mut self, secret: Option<&Secret>) -> anyhow::Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        for tried in 1.. {
            match tokio::time::timeout(START_TIMEOUT, self.spawn(secret)).await {
                Ok(Ok(child)) => {
                    self.child = Some(child);
                    break;
                }
                Ok(Err(error)) if tried >= STARTS => return Err(error),
                Ok(Err(_)) => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(_) => bail!("the {} did not listen within {} s", self.name, START_TIMEOUT.as_secs()),
            }
        }
        Ok(())
    }

    async fn spawn(&self, secret: Option<&Secret>) -> anyhow::Result<Child> {
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| self.log.display().to_string())?;
        let mut command = Command::new(&self.program);
        // What is set on this machine for other inboxes is not for this one.
        for name in [WEBHOOK_SECRET, READ_TOKEN, WRITE_TOKEN] {
            command.env_remove(name);
        }
        if std::env::var_os("HOOKIT_LOG").is_none() {
            command.env("HOOKIT_LOG", "warn");
        }
        if let Some(secret) = secret {
            command.env(WEBHOOK_SECRET, secret.expose());
        }
        let mut child = command
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C in the terminal is for the demo, which stops its halves when it is done with them.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be run", self.program.display()))?;
        let mut said = BufReader::new(child.stdout.take().context("its output is a pipe")?);
        let mut line = String::new();
        said.read_line(&mut line).await?;
        if !line.contains("listening on") {
            let status = child.wait().await?;
            bail!("the {} ended before it listened, with {status}: {}", self.name, self.last_words());
        }
        Ok(child)
    }

    /// SIGKILL; returns when it is gone.
    pub(super) async fn kill(&mut self) -> std::io::Result<()> {
        match self.child.take() {
            Some(mut child) => child.kill().await,
            None => Ok(()),
        }
    }

    /// Asks it to stop, and waits for its end.
    pub(super) async fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        drop(child.stdin.take());
        if tokio::time::timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
            tracing::warn!("the {} did not stop in time and is killed", self.name);
            let _ = child.kill().await;
        }
    }

    /// An error where it has ended by itself.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        match child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                self.child = None;
                bail!("the {} ended by itself, with {status}: {}", self.name, self.last_words())
            }
        }
    }

    /// The end of its log, which may be gone with the folder in a moment.
    fn last_words(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let end = &log[log.len().saturating_sub(LOG_BYTES)..];
        String::from_utf8_lossy(end).trim().replace('\n', " / ")
    }
}
