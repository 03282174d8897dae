//! The console's pages about orders: found by any id, told as a whole, with what waits for what.

use std::time::Duration;

use hookit_contract::EventType;
use hookit_sim::endpoints::{Answer, ScriptedEndpoint};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::console::{Browser, assert_protected};
use crate::harness::{BUSINESS, Running, TOKEN, order, received};
use crate::http::{head_to_keep_open, patiently};

/// A record with names and a brand.
fn named(short_id: &str, external_id: &str) -> serde_json::Value {
    let mut record = order(BUSINESS, 1062, &[663]);
    record["short_id"] = json!(short_id);
    record["external_id"] = json!(external_id);
    record["brand_name"] = json!("<b>Nam Sô & Co</b>");
    record
}

async fn page(browser: &Browser<'_>, path: &str) -> String {
    let answer = browser.get(path).await.expect(200);
    assert_protected(&answer);
    answer.text().to_owned()
}

/// The page of that path, as soon as it says this.
async fn page_saying(browser: &Browser<'_>, path: &str, said: &str) -> String {
    patiently(async {
        loop {
            let text = page(browser, path).await;
            if text.contains(said) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

#[tokio::test]
async fn an_orders_page_tells_what_happened_what_it_led_to_and_what_changed() {
    let running = Running::start().await;
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    running.listener(&endpoint).await;
    let browser = Browser::signed_in(&running, TOKEN).await;
    let id = running.create(&named("A-17", "GF-9")).await["id"].as_i64().unwrap();
    running.move_to(id, "ACCEPTED").await.expect(200);
    let edit = json!({"cart": [{"item_id": 1}], "order_comment": "extra chili"}).to_string();
    running.call("PUT", &format!("/v1/operator/orders/{id}/cart"), edit).await.expect(200);
    let webhooks = received(&endpoint, 3).await;
    running.until("pending", 0).await;
    let text = page(&browser, &format!("/console/orders/{id}")).await;
    for said in [
        "A-17",
        "GF-9",
        "&lt;b&gt;Nam Sô &amp; Co&lt;/b&gt;",
        "Created as ",
        "PLACED → ",
        "Cart edited",
        "acknowledged with 200 after ",
        "2 fields changed",
        "<ins class=\"mono\">&quot;extra chili&quot;</ins>",
        "<ins>[{&quot;item_id&quot;:1}]</ins>",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    for webhook in &webhooks {
        assert!(text.contains(webhook.event_id()), "{}: {text}", webhook.event_id());
    }
    assert!(!text.contains("What waits"), "{text}");
    // The record of the version before, without what came after it.
    let text = page(&browser, &format!("/console/orders/{id}?version=2")).await;
    let (_, record) = text.split_once("id=\"record\"").unwrap();
    assert!(record.contains("<ins>2</ins>") && !record.contains("extra chili"), "{record}");
    let text = page(&browser, &format!("/console/orders/{id}?version=9")).await;
    assert!(text.contains("The record of version 9 is not kept"), "{text}");
    browser.get("/console/orders/404").await.expect(404);
    browser.get("/console/orders/x").await.expect(404);
    running.stop().await;
}

#[tokio::test]
async fn an_orders_page_says_what_waits_for_what() {
    let running = Running::start().await;
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let partner = running.listener(&endpoint).await;
    let browser = Browser::signed_in(&running, TOKEN).await;
    endpoint.answer(Answer::Status(500));
    let id = running.create(&named("A-17", "GF-9")).await["id"].as_i64().unwrap();
    let path = format!("/console/orders/{id}");
    page_saying(&browser, &path, "refused with 500").await;
    running.move_to(id, "ACCEPTED").await.expect(200);
    let text = page(&browser, &path).await;
    let first =
        running.deliveries(&format!("?order_id={id}")).await[1]["delivery_id"].as_str().unwrap().to_owned();
    let (_, waits) = text.split_once("What waits").unwrap();
    assert!(waits.contains("Is tried again <time"), "{waits}");
    let behind = format!("Waits for <a class=\"mono\" href=\"/console/deliveries/{first}\">");
    assert!(waits.contains(&behind) && waits.contains("of this order, which goes first."), "{waits}");
    assert!(waits.contains("That one: Is tried again"), "{waits}");
    assert!(waits.contains("Its last attempt: refused with 500"), "{waits}");

    // Now the endpoint is down, and that is the reason.
    endpoint.answer(Answer::Status(503));
    running.create(&named("A-18", "GF-10")).await;
    let text = page_saying(&browser, &path, "It has been down for").await;
    assert!(text.contains("Its endpoint is down. It has been down for"), "{text}");
    // Who looks for the restaurant hears the same.
    let text = page(&browser, "/console/search?q=1062").await;
    let (_, branch) = text.split_once("Branch 1062").unwrap();
    assert!(branch.contains(">down<") && branch.contains("It has been down for"), "{branch}");
    assert!(branch.contains(&format!("/console/orders/{id}")), "{branch}");

    running.call("POST", "/v1/operator/webhooks/1/disable", "").await.expect(200);
    let text = page(&browser, &path).await;
    assert!(text.contains("Its endpoint is not sent anything. An operator paused it"), "{text}");
    assert!(!text.contains(&partner.webhook_secret) && !text.contains(&partner.secret));

    // One that was taken back before its first attempt and is sent again is a replay like any other.
    let newest =
        running.deliveries(&format!("?order_id={id}")).await[0]["delivery_id"].as_str().unwrap().to_owned();
    for what in ["cancel", "replay"] {
        running.call("POST", &format!("/v1/operator/deliveries/{newest}/{what}"), "").await.expect(200);
    }
    let text = page(&browser, &path).await;
    assert!(text.contains("It is sent again. Its endpoint is not sent anything."), "{text}");
    running.stop().await;
}

#[tokio::test]
async fn a_branch_is_found_by_its_orders_and_says_who_hears_of_them_by_the_rule_they_go_by() {
    let running = Running::start().await;
    let partner = running.partner("Till", BUSINESS).await;
    let created = EventType::OrderCreated;
    for (brand, branch, name) in
        [(None, None, "any"), (None, Some(1062), "of-the-branch"), (Some(777), None, "of-another-brand")]
    {
        let url = format!("http://127.0.0.1:9/{name}");
        running.register(&partner, brand, branch, created, &url).await.expect(201);
    }
    let browser = Browser::signed_in(&running, TOKEN).await;
    let elsewhere = running.create(&order(BUSINESS, 2003, &[663])).await["id"].as_i64().unwrap();
    running.order().await;
    // However many orders of others came since.
    let others = vec![order(BUSINESS, 7_777, &[663]).to_string(); 600].join("\n");
    running.call("POST", "/v1/operator/orders/bulk", others).await.expect(200);
    for (branch, hears, others) in [
        (1062, "/of-the-branch\"", ["/any\"", "/of-another-brand\""]),
        (2003, "/any\"", ["/of-the-branch\"", "/of-another-brand\""]),
    ] {
        let text = page(&browser, &format!("/console/search?q={branch}")).await;
        let (_, found) = text.split_once(&format!("Branch {branch}")).unwrap_or_else(|| panic!("{text}"));
        assert!(found.contains(hears), "{branch}: {found}");
        for other in others {
            assert!(!found.contains(other), "{branch} {other}: {found}");
        }
    }
    let text = page(&browser, "/console/search?q=2003").await;
    assert!(text.contains(&format!("/console/orders/{elsewhere}")), "{text}");
    // Nobody looked through so many orders, so nothing is said of a brand's.
    let text = page(&browser, "/console/search?q=777").await;
    assert!(
        text.contains("None of the 500 orders that changed last is of it") && !text.contains("nobody hears")
    );
    running.stop().await;
}

#[tokio::test]
async fn whatever_has_an_id_is_found_by_it() {
    let running = Running::start().await;
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    running.listener(&endpoint).await;
    let browser = Browser::signed_in(&running, TOKEN).await;
    let id = running.create(&named("A-17", "GF-9")).await["id"].as_i64().unwrap();
    let other = running.create(&named("A-17", "GF-10")).await["id"].as_i64().unwrap();
    let delivery = received(&endpoint, 1).await[0].event_id().to_owned();
    let order_page = format!("/console/orders/{id}");
    for sought in [id.to_string(), format!("%23{id}"), "GF-9".to_owned(), "%20GF-9%20".to_owned()] {
        let led = browser.get(&format!("/console/search?q={sought}")).await.expect(303);
        assert_eq!(led.header("location"), Some(order_page.as_str()), "{sought}");
    }
    let led = browser.get(&format!("/console/search?q={delivery}")).await.expect(303);
    assert_eq!(led.header("location"), Some(format!("/console/deliveries/{delivery}").as_str()));
    for (sought, said) in [
        ("A-17", vec![format!("#{id}"), format!("#{other}")]),
        ("GF", vec![format!("#{id}"), format!("#{other}")]),
        ("kitchen", vec!["Kitchen display".to_owned()]),
        ("127.0.0.1", vec![endpoint.address().to_string(), ">up<".to_owned()]),
        ("663", vec!["Brand 663".to_owned(), endpoint.address().to_string()]),
        ("nothing", vec!["Nothing was found".to_owned()]),
        ("", vec!["An order is found by its id".to_owned()]),
        ("%3Cscript%3E", vec!["“&lt;script&gt;”".to_owned()]),
    ] {
        let text = page(&browser, &format!("/console/search?q={sought}")).await;
        for said in said {
            assert!(text.contains(&said), "{sought}: {said}: {text}");
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn the_board_has_each_order_where_it_stands_and_moves_it_live() {
    let running = Running::start().await;
    let browser = Browser::signed_in(&running, TOKEN).await;
    assert!(page(&browser, "/console/orders").await.contains("There are no orders yet."));
    let id = running.create(&named("A-17", "GF-9")).await["id"].as_i64().unwrap();
    let column = |text: &str, name: &str| {
        let (_, rest) = text.split_once(&format!("aria-label=\"{name}\"")).unwrap();
        rest.split_once("</section>").unwrap().0.to_owned()
    };
    let text = page(&browser, "/console/orders").await;
    assert!(column(&text, "Placed").contains(&format!("/console/orders/{id}")), "{text}");

    let mut stream = tokio::net::TcpStream::connect(running.address).await.unwrap();
    let request = head_to_keep_open("GET", "/console/orders/live", &[("cookie", &browser.cookie)]);
    stream.write_all(&request).await.unwrap();
    let mut told = Vec::new();
    running.move_to(id, "READY").await.expect(200);
    patiently(async {
        loop {
            assert_ne!(stream.read_buf(&mut told).await.unwrap(), 0, "the stream ended");
            let events = String::from_utf8_lossy(&told).into_owned();
            let parts = events.lines().filter_map(|line| line.strip_prefix("data: "));
            let newest = parts.filter_map(|part| serde_json::from_str::<String>(part).ok()).next_back();
            if newest.is_some_and(|part| column(&part, "Ready").contains(&format!("/console/orders/{id}"))) {
                return;
            }
        }
    })
    .await;
    // Who signs out is told nothing more: the stream ends.
    browser.post("/console/sign-out", &[]).await.expect(303);
    patiently(async {
        while !told.ends_with(b"\r\n0\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut told).await.unwrap(), 0, "the connection ended");
        }
    })
    .await;
    running.stop().await;
}
