//! Parts of pages that stay fresh.

use std::sync::Arc;
use std::time::Duration;

use hookit_server::{Live, LiveEvent, LiveEvents};
use maud::Markup;

use super::Visit;
use crate::Shared;
use crate::api::Result;
use crate::credentials::Operator;

/// From one picture to the next: an eye does not read faster, and a busy platform changes a thousand times between two.
const EVERY: Duration = Duration::from_secs(1);

/// How much a part may have; a larger one is not told.
const PART_BYTES_MAX: usize = 4 << 20;

/// Tells what is in a part of a page whenever it has changed, as long as the session lasts.
pub(super) fn follow<F, R>(live: Live, shared: Arc<Shared>, visit: Visit, render: F) -> LiveEvents
where
    F: Fn(Arc<Shared>, Visit) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Markup>> + Send + 'static,
{
    let told: Option<String> = None;
    live.tell((shared, visit, told), move |(shared, mut visit, told)| {
        let render = render.clone();
        async move {
            let mut is_first = told.is_none();
            loop {
                if !std::mem::take(&mut is_first) {
                    tokio::time::sleep(EVERY).await;
                }
                visit.now = shared.clock.now();
                // What a page showed is not shown on to who may not see it any more.
                if !shared.sessions.lasts(&visit.session.id, visit.now) {
                    return None;
                }
                Operator::behind(&shared, &visit.session.who).await.ok().flatten()?;
                let part = render(shared.clone(), visit.clone()).await.ok()?.into_string();
                if part.len() <= PART_BYTES_MAX && told.as_ref() != Some(&part) {
                    let text = serde_json::to_string(&part).expect("text is JSON");
                    return Some((LiveEvent::json("part", &text), (shared, visit, Some(part))));
                }
            }
        }
    })
}
