//! Deliveries that are sent again after they have ended.

use hookit_contract::{DeliveryId, DeliverySeq, DeliveryState, EndpointId, EventType};
use hookit_store::hints::Hint;
use hookit_store::platform::{DeliveryQuery, PendingDelivery, Replayed, Store, Verdict};

use crate::fixture::*;

const AT_ONCE: DeliverySeq = DeliverySeq::REPLAYS_AFTER;

async fn ids(store: &impl Store) -> Vec<DeliveryId> {
    let query = DeliveryQuery { limit: 100, ..DeliveryQuery::default() };
    let mut all = store.deliveries(query).await.unwrap().deliveries;
    all.reverse();
    all.into_iter().map(|delivery| delivery.delivery_id).collect()
}

async fn replays(store: &impl Store, endpoint_id: EndpointId) -> Vec<PendingDelivery> {
    store.pending(endpoint_id, AT_ONCE, 100).await.unwrap().deliveries
}

/// Ends every pending delivery.
async fn end_all(store: &impl Store, verdict: Verdict) {
    for delivery in backlog(store).await {
        let attempt = attempt(delivery.seq, delivery.attempts + 1, verdict);
        store.record_attempts(vec![attempt], at(20)).await.unwrap();
    }
}

pub(crate) async fn what_has_ended_is_sent_again_with_its_id_and_bytes(store: &impl Store) {
    listener(store, "pos").await;
    let order = plain(store, at(0)).await;
    let [pending] = &backlog(store).await[..] else { panic!("one delivery") };
    let before = store.payload(pending.seq).await.unwrap().unwrap();
    let id = &before.delivery_id;
    assert_eq!(store.replay_delivery(id, at(1)).await.unwrap(), Replayed::Pending);
    assert_eq!(
        store.replay_delivery(&DeliveryId::from("evt_0"), at(1)).await.unwrap(),
        Replayed::NoSuchDelivery
    );

    store.record_attempts(vec![attempt(pending.seq, 1, Verdict::Dead)], at(20)).await.unwrap();
    let counted = store.counts().await.unwrap();
    assert_eq!((counted.dead, counted.pending), (1, 0));
    assert_eq!(store.replay_delivery(id, at(30)).await.unwrap(), Replayed::Done);
    let counted = store.counts().await.unwrap();
    assert_eq!((counted.dead, counted.pending), (0, 1));

    let [again] = &replays(store, pending.endpoint_id).await[..] else { panic!("one replay") };
    assert!(again.seq.replay().is_some());
    assert_eq!(again.orders[..], [order.order_id]);
    // Its attempts go on being counted; its plan and its hold time begin anew.
    assert_eq!((again.attempts, again.failures, again.due, again.committed_at), (1, 0, at(30), at(30)));
    let payload = store.payload(again.seq).await.unwrap().unwrap();
    assert_eq!((&payload.delivery_id, &payload.body), (id, &before.body));
    assert!(store.payload(pending.seq).await.unwrap().is_err(), "its former place is nobody's");
    // What is late about its former place changes nothing.
    store.give_up(vec![pending.seq], at(31)).await.unwrap();
    store.record_attempts(vec![attempt(pending.seq, 2, Verdict::Dead)], at(31)).await.unwrap();

    let later = Verdict::RetryAt { at: at(99), counted: true };
    store.record_attempts(vec![attempt(again.seq, 2, later)], at(40)).await.unwrap();
    let [again] = &replays(store, pending.endpoint_id).await[..] else { panic!("one replay") };
    assert_eq!((again.attempts, again.failures, again.due), (2, 1, at(99)));
    store.record_attempts(vec![attempt(again.seq, 3, Verdict::Delivered)], at(50)).await.unwrap();
    assert!(replays(store, pending.endpoint_id).await.is_empty());
    let (delivery, log) = store.delivery(id).await.unwrap().unwrap();
    assert_eq!((delivery.state, delivery.attempts), (DeliveryState::Delivered, 3));
    assert_eq!(log.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2, 3]);

    // And once more, into another place.
    assert_eq!(store.replay_delivery(id, at(60)).await.unwrap(), Replayed::Done);
    let [once_more] = &replays(store, pending.endpoint_id).await[..] else { panic!("one replay") };
    assert!(once_more.seq > again.seq);
    store.give_up(vec![once_more.seq], at(61)).await.unwrap();
    let counted = store.counts().await.unwrap();
    assert_eq!((counted.dead, counted.delivered, counted.pending, counted.attempts), (1, 0, 0, 3));
}

pub(crate) async fn replays_stand_in_a_line_of_their_own_in_the_order_in_which_they_were_asked_for(
    store: &impl Store,
) {
    let endpoint_id = listener(store, "pos").await[0].endpoint_id;
    for _ in 0..3 {
        plain(store, at(0)).await;
    }
    end_all(store, Verdict::Dead).await;
    let ids = ids(store).await;
    plain(store, at(30)).await;
    store.hints().try_take();
    for i in [2, 0, 1] {
        assert_eq!(store.replay_delivery(&ids[i], at(31)).await.unwrap(), Replayed::Done);
    }
    let fresh = store.pending(endpoint_id, DeliverySeq(0), 100).await.unwrap();
    assert_eq!(fresh.deliveries.len(), 1, "the line of what is fresh has no replay in it");
    let all = replays(store, endpoint_id).await;
    let mut asked = Vec::new();
    for replay in &all {
        asked.push(store.payload(replay.seq).await.unwrap().unwrap().delivery_id);
    }
    assert_eq!(asked, [ids[2].clone(), ids[0].clone(), ids[1].clone()]);
    assert!(all.is_sorted_by_key(|replay| replay.seq));
    let page = store.pending(endpoint_id, AT_ONCE, 2).await.unwrap();
    assert_eq!((&page.deliveries[..], page.end), (&all[..2], false));
    let page = store.pending(endpoint_id, all[1].seq, 2).await.unwrap();
    assert_eq!((&page.deliveries[..], page.end), (&all[2..], true));
    let hints = store.hints().try_take().expect("the engine is told");
    assert_eq!(hints.hints, [Hint::Committed(all)]);
}

pub(crate) async fn a_replay_goes_where_its_registration_points_now_and_moves_with_it(store: &impl Store) {
    let former = listener(store, "pos").await[0].endpoint_id;
    for _ in 0..2 {
        plain(store, at(0)).await;
    }
    end_all(store, Verdict::Dead).await;
    let ids = ids(store).await;
    let to = async |url: &str| {
        let created = registration("pos", None, None, EventType::OrderCreated, url);
        register(store, created).await.endpoint_id
    };
    let now = to("https://new.example/hook").await;
    store.replay_delivery(&ids[0], at(30)).await.unwrap();
    assert!(replays(store, former).await.is_empty());
    let [replay] = &replays(store, now).await[..] else { panic!("one replay") };
    assert_eq!(store.payload(replay.seq).await.unwrap().unwrap().url, "https://new.example/hook");

    store.hints().try_take();
    let newest = to("https://newest.example/hook").await;
    assert!(replays(store, now).await.is_empty());
    let moved = replays(store, newest).await;
    assert_eq!(moved, [PendingDelivery { endpoint_id: newest, ..replay.clone() }]);
    let hints = store.hints().try_take().expect("the engine is told").hints;
    assert_eq!(hints.last(), Some(&Hint::Committed(moved)));
}
