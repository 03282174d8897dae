//! Who is calling: operators by token, partners by Basic authorization.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookit_contract::{ErrorCode, TokenId};
use hookit_server::{ApiError, RequestId, Secret, bearer, peer, random_hex};
use hookit_store::platform::{Caller, OperatorToken, Partner, Role, Store};
use http::{HeaderMap, Method, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::api::{Result, store_error};
use crate::operator::{self, roles};
use crate::{Shared, Vault};

/// What a 401 of the Partner API asks for. The one of the operator API asks for a Bearer token, as is the rule.
const PARTNER_CHALLENGE: &str = "Basic realm=\"klikit partner API\", charset=\"UTF-8\"";

/// What the description of a call names the credentials by.
pub(crate) const OPERATOR_TOKEN: &str = "operatorToken";
pub(crate) const METRICS_TOKEN: &str = "metricsToken";
pub(crate) const PARTNER_CREDENTIAL: &str = "partnerCredential";

/// What a call refuses with whom it does not know, who may not, or who asks too often.
pub(crate) const REFUSALS: [ErrorCode; 5] = [
    ErrorCode::AuthMissing,
    ErrorCode::AuthInvalidCredential,
    ErrorCode::AuthRevoked,
    ErrorCode::AuthForbidden,
    ErrorCode::RateLimited,
];

/// What a partner's credential allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Scope {
    /// Read orders.
    #[serde(rename = "orders:read")]
    OrdersRead,
    /// Move orders.
    #[serde(rename = "orders:write")]
    OrdersWrite,
    /// Read registrations, deliveries and events.
    #[serde(rename = "webhooks:read")]
    WebhooksRead,
    /// Have deliveries sent again.
    #[serde(rename = "webhooks:write")]
    WebhooksWrite,
}

impl Scope {
    pub(crate) const ALL: [Scope; 4] =
        [Scope::OrdersRead, Scope::OrdersWrite, Scope::WebhooksRead, Scope::WebhooksWrite];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Scope::OrdersRead => "orders:read",
            Scope::OrdersWrite => "orders:write",
            Scope::WebhooksRead => "webhooks:read",
            Scope::WebhooksWrite => "webhooks:write",
        }
    }
}

/// A new public half of a credential.
pub(crate) fn new_partner_key() -> String {
    random_hex("pk_", 12)
}

/// A new secret half: 256 bits.
pub(crate) fn new_secret_key() -> Zeroizing<String> {
    Zeroizing::new(random_hex("sk_", 32))
}

/// A new webhook secret: 256 bits.
pub(crate) fn new_webhook_secret() -> Zeroizing<String> {
    Zeroizing::new(random_hex("whsec_", 32))
}

/// A new operator token: 256 bits.
pub(crate) fn new_operator_token() -> Zeroizing<String> {
    Zeroizing::new(random_hex("op_", 32))
}

/// The name of whoever has the token that the platform was started with.
pub(crate) const FIRST_OPERATOR: &str = "operator";

/// Who of the operators is calling. The layer puts it into the request.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    /// 0 for the token that the platform was started with.
    pub(crate) token_id: TokenId,
    pub(crate) name: Arc<str>,
    pub(crate) role: Role,
    /// How the token is found again.
    pub(crate) holder: Holder,
}

/// What a session remembers of a token, by which it is looked up anew at each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The token that the platform was started with.
    First,
    /// One that was issued, by its keyed hash.
    Issued(Bytes),
}

/// The store in the name of the operator that is calling. The layer puts it into the request; whatever an operator does
/// goes through it, so that it is in the audit log.
#[derive(Clone)]
pub(crate) struct Acting(pub(crate) Arc<dyn Store>);

impl Operator {
    /// The operator whose token this is; none where it is nobody's.
    pub(crate) async fn of(shared: &Shared, token: &str) -> Result<Option<Operator>> {
        // What is issued is looked up in any case, so that the time says nothing of the first token.
        let hash = shared.vault.hash(token);
        let issued = shared.store.token_by_hash(&hash).await.map_err(store_error)?;
        if shared.operator_token.matches(token) {
            return Ok(Some(Operator::first()));
        }
        match issued {
            Some(OperatorToken { revoked_at: Some(_), .. }) => {
                Err(ApiError::new(ErrorCode::AuthRevoked, "Authorization: this token was revoked"))
            }
            issued => Ok(issued.map(|issued| Operator::issued(issued, hash))),
        }
    }

    /// The operator behind a session, as of now; none where the token was revoked.
    pub(crate) async fn behind(shared: &Shared, holder: &Holder) -> Result<Option<Operator>> {
        let hash = match holder {
            Holder::First => return Ok(Some(Operator::first())),
            Holder::Issued(hash) => hash,
        };
        let issued = shared.store.token_by_hash(hash).await.map_err(store_error)?;
        let valid = issued.filter(|issued| issued.revoked_at.is_none());
        Ok(valid.map(|issued| Operator::issued(issued, hash.clone())))
    }

    fn first() -> Operator {
        let (token_id, name) = (TokenId(0), FIRST_OPERATOR.into());
        Operator { token_id, name, role: Role::Admin, holder: Holder::First }
    }

    fn issued(token: OperatorToken, hash: Bytes) -> Operator {
        let OperatorToken { token_id, name, role, .. } = token;
        Operator { token_id, name: name.into(), role, holder: Holder::Issued(hash) }
    }
}

/// The layer around the operator API: no token, no answer, and none beyond the token's role.
pub(crate) async fn operator_only(
    State(shared): State<Arc<Shared>>,
    path: MatchedPath,
    mut request: Request,
    next: Next,
) -> Result<Response> {
    let missing =
        || ApiError::new(ErrorCode::AuthMissing, "Authorization: expected Bearer and an operator token");
    let (from, now) = (peer(request.extensions()), shared.clock.now());
    let invalid = || {
        let invalid = ApiError::new(ErrorCode::AuthInvalidCredential, "Authorization: not an operator token");
        shared.guesses.counted(invalid, from, now)
    };
    let token = bearer(request.headers()).ok_or_else(missing)?;
    let operator = Operator::of(&shared, token).await?.ok_or_else(invalid)?;
    let below = path.as_str().strip_prefix(operator::PREFIX).unwrap_or_default();
    if !roles::may(operator.role, request.method(), below) {
        let message = format!("Authorization: the role {} may not make this call", operator.role.as_str());
        return Err(ApiError::new(ErrorCode::AuthForbidden, message));
    }
    tracing::debug!(token_id = %operator.token_id, name = %operator.name, "an operator calls");
    let request_id = request.extensions().get::<RequestId>().map(|id| id.as_str().to_owned());
    let caller = Caller {
        token_id: operator.token_id,
        address: from.map(|from| from.to_string()).unwrap_or_default(),
        request_id: request_id.unwrap_or_default(),
        now,
    };
    request.extensions_mut().insert(Acting(shared.store.clone().in_name_of(caller)));
    request.extensions_mut().insert(operator);
    Ok(next.run(request).await)
}

/// Who may read `/metrics`, beside operators who may read the status.
#[derive(Clone, Debug, Default)]
pub struct MetricsAccess {
    /// Anybody, without a token.
    pub is_open: bool,
    /// Whoever has this token, which is good for nothing else.
    pub token: Option<Secret>,
}

/// The layer around the metrics.
pub(crate) async fn metrics_readers_only(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Result<Response> {
    let MetricsAccess { is_open, token: of_metrics } = &shared.metrics;
    if *is_open {
        return Ok(next.run(request).await);
    }
    let Some(token) = bearer(request.headers()) else {
        return Err(ApiError::new(
            ErrorCode::AuthMissing,
            "Authorization: expected Bearer and the metrics token or an operator token",
        ));
    };
    if of_metrics.as_ref().is_some_and(|own| own.matches(token)) {
        return Ok(next.run(request).await);
    }
    match Operator::of(&shared, token).await? {
        Some(operator) if roles::may(operator.role, &Method::GET, "/status") => Ok(next.run(request).await),
        Some(_) => {
            let message = "Authorization: the role of this token may not read figures";
            Err(ApiError::new(ErrorCode::AuthForbidden, message))
        }
        None => {
            let message = "Authorization: neither the metrics token nor an operator token";
            let invalid = ApiError::new(ErrorCode::AuthInvalidCredential, message);
            Err(shared.guesses.counted(invalid, peer(request.extensions()), shared.clock.now()))
        }
    }
}

/// The partner that is calling. The layer puts it into the request.
#[derive(Clone)]
pub(crate) struct CallingPartner(Arc<Partner>);

impl CallingPartner {
    /// Refuses a credential without this scope.
    pub(crate) fn check(&self, scope: Scope) -> Result<()> {
        if !self.0.scopes.iter().any(|s| s == scope.as_str()) {
            let message = format!("Authorization: this credential lacks the scope {}", scope.as_str());
            return Err(ApiError::new(ErrorCode::AuthForbidden, message));
        }
        Ok(())
    }
}

impl std::ops::Deref for CallingPartner {
    type Target = Partner;

    fn deref(&self) -> &Partner {
        &self.0
    }
}

/// The layer around the Partner API: no credential, no answer. Every call with one is counted, and its answer says how the
/// credential stands.
pub(crate) async fn partners_only(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Result<Response> {
    let (from, now) = (peer(request.extensions()), shared.clock.now());
    let partner = partner(&shared, request.headers()).await;
    let partner = partner.map_err(|refusal| shared.guesses.counted(refusal, from, now))?;
    let standing = shared.rates.count(&partner.partner_id, request.method(), now);
    let mut response = match standing.refusal() {
        Some(refusal) => refusal.into_response(),
        None => {
            request.extensions_mut().insert(CallingPartner(Arc::new(partner)));
            next.run(request).await
        }
    };
    response.headers_mut().extend(standing.headers());
    Ok(response)
}

/// The partner whose credential this request carries.
async fn partner(shared: &Shared, headers: &HeaderMap) -> Result<Partner> {
    let refused = |code, message: &str| ApiError::new(code, message).with_challenge(PARTNER_CHALLENGE);
    let missing = || {
        refused(ErrorCode::AuthMissing, "Authorization: expected Basic and base64(partner_key:secret_key)")
    };
    let invalid =
        || refused(ErrorCode::AuthInvalidCredential, "Authorization: not a valid partner_key and secret_key");
    let value = headers.get(header::AUTHORIZATION).ok_or_else(missing)?.to_str().map_err(|_| invalid())?;
    let (scheme, pair) = value.split_once(' ').ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(missing());
    }
    let pair = Zeroizing::new(STANDARD.decode(pair.trim()).map_err(|_| invalid())?);
    let pair = std::str::from_utf8(&pair).map_err(|_| invalid())?;
    let (key, secret) = pair.split_once(':').ok_or_else(invalid)?;

    let found = shared.store.partner_by_key(key).await.map_err(store_error)?;
    let partner = holder(&shared.vault, found, secret).ok_or_else(invalid)?;
    // Only who knows the secret learns that it was revoked, or that there is such a key.
    if partner.revoked_at.is_some() {
        return Err(ApiError::new(ErrorCode::AuthRevoked, "Authorization: this credential was revoked"));
    }
    Ok(partner)
}

/// The partner that was found by its key, where it has this secret. Where none was found the work is the same, so that the time
/// does not tell whether there is such a key.
fn holder(vault: &Vault, found: Option<Partner>, secret: &str) -> Option<Partner> {
    let is_right = vault.is_hash_of(hash_to_compare(found.as_ref()), secret);
    found.filter(|_| is_right)
}

/// A hash of the same length where there is none.
fn hash_to_compare(found: Option<&Partner>) -> &[u8] {
    found.map_or(&[0; 32], |partner| &partner.secret_hash[..])
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use hookit_contract::{BusinessId, PartnerId, Timestamp};

    use super::*;

    #[test]
    fn whether_there_is_such_a_key_costs_the_same_work() {
        let vault = Vault::new(&[7; 32]);
        let partner = Partner {
            partner_id: PartnerId::from("ptn_1".to_owned()),
            name: "Kitchen display".to_owned(),
            business_id: BusinessId(7),
            scopes: vec![],
            partner_key: "pk_1".to_owned(),
            secret_hash: vault.hash("sk_1"),
            webhook_secret: bytes::Bytes::new(),
            webhook_secret_next: None,
            created_at: Timestamp::from_millis(0),
            revoked_at: None,
        };
        for (found, secret, is_right) in [
            (Some(partner.clone()), "sk_1", true),
            (Some(partner.clone()), "sk_2", false),
            (Some(partner), "", false),
            (None, "sk_1", false),
            (None, "", false),
        ] {
            let before = vault.comparisons.load(Ordering::Relaxed);
            // The comparison takes as long as what is compared with, which has the same length either way.
            assert_eq!(hash_to_compare(found.as_ref()).len(), vault.hash(secret).len());
            assert_eq!(holder(&vault, found, secret).is_some(), is_right, "{secret}");
            assert_eq!(vault.comparisons.load(Ordering::Relaxed), before + 1, "{secret}");
        }
    }
}
