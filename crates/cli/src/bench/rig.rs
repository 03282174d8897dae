//! What a bench stands on: child processes of this program, a temporary folder, and what the system says of a process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use hookit_contract::EventType;
use hookit_server::random_hex;
use hookit_sim::traffic::World;
use http::Method;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::load::Target;
use crate::client::Client;
use crate::exit::{Exit, coded};
use crate::platform::OPERATOR_TOKEN;

/// The clock of the processor times in `/proc`: a hundred a second on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;
const READY_TIMEOUT: Duration = Duration::from_secs(120);

/// A temporary folder within the one that was asked for.
pub(super) fn folder(dir: &Path) -> anyhow::Result<tempfile::TempDir> {
    let made = tempfile::Builder::new().prefix("hookit-bench-").tempdir_in(dir);
    made.with_context(|| format!("--dir {}", dir.display()))
}

/// A child process of this program that listens; killed when dropped.
pub(super) struct Running {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Running {
    /// Its secret comes by the environment, under this name.
    pub(super) async fn start(arguments: &[&str], secret: (&str, &str)) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .args(["--log", "error"])
            .env(secret.0, secret.1)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().context("its output is a pipe")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).await?;
        let address = line.trim_end().rsplit_once("http://").and_then(|(_, address)| address.parse().ok());
        let address = address.with_context(|| format!("{} did not start", arguments.join(" ")))?;
        Ok(Running { child, address })
    }

    fn proc(&self, file: &str) -> anyhow::Result<String> {
        let id = self.child.id().context("it runs")?;
        let path = format!("/proc/{id}/{file}");
        std::fs::read_to_string(&path).with_context(|| format!("{path}: needed for this figure"))
    }

    /// A size of `/proc/…/status` in MB: `VmRSS`, `VmHWM`.
    pub(super) fn megabytes(&self, name: &str) -> anyhow::Result<f64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib: f64 = line
            .and_then(|text| text.split_whitespace().next()?.parse().ok())
            .with_context(|| format!("/proc says nothing of {name}"))?;
        Ok(kib * 1024.0 / 1e6)
    }

    /// Processor time that it has used, in seconds.
    pub(super) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        cpu_seconds(&self.proc("stat")?)
    }

    /// `kill -9`; returns when it is gone.
    pub(super) async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}

fn cpu_seconds(stat: &str) -> anyhow::Result<f64> {
    // The name stands in parentheses and may hold anything; the fields that count come after it.
    let (_, fields) = stat.rsplit_once(')').context("/proc/…/stat has another form")?;
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / TICKS_PER_SECOND)
}

/// Processor time that this process has used, in seconds.
pub(super) fn own_cpu_seconds() -> anyhow::Result<f64> {
    cpu_seconds(
        &std::fs::read_to_string("/proc/self/stat").context("/proc/self/stat: needed for this figure")?,
    )
}

/// A platform on a data folder.
pub(super) struct Platform {
    pub(super) running: Running,
    pub(super) target: Target,
    operator: Client,
    data: PathBuf,
    single: bool,
}

#[derive(Deserialize)]
struct Issued {
    partner_id: String,
}

#[derive(Deserialize)]
struct Registered {
    webhook_id: i64,
}

impl Platform {
    /// A platform; `single` puts each order into a delivery of its own.
    pub(super) async fn start(data: &Path, single: bool) -> anyhow::Result<Self> {
        let token = random_hex("op_", 32);
        let config = data.join("bench.toml");
        let per_delivery =
            if single { 1 } else { hookit_store::sqlite::PlatformOptions::default().orders_per_delivery_max };
        std::fs::write(&config, format!("tick = {{ orders_per_delivery_max = {per_delivery} }}\n"))?;
        let (folder, config) = (data.join("platform"), config.display().to_string());
        let folder = folder.display().to_string();
        let arguments = [
            "platform",
            "serve",
            "--data",
            &folder,
            "--listen",
            "127.0.0.1:0",
            "--config",
            &config,
            "--allow-private-endpoints",
        ];
        let running = Running::start(&arguments, (OPERATOR_TOKEN, &token)).await?;
        let operator = Client::new(&format!("http://{}", running.address), Some(&token))?;
        let target = Target { address: running.address, token };
        Ok(Platform { running, target, operator, data: data.to_owned(), single })
    }

    /// Registers a URL for new orders, for a partner of its own; the registration's id.
    pub(super) async fn register(&self, name: &str, url: &str) -> anyhow::Result<i64> {
        let body = |value: serde_json::Value| Bytes::from(value.to_string());
        let partner = body(json!({"name": name, "business_id": World::BUSINESS}));
        let issued = self.operator.call(Method::POST, "/v1/operator/partners", partner).await?;
        let issued: Issued = issued.data()?;
        let webhook = body(json!({
            "partner_id": issued.partner_id, "event_type": EventType::OrderCreated, "url": url,
        }));
        let put = self.operator.call(Method::PUT, "/v1/operator/webhooks", webhook).await?;
        Ok(put.data::<Registered>()?.webhook_id)
    }

    /// Sends nothing to a registration's endpoint.
    pub(super) async fn pause(&self, webhook_id: i64) -> anyhow::Result<()> {
        let path = format!("/v1/operator/webhooks/{webhook_id}/disable");
        self.operator.call(Method::POST, &path, Bytes::new()).await.map(drop)
    }

    pub(super) async fn pending(&self) -> anyhow::Result<u64> {
        #[derive(Deserialize)]
        struct Status {
            pending: u64,
        }
        let status = self.operator.get("/v1/operator/status").await?;
        Ok(status.data::<Status>()?.pending)
    }

    /// Kills it and starts another one on the same data. How long it took from the start until it was ready.
    pub(super) async fn restart(self) -> anyhow::Result<(Platform, Duration)> {
        let Platform { running, data, single, .. } = self;
        running.kill().await?;
        let begun = Instant::now();
        let platform = Platform::start(&data, single).await?;
        while platform.operator.get("/readyz").await.is_err() {
            if begun.elapsed() > READY_TIMEOUT {
                return Err(coded(Exit::Failed, "the platform did not get ready after its restart"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok((platform, begun.elapsed()))
    }
}

/// Refuses to begin what the disk has no room for.
pub(super) fn check_room(dir: &Path, bytes: u64, smaller: &str) -> anyhow::Result<()> {
    let said =
        std::process::Command::new("df").args(["-Pk", "--"]).arg(dir).output().context("df cannot be run")?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let free = said.lines().nth(1).and_then(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok());
    let free = free.with_context(|| format!("df does not say what is free in {}", dir.display()))? * 1024;
    if free < bytes {
        let gb = |bytes: u64| bytes as f64 / 1e9;
        let message = format!(
            "{}: {:.1} GB are free and this run needs about {:.1}; give another --dir or a smaller {smaller}",
            dir.display(),
            gb(free),
            gb(bytes)
        );
        return Err(coded(Exit::Failed, message));
    }
    Ok(())
}
