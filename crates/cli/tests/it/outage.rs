//! A partner that is away for a while: its backlog waits, and goes out in order per order when it is back.

use hookit_contract::EventType;

use crate::harness::halves::{Inbox, PATIENT, Platform};
use crate::harness::producer::Producers;
use crate::harness::{Scratch, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backlog_of_an_inbox_that_was_stopped_arrives_in_order_per_order() {
    let scratch = Scratch::new();
    let platform = Platform::start(&scratch, PATIENT).await;
    let partner = platform.partner("Inbox").await;
    let mut inbox = Inbox::start(&scratch, &partner.webhook_secret).await;
    platform.register(&partner, &EventType::ALL, &inbox.webhook()).await;

    let producers = Producers::start(&platform.operator, 0x5eed_0004, 6, None);
    producers.ledger.reaches(60).await;
    inbox.server.stop().await;
    producers.ledger.reaches(producers.ledger.acknowledgements() + 200).await;
    let before = platform.count("delivered").await;
    let waiting = until("a backlog", async || {
        let pending = platform.count("pending").await;
        (pending >= 150).then_some(pending)
    })
    .await;
    assert_eq!(platform.count("delivered").await, before, "nobody is there: {waiting} wait");
    inbox.server.start(&scratch).await;
    let ledger = producers.finish().await;
    platform.drained().await;

    platform.assert_equal_views(&scratch, &inbox, ledger.orders()).await;
    inbox.assert_each_version_once(ledger.last_versions()).await;
}
