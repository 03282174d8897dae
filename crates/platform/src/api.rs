//! What both APIs of the platform share: store outcomes as answers, lists of records, readiness.

use std::sync::Arc;

use axum::extract::State;
use bytes::{BufMut as _, Bytes, BytesMut};
use hookit_contract::ErrorCode;
use hookit_server::{Answer, ApiError};
use hookit_store::Error;
use hookit_store::platform::{Changed, StoredOrder};

use crate::Shared;
use crate::order_schema::Order;

pub(crate) type Result<T> = std::result::Result<T, ApiError>;

/// A store error as an answer.
pub(crate) fn store_error(error: Error) -> ApiError {
    match error {
        Error::Busy => {
            ApiError::unavailable("too many changes are waiting to be written; try again in a second")
        }
        Error::Database { .. } | Error::Corrupt(_) => ApiError::internal(&error),
    }
}

/// What became of a change, as an answer: the record as it stands now.
pub(crate) fn changed(changed: Changed) -> Result<Answer<Order>> {
    stored(changed).map(|order| Answer::raw(order.record))
}

/// What became of a change: the order as it stands now, or why it was refused.
pub(crate) fn stored(changed: Changed) -> Result<StoredOrder> {
    match changed {
        Changed::Done(order) | Changed::Unchanged(order) => Ok(order),
        Changed::NoSuchOrder => Err(no_such_order()),
        Changed::IdTaken(id) => Err(ApiError::new(
            ErrorCode::StateIdempotencyConflict,
            format!("id: there is an order {id} already; a new order needs a new id, or none"),
        )),
        Changed::Invalid(invalid) => Err(ApiError::invalid(invalid.to_string())),
        Changed::MoveRefused(refusal) => {
            Err(ApiError::new(ErrorCode::StateInvalidTransition, format!("status: {refusal}")))
        }
        Changed::CartFinal(status) => Err(ApiError::new(
            ErrorCode::StateInvalidTransition,
            format!("cart: the order has ended in {status}, so its cart is final"),
        )),
    }
}

pub(crate) fn no_such_order() -> ApiError {
    ApiError::not_found("there is no such order")
}

/// A page of orders, each record byte for byte as it is kept.
pub(crate) fn order_page(orders: &[StoredOrder], limit: usize) -> Bytes {
    let size: usize = orders.iter().map(|order| order.record.len() + 1).sum();
    let mut out = BytesMut::with_capacity(size + 64);
    out.put_slice(b"{\"orders\":[");
    for (i, order) in orders.iter().enumerate() {
        if i > 0 {
            out.put_u8(b',');
        }
        out.put_slice(&order.record);
    }
    out.put_slice(b"],\"next_after\":");
    match orders.last().filter(|_| orders.len() == limit) {
        Some(last) => out.put_slice(last.order_id.to_string().as_bytes()),
        None => out.put_slice(b"null"),
    }
    out.put_u8(b'}');
    out.freeze()
}

/// `GET /readyz`: the store answers, from its file and not from memory alone.
pub(crate) async fn ready(State(shared): State<Arc<Shared>>) -> Result<Answer<&'static str>> {
    shared.store.endpoints().await.map_err(store_error)?;
    Ok(Answer::ok(&"ready"))
}
