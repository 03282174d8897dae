//! How the inbox stands, typed: for the API, for pages, for the terminal, and for `/metrics`, which says the same in another form.
//! Whatever is counted is shown by way of this, so that no two surfaces can tell different figures.
//!
//! All of it is in memory; reading it holds up nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use hookit_contract::{ErrorCode, OrderId, Timestamp};
use hookit_server::exposition::{CONTENT_TYPE, MEDIA_TYPE, Page, SECONDS, exposition, label, one, seconds};
use hookit_server::routes::{Routes, get, post};
use hookit_server::{Answer, ApiError, NoBody, Params, PathText};
use hookit_store::cut;
use hookit_store::inbox::GivenUp;
use http::header;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::counters::RefusalReason;
use crate::read::{PageParams, failed};
use crate::sinks::{SinkState, SinkStatus, Sinks};
use crate::{Inbox, Shared};

/// Changes that one call has handed on again at most.
const AGAIN_MAX: usize = 1_000;

/// How an inbox stands.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InboxStatus {
    /// The version of the program.
    pub version: String,
    /// When the process was started.
    pub started_at: Timestamp,
    /// Orders in the view.
    pub orders: u64,
    /// Deliveries that were ever taken in, repeats not counted.
    pub deliveries: u64,
    /// Things in quarantine: genuine, and not to be read.
    pub quarantined: u64,
    /// The number of the newest change of the view.
    pub newest_change: i64,
    /// When a delivery last came, repeats included; none since the start of the process.
    pub last_delivery_at: Option<Timestamp>,
    /// Deliveries a second, repeats included, over the last minute.
    pub per_second_1m: f64,
    /// The same over the last five minutes.
    pub per_second_5m: f64,
    /// What was done since the start of the process.
    pub since_start: InboxActivity,
    /// Every sink, in the order of the configuration.
    pub sinks: Vec<SinkLine>,
    /// How asking for what was missed goes; nothing where there is no credential to ask with.
    pub reconcile: Option<ReconcileLine>,
}

/// What was done since the start of the process. Only ever grows.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InboxActivity {
    /// Deliveries taken in, repeats not counted.
    pub received: u64,
    /// Repeats.
    pub duplicates: u64,
    /// Orders whose view was renewed.
    pub applied: u64,
    /// Orders that had a newer state already.
    pub stale: u64,
    /// Records and bodies put into quarantine.
    pub quarantined: u64,
    /// Deliveries that came without an id that can be used.
    pub without_id: u64,
    /// Requests that were refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Deliveries, repeats included, by the name of the secret that they were signed with.
    pub by_secret: BTreeMap<String, u64>,
}

/// How a sink stands.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SinkLine {
    /// Its name.
    pub name: String,
    /// `http`, `ndjson`, `command`, `nats` or `postgres`.
    pub kind: String,
    /// `up`, `down`, or `recovering`.
    pub state: String,
    /// Since when.
    pub since: Timestamp,
    /// Every change up to this one has ended: was handed on, or given up.
    pub position: i64,
    /// Changes that wait to be handed on.
    pub lag_changes: u64,
    /// How long the oldest of them has waited; 0 where none does.
    pub lag_ms: u64,
    /// Changes that are being handed on.
    pub in_flight: u64,
    /// Changes that were handed on since the start.
    pub handed_on: u64,
    /// Attempts that failed since the start.
    pub failed: u64,
    /// Changes that were given up and are kept.
    pub given_up: u64,
    /// When something was last handed on, since the start.
    pub handed_on_at: Option<Timestamp>,
    /// When something last could not be handed on, since the start.
    pub failed_at: Option<Timestamp>,
    /// Why, in a line.
    pub error: Option<String>,
}

impl From<SinkStatus> for SinkLine {
    fn from(status: SinkStatus) -> Self {
        let failure = status.last_failure;
        SinkLine {
            name: status.name,
            kind: status.kind.to_owned(),
            state: status.state.as_str().to_owned(),
            since: status.since,
            position: status.position,
            lag_changes: status.lag_changes,
            lag_ms: u64::try_from(status.lag.as_millis()).unwrap_or(u64::MAX),
            in_flight: status.in_flight as u64,
            handed_on: status.handed_on,
            failed: status.failed,
            given_up: status.given_up,
            handed_on_at: status.handed_on_at,
            failed_at: failure.as_ref().map(|failure| failure.at),
            error: failure.map(|failure| failure.error),
        }
    }
}

/// How asking for what was missed goes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReconcileLine {
    /// True while a run is under way.
    pub running: bool,
    /// When one last ended well.
    pub done_at: Option<Timestamp>,
    /// `events` or `list`: what it went by.
    pub way: Option<String>,
    /// When the next one is due, unless something asks for one before.
    pub next_at: Option<Timestamp>,
    /// Orders healed since the start.
    pub healed: u64,
    /// Of the last run: orders of which nothing was seen.
    pub not_seen: u64,
    /// Of the last run: orders of which something came and was refused, as far as that can be believed.
    pub was_refused: u64,
    /// Of the last run: orders of which an older state was held.
    pub older_held: u64,
    /// Of the last run: orders that lay in quarantine.
    pub quarantined: u64,
    /// Runs that failed since the last one that did not.
    pub failed_runs: u32,
    /// Why the last one failed.
    pub problem: Option<String>,
}

impl Inbox {
    /// How it stands.
    ///
    /// # Errors
    /// The store's, where it is closed.
    pub async fn status(&self) -> Result<InboxStatus, hookit_store::Error> {
        self.0.status().await
    }

    /// Has the status tell of these sinks, too, and the API give access to what they have given up.
    pub fn show_sinks(&self, sinks: Sinks) {
        // Whoever starts sinks starts them once.
        let _ = self.0.sinks.set(sinks);
    }
}

impl Shared {
    pub(crate) async fn status(&self) -> Result<InboxStatus, hookit_store::Error> {
        let counts = self.store.counts().await?;
        let now = self.clock.now();
        let counters = self.counters.snapshot();
        let refused = RefusalReason::ALL.map(|reason| (reason.as_str().to_owned(), counters.refused(reason)));
        let by_secret = self.by_secret().map(|(name, deliveries)| (name.to_owned(), deliveries));
        let sinks = self.sinks.get().map(Sinks::status).unwrap_or_default();
        let reconcile = self.config.partner_api.as_ref().map(|_| {
            let status = self.reconciler.status();
            let last = status.last.as_ref();
            let counts = last.map(|run| run.counts.clone()).unwrap_or_default();
            ReconcileLine {
                running: status.running.is_some(),
                done_at: status.done_at,
                way: status.way.map(|way| way.as_str().to_owned()),
                next_at: status.next_at,
                healed: status.healed,
                not_seen: counts.not_seen,
                was_refused: counts.was_refused,
                older_held: counts.older_held,
                quarantined: counts.quarantined,
                failed_runs: status.failed_runs,
                problem: last.and_then(|run| run.problem.clone()),
            }
        });
        Ok(InboxStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
            orders: counts.orders,
            deliveries: counts.received,
            quarantined: counts.quarantined,
            newest_change: *self.store.changed().borrow(),
            last_delivery_at: self.recent.last(),
            per_second_1m: self.recent.per_second(now, 60),
            per_second_5m: self.recent.per_second(now, 300),
            since_start: InboxActivity {
                received: counters.received,
                duplicates: counters.duplicates,
                applied: counters.applied,
                stale: counters.stale,
                quarantined: counters.quarantined,
                without_id: counters.without_id,
                refused: refused.into_iter().collect(),
                by_secret: by_secret.collect(),
            },
            sinks: sinks.into_iter().map(SinkLine::from).collect(),
            reconcile,
        })
    }
}

pub(crate) fn shown() -> Routes<Arc<Shared>> {
    Routes::new("Status")
        .route(
            "/status",
            get(show).named(
                "getStatus",
                "The last delivery, rates, repeats, refusals by reason, the quarantine, sinks and their lag, reconciling.",
            ),
        )
        .route(
            "/metrics",
            get(metrics)
                .named("getMetrics", "The status for Prometheus, in the text form of OpenMetrics.")
                .answers::<String>(MEDIA_TYPE),
        )
        .route(
            "/sinks/{id}/given-up",
            get(given_up)
                .named("listGivenUp", "What a sink has given up, the oldest change first; the id is the sink's name.")
                .refuses(&[ErrorCode::ResourceNotFound]),
        )
}

pub(crate) fn asked() -> Routes<Arc<Shared>> {
    Routes::new("Status").route(
        "/sinks/{id}/again",
        post(again)
            .named("handOnAgain", "Hands on again what a sink has given up; the id is the sink's name.")
            .details(
                "At most 1000 changes at a time, the oldest first. They go behind what is fresh of their orders, with the ids \
                 and bytes that they had.",
            )
            .accepted()
            .refuses(&[ErrorCode::ResourceNotFound]),
    )
}

async fn show(State(inbox): State<Arc<Shared>>) -> Result<Answer<InboxStatus>, ApiError> {
    Ok(Answer::ok(&inbox.status().await.map_err(failed)?))
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "GivenUpPage")]
struct GivenUpAnswer {
    given_up: Vec<GivenUpLine>,
    /// The `after` of the next page; null on the last one.
    next_after: Option<i64>,
}

/// A change that a sink has given up.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "GivenUp")]
struct GivenUpLine {
    change_seq: i64,
    order_id: OrderId,
    reason: String,
    given_up_at: Timestamp,
    /// True where it is to be handed on again, and was not yet.
    again: bool,
}

impl From<GivenUp> for GivenUpLine {
    fn from(line: GivenUp) -> Self {
        let GivenUp { change_seq, order_id, reason, given_up_at, again } = line;
        GivenUpLine { change_seq, order_id, reason, given_up_at, again }
    }
}

fn no_sink(name: &str) -> ApiError {
    let name: String = name.chars().take(64).collect();
    ApiError::not_found(format!("there is no sink {name:?}"))
}

async fn given_up(
    State(inbox): State<Arc<Shared>>,
    PathText(name): PathText,
    Params(params): Params<PageParams>,
) -> Result<Answer<GivenUpAnswer>, ApiError> {
    let limit = params.limit();
    let sinks = inbox.sinks.get().ok_or_else(|| no_sink(&name))?;
    let found = sinks.given_up(&name, params.after.unwrap_or(0), limit + 1).await.map_err(failed)?;
    let mut found = found.ok_or_else(|| no_sink(&name))?;
    let next_after = cut(&mut found, limit).map(|last| last.change_seq);
    let given_up = found.into_iter().map(GivenUpLine::from).collect();
    Ok(Answer::ok(&GivenUpAnswer { given_up, next_after }))
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HandedOnAgain")]
struct Again {
    /// Changes that are handed on again.
    changes: usize,
}

async fn again(
    State(inbox): State<Arc<Shared>>,
    PathText(name): PathText,
    _: NoBody,
) -> Result<Answer<Again>, ApiError> {
    let sinks = inbox.sinks.get().ok_or_else(|| no_sink(&name))?;
    let given_up = sinks.given_up(&name, 0, AGAIN_MAX).await.map_err(failed)?;
    let given_up = given_up.ok_or_else(|| no_sink(&name))?;
    let changes = given_up.iter().filter(|line| !line.again).map(|line| line.change_seq).collect();
    let changes = sinks.hand_on_again(&name, changes).await.map_err(failed)?.unwrap_or(0);
    tracing::info!(sink = name, changes, "what was given up is handed on again");
    Ok(Answer::ok(&Again { changes }).accepted())
}

async fn metrics(State(inbox): State<Arc<Shared>>) -> Result<Response, ApiError> {
    let status = inbox.status().await.map_err(failed)?;
    let text = exposition("hookit_inbox", move |page| families(page, &status));
    let text = text.map_err(|error| ApiError::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

/// All families. `docs/metrics.md` lists them, and a test holds the two together.
fn families(page: &mut Page<'_>, status: &InboxStatus) -> std::fmt::Result {
    let at = |time: Timestamp| seconds(u64::try_from(time.as_millis()).unwrap_or(0));
    page.gauge(
        "start_time",
        "When the process was started, in Unix time",
        SECONDS,
        one(at(status.started_at)),
    )?;
    page.gauge("orders", "Orders in the view", None, one(status.orders))?;
    page.gauge("quarantine", "Things in quarantine", None, one(status.quarantined))?;
    page.gauge("newest_change", "The number of the newest change", None, one(status.newest_change))?;
    let last = status.last_delivery_at.map(at).map(one);
    let help = "When a delivery last came since the start, in Unix time";
    page.gauge("last_delivery_time", help, SECONDS, last.into_iter().flatten())?;
    let activity = &status.since_start;
    page.counter("deliveries", "Deliveries taken in, repeats not counted", one(activity.received))?;
    page.counter("duplicates", "Repeats", one(activity.duplicates))?;
    page.counter("states_applied", "States that renewed the view", one(activity.applied))?;
    page.counter("states_stale", "States older than those of the view", one(activity.stale))?;
    page.counter("quarantined", "Records and bodies put into quarantine", one(activity.quarantined))?;
    page.counter("without_id", "Deliveries without an id that can be used", one(activity.without_id))?;
    let refused = activity.refused.iter().map(|(reason, count)| (label("reason", reason), *count));
    page.counter("refused", "Requests that were refused, by reason", refused)?;
    let by_secret = activity.by_secret.iter().map(|(name, count)| (label("secret", name), *count));
    page.counter(
        "signed",
        "Deliveries, repeats included, by the name of the secret that signed them",
        by_secret,
    )?;

    let each = |value: fn(&SinkLine) -> f64| {
        status.sinks.iter().map(move |sink| (label("sink", &sink.name), value(sink)))
    };
    let help = "Changes that wait to be handed on";
    page.gauge("sink_lag_changes", help, None, each(|sink| sink.lag_changes as f64))?;
    let help = "How long the oldest of them has waited";
    page.gauge("sink_lag", help, SECONDS, each(|sink| seconds(sink.lag_ms)))?;
    let up = |sink: &SinkLine| f64::from(u8::from(sink.state == SinkState::Up.as_str()));
    page.gauge("sink_up", "1 for a sink that takes what it is handed", None, each(up))?;
    page.gauge("sink_given_up", "Changes that were given up", None, each(|sink| sink.given_up as f64))?;
    let count = |value: fn(&SinkLine) -> u64| {
        status.sinks.iter().map(move |sink| (label("sink", &sink.name), value(sink)))
    };
    page.counter("sink_handed_on", "Changes that were handed on", count(|sink| sink.handed_on))?;
    page.counter("sink_failures", "Attempts to hand on that failed", count(|sink| sink.failed))?;

    let reconcile = status.reconcile.as_ref();
    let done_at = reconcile.and_then(|one| one.done_at).map(at).map(one);
    let help = "When asking for what was missed last ended well, in Unix time";
    page.gauge("reconcile_done_time", help, SECONDS, done_at.into_iter().flatten())?;
    let healed = reconcile.map(|reconcile| one(reconcile.healed));
    page.counter("reconcile_healed", "Orders that were healed", healed.into_iter().flatten())?;
    let failed_runs = reconcile.map(|reconcile| one(u64::from(reconcile.failed_runs)));
    let help = "Runs that failed since the last one that did not";
    page.gauge("reconcile_failed_runs", help, None, failed_runs.into_iter().flatten())
}
