//! Signing in with a token of the inbox, and out again.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use hookit_contract::ErrorCode;
use hookit_server::page::{Door, Led, Query};
use hookit_server::{ApiError, Secret};
use maud::html;

use super::{Holder, SITE, Visit};
use crate::Shared;

pub(super) const SIGN_OUT: &str = "/console/sign-out";

pub(super) const DOOR: Door = Door {
    site: &SITE,
    path: "/console/sign-in",
    token: "Read token, or write token",
    hint: || {
        html! {
            "A read token is in " code { "HOOKIT_INBOX_TOKEN" } " or in the configuration of the inbox; with the write token one may act as well."
        }
    },
};

/// Also for who is signed in: with the write token one may do more.
pub(super) async fn show(Query(led): Query<Led>) -> Response {
    DOOR.page(&DOOR.next(led))
}

pub(super) async fn sign_in(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let now = shared.clock.now();
    let knock = match DOOR.knock(request).await {
        Ok(knock) => knock,
        Err(form) => return form,
    };
    let Some(holder) = holder(&shared, &knock.token) else {
        let error = ApiError::new(ErrorCode::AuthInvalidCredential, "This is not a token of this inbox.");
        return DOOR.refused(&shared.guesses.counted(error, knock.from, now), &knock.next);
    };
    tracing::info!(token = holder.name(), from = ?knock.from, "signed in");
    DOOR.let_in(&shared.sessions, holder, &knock, now)
}

/// Whose token this is. All of them are compared, so that the time does not say which it was.
fn holder(shared: &Shared, token: &Secret) -> Option<Holder> {
    let tokens = shared.config.read_tokens.iter();
    let reader =
        tokens.fold(None, |found, read| if read.secret.matches(token.expose()) { Some(read) } else { found });
    let is_writer = shared.config.write_token.as_ref().is_some_and(|write| write.matches(token.expose()));
    match (is_writer, reader) {
        (true, _) => Some(Holder::Writer),
        (false, Some(reader)) => Some(Holder::Reader(reader.name.as_str().into())),
        (false, None) => None,
    }
}

pub(super) async fn sign_out(State(shared): State<Arc<Shared>>, visit: Visit) -> Response {
    if let Some(session) = &visit.session {
        shared.sessions.end(&session.id);
    }
    DOOR.let_out(&shared.sessions)
}
