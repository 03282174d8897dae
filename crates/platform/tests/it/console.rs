//! The console's door: who gets in, who is kept out, and what every page forbids.

use std::time::Duration;

use crate::harness::{Running, TOKEN};
use crate::http::{Answer, exchange, head};

/// A browser, as far as the console can tell.
pub(crate) struct Browser<'r> {
    pub(crate) running: &'r Running,
    pub(crate) cookie: String,
}

/// Text as a field of a form.
fn encoded(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

impl<'r> Browser<'r> {
    /// One that has not been here.
    pub(crate) fn new(running: &'r Running) -> Self {
        Browser { running, cookie: String::new() }
    }

    /// One that has signed in.
    pub(crate) async fn signed_in(running: &'r Running, token: &str) -> Self {
        let mut browser = Browser::new(running);
        let answer = browser.sign_in(token).await.expect(303);
        let set = answer.cookie().expect("a cookie");
        set.split(';').next().unwrap().clone_into(&mut browser.cookie);
        browser
    }

    pub(crate) async fn sign_in(&self, token: &str) -> Answer {
        self.send("POST", "/console/sign-in", &[], &encoded(&[("token", token)])).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut all = vec![("accept", "text/html"), ("cookie", self.cookie.as_str())];
        all.extend(headers);
        let length = (method != "GET").then_some(body.len());
        if method == "POST" {
            all.push(("content-type", "application/x-www-form-urlencoded"));
        }
        let mut request = head(method, path, &all, length);
        request.extend_from_slice(body.as_bytes());
        exchange(self.running.address, request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    /// The token that the forms of a page carry.
    pub(crate) async fn csrf(&self) -> String {
        let page = self.get("/console").await.expect(200);
        let (_, rest) = page.text().split_once("name=\"csrf\" value=\"").expect("a form");
        rest.split('"').next().unwrap().to_owned()
    }

    /// Sends a form with the session's token.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.csrf().await;
        let mut fields = fields.to_vec();
        fields.push(("csrf", &csrf));
        self.send("POST", path, &[("sec-fetch-site", "same-origin")], &encoded(&fields)).await
    }
}

impl Answer {
    /// What it sets, with its letters as they came.
    pub(crate) fn cookie(&self) -> Option<&str> {
        self.header("set-cookie")
    }
}

#[tokio::test]
async fn who_is_not_signed_in_is_led_to_the_door_and_back() {
    let running = Running::start().await;
    let stranger = Browser::new(&running);
    assert_eq!(stranger.get("/").await.expect(303).header("location"), Some("/console"));
    let led = stranger.get("/console").await.expect(303);
    assert_eq!((led.header("location"), led.text()), (Some("/console/sign-in"), ""));
    let led = stranger.get("/console/nothing?a=b&c=d").await.expect(303);
    assert_eq!(led.header("location"), Some("/console/sign-in?next=%2fconsole%2fnothing%3fa%3db%26c%3dd"));
    let form = stranger.get("/console/sign-in?next=/console/nothing").await.expect(200);
    assert!(form.text().contains("name=\"next\" value=\"/console/nothing\""), "{}", form.text());
    // Not to another site, whatever a link said.
    for elsewhere in ["https://evil.test/console", "//evil.test", "/v1", "javascript:alert(1)"] {
        let form = stranger.get(&format!("/console/sign-in?next={elsewhere}")).await.expect(200);
        assert!(form.text().contains("name=\"next\" value=\"/console\""), "{}", form.text());
        let fields = encoded(&[("token", TOKEN), ("next", elsewhere)]);
        let answer = stranger.send("POST", "/console/sign-in", &[], &fields).await.expect(303);
        assert_eq!(answer.header("location"), Some("/console"));
    }
    let fields = encoded(&[("token", TOKEN), ("next", "/console/nothing?a=b")]);
    let answer = stranger.send("POST", "/console/sign-in", &[], &fields).await.expect(303);
    assert_eq!(answer.header("location"), Some("/console/nothing?a=b"));
    // A program is told that there is nothing, as before.
    exchange(running.address, head("GET", "/", &[], None)).await.is_refused(
        404,
        "resource_not_found",
        "there is nothing at /",
    );
    running.stop().await;
}

#[tokio::test]
async fn the_cookie_is_no_token_and_kept_from_scripts_and_other_sites() {
    let running = Running::start().await;
    let stranger = Browser::new(&running);
    let answer = stranger.sign_in(TOKEN).await.expect(303);
    let cookie = answer.cookie().unwrap();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "path=/; httponly; samesite=strict");
    let id = pair.strip_prefix("hookit_platform_session=").unwrap();
    assert!(id.len() == 64 && !cookie.contains(TOKEN), "{cookie}");
    let by_tls = [("x-forwarded-proto", "https")];
    let answer = stranger.send("POST", "/console/sign-in", &by_tls, &encoded(&[("token", TOKEN)])).await;
    assert!(answer.expect(303).cookie().unwrap().ends_with("; secure"));
    running.stop().await;
}

#[tokio::test]
async fn wrong_tokens_open_nothing_and_are_counted() {
    let running = Running::start().await;
    let stranger = Browser::new(&running);
    let surface = running.token("A shop", "surface").await;
    let answer = stranger.sign_in(&surface).await.expect(403);
    assert!(answer.text().contains("The role surface has no pages to see.") && answer.cookie().is_none());
    for tried in ["", "wrong", "op_0000"] {
        let answer = stranger.sign_in(tried).await.expect(403);
        assert!(answer.text().contains("This is not an operator token.") && answer.cookie().is_none());
        assert!(tried.is_empty() || !answer.text().contains(tried), "{}", answer.text());
    }
    for _ in 3..60 {
        stranger.sign_in("wrong").await.expect(403);
    }
    let answer = stranger.sign_in("wrong").await.expect(429);
    assert!(answer.text().contains("more than 60 wrong ones") && answer.header("retry-after").is_some());
    stranger.sign_in(TOKEN).await.expect(303);
    running.clock.push(Duration::from_secs(60));
    stranger.sign_in("wrong").await.expect(403);
    running.stop().await;
}

#[tokio::test]
async fn a_token_that_is_revoked_ends_its_sessions_at_once() {
    let running = Running::start().await;
    let token = running.token("Ana", "support").await;
    let browser = Browser::signed_in(&running, &token).await;
    let page = browser.get("/console").await.expect(200);
    assert!(page.text().contains("Ana") && !page.text().contains(&token));
    running.call("POST", "/v1/operator/tokens/1/revoke", "").await.expect(200);
    browser.get("/console").await.expect(303);
    assert!(browser.sign_in(&token).await.expect(403).text().contains("This token was revoked."));
    running.stop().await;
}

#[tokio::test]
async fn a_session_ends_by_signing_out_and_by_time() {
    let running = Running::start().await;
    let browser = Browser::signed_in(&running, TOKEN).await;
    let other = Browser::signed_in(&running, TOKEN).await;
    let out = browser.post("/console/sign-out", &[]).await.expect(303);
    assert!(
        out.cookie().unwrap().starts_with("hookit_platform_session=; ")
            && out.cookie().unwrap().ends_with("max-age=0")
    );
    browser.get("/console").await.expect(303);
    other.get("/console").await.expect(200);
    running.clock.push(Duration::from_secs(2 * 3600));
    other.get("/console").await.expect(303);
    running.stop().await;
}

#[tokio::test]
async fn a_form_is_taken_from_our_own_pages_alone() {
    let running = Running::start().await;
    let browser = Browser::signed_in(&running, TOKEN).await;
    let right = browser.csrf().await;
    let others = Browser::signed_in(&running, TOKEN).await.csrf().await;
    let (token, wrong) = (encoded(&[("csrf", &right)]), encoded(&[("csrf", &others)]));
    let cut = encoded(&[("csrf", &right[..63])]);
    let ours: &[(&str, &str)] = &[("sec-fetch-site", "same-origin"), ("origin", "http://platform.test")];
    for (headers, body) in [
        (ours, ""),
        (ours, wrong.as_str()),
        (ours, cut.as_str()),
        (ours, "csrf="),
        (&[("sec-fetch-site", "cross-site")], token.as_str()),
        (&[("sec-fetch-site", "same-site")], token.as_str()),
        (&[("origin", "http://evil.test")], token.as_str()),
        (&[("origin", "null")], token.as_str()),
    ] {
        let answer = browser.send("POST", "/console/sign-out", headers, body).await.expect(403);
        assert!(answer.text().contains("Not allowed"), "{}", answer.text());
    }
    // Nothing of it signed anybody out, and with the token in the address alone it does not go either.
    let in_address = format!("/console/sign-out?{token}");
    browser.send("POST", &in_address, ours, "").await.expect(403);
    browser.get("/console").await.expect(200);
    let body = "a".repeat(64 << 10);
    browser.send("POST", "/console/sign-out", ours, &format!("{token}&b={body}")).await.expect(413);
    // Signing in is not done for a reader by somebody else's page.
    let fields = encoded(&[("token", TOKEN)]);
    let foreign = [("origin", "http://evil.test")];
    let answer = browser.send("POST", "/console/sign-in", &foreign, &fields).await.expect(403);
    assert_eq!(answer.cookie(), None);
    browser.send("POST", "/console/sign-out", ours, &token).await.expect(303);
    running.stop().await;
}

/// What every page says, also one that refuses.
pub(crate) fn assert_protected(answer: &Answer) {
    assert_eq!(
        answer.header("content-security-policy"),
        Some(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
             frame-ancestors 'none'; base-uri 'none'"
        )
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("referrer-policy"), Some("same-origin"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let page = answer.text();
    for forbidden in [
        "<style",
        "style=\"",
        "onclick",
        "javascript:",
        "<script>",
        "href=\"http",
        "src=\"http",
        "action=\"http",
    ] {
        assert!(!page.contains(forbidden), "{forbidden} in {page}");
    }
}

#[tokio::test]
async fn every_page_forbids_what_it_has_no_use_for() {
    let running = Running::start().await;
    let browser = Browser::signed_in(&running, TOKEN).await;
    for (path, status) in [("/console", 200), ("/console/nothing", 404), ("/console/sign-out", 405)] {
        let answer = browser.get(path).await.expect(status);
        assert_protected(&answer);
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        assert!(!answer.text().contains(TOKEN) && !answer.text().contains(&browser.cookie[24..]), "{path}");
    }
    let stranger = Browser::new(&running);
    assert_protected(&stranger.get("/console/sign-in").await.expect(200));
    assert_protected(&stranger.sign_in("wrong").await.expect(403));
    assert_protected(&stranger.get("/console").await.expect(303));
    running.stop().await;
}

#[tokio::test]
async fn style_and_script_are_kept_by_browsers_and_asked_of_nobody_else() {
    let running = Running::start().await;
    let stranger = Browser::new(&running);
    let page = stranger.get("/console/sign-in").await.expect(200);
    let paths: Vec<&str> = page.text().split('"').filter(|text| text.starts_with("/assets/")).collect();
    assert_eq!(paths.len(), 3, "{paths:?}");
    for path in paths {
        let asset = stranger.get(path).await.expect(200);
        assert_eq!(asset.header("cache-control"), Some("public, max-age=31536000, immutable"), "{path}");
        assert!(!asset.text().is_empty());
    }
    running.stop().await;
}
