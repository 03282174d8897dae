//! Starts both halves within this process, and registers one with the other, as an operator would.

use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use hookit_contract::EventType;
use hookit_inbox::{InboxConfig, NamedSecret};
use hookit_server::Secret;
use hookit_sim::traffic::World;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use crate::client::{Client, Reply};
use crate::config::{Listen, PlatformFile};
use crate::{inbox, platform};

/// The name of the partner; found again by it in a data folder that was used before.
const PARTNER: &str = "Demo kitchen display";

/// Both halves, at work.
pub(super) struct Halves {
    pub(super) platform: platform::Running,
    pub(super) inbox: inbox::Running,
    /// A client with the operator's token: the ordering surfaces speak through it.
    pub(super) surface: Client,
}

impl Halves {
    pub(super) fn inbox_client(&self) -> anyhow::Result<Client> {
        Client::new(&format!("http://{}", self.inbox.address), None)
    }

    /// Stops the platform first, so that the inbox hears the last deliveries.
    pub(super) async fn stop(self) {
        self.platform.stop().await;
        self.inbox.stop().await;
    }
}

#[derive(Deserialize)]
struct Partners {
    partners: Vec<Partner>,
}

#[derive(Deserialize)]
struct Partner {
    partner_id: String,
    name: String,
}

/// What the partner is known by, and what is shown of it this once.
#[derive(Deserialize)]
struct Issued {
    partner_id: String,
    webhook_secret_key: String,
}

/// The partner of the demo.
pub(super) struct DemoPartner {
    pub(super) partner_id: String,
    pub(super) secret: Secret,
}

fn body(value: &serde_json::Value) -> Bytes {
    Bytes::from(value.to_string())
}

/// Gives the partner a new webhook secret. The old one stops working at once.
pub(super) async fn rotate(operator: &Client, partner_id: &str) -> anyhow::Result<DemoPartner> {
    let path = format!("/v1/operator/partners/{partner_id}/rotate-webhook-secret");
    partner(&operator.call(Method::POST, &path, Bytes::new()).await?)
}

fn partner(reply: &Reply) -> anyhow::Result<DemoPartner> {
    let issued: Issued = reply.data()?;
    Ok(DemoPartner { partner_id: issued.partner_id, secret: Secret::new(issued.webhook_secret_key) })
}

/// Tells the platform whose orders will come, and who is to hear of them.
pub(super) async fn introduce(operator: &Client, seed: u64) -> anyhow::Result<DemoPartner> {
    let world = World::new(seed);
    let brands: Vec<_> = world
        .brands()
        .iter()
        .map(|brand| json!({"id": brand.id, "title": brand.title, "branches": brand.branches}))
        .collect();
    let hierarchy = body(&json!({"name": "Demo business", "brands": brands}));
    operator.call(Method::PUT, &format!("/v1/operator/businesses/{}", World::BUSINESS), hierarchy).await?;

    let known = operator.get("/v1/operator/partners").await?;
    let known = known.data::<Partners>()?.partners.into_iter().find(|p| p.name == PARTNER);
    match known {
        // The secret was shown once, in an earlier run; a new one is the only way to know it.
        Some(known) => rotate(operator, &known.partner_id).await,
        None => {
            let new = body(&json!({"name": PARTNER, "business_id": World::BUSINESS}));
            partner(&operator.call(Method::POST, "/v1/operator/partners", new).await?)
        }
    }
}

/// Registers this address for everything that the partner may hear of. The URL that it has there.
pub(super) async fn register(
    operator: &Client,
    partner_id: &str,
    inbox: SocketAddr,
) -> anyhow::Result<String> {
    let url = format!("http://{inbox}/webhooks/klikit");
    for event_type in EventType::ALL {
        let webhook = body(&json!({
            "partner_id": partner_id,
            "brand_id": null,
            "branch_id": null,
            "event_type": event_type,
            "url": url,
        }));
        operator.call(Method::PUT, "/v1/operator/webhooks", webhook).await?;
    }
    Ok(url)
}

pub(super) async fn start(
    data: &Path,
    platform_listen: SocketAddr,
    inbox_listen: SocketAddr,
    seed: u64,
) -> anyhow::Result<Halves> {
    let parts = PlatformFile::default().resolve(true)?;
    let platform = platform::Running::start(&data.join("platform"), platform_listen, None, parts).await?;
    let operator =
        Client::new(&format!("http://{}", platform.address), Some(platform.operator_token.expose()))?;

    let partner = introduce(&operator, seed).await?;
    let config = InboxConfig::new(vec![NamedSecret { name: "klikit".to_owned(), secret: partner.secret }]);
    let limits = Listen::default().limits(config.body_bytes_max);
    let inbox =
        inbox::Running::start(&data.join("inbox"), inbox_listen, None, config, limits, Vec::new()).await?;
    register(&operator, &partner.partner_id, inbox.address).await?;
    Ok(Halves { platform, inbox, surface: operator })
}
