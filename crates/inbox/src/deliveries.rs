//! Deliveries as they are kept: what came, byte for byte, with its headers and what the inbox made of its envelope.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use hookit_contract::{BranchId, BrandId, DeliveryId, ErrorCode, Timestamp};
use hookit_server::routes::{Routes, get};
use hookit_server::{Answer, ApiError, PathText};
use schemars::JsonSchema;
use serde::Serialize;

use crate::Shared;
use crate::quarantine::legible;
use crate::read::failed;

pub(crate) fn shown() -> Routes<Arc<Shared>> {
    Routes::new("Deliveries").route(
        "/deliveries/{id}",
        get(one)
            .named("getDelivery", "A delivery as it came, byte for byte, as long as it is kept.")
            .details("The signature among its headers is that of these bytes, however they are kept.")
            .refuses(&[ErrorCode::ResourceNotFound]),
    )
}

/// A delivery: its body as `text` where it is text, else as `base64`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Delivery")]
struct Shown<'a> {
    delivery_id: &'a DeliveryId,
    event_type: Option<&'a str>,
    /// `webhook`, or `reconcile` where it had to be asked for.
    source: &'static str,
    /// The name of the secret that it was signed with.
    secret: Option<&'a str>,
    brand_id: Option<BrandId>,
    branch_id: Option<BranchId>,
    received_at: Timestamp,
    /// Those that are kept, by their names in lowercase.
    headers: BTreeMap<&'a str, &'a str>,
    body_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

async fn one(
    State(inbox): State<Arc<Shared>>,
    PathText(id): PathText,
) -> Result<Answer<Shown<'static>>, ApiError> {
    let found = inbox.store.delivery(&DeliveryId::from(id)).await.map_err(failed)?;
    let kept = found.ok_or_else(|| ApiError::not_found("no delivery of this id is kept"))?;
    let (text, base64) = legible(&kept.body);
    Ok(Answer::ok(&Shown {
        delivery_id: &kept.delivery_id,
        event_type: kept.event_type.as_deref(),
        source: kept.source.as_str(),
        secret: kept.secret.as_deref(),
        brand_id: kept.brand_id,
        branch_id: kept.branch_id,
        received_at: kept.received_at,
        headers: kept.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        body_bytes: kept.body.len(),
        text,
        base64,
    }))
}
