//! The page: both sides next to each other, whether they agree, the switches, charts, and what happened.
//!
//! It has no door, so it is for this machine alone: it listens there, answers to this machine's names only (a page of the internet
//! whose name leads here says another), and takes a press on a switch only from itself.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use hookit_contract::{Clock as _, ErrorCode, KnownStatus, Timestamp};
use hookit_platform::{BreakerStatus, EndpointStatus};
use hookit_server::page::{
    self, Axes, Form, Frame, Series, Site, Tone, age, badge, chart, check_form, count, duration, empty,
    figure, live, note, see_other, share,
};
use hookit_server::{ApiError, Live, LiveEvents, RequestId, SystemClock, is_named_locally, not_found};
use http::{Method, StatusCode};
use maud::{Markup, html};
use serde::Deserialize;

use super::board::Board;
use super::switch::Switch;
use super::{KILLED_FOR, Stage};
use crate::diff::Statuses;

type Result<T> = std::result::Result<T, ApiError>;

const HOME: &str = "/";
const LIVE: &str = "/live";
const SWITCHES: &str = "/switches/live";
const SWITCH: &str = "/switch";
const MEND: &str = "/mend";

const SITE: Site = Site { name: "demo", home: HOME, search: None, sign_out: HOME };

/// What the charts show.
const CHARTED: Duration = Duration::from_secs(300);
/// Samples further apart than this are not joined: the platform did not answer in between.
const GAP: Duration = Duration::from_secs(4);
/// Entries of the log on the page.
const LOG_SHOWN: usize = 14;

pub(super) fn router(stage: Arc<Stage>) -> Router {
    Router::new()
        .route(HOME, get(show))
        .route(LIVE, get(fresh))
        .route(SWITCHES, get(fresh_switches))
        .route(SWITCH, post(press))
        .route(MEND, post(mend))
        .route("/{*rest}", any(not_found))
        .method_not_allowed_fallback(hookit_server::method_not_allowed)
        .layer(middleware::from_fn(guard))
        .layer(middleware::from_fn(page::protected))
        .with_state(stage)
        .merge(page::assets())
}

/// The layer around all pages: only for this machine, and forms only from our own page.
async fn guard(request: Request, next: Next) -> Response {
    let request_id = request.extensions().get::<RequestId>().cloned();
    let mut response = match checked(request).await {
        Ok(request) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    match page::refusal(&mut response) {
        Some(error) => {
            let status = response.status();
            let (title, content) = page::refusal_page(&error, status, request_id.as_ref(), HOME);
            framed(status, title, content)
        }
        None => response,
    }
}

async fn checked(request: Request) -> Result<Request> {
    if !is_named_locally(request.headers()) {
        let message = "this page is for this machine alone, by the names 127.0.0.1, [::1] and localhost";
        return Err(ApiError::new(ErrorCode::AuthForbidden, message));
    }
    match *request.method() {
        Method::GET | Method::HEAD => Ok(request),
        _ => check_form::<()>(request, None).await,
    }
}

fn framed(status: StatusCode, title: &str, content: Markup) -> Response {
    Frame { site: &SITE, title, path: HOME, sections: &[], signed_in: None, searched: "" }
        .page(status, content)
}

async fn show(State(stage): State<Arc<Stage>>) -> Response {
    let content = html! {
        div.demo {
            (live(LIVE, &sides(&stage)))
            (live(SWITCHES, &switches(&stage.board())))
        }
    };
    framed(StatusCode::OK, "Both sides", content)
}

async fn fresh(
    State(stage): State<Arc<Stage>>,
    live: std::result::Result<Live, ApiError>,
) -> Result<LiveEvents> {
    Ok(page::follow(live?, stage, async |stage| Some(sides(&stage))))
}

/// The switches stand by themselves: they change seldom, and what is being pressed is not to be drawn anew each second.
async fn fresh_switches(
    State(stage): State<Arc<Stage>>,
    live: std::result::Result<Live, ApiError>,
) -> Result<LiveEvents> {
    Ok(page::follow(live?, stage, async |stage| Some(switches(&stage.board()))))
}

#[derive(Deserialize)]
struct Press {
    switch: Switch,
    to: To,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum To {
    On,
    Off,
}

async fn press(State(stage): State<Arc<Stage>>, Form(Press { switch, to }): Form<Press>) -> Result<Response> {
    stage.turn(switch, to == To::On).await.map_err(failed)?;
    Ok(see_other(HOME))
}

async fn mend(State(stage): State<Arc<Stage>>) -> Result<Response> {
    stage.mend().await.map_err(failed)?;
    Ok(see_other(HOME))
}

fn failed(error: anyhow::Error) -> ApiError {
    ApiError::new(ErrorCode::Unavailable, format!("{error:#}"))
}

/// What is drawn anew.
fn sides(stage: &Stage) -> Markup {
    let now = SystemClock.now();
    let unanswered = stage.traffic.figures().unanswered;
    let board = stage.board();
    let platform_console = format!("http://{}/console", stage.platform_address);
    let inbox_console = format!("http://{}/console", stage.inbox_address);
    let statuses = board.compared.as_ref().map(|compared| &compared.found);
    html! {
        section.verdict { (verdict(&board, now)) }
        section.platform.panel {
            h2 { "Platform" a.quiet href=(platform_console) { "Its console" } }
            (platform_figures(&board, now))
            @if let Some(found) = statuses { (by_status("Orders on the platform by status", &found.platform_statuses, None)) }
            @if unanswered > 0 { p.small { "Changes that wait at the ordering surfaces for its answer: " b { (count(unanswered)) } } }
            p.quiet.small { "Sign in with " (stage.sign_in) "." }
        }
        section.inbox.panel {
            h2 { "Inbox" a.quiet href=(inbox_console) { "Its console" } }
            (inbox_figures(&board, now))
            @if let Some(found) = statuses {
                (by_status("Orders in the inbox by status", &found.inbox_statuses, Some(&found.platform_statuses)))
            }
            p.quiet.small { "Its console is open on this machine." }
        }
        (charts(&board, now))
        section.happened.panel {
            h2 { "What happened" }
            (happened(&board, now))
        }
    }
}

/// Whether both views are equal.
fn verdict(board: &Board, now: Timestamp) -> Markup {
    let unknown = |why: &str| note(Tone::Warn, &html! { b { "The views cannot be compared: " (why) "." } });
    if !board.platform_answers {
        return unknown("the platform does not answer");
    }
    if !board.inbox_answers {
        return unknown("the inbox does not answer");
    }
    let Some(compared) = &board.compared else { return unknown("nothing was compared yet") };
    let found = &compared.found;
    let unequal = compared.unequal();
    let when = html! {
        span.small {
            "Compared " (age(now, compared.at)) ", every record byte by byte, as " code { "hookit diff" }
            " does. What differs was asked for again for 0.2 s."
        }
    };
    if unequal == 0 {
        return note(
            Tone::Good,
            &html! { p { b { "The views are equal: all " (count(found.equal)) " orders." } } p { (when) } },
        );
    }
    let parts = [
        ("missing in the inbox", found.missing),
        ("older or other there", found.different),
        ("unknown to the platform", found.extra),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{} {what}", count(*n))).collect();
    note(
        Tone::Bad,
        &html! {
            p { b { "The views differ in " (count(unequal)) " of " (count(found.equal + unequal)) " orders: " (parts.join(", ")) "." } }
            p { (when) }
        },
    )
}

fn rate(rate: Option<f64>) -> Markup {
    html! { @match rate { Some(rate) => (format!("{rate:.1}")), None => "–" } }
}

fn platform_figures(board: &Board, now: Timestamp) -> Markup {
    let Some(status) = &board.platform else { return empty("It has not answered yet.") };
    let killed = board.is_on(Switch::Kill);
    let oldest = status.oldest_pending_age_ms.map(Duration::from_millis);
    let (tone, state, said) = match (board.endpoint(), board.platform_answers) {
        (_, false) => match killed {
            Some(at) => {
                let left = KILLED_FOR.saturating_sub(now.since(at)).as_secs();
                (Tone::Bad, "killed", format!("it is started again in {left} s"))
            }
            None => (Tone::Bad, "no answer", "the figures are the last that it said".to_owned()),
        },
        (Some(endpoint), true) => breaker(endpoint, now),
        (None, true) => (Tone::Quiet, "–", "there is no endpoint".to_owned()),
    };
    let backlog = match oldest {
        Some(oldest) if oldest >= Duration::from_secs(2) => Tone::Warn,
        _ => Tone::Quiet,
    };
    html! {
        dl.figures {
            (figure("Orders", &html! { (count(status.orders)) }, &html! { (count(status.events)) " changes" }, Tone::Quiet))
            (figure("Backlog", &html! { (count(status.pending)) }, &html! {
                @if status.dead > 0 { (count(status.dead)) " dead" } @else { "deliveries that wait" }
            }, if status.dead > 0 { Tone::Bad } else { backlog }))
            (figure("Breaker", &html! { (state) }, &html! { (said) }, tone))
            (figure("Oldest waits", &html! { @match oldest { Some(oldest) => (duration(oldest)), None => "–" } },
                &html! { "of what is pending" }, backlog))
            (figure("Delivered a second", &rate(board.delivered_a_second(now)), &html! { "over 5 s" }, Tone::Quiet))
            @let (good, attempts) = board.success(now).unwrap_or_default();
            (figure("Success", &html! { (share(good, attempts)) }, &html! { "of " (count(attempts)) " attempts in a minute" },
                if good < attempts { Tone::Warn } else { Tone::Quiet }))
        }
    }
}

/// The breaker in words.
fn breaker(endpoint: &EndpointStatus, now: Timestamp) -> (Tone, &'static str, String) {
    let time = match now.since(endpoint.breaker_since) {
        short if short < Duration::from_secs(60) => format!("{} s", short.as_secs()),
        long => duration(long),
    };
    match endpoint.breaker {
        BreakerStatus::Closed => (Tone::Good, "closed", "the inbox is up".to_owned()),
        BreakerStatus::Open => {
            let next = endpoint.next_probe_at.map(|at| at.since(now).as_secs());
            let next = next.map_or_else(String::new, |left| format!(", probe in {left} s"));
            (Tone::Bad, "open", format!("down for {time}{next}"))
        }
        BreakerStatus::Probing => (Tone::Bad, "open", format!("down for {time}, probe on its way")),
        BreakerStatus::Recovering => (Tone::Info, "recovering", "ever more at a time".to_owned()),
    }
}

fn inbox_figures(board: &Board, now: Timestamp) -> Markup {
    let Some(status) = &board.inbox else { return empty("It has not answered yet.") };
    let received = board.received();
    let last = status.last_delivery_at.map_or_else(|| html! { "–" }, |at| age(now, at));
    html! {
        dl.figures {
            (figure("Orders", &html! { (count(status.orders)) }, &html! { "in the view" }, Tone::Quiet))
            (figure("Received", &html! { (count(received.received)) }, &html! { "since the start" }, Tone::Quiet))
            (figure("Received a second", &rate(board.received_a_second(now)), &html! { "over 5 s" }, Tone::Quiet))
            (figure("Repeats", &html! { (count(received.duplicates)) }, &html! { "changed nothing" },
                if received.duplicates > 0 { Tone::Info } else { Tone::Quiet }))
            (figure("Refused", &html! { (count(received.refused)) }, &html! { "since the start" },
                if received.refused > 0 { Tone::Warn } else { Tone::Quiet }))
            (figure("Last delivery", &last, &html! { @if board.inbox_answers { "taken in" } @else { "it does not answer" } },
                if board.inbox_answers { Tone::Quiet } else { Tone::Bad }))
        }
    }
}

/// Orders by status as bars, in the order in which an order lives; what differs from `other` is marked.
fn by_status(label: &str, statuses: &Statuses, other: Option<&Statuses>) -> Markup {
    let mut all = KnownStatus::ALL;
    all.sort_by_key(|status| status.rank());
    let most = other.unwrap_or(statuses).iter().chain(statuses).copied().max().unwrap_or(0).max(1);
    html! {
        table.statuses aria-label=(label) {
            tbody {
                @for status in all {
                    @let orders = statuses[status as usize];
                    @let differs = other.is_some_and(|other| other[status as usize] != orders);
                    tr {
                        th scope="row" { (status.name().to_lowercase().replace('_', " ")) }
                        td.bar {
                            svg viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
                                rect width=(orders * 1000 / most) height="10" fill=(if differs { "#010202" } else { "#010201" }) {}
                            }
                        }
                        td.number.differs[differs] { (count(orders)) }
                    }
                }
            }
        }
    }
}

fn charts(board: &Board, now: Timestamp) -> Markup {
    let from = Timestamp::from_millis(now.as_millis().saturating_sub(CHARTED.as_millis() as i64));
    let axes = Axes { from, to: now, gap: GAP, least: 0.0, most: 10.0 };
    let shown = || board.samples.iter().filter(|sample| sample.at >= from);
    let backlog = shown().map(|sample| (sample.at, sample.pending as f64)).collect();
    let pairs = || shown().zip(shown().skip(1)).filter(|(a, b)| b.at.since(a.at) <= GAP);
    let per_second = |of: fn(&super::board::Sample) -> u64| {
        let rate = |(a, b): (&super::board::Sample, &super::board::Sample)| {
            (b.at, of(b).saturating_sub(of(a)) as f64 / b.at.since(a.at).as_secs_f64().max(0.001))
        };
        pairs().map(rate).collect()
    };
    let whole = |value: f64| count(value.max(0.0).round() as u64);
    html! {
        (chart("Backlog", axes, &[Series { name: "deliveries that wait", points: backlog }], &whole))
        (chart("A second", axes, &[
            Series { name: "delivered by the platform", points: per_second(|sample| sample.delivered) },
            Series { name: "received by the inbox", points: per_second(|sample| sample.received) },
        ], &whole))
    }
}

fn happened(board: &Board, now: Timestamp) -> Markup {
    if board.log.is_empty() {
        return empty("Nothing yet. Press a switch.");
    }
    html! {
        ol.log {
            @for entry in board.log.iter().rev().take(LOG_SHOWN) {
                li class=(entry.tone.class()) { (entry.what) " " span.quiet { (age(now, entry.at)) } }
            }
        }
    }
}

fn switches(board: &Board) -> Markup {
    html! {
        section #switches .switches.panel {
            h2 {
                "Break it"
                form action=(MEND) method="post" data-quiet { button #mend type="submit" { "Mend everything" } }
            }
            @for switch in Switch::ALL { (one(switch, board.is_on(switch).is_some())) }
        }
    }
}

fn one(switch: Switch, is_on: bool) -> Markup {
    let (on, off) = switch.verbs();
    let key = switch.key();
    html! {
        form.switch.on[is_on] action=(SWITCH) method="post" data-quiet {
            input type="hidden" name="switch" value=(key);
            input type="hidden" name="to" value=(if is_on { "off" } else { "on" });
            div.what {
                b { (switch.name()) }
                @if is_on { " " (badge(Tone::Warn, if switch.ends_by_itself() { "for a while" } else { "on" })) }
                p.quiet.small { (switch.hint()) }
            }
            button id={ "switch-" (key) } .danger[!is_on] .primary[is_on] type="submit" aria-label={ (if is_on { off } else { on }) ": " (switch.name()) } {
                (if is_on { off } else { on })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_names_each_switch_as_it_is_read() {
        for switch in Switch::ALL {
            let read: Switch = serde_json::from_value(switch.key().into()).unwrap();
            assert_eq!(read, switch);
        }
    }
}
