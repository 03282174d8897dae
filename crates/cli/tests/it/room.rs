//! A disk without room: changes are refused and nothing else suffers, readiness says so, and with room it goes on by itself.

use hookit_contract::Timestamp;
use hookit_sim::traffic::{World, generator};
use http::Method;
use serde_json::Value;

use crate::harness::halves::OPERATOR_TOKEN;
use crate::harness::http::Client;
use crate::harness::process::{HOOKIT, Launch, Server};
use crate::harness::producer::with_id;
use crate::harness::{Scratch, until};

fn request_id(answer: &Value) -> String {
    answer["request_id"].as_str().expect("every answer has one").to_owned()
}

/// Room for so many bytes in each file, from now on; none for as many as one likes.
fn files_may_have(server: &mut Server, bytes: Option<u64>) {
    let id = server.process().id().to_string();
    let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
    let set =
        std::process::Command::new("prlimit").args(["--pid", &id, &format!("--fsize={limit}:")]).status();
    assert!(set.expect("prlimit can be run").success(), "{limit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_room_it_is_not_ready_and_with_room_it_is_by_itself() {
    let scratch = Scratch::new();
    let data = scratch.path("platform");
    let mut server = Server::prepare(|address| {
        // A write beyond the limit is to fail, and not to end the process.
        Launch::new("platform", "/bin/sh")
            .argument("-c")
            .argument("trap '' XFSZ; exec \"$@\"")
            .argument("sh")
            .argument(HOOKIT)
            .argument("platform")
            .argument("serve")
            .argument("--data")
            .argument(&data)
            .argument("--listen")
            .argument(address.to_string())
            .variable("HOOKIT_OPERATOR_TOKEN", OPERATOR_TOKEN)
    });
    server.start(&scratch).await;
    let operator = Client::new(server.url(""), Some(format!("Bearer {OPERATOR_TOKEN}")));
    let ready = async || operator.ask(Method::GET, "/readyz", "").await;
    assert_eq!(ready().await.status, 200);
    let mut world = World::new(7);
    let mut dice = generator(7);
    let mut next = 1;
    let mut order = || {
        let order = world.order(&mut dice, Timestamp::from_millis(1_772_361_000_000));
        next += 1;
        with_id(&order, next)
    };
    let post = async |order| operator.ask(Method::POST, "/v1/operator/orders", order).await;
    assert_eq!(post(order()).await.status, 201);

    // What is there has room, and a little more.
    let sizes = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    files_may_have(&mut server, Some(sizes.max().unwrap() + 100_000));
    let (mut taken, mut refusals) = (1, Vec::new());
    // What is smaller than an order may still have room where that had none.
    let not_ready = until("the end of the room", async || {
        let answer = post(order()).await;
        match answer.status {
            201 => taken += 1,
            refused => {
                assert_eq!(refused, 500);
                refusals.push(request_id(&answer.json()));
            }
        }
        Some(ready().await).filter(|answer| answer.status != 200)
    })
    .await;
    assert_eq!((not_ready.status, not_ready.error_code().as_str()), (503, "unavailable"));
    let message = not_ready.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("the store takes no changes"), "{message}");
    assert_eq!(operator.ask(Method::GET, "/healthz", "").await.status, 200);
    let status = operator.get("/v1/operator/status").await;
    assert_eq!(status["orders"], taken, "nothing of what was refused is there");

    // Each says that the log has it, and a line of a bulk call, which is answered while it is read, says so too.
    let line = format!("{}\n", String::from_utf8_lossy(&order()));
    let answer = operator.ask(Method::POST, "/v1/operator/orders/bulk", line).await;
    let line: Value = serde_json::from_str(answer.text().trim()).unwrap();
    assert_eq!(line["error"]["code"], "internal", "{line}");
    refusals.push(request_id(&line));
    let log = server.process().stderr();
    for refusal in &refusals {
        let mut told = log.lines().filter(|line| line.contains("a request failed inside"));
        assert!(told.any(|line| line.contains(refusal)), "{refusal}: {log}");
    }

    files_may_have(&mut server, None);
    until("the room to be noticed", async || (ready().await.status == 200).then_some(())).await;
    assert_eq!(post(order()).await.status, 201);
    server.stop().await;
}
