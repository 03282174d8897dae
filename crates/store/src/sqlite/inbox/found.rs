//! Finding orders in the view: a statement is put together of the filters that are set.
//!
//! One of them drives: the one that leaves fewest orders, as far as that can be known without looking. Its index gives the
//! orders by their id, or so few that sorting them is nothing. The others are looked at row by row.

use hookit_contract::{OrderId, StatusCodes};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::reads::{ORDER, viewed};
use crate::Error;
use crate::inbox::{OrderFilter, ViewedOrder};
use crate::sqlite::{failed, limit as sql_limit};

/// Beyond every character, so that a text and all that begin with it are a range.
const BEYOND: char = char::MAX;

/// A statement as it grows, with the values that it binds.
#[derive(Default)]
struct Statement {
    sql: String,
    values: Vec<Value>,
}

impl Statement {
    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("?{}", self.values.len())
    }
}

/// The statement that finds the ids, in their order.
fn ids(filter: &OrderFilter, codes: &StatusCodes, after: i64, limit: i64) -> Statement {
    let mut statement = Statement::default();
    let s = &mut statement;
    let (after, limit) = (s.bind(after), s.bind(limit));
    let statuses: Vec<String> = filter.statuses.iter().map(|status| s.bind(codes.code_of(*status))).collect();
    let mut also = format!("o.order_id > {after}");
    if let Some(branch_id) = filter.branch_id {
        let branch_id = s.bind(branch_id.0);
        also.push_str(&format!(" AND o.branch_id = {branch_id}"));
    }
    for (bound, at) in [(">=", filter.received_since), ("<", filter.received_until)] {
        if let Some(at) = at {
            let at = s.bind(at.as_millis());
            also.push_str(&format!(" AND o.received_at {bound} {at}"));
        }
    }
    let brand = filter.brand_id.map(|brand_id| s.bind(brand_id.0));
    let one_of = |statuses: &[String]| match statuses {
        [] => String::new(),
        some => format!(" AND o.status IN ({})", some.join(", ")),
    };
    let is_brands = |brand: &Option<String>| match brand {
        Some(brand) => format!(
            " AND EXISTS (SELECT 1 FROM order_brands b WHERE b.brand_id = {brand} AND b.order_id = o.order_id)"
        ),
        None => String::new(),
    };
    if let Some(text) = &filter.text {
        let (from, to) = (s.bind(text.clone()), s.bind(format!("{text}{BEYOND}")));
        let id = s.bind(text.parse::<i64>().map_or(Value::Null, Value::from));
        let begins = |column: &str| {
            format!(
                "SELECT order_id FROM orders INDEXED BY orders_by_{column}
                 WHERE {column} >= {from} COLLATE NOCASE AND {column} < {to} COLLATE NOCASE"
            )
        };
        s.sql = format!(
            "SELECT o.order_id FROM (SELECT order_id FROM orders WHERE order_id = {id} UNION {} UNION {}) f
             CROSS JOIN orders o ON o.order_id = f.order_id
             WHERE {also}{}{} ORDER BY o.order_id LIMIT {limit}",
            begins("external_id"),
            begins("short_id"),
            one_of(&statuses),
            is_brands(&brand)
        );
    } else if let Some(brand) = brand {
        s.sql = format!(
            "SELECT o.order_id FROM order_brands b CROSS JOIN orders o ON o.order_id = b.order_id
             WHERE b.brand_id = {brand} AND b.order_id > {after} AND {also}{}
             ORDER BY b.order_id LIMIT {limit}",
            one_of(&statuses)
        );
    } else {
        let by_time = filter.received_since.is_some() || filter.received_until.is_some();
        let of = |index: &str, which: String| {
            format!(
                "SELECT o.order_id FROM orders o {index} WHERE {also}{which} ORDER BY o.order_id LIMIT {limit}"
            )
        };
        s.sql = match (filter.branch_id, &statuses[..]) {
            (Some(_), some) => of("INDEXED BY orders_by_branch", one_of(some)),
            (None, []) if by_time => of("INDEXED BY orders_by_received", String::new()),
            (None, []) => of("NOT INDEXED", String::new()),
            // Each status by itself comes in the order of ids, and so none of them is read further than needed.
            (None, some) => {
                let each = |status: &String| {
                    format!(
                        "SELECT * FROM ({})",
                        of("INDEXED BY orders_by_status", format!(" AND o.status = {status}"))
                    )
                };
                let all: Vec<String> = some.iter().map(each).collect();
                format!("{} ORDER BY 1 LIMIT {limit}", all.join(" UNION ALL "))
            }
        };
    }
    statement
}

/// Orders by id, above `after`.
pub(super) fn orders(
    db: &Connection,
    codes: &StatusCodes,
    filter: &OrderFilter,
    after: Option<OrderId>,
    limit: usize,
) -> Result<Vec<ViewedOrder>, Error> {
    let Statement { sql, values } = ids(filter, codes, after.map_or(0, |id| id.0), sql_limit(limit));
    db.prepare_cached(&format!("{ORDER} WHERE o.order_id IN ({sql}) ORDER BY o.order_id"))
        .and_then(|mut s| s.query_map(params_from_iter(values), |row| viewed(row, codes))?.collect())
        .map_err(failed("listing orders"))
}

#[cfg(test)]
mod tests {
    use hookit_contract::{BranchId, BrandId, KnownStatus, Timestamp};

    use super::*;
    use crate::sqlite::file;

    fn plan(filter: &OrderFilter) -> String {
        let folder = tempfile::tempdir().unwrap();
        let db = file::open(folder.path(), &super::super::KIND).unwrap().writer;
        let Statement { sql, .. } = ids(filter, &StatusCodes::default(), 0, 10);
        let mut statement =
            db.prepare(&format!("EXPLAIN QUERY PLAN {ORDER} WHERE o.order_id IN ({sql})")).unwrap();
        let steps = statement.raw_query().mapped(|row| row.get::<_, String>(3)).map(Result::unwrap);
        steps.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn whatever_is_asked_for_an_index_leads_to_it() {
        let (brand_id, branch_id) = (Some(BrandId(1)), Some(BranchId(1)));
        let statuses = vec![KnownStatus::Placed.into(), KnownStatus::Ready.into()];
        let received_since = Some(Timestamp::from_millis(1));
        let all = OrderFilter::default();
        for (filter, uses) in [
            (all.clone(), "SEARCH o USING INTEGER PRIMARY KEY (rowid>?)"),
            (
                OrderFilter { brand_id, statuses: statuses.clone(), ..all.clone() },
                "b USING PRIMARY KEY (brand_id=? AND order_id>?)",
            ),
            (
                OrderFilter { branch_id, received_since, ..all.clone() },
                "orders_by_branch (branch_id=? AND rowid>?)",
            ),
            (OrderFilter { statuses, ..all.clone() }, "orders_by_status (status=? AND rowid>?)"),
            (OrderFilter { received_since, ..all.clone() }, "orders_by_received (received_at>?)"),
            (
                OrderFilter { text: Some("7".to_owned()), ..all },
                "orders_by_short_id (short_id>? AND short_id<?)",
            ),
        ] {
            let plan = plan(&filter);
            assert!(plan.contains(uses), "{filter:?}: {plan}");
            assert!(!plan.contains("SCAN o"), "{filter:?}: {plan}");
        }
    }
}
