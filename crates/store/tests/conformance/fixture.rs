//! Stores to check, and short ways to say what a check needs.

use bytes::Bytes;
use hookit_contract::{
    Actor, AttemptOutcome, BranchId, BrandId, BusinessId, DeliverySeq, EventType, KnownStatus, OrderId,
    PartnerId, Record, Timestamp,
};
use hookit_store::platform::{
    Attempt, Change, Changed, NewWebhook, Partner, PendingDelivery, Phases, PutWebhook, Reason, Store,
    StoredOrder, Verdict, Webhook, WebhookSettings,
};
use hookit_store::sqlite::{InboxOptions, InboxStore, PlatformOptions, PlatformStore};

pub(crate) fn sqlite_platform() -> (PlatformStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let options = PlatformOptions { id_seed: Some(1), ..PlatformOptions::default() };
    (PlatformStore::open(folder.path(), options).unwrap(), folder)
}

pub(crate) fn sqlite_inbox() -> (InboxStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (InboxStore::open(folder.path(), InboxOptions::default()).unwrap(), folder)
}

pub(crate) const BUSINESS: BusinessId = BusinessId(9);
pub(crate) const BRANCH: BranchId = BranchId(1062);
pub(crate) const BRAND: BrandId = BrandId(663);

/// A moment, some milliseconds after an arbitrary one.
pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + millis)
}

pub(crate) fn record(text: &str) -> Record {
    Record::parse(text.to_owned()).unwrap()
}

/// A plain new order's record, with more fields.
pub(crate) fn order_of(brands: &str, more: &str) -> Record {
    record(&format!(
        r#"{{"business_id":9,"branch_id":1062,"brands":{brands},"type":2,"vat":0.1000,"note":"Gửi 🍜"{more}}}"#
    ))
}

pub(crate) async fn create(store: &impl Store, record: Record, now: Timestamp) -> StoredOrder {
    match store.change(Change::Create { record }, now).await.unwrap() {
        Changed::Done(order) => order,
        other => panic!("{other:?}"),
    }
}

/// A new order of the one brand.
pub(crate) async fn plain(store: &impl Store, now: Timestamp) -> StoredOrder {
    create(store, order_of(r#"[{"id":663}]"#, ""), now).await
}

pub(crate) fn moved(order_id: OrderId, to: KnownStatus) -> Change {
    Change::Move { order_id, to, actor: Actor::Operator, reason: None, occurred_at: None }
}

pub(crate) fn cancelled(order_id: OrderId, reason: Reason) -> Change {
    Change::Move {
        order_id,
        to: KnownStatus::Cancelled,
        actor: Actor::Partner,
        reason: Some(reason),
        occurred_at: Some(at(-5)),
    }
}

pub(crate) fn edit(order_id: OrderId, fields: &str) -> Change {
    Change::EditCart { order_id, fields: record(fields) }
}

pub(crate) async fn done(store: &impl Store, change: Change, now: Timestamp) -> StoredOrder {
    match store.change(change, now).await.unwrap() {
        Changed::Done(order) => order,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn partner(name: &str, business_id: BusinessId) -> Partner {
    Partner {
        partner_id: PartnerId::from(format!("ptn_{name}")),
        name: name.to_owned(),
        business_id,
        scopes: vec!["orders:read".to_owned(), "webhooks:read".to_owned()],
        partner_key: format!("key_{name}"),
        secret_hash: Bytes::from_static(b"hash"),
        webhook_secret: Bytes::from(format!("sealed {name}")),
        webhook_secret_next: None,
        created_at: at(0),
        revoked_at: None,
    }
}

pub(crate) fn registration(
    partner: &str,
    brand_id: Option<BrandId>,
    branch_id: Option<BranchId>,
    event_type: EventType,
    url: &str,
) -> NewWebhook {
    NewWebhook {
        partner_id: PartnerId::from(format!("ptn_{partner}")),
        brand_id,
        branch_id,
        event_type,
        url: url.to_owned(),
        basic_auth: None,
        settings: WebhookSettings::default(),
    }
}

pub(crate) async fn register(store: &impl Store, webhook: NewWebhook) -> Webhook {
    match store.put_webhook(webhook, at(0)).await.unwrap() {
        PutWebhook::Created(webhook)
        | PutWebhook::Updated { webhook, .. }
        | PutWebhook::Unchanged(webhook) => webhook,
        PutWebhook::NoSuchPartner => panic!("no such partner"),
        PutWebhook::Invalid(invalid) => panic!("{invalid}"),
        PutWebhook::TooMany => panic!("too many"),
    }
}

/// A partner that hears of everything at one URL; one registration for each event type.
pub(crate) async fn listener(store: &impl Store, name: &str) -> Vec<Webhook> {
    store.add_partner(partner(name, BUSINESS)).await.unwrap();
    let mut webhooks = Vec::new();
    for event_type in EventType::ALL {
        let url = format!("https://{name}.example/hook");
        webhooks.push(register(store, registration(name, None, None, event_type, &url)).await);
    }
    webhooks
}

/// Everything that is pending, endpoint by endpoint.
pub(crate) async fn backlog(store: &impl Store) -> Vec<PendingDelivery> {
    let mut all = Vec::new();
    for endpoint in store.endpoints().await.unwrap() {
        let page = store.pending(endpoint.endpoint_id, DeliverySeq(0), 10_000).await.unwrap();
        assert!(page.end);
        all.extend(page.deliveries);
    }
    all
}

pub(crate) fn attempt(seq: DeliverySeq, number: u32, verdict: Verdict) -> Attempt {
    let delivered = verdict == Verdict::Delivered;
    Attempt {
        seq,
        delivery_id: None,
        number,
        started_at: at(10),
        duration: std::time::Duration::from_micros(1234),
        phases: Phases {
            resolve: None,
            connect: Some(std::time::Duration::ZERO),
            tls: Some(std::time::Duration::from_micros(200)),
            first_byte: delivered.then_some(std::time::Duration::from_micros(1_000)),
        },
        outcome: if delivered { AttemptOutcome::Acknowledged } else { AttemptOutcome::TimedOut },
        status: delivered.then_some(200),
        address: Some("192.0.2.1:443".to_owned()),
        answer: Bytes::from_static(b"{}"),
        error: (!delivered).then(|| "too slow".to_owned()),
        verdict,
    }
}

/// Polls all of them together.
pub(crate) async fn join_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_ready = true;
        for (future, result) in &mut futures {
            if result.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *result = Some(value),
                    std::task::Poll::Pending => is_ready = false,
                }
            }
        }
        if is_ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    futures.into_iter().map(|(_, result)| result.unwrap()).collect()
}
