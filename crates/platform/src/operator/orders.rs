//! Orders: new ones, moves, cart edits, and reading them.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, patch, post, put};
use bytes::Bytes;
use hookit_contract::{
    Actor, BusinessId, KnownStatus, OWNED_FIELDS, OrderId, OrderStatus, Record, StatusCodes, Timestamp,
};
use hookit_server::{Answer, ApiError, JsonBody, Params, PathId, RawBody};
use hookit_store::platform::{Change, OrderQuery, Reason};
use serde::Deserialize;

use super::page_limit;
use crate::Shared;
use crate::api::{self, Result, no_such_order, store_error};

/// Fields in one cart edit. A record has a little over a hundred; every field given is looked for in it.
const CART_EDIT_FIELDS_MAX: usize = 256;

/// Characters that are shown of what was sent as a status and is none.
const STATUS_SHOWN_MAX: usize = 32;

/// What a cart edit may not touch, beside the fields that the platform owns: where the order belongs. Another brand
/// or branch would be another order.
const ROUTING_FIELDS: [&str; 3] = ["business_id", "branch_id", "brands"];

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/orders", get(list).post(create))
        .route("/orders/bulk", post(super::bulk::bulk))
        .route("/orders/{id}", get(one))
        .route("/orders/{id}/status", patch(move_to))
        .route("/orders/{id}/cart", put(edit_cart))
}

/// `POST /v1/operator/orders`: a new order; 201 with the stored record.
async fn create(State(shared): State<Arc<Shared>>, RawBody(body): RawBody) -> Result<Answer> {
    let record = object(body)?;
    let change = Change::Create { record };
    let changed = shared.store.change(change, shared.clock.now()).await.map_err(store_error)?;
    api::changed(changed).map(Answer::created)
}

/// A body that is kept as it is written.
pub(super) fn object(body: Bytes) -> Result<Record> {
    if body.trim_ascii().is_empty() {
        return Err(ApiError::invalid("body: missing; expected an object"));
    }
    Record::parse(body).map_err(|error| ApiError::invalid(format!("body: {error}")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MoveBody {
    pub(super) status: NameOrCode,
    #[serde(default)]
    pub(super) reason_code: Option<TextOrCode>,
    #[serde(default)]
    pub(super) occurred_at: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a status name or an integer status code")]
pub(super) enum NameOrCode {
    Code(i64),
    Name(String),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text or an integer")]
pub(super) enum TextOrCode {
    Code(i64),
    Text(String),
}

impl MoveBody {
    /// The move of this order that it asks for.
    pub(super) fn change(self, codes: &StatusCodes, order_id: OrderId) -> Result<Change> {
        let unknown = |given: String| {
            ApiError::invalid(format!(
                "status: {given} is not a status; expected one of {}",
                KnownStatus::names()
            ))
        };
        let to = match self.status {
            NameOrCode::Name(name) => {
                let shown = || format!("{:?}", name.chars().take(STATUS_SHOWN_MAX).collect::<String>());
                KnownStatus::from_name(&name).ok_or_else(|| unknown(shown()))?
            }
            NameOrCode::Code(code) => match codes.status(code) {
                OrderStatus::Known(status) => status,
                OrderStatus::Unknown(code) => return Err(unknown(code.to_string())),
            },
        };
        if self.reason_code.is_some() && to != KnownStatus::Cancelled {
            return Err(ApiError::invalid("reason_code: only a move to CANCELLED has a reason"));
        }
        Ok(Change::Move {
            order_id,
            to,
            actor: Actor::Operator,
            reason: self.reason_code.map(|reason| match reason {
                TextOrCode::Code(code) => Reason::Code(code),
                TextOrCode::Text(text) => Reason::Text(text),
            }),
            occurred_at: self.occurred_at,
        })
    }
}

/// `PATCH /v1/operator/orders/{id}/status`: a move.
async fn move_to(
    State(shared): State<Arc<Shared>>,
    PathId(id): PathId,
    JsonBody(body): JsonBody<MoveBody>,
) -> Result<Answer> {
    let change = body.change(&shared.codes, OrderId(id))?;
    api::changed(shared.store.change(change, shared.clock.now()).await.map_err(store_error)?)
}

/// `PUT /v1/operator/orders/{id}/cart`: the cart and what follows from it, each field replaced, never merged.
async fn edit_cart(
    State(shared): State<Arc<Shared>>,
    PathId(id): PathId,
    RawBody(body): RawBody,
) -> Result<Answer> {
    let fields = object(body)?;
    check_cart_edit(&fields)?;
    let change = Change::EditCart { order_id: OrderId(id), fields };
    api::changed(shared.store.change(change, shared.clock.now()).await.map_err(store_error)?)
}

fn check_cart_edit(fields: &Record) -> Result<()> {
    let mut seen = HashSet::new();
    for name in fields.names() {
        if seen.len() == CART_EDIT_FIELDS_MAX {
            let message = format!("body: a cart edit may replace at most {CART_EDIT_FIELDS_MAX} fields");
            return Err(ApiError::invalid(message));
        }
        if OWNED_FIELDS.contains(&name.as_ref()) {
            return Err(ApiError::invalid(format!(
                "{name}: the platform owns this field; a cart edit cannot set it"
            )));
        }
        if ROUTING_FIELDS.contains(&name.as_ref()) {
            return Err(ApiError::invalid(format!("{name}: an order stays where it was placed")));
        }
        if seen.contains(&name) {
            return Err(ApiError::invalid(format!("{name}: given more than once")));
        }
        seen.insert(name);
    }
    match fields.get("cart") {
        None => return Err(ApiError::invalid("cart: missing; expected an array of items")),
        Some(cart) if !cart.starts_with('[') => {
            return Err(ApiError::invalid("cart: expected an array of items"));
        }
        Some(_) => {}
    }
    match fields.get("cart_v2") {
        Some(cart) if !cart.starts_with('[') => Err(ApiError::invalid("cart_v2: expected an array of items")),
        _ => Ok(()),
    }
}

/// `GET /v1/operator/orders/{id}`: the record as it stands.
async fn one(State(shared): State<Arc<Shared>>, PathId(id): PathId) -> Result<Answer> {
    let order = shared.store.order(OrderId(id)).await.map_err(store_error)?.ok_or_else(no_such_order)?;
    Ok(Answer::raw(order.record))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParams {
    after: Option<i64>,
    limit: Option<usize>,
    business_id: Option<i64>,
}

/// `GET /v1/operator/orders`: records by id, a page at a time.
async fn list(State(shared): State<Arc<Shared>>, Params(params): Params<ListParams>) -> Result<Answer> {
    let limit = page_limit(params.limit)?;
    let query = OrderQuery {
        after: params.after.map(OrderId),
        business_id: params.business_id.map(BusinessId),
        limit,
    };
    let orders = shared.store.orders(query).await.map_err(store_error)?;
    Ok(Answer::raw(api::order_page(&orders, limit)))
}
