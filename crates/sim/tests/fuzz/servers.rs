//! Readers that are servers: whatever is written to their port, the answer is one of theirs and no fault of theirs.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookit_contract::{ErrorCode, StatusCodes, WebhookSecret};
use hookit_egress::{Egress, EgressConfig};
use hookit_engine::EngineConfig;
use hookit_inbox::{Inbox, InboxConfig, NamedSecret};
use hookit_platform::{MetricsAccess, PartnerRates, Platform, PlatformConfig, Vault};
use hookit_server::{Limits, Secret, SystemClock, Tasks, serve};
use hookit_store::sqlite::{InboxOptions, InboxStore, PlatformOptions, PlatformStore};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::inputs::fuzz;

pub(crate) const TOKEN: &str = "op_token_of_the_fuzzer";
const SECRET: &str = "whsec_of_the_fuzzer";
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long an answer is waited for to what may be no whole request. None is no failure: it only goes unseen.
const GLANCE: Duration = Duration::from_millis(20);

/// Writes a request that is whole and asks for the end of the connection, and reads to it.
fn exchange(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    stream.write_all(request).unwrap();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// Writes all of it, reads what comes at once, and after the end of the writing what else comes.
fn provoke(address: SocketAddr, input: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(GLANCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    // A server that has seen enough closes; what it said before may be there all the same.
    let _ = stream.write_all(input);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let _ = stream.shutdown(Shutdown::Write);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    if let Err(error) = stream.read_to_end(&mut answer) {
        let is_timeout =
            matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
        assert!(!is_timeout, "it hangs");
    }
    answer
}

/// Fails where the first answer is a fault of the server's; its status.
pub(crate) fn check(answer: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(answer);
    let (head, _) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status: u16 = status.unwrap_or_else(|| panic!("{head}"));
    assert!(status < 500, "{text}");
    Some(status)
}

/// Fails where the first answer is a refusal in another form than all of the platform's have.
pub(crate) fn check_form(answer: &[u8]) {
    let text = String::from_utf8_lossy(answer);
    let (Some(status), Some((head, rest))) = (check(answer), text.split_once("\r\n\r\n")) else { return };
    let head = head.to_lowercase();
    if status < 400 || !head.contains("content-type: application/json") {
        return;
    }
    // Nothing is in the answer to HEAD; the next answer may follow it.
    if rest.is_empty() || rest.starts_with("HTTP/1.1 ") {
        return;
    }
    let refused = serde_json::Deserializer::from_str(rest).into_iter::<Value>().next();
    let refused = refused.expect("there is something");
    let refused = refused.unwrap_or_else(|error| panic!("{error}: {text}"));
    let code = refused["error"]["code"].as_str().unwrap_or_else(|| panic!("{text}"));
    assert!(ErrorCode::ALL.iter().any(|known| known.as_str() == code), "{text}");
    assert_eq!(refused["request_id"].as_str().map(str::len), Some(32), "{text}");
}

fn replaced(input: &[u8], word: &str, by: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(input.len() + by.len());
    let mut rest = input;
    while let Some(at) = rest.windows(word.len()).position(|part| part == word.as_bytes()) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(by.as_bytes());
        rest = &rest[at + word.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// The input with its `Content-Length` put right, so that what is bent in its body reaches whoever reads it, and as the last
/// request of its connection.
fn with_length(input: &[u8]) -> Vec<u8> {
    let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else { return input.to_vec() };
    let (head, body) = (&input[..end], &input[end + 4..]);
    const NAME: &[u8] = b"content-length: ";
    let Some(at) = head.windows(NAME.len()).position(|part| part == NAME) else { return input.to_vec() };
    let from = at + NAME.len();
    let to = head[from..].iter().position(|byte| *byte == b'\r').map_or(head.len(), |length| from + length);
    [
        &head[..at],
        b"connection: close\r\n",
        &head[at..from],
        body.len().to_string().as_bytes(),
        &head[to..],
        b"\r\n\r\n",
        body,
    ]
    .concat()
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn call(address: SocketAddr, path: &str, body: &str) -> Value {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = String::from_utf8(exchange(address, request.as_bytes())).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer}"));
    serde_json::from_str::<Value>(body).unwrap()["data"].take()
}

/// A platform that listens, with a partner and an order.
pub(crate) struct ServedPlatform {
    runtime: Runtime,
    pub(crate) address: SocketAddr,
    /// The partner's credential, as it stands behind `Basic `.
    pub(crate) credential: String,
    platform: Platform,
    serving: Tasks,
    _dir: tempfile::TempDir,
}

impl ServedPlatform {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (address, platform, serving) = runtime.block_on(async {
            let store = Arc::new(PlatformStore::open(dir.path(), PlatformOptions::default()).unwrap());
            let egress = EgressConfig::default();
            let most = u64::MAX;
            let config = PlatformConfig {
                engine: EngineConfig::default(),
                orders_per_delivery_max: PlatformOptions::default().orders_per_delivery_max,
                url_rules: egress.url_rules(),
                operator_token: Secret::new(TOKEN),
                metrics: MetricsAccess::default(),
                rates: PartnerRates { reads_per_minute_max: most, writes_per_minute_max: most },
                codes: StatusCodes::default(),
                jitter_seed: 1,
                retention: hookit_platform::RETENTION,
                stop_timeout: PATIENCE,
            };
            let vault = Vault::open(&dir.path().join("platform.key")).unwrap();
            let sender = Arc::new(Egress::new(egress).unwrap());
            let platform =
                Platform::start(config, store, Arc::new(SystemClock), vault, sender).await.unwrap();
            let (listener, address) = listener().await;
            let serving = Tasks::new();
            let stop = serving.stop_signal().clone();
            serving.spawn("listener", serve(listener, platform.router(), Limits::default(), stop));
            (address, platform, serving)
        });
        let partner = call(address, "/v1/operator/partners", r#"{"name":"Fuzzer","business_id":7}"#);
        let text = |name: &str| partner[name].as_str().unwrap().to_owned();
        let credential = STANDARD.encode(format!("{}:{}", text("partner_key"), text("secret_key")));
        let order = r#"{"id":1,"business_id":7,"branch_id":1,"brands":[{"id":663}]}"#;
        call(address, "/v1/operator/orders", order);
        ServedPlatform { runtime, address, credential, platform, serving, _dir: dir }
    }

    /// The input with the credentials put in.
    pub(crate) fn credentials_in(&self, input: &[u8]) -> Vec<u8> {
        replaced(&replaced(input, "{partner}", &self.credential), "{operator}", TOKEN)
    }

    pub(crate) fn stop(self) {
        self.runtime.block_on(async {
            assert!(self.serving.stop(PATIENCE).await);
            self.platform.stop().await;
        });
    }
}

/// An inbox that listens.
pub(crate) struct ServedInbox {
    runtime: Runtime,
    pub(crate) address: SocketAddr,
    serving: Tasks,
    _inbox: Inbox,
    _dir: tempfile::TempDir,
}

impl ServedInbox {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (address, serving, inbox) = runtime.block_on(async {
            let store = Arc::new(InboxStore::open(dir.path(), InboxOptions::default()).unwrap());
            let named = NamedSecret { name: "klikit".to_owned(), secret: Secret::new(SECRET) };
            let inbox = Inbox::new(InboxConfig::new(vec![named]), store, Arc::new(SystemClock)).unwrap();
            let (listener, address) = listener().await;
            let serving = Tasks::new();
            let stop = serving.stop_signal().clone();
            serving.spawn("listener", serve(listener, inbox.router(), Limits::default(), stop));
            (address, serving, inbox)
        });
        ServedInbox { runtime, address, serving, _inbox: inbox, _dir: dir }
    }

    pub(crate) fn stop(self) {
        self.runtime.block_on(async { assert!(self.serving.stop(PATIENCE).await) });
    }
}

#[test]
fn the_platform_answers_whatever_is_asked() {
    let platform = ServedPlatform::start();
    fuzz("platform", 400, |input| {
        let input = platform.credentials_in(input);
        check_form(&provoke(platform.address, &with_length(&input)));
        check_form(&provoke(platform.address, &input));
    });
    platform.stop();
}

#[test]
fn the_inbox_answers_whatever_is_posted_and_takes_what_is_genuine() {
    let inbox = ServedInbox::start();
    let address = inbox.address;
    let secret = WebhookSecret::new(SECRET.as_bytes());
    fuzz("inbox", 400, |input| {
        let body = input
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .map_or(&input[..0], |end| &input[end + 4..]);
        let signed = replaced(&with_length(input), "{signature}", secret.sign(body).as_str());
        check(&provoke(address, &signed));
        // And by itself, so that the bent body is genuine whatever the head has become.
        let request = [
            format!(
                "POST /webhooks/klikit HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-klikit-signature: {}\r\ncontent-length: {}\r\n\r\n",
                secret.sign(body).as_str(),
                body.len()
            )
            .as_bytes(),
            body,
        ]
        .concat();
        let answer = exchange(address, &request);
        assert!(
            answer.starts_with(b"HTTP/1.1 200"),
            "a genuine delivery: {}",
            String::from_utf8_lossy(&answer)
        );
    });
    inbox.stop();
}
