//! The console: shown to who may see it, its forms taken from its own pages alone, and nothing secret in any page.

use hookit_inbox::InboxConfig;
use hookit_server::Secret;

use crate::harness::{Answer, Running, config, envelope, exchange, head, named};
use crate::openapi::assert_documented;

const READ_TOKEN: &str = "read_me_in_the_kitchen";
const WRITE_TOKEN: &str = "write_me_if_you_can";

async fn guarded() -> Running {
    let settings = InboxConfig {
        read_tokens: vec![named("kitchen", READ_TOKEN)],
        write_token: Some(Secret::new(WRITE_TOKEN)),
        ..config()
    };
    Running::with(settings).await
}

/// A browser with its cookie.
struct Browser<'i> {
    inbox: &'i Running,
    cookie: String,
}

impl Browser<'_> {
    async fn get(&self, path: &str) -> Answer {
        exchange(self.inbox.address, head("GET", path, &[("cookie", &self.cookie)], None)).await
    }

    async fn post(&self, path: &str, form: &str, more: &[(&str, &str)]) -> Answer {
        let mut headers =
            vec![("cookie", self.cookie.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        headers.extend(more);
        let mut request = head("POST", path, &headers, Some(form.len()));
        request.extend_from_slice(form.as_bytes());
        exchange(self.inbox.address, request).await
    }

    async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text().to_owned()
    }
}

async fn signed_in<'i>(inbox: &'i Running, token: &str) -> Browser<'i> {
    let nobody = Browser { inbox, cookie: "x=y".to_owned() };
    let answer =
        nobody.post("/console/sign-in", &format!("token={token}&next=%2Fconsole%2Forders"), &[]).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert!(answer.head.contains("location: /console/orders\r\n"), "{}", answer.head);
    let cookie = answer.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(cookie.contains("httponly") && cookie.contains("samesite=strict"), "{cookie}");
    Browser { inbox, cookie: cookie.split(';').next().unwrap().to_owned() }
}

fn csrf(page: &str) -> &str {
    page.split("name=\"csrf\" value=\"").nth(1).expect("a form").split('"').next().unwrap()
}

const PAGES: [&str; 4] = ["/console", "/console/orders", "/console/orders/7", "/console/quarantine"];

#[tokio::test]
async fn no_page_is_shown_to_who_is_not_signed_in_and_every_page_to_who_is() {
    let inbox = guarded().await;
    inbox.deliver("evt_1", &envelope(&[r#"{"id":7,"status":2,"short_id":"<A&7>"}"#, "null"])).await;
    let nobody = Browser { inbox: &inbox, cookie: "hookit_inbox_session=0".to_owned() };
    for path in PAGES.into_iter().chain(["/console/live", "/console/nothing"]) {
        let answer = nobody.get(path).await;
        assert!(
            answer.status == 303 && answer.head.contains("location: /console/sign-in"),
            "{path}: {}",
            answer.head
        );
    }
    let wrong = nobody.post("/console/sign-in", "token=read_me_in_the_kitchem", &[]).await;
    assert!(wrong.status == 403 && !wrong.head.contains("set-cookie"), "{}", wrong.head);
    let elsewhere = [("sec-fetch-site", "cross-site")];
    let lured = nobody.post("/console/sign-in", &format!("token={READ_TOKEN}"), &elsewhere).await;
    assert!(lured.status == 403 && !lured.head.contains("set-cookie"), "{}", lured.head);

    let reader = signed_in(&inbox, READ_TOKEN).await;
    for path in PAGES {
        let answer = reader.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(answer.head.contains("content-security-policy: default-src 'none'"), "{}", answer.head);
        assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
        for secret in [READ_TOKEN, WRITE_TOKEN, crate::harness::SECRET] {
            assert!(!answer.text().contains(secret), "{path} shows {secret}");
        }
    }
    assert!(reader.page("/console/orders?q=%3Ca").await.contains("&lt;A&amp;7&gt;"));
    assert!(reader.page("/console/orders?status=placed").await.contains("There is no such order"));
    assert_eq!(reader.get("/console/orders/8").await.status, 404);
    assert_eq!(reader.get("/console/nothing").await.status, 404);
    let page = reader.page("/console").await;
    let out = reader.post("/console/sign-out", &format!("csrf={}", csrf(&page)), &[]).await;
    assert_eq!(out.status, 303);
    assert_eq!(reader.get("/console").await.status, 303, "the session is over");
}

#[tokio::test]
async fn only_the_write_token_acts_and_only_from_a_form_of_its_session() {
    let inbox = guarded().await;
    inbox.deliver("evt_1", &envelope(&["null"])).await;
    let (reader, writer) = (signed_in(&inbox, READ_TOKEN).await, signed_in(&inbox, WRITE_TOKEN).await);
    const APPLY: &str = "/console/quarantine/apply";
    let of_reader = reader.page("/console/quarantine").await;
    assert!(!of_reader.contains(APPLY), "what may not be done is not offered");
    let refused = reader.post(APPLY, &format!("csrf={}&id=1", csrf(&of_reader)), &[]).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    let of_writer = writer.page("/console/quarantine").await;
    assert!(of_writer.contains("Read anew"));
    let right = format!("csrf={}&id=1", csrf(&of_writer));
    for (form, more) in [
        ("id=1".to_owned(), &[][..]),
        (format!("csrf={}&id=1", csrf(&of_reader)), &[]),
        (right.clone(), &[("sec-fetch-site", "cross-site")]),
        (right.clone(), &[("origin", "http://elsewhere.test")]),
    ] {
        assert_eq!(writer.post(APPLY, &form, more).await.status, 403, "{form} {more:?}");
    }
    let done = writer.post(APPLY, &right, &[("sec-fetch-site", "same-origin")]).await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert!(
        writer.page("/console/quarantine?applied=0&unreadable=1").await.contains("1 cannot be read still")
    );
}

#[tokio::test]
async fn what_nobody_wants_is_discarded_one_by_one_after_a_second_look() {
    let inbox = guarded().await;
    inbox.deliver("evt_1", &envelope(&["null", "false"])).await;
    let (reader, writer) = (signed_in(&inbox, READ_TOKEN).await, signed_in(&inbox, WRITE_TOKEN).await);
    const DISCARD: &str = "/console/quarantine/discard";
    let of_reader = reader.page("/console/quarantine").await;
    assert!(!of_reader.contains(DISCARD), "what may not be done is not offered");
    let refused = reader.post(DISCARD, &format!("csrf={}&id=1", csrf(&of_reader)), &[]).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    let page = writer.page("/console/quarantine").await;
    assert!(page.contains("<summary>Discard…</summary>"), "{page}");
    let token = csrf(&page);
    assert_eq!(writer.post(DISCARD, "id=1", &[]).await.status, 403);
    assert_eq!(writer.post(DISCARD, &format!("csrf={token}"), &[]).await.status, 400, "one has to be chosen");
    let done = writer.post(DISCARD, &format!("csrf={token}&id=1"), &[]).await;
    assert!(done.status == 303 && done.head.contains("quarantine?discarded=1\r\n"), "{}", done.head);
    let page = writer.page("/console/quarantine?discarded=1").await;
    assert!(page.contains("No. 1 was discarded") && !page.contains("bytes-1") && page.contains("bytes-2"));
    assert_eq!(writer.post(DISCARD, &format!("csrf={token}&id=1"), &[]).await.status, 404);
}

#[tokio::test]
async fn without_read_tokens_this_machine_looks_without_signing_in_and_no_proxy_does() {
    let inbox = Running::start().await;
    inbox.deliver("evt_1", &envelope(&[r#"{"id":7,"status":2}"#])).await;
    let here = Browser { inbox: &inbox, cookie: "x=y".to_owned() };
    for path in PAGES {
        here.page(path).await;
    }
    let forwarded =
        exchange(inbox.address, head("GET", "/console", &[("x-forwarded-for", "203.0.113.9")], None)).await;
    assert_eq!(forwarded.status, 303);
    let acts = here.post("/console/quarantine/apply", "id=1", &[]).await;
    assert_eq!(acts.status, 403);
    let browser = exchange(inbox.address, head("GET", "/", &[("accept", "text/html")], None)).await;
    assert!(browser.status == 303 && browser.head.contains("location: /console"), "{}", browser.head);
    assert_eq!(exchange(inbox.address, head("GET", "/", &[], None)).await.status, 404);
}

#[tokio::test]
async fn the_overview_says_what_came_what_came_again_what_was_refused_and_what_cannot_be_read() {
    let inbox = Running::start().await;
    let here = Browser { inbox: &inbox, cookie: "x=y".to_owned() };
    assert!(!here.page("/console").await.contains("signature of none of the secrets"));
    for _ in 0..3 {
        inbox.deliver("evt_1", &envelope(&[r#"{"id":7,"status":2}"#])).await;
    }
    inbox.deliver("evt_2", &envelope(&[r#"{"id":"seven"}"#])).await;
    inbox.post(&[("x-klikit-signature", &"0".repeat(64)), ("x-klikit-event-id", "evt_3")], b"{}").await;
    let page = here.page("/console").await;
    for (figure, value) in [("Orders", 1), ("Received", 2), ("Repeats", 2), ("Refused", 1), ("Quarantine", 1)]
    {
        let shown = format!("<dt>{figure}</dt><dd class=\"value\">{value}</dd>");
        assert!(page.contains(&shown), "{figure}: {page}");
    }
    for said in ["signature of none of the secrets: 1", "signature_wrong", "Genuine, and not to be read: 1"] {
        assert!(page.contains(said), "{said}: {page}");
    }
}

#[tokio::test]
async fn an_address_that_guesses_at_tokens_hears_429_and_who_has_the_right_one_signs_in() {
    let inbox = guarded().await;
    let nobody = Browser { inbox: &inbox, cookie: "x=y".to_owned() };
    for _ in 0..60 {
        let wrong = nobody.post("/console/sign-in", "token=read_me_in_the_attic", &[]).await;
        assert_eq!(wrong.status, 403, "{}", wrong.head);
    }
    let waits = nobody.post("/console/sign-in", "token=read_me_in_the_attic", &[]).await;
    assert_eq!(waits.status, 429, "{}", waits.head);
    assert!(waits.head.contains("retry-after: ") && !waits.head.contains("set-cookie"), "{}", waits.head);
    assert!(waits.text().contains("more than 60 wrong ones came from this address"), "{}", waits.text());
    signed_in(&inbox, READ_TOKEN).await;
    // So it is at the API, where it is counted with the door.
    for (method, path, right) in [("GET", "/orders", READ_TOKEN), ("POST", "/quarantine/apply", WRITE_TOKEN)]
    {
        let ask = async |token: Option<&str>| {
            let authorization = token.map(|token| format!("Bearer {token}"));
            let headers = authorization.iter().map(|value| ("authorization", value.as_str()));
            let answer =
                exchange(inbox.address, head(method, path, &headers.collect::<Vec<_>>(), Some(0))).await;
            assert_documented(method, path, &answer);
            answer
        };
        let refused = ask(Some("read_me_in_the_attic")).await;
        assert_eq!((refused.status, refused.head.contains("retry-after: ")), (429, true), "{}", refused.head);
        assert_eq!(refused.json()["error"]["code"], "rate_limited");
        assert_eq!(ask(Some(right)).await.status, 200, "{path}");
        assert_eq!(ask(None).await.status, 401, "{path}");
    }
    inbox.clock.advance(std::time::Duration::from_secs(60));
    let wrong = nobody.post("/console/sign-in", "token=read_me_in_the_attic", &[]).await;
    assert_eq!(wrong.status, 403, "{}", wrong.head);
}
