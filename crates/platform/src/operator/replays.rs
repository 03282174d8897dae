//! Replays: many deliveries sent again by a durable job that can be watched, paused, resumed and cancelled.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use hookit_contract::{
    DeliveryState, EndpointId, ErrorCode, EventType, OrderId, ReplayId, Timestamp, WebhookId,
};
use hookit_server::routes::{Routes, get, post};
use hookit_server::{Answer, ApiError, Checked, Fault, Faults, JsonBody, NoBody, Object, Params, PathId};
use hookit_store::cut;
use hookit_store::platform::{
    CountReplay, OPEN_REPLAYS_MAX, Replay, ReplayFilter, ReplayKind, ReplayRequest, StartReplay, SteerReplay,
    SteeredReplay, Store,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PAGE_DEFAULT, PAGE_MAX};
use crate::Shared;
use crate::api::{Result, store_error};
use crate::credentials::Acting;

pub(super) fn routes() -> Routes<Arc<Shared>> {
    let (missing, state) = (ErrorCode::ResourceNotFound, ErrorCode::StateInvalidTransition);
    Routes::new("Replays")
        .route("/replays", get(list).named("listReplays", "Replays, newest first, a page at a time."))
        .route(
            "/replays",
            post(begin)
                .named("beginReplay", "Begins a replay of many deliveries, or says how many it would be.")
                .details(
                    "201 with the replay that runs from now on; with `dry_run`, 200 and how many deliveries it would be \
                     now.",
                )
                .created_or_not()
                .refuses(&[state]),
        )
        .route("/replays/{id}", get(one).named("getReplay", "How far a replay has come.").refuses(&[missing]))
        .route(
            "/replays/{id}/pause",
            post(pause)
                .named("pauseReplay", "Sends nothing more of a replay; what is under way ends.")
                .refuses(&[missing, state]),
        )
        .route(
            "/replays/{id}/resume",
            post(resume).named("resumeReplay", "Goes on where a replay was.").refuses(&[missing, state]),
        )
        .route(
            "/replays/{id}/cancel",
            post(cancel)
                .named("cancelReplay", "Takes back what of a replay was not sent.")
                .details("Such a delivery is delivered where it had been acknowledged before, else cancelled.")
                .refuses(&[missing, state]),
        )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReplayRequest")]
pub(crate) struct Wish {
    pub(crate) filter: Object<Filter>,
    /// Only say how many deliveries it would be.
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// New deliveries with ids of their own, for a partner that acknowledged and then lost.
    #[serde(default)]
    pub(crate) new_ids: bool,
    /// What the registration of the filter has missed, rather than what was sent once.
    #[serde(default)]
    pub(crate) missed: bool,
    /// Every state, rather than each order's newest record once.
    pub(crate) history: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReplayFilter")]
pub(crate) struct Filter {
    #[schemars(range(min = 1))]
    pub(crate) endpoint_id: Option<i64>,
    /// Needed where what it `missed` is asked for.
    #[schemars(range(min = 1))]
    pub(crate) webhook_id: Option<i64>,
    #[schemars(range(min = 1))]
    pub(crate) order_id: Option<i64>,
    pub(crate) event_type: Option<EventType>,
    /// One in which a delivery has ended.
    pub(crate) state: Option<DeliveryState>,
    /// Made at this time or later.
    pub(crate) since: Option<Timestamp>,
    /// Made before this time.
    pub(crate) until: Option<Timestamp>,
}

impl Checked<Arc<Shared>> for Wish {
    fn check(&self, _: &Arc<Shared>, faults: &mut Faults) {
        let message = "not together with missed: what never arrived has ids that nobody knows";
        faults.unless(!(self.new_ids && self.missed), "new_ids", message);
        let knows_kind = faults.has_read("new_ids") && faults.has_read("missed");
        if knows_kind && self.kind() == ReplayKind::SameIds {
            let message = "false needs new_ids or missed: deliveries that keep their ids are what they were";
            faults.unless(self.history != Some(false), "history", message);
        }
        self.filter.0.check(self.missed, faults);
    }

    async fn look_up(&self, shared: &Arc<Shared>, faults: &mut Faults) {
        let Object(filter) = &self.filter;
        let is_id = |id: &i64| *id > 0;
        if let Some(id) = filter.endpoint_id.filter(is_id)
            && let Ok(None) = shared.store.endpoint(EndpointId(id)).await
        {
            faults.of::<()>(Err(no_such_endpoint()));
        }
        let webhook_id = filter.webhook_id.filter(is_id).map(WebhookId);
        let filter = ReplayFilter { webhook_id, ..ReplayFilter::default() };
        let request = ReplayRequest { kind: self.kind(), history: false, filter };
        if webhook_id.is_some()
            && let Ok(CountReplay::NoSuchWebhook) = shared.store.count_replay(request, 0).await
        {
            faults.of::<()>(Err(no_such_webhook()));
        }
    }
}

impl Wish {
    fn kind(&self) -> ReplayKind {
        match (self.new_ids, self.missed) {
            (_, true) => ReplayKind::Missed,
            (true, false) => ReplayKind::NewIds,
            (false, false) => ReplayKind::SameIds,
        }
    }

    /// The request of one that is right, and whether it is only to be counted.
    pub(crate) fn request(self) -> (ReplayRequest, bool) {
        let kind = self.kind();
        let history = kind == ReplayKind::SameIds || self.history.unwrap_or(false);
        let Object(filter) = self.filter;
        let filter = ReplayFilter {
            endpoint_id: filter.endpoint_id.map(EndpointId),
            webhook_id: filter.webhook_id.map(WebhookId),
            order_id: filter.order_id.map(OrderId),
            event_type: filter.event_type,
            state: filter.state,
            since: filter.since,
            until: filter.until,
        };
        (ReplayRequest { kind, history, filter }, self.dry_run)
    }
}

impl Filter {
    fn check(&self, missed: bool, faults: &mut Faults) {
        let Filter { endpoint_id, webhook_id, order_id, event_type, state, since, until } = self;
        for (name, id) in [("endpoint_id", endpoint_id), ("webhook_id", webhook_id), ("order_id", order_id)] {
            let message = "expected an integer above zero";
            faults.unless(id.is_none_or(|id| id > 0), format!("filter.{name}"), message);
        }
        if missed {
            let message = "missing; expected the registration whose missed events are to be sent";
            faults.unless(webhook_id.is_some(), "filter.webhook_id", message);
            for (name, given) in [
                ("endpoint_id", endpoint_id.is_some()),
                ("event_type", event_type.is_some()),
                ("state", state.is_some()),
            ] {
                let message = "not together with missed: what was missed follows from the registration";
                faults.unless(!given, format!("filter.{name}"), message);
            }
        }
        let message = "what is pending is sent anyway; expected the state of deliveries that have ended";
        faults.unless(*state != Some(DeliveryState::Pending), "filter.state", message);
        let is_empty = endpoint_id.is_none()
            && webhook_id.is_none()
            && order_id.is_none()
            && event_type.is_none()
            && state.is_none()
            && since.is_none()
            && until.is_none();
        let message =
            "expected at least one condition; everything there ever was is not replayed by an empty one";
        if faults.has_read("filter") && faults.has_read("missed") {
            faults.unless(!is_empty || missed, "filter", message);
        }
        if let (Some(since), Some(until)) = (since, until) {
            faults.unless(since < until, "filter.until", "expected a time after since");
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Replay")]
struct Shown {
    replay_id: ReplayId,
    state: &'static str,
    new_ids: bool,
    missed: bool,
    history: bool,
    filter: ShownFilter,
    /// How much of what there was when it was asked for has been looked through, from 0 to 1.
    progress: f64,
    /// Deliveries that were put in line so far.
    queued: u64,
    /// Those of them that wait or are under way.
    pending: u64,
    delivered: u64,
    dead: u64,
    cancelled: u64,
    created_at: Timestamp,
    finished_at: Option<Timestamp>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShownReplayFilter")]
struct ShownFilter {
    endpoint_id: Option<EndpointId>,
    webhook_id: Option<WebhookId>,
    order_id: Option<OrderId>,
    event_type: Option<EventType>,
    state: Option<DeliveryState>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Shown {
    fn of(replay: &Replay) -> Self {
        let ReplayRequest { kind, history, filter } = &replay.request;
        Shown {
            replay_id: replay.replay_id,
            state: replay.state.as_str(),
            new_ids: *kind == ReplayKind::NewIds,
            missed: *kind == ReplayKind::Missed,
            history: *history,
            filter: ShownFilter {
                endpoint_id: filter.endpoint_id,
                webhook_id: filter.webhook_id,
                order_id: filter.order_id,
                event_type: filter.event_type,
                state: filter.state,
                since: filter.since,
                until: filter.until,
            },
            progress: replay.progress(),
            queued: replay.queued,
            pending: replay.pending(),
            delivered: replay.delivered,
            dead: replay.dead,
            cancelled: replay.cancelled,
            created_at: replay.created_at,
            finished_at: replay.finished_at,
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "BegunReplay")]
enum Begun {
    Replay(Shown),
    /// How many deliveries it would be.
    Counted {
        dry_run: bool,
        deliveries: u64,
    },
}

async fn begin(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Answer<Begun>> {
    let (request, dry_run) = wish.request();
    if dry_run {
        let deliveries = count(&shared, request).await?;
        return Ok(Answer::ok(&Begun::Counted { dry_run, deliveries }));
    }
    let replay = started(&shared, &*store, request).await?;
    Ok(Answer::ok(&Begun::Replay(Shown::of(&replay))).created())
}

/// Begins a replay.
pub(crate) async fn started(shared: &Shared, store: &dyn Store, request: ReplayRequest) -> Result<Replay> {
    match store.start_replay(request, shared.clock.now()).await.map_err(store_error)? {
        StartReplay::Started(replay) => {
            shared.replays_changed.notify_one();
            tracing::info!(replay_id = %replay.replay_id, "an operator begins a replay");
            Ok(replay)
        }
        StartReplay::NoSuchWebhook => Err(no_such_webhook().into()),
        StartReplay::NoSuchEndpoint => Err(no_such_endpoint().into()),
        StartReplay::TooMany => Err(ApiError::new(
            ErrorCode::StateInvalidTransition,
            format!("{OPEN_REPLAYS_MAX} replays have not ended; wait for one of them, or cancel it"),
        )),
    }
}

/// How many deliveries it would be. Part by part, so that no reading of the store lasts long.
pub(crate) async fn count(shared: &Shared, request: ReplayRequest) -> Result<u64> {
    let (mut deliveries, mut after) = (0, 0);
    loop {
        let part = shared.store.count_replay(request.clone(), after).await.map_err(store_error)?;
        let part = match part {
            CountReplay::Part(part) => part,
            CountReplay::NoSuchWebhook => return Err(no_such_webhook().into()),
            CountReplay::NoSuchEndpoint => return Err(no_such_endpoint().into()),
        };
        deliveries += part.deliveries;
        match part.next {
            Some(next) => after = next,
            None => return Ok(deliveries),
        }
    }
}

fn no_such_endpoint() -> Fault {
    Fault::new("filter.endpoint_id", "there is no such endpoint")
}

fn no_such_webhook() -> Fault {
    Fault::new("filter.webhook_id", "there is no such registration")
}

pub(crate) fn no_such_replay() -> ApiError {
    ApiError::not_found("there is no such replay")
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// The `next_before` of the page before.
    #[schemars(range(min = 1))]
    before: Option<i64>,
    /// Items on the page; 100 where it is left out.
    #[schemars(range(min = 1, max = PAGE_MAX))]
    limit: Option<usize>,
}

impl Checked<Arc<Shared>> for ListParams {}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Replays")]
struct List {
    replays: Vec<Shown>,
    next_before: Option<ReplayId>,
}

async fn list(State(shared): State<Arc<Shared>>, Params(params): Params<ListParams>) -> Result<Answer<List>> {
    let limit = params.limit.unwrap_or(PAGE_DEFAULT);
    let before = params.before.map(ReplayId);
    let mut replays = shared.store.replays(before, limit + 1).await.map_err(store_error)?;
    let next_before = cut(&mut replays, limit).map(|last| last.replay_id);
    Ok(Answer::ok(&List { replays: replays.iter().map(Shown::of).collect(), next_before }))
}

async fn one(State(shared): State<Arc<Shared>>, PathId(id): PathId) -> Result<Answer<Shown>> {
    let replay = shared.store.replay(ReplayId(id)).await.map_err(store_error)?.ok_or_else(no_such_replay)?;
    Ok(Answer::ok(&Shown::of(&replay)))
}

async fn pause(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    PathId(id): PathId,
    _: NoBody,
) -> Result<Answer<Shown>> {
    let replay = steered(&shared, &*store, id, SteerReplay::Pause).await?;
    Ok(Answer::ok(&Shown::of(&replay)))
}

async fn resume(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    PathId(id): PathId,
    _: NoBody,
) -> Result<Answer<Shown>> {
    let replay = steered(&shared, &*store, id, SteerReplay::Resume).await?;
    Ok(Answer::ok(&Shown::of(&replay)))
}

async fn cancel(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    PathId(id): PathId,
    _: NoBody,
) -> Result<Answer<Shown>> {
    let replay = steered(&shared, &*store, id, SteerReplay::Cancel).await?;
    Ok(Answer::ok(&Shown::of(&replay)))
}

/// Pauses a replay, lets it go on, or takes it back.
pub(crate) async fn steered(
    shared: &Shared,
    store: &dyn Store,
    id: i64,
    steer: SteerReplay,
) -> Result<Replay> {
    let answer = store.steer_replay(ReplayId(id), steer, shared.clock.now()).await;
    match answer.map_err(store_error)? {
        SteeredReplay::Done(replay) => {
            shared.replays_changed.notify_one();
            let state = replay.state.as_str();
            tracing::info!(replay_id = %replay.replay_id, state, "an operator steers a replay");
            Ok(replay)
        }
        SteeredReplay::Unchanged(replay) => Ok(replay),
        SteeredReplay::Ended(state) => Err(ApiError::new(
            ErrorCode::StateInvalidTransition,
            format!("the replay has ended: it is {}", state.as_str()),
        )),
        SteeredReplay::NoSuchReplay => Err(no_such_replay()),
    }
}
