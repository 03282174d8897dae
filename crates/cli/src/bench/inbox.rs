//! Signed deliveries of one order over keep-alive connections, from the post to the inbox's acknowledgement, which comes
//! when the delivery and its effect are on disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hookit_contract::{
    BranchId, BrandId, Changes, Clock as _, Record, WebhookSecret, envelope_bytes, header as klikit,
};
use hookit_server::{SystemClock, random_hex};
use hookit_sim::traffic::{World, generator};
use serde::Serialize;
use tokio::task::JoinSet;

use super::load::{self, Connection, Load, Quantiles, Target};
use super::rig::{self, Running};
use super::{Settings, progress};
use crate::config::WEBHOOK_SECRET;

/// Connections that post at the same time: so many that there is always one whose delivery is not yet in a commit.
const CONNECTIONS: usize = 256;
/// Deliveries a second in the measurement of latency.
const RATE: u32 = 2_000;
/// States that each order goes through; one connection posts them, in their order.
const VERSIONS: i64 = 4;
/// Envelopes that are made beforehand.
const ENVELOPES: usize = 512;
/// Stands in an envelope for the order's id, as wide as every id that is written over it.
const ID: i64 = 1_000_000_000_001;
/// Stands in an envelope for the version.
const VERSION: i64 = 7_777_777_777_777;
/// What the inbox says to a delivery that is new.
const RECEIVED: &[u8] = br#"{"status":"received"}"#;

#[derive(Serialize)]
pub(super) struct Figures {
    echo_per_second: f64,
    deliveries_per_second: f64,
    share_of_echo: f64,
    saturated_p50_ms: f64,
    saturated_p99_ms: f64,
    echo_paced_p50_ms: f64,
    echo_paced_p99_ms: f64,
    paced_p50_ms: f64,
    paced_p99_ms: f64,
    cpu_us_per_delivery: f64,
    memory_after_a_tenth_mb: f64,
    memory_at_the_end_mb: f64,
    memory_ratio: f64,
}

/// An envelope, and where its id and version stand.
struct Template {
    body: Vec<u8>,
    id_at: usize,
    version_at: usize,
}

pub(super) struct Sender {
    secret: String,
    signer: WebhookSecret,
    templates: Vec<Template>,
    next: AtomicU64,
    latency_us: Mutex<Histogram<u64>>,
}

impl Sender {
    pub(super) fn new() -> anyhow::Result<Self> {
        let secret = random_hex("whsec_", 32);
        let mut world = World::new(1);
        let mut dice = generator(2);
        let now = SystemClock.now();
        let template = || {
            let mut changes = Changes::new();
            for (name, value) in [("id", ID), ("status", 1), ("version", VERSION)] {
                changes.integer(name, value);
            }
            let record = Record::parse(world.small_order(&mut dice, now).record)?.with(&changes);
            let body = envelope_bytes(BrandId(1), BranchId(1), &[record.bytes()]).to_vec();
            let at = |number: i64| {
                let digits = number.to_string();
                body.windows(digits.len()).position(|window| window == digits.as_bytes())
            };
            let (id_at, version_at) = at(ID).zip(at(VERSION)).ok_or_else(|| anyhow::anyhow!("no id"))?;
            anyhow::Ok(Template { body, id_at, version_at })
        };
        Ok(Sender {
            signer: WebhookSecret::new(secret.as_bytes()),
            secret,
            templates: std::iter::repeat_with(template).take(ENVELOPES).collect::<anyhow::Result<_>>()?,
            next: AtomicU64::new(0),
            latency_us: Mutex::new(load::histogram()),
        })
    }

    /// A request for an order at one of its versions, with an id of its own.
    fn request(&self, target: &Target, order: u64, version: i64) -> Vec<u8> {
        let Template { body, id_at, version_at } = &self.templates[order as usize % ENVELOPES];
        let mut body = body.clone();
        let id = ID + order as i64;
        body[*id_at..id_at + 13].copy_from_slice(id.to_string().as_bytes());
        body[*version_at..version_at + 13].copy_from_slice((VERSION + version).to_string().as_bytes());
        let head = format!(
            "POST /webhooks/klikit HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n{}: {}\r\n\
             {}: evt_{order:024x}{version:08x}\r\n{}: klikit.order.status.updated\r\ncontent-length: {}\r\n\r\n",
            target.address,
            klikit::SIGNATURE,
            self.signer.sign(&body).as_str(),
            klikit::EVENT_ID,
            klikit::EVENT_TYPE,
            body.len()
        );
        let mut request = head.into_bytes();
        request.append(&mut body);
        request
    }

    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    pub(super) fn quantiles(&self) -> Quantiles {
        Quantiles::taken(&mut self.latency_us.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn took(&self, since: Instant) {
        let us = since.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
        self.latency_us.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(us.max(1));
    }
}

/// One connection, and the order that it tells of.
struct Line {
    sender: Arc<Sender>,
    target: Target,
    connection: Connection,
    order: u64,
    version: i64,
}

impl Line {
    async fn open(sender: &Arc<Sender>, target: &Target) -> anyhow::Result<Self> {
        let connection = Connection::open(target).await?;
        Ok(Line {
            sender: Arc::clone(sender),
            target: target.clone(),
            connection,
            order: 0,
            version: VERSIONS,
        })
    }

    async fn post(&mut self, due: Option<Instant>) -> anyhow::Result<()> {
        if self.version == VERSIONS {
            (self.order, self.version) = (self.sender.next.fetch_add(1, Ordering::Relaxed), 0);
        }
        self.version += 1;
        let request = self.sender.request(&self.target, self.order, self.version);
        let since = due.unwrap_or_else(Instant::now);
        let answer = self.connection.exchange(&request).await?;
        if answer != RECEIVED {
            anyhow::bail!("a delivery was answered {}", String::from_utf8_lossy(answer));
        }
        self.sender.took(since);
        Ok(())
    }
}

/// When a stretch of load ends.
#[derive(Clone, Copy)]
enum Until {
    Time(Duration),
    Deliveries(u64),
}

/// Posts as fast as it is answered.
async fn saturate(sender: &Arc<Sender>, target: &Target, until: Until) -> anyhow::Result<Load> {
    let begun = Instant::now();
    let begun_by_all = Arc::new(AtomicU64::new(0));
    let mut posting = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (sender, target, begun_by_all) = (Arc::clone(sender), target.clone(), Arc::clone(&begun_by_all));
        posting.spawn(async move {
            let mut line = Line::open(&sender, &target).await?;
            let mut posted = 0;
            loop {
                let is_over = match until {
                    Until::Time(time) => begun.elapsed() >= time,
                    Until::Deliveries(all) => begun_by_all.fetch_add(1, Ordering::Relaxed) >= all,
                };
                if is_over {
                    return anyhow::Ok(posted);
                }
                line.post(None).await?;
                posted += 1;
            }
        });
    }
    let mut events: u64 = 0;
    while let Some(posted) = posting.join_next().await {
        events += posted??;
    }
    Ok(Load { events, seconds: begun.elapsed().as_secs_f64() })
}

/// Posts at a rate, whether or not those before are answered, and counts their time from when they were due.
pub(super) async fn pace(sender: &Arc<Sender>, target: &Target, time: Duration) -> anyhow::Result<()> {
    let (due, pacing) = load::beats(Instant::now(), time, RATE);
    let mut posting = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (sender, target, due) = (Arc::clone(sender), target.clone(), Arc::clone(&due));
        posting.spawn(async move {
            let mut line = Line::open(&sender, &target).await?;
            loop {
                let Some(due) = due.lock().await.recv().await else { return anyhow::Ok(()) };
                line.post(Some(due)).await?;
            }
        });
    }
    while let Some(ended) = posting.join_next().await {
        ended??;
    }
    pacing.await?;
    Ok(())
}

pub(super) async fn run(settings: &Settings, deliveries: u64) -> anyhow::Result<Figures> {
    let sender = Arc::new(Sender::new()?);
    let secret = (WEBHOOK_SECRET, sender.secret.as_str());
    progress("a server that only answers");
    let echo = Running::start(&["bench", "echo"], secret).await?;
    let target = Target { address: echo.address, token: String::new() };
    let answered = saturate(&sender, &target, Until::Time(settings.time)).await?;
    sender.quantiles();
    pace(&sender, &target, settings.time).await?;
    let echo_paced = sender.quantiles();
    echo.kill().await?;

    progress("the inbox");
    let folder = rig::folder(&settings.dir)?;
    rig::check_room(folder.path(), deliveries * 6_000, "--deliveries")?;
    let data = folder.path().join("inbox").display().to_string();
    let arguments = ["inbox", "serve", "--listen", "127.0.0.1:0", "--data", &data];
    let inbox = Running::start(&arguments, secret).await?;
    let target = Target { address: inbox.address, token: String::new() };
    let cpu = inbox.cpu_seconds()?;
    let saturated = saturate(&sender, &target, Until::Time(settings.time)).await?;
    let cpu = inbox.cpu_seconds()? - cpu;
    let full = sender.quantiles();
    pace(&sender, &target, settings.time).await?;
    let paced = sender.quantiles();

    progress(&format!("{deliveries} deliveries"));
    saturate(&sender, &target, Until::Deliveries(deliveries.div_ceil(10))).await?;
    let early = inbox.megabytes("VmRSS")?;
    saturate(&sender, &target, Until::Deliveries(deliveries - deliveries.div_ceil(10))).await?;
    let late = inbox.megabytes("VmRSS")?;
    inbox.kill().await?;
    Ok(Figures {
        echo_per_second: answered.per_second(),
        deliveries_per_second: saturated.per_second(),
        share_of_echo: saturated.per_second() / answered.per_second(),
        saturated_p50_ms: full.p50_ms,
        saturated_p99_ms: full.p99_ms,
        echo_paced_p50_ms: echo_paced.p50_ms,
        echo_paced_p99_ms: echo_paced.p99_ms,
        paced_p50_ms: paced.p50_ms,
        paced_p99_ms: paced.p99_ms,
        cpu_us_per_delivery: cpu * 1e6 / saturated.events as f64,
        memory_after_a_tenth_mb: early,
        memory_at_the_end_mb: late,
        memory_ratio: late / early,
    })
}
