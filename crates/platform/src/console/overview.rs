//! The first page: what is in trouble, how things stand, and how they have been.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use hookit_contract::Timestamp;
use hookit_server::page::{
    Axes, Query, Series, Tone, chart, chips, count, duration, figure, live, note, share,
};
use hookit_server::{ApiError, Live, LiveEvents};
use hookit_store::platform::{PastFigures, PastQuery, Span};
use maud::{Markup, html};
use serde::Deserialize;

use super::live::follow;
use super::search::endpoint_table;
use super::{HOME, Pages, Visit, words};
use crate::Shared;
use crate::api::{Result, store_error};
use crate::operator::status::{self, EndpointStatus, Status};

const NOW_LIVE: &str = "/console/overview/live";

/// Endpoints in trouble that are shown; the rest is counted.
const TROUBLE_MAX: usize = 12;

/// A delivery that has waited for so long at an endpoint that is up is worth a look.
const LONG_WAIT: Duration = Duration::from_secs(60);

/// What is left of the queue of the writer when it is worth a look: a fifth.
const QUEUE_LEFT: u64 = 5;

pub(super) fn pages() -> Pages {
    Pages::default().page(HOME, "/status", show).page(NOW_LIVE, "/status", fresh)
}

/// How far back the charts go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum Range {
    #[default]
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "24h")]
    Day,
    #[serde(rename = "7d")]
    Week,
}

impl Range {
    const ALL: [(Range, &'static str); 3] = [(Range::Hour, "1h"), (Range::Day, "24h"), (Range::Week, "7d")];

    fn duration(self) -> Duration {
        match self {
            Range::Hour => Duration::from_secs(3_600),
            Range::Day => Duration::from_secs(86_400),
            Range::Week => Duration::from_secs(7 * 86_400),
        }
    }

    /// An hour has sixty minutes, and a week as many quarters of an hour as a chart can show.
    fn span(self) -> Span {
        match self {
            Range::Hour => Span::Minute,
            Range::Day | Range::Week => Span::Quarter,
        }
    }
}

#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    range: Range,
}

async fn show(
    State(shared): State<Arc<Shared>>,
    visit: Visit,
    Query(Shown { range }): Query<Shown>,
) -> Result<Response> {
    let now = stands(shared.clone(), visit.clone()).await?;
    let past = past(&shared, visit.now, range).await?;
    let ranges = Range::ALL.map(|(one, word)| (word, format!("{HOME}?range={word}"), one == range));
    let content = html! {
        (live(NOW_LIVE, &now))
        h2 { "How it has been" }
        (chips("Time shown", ranges))
        (charts(&past, visit.now, range))
    };
    Ok(visit.page("Overview", content))
}

async fn fresh(
    State(shared): State<Arc<Shared>>,
    visit: Visit,
    live: std::result::Result<Live, ApiError>,
) -> Result<LiveEvents> {
    Ok(follow(live?, shared, visit, stands))
}

async fn past(shared: &Shared, now: Timestamp, range: Range) -> Result<Vec<PastFigures>> {
    let since = before(now, range.duration());
    let query = PastQuery { endpoint_id: None, span: range.span(), since };
    shared.store.past(query).await.map_err(store_error)
}

fn before(now: Timestamp, time: Duration) -> Timestamp {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_sub(millis))
}

/// How things stand: trouble first.
async fn stands(shared: Arc<Shared>, visit: Visit) -> Result<Markup> {
    let status = status::read(&shared).await?;
    let hour = past(&shared, visit.now, Range::Hour).await?;
    Ok(html! {
        (trouble(&status, &visit))
        (figures(&status, &hour))
    })
}

fn trouble(status: &Status, visit: &Visit) -> Markup {
    let mut troubled: Vec<&EndpointStatus> = status
        .endpoints
        .iter()
        .filter(|endpoint| {
            matches!(words::endpoint_state(endpoint).0, Tone::Bad | Tone::Warn) || waits_long(endpoint)
        })
        .collect();
    troubled.sort_by_key(|endpoint| words::trouble_rank(endpoint));
    let queue = &status.queue;
    let is_full = |have: u64, max: u64| have > max - max / QUEUE_LEFT;
    let is_queue_full = is_full(queue.commands, queue.commands_max) || is_full(queue.bytes, queue.bytes_max);
    html! {
        @if is_queue_full {
            (note(Tone::Bad, &html! {
                "Changes wait to be written: " (count(queue.commands)) " of " (count(queue.commands_max))
                ". The disk does not keep up; when the queue is full, surfaces are answered 503."
            }))
        }
        @if troubled.is_empty() && !is_queue_full {
            (note(Tone::Good, &html! {
                @if status.endpoints.is_empty() { "No endpoint is registered yet: nobody hears of orders." }
                @else if status.endpoints.len() == 1 { "The one endpoint takes what it is sent." }
                @else { "All " (count(status.endpoints.len() as u64)) " endpoints take what they are sent." }
            }))
        }
        @if !troubled.is_empty() {
            h2 { "Trouble" }
            (endpoint_table(troubled.iter().take(TROUBLE_MAX).map(|endpoint| (*endpoint, None)), visit))
            @if troubled.len() > TROUBLE_MAX {
                p { a href="/console/endpoints" { "and " (count((troubled.len() - TROUBLE_MAX) as u64)) " more" } }
            }
        }
    }
}

/// Something waits at an endpoint that is thought to be up.
fn waits_long(endpoint: &EndpointStatus) -> bool {
    endpoint.oldest_pending_age_ms.is_some_and(|age| Duration::from_millis(age) > LONG_WAIT)
}

fn figures(status: &Status, hour: &[PastFigures]) -> Markup {
    let minute = hour.last();
    let rate = |of: fn(&PastFigures) -> u64| {
        minute.map_or_else(|| "–".to_owned(), |minute| per_second(of(minute) as f64 / 60.0))
    };
    let (acknowledged, attempts) =
        hour.iter().fold((0, 0), |(a, b), minute| (a + minute.acknowledged, b + minute.attempts));
    let dead: u64 = hour.iter().map(|minute| minute.dead).sum();
    let times = minute.and_then(|minute| minute.times);
    let time = |us: Option<u64>| us.map_or_else(|| "–".to_owned(), |us| duration(Duration::from_micros(us)));
    let down = status.endpoints.iter().filter(|one| words::endpoint_state(one).0 == Tone::Bad).count() as u64;
    let tone = |is_bad, tone| if is_bad { tone } else { Tone::Quiet };
    let plain = |text: String| html! { (text) };
    let oldest = status.oldest_pending_age_ms.map(Duration::from_millis);
    let is_old = oldest.is_some_and(|age| age > LONG_WAIT);
    let last_minute = html! { "a second, in the last minute" };
    html! {
        dl.figures {
            (figure("Events", &plain(rate(|minute| minute.events)), &last_minute, Tone::Quiet))
            (figure("Deliveries", &plain(rate(|minute| minute.delivered)), &last_minute, Tone::Quiet))
            (figure("Success", &plain(share(acknowledged, attempts)), &html! { "of attempts, in the last hour" }, Tone::Quiet))
            (figure("p50", &plain(time(times.map(|t| t.p50_us))), &html! { "commit to acknowledgement" }, Tone::Quiet))
            (figure("p99", &plain(time(times.map(|t| t.p99_us))), &html! { "commit to acknowledgement" }, Tone::Quiet))
            (figure("Backlog", &plain(count(status.pending)), &html! { "deliveries pending" }, Tone::Quiet))
            (figure("Oldest pending", &plain(oldest.map_or_else(|| "–".to_owned(), duration)), &html! { "waits since then" }, tone(is_old, Tone::Warn)))
            (figure("In flight", &plain(count(status.in_flight)), &html! { "attempts" }, Tone::Quiet))
            (figure("Dead letters", &html! { a href="/console/deliveries?state=dead" { (count(status.dead)) } }, &html! { (count(dead)) " in the last hour" }, tone(dead > 0, Tone::Bad)))
            (figure("Endpoints down", &plain(count(down)), &html! { "of " (count(status.endpoints.len() as u64)) }, tone(down > 0, Tone::Bad)))
        }
    }
}

fn per_second(rate: f64) -> String {
    match rate {
        rate if rate >= 100.0 => count(rate.round() as u64),
        rate if rate >= 10.0 || rate == 0.0 => format!("{rate:.0}"),
        rate => format!("{rate:.2}"),
    }
}

fn charts(past: &[PastFigures], now: Timestamp, range: Range) -> Markup {
    let span = range.span().duration();
    let axes = |least, most| Axes {
        from: before(now, range.duration()),
        to: now,
        gap: span + span / 2,
        least,
        most,
    };
    let line = |name, value: &dyn Fn(&PastFigures) -> Option<f64>| {
        // What was done in a stretch is known at its end.
        let point = |one: &PastFigures| Some((one.began_at.plus(span).min(now), value(one)?));
        Series { name, points: past.iter().filter_map(point).collect() }
    };
    let seconds = span.as_secs_f64();
    let rates = [
        line("events", &|one| Some(one.events as f64 / seconds)),
        line("deliveries", &|one| Some(one.delivered as f64 / seconds)),
    ];
    let success = [line("attempts", &|one| {
        (one.attempts > 0).then(|| 100.0 * one.acknowledged as f64 / one.attempts as f64)
    })];
    let times = [
        line("p50", &|one| Some(one.times?.p50_us as f64)),
        line("p99", &|one| Some(one.times?.p99_us as f64)),
    ];
    let failed = [line("attempts", &|one| Some((one.attempts - one.acknowledged) as f64 / seconds))];
    let dead = [line("deliveries", &|one| Some(one.dead as f64))];
    let backlog = [line("pending", &|one| Some(one.pending as f64))];
    let micros = |value: f64| duration(Duration::from_micros(value.max(0.0) as u64));
    html! {
        div.columns {
            (chart("Events and deliveries a second", axes(0.0, 1.0), &rates, &per_second))
            (chart("Attempts that were acknowledged", axes(0.0, 100.0), &success, &|value| format!("{value:.0} %")))
            (chart("From commit to acknowledgement", axes(0.0, 1_000.0), &times, &micros))
            (chart("Attempts that failed, a second", axes(0.0, 1.0), &failed, &per_second))
            (chart("Dead letters", axes(0.0, 5.0), &dead, &|value| count(value.max(0.0) as u64)))
            (chart("Backlog", axes(0.0, 10.0), &backlog, &|value| count(value.max(0.0) as u64)))
        }
    }
}
