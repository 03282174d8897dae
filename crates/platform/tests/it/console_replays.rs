//! Many deliveries are sent again from the console: found by reason, counted, then sent by a job that is steered there.

use hookit_sim::endpoints::{Answer, ScriptedEndpoint};

use crate::console::{Browser, assert_protected};
use crate::harness::{Running, TOKEN, received};
use crate::http::patiently;
use crate::replay_jobs::{hasty, with_dead};

const COUNTED: &str = "/console/replays/count?state=dead&endpoint_id=1";

#[tokio::test]
async fn dead_letters_are_shown_by_reason_and_sent_again_as_many_as_were_counted() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let running = Running::with(hasty()).await;
    running.listener(&endpoint).await;
    with_dead(&running, &endpoint, 3).await;
    let browser = Browser::signed_in(&running, TOKEN).await;
    let page = browser.get("/console/dead-letters").await.expect(200);
    assert_protected(&page);
    for said in ["refused with 400", ">3</td>", "3 in all", "state=dead&amp;endpoint_id=1"] {
        assert!(page.text().contains(said), "{said}: {}", page.text());
    }
    let counted = browser.get(COUNTED).await.expect(200);
    assert_protected(&counted);
    assert!(
        counted
            .text()
            .contains("It would be <b>3</b> deliveries: what was sent, with the same ids, endpoint"),
        "{}",
        counted.text()
    );
    assert_eq!(running.status().await["dead"], 3, "counting sends nothing");

    let before = endpoint.requests().len() as u64;
    let fields = [("kind", "same_ids"), ("state", "dead"), ("endpoint_id", "1"), ("order_id", "")];
    let begun = browser.post("/console/replays/begin", &fields).await.expect(303);
    let job = begun.header("location").unwrap().to_owned();
    assert_eq!(job, "/console/replays/1");
    received(&endpoint, before + 3).await;
    running.until("dead", 0).await;
    let page = patiently(async {
        loop {
            let page = browser.get(&job).await.expect(200);
            if page.text().contains(">done<") {
                return page;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_protected(&page);
    assert!(!page.text().contains("data-live"), "what is over does not change");
    for said in ["3 of 3", "what was sent, with the same ids", "100 %"] {
        assert!(page.text().contains(said), "{said}: {}", page.text());
    }
    let list = browser.get("/console/replays").await.expect(200);
    assert_protected(&list);
    assert!(list.text().contains("href=\"/console/replays/1\""), "{}", list.text());
    let nothing = browser.get(COUNTED).await.expect(200);
    assert!(nothing.text().contains("There is nothing to send") && !nothing.text().contains("Send them"));
    let empty = browser.get("/console/dead-letters").await.expect(200);
    assert!(empty.text().contains("There is none."), "{}", empty.text());
    running.stop().await;
}

#[tokio::test]
async fn a_replay_is_paused_goes_on_and_is_taken_back() {
    let running = Running::start().await;
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    running.listener(&endpoint).await;
    let order = running.order().await;
    received(&endpoint, 1).await;
    running.until("delivered", 1).await;
    endpoint.answer(Answer::Status(500));
    let browser = Browser::signed_in(&running, TOKEN).await;
    let order = order.to_string();
    let fields = [("kind", "new_ids"), ("order_id", order.as_str()), ("history", "all")];
    browser.post("/console/replays/begin", &fields).await.expect(303);
    let shown = |page: &crate::http::Answer, said: &str| {
        assert!(page.text().contains(said), "{said}: {}", page.text());
    };
    browser.post("/console/replays/1/pause", &[]).await.expect(303);
    let page = browser.get("/console/replays/1").await.expect(200);
    for said in [">paused<", "Go on", "with new ids, every state", "data-live=\"/console/replays/1/live\""] {
        shown(&page, said);
    }
    browser.post("/console/replays/1/resume", &[]).await.expect(303);
    shown(&browser.get("/console/replays/1").await.expect(200), ">running<");
    browser.post("/console/replays/1/cancel", &[]).await.expect(303);
    let page = browser.get("/console/replays/1").await.expect(200);
    shown(&page, ">cancelled<");
    assert!(!page.text().contains("Take it back"));
    shown(&browser.post("/console/replays/1/resume", &[]).await.expect(409), "the replay has ended");
    browser.get("/console/replays/404").await.expect(404);
    browser.get("/console/replays/404/live").await.expect(404);
    browser.post("/console/replays/404/pause", &[]).await.expect(404);
    running.stop().await;
}

#[tokio::test]
async fn a_wish_that_cannot_be_is_refused_with_the_field() {
    let running = Running::start().await;
    let browser = Browser::signed_in(&running, TOKEN).await;
    for (query, said) in [
        ("", "expected at least one condition"),
        ("kind=odd&state=dead", "expected same_ids, new_ids or missed"),
        ("state=pending", "what is pending is sent anyway"),
        ("state=odd", "expected a state"),
        ("endpoint_id=x", "expected a number"),
        ("endpoint_id=404", "there is no such endpoint"),
        ("kind=missed", "expected the registration"),
        ("kind=missed&webhook_id=404", "there is no such registration"),
        ("state=dead&since=yesterday", "expected a time like"),
        ("since=2026-03-02T18:30&until=2026-03-01T18:30:10", "expected a time after since"),
    ] {
        let refused = browser.get(&format!("/console/replays/count?{query}")).await.expect(400);
        assert_protected(&refused);
        assert!(refused.text().contains(said), "{query}: {}", refused.text());
    }
    running.stop().await;
}
