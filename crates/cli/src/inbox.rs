//! `hookit inbox serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hookit_contract::Clock;
use hookit_inbox::sinks::{NdjsonSink, SinkConfig, SinkKind, SinkSet, Sinks};
use hookit_inbox::{Counters, Inbox, InboxConfig, NamedSecret};
use hookit_server::{Certificate, Limits, Secret, SystemClock, Tasks, create_private_dir};
use hookit_store::inbox::Store as _;
use hookit_store::sqlite::{InboxOptions, InboxStore};

use crate::config::{self, InboxFile, InboxParts};
use crate::exit::{Exit, usage};
use crate::platform::announce;
use crate::signals;
use crate::tls::{TlsArgs, scheme};

/// Secrets come by the environment: arguments can be read by whoever lists processes.
const ENVIRONMENT: &str = "\
Environment:
  KLIKIT_WEBHOOK_SECRET     The webhook_secret_key that klikit issued with the partner's credential; needed unless the
                            configuration has [[secrets]]
  HOOKIT_INBOX_TOKEN        A token that shows its bearer the view, 16 characters or more, beside the configuration's
                            [[read_tokens]]; without any the view is shown to this machine alone
  KLIKIT_PARTNER_KEY        The credential's partner_key, where [partner_api] has a url and no partner_key
  KLIKIT_SECRET_KEY         The credential's secret_key, where [partner_api] has a url and no secret_key_file
  HOOKIT_INBOX_WRITE_TOKEN  A token that lets its bearer move orders, 16 characters or more; without one nobody may";

/// Environment variable of the token that lets its bearer move orders.
pub(crate) const WRITE_TOKEN: &str = "HOOKIT_INBOX_WRITE_TOKEN";

/// How long tasks may take to end at a stop: longer than the answers under way, and than most of what sinks are handed.
const STOP_WAIT: Duration = Duration::from_secs(20);

#[derive(clap::Args)]
#[command(after_help = ENVIRONMENT)]
pub(crate) struct ServeArgs {
    /// The folder that everything is kept in; made where there is none.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where to listen; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8787")]
    listen: SocketAddr,
    #[command(flatten)]
    tls: TlsArgs,
    /// A configuration file (TOML); examples/inbox.toml has every setting.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Stops gracefully when standard input ends.
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

/// An inbox with its listener, at work.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    inbox: Inbox,
    store: Arc<InboxStore>,
    tasks: Tasks,
}

impl Running {
    /// Opens the store and listens.
    pub(crate) async fn start(
        data: &Path,
        listen: SocketAddr,
        certificate: Option<Certificate>,
        mut config: InboxConfig,
        limits: Limits,
        sinks: Vec<SinkConfig>,
    ) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let codes = config.codes;
        let sinks =
            SinkSet::new(sinks, codes, &clock).map_err(|error| usage(format!("configuration: {error}")))?;
        create_private_dir(data).with_context(|| format!("--data {}", data.display()))?;
        let options = InboxOptions { codes, ..InboxOptions::default() };
        let store = Arc::new(InboxStore::open(data, options)?);
        config.jitter_seed = getrandom::u64()?;
        let listener =
            hookit_server::bind(listen).with_context(|| format!("--listen {listen}: cannot listen there"))?;
        let address = listener.local_addr()?;
        let inbox = Inbox::new(config, store.clone(), clock.clone())
            .map_err(|error| usage(format!("configuration: {error}")))?;
        let tasks = Tasks::new();
        inbox.start(&tasks)?;
        inbox.show_sinks(Sinks::start(sinks, store.clone(), clock, getrandom::u64()?, &tasks).await?);
        let stop = tasks.stop_signal().clone();
        let serving = hookit_server::serve_with(listener, certificate, inbox.router(), limits, stop);
        tasks.spawn("listener", serving);
        Ok(Running { address, inbox, store, tasks })
    }

    /// What was received and refused since the start.
    pub(crate) fn counters(&self) -> Counters {
        self.inbox.counters()
    }

    /// Stops listening, lets answers and what is being handed on finish, closes the store.
    pub(crate) async fn stop(self) {
        if !self.tasks.stop(STOP_WAIT).await {
            tracing::warn!("some tasks did not end in time; what a sink was handed is handed on again");
        }
        self.store.close().await;
    }
}

pub(crate) async fn serve(args: ServeArgs) -> anyhow::Result<Exit> {
    for name in [config::WEBHOOK_SECRET, config::READ_TOKEN] {
        if let Err(std::env::VarError::NotUnicode(_)) = std::env::var(name) {
            return Err(usage(format!("{name}: not text")));
        }
    }
    let InboxParts { mut config, limits, sinks } =
        config::read::<InboxFile>(args.config.as_deref())?.resolve()?;
    if config.secrets.is_empty() {
        return Err(usage(format!(
            "{} is not set, and the configuration has no [[secrets]]: it is the webhook_secret_key that klikit issued with the \
             partner's credential",
            config::WEBHOOK_SECRET
        )));
    }
    config.write_token = write_token()?;
    let certificate = args.tls.certificate()?;
    let scheme = scheme(certificate.as_ref());
    let is_stdout = |sink: &SinkConfig| matches!(&sink.kind, SinkKind::Ndjson(NdjsonSink::Stdout));
    let writes_to_stdout = sinks.iter().any(is_stdout);
    let stop = signals::stop_token()?;
    if args.stop_with_stdin {
        signals::stop_with_stdin(stop.clone())?;
    }
    let names = |all: &[NamedSecret]| all.iter().map(|one| one.name.clone()).collect::<Vec<_>>().join(", ");
    tracing::info!(
        secrets = names(&config.secrets), read_tokens = names(&config.read_tokens),
        has_write_token = config.write_token.is_some(), basic_user = config.basic_auth.as_ref().map(|auth| &auth.user),
        sources = ?config.sources, connections_max = limits.connections_max, body_bytes_max = limits.body_bytes_max,
        reconcile = ?config.partner_api.as_ref().map(|_| &config.reconcile), moves_hold_time = ?config.moves_hold_time,
        retention = ?config.retention, pack_after = ?config.pack_after,
        sinks = sinks.len(), "effective settings"
    );
    let running = Running::start(&args.data, args.listen, certificate, config, limits, sinks).await?;
    if writes_to_stdout {
        tracing::info!(address = %running.address, "listening; standard output has a sink's changes");
    } else {
        announce("inbox", scheme, running.address)?;
    }
    stop.cancelled().await;
    running.stop().await;
    tracing::info!("stopped");
    Ok(Exit::Success)
}

/// The token that lets its bearer move orders, where one is set.
fn write_token() -> anyhow::Result<Option<Secret>> {
    match std::env::var(WRITE_TOKEN) {
        Ok(token) => Ok(Some(Secret::new(token))),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(usage(format!("{WRITE_TOKEN}: not text"))),
    }
}
