use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::convert::Infallible;

use proptest::prelude::*;

use super::*;

const CREATED: EventType = EventType::OrderCreated;
const MOVED: EventType = EventType::OrderStatusUpdated;

/// A registration of a partner of business 1; the endpoint is given, 0 in brand or branch is any.
fn registration(
    id: i64,
    partner: u8,
    endpoint: i64,
    brand: i64,
    branch: i64,
    event_type: EventType,
) -> Registration {
    Registration {
        webhook_id: WebhookId(id),
        endpoint_id: EndpointId(endpoint),
        partner_id: PartnerId::from(format!("ptn_{partner}")),
        business_id: BusinessId(1),
        brand_id: (brand > 0).then_some(BrandId(brand)),
        branch_id: (branch > 0).then_some(BranchId(branch)),
        event_type,
        orders_per_delivery_max: usize::MAX,
    }
}

fn event(record: i64, order: i64, brands: &[i64], event_type: EventType) -> Event {
    Event {
        order_id: OrderId(order),
        business_id: BusinessId(1),
        branch_id: BranchId(1),
        brands: brands.iter().copied().map(BrandId).collect(),
        event_type,
        record_id: record,
        record: Bytes::from_static(&[b' '; 2_000]),
        at: Timestamp::from_millis(record),
    }
}

/// Plans, and writes each delivery as `endpoint/brand: order#record order#record`.
fn check(registrations: &[Registration], events: &[Event], waiting: &[(i64, i64)], expected: &[&str]) {
    let routes = Routes::new(registrations.iter().cloned());
    let planned = plan(events, &routes, 3, |endpoint, order| {
        Ok::<_, Infallible>(waiting.contains(&(endpoint.0, order.0)))
    })
    .unwrap();
    let written: Vec<String> = planned
        .iter()
        .map(|d| {
            let orders: Vec<String> = d.orders.iter().map(|(o, r)| format!("{o}#{r}")).collect();
            format!("{}/{}: {}", d.endpoint_id, d.brand_id, orders.join(" "))
        })
        .collect();
    assert_eq!(written, expected);
}

#[test]
fn one_change_goes_once_to_each_partner_that_registered_for_it() {
    let registrations = [
        registration(1, 1, 10, 0, 0, CREATED),
        registration(2, 1, 10, 0, 0, MOVED),
        registration(3, 2, 20, 7, 1, CREATED),
        registration(4, 3, 30, 8, 0, CREATED),
        registration(5, 3, 30, 7, 2, CREATED),
    ];
    check(&registrations, &[event(1, 100, &[7], CREATED)], &[], &["10/7: 100#1", "20/7: 100#1"]);
    check(&registrations, &[event(1, 100, &[7], MOVED)], &[], &["10/7: 100#1"]);
    check(&registrations, &[event(1, 100, &[7], EventType::OrderCartUpdated)], &[], &[]);
    check(&registrations, &[], &[], &[]);
    let elsewhere = Event { business_id: BusinessId(2), ..event(1, 100, &[7], CREATED) };
    check(&registrations, &[elsewhere], &[], &[]);
}

#[test]
fn orders_of_one_kind_share_a_delivery_up_to_the_limit() {
    let registrations = [registration(1, 1, 10, 0, 0, CREATED)];
    let events: Vec<Event> = (1..=7).map(|i| event(i, 100 + i, &[7], CREATED)).collect();
    check(
        &registrations,
        &events,
        &[],
        &["10/7: 101#1 102#2 103#3", "10/7: 104#4 105#5 106#6", "10/7: 107#7"],
    );
    let mut mixed = events[..3].to_vec();
    mixed[1].branch_id = BranchId(2);
    mixed[2].brands = vec![BrandId(8)];
    check(&registrations, &mixed, &[], &["10/7: 101#1", "10/7: 102#2", "10/8: 103#3"]);
}

#[test]
fn an_order_that_waits_goes_by_itself() {
    let registrations = [registration(1, 1, 10, 0, 0, CREATED)];
    let events: Vec<Event> = (1..=4).map(|i| event(i, 100 + i, &[7], CREATED)).collect();
    check(&registrations, &events, &[(10, 102)], &["10/7: 101#1 103#3 104#4", "10/7: 102#2"]);
    check(&registrations, &events, &[(10, 101)], &["10/7: 101#1", "10/7: 102#2 103#3 104#4"]);
    check(
        &registrations,
        &events,
        &[(10, 101), (10, 102), (99, 103)],
        &["10/7: 101#1", "10/7: 102#2", "10/7: 103#3 104#4"],
    );
}

#[test]
fn whether_an_order_waits_is_asked_only_where_a_batch_would_be_formed() {
    let routes = Routes::new([registration(1, 1, 10, 0, 0, CREATED), registration(2, 1, 10, 0, 0, MOVED)]);
    let asked = |events: &[Event]| {
        let mut asked = 0;
        plan(events, &routes, 50, |_, _| {
            asked += 1;
            Ok::<_, Infallible>(false)
        })
        .unwrap();
        asked
    };
    assert_eq!(
        asked(&[event(1, 100, &[7], CREATED), event(2, 100, &[7], MOVED), event(3, 101, &[7], MOVED)]),
        0
    );
    assert_eq!(
        asked(&[event(1, 100, &[7], CREATED), event(2, 101, &[7], CREATED), event(3, 102, &[7], CREATED)]),
        3
    );
}

#[test]
fn two_orders_that_cross_each_other_do_not_lock_two_batches_against_each_other() {
    // 100 is created before it moves, 101 moves and another 101 event follows: batched by kind alone, the batch of
    // moves would hold 100's later and 101's earlier state, the batch of creations the other way round.
    let registrations = [registration(1, 1, 10, 0, 0, CREATED), registration(2, 1, 10, 0, 0, MOVED)];
    let events = [
        event(1, 100, &[7], CREATED),
        event(2, 101, &[7], MOVED),
        event(3, 100, &[7], MOVED),
        event(4, 101, &[7], CREATED),
    ];
    check(&registrations, &events, &[], &["10/7: 100#1", "10/7: 101#2", "10/7: 100#3", "10/7: 101#4"]);
}

#[test]
fn an_orders_later_event_has_the_higher_number_at_every_url_of_a_partner() {
    // Batched by endpoint alone, 101's move would join 100's, which comes before 101's creation.
    let registrations = [registration(1, 1, 10, 0, 0, CREATED), registration(2, 1, 11, 0, 0, MOVED)];
    let events = [event(1, 100, &[7], MOVED), event(2, 101, &[7], CREATED), event(3, 101, &[7], MOVED)];
    check(&registrations, &events, &[], &["11/7: 100#1", "10/7: 101#2", "11/7: 101#3"]);
    // Another partner's batch is its own affair; and one event's brands are of one round where their URLs differ.
    let registrations = [
        registration(1, 1, 10, 7, 0, CREATED),
        registration(2, 1, 11, 8, 0, CREATED),
        registration(3, 2, 20, 0, 0, MOVED),
    ];
    let events = [event(1, 100, &[7, 8], CREATED), event(2, 101, &[8], CREATED), event(3, 101, &[8], MOVED)];
    check(&registrations, &events, &[], &["10/7: 100#1", "11/8: 100#1 101#2", "20/8: 101#3"]);
}

#[test]
fn orders_that_wait_for_the_same_delivery_go_on_together_and_others_apart() {
    let registrations = [registration(1, 1, 10, 0, 0, CREATED), registration(2, 1, 10, 0, 0, MOVED)];
    let events = [
        event(1, 100, &[7], CREATED),
        event(2, 101, &[7], CREATED),
        event(3, 102, &[7], MOVED),
        event(4, 100, &[7], MOVED),
        event(5, 101, &[7], MOVED),
        event(6, 102, &[7], MOVED),
    ];
    check(
        &registrations,
        &events,
        &[],
        &["10/7: 100#1 101#2", "10/7: 102#3", "10/7: 100#4 101#5", "10/7: 102#6"],
    );
}

#[test]
fn the_brands_of_an_order_follow_each_other_at_an_endpoint() {
    let registrations = [registration(1, 1, 10, 0, 0, CREATED), registration(2, 1, 10, 8, 0, CREATED)];
    let events = [event(1, 100, &[8, 7], CREATED), event(2, 101, &[7, 8], CREATED)];
    check(&registrations, &events, &[], &["10/8: 100#1", "10/7: 101#2", "10/7: 100#1", "10/8: 101#2"]);
}

/// The registration that should serve, by comparing all of them: nothing is shared with the code under test.
fn serving<'r>(registrations: &'r [Registration], event: &Event, brand: BrandId) -> Vec<&'r Registration> {
    let partners: BTreeSet<&PartnerId> = registrations.iter().map(|r| &r.partner_id).collect();
    partners
        .into_iter()
        .filter_map(|partner| {
            registrations
                .iter()
                .filter(|r| r.partner_id == *partner && r.event_type == event.event_type)
                .filter(|r| r.brand_id.is_none_or(|b| b == brand))
                .filter(|r| r.branch_id.is_none_or(|b| b == event.branch_id))
                .max_by_key(|r| (r.brand_id.is_some(), r.branch_id.is_some()))
        })
        .collect()
}

fn registrations() -> impl Strategy<Value = Vec<Registration>> {
    proptest::collection::vec((0..3u8, 0..2i64, 0..3i64, 0..3i64, 0..3usize), 0..16).prop_map(|rows| {
        let mut seen = HashSet::new();
        (1..)
            .zip(rows)
            .filter(|(_, (partner, _, brand, branch, kind))| seen.insert((*partner, *brand, *branch, *kind)))
            .map(|(id, (partner, url, brand, branch, kind))| {
                let endpoint = i64::from(partner) * 10 + url;
                registration(id, partner, endpoint, brand, branch, EventType::ALL[kind])
            })
            .collect()
    })
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    proptest::collection::vec((1..6i64, 0..3usize), 0..40).prop_map(|rows| {
        (1..)
            .zip(rows)
            .map(|(record, (order, kind))| {
                // An order's brands and branch stay what they are.
                let brands: &[i64] = [&[1][..], &[2], &[1, 2], &[2, 1], &[3]][order as usize - 1];
                Event {
                    branch_id: BranchId(order % 2 + 1),
                    ..event(record, order, brands, EventType::ALL[kind])
                }
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn every_event_reaches_whom_it_should_in_order_and_no_one_else(
        registrations in registrations(),
        events in events(),
        waiting in proptest::collection::hash_set((0..22i64, 1..6i64), 0..12),
        orders_max in 1..5usize,
    ) {
        let routes = Routes::new(registrations.iter().cloned());
        let planned = plan(&events, &routes, orders_max, |endpoint, order| {
            Ok::<_, Infallible>(waiting.contains(&(endpoint.0, order.0)))
        }).unwrap();

        // Exactly what should be served is served.
        let mut expected = Vec::new();
        for event in &events {
            for brand in &event.brands {
                for r in serving(&registrations, event, *brand) {
                    expected.push((event.record_id, brand.0, r.webhook_id.0, r.endpoint_id.0, event.order_id.0));
                }
            }
        }
        let mut served = Vec::new();
        for delivery in &planned {
            for (order, record) in &delivery.orders {
                served.push((*record, delivery.brand_id.0, delivery.webhook_id.0, delivery.endpoint_id.0, order.0));
            }
        }
        expected.sort_unstable();
        served.sort_unstable();
        prop_assert_eq!(served, expected);

        let mut latest: BTreeMap<(EndpointId, OrderId), (i64, usize)> = BTreeMap::new();
        let mut latest_of_partner: BTreeMap<(i64, OrderId), i64> = BTreeMap::new();
        for (d, delivery) in planned.iter().enumerate() {
            let orders: HashSet<OrderId> = delivery.orders.iter().map(|(order, _)| *order).collect();
            prop_assert_eq!(orders.len(), delivery.orders.len(), "no order twice");
            prop_assert!((1..=orders_max).contains(&orders.len()));
            prop_assert_eq!(delivery.at.as_millis(), delivery.orders.iter().map(|(_, r)| *r).max().unwrap());
            let mut behind = HashSet::new();
            for (order, record) in &delivery.orders {
                let event = &events[*record as usize - 1];
                prop_assert_eq!((event.order_id, event.event_type), (*order, delivery.event_type));
                prop_assert_eq!(event.branch_id, delivery.branch_id);
                let before = latest.insert((delivery.endpoint_id, *order), (*record, d));
                prop_assert!(before.is_none_or(|(earlier, _)| earlier <= *record), "an order's events keep their order");
                // Endpoints are numbered by tens from partner to partner.
                let told = latest_of_partner.insert((delivery.endpoint_id.0 / 10, *order), *record);
                prop_assert!(told.is_none_or(|earlier| earlier <= *record), "whatever the partner's URLs");
                behind.insert(before.map(|(_, delivery)| delivery));
                if waiting.contains(&(delivery.endpoint_id.0, order.0)) {
                    prop_assert_eq!(orders.len(), 1, "who waits goes alone");
                }
            }
            prop_assert_eq!(behind.len(), 1, "nobody waits for a stranger's delivery");
        }
    }
}
