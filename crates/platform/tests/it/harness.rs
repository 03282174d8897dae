//! A platform on a port of its own, and what an operator and a partner do with it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookit_contract::{Clock, EventType, StatusCodes, Timestamp, WebhookSecret};
use hookit_egress::{AddressPolicy, Egress, EgressConfig};
use hookit_engine::{EngineConfig, RetryPlan};
use hookit_platform::{MetricsAccess, PartnerRates, Platform, PlatformConfig, StartError, Vault};
use hookit_server::{Limits, Secret, SystemClock, Tasks, serve};
use hookit_sim::endpoints::{Received, ScriptedEndpoint};
use hookit_store::sqlite::{PlatformOptions, PlatformStore};
use serde_json::{Value, json};

use crate::http::{Answer, PATIENCE, exchange, head, patiently};
use crate::openapi;

pub(crate) const TOKEN: &str = "op_token_of_the_tests";
pub(crate) const BUSINESS: i64 = 7;

/// The machine's clock, which a test may push forward.
#[derive(Default)]
pub(crate) struct PushedClock(AtomicI64);

impl PushedClock {
    pub(crate) fn push(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for PushedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(SystemClock.now().as_millis() + self.0.load(Ordering::Relaxed))
    }
}

/// How a platform is to be.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) options: PlatformOptions,
    pub(crate) engine: EngineConfig,
    pub(crate) egress: EgressConfig,
    pub(crate) limits: Limits,
    pub(crate) retention: Duration,
    pub(crate) metrics: MetricsAccess,
    pub(crate) rates: PartnerRates,
}

impl Default for Setup {
    /// As in production, but for endpoints on this machine. A failed attempt is made again after an hour, so that
    /// what happens meanwhile depends on nobody's speed.
    fn default() -> Self {
        let mut setup = Setup {
            options: PlatformOptions::default(),
            engine: EngineConfig::default(),
            egress: EgressConfig {
                addresses: AddressPolicy::AllowPrivate,
                https_required: false,
                ..EgressConfig::default()
            },
            limits: Limits::default(),
            retention: hookit_platform::RETENTION,
            metrics: MetricsAccess::default(),
            rates: PartnerRates::default(),
        };
        setup.retry_after(&[HOUR; 3]);
        setup
    }
}

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

impl Setup {
    pub(crate) fn retry_after(&mut self, delays: &[Duration]) {
        self.engine.retry = RetryPlan::new(delays.to_vec()).unwrap();
    }
}

/// A platform that is being served.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) clock: Arc<PushedClock>,
    /// The store, for what cannot be brought about by requests.
    pub(crate) store: Arc<PlatformStore>,
    platform: Platform,
    serving: Tasks,
    /// The data folder, gone with the test; none where the test keeps it.
    dir: Option<tempfile::TempDir>,
}

impl Running {
    pub(crate) async fn start() -> Self {
        Running::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut running = Running::on(dir.path(), setup).await;
        running.dir = Some(dir);
        running
    }

    /// On a data folder that is there.
    pub(crate) async fn on(dir: &Path, setup: Setup) -> Self {
        Running::try_on(dir, setup).await.unwrap()
    }

    pub(crate) async fn try_on(dir: &Path, setup: Setup) -> Result<Self, StartError> {
        Running::try_on_at(dir, setup, Duration::ZERO).await
    }

    /// On a data folder that is there, with a clock that is so far ahead.
    pub(crate) async fn on_at(dir: &Path, setup: Setup, ahead: Duration) -> Self {
        Running::try_on_at(dir, setup, ahead).await.unwrap()
    }

    async fn try_on_at(dir: &Path, setup: Setup, ahead: Duration) -> Result<Self, StartError> {
        let orders_per_delivery_max = setup.options.orders_per_delivery_max;
        let store = Arc::new(PlatformStore::open(dir, setup.options).unwrap());
        let clock = Arc::new(PushedClock::default());
        clock.push(ahead);
        let config = PlatformConfig {
            engine: setup.engine,
            orders_per_delivery_max,
            url_rules: setup.egress.url_rules(),
            operator_token: Secret::new(TOKEN),
            metrics: setup.metrics,
            rates: setup.rates,
            codes: StatusCodes::default(),
            jitter_seed: 1,
            retention: setup.retention,
            stop_timeout: PATIENCE,
        };
        let vault = Vault::open(&dir.join("platform.key")).unwrap();
        let sender = Arc::new(Egress::new(setup.egress).unwrap());
        let platform = Platform::start(config, store.clone(), clock.clone(), vault, sender).await?;
        let serving = Tasks::new();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = serving.stop_signal().clone();
        serving.spawn("listener", serve(listener, platform.router(), setup.limits, stop));
        Ok(Running { address, clock, store, platform, serving, dir: None })
    }

    /// Stops as a platform is stopped, and gives back its data folder.
    pub(crate) async fn stop(self) -> Option<tempfile::TempDir> {
        assert!(self.serving.stop(PATIENCE).await, "the listener did not stop");
        patiently(self.platform.stop()).await;
        self.dir
    }

    /// Sends a request with this `Authorization`, or with none.
    pub(crate) async fn call_as(
        &self,
        authorization: Option<&str>,
        method: &str,
        path: &str,
        body: impl AsRef<[u8]>,
    ) -> Answer {
        let body = body.as_ref();
        let headers: Vec<_> = authorization.map(|value| ("authorization", value)).into_iter().collect();
        let mut request = head(method, path, &headers, Some(body.len()));
        request.extend_from_slice(body);
        let answer = exchange(self.address, request).await;
        // Whatever a test asks for: the document has the answer.
        openapi::assert_documented(method, path, &answer);
        answer
    }

    /// Sends a request as the operator.
    pub(crate) async fn call(&self, method: &str, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.call_as(Some(&operator()), method, path, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, "").await.expect(200)
    }

    /// Tells of brands and where they are sold.
    pub(crate) async fn hierarchy(&self, business: i64, brands: &[(i64, &[i64])]) {
        let brands: Vec<_> = brands
            .iter()
            .map(|(id, branches)| json!({"id": id, "title": "A brand", "branches": branches}))
            .collect();
        let body = json!({"name": "A business", "brands": brands}).to_string();
        self.call("PUT", &format!("/v1/operator/businesses/{business}"), body).await.expect(200);
    }

    /// A new partner with all scopes.
    pub(crate) async fn partner(&self, name: &str, business: i64) -> PartnerAccess {
        let body = json!({"name": name, "business_id": business}).to_string();
        PartnerAccess::of(&self.call("POST", "/v1/operator/partners", body).await.expect(201).data())
    }

    /// A new operator token.
    pub(crate) async fn token(&self, name: &str, role: &str) -> String {
        let body = json!({"name": name, "role": role}).to_string();
        let issued = self.call("POST", "/v1/operator/tokens", body).await.expect(201).data();
        issued["token"].as_str().unwrap().to_owned()
    }

    /// A new partner of [`BUSINESS`] with these scopes alone.
    pub(crate) async fn partner_with(&self, scopes: &[&str]) -> PartnerAccess {
        let body = json!({"name": "Reports", "business_id": BUSINESS, "scopes": scopes}).to_string();
        PartnerAccess::of(&self.call("POST", "/v1/operator/partners", body).await.expect(201).data())
    }

    /// What a partner reads.
    pub(crate) async fn get_as(&self, partner: &PartnerAccess, path: &str) -> Answer {
        self.call_as(Some(&partner.basic()), "GET", path, "").await
    }

    /// What a partner writes under a key, or under none.
    pub(crate) async fn write_as(
        &self,
        partner: &PartnerAccess,
        key: Option<&str>,
        method: &str,
        path: &str,
        body: &str,
    ) -> Answer {
        let authorization = partner.basic();
        let mut headers = vec![("authorization", authorization.as_str())];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        let mut request = head(method, path, &headers, Some(body.len()));
        request.extend_from_slice(body.as_bytes());
        exchange(self.address, request).await
    }

    /// Registers a URL for an event type.
    pub(crate) async fn register(
        &self,
        partner: &PartnerAccess,
        brand: Option<i64>,
        branch: Option<i64>,
        event_type: EventType,
        url: &str,
    ) -> Answer {
        let body = json!({
            "partner_id": partner.id, "brand_id": brand, "branch_id": branch, "event_type": event_type, "url": url,
        });
        self.call("PUT", "/v1/operator/webhooks", body.to_string()).await
    }

    /// Registers a URL for everything.
    pub(crate) async fn register_all(&self, partner: &PartnerAccess, url: &str) {
        for event_type in EventType::ALL {
            self.register(partner, None, None, event_type, url).await.expect(201);
        }
    }

    /// A new partner of [`BUSINESS`] whose URL is registered for everything.
    pub(crate) async fn listener(&self, endpoint: &ScriptedEndpoint) -> PartnerAccess {
        let partner = self.partner("Kitchen display", BUSINESS).await;
        self.register_all(&partner, &endpoint.url()).await;
        partner
    }

    /// A new order; its id.
    pub(crate) async fn order(&self) -> i64 {
        self.create(&order(BUSINESS, 1062, &[663])).await["id"].as_i64().unwrap()
    }

    pub(crate) async fn create(&self, record: &Value) -> Value {
        self.call("POST", "/v1/operator/orders", record.to_string()).await.expect(201).data()
    }

    pub(crate) async fn move_to(&self, order: i64, status: &str) -> Answer {
        let body = json!({"status": status}).to_string();
        self.call("PATCH", &format!("/v1/operator/orders/{order}/status"), body).await
    }

    /// The record as the operator reads it, to the byte.
    pub(crate) async fn record(&self, order: i64) -> String {
        self.get(&format!("/v1/operator/orders/{order}")).await.data_text()
    }

    pub(crate) async fn status(&self) -> Value {
        self.get("/v1/operator/status").await.data()
    }

    /// Deliveries, newest first.
    pub(crate) async fn deliveries(&self, query: &str) -> Vec<Value> {
        let data = self.get(&format!("/v1/operator/deliveries{query}")).await.data();
        data["deliveries"].as_array().unwrap().clone()
    }

    /// A delivery with its attempts.
    pub(crate) async fn delivery(&self, id: &str) -> Value {
        self.get(&format!("/v1/operator/deliveries/{id}")).await.data()
    }

    /// The delivery with that many recorded attempts, as soon as it has them.
    pub(crate) async fn delivery_after_attempts(&self, id: &str, attempts: u64) -> Value {
        patiently(async {
            loop {
                let delivery = self.delivery(id).await;
                if delivery["attempts"].as_u64().unwrap() >= attempts {
                    return delivery;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    /// Returns once the status has this figure.
    pub(crate) async fn until(&self, name: &str, figure: u64) {
        let reached = async {
            while self.status().await[name].as_u64() != Some(figure) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!("{name} did not become {figure}: {}", self.status().await);
        }
    }

    /// Lets the pause before the next attempts be over. The dispatcher sleeps by the machine's clock, so it is woken,
    /// by a registration that no order concerns.
    pub(crate) async fn pass(&self, time: Duration) {
        self.clock.push(time);
        let bystander = self.partner("Bystander", BYSTANDER).await;
        self.register(&bystander, None, None, EventType::OrderCreated, "http://127.0.0.1:9/")
            .await
            .expect(201);
    }

    /// Everything that a refused request must leave as it was.
    pub(crate) async fn snapshot(&self) -> Vec<String> {
        let mut all = vec![];
        for path in ["orders?limit=1000", "partners", "webhooks", "deliveries", "tokens"] {
            all.push(self.get(&format!("/v1/operator/{path}")).await.data_text());
        }
        // What goes on by itself is left out: time, and the looking for something to do, which passes through the queue.
        let mut status = self.status().await;
        for name in ["ticks", "queue", "oldest_pending_age_ms"] {
            status.as_object_mut().unwrap().remove(name);
        }
        for endpoint in status["endpoints"].as_array_mut().unwrap() {
            endpoint.as_object_mut().unwrap().remove("oldest_pending_age_ms");
        }
        all.push(status.to_string());
        for business in [BUSINESS, 8] {
            let answer = self.call("GET", &format!("/v1/operator/businesses/{business}"), "").await;
            all.push(format!("{} {}", answer.status, answer.json()["data"]));
        }
        all
    }
}

/// A business that has no orders.
const BYSTANDER: i64 = 999;

pub(crate) fn operator() -> String {
    bearer(TOKEN)
}

pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// A record with nothing but what it has to have.
pub(crate) fn order(business: i64, branch: i64, brands: &[i64]) -> Value {
    let brands: Vec<_> = brands.iter().map(|id| json!({"id": id, "title": "A brand"})).collect();
    json!({"business_id": business, "branch_id": branch, "brands": brands, "type": 2, "cart": []})
}

/// What a partner was told at its issuance.
#[derive(Clone)]
pub(crate) struct PartnerAccess {
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) secret: String,
    pub(crate) webhook_secret: String,
}

impl PartnerAccess {
    pub(crate) fn of(issued: &Value) -> Self {
        let text =
            |name: &str| issued[name].as_str().unwrap_or_else(|| panic!("no {name}: {issued}")).to_owned();
        PartnerAccess {
            id: text("partner_id"),
            key: text("partner_key"),
            secret: text("secret_key"),
            webhook_secret: text("webhook_secret_key"),
        }
    }

    /// The value of `Authorization` in a call of the Partner API.
    pub(crate) fn basic(&self) -> String {
        basic(&self.key, &self.secret)
    }

    /// Fails where the webhook is not signed for this partner.
    pub(crate) fn verify(&self, webhook: &Received) {
        let secret = WebhookSecret::new(self.webhook_secret.as_bytes());
        assert!(secret.verify(&webhook.body, webhook.signature().as_bytes()).is_ok(), "{webhook:?}");
    }
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The envelope of a webhook.
pub(crate) fn envelope(webhook: &Received) -> Value {
    serde_json::from_slice(&webhook.body).unwrap()
}

/// The order ids in a webhook.
pub(crate) fn ids(webhook: &Received) -> Vec<i64> {
    envelope(webhook)["orders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|order| order["id"].as_i64().unwrap())
        .collect()
}

/// Returns once the endpoint has received so many.
pub(crate) async fn received(endpoint: &ScriptedEndpoint, count: u64) -> Vec<Received> {
    endpoint.wait_for(count, PATIENCE).await.unwrap();
    endpoint.requests()
}
