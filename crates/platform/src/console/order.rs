//! An order's page: what happened to it, what each event led to at each endpoint, what waits for what, and its record.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use hookit_contract::{DeliveryState, EndpointId, OrderId, Record};
use hookit_server::page::{Query, Tone, age, exact, facts, live, note, table};
use hookit_server::{ApiError, Live, LiveEvents, PathId};
use hookit_store::platform::{Attempt, Delivery, DeliveryQuery, OrderEvent};
use maud::{Markup, html};
use serde::Deserialize;

use super::live::follow;
use super::{Pages, RECORDS_BYTES_MAX, Visit, waits, words};
use crate::Shared;
use crate::api::{Result, no_such_order, store_error};
use crate::operator::status::{self, EndpointStatus};

/// What is shown of an order at most: its newest events, and its newest deliveries, of which the newest have their attempts.
const EVENTS_MAX: usize = 100;
const DELIVERIES_MAX: usize = 300;
const WITH_ATTEMPTS_MAX: usize = 60;
const ATTEMPTS_MAX: usize = 5;

/// Deliveries that are explained, each with a look at what stands before it.
const EXPLAINED_MAX: usize = 10;

/// Characters that are shown of a value of a field.
const VALUE_CHARS_MAX: usize = 400;

pub(super) fn pages() -> Pages {
    Pages::default().page("/console/orders/{id}", "/orders/{id}", show).page(
        "/console/orders/{id}/live",
        "/orders/{id}",
        fresh,
    )
}

#[derive(Deserialize)]
struct Shown {
    /// The version whose record is shown; the newest where it is left out.
    version: Option<i64>,
}

async fn show(
    State(shared): State<Arc<Shared>>,
    visit: Visit,
    PathId(id): PathId,
    Query(shown): Query<Shown>,
) -> Result<Response> {
    let order_id = OrderId(id);
    let order = shared.store.order(order_id).await.map_err(store_error)?.ok_or_else(no_such_order)?;
    let events =
        shared.store.events_of_order(order_id, EVENTS_MAX, RECORDS_BYTES_MAX).await.map_err(store_error)?;
    let timeline = timeline(shared.clone(), visit.clone(), order_id).await?;
    let record = Record::parse(order.record.clone()).ok();
    let name =
        |field| record.as_ref().and_then(|record| record.name(field)).map(std::borrow::Cow::into_owned);
    let mut about = vec![
        ("Status", words::order_status(order.status)),
        ("Business", html! { (order.business_id) }),
        ("Branch", html! { a href={ "/console/search?q=" (order.branch_id) } { (order.branch_id) } }),
    ];
    for (field, said) in [
        ("brand_name", "Brand"),
        ("short_id", "short_id"),
        ("external_id", "external_id"),
        ("identity", "identity"),
    ] {
        about.extend(name(field).map(|text| (said, html! { (text) })));
    }
    let version = shown.version.unwrap_or(order.version);
    let content = html! {
        div.panel { (facts(about)) }
        (live(&format!("/console/orders/{order_id}/live"), &timeline))
        h2 #record { "Record" }
        (record_of(order_id, version, &events))
    };
    Ok(visit.page(&format!("Order {order_id}"), content))
}

async fn fresh(
    State(shared): State<Arc<Shared>>,
    visit: Visit,
    PathId(id): PathId,
    live: std::result::Result<Live, ApiError>,
) -> Result<LiveEvents> {
    Ok(follow(live?, shared, visit, move |shared, visit| timeline(shared, visit, OrderId(id))))
}

/// A delivery with its newest attempts, the newest last.
struct Tried {
    delivery: Delivery,
    attempts: Vec<Attempt>,
}

async fn timeline(shared: Arc<Shared>, visit: Visit, order_id: OrderId) -> Result<Markup> {
    let events =
        shared.store.events_of_order(order_id, EVENTS_MAX, RECORDS_BYTES_MAX).await.map_err(store_error)?;
    let query = DeliveryQuery { order_id: Some(order_id), limit: DELIVERIES_MAX, ..DeliveryQuery::default() };
    let deliveries = shared.store.deliveries(query).await.map_err(store_error)?.deliveries;
    let endpoints: HashMap<EndpointId, EndpointStatus> =
        status::endpoints_now(&shared).await?.into_iter().map(|one| (one.endpoint_id, one)).collect();
    let mut tried = Vec::with_capacity(deliveries.len());
    for (i, delivery) in deliveries.into_iter().enumerate() {
        let mut attempts = Vec::new();
        if i < WITH_ATTEMPTS_MAX && delivery.attempts > 0 {
            let found = shared.store.delivery(&delivery.delivery_id).await.map_err(store_error)?;
            attempts = found.map(|(_, attempts)| attempts).unwrap_or_default();
            // The answers of all of them would be much to hold.
            attempts.drain(..attempts.len().saturating_sub(ATTEMPTS_MAX));
        }
        tried.push(Tried { delivery, attempts });
    }
    let (waiting, more) = waiting(&shared, &visit, order_id, &tried, &endpoints).await?;
    Ok(html! {
        @if !waiting.is_empty() {
            h2 { "What waits" }
            div.panel {
                @for (delivery, reason) in &waiting {
                    @let endpoint = endpoints.get(&delivery.endpoint_id);
                    p {
                        (words::delivery_link(&delivery.delivery_id)) " (" (words::event(delivery.event_type)) ") to "
                        (endpoint_of(delivery.endpoint_id, endpoint)) ": "
                        (reason)
                    }
                }
                @if more > 0 {
                    p { "And " a href={ "/console/deliveries?state=pending&order_id=" (order_id) } { (more) " more" } "." }
                }
            }
        }
        h2 { "What happened" }
        ol.timeline {
            @for (i, event) in events.iter().enumerate() {
                li class=[(i == 0).then_some("now")] {
                    (happened(event, &visit))
                    (led_to(event, order_id, &tried, &endpoints))
                    @let before = events.get(i + 1).filter(|before| before.version + 1 == event.version);
                    @if let Some(before) = before { (difference(order_id, before, event)) }
                }
            }
        }
        @if events.len() == EVENTS_MAX { p.quiet { "Older events are not shown." } }
        @else if events.last().is_none_or(|oldest| oldest.version > 1) {
            p.quiet { "Older events were removed for their age." }
        }
    })
}

fn endpoint_of(endpoint_id: EndpointId, endpoint: Option<&EndpointStatus>) -> Markup {
    match endpoint {
        Some(endpoint) => words::endpoint_link(endpoint_id, &endpoint.url),
        None => html! { "endpoint " (endpoint_id) },
    }
}

/// Pending deliveries and why each has not gone out, the first in line first; and how many more there are.
async fn waiting<'t>(
    shared: &Shared,
    visit: &Visit,
    order_id: OrderId,
    tried: &'t [Tried],
    endpoints: &HashMap<EndpointId, EndpointStatus>,
) -> Result<(Vec<(&'t Delivery, Markup)>, usize)> {
    let pending = || tried.iter().rev().filter(|one| one.delivery.state == DeliveryState::Pending);
    let mut said = Vec::new();
    for one in pending().take(EXPLAINED_MAX) {
        let (delivery, endpoint) = (&one.delivery, endpoints.get(&one.delivery.endpoint_id));
        let mut words = waits::reason(shared, delivery, Some(order_id), endpoint, visit.now).await?;
        if let Some(last) = one.attempts.last() {
            words = html! { (words) " Its last attempt: " (words::attempt(last)) "." };
        }
        said.push((delivery, words));
    }
    let more = pending().count() - said.len();
    Ok((said, more))
}

fn happened(event: &OrderEvent, visit: &Visit) -> Markup {
    use hookit_contract::{Actor, EventType};
    html! {
        h3 {
            @match (event.event_type, event.status_from) {
                (EventType::OrderStatusUpdated, Some(from)) => { span { (from) " → " (words::order_status(event.status)) } }
                (EventType::OrderCartUpdated, _) => { span { "Cart edited" } }
                _ => { span { "Created as " (words::order_status(event.status)) } }
            }
            span.quiet.small {
                "version " (event.version) " · " (exact(event.created_at)) " · " (age(visit.now, event.created_at))
                " · by " @match event.actor { Actor::Partner => "a partner", Actor::Operator => "the platform's side" }
                @if let Some(at) = event.occurred_at { " · at the restaurant " (exact(at)) }
            }
        }
    }
}

fn led_to(
    event: &OrderEvent,
    order_id: OrderId,
    tried: &[Tried],
    endpoints: &HashMap<EndpointId, EndpointStatus>,
) -> Markup {
    let carries = |one: &&Tried| {
        one.delivery.event_type == event.event_type
            && one.delivery.orders.contains(&(order_id, event.version))
    };
    let of_event: Vec<&Tried> = tried.iter().rev().filter(carries).collect();
    if of_event.is_empty() {
        return html! { p.quiet.small { "No delivery: no registration was for it, or they were removed for their age." } };
    }
    let columns =
        [("Endpoint", ""), ("State", ""), ("Attempts", "number"), ("How they went", ""), ("Delivery", "")];
    let rows = html! {
        @for Tried { delivery, attempts } in of_event {
            tr {
                td.tight {
                    (endpoint_of(delivery.endpoint_id, endpoints.get(&delivery.endpoint_id)))
                    div.small.quiet { "brand " (delivery.brand_id) }
                }
                td { (words::delivery_state(delivery.state)) }
                td.number data-name="Attempts" { (delivery.attempts) }
                td.tight {
                    @for attempt in attempts.iter().rev() {
                        div.small { "#" (attempt.number) " " (words::attempt(attempt)) " · " (exact(attempt.started_at)) }
                    }
                    @let before = (delivery.attempts as usize).saturating_sub(attempts.len());
                    @if !attempts.is_empty() && before > 0 { div.small.quiet { (before) " before" } }
                }
                td { (words::delivery_link(&delivery.delivery_id)) }
            }
        }
    };
    table(&format!("Deliveries of version {}", event.version), &columns, &rows)
}

/// A value as it stands in the record, cut where it is long.
fn value(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A field that two records say differently: what each says, none where it has not got it.
type Changed<'r> = (std::borrow::Cow<'r, str>, Option<&'r str>, Option<&'r str>);

/// The fields that differ, in the order of the newer record, and behind them those that it has no more.
fn changed<'r>(before: &'r Record, after: &'r Record) -> Vec<Changed<'r>> {
    let mut fields = Vec::new();
    for name in after.names() {
        let (old, new) = (before.get(&name), after.get(&name));
        if old != new {
            fields.push((name, old, new));
        }
    }
    fields.extend(before.names().filter(|name| after.get(name).is_none()).map(|name| {
        let old = before.get(&name);
        (name, old, None)
    }));
    fields
}

/// The record after an event, where it was read and can be read.
fn record_after(event: &OrderEvent) -> Option<Record> {
    Record::parse(event.record.clone()?).ok()
}

fn difference(order_id: OrderId, before: &OrderEvent, after: &OrderEvent) -> Markup {
    let (Some(old), Some(new)) = (record_after(before), record_after(after)) else { return html! {} };
    // These are different each time and tell nothing.
    let fields: Vec<Changed<'_>> = changed(&old, &new)
        .into_iter()
        .filter(|(name, ..)| !["version", "updated_at"].contains(&name.as_ref()))
        .collect();
    html! {
        details id={ "version-" (after.version) } {
            summary.small { (fields.len()) @if fields.len() == 1 { " field changed" } @else { " fields changed" } }
            (table(&format!("What version {} changed", after.version), &[("Field", ""), ("Before", ""), ("After", "")], &html! {
                @for (name, old, new) in &fields {
                    tr {
                        td.tight { code { (name) } }
                        td { @if let Some(old) = old { del.mono { (value(old)) } } }
                        td { @if let Some(new) = new { ins.mono { (value(new)) } } }
                    }
                }
            }))
            p.small { a href={ "/console/orders/" (order_id) "?version=" (after.version) "#record" } { "The record of version " (after.version) } }
        }
    }
}

/// The record of a version, field by field, with what that version changed marked.
fn record_of(order_id: OrderId, version: i64, events: &[OrderEvent]) -> Markup {
    let of = |version| record_after(events.iter().find(|event| event.version == version)?);
    let Some(record) = of(version) else {
        return note(
            Tone::Warn,
            &html! { "The record of version " (version) " is not kept, or too far back to be shown." },
        );
    };
    let before = of(version - 1);
    let changes = before.as_ref().map(|before| changed(before, &record)).unwrap_or_default();
    let gone = changes.iter().filter(|(.., new)| new.is_none());
    let rows = html! {
        @for name in record.names() {
            @let change = changes.iter().find(|(changed, ..)| *changed == name);
            @let text = value(record.get(&name).unwrap_or_default());
            tr {
                td.tight { code { (name) } }
                td.mono {
                    @match change {
                        Some((_, Some(old), _)) => { del { (value(old)) } " " ins { (text) } }
                        Some(_) => { ins { (text) } }
                        None => (text),
                    }
                }
            }
        }
        @for (name, old, _) in gone {
            tr { td.tight { code { (name) } } td.mono { del { (value(old.unwrap_or_default())) } } }
        }
    };
    html! {
        nav.chips aria-label="Versions" {
            @for event in events.iter().rev() {
                a href={ "/console/orders/" (order_id) "?version=" (event.version) "#record" }
                    aria-current=[(event.version == version).then_some("true")] { (event.version) }
            }
        }
        (table(&format!("The record of version {version}"), &[("Field", ""), ("Value", "")], &rows))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn record(text: &'static str) -> Record {
        Record::parse(Bytes::from_static(text.as_bytes())).unwrap()
    }

    #[test]
    fn what_differs_is_told_field_by_field() {
        let before = record(r#"{"id":1,"status":1,"gone":true,"cart":[1, 2],"same":"ไทย"}"#);
        let after = record(r#"{"id":1,"status":2,"cart":[1,2],"same":"ไทย","new":null}"#);
        let told: Vec<_> = changed(&before, &after)
            .into_iter()
            .map(|(name, old, new)| (name.into_owned(), old, new))
            .collect();
        assert_eq!(
            told,
            [
                ("status".to_owned(), Some("1"), Some("2")),
                ("cart".to_owned(), Some("[1, 2]"), Some("[1,2]")),
                ("new".to_owned(), None, Some("null")),
                ("gone".to_owned(), Some("true"), None),
            ]
        );
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        let long = "ไ".repeat(VALUE_CHARS_MAX + 1);
        assert_eq!(value(&long), format!("{}…", "ไ".repeat(VALUE_CHARS_MAX)));
        assert_eq!(value("ไทย"), "ไทย");
    }
}
