//! Registrations: which URL gets which events of which brand and branch.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use hookit_contract::{BranchId, BrandId, EndpointId, EventType, PartnerId, Timestamp, WebhookId};
use hookit_egress::EndpointUrl;
use hookit_server::{Answer, ApiError, JsonBody, Object};
use hookit_store::platform::{NewWebhook, PutWebhook, Webhook};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Shared;
use crate::api::{Result, store_error};
use crate::payload::basic_auth_place;

/// Bytes of user and password together.
const BASIC_AUTH_MAX: usize = 1024;

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new().route("/webhooks", get(list).put(put))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutBody {
    partner_id: PartnerId,
    brand_id: Option<i64>,
    branch_id: Option<i64>,
    event_type: EventType,
    url: String,
    basic_auth: Option<Object<BasicAuth>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BasicAuth {
    user: Zeroizing<String>,
    password: Zeroizing<String>,
}

#[derive(Serialize)]
struct Shown<'a> {
    webhook_id: WebhookId,
    endpoint_id: EndpointId,
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
            endpoint_id: webhook.endpoint_id,
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

/// `PUT /v1/operator/webhooks`: one per (partner, brand, branch, event type); 201 where it is new.
async fn put(State(shared): State<Arc<Shared>>, JsonBody(body): JsonBody<PutBody>) -> Result<Answer> {
    for (name, id) in [("brand_id", body.brand_id), ("branch_id", body.branch_id)] {
        if id.is_some_and(|id| id <= 0) {
            return Err(ApiError::invalid(format!("{name}: expected an integer above zero, or null for any")));
        }
    }
    EndpointUrl::parse(&body.url, &shared.url_rules)
        .map_err(|error| ApiError::invalid(format!("url: {error}")))?;
    let basic_auth = match &body.basic_auth {
        Some(Object(auth)) if auth.user.contains(':') => {
            return Err(ApiError::invalid("basic_auth.user: may not contain a colon"));
        }
        Some(Object(auth)) if auth.user.len() + auth.password.len() > BASIC_AUTH_MAX => {
            return Err(ApiError::invalid(format!("basic_auth: user and password together may have at most {BASIC_AUTH_MAX} bytes")));
        }
        Some(Object(auth)) => {
            let pair = Zeroizing::new(format!("{}:{}", *auth.user, *auth.password));
            Some(shared.vault.seal(&basic_auth_place(&body.partner_id), &pair))
        }
        None => None,
    };
    let webhook = NewWebhook {
        partner_id: body.partner_id,
        brand_id: body.brand_id.map(BrandId),
        branch_id: body.branch_id.map(BranchId),
        event_type: body.event_type,
        url: body.url,
        basic_auth,
    };
    match shared.store.put_webhook(webhook, shared.clock.now()).await.map_err(store_error)? {
        PutWebhook::Created(webhook) => Ok(Answer::ok(&Shown::of(&webhook)).created()),
        PutWebhook::Updated { webhook, .. } => Ok(Answer::ok(&Shown::of(&webhook))),
        PutWebhook::NoSuchPartner => Err(ApiError::invalid("partner_id: there is no such partner")),
        PutWebhook::Invalid(invalid) => Err(ApiError::invalid(invalid.to_string())),
    }
}

#[derive(Serialize)]
struct List<'a> {
    webhooks: Vec<Shown<'a>>,
}

/// `GET /v1/operator/webhooks`: all registrations.
async fn list(State(shared): State<Arc<Shared>>) -> Result<Answer> {
    let webhooks = shared.store.webhooks().await.map_err(store_error)?;
    Ok(Answer::ok(&List { webhooks: webhooks.iter().map(Shown::of).collect() }))
}
