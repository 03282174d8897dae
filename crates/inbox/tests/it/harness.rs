//! An inbox on a port of its own, and the smallest client that can also misbehave.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hookit_contract::{Clock, Timestamp, WebhookSecret, header};
use hookit_inbox::{Inbox, InboxConfig, NamedSecret};
use hookit_server::{Limits, Secret, Tasks, serve};
use hookit_store::inbox::{Counts, Store};
use hookit_store::sqlite::{InboxOptions, InboxStore};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::openapi::assert_documented;

pub(crate) const SECRET: &str = "whsec_inbox_test";

/// Long enough for the slowest machine; a test that gets here has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A clock that moves on by a millisecond whenever it is read.
pub(crate) struct Ticking(AtomicI64);

impl Ticking {
    pub(crate) fn new() -> Arc<Self> {
        Ticking::after(Duration::ZERO)
    }

    /// One that is ahead by so much.
    pub(crate) fn after(ahead: Duration) -> Arc<Self> {
        Arc::new(Ticking(AtomicI64::new(1_772_361_000_000 + ahead.as_millis() as i64)))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as i64, Ordering::Relaxed);
    }
}

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

pub(crate) fn named(name: &str, secret: &str) -> NamedSecret {
    NamedSecret { name: name.to_owned(), secret: Secret::new(secret) }
}

pub(crate) fn config() -> InboxConfig {
    InboxConfig::new(vec![named("main", SECRET)])
}

pub(crate) fn open(dir: &Path) -> Arc<InboxStore> {
    Arc::new(InboxStore::open(dir, InboxOptions::default()).unwrap())
}

/// An inbox that is being served.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) inbox: Inbox,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<Ticking>,
    tasks: Tasks,
    /// The data folder, gone with the test.
    dir: Option<tempfile::TempDir>,
}

impl Running {
    /// With the defaults, on an empty store.
    pub(crate) async fn start() -> Self {
        Running::with(config()).await
    }

    pub(crate) async fn with(config: InboxConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut running = Running::on(open(dir.path()), config).await;
        running.dir = Some(dir);
        running
    }

    /// On a store that is there.
    pub(crate) async fn on(store: Arc<dyn Store>, config: InboxConfig) -> Self {
        Running::on_later(store, config, Duration::ZERO).await
    }

    /// The same, so much later.
    pub(crate) async fn on_later(store: Arc<dyn Store>, config: InboxConfig, ahead: Duration) -> Self {
        let clock = Ticking::after(ahead);
        let inbox = Inbox::new(config, store.clone(), clock.clone()).unwrap();
        let tasks = Tasks::new();
        inbox.start(&tasks).unwrap();
        let address = listen(&inbox, &tasks, Limits::default()).await;
        Running { address, inbox, store, clock, tasks, dir: None }
    }

    /// A second listener of the same inbox, with other limits.
    pub(crate) async fn listen(&self, limits: Limits) -> SocketAddr {
        listen(&self.inbox, &self.tasks, limits).await
    }

    /// Stops serving, closes the store, and gives back its folder.
    pub(crate) async fn stop(mut self) -> tempfile::TempDir {
        let dir = self.dir.take().expect("the store has a folder of its own");
        self.stop_here().await;
        dir
    }

    /// Stops serving and closes the store.
    pub(crate) async fn stop_here(self) {
        assert!(self.tasks.stop(PATIENCE).await, "the listener did not stop");
        self.store.close().await;
    }

    pub(crate) async fn counts(&self) -> Counts {
        self.store.counts().await.unwrap()
    }

    /// Posts a body with its right signature.
    pub(crate) async fn deliver(&self, id: &str, body: &str) -> Answer {
        self.post(
            &[
                (header::SIGNATURE, &sign(SECRET, body.as_bytes())),
                (header::EVENT_ID, id),
                (header::EVENT_TYPE, "klikit.order.status.updated"),
            ],
            body.as_bytes(),
        )
        .await
    }

    pub(crate) async fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = head("POST", "/webhooks/klikit", headers, Some(body.len()));
        request.extend_from_slice(body);
        let answer = exchange(self.address, request).await;
        assert_documented("POST", "/webhooks/klikit", &answer);
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let answer = exchange(self.address, head("GET", path, &[], None)).await;
        assert_documented("GET", path, &answer);
        answer
    }

    /// The record of an order as it is shown.
    pub(crate) async fn record(&self, id: i64) -> String {
        let answer = self.get(&format!("/orders/{id}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.data()
    }

    /// The history of an order: status name, version, applied.
    pub(crate) async fn history(&self, id: i64) -> Vec<(Option<String>, Option<i64>, bool)> {
        let answer = self.get(&format!("/orders/{id}/history")).await.json();
        answer["data"]["history"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| {
                let name = line["status_name"].as_str().map(str::to_owned);
                (name, line["version"].as_i64(), line["applied"].as_bool().unwrap())
            })
            .collect()
    }

    /// Fails where anything at all was stored.
    pub(crate) async fn assert_nothing_stored(&self) {
        assert_eq!(self.counts().await, Counts::default());
        assert_eq!(self.get("/orders").await.data(), r#"{"orders":[],"next_after":null}"#);
        assert_eq!(self.get("/quarantine").await.data(), r#"{"quarantine":[],"next_after":null}"#);
    }
}

async fn listen(inbox: &Inbox, tasks: &Tasks, limits: Limits) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn("inbox", serve(listener, inbox.router(), limits, tasks.stop_signal().clone()));
    address
}

pub(crate) fn sign(secret: &str, body: &[u8]) -> String {
    WebhookSecret::new(secret.as_bytes()).sign(body).to_string()
}

pub(crate) fn envelope(records: &[&str]) -> String {
    format!(r#"{{"brand_id":663,"branch_id":1062,"orders":[{}]}}"#, records.join(","))
}

/// A request's head; the connection ends with the answer.
pub(crate) fn head(method: &str, path: &str, headers: &[(&str, &str)], length: Option<usize>) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(length) = length {
        text.push_str(&format!("content-length: {length}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn read(raw: &[u8]) -> Option<Answer> {
        let end = raw.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8(raw[..end].to_vec()).unwrap().to_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Answer { status, head, body: Bytes::copy_from_slice(&raw[end + 4..]) })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The text of `data` in an enveloped answer, as it stands there.
    pub(crate) fn data(&self) -> String {
        #[derive(serde::Deserialize)]
        struct Enveloped<'a> {
            request_id: &'a str,
            #[serde(borrow)]
            data: &'a RawValue,
        }
        let enveloped: Enveloped<'_> =
            serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()));
        assert_eq!(enveloped.request_id.len(), 32);
        enveloped.data.get().to_owned()
    }

    /// The code and message of an enveloped refusal.
    pub(crate) fn error(&self) -> (String, String) {
        let json = self.json();
        assert_eq!(json["request_id"].as_str().unwrap().len(), 32, "{json}");
        let text = |name: &str| json["error"][name].as_str().unwrap().to_owned();
        (text("code"), text("message"))
    }

    pub(crate) fn is(&self, status: u16, text: &str) {
        assert_eq!((self.status, self.text()), (status, text));
    }
}

/// Sends a whole request and reads to the end. Sending may fail where the answer came early.
pub(crate) async fn exchange(address: SocketAddr, request: Vec<u8>) -> Answer {
    stream(address, |mut to| async move {
        let _ = to.write_all(&request).await;
        to
    })
    .await
    .expect("an answer")
}

/// Lets `send` write whatever it likes while everything that comes back is read. None where nothing came back. The
/// writing half comes back from `send` so that the connection is not closed before the answer.
pub(crate) async fn stream<F>(
    address: SocketAddr,
    send: impl FnOnce(tokio::net::tcp::OwnedWriteHalf) -> F,
) -> Option<Answer>
where
    F: Future<Output = tokio::net::tcp::OwnedWriteHalf>,
{
    let (mut from, to) = TcpStream::connect(address).await.unwrap().into_split();
    let mut raw = Vec::new();
    let reading = async {
        // A reset after the answer is an end like any other.
        let _ = from.read_to_end(&mut raw).await;
    };
    patiently(async { tokio::join!(send(to), reading) }).await;
    Answer::read(&raw)
}

pub(crate) async fn patiently<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("took longer than any machine should")
}
