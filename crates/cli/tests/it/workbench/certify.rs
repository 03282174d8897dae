//! `hookit certify` passes the receivers of `examples/receivers/` as they stand there, and names each fault that is planted
//! into a copy of one: that fault, and no other.

use serde_json::Value;

use super::{SECRET, WEBHOOK_SECRET};
use crate::harness::halves::Inbox;
use crate::harness::process::{Ended, Launch, Server};
use crate::harness::{Scratch, until};

const PASSED: Option<i32> = Some(0);
const FAILED: Option<i32> = Some(1);

/// One of the receivers.
#[derive(Clone, Copy)]
struct Receiver {
    name: &'static str,
    program: &'static str,
    source: &'static str,
    file: &'static str,
}

const NODE: Receiver = Receiver {
    name: "node",
    program: "node",
    source: include_str!("../../../../../examples/receivers/node/receiver.mjs"),
    file: "receiver.mjs",
};
const PYTHON: Receiver = Receiver {
    name: "python",
    program: "python3",
    source: include_str!("../../../../../examples/receivers/python/receiver.py"),
    file: "receiver.py",
};

impl Receiver {
    /// A copy with these pieces of its source replaced.
    async fn start(self, scratch: &Scratch, faults: &[(&str, &str)]) -> Server {
        let mut source = self.source.to_owned();
        for (good, bad) in faults {
            assert_eq!(source.matches(good).count(), 1, "{}: {good}", self.file);
            source = source.replace(good, bad);
        }
        let path = scratch.write(self.file, &source);
        let mut server = Server::prepare(|address| {
            Launch::new(self.name, self.program)
                .argument(path)
                .variable(WEBHOOK_SECRET, SECRET)
                .variable("PORT", address.port().to_string())
                .variable("RECEIVER_FILE", scratch.path("receiver.ndjson").to_str().expect("a plain path"))
        });
        server.start(scratch).await;
        server
    }
}

fn certify(url: &str, view: &str) -> Launch {
    Launch::hookit(&[
        "certify",
        url,
        "--view-url",
        view,
        "--deliveries",
        "40",
        "--at-a-time",
        "8",
        "--output",
        "json",
    ])
    .named("certify")
    .variable(WEBHOOK_SECRET, SECRET)
}

fn certify_server(server: &Server) -> Launch {
    certify(&server.url("/webhooks/klikit"), &server.url("/orders"))
}

/// The codes of the faults that a report names.
fn named(report: &str) -> Vec<String> {
    let report: Value = serde_json::from_str(report).unwrap_or_else(|error| panic!("{error}: {report}"));
    let code = |fault: &Value| fault["fault"].as_str().unwrap().to_owned();
    let mut codes: Vec<String> = report["faults"].as_array().unwrap().iter().map(code).collect();
    codes.sort();
    codes
}

/// Plants a fault and checks that it is named, and no other one.
async fn plant(receiver: Receiver, faults: &[(&str, &str)], expected: &[&str]) {
    let scratch = Scratch::new();
    let server = receiver.start(&scratch, faults).await;
    let ended = certify_server(&server).run(&scratch).await;
    assert_eq!(
        named(&ended.stdout),
        expected,
        "{}: {faults:?}: {}{}",
        receiver.name,
        ended.stdout,
        ended.stderr
    );
    let warnings = ["forged_not_403", "huge_numbers_fail"];
    let passes = expected.iter().all(|fault| warnings.contains(fault));
    assert_eq!(ended.code, if passes { PASSED } else { FAILED });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_receivers_to_copy_pass_also_across_a_restart() {
    for receiver in [NODE, PYTHON] {
        let scratch = Scratch::new();
        let mut server = receiver.start(&scratch, &[]).await;
        let ended = with_restart(&scratch, &mut server).await;
        assert_eq!(
            (named(&ended.stdout), ended.code),
            (Vec::new(), PASSED),
            "{}{}",
            ended.stdout,
            ended.stderr
        );
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(report["checks"].as_array().unwrap().len(), 17, "{report}");
        let unseen: Vec<&Value> =
            report["checks"].as_array().unwrap().iter().filter_map(|check| check.get("unseen")).collect();
        assert_eq!(unseen.len(), 1, "all but the time that a comparison takes: {unseen:?}");
        let html = std::fs::read_to_string(scratch.path("report.html")).unwrap();
        assert!(html.contains("passed") && !html.contains("src=") && !html.contains("href="), "{html}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_inbox_passes() {
    let scratch = Scratch::new();
    let inbox = Inbox::start(&scratch, SECRET).await;
    let ended = certify(&inbox.webhook(), &inbox.server.url("/orders/{id}")).run(&scratch).await;
    assert_eq!((named(&ended.stdout), ended.code), (Vec::new(), PASSED), "{}{}", ended.stdout, ended.stderr);
}

/// Certifies a receiver that this test restarts when it is asked to.
async fn with_restart(scratch: &Scratch, server: &mut Server) -> Ended {
    let command = "touch asked; until [ -e done ]; do sleep 0.02; done";
    let mut process = certify_server(server)
        .argument("--restart")
        .argument(command)
        .argument("--html")
        .argument(scratch.path("report.html"))
        .spawn(scratch);
    until("the wish for a restart", async || {
        (scratch.path("asked").exists() || process.has_ended().is_some()).then_some(())
    })
    .await;
    server.kill().await;
    server.start(scratch).await;
    scratch.write("done", "");
    let status = process.ended().await;
    Ended { code: status.code(), stdout: process.stdout(), stderr: process.stderr() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_are_forgotten_at_a_restart_are_named() {
    let scratch = Scratch::new();
    let mut server = NODE.start(&scratch, &[("  seen.add(line.event_id);\n", "")]).await;
    let ended = with_restart(&scratch, &mut server).await;
    assert_eq!(named(&ended.stdout), ["repeats_forgotten_at_restart"], "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_around_the_signature_are_named() {
    let refusal = "if (given.length !== expected.length || !timingSafeEqual(given, expected)) return answer(403, 'forbidden');";
    let again = "update(((b) => { try { return JSON.stringify(JSON.parse(b)); } catch { return b; } })(body)).digest('hex'));";
    for (good, bad, expected) in [
        (refusal, "", ["accepts_forged"].as_slice()),
        // The header is compared where there is one.
        (
            refusal,
            &refusal
                .replace("(given.length !==", "(given.length > 0 && (given.length !==")
                .replace("expected))", "expected)))"),
            &["accepts_forged"],
        ),
        (refusal, &refusal.replace("403, 'forbidden'", "200, 'ok'"), &["acknowledges_forged"]),
        (refusal, &refusal.replace("403", "401"), &["forged_not_403"]),
        (
            refusal,
            &refusal.replace("given.length !== expected.length || ", ""),
            &["dies", "odd_signature_fails"],
        ),
        ("update(body).digest('hex'));", again, &["rewrites_before_verifying"]),
    ] {
        plant(NODE, &[(good, bad)], expected).await;
    }
    let good = "hmac.new(SECRET, body, hashlib.sha256)";
    let again = "hmac.new(SECRET, json.dumps(json.loads(body)).encode(), hashlib.sha256)";
    plant(PYTHON, &[(good, again)], &["rewrites_before_verifying"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_around_repeats_and_late_states_are_named() {
    plant(NODE, &[("  if (seen.has(id)) return 'duplicate-ignored';\n", "")], &["repeats_take_effect"]).await;
    plant(NODE, &[("if (!isOlder)", "if (true || isOlder)")], &["view_goes_backwards"]).await;
    plant(
        NODE,
        &[("if (seen.has(id)) return 'duplicate-ignored';", "if (seen.has(id)) return 'known';")],
        &[],
    )
    .await;
    let unlocked = [
        ("        with self.lock:  # from", "        if True:  # from"),
        (
            "            self.seen.add(event_id)\n            self.apply",
            "            time.sleep(0.02)\n            self.seen.add(event_id)\n            self.apply",
        ),
    ];
    plant(PYTHON, &unlocked, &["concurrent_repeats_take_effect"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_around_what_is_in_a_body_are_named() {
    let verified = "    const status = accept(";
    let refuse =
        |condition: &str| format!("    if ({condition}) return answer(400, 'bad request');\n{verified}");
    let orders =
        "(() => { try { return [].concat(JSON.parse(body).orders ?? []); } catch { return []; } })()";
    let some = |condition: &str| refuse(&format!("{orders}.some((o) => {condition})"));
    let types = "!['klikit.order.created.v2', 'klikit.order.status.updated', 'klikit.order.cart.updated'].includes(req.headers['x-klikit-event-type'] ?? 'klikit.order.created.v2')";
    plant(NODE, &[("envelope.orders.map", "envelope.orders.slice(0, 1).map")], &["batch_orders_lost"]).await;
    plant(NODE, &[(verified, &refuse(&format!("{orders}.length > 1")))], &["batch_refused"]).await;
    plant(NODE, &[(verified, &some("o && 'loyalty_tier' in o"))], &["refuses_unknown_fields"]).await;
    plant(NODE, &[(verified, &some("o && o.status > 11"))], &["refuses_unknown_statuses"]).await;
    plant(NODE, &[(verified, &refuse(types))], &["refuses_unknown_event_types"]).await;
    plant(NODE, &[("10 * 1024 * 1024", "100 * 1024")], &["body_limit_too_small"]).await;
    plant(
        NODE,
        &[("BigInt(v.slice(4))", "Number(v.slice(4))"), ("Number.isSafeInteger", "Number.isInteger")],
        &["huge_numbers_fail"],
    )
    .await;
    let ascii = "        status = receiver.accept(";
    plant(PYTHON, &[(ascii, &format!("        body.decode('ascii')\n{ascii}"))], &["script_fails"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_around_the_answer_are_named() {
    let good = "return answer(200, JSON.stringify({ status }), 'application/json');";
    let late = "setTimeout(() => answer(200, JSON.stringify({ status }), 'application/json'), body.toString().split('\"short_id\"').length > 20 ? 6_000 : 1);";
    plant(NODE, &[(good, late)], &["answers_after_working"]).await;
    plant(
        NODE,
        &[(good, "res.setHeader('location', '/elsewhere'); return answer(302, '');")],
        &["redirects"],
    )
    .await;
    plant(NODE, &[("  seen.add(id);\n  apply(orders);", "  seen.add(id);")], &["acknowledged_but_lost"])
        .await;
    let scratch = Scratch::new();
    let nobody =
        certify("http://127.0.0.1:1/webhooks/klikit", "http://127.0.0.1:1/orders").run(&scratch).await;
    assert_eq!(
        (named(&nobody.stdout), nobody.code),
        (vec!["dies".to_owned(), "unreachable".to_owned()], FAILED)
    );
}
