//! What a delivery is posted with: its headers and its bytes as they go out, and a `curl` that posts them once more.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use hookit_contract::{DeliveryId, Timestamp};
use hookit_egress::Post;
use hookit_server::page::{Tone, bytes, copy, facts, note};
use hookit_server::{ApiError, PathText};
use http::header::{AUTHORIZATION, CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use maud::{Markup, html};

use super::{Pages, Visit};
use crate::Shared;
use crate::api::{Result, store_error};

/// Bytes of a body that a page shows; all of them are a download.
const SHOWN_MAX: usize = 32 << 10;

pub(super) fn pages() -> Pages {
    Pages::default().page("/console/deliveries/{id}/body", "/deliveries/{id}", body)
}

/// How a delivery would be posted now: the same bytes as ever, to where its registration points today, signed with the secret of
/// today. Why it cannot be, in words, where it cannot; none where there is no such delivery.
async fn post(
    shared: &Shared,
    id: &DeliveryId,
    now: Timestamp,
) -> Result<Option<std::result::Result<Post, String>>> {
    let payload = shared.store.payload_of(id).await.map_err(store_error)?;
    Ok(payload.map(|payload| shared.posts.post(payload, now)))
}

/// What is sent, as a part of the delivery's page.
pub(super) async fn sent(shared: &Shared, id: &DeliveryId, visit: &Visit) -> Result<Markup> {
    let post = match post(shared, id, visit.now).await? {
        Some(Ok(post)) => post,
        Some(Err(why)) => {
            return Ok(note(Tone::Warn, &html! { "It cannot be sent as things stand: " (why) }));
        }
        None => return Ok(html! {}),
    };
    let download = format!("/console/deliveries/{id}/body");
    let shown = String::from_utf8_lossy(&post.body[..post.body.len().min(SHOWN_MAX)]);
    let headers = post.headers.iter().map(|(name, value)| {
        let said = if value.is_sensitive() { "not shown" } else { value.to_str().unwrap_or("not text") };
        (name.as_str(), html! { code { (said) } })
    });
    Ok(html! {
        div.panel {
            p { "To " code { (post.url.as_str()) } }
            (facts(headers))
        }
        p.quiet.small {
            "The bytes are the same at each attempt. The signature is that of today's secret: before a rotation it was another."
        }
        h3 { "The body, " (bytes(post.body.len() as u64)) }
        pre #body tabindex="0" { (shown) }
        @if post.body.len() > SHOWN_MAX { p.quiet { "Only the first " (bytes(SHOWN_MAX as u64)) " are shown." } }
        div.actions { a.button href=(download) download { "All bytes as a file" } }
        h3 { "The same by hand" }
        pre #curl tabindex="0" { (curl(&post, id)) }
        div.actions { (copy("curl")) }
        @if post.headers.contains_key(AUTHORIZATION) {
            p.quiet.small { "Set " code { "BASIC_AUTH" } " to the name and password of the endpoint, with a colon between." }
        }
    })
}

/// A command for a shell that posts the same. Of a body that is too long for a page it reads the file that was downloaded.
fn curl(post: &Post, id: &DeliveryId) -> String {
    let is_short = post.body.len() <= SHOWN_MAX;
    let mut said = String::new();
    if is_short {
        let _ = write!(said, "printf %s {} |\n  ", quoted(&String::from_utf8_lossy(&post.body)));
    }
    let _ = write!(said, "curl -sS -g -D - {}", quoted(post.url.as_str()));
    for (name, value) in &post.headers {
        if value.is_sensitive() {
            said.push_str(" \\\n  -u \"$BASIC_AUTH\"");
        } else if let Ok(value) = value.to_str() {
            let _ = write!(said, " \\\n  -H {}", quoted(&format!("{name}: {value}")));
        }
    }
    let from = if is_short { "@-".to_owned() } else { quoted(&format!("@{}", file_name(id))) };
    let _ = write!(said, " \\\n  --data-binary {from}");
    said
}

/// A word of a shell that means just this text.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn file_name(id: &DeliveryId) -> String {
    format!("{id}.json")
}

async fn body(State(shared): State<Arc<Shared>>, visit: Visit, PathText(id): PathText) -> Result<Response> {
    let id = DeliveryId::from(id);
    let missing = || ApiError::not_found("there is no such delivery");
    let payload = shared.store.payload_of(&id).await.map_err(store_error)?.ok_or_else(missing)?;
    tracing::info!(delivery_id = %id, by = %visit.operator.name, "a delivery's body was downloaded");
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{}\"", file_name(&id)))
        .unwrap_or(HeaderValue::from_static("attachment"));
    let kind = HeaderValue::from_static("application/json");
    Ok((StatusCode::OK, [(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, disposition)], payload.body)
        .into_response())
}
