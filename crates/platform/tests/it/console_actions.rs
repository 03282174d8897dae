//! What an operator does from the console: the same as over the API, within the same roles, in the same audit log.

use hookit_sim::endpoints::{Answer, ScriptedEndpoint};

use crate::console::{Browser, assert_protected};
use crate::harness::{Running, TOKEN, received};

#[tokio::test]
async fn a_delivery_is_found_sent_again_and_taken_back() {
    let running = Running::start().await;
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    running.listener(&endpoint).await;
    let browser = Browser::signed_in(&running, TOKEN).await;
    running.order().await;
    let id = received(&endpoint, 1).await[0].event_id().to_owned();
    running.until("delivered", 1).await;
    let page = browser.get(&format!("/console/deliveries/{id}")).await.expect(200);
    assert_protected(&page);
    assert!(
        page.text().contains("acknowledged with 200") && page.text().contains("Send again"),
        "{}",
        page.text()
    );
    for (query, is_there) in [
        ("", true),
        ("?state=delivered&event_type=&endpoint_id=1&order_id=", true),
        ("?state=dead", false),
        ("?order_id=404", false),
    ] {
        let list = browser.get(&format!("/console/deliveries{query}")).await.expect(200);
        assert_protected(&list);
        assert_eq!(list.text().contains(&id), is_there, "{query}: {}", list.text());
    }
    browser.get("/console/deliveries?state=odd").await.expect(400);
    browser.get("/console/deliveries/evt_404").await.expect(404);

    let again = browser.post(&format!("/console/deliveries/{id}/replay"), &[]).await.expect(303);
    assert_eq!(again.header("location"), Some(format!("/console/deliveries/{id}").as_str()));
    assert_eq!(received(&endpoint, 2).await[1].event_id(), id);
    // What has not ended cannot be sent again, and what has ended cannot be taken back: said as a page.
    endpoint.answer(Answer::Status(500));
    let order = running.order().await;
    let failing = running.deliveries(&format!("?order_id={order}")).await[0]["delivery_id"]
        .as_str()
        .unwrap()
        .to_owned();
    running.delivery_after_attempts(&failing, 1).await;
    let refused = browser.post(&format!("/console/deliveries/{failing}/replay"), &[]).await.expect(409);
    assert!(refused.text().contains("only one that has ended can be replayed"), "{}", refused.text());
    browser.post(&format!("/console/deliveries/{failing}/cancel"), &[]).await.expect(303);
    let refused = browser.post(&format!("/console/deliveries/{failing}/cancel"), &[]).await.expect(409);
    assert!(refused.text().contains("the delivery is cancelled; only one that is pending can be cancelled"));
    let shown = browser.get(&format!("/console/deliveries/{failing}")).await.expect(200);
    assert!(shown.text().contains("Taken back by") && shown.text().contains("operator"), "{}", shown.text());

    let log = running.get("/v1/operator/audit").await.data();
    let entries = log["entries"].as_array().unwrap().iter();
    let of_deliveries = entries.filter(|entry| entry["action"].as_str().unwrap().starts_with("delivery."));
    let done: Vec<_> =
        of_deliveries.map(|entry| (entry["action"].as_str(), entry["target"].as_str())).collect();
    let expected = [("delivery.cancel", &failing), ("delivery.replay", &id)];
    assert_eq!(done, expected.map(|(action, target)| (Some(action), Some(target.as_str()))), "{log}");
    running.stop().await;
}

#[tokio::test]
async fn an_endpoint_is_paused_and_resumed() {
    let running = Running::start().await;
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let partner = running.listener(&endpoint).await;
    let browser = Browser::signed_in(&running, TOKEN).await;
    browser.post("/console/endpoints/1/pause", &[]).await.expect(303);
    running.order().await;
    let page = browser.get("/console/endpoints/1").await.expect(200);
    assert_protected(&page);
    assert!(
        page.text().contains("An operator paused it") && page.text().contains("Resume"),
        "{}",
        page.text()
    );
    assert!(!page.text().contains(&partner.webhook_secret) && !page.text().contains(&partner.secret));
    let list = browser.get("/console/endpoints").await.expect(200);
    assert_protected(&list);
    assert!(
        list.text().contains(">paused<") && list.text().contains("<svg class=\"spark\""),
        "{}",
        list.text()
    );
    assert_eq!(endpoint.counts().requests, 0);
    browser.post("/console/endpoints/1/resume", &[]).await.expect(303);
    received(&endpoint, 1).await;
    browser.post("/console/endpoints/404/pause", &[]).await.expect(404);
    browser.get("/console/endpoints/404").await.expect(404);
    running.stop().await;
}

#[tokio::test]
async fn what_a_role_may_not_do_is_not_offered_and_refused_when_it_is_sent() {
    let running = Running::start().await;
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    running.listener(&endpoint).await;
    let token = running.token("Ana", "support").await;
    let browser = Browser::signed_in(&running, &token).await;
    endpoint.answer(Answer::Status(500));
    let order = running.order().await;
    let id = running.deliveries(&format!("?order_id={order}")).await[0]["delivery_id"]
        .as_str()
        .unwrap()
        .to_owned();
    running.delivery_after_attempts(&id, 1).await;
    let page = browser.get(&format!("/console/deliveries/{id}")).await.expect(200);
    assert!(!page.text().contains("Take it back"), "{}", page.text());
    let page = browser.get("/console/endpoints/1").await.expect(200);
    assert!(!page.text().contains("Pause"), "{}", page.text());
    let before = running.snapshot().await;
    for path in [format!("/console/deliveries/{id}/cancel"), "/console/endpoints/1/pause".to_owned()] {
        let refused = browser.post(&path, &[]).await.expect(403);
        assert_protected(&refused);
        assert!(refused.text().contains("the role support may not do this"), "{}", refused.text());
    }
    // Nor does anything happen without the session's token, whatever the role.
    let admin = Browser::signed_in(&running, TOKEN).await;
    for path in [format!("/console/deliveries/{id}/cancel"), "/console/endpoints/1/pause".to_owned()] {
        admin.send("POST", &path, &[("sec-fetch-site", "same-origin")], "csrf=0").await.expect(403);
    }
    assert_eq!(running.snapshot().await, before);
    running.stop().await;
}
