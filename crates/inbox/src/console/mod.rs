//! The inbox's console: how it stands, the orders from the partner's side, and what lies in quarantine.
//!
//! Whoever has a read token signs in with it and reads; whoever has the write token may act as well. Without read tokens this
//! machine reads without signing in, as with the API. A form is taken only from our own pages, and only with the session's
//! token.
//!
//! What this module must not do: know a figure or a rule that the API does not know.

mod orders;
mod overview;
mod quarantine;
mod sign_in;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use hookit_contract::{ErrorCode, Timestamp};
use hookit_server::page::{self, Frame, Section, Session, Sessions, SignedIn, Site, check_form, csrf_field};
use hookit_server::{ApiError, Live, LiveEvents, RequestId, not_found, peer};
use http::request::Parts;
use http::{Method, StatusCode, Uri};
use maud::{Markup, html};

use crate::Shared;
use crate::read::may_read;

type Result<T> = std::result::Result<T, ApiError>;

/// Where the console is.
const HOME: &str = "/console";

const SITE: Site = Site {
    name: "inbox",
    home: HOME,
    search: Some((orders::LIST, "Order, external or short id")),
    sign_out: sign_in::SIGN_OUT,
};

const SECTIONS: [Section; 3] = [
    Section { name: "Overview", path: HOME },
    Section { name: "Orders", path: orders::LIST },
    Section { name: "Quarantine", path: quarantine::LIST },
];

/// Who is signed in.
#[derive(Clone, Debug)]
pub(crate) enum Holder {
    /// With a read token of this name.
    Reader(Arc<str>),
    /// With the write token.
    Writer,
}

impl Holder {
    fn name(&self) -> &str {
        match self {
            Holder::Reader(name) => name,
            Holder::Writer => "write token",
        }
    }

    fn role(&self) -> &'static str {
        match self {
            Holder::Reader(_) => "reads",
            Holder::Writer => "reads and acts",
        }
    }
}

/// Nobody yet.
pub(crate) fn sessions() -> Sessions<Holder> {
    Sessions::new("hookit_inbox_session")
}

/// All pages.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let inside = Router::new()
        .route(HOME, get(overview::show))
        .route(overview::FRESH, get(overview::fresh))
        .route(orders::LIST, get(orders::list))
        .route("/console/orders/{id}", get(orders::show))
        .route(quarantine::LIST, get(quarantine::list))
        .route(quarantine::APPLY, post(quarantine::apply))
        .route(quarantine::DISCARD, post(quarantine::discard))
        .route(sign_in::SIGN_OUT, post(sign_in::sign_out))
        .route("/console/{*rest}", any(not_found))
        .method_not_allowed_fallback(hookit_server::method_not_allowed)
        .layer(middleware::from_fn_with_state(shared.clone(), guard));
    let outside = Router::new()
        .route(sign_in::DOOR.path, get(sign_in::show).post(sign_in::sign_in))
        .route("/", get(|request| sign_in::DOOR.welcome(request)));
    let all = outside.merge(inside).layer(middleware::from_fn(page::protected)).with_state(shared);
    all.merge(page::assets())
}

/// Who looks at a page. Handlers take it as an argument.
#[derive(Clone)]
struct Visit {
    /// None for this machine, where nobody has to sign in.
    session: Option<Session<Holder>>,
    uri: Uri,
    now: Timestamp,
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let visit = parts.extensions.get::<Visit>().cloned();
        visit.ok_or_else(|| ApiError::new(ErrorCode::AuthMissing, "nobody is signed in"))
    }
}

impl Visit {
    /// Whether it may have something done.
    fn may_act(&self) -> bool {
        matches!(&self.session, Some(Session { who: Holder::Writer, .. }))
    }

    fn page(&self, title: &str, content: Markup) -> Response {
        self.framed(StatusCode::OK, title, "", content)
    }

    fn framed(&self, status: StatusCode, title: &str, searched: &str, content: Markup) -> Response {
        let signed_in = self.session.as_ref().map(|session| SignedIn {
            name: session.who.name(),
            role: session.who.role(),
            csrf: &session.csrf,
        });
        let path = self.uri.path();
        Frame { site: &SITE, title, path, sections: &SECTIONS, signed_in, searched }.page(status, content)
    }

    /// A form that does something, for who may; what the reader presses is its content.
    fn form(&self, action: &str, content: &Markup) -> Markup {
        let csrf = self.session.as_ref().filter(|_| self.may_act()).map(|session| &session.csrf);
        html! {
            @if let Some(csrf) = csrf { form action=(action) method="post" { (csrf_field(csrf)) (content) } }
        }
    }

    /// A refusal, as a page.
    fn refused(&self, error: &ApiError, status: StatusCode, request_id: Option<&RequestId>) -> Response {
        let (title, content) = page::refusal_page(error, status, request_id, HOME);
        self.framed(status, title, "", content)
    }
}

/// The layer around all pages but the one for signing in.
async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let (now, uri) = (shared.clock.now(), request.uri().clone());
    let session = shared.sessions.of(request.headers(), now);
    if session.is_none() {
        let peer = peer(request.extensions());
        let is_open = shared.config.read_tokens.is_empty();
        if !(is_open && may_read(&[], peer, request.headers()).is_ok()) {
            return sign_in::DOOR.led_to(&request);
        }
    }
    let visit = Visit { session, uri, now };
    let request_id = request.extensions().get::<RequestId>().cloned();
    let mut response = match prepared(&visit, request).await {
        Ok(request) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    match page::refusal(&mut response) {
        Some(error) => visit.refused(&error, response.status(), request_id.as_ref()),
        None => response,
    }
}

/// The request with what handlers take from it, where its form is one of ours.
async fn prepared(visit: &Visit, request: Request) -> Result<Request> {
    let mut request = match *request.method() {
        Method::GET | Method::HEAD => request,
        _ => match &visit.session {
            Some(session) => check_form(request, Some(session)).await?,
            None => {
                return Err(ApiError::new(ErrorCode::AuthForbidden, "sign in with the write token first"));
            }
        },
    };
    request.extensions_mut().insert(visit.clone());
    Ok(request)
}

/// Tells what is in a part of a page whenever it has changed, as long as the session lasts.
fn follow<F, R>(live: Live, shared: Arc<Shared>, visit: Visit, render: F) -> LiveEvents
where
    F: Fn(Arc<Shared>, Visit) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Markup>> + Send + 'static,
{
    page::follow(live, (shared, visit), move |(shared, mut visit)| {
        let render = render.clone();
        async move {
            visit.now = shared.clock.now();
            let is_over = |session: &Session<Holder>| !shared.sessions.lasts(&session.id, visit.now);
            if visit.session.as_ref().is_some_and(is_over) {
                return None;
            }
            render(shared, visit).await.ok()
        }
    })
}
