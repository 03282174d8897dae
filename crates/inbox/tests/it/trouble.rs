//! A store in trouble: the sender is never told that something was taken in which was not.

use std::sync::Arc;

use async_trait::async_trait;
use hookit_contract::{DeliveryId, OrderId, Timestamp};
use hookit_inbox::RefusalReason;
use hookit_store::inbox::{
    Applied, Change, Changes, Counts, Expiry, FoundOrders, GivenUp, Heal, HealOutcome, HealedOrder, Held,
    HistoryEntry, HistoryQuery, KeptDelivery, MoveAsked, MoveEnd, NewMove, OrderFilter, OrderMove, Page,
    Quarantined, Receipt, Received, ReconcileMark, ReconcileRun, ReconcileStep, RunCause, SinkAdvanced,
    SinkEnd, SinkPosition, SinkWanted, Store, ViewedOrder,
};
use hookit_store::{Condition, Error};
use tokio::sync::watch;

use crate::harness::{Running, config, envelope};

/// A store in which every verb fails in the same way.
struct Broken(fn() -> Error);

#[async_trait]
impl Store for Broken {
    async fn receive(&self, _: Received) -> Result<Receipt, Error> {
        Err(self.0())
    }

    async fn order(&self, _: OrderId) -> Result<Option<ViewedOrder>, Error> {
        Err(self.0())
    }

    async fn orders(&self, _: &OrderFilter, _: Option<OrderId>, _: usize) -> Result<FoundOrders, Error> {
        Err(self.0())
    }

    async fn history(&self, _: HistoryQuery) -> Result<Option<Page<HistoryEntry>>, Error> {
        Err(self.0())
    }

    async fn quarantine(&self, _: Option<i64>, _: usize) -> Result<Page<Quarantined>, Error> {
        Err(self.0())
    }

    async fn delivery(&self, _: &DeliveryId) -> Result<Option<KeptDelivery>, Error> {
        Err(self.0())
    }

    async fn changes(&self, _: i64, _: usize) -> Result<Changes, Error> {
        Err(self.0())
    }

    fn changed(&self) -> watch::Receiver<i64> {
        watch::channel(0).1
    }

    async fn put_sinks(&self, _: Vec<SinkWanted>, _: Timestamp) -> Result<Vec<SinkPosition>, Error> {
        Err(self.0())
    }

    async fn sinks(&self) -> Result<Vec<SinkPosition>, Error> {
        Err(self.0())
    }

    async fn sink_ended(&self, _: &str, _: Vec<(i64, SinkEnd)>, _: Timestamp) -> Result<SinkAdvanced, Error> {
        Err(self.0())
    }

    async fn given_up(&self, _: &str, _: i64, _: usize) -> Result<Vec<GivenUp>, Error> {
        Err(self.0())
    }

    async fn hand_on_again(&self, _: &str, _: Vec<i64>) -> Result<usize, Error> {
        Err(self.0())
    }

    async fn asked_again(&self, _: &str, _: usize) -> Result<Vec<Change>, Error> {
        Err(self.0())
    }

    async fn held(&self, _: Vec<OrderId>) -> Result<Vec<Held>, Error> {
        Err(self.0())
    }

    async fn reconcile_mark(&self) -> Result<ReconcileMark, Error> {
        Err(self.0())
    }

    async fn reconcile_begin(&self, _: RunCause, _: Timestamp) -> Result<i64, Error> {
        Err(self.0())
    }

    async fn heal(&self, _: i64, _: Vec<Heal>) -> Result<Vec<HealOutcome>, Error> {
        Err(self.0())
    }

    async fn reconcile_step(&self, _: ReconcileStep) -> Result<(), Error> {
        Err(self.0())
    }

    async fn reconcile_runs(&self, _: usize) -> Result<Vec<ReconcileRun>, Error> {
        Err(self.0())
    }

    async fn healed(&self, _: usize) -> Result<Vec<HealedOrder>, Error> {
        Err(self.0())
    }

    async fn ask_move(&self, _: NewMove) -> Result<MoveAsked, Error> {
        Err(self.0())
    }

    async fn pending_moves(&self, _: usize) -> Result<Vec<OrderMove>, Error> {
        Err(self.0())
    }

    async fn end_move(&self, _: String, _: MoveEnd) -> Result<bool, Error> {
        Err(self.0())
    }

    async fn order_move(&self, _: String) -> Result<Option<OrderMove>, Error> {
        Err(self.0())
    }

    async fn moves_of(&self, _: OrderId, _: usize) -> Result<Vec<OrderMove>, Error> {
        Err(self.0())
    }

    async fn apply_quarantined(&self, _: i64, _: Timestamp) -> Result<Applied, Error> {
        Err(self.0())
    }

    async fn discard_quarantined(&self, _: i64) -> Result<Option<DeliveryId>, Error> {
        Err(self.0())
    }

    async fn pack(&self, _: Timestamp) -> Result<bool, Error> {
        Err(self.0())
    }

    async fn expire(&self, _: Timestamp, _: Expiry) -> Result<Option<Expiry>, Error> {
        Err(self.0())
    }

    async fn counts(&self) -> Result<Counts, Error> {
        Err(self.0())
    }

    fn condition(&self) -> Condition {
        Condition::Writable
    }

    async fn close(&self) {}
}

fn disk_full() -> Error {
    Error::Database { doing: "committing", source: "disk I/O error at /srv/private".into() }
}

const PATHS: [&str; 6] =
    ["/orders", "/orders/1", "/orders/1/history", "/orders/1/moves", "/quarantine", "/reconcile"];

#[tokio::test]
async fn a_busy_store_is_503_with_retry_after() {
    let inbox = Running::on(Arc::new(Broken(|| Error::Busy)), config()).await;
    let answer = inbox.deliver("evt_1", &envelope(&[r#"{"id":1,"status":1}"#])).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (503, Some("unavailable")));
    assert!(answer.json()["message"].is_string());
    assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
    assert_eq!(inbox.inbox.counters().refused(RefusalReason::Busy), 1);
    for path in PATHS {
        let answer = inbox.get(path).await;
        assert_eq!((answer.status, answer.error().0.as_str()), (503, "unavailable"), "{path}");
        assert!(answer.head.contains("retry-after: 1"), "{path}: {}", answer.head);
    }
}

#[tokio::test]
async fn a_store_that_fails_is_500_without_its_inner_words() {
    let inbox = Running::on(Arc::new(Broken(disk_full)), config()).await;
    let answer = inbox.deliver("evt_1", &envelope(&[r#"{"id":1,"status":1}"#])).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (500, Some("internal")));
    assert!(!answer.text().contains("private"), "{}", answer.text());
    let counters = inbox.inbox.counters();
    assert_eq!((counters.refused(RefusalReason::Failed), counters.received), (1, 0));
    for path in PATHS {
        let answer = inbox.get(path).await;
        assert_eq!((answer.status, answer.error().0.as_str()), (500, "internal"), "{path}");
        assert!(!answer.text().contains("private"), "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn the_process_is_up_and_not_ready_while_the_store_does_not_answer() {
    let inbox = Running::on(Arc::new(Broken(disk_full)), config()).await;
    assert_eq!(inbox.get("/healthz").await.status, 200);
    assert_eq!(inbox.get("/readyz").await.status, 503);
    let inbox = Running::start().await;
    assert_eq!(inbox.get("/healthz").await.data(), r#"{"status":"ok"}"#);
    assert_eq!(inbox.get("/readyz").await.data(), r#"{"status":"ready"}"#);
}

#[tokio::test]
async fn a_store_that_is_closing_takes_nothing_more_in() {
    let inbox = Running::start().await;
    inbox.store.close().await;
    let answer = inbox.deliver("evt_1", &envelope(&[r#"{"id":1,"status":1}"#])).await;
    assert_eq!(answer.status, 503);
    let not_ready = inbox.get("/readyz").await;
    assert_eq!((not_ready.status, not_ready.error().1.as_str()), (503, "the store is closed"));
    assert_eq!(inbox.get("/healthz").await.status, 200);
}
