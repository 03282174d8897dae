//! The audit log: which operator did what, when, and from where.

use std::sync::Arc;

use axum::extract::State;
use hookit_contract::{Timestamp, TokenId};
use hookit_server::routes::{Routes, get};
use hookit_server::{Answer, Checked, Faults, Params};
use hookit_store::platform::{AUDIT_ACTIONS, AuditEntry, AuditQuery};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PAGE_DEFAULT, PAGE_MAX};
use crate::Shared;
use crate::api::{self, Result, store_error};
use crate::credentials::FIRST_OPERATOR;

pub(super) fn routes() -> Routes<Arc<Shared>> {
    Routes::new("Operators").route(
        "/audit",
        get(list).named("listAudit", "What operators did, newest first, a page at a time.").details(
            "Each entry was written with what it is about. What was refused, or changed nothing, has none. A page may have few entries or none and yet say where to go on: no more than so many are looked through for it.",
        ),
    )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// 0 for the token that the platform was started with.
    #[schemars(range(min = 0))]
    token_id: Option<i64>,
    #[schemars(extend("enum" = AUDIT_ACTIONS))]
    action: Option<String>,
    target: Option<String>,
    /// Done at this time or later.
    since: Option<Timestamp>,
    /// Done before this time.
    until: Option<Timestamp>,
    /// The `next_before` of the page before.
    #[schemars(range(min = 1))]
    before: Option<i64>,
    /// Items on the page; 100 where it is left out.
    #[schemars(range(min = 1, max = PAGE_MAX))]
    limit: Option<usize>,
}

impl Checked<Arc<Shared>> for ListParams {
    fn check(&self, _: &Arc<Shared>, faults: &mut Faults) {
        api::check_stretch(faults, ("since", self.since), ("until", self.until));
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
struct Shown<'a> {
    audit_id: i64,
    done_at: Timestamp,
    /// 0 for the token that the platform was started with.
    token_id: TokenId,
    name: &'a str,
    action: &'a str,
    target: &'a str,
    /// The one that the connection came from: a proxy's, where there is one in front.
    address: &'a str,
    request_id: &'a str,
}

impl<'a> Shown<'a> {
    fn of(entry: &'a AuditEntry) -> Self {
        Shown {
            audit_id: entry.audit_id,
            done_at: entry.caller.now,
            token_id: entry.caller.token_id,
            name: entry.name.as_deref().unwrap_or(FIRST_OPERATOR),
            action: &entry.action,
            target: &entry.target,
            address: &entry.caller.address,
            request_id: &entry.caller.request_id,
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditEntries")]
struct List<'a> {
    entries: Vec<Shown<'a>>,
    next_before: Option<i64>,
}

async fn list(
    State(shared): State<Arc<Shared>>,
    Params(params): Params<ListParams>,
) -> Result<Answer<List<'static>>> {
    let query = AuditQuery {
        before: params.before,
        token_id: params.token_id.map(TokenId),
        action: params.action,
        target: params.target,
        since: params.since,
        until: params.until,
        limit: params.limit.unwrap_or(PAGE_DEFAULT),
    };
    let page = shared.store.audit(query).await.map_err(store_error)?;
    Ok(Answer::ok(&List {
        entries: page.entries.iter().map(Shown::of).collect(),
        next_before: page.next_before,
    }))
}
