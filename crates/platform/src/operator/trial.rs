//! A test of a registration: one signed webhook with an order that does not exist, posted at once, and how it went.
//!
//! It takes the way of every delivery from the signature on, with the same vetting and limits. It is none: it stands in no
//! lane, is not kept, and a hold or a breaker does not stop it, because whoever tests wants to know how it is now.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Extension;
use axum::extract::State;
use bytes::Bytes;
use hookit_contract::{
    AttemptOutcome, BranchId, BrandId, DeliveryId, EndpointId, ErrorCode, EventType, TEST_DELIVERY_PREFIX,
    Timestamp, WebhookId, envelope_bytes,
};
use hookit_server::routes::{Routes, post};
use hookit_server::{Answer, ApiError, NoBody, PathId};
use hookit_store::platform::{Payload, Store, Webhook};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::Shared;
use crate::api::{Result, micros, store_error};
use crate::credentials::Acting;

/// The order of a test. Orders have ids above zero, so no order ever has this one.
const TEST_ORDER_ID: i64 = -1;

/// Brand and branch where the registration takes any.
const ANY: i64 = 1;

pub(super) fn routes() -> Routes<Arc<Shared>> {
    Routes::new("Registrations").route(
        "/webhooks/{id}/test",
        post(test)
            .named("testWebhook", "Posts one signed webhook of a fake order at once, and says how it went.")
            .details("It is no delivery, and goes to an endpoint that is disabled, too.")
            .refuses(&[ErrorCode::ResourceNotFound, ErrorCode::RateLimited]),
    )
}

/// Endpoints that are being tested: one test of each at a time.
#[derive(Debug, Default)]
pub(crate) struct Trials(Mutex<BTreeSet<EndpointId>>);

/// Ends with the test, however that ends.
struct Turn<'a>(&'a Trials, EndpointId);

impl Trials {
    fn begin(&self, endpoint_id: EndpointId) -> Option<Turn<'_>> {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.insert(endpoint_id).then(|| Turn(self, endpoint_id))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "WebhookTest")]
pub(crate) struct Tested {
    pub(crate) webhook_id: WebhookId,
    pub(crate) endpoint_id: EndpointId,
    /// The `x-klikit-event-id` that was sent.
    event_id: String,
    event_type: EventType,
    pub(crate) outcome: AttemptOutcome,
    pub(crate) status: Option<u16>,
    pub(crate) duration_us: u64,
    pub(crate) resolve_us: Option<u64>,
    pub(crate) connect_us: Option<u64>,
    pub(crate) tls_us: Option<u64>,
    pub(crate) first_byte_us: Option<u64>,
    pub(crate) address: Option<String>,
    pub(crate) answer: String,
    pub(crate) error: Option<String>,
}

async fn test(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    PathId(id): PathId,
    _: NoBody,
) -> Result<Answer<Tested>> {
    Ok(Answer::ok(&tested(&shared, &*store, WebhookId(id)).await?))
}

/// Tests a registration.
pub(crate) async fn tested(shared: &Shared, store: &dyn Store, webhook_id: WebhookId) -> Result<Tested> {
    let found = shared.store.webhook_access(webhook_id).await.map_err(store_error)?;
    let access = found.ok_or_else(|| ApiError::not_found("there is no such registration"))?;
    let (webhook, now) = (&access.webhook, shared.clock.now());
    let _turn = shared.trials.begin(webhook.endpoint_id).ok_or_else(|| {
        ApiError::new(ErrorCode::RateLimited, "the endpoint is being tested; try again when that has ended")
            .with_retry_after(1)
    })?;
    store.note_test(webhook.webhook_id).await.map_err(store_error)?;
    let delivery_id = DeliveryId::from(format!("{TEST_DELIVERY_PREFIX}{}", Uuid::now_v7().simple()));
    let payload = Payload {
        delivery_id: delivery_id.clone(),
        event_type: webhook.event_type,
        webhook_id: webhook.webhook_id,
        partner_id: webhook.partner_id.clone(),
        endpoint_id: webhook.endpoint_id,
        url: webhook.url.clone(),
        webhook_secret: access.webhook_secret,
        webhook_secret_next: access.webhook_secret_next,
        basic_auth: access.basic_auth,
        body: body(webhook, now),
        created_at: now,
        is_superseded: false,
    };
    let mut tested = Tested {
        webhook_id: webhook.webhook_id,
        endpoint_id: webhook.endpoint_id,
        event_id: delivery_id.to_string(),
        event_type: webhook.event_type,
        outcome: AttemptOutcome::AddressForbidden,
        status: None,
        duration_us: 0,
        resolve_us: None,
        connect_us: None,
        tls_us: None,
        first_byte_us: None,
        address: None,
        answer: String::new(),
        error: None,
    };
    let attempt;
    match shared.posts.post(payload, now) {
        Ok(post) => {
            attempt = shared.sender.post(post, now).await;
            tested.outcome = attempt.outcome;
            tested.status = attempt.status;
            tested.duration_us = attempt.timings.total.map_or(0, micros);
            tested.resolve_us = attempt.timings.resolve.map(micros);
            tested.connect_us = attempt.timings.connect.map(micros);
            tested.tls_us = attempt.timings.tls.map(micros);
            tested.first_byte_us = attempt.timings.first_byte.map(micros);
            tested.address = attempt.address.map(|address| address.to_string());
            tested.answer = String::from_utf8_lossy(&attempt.answer).into_owned();
            tested.error = attempt.error;
        }
        // As in a delivery: what is not allowed any more is an outcome, not a fault of whoever asks.
        Err(error) => tested.error = Some(error),
    }
    tracing::info!(%webhook_id, outcome = %tested.outcome, "a registration was tested");
    Ok(tested)
}

/// An envelope as the registration gets them, with one order that says of itself that it is none.
fn body(webhook: &Webhook, now: Timestamp) -> Bytes {
    let brand_id = webhook.brand_id.unwrap_or(BrandId(ANY));
    let branch_id = webhook.branch_id.unwrap_or(BranchId(ANY));
    let (status, version) = match webhook.event_type {
        EventType::OrderCreated => (1, 1),
        EventType::OrderStatusUpdated | EventType::OrderCartUpdated => (2, 2),
    };
    let record = json!({
        "id": TEST_ORDER_ID, "external_id": "TEST", "short_id": "TEST", "identity": "TEST", "is_fake": true,
        "branch_id": branch_id, "brands": [{"id": brand_id, "title": "Test"}], "brand_name": "Test",
        "status": status, "version": version, "created_at": now, "updated_at": now,
        "type": 1, "provider_id": 1, "source": "hookit test", "order_comment": "A test of this webhook. Do not prepare.",
        "user_first_name": "Test", "user_last_name": "Test",
        "currency": "USD", "currency_symbol": "$", "payment_status": 3, "payment_method": 2,
        "item_price": 1250, "final_price": 1250, "final_price_display": "12.50", "item_count": 1, "unique_item_count": 1,
        "cart": [{
            "item_id": "test", "title": "Test item", "quantity": 1, "unit_price": 1250, "price": 1250, "comment": "", "groups": [],
        }],
        "cart_v2": [{
            "id": "test", "name": "Test item", "quantity": 1, "unit_price": 1250, "price": 1250, "price_display": "12.50",
            "modifier_groups": [],
        }],
    });
    envelope_bytes(brand_id, branch_id, &[record.to_string()])
}
