//! The nouns and verbs of an operator, run against a platform at work.

use hookit_sim::endpoints::ScriptedEndpoint;
use serde_json::{Value, json};

use crate::harness::halves::{OPERATOR_TOKEN, PATIENT, Platform};
use crate::harness::process::{Ended, Launch};
use crate::harness::{Scratch, free_port, until};

const NOT_FOUND: Option<i32> = Some(3);
const REFUSED: Option<i32> = Some(4);
const UNREACHABLE: Option<i32> = Some(5);

/// `hookit` of an operator of one platform.
struct Operator<'a> {
    scratch: &'a Scratch,
    url: String,
}

impl Operator<'_> {
    fn launch(&self, arguments: &[&str]) -> Launch {
        Launch::hookit(arguments)
            .named("operator")
            .variable("HOOKIT_URL", &self.url)
            .variable("HOOKIT_OPERATOR_TOKEN", OPERATOR_TOKEN)
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        self.launch(arguments).run(self.scratch).await
    }

    /// What it prints for people.
    async fn says(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments).await;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
        ended.stdout
    }

    /// What it prints for scripts.
    async fn json(&self, arguments: &[&str]) -> Value {
        let text = self.says(&[arguments, &["--output", "json"]].concat()).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a text: {value}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_does_without_curl_from_a_partner_to_a_replay() {
    let scratch = Scratch::new();
    let platform = Platform::start(&scratch, PATIENT).await;
    let endpoint = ScriptedEndpoint::start().await.unwrap();
    let operator = Operator { scratch: &scratch, url: platform.server.url("") };

    let partner =
        operator.json(&["partner", "create", "Till", "--business-id", "737", "--scope", "orders:read"]).await;
    let partner_id = text(&partner["partner_id"]);
    assert_eq!(partner["scopes"], json!(["orders:read"]));
    assert!(text(&partner["webhook_secret_key"]).starts_with("whsec_"));
    let listed = operator.says(&["partner", "list"]).await;
    assert!(
        listed.starts_with("PARTNER") && listed.contains("Till") && !listed.contains("whsec_"),
        "{listed}"
    );
    let rotated = operator.says(&["partner", "rotate-secret", partner_id]).await;
    assert!(rotated.contains("secret_key  sk_"), "{rotated}");

    for event in ["created", "status"] {
        operator.says(&["webhook", "put", partner_id, event, &endpoint.url(), "--branch-id", "1062"]).await;
    }
    let webhooks = operator.json(&["webhook", "list"]).await;
    let webhook_id = webhooks["webhooks"][0]["webhook_id"].to_string();
    let tested = operator.says(&["webhook", "test", &webhook_id]).await;
    assert!(tested.contains("acknowledged"), "{tested}");

    let record =
        r#"{"id":42,"business_id":737,"branch_id":1062,"brands":[{"id":663}],"vat":0.1000,"x":"ไม่เผ็ด"}"#;
    scratch.write("order.json", record);
    let made = operator.says(&["order", "create", "order.json"]).await;
    assert!(made.starts_with("order 42 PLACED version 1 "), "{made}");
    let mut tail =
        operator.launch(&["delivery", "tail", "--every", "50ms", "--output", "json"]).spawn(&scratch);
    let moved = operator.says(&["order", "move", "42", "accepted"]).await;
    assert!(moved.starts_with("order 42 ACCEPTED version 2 "), "{moved}");
    let shown = operator.says(&["order", "show", "42"]).await;
    assert!(shown.contains("  \"vat\": 0.1000,\n") && shown.contains("ไม่เผ็ด"), "{shown}");
    let mut watch = operator.launch(&["order", "watch", "42", "--every", "50ms"]).spawn(&scratch);
    until("the order in the watch", async || watch.stdout().contains("ACCEPTED version 2").then_some(()))
        .await;
    operator.says(&["order", "move", "42", "cancelled", "--reason-code", "too_busy"]).await;
    assert_eq!(watch.ended().await.code(), Some(0), "it ends with the order: {}", watch.stderr());
    let watched = watch.stdout();
    assert!(
        watched.contains("CANCELLED version 3") && watched.contains("delivered after 1 attempts"),
        "{watched}"
    );

    platform.drained().await;
    let deliveries = operator.json(&["delivery", "list", "--order-id", "42"]).await;
    assert_eq!(deliveries["deliveries"].as_array().unwrap().len(), 3);
    let delivery_id = text(&deliveries["deliveries"][0]["delivery_id"]);
    let followed = until("the tail", async || {
        let said = tail.stdout();
        said.lines().any(|line| line.contains(delivery_id) && line.contains("\"delivered\"")).then_some(said)
    })
    .await;
    assert!(followed.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{followed}");
    tail.signal("INT");
    assert_eq!(tail.ended().await.code(), Some(0));
    let shown = operator.says(&["delivery", "show", delivery_id]).await;
    assert!(shown.contains("acknowledged") && shown.contains("ATTEMPT"), "{shown}");
    operator.says(&["delivery", "replay", delivery_id]).await;
    platform.drained().await;

    let dry =
        operator.json(&["replay", "start", "--order-id", "42", "--state", "delivered", "--dry-run"]).await;
    assert_eq!(dry["deliveries"], 3);
    let replayed = operator.says(&["replay", "start", "--order-id", "42", "--wait", "--every", "50ms"]).await;
    assert!(replayed.contains("delivered    3"), "{replayed}");
    assert_eq!(
        endpoint.counts().requests,
        1 + 3 + 1 + 3,
        "the test, three deliveries, one replay, and three"
    );
    let replays = operator.says(&["replay", "list"]).await;
    assert!(replays.lines().count() == 2 && replays.contains("order_id=42"), "{replays}");

    let status = operator.says(&["status"]).await;
    assert!(status.contains("delivered") && status.contains(&endpoint.url()), "{status}");
    let token = operator.json(&["token", "create", "Ánh", "--role", "support"]).await;
    operator.says(&["token", "revoke", &token["token_id"].to_string()]).await;
    operator.says(&["webhook", "disable", &webhook_id]).await;
    operator.says(&["webhook", "remove", &webhook_id, "--by", "Ánh & co"]).await;
    let audit = operator.says(&["audit", "--limit", "2"]).await;
    assert!(audit.lines().count() == 3 && audit.contains("webhook"), "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_codes_tell_apart_what_went_wrong() {
    let scratch = Scratch::new();
    let platform = Platform::start(&scratch, PATIENT).await;
    let operator = Operator { scratch: &scratch, url: platform.server.url("") };
    for absent in [["order", "show", "7"], ["delivery", "show", "../status"], ["replay", "pause", "7"]] {
        let ended = operator.run(&absent).await;
        assert_eq!(ended.code, NOT_FOUND, "{absent:?}: {}", ended.stderr);
    }
    let absent = operator.run(&["order", "show", "7"]).await.stderr;
    assert!(absent.contains("order 7: 404 resource_not_found"), "{absent}");
    let stranger =
        operator.launch(&["partner", "list"]).variable("HOOKIT_OPERATOR_TOKEN", "op_of_nobody_at_all");
    let said = stranger.run(&scratch).await.stderr;
    assert!(said.contains("partners: 401 auth_invalid_credential") && !said.contains("limit"), "{said}");
    let refused = operator.run(&["token", "create", "Ann", "--role", "king"]).await;
    assert!(refused.code == REFUSED && refused.stderr.contains("role"), "{}", refused.stderr);
    let stranger = operator.launch(&["status"]).variable("HOOKIT_OPERATOR_TOKEN", "op_of_nobody_at_all");
    assert_eq!(stranger.run(&scratch).await.code, REFUSED);
    let nobody =
        operator.launch(&["status"]).variable("HOOKIT_URL", format!("http://127.0.0.1:{}", free_port()));
    assert_eq!(nobody.run(&scratch).await.code, UNREACHABLE);
    let unset = Launch::hookit(&["status"]).run(&scratch).await;
    assert!(unset.code == Some(2) && unset.stderr.contains("HOOKIT_OPERATOR_TOKEN"), "{}", unset.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shells_and_manuals_know_every_command() {
    let scratch = Scratch::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = Launch::hookit(&["completions", shell]).run(&scratch).await;
        assert_eq!(script.code, Some(0));
        for word in ["certify", "rotate-webhook-secret", "--view-url"] {
            let word = if shell == "fish" { word.trim_start_matches("--") } else { word };
            assert!(script.stdout.contains(word), "{shell}: {word}");
        }
    }
    let script =
        scratch.write("complete.bash", &Launch::hookit(&["completions", "bash"]).run(&scratch).await.stdout);
    let read = Launch::new("bash", "bash").argument("-n").argument(script).run(&scratch).await;
    assert_eq!((read.code, read.stderr.as_str()), (Some(0), ""));
    let pages = scratch.path("man");
    std::fs::create_dir(&pages).unwrap();
    let written = Launch::hookit(&["man"]).argument(&pages).run(&scratch).await;
    assert_eq!(written.code, Some(0), "{}", written.stderr);
    for page in ["hookit.1", "hookit-certify.1", "hookit-webhook-put.1"] {
        assert!(std::fs::read_to_string(pages.join(page)).unwrap().contains(".TH"), "{page}");
    }
}
