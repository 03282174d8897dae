//! How much a partner may ask in a minute, and how often an address may guess.

use std::time::Duration;

use hookit_platform::PartnerRates;
use serde_json::json;

use crate::harness::{BUSINESS, PartnerAccess, Running, Setup, basic, bearer, operator};
use crate::http::Answer;
use crate::openapi::{self, Call};

async fn limited_to(reads_per_minute_max: u64, writes_per_minute_max: u64) -> Running {
    let rates = PartnerRates { reads_per_minute_max, writes_per_minute_max };
    Running::with(Setup { rates, ..Setup::default() }).await
}

const MISSING: &str = "/v1/partner/orders/404";

async fn read(platform: &Running, authorization: &str) -> Answer {
    platform.call_as(Some(authorization), "GET", MISSING, "").await
}

async fn write(platform: &Running, partner: &PartnerAccess) -> Answer {
    platform.call_as(Some(&partner.basic()), "PATCH", &format!("{MISSING}/status"), "").await
}

/// The three headers: limit, remaining, seconds until the next minute.
fn standing(answer: &Answer) -> Option<[u64; 3]> {
    let number = |name: &str| answer.header(name).map(|value| value.parse().unwrap());
    let all = ["limit", "remaining", "reset"].map(|name| number(&format!("x-ratelimit-{name}")));
    assert!(all.iter().all(Option::is_some) || all.iter().all(Option::is_none), "{}", answer.head);
    Some([all[0]?, all[1]?, all[2]?])
}

/// Fails where these are not the last calls of a minute.
async fn spend(platform: &Running, partner: &PartnerAccess, calls: u64) {
    for call in 1..=calls {
        let answer = read(platform, &partner.basic()).await.expect(404);
        let [limit, remaining, reset] = standing(&answer).unwrap();
        assert_eq!((limit, remaining), (calls, calls - call));
        assert!((1..=60).contains(&reset), "{reset}");
    }
}

#[tokio::test]
async fn a_credential_over_its_reads_is_told_when_to_come_back_and_nobody_else_is() {
    let platform = limited_to(3, 1).await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let other = platform.partner("Another", BUSINESS).await;
    spend(&platform, &partner, 3).await;
    let refused = read(&platform, &partner.basic()).await;
    let [limit, remaining, reset] = standing(&refused).unwrap();
    assert_eq!((limit, remaining), (3, 0));
    let message = |seconds| format!("3 reads a minute are taken of a credential; the next in {seconds} s");
    refused.is_refused(429, "rate_limited", &message(reset));
    assert_eq!(refused.header("retry-after"), Some(reset.to_string().as_str()));
    // Neither another credential of the business nor the writes of this one.
    spend(&platform, &other, 3).await;
    let written = write(&platform, &partner).await;
    assert_eq!(
        (written.status, standing(&written).map(|[limit, left, _]| (limit, left))),
        (400, Some((1, 0)))
    );
    let refused = write(&platform, &partner).await;
    let [.., reset] = standing(&refused).unwrap();
    let message = format!("1 writes a minute are taken of a credential; the next in {reset} s");
    refused.is_refused(429, "rate_limited", &message);

    // With a new secret it is the same credential.
    let path = format!("/v1/operator/partners/{}/rotate-secret", partner.id);
    let rotated = platform.call("POST", &path, "").await.expect(200).data();
    let secret = rotated["secret_key"].as_str().unwrap().to_owned();
    let partner = PartnerAccess { secret, ..partner };
    assert_eq!(read(&platform, &partner.basic()).await.status, 429);

    platform.clock.push(Duration::from_secs(reset));
    spend(&platform, &partner, 3).await;
}

#[tokio::test]
async fn the_minute_is_not_over_before_it_is() {
    let platform = limited_to(1, 1).await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    spend(&platform, &partner, 1).await;
    platform.clock.push(Duration::from_secs(30));
    let [.., reset] = standing(&read(&platform, &partner.basic()).await.expect(429)).unwrap();
    assert!((1..=30).contains(&reset), "{reset}");
    platform.clock.push(Duration::from_secs(30));
    spend(&platform, &partner, 1).await;
}

#[tokio::test]
async fn every_call_of_the_partner_api_says_how_the_credential_stands_also_where_it_refuses() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let reports = platform.partner_with(&["orders:read"]).await;
    let PartnerRates { reads_per_minute_max, writes_per_minute_max } = PartnerRates::default();
    assert_eq!((reads_per_minute_max, writes_per_minute_max), (600, 300));
    let (mut reads, mut writes, mut forbidden) = (0, 0, 0);
    for Call { method, path, credential, .. } in openapi::calls() {
        let path = path.replace("{id}", "404");
        let answer = platform.call_as(Some(&partner.basic()), &method, &path, "").await;
        if credential.as_deref() != Some("partnerCredential") {
            assert_eq!(standing(&answer), None, "{method} {path}");
            continue;
        }
        let (limit, calls) = match method.as_str() {
            "GET" => (reads_per_minute_max, &mut reads),
            _ => (writes_per_minute_max, &mut writes),
        };
        *calls += 1;
        let [said, remaining, _] = standing(&answer).unwrap_or_else(|| panic!("{method} {path}"));
        assert_eq!((said, remaining), (limit, limit - *calls), "{method} {path}");
        let answer = platform.call_as(Some(&reports.basic()), &method, &path, "").await;
        assert!(standing(&answer).is_some(), "{method} {path}");
        forbidden += u32::from(answer.status == 403);
    }
    assert!(reads >= 6 && writes >= 2 && forbidden >= 4, "{reads} {writes} {forbidden}");
}

#[tokio::test]
async fn a_call_that_there_is_not_counts_and_says_how_the_credential_stands() {
    let platform = limited_to(3, 2).await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let ask =
        async |method: &str, path: &str| platform.call_as(Some(&partner.basic()), method, path, "").await;
    let left = |answer: &Answer| standing(answer).map(|[limit, left, _]| (limit, left));
    for (method, path, status, expected) in [
        ("GET", "/v1/partner/nothing", 404, (3, 2)),
        ("GET", "/v1/partner/", 404, (3, 1)),
        ("GET", "/v1/partner/orders/1/status", 405, (3, 0)),
        ("POST", "/v1/partner/nothing", 404, (2, 1)),
        ("DELETE", "/v1/partner/orders/1", 405, (2, 0)),
        ("GET", "/v1/partner/nothing", 429, (3, 0)),
        ("PUT", "/v1/partner/orders/1", 429, (2, 0)),
    ] {
        let answer = ask(method, path).await;
        assert_eq!((answer.status, left(&answer)), (status, Some(expected)), "{method} {path}");
        // In the words of any such refusal, with the path as it was asked for.
        match status {
            404 => assert_eq!(answer.error().1, format!("there is nothing at {path}")),
            405 => {
                let message = format!("{path} takes no {method}; the Allow header says what it takes");
                assert_eq!(answer.error().1, message);
                assert!(answer.header("allow").is_some());
            }
            _ => {}
        }
    }
    // Without a credential there is nothing to say of one.
    for (method, path) in
        [("GET", "/v1/partner/nothing"), ("GET", "/v1/partner/"), ("DELETE", "/v1/partner/orders/1")]
    {
        let answer = platform.call_as(None, method, path, "").await;
        assert_eq!((answer.status, left(&answer)), (401, None), "{method} {path}");
    }
}

#[tokio::test]
async fn whoever_has_no_valid_credential_uses_up_nobodys_calls() {
    let platform = limited_to(2, 1).await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    for _ in 0..5 {
        let guess = read(&platform, &basic(&partner.key, "sk_0")).await;
        assert_eq!((guess.status, standing(&guess)), (401, None));
    }
    spend(&platform, &partner, 2).await;
    // Revoked is told whatever the calls, and costs none.
    let path = format!("/v1/operator/partners/{}/revoke", partner.id);
    platform.call("POST", &path, "").await.expect(200);
    for _ in 0..5 {
        let answer = read(&platform, &partner.basic()).await;
        assert_eq!((answer.error().0.as_str(), standing(&answer)), ("auth_revoked", None));
    }
}

/// An answer without what differs from one to the next, so that two can be compared.
fn without_what_differs(answer: &Answer) -> String {
    let request_id = answer.json()["request_id"].as_str().unwrap().to_owned();
    let lines =
        answer.head.lines().filter(|line| !line.starts_with("date:") && !line.starts_with("retry-after:"));
    format!("{}\n{}", lines.collect::<Vec<_>>().join("\n"), answer.text().replace(&request_id, ""))
}

#[tokio::test]
async fn an_address_that_guesses_hears_429_whatever_it_guesses_and_who_is_right_gets_in_all_the_same() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let gone = platform.partner("Till", BUSINESS).await;
    let revoke = format!("/v1/operator/partners/{}/revoke", gone.id);
    platform.call("POST", &revoke, "").await.expect(200);
    read(&platform, &partner.basic()).await.expect(404);
    // By turns a key that is nobody's, one that is somebody's, one that was revoked, and what is none.
    let wrong = [
        basic("pk_0", "sk_0"),
        basic(&partner.key, "sk_0"),
        basic(&gone.key, "sk_0"),
        "Basic ????".to_owned(),
    ];
    for guess in wrong.iter().cycle().take(60) {
        read(&platform, guess).await.expect(401);
        // Asking without any is no guess, before the bound and beyond it.
        platform.call_as(None, "GET", MISSING, "").await.is_refused(
            401,
            "auth_missing",
            "Authorization: expected Basic and base64(partner_key:secret_key)",
        );
    }
    let mut answers = std::collections::BTreeSet::new();
    for guess in &wrong {
        let refused = read(&platform, guess).await;
        let message = "Authorization: not a valid partner_key and secret_key; more than 60 wrong ones came from this address \
                       within a minute";
        refused.is_refused(429, "rate_limited", message);
        // How a credential stands is said of a right one alone.
        assert_eq!((standing(&refused), refused.header("www-authenticate")), (None, None));
        let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
        answers.insert(without_what_differs(&refused));
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    platform.call_as(None, "GET", MISSING, "").await.expect(401);
    // Whoever is right, from here too: who was here before, who was not, and who is told that it was revoked.
    read(&platform, &partner.basic()).await.expect(404);
    let newcomer = platform.partner("Newcomer", BUSINESS).await;
    read(&platform, &newcomer.basic()).await.expect(404);
    assert_eq!(read(&platform, &gone.basic()).await.error().0, "auth_revoked");
    platform.clock.push(Duration::from_secs(60));
    read(&platform, &wrong[0]).await.expect(401);
}

#[tokio::test]
async fn wrong_tokens_are_counted_with_wrong_keys_and_the_right_one_is_taken() {
    let platform = Running::start().await;
    let (status, metrics) = ("/v1/operator/status", "/metrics");
    for guess in 0..30 {
        for path in [status, metrics] {
            platform.call_as(Some(&bearer(&format!("op_{guess}"))), "GET", path, "").await.expect(401);
        }
    }
    for (path, message) in [
        (status, "Authorization: not an operator token"),
        (metrics, "Authorization: neither the metrics token nor an operator token"),
    ] {
        let refused = platform.call_as(Some(&bearer("op_0")), "GET", path, "").await;
        let message = format!("{message}; more than 60 wrong ones came from this address within a minute");
        refused.is_refused(429, "rate_limited", &message);
        assert!(refused.header("retry-after").is_some());
        platform.call_as(Some(&operator()), "GET", path, "").await.expect(200);
        platform.call_as(None, "GET", path, "").await.expect(401);
    }
    read(&platform, &basic("pk_0", "sk_0")).await.expect(429);
}

#[test]
fn the_document_says_so_of_every_call_of_the_partner_api() {
    let mut checked = 0;
    for call in openapi::calls() {
        let is_partners = call.credential.as_deref() == Some("partnerCredential");
        for (status, answer) in call.answers() {
            let names: Vec<&str> =
                answer["headers"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            let counted = ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"];
            let is_counted = counted.iter().all(|name| names.contains(name));
            assert_eq!(
                is_counted,
                is_partners && status != "401",
                "{} {} {status}: {names:?}",
                call.method,
                call.path
            );
            checked += usize::from(is_counted);
        }
        if is_partners {
            let limited = call.answers().find(|(status, _)| status == "429").unwrap().1;
            assert_eq!(limited["headers"]["Retry-After"]["schema"], json!({"type": "integer"}));
        }
    }
    assert!(checked > 30, "{checked}");
}
