//! How many changes a second the platform's store takes: `cargo run --release -p hookit-store --example pace`.
//!
//! Each change of an order with a record of about 2 KB has its delivery recorded as acknowledged, as in real life:
//! half of the changes by one caller that waits for each, half by 64 callers at once.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a tool that measures"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookit_contract::{
    Actor, AttemptOutcome, BusinessId, DeliverySeq, EventType, KnownStatus, OrderId, PartnerId, Record,
    Timestamp,
};
use hookit_store::hints::Hint;
use hookit_store::inbox::{Received, Source, Store as _};
use hookit_store::platform::{
    Attempt, Change, Changed, NewWebhook, Partner, Phases, Store, Verdict, WebhookSettings,
};
use hookit_store::sqlite::{InboxOptions, InboxStore, PlatformOptions, PlatformStore};

const PATH: [KnownStatus; 4] =
    [KnownStatus::Accepted, KnownStatus::Preparing, KnownStatus::Ready, KnownStatus::Delivered];

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + millis)
}

fn record() -> Record {
    let mut text =
        String::from(r#"{"business_id":9,"branch_id":1062,"brands":[{"id":663,"title":"Bún"}],"type":2"#);
    for i in 0..90 {
        text.push_str(&format!(r#","field_number_{i}":"value {i}""#));
    }
    text.push('}');
    Record::parse(text).unwrap()
}

async fn listener(store: &impl Store) {
    let partner_id = PartnerId::from("ptn_pos");
    let partner = Partner {
        partner_id: partner_id.clone(),
        name: "pos".to_owned(),
        business_id: BusinessId(9),
        scopes: Vec::new(),
        partner_key: "key".to_owned(),
        secret_hash: Bytes::from_static(b"hash"),
        webhook_secret: Bytes::from_static(b"sealed"),
        webhook_secret_next: None,
        created_at: at(0),
        revoked_at: None,
    };
    store.add_partner(partner).await.unwrap();
    for event_type in EventType::ALL {
        let webhook = NewWebhook {
            partner_id: partner_id.clone(),
            brand_id: None,
            branch_id: None,
            event_type,
            url: "https://pos.example/hook".to_owned(),
            basic_auth: None,
            settings: WebhookSettings::default(),
        };
        store.put_webhook(webhook, at(0)).await.unwrap();
    }
}

async fn change(store: &impl Store, change: Change) -> OrderId {
    match store.change(change, at(1)).await.unwrap() {
        Changed::Done(order) => order.order_id,
        other => panic!("{other:?}"),
    }
}

/// One order's life: five changes.
async fn live(store: &impl Store, record: &Record) {
    let order_id = change(store, Change::Create { record: record.clone() }).await;
    for to in PATH {
        let moved = Change::Move { order_id, to, actor: Actor::Operator, reason: None, occurred_at: None };
        change(store, moved).await;
    }
}

fn acknowledged(seq: DeliverySeq) -> Attempt {
    Attempt {
        seq,
        delivery_id: None,
        number: 1,
        started_at: at(2),
        duration: Duration::from_millis(3),
        phases: Phases { first_byte: Some(Duration::from_millis(2)), ..Phases::default() },
        outcome: AttemptOutcome::Acknowledged,
        status: Some(200),
        address: Some("192.0.2.1:443".to_owned()),
        answer: Bytes::from_static(br#"{"status":"received"}"#),
        error: None,
        verdict: Verdict::Delivered,
    }
}

/// Plays the dispatcher: reads each new delivery's payload and records it as acknowledged, as many at a time as came.
async fn acknowledge(store: Arc<PlatformStore>, payloads: bool, changes: usize) -> Vec<Bytes> {
    let mut bodies = Vec::new();
    let mut orders = 0;
    while orders < changes {
        for hint in store.hints().take().await.hints {
            let Hint::Committed(deliveries) = hint else { continue };
            for delivery in deliveries.iter().filter(|_| payloads) {
                bodies.push(store.payload(delivery.seq).await.unwrap().unwrap().body);
            }
            orders += deliveries.iter().map(|d| d.orders.len()).sum::<usize>();
            let attempts = deliveries.iter().map(|d| acknowledged(d.seq)).collect();
            store.record_attempts(attempts, at(3)).await.unwrap();
        }
    }
    bodies
}

async fn measure(callers: usize, orders: usize, per_delivery: usize, payloads: bool) -> Vec<Bytes> {
    let folder = tempfile::tempdir_in(std::env::var_os("PACE_DIR").unwrap_or_else(|| ".".into())).unwrap();
    let options = PlatformOptions { orders_per_delivery_max: per_delivery, ..PlatformOptions::default() };
    let store = Arc::new(PlatformStore::open(folder.path(), options).unwrap());
    listener(&*store).await;
    let record = record();
    let changes = orders * (1 + PATH.len());
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (store, record) = (Arc::clone(&store), record.clone());
        tasks.spawn(async move {
            for _ in 0..orders / callers {
                live(&*store, &record).await;
            }
        });
    }
    let bodies = acknowledge(Arc::clone(&store), payloads, changes).await;
    tasks.join_all().await;
    let took = begun.elapsed();
    let counts = store.counts().await.unwrap();
    println!(
        "{callers:>4} callers, at most {per_delivery:>2} orders a delivery{}: {:>6.0} changes/s, {} deliveries",
        if payloads { ", payloads read" } else { "" },
        changes as f64 / took.as_secs_f64(),
        counts.delivered
    );
    assert_eq!((counts.events as usize, counts.pending), (changes, 0));
    store.close().await;
    bodies
}

async fn receive(callers: usize, bodies: Vec<Bytes>) {
    let folder = tempfile::tempdir_in(std::env::var_os("PACE_DIR").unwrap_or_else(|| ".".into())).unwrap();
    let store = Arc::new(InboxStore::open(folder.path(), InboxOptions::default()).unwrap());
    let count = bodies.len();
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..callers {
        let store = Arc::clone(&store);
        let share: Vec<Bytes> = bodies.iter().skip(caller).step_by(callers).cloned().collect();
        tasks.spawn(async move {
            for (i, body) in share.into_iter().enumerate() {
                let delivery_id = format!("evt_{i:026}{caller:06}").into();
                let received = Received {
                    delivery_id,
                    event_type: None,
                    source: Source::Webhook,
                    secret: None,
                    headers: Vec::new(),
                    body,
                    received_at: at(4),
                };
                store.receive(received).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    println!(
        "{callers:>4} callers: {:>6.0} deliveries received/s",
        count as f64 / begun.elapsed().as_secs_f64()
    );
    store.close().await;
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    println!("records of {} bytes", record().bytes().len());
    measure(1, 400, 1, false).await;
    measure(64, 12_800, 1, false).await;
    measure(64, 12_800, 50, false).await;
    measure(512, 25_600, 1, false).await;
    let bodies = measure(64, 6_400, 1, true).await;
    receive(64, bodies).await;
}
