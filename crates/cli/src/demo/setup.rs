//! Starts both halves and registers one with the other, as an operator would.

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

use crate::client::Client;
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

#[derive(Deserialize)]
struct Issued {
    partner_id: String,
    webhook_secret_key: String,
}

fn body(value: &serde_json::Value) -> Bytes {
    Bytes::from(value.to_string())
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
    let issued = match known {
        // The secret was shown once, in an earlier run; a new one is the only way to know it.
        Some(partner) => {
            let path = format!("/v1/operator/partners/{}/rotate-webhook-secret", partner.partner_id);
            operator.call(Method::POST, &path, Bytes::new()).await?
        }
        None => {
            let partner = body(&json!({"name": PARTNER, "business_id": World::BUSINESS}));
            operator.call(Method::POST, "/v1/operator/partners", partner).await?
        }
    };
    let issued: Issued = issued.data()?;

    let secret = Secret::new(issued.webhook_secret_key);
    let config = InboxConfig::new(vec![NamedSecret { name: "klikit".to_owned(), secret }]);
    let limits = Listen::default().limits(config.body_bytes_max);
    let inbox =
        inbox::Running::start(&data.join("inbox"), inbox_listen, None, config, limits, Vec::new()).await?;

    for event_type in EventType::ALL {
        let webhook = body(&json!({
            "partner_id": issued.partner_id,
            "brand_id": null,
            "branch_id": null,
            "event_type": event_type,
            "url": format!("http://{}/webhooks/klikit", inbox.address),
        }));
        operator.call(Method::PUT, "/v1/operator/webhooks", webhook).await?;
    }
    Ok(Halves { platform, inbox, surface: operator })
}
