//! The demo without a bound: both halves as processes, a road between them that can be broken, and a page with switches.
//!
//! - `halves`: the processes
//! - `proxy`: the road
//! - `switch`: what can be broken
//! - `board`: what is known and what happened
//! - `page`: how it is shown

mod board;
mod halves;
mod page;
mod proxy;
mod switch;

use std::io::IsTerminal as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use hookit_contract::{Clock as _, Timestamp};
use hookit_inbox::InboxStatus;
use hookit_platform::Status;
use hookit_server::{Limits, Secret, SystemClock, Tasks, bind, create_private_dir, read_private_file};
use hookit_sim::traffic::World;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use self::board::Board;
use self::halves::{Half, Port};
use self::proxy::Faults;
use self::switch::Switch;
use super::folder::Folder;
use super::summary::Summary;
use super::traffic::{self, Traffic};
use super::{Args, DRAIN_TIMEOUT, FRAME, SETTLE, Snapshot, StageLine, eprint, setup, view};
use crate::client::Client;
use crate::diff::{Settling, Sides, compare};
use crate::exit::Exit;
use crate::platform::OPERATOR_TOKEN;
use crate::signals;

/// The page, where nothing else is said.
const PAGE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8790);
/// How often both sides are asked how they stand.
const LOOK: Duration = Duration::from_millis(250);
/// How long they may take to say it.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// From one sample to the next.
const SAMPLE: Duration = Duration::from_secs(1);
/// The least pause between two comparisons of the views, and how many times longer than the last one it is: so that looking stays
/// a small part of what the machine does, however many orders there are.
const COMPARE_PAUSE: Duration = Duration::from_secs(1);
const COMPARE_PAUSE_TIMES: u32 = 5;
/// Records that differ may be on their way: so long, and so many of them, are asked for again.
const COMPARE_SETTLING: Settling = Settling { time: Duration::from_millis(200), orders_max: 100 };
/// How long the platform stays killed, unless it is started by the switch.
const KILLED_FOR: Duration = Duration::from_secs(10);
/// How long a flood lasts, and how many times more orders there are.
const FLOOD_FOR: Duration = Duration::from_secs(15);
const FLOOD_TIMES: u32 = 50;

/// What differs from a platform's defaults: an outage of seconds is to be over seconds after it was mended.
const PLATFORM_CONFIG: &str = "# Made by hookit demo: shorter pauses than in earnest, and more of them.
[delivery]
probe_pause_min_ms = 1000
probe_pause_max_ms = 4000
retry_delays_ms = [1000, 2000, 4000, 4000, 4000, 4000, 4000, 4000, 4000, 4000, 4000, 4000, 4000, 4000, 4000, 4000]
";

/// Everything that the switches are pressed on.
struct Stage {
    players: tokio::sync::Mutex<Players>,
    faults: watch::Sender<Faults>,
    traffic: Arc<Traffic>,
    board: Mutex<Board>,
    operator: Client,
    inbox: Client,
    platform_address: SocketAddr,
    inbox_address: SocketAddr,
    /// How to sign in to the platform's console.
    sign_in: String,
    /// Whether the demo is about to end: nothing is broken any more then.
    is_ending: AtomicBool,
}

/// The processes. Whoever starts or ends one has them all meanwhile.
struct Players {
    platform: Half,
    inbox: Half,
    partner_id: String,
    /// The secret that the platform signs with, where the inbox has not been told.
    untold: Option<Secret>,
}

/// What runs beside the stage.
struct Running {
    stage: Arc<Stage>,
    page: SocketAddr,
    tasks: Tasks,
}

impl Stage {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Turns a switch on or off. One that stands so already stays so.
    async fn turn(&self, switch: Switch, to_on: bool) -> anyhow::Result<()> {
        let mut players = self.players.lock().await;
        if self.board().is_on(switch).is_some() == to_on {
            return Ok(());
        }
        if to_on && self.is_ending.load(Ordering::Relaxed) {
            bail!("the demo is ending: the last deliveries go out");
        }
        match switch {
            Switch::Down => self.fault(|faults| faults.is_down = to_on),
            Switch::Slow => self.fault(|faults| faults.is_slow = to_on),
            Switch::Failing => self.fault(|faults| faults.is_failing = to_on),
            Switch::Losing => self.fault(|faults| faults.is_losing = to_on),
            Switch::Flood => self.traffic.flood(if to_on { FLOOD_TIMES } else { 1 }),
            Switch::Kill if to_on => players.platform.kill().await?,
            Switch::Kill => players.platform.start(None).await?,
            Switch::Secret if to_on => {
                let partner = setup::rotate(&self.operator, &players.partner_id).await?;
                players.untold = Some(partner.secret);
            }
            Switch::Secret => {
                players.inbox.stop().await;
                let secret = players.untold.take();
                players.inbox.start(secret.as_ref()).await?;
            }
        }
        self.board().switched(switch, to_on, SystemClock.now());
        Ok(())
    }

    fn fault(&self, change: impl FnOnce(&mut Faults)) {
        self.faults.send_modify(change);
    }

    /// Everything as it was. The platform first: without it no secret can be told.
    async fn mend(&self) -> anyhow::Result<()> {
        self.turn(Switch::Kill, false).await?;
        for switch in Switch::ALL {
            self.turn(switch, false).await?;
        }
        Ok(())
    }

    /// What goes off by itself goes off when its time has come; a half that has ended by itself is an error.
    async fn tend(&self) -> anyhow::Result<()> {
        let now = SystemClock.now();
        for (switch, time) in [(Switch::Kill, KILLED_FOR), (Switch::Flood, FLOOD_FOR)] {
            let is_over = |since: Timestamp| now.since(since) >= time;
            if self.board().is_on(switch).is_some_and(is_over) {
                self.turn(switch, false).await?;
            }
        }
        // Who has them just now is starting or ending one.
        if let Ok(mut players) = self.players.try_lock() {
            players.platform.check()?;
            players.inbox.check()?;
        }
        Ok(())
    }

    async fn look(&self) {
        let (platform, inbox) = tokio::join!(
            asked::<Status>(&self.operator, "/v1/operator/status"),
            asked::<InboxStatus>(&self.inbox, "/status")
        );
        let mut board = self.board();
        board.platform_said(platform, SystemClock.now());
        board.inbox_said(inbox);
    }

    fn sides(&self) -> Sides {
        Sides {
            platform: self.operator.clone(),
            inbox: self.inbox.clone(),
            business_id: Some(World::BUSINESS.0),
        }
    }

    fn snapshot(&self, elapsed: Duration, page: SocketAddr) -> Option<Snapshot> {
        let board = self.board();
        Some(Snapshot {
            elapsed,
            status: board.platform.clone()?,
            inbox: board.received(),
            traffic: self.traffic.figures(),
            stage: Some(StageLine { page: format!("http://{page}"), broken: board.broken() }),
        })
    }
}

/// What one side says; nothing where it does not.
async fn asked<T: DeserializeOwned>(client: &Client, path: &str) -> Option<T> {
    let reply = tokio::time::timeout(LOOK_TIMEOUT, client.get(path)).await.ok()?.ok()?;
    reply.data().ok()
}

async fn look_on(stage: Arc<Stage>) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut sampled: Option<Timestamp> = None;
    loop {
        looks.tick().await;
        stage.look().await;
        let now = SystemClock.now();
        if sampled.is_none_or(|sampled| now.since(sampled) >= SAMPLE) {
            stage.board().sample(now);
            sampled = Some(now);
        }
    }
}

async fn compare_on(stage: Arc<Stage>) {
    let sides = stage.sides();
    loop {
        let began = SystemClock.now();
        // While a side does not answer there is nothing to compare, and the page says so.
        let found = compare(&sides, COMPARE_SETTLING).await;
        let now = SystemClock.now();
        if let Ok(found) = found {
            stage.board().compared(found, began, now);
        }
        tokio::time::sleep(COMPARE_PAUSE.max(now.since(began) * COMPARE_PAUSE_TIMES)).await;
    }
}

/// The token that the platform takes, and how to sign in with it.
fn operator_token(platform: &Path) -> anyhow::Result<(Secret, String)> {
    match std::env::var(OPERATOR_TOKEN) {
        Ok(token) => Ok((Secret::new(token), format!("the token in {OPERATOR_TOKEN}"))),
        Err(_) => {
            let file = platform.join("operator.token");
            Ok((read_private_file(&file)?, format!("the token in {}", file.display())))
        }
    }
}

impl Running {
    /// Starts both halves, the road between them and the page.
    async fn start(args: &Args, data: &Path) -> anyhow::Result<Self> {
        let listener = match args.listen {
            Some(listen) => {
                bind(listen).with_context(|| format!("--listen {listen}: cannot listen there"))?
            }
            None => bind(PAGE).or_else(|_| bind((Ipv4Addr::LOCALHOST, 0).into()))?,
        };
        let page = listener.local_addr()?;
        create_private_dir(data).with_context(|| format!("--data {}", data.display()))?;
        let config = data.join("platform.toml");
        std::fs::write(&config, PLATFORM_CONFIG).with_context(|| config.display().to_string())?;

        let more = vec!["--allow-private-endpoints".into(), "--config".into(), config.into()];
        let mut platform = Half::new("platform", data, args.platform_listen, more)?;
        platform.start(None).await?;
        let (token, sign_in) = operator_token(&data.join("platform"))?;
        let operator = Client::new(&format!("http://{}", platform.address()), Some(token.expose()))?;
        let partner = setup::introduce(&operator, args.seed).await?;

        let mut inbox = Half::new("inbox", data, args.inbox_listen, Vec::new())?;
        inbox.start(Some(&partner.secret)).await?;
        let inbox_client = Client::new(&format!("http://{}", inbox.address()), None)?;

        let road = Arc::new(Port::reserve(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0))?);
        let (faults, broken) = watch::channel(Faults::default());
        let tasks = Tasks::new();
        let stop = tasks.stop_signal().clone();
        tasks.spawn("road", proxy::run(road.clone(), inbox.address(), broken, stop.clone()));
        let url = setup::register(&operator, &partner.partner_id, road.address()).await?;

        let stage = Arc::new(Stage {
            platform_address: platform.address(),
            inbox_address: inbox.address(),
            players: tokio::sync::Mutex::new(Players {
                platform,
                inbox,
                partner_id: partner.partner_id,
                untold: None,
            }),
            faults,
            traffic: Arc::new(Traffic::new(args.seed)),
            board: Mutex::new(Board::new(url)),
            operator,
            inbox: inbox_client,
            sign_in,
            is_ending: AtomicBool::new(false),
        });
        stage.look().await;
        for (name, work) in [("look", true), ("compare", false)] {
            let (stage, stop) = (stage.clone(), stop.clone());
            tasks.spawn(name, async move {
                let working = async {
                    if work {
                        look_on(stage).await;
                    } else {
                        compare_on(stage).await;
                    }
                };
                tokio::select! { () = stop.cancelled() => {}, () = working => {} }
            });
        }
        let serving = hookit_server::serve(listener, page::router(stage.clone()), Limits::default(), stop);
        tasks.spawn("page", serving);
        Ok(Running { stage, page, tasks })
    }

    fn greeting(&self, data: &Path) -> String {
        let Stage { platform_address, inbox_address, sign_in, .. } = &*self.stage;
        format!(
            "page      http://{}/ has both sides and the switches\n\
             platform  http://{platform_address}/console, sign in with {sign_in}\n\
             inbox     http://{inbox_address}/console, open on this machine\n\
             data      {}\n",
            self.page,
            data.display()
        )
    }

    /// The platform first, so that the inbox hears the last deliveries.
    async fn stop(self) {
        {
            let mut players = self.stage.players.lock().await;
            players.platform.stop().await;
            players.inbox.stop().await;
        }
        if !self.tasks.stop(Limits::default().stop_timeout).await {
            tracing::warn!("the page did not end in time");
        }
    }
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let interrupted = signals::stop_token()?;
    let folder = Folder::open(args.data.as_deref())?;
    let running = Running::start(&args, folder.path()).await?;
    eprint(&running.greeting(folder.path()));
    let played = play(&running, &args, interrupted).await;
    running.stop().await;
    drop(folder);
    let summary = played?;
    summary.print(args.output)?;
    Ok(if summary.is_proof() { Exit::Success } else { Exit::Differs })
}

/// Lets orders live until the stop, then mends what is broken, and compares.
#[expect(clippy::disallowed_methods, reason = "the length of a run is shown, nothing is decided by it")]
async fn play(
    running: &Running,
    args: &Args,
    interrupted: tokio_util::sync::CancellationToken,
) -> anyhow::Result<Summary> {
    let stage = &running.stage;
    let started = std::time::Instant::now();
    let stop = interrupted.child_token();
    let bounds = traffic::Bounds { orders: None, rate: args.rate, pace: args.pace, is_patient: true };
    let mut driving = tokio::task::JoinSet::new();
    driving.spawn(traffic::drive(stage.traffic.clone(), stage.operator.clone(), bounds, stop.clone()));

    let live = !args.plain && std::io::stdout().is_terminal();
    let mut view = if live { Some(view::View::open()?) } else { None };
    let mut ticks = tokio::time::interval(if live { FRAME } else { Duration::from_secs(1) });
    let mut tends = tokio::time::interval(LOOK);
    let mut drained_by = None;
    let snapshot = loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = tends.tick() => {
                stage.tend().await?;
                if drained_by.is_none() {
                    continue;
                }
            }
            Some(ended) = driving.join_next() => {
                ended??;
                stage.is_ending.store(true, Ordering::Relaxed);
                if view.is_none() {
                    eprint("ending: what is broken is mended, and the last deliveries go out\n");
                }
                stage.mend().await?;
                drained_by = Some(tokio::time::Instant::now() + DRAIN_TIMEOUT);
                continue;
            }
        }
        let Some(snapshot) = stage.snapshot(started.elapsed(), running.page) else { continue };
        match &mut view {
            Some(view) => {
                let stop_asked_for = view.draw(&snapshot)?;
                if stop_asked_for {
                    stop.cancel();
                }
            }
            None if drained_by.is_none() => eprint(&view::line(&snapshot)),
            None => {}
        }
        if let Some(by) = drained_by {
            // What the board has may be a little old; this is asked now.
            let status: Status = stage.operator.get("/v1/operator/status").await?.data()?;
            if status.pending == 0 || tokio::time::Instant::now() > by {
                break Snapshot { status, ..snapshot };
            }
        }
    };
    drop(view);
    stage.look().await;
    let snapshot = Snapshot { inbox: stage.board().received(), ..snapshot };
    let comparison = compare(&stage.sides(), Settling::all(SETTLE)).await?;
    Ok(Summary::of(&snapshot, comparison))
}
