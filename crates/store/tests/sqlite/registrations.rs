//! How many registrations there may be.

use hookit_contract::{BranchId, BusinessId, EventType};
use hookit_store::platform::{NewWebhook, PutWebhook, Store as _, WEBHOOKS_MAX};
use hookit_store::sqlite::{PlatformOptions, PlatformStore};
use rusqlite::Connection;

use crate::fixture::*;

fn for_branch(partner: &str, branch_id: i64) -> NewWebhook {
    let branch_id = Some(BranchId(branch_id));
    registration(partner, None, branch_id, EventType::OrderCreated, "https://pos.example/hook")
}

#[tokio::test]
async fn the_partners_of_one_business_have_so_many_registrations_and_those_of_another_have_their_own() {
    let (store, folder) = sqlite_platform();
    for (name, business_id) in [("pos", BUSINESS), ("erp", BUSINESS), ("far", BusinessId(10))] {
        store.add_partner(partner(name, business_id)).await.unwrap();
    }
    let first = register(&store, for_branch("pos", 1)).await;
    store.close().await;
    drop(store);
    // So many by the front door take a minute.
    let db = Connection::open(folder.path().join("platform.db")).unwrap();
    let copied = db.execute(
        "WITH RECURSIVE branches (id) AS (SELECT 2 UNION ALL SELECT id + 1 FROM branches WHERE id < ?1 - 1)
         INSERT INTO webhooks (partner_id, endpoint_id, branch_id, event_type, created_at, updated_at)
         SELECT partner_id, endpoint_id, id, event_type, created_at, updated_at FROM webhooks, branches",
        [i64::try_from(WEBHOOKS_MAX).unwrap()],
    );
    assert_eq!(copied.unwrap(), WEBHOOKS_MAX - 2);
    drop(db);

    let store = PlatformStore::open(folder.path(), PlatformOptions::default()).unwrap();
    let put = async |webhook| store.put_webhook(webhook, at(1)).await.unwrap();
    // The last one is any partner's of the business.
    assert!(matches!(put(for_branch("erp", 1)).await, PutWebhook::Created(_)));
    for name in ["pos", "erp"] {
        assert!(matches!(put(for_branch(name, 1_000_000)).await, PutWebhook::TooMany));
    }
    let elsewhere = NewWebhook { url: "https://pos.example/new".to_owned(), ..for_branch("pos", 7) };
    assert!(matches!(put(elsewhere).await, PutWebhook::Updated { .. }));
    assert!(matches!(put(for_branch("far", 1)).await, PutWebhook::Created(_)));
    store.remove_webhook(first.webhook_id, "Mai", at(2)).await.unwrap();
    assert!(matches!(put(for_branch("pos", 1_000_000)).await, PutWebhook::Created(_)));
    store.close().await;
}
