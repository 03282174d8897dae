//! Replays: what is to be sent again is counted first, then sent by a job that is watched, paused and taken back here.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use hookit_contract::{DeliveryState, EventType, ReplayId};
use hookit_server::page::{
    Form, Query, Tone, age, badge, count, empty, exact, facts, field, live, note, pager, see_other, select,
    share, table,
};
use hookit_server::{ApiError, Fault, Live, LiveEvents, Object, PathId, checked};
use hookit_store::cut;
use hookit_store::platform::{Replay, ReplayKind, ReplayRequest, ReplayState, SteerReplay};
use http::Method;
use maud::{Markup, html};
use serde::Deserialize;
use url::form_urlencoded;

use super::live::follow;
use super::{Pages, Visit, words};
use crate::Shared;
use crate::api::{Result, store_error};
use crate::credentials::Acting;
use crate::operator::replays::{self, Filter, Wish};

const LIST: &str = "/console/replays";

/// Where a wish is counted before it becomes a replay.
const COUNT: &str = "/console/replays/count";

/// Replays on a page.
const PAGE: usize = 50;

pub(super) fn pages() -> Pages {
    Pages::default()
        .page(LIST, "/replays", list)
        // It shows what `dry_run` says, which is not for who may not begin one.
        .page_for(COUNT, Method::POST, "/replays", counted)
        .action("/console/replays/begin", Method::POST, "/replays", begin)
        .page("/console/replays/{id}", "/replays/{id}", show)
        .page("/console/replays/{id}/live", "/replays/{id}", fresh)
        .action("/console/replays/{id}/pause", Method::POST, "/replays/{id}/pause", pause)
        .action("/console/replays/{id}/resume", Method::POST, "/replays/{id}/resume", resume)
        .action("/console/replays/{id}/cancel", Method::POST, "/replays/{id}/cancel", cancel)
}

/// A page on which it is counted how many deliveries in this state went to an endpoint, or to any.
pub(super) fn count_link(state: DeliveryState, endpoint_id: Option<i64>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("state", state.as_str());
    if let Some(id) = endpoint_id {
        query.append_pair("endpoint_id", &id.to_string());
    }
    format!("{COUNT}?{}", query.finish())
}

/// A page on which it is counted what a registration has missed.
pub(super) fn missed_link(webhook_id: i64) -> String {
    format!("{COUNT}?kind=missed&webhook_id={webhook_id}")
}

/// What a form says. A field that was left empty says nothing.
#[derive(Clone, Debug, Default, Deserialize)]
struct Fields {
    kind: Option<String>,
    endpoint_id: Option<String>,
    webhook_id: Option<String>,
    order_id: Option<String>,
    event_type: Option<String>,
    state: Option<String>,
    since: Option<String>,
    until: Option<String>,
    history: Option<String>,
}

/// What can be asked for, with the word that a form sends.
const KINDS: [(&str, &str); 3] = [
    ("same_ids", "what was sent, with the same ids"),
    ("new_ids", "what was sent, with new ids"),
    ("missed", "what a registration has missed"),
];

impl Fields {
    fn pairs(&self) -> [(&'static str, &Option<String>); 9] {
        [
            ("kind", &self.kind),
            ("endpoint_id", &self.endpoint_id),
            ("webhook_id", &self.webhook_id),
            ("order_id", &self.order_id),
            ("event_type", &self.event_type),
            ("state", &self.state),
            ("since", &self.since),
            ("until", &self.until),
            ("history", &self.history),
        ]
    }

    /// The same wish as the API would get it.
    fn wish(&self) -> Result<Wish> {
        let kind = words::said(self.kind.as_ref()).unwrap_or("same_ids");
        if !KINDS.iter().any(|(word, _)| *word == kind) {
            return Err(Fault::new("kind", "expected same_ids, new_ids or missed").into());
        }
        let number = |field, text: &Option<String>| words::parsed::<i64>(field, text.as_ref(), "a number");
        let time = |field, text: &Option<String>| {
            words::said(text.as_ref()).map(|text| words::moment(field, text)).transpose()
        };
        Ok(Wish {
            filter: Object(Filter {
                endpoint_id: number("endpoint_id", &self.endpoint_id)?,
                webhook_id: number("webhook_id", &self.webhook_id)?,
                order_id: number("order_id", &self.order_id)?,
                event_type: words::parsed::<EventType>(
                    "event_type",
                    self.event_type.as_ref(),
                    "an event type",
                )?,
                state: words::parsed::<DeliveryState>("state", self.state.as_ref(), "a state")?,
                since: time("since", &self.since)?,
                until: time("until", &self.until)?,
            }),
            dry_run: false,
            new_ids: kind == "new_ids",
            missed: kind == "missed",
            history: (kind != "same_ids").then(|| words::said(self.history.as_ref()).is_some()),
        })
    }
}

#[derive(Deserialize)]
struct From {
    before: Option<i64>,
}

async fn list(State(shared): State<Arc<Shared>>, visit: Visit, Query(from): Query<From>) -> Result<Response> {
    let before = from.before.map(ReplayId);
    let mut replays = shared.store.replays(before, PAGE + 1).await.map_err(store_error)?;
    let next = cut(&mut replays, PAGE).map(|last| format!("{LIST}?before={}", last.replay_id));
    let columns = [
        ("Replay", "number"),
        ("State", ""),
        ("What", ""),
        ("Looked through", "number"),
        ("In line", "number"),
        ("Delivered", "number"),
        ("Dead", "number"),
        ("Begun", ""),
    ];
    let rows = html! {
        @for replay in &replays {
            tr {
                td.number data-name="Replay" { a href={ (LIST) "/" (replay.replay_id) } { (replay.replay_id) } }
                td { (state(replay.state)) }
                td.said { (story(&replay.request)) }
                td.number data-name="Looked through" { (percent(replay)) }
                td.number data-name="In line" { (count(replay.pending())) }
                td.number data-name="Delivered" { (count(replay.delivered)) }
                td.number data-name="Dead" { (count(replay.dead)) }
                td.tight { (age(visit.now, replay.created_at)) }
            }
        }
    };
    let content = html! {
        @if visit.may(&Method::POST, "/replays") {
            details #new open[replays.is_empty()] {
                summary { "Send many again…" }
                (form(&Fields::default()))
            }
        }
        @if replays.is_empty() {
            (empty("There was no replay yet."))
        } @else {
            (table("Replays", &columns, &rows))
        }
        (pager(from.before.map(|_| LIST), next.as_deref()))
    };
    Ok(visit.page("Replays", content))
}

/// The form that leads to the count.
fn form(fields: &Fields) -> Markup {
    let given = |text: &Option<String>| text.clone().unwrap_or_default();
    let any = || std::iter::once(("", "any"));
    let states = DeliveryState::ALL.into_iter().filter(|state| *state != DeliveryState::Pending);
    let types = EventType::ALL.map(|event_type| (event_type.as_str(), words::event(event_type)));
    let number = |id: &str, text: &Option<String>| {
        html! { input id=(id) name=(id) type="text" inputmode="numeric" value=(given(text)) autocomplete="off"; }
    };
    let time = |id: &str, text: &Option<String>| {
        html! { input id=(id) name=(id) type="datetime-local" step="1" value=(given(text)); }
    };
    html! {
        form.fields action=(COUNT) method="get" {
            (field("kind", "What is sent", &select("kind", KINDS, &given(&fields.kind))))
            (field("state", "State", &select("state", any().chain(states.map(|state| (state.as_str(), state.as_str()))), &given(&fields.state))))
            (field("event_type", "Event", &select("event_type", any().chain(types), &given(&fields.event_type))))
            (field("endpoint_id", "Endpoint", &number("endpoint_id", &fields.endpoint_id)))
            (field("webhook_id", "Registration", &number("webhook_id", &fields.webhook_id)))
            (field("order_id", "Order", &number("order_id", &fields.order_id)))
            (field("since", "Since (UTC)", &time("since", &fields.since)))
            (field("until", "Until (UTC)", &time("until", &fields.until)))
            label {
                input type="checkbox" name="history" value="all" checked[fields.history.is_some()];
                " every state, not only each order's newest"
            }
            button type="submit" { "Count" }
        }
        p.quiet.small {
            "New ids are for a partner that acknowledged and then lost: it takes them for new. What was missed is what a registration would have got, had it been there. Every state or only the newest: that is a choice for these two."
        }
    }
}

async fn counted(
    State(shared): State<Arc<Shared>>,
    visit: Visit,
    Query(fields): Query<Fields>,
) -> Result<Response> {
    let (request, _) = checked(fields.wish()?, &shared)?.request();
    let deliveries = replays::count(&shared, request.clone()).await?;
    let what = if deliveries == 1 { "delivery" } else { "deliveries" };
    let content = html! {
        @if deliveries == 0 {
            (note(Tone::Info, &html! { "There is nothing to send: no delivery is like that." }))
        } @else {
            (note(Tone::Warn, &html! { "It would be " b { (count(deliveries)) } " " (what) ": " (story(&request)) ". Each order's go in their order." }))
            (visit.form("/console/replays/begin", "actions", &html! {
                @for (name, value) in fields.pairs() {
                    @if let Some(value) = words::said(value.as_ref()) { input type="hidden" name=(name) value=(value); }
                }
                button.primary type="submit" { "Send them" }
                a.button href=(LIST) { "Leave it" }
            }))
        }
        details #other open[deliveries == 0] {
            summary { "Count something else…" }
            (form(&fields))
        }
    };
    Ok(visit.page("Send many again", content))
}

async fn begin(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    Form(fields): Form<Fields>,
) -> Result<Response> {
    let (request, _) = checked(fields.wish()?, &shared)?.request();
    let replay = replays::started(&shared, &*store, request).await?;
    Ok(see_other(&format!("{LIST}/{}", replay.replay_id)))
}

async fn show(State(shared): State<Arc<Shared>>, visit: Visit, PathId(id): PathId) -> Result<Response> {
    let replay = one(&shared, id).await?;
    let standing = standing(&replay, &visit);
    let is_over = replay.state.has_ended() && replay.pending() == 0;
    let content = if is_over { standing } else { live(&format!("{LIST}/{id}/live"), &standing) };
    Ok(visit.page(&format!("Replay {id}"), content))
}

async fn fresh(
    State(shared): State<Arc<Shared>>,
    visit: Visit,
    PathId(id): PathId,
    live: std::result::Result<Live, ApiError>,
) -> Result<LiveEvents> {
    one(&shared, id).await?;
    Ok(follow(live?, shared, visit, move |shared, visit| async move {
        Ok(standing(&one(&shared, id).await?, &visit))
    }))
}

async fn one(shared: &Shared, id: i64) -> Result<Replay> {
    shared.store.replay(ReplayId(id)).await.map_err(store_error)?.ok_or_else(replays::no_such_replay)
}

fn standing(replay: &Replay, visit: &Visit) -> Markup {
    let ended = replay.delivered + replay.dead + replay.cancelled;
    let mut about = vec![
        ("State", state(replay.state)),
        ("What", story(&replay.request)),
        (
            "Looked through",
            html! {
                progress max="1" value=(replay.progress()) aria-label="Looked through" {} " " (percent(replay))
            },
        ),
        (
            "Ended",
            html! {
                progress max=(replay.queued.max(1)) value=(ended) aria-label="Ended" {} " "
                (count(ended)) " of " (count(replay.queued)) " put in line"
            },
        ),
        ("In line", html! { (count(replay.pending())) }),
        ("Delivered", html! { (count(replay.delivered)) }),
        ("Dead", html! { (count(replay.dead)) }),
        ("Taken back", html! { (count(replay.cancelled)) }),
        ("Begun", html! { (exact(replay.created_at)) " · " (age(visit.now, replay.created_at)) }),
    ];
    if let Some(at) = replay.finished_at {
        about.push(("Over", html! { (exact(at)) " · " (age(visit.now, at)) }));
    }
    html! {
        div.panel { (facts(about)) }
        (actions(replay, visit))
    }
}

fn actions(replay: &Replay, visit: &Visit) -> Markup {
    let path = |what: &str| format!("{LIST}/{}/{what}", replay.replay_id);
    let may = |what: &str| visit.may(&Method::POST, &format!("/replays/{{id}}/{what}"));
    html! {
        div.actions {
            @if replay.state == ReplayState::Running && may("pause") {
                (visit.form(&path("pause"), "", &html! { button type="submit" { "Pause" } }))
            }
            @if replay.state == ReplayState::Paused && may("resume") {
                (visit.form(&path("resume"), "", &html! { button.primary type="submit" { "Go on" } }))
            }
            @if !replay.state.has_ended() && may("cancel") {
                details #cancel {
                    summary { "Take back…" }
                    p { "What was not sent yet is not sent. What is under way may still arrive." }
                    (visit.form(&path("cancel"), "", &html! { button.danger type="submit" { "Take it back" } }))
                }
            }
            a.button href=(LIST) { "All replays" }
        }
    }
}

fn state(state: ReplayState) -> Markup {
    let tone = match state {
        ReplayState::Running => Tone::Info,
        ReplayState::Paused => Tone::Warn,
        ReplayState::Cancelled => Tone::Quiet,
        ReplayState::Done => Tone::Good,
    };
    badge(tone, state.as_str())
}

/// Rounded down, so that it is not 100 % before it is.
fn percent(replay: &Replay) -> String {
    share(replay.looked_to.max(0) as u64, replay.looks_to.max(0) as u64)
}

/// What is sent, in words.
fn story(request: &ReplayRequest) -> Markup {
    let filter = &request.filter;
    html! {
        @match request.kind {
            ReplayKind::SameIds => { "what was sent, with the same ids" }
            ReplayKind::NewIds => { "what was sent, with new ids" }
            ReplayKind::Missed => { "what was missed" }
        }
        @if request.kind != ReplayKind::SameIds {
            @if request.history { ", every state" } @else { ", each order's newest state" }
        }
        @if let Some(id) = filter.webhook_id { ", registration " (id) }
        @if let Some(id) = filter.endpoint_id { ", endpoint " a href={ "/console/endpoints/" (id) } { (id) } }
        @if let Some(id) = filter.order_id { ", order " (words::order_link(id)) }
        @if let Some(event_type) = filter.event_type { ", " (words::event(event_type)) }
        @if let Some(state) = filter.state { ", " (state.as_str()) }
        @if let Some(at) = filter.since { ", since " (exact(at)) }
        @if let Some(at) = filter.until { ", until " (exact(at)) }
    }
}

async fn pause(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    PathId(id): PathId,
) -> Result<Response> {
    replays::steered(&shared, &*store, id, SteerReplay::Pause).await?;
    Ok(see_other(&format!("{LIST}/{id}")))
}

async fn resume(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    PathId(id): PathId,
) -> Result<Response> {
    replays::steered(&shared, &*store, id, SteerReplay::Resume).await?;
    Ok(see_other(&format!("{LIST}/{id}")))
}

async fn cancel(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    PathId(id): PathId,
) -> Result<Response> {
    replays::steered(&shared, &*store, id, SteerReplay::Cancel).await?;
    Ok(see_other(&format!("{LIST}/{id}")))
}
