//! The graceful stop: what is under way ends and is recorded, nothing new is taken, and the exit code is 0.

use std::time::Duration;

use hookit_contract::EventType;
use hookit_sim::traffic::{World, generator};
use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::halves::{OPERATOR_TOKEN, PATIENT, Platform};
use crate::harness::held::HeldEndpoint;
use crate::harness::producer::with_id;
use crate::harness::{Scratch, patiently, until};

/// A platform with one order whose only delivery has reached the endpoint and is not answered yet.
async fn with_a_post_that_hangs(scratch: &Scratch) -> (Platform, HeldEndpoint) {
    let platform = Platform::start(scratch, PATIENT).await;
    let partner = platform.partner("Slow").await;
    let endpoint = HeldEndpoint::start().await;
    platform.register(&partner, &[EventType::OrderCreated], &endpoint.url()).await;
    let mut world = World::new(5);
    let mut dice = generator(5);
    let order = std::iter::repeat_with(|| {
        world.order(&mut dice, hookit_contract::Timestamp::from_millis(1_772_361_000_000))
    })
    .find(|order| order.brands.len() == 1)
    .expect("most orders have one brand");
    platform.operator.call(Method::POST, "/v1/operator/orders", with_id(&order, 1)).await;
    endpoint.receives(1).await;
    (platform, endpoint)
}

async fn a_stop_waits_for_the_post_that_hangs(signal: &str) {
    let scratch = Scratch::new();
    let (mut platform, endpoint) = with_a_post_that_hangs(&scratch).await;
    // A connection on which one request was answered, and which is kept for the next.
    let mut idle = TcpStream::connect(platform.server.address()).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        assert!(idle.read_buf(&mut answer).await.unwrap() > 0);
    }

    platform.server.process().signal(signal);
    let address = platform.server.address();
    until("the closed port", async || TcpStream::connect(address).await.err()).await;
    let mut rest = Vec::new();
    patiently("the end of the idle connection", idle.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"", "no further answer on a connection that was kept");
    // Only to catch one that does not wait: one that does is still there however long this takes.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(platform.server.process().has_ended().is_none(), "it waits for the post under way");
    endpoint.release(1);
    let ended = platform.server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);

    endpoint.release(10);
    platform.server.start(&scratch).await;
    let status = platform.status().await;
    assert_eq!(
        (&status["delivered"], &status["pending"], &status["attempts"]),
        (&1.into(), &0.into(), &1.into())
    );
    assert_eq!(endpoint.received(), 1, "what was acknowledged is not sent again");
    platform.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_waits_for_the_post_under_way_records_its_outcome_and_takes_nothing_new() {
    a_stop_waits_for_the_post_that_hangs("TERM").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_waits_for_the_post_under_way_records_its_outcome_and_takes_nothing_new() {
    a_stop_waits_for_the_post_that_hangs("INT").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once_and_the_delivery_is_made_after_the_next_start() {
    let scratch = Scratch::new();
    let (mut platform, endpoint) = with_a_post_that_hangs(&scratch).await;
    platform.server.process().signal("TERM");
    let address = platform.server.address();
    until("the closed port", async || TcpStream::connect(address).await.err()).await;
    platform.server.process().signal("TERM");
    assert_eq!(platform.server.ended().await.code, Some(130));
    endpoint.release(10);
    platform.server.start(&scratch).await;
    platform.drained().await;
    assert_eq!(endpoint.received(), 2);
    platform.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_a_request_under_way_finish_and_its_change_is_kept() {
    let scratch = Scratch::new();
    let mut platform = Platform::start(&scratch, PATIENT).await;
    let mut world = World::new(6);
    let order = world.order(&mut generator(6), hookit_contract::Timestamp::from_millis(1_772_361_000_000));
    let record = with_id(&order, 77);
    let mut stream = TcpStream::connect(platform.server.address()).await.unwrap();
    let (first, second) = record.split_at(record.len() / 2);
    let head = format!(
        "POST /v1/operator/orders HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {OPERATOR_TOKEN}\r\n\
         content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        record.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The interim answer tells that the handler is at work, reading the body.
    let mut interim = Vec::new();
    while !interim.ends_with(b"\r\n\r\n") {
        assert!(patiently("100 Continue", stream.read_buf(&mut interim)).await.unwrap() > 0);
    }
    assert!(interim.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&interim));
    stream.write_all(first).await.unwrap();
    platform.server.process().signal("TERM");
    let address = platform.server.address();
    until("the closed port", async || TcpStream::connect(address).await.err()).await;
    stream.write_all(second).await.unwrap();
    let mut answer = Vec::new();
    patiently("the answer", stream.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 201 "), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(platform.server.ended().await.code, Some(0));
    platform.server.start(&scratch).await;
    assert_eq!(platform.operator.get("/v1/operator/orders/77").await["version"], 1);
    platform.server.stop().await;
}
