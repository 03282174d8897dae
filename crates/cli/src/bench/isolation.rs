//! Ten endpoints, each told of every order; then the same with one of them hanging.

use std::time::Duration;

use hookit_sim::endpoints::Answer;
use serde::Serialize;

use super::rig::Platform;
use super::{Settings, load, progress, rig};

/// Endpoints that are measured; the tenth is the one that hangs.
const OTHERS: usize = 9;
/// Orders a second; each is ten deliveries.
const RATE: u32 = 30;

#[derive(Serialize)]
pub(super) struct Figures {
    healthy_p50_ms: f64,
    healthy_p99_ms: f64,
    beside_hanging_p50_ms: f64,
    beside_hanging_p99_ms: f64,
    p99_ratio: f64,
}

pub(super) async fn run(settings: &Settings) -> anyhow::Result<Figures> {
    progress("ten endpoints");
    let healthy = measure(settings, false).await?;
    progress("ten endpoints, one of them hanging");
    let beside = measure(settings, true).await?;
    Ok(Figures {
        healthy_p50_ms: healthy.p50_ms,
        healthy_p99_ms: healthy.p99_ms,
        beside_hanging_p50_ms: beside.p50_ms,
        beside_hanging_p99_ms: beside.p99_ms,
        p99_ratio: beside.p99_ms / healthy.p99_ms,
    })
}

async fn measure(settings: &Settings, hangs: bool) -> anyhow::Result<load::Quantiles> {
    let times = load::Times::new();
    let aside = load::Times::new();
    let folder = rig::folder(&settings.dir)?;
    let platform = Platform::start(folder.path(), false).await?;
    let mut endpoints = Vec::new();
    for number in 0..OTHERS {
        let endpoint = load::endpoint(&times).await?;
        platform.register(&format!("Bench {number}"), &endpoint.url()).await?;
        endpoints.push(endpoint);
    }
    let tenth = load::endpoint(&aside).await?;
    if hangs {
        tenth.answer(Answer::Hang);
    }
    platform.register("Bench, the tenth", &tenth.url()).await?;
    // The first connections and pages are not what is asked about.
    load::pace(&times, &platform.target, Duration::from_secs(1), RATE, OTHERS as u64).await?;
    times.quantiles();
    load::pace(&times, &platform.target, settings.time, RATE, OTHERS as u64).await?;
    platform.running.kill().await?;
    Ok(times.quantiles())
}
