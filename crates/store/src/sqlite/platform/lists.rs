//! Deliveries by what is asked for, a page at a time, each page within a bounded number of looks.
//!
//! Only what costs a delivery nothing is in an index: what is pending, by endpoint; what was given up; what carries an order. All
//! else is looked through, the newest first, and a page that has looked at so many ends, and says where to go on. So a page is as
//! fast among ten million deliveries as among ten.

use std::collections::HashSet;

use hookit_contract::{DeliverySeq, DeliveryState, EndpointId, PartnerId};
use rusqlite::{Connection, Row, ToSql};

use super::reads::{DELIVERY, DeliveryRow, attempts_from, delivery_row, whole};
use crate::Error;
use crate::paging::{Ends, Filling};
use crate::platform::{Attempt, DELIVERY_LOOKS_MAX, DeliveriesOf, Delivery, DeliveryPage, DeliveryQuery};
use crate::sqlite::{failed, limit as sql_limit};

/// Attempts that are shown of each delivery of a partner.
const ATTEMPTS_SHOWN: u32 = 20;

/// Places in line that are taken from all endpoints together before they are sorted.
const SORTED_AT_ONCE: usize = 5_000;

pub(super) fn deliveries(db: &Connection, query: &DeliveryQuery) -> Result<DeliveryPage, Error> {
    let wanted = Wanted { query, registrations: None };
    let (rows, next_before) = match (query.state, query.order_id) {
        (Some(DeliveryState::Pending), None) => pending(db, &wanted),
        _ => newest_first(db, &wanted),
    }
    .map_err(failed("listing deliveries"))?;
    let deliveries = rows.into_iter().map(|row| whole(db, row)).collect::<Result<_, _>>()?;
    Ok(DeliveryPage { deliveries, next_before })
}

pub(super) fn deliveries_of(
    db: &Connection,
    partner_id: &PartnerId,
    query: &DeliveryQuery,
) -> Result<DeliveriesOf, Error> {
    let listing = failed("listing a partner's deliveries");
    let own: HashSet<i64> = db
        .prepare_cached("SELECT webhook_id FROM webhooks WHERE partner_id = ?1")
        .and_then(|mut s| s.query_map([partner_id.as_str()], |row| row.get(0))?.collect())
        .map_err(&listing)?;
    let wanted = Wanted { query, registrations: Some(own) };
    let (rows, next_before) = newest_first(db, &wanted).map_err(&listing)?;
    let with_attempts = |row| -> Result<(Delivery, Vec<Attempt>), Error> {
        let delivery = whole(db, row)?;
        let attempts = attempts_from(db, &delivery, delivery.attempts.saturating_sub(ATTEMPTS_SHOWN))?;
        Ok((delivery, attempts))
    };
    Ok(DeliveriesOf {
        deliveries: rows.into_iter().map(with_attempts).collect::<Result<_, _>>()?,
        next_before,
    })
}

/// What is asked for, beside what an index knows.
struct Wanted<'q> {
    query: &'q DeliveryQuery,
    /// Only of these registrations.
    registrations: Option<HashSet<i64>>,
}

impl Wanted<'_> {
    fn page(&self) -> Filling<DeliveryRow, i64> {
        Filling::new(Ends { looks_max: DELIVERY_LOOKS_MAX, ..Ends::after(self.query.limit) })
    }

    /// The delivery of this row of `DELIVERY`, where it is one. Its bytes are not counted.
    fn listed(&self, row: &Row<'_>) -> rusqlite::Result<Option<(DeliveryRow, usize)>> {
        Ok(if self.has(row)? { Some((delivery_row(row)?, 0)) } else { None })
    }

    fn has(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let query = self.query;
        let text = |column: usize| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
        let (endpoint_id, webhook_id, created_at): (i64, i64, i64) = (row.get(2)?, row.get(3)?, row.get(9)?);
        let (event_type, state) = (text(4)?, text(7)?);
        Ok(query.endpoint_id.is_none_or(|id| id.0 == endpoint_id)
            && self.registrations.as_ref().is_none_or(|ids| ids.contains(&webhook_id))
            && query.event_type.is_none_or(|asked| asked.as_str() == event_type)
            && query.state.is_none_or(|asked| asked.as_str() == state)
            && query.since.is_none_or(|at| created_at >= at.as_millis())
            && query.until.is_none_or(|at| created_at < at.as_millis()))
    }
}

type Found = (Vec<DeliveryRow>, Option<DeliverySeq>);

/// A page that ends before all was seen.
fn and_on(page: Filling<DeliveryRow, i64>) -> Found {
    let next_before = page.looked_to().map(DeliverySeq);
    (page.items, next_before)
}

/// The statement for all deliveries that an index or the order of commits leads to, the newest first, from fixed pieces: no value
/// from outside is ever part of the text.
pub(super) fn listing(query: &DeliveryQuery) -> (String, Vec<Box<dyn ToSql>>) {
    let integer = |n: i64| Box::new(n) as Box<dyn ToSql>;
    let before = integer(query.before.map_or(i64::MAX, |before| before.0));
    match (query.order_id, query.state) {
        (Some(order_id), _) => {
            let sql = format!(
                "SELECT {DELIVERY} FROM delivery_orders o CROSS JOIN deliveries d ON d.delivery_seq = o.delivery_seq
                 WHERE o.order_id = ?1 AND o.delivery_seq < ?2 ORDER BY o.delivery_seq DESC"
            );
            (sql, vec![integer(order_id.0), before])
        }
        // A word from a closed list. It stands in the text so that the partial index can be seen to apply.
        (
            None,
            Some(state @ (DeliveryState::Dead | DeliveryState::Cancelled | DeliveryState::Superseded)),
        ) => {
            let sql = format!(
                "SELECT {DELIVERY} FROM deliveries d WHERE d.state = '{state}' AND d.delivery_seq < ?1
                 ORDER BY d.delivery_seq DESC"
            );
            (sql, vec![before])
        }
        (None, _) => {
            let sql = format!(
                "SELECT {DELIVERY} FROM deliveries d WHERE d.delivery_seq < ?1 ORDER BY d.delivery_seq DESC"
            );
            (sql, vec![before])
        }
    }
}

fn newest_first(db: &Connection, wanted: &Wanted<'_>) -> rusqlite::Result<Found> {
    let (sql, values) = listing(wanted.query);
    let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(&values[..])?;
    let mut page = wanted.page();
    while let Some(row) = rows.next()? {
        if !page.look(row.get(0)?, || wanted.listed(row))? {
            return Ok(and_on(page));
        }
    }
    Ok((page.items, None))
}

/// An endpoint's backlog below a place, the newest first. The index alone answers it.
pub(super) const PENDING_PLACES: &str =
    "SELECT delivery_seq FROM deliveries WHERE endpoint_id = ?1 AND state = 'pending' AND delivery_seq < ?2
     ORDER BY delivery_seq DESC LIMIT ?3";

/// What is pending, by the index of each endpoint's backlog, so that the few that wait are found among the many that do not.
fn pending(db: &Connection, wanted: &Wanted<'_>) -> rusqlite::Result<Found> {
    let query = wanted.query;
    let endpoints: Vec<i64> = match query.endpoint_id {
        Some(EndpointId(id)) => vec![id],
        None => db
            .prepare_cached("SELECT endpoint_id FROM endpoints")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?,
    };
    // One more than the page has says whether there is more.
    let each = (SORTED_AT_ONCE / endpoints.len().max(1)).clamp(1, query.limit.saturating_add(1));
    let mut places = db.prepare_cached(PENDING_PLACES)?;
    let mut one =
        db.prepare_cached(&format!("SELECT {DELIVERY} FROM deliveries d WHERE d.delivery_seq = ?1"))?;
    let mut page = wanted.page();
    let mut before = query.before.map_or(i64::MAX, |before| before.0);
    loop {
        // Below the last place of an endpoint that has more, others may have newer ones than it has given.
        let (mut seqs, mut complete_to) = (Vec::new(), None);
        for endpoint_id in &endpoints {
            let some: Vec<i64> = places
                .query_map((endpoint_id, before, sql_limit(each)), |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            if some.len() == each {
                complete_to = complete_to.max(some.last().copied());
            }
            seqs.extend(some);
        }
        seqs.sort_unstable_by(|a, b| b.cmp(a));
        for seq in seqs.into_iter().take_while(|seq| complete_to.is_none_or(|to| *seq >= to)) {
            let goes_on = page.look(seq, || {
                let mut rows = one.query([seq])?;
                rows.next()?.map_or(Ok(None), |row| wanted.listed(row))
            })?;
            if !goes_on {
                return Ok(and_on(page));
            }
        }
        match complete_to {
            Some(to) => before = to,
            None => return Ok((page.items, None)),
        }
    }
}
