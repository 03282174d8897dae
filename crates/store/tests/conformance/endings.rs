//! The platform's store: deliveries that end without being sent, and registrations that are removed.

use bytes::Bytes;
use hookit_contract::{
    AttemptOutcome, DeliveryId, DeliverySeq, DeliveryState, EventType, KnownStatus, OrderId,
};
use hookit_store::hints::Hint;
use hookit_store::platform::{
    Attempt, Cancelled, DeadLetters, Delivery, DeliveryQuery, EndReason, NewWebhook, PendingDelivery,
    Replayed, Store, Verdict, WebhookQuery, WebhookSettings,
};

use crate::fixture::*;

const MOVED: EventType = EventType::OrderStatusUpdated;
const URL: &str = "https://pos.example/hook";

/// A partner that hears of moves, and of those that wait only the newest.
async fn coalescing(store: &impl Store) {
    store.add_partner(partner("pos", BUSINESS)).await.unwrap();
    let settings = WebhookSettings { coalesce: true, ..WebhookSettings::default() };
    register(store, NewWebhook { settings, ..registration("pos", None, None, MOVED, URL) }).await;
}

async fn to(store: &impl Store, order_id: OrderId, status: KnownStatus) -> PendingDelivery {
    done(store, moved(order_id, status), at(1)).await;
    backlog(store).await.pop().unwrap()
}

async fn shown(store: &impl Store, seq: DeliverySeq) -> Delivery {
    let all = store
        .deliveries(DeliveryQuery { limit: 1_000, ..DeliveryQuery::default() })
        .await
        .unwrap()
        .deliveries;
    all.into_iter().find(|delivery| delivery.seq == seq).unwrap()
}

async fn id(store: &impl Store, seq: DeliverySeq) -> DeliveryId {
    shown(store, seq).await.delivery_id
}

async fn is_superseded(store: &impl Store, seq: DeliverySeq) -> bool {
    store.payload(seq).await.unwrap().unwrap().is_superseded
}

pub(crate) async fn the_dead_are_told_by_endpoint_and_reason_and_any_delivery_has_its_bytes(
    store: &impl Store,
) {
    listener(store, "pos").await;
    let mut seqs = Vec::new();
    for _ in 0..4 {
        plain(store, at(0)).await;
        seqs.push(backlog(store).await.pop().unwrap().seq);
    }
    assert!(store.dead_letters(10).await.unwrap().is_empty());
    let refused = |seq, number, status| Attempt {
        outcome: AttemptOutcome::Refused,
        status: Some(status),
        ..attempt(seq, number, Verdict::Dead)
    };
    let again = Verdict::RetryAt { at: at(2), counted: true };
    // The last attempt is the reason, and what was given up without one has none.
    store.record_attempts(vec![Attempt { verdict: again, ..refused(seqs[0], 1, 500) }], at(1)).await.unwrap();
    let last = [refused(seqs[0], 2, 404), refused(seqs[1], 1, 404)];
    store.record_attempts(last.to_vec(), at(3)).await.unwrap();
    store.give_up(vec![seqs[2]], at(4)).await.unwrap();
    let told = |letters: Vec<DeadLetters>| -> Vec<_> {
        letters.into_iter().map(|one| (one.deliveries, one.outcome, one.status, one.last_at)).collect()
    };
    let letters = told(store.dead_letters(10).await.unwrap());
    let not_found = (2, Some(AttemptOutcome::Refused), Some(404), at(3));
    assert_eq!(letters, [not_found, (1, None, None, at(4))]);
    let letters = told(store.dead_letters(2).await.unwrap());
    assert_eq!(letters.iter().map(|one| one.0).sum::<u64>(), 2, "no more are looked at: {letters:?}");

    let payload = store.payload(seqs[3]).await.unwrap().unwrap();
    let dead = id(store, seqs[0]).await;
    assert!(store.payload(seqs[0]).await.unwrap().is_err(), "it is not to be sent");
    let bytes = store.payload_of(&dead).await.unwrap().expect("its bytes are kept");
    assert_eq!((&bytes.delivery_id, bytes.url), (&dead, payload.url.clone()));
    assert!(!bytes.body.is_empty() && bytes.body != payload.body);
    let pending = store.payload_of(&payload.delivery_id).await.unwrap().unwrap();
    assert_eq!((pending.body, pending.webhook_secret), (payload.body, payload.webhook_secret));
    assert!(store.payload_of(&DeliveryId::from("evt_404".to_owned())).await.unwrap().is_none());
}

pub(crate) async fn what_waits_is_passed_over_for_the_newest_of_its_order(store: &impl Store) {
    coalescing(store).await;
    let order = plain(store, at(0)).await.order_id;
    let first = to(store, order, KnownStatus::Accepted).await.seq;
    assert!(!is_superseded(store, first).await, "nothing newer waits");
    assert!(!store.supersede(first, at(2)).await.unwrap());
    let second = to(store, order, KnownStatus::Preparing).await.seq;
    let third = to(store, order, KnownStatus::Ready).await.seq;
    assert!(is_superseded(store, first).await && is_superseded(store, second).await);
    assert!(!is_superseded(store, third).await);
    assert!(store.supersede(first, at(2)).await.unwrap());
    assert!(!store.supersede(first, at(3)).await.unwrap(), "once");
    assert!(!store.supersede(third, at(3)).await.unwrap());
    let passed_over = shown(store, first).await;
    assert_eq!(
        (passed_over.state, passed_over.finished_at, passed_over.next_attempt_at),
        (DeliveryState::Superseded, Some(at(2)), None)
    );
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.pending, counts.superseded, counts.cancelled), (2, 1, 0));
    let query =
        DeliveryQuery { state: Some(DeliveryState::Superseded), limit: 9, ..DeliveryQuery::default() };
    assert_eq!(store.deliveries(query).await.unwrap().deliveries.len(), 1);
    assert!(store.payload(first).await.unwrap().is_err());
    // The newer one has ended, so the second is the newest of what waits.
    store.record_attempts(vec![attempt(third, 1, Verdict::Dead)], at(4)).await.unwrap();
    assert!(!is_superseded(store, second).await);
    assert!(!store.supersede(second, at(5)).await.unwrap());
}

pub(crate) async fn a_delivery_of_several_orders_is_passed_over_when_all_of_them_wait_anew(
    store: &impl Store,
) {
    coalescing(store).await;
    let orders: Vec<OrderId> =
        join_all((0..2).map(|_| plain(store, at(0)))).await.iter().map(|o| o.order_id).collect();
    join_all(orders.iter().map(|order| done(store, moved(*order, KnownStatus::Accepted), at(1)))).await;
    let before = backlog(store).await;
    to(store, orders[0], KnownStatus::Ready).await;
    for delivery in &before {
        let alone = delivery.orders[..] == [orders[0]];
        assert_eq!(is_superseded(store, delivery.seq).await, alone, "{delivery:?}");
    }
    to(store, orders[1], KnownStatus::Ready).await;
    for delivery in &before {
        assert!(is_superseded(store, delivery.seq).await);
        assert!(store.supersede(delivery.seq, at(3)).await.unwrap());
    }
}

pub(crate) async fn nothing_is_passed_over_for_another_registrations_brands_or_replays_sake(
    store: &impl Store,
) {
    // Registrations that do not ask for it.
    listener(store, "pos").await;
    let order = plain(store, at(0)).await.order_id;
    let created = backlog(store).await[0].seq;
    let first = to(store, order, KnownStatus::Accepted).await.seq;
    to(store, order, KnownStatus::Ready).await;
    assert!(!is_superseded(store, first).await);
    let settings = WebhookSettings { coalesce: true, ..WebhookSettings::default() };
    register(store, NewWebhook { settings, ..registration("pos", None, None, MOVED, URL) }).await;
    assert!(is_superseded(store, first).await && !is_superseded(store, created).await);
    // One that was asked for again is sent, and nothing is passed over for it.
    store.record_attempts(vec![attempt(first, 1, Verdict::Dead)], at(2)).await.unwrap();
    store.replay_delivery(&id(store, first).await, at(3)).await.unwrap();
    let replay = DeliverySeq::of_replay(1);
    assert!(!is_superseded(store, replay).await);
    assert!(!store.supersede(replay, at(4)).await.unwrap());
    // Each brand's envelope is another thing to hear.
    let order = create(store, order_of(r#"[{"id":663},{"id":664}]"#, ""), at(5)).await.order_id;
    to(store, order, KnownStatus::Accepted).await;
    for delivery in backlog(store).await.iter().filter(|delivery| delivery.orders[..] == [order]) {
        assert!(!is_superseded(store, delivery.seq).await);
    }
}

pub(crate) async fn the_late_end_of_an_attempt_is_logged_and_does_not_bring_its_delivery_back(
    store: &impl Store,
) {
    coalescing(store).await;
    let mut ended = Vec::new();
    for _ in 0..2 {
        let order = plain(store, at(0)).await.order_id;
        ended.push((order, to(store, order, KnownStatus::Accepted).await.seq));
    }
    let (order, superseded) = ended[0];
    to(store, order, KnownStatus::Ready).await;
    assert!(store.supersede(superseded, at(2)).await.unwrap());
    let (_, cancelled) = ended[1];
    let cancelled_id = id(store, cancelled).await;
    assert_eq!(store.cancel_delivery(&cancelled_id, "Mai", at(2)).await.unwrap(), Cancelled::Done);
    for (seq, state) in [(superseded, DeliveryState::Superseded), (cancelled, DeliveryState::Cancelled)] {
        let again = Verdict::RetryAt { at: at(9), counted: true };
        store.record_attempts(vec![attempt(seq, 1, again)], at(3)).await.unwrap();
        let (delivery, log) = store.delivery(&id(store, seq).await).await.unwrap().unwrap();
        assert_eq!((delivery.state, delivery.attempts, log.len()), (state, 1, 1));
        assert_eq!((delivery.next_attempt_at, delivery.finished_at), (None, Some(at(2))));
        store.record_attempts(vec![attempt(seq, 2, Verdict::Delivered)], at(4)).await.unwrap();
        let delivery = shown(store, seq).await;
        assert_eq!((delivery.state, delivery.ended_by), (DeliveryState::Delivered, None));
    }
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.superseded, counts.cancelled, counts.delivered), (0, 0, 2));
}

pub(crate) async fn an_attempt_that_outlives_its_deliverys_place_is_logged(store: &impl Store) {
    let endpoint = listener(store, "pos").await[0].endpoint_id;
    plain(store, at(0)).await;
    let seq = backlog(store).await[0].seq;
    let id = id(store, seq).await;
    let again = Verdict::RetryAt { at: at(50), counted: true };
    // Each began at a time of its own, and knows of those alone that its engine knew of.
    let under_way = |seq, number, began, verdict| Attempt {
        delivery_id: Some(id.clone()),
        started_at: at(began),
        ..attempt(seq, number, verdict)
    };
    let replay = async |n, now| {
        assert_eq!(store.cancel_delivery(&id, "Mai", at(now)).await.unwrap(), Cancelled::Done);
        assert_eq!(store.replay_delivery(&id, at(now)).await.unwrap(), Replayed::Done);
        DeliverySeq::of_replay(n)
    };
    let logged = async || {
        let (delivery, log) = store.delivery(&id).await.unwrap().unwrap();
        let log: Vec<_> = log.iter().map(|a| (a.number, a.started_at, a.outcome)).collect();
        assert_eq!(delivery.attempts, log.len() as u32);
        (delivery.state, log)
    };
    let (first, second) = (replay(1, 11).await, replay(2, 12).await);
    let one = (1, at(10), AttemptOutcome::TimedOut);
    let two = (2, at(13), AttemptOutcome::Acknowledged);
    // The end of what went out before both replays; once, however often it is handed in.
    for _ in 0..2 {
        store.record_attempts(vec![under_way(seq, 1, 10, again)], at(13)).await.unwrap();
        assert_eq!(logged().await, (DeliveryState::Pending, vec![one]));
    }
    // What was asked for again is due, whatever became of the attempt before.
    let replays = store.pending(endpoint, DeliverySeq::REPLAYS_AFTER, 9).await.unwrap().deliveries;
    assert_eq!((replays.len(), replays[0].seq, replays[0].due), (1, second, at(12)));
    // What went out for the first replay was numbered without it, and its acknowledgement does not end the second.
    store.record_attempts(vec![under_way(first, 1, 13, Verdict::Delivered)], at(14)).await.unwrap();
    assert_eq!(logged().await, (DeliveryState::Pending, vec![one, two]));
    for _ in 0..2 {
        store.record_attempts(vec![under_way(second, 1, 14, Verdict::Delivered)], at(15)).await.unwrap();
        let three = (3, at(14), AttemptOutcome::Acknowledged);
        assert_eq!(logged().await, (DeliveryState::Delivered, vec![one, two, three]));
    }
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.pending, counts.delivered, counts.cancelled, counts.attempts), (0, 1, 0, 3));
}

pub(crate) async fn a_delivery_is_taken_back_by_name_and_can_be_replayed(store: &impl Store) {
    let webhooks = listener(store, "pos").await;
    plain(store, at(0)).await;
    let seq = backlog(store).await[0].seq;
    let id = id(store, seq).await;
    let _ = store.hints().take().await;
    assert_eq!(store.cancel_delivery(&id, "Mai", at(2)).await.unwrap(), Cancelled::Done);
    let told = store.hints().take().await.hints;
    assert!(
        matches!(told[..], [Hint::Endpoint { endpoint_id, .. }] if endpoint_id == webhooks[0].endpoint_id),
        "{told:?}"
    );
    let delivery = shown(store, seq).await;
    assert_eq!((delivery.state, delivery.finished_at), (DeliveryState::Cancelled, Some(at(2))));
    let who = (delivery.ended_by.as_deref(), delivery.ended_reason);
    assert_eq!(who, (Some("Mai"), Some(EndReason::DeliveryCancelled)));
    assert!(store.payload(seq).await.unwrap().is_err());
    let again = store.cancel_delivery(&id, "Mai", at(3)).await.unwrap();
    assert_eq!(again, Cancelled::Ended(DeliveryState::Cancelled));
    let nobodys = store.cancel_delivery(&DeliveryId::from("evt_0"), "Mai", at(3)).await.unwrap();
    assert_eq!(nobodys, Cancelled::NoSuchDelivery);
    assert_eq!(store.replay_delivery(&id, at(4)).await.unwrap(), Replayed::Done);
    let delivery = shown(store, seq).await;
    assert_eq!((delivery.state, delivery.ended_by), (DeliveryState::Pending, None));
}

pub(crate) async fn a_removed_registration_sends_nothing_and_its_backlog_is_taken_back_in_steps(
    store: &impl Store,
) {
    let webhooks = listener(store, "pos").await;
    let created = webhooks[0].webhook_id;
    for _ in 0..40 {
        join_all((0..30).map(|_| plain(store, at(0)))).await;
    }
    let order = plain(store, at(0)).await.order_id;
    let kept = to(store, order, KnownStatus::Accepted).await.seq;
    let waiting: Vec<DeliverySeq> =
        backlog(store).await.iter().map(|delivery| delivery.seq).filter(|seq| *seq != kept).collect();
    assert!(!store.step_removals(at(1)).await.unwrap(), "nothing was removed");
    assert!(store.remove_webhook(created, "Mai", at(2)).await.unwrap());
    assert!(!store.remove_webhook(created, "Mai", at(2)).await.unwrap());
    assert_eq!(store.webhooks(WebhookQuery::first(9)).await.unwrap().len(), 2);
    // From this moment on, though all of it is still there.
    assert!(store.payload(waiting[0]).await.unwrap().is_err());
    assert!(store.payload(kept).await.unwrap().is_ok());
    plain(store, at(3)).await;
    assert_eq!(backlog(store).await.last().unwrap().seq, kept, "nothing is made for it");
    while store.step_removals(at(4)).await.unwrap() {}
    assert_eq!(backlog(store).await.iter().map(|delivery| delivery.seq).collect::<Vec<_>>(), [kept]);
    let delivery = shown(store, *waiting.last().unwrap()).await;
    assert_eq!((delivery.state, delivery.finished_at), (DeliveryState::Cancelled, Some(at(4))));
    let who = (delivery.ended_by.as_deref(), delivery.ended_reason);
    assert_eq!(who, (Some("Mai"), Some(EndReason::WebhookRemoved)));
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.pending, counts.cancelled), (1, waiting.len() as u64));
    let replayed = store.replay_delivery(&delivery.delivery_id, at(5)).await.unwrap();
    assert_eq!(replayed, Replayed::WebhookRemoved);

    let anew = register(store, registration("pos", None, None, EventType::OrderCreated, URL)).await;
    assert_ne!(anew.webhook_id, created);
    let order = plain(store, at(6)).await.order_id;
    assert_eq!(backlog(store).await.last().unwrap().orders[..], [order]);
}

pub(crate) async fn a_step_of_a_removal_is_bounded(store: &impl Store) {
    store.add_partner(partner("pos", BUSINESS)).await.unwrap();
    let settings = WebhookSettings { orders_per_delivery_max: Some(1), ..WebhookSettings::default() };
    let new = NewWebhook { settings, ..registration("pos", None, None, EventType::OrderCreated, URL) };
    let webhook_id = register(store, new).await.webhook_id;
    for _ in 0..12 {
        join_all((0..50).map(|_| plain(store, at(0)))).await;
    }
    let before = store.counts().await.unwrap().pending;
    assert_eq!(before, 600);
    store.remove_webhook(webhook_id, "Mai", at(1)).await.unwrap();
    assert!(store.step_removals(at(2)).await.unwrap());
    let after = store.counts().await.unwrap().pending;
    assert!(after > 0 && after < before, "{after} of {before}");
    while store.step_removals(at(2)).await.unwrap() {}
    assert_eq!(store.counts().await.unwrap().pending, 0);
}

pub(crate) async fn what_was_sent_for_a_removed_registration_stays_as_it_was(store: &impl Store) {
    // Its deliveries refer to it for ever, with their bytes and log.
    let webhook_id = listener(store, "pos").await[0].webhook_id;
    plain(store, at(0)).await;
    let seq = backlog(store).await[0].seq;
    store.record_attempts(vec![attempt(seq, 1, Verdict::Delivered)], at(1)).await.unwrap();
    store.remove_webhook(webhook_id, "Mai", at(2)).await.unwrap();
    while store.step_removals(at(2)).await.unwrap() {}
    let (delivery, log) = store.delivery(&id(store, seq).await).await.unwrap().unwrap();
    assert_eq!((delivery.state, delivery.webhook_id), (DeliveryState::Delivered, webhook_id));
    assert_eq!(log[0].answer, Bytes::from_static(b"{}"));
}
