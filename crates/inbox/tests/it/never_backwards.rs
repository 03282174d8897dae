//! The view never goes back, whatever arrives in which order (G7).

use crate::harness::{Running, envelope};

/// What a sender tells of an order, in the order in which it happened.
const WITH_VERSIONS: [&str; 4] = [
    r#""status":1,"version":1,"cart":[1]"#,
    r#""status":2,"version":2,"cart":[1]"#,
    r#""status":2,"version":3,"cart":[1,2]"#,
    r#""status":4,"version":4,"cart":[1,2]"#,
];
const WITH_TIMES: [&str; 4] = [
    r#""status":1,"updated_at":"2026-03-01T10:00:00Z""#,
    r#""status":2,"updated_at":"2026-03-01T10:00:00Z""#,
    r#""status":2,"updated_at":"2026-03-01T17:00:07+07:00","cart":[]"#,
    r#""status":1,"updated_at":"2026-03-01T10:00:08Z","comment":"taken back by the source itself""#,
];
const WITH_STATUSES: [&str; 4] = [r#""status":6"#, r#""status":1"#, r#""status":10"#, r#""status":3"#];
/// A sender that forgets one or the other, and never contradicts itself.
const WITH_GAPS: [&str; 4] = [
    r#""status":1,"version":1,"updated_at":2000000000"#,
    r#""status":99,"updated_at":2000000001"#,
    r#""version":7,"status":2,"updated_at":2000000002"#,
    r#""status":4,"updated_at":2000000003"#,
];

/// All orders in which four can come.
fn permutations() -> Vec<[usize; 4]> {
    let all = 0..4;
    let mut found = Vec::new();
    for a in all.clone() {
        for b in all.clone().filter(|b| *b != a) {
            for c in all.clone().filter(|c| *c != a && *c != b) {
                found.push([a, b, c, 6 - a - b - c]);
            }
        }
    }
    found
}

#[tokio::test]
async fn in_whatever_order_an_orders_states_come_the_view_ends_in_the_newest() {
    let inbox = Running::start().await;
    let senders = [WITH_VERSIONS, WITH_TIMES, WITH_STATUSES, WITH_GAPS];
    // One order for each way, and in each delivery one state of every order.
    let orders: Vec<_> = (1..)
        .zip(senders.iter().flat_map(|states| permutations().into_iter().map(move |way| (states, way))))
        .collect();
    assert_eq!(orders.len(), 96);
    let record = |id: i64, fields: &str| format!(r#"{{"id":{id},{fields}}}"#);
    // Each once, and then some of them again as another delivery.
    for turn in [0, 1, 2, 3, 1, 0, 2] {
        let records: Vec<String> =
            orders.iter().map(|(id, (states, way))| record(*id, states[way[turn]])).collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let id = format!("evt_{turn}_{}", inbox.counts().await.received);
        inbox.deliver(&id, &envelope(&records)).await.is(200, r#"{"status":"received"}"#);
    }
    for (id, (states, way)) in &orders {
        assert_eq!(inbox.record(*id).await, record(*id, states[3]), "came in the order {way:?}");
    }
    // Whoever follows the changes sees each order's newest state last.
    let changes = inbox.store.changes(0, 10_000).await.unwrap().changes;
    for (id, (states, way)) in &orders {
        let last = changes.iter().rfind(|change| change.order_id.0 == *id).unwrap();
        assert_eq!(last.record, record(*id, states[3]), "came in the order {way:?}");
    }
}

#[tokio::test]
async fn a_cart_edit_replaces_and_a_cancellation_stays_until_something_newer_comes() {
    let inbox = Running::start().await;
    let mut deliveries = 0;
    let mut deliver = async |orders: &[&str]| {
        deliveries += 1;
        inbox
            .deliver(&format!("evt_{deliveries}"), &envelope(orders))
            .await
            .is(200, r#"{"status":"received"}"#);
    };
    // Where nothing says which is newer, the later one counts, and all of it.
    deliver(&[r#"{"id":7,"status":2,"cart":[1,2],"note":"no onions"}"#]).await;
    deliver(&[r#"{"id":7,"status":2,"cart":[3]}"#, "null", r#"{"id":8,"status":1,"version":1}"#]).await;
    assert_eq!(inbox.record(7).await, r#"{"id":7,"status":2,"cart":[3]}"#);
    assert_eq!(
        inbox.record(8).await,
        r#"{"id":8,"status":1,"version":1}"#,
        "its neighbour could not be read"
    );
    deliver(&[r#"{"id":7,"status":3}"#, r#"{"id":8,"status":3,"version":3}"#]).await;
    deliver(&[r#"{"id":7,"status":4}"#, r#"{"id":7,"status":77}"#, r#"{"id":8,"status":4,"version":2}"#])
        .await;
    assert_eq!(inbox.record(7).await, r#"{"id":7,"status":3}"#);
    assert_eq!(inbox.record(8).await, r#"{"id":8,"status":3,"version":3}"#);
    deliver(&[r#"{"id":8,"status":4,"version":4}"#]).await;
    assert_eq!(inbox.record(8).await, r#"{"id":8,"status":4,"version":4}"#);
}
