//! The operator API, a file a noun.

mod audit;
mod bulk;
mod businesses;
mod deliveries;
pub(crate) mod orders;
pub(crate) mod partners;
pub(crate) mod replays;
pub(crate) mod roles;
pub(crate) mod status;
pub(crate) mod tokens;
pub(crate) mod trial;
mod webhooks;

use std::sync::Arc;

use axum::middleware;
use hookit_server::routes::Routes;
use hookit_server::{Checked, Faults};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::Shared;
use crate::credentials::{OPERATOR_TOKEN, Operator, REFUSALS, operator_only};

/// Where the operator API is.
pub(crate) const PREFIX: &str = "/v1/operator";

/// The calls, each behind an operator token whose role may make it.
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
        .merge(tokens::routes())
        .merge(audit::routes())
        .guarded(OPERATOR_TOKEN, &REFUSALS)
        .map(|router| router.route_layer(middleware::from_fn_with_state(shared.clone(), operator_only)));
    nouns.under(PREFIX).with_state(shared)
}

/// Items on one page.
const PAGE_MAX: usize = 1000;
const PAGE_DEFAULT: usize = 100;

/// Characters of an operator's name.
const OPERATOR_NAME_MAX: usize = 100;

/// Does a name show as what it is? Control characters, and those that turn the direction of writing, can make it look like another.
fn is_plain(name: &str) -> bool {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !name.chars().any(|c| c.is_control() || turns(c))
}

/// Takes down what is wrong with a name, which is what is left of it without white space around it.
fn check_name(faults: &mut Faults, field: &str, name: &str, chars_max: usize) {
    let name = name.trim();
    let is_name = (1..=chars_max).contains(&name.chars().count()) && is_plain(name);
    let message = format!("expected 1 to {chars_max} characters, none of them control characters");
    faults.unless(is_name, field, message);
}

/// In whose name something is taken back.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct By {
    by: Option<String>,
}

impl Checked<Arc<Shared>> for By {
    fn check(&self, _: &Arc<Shared>, faults: &mut Faults) {
        if let Some(by) = &self.by {
            check_name(faults, "by", by, OPERATOR_NAME_MAX);
        }
    }
}

impl By {
    /// The name that was given, or else the caller's.
    fn name(&self, operator: &Operator) -> String {
        self.by.as_deref().unwrap_or(&operator.name).trim().to_owned()
    }
}
