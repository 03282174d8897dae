//! Replays of many deliveries: durable jobs that go on step by step.

use hookit_contract::{
    BranchId, DeliveryId, DeliverySeq, DeliveryState, EndpointId, EventType, KnownStatus, OrderId, WebhookId,
};
use hookit_store::hints::Hint;
use hookit_store::platform::{
    CountReplay, Delivery, DeliveryQuery, EndpointSettings, OPEN_REPLAYS_MAX, PendingDelivery, Replay,
    ReplayFilter, ReplayKind, ReplayRequest, ReplayState, ReplayStep, StartReplay, SteerReplay,
    SteeredReplay, Store, StoredOrder, Verdict,
};

use crate::fixture::*;

fn request(kind: ReplayKind, history: bool, filter: ReplayFilter) -> ReplayRequest {
    ReplayRequest { kind, history, filter }
}

fn dead() -> ReplayRequest {
    let filter = ReplayFilter { state: Some(DeliveryState::Dead), ..ReplayFilter::default() };
    request(ReplayKind::SameIds, true, filter)
}

fn missed_by(webhook_id: WebhookId, history: bool) -> ReplayRequest {
    let filter = ReplayFilter { webhook_id: Some(webhook_id), ..ReplayFilter::default() };
    request(ReplayKind::Missed, history, filter)
}

async fn start(store: &impl Store, request: ReplayRequest) -> Replay {
    match store.start_replay(request, at(100)).await.unwrap() {
        StartReplay::Started(replay) => replay,
        other => panic!("{other:?}"),
    }
}

async fn steps(store: &impl Store) -> usize {
    let mut steps = 0;
    while store.step_replays(at(101)).await.unwrap() == ReplayStep::Made {
        steps += 1;
    }
    steps
}

async fn counted(store: &impl Store, request: &ReplayRequest) -> u64 {
    let (mut deliveries, mut after) = (0, 0);
    loop {
        let CountReplay::Part(part) = store.count_replay(request.clone(), after).await.unwrap() else {
            panic!("{request:?} names something that is not there");
        };
        deliveries += part.deliveries;
        match part.next {
            Some(next) => after = next,
            None => return deliveries,
        }
    }
}

/// Counts what would be sent, sends it, and says what is in line then.
async fn replayed(store: &impl Store, request: ReplayRequest) -> Vec<PendingDelivery> {
    let expected = counted(store, &request).await;
    let replay = start(store, request).await;
    steps(store).await;
    let replay = store.replay(replay.replay_id).await.unwrap().unwrap();
    let line = all_in_line(store).await;
    assert_eq!(replay.queued, expected, "what was counted is what is sent");
    assert_eq!(line.len() as u64, expected);
    assert_eq!(replay.looked_to, replay.looks_to);
    line
}

async fn in_line(store: &impl Store, endpoint_id: EndpointId) -> Vec<PendingDelivery> {
    let page = store.pending(endpoint_id, DeliverySeq::REPLAYS_AFTER, 10_000).await.unwrap();
    assert!(page.end && page.deliveries.is_sorted_by_key(|d| d.seq));
    page.deliveries
}

async fn all_in_line(store: &impl Store) -> Vec<PendingDelivery> {
    let mut all = Vec::new();
    for endpoint in store.endpoints().await.unwrap() {
        all.extend(in_line(store, endpoint.endpoint_id).await);
    }
    all
}

/// What it carries: order, version, and the id that it goes under.
async fn carried(store: &impl Store, line: &[PendingDelivery]) -> Vec<(OrderId, i64, DeliveryId)> {
    let mut all = Vec::new();
    for delivery in line {
        let payload = store.payload(delivery.seq).await.unwrap().unwrap();
        let (shown, _) = store.delivery(&payload.delivery_id).await.unwrap().unwrap();
        for (order_id, version) in shown.orders {
            let version_in_it = format!("\"version\":{version}");
            assert!(std::str::from_utf8(&payload.body).unwrap().contains(&version_in_it));
            all.push((order_id, version, payload.delivery_id.clone()));
        }
    }
    all
}

async fn deliveries(store: &impl Store) -> Vec<Delivery> {
    let mut all = store
        .deliveries(DeliveryQuery { limit: 10_000, ..DeliveryQuery::default() })
        .await
        .unwrap()
        .deliveries;
    all.reverse();
    all
}

async fn end(store: &impl Store, line: &[PendingDelivery], verdict: Verdict) {
    for delivery in line {
        let attempt = attempt(delivery.seq, delivery.attempts + 1, verdict);
        store.record_attempts(vec![attempt], at(200)).await.unwrap();
    }
}

/// Three orders that were created, accepted and made ready, and told of to the partner.
async fn three_orders(store: &impl Store) -> Vec<StoredOrder> {
    let mut orders = Vec::new();
    for _ in 0..3 {
        orders.push(plain(store, at(0)).await);
    }
    for to in [KnownStatus::Accepted, KnownStatus::Ready] {
        for order in &orders {
            done(store, moved(order.order_id, to), at(10)).await;
        }
    }
    orders
}

pub(crate) async fn what_a_filter_names_is_sent_again_in_the_order_of_commits(store: &impl Store) {
    let webhooks = listener(store, "pos").await;
    let orders = three_orders(store).await;
    let sent = backlog(store).await;
    assert_eq!(sent.len(), 9);
    end(store, &sent[..2], Verdict::Delivered).await;
    end(store, &sent[2..8], Verdict::Dead).await;
    let all = deliveries(store).await;
    // The ninth is pending: it is sent anyway.
    let line = replayed(store, dead()).await;
    let ids: Vec<_> = carried(store, &line).await.into_iter().map(|(.., id)| id).collect();
    let expected: Vec<_> = all[2..8].iter().map(|d| d.delivery_id.clone()).collect();
    assert_eq!(ids, expected);
    assert!(line.iter().all(|d| (d.failures, d.attempts, d.due) == (0, 1, at(101))));

    let replay = store.replays(None, 10).await.unwrap().remove(0);
    assert_eq!((replay.state, replay.pending()), (ReplayState::Running, 6));
    end(store, &line[..4], Verdict::Delivered).await;
    store.give_up(vec![line[4].seq], at(210)).await.unwrap();
    end(store, &line[5..], Verdict::Dead).await;
    let replay = store.replay(replay.replay_id).await.unwrap().unwrap();
    assert_eq!((replay.queued, replay.delivered, replay.dead, replay.cancelled), (6, 4, 2, 0));
    assert_eq!((replay.state, replay.finished_at), (ReplayState::Done, Some(at(200))));
    assert_eq!(store.step_replays(at(220)).await.unwrap(), ReplayStep::Idle, "nothing is left to do");

    // Each condition of a filter holds by itself, and they combine.
    let filter = ReplayFilter::default();
    let of = |filter| request(ReplayKind::SameIds, true, filter);
    for (filter, expected) in [
        (ReplayFilter { state: Some(DeliveryState::Delivered), ..filter.clone() }, 6),
        (ReplayFilter { order_id: Some(orders[0].order_id), ..filter.clone() }, 3),
        (ReplayFilter { event_type: Some(EventType::OrderCreated), ..filter.clone() }, 3),
        (ReplayFilter { webhook_id: Some(webhooks[1].webhook_id), ..filter.clone() }, 5),
        (ReplayFilter { endpoint_id: Some(webhooks[0].endpoint_id), ..filter.clone() }, 8),
        (ReplayFilter { since: Some(at(10)), ..filter.clone() }, 5),
        (ReplayFilter { until: Some(at(10)), ..filter.clone() }, 3),
        (ReplayFilter { until: Some(at(10)), order_id: Some(orders[1].order_id), ..filter.clone() }, 1),
    ] {
        assert_eq!(counted(store, &of(filter.clone())).await, expected, "{filter:?}");
    }
}

pub(crate) async fn with_new_ids_each_order_is_told_of_once_as_it_stands(store: &impl Store) {
    let webhooks = listener(store, "pos").await;
    let orders = three_orders(store).await;
    let two_brands = create(store, order_of(r#"[{"id":663},{"id":664}]"#, ""), at(20)).await;
    end(store, &backlog(store).await, Verdict::Delivered).await;
    let before: Vec<_> = deliveries(store).await.into_iter().map(|d| d.delivery_id).collect();
    // The last order goes on while nobody looks: what is told is how it stands then.
    done(store, moved(orders[2].order_id, KnownStatus::PickedUp), at(30)).await;

    let filter = ReplayFilter { state: Some(DeliveryState::Delivered), ..ReplayFilter::default() };
    let line = replayed(store, request(ReplayKind::NewIds, false, filter.clone())).await;
    let carried_now = carried(store, &line).await;
    let told: Vec<_> = carried_now.iter().map(|(order, version, _)| (*order, *version)).collect();
    let id = |i: usize| orders[i].order_id;
    // The order of two brands is told of for each, as it was at first.
    let twice = (two_brands.order_id, 1);
    assert_eq!(told, [(id(0), 3), (id(1), 3), (id(2), 4), twice, twice]);
    assert!(carried_now.iter().all(|(.., id)| !before.contains(id)), "with new ids");
    assert!(line.iter().all(|d| d.endpoint_id == webhooks[0].endpoint_id && d.attempts == 0));
    end(store, &line, Verdict::Delivered).await;
    let replay = store.replays(None, 1).await.unwrap().remove(0);
    assert_eq!((replay.state, replay.delivered), (ReplayState::Done, 5));

    // The whole history, on request: every delivery of before, anew.
    let until = ReplayFilter { until: Some(at(15)), ..filter };
    let line = replayed(store, request(ReplayKind::NewIds, true, until)).await;
    let told: Vec<_> =
        carried(store, &line).await.into_iter().map(|(order, version, _)| (order, version)).collect();
    let states = [1, 2, 3].into_iter();
    let expected: Vec<_> = states.flat_map(|version| (0..3).map(move |i| (id(i), version))).collect();
    assert_eq!(told, expected);
}

pub(crate) async fn what_a_registration_missed_is_sent_though_it_came_later(store: &impl Store) {
    store.add_partner(partner("kds", BUSINESS)).await.unwrap();
    store.add_partner(partner("other", BUSINESS)).await.unwrap();
    let status = EventType::OrderStatusUpdated;
    register(store, registration("other", None, None, status, "https://other.example/")).await;
    let orders = three_orders(store).await;
    let webhook = register(store, registration("kds", None, None, status, "https://kds.example/hook")).await;
    assert!(in_line(store, webhook.endpoint_id).await.is_empty());
    let id = |i: usize| orders[i].order_id;
    // One order goes on after it came: that it hears of, and then it knows that order as it stands.
    done(store, moved(id(2), KnownStatus::PickedUp), at(30)).await;
    let fresh = store.pending(webhook.endpoint_id, DeliverySeq(0), 10).await.unwrap().deliveries;
    end(store, &fresh, Verdict::Delivered).await;

    let told = async |line: &[PendingDelivery]| -> Vec<(OrderId, i64)> {
        carried(store, line).await.into_iter().map(|(order, version, _)| (order, version)).collect()
    };
    // Created orders are another registration's.
    let line = replayed(store, missed_by(webhook.webhook_id, false)).await;
    assert_eq!(told(&line).await, [(id(0), 3), (id(1), 3)]);
    assert_eq!(counted(store, &missed_by(webhook.webhook_id, false)).await, 0, "it is on its way");
    end(store, &line[..1], Verdict::Delivered).await;
    store.give_up(vec![line[1].seq], at(210)).await.unwrap();

    // The whole history: what it has already is not among it, and what was given up keeps its id.
    let given_up = carried_id(store, line[1].seq, &line, id(1)).await;
    let line = replayed(store, missed_by(webhook.webhook_id, true)).await;
    let carried_now = carried(store, &line).await;
    let told_now: Vec<_> = carried_now.iter().map(|(order, version, _)| (*order, *version)).collect();
    assert_eq!(told_now, [(id(0), 2), (id(1), 2), (id(2), 2), (id(1), 3), (id(2), 3)]);
    assert_eq!(carried_now[3].2, given_up);
    end(store, &line, Verdict::Delivered).await;
    assert_eq!(counted(store, &missed_by(webhook.webhook_id, true)).await, 0, "nothing is missed any more");

    let request = missed_by(WebhookId(77), false);
    assert_eq!(store.count_replay(request.clone(), 0).await.unwrap(), CountReplay::NoSuchWebhook);
    assert_eq!(store.start_replay(request.clone(), at(300)).await.unwrap(), StartReplay::NoSuchWebhook);
    let kind = ReplayKind::SameIds;
    let request = ReplayRequest { kind, history: true, ..request };
    assert_eq!(store.count_replay(request.clone(), 0).await.unwrap(), CountReplay::NoSuchWebhook);
    assert_eq!(store.start_replay(request.clone(), at(300)).await.unwrap(), StartReplay::NoSuchWebhook);
    let filter = ReplayFilter { endpoint_id: Some(EndpointId(77)), ..ReplayFilter::default() };
    let request = ReplayRequest { filter, ..request };
    assert_eq!(store.count_replay(request.clone(), 0).await.unwrap(), CountReplay::NoSuchEndpoint);
    assert_eq!(store.start_replay(request, at(300)).await.unwrap(), StartReplay::NoSuchEndpoint);
}

/// The id of the delivery that was given up of this order.
async fn carried_id(
    store: &impl Store,
    seq: DeliverySeq,
    line: &[PendingDelivery],
    order: OrderId,
) -> DeliveryId {
    assert!(line.iter().any(|d| d.seq == seq));
    let query = DeliveryQuery {
        state: Some(DeliveryState::Dead),
        order_id: Some(order),
        limit: 1,
        ..DeliveryQuery::default()
    };
    store.deliveries(query).await.unwrap().deliveries.remove(0).delivery_id
}

pub(crate) async fn what_goes_to_a_more_specific_registration_is_not_missed_by_the_general_one(
    store: &impl Store,
) {
    store.add_partner(partner("kds", BUSINESS)).await.unwrap();
    let created = EventType::OrderCreated;
    let order = plain(store, at(0)).await;
    let url = |name: &str| format!("https://{name}.example/");
    let general = register(store, registration("kds", None, None, created, &url("a"))).await;
    let branch = register(store, registration("kds", None, Some(BRANCH), created, &url("b"))).await;
    let elsewhere =
        register(store, registration("kds", None, Some(BranchId(4711)), created, &url("c"))).await;
    for (webhook, expected) in [(general, 0), (elsewhere, 0), (branch, 1)] {
        for history in [false, true] {
            assert_eq!(counted(store, &missed_by(webhook.webhook_id, history)).await, expected);
        }
    }
    assert_eq!(order.version, 1);
}

pub(crate) async fn nothing_of_a_paused_replay_is_in_line_until_it_is_resumed(store: &impl Store) {
    let endpoint_id = listener(store, "pos").await[0].endpoint_id;
    for _ in 0..4 {
        plain(store, at(0)).await;
    }
    let sent = backlog(store).await;
    end(store, &sent, Verdict::Dead).await;
    let alone =
        store.deliveries(DeliveryQuery { limit: 1, ..DeliveryQuery::default() }).await.unwrap().deliveries;
    store.replay_delivery(&alone[0].delivery_id, at(50)).await.unwrap();
    let replay_id = start(store, dead()).await.replay_id;
    steps(store).await;
    let before = in_line(store, endpoint_id).await;
    assert_eq!(before.len(), 4);
    store.hints().try_take();

    let steer = async |steer| match store.steer_replay(replay_id, steer, at(110)).await.unwrap() {
        SteeredReplay::Done(replay) | SteeredReplay::Unchanged(replay) => replay.state,
        other => panic!("{other:?}"),
    };
    assert_eq!(steer(SteerReplay::Pause).await, ReplayState::Paused);
    assert_eq!(steer(SteerReplay::Pause).await, ReplayState::Paused);
    let left = in_line(store, endpoint_id).await;
    assert_eq!(left.len(), 1, "only the one that was asked for by itself");
    assert!(store.payload(left[0].seq).await.unwrap().is_ok());
    for delivery in &before {
        let to_send = store.payload(delivery.seq).await.unwrap().is_ok();
        assert_eq!(to_send, delivery.seq == left[0].seq, "a retry that was planned before is not made");
    }
    let hints = store.hints().try_take().expect("the engine is told").hints;
    assert!(
        hints.contains(&Hint::Endpoint {
            endpoint_id,
            is_held: false,
            settings: EndpointSettings::default()
        }),
        "{hints:?}"
    );

    assert_eq!(steer(SteerReplay::Resume).await, ReplayState::Running);
    let line = in_line(store, endpoint_id).await;
    assert_eq!(line.len(), 4);
    let hints = store.hints().try_take().expect("the engine is told").hints;
    let [Hint::Endpoint { .. }, Hint::Committed(first)] = &hints[..] else { panic!("{hints:?}") };
    assert_eq!(first[..], line[..1]);

    // Paused before it has found anything, it finds nothing.
    end(store, &line, Verdict::Dead).await;
    assert_eq!(store.replay(replay_id).await.unwrap().unwrap().state, ReplayState::Done);
    let replay_id = start(store, dead()).await.replay_id;
    store.steer_replay(replay_id, SteerReplay::Pause, at(110)).await.unwrap();
    assert_eq!(steps(store).await, 0);
    store.steer_replay(replay_id, SteerReplay::Resume, at(110)).await.unwrap();
    assert_eq!(steps(store).await, 1);
    assert_eq!(in_line(store, endpoint_id).await.len(), 4);
}

pub(crate) async fn a_cancelled_replay_takes_back_what_was_not_sent(store: &impl Store) {
    let endpoint_id = listener(store, "pos").await[0].endpoint_id;
    for _ in 0..4 {
        plain(store, at(0)).await;
    }
    let sent = backlog(store).await;
    end(store, &sent[..2], Verdict::Delivered).await;
    end(store, &sent[2..], Verdict::Dead).await;
    let everything = ReplayFilter { endpoint_id: Some(endpoint_id), ..ReplayFilter::default() };
    let replay_id = start(store, request(ReplayKind::SameIds, true, everything)).await.replay_id;
    steps(store).await;
    let line = in_line(store, endpoint_id).await;
    end(store, &line[3..], Verdict::Dead).await;
    let steered = store.steer_replay(replay_id, SteerReplay::Cancel, at(110)).await.unwrap();
    let SteeredReplay::Done(replay) = steered else { panic!("{steered:?}") };
    assert_eq!((replay.state, replay.pending()), (ReplayState::Cancelled, 3));
    assert!(in_line(store, endpoint_id).await.is_empty(), "at once");
    assert_eq!(steps(store).await, 1);
    let replay = store.replay(replay_id).await.unwrap().unwrap();
    assert_eq!((replay.dead, replay.cancelled, replay.pending()), (1, 3, 0));
    let states: Vec<_> = deliveries(store).await.iter().map(|d| d.state).collect();
    // What the partner had acknowledged once stays so.
    let delivered = DeliveryState::Delivered;
    assert_eq!(states, [delivered, delivered, DeliveryState::Cancelled, DeliveryState::Dead]);
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.delivered, counts.cancelled, counts.dead, counts.pending), (2, 1, 1, 0));

    // Attempts that were under way then are logged; and an acknowledgement is one.
    for (i, verdict) in [(0, Verdict::Dead), (2, Verdict::Delivered)] {
        store.record_attempts(vec![attempt(line[i].seq, 2, verdict)], at(120)).await.unwrap();
        store.record_attempts(vec![attempt(line[i].seq, 2, verdict)], at(121)).await.unwrap();
    }
    let all = deliveries(store).await;
    assert_eq!((all[0].state, all[0].attempts), (delivered, 2));
    assert_eq!((all[2].state, all[2].attempts), (delivered, 2));
    assert_eq!((all[1].state, all[1].attempts), (delivered, 1));
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.delivered, counts.cancelled, counts.dead, counts.attempts), (3, 0, 1, 7));

    for (steer, expected) in [
        (SteerReplay::Resume, SteeredReplay::Ended(ReplayState::Cancelled)),
        (SteerReplay::Pause, SteeredReplay::Ended(ReplayState::Cancelled)),
    ] {
        assert_eq!(store.steer_replay(replay_id, steer, at(130)).await.unwrap(), expected);
    }
    let unknown = hookit_contract::ReplayId(77);
    assert_eq!(
        store.steer_replay(unknown, SteerReplay::Cancel, at(130)).await.unwrap(),
        SteeredReplay::NoSuchReplay
    );
    assert_eq!(store.replay(unknown).await.unwrap(), None);
}

pub(crate) async fn a_large_replay_goes_in_small_steps_and_leaves_none_out(store: &impl Store) {
    let endpoint_id = listener(store, "pos").await[0].endpoint_id;
    let creating = (0..1_000).map(|_| plain(store, at(0)));
    join_all(creating).await;
    // One by one, so that none shares a delivery.
    for _ in 0..20 {
        plain(store, at(0)).await;
    }
    let orders = store.counts().await.unwrap().orders;
    end(store, &backlog(store).await, Verdict::Delivered).await;
    let filter = ReplayFilter { endpoint_id: Some(endpoint_id), ..ReplayFilter::default() };
    let replay = start(store, request(ReplayKind::NewIds, false, filter)).await;
    assert_eq!(store.step_replays(at(101)).await.unwrap(), ReplayStep::Made);
    let first = store.replay(replay.replay_id).await.unwrap().unwrap();
    assert!((250..300).contains(&first.queued), "{first:?}");
    assert!(first.looked_to < first.looks_to);
    assert!(steps(store).await >= 3);
    let line = in_line(store, endpoint_id).await;
    let mut told: Vec<_> = carried(store, &line).await.into_iter().map(|(order, ..)| order).collect();
    assert_eq!(told.len() as u64, orders);
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len() as u64, orders, "each order once");
}

pub(crate) async fn replays_are_listed_newest_first_and_only_so_many_are_open(store: &impl Store) {
    listener(store, "pos").await;
    plain(store, at(0)).await;
    end(store, &backlog(store).await, Verdict::Dead).await;
    let first = start(store, dead()).await;
    for _ in 1..OPEN_REPLAYS_MAX {
        start(store, dead()).await;
    }
    assert_eq!(store.start_replay(dead(), at(100)).await.unwrap(), StartReplay::TooMany);
    let page = store.replays(None, 60).await.unwrap();
    let rest = store.replays(Some(page[59].replay_id), 60).await.unwrap();
    assert_eq!(page.len() + rest.len(), OPEN_REPLAYS_MAX);
    let all: Vec<_> = page.iter().chain(&rest).map(|replay| replay.replay_id).collect();
    assert!(all.is_sorted_by(|a, b| a > b) && all.last() == Some(&first.replay_id));
    assert_eq!(rest.last(), Some(&first), "it is as it was asked for");

    // The first one sends it, the others find it in line and have nothing to do.
    steps(store).await;
    let open = store.replays(None, 1000).await.unwrap().into_iter().filter(|r| !r.state.has_ended());
    assert_eq!(open.map(|replay| replay.replay_id).collect::<Vec<_>>(), [first.replay_id]);
    assert_eq!(start(store, dead()).await.state, ReplayState::Running);
}
