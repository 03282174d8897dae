//! A registration whose URL is changed while its backlog waits for an endpoint that is down.

use std::collections::BTreeSet;

use hookit_contract::EventType;
use hookit_sim::audit::Auditor;
use hookit_sim::endpoints::ScriptedEndpoint;

use crate::harness::Scratch;
use crate::harness::halves::{Inbox, PATIENT, Platform};
use crate::harness::ledger::arrivals;
use crate::harness::producer::Producers;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backlog_of_a_registration_follows_it_to_its_new_url_in_order_per_order() {
    let scratch = Scratch::new();
    let platform = Platform::start(&scratch, PATIENT).await;
    let partner = platform.partner("Moving").await;
    let mut old = ScriptedEndpoint::start().await.unwrap();
    let new = ScriptedEndpoint::start().await.unwrap();
    let status_updated = [EventType::OrderStatusUpdated];
    platform.register(&partner, &status_updated, &old.url()).await;
    old.stop().await.unwrap();
    let producers = Producers::start(&platform.operator, 0x5eed_0010, 6, Some(8));
    producers.ledger.reaches(100).await;
    let waiting = platform.count("pending").await;
    assert!(waiting > 0 && platform.count("delivered").await == 0);
    // In the middle of the traffic: what is committed before and after the change must not overtake one another.
    platform.register(&partner, &status_updated, &new.url()).await;
    let ledger = producers.done().await;
    platform.drained().await;

    assert_eq!(old.counts().requests, 0);
    let arrived = arrivals(&new, &partner.webhook_secret);
    let auditor = Auditor::of(arrived.iter().map(|a| (a.event_id.as_str(), &a.body[..])));
    auditor.assert_clean();
    assert_eq!(auditor.repeats(), 0, "the new endpoint acknowledges at once");
    let delivered: Vec<_> = platform.deliveries("delivered").await;
    assert_eq!(delivered.len(), arrived.len());
    assert!(delivered.len() as u64 >= waiting);
    // Every order of these moves or is cancelled at least once.
    assert_eq!(auditor.versions().len(), ledger.orders());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_where_three_registrations_move_one_after_the_other() {
    let scratch = Scratch::new();
    let platform = Platform::start(&scratch, PATIENT).await;
    let partner = platform.partner("Moving").await;
    let mut old = ScriptedEndpoint::start().await.unwrap();
    let inbox = Inbox::start(&scratch, &partner.webhook_secret).await;
    platform.register(&partner, &EventType::ALL, &old.url()).await;
    old.stop().await.unwrap();
    let ledger = Producers::start(&platform.operator, 0x5eed_0011, 6, Some(8)).done().await;
    assert_eq!(platform.count("delivered").await, 0);
    platform.register(&partner, &EventType::ALL, &inbox.webhook()).await;
    platform.drained().await;
    assert_eq!(old.counts().requests, 0);
    platform.assert_equal_views(&scratch, &inbox, ledger.orders()).await;
    for (order_id, last) in ledger.last_versions() {
        let came: BTreeSet<i64> =
            inbox.history(order_id).await.into_iter().map(|(version, _)| version).collect();
        assert_eq!(came, (1..=last).collect(), "order {order_id}");
    }
}
