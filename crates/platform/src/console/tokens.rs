//! Operator tokens: issued, shown once, revoked.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use hookit_contract::TokenId;
use hookit_server::page::{
    Form, Query, Tone, age, badge, empty, facts, field, pager, secret, see_other, select, table,
};
use hookit_server::{Fault, PathId, checked};
use hookit_store::cut;
use hookit_store::platform::{Role, TokenQuery};
use http::Method;
use maud::{Markup, html};
use serde::Deserialize;

use super::{Pages, ROWS_MAX, Visit, partners, words};
use crate::Shared;
use crate::api::{Result, store_error};
use crate::credentials::Acting;
use crate::operator::tokens::{self, IssueBody};

const LIST: &str = "/console/tokens";

pub(super) fn pages() -> Pages {
    Pages::default()
        .page(LIST, "/tokens", list)
        .action("/console/tokens/issue", Method::POST, "/tokens", issue)
        .action("/console/tokens/{id}/revoke", Method::POST, "/tokens/{id}/revoke", revoke)
}

/// What a role is for, in words.
const fn purpose(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin: everything",
        Role::Support => "support: reads and sends again",
        Role::Surface => "surface: posts new orders",
    }
}

/// Behind which token a page begins; at the newest one where nothing is said.
#[derive(Deserialize)]
struct From {
    after: Option<i64>,
}

async fn list(State(shared): State<Arc<Shared>>, visit: Visit, Query(from): Query<From>) -> Result<Response> {
    let after = from.after.map(TokenId);
    let first = after.is_some().then_some(LIST);
    let query = TokenQuery { after, newest_first: true, limit: ROWS_MAX + 1 };
    let mut all = shared.store.tokens(query).await.map_err(store_error)?;
    let next = cut(&mut all, ROWS_MAX).map(|last| format!("{LIST}?after={}", last.token_id));
    // Within a page those in use come first.
    all.sort_by_key(|one| (one.revoked_at.is_some(), std::cmp::Reverse(one.token_id)));
    let columns = [
        ("Id", "number"),
        ("Name", ""),
        ("Role", ""),
        ("State", ""),
        ("Issued", ""),
        ("What it did", ""),
        ("", ""),
    ];
    let rows = html! {
        @for token in &all {
            tr {
                td.number data-name="Id" { (token.token_id) }
                td.name { (token.name) }
                td { (token.role.as_str()) }
                td {
                    @match token.revoked_at {
                        Some(at) => { (badge(Tone::Quiet, "revoked")) " " span.small.quiet { (age(visit.now, at)) "; issued" } }
                        None => { (badge(Tone::Good, "in use")) }
                    }
                }
                td.tight { (age(visit.now, token.created_at)) }
                td { a href={ "/console/audit?token_id=" (token.token_id) } { "Audit log" } }
                td {
                    @if token.revoked_at.is_none() && visit.may(&Method::POST, "/tokens/{id}/revoke") {
                        details #{ "revoke-" (token.token_id) } {
                            summary { "Revoke…" }
                            p { "Its calls are refused and its sessions end, at once." }
                            (visit.form(&format!("{LIST}/{}/revoke", token.token_id), "", &html! {
                                button.danger type="submit" { "Revoke " (token.name) }
                            }))
                        }
                    }
                }
            }
        }
    };
    let content = html! {
        p.quiet { "The token that the platform was started with is none of these: it is an admin's, and is changed where it is kept." }
        @if visit.may(&Method::POST, "/tokens") {
            details #new open[all.is_empty() && first.is_none()] {
                summary { "Issue a token…" }
                (form(&visit))
            }
        }
        @if !all.is_empty() { (table("Operator tokens", &columns, &rows)) }
        @else if first.is_none() { (empty("None was issued yet.")) }
        @else { (empty("There are no older ones.")) }
        (pager(first, next.as_deref()))
    };
    Ok(visit.page("Operators", content))
}

fn form(visit: &Visit) -> Markup {
    let roles = Role::ALL.map(|role| (role.as_str(), purpose(role)));
    visit.form(
        "/console/tokens/issue",
        "stacked",
        &html! {
            (field("name", "Name", &html! { input #name name="name" type="text" required autocomplete="off"; }))
            (field("role", "Role", &select("role", roles, Role::Support.as_str())))
            button.primary type="submit" { "Issue" }
        },
    )
}

async fn issue(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    visit: Visit,
    Form(fields): Form<BTreeMap<String, String>>,
) -> Result<Response> {
    let role = words::parsed::<Role>("role", fields.get("role"), "admin, support or surface")?
        .ok_or_else(|| Fault::new("role", "expected admin, support or surface"))?;
    let body = IssueBody { name: fields.get("name").cloned().unwrap_or_default(), role: role.into() };
    let (token, made) = tokens::issued(&shared, &*store, checked(body, &shared)?).await?;
    let content = html! {
        (partners::once())
        (facts([("Name", html! { (token.name) }), ("Role", html! { (purpose(token.role)) })]))
        (secret("new-secret", "Operator token", &made))
        p { a href=(LIST) { "All tokens" } }
    };
    Ok(visit.page("A token was issued", content))
}

async fn revoke(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    PathId(id): PathId,
) -> Result<Response> {
    tokens::revoked(&shared, &*store, TokenId(id)).await?;
    Ok(see_other(LIST))
}
