//! Who is calling: operators by token, partners by Basic authorization.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookit_contract::{ErrorCode, TokenId};
use hookit_server::{ApiError, RequestId, Secret, bearer, random_hex};
use hookit_store::platform::{Caller, OperatorToken, Partner, Role, Store};
use http::{HeaderMap, Method, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Shared;
use crate::api::{Result, store_error};
use crate::operator::{self, roles};

/// What a 401 of the Partner API asks for. The one of the operator API asks for a Bearer token, as is the rule.
const PARTNER_CHALLENGE: &str = "Basic realm=\"klikit partner API\", charset=\"UTF-8\"";

/// What the description of a call names the credentials by.
pub(crate) const OPERATOR_TOKEN: &str = "operatorToken";
pub(crate) const METRICS_TOKEN: &str = "metricsToken";
pub(crate) const PARTNER_CREDENTIAL: &str = "partnerCredential";

/// What a call of the Partner API refuses with whom it does not know or who may not.
pub(crate) const PARTNER_REFUSALS: [ErrorCode; 4] = [
    ErrorCode::AuthMissing,
    ErrorCode::AuthInvalidCredential,
    ErrorCode::AuthRevoked,
    ErrorCode::AuthForbidden,
];

/// What a call of the operator API refuses with whose token does not do.
pub(crate) const OPERATOR_REFUSALS: [ErrorCode; 4] = [
    ErrorCode::AuthMissing,
    ErrorCode::AuthInvalidCredential,
    ErrorCode::AuthRevoked,
    ErrorCode::AuthForbidden,
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
}

/// The store in the name of the operator that is calling. The layer puts it into the request; whatever an operator does
/// goes through it, so that it is in the audit log.
#[derive(Clone)]
pub(crate) struct Acting(pub(crate) Arc<dyn Store>);

impl Operator {
    /// The operator whose token this is; none where it is nobody's.
    async fn of(shared: &Shared, token: &str) -> Result<Option<Operator>> {
        // What is issued is looked up in any case, so that the time says nothing of the first token.
        let issued = shared.store.token_by_hash(&shared.vault.hash(token)).await.map_err(store_error)?;
        if shared.operator_token.matches(token) {
            return Ok(Some(Operator {
                token_id: TokenId(0),
                name: FIRST_OPERATOR.into(),
                role: Role::Admin,
            }));
        }
        let Some(OperatorToken { token_id, name, role, revoked_at, .. }) = issued else { return Ok(None) };
        if revoked_at.is_some() {
            return Err(ApiError::new(ErrorCode::AuthRevoked, "Authorization: this token was revoked"));
        }
        Ok(Some(Operator { token_id, name: name.into(), role }))
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
    let invalid = || ApiError::new(ErrorCode::AuthInvalidCredential, "Authorization: not an operator token");
    let token = bearer(request.headers()).ok_or_else(missing)?;
    let operator = Operator::of(&shared, token).await?.ok_or_else(invalid)?;
    let below = path.as_str().strip_prefix(operator::PREFIX).unwrap_or_default();
    if !roles::may(operator.role, request.method(), below) {
        let message = format!("Authorization: the role {} may not make this call", operator.role.as_str());
        return Err(ApiError::new(ErrorCode::AuthForbidden, message));
    }
    tracing::debug!(token_id = %operator.token_id, name = %operator.name, "an operator calls");
    let address =
        request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_string());
    let request_id = request.extensions().get::<RequestId>().map(|id| id.as_str().to_owned());
    let caller = Caller {
        token_id: operator.token_id,
        address: address.unwrap_or_default(),
        request_id: request_id.unwrap_or_default(),
        now: shared.clock.now(),
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
        None => Err(ApiError::new(
            ErrorCode::AuthInvalidCredential,
            "Authorization: neither the metrics token nor an operator token",
        )),
    }
}

/// The partner whose credential this request carries, which must have this scope. Key and secret are not told apart,
/// in words or in time.
pub(crate) async fn partner(shared: &Shared, headers: &HeaderMap, scope: Scope) -> Result<Partner> {
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
    let partner = shared.store.partner_by_key(key).await.map_err(store_error)?;
    // An unknown key costs the same comparison as a known one.
    let hash = partner.as_ref().map_or(&[0; 32][..], |partner| &partner.secret_hash[..]);
    let right = shared.vault.is_hash_of(hash, secret);
    let partner = partner.filter(|_| right).ok_or_else(invalid)?;
    if partner.revoked_at.is_some() {
        return Err(ApiError::new(ErrorCode::AuthRevoked, "Authorization: this credential was revoked"));
    }
    if !partner.scopes.iter().any(|s| s == scope.as_str()) {
        let message = format!("Authorization: this credential lacks the scope {}", scope.as_str());
        return Err(ApiError::new(ErrorCode::AuthForbidden, message));
    }
    Ok(partner)
}
