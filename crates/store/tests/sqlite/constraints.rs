//! The schema itself refuses what must not be, whoever writes it.

use hookit_contract::KnownStatus;
use hookit_store::inbox::{SinkStart, SinkWanted, Source, Store as _};
use hookit_store::platform::{Store as _, Verdict};
use rusqlite::{Connection, ErrorCode};

use crate::fixture::*;

fn check_refused(db: &Connection, statements: &[&str]) {
    db.pragma_update(None, "foreign_keys", "ON").unwrap();
    for sql in statements {
        let error = match db.execute(sql, []) {
            Ok(changed) => panic!("{sql} changed {changed} rows"),
            Err(error) => error,
        };
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::ConstraintViolation), "{sql}: {error}");
    }
}

#[tokio::test]
async fn the_platforms_schema_refuses_what_must_not_be() {
    let (store, folder) = sqlite_platform();
    listener(&store, "pos").await;
    let id = plain(&store, at(0)).await.order_id;
    done(&store, moved(id, KnownStatus::Accepted), at(1)).await;
    let seq = backlog(&store).await[0].seq;
    store.record_attempts(vec![attempt(seq, 1, Verdict::Delivered)], at(2)).await.unwrap();
    store.close().await;
    let db = Connection::open(folder.path().join("platform.db")).unwrap();
    check_refused(
        &db,
        &[
            // A delivery's state and its times go together.
            "UPDATE deliveries SET state = 'sent' WHERE delivery_seq = 2",
            "UPDATE deliveries SET state = 'delivered' WHERE delivery_seq = 2",
            "UPDATE deliveries SET state = 'dead', finished_at = 1 WHERE delivery_seq = 2",
            "UPDATE deliveries SET next_attempt_at = NULL WHERE delivery_seq = 2",
            "UPDATE deliveries SET state = 'pending' WHERE delivery_seq = 1",
            "UPDATE deliveries SET finished_at = NULL WHERE delivery_seq = 1",
            "UPDATE deliveries SET envelope_format = 2",
            "UPDATE deliveries SET event_type = 'klikit.order.created' WHERE delivery_seq = 1",
            "UPDATE deliveries SET attempts = -1",
            "UPDATE deliveries SET failures = attempts + 1",
            "UPDATE endpoints SET held_at = 1",
            "UPDATE endpoints SET held_at = 1, held_reason = 'tired'",
            "UPDATE deliveries SET endpoint_id = 77",
            "UPDATE deliveries SET delivery_id = 'evt_same'",
            "DELETE FROM deliveries WHERE delivery_seq = 1",
            // No order twice in a delivery, and nothing carried that is not there.
            "INSERT INTO delivery_orders SELECT delivery_seq, 1, order_id, record_id FROM delivery_orders",
            "INSERT INTO delivery_orders SELECT delivery_seq, 0, order_id + 1, record_id FROM delivery_orders",
            "INSERT INTO delivery_orders VALUES (1, 1, 5, 77)",
            // Each version once, each event with its record.
            "INSERT INTO records SELECT 77, order_id, version, record FROM records WHERE record_id = 1",
            "INSERT INTO events SELECT 77, event_type, status_from, status_to, actor, occurred_at, created_at
                 FROM events WHERE event_seq = 1",
            "DELETE FROM records WHERE record_id = 1",
            "UPDATE events SET status_from = NULL WHERE event_seq = 2",
            // What a key stands for, with what was answered, and of a record that is there.
            "INSERT INTO partner_writes VALUES ('ptn_pos', 'k', zeroblob(32), 'moved', NULL, NULL, 1)",
            "INSERT INTO partner_writes VALUES ('ptn_pos', 'k', zeroblob(32), 'moved', 77, NULL, 1)",
            "INSERT INTO partner_writes VALUES ('ptn_pos', 'k', zeroblob(32), 'move_refused', NULL, NULL, 1)",
            "INSERT INTO partner_writes VALUES ('ptn_pos', 'k', zeroblob(32), 'done', NULL, NULL, 1)",
            "INSERT INTO partner_writes VALUES ('ptn_pos', 'k', zeroblob(31), 'no_such_order', NULL, NULL, 1)",
            "INSERT INTO partner_writes VALUES ('ptn_x', 'k', zeroblob(32), 'no_such_order', NULL, NULL, 1)",
            "INSERT INTO operator_writes VALUES (0, 'k', zeroblob(32), 'done', NULL, NULL, 1)",
            "INSERT INTO operator_writes VALUES (0, 'k', zeroblob(32), 'unchanged', 77, NULL, 1)",
            "INSERT INTO operator_writes VALUES (0, 'k', zeroblob(32), 'move_refused', NULL, NULL, 1)",
            "INSERT INTO operator_writes VALUES (0, 'k', zeroblob(32), 'id_taken', NULL, 3, 1)",
            "INSERT INTO operator_writes VALUES (0, 'k', zeroblob(32), 'moved', NULL, NULL, 1)",
            "INSERT INTO operator_writes VALUES (0, 'k', zeroblob(31), 'no_such_order', NULL, NULL, 1)",
            "UPDATE orders SET brands = 'none'",
            "UPDATE events SET status_from = 1 WHERE event_seq = 1",
            "UPDATE events SET status_from = status_to WHERE event_seq = 2",
            "UPDATE events SET actor = 'somebody'",
            "UPDATE orders SET record_id = 77",
            "UPDATE orders SET updated_at = created_at - 1",
            "UPDATE orders SET version = 0",
            "UPDATE orders SET order_id = 0",
            // An attempt once, and a status exactly where the partner answered.
            "INSERT INTO webhook_logs SELECT * FROM webhook_logs",
            "UPDATE webhook_logs SET http_status = NULL",
            "UPDATE webhook_logs SET http_status = 302",
            "UPDATE webhook_logs SET outcome = 'refused'",
            "UPDATE webhook_logs SET outcome = 'timed_out'",
            "UPDATE webhook_logs SET outcome = 'lost', http_status = NULL",
            "UPDATE webhook_logs SET attempt = 0",
            "UPDATE webhook_logs SET next_attempt_at = 1",
            "UPDATE webhook_logs SET delivery_seq = 77",
            // One registration for each tuple, whichever part of it is any.
            "INSERT INTO webhooks (partner_id, endpoint_id, brand_id, branch_id, event_type, created_at, updated_at)
             SELECT partner_id, endpoint_id, brand_id, branch_id, event_type, 1, 1 FROM webhooks WHERE webhook_id = 1",
            "UPDATE webhooks SET ordering = 'any'",
            "UPDATE webhooks SET in_flight_max = 0",
            "UPDATE webhooks SET brand_id = 0",
            "UPDATE webhooks SET endpoint_id = 77",
            "INSERT INTO endpoints SELECT 77, partner_id, url, NULL, NULL FROM endpoints",
            "UPDATE partners SET scopes = 'orders:read'",
            "INSERT INTO totals SELECT 2, orders, events, pending, delivered, dead, cancelled, attempts, superseded, events_removed_to, numbers_after FROM totals",
            "UPDATE totals SET pending = -1",
            "INSERT INTO brands VALUES (1, 77, 'no such business')",
            // Types are types.
            "UPDATE deliveries SET created_at = 'yesterday'",
        ],
    );
}

#[tokio::test]
async fn the_inboxs_schema_refuses_what_must_not_be() {
    let (store, folder) = sqlite_inbox();
    let received = hookit_store::inbox::Received {
        delivery_id: hookit_contract::DeliveryId::from("a"),
        event_type: None,
        source: Source::Webhook,
        secret: None,
        headers: Vec::new(),
        body: r#"{"orders":[{"id":7},null]}"#.into(),
        received_at: at(0),
    };
    store.receive(received).await.unwrap();
    let sink = SinkWanted { name: "sink".to_owned(), start: SinkStart::Next };
    store.put_sinks(vec![sink], at(0)).await.unwrap();
    store.close().await;
    let db = Connection::open(folder.path().join("inbox.db")).unwrap();
    check_refused(
        &db,
        &[
            "INSERT INTO deliveries (delivery_seq, delivery_id, body, received_at)
             SELECT 77, delivery_id, body, received_at FROM deliveries",
            "UPDATE deliveries SET source = 'elsewhere'",
            "DELETE FROM deliveries",
            "UPDATE orders SET record_bytes = 0",
            "UPDATE orders SET record_offset = -1",
            "INSERT INTO order_history SELECT * FROM order_history",
            "UPDATE order_history SET applied = 2",
            "UPDATE quarantine SET delivery_seq = 77",
            "UPDATE totals SET orders = -1",
            "UPDATE totals SET changes_removed_to = last_change + 1",
            "INSERT INTO order_brands VALUES (663, 77)",
            "UPDATE changes SET order_id = 77",
            "INSERT INTO sink_given_up VALUES ('nobody', 1, 'given_up', 'a reason', 0)",
            "INSERT INTO sink_given_up VALUES ('sink', 1, 'given_up', NULL, 0)",
            "INSERT INTO sink_given_up VALUES ('sink', 1, 'ended', 'a reason', 0)",
            "INSERT INTO sink_ended VALUES ('nobody', 1, 2)",
            "INSERT INTO sink_ended VALUES ('sink', 2, 1)",
            "INSERT INTO sink_ended VALUES ('sink', 0, 1)",
            "INSERT INTO sinks VALUES ('other', -1, 0, NULL)",
            "INSERT INTO reconcile_mark VALUES (2, NULL, NULL)",
            "INSERT INTO reconcile_runs (cause, started_at) VALUES ('boredom', 0)",
            "INSERT INTO reconcile_runs (cause, started_at, ended_at) VALUES ('start', 0, 1)",
            "INSERT INTO reconcile_healed VALUES (1, 1, 7, 'a reason', NULL, NULL, 'r', 0)",
            "INSERT INTO moves VALUES (1, 'm', NULL, zeroblob(32), 7, 'eaten', '', 0, 'pending', NULL, NULL, NULL)",
            "INSERT INTO moves VALUES (1, 'm', NULL, zeroblob(32), 7, 'ready', '', 0, 'done', NULL, NULL, NULL)",
            "INSERT INTO moves VALUES (1, 'm', NULL, zeroblob(31), 7, 'ready', '', 0, 'pending', NULL, NULL, NULL)",
        ],
    );
}
