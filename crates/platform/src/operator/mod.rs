//! The operator API, a file a noun.

mod businesses;
mod deliveries;
mod orders;
mod partners;
pub(crate) mod status;
mod webhooks;

use std::sync::Arc;

use axum::{Router, middleware};

use crate::Shared;
use crate::credentials::operator_only;

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let nouns = Router::new()
        .merge(orders::router())
        .merge(partners::router())
        .merge(webhooks::router())
        .merge(businesses::router())
        .merge(deliveries::router())
        .merge(status::router())
        .route_layer(middleware::from_fn_with_state(shared.clone(), operator_only));
    Router::new().nest("/v1/operator", nouns).with_state(shared)
}
