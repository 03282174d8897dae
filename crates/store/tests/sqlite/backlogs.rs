//! What is done to a large backlog is done in steps: the writer is nobody's for longer than one of them.

use hookit_contract::{DeliverySeq, DeliveryState, EventType};
use hookit_store::platform::{
    Change, Changed, Counts, Expiry, ReplayFilter, ReplayKind, ReplayRequest, ReplayStep, StartReplay,
    SteerReplay, Store as _, WebhookQuery,
};
use hookit_store::sqlite::{PlatformOptions, PlatformStore};
use rusqlite::Connection;

use crate::fixture::*;

/// Deliveries in the backlog.
const MANY: u64 = 100_000;
/// Rows of deliveries that one transaction changes at most.
const STEP_MAX: u64 = 600;

/// A store with a backlog of one registration, put straight into its tables.
async fn backlogged(state: DeliveryState) -> (PlatformStore, tempfile::TempDir) {
    let (store, folder) = sqlite_platform();
    let created = listener(&store, "pos").await.remove(0);
    assert_eq!(created.event_type, EventType::OrderCreated);
    plain(&store, at(0)).await;
    store.close().await;
    drop(store);
    let db = Connection::open(folder.path().join("platform.db")).unwrap();
    let (next, finished) = match state {
        DeliveryState::Pending => ("1", "NULL"),
        _ => ("NULL", "1"),
    };
    // The order's delivery again and again.
    db.execute_batch(&format!(
        "BEGIN;
         UPDATE deliveries SET state = '{state}', next_attempt_at = {next}, finished_at = {finished};
         WITH RECURSIVE n(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < {MANY})
         INSERT INTO deliveries (delivery_seq, delivery_id, endpoint_id, webhook_id, event_type, brand_id, branch_id,
             envelope_format, state, attempts, failures, next_attempt_at, created_at, finished_at)
         SELECT n, 'evt_' || n, endpoint_id, webhook_id, event_type, brand_id, branch_id, 1, state, 0, 0,
             next_attempt_at, created_at, finished_at FROM n, deliveries WHERE delivery_seq = 1;
         INSERT INTO delivery_orders SELECT d.delivery_seq, 0, d.delivery_seq + 1000000, o.record_id
         FROM deliveries d, delivery_orders o WHERE d.delivery_seq > 1 AND o.delivery_seq = 1;
         UPDATE totals SET pending = 0;
         UPDATE totals SET {state} = {MANY};
         COMMIT;"
    ))
    .unwrap();
    drop(db);
    (PlatformStore::open(folder.path(), PlatformOptions::default()).unwrap(), folder)
}

/// Changes are made between steps, and no step has moved more deliveries than one may.
struct Watch {
    before: Counts,
    steps: u64,
}

impl Watch {
    async fn of(store: &PlatformStore) -> Self {
        Watch { before: store.counts().await.unwrap(), steps: 0 }
    }

    async fn step(&mut self, store: &PlatformStore) {
        let now = store.counts().await.unwrap();
        let moved = |of: fn(&Counts) -> u64| of(&now).abs_diff(of(&self.before));
        for moved in [moved(|c| c.pending), moved(|c| c.cancelled), moved(|c| c.dead)] {
            assert!(moved <= STEP_MAX, "{moved} in step {}", self.steps);
        }
        self.steps += 1;
        if self.steps.is_multiple_of(100) {
            let change = Change::Create { record: order_of(r#"[{"id":663}]"#, "") };
            assert!(matches!(store.change(change, at(9)).await.unwrap(), Changed::Done(_)));
        }
        self.before = store.counts().await.unwrap();
    }
}

#[tokio::test]
async fn the_backlog_of_a_removed_registration_is_taken_back_in_short_transactions() {
    let (store, _folder) = backlogged(DeliveryState::Pending).await;
    let webhook_id = store.webhooks(WebhookQuery::first(9)).await.unwrap()[0].webhook_id;
    let mut watch = Watch::of(&store).await;
    assert_eq!(watch.before.pending, MANY);
    store.remove_webhook(webhook_id, "Mai", at(10)).await.unwrap();
    watch.step(&store).await;
    while store.step_removals(at(11)).await.unwrap() {
        watch.step(&store).await;
    }
    assert_eq!((watch.before.pending, watch.before.cancelled), (0, MANY));
    assert!(watch.steps >= MANY / STEP_MAX, "{} steps", watch.steps);
}

#[tokio::test]
async fn a_large_replay_is_put_in_line_and_taken_back_in_short_transactions() {
    let (store, _folder) = backlogged(DeliveryState::Dead).await;
    let mut watch = Watch::of(&store).await;
    assert_eq!(watch.before.dead, MANY);
    let filter = ReplayFilter { state: Some(DeliveryState::Dead), ..ReplayFilter::default() };
    let request = ReplayRequest { kind: ReplayKind::SameIds, history: true, filter };
    let StartReplay::Started(replay) = store.start_replay(request, at(10)).await.unwrap() else {
        panic!("a replay begins")
    };
    watch.step(&store).await;
    while store.step_replays(at(11)).await.unwrap() == ReplayStep::Made {
        watch.step(&store).await;
    }
    let in_line = watch.before.pending;
    assert!((9_000..12_000).contains(&in_line), "it waits with {in_line} in line");
    store.steer_replay(replay.replay_id, SteerReplay::Cancel, at(12)).await.unwrap();
    watch.step(&store).await;
    while store.step_replays(at(13)).await.unwrap() == ReplayStep::Made {
        watch.step(&store).await;
    }
    let endpoint_id = store.endpoints().await.unwrap()[0].endpoint_id;
    let page = store.pending(endpoint_id, DeliverySeq::REPLAYS_AFTER, 10).await.unwrap();
    assert!(page.deliveries.is_empty(), "nothing of it is in line any more");
}

#[tokio::test]
async fn what_ended_long_ago_is_removed_in_short_transactions() {
    let (store, _folder) = backlogged(DeliveryState::Dead).await;
    let mut watch = Watch::of(&store).await;
    let mut place = Some(Expiry::default());
    while let Some(here) = place {
        place = store.expire(at(1), here).await.unwrap();
        watch.step(&store).await;
    }
    assert!(watch.before.dead <= 1 && watch.steps >= MANY / STEP_MAX, "{} steps", watch.steps);
}
