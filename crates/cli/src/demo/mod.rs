//! `hookit demo`: both halves on this machine, over real HTTP and real disks, with live traffic.
//!
//! It sets itself up as an operator would, over the operator API, and plays the ordering surfaces the same way. It
//! ends with figures and with the proof that both views are equal; it fails where they are not.
//!
//! A run with a bound has both halves within this process. One without has them as processes that can be killed, with a page to
//! break things from: `stage`.

mod folder;
mod setup;
mod stage;
mod summary;
mod traffic;
mod view;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hookit_platform::Status;
use tokio_util::sync::CancellationToken;

use crate::diff::{Settling, Sides, compare};
use crate::exit::Exit;
use crate::signals;

use self::folder::Folder;
use self::summary::Summary;
use self::traffic::Traffic;

/// How long the last deliveries may take after the traffic has ended.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);
/// How long records that differ at the end may take to agree.
const SETTLE: Duration = Duration::from_secs(5);
/// How often the view is drawn.
const FRAME: Duration = Duration::from_millis(200);

/// What one reads below the arguments.
const PAGE: &str = "\
Without --orders and --for it opens a page with both sides next to each other, and switches to break things: the inbox
unreachable, slow, answering 500, its answers lost; the platform killed; a wrong secret; a flood. Both halves are processes
then, started from this program, and end with it. With a bound there is no page, and both are within this process.";

#[derive(clap::Args)]
#[command(after_help = PAGE)]
pub(crate) struct Args {
    /// So many orders, then the summary. Without a bound it runs until q or Ctrl-C.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    orders: Option<u64>,
    /// New orders a second; 0 is as fast as it goes, without pauses in their lives.
    #[arg(long, value_name = "R", default_value_t = 2.0, value_parser = rate)]
    rate: f64,
    /// How many times faster than in a real restaurant an order lives.
    #[arg(long, value_name = "X", default_value_t = 60.0, value_parser = pace)]
    pace: f64,
    /// So long, then the summary: 30s, 5m, 1h.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// The folder to keep everything in; without it a temporary one, gone at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the page is, on this machine; 127.0.0.1:8790, or where that is taken any free port.
    #[arg(long, value_name = "ADDR", value_parser = loopback, conflicts_with_all = ["orders", "duration"])]
    listen: Option<SocketAddr>,
    /// Where the platform listens; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    platform_listen: SocketAddr,
    /// Where the inbox listens; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    inbox_listen: SocketAddr,
    /// Another seed makes other orders and other lives.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// A line a second instead of the live view, also on a terminal.
    #[arg(long)]
    plain: bool,
    /// How to print the summary.
    #[arg(long, value_enum, default_value_t = summary::Output::Table)]
    output: summary::Output,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err("expected 0 to 100000 orders a second".to_owned()),
    }
}

fn pace(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(pace) if (0.001..=1_000_000.0).contains(&pace) => Ok(pace),
        _ => Err("expected 0.001 to 1000000".to_owned()),
    }
}

/// The page has no door, so it is for this machine alone.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        _ => Err("expected an address of this machine with a port, for example 127.0.0.1:8790".to_owned()),
    }
}

/// Reads a time of an argument.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 4] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let read = |(unit, seconds): &(&str, f64)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        (number > 0.0 && number * seconds <= 86_400.0 * 30.0)
            .then(|| Duration::from_secs_f64(number * seconds))
    };
    let read = UNITS.iter().find_map(read);
    read.ok_or_else(|| "expected a number with ms, s, m or h, for example 30s".to_owned())
}

/// What the view and the progress lines show.
pub(crate) struct Snapshot {
    pub(crate) elapsed: Duration,
    pub(crate) status: Status,
    pub(crate) inbox: Received,
    pub(crate) traffic: traffic::Figures,
    /// What there is where things can be broken.
    pub(crate) stage: Option<StageLine>,
}

/// What came to the inbox since the demo was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) received: u64,
    pub(crate) duplicates: u64,
    pub(crate) quarantined: u64,
    pub(crate) refused: u64,
}

impl From<hookit_inbox::Counters> for Received {
    fn from(counters: hookit_inbox::Counters) -> Self {
        Received {
            received: counters.received,
            duplicates: counters.duplicates,
            quarantined: counters.quarantined,
            refused: counters.refused_in_all(),
        }
    }
}

/// The page, and what is broken from there.
pub(crate) struct StageLine {
    pub(crate) page: String,
    pub(crate) broken: Vec<&'static str>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    if args.orders.is_none() && args.duration.is_none() {
        return Box::pin(stage::run(args)).await;
    }
    bounded(args).await
}

#[expect(clippy::disallowed_methods, reason = "the length of a run is shown, nothing is decided by it")]
async fn bounded(args: Args) -> anyhow::Result<Exit> {
    let interrupted = signals::stop_token()?;
    let folder = Folder::open(args.data.as_deref())?;
    let data = folder.path();
    let started = std::time::Instant::now();
    let halves = setup::start(data, args.platform_listen, args.inbox_listen, args.seed).await?;
    eprint(&format!(
        "platform http://{}   inbox http://{}   data {}\n",
        halves.platform.address,
        halves.inbox.address,
        data.display()
    ));

    let stop = interrupted.child_token();
    let traffic = Arc::new(Traffic::new(args.seed));
    let bounds = traffic::Bounds { orders: args.orders, rate: args.rate, pace: args.pace, is_patient: false };
    let mut driving = tokio::task::JoinSet::new();
    driving.spawn(traffic::drive(traffic.clone(), halves.surface.clone(), bounds, stop.clone()));
    let deadline = args.duration.map(|duration| tokio::time::Instant::now() + duration);

    let live = !args.plain && std::io::stdout().is_terminal();
    let mut view = if live { Some(view::View::open()?) } else { None };
    let mut ticks = tokio::time::interval(if live { FRAME } else { Duration::from_secs(1) });
    let mut drained_by = None;
    let outcome = loop {
        tokio::select! {
            _ = ticks.tick() => {}
            Some(ended) = driving.join_next() => {
                if let Err(error) = ended? {
                    break Err(error);
                }
                drained_by = Some(tokio::time::Instant::now() + DRAIN_TIMEOUT);
                // From here on it is looked at often: the run ends as soon as nothing is pending.
                ticks = tokio::time::interval(Duration::from_millis(20));
                continue;
            }
            () = until(deadline), if !stop.is_cancelled() => stop.cancel(),
        }
        let snapshot = Snapshot {
            elapsed: started.elapsed(),
            status: halves.platform.status().await?,
            inbox: halves.inbox.counters().into(),
            traffic: traffic.figures(),
            stage: None,
        };
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
        if let Some(by) = drained_by
            && (snapshot.status.pending == 0 || tokio::time::Instant::now() > by)
        {
            break Ok(snapshot);
        }
    };
    drop(view);
    let snapshot = outcome?;

    let sides = Sides {
        platform: halves.surface.clone(),
        inbox: halves.inbox_client()?,
        business_id: Some(hookit_sim::traffic::World::BUSINESS.0),
    };
    let comparison = compare(&sides, Settling::all(SETTLE)).await?;
    let summary = Summary::of(&snapshot, comparison);
    summary.print(args.output)?;
    halves.stop().await;
    drop(folder);
    Ok(if summary.is_proof() { Exit::Success } else { Exit::Differs })
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// A stop that is asked for while waiting ends the wait.
async fn pause(stop: &CancellationToken, pause: Duration) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(pause) => true,
    }
}

fn eprint(text: &str) {
    use std::io::Write as _;
    // Progress is for whoever looks; a closed standard error is no reason to stop.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_with_a_unit() {
        for (text, seconds) in [("250ms", 0.25), ("30s", 30.0), ("1.5m", 90.0), ("2h", 7200.0)] {
            assert_eq!(duration(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "30", "s", "-1s", "0s", "1d", "NaNs", "infs", "9999h", "３s秒"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_page_is_for_this_machine() {
        assert!(loopback("127.0.0.1:0").is_ok() && loopback("[::1]:8790").is_ok());
        for text in ["0.0.0.0:8790", "192.168.1.7:8790", "[::]:8790", "127.0.0.1", "localhost:8790"] {
            assert!(loopback(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_and_paces_have_bounds() {
        assert_eq!((rate("0"), rate("2.5")), (Ok(0.0), Ok(2.5)));
        assert!(rate("-1").is_err() && rate("NaN").is_err() && pace("0").is_err() && pace("x").is_err());
    }
}
