//! Registrations: which events go where, tested with one webhook of a fake order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use hookit_contract::{AttemptOutcome, EndpointId, WebhookId};
use hookit_server::PathId;
use hookit_server::page::{Tone, duration, empty, facts, note, table};
use hookit_store::cut;
use hookit_store::platform::{Webhook, WebhookQuery};
use http::Method;
use maud::{Markup, html};
use serde::Deserialize;

use super::{Pages, Visit, deliveries, replays, words};
use crate::Shared;
use crate::api::{Result, store_error};
use crate::credentials::Acting;
use crate::operator::trial::{self, Tested};

pub(super) fn pages() -> Pages {
    Pages::default().action("/console/registrations/{id}/test", Method::POST, "/webhooks/{id}/test", test)
}

/// Behind which registration a page of them begins.
#[derive(Deserialize)]
pub(super) struct Behind {
    after: Option<i64>,
}

/// Registrations that are shown on a page, and where to go on where there are more.
pub(super) struct Shown {
    webhooks: Vec<Webhook>,
    next_after: Option<WebhookId>,
}

impl Shown {
    /// As many as the query says, which are behind that place.
    pub(super) async fn read(shared: &Shared, query: WebhookQuery, behind: &Behind) -> Result<Shown> {
        let limit = query.limit;
        let query = WebhookQuery { after: behind.after.map(WebhookId), limit: limit + 1, ..query };
        let mut webhooks = shared.store.webhooks(query).await.map_err(store_error)?;
        let next_after = cut(&mut webhooks, limit).map(|last| last.webhook_id);
        Ok(Shown { webhooks, next_after })
    }
}

/// Registrations with what can be done with each. `urls` says where each endpoint is, where that is not said already.
pub(super) fn registrations(
    Shown { webhooks, next_after }: &Shown,
    urls: Option<&HashMap<EndpointId, String>>,
    visit: &Visit,
) -> Markup {
    if webhooks.is_empty() {
        return empty("There is none.");
    }
    let any = |id: Option<String>| id.unwrap_or_else(|| "any".to_owned());
    let mut columns = vec![("Id", "number"), ("Brand", "number"), ("Branch", "number"), ("Event", "")];
    columns.extend(urls.map(|_| ("Endpoint", "")));
    columns.extend([("Missed", ""), ("Test", "")]);
    let rows = table(
        "Registrations",
        &columns,
        &html! {
            @for webhook in webhooks {
                tr {
                    td.number data-name="Id" { (webhook.webhook_id) }
                    td.number data-name="Brand" { (any(webhook.brand_id.map(|id| id.to_string()))) }
                    td.number data-name="Branch" { (any(webhook.branch_id.map(|id| id.to_string()))) }
                    td { (words::event(webhook.event_type)) }
                    @if let Some(urls) = urls { td.tight { (deliveries::endpoint(webhook.endpoint_id, urls)) } }
                    td.tight {
                        @if visit.may(&Method::POST, "/replays") {
                            a href=(replays::missed_link(webhook.webhook_id.0)) { "What it missed…" }
                        }
                    }
                    td {
                        @if visit.may(&Method::POST, "/webhooks/{id}/test") {
                            (visit.form(&format!("/console/registrations/{}/test", webhook.webhook_id), "", &html! {
                                button type="submit" title="Posts one signed webhook of a fake order, now" { "Test" }
                            }))
                        }
                    }
                }
            }
        },
    );
    html! {
        (rows)
        @if let Some(after) = next_after {
            nav.pager aria-label="Pages" { a href={ "?after=" (after) } rel="next" { "More registrations" } }
        }
    }
}

async fn test(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    visit: Visit,
    PathId(id): PathId,
) -> Result<Response> {
    let tested = trial::tested(&shared, &*store, WebhookId(id)).await?;
    Ok(visit.page(&format!("Test of registration {id}"), went(&tested)))
}

fn went(tested: &Tested) -> Markup {
    let outcome = words::outcome(tested.outcome, tested.status);
    let (tone, said) = match tested.outcome {
        AttemptOutcome::Acknowledged => (Tone::Good, "It works: the webhook was acknowledged."),
        _ => (Tone::Bad, "The webhook was not acknowledged."),
    };
    let times = [
        ("Name resolved", tested.resolve_us),
        ("Connected", tested.connect_us),
        ("TLS", tested.tls_us),
        ("First byte of the answer", tested.first_byte_us),
    ];
    let mut about = vec![("Outcome", html! { (outcome) })];
    about.extend(tested.error.as_ref().map(|error| ("In words", html! { (error) })));
    about.extend(tested.address.as_ref().map(|address| ("Address", html! { code { (address) } })));
    about.push(("Took", html! { (duration(Duration::from_micros(tested.duration_us))) }));
    for (name, micros) in times {
        about.extend(micros.map(|micros| (name, html! { (duration(Duration::from_micros(micros))) })));
    }
    html! {
        (note(tone, &html! { (said) }))
        div.panel { (facts(about)) }
        @if !tested.answer.is_empty() { h2 { "The answer" } pre { (tested.answer) } }
        p { a href={ "/console/endpoints/" (tested.endpoint_id) } { "To the endpoint" } }
        p.quiet { "It was one signed webhook of a fake order, " code { "is_fake" } " in its record. It is no delivery: it is in no list, and a pause does not stop it." }
    }
}
