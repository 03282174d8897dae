//! Bodies that are packed: what they take on disk before and after, what packing one costs, and how long deliveries wait while it
//! goes on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hookit_contract::{Clock as _, Timestamp};
use hookit_server::SystemClock;
use hookit_sim::traffic::World;
use hookit_store::inbox::Store as _;
use hookit_store::sqlite::{InboxOptions, InboxStore, examine};
use serde::Serialize;

use super::fill::{Filling, delivery_id, fill};
use super::inbox::{Sender, pace};
use super::load::{Quantiles, Target};
use super::rig::{self, Running};
use super::{Settings, progress};
use crate::config::WEBHOOK_SECRET;

const DAY: Duration = Duration::from_secs(86_400);
/// About what a delivery takes on disk before it is packed.
const BYTES_PER_DELIVERY: u64 = 10_000;
/// The bodies that are read one by one.
const READS: u64 = 1_000;

#[derive(Serialize)]
pub(super) struct Figures {
    deliveries: u64,
    body_bytes: f64,
    bytes_per_delivery_before: f64,
    bytes_per_delivery_after: f64,
    share_after: f64,
    /// Of all of packing: finding, packing, writing.
    cpu_us_per_packed_body: f64,
    packed_bodies_per_second: f64,
    read_us: f64,
    packed_read_us: f64,
    paced_p50_ms: f64,
    paced_p99_ms: f64,
    packing_paced_p50_ms: f64,
    packing_paced_p99_ms: f64,
}

const FILLING: fn(u64) -> Filling = |orders| Filling {
    orders,
    order: |world: &mut World, dice, now| world.order(dice, now),
    statuses: |_, _| &[1, 2, 4, 5],
    // Long enough ago to be packed, an order a second and a state every ten minutes.
    came: |now, number, _, state| {
        let earlier = 3 * DAY.as_millis() as i64 - 600_000 * state as i64;
        Timestamp::from_millis(now.as_millis() - earlier + (number % 40_000) as i64 * 1_000)
    },
};

/// What one read of a body takes, over bodies that lie apart.
async fn read_us(store: &InboxStore, orders: u64) -> anyhow::Result<(f64, f64)> {
    let (mut bytes, begun) = (0, Instant::now());
    let reads = READS.min(orders);
    for read in 0..reads {
        let number = read * orders / reads;
        bytes += store.delivery(&delivery_id(number, 1)).await?.context("it was received")?.body.len();
    }
    Ok((begun.elapsed().as_secs_f64() * 1e6 / reads as f64, bytes as f64 / reads as f64))
}

/// Latencies at the usual rate of an inbox on a folder, with this setting.
async fn paced(
    settings: &Settings,
    sender: &Arc<Sender>,
    data: &str,
    pack_after_hours: u64,
) -> anyhow::Result<Quantiles> {
    let config = format!("{data}.toml");
    std::fs::write(&config, format!("retention = {{ pack_after_hours = {pack_after_hours} }}\n"))?;
    let arguments = ["inbox", "serve", "--listen", "127.0.0.1:0", "--data", data, "--config", &config];
    let inbox = Running::start(&arguments, (WEBHOOK_SECRET, sender.secret())).await?;
    let target = Target { address: inbox.address, token: String::new() };
    pace(sender, &target, settings.time).await?;
    inbox.kill().await?;
    Ok(sender.quantiles())
}

pub(super) async fn run(settings: &Settings, deliveries: u64) -> anyhow::Result<Figures> {
    rig::check_room(&settings.dir, 2 * deliveries * BYTES_PER_DELIVERY, "--deliveries")?;
    let folder = rig::folder(&settings.dir)?;
    let now = SystemClock.now();
    let orders = deliveries.div_ceil(4);
    progress("filling");
    let measured = folder.path().join("measured");
    let (deliveries, _) = fill(&measured, now, &FILLING(orders)).await?;
    let used = || -> anyhow::Result<u64> {
        let examined = examine(&measured)?;
        let one = examined.first().context("there is a store")?;
        anyhow::ensure!(one.problems.is_empty(), "{:?}", one.problems);
        Ok(one.bytes - one.free_bytes)
    };
    let before = used()?;
    progress("packing");
    let store = InboxStore::open(&measured, InboxOptions::default())?;
    let (raw_us, body_bytes) = read_us(&store, orders).await?;
    let (begun, cpu) = (Instant::now(), rig::own_cpu_seconds()?);
    let day_ago = Timestamp::from_millis(now.as_millis() - DAY.as_millis() as i64);
    while store.pack(day_ago).await? {}
    let (took, cpu) = (begun.elapsed().as_secs_f64(), rig::own_cpu_seconds()? - cpu);
    let (packed_us, same) = read_us(&store, orders).await?;
    anyhow::ensure!(body_bytes == same, "bodies have other sizes than before");
    store.close().await;
    let after = used()?;
    progress("deliveries while nothing is packed, and while it goes on");
    let busy = folder.path().join("busy");
    fill(&busy, now, &FILLING(orders)).await?;
    let busy = busy.display().to_string();
    let sender = Arc::new(Sender::new()?);
    let idle = paced(settings, &sender, &busy, 0).await?;
    let packing = paced(settings, &sender, &busy, 24).await?;
    let packed = (orders * 3) as f64;
    Ok(Figures {
        deliveries,
        body_bytes,
        bytes_per_delivery_before: before as f64 / deliveries as f64,
        bytes_per_delivery_after: after as f64 / deliveries as f64,
        share_after: after as f64 / before as f64,
        cpu_us_per_packed_body: cpu * 1e6 / packed,
        packed_bodies_per_second: packed / took,
        read_us: raw_us,
        packed_read_us: packed_us,
        paced_p50_ms: idle.p50_ms,
        paced_p99_ms: idle.p99_ms,
        packing_paced_p50_ms: packing.p50_ms,
        packing_paced_p99_ms: packing.p99_ms,
    })
}
