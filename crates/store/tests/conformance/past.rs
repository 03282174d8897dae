//! The platform's store: orders as people look for them, and the figures of the past.

use std::time::Duration;

use hookit_contract::{Actor, EndpointId, EventType, KnownStatus, OrderId, OrderStatus, Timestamp};
use hookit_store::platform::{PastFigures, PastQuery, PastTimes, Span, Store};

use crate::fixture::*;

const BRAND: &str = r#"[{"id":663}]"#;

pub(crate) async fn an_order_is_found_by_its_names_and_by_how_they_begin(store: &impl Store) {
    let long = "x".repeat(256);
    let mut ids = Vec::new();
    for more in [
        r#","external_id":"GF-1001","short_id":"101","identity":"ไทย""#.to_owned(),
        r#","external_id":"GF-1002","short_id":101,"identity":"""#.to_owned(),
        format!(r#","external_id":"{long}","short_id":"GF-1001","identity":null"#),
        r#","external_id":"GF-1003","short_id":"GF-1003""#.to_owned(),
    ] {
        ids.push(create(store, order_of(BRAND, &more), at(0)).await.order_id);
    }
    let found = async |name: &str, limit| store.orders_named(name, limit).await.unwrap();
    assert_eq!(found("GF-1001", 9).await, [ids[2], ids[0]], "the newest first");
    assert_eq!(found("101", 9).await, [ids[1], ids[0]]);
    assert_eq!(found("ไทย", 9).await, [ids[0]]);
    assert_eq!(found("GF-10", 9).await, [ids[0], ids[2], ids[1], ids[3]]);
    assert_eq!(found("GF-10", 2).await.len(), 2);
    assert_eq!(found("GF-1003", 9).await, [ids[3]], "once, though it has the name twice");
    for nothing in ["gf-1001", "GF-2", &long, "%", "G_", ""] {
        assert_eq!(found(nothing, 9).await.len(), if nothing.is_empty() { 4 } else { 0 }, "{nothing}");
    }
    done(store, moved(ids[0], KnownStatus::Accepted), at(1)).await;
    assert_eq!(found("ไทย", 9).await, [ids[0]]);
}

pub(crate) async fn the_orders_that_changed_last_come_first_and_once(store: &impl Store) {
    assert!(store.orders_lately(9, 1 << 20).await.unwrap().is_empty());
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(plain(store, at(n)).await.order_id);
    }
    for status in [KnownStatus::Accepted, KnownStatus::Ready] {
        done(store, moved(ids[0], status), at(7)).await;
    }
    let lately = store.orders_lately(9, 1 << 20).await.unwrap();
    let said: Vec<_> = lately.iter().map(|one| (one.order.order_id, one.changed_at)).collect();
    assert_eq!(said, [(ids[0], at(7)), (ids[2], at(2)), (ids[1], at(1))]);
    assert_eq!((lately[0].order.version, lately[0].order.status), (3, KnownStatus::Ready.into()));
    assert_eq!(store.orders_lately(2, 1 << 20).await.unwrap().len(), 2);

    // Where the records are large there are fewer.
    let two = lately[0].order.record.len() + 1;
    assert_eq!(store.orders_lately(9, two).await.unwrap().len(), 2);
    assert_eq!(store.orders_of_branch(BRANCH, 9, two).await.unwrap().len(), 2);
    assert_eq!(store.orders_of_branch(BRANCH, 9, 1 << 20).await.unwrap().len(), 3);
}

pub(crate) async fn what_happened_to_an_order_is_told_with_its_records(store: &impl Store) {
    let first = plain(store, at(0)).await;
    plain(store, at(1)).await;
    let second = done(store, moved(first.order_id, KnownStatus::Accepted), at(2)).await;
    let events = store.events_of_order(first.order_id, 9, 1 << 20).await.unwrap();
    assert_eq!(events.iter().map(|event| event.version).collect::<Vec<_>>(), [2, 1]);
    let [moved, created] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&moved.record, &created.record), (&Some(second.record), &Some(first.record.clone())));
    assert_eq!(
        (moved.event_type, created.event_type),
        (EventType::OrderStatusUpdated, EventType::OrderCreated)
    );
    assert_eq!(moved.status_from, Some(OrderStatus::from(KnownStatus::Placed)));
    assert_eq!((moved.status, created.status_from), (KnownStatus::Accepted.into(), None));
    assert_eq!((moved.actor, moved.created_at, moved.occurred_at), (Actor::Operator, at(2), None));
    assert_eq!(store.events_of_order(first.order_id, 1, 1 << 20).await.unwrap().len(), 1);
    // Where the records are large, those of older events are left out.
    let events = store.events_of_order(first.order_id, 9, 1).await.unwrap();
    assert_eq!(events.iter().map(|event| event.record.is_some()).collect::<Vec<_>>(), [true, false]);
    assert!(store.events_of_order(OrderId(404), 9, 1 << 20).await.unwrap().is_empty());
}

fn past(endpoint: Option<i64>, span: Span, began_at: Timestamp, n: u64) -> PastFigures {
    PastFigures {
        endpoint_id: endpoint.map(EndpointId),
        span,
        began_at,
        events: n,
        delivered: 2 * n,
        attempts: 4 * n,
        acknowledged: 3 * n,
        dead: n,
        pending: 7 * n,
        times: (n > 0).then_some(PastTimes { p50_us: n, p95_us: 10 * n, p99_us: 100 * n }),
    }
}

pub(crate) async fn minutes_add_up_and_are_forgotten_when_no_chart_shows_them(store: &impl Store) {
    let day = Duration::from_secs(86_400);
    let began = Span::Quarter.beginning(Timestamp::from_millis(1_800_000_123_456));
    let minute = |n| began.plus(Duration::from_secs(60 * n));
    let read = async |endpoint: Option<i64>, span| {
        let query = PastQuery { endpoint_id: endpoint.map(EndpointId), span, since: began };
        store.past(query).await.unwrap()
    };
    for n in [1, 2] {
        let figures = vec![
            past(None, Span::Minute, minute(n), n),
            past(None, Span::Quarter, began, n),
            past(Some(1), Span::Quarter, began, n),
        ];
        store.note_past(figures, minute(n + 1)).await.unwrap();
    }
    assert_eq!(
        read(None, Span::Minute).await,
        [past(None, Span::Minute, minute(1), 1), past(None, Span::Minute, minute(2), 2)]
    );
    // Counts are added; what is of the whole stretch is said anew each time, and stays where nothing was said.
    let sum = |endpoint| PastFigures {
        pending: 14,
        times: past(endpoint, Span::Quarter, began, 2).times,
        ..past(endpoint, Span::Quarter, began, 3)
    };
    assert_eq!(read(None, Span::Quarter).await, [sum(None)]);
    assert_eq!(read(Some(1), Span::Quarter).await, [sum(Some(1))]);
    store.note_past(vec![past(None, Span::Quarter, began, 0)], minute(4)).await.unwrap();
    assert_eq!(read(None, Span::Quarter).await, [PastFigures { pending: 0, ..sum(None) }]);
    assert!(read(Some(2), Span::Quarter).await.is_empty());

    store.note_past(vec![], began.plus(day)).await.unwrap();
    assert_eq!(read(None, Span::Minute).await.len(), 2);
    store.note_past(vec![], began.plus(day + Duration::from_secs(3780))).await.unwrap();
    assert!(read(None, Span::Minute).await.is_empty() && read(Some(1), Span::Quarter).await.is_empty());
    store.note_past(vec![], began.plus(7 * day)).await.unwrap();
    assert_eq!(read(None, Span::Quarter).await.len(), 1);
    store.note_past(vec![], began.plus(9 * day)).await.unwrap();
    assert!(read(None, Span::Quarter).await.is_empty());
}
