//! Orders through the bulk call, durable, until the last one is at the endpoint.

use std::time::Instant;

use serde::Serialize;

use super::load::Until;
use super::rig::{Platform, Running};
use super::{Settings, load, progress, rig};
use crate::platform::OPERATOR_TOKEN;

#[derive(Serialize)]
pub(super) struct Figures {
    relay_events_per_second: f64,
    taken_per_second: f64,
    events_per_second: f64,
    share_of_relay: f64,
    cpu_us_per_event: f64,
}

pub(super) async fn run(settings: &Settings) -> anyhow::Result<Figures> {
    let times = load::Times::new();
    let endpoint = load::endpoint(&times).await?;
    progress("the null relay, single posts");
    let relay =
        Running::start(&["bench", "relay", "--to", &endpoint.url()], (OPERATOR_TOKEN, "unused")).await?;
    let target = load::Target { address: relay.address, token: "unused".to_owned() };
    let relayed = load::saturate(&times, &target, settings.time).await?;
    relay.kill().await?;

    progress("the platform");
    let folder = rig::folder(&settings.dir)?;
    let platform = Platform::start(folder.path(), false).await?;
    platform.register("Bench", &endpoint.url()).await?;
    let (before, begun) = (times.count(), Instant::now());
    let cpu = platform.running.cpu_seconds()?;
    let taken = load::bulk(&times, &platform.target, Until::Time(settings.time)).await?;
    times.until(before + taken.events).await?;
    let per_second = taken.events as f64 / begun.elapsed().as_secs_f64();
    let cpu = platform.running.cpu_seconds()? - cpu;
    platform.running.kill().await?;
    Ok(Figures {
        relay_events_per_second: relayed.per_second(),
        taken_per_second: taken.per_second(),
        events_per_second: per_second,
        share_of_relay: per_second / relayed.per_second(),
        cpu_us_per_event: cpu * 1e6 / taken.events as f64,
    })
}
