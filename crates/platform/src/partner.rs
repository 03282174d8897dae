//! The Partner API.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use hookit_contract::OrderId;
use hookit_server::{Answer, ApiError, PathId};
use http::HeaderMap;

use crate::Shared;
use crate::api::{no_such_order, store_error};
use crate::credentials::{self, Scope};

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().route("/v1/partner/orders/{id}", get(order)).with_state(shared)
}

/// `GET /v1/partner/orders/{id}`: the record, byte for byte the one in the webhook.
async fn order(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    id: Result<PathId, ApiError>,
) -> Result<Answer, ApiError> {
    // Who asks comes before what is asked.
    let partner = credentials::partner(&shared, &headers, Scope::OrdersRead).await?;
    let PathId(id) = id?;
    let order = shared.store.order(OrderId(id)).await.map_err(store_error)?;
    // What belongs to another business is not found, rather than forbidden.
    let order = order.filter(|o| o.business_id == partner.business_id).ok_or_else(no_such_order)?;
    Ok(Answer::raw(order.record))
}
