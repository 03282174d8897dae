//! The endpoint against a real HTTP client for what is HTTP, and against a bare socket for what is not.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Answer, Answered, Keep, Received, ScriptedEndpoint};

/// Generous: only a test that fails waits for so long.
const BOUND: Duration = Duration::from_secs(30);

/// Long enough to see that something does not come, without asserting that anything does.
const GLIMPSE: Duration = Duration::from_millis(40);

struct Client {
    sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

impl Client {
    async fn connect(endpoint: &ScriptedEndpoint) -> Client {
        let stream = TcpStream::connect(endpoint.address()).await.unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            let _ended = connection.await;
        });
        Client { sender, _driver: driver }
    }

    async fn post(&mut self, event_id: &str, body: &str) -> hyper::Result<(u16, Option<String>, Bytes)> {
        let request = hyper::Request::post("/webhooks/klikit")
            .header("host", "127.0.0.1")
            .header("x-klikit-event-id", event_id)
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let retry_after = answer.headers().get("retry-after").map(|v| v.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        Ok((status, retry_after, answer.into_body().collect().await?.to_bytes()))
    }

    async fn status(&mut self, event_id: &str) -> u16 {
        self.post(event_id, "{}").await.unwrap().0
    }
}

async fn raw(endpoint: &ScriptedEndpoint, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(endpoint.address()).await.unwrap();
    stream.write_all(request).await.unwrap();
    stream
}

const POST: &[u8] = b"POST /webhooks/klikit HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}";

async fn read_at_least(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < bytes {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "closed after {} bytes", read.len());
    }
    read
}

#[tokio::test]
async fn requests_are_kept_as_they_came_and_answered_over_one_connection() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let mut client = Client::connect(&endpoint).await;
    for (id, body) in [("evt_a", "{\"n\": 1.10}"), ("evt_b", "ข้าวผัด"), ("evt_c", "")] {
        let (status, _, answer) = client.post(id, body).await.unwrap();
        assert_eq!((status, &answer[..]), (200, &b"{\"status\":\"received\"}"[..]));
    }
    let requests = endpoint.requests();
    let seen: Vec<_> =
        requests.iter().map(|r| (r.arrival, r.connection, r.event_id(), &r.body[..])).collect();
    assert_eq!(
        seen,
        [
            (0, 0, "evt_a", &b"{\"n\": 1.10}"[..]),
            (1, 0, "evt_b", "ข้าวผัด".as_bytes()),
            (2, 0, "evt_c", &b""[..])
        ]
    );
    assert!(requests.iter().all(|r| r.method == "POST" && r.target == "/webhooks/klikit"));
    assert_eq!(requests[1].answered, Some(Answered { after_arrivals: 2, status: 200 }));
    assert_eq!(endpoint.counts().connections, 1);
    assert!(endpoint.url().ends_with("/webhooks/klikit"), "{}", endpoint.url());
}

#[tokio::test]
async fn the_next_requests_get_what_was_asked_for_them_and_then_the_rule_holds_again() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    endpoint.answer_next(2, Answer::Status(503));
    endpoint.answer_next(0, Answer::Status(404));
    endpoint.answer_next(1, Answer::with_header(429, "retry-after", "7"));
    let mut client = Client::connect(&endpoint).await;
    assert_eq!(client.status("a").await, 503);
    assert_eq!(client.status("b").await, 503);
    let (status, retry_after, _) = client.post("c", "{}").await.unwrap();
    assert_eq!((status, retry_after.as_deref()), (429, Some("7")));
    assert_eq!(client.status("d").await, 200);
    endpoint.answer(Answer::Status(204));
    assert_eq!(client.status("e").await, 204);
    assert_eq!(client.status("f").await, 204);
}

#[tokio::test]
async fn a_closure_decides_by_what_it_sees() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    endpoint.answer_each(|received: &Received| match received.event_id() {
        "bad" => Answer::Status(500),
        "slow" => Answer::Status(201).after(Duration::from_millis(1)),
        _ => Answer::Status(200),
    });
    let mut client = Client::connect(&endpoint).await;
    let mut statuses = Vec::new();
    for id in ["good", "bad", "slow", "good"] {
        statuses.push(client.status(id).await);
    }
    assert_eq!(statuses, [200, 500, 201, 200]);
}

#[tokio::test]
async fn counts_alone_are_kept_where_that_was_asked_for_and_a_closure_still_sees_the_request() {
    let endpoint = ScriptedEndpoint::start_keeping(Keep::Counts).await.unwrap();
    let mut client = Client::connect(&endpoint).await;
    assert_eq!(client.status("a").await, 200);
    endpoint.answer_each(|received| Answer::Status(if received.event_id() == "b" { 202 } else { 500 }));
    assert_eq!(client.status("b").await, 202);
    assert!(endpoint.requests().is_empty());
    assert_eq!((endpoint.counts().requests, endpoint.counts().body_bytes), (2, 4));
}

#[tokio::test]
async fn a_reset_comes_before_the_body_was_read_and_a_reset_after_read_after_it() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    // Only the head is sent: the reset must not wait for the body.
    const HEAD: &[u8] = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n";
    endpoint.answer_next(1, Answer::Reset);
    assert_reset(raw(&endpoint, HEAD).await).await;
    endpoint.answer(Answer::Reset);
    assert_reset(raw(&endpoint, HEAD).await).await;
    assert_eq!((endpoint.counts().requests, endpoint.counts().cut), (0, 2));

    endpoint.answer(Answer::ResetAfterRead);
    assert_reset(raw(&endpoint, POST).await).await;
    assert_eq!((endpoint.counts().requests, endpoint.counts().cut), (1, 2));
    assert_eq!(endpoint.requests()[0].answered, None);
}

/// The other side resets without having said anything.
async fn assert_reset(mut stream: TcpStream) {
    let mut read = Vec::new();
    let ended = tokio::time::timeout(BOUND, stream.read_to_end(&mut read)).await.expect("no reset came");
    assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert!(read.is_empty());
}

#[tokio::test]
async fn a_hanging_endpoint_takes_the_request_and_says_nothing() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    for answer in [Answer::Hang, Answer::Status(200).after(Duration::from_secs(86_400))] {
        let before = endpoint.counts().requests;
        endpoint.answer(answer);
        let mut stream = raw(&endpoint, POST).await;
        endpoint.wait_for(before + 1, BOUND).await.unwrap();
        let mut byte = [0];
        assert!(tokio::time::timeout(GLIMPSE, stream.read(&mut byte)).await.is_err(), "something came");
        assert_eq!(endpoint.requests().last().unwrap().answered, None);
    }
}

#[tokio::test]
async fn endless_answers_do_not_end() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    endpoint.answer_next(1, Answer::EndlessBody);
    let read = read_at_least(&mut raw(&endpoint, POST).await, 2_000_000).await;
    assert!(read.starts_with(b"HTTP/1.1 200 OK\r\n"));

    endpoint.answer_next(1, Answer::EndlessHead);
    let read = read_at_least(&mut raw(&endpoint, POST).await, 2_000_000).await;
    assert!(read.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(!read.windows(4).any(|window| window == b"\r\n\r\n"), "the head ended");

    endpoint.answer_next(1, Answer::Drip { every: Duration::from_millis(1) });
    let mut stream = raw(&endpoint, POST).await;
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";
    let read = read_at_least(&mut stream, head.len() + 5).await;
    assert!(read.starts_with(head.as_bytes()) && read.ends_with(b"     "));
}

#[tokio::test]
async fn garbage_is_no_http_and_ends() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    endpoint.answer(Answer::Garbage);
    let mut read = Vec::new();
    raw(&endpoint, POST).await.read_to_end(&mut read).await.unwrap();
    assert!(!read.is_empty() && !read.starts_with(b"HTTP/"));
    let mut client = Client::connect(&endpoint).await;
    assert!(client.post("a", "{}").await.unwrap_err().is_parse());
}

#[tokio::test]
async fn a_stopped_endpoint_cuts_and_refuses_and_comes_back_on_the_same_port_with_what_it_had() {
    let mut endpoint = ScriptedEndpoint::start().await.unwrap();
    let url = endpoint.url();
    let mut client = Client::connect(&endpoint).await;
    assert_eq!(client.status("a").await, 200);
    for round in 1..=3_u64 {
        endpoint.stop().await.unwrap();
        endpoint.stop().await.unwrap();
        client.post("lost", "{}").await.unwrap_err();
        let refused = TcpStream::connect(endpoint.address()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        endpoint.restart().await.unwrap();
        endpoint.restart().await.unwrap();
        assert_eq!(endpoint.url(), url);
        client = Client::connect(&endpoint).await;
        assert_eq!(client.status("b").await, 200);
        assert_eq!(endpoint.counts().requests, round + 1);
    }
    assert_eq!(endpoint.requests().len(), 4);
}

#[tokio::test]
async fn waiting_ends_with_the_state_or_with_the_bound() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let vain = endpoint.wait_for(1, GLIMPSE).await.unwrap_err();
    assert_eq!(vain.counts.requests, 0);
    let sending = async {
        let mut client = Client::connect(&endpoint).await;
        for id in ["a", "b", "c"] {
            client.status(id).await;
        }
    };
    let waiting = endpoint.wait_until(|received| received.iter().any(|r| r.event_id() == "c"), BOUND);
    let (waited, ()) = tokio::join!(waiting, sending);
    waited.unwrap();
    // What has happened already needs no further request.
    endpoint.wait_for(3, BOUND).await.unwrap();
    endpoint.wait_until(|received| received.iter().all(|r| r.answered.is_some()), BOUND).await.unwrap();
}

#[tokio::test]
async fn chunked_and_announced_and_pipelined_requests_are_read() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let mut stream = raw(
        &endpoint,
        b"POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n\
          POST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyz\
          POST /c HTTP/1.1\r\ncontent-length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
    )
    .await;
    endpoint.wait_for(2, BOUND).await.unwrap();
    stream.write_all(b"last").await.unwrap();
    let mut read = String::new();
    stream.read_to_string(&mut read).await.unwrap();
    assert_eq!(read.matches("HTTP/1.1 200 OK").count(), 3, "{read}");
    assert_eq!(read.matches("HTTP/1.1 100 Continue").count(), 1, "{read}");
    let requests = endpoint.requests();
    let seen: Vec<_> = requests.iter().map(|r| (r.target.as_str(), &r.body[..])).collect();
    assert_eq!(seen, [("/a", &b"abcde"[..]), ("/b", b"xyz"), ("/c", b"last")]);
}

#[tokio::test]
async fn what_is_forgotten_is_gone_and_arrivals_go_on_counting() {
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let mut client = Client::connect(&endpoint).await;
    client.status("a").await;
    endpoint.forget();
    client.status("b").await;
    let requests = endpoint.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!((requests[0].arrival, requests[0].answered.map(|a| a.status)), (1, Some(200)));
}
