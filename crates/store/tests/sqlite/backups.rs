//! Copies of a store at work, and what they are good for.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use hookit_contract::DeliveryId;
use hookit_store::inbox::{CHANGES_AHEAD, Received, Source, Store};
use hookit_store::platform::{EventQuery, EventsRead, Store as _, WebhookQuery};
use hookit_store::sqlite::{
    BackupError, InboxOptions, InboxStore, PlatformOptions, PlatformStore, backup_inbox, backup_platform,
    restore_inbox, restore_platform,
};

use crate::fixture::*;

fn delivery(number: i64) -> Received {
    Received {
        delivery_id: DeliveryId::from(format!("evt_{number}")),
        event_type: None,
        source: Source::Webhook,
        secret: None,
        headers: Vec::new(),
        body: Bytes::from(format!(r#"{{"orders":[{{"id":{},"version":{number}}}]}}"#, 1 + number % 50)),
        received_at: at(number),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_made_while_much_comes_in_is_of_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = Arc::new(InboxStore::open(&data, InboxOptions::default()).unwrap());
    for number in 0..500 {
        store.receive(delivery(number)).await.unwrap();
    }
    let copy = folder.path().join("copy");
    let (from, to) = (data.clone(), copy.clone());
    let mut told = Vec::new();
    let making = tokio::task::spawn_blocking(move || {
        let bytes = backup_inbox(&from, &to, |done, all| told.push((done, all))).unwrap();
        (bytes, told)
    });
    let mut number = 500;
    while !making.is_finished() {
        store.receive(delivery(number)).await.unwrap();
        number += 1;
    }
    let (bytes, told) = making.await.unwrap();
    assert_eq!(told.last(), Some(&(bytes, bytes)));
    assert_eq!(bytes, fs::metadata(&copy).unwrap().len());

    let again = folder.path().join("again");
    restore_inbox(&copy, &again, |_, _| {}).unwrap();
    let restored = InboxStore::open(&again, InboxOptions::default()).unwrap();
    let received = restored.counts().await.unwrap().received;
    assert!((500..=number as u64).contains(&received), "{received} of {number}");
    // All that was received up to that moment, with what came of it, and nothing of what came later.
    let changes = restored.changes(received as i64 - 1, 10).await.unwrap().changes;
    assert_eq!(changes.iter().map(|change| change.change_seq).collect::<Vec<_>>(), [received as i64]);
    restored.receive(delivery(100_000)).await.unwrap();
    let changes = restored.changes(received as i64, 10).await.unwrap().changes;
    assert_eq!(changes[0].change_seq, received as i64 + CHANGES_AHEAD + 1);
    assert_eq!(*restored.changed().borrow(), changes[0].change_seq);
}

#[tokio::test]
async fn what_is_no_copy_of_an_inbox_is_refused_and_nothing_is_left_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("text"), "no database at all".repeat(100)).unwrap();
    let platform = PlatformStore::open(&path("platform"), PlatformOptions::default()).unwrap();
    hookit_store::platform::Store::close(&platform).await;
    let store = InboxStore::open(&path("inbox"), InboxOptions::default()).unwrap();
    store.receive(delivery(1)).await.unwrap();
    store.close().await;
    backup_inbox(&path("inbox"), &path("torn"), |_, _| {}).unwrap();
    let whole = fs::read(path("torn")).unwrap();
    fs::write(path("torn"), &whole[..whole.len() / 2]).unwrap();
    for from in [path("text"), path("platform/platform.db"), path("torn"), path("nothing")] {
        let refused = restore_inbox(&from, &path("data"), |_, _| {}).unwrap_err();
        let left: Vec<_> =
            fs::read_dir(path("data")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["inbox.lock"], "{from:?}: {refused}");
    }
    let refused = restore_inbox(&path("nothing"), &path("data"), |_, _| {}).unwrap_err();
    assert!(
        refused.to_string().ends_with("nothing is not there; expected a copy that a backup has made"),
        "{refused}"
    );
    // What a copy that was broken off has left behind is not taken for anything.
    backup_inbox(&path("inbox"), &path("whole"), |_, _| {}).unwrap();
    for leftover in ["again.part", "again.part-journal", "again.part-wal"] {
        fs::write(path(leftover), "left behind").unwrap();
    }
    backup_inbox(&path("inbox"), &path("again"), |_, _| {}).unwrap();
    assert_eq!(fs::read(path("again")).unwrap(), fs::read(path("whole")).unwrap());
    assert!(!path("again.part-journal").exists() && !path("again.part-wal").exists());
    // Nor a log without its database for that of the one that comes.
    fs::write(path("data/inbox.db-wal"), "of another").unwrap();
    let refused = restore_inbox(&path("whole"), &path("data"), |_, _| {}).unwrap_err();
    assert!(refused.to_string().contains("inbox.db-wal is there already"), "{refused}");
    assert!(!path("data/inbox.db").exists());

    let missing = backup_inbox(&path("nowhere"), &path("copy"), |_, _| {}).unwrap_err();
    assert!(matches!(missing, BackupError::Missing { .. }), "{missing}");
    fs::write(path("taken"), "mine").unwrap();
    let taken = backup_inbox(&path("inbox"), &path("taken"), |_, _| {}).unwrap_err();
    assert!(matches!(taken, BackupError::Exists { .. }), "{taken}");
    assert_eq!(fs::read(path("taken")).unwrap(), b"mine");
}

#[tokio::test]
async fn a_platform_made_of_a_copy_gives_no_number_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let store = PlatformStore::open(&path("platform"), PlatformOptions::default()).unwrap();
    let webhooks = listener(&store, "pos").await;
    plain(&store, at(0)).await;
    backup_platform(&path("platform"), &path("copy"), |_, _| {}).unwrap();
    // What is lost: events that somebody read, and deliveries that somebody has.
    for _ in 0..3 {
        plain(&store, at(1)).await;
    }
    let query = EventQuery { after: None, business_id: BUSINESS, limit: 10, record_bytes_max: 1 << 20 };
    let EventsRead::Page(read) = store.events(query).await.unwrap() else { panic!("a page") };
    assert_eq!(read.events.len(), 4);
    let sent = backlog(&store).await.last().unwrap().seq;
    hookit_store::platform::Store::close(&store).await;
    drop(store);

    let refused = restore_inbox(&path("copy"), &path("again"), |_, _| {}).unwrap_err();
    assert!(refused.to_string().contains("inbox"), "{refused}");
    for turn in 1..=2 {
        let again = path(&format!("again {turn}"));
        restore_platform(&path("copy"), &again, |_, _| {}).unwrap();
        let restored = PlatformStore::open(&again, PlatformOptions::default()).unwrap();
        assert_eq!(restored.webhooks(WebhookQuery::first(9)).await.unwrap().len(), webhooks.len());
        let made = plain(&restored, at(2)).await;
        let newest = backlog(&restored).await.last().unwrap().seq;
        assert!(newest > sent && newest.0 > 1 << 40, "{newest}");
        // Who had read on goes on from there, and hears of what is new.
        let EventsRead::Page(page) =
            restored.events(EventQuery { after: Some(read.next), ..query }).await.unwrap()
        else {
            panic!("a page")
        };
        assert_eq!(page.events.iter().map(|event| event.order_id).collect::<Vec<_>>(), [made.order_id]);
    }
}
