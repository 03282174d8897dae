//! A partner's own deliveries: where each stands, how its attempts went, and sending one again.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use hookit_contract::{
    AttemptOutcome, BranchId, BrandId, DeliveryId, DeliverySeq, DeliveryState, ErrorCode, EventType, OrderId,
    Timestamp, WebhookId,
};
use hookit_server::routes::{Routes, get, post};
use hookit_server::{Answer, Checked, Key, NoBody, Params, PathText};
use hookit_store::platform::{Attempt, Delivery, DeliveryQuery};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cursor::{Cursor, DELIVERIES};
use super::{PAGE_DEFAULT, PAGE_MAX, scoped};
use crate::Shared;
use crate::api::{self, Result, micros, store_error};
use crate::credentials::{CallingPartner, Scope};
use crate::once;

pub(super) fn routes() -> Routes<Arc<Shared>> {
    Routes::new(super::GROUP)
        .route(
            "/deliveries",
            scoped(get(list), Scope::WebhooksRead)
                .named("listOwnDeliveries", "The partner's own deliveries with their attempts, newest first.")
                .details(
                    "A page may have fewer than asked for, and none at all; the end is where `next_before` is null. `log` has the \
                     newest 20 attempts.",
                ),
        )
        .route(
            "/deliveries/{id}/replay",
            once::keyed(scoped(post(replay), Scope::WebhooksWrite))
                .named("replayOwnDelivery", "Sends a delivery again that has ended, with the same id and bytes.")
                .refuses(&[ErrorCode::StateInvalidTransition]),
        )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListParams {
    state: Option<DeliveryState>,
    #[schemars(range(min = 1))]
    order_id: Option<i64>,
    /// The `next_before` of the page before.
    before: Option<Cursor<DELIVERIES>>,
    /// Items on the page; 50 where it is left out.
    #[schemars(range(min = 1, max = PAGE_MAX))]
    limit: Option<usize>,
}

impl Checked<Arc<Shared>> for ListParams {}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OwnDeliveryOrder")]
struct ShownOrder {
    order_id: OrderId,
    version: i64,
}

/// A delivery. What a partner cannot know of, and would not need, is left out: endpoints, and addresses that were dialled.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OwnDelivery")]
struct Shown<'a> {
    delivery_id: &'a DeliveryId,
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
    log: Vec<ShownAttempt<'a>>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OwnAttempt")]
struct ShownAttempt<'a> {
    attempt: u32,
    started_at: Timestamp,
    duration_us: u64,
    outcome: AttemptOutcome,
    status: Option<u16>,
    /// In words, unless they name addresses behind the URL: then the outcome has to do.
    error: Option<&'a String>,
    next_attempt_at: Option<Timestamp>,
}

impl<'a> Shown<'a> {
    fn of((delivery, attempts): &'a (Delivery, Vec<Attempt>)) -> Self {
        let orders = delivery.orders.iter();
        Shown {
            delivery_id: &delivery.delivery_id,
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
            log: attempts.iter().map(ShownAttempt::of).collect(),
        }
    }
}

impl<'a> ShownAttempt<'a> {
    fn of(attempt: &'a Attempt) -> Self {
        ShownAttempt {
            attempt: attempt.number,
            started_at: attempt.started_at,
            duration_us: micros(attempt.duration),
            outcome: attempt.outcome,
            status: attempt.status,
            error: attempt.error.as_ref().filter(|_| !names_addresses(attempt.outcome)),
            next_attempt_at: attempt.next_attempt_at(),
        }
    }
}

/// Whether the words on an attempt that ended so name the addresses that were looked up or dialled.
fn names_addresses(outcome: AttemptOutcome) -> bool {
    matches!(outcome, AttemptOutcome::AddressForbidden | AttemptOutcome::ConnectFailed)
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OwnDeliveries")]
struct List<'a> {
    deliveries: Vec<Shown<'a>>,
    next_before: Option<Cursor<DELIVERIES>>,
}

async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<CallingPartner>,
    Params(params): Params<ListParams>,
) -> Result<Answer<List<'static>>> {
    let query = DeliveryQuery {
        before: params.before.map(|Cursor(place)| DeliverySeq(place)),
        state: params.state,
        order_id: params.order_id.map(OrderId),
        limit: params.limit.unwrap_or(PAGE_DEFAULT),
        ..DeliveryQuery::default()
    };
    let page = shared.store.deliveries_of(&caller.partner_id, query).await.map_err(store_error)?;
    Ok(Answer::ok(&List {
        deliveries: page.deliveries.iter().map(Shown::of).collect(),
        next_before: page.next_before.map(|seq| Cursor(seq.0)),
    }))
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Replayed")]
struct Again<'a> {
    delivery_id: &'a DeliveryId,
    state: DeliveryState,
}

async fn replay(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<CallingPartner>,
    PathText(id): PathText,
    Key(key): Key,
    _: NoBody,
) -> Result<Answer<Again<'static>>> {
    let key = once::once_key(&caller, key, "replay a delivery", &id, b"");
    let id = DeliveryId::from(id);
    let replayed = shared.store.replay_once(key, &id, shared.clock.now()).await.map_err(store_error)?;
    api::replayed(once::done(replayed)?)?;
    tracing::info!(delivery_id = %id, partner_id = %caller.partner_id, "a partner replays a delivery");
    Ok(Answer::ok(&Again { delivery_id: &id, state: DeliveryState::Pending }))
}
