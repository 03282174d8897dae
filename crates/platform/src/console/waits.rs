//! What a delivery waits for, in words.
//!
//! It repeats no decision of the engine: it reads the same states in the order in which the engine asks about them, and says
//! the first that keeps a delivery back.

use hookit_contract::{DeliveryId, DeliveryState, OrderId, Timestamp};
use hookit_server::page::until;
use hookit_store::platform::{Delivery, DeliveryQuery, Ordering, ReplayState};
use maud::{Markup, html};

use super::words;
use crate::Shared;
use crate::api::{Result, store_error};
use crate::operator::status::{BreakerStatus, EndpointStatus};

/// The reason that a pending delivery has not gone out.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Waits {
    /// Nothing is sent to its endpoint.
    Held,
    /// An earlier delivery of one of its orders at the same endpoint has not ended.
    Behind { delivery_id: DeliveryId, order_id: OrderId },
    /// Its endpoint is down.
    Down,
    /// Its next attempt is not due yet.
    Due(Timestamp),
    /// Nothing but its turn.
    Turn,
}

/// What this one waits for; `earlier` are the pending deliveries of its orders at its endpoint that were committed before it, the
/// first of them first.
fn waits(
    delivery: &Delivery,
    earlier: &[Delivery],
    ordering: Ordering,
    endpoint: Option<&EndpointStatus>,
    now: Timestamp,
) -> Waits {
    if endpoint.is_some_and(|endpoint| endpoint.hold.is_some()) {
        return Waits::Held;
    }
    if ordering == Ordering::PerOrder {
        let shared = |other: &Delivery| {
            let mine = |(order_id, _): &&(OrderId, i64)| delivery.orders.iter().any(|(id, _)| id == order_id);
            other.orders.iter().find(mine).map(|(order_id, _)| *order_id)
        };
        let before = earlier
            .iter()
            .filter(|other| other.endpoint_id == delivery.endpoint_id && other.seq < delivery.seq)
            .find_map(|other| shared(other).map(|order_id| (other.delivery_id.clone(), order_id)));
        if let Some((delivery_id, order_id)) = before {
            return Waits::Behind { delivery_id, order_id };
        }
    }
    let is_down =
        |endpoint: &EndpointStatus| matches!(endpoint.breaker, BreakerStatus::Open | BreakerStatus::Probing);
    match delivery.next_attempt_at.filter(|at| *at > now) {
        _ if endpoint.is_some_and(is_down) => Waits::Down,
        Some(at) => Waits::Due(at),
        None => Waits::Turn,
    }
}

impl Waits {
    /// The sentence for it.
    fn said(&self, order: OrderId, endpoint: Option<&EndpointStatus>, now: Timestamp) -> Markup {
        let story = || endpoint.map(|endpoint| words::endpoint_story(endpoint, now)).unwrap_or_default();
        match self {
            Waits::Held => html! { "Its endpoint is not sent anything. " (story()) },
            Waits::Behind { delivery_id, order_id } if *order_id == order => {
                html! { "Waits for " (words::delivery_link(delivery_id)) " of this order, which goes first." }
            }
            Waits::Behind { delivery_id, order_id } => html! {
                "Waits for " (words::delivery_link(delivery_id)) " of order " (words::order_link(*order_id))
                ", which it carries too."
            },
            Waits::Down => html! { "Its endpoint is down. " (story()) },
            Waits::Due(at) => html! { "Is tried again " (until(now, *at)) "." },
            Waits::Turn => match endpoint {
                Some(e) if e.in_flight > 0 => html! {
                    "Is under way or waits for its turn: " (e.in_flight) " of " (e.in_flight_limit)
                    " attempts are under way, " (e.waiting) " deliveries wait."
                },
                _ => html! { "Is about to be sent." },
            },
        }
    }
}

/// Pending deliveries of an order at an endpoint that are looked at, the nearest before one.
const EARLIER_MAX: usize = 100;

/// Why a pending delivery has not gone out, in words. `order` is the one whose page it is said on, if any.
pub(super) async fn reason(
    shared: &Shared,
    delivery: &Delivery,
    order: Option<OrderId>,
    endpoint: Option<&EndpointStatus>,
    now: Timestamp,
) -> Result<Markup> {
    if delivery.is_replay {
        return replayed(shared, delivery, endpoint, now).await;
    }
    let settings = shared.store.endpoint(delivery.endpoint_id).await.map_err(store_error)?;
    let ordering = settings.map_or(Ordering::PerOrder, |endpoint| endpoint.settings.ordering);
    let mut earlier: Vec<Delivery> = Vec::new();
    for (order_id, _) in &delivery.orders {
        let query = DeliveryQuery {
            before: Some(delivery.seq),
            order_id: Some(*order_id),
            state: Some(DeliveryState::Pending),
            endpoint_id: Some(delivery.endpoint_id),
            limit: EARLIER_MAX,
            ..DeliveryQuery::default()
        };
        let some = shared.store.deliveries(query).await.map_err(store_error)?.deliveries;
        earlier.extend(some.into_iter().filter(|other| !other.is_replay));
    }
    earlier.sort_by_key(|other| other.seq);
    // Where no order's page it is said on, each one is named.
    let order = order.unwrap_or(OrderId(0));
    let waits = |one: &Delivery| waits(one, &earlier, ordering, endpoint, now);
    let reason = waits(delivery);
    let said = reason.said(order, endpoint, now);
    let Waits::Behind { delivery_id, .. } = &reason else { return Ok(said) };
    Ok(match earlier.iter().find(|other| other.delivery_id == *delivery_id) {
        // Why the one before does not go either.
        Some(first) => html! { (said) " That one: " (waits(first).said(order, endpoint, now)) },
        None => said,
    })
}

/// The same of one that was put in line again: nothing fresh waits for it, and it waits for whatever is fresh.
async fn replayed(
    shared: &Shared,
    delivery: &Delivery,
    endpoint: Option<&EndpointStatus>,
    now: Timestamp,
) -> Result<Markup> {
    let replay = match delivery.replay_id {
        Some(id) => shared.store.replay(id).await.map_err(store_error)?,
        None => None,
    };
    let by = html! {
        @if let Some(replay) = &replay { "It is of " a href={ "/console/replays/" (replay.replay_id) } { "replay " (replay.replay_id) } }
        @else { "It is sent again" }
    };
    let reason = match replay.as_ref().map(|replay| replay.state) {
        Some(ReplayState::Paused) => html! { ", which is paused." },
        Some(ReplayState::Cancelled) => html! { ", which is being taken back." },
        _ => match waits(delivery, &[], Ordering::None, endpoint, now) {
            reason @ (Waits::Held | Waits::Down | Waits::Due(_)) => {
                html! { ". " (reason.said(OrderId(0), endpoint, now)) }
            }
            Waits::Behind { .. } | Waits::Turn => {
                html! { ", and goes when nothing fresh of its orders waits." }
            }
        },
    };
    Ok(html! { (by) (reason) })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hookit_contract::{BranchId, BrandId, DeliverySeq, EndpointId, EventType, PartnerId, WebhookId};

    use super::*;
    use crate::operator::status::HoldStatus;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn delivery(seq: i64, endpoint: i64, orders: &[i64]) -> Delivery {
        Delivery {
            seq: DeliverySeq(seq),
            delivery_id: DeliveryId::from(format!("evt_{seq}").as_str()),
            endpoint_id: EndpointId(endpoint),
            webhook_id: WebhookId(1),
            event_type: EventType::OrderCreated,
            brand_id: BrandId(1),
            branch_id: BranchId(1),
            orders: orders.iter().map(|id| (OrderId(*id), 1)).collect(),
            state: DeliveryState::Pending,
            is_replay: false,
            replay_id: None,
            attempts: 0,
            created_at: NOW,
            next_attempt_at: Some(NOW),
            finished_at: None,
            ended_by: None,
            ended_reason: None,
        }
    }

    fn endpoint(breaker: BreakerStatus) -> EndpointStatus {
        EndpointStatus {
            endpoint_id: EndpointId(1),
            partner_id: PartnerId::from("p".to_owned()),
            url: "https://pos.test/".to_owned(),
            hold: None,
            breaker,
            breaker_since: NOW,
            next_probe_at: None,
            failures_in_a_row: 0,
            last_failure: None,
            pending: 1,
            oldest_pending_age_ms: None,
            waiting: 1,
            more_on_disk: false,
            in_flight: 0,
            in_flight_limit: 32,
        }
    }

    #[test]
    fn what_keeps_a_delivery_back_first_is_said() {
        let up = endpoint(BreakerStatus::Closed);
        let down = endpoint(BreakerStatus::Open);
        let held = EndpointStatus {
            hold: Some(HoldStatus { reason: "operator".to_owned(), since: NOW }),
            ..endpoint(BreakerStatus::Open)
        };
        let mine = delivery(5, 1, &[7, 8]);
        let later = Delivery { next_attempt_at: Some(NOW.plus(Duration::from_secs(40))), ..mine.clone() };
        let behind = |seq: i64, order| Waits::Behind {
            delivery_id: DeliveryId::from(format!("evt_{seq}").as_str()),
            order_id: OrderId(order),
        };
        let earlier = [delivery(2, 2, &[7]), delivery(3, 1, &[9]), delivery(4, 1, &[6, 8])];
        let (per_order, none) = (Ordering::PerOrder, Ordering::None);
        for (delivery, earlier, ordering, endpoint, expected) in [
            (&mine, &[][..], per_order, Some(&up), Waits::Turn),
            (&mine, &[], per_order, None, Waits::Turn),
            (&mine, &earlier, per_order, Some(&up), behind(4, 8)),
            (&mine, &earlier, none, Some(&up), Waits::Turn),
            (&mine, &earlier[..2], per_order, Some(&up), Waits::Turn),
            (&mine, &[super::tests::delivery(6, 1, &[7])], per_order, Some(&up), Waits::Turn),
            (&mine, &earlier, per_order, Some(&held), Waits::Held),
            (&mine, &earlier, per_order, Some(&down), behind(4, 8)),
            (&mine, &[], per_order, Some(&down), Waits::Down),
            (&later, &[], per_order, Some(&down), Waits::Down),
            (&later, &[], per_order, Some(&up), Waits::Due(NOW.plus(Duration::from_secs(40)))),
        ] {
            assert_eq!(waits(delivery, earlier, ordering, endpoint, NOW), expected);
        }
    }
}
