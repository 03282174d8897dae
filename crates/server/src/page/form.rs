//! Forms: read within a bound, and taken only from our own pages. And the queries of pages.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use hookit_contract::ErrorCode;
use http::request::Parts;
use http::{HeaderMap, header};
use maud::{Markup, html};
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use super::Session;
use crate::{ApiError, Limits, RawBody, Secret, params, read_body, wrong};

/// Bytes of a form.
pub const FORM_BYTES_MAX: usize = 64 << 10;

/// The field that carries the session's token.
const CSRF_FIELD: &str = "csrf";

/// The field that every form has.
pub fn csrf_field(csrf: &Secret) -> Markup {
    html! { input type="hidden" name=(CSRF_FIELD) value=(csrf.expose()); }
}

/// What a form said, beside the session's token. A field that was left empty counts as left out.
#[derive(Clone, Debug)]
pub struct Form<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Form<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let RawBody(bytes) = RawBody::from_request(request, state).await?;
        let fields =
            form_urlencoded::parse(&bytes).filter(|(name, value)| name != CSRF_FIELD && !value.is_empty());
        let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let value = serde_urlencoded::from_str(&text)
            .map_err(|error| ApiError::from(wrong::in_words("form", "", &error.to_string())))?;
        Ok(Form(value))
    }
}

/// The query of a page's address as a value: the fields of a form that only asks, or where a list goes on.
#[derive(Clone, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let faulty = |first| {
            ApiError::faulty(ErrorCode::RequestInvalid, params::faults_of_reading::<T>(&parts.uri, first))
        };
        params::query(&parts.uri).map(Query).map_err(faulty)
    }
}

/// Reads a form, and gives it back unread, once it is certain that a page of ours sent it: by where the browser says it
/// comes from, and by the token of the session, which no other page knows. Where there is no session yet (signing in), by the
/// first alone.
///
/// # Errors
/// `auth_forbidden` where it came from elsewhere or has not the session's token.
pub async fn check_form<T>(request: Request, session: Option<&Session<T>>) -> Result<Request, ApiError> {
    if !is_same_origin(request.headers()) {
        return Err(forbidden("this was sent by a page of another site"));
    }
    let Some(session) = session else { return Ok(request) };
    let (parts, body) = request.into_parts();
    let limits = parts.extensions.get::<Limits>().copied().unwrap_or_default();
    let bytes = read_body(body, FORM_BYTES_MAX, limits.body_timeout).await?;
    let given = form_urlencoded::parse(&bytes).find(|(name, _)| name == CSRF_FIELD);
    match given {
        Some((_, given)) if session.csrf.matches(&given) => Ok(Request::from_parts(parts, Body::from(bytes))),
        _ => Err(forbidden("this form is not of your session; open the page again and send it from there")),
    }
}

fn forbidden(message: &str) -> ApiError {
    ApiError::new(ErrorCode::AuthForbidden, message)
}

/// Browsers say where a request comes from; what says nothing is no browser, and has no cookies that it did not mean to send.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    match text(header::ORIGIN.as_str()) {
        None => true,
        Some(origin) => {
            let authority =
                ["https://", "http://"].into_iter().find_map(|scheme| origin.strip_prefix(scheme));
            authority.is_some() && authority == text(header::HOST.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_form_is_of_ours_where_the_browser_says_so_or_nothing() {
        for (headers, is_ours) in [
            (&[][..], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("origin", "http://console.test:80"), ("host", "console.test:80")], true),
            (&[("origin", "https://console.test"), ("host", "console.test")], true),
            (&[("origin", "http://console.test:81"), ("host", "console.test:80")], false),
            (&[("origin", "null"), ("host", "console.test")], false),
            (&[("origin", "null")], false),
            (&[("origin", "console.test"), ("host", "console.test")], false),
            (&[("origin", "http://evil.test")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "http://a.test"), ("host", "a.test")], false),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, HeaderValue::from_static(value));
            }
            assert_eq!(is_same_origin(&map), is_ours, "{headers:?}");
        }
    }
}
