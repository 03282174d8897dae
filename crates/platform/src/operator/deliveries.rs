//! Deliveries: where each stands, and every attempt that was made.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use hookit_contract::{
    AttemptOutcome, BranchId, BrandId, DeliveryId, DeliverySeq, DeliveryState, EndpointId, ErrorCode,
    EventType, OrderId, Timestamp, WebhookId,
};
use hookit_server::routes::{Routes, get, post};
use hookit_server::{Answer, ApiError, Checked, Faults, NoBody, Params, PathText};
use hookit_store::platform::{Attempt, Delivery, DeliveryPage, DeliveryQuery, EndReason, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{By, PAGE_DEFAULT, PAGE_MAX};
use crate::Shared;
use crate::api::{self, Result, micros, store_error};
use crate::credentials::{Acting, Operator};

pub(super) fn routes() -> Routes<Arc<Shared>> {
    let (missing, state) = (ErrorCode::ResourceNotFound, ErrorCode::StateInvalidTransition);
    Routes::new("Deliveries")
        .route(
            "/deliveries",
            get(list).named("listDeliveries", "Deliveries, newest first, a page at a time.").details(
                "A page may have few deliveries or none and yet say where to go on: no more than so many are looked through for it.",
            ),
        )
        .route(
            "/deliveries/{id}",
            get(one)
                .named("getDelivery", "One delivery with its attempts.")
                .details("`log` has the newest 100 of them.")
                .refuses(&[missing]),
        )
        .route(
            "/deliveries/{id}/replay",
            post(replay)
                .named("replayDelivery", "Sends a delivery again that has ended, with the same id and bytes.")
                .refuses(&[missing, state]),
        )
        .route(
            "/deliveries/{id}/cancel",
            post(cancel)
                .named("cancelDelivery", "Takes a delivery back that is pending.")
                .details("One that is being sent at this moment may still arrive; then it is delivered.")
                .refuses(&[missing, state]),
        )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListParams {
    state: Option<DeliveryState>,
    #[schemars(range(min = 1))]
    endpoint_id: Option<i64>,
    #[schemars(range(min = 1))]
    order_id: Option<i64>,
    event_type: Option<EventType>,
    /// Made at this time or later.
    since: Option<Timestamp>,
    /// Made before this time.
    until: Option<Timestamp>,
    /// The `next_before` of the page before.
    #[schemars(range(min = 1))]
    before: Option<i64>,
    /// Items on the page; 100 where it is left out.
    #[schemars(range(min = 1, max = PAGE_MAX))]
    limit: Option<usize>,
}

impl Checked<Arc<Shared>> for ListParams {
    fn check(&self, _: &Arc<Shared>, faults: &mut Faults) {
        api::check_stretch(faults, ("since", self.since), ("until", self.until));
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeliveryOrder")]
struct ShownOrder {
    order_id: OrderId,
    version: i64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Delivery")]
struct Shown<'a> {
    delivery_id: &'a DeliveryId,
    seq: DeliverySeq,
    endpoint_id: EndpointId,
    webhook_id: WebhookId,
    event_type: EventType,
    brand_id: BrandId,
    branch_id: BranchId,
    orders: Vec<ShownOrder>,
    state: DeliveryState,
    attempts: u32,
    created_at: Timestamp,
    next_attempt_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    /// Who took it back, and why, where somebody has.
    ended_by: &'a Option<String>,
    ended_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<Vec<ShownAttempt<'a>>>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Attempt")]
struct ShownAttempt<'a> {
    attempt: u32,
    started_at: Timestamp,
    duration_us: u64,
    resolve_us: Option<u64>,
    connect_us: Option<u64>,
    tls_us: Option<u64>,
    first_byte_us: Option<u64>,
    outcome: AttemptOutcome,
    status: Option<u16>,
    address: &'a Option<String>,
    answer: std::borrow::Cow<'a, str>,
    error: &'a Option<String>,
    /// When the next one was to be, where one was.
    next_attempt_at: Option<Timestamp>,
    /// Whether it counts against the retry plan, for one that was not acknowledged: one that only found the endpoint
    /// down does not.
    counted: Option<bool>,
}

impl<'a> Shown<'a> {
    fn of(delivery: &'a Delivery, attempts: Option<&'a [Attempt]>) -> Self {
        let orders = delivery.orders.iter();
        Shown {
            delivery_id: &delivery.delivery_id,
            seq: delivery.seq,
            endpoint_id: delivery.endpoint_id,
            webhook_id: delivery.webhook_id,
            event_type: delivery.event_type,
            brand_id: delivery.brand_id,
            branch_id: delivery.branch_id,
            orders: orders.map(|&(order_id, version)| ShownOrder { order_id, version }).collect(),
            state: delivery.state,
            attempts: delivery.attempts,
            created_at: delivery.created_at,
            next_attempt_at: delivery.next_attempt_at,
            finished_at: delivery.finished_at,
            ended_by: &delivery.ended_by,
            ended_reason: delivery.ended_reason.map(EndReason::as_str),
            log: attempts.map(|attempts| attempts.iter().map(ShownAttempt::of).collect()),
        }
    }
}

impl<'a> ShownAttempt<'a> {
    fn of(attempt: &'a Attempt) -> Self {
        ShownAttempt {
            attempt: attempt.number,
            started_at: attempt.started_at,
            duration_us: micros(attempt.duration),
            resolve_us: attempt.phases.resolve.map(micros),
            connect_us: attempt.phases.connect.map(micros),
            tls_us: attempt.phases.tls.map(micros),
            first_byte_us: attempt.phases.first_byte.map(micros),
            outcome: attempt.outcome,
            status: attempt.status,
            address: &attempt.address,
            answer: String::from_utf8_lossy(&attempt.answer),
            error: &attempt.error,
            next_attempt_at: attempt.next_attempt_at(),
            counted: match attempt.verdict {
                Verdict::Delivered => None,
                Verdict::RetryAt { counted, .. } => Some(counted),
                Verdict::Dead => Some(true),
            },
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Deliveries")]
struct List<'a> {
    deliveries: Vec<Shown<'a>>,
    next_before: Option<DeliverySeq>,
}

async fn list(
    State(shared): State<Arc<Shared>>,
    Params(params): Params<ListParams>,
) -> Result<Answer<List<'static>>> {
    let query = DeliveryQuery {
        before: params.before.map(DeliverySeq),
        state: params.state,
        endpoint_id: params.endpoint_id.map(EndpointId),
        order_id: params.order_id.map(OrderId),
        event_type: params.event_type,
        since: params.since,
        until: params.until,
        limit: params.limit.unwrap_or(PAGE_DEFAULT),
    };
    let DeliveryPage { deliveries, next_before } =
        shared.store.deliveries(query).await.map_err(store_error)?;
    Ok(Answer::ok(&List { deliveries: deliveries.iter().map(|d| Shown::of(d, None)).collect(), next_before }))
}

async fn one(State(shared): State<Arc<Shared>>, PathText(id): PathText) -> Result<Answer<Shown<'static>>> {
    let found = shared.store.delivery(&DeliveryId::from(id)).await.map_err(store_error)?;
    let (delivery, attempts) = found.ok_or_else(|| ApiError::not_found("there is no such delivery"))?;
    Ok(Answer::ok(&Shown::of(&delivery, Some(&attempts))))
}

async fn replay(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    PathText(id): PathText,
    _: NoBody,
) -> Result<Answer<Shown<'static>>> {
    let id = DeliveryId::from(id);
    let replayed = store.replay_delivery(&id, shared.clock.now()).await.map_err(store_error)?;
    api::replayed(replayed)?;
    tracing::info!(delivery_id = %id, "an operator replays a delivery");
    let found = shared.store.delivery(&id).await.map_err(store_error)?;
    let (delivery, attempts) = found.ok_or_else(|| ApiError::not_found("there is no such delivery"))?;
    Ok(Answer::ok(&Shown::of(&delivery, Some(&attempts))))
}

async fn cancel(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    PathText(id): PathText,
    Extension(operator): Extension<Operator>,
    Params(by): Params<By>,
    _: NoBody,
) -> Result<Answer<Shown<'static>>> {
    let (id, by) = (DeliveryId::from(id), by.name(&operator));
    api::cancelled(store.cancel_delivery(&id, &by, shared.clock.now()).await.map_err(store_error)?)?;
    tracing::info!(delivery_id = %id, by, "a delivery was cancelled");
    let found = shared.store.delivery(&id).await.map_err(store_error)?;
    let (delivery, attempts) = found.ok_or_else(|| ApiError::not_found("there is no such delivery"))?;
    Ok(Answer::ok(&Shown::of(&delivery, Some(&attempts))))
}
