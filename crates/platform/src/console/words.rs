//! States, outcomes and endpoints in words that an operator reads without a glossary, the same on every page.

use hookit_contract::{
    AttemptOutcome, DeliveryId, DeliveryState, EndpointId, EventType, KnownStatus, OrderId, OrderStatus,
    Timestamp,
};
use hookit_server::Fault;
use hookit_server::page::{Tone, badge, duration};
use hookit_store::platform::Attempt;
use maud::{Markup, html};

use crate::api::Result;
use crate::operator::status::{BreakerStatus, EndpointStatus, FailureStatus};

/// What a field of a form says, where it says something.
pub(super) fn said(text: Option<&String>) -> Option<&str> {
    text.map(|text| text.trim()).filter(|text| !text.is_empty())
}

/// The same, read as what it is to be: `expected`, in words.
pub(super) fn parsed<T: std::str::FromStr>(
    field: &str,
    text: Option<&String>,
    expected: &str,
) -> Result<Option<T>> {
    let parsed = said(text).map(str::parse).transpose();
    parsed.map_err(|_| Fault::new(field, format!("expected {expected}")).into())
}

/// A moment as people write it, or as a browser's field gives it: without a zone it is UTC.
pub(super) fn moment(field: &str, text: &str) -> Result<Timestamp> {
    [text.to_owned(), format!("{text}Z"), format!("{}:00Z", text.trim_end_matches('Z'))]
        .iter()
        .find_map(|text| Timestamp::parse(text).ok())
        .ok_or_else(|| Fault::new(field, "expected a time like 2026-03-01T18:30, in UTC").into())
}

/// A list with the filter that a form says, from a place on.
pub(super) fn filtered(path: &str, fields: &[(&str, &Option<String>)], before: Option<i64>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        if let Some(value) = said(value.as_ref()) {
            query.append_pair(name, value);
        }
    }
    if let Some(before) = before {
        query.append_pair("before", &before.to_string());
    }
    format!("{path}?{}", query.finish())
}

/// An order's status.
pub(super) fn order_status(status: OrderStatus) -> Markup {
    let tone = match status {
        OrderStatus::Known(KnownStatus::Placed) => Tone::Info,
        OrderStatus::Known(KnownStatus::Cancelled) => Tone::Bad,
        OrderStatus::Known(KnownStatus::Delivered | KnownStatus::PickedUp) => Tone::Good,
        OrderStatus::Known(_) => Tone::Quiet,
        OrderStatus::Unknown(_) => Tone::Warn,
    };
    badge(tone, &status.to_string())
}

/// Where a delivery stands.
pub(super) fn delivery_state(state: DeliveryState) -> Markup {
    let tone = match state {
        DeliveryState::Pending => Tone::Info,
        DeliveryState::Delivered => Tone::Good,
        DeliveryState::Dead => Tone::Bad,
        DeliveryState::Cancelled | DeliveryState::Superseded => Tone::Quiet,
    };
    badge(tone, state.as_str())
}

/// What happened.
pub(super) fn event(event_type: EventType) -> &'static str {
    match event_type {
        EventType::OrderCreated => "created",
        EventType::OrderStatusUpdated => "status updated",
        EventType::OrderCartUpdated => "cart updated",
    }
}

/// How an attempt ended.
pub(super) fn outcome(outcome: AttemptOutcome, status: Option<u16>) -> String {
    let said = match outcome {
        AttemptOutcome::Acknowledged => "acknowledged",
        AttemptOutcome::Refused => "refused",
        AttemptOutcome::TimedOut => "no answer in time",
        AttemptOutcome::NameNotResolved => "the host's name is not known",
        AttemptOutcome::AddressForbidden => "the host's address is not allowed",
        AttemptOutcome::ConnectFailed => "no connection",
        AttemptOutcome::TlsFailed => "no TLS connection; perhaps what answers there speaks plain HTTP",
        AttemptOutcome::ConnectionLost => "the connection was lost",
        AttemptOutcome::AnswerUnreadable => "the answer cannot be read",
    };
    match status {
        Some(status) => format!("{said} with {status}"),
        None => said.to_owned(),
    }
}

/// An attempt on a line.
pub(super) fn attempt(attempt: &Attempt) -> String {
    format!("{} after {}", outcome(attempt.outcome, attempt.status), duration(attempt.duration))
}

/// How an endpoint stands, in a word.
pub(super) fn endpoint_state(endpoint: &EndpointStatus) -> (Tone, &'static str) {
    match (&endpoint.hold, endpoint.breaker) {
        (Some(hold), _) if hold.reason == "gone" => (Tone::Bad, "gone"),
        (Some(_), _) => (Tone::Warn, "paused"),
        (None, BreakerStatus::Open | BreakerStatus::Probing) => (Tone::Bad, "down"),
        (None, BreakerStatus::Recovering) => (Tone::Info, "recovering"),
        (None, BreakerStatus::Closed) if endpoint.failures_in_a_row > 0 => (Tone::Warn, "failing"),
        (None, BreakerStatus::Closed) => (Tone::Good, "up"),
    }
}

/// Trouble first: what is down or gone, what is paused, what fails, and the longest backlog first among those that are alike.
pub(super) fn trouble_rank(endpoint: &EndpointStatus) -> (u8, std::cmp::Reverse<u64>, EndpointId) {
    let rank = match endpoint_state(endpoint).0 {
        Tone::Bad => 0,
        Tone::Warn => 1,
        Tone::Info => 2,
        Tone::Good | Tone::Quiet => 3,
    };
    (rank, std::cmp::Reverse(endpoint.pending), endpoint.endpoint_id)
}

/// How an attempt failed, in words.
pub(super) fn failure(failure: &FailureStatus) -> String {
    let said = outcome(failure.outcome, failure.status);
    match &failure.error {
        Some(error) => format!("{said} ({error})"),
        None => said,
    }
}

/// How an endpoint stands, in a sentence; and how the last attempt failed, where that is why.
pub(super) fn endpoint_story(endpoint: &EndpointStatus, now: Timestamp) -> String {
    let story = standing(endpoint, now);
    match &endpoint.last_failure {
        Some(last) if endpoint.failures_in_a_row > 0 && endpoint.hold.is_none() => {
            format!("{story} The last attempt: {}.", failure(last))
        }
        _ => story,
    }
}

fn standing(endpoint: &EndpointStatus, now: Timestamp) -> String {
    let ago = |since: Timestamp| duration(now.since(since));
    match (&endpoint.hold, endpoint.breaker) {
        (Some(hold), _) if hold.reason == "gone" => {
            format!(
                "It said {} ago that it is gone (410); nothing is sent to it until somebody resumes it.",
                ago(hold.since)
            )
        }
        (Some(hold), _) => format!("An operator paused it {} ago; nothing is sent to it.", ago(hold.since)),
        (None, BreakerStatus::Open) => {
            let next = match endpoint.next_probe_at.map(|at| at.since(now)) {
                Some(left) if !left.is_zero() => format!("it is tried again in {}", duration(left)),
                _ => "it is tried again now".to_owned(),
            };
            format!("It has been down for {}; {next}.", ago(endpoint.breaker_since))
        }
        (None, BreakerStatus::Probing) => {
            format!(
                "It has been down for {}; an attempt to find out is under way.",
                ago(endpoint.breaker_since)
            )
        }
        (None, BreakerStatus::Recovering) => {
            format!(
                "It has been back for {}; what waited goes out, {} at a time.",
                ago(endpoint.breaker_since),
                endpoint.in_flight_limit
            )
        }
        (None, BreakerStatus::Closed) if endpoint.failures_in_a_row > 0 => {
            format!("It is up; the last {} attempts failed.", endpoint.failures_in_a_row)
        }
        (None, BreakerStatus::Closed) => "It is up.".to_owned(),
    }
}

/// A link to an order.
pub(super) fn order_link(order_id: OrderId) -> Markup {
    html! { a href={ "/console/orders/" (order_id) } { "#" (order_id) } }
}

/// A link to a delivery.
pub(super) fn delivery_link(delivery_id: &DeliveryId) -> Markup {
    html! { a.mono href={ "/console/deliveries/" (delivery_id) } { (delivery_id) } }
}

/// A link to an endpoint, by its URL.
pub(super) fn endpoint_link(endpoint_id: EndpointId, url: &str) -> Markup {
    html! { a href={ "/console/endpoints/" (endpoint_id) } title=(url) { (short_url(url)) } }
}

/// What people tell endpoints apart by: all but the scheme.
fn short_url(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest)
}
