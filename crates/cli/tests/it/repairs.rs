//! What was lost on the way to the partner comes to light and is mended (G8), and moves of the partner's own are made once.

use std::os::unix::fs::PermissionsExt as _;

use hookit_contract::EventType;
use http::Method;
use serde_json::{Value, json};

use crate::harness::halves::{Inbox, PATIENT, Partner, Platform, WRITE_TOKEN};
use crate::harness::http::Client;
use crate::harness::process::{Ended, Launch};
use crate::harness::{Scratch, until};

/// Deliveries come within milliseconds here.
const EAGER: &str = "[reconcile]\nsettle_s = 0\ninterval_s = 1\npage_size = 7\n";

/// No run but the one at the start.
const ONCE: &str = "[reconcile]\nsettle_s = 1\n";

async fn both(scratch: &Scratch, settings: &str) -> (Platform, Partner, Inbox) {
    let platform = Platform::start(scratch, PATIENT).await;
    let partner = platform.partner("Till").await;
    let inbox = Inbox::start_asking(scratch, &platform, &partner, settings).await;
    (platform, partner, inbox)
}

async fn create(platform: &Platform, order_id: i64) {
    let record = json!({"id": order_id, "business_id": 737, "branch_id": 1062, "brands": [{"id": 663}]});
    platform.operator.call(Method::POST, "/v1/operator/orders", record.to_string()).await;
}

async fn moved(platform: &Platform, order_id: i64, status: &str) {
    let path = format!("/v1/operator/orders/{order_id}/status");
    platform.operator.call(Method::PATCH, &path, json!({"status": status}).to_string()).await;
}

/// Waits until this run, or a later one, has ended; what is told of all runs.
async fn reconciled(inbox: &Inbox, run_id: i64) -> Value {
    until("a run", async || {
        let shown = inbox.client.get("/reconcile").await;
        let has_ended = |run: &Value| !run["ended_at"].is_null() && run["run_id"].as_i64() >= Some(run_id);
        shown["runs"].as_array().expect("a list").iter().any(has_ended).then_some(shown)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_that_were_never_made_are_made_up_for() {
    let scratch = Scratch::new();
    // Nothing is registered, so nothing is delivered.
    let (platform, _partner, inbox) = both(&scratch, EAGER).await;
    for order_id in 1..=40 {
        create(&platform, order_id).await;
        moved(&platform, order_id, "accepted").await;
    }
    until("the healed view", async || {
        let orders = inbox.client.get("/orders?limit=1000").await["orders"].take();
        (orders.as_array()?.iter().filter(|order| order["version"] == 2).count() == 40).then_some(())
    })
    .await;
    platform.assert_equal_views(&scratch, &inbox, 40).await;
    // Every state, in its order: the events have them all.
    for order_id in 1..=40 {
        moved(&platform, order_id, "ready").await;
        moved(&platform, order_id, "delivered").await;
    }
    until("the last state of the last order", async || {
        (inbox.client.get("/orders/40").await["version"] == 4).then_some(())
    })
    .await;
    inbox.assert_each_version_once([(40, 4), (21, 4)]).await;
    let shown = inbox.client.get("/reconcile").await;
    assert_eq!(shown["status"]["way"], "events", "{shown}");
    let runs = shown["runs"].as_array().unwrap();
    assert!(runs.iter().any(|run| run["older_held"].as_u64() > Some(0)), "{shown}");
    assert!(runs.iter().any(|run| run["not_seen"].as_u64() > Some(0)), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_platform_restored_from_a_copy_sends_what_waited_and_gives_no_number_twice() {
    let scratch = Scratch::new();
    let (mut platform, partner, inbox) = both(&scratch, EAGER).await;
    platform.register(&partner, &EventType::ALL, &inbox.webhook()).await;
    for order_id in 1..=5 {
        create(&platform, order_id).await;
    }
    platform.drained().await;
    // One delivery waits while the copy is made.
    platform.operator.call(Method::POST, "/v1/operator/webhooks/1/disable", "").await;
    create(&platform, 6).await;
    let (copy, data) = (scratch.path("platform.backup"), platform.data.clone());
    let backup = |command: &str| {
        Launch::hookit(&["platform", command]).argument(&copy).argument("--data").argument(&data)
    };
    let made = backup("backup").run(&scratch).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(made.stderr.contains("platform.key is not in it"), "{made:?}");
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let in_use = backup("restore").run(&scratch).await;
    assert!(in_use.code == Some(6) && in_use.stderr.contains("in use"), "{in_use:?}");
    // What comes after it is lost with the disk; the inbox has heard of it, and read on in the events.
    for order_id in 7..=9 {
        create(&platform, order_id).await;
    }
    until("the events of what is lost", async || {
        let orders = inbox.client.get("/orders?limit=1000").await["orders"].take();
        (orders.as_array()?.len() == 9).then_some(())
    })
    .await;
    let last = inbox.client.get("/reconcile").await["runs"][0]["run_id"].as_i64().unwrap();
    reconciled(&inbox, last + 1).await;
    platform.server.kill().await;
    // With their modes: a key that others may read is not taken.
    let secrets = ["platform.key", "operator.token"].map(|name| (data.join(name), scratch.path(name)));
    for (kept, safe) in secrets.iter().filter(|(kept, _)| kept.exists()) {
        std::fs::copy(kept, safe).unwrap();
    }
    std::fs::remove_dir_all(&data).unwrap();
    let restored = backup("restore").run(&scratch).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    for (kept, safe) in secrets.iter().filter(|(_, safe)| safe.exists()) {
        std::fs::copy(safe, kept).unwrap();
    }

    platform.server.start(&scratch).await;
    assert_eq!(platform.count("orders").await, 6);
    platform.operator.call(Method::POST, "/v1/operator/webhooks/1/enable", "").await;
    create(&platform, 10).await;
    platform.drained().await;
    for order_id in [6, 10] {
        assert_eq!(inbox.client.get(&format!("/orders/{order_id}")).await["version"], 1);
    }
    let newest = platform.operator.get("/v1/operator/deliveries?order_id=10").await;
    let seq = newest["deliveries"][0]["seq"].as_i64().unwrap();
    assert!(seq > 1 << 40, "{newest}");
    // Its cursor holds, and it hears by it of what is new.
    let last = inbox.client.get("/reconcile").await["runs"][0]["run_id"].as_i64().unwrap();
    let shown = until("a run that succeeds", async || {
        let shown = inbox.client.get("/reconcile").await;
        let is_done = |run: &Value| run["run_id"].as_i64() > Some(last) && run["ended_as"] == "done";
        shown["runs"].as_array().expect("a list").iter().any(is_done).then_some(shown)
    })
    .await;
    assert_eq!(shown["status"]["way"], "events", "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_restored_from_yesterdays_backup_catches_up_by_itself() {
    let scratch = Scratch::new();
    let (platform, partner, mut inbox) = both(&scratch, "[reconcile]\nsettle_s = 0\n").await;
    platform.register(&partner, &EventType::ALL, &inbox.webhook()).await;
    for order_id in 1..=10 {
        create(&platform, order_id).await;
    }
    platform.drained().await;
    reconciled(&inbox, 1).await;
    let copy = scratch.path("yesterday.backup");
    let backup = |command: &str| {
        Launch::hookit(&["inbox", command]).argument(&copy).argument("--data").argument(&inbox.data)
    };
    // While it is at work.
    let made = backup("backup").run(&scratch).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let again = backup("backup").run(&scratch).await;
    assert!(again.code == Some(6) && again.stderr.contains("is there already"), "{again:?}");
    // What is in use is not written over, nor, below, what has a store.
    let in_use = backup("restore").run(&scratch).await;
    assert!(in_use.code == Some(6) && in_use.stderr.contains("in use"), "{in_use:?}");
    for order_id in 11..=20 {
        create(&platform, order_id).await;
    }
    for order_id in 1..=15 {
        moved(&platform, order_id, "accepted").await;
        moved(&platform, order_id, "ready").await;
    }
    platform.drained().await;
    platform.assert_equal_views(&scratch, &inbox, 20).await;
    let newest = change_seq(&inbox, 20).await;
    inbox.server.kill().await;
    let kept = backup("restore").run(&scratch).await;
    assert!(kept.code == Some(6) && kept.stderr.contains("is there already"), "{kept:?}");
    std::fs::remove_dir_all(&inbox.data).unwrap();
    let restored = backup("restore").run(&scratch).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");

    inbox.server.start(&scratch).await;
    let shown = reconciled(&inbox, 2).await;
    let run = &shown["runs"][0];
    assert_eq!((&run["cause"], &run["ended_as"]), (&json!("start"), &json!("done")), "{shown}");
    // Ten orders had not come yet, and thirty states came after those that the copy has.
    assert_eq!((&run["not_seen"], &run["older_held"]), (&json!(10), &json!(30)), "{shown}");
    platform.assert_equal_views(&scratch, &inbox, 20).await;
    inbox.assert_each_version_once((1..=15).map(|order_id| (order_id, 3))).await;
    assert_eq!(platform.count("pending").await, 0, "and the platform did nothing for it");
    // Who follows the changes and had come so far hears of them.
    assert!(change_seq(&inbox, 20).await > newest, "a number was given twice");
}

/// The number of the change that an order came with.
async fn change_seq(inbox: &Inbox, order_id: i64) -> i64 {
    let db = rusqlite::Connection::open(inbox.data.join("inbox.db")).unwrap();
    let newest = "SELECT max(change_seq) FROM changes WHERE order_id = ?1";
    db.query_row(newest, [order_id], |row| row.get(0)).unwrap()
}

fn advance(inbox: &Inbox, order_id: i64, more: &[&str]) -> Launch {
    let launch = Launch::hookit(&["order", "advance", &order_id.to_string()]);
    let launch = more.iter().fold(launch, |launch, argument| launch.argument(argument));
    launch
        .argument("--inbox")
        .argument(inbox.server.url(""))
        .variable("HOOKIT_INBOX_WRITE_TOKEN", WRITE_TOKEN)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_moves_its_orders_from_the_command_line() {
    let scratch = Scratch::new();
    let (platform, partner, inbox) = both(&scratch, ONCE).await;
    platform.register(&partner, &EventType::ALL, &inbox.webhook()).await;
    create(&platform, 7).await;
    let check = |ended: Ended, code: i32, out: &str, said: &str| {
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert_eq!(ended.stdout, out);
        assert!(ended.stderr.contains(said), "{ended:?}");
    };
    check(advance(&inbox, 7, &["accepted"]).run(&scratch).await, 0, "order 7: accepted done\n", "");
    let json = advance(&inbox, 7, &["ready", "--output", "json"]).run(&scratch).await;
    let shown: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&shown["state"], &shown["status"], &shown["order_id"]),
        (&json!("done"), &json!("ready"), &json!(7))
    );
    check(
        advance(&inbox, 7, &["rejected", "--reason-code", "12"]).run(&scratch).await,
        4,
        "",
        "409 state_invalid_transition",
    );
    check(advance(&inbox, 9, &["ready"]).run(&scratch).await, 4, "", "404 resource_not_found");
    check(advance(&inbox, 7, &["eaten"]).run(&scratch).await, 2, "", "expected one of accepted, ready");
    check(advance(&inbox, 7, &["cancelled"]).run(&scratch).await, 4, "", "reason_code: missing");
    let wrong = advance(&inbox, 7, &["ready"]).variable("HOOKIT_INBOX_WRITE_TOKEN", "not_the_token_at_all");
    check(wrong.run(&scratch).await, 4, "", "the write token is not valid");
    // The moves come back as deliveries.
    until("the view", async || (inbox.client.get("/orders/7").await["version"] == 3).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_is_made_once_though_the_inbox_is_killed_while_the_platform_is_away() {
    let scratch = Scratch::new();
    let (mut platform, partner, mut inbox) = both(&scratch, ONCE).await;
    platform.register(&partner, &EventType::ALL, &inbox.webhook()).await;
    create(&platform, 7).await;
    platform.drained().await;
    platform.server.kill().await;

    let till = Client::new(inbox.server.url(""), Some(format!("Bearer {WRITE_TOKEN}")));
    let looker = inbox.client.clone();
    let ask = async |till: &Client, status: &str| {
        let key = [("idempotency-key", "till-3/00017")];
        till.send(Method::POST, "/orders/7/moves", &key, json!({"status": status}).to_string()).await
    };
    let kept = until("the move on disk", async || {
        let moves = looker.get("/orders/7/moves").await["moves"].take();
        (!moves.as_array()?.is_empty()).then_some(moves)
    });
    let killed = async {
        let kept = kept.await;
        assert_eq!((&kept[0]["state"], &kept[0]["status"]), (&json!("pending"), &json!("accepted")));
        inbox.server.kill().await;
        kept
    };
    let (asked, kept) = tokio::join!(ask(&till, "accepted"), killed);
    assert!(asked.is_err(), "nobody was told anything");

    inbox.server.start(&scratch).await;
    platform.server.start(&scratch).await;
    let again = ask(&till, "accepted").await.unwrap();
    let done = again.json()["data"].clone();
    assert_eq!((again.status, &done["state"]), (200, &json!("done")), "{}", again.text());
    assert_eq!(done["move_id"], kept[0]["move_id"]);
    let other = ask(&till, "ready").await.unwrap();
    assert_eq!((other.status, other.error_code().as_str()), (409, "state_idempotency_conflict"));

    let order = platform.operator.get("/v1/operator/orders/7").await;
    assert_eq!((&order["status"], &order["version"]), (&json!(2), &json!(2)));
    assert_eq!(inbox.client.get("/orders/7/moves").await["moves"].as_array().unwrap().len(), 1);
    platform.drained().await;
    platform.assert_equal_views(&scratch, &inbox, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_was_rotated_is_said_and_the_inbox_goes_on_receiving() {
    let scratch = Scratch::new();
    let (platform, partner, mut inbox) = both(&scratch, "[reconcile]\nsettle_s = 1\ninterval_s = 1\n").await;
    platform.register(&partner, &EventType::ALL, &inbox.webhook()).await;
    let path = format!("/v1/operator/partners/{}/rotate-secret", partner.partner_id);
    platform.operator.call(Method::POST, &path, "").await;
    let shown = until("a run that fails", async || {
        let shown = inbox.client.get("/reconcile").await;
        (shown["runs"][0]["ended_as"] == "failed").then_some(shown)
    })
    .await;
    let problem = shown["runs"][0]["problem"].as_str().unwrap();
    assert!(problem.contains("does not take the credential (401 auth_invalid_credential"), "{problem}");
    create(&platform, 7).await;
    platform.drained().await;
    let said = inbox.server.process().stderr();
    assert!(said.contains("does not take the credential") && !said.contains(&partner.secret_key), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_with_another_secret_is_healed_and_it_is_said_that_it_was_refused() {
    let scratch = Scratch::new();
    let platform = Platform::start(&scratch, PATIENT).await;
    let partner = platform.partner("Till").await;
    // Here the partner was given a secret that nothing is signed with.
    let misled = Partner { webhook_secret: "whsec_of_somebody_else".to_owned(), ..partner };
    let inbox = Inbox::start_asking(&scratch, &platform, &misled, "[reconcile]\nsettle_s = 0\n").await;
    reconciled(&inbox, 1).await;
    platform.register(&misled, &EventType::ALL, &inbox.webhook()).await;
    create(&platform, 7).await;
    until("a refusal", async || {
        let refused = inbox.client.get("/status").await["since_start"]["refused"]["signature_wrong"].as_u64();
        (refused > Some(0)).then_some(())
    })
    .await;
    // Its next state waits behind the first; of this order nothing is sent any more.
    platform.operator.call(Method::POST, "/v1/operator/webhooks/1/disable", "").await;
    moved(&platform, 7, "accepted").await;
    create(&platform, 8).await;
    let writer = Client::new(inbox.server.url(""), Some(format!("Bearer {WRITE_TOKEN}")));
    writer.call(Method::POST, "/reconcile", "").await;
    let shown = reconciled(&inbox, 2).await;
    let healed: Vec<_> = shown["healed"].as_array().unwrap().iter().rev().collect();
    let why = |one: &&Value| (one["order_id"].as_i64(), one["reason"].as_str().map(str::to_owned));
    let told: Vec<_> = healed.iter().map(why).collect();
    let expect = [(7, "was_refused"), (7, "was_refused"), (8, "not_seen")];
    assert_eq!(told, expect.map(|(id, reason)| (Some(id), Some(reason.to_owned()))), "{shown}");
    assert_eq!((&shown["runs"][0]["was_refused"], &shown["runs"][0]["not_seen"]), (&json!(2), &json!(1)));
}
