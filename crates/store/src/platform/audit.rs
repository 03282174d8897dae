//! The audit log: which operator did what, when, and from where.

use hookit_contract::{Timestamp, TokenId};

/// Entries that one look passes over at most, so that a filter that fits nothing is no long read.
pub const AUDIT_LOOKS_MAX: usize = 10_000;

/// All that an entry can say was done, a noun and a verb.
pub const AUDIT_ACTIONS: [&str; 21] = [
    "order.create",
    "order.move",
    "order.edit_cart",
    "delivery.replay",
    "delivery.cancel",
    "replay.begin",
    "replay.pause",
    "replay.resume",
    "replay.cancel",
    "partner.issue",
    "partner.rotate_secret",
    "partner.rotate_webhook_secret",
    "partner.revoke",
    "webhook.put",
    "webhook.remove",
    "webhook.test",
    "endpoint.hold",
    "endpoint.release",
    "business.put",
    "token.issue",
    "token.revoke",
];

/// In whose name something is done, and with which request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The operator's token.
    pub token_id: TokenId,
    /// Where the request came from.
    pub address: String,
    /// The request's id.
    pub request_id: String,
    /// When it was.
    pub now: Timestamp,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its place in the log.
    pub audit_id: i64,
    /// By whom, from where and when.
    pub caller: Caller,
    /// The name of that operator; none for the token that the platform was started with.
    pub name: Option<String>,
    /// What: one of [`AUDIT_ACTIONS`].
    pub action: String,
    /// The id of what it was done to.
    pub target: String,
}

/// Which entries.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Below this one.
    pub before: Option<i64>,
    /// Of this token.
    pub token_id: Option<TokenId>,
    /// Of this kind.
    pub action: Option<String>,
    /// Done to this.
    pub target: Option<String>,
    /// Not before this moment.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// So many at most.
    pub limit: usize,
}

/// A part of the log, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// What was found; perhaps nothing, though there is more to look at.
    pub entries: Vec<AuditEntry>,
    /// Where to go on; none at the log's end.
    pub next_before: Option<i64>,
}
