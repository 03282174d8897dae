//! Pages of orders whose records are large: whole where the call knows no page that ends early, shorter where it does, and never
//! in memory as a whole.

use std::time::Duration;

use hookit_server::Limits;
use hookit_store::platform::Store as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{BUSINESS, PartnerAccess, Running, Setup, operator, order};
use crate::http::{Answer, exchange, head, patiently};

const MIB: usize = 1 << 20;
const LIST: &str = "/v1/partner/orders?size=1000";

/// An order whose record has about so many bytes.
fn large(bytes: usize) -> Value {
    let mut record = order(BUSINESS, 1062, &[663]);
    record["order_comment"] = json!("ไข่".repeat(bytes / "ไข่".len()));
    record
}

/// Orders of 1 and 2 MiB, and small ones among them; their ids.
async fn orders(platform: &Running, count: usize) -> Vec<i64> {
    let mut ids = Vec::new();
    for n in 0..count {
        let record = large([MIB, 2 * MIB, 100][n % 3]);
        ids.push(platform.create(&record).await["id"].as_i64().unwrap());
    }
    ids
}

fn listed(data: &Value) -> Vec<i64> {
    data["orders"].as_array().unwrap().iter().map(|order| order["id"].as_i64().unwrap()).collect()
}

/// A connection that takes little by itself.
async fn connected(platform: &Running) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    socket.connect(platform.address).await.unwrap()
}

/// Asks for the partner's list, and reads none of it.
async fn asked(platform: &Running, partner: &PartnerAccess) -> TcpStream {
    let mut stream = connected(platform).await;
    let basic = partner.basic();
    stream.write_all(&head("GET", LIST, &[("authorization", &basic)], None)).await.unwrap();
    stream
}

#[tokio::test]
async fn a_page_of_large_orders_is_whole_and_says_its_length_before() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let ids = orders(&platform, 60).await;
    let answer = platform.get_as(&partner, LIST).await.expect(200);
    let length = answer.header("content-length").unwrap().to_owned();
    assert_eq!(length, answer.body.len().to_string());
    let data = answer.data();
    assert_eq!(listed(&data), ids);
    assert_eq!((&data["page"], &data["size"], &data["total"]), (&json!(1), &json!(1000), &json!(60)));
    // Each is as it is kept, to the byte, and so is what stands around them.
    let mut text = String::from("{\"orders\":[");
    for id in &ids {
        text.push_str(&platform.record(*id).await);
        text.push(',');
    }
    text.pop();
    text.push_str("],\"page\":1,\"size\":1000,\"total\":60}");
    assert!(answer.data_text() == text);

    // Who asks for the head alone hears the same length, and of a page that is small, too.
    for (path, length) in [(LIST, Some(length)), ("/v1/partner/orders?size=3&page=99", None)] {
        let basic = partner.basic();
        let asked = exchange(platform.address, head("HEAD", path, &[("authorization", &basic)], None)).await;
        let whole = platform.get_as(&partner, path).await;
        let length = length.unwrap_or_else(|| whole.body.len().to_string());
        assert_eq!((asked.status, asked.body.len()), (200, 0));
        assert_eq!(asked.header("content-length"), Some(length.as_str()), "{path}");
        assert_eq!(asked.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn who_reads_slowly_gets_the_page_as_it_was_whatever_happens_to_its_orders() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let ids = orders(&platform, 30).await;
    let before = platform.get_as(&partner, LIST).await.expect(200).data_text();
    let mut stream = asked(&platform, &partner).await;
    let mut raw = vec![0; 4096];
    patiently(stream.read_exact(&mut raw)).await.unwrap();
    for id in ids {
        platform.move_to(id, "ACCEPTED").await.expect(200);
    }
    patiently(stream.read_to_end(&mut raw)).await.unwrap();
    assert!(Answer::read(&raw).unwrap().data_text() == before);
}

#[tokio::test]
async fn a_page_that_cannot_be_read_to_its_end_breaks_off_and_does_not_end() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    orders(&platform, 30).await;
    let mut stream = asked(&platform, &partner).await;
    let mut raw = vec![0; 4096];
    patiently(stream.read_exact(&mut raw)).await.unwrap();
    platform.store.close().await;
    let _ = patiently(stream.read_to_end(&mut raw)).await;
    let answer = Answer::read(&raw).unwrap();
    let length: usize = answer.header("content-length").unwrap().parse().unwrap();
    assert!(answer.body.len() < length, "{} of {length}", answer.body.len());

    // Where nothing was answered yet there is a status to say it with.
    let answer = platform.get_as(&partner, LIST).await;
    assert_eq!((answer.status, answer.error().0), (503, "unavailable".to_owned()));
}

#[tokio::test]
async fn pages_that_nobody_takes_are_refused_beyond_their_sum_and_orders_and_moves_are_not() {
    let limits = Limits { answers_bytes_max: 8 << 20, ..Limits::default() };
    let platform = Running::with(Setup { limits, ..Setup::default() }).await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    let ids = orders(&platform, 30).await;
    let basic = operator();
    let mut idle = Vec::new();
    let mut statuses = Vec::new();
    // Of 8 MiB each, about.
    for _ in 0..3 {
        let mut stream = connected(&platform).await;
        let request = head("GET", "/v1/operator/orders", &[("authorization", &basic)], None);
        stream.write_all(&request).await.unwrap();
        let mut first = [0; 12];
        patiently(stream.read_exact(&mut first)).await.unwrap();
        statuses.push(std::str::from_utf8(&first[9..]).unwrap().to_owned());
        idle.push(stream);
    }
    assert_eq!(statuses, ["200", "503", "503"]);
    let list = platform.call("GET", "/v1/operator/orders", "").await;
    let (code, _) = list.error();
    assert_eq!((list.status, code.as_str(), list.header("retry-after")), (503, "unavailable", Some("5")));
    let list = platform.get_as(&partner, LIST).await;
    assert_eq!((list.status, list.header("x-ratelimit-limit")), (503, Some("600")));
    // A small order, a small page, and a move of whatever size.
    platform.get(&format!("/v1/operator/orders/{}", ids[2])).await;
    platform.get_as(&partner, "/v1/partner/orders?size=1&page=9").await.expect(200);
    platform.move_to(ids[1], "ACCEPTED").await.expect(200);
    drop(idle);
    patiently(async {
        while platform.call("GET", "/v1/operator/orders", "").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn who_takes_nothing_of_a_page_keeps_no_log_from_being_tidied() {
    let platform = Running::start().await;
    let partner = platform.partner("Kitchen display", BUSINESS).await;
    orders(&platform, 30).await;
    let mut waiting = Vec::new();
    for _ in 0..8 {
        waiting.push(asked(&platform, &partner).await);
    }
    // All of them have begun to be answered, and stand still.
    for stream in &mut waiting {
        patiently(stream.read_u8()).await.unwrap();
    }
    // There are fewer connections that read than there are clients that wait.
    let all = async {
        for _ in 0..20 {
            platform.create(&large(MIB)).await;
        }
        let status = platform.get_as(&partner, "/v1/partner/orders?size=1").await.expect(200);
        assert_eq!(status.data()["total"], 50);
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("they wait for nobody");
    drop(waiting);
}

#[tokio::test]
async fn the_operators_list_ends_early_where_records_are_large_and_goes_on_from_there() {
    let platform = Running::start().await;
    let ids = orders(&platform, 30).await;
    let (mut found, mut after, mut pages) = (Vec::new(), Value::from(0), 0);
    while !after.is_null() {
        let answer = platform.get(&format!("/v1/operator/orders?limit=1000&after={after}")).await;
        assert!(answer.body.len() < 8 * MIB + 4096, "{}", answer.body.len());
        let data = answer.data();
        found.extend(listed(&data));
        after = data["next_after"].clone();
        pages += 1;
    }
    assert_eq!(found, ids);
    assert!(pages > 3, "{pages}");
    // A page that ends with the last one says so.
    let data = platform.get("/v1/operator/orders?limit=30&after=0").await.data();
    assert!(!data["next_after"].is_null());
    let last = platform.get(&format!("/v1/operator/orders?limit=1&after={}", ids[28])).await.data();
    assert_eq!((listed(&last), &last["next_after"]), (vec![ids[29]], &Value::Null));
    // The head alone has the length of what would come.
    let asked = head("HEAD", "/v1/operator/orders?limit=1", &[("authorization", &operator())], None);
    assert!(exchange(platform.address, asked).await.header("content-length").is_some());
}
