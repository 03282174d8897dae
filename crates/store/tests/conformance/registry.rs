//! The platform's store: partners, registrations, hierarchies, and who gets what.

use std::collections::BTreeSet;

use bytes::Bytes;
use hookit_contract::{
    BranchId, BrandId, BusinessId, DeliverySeq, DeliveryState, EventType, KnownStatus, OrderId, PartnerId,
    Timestamp, WebhookId,
};
use hookit_store::Error;
use hookit_store::hints::Hint;
use hookit_store::platform::{
    Brand, Business, Change, Changed, DeliveryQuery, EndpointSettings, Held, HoldReason, Invalid, NewWebhook,
    Ordering, PartnerChange, PartnerChanged, PartnerQuery, PutBusiness, PutWebhook, Store, Verdict, Webhook,
    WebhookQuery, WebhookSettings,
};

use crate::fixture::*;

const PARTNERS: PartnerQuery = PartnerQuery { after: None, newest_first: false, limit: 9 };

fn hierarchy(business_id: BusinessId, brands: &[(i64, &[i64])]) -> Business {
    Business {
        business_id,
        name: format!("business {business_id}"),
        brands: brands
            .iter()
            .map(|(id, branches)| Brand {
                brand_id: BrandId(*id),
                title: format!("brand {id}"),
                branches: branches.iter().copied().map(BranchId).collect(),
            })
            .collect(),
    }
}

pub(crate) async fn a_registered_hierarchy_is_asked_of_orders_and_registrations(store: &impl Store) {
    store.add_partner(partner("pos", BUSINESS)).await.unwrap();
    let business = hierarchy(BUSINESS, &[(663, &[1062, 1063]), (664, &[1063])]);
    assert_eq!(store.put_business(business.clone()).await.unwrap(), PutBusiness::Done);
    assert_eq!(store.business(BUSINESS).await.unwrap(), Some(business));
    assert_eq!(store.business(BusinessId(8)).await.unwrap(), None);
    let taken = store.put_business(hierarchy(BusinessId(10), &[(700, &[1]), (664, &[])])).await.unwrap();
    assert_eq!(taken, PutBusiness::BrandTaken { brand_id: BrandId(664), business_id: BUSINESS });
    assert_eq!(store.business(BusinessId(10)).await.unwrap(), None);

    plain(store, at(0)).await;
    for (text, message) in [
        (
            r#"{"business_id":9,"branch_id":1062,"brands":[{"id":663},{"id":5}]}"#,
            "brands[1].id: brand 5 is not",
        ),
        (
            r#"{"business_id":9,"branch_id":1062,"brands":[{"id":664}]}"#,
            "branch 1062 is not a branch of brand 664",
        ),
        (
            r#"{"business_id":10,"branch_id":1062,"brands":[{"id":663}]}"#,
            "brand 663 is not a brand of business 10",
        ),
    ] {
        match store.change(Change::Create { record: record(text) }, at(0)).await.unwrap() {
            Changed::Invalid(invalid) => {
                assert_eq!(store.objections_to_order(&record(text)), invalid, "{text}");
                let told: Vec<String> = invalid.iter().map(ToString::to_string).collect();
                assert!(matches!(&told[..], [one] if one.contains(message)), "{text}: {told:?}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    // All that is wrong at once, what follows from the hierarchy too.
    let text = r#"{"business_id":9,"branch_id":1,"brands":[{"id":1},{"id":664}],"id":0,"status":5,"type":1,"type":2}"#;
    let Changed::Invalid(invalid) =
        store.change(Change::Create { record: record(text) }, at(0)).await.unwrap()
    else {
        panic!("{text}");
    };
    let paths: Vec<_> = invalid.iter().filter_map(Invalid::field).collect();
    assert_eq!(paths, ["type", "id", "status", "brands[0].id", "branch_id"], "{invalid:?}");
    assert_eq!(store.objections_to_order(&record(text)), invalid);
    assert_eq!(store.objections_to_order(&order_of(r#"[{"id":663}]"#, "")), []);
    let owners = [663, 5].map(|brand| store.business_of(BrandId(brand)));
    assert_eq!(owners, [Some(BUSINESS), None]);
    // A business without a hierarchy may name any.
    create(store, record(r#"{"business_id":10,"branch_id":1,"brands":[{"id":77}]}"#), at(0)).await;

    let put = |brand: Option<i64>, branch: Option<i64>| {
        let (brand, branch) = (brand.map(BrandId), branch.map(BranchId));
        store.put_webhook(
            registration("pos", brand, branch, EventType::OrderCreated, "https://a.example"),
            at(0),
        )
    };
    for (brand, branch, message) in [
        (Some(5), None, "brand_id: brand 5 is not a brand of business 9"),
        (Some(664), Some(1062), "branch_id: branch 1062 is not a branch of brand 664"),
        (None, Some(5), "branch_id: branch 5 is not a branch of business 9"),
    ] {
        match put(brand, branch).await.unwrap() {
            PutWebhook::Invalid(invalid) => assert_eq!(invalid.to_string(), message),
            _ => panic!("{message}"),
        }
        let (brand, branch) = (brand.map(BrandId), branch.map(BranchId));
        let objection = store.objection_to_webhook(BUSINESS, brand, branch);
        assert_eq!(objection.map(|invalid| invalid.to_string()).as_deref(), Some(message));
    }
    for (brand, branch) in [(None, None), (None, Some(1063)), (Some(664), Some(1063))] {
        assert!(matches!(put(brand, branch).await.unwrap(), PutWebhook::Created(_)));
        let (brand, branch) = (brand.map(BrandId), branch.map(BranchId));
        assert_eq!(store.objection_to_webhook(BUSINESS, brand, branch), None);
    }
    // Replaced, not merged.
    store.put_business(hierarchy(BUSINESS, &[(664, &[1062])])).await.unwrap();
    let gone = store.change(Change::Create { record: order_of(r#"[{"id":663}]"#, "") }, at(0)).await.unwrap();
    assert!(
        matches!(&gone, Changed::Invalid(invalid) if matches!(invalid[..], [Invalid::UnknownBrand { .. }])),
        "{gone:?}"
    );
    create(store, order_of(r#"[{"id":664}]"#, ""), at(0)).await;
}

pub(crate) async fn the_most_specific_registration_of_each_partner_gets_the_event(store: &impl Store) {
    let created = EventType::OrderCreated;
    for name in ["pos", "erp"] {
        store.add_partner(partner(name, BUSINESS)).await.unwrap();
    }
    store.add_partner(partner("stranger", BusinessId(10))).await.unwrap();
    register(store, registration("stranger", None, None, created, "https://s.example")).await;
    register(store, registration("erp", None, None, created, "https://erp.example")).await;
    register(store, registration("erp", None, None, EventType::OrderCartUpdated, "https://erp.example/c"))
        .await;
    // From the least to the most specific, each takes over from the one before.
    for (brand, branch, url) in [
        (None, None, "https://pos.example/any"),
        (None, Some(BRANCH), "https://pos.example/branch"),
        (Some(BRAND), None, "https://pos.example/brand"),
        (Some(BRAND), Some(BRANCH), "https://pos.example/both"),
    ] {
        register(store, registration("pos", brand, branch, created, url)).await;
        // Others' tuples of the same partner do not matter.
        register(
            store,
            registration("pos", Some(BrandId(1)), Some(BRANCH), created, "https://pos.example/1"),
        )
        .await;
        let order_id = plain(store, at(0)).await.order_id;
        let mut urls = BTreeSet::new();
        let query = DeliveryQuery { order_id: Some(order_id), limit: 10, ..DeliveryQuery::default() };
        for delivery in store.deliveries(query).await.unwrap().deliveries {
            assert!(urls.insert(store.payload(delivery.seq).await.unwrap().unwrap().url));
        }
        assert_eq!(urls, BTreeSet::from(["https://erp.example".to_owned(), url.to_owned()]));
    }
}

pub(crate) async fn a_registration_takes_its_backlog_along_to_another_url(store: &impl Store) {
    let webhooks = listener(store, "pos").await;
    let order_id = plain(store, at(0)).await.order_id;
    done(store, moved(order_id, KnownStatus::Accepted), at(1)).await;
    let before = backlog(store).await;
    let mut ended = attempt(before[0].seq, 1, Verdict::Delivered);
    let other = plain(store, at(2)).await.order_id;
    store.record_attempts(vec![ended.clone()], at(3)).await.unwrap();

    let new = registration("pos", None, None, EventType::OrderCreated, "https://new.example");
    let moved_to = match store.put_webhook(new, at(4)).await.unwrap() {
        PutWebhook::Updated { webhook, moved_from } => {
            assert_eq!(moved_from, Some(webhooks[0].endpoint_id));
            assert_eq!((webhook.webhook_id, webhook.updated_at), (webhooks[0].webhook_id, at(4)));
            webhook.endpoint_id
        }
        _ => panic!("it was there before"),
    };
    let of = |orders: Vec<hookit_store::platform::PendingDelivery>| -> Vec<OrderId> {
        orders.iter().flat_map(|d| d.orders.to_vec()).collect()
    };
    let new_place = store.pending(moved_to, DeliverySeq(0), 9).await.unwrap().deliveries;
    let payload = store.payload(new_place[0].seq).await.unwrap().unwrap();
    assert_eq!((payload.url.as_str(), payload.endpoint_id), ("https://new.example", moved_to));
    assert_eq!(of(new_place), [other]);
    let old_place = store.pending(webhooks[0].endpoint_id, DeliverySeq(0), 9).await.unwrap().deliveries;
    assert_eq!(of(old_place), [order_id]);
    // What has ended stays where it was sent.
    ended.number = 2;
    let query = DeliveryQuery { state: Some(DeliveryState::Delivered), limit: 9, ..DeliveryQuery::default() };
    assert_eq!(store.deliveries(query).await.unwrap().deliveries[0].endpoint_id, webhooks[0].endpoint_id);
    let endpoints: Vec<_> = store.endpoints().await.unwrap().into_iter().map(|e| e.endpoint_id).collect();
    assert_eq!(endpoints, [webhooks[0].endpoint_id, moved_to]);
}

pub(crate) async fn an_endpoint_is_held_and_let_go(store: &impl Store) {
    let endpoint_id = listener(store, "pos").await[0].endpoint_id;
    let _ = store.hints().take().await;
    let hold = async || store.endpoint(endpoint_id).await.unwrap().unwrap().hold;
    assert_eq!(hold().await, None);
    let gone = Some(HoldReason::Gone);
    assert_eq!(store.hold_endpoint(endpoint_id, gone, at(3)).await.unwrap(), Held::Done);
    assert_eq!(hold().await, Some((HoldReason::Gone, at(3))));
    assert_eq!(
        store.hints().take().await.hints,
        [Hint::Endpoint { endpoint_id, is_held: true, settings: EndpointSettings::default() }]
    );
    // What happens meanwhile waits and is not lost.
    plain(store, at(4)).await;
    assert_eq!(backlog(store).await.len(), 1);
    let _ = store.hints().take().await;
    assert_eq!(store.hold_endpoint(endpoint_id, None, at(5)).await.unwrap(), Held::Done);
    assert_eq!(hold().await, None);
    assert_eq!(
        store.hints().take().await.hints,
        [Hint::Endpoint { endpoint_id, is_held: false, settings: EndpointSettings::default() }]
    );
    let nowhere = hookit_contract::EndpointId(99);
    assert_eq!(store.hold_endpoint(nowhere, None, at(6)).await.unwrap(), Held::NoSuchEndpoint);
    assert_eq!(store.endpoint(nowhere).await.unwrap(), None);
}

pub(crate) async fn of_several_registrations_of_one_url_the_strictest_counts(store: &impl Store) {
    let webhooks = listener(store, "pos").await;
    let endpoint_id = webhooks[0].endpoint_id;
    let put = async |event_type, ordering, in_flight_max, rate_per_second_max| {
        let endpoint = EndpointSettings { ordering, in_flight_max, rate_per_second_max };
        let settings = WebhookSettings { endpoint, orders_per_delivery_max: Some(3), coalesce: true };
        let new = registration("pos", None, None, event_type, "https://pos.example/hook");
        register(store, NewWebhook { settings, ..new }).await
    };
    let now = async || store.endpoint(endpoint_id).await.unwrap().unwrap().settings;
    assert_eq!(now().await, EndpointSettings::default());
    let webhook = put(EventType::OrderCreated, Ordering::None, Some(5), None).await;
    assert_eq!(webhook.settings.endpoint.in_flight_max, Some(5));
    assert!(webhook.settings.coalesce && webhook.settings.orders_per_delivery_max == Some(3));
    put(EventType::OrderStatusUpdated, Ordering::None, Some(9), Some(40)).await;
    let strict =
        |ordering| EndpointSettings { ordering, in_flight_max: Some(5), rate_per_second_max: Some(40) };
    assert_eq!(now().await, strict(Ordering::PerOrder), "one of them says nothing, so order is kept");
    let _ = store.hints().take().await;
    put(EventType::OrderCartUpdated, Ordering::None, None, Some(60)).await;
    assert_eq!(now().await, strict(Ordering::None));
    let told = Hint::Endpoint { endpoint_id, is_held: false, settings: strict(Ordering::None) };
    assert_eq!(store.hints().take().await.hints, [told]);
    assert_eq!(store.endpoints().await.unwrap()[0].settings, strict(Ordering::None));
    // What is put again without them has them no more.
    register(store, registration("pos", None, None, EventType::OrderCreated, "https://pos.example/hook"))
        .await;
    let settings = EndpointSettings { in_flight_max: Some(9), ..strict(Ordering::PerOrder) };
    assert_eq!(now().await, settings);
    assert_eq!(store.webhooks(WebhookQuery::first(9)).await.unwrap()[0].settings, WebhookSettings::default());
}

pub(crate) async fn a_registration_may_ask_for_smaller_deliveries_than_others(store: &impl Store) {
    store.add_partner(partner("pos", BUSINESS)).await.unwrap();
    let settings = WebhookSettings { orders_per_delivery_max: Some(1), ..WebhookSettings::default() };
    let new = registration("pos", None, None, EventType::OrderCreated, "https://pos.example/hook");
    register(store, NewWebhook { settings, ..new }).await;
    join_all((0..20).map(|_| plain(store, at(1)))).await;
    let sizes: Vec<_> = backlog(store).await.iter().map(|delivery| delivery.orders.len()).collect();
    assert_eq!(sizes, [1; 20]);
}

pub(crate) async fn a_revoked_partner_still_gets_deliveries(store: &impl Store) {
    listener(store, "pos").await;
    store.change_partner(&PartnerId::from("ptn_pos"), PartnerChange::Revoke, at(3)).await.unwrap();
    plain(store, at(4)).await;
    assert_eq!(backlog(store).await.len(), 1);
}

pub(crate) async fn partners_are_kept_and_changed(store: &impl Store) {
    let id = PartnerId::from("ptn_pos");
    let nobody = store.change_partner(&id, PartnerChange::Revoke, at(3)).await.unwrap();
    assert_eq!(nobody, PartnerChanged::NoSuchPartner);
    store.add_partner(partner("pos", BUSINESS)).await.unwrap();
    store.add_partner(partner("erp", BUSINESS)).await.unwrap();
    // An id or a key exists once.
    assert!(matches!(store.add_partner(partner("pos", BUSINESS)).await, Err(Error::Database { .. })));
    assert_eq!(store.partners(PARTNERS).await.unwrap().len(), 2);
    assert_eq!(store.partner(&id).await.unwrap().unwrap().name, "pos");
    assert!(store.partner(&PartnerId::from("ptn_none")).await.unwrap().is_none());
    let found = store.partner_by_key("key_pos").await.unwrap().unwrap();
    assert_eq!((found.partner_id, found.business_id, found.revoked_at), (id.clone(), BUSINESS, None));
    assert_eq!(found.scopes, ["orders:read", "webhooks:read"]);
    assert!(store.partner_by_key("pos").await.unwrap().is_none());

    let secret_hash = Bytes::from_static(b"other");
    let webhook_secret = Bytes::from_static(b"sealed again");
    for change in [
        PartnerChange::RotateSecret { secret_hash: secret_hash.clone() },
        PartnerChange::RotateWebhookSecret { webhook_secret: webhook_secret.clone() },
        PartnerChange::Revoke,
    ] {
        assert_eq!(store.change_partner(&id, change, at(3)).await.unwrap(), PartnerChanged::Done);
    }
    // It is revoked since the first time. No secret brings it back, and webhooks can be signed with another one.
    let rotated = PartnerChange::RotateSecret { secret_hash: Bytes::from_static(b"late") };
    let webhook_secret = Bytes::from_static(b"sealed late");
    let rotated_webhook = PartnerChange::RotateWebhookSecret { webhook_secret: webhook_secret.clone() };
    for (change, expected) in [
        (PartnerChange::Revoke, PartnerChanged::Unchanged),
        (rotated, PartnerChanged::Revoked),
        (rotated_webhook, PartnerChanged::Done),
    ] {
        assert_eq!(store.change_partner(&id, change, at(9)).await.unwrap(), expected);
    }
    let changed = store.partner_by_key("key_pos").await.unwrap().unwrap();
    assert_eq!((&changed.secret_hash, &changed.webhook_secret), (&secret_hash, &webhook_secret));
    assert_eq!(changed.revoked_at, Some(at(3)));
    let other = store.partner_by_key("key_erp").await.unwrap().unwrap();
    assert_eq!((&other.secret_hash[..], other.revoked_at), (&b"hash"[..], None));
}

/// The present webhook secret and the one to come, as everyone is told who signs or lists.
async fn secrets(store: &impl Store, webhook_id: WebhookId) -> (Bytes, Option<(Bytes, Timestamp)>) {
    let partner = store.partner_by_key("key_pos").await.unwrap().unwrap();
    let secrets = (partner.webhook_secret, partner.webhook_secret_next);
    let mut listed = store.partners(PARTNERS).await.unwrap();
    listed.retain(|partner| partner.partner_key == "key_pos");
    assert_eq!((&listed[0].webhook_secret, &listed[0].webhook_secret_next), (&secrets.0, &secrets.1));
    let payload = store.payload(backlog(store).await[0].seq).await.unwrap().unwrap();
    assert_eq!((&payload.webhook_secret, &payload.webhook_secret_next), (&secrets.0, &secrets.1));
    let access = store.webhook_access(webhook_id).await.unwrap().unwrap();
    assert_eq!((&access.webhook_secret, &access.webhook_secret_next), (&secrets.0, &secrets.1));
    secrets
}

pub(crate) async fn a_webhook_secret_to_come_is_told_beside_the_present_one(store: &impl Store) {
    let webhook_id = listener(store, "pos").await[0].webhook_id;
    store.add_partner(partner("erp", BUSINESS)).await.unwrap();
    plain(store, at(0)).await;
    let id = PartnerId::from("ptn_pos");
    let stage = async |secret: &'static str, current_at, now| {
        let webhook_secret = Bytes::from_static(secret.as_bytes());
        let change = PartnerChange::StageWebhookSecret { webhook_secret, current_at };
        assert_eq!(store.change_partner(&id, change, now).await.unwrap(), PartnerChanged::Done);
    };
    let told = |now: &'static str, next: Option<(&'static str, Timestamp)>| {
        (Bytes::from(now), next.map(|(secret, at)| (Bytes::from(secret), at)))
    };
    assert_eq!(secrets(store, webhook_id).await, told("sealed pos", None));
    stage("second", at(10), at(1)).await;
    assert_eq!(secrets(store, webhook_id).await, told("sealed pos", Some(("second", at(10)))));
    // Before its moment it is replaced; from that moment on it is the present one, whoever comes next.
    stage("third", at(20), at(9)).await;
    assert_eq!(secrets(store, webhook_id).await, told("sealed pos", Some(("third", at(20)))));
    stage("fourth", at(30), at(20)).await;
    assert_eq!(secrets(store, webhook_id).await, told("third", Some(("fourth", at(30)))));
    // One that signs at once leaves none to come, neither before nor after its moment.
    let webhook_secret = Bytes::from_static(b"fifth");
    let at_once = PartnerChange::RotateWebhookSecret { webhook_secret };
    assert_eq!(store.change_partner(&id, at_once, at(40)).await.unwrap(), PartnerChanged::Done);
    assert_eq!(secrets(store, webhook_id).await, told("fifth", None));

    let other = store.partner_by_key("key_erp").await.unwrap().unwrap();
    assert_eq!((&other.webhook_secret[..], other.webhook_secret_next), (&b"sealed erp"[..], None));
    let nobody = PartnerId::from("ptn_nobody");
    let change =
        PartnerChange::StageWebhookSecret { webhook_secret: Bytes::from_static(b"x"), current_at: at(50) };
    let changed = store.change_partner(&nobody, change, at(41)).await.unwrap();
    assert_eq!(changed, PartnerChanged::NoSuchPartner);
}

pub(crate) async fn what_posting_to_a_registration_needs_is_told_until_it_is_removed(store: &impl Store) {
    assert!(store.webhook_access(WebhookId(1)).await.unwrap().is_none());
    store.add_partner(partner("erp", BUSINESS)).await.unwrap();
    store.add_partner(partner("pos", BUSINESS)).await.unwrap();
    let new = registration("pos", Some(BRAND), Some(BRANCH), EventType::OrderCreated, "https://a.example");
    let basic_auth = Some(Bytes::from_static(b"sealed user"));
    let webhook = register(store, NewWebhook { basic_auth: basic_auth.clone(), ..new.clone() }).await;
    let access = store.webhook_access(webhook.webhook_id).await.unwrap().unwrap();
    assert_eq!((access.basic_auth, &access.webhook_secret[..]), (basic_auth, &b"sealed pos"[..]));
    let told = access.webhook;
    assert_eq!((told.webhook_id, told.endpoint_id), (webhook.webhook_id, webhook.endpoint_id));
    assert_eq!((told.partner_id, told.url.as_str()), (PartnerId::from("ptn_pos"), "https://a.example"));
    assert_eq!((told.brand_id, told.branch_id), (Some(BRAND), Some(BRANCH)));
    assert_eq!((told.event_type, told.has_basic_auth), (EventType::OrderCreated, true));

    // As it is put last.
    register(store, NewWebhook { url: "https://b.example".to_owned(), ..new }).await;
    let access = store.webhook_access(webhook.webhook_id).await.unwrap().unwrap();
    assert_eq!((access.webhook.url.as_str(), access.basic_auth), ("https://b.example", None));
    store.remove_webhook(webhook.webhook_id, "Mai", at(1)).await.unwrap();
    assert!(store.webhook_access(webhook.webhook_id).await.unwrap().is_none());
}

pub(crate) async fn a_registration_exists_once_for_each_tuple(store: &impl Store) {
    let nobody = registration("pos", None, None, EventType::OrderCreated, "https://a.example");
    assert!(matches!(store.put_webhook(nobody, at(0)).await.unwrap(), PutWebhook::NoSuchPartner));
    store.add_partner(partner("pos", BUSINESS)).await.unwrap();
    let mut new = registration("pos", Some(BRAND), None, EventType::OrderCreated, "https://a.example");
    let first = register(store, new.clone()).await;
    assert_eq!((first.has_basic_auth, first.created_at), (false, at(0)));
    new.basic_auth = Some(Bytes::from_static(b"sealed"));
    match store.put_webhook(new, at(5)).await.unwrap() {
        PutWebhook::Updated { webhook, moved_from: None } => {
            assert_eq!((webhook.webhook_id, webhook.endpoint_id), (first.webhook_id, first.endpoint_id));
            assert_eq!((webhook.created_at, webhook.updated_at), (at(0), at(5)));
            assert!(webhook.has_basic_auth);
        }
        _ => panic!("it is the same tuple, and the same URL"),
    }
    // The same URL is the same endpoint, for whatever it is registered.
    let other = register(
        store,
        registration("pos", None, Some(BRANCH), EventType::OrderCreated, "https://a.example"),
    )
    .await;
    assert_eq!(other.endpoint_id, first.endpoint_id);
    assert_ne!(other.webhook_id, first.webhook_id);
    let listed = store.webhooks(WebhookQuery::first(9)).await.unwrap();
    assert_eq!(listed.iter().map(|w| w.webhook_id).collect::<Vec<_>>(), [first.webhook_id, other.webhook_id]);
    assert_eq!((listed[0].brand_id, listed[0].branch_id), (Some(BRAND), None));
    plain(store, at(6)).await;
    let seq = backlog(store).await[0].seq;
    assert_eq!(store.payload(seq).await.unwrap().unwrap().basic_auth, Some(Bytes::from_static(b"sealed")));
}

pub(crate) async fn partners_are_listed_a_page_at_a_time_from_either_end(store: &impl Store) {
    for name in ["b", "a", "c"] {
        store.add_partner(partner(name, BUSINESS)).await.unwrap();
    }
    let list = async |after: Option<&str>, newest_first, limit| -> Vec<String> {
        let query = PartnerQuery { after: after.map(PartnerId::from), newest_first, limit };
        store.partners(query).await.unwrap().into_iter().map(|partner| partner.name).collect()
    };
    assert_eq!(list(None, false, 2).await, ["a", "b"]);
    assert_eq!(list(Some("ptn_b"), false, 2).await, ["c"]);
    assert_eq!(list(None, true, 2).await, ["c", "b"]);
    assert_eq!(list(Some("ptn_b"), true, 2).await, ["a"]);
}

pub(crate) async fn registrations_are_listed_a_page_at_a_time_by_whose_they_are_and_what_they_are_for(
    store: &impl Store,
) {
    let ours = listener(store, "pos").await;
    store.add_partner(partner("erp", BUSINESS)).await.unwrap();
    store.add_partner(partner("far", BusinessId(10))).await.unwrap();
    let new = |name, brand, branch| {
        let url = format!("https://{name}.example/hook");
        registration(name, brand, branch, EventType::OrderCreated, &url)
    };
    let of_branch = register(store, new("erp", Some(BRAND), Some(BRANCH))).await;
    let of_another = register(store, new("far", None, None)).await;
    let removed = register(store, new("erp", None, None)).await;
    store.remove_webhook(removed.webhook_id, "Mai", at(1)).await.unwrap();
    store.hold_endpoint(of_branch.endpoint_id, Some(HoldReason::Operator), at(2)).await.unwrap();

    let list = async |query: WebhookQuery| -> Vec<WebhookId> {
        let found = store.webhooks(query).await.unwrap();
        let hold = |webhook: &Webhook| webhook.hold == Some((HoldReason::Operator, at(2)));
        assert!(found.iter().all(|one| hold(one) == (one.webhook_id == of_branch.webhook_id)));
        found.into_iter().map(|webhook| webhook.webhook_id).collect()
    };
    let pos: Vec<WebhookId> = ours.iter().map(|webhook| webhook.webhook_id).collect();
    let (erp, far) = (of_branch.webhook_id, of_another.webhook_id);
    let all = WebhookQuery::first(9);
    assert_eq!(list(all.clone()).await, [pos[0], pos[1], pos[2], erp, far]);
    assert_eq!(list(WebhookQuery::first(2)).await, pos[..2]);
    assert_eq!(list(WebhookQuery { after: Some(pos[1]), limit: 2, ..all.clone() }).await, [pos[2], erp]);
    let business_id = Some(BUSINESS);
    assert_eq!(list(WebhookQuery { business_id, ..all.clone() }).await, [pos[0], pos[1], pos[2], erp]);
    let partner_id = Some(PartnerId::from("ptn_erp"));
    assert_eq!(list(WebhookQuery { partner_id: partner_id.clone(), ..all.clone() }).await, [erp]);
    let endpoint_id = Some(ours[0].endpoint_id);
    assert_eq!(list(WebhookQuery { endpoint_id, ..all.clone() }).await, pos);
    assert!(list(WebhookQuery { endpoint_id, partner_id, ..all.clone() }).await.is_empty());
    assert_eq!(list(WebhookQuery { branch_id: Some(BRANCH), ..all.clone() }).await, [erp]);
    assert_eq!(list(WebhookQuery { brand_id: Some(BRAND), ..all.clone() }).await, [erp]);
    assert!(list(WebhookQuery { brand_id: Some(BrandId(1)), ..all }).await.is_empty());
}
