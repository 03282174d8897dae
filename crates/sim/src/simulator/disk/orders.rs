//! The orders, and what a change makes of one.

use bytes::Bytes;
use hookit_contract::{
    Changes, EventType, KnownStatus, MoveVerdict, OWNED_FIELDS, OrderId, OrderStatus, OwnedFields, Record,
    Timestamp, check_move,
};
use hookit_store::platform::{Change, Changed, Partner, Reason, StoredOrder};

use super::{Disk, Occurrence, Order, Tick};
use crate::auditor::event;

impl Disk {
    pub(super) fn change(&mut self, tick: &mut Tick, change: Change, now: Timestamp) -> Changed {
        let (order_id, event_type, status, record) = match change {
            Change::Create { record } => return self.create(tick, &record, now),
            Change::Move { order_id, to, actor, reason, .. } => {
                let Some(order) = self.orders.get(&order_id) else { return Changed::NoSuchOrder };
                match check_move(order.stored.status, to, actor) {
                    MoveVerdict::Unchanged => return Changed::Unchanged(order.stored.clone()),
                    MoveVerdict::Refused(refusal) => return Changed::MoveRefused(refusal),
                    MoveVerdict::Allowed => {}
                }
                let mut changes = Changes::new();
                match reason.filter(|_| to == KnownStatus::Cancelled) {
                    Some(Reason::Code(code)) => changes.integer("cancellation_reason_id", code),
                    Some(Reason::Text(text)) => changes.string("cancellation_reason", &text),
                    None => {}
                }
                (order_id, EventType::OrderStatusUpdated, OrderStatus::Known(to), order.record.with(&changes))
            }
            Change::EditCart { order_id, fields } => {
                let Some(order) = self.orders.get(&order_id) else { return Changed::NoSuchOrder };
                let status = order.stored.status;
                if matches!(status, OrderStatus::Known(status) if status.has_ended()) {
                    return Changed::CartFinal(status);
                }
                let mut changes = Changes::new();
                for name in fields.names().filter(|name| !OWNED_FIELDS.contains(&name.as_ref())) {
                    changes.copied(&name, &fields);
                }
                if changes.are_in(&order.record) {
                    return Changed::Unchanged(order.stored.clone());
                }
                (order_id, EventType::OrderCartUpdated, status, order.record.with(&changes))
            }
        };
        self.renew(tick, order_id, event_type, status, &record, now)
    }

    pub(super) fn create(&mut self, tick: &mut Tick, record: &Record, now: Timestamp) -> Changed {
        let read = || Some((record.id().ok()??, record.business_id().ok()??, record.branch_id().ok()??));
        let Some((order_id, business_id, branch_id)) = read() else { return Changed::NoSuchOrder };
        if self.orders.contains_key(&order_id) {
            return Changed::IdTaken(order_id);
        }
        let status = OrderStatus::Known(KnownStatus::Placed);
        let stored =
            StoredOrder { order_id, business_id, branch_id, status, version: 0, record: Bytes::new() };
        let order = Order { stored, record: record.clone(), created_at: now, updated_at: now };
        self.orders.insert(order_id, order);
        self.renew(tick, order_id, EventType::OrderCreated, status, record, now)
    }

    pub(super) fn renew(
        &mut self,
        tick: &mut Tick,
        order_id: OrderId,
        event_type: EventType,
        status: OrderStatus,
        record: &Record,
        now: Timestamp,
    ) -> Changed {
        let order = self.orders.get_mut(&order_id).expect("the caller has looked it up");
        order.updated_at = now.max(order.updated_at);
        let owned = OwnedFields {
            id: order_id,
            status,
            version: order.stored.version + 1,
            created_at: order.created_at,
            updated_at: order.updated_at,
            order_type: record.order_type(),
        };
        let mut changes = Changes::new();
        owned.set(&self.codes, &mut changes);
        order.record = record.with(&changes);
        order.stored.status = status;
        order.stored.version = owned.version;
        order.stored.record = order.record.bytes().clone();

        let brands = order.record.brand_ids().unwrap_or_default();
        let StoredOrder { business_id, branch_id, version, .. } = order.stored;
        let of_business = |(i, p): (usize, &Partner)| (p.business_id == business_id).then_some(i);
        tick.commit.changes.push(event::Change {
            order: order_id.0,
            version,
            business: business_id.0,
            branch: branch_id.0,
            brands: brands.iter().map(|brand| brand.0).collect(),
            event_type: event_type.as_str(),
            record: order.stored.record.clone(),
        });
        let occurrence = Occurrence {
            order_id,
            version,
            branch_id,
            brands,
            partners: self.partners.iter().enumerate().filter_map(of_business).collect(),
            event_type,
            record: order.stored.record.clone(),
            at: now,
        };
        self.events.push(occurrence.clone());
        tick.occurrences.push(occurrence);
        Changed::Done(order.stored.clone())
    }

    pub(in crate::simulator) fn order(&self, order_id: OrderId) -> Option<StoredOrder> {
        self.orders.get(&order_id).map(|order| order.stored.clone())
    }

    pub(in crate::simulator) fn orders(&self) -> impl Iterator<Item = &StoredOrder> {
        self.orders.values().map(|order| &order.stored)
    }
}
