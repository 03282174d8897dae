//! Partners: their credentials and webhook secrets. Each secret is shown once, in the answer that made it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use hookit_contract::{BusinessId, ErrorCode, PartnerId, Timestamp};
use hookit_server::routes::{Routes, get, post};
use hookit_server::{Answer, ApiError, Checked, Faults, JsonBody, NoBody, OptionalBody, Params, PathText};
use hookit_store::cut;
use hookit_store::platform::{Partner, PartnerChange, PartnerChanged, PartnerQuery, Store};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{PAGE_DEFAULT, PAGE_MAX, check_name};
use crate::Shared;
use crate::api::{Result, store_error};
use crate::credentials::{Acting, Scope, new_partner_key, new_secret_key, new_webhook_secret};
use crate::payload::secret_place;

/// Characters of a name.
const NAME_MAX: usize = 200;

pub(super) fn routes() -> Routes<Arc<Shared>> {
    let missing = &[ErrorCode::ResourceNotFound];
    Routes::new("Partners")
        .route(
            "/partners",
            get(list).named("listPartners", "Partners in the order in which they were issued, a page at a time; never a secret."),
        )
        .route(
            "/partners",
            post(issue)
                .named("issuePartner", "A new partner with its credential.")
                .details("The two secrets are shown in this answer and never again.")
                .created(),
        )
        .route(
            "/partners/{id}/rotate-secret",
            post(rotate_secret)
                .named("rotateSecret", "A new `secret_key`; the old one fails at once.")
                .refuses(&[ErrorCode::ResourceNotFound, ErrorCode::StateInvalidTransition]),
        )
        .route(
            "/partners/{id}/rotate-webhook-secret",
            post(rotate_webhook_secret)
                .named("rotateWebhookSecret", "A new `webhook_secret_key`, which signs from now on.")
                .details(
                    "Or from `current_at` on, so that the partner can be given it before. One that was to come is \
                     replaced.",
                )
                .refuses(missing),
        )
        .route(
            "/partners/{id}/revoke",
            post(revoke)
                .named("revokePartner", "No more calls with this credential.")
                .details(
                    "Its registrations stay and webhooks go on being sent, so the webhook secret can be rotated and registrations \
                     can be put as before. To end these too, remove its registrations.",
                )
                .refuses(missing),
        )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewPartner")]
pub(crate) struct IssueBody {
    /// What people call it by.
    #[schemars(length(min = 1, max = NAME_MAX))]
    pub(crate) name: String,
    /// The one business that its credential belongs to.
    #[schemars(range(min = 1))]
    pub(crate) business_id: i64,
    /// All scopes where it is left out.
    #[schemars(length(min = 1))]
    pub(crate) scopes: Option<Vec<Scope>>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Partner")]
struct Shown<'a> {
    partner_id: &'a PartnerId,
    name: &'a str,
    business_id: BusinessId,
    scopes: &'a [String],
    partner_key: &'a str,
    created_at: Timestamp,
    revoked_at: Option<Timestamp>,
    /// When another webhook secret, issued already, begins to sign; null where none is to.
    webhook_secret_next_at: Option<Timestamp>,
    /// Only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_key: Option<&'a str>,
    /// Only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_secret_key: Option<&'a str>,
}

impl<'a> Shown<'a> {
    fn of(partner: &'a Partner, now: Timestamp) -> Self {
        let next_at = partner.webhook_secret_next.as_ref().map(|(_, current_at)| *current_at);
        Shown {
            partner_id: &partner.partner_id,
            name: &partner.name,
            business_id: partner.business_id,
            scopes: &partner.scopes,
            partner_key: &partner.partner_key,
            created_at: partner.created_at,
            revoked_at: partner.revoked_at,
            webhook_secret_next_at: next_at.filter(|at| *at > now),
            secret_key: None,
            webhook_secret_key: None,
        }
    }
}

/// A partner that was just made, with its secrets, which can be read nowhere from here on.
pub(crate) struct Issued {
    pub(crate) partner: Partner,
    pub(crate) secret_key: Zeroizing<String>,
    pub(crate) webhook_secret: Zeroizing<String>,
}

impl Checked<Arc<Shared>> for IssueBody {
    fn check(&self, _: &Arc<Shared>, faults: &mut Faults) {
        check_name(faults, "name", &self.name, NAME_MAX);
        faults.unless(self.business_id > 0, "business_id", "expected an integer above zero");
        let has_scope = self.scopes.as_ref().is_none_or(|scopes| !scopes.is_empty());
        faults.unless(has_scope, "scopes", "expected at least one; leave the field out for all of them");
    }
}

/// Makes a partner with its credential, as a right body asks for it.
pub(crate) async fn issued(shared: &Shared, store: &dyn Store, body: IssueBody) -> Result<Issued> {
    let name = body.name.trim();
    let scopes = body.scopes.unwrap_or_else(|| Scope::ALL.to_vec());
    let partner_id = PartnerId::from(format!("ptn_{}", Uuid::now_v7().simple()));
    let (secret_key, webhook_secret) = (new_secret_key(), new_webhook_secret());
    let mut names: Vec<String> = scopes.iter().map(|s| s.as_str().to_owned()).collect();
    names.sort_unstable();
    names.dedup();
    let partner = Partner {
        name: name.to_owned(),
        business_id: BusinessId(body.business_id),
        scopes: names,
        partner_key: new_partner_key(),
        secret_hash: shared.vault.hash(&secret_key),
        webhook_secret: shared.vault.seal(&secret_place(&partner_id), &webhook_secret),
        webhook_secret_next: None,
        created_at: shared.clock.now(),
        revoked_at: None,
        partner_id,
    };
    store.add_partner(partner.clone()).await.map_err(store_error)?;
    Ok(Issued { partner, secret_key, webhook_secret })
}

async fn issue(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    JsonBody(body): JsonBody<IssueBody>,
) -> Result<Answer<Shown<'static>>> {
    let Issued { partner, secret_key, webhook_secret } = issued(&shared, &*store, body).await?;
    let shown = Shown {
        secret_key: Some(&secret_key),
        webhook_secret_key: Some(&webhook_secret),
        ..Shown::of(&partner, partner.created_at)
    };
    Ok(Answer::ok(&shown).created())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// The `next_after` of the page before.
    after: Option<PartnerId>,
    /// Items on the page; 100 where it is left out.
    #[schemars(range(min = 1, max = PAGE_MAX))]
    limit: Option<usize>,
}

impl Checked<Arc<Shared>> for ListParams {}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Partners")]
struct List<'a> {
    partners: Vec<Shown<'a>>,
    /// The `after` of the next page; null on the last one.
    next_after: Option<PartnerId>,
}

async fn list(
    State(shared): State<Arc<Shared>>,
    Params(params): Params<ListParams>,
) -> Result<Answer<List<'static>>> {
    let limit = params.limit.unwrap_or(PAGE_DEFAULT);
    let query = PartnerQuery { after: params.after, newest_first: false, limit: limit + 1 };
    let mut partners = shared.store.partners(query).await.map_err(store_error)?;
    let next_after = cut(&mut partners, limit).map(|last| last.partner_id.clone());
    let now = shared.clock.now();
    let shown = partners.iter().map(|partner| Shown::of(partner, now)).collect();
    Ok(Answer::ok(&List { partners: shown, next_after }))
}

async fn change(
    shared: &Shared,
    store: &dyn Store,
    partner_id: &PartnerId,
    change: PartnerChange,
) -> Result<()> {
    match store.change_partner(partner_id, change, shared.clock.now()).await.map_err(store_error)? {
        PartnerChanged::Done | PartnerChanged::Unchanged => Ok(()),
        PartnerChanged::Revoked => Err(ApiError::new(
            ErrorCode::StateInvalidTransition,
            "the credential was revoked; a new secret key would not work either",
        )),
        PartnerChanged::NoSuchPartner => Err(ApiError::not_found("there is no such partner")),
    }
}

#[derive(Serialize, JsonSchema)]
struct NewSecret<'a> {
    partner_id: &'a PartnerId,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_secret_key: Option<&'a str>,
    /// From when on it signs; left out where that is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    current_at: Option<Timestamp>,
}

impl<'a> NewSecret<'a> {
    fn none(partner_id: &'a PartnerId) -> Self {
        NewSecret { partner_id, secret_key: None, webhook_secret_key: None, current_at: None }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WebhookSecretRotation")]
pub(crate) struct RotateBody {
    pub(crate) current_at: Option<Timestamp>,
}

impl Checked<Arc<Shared>> for RotateBody {
    fn check(&self, shared: &Arc<Shared>, faults: &mut Faults) {
        let is_to_come = self.current_at.is_none_or(|at| at > shared.clock.now());
        faults.unless(is_to_come, "current_at", "expected a time to come; leave it out for now");
    }
}

/// Gives a partner a new secret key; the old one fails from now on.
pub(crate) async fn secret_rotated(
    shared: &Shared,
    store: &dyn Store,
    partner_id: &PartnerId,
) -> Result<Zeroizing<String>> {
    let secret = new_secret_key();
    let rotated = PartnerChange::RotateSecret { secret_hash: shared.vault.hash(&secret) };
    change(shared, store, partner_id, rotated).await?;
    Ok(secret)
}

/// Gives a partner a new webhook secret, as a right body asks for it: which signs from `current_at` on, or from now.
pub(crate) async fn webhook_secret_rotated(
    shared: &Shared,
    store: &dyn Store,
    partner_id: &PartnerId,
    RotateBody { current_at }: RotateBody,
) -> Result<Zeroizing<String>> {
    let secret = new_webhook_secret();
    let webhook_secret = shared.vault.seal(&secret_place(partner_id), &secret);
    let rotated = match current_at {
        None => PartnerChange::RotateWebhookSecret { webhook_secret },
        Some(current_at) => PartnerChange::StageWebhookSecret { webhook_secret, current_at },
    };
    change(shared, store, partner_id, rotated).await?;
    Ok(secret)
}

/// Revokes a partner's credential: it fails from now on.
pub(crate) async fn revoked(shared: &Shared, store: &dyn Store, partner_id: &PartnerId) -> Result<()> {
    change(shared, store, partner_id, PartnerChange::Revoke).await
}

async fn rotate_secret(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    PathText(id): PathText,
    _: NoBody,
) -> Result<Answer<NewSecret<'static>>> {
    let partner_id = PartnerId::from(id);
    let secret = secret_rotated(&shared, &*store, &partner_id).await?;
    Ok(Answer::ok(&NewSecret { secret_key: Some(&secret), ..NewSecret::none(&partner_id) }))
}

async fn rotate_webhook_secret(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    PathText(id): PathText,
    OptionalBody(body): OptionalBody<RotateBody>,
) -> Result<Answer<NewSecret<'static>>> {
    let body = body.unwrap_or(RotateBody { current_at: None });
    let (partner_id, current_at) = (PartnerId::from(id), body.current_at);
    let secret = webhook_secret_rotated(&shared, &*store, &partner_id, body).await?;
    Ok(Answer::ok(&NewSecret {
        webhook_secret_key: Some(&secret),
        current_at,
        ..NewSecret::none(&partner_id)
    }))
}

async fn revoke(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    PathText(id): PathText,
    _: NoBody,
) -> Result<Answer<NewSecret<'static>>> {
    let partner_id = PartnerId::from(id);
    revoked(&shared, &*store, &partner_id).await?;
    Ok(Answer::ok(&NewSecret::none(&partner_id)))
}
