//! The operator API, a file a noun.

mod bulk;
mod businesses;
mod deliveries;
mod orders;
mod partners;
mod replays;
pub(crate) mod status;
pub(crate) mod trial;
mod webhooks;

use std::sync::Arc;

use axum::middleware;
use hookit_contract::ErrorCode;
use hookit_server::ApiError;
use hookit_server::routes::Routes;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::Shared;
use crate::api::Result;
use crate::credentials::{OPERATOR_TOKEN, operator_only};

/// The calls, each behind the operator token.
pub(crate) fn routes(shared: Arc<Shared>) -> Routes {
    let nouns = Routes::new("")
        .merge(orders::routes())
        .merge(partners::routes())
        .merge(webhooks::routes())
        .merge(trial::routes())
        .merge(businesses::routes())
        .merge(deliveries::routes())
        .merge(replays::routes())
        .merge(status::routes())
        .guarded(OPERATOR_TOKEN, &[ErrorCode::AuthMissing, ErrorCode::AuthInvalidCredential])
        .map(|router| router.route_layer(middleware::from_fn_with_state(shared.clone(), operator_only)));
    nouns.under("/v1/operator").with_state(shared)
}

/// Items on one page.
const PAGE_MAX: usize = 1000;
const PAGE_DEFAULT: usize = 100;

/// How many items a page may have, where `wished` asks for so many.
fn page_limit(wished: Option<usize>) -> Result<usize> {
    let limit = wished.unwrap_or(PAGE_DEFAULT);
    if (1..=PAGE_MAX).contains(&limit) {
        Ok(limit)
    } else {
        Err(ApiError::invalid(format!("limit: expected 1 to {PAGE_MAX}")))
    }
}

/// Characters of the name under which something is taken back.
const BY_MAX: usize = 100;

/// In whose name something is taken back.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct By {
    by: Option<String>,
}

impl By {
    fn name(self) -> Result<String> {
        let Some(by) = self.by else { return Ok("operator".to_owned()) };
        let by = by.trim();
        if by.is_empty() || by.chars().count() > BY_MAX || by.chars().any(char::is_control) {
            return Err(ApiError::invalid(format!(
                "by: expected 1 to {BY_MAX} characters, none of them control characters"
            )));
        }
        Ok(by.to_owned())
    }
}
