//! Readers of a request's head: queries, and the headers that say who asks, under which key, and in which trace.
//!
//! The requests are whole, so that hyper takes them and ours is the reader that is tried, and they follow one another on one
//! connection: some thousands a second.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::inputs::fuzz;
use crate::servers::{PATIENCE, ServedInbox, ServedPlatform, TOKEN, check, check_form};

/// A connection that stays, as long as the server keeps it.
struct Connection {
    address: SocketAddr,
    open: Option<BufReader<TcpStream>>,
}

impl Connection {
    fn to(address: SocketAddr) -> Self {
        Connection { address, open: None }
    }

    /// The answer to a whole request, head and body.
    fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        let mut stream = self.open.take().unwrap_or_else(|| {
            let stream = TcpStream::connect(self.address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            BufReader::new(stream)
        });
        stream.get_mut().write_all(request).unwrap();
        let mut answer = Vec::new();
        let (mut length, mut stays) = (None, true);
        loop {
            let from = answer.len();
            let read = stream.read_until(b'\n', &mut answer).unwrap();
            assert!(read > 0, "no answer to {}", String::from_utf8_lossy(request));
            let line = String::from_utf8_lossy(&answer[from..]).to_lowercase();
            match line.trim_end().split_once(": ") {
                Some(("content-length", value)) => length = Some(value.parse::<usize>().unwrap()),
                Some(("connection", value)) => stays = value != "close",
                // "100 Continue" is only the beginning.
                None if line == "\r\n" && answer.starts_with(b"HTTP/1.1 100 ") => answer.clear(),
                None if line == "\r\n" => break,
                _ => {}
            }
        }
        let from = answer.len();
        let Some(length) = length else {
            panic!("an answer without its length: {}", String::from_utf8_lossy(&answer));
        };
        answer.resize(from + length, 0);
        stream.read_exact(&mut answer[from..]).unwrap();
        if stays {
            self.open = Some(stream);
        }
        answer
    }
}

/// Bytes as they may stand in a request's line: what would end it or the path is written as %XX.
fn target(input: &[u8]) -> String {
    let mut target = String::new();
    if input.first() != Some(&b'/') {
        target.push('/');
    }
    for byte in input {
        match byte {
            b'!'..=b'~' if *byte != b'#' => target.push(char::from(*byte)),
            _ => target.push_str(&format!("%{byte:02X}")),
        }
    }
    target
}

/// Lines as headers that hyper takes: names of letters and dashes, values without control characters, none that frame a body.
fn headers(input: &[u8]) -> Vec<u8> {
    let mut headers = Vec::new();
    for line in input.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name: Vec<u8> = line[..colon]
            .iter()
            .copied()
            .filter(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            .collect();
        let frames: [&[u8]; 5] =
            [b"content-length", b"transfer-encoding", b"host", b"upgrade", b"connection"];
        if name.is_empty() || frames.iter().any(|frame| name.eq_ignore_ascii_case(frame)) {
            continue;
        }
        headers.extend_from_slice(&name);
        headers.push(b':');
        headers.extend(line[colon + 1..].iter().filter(|byte| **byte == b'\t' || !byte.is_ascii_control()));
        headers.extend_from_slice(b"\r\n");
    }
    headers
}

#[test]
fn a_query_is_read_or_refused_by_its_parameters() {
    let (platform, inbox) = (ServedPlatform::start(), ServedInbox::start());
    let partner = format!("Basic {}", platform.credential);
    let operator = format!("Bearer {TOKEN}");
    let (to_platform, to_inbox) = (Connection::to(platform.address), Connection::to(inbox.address));
    let (to_platform, to_inbox) = (RefCell::new(to_platform), RefCell::new(to_inbox));
    fuzz("query", 1_000, |input| {
        let target = target(input);
        let is_platforms = target.starts_with("/v1");
        let credential = if target.starts_with("/v1/partner") { &partner } else { &operator };
        let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\nauthorization: {credential}\r\n\r\n");
        if is_platforms {
            check_form(&to_platform.borrow_mut().ask(request.as_bytes()));
        } else {
            check(&to_inbox.borrow_mut().ask(request.as_bytes()));
        }
    });
    inbox.stop();
    platform.stop();
}

#[test]
fn credentials_keys_and_traces_are_read_or_refused() {
    let platform = ServedPlatform::start();
    let connection = RefCell::new(Connection::to(platform.address));
    // The right one is put in after the bending, and a wrong one in base64 that would else hardly ever be whole.
    let wrong = STANDARD.encode("pk_0:sk_0");
    fuzz("head", 1_000, |input| {
        let headers = platform.credentials_in(&headers(input));
        let body: &[u8] = br#"{"status":"ready"}"#;
        for (line, credential) in [
            ("GET /v1/partner/webhooks", None),
            ("PATCH /v1/partner/orders/1/status", Some(&platform.credential)),
            ("POST /v1/partner/deliveries/evt_0/replay", Some(&wrong)),
        ] {
            let body = if line.starts_with("PATCH") { body } else { b"" };
            let mut request =
                format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", body.len()).into_bytes();
            if let Some(credential) = credential {
                request.extend_from_slice(format!("authorization: Basic {credential}\r\n").as_bytes());
            }
            request.extend_from_slice(&headers);
            request.extend_from_slice(b"\r\n");
            request.extend_from_slice(body);
            check_form(&connection.borrow_mut().ask(&request));
        }
    });
    platform.stop();
}
