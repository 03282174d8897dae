//! Parts of pages that stay fresh.

use std::time::Duration;

use maud::Markup;

use crate::{Live, LiveEvent, LiveEvents};

/// From one picture to the next: an eye does not read faster, and what is busy changes a thousand times between two.
const EVERY: Duration = Duration::from_secs(1);

/// How much a part may have; a larger one is not told.
const PART_BYTES_MAX: usize = 4 << 20;

/// Tells what is in a part of a page whenever it has changed, until `render` gives nothing any more: because its session is over,
/// or it failed. What a page showed is not shown on to who may not see it any more, so `render` looks each time.
pub fn follow<S, F, R>(live: Live, state: S, render: F) -> LiveEvents
where
    S: Clone + Send + 'static,
    F: Fn(S) -> R + Clone + Send + 'static,
    R: Future<Output = Option<Markup>> + Send + 'static,
{
    let told: Option<String> = None;
    live.tell((state, told), move |(state, told)| {
        let render = render.clone();
        async move {
            let mut is_first = told.is_none();
            loop {
                if !std::mem::take(&mut is_first) {
                    tokio::time::sleep(EVERY).await;
                }
                let part = render(state.clone()).await?.into_string();
                if part.len() <= PART_BYTES_MAX && told.as_ref() != Some(&part) {
                    let text = serde_json::to_string(&part).expect("text is JSON");
                    return Some((LiveEvent::json("part", &text), (state, Some(part))));
                }
            }
        }
    })
}
