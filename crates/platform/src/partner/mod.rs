//! The Partner API, a file a noun.
//!
//! Who is calling is asked by the layer around all of them, and what that credential allows by one around each: whoever may
//! not make a call learns nothing of what it expects. What belongs to another business is not found, rather than forbidden.

mod cursor;
mod deliveries;
mod events;
mod found;
mod orders;
mod webhooks;

use std::sync::Arc;

use axum::Extension;
use axum::extract::Request;
use axum::middleware::{self, Next};
use hookit_server::ApiError;
use hookit_server::routes::{Call, Routes};

use crate::Shared;
use crate::credentials::{CallingPartner, PARTNER_CREDENTIAL, REFUSALS, Scope, partners_only};
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
        // A call that there is not is a call, too: it counts, and its answer says how the credential stands.
        .under_behind("/v1/partner", |router| {
            router.layer(middleware::from_fn_with_state(shared.clone(), partners_only))
        })
        .with_state(shared)
}

/// Items on a page of deliveries or events.
const PAGE_MAX: usize = 200;
const PAGE_DEFAULT: usize = 50;

/// A call for whose credential has this scope.
fn scoped(call: Call<Arc<Shared>>, scope: Scope) -> Call<Arc<Shared>> {
    let pass = move |Extension(caller): Extension<CallingPartner>, request: Request, next: Next| async move {
        caller.check(scope)?;
        Ok::<_, ApiError>(next.run(request).await)
    };
    call.needs(scope.as_str()).behind(move |handler| handler.route_layer(middleware::from_fn(pass)))
}
