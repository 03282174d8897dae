//! How reconciling goes, over HTTP, and asking for a run.

use std::sync::Arc;

use axum::extract::State;
use hookit_contract::{DeliveryId, ErrorCode, OrderId, Timestamp};
use hookit_server::routes::{Routes, get, post};
use hookit_server::{Answer, ApiError, NoBody};
use hookit_store::inbox::{HealedOrder, ReconcileRun, RunCause};
use schemars::JsonSchema;
use serde::Serialize;

use super::ReconcileStatus;
use crate::Shared;
use crate::read::failed;

/// Runs, and healed orders, that are shown.
const RUNS_SHOWN: usize = 20;
const HEALED_SHOWN: usize = 100;

/// The heading of the calls.
const GROUP: &str = "Reconciling";

pub(crate) fn shown() -> Routes<Arc<Shared>> {
    Routes::new(GROUP).route(
        "/reconcile",
        get(show).named(
            "getReconciling",
            "How asking the Partner API goes: the newest runs, and the orders that they healed.",
        ),
    )
}

pub(crate) fn asked() -> Routes<Arc<Shared>> {
    Routes::new(GROUP).route(
        "/reconcile",
        post(ask)
            .named("askForReconciling", "Asks the Partner API at once for what was missed.")
            .accepted()
            .refuses(&[ErrorCode::Unavailable]),
    )
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Reconciling")]
struct Shown {
    /// Nothing where the inbox has no credential to ask with.
    status: Option<ShownStatus>,
    runs: Vec<ShownRun>,
    healed: Vec<ShownHealed>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReconcileStatus")]
struct ShownStatus {
    running: Option<ShownRun>,
    done_at: Option<Timestamp>,
    way: Option<&'static str>,
    next_at: Option<Timestamp>,
    failed_runs: u32,
    problem: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReconcileRun")]
struct ShownRun {
    run_id: i64,
    cause: &'static str,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
    ended_as: Option<&'static str>,
    requests: u64,
    compared: u64,
    not_seen: u64,
    /// As far as a delivery that was refused can be believed, and only since the inbox was started.
    was_refused: u64,
    older_held: u64,
    quarantined: u64,
    problem: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HealedOrder")]
struct ShownHealed {
    order_id: OrderId,
    reason: &'static str,
    version_held: Option<i64>,
    version: Option<i64>,
    delivery_id: DeliveryId,
    healed_at: Timestamp,
}

impl From<ReconcileRun> for ShownRun {
    fn from(run: ReconcileRun) -> Self {
        ShownRun {
            run_id: run.run_id,
            cause: run.cause.as_str(),
            started_at: run.started_at,
            ended_at: run.ended.map(|(at, _)| at),
            ended_as: run.ended.map(|(_, end)| end.as_str()),
            requests: run.counts.requests,
            compared: run.counts.compared,
            not_seen: run.counts.not_seen,
            was_refused: run.counts.was_refused,
            older_held: run.counts.older_held,
            quarantined: run.counts.quarantined,
            problem: run.problem,
        }
    }
}

impl From<ReconcileStatus> for ShownStatus {
    fn from(status: ReconcileStatus) -> Self {
        ShownStatus {
            running: status.running.map(ShownRun::from),
            done_at: status.done_at,
            way: status.way.map(super::ReconcileWay::as_str),
            next_at: status.next_at,
            failed_runs: status.failed_runs,
            problem: status.last.and_then(|last| last.problem),
        }
    }
}

impl From<HealedOrder> for ShownHealed {
    fn from(healed: HealedOrder) -> Self {
        ShownHealed {
            order_id: healed.order_id,
            reason: healed.reason.as_str(),
            version_held: healed.version_held,
            version: healed.version,
            delivery_id: healed.delivery_id,
            healed_at: healed.healed_at,
        }
    }
}

/// The status, the newest runs and the orders that were healed last.
async fn show(State(inbox): State<Arc<Shared>>) -> Result<Answer<Shown>, ApiError> {
    let status = inbox.config.partner_api.as_ref().map(|_| ShownStatus::from(inbox.reconciler.status()));
    let runs = inbox.store.reconcile_runs(RUNS_SHOWN).await.map_err(failed)?;
    let healed = inbox.store.healed(HEALED_SHOWN).await.map_err(failed)?;
    Ok(Answer::ok(&Shown {
        status,
        runs: runs.into_iter().map(ShownRun::from).collect(),
        healed: healed.into_iter().map(ShownHealed::from).collect(),
    }))
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReconcileAsked")]
struct Asked {
    asked: bool,
}

/// Asks for a run at once.
async fn ask(State(inbox): State<Arc<Shared>>, _: NoBody) -> Result<Answer<Asked>, ApiError> {
    if inbox.config.partner_api.is_none() {
        return Err(ApiError::new(ErrorCode::Unavailable, crate::partner::NO_CREDENTIAL));
    }
    inbox.reconciler.ask(RunCause::Asked);
    Ok(Answer::ok(&Asked { asked: true }).accepted())
}
