//! The first page: how things stand, trouble first.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use hookit_server::page::{Tone, count, duration, figure};
use maud::html;

use super::{HOME, Pages, Visit};
use crate::Shared;
use crate::api::Result;
use crate::operator::status;

pub(super) fn pages() -> Pages {
    Pages::default().page(HOME, "/status", show)
}

async fn show(State(shared): State<Arc<Shared>>, visit: Visit) -> Result<Response> {
    let status = status::read(&shared).await?;
    let oldest = status.oldest_pending_age_ms.map(Duration::from_millis);
    let content = html! {
        dl.figures {
            (figure("Backlog", &html! { (count(status.pending)) }, &html! { "deliveries" }, Tone::Quiet))
            (figure("Oldest pending", &html! { (oldest.map_or_else(|| "–".to_owned(), duration)) }, &html! {}, Tone::Quiet))
            (figure("In flight", &html! { (count(status.in_flight)) }, &html! { "attempts" }, Tone::Quiet))
        }
    };
    Ok(visit.page("Overview", content))
}
