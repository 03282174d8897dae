//! The view over many orders: how long each way to look for them takes, beside the same of a view of a thousand.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use hookit_contract::{Clock as _, Timestamp};
use hookit_server::SystemClock;
use serde::Serialize;

use super::console::exchange;
use super::fill::{Filling, Sample, fill};
use super::load::{Quantiles, histogram};
use super::rig::{self, Running};
use super::{Settings, progress};
use crate::config::WEBHOOK_SECRET;

/// Orders in the view that the large one is compared with.
const FEW: u64 = 1_000;
/// About what an order takes on disk.
const BYTES_PER_ORDER: u64 = 4_500;
/// How often each is asked for.
const LOOKS: usize = 20;
/// The time over which they came.
const DAYS: u64 = 90;
const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);

#[derive(Serialize)]
pub(super) struct Figures {
    orders: u64,
    slowest_p50_ms: f64,
    slowest_max_ms: f64,
    /// The largest ratio of a median to that of the small view.
    ratio: f64,
    /// The median of each.
    #[serde(flatten)]
    p50_ms: BTreeMap<String, f64>,
}

/// The last of them are under way, and of the others most were delivered.
fn statuses(number: u64, all: u64) -> &'static [i64] {
    match (all - number > 500, number % 100) {
        (false, 0..50) => &[1],
        (false, 50..80) => &[1, 2],
        (false, _) => &[1, 2, 4],
        // Some with a history.
        (true, 0) => &[1, 2, 4, 5],
        (true, 1..6) => &[3],
        (true, 6..20) => &[9],
        (true, _) => &[5],
    }
}

/// They came one after the other, at night as in the daytime.
fn came(now: Timestamp, number: u64, all: u64, state: usize) -> Timestamp {
    let age = DAYS as f64 * 86_400e3 * (all - number) as f64 / all as f64;
    Timestamp::from_millis(now.as_millis() - age as i64 + state as i64)
}

/// The ways to look, by what they ask for.
fn ways(now: Timestamp, sample: &Sample) -> Vec<(&'static str, String)> {
    let ago = |time: Duration| Timestamp::from_millis(now.as_millis() - time.as_millis() as i64);
    let Sample { order_id, external_id } = sample;
    let deep = format!("after={order_id}");
    let (hour, month) = (ago(HOUR), ago(30 * DAY));
    let then = format!("received_since={}&received_until={}", ago(60 * DAY), ago(59 * DAY));
    let orders = |query: &str| format!("/orders?{query}");
    vec![
        ("all", orders("")),
        ("all_deep", orders(&deep)),
        ("all_1000_at_a_time", orders("limit=1000")),
        ("placed", orders("status=placed")),
        ("delivered", orders("status=delivered")),
        ("delivered_deep", orders(&format!("status=delivered&{deep}"))),
        ("several_statuses", orders("status=placed,accepted,cancelled")),
        ("no_such_status", orders("status=scheduled")),
        ("brand", orders("brand_id=663")),
        ("brand_deep", orders(&format!("brand_id=663&{deep}"))),
        ("branch", orders("branch_id=1062")),
        ("branch_deep", orders(&format!("branch_id=1062&{deep}"))),
        ("id", orders(&format!("text={order_id}"))),
        ("external_id", orders(&format!("text={external_id}"))),
        ("text_of_all", orders("text=KL-")),
        ("text_of_many", orders("text=K1")),
        ("text_of_none", orders("text=zz")),
        ("last_hour", orders(&format!("received_since={hour}"))),
        ("last_month", orders(&format!("received_since={month}"))),
        ("a_day_long_ago", orders(&then)),
        ("brand_placed", orders("brand_id=663&status=placed")),
        ("brand_cancelled", orders("brand_id=663&status=cancelled")),
        ("brand_no_such_status", orders("brand_id=663&status=scheduled")),
        ("brand_last_month", orders(&format!("brand_id=663&received_since={month}"))),
        ("branch_placed_last_hour", orders(&format!("branch_id=1062&status=placed&received_since={hour}"))),
        (
            "branch_cancelled_last_month",
            orders(&format!("branch_id=1062&status=cancelled&received_since={month}")),
        ),
        ("delivered_a_day_long_ago", orders(&format!("status=delivered&{then}"))),
        ("text_of_all_placed", orders("text=KL-&status=placed")),
        ("text_of_all_last_month", orders(&format!("text=KL-&received_since={month}"))),
        ("text_of_many_branch", orders("text=K1&branch_id=1062")),
        ("order", format!("/orders/{order_id}")),
        ("order_history", format!("/orders/{order_id}/history")),
        ("console_overview", "/console".to_owned()),
        ("console_orders", "/console/orders".to_owned()),
        ("console_placed", "/console/orders?status=PLACED".to_owned()),
        ("console_search", "/console/orders?q=KL-".to_owned()),
        ("console_deep", format!("/console/orders?{deep}")),
        ("console_order", format!("/console/orders/{order_id}")),
        ("console_quarantine", "/console/quarantine".to_owned()),
    ]
}

async fn measured(
    dir: &Path,
    now: Timestamp,
    orders: u64,
) -> anyhow::Result<BTreeMap<&'static str, Quantiles>> {
    let filling = Filling { orders, order: |world, dice, now| world.small_order(dice, now), statuses, came };
    let (_, sample) = fill(dir, now, &filling).await?;
    let data = dir.display().to_string();
    let arguments = ["inbox", "serve", "--listen", "127.0.0.1:0", "--data", &data];
    let inbox = Running::start(&arguments, (WEBHOOK_SECRET, "whsec_bench")).await?;
    let address = inbox.address;
    let mut all = BTreeMap::new();
    for (name, path) in ways(now, &sample) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        let mut times = histogram();
        for _ in 0..LOOKS {
            let begun = Instant::now();
            let answer = exchange(address, &request).await?;
            times.saturating_record(begun.elapsed().as_micros().try_into().unwrap_or(u64::MAX));
            let head = answer.lines().next().unwrap_or_default();
            anyhow::ensure!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        }
        all.insert(name, Quantiles::taken(&mut times));
    }
    inbox.kill().await?;
    Ok(all)
}

pub(super) async fn run(settings: &Settings, orders: u64) -> anyhow::Result<Figures> {
    rig::check_room(&settings.dir, orders * BYTES_PER_ORDER, "--orders")?;
    let folder = rig::folder(&settings.dir)?;
    let now = SystemClock.now();
    progress("a view of a thousand");
    let few = measured(&folder.path().join("few"), now, FEW).await?;
    progress(&format!("a view of {orders}"));
    let many = measured(&folder.path().join("many"), now, orders).await?;
    let ratio = many.iter().map(|(name, one)| one.p50_ms / few[name].p50_ms.max(f64::MIN_POSITIVE));
    Ok(Figures {
        orders,
        slowest_p50_ms: many.values().map(|one| one.p50_ms).fold(0.0, f64::max),
        slowest_max_ms: many.values().map(|one| one.max_ms).fold(0.0, f64::max),
        ratio: ratio.fold(0.0, f64::max),
        p50_ms: many.iter().map(|(name, one)| (format!("{name}_p50_ms"), one.p50_ms)).collect(),
    })
}
