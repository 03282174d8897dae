//! Several secrets and several readers, from the command line: what a partner sets up before a secret is replaced.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use hookit_contract::{WebhookSecret, header};
use http::Method;
use serde_json::Value;

use crate::harness::Scratch;
use crate::harness::halves::{Inbox, OPERATOR_TOKEN, Platform, WRITE_TOKEN};
use crate::harness::http::Client;
use crate::harness::process::Launch;

/// A file that only its owner may read.
fn private(scratch: &Scratch, name: &str, content: &str) -> String {
    let path = scratch.write(name, content);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().expect("a plain path").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_replaced_and_readers_are_told_apart() {
    let scratch = Scratch::new();
    let platform = Platform::start(&scratch, "").await;
    let next = private(&scratch, "next.secret", "whsec_of_next_month\n");
    let kitchen = private(&scratch, "kitchen.token", "kitchen-token-0123\n");
    let config = format!(
        "[[secrets]]\nname = \"next\"\nsecret_file = {next:?}\n[[read_tokens]]\nname = \"kitchen\"\ntoken_file = {kitchen:?}\n"
    );
    let office = "office-token-45678";
    let mut inbox =
        Inbox::start_with(&scratch, "whsec_of_this_month", &config, &[("HOOKIT_INBOX_TOKEN", office)]).await;

    let trigger = |secret: &str| {
        Launch::hookit(&["trigger", "created", "--to", &inbox.webhook()])
            .variable("KLIKIT_WEBHOOK_SECRET", secret)
    };
    for (secret, code) in [("whsec_of_this_month", 0), ("whsec_of_next_month", 0), ("whsec_of_last_month", 4)]
    {
        let ended = trigger(secret).run(&scratch).await;
        assert_eq!(ended.code, Some(code), "{secret}: {}", ended.stderr);
    }

    let orders = async |token: Option<&str>| {
        let client = Client::new(inbox.server.url(""), token.map(|token| format!("Bearer {token}")));
        client.ask(Method::GET, "/orders", "").await
    };
    for token in [office, "kitchen-token-0123"] {
        let shown: Value = orders(Some(token)).await.json();
        assert_eq!(shown["data"]["orders"].as_array().unwrap().len(), 2, "{shown}");
    }
    for (token, code) in [(None, "auth_missing"), (Some("kitchen-token-0124"), "auth_invalid_credential")] {
        let refused = orders(token).await;
        assert_eq!((refused.status, refused.error_code().as_str()), (401, code));
    }
    // The comparison reads with a token of its own, and says what it misses where it has none.
    let diff = || {
        Launch::hookit(&["diff", "--platform", &platform.server.url(""), "--inbox", &inbox.server.url("")])
            .variable("HOOKIT_OPERATOR_TOKEN", OPERATOR_TOKEN)
    };
    let without = diff().run(&scratch).await;
    assert!(without.stderr.contains("read token"), "{without:?}");
    let with = diff().variable("HOOKIT_INBOX_TOKEN", office).run(&scratch).await;
    assert!(with.stdout.contains("2"), "two orders that the platform does not know: {with:?}");

    let run = async |arguments: &[&str]| {
        let launch = Launch::hookit(&[&["inbox"], arguments].concat()).named("operator");
        let launch =
            launch.variable("HOOKIT_INBOX_URL", inbox.server.url("")).variable("HOOKIT_INBOX_TOKEN", office);
        launch.run(&scratch).await
    };
    let status = run(&["status"]).await;
    for said in [
        "by_secret         klikit=1 next=1",
        "refused           signature_wrong=1",
        "reconcile         no credential",
    ] {
        assert!(status.code == Some(0) && status.stdout.contains(said), "{said}: {status:?}");
    }
    let shown = run(&["orders", "--status", "placed", "--output", "json"]).await;
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["orders"].as_array().unwrap().len(), 2, "{shown}");
    assert_eq!(run(&["quarantine", "list"]).await.code, Some(0));
    assert_eq!(run(&["quarantine", "show", "1"]).await.code, Some(3));
    let nobody = run(&["quarantine", "apply"]).await;
    assert!(
        nobody.code == Some(2) && nobody.stderr.contains("HOOKIT_INBOX_WRITE_TOKEN is not set"),
        "{nobody:?}"
    );
    let orders = run(&["orders"]).await;
    assert!(orders.stdout.starts_with("ORDER") && orders.stdout.lines().count() == 3, "{orders:?}");

    let log = inbox.server.process().stderr();
    assert!(
        log.contains("secrets=\"klikit, next\"") && log.contains("read_tokens=\"environment, kitchen\""),
        "{log}"
    );
    assert!(log.contains("reason=\"signature_wrong\""), "{log}");
    for secret in ["whsec_of", office, "kitchen-token-0123"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_looked_discards_what_could_not_be_read_and_nobody_else_does() {
    let scratch = Scratch::new();
    let secret = "whsec_of_this_month";
    let token = [("HOOKIT_INBOX_WRITE_TOKEN", WRITE_TOKEN)];
    let inbox = Inbox::start_with(&scratch, secret, "", &token).await;
    let body = r#"{"orders":[{"status":1}]}"#;
    let signature = WebhookSecret::new(secret.as_bytes()).sign(body.as_bytes());
    let headers = [(header::SIGNATURE, signature.as_str()), (header::EVENT_ID, "evt_1")];
    let deliver = async || {
        let answer = inbox.client.send(Method::POST, "/webhooks/klikit", &headers, body).await.unwrap();
        answer.text().to_owned()
    };
    assert_eq!(deliver().await, r#"{"status":"received"}"#);

    let run = async |arguments: &[&str], token: Option<&str>| {
        let launch = Launch::hookit(&[&["inbox", "quarantine"], arguments].concat()).named("operator");
        let launch = launch.variable("HOOKIT_INBOX_URL", inbox.server.url(""));
        let launch = token.into_iter().fold(launch, |l, token| l.variable("HOOKIT_INBOX_WRITE_TOKEN", token));
        launch.run(&scratch).await
    };
    assert_eq!(run(&["discard", "1"], None).await.code, Some(2));
    assert_eq!(run(&["discard"], Some(WRITE_TOKEN)).await.code, Some(2), "one has to be chosen");
    assert_eq!(run(&["discard", "1"], Some("till_3_b81d54f0ac7e2937")).await.code, Some(4));
    assert_eq!(run(&["show", "1"], None).await.code, Some(0));
    let done = run(&["discard", "1", "--output", "json"], Some(WRITE_TOKEN)).await;
    let discarded: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"));
    assert_eq!(discarded["delivery_id"], "evt_1");
    for gone in [&["show", "1"][..], &["discard", "1"], &["apply", "1"]] {
        assert_eq!(run(gone, Some(WRITE_TOKEN)).await.code, Some(3), "{gone:?}");
    }
    assert_eq!(deliver().await, r#"{"status":"duplicate-ignored"}"#);
    assert_eq!(inbox.client.get("/status").await["quarantined"], 0);
}
