//! Sinks of the real binary against the real things: an application, a file, a program, NATS JetStream and PostgreSQL,
//! all at once, while the inbox and the servers are killed (G7).

mod servers;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use hookit_contract::{EventType, WebhookSecret, header};
use hookit_sim::endpoints::{Answer, Received, ScriptedEndpoint};
use hookit_sim::traffic::generator;
use rand::RngExt as _;
use serde_json::Value;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use crate::harness::halves::{Inbox, PATIENT, Platform};
use crate::harness::ledger::Ledger;
use crate::harness::producer::Producers;
use crate::harness::{Scratch, until};

use self::servers::Foreign;

/// Order → its versions in the order in which a receiver saw them.
type Seen = BTreeMap<i64, Vec<i64>>;

const SINK_SECRET: &str = "whsec_of_the_sinks";

fn note(seen: &mut Seen, order: &Value) {
    let number = |name: &str| order[name].as_i64().expect("a record has id and version");
    seen.entry(number("id")).or_default().push(number("version"));
}

/// What a scripted application took. What it refused it did not see.
fn posted(application: &ScriptedEndpoint) -> Seen {
    let secret = WebhookSecret::new(SINK_SECRET.as_bytes());
    let mut seen = Seen::new();
    for request in application.requests().iter().filter(|request| !is_refused(request)) {
        assert_eq!(secret.verify(&request.body, request.signature().as_bytes()), Ok(()));
        assert!(!request.event_id().is_empty() && request.header(header::EVENT_TYPE).is_some());
        let envelope: Value = serde_json::from_slice(&request.body).unwrap();
        note(&mut seen, &envelope["orders"][0]);
    }
    seen
}

fn is_refused(request: &Received) -> bool {
    request.arrival % 13 == 3
}

/// The whole lines of a file.
fn written(path: &Path) -> Seen {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut seen = Seen::new();
    for line in whole.lines() {
        let change: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        note(&mut seen, &change["order"]);
    }
    seen
}

/// What is in a stream of NATS.
async fn published(server: &Foreign) -> Seen {
    let client = async_nats::connect(server.url("nats://", "")).await.unwrap();
    let context = async_nats::jetstream::new(client);
    let mut stream = context.get_stream("KLIKIT").await.unwrap();
    let count = stream.info().await.unwrap().state.messages;
    let config = async_nats::jetstream::consumer::pull::OrderedConfig::default();
    let consumer = stream.create_consumer(config).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let mut seen = Seen::new();
    for _ in 0..count {
        let message = messages.next().await.unwrap().unwrap();
        let change: Value = serde_json::from_slice(&message.payload).unwrap();
        let subject = format!("klikit.{}.{}", change["branch_id"], change["order_id"]);
        assert_eq!(message.subject.as_str(), subject);
        assert_eq!(
            message.headers.as_ref().unwrap().get("Nats-Msg-Id").unwrap().as_str(),
            change["event_id"].as_str().unwrap()
        );
        note(&mut seen, &change["order"]);
    }
    seen
}

/// The database of a PostgreSQL.
async fn database(server: &Foreign) -> tokio_postgres::Client {
    let url = server.url("postgres://inbox@", "/postgres");
    let connected = async {
        loop {
            match tokio_postgres::connect(&url, NoTls).await {
                // It listens before it has read its log, which takes a moment after a kill.
                Err(error) if error.code() == Some(&SqlState::CANNOT_CONNECT_NOW) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                connected => return connected.unwrap(),
            }
        }
    };
    let (client, connection) = tokio::time::timeout(Duration::from_secs(60), connected).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "it goes with the test")]
    tokio::spawn(connection);
    client
}

/// Makes the table as the document shows it, with a trigger that notes each state of each row.
async fn make_table(server: &Foreign) {
    let document = include_str!("../../../../../docs/sinks.md");
    let (_, rest) = document.split_once("```sql\n").unwrap();
    let table = rest.split("```").next().unwrap();
    let notes = "CREATE TABLE states (number bigserial, order_id bigint, version bigint);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO states (order_id, version) VALUES (new.order_id, new.version); RETURN new; END $$;
        CREATE TRIGGER note AFTER INSERT OR UPDATE ON klikit_orders FOR EACH ROW EXECUTE FUNCTION note();";
    database(server).await.batch_execute(&format!("{table};{notes}")).await.unwrap();
}

/// Every state that a row of the table has had.
async fn put(server: &Foreign) -> Seen {
    let mut seen = Seen::new();
    let rows =
        database(server).await.query("SELECT order_id, version FROM states ORDER BY number", &[]).await;
    for row in rows.unwrap() {
        seen.entry(row.get(0)).or_default().push(row.get(1));
    }
    seen
}

/// Has a receiver seen the last version of each order?
fn is_complete(seen: &Seen, last_versions: &[(i64, i64)]) -> bool {
    last_versions.iter().all(|(order, last)| seen.get(order).is_some_and(|versions| versions.contains(last)))
}

/// Every change of each order, in order; where a receiver sees repeats, each right behind its first.
fn assert_in_order(who: &str, mut seen: Seen, ledger: &Ledger, with_repeats: bool) {
    for (order, last) in ledger.last_versions() {
        let mut versions = seen.remove(&order).unwrap_or_default();
        if with_repeats {
            versions.dedup();
        }
        assert_eq!(versions, (1..=last).collect::<Vec<_>>(), "{who}: order {order}");
    }
    assert!(seen.is_empty(), "{who}: orders that nobody made: {:?}", seen.keys());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sink_sees_every_change_in_order_however_often_the_inbox_and_the_servers_are_killed() {
    const KILLS: u32 = 12;
    let scratch = Scratch::new();
    let (mut nats, mut postgres) = (servers::nats(&scratch), servers::postgres());
    nats.start(&scratch).await;
    postgres.start(&scratch).await;
    make_table(&postgres).await;
    let application = ScriptedEndpoint::start().await.unwrap();
    application.answer_each(|request| Answer::Status(if is_refused(request) { 503 } else { 200 }));
    let (file, copies) = (scratch.path("orders.ndjson"), scratch.path("copies.ndjson"));
    let config = format!(
        "[[sinks]]\nname = \"pos\"\nkind = \"http\"\nurl = {:?}\nsecret_env = \"POS_SECRET\"\n\
         [[sinks]]\nname = \"file\"\nkind = \"ndjson\"\npath = {file:?}\n\
         [[sinks]]\nname = \"program\"\nkind = \"command\"\ncommand = [\"sh\", \"-c\", \"cat >> {}\"]\nin_flight_max = 1\n\
         [[sinks]]\nname = \"bus\"\nkind = \"nats\"\nurl = {:?}\nsubject = \"klikit.{{branch_id}}.{{order_id}}\"\n\
         stream = \"KLIKIT\"\ntimeout_ms = 2000\n\
         [[sinks]]\nname = \"table\"\nkind = \"postgres\"\nurl = {:?}\ntimeout_ms = 2000\n",
        application.url(),
        copies.display(),
        nats.url("nats://", ""),
        postgres.url("postgres://inbox@", "/postgres"),
    );
    let platform = Platform::start(&scratch, PATIENT).await;
    let partner = platform.partner("Inbox").await;
    let mut inbox =
        Inbox::start_with(&scratch, &partner.webhook_secret, &config, &[("POS_SECRET", SINK_SECRET)]).await;
    platform.register(&partner, &EventType::ALL, &inbox.webhook()).await;

    let pause = Duration::from_millis(20);
    let producers = Producers::start_paced(&platform.operator, 0x51_4b5, 6, None, pause);
    let mut dice = generator(7);
    for kill in 0..KILLS {
        let further = dice.random_range(5..30);
        producers.ledger.reaches(producers.ledger.acknowledgements() + further).await;
        match kill % 4 {
            1 => {
                nats.kill().await;
                producers.ledger.reaches(producers.ledger.acknowledgements() + further).await;
                nats.start(&scratch).await;
            }
            3 => {
                postgres.kill().await;
                producers.ledger.reaches(producers.ledger.acknowledgements() + further).await;
                postgres.start(&scratch).await;
            }
            _ => {
                inbox.server.kill().await;
                inbox.server.start(&scratch).await;
            }
        }
    }
    let ledger = producers.finish().await;
    platform.drained().await;
    let last = ledger.last_versions();
    let complete = async |what: &str, seen: &mut dyn FnMut() -> Seen| {
        until(what, async || is_complete(&seen(), &last).then_some(())).await;
    };
    complete("all changes at the application", &mut || posted(&application)).await;
    complete("all changes in the file", &mut || written(&file)).await;
    complete("all changes at the program", &mut || written(&copies)).await;
    until("all changes in the stream", async || is_complete(&published(&nats).await, &last).then_some(()))
        .await;
    until("all changes in the table", async || is_complete(&put(&postgres).await, &last).then_some(())).await;

    assert_in_order("application", posted(&application), &ledger, true);
    assert_in_order("file", written(&file), &ledger, true);
    assert_in_order("program", written(&copies), &ledger, true);
    assert_in_order("stream", published(&nats).await, &ledger, false);
    assert_in_order("table", put(&postgres).await, &ledger, false);
    // The rows are the records, byte for byte.
    let rows = database(&postgres)
        .await
        .query("SELECT order_id, version, record::text FROM klikit_orders", &[])
        .await;
    let rows: BTreeMap<(i64, i64), String> =
        rows.unwrap().iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect();
    assert_eq!(rows.len(), last.len());
    for (order, version, record) in ledger.records() {
        if last.contains(&(order, version)) {
            assert_eq!(rows[&(order, version)].as_bytes(), record, "order {order}");
        }
    }
    inbox.server.stop().await;
}

#[tokio::test]
async fn changes_on_standard_output_are_all_that_is_there() {
    let scratch = Scratch::new();
    let platform = Platform::start(&scratch, PATIENT).await;
    let partner = platform.partner("Inbox").await;
    let config = "[[sinks]]\nname = \"out\"\nkind = \"ndjson\"\npath = \"-\"\n";
    let mut inbox = Inbox::prepare(&scratch, &partner.webhook_secret, Some(config), &[], "info");
    inbox.server.spawn(&scratch);
    let address = inbox.server.address();
    until("an inbox that listens", async || tokio::net::TcpStream::connect(address).await.ok()).await;
    platform.register(&partner, &EventType::ALL, &inbox.webhook()).await;
    let ledger = Producers::start(&platform.operator, 3, 2, Some(3)).done().await;
    let last = ledger.last_versions();
    let process = inbox.server.process();
    let read = |text: String| {
        let mut seen = Seen::new();
        for line in text.lines() {
            let change: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            note(&mut seen, &change["order"]);
        }
        seen
    };
    let whole = |text: String| text.rfind('\n').map(|end| text[..=end].to_owned()).unwrap_or_default();
    until("all changes", async || is_complete(&read(whole(process.stdout())), &last).then_some(())).await;
    assert_in_order("standard output", read(process.stdout()), &ledger, true);
    assert!(process.stderr().contains(&address.to_string()), "{}", process.stderr());
    inbox.server.stop().await;
}

#[tokio::test]
async fn a_sink_that_cannot_be_used_keeps_the_inbox_from_starting_and_says_why() {
    let scratch = Scratch::new();
    let config = "[[sinks]]\nname = \"pos\"\nkind = \"http\"\nurl = \"http://127.0.0.1/\"\nsecret_env = \"NOT_SET\"\n\
                  [[sinks]]\nname = \"pos\"\nkind = \"ndjson\"\n";
    let mut inbox = Inbox::prepare(&scratch, "whsec_1", Some(config), &[], "info");
    inbox.server.spawn(&scratch);
    let ended = inbox.server.ended().await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    for words in ["sinks[0] (pos): secret_env: NOT_SET is not set", "sinks[1] (pos): path is missing"] {
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
    let config =
        "[[sinks]]\nname = \"p\"\nkind = \"postgres\"\nurl = \"postgres://inbox:hush@127.0.0.1/x\"\n";
    scratch.write("inbox.toml", config);
    inbox.server.spawn(&scratch);
    let ended = inbox.server.ended().await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("sinks[0] (p): url: has a password") && !ended.stderr.contains("hush"));
}
