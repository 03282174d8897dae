//! Registrations: which URL gets which events of which brand and branch.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use bytes::Bytes;
use hookit_contract::{BranchId, BrandId, EndpointId, ErrorCode, EventType, PartnerId, Timestamp, WebhookId};
use hookit_egress::{EndpointUrl, URL_BYTES_MAX};
use hookit_server::routes::{Routes, delete, get, post, put};
use hookit_server::{Answer, ApiError, Checked, Fault, Faults, JsonBody, NoBody, Object, Params, PathId};
use hookit_store::cut;
use hookit_store::platform::{
    self as store, EndpointSettings, Held, HoldReason, NewWebhook, PutWebhook, Store, WEBHOOKS_MAX, Webhook,
    WebhookQuery, WebhookSettings,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{By, PAGE_DEFAULT, PAGE_MAX};
use crate::Shared;
use crate::api::{self, Result, store_error};
use crate::credentials::{Acting, Operator};
use crate::payload::basic_auth_place;

/// Bytes of user and password together.
const BASIC_AUTH_MAX: usize = 1024;

/// Attempts in a second that a registration can be limited to at most; who wants more wants no limit.
const RATE_MAX: usize = 100_000;

pub(super) fn routes() -> Routes<Arc<Shared>> {
    let missing = &[ErrorCode::ResourceNotFound];
    Routes::new("Registrations")
        .route("/webhooks", get(list).named("listWebhooks", "Registrations by id, a page at a time."))
        .route(
            "/webhooks",
            put(register)
                .named("putWebhook", "Registers a URL: one per partner, brand, branch and event type.")
                .details(
                    "A registration that is there already is changed. The partners of one business may have 5000 of them.",
                )
                .created_or_not()
                .refuses(&[ErrorCode::StateInvalidTransition]),
        )
        .route(
            "/webhooks/{id}",
            delete(remove)
                .named("removeWebhook", "Removes a registration; what waits for it is cancelled.")
                .details(
                    "Nothing is made or sent for it from now on. A registration that is put again afterwards is a new one.",
                )
                .refuses(missing),
        )
        .route(
            "/webhooks/{id}/disable",
            post(disable)
                .named("disableWebhook", "Sends nothing to the registration's endpoint; what is for it waits.")
                .details(
                    "The endpoint is the partner's URL, so this concerns all of the partner's registrations with that \
                     URL: order per order holds among them, and what waits for one may not be overtaken by another.",
                )
                .refuses(missing),
        )
        .route(
            "/webhooks/{id}/enable",
            post(enable)
                .named("enableWebhook", "Sends what waits, in order per order.")
                .refuses(missing),
        )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WebhookRegistration")]
struct PutBody {
    partner_id: PartnerId,
    /// Null for any.
    #[schemars(range(min = 1))]
    brand_id: Option<i64>,
    /// Null for any.
    #[schemars(range(min = 1))]
    branch_id: Option<i64>,
    event_type: EventType,
    /// Public, and https, unless the installation allows others.
    #[schemars(length(min = 1, max = URL_BYTES_MAX))]
    url: String,
    /// Sent with each webhook, for a receiver that asks for more than the signature.
    basic_auth: Option<Object<BasicAuth>>,
    /// `none`: no delivery waits for another of its order. `per_order` where it is left out.
    ordering: Option<Ordering>,
    /// Attempts under way to this URL; at most as many as the installation makes.
    #[schemars(range(min = 1))]
    in_flight_max: Option<u32>,
    /// Attempts that begin in a second.
    #[schemars(range(min = 1, max = RATE_MAX))]
    rate_per_second_max: Option<u32>,
    /// Orders in one delivery; at most as many as the installation puts in one.
    #[schemars(range(min = 1))]
    orders_per_delivery_max: Option<u32>,
    /// Of an order's deliveries that wait, only the newest is sent.
    #[serde(default)]
    coalesce: bool,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Ordering {
    #[default]
    PerOrder,
    None,
}

impl From<store::Ordering> for Ordering {
    fn from(ordering: store::Ordering) -> Self {
        match ordering {
            store::Ordering::PerOrder => Ordering::PerOrder,
            store::Ordering::None => Ordering::None,
        }
    }
}

impl Checked<Arc<Shared>> for PutBody {
    fn check(&self, shared: &Arc<Shared>, faults: &mut Faults) {
        for (name, id) in [("brand_id", self.brand_id), ("branch_id", self.branch_id)] {
            let message = "expected an integer above zero, or null for any";
            faults.unless(id.is_none_or(|id| id > 0), name, message);
        }
        faults.of(self.endpoint_url(shared));
        if let Some(Object(auth)) = &self.basic_auth {
            faults.unless(!auth.user.contains(':'), "basic_auth.user", "may not contain a colon");
            let message = format!("user and password together may have at most {BASIC_AUTH_MAX} bytes");
            faults.unless(auth.user.len() + auth.password.len() <= BASIC_AUTH_MAX, "basic_auth", message);
        }
        // Each bound is one that the installation could keep to.
        for (name, asked, max) in [
            ("in_flight_max", self.in_flight_max, shared.in_flight_max),
            ("rate_per_second_max", self.rate_per_second_max, RATE_MAX),
            ("orders_per_delivery_max", self.orders_per_delivery_max, shared.orders_per_delivery_max),
        ] {
            let fits = |asked: u32| usize::try_from(asked).is_ok_and(|asked| (1..=max).contains(&asked));
            let message = || format!("expected 1 to {max}, or null for no own limit");
            faults.unless(asked.is_none_or(fits), name, message());
        }
    }

    async fn look_up(&self, shared: &Arc<Shared>, faults: &mut Faults) {
        match shared.store.partner(&self.partner_id).await {
            Ok(Some(partner)) => {
                let is_id = |id: &i64| *id > 0;
                let brand_id = self.brand_id.filter(is_id).map(BrandId);
                let branch_id = self.branch_id.filter(is_id).map(BranchId);
                let objection = shared.store.objection_to_webhook(partner.business_id, brand_id, branch_id);
                faults.of(objection.map_or(Ok(()), |invalid| Err(api::fault(&invalid))));
            }
            Ok(None) => drop(faults.of::<()>(Err(no_such_partner()))),
            // The log has it.
            Err(_) => {}
        }
    }
}

impl PutBody {
    fn endpoint_url(&self, shared: &Shared) -> std::result::Result<EndpointUrl, Fault> {
        EndpointUrl::parse(&self.url, &shared.url_rules).map_err(|error| Fault::new("url", error.to_string()))
    }

    /// How the registration is to be served.
    fn settings(&self) -> WebhookSettings {
        WebhookSettings {
            endpoint: EndpointSettings {
                ordering: match self.ordering.unwrap_or_default() {
                    Ordering::PerOrder => store::Ordering::PerOrder,
                    Ordering::None => store::Ordering::None,
                },
                in_flight_max: self.in_flight_max,
                rate_per_second_max: self.rate_per_second_max,
            },
            orders_per_delivery_max: self.orders_per_delivery_max,
            coalesce: self.coalesce,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BasicAuth {
    #[schemars(with = "String")]
    user: Zeroizing<String>,
    #[schemars(with = "String")]
    password: Zeroizing<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Webhook")]
struct Shown<'a> {
    webhook_id: WebhookId,
    endpoint_id: EndpointId,
    partner_id: &'a PartnerId,
    brand_id: Option<BrandId>,
    branch_id: Option<BranchId>,
    event_type: EventType,
    url: &'a str,
    basic_auth: bool,
    ordering: Ordering,
    in_flight_max: Option<u32>,
    rate_per_second_max: Option<u32>,
    orders_per_delivery_max: Option<u32>,
    coalesce: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// Why and since when nothing is sent to its endpoint; null while deliveries flow.
    hold: Option<Hold>,
}

#[derive(Serialize, JsonSchema)]
struct Hold {
    reason: &'static str,
    since: Timestamp,
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
            ordering: webhook.settings.endpoint.ordering.into(),
            in_flight_max: webhook.settings.endpoint.in_flight_max,
            rate_per_second_max: webhook.settings.endpoint.rate_per_second_max,
            orders_per_delivery_max: webhook.settings.orders_per_delivery_max,
            coalesce: webhook.settings.coalesce,
            created_at: webhook.created_at,
            updated_at: webhook.updated_at,
            hold: webhook.hold.map(|(reason, since)| Hold { reason: reason.as_str(), since }),
        }
    }
}

async fn register(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    JsonBody(body): JsonBody<PutBody>,
) -> Result<Answer<Shown<'static>>> {
    let (url, settings) = (body.endpoint_url(&shared)?, body.settings());
    let basic_auth = sealed(&shared, &body).await?;
    let webhook = NewWebhook {
        partner_id: body.partner_id,
        brand_id: body.brand_id.map(BrandId),
        branch_id: body.branch_id.map(BranchId),
        event_type: body.event_type,
        // As it was understood, not as it was spelt: two spellings of one URL would be two endpoints, and order per
        // order holds within one.
        url: url.as_str().to_owned(),
        basic_auth,
        settings,
    };
    match store.put_webhook(webhook, shared.clock.now()).await.map_err(store_error)? {
        PutWebhook::Created(webhook) => Ok(Answer::ok(&Shown::of(&webhook)).created()),
        PutWebhook::Updated { webhook, .. } | PutWebhook::Unchanged(webhook) => {
            Ok(Answer::ok(&Shown::of(&webhook)))
        }
        PutWebhook::NoSuchPartner => Err(no_such_partner().into()),
        PutWebhook::Invalid(invalid) => Err(api::fault(&invalid).into()),
        PutWebhook::TooMany => Err(ApiError::new(
            ErrorCode::StateInvalidTransition,
            format!(
                "the partners of this business have {WEBHOOKS_MAX} registrations; remove one of them, or register for any brand or branch"
            ),
        )),
    }
}

/// The Basic authorization of a registration, encrypted. One that is kept already with the same is given back as it is kept, so that
/// the store can tell what is put again as it stands: no two ciphertexts of one text are alike.
async fn sealed(shared: &Shared, body: &PutBody) -> Result<Option<Bytes>> {
    let Some(Object(BasicAuth { user, password })) = &body.basic_auth else { return Ok(None) };
    let pair = Zeroizing::new(format!("{}:{}", **user, **password));
    let place = basic_auth_place(&body.partner_id);
    let (brand_id, branch_id) = (body.brand_id.map(BrandId), body.branch_id.map(BranchId));
    // One partner has no more than a business may.
    let own = WebhookQuery {
        partner_id: Some(body.partner_id.clone()),
        brand_id,
        branch_id,
        ..WebhookQuery::first(usize::MAX)
    };
    let webhooks = shared.store.webhooks(own).await.map_err(store_error)?;
    let tuple = (brand_id, branch_id, body.event_type);
    let present = webhooks.iter().find(|w| (w.brand_id, w.branch_id, w.event_type) == tuple);
    if let Some(webhook) = present
        && let Some(access) = shared.store.webhook_access(webhook.webhook_id).await.map_err(store_error)?
        && let Some(kept) = access.basic_auth
        && shared.vault.open_sealed(&place, &kept).is_some_and(|text| *text == pair.as_bytes())
    {
        return Ok(Some(kept));
    }
    Ok(Some(shared.vault.seal(&place, &pair)))
}

async fn disable(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    PathId(id): PathId,
    _: NoBody,
) -> Result<Answer<Shown<'static>>> {
    hold(&shared, &*store, id, Some(HoldReason::Operator)).await
}

async fn enable(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    PathId(id): PathId,
    _: NoBody,
) -> Result<Answer<Shown<'static>>> {
    hold(&shared, &*store, id, None).await
}

async fn hold(
    shared: &Shared,
    store: &dyn Store,
    id: i64,
    hold: Option<HoldReason>,
) -> Result<Answer<Shown<'static>>> {
    let webhook = present(shared, id).await?;
    let now = shared.clock.now();
    match store.hold_endpoint(webhook.endpoint_id, hold, now).await.map_err(store_error)? {
        Held::Done | Held::Unchanged => Ok(Answer::ok(&Shown::of(&present(shared, id).await?))),
        Held::NoSuchEndpoint => Err(no_such_webhook()),
    }
}

fn no_such_partner() -> Fault {
    Fault::new("partner_id", "there is no such partner")
}

fn no_such_webhook() -> ApiError {
    ApiError::not_found("there is no such registration")
}

/// A registration as it stands.
async fn present(shared: &Shared, id: i64) -> Result<Webhook> {
    let found = shared.store.webhook_access(WebhookId(id)).await.map_err(store_error)?;
    found.map(|access| access.webhook).ok_or_else(no_such_webhook)
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RemovedWebhook")]
struct Removed {
    webhook_id: WebhookId,
    removed_by: String,
}

async fn remove(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    PathId(id): PathId,
    Extension(operator): Extension<Operator>,
    Params(by): Params<By>,
    _: NoBody,
) -> Result<Answer<Removed>> {
    let (webhook_id, by) = (WebhookId(id), by.name(&operator));
    if !store.remove_webhook(webhook_id, &by, shared.clock.now()).await.map_err(store_error)? {
        return Err(no_such_webhook());
    }
    shared.webhook_removed.notify_one();
    tracing::info!(%webhook_id, by, "a registration was removed");
    Ok(Answer::ok(&Removed { webhook_id, removed_by: by }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// Only this partner's.
    partner_id: Option<PartnerId>,
    /// The `next_after` of the page before.
    #[schemars(range(min = 1))]
    after: Option<i64>,
    /// Items on the page; 100 where it is left out.
    #[schemars(range(min = 1, max = PAGE_MAX))]
    limit: Option<usize>,
}

impl Checked<Arc<Shared>> for ListParams {}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Webhooks")]
struct List<'a> {
    webhooks: Vec<Shown<'a>>,
    /// The `after` of the next page; null on the last one.
    next_after: Option<WebhookId>,
}

async fn list(
    State(shared): State<Arc<Shared>>,
    Params(params): Params<ListParams>,
) -> Result<Answer<List<'static>>> {
    let limit = params.limit.unwrap_or(PAGE_DEFAULT);
    let query = WebhookQuery {
        after: params.after.map(WebhookId),
        partner_id: params.partner_id,
        ..WebhookQuery::first(limit + 1)
    };
    let mut webhooks = shared.store.webhooks(query).await.map_err(store_error)?;
    let next_after = cut(&mut webhooks, limit).map(|last| last.webhook_id);
    Ok(Answer::ok(&List { webhooks: webhooks.iter().map(Shown::of).collect(), next_after }))
}
