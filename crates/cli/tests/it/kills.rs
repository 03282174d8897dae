//! `kill -9` at any moment, again and again: whatever was acknowledged arrives all the same, with stable ids and
//! bytes, in order per order, and both views become equal (G1, G2, G3, G4, G7, G8).

use std::time::Duration;

use hookit_contract::EventType;
use hookit_sim::endpoints::{Answer, ScriptedEndpoint};
use hookit_sim::traffic::generator;
use rand::RngExt as _;

use crate::harness::halves::{Inbox, PATIENT, Platform};
use crate::harness::ledger::arrivals;
use crate::harness::producer::Producers;
use crate::harness::{Scratch, until};

/// How often the process is killed in a run.
const KILLS: u32 = 20;
/// Orders that live at a time.
const PRODUCERS: u32 = 10;
/// Each is another run: other orders, other moments.
const SEEDS: [u64; 3] = [0x5eed_0001, 0x5eed_0002, 0x5eed_0003];

/// A moment that the seed decides, to be in the middle of something else each time.
async fn moment(dice: &mut impl rand::Rng, ms_max: u64) {
    tokio::time::sleep(Duration::from_millis(dice.random_range(0..=ms_max))).await;
}

async fn kill_the_platform(seed: u64) {
    let scratch = Scratch::new();
    scratch.write("seed", &seed.to_string());
    let mut platform = Platform::start(&scratch, PATIENT).await;
    // One partner whose receiver can be looked into, and one with an inbox.
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let (scripted, boxed) = (platform.partner("Scripted").await, platform.partner("Inbox").await);
    let inbox = Inbox::start(&scratch, &boxed.webhook_secret).await;
    platform.register(&scripted, &EventType::ALL, &endpoint.url()).await;
    platform.register(&boxed, &EventType::ALL, &inbox.webhook()).await;
    endpoint.answer_each(|request| match request.arrival % 13 {
        3 => Answer::Status(500),
        8 => Answer::ResetAfterRead,
        _ => Answer::Status(200),
    });

    let producers = Producers::start(&platform.operator, seed, PRODUCERS, None);
    let mut dice = generator(seed);
    for kill in 0..KILLS {
        // Some come while it is starting, the others in the middle of the traffic.
        if kill % 4 == 3 {
            platform.server.kill().await;
            platform.server.spawn(&scratch);
            moment(&mut dice, 60).await;
        } else {
            platform.server.listening().await;
            let further = dice.random_range(5..40);
            producers.ledger.reaches(producers.ledger.acknowledgements() + further).await;
            moment(&mut dice, 15).await;
        }
        platform.server.kill().await;
        platform.server.spawn(&scratch);
    }
    platform.server.listening().await;
    let ledger = producers.finish().await;
    platform.drained().await;

    assert!(
        ledger.posted_again() >= u64::from(KILLS) / 2,
        "the kills hit nothing: {}",
        ledger.posted_again()
    );
    let auditor = ledger.assert_arrived(&arrivals(&endpoint, &scripted.webhook_secret));
    assert!(auditor.repeats() > 0, "answers were lost, so something must have come again");
    platform.assert_equal_views(&scratch, &inbox, ledger.orders()).await;
    inbox.assert_each_version_once(ledger.last_versions()).await;
}

async fn kill_the_inbox(seed: u64) {
    let scratch = Scratch::new();
    scratch.write("seed", &seed.to_string());
    let platform = Platform::start(&scratch, PATIENT).await;
    let partner = platform.partner("Inbox").await;
    let mut inbox = Inbox::start(&scratch, &partner.webhook_secret).await;
    platform.register(&partner, &EventType::ALL, &inbox.webhook()).await;

    let producers = Producers::start(&platform.operator, seed, PRODUCERS, None);
    let mut dice = generator(seed);
    for kill in 0..KILLS {
        if kill % 4 == 3 {
            inbox.server.kill().await;
            inbox.server.spawn(&scratch);
            moment(&mut dice, 60).await;
        } else {
            inbox.server.listening().await;
            let wanted = platform.count("delivered").await + dice.random_range(5..40);
            until("deliveries", async || (platform.count("delivered").await >= wanted).then_some(())).await;
            moment(&mut dice, 15).await;
        }
        inbox.server.kill().await;
        inbox.server.spawn(&scratch);
    }
    inbox.server.listening().await;
    let ledger = producers.finish().await;
    platform.drained().await;

    platform.assert_equal_views(&scratch, &inbox, ledger.orders()).await;
    inbox.assert_each_version_once(ledger.last_versions()).await;
    let attempts = platform.count("attempts").await;
    assert!(attempts > platform.count("delivered").await, "the kills cost no attempt, so they hit nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_platform_acknowledged_arrives_however_often_it_is_killed() {
    for seed in SEEDS {
        kill_the_platform(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_inbox_acknowledged_is_kept_however_often_it_is_killed() {
    for seed in SEEDS {
        kill_the_inbox(seed).await;
    }
}
