//! What operators and ordering surfaces ask of the platform, over its own HTTP handlers, in this process.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::middleware;
use hookit_contract::{DeliveryId, PartnerId, Timestamp};
use hookit_server::envelope;
use http::{Method, Request, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower_service::Service as _;

use super::network::Network;
use super::trace::Trace;
use crate::auditor::event::Event;

/// The token that operators show.
pub(super) const OPERATOR_TOKEN: &str = "simulated-operator";

/// The way to the platform in its present life.
#[derive(Clone)]
pub(super) struct Desk {
    router: Router,
    trace: Arc<Trace>,
    network: Arc<Network>,
}

/// A registration to be asked for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) partner_id: PartnerId,
    pub(super) brand: Option<i64>,
    pub(super) branch: Option<i64>,
    pub(super) event_type: &'static str,
    pub(super) coalesce: bool,
    pub(super) unordered: bool,
    pub(super) in_flight_max: Option<usize>,
    pub(super) rate_per_second_max: Option<u32>,
    pub(super) orders_per_delivery_max: Option<usize>,
    pub(super) url: String,
}

impl Desk {
    pub(super) fn new(router: Router, trace: Arc<Trace>, network: Arc<Network>) -> Self {
        Desk { router: router.layer(middleware::from_fn(envelope)), trace, network }
    }

    async fn call(&self, method: Method, path: &str, body: String) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("/v1/operator/{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {OPERATOR_TOKEN}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .expect("the parts of the request are fixed texts and numbers");
        let Ok(answer) = self.router.clone().call(request).await;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Changes an order, and believes a 2xx.
    pub(super) async fn change(self, method: Method, path: String, body: Value) {
        let order = path.split('/').nth(1).and_then(|id| id.parse().ok()).or_else(|| body["id"].as_i64());
        let (is_new, item) = (body["id"].is_i64(), body["cart"][0]["item_id"].as_i64());
        let body = body.to_string();
        let (status, answer) = self.call(method, &path, body).await;
        let record = &answer["data"];
        match (status, record["id"].as_i64(), record["version"].as_i64()) {
            (200 | 201, Some(order), Some(version)) => {
                self.trace.note(&Event::Acknowledged { order, version })
            }
            (503, ..) => {
                self.trace.note(&Event::Refused { order: order.unwrap_or_default(), is_new, item });
            }
            _ => self.trace.remark(&format!("the producer is told {status} of {path}")),
        }
    }

    /// A new partner; none where the platform would not.
    pub(super) async fn add_partner(&self, name: &str, business: i64) -> Option<PartnerId> {
        let body = json!({ "name": name, "business_id": business }).to_string();
        let (status, answer) = self.call(Method::POST, "partners", body).await;
        let partner_id = PartnerId::from(answer["data"]["partner_id"].as_str()?);
        self.network.secret(&partner_id, answer["data"]["webhook_secret_key"].as_str());
        (status == 201).then_some(partner_id)
    }

    pub(super) async fn put_webhook(self, wanted: Wanted) {
        let Wanted { partner_id, brand, branch, event_type, url, .. } = wanted;
        let body = json!({
            "partner_id": partner_id.as_str(), "brand_id": brand, "branch_id": branch, "event_type": event_type,
            "url": url, "coalesce": wanted.coalesce, "ordering": if wanted.unordered { "none" } else { "per_order" },
            "in_flight_max": wanted.in_flight_max, "rate_per_second_max": wanted.rate_per_second_max,
            "orders_per_delivery_max": wanted.orders_per_delivery_max,
        });
        let (status, _) = self.call(Method::PUT, "webhooks", body.to_string()).await;
        self.trace.remark(&format!("the operator is told {status} of {event_type} to {url}"));
    }

    /// Asks for something, and only remarks what is answered.
    pub(super) async fn post(self, path: String, body: String) {
        let (status, _) = self.call(Method::POST, &path, body).await;
        self.trace.remark(&format!("the operator is told {status} of {path}"));
    }

    pub(super) async fn remove_webhook(self, webhook: i64, by: String) {
        let path = format!("webhooks/{webhook}?by={by}");
        self.trace.note(&Event::RemovalAsked { webhook, by });
        let (status, _) = self.call(Method::DELETE, &path, String::new()).await;
        self.trace.remark(&format!("the operator is told {status} of {path}"));
    }

    /// Takes a delivery back; and whoever thinks better of it asks for it again, perhaps while it is still under way.
    pub(super) async fn cancel_delivery(self, delivery_id: DeliveryId, by: String, and_again: bool) {
        let path = format!("deliveries/{delivery_id}/cancel?by={by}");
        self.trace.note(&Event::CancelAsked { delivery_id: delivery_id.as_str().to_owned(), by });
        self.clone().post(path, String::new()).await;
        if and_again {
            self.post(format!("deliveries/{delivery_id}/replay"), String::new()).await;
        }
    }

    /// A secret that signs from a moment of the wall clock on.
    pub(super) async fn stage_webhook_secret(self, partner_id: PartnerId, current_at: Timestamp) {
        let asked = self.network.asked(&partner_id);
        let path = format!("partners/{partner_id}/rotate-webhook-secret");
        let body = json!({ "current_at": current_at }).to_string();
        let (status, answer) = self.call(Method::POST, &path, body).await;
        self.trace.remark(&format!("the operator is told {status} of a secret to come at {current_at}"));
        match (status, answer["data"]["webhook_secret_key"].as_str()) {
            (200, Some(secret)) => self.network.staged(asked, Some((secret, current_at))),
            // There was no room, or the moment had passed.
            (400 | 503, _) => self.network.staged(asked, None),
            _ => self.network.rotated(&asked, None),
        }
    }

    pub(super) async fn rotate_webhook_secret(self, partner_id: PartnerId) {
        let asked = self.network.asked(&partner_id);
        let path = format!("partners/{partner_id}/rotate-webhook-secret");
        let (status, answer) = self.call(Method::POST, &path, String::new()).await;
        self.trace.remark(&format!("the operator is told {status} of a rotation"));
        self.network.rotated(&asked, answer["data"]["webhook_secret_key"].as_str());
    }
}
