//! A delivery's payload is the same whenever it is asked for: at once, when the store may still have it in memory, and
//! later. What was changed before it is asked for shows at once.

use bytes::Bytes;
use hookit_contract::{DeliverySeq, EventType, KnownStatus};
use hookit_store::platform::{
    DeliveryQuery, HoldReason, NewWebhook, NothingToSend, PartnerChange, PartnerChanged, Payload, Store,
    Verdict, Webhook, WebhookSettings,
};

use crate::fixture::*;

const CREATED: EventType = EventType::OrderCreated;

/// What of a payload there is to compare.
fn told(payload: &Result<Payload, NothingToSend>) -> String {
    match payload {
        Ok(p) => format!(
            "{} {} {} {} {} {} {:?} {:?} {:?} {:?} {:?} {}",
            p.delivery_id,
            p.event_type,
            p.webhook_id,
            p.partner_id,
            p.endpoint_id,
            p.url,
            p.webhook_secret,
            p.webhook_secret_next,
            p.basic_auth,
            p.body,
            p.created_at,
            p.is_superseded
        ),
        Err(why) => format!("{why:?}"),
    }
}

/// Asks three times for the payload of the first delivery of a new order, which was never asked for before.
async fn payload(store: &impl Store, seq: DeliverySeq) -> Result<Payload, NothingToSend> {
    let first = store.payload(seq).await.unwrap();
    for _ in 0..2 {
        let again = store.payload(seq).await.unwrap();
        assert_eq!(told(&again), told(&first));
    }
    first
}

async fn registered(store: &impl Store) -> Webhook {
    store.add_partner(partner("pos", BUSINESS)).await.unwrap();
    register(store, registration("pos", None, None, CREATED, "https://old.example/hook")).await
}

async fn committed(store: &impl Store) -> DeliverySeq {
    plain(store, at(1)).await;
    backlog(store).await.last().unwrap().seq
}

pub(crate) async fn a_payload_carries_the_registration_as_it_is_when_it_is_asked_for(store: &impl Store) {
    let webhook = registered(store).await;
    let sent = |store| async move { payload(store, committed(store).await).await.unwrap() };
    let plain = sent(store).await;
    assert_eq!((&*plain.url, plain.basic_auth), ("https://old.example/hook", None));
    assert_eq!(&plain.webhook_secret[..], b"sealed pos");
    let text = String::from_utf8(plain.body.to_vec()).unwrap();
    assert!(text.contains("\"brand_id\":663") && text.contains("\"vat\":0.1000") && text.contains("Gửi 🍜"));

    let (moved, rotated, staged, held) =
        (committed(store).await, committed(store).await, committed(store).await, committed(store).await);
    let put = NewWebhook {
        basic_auth: Some(Bytes::from_static(b"sealed pair")),
        ..registration("pos", None, None, CREATED, "https://new.example/hook")
    };
    register(store, put).await;
    let payload_of = async |seq| payload(store, seq).await.unwrap();
    let now = payload_of(moved).await;
    assert_eq!(now.url, "https://new.example/hook");
    assert_ne!(now.endpoint_id, webhook.endpoint_id);
    assert_eq!(now.basic_auth.as_deref(), Some(&b"sealed pair"[..]));

    let partner_id = now.partner_id;
    let change = PartnerChange::RotateWebhookSecret { webhook_secret: Bytes::from_static(b"second") };
    assert_eq!(store.change_partner(&partner_id, change, at(2)).await.unwrap(), PartnerChanged::Done);
    assert_eq!(&payload_of(rotated).await.webhook_secret[..], b"second");
    let change =
        PartnerChange::StageWebhookSecret { webhook_secret: Bytes::from_static(b"third"), current_at: at(9) };
    assert_eq!(store.change_partner(&partner_id, change, at(3)).await.unwrap(), PartnerChanged::Done);
    let now = payload_of(staged).await;
    assert_eq!(&now.webhook_secret[..], b"second");
    assert_eq!(now.webhook_secret_next, Some((Bytes::from_static(b"third"), at(9))));
    // Whether an endpoint is held is the engine's affair.
    store.hold_endpoint(now.endpoint_id, Some(HoldReason::Operator), at(4)).await.unwrap();
    payload_of(held).await;
}

pub(crate) async fn what_ended_before_it_was_asked_for_is_not_sent(store: &impl Store) {
    let webhook = registered(store).await;
    let (cancelled, delivered, dead, later, removed) = (
        committed(store).await,
        committed(store).await,
        committed(store).await,
        committed(store).await,
        committed(store).await,
    );
    let ids: Vec<_> = {
        let all = store.deliveries(DeliveryQuery { limit: 10, ..Default::default() });
        all.await.unwrap().deliveries.into_iter().rev().map(|delivery| delivery.delivery_id).collect()
    };
    store.cancel_delivery(&ids[0], "someone", at(2)).await.unwrap();
    store.record_attempts(vec![attempt(delivered, 1, Verdict::Delivered)], at(2)).await.unwrap();
    store.give_up(vec![dead], at(2)).await.unwrap();
    let again = Verdict::RetryAt { at: at(3), counted: true };
    store.record_attempts(vec![attempt(later, 1, again)], at(2)).await.unwrap();
    for seq in [cancelled, delivered, dead] {
        assert_eq!(told(&payload(store, seq).await), told(&Err(NothingToSend::Ended)), "{seq:?}");
    }
    assert!(payload(store, later).await.is_ok());
    store.replay_delivery(&ids[2], at(3)).await.unwrap();
    assert_eq!(told(&payload(store, dead).await), told(&Err(NothingToSend::Ended)), "its place is another");

    assert!(store.remove_webhook(webhook.webhook_id, "someone", at(4)).await.unwrap());
    assert_eq!(told(&payload(store, removed).await), told(&Err(NothingToSend::Ended)));
    while store.step_removals(at(5)).await.unwrap() {}
    assert_eq!(told(&payload(store, removed).await), told(&Err(NothingToSend::Ended)));
}

pub(crate) async fn a_registration_that_coalesces_from_now_on_passes_over_what_was_committed_before(
    store: &impl Store,
) {
    let webhook = registered(store).await;
    let url = webhook.url.clone();
    let event_type = EventType::OrderStatusUpdated;
    register(store, registration("pos", None, None, event_type, &url)).await;
    let order = plain(store, at(1)).await.order_id;
    let mut seqs = Vec::new();
    for status in [KnownStatus::Accepted, KnownStatus::Preparing] {
        done(store, moved(order, status), at(2)).await;
        seqs.push(backlog(store).await.last().unwrap().seq);
    }
    let settings = WebhookSettings { coalesce: true, ..WebhookSettings::default() };
    register(store, NewWebhook { settings, ..registration("pos", None, None, event_type, &url) }).await;
    assert!(payload(store, seqs[0]).await.unwrap().is_superseded);
    assert!(!payload(store, seqs[1]).await.unwrap().is_superseded);
}
