//! The Partner API, a file a noun.
//!
//! Each call asks first who is calling, and only then looks at what was sent: whoever has no credential learns nothing of
//! what a call expects. What belongs to another business is not found, rather than forbidden.

mod cursor;
mod deliveries;
mod events;
mod once;
mod orders;
mod webhooks;

use std::sync::Arc;

use hookit_server::ApiError;
use hookit_server::routes::Routes;

use crate::Shared;
use crate::api::Result;
use crate::credentials::{PARTNER_CREDENTIAL, PARTNER_REFUSALS};

/// The heading of all of them.
const GROUP: &str = "Partner API";

pub(crate) fn routes(shared: Arc<Shared>) -> Routes {
    Routes::new(GROUP)
        .merge(orders::routes())
        .merge(webhooks::routes())
        .merge(deliveries::routes())
        .merge(events::routes())
        .guarded(PARTNER_CREDENTIAL, &PARTNER_REFUSALS)
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
