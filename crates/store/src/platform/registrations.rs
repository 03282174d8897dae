//! Registrations, and the endpoints that they point at.

use bytes::Bytes;
use hookit_contract::{
    BranchId, BrandId, BusinessId, EndpointId, EventType, PartnerId, Timestamp, WebhookId,
};

use super::{EndpointSettings, Invalid, WebhookSettings};

/// Registrations of the partners of one business, at most: the partners' own list of them has no pages.
pub const WEBHOOKS_MAX: usize = 5_000;

/// A registration to be made or changed. One per (partner, brand, branch, event type).
#[derive(Clone)]
pub struct NewWebhook {
    /// The partner.
    pub partner_id: PartnerId,
    /// The brand; none for any.
    pub brand_id: Option<BrandId>,
    /// The branch; none for any.
    pub branch_id: Option<BranchId>,
    /// The event type.
    pub event_type: EventType,
    /// Where to post. Vetted by the caller.
    pub url: String,
    /// Basic authorization to send along, encrypted. It is the same where the ciphertext is.
    pub basic_auth: Option<Bytes>,
    /// How it is to be served.
    pub settings: WebhookSettings,
}

/// A registration as it stands.
#[derive(Clone)]
pub struct Webhook {
    /// Its id.
    pub webhook_id: WebhookId,
    /// The endpoint: the (partner, URL) it points at.
    pub endpoint_id: EndpointId,
    /// The partner.
    pub partner_id: PartnerId,
    /// The brand; none for any.
    pub brand_id: Option<BrandId>,
    /// The branch; none for any.
    pub branch_id: Option<BranchId>,
    /// The event type.
    pub event_type: EventType,
    /// The URL.
    pub url: String,
    /// True where Basic authorization is sent along.
    pub has_basic_auth: bool,
    /// How it is served.
    pub settings: WebhookSettings,
    /// Why and since when nothing is sent to its endpoint, where that is so.
    pub hold: Option<(HoldReason, Timestamp)>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Which registrations to list, by id, upwards.
#[derive(Clone, Debug)]
pub struct WebhookQuery {
    /// Only those of ids above this one.
    pub after: Option<WebhookId>,
    /// Only those of partners of this business.
    pub business_id: Option<BusinessId>,
    /// Only this partner's.
    pub partner_id: Option<PartnerId>,
    /// Only those that point at this endpoint.
    pub endpoint_id: Option<EndpointId>,
    /// Only those that name this branch.
    pub branch_id: Option<BranchId>,
    /// Only those that name this brand.
    pub brand_id: Option<BrandId>,
    /// At most so many.
    pub limit: usize,
}

impl WebhookQuery {
    /// All of them, the first so many.
    pub fn first(limit: usize) -> Self {
        WebhookQuery {
            after: None,
            business_id: None,
            partner_id: None,
            endpoint_id: None,
            branch_id: None,
            brand_id: None,
            limit,
        }
    }
}

/// A registration with what is needed to post to it.
#[derive(Clone)]
pub struct WebhookAccess {
    /// The registration.
    pub webhook: Webhook,
    /// The partner's webhook secret, encrypted as it was handed in.
    pub webhook_secret: Bytes,
    /// The one that takes its place from a moment on.
    pub webhook_secret_next: Option<(Bytes, Timestamp)>,
    /// The Basic authorization to send along, encrypted as it was handed in.
    pub basic_auth: Option<Bytes>,
}

/// What became of a registration.
#[derive(Clone)]
pub enum PutWebhook {
    /// It is new.
    Created(Webhook),
    /// It was there and is as asked now. `moved_from` names the endpoint that it pointed at before, where the URL
    /// changed: what waited there for this registration waits at the new endpoint now.
    Updated {
        /// The registration.
        webhook: Webhook,
        /// The endpoint before, where it is another one.
        moved_from: Option<EndpointId>,
    },
    /// It stood so already, to the last setting.
    Unchanged(Webhook),
    /// There is no such partner.
    NoSuchPartner,
    /// The brand or branch is not one of the partner's business, whose hierarchy is registered.
    Invalid(Invalid),
    /// It would be new, and the partners of its business have [`WEBHOOKS_MAX`] already.
    TooMany,
}

/// An endpoint as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id.
    pub endpoint_id: EndpointId,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// Where it is.
    pub url: String,
    /// Why and since when nothing is sent to it, where that is so.
    pub hold: Option<(HoldReason, Timestamp)>,
    /// How it is served: what its registrations say, the strictest of each.
    pub settings: EndpointSettings,
}

/// What became of holding an endpoint, or of letting it go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It is as asked now; held for another reason before, it is held for this one since now.
    Done,
    /// It stood so already, and is held since when it was.
    Unchanged,
    /// There is no such endpoint.
    NoSuchEndpoint,
}

/// Why nothing is sent to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldReason {
    /// An operator wants it so.
    Operator,
    /// It answered 410.
    Gone,
}

impl HoldReason {
    /// All reasons.
    pub const ALL: [HoldReason; 2] = [HoldReason::Operator, HoldReason::Gone];

    /// The word for it, in the store and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            HoldReason::Operator => "operator",
            HoldReason::Gone => "gone",
        }
    }
}
