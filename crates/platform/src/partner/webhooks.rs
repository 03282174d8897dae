//! Registrations, as a partner sees them: which URL of its business gets which events.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use hookit_contract::{BranchId, BrandId, EventType, PartnerId, Timestamp, WebhookId};
use hookit_server::Answer;
use hookit_server::routes::{Routes, get};
use hookit_store::platform::{Webhook, WebhookQuery};
use schemars::JsonSchema;
use serde::Serialize;

use crate::Shared;
use crate::api::{Result, store_error};
use crate::credentials::{CallingPartner, Scope};

pub(super) fn routes() -> Routes<Arc<Shared>> {
    Routes::new(super::GROUP).route(
        "/webhooks",
        super::scoped(get(list), Scope::WebhooksRead)
            .named("listOwnWebhooks", "The URLs registered for the credential's business."),
    )
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OwnWebhook")]
struct Shown<'a> {
    webhook_id: WebhookId,
    partner_id: &'a PartnerId,
    brand_id: Option<BrandId>,
    branch_id: Option<BranchId>,
    event_type: EventType,
    url: &'a str,
    basic_auth: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl<'a> Shown<'a> {
    fn of(webhook: &'a Webhook) -> Self {
        Shown {
            webhook_id: webhook.webhook_id,
            partner_id: &webhook.partner_id,
            brand_id: webhook.brand_id,
            branch_id: webhook.branch_id,
            event_type: webhook.event_type,
            url: &webhook.url,
            basic_auth: webhook.has_basic_auth,
            created_at: webhook.created_at,
            updated_at: webhook.updated_at,
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OwnWebhooks")]
struct List<'a> {
    webhooks: Vec<Shown<'a>>,
}

async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<CallingPartner>,
) -> Result<Answer<List<'static>>> {
    // The published call has no pages. No more are registered than these; some may be there from before that was so.
    let query = WebhookQuery { business_id: Some(caller.business_id), ..WebhookQuery::first(usize::MAX) };
    let webhooks = shared.store.webhooks(query).await.map_err(store_error)?;
    Ok(Answer::ok(&List { webhooks: webhooks.iter().map(Shown::of).collect() }))
}
