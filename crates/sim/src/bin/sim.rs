//! `sim`: runs as many simulated schedules as wanted, and says how many a second and what was exercised. A schedule in
//! which a guarantee does not hold ends it, with the log's end and the command that replays it.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use hookit_sim::auditor::Counts;
use hookit_sim::simulator::{Plan, STEPS, run};

const USAGE: &str = "usage: sim [--seeds N] [--seed FIRST] [--steps K] [--log]
  --seeds N     how many schedules (100)
  --seed FIRST  the first one's seed; the others follow (1)
  --steps K     steps of each before the faults end (150)
  --log         print the whole log of each";

struct Args {
    seeds: u64,
    first: u64,
    steps: u64,
    log: bool,
}

fn args() -> Option<Args> {
    let mut args = Args { seeds: 100, first: 1, steps: STEPS, log: false };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let number = match name.as_str() {
            "--log" => {
                args.log = true;
                continue;
            }
            "--seeds" => &mut args.seeds,
            "--seed" => &mut args.first,
            "--steps" => &mut args.steps,
            _ => return None,
        };
        *number = given.next()?.parse().ok()?;
    }
    Some(args)
}

fn main() -> ExitCode {
    let mut out = std::io::stdout().lock();
    // Whoever stops reading has read enough.
    let mut say = |text: &str| drop(writeln!(out, "{text}"));
    let Some(args) = args() else {
        say(USAGE);
        return ExitCode::from(2);
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the speed of the machine is measured, and decides nothing"
    )]
    let began = Instant::now();
    let (mut sum, mut virtual_ms) = (Counts::default(), 0);
    for seed in args.first..args.first.saturating_add(args.seeds) {
        match run(Plan { seed, steps: args.steps, log: args.log }) {
            Ok(report) => {
                if let Some(log) = report.log {
                    say(&log);
                }
                sum.add(&report.counts);
                virtual_ms += report.virtual_ms;
            }
            Err(failure) => {
                say(&failure.to_string());
                say(&format!("after {} schedules", seed - args.first + 1));
                return ExitCode::FAILURE;
            }
        }
    }
    let took = began.elapsed().as_secs_f64();
    let hours = virtual_ms / 3_600_000;
    say(&format!(
        "{} schedules in {took:.1} s, {:.1} a second; {hours} hours went by in them",
        args.seeds,
        args.seeds as f64 / took
    ));
    say(&sum.to_string());
    ExitCode::SUCCESS
}
