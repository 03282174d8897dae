//! `hookit certify`: a conformance run against anybody's receiver.
//!
//! `checks.rs` says what is sent and what the answers are a sign of, `faults.rs` what a fault means and how it is mended,
//! `report.rs` how all of it is told. A receiver is looked at from outside only: by its answers, and by its view of the
//! orders where it shows one.

mod checks;
mod faults;
mod report;
mod run;
mod view;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use hookit_contract::Clock as _;
use hookit_server::SystemClock;

use self::faults::{Fault, Severity};
use self::report::Report;
use self::run::{Checked, Run};
use self::view::View;
use super::events::{BasicArgs, Sender};
use super::{ENVIRONMENT, SecretArgs};
use crate::exit::{Exit, coded, usage};
use crate::output::{self, Output};

#[derive(clap::Args)]
#[command(after_help = after_help())]
pub(crate) struct Args {
    /// The receiver. It is sent made-up orders: let it be one for trials.
    #[arg(value_name = "URL")]
    url: String,
    #[command(flatten)]
    secrets: SecretArgs,
    #[command(flatten)]
    basic: BasicArgs,
    /// Where the receiver shows its orders as JSON, as a list or, with {id} in the URL, one by one. More can be seen with it.
    #[arg(long, value_name = "URL")]
    view_url: Option<String>,
    /// A variable with the Bearer token that the view asks for.
    #[arg(long, value_name = "NAME", requires = "view_url")]
    view_token_env: Option<String>,
    /// A command that restarts the receiver, to see whether it remembers; run by sh, and done when it returns.
    #[arg(long, value_name = "COMMAND")]
    restart: Option<String>,
    /// How many deliveries the check under load sends.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    deliveries: u32,
    /// How many of them at a time.
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    at_a_time: u32,
    /// Writes the report as a page, too, which needs nothing beside itself.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// How to print the report.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

fn after_help() -> String {
    format!(
        "{ENVIRONMENT}\n\nExit codes: 0 where nothing failed, 1 where something did, 2 for a wrong command line"
    )
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let secret = args.secrets.read_one()?.secret;
    let sender = Sender::new(&args.url, &secret, &args.basic)?;
    let view =
        args.view_url.as_deref().map(|url| View::new(url, args.view_token_env.as_deref())).transpose()?;
    let run = Run::new(sender, view)?;
    let started_at = SystemClock.now();
    let checked = check(&run, &args).await?;
    let report = Report { url: args.url.clone(), started_at, checks: checked };
    if let Some(path) = &args.html {
        std::fs::write(path, report.html()).map_err(|error| cannot_write(path, &error))?;
    }
    match args.output {
        Output::Table => output::print(&report.words())?,
        Output::Json => output::print_json(&report.json())?,
    }
    Ok(if report.severity() == Some(Severity::Failure) { Exit::Differs } else { Exit::Success })
}

fn cannot_write(path: &Path, error: &std::io::Error) -> anyhow::Error {
    usage(format!("--html {}: it cannot be written: {error}", path.display()))
}

/// Makes the checks, until one of them shows that the others would say nothing.
async fn check(run: &Run, args: &Args) -> anyhow::Result<Vec<Checked>> {
    let mut all: Vec<Checked> = Vec::new();
    /// Makes one check; ends the run where the receiver does not come back after it.
    macro_rules! check {
        ($check:literal, $title:literal, $out:ident => $do:expr) => {{
            let mut checked = Checked::new($check, $title);
            {
                let $out = &mut checked;
                $do;
            }
            let is_gone = run.is_gone().await?;
            if is_gone {
                checked.found(Fault::Dies, "no connection can be made any more");
            }
            all.push(checked);
            if is_gone {
                return Ok(all);
            }
            all.last().expect("it was pushed")
        }};
    }
    let goes_on;
    check!("genuine", "A genuine delivery", out => goes_on = checks::genuine(run, out).await?);
    if !goes_on {
        return Ok(all);
    }
    let forged = check!("forged", "Wrong signatures", out => checks::forged(run, out).await?);
    let are_refused = forged.severity() != Some(Severity::Failure);
    check!("raw_bytes", "The signature is of the raw bytes", out => checks::raw_bytes(run, out, are_refused).await?);
    check!("headers", "Missing headers, and bodies that cannot be read", out => checks::missing_headers(run, out).await?);
    check!("large", "Large bodies", out => checks::large_bodies(run, out).await?);
    check!("scripts", "Every script", out => checks::scripts(run, out).await?);
    let repeats = check!("repeats", "A repeated id", out => checks::repeats(run, out).await?);
    if repeats.faults.is_empty() {
        check!("repeats_at_once", "A repeated id at the same moment", out => checks::repeats_at_once(run, out).await?);
    }
    check!("orders", "Realistic orders, one and many in a delivery", out => checks::batches(run, out).await?);
    check!("unknown", "Fields, statuses and types that are not known", out => checks::unknown(run, out).await?);
    check!("numbers", "Large numbers", out => checks::big_numbers(run, out).await?);
    check!("late", "States that come late", out => checks::out_of_order(run, out).await?);
    check!("pieces", "A slow sender", out => checks::slow_sender(run, out).await?);
    check!("in_a_row", "One delivery after the other", out => checks::keep_alive(run, out).await?);
    check!("load", "Many deliveries at a time", out => {
        checks::concurrency(run, out, args.deliveries as usize, args.at_a_time as usize).await?;
    });
    check!("time", "The time until the answer", out => checks::answer_time(run, out));
    if let Some(command) = &args.restart {
        check!("restart", "A restart", out => {
            checks::restart(run, out, async || restart(command).await).await?;
        });
    }
    Ok(all)
}

async fn restart(command: &str) -> anyhow::Result<()> {
    let status = tokio::process::Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .await
        .map_err(|error| coded(Exit::Failed, format!("--restart: sh cannot be run: {error}")))?;
    if status.success() {
        Ok(())
    } else {
        Err(coded(Exit::Failed, format!("--restart: the command failed: {status}")))
    }
}
