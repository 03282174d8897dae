//! `hookit`: order events that arrive, in order, every one.
//!
//! The only place where concrete parts meet: a store with a platform, an inbox with a store, both with a listener.
//! A file a noun; parsing does no work.

mod backup;
mod bench;
mod client;
mod config;
mod demo;
mod diff;
mod doctor;
mod exit;
mod inbox;
mod operate;
mod order;
mod output;
mod platform;
mod shell;
mod signals;
mod tls;
mod workbench;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::exit::Exit;

/// Order events that arrive, in order, every one: the platform that sends them, and the inbox that receives them.
#[derive(Parser)]
#[command(name = "hookit", version, propagate_version = true)]
struct Cli {
    /// What to log on standard error: off, error, warn, info, debug, trace, or a filter such as
    /// `info,hookit_platform=debug`.
    #[arg(long, global = true, env = "HOOKIT_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Both halves on this machine with live traffic, and at the end the proof that they agree.
    Demo(demo::Args),
    /// Measures how fast it is on this machine, each figure beside a baseline.
    Bench(bench::Args),
    /// The source of truth for orders, and the delivery of their events.
    Platform {
        #[command(subcommand)]
        command: PlatformCommand,
    },
    /// What a partner runs: it receives, and keeps the partner's order view.
    Inbox {
        #[command(subcommand)]
        command: InboxCommand,
    },
    /// Compares an inbox's view with the platform's orders, record by record.
    Diff(diff::Args),
    /// How the platform and each endpoint stand.
    Status(operate::status::Args),
    /// Who hosts endpoints, and their credentials.
    Partner(operate::partner::Args),
    /// Registrations: which URL hears of what.
    Webhook(operate::webhook::Args),
    /// Orders, their moves, and one of them live.
    Order(operate::order::Args),
    /// What was sent, what waits, and what was given up.
    Delivery(operate::delivery::Args),
    /// Many deliveries again, by a filter.
    Replay(operate::replay::Args),
    /// Operator tokens and what they may do.
    Token(operate::token::Args),
    /// What operators did.
    Audit(operate::token::AuditArgs),
    /// Posts a realistic, signed event to a receiver, and shows the exchange.
    Trigger(workbench::trigger::Args),
    /// A receiver that verifies, shows and forwards what comes, and misbehaves where told to.
    Listen(workbench::listen::Args),
    /// Tries a receiver in every way that matters, and says which faults it has.
    Certify(workbench::certify::Args),
    /// Prints the signature of a body.
    Sign(workbench::sign::Args),
    /// Tells whether a signature is a body's, and why it is not.
    Verify(workbench::verify::Args),
    /// Looks whether machine, data folder and endpoints are in order, and says what to do where not.
    Doctor(doctor::Args),
    /// Prints what a shell needs to complete commands.
    Completions(shell::CompletionsArgs),
    /// Writes a man page for each command.
    Man(shell::ManArgs),
}

#[derive(Subcommand)]
enum PlatformCommand {
    /// Serves the operator API and the Partner API, and delivers.
    Serve(platform::ServeArgs),
    /// Copies everything that a platform has, but for its key, into one file, also while it is at work.
    Backup(backup::BackupArgs),
    /// Makes a data folder of such a copy.
    Restore(backup::RestoreArgs),
}

#[derive(Subcommand)]
enum InboxCommand {
    /// Receives webhooks at POST /webhooks/klikit and serves the order view.
    Serve(inbox::ServeArgs),
    /// The last delivery, rates, repeats, refusals, the quarantine, each sink's lag, and the last reconciliation
    Status(operate::inbox::StatusArgs),
    /// The order view, by filters
    Orders(operate::inbox::OrdersArgs),
    /// What is genuine and could not be read
    Quarantine {
        #[command(subcommand)]
        command: operate::inbox::QuarantineCommand,
    },
    /// Hands on again what a sink has given up
    Again(operate::inbox::AgainArgs),
    /// Copies everything that an inbox has into one file, also while it is at work.
    Backup(backup::BackupArgs),
    /// Makes a data folder of such a copy.
    Restore(backup::RestoreArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = run(cli);
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            let exit = Exit::of(&error);
            exit::complain(&error);
            exit.into()
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    // The demo draws on the terminal; log lines in between would spoil it, so it only warns unless told otherwise.
    let filter = match cli.command {
        Command::Demo(_) if cli.log == "info" => "warn".to_owned(),
        _ => cli.log.clone(),
    };
    let filter: Targets = filter.parse().map_err(|error| {
        exit::usage(format!("--log: {error}; expected for example debug, or info,hookit_platform=debug"))
    })?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        match cli.command {
            Command::Demo(args) => Box::pin(demo::run(args)).await,
            Command::Bench(args) => Box::pin(bench::run(args)).await,
            Command::Platform { command } => match command {
                PlatformCommand::Serve(args) => Box::pin(platform::serve(args)).await,
                PlatformCommand::Backup(args) => backup::of_platform(args).await,
                PlatformCommand::Restore(args) => backup::to_platform(args).await,
            },
            Command::Inbox { command } => match command {
                InboxCommand::Serve(args) => Box::pin(inbox::serve(args)).await,
                InboxCommand::Status(args) => operate::inbox::status(args).await,
                InboxCommand::Orders(args) => operate::inbox::orders(args).await,
                InboxCommand::Quarantine { command } => operate::inbox::quarantine(command).await,
                InboxCommand::Again(args) => operate::inbox::again(args).await,
                InboxCommand::Backup(args) => backup::of_inbox(args).await,
                InboxCommand::Restore(args) => backup::to_inbox(args).await,
            },
            Command::Diff(args) => Box::pin(diff::run(args)).await,
            Command::Status(args) => Box::pin(operate::status::run(args)).await,
            Command::Partner(args) => Box::pin(operate::partner::run(args)).await,
            Command::Webhook(args) => Box::pin(operate::webhook::run(args)).await,
            Command::Order(args) => Box::pin(operate::order::run(args)).await,
            Command::Delivery(args) => Box::pin(operate::delivery::run(args)).await,
            Command::Replay(args) => Box::pin(operate::replay::run(args)).await,
            Command::Token(args) => Box::pin(operate::token::run(args)).await,
            Command::Audit(args) => Box::pin(operate::token::audit(args)).await,
            Command::Trigger(args) => Box::pin(workbench::trigger::run(args)).await,
            Command::Listen(args) => Box::pin(workbench::listen::run(args)).await,
            Command::Certify(args) => Box::pin(workbench::certify::run(args)).await,
            Command::Sign(args) => workbench::sign::run(&args),
            Command::Verify(args) => workbench::verify::run(&args),
            Command::Doctor(args) => Box::pin(doctor::run(args)).await,
            Command::Completions(args) => shell::completions(&args),
            Command::Man(args) => shell::man(&args),
        }
    });
    // What still runs in the background has been waited for as long as it may be.
    runtime.shutdown_background();
    result
}
