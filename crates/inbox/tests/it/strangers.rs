//! Senders that share no code with us: the published vectors, and curl with a signature by openssl.

use std::process::Stdio;

use hookit_contract::header;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::harness::{Running, SECRET, config, envelope, named};

#[derive(serde::Deserialize)]
struct Vector {
    name: String,
    webhook_secret_key: String,
    body: String,
    #[serde(rename = "x-klikit-signature")]
    signature: String,
}

#[derive(serde::Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
}

fn vectors() -> Vec<Vector> {
    let text = include_str!("../../../contract/tests/vectors/signature.json");
    serde_json::from_str::<Vectors>(text).unwrap().vectors
}

#[tokio::test]
async fn each_published_vector_is_received_with_its_own_secret_alone() {
    let vectors = vectors();
    assert!(vectors.len() >= 7);
    for vector in &vectors {
        for (secret, expected) in [
            (vector.webhook_secret_key.as_str(), (200, r#"{"status":"received"}"#)),
            ("whsec_another", (403, r#"{"status":"forbidden"}"#)),
        ] {
            let mut config = config();
            config.secrets = vec![named("vector", secret)];
            let inbox = Running::with(config).await;
            let headers = [(header::SIGNATURE, vector.signature.as_str()), (header::EVENT_ID, "evt_1")];
            let answer = inbox.post(&headers, vector.body.as_bytes()).await;
            assert_eq!((answer.status, answer.text()), expected, "{}", vector.name);
        }
    }
}

/// Runs a program with something on its standard input; a program that is missing or fails fails the test.
async fn run(program: &str, arguments: &[&str], input: &[u8]) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed for this test and cannot be run: {error}"));
    let mut stdin = child.stdin.take().expect("it is piped");
    // Reading and writing at once, or both sides could wait for the other with full pipes.
    let writing = async move {
        let _ = stdin.write_all(input).await;
        drop(stdin);
    };
    let (output, ()) =
        crate::harness::patiently(async { tokio::join!(child.wait_with_output(), writing) }).await;
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {}: {said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

async fn sign_with_openssl(body: &[u8]) -> String {
    // The secret stands among the arguments here, which everybody on a machine can see: good enough for a test.
    let out = run("openssl", &["dgst", "-sha256", "-hmac", SECRET, "-r"], body).await;
    out.split_whitespace().next().unwrap().to_owned()
}

async fn post_with_curl(inbox: &Running, signature: &str, body: &[u8]) -> (String, u16, u64) {
    let url = format!("http://{}/webhooks/klikit", inbox.address);
    let signature = format!("{}: {signature}", header::SIGNATURE);
    let event_id = format!("{}: evt_curl", header::EVENT_ID);
    let event_type = format!("{}: klikit.order.created.v2", header::EVENT_TYPE);
    let out = run(
        "curl",
        &[
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--header",
            "Content-Type: application/json",
            "--header",
            &signature,
            "--header",
            &event_id,
            "--header",
            &event_type,
            "--data-binary",
            "@-",
            "--write-out",
            "\n%{http_code} %{size_upload}",
            &url,
        ],
        body,
    )
    .await;
    let (answer, numbers) = out.rsplit_once('\n').unwrap();
    let (status, sent) = numbers.split_once(' ').unwrap();
    (answer.to_owned(), status.parse().unwrap(), sent.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_and_openssl_alone_can_deliver() {
    let inbox = Running::start().await;
    let record = r#"{"id":42, "status":1, "vat":0.1000, "order_comment":"ไม่เผ็ด 🍜"}"#;
    let body = envelope(&[record]);
    let signature = sign_with_openssl(body.as_bytes()).await;
    let received = post_with_curl(&inbox, &signature, body.as_bytes()).await;
    assert_eq!((received.0.as_str(), received.1), (r#"{"status":"received"}"#, 200));
    let repeated = post_with_curl(&inbox, &signature, body.as_bytes()).await;
    assert_eq!((repeated.0.as_str(), repeated.1), (r#"{"status":"duplicate-ignored"}"#, 200));
    let changed = body.replace(r#""status":1"#, r#""status":5"#);
    let forged = post_with_curl(&inbox, &signature, changed.as_bytes()).await;
    assert_eq!((forged.0.as_str(), forged.1), (r#"{"status":"forbidden"}"#, 403));
    assert_eq!(inbox.record(42).await, record);
    let history = inbox.get("/orders/42/history").await.json();
    assert_eq!(history["data"]["history"].as_array().unwrap().len(), 1);
    assert_eq!(history["data"]["history"][0]["event_type"], "klikit.order.created.v2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_gets_to_read_that_its_body_is_too_large() {
    let inbox = Running::start().await;
    let body = vec![b' '; 50 << 20];
    let signature = sign_with_openssl(&body).await;
    let (answer, status, _) = post_with_curl(&inbox, &signature, &body).await;
    assert_eq!(status, 413, "{answer}");
    assert!(answer.contains("request_too_large"), "{answer}");
    inbox.assert_nothing_stored().await;
}
