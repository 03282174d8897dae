//! Operator tokens: issued with a name and a role, shown once, revoked at once. The token that the platform was started
//! with is none of them; it is the first admin, and the way back in where all others are lost.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use hookit_contract::{ErrorCode, Timestamp, TokenId};
use hookit_server::routes::{Routes, get, post};
use hookit_server::{Answer, ApiError, Checked, Faults, JsonBody, NoBody, Params, PathId};
use hookit_store::cut;
use hookit_store::platform::{
    self as store, AddToken, NewToken, OperatorToken, TOKENS_MAX, TokenQuery, TokenRevoked,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{OPERATOR_NAME_MAX, PAGE_DEFAULT, PAGE_MAX, check_name};
use crate::Shared;
use crate::api::{Result, store_error};
use crate::credentials::{Acting, FIRST_OPERATOR, new_operator_token};

pub(super) fn routes() -> Routes<Arc<Shared>> {
    Routes::new("Operators")
        .route(
            "/tokens",
            get(list).named(
                "listTokens",
                "Tokens by id, a page at a time, revoked ones among them; never a token itself.",
            ),
        )
        .route(
            "/tokens",
            post(issue)
                .named("issueToken", "A new operator token with a name and a role.")
                .details("The token is shown in this answer and never again.")
                .created()
                .refuses(&[ErrorCode::StateIdempotencyConflict, ErrorCode::StateInvalidTransition]),
        )
        .route(
            "/tokens/{id}/revoke",
            post(revoke)
                .named("revokeToken", "No more calls with this token.")
                .refuses(&[ErrorCode::ResourceNotFound]),
        )
}

#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Admin,
    Support,
    Surface,
}

impl From<store::Role> for Role {
    fn from(role: store::Role) -> Self {
        match role {
            store::Role::Admin => Role::Admin,
            store::Role::Support => Role::Support,
            store::Role::Surface => Role::Surface,
        }
    }
}

impl From<Role> for store::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Admin => store::Role::Admin,
            Role::Support => store::Role::Support,
            Role::Surface => store::Role::Surface,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewToken")]
pub(crate) struct IssueBody {
    /// Whose it is; of the tokens in use no two have one name.
    #[schemars(length(min = 1, max = OPERATOR_NAME_MAX))]
    pub(crate) name: String,
    pub(crate) role: Role,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Token")]
struct Shown<'a> {
    token_id: TokenId,
    name: &'a str,
    role: Role,
    created_at: Timestamp,
    revoked_at: Option<Timestamp>,
    /// Only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

impl<'a> Shown<'a> {
    fn of(token: &'a OperatorToken) -> Self {
        Shown {
            token_id: token.token_id,
            name: &token.name,
            role: token.role.into(),
            created_at: token.created_at,
            revoked_at: token.revoked_at,
            token: None,
        }
    }
}

impl Checked<Arc<Shared>> for IssueBody {
    fn check(&self, _: &Arc<Shared>, faults: &mut Faults) {
        check_name(faults, "name", &self.name, OPERATOR_NAME_MAX);
    }
}

/// Makes an operator token as a right body asks for it, which can be read nowhere from here on.
pub(crate) async fn issued(
    shared: &Shared,
    acting: &dyn store::Store,
    body: IssueBody,
) -> Result<(OperatorToken, Zeroizing<String>)> {
    let name = body.name.trim().to_owned();
    let taken = || {
        let message =
            format!("name: a token of the name {name} is in use; revoke it first, or take another name");
        ApiError::new(ErrorCode::StateIdempotencyConflict, message)
    };
    // In the audit log one could not be told from the other, whatever its case.
    if name.to_lowercase() == FIRST_OPERATOR {
        return Err(taken());
    }
    let secret = new_operator_token();
    let token =
        NewToken { name: name.clone(), role: body.role.into(), token_hash: shared.vault.hash(&secret) };
    match acting.add_token(token, shared.clock.now()).await.map_err(store_error)? {
        AddToken::Added(token) => {
            tracing::info!(token_id = %token.token_id, name, role = token.role.as_str(), "an operator token was issued");
            Ok((token, secret))
        }
        AddToken::NameTaken => Err(taken()),
        AddToken::TooMany => Err(ApiError::new(
            ErrorCode::StateInvalidTransition,
            format!("{TOKENS_MAX} tokens are in use; revoke one of them"),
        )),
    }
}

/// Revokes an operator token: no more calls with it, and its sessions are over.
pub(crate) async fn revoked(shared: &Shared, acting: &dyn store::Store, token_id: TokenId) -> Result<()> {
    match acting.revoke_token(token_id, shared.clock.now()).await.map_err(store_error)? {
        TokenRevoked::Done => tracing::info!(%token_id, "an operator token was revoked"),
        TokenRevoked::Unchanged => {}
        TokenRevoked::NoSuchToken => return Err(ApiError::not_found("there is no such token")),
    }
    Ok(())
}

async fn issue(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(acting)): Extension<Acting>,
    JsonBody(body): JsonBody<IssueBody>,
) -> Result<Answer<Shown<'static>>> {
    let (token, secret) = issued(&shared, &*acting, body).await?;
    Ok(Answer::ok(&Shown { token: Some(&secret), ..Shown::of(&token) }).created())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// The `next_after` of the page before.
    #[schemars(range(min = 1))]
    after: Option<i64>,
    /// Items on the page; 100 where it is left out.
    #[schemars(range(min = 1, max = PAGE_MAX))]
    limit: Option<usize>,
}

impl Checked<Arc<Shared>> for ListParams {}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Tokens")]
struct List<'a> {
    tokens: Vec<Shown<'a>>,
    /// The `after` of the next page; null on the last one.
    next_after: Option<TokenId>,
}

async fn list(
    State(shared): State<Arc<Shared>>,
    Params(params): Params<ListParams>,
) -> Result<Answer<List<'static>>> {
    let limit = params.limit.unwrap_or(PAGE_DEFAULT);
    let query = TokenQuery { after: params.after.map(TokenId), newest_first: false, limit: limit + 1 };
    let mut tokens = shared.store.tokens(query).await.map_err(store_error)?;
    let next_after = cut(&mut tokens, limit).map(|last| last.token_id);
    Ok(Answer::ok(&List { tokens: tokens.iter().map(Shown::of).collect(), next_after }))
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RevokedToken")]
struct Revoked {
    token_id: TokenId,
}

async fn revoke(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(acting)): Extension<Acting>,
    PathId(id): PathId,
    _: NoBody,
) -> Result<Answer<Revoked>> {
    let token_id = TokenId(id);
    revoked(&shared, &*acting, token_id).await?;
    Ok(Answer::ok(&Revoked { token_id }))
}
