//! Random histories, and what must hold in the tables after each, also after a crash in the middle of one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use hookit_contract::{
    DeliveryId, DeliverySeq, DeliveryState, EndpointId, EventType, KnownStatus, OrderId, ReplayId,
    StatusCodes, Timestamp,
};
use hookit_store::platform::{
    Attempt, DeliveryQuery, Expiry, NewWebhook, PendingDelivery, ReplayFilter, ReplayKind, ReplayRequest,
    SteerReplay, Store as _, Verdict, Webhook, WebhookQuery, WebhookSettings,
};
use hookit_store::sqlite::{PlatformOptions, PlatformStore};
use proptest::prelude::*;
use rusqlite::Connection;

use crate::files::copy_as_after_a_crash;
use crate::fixture::*;

/// Each is a query for what must not be there, whatever happened.
const NEVER: [(&str, &str); 20] = [
    ("an event without a record, an order or a delivery that stands at none",
     "SELECT 1 FROM events WHERE event_seq NOT IN (SELECT record_id FROM records)
      UNION ALL SELECT 1 FROM orders WHERE record_id NOT IN (SELECT record_id FROM records)
      UNION ALL SELECT 1 FROM delivery_orders WHERE record_id NOT IN (SELECT record_id FROM records)"),
    ("an order that is not at its latest version",
     "SELECT 1 FROM orders o JOIN records r USING (record_id)
      WHERE r.order_id <> o.order_id OR r.version <> o.version
         OR o.version <> (SELECT max(version) FROM records WHERE order_id = o.order_id)"),
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
    ("an order in a delivery of another branch or record",
     "SELECT 1 FROM deliveries d JOIN delivery_orders o USING (delivery_seq) JOIN records r USING (record_id)
      WHERE r.order_id <> o.order_id OR r.record ->> 'branch_id' <> d.branch_id"),
    // A replay may tell the newest record in another event's stead.
    ("an order in a delivery of another event type",
     "SELECT 1 FROM deliveries d JOIN delivery_orders o USING (delivery_seq) JOIN events e ON e.event_seq = o.record_id
      WHERE e.event_type <> d.event_type AND d.replay_no IS NULL"),
    ("an order whose later state goes to an endpoint before an earlier one",
     "SELECT 1 FROM deliveries d JOIN delivery_orders o USING (delivery_seq)
      JOIN deliveries d2 ON d2.webhook_id = d.webhook_id OR d2.endpoint_id = d.endpoint_id
      JOIN delivery_orders o2 ON o2.delivery_seq = d2.delivery_seq AND o2.order_id = o.order_id
      WHERE d2.delivery_seq > d.delivery_seq AND o2.record_id < o.record_id
        AND d.replay_no IS NULL AND d2.replay_no IS NULL"),
    // The one registration for all events, of the partner 'all', is there from the start and to the end. What a replay
    // made anew comes on top; what ended long ago took its events along.
    ("an event that the partner 'all' is not told of, or twice",
     "SELECT 1 FROM (SELECT count(*) AS told, count(*) FILTER (WHERE d.replay_no IS NULL) AS fresh,
         (SELECT count(*) FROM json_each(r.record, '$.brands')) AS brands
       FROM events e JOIN records r ON r.record_id = e.event_seq
       JOIN delivery_orders o ON o.order_id = r.order_id AND o.record_id = e.event_seq
       JOIN deliveries d USING (delivery_seq) JOIN webhooks w USING (webhook_id)
       WHERE w.partner_id = 'ptn_all' GROUP BY e.event_seq)
      WHERE told < brands OR fresh > brands
      UNION ALL
      SELECT 1 FROM events WHERE event_seq NOT IN (SELECT record_id FROM delivery_orders JOIN deliveries USING (delivery_seq)
         JOIN webhooks USING (webhook_id) WHERE partner_id = 'ptn_all')"),
    ("a pending delivery that is not where its registration points",
     "SELECT 1 FROM deliveries d JOIN webhooks w USING (webhook_id)
      WHERE d.state = 'pending' AND d.endpoint_id <> w.endpoint_id"),
    ("a pending delivery of a registration whose removal is over",
     "SELECT 1 FROM deliveries d JOIN webhooks w USING (webhook_id)
      WHERE d.state = 'pending' AND w.removed_at IS NOT NULL AND w.cancelled_to IS NULL"),
    ("a delivery whose attempts are not in the log",
     "SELECT 1 FROM deliveries d WHERE attempts <> (SELECT count(*) FROM webhook_logs WHERE delivery_seq = d.delivery_seq)"),
    ("a delivered delivery without an acknowledged attempt, or the other way round",
     "SELECT 1 FROM (SELECT state, replay_no, ended_by, EXISTS (SELECT 1 FROM webhook_logs l
         WHERE l.delivery_seq = d.delivery_seq AND outcome = 'acknowledged') AS is_acknowledged FROM deliveries d)
      WHERE (state = 'delivered' AND NOT is_acknowledged)
         OR (state <> 'delivered' AND is_acknowledged AND replay_no IS NULL)
         OR (state = 'cancelled' AND is_acknowledged AND ended_by IS NULL)"),
    ("a delivery that was taken back by nobody", "SELECT 1 FROM deliveries WHERE state = 'cancelled' AND ended_by IS NULL
      AND replay_id IS NULL"),
    ("totals that are not the numbers of rows",
     "SELECT 1 FROM totals WHERE orders <> (SELECT count(*) FROM orders) OR events <> (SELECT count(*) FROM events)
      OR attempts <> (SELECT count(*) FROM webhook_logs)
      OR pending <> (SELECT count(*) FROM deliveries WHERE state = 'pending')
      OR delivered <> (SELECT count(*) FROM deliveries WHERE state = 'delivered')
      OR dead <> (SELECT count(*) FROM deliveries WHERE state = 'dead')
      OR cancelled <> (SELECT count(*) FROM deliveries WHERE state = 'cancelled')
      OR superseded <> (SELECT count(*) FROM deliveries WHERE state = 'superseded')"),
    ("a replay whose figures are not those of its deliveries",
     "SELECT 1 FROM replays r WHERE queued - delivered - dead - cancelled
      <> (SELECT count(*) FROM deliveries d WHERE d.replay_id = r.replay_id AND d.state = 'pending')"),
    ("a replay that has nothing left to do and is not done",
     "SELECT 1 FROM replays WHERE state = 'running' AND looked_to = looks_to AND queued = delivered + dead + cancelled"),
    ("a broken reference or page",
     "SELECT 1 FROM pragma_foreign_key_check UNION ALL SELECT 1 FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
];

/// What must not be there either while nothing was removed for its age.
const NOTHING_GONE: [(&str, &str); 2] = [
    (
        "a record without an event",
        "SELECT 1 FROM records LEFT JOIN events ON event_seq = record_id WHERE event_seq IS NULL",
    ),
    (
        "a version that is not there",
        "SELECT 1 FROM orders o WHERE version <> (SELECT count(*) FROM records WHERE order_id = o.order_id)",
    ),
];

/// What must not be there once everything that is over was removed: all of it is old by then.
const ALL_OLD: [(&str, &str); 3] = [
    ("an event", "SELECT 1 FROM events"),
    ("a delivery that has ended, but for the last and the last replay",
     "SELECT 1 FROM deliveries WHERE state <> 'pending' AND delivery_seq < (SELECT max(delivery_seq) FROM deliveries)
      AND coalesce(replay_no < (SELECT max(replay_no) FROM deliveries), 1)"),
    ("a record that nothing refers to",
     "SELECT 1 FROM records WHERE record_id NOT IN (SELECT record_id FROM orders)
      AND record_id NOT IN (SELECT record_id FROM delivery_orders)"),
];

/// Panics where something is there that must not be.
fn audit(folder: &Path, more: &[(&str, &str)]) {
    let db = Connection::open(folder.join("platform.db")).unwrap();
    for (what, sql) in NEVER.iter().chain(more) {
        let found = db.prepare(sql).unwrap().exists([]).unwrap();
        assert!(!found, "{what}");
    }
}

/// What the tables say of what is pending where.
fn pending_at(folder: &Path) -> BTreeMap<EndpointId, u64> {
    let db = Connection::open(folder.join("platform.db")).unwrap();
    let mut statement = db
        .prepare("SELECT endpoint_id, count(*) FROM deliveries WHERE state = 'pending' GROUP BY endpoint_id")
        .unwrap();
    let rows = statement.query_map([], |row| Ok((EndpointId(row.get(0)?), row.get::<_, i64>(1)?))).unwrap();
    rows.map(Result::unwrap).map(|(endpoint_id, n)| (endpoint_id, u64::try_from(n).unwrap())).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Create {
        brands: usize,
        branch: i64,
    },
    Move {
        order: usize,
        to: usize,
    },
    Edit {
        order: usize,
        cart: u8,
    },
    Attempt {
        pending: usize,
        verdict: u8,
    },
    /// The end of an attempt at something that was pending once.
    LateAttempt {
        seen: usize,
        verdict: u8,
    },
    GiveUp {
        pending: usize,
    },
    Supersede {
        pending: usize,
    },
    Cancel {
        delivery: usize,
    },
    Replay {
        delivery: usize,
    },
    Redirect {
        kind: usize,
        url: u8,
        coalesce: bool,
    },
    Remove {
        kind: usize,
    },
    RemoveFurther,
    StartReplay {
        kind: usize,
        history: bool,
        state: usize,
        whose: usize,
        steps: usize,
    },
    ReplayFurther,
    Steer {
        replay: i64,
        how: u8,
    },
    Expire {
        age: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3usize, 1..3i64).prop_map(|(brands, branch)| Step::Create { brands, branch }),
        6 => (0..5usize, 0..11usize).prop_map(|(order, to)| Step::Move { order, to }),
        2 => (0..8usize, 0..3u8).prop_map(|(order, cart)| Step::Edit { order, cart }),
        5 => (0..8usize, 0..4u8).prop_map(|(pending, verdict)| Step::Attempt { pending, verdict }),
        2 => (0..30usize, 0..4u8).prop_map(|(seen, verdict)| Step::LateAttempt { seen, verdict }),
        1 => (0..8usize).prop_map(|pending| Step::GiveUp { pending }),
        3 => (0..3usize).prop_map(|pending| Step::Supersede { pending }),
        2 => (0..9usize).prop_map(|delivery| Step::Cancel { delivery }),
        3 => (0..9usize).prop_map(|delivery| Step::Replay { delivery }),
        3 => (0..2usize, 0..3u8, any::<bool>()).prop_map(|(kind, url, coalesce)| Step::Redirect { kind, url, coalesce }),
        1 => (0..3usize).prop_map(|kind| Step::Remove { kind }),
        1 => Just(Step::RemoveFurther),
        4 => (0..3usize, any::<bool>(), 0..9usize, 0..9usize, 0..3usize).prop_map(
            |(kind, history, state, whose, steps)| Step::StartReplay { kind, history, state, whose, steps }
        ),
        2 => Just(Step::ReplayFurther),
        1 => (1..4i64, 0..3u8).prop_map(|(replay, how)| Step::Steer { replay, how }),
        1 => (0..200i64).prop_map(|age| Step::Expire { age }),
    ]
}

/// These registrations want the newest of what waits.
async fn coalesce(store: &PlatformStore, webhooks: &[Webhook]) {
    for webhook in webhooks {
        let new = registration("pos", webhook.brand_id, webhook.branch_id, webhook.event_type, &webhook.url);
        let settings = WebhookSettings { coalesce: true, ..WebhookSettings::default() };
        register(store, NewWebhook { settings, ..new }).await;
    }
}

/// Everything that was in line at some time, with its id where it could have been sent.
type Seen = RefCell<Vec<(PendingDelivery, Option<DeliveryId>)>>;

async fn in_line(store: &PlatformStore, seen: &Seen) -> Vec<PendingDelivery> {
    let mut all = backlog(store).await;
    for endpoint in store.endpoints().await.unwrap() {
        let replays = store.pending(endpoint.endpoint_id, DeliverySeq::REPLAYS_AFTER, 100).await.unwrap();
        all.extend(replays.deliveries);
    }
    for delivery in &all {
        let payload = store.payload(delivery.seq).await.unwrap();
        seen.borrow_mut().push((delivery.clone(), payload.ok().map(|payload| payload.delivery_id)));
    }
    all
}

async fn end(
    store: &PlatformStore,
    delivery: &PendingDelivery,
    delivery_id: Option<DeliveryId>,
    verdict: u8,
    now: i64,
) {
    let verdict = match verdict {
        0 | 1 => Verdict::Delivered,
        2 => Verdict::RetryAt { at: at(now + 5_000), counted: true },
        _ => Verdict::Dead,
    };
    let attempt = attempt(delivery.seq, delivery.attempts + 1, verdict);
    let attempt = Attempt { delivery_id, started_at: at(now), ..attempt };
    store.record_attempts(vec![attempt], at(now)).await.unwrap();
}

async fn some_delivery(store: &PlatformStore, n: usize) -> Option<DeliveryId> {
    let all =
        store.deliveries(DeliveryQuery { limit: 9, ..DeliveryQuery::default() }).await.unwrap().deliveries;
    all.get(n).map(|delivery| delivery.delivery_id.clone())
}

async fn expire(store: &PlatformStore, before: Timestamp) {
    let mut place = Some(Expiry::default());
    while let Some(here) = place {
        place = store.expire(before, here).await.unwrap();
    }
}

async fn take(store: &PlatformStore, step: &Step, seen: &Seen, now: i64) {
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
            let Some(delivery) = in_line(store, seen).await.into_iter().nth(*pending) else { return };
            end(store, &delivery, None, *verdict, now).await;
        }
        Step::LateAttempt { seen: n, verdict } => {
            let Some((delivery, delivery_id)) = seen.borrow().get(*n).cloned() else { return };
            end(store, &delivery, delivery_id, *verdict, now).await;
        }
        Step::GiveUp { pending } => {
            let Some(delivery) = in_line(store, seen).await.into_iter().nth(*pending) else { return };
            store.give_up(vec![delivery.seq], at(now)).await.unwrap();
        }
        Step::Supersede { pending } => {
            // As its sender does: only what is said to be passed over is.
            let mut to_pass_over = Vec::new();
            for delivery in in_line(store, seen).await {
                if store.payload(delivery.seq).await.unwrap().is_ok_and(|payload| payload.is_superseded) {
                    to_pass_over.push(delivery.seq);
                }
            }
            let Some(seq) = to_pass_over.get(*pending) else { return };
            store.supersede(*seq, at(now)).await.unwrap();
        }
        Step::Cancel { delivery } => {
            let Some(id) = some_delivery(store, *delivery).await else { return };
            store.cancel_delivery(&id, "Mai", at(now)).await.unwrap();
        }
        Step::Replay { delivery } => {
            let Some(id) = some_delivery(store, *delivery).await else { return };
            store.replay_delivery(&id, at(now)).await.unwrap();
        }
        Step::Redirect { kind, url, coalesce } => {
            let url = format!("https://pos.example/{url}");
            let brand = Some(hookit_contract::BrandId(1));
            let new = registration("pos", brand, None, EventType::ALL[*kind], &url);
            let settings = WebhookSettings { coalesce: *coalesce, ..WebhookSettings::default() };
            register(store, NewWebhook { settings, ..new }).await;
        }
        Step::Remove { kind } => {
            let webhooks = store.webhooks(WebhookQuery::first(9)).await.unwrap();
            let mut of_pos = webhooks.iter().filter(|w| w.partner_id.as_str() == "ptn_pos");
            let Some(webhook) = of_pos.nth(*kind) else { return };
            store.remove_webhook(webhook.webhook_id, "Mai", at(now)).await.unwrap();
        }
        Step::RemoveFurther => {
            store.step_removals(at(now)).await.unwrap();
        }
        Step::StartReplay { kind, history, state, whose, steps } => {
            let webhooks = store.webhooks(WebhookQuery::first(9)).await.unwrap();
            let whose = webhooks.get(*whose).map(|webhook| webhook.webhook_id);
            let (kind, history, filter) = match kind {
                0 | 1 => {
                    let ended =
                        DeliveryState::ALL.into_iter().filter(|s| *s != DeliveryState::Pending).nth(*state);
                    let filter = ReplayFilter { state: ended, webhook_id: whose, ..ReplayFilter::default() };
                    let kind = [ReplayKind::SameIds, ReplayKind::NewIds][*kind];
                    (kind, *history || kind == ReplayKind::SameIds, filter)
                }
                _ => {
                    let filter = ReplayFilter { webhook_id: whose, ..ReplayFilter::default() };
                    (ReplayKind::Missed, *history, filter)
                }
            };
            store.start_replay(ReplayRequest { kind, history, filter }, at(now)).await.unwrap();
            for _ in 0..*steps {
                store.step_replays(at(now)).await.unwrap();
            }
        }
        Step::ReplayFurther => {
            store.step_replays(at(now)).await.unwrap();
        }
        Step::Steer { replay, how } => {
            let how = [SteerReplay::Pause, SteerReplay::Resume, SteerReplay::Cancel][usize::from(*how)];
            store.steer_replay(ReplayId(*replay), how, at(now)).await.unwrap();
        }
        Step::Expire { age } => expire(store, at(now - age)).await,
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
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_and_whenever_it_is_cut_off_the_tables_agree(
        groups in proptest::collection::vec(proptest::collection::vec(step(), 1..12), 1..16),
        cut in 0.0..1.0f64,
    ) {
        let expires = groups.iter().flatten().any(|step| matches!(step, Step::Expire { .. }));
        let more = if expires { &[][..] } else { &NOTHING_GONE[..] };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let crashed = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let store = PlatformStore::open(folder.path(), options()).unwrap();
            listener(&store, "all").await;
            let of_pos = listener(&store, "pos").await;
            coalesce(&store, &of_pos).await;
            let (mut now, seen) = (0, Seen::default());
            for group in &groups {
                now += 100;
                // The steps of a group come at once, so that they share ticks.
                let steps = group.iter().enumerate().map(|(i, step)| take(&store, step, &seen, now + i as i64));
                join_all(steps).await;
            }
            assert_eq!(store.figures().await.unwrap().pending_at, pending_at(folder.path()));
            copy_as_after_a_crash(folder.path(), crashed.path(), "platform");
            store.close().await;
        });
        audit(folder.path(), more);

        // A crash in the middle of writing the log: what is behind the cut never was.
        let log = crashed.path().join("platform.db-wal");
        let bytes = std::fs::metadata(&log).unwrap().len();
        let kept = (bytes as f64 * cut) as u64;
        std::fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(kept).unwrap();
        runtime.block_on(async {
            let store = PlatformStore::open(crashed.path(), options()).unwrap();
            // It goes on as if nothing had been.
            store.change(moved(OrderId(1_000_001), KnownStatus::Cancelled), at(1_000_000)).await.unwrap();
            assert_eq!(store.figures().await.unwrap().pending_at, pending_at(crashed.path()));
            store.close().await;
        });
        audit(crashed.path(), more);

        // Much later.
        runtime.block_on(async {
            let store = PlatformStore::open(folder.path(), options()).unwrap();
            expire(&store, at(1_000_000)).await;
            store.close().await;
        });
        audit(folder.path(), &ALL_OLD);
    }
}
