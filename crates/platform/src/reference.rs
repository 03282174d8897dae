//! What this server can be asked and what it posts: `/openapi.json`, and the same as a page at `/reference`.
//!
//! The calls describe themselves; here is what none of them can say: the credentials, the headings, and the webhooks,
//! which partners answer.

use axum::Router;
use hookit_contract::{BranchId, BrandId, EventType, header as webhook_header};
use hookit_server::openapi::{self, About, Document, REFERENCE};
use hookit_server::routes::{Operation, Routes};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use crate::credentials::{METRICS_TOKEN, OPERATOR_TOKEN, PARTNER_CREDENTIAL};
use crate::order_schema::Order;

/// The credentials that a registration may carry, for the partner's own receiver.
const WEBHOOK_CREDENTIAL: &str = "webhookCredential";

/// The headings, in their order.
const GROUPS: &[(&str, &str)] = &[
    ("Partner API", "What a partner asks klikit. What belongs to another business is not found."),
    ("Operators", "Who may make these calls: tokens with a name and a role."),
    ("Orders", "What surfaces and operators do with orders."),
    ("Partners", "Credentials and webhook secrets."),
    ("Registrations", "Which URL gets which events of which brand and branch."),
    ("Deliveries", "What became of each event, attempt by attempt."),
    ("Replays", "Many deliveries sent again, by a job that can be watched and steered."),
    ("Businesses", "The hierarchy that orders and registrations are checked against, where one is set."),
    ("Status", "How things stand, for people, probes and Prometheus."),
    (REFERENCE, "This."),
    (
        "Webhooks",
        "What is posted to a partner, who answers 2xx within ten seconds once it has the event for good.",
    ),
];

const DESCRIPTION: &str = "\
The platform keeps klikit's orders, and posts every change of one, signed, to the partners that registered for it.

Every answer is `{\"request_id\", \"data\"}` or `{\"request_id\", \"error\": {\"code\", \"message\", \"details\"?}}`; the \
codes are a closed list. Operators send `Authorization: Bearer` and their token to `/v1/operator`, partners \
`Authorization: Basic` with `partner_key:secret_key` to `/v1/partner`. Unknown fields and parameters are refused by name, and `details` has everything that is wrong with a request, by path. \
`traceparent` is taken over as the request's id.\n\n\
Every answer to a valid credential of a partner says in `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset` how \
many reads, or writes, the credential may make in a minute, how many are left, and in how many seconds all of them are there \
again; beyond it the answer is 429 `rate_limited` with `Retry-After`.\n\n\
A wrong credential, of an operator too, is answered 401 `auth_invalid_credential`, and 429 `rate_limited` with `Retry-After` where \
more than 60 wrong ones came from its address within a minute. A right one is taken all the same.";

/// A router with these routes and the description of all of them, its own included.
pub(crate) fn served(routes: Routes) -> Router {
    openapi::served(routes, document)
}

fn document(operations: &[Operation]) -> Value {
    let mut document = Document::new(About {
        title: "hookit platform",
        version: env!("CARGO_PKG_VERSION"),
        description: DESCRIPTION,
        credentials: json!({
            OPERATOR_TOKEN: {"type": "http", "scheme": "bearer", "description": "An operator's token."},
            METRICS_TOKEN: {
                "type": "http", "scheme": "bearer",
                "description": "The metrics token, or an operator's; none where the metrics are open.",
            },
            PARTNER_CREDENTIAL: {
                "type": "http", "scheme": "basic", "description": "`partner_key` as the user, `secret_key` as the password.",
            },
            WEBHOOK_CREDENTIAL: {
                "type": "http", "scheme": "basic",
                "description": "What the registration carries, for a receiver that asks for more than the signature.",
            },
        }),
        groups: GROUPS,
    });
    for operation in operations {
        document.call(operation);
    }
    for event_type in EventType::ALL {
        document.webhook(event_type.as_str(), |schemas| webhook(event_type, schemas));
    }
    document.finish()
}

/// The body of a webhook.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "an envelope is put together from texts")]
struct Envelope {
    brand_id: BrandId,
    branch_id: BranchId,
    /// Mostly one. All of them are of this brand and branch.
    #[schemars(length(min = 1))]
    orders: Vec<Order>,
}

fn webhook(event_type: EventType, schemas: &mut SchemaGenerator) -> Value {
    let (name, summary, details) = match event_type {
        EventType::OrderCreated => {
            ("orderCreated", "A new order arrived.", "Ring the kitchen, print the ticket.")
        }
        EventType::OrderStatusUpdated => {
            ("orderStatusUpdated", "An order moved to another status.", "Update your own record of it.")
        }
        EventType::OrderCartUpdated => (
            "orderCartUpdated",
            "The cart of an order in progress was edited.",
            "Replace your cart of it, never merge.",
        ),
    };
    let headers = [
        (
            webhook_header::SIGNATURE,
            "HMAC-SHA256 of the raw body, keyed with `webhook_secret_key`, in lowercase hex. Compare it in constant time, before \
             the body is read as JSON.",
            json!({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
        ),
        (
            webhook_header::EVENT_ID,
            "The delivery's id, the same on every retry and every replay. What came with one that is known was here already.",
            json!({"type": "string"}),
        ),
        (webhook_header::EVENT_TYPE, "The event type.", json!({"const": event_type})),
    ];
    let parameters = headers.map(|(name, description, schema)| {
        json!({"name": name, "in": "header", "required": true, "description": description, "schema": schema})
    });
    let retry_after = json!({"Retry-After": {
        "description": "Seconds, or a date; followed up to an hour.", "schema": {"type": "string"},
    }});
    let later = |description| json!({"description": description, "headers": retry_after});
    json!({
        "operationId": name,
        "summary": summary,
        "description": details,
        "tags": ["Webhooks"],
        "security": [{}, {WEBHOOK_CREDENTIAL: []}],
        "parameters": parameters,
        "requestBody": {
            "required": true,
            "content": {"application/json": {"schema": schemas.subschema_for::<Envelope>()}},
        },
        "responses": {
            "2XX": {"description": "Delivered. What is answered beside the status is kept in the log, and not read."},
            "403": {"description": "What a receiver answers where the signature does not match. Not delivered."},
            "410": {"description": "Nothing more is sent to this URL until an operator enables it again; what is for it waits."},
            "429": later("Not now. The endpoint counts as down until a probe is answered 2xx."),
            "503": later("Not now. The endpoint counts as down until a probe is answered 2xx."),
            "default": {"description": "Anything else, 3xx and no answer within ten seconds included: not delivered, and sent \
                again, with growing pauses."},
        },
    })
}
