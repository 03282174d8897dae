//! The orders from the partner's side: found by filters that live in the URL, and one with how it came about.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use hookit_contract::{KnownStatus, OrderId, OrderStatus, Record};
use hookit_server::PathId;
use hookit_server::page::{Query, Tone, age, badge, empty, exact, field, select, table};
use hookit_store::inbox::{FoundOrders, HistoryQuery, ViewedOrder};
use maud::{Markup, html};
use serde::Deserialize;

use super::{Result, Visit};
use crate::Shared;
use crate::read::{OrderParams, failed, no_order};

pub(super) const LIST: &str = "/console/orders";

/// Orders on a page.
const SHOWN: usize = 50;

/// States of an order on its page, the newest.
const STATES_SHOWN: usize = 300;

#[derive(Deserialize)]
pub(super) struct Asked {
    /// What the search in the head sends.
    q: Option<String>,
    status: Option<String>,
    branch_id: Option<String>,
    after: Option<i64>,
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    visit: Visit,
    Query(asked): Query<Asked>,
) -> Result<Response> {
    let given =
        |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let (q, status, branch) = (given(asked.q), given(asked.status), given(asked.branch_id));
    let branch_id = branch.as_deref().map(|id| id.parse().unwrap_or(0));
    let params = OrderParams { text: q.clone(), status: status.clone(), branch_id, ..OrderParams::default() };
    let (filter, _) = params.read(&shared.config.codes)?;
    let FoundOrders { orders, next_after } =
        shared.store.orders(&filter, asked.after.map(OrderId), SHOWN).await.map_err(failed)?;
    let next = next_after.map(|next| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("q", &q), ("status", &status), ("branch_id", &branch)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        format!("{LIST}?{}", query.append_pair("after", &next.to_string()).finish())
    });
    let names = KnownStatus::ALL.map(KnownStatus::name);
    let options = [("", "any")].into_iter().chain(names.iter().map(|name| (*name, *name)));
    let branch_input = html! {
        input id="branch_id" name="branch_id" inputmode="numeric" value=(branch.as_deref().unwrap_or_default());
    };
    let text_input =
        html! { input id="q" name="q" maxlength="255" value=(q.as_deref().unwrap_or_default()); };
    let content = html! {
        form.fields action=(LIST) method="get" {
            (field("q", "Id", &text_input))
            (field("status", "Status", &select("status", options, status.as_deref().unwrap_or_default())))
            (field("branch_id", "Branch", &branch_input))
            button type="submit" { "Show" }
        }
        @if !orders.is_empty() { (rows(&orders, &visit)) }
        @else if next.is_some() { (empty("None so far; there may be some further on.")) }
        @else { (empty("There is no such order.")) }
        @if let Some(next) = &next { nav.pager aria-label="Pages" { a href=(next) rel="next" { "Next" } } }
    };
    let searched = q.unwrap_or_default();
    Ok(visit.framed(http::StatusCode::OK, "Orders", &searched, content))
}

/// How a status is shown.
fn status_badge(status: Option<OrderStatus>) -> Markup {
    let Some(status) = status else { return html! { span.quiet { "none" } } };
    let tone = match status {
        OrderStatus::Known(KnownStatus::Cancelled) => Tone::Bad,
        OrderStatus::Known(KnownStatus::Delivered | KnownStatus::PickedUp) => Tone::Quiet,
        OrderStatus::Known(KnownStatus::Placed | KnownStatus::Scheduled) => Tone::Warn,
        OrderStatus::Known(_) => Tone::Info,
        OrderStatus::Unknown(_) => Tone::Quiet,
    };
    badge(tone, &status.to_string())
}

fn rows(orders: &[ViewedOrder], visit: &Visit) -> Markup {
    let columns = [
        ("Order", ""),
        ("Short id", ""),
        ("Status", ""),
        ("Version", "number"),
        ("Branch", "number"),
        ("Came", ""),
    ];
    let rows = html! {
        @for order in orders {
            @let record = Record::parse(order.record.clone()).ok();
            tr {
                td { a href={ "/console/orders/" (order.order_id) } { (order.order_id) } }
                td { @if let Some(name) = record.as_ref().and_then(|record| record.name("short_id")) { (name) } }
                td { (status_badge(order.status)) }
                td.number data-name="Version" { @if let Some(version) = order.version { (version) } @else { "–" } }
                td.number data-name="Branch" { @if let Some(branch) = record.as_ref().and_then(|record| record.branch_id().ok().flatten()) { (branch) } }
                td { (age(visit.now, order.received_at)) }
            }
        }
    };
    table("Orders", &columns, &rows)
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    visit: Visit,
    PathId(id): PathId,
) -> Result<Response> {
    let order_id = OrderId(id);
    let order = shared.store.order(order_id).await.map_err(failed)?.ok_or_else(|| no_order(id))?;
    let query = HistoryQuery { order_id, after: None, newest_first: true, limit: STATES_SHOWN };
    let history = shared.store.history(query).await.map_err(failed)?.ok_or_else(|| no_order(id))?;
    let columns = [
        ("Came", ""),
        ("Status", ""),
        ("Version", "number"),
        ("Event", ""),
        ("Delivery", ""),
        ("By", ""),
        ("In the view", ""),
    ];
    let rows = html! {
        @for entry in &history.items {
            tr {
                td { (exact(entry.received_at)) }
                td { (status_badge(entry.status)) }
                td.number data-name="Version" { @if let Some(version) = entry.version { (version) } @else { "–" } }
                td { (entry.event_type.as_deref().unwrap_or("–")) }
                td { code { (entry.delivery_id.as_str()) } }
                td { (entry.source.as_str()) }
                td {
                    @if entry.applied { (badge(Tone::Good, "renewed it")) } @else { (badge(Tone::Quiet, "older")) }
                }
            }
        }
    };
    // Field by field, in the order and the spelling in which they came.
    let fields = Record::parse(order.record.clone()).map(|record| {
        let line = |name: &str| format!("{name}: {}", record.get(name).unwrap_or_default());
        record.names().map(|name| line(&name)).collect::<Vec<_>>().join("\n")
    });
    let fields = fields.unwrap_or_else(|_| String::from_utf8_lossy(&order.record).into_owned());
    let content = html! {
        p { (status_badge(order.status)) " " span.quiet { "came " (age(visit.now, order.received_at)) } }
        h2 { "How it came about" }
        (table("States of the order", &columns, &rows))
        @if history.more { p.quiet { "Older ones are not shown." } }
        h2 { "The newest record" }
        pre.scroll tabindex="0" { code { (fields) } }
    };
    Ok(visit.page(&format!("Order {id}"), content))
}
