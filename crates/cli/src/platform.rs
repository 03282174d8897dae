//! `hookit platform serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hookit_egress::Egress;
use hookit_platform::{MetricsAccess, Platform, PlatformConfig, Vault};
use hookit_server::{Certificate, Limits, Secret, SystemClock, create_private_dir, private_file, random_hex};
use hookit_store::platform::{PartnerQuery, Store as _};
use hookit_store::sqlite::PlatformStore;
use tokio_util::sync::CancellationToken;

use crate::config::{self, PlatformFile, PlatformParts};
use crate::exit::{Exit, usage};
use crate::tls::{TlsArgs, scheme};
use crate::{exit, signals};

/// The shortest token that is taken from the environment.
const TOKEN_LEN_MIN: usize = 16;

/// Environment variable of the operator token.
pub(crate) const OPERATOR_TOKEN: &str = "HOOKIT_OPERATOR_TOKEN";

/// Environment variable of the token that opens `/metrics` alone.
const METRICS_TOKEN: &str = "HOOKIT_METRICS_TOKEN";

/// Secrets come by the environment: arguments can be read by whoever lists processes.
const ENVIRONMENT: &str = "\
Environment:
  HOOKIT_OPERATOR_TOKEN  The first operator token, 16 characters or more; where there is none it is made, and kept in DIR/operator.token
  HOOKIT_METRICS_TOKEN   A token that opens /metrics and nothing else, 16 characters or more";

#[derive(clap::Args)]
#[command(after_help = ENVIRONMENT)]
pub(crate) struct ServeArgs {
    /// The folder that everything is kept in; made where there is none.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where to listen; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8780")]
    listen: SocketAddr,
    #[command(flatten)]
    tls: TlsArgs,
    /// A configuration file (TOML); examples/platform.toml has every setting.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Lets endpoints be on this machine or a private network, and without TLS. For tests and trials.
    #[arg(long)]
    allow_private_endpoints: bool,
    /// Stops gracefully when standard input ends.
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

/// A platform with its listener, at work.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) operator_token: Secret,
    platform: Platform,
    listener: tokio::task::JoinHandle<()>,
    stop: CancellationToken,
}

impl Running {
    /// Opens the store, puts the dispatcher to work, and listens.
    pub(crate) async fn start(
        data: &Path,
        listen: SocketAddr,
        certificate: Option<Certificate>,
        parts: PlatformParts,
    ) -> anyhow::Result<Self> {
        create_private_dir(data).with_context(|| format!("--data {}", data.display()))?;
        let operator_token = operator_token(data)?;
        let metrics = MetricsAccess { is_open: parts.metrics_are_open, token: token_of(METRICS_TOKEN)? };
        let orders_per_delivery_max = parts.options.orders_per_delivery_max;
        let store = Arc::new(PlatformStore::open(data, parts.options)?);
        let key = data.join("platform.key");
        // A key made here could not open what the missing one has sealed, and would stand in the way of a restored one.
        let any = PartnerQuery { after: None, newest_first: false, limit: 1 };
        if !key.exists() && !store.partners(any).await?.is_empty() {
            return Err(exit::coded(
                Exit::Failed,
                format!(
                    "{}: missing; without it the webhook secrets in the database cannot be read",
                    key.display()
                ),
            ));
        }
        let vault = Vault::open(&key)?;
        let listener =
            hookit_server::bind(listen).with_context(|| format!("--listen {listen}: cannot listen there"))?;
        let address = listener.local_addr()?;
        let stop_timeout = parts.egress.exchange_timeout + Duration::from_secs(5);
        let config = PlatformConfig {
            engine: parts.engine,
            orders_per_delivery_max,
            url_rules: parts.egress.url_rules(),
            operator_token: operator_token.clone(),
            metrics,
            rates: parts.rates,
            codes: parts.codes,
            jitter_seed: getrandom::u64()?,
            retention: parts.retention,
            stop_timeout,
        };
        let sender = Arc::new(Egress::new(parts.egress)?);
        let platform = Platform::start(config, store, Arc::new(SystemClock), vault, sender).await?;
        let stop = CancellationToken::new();
        let limits: Limits = parts.limits;
        let serving =
            hookit_server::serve_with(listener, certificate, platform.router(), limits, stop.clone());
        #[expect(clippy::disallowed_methods, reason = "its handle is awaited by stop")]
        let listener = tokio::spawn(serving);
        Ok(Running { address, operator_token, platform, listener, stop })
    }

    /// How things stand.
    pub(crate) async fn status(&self) -> anyhow::Result<hookit_platform::Status> {
        self.platform.status().await.map_err(|error| exit::coded(Exit::Failed, error.message()))
    }

    /// Stops listening, lets attempts under way finish, closes the store.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let _ = self.listener.await;
        self.platform.stop().await;
    }
}

/// The operator token: from the environment, else from the data folder, where one is made at the first start.
fn operator_token(data: &Path) -> anyhow::Result<Secret> {
    match token_of(OPERATOR_TOKEN)? {
        Some(token) => Ok(token),
        None => {
            let file = token_file(data);
            checked(&file.display().to_string(), private_file(&file, || random_hex("op_", 32))?)
        }
    }
}

/// A token that is too short could be guessed, and one that stands in no header would let nobody in.
fn checked(place: &str, token: Secret) -> anyhow::Result<Secret> {
    let is_token =
        token.expose().len() >= TOKEN_LEN_MIN && token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    let message = || format!("{place}: expected {TOKEN_LEN_MIN} characters or more, visible ones of ASCII");
    if is_token { Ok(token) } else { Err(usage(message())) }
}

/// The token in an environment variable, where there is one.
fn token_of(variable: &str) -> anyhow::Result<Option<Secret>> {
    match std::env::var(variable) {
        Ok(token) => checked(variable, Secret::new(token)).map(Some),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(usage(format!("{variable}: not text"))),
    }
}

fn token_file(data: &Path) -> PathBuf {
    data.join("operator.token")
}

pub(crate) async fn serve(args: ServeArgs) -> anyhow::Result<Exit> {
    let parts =
        config::read::<PlatformFile>(args.config.as_deref())?.resolve(args.allow_private_endpoints)?;
    let certificate = args.tls.certificate()?;
    let stop = signals::stop_token()?;
    if args.stop_with_stdin {
        signals::stop_with_stdin(stop.clone())?;
    }
    tracing::info!(
        retry = ?parts.engine.retry.delays(), in_flight_max = parts.engine.in_flight_max,
        in_flight_per_endpoint_max = parts.engine.in_flight_per_endpoint_max,
        exchange_timeout = ?parts.egress.exchange_timeout, addresses = ?parts.egress.addresses,
        tick_min = ?parts.options.tick_min, orders_per_delivery_max = parts.options.orders_per_delivery_max,
        retention = ?parts.retention, metrics_are_open = parts.metrics_are_open,
        reads_per_minute_max = parts.rates.reads_per_minute_max,
        writes_per_minute_max = parts.rates.writes_per_minute_max,
        "effective settings"
    );
    let scheme = scheme(certificate.as_ref());
    let running = Running::start(&args.data, args.listen, certificate, parts).await?;
    if std::env::var_os(OPERATOR_TOKEN).is_none() {
        tracing::info!("the operator token is in {}", token_file(&args.data).display());
    }
    announce("platform", scheme, running.address)?;
    stop.cancelled().await;
    running.stop().await;
    tracing::info!("stopped");
    Ok(Exit::Success)
}

/// The one line on standard output: a script that starts a server waits for it and learns the port from it.
pub(crate) fn announce(half: &str, scheme: &str, address: SocketAddr) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout();
    writeln!(out, "{half} listening on {scheme}://{address}")?;
    out.flush()?;
    Ok(())
}
