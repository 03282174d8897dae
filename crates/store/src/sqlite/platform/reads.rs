//! What is read from the platform's store, each from one snapshot.

use std::time::Duration;

use bytes::Bytes;
use hookit_contract::{
    Actor, AttemptOutcome, BranchId, BrandId, DeliveryId, DeliverySeq, DeliveryState, EndpointId, EventType,
    OrderId, PartnerId, ReplayId, StatusCodes, Timestamp, WebhookId, envelope_bytes,
};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};

use super::order_rows::{COLUMNS, stored, text};
use super::{endings, registry};
use crate::Error;
use crate::paging::{Ends, Filling};
use crate::platform::{
    ATTEMPTS_SHOWN_MAX, Attempt, DeadLetters, Delivery, Endpoint, EndpointSettings, EventPage, EventQuery,
    EventsRead, NothingToSend, OrderPage, OrderQuery, OrderSearch, Ordering, OrdersFound, Payload,
    PendingDelivery, PendingPage, Phases, RecordPlace, StoredEvent, StoredOrder, Verdict,
};
use crate::sqlite::{count, failed, limit as sql_limit, word};

pub(super) fn order(
    db: &Connection,
    codes: &StatusCodes,
    order_id: OrderId,
) -> Result<Option<StoredOrder>, Error> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM orders o JOIN records r ON r.record_id = o.record_id WHERE o.order_id = ?1"
    ))
    .and_then(|mut s| s.query_row([order_id.0], |row| stored(row, codes)).optional())
    .map_err(failed("reading an order"))
}

pub(super) fn orders(db: &Connection, codes: &StatusCodes, query: &OrderQuery) -> Result<OrderPage, Error> {
    let after = query.after.map_or(0, |id| id.0);
    // One more than asked for says whether there is more.
    let limit = sql_limit(query.limit.saturating_add(1));
    let from = format!("SELECT {COLUMNS} FROM orders o JOIN records r ON r.record_id = o.record_id");
    let listed = |condition: &str, values: &[&dyn ToSql]| -> rusqlite::Result<OrderPage> {
        let mut statement =
            db.prepare_cached(&format!("{from} WHERE {condition} ORDER BY o.order_id LIMIT ?2"))?;
        let mut rows = statement.query(values)?;
        let mut page = Filling::new(Ends { bytes_max: query.record_bytes_max, ..Ends::after(query.limit) });
        while let Some(row) = rows.next()? {
            let order = stored(row, codes)?;
            let (order_id, bytes) = (order.order_id, order.record.len());
            if !page.look(order_id, || Ok::<_, rusqlite::Error>(Some((order, bytes))))? {
                return Ok(OrderPage { orders: page.items, more: true });
            }
        }
        Ok(OrderPage { orders: page.items, more: false })
    };
    match query.business_id {
        None => listed("o.order_id > ?1", &[&after, &limit]),
        Some(business_id) => {
            listed("o.business_id = ?3 AND o.order_id > ?1", &[&after, &limit, &business_id.0])
        }
    }
    .map_err(failed("listing orders"))
}

/// Which orders a search is about. Its values are those that `find_orders` binds.
macro_rules! search {
    () => {
        "FROM orders
         WHERE business_id = ?1 AND created_at >= ?2 AND created_at < ?3
           AND (?4 IS NULL OR status = ?4) AND (?5 IS NULL OR branch_id = ?5)
           AND (?6 IS NULL OR EXISTS (SELECT 1 FROM json_each(brands) WHERE value = ?6))"
    };
}

/// A page of them, with the lengths of their records, which SQLite tells without reading these.
pub(super) const FOUND: &str = concat!(
    "SELECT o.record_id, o.order_id, o.version, octet_length(r.record)
     FROM (SELECT order_id, version, record_id, created_at ",
    search!(),
    " ORDER BY created_at, order_id LIMIT ?7 OFFSET ?8) o
     CROSS JOIN records r ON r.record_id = o.record_id
     ORDER BY o.created_at, o.order_id"
);

/// How many there are.
pub(super) const FOUND_IN_ALL: &str = concat!("SELECT count(*) ", search!());

pub(super) fn find_orders(
    db: &Connection,
    codes: &StatusCodes,
    search: &OrderSearch,
) -> Result<OrdersFound, Error> {
    let finding = failed("finding orders");
    let (from, to) = (search.created_from.as_millis(), search.created_to.as_millis());
    let status = search.status.map(|status| codes.code_of(status));
    let (brand_id, branch_id) = (search.brand_id.map(|id| id.0), search.branch_id.map(|id| id.0));
    let searched: [&dyn ToSql; 6] = [&search.business_id.0, &from, &to, &status, &branch_id, &brand_id];
    let total = db
        .prepare_cached(FOUND_IN_ALL)
        .and_then(|mut s| s.query_row(&searched[..], |row| row.get(0)))
        .map_err(&finding)?;
    let (limit, skip) = (sql_limit(search.limit), i64::try_from(search.skip).unwrap_or(i64::MAX));
    let mut values = searched.to_vec();
    values.extend([&limit as &dyn ToSql, &skip]);
    let place = |row: &Row<'_>| -> rusqlite::Result<RecordPlace> {
        Ok(RecordPlace {
            record_id: row.get(0)?,
            order_id: OrderId(row.get(1)?),
            version: row.get(2)?,
            bytes: usize::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
        })
    };
    let records = db
        .prepare_cached(FOUND)
        .and_then(|mut s| s.query_map(&values[..], place)?.collect())
        .map_err(&finding)?;
    Ok(OrdersFound { records, total: count(total, "a number of orders")? })
}

/// These records, in this order; none where one of them is kept no more.
pub(super) fn records(db: &Connection, record_ids: &[i64]) -> Result<Option<Vec<Bytes>>, Error> {
    let read = || -> rusqlite::Result<Option<Vec<Bytes>>> {
        let mut statement = db.prepare_cached("SELECT record FROM records WHERE record_id = ?1")?;
        let mut one = |record_id: &i64| statement.query_row([record_id], |row| text(row, 0)).optional();
        record_ids.iter().map(|record_id| one(record_id).transpose()).collect::<Option<_>>().transpose()
    };
    read().map_err(failed("reading records"))
}

/// An endpoint's backlog, in the order of commits.
pub(super) const PENDING: &str =
    "SELECT delivery_seq, attempts, failures, next_attempt_at, created_at FROM deliveries
     WHERE endpoint_id = ?1 AND state = 'pending' AND replay_no IS NULL AND delivery_seq > ?2
     ORDER BY delivery_seq LIMIT ?3";

/// An endpoint's replays that have not ended, in their order, but for those that are not to be sent now.
pub(super) const REPLAYS: &str =
    "SELECT delivery_seq, attempts, failures, next_attempt_at, replayed_at, replay_no FROM deliveries
     WHERE endpoint_id = ?1 AND state = 'pending' AND replay_no > ?2
       AND NOT EXISTS (SELECT 1 FROM replays r WHERE r.replay_id = deliveries.replay_id
           AND r.state IN ('paused', 'cancelled'))
     ORDER BY replay_no LIMIT ?3";

/// The orders of a delivery.
pub(super) const ORDERS_OF: &str =
    "SELECT order_id FROM delivery_orders WHERE delivery_seq = ?1 ORDER BY position";

pub(super) fn pending(
    db: &Connection,
    endpoint_id: EndpointId,
    after: DeliverySeq,
    limit: usize,
) -> Result<PendingPage, Error> {
    let limit = limit.max(1);
    let read = || -> rusqlite::Result<PendingPage> {
        let mut orders_of = db.prepare_cached(ORDERS_OF)?;
        let of_replays = after.is_among_replays();
        let (sql, after) = match of_replays {
            true => (REPLAYS, after.replay().unwrap_or(0)),
            false => (PENDING, after.0),
        };
        let mut statement = db.prepare_cached(sql)?;
        // One more than asked for says whether there is more.
        let mut rows = statement.query([endpoint_id.0, after, sql_limit(limit.saturating_add(1))])?;
        let mut deliveries = Vec::with_capacity(limit.min(1024));
        while let Some(row) = rows.next()? {
            if deliveries.len() == limit {
                return Ok(PendingPage { deliveries, end: false });
            }
            let seq: i64 = row.get(0)?;
            let orders = orders_of.query_map([seq], |row| row.get(0).map(OrderId))?;
            deliveries.push(PendingDelivery {
                seq: if of_replays { DeliverySeq::of_replay(row.get(5)?) } else { DeliverySeq(seq) },
                endpoint_id,
                orders: orders.collect::<Result<_, _>>()?,
                attempts: row.get(1)?,
                failures: row.get(2)?,
                due: Timestamp::from_millis(row.get(3)?),
                committed_at: Timestamp::from_millis(row.get(4)?),
            });
        }
        Ok(PendingPage { deliveries, end: true })
    };
    read().map_err(failed("listing pending deliveries"))
}

/// All that an attempt needs, but for the records; and whether none is to be made now.
macro_rules! payload_where {
    ($condition:literal) => {
        concat!(
            "SELECT d.delivery_id, d.event_type, d.webhook_id, e.partner_id, e.url, p.webhook_secret,
                 w.basic_auth, d.created_at, d.brand_id, d.branch_id,
                 d.endpoint_id, w.is_coalescing, p.webhook_secret_next, p.webhook_secret_next_at,
                 EXISTS (SELECT 1 FROM replays r WHERE r.replay_id = d.replay_id AND r.state IN ('paused', 'cancelled'))
             FROM deliveries d
             JOIN endpoints e ON e.endpoint_id = d.endpoint_id
             JOIN partners p ON p.partner_id = e.partner_id
             JOIN webhooks w ON w.webhook_id = d.webhook_id
             WHERE ",
            $condition
        )
    };
}

pub(super) const PAYLOAD: &str =
    payload_where!("d.delivery_seq = ?1 AND d.state = 'pending' AND w.removed_at IS NULL");

/// The same of any delivery, also of one that has ended.
pub(super) const PAYLOAD_OF_ANY: &str = payload_where!("d.delivery_seq = ?1");

/// What stands in a place in line.
pub(super) struct Place {
    pub(super) row_id: i64,
    pub(super) endpoint_id: EndpointId,
    /// Attempts that were made of it.
    pub(super) attempts: u32,
}

/// The delivery in a place in line; none where there is none or it has another place by now.
pub(super) fn delivery_at(db: &Connection, seq: DeliverySeq) -> rusqlite::Result<Option<Place>> {
    let (sql, number) = match seq.replay() {
        Some(n) => ("SELECT delivery_seq, endpoint_id, attempts FROM deliveries WHERE replay_no = ?1", n),
        None => (
            "SELECT delivery_seq, endpoint_id, attempts FROM deliveries WHERE delivery_seq = ?1 AND replay_no IS NULL",
            seq.0,
        ),
    };
    db.prepare_cached(sql)?.query_row([number], place_of).optional()
}

/// The delivery of this id, wherever it stands.
pub(super) fn delivery_of(db: &Connection, delivery_id: &DeliveryId) -> rusqlite::Result<Option<Place>> {
    db.prepare_cached("SELECT delivery_seq, endpoint_id, attempts FROM deliveries WHERE delivery_id = ?1")?
        .query_row([delivery_id.as_str()], place_of)
        .optional()
}

fn place_of(row: &Row<'_>) -> rusqlite::Result<Place> {
    Ok(Place { row_id: row.get(0)?, endpoint_id: EndpointId(row.get(1)?), attempts: row.get(2)? })
}

/// The records of a delivery, in the order of the envelope.
pub(super) const RECORDS_OF: &str = "SELECT r.record FROM delivery_orders o CROSS JOIN records r
     ON r.record_id = o.record_id WHERE o.delivery_seq = ?1 ORDER BY o.position";

pub(super) fn payload(db: &Connection, seq: DeliverySeq) -> Result<Result<Payload, NothingToSend>, Error> {
    let reading = failed("reading a delivery's payload");
    let Some(Place { row_id, .. }) = delivery_at(db, seq).map_err(&reading)? else {
        return Ok(Err(NothingToSend::Ended));
    };
    let Some((payload, is_withheld)) = payload_in_row(db, PAYLOAD, row_id)? else {
        return Ok(Err(NothingToSend::Ended));
    };
    if is_withheld {
        return Ok(Err(NothingToSend::Withheld));
    }
    let is_superseded = payload.is_superseded && endings::is_superseded(db, row_id).map_err(&reading)?;
    Ok(Ok(Payload { is_superseded, ..payload }))
}

/// What a delivery is posted with, wherever it stands and also after it has ended.
pub(super) fn payload_of(db: &Connection, delivery_id: &DeliveryId) -> Result<Option<Payload>, Error> {
    let place = delivery_of(db, delivery_id).map_err(failed("reading a delivery's payload"))?;
    let Some(Place { row_id, .. }) = place else { return Ok(None) };
    let payload = payload_in_row(db, PAYLOAD_OF_ANY, row_id)?;
    Ok(payload.map(|(payload, _)| Payload { is_superseded: false, ..payload }))
}

/// A payload, which says that it is superseded where it may be; and whether it is withheld.
fn payload_in_row(db: &Connection, sql: &str, row_id: i64) -> Result<Option<(Payload, bool)>, Error> {
    let reading = failed("reading a delivery's payload");
    let row = db
        .prepare_cached(sql)
        .and_then(|mut s| {
            s.query_row([row_id], |row| {
                let payload = Payload {
                    delivery_id: DeliveryId::from(row.get_ref(0)?.as_str()?),
                    event_type: EventType::OrderCreated,
                    webhook_id: WebhookId(row.get(2)?),
                    partner_id: PartnerId::from(row.get_ref(3)?.as_str()?),
                    endpoint_id: EndpointId(row.get(10)?),
                    url: row.get(4)?,
                    webhook_secret: Bytes::from(row.get::<_, Vec<u8>>(5)?),
                    webhook_secret_next: registry::next_secret(row, 12)?,
                    basic_auth: row.get::<_, Option<Vec<u8>>>(6)?.map(Bytes::from),
                    body: Bytes::new(),
                    created_at: Timestamp::from_millis(row.get(7)?),
                    is_superseded: row.get(11)?,
                };
                let event_type: String = row.get(1)?;
                let is_withheld: bool = row.get(14)?;
                Ok((payload, event_type, BrandId(row.get(8)?), BranchId(row.get(9)?), is_withheld))
            })
            .optional()
        })
        .map_err(&reading)?;
    let Some((payload, event_type, brand_id, branch_id, is_withheld)) = row else { return Ok(None) };
    let records: Vec<Bytes> = db
        .prepare_cached(RECORDS_OF)
        .and_then(|mut s| s.query_map([row_id], |row| text(row, 0))?.collect())
        .map_err(&reading)?;
    let (event_type, body) =
        (word(&event_type, "event type")?, envelope_bytes(brand_id, branch_id, &records));
    Ok(Some((Payload { event_type, body, ..payload }, is_withheld)))
}

/// The newest dead letters, by endpoint and by how the last attempt of each ended. One that was given up without an attempt has
/// no row in the log.
pub(super) const DEAD_LETTERS: &str =
    "SELECT dead.endpoint_id, l.outcome, l.http_status, count(*), max(dead.finished_at)
     FROM (SELECT delivery_seq, endpoint_id, finished_at FROM deliveries
           WHERE state = 'dead' ORDER BY delivery_seq DESC LIMIT ?1) dead
     LEFT JOIN webhook_logs l ON l.delivery_seq = dead.delivery_seq
         AND l.attempt = (SELECT max(attempt) FROM webhook_logs WHERE delivery_seq = dead.delivery_seq)
     GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3";

pub(super) fn dead_letters(db: &Connection, limit: usize) -> Result<Vec<DeadLetters>, Error> {
    let group = |row: &Row<'_>| -> rusqlite::Result<(DeadLetters, Option<String>, i64)> {
        let letters = DeadLetters {
            endpoint_id: EndpointId(row.get(0)?),
            outcome: None,
            status: row.get(2)?,
            deliveries: 0,
            last_at: Timestamp::from_millis(row.get(4)?),
        };
        Ok((letters, row.get(1)?, row.get(3)?))
    };
    let groups: Vec<_> = db
        .prepare_cached(DEAD_LETTERS)
        .and_then(|mut s| s.query_map([sql_limit(limit)], group)?.collect())
        .map_err(failed("counting dead letters"))?;
    groups
        .into_iter()
        .map(|(letters, outcome, deliveries)| {
            let outcome = outcome.map(|word_| word(&word_, "outcome of an attempt")).transpose()?;
            Ok(DeadLetters { outcome, deliveries: count(deliveries, "a number of dead letters")?, ..letters })
        })
        .collect()
}

pub(super) const DELIVERY: &str =
    "d.delivery_seq, d.delivery_id, d.endpoint_id, d.webhook_id, d.event_type, d.brand_id, d.branch_id,
     d.state, d.attempts, d.created_at, d.next_attempt_at, d.finished_at, d.ended_by, d.ended_reason,
     d.replay_no IS NOT NULL, d.replay_id";

/// A row of `deliveries`, with two words still to be read and without its orders.
pub(super) struct DeliveryRow {
    delivery: Delivery,
    event_type: String,
    state: String,
}

pub(super) fn delivery_row(row: &Row<'_>) -> rusqlite::Result<DeliveryRow> {
    let time = |column| row.get::<_, Option<i64>>(column).map(|t| t.map(Timestamp::from_millis));
    Ok(DeliveryRow {
        delivery: Delivery {
            seq: DeliverySeq(row.get(0)?),
            delivery_id: DeliveryId::from(row.get_ref(1)?.as_str()?),
            endpoint_id: EndpointId(row.get(2)?),
            webhook_id: WebhookId(row.get(3)?),
            event_type: EventType::OrderCreated,
            brand_id: BrandId(row.get(5)?),
            branch_id: BranchId(row.get(6)?),
            orders: Vec::new(),
            state: DeliveryState::Pending,
            is_replay: row.get(14)?,
            replay_id: row.get::<_, Option<i64>>(15)?.map(ReplayId),
            attempts: row.get(8)?,
            created_at: Timestamp::from_millis(row.get(9)?),
            next_attempt_at: time(10)?,
            finished_at: time(11)?,
            ended_by: row.get(12)?,
            // The schema allows no other words.
            ended_reason: row.get::<_, Option<String>>(13)?.and_then(|word| word.parse().ok()),
        },
        event_type: row.get(4)?,
        state: row.get(7)?,
    })
}

pub(super) fn whole(db: &Connection, row: DeliveryRow) -> Result<Delivery, Error> {
    let orders = db
        .prepare_cached(
            "SELECT o.order_id, r.version FROM delivery_orders o CROSS JOIN records r ON r.record_id = o.record_id
             WHERE o.delivery_seq = ?1 ORDER BY o.position",
        )
        .and_then(|mut s| {
            s.query_map([row.delivery.seq.0], |row| Ok((OrderId(row.get(0)?), row.get(1)?)))?.collect()
        })
        .map_err(failed("reading a delivery's orders"))?;
    Ok(Delivery {
        orders,
        event_type: word(&row.event_type, "event type")?,
        state: word(&row.state, "state of a delivery")?,
        ..row.delivery
    })
}

/// Events that are looked at for one page.
const EVENTS_LOOKED_AT: usize = 5_000;

/// The events behind a place, each with its order's business. Records are large, and SQLite reads one only where it is asked
/// for.
pub(super) const EVENTS: &str =
    "SELECT e.event_seq, o.business_id, e.event_type, r.order_id, r.version, e.status_from,
         e.status_to, e.actor, e.occurred_at, e.created_at, r.record
     FROM events e
     CROSS JOIN records r ON r.record_id = e.event_seq
     CROSS JOIN orders o ON o.order_id = r.order_id
     WHERE e.event_seq > ?1 ORDER BY e.event_seq";

pub(super) fn events(db: &Connection, codes: &StatusCodes, query: &EventQuery) -> Result<EventsRead, Error> {
    let reading = failed("reading events");
    let (removed_to, last): (i64, i64) = db
        .prepare_cached(
            "SELECT events_removed_to, max(numbers_after, coalesce((SELECT max(record_id) FROM records), 0)) FROM totals",
        )
        .and_then(|mut s| s.query_row([], |row| Ok((row.get(0)?, row.get(1)?))))
        .map_err(&reading)?;
    let after = query.after.unwrap_or(removed_to);
    if after < removed_to {
        return Ok(EventsRead::Expired);
    }
    if after > last {
        return Ok(EventsRead::Ahead);
    }
    let mut statement = db.prepare_cached(EVENTS).map_err(&reading)?;
    let mut rows = statement.query([after]).map_err(&reading)?;
    let mut page = Filling::new(Ends {
        limit: query.limit,
        looks_max: EVENTS_LOOKED_AT,
        bytes_max: query.record_bytes_max,
    });
    let mut more = false;
    while let Some(row) = rows.next().map_err(&reading)? {
        let (place, of): (i64, i64) =
            row.get(0).and_then(|place| Ok((place, row.get(1)?))).map_err(&reading)?;
        let listed = || -> Result<_, Error> {
            if of != query.business_id.0 {
                return Ok(None);
            }
            let event = event(row, codes)?;
            let bytes = event.record.len();
            Ok(Some((event, bytes)))
        };
        more = !page.look(place, listed)?;
        if more {
            break;
        }
    }
    let next = page.looked_to().unwrap_or(after);
    Ok(EventsRead::Page(EventPage { events: page.items, next, more }))
}

fn event(row: &Row<'_>, codes: &StatusCodes) -> Result<StoredEvent, Error> {
    let read = || -> rusqlite::Result<_> {
        let event = StoredEvent {
            event_type: EventType::OrderCreated,
            order_id: OrderId(row.get(3)?),
            version: row.get(4)?,
            status_from: row.get::<_, Option<i64>>(5)?.map(|code| codes.status(code)),
            status: codes.status(row.get(6)?),
            // The schema allows one other word.
            actor: if row.get_ref(7)?.as_str()? == "partner" { Actor::Partner } else { Actor::Operator },
            occurred_at: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_millis),
            created_at: Timestamp::from_millis(row.get(9)?),
            record: text(row, 10)?,
        };
        Ok((event, row.get::<_, String>(2)?))
    };
    let (event, event_type) = read().map_err(failed("reading an event"))?;
    Ok(StoredEvent { event_type: word(&event_type, "event type")?, ..event })
}

pub(super) fn delivery(
    db: &Connection,
    delivery_id: &DeliveryId,
) -> Result<Option<(Delivery, Vec<Attempt>)>, Error> {
    let Some(delivery) = delivery_alone(db, delivery_id)? else { return Ok(None) };
    let attempts = attempts_from(db, &delivery, delivery.attempts.saturating_sub(ATTEMPTS_SHOWN_MAX))?;
    Ok(Some((delivery, attempts)))
}

/// One delivery without its attempts.
pub(super) fn delivery_alone(db: &Connection, delivery_id: &DeliveryId) -> Result<Option<Delivery>, Error> {
    let row = db
        .prepare_cached(&format!("SELECT {DELIVERY} FROM deliveries d WHERE d.delivery_id = ?1"))
        .and_then(|mut s| s.query_row([delivery_id.as_str()], delivery_row).optional())
        .map_err(failed("reading a delivery"))?;
    row.map(|row| whole(db, row)).transpose()
}

/// The delivery that was committed in this place, whatever its place is now, without its attempts.
pub(super) fn delivery_in_row(db: &Connection, seq: DeliverySeq) -> Result<Option<Delivery>, Error> {
    let row = db
        .prepare_cached(&format!("SELECT {DELIVERY} FROM deliveries d WHERE d.delivery_seq = ?1"))
        .and_then(|mut s| s.query_row([seq.0], delivery_row).optional())
        .map_err(failed("reading a delivery"))?;
    row.map(|row| whole(db, row)).transpose()
}

/// The attempts of a number above `above`.
pub(super) fn attempts_from(db: &Connection, delivery: &Delivery, above: u32) -> Result<Vec<Attempt>, Error> {
    let reading = failed("reading attempts");
    let mut statement = db
        .prepare_cached(
            "SELECT attempt, started_at, duration_us, outcome, http_status, address, answer, error, next_attempt_at,
                 counted, resolve_us, connect_us, tls_us, first_byte_us
             FROM webhook_logs WHERE delivery_seq = ?1 AND attempt > ?2 ORDER BY attempt",
        )
        .map_err(&reading)?;
    let mut rows = statement.query(params![delivery.seq.0, above]).map_err(&reading)?;
    let mut attempts = Vec::new();
    while let Some(row) = rows.next().map_err(&reading)? {
        attempts.push(attempt(row, delivery)?);
    }
    Ok(attempts)
}

fn attempt(row: &Row<'_>, delivery: &Delivery) -> Result<Attempt, Error> {
    let read = || -> rusqlite::Result<_> {
        let outcome: String = row.get(3)?;
        let duration_us: i64 = row.get(2)?;
        let next_attempt_at: Option<i64> = row.get(8)?;
        // The schema keeps them from being negative.
        let phase = |column| {
            row.get::<_, Option<i64>>(column)
                .map(|us| us.and_then(|us| u64::try_from(us).ok()).map(Duration::from_micros))
        };
        let attempt = Attempt {
            seq: delivery.seq,
            delivery_id: Some(delivery.delivery_id.clone()),
            number: row.get(0)?,
            started_at: Timestamp::from_millis(row.get(1)?),
            duration: Duration::ZERO,
            phases: Phases {
                resolve: phase(10)?,
                connect: phase(11)?,
                tls: phase(12)?,
                first_byte: phase(13)?,
            },
            outcome: AttemptOutcome::Refused,
            status: row.get(4)?,
            address: row.get(5)?,
            answer: Bytes::from(row.get::<_, Vec<u8>>(6)?),
            error: row.get(7)?,
            verdict: match (next_attempt_at, outcome.as_str()) {
                (Some(at), _) => Verdict::RetryAt { at: Timestamp::from_millis(at), counted: row.get(9)? },
                (None, "acknowledged") => Verdict::Delivered,
                (None, _) => Verdict::Dead,
            },
        };
        Ok((attempt, outcome, duration_us))
    };
    let (attempt, outcome, duration_us) = read().map_err(failed("reading an attempt"))?;
    Ok(Attempt {
        outcome: word(&outcome, "outcome of an attempt")?,
        duration: Duration::from_micros(count(duration_us, "the duration of an attempt")?),
        ..attempt
    })
}

/// An endpoint, with the strictest of what its registrations say. They are few and found by index.
macro_rules! endpoint_columns {
    () => {
        "e.endpoint_id, e.partner_id, e.url, e.held_at, e.held_reason,
         (SELECT min(w.ordering = 'none') FROM webhooks w WHERE w.endpoint_id = e.endpoint_id AND w.removed_at IS NULL),
         (SELECT min(w.in_flight_max) FROM webhooks w WHERE w.endpoint_id = e.endpoint_id AND w.removed_at IS NULL),
         (SELECT min(w.rate_per_second_max) FROM webhooks w WHERE w.endpoint_id = e.endpoint_id AND w.removed_at IS NULL)"
    };
}

/// Endpoints that somebody points at, or that have something pending. Each endpoint is asked about by index, so that
/// a backlog of a million costs no more than an empty one.
pub(super) const ENDPOINTS: &str = concat!(
    "SELECT ",
    endpoint_columns!(),
    " FROM endpoints e
     WHERE EXISTS (SELECT 1 FROM webhooks w WHERE w.endpoint_id = e.endpoint_id AND w.removed_at IS NULL)
        OR EXISTS (SELECT 1 FROM deliveries d WHERE d.endpoint_id = e.endpoint_id AND d.state = 'pending')
     ORDER BY e.endpoint_id"
);

pub(super) fn endpoints(db: &Connection) -> Result<Vec<Endpoint>, Error> {
    db.prepare_cached(ENDPOINTS)
        .and_then(|mut s| s.query_map([], endpoint_of)?.collect())
        .map_err(failed("listing endpoints"))
}

pub(super) fn endpoint(db: &Connection, endpoint_id: EndpointId) -> Result<Option<Endpoint>, Error> {
    db.prepare_cached(concat!("SELECT ", endpoint_columns!(), " FROM endpoints e WHERE e.endpoint_id = ?1"))
        .and_then(|mut s| s.query_row([endpoint_id.0], endpoint_of).optional())
        .map_err(failed("reading an endpoint"))
}

fn endpoint_of(row: &Row<'_>) -> rusqlite::Result<Endpoint> {
    Ok(Endpoint {
        endpoint_id: EndpointId(row.get(0)?),
        partner_id: PartnerId::from(row.get_ref(1)?.as_str()?),
        url: row.get(2)?,
        hold: registry::hold(row, 3)?,
        settings: EndpointSettings {
            ordering: if row.get::<_, Option<bool>>(5)? == Some(true) {
                Ordering::None
            } else {
                Ordering::PerOrder
            },
            in_flight_max: row.get(6)?,
            rate_per_second_max: row.get(7)?,
        },
    })
}
