//! The smallest HTTP client that can also misbehave: it sends what it is told to, and reads to the end.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

/// Long enough for the slowest machine; a test that gets here has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A request's head; the connection ends with the answer.
pub(crate) fn head(method: &str, path: &str, headers: &[(&str, &str)], length: Option<usize>) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: platform.test\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(length) = length {
        text.push_str(&format!("content-length: {length}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// A request's head, without a body; the connection stays.
pub(crate) fn head_to_keep_open(method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let text = String::from_utf8(head(method, path, headers, None)).unwrap();
    text.replace("connection: close\r\n", "").into_bytes()
}

/// A connection for one request after the other.
pub(crate) struct KeptOpen(TcpStream);

impl KeptOpen {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        KeptOpen(TcpStream::connect(address).await.unwrap())
    }

    /// Sends a request and reads its answer, which says how long it is.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Answer {
        patiently(async {
            self.0.write_all(request).await.unwrap();
            let mut raw = Vec::new();
            loop {
                if let Some(answer) = Answer::read(&raw) {
                    let length: usize = answer.header("content-length").expect("a length").parse().unwrap();
                    if answer.body.len() == length {
                        return answer;
                    }
                }
                assert_ne!(self.0.read_buf(&mut raw).await.unwrap(), 0, "the connection was closed");
            }
        })
        .await
    }
}

/// Sends a whole request and reads to the end.
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
pub(crate) async fn stream<F>(address: SocketAddr, send: impl FnOnce(OwnedWriteHalf) -> F) -> Option<Answer>
where
    F: Future<Output = OwnedWriteHalf>,
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

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lowercase.
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

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The text of `data`, as it stands there.
    pub(crate) fn data_text(&self) -> String {
        #[derive(serde::Deserialize)]
        struct Enveloped<'a> {
            request_id: &'a str,
            #[serde(borrow)]
            data: &'a RawValue,
        }
        let enveloped: Enveloped<'_> =
            serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()));
        assert_eq!(enveloped.request_id.len(), 32);
        assert_eq!(self.header("content-type"), Some("application/json"));
        enveloped.data.get().to_owned()
    }

    pub(crate) fn data(&self) -> Value {
        serde_json::from_str(&self.data_text()).unwrap()
    }

    /// The code and message of a refusal, which comes in the envelope.
    pub(crate) fn error(&self) -> (String, String) {
        let json = self.json();
        assert_eq!(json["request_id"].as_str().map(str::len), Some(32), "{json}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        let text = |name: &str| json["error"][name].as_str().unwrap_or_else(|| panic!("{json}")).to_owned();
        (text("code"), text("message"))
    }

    /// Fails where this is not that refusal.
    pub(crate) fn is_refused(&self, status: u16, code: &str, message: &str) {
        assert_eq!((self.status, self.error()), (status, (code.to_owned(), message.to_owned())));
    }

    /// Fails where the status is another.
    pub(crate) fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}
