//! What the platform's file says when its process has gone. Read with SQL of its own: nothing of the store is used.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, Row};
use serde_json::Value;

/// A change of an order.
pub(super) struct Change {
    pub(super) record_id: i64,
    pub(super) order: i64,
    pub(super) version: i64,
    pub(super) business: i64,
    pub(super) branch: i64,
    pub(super) brands: Vec<i64>,
    pub(super) event_type: &'static str,
    pub(super) record: Bytes,
    pub(super) at: i64,
}

/// A delivery.
pub(super) struct Delivery {
    pub(super) seq: i64,
    pub(super) id: String,
    pub(super) webhook: i64,
    pub(super) endpoint: i64,
    pub(super) event_type: &'static str,
    pub(super) brand: i64,
    pub(super) branch: i64,
    /// Order, version, record.
    pub(super) orders: Vec<(i64, i64, i64)>,
    pub(super) state: String,
    pub(super) attempts: u32,
    pub(super) created_at: i64,
    pub(super) finished_at: Option<i64>,
    pub(super) is_replay: bool,
}

/// An attempt, as its log row has it.
pub(super) struct Logged {
    pub(super) number: u32,
    pub(super) started_at: i64,
    pub(super) ended_at: i64,
    pub(super) outcome: String,
    pub(super) status: Option<u16>,
    pub(super) port: Option<u16>,
    pub(super) next_attempt_at: Option<i64>,
    pub(super) counted: bool,
}

impl Logged {
    pub(super) fn is_last(&self) -> bool {
        self.next_attempt_at.is_none()
    }
}

/// A registration.
pub(super) struct Webhook {
    pub(super) id: i64,
    pub(super) partner_id: String,
    pub(super) business: i64,
    pub(super) brand: Option<i64>,
    pub(super) branch: Option<i64>,
    pub(super) event_type: &'static str,
}

/// Everything.
pub(super) struct Disk {
    /// The URL of each endpoint.
    pub(super) endpoints: BTreeMap<i64, String>,
    pub(super) webhooks: Vec<Webhook>,
    /// In the order of commits.
    pub(super) changes: Vec<Change>,
    /// In the order of commits.
    pub(super) deliveries: Vec<Delivery>,
    pub(super) log: BTreeMap<i64, Vec<Logged>>,
    /// What the totals say: events, pending, delivered, dead, attempts.
    pub(super) totals: [i64; 5],
}

pub(super) fn event_type(text: &str) -> &'static str {
    ["klikit.order.created.v2", "klikit.order.status.updated", "klikit.order.cart.updated"]
        .into_iter()
        .find(|known| *known == text)
        .unwrap_or_else(|| panic!("an event type of the contract, not {text}"))
}

fn rows<T>(db: &Connection, sql: &str, read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
    let mut statement = db.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let rows = statement.query_map([], read).and_then(Iterator::collect::<rusqlite::Result<Vec<T>>>);
    rows.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn brands(record: &str) -> Vec<i64> {
    let record: Value = serde_json::from_str(record).expect("a record is JSON");
    let brands = record["brands"].as_array().expect("these orders have brands");
    brands.iter().map(|brand| brand["id"].as_i64().expect("a brand has an id")).collect()
}

impl Disk {
    /// Reads the file in this data folder, which no process has open.
    pub(super) fn read(data: &Path) -> Disk {
        let db = Connection::open_with_flags(data.join("platform.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)
            .expect("the platform's file can be read");
        let kind = |row: &Row<'_>, index| row.get::<_, String>(index).map(|text| event_type(&text));
        let mut carried: BTreeMap<i64, Vec<(i64, i64, i64)>> = BTreeMap::new();
        for (seq, order) in rows(
            &db,
            "SELECT o.delivery_seq, o.order_id, r.version, o.record_id FROM delivery_orders o
             JOIN records r USING (record_id) ORDER BY o.delivery_seq, o.position",
            |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?))),
        ) {
            carried.entry(seq).or_default().push(order);
        }
        let mut log: BTreeMap<i64, Vec<Logged>> = BTreeMap::new();
        for (seq, logged) in rows(
            &db,
            "SELECT delivery_seq, attempt, started_at, duration_us, outcome, http_status, address, next_attempt_at,
                 counted FROM webhook_logs ORDER BY delivery_seq, attempt",
            |row| {
                let started_at: i64 = row.get(2)?;
                let address: Option<String> = row.get(6)?;
                Ok((
                    row.get(0)?,
                    Logged {
                        number: row.get(1)?,
                        started_at,
                        // A moment sooner rather than later: the two are measured with different clocks.
                        ended_at: (started_at + row.get::<_, i64>(3)? / 1_000 - 1).max(started_at),
                        outcome: row.get(4)?,
                        status: row.get(5)?,
                        port: address.and_then(|a| a.rsplit_once(':')?.1.parse().ok()),
                        next_attempt_at: row.get(7)?,
                        counted: row.get(8)?,
                    },
                ))
            },
        ) {
            log.entry(seq).or_default().push(logged);
        }
        Disk {
            endpoints: rows(&db, "SELECT endpoint_id, url FROM endpoints", |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .into_iter()
            .collect(),
            webhooks: rows(
                &db,
                "SELECT w.webhook_id, w.partner_id, p.business_id, w.brand_id, w.branch_id, w.event_type
                 FROM webhooks w JOIN partners p USING (partner_id) ORDER BY w.webhook_id",
                |row| {
                    Ok(Webhook {
                        id: row.get(0)?,
                        partner_id: row.get(1)?,
                        business: row.get(2)?,
                        brand: row.get(3)?,
                        branch: row.get(4)?,
                        event_type: kind(row, 5)?,
                    })
                },
            ),
            changes: rows(
                &db,
                "SELECT r.record_id, r.order_id, r.version, o.business_id, o.branch_id, e.event_type, r.record,
                     e.created_at
                 FROM records r JOIN orders o USING (order_id) JOIN events e ON e.event_seq = r.record_id
                 ORDER BY r.record_id",
                |row| {
                    let record: String = row.get(6)?;
                    Ok(Change {
                        record_id: row.get(0)?,
                        order: row.get(1)?,
                        version: row.get(2)?,
                        business: row.get(3)?,
                        branch: row.get(4)?,
                        brands: brands(&record),
                        event_type: kind(row, 5)?,
                        record: record.into(),
                        at: row.get(7)?,
                    })
                },
            ),
            deliveries: rows(
                &db,
                "SELECT delivery_seq, delivery_id, webhook_id, endpoint_id, event_type, brand_id, branch_id, state,
                     attempts, created_at, finished_at, replay_no IS NOT NULL
                 FROM deliveries ORDER BY delivery_seq",
                |row| {
                    let seq = row.get(0)?;
                    Ok(Delivery {
                        seq,
                        id: row.get(1)?,
                        webhook: row.get(2)?,
                        endpoint: row.get(3)?,
                        event_type: kind(row, 4)?,
                        brand: row.get(5)?,
                        branch: row.get(6)?,
                        orders: carried.remove(&seq).unwrap_or_default(),
                        state: row.get(7)?,
                        attempts: row.get(8)?,
                        created_at: row.get(9)?,
                        finished_at: row.get(10)?,
                        is_replay: row.get(11)?,
                    })
                },
            ),
            log,
            totals: db
                .query_row("SELECT events, pending, delivered, dead, attempts FROM totals", [], |row| {
                    Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?])
                })
                .expect("there is one row of totals"),
        }
    }
}
