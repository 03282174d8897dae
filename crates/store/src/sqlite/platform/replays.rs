//! Sends deliveries again that have ended.

use hookit_contract::{DeliveryId, DeliverySeq, DeliveryState, EndpointId, Timestamp};
use rusqlite::{Connection, params};

use super::book::Tick;
use super::reads;
use crate::Error;
use crate::platform::{PendingDelivery, Replayed};
use crate::sqlite::failed;

/// Makes a delivery pending again, behind everything fresh.
pub(super) fn replay(
    db: &Connection,
    tick: &mut Tick,
    delivery_id: &DeliveryId,
    now: Timestamp,
) -> Result<Replayed, Error> {
    let writing = failed("replaying a delivery");
    let Some(delivery) = reads::delivery_alone(db, delivery_id)? else { return Ok(Replayed::NoSuchDelivery) };
    let ended = match delivery.state {
        DeliveryState::Pending => return Ok(Replayed::Pending),
        DeliveryState::Delivered => &mut tick.counts.delivered,
        DeliveryState::Dead => &mut tick.counts.dead,
        DeliveryState::Cancelled => &mut tick.counts.cancelled,
    };
    *ended -= 1;
    tick.counts.pending += 1;
    let number = tick.numbers.replay_no;
    tick.numbers.replay_no += 1;
    // The registration may point elsewhere by now; what it missed goes where it would go today.
    let endpoint_id = db
        .prepare_cached(
            "UPDATE deliveries SET state = 'pending', failures = 0, next_attempt_at = ?2, finished_at = NULL,
                 replay_no = ?3, replayed_at = ?2,
                 endpoint_id = (SELECT w.endpoint_id FROM webhooks w WHERE w.webhook_id = deliveries.webhook_id)
             WHERE delivery_seq = ?1 RETURNING endpoint_id",
        )
        .and_then(|mut s| {
            s.query_row(params![delivery.seq.0, now.as_millis(), number], |row| row.get(0).map(EndpointId))
        })
        .map_err(&writing)?;
    tick.hints.push(PendingDelivery {
        seq: DeliverySeq::of_replay(number),
        endpoint_id,
        orders: delivery.orders.iter().map(|(order_id, _)| *order_id).collect(),
        attempts: delivery.attempts,
        failures: 0,
        due: now,
        committed_at: now,
    });
    Ok(Replayed::Done)
}

/// Says that an endpoint has replays, after it got a backlog from another.
pub(super) fn hint(db: &Connection, tick: &mut Tick, endpoint_id: EndpointId) -> Result<(), Error> {
    let page = reads::pending(db, endpoint_id, DeliverySeq::REPLAYS_AFTER, 1)?;
    tick.hints.extend(page.deliveries);
    Ok(())
}
