//! Fills an inbox's store through its own verbs, with times of one's own, faster than a sender could.

use std::path::Path;
use std::sync::Arc;

use hookit_contract::{
    Changes, DeliveryId, OrderId, Record, Timestamp, WebhookSecret, envelope_bytes, header as klikit,
};
use hookit_sim::traffic::{NewOrder, World, generator};
use hookit_store::inbox::{Received, Source, Store as _};
use hookit_store::sqlite::{InboxOptions, InboxStore};
use rand::rngs::Xoshiro256PlusPlus;
use tokio::task::JoinSet;

use super::progress;

/// Orders whose states come in turns.
const AT_A_TIME: u64 = 500;

/// What is filled in.
pub(super) struct Filling {
    pub(super) orders: u64,
    /// How a new order is made up.
    pub(super) order: fn(&mut World, &mut Xoshiro256PlusPlus, Timestamp) -> NewOrder,
    /// The statuses that an order, by its number, goes through.
    pub(super) statuses: fn(u64, u64) -> &'static [i64],
    /// When each of its states came.
    pub(super) came: fn(Timestamp, u64, u64, usize) -> Timestamp,
}

/// What one of them is found by.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) order_id: OrderId,
    pub(super) external_id: String,
}

/// Fills a store; how many deliveries there were, and the order in the middle.
pub(super) async fn fill(dir: &Path, now: Timestamp, filling: &Filling) -> anyhow::Result<(u64, Sample)> {
    let store = Arc::new(InboxStore::open(dir, InboxOptions::default())?);
    let secret = WebhookSecret::new(b"whsec_bench");
    let (mut world, mut dice) = (World::new(1), generator(2));
    let (mut deliveries, mut sample) = (0, None);
    let all = filling.orders;
    let mut next = 0;
    while next < all {
        let numbers = next..(next + AT_A_TIME).min(all);
        next = numbers.end;
        let made: Vec<(u64, NewOrder)> = numbers
            .map(|number| {
                (number, (filling.order)(&mut world, &mut dice, (filling.came)(now, number, all, 0)))
            })
            .collect();
        for at in 0.. {
            let mut taking = JoinSet::new();
            for (number, order) in &made {
                let Some(status) = (filling.statuses)(*number, all).get(at) else { continue };
                let came = (filling.came)(now, *number, all, at);
                let received = received(order, *number, *status, at as i64 + 1, came, &secret)?;
                let store = Arc::clone(&store);
                taking.spawn(async move { store.receive(received).await });
                deliveries += 1;
            }
            if taking.is_empty() {
                break;
            }
            while let Some(taken) = taking.join_next().await {
                taken??;
            }
        }
        if sample.is_none() && next * 2 >= all {
            let (number, order) = made.last().ok_or_else(|| anyhow::anyhow!("there are no orders"))?;
            sample = Some(Sample { order_id: id(*number), external_id: order.external_id.clone() });
        }
        if next.is_multiple_of(100_000) {
            progress(&format!("{next} orders"));
        }
    }
    store.close().await;
    Ok((deliveries, sample.ok_or_else(|| anyhow::anyhow!("there are no orders"))?))
}

fn id(number: u64) -> OrderId {
    OrderId(7_000_000 + number as i64)
}

/// The id of a delivery, by its order's number and version; no sender of a bench has such.
pub(super) fn delivery_id(number: u64, version: i64) -> DeliveryId {
    DeliveryId::from(format!("evt_f{number:023x}{version:08x}"))
}

fn received(
    order: &NewOrder,
    number: u64,
    status: i64,
    version: i64,
    came: Timestamp,
    secret: &WebhookSecret,
) -> anyhow::Result<Received> {
    let mut changes = Changes::new();
    for (name, value) in [("id", id(number).0), ("status", status), ("version", version)] {
        changes.integer(name, value);
    }
    changes.string("updated_at", &came.to_string());
    let record = Record::parse(order.record.clone())?.with(&changes);
    let body = envelope_bytes(order.brands[0], order.branch, &[record.bytes()]);
    let delivery_id = delivery_id(number, version);
    let event_type = "klikit.order.status.updated";
    let headers = vec![
        ("content-type", "application/json".to_owned()),
        ("user-agent", "hookit/0.1.0".to_owned()),
        (klikit::SIGNATURE, secret.sign(&body).as_str().to_owned()),
        (klikit::EVENT_ID, delivery_id.as_str().to_owned()),
        (klikit::EVENT_TYPE, event_type.to_owned()),
    ];
    Ok(Received {
        delivery_id,
        event_type: Some(event_type.to_owned()),
        source: Source::Webhook,
        secret: Some(Arc::from("klikit")),
        headers,
        body,
        received_at: came,
    })
}
