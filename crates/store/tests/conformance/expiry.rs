//! What is older than it is to be kept is removed, and nothing else.

use hookit_contract::{DeliverySeq, KnownStatus, OrderId, PartnerId, PartnerMove, Timestamp};
use hookit_store::platform::{
    Change, Changed, CountReplay, Delivery, DeliveryQuery, Expiry, KEYS_KEPT, Once, OnceKey,
    PartnerMoveRequest, PartnerMoved, ReplayCount, ReplayFilter, ReplayKind, ReplayRequest, Replayed, Store,
    Verdict,
};

use crate::fixture::*;

/// Whole passes, until one finds nothing to do; the number of their steps.
pub(crate) async fn expire(store: &impl Store, before: Timestamp) -> usize {
    let (mut steps, mut place) = (1, Expiry::default());
    while let Some(next) = store.expire(before, place).await.unwrap() {
        place = next;
        steps += 1;
    }
    steps
}

async fn end_all(store: &impl Store, now: Timestamp) {
    for delivery in backlog(store).await {
        let attempt = attempt(delivery.seq, delivery.attempts + 1, Verdict::Delivered);
        store.record_attempts(vec![attempt], now).await.unwrap();
    }
}

async fn listed(store: &impl Store) -> Vec<Delivery> {
    store.deliveries(DeliveryQuery { limit: 10_000, ..DeliveryQuery::default() }).await.unwrap().deliveries
}

pub(crate) async fn what_ended_long_ago_goes_and_everything_else_stays(store: &impl Store) {
    listener(store, "pos").await;
    let old = plain(store, at(0)).await;
    end_all(store, at(10)).await;
    let waiting = plain(store, at(1)).await;
    let recent = plain(store, at(2)).await;
    let seqs: Vec<_> = backlog(store).await.iter().map(|delivery| delivery.seq).collect();
    store.record_attempts(vec![attempt(seqs[1], 1, Verdict::Delivered)], at(100)).await.unwrap();
    let all = listed(store).await;
    expire(store, at(10)).await;
    assert_eq!(listed(store).await.len(), 3, "what ended at that moment is not older");
    plain(store, at(100)).await;
    let young = backlog(store).await[1].seq;
    store.give_up(vec![young], at(101)).await.unwrap();

    expire(store, at(100)).await;
    let left: Vec<_> = listed(store).await.iter().map(|delivery| delivery.seq).collect();
    assert_eq!(left, [young, seqs[1], seqs[0]]);
    assert_eq!(backlog(store).await[0].seq, seqs[0], "what is pending stays, however old");
    assert!(store.payload(seqs[0]).await.unwrap().is_ok());
    let gone = &all[2].delivery_id;
    assert!(store.delivery(gone).await.unwrap().is_none());
    assert_eq!(store.replay_delivery(gone, at(200)).await.unwrap(), Replayed::NoSuchDelivery);
    for order in [&old, &waiting, &recent] {
        assert_eq!(store.order(order.order_id).await.unwrap().unwrap().record, order.record);
    }
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.orders, counts.events), (4, 1), "an event of that moment is not older");
    assert_eq!((counts.pending, counts.delivered, counts.dead, counts.attempts), (1, 1, 1, 1));
}

pub(crate) async fn a_record_goes_with_the_last_that_refers_to_it(store: &impl Store) {
    listener(store, "pos").await;
    let order = plain(store, at(0)).await;
    let created = backlog(store).await[0].seq;
    end_all(store, at(10)).await;
    done(store, moved(order.order_id, KnownStatus::Accepted), at(20)).await;
    let accepted = backlog(store).await[0].seq;
    // The second delivery is pending: its record stays with it, though the event is old.
    expire(store, at(100)).await;
    assert_eq!(listed(store).await.iter().map(|d| d.seq).collect::<Vec<_>>(), [accepted]);
    let version_2 = store.payload(accepted).await.unwrap().unwrap().body;
    done(store, moved(order.order_id, KnownStatus::Ready), at(110)).await;
    expire(store, at(100)).await;
    assert_eq!(store.payload(accepted).await.unwrap().unwrap().body, version_2);
    end_all(store, at(120)).await;
    plain(store, at(130)).await;
    expire(store, at(125)).await;
    assert_eq!(listed(store).await.len(), 1, "only the last order's");
    let stands = store.order(order.order_id).await.unwrap().unwrap();
    assert_eq!(stands.version, 3, "the newest record stays");
    assert!(created < accepted);
}

pub(crate) async fn a_large_expiry_goes_in_small_steps_between_which_changes_are_made(store: &impl Store) {
    listener(store, "pos").await;
    const ORDERS: usize = 700;
    join_all((0..ORDERS).map(|_| plain(store, at(0)))).await;
    end_all(store, at(10)).await;
    let (mut place, mut before) = (Some(Expiry::default()), store.counts().await.unwrap());
    let deliveries = before.delivered;
    while let Some(here) = place {
        place = store.expire(at(100), here).await.unwrap();
        let now = store.counts().await.unwrap();
        assert!(before.events - now.events <= 500 && before.delivered - now.delivered <= 500, "{now:?}");
        before = now;
        // Nothing is held between two steps.
        if let Some(Expiry::Deliveries { after: 0 }) = place {
            let change = Change::Create { record: order_of(r#"[{"id":663}]"#, "") };
            assert!(matches!(store.change(change, at(200)).await.unwrap(), Changed::Done(_)));
            before = store.counts().await.unwrap();
        }
    }
    assert!(deliveries > 1 && before.delivered == 0 && before.attempts == 0, "{before:?}");
    assert_eq!(before.pending, 1, "what came in between is there");
    assert!(backlog(store).await[0].seq > DeliverySeq(deliveries as i64), "no number is given twice");
}

pub(crate) async fn what_was_tried_often_goes_in_steps_that_are_no_longer_for_it(store: &impl Store) {
    listener(store, "pos").await;
    const ORDERS: usize = 120;
    const ATTEMPTS: u32 = 20;
    for _ in 0..ORDERS {
        plain(store, at(0)).await;
    }
    let pending = backlog(store).await;
    for number in 1..=ATTEMPTS {
        let again = Verdict::RetryAt { at: at(9), counted: true };
        let verdict = if number == ATTEMPTS { Verdict::Dead } else { again };
        let attempts = pending.iter().map(|delivery| attempt(delivery.seq, number, verdict)).collect();
        store.record_attempts(attempts, at(10)).await.unwrap();
    }
    let (mut place, mut before) = (Some(Expiry::default()), store.counts().await.unwrap());
    assert_eq!(before.attempts, ORDERS as u64 * u64::from(ATTEMPTS));
    while let Some(here) = place {
        place = store.expire(at(100), here).await.unwrap();
        let now = store.counts().await.unwrap();
        assert!(before.attempts - now.attempts <= 1_000 + u64::from(ATTEMPTS), "{before:?} {now:?}");
        before = now;
    }
    assert_eq!((before.dead, before.attempts), (1, u64::from(ATTEMPTS)), "the last delivery of all stays");
}

pub(crate) async fn what_was_removed_is_not_missed(store: &impl Store) {
    let webhooks = listener(store, "pos").await;
    plain(store, at(0)).await;
    end_all(store, at(10)).await;
    plain(store, at(200)).await;
    expire(store, at(100)).await;
    let created = webhooks.iter().find(|w| w.event_type == hookit_contract::EventType::OrderCreated).unwrap();
    let filter = ReplayFilter { webhook_id: Some(created.webhook_id), ..ReplayFilter::default() };
    let request = ReplayRequest { kind: ReplayKind::Missed, history: true, filter };
    let counted = store.count_replay(request, 0).await.unwrap();
    assert_eq!(counted, CountReplay::Part(ReplayCount { deliveries: 0, next: None }));
}

/// Asks for the same under a key.
async fn accept_once(store: &impl Store, key: &str, order_id: OrderId, now: Timestamp) -> Once<PartnerMoved> {
    let key = OnceKey {
        partner_id: PartnerId::from("ptn_pos".to_owned()),
        key: key.to_owned(),
        request_hash: [u8::try_from(order_id.0 % 200).unwrap(); 32],
    };
    let request = PartnerMoveRequest {
        business_id: BUSINESS,
        order_id,
        asked: PartnerMove::Accepted,
        reason: None,
        occurred_at: None,
    };
    store.move_once(key, request, now).await.unwrap()
}

pub(crate) async fn a_record_that_was_answered_with_stays_as_long_as_its_key(store: &impl Store) {
    let day = i64::try_from(KEYS_KEPT.as_millis()).unwrap();
    store.add_partner(partner("pos", BUSINESS)).await.unwrap();
    let (order, other) = (plain(store, at(0)).await, plain(store, at(0)).await);
    let accepted = done(store, moved(order.order_id, KnownStatus::Accepted), at(1)).await;
    // The order is that already, by an event that is old soon.
    let first = accept_once(store, "key", order.order_id, at(10)).await;
    assert_eq!(first, Once::Done(PartnerMoved::Order(accepted.record.clone())));
    done(store, moved(order.order_id, KnownStatus::Ready), at(20)).await;
    expire(store, at(30)).await;
    assert_eq!(store.counts().await.unwrap().events, 0);
    assert_eq!(accept_once(store, "key", order.order_id, at(9 + day)).await, first);
    assert_eq!(accept_once(store, "key", other.order_id, at(9 + day)).await, Once::KeyTaken);
    // A day later the key is new, and the record goes.
    let now = accept_once(store, "key", order.order_id, at(10 + day)).await;
    assert!(matches!(now, Once::Done(PartnerMoved::Refused(_))), "{now:?}");
    let made = accept_once(store, "another", other.order_id, at(10 + day)).await;
    assert!(matches!(made, Once::Done(PartnerMoved::Order(_))), "{made:?}");
}
