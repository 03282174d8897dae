//! Random histories, and what must hold in the tables after each, also after a crash in the middle of one.

use std::path::Path;

use hookit_contract::{EventType, KnownStatus, OrderId, StatusCodes};
use hookit_store::platform::{Store as _, Verdict};
use hookit_store::sqlite::{PlatformOptions, PlatformStore};
use proptest::prelude::*;
use rusqlite::Connection;

use crate::files::copy_as_after_a_crash;
use crate::fixture::*;

/// Each is a query for what must not be there.
const NEVER: [(&str, &str); 15] = [
    ("a record without an event", "SELECT 1 FROM records LEFT JOIN events ON event_seq = record_id WHERE event_seq IS NULL"),
    ("an order that is not at its latest version",
     "SELECT 1 FROM orders o JOIN records r USING (record_id)
      WHERE r.order_id <> o.order_id OR r.version <> o.version
         OR o.version <> (SELECT max(version) FROM records WHERE order_id = o.order_id)
         OR o.version <> (SELECT count(*) FROM records WHERE order_id = o.order_id)"),
    ("a record of no order", "SELECT 1 FROM records LEFT JOIN orders o USING (order_id) WHERE o.order_id IS NULL"),
    ("an order whose columns differ from its record",
     "SELECT 1 FROM orders o JOIN records r USING (record_id)
      WHERE r.record ->> 'id' <> o.order_id OR r.record ->> 'status' <> o.status OR r.record ->> 'version' <> o.version
         OR r.record ->> 'branch_id' <> o.branch_id OR r.record ->> 'business_id' <> o.business_id"),
    ("an event that does not follow from the one before",
     "SELECT 1 FROM events e JOIN records r ON r.record_id = e.event_seq
      JOIN records b ON b.order_id = r.order_id AND b.version = r.version - 1
      JOIN events f ON f.event_seq = b.record_id WHERE e.status_from <> f.status_to OR f.event_seq >= e.event_seq"),
    ("a delivery without orders",
     "SELECT 1 FROM deliveries LEFT JOIN delivery_orders o USING (delivery_seq) WHERE o.order_id IS NULL"),
    ("a delivery with too many orders",
     "SELECT 1 FROM delivery_orders GROUP BY delivery_seq HAVING count(*) > 3 OR max(position) <> count(*) - 1"),
    ("an order in a delivery of another event type, branch or record",
     "SELECT 1 FROM deliveries d JOIN delivery_orders o USING (delivery_seq) JOIN events e ON e.event_seq = o.record_id
      JOIN records r USING (record_id)
      WHERE e.event_type <> d.event_type OR r.order_id <> o.order_id OR r.record ->> 'branch_id' <> d.branch_id"),
    ("an order whose later state goes to an endpoint before an earlier one",
     "SELECT 1 FROM deliveries d JOIN delivery_orders o USING (delivery_seq)
      JOIN deliveries d2 ON d2.webhook_id = d.webhook_id OR d2.endpoint_id = d.endpoint_id
      JOIN delivery_orders o2 ON o2.delivery_seq = d2.delivery_seq AND o2.order_id = o.order_id
      WHERE d2.delivery_seq > d.delivery_seq AND o2.record_id < o.record_id"),
    // The one registration for all events, of the partner 'all', is there from the start.
    ("an event that the partner 'all' is not told of, or twice",
     "SELECT 1 FROM events e JOIN records r ON r.record_id = e.event_seq
      WHERE (SELECT count(*) FROM delivery_orders o JOIN deliveries d USING (delivery_seq) JOIN webhooks w USING (webhook_id)
             WHERE o.record_id = e.event_seq AND w.partner_id = 'ptn_all')
         <> (SELECT count(*) FROM json_each(r.record, '$.brands'))"),
    ("a pending delivery that is not where its registration points",
     "SELECT 1 FROM deliveries d JOIN webhooks w USING (webhook_id)
      WHERE d.state = 'pending' AND d.endpoint_id <> w.endpoint_id"),
    ("a delivery whose attempts are not in the log",
     "SELECT 1 FROM deliveries d WHERE attempts <> (SELECT count(*) FROM webhook_logs WHERE delivery_seq = d.delivery_seq)"),
    ("a delivered delivery without an acknowledged attempt, or the other way round",
     "SELECT 1 FROM deliveries d WHERE (state = 'delivered')
      <> EXISTS (SELECT 1 FROM webhook_logs WHERE delivery_seq = d.delivery_seq AND outcome = 'acknowledged')"),
    ("totals that are not the numbers of rows",
     "SELECT 1 FROM totals WHERE orders <> (SELECT count(*) FROM orders) OR events <> (SELECT count(*) FROM events)
      OR attempts <> (SELECT count(*) FROM webhook_logs)
      OR pending <> (SELECT count(*) FROM deliveries WHERE state = 'pending')
      OR delivered <> (SELECT count(*) FROM deliveries WHERE state = 'delivered')
      OR dead <> (SELECT count(*) FROM deliveries WHERE state = 'dead')
      OR cancelled <> (SELECT count(*) FROM deliveries WHERE state = 'cancelled')"),
    ("a broken reference or page",
     "SELECT 1 FROM pragma_foreign_key_check UNION ALL SELECT 1 FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
];

/// Panics where something is there that must not be.
fn audit(folder: &Path) {
    let db = Connection::open(folder.join("platform.db")).unwrap();
    for (what, sql) in NEVER {
        let found = db.prepare(sql).unwrap().exists([]).unwrap();
        assert!(!found, "{what}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Create { brands: usize, branch: i64 },
    Move { order: usize, to: usize },
    Edit { order: usize, cart: u8 },
    Attempt { pending: usize, verdict: u8 },
    Redirect { kind: usize, url: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3usize, 1..3i64).prop_map(|(brands, branch)| Step::Create { brands, branch }),
        5 => (0..8usize, 0..11usize).prop_map(|(order, to)| Step::Move { order, to }),
        2 => (0..8usize, 0..3u8).prop_map(|(order, cart)| Step::Edit { order, cart }),
        3 => (0..8usize, 0..4u8).prop_map(|(pending, verdict)| Step::Attempt { pending, verdict }),
        1 => (0..3usize, 0..2u8).prop_map(|(kind, url)| Step::Redirect { kind, url }),
    ]
}

async fn take(store: &PlatformStore, step: &Step, now: i64) {
    // Ids are given in the order of creation; one that is not given yet is no such order, which is fine too.
    let order_id = |order: &usize| OrderId(1_000_001 + *order as i64);
    match step {
        Step::Create { brands, branch } => {
            let brands = [r#"[{"id":1}]"#, r#"[{"id":2}]"#, r#"[{"id":2},{"id":1}]"#][*brands];
            let text = format!(r#"{{"business_id":9,"branch_id":{branch},"brands":{brands}}}"#);
            create(store, record(&text), at(now)).await;
        }
        Step::Move { order, to } => {
            store.change(moved(order_id(order), KnownStatus::ALL[*to]), at(now)).await.unwrap();
        }
        Step::Edit { order, cart } => {
            let fields = format!(r#"{{"cart":[{cart}]}}"#);
            store.change(edit(order_id(order), &fields), at(now)).await.unwrap();
        }
        Step::Attempt { pending, verdict } => {
            let waiting = backlog(store).await;
            let Some(delivery) = waiting.get(*pending) else { return };
            let verdict = match verdict {
                0 | 1 => Verdict::Delivered,
                2 => Verdict::RetryAt { at: at(now + 5_000), counted: true },
                _ => Verdict::Dead,
            };
            let attempt = attempt(delivery.seq, delivery.attempts + 1, verdict);
            store.record_attempts(vec![attempt], at(now)).await.unwrap();
        }
        Step::Redirect { kind, url } => {
            let url = format!("https://pos.example/{url}");
            register(
                store,
                registration("pos", Some(hookit_contract::BrandId(1)), None, EventType::ALL[*kind], &url),
            )
            .await;
        }
    }
}

fn options() -> PlatformOptions {
    PlatformOptions {
        orders_per_delivery_max: 3,
        codes: StatusCodes::default(),
        id_seed: Some(3),
        ..Default::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_and_whenever_it_is_cut_off_the_tables_agree(
        groups in proptest::collection::vec(proptest::collection::vec(step(), 1..12), 1..8),
        cut in 0.0..1.0f64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let crashed = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let store = PlatformStore::open(folder.path(), options()).unwrap();
            listener(&store, "all").await;
            listener(&store, "pos").await;
            let mut now = 0;
            for group in &groups {
                now += 100;
                // The steps of a group come at once, so that they share ticks.
                let steps = group.iter().enumerate().map(|(i, step)| take(&store, step, now + i as i64));
                join_all(steps).await;
            }
            copy_as_after_a_crash(folder.path(), crashed.path(), "platform");
            store.close().await;
        });
        audit(folder.path());

        // A crash in the middle of writing the log: what is behind the cut never was.
        let log = crashed.path().join("platform.db-wal");
        let bytes = std::fs::metadata(&log).unwrap().len();
        let kept = (bytes as f64 * cut) as u64;
        std::fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(kept).unwrap();
        runtime.block_on(async {
            let store = PlatformStore::open(crashed.path(), options()).unwrap();
            // It goes on as if nothing had been.
            store.change(moved(OrderId(1_000_001), KnownStatus::Cancelled), at(1_000_000)).await.unwrap();
            let figures = store.figures().await.unwrap();
            assert_eq!(figures.pending_at.values().sum::<u64>(), figures.counts.pending);
            store.close().await;
        });
        audit(crashed.path());
    }
}
