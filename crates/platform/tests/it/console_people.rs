//! Partners, operators and what they did: the same as over the API, with each secret shown once.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookit_contract::WebhookSecret;
use hookit_sim::endpoints::{Answer, ScriptedEndpoint};
use serde_json::json;

use crate::console::{Browser, assert_protected};
use crate::harness::{BUSINESS, Running, TOKEN, basic, bearer, received};
use crate::http::Answer as Page;

/// What a page shows in the element of this id.
fn shown<'p>(page: &'p Page, id: &str) -> &'p str {
    let (_, rest) = page
        .text()
        .split_once(&format!("id=\"{id}\">"))
        .unwrap_or_else(|| panic!("no {id}: {}", page.text()));
    rest.split('<').next().unwrap()
}

#[tokio::test]
async fn a_partner_is_issued_its_secrets_are_rotated_and_it_is_revoked() {
    let running = Running::start().await;
    let browser = Browser::signed_in(&running, TOKEN).await;
    let fields =
        [("name", "Till & Co"), ("business_id", "7"), ("orders:read", "yes"), ("webhooks:read", "yes")];
    let issued = browser.post("/console/partners/issue", &fields).await.expect(200);
    assert_protected(&issued);
    assert_eq!(issued.header("cache-control"), Some("no-store"));
    let (key, secret) = (shown(&issued, "partner-key").to_owned(), shown(&issued, "secret-key").to_owned());
    assert!(key.starts_with("pk_") && secret.starts_with("sk_"), "{key}");
    let partner = running.get("/v1/operator/partners").await.data()["partners"][0].clone();
    assert_eq!(partner["scopes"], json!(["orders:read", "webhooks:read"]));
    let orders = "/v1/partner/events";
    let works =
        async |secret: &str| running.call_as(Some(&basic(&key, secret)), "GET", orders, "").await.status;
    assert_eq!(works(&secret).await, 200);
    // Neither the list nor the partner's own page has a secret.
    let path = format!("/console/partners/{}", partner["partner_id"].as_str().unwrap());
    for page in ["/console/partners", &path] {
        let page = browser.get(page).await.expect(200);
        assert_protected(&page);
        assert!(page.text().contains("Till &amp; Co") && page.text().contains(&key), "{}", page.text());
        assert!(!page.text().contains("sk_") && !page.text().contains("whsec_"), "{}", page.text());
    }
    let rotated = browser.post(&format!("{path}/rotate-secret"), &[]).await.expect(200);
    let newer = shown(&rotated, "new-secret").to_owned();
    assert_eq!((works(&secret).await, works(&newer).await), (401, 200));
    browser.post(&format!("{path}/revoke"), &[]).await.expect(303);
    assert_eq!(works(&newer).await, 403);
    let page = browser.get(&path).await.expect(200);
    assert!(page.text().contains(">revoked<") && !page.text().contains("Revoke it"), "{}", page.text());

    let dead = browser.post(&format!("{path}/rotate-secret"), &[]).await.expect(409);
    assert!(dead.text().contains("the credential was revoked"), "{}", dead.text());

    for (fields, said) in [
        (&[("name", "live\u{202e}"), ("business_id", "7"), ("orders:read", "yes")][..], "name"),
        (&[("name", "line\nbreak"), ("business_id", "7"), ("orders:read", "yes")], "name"),
        (&[("business_id", "7"), ("orders:read", "yes")][..], "name"),
        (&[("name", "Till"), ("business_id", "seven"), ("orders:read", "yes")], "business_id"),
        (&[("name", "Till"), ("business_id", "0"), ("orders:read", "yes")], "business_id"),
        (&[("name", "Till"), ("business_id", "7")], "scopes"),
    ] {
        let refused = browser.post("/console/partners/issue", fields).await.expect(400);
        assert!(refused.text().contains(&format!("<code>{said}</code>: expected")), "{}", refused.text());
    }
    for missing in ["", "/rotate-secret", "/rotate-webhook-secret", "/revoke"] {
        let path = format!("/console/partners/ptn_404{missing}");
        let answer =
            if missing.is_empty() { browser.get(&path).await } else { browser.post(&path, &[]).await };
        answer.expect(404);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_new_webhook_secret_signs_from_the_time_that_was_said() {
    let running = Running::start().await;
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let partner = running.listener(&endpoint).await;
    let browser = Browser::signed_in(&running, TOKEN).await;
    let path = format!("/console/partners/{}/rotate-webhook-secret", partner.id);
    let page = browser.get(&format!("/console/partners/{}", partner.id)).await.expect(200);
    for said in ["What it missed", "Test", "/console/endpoints/1"] {
        assert!(page.text().contains(said), "{said}: {}", page.text());
    }
    let past = browser.post(&path, &[("current_at", "2020-01-01T10:00")]).await.expect(400);
    assert!(past.text().contains("expected a time to come"), "{}", past.text());
    let staged = browser.post(&path, &[("current_at", "2100-01-01T10:00")]).await.expect(200);
    assert!(staged.text().contains("2100-01-01 10:00:00.000"), "{}", staged.text());
    running.order().await;
    let old = WebhookSecret::new(partner.webhook_secret.as_bytes());
    let first = received(&endpoint, 1).await[0].clone();
    assert!(old.verify(&first.body, first.signature().as_bytes()).is_ok());
    let rotated = browser.post(&path, &[]).await.expect(200);
    let new = WebhookSecret::new(shown(&rotated, "new-secret").as_bytes());
    running.order().await;
    let second = received(&endpoint, 2).await[1].clone();
    assert!(new.verify(&second.body, second.signature().as_bytes()).is_ok());
    running.stop().await;
}

#[tokio::test]
async fn a_token_is_issued_and_revoked_and_what_was_done_is_in_the_log() {
    let running = Running::start().await;
    let browser = Browser::signed_in(&running, TOKEN).await;
    let issued =
        browser.post("/console/tokens/issue", &[("name", "Ayu"), ("role", "support")]).await.expect(200);
    assert_protected(&issued);
    let token = shown(&issued, "new-secret").to_owned();
    let works =
        async || running.call_as(Some(&bearer(&token)), "GET", "/v1/operator/status", "").await.status;
    assert_eq!(works().await, 200);
    let twice =
        browser.post("/console/tokens/issue", &[("name", "Ayu"), ("role", "admin")]).await.expect(409);
    assert!(twice.text().contains("a token of the name Ayu is in use"), "{}", twice.text());
    let odd = browser.post("/console/tokens/issue", &[("name", "Budi"), ("role", "odd")]).await.expect(400);
    assert!(odd.text().contains("expected admin, support or surface"), "{}", odd.text());
    // What a role may not do is not offered, and refused.
    let support = Browser::signed_in(&running, &token).await;
    let page = support.get("/console").await.expect(200);
    assert!(
        page.text().contains("/console/partners") && !page.text().contains("/console/tokens"),
        "{}",
        page.text()
    );
    for path in ["/console/tokens", "/console/audit"] {
        support.get(path).await.expect(403);
    }
    support.post("/console/partners/issue", &[("name", "Till"), ("business_id", "7")]).await.expect(403);
    assert!(!support.get("/console/partners").await.expect(200).text().contains("Issue a credential"));

    let page = browser.get("/console/tokens").await.expect(200);
    assert!(page.text().contains("Revoke Ayu") && !page.text().contains(&token), "{}", page.text());
    browser.post("/console/tokens/1/revoke", &[]).await.expect(303);
    assert_eq!(works().await, 403);
    assert_eq!(support.get("/console").await.status, 303, "its sessions are over");
    browser.post("/console/tokens/404/revoke", &[]).await.expect(404);

    let log = browser.get("/console/audit").await.expect(200);
    assert_protected(&log);
    for said in ["<code>token.issue</code>", "<code>token.revoke</code>", "127.0.0.1", ">operator</a>"] {
        assert!(log.text().contains(said), "{said}: {}", log.text());
    }
    for (query, is_there) in [
        ("action=token.revoke", true),
        ("action=token.issue", false),
        ("token_id=0&since=2026-01-01T00:00&target=1", true),
        ("token_id=1", false),
        ("until=2020-01-01", false),
    ] {
        let answer = browser.get(&format!("/console/audit?{query}")).await;
        if query == "until=2020-01-01" {
            assert!(answer.expect(400).text().contains("expected a time like"));
            continue;
        }
        assert_eq!(answer.expect(200).text().contains("<code>token.revoke</code>"), is_there, "{query}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_registration_is_tested_and_says_how_it_went() {
    let running = Running::start().await;
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    running.listener(&endpoint).await;
    let browser = Browser::signed_in(&running, TOKEN).await;
    let page = browser.get("/console/endpoints/1").await.expect(200);
    for said in ["/console/registrations/1/test", "rotate its webhook secret", "What it missed"] {
        assert!(page.text().contains(said), "{said}: {}", page.text());
    }
    let went = browser.post("/console/registrations/1/test", &[]).await.expect(200);
    assert_protected(&went);
    assert!(
        went.text().contains("It works") && went.text().contains("acknowledged with 200"),
        "{}",
        went.text()
    );
    assert!(received(&endpoint, 1).await[0].event_id().starts_with("test_"));
    endpoint.answer(Answer::Status(503));
    let went = browser.post("/console/registrations/2/test", &[]).await.expect(200);
    assert!(went.text().contains("was not acknowledged") && went.text().contains("503"), "{}", went.text());
    browser.post("/console/registrations/404/test", &[]).await.expect(404);
    running.stop().await;
}

/// Text as it stood before it became part of a page.
fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

#[tokio::test]
async fn a_delivery_shows_what_is_sent_and_the_command_that_sends_the_same() {
    let running = Running::start().await;
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let partner = running.partner("Till", BUSINESS).await;
    let body = json!({
        "partner_id": partner.id, "event_type": "klikit.order.created.v2", "url": endpoint.url(),
        "basic_auth": {"user": "till", "password": "p4ss word"},
    });
    running.call("PUT", "/v1/operator/webhooks", body.to_string()).await.expect(201);
    // What a shell and a page must not take for their own.
    let odd = "Joe's <b>$HOME</b> `id` \\ \u{1f35c} 100%";
    let record = json!({
        "business_id": BUSINESS, "branch_id": 1062, "brands": [{"id": 663, "title": odd}], "order_comment": odd,
    });
    running.create(&record).await;
    let first = received(&endpoint, 1).await[0].clone();
    running.until("delivered", 1).await;
    let browser = Browser::signed_in(&running, TOKEN).await;
    let path = format!("/console/deliveries/{}", first.event_id());
    let page = browser.get(&path).await.expect(200);
    assert_protected(&page);
    for said in [first.signature(), "not shown", "x-klikit-event-type", "first byte"] {
        assert!(page.text().contains(said), "{said}: {}", page.text());
    }
    let hidden = STANDARD.encode("till:p4ss word");
    assert!(!page.text().contains(&hidden) && !page.text().contains("p4ss"), "{}", page.text());
    let (_, rest) = page.text().split_once("<pre id=\"body\" tabindex=\"0\">").expect("the body");
    assert_eq!(unescaped(rest.split("</pre>").next().unwrap()).as_bytes(), &first.body[..]);
    let file = browser.get(&format!("{path}/body")).await.expect(200);
    assert_eq!(file.body, first.body);
    assert_eq!(file.header("content-type"), Some("application/json"));

    let (_, rest) = page.text().split_once("<pre id=\"curl\" tabindex=\"0\">").expect("the command");
    let command = unescaped(rest.split("</pre>").next().unwrap());
    let mut shell = tokio::process::Command::new("sh");
    shell.args(["-c", &command]).env("BASIC_AUTH", "till:p4ss word").kill_on_drop(true);
    let done = tokio::time::timeout(Duration::from_secs(60), shell.output()).await.unwrap().unwrap();
    assert!(done.status.success(), "{command}\n{}", String::from_utf8_lossy(&done.stderr));
    let second = received(&endpoint, 2).await[1].clone();
    assert_eq!(second.body, first.body);
    for name in
        ["content-type", "x-klikit-signature", "x-klikit-event-id", "x-klikit-event-type", "authorization"]
    {
        assert_eq!(second.header(name), first.header(name), "{name}");
    }
    browser.get("/console/deliveries/evt_404/body").await.expect(404);
    running.stop().await;
}

/// The pages of a list, each from where the one before says that it goes on.
async fn pages(browser: &Browser<'_>, first: &str) -> Vec<Page> {
    let mut pages = vec![browser.get(first).await.expect(200)];
    while let Some((before, _)) = pages.last().unwrap().text().split_once("\" rel=\"next\"") {
        let next = before.rsplit("href=\"").next().unwrap().to_owned();
        let path = if next.starts_with('?') { format!("{first}{next}") } else { next };
        assert!(pages.len() < 9, "{path}");
        let page = browser.get(&path).await.expect(200);
        assert_protected(&page);
        pages.push(page);
    }
    pages
}

#[tokio::test]
async fn lists_that_are_longer_than_a_page_go_on_and_show_everything_once() {
    let running = Running::start().await;
    let browser = Browser::signed_in(&running, TOKEN).await;
    let mut partners = Vec::new();
    for n in 0..201 {
        partners.push(running.partner(&format!("Partner <{n}>"), BUSINESS).await);
        let name = format!("Operator <{n}>");
        let body = json!({"name": name, "role": "support"}).to_string();
        running.call("POST", "/v1/operator/tokens", body).await.expect(201);
    }
    let shown = |pages: &[Page], what: &str| -> Vec<usize> {
        let names = (0..201).map(|n| format!("{what} &lt;{n}&gt;</"));
        names.map(|name| pages.iter().map(|page| page.text().matches(&name).count()).sum()).collect()
    };
    for (path, what) in [("/console/partners", "Partner"), ("/console/tokens", "Operator")] {
        let pages = pages(&browser, path).await;
        assert_eq!(pages.len(), 2, "{path}");
        // The newest come first.
        let first = pages[0].text();
        let (newest, older) =
            (first.find(&format!("{what} &lt;200&gt;")), first.find(&format!("{what} &lt;1&gt;")));
        assert!(newest.is_some() && newest < older, "{path}");
        assert!(shown(&pages, what).iter().all(|times| (1..=2).contains(times)), "{path}");
    }
    // A partner that registered each branch by itself.
    for branch in 1..=201 {
        let url = "http://127.0.0.1:9/";
        let event_type = hookit_contract::EventType::OrderCreated;
        running.register(&partners[0], None, Some(branch), event_type, url).await.expect(201);
    }
    let rows =
        |pages: &[Page]| pages.iter().map(|page| page.text().matches("/test\"").count()).collect::<Vec<_>>();
    for path in [format!("/console/partners/{}", partners[0].id), "/console/endpoints/1".to_owned()] {
        assert_eq!(rows(&pages(&browser, &path).await), [200, 1], "{path}");
    }
    // A partner is found, however many there are.
    let found = browser.get("/console/search?q=partner%20%3C200%3E").await.expect(200);
    assert!(found.text().contains("Partner &lt;200&gt;"), "{}", found.text());
}
