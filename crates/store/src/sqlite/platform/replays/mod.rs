//! Sends deliveries again that have ended: one, or many by a job.

pub(super) mod jobs;
pub(super) mod matches;

use hookit_contract::{DeliveryId, DeliverySeq, DeliveryState, EndpointId, ReplayId, Timestamp};
use rusqlite::{Connection, params};

use super::book::Tick;
use super::{deliveries, reads};
use crate::Error;
use crate::fanout::Planned;
use crate::platform::{Delivery, PendingDelivery, Replayed};
use crate::sqlite::failed;
use crate::sqlite::ids::DeliveryIds;

/// Makes one delivery pending again, behind everything fresh.
pub(super) fn replay_delivery(
    db: &Connection,
    tick: &mut Tick,
    delivery_id: &DeliveryId,
    now: Timestamp,
) -> Result<Replayed, Error> {
    let Some(delivery) = reads::delivery_alone(db, delivery_id)? else { return Ok(Replayed::NoSuchDelivery) };
    if delivery.state == DeliveryState::Pending {
        return Ok(Replayed::Pending);
    }
    let is_removed = db
        .prepare_cached("SELECT 1 FROM webhooks WHERE webhook_id = ?1 AND removed_at IS NOT NULL")
        .and_then(|mut s| s.exists([delivery.webhook_id.0]))
        .map_err(failed("reading a delivery's registration"))?;
    if is_removed {
        return Ok(Replayed::WebhookRemoved);
    }
    again(db, tick, &delivery, None, now)?;
    Ok(Replayed::Done)
}

/// Puts a delivery that has ended in line again, by itself or for a job.
fn again(
    db: &Connection,
    tick: &mut Tick,
    delivery: &Delivery,
    replay_id: Option<ReplayId>,
    now: Timestamp,
) -> Result<(), Error> {
    if delivery.state == DeliveryState::Pending {
        return Ok(());
    }
    let number = next_number(tick);
    // The registration may point elsewhere by now; what it missed goes where it would go today.
    let endpoint_id = db
        .prepare_cached(
            "UPDATE deliveries SET state = 'pending', failures = 0, next_attempt_at = ?2, finished_at = NULL,
                 replay_no = ?3, replayed_at = ?2, replay_id = ?4, ended_by = NULL, ended_reason = NULL,
                 endpoint_id = (SELECT w.endpoint_id FROM webhooks w WHERE w.webhook_id = deliveries.webhook_id)
             WHERE delivery_seq = ?1 RETURNING endpoint_id",
        )
        .and_then(|mut s| {
            let values = params![delivery.seq.0, now.as_millis(), number, replay_id.map(|id| id.0)];
            s.query_row(values, |row| row.get(0).map(EndpointId))
        })
        .map_err(failed("replaying a delivery"))?;
    tick.replayed(endpoint_id, Some(delivery.state));
    tick.hints.push(PendingDelivery {
        seq: DeliverySeq::of_replay(number),
        endpoint_id,
        orders: delivery.orders.iter().map(|(order_id, _)| *order_id).collect(),
        attempts: delivery.attempts,
        failures: 0,
        due: now,
        committed_at: now,
    });
    Ok(())
}

/// Makes a new delivery and puts it in line where replays stand.
fn anew(
    db: &Connection,
    tick: &mut Tick,
    ids: &mut DeliveryIds,
    planned: &Planned,
    replay_id: ReplayId,
) -> Result<(), Error> {
    let seq = DeliverySeq(tick.numbers.delivery_seq);
    tick.numbers.delivery_seq += 1;
    let number = next_number(tick);
    deliveries::insert(db, seq, ids, planned)
        .and_then(|_| {
            db.prepare_cached(
                "UPDATE deliveries SET replay_no = ?2, replayed_at = created_at, replay_id = ?3 WHERE delivery_seq = ?1",
            )?
            .execute(params![seq.0, number, replay_id.0])
        })
        .map_err(failed("making a delivery of a replay"))?;
    tick.replayed(planned.endpoint_id, None);
    tick.hints.push(PendingDelivery {
        seq: DeliverySeq::of_replay(number),
        endpoint_id: planned.endpoint_id,
        orders: planned.orders.iter().map(|(order_id, _)| *order_id).collect(),
        attempts: 0,
        failures: 0,
        due: planned.at,
        committed_at: planned.at,
    });
    Ok(())
}

fn next_number(tick: &mut Tick) -> i64 {
    let number = tick.numbers.replay_no;
    tick.numbers.replay_no += 1;
    number
}

/// Says that an endpoint has replays, after it got a backlog from another, or may go on with some.
pub(super) fn hint(db: &Connection, tick: &mut Tick, endpoint_id: EndpointId) -> Result<(), Error> {
    let page = reads::pending(db, endpoint_id, DeliverySeq::REPLAYS_AFTER, 1)?;
    tick.hints.extend(page.deliveries);
    Ok(())
}
