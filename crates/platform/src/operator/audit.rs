//! The audit log: which operator did what, when, and from where.

use std::sync::Arc;

use axum::extract::State;
use hookit_contract::{Timestamp, TokenId};
use hookit_server::routes::{Routes, get};
use hookit_server::{Answer, Params};
use hookit_store::platform::{AuditEntry, AuditQuery};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::page_limit;
use crate::Shared;
use crate::api::{Result, store_error};
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
    token_id: Option<i64>,
    action: Option<String>,
    target: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    before: Option<i64>,
    limit: Option<usize>,
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
        limit: page_limit(params.limit)?,
    };
    let page = shared.store.audit(query).await.map_err(store_error)?;
    Ok(Answer::ok(&List {
        entries: page.entries.iter().map(Shown::of).collect(),
        next_before: page.next_before,
    }))
}
