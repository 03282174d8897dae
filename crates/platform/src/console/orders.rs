//! The board: the orders that changed last, by status, live.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use hookit_contract::{KnownStatus, OrderStatus, Record, Timestamp};
use hookit_server::page::{age, empty, live};
use hookit_server::{ApiError, Live, LiveEvents};
use hookit_store::platform::LatelyChanged;
use maud::{Markup, html};

use super::live::follow;
use super::{Pages, RECORDS_BYTES_MAX, Visit};
use crate::Shared;
use crate::api::{Result, store_error};

const BOARD: &str = "/console/orders";
const BOARD_LIVE: &str = "/console/orders/live";

/// Orders on the board, and in one column of it.
const ORDERS_MAX: usize = 160;
const COLUMN_MAX: usize = 25;

/// The columns, from left to right as an order goes.
const COLUMNS: [(&str, &[KnownStatus]); 7] = [
    ("Scheduled", &[KnownStatus::Scheduled]),
    ("Placed", &[KnownStatus::Placed]),
    ("Accepted", &[KnownStatus::Accepted, KnownStatus::Preparing]),
    ("Ready", &[KnownStatus::Ready]),
    ("On the way", &[KnownStatus::DriverAssigned, KnownStatus::DriverArrived, KnownStatus::Dispatched]),
    ("Ended", &[KnownStatus::Delivered, KnownStatus::PickedUp]),
    ("Cancelled", &[KnownStatus::Cancelled]),
];

pub(super) fn pages() -> Pages {
    Pages::default().page(BOARD, "/orders", show).page(BOARD_LIVE, "/orders", fresh)
}

async fn show(State(shared): State<Arc<Shared>>, visit: Visit) -> Result<Response> {
    let board = board(shared, visit.clone()).await?;
    let content = html! {
        p.quiet { "The orders that changed last, by where they stand. Any other is found by one of its ids." }
        (live(BOARD_LIVE, &board))
    };
    Ok(visit.page("Orders", content))
}

async fn fresh(
    State(shared): State<Arc<Shared>>,
    visit: Visit,
    live: std::result::Result<Live, ApiError>,
) -> Result<LiveEvents> {
    Ok(follow(live?, shared, visit, board))
}

async fn board(shared: Arc<Shared>, visit: Visit) -> Result<Markup> {
    let lately = shared.store.orders_lately(ORDERS_MAX, RECORDS_BYTES_MAX).await.map_err(store_error)?;
    if lately.is_empty() {
        return Ok(empty("There are no orders yet."));
    }
    let is_in =
        |status: OrderStatus, of: &[KnownStatus]| of.iter().any(|one| OrderStatus::Known(*one) == status);
    let unknown: Vec<&LatelyChanged> =
        lately.iter().filter(|one| matches!(one.order.status, OrderStatus::Unknown(_))).collect();
    Ok(html! {
        div.board role="region" aria-label="Orders by status" tabindex="0" {
            @for (name, statuses) in COLUMNS {
                @let orders: Vec<&LatelyChanged> = lately.iter().filter(|one| is_in(one.order.status, statuses)).collect();
                (column(name, &orders, visit.now))
            }
            @if !unknown.is_empty() { (column("Other codes", &unknown, visit.now)) }
        }
    })
}

fn column(name: &str, orders: &[&LatelyChanged], now: Timestamp) -> Markup {
    html! {
        section aria-label=(name) {
            h2 { span { (name) } span.quiet { (orders.len()) } }
            ol {
                @for one in orders.iter().take(COLUMN_MAX) { li { (card(one, now)) } }
            }
            @if orders.len() > COLUMN_MAX { p.quiet.small { "and " (orders.len() - COLUMN_MAX) " more" } }
        }
    }
}

fn card(one: &LatelyChanged, now: Timestamp) -> Markup {
    let order = &one.order;
    let record = Record::parse(order.record.clone()).ok();
    let name =
        record.as_ref().and_then(|record| record.name("short_id").or_else(|| record.name("external_id")));
    let brand = record.as_ref().and_then(|record| record.name("brand_name"));
    html! {
        a.card href={ "/console/orders/" (order.order_id) } {
            span.line {
                b { @if let Some(name) = &name { (name) } @else { "#" (order.order_id) } }
                span.quiet { (age(now, one.changed_at)) }
            }
            span.line.quiet {
                span { @if let Some(brand) = &brand { (brand) } @else { "Branch" } " " (order.branch_id) }
                span { "v" (order.version) }
            }
        }
    }
}
