//! Many operations in one request: an answer line for each, in their order, while both directions stream.

use std::time::Duration;

use hookit_sim::endpoints::ScriptedEndpoint;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{BUSINESS, Running, Setup, operator, order};
use crate::http::{Answer, head, patiently};

const BULK: &str = "/v1/operator/orders/bulk";
const RECORD_BYTES_MAX: usize = 4 << 20;

async fn bulk(platform: &Running, lines: &str) -> Vec<Value> {
    answers(platform.call("POST", BULK, lines).await.expect(200))
}

/// The answer lines. The body comes in chunks.
fn answers(answer: Answer) -> Vec<Value> {
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    let (mut rest, mut text) = (&answer.body[..], Vec::new());
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").expect("a chunk has its length");
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            break;
        }
        text.extend_from_slice(&rest[end + 2..end + 2 + length]);
        rest = &rest[end + 2 + length + 2..];
    }
    assert!(text.is_empty() || text.ends_with(b"\n"));
    let lines = std::str::from_utf8(&text).unwrap().lines();
    let mut lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    // Each is an answer, and has the id of the one request.
    let ids: Vec<Value> =
        lines.iter_mut().map(|line| line.as_object_mut().unwrap().remove("request_id").unwrap()).collect();
    assert!(ids.iter().all(|id| *id == ids[0] && id.as_str().unwrap().len() == 32), "{ids:?}");
    lines
}

fn record(id: i64) -> String {
    let mut record = order(BUSINESS, 1062, &[663]);
    record["id"] = json!(id);
    record.to_string()
}

fn refusal(line: u64, code: &str, message: &str) -> Value {
    json!({"line": line, "error": {"code": code, "message": message}})
}

fn taken(line: u64, id: i64, version: i64, status: i64) -> Value {
    json!({"line": line, "data": {"id": id, "version": version, "status": status}})
}

/// Sends only the head of a bulk call, with the body to come in chunks.
async fn open(platform: &Running) -> TcpStream {
    let authorization = operator();
    let headers = [("authorization", authorization.as_str()), ("transfer-encoding", "chunked")];
    let socket = TcpSocket::new_v4().unwrap();
    // Small, so that who does not read is noticed soon.
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut stream = socket.connect(platform.address).await.unwrap();
    stream.write_all(&head("POST", BULK, &headers, None)).await.unwrap();
    stream
}

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

#[tokio::test]
async fn each_line_has_its_answer_in_their_order_and_a_bad_one_refuses_itself_alone() {
    let platform = Running::start().await;
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    platform.listener(&endpoint).await;
    let lines = [
        record(1),
        "{\"business_id\":7,".to_owned(),
        record(2),
        json!({"branch_id": 1062, "brands": [{"id": 663}]}).to_string(),
        record(1),
        String::new(),
        json!({"op": "move", "id": 1, "status": "accepted"}).to_string(),
        json!({"op": "move", "id": 9, "status": 2}).to_string(),
        json!({"op": "move", "id": 1, "status": "placed"}).to_string(),
        json!({"op": "move", "id": 1, "status": "eaten"}).to_string(),
        json!({"op": "erase", "id": 1}).to_string(),
        json!({"op": "move", "id": 1, "status": 3, "reason_code": "sold out"}).to_string() + "\r",
        "[]".to_owned(),
        record(3),
    ];
    let said = bulk(&platform, &lines.join("\n")).await;
    let message = |at: usize| said[at]["error"]["message"].as_str().unwrap_or_else(|| panic!("{said:#?}"));
    assert_eq!(said.len(), 13, "a blank line is counted and not answered: {said:#?}");
    assert_eq!(said[0], taken(1, 1, 1, 1));
    assert!(message(1).starts_with("body: not JSON"), "{}", message(1));
    assert_eq!((&said[1]["line"], &said[1]["error"]["code"]), (&json!(2), &json!("request_invalid")));
    assert_eq!(said[2], taken(3, 2, 1, 1));
    let missing = "missing; expected an integer above zero";
    let mut expect = refusal(4, "request_invalid", &format!("business_id: {missing}"));
    expect["error"]["details"] = json!([{"path": "business_id", "message": missing}]);
    assert_eq!(said[3], expect);
    let conflict = "id: there is an order 1 already; a new order needs a new id, or none";
    assert_eq!(said[4], refusal(5, "state_idempotency_conflict", conflict));
    assert_eq!(said[5], taken(7, 1, 2, 2));
    assert_eq!(said[6], refusal(8, "resource_not_found", "there is no such order"));
    assert_eq!(said[7]["error"]["code"], "state_invalid_transition");
    assert!(message(8).starts_with("status: \"eaten\" is not a status"), "{}", message(8));
    assert_eq!(message(9), "op: \"erase\" is not known; expected move (and 1 more in details)");
    assert_eq!(said[9]["error"]["details"][1], json!({"path": "status", "message": "missing"}));
    assert_eq!(said[10], taken(12, 1, 3, 3));
    assert_eq!(message(11), "body: expected an object, found an array");
    assert_eq!(said[12], taken(14, 3, 1, 1));
    platform.until("pending", 0).await;
    assert_eq!(platform.status().await["dead"], 0);
    assert_eq!(platform.status().await["orders"], 3);
}

#[tokio::test]
async fn the_answers_of_many_lines_come_in_the_order_of_the_lines() {
    let platform = Running::start().await;
    let lines: Vec<_> = (1..=5_000).map(record).collect();
    let said = bulk(&platform, &lines.join("\n")).await;
    let expect: Vec<_> = (1..=5_000).map(|n| taken(n, n as i64, 1, 1)).collect();
    assert!(said == expect);
    assert_eq!(platform.status().await["events"], 5_000);
}

#[tokio::test]
async fn a_line_over_the_limit_is_refused_and_the_next_one_is_not() {
    let platform = Running::start().await;
    let huge = "x".repeat(5 * RECORD_BYTES_MAX);
    let said = bulk(&platform, &format!("{}\n{huge}\n{}", record(1), record(2))).await;
    let message = format!("line 2: at most {RECORD_BYTES_MAX} bytes are taken");
    assert_eq!(said, [taken(1, 1, 1, 1), refusal(2, "request_too_large", &message), taken(3, 2, 1, 1)]);
}

#[tokio::test]
async fn an_answer_comes_as_soon_as_its_line_is_on_disk_while_the_body_goes_on() {
    let platform = Running::start().await;
    let mut stream = open(&platform).await;
    let mut raw = Vec::new();
    for id in 1..=3 {
        stream.write_all(&chunk(&format!("{}\n", record(id)))).await.unwrap();
        let answer = taken(id as u64, id, 1, 1).to_string();
        patiently(async {
            while !String::from_utf8_lossy(&raw).contains(&format!("\"id\":{id},")) {
                assert!(stream.read_buf(&mut raw).await.unwrap() > 0, "{answer}");
            }
        })
        .await;
        assert_eq!(platform.status().await["orders"], id);
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    patiently(stream.read_to_end(&mut raw)).await.unwrap();
    assert_eq!(answers(Answer::read(&raw).unwrap()).len(), 3);
}

#[tokio::test]
async fn a_sender_that_goes_away_in_the_middle_keeps_what_was_answered_and_stops_nobody() {
    let platform = Running::start().await;
    let mut stream = open(&platform).await;
    stream.write_all(&chunk(&format!("{}\n", record(1)))).await.unwrap();
    platform.until("orders", 1).await;
    // The second record is cut off in its middle.
    stream.write_all(&chunk(&record(2)[..20])).await.unwrap();
    drop(stream);
    let said = bulk(&platform, &record(3)).await;
    assert_eq!(said, [taken(1, 3, 1, 1)]);
    assert_eq!(platform.status().await["orders"], 2);
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_told_in_the_line_that_is_missing() {
    let platform = Running::start().await;
    let mut stream = open(&platform).await;
    stream.write_all(&chunk(&format!("{}\n{{\"bra", record(1)))).await.unwrap();
    platform.until("orders", 1).await;
    // Not the end of a chunked body.
    stream.write_all(b"no length\r\n").await.unwrap();
    let mut raw = Vec::new();
    let _ = patiently(stream.read_to_end(&mut raw)).await;
    let text = String::from_utf8_lossy(&raw);
    assert!(text.contains("body: broke off before its end"), "{text}");
}

#[tokio::test]
async fn who_does_not_send_on_is_told_so() {
    let mut setup = Setup::default();
    setup.limits.body_timeout = Duration::from_millis(300);
    let platform = Running::with(setup).await;
    // Before the first byte there is a status to say it with.
    let mut raw = Vec::new();
    patiently(open(&platform).await.read_to_end(&mut raw)).await.unwrap();
    let answer = Answer::read(&raw).unwrap();
    answer.is_refused(408, "request_timeout", "body: nothing came for 0.3 s");

    let mut stream = open(&platform).await;
    stream.write_all(&chunk(&format!("{}\n{{", record(1)))).await.unwrap();
    let mut raw = Vec::new();
    patiently(stream.read_to_end(&mut raw)).await.unwrap();
    let said = answers(Answer::read(&raw).unwrap());
    let mut refused = refusal(2, "request_timeout", "body: nothing came for 0.3 s");
    refused["error"]["details"] = json!([{"path": "body", "message": "nothing came for 0.3 s"}]);
    assert_eq!(said, [taken(1, 1, 1, 1), refused]);
}

#[tokio::test]
async fn who_does_not_read_its_answers_is_not_read_from() {
    let platform = Running::start().await;
    let mut stream = open(&platform).await;
    // Lines that are refused cost nothing and have long answers. The platform stops reading when nobody takes them.
    let lines = chunk(&"{\"op\":\"erase\"}\n".repeat(4_000));
    let stuck = async {
        let mut sent = 0_u64;
        loop {
            match tokio::time::timeout(Duration::from_secs(2), stream.write_all(&lines)).await {
                Ok(written) => written.unwrap(),
                Err(_) => return sent,
            }
            sent += lines.len() as u64;
            assert!(sent < 1 << 30, "it reads on without end");
        }
    };
    patiently(stuck).await;
    // Others are served meanwhile.
    assert_eq!(bulk(&platform, &record(1)).await, [taken(1, 1, 1, 1)]);
    drop(stream);
    assert!(platform.stop().await.is_some());
}

#[tokio::test]
async fn a_full_queue_makes_the_lines_wait_and_refuses_none() {
    let mut setup = Setup::default();
    setup.options.queue_max = 1;
    setup.options.tick_min = Duration::from_millis(50);
    let platform = Running::with(setup).await;
    let lines = |from: i64| (from..from + 50).map(record).collect::<Vec<_>>().join("\n");
    let (a, b, c, d) = (lines(1), lines(101), lines(201), lines(301));
    let (a, b, c, d) =
        tokio::join!(bulk(&platform, &a), bulk(&platform, &b), bulk(&platform, &c), bulk(&platform, &d));
    for said in [a, b, c, d] {
        assert!(said.len() == 50 && said.iter().all(|line| line.get("data").is_some()), "{said:#?}");
    }
}

#[tokio::test]
async fn without_a_token_or_a_line_the_answer_is_the_usual_one() {
    let platform = Running::start().await;
    platform.call_as(None, "POST", BULK, record(1)).await.expect(401);
    let answer = platform.call("POST", BULK, "").await;
    answer.is_refused(400, "request_invalid", "body: missing; expected a line for each operation");
    let answer = platform.call("GET", BULK, "").await;
    assert_eq!((answer.status, answer.error().0), (405, "request_method_not_allowed".to_owned()));
    assert_eq!(platform.status().await["orders"], 0);
}
