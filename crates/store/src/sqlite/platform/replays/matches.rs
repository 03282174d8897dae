//! What a replay finds: which deliveries or events it is about, and what it sends of each.
//!
//! The look goes upwards by number, deliveries' or events', so that what is found keeps the order in which it was committed.
//! It is done twice: at leisure in a reading connection, to find where there is something, and again for those numbers
//! by the writer, who does it. What has changed in between is so found out.

use std::collections::HashSet;
use std::fmt::Write as _;

use bytes::Bytes;
use hookit_contract::{
    BranchId, BrandId, BusinessId, DeliverySeq, DeliveryState, EndpointId, EventType, OrderId, Record,
    Timestamp, WebhookId,
};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};

use crate::Error;
use crate::fanout::{Event, Planned, Routes};
use crate::platform::{ReplayFilter, ReplayKind, ReplayRequest};
use crate::sqlite::platform::order_rows::text;
use crate::sqlite::{failed, word};

/// Numbers that one look passes at most before it lets others read and write.
const DELIVERIES_PER_LOOK: i64 = 50_000;
const EVENTS_PER_LOOK: i64 = 10_000;

/// One thing that a replay does.
pub(super) enum Put {
    /// This delivery is sent again.
    Again(DeliverySeq),
    /// A new delivery is made.
    New(Planned),
}

/// What a look has found.
pub(in crate::sqlite::platform) struct Found {
    /// The deliveries or events of which there is something to send, upwards.
    pub(in crate::sqlite::platform) numbers: Vec<i64>,
    /// How many deliveries that makes.
    pub(in crate::sqlite::platform) deliveries: u64,
    /// Up to where it looked.
    pub(in crate::sqlite::platform) looked_to: i64,
}

/// Someone who looks for what a replay sends.
pub(in crate::sqlite::platform) struct Look<'a> {
    db: &'a Connection,
    routes: &'a Routes,
    request: &'a ReplayRequest,
    looks_to: i64,
    now: Timestamp,
    /// Whose missed events are looked for.
    missed_by: Option<Missing>,
}

/// A registration that missed something.
struct Missing {
    webhook_id: WebhookId,
    endpoint_id: EndpointId,
    event_type: EventType,
    business_id: BusinessId,
    branch_id: Option<BranchId>,
}

/// What became of an event for a registration.
enum Fate {
    /// Its deliveries come or came to the registration's endpoint, or it is none of its own.
    Reached,
    /// The registration's delivery has ended without an acknowledgement.
    Ended(DeliverySeq),
    /// There never was a delivery.
    Never,
}

impl<'a> Look<'a> {
    /// None where the request is about a registration that does not exist.
    pub(in crate::sqlite::platform) fn new(
        db: &'a Connection,
        routes: &'a Routes,
        request: &'a ReplayRequest,
        looks_to: i64,
        now: Timestamp,
    ) -> Result<Option<Self>, Error> {
        let missed_by = match (request.kind, request.filter.webhook_id) {
            (ReplayKind::SameIds | ReplayKind::NewIds, _) => None,
            (ReplayKind::Missed, None) => return Ok(None),
            (ReplayKind::Missed, Some(webhook_id)) => match missing(db, webhook_id)? {
                None => return Ok(None),
                found => found,
            },
        };
        Ok(Some(Look { db, routes, request, looks_to, now, missed_by }))
    }

    /// The last number that there is to look at.
    pub(in crate::sqlite::platform) fn last(db: &Connection, kind: ReplayKind) -> Result<i64, Error> {
        let sql = match kind {
            ReplayKind::SameIds | ReplayKind::NewIds => "SELECT max(delivery_seq) FROM deliveries",
            ReplayKind::Missed => "SELECT max(event_seq) FROM events",
        };
        db.prepare_cached(sql)
            .and_then(|mut s| s.query_row([], |row| row.get::<_, Option<i64>>(0)))
            .map(|last| last.unwrap_or(0))
            .map_err(failed("looking for the last delivery"))
    }

    /// Looks on behind a number, until `deliveries_max` are found or enough was looked at.
    pub(in crate::sqlite::platform) fn on(&self, after: i64, deliveries_max: u64) -> Result<Found, Error> {
        let reading = failed("looking for what to replay");
        let (sql, values, range) = self.candidates(after);
        let to = self.looks_to.min(after.saturating_add(range));
        let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
        let mut statement = self.db.prepare_cached(&sql).map_err(&reading)?;
        let mut rows = statement.query(&values[..]).map_err(&reading)?;
        let mut found = Found { numbers: Vec::new(), deliveries: 0, looked_to: to };
        // A delivery of several orders is found at each of their events, and sent once.
        let mut again = HashSet::new();
        while let Some(row) = rows.next().map_err(&reading)? {
            let number: i64 = row.get(0).map_err(&reading)?;
            let mut puts = self.at(number)?;
            puts.retain(|put| match put {
                Put::Again(seq) => again.insert(*seq),
                Put::New(_) => true,
            });
            if puts.is_empty() {
                continue;
            }
            found.numbers.push(number);
            found.deliveries += puts.len() as u64;
            if found.deliveries >= deliveries_max {
                found.looked_to = number;
                break;
            }
        }
        Ok(found)
    }

    /// The numbers that may have something to send, upwards: a statement, its values, and how many numbers it passes.
    fn candidates(&self, after: i64) -> (String, Vec<Box<dyn ToSql>>, i64) {
        let filter = &self.request.filter;
        // An order has few deliveries and events: they are all looked at in one go.
        let range = match (&self.missed_by, filter.order_id) {
            (_, Some(_)) => i64::MAX,
            (None, None) => DELIVERIES_PER_LOOK,
            (Some(_), None) => EVENTS_PER_LOOK,
        };
        let to = self.looks_to.min(after.saturating_add(range));
        let mut sql;
        let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(after), Box::new(to)];
        let number = match &self.missed_by {
            None => {
                let number = match filter.order_id {
                    Some(order_id) => {
                        sql = "SELECT d.delivery_seq FROM delivery_orders o
                               CROSS JOIN deliveries d ON d.delivery_seq = o.delivery_seq
                               WHERE o.delivery_seq > ? AND o.delivery_seq <= ? AND o.order_id = ?"
                            .to_owned();
                        values.push(Box::new(order_id.0));
                        "o.delivery_seq"
                    }
                    None => {
                        sql = "SELECT d.delivery_seq FROM deliveries d WHERE d.delivery_seq > ? AND d.delivery_seq <= ?"
                            .to_owned();
                        "d.delivery_seq"
                    }
                };
                of_deliveries(filter, &mut sql, &mut values);
                number
            }
            Some(missing) => {
                match filter.order_id {
                    Some(order_id) => {
                        sql = "SELECT e.event_seq FROM records r
                               CROSS JOIN events e ON e.event_seq = r.record_id
                               CROSS JOIN orders o ON o.order_id = r.order_id
                               WHERE e.event_seq > ? AND e.event_seq <= ? AND r.order_id = ?"
                            .to_owned();
                        values.push(Box::new(order_id.0));
                    }
                    None => {
                        sql = "SELECT e.event_seq FROM events e
                               CROSS JOIN records r ON r.record_id = e.event_seq
                               CROSS JOIN orders o ON o.order_id = r.order_id
                               WHERE e.event_seq > ? AND e.event_seq <= ?"
                            .to_owned();
                    }
                }
                let mut only = |condition: &str, value: Option<i64>| {
                    if let Some(value) = value {
                        write!(sql, " AND {condition}").expect("a string takes text");
                        values.push(Box::new(value));
                    }
                };
                only("o.business_id = ?", Some(missing.business_id.0));
                only("o.branch_id = ?", missing.branch_id.map(|id| id.0));
                only("e.created_at >= ?", filter.since.map(Timestamp::as_millis));
                only("e.created_at < ?", filter.until.map(Timestamp::as_millis));
                sql.push_str(" AND e.event_type = ?");
                values.push(Box::new(missing.event_type.as_str()));
                "e.event_seq"
            }
        };
        write!(sql, " ORDER BY {number}").expect("a string takes text");
        (sql, values, range)
    }

    /// What is sent of a delivery or an event.
    pub(super) fn at(&self, number: i64) -> Result<Vec<Put>, Error> {
        match &self.missed_by {
            Some(missing) => self.at_event(missing, number),
            None => self.at_delivery(number),
        }
    }

    fn at_delivery(&self, number: i64) -> Result<Vec<Put>, Error> {
        let Some(delivery) = self.ended(number)? else { return Ok(Vec::new()) };
        if self.request.kind == ReplayKind::SameIds {
            return Ok(vec![Put::Again(DeliverySeq(number))]);
        }
        let orders = self.orders_of(number)?;
        if self.request.history {
            return Ok(vec![Put::New(Planned { orders, ..delivery })]);
        }
        let mut puts = Vec::new();
        for (order_id, _) in orders {
            if !self.has_later(number, order_id, &delivery)? {
                let orders = vec![(order_id, self.newest(order_id)?)];
                puts.push(Put::New(Planned { orders, ..delivery.clone() }));
            }
        }
        Ok(puts)
    }

    /// A delivery that has ended, as it would be made today, without its orders.
    fn ended(&self, number: i64) -> Result<Option<Planned>, Error> {
        let row = self
            .db
            .prepare_cached(
                "SELECT w.endpoint_id, d.webhook_id, d.brand_id, d.branch_id, d.event_type
                 FROM deliveries d CROSS JOIN webhooks w ON w.webhook_id = d.webhook_id
                 WHERE d.delivery_seq = ?1 AND d.state <> 'pending' AND w.removed_at IS NULL",
            )
            .and_then(|mut s| {
                s.query_row([number], |row| {
                    let planned = Planned {
                        endpoint_id: EndpointId(row.get(0)?),
                        webhook_id: WebhookId(row.get(1)?),
                        event_type: EventType::OrderCreated,
                        brand_id: BrandId(row.get(2)?),
                        branch_id: BranchId(row.get(3)?),
                        orders: Vec::new(),
                        at: self.now,
                    };
                    Ok((planned, row.get::<_, String>(4)?))
                })
                .optional()
            })
            .map_err(failed("reading a delivery to replay"))?;
        row.map(|(planned, event_type)| {
            Ok(Planned { event_type: word(&event_type, "event type")?, ..planned })
        })
        .transpose()
    }

    fn orders_of(&self, number: i64) -> Result<Vec<(OrderId, i64)>, Error> {
        self.db
            .prepare_cached(
                "SELECT order_id, record_id FROM delivery_orders WHERE delivery_seq = ?1 ORDER BY position",
            )
            .and_then(|mut s| s.query_map([number], |row| Ok((OrderId(row.get(0)?), row.get(1)?)))?.collect())
            .map_err(failed("reading a delivery's orders"))
    }

    /// Will the look come by a later delivery of this order, of the same brand and to the same place?
    fn has_later(&self, number: i64, order_id: OrderId, delivery: &Planned) -> Result<bool, Error> {
        let mut sql = "SELECT 1 FROM delivery_orders o
             CROSS JOIN deliveries d ON d.delivery_seq = o.delivery_seq
             CROSS JOIN webhooks w ON w.webhook_id = d.webhook_id
             WHERE o.order_id = ? AND o.delivery_seq > ? AND o.delivery_seq <= ? AND w.endpoint_id = ? AND d.brand_id = ?
               AND w.removed_at IS NULL"
            .to_owned();
        let mut values: Vec<Box<dyn ToSql>> = vec![
            Box::new(order_id.0),
            Box::new(number),
            Box::new(self.looks_to),
            Box::new(delivery.endpoint_id.0),
            Box::new(delivery.brand_id.0),
        ];
        of_deliveries(&self.request.filter, &mut sql, &mut values);
        sql.push_str(" LIMIT 1");
        let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
        self.db
            .prepare_cached(&sql)
            .and_then(|mut s| s.exists(&values[..]))
            .map_err(failed("looking for an order's last delivery"))
    }

    /// The record of an order as it stands.
    fn newest(&self, order_id: OrderId) -> Result<i64, Error> {
        self.db
            .prepare_cached("SELECT record_id FROM orders WHERE order_id = ?1")
            .and_then(|mut s| s.query_row([order_id.0], |row| row.get(0)))
            .map_err(failed("reading an order to replay"))
    }

    fn at_event(&self, missing: &Missing, number: i64) -> Result<Vec<Put>, Error> {
        let Some((event, version)) = self.event(number)? else { return Ok(Vec::new()) };
        let mut puts = Vec::new();
        for brand_id in &event.brands {
            let new = |record_id| {
                Put::New(Planned {
                    endpoint_id: missing.endpoint_id,
                    webhook_id: missing.webhook_id,
                    event_type: missing.event_type,
                    brand_id: *brand_id,
                    branch_id: event.branch_id,
                    orders: vec![(event.order_id, record_id)],
                    at: self.now,
                })
            };
            match self.fate(missing, &event, *brand_id)? {
                Fate::Reached => {}
                Fate::Never if self.request.history => puts.push(new(event.record_id)),
                Fate::Ended(seq) if self.request.history => puts.push(Put::Again(seq)),
                Fate::Never | Fate::Ended(_) => {
                    // The newest record is told once, where the last one that was missed is; and not at all where it is
                    // known already.
                    let newest = self.newest(event.order_id)?;
                    if !self.misses_later(missing, &event, version, *brand_id)?
                        && !self.reached(missing, event.order_id, newest, *brand_id)?
                    {
                        puts.push(new(newest));
                    }
                }
            }
        }
        Ok(puts)
    }

    /// An event with the version of its order.
    fn event(&self, number: i64) -> Result<Option<(Event, i64)>, Error> {
        let read = |row: &Row<'_>| -> rusqlite::Result<_> {
            let event = Event {
                order_id: OrderId(row.get(0)?),
                business_id: BusinessId(row.get(1)?),
                branch_id: BranchId(row.get(2)?),
                brands: Vec::new(),
                event_type: EventType::OrderCreated,
                record_id: number,
                record: Bytes::new(),
                at: self.now,
            };
            Ok((event, row.get::<_, i64>(3)?, row.get::<_, String>(4)?, text(row, 5)?))
        };
        let found = self
            .db
            .prepare_cached(
                "SELECT r.order_id, o.business_id, o.branch_id, r.version, e.event_type, r.record
                 FROM events e
                 CROSS JOIN records r ON r.record_id = e.event_seq
                 CROSS JOIN orders o ON o.order_id = r.order_id
                 WHERE e.event_seq = ?1",
            )
            .and_then(|mut s| s.query_row([number], read).optional())
            .map_err(failed("reading an event to replay"))?;
        let Some((event, version, event_type, record)) = found else { return Ok(None) };
        let unreadable = |why: &dyn std::fmt::Display| {
            Error::Corrupt(format!("the record of event {number} cannot be read: {why}"))
        };
        let brands = String::from_utf8(record.to_vec())
            .map_err(|e| unreadable(&e))
            .and_then(|text| Record::kept(text).map_err(|e| unreadable(&e)))
            .and_then(|record| record.brand_ids().map_err(|e| unreadable(&e)))?;
        let event_type = word(&event_type, "event type")?;
        Ok(Some((Event { brands, event_type, record, ..event }, version)))
    }

    fn fate(&self, missing: &Missing, event: &Event, brand_id: BrandId) -> Result<Fate, Error> {
        if !self.routes.lead_to(missing.webhook_id, event, brand_id)
            || self.reached(missing, event.order_id, event.record_id, brand_id)?
        {
            return Ok(Fate::Reached);
        }
        let ended = self
            .db
            .prepare_cached(
                "SELECT d.delivery_seq FROM delivery_orders o CROSS JOIN deliveries d ON d.delivery_seq = o.delivery_seq
                 WHERE o.order_id = ?1 AND o.record_id = ?2 AND +d.brand_id = ?3 AND +d.webhook_id = ?4
                 ORDER BY o.delivery_seq DESC LIMIT 1",
            )
            .and_then(|mut s| {
                let values = [event.order_id.0, event.record_id, brand_id.0, missing.webhook_id.0];
                s.query_row(values, |row| row.get(0).map(DeliverySeq)).optional()
            })
            .map_err(failed("looking for a delivery that has ended"))?;
        Ok(ended.map_or(Fate::Never, Fate::Ended))
    }

    /// Did a record come to the registration's endpoint, or is it on its way?
    fn reached(
        &self,
        missing: &Missing,
        order_id: OrderId,
        record_id: i64,
        brand_id: BrandId,
    ) -> Result<bool, Error> {
        self.db
            .prepare_cached(
                "SELECT 1 FROM delivery_orders o CROSS JOIN deliveries d ON d.delivery_seq = o.delivery_seq
                 WHERE o.order_id = ?1 AND o.record_id = ?2 AND +d.brand_id = ?3 AND +d.state IN ('pending', 'delivered')
                   AND (+d.endpoint_id = ?4 OR +d.webhook_id = ?5) LIMIT 1",
            )
            .and_then(|mut s| {
                s.exists([order_id.0, record_id, brand_id.0, missing.endpoint_id.0, missing.webhook_id.0])
            })
            .map_err(failed("looking for a delivery"))
    }

    /// Does the registration miss a later event of this order, that the look will come by?
    fn misses_later(
        &self,
        missing: &Missing,
        event: &Event,
        version: i64,
        brand_id: BrandId,
    ) -> Result<bool, Error> {
        let filter = &self.request.filter;
        let later: Vec<i64> = self
            .db
            .prepare_cached(
                "SELECT r.record_id FROM records r CROSS JOIN events e ON e.event_seq = r.record_id
                 WHERE r.order_id = ?1 AND r.version > ?2 AND r.record_id <= ?3 AND e.event_type = ?4
                   AND (?5 IS NULL OR e.created_at >= ?5) AND (?6 IS NULL OR e.created_at < ?6)
                 ORDER BY r.version DESC",
            )
            .and_then(|mut s| {
                let values = params![
                    event.order_id.0,
                    version,
                    self.looks_to,
                    missing.event_type.as_str(),
                    filter.since.map(Timestamp::as_millis),
                    filter.until.map(Timestamp::as_millis)
                ];
                s.query_map(values, |row| row.get(0))?.collect()
            })
            .map_err(failed("looking for an order's later events"))?;
        for number in later {
            if let Some((later, _)) = self.event(number)?
                && later.brands.contains(&brand_id)
                && !matches!(self.fate(missing, &later, brand_id)?, Fate::Reached)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The conditions on deliveries, but for the order. What is pending is never among them.
fn of_deliveries(filter: &ReplayFilter, sql: &mut String, values: &mut Vec<Box<dyn ToSql>>) {
    // A word from a closed list. It stands in the text so that a partial index can be seen to apply.
    match filter.state {
        Some(state) => write!(sql, " AND d.state = '{state}'"),
        None => write!(sql, " AND d.state <> '{}'", DeliveryState::Pending),
    }
    .expect("a string takes text");
    let mut only = |condition: &str, value: Option<Box<dyn ToSql>>| {
        if let Some(value) = value {
            write!(sql, " AND {condition}").expect("a string takes text");
            values.push(value);
        }
    };
    let integer = |n: i64| Box::new(n) as Box<dyn ToSql>;
    only("d.endpoint_id = ?", filter.endpoint_id.map(|id| integer(id.0)));
    only("d.webhook_id = ?", filter.webhook_id.map(|id| integer(id.0)));
    only("d.event_type = ?", filter.event_type.map(|t| Box::new(t.as_str()) as Box<dyn ToSql>));
    only("d.created_at >= ?", filter.since.map(|t| integer(t.as_millis())));
    only("d.created_at < ?", filter.until.map(|t| integer(t.as_millis())));
}

fn missing(db: &Connection, webhook_id: WebhookId) -> Result<Option<Missing>, Error> {
    let row = db
        .prepare_cached(
            "SELECT w.endpoint_id, p.business_id, w.branch_id, w.event_type
             FROM webhooks w JOIN partners p ON p.partner_id = w.partner_id
             WHERE w.webhook_id = ?1 AND w.removed_at IS NULL",
        )
        .and_then(|mut s| {
            s.query_row([webhook_id.0], |row| {
                let missing = Missing {
                    webhook_id,
                    endpoint_id: EndpointId(row.get(0)?),
                    event_type: EventType::OrderCreated,
                    business_id: BusinessId(row.get(1)?),
                    branch_id: row.get::<_, Option<i64>>(2)?.map(BranchId),
                };
                Ok((missing, row.get::<_, String>(3)?))
            })
            .optional()
        })
        .map_err(failed("reading a registration to replay for"))?;
    row.map(|(missing, event_type)| Ok(Missing { event_type: word(&event_type, "event type")?, ..missing }))
        .transpose()
}
