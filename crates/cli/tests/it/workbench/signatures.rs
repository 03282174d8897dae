//! `hookit sign` and `hookit verify`.

use hookit_contract::WebhookSecret;
use serde_json::{Value, json};

use super::{SECRET, WEBHOOK_SECRET, hookit};
use crate::harness::Scratch;
use crate::harness::process::Launch;

const BODY: &str = r#"{"orders":[{"id":1,"total":1.50}]}"#;
const MATCHES: Option<i32> = Some(0);
const DIFFERS: Option<i32> = Some(1);
const USAGE: Option<i32> = Some(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_signed_is_verified_with_the_secret_of_the_environment_or_of_a_file() {
    let scratch = Scratch::new();
    scratch.write("body.json", BODY);
    scratch.write("current.secret", &format!("{SECRET}\n"));
    scratch.write("former.secret", "whsec_former\r\n");
    let signature = WebhookSecret::new(SECRET.as_bytes()).sign(BODY.as_bytes()).to_string();

    let signed = hookit(&scratch, &["sign", "body.json"]).await;
    assert_eq!((signed.code, signed.stdout.as_str()), (MATCHES, format!("{signature}\n").as_str()));
    let verified = hookit(&scratch, &["verify", "--signature", &signature, "body.json"]).await;
    assert_eq!((verified.code, verified.stdout.as_str()), (MATCHES, "the signature matches\n"));

    let of_files = ["--secret-file", "former.secret", "--secret-file", "current.secret"];
    let arguments = [&["verify", "--signature", &signature, "body.json"], of_files.as_slice()].concat();
    let verified = hookit(&scratch, &arguments).await;
    assert_eq!(verified.code, MATCHES);
    assert_eq!(
        verified.stdout,
        "the signature matches with the secret of current.secret, and not with that of former.secret\n"
    );
    let ambiguous = hookit(&scratch, &[&["sign", "body.json"], of_files.as_slice()].concat()).await;
    assert_eq!(ambiguous.code, USAGE, "{}", ambiguous.stderr);
    let other = Launch::hookit(&["sign", "--secret-env", "PORT", "body.json"]).variable("PORT", SECRET);
    assert_eq!(other.run(&scratch).await.stdout, format!("{signature}\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_says_why_in_words_and_in_json() {
    let scratch = Scratch::new();
    scratch.write("body.json", BODY);
    let spaced = r#"{"orders": [{"id": 1, "total": 1.5}]}"#;
    let signature = WebhookSecret::new(SECRET.as_bytes()).sign(spaced.as_bytes()).as_str().to_uppercase();
    let arguments = ["verify", "--signature", &signature, "body.json"];
    let verified = hookit(&scratch, &arguments).await;
    assert_eq!(verified.code, DIFFERS);
    for expected in ["uppercase hex", "a space after each comma and colon", "take the raw body"] {
        assert!(verified.stdout.contains(expected), "{}", verified.stdout);
    }
    let verified = hookit(&scratch, &[arguments.as_slice(), &["--output", "json"]].concat()).await;
    assert_eq!(verified.code, DIFFERS);
    let said: Value = serde_json::from_str(&verified.stdout).unwrap();
    assert_eq!(said["matches"], json!(false));
    assert_eq!(said["causes"][0]["code"], "signature_uppercase");
    assert_eq!(said["causes"][1]["code"], "body_rewritten");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_not_taken_from_the_command_line_and_never_printed() {
    let scratch = Scratch::new();
    scratch.write("body.json", BODY);
    let on_line = hookit(&scratch, &["sign", "--secret", "whsec_on_the_line", "body.json"]).await;
    assert_eq!(on_line.code, USAGE);
    for expected in ["lists processes", "--secret-env", "--secret-file", WEBHOOK_SECRET] {
        assert!(on_line.stderr.contains(expected), "{}", on_line.stderr);
    }
    let wrong = hookit(&scratch, &["verify", "--signature", "00", "body.json"]).await;
    for said in [on_line, wrong] {
        let said = format!("{}{}", said.stdout, said.stderr);
        assert!(!said.contains("whsec_on_the_line") && !said.contains(SECRET), "{said}");
    }
    let unset = Launch::hookit(&["sign", "body.json"]).run(&scratch).await;
    assert_eq!(unset.code, USAGE);
    assert!(unset.stderr.contains("KLIKIT_WEBHOOK_SECRET is not set"), "{}", unset.stderr);
    let absent = hookit(&scratch, &["sign", "absent.json"]).await;
    assert!(absent.code == USAGE && absent.stderr.contains("absent.json"), "{}", absent.stderr);
}
