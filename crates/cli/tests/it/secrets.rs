//! Secrets are to be found nowhere but where they belong, at the highest log level, whatever goes wrong.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use hookit_contract::{EventType, WebhookSecret, header};
use hookit_sim::endpoints::{Answer, ScriptedEndpoint};
use http::Method;
use serde_json::json;

use crate::harness::halves::{Inbox, METRICS_TOKEN, OPERATOR_TOKEN, Partner, Platform};
use crate::harness::http::Client;
use crate::harness::process::{Launch, Server};
use crate::harness::{Scratch, until};

/// Retries that come soon and end soon, so that every kind of log line is written.
const IMPATIENT: &str = "[delivery]\nretry_delays_ms = [20]\n";

const BASIC_USER: &str = "till";
const BASIC_PASSWORD: &str = "pass-8d1f5c0b7e";

/// What must not be found, with what to call it when it is.
struct Hunt {
    needles: Vec<(String, Vec<u8>)>,
}

impl Hunt {
    /// A secret as it stands, as hex, and as base64 in its usual dialects.
    fn add(&mut self, name: &str, secret: &str) {
        let bytes = secret.as_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.needles.push((name.to_owned(), bytes.to_vec()));
        self.needles.push((format!("{name} in upper-case hex"), hex.to_uppercase().into_bytes()));
        self.needles.push((format!("{name} in hex"), hex.into_bytes()));
        for base64 in [STANDARD.encode(bytes), STANDARD_NO_PAD.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)] {
            self.needles.push((format!("{name} in base64"), base64.into_bytes()));
        }
        // As `Debug` shows bytes.
        let listed: Vec<String> = bytes.iter().map(u8::to_string).collect();
        self.needles.push((format!("{name} byte by byte"), listed.join(", ").into_bytes()));
    }

    /// What may be found, and is: without it, a hunt in the wrong places would look like a clean house.
    fn control(word: &str, folder: &Path) {
        let has =
            |path: &PathBuf| std::fs::read(path).unwrap().windows(word.len()).any(|w| w == word.as_bytes());
        assert!(files(folder).iter().any(has), "{word} is nowhere in {}", folder.display());
    }

    fn search(&self, place: &str, haystack: &[u8]) {
        for (name, needle) in &self.needles {
            let found = haystack.windows(needle.len()).position(|window| window == needle);
            if let Some(at) = found {
                let around = &haystack[at.saturating_sub(200)..haystack.len().min(at + 100)];
                panic!("{place} has the {name}: …{}…", String::from_utf8_lossy(around));
            }
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn record(order_id: i64) -> String {
    json!({"id": order_id, "business_id": 737, "branch_id": 1062, "brands": [{"id": 663}]}).to_string()
}

fn command_lines(servers: [&mut Server; 2]) -> Vec<Vec<u8>> {
    servers.map(|s| std::fs::read(format!("/proc/{}/cmdline", s.process().id())).unwrap()).into()
}

/// Registers all event types, with Basic credentials.
async fn register(platform: &Platform, partner: &Partner, url: &str) {
    for event_type in EventType::ALL {
        let body = json!({
            "partner_id": partner.partner_id, "event_type": event_type, "url": url,
            "basic_auth": {"user": BASIC_USER, "password": BASIC_PASSWORD},
        });
        platform.operator.call(Method::PUT, "/v1/operator/webhooks", body.to_string()).await;
    }
}

/// All that can be asked of the platform, rightly and wrongly.
async fn ask_everything(platform: &Platform, partner: &Partner, clients: &[Client]) {
    for client in clients {
        for path in [
            "partners",
            "webhooks",
            "deliveries",
            "orders",
            "status",
            "orders/1",
            "orders/x",
            "no-such-thing",
        ] {
            client.ask(Method::GET, &format!("/v1/operator/{path}"), "").await;
        }
        for (method, path, body) in [
            (Method::POST, "/v1/operator/orders", "{broken"),
            (Method::POST, "/v1/operator/partners", r#"{"name": 7}"#),
            (Method::PUT, "/v1/operator/webhooks", r#"{"basic_auth": {"user": "a:b", "password": 7}}"#),
            (Method::PATCH, "/v1/operator/orders/1/status", r#"{"status": "nowhere"}"#),
            (Method::GET, "/v1/partner/orders/1", ""),
            (Method::GET, "/healthz", ""),
            (Method::GET, "/readyz", ""),
            (Method::GET, "/metrics", ""),
        ] {
            client.ask(method, path, body).await;
        }
        // A registration whose body is refused for another reason than its secret.
        let body = json!({
            "partner_id": partner.partner_id, "event_type": "klikit.order.created.v2", "url": "ftp://nowhere",
            "basic_auth": {"user": BASIC_USER, "password": BASIC_PASSWORD},
        });
        assert!(client.ask(Method::PUT, "/v1/operator/webhooks", body.to_string()).await.status >= 400);
        let body = json!({"basic_auth": {"user": BASIC_USER, "password": [BASIC_PASSWORD]}});
        assert!(client.ask(Method::PUT, "/v1/operator/webhooks", body.to_string()).await.status >= 400);
    }
    let failed = [platform.deliveries("pending").await, platform.deliveries("dead").await].concat();
    assert_eq!(failed.len(), 6);
    for delivery in failed {
        let id = delivery["delivery_id"].as_str().unwrap();
        platform.operator.get(&format!("/v1/operator/deliveries/{id}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_a_log_an_answer_a_process_list_or_a_file_that_is_not_its_own() {
    let scratch = Scratch::new();
    let mut platform = Platform::start_logging(&scratch, IMPATIENT, "trace").await;
    let partner = platform.partner("Inbox").await;
    let dead = platform.partner("Nobody").await;
    let failing = platform.partner("Failing").await;
    let mut inbox = Inbox::start_logging(&scratch, &partner.webhook_secret, "trace").await;
    let mut hunt = Hunt { needles: Vec::new() };
    hunt.add("operator token", OPERATOR_TOKEN);
    hunt.add("metrics token", METRICS_TOKEN);
    hunt.add("Basic password", BASIC_PASSWORD);
    hunt.add("Basic credentials", &format!("{BASIC_USER}:{BASIC_PASSWORD}"));
    for (name, partner) in [("inbox's", &partner), ("dead", &dead), ("failing", &failing)] {
        hunt.add(&format!("{name} secret key"), &partner.secret_key);
        hunt.add(&format!("{name} webhook secret"), &partner.webhook_secret);
        hunt.add(&format!("{name} credential"), &format!("{}:{}", partner.partner_key, partner.secret_key));
    }
    // Each rotation's answer is a one-time one too.
    for (verb, field) in [("rotate-secret", "secret_key"), ("rotate-webhook-secret", "webhook_secret_key")] {
        let path = format!("/v1/operator/partners/{}/{verb}", dead.partner_id);
        let shown = platform.operator.call(Method::POST, &path, "").await;
        hunt.add(&format!("rotated {field}"), shown[field].as_str().unwrap());
    }
    assert_eq!(platform.operator.take_answers().len(), 6, "the hierarchy, three issuances, two rotations");

    // An endpoint that takes it, one where nobody is, one that fails and says back what it was sent.
    register(&platform, &partner, &inbox.webhook()).await;
    let mut nobody = ScriptedEndpoint::start().await.unwrap();
    nobody.stop().await.unwrap();
    register(&platform, &dead, &nobody.url()).await;
    let hostile = ScriptedEndpoint::start().await.unwrap();
    hostile.answer_next(1, Answer::Status(500));
    hostile.answer_next(1, Answer::Garbage);
    hostile.answer(Answer::ResetAfterRead);
    register(&platform, &failing, &hostile.url()).await;
    for order_id in 1..=3 {
        platform.operator.call(Method::POST, "/v1/operator/orders", record(order_id)).await;
    }
    until("an attempt of each delivery", async || {
        let status = platform.status().await;
        (status["delivered"] == 3 && status["attempts"].as_u64() >= Some(9)).then_some(())
    })
    .await;
    let sent = hostile.requests()[0].header("authorization").map(str::to_owned);
    let expected = format!("Basic {}", STANDARD.encode(format!("{BASIC_USER}:{BASIC_PASSWORD}")));
    assert_eq!(sent, Some(expected), "the hunt is for something that is in use");

    // Right and wrong credentials, in every form.
    let platform_url = platform.server.url("");
    let basic = |pair: String| Some(format!("Basic {}", STANDARD.encode(pair)));
    let with = |authorization: Option<String>| Client::new(platform_url.clone(), authorization);
    let scraper = with(Some(format!("Bearer {METRICS_TOKEN}")));
    assert_eq!(scraper.ask(Method::GET, "/metrics", "").await.status, 200);
    assert_eq!(scraper.ask(Method::GET, "/v1/operator/status", "").await.status, 401);
    let clients = [
        platform.operator.clone(),
        scraper,
        with(None),
        with(Some("Bearer op_wrong_but_long_enough".to_owned())),
        with(Some(format!("Basic {OPERATOR_TOKEN}"))),
        with(Some(format!("Bearer {}", partner.secret_key))),
        with(basic(format!("{}:{}", partner.partner_key, partner.secret_key))),
        with(basic(format!("{}:{}", partner.partner_key, failing.secret_key))),
        with(basic(format!("{}:{}", dead.partner_key, dead.secret_key))),
    ];
    ask_everything(&platform, &partner, &clients).await;

    // Deliveries with right, wrong, missing and exchanged signatures.
    let body = r#"{"brand_id":663,"branch_id":1062,"orders":[{"id":9,"status":1}]}"#;
    let right = WebhookSecret::new(partner.webhook_secret.as_bytes()).sign(body.as_bytes()).to_string();
    for signature in [right.as_str(), "0", &partner.webhook_secret, &"f".repeat(64)] {
        let headers = [(header::SIGNATURE, signature), (header::EVENT_ID, "evt_1")];
        inbox.client.send(Method::POST, "/webhooks/klikit", &headers, body).await.unwrap();
    }
    inbox.client.ask(Method::POST, "/webhooks/klikit", body).await;
    for path in ["/orders", "/orders/9/history", "/quarantine", "/readyz", "/metrics", "/nowhere"] {
        inbox.client.ask(Method::GET, path, "").await;
    }

    for line in command_lines([&mut platform.server, &mut inbox.server]) {
        hunt.search("a command line", &line);
    }
    for answer in clients.iter().chain([&inbox.client]).flat_map(Client::take_answers) {
        hunt.search("an answer", answer.as_bytes());
    }
    let search_files = |hunt: &Hunt| {
        for path in [files(&platform.data), files(&inbox.data), files(&scratch.path("said"))].concat() {
            hunt.search(&path.display().to_string(), &std::fs::read(&path).unwrap());
        }
    };
    search_files(&hunt);
    Hunt::control(&partner.partner_key, &platform.data);
    Hunt::control("evt_1", &inbox.data);
    platform.server.stop().await;
    inbox.server.stop().await;
    search_files(&hunt);
    let said: String =
        files(&scratch.path("said")).iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    assert!(said.contains("DEBUG") && said.contains("an attempt ended"), "the logs tell all that they can");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generated_operator_token_is_in_its_file_alone_and_all_files_are_private() {
    let scratch = Scratch::new();
    let data = scratch.path("new").join("data");
    let mut server = Server::prepare(|address| {
        let launch = Launch::hookit(&["platform", "serve", "--log", "trace", "--allow-private-endpoints"]);
        launch.argument("--listen").argument(address.to_string()).argument("--data").argument(&data)
    });
    server.start(&scratch).await;
    let file = data.join("operator.token");
    let token = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    assert!(token.len() >= 64, "a token that cannot be guessed: {} characters", token.len());
    let operator = Client::new(server.url(""), Some(format!("Bearer {token}")));
    operator.call(Method::POST, "/v1/operator/partners", r#"{"name": "Till", "business_id": 737}"#).await;
    operator.take_answers();
    operator.call(Method::POST, "/v1/operator/orders", record(1)).await;
    Client::new(server.url(""), None).ask(Method::GET, "/v1/operator/status", "").await;
    // What an inbox makes is private too.
    let inbox = Inbox::start(&scratch, "whsec_of_the_tests").await;

    let key = std::fs::read_to_string(data.join("platform.key")).unwrap().trim().to_owned();
    let mut hunt = Hunt { needles: Vec::new() };
    hunt.add("operator token", &token);
    hunt.add("master key", &key);
    for answer in operator.take_answers() {
        hunt.search("an answer", answer.as_bytes());
    }
    let owners = ["operator.token", "platform.key"];
    let owned = |path: &Path| owners.iter().any(|name| path.file_name().is_some_and(|file| file == *name));
    for path in [files(&data), files(&scratch.path("said"))].concat() {
        if !owned(&path) {
            hunt.search(&path.display().to_string(), &std::fs::read(&path).unwrap());
        }
    }
    for folder in [&data, &inbox.data] {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
        let files = files(folder);
        assert!(files.iter().any(|path| path.extension().is_some_and(|e| e == "db-wal")), "{files:?}");
        for path in files {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }

    // The same token after a restart: it was not made anew.
    server.kill().await;
    server.start(&scratch).await;
    assert_eq!(operator.get("/v1/operator/status").await["orders"], 1);
    server.stop().await;
}
