//! Files and folders: whose they are, who may read them, and opening them again.

use std::path::Path;

use hookit_contract::{DeliveryId, DeliverySeq, KnownStatus, OrderId};
use hookit_store::OpenError;
use hookit_store::inbox::{self, Receipt, Received, Source};
use hookit_store::platform::{DeliveryQuery, Expiry, Store as _};
use hookit_store::sqlite::{InboxOptions, InboxStore, PlatformOptions, PlatformStore};
use rusqlite::Connection;

use crate::fixture::*;

fn open(folder: &Path) -> Result<PlatformStore, OpenError> {
    PlatformStore::open(folder, PlatformOptions::default())
}

fn refusal(folder: &Path) -> OpenError {
    match open(folder) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

/// Copies what a crash would leave of an open store: the file and its log, not the shared memory.
pub(crate) fn copy_as_after_a_crash(from: &Path, to: &Path, name: &str) {
    for suffix in ["", "-wal"] {
        let file = format!("{name}.db{suffix}");
        std::fs::copy(from.join(&file), to.join(&file)).unwrap();
    }
}

#[tokio::test]
async fn a_folder_serves_one_store_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let error = refusal(folder.path());
    assert!(matches!(&error, OpenError::Locked { path } if path == folder.path()), "{error}");
    // The two halves may share a folder.
    let inbox = InboxStore::open(folder.path(), InboxOptions::default()).unwrap();
    store.close().await;
    drop(store);
    drop(inbox);
    open(folder.path()).unwrap();
}

#[test]
fn a_store_of_a_newer_program_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    let path = folder.path().join("platform.db");
    let db = Connection::open(&path).unwrap();
    let present: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let before = std::fs::read(&path).unwrap();
    let error = refusal(folder.path());
    assert!(matches!(error, OpenError::Newer { found: 99, known, .. } if known == present), "{error}");
    assert!(error.to_string().contains("newer hookit"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_that_is_none_of_ours_is_refused_and_left_as_it_is() {
    let text = tempfile::tempdir().unwrap();
    std::fs::write(text.path().join("platform.db"), "not a database, but long enough to look at".repeat(100))
        .unwrap();

    let stranger = tempfile::tempdir().unwrap();
    Connection::open(stranger.path().join("platform.db"))
        .unwrap()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();

    let other_half = tempfile::tempdir().unwrap();
    drop(InboxStore::open(other_half.path(), InboxOptions::default()).unwrap());
    std::fs::rename(other_half.path().join("inbox.db"), other_half.path().join("platform.db")).unwrap();

    for folder in [text, stranger, other_half] {
        let path = folder.path().join("platform.db");
        let before = std::fs::read(&path).unwrap();
        let error = refusal(folder.path());
        assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = refusal(&file.join("data"));
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
    assert!(error.to_string().contains("data"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_read_what_is_made() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("a/b");
    let store = open(&made).unwrap();
    plain(&store, at(0)).await;
    assert_eq!(std::fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&made).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        files.push(entry.file_name().into_string().unwrap());
    }
    files.sort();
    assert_eq!(files, ["platform.db", "platform.db-shm", "platform.db-wal", "platform.lock"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_database_that_came_back_from_a_backup_with_an_open_mode_is_made_private() {
    use std::fs::{Permissions, metadata, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    let file = folder.path().join("platform.db");
    set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let store = open(folder.path()).unwrap();
    plain(&store, at(0)).await;
    for name in ["platform.db", "platform.db-wal", "platform.db-shm"] {
        let mode = metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn every_answered_change_is_there_after_a_crash_with_the_same_bytes_and_ids() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    listener(&store, "pos").await;
    let order = plain(&store, at(0)).await;
    done(&store, moved(order.order_id, KnownStatus::Accepted), at(1)).await;
    let mut payloads = Vec::new();
    for delivery in backlog(&store).await {
        payloads.push((delivery.clone(), store.payload(delivery.seq).await.unwrap().unwrap()));
    }
    assert_eq!(payloads.len(), 2);

    let crashed = tempfile::tempdir().unwrap();
    copy_as_after_a_crash(folder.path(), crashed.path(), "platform");
    let again = open(crashed.path()).unwrap();
    let (known, counts) = (backlog(&again).await, again.counts().await.unwrap());
    assert_eq!(known.len(), payloads.len());
    for (delivery, payload) in &payloads {
        assert!(known.contains(delivery));
        let same = again.payload(delivery.seq).await.unwrap().unwrap();
        assert_eq!((&same.body, &same.delivery_id), (&payload.body, &payload.delivery_id));
    }
    assert_eq!(counts, store.counts().await.unwrap());
    assert!(again.partner_by_key("key_pos").await.unwrap().is_some());
    // Numbers go on behind the last ones, and the registrations are known.
    let next = plain(&again, at(2)).await;
    assert_eq!(next.order_id, OrderId(order.order_id.0 + 1));
    assert_eq!(backlog(&again).await.len(), 3);
}

#[tokio::test]
async fn numbers_go_on_behind_the_last_ones_though_what_had_them_was_removed_for_its_age() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    listener(&store, "pos").await;
    for _ in 0..3 {
        plain(&store, at(0)).await;
    }
    for delivery in backlog(&store).await {
        store.give_up(vec![delivery.seq], at(1)).await.unwrap();
    }
    let all =
        store.deliveries(DeliveryQuery { limit: 9, ..DeliveryQuery::default() }).await.unwrap().deliveries;
    let first = &all[2].delivery_id;
    store.replay_delivery(first, at(2)).await.unwrap();
    store.give_up(vec![DeliverySeq::of_replay(1)], at(3)).await.unwrap();
    let mut place = Some(Expiry::default());
    while let Some(here) = place {
        place = store.expire(at(100), here).await.unwrap();
    }
    let left =
        store.deliveries(DeliveryQuery { limit: 9, ..DeliveryQuery::default() }).await.unwrap().deliveries;
    assert_eq!(left.iter().map(|d| d.seq).collect::<Vec<_>>(), [all[0].seq, all[2].seq]);
    store.close().await;
    drop(store);
    let again = open(folder.path()).unwrap();
    plain(&again, at(101)).await;
    assert_eq!(backlog(&again).await[0].seq, DeliverySeq(all[0].seq.0 + 1));
    again.replay_delivery(&all[0].delivery_id, at(102)).await.unwrap();
    let page = again.pending(all[0].endpoint_id, DeliverySeq::REPLAYS_AFTER, 9).await.unwrap();
    assert_eq!(page.deliveries[0].seq, DeliverySeq::of_replay(2));
}

#[tokio::test]
async fn a_store_that_was_closed_needs_no_log_file_and_opens_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let order = plain(&store, at(0)).await;
    store.close().await;
    assert!(!folder.path().join("platform.db-wal").exists());
    drop(store);
    let again = open(folder.path()).unwrap();
    assert_eq!(again.order(order.order_id).await.unwrap().unwrap().record, order.record);
}

#[tokio::test]
async fn an_inbox_knows_after_a_crash_what_it_has_received() {
    use inbox::Store as _;
    let folder = tempfile::tempdir().unwrap();
    let store = InboxStore::open(folder.path(), InboxOptions::default()).unwrap();
    let received = Received {
        delivery_id: DeliveryId::from("a"),
        event_type: None,
        source: Source::Webhook,
        secret: None,
        headers: Vec::new(),
        body: r#"{"orders":[{"id":7,"version":2},null]}"#.into(),
        received_at: at(0),
    };
    store.receive(received.clone()).await.unwrap();
    let crashed = tempfile::tempdir().unwrap();
    copy_as_after_a_crash(folder.path(), crashed.path(), "inbox");
    let again = InboxStore::open(crashed.path(), InboxOptions::default()).unwrap();
    assert_eq!(again.receive(received.clone()).await.unwrap(), Receipt::Duplicate);
    let older = Received {
        delivery_id: DeliveryId::from("b"),
        body: r#"{"orders":[{"id":7,"version":1}]}"#.into(),
        ..received
    };
    assert_eq!(
        again.receive(older).await.unwrap(),
        Receipt::Received { applied: 0, stale: 1, quarantined: 0, jumped: 0 }
    );
    assert_eq!(again.counts().await.unwrap(), inbox::Counts { orders: 1, received: 2, quarantined: 1 });
    assert_eq!(again.order(OrderId(7)).await.unwrap().unwrap().record, r#"{"id":7,"version":2}"#);

    // Whoever opens the file with a tool sees the view as text.
    let db = Connection::open(crashed.path().join("inbox.db")).unwrap();
    let record: String = db.query_row("SELECT record FROM order_records", [], |row| row.get(0)).unwrap();
    assert_eq!(record, r#"{"id":7,"version":2}"#);
}
