//! What both APIs of the platform share: store outcomes as answers, lists of records, readiness.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use bytes::{BufMut as _, Bytes, BytesMut};
use hookit_contract::{EndpointId, ErrorCode, Timestamp};
use hookit_server::{Answer, ApiError, Fault, Faults};
use hookit_store::platform::{
    Cancelled, Changed, Invalid, Partner, PartnerQuery, Replayed, Store, StoredOrder,
};
use hookit_store::{Condition, Error};

use crate::Shared;
use crate::order_schema::Order;

pub(crate) type Result<T> = std::result::Result<T, ApiError>;

/// A duration as the answers show it.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A store error as an answer.
pub(crate) fn store_error(error: Error) -> ApiError {
    match error {
        Error::Busy => {
            ApiError::unavailable("too many changes are waiting to be written; try again in a second")
        }
        Error::Database { .. } | Error::Corrupt(_) => ApiError::internal(&error),
    }
}

/// Bytes of records on a page that may end early, about; one record is on it in any case.
pub(crate) const PAGE_BYTES_MAX: usize = 8 << 20;

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
        Changed::Invalid(invalid) => {
            let faults: Faults = invalid.iter().map(fault).collect();
            Err(faults.none(()).expect_err("what is invalid says why"))
        }
        Changed::MoveRefused(refusal) => {
            Err(ApiError::new(ErrorCode::StateInvalidTransition, format!("status: {refusal}")))
        }
        Changed::CartFinal(status) => Err(ApiError::new(
            ErrorCode::StateInvalidTransition,
            format!("cart: the order has ended in {status}, so its cart is final"),
        )),
    }
}

/// What is wrong with a record or a registration, as an answer shows it.
pub(crate) fn fault(invalid: &Invalid) -> Fault {
    let text = invalid.to_string();
    match invalid.field() {
        Some(field) => {
            let message = text.strip_prefix(field).and_then(|text| text.strip_prefix(": ")).unwrap_or(&text);
            Fault::new(field, message)
        }
        None => Fault::new("body", text),
    }
}

/// What became of a wish to send a delivery again.
pub(crate) fn replayed(replayed: Replayed) -> Result<()> {
    let refused = |message: &str| Err(ApiError::new(ErrorCode::StateInvalidTransition, message));
    match replayed {
        Replayed::Done => Ok(()),
        Replayed::Pending => refused("the delivery is pending; only one that has ended can be replayed"),
        Replayed::WebhookRemoved => {
            refused("the delivery's registration was removed; there is nowhere to send it to")
        }
        Replayed::NoSuchDelivery => Err(ApiError::not_found("there is no such delivery")),
    }
}

/// What became of a wish to take a delivery back.
pub(crate) fn cancelled(cancelled: Cancelled) -> Result<()> {
    match cancelled {
        Cancelled::Done => Ok(()),
        Cancelled::Ended(state) => Err(ApiError::new(
            ErrorCode::StateInvalidTransition,
            format!("the delivery is {state}; only one that is pending can be cancelled"),
        )),
        Cancelled::NoSuchDelivery => Err(ApiError::not_found("there is no such delivery")),
    }
}

/// Takes down a stretch of time that ends before it begins.
pub(crate) fn check_stretch(
    faults: &mut Faults,
    (from, begins): (&str, Option<Timestamp>),
    (to, ends): (&str, Option<Timestamp>),
) {
    let is_backward = begins.zip(ends).is_some_and(|(begins, ends)| ends < begins);
    faults.unless(!is_backward, to, format!("expected a time that is not before {from}"));
}

pub(crate) fn no_such_order() -> ApiError {
    ApiError::not_found("there is no such order")
}

/// What a page of orders begins with.
pub(crate) const ORDERS_OPEN: &[u8] = b"{\"orders\":[";

/// A page of orders, each record byte for byte as it is kept, and after them further fields, as text.
pub(crate) fn order_page(orders: &[StoredOrder], further: &str) -> Bytes {
    let size: usize = orders.iter().map(|order| order.record.len() + 1).sum();
    let mut out = BytesMut::with_capacity(size + further.len() + 64);
    out.put_slice(ORDERS_OPEN);
    for (i, order) in orders.iter().enumerate() {
        if i > 0 {
            out.put_u8(b',');
        }
        out.put_slice(&order.record);
    }
    out.put_slice(b"],");
    out.put_slice(further.as_bytes());
    out.put_u8(b'}');
    out.freeze()
}

/// Partners that are looked at in one reading.
const PARTNERS_AT_ONCE: usize = 500;

/// The first partner that is so, of all, a part of them at a time.
pub(crate) async fn find_partner(
    store: &dyn Store,
    mut is_so: impl FnMut(&Partner) -> bool,
) -> std::result::Result<Option<Partner>, Error> {
    let mut after = None;
    loop {
        let query = PartnerQuery { after, newest_first: false, limit: PARTNERS_AT_ONCE };
        let partners = store.partners(query).await?;
        let last = partners.last().filter(|_| partners.len() == PARTNERS_AT_ONCE);
        after = last.map(|last| last.partner_id.clone());
        if let Some(found) = partners.into_iter().find(|partner| is_so(partner)) {
            return Ok(Some(found));
        }
        if after.is_none() {
            return Ok(None);
        }
    }
}

/// `GET /readyz`: the store takes changes, and answers from its file and not from memory alone.
pub(crate) async fn ready(State(shared): State<Arc<Shared>>) -> Result<Answer<&'static str>> {
    match shared.store.condition() {
        Condition::Writable => {}
        trouble => return Err(ApiError::unavailable(trouble.to_string())),
    }
    shared.store.endpoint(EndpointId(1)).await.map_err(store_error)?;
    Ok(Answer::ok(&"ready"))
}
