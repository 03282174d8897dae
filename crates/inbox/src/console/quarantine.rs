//! What is genuine and could not be read, with its reason and bytes; read anew or discarded by who may act.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use hookit_contract::ErrorCode;
use hookit_server::ApiError;
use hookit_server::page::{Form, Query, Tone, age, empty, note, see_other};
use hookit_store::inbox::Quarantined;
use maud::{Markup, html};
use serde::Deserialize;

use super::{Result, Visit, sign_in};
use crate::Shared;
use crate::quarantine::{apply_all_behind, apply_one, discard_one};
use crate::read::failed;

pub(super) const LIST: &str = "/console/quarantine";
pub(super) const APPLY: &str = "/console/quarantine/apply";
pub(super) const DISCARD: &str = "/console/quarantine/discard";

/// Things on a page, and how much of the bytes of each.
const SHOWN: usize = 25;
const BYTES_SHOWN: usize = 4 << 10;

#[derive(Deserialize)]
pub(super) struct Asked {
    after: Option<i64>,
    /// What was done just now.
    applied: Option<usize>,
    unreadable: Option<usize>,
    discarded: Option<i64>,
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    visit: Visit,
    Query(asked): Query<Asked>,
) -> Result<Response> {
    let page = shared.store.quarantine(asked.after, SHOWN).await.map_err(failed)?;
    let items = page.items;
    let next = items.last().filter(|_| page.more).map(|last| format!("{LIST}?after={}", last.quarantine_id));
    let content = html! {
        @if let (Some(applied), Some(unreadable)) = (asked.applied, asked.unreadable) {
            (note(if unreadable == 0 { Tone::Good } else { Tone::Warn }, &html! {
                (applied) " could be read and entered the view; " (unreadable) " cannot be read still."
            }))
        }
        @if let Some(id) = asked.discarded { (note(Tone::Good, &html! { "No. " (id) " was discarded." })) }
        p.quiet { "It was signed right and acknowledged, and could not be read. After an upgrade that reads more it can be read anew." }
        @if items.is_empty() {
            (empty("There is nothing in quarantine."))
        } @else {
            @if visit.may_act() {
                div.actions { (visit.form(APPLY, &html! { button type="submit" { "Read everything anew" } })) }
            } @else {
                p.quiet.small { a href=(sign_in::DOOR.path) { "Sign in with the write token" } " to have it read anew, or to discard it." }
            }
            @for item in &items { (thing(item, &visit)) }
        }
        @if let Some(next) = &next { nav.pager aria-label="Pages" { a href=(next) rel="next" { "Next" } } }
    };
    Ok(visit.page("Quarantine", content))
}

fn thing(item: &Quarantined, visit: &Visit) -> Markup {
    let text = String::from_utf8_lossy(&item.bytes);
    let shown: String = text.chars().take(BYTES_SHOWN).collect();
    let is_cut = shown.len() < text.len();
    html! {
        section.panel {
            h2 { "No. " (item.quarantine_id) " " span.quiet { (age(visit.now, item.received_at)) } }
            p { (item.reason) }
            p.quiet.small {
                "Delivery " code { (item.delivery_id.as_str()) }
                @if let Some(position) = item.position { ", order " (position + 1) " of it" } @else { ", the whole body" }
            }
            details id={ "bytes-" (item.quarantine_id) } {
                summary { (item.bytes.len()) " bytes" @if is_cut { ", the beginning" } }
                pre.scroll tabindex="0" { code { (shown) } }
            }
            @if visit.may_act() {
                div.actions {
                    (visit.form(APPLY, &html! {
                        input type="hidden" name="id" value=(item.quarantine_id);
                        button type="submit" { "Read anew" }
                    }))
                    details id={ "discard-" (item.quarantine_id) } {
                        summary { "Discard…" }
                        p { "It leaves the quarantine for good and is never read. What else its delivery brought stays." }
                        (visit.form(DISCARD, &html! {
                            input type="hidden" name="id" value=(item.quarantine_id);
                            button.danger type="submit" { "Discard it" }
                        }))
                    }
                }
            }
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    id: Option<i64>,
}

pub(super) async fn apply(
    State(shared): State<Arc<Shared>>,
    visit: Visit,
    Form(Wanted { id }): Form<Wanted>,
) -> Result<Response> {
    only_who_may_act(&visit)?;
    let (applied, unreadable) = match id {
        Some(id) => {
            let one = apply_one(&shared, id).await?;
            (usize::from(one.applied), usize::from(!one.applied))
        }
        None => {
            let all = apply_all_behind(&shared, None).await?;
            (all.applied, all.unreadable)
        }
    };
    Ok(see_other(&format!("{LIST}?applied={applied}&unreadable={unreadable}")))
}

#[derive(Deserialize)]
pub(super) struct Chosen {
    id: i64,
}

pub(super) async fn discard(
    State(shared): State<Arc<Shared>>,
    visit: Visit,
    Form(Chosen { id }): Form<Chosen>,
) -> Result<Response> {
    only_who_may_act(&visit)?;
    discard_one(&shared, id).await?;
    Ok(see_other(&format!("{LIST}?discarded={id}")))
}

fn only_who_may_act(visit: &Visit) -> Result<()> {
    match visit.may_act() {
        true => Ok(()),
        false => Err(ApiError::new(ErrorCode::AuthForbidden, "sign in with the write token first")),
    }
}
