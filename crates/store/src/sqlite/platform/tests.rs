//! The statements that run for each change, each send and each look at a backlog use the indexes made for them.

mod steps;

use hookit_contract::{DeliveryId, DeliverySeq, EndpointId, Timestamp};
use rusqlite::Connection;

use super::{deliveries, endings, expiry, lists, past, reads, registrations, registry, seen, tally};
use crate::platform::{Expiry, WebhookQuery};
use crate::sqlite::file;

fn plan(db: &Connection, sql: &str) -> String {
    let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    // Unbound values are NULL, which does not matter to the plan.
    let steps = statement.raw_query().mapped(|row| row.get::<_, String>(3)).map(Result::unwrap);
    steps.collect::<Vec<_>>().join("; ")
}

#[test]
fn the_hot_statements_use_their_indexes_and_sort_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let db = file::open(folder.path(), &super::KIND).unwrap().writer;
    for (sql, uses) in [
        (
            reads::PENDING,
            &["deliveries USING INDEX deliveries_pending (endpoint_id=? AND delivery_seq>?)"][..],
        ),
        (reads::REPLAYS, &["deliveries USING INDEX deliveries_replayed (endpoint_id=? AND replay_no>?)"]),
        (reads::ORDERS_OF, &["delivery_orders USING PRIMARY KEY (delivery_seq=?)"]),
        (
            reads::RECORDS_OF,
            &["o USING PRIMARY KEY (delivery_seq=?)", "r USING INTEGER PRIMARY KEY (rowid=?)"],
        ),
        (
            reads::PAYLOAD,
            &["d USING INTEGER PRIMARY KEY", "e USING INTEGER PRIMARY KEY", "w USING INTEGER PRIMARY KEY"],
        ),
        (
            reads::ENDPOINTS,
            &["w USING COVERING INDEX webhooks_by_endpoint", "d USING COVERING INDEX deliveries_pending"],
        ),
        (
            deliveries::IS_WAITING,
            &[
                "o USING COVERING INDEX delivery_orders_by_order (order_id=?)",
                "d USING INTEGER PRIMARY KEY (rowid=?)",
            ],
        ),
        (
            endings::IS_SUPERSEDED,
            &[
                "this USING INTEGER PRIMARY KEY",
                "o USING COVERING INDEX delivery_orders_by_order (order_id=? AND delivery_seq>?)",
                "d USING INTEGER PRIMARY KEY (rowid=?)",
            ],
        ),
        (
            endings::TO_CANCEL,
            &["deliveries USING INDEX deliveries_pending (endpoint_id=? AND delivery_seq>?)"],
        ),
        (
            tally::FIRST_IN_LINE,
            &[
                "d USING INDEX deliveries_pending (endpoint_id=?)",
                "d USING INDEX deliveries_replayed (endpoint_id=? AND replay_no>?)",
            ],
        ),
        (seen::NAMED, &["order_names USING PRIMARY KEY (name=?)"]),
        (seen::NAMED_SO, &["order_names USING PRIMARY KEY (name>? AND name<?)"]),
        (seen::OF_BRANCH, &["o USING INDEX orders_by_branch (branch_id=?)"]),
        (seen::NEWEST, &["SCAN e", "r USING INTEGER PRIMARY KEY (rowid=?)"]),
        (
            seen::EVENTS_OF,
            &[
                "r USING COVERING INDEX records_by_order (order_id=?)",
                "e USING INTEGER PRIMARY KEY (rowid=?)",
            ],
        ),
        (past::READ, &["past_figures USING PRIMARY KEY (endpoint_id=? AND span_s=? AND began_at>?)"]),
        (past::FORGET_DAY, &["past_figures USING INDEX past_figures_by_age (began_at<?)"]),
        (past::FORGET_WEEK, &["past_figures USING INDEX past_figures_by_age (began_at<?)"]),
        (tally::PENDING_AT, &["SCAN deliveries USING COVERING INDEX deliveries_pending"]),
        (registrations::MOVE_PENDING, &["deliveries USING INDEX deliveries_pending (endpoint_id=?)"]),
    ] {
        let plan = plan(&db, sql);
        for part in uses {
            assert!(plan.contains(part), "{sql}\n{plan}\nshould have: {part}");
        }
        assert!(!plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
    }
}

#[test]
fn lists_of_deliveries_are_read_in_order_without_sorting() {
    use crate::platform::DeliveryQuery;
    use hookit_contract::{DeliveryState, OrderId};
    let folder = tempfile::tempdir().unwrap();
    let db = file::open(folder.path(), &super::KIND).unwrap().writer;
    let all = DeliveryQuery { limit: 10, ..DeliveryQuery::default() };
    let state = |state| DeliveryQuery { state: Some(state), ..all.clone() };
    for (query, part) in [
        (all.clone(), "rowid<?"),
        (state(DeliveryState::Dead), "deliveries_given_up"),
        (state(DeliveryState::Cancelled), "deliveries_given_up"),
        (DeliveryQuery { endpoint_id: Some(EndpointId(1)), ..all.clone() }, "rowid<?"),
        (
            DeliveryQuery { order_id: Some(OrderId(1)), ..all.clone() },
            "delivery_orders_by_order (order_id=? AND delivery_seq<?)",
        ),
    ] {
        let (sql, _) = lists::listing(&query);
        let plan = plan(&db, &sql);
        assert!(plan.contains(part) && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
    }
    let plan = plan(&db, lists::PENDING_PLACES);
    let part = "USING COVERING INDEX deliveries_pending (endpoint_id=? AND delivery_seq<?)";
    assert!(plan.contains(part) && !plan.contains("TEMP B-TREE"), "{plan}");
}

/// A store with so many deliveries to each of two endpoints, in turns; every hundredth waits, and the oldest is dead.
fn with_deliveries(many: i64) -> (tempfile::TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let db = file::open(folder.path(), &super::KIND).unwrap().writer;
    db.execute_batch(&format!(
        "INSERT INTO partners VALUES ('p', 'POS', 9, '[]', 'key', x'00', x'00', 1, NULL, NULL, NULL);
         INSERT INTO endpoints (endpoint_id, partner_id, url) VALUES (1, 'p', 'https://a.example/'), (2, 'p', 'https://b.example/');
         INSERT INTO webhooks (webhook_id, partner_id, endpoint_id, event_type, created_at, updated_at)
            VALUES (1, 'p', 1, 'klikit.order.created.v2', 1, 1), (2, 'p', 2, 'klikit.order.status.updated', 1, 1);
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {many})
         INSERT INTO deliveries (delivery_seq, delivery_id, webhook_id, endpoint_id, event_type, brand_id, branch_id, envelope_format, state,
            attempts, failures, next_attempt_at, created_at, finished_at)
         SELECT i, 'evt_' || i, 1 + i % 2, 1 + i % 2, 'klikit.order.created.v2', 1, 1, 1,
            CASE WHEN i = 1 THEN 'dead' WHEN i % 100 < 2 THEN 'pending' ELSE 'delivered' END, 0, 0,
            CASE WHEN i > 1 AND i % 100 < 2 THEN i END, i, CASE WHEN i = 1 OR i % 100 >= 2 THEN i END
         FROM n;"
    ))
    .unwrap();
    (folder, db)
}

#[test]
fn a_page_of_deliveries_ends_after_so_many_looks_and_goes_on_from_there() {
    use crate::platform::{DELIVERY_LOOKS_MAX, DeliveryQuery};
    use hookit_contract::{DeliveryState, PartnerId, Timestamp};
    let looks = i64::try_from(DELIVERY_LOOKS_MAX).unwrap();
    let (_folder, db) = with_deliveries(2 * looks + 100);
    let list = |query: &DeliveryQuery| {
        let page = lists::deliveries(&db, query).unwrap();
        assert!(page.deliveries.is_sorted_by(|a, b| a.seq > b.seq), "newest first");
        (page.deliveries.iter().map(|one| one.seq.0).collect::<Vec<_>>(), page.next_before.map(|seq| seq.0))
    };
    let all = DeliveryQuery { limit: 3, ..DeliveryQuery::default() };
    assert_eq!(list(&all), ((2 * looks + 98..=2 * looks + 100).rev().collect(), Some(2 * looks + 98)));
    // What is committed long ago is come to in pages that find nothing.
    let old = DeliveryQuery { until: Some(Timestamp::from_millis(50)), ..all };
    assert_eq!(list(&old), (vec![], Some(looks + 101)));
    let old = DeliveryQuery { before: Some(DeliverySeq(looks + 101)), ..old };
    assert_eq!(list(&old), (vec![], Some(101)));
    let old = DeliveryQuery { before: Some(DeliverySeq(101)), ..old };
    assert_eq!(list(&old).0, [49, 48, 47]);
    // What an index knows is found at once, however old it is.
    let dead = DeliveryQuery { state: Some(DeliveryState::Dead), ..all };
    assert_eq!(list(&dead), (vec![1], None));
    let pending =
        DeliveryQuery { state: Some(DeliveryState::Pending), limit: 2_000, ..DeliveryQuery::default() };
    let (seqs, next) = list(&pending);
    let expected: Vec<i64> = (2..=2 * looks + 100).rev().filter(|i| i % 100 < 2).collect();
    assert_eq!((&seqs, next), (&expected, None));
    for endpoint_id in [1, 2] {
        let at = DeliveryQuery { endpoint_id: Some(EndpointId(endpoint_id)), ..pending.clone() };
        let expected: Vec<i64> = expected.iter().copied().filter(|i| 1 + i % 2 == endpoint_id).collect();
        assert_eq!(list(&at), (expected, None));
    }
    // Page after page is the whole.
    let mut gathered = Vec::new();
    let mut page = DeliveryQuery { limit: 7, ..pending };
    loop {
        let (seqs, next) = list(&page);
        gathered.extend(seqs);
        match next {
            Some(seq) => page.before = Some(DeliverySeq(seq)),
            None => break,
        }
    }
    assert_eq!(gathered, expected);
    let own = lists::deliveries_of(&db, &PartnerId::from("nobody".to_owned()), &all).unwrap();
    assert_eq!((own.deliveries.len(), own.next_before), (0, Some(DeliverySeq(looks + 101))));
}

#[test]
fn a_store_of_the_first_version_keeps_what_it_has_and_learns_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let first = file::Kind { migrations: &super::KIND.migrations[..1], ..super::KIND };
    let db = file::open(folder.path(), &first).unwrap().writer;
    db.execute_batch(
        "INSERT INTO partners VALUES ('p', 'POS', 9, '[]', 'key', x'00', x'00', 1, NULL);
         INSERT INTO endpoints VALUES (1, 'p', 'https://pos.example/', NULL, NULL);
         INSERT INTO webhooks VALUES (1, 'p', 1, NULL, NULL, 'klikit.order.created.v2', NULL, 1, 1);
         INSERT INTO deliveries VALUES
            (1, 'evt_1', 1, 1, 'klikit.order.created.v2', 663, 1062, 1, 'delivered', 1, 0, NULL, 1, 2),
            (2, 'evt_2', 1, 1, 'klikit.order.created.v2', 663, 1062, 1, 'pending', 0, 0, 3, 3, NULL);
         INSERT INTO webhook_logs VALUES (1, 1, 1, 5, 'acknowledged', 200, NULL, x'', NULL, NULL, 1);",
    )
    .unwrap();
    drop(db);
    let db = file::open(folder.path(), &super::KIND).unwrap().writer;
    let pending = reads::pending(&db, EndpointId(1), DeliverySeq(0), 10).unwrap();
    assert_eq!(pending.deliveries.iter().map(|d| d.seq).collect::<Vec<_>>(), [DeliverySeq(2)]);
    assert!(
        reads::pending(&db, EndpointId(1), DeliverySeq::REPLAYS_AFTER, 10).unwrap().deliveries.is_empty()
    );
    let (delivered, log) = reads::delivery(&db, &DeliveryId::from("evt_1")).unwrap().unwrap();
    assert_eq!((delivered.attempts, log.len(), log[0].phases), (1, 1, crate::platform::Phases::default()));
    // Rows are where they were, with what refers to them, and references are checked from here on.
    assert_eq!((delivered.seq, delivered.state), (DeliverySeq(1), hookit_contract::DeliveryState::Delivered));
    assert_eq!((delivered.ended_by, delivered.ended_reason), (None, None));
    let webhook = registry::webhooks(&db, &WebhookQuery::first(1)).unwrap().remove(0);
    assert_eq!(webhook.settings, crate::platform::WebhookSettings::default());
    let dangling: i64 =
        db.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0)).unwrap();
    assert_eq!(dangling, 0);
    let broken = db.execute("UPDATE webhook_logs SET delivery_seq = 77", []).unwrap_err();
    assert!(broken.to_string().contains("FOREIGN KEY"), "{broken}");
    let refers: String = db
        .query_row(
            "SELECT group_concat(DISTINCT \"table\") FROM pragma_foreign_key_list('webhook_logs')",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(refers, "deliveries");
    db.execute("UPDATE deliveries SET state = 'superseded', next_attempt_at = NULL, finished_at = 9 WHERE delivery_seq = 2", [])
        .unwrap();
}

const A_REGISTRATION: &str =
    "INSERT INTO partners (partner_id, name, business_id, scopes, partner_key, secret_hash, webhook_secret, created_at)
     VALUES ('p', 'POS', 9, '[]', 'key', x'00', x'00', 1);
     INSERT INTO endpoints VALUES (1, 'p', 'https://pos.example/', NULL, NULL);
     INSERT INTO webhooks (webhook_id, partner_id, endpoint_id, event_type, created_at, updated_at)
     VALUES (1, 'p', 1, 'klikit.order.cart.updated', 1, 1);";

#[test]
fn what_has_ended_is_found_behind_however_much_that_is_pending() {
    let folder = tempfile::tempdir().unwrap();
    let db = file::open(folder.path(), &super::KIND).unwrap().writer;
    db.execute_batch(A_REGISTRATION).unwrap();
    const PENDING: i64 = 10_500;
    db.execute_batch(&format!(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {PENDING} + 2)
         INSERT INTO deliveries (delivery_seq, delivery_id, endpoint_id, webhook_id, event_type, brand_id, branch_id,
             envelope_format, state, attempts, failures, next_attempt_at, created_at, finished_at)
         SELECT n, 'evt_' || n, 1, 1, 'klikit.order.cart.updated', 1, 1, 1, iif(n > {PENDING}, 'dead', 'pending'), 0, 0,
             iif(n > {PENDING}, NULL, 1), 1, iif(n > {PENDING}, 2, NULL) FROM n",
    ))
    .unwrap();
    let before = Timestamp::from_millis(3);
    let (mut place, mut found) = (Some(Expiry::Deliveries { after: 0 }), Vec::new());
    while let Some(here @ Expiry::Deliveries { .. }) = place {
        let (step, next) = expiry::look(&db, before, here).unwrap();
        let expiry::Step::Deliveries(old, _) = step else { panic!("a pass goes from events to deliveries") };
        found.extend(old);
        place = next;
    }
    assert_eq!(found, [PENDING + 1], "the last of all is kept");
}

#[test]
fn what_removing_a_record_costs_does_not_grow_with_the_square_of_its_orders_versions() {
    let folder = tempfile::tempdir().unwrap();
    let db = file::open(folder.path(), &super::KIND).unwrap().writer;
    db.execute_batch(A_REGISTRATION).unwrap();
    // An order's versions without their events, each with a delivery.
    let steps = |order: i64, versions: i64| -> i32 {
        for version in 1..=versions {
            let number = order * 10_000 + version;
            db.execute("INSERT INTO records VALUES (?1, ?2, ?3, '{}')", [number, order, version]).unwrap();
            db.execute(
                "INSERT INTO deliveries (delivery_seq, delivery_id, endpoint_id, webhook_id, event_type, brand_id, branch_id,
                     envelope_format, state, attempts, failures, created_at, finished_at)
                 VALUES (?1, 'evt_' || ?1, 1, 1, 'klikit.order.cart.updated', 1, 1, 1, 'delivered', 1, 0, 1, 2)",
                [number],
            )
            .unwrap();
            db.execute("INSERT INTO delivery_orders VALUES (?1, 0, ?2, ?1)", [number, order]).unwrap();
        }
        db.execute(
            "INSERT INTO orders (order_id, business_id, branch_id, status, version, record_id, created_at, updated_at)
             VALUES (?1, 9, 1, 1, ?2, ?1 * 10000 + ?2, 1, 1)",
            [order, versions],
        )
        .unwrap();
        let mut statement = db.prepare(expiry::RECORDS).unwrap();
        assert_eq!(statement.execute([order, order * 10_000 + versions / 2]).unwrap(), 0);
        statement.get_status(rusqlite::StatementStatus::VmStep)
    };
    let (few, many) = (steps(1, 50), steps(2, 500));
    assert!(many < 20 * few, "{few} steps with 50 versions, {many} with 500");
}

/// A column of texts.
fn texts(db: &Connection, sql: &str) -> Vec<String> {
    db.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Every table with its columns.
fn all_tables(db: &Connection) -> Vec<(String, Vec<String>)> {
    let tables = texts(db, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
    let columns =
        |table: &str| texts(db, &format!("SELECT name FROM pragma_table_info('{table}') ORDER BY name"));
    tables.into_iter().map(|table| (table.clone(), columns(&table))).collect()
}

/// Every row of these tables, column by column.
fn rows_of(db: &Connection, tables: &[(String, Vec<String>)]) -> Vec<(String, Vec<String>)> {
    let rows = |(table, columns): &(String, Vec<String>)| {
        let quoted: Vec<_> = columns.iter().map(|column| format!("quote({column})")).collect();
        let sql = format!("SELECT {} FROM {table} ORDER BY 1", quoted.join(" || ' ' || "));
        (table.clone(), texts(db, &sql))
    };
    tables.iter().map(rows).collect()
}

#[test]
fn a_store_of_the_third_version_keeps_every_row_of_every_table() {
    let folder = tempfile::tempdir().unwrap();
    let third = file::Kind { migrations: &super::KIND.migrations[..3], ..super::KIND };
    let db = file::open(folder.path(), &third).unwrap().writer;
    db.execute_batch(
        "INSERT INTO businesses VALUES (9, 'Noodles');
         INSERT INTO brands VALUES (663, 9, 'Soup');
         INSERT INTO brand_branches VALUES (663, 1062);
         INSERT INTO partners VALUES ('p', 'POS', 9, '[]', 'key', x'01', x'02', 1, 2, x'03', 4);
         INSERT INTO endpoints VALUES (1, 'p', 'https://pos.example/', 5, 'gone'), (2, 'p', 'https://kds.example/', NULL, NULL);
         INSERT INTO webhooks VALUES
            (1, 'p', 1, 663, NULL, 'klikit.order.created.v2', x'04', 1, 2, 'none', 3, 4, 5, 1, NULL, NULL, NULL),
            (2, 'p', 2, NULL, NULL, 'klikit.order.created.v2', NULL, 1, 2, 'per_order', NULL, NULL, NULL, 0, 6, 'Mai', 7);
         INSERT INTO records VALUES (1, 7, 1, '{\"id\":7}'), (2, 7, 2, '{\"id\":7,\"status\":2}');
         INSERT INTO orders VALUES (7, 9, 1062, 2, 2, 2, 1, 2);
         INSERT INTO events VALUES (1, 'klikit.order.created.v2', NULL, 1, 'operator', NULL, 1),
            (2, 'klikit.order.status.updated', 1, 2, 'partner', 1, 2);
         INSERT INTO replays VALUES (1, 'missed', 0, NULL, 1, 7, NULL, NULL, 1, 9, 'running', 1, 2, 1, 0, 0, 0, 8, NULL);
         INSERT INTO deliveries VALUES
            (1, 'evt_1', 1, 1, 'klikit.order.created.v2', 663, 1062, 1, 'pending', 2, 1, 9, 1, NULL, 1, 8, 1, NULL, NULL),
            (2, 'evt_2', 2, 2, 'klikit.order.created.v2', 663, 1062, 1, 'cancelled', 0, 0, NULL, 1, 9, NULL, NULL, NULL,
                'Mai', 'webhook_removed');
         INSERT INTO delivery_orders VALUES (1, 0, 7, 1), (2, 0, 7, 2);
         INSERT INTO webhook_logs VALUES
            (1, 1, 1, 5, 'timed_out', NULL, '192.0.2.1:443', x'', 'slow', 9, 1, 1, 2, 3, NULL),
            (1, 2, 2, 5, 'refused', 500, NULL, x'6e6f', NULL, 9, 0, NULL, NULL, NULL, 4);
         UPDATE totals SET orders = 1, events = 2, pending = 1, cancelled = 1, attempts = 2;",
    )
    .unwrap();
    let tables = all_tables(&db);
    let before = rows_of(&db, &tables);
    for (table, rows) in &before {
        assert!(!rows.is_empty(), "{table} is empty");
    }
    drop(db);
    let db = file::open(folder.path(), &super::KIND).unwrap().writer;
    assert_eq!(rows_of(&db, &tables), before);
    // What the tables in the place of others refer to, and what refers to them, is looked after as before.
    for broken in [
        "UPDATE delivery_orders SET delivery_seq = 77 WHERE delivery_seq = 1",
        "DELETE FROM deliveries WHERE delivery_seq = 1",
        "DELETE FROM records WHERE record_id = 1",
        "UPDATE orders SET record_id = 77",
        "INSERT INTO delivery_orders VALUES (2, 1, 8, 77)",
    ] {
        let error = db.execute(broken, []).unwrap_err();
        assert_eq!(
            error.sqlite_error_code(),
            Some(rusqlite::ErrorCode::ConstraintViolation),
            "{broken}: {error}"
        );
    }
    let page = reads::pending(&db, EndpointId(1), DeliverySeq::REPLAYS_AFTER, 10).unwrap();
    assert_eq!(page.deliveries.len(), 1);
}

#[test]
fn orders_of_an_older_store_are_found_by_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let eighth = file::Kind { migrations: &super::KIND.migrations[..8], ..super::KIND };
    let db = file::open(folder.path(), &eighth).unwrap().writer;
    let long = "x".repeat(256);
    db.execute_batch(&format!(
        r#"INSERT INTO records VALUES
            (1, 7, 1, '{{"id":7,"external_id":"GF-1","short_id":12,"identity":null,"cart":[{{"short_id":"13"}}]}}'),
            (2, 8, 1, '{{"id":8,"external_id":"","short_id":"{long}","identity":"GF-1"}}');
         INSERT INTO orders VALUES (7, 9, 9, 1, 1, 1, 5, 5, '[]'), (8, 9, 9, 1, 1, 2, 5, 5, '[]');"#
    ))
    .unwrap();
    drop(db);
    let db = file::open(folder.path(), &super::KIND).unwrap().writer;
    let found = |name| seen::named(&db, name, 9).unwrap().into_iter().map(|id| id.0).collect::<Vec<_>>();
    assert_eq!((found("GF-1"), found("12"), found("13")), (vec![8, 7], vec![7], vec![]));
    let names: i64 = db.query_row("SELECT count(*) FROM order_names", [], |row| row.get(0)).unwrap();
    assert_eq!(names, 3);
}
