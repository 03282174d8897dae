//! The console: pages for operators, over the same status and the same verbs as the operator API.
//!
//! Who is signed in is looked up anew at each request, so a token that was revoked ends its sessions at once. Each page and each
//! action says which call of the operator API it stands for; the table of roles decides about both, and what is done goes
//! through the store in the operator's name, so that it is in the audit log like any call. A form is taken only from our own
//! pages, and only with the session's token.
//!
//! What this module must not do: know a rule that the API does not know.

mod audit;
mod dead;
mod deliveries;
mod endpoints;
mod live;
mod order;
mod orders;
mod overview;
mod partners;
mod registrations;
mod replays;
mod search;
mod sent;
mod sign_in;
mod tokens;
mod waits;
mod words;

use std::sync::Arc;

use axum::extract::{Extension, FromRequestParts, Request, State};
use axum::handler::Handler;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, any, get, post};
use axum::{Router, extract::FromRef};
use hookit_contract::{ErrorCode, Timestamp};
use hookit_server::page::{self, Frame, Section, Session, Sessions, SignedIn, Site, check_form, csrf_field};
use hookit_server::{ApiError, RequestId, not_found, peer};
use hookit_store::platform::Caller;
use http::request::Parts;
use http::{Method, StatusCode, Uri};
use maud::{Markup, html};

use crate::Shared;
use crate::credentials::{Acting, Holder, Operator};
use crate::operator::roles;

/// Bytes of records that are read for one page, about.
const RECORDS_BYTES_MAX: usize = 8 << 20;

/// Partners, registrations or tokens on one page.
const ROWS_MAX: usize = 200;

/// Where the console is.
pub(crate) const HOME: &str = "/console";

const SITE: Site = Site {
    name: "platform",
    home: HOME,
    search: Some((search::SEARCH, "Order, delivery, branch, partner")),
    sign_out: sign_in::SIGN_OUT,
};

/// The navigation, and the call that each section stands for: whose role may not make it is not offered it.
const SECTIONS: &[(Section, &str)] = &[
    (Section { name: "Overview", path: HOME }, "/status"),
    (Section { name: "Orders", path: "/console/orders" }, "/orders"),
    (Section { name: "Deliveries", path: "/console/deliveries" }, "/deliveries"),
    (Section { name: "Endpoints", path: "/console/endpoints" }, "/webhooks"),
    (Section { name: "Dead letters", path: "/console/dead-letters" }, "/deliveries"),
    (Section { name: "Replays", path: "/console/replays" }, "/replays"),
    (Section { name: "Partners", path: "/console/partners" }, "/partners"),
    (Section { name: "Operators", path: "/console/tokens" }, "/tokens"),
    (Section { name: "Audit log", path: "/console/audit" }, "/audit"),
];

/// Who is signed in.
pub(crate) fn sessions() -> Sessions<Holder> {
    Sessions::new("hookit_platform_session")
}

/// All pages.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let pages = Pages::default()
        .merge(overview::pages())
        .merge(orders::pages())
        .merge(order::pages())
        .merge(search::pages())
        .merge(deliveries::pages())
        .merge(sent::pages())
        .merge(endpoints::pages())
        .merge(dead::pages())
        .merge(replays::pages())
        .merge(registrations::pages())
        .merge(partners::pages())
        .merge(tokens::pages())
        .merge(audit::pages());
    let inside = pages
        .router
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

/// Pages and actions, each with the call that it stands for.
#[derive(Default)]
struct Pages {
    router: Router<Arc<Shared>>,
}

impl Pages {
    /// A page, for who may make this call of the operator API by GET.
    fn page<H, A>(self, path: &str, stands_for: &'static str, handler: H) -> Self
    where
        H: Handler<A, Arc<Shared>>,
        A: 'static,
    {
        self.held_to(path, Method::GET, stands_for, get(handler))
    }

    /// A page that says what a call of the operator API would do, for who may make it.
    fn page_for<H, A>(self, path: &str, method: Method, stands_for: &'static str, handler: H) -> Self
    where
        H: Handler<A, Arc<Shared>>,
        A: 'static,
    {
        self.held_to(path, method, stands_for, get(handler))
    }

    /// What a form does, for who may make this call of the operator API.
    fn action<H, A>(self, path: &str, method: Method, stands_for: &'static str, handler: H) -> Self
    where
        H: Handler<A, Arc<Shared>>,
        A: 'static,
    {
        self.held_to(path, method, stands_for, post(handler))
    }

    fn held_to(
        mut self,
        path: &str,
        method: Method,
        stands_for: &'static str,
        handler: MethodRouter<Arc<Shared>>,
    ) -> Self {
        let held = middleware::from_fn(move |Extension(visit): Extension<Visit>, request, next: Next| {
            let may = visit.may(&method, stands_for);
            async move { if may { next.run(request).await } else { visit.forbidden().into_response() } }
        });
        self.router = self.router.route(path, handler.route_layer(held));
        self
    }

    fn merge(mut self, other: Pages) -> Self {
        self.router = self.router.merge(other.router);
        self
    }
}

/// An operator who looks at a page. Handlers take it as an argument.
#[derive(Clone)]
struct Visit {
    operator: Operator,
    session: Session<Holder>,
    uri: Uri,
    now: Timestamp,
}

impl<S: Send + Sync> FromRequestParts<S> for Visit
where
    Arc<Shared>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let visit = parts.extensions.get::<Visit>().cloned();
        visit.ok_or_else(|| ApiError::new(ErrorCode::AuthMissing, "nobody is signed in"))
    }
}

impl Visit {
    /// Whether the operator's role may make this call of the operator API. What it may not is not offered.
    fn may(&self, method: &Method, call: &str) -> bool {
        roles::may(self.operator.role, method, call)
    }

    fn forbidden(&self) -> ApiError {
        let message = format!("the role {} may not do this", self.operator.role.as_str());
        ApiError::new(ErrorCode::AuthForbidden, message)
    }

    /// A page.
    fn page(&self, title: &str, content: Markup) -> Response {
        self.page_with(StatusCode::OK, title, content)
    }

    fn page_with(&self, status: StatusCode, title: &str, content: Markup) -> Response {
        self.framed(status, title, "", content)
    }

    /// A page that a search led to.
    fn searched(&self, title: &str, sought: &str, content: Markup) -> Response {
        self.framed(StatusCode::OK, title, sought, content)
    }

    fn framed(&self, status: StatusCode, title: &str, searched: &str, content: Markup) -> Response {
        let offered = SECTIONS.iter().filter(|(_, call)| self.may(&Method::GET, call));
        let sections: Vec<Section> = offered.map(|(section, _)| *section).collect();
        let signed_in = SignedIn {
            name: &self.operator.name,
            role: self.operator.role.as_str(),
            csrf: &self.session.csrf,
        };
        let frame = Frame {
            site: &SITE,
            title,
            path: self.uri.path(),
            sections: &sections,
            signed_in: Some(signed_in),
            searched,
        };
        frame.page(status, content)
    }

    /// A form that does something; what the reader fills in or presses is its content.
    fn form(&self, action: &str, class: &str, content: &Markup) -> Markup {
        html! { form action=(action) method="post" class=(class) { (csrf_field(&self.session.csrf)) (content) } }
    }

    /// A refusal, as a page.
    fn refused(&self, error: &ApiError, mut response: Response, request_id: Option<&RequestId>) -> Response {
        let status = response.status();
        let (title, content) = page::refusal_page(error, status, request_id, HOME);
        let page = self.page_with(status, title, content);
        // `Retry-After` and `Allow` stay as they are.
        let (mut parts, body) = page.into_parts();
        let kind = parts.headers.remove(http::header::CONTENT_TYPE);
        std::mem::swap(&mut parts.headers, response.headers_mut());
        if let Some(kind) = kind {
            parts.headers.insert(http::header::CONTENT_TYPE, kind);
        }
        parts.headers.remove(http::header::CONTENT_LENGTH);
        Response::from_parts(parts, body)
    }
}

/// The layer around all pages but the one for signing in.
async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let (now, uri) = (shared.clock.now(), request.uri().clone());
    let session = shared.sessions.of(request.headers(), now);
    let visit = match session {
        Some(session) => match Operator::behind(&shared, &session.who).await {
            Ok(Some(operator)) => Visit { operator, session, uri, now },
            Ok(None) => {
                shared.sessions.end(&session.id);
                return sign_in::DOOR.led_to(&request);
            }
            Err(error) => return error.into_response(),
        },
        None => return sign_in::DOOR.led_to(&request),
    };
    let request_id = request.extensions().get::<RequestId>().cloned();
    let mut response = match prepared(&shared, &visit, request).await {
        Ok(request) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    match page::refusal(&mut response) {
        Some(error) => visit.refused(&error, response, request_id.as_ref()),
        None => response,
    }
}

/// The request with what handlers take from it, where its form is one of ours.
async fn prepared(shared: &Shared, visit: &Visit, request: Request) -> Result<Request, ApiError> {
    let mut request = match *request.method() {
        Method::GET | Method::HEAD => request,
        _ => check_form(request, Some(&visit.session)).await?,
    };
    let address = peer(request.extensions()).map(|address| address.to_string());
    let request_id = request.extensions().get::<RequestId>().map(|id| id.as_str().to_owned());
    let caller = Caller {
        token_id: visit.operator.token_id,
        address: address.unwrap_or_default(),
        request_id: request_id.unwrap_or_default(),
        now: visit.now,
    };
    let extensions = request.extensions_mut();
    extensions.insert(Acting(shared.store.clone().in_name_of(caller)));
    extensions.insert(visit.operator.clone());
    extensions.insert(visit.clone());
    Ok(request)
}
