//! A platform that stops, on purpose or not, goes on where it was: same ids, same bytes, nothing twice that was
//! recorded, nothing lost.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use hookit_sim::audit::Auditor;
use hookit_sim::endpoints::{Answer, Received, ScriptedEndpoint};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::harness::{BUSINESS, PartnerAccess, Running, Setup, order, received};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A platform with a runtime of its own, which can be taken away from under it.
struct Process {
    runtime: Runtime,
    platform: Running,
}

impl Process {
    fn start(dir: &Path, setup: Setup) -> Self {
        let runtime = runtime();
        let platform = runtime.block_on(Running::on(dir, setup));
        Process { runtime, platform }
    }

    /// Every task ends where it is; nobody is told.
    fn die(self) {
        drop(self.runtime);
        drop(self.platform);
    }
}

/// Id and bytes of what was received.
fn bodies(webhooks: &[Received]) -> BTreeMap<String, Bytes> {
    webhooks.iter().map(|webhook| (webhook.event_id().to_owned(), webhook.body.clone())).collect()
}

#[test]
fn a_platform_that_dies_with_posts_under_way_sends_them_again_with_the_same_ids_and_bytes() {
    let outside = runtime();
    let endpoint = outside.block_on(ScriptedEndpoint::start()).unwrap();
    let dir = tempfile::tempdir().unwrap();

    // Two orders are acknowledged. Then the endpoint hangs, and three more with a move each are under way or wait.
    let first = Process::start(dir.path(), Setup::default());
    let (partner, orders) = first.runtime.block_on(async {
        let platform = &first.platform;
        let partner: PartnerAccess = platform.listener(&endpoint).await;
        let mut orders = vec![platform.order().await, platform.order().await];
        platform.until("delivered", 2).await;
        endpoint.answer(Answer::Hang);
        for _ in 0..3 {
            let order = platform.order().await;
            platform.move_to(order, "ACCEPTED").await.expect(200);
            orders.push(order);
        }
        received(&endpoint, 5).await;
        (partner, orders)
    });
    first.die();
    let before = bodies(&endpoint.requests());

    endpoint.answer(Answer::Status(200));
    let second = Process::start(dir.path(), Setup::default());
    second.runtime.block_on(async {
        let platform = &second.platform;
        platform.until("pending", 0).await;
        let webhooks = endpoint.requests();
        let after = bodies(&webhooks);
        assert!(before.iter().all(|(id, body)| after.get(id) == Some(body)));
        assert_eq!(
            (after.len(), webhooks.len()),
            (8, 11),
            "three were under way and are repeated, nothing else"
        );
        webhooks.iter().for_each(|webhook| partner.verify(webhook));
        let mut auditor =
            Auditor::of(webhooks.iter().map(|webhook| (webhook.event_id(), webhook.body.as_ref())));
        auditor.expect_versions(orders.iter().zip([1, 1, 2, 2, 2]).map(|(order, version)| (*order, version)));
        auditor.assert_clean();
        let status = platform.status().await;
        let figures = ["orders", "events", "delivered", "dead", "attempts"].map(|name| status[name].clone());
        assert_eq!(figures, [5, 8, 8, 0, 8].map(|figure| json!(figure)));
        // New ids do not run into old ones.
        let next = platform.order().await;
        assert!(!orders.contains(&next));
        platform.until("delivered", 9).await;
        assert_eq!(bodies(&endpoint.requests()).len(), 9);
    });
    second.die();
}

#[test]
fn a_retry_that_waits_when_the_platform_dies_is_made_at_its_time_and_counts_on() {
    let outside = runtime();
    let endpoint = outside.block_on(ScriptedEndpoint::start()).unwrap();
    endpoint.answer(Answer::Status(500));
    let dir = tempfile::tempdir().unwrap();
    let first = Process::start(dir.path(), Setup::default());
    let id = first.runtime.block_on(async {
        first.platform.listener(&endpoint).await;
        first.platform.order().await;
        let id = received(&endpoint, 1).await[0].event_id().to_owned();
        first.platform.delivery_after_attempts(&id, 1).await;
        id
    });
    first.die();

    endpoint.answer(Answer::Status(200));
    let second = Process::start(dir.path(), Setup::default());
    second.runtime.block_on(async {
        let platform = &second.platform;
        // An order that goes out shows that the dispatcher is at work; the other one has not come to its time.
        platform.order().await;
        platform.until("delivered", 1).await;
        let waiting = platform.delivery(&id).await;
        assert_eq!((&waiting["state"], &waiting["attempts"]), (&json!("pending"), &json!(1)));
        platform.pass(2 * crate::harness::HOUR).await;
        platform.until("delivered", 2).await;
        let delivery = platform.delivery(&id).await;
        assert_eq!(delivery["log"][1]["attempt"], 2);
        let webhooks = endpoint.requests();
        assert_eq!(webhooks[0].body, webhooks.iter().rfind(|webhook| webhook.event_id() == id).unwrap().body);
    });
    second.die();
}

#[tokio::test]
async fn a_stop_waits_for_posts_under_way_and_records_how_they_ended() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    endpoint.answer(Answer::Status(200).after(Duration::from_millis(300)));
    let platform = Running::start().await;
    platform.listener(&endpoint).await;
    for _ in 0..3 {
        platform.order().await;
    }
    received(&endpoint, 3).await;
    let dir = platform.stop().await.unwrap();
    let answered = endpoint.requests().iter().filter(|webhook| webhook.answered.is_some()).count();
    assert_eq!(answered, 3, "the stop did not cut off what was under way");

    let again = Running::on(dir.path(), Setup::default()).await;
    let status = again.status().await;
    assert_eq!((&status["delivered"], &status["attempts"]), (&json!(3), &json!(3)));
    assert_eq!(endpoint.counts().requests, 3);
    again.stop().await;
}

#[tokio::test]
async fn what_an_operator_has_set_up_is_there_after_a_restart() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let platform = Running::start().await;
    platform.hierarchy(BUSINESS, &[(663, &[1062])]).await;
    let partner = platform.listener(&endpoint).await;
    let order_id = platform.order().await;
    platform.until("delivered", 1).await;
    let snapshot = |mut all: Vec<String>| {
        // But for the status, whose latencies begin anew.
        let before = all.len();
        all.retain(|text| !text.contains("since_start"));
        assert_eq!(all.len() + 1, before);
        all
    };
    let before = snapshot(platform.snapshot().await);
    let dir = platform.stop().await.unwrap();

    let again = Running::on(dir.path(), Setup::default()).await;
    assert_eq!(snapshot(again.snapshot().await), before);
    let path = format!("/v1/partner/orders/{order_id}");
    again.call_as(Some(&partner.basic()), "GET", &path, "").await.expect(200);
    let refused = again.call("POST", "/v1/operator/orders", order(BUSINESS, 1, &[663]).to_string()).await;
    assert_eq!(refused.error().1, "branch_id: branch 1 is not a branch of brand 663");
    again.order().await;
    partner.verify(&received(&endpoint, 2).await[1]);
    again.stop().await;
}

#[tokio::test]
async fn a_platform_with_another_key_does_not_start_and_says_why() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let dir = platform.stop().await.unwrap();
    std::fs::remove_file(dir.path().join("platform.key")).unwrap();
    let refused = Running::try_on(dir.path(), Setup::default()).await.err().unwrap().to_string();
    assert!(refused.contains(&partner.id) && refused.contains("platform.key"), "{refused}");
}
