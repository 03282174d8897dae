//! Forms the deliveries of a tick for the simulated disk, simpler than the real store does it and with the same
//! promises: the most specific registration of each partner, no order twice in a delivery, and an order's deliveries
//! to a partner numbered in the order of its changes.

use std::collections::BTreeMap;

use hookit_contract::{BranchId, BrandId, EndpointId, EventType, OrderId};
use hookit_store::platform::Webhook;

use super::Occurrence;

/// A delivery to be numbered.
pub(super) struct Planned {
    pub(super) webhook: usize,
    pub(super) endpoint_id: EndpointId,
    pub(super) event_type: EventType,
    pub(super) brand_id: BrandId,
    pub(super) branch_id: BranchId,
    /// Indices into the tick's occurrences.
    pub(super) occurrences: Vec<usize>,
}

/// The registrations that hear of an occurrence for a brand: indices, one for each partner.
pub(super) fn routes(
    webhooks: &[(Webhook, usize)],
    is_present: impl Fn(usize) -> bool,
    occurrence: &Occurrence,
    brand_id: BrandId,
) -> Vec<usize> {
    let mut best: BTreeMap<usize, (bool, bool, usize)> = BTreeMap::new();
    for (i, (webhook, partner)) in webhooks.iter().enumerate() {
        let fits = is_present(i)
            && occurrence.partners.contains(partner)
            && webhook.event_type == occurrence.event_type
            && webhook.brand_id.is_none_or(|id| id == brand_id)
            && webhook.branch_id.is_none_or(|id| id == occurrence.branch_id);
        if fits {
            let this = (webhook.brand_id.is_some(), webhook.branch_id.is_some(), i);
            let known = best.entry(*partner).or_insert(this);
            *known = this.max(*known);
        }
    }
    best.into_values().map(|(_, _, webhook)| webhook).collect()
}

/// `is_waiting` says whether an order has something pending at an endpoint: it goes by itself then.
pub(super) fn plan(
    webhooks: &[(Webhook, usize)],
    is_present: impl Fn(usize) -> bool,
    occurrences: &[Occurrence],
    orders_max: usize,
    is_waiting: impl Fn(EndpointId, OrderId) -> bool,
) -> Vec<Planned> {
    let mut planned: Vec<Planned> = Vec::new();
    let mut open: BTreeMap<(usize, BrandId, BranchId), usize> = BTreeMap::new();
    let mut latest: BTreeMap<(usize, OrderId), usize> = BTreeMap::new();
    for (i, occurrence) in occurrences.iter().enumerate() {
        for &brand_id in &occurrence.brands {
            for webhook in routes(webhooks, &is_present, occurrence, brand_id) {
                let endpoint_id = webhooks[webhook].0.endpoint_id;
                let line = (webhooks[webhook].1, occurrence.order_id);
                let key = (webhook, brand_id, occurrence.branch_id);
                let alone = is_waiting(endpoint_id, occurrence.order_id);
                // Joining a delivery that has a lower number than the order's last one would turn them round.
                let own_max = webhooks[webhook].0.settings.orders_per_delivery_max;
                let orders_max = own_max.map_or(orders_max, |own| orders_max.min(own as usize));
                let joins = open.get(&key).copied().filter(|&delivery| {
                    !alone
                        && planned[delivery].occurrences.len() < orders_max
                        && latest.get(&line).is_none_or(|&last| last < delivery)
                });
                let delivery = joins.unwrap_or(planned.len());
                match joins {
                    Some(delivery) => planned[delivery].occurrences.push(i),
                    None => planned.push(Planned {
                        webhook,
                        endpoint_id,
                        event_type: occurrence.event_type,
                        brand_id,
                        branch_id: occurrence.branch_id,
                        occurrences: vec![i],
                    }),
                }
                if joins.is_none() && !alone {
                    open.insert(key, delivery);
                }
                latest.insert(line, delivery);
            }
        }
    }
    planned
}
