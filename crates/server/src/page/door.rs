//! The door of a set of pages: who is not signed in is led here and afterwards back, a form takes a token, and who has a right
//! one gets a session.
//!
//! What this module must not do: know which token is a right one.

use std::net::IpAddr;

use axum::extract::{FromRequest as _, Request};
use axum::response::{IntoResponse as _, Response};
use hookit_contract::Timestamp;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use maud::{Markup, html};
use serde::Deserialize;
use url::form_urlencoded;

use super::{Form, Frame, Sessions, Site, Tone, check_form, field, is_page_wanted, note, see_other};
use crate::{ApiError, IsSecure, Secret, not_found, peer};

/// Where one signs in, and with what.
#[derive(Clone, Copy, Debug)]
pub struct Door {
    /// The pages behind it.
    pub site: &'static Site,
    /// Where it is.
    pub path: &'static str,
    /// What kind of token is taken.
    pub token: &'static str,
    /// Where one gets it.
    pub hint: fn() -> Markup,
}

/// What somebody knocked with.
#[derive(Debug)]
pub struct Knock {
    /// The token.
    pub token: Secret,
    /// Where they want to go: a page behind the door, whatever a link said.
    pub next: String,
    /// From where they come.
    pub from: Option<IpAddr>,
    /// Whether the cookie may go over TLS alone.
    is_secure: bool,
    /// With the session that they have already, if any.
    headers: HeaderMap,
}

#[derive(Deserialize)]
struct Given {
    token: Option<String>,
    next: Option<String>,
}

/// The query of the page for signing in.
#[derive(Debug, Deserialize)]
pub struct Led {
    next: Option<String>,
}

impl Door {
    /// Sends whoever is not signed in here, and afterwards back.
    pub fn led_to(&self, request: &Request) -> Response {
        let home = self.site.home;
        // What a form would have done is not done later by itself.
        let wanted = match *request.method() {
            Method::GET => request.uri().path_and_query().map_or(home, |path| path.as_str()),
            _ => home,
        };
        if wanted == home {
            return see_other(self.path);
        }
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", wanted).finish();
        see_other(&format!("{}?{query}", self.path))
    }

    /// Where to go after signing in: a page behind the door, and nowhere else.
    pub fn next(&self, led: Led) -> String {
        self.checked(led.next)
    }

    fn checked(&self, next: Option<String>) -> String {
        let is_ours = |next: &String| {
            // Behind the door, and not beside it: `/console`, `/console/...`, `/console?...`.
            let below = next.strip_prefix(self.site.home);
            below.is_some_and(|below| below.is_empty() || below.starts_with(['/', '?']))
                && next.is_ascii()
                && next.parse::<Uri>().is_ok_and(|uri| {
                    let mut segments = uri.path().split('/');
                    // Nor to where there is nothing to read: a stream for the script, and what ends the session.
                    uri.authority().is_none()
                        && segments.all(|segment| !matches!(segment, "." | ".." | "live"))
                        && uri.path() != self.site.sign_out
                })
        };
        next.filter(is_ours).unwrap_or_else(|| self.site.home.to_owned())
    }

    /// The form.
    pub fn page(&self, next: &str) -> Response {
        self.form(StatusCode::OK, None, next)
    }

    fn form(&self, status: StatusCode, wrong: Option<&str>, next: &str) -> Response {
        let input = html! {
            input id="token" name="token" type="password" autocomplete="current-password" required autofocus
                spellcheck="false" aria-invalid=[wrong.map(|_| "true")];
        };
        let content = html! {
            @if let Some(wrong) = wrong { (note(Tone::Bad, &html! { (wrong) })) }
            form.stacked action=(self.path) method="post" {
                input type="hidden" name="next" value=(next);
                (field("token", self.token, &input))
                div { button.primary type="submit" { "Sign in" } }
            }
            p.quiet.small { ((self.hint)()) }
        };
        let (site, path) = (self.site, self.path);
        let frame = Frame { site, title: "Sign in", path, sections: &[], signed_in: None, searched: "" };
        frame.page(status, html! { div.panel.sign-in { (content) } })
    }

    /// Reads what somebody knocks with, where one of our pages sent it.
    ///
    /// # Errors
    /// The form with what is wrong.
    pub async fn knock(&self, request: Request) -> Result<Knock, Response> {
        let is_secure = request.extensions().get::<IsSecure>().is_some_and(|IsSecure(is_secure)| *is_secure)
            // A proxy that says so may be believed: it makes the cookie stricter.
            || request.headers().get("x-forwarded-proto").is_some_and(|proto| proto == "https");
        let from = peer(request.extensions());
        let headers = request.headers().clone();
        let given = async {
            let request = check_form::<()>(request, None).await?;
            Form::from_request(request, &()).await
        };
        let Form(Given { token, next }) =
            given.await.map_err(|error| self.refused(&error, self.site.home))?;
        let next = self.checked(next);
        Ok(Knock { token: Secret::new(token.unwrap_or_default().trim()), next, from, is_secure, headers })
    }

    /// The form again, with what is wrong.
    pub fn refused(&self, error: &ApiError, next: &str) -> Response {
        let response = error.clone().into_response();
        // A 401 would have to name a scheme, and browsers would ask for a password by themselves.
        let status = match response.status() {
            StatusCode::UNAUTHORIZED => StatusCode::FORBIDDEN,
            status => status,
        };
        let mut page = self.form(status, Some(error.message()), next);
        if let Some(seconds) = response.headers().get(header::RETRY_AFTER) {
            page.headers_mut().insert(header::RETRY_AFTER, seconds.clone());
        }
        page
    }

    /// Begins a session in the place of the one that this browser may have had, and goes where they wanted to.
    pub fn let_in<T: Clone>(
        &self,
        sessions: &Sessions<T>,
        who: T,
        knock: &Knock,
        now: Timestamp,
    ) -> Response {
        if let Some(earlier) = sessions.of(&knock.headers, now) {
            sessions.end(&earlier.id);
        }
        let session = sessions.begin(who, now);
        with_cookie(see_other(&knock.next), sessions.cookie(&session.id, knock.is_secure))
    }

    /// Has the browser forget its session.
    pub fn let_out<T: Clone>(&self, sessions: &Sessions<T>) -> Response {
        with_cookie(see_other(self.path), sessions.no_cookie())
    }

    /// Browsers at `/` are led to the pages; what asks for something else is told that there is nothing.
    pub async fn welcome(&self, request: Request) -> Response {
        if is_page_wanted(request.headers()) {
            see_other(self.site.home)
        } else {
            not_found(request).await.into_response()
        }
    }
}

fn with_cookie(mut response: Response, cookie: HeaderValue) -> Response {
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: Site = Site { name: "test", home: "/home", search: None, sign_out: "/home/out" };
    const DOOR: Door =
        Door { site: &SITE, path: "/home/in", token: "Token", hint: || html! { "From the office." } };

    #[test]
    fn nobody_is_led_elsewhere_after_signing_in() {
        for (next, to) in [
            (None, "/home"),
            (Some("/home/orders?status=1"), "/home/orders?status=1"),
            (Some("//elsewhere.test/home"), "/home"),
            (Some("https://elsewhere.test/home"), "/home"),
            (Some("/elsewhere"), "/home"),
            (Some("/homeelsewhere.test"), "/home"),
            (Some("/home@elsewhere.test"), "/home"),
            (Some("/home/../elsewhere"), "/home"),
            (Some("/home/orders/live"), "/home"),
            (Some("/home/out"), "/home"),
            (Some("/home/\u{e9}"), "/home"),
            (Some("/home?a=b"), "/home?a=b"),
        ] {
            assert_eq!(DOOR.next(Led { next: next.map(str::to_owned) }), to, "{next:?}");
        }
        let request = |method: Method, uri: &str| {
            Request::builder().method(method).uri(uri).body(axum::body::Body::empty()).unwrap()
        };
        let to = |response: Response| response.headers()[header::LOCATION].to_str().unwrap().to_owned();
        assert_eq!(to(DOOR.led_to(&request(Method::GET, "/home"))), "/home/in");
        assert_eq!(
            to(DOOR.led_to(&request(Method::GET, "/home/a?b=c"))),
            "/home/in?next=%2Fhome%2Fa%3Fb%3Dc"
        );
        assert_eq!(to(DOOR.led_to(&request(Method::POST, "/home/a"))), "/home/in");
    }
}
