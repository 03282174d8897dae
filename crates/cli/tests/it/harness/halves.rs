//! The platform and the inbox as processes, with what every test asks of them.

use std::path::PathBuf;

use hookit_contract::EventType;
use hookit_sim::traffic::World;
use http::Method;
use serde_json::{Value, json};

use super::http::Client;
use super::process::{Ended, Launch, Server};
use super::{Scratch, until};

pub(crate) const OPERATOR_TOKEN: &str = "op_9f2c6b1e7a5d4830";
pub(crate) const WRITE_TOKEN: &str = "till_3_b81d54f0ac7e2936";
pub(crate) const METRICS_TOKEN: &str = "scraper_51d07c3be2984fa6";

/// Retries and probes that outlast the outages played here without a delivery being given up, and come soon after
/// them.
pub(crate) const PATIENT: &str = "[delivery]\nprobe_pause_min_ms = 50\nprobe_pause_max_ms = 500\n\
    retry_delays_ms = [50, 100, 200, 300, 500, 500, 500, 500, \
    1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, \
    1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000]\n";

pub(crate) struct Platform {
    pub(crate) server: Server,
    pub(crate) operator: Client,
    pub(crate) data: PathBuf,
}

/// A partner with what was shown of it once.
pub(crate) struct Partner {
    pub(crate) partner_id: String,
    pub(crate) partner_key: String,
    pub(crate) secret_key: String,
    pub(crate) webhook_secret: String,
}

impl Platform {
    /// With this configuration, on an empty folder.
    pub(crate) async fn start(scratch: &Scratch, config: &str) -> Self {
        Platform::start_logging(scratch, config, "info").await
    }

    pub(crate) async fn start_logging(scratch: &Scratch, config: &str, log: &str) -> Self {
        let data = scratch.path("platform");
        let config = scratch.write("platform.toml", config);
        let mut server = Server::prepare(|address| {
            Launch::hookit(&["platform", "serve", "--allow-private-endpoints", "--log", log])
                .named("platform")
                .argument("--data")
                .argument(&data)
                .argument("--config")
                .argument(config)
                .argument("--listen")
                .argument(address.to_string())
                .variable("HOOKIT_OPERATOR_TOKEN", OPERATOR_TOKEN)
                .variable("HOOKIT_METRICS_TOKEN", METRICS_TOKEN)
        });
        server.start(scratch).await;
        let operator = Client::new(server.url(""), Some(format!("Bearer {OPERATOR_TOKEN}")));
        let world = World::new(0);
        let brands: Vec<Value> = world
            .brands()
            .iter()
            .map(|brand| json!({"id": brand.id, "title": brand.title, "branches": world.branches().iter().map(|b| b.id).collect::<Vec<_>>()}))
            .collect();
        let hierarchy = json!({"name": "Restaurants of the tests", "brands": brands}).to_string();
        operator.call(Method::PUT, &format!("/v1/operator/businesses/{}", World::BUSINESS), hierarchy).await;
        Platform { server, operator, data }
    }

    pub(crate) async fn partner(&self, name: &str) -> Partner {
        let body = json!({"name": name, "business_id": World::BUSINESS}).to_string();
        let shown = self.operator.call(Method::POST, "/v1/operator/partners", body).await;
        let text = |field: &str| shown[field].as_str().expect(field).to_owned();
        Partner {
            partner_id: text("partner_id"),
            partner_key: text("partner_key"),
            secret_key: text("secret_key"),
            webhook_secret: text("webhook_secret_key"),
        }
    }

    /// Registers a URL for these event types of all brands and branches.
    pub(crate) async fn register(&self, partner: &Partner, event_types: &[EventType], url: &str) {
        for event_type in event_types {
            let body = json!({"partner_id": partner.partner_id, "event_type": event_type, "url": url});
            self.operator.call(Method::PUT, "/v1/operator/webhooks", body.to_string()).await;
        }
    }

    pub(crate) async fn status(&self) -> Value {
        self.operator.get("/v1/operator/status").await
    }

    /// One of the status's counts.
    pub(crate) async fn count(&self, of: &str) -> u64 {
        self.status().await[of].as_u64().unwrap_or_else(|| panic!("the status has a count {of}"))
    }

    /// Waits until nothing is pending any more, and checks that nothing was given up on the way.
    pub(crate) async fn drained(&self) {
        let status = until("the last delivery", async || {
            let status = self.status().await;
            (status["pending"] == 0 && status["in_flight"] == 0).then_some(status)
        })
        .await;
        assert_eq!((&status["dead"], &status["cancelled"]), (&json!(0), &json!(0)), "{status}");
    }

    /// All deliveries in this state, oldest first.
    pub(crate) async fn deliveries(&self, state: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let mut before = String::new();
        loop {
            let path = format!("/v1/operator/deliveries?state={state}&limit=1000{before}");
            let mut page = self.operator.get(&path).await;
            let Value::Array(deliveries) = page["deliveries"].take() else { panic!("{page}") };
            found.extend(deliveries);
            match page["next_before"].as_i64() {
                Some(seq) => before = format!("&before={seq}"),
                None => break,
            }
        }
        found.reverse();
        found
    }

    /// `hookit diff` between this platform and an inbox.
    pub(crate) async fn diff(&self, scratch: &Scratch, inbox: &Inbox, more: &[&str]) -> Ended {
        let (platform, inbox) = (self.server.url(""), inbox.server.url(""));
        let launch = Launch::hookit(&["diff", "--platform", &platform, "--inbox", &inbox]).named("diff");
        let launch = more.iter().fold(launch, |launch, argument| launch.argument(argument));
        launch.variable("HOOKIT_OPERATOR_TOKEN", OPERATOR_TOKEN).run(scratch).await
    }

    /// Checks that both views are equal, and have so many orders.
    pub(crate) async fn assert_equal_views(&self, scratch: &Scratch, inbox: &Inbox, orders: usize) {
        let diff = self.diff(scratch, inbox, &[]).await;
        assert_eq!(diff.code, Some(0), "{}{}", diff.stdout, diff.stderr);
        assert!(diff.stdout.starts_with(&format!("orders equal {orders}, different 0,")), "{}", diff.stdout);
    }
}

pub(crate) struct Inbox {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) data: PathBuf,
}

impl Inbox {
    /// An inbox that takes what is signed with this secret, on an empty folder.
    pub(crate) async fn start(scratch: &Scratch, secret: &str) -> Self {
        Inbox::start_logging(scratch, secret, "info").await
    }

    pub(crate) async fn start_logging(scratch: &Scratch, secret: &str, log: &str) -> Self {
        let mut inbox = Inbox::prepare(scratch, secret, None, &[], log);
        inbox.server.start(scratch).await;
        inbox
    }

    /// With this configuration, and with these variables in its environment.
    pub(crate) async fn start_with(
        scratch: &Scratch,
        secret: &str,
        config: &str,
        variables: &[(&'static str, &str)],
    ) -> Self {
        let mut inbox = Inbox::prepare(scratch, secret, Some(config), variables, "info");
        inbox.server.start(scratch).await;
        inbox
    }

    /// One that is not started yet.
    pub(crate) fn prepare(
        scratch: &Scratch,
        secret: &str,
        config: Option<&str>,
        variables: &[(&'static str, &str)],
        log: &str,
    ) -> Self {
        let data = scratch.path("inbox");
        let server = Server::prepare(|address| {
            let mut launch = Launch::hookit(&["inbox", "serve", "--log", log])
                .named("inbox")
                .argument("--data")
                .argument(&data)
                .argument("--listen")
                .argument(address.to_string())
                .variable("KLIKIT_WEBHOOK_SECRET", secret);
            if let Some(config) = config {
                launch = launch.argument("--config").argument(scratch.write("inbox.toml", config));
            }
            variables.iter().fold(launch, |launch, (name, value)| launch.variable(name, *value))
        });
        let client = Client::new(server.url(""), None);
        Inbox { server, client, data }
    }

    /// An inbox that asks this platform for what it missed and moves orders there, with these settings.
    pub(crate) async fn start_asking(
        scratch: &Scratch,
        platform: &Platform,
        partner: &Partner,
        settings: &str,
    ) -> Self {
        let data = scratch.path("inbox");
        let url = platform.server.url("");
        let config = format!("[partner_api]\nurl = \"{url}\"\nallow_http = true\n{settings}");
        let config = scratch.write("inbox.toml", &config);
        let mut server = Server::prepare(|address| {
            Launch::hookit(&["inbox", "serve"])
                .named("inbox")
                .argument("--data")
                .argument(&data)
                .argument("--config")
                .argument(config)
                .argument("--listen")
                .argument(address.to_string())
                .variable("KLIKIT_WEBHOOK_SECRET", &partner.webhook_secret)
                .variable("KLIKIT_PARTNER_KEY", &partner.partner_key)
                .variable("KLIKIT_SECRET_KEY", &partner.secret_key)
                .variable("HOOKIT_INBOX_WRITE_TOKEN", WRITE_TOKEN)
        });
        server.start(scratch).await;
        let client = Client::new(server.url(""), None);
        Inbox { server, client, data }
    }

    pub(crate) fn webhook(&self) -> String {
        self.server.url("/webhooks/klikit")
    }

    /// What came of an order, in the order of arrival: (version, applied).
    pub(crate) async fn history(&self, order_id: i64) -> Vec<(i64, bool)> {
        let history = self.client.get(&format!("/orders/{order_id}/history")).await;
        let entry = |entry: &Value| Some((entry["version"].as_i64()?, entry["applied"].as_bool()?));
        let entries = history["history"].as_array().expect("a history is a list");
        entries.iter().map(|e| entry(e).expect("version and applied")).collect()
    }

    /// Checks that every version of every order took effect once, and that none came after a later one.
    pub(crate) async fn assert_each_version_once(&self, last_versions: impl IntoIterator<Item = (i64, i64)>) {
        for (order_id, last) in last_versions {
            let history = self.history(order_id).await;
            let applied: Vec<i64> = history.iter().filter(|(_, applied)| *applied).map(|(v, _)| *v).collect();
            assert_eq!(applied, (1..=last).collect::<Vec<_>>(), "order {order_id}: {history:?}");
            assert!(history.is_sorted_by_key(|(version, _)| *version), "order {order_id}: {history:?}");
        }
    }
}
