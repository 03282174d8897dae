//! Partners: issued, their secrets rotated, revoked. A secret is shown once, on the page that made it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use hookit_contract::PartnerId;
use hookit_server::page::{
    Form, Query, Tone, age, badge, empty, exact, facts, field, note, pager, secret, see_other, table,
};
use hookit_server::{ApiError, PathText, checked};
use hookit_store::cut;
use hookit_store::platform::{Partner, PartnerQuery, WebhookQuery};
use http::Method;
use maud::{Markup, html};
use serde::Deserialize;

use super::registrations::{Behind, Shown, registrations};
use super::{Pages, ROWS_MAX, Visit, deliveries, words};
use crate::Shared;
use crate::api::{Result, store_error};
use crate::credentials::{Acting, Scope};
use crate::operator::partners::{self, IssueBody, Issued, RotateBody};

const LIST: &str = "/console/partners";

pub(super) fn pages() -> Pages {
    Pages::default()
        .page(LIST, "/partners", list)
        .action("/console/partners/issue", Method::POST, "/partners", issue)
        .page("/console/partners/{id}", "/partners", show)
        .action(
            "/console/partners/{id}/rotate-secret",
            Method::POST,
            "/partners/{id}/rotate-secret",
            rotate_secret,
        )
        .action(
            "/console/partners/{id}/rotate-webhook-secret",
            Method::POST,
            "/partners/{id}/rotate-webhook-secret",
            rotate_webhook_secret,
        )
        .action("/console/partners/{id}/revoke", Method::POST, "/partners/{id}/revoke", revoke)
}

/// A link to a partner.
pub(super) fn link(partner_id: &PartnerId, name: Option<&str>) -> Markup {
    html! { a href={ (LIST) "/" (partner_id) } { (name.unwrap_or(partner_id.as_str())) } }
}

/// Behind which partner a page begins; at the newest one where nothing is said.
#[derive(Deserialize)]
struct From {
    after: Option<String>,
}

async fn list(State(shared): State<Arc<Shared>>, visit: Visit, Query(from): Query<From>) -> Result<Response> {
    let after = words::said(from.after.as_ref()).map(PartnerId::from);
    let first = after.is_some().then_some(LIST);
    let query = PartnerQuery { after, newest_first: true, limit: ROWS_MAX + 1 };
    let mut partners = shared.store.partners(query).await.map_err(store_error)?;
    let next = cut(&mut partners, ROWS_MAX).map(|last| format!("{LIST}?after={}", last.partner_id));
    // Within a page those in use come first.
    partners.sort_by_key(|one| (one.revoked_at.is_some(), std::cmp::Reverse(one.created_at)));
    let columns = [
        ("Partner", ""),
        ("Business", "number"),
        ("Credential", ""),
        ("Key", ""),
        ("Scopes", ""),
        ("Issued", ""),
    ];
    let rows = html! {
        @for partner in &partners {
            tr {
                td.name { (link(&partner.partner_id, Some(&partner.name))) }
                td.number data-name="Business" { (partner.business_id) }
                td { (state(partner)) }
                td.tight data-name="Key" { code { (partner.partner_key) } }
                td data-name="Scopes" { (scopes(partner)) }
                td.tight { (age(visit.now, partner.created_at)) }
            }
        }
    };
    let content = html! {
        @if visit.may(&Method::POST, "/partners") {
            details #new open[partners.is_empty() && first.is_none()] {
                summary { "Issue a credential…" }
                (form(&visit))
            }
        }
        @if !partners.is_empty() { (table("Partners", &columns, &rows)) }
        @else if first.is_none() { (empty("There is no partner yet.")) }
        @else { (empty("There are no older ones.")) }
        (pager(first, next.as_deref()))
    };
    Ok(visit.page("Partners", content))
}

fn state(partner: &Partner) -> Markup {
    match partner.revoked_at {
        Some(_) => badge(Tone::Quiet, "revoked"),
        None => badge(Tone::Good, "in use"),
    }
}

fn scopes(partner: &Partner) -> String {
    if partner.scopes.len() == Scope::ALL.len() { "all".to_owned() } else { partner.scopes.join(", ") }
}

fn form(visit: &Visit) -> Markup {
    visit.form(
        "/console/partners/issue",
        "stacked",
        &html! {
            (field("name", "Name", &html! { input #name name="name" type="text" required autocomplete="off"; }))
            (field("business_id", "Business", &html! { input #business_id name="business_id" type="text" inputmode="numeric" required autocomplete="off"; }))
            fieldset {
                legend { "Scopes" }
                @for scope in Scope::ALL {
                    label { input type="checkbox" name=(scope.as_str()) value="yes" checked; " " (scope.as_str()) }
                }
            }
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
    let body = IssueBody {
        name: fields.get("name").cloned().unwrap_or_default(),
        business_id: words::parsed("business_id", fields.get("business_id"), "a number")?.unwrap_or_default(),
        scopes: Some(Scope::ALL.into_iter().filter(|scope| fields.contains_key(scope.as_str())).collect()),
    };
    let body = checked(body, &shared)?;
    let Issued { partner, secret_key, webhook_secret } = partners::issued(&shared, &*store, body).await?;
    let content = html! {
        (once())
        (facts([
            ("Partner", link(&partner.partner_id, Some(&partner.name))),
            ("Business", html! { (partner.business_id) }),
            ("Scopes", html! { (scopes(&partner)) }),
        ]))
        (secret("partner-key", "Key (the name in Basic authorization; no secret)", &partner.partner_key))
        (secret("secret-key", "Secret key (the password in Basic authorization)", &secret_key))
        (secret("webhook-secret", "Webhook secret (what signatures are checked with)", &webhook_secret))
        p { (link(&partner.partner_id, Some("To the partner's page"))) }
    };
    Ok(visit.page("A credential was issued", content))
}

/// Said above what is shown and never again.
pub(super) fn once() -> Markup {
    note(Tone::Warn, &html! { "Copy what is secret now: it is shown on this page only, and never again." })
}

async fn one(shared: &Shared, id: &PartnerId) -> Result<Partner> {
    let partner = shared.store.partner(id).await.map_err(store_error)?;
    partner.ok_or_else(|| ApiError::not_found("there is no such partner"))
}

async fn show(
    State(shared): State<Arc<Shared>>,
    visit: Visit,
    PathText(id): PathText,
    Query(behind): Query<Behind>,
) -> Result<Response> {
    let partner = one(&shared, &PartnerId::from(id)).await?;
    let query =
        WebhookQuery { partner_id: Some(partner.partner_id.clone()), ..WebhookQuery::first(ROWS_MAX) };
    let own = Shown::read(&shared, query, &behind).await?;
    let urls = deliveries::urls(&shared).await?;
    let mut about = vec![
        ("Credential", state(&partner)),
        ("Id", html! { code { (partner.partner_id) } }),
        ("Key", html! { code { (partner.partner_key) } }),
        ("Business", html! { (partner.business_id) }),
        ("Scopes", html! { (partner.scopes.join(", ")) }),
        ("Issued", html! { (exact(partner.created_at)) " · " (age(visit.now, partner.created_at)) }),
    ];
    if let Some(at) = partner.revoked_at {
        about.push(("Revoked", html! { (exact(at)) " · " (age(visit.now, at)) }));
    }
    if let Some((_, at)) = partner.webhook_secret_next.as_ref().filter(|(_, at)| *at > visit.now) {
        about.push(("Next webhook secret", html! { "signs from " (exact(*at)) " on" }));
    }
    let content = html! {
        div.panel { (facts(about)) }
        (actions(&partner, &visit))
        h2 { "Registrations" }
        (registrations(&own, Some(&urls), &visit))
    };
    Ok(visit.page(&partner.name, content))
}

/// What can be done with it, and by this operator.
fn actions(partner: &Partner, visit: &Visit) -> Markup {
    let path = |what: &str| format!("{LIST}/{}/{what}", partner.partner_id);
    let may = |what: &str| visit.may(&Method::POST, &format!("/partners/{{id}}/{what}"));
    let is_in_use = partner.revoked_at.is_none();
    html! {
        div.actions {
            @if may("rotate-webhook-secret") {
                details #rotate-webhook-secret {
                    summary { "New webhook secret…" }
                    p { "Give the partner the new one before it signs: its inbox can be told both. Without a time it signs at once, and whoever only knows the old one refuses what comes." }
                    @if let Some((_, at)) = partner.webhook_secret_next.as_ref().filter(|(_, at)| *at > visit.now) {
                        (note(Tone::Warn, &html! { "One is made already and signs from " (exact(*at)) " on. Another one takes its place: that one will never sign." }))
                    }
                    (visit.form(&path("rotate-webhook-secret"), "fields", &html! {
                        (field("current_at", "Signs from (UTC)", &html! { input #current_at name="current_at" type="datetime-local" step="1"; }))
                        button.danger type="submit" { "Make it" }
                    }))
                }
            }
            @if is_in_use && may("rotate-secret") {
                details #rotate-secret {
                    summary { "New secret key…" }
                    p { "The old one fails at once, on every call." }
                    (visit.form(&path("rotate-secret"), "", &html! { button.danger type="submit" { "Make a new secret key" } }))
                }
            }
            @if is_in_use && may("revoke") {
                details #revoke {
                    summary { "Revoke…" }
                    p { "No more calls of the Partner API with this credential. Its registrations stay, and webhooks go on being sent." }
                    (visit.form(&path("revoke"), "", &html! { button.danger type="submit" { "Revoke it" } }))
                }
            }
        }
    }
}

/// A page that shows a new secret of a partner.
fn new_secret(
    visit: &Visit,
    partner: &Partner,
    title: &str,
    name: &str,
    value: &str,
    more: &Markup,
) -> Response {
    let content = html! {
        (once())
        (secret("new-secret", name, value))
        (more)
        p { (link(&partner.partner_id, Some(&partner.name))) }
    };
    visit.page(title, content)
}

async fn rotate_secret(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    visit: Visit,
    PathText(id): PathText,
) -> Result<Response> {
    let partner = one(&shared, &PartnerId::from(id)).await?;
    let made = partners::secret_rotated(&shared, &*store, &partner.partner_id).await?;
    let more = html! { p { "The old one does not work any more." } };
    Ok(new_secret(&visit, &partner, "A new secret key", "Secret key", &made, &more))
}

async fn rotate_webhook_secret(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    visit: Visit,
    PathText(id): PathText,
    Form(fields): Form<BTreeMap<String, String>>,
) -> Result<Response> {
    let partner = one(&shared, &PartnerId::from(id)).await?;
    let current_at =
        words::said(fields.get("current_at")).map(|text| words::moment("current_at", text)).transpose()?;
    let body = checked(RotateBody { current_at }, &shared)?;
    let made = partners::webhook_secret_rotated(&shared, &*store, &partner.partner_id, body).await?;
    let more = match current_at {
        Some(at) => html! { p { "It signs from " (exact(at)) " UTC on; until then the old one does." } },
        None => html! { p { "It signs from now on." } },
    };
    Ok(new_secret(&visit, &partner, "A new webhook secret", "Webhook secret", &made, &more))
}

async fn revoke(
    State(shared): State<Arc<Shared>>,
    Extension(Acting(store)): Extension<Acting>,
    PathText(id): PathText,
) -> Result<Response> {
    let id = PartnerId::from(id);
    partners::revoked(&shared, &*store, &id).await?;
    Ok(see_other(&format!("{LIST}/{id}")))
}
