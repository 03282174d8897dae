//! The live stream: each change once and in order, also over a lost connection, and filters that combine.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Running, config, envelope, head, named, patiently};

/// A reader of a stream.
pub(crate) struct Reader {
    stream: TcpStream,
    read: String,
}

impl Reader {
    pub(crate) async fn open(inbox: &Running, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut stream = TcpStream::connect(inbox.address).await.unwrap();
        stream.write_all(&head("GET", path, headers, None)).await.unwrap();
        let mut reader = Reader { stream, read: String::new() };
        let head = reader.until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
        reader
    }

    /// What comes up to and with this text.
    async fn until(&mut self, end: &str) -> String {
        patiently(async {
            loop {
                if let Some(at) = self.read.find(end) {
                    let rest = self.read.split_off(at + end.len());
                    return std::mem::replace(&mut self.read, rest);
                }
                let mut bytes = Vec::new();
                assert!(self.stream.read_buf(&mut bytes).await.unwrap() > 0, "it ended with: {}", self.read);
                self.read.push_str(std::str::from_utf8(&bytes).unwrap());
            }
        })
        .await
    }

    /// The next event: its name, its id, and the order's id and version.
    pub(crate) async fn next(&mut self) -> (String, i64, Option<i64>, Option<i64>) {
        loop {
            // Chunks of HTTP have their lengths in lines of their own.
            let text = self.until("\n\n").await;
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
            let Some(id) = field("id: ").map(|id| id.parse().unwrap()) else { continue };
            let data: serde_json::Value = serde_json::from_str(field("data: ").unwrap_or("null")).unwrap();
            let number = |name: &str| data[name].as_i64();
            return (
                field("event: ").unwrap_or_default().to_owned(),
                id,
                number("order_id"),
                number("version"),
            );
        }
    }
}

fn told(id: i64, order: i64, version: i64) -> (String, i64, Option<i64>, Option<i64>) {
    ("change".to_owned(), id, Some(order), Some(version))
}

async fn deliver(inbox: &Running, id: &str, record: &str) {
    let answer = inbox.deliver(id, &envelope(&[record])).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_reader_hears_of_what_comes_and_goes_on_where_it_lost_the_connection() {
    let inbox = Running::start().await;
    deliver(&inbox, "evt_1", r#"{"id":7,"status":1,"version":1}"#).await;
    let mut reader = Reader::open(&inbox, "/orders/stream", &[]).await;
    deliver(&inbox, "evt_2", r#"{"id":7,"status":2,"version":2}"#).await;
    // A repeat and an older state change nothing, and are not told.
    deliver(&inbox, "evt_2", r#"{"id":7,"status":2,"version":2}"#).await;
    deliver(&inbox, "evt_0", r#"{"id":7,"status":1,"version":1}"#).await;
    deliver(&inbox, "evt_3", r#"{"id":8,"status":1,"version":1}"#).await;
    assert_eq!(reader.next().await, told(2, 7, 2));
    assert_eq!(reader.next().await, told(3, 8, 1));
    drop(reader);
    deliver(&inbox, "evt_4", r#"{"id":8,"status":2,"version":2}"#).await;
    let mut again = Reader::open(&inbox, "/orders/stream?after=0", &[("last-event-id", "2")]).await;
    assert_eq!(again.next().await, told(3, 8, 1));
    assert_eq!(again.next().await, told(4, 8, 2));
    let mut all = Reader::open(&inbox, "/orders/stream?after=0", &[]).await;
    for expected in [told(1, 7, 1), told(2, 7, 2), told(3, 8, 1), told(4, 8, 2)] {
        assert_eq!(all.next().await, expected);
    }
}

#[tokio::test]
async fn a_reader_with_filters_hears_of_nothing_else_and_still_moves_on() {
    let inbox = Running::start().await;
    let path = "/orders/stream?after=0&status=ready,2&brand_id=663&branch_id=1062";
    let mut reader = Reader::open(&inbox, path, &[]).await;
    deliver(&inbox, "evt_1", r#"{"id":7,"status":1,"version":1}"#).await;
    // Only the place, so that it need not look at this one again.
    assert_eq!(reader.next().await, (String::new(), 1, None, None));
    deliver(&inbox, "evt_2", r#"{"id":7,"status":4,"version":2}"#).await;
    assert_eq!(reader.next().await, told(2, 7, 2));
    let mut other = Reader::open(&inbox, "/orders/stream?after=0&brand_id=9", &[]).await;
    assert_eq!(other.next().await, (String::new(), 2, None, None));
}

#[tokio::test]
async fn many_changes_at_once_reach_every_reader_in_order() {
    let inbox = Running::start().await;
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push(Reader::open(&inbox, "/orders/stream?after=0", &[]).await);
    }
    for round in 1..=6 {
        let records: Vec<String> =
            (1..=50).map(|id| format!(r#"{{"id":{id},"status":{round},"version":{round}}}"#)).collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let answer = inbox.deliver(&format!("evt_{round}"), &envelope(&records)).await;
        assert_eq!(answer.status, 200);
    }
    for reader in &mut readers {
        for number in 1..=300 {
            assert_eq!(reader.next().await, told(number, (number - 1) % 50 + 1, (number - 1) / 50 + 1));
        }
    }
}

#[tokio::test]
async fn a_stream_is_for_readers_and_says_what_is_wrong_with_the_question() {
    let inbox = Running::start().await;
    for (query, faults) in
        [("after=-1&status=x,1&brand_id=0", &["after", "brand_id", "status"][..]), ("since=1", &["since"])]
    {
        let answer = inbox.get(&format!("/orders/stream?{query}")).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        let details = answer.json()["error"]["details"].clone();
        let paths: Vec<_> =
            details.as_array().unwrap().iter().map(|fault| fault["path"].as_str().unwrap()).collect();
        assert_eq!(paths, faults);
    }
    let request = head("GET", "/orders/stream", &[("last-event-id", "x")], None);
    let answer = crate::harness::exchange(inbox.address, request).await;
    assert!(answer.status == 400 && answer.error().1.starts_with("Last-Event-ID: "), "{}", answer.text());
    let inbox = Running::with(hookit_inbox::InboxConfig {
        read_tokens: vec![named("kitchen", "read_me_in_the_kitchen")],
        ..config()
    })
    .await;
    assert_eq!(inbox.get("/orders/stream").await.status, 401);
    Reader::open(&inbox, "/orders/stream", &[("authorization", "Bearer read_me_in_the_kitchen")]).await;
}

#[tokio::test]
async fn orders_are_found_by_filters_and_all_that_is_wrong_with_them_is_said() {
    let inbox = Running::start().await;
    deliver(&inbox, "evt_1", r#"{"id":7,"status":1,"branch_id":5,"short_id":"A7"}"#).await;
    deliver(&inbox, "evt_2", r#"{"id":8,"status":2,"branch_id":5,"short_id":"B8","brands":[{"id":3}]}"#)
        .await;
    deliver(&inbox, "evt_3", r#"{"id":9,"status":99,"branch_id":6}"#).await;
    for (query, expected) in [
        ("status=placed", &[7][..]),
        ("status=ACCEPTED,99", &[8, 9]),
        ("branch_id=5&status=2,1", &[7, 8]),
        ("brand_id=3", &[8]),
        ("text=b8", &[8]),
        ("text=9", &[9]),
        ("text=a7&status=2", &[]),
        ("received_since=1970-01-01T00:00:00Z&received_until=2999-01-01T00:00:00Z&limit=2", &[7, 8]),
        ("received_since=2999-01-01T00:00:00Z", &[]),
    ] {
        let answer = inbox.get(&format!("/orders?{query}")).await;
        let orders = answer.json()["data"]["orders"].clone();
        let ids: Vec<_> =
            orders.as_array().unwrap().iter().map(|order| order["id"].as_i64().unwrap()).collect();
        assert_eq!(ids, expected, "{query}: {}", answer.text());
    }
    let bad = "status=what&brand_id=0&branch_id=-1&text=&limit=0\
        &received_since=2026-01-02T00:00:00Z&received_until=2026-01-01T00:00:00Z";
    let answer = inbox.get(&format!("/orders?{bad}")).await;
    assert_eq!(answer.status, 400);
    let details = answer.json()["error"]["details"].clone();
    let paths: Vec<_> =
        details.as_array().unwrap().iter().map(|fault| fault["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["brand_id", "branch_id", "limit", "status", "text", "received_until"]);
}
