//! Signing in with an operator token, and out again.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use hookit_contract::ErrorCode;
use hookit_server::ApiError;
use hookit_server::page::{Door, Knock, Led, Query, see_other};
use hookit_store::platform::Role;
use http::Method;
use maud::html;

use super::{SITE, Visit};
use crate::Shared;
use crate::api::Result;
use crate::credentials::Operator;
use crate::operator::roles;

pub(super) const SIGN_OUT: &str = "/console/sign-out";

pub(super) const DOOR: Door = Door {
    site: &SITE,
    path: "/console/sign-in",
    token: "Operator token",
    hint: || {
        html! {
            "The first operator token is in the environment or the data folder of the platform; an admin issues others."
        }
    },
};

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Query(led): Query<Led>,
    request: Request,
) -> Response {
    let next = DOOR.next(led);
    match shared.sessions.of(request.headers(), shared.clock.now()) {
        Some(_) => see_other(&next),
        None => DOOR.page(&next),
    }
}

pub(super) async fn sign_in(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let now = shared.clock.now();
    let knock = match DOOR.knock(request).await {
        Ok(knock) => knock,
        Err(form) => return form,
    };
    match signed_in(&shared, &knock).await {
        Ok(operator) => {
            let Operator { token_id, name, .. } = &operator;
            tracing::info!(%token_id, %name, from = ?knock.from, "an operator signed in");
            DOOR.let_in(&shared.sessions, operator.holder, &knock, now)
        }
        Err(error) => DOOR.refused(&shared.guesses.counted(error, knock.from, now), &knock.next),
    }
}

/// The operator whose token this is, and who may see pages.
async fn signed_in(shared: &Shared, knock: &Knock) -> Result<Operator> {
    let operator = match Operator::of(shared, knock.token.expose()).await {
        Ok(Some(operator)) => operator,
        Ok(None) => {
            return Err(ApiError::new(ErrorCode::AuthInvalidCredential, "This is not an operator token."));
        }
        Err(error) if error.code() == ErrorCode::AuthRevoked => {
            return Err(ApiError::new(ErrorCode::AuthRevoked, "This token was revoked."));
        }
        Err(error) => return Err(error),
    };
    if !roles::may(operator.role, &Method::GET, "/status") {
        let message = format!("The role {} has no pages to see.", Role::as_str(operator.role));
        return Err(ApiError::new(ErrorCode::AuthForbidden, message));
    }
    Ok(operator)
}

pub(super) async fn sign_out(State(shared): State<Arc<Shared>>, visit: Visit) -> Response {
    shared.sessions.end(&visit.session.id);
    DOOR.let_out(&shared.sessions)
}
