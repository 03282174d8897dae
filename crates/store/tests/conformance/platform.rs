//! The platform's store: orders, deliveries, attempts.

use std::collections::BTreeSet;

use bytes::Bytes;
use hookit_contract::{
    Actor, BranchId, BrandId, DeliveryId, DeliverySeq, DeliveryState, EventType, KnownStatus, MoveRefusal,
    OWNED_FIELDS, OrderId, OrderStatus, Timestamp, envelope_bytes,
};
use hookit_store::Error;
use hookit_store::hints::Hint;
use hookit_store::platform::{
    ATTEMPTS_SHOWN_MAX, Change, Changed, Counts, DeliveryQuery, EndpointSettings, Invalid, OrderQuery,
    OrderSearch, RECORD_BYTES_MAX, Reason, Store, Verdict,
};

use crate::fixture::*;

pub(crate) async fn a_new_order_has_the_fields_that_the_platform_owns(store: &impl Store) {
    let given = order_of(r#"[{"id":663}]"#, r#","status":null,"version":77,"can_void":true"#);
    let order = create(store, given.clone(), at(5)).await;
    assert_eq!((order.version, order.status), (1, KnownStatus::Placed.into()));
    assert_eq!((order.business_id, order.branch_id), (BUSINESS, BRANCH));
    assert!(order.order_id.0 > 1_000_000);
    let stored = hookit_contract::Record::parse(order.record.clone()).unwrap();
    assert_eq!(stored.id().unwrap(), Some(order.order_id));
    assert_eq!(stored.version(), Some(1));
    assert_eq!(stored.updated_at(), Some(at(5)));
    assert_eq!(stored.get("can_void"), Some("false"));
    for field in OWNED_FIELDS {
        assert!(stored.get(field).is_some(), "{field}");
    }
    for name in given.names().filter(|n| !OWNED_FIELDS.contains(&n.as_ref())) {
        assert_eq!(stored.get(&name), given.get(&name));
    }
    assert_eq!(store.order(order.order_id).await.unwrap().unwrap().record, order.record);
    assert!(store.order(OrderId(5)).await.unwrap().is_none());
    let scheduled = create(store, order_of(r#"[{"id":663}]"#, r#","status":6"#), at(5)).await;
    assert_eq!(scheduled.status, KnownStatus::Scheduled.into());
}

pub(crate) async fn of_many_changes_in_one_each_has_its_outcome_and_a_refused_one_stops_none(
    store: &impl Store,
) {
    let with_id = |id: i64| Change::Create { record: order_of(r#"[{"id":663}]"#, &format!(r#","id":{id}"#)) };
    let changes = vec![
        with_id(1),
        Change::Create { record: record("{}") },
        with_id(1),
        moved(OrderId(1), KnownStatus::Accepted),
        moved(OrderId(9), KnownStatus::Accepted),
        with_id(2),
    ];
    let changed = store.changes(changes, at(0)).await.unwrap();
    let [a, b, c, d, e, f] = &changed[..] else { panic!("{changed:?}") };
    assert!(matches!(a, Changed::Done(order) if order.order_id == OrderId(1)), "{a:?}");
    assert!(matches!(b, Changed::Invalid(_)), "{b:?}");
    assert!(matches!(c, Changed::IdTaken(OrderId(1))), "{c:?}");
    assert!(matches!(d, Changed::Done(order) if order.version == 2), "{d:?}");
    assert!(matches!(e, Changed::NoSuchOrder), "{e:?}");
    assert!(matches!(f, Changed::Done(order) if order.order_id == OrderId(2)), "{f:?}");
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.orders, counts.events), (2, 3));
}

pub(crate) async fn an_id_is_kept_where_it_is_free(store: &impl Store) {
    let with_id = |id: i64| order_of(r#"[{"id":663}]"#, &format!(r#","id":{id}"#));
    assert_eq!(create(store, with_id(42), at(0)).await.order_id, OrderId(42));
    assert_eq!(plain(store, at(0)).await.order_id, OrderId(1_000_001));
    assert_eq!(create(store, with_id(7_585_307), at(0)).await.order_id, OrderId(7_585_307));
    assert_eq!(plain(store, at(0)).await.order_id, OrderId(7_585_308));
    // An id beyond what JavaScript can count must not draw all later ones there.
    assert_eq!(create(store, with_id(i64::MAX), at(0)).await.order_id, OrderId(i64::MAX));
    assert_eq!(plain(store, at(0)).await.order_id, OrderId(7_585_309));
    let before = store.order(OrderId(42)).await.unwrap().unwrap();
    let again = store.change(Change::Create { record: with_id(42) }, at(9)).await.unwrap();
    assert!(matches!(again, Changed::IdTaken(OrderId(42))), "{again:?}");
    assert_eq!(store.order(OrderId(42)).await.unwrap().unwrap().record, before.record);
    assert_eq!(store.counts().await.unwrap().orders, 6);
}

pub(crate) async fn a_record_that_cannot_be_an_order_is_refused_by_its_field_and_leaves_nothing(
    store: &impl Store,
) {
    listener(store, "pos").await;
    for (text, message) in [
        ("{}", "business_id: missing"),
        (r#"{"business_id":9,"brands":[{"id":1}]}"#, "branch_id: missing"),
        (r#"{"business_id":9,"branch_id":1}"#, "brands: missing"),
        (r#"{"business_id":9,"branch_id":1,"brands":null}"#, "brands: missing"),
        (r#"{"business_id":9,"branch_id":1,"brands":[]}"#, "brands: expected"),
        (r#"{"business_id":9,"branch_id":1,"brands":[{}]}"#, "brands[0].id: missing"),
        (r#"{"business_id":"9","branch_id":1,"brands":[{"id":1}]}"#, "business_id: expected"),
        (r#"{"business_id":9,"branch_id":1,"brands":[{"id":1}],"id":-4}"#, "id: expected"),
        (r#"{"business_id":9,"branch_id":1,"brands":[{"id":1}],"status":"PLACED"}"#, "status: expected"),
        (r#"{"business_id":9,"branch_id":1,"brands":[{"id":1}],"status":5}"#, "may not begin as DELIVERED"),
        (r#"{"business_id":9,"branch_id":1,"brands":[{"id":1}],"status":99}"#, "may not begin as UNKNOWN_99"),
        (
            r#"{"business_id":9,"branch_id":1,"brands":[{"id":1}],"status":1,"status":2}"#,
            "status: given more",
        ),
        (r#"{"business_id":9,"branch_id":1,"brands":[{"id":1}],"type":1,"type":2}"#, "type: given more"),
    ] {
        match store.change(Change::Create { record: record(text) }, at(0)).await.unwrap() {
            Changed::Invalid(invalid) => {
                let told: Vec<String> = invalid.iter().map(ToString::to_string).collect();
                assert!(told.len() == 1 || text == "{}", "{text}: {told:?}");
                assert!(told[0].contains(message), "{text}: {told:?}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    assert_eq!(store.counts().await.unwrap(), Counts::default());
    assert!(backlog(store).await.is_empty());
}

pub(crate) async fn an_order_moves_as_the_table_says(store: &impl Store) {
    listener(store, "pos").await;
    let placed = plain(store, at(0)).await;
    let id = placed.order_id;
    let accepted = done(store, moved(id, KnownStatus::Accepted), at(1)).await;
    assert_eq!((accepted.version, accepted.status), (2, KnownStatus::Accepted.into()));
    let again = store.change(moved(id, KnownStatus::Accepted), at(2)).await.unwrap();
    match again {
        Changed::Unchanged(order) => assert_eq!(order.record, accepted.record),
        other => panic!("{other:?}"),
    }
    let back = store.change(moved(id, KnownStatus::Placed), at(3)).await.unwrap();
    assert!(matches!(back, Changed::MoveRefused(MoveRefusal::Backward { .. })), "{back:?}");
    let not_theirs = Change::Move {
        order_id: id,
        to: KnownStatus::Delivered,
        actor: Actor::Partner,
        reason: None,
        occurred_at: None,
    };
    let refused = store.change(not_theirs, at(3)).await.unwrap();
    assert!(matches!(refused, Changed::MoveRefused(MoveRefusal::NotForPartners { .. })), "{refused:?}");
    let none = store.change(moved(OrderId(5), KnownStatus::Ready), at(3)).await.unwrap();
    assert!(matches!(none, Changed::NoSuchOrder), "{none:?}");
    assert_eq!(store.order(id).await.unwrap().unwrap().record, accepted.record);
    // Only what was done fires: the creation and one move.
    assert_eq!(backlog(store).await.len(), 2);
    assert_eq!(store.counts().await.unwrap().events, 2);
}

pub(crate) async fn a_cancellation_keeps_its_reason(store: &impl Store) {
    let first = plain(store, at(0)).await.order_id;
    let order = done(store, cancelled(first, Reason::Code(12)), at(1)).await;
    let stored = hookit_contract::Record::parse(order.record).unwrap();
    assert_eq!(stored.get("cancellation_reason_id"), Some("12"));
    let second = plain(store, at(0)).await.order_id;
    let order = done(store, cancelled(second, Reason::Text("sold \"out\"".to_owned())), at(1)).await;
    let stored = hookit_contract::Record::parse(order.record).unwrap();
    assert_eq!(stored.get("cancellation_reason"), Some(r#""sold \"out\"""#));
    assert_eq!(stored.get("cancellation_reason_id"), None);
}

pub(crate) async fn a_cart_edit_replaces_fields_until_the_order_has_ended(store: &impl Store) {
    listener(store, "pos").await;
    let id = create(store, order_of(r#"[{"id":663}]"#, r#","cart":[{"a":1}]"#), at(0)).await.order_id;
    let edited =
        done(store, edit(id, r#"{"cart":[{"b":2.50}],"item_count":1,"version":9,"id":3}"#), at(1)).await;
    assert_eq!((edited.order_id, edited.version, edited.status), (id, 2, KnownStatus::Placed.into()));
    let stored = hookit_contract::Record::parse(edited.record.clone()).unwrap();
    assert_eq!(stored.get("cart"), Some(r#"[{"b":2.50}]"#));
    assert_eq!(stored.get("item_count"), Some("1"));
    assert_eq!((stored.version(), stored.id().unwrap()), (Some(2), Some(id)));
    let again = store.change(edit(id, r#"{"cart":[{"b":2.50}],"version":9}"#), at(2)).await.unwrap();
    assert!(matches!(again, Changed::Unchanged(ref order) if order.record == edited.record), "{again:?}");
    done(store, moved(id, KnownStatus::Delivered), at(3)).await;
    let late = store.change(edit(id, r#"{"cart":[]}"#), at(4)).await.unwrap();
    assert!(matches!(late, Changed::CartFinal(OrderStatus::Known(KnownStatus::Delivered))), "{late:?}");
    let none = store.change(edit(OrderId(5), r#"{"cart":[]}"#), at(4)).await.unwrap();
    assert!(matches!(none, Changed::NoSuchOrder), "{none:?}");
    let mut types = Vec::new();
    for delivery in backlog(store).await {
        types.push(store.payload(delivery.seq).await.unwrap().unwrap().event_type);
    }
    assert_eq!(types, [EventType::OrderCreated, EventType::OrderCartUpdated, EventType::OrderStatusUpdated]);
}

pub(crate) async fn a_cart_edit_may_not_take_an_order_elsewhere(store: &impl Store) {
    let order = plain(store, at(0)).await;
    for (fields, field) in [
        (r#"{"cart":[],"business_id":10}"#, "business_id"),
        (r#"{"cart":[],"branch_id":"x"}"#, "branch_id"),
        (r#"{"cart":[],"brands":[]}"#, "brands"),
    ] {
        match store.change(edit(order.order_id, fields), at(1)).await.unwrap() {
            Changed::Invalid(invalid) => assert_eq!(invalid[0].field(), Some(field)),
            other => panic!("{other:?}"),
        }
    }
    done(store, edit(order.order_id, r#"{"cart":[],"branch_id":1062}"#), at(1)).await;
}

pub(crate) async fn a_clock_that_steps_back_does_not_make_a_later_state_look_older(store: &impl Store) {
    let id = plain(store, at(1000)).await.order_id;
    let order = done(store, moved(id, KnownStatus::Accepted), at(0)).await;
    let stored = hookit_contract::Record::parse(order.record).unwrap();
    assert_eq!(stored.updated_at(), Some(at(1000)));
    let order = done(store, moved(id, KnownStatus::Ready), at(2000)).await;
    let stored = hookit_contract::Record::parse(order.record).unwrap();
    assert_eq!(stored.updated_at(), Some(at(2000)));
    assert_eq!(stored.get("created_at"), Some(format!("\"{}\"", at(1000)).as_str()));
}

pub(crate) async fn an_order_of_several_brands_is_delivered_for_each(store: &impl Store) {
    store.add_partner(partner("pos", BUSINESS)).await.unwrap();
    for brand in [664, 663] {
        register(
            store,
            registration("pos", Some(BrandId(brand)), None, EventType::OrderCreated, "https://pos.example"),
        )
        .await;
    }
    let order = create(store, order_of(r#"[{"id":663},{"id":5},{"id":664}]"#, ""), at(0)).await;
    let mut bodies = Vec::new();
    for delivery in backlog(store).await {
        assert_eq!(&delivery.orders[..], [order.order_id]);
        bodies.push(store.payload(delivery.seq).await.unwrap().unwrap().body);
    }
    let body = |brand| envelope_bytes(BrandId(brand), BRANCH, std::slice::from_ref(&order.record));
    assert_eq!(bodies, [body(663), body(664)]);
}

pub(crate) async fn a_delivery_carries_the_records_bytes_and_keeps_them(store: &impl Store) {
    let webhooks = listener(store, "pos").await;
    let order = plain(store, at(7)).await;
    let pending = backlog(store).await;
    assert_eq!(pending.len(), 1);
    let first = store.payload(pending[0].seq).await.unwrap().unwrap();
    assert_eq!(first.body, envelope_bytes(BRAND, BRANCH, std::slice::from_ref(&order.record)));
    assert_eq!(first.webhook_id, webhooks[0].webhook_id);
    assert_eq!(first.partner_id, webhooks[0].partner_id);
    assert_eq!(first.url, webhooks[0].url);
    assert_eq!(first.webhook_secret, "sealed pos");
    assert_eq!((first.basic_auth, first.created_at), (None, at(7)));
    assert!(first.delivery_id.as_str().starts_with("evt_"));
    done(store, moved(order.order_id, KnownStatus::Accepted), at(8)).await;
    let again = store.payload(pending[0].seq).await.unwrap().unwrap();
    assert_eq!((again.body, again.delivery_id), (first.body, first.delivery_id));
    assert!(store.payload(DeliverySeq(1_000)).await.unwrap().is_err());
}

pub(crate) async fn an_attempt_moves_its_delivery_on_once(store: &impl Store) {
    listener(store, "pos").await;
    for _ in 0..2 {
        plain(store, at(0)).await;
    }
    let (first, second) = (backlog(store).await[0].seq, backlog(store).await[1].seq);
    let retry = attempt(first, 1, Verdict::RetryAt { at: at(5_000), counted: true });
    store.record_attempts(vec![retry.clone()], at(11)).await.unwrap();
    let waiting = backlog(store).await;
    assert_eq!((waiting[0].attempts, waiting[0].due), (1, at(5_000)));
    assert_eq!((waiting[1].attempts, waiting[1].due), (0, at(0)));
    // The same attempt again, whatever it says, changes nothing.
    store.record_attempts(vec![attempt(first, 1, Verdict::Dead)], at(12)).await.unwrap();
    assert_eq!(backlog(store).await, waiting);

    let last = attempt(first, 2, Verdict::Delivered);
    let dead = attempt(second, 1, Verdict::Dead);
    store.record_attempts(vec![last.clone(), dead.clone()], at(20)).await.unwrap();
    assert!(backlog(store).await.is_empty());
    assert!(store.payload(first).await.unwrap().is_err());
    for (seq, state, made) in
        [(first, DeliveryState::Delivered, vec![retry, last]), (second, DeliveryState::Dead, vec![dead])]
    {
        let query = DeliveryQuery { state: Some(state), limit: 9, ..DeliveryQuery::default() };
        let listed = store.deliveries(query).await.unwrap().deliveries;
        assert_eq!(listed.len(), 1);
        let (delivery, attempts) = store.delivery(&listed[0].delivery_id).await.unwrap().unwrap();
        assert_eq!((delivery.seq, delivery.state), (seq, state));
        assert_eq!((delivery.finished_at, delivery.next_attempt_at), (Some(at(20)), None));
        assert_eq!(delivery.attempts as usize, made.len());
        assert_eq!(attempts.len(), made.len());
        for (found, made) in attempts.iter().zip(&made) {
            assert_eq!((found.seq, found.number, found.verdict), (made.seq, made.number, made.verdict));
            assert_eq!((found.started_at, found.duration), (made.started_at, made.duration));
            assert_eq!(found.phases, made.phases);
            assert_eq!((found.outcome, found.status), (made.outcome, made.status));
            assert_eq!((&found.address, &found.error), (&made.address, &made.error));
            assert_eq!(found.answer, made.answer);
        }
    }
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.pending, counts.delivered, counts.dead, counts.attempts), (0, 1, 1, 3));
}

pub(crate) async fn attempts_that_do_not_count_are_logged_and_kept_apart(store: &impl Store) {
    listener(store, "pos").await;
    plain(store, at(7)).await;
    let fresh = &backlog(store).await[0];
    assert_eq!((fresh.attempts, fresh.failures, fresh.committed_at), (0, 0, at(7)));
    let seq = fresh.seq;
    let verdicts = [false, true, false].map(|counted| Verdict::RetryAt { at: at(5_000), counted });
    for (number, verdict) in (1..).zip(verdicts) {
        store.record_attempts(vec![attempt(seq, number, verdict)], at(11)).await.unwrap();
    }
    let waiting = &backlog(store).await[0];
    assert_eq!((waiting.attempts, waiting.failures, waiting.committed_at), (3, 1, at(7)));
    let listed =
        store.deliveries(DeliveryQuery { limit: 1, ..DeliveryQuery::default() }).await.unwrap().deliveries;
    let (_, log) = store.delivery(&listed[0].delivery_id).await.unwrap().unwrap();
    assert_eq!(log.iter().map(|a| a.verdict).collect::<Vec<_>>(), verdicts);
}

pub(crate) async fn a_delivery_that_was_tried_often_is_told_with_its_newest_attempts(store: &impl Store) {
    listener(store, "pos").await;
    plain(store, at(0)).await;
    let seq = backlog(store).await[0].seq;
    let again = Verdict::RetryAt { at: at(5_000), counted: false };
    let tries = ATTEMPTS_SHOWN_MAX + 5;
    let attempts = (1..=tries).map(|number| attempt(seq, number, again)).collect();
    store.record_attempts(attempts, at(1)).await.unwrap();
    let query = DeliveryQuery { limit: 1, ..DeliveryQuery::default() };
    let listed = store.deliveries(query).await.unwrap().deliveries;
    let (delivery, log) = store.delivery(&listed[0].delivery_id).await.unwrap().unwrap();
    assert_eq!(delivery.attempts, tries);
    assert_eq!(log.iter().map(|one| one.number).collect::<Vec<_>>(), (6..=tries).collect::<Vec<_>>());
}

pub(crate) async fn a_delivery_can_be_given_up_without_an_attempt(store: &impl Store) {
    listener(store, "pos").await;
    for _ in 0..3 {
        plain(store, at(0)).await;
    }
    let seqs: Vec<_> = backlog(store).await.iter().map(|d| d.seq).collect();
    store.record_attempts(vec![attempt(seqs[0], 1, Verdict::Delivered)], at(5)).await.unwrap();
    store.give_up(seqs[..2].to_vec(), at(9)).await.unwrap();
    assert_eq!(backlog(store).await.iter().map(|d| d.seq).collect::<Vec<_>>(), seqs[2..]);
    let query = DeliveryQuery { state: Some(DeliveryState::Dead), limit: 9, ..DeliveryQuery::default() };
    let dead = store.deliveries(query).await.unwrap().deliveries;
    assert_eq!(dead.len(), 1, "what was delivered stays delivered");
    assert_eq!((dead[0].seq, dead[0].attempts, dead[0].finished_at), (seqs[1], 0, Some(at(9))));
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.pending, counts.delivered, counts.dead, counts.attempts), (1, 1, 1, 1));
}

pub(crate) async fn large_orders_do_not_share_a_delivery_that_nobody_takes(store: &impl Store) {
    listener(store, "pos").await;
    let large = format!(r#","note_2":"{}""#, "x".repeat(500_000));
    let new = join_all((0..40).map(|_| create(store, order_of(r#"[{"id":663}]"#, &large), at(0)))).await;
    assert_eq!(new.len(), 40);
    let mut carried = 0;
    for delivery in backlog(store).await {
        carried += delivery.orders.len();
        let body = store.payload(delivery.seq).await.unwrap().unwrap().body;
        assert!(body.len() < 3_000_000, "{} orders in {} bytes", delivery.orders.len(), body.len());
    }
    assert_eq!(carried, 40);
}

pub(crate) async fn a_cart_cannot_make_a_record_grow_without_end(store: &impl Store) {
    let order = plain(store, at(0)).await;
    let large = format!(r#"{{"cart":["{}"]}}"#, "x".repeat(RECORD_BYTES_MAX));
    match store.change(edit(order.order_id, &large), at(1)).await.unwrap() {
        Changed::Invalid(invalid) => {
            assert!(matches!(invalid[..], [Invalid::TooLarge { bytes }] if bytes > RECORD_BYTES_MAX));
        }
        other => panic!("{other:?}"),
    }
    let kept = store.order(order.order_id).await.unwrap().unwrap();
    assert_eq!((kept.version, kept.record), (1, order.record));
}

pub(crate) async fn a_high_id_uses_up_no_others(store: &impl Store) {
    for high in [i64::MAX, (1 << 53) - 2, (1 << 53) - 1, (1 << 52) + 1, (1 << 52) - 1] {
        let given = create(store, order_of(r#"[{"id":663}]"#, &format!(r#","id":{high}"#)), at(0)).await;
        assert_eq!(given.order_id.0, high);
    }
    // The highest that lifts ours is one below 2^52, and one above it is taken.
    let ours = [plain(store, at(1)).await, plain(store, at(2)).await].map(|order| order.order_id.0);
    assert_eq!(ours, [1 << 52, (1 << 52) + 2]);
}

pub(crate) async fn a_backlog_is_read_in_pages_in_the_order_of_commits(store: &impl Store) {
    let endpoint_id = listener(store, "pos").await[0].endpoint_id;
    listener(store, "erp").await;
    let mut orders = Vec::new();
    for _ in 0..5 {
        orders.push(plain(store, at(0)).await.order_id);
    }
    let mut after = DeliverySeq(0);
    let mut seen = Vec::new();
    let mut pages = 0;
    loop {
        let page = store.pending(endpoint_id, after, 2).await.unwrap();
        pages += 1;
        for delivery in &page.deliveries {
            assert!(delivery.seq > after);
            assert_eq!(delivery.endpoint_id, endpoint_id);
            after = delivery.seq;
            seen.extend(delivery.orders.iter().copied());
        }
        if page.end {
            break;
        }
        assert_eq!(page.deliveries.len(), 2);
    }
    assert_eq!((seen, pages), (orders, 3));
    let exactly = store.pending(endpoint_id, DeliverySeq(0), 5).await.unwrap();
    assert!(exactly.end && exactly.deliveries.len() == 5);
    let behind = store.pending(endpoint_id, after, 5).await.unwrap();
    assert!(behind.end && behind.deliveries.is_empty());
}

pub(crate) async fn deliveries_are_found_by_what_they_are(store: &impl Store) {
    let endpoint_id = listener(store, "pos").await[0].endpoint_id;
    let other_endpoint = listener(store, "erp").await[0].endpoint_id;
    let first = plain(store, at(0)).await.order_id;
    let second = plain(store, at(100)).await.order_id;
    done(store, moved(first, KnownStatus::Accepted), at(200)).await;
    let seq = store.pending(endpoint_id, DeliverySeq(0), 1).await.unwrap().deliveries[0].seq;
    store.record_attempts(vec![attempt(seq, 1, Verdict::Dead)], at(300)).await.unwrap();

    let all = DeliveryQuery { limit: 100, ..DeliveryQuery::default() };
    let find = async |query: DeliveryQuery| -> Vec<(OrderId, i64, bool)> {
        let found = store.deliveries(query).await.unwrap().deliveries;
        assert!(found.is_sorted_by(|a, b| a.seq > b.seq), "newest first");
        found.iter().map(|d| (d.orders[0].0, d.orders[0].1, d.endpoint_id == endpoint_id)).collect()
    };
    assert_eq!(find(all.clone()).await.len(), 6);
    assert_eq!(
        find(DeliveryQuery { endpoint_id: Some(endpoint_id), ..all.clone() }).await,
        [(first, 2, true), (second, 1, true), (first, 1, true)]
    );
    assert_eq!(find(DeliveryQuery { order_id: Some(second), ..all.clone() }).await.len(), 2);
    let created = Some(EventType::OrderCreated);
    assert_eq!(
        find(DeliveryQuery {
            order_id: Some(first),
            event_type: created,
            endpoint_id: Some(other_endpoint),
            ..all.clone()
        })
        .await,
        [(first, 1, false)]
    );
    assert_eq!(
        find(DeliveryQuery { state: Some(DeliveryState::Dead), ..all.clone() }).await,
        [(first, 1, true)]
    );
    assert_eq!(find(DeliveryQuery { state: Some(DeliveryState::Pending), ..all.clone() }).await.len(), 5);
    assert!(find(DeliveryQuery { state: Some(DeliveryState::Cancelled), ..all.clone() }).await.is_empty());
    let window = DeliveryQuery { since: Some(at(100)), until: Some(at(200)), ..all.clone() };
    assert!(find(window).await.iter().all(|d| d.0 == second));
    let page = store.deliveries(DeliveryQuery { limit: 2, ..all.clone() }).await.unwrap().deliveries;
    let rest = store.deliveries(DeliveryQuery { before: Some(page[1].seq), ..all }).await.unwrap().deliveries;
    assert_eq!((page.len(), rest.len()), (2, 4));
    assert!(rest[0].seq < page[1].seq);
    assert!(store.delivery(&DeliveryId::from("evt_none")).await.unwrap().is_none());
}

pub(crate) async fn orders_are_listed_by_id(store: &impl Store) {
    let mut ids = Vec::new();
    for business in [9, 10, 9, 9] {
        let text = format!(r#"{{"business_id":{business},"branch_id":1,"brands":[{{"id":1}}]}}"#);
        ids.push(create(store, record(&text), at(0)).await.order_id);
    }
    let list = async |query| -> (Vec<OrderId>, bool) {
        let page = store.orders(query).await.unwrap();
        (page.orders.iter().map(|order| order.order_id).collect(), page.more)
    };
    let all = OrderQuery { after: None, business_id: None, limit: 9, record_bytes_max: 1 << 20 };
    assert_eq!(list(all.clone()).await, (ids.clone(), false));
    assert_eq!(list(OrderQuery { limit: 4, ..all.clone() }).await, (ids.clone(), false));
    assert_eq!(list(OrderQuery { after: Some(ids[1]), limit: 1, ..all.clone() }).await, (vec![ids[2]], true));
    let ours = OrderQuery { after: Some(ids[0]), business_id: Some(BUSINESS), ..all.clone() };
    assert_eq!(list(ours).await, (vec![ids[2], ids[3]], false));

    // A page ends early by the bytes of its records, with one of them in any case.
    let bytes = store.orders(all.clone()).await.unwrap().orders[0].record.len();
    assert_eq!(list(OrderQuery { record_bytes_max: 0, ..all.clone() }).await, (vec![ids[0]], true));
    assert_eq!(list(OrderQuery { record_bytes_max: bytes * 5 / 2, ..all }).await, (ids[..2].to_vec(), true));
}

pub(crate) async fn counts_say_what_is_there(store: &impl Store) {
    assert_eq!(store.counts().await.unwrap(), Counts::default());
    listener(store, "pos").await;
    let id = plain(store, at(0)).await.order_id;
    done(store, moved(id, KnownStatus::Accepted), at(1)).await;
    let seq = backlog(store).await[0].seq;
    store.record_attempts(vec![attempt(seq, 1, Verdict::Delivered)], at(2)).await.unwrap();
    let expected = Counts {
        orders: 1,
        events: 2,
        pending: 1,
        delivered: 1,
        dead: 0,
        cancelled: 0,
        superseded: 0,
        attempts: 1,
    };
    assert_eq!(store.counts().await.unwrap(), expected);
}

pub(crate) async fn hints_name_every_new_delivery_and_every_endpoint_that_changed(store: &impl Store) {
    let pos = listener(store, "pos").await[0].endpoint_id;
    let erp = listener(store, "erp").await[0].endpoint_id;
    let id = plain(store, at(0)).await.order_id;
    done(store, moved(id, KnownStatus::Accepted), at(1)).await;
    // A change that is not made hints at nothing.
    store.change(moved(id, KnownStatus::Accepted), at(2)).await.unwrap();
    let taken = store.hints().take().await;
    assert!(!taken.lost);
    let (mut deliveries, mut endpoints) = (Vec::new(), BTreeSet::new());
    for hint in taken.hints {
        match hint {
            Hint::Committed(new) => deliveries.extend(new),
            Hint::Endpoint { endpoint_id, .. } => {
                endpoints.insert(endpoint_id);
            }
        }
    }
    assert!(deliveries.is_sorted_by_key(|d| d.seq));
    let mut known = backlog(store).await;
    known.sort_by_key(|d| d.seq);
    assert_eq!(deliveries, known);
    assert_eq!(known.len(), 4);
    assert_eq!(endpoints, BTreeSet::from([pos, erp]));

    // Where a backlog moves, both its places are named.
    let elsewhere = registration("pos", None, None, EventType::OrderCreated, "https://new.example");
    let new = register(store, elsewhere).await.endpoint_id;
    let hints: BTreeSet<_> = store.hints().take().await.hints.into_iter().map(|h| format!("{h:?}")).collect();
    assert_eq!(
        hints,
        [new, pos]
            .map(|endpoint_id| format!(
                "{:?}",
                Hint::Endpoint { endpoint_id, is_held: false, settings: EndpointSettings::default() }
            ))
            .into_iter()
            .collect()
    );
}

pub(crate) async fn of_many_moves_at_once_each_is_checked_against_the_one_before(store: &impl Store) {
    let endpoint_id = listener(store, "pos").await[0].endpoint_id;
    let id = plain(store, at(0)).await.order_id;
    let path = [
        KnownStatus::Accepted,
        KnownStatus::Preparing,
        KnownStatus::Ready,
        KnownStatus::Dispatched,
        KnownStatus::Delivered,
        KnownStatus::Cancelled,
    ];
    let changes = (0..64usize).map(|i| {
        let change = if i % 3 == 2 {
            edit(id, &format!(r#"{{"cart":[{i}]}}"#))
        } else {
            moved(id, path[(i * 7 / 3) % path.len()])
        };
        store.change(change, at(i as i64))
    });
    let mut versions: Vec<(i64, Bytes)> = Vec::new();
    for changed in join_all(changes).await {
        match changed.unwrap() {
            Changed::Done(order) => versions.push((order.version, order.record)),
            Changed::Unchanged(_) | Changed::MoveRefused(_) | Changed::CartFinal(_) => {}
            other => panic!("{other:?}"),
        }
    }
    versions.sort_by_key(|(version, _)| *version);
    let numbers: Vec<i64> = versions.iter().map(|(version, _)| *version).collect();
    assert_eq!(numbers, (2..2 + versions.len() as i64).collect::<Vec<_>>(), "each version exists once");
    assert!(versions.len() >= 2, "{numbers:?}");
    // What was answered is what is delivered, in this order, and each step is one that the table allows.
    let pending = store.pending(endpoint_id, DeliverySeq(0), 100).await.unwrap().deliveries;
    assert_eq!(pending.len(), versions.len() + 1);
    let codes = hookit_contract::StatusCodes::default();
    let mut status = OrderStatus::Known(KnownStatus::Placed);
    for (delivery, (_, record)) in pending[1..].iter().zip(&versions) {
        let body = store.payload(delivery.seq).await.unwrap().unwrap().body;
        assert_eq!(body, envelope_bytes(BRAND, BRANCH, std::slice::from_ref(record)));
        let record = hookit_contract::Record::parse(record.clone()).unwrap();
        let OrderStatus::Known(next) = record.status(&codes).unwrap().unwrap() else {
            panic!("unknown status")
        };
        let verdict = hookit_contract::check_move(status, next, Actor::Operator);
        assert!(!matches!(verdict, hookit_contract::MoveVerdict::Refused(_)), "{status} to {next}");
        status = next.into();
    }
    assert_eq!(status, KnownStatus::Cancelled.into(), "there is no way out of it, so it comes last");
}

pub(crate) async fn a_closed_store_is_busy(store: &impl Store) {
    let order = plain(store, at(0)).await;
    store.close().await;
    store.close().await;
    let late = store.change(moved(order.order_id, KnownStatus::Accepted), Timestamp::from_millis(0)).await;
    assert!(matches!(late, Err(Error::Busy)), "{late:?}");
    assert!(matches!(store.order(order.order_id).await, Err(Error::Busy)));
}

pub(crate) async fn a_businesss_orders_are_found_by_when_and_where_they_were_created(store: &impl Store) {
    let mut ids = Vec::new();
    for (i, brands) in [r#"[{"id":1}]"#, r#"[{"id":1},{"id":2}]"#, r#"[{"id":3}]"#].into_iter().enumerate() {
        ids.push(create(store, order_of(brands, ""), at(10 * i as i64)).await.order_id);
    }
    let of_another = r#"{"business_id":8,"branch_id":1062,"brands":[{"id":1}]}"#;
    create(store, record(of_another), at(0)).await;
    done(store, moved(ids[2], KnownStatus::Ready), at(30)).await;
    let all = OrderSearch {
        business_id: BUSINESS,
        created_from: at(0),
        created_to: at(100),
        status: None,
        brand_id: None,
        branch_id: None,
        skip: 0,
        limit: 10,
    };
    for (search, found, total) in [
        (all.clone(), &ids[..], 3),
        (OrderSearch { skip: 1, limit: 1, ..all.clone() }, &ids[1..2], 3),
        (OrderSearch { skip: 9, ..all.clone() }, &[], 3),
        (OrderSearch { created_from: at(1), created_to: at(20), ..all.clone() }, &ids[1..2], 1),
        (OrderSearch { created_to: at(20), ..all.clone() }, &ids[..2], 2),
        (OrderSearch { brand_id: Some(BrandId(2)), ..all.clone() }, &ids[1..2], 1),
        (OrderSearch { brand_id: Some(BrandId(1)), ..all.clone() }, &ids[..2], 2),
        (OrderSearch { branch_id: Some(BRANCH), ..all.clone() }, &ids[..], 3),
        (OrderSearch { branch_id: Some(BranchId(1)), ..all.clone() }, &[], 0),
        (OrderSearch { status: Some(KnownStatus::Ready.into()), ..all.clone() }, &ids[2..], 1),
    ] {
        let page = store.find_orders(search.clone()).await.unwrap();
        let listed: Vec<_> = page.records.iter().map(|place| place.order_id).collect();
        assert_eq!((listed.as_slice(), page.total), (found, total), "{search:?}");
    }
    let page = store.find_orders(all).await.unwrap();
    let as_kept = store.order(ids[2]).await.unwrap().unwrap();
    let place = page.records[2];
    assert_eq!((place.version, place.bytes), (2, as_kept.record.len()));

    // What was found stays as it was, whatever happens to the orders.
    done(store, moved(ids[2], KnownStatus::Delivered), at(40)).await;
    let first = store.order(ids[0]).await.unwrap().unwrap();
    let read = store.records(vec![place.record_id, page.records[0].record_id]).await.unwrap();
    assert_eq!(read, Some(vec![as_kept.record, first.record]));
    assert_eq!(store.records(vec![page.records[0].record_id, i64::MAX]).await.unwrap(), None);
}
