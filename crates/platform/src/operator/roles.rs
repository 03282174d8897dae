//! Which role may make which call of the operator API. An admin may make all of them.
//!
//! What is not in the table is the admin's alone, so a call that was forgotten here is closed, not open.

use hookit_store::platform::Role;
use http::Method;

const NONE: &[Role] = &[];
const SUPPORT: &[Role] = &[Role::Support];
const SURFACE: &[Role] = &[Role::Surface];

/// The calls, and who beside the admin may make them. Support reads and replays; a surface posts new orders.
const CALLS: [(Method, &str, &[Role]); 34] = [
    (Method::GET, "/orders", SUPPORT),
    (Method::POST, "/orders", SURFACE),
    // Its lines are held to the role, too: a surface's may only be new orders.
    (Method::POST, "/orders/bulk", SURFACE),
    (Method::GET, "/orders/{id}", SUPPORT),
    (Method::PATCH, "/orders/{id}/status", NONE),
    (Method::PUT, "/orders/{id}/cart", NONE),
    (Method::GET, "/partners", SUPPORT),
    (Method::POST, "/partners", NONE),
    (Method::POST, "/partners/{id}/rotate-secret", NONE),
    (Method::POST, "/partners/{id}/rotate-webhook-secret", NONE),
    (Method::POST, "/partners/{id}/revoke", NONE),
    (Method::GET, "/webhooks", SUPPORT),
    (Method::PUT, "/webhooks", NONE),
    (Method::DELETE, "/webhooks/{id}", NONE),
    (Method::POST, "/webhooks/{id}/test", NONE),
    (Method::POST, "/webhooks/{id}/disable", NONE),
    (Method::POST, "/webhooks/{id}/enable", NONE),
    (Method::GET, "/businesses/{id}", SUPPORT),
    (Method::PUT, "/businesses/{id}", NONE),
    (Method::GET, "/deliveries", SUPPORT),
    (Method::GET, "/deliveries/{id}", SUPPORT),
    (Method::POST, "/deliveries/{id}/replay", SUPPORT),
    (Method::POST, "/deliveries/{id}/cancel", NONE),
    (Method::GET, "/replays", SUPPORT),
    (Method::POST, "/replays", SUPPORT),
    (Method::GET, "/replays/{id}", SUPPORT),
    (Method::POST, "/replays/{id}/pause", SUPPORT),
    (Method::POST, "/replays/{id}/resume", SUPPORT),
    (Method::POST, "/replays/{id}/cancel", SUPPORT),
    (Method::GET, "/status", SUPPORT),
    (Method::GET, "/audit", NONE),
    (Method::GET, "/tokens", NONE),
    (Method::POST, "/tokens", NONE),
    (Method::POST, "/tokens/{id}/revoke", NONE),
];

/// May this role make this call? `path` is the route's, below the operator API's.
pub(crate) fn may(role: Role, method: &Method, path: &str) -> bool {
    // Who may read may ask whether there is something to read.
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let is_asked = |call: &&(Method, &str, &[Role])| call.0 == *method && call.1 == path;
    role == Role::Admin || CALLS.iter().find(is_asked).is_some_and(|(.., roles)| roles.contains(&role))
}
