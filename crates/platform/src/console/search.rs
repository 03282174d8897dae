//! One field to find by: an order by any of its ids, a delivery, a branch or brand with the endpoints that hear of it, a partner, an
//! endpoint. A branch is found because somebody calls whose tickets have stopped; so it is answered with the reason.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use hookit_contract::{BranchId, BrandId, DeliveryId, EndpointId, EventType, OrderId, Record, WebhookId};
use hookit_server::page::{Query, age, badge, count, duration, empty, see_other, table};
use hookit_store::platform::{Delivery, LatelyChanged, Partner, StoredOrder, WebhookAccess, WebhookQuery};
use maud::{Markup, html};
use serde::Deserialize;

use super::{Pages, RECORDS_BYTES_MAX, ROWS_MAX, Visit, words};
use crate::Shared;
use crate::api::{self, Result, store_error};
use crate::operator::status::{self, EndpointStatus};

pub(super) const SEARCH: &str = "/console/search";

/// Of each kind that are shown.
const FOUND_MAX: usize = 20;

/// Orders that are looked through for those of a brand.
const LATELY_MAX: usize = 500;

/// Characters that are looked for.
const SOUGHT_CHARS_MAX: usize = 255;

pub(super) fn pages() -> Pages {
    Pages::default().page(SEARCH, "/orders", show)
}

#[derive(Deserialize)]
struct Sought {
    q: Option<String>,
}

/// Everything that was found.
#[derive(Default)]
struct Found {
    orders: Vec<StoredOrder>,
    delivery: Option<Delivery>,
    places: Vec<Place>,
    partners: Vec<Partner>,
    endpoints: Vec<EndpointStatus>,
}

/// A branch or a brand, with orders of it and who hears of them.
struct Place {
    kind: &'static str,
    id: i64,
    orders: Vec<LatelyChanged>,
    /// The endpoints that its events go to, each with the event types.
    hearing: Vec<(EndpointStatus, Vec<EventType>)>,
}

async fn show(
    State(shared): State<Arc<Shared>>,
    visit: Visit,
    Query(sought): Query<Sought>,
) -> Result<Response> {
    let sought = sought.q.unwrap_or_default();
    let sought: String = sought.trim().trim_start_matches('#').chars().take(SOUGHT_CHARS_MAX).collect();
    if sought.is_empty() {
        let content = empty(
            "An order is found by its id, external_id, short_id or identity; a delivery by its event id; a \
            branch or brand by its number; a partner or an endpoint by a part of its name or URL.",
        );
        return Ok(visit.searched("Search", &sought, content));
    }
    let found = find(&shared, &sought).await?;
    // What is found alone is what was meant.
    let is_alone = found.places.is_empty() && found.partners.is_empty() && found.endpoints.is_empty();
    match (&found.orders[..], &found.delivery) {
        ([order], None) if is_alone => Ok(see_other(&format!("/console/orders/{}", order.order_id))),
        ([], Some(delivery)) if is_alone => {
            Ok(see_other(&format!("/console/deliveries/{}", delivery.delivery_id)))
        }
        _ => Ok(visit.searched(&format!("“{sought}”"), &sought, results(&found, &visit))),
    }
}

async fn find(shared: &Shared, sought: &str) -> Result<Found> {
    let store = &shared.store;
    let number = sought.parse::<i64>().ok().filter(|number| *number > 0);
    let mut found = Found::default();
    let mut ids = store.orders_named(sought, FOUND_MAX).await.map_err(store_error)?;
    if let Some(id) = number.map(OrderId).filter(|id| !ids.contains(id)) {
        ids.insert(0, id);
    }
    for id in ids {
        let order = store.order(id).await.map_err(store_error)?;
        // Their records are not shown, and may be large.
        found.orders.extend(order.map(|order| StoredOrder { record: Bytes::new(), ..order }));
    }
    found.delivery =
        store.delivery(&DeliveryId::from(sought)).await.map_err(store_error)?.map(|(one, _)| one);
    let endpoints = status::endpoints_now(shared).await?;
    let part = sought.to_lowercase();
    let partners = &mut found.partners;
    api::find_partner(&**store, |one| {
        if one.name.to_lowercase().contains(&part) || one.partner_id.as_str() == sought {
            partners.push(one.clone());
        }
        partners.len() == FOUND_MAX
    })
    .await
    .map_err(store_error)?;
    if let Some(number) = number {
        found.places = places(shared, number, &endpoints).await?;
    } else {
        found.endpoints =
            endpoints.into_iter().filter(|one| one.url.to_lowercase().contains(&part)).collect();
        found.endpoints.truncate(FOUND_MAX);
    }
    Ok(found)
}

/// The branch and the brand of this number, where there are any.
async fn places(shared: &Shared, number: i64, endpoints: &[EndpointStatus]) -> Result<Vec<Place>> {
    let by_id: HashMap<EndpointId, &EndpointStatus> =
        endpoints.iter().map(|endpoint| (endpoint.endpoint_id, endpoint)).collect();
    let store = &shared.store;
    let of_branch = store.orders_of_branch(BranchId(number), FOUND_MAX, RECORDS_BYTES_MAX);
    let of_branch = of_branch.await.map_err(store_error)?;
    // Orders are in no index by brand, so those that changed lately have to do.
    let of_brand = store.orders_lately(LATELY_MAX, RECORDS_BYTES_MAX);
    let mut of_brand = of_brand.await.map_err(store_error)?;
    of_brand.retain(|one| brands(one).contains(&BrandId(number)));
    of_brand.truncate(FOUND_MAX);
    let mut places = Vec::new();
    for (kind, orders) in [("Branch", of_branch), ("Brand", of_brand)] {
        let is_branch = kind == "Branch";
        let named = WebhookQuery {
            branch_id: is_branch.then_some(BranchId(number)),
            brand_id: (!is_branch).then_some(BrandId(number)),
            ..WebhookQuery::first(ROWS_MAX)
        };
        let named = store.webhooks(named).await.map_err(store_error)?;
        if orders.is_empty() && named.is_empty() {
            continue;
        }
        // Where its orders go is asked by the rule that they go by; where there are none, who waits for them is named.
        let mut hears: BTreeSet<WebhookId> = BTreeSet::new();
        for one in &orders {
            let own = brands(one).into_iter().filter(|brand| is_branch || brand.0 == number);
            for brand in own {
                let (business, branch) = (one.order.business_id, one.order.branch_id);
                hears.extend(store.hearing(business, branch, brand).await.map_err(store_error)?);
            }
        }
        if orders.is_empty() {
            hears.extend(named.iter().map(|webhook| webhook.webhook_id));
        }
        let mut hearing: BTreeMap<EndpointId, Vec<EventType>> = BTreeMap::new();
        for webhook_id in hears.into_iter().take(ROWS_MAX) {
            let access = store.webhook_access(webhook_id).await.map_err(store_error)?;
            let Some(WebhookAccess { webhook, .. }) = access else { continue };
            let types = hearing.entry(webhook.endpoint_id).or_default();
            if !types.contains(&webhook.event_type) {
                types.push(webhook.event_type);
            }
        }
        let mut hearing: Vec<(EndpointStatus, Vec<EventType>)> =
            hearing.into_iter().filter_map(|(id, types)| Some(((*by_id.get(&id)?).clone(), types))).collect();
        hearing.sort_by_key(|(endpoint, _)| words::trouble_rank(endpoint));
        places.push(Place { kind, id: number, orders, hearing });
    }
    Ok(places)
}

/// The brands of an order.
fn brands(one: &LatelyChanged) -> Vec<BrandId> {
    Record::parse(one.order.record.clone()).and_then(|record| record.brand_ids()).unwrap_or_default()
}

fn results(found: &Found, visit: &Visit) -> Markup {
    let Found { orders, delivery, places, partners, endpoints } = found;
    html! {
        @if orders.is_empty() && delivery.is_none() && places.is_empty() && partners.is_empty() && endpoints.is_empty() {
            (empty("Nothing was found: no order, delivery, partner or endpoint is called so, and no branch or brand of this number has orders or registrations."))
        }
        @if let Some(delivery) = delivery {
            h2 { "Delivery" }
            p { (words::delivery_link(&delivery.delivery_id)) " " (words::delivery_state(delivery.state)) " of "
                @for (order_id, _) in &delivery.orders { (words::order_link(*order_id)) " " } }
        }
        @if !orders.is_empty() {
            h2 { "Orders" }
            (table("Orders", &[("Order", ""), ("Status", ""), ("Branch", "number"), ("Business", "number")], &html! {
                @for order in orders {
                    tr {
                        td { (words::order_link(order.order_id)) }
                        td { (words::order_status(order.status)) }
                        td.number { (order.branch_id) }
                        td.number { (order.business_id) }
                    }
                }
            }))
        }
        @for place in places { (place_found(place, visit)) }
        @if !partners.is_empty() {
            h2 { "Partners" }
            (table("Partners", &[("Partner", ""), ("Business", "number"), ("Since", "")], &html! {
                @for partner in partners {
                    tr {
                        td { (super::partners::link(&partner.partner_id, Some(&partner.name))) }
                        td.number { (partner.business_id) }
                        td { (age(visit.now, partner.created_at)) }
                    }
                }
            }))
        }
        @if !endpoints.is_empty() {
            h2 { "Endpoints" }
            (endpoint_table(endpoints.iter().map(|endpoint| (endpoint, None)), visit))
        }
    }
}

fn place_found(place: &Place, visit: &Visit) -> Markup {
    let Place { kind, id, orders, hearing } = place;
    html! {
        h2 { (kind) " " (id) }
        @if hearing.is_empty() && !orders.is_empty() {
            (hookit_server::page::note(hookit_server::page::Tone::Bad, &html! { "No registration is for it: nobody hears of its orders." }))
        } @else {
            h3 { "Who hears of its orders" }
            (endpoint_table(hearing.iter().map(|(endpoint, types)| (endpoint, Some(&types[..]))), visit))
        }
        h3 { @if *kind == "Branch" { "Its newest orders" } @else { "Its orders that changed last" } }
        @if orders.is_empty() && *kind == "Branch" {
            (empty("There is no order of it. Who hears of it is told by the registrations that name it; others that take any branch may, too."))
        } @else if orders.is_empty() {
            (empty("None of the 500 orders that changed last is of it. Who hears of it is told by the registrations that name it; others that take any brand may, too."))
        } @else {
            (table(&format!("Orders of {kind} {id}"), &[("Order", ""), ("Status", ""), ("Changed", "")], &html! {
                @for one in orders {
                    tr {
                        td { (words::order_link(one.order.order_id)) }
                        td { (words::order_status(one.order.status)) }
                        td { (age(visit.now, one.changed_at)) }
                    }
                }
            }))
        }
    }
}

/// Endpoints with how they stand in words.
pub(super) fn endpoint_table<'e>(
    endpoints: impl Iterator<Item = (&'e EndpointStatus, Option<&'e [EventType]>)>,
    visit: &Visit,
) -> Markup {
    let columns =
        [("Endpoint", ""), ("State", ""), ("In words", ""), ("Backlog", "number"), ("Oldest", "number")];
    table(
        "Endpoints",
        &columns,
        &html! {
            @for (endpoint, types) in endpoints {
                @let (tone, word) = words::endpoint_state(endpoint);
                @let oldest = endpoint.oldest_pending_age_ms.map(std::time::Duration::from_millis);
                tr {
                    td {
                        (words::endpoint_link(endpoint.endpoint_id, &endpoint.url))
                        @if let Some(types) = types {
                            div.small.quiet { @for (i, event_type) in types.iter().enumerate() { @if i > 0 { ", " } (words::event(*event_type)) } }
                        }
                    }
                    td { (badge(tone, word)) }
                    td { (words::endpoint_story(endpoint, visit.now)) }
                    td.number data-name="Backlog" { (count(endpoint.pending)) }
                    td.number data-name="Oldest" { (oldest.map_or_else(|| "–".to_owned(), duration)) }
                }
            }
        },
    )
}
