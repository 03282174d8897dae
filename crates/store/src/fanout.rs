//! From the changes of one tick to its deliveries: pure, without SQL.
//!
//! Two decisions are made here. *Routing*: for each brand of the order and each partner of its business, the most
//! specific registration for the event type gets the event. *Batching*: what goes to one (endpoint, registration,
//! brand, branch, event type) shares deliveries, without ever making an order's later state overtake an earlier one.
//!
//! What this module must not do: give ids, write anything, or look at a delivery's attempts.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bytes::Bytes;
use hookit_contract::{
    BranchId, BrandId, BusinessId, EndpointId, EventType, OrderId, PartnerId, Timestamp, WebhookId,
};

/// Bytes of the records in a delivery of several orders at most: receivers have limits of their own, and one that a
/// batch does not pass would lose all of its orders. A single order always fits: see
/// [`RECORD_BYTES_MAX`](crate::platform::RECORD_BYTES_MAX).
const DELIVERY_BYTES_MAX: usize = 2 << 20;

/// A change of an order, as far as its way to the partners depends on it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// The order.
    pub(crate) order_id: OrderId,
    /// Its business: only this one's partners hear of it.
    pub(crate) business_id: BusinessId,
    /// Its branch.
    pub(crate) branch_id: BranchId,
    /// Its brands, each once.
    pub(crate) brands: Vec<BrandId>,
    /// What happened.
    pub(crate) event_type: EventType,
    /// The stored record that the deliveries carry.
    pub(crate) record_id: i64,
    /// That record.
    pub(crate) record: Bytes,
    /// When it happened.
    pub(crate) at: Timestamp,
}

/// A registration, as far as routing depends on it.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    /// Its id.
    pub(crate) webhook_id: WebhookId,
    /// Where it points.
    pub(crate) endpoint_id: EndpointId,
    /// Whose it is.
    pub(crate) partner_id: PartnerId,
    /// The partner's business.
    pub(crate) business_id: BusinessId,
    /// The brand; none for any.
    pub(crate) brand_id: Option<BrandId>,
    /// The branch; none for any.
    pub(crate) branch_id: Option<BranchId>,
    /// The event type.
    pub(crate) event_type: EventType,
    /// Orders in one of its deliveries at most.
    pub(crate) orders_per_delivery_max: usize,
}

/// Where an event goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Route {
    /// Whose it is: partners by number.
    partner: usize,
    endpoint_id: EndpointId,
    webhook_id: WebhookId,
    orders_per_delivery_max: usize,
}

/// One partner's registrations for one event type.
type PartnerRoutes = HashMap<(Option<BrandId>, Option<BranchId>), Route>;

/// All registrations, ready to be asked.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    by_event: HashMap<(BusinessId, EventType), Vec<PartnerRoutes>>,
}

impl Routes {
    /// Sorts registrations for asking. Partners are served in the order in which they first occur.
    pub(crate) fn new(registrations: impl IntoIterator<Item = Registration>) -> Self {
        let mut routes = Routes::default();
        let mut partners_seen: HashMap<PartnerId, usize> = HashMap::new();
        let mut places: HashMap<(BusinessId, EventType, PartnerId), usize> = HashMap::new();
        for registration in registrations {
            let Registration { business_id, event_type, .. } = registration;
            let next = partners_seen.len();
            let partner = *partners_seen.entry(registration.partner_id.clone()).or_insert(next);
            let partners = routes.by_event.entry((business_id, event_type)).or_default();
            let place =
                *places.entry((business_id, event_type, registration.partner_id)).or_insert_with(|| {
                    partners.push(HashMap::new());
                    partners.len() - 1
                });
            partners[place].insert(
                (registration.brand_id, registration.branch_id),
                Route {
                    partner,
                    endpoint_id: registration.endpoint_id,
                    webhook_id: registration.webhook_id,
                    orders_per_delivery_max: registration.orders_per_delivery_max,
                },
            );
        }
        routes
    }

    /// One route for each partner that registered: its most specific one.
    fn of(&self, event: &Event, brand_id: BrandId) -> impl Iterator<Item = Route> {
        self.most_specific(event.business_id, event.branch_id, brand_id, event.event_type)
    }

    /// The registrations that such an event would go to.
    pub(crate) fn hearing(
        &self,
        business_id: BusinessId,
        branch_id: BranchId,
        brand_id: BrandId,
        event_type: EventType,
    ) -> impl Iterator<Item = WebhookId> {
        self.most_specific(business_id, branch_id, brand_id, event_type).map(|route| route.webhook_id)
    }

    fn most_specific(
        &self,
        business_id: BusinessId,
        branch_id: BranchId,
        brand_id: BrandId,
        event_type: EventType,
    ) -> impl Iterator<Item = Route> {
        let by_specificity = [
            (Some(brand_id), Some(branch_id)),
            (Some(brand_id), None),
            (None, Some(branch_id)),
            (None, None),
        ];
        self.by_event
            .get(&(business_id, event_type))
            .into_iter()
            .flatten()
            .filter_map(move |partner| by_specificity.iter().find_map(|tuple| partner.get(tuple).copied()))
    }

    /// Would an event go to this registration for this brand?
    pub(crate) fn lead_to(&self, webhook_id: WebhookId, event: &Event, brand_id: BrandId) -> bool {
        self.of(event, brand_id).any(|route| route.webhook_id == webhook_id)
    }
}

/// A delivery that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Where it goes.
    pub(crate) endpoint_id: EndpointId,
    /// The registration that it belongs to.
    pub(crate) webhook_id: WebhookId,
    /// The event type.
    pub(crate) event_type: EventType,
    /// The envelope's brand.
    pub(crate) brand_id: BrandId,
    /// The envelope's branch.
    pub(crate) branch_id: BranchId,
    /// The orders, each with the stored record that is carried.
    pub(crate) orders: Vec<(OrderId, i64)>,
    /// The time of the latest of its events.
    pub(crate) at: Timestamp,
}

/// An order's events on their way to one partner.
struct Line {
    event: usize,
    /// The first round for items of this event.
    from: u32,
    /// The first round for those of the next.
    next: u32,
}

/// One event on its way to one endpoint for one brand.
struct Item {
    /// After those of the order's items before it at this endpoint, and of its events before it wherever they go.
    round: u32,
    event: usize,
    brand_id: BrandId,
    route: Route,
}

/// What has to be equal for two items of a round to share a delivery.
#[derive(PartialEq, Eq, Hash)]
struct BatchKey {
    route: Route,
    brand_id: BrandId,
    branch_id: BranchId,
    event_type: EventType,
    /// The delivery that the order waits for at this endpoint. Orders that wait for different ones stay apart, so
    /// that none of them waits for a stranger's.
    behind: Option<usize>,
}

/// A delivery of the present round that may still grow.
struct Open {
    delivery: usize,
    /// Bytes of its records.
    bytes: usize,
    /// True once its first order is known to wait for nothing.
    first_is_free: bool,
}

/// Forms the deliveries of a tick, in the order in which they are to be numbered.
///
/// Batches are formed by rounds: each order's items at each endpoint are in rounds one after the other, and only items of
/// one round share a delivery. Without rounds two batches could each hold an order's later state and another order's earlier
/// one; each would have to go before the other, and no numbering would be right. With rounds every delivery waits
/// for deliveries of lower rounds only, which have lower numbers. An order's later event is in a later round at the partner's
/// other endpoints, too: where their URLs become one while deliveries wait, the numbers still say what comes first.
///
/// `is_waiting` says whether an order has a delivery from an earlier tick pending at an endpoint. Such an order goes
/// by itself rather than hold up a batch. It is asked only where a batch of two or more would be formed.
///
/// # Errors
/// What `is_waiting` gives.
pub(crate) fn plan<E>(
    events: &[Event],
    routes: &Routes,
    orders_per_delivery_max: usize,
    mut is_waiting: impl FnMut(EndpointId, OrderId) -> Result<bool, E>,
) -> Result<Vec<Planned>, E> {
    let mut rounds: HashMap<(EndpointId, OrderId), u32> = HashMap::with_capacity(events.len());
    let mut lines: HashMap<(usize, OrderId), Line> = HashMap::with_capacity(events.len());
    let mut items = Vec::with_capacity(events.len());
    for (e, event) in events.iter().enumerate() {
        for brand_id in &event.brands {
            for route in routes.of(event, *brand_id) {
                let line = (route.partner, event.order_id);
                let line = lines.entry(line).or_insert(Line { event: e, from: 0, next: 0 });
                if line.event != e {
                    (line.event, line.from) = (e, line.next);
                }
                let next = rounds.entry((route.endpoint_id, event.order_id)).or_default();
                let round = line.from.max(*next);
                items.push(Item { round, event: e, brand_id: *brand_id, route });
                *next = round + 1;
                line.next = line.next.max(round + 1);
            }
        }
    }
    // Stable, so that a round keeps the order of events.
    items.sort_by_key(|item| item.round);

    let mut planned: Vec<Planned> = Vec::with_capacity(items.len());
    let mut latest: HashMap<(EndpointId, OrderId), usize> = HashMap::with_capacity(items.len());
    let mut open: HashMap<BatchKey, Open> = HashMap::new();
    let mut round = 0;
    for item in &items {
        if item.round != round {
            round = item.round;
            open.clear();
        }
        let event = &events[item.event];
        let endpoint_id = item.route.endpoint_id;
        let lane = (endpoint_id, event.order_id);
        let key = BatchKey {
            route: item.route,
            brand_id: item.brand_id,
            branch_id: event.branch_id,
            event_type: event.event_type,
            behind: latest.get(&lane).copied(),
        };
        // Behind a delivery of this very tick all is decided already: whoever shares one waits for the same.
        let first_round = key.behind.is_none();
        let orders_max = orders_per_delivery_max.min(item.route.orders_per_delivery_max);
        let own = |planned: &mut Vec<Planned>| {
            planned.push(Planned {
                endpoint_id,
                webhook_id: item.route.webhook_id,
                event_type: event.event_type,
                brand_id: item.brand_id,
                branch_id: event.branch_id,
                orders: vec![(event.order_id, event.record_id)],
                at: event.at,
            });
            planned.len() - 1
        };
        let delivery = match open.entry(key) {
            Entry::Vacant(place) => {
                let delivery = own(&mut planned);
                place.insert(Open { delivery, bytes: event.record.len(), first_is_free: !first_round });
                delivery
            }
            Entry::Occupied(mut place) => {
                let batch = place.get_mut();
                if first_round && is_waiting(endpoint_id, event.order_id)? {
                    own(&mut planned)
                } else if planned[batch.delivery].orders.len() >= orders_max
                    || batch.bytes + event.record.len() > DELIVERY_BYTES_MAX
                    || (!batch.first_is_free && is_waiting(endpoint_id, planned[batch.delivery].orders[0].0)?)
                {
                    let delivery = own(&mut planned);
                    *batch = Open { delivery, bytes: event.record.len(), first_is_free: true };
                    delivery
                } else {
                    batch.first_is_free = true;
                    batch.bytes += event.record.len();
                    let shared = &mut planned[batch.delivery];
                    shared.orders.push((event.order_id, event.record_id));
                    shared.at = shared.at.max(event.at);
                    batch.delivery
                }
            }
        };
        latest.insert(lane, delivery);
    }
    Ok(planned)
}

#[cfg(test)]
mod tests;
