//! No body, secret or signature in any log line, at any level.

use std::io;
use std::sync::{Arc, Mutex};

use hookit_contract::header;
use hookit_inbox::BasicAuth;
use hookit_server::Secret;

use crate::harness::{Running, config, envelope, exchange, head, named, sign};

/// What the whole test binary logs; the words that are looked for belong to this test alone.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_names_deliveries_and_outcomes_and_no_secret_signature_or_body() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();

    let mut config = config();
    config.secrets = vec![named("first", "whsec_hush_1"), named("second", "whsec_hush_2")];
    config.basic_auth = Some(BasicAuth { user: "pos".to_owned(), password: Secret::new("hush_password") });
    config.read_tokens = vec![named("kitchen", "hush_token_of_the_kitchen")];
    let inbox = Running::with(config).await;
    // printf 'pos:hush_password' | base64
    let credentials = "Basic cG9zOmh1c2hfcGFzc3dvcmQ=";

    let genuine = envelope(&[r#"{"id":42,"status":2,"user_phone":"+62-hush-phone"}"#, r#""hush_record""#]);
    let garbage = "hush_garbage".to_owned();
    let mut signatures = Vec::new();
    for (body, secret) in [
        (&genuine, "whsec_hush_1"),
        (&genuine, "whsec_hush_2"),
        (&genuine, "whsec_not_ours"),
        (&garbage, "whsec_hush_2"),
    ] {
        let signature = sign(secret, body.as_bytes());
        let id = format!("evt_logged_{}", signatures.len());
        for authorization in [credentials, "Basic aHVzaA=="] {
            let headers = [
                (header::SIGNATURE, signature.as_str()),
                (header::EVENT_ID, &id),
                ("authorization", authorization),
            ];
            inbox.post(&headers, body.as_bytes()).await;
        }
        signatures.push(signature);
    }
    let repeat = [
        (header::SIGNATURE, signatures[0].as_str()),
        (header::EVENT_ID, "evt_logged_0"),
        ("authorization", credentials),
    ];
    inbox.post(&repeat, genuine.as_bytes()).await.is(200, r#"{"status":"duplicate-ignored"}"#);
    for token in ["Bearer hush_token", "Bearer hush_wrong"] {
        exchange(inbox.address, head("GET", "/orders/42", &[("authorization", token)], None)).await;
    }
    assert_eq!(inbox.inbox.counters().received, 3);
    inbox.stop().await;

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for expected in [
        "evt_logged_0",
        "secret=\"first\"",
        "evt_logged_3",
        "secret=\"second\"",
        "signature_wrong",
        "repeat ignored",
    ] {
        assert!(log.contains(expected), "{expected} is not in the log");
    }
    let encoded = [&credentials["Basic ".len()..], "aHVzaA=="];
    for hidden in ["hush"].into_iter().chain(encoded).chain(signatures.iter().map(String::as_str)) {
        let line = log.lines().find(|line| line.contains(hidden));
        assert_eq!(line, None, "{hidden} is in the log");
    }
}
