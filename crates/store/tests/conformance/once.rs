//! What an operator or a surface asks for under a key is done once, and said again as it was said first.

use hookit_contract::{BrandId, BusinessId, KnownStatus, OrderId, Timestamp, TokenId};
use hookit_store::platform::{
    Brand, Business, Change, Changed, KEYS_KEPT, Once, OperatorKey, Store, StoredOrder,
};

use crate::expiry::expire;
use crate::fixture::*;

/// Asks under a key of the first operator's; `what` stands for what is asked for.
async fn ask(store: &impl Store, key: &str, what: u8, change: Change, now: Timestamp) -> Once<Changed> {
    ask_as(store, 0, key, what, change, now).await
}

async fn ask_as(
    store: &impl Store,
    token_id: i64,
    key: &str,
    what: u8,
    change: Change,
    now: Timestamp,
) -> Once<Changed> {
    let key = OperatorKey { token_id: TokenId(token_id), key: key.to_owned(), request_hash: [what; 32] };
    store.change_once(key, change, now).await.unwrap()
}

fn made(once: Once<Changed>) -> StoredOrder {
    match once {
        Once::Done(Changed::Done(order)) => order,
        other => panic!("{other:?}"),
    }
}

fn new_order(more: &str) -> Change {
    Change::Create { record: order_of(r#"[{"id":663}]"#, more) }
}

/// All of it, as text: neither outcomes nor orders can be compared.
fn said(once: &Once<Changed>) -> String {
    format!("{once:?}")
}

pub(crate) async fn a_change_under_a_key_is_made_once_and_answered_alike(store: &impl Store) {
    listener(store, "pos").await;
    let first = made(ask(store, "a", 1, new_order(""), at(0)).await);
    let again = made(ask(store, "a", 1, new_order(""), at(1)).await);
    assert_eq!((again.order_id, again.version, &again.record), (first.order_id, 1, &first.record));
    assert!(matches!(ask(store, "a", 2, new_order(""), at(1)).await, Once::KeyTaken));
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.orders, counts.events), (1, 1));

    // Of two at one time, in one tick or two, one acts.
    let (a, b) =
        tokio::join!(ask(store, "b", 1, new_order(""), at(2)), ask(store, "b", 1, new_order(""), at(2)),);
    assert_eq!(made(a).order_id, made(b).order_id);
    assert_eq!(store.counts().await.unwrap().orders, 2);

    let accept = || moved(first.order_id, KnownStatus::Accepted);
    let accepted = ask(store, "c", 3, accept(), at(3)).await;
    done(store, moved(first.order_id, KnownStatus::Ready), at(4)).await;
    assert_eq!(said(&ask(store, "c", 3, accept(), at(5)).await), said(&accepted));
    // What changed nothing is no change the next time either.
    let unchanged = ask(store, "d", 4, moved(first.order_id, KnownStatus::Ready), at(6)).await;
    assert!(
        matches!(&unchanged, Once::Done(Changed::Unchanged(order)) if order.version == 3),
        "{unchanged:?}"
    );
    let cart = || edit(first.order_id, r#"{"cart":[1]}"#);
    let edited = ask(store, "e", 5, cart(), at(7)).await;
    done(store, edit(first.order_id, r#"{"cart":[2]}"#), at(8)).await;
    assert_eq!(said(&ask(store, "e", 5, cart(), at(9)).await), said(&edited));
    let again = ask(store, "d", 4, moved(first.order_id, KnownStatus::Ready), at(9)).await;
    assert_eq!(said(&again), said(&unchanged));
    assert_eq!(store.order(first.order_id).await.unwrap().unwrap().version, 5);
}

pub(crate) async fn what_was_refused_is_refused_alike_whatever_happened_since(store: &impl Store) {
    let order = plain(store, at(0)).await.order_id;
    done(store, moved(order, KnownStatus::Ready), at(1)).await;
    let id = format!(r#","id":{order}"#);
    let asked = || {
        [
            ("backward", moved(order, KnownStatus::Accepted)),
            ("taken", new_order(&id)),
            ("nobody", moved(OrderId(4_040_404), KnownStatus::Accepted)),
        ]
    };
    let mut first = Vec::new();
    for (key, change) in asked() {
        first.push(said(&ask(store, key, 1, change, at(2)).await));
    }
    done(store, moved(order, KnownStatus::Cancelled), at(3)).await;
    plain(store, at(3)).await;
    for ((key, change), first) in asked().into_iter().zip(&first) {
        assert_eq!(said(&ask(store, key, 1, change, at(4)).await), *first, "{key}");
    }
    assert!(first[0].contains("Backward"), "{first:?}");
    let cart = || edit(order, r#"{"cart":[1]}"#);
    let last = said(&ask(store, "final", 1, cart(), at(5)).await);
    assert!(last.contains("CartFinal"), "{last}");
    assert_eq!(said(&ask(store, "final", 1, cart(), at(6)).await), last);
    assert!(matches!(ask(store, "final", 2, cart(), at(6)).await, Once::KeyTaken));
}

pub(crate) async fn a_record_that_is_none_leaves_no_key(store: &impl Store) {
    let hierarchy = |brand| Business {
        business_id: BusinessId(9),
        name: "Warung".to_owned(),
        brands: vec![Brand { brand_id: BrandId(brand), title: "Sate".to_owned(), branches: vec![BRANCH] }],
    };
    let incomplete = Change::Create { record: record("{}") };
    let refused = ask(store, "a", 1, incomplete, at(0)).await;
    assert!(matches!(refused, Once::Done(Changed::Invalid(_))), "{refused:?}");
    store.put_business(hierarchy(5)).await.unwrap();
    let refused = ask(store, "a", 2, new_order(""), at(1)).await;
    assert!(matches!(refused, Once::Done(Changed::Invalid(_))), "{refused:?}");
    store.put_business(hierarchy(663)).await.unwrap();
    made(ask(store, "a", 2, new_order(""), at(2)).await);
}

pub(crate) async fn a_key_is_an_operators_own_for_a_day_and_its_record_stays_as_long(store: &impl Store) {
    let day = i64::try_from(KEYS_KEPT.as_millis()).unwrap();
    let first = made(ask(store, "a", 1, new_order(""), at(0)).await);
    let of_another = made(ask_as(store, 7, "a", 2, new_order(""), at(0)).await);
    assert_ne!(first.order_id, of_another.order_id);
    // The record is not the newest any more, and its event is gone.
    done(store, moved(first.order_id, KnownStatus::Accepted), at(1)).await;
    expire(store, at(10)).await;
    assert_eq!(store.counts().await.unwrap().events, 0);
    assert_eq!(made(ask(store, "a", 1, new_order(""), at(day - 1)).await).record, first.record);
    assert_ne!(made(ask(store, "a", 1, new_order(""), at(day)).await).order_id, first.order_id);
}
