//! Parts of pages that stay fresh, as long as the session lasts and its token is good.

use std::sync::Arc;

use hookit_server::page;
use hookit_server::{Live, LiveEvents};
use maud::Markup;

use super::Visit;
use crate::Shared;
use crate::api::Result;
use crate::credentials::Operator;

/// Tells what is in a part of a page whenever it has changed.
pub(super) fn follow<F, R>(live: Live, shared: Arc<Shared>, visit: Visit, render: F) -> LiveEvents
where
    F: Fn(Arc<Shared>, Visit) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Markup>> + Send + 'static,
{
    page::follow(live, (shared, visit), move |(shared, mut visit)| {
        let render = render.clone();
        async move {
            visit.now = shared.clock.now();
            if !shared.sessions.lasts(&visit.session.id, visit.now) {
                return None;
            }
            Operator::behind(&shared, &visit.session.who).await.ok().flatten()?;
            render(shared, visit).await.ok()
        }
    })
}
