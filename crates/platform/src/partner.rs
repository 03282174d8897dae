//! The Partner API.

use std::sync::Arc;

use axum::extract::State;
use hookit_contract::{ErrorCode, OrderId};
use hookit_server::routes::{Routes, get};
use hookit_server::{Answer, ApiError, PathId};
use http::HeaderMap;

use crate::Shared;
use crate::api::{no_such_order, store_error};
use crate::credentials::{self, PARTNER_CREDENTIAL, PARTNER_REFUSALS, Scope};
use crate::order_schema::Order;

pub(crate) fn routes(shared: Arc<Shared>) -> Routes {
    Routes::new("Partner API")
        .route(
            "/v1/partner/orders/{id}",
            get(order)
                .named("getOrder", "The record, byte for byte the one in the webhook.")
                .needs(Scope::OrdersRead.as_str())
                .refuses(&[ErrorCode::ResourceNotFound]),
        )
        .guarded(PARTNER_CREDENTIAL, &PARTNER_REFUSALS)
        .with_state(shared)
}

async fn order(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    id: Result<PathId, ApiError>,
) -> Result<Answer<Order>, ApiError> {
    // Who asks comes before what is asked.
    let partner = credentials::partner(&shared, &headers, Scope::OrdersRead).await?;
    let PathId(id) = id?;
    let order = shared.store.order(OrderId(id)).await.map_err(store_error)?;
    // What belongs to another business is not found, rather than forbidden.
    let order = order.filter(|o| o.business_id == partner.business_id).ok_or_else(no_such_order)?;
    Ok(Answer::raw(order.record))
}
