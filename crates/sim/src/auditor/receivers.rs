//! What receivers see, and the view of the orders that a partner gets from it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Auditor, State};

/// All receivers, and the views of their partners.
#[derive(Debug, Default)]
pub(super) struct Receivers {
    seen: BTreeSet<(i64, String)>,
    /// The newest version of an order that an endpoint has seen.
    newest: BTreeMap<(i64, i64), i64>,
    /// What a partner holds of an order: version and record.
    views: BTreeMap<(usize, i64), (i64, String)>,
}

#[cfg(test)]
impl Receivers {
    /// A partner loses an order.
    pub(super) fn forget(&mut self, partner: usize, order: i64) {
        self.views.remove(&(partner, order));
    }
}

/// The orders of an envelope: id, version, and the record's text.
fn orders(body: &[u8]) -> Option<Vec<(i64, i64, String)>> {
    let envelope: BTreeMap<String, &RawValue> = serde_json::from_slice(body).ok()?;
    let orders: Vec<&RawValue> = serde_json::from_str(envelope.get("orders")?.get()).ok()?;
    let order = |text: &RawValue| {
        let value: Value = serde_json::from_str(text.get()).ok()?;
        Some((value["id"].as_i64()?, value["version"].as_i64()?, text.get().to_owned()))
    };
    orders.into_iter().map(order).collect()
}

impl Auditor {
    /// A receiver has processed a request. It keeps to the published rules: an id that it has seen changes nothing,
    /// and so does a record that is older than what it holds.
    pub(super) fn saw(&mut self, endpoint: i64, id: &str, body: &Bytes, late: bool) {
        let Some(&seq) = self.by_id.get(id) else {
            return self
                .broken("G3", format!("endpoint {endpoint} sees the id {id}, which was never committed"));
        };
        let Some(held) = self.deliveries.get_mut(&seq) else { return };
        let (webhook, moved, state, meant) =
            (held.webhook, held.moved.is_some() || held.replayed, held.state, held.body.clone());
        if meant != *body {
            return self.broken("G3", format!("endpoint {endpoint} sees delivery {seq} with other bytes"));
        }
        // Only what is not late can have been acknowledged.
        held.seen |= !late;
        if late {
            self.counts.answers_lost += 1;
        }
        if !self.receivers.seen.insert((endpoint, id.to_owned())) {
            self.counts.repeats += 1;
            return;
        }
        let Some(partner) = self.book.partner(webhook) else { return };
        let Some(orders) = orders(body) else {
            return self.broken("G3", format!("endpoint {endpoint} cannot read delivery {seq}"));
        };
        // A request that arrives after its sender gave the delivery up, a replay of what is long past, and one that was meant for another URL when
        // newer ones went out here, cannot be in order.
        let excused = moved || (late && state != State::Pending) || self.services.was_unordered(endpoint);
        for (order, version, record) in orders {
            let newest =
                self.receivers.newest.entry((endpoint, order)).or_insert(if excused { 0 } else { version });
            if version < *newest && !excused {
                let what = format!("endpoint {endpoint} sees order {order} v{version} after v{newest}");
                self.broken("G4", what);
            } else if !excused {
                *newest = version;
            }
            let view =
                self.receivers.views.entry((partner, order)).or_insert_with(|| (version, record.clone()));
            if version > view.0 {
                *view = (version, record);
            }
        }
    }

    /// G8: each partner holds the newest record of every order that it had to hear of and that was not given up.
    pub(super) fn compare_views(&mut self) {
        let mut newest: BTreeMap<(usize, i64), i64> = BTreeMap::new();
        for held in self.deliveries.values().filter(|held| held.state == State::Delivered) {
            let Some(partner) = self.book.partner(held.webhook) else { continue };
            for &(order, version) in &held.orders {
                let known = newest.entry((partner, order)).or_insert(version);
                *known = version.max(*known);
            }
        }
        for (key, version) in newest {
            let (partner, order) = key;
            let truth = self.records.get(&(order, version)).map(|record| &record[..]);
            let view = self.receivers.views.get(&key);
            // A partner may hold a newer record, from a delivery that was given up although it had arrived.
            let equal = view.is_some_and(|(held, record)| {
                *held > version || (*held == version && truth == Some(record.as_bytes()))
            });
            if !equal {
                let held = view.map(|(held, _)| held);
                self.broken(
                    "G8",
                    format!("partner {partner} holds order {order} at {held:?}, not at v{version}"),
                );
            }
        }
    }
}
