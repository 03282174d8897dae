//! The deterministic simulator: the real engine and the real dispatcher, unchanged, over a simulated disk, network and
//! clock, on one thread, with every fault that we can think of; and an independent auditor that watches.
//!
//! One seed is one schedule, always the same, byte for byte. It has two phases: for so many steps producers work, and
//! endpoints, store, clock and process misbehave; then everything heals, and within the time of the retry plan all
//! has to go quiet and the partners' views have to be right.
//!
//! - `life` - one life of the platform's process, from its start to its crash, stop or end: the steps.
//! - `store`, `disk` - the store: what a process sees of it, and what survives one.
//! - `network` - the sender, and the receivers.
//! - `producers` - operators and ordering surfaces.
//! - `trace` - the clock, the log, the way to the auditor.
//!
//! What this module must not do: judge (the auditor does), take time or chance from the machine. What is random all
//! the same, because the platform asks the operating system (ids of partners, secrets, ids of requests), must not
//! reach the log nor decide anything.

mod config;
mod disk;
mod life;
mod network;
mod producers;
mod store;
mod trace;

use std::fmt;
use std::sync::{Arc, OnceLock};

use hookit_contract::Timestamp;
use hookit_platform::Vault;
use rand::SeedableRng as _;
use rand::rngs::Xoshiro256PlusPlus;
use tokio::runtime::Builder;

use crate::auditor::event::Event;
use crate::auditor::{Auditor, Counts, Violation};
use disk::Disk;
use life::{Driver, End, World};
use network::Network;
use store::Medium;
use trace::{Trace, VirtualClock};

/// Steps of a schedule where nothing else is asked for.
pub const STEPS: u64 = 150;

/// The moment at which the wall clock of every schedule begins.
const BEGIN: Timestamp = Timestamp::from_millis(1_772_000_000_000);

/// A schedule to be run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// How many steps before the faults end.
    pub steps: u64,
    /// Keep the whole log.
    pub log: bool,
}

/// How a schedule went.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was counted.
    pub counts: Counts,
    /// How long it lasted, in its own time.
    pub virtual_ms: i64,
    /// A mark of the log: equal logs have equal ones.
    pub mark: u64,
    /// The log, where it was asked for.
    pub log: Option<String>,
}

/// A schedule in which a guarantee did not hold. Its `Display` has all that is needed to look into it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The schedule.
    pub plan: Plan,
    /// The step.
    pub step: u64,
    /// The guarantee.
    pub violation: Violation,
    /// The end of the log; all of it, where it was asked for.
    pub last: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.last {
            writeln!(f, "{line}")?;
        }
        let Plan { seed, steps, .. } = self.plan;
        writeln!(f, "seed {seed}, step {} of {steps}: {}", self.step, self.violation)?;
        write!(f, "again: cargo run -p hookit-sim --bin sim -- --seeds 1 --seed {seed} --steps {steps}")
    }
}

impl std::error::Error for Failure {}

/// A generator of its own for each part, so that one part's draws do not shift another's.
fn dice(seed: u64, part: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_mul(8).wrapping_add(part))
}

/// Secrets are encrypted with the operating system's randomness; which key it is changes nothing that is looked at.
fn vault() -> Vault {
    static VAULT: OnceLock<Vault> = OnceLock::new();
    let make = || {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Vault::open(&folder.path().join("platform.key")).expect("a key can be made in a new folder")
    };
    VAULT.get_or_init(make).clone()
}

/// Runs one schedule.
///
/// # Errors
/// [`Failure`] where a guarantee did not hold.
pub fn run(plan: Plan) -> Result<Report, Box<Failure>> {
    let (config, rules, orders_per_delivery_max) = config::draw(&mut dice(plan.seed, 0));
    let clock = Arc::new(VirtualClock::new(BEGIN.as_millis()));
    let trace = Arc::new(Trace::new(clock.clone(), Auditor::new(rules.clone(), BEGIN.as_millis()), plan.log));
    let medium = Arc::new(Medium::new(Disk::new(orders_per_delivery_max), trace.clone(), dice(plan.seed, 1)));
    let network = Arc::new(Network::new(medium.clone(), clock.clone(), dice(plan.seed, 2)));
    let mut driver = Driver::new(dice(plan.seed, 3), rules.clone(), plan.steps);
    let world =
        World { config, rules, clock: clock.clone(), trace: trace.clone(), medium, network, vault: vault() };
    loop {
        // A runtime for each life: dropping it is the crash, at whatever await each task stands.
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .event_interval(driver.event_interval())
            .build()
            .expect("a runtime without input and output needs nothing of the machine");
        let end = runtime.block_on(async {
            clock.begin_life();
            let end = life::live(&world, &mut driver).await;
            clock.end_life();
            end
        });
        drop(runtime);
        match end {
            End::Over => break,
            End::NotStarted => {
                trace.note(&Event::StartFailed);
                world.network.cut();
            }
            End::Crash => {
                trace.note(&Event::Crashed);
                world.network.cut();
            }
            End::Stop { drained } => {
                trace.note(&Event::Stopped { drained });
                world.network.cut();
            }
        }
    }
    trace.finish();
    let virtual_ms = clock.elapsed_ms();
    drop(world);
    let Ok(trace) = Arc::try_unwrap(trace) else {
        unreachable!("whoever held the trace has gone with the world")
    };
    let traced = trace.into_traced();
    match traced.auditor.violation() {
        Some(violation) => Err(Box::new(Failure {
            plan,
            step: traced.step,
            violation: violation.clone(),
            last: traced.whole.map_or(traced.last, |log| vec![log]),
        })),
        None => {
            Ok(Report { counts: traced.auditor.counts(), virtual_ms, mark: traced.mark, log: traced.whole })
        }
    }
}
