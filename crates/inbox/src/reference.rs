//! What the inbox can be asked, as a document and as a page. The calls describe themselves; here is what none of them can say.

use axum::Router;
use hookit_server::openapi::{self, About, Document, REFERENCE};
use hookit_server::routes::{Operation, Routes};
use serde_json::{Value, json};

use crate::read::{READ_TOKEN, WRITE_TOKEN};

/// The headings, in their order.
const GROUPS: &[(&str, &str)] = &[
    ("Receiving", "What klikit posts."),
    ("Orders", "The view: the newest state of every order, and how it came about."),
    ("Deliveries", "What came, byte for byte."),
    ("Quarantine", "What is genuine and could not be read."),
    ("Moves", "What the partner's own people make of orders, sent on to klikit."),
    ("Reconciling", "What the inbox asked klikit for by itself, and what it healed."),
    ("Status", "How things stand, for people, probes and Prometheus."),
    (REFERENCE, "This."),
];

const DESCRIPTION: &str = "\
The inbox takes klikit's webhooks in, and shows the orders as the newest of them leave them.

But for the answers to webhooks, every answer is `{\"request_id\", \"data\"}` or `{\"request_id\", \"error\": {\"code\", \
\"message\", \"details\"?}}`; the codes are a closed list. Whoever reads sends `Authorization: Bearer` and a read token; where the \
inbox has none, it answers this machine alone. Unknown parameters are refused by name. `traceparent` is taken over as the \
request's id.\n\n\
A wrong token is answered 401 `auth_invalid_credential`, and 429 `rate_limited` with `Retry-After` where more than 60 wrong ones \
came from its address within a minute. A right one is taken all the same.";

/// A router with these routes and the description of all of them, its own included.
pub(crate) fn served(routes: Routes) -> Router {
    openapi::served(routes, document)
}

fn document(operations: &[Operation]) -> Value {
    let mut document = Document::new(About {
        title: "hookit inbox",
        version: env!("CARGO_PKG_VERSION"),
        description: DESCRIPTION,
        credentials: json!({
            READ_TOKEN: {
                "type": "http", "scheme": "bearer", "description": "A read token; none where the inbox has none.",
            },
            WRITE_TOKEN: {
                "type": "http", "scheme": "bearer",
                "description": "The token that lets its bearer have something done; where the inbox has none, nobody may.",
            },
        }),
        groups: GROUPS,
    });
    for operation in operations {
        document.call(operation);
    }
    document.finish()
}
