//! The first page: how the inbox stands, trouble first.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use hookit_contract::Timestamp;
use hookit_server::page::{
    Tone, age, badge, count, duration, empty, facts, figure, live, note, since, table, until,
};
use hookit_server::{ApiError, Live, LiveEvents};
use hookit_store::inbox::HealedOrder;
use maud::{Markup, html};

use super::{Result, Visit, follow, quarantine};
use crate::Shared;
use crate::read::failed;
use crate::status::{InboxStatus, ReconcileLine, SinkLine};

pub(super) const FRESH: &str = "/console/live";

/// Orders that were healed last, on this page.
const HEALED_SHOWN: usize = 10;

pub(super) async fn show(State(shared): State<Arc<Shared>>, visit: Visit) -> Result<Response> {
    let content = content(shared, visit.clone()).await?;
    Ok(visit.page("Overview", live(FRESH, &content)))
}

pub(super) async fn fresh(
    State(shared): State<Arc<Shared>>,
    visit: Visit,
    live: std::result::Result<Live, ApiError>,
) -> Result<LiveEvents> {
    Ok(follow(live?, shared, visit, content))
}

async fn content(shared: Arc<Shared>, visit: Visit) -> Result<Markup> {
    let status = shared.status().await.map_err(failed)?;
    let healed = shared.store.healed(HEALED_SHOWN).await.map_err(failed)?;
    let now = visit.now;
    Ok(html! {
        (troubles(&status))
        (figures(&status, now))
        h2 { "Sinks" }
        (sinks(&status.sinks, now))
        div.columns {
            section.panel {
                h2 { "Refused since the start" }
                (refused(&status))
            }
            section.panel {
                h2 { "Asking for what was missed" }
                (reconcile(status.reconcile.as_ref(), &healed, now))
            }
        }
    })
}

/// What somebody has to look at.
fn troubles(status: &InboxStatus) -> Markup {
    let wrong = status.since_start.refused.get("signature_wrong").copied().unwrap_or(0);
    html! {
        @for sink in status.sinks.iter().filter(|sink| sink.state != "up") {
            (note(Tone::Bad, &html! {
                "The sink " b { (sink.name) } " is " (sink.state) "; changes that wait for it: " (count(sink.lag_changes)) "."
                @if let Some(error) = &sink.error { " " (error) }
            }))
        }
        @for sink in status.sinks.iter().filter(|sink| sink.given_up > 0) {
            (note(Tone::Warn, &html! { "Changes given up at the sink " b { (sink.name) } ": " (count(sink.given_up)) "." }))
        }
        @if status.quarantined > 0 {
            (note(Tone::Warn, &html! {
                "Genuine, and not to be read: " (count(status.quarantined)) ". " a href=(quarantine::LIST) { "Look at it" }
            }))
        }
        @if wrong > 0 {
            (note(Tone::Warn, &html! {
                "Requests with a signature of none of the secrets: " (count(wrong))
                "; strangers, or a secret that was replaced."
            }))
        }
        @if let Some(problem) = status.reconcile.as_ref().and_then(|reconcile| reconcile.problem.as_ref()) {
            (note(Tone::Warn, &html! { "klikit could not be asked for what was missed: " (problem) }))
        }
    }
}

fn figures(status: &InboxStatus, now: Timestamp) -> Markup {
    let since_start = &status.since_start;
    let last = status.last_delivery_at.map_or_else(|| html! { "–" }, |at| age(now, at));
    let refused: u64 = since_start.refused.values().sum();
    html! {
        dl.figures {
            (figure("Orders", &html! { (count(status.orders)) }, &html! { "in the view" }, Tone::Quiet))
            (figure("Last delivery", &last, &html! { "since the start" }, Tone::Quiet))
            (figure("Deliveries a second", &html! { (format!("{:.1}", status.per_second_1m)) },
                &html! { (format!("{:.1}", status.per_second_5m)) " over 5 minutes" }, Tone::Quiet))
            (figure("Received", &html! { (count(since_start.received)) }, &html! { "since the start" }, Tone::Quiet))
            (figure("Repeats", &html! { (count(since_start.duplicates)) }, &html! { "changed nothing" }, Tone::Quiet))
            (figure("Older states", &html! { (count(since_start.stale)) }, &html! { "changed nothing" }, Tone::Quiet))
            (figure("Refused", &html! { (count(refused)) }, &html! { "since the start" }, if refused > 0 { Tone::Warn } else { Tone::Quiet }))
            (figure("Quarantine", &html! { (count(status.quarantined)) }, &html! { "not to be read" },
                if status.quarantined > 0 { Tone::Warn } else { Tone::Good }))
        }
    }
}

fn sinks(sinks: &[SinkLine], now: Timestamp) -> Markup {
    if sinks.is_empty() {
        return empty("There is no sink: changes are handed on to nobody.");
    }
    let tone = |state: &str| match state {
        "up" => Tone::Good,
        "down" => Tone::Bad,
        _ => Tone::Info,
    };
    let columns = [
        ("Sink", ""),
        ("Kind", ""),
        ("State", ""),
        ("Waiting", "number"),
        ("Lag", "number"),
        ("Handed on", "number"),
        ("Given up", "number"),
        ("Last error", ""),
    ];
    let rows = html! {
        @for sink in sinks {
            tr {
                td { (sink.name) }
                td { (sink.kind) }
                td { (badge(tone(&sink.state), &sink.state)) " " span.quiet { (since(now, sink.since)) } }
                td.number data-name="Waiting" { (count(sink.lag_changes)) }
                td.number data-name="Lag" { (duration(Duration::from_millis(sink.lag_ms))) }
                td.number data-name="Handed on" { (count(sink.handed_on)) }
                td.number data-name="Given up" { (count(sink.given_up)) }
                td {
                    @if let (Some(error), Some(at)) = (&sink.error, sink.failed_at) { (error) " " span.quiet { (age(now, at)) } }
                    @else { span.quiet { "none" } }
                }
            }
        }
    };
    table("Sinks", &columns, &rows)
}

fn refused(status: &InboxStatus) -> Markup {
    let some: Vec<(&str, Markup)> = status
        .since_start
        .refused
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(reason, number)| (reason.as_str(), html! { (count(*number)) }))
        .collect();
    let signed = status.since_start.by_secret.iter();
    html! {
        @if some.is_empty() { (empty("Nothing was refused.")) } @else { (facts(some)) }
        h3 { "Signed with" }
        (facts(signed.map(|(name, number)| (name.as_str(), html! { (count(*number)) " deliveries" }))))
    }
}

fn reconcile(reconcile: Option<&ReconcileLine>, healed: &[HealedOrder], now: Timestamp) -> Markup {
    let Some(line) = reconcile else {
        return empty("There is no credential for the Partner API, so nothing is asked for.");
    };
    let never = || html! { "never" };
    let all = [
        ("Last one", line.done_at.map_or_else(never, |at| age(now, at))),
        (
            "Next one",
            if line.running {
                html! { "now" }
            } else {
                line.next_at.map_or_else(never, |at| until(now, at))
            },
        ),
        ("By", html! { (line.way.as_deref().unwrap_or("–")) }),
        (
            "Healed by the last",
            html! {
                (count(line.not_seen)) " were not seen, " (count(line.was_refused)) " were refused, " (count(line.older_held)) " were older, " (count(line.quarantined)) " lay in quarantine"
            },
        ),
        ("Healed since the start", html! { (count(line.healed)) }),
        ("Failed in a row", html! { (line.failed_runs) }),
    ];
    html! {
        (facts(all))
        @if !healed.is_empty() {
            h3 { "Healed last" }
            (facts(healed.iter().map(|one| {
                (one.reason.as_str(), html! {
                    a href={ "/console/orders/" (one.order_id) } { "order " (one.order_id) }
                    @if let Some(version) = one.version { " to version " (version) }
                    " " span.quiet { (age(now, one.healed_at)) }
                })
            })))
        }
    }
}
