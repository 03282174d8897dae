//! Signing in with a token of the inbox, and out again.

use std::sync::Arc;

use axum::extract::{FromRequest as _, Request, State};
use axum::response::Response;
use hookit_server::page::{Form, Frame, Tone, check_form, field, note, see_other};
use hookit_server::{IsSecure, Params, Secret};
use http::{Method, StatusCode, Uri, header};
use maud::html;
use serde::Deserialize;

use super::{HOME, Holder, SITE, Visit};
use crate::Shared;

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

pub(super) async fn show(Params(Led { next }): Params<Led>) -> Response {
    form(StatusCode::OK, None, &checked_next(next))
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
            (field("token", "Read token, or write token", &input))
            div { button.primary type="submit" { "Sign in" } }
        }
        p.quiet.small {
            "A read token is in " code { "HOOKIT_INBOX_TOKEN" } " or in the configuration of the inbox; with the write token one may act as well."
        }
    };
    let frame =
        Frame { site: &SITE, title: "Sign in", path: SIGN_IN, sections: &[], signed_in: None, searched: "" };
    frame.page(status, html! { div.panel.sign-in { (content) } })
}

pub(super) async fn sign_in(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let is_secure = request.extensions().get::<IsSecure>().is_some_and(|IsSecure(is_secure)| *is_secure)
        // A proxy that says so may be believed: it makes the cookie stricter.
        || request.headers().get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let given = async {
        let request = check_form::<()>(request, None).await?;
        Form::from_request(request, &()).await
    };
    let Given { token, next } = match given.await {
        Ok(Form(given)) => given,
        Err(error) => return form(StatusCode::FORBIDDEN, Some(error.message()), HOME),
    };
    let (token, next) = (Secret::new(token.unwrap_or_default().trim()), checked_next(next));
    let Some(holder) = holder(&shared, &token) else {
        tracing::warn!("somebody tried to sign in with a token that is none of this inbox");
        return form(StatusCode::FORBIDDEN, Some("This is not a token of this inbox."), &next);
    };
    tracing::info!(token = holder.name(), "signed in");
    let session = shared.sessions.begin(holder, shared.clock.now());
    let mut response = see_other(&next);
    response.headers_mut().insert(header::SET_COOKIE, shared.sessions.cookie(&session.id, is_secure));
    response
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
    let mut response = see_other(SIGN_IN);
    response.headers_mut().insert(header::SET_COOKIE, shared.sessions.no_cookie());
    response
}
