//! Deliveries that wait for a dead endpoint: what they cost in memory, how long a restart takes, how fast they drain.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::load::Until;
use super::rig::Platform;
use super::{Settings, load, progress, rig};

/// About what an order with a delivery of its own takes on disk.
const BYTES_PER_DELIVERY: u64 = 4_500;

#[derive(Serialize)]
pub(super) struct Figures {
    deliveries: u64,
    saturated_per_second: f64,
    memory_mb: f64,
    memory_peak_mb: f64,
    ready_seconds: f64,
    memory_after_restart_mb: f64,
    drained_per_second: f64,
    share_of_saturated: f64,
}

pub(super) async fn run(settings: &Settings, deliveries: u64) -> anyhow::Result<Figures> {
    rig::check_room(&settings.dir, deliveries * BYTES_PER_DELIVERY, "--deliveries")?;
    let times = load::Times::new();
    let mut endpoint = load::endpoint(&times).await?;
    progress("the saturated rate, as the baseline");
    let folder = rig::folder(&settings.dir)?;
    let platform = Platform::start(folder.path(), true).await?;
    platform.register("Bench", &endpoint.url()).await?;
    let saturated = load::saturate(&times, &platform.target, settings.time).await?;

    endpoint.stop().await?;
    progress("filling, with the endpoint dead");
    load::bulk(&times, &platform.target, Until::Events(deliveries)).await?;
    let (memory_mb, memory_peak_mb) =
        (platform.running.megabytes("VmRSS")?, platform.running.megabytes("VmHWM")?);
    let (platform, ready) = platform.restart().await?;
    let waiting = platform.pending().await?;
    if waiting < deliveries {
        anyhow::bail!("of {deliveries} deliveries {waiting} are pending after the restart");
    }
    let memory_after_restart_mb = platform.running.megabytes("VmRSS")?;

    progress("the endpoint is back; waiting for the probe that finds out");
    let before = times.count();
    endpoint.restart().await?;
    times.until(before + 1).await?;
    let begun = Instant::now();
    while begun.elapsed() < settings.time && times.count() - before < deliveries {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let drained = (times.count() - before) as f64 / begun.elapsed().as_secs_f64();
    platform.running.kill().await?;
    Ok(Figures {
        deliveries,
        saturated_per_second: saturated.per_second(),
        memory_mb,
        memory_peak_mb,
        ready_seconds: ready.as_secs_f64(),
        memory_after_restart_mb,
        drained_per_second: drained,
        share_of_saturated: drained / saturated.per_second(),
    })
}
