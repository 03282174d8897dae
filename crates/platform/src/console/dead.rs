//! Dead letters: why they are there and where they were to go, to be sent again together.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use hookit_contract::DeliveryState;
use hookit_server::page::{age, count, empty, table};
use http::Method;
use maud::{Markup, html};

use super::{Pages, Visit, deliveries, replays, words};
use crate::Shared;
use crate::api::{Result, store_error};

const PAGE: &str = "/console/dead-letters";

/// Dead letters that are looked through, the newest.
const LOOKED_AT: usize = 10_000;

pub(super) fn pages() -> Pages {
    Pages::default().page(PAGE, "/deliveries", show)
}

async fn show(State(shared): State<Arc<Shared>>, visit: Visit) -> Result<Response> {
    let letters = shared.store.dead_letters(LOOKED_AT).await.map_err(store_error)?;
    let urls = deliveries::urls(&shared).await?;
    let shown: u64 = letters.iter().map(|one| one.deliveries).sum();
    let all = shared.store.counts().await.map_err(store_error)?.dead;
    let columns =
        [("Deliveries", "number"), ("Endpoint", ""), ("Why", ""), ("The last one", ""), ("Send again", "")];
    let again = |endpoint_id: Option<i64>, said: &str| -> Markup {
        html! {
            @if visit.may(&Method::POST, "/replays") {
                a href=(replays::count_link(DeliveryState::Dead, endpoint_id)) { (said) }
            }
        }
    };
    let mut offered = std::collections::BTreeSet::new();
    let rows = html! {
        @for one in &letters {
            tr {
                td.number data-name="Deliveries" { (count(one.deliveries)) }
                td.tight { (deliveries::endpoint(one.endpoint_id, &urls)) }
                td {
                    @match one.outcome {
                        Some(outcome) => { (words::outcome(outcome, one.status)) }
                        None => { "given up without an attempt" }
                    }
                }
                td.tight { (age(visit.now, one.last_at)) }
                td.tight { @if offered.insert(one.endpoint_id) { (again(Some(one.endpoint_id.0), "All of this endpoint…")) } }
            }
        }
    };
    let content = html! {
        p.quiet {
            "Deliveries that were given up: refused for good, or never acknowledged within the retry plan. They stay until they are removed for their age."
        }
        @if letters.is_empty() {
            (empty("There is none."))
        } @else {
            p { (count(all)) " in all. " (again(None, "Send all of them again…")) }
            (table("Dead letters by endpoint and reason", &columns, &rows))
            @if all > shown { p.quiet { "Only the newest " (count(shown)) " were looked through." } }
        }
    };
    Ok(visit.page("Dead letters", content))
}
