//! Finding orders in the view: a statement is put together of the filters that are set.
//!
//! One of them drives, and the others are looked at row by row: the one that leaves fewest orders, which is counted as far as it is
//! worth it. Where each leaves many, one whose index has the orders by their id drives, so many rows are looked at, and the answer
//! says where to go on. So it takes as long in a large view as in a small one, whatever is asked for.

use hookit_contract::{OrderId, StatusCodes};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};

use super::reads::{ORDER, viewed};
use crate::Error;
use crate::inbox::{FoundOrders, OrderFilter, PAGE_BYTES_MAX};
use crate::sqlite::{failed, limit as sql_limit};

/// Beyond every character, so that a text and all that begin with it are a range.
const BEYOND: char = char::MAX;

/// How much is looked at.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Of a filter that leaves no more orders, all are read and sorted.
    few: i64,
    /// Of one that leaves more, so many are looked at in the order of their ids.
    looked_at: i64,
}

const BOUNDS: Bounds = Bounds { few: 10_000, looked_at: 10_000 };

/// What leads to the orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    All,
    Brand,
    Branch,
    Status,
    Text,
    Received,
}

impl Driver {
    /// Its index has the orders by their id.
    fn is_by_id(self) -> bool {
        !matches!(self, Driver::Text | Driver::Received)
    }
}

/// The filters that are set.
fn drivers(filter: &OrderFilter) -> Vec<Driver> {
    let is_by_time = filter.received_since.is_some() || filter.received_until.is_some();
    [
        (filter.brand_id.is_some(), Driver::Brand),
        (filter.branch_id.is_some(), Driver::Branch),
        (!filter.statuses.is_empty(), Driver::Status),
        (filter.text.is_some(), Driver::Text),
        (is_by_time, Driver::Received),
    ]
    .into_iter()
    .filter_map(|(is_set, driver)| is_set.then_some(driver))
    .collect()
}

/// Statements as they are put together, with the values that they bind.
struct Finding<'f> {
    filter: &'f OrderFilter,
    codes: &'f StatusCodes,
    /// Above this id, and up to that one.
    ids: (i64, Option<i64>),
    values: Vec<Value>,
}

impl Finding<'_> {
    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("?{}", self.values.len())
    }

    /// That a column is among the ids that are looked at.
    fn among(&mut self, column: &str) -> String {
        let (after, up_to) = self.ids;
        let mut said = format!("{column} > {}", self.bind(after));
        if let Some(up_to) = up_to {
            said.push_str(&format!(" AND {column} <= {}", self.bind(up_to)));
        }
        said
    }

    /// The ids that an index leads to, as so many selections; each by id where the index has them so.
    fn sources(&mut self, driver: Driver) -> Vec<String> {
        let OrderFilter { statuses, brand_id, branch_id, text, .. } = self.filter;
        match driver {
            Driver::All => {
                let among = self.among("order_id");
                vec![format!("SELECT order_id FROM orders NOT INDEXED WHERE {among}")]
            }
            Driver::Brand => {
                let (among, brand) = (self.among("order_id"), self.bind(brand_id.map_or(0, |id| id.0)));
                vec![format!("SELECT order_id FROM order_brands WHERE brand_id = {brand} AND {among}")]
            }
            Driver::Branch => {
                let (among, branch) = (self.among("order_id"), self.bind(branch_id.map_or(0, |id| id.0)));
                vec![format!(
                    "SELECT order_id FROM orders INDEXED BY orders_by_branch WHERE branch_id = {branch} AND {among}"
                )]
            }
            Driver::Status => {
                let codes: Vec<_> = statuses.iter().map(|status| self.codes.code_of(*status)).collect();
                let by_status = |code| {
                    let (among, code) = (self.among("order_id"), self.bind(code));
                    format!(
                        "SELECT order_id FROM orders INDEXED BY orders_by_status WHERE status = {code} AND {among}"
                    )
                };
                codes.into_iter().map(by_status).collect()
            }
            Driver::Text => {
                let text = text.as_deref().unwrap_or_default();
                let (id, from, to) = self.text(text);
                let by = |column: &str| {
                    format!(
                        "SELECT order_id FROM orders INDEXED BY orders_by_{column}
                         WHERE {column} >= {from} COLLATE NOCASE AND {column} < {to} COLLATE NOCASE"
                    )
                };
                let by_id = format!("SELECT order_id FROM orders WHERE order_id = {id}");
                vec![by_id, by("external_id"), by("short_id")]
            }
            Driver::Received => {
                let received = self.received("received_at");
                vec![format!("SELECT order_id FROM orders INDEXED BY orders_by_received WHERE {received}")]
            }
        }
    }

    /// A text as an id, and the range of all texts that begin so.
    fn text(&mut self, text: &str) -> (String, String, String) {
        let id = self.bind(text.parse::<i64>().map_or(Value::Null, Value::from));
        (id, self.bind(text.to_owned()), self.bind(format!("{text}{BEYOND}")))
    }

    fn received(&mut self, column: &str) -> String {
        let OrderFilter { received_since, received_until, .. } = self.filter;
        let bounds = [(">=", *received_since), ("<", *received_until)];
        let said = bounds.into_iter().filter_map(|(bound, at)| Some((bound, at?)));
        said.map(|(bound, at)| format!("{column} {bound} {}", self.bind(at.as_millis())))
            .collect::<Vec<_>>()
            .join(" AND ")
    }

    /// What has to be true of an order `o` for a filter.
    fn condition(&mut self, driver: Driver) -> String {
        let OrderFilter { statuses, brand_id, branch_id, text, .. } = self.filter;
        match driver {
            Driver::All => "1".to_owned(),
            Driver::Brand => {
                let brand = self.bind(brand_id.map_or(0, |id| id.0));
                format!(
                    "EXISTS (SELECT 1 FROM order_brands b WHERE b.brand_id = {brand} AND b.order_id = o.order_id)"
                )
            }
            Driver::Branch => format!("o.branch_id = {}", self.bind(branch_id.map_or(0, |id| id.0))),
            Driver::Status => {
                let codes = statuses.iter().map(|status| self.codes.code_of(*status)).collect::<Vec<_>>();
                let codes: Vec<_> = codes.into_iter().map(|code| self.bind(code)).collect();
                format!("o.status IN ({})", codes.join(", "))
            }
            Driver::Text => {
                let (id, from, to) = self.text(text.as_deref().unwrap_or_default());
                let begins = |column: &str| {
                    format!("(o.{column} >= {from} COLLATE NOCASE AND o.{column} < {to} COLLATE NOCASE)")
                };
                format!("(o.order_id = {id} OR {} OR {})", begins("external_id"), begins("short_id"))
            }
            Driver::Received => self.received("o.received_at"),
        }
    }

    /// The statement that finds the ids, in their order.
    fn ids(&mut self, driver: Driver, set: &[Driver], limit: i64) -> String {
        let sources = self.sources(driver);
        let others: Vec<_> = set
            .iter()
            .filter(|other| **other != driver)
            .map(|other| format!(" AND {}", self.condition(*other)))
            .collect();
        let (others, limit) = (others.concat(), self.bind(limit));
        if !driver.is_by_id() {
            let among = self.among("o.order_id");
            return format!(
                "SELECT o.order_id FROM ({}) f CROSS JOIN orders o ON o.order_id = f.order_id
                 WHERE {among}{others} ORDER BY o.order_id LIMIT {limit}",
                sources.join(" UNION ")
            );
        }
        // Each by itself comes in the order of ids, and so none of them is read further than needed.
        let each = |source: &String| {
            match &others[..] {
            "" => format!("SELECT * FROM ({source} ORDER BY order_id LIMIT {limit})"),
            others => format!(
                "SELECT * FROM (SELECT f.order_id FROM ({source}) f CROSS JOIN orders o ON o.order_id = f.order_id
                 WHERE 1{others} ORDER BY f.order_id LIMIT {limit})"
            ),
        }
        };
        match &sources[..] {
            [one] => each(one),
            some => {
                let all: Vec<_> = some.iter().map(each).collect();
                format!("{} ORDER BY 1 LIMIT {limit}", all.join(" UNION ALL "))
            }
        }
    }
}

/// Orders by id, above `after`.
pub(super) fn orders(
    db: &Connection,
    codes: &StatusCodes,
    filter: &OrderFilter,
    after: Option<OrderId>,
    limit: usize,
) -> Result<FoundOrders, Error> {
    found(db, codes, filter, after.map_or(0, |id| id.0), limit, BOUNDS).map_err(failed("listing orders"))
}

fn found(
    db: &Connection,
    codes: &StatusCodes,
    filter: &OrderFilter,
    after: i64,
    limit: usize,
    bounds: Bounds,
) -> rusqlite::Result<FoundOrders> {
    let finding = |up_to| Finding { filter, codes, ids: (after, up_to), values: Vec::new() };
    let set = drivers(filter);
    let driver = driver(db, &set, bounds.few, || finding(None))?;
    let is_alone = set.iter().all(|one| *one == driver);
    let up_to = match driver.is_by_id() && !is_alone {
        true => looked_to(db, driver, bounds.looked_at, finding(None))?,
        false => None,
    };
    let mut finding = finding(up_to);
    // One more tells whether there are more.
    let ids = finding.ids(driver, &set, sql_limit(limit).saturating_add(1));
    let mut statement =
        db.prepare_cached(&format!("{ORDER} WHERE o.order_id IN ({ids}) ORDER BY o.order_id"))?;
    let mut rows = statement.query(params_from_iter(finding.values))?;
    let (mut orders, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let order = viewed(row, codes)?;
        bytes += order.record.len();
        if orders.len() == limit || (bytes > PAGE_BYTES_MAX && !orders.is_empty()) {
            let next_after = orders.last().map(|last: &crate::inbox::ViewedOrder| last.order_id);
            return Ok(FoundOrders { orders, next_after });
        }
        orders.push(order);
    }
    Ok(FoundOrders { orders, next_after: up_to.map(OrderId) })
}

/// The filter that drives: that which leaves fewest orders, where that is few; else one that has them by their id.
fn driver<'f>(
    db: &Connection,
    set: &[Driver],
    few: i64,
    finding: impl Fn() -> Finding<'f>,
) -> rusqlite::Result<Driver> {
    match set {
        [] => return Ok(Driver::All),
        [one] if one.is_by_id() => return Ok(*one),
        _ => {}
    }
    let mut best = (few + 1, set.iter().copied().find(|one| one.is_by_id()).unwrap_or(Driver::All));
    for one in set {
        let mut finding = finding();
        let sources = finding.sources(*one).join(" UNION ALL ");
        let limit = finding.bind(best.0);
        let count: i64 = db
            .prepare_cached(&format!("SELECT count(*) FROM (SELECT 1 FROM ({sources}) LIMIT {limit})"))?
            .query_row(params_from_iter(finding.values), |row| row.get(0))?;
        if count < best.0 {
            best = (count, *one);
        }
    }
    Ok(best.1)
}

/// The id up to which an index is looked at; none where that is to its end.
fn looked_to(
    db: &Connection,
    driver: Driver,
    looked_at: i64,
    mut finding: Finding<'_>,
) -> rusqlite::Result<Option<i64>> {
    let sources = finding.sources(driver);
    let offset = finding.bind(looked_at - 1);
    let mut nearest = None;
    for source in sources {
        let found: Option<i64> = db
            .prepare_cached(&format!("{source} ORDER BY order_id LIMIT 1 OFFSET {offset}"))?
            .query_row(params_from_iter(finding.values.iter()), |row| row.get(0))
            .optional()?;
        nearest = [nearest, found].into_iter().flatten().min();
    }
    Ok(nearest)
}

#[cfg(test)]
mod tests {
    use hookit_contract::{BranchId, BrandId, KnownStatus, Timestamp};

    use super::*;
    use crate::sqlite::file;

    fn plan(db: &Connection, filter: &OrderFilter, driver: Driver) -> String {
        let codes = StatusCodes::default();
        let mut finding = Finding { filter, codes: &codes, ids: (0, Some(10)), values: Vec::new() };
        let ids = finding.ids(driver, &drivers(filter), 10);
        let sql = format!("EXPLAIN QUERY PLAN {ORDER} WHERE o.order_id IN ({ids})");
        let mut statement = db.prepare(&sql).unwrap();
        let steps = statement
            .query_map(params_from_iter(finding.values), |row| row.get::<_, String>(3))
            .unwrap()
            .map(Result::unwrap);
        steps.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn whatever_drives_an_index_leads_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let db = file::open(folder.path(), &super::super::KIND).unwrap().writer;
        let filter = OrderFilter {
            statuses: vec![KnownStatus::Placed.into(), KnownStatus::Ready.into()],
            brand_id: Some(BrandId(1)),
            branch_id: Some(BranchId(1)),
            text: Some("7".to_owned()),
            received_since: Some(Timestamp::from_millis(1)),
            received_until: Some(Timestamp::from_millis(2)),
        };
        for (driver, uses, is_sorted) in [
            (Driver::All, "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)", false),
            (Driver::Brand, "USING PRIMARY KEY (brand_id=? AND order_id>? AND order_id<?)", false),
            (Driver::Branch, "orders_by_branch (branch_id=? AND rowid>? AND rowid<?)", false),
            // What is sorted is a page of each status.
            (Driver::Status, "orders_by_status (status=? AND rowid>? AND rowid<?)", true),
            (Driver::Text, "orders_by_short_id (short_id>? AND short_id<?)", true),
            (Driver::Received, "orders_by_received (received_at>? AND received_at<?)", true),
        ] {
            let plan = plan(&db, &filter, driver);
            assert!(plan.contains(uses), "{driver:?}: {plan}");
            assert!(!plan.contains("SCAN o"), "{driver:?}: {plan}");
            assert_eq!(plan.contains("TEMP B-TREE FOR ORDER BY"), is_sorted, "{driver:?}: {plan}");
        }
    }

    /// What the filters mean, said in one statement that looks at everything.
    fn by_looking_at_all(db: &Connection, filter: &OrderFilter) -> Vec<i64> {
        let codes = StatusCodes::default();
        let mut finding = Finding { filter, codes: &codes, ids: (0, None), values: Vec::new() };
        let conditions: Vec<_> = drivers(filter).iter().map(|one| finding.condition(*one)).collect();
        let conditions = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") };
        let sql = format!("SELECT order_id FROM orders o WHERE {conditions} ORDER BY order_id");
        let mut statement = db.prepare(&sql).unwrap();
        let found = statement.query_map(params_from_iter(finding.values), |row| row.get(0)).unwrap();
        found.map(Result::unwrap).collect()
    }

    #[test]
    fn however_little_is_looked_at_at_a_time_the_pages_have_it_all() {
        let folder = tempfile::tempdir().unwrap();
        let db = file::open(folder.path(), &super::super::KIND).unwrap().writer;
        db.execute_batch(
            "INSERT INTO deliveries (delivery_seq, delivery_id, body, received_at) VALUES (1, 'a', x'7b7d', 0);
             WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 200)
             INSERT INTO orders (order_id, status, delivery_seq, record_offset, record_bytes, received_at, branch_id,
                 external_id, short_id)
             SELECT n, 1 + n * 7 % 5, 1, 0, 2, n * 37 % 100, 1 + n % 4, 'GF-' || (n * 13 % 90), 's' || n FROM n;
             INSERT INTO order_brands SELECT 1 + order_id % 3, order_id FROM orders;",
        )
        .unwrap();
        let codes = StatusCodes::default();
        let at = |millis| Some(Timestamp::from_millis(millis));
        let statuses = [vec![], vec![1], vec![2, 4]]
            .map(|all| all.into_iter().map(|code| codes.status(code)).collect::<Vec<_>>());
        let texts = [None, Some("gf-1"), Some("GF-17"), Some("7"), Some("zz")];
        let times = [(None, None), (at(90), None), (at(10), at(80))];
        let mut pages = 0;
        for statuses in &statuses {
            for brand_id in [None, Some(BrandId(2)), Some(BrandId(9))] {
                for branch_id in [None, Some(BranchId(3))] {
                    for text in texts {
                        for (received_since, received_until) in times {
                            let filter = OrderFilter {
                                statuses: statuses.clone(),
                                brand_id,
                                branch_id,
                                text: text.map(str::to_owned),
                                received_since,
                                received_until,
                            };
                            let expect = by_looking_at_all(&db, &filter);
                            for (few, looked_at, limit) in [(0, 7, 3), (5, 7, 100), (1_000, 1_000, 4)] {
                                let bounds = Bounds { few, looked_at };
                                let (mut all, mut after) = (Vec::new(), 0);
                                loop {
                                    let page = found(&db, &codes, &filter, after, limit, bounds).unwrap();
                                    assert!(page.orders.len() <= limit);
                                    all.extend(page.orders.iter().map(|order| order.order_id.0));
                                    pages += 1;
                                    let Some(next) = page.next_after else { break };
                                    assert!(next.0 > after, "it goes on: {filter:?}");
                                    after = next.0;
                                }
                                assert_eq!(all, expect, "{filter:?} {bounds:?}");
                            }
                        }
                    }
                }
            }
        }
        assert!(pages > 2_000, "{pages}");
    }
}
