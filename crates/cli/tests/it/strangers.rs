//! Partners that share no code with hookit: the receivers of `examples/receivers/` as they stand there, and a sender
//! made of openssl and curl.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookit_contract::EventType;
use hookit_sim::traffic::generator;
use http::Method;
use rand::RngExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use crate::harness::halves::{Inbox, PATIENT, Platform};
use crate::harness::http::Client;
use crate::harness::ledger::Arrival;
use crate::harness::process::{Launch, Server};
use crate::harness::producer::Producers;
use crate::harness::{Scratch, patiently, until};

/// A line of a receiver's file.
#[derive(Deserialize)]
struct Line {
    event_id: String,
    event_type: String,
    sha256: String,
    readable: bool,
    orders: Vec<Value>,
    body_base64: String,
}

/// The receiver's file, each line checked against its own bytes.
fn accepted(file: &Path) -> Vec<Arrival> {
    let text = std::fs::read_to_string(file).unwrap();
    let mut arrivals = Vec::new();
    for line in text.lines() {
        let line: Line = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let body = STANDARD.decode(&line.body_base64).unwrap();
        let hash: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(line.sha256, hash, "{}", line.event_id);
        assert!(EventType::ALL.iter().any(|known| known.as_str() == line.event_type), "{}", line.event_type);
        assert!(line.readable, "{}: {}", line.event_id, String::from_utf8_lossy(&body));
        let envelope: Value = serde_json::from_slice(&body).unwrap();
        let short: Vec<Value> = envelope["orders"].as_array().unwrap().iter().map(short).collect();
        assert_eq!(line.orders, short, "{}", line.event_id);
        arrivals.push(Arrival { event_id: line.event_id, body: body.into() });
    }
    arrivals
}

fn short(record: &Value) -> Value {
    json!({"id": record["id"], "status": record["status"], "version": record["version"]})
}

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/receivers").join(path)
}

async fn deliver_to(name: &'static str, program: &str, source: &str, seed: u64) {
    let scratch = Scratch::new();
    let platform = Platform::start(&scratch, PATIENT).await;
    let partner = platform.partner(name).await;
    let file = scratch.path("receiver.ndjson");
    let mut receiver = Server::prepare(|address| {
        Launch::new(name, program)
            .argument(example(source))
            .variable("KLIKIT_WEBHOOK_SECRET", &partner.webhook_secret)
            .variable("PORT", address.port().to_string())
            .variable("RECEIVER_FILE", file.to_str().expect("a plain path"))
    });
    receiver.start(&scratch).await;
    platform.register(&partner, &EventType::ALL, &receiver.url("/webhooks/klikit")).await;

    let producers = Producers::start(&platform.operator, seed, 6, None);
    let mut dice = generator(seed);
    for _ in 0..3 {
        let wanted = platform.count("delivered").await + dice.random_range(20..60);
        until("deliveries", async || (platform.count("delivered").await >= wanted).then_some(())).await;
        receiver.kill().await;
        // Some of the traffic finds nobody there.
        producers.ledger.reaches(producers.ledger.acknowledgements() + 10).await;
        receiver.start(&scratch).await;
    }
    let ledger = producers.finish().await;
    platform.drained().await;

    let view = Client::new(receiver.url(""), None).ask(Method::GET, "/orders", "").await.json();
    let mut view: Vec<Value> = view.as_array().unwrap().clone();
    view.sort_by_key(|order| order["id"].as_i64());
    let mut platforms = Vec::new();
    for (order_id, _) in ledger.last_versions() {
        platforms.push(short(&platform.operator.get(&format!("/v1/operator/orders/{order_id}")).await));
    }
    assert_eq!(view, platforms);
    receiver.stop().await;
    let arrivals = accepted(&file);
    let auditor = ledger.assert_arrived(&arrivals);
    assert_eq!(auditor.repeats(), 0, "each delivery is in the file once");
    assert_eq!(auditor.deliveries() as u64, platform.count("delivered").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_receiver_gets_every_delivery_once_although_it_is_killed() {
    deliver_to("node", "node", "node/receiver.mjs", 0x5eed_0006).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_receiver_gets_every_delivery_once_although_it_is_killed() {
    deliver_to("python", "python3", "python/receiver.py", 0x5eed_0007).await;
}

/// Runs a program with something on its standard input; its standard output.
async fn run(program: &str, arguments: &[&str], input: &[u8]) -> String {
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed for this test and cannot be run: {error}"));
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input).await.unwrap();
    drop(stdin);
    let output = patiently(program, child.wait_with_output()).await.unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_of_openssl_and_curl_alone_is_understood() {
    let secret = "whsec_of_a_stranger";
    let scratch = Scratch::new();
    let mut inbox = Inbox::start(&scratch, secret).await;
    let record = r#"{"id":42, "status":1, "version":1, "vat":0.1000, "order_comment":"ไม่เผ็ด 🍜"}"#;
    let body = format!(r#"{{"brand_id":663,"branch_id":1062,"orders":[{record}]}}"#);
    let signature = run("openssl", &["dgst", "-sha256", "-hmac", secret, "-r"], body.as_bytes()).await;
    let signature = format!("x-klikit-signature: {}", signature.split_whitespace().next().unwrap());
    let url = inbox.webhook();
    let post = async |signature: &str, body: &str| {
        let arguments = [
            [
                "--silent",
                "--show-error",
                "--noproxy",
                "*",
                "--data-binary",
                "@-",
                "--write-out",
                " %{http_code}",
            ]
            .as_slice(),
            &["-H", "Content-Type: application/json", "-H", signature, "-H", "x-klikit-event-id: evt_curl"],
            &["-H", "x-klikit-event-type: klikit.order.created.v2", &url],
        ];
        run("curl", &arguments.concat(), body.as_bytes()).await
    };
    assert_eq!(post(&signature, &body).await, r#"{"status":"received"} 200"#);
    inbox.server.kill().await;
    inbox.server.start(&scratch).await;
    assert_eq!(post(&signature, &body).await, r#"{"status":"duplicate-ignored"} 200"#, "also after a kill");
    let forged = body.replace(r#""status":1"#, r#""status":5"#);
    assert_eq!(post(&signature, &forged).await, r#"{"status":"forbidden"} 403"#);
    let kept = inbox.client.ask(Method::GET, "/orders/42", "").await.data();
    assert_eq!(kept, record.as_bytes());
    assert_eq!(inbox.history(42).await, [(1, true)]);
}
