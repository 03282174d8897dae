//! `GET /metrics`: the status in the text form of OpenMetrics, which Prometheus scrapes.
//!
//! Nothing is counted here and nothing is asked that the status does not say. `docs/metrics.md` lists every family, and
//! a test holds the two together.
//!
//! How many series there are is bounded. An endpoint has its own only while it has something to say: it is down, held,
//! or something waits for it; and only so many endpoints have. Labels never hold a URL, in which a partner may have put
//! a secret, but the endpoint's id and its host.

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use hookit_server::ApiError;
use hookit_server::exposition::{
    BYTES, CONTENT_TYPE, Labels, MEDIA_TYPE, Page, SECONDS, exposition, label, one, seconds,
};
use hookit_server::routes::{Routes, get};
use hookit_store::platform::HoldReason;
use http::header;

use crate::Shared;
use crate::api::Result;
use crate::credentials::{METRICS_TOKEN, REFUSALS, metrics_readers_only};
use crate::operator::status::{self, BreakerStatus, DurationStatus, EndpointStatus, SizeStatus, Status};

/// Endpoints that have series of their own at most. Those that are down or held come first, then those with the largest
/// backlogs.
const ENDPOINTS_MAX: usize = 500;

pub(crate) fn routes(shared: Arc<Shared>) -> Routes {
    Routes::new("Status")
        .route(
            "/metrics",
            get(show)
                .named("getMetrics", "The status for Prometheus, in the text form of OpenMetrics.")
                .answers::<String>(MEDIA_TYPE),
        )
        .guarded(METRICS_TOKEN, &REFUSALS)
        .map(|router| {
            router.route_layer(middleware::from_fn_with_state(shared.clone(), metrics_readers_only))
        })
        .with_state(shared)
}

async fn show(State(shared): State<Arc<Shared>>) -> Result<Response> {
    let status = status::read(&shared).await?;
    let text = exposition("hookit", move |page| families(page, &status));
    let text = text.map_err(|error| ApiError::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

/// All families.
fn families(page: &mut Page<'_>, status: &Status) -> fmt::Result {
    let Status {
        orders,
        events,
        pending,
        delivered,
        dead,
        cancelled,
        superseded,
        attempts,
        in_flight,
        oldest_pending_age_ms,
        latency,
        since_start,
        ticks,
        queue,
        endpoints,
        // Which have series is decided here.
        endpoints_left_out: _,
    } = status;

    page.gauge("stored_orders", "Orders", None, one(*orders))?;
    page.gauge("stored_events", "Events that were not removed for their age", None, one(*events))?;
    page.gauge("stored_attempts", "Attempts in the log", None, one(*attempts))?;
    let states = [
        ("pending", pending),
        ("delivered", delivered),
        ("dead", dead),
        ("cancelled", cancelled),
        ("superseded", superseded),
    ];
    let states = states.map(|(state, count)| (label("state", state), *count));
    page.gauge("deliveries", "Deliveries that are there, by state", None, states)?;

    let started_at = since_start.started_at.as_millis() as f64 / 1e3;
    page.gauge("start_time", "When the process was started, in Unix time", SECONDS, one(started_at))?;
    page.counter("changes", "Changes of orders that were committed", one(since_start.events))?;
    page.counter("deliveries_formed", "Deliveries formed of changes", one(since_start.formed))?;
    page.counter("deliveries_replayed", "Deliveries put in line by replays", one(since_start.replayed))?;
    let ended = since_start.ended.iter().map(|(state, count)| (label("state", state), *count));
    page.counter("deliveries_ended", "Deliveries that ended, by how", ended)?;
    let attempts = since_start.attempts.iter().map(|(how, count)| (label("outcome", how), *count));
    page.counter("attempts", "Attempts that ended, by outcome", attempts)?;

    let help = "From the commit of a delivery to its acknowledgement, replays apart";
    durations(page, "delivery_latency", help, latency)?;
    sizes(page, "tick_writes", "Changes, ends of attempts and the like in a commit", &ticks.writes)?;
    durations(page, "tick_duration", "How long a commit took until it was on disk", &ticks.duration)?;
    page.gauge("queue_commands", "Commands that wait for a commit", None, one(queue.commands))?;
    page.gauge("queue_max_commands", "Commands that may wait", None, one(queue.commands_max))?;
    page.gauge("queue", "About how much waits for a commit", BYTES, one(queue.bytes))?;
    page.gauge("queue_max", "About how much may wait", BYTES, one(queue.bytes_max))?;

    page.gauge("in_flight_attempts", "Attempts under way", None, one(*in_flight))?;
    let help = "How long the delivery that has waited longest has been waiting";
    page.gauge("oldest_pending_age", help, SECONDS, one(oldest_pending_age_ms.map_or(0.0, seconds)))?;
    endpoints_families(page, endpoints)
}

/// Has this endpoint something to say?
fn is_talking(endpoint: &EndpointStatus) -> bool {
    endpoint.is_in_trouble() || endpoint.pending > 0 || endpoint.in_flight > 0
}

/// The endpoints that get series of their own, and how many are left out.
fn chosen(endpoints: &[EndpointStatus]) -> (Vec<&EndpointStatus>, u64) {
    let mut chosen: Vec<&EndpointStatus> = endpoints.iter().filter(|endpoint| is_talking(endpoint)).collect();
    let left_out = status::keep_first(&mut chosen, ENDPOINTS_MAX);
    (chosen, left_out)
}

fn durations(page: &mut Page<'_>, name: &str, help: &str, durations: &DurationStatus) -> fmt::Result {
    let in_seconds = |micros: u64| micros as f64 / 1e6;
    let buckets = durations.buckets.iter().map(|bucket| (in_seconds(bucket.up_to_us), bucket.count));
    page.histogram(name, help, SECONDS, in_seconds(durations.sum_us), durations.count, buckets)
}

fn sizes(page: &mut Page<'_>, name: &str, help: &str, sizes: &SizeStatus) -> fmt::Result {
    let buckets = sizes.buckets.iter().map(|bucket| (bucket.up_to as f64, bucket.count));
    page.histogram(name, help, None, sizes.sum as f64, sizes.count, buckets)
}

fn endpoints_families(page: &mut Page<'_>, endpoints: &[EndpointStatus]) -> fmt::Result {
    let how_many =
        |what: &dyn Fn(&EndpointStatus) -> bool| endpoints.iter().filter(|e| what(e)).count() as u64;
    let breakers =
        BreakerStatus::ALL.map(|state| (label("breaker", state.as_str()), how_many(&|e| e.breaker == state)));
    page.gauge("endpoints", "Endpoints, by the state of their breaker", None, breakers)?;
    let is_held = |e: &EndpointStatus, reason: HoldReason| {
        e.hold.as_ref().is_some_and(|hold| hold.reason == reason.as_str())
    };
    let held =
        HoldReason::ALL.map(|reason| (label("reason", reason.as_str()), how_many(&|e| is_held(e, reason))));
    page.gauge("endpoints_held", "Endpoints to which nothing is sent, by why", None, held)?;
    let (chosen, left_out) = chosen(endpoints);
    let help = "Endpoints with something to say that have no series of their own, because there are too many";
    page.gauge("endpoints_left_out", help, None, one(left_out))?;

    let whose = |endpoint: &EndpointStatus| {
        let host = url::Url::parse(&endpoint.url).ok().and_then(|url| url.host_str().map(str::to_owned));
        vec![("endpoint_id", endpoint.endpoint_id.to_string()), ("host", host.unwrap_or_default())]
    };
    let chosen: Vec<(Labels, &EndpointStatus)> = chosen.into_iter().map(|e| (whose(e), e)).collect();
    let each =
        |value: fn(&EndpointStatus) -> u64| chosen.iter().map(move |(whose, e)| (whose.clone(), value(e)));
    page.gauge("endpoint_pending_deliveries", "The endpoint's backlog", None, each(|e| e.pending))?;
    let ages = chosen.iter().map(|(whose, e)| (whose.clone(), e.oldest_pending_age_ms.map_or(0.0, seconds)));
    let help = "How long the first in the endpoint's line has been waiting";
    page.gauge("endpoint_oldest_pending_age", help, SECONDS, ages)?;
    let help = "Attempts under way to the endpoint";
    page.gauge("endpoint_in_flight_attempts", help, None, each(|e| e.in_flight as u64))?;
    let help = "Attempts to the endpoint that ended since its last acknowledgement";
    page.gauge("endpoint_failures_in_a_row", help, None, each(|e| u64::from(e.failures_in_a_row)))?;
    let with = |whose: &Labels, name, value: &str| {
        let mut labels = whose.clone();
        labels.push((name, value.to_owned()));
        labels
    };
    let breakers = chosen.iter().flat_map(|(whose, e)| {
        BreakerStatus::ALL
            .map(|state| (with(whose, "breaker", state.as_str()), u64::from(e.breaker == state)))
    });
    page.gauge("endpoint_breaker", "1 for the state that the endpoint's breaker is in", None, breakers)?;
    let holds = chosen
        .iter()
        .filter_map(|(whose, e)| e.hold.as_ref().map(|hold| (with(whose, "reason", &hold.reason), 1u64)));
    page.gauge("endpoint_held", "1 for an endpoint to which nothing is sent", None, holds)
}

#[cfg(test)]
mod tests {
    use hookit_contract::{EndpointId, PartnerId, Timestamp};

    use super::*;

    fn endpoint(id: i64, breaker: BreakerStatus, pending: u64) -> EndpointStatus {
        EndpointStatus {
            endpoint_id: EndpointId(id),
            partner_id: PartnerId::from("ptn_0"),
            url: "https://user:hush@pos.example/hook?key=hush".to_owned(),
            hold: None,
            breaker,
            breaker_since: Timestamp::from_millis(0),
            next_probe_at: None,
            failures_in_a_row: 0,
            last_failure: None,
            pending,
            oldest_pending_age_ms: (pending > 0).then_some(1_500),
            waiting: 0,
            more_on_disk: false,
            in_flight: 0,
            in_flight_limit: 1,
        }
    }

    #[test]
    fn so_many_endpoints_have_series_those_in_trouble_first_and_then_the_largest_backlogs() {
        let mut endpoints: Vec<EndpointStatus> =
            (1..=600).map(|id| endpoint(id, BreakerStatus::Closed, 1_000 - id as u64)).collect();
        endpoints.push(endpoint(601, BreakerStatus::Open, 0));
        endpoints.extend((602..700).map(|id| endpoint(id, BreakerStatus::Closed, 0)));
        let (kept, left_out) = chosen(&endpoints);
        let ids: Vec<i64> = kept.iter().map(|endpoint| endpoint.endpoint_id.0).collect();
        assert_eq!(ids, (1..=499).chain([601]).collect::<Vec<_>>());
        assert_eq!(left_out, 101, "those that are quiet are not among them");
        assert_eq!(chosen(&endpoints[500..]).1, 0);
    }

    #[test]
    fn a_label_holds_the_host_and_nothing_else_of_a_url() {
        let only = vec![endpoint(7, BreakerStatus::Probing, 3)];
        let text = exposition("hookit", move |page| endpoints_families(page, &only)).unwrap();
        let whose = r#"{endpoint_id="7",host="pos.example"}"#;
        assert!(text.contains(&format!("hookit_endpoint_pending_deliveries{whose} 3\n")), "{text}");
        assert!(text.contains(&format!("hookit_endpoint_oldest_pending_age_seconds{whose} 1.5\n")), "{text}");
        assert!(!text.contains("hush") && !text.contains("user"), "{text}");
    }
}
