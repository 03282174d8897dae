//! The audit log: who did what, when, from where, found by filters that live in the URL.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use hookit_contract::TokenId;
use hookit_server::page::{Query, empty, exact, field, pager, table};
use hookit_store::platform::AuditQuery;
use maud::{Markup, html};
use serde::Deserialize;

use super::{Pages, Visit, words};
use crate::Shared;
use crate::api::{Result, store_error};
use crate::credentials::FIRST_OPERATOR;

const LIST: &str = "/console/audit";

/// Entries on a page.
const PAGE: usize = 100;

pub(super) fn pages() -> Pages {
    Pages::default().page(LIST, "/audit", list)
}

/// What is looked for. A field of a form that was left empty comes as an empty text.
#[derive(Deserialize)]
struct Filter {
    token_id: Option<String>,
    action: Option<String>,
    target: Option<String>,
    since: Option<String>,
    until: Option<String>,
    before: Option<String>,
}

impl Filter {
    fn query(&self) -> Result<AuditQuery> {
        let number = |field, text: &Option<String>| words::parsed::<i64>(field, text.as_ref(), "a number");
        let text = |text: &Option<String>| words::said(text.as_ref()).map(str::to_owned);
        let time = |field, text: &Option<String>| {
            words::said(text.as_ref()).map(|text| words::moment(field, text)).transpose()
        };
        Ok(AuditQuery {
            before: number("before", &self.before)?,
            token_id: number("token_id", &self.token_id)?.map(TokenId),
            action: text(&self.action),
            target: text(&self.target),
            since: time("since", &self.since)?,
            until: time("until", &self.until)?,
            limit: PAGE,
        })
    }

    /// The log with this filter, from a place on.
    fn link(&self, before: Option<i64>) -> String {
        let fields = [
            ("token_id", &self.token_id),
            ("action", &self.action),
            ("target", &self.target),
            ("since", &self.since),
            ("until", &self.until),
        ];
        words::filtered(LIST, &fields, before)
    }
}

async fn list(
    State(shared): State<Arc<Shared>>,
    visit: Visit,
    Query(filter): Query<Filter>,
) -> Result<Response> {
    let page = shared.store.audit(filter.query()?).await.map_err(store_error)?;
    let columns =
        [("When (UTC)", ""), ("Who", ""), ("What", ""), ("To what", ""), ("From", ""), ("Request", "")];
    let rows = html! {
        @for entry in &page.entries {
            tr {
                td.tight { (exact(entry.caller.now)) }
                td {
                    a href={ (LIST) "?token_id=" (entry.caller.token_id) } { (entry.name.as_deref().unwrap_or(FIRST_OPERATOR)) }
                }
                td.tight { code { (entry.action) } }
                td { code { (entry.target) } }
                td.tight data-name="From" { code { (entry.caller.address) } }
                td.tight data-name="Request" { code.small { (entry.caller.request_id) } }
            }
        }
    };
    let next = page.next_before.map(|before| filter.link(Some(before)));
    let first = words::said(filter.before.as_ref()).map(|_| filter.link(None));
    let content = html! {
        (filters(&filter))
        @if !page.entries.is_empty() {
            (table("Audit log", &columns, &rows))
        } @else if next.is_some() {
            (empty("None of those that were looked through is like that; there are older ones."))
        } @else {
            (empty("No entry is like that."))
        }
        (pager(first.as_deref(), next.as_deref()))
    };
    Ok(visit.page("Audit log", content))
}

fn filters(filter: &Filter) -> Markup {
    let input = |id: &str, kind: &str, text: &Option<String>| {
        let step = (kind == "datetime-local").then_some("1");
        html! { input id=(id) name=(id) type=(kind) step=[step] value=(text.as_deref().unwrap_or_default()) autocomplete="off"; }
    };
    html! {
        form.fields action=(LIST) method="get" {
            (field("token_id", "Token", &input("token_id", "text", &filter.token_id)))
            (field("action", "What", &input("action", "text", &filter.action)))
            (field("target", "To what", &input("target", "text", &filter.target)))
            (field("since", "Since (UTC)", &input("since", "datetime-local", &filter.since)))
            (field("until", "Until (UTC)", &input("until", "datetime-local", &filter.until)))
            button type="submit" { "Filter" }
            a.button href=(LIST) { "All" }
        }
    }
}
