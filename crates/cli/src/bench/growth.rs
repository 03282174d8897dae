//! The cost of an event in an empty store and in a full one. The store is filled through the bulk call, with the same
//! orders and deliveries as are measured.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::load::{Times, Until};
use super::rig::Platform;
use super::{Settings, load, progress, rig};

/// About what an order takes on disk that shares its delivery.
const BYTES_PER_EVENT: u64 = 4_000;
/// Events of one measurement; of a small run a tenth.
const MEASURED: u64 = 200_000;

#[derive(Serialize)]
pub(super) struct Figures {
    events: u64,
    empty_per_second: f64,
    empty_cpu_us_per_event: f64,
    full_per_second: f64,
    full_cpu_us_per_event: f64,
    cpu_ratio: f64,
    time_ratio: f64,
}

struct Cost {
    per_second: f64,
    cpu_us: f64,
}

async fn measure(times: &Arc<Times>, platform: &Platform, events: u64) -> anyhow::Result<Cost> {
    let (before, begun, cpu) = (times.count(), Instant::now(), platform.running.cpu_seconds()?);
    load::bulk(times, &platform.target, Until::Events(events)).await?;
    times.until(before + events).await?;
    let cpu = platform.running.cpu_seconds()? - cpu;
    Ok(Cost { per_second: events as f64 / begun.elapsed().as_secs_f64(), cpu_us: cpu * 1e6 / events as f64 })
}

pub(super) async fn run(settings: &Settings, events: u64) -> anyhow::Result<Figures> {
    rig::check_room(&settings.dir, events * BYTES_PER_EVENT, "--events")?;
    let times = load::Times::new();
    let endpoint = load::endpoint(&times).await?;
    let folder = rig::folder(&settings.dir)?;
    let platform = Platform::start(folder.path(), false).await?;
    platform.register("Bench", &endpoint.url()).await?;
    let measured = MEASURED.min(events / 10);
    progress("the empty store");
    let empty = measure(&times, &platform, measured).await?;
    progress("filling");
    measure(&times, &platform, events - 2 * measured).await?;
    progress("the full store");
    let full = measure(&times, &platform, measured).await?;
    platform.running.kill().await?;
    Ok(Figures {
        events,
        empty_per_second: empty.per_second,
        empty_cpu_us_per_event: empty.cpu_us,
        full_per_second: full.per_second,
        full_cpu_us_per_event: full.cpu_us,
        cpu_ratio: full.cpu_us / empty.cpu_us.max(f64::MIN_POSITIVE),
        time_ratio: empty.per_second / full.per_second,
    })
}
