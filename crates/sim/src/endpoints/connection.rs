//! One connection of a scripted endpoint: requests are read off it one after the other, and each is answered before
//! the next is looked at. Knows as much of HTTP/1.1 as clients send: bodies by length or in chunks, `expect`, and
//! `connection: close`.

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::answer::Answer;
use super::{Answered, Keep, Received, Shared};

/// A test that sends a larger head than this tests something else than an endpoint.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// What was read of a request before its body.
struct Head {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: BodyLength,
    expects_continue: bool,
    close: bool,
}

enum BodyLength {
    Known(usize),
    Chunked,
}

/// What to do with the connection after a request.
enum After {
    NextRequest,
    Close,
    Reset,
}

/// Serves one connection until either side ends it. Errors of the socket are the other side's doing and end it too.
pub(super) async fn serve(stream: TcpStream, number: u64, shared: Arc<Shared>) {
    // A socket that cannot be told to send at once still sends.
    let _late = stream.set_nodelay(true);
    let mut connection = Connection { stream, number, shared, buffer: BytesMut::with_capacity(16 * 1024) };
    loop {
        match connection.one_request().await {
            Ok(After::NextRequest) => {}
            Ok(After::Close) | Err(_) => return,
            Ok(After::Reset) => {
                // Without lingering, closing sends a reset. Where that cannot be set it closes, which is as rude.
                let _reset = connection.stream.set_zero_linger();
                return;
            }
        }
    }
}

struct Connection {
    stream: TcpStream,
    number: u64,
    shared: Arc<Shared>,
    buffer: BytesMut,
}

impl Connection {
    async fn one_request(&mut self) -> io::Result<After> {
        let Some(head) = self.head().await? else { return Ok(After::Close) };
        let reset = {
            let mut state = self.shared.state();
            let reset = state.script.resets_now();
            state.counts.cut += u64::from(reset);
            reset
        };
        if reset {
            return Ok(After::Reset);
        }
        if head.expects_continue {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = match head.body {
            BodyLength::Known(length) => self.exactly(length).await?,
            BodyLength::Chunked => self.chunks().await?,
        };
        let close = head.close;
        let (arrival, answer) = self.arrive(head, body);
        let after = self.give(arrival, answer).await?;
        Ok(if close && matches!(after, After::NextRequest) { After::Close } else { after })
    }

    /// Keeps the request and asks the script, as one step: arrivals and answers are in the same order.
    fn arrive(&self, head: Head, body: Bytes) -> (u64, Answer) {
        let mut guard = self.shared.state();
        let state = &mut *guard;
        let arrival = state.counts.requests;
        state.counts.requests += 1;
        state.counts.body_bytes += body.len() as u64;
        let keep = self.shared.keep == Keep::Everything;
        let received = (keep || state.script.looks_at_requests()).then(|| Received {
            arrival,
            connection: self.number,
            method: head.method,
            target: head.target,
            headers: head.headers,
            body,
            answered: None,
        });
        let answer = state.script.answer(received.as_ref());
        state.received.extend(received.filter(|_| keep));
        drop(guard);
        self.shared.arrived.notify_waiters();
        (arrival, answer)
    }

    /// Notes the status before it goes out: the other side may act on it before this task runs again.
    fn note_answer(&self, arrival: u64, status: Option<u16>) {
        let (Some(status), Keep::Everything) = (status, self.shared.keep) else { return };
        let mut state = self.shared.state();
        let after_arrivals = state.counts.requests;
        // Arrivals stand in order; earlier ones may have been forgotten meanwhile.
        if let Ok(index) = state.received.binary_search_by_key(&arrival, |received| received.arrival) {
            state.received[index].answered = Some(Answered { after_arrivals, status });
        }
        drop(state);
        self.shared.arrived.notify_waiters();
    }

    async fn give(&mut self, arrival: u64, mut answer: Answer) -> io::Result<After> {
        while let Answer::Delay(delay, later) = answer {
            if self.gone_within(Some(delay)).await {
                return Ok(After::Close);
            }
            answer = *later;
        }
        self.note_answer(arrival, answer.status());
        match answer {
            Answer::Status(status) => {
                let body = if (200..300).contains(&status) { "{\"status\":\"received\"}" } else { "{}" };
                self.write_answer(status, &[], body.as_bytes()).await?;
                Ok(After::NextRequest)
            }
            Answer::Full { status, headers, body } => {
                self.write_answer(status, &headers, &body).await?;
                Ok(After::NextRequest)
            }
            Answer::Delay(..) => unreachable!("delays were taken off above"),
            Answer::Hang => {
                self.gone_within(None).await;
                Ok(After::Close)
            }
            Answer::Reset | Answer::ResetAfterRead => Ok(After::Reset),
            Answer::Drip { every } => {
                self.stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await?;
                while !self.gone_within(Some(every)).await {
                    self.stream.write_all(b" ").await?;
                }
                Ok(After::Close)
            }
            Answer::EndlessBody => {
                self.stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                let mut chunk = b"1000\r\n".to_vec();
                chunk.extend([b'x'; 0x1000]);
                chunk.extend(b"\r\n");
                loop {
                    self.stream.write_all(&chunk).await?;
                }
            }
            Answer::EndlessHead => {
                self.stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
                for number in 0_u64.. {
                    let header = format!("x-endless-{number}: {:01000}\r\n", 0);
                    self.stream.write_all(header.as_bytes()).await?;
                }
                unreachable!("the client gives up before the numbers do")
            }
            Answer::Garbage => {
                self.stream.write_all(b"\x16\x03\x01 this is no HTTP \xff\xfe\r\n\r\n").await?;
                Ok(After::Close)
            }
        }
    }

    async fn write_answer(
        &mut self,
        status: u16,
        headers: &[(String, String)],
        body: &[u8],
    ) -> io::Result<()> {
        use std::io::Write as _;
        let mut text = Vec::with_capacity(128 + body.len());
        write!(text, "HTTP/1.1 {status} {}\r\n", reason(status))?;
        for (name, value) in headers {
            write!(text, "{name}: {value}\r\n")?;
        }
        // These two have no body by definition, and no length either.
        if status == 204 || status == 304 {
            text.extend_from_slice(b"\r\n");
        } else {
            write!(text, "content-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len())?;
            text.extend_from_slice(body);
        }
        self.stream.write_all(&text).await
    }

    /// Waits, for so long or for ever, and says whether the other side has left meanwhile. What it sends meanwhile is
    /// kept for later.
    async fn gone_within(&mut self, wait: Option<std::time::Duration>) -> bool {
        let (stream, buffer) = (&mut self.stream, &mut self.buffer);
        let gone = async move { while !matches!(stream.read_buf(buffer).await, Ok(0) | Err(_)) {} };
        match wait {
            Some(wait) => tokio::time::timeout(wait, gone).await.is_ok(),
            None => {
                gone.await;
                true
            }
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// The next head; `None` where the other side closed instead of beginning another request.
    async fn head(&mut self) -> io::Result<Option<Head>> {
        let mut searched = 0;
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n", searched) {
                let text = self.buffer.split_to(end + 4).freeze();
                return parse_head(&text[..end], self.wants_headers()).map(Some);
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(bad("the head is too long"));
            }
            searched = self.buffer.len().saturating_sub(3);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// Headers cost an allocation each; a bench that only counts does without.
    fn wants_headers(&self) -> bool {
        self.shared.keep == Keep::Everything || self.shared.state().script.looks_at_requests()
    }

    async fn exactly(&mut self, length: usize) -> io::Result<Bytes> {
        self.buffer.reserve(length.saturating_sub(self.buffer.len()));
        while self.buffer.len() < length {
            self.more().await?;
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn line(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n", 0) {
                let line = self.buffer.split_to(end).freeze();
                self.buffer.advance(2);
                return Ok(line);
            }
            self.more().await?;
        }
    }

    async fn chunks(&mut self) -> io::Result<Bytes> {
        let mut body = BytesMut::new();
        loop {
            let line = self.line().await?;
            let size = std::str::from_utf8(&line)
                .ok()
                .and_then(|text| usize::from_str_radix(text.split(';').next().unwrap_or("").trim(), 16).ok())
                .ok_or_else(|| bad("a chunk without a size"))?;
            if size == 0 {
                // Trailers end with an empty line.
                while !self.line().await?.is_empty() {}
                return Ok(body.freeze());
            }
            body.extend_from_slice(&self.exactly(size).await?);
            self.line().await?;
        }
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn find(text: &[u8], what: &[u8], from: usize) -> Option<usize> {
    text.get(from..)?.windows(what.len()).position(|window| window == what).map(|at| at + from)
}

fn parse_head(text: &[u8], wants_headers: bool) -> io::Result<Head> {
    let text = std::str::from_utf8(text).map_err(|_| bad("the head is not UTF-8"))?;
    let mut lines = text.split("\r\n");
    let mut request_line = lines.next().unwrap_or("").split(' ');
    let (Some(method), Some(target), Some(version)) =
        (request_line.next(), request_line.next(), request_line.next())
    else {
        return Err(bad("the request line has not three parts"));
    };
    let mut head = Head {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: Vec::new(),
        body: BodyLength::Known(0),
        expects_continue: false,
        close: version == "HTTP/1.0",
    };
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| bad("a header without a colon"))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            head.body = BodyLength::Known(value.parse().map_err(|_| bad("content-length is no number"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            head.body = BodyLength::Chunked;
        } else if name.eq_ignore_ascii_case("expect") {
            head.expects_continue = value.eq_ignore_ascii_case("100-continue");
        } else if name.eq_ignore_ascii_case("connection") {
            head.close |= value.eq_ignore_ascii_case("close");
        }
        if wants_headers {
            head.headers.push((name.to_owned(), value.to_owned()));
        }
    }
    Ok(head)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        410 => "Gone",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Scripted",
    }
}
