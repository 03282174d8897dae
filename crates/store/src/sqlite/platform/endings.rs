//! Ends deliveries without sending them: passed over for a newer one, or taken back by an operator, one by one or with
//! their registration.

use hookit_contract::{DeliveryId, DeliverySeq, DeliveryState, EndpointId, Timestamp, WebhookId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::book::Tick;
use super::reads::{self, Place};
use super::replays::jobs;
use crate::Error;
use crate::platform::{Cancelled, EndReason};
use crate::sqlite::failed;

/// Pending deliveries of an endpoint that one step looks at: what others wait for behind it.
const STEP_DELIVERIES: i64 = 500;

/// Deliveries of a registration that coalesces are passed over where each of their orders waits in a newer one of the same
/// registration and brand. An order has few deliveries, so its own are looked through.
pub(super) const IS_SUPERSEDED: &str = "SELECT 1 FROM deliveries this
     CROSS JOIN webhooks w ON w.webhook_id = this.webhook_id
     WHERE this.delivery_seq = ?1 AND this.state = 'pending' AND this.replay_no IS NULL AND w.is_coalescing = 1
       AND NOT EXISTS (SELECT 1 FROM delivery_orders mine WHERE mine.delivery_seq = this.delivery_seq
           AND NOT EXISTS (SELECT 1 FROM delivery_orders o
               CROSS JOIN deliveries d ON d.delivery_seq = o.delivery_seq
               WHERE o.order_id = mine.order_id AND o.delivery_seq > this.delivery_seq
                 AND d.webhook_id = this.webhook_id AND d.brand_id = this.brand_id
                 AND +d.state = 'pending' AND +d.replay_no IS NULL))";

/// Is a delivery one to be passed over?
pub(super) fn is_superseded(db: &Connection, row_id: i64) -> rusqlite::Result<bool> {
    db.prepare_cached(IS_SUPERSEDED)?.exists([row_id])
}

/// Passes a delivery over, if it still is one to be.
pub(super) fn supersede(
    db: &Connection,
    tick: &mut Tick,
    seq: DeliverySeq,
    now: Timestamp,
) -> Result<bool, Error> {
    let writing = failed("passing a delivery over");
    let Some(Place { row_id, endpoint_id, .. }) = reads::delivery_at(db, seq).map_err(&writing)? else {
        return Ok(false);
    };
    if !is_superseded(db, row_id).map_err(&writing)? {
        return Ok(false);
    }
    db.prepare_cached(
        "UPDATE deliveries SET state = 'superseded', next_attempt_at = NULL, finished_at = ?2 WHERE delivery_seq = ?1",
    )
    .and_then(|mut s| s.execute(params![row_id, now.as_millis()]))
    .map_err(&writing)?;
    tick.ended(endpoint_id, DeliveryState::Superseded);
    Ok(true)
}

/// Takes one delivery back.
pub(super) fn cancel_delivery(
    db: &Connection,
    tick: &mut Tick,
    delivery_id: &DeliveryId,
    by: &str,
    now: Timestamp,
) -> Result<Cancelled, Error> {
    let Some(delivery) = reads::delivery_alone(db, delivery_id)? else {
        return Ok(Cancelled::NoSuchDelivery);
    };
    if delivery.state != DeliveryState::Pending {
        return Ok(Cancelled::Ended(delivery.state));
    }
    cancel(db, tick, delivery.seq.0, by, EndReason::DeliveryCancelled, now)?;
    // What waits behind it need not wait any more.
    tick.endpoints.push(delivery.endpoint_id);
    super::replays::hint(db, tick, delivery.endpoint_id)?;
    Ok(Cancelled::Done)
}

fn cancel(
    db: &Connection,
    tick: &mut Tick,
    row_id: i64,
    by: &str,
    reason: EndReason,
    now: Timestamp,
) -> Result<(), Error> {
    let (replay_no, endpoint_id): (Option<i64>, i64) = db
        .prepare_cached(
            "UPDATE deliveries SET state = 'cancelled', next_attempt_at = NULL, finished_at = ?2, ended_by = ?3,
                 ended_reason = ?4
             WHERE delivery_seq = ?1 RETURNING replay_no, endpoint_id",
        )
        .and_then(|mut s| {
            s.query_row(params![row_id, now.as_millis(), by, reason.as_str()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
        })
        .map_err(failed("taking a delivery back"))?;
    tick.ended(EndpointId(endpoint_id), DeliveryState::Cancelled);
    let seq = replay_no.map_or(DeliverySeq(row_id), DeliverySeq::of_replay);
    jobs::ended(db, seq, row_id, DeliveryState::Cancelled, now)
}

/// Removes a registration. Its deliveries are not sent from here on; [`step`] takes them back.
pub(super) fn remove_webhook(
    db: &Connection,
    tick: &mut Tick,
    webhook_id: WebhookId,
    by: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    let endpoint_id = db
        .prepare_cached(
            "UPDATE webhooks SET removed_at = ?2, removed_by = ?3, cancelled_to = 0
             WHERE webhook_id = ?1 AND removed_at IS NULL RETURNING endpoint_id",
        )
        .and_then(|mut s| {
            s.query_row(params![webhook_id.0, now.as_millis(), by], |row| row.get(0).map(EndpointId))
                .optional()
        })
        .map_err(failed("removing a registration"))?;
    let Some(endpoint_id) = endpoint_id else { return Ok(false) };
    tick.registry_changed();
    // Its wishes are gone, and what waits behind its deliveries may go.
    tick.endpoints.push(endpoint_id);
    super::replays::hint(db, tick, endpoint_id)?;
    Ok(true)
}

/// The next part of the backlog of the endpoint of a registration that was removed.
pub(super) const TO_CANCEL: &str = "SELECT delivery_seq, webhook_id FROM deliveries
     WHERE endpoint_id = ?1 AND state = 'pending' AND delivery_seq > ?2 ORDER BY delivery_seq LIMIT ?3";

/// Takes back a part of what waits for a registration that was removed; false where there is none such.
///
/// Nothing is made for it any more, and nothing is moved to or from its endpoint, so one pass over what is pending there
/// finds all of it.
pub(super) fn step(db: &Connection, tick: &mut Tick, now: Timestamp) -> Result<bool, Error> {
    let writing = failed("taking back what waits for a registration");
    let found = db
        .prepare_cached(
            "SELECT webhook_id, endpoint_id, cancelled_to, removed_by FROM webhooks
             WHERE cancelled_to IS NOT NULL ORDER BY webhook_id LIMIT 1",
        )
        .and_then(|mut s| {
            s.query_row([], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get(3)?))
            })
            .optional()
        })
        .map_err(&writing)?;
    let Some((webhook_id, endpoint_id, cancelled_to, by)) = found else { return Ok(false) };
    let by: String = by;
    let part: Vec<(i64, i64)> = db
        .prepare_cached(TO_CANCEL)
        .and_then(|mut s| {
            s.query_map([endpoint_id, cancelled_to, STEP_DELIVERIES], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
        .map_err(&writing)?;
    for (row_id, whose) in &part {
        if *whose == webhook_id {
            cancel(db, tick, *row_id, &by, EndReason::WebhookRemoved, now)?;
        }
    }
    let is_last = part.len() < STEP_DELIVERIES as usize;
    let through = part.last().map(|(row_id, _)| *row_id).filter(|_| !is_last);
    db.prepare_cached("UPDATE webhooks SET cancelled_to = ?2 WHERE webhook_id = ?1")
        .and_then(|mut s| s.execute(params![webhook_id, through]))
        .map_err(&writing)?;
    if is_last {
        // The engine may hold some of it in memory still.
        tick.endpoints.push(EndpointId(endpoint_id));
        super::replays::hint(db, tick, EndpointId(endpoint_id))?;
    }
    Ok(true)
}
