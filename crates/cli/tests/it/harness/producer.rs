//! Ordering surfaces: they post orders with ids of their own and let them live, and whatever was not answered they
//! post again, until it is.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookit_contract::Timestamp;
use hookit_sim::traffic::{NewOrder, Step, StepChange, World, generator};
use http::Method;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::PATIENCE;
use super::http::Client;
use super::ledger::Ledger;

/// Pause before what was not answered is posted again: the server is being started at that moment.
const PAUSE: Duration = Duration::from_millis(20);

/// Orders that a producer makes at most; its ids begin that far from the next one's.
const ORDERS_MAX: i64 = 100_000;

/// Producers at work.
pub(crate) struct Producers {
    pub(crate) ledger: Arc<Ledger>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Producers {
    /// So many producers, each with so many orders one after the other, or with as many as there is time for.
    pub(crate) fn start(surface: &Client, seed: u64, producers: u32, orders: Option<u32>) -> Self {
        Producers::start_paced(surface, seed, producers, orders, Duration::ZERO)
    }

    /// The same, each with a pause between two changes.
    pub(crate) fn start_paced(
        surface: &Client,
        seed: u64,
        producers: u32,
        orders: Option<u32>,
        pause: Duration,
    ) -> Self {
        let ledger = Arc::new(Ledger::default());
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for number in 0..producers {
            let (ledger, surface, stop) = (ledger.clone(), surface.clone(), stop.clone());
            tasks.spawn(async move {
                let mut world = World::new(seed + u64::from(number));
                let mut dice = generator(seed + 1_000 + u64::from(number));
                let first = i64::from(number) * ORDERS_MAX + 1;
                let end = first + orders.map_or(ORDERS_MAX, i64::from);
                for order_id in first..end {
                    if stop.is_cancelled() {
                        break;
                    }
                    let order = world.order(&mut dice, Timestamp::from_millis(1_772_361_000_000));
                    let life = world.life(&order, &mut dice);
                    live(&surface, &ledger, order_id, &order, life, pause).await;
                }
            });
        }
        Producers { ledger, tasks, stop }
    }

    /// Lets the orders that are under way live to their end, and gives out what was acknowledged.
    pub(crate) async fn finish(self) -> Arc<Ledger> {
        self.stop.cancel();
        self.done().await
    }

    /// Waits until all orders have lived to their end.
    pub(crate) async fn done(mut self) -> Arc<Ledger> {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        self.ledger
    }
}

/// The record as it is posted, with an id of the producer's choice.
pub(crate) fn with_id(order: &NewOrder, order_id: i64) -> Bytes {
    let record = std::str::from_utf8(&order.record).expect("JSON is text");
    let fields = record.strip_prefix('{').expect("a record is an object");
    format!("{{\"id\":{order_id},{fields}").into()
}

async fn live(
    surface: &Client,
    ledger: &Ledger,
    order_id: i64,
    order: &NewOrder,
    life: Vec<Step>,
    pause: Duration,
) {
    let record = with_id(order, order_id);
    ledger
        .acknowledged(change(surface, ledger, Method::POST, "/v1/operator/orders", &record, order_id).await);
    for step in life {
        tokio::time::sleep(pause).await;
        let move_to = |status: &str| json!({"status": status}).to_string();
        let (method, path, body) = match &step.change {
            StepChange::EditCart(cart) => (Method::PUT, "cart", cart.clone()),
            StepChange::Move(to) => (Method::PATCH, "status", move_to(to.name()).into_bytes()),
            StepChange::Cancel { reason_code } | StepChange::Void { reason_code } => {
                let body = json!({"status": "cancelled", "reason_code": reason_code});
                (Method::PATCH, "status", body.to_string().into_bytes())
            }
        };
        let path = format!("/v1/operator/orders/{order_id}/{path}");
        ledger.acknowledged(change(surface, ledger, method, &path, &body.into(), order_id).await);
    }
}

/// Makes one change, whatever happens to the server meanwhile; the record as it stands then.
async fn change(
    surface: &Client,
    ledger: &Ledger,
    method: Method,
    path: &str,
    body: &Bytes,
    order_id: i64,
) -> Bytes {
    let attempts = async {
        let mut unanswered = false;
        loop {
            match surface.send(method.clone(), path, &[], body.clone()).await {
                Ok(answer) if (200..300).contains(&answer.status) => return answer.data(),
                // The change was made and its answer was lost.
                Ok(answer) if answer.status == 409 && unanswered && method == Method::POST => {
                    assert_eq!(answer.error_code(), "state_idempotency_conflict");
                    let path = format!("/v1/operator/orders/{order_id}");
                    if let Ok(answer) = surface.send(Method::GET, &path, &[], Bytes::new()).await {
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        return answer.data();
                    }
                }
                Ok(answer) if answer.status == 503 => {}
                Ok(answer) => panic!("{method} {path}: {} {}", answer.status, answer.text()),
                Err(_) => {
                    if !std::mem::replace(&mut unanswered, true) {
                        ledger.unanswered();
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let what = format!("{method} {path}: no answer within {} s", PATIENCE.as_secs());
    tokio::time::timeout(PATIENCE, attempts).await.expect(&what)
}
