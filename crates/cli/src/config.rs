//! Configuration files: one typed struct a half. Unknown keys are refused, and what is not said stays at its default.

mod partner_api;
mod receiving;
mod sinks;

use std::path::Path;
use std::time::Duration;

use hookit_contract::StatusCodes;
use hookit_egress::{AddressPolicy, EgressConfig, Network, Networks};
use hookit_engine::{EngineConfig, RetryPlan};
use hookit_inbox::InboxConfig;
use hookit_inbox::sinks::SinkConfig;
use hookit_platform::PartnerRates;
use hookit_server::{Limits, Secret, read_private_file};
use hookit_store::sqlite::PlatformOptions;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use self::partner_api::{MovesFile, PartnerApiFile, ReconcileFile};
pub(crate) use self::receiving::{READ_TOKEN, WEBHOOK_SECRET};
use self::receiving::{ReadTokenFile, ReceiveFile, SecretFile};
use self::sinks::SinkFile;
use crate::exit::usage;

/// The file of `hookit platform serve --config`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PlatformFile {
    pub(crate) codes: Codes,
    pub(crate) tick: Tick,
    pub(crate) delivery: Delivery,
    pub(crate) egress: EgressFile,
    pub(crate) retention: Retention,
    pub(crate) metrics: Metrics,
    pub(crate) partner_api: PartnerApi,
    pub(crate) listen: Listen,
}

/// The file of `hookit inbox serve --config`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct InboxFile {
    pub(crate) codes: Codes,
    pub(crate) listen: Listen,
    pub(crate) receive: ReceiveFile,
    pub(crate) secrets: Vec<SecretFile>,
    pub(crate) read_tokens: Vec<ReadTokenFile>,
    pub(crate) partner_api: PartnerApiFile,
    pub(crate) reconcile: ReconcileFile,
    pub(crate) moves: MovesFile,
    pub(crate) retention: InboxRetention,
    pub(crate) sinks: Vec<SinkFile>,
}

/// Codes of the two statuses that klikit names without one.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Codes {
    preparing: i64,
    dispatched: i64,
}

impl Default for Codes {
    fn default() -> Self {
        let codes = StatusCodes::default();
        Codes {
            preparing: codes.code(hookit_contract::KnownStatus::Preparing),
            dispatched: codes.code(hookit_contract::KnownStatus::Dispatched),
        }
    }
}

impl Codes {
    fn resolve(&self) -> Result<StatusCodes, String> {
        StatusCodes::with(self.preparing, self.dispatched).map_err(|error| format!("codes: {error}"))
    }
}

/// The group commit.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tick {
    tick_ms: u64,
    orders_per_delivery_max: usize,
    queue_max: usize,
}

impl Default for Tick {
    fn default() -> Self {
        let options = PlatformOptions::default();
        Tick {
            tick_ms: u64::try_from(options.tick_min.as_millis()).unwrap_or(u64::MAX),
            orders_per_delivery_max: options.orders_per_delivery_max,
            queue_max: options.queue_max,
        }
    }
}

/// Sending.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Delivery {
    retry_delays_ms: Vec<u64>,
    in_flight_per_endpoint_max: usize,
    in_flight_max: usize,
    exchange_timeout_ms: u64,
    probe_pause_min_ms: u64,
    probe_pause_max_ms: u64,
    hold_time_s: u64,
}

impl Default for Delivery {
    fn default() -> Self {
        let (engine, egress) = (EngineConfig::default(), EgressConfig::default());
        let millis = |d: &Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Delivery {
            retry_delays_ms: engine.retry.delays().iter().map(millis).collect(),
            in_flight_per_endpoint_max: engine.in_flight_per_endpoint_max,
            in_flight_max: engine.in_flight_max,
            exchange_timeout_ms: millis(&egress.exchange_timeout),
            probe_pause_min_ms: millis(&engine.probe_pause_min),
            probe_pause_max_ms: millis(&engine.probe_pause_max),
            hold_time_s: engine.hold_time.as_secs(),
        }
    }
}

/// Which addresses may be dialled beside public ones.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EgressFile {
    allowed_networks: Vec<String>,
}

impl EgressFile {
    fn resolve(&self, problems: &mut Problems) -> AddressPolicy {
        match problems.networks("egress.allowed_networks", &self.allowed_networks) {
            Some(networks) if !self.allowed_networks.is_empty() => AddressPolicy::PublicAnd(networks),
            _ => AddressPolicy::PublicOnly,
        }
    }
}

/// How long what is over is kept.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Retention {
    retention_days: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { retention_days: hookit_platform::RETENTION.as_secs() / 86_400 }
    }
}

/// How long what came to the inbox is kept once it is over.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct InboxRetention {
    retention_days: u64,
    pack_after_hours: u64,
}

impl Default for InboxRetention {
    fn default() -> Self {
        InboxRetention {
            retention_days: hookit_inbox::RETENTION.as_secs() / 86_400,
            pack_after_hours: hookit_inbox::PACK_AFTER.as_secs() / 3_600,
        }
    }
}

/// Who may read the metrics.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Metrics {
    access: MetricsFor,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum MetricsFor {
    /// Who has the operator token or the metrics token.
    #[default]
    Token,
    /// Anybody.
    Open,
}

/// How much a partner may ask.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PartnerApi {
    reads_per_minute_max: u64,
    writes_per_minute_max: u64,
}

impl Default for PartnerApi {
    fn default() -> Self {
        let PartnerRates { reads_per_minute_max, writes_per_minute_max } = PartnerRates::default();
        PartnerApi { reads_per_minute_max, writes_per_minute_max }
    }
}

/// The listener's limits.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Listen {
    connections_max: usize,
    body_bytes_max: Option<usize>,
}

impl Default for Listen {
    fn default() -> Self {
        Listen { connections_max: Limits::default().connections_max, body_bytes_max: None }
    }
}

impl Listen {
    pub(crate) fn limits(&self, body_bytes_max: usize) -> Limits {
        Limits {
            connections_max: self.connections_max,
            body_bytes_max: self.body_bytes_max.unwrap_or(body_bytes_max),
            ..Limits::default()
        }
    }
}

/// A setting that is a number, and what it may be.
struct Number {
    name: &'static str,
    from: u64,
    to: u64,
}

impl Number {
    const fn new(name: &'static str, from: u64, to: u64) -> Self {
        Number { name, from, to }
    }
}

const DAY_MS: u64 = 86_400_000;
/// A body is in memory as a whole.
const BODY_BYTES_MAX: u64 = 256 << 20;

const TICK_MS: Number = Number::new("tick.tick_ms", 0, 10_000);
const ORDERS_PER_DELIVERY_MAX: Number = Number::new("tick.orders_per_delivery_max", 1, 1_000);
const QUEUE_MAX: Number = Number::new("tick.queue_max", 1, 100_000);
const IN_FLIGHT_PER_ENDPOINT_MAX: Number = Number::new("delivery.in_flight_per_endpoint_max", 1, 10_000);
const IN_FLIGHT_MAX: Number = Number::new("delivery.in_flight_max", 1, 10_000);
const EXCHANGE_TIMEOUT_MS: Number = Number::new("delivery.exchange_timeout_ms", 100, 60_000);
const PROBE_PAUSE_MIN_MS: Number = Number::new("delivery.probe_pause_min_ms", 1, DAY_MS);
const PROBE_PAUSE_MAX_MS: Number = Number::new("delivery.probe_pause_max_ms", 1, DAY_MS);
const HOLD_TIME_S: Number = Number::new("delivery.hold_time_s", 1, 31_536_000);
const RETENTION_DAYS: Number = Number::new("retention.retention_days", 1, 3_650);
/// 0 packs nothing.
const PACK_AFTER_HOURS: Number = Number::new("retention.pack_after_hours", 0, 87_600);
const READS_PER_MINUTE_MAX: Number = Number::new("partner_api.reads_per_minute_max", 1, 1_000_000);
const WRITES_PER_MINUTE_MAX: Number = Number::new("partner_api.writes_per_minute_max", 1, 1_000_000);
const CONNECTIONS_MAX: Number = Number::new("listen.connections_max", 1, 100_000);
const LISTEN_BODY_BYTES_MAX: Number = Number::new("listen.body_bytes_max", 1, BODY_BYTES_MAX);

/// The settings of a file that make no sense, gathered so that all of them are reported at once.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn within(&mut self, Number { name, from, to }: &Number, value: u64) {
        if !(*from..=*to).contains(&value) {
            self.0.push(format!("{name} is {value}; expected {from} to {to}"));
        }
    }

    fn listen(&mut self, listen: &Listen) {
        self.within(&CONNECTIONS_MAX, listen.connections_max as u64);
        if let Some(max) = listen.body_bytes_max {
            self.within(&LISTEN_BODY_BYTES_MAX, max as u64);
        }
    }

    /// A list of networks; none where it cannot be used.
    fn networks(&mut self, setting: &str, texts: &[String]) -> Option<Networks> {
        let mut networks = Vec::new();
        for (i, text) in texts.iter().enumerate() {
            match text.parse::<Network>() {
                Ok(network) => networks.push(network),
                Err(error) => self.0.push(format!("{setting}[{i}]: {error}")),
            }
        }
        let all_are_good = networks.len() == texts.len();
        match Networks::new(&networks) {
            Ok(networks) => all_are_good.then_some(networks),
            Err(error) => self.refuse(&format!("{setting}: {error}")),
        }
    }

    fn refuse<T>(&mut self, problem: &str) -> Option<T> {
        self.0.push(problem.to_owned());
        None
    }

    /// The configuration's codes, or the default ones where they make no sense.
    fn codes(&mut self, codes: &Codes) -> StatusCodes {
        codes.resolve().map_err(|problem| self.0.push(problem)).unwrap_or_default()
    }

    fn none(self) -> anyhow::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(usage(format!("configuration: {}", self.0.join("; "))))
    }
}

/// A secret from where the settings say that it is: `WHAT_env` names an environment variable, `WHAT_file` a private file.
/// None where they name no place.
fn placed_secret(what: &str, variable: Option<&str>, file: Option<&Path>) -> Result<Option<Secret>, String> {
    let (secret, place) = match (variable, file) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(format!("expected one of {what}_env and {what}_file, found both")),
        (Some(name), None) => match std::env::var(name) {
            Ok(secret) => (Secret::new(secret), format!("{what}_env: {name}")),
            Err(std::env::VarError::NotPresent) => return Err(format!("{what}_env: {name} is not set")),
            Err(std::env::VarError::NotUnicode(_)) => return Err(format!("{what}_env: {name} is not text")),
        },
        (None, Some(path)) => {
            let secret =
                read_private_file(path).map_err(|error| match std::error::Error::source(&error) {
                    Some(source) => format!("{what}_file: {error}: {source}"),
                    None => format!("{what}_file: {error}"),
                })?;
            (secret, format!("{what}_file: {}", path.display()))
        }
    };
    if secret.expose().is_empty() { Err(format!("{place} is empty")) } else { Ok(Some(secret)) }
}

/// What the file means for the parts.
pub(crate) struct InboxParts {
    pub(crate) config: InboxConfig,
    pub(crate) limits: Limits,
    pub(crate) sinks: Vec<SinkConfig>,
}

impl InboxFile {
    /// Checks the whole. All problems are reported at once.
    pub(crate) fn resolve(self) -> anyhow::Result<InboxParts> {
        let mut problems = Problems::default();
        let codes = problems.codes(&self.codes);
        problems.listen(&self.listen);
        let partner_api = self.partner_api.resolve(|name| std::env::var(name).ok(), &mut problems);
        let reconcile = self.reconcile.resolve(&mut problems);
        let moves_hold_time = self.moves.resolve(&mut problems);
        let InboxRetention { retention_days, pack_after_hours } = self.retention;
        problems.within(&RETENTION_DAYS, retention_days);
        problems.within(&PACK_AFTER_HOURS, pack_after_hours);
        let variable = |name: &str| std::env::var(name).ok();
        let secrets = receiving::secrets(&self.secrets, variable, &mut problems);
        let read_tokens = receiving::read_tokens(&self.read_tokens, variable, &mut problems);
        let sources = self.receive.sources(&mut problems);
        let basic_auth = self.receive.basic_auth(&mut problems);
        let resolve = |(index, sink): (usize, &SinkFile)| sink.resolve(index, &mut problems.0);
        let sinks = self.sinks.iter().enumerate().filter_map(resolve).collect();
        problems.none()?;
        let defaults = InboxConfig::new(secrets);
        let limits = self.listen.limits(defaults.body_bytes_max);
        let config = InboxConfig {
            codes,
            body_bytes_max: limits.body_bytes_max,
            basic_auth,
            sources,
            read_tokens,
            partner_api,
            reconcile,
            moves_hold_time,
            retention: Duration::from_secs(retention_days.saturating_mul(86_400)),
            pack_after: (pack_after_hours > 0)
                .then(|| Duration::from_secs(pack_after_hours.saturating_mul(3_600))),
            ..defaults
        };
        Ok(InboxParts { config, limits, sinks })
    }
}

/// What the file means for the parts.
pub(crate) struct PlatformParts {
    pub(crate) codes: StatusCodes,
    pub(crate) options: PlatformOptions,
    pub(crate) engine: EngineConfig,
    pub(crate) egress: EgressConfig,
    pub(crate) limits: Limits,
    pub(crate) retention: Duration,
    /// `/metrics` asks for no token.
    pub(crate) metrics_are_open: bool,
    pub(crate) rates: PartnerRates,
}

impl PlatformFile {
    /// Checks the whole and turns it into the parts' own settings. All problems are reported at once.
    pub(crate) fn resolve(&self, allow_private_endpoints: bool) -> anyhow::Result<PlatformParts> {
        let mut problems = Problems::default();
        let codes = problems.codes(&self.codes);
        let delays = self.delivery.retry_delays_ms.iter().copied().map(Duration::from_millis).collect();
        let retry = RetryPlan::new(delays)
            .map_err(|e| problems.0.push(format!("delivery.retry_delays_ms: {e}")))
            .unwrap_or_default();
        let Tick { tick_ms, orders_per_delivery_max, queue_max } = self.tick;
        problems.within(&TICK_MS, tick_ms);
        problems.within(&ORDERS_PER_DELIVERY_MAX, orders_per_delivery_max as u64);
        problems.within(&QUEUE_MAX, queue_max as u64);
        let delivery = &self.delivery;
        problems.within(&IN_FLIGHT_PER_ENDPOINT_MAX, delivery.in_flight_per_endpoint_max as u64);
        problems.within(&IN_FLIGHT_MAX, delivery.in_flight_max as u64);
        problems.within(&EXCHANGE_TIMEOUT_MS, delivery.exchange_timeout_ms);
        problems.within(&PROBE_PAUSE_MIN_MS, delivery.probe_pause_min_ms);
        problems.within(&PROBE_PAUSE_MAX_MS, delivery.probe_pause_max_ms);
        if delivery.probe_pause_max_ms < delivery.probe_pause_min_ms {
            problems.0.push(format!(
                "{} is {}; expected {} or more, as {} is",
                PROBE_PAUSE_MAX_MS.name,
                delivery.probe_pause_max_ms,
                delivery.probe_pause_min_ms,
                PROBE_PAUSE_MIN_MS.name
            ));
        }
        problems.within(&HOLD_TIME_S, delivery.hold_time_s);
        problems.within(&RETENTION_DAYS, self.retention.retention_days);
        let PartnerApi { reads_per_minute_max, writes_per_minute_max } = self.partner_api;
        problems.within(&READS_PER_MINUTE_MAX, reads_per_minute_max);
        problems.within(&WRITES_PER_MINUTE_MAX, writes_per_minute_max);
        problems.listen(&self.listen);
        let addresses = self.egress.resolve(&mut problems);
        problems.none()?;
        let (engine, egress) = (EngineConfig::default(), EgressConfig::default());
        Ok(PlatformParts {
            codes,
            options: PlatformOptions {
                codes,
                orders_per_delivery_max: self.tick.orders_per_delivery_max,
                tick_min: Duration::from_millis(self.tick.tick_ms),
                queue_max: self.tick.queue_max,
                ..PlatformOptions::default()
            },
            engine: EngineConfig {
                retry,
                in_flight_per_endpoint_max: self.delivery.in_flight_per_endpoint_max,
                in_flight_max: self.delivery.in_flight_max,
                probe_pause_min: Duration::from_millis(self.delivery.probe_pause_min_ms),
                probe_pause_max: Duration::from_millis(self.delivery.probe_pause_max_ms),
                hold_time: Duration::from_secs(self.delivery.hold_time_s),
                ..engine
            },
            egress: EgressConfig {
                exchange_timeout: Duration::from_millis(self.delivery.exchange_timeout_ms),
                // It allows whatever a network could.
                addresses: if allow_private_endpoints { AddressPolicy::AllowPrivate } else { addresses },
                https_required: !allow_private_endpoints,
                ..egress
            },
            limits: self.listen.limits(Limits::default().body_bytes_max),
            retention: Duration::from_secs(self.retention.retention_days.saturating_mul(86_400)),
            metrics_are_open: self.metrics.access == MetricsFor::Open,
            rates: PartnerRates { reads_per_minute_max, writes_per_minute_max },
        })
    }
}

/// Reads a configuration file; the defaults where none is named.
pub(crate) fn read<T: DeserializeOwned + Default>(path: Option<&Path>) -> anyhow::Result<T> {
    let Some(path) = path else { return Ok(T::default()) };
    let text = std::fs::read_to_string(path)
        .map_err(|error| usage(format!("--config {}: {error}", path.display())))?;
    toml::from_str(&text).map_err(|error| usage(format!("--config {}: {error}", path.display())))
}

#[cfg(test)]
mod tests;
