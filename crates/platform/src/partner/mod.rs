//! The Partner API, a file a noun.
//!
//! Who is calling is asked by the layer around all of them, and what that credential allows first thing in each: whoever may
//! not make a call learns nothing of what it expects. What belongs to another business is not found, rather than forbidden.

mod cursor;
mod deliveries;
mod events;
mod once;
mod orders;
mod webhooks;

use std::sync::Arc;

use axum::middleware;
use hookit_server::ApiError;
use hookit_server::routes::Routes;

use crate::Shared;
use crate::api::Result;
use crate::credentials::{PARTNER_CREDENTIAL, REFUSALS, partners_only};
use crate::rates;

/// The heading of all of them.
const GROUP: &str = "Partner API";

pub(crate) fn routes(shared: Arc<Shared>) -> Routes {
    Routes::new(GROUP)
        .merge(orders::routes())
        .merge(webhooks::routes())
        .merge(deliveries::routes())
        .merge(events::routes())
        .guarded(PARTNER_CREDENTIAL, &REFUSALS)
        .answering(&rates::HEADERS)
        .map(|router| router.route_layer(middleware::from_fn_with_state(shared.clone(), partners_only)))
        .under("/v1/partner")
        .with_state(shared)
}

/// Items on a page of deliveries or events.
const PAGE_MAX: usize = 200;
const PAGE_DEFAULT: usize = 50;

/// How many items a page may have, where `wished` asks for so many.
fn page_limit(wished: Option<usize>) -> Result<usize> {
    let limit = wished.unwrap_or(PAGE_DEFAULT);
    match (1..=PAGE_MAX).contains(&limit) {
        true => Ok(limit),
        false => Err(ApiError::invalid(format!("limit: expected 1 to {PAGE_MAX}"))),
    }
}
