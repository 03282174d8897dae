//! What the workbench sends: realistic events, signed, by the same way as the platform's deliveries.

use std::time::Duration;

use bytes::Bytes;
use hookit_contract::{
    BranchId, BrandId, Changes, Clock as _, EventType, KnownStatus, OrderId, OrderStatus, OwnedFields,
    Record, StatusCodes, Timestamp, WebhookSecret, envelope_bytes, header as klikit,
};
use hookit_egress::{AddressPolicy, Attempt, Egress, EgressConfig, EndpointUrl, Post};
use hookit_server::{Secret, SystemClock, random_hex};
use hookit_sim::traffic::{NewOrder, World, generator};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use rand::rngs::Xoshiro256PlusPlus;

use super::base64;
use crate::exit::{Exit, coded, usage};

/// Ids of made-up orders begin here, and stay within 31 bits: what is wrong with larger ones is asked for by itself.
const ORDER_IDS_FROM: i64 = 1_000_000_000;
const ORDER_IDS: u64 = 1_000_000_000;

/// A batch of more orders is larger than what the platform sends.
pub(super) const ORDERS_MAX: usize = 50;

/// One webhook, without its signature.
#[derive(Clone)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) event_type: String,
    pub(super) body: Bytes,
}

impl Event {
    /// An event with an id of its own.
    pub(super) fn new(event_type: EventType, body: Bytes) -> Self {
        Event { id: random_hex("evt_", 12), event_type: event_type.to_string(), body }
    }

    /// The headers that a webhook has, the signature included.
    pub(super) fn headers(&self, secret: &WebhookSecret) -> anyhow::Result<HeaderMap> {
        let value = |name: &str, text: &str| {
            HeaderValue::from_str(text)
                .map_err(|_| usage(format!("{name}: {text:?} has characters that no header may have")))
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, text) in [
            (klikit::SIGNATURE, secret.sign(&self.body).as_str()),
            (klikit::EVENT_ID, &self.id),
            (klikit::EVENT_TYPE, &self.event_type),
        ] {
            headers.insert(HeaderName::from_static(name), value(name, text)?);
        }
        Ok(headers)
    }
}

/// Makes up orders and events of them.
pub(super) struct Maker {
    world: World,
    dice: Xoshiro256PlusPlus,
    next_id: i64,
}

/// Orders of one branch and brand, as one delivery has them.
pub(super) struct Batch {
    pub(super) brand_id: BrandId,
    pub(super) branch_id: BranchId,
    pub(super) records: Vec<Record>,
}

impl Batch {
    pub(super) fn body(&self) -> Bytes {
        let records: Vec<&Bytes> = self.records.iter().map(Record::bytes).collect();
        envelope_bytes(self.brand_id, self.branch_id, &records)
    }
}

impl Maker {
    /// The same orders for a seed, but for their ids and times.
    pub(super) fn new(seed: u64) -> anyhow::Result<Self> {
        let first = i64::try_from(getrandom::u64()? % ORDER_IDS)?;
        Ok(Maker { world: World::new(seed), dice: generator(seed), next_id: ORDER_IDS_FROM + first })
    }

    /// An id that no order has had yet.
    pub(super) fn next_id(&mut self) -> i64 {
        self.next_id += 1;
        self.next_id
    }

    /// New orders in this status, all of one branch and brand.
    pub(super) fn batch(
        &mut self,
        orders: usize,
        status: OrderStatus,
        now: Timestamp,
    ) -> anyhow::Result<Batch> {
        let first = self.world.order(&mut self.dice, now);
        let (branch_id, brand_id) = (first.branch, first.brands[0]);
        let mut records = vec![self.record(&first, status, now)?];
        while records.len() < orders {
            let order = self.world.order(&mut self.dice, now);
            if order.branch == branch_id && order.brands[0] == brand_id {
                records.push(self.record(&order, status, now)?);
            }
        }
        Ok(Batch { brand_id, branch_id, records })
    }

    fn record(&mut self, order: &NewOrder, status: OrderStatus, now: Timestamp) -> anyhow::Result<Record> {
        let record = Record::parse(order.record.clone())?;
        let owned = OwnedFields {
            id: OrderId(self.next_id()),
            status,
            version: if is_first(status) { 1 } else { 2 },
            created_at: now,
            updated_at: now,
            order_type: record.order_type(),
        };
        let mut changes = Changes::new();
        owned.set(&StatusCodes::default(), &mut changes);
        Ok(record.with(&changes))
    }
}

/// Where orders begin.
fn is_first(status: OrderStatus) -> bool {
    matches!(status, OrderStatus::Known(KnownStatus::Placed | KnownStatus::Scheduled))
}

/// Sends to one receiver, as the platform would.
pub(super) struct Sender {
    egress: Egress,
    pub(super) url: EndpointUrl,
    pub(super) secret: WebhookSecret,
    authorization: Option<HeaderValue>,
}

/// Whom to send to.
#[derive(clap::Args)]
pub(super) struct BasicArgs {
    /// A variable with USER:PASSWORD, for a receiver that asks for Basic authorization too.
    #[arg(long, value_name = "NAME")]
    basic_env: Option<String>,
}

impl Sender {
    pub(super) fn new(url: &str, secret: &Secret, basic: &BasicArgs) -> anyhow::Result<Self> {
        let config = EgressConfig {
            addresses: AddressPolicy::AllowPrivate,
            https_required: false,
            ..EgressConfig::default()
        };
        let url = EndpointUrl::parse(url, &config.url_rules()).map_err(|error| usage(error.to_string()))?;
        let authorization = basic.basic_env.as_deref().map(authorization).transpose()?;
        Ok(Sender {
            egress: Egress::new(config)?,
            url,
            secret: WebhookSecret::new(secret.expose().as_bytes()),
            authorization,
        })
    }

    /// Sends an event as it should be.
    pub(super) async fn send(&self, event: &Event) -> anyhow::Result<Attempt> {
        Ok(self.post(event.headers(&self.secret)?, event.body.clone()).await)
    }

    /// Adds the Basic authorization, where there is one.
    pub(super) fn authorize(&self, headers: &mut HeaderMap) {
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
    }

    /// Sends a body with these headers, and those that have nothing to do with the event.
    pub(super) async fn post(&self, mut headers: HeaderMap, body: Bytes) -> Attempt {
        self.authorize(&mut headers);
        self.egress.post(Post { url: self.url.clone(), headers, body }, SystemClock.now()).await
    }
}

fn authorization(variable: &str) -> anyhow::Result<HeaderValue> {
    let text = std::env::var(variable).map_err(|_| usage(format!("--basic-env: {variable} is not set")))?;
    if !text.contains(':') {
        return Err(usage(format!("--basic-env: {variable}: expected USER:PASSWORD")));
    }
    let mut value = HeaderValue::try_from(format!("Basic {}", base64(text.as_bytes())))
        .map_err(|error| coded(Exit::Failed, error.to_string()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Milliseconds, as people and scripts read them.
pub(super) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100_000.0).round() / 100.0
}
