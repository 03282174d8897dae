//! Writes the deliveries of a tick.

use hookit_contract::{DeliveryId, DeliverySeq, EndpointId, OrderId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::book::Tick;
use super::fresh::FreshDelivery;
use super::registry::Registry;
use crate::Error;
use crate::fanout::{self, Planned};
use crate::platform::PendingDelivery;
use crate::sqlite::failed;
use crate::sqlite::ids::DeliveryIds;

/// Is one of the order's deliveries pending at the endpoint? An order has few deliveries, so its own are looked
/// through, and not the endpoint's backlog.
pub(super) const IS_WAITING: &str = "SELECT 1 FROM delivery_orders o CROSS JOIN deliveries d
     ON d.delivery_seq = o.delivery_seq
     WHERE o.order_id = ?1 AND +d.endpoint_id = ?2 AND +d.state = 'pending' LIMIT 1";

/// Forms the deliveries of the tick's events and appends them.
pub(super) fn form(
    db: &Connection,
    tick: &mut Tick,
    registry: &Registry,
    ids: &mut DeliveryIds,
    orders_per_delivery_max: usize,
) -> Result<(), Error> {
    let is_waiting = |endpoint_id: EndpointId, order_id: OrderId| {
        db.prepare_cached(IS_WAITING)?
            .query_row([order_id.0, endpoint_id.0], |_| Ok(()))
            .optional()
            .map(|found| found.is_some())
    };
    let planned = fanout::plan(&tick.events, &registry.routes, orders_per_delivery_max, is_waiting)
        .map_err(failed("looking for what orders wait for"))?;
    let writing = failed("writing a delivery");
    for delivery in planned {
        let seq = DeliverySeq(tick.numbers.delivery_seq);
        tick.numbers.delivery_seq += 1;
        let delivery_id = insert(db, seq, ids, &delivery).map_err(&writing)?;
        // A tick's records are numbered one after the other.
        let first = tick.events.first().map_or(0, |event| event.record_id);
        let record = |(_, record_id): &(OrderId, i64)| {
            let event = tick.events.get(usize::try_from(record_id - first).ok()?)?;
            (event.record_id == *record_id).then(|| event.record.clone())
        };
        if let Some(records) = delivery.orders.iter().map(record).collect() {
            tick.fresh.made.push(FreshDelivery {
                seq,
                delivery_id,
                event_type: delivery.event_type,
                webhook_id: delivery.webhook_id,
                brand_id: delivery.brand_id,
                branch_id: delivery.branch_id,
                created_at: delivery.at,
                records,
            });
        }
        tick.formed(delivery.endpoint_id);
        tick.hints.push(PendingDelivery {
            seq,
            endpoint_id: delivery.endpoint_id,
            orders: delivery.orders.iter().map(|(order_id, _)| *order_id).collect(),
            attempts: 0,
            failures: 0,
            due: delivery.at,
            committed_at: delivery.at,
        });
    }
    Ok(())
}

/// Writes a new delivery that is pending, and gives it its public id.
pub(super) fn insert(
    db: &Connection,
    seq: DeliverySeq,
    ids: &mut DeliveryIds,
    delivery: &Planned,
) -> rusqlite::Result<DeliveryId> {
    let delivery_id = ids.next(delivery.at);
    db.prepare_cached(
        "INSERT INTO deliveries (delivery_seq, delivery_id, endpoint_id, webhook_id, event_type, brand_id, branch_id,
             envelope_format, state, attempts, failures, next_attempt_at, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, 'pending', 0, 0, ?8, ?8)",
    )?
    .execute(params![
        seq.0,
        delivery_id.as_str(),
        delivery.endpoint_id.0,
        delivery.webhook_id.0,
        delivery.event_type.as_str(),
        delivery.brand_id.0,
        delivery.branch_id.0,
        delivery.at.as_millis()
    ])?;
    let mut statement = db.prepare_cached(
        "INSERT INTO delivery_orders (delivery_seq, position, order_id, record_id) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (position, (order_id, record_id)) in (0i64..).zip(&delivery.orders) {
        statement.execute([seq.0, position, order_id.0, *record_id])?;
    }
    Ok(delivery_id)
}
