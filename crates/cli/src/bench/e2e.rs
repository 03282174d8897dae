//! Single orders over keep-alive connections, durable, from the post to the endpoint.

use serde::Serialize;

use super::rig::{Platform, Running};
use super::{Settings, load, progress, rig};
use crate::platform::OPERATOR_TOKEN;

/// Posts a second in the measurement of latency.
const RATE: u32 = 300;

#[derive(Serialize)]
pub(super) struct Figures {
    relay_events_per_second: f64,
    events_per_second: f64,
    share_of_relay: f64,
    saturated_p50_ms: f64,
    saturated_p99_ms: f64,
    relay_paced_p50_ms: f64,
    relay_paced_p99_ms: f64,
    paced_p50_ms: f64,
    paced_p99_ms: f64,
    cpu_us_per_event: f64,
}

pub(super) async fn run(settings: &Settings) -> anyhow::Result<Figures> {
    let times = load::Times::new();
    let endpoint = load::endpoint(&times).await?;
    progress("the null relay");
    let relay =
        Running::start(&["bench", "relay", "--to", &endpoint.url()], (OPERATOR_TOKEN, "unused")).await?;
    let target = load::Target { address: relay.address, token: "unused".to_owned() };
    let relayed = load::saturate(&times, &target, settings.time).await?;
    times.quantiles();
    load::pace(&times, &target, settings.time, RATE, 1).await?;
    let relay_paced = times.quantiles();
    relay.kill().await?;

    progress("the platform");
    let folder = rig::folder(&settings.dir)?;
    let platform = Platform::start(folder.path(), false).await?;
    platform.register("Bench", &endpoint.url()).await?;
    let cpu = platform.running.cpu_seconds()?;
    let saturated = load::saturate(&times, &platform.target, settings.time).await?;
    let cpu = platform.running.cpu_seconds()? - cpu;
    let full = times.quantiles();
    load::pace(&times, &platform.target, settings.time, RATE, 1).await?;
    let paced = times.quantiles();
    platform.running.kill().await?;
    Ok(Figures {
        relay_events_per_second: relayed.per_second(),
        events_per_second: saturated.per_second(),
        share_of_relay: saturated.per_second() / relayed.per_second(),
        saturated_p50_ms: full.p50_ms,
        saturated_p99_ms: full.p99_ms,
        relay_paced_p50_ms: relay_paced.p50_ms,
        relay_paced_p99_ms: relay_paced.p99_ms,
        paced_p50_ms: paced.p50_ms,
        paced_p99_ms: paced.p99_ms,
        cpu_us_per_event: cpu * 1e6 / saturated.events as f64,
    })
}
