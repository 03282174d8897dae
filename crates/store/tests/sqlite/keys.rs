//! What is kept under a key when the program has become another one since.

use hookit_contract::{KnownStatus, TokenId};
use hookit_store::platform::{Changed, Once, OperatorKey, Store as _};
use hookit_store::sqlite::{PlatformOptions, PlatformStore};
use rusqlite::Connection;

use crate::fixture::*;

#[tokio::test]
async fn a_move_that_other_rules_had_refused_is_judged_anew_under_its_key() {
    let (store, folder) = sqlite_platform();
    let order = plain(&store, at(0)).await.order_id;
    let key = || OperatorKey { token_id: TokenId(0), key: "k".to_owned(), request_hash: [1; 32] };
    let ask =
        async |store: &PlatformStore, to, now| store.change_once(key(), moved(order, to), now).await.unwrap();
    let refused = ask(&store, KnownStatus::Scheduled, at(1)).await;
    assert!(matches!(refused, Once::Done(Changed::MoveRefused(_))), "{refused:?}");
    store.close().await;
    drop(store);
    // As if it had been refused in a status from which it is allowed by now.
    let db = Connection::open(folder.path().join("platform.db")).unwrap();
    assert_eq!(db.execute("UPDATE operator_writes SET status = 6", []).unwrap(), 1);
    drop(db);

    let store = PlatformStore::open(folder.path(), PlatformOptions::default()).unwrap();
    for now in [at(2), at(3)] {
        let refused = ask(&store, KnownStatus::Scheduled, now).await;
        assert!(matches!(refused, Once::Done(Changed::MoveRefused(_))), "{refused:?}");
    }
    store.close().await;
}
