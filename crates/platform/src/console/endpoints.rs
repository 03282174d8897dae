//! Endpoints: how each stands and has stood, trouble first, and whether it is sent anything.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use hookit_contract::{DeliveryState, EndpointId, Timestamp};
use hookit_server::page::{
    Axes, Query, Series, age, badge, chart, count, duration, empty, facts, note, see_other, share, spark,
    table,
};
use hookit_server::{ApiError, PathId};
use hookit_store::platform::{Held, HoldReason, PastFigures, PastQuery, Span, WebhookQuery};
use http::Method;
use maud::{Markup, html};

use super::registrations::{Behind, Shown, registrations};
use super::{Pages, ROWS_MAX, Visit, partners, replays, words};
use crate::Shared;
use crate::api::{Result, store_error};
use crate::credentials::Acting;
use crate::operator::status::{self, EndpointStatus};

const LIST: &str = "/console/endpoints";

/// Endpoints on the page; those with most trouble are among them.
const SHOWN_MAX: usize = 100;

const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn pages() -> Pages {
    Pages::default()
        .page(LIST, "/webhooks", list)
        .page("/console/endpoints/{id}", "/webhooks", show)
        .action("/console/endpoints/{id}/pause", Method::POST, "/webhooks/{id}/disable", pause)
        .action("/console/endpoints/{id}/resume", Method::POST, "/webhooks/{id}/enable", resume)
}

/// What an endpoint did within a day.
async fn past(shared: &Shared, endpoint_id: EndpointId, now: Timestamp) -> Result<Vec<PastFigures>> {
    let query = PastQuery { endpoint_id: Some(endpoint_id), span: Span::Quarter, since: day_before(now) };
    shared.store.past(query).await.map_err(store_error)
}

fn day_before(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.as_millis().saturating_sub(DAY.as_millis() as i64))
}

fn axes(now: Timestamp, least: f64, most: f64) -> Axes {
    let span = Span::Quarter.duration();
    Axes { from: day_before(now), to: now, gap: span + span / 2, least, most }
}

fn points(past: &[PastFigures], value: impl Fn(&PastFigures) -> Option<f64>) -> Vec<(Timestamp, f64)> {
    past.iter().filter_map(|one| Some((one.began_at, value(one)?))).collect()
}

/// Attempts within a day that were acknowledged, and all.
fn success(past: &[PastFigures]) -> (u64, u64) {
    past.iter().fold((0, 0), |(a, b), one| (a + one.acknowledged, b + one.attempts))
}

async fn list(State(shared): State<Arc<Shared>>, visit: Visit) -> Result<Response> {
    let mut endpoints = status::endpoints_now(&shared).await?;
    endpoints.sort_by_key(words::trouble_rank);
    let all = endpoints.len();
    let mut shown = Vec::new();
    for endpoint in endpoints.into_iter().take(SHOWN_MAX) {
        let past = past(&shared, endpoint.endpoint_id, visit.now).await?;
        shown.push((endpoint, past));
    }
    let columns = [
        ("Endpoint", ""),
        ("State", ""),
        ("In words", ""),
        ("Deliveries in 24 h", ""),
        ("Success", "number"),
        ("p95", "number"),
        ("Backlog", "number"),
        ("Oldest", "number"),
    ];
    let rows = html! {
        @for (endpoint, past) in &shown {
            @let (tone, word) = words::endpoint_state(endpoint);
            @let (acknowledged, attempts) = success(past);
            @let oldest = endpoint.oldest_pending_age_ms.map(Duration::from_millis);
            @let p95 = past.last().and_then(|one| one.times).map(|times| Duration::from_micros(times.p95_us));
            tr {
                td.tight { (words::endpoint_link(endpoint.endpoint_id, &endpoint.url)) }
                td { (badge(tone, word)) }
                td { (words::endpoint_story(endpoint, visit.now)) }
                td data-name="Deliveries in 24 h" {
                    (spark(
                        &format!("Deliveries to endpoint {} in 24 hours", endpoint.endpoint_id),
                        axes(visit.now, 0.0, 1.0),
                        &points(past, |one| Some(one.delivered as f64)),
                    ))
                }
                td.number data-name="Success" { (share(acknowledged, attempts)) }
                td.number data-name="p95" { (p95.map_or_else(|| "–".to_owned(), duration)) }
                td.number data-name="Backlog" { (count(endpoint.pending)) }
                td.number data-name="Oldest" { (oldest.map_or_else(|| "–".to_owned(), duration)) }
            }
        }
    };
    let content = html! {
        @if shown.is_empty() { (empty("No endpoint is registered yet.")) } @else { (table("Endpoints", &columns, &rows)) }
        @if all > SHOWN_MAX { p.quiet { "Those with least trouble are left out: " (count((all - SHOWN_MAX) as u64)) "." } }
    };
    Ok(visit.page("Endpoints", content))
}

fn no_such_endpoint() -> ApiError {
    ApiError::not_found("there is no such endpoint")
}

async fn one(shared: &Shared, id: i64) -> Result<EndpointStatus> {
    let mut endpoints = status::endpoints_now(shared).await?.into_iter();
    endpoints.find(|one| one.endpoint_id == EndpointId(id)).ok_or_else(no_such_endpoint)
}

async fn show(
    State(shared): State<Arc<Shared>>,
    visit: Visit,
    PathId(id): PathId,
    Query(behind): Query<Behind>,
) -> Result<Response> {
    let endpoint = one(&shared, id).await?;
    let query = WebhookQuery { endpoint_id: Some(endpoint.endpoint_id), ..WebhookQuery::first(ROWS_MAX) };
    let own = Shown::read(&shared, query, &behind).await?;
    let partner = shared.store.partner(&endpoint.partner_id).await.map_err(store_error)?;
    let past = past(&shared, endpoint.endpoint_id, visit.now).await?;
    let (acknowledged, attempts) = success(&past);
    let (tone, word) = words::endpoint_state(&endpoint);
    let oldest = endpoint.oldest_pending_age_ms.map(Duration::from_millis);
    let mut about = vec![
        ("State", badge(tone, word)),
        ("URL", html! { code { (endpoint.url) } }),
        (
            "Partner",
            html! {
                (partners::link(&endpoint.partner_id, partner.as_ref().map(|one| one.name.as_str())))
                @if visit.may(&Method::POST, "/partners/{id}/rotate-webhook-secret") {
                    " · " a href={ "/console/partners/" (endpoint.partner_id) "#rotate-webhook-secret" } { "rotate its webhook secret…" }
                }
            },
        ),
        (
            "Backlog",
            html! { a href={ "/console/deliveries?state=pending&endpoint_id=" (id) } { (count(endpoint.pending)) } },
        ),
        ("Oldest pending", html! { (oldest.map_or_else(|| "–".to_owned(), duration)) }),
        (
            "Attempts under way",
            html! {
                (endpoint.in_flight)
                @if endpoint.in_flight_limit > 0 { " of " (endpoint.in_flight_limit) }
                @else { ", and none may begin just now" }
            },
        ),
        ("Success in 24 h", html! { (share(acknowledged, attempts)) " of " (count(attempts)) " attempts" }),
        (
            "Dead letters",
            html! {
                a href={ "/console/deliveries?state=dead&endpoint_id=" (id) } { "show" }
                @if visit.may(&Method::POST, "/replays") {
                    " · " a href=(replays::count_link(DeliveryState::Dead, Some(id))) { "send them again…" }
                }
            },
        ),
    ];
    if let Some(last) = &endpoint.last_failure {
        about.push(("Last failure", html! { (words::failure(last)) " · " (age(visit.now, last.at)) }));
    }
    let content = html! {
        (note(tone, &html! { (words::endpoint_story(&endpoint, visit.now)) }))
        div.panel { (facts(about)) }
        (actions(&endpoint, &visit))
        h2 { "The last 24 hours" }
        div.columns { (charts(&past, visit.now)) }
        h2 { "Registrations" }
        (registrations(&own, None, &visit))
    };
    Ok(visit.page(&format!("Endpoint {id}"), content))
}

fn actions(endpoint: &EndpointStatus, visit: &Visit) -> Markup {
    let path = |what: &str| format!("{LIST}/{}/{what}", endpoint.endpoint_id);
    html! {
        div.actions {
            @if endpoint.hold.is_some() {
                @if visit.may(&Method::POST, "/webhooks/{id}/enable") {
                    (visit.form(&path("resume"), "", &html! { button.primary type="submit" { "Resume" } }))
                }
            } @else if visit.may(&Method::POST, "/webhooks/{id}/disable") {
                (visit.form(&path("pause"), "", &html! { button type="submit" { "Pause" } }))
            }
            a.button href={ "/console/deliveries?endpoint_id=" (endpoint.endpoint_id) } { "Its deliveries" }
        }
    }
}

fn charts(past: &[PastFigures], now: Timestamp) -> Markup {
    let line =
        |name, value: &dyn Fn(&PastFigures) -> Option<f64>| Series { name, points: points(past, value) };
    let number = |value: f64| count(value.max(0.0) as u64);
    let micros = |value: f64| duration(Duration::from_micros(value.max(0.0) as u64));
    let done = [
        line("acknowledged", &|one| Some(one.acknowledged as f64)),
        line("failed", &|one| Some((one.attempts - one.acknowledged) as f64)),
    ];
    let times = [
        line("p50", &|one| Some(one.times?.p50_us as f64)),
        line("p95", &|one| Some(one.times?.p95_us as f64)),
    ];
    html! {
        (chart("Attempts in a quarter of an hour", axes(now, 0.0, 5.0), &done, &number))
        (chart("How long attempts took", axes(now, 0.0, 1_000.0), &times, &micros))
        (chart("Backlog", axes(now, 0.0, 5.0), &[line("pending", &|one| Some(one.pending as f64))], &number))
    }
}

async fn pause(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    PathId(id): PathId,
) -> Result<Response> {
    hold(&shared, &*store, id, Some(HoldReason::Operator)).await
}

async fn resume(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    PathId(id): PathId,
) -> Result<Response> {
    hold(&shared, &*store, id, None).await
}

async fn hold(
    shared: &Shared,
    store: &dyn hookit_store::platform::Store,
    id: i64,
    hold: Option<HoldReason>,
) -> Result<Response> {
    match store.hold_endpoint(EndpointId(id), hold, shared.clock.now()).await.map_err(store_error)? {
        Held::Done | Held::Unchanged => Ok(see_other(&format!("{LIST}/{id}"))),
        Held::NoSuchEndpoint => Err(no_such_endpoint()),
    }
}
