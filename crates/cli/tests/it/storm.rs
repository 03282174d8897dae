//! Everything at once, through the inbox and its sinks: a tenth of the answers lost, a tenth of the deliveries repeated, all of
//! them in a random order, and `kill -9` of the inbox and of what it hands on to, again and again. In the end the view is the
//! truth, each sink's receiver saw every change of each order in order, and nothing genuine was refused (G7, G8).
//!
//! `HOOKIT_STORMS=20 cargo test -p hookit --test it storm` has so many further ones, each with another seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookit_contract::{WebhookSecret, header};
use hookit_sim::traffic::generator;
use http::Method;
use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use serde_json::{Value, json};

use crate::harness::halves::Inbox;
use crate::harness::http::Client;
use crate::harness::process::{Launch, Server};
use crate::harness::{GLANCE, Scratch, until};

const SECRET: &str = "whsec_of_the_storm";
const SINK_SECRET: &str = "whsec_behind_the_storm";

/// Orders, and states of each.
const ORDERS: i64 = 150;
const STATES: [i64; 5] = [1, 2, 10, 4, 5];

/// How many deliveries are under way at a time.
const SENDERS: u64 = 8;

/// What the sender has: deliveries that it knows no acknowledgement of, and what the truth is.
struct Storm {
    /// Each with its id; shuffled.
    left: Mutex<VecDeque<(String, String)>>,
    under_way: Mutex<usize>,
    acknowledged: Mutex<u64>,
    /// Answers that no receiver may give to what is genuine.
    refused: Mutex<Vec<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics in here")
}

/// The states of all orders, in deliveries of one to four orders each, and each order's newest record.
fn made(dice: &mut impl rand::Rng) -> (VecDeque<(String, String)>, BTreeMap<i64, String>) {
    let mut truth = BTreeMap::new();
    let mut states = Vec::new();
    for order in 1..=ORDERS {
        let lasts = dice.random_range(1..=STATES.len());
        for (version, status) in (1..).zip(&STATES[..lasts]) {
            // Some are cancelled in the end.
            let status = if version == lasts && order % 7 == 0 { 3 } else { *status };
            let record = json!({
                "id": order, "version": version, "status": status, "business_id": 737, "branch_id": 1062,
                "brands": [{"id": 663, "title": "ครัวไทย 🍜"}], "short_id": format!("{order:03}"),
                "updated_at": format!("2026-03-01T10:{version:02}:00Z"), "order_comment": "x".repeat(dice.random_range(0..1_500)),
            })
            .to_string();
            truth.insert(order, record.clone());
            states.push((order, record));
        }
    }
    states.shuffle(dice);
    let (mut deliveries, mut rest) = (VecDeque::new(), VecDeque::from(states));
    while !rest.is_empty() {
        // No order twice in one.
        let (mut orders, mut records) = (BTreeSet::new(), Vec::new());
        for _ in 0..dice.random_range(1..=4) {
            let Some((order, record)) = rest.pop_front() else { break };
            match orders.insert(order) {
                true => records.push(record),
                false => rest.push_back((order, record)),
            }
        }
        let body = format!(r#"{{"brand_id":663,"branch_id":1062,"orders":[{}]}}"#, records.join(","));
        deliveries.push_back((format!("evt_{}", deliveries.len()), body));
    }
    (deliveries, truth)
}

impl Storm {
    /// Sends until everything is acknowledged that it sends.
    async fn send(self: Arc<Self>, url: String, seed: u64) {
        let client = Client::new(url, None);
        let secret = WebhookSecret::new(SECRET.as_bytes());
        let mut dice = generator(seed);
        loop {
            let next = lock(&self.left).pop_front();
            let Some((id, body)) = next else {
                // Another one's may come back.
                if *lock(&self.under_way) == 0 {
                    return;
                }
                tokio::time::sleep(GLANCE).await;
                continue;
            };
            *lock(&self.under_way) += 1;
            let signature = secret.sign(body.as_bytes());
            let headers = [
                (header::SIGNATURE, signature.as_str()),
                (header::EVENT_ID, id.as_str()),
                (header::EVENT_TYPE, "klikit.order.status.updated"),
            ];
            let answer = client.send(Method::POST, "/webhooks/klikit", &headers, body.clone()).await;
            let is_acknowledged = match answer.map(|answer| (answer.status, answer.text().to_owned())) {
                Ok((200, _)) => true,
                // It asks for it again.
                Ok((503, _)) | Err(_) => false,
                Ok((status, text)) => {
                    lock(&self.refused).push(format!("{id}: {status} {text}"));
                    true
                }
            };
            let (is_lost, is_repeated) = (dice.random_bool(0.1), dice.random_bool(0.1));
            if !is_acknowledged || is_lost || is_repeated {
                let mut left = lock(&self.left);
                let place = dice.random_range(0..=left.len());
                left.insert(place, (id, body));
            }
            if is_acknowledged {
                *lock(&self.acknowledged) += 1;
            } else {
                tokio::time::sleep(GLANCE).await;
            }
            *lock(&self.under_way) -= 1;
        }
    }

    async fn reaches(&self, acknowledged: u64) {
        until("acknowledgements", async || (*lock(&self.acknowledged) >= acknowledged).then_some(())).await;
    }
}

/// The changes that a receiver saw: for each order its versions, each at its first time.
type Seen = BTreeMap<i64, Vec<i64>>;

/// What is in a receiver's file of lines, of which a repeat has the same id.
fn seen(file: &Path, orders: impl Fn(&Value) -> Vec<Value>) -> Seen {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let (mut ids, mut seen) = (BTreeSet::new(), Seen::new());
    for line in whole.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if !ids.insert(line["event_id"].as_str().expect("each has its id").to_owned()) {
            continue;
        }
        for order in orders(&line) {
            let number = |name: &str| order[name].as_i64().expect("a record has id and version");
            seen.entry(number("id")).or_default().push(number("version"));
        }
    }
    seen
}

async fn storm(seed: u64) {
    let scratch = Scratch::new();
    scratch.write("seed", &format!("{seed:#x}"));
    let receiver_file = scratch.path("receiver.ndjson");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/receivers/python/receiver.py");
    let mut receiver = Server::prepare(|address| {
        Launch::new("python", "python3")
            .argument(example)
            .variable("KLIKIT_WEBHOOK_SECRET", SINK_SECRET)
            .variable("PORT", address.port().to_string())
            .variable("RECEIVER_FILE", receiver_file.to_str().expect("a plain path"))
    });
    receiver.start(&scratch).await;
    let file = scratch.path("changes.ndjson");
    let config = format!(
        "[[sinks]]\nname = \"pos\"\nkind = \"http\"\nurl = {:?}\nsecret_env = \"POS_SECRET\"\ntimeout_ms = 2000\n\
         [[sinks]]\nname = \"file\"\nkind = \"ndjson\"\npath = {file:?}\n",
        receiver.url("/webhooks/klikit")
    );
    let mut inbox = Inbox::start_with(&scratch, SECRET, &config, &[("POS_SECRET", SINK_SECRET)]).await;

    let mut dice = generator(seed);
    let (deliveries, truth) = made(&mut dice);
    let in_all = deliveries.len() as u64;
    let storm = Arc::new(Storm {
        left: Mutex::new(deliveries),
        under_way: Mutex::new(0),
        acknowledged: Mutex::new(0),
        refused: Mutex::new(Vec::new()),
    });
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        senders.spawn(Arc::clone(&storm).send(inbox.server.url(""), seed ^ (sender << 32)));
    }
    const KILLS: u64 = 12;
    for kill in 0..KILLS {
        let soonest = in_all * kill / (KILLS + 1);
        storm.reaches(soonest + dice.random_range(0..in_all / (KILLS + 2))).await;
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..15))).await;
        if kill % 3 == 2 {
            receiver.kill().await;
            receiver.start(&scratch).await;
        } else {
            inbox.server.kill().await;
            inbox.server.start(&scratch).await;
        }
    }
    while let Some(sent) = senders.join_next().await {
        sent.expect("a sender does not panic");
    }
    assert_eq!(*lock(&storm.refused), Vec::<String>::new(), "seed {seed:#x}: genuine, and refused");

    until("everything handed on", async || {
        let status = inbox.client.get("/status").await;
        let sinks = status["sinks"].as_array().expect("there are two");
        assert!(sinks.iter().all(|sink| sink["given_up"] == 0), "seed {seed:#x}: {status}");
        sinks.iter().all(|sink| sink["lag_changes"] == 0).then_some(())
    })
    .await;
    let status = inbox.client.get("/status").await;
    assert_eq!(
        (&status["deliveries"], &status["quarantined"]),
        (&json!(in_all), &json!(0)),
        "seed {seed:#x}"
    );

    let from_file = seen(&file, |line| vec![line["order"].clone()]);
    let from_receiver = seen(&receiver_file, |line| line["orders"].as_array().expect("a list").clone());
    let mut changes = 0;
    for (order, record) in &truth {
        let shown = inbox.client.ask(Method::GET, &format!("/orders/{order}"), "").await;
        assert_eq!(shown.data(), record.as_bytes(), "seed {seed:#x}: order {order}");
        let history = inbox.history(*order).await;
        let taken: Vec<i64> =
            history.iter().filter(|(_, applied)| *applied).map(|(version, _)| *version).collect();
        assert!(
            taken.is_sorted_by(|before, after| before < after),
            "seed {seed:#x}: order {order}: {history:?}"
        );
        assert_eq!(from_file[order], taken, "seed {seed:#x}: order {order} in the file");
        assert_eq!(from_receiver[order], taken, "seed {seed:#x}: order {order} at the receiver");
        changes += taken.len();
    }
    assert_eq!((from_file.len(), from_receiver.len()), (truth.len(), truth.len()));
    assert!(changes > truth.len(), "a storm in which each order came newest first shows nothing");
    inbox.server.stop().await;
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_lost_repeated_disordered_and_killed_the_view_is_the_truth_and_sinks_saw_every_change() {
    storm(0x5eed_0051).await;
    let more =
        std::env::var("HOOKIT_STORMS").map_or(0, |more| more.parse().expect("HOOKIT_STORMS is a number"));
    for number in 0..more {
        storm(0x5eed_1000 + number).await;
    }
}
