//! Deliveries: found by filters that live in the URL, and each with its attempts, to be sent again or taken back.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use hookit_contract::{DeliveryId, DeliverySeq, DeliveryState, EndpointId, EventType, OrderId};
use hookit_server::page::{
    Query, Tone, age, duration, empty, exact, facts, field, note, pager, see_other, select, table, until,
};
use hookit_server::{ApiError, PathText};
use hookit_store::platform::{Attempt, Delivery, DeliveryQuery, EndReason};
use http::Method;
use maud::{Markup, html};
use serde::Deserialize;

use super::{Pages, Visit, sent, waits, words};
use crate::Shared;
use crate::api::{self, Result, store_error};
use crate::credentials::Acting;
use crate::operator::status;

const LIST: &str = "/console/deliveries";

/// Deliveries on a page.
const PAGE: usize = 50;

/// Bytes that are shown of an answer.
const ANSWER_BYTES_MAX: usize = 4 << 10;

pub(super) fn pages() -> Pages {
    Pages::default()
        .page(LIST, "/deliveries", list)
        .page("/console/deliveries/{id}", "/deliveries/{id}", show)
        .action("/console/deliveries/{id}/replay", Method::POST, "/deliveries/{id}/replay", replay)
        .action("/console/deliveries/{id}/cancel", Method::POST, "/deliveries/{id}/cancel", cancel)
}

/// What is looked for. A field of a form that was left empty comes as an empty text.
#[derive(Deserialize)]
struct Filter {
    state: Option<String>,
    event_type: Option<String>,
    endpoint_id: Option<String>,
    order_id: Option<String>,
    before: Option<String>,
}

impl Filter {
    fn query(&self) -> Result<DeliveryQuery> {
        let number = |field, text: &Option<String>| words::parsed::<i64>(field, text.as_ref(), "a number");
        Ok(DeliveryQuery {
            before: number("before", &self.before)?.map(DeliverySeq),
            state: words::parsed::<DeliveryState>("state", self.state.as_ref(), "a state")?,
            event_type: words::parsed::<EventType>("event_type", self.event_type.as_ref(), "an event type")?,
            endpoint_id: number("endpoint_id", &self.endpoint_id)?.map(EndpointId),
            order_id: number("order_id", &self.order_id)?.map(OrderId),
            limit: PAGE,
            ..DeliveryQuery::default()
        })
    }

    /// The list with this filter, from a place on.
    fn link(&self, before: Option<DeliverySeq>) -> String {
        let fields = [
            ("state", &self.state),
            ("event_type", &self.event_type),
            ("endpoint_id", &self.endpoint_id),
            ("order_id", &self.order_id),
        ];
        words::filtered(LIST, &fields, before.map(|before| before.0))
    }
}

async fn list(
    State(shared): State<Arc<Shared>>,
    visit: Visit,
    Query(filter): Query<Filter>,
) -> Result<Response> {
    let page = shared.store.deliveries(filter.query()?).await.map_err(store_error)?;
    let deliveries = page.deliveries;
    let urls = urls(&shared).await?;
    let next = page.next_before.map(|before| filter.link(Some(before)));
    let first = filter.before.as_ref().map(|_| filter.link(None));
    let content = html! {
        (filters(&filter))
        @if !deliveries.is_empty() {
            (rows(&deliveries, &urls, &visit))
        } @else if next.is_some() {
            (empty("None of those that were looked through is like that; there are older ones."))
        } @else {
            (empty("No delivery is like that."))
        }
        (pager(first.as_deref(), next.as_deref()))
    };
    Ok(visit.page("Deliveries", content))
}

fn filters(filter: &Filter) -> Markup {
    let states = DeliveryState::ALL.map(|state| (state.as_str(), state.as_str()));
    let types = EventType::ALL.map(|event_type| (event_type.as_str(), words::event(event_type)));
    let any = || std::iter::once(("", "any"));
    let given = |text: &Option<String>| text.clone().unwrap_or_default();
    let number = |id: &str, text: &Option<String>| {
        html! {
            input id=(id) name=(id) type="text" inputmode="numeric" value=(given(text)) autocomplete="off";
        }
    };
    html! {
        form.fields action=(LIST) method="get" {
            (field("state", "State", &select("state", any().chain(states), &given(&filter.state))))
            (field("event_type", "Event", &select("event_type", any().chain(types), &given(&filter.event_type))))
            (field("endpoint_id", "Endpoint", &number("endpoint_id", &filter.endpoint_id)))
            (field("order_id", "Order", &number("order_id", &filter.order_id)))
            button type="submit" { "Filter" }
            a.button href=(LIST) { "All" }
        }
    }
}

/// Where each endpoint is.
pub(super) async fn urls(shared: &Shared) -> Result<std::collections::HashMap<EndpointId, String>> {
    let endpoints = shared.store.endpoints().await.map_err(store_error)?;
    Ok(endpoints.into_iter().map(|one| (one.endpoint_id, one.url)).collect())
}

fn rows(
    deliveries: &[Delivery],
    urls: &std::collections::HashMap<EndpointId, String>,
    visit: &Visit,
) -> Markup {
    let columns = [
        ("Delivery", ""),
        ("Event", ""),
        ("Orders", ""),
        ("Endpoint", ""),
        ("State", ""),
        ("Attempts", "number"),
        ("Committed", ""),
    ];
    table(
        "Deliveries",
        &columns,
        &html! {
            @for delivery in deliveries {
                tr {
                    td.tight { (words::delivery_link(&delivery.delivery_id)) }
                    td.tight { (words::event(delivery.event_type)) }
                    td {
                        @for (order_id, _) in delivery.orders.iter().take(3) { (words::order_link(*order_id)) " " }
                        @if delivery.orders.len() > 3 { "and " (delivery.orders.len() - 3) " more" }
                    }
                    td.tight { (endpoint(delivery.endpoint_id, urls)) }
                    td { (words::delivery_state(delivery.state)) }
                    td.number data-name="Attempts" { (delivery.attempts) }
                    td.tight { (age(visit.now, delivery.created_at)) }
                }
            }
        },
    )
}

/// A link to an endpoint.
pub(super) fn endpoint(id: EndpointId, urls: &std::collections::HashMap<EndpointId, String>) -> Markup {
    match urls.get(&id) {
        Some(url) => words::endpoint_link(id, url),
        None => html! { "endpoint " (id) },
    }
}

fn no_such_delivery() -> ApiError {
    ApiError::not_found("there is no such delivery")
}

async fn show(State(shared): State<Arc<Shared>>, visit: Visit, PathText(id): PathText) -> Result<Response> {
    let found = shared.store.delivery(&DeliveryId::from(id)).await.map_err(store_error)?;
    let (delivery, attempts) = found.ok_or_else(no_such_delivery)?;
    let urls = urls(&shared).await?;
    let mut about = vec![
        ("State", words::delivery_state(delivery.state)),
        ("Event", html! { (words::event(delivery.event_type)) " " code { (delivery.event_type) } }),
        ("Endpoint", endpoint(delivery.endpoint_id, &urls)),
        (
            "Orders",
            html! {
                @for (order_id, version) in &delivery.orders { (words::order_link(*order_id)) " v" (version) " " }
            },
        ),
        ("Brand and branch", html! { (delivery.brand_id) " · " (delivery.branch_id) }),
        ("Committed", html! { (exact(delivery.created_at)) " · " (age(visit.now, delivery.created_at)) }),
    ];
    if let Some(at) = delivery.next_attempt_at {
        about.push(("Next attempt", html! { (until(visit.now, at)) }));
    }
    if let Some(at) = delivery.finished_at {
        about.push(("Ended", html! { (exact(at)) " · " (age(visit.now, at)) }));
    }
    if let Some(by) = &delivery.ended_by {
        let why = delivery.ended_reason.map(EndReason::as_str).unwrap_or_default();
        about.push(("Taken back by", html! { (by) " " span.quiet { (why) } }));
    }
    let mut why = None;
    if delivery.state == DeliveryState::Pending {
        let endpoints = status::endpoints_now(&shared).await?;
        let endpoint = endpoints.iter().find(|one| one.endpoint_id == delivery.endpoint_id);
        why = Some(waits::reason(&shared, &delivery, None, endpoint, visit.now).await?);
    }
    let content = html! {
        @if let Some(why) = &why { (note(Tone::Info, why)) }
        div.panel { (facts(about)) }
        (actions(&delivery, &visit))
        h2 { "Attempts" }
        @if attempts.is_empty() { (empty("None was made yet.")) } @else { (log(&attempts)) }
        @if attempts.len() < delivery.attempts as usize { p.quiet { "Older attempts are not shown." } }
        h2 { "What is sent" }
        (sent::sent(&shared, &delivery.delivery_id, &visit).await?)
    };
    Ok(visit.page(&format!("Delivery {}", delivery.delivery_id), content))
}

/// What can be done with it, and by this operator.
fn actions(delivery: &Delivery, visit: &Visit) -> Markup {
    let path = |what: &str| format!("{LIST}/{}/{what}", delivery.delivery_id);
    let has_ended = delivery.state != DeliveryState::Pending;
    html! {
        div.actions {
            @if has_ended && visit.may(&Method::POST, "/deliveries/{id}/replay") {
                (visit.form(&path("replay"), "", &html! { button type="submit" { "Send again" } }))
            }
            @if !has_ended && visit.may(&Method::POST, "/deliveries/{id}/cancel") {
                details {
                    summary { "Take back…" }
                    p { "It is not sent any more; an attempt that is under way may still arrive." }
                    (visit.form(&path("cancel"), "", &html! { button.danger type="submit" { "Take it back" } }))
                }
            }
        }
    }
}

/// What an attempt's time went into. A connection that was kept needed none of the first three.
fn phases(attempt: &Attempt) -> impl Iterator<Item = (&'static str, Duration)> {
    let phases = attempt.phases;
    let all = [
        ("name", phases.resolve),
        ("connect", phases.connect),
        ("TLS", phases.tls),
        ("first byte", phases.first_byte),
    ];
    all.into_iter().filter_map(|(name, took)| Some((name, took?)))
}

fn log(attempts: &[Attempt]) -> Markup {
    let columns = [
        ("#", "number"),
        ("Began", ""),
        ("Took", "number"),
        ("Outcome", ""),
        ("Address", ""),
        ("Answer", ""),
    ];
    table(
        "Attempts",
        &columns,
        &html! {
            @for attempt in attempts.iter().rev() {
                @let answer = &attempt.answer[..attempt.answer.len().min(ANSWER_BYTES_MAX)];
                tr {
                    td.number data-name="Attempt" { (attempt.number) }
                    td.tight { (exact(attempt.started_at)) }
                    td.number data-name="Took" {
                        (duration(attempt.duration))
                        @for (name, took) in phases(attempt) { div.small.quiet { (name) " " (duration(took)) } }
                    }
                    td {
                        (words::outcome(attempt.outcome, attempt.status))
                        @if let Some(error) = &attempt.error { div.small.quiet { (error) } }
                        @if let Some(at) = attempt.next_attempt_at() { div.small.quiet { "next at " (exact(at)) } }
                    }
                    td.tight { @if let Some(address) = &attempt.address { code { (address) } } }
                    td { code { (String::from_utf8_lossy(answer)) } }
                }
            }
        },
    )
}

async fn replay(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    PathText(id): PathText,
) -> Result<Response> {
    let id = DeliveryId::from(id);
    api::replayed(store.replay_delivery(&id, shared.clock.now()).await.map_err(store_error)?)?;
    tracing::info!(delivery_id = %id, "an operator replays a delivery");
    Ok(see_other(&format!("{LIST}/{id}")))
}

async fn cancel(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    visit: Visit,
    PathText(id): PathText,
) -> Result<Response> {
    let (id, by) = (DeliveryId::from(id), &visit.operator.name);
    let cancelled = store.cancel_delivery(&id, by, shared.clock.now()).await.map_err(store_error)?;
    api::cancelled(cancelled)?;
    tracing::info!(delivery_id = %id, by = %by, "a delivery was cancelled");
    Ok(see_other(&format!("{LIST}/{id}")))
}
