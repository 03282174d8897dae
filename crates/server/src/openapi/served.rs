//! The description of a router's calls, served by that router: `/openapi.json`, and the same as a page at `/reference`.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, header};
use serde_json::Value;

use super::page;
use crate::routes::{Operation, Routes, get};

/// The heading of the two calls.
pub const REFERENCE: &str = "Reference";

/// What is served, made when it is first asked for.
struct Served {
    document: fn(&[Operation]) -> Value,
    operations: OnceLock<Vec<Operation>>,
    made: OnceLock<(String, String)>,
}

impl Served {
    fn made(&self) -> &(String, String) {
        self.made.get_or_init(|| {
            let document = (self.document)(self.operations.get().map_or(&[], Vec::as_slice));
            let page = page(&document);
            (format!("{document:#}\n"), page)
        })
    }
}

/// A router with these routes and the description of all of them, its own included; `document` makes it of them.
pub fn served(routes: Routes, document: fn(&[Operation]) -> Value) -> Router {
    let served = Arc::new(Served { document, operations: OnceLock::new(), made: OnceLock::new() });
    let (of_document, of_page) = (served.clone(), served.clone());
    let own = Routes::new(REFERENCE)
        .route(
            "/openapi.json",
            get(async move || text("application/json", of_document.made().0.clone()))
                .named("getOpenApi", "This description, as an OpenAPI 3.1 document.")
                .answers::<Value>("application/json"),
        )
        .route(
            "/reference",
            get(async move || text("text/html; charset=utf-8", of_page.made().1.clone()))
                .named("getReference", "This description, as a page.")
                .answers::<String>("text/html; charset=utf-8"),
        );
    let (router, operations) = routes.merge(own).into_parts();
    // Nobody else has set it.
    let _ = served.operations.set(operations);
    router
}

fn text(media_type: &'static str, text: String) -> Response {
    /// The page is whole: it fetches nothing, and runs nothing.
    const POLICY: (HeaderName, &str) = (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    ([(header::CONTENT_TYPE, media_type), POLICY], text).into_response()
}
