//! Signing in with an operator token, and out again.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequest as _, Request, State};
use axum::response::{IntoResponse as _, Response};
use hookit_contract::ErrorCode;
use hookit_server::page::{Form, Frame, Tone, check_form, field, note, see_other};
use hookit_server::{ApiError, IsSecure, Params, Secret};
use hookit_store::platform::Role;
use http::{HeaderValue, Method, StatusCode, Uri, header};
use maud::html;
use serde::Deserialize;

use super::{HOME, SITE, Visit};
use crate::Shared;
use crate::api::Result;
use crate::credentials::Operator;
use crate::operator::roles;

pub(super) const SIGN_IN: &str = "/console/sign-in";
pub(super) const SIGN_OUT: &str = "/console/sign-out";

/// Sends whoever is not signed in to the page for that, and afterwards back.
pub(super) fn led_to(request: &Request) -> Response {
    // What a form would have done is not done later by itself.
    let wanted = match *request.method() {
        Method::GET => request.uri().path_and_query().map_or(HOME, |path| path.as_str()),
        _ => HOME,
    };
    if wanted == HOME {
        return see_other(SIGN_IN);
    }
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", wanted).finish();
    see_other(&format!("{SIGN_IN}?{query}"))
}

#[derive(Deserialize)]
pub(super) struct Led {
    next: Option<String>,
}

#[derive(Deserialize)]
struct Given {
    token: Option<String>,
    next: Option<String>,
}

/// Where to go after signing in: a page of the console, and nowhere else, whatever a link said.
fn checked_next(next: Option<String>) -> String {
    let is_ours = |next: &String| {
        next.starts_with(HOME) && next.parse::<Uri>().is_ok_and(|uri| uri.authority().is_none())
    };
    next.filter(is_ours).unwrap_or_else(|| HOME.to_owned())
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Params(Led { next }): Params<Led>,
    request: Request,
) -> Response {
    let next = checked_next(next);
    match shared.sessions.of(request.headers(), shared.clock.now()) {
        Some(_) => see_other(&next),
        None => form(StatusCode::OK, None, &next),
    }
}

fn form(status: StatusCode, wrong: Option<&str>, next: &str) -> Response {
    let input = html! {
        input id="token" name="token" type="password" autocomplete="current-password" required autofocus
            spellcheck="false" aria-invalid=[wrong.map(|_| "true")];
    };
    let content = html! {
        @if let Some(wrong) = wrong { (note(Tone::Bad, &html! { (wrong) })) }
        form.stacked action=(SIGN_IN) method="post" {
            input type="hidden" name="next" value=(next);
            (field("token", "Operator token", &input))
            div { button.primary type="submit" { "Sign in" } }
        }
        p.quiet.small { "The first operator token is in the environment or the data folder of the platform; an admin issues others." }
    };
    let frame =
        Frame { site: &SITE, title: "Sign in", path: SIGN_IN, sections: &[], signed_in: None, searched: "" };
    frame.page(status, html! { div.panel.sign-in { (content) } })
}

pub(super) async fn sign_in(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let is_secure = request.extensions().get::<IsSecure>().is_some_and(|IsSecure(is_secure)| *is_secure)
        // A proxy that says so may be believed: it makes the cookie stricter.
        || request.headers().get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let from = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let given = async {
        let request = check_form::<()>(request, None).await?;
        Form::from_request(request, &()).await
    };
    let Given { token, next } = match given.await {
        Ok(Form(given)) => given,
        Err(error) => return refused(&error, HOME),
    };
    let (token, next) = (Secret::new(token.unwrap_or_default().trim()), checked_next(next));
    match signed_in(&shared, &token, from).await {
        Ok(operator) => {
            let session = shared.sessions.begin(operator.holder, shared.clock.now());
            tracing::info!(token_id = %operator.token_id, name = %operator.name, %from, "an operator signed in");
            let mut response = see_other(&next);
            let cookie = shared.sessions.cookie(&session.id, is_secure);
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            response
        }
        Err(error) => refused(&error, &next),
    }
}

/// The operator whose token this is, and who may see pages.
async fn signed_in(shared: &Shared, token: &Secret, from: IpAddr) -> Result<Operator> {
    let now = shared.clock.now();
    if let Some(seconds) = shared.sign_ins.closed_for(from, None, now) {
        let message = "Too many wrong tokens came from this address within a minute; try again later.";
        return Err(ApiError::new(ErrorCode::RateLimited, message).with_retry_after(seconds));
    }
    let wrong = |message| {
        shared.sign_ins.wrong(from, None, now);
        ApiError::new(ErrorCode::AuthInvalidCredential, message)
    };
    let found = Operator::of(shared, token.expose()).await;
    let operator = match found {
        Ok(Some(operator)) => operator,
        Ok(None) => return Err(wrong("This is not an operator token.")),
        Err(error) if error.code() == ErrorCode::AuthRevoked => return Err(wrong("This token was revoked.")),
        Err(error) => return Err(error),
    };
    if !roles::may(operator.role, &Method::GET, "/status") {
        let message = format!("The role {} has no pages to see.", Role::as_str(operator.role));
        return Err(ApiError::new(ErrorCode::AuthForbidden, message));
    }
    Ok(operator)
}

fn refused(error: &ApiError, next: &str) -> Response {
    let response = error.clone().into_response();
    // A 401 would have to name a scheme, and browsers would ask for a password by themselves.
    let status = match response.status() {
        StatusCode::UNAUTHORIZED => StatusCode::FORBIDDEN,
        status => status,
    };
    let mut page = form(status, Some(error.message()), next);
    let retry_after: Option<&HeaderValue> = response.headers().get(header::RETRY_AFTER);
    if let Some(seconds) = retry_after {
        page.headers_mut().insert(header::RETRY_AFTER, seconds.clone());
    }
    page
}

pub(super) async fn sign_out(State(shared): State<Arc<Shared>>, visit: Visit) -> Response {
    shared.sessions.end(&visit.session.id);
    let mut response = see_other(SIGN_IN);
    response.headers_mut().insert(header::SET_COOKIE, shared.sessions.no_cookie());
    response
}
