//! The console over many deliveries: how long each of its pages takes, beside the same pages of a nearly empty store; and its
//! board while orders change.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::load::{Quantiles, Times, Until, histogram};
use super::rig::Platform;
use super::{Settings, load, progress, rig};

/// Endpoints that each order goes to. All but one are paused, so that most deliveries wait.
const ENDPOINTS: u64 = 10;
/// About what an order with its deliveries takes on disk.
const BYTES_PER_EVENT: u64 = 9_000;
/// Orders in the store that is nearly empty.
const FEW: u64 = 100;
/// How often each page is asked for.
const LOOKS: usize = 20;
/// The longest time that the board may stay as it is.
const BOARD_TIMEOUT: Duration = Duration::from_secs(30);
/// Changes of orders a second while the board is watched.
const CHANGES_PER_SECOND: u32 = 1_000;

#[derive(Serialize)]
pub(super) struct Figures {
    deliveries: u64,
    slowest_p50_ms: f64,
    slowest_max_ms: f64,
    /// The largest ratio of a page's median to that of the nearly empty store.
    ratio: f64,
    /// The median of each page.
    #[serde(flatten)]
    pages_p50_ms: BTreeMap<String, f64>,
    board_changes_per_second: f64,
    board_page_p99_ms: f64,
    /// From one picture of the live board to the next; they are made once a second.
    board_pause_max_ms: f64,
}

/// The pages, by what they show.
const PAGES: [(&str, &str); 15] = [
    ("overview", "/console"),
    ("board", "/console/orders"),
    ("deliveries", "/console/deliveries"),
    ("pending", "/console/deliveries?state=pending"),
    ("pending_at_one", "/console/deliveries?state=pending&endpoint_id=2"),
    ("pending_none_of_the_type", "/console/deliveries?state=pending&event_type=klikit.order.cart.updated"),
    ("delivered", "/console/deliveries?state=delivered"),
    ("dead", "/console/deliveries?state=dead"),
    ("at_one_endpoint", "/console/deliveries?endpoint_id=1"),
    ("none_of_the_type", "/console/deliveries?event_type=klikit.order.cart.updated"),
    ("the_oldest", "/console/deliveries?before=50"),
    ("of_one_order", "/console/deliveries?order_id=1"),
    ("dead_letters", "/console/dead-letters"),
    ("endpoints", "/console/endpoints"),
    ("one_endpoint", "/console/endpoints/1"),
];

/// Who looks at pages: a session, and a connection for each look.
struct Browser {
    address: SocketAddr,
    cookie: String,
}

impl Browser {
    async fn signed_in(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let form = format!("token={token}");
        let length = form.len();
        let request = format!(
            "POST /console/sign-in HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n{form}"
        );
        let answer = exchange(address, &request).await?;
        let set = answer.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        let cookie = set.and_then(|set| set.split(';').next()).context("signing in gives a cookie")?;
        Ok(Browser { address, cookie: cookie.to_owned() })
    }

    fn request(&self, path: &str) -> String {
        let Browser { address, cookie } = self;
        format!(
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\naccept: text/html\r\ncookie: {cookie}\r\n\r\n"
        )
    }

    /// How long a page takes, from the request to its last byte.
    async fn look(&self, path: &str) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let answer = exchange(self.address, &self.request(path)).await?;
        let took = begun.elapsed();
        anyhow::ensure!(
            answer.starts_with("HTTP/1.1 200"),
            "{path}: {}",
            answer.lines().next().unwrap_or_default()
        );
        Ok(took)
    }

    /// Each page's quantiles.
    async fn look_at_all(&self) -> anyhow::Result<BTreeMap<&'static str, Quantiles>> {
        let mut all = BTreeMap::new();
        for (name, path) in PAGES {
            let mut times = histogram();
            for _ in 0..LOOKS {
                times.saturating_record(self.look(path).await?.as_micros().try_into().unwrap_or(u64::MAX));
            }
            all.insert(name, Quantiles::taken(&mut times));
        }
        Ok(all)
    }

    /// The longest pause between two pictures of the board.
    async fn watch(&self, time: Duration) -> anyhow::Result<Duration> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(self.request("/console/orders/live").as_bytes()).await?;
        let mut lines = BufReader::new(stream).lines();
        let (mut last, mut longest, begun) = (None::<Instant>, Duration::ZERO, Instant::now());
        while begun.elapsed() < time || longest.is_zero() {
            let line = tokio::time::timeout(BOARD_TIMEOUT, lines.next_line())
                .await
                .context("the board is told of")??;
            if line.context("the stream ended")?.starts_with("data:") {
                longest = longest.max(last.map_or(Duration::ZERO, |at| at.elapsed()));
                last = Some(Instant::now());
            }
        }
        Ok(longest)
    }
}

pub(super) async fn exchange(address: SocketAddr, request: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

pub(super) async fn run(settings: &Settings, deliveries: u64) -> anyhow::Result<Figures> {
    let events = (deliveries / ENDPOINTS).max(FEW + 1);
    rig::check_room(&settings.dir, events * BYTES_PER_EVENT, "--deliveries")?;
    let times = Times::new();
    let endpoint = load::endpoint(&times).await?;
    let folder = rig::folder(&settings.dir)?;
    let platform = Platform::start(folder.path(), true).await?;
    platform.register("Bench", &endpoint.url()).await?;
    for i in 1..ENDPOINTS {
        let webhook_id =
            platform.register(&format!("Paused {i}"), &format!("{}?{i}", endpoint.url())).await?;
        platform.pause(webhook_id).await?;
    }
    let browser = Browser::signed_in(platform.running.address, &platform.target.token).await?;
    load::bulk(&times, &platform.target, Until::Events(FEW)).await?;
    times.until(FEW).await?;
    progress("the pages of a nearly empty store");
    let few = browser.look_at_all().await?;
    progress("filling");
    load::bulk(&times, &platform.target, Until::Events(events - FEW)).await?;
    times.until(events).await?;
    progress("the pages of the full store");
    let many = browser.look_at_all().await?;
    let ratio = many.iter().map(|(name, one)| one.p50_ms / few[name].p50_ms.max(f64::MIN_POSITIVE));
    progress("the board, while orders change");
    let (changed, pause, board) = tokio::try_join!(
        load::pace(&times, &platform.target, settings.time, CHANGES_PER_SECOND, 1),
        browser.watch(settings.time),
        async {
            let (mut looks, begun) = (histogram(), Instant::now());
            while begun.elapsed() < settings.time {
                let took = browser.look("/console/orders").await?;
                looks.saturating_record(took.as_micros().try_into().unwrap_or(u64::MAX));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(Quantiles::taken(&mut looks))
        },
    )?;
    let figures = Figures {
        deliveries: events * ENDPOINTS,
        slowest_p50_ms: many.values().map(|one| one.p50_ms).fold(0.0, f64::max),
        slowest_max_ms: many.values().map(|one| one.max_ms).fold(0.0, f64::max),
        ratio: ratio.fold(0.0, f64::max),
        pages_p50_ms: many.iter().map(|(name, one)| (format!("{name}_p50_ms"), one.p50_ms)).collect(),
        board_changes_per_second: changed.per_second(),
        board_page_p99_ms: board.p99_ms,
        board_pause_max_ms: pause.as_secs_f64() * 1e3,
    };
    platform.running.kill().await?;
    Ok(figures)
}
