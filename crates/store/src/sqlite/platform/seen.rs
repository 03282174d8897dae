//! Orders as people look at them: by the names that they know them by, by what happened lately, and all that happened to one.

use hookit_contract::{Actor, BranchId, EventType, OrderId, StatusCodes, Timestamp};
use rusqlite::{Connection, Row, params};

use super::order_rows::{COLUMNS, stored};
use super::reads::records;
use crate::Error;
use crate::platform::{LatelyChanged, OrderEvent, StoredOrder};
use crate::sqlite::{failed, limit as sql_limit, word};

/// Events that are looked at for the orders that changed lately: one that changes without end shall not keep others out.
const LOOKS: usize = 2_000;

pub(super) const NAMED: &str =
    "SELECT DISTINCT order_id FROM order_names WHERE name = ?1 ORDER BY order_id DESC LIMIT ?2";

/// The last character there is stands behind whatever else a name goes on with.
pub(super) const NAMED_SO: &str = "SELECT name, order_id FROM order_names WHERE name >= ?1 AND name < ?1 || char(1114111) ORDER BY name, order_id LIMIT ?2";

/// Orders of this name, the newest first, and behind them those whose names begin so.
pub(super) fn named(db: &Connection, name: &str, limit: usize) -> Result<Vec<OrderId>, Error> {
    let read = || -> rusqlite::Result<Vec<OrderId>> {
        let limit_sql = sql_limit(limit);
        let mut found: Vec<OrderId> = db
            .prepare_cached(NAMED)?
            .query_map(params![name, limit_sql], |row| row.get(0).map(OrderId))?
            .collect::<Result<_, _>>()?;
        let mut more = db.prepare_cached(NAMED_SO)?;
        let more = more.query_map(params![name, limit_sql], |row| row.get(1).map(OrderId))?;
        for order_id in more {
            let order_id = order_id?;
            if found.len() < limit && !found.contains(&order_id) {
                found.push(order_id);
            }
        }
        Ok(found)
    };
    read().map_err(failed("looking for an order by name"))
}

pub(super) const NEWEST: &str = "SELECT e.event_seq, r.order_id, e.created_at FROM events e
    CROSS JOIN records r ON r.record_id = e.event_seq ORDER BY e.event_seq DESC LIMIT ?1";

/// The orders that changed last, the newest change first.
pub(super) fn lately(
    db: &Connection,
    codes: &StatusCodes,
    limit: usize,
    record_bytes_max: usize,
) -> Result<Vec<LatelyChanged>, Error> {
    let read = || -> rusqlite::Result<Vec<LatelyChanged>> {
        let mut newest = db.prepare_cached(NEWEST)?;
        let mut order = db.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM orders o JOIN records r ON r.record_id = o.record_id WHERE o.order_id = ?1"
        ))?;
        let mut rows = newest.query([sql_limit(LOOKS)])?;
        let mut found: Vec<LatelyChanged> = Vec::new();
        let mut known = std::collections::HashSet::new();
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            let order_id: i64 = row.get(1)?;
            if found.len() == limit || bytes > record_bytes_max {
                break;
            }
            if known.insert(order_id) {
                let changed_at = Timestamp::from_millis(row.get(2)?);
                let order: StoredOrder = order.query_row([order_id], |row| stored(row, codes))?;
                bytes += order.record.len();
                found.push(LatelyChanged { order, changed_at });
            }
        }
        Ok(found)
    };
    read().map_err(failed("looking for what changed lately"))
}

/// A branch's orders. Its index has them by their ids within it.
pub(super) const OF_BRANCH: &str =
    "SELECT o.order_id, o.updated_at FROM orders o WHERE o.branch_id = ?1 ORDER BY o.order_id DESC LIMIT ?2";

pub(super) fn of_branch(
    db: &Connection,
    codes: &StatusCodes,
    branch_id: BranchId,
    limit: usize,
    record_bytes_max: usize,
) -> Result<Vec<LatelyChanged>, Error> {
    let read = || -> rusqlite::Result<Vec<LatelyChanged>> {
        let mut order = db.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM orders o JOIN records r ON r.record_id = o.record_id WHERE o.order_id = ?1"
        ))?;
        let mut of_branch = db.prepare_cached(OF_BRANCH)?;
        let mut rows = of_branch.query((branch_id.0, sql_limit(limit)))?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            if bytes > record_bytes_max {
                break;
            }
            let changed_at = Timestamp::from_millis(row.get(1)?);
            let order: StoredOrder = order.query_row([row.get::<_, i64>(0)?], |row| stored(row, codes))?;
            bytes += order.record.len();
            found.push(LatelyChanged { order, changed_at });
        }
        Ok(found)
    };
    read().map_err(failed("looking for a branch's orders"))
}

pub(super) const EVENTS_OF: &str =
    "SELECT e.event_type, r.version, e.status_from, e.status_to, e.actor, e.occurred_at, e.created_at, r.record_id
     FROM records r CROSS JOIN events e ON e.event_seq = r.record_id
     WHERE r.order_id = ?1 ORDER BY r.version DESC LIMIT ?2";

/// What happened to an order, the newest first.
pub(super) fn events_of(
    db: &Connection,
    codes: &StatusCodes,
    order_id: OrderId,
    limit: usize,
    record_bytes_max: usize,
) -> Result<Vec<OrderEvent>, Error> {
    let reading = failed("reading what happened to an order");
    let mut statement = db.prepare_cached(EVENTS_OF).map_err(&reading)?;
    let mut rows = statement.query(params![order_id.0, sql_limit(limit)]).map_err(&reading)?;
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next().map_err(&reading)? {
        let event_type: String = row.get(0).map_err(&reading)?;
        // Read one by one, and only as long as there is room.
        let record = match bytes <= record_bytes_max {
            true => records(db, &[row.get(7).map_err(&reading)?])?.and_then(|mut one| one.pop()),
            false => None,
        };
        bytes += record.as_ref().map_or(0, |record| record.len());
        events.push(OrderEvent {
            event_type: word(&event_type, "event type")?,
            record,
            ..event(row, codes).map_err(&reading)?
        });
    }
    Ok(events)
}

fn event(row: &Row<'_>, codes: &StatusCodes) -> rusqlite::Result<OrderEvent> {
    Ok(OrderEvent {
        event_type: EventType::OrderCreated,
        version: row.get(1)?,
        status_from: row.get::<_, Option<i64>>(2)?.map(|code| codes.status(code)),
        status: codes.status(row.get(3)?),
        // The schema allows one other word.
        actor: if row.get_ref(4)?.as_str()? == "partner" { Actor::Partner } else { Actor::Operator },
        occurred_at: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_millis),
        created_at: Timestamp::from_millis(row.get(6)?),
        record: None,
    })
}
