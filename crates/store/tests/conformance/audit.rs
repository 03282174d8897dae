//! The platform's store: what is done in somebody's name.

use std::sync::Arc;

use bytes::Bytes;
use hookit_contract::{EndpointId, EventType, KnownStatus, PartnerId, TokenId, WebhookId};
use hookit_store::platform::{
    AddToken, AuditQuery, Brand, Business, Caller, Held, HoldReason, NewToken, NewWebhook, PartnerChange,
    PartnerChanged, PutBusiness, PutWebhook, ReplayFilter, ReplayKind, ReplayRequest, Role, StartReplay,
    SteerReplay, SteeredReplay, Store, TokenRevoked, WebhookSettings,
};

use crate::fixture::{
    BRANCH, BRAND, BUSINESS, at, create, edit, moved, order_of, partner, register, registration,
};

/// What the log has, the oldest first.
async fn log(store: &impl Store) -> Vec<String> {
    let page = store.audit(AuditQuery { limit: 1_000, ..AuditQuery::default() }).await.unwrap();
    page.entries.into_iter().rev().map(|entry| format!("{} {}", entry.action, entry.target)).collect()
}

pub(crate) async fn what_is_done_is_noted_once_and_what_changes_nothing_is_not(
    store: Arc<impl Store + 'static>,
) {
    let caller = Caller {
        token_id: TokenId(0),
        address: "192.0.2.1".to_owned(),
        request_id: "r".to_owned(),
        now: at(1),
    };
    let named = store.clone().in_name_of(caller);
    let mut expected: Vec<String> = Vec::new();
    // Each is done, and then asked for again as it stands.
    for round in 0..2 {
        let is_first = round == 0;
        let id = PartnerId::from("ptn_pos");
        if is_first {
            named.add_partner(partner("pos", BUSINESS)).await.unwrap();
            expected.push("partner.issue ptn_pos".to_owned());
        }

        // Brands and branches in another order, and one of them twice, are the same hierarchy.
        let brand = |id, branches: &[_]| Brand {
            brand_id: id,
            title: "A brand".to_owned(),
            branches: branches.to_vec(),
        };
        let other = hookit_contract::BrandId(700);
        let brands = match is_first {
            true => vec![brand(BRAND, &[BRANCH]), brand(other, &[])],
            false => vec![brand(other, &[]), brand(BRAND, &[BRANCH, BRANCH])],
        };
        let put = named.put_business(Business { business_id: BUSINESS, name: "A".to_owned(), brands }).await;
        match put.unwrap() {
            PutBusiness::Done if is_first => expected.push(format!("business.put {BUSINESS}")),
            PutBusiness::Unchanged if !is_first => {}
            other => panic!("{other:?}"),
        }

        let settings = WebhookSettings { coalesce: true, ..WebhookSettings::default() };
        let basic_auth = Some(Bytes::from_static(b"sealed"));
        let new = registration("pos", Some(BRAND), None, EventType::OrderCreated, "https://a.example");
        let put = named.put_webhook(NewWebhook { settings, basic_auth, ..new }, at(10 + round)).await;
        match put.unwrap() {
            PutWebhook::Created(webhook) if is_first => {
                expected.push(format!("webhook.put {}", webhook.webhook_id));
            }
            PutWebhook::Unchanged(webhook) if !is_first => assert_eq!(webhook.updated_at, at(10)),
            _ => panic!("round {round}"),
        }

        for hold in [None, Some(HoldReason::Operator)] {
            let held = named.hold_endpoint(EndpointId(1), hold, at(20 + round)).await.unwrap();
            match (is_first, hold) {
                // Nobody held it before; in the second round it is held.
                (true, None) => assert_eq!(held, Held::Unchanged),
                (true, Some(_)) => expected.push(format!("endpoint.hold {}", EndpointId(1))),
                (false, None) => expected.push(format!("endpoint.release {}", EndpointId(1))),
                (false, Some(_)) => expected.push(format!("endpoint.hold {}", EndpointId(1))),
            }
        }
        let held = named.hold_endpoint(EndpointId(1), Some(HoldReason::Operator), at(30)).await.unwrap();
        assert_eq!(held, Held::Unchanged);
        let hold = store.endpoint(EndpointId(1)).await.unwrap().unwrap().hold;
        assert_eq!(hold, Some((HoldReason::Operator, at(20 + round))), "since when it was");

        let revoked = named.change_partner(&id, PartnerChange::Revoke, at(40 + round)).await.unwrap();
        match revoked {
            PartnerChanged::Done if is_first => expected.push("partner.revoke ptn_pos".to_owned()),
            PartnerChanged::Unchanged if !is_first => {}
            other => panic!("{other:?}"),
        }
        let rotate = PartnerChange::RotateSecret { secret_hash: Bytes::from_static(b"other") };
        assert_eq!(named.change_partner(&id, rotate, at(50)).await.unwrap(), PartnerChanged::Revoked);

        if is_first {
            let token = NewToken {
                name: "Ana".to_owned(),
                role: Role::Support,
                token_hash: Bytes::from_static(b"h"),
            };
            let AddToken::Added(token) = named.add_token(token, at(60)).await.unwrap() else { panic!() };
            assert_eq!(token.token_id, TokenId(1));
            expected.push(format!("token.issue {}", token.token_id));
        }
        match named.revoke_token(TokenId(1), at(70 + round)).await.unwrap() {
            TokenRevoked::Done if is_first => expected.push(format!("token.revoke {}", TokenId(1))),
            TokenRevoked::Unchanged if !is_first => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(log(&*store).await, expected, "round {round}");
    }
    assert_eq!(&*store.partner_by_key("key_pos").await.unwrap().unwrap().secret_hash, b"hash");
}

pub(crate) async fn an_order_and_a_replay_that_stand_as_they_are_asked_to_leave_no_entry(
    store: Arc<impl Store + 'static>,
) {
    store.add_partner(partner("pos", BUSINESS)).await.unwrap();
    register(&*store, registration("pos", None, None, EventType::OrderCreated, "https://a.example")).await;
    let order = create(&*store, order_of(r#"[{"id":663}]"#, ""), at(0)).await.order_id;
    let caller =
        Caller { token_id: TokenId(0), address: String::new(), request_id: String::new(), now: at(1) };
    let named = store.clone().in_name_of(caller);
    for _ in 0..2 {
        named.change(moved(order, KnownStatus::Ready), at(2)).await.unwrap();
        named.change(edit(order, r#"{"cart":[]}"#), at(3)).await.unwrap();
    }
    let filter = ReplayFilter { webhook_id: Some(WebhookId(1)), ..ReplayFilter::default() };
    let request = ReplayRequest { kind: ReplayKind::Missed, history: true, filter };
    let StartReplay::Started(replay) = named.start_replay(request, at(4)).await.unwrap() else { panic!() };
    for steer in [SteerReplay::Pause, SteerReplay::Resume, SteerReplay::Cancel] {
        for is_first in [true, false] {
            match named.steer_replay(replay.replay_id, steer, at(5)).await.unwrap() {
                SteeredReplay::Done(_) if is_first => {}
                SteeredReplay::Unchanged(_) if !is_first => {}
                other => panic!("{other:?}"),
            }
        }
    }
    let id = replay.replay_id;
    let expected = [
        format!("order.move {order}"),
        format!("order.edit_cart {order}"),
        format!("replay.begin {id}"),
        format!("replay.pause {id}"),
        format!("replay.resume {id}"),
        format!("replay.cancel {id}"),
    ];
    assert_eq!(log(&*store).await, expected);
}
