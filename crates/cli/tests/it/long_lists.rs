//! Lists that are too long to be held: nothing of what a client does not take is in the platform's memory, and who wants all of a
//! list gets it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookit_sim::traffic::World;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::Scratch;
use crate::harness::halves::{OPERATOR_TOKEN, PATIENT, Partner, Platform};
use crate::harness::http::Client;
use crate::harness::process::{Ended, Launch};

const MIB: usize = 1 << 20;

/// The most memory that a process has had, in MiB.
fn memory_max(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() >> 10
}

fn basic(partner: &Partner) -> String {
    let pair = format!("{}:{}", partner.partner_key, partner.secret_key);
    format!("Basic {}", STANDARD.encode(pair))
}

/// A client that asks for something and then takes only its first byte.
async fn dawdler(platform: &Platform, path: &str, authorization: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut stream = socket.connect(platform.server.address()).await.unwrap();
    let head =
        format!("GET {path} HTTP/1.1\r\nhost: platform.test\r\nauthorization: {authorization}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.read_u8().await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_large_orders_are_read_as_they_are_taken_and_are_not_in_memory() {
    let scratch = Scratch::new();
    let mut platform = Platform::start(&scratch, PATIENT).await;
    let partner = platform.partner("Till").await;
    let comment = "x".repeat(2 * MIB);
    let branch = World::new(0).branches()[0].id;
    let brand = World::new(0).brands()[0].id;
    for _ in 0..60 {
        let record = json!({
            "business_id": World::BUSINESS, "branch_id": branch, "brands": [{"id": brand}], "order_comment": comment,
        });
        platform.operator.call(Method::POST, "/v1/operator/orders", record.to_string()).await;
    }
    let process = platform.server.process().id();
    let before = memory_max(process);
    let (own, operator) = (basic(&partner), format!("Bearer {OPERATOR_TOKEN}"));
    let mut dawdlers = Vec::new();
    for _ in 0..8 {
        dawdlers.push(dawdler(&platform, "/v1/partner/orders?size=1000", &own).await);
        dawdlers.push(dawdler(&platform, "/v1/operator/orders?limit=1000", &operator).await);
    }
    // The page is whole for who takes it, while the others stand still.
    let client = Client::new(platform.server.url(""), Some(own));
    let answer = client.ask(Method::GET, "/v1/partner/orders?size=1000", "").await;
    assert_eq!((answer.status, answer.json()["data"]["total"].clone()), (200, json!(60)));
    assert!(answer.body.len() > 120 * MIB);
    let head = client.ask(Method::HEAD, "/v1/partner/orders?size=1000", "").await;
    assert_eq!(head.headers["content-length"], answer.body.len().to_string());
    // Eight pages of the one have 960 MiB, and of the other 64, which are in memory.
    let more = memory_max(process) - before;
    assert!(more < 400, "{more} MiB more than {before}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_registrations_are_listed_however_many_there_are_and_there_are_not_more_than_may_be() {
    let scratch = Scratch::new();
    let mut platform = Platform::start(&scratch, PATIENT).await;
    let partner = platform.partner("Till").await;
    let url = platform.server.url("");
    let operator = async |arguments: &[&str]| -> Ended {
        let launch = Launch::hookit(arguments).named("operator").variable("HOOKIT_URL", &url);
        launch.variable("HOOKIT_OPERATOR_TOKEN", OPERATOR_TOKEN).run(&scratch).await
    };
    let put = ["webhook", "put", &partner.partner_id];
    let created = operator(&[&put[..], &["created", "http://127.0.0.1:9/"]].concat()).await;
    assert_eq!(created.code, Some(0), "{}", created.stderr);
    platform.server.stop().await;
    // So many by the front door take a minute.
    let db = rusqlite::Connection::open(platform.data.join("platform.db")).unwrap();
    let copied = db.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4998)
         INSERT INTO webhooks (partner_id, endpoint_id, branch_id, event_type, created_at, updated_at)
         SELECT partner_id, endpoint_id, i, event_type, created_at, updated_at FROM webhooks, n",
        [],
    );
    assert_eq!(copied.unwrap(), 4998);
    drop(db);
    platform.server.start(&scratch).await;

    let last = operator(&[&put[..], &["status", "http://127.0.0.1:9/"]].concat()).await;
    assert_eq!(last.code, Some(0), "{}", last.stderr);
    let one_more = operator(&[&put[..], &["cart", "http://127.0.0.1:9/"]].concat()).await;
    assert_eq!(one_more.code, Some(4));
    assert!(
        one_more.stderr.contains("the partners of this business have 5000 registrations"),
        "{}",
        one_more.stderr
    );

    let json = operator(&["webhook", "list", "--output", "json"]).await;
    let listed: Value = serde_json::from_str(&json.stdout).unwrap();
    let ids: Vec<i64> = listed["webhooks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["webhook_id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, (1..=5_000).collect::<Vec<_>>());
    let table = operator(&["webhook", "list"]).await.stdout;
    assert_eq!(table.lines().count(), 5_001, "one head, and all of them");
    let client = Client::new(platform.server.url(""), Some(basic(&partner)));
    let own = client.ask(Method::GET, "/v1/partner/webhooks", "").await;
    assert_eq!(own.json()["data"]["webhooks"].as_array().map(Vec::len), Some(5_000));
}
