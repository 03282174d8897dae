//! What the store counts, against what can be looked up.

use std::collections::BTreeMap;

use hookit_contract::{AttemptOutcome, DeliverySeq, DeliveryState, EndpointId, EventType, KnownStatus};
use hookit_store::Error;
use hookit_store::platform::{DeliveryQuery, NewWebhook, Store, Verdict, WebhookSettings};

use crate::fixture::*;

/// Runs after every check of a platform's store: whatever it did, the figures are those of the rows.
pub(crate) async fn agree_with_the_rows(store: &impl Store) {
    let all = DeliveryQuery { limit: 100_000, ..DeliveryQuery::default() };
    let rows = match store.deliveries(all).await {
        Err(Error::Busy) => return,
        rows => rows.unwrap().deliveries,
    };
    let figures = store.figures().await.unwrap();
    for state in DeliveryState::ALL {
        let there = rows.iter().filter(|delivery| delivery.state == state).count() as u64;
        assert_eq!(figures.counts.in_state(state), there, "{state}");
    }
    let mut pending_at: BTreeMap<EndpointId, u64> = BTreeMap::new();
    for delivery in rows.iter().filter(|delivery| delivery.state == DeliveryState::Pending) {
        *pending_at.entry(delivery.endpoint_id).or_default() += 1;
    }
    assert_eq!(figures.pending_at, pending_at);
    let oldest: Vec<EndpointId> =
        store.oldest_pending().await.unwrap().into_iter().map(|(endpoint, _)| endpoint).collect();
    assert_eq!(oldest, pending_at.into_keys().collect::<Vec<_>>());
}

pub(crate) async fn every_end_and_every_attempt_is_counted_once(store: &impl Store) {
    let url = "https://pos.example/hook";
    store.add_partner(partner("pos", BUSINESS)).await.unwrap();
    for event_type in [EventType::OrderCreated, EventType::OrderStatusUpdated] {
        let settings =
            WebhookSettings { coalesce: true, orders_per_delivery_max: Some(1), ..Default::default() };
        register(store, NewWebhook { settings, ..registration("pos", None, None, event_type, url) }).await;
    }
    for _ in 0..4 {
        plain(store, at(0)).await;
    }
    let made = backlog(store).await;
    let later = Verdict::RetryAt { at: at(99), counted: true };
    for verdict in [later, Verdict::Delivered] {
        let number = if verdict == later { 1 } else { 2 };
        // Written twice, it counts once.
        for _ in 0..2 {
            store.record_attempts(vec![attempt(made[0].seq, number, verdict)], at(10)).await.unwrap();
        }
    }
    store.record_attempts(vec![attempt(made[1].seq, 1, Verdict::Dead)], at(10)).await.unwrap();
    store.give_up(vec![made[2].seq], at(10)).await.unwrap();
    let shown =
        store.deliveries(DeliveryQuery { limit: 9, ..DeliveryQuery::default() }).await.unwrap().deliveries;
    let fourth = shown.iter().find(|delivery| delivery.seq == made[3].seq).unwrap();
    store.cancel_delivery(&fourth.delivery_id, "Mai", at(10)).await.unwrap();
    let order = made[0].orders[0];
    for status in [KnownStatus::Accepted, KnownStatus::Ready] {
        done(store, moved(order, status), at(11)).await;
    }
    let first = backlog(store).await[0].seq;
    assert!(store.supersede(first, at(12)).await.unwrap());
    store.replay_delivery(&fourth.delivery_id, at(13)).await.unwrap();

    let activity = store.figures().await.unwrap().activity;
    assert_eq!((activity.events, activity.formed, activity.replayed), (6, 6, 1));
    assert_eq!(DeliveryState::ALL.map(|state| activity.ended(state)), [0, 1, 2, 1, 1]);
    let (acknowledged, timed_out) = (AttemptOutcome::Acknowledged, AttemptOutcome::TimedOut);
    assert_eq!((activity.attempts(acknowledged), activity.attempts(timed_out)), (1, 2));
    assert_eq!(AttemptOutcome::ALL.map(|outcome| activity.attempts(outcome)).iter().sum::<u64>(), 3);
    // What is in line again ends again; what had been taken back counts as delivered where it was acknowledged after all.
    let replay = DeliverySeq::of_replay(1);
    store.cancel_delivery(&fourth.delivery_id, "Mai", at(14)).await.unwrap();
    store.record_attempts(vec![attempt(replay, 1, Verdict::Delivered)], at(15)).await.unwrap();
    let figures = store.figures().await.unwrap();
    assert_eq!(DeliveryState::ALL.map(|state| figures.activity.ended(state)), [0, 2, 2, 2, 1]);
    assert_eq!((figures.counts.delivered, figures.counts.cancelled), (2, 0));
}

pub(crate) async fn a_backlog_that_moves_is_counted_where_it_is(store: &impl Store) {
    let before = listener(store, "pos").await[0].endpoint_id;
    let order = plain(store, at(0)).await.order_id;
    plain(store, at(0)).await;
    done(store, moved(order, KnownStatus::Accepted), at(1)).await;
    let pending_at = |pairs: &[(EndpointId, u64)]| pairs.iter().copied().collect::<BTreeMap<_, _>>();
    assert_eq!(store.figures().await.unwrap().pending_at, pending_at(&[(before, 3)]));
    let to_new = |event_type| registration("pos", None, None, event_type, "https://new.example/");
    let after = register(store, to_new(EventType::OrderCreated)).await.endpoint_id;
    assert_eq!(store.figures().await.unwrap().pending_at, pending_at(&[(before, 1), (after, 2)]));
    register(store, to_new(EventType::OrderStatusUpdated)).await;
    assert_eq!(store.figures().await.unwrap().pending_at, pending_at(&[(after, 3)]));
}

pub(crate) async fn the_oldest_is_the_first_in_line_among_what_is_fresh_or_among_replays(store: &impl Store) {
    let endpoint_id = listener(store, "pos").await[0].endpoint_id;
    let oldest = async || store.oldest_pending().await.unwrap();
    assert_eq!(oldest().await, []);
    for time in [100, 200, 300] {
        plain(store, at(time)).await;
    }
    let made = backlog(store).await;
    assert_eq!(oldest().await, [(endpoint_id, at(100))]);
    // Replayed, it has waited since then, however old it is; and it does not hide the fresh one that has waited longer.
    store.record_attempts(vec![attempt(made[0].seq, 1, Verdict::Dead)], at(400)).await.unwrap();
    let shown =
        store.deliveries(DeliveryQuery { limit: 9, ..DeliveryQuery::default() }).await.unwrap().deliveries;
    store.replay_delivery(&shown.last().unwrap().delivery_id, at(500)).await.unwrap();
    assert_eq!(oldest().await, [(endpoint_id, at(200))]);
    for seq in [made[1].seq, made[2].seq] {
        store.record_attempts(vec![attempt(seq, 1, Verdict::Delivered)], at(600)).await.unwrap();
    }
    assert_eq!(oldest().await, [(endpoint_id, at(500))]);
    plain(store, at(700)).await;
    assert_eq!(oldest().await, [(endpoint_id, at(500))]);
    store.record_attempts(vec![attempt(DeliverySeq::of_replay(1), 2, Verdict::Dead)], at(800)).await.unwrap();
    assert_eq!(oldest().await, [(endpoint_id, at(700))]);
}

pub(crate) async fn ticks_tell_how_much_they_wrote_and_how_long_it_took(store: &impl Store) {
    assert_eq!(store.figures().await.unwrap().ticks.writes.count(), 0);
    listener(store, "pos").await;
    let ticks = store.figures().await.unwrap().ticks;
    assert_eq!(
        (ticks.writes.count(), ticks.writes.sum()),
        (4, 4),
        "a partner and three registrations, one by one"
    );
    let many = (0..20).map(|_| {
        let record = order_of(r#"[{"id":663}]"#, "");
        hookit_store::platform::Change::Create { record }
    });
    store.changes(many.collect(), at(0)).await.unwrap();
    let figures = store.figures().await.unwrap();
    assert_eq!((figures.ticks.writes.count(), figures.ticks.writes.max()), (5, 20));
    assert_eq!(figures.ticks.duration_us.count(), 5);
    assert!(figures.ticks.duration_us.sum() > 0 && figures.ticks.duration_us.max() < 600_000_000);
    let queue = figures.queue;
    assert_eq!((queue.commands, queue.bytes), (0, 0), "nothing waits");
    assert!(queue.commands_max > 1_000 && queue.bytes_max > 1 << 20, "{queue:?}");
}
