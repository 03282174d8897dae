//! `hookit trigger` and `hookit listen`, each tried against the other and against strangers.

use bytes::Bytes;
use hookit_contract::{Envelope, StatusCodes, WebhookSecret};
use hookit_sim::endpoints::{Answer, ScriptedEndpoint};
use serde_json::{Value, json};

use super::{SECRET, WEBHOOK_SECRET, hookit};
use crate::harness::process::{Launch, Process};
use crate::harness::{Scratch, until};

const REFUSED: Option<i32> = Some(4);
const UNREACHABLE: Option<i32> = Some(5);

/// A listener on a free port, and its URL.
async fn listen(scratch: &Scratch, arguments: &[&str]) -> (Process, String) {
    let launch = Launch::hookit(&["listen", "--listen", "127.0.0.1:0", "--output", "json"]);
    let launch = arguments.iter().fold(launch, |launch, argument| launch.argument(*argument));
    let process = launch.named("listen").variable(WEBHOOK_SECRET, SECRET).spawn(scratch);
    let url = until("the listener's address", async || {
        let said = process.stderr();
        let (_, address) = said.split_once("listening on ")?;
        Some(format!("{}/webhooks/klikit", address.split_once('\n')?.0))
    })
    .await;
    (process, url)
}

/// What a listener has printed, once it is so many lines.
async fn lines(listener: &Process, count: usize) -> Vec<Value> {
    until("the listener's lines", async || {
        let said = listener.stdout();
        let whole: Vec<&str> = said.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
        (whole.len() >= count).then(|| whole.iter().map(|line| serde_json::from_str(line).unwrap()).collect())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_triggered_is_what_the_platform_would_send_and_the_exchange_is_shown() {
    let scratch = Scratch::new();
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let arguments = ["trigger", "status", "--to", &endpoint.url(), "--status", "ready", "--orders", "3"];
    let shown =
        hookit(&scratch, &[&arguments, ["--event-id", "evt_mine", "--repeat", "2"].as_slice()].concat())
            .await;
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    let received = endpoint.requests();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].body, received[1].body);
    let header = |name| received[0].header(name).unwrap().to_owned();
    let body: Bytes = received[0].body.clone();
    let signature = header("x-klikit-signature");
    WebhookSecret::new(SECRET.as_bytes()).verify(&body, signature.as_bytes()).unwrap();
    assert_eq!(header("x-klikit-event-id"), "evt_mine");
    assert_eq!(header("x-klikit-event-type"), "klikit.order.status.updated");
    assert_eq!(header("content-type"), "application/json");
    let envelope = Envelope::read(&body).unwrap();
    assert_eq!(envelope.orders.len(), 3);
    let mut ids = Vec::new();
    for order in envelope.orders {
        let record = order.record.unwrap();
        assert_eq!(record.status(&StatusCodes::default()).unwrap().unwrap().to_string(), "READY");
        assert_eq!(record.branch_id().unwrap(), envelope.branch_id);
        assert!(record.brand_ids().unwrap().contains(&envelope.brand_id.unwrap()));
        assert!(record.version() == Some(2) && record.get("can_cancel").is_some());
        ids.push(record.id().unwrap().unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
    for expected in ["→ POST http://", &signature, "\n    \"orders\": [\n", "← 200 acknowledged in "] {
        assert!(shown.stdout.contains(expected), "{expected}: {}", shown.stdout);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_ones_own_goes_out_byte_for_byte() {
    let scratch = Scratch::new();
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let record = r#"{"id": 42, "branch_id": 7, "brands":[{"id":663}], "vat": 0.1000, "x": "ไม่เผ็ด"}"#;
    let envelope = format!(r#"{{ "orders": [{record}] }}"#);
    scratch.write("record.json", record);
    scratch.write("envelope.json", &envelope);
    scratch.write("nothing.json", r#"{"id": 42}"#);
    for file in ["record.json", "envelope.json"] {
        let sent = hookit(&scratch, &["trigger", "created", "--to", &endpoint.url(), "--record", file]).await;
        assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    }
    let bodies: Vec<_> =
        endpoint.requests().into_iter().map(|r| String::from_utf8(r.body.to_vec()).unwrap()).collect();
    assert_eq!(bodies, [format!(r#"{{"brand_id":663,"branch_id":7,"orders":[{record}]}}"#), envelope]);
    let refused =
        hookit(&scratch, &["trigger", "created", "--to", &endpoint.url(), "--record", "nothing.json"]).await;
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("nothing.json: brands: expected"), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trigger_tells_by_its_exit_code_how_it_went() {
    let scratch = Scratch::new();
    let mut endpoint = ScriptedEndpoint::start().await.unwrap();
    endpoint.answer(Answer::Status(302));
    let arguments = ["trigger", "klikit.order.created.v2", "--to", &endpoint.url(), "--output", "json"];
    let refused = hookit(&scratch, &arguments).await;
    assert_eq!(refused.code, REFUSED);
    let said: Value = serde_json::from_str(&refused.stdout).unwrap();
    assert_eq!((&said["status"], &said["outcome"]), (&json!(302), &json!("refused")));
    endpoint.stop().await.unwrap();
    assert_eq!(hookit(&scratch, &arguments).await.code, UNREACHABLE);
    for wrong in
        [["trigger", "nonsense", "--to", "http://127.0.0.1:1"], ["trigger", "cart", "--to", "nonsense"]]
    {
        assert_eq!(hookit(&scratch, &wrong).await.code, Some(2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_verifies_knows_repeats_and_says_why_a_signature_is_wrong() {
    let scratch = Scratch::new();
    let (mut listener, url) = listen(&scratch, &[]).await;
    let trigger = ["trigger", "created", "--to", &url, "--event-id", "evt_1"];
    assert_eq!(hookit(&scratch, &[&trigger, ["--repeat", "2"].as_slice()].concat()).await.code, Some(0));
    let stranger = Launch::hookit(&trigger).variable(WEBHOOK_SECRET, format!("{SECRET}\n"));
    assert_eq!(stranger.run(&scratch).await.code, REFUSED);

    let lines = lines(&listener, 3).await;
    let said = |line: &Value| (line["genuine"].clone(), line["repeat"].clone(), line["answer"].clone());
    assert_eq!(said(&lines[0]), (json!(true), json!(false), json!(200)));
    assert_eq!(said(&lines[1]), (json!(true), json!(true), json!(200)));
    assert_eq!(said(&lines[2]), (json!(false), json!(false), json!(403)));
    assert_eq!(lines[0]["orders"][0]["status_name"], "PLACED");
    assert_eq!(lines[2]["why"][0]["what"], "the secret was used with a line end behind it");
    assert!(lines[0]["body"].as_str().unwrap().starts_with("{\"brand_id\":"));
    listener.signal("TERM");
    assert_eq!(listener.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_forwards_what_is_genuine_as_it_came_and_answers_with_the_answer() {
    let scratch = Scratch::new();
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    endpoint.answer_next(1, Answer::Status(503));
    let (_listener, url) = listen(&scratch, &["--forward-to", &endpoint.url(), "--brief"]).await;
    let trigger = ["trigger", "created", "--to", &url, "--output", "json"];
    assert_eq!(hookit(&scratch, &trigger).await.code, REFUSED);
    let sent = hookit(&scratch, &trigger).await;
    assert_eq!(sent.code, Some(0), "{}", sent.stdout);
    let sent: Value = serde_json::from_str(&sent.stdout).unwrap();
    let forged = Launch::hookit(&trigger).variable(WEBHOOK_SECRET, "another").run(&scratch).await;
    assert_eq!(forged.code, REFUSED);
    let received = endpoint.requests();
    assert_eq!(received.len(), 2, "what is forged is not forwarded");
    assert_eq!(received[1].header("x-klikit-event-id"), sent["event_id"].as_str());
    let signature = received[1].header("x-klikit-signature").unwrap();
    WebhookSecret::new(SECRET.as_bytes()).verify(&received[1].body, signature.as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_plays_a_bad_partner() {
    let scratch = Scratch::new();
    let (failing, url) = listen(&scratch, &["--fail", "500:2", "--delay", "50ms"]).await;
    let trigger = ["trigger", "created", "--to", &url, "--repeat", "3", "--output", "json"];
    let sent = hookit(&scratch, &trigger).await;
    let sent: Vec<Value> = sent.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let statuses: Vec<&Value> = sent.iter().map(|line| &line["status"]).collect();
    assert_eq!(statuses, [&json!(500), &json!(500), &json!(200)]);
    assert!(sent.iter().all(|line| line["first_byte_ms"].as_f64().unwrap() >= 50.0));
    assert_eq!(lines(&failing, 3).await.len(), 3);

    let (mut hanging, url) = listen(&scratch, &["--hang"]).await;
    let mut trigger = Launch::hookit(&["trigger", "created", "--to", &url])
        .variable(WEBHOOK_SECRET, SECRET)
        .spawn(&scratch);
    let lines = lines(&hanging, 1).await;
    assert_eq!(lines[0]["answer"], Value::Null);
    assert!(trigger.has_ended().is_none(), "{}", trigger.stdout());
    hanging.signal("TERM");
    assert_eq!(hanging.ended().await.code(), Some(0), "a stop does not wait for what will never be answered");
    assert_eq!(trigger.ended().await.code(), UNREACHABLE);
}
