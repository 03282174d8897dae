//! What is genuine and could not be read: shown with its reason, and read anew or discarded when somebody asks for it.
//!
//! It was acknowledged, so its sender does not come again. After an upgrade that reads more, what reads now enters the view as a
//! delivery does, by the same rule about what is newer; what still does not stays, with the reason of today, until somebody who has
//! looked at it discards it.

use std::sync::Arc;

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookit_contract::{DeliveryId, ErrorCode, Timestamp};
use hookit_server::routes::{Routes, get, post};
use hookit_server::{Answer, ApiError, Checked, NoBody, Params, PathId};
use hookit_store::inbox::{Applied, Quarantined, Receipt};
use schemars::JsonSchema;
use serde::Serialize;

use crate::Shared;
use crate::read::{PageParams, failed, written};

/// What one call reads anew at most.
const APPLIED_MAX: usize = 1_000;

/// The heading of the calls.
const GROUP: &str = "Quarantine";

pub(crate) fn shown() -> Routes<Arc<Shared>> {
    Routes::new(GROUP)
        .route(
            "/quarantine",
            get(list)
                .named("listQuarantine", "What is genuine and could not be read, the oldest first.")
                .details("It was acknowledged, and is kept with the reason."),
        )
        .route(
            "/quarantine/{id}",
            get(one)
                .named("getQuarantined", "One thing in quarantine, with its bytes.")
                .refuses(&[ErrorCode::ResourceNotFound]),
        )
}

pub(crate) fn asked() -> Routes<Arc<Shared>> {
    Routes::new(GROUP)
        .route(
            "/quarantine/{id}/apply",
            post(apply)
                .named(
                    "applyQuarantined",
                    "Reads it anew; what reads now enters the view and leaves the quarantine.",
                )
                .details("What cannot be read still stays, with the reason of today.")
                .refuses(&[ErrorCode::ResourceNotFound]),
        )
        .route(
            "/quarantine/{id}/discard",
            post(discard)
                .named("discardQuarantined", "Takes it out of quarantine for good, unread.")
                .details("Its delivery stays as it came, so that a repeat of it is ignored, until it is removed for its age.")
                .refuses(&[ErrorCode::ResourceNotFound]),
        )
        .route(
            "/quarantine/apply",
            post(apply_all)
                .named("applyQuarantine", "Reads everything anew that is in quarantine, the oldest first.")
                .details("At most 1000 things at a time; `next_after` says where to go on."),
        )
}

/// Something in quarantine: its bytes as `text` where they are text, else as `base64`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Quarantined")]
struct Shown<'a> {
    quarantine_id: i64,
    delivery_id: &'a DeliveryId,
    /// Which element of `orders`; null where the whole body is meant.
    position: Option<u32>,
    reason: &'a str,
    received_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl<'a> Shown<'a> {
    fn of(item: &'a Quarantined) -> Self {
        let (text, base64) = legible(&item.bytes);
        Shown {
            quarantine_id: item.quarantine_id,
            delivery_id: &item.delivery_id,
            position: item.position,
            reason: &item.reason,
            received_at: item.received_at,
            text,
            base64,
        }
    }
}

/// Bytes as text where they are text, else as base64.
pub(crate) fn legible(bytes: &[u8]) -> (Option<&str>, Option<String>) {
    let text = std::str::from_utf8(bytes).ok();
    (text, text.is_none().then(|| STANDARD.encode(bytes)))
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "a page is put together from texts")]
struct QuarantinePage {
    quarantine: Vec<Shown<'static>>,
    /// The `after` of the next page; null on the last one.
    next_after: Option<i64>,
}

async fn list(
    State(inbox): State<Arc<Shared>>,
    Params(params): Params<PageParams>,
) -> Result<Answer<QuarantinePage>, ApiError> {
    let page = inbox.store.quarantine(params.after, params.limit()).await.map_err(failed)?;
    let text = |item: &Quarantined| -> Bytes {
        serde_json::to_vec(&Shown::of(item)).expect("texts and numbers are JSON").into()
    };
    let next_after = page.items.last().filter(|_| page.more).map(|last| last.quarantine_id);
    Ok(written("quarantine", &page.items, text, next_after))
}

fn not_there(id: i64) -> ApiError {
    ApiError::not_found(format!("there is no {id} in quarantine"))
}

async fn one(
    State(inbox): State<Arc<Shared>>,
    PathId(id): PathId,
) -> Result<Answer<Shown<'static>>, ApiError> {
    let found = inbox.store.quarantine(Some(id - 1), 1).await.map_err(failed)?;
    let item = found.items.into_iter().find(|item| item.quarantine_id == id).ok_or_else(|| not_there(id))?;
    Ok(Answer::ok(&Shown::of(&item)))
}

/// What became of one thing that was read anew.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "QuarantineApplied")]
pub(crate) struct One {
    /// True where it could be read and is in quarantine no more.
    pub(crate) applied: bool,
    /// Orders whose view it renewed; of others the view has a newer state.
    renewed: usize,
    /// Why it cannot be read still.
    reason: Option<String>,
}

/// What became of several.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "QuarantineAppliedAll")]
pub(crate) struct Several {
    /// Things that could be read and are in quarantine no more.
    pub(crate) applied: usize,
    /// Orders whose view they renewed.
    renewed: usize,
    /// Things that cannot be read still.
    pub(crate) unreadable: usize,
    /// Behind this one there are more; null where there are none.
    next_after: Option<i64>,
}

async fn apply(
    State(inbox): State<Arc<Shared>>,
    PathId(id): PathId,
    _: NoBody,
) -> Result<Answer<One>, ApiError> {
    Ok(Answer::ok(&apply_one(&inbox, id).await?))
}

/// Reads one thing anew.
pub(crate) async fn apply_one(inbox: &Shared, id: i64) -> Result<One, ApiError> {
    let applied = inbox.store.apply_quarantined(id, inbox.clock.now()).await.map_err(failed)?;
    match applied {
        Applied::NoSuchThing => Err(not_there(id)),
        Applied::Unreadable { reason } => Ok(One { applied: false, renewed: 0, reason: Some(reason) }),
        Applied::Read(receipt) => {
            tracing::info!(quarantine_id = id, "what was in quarantine can be read");
            Ok(One { applied: true, renewed: renewed(&receipt), reason: None })
        }
    }
}

/// What was discarded.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "QuarantineDiscarded")]
pub(crate) struct Discarded {
    quarantine_id: i64,
    /// The delivery that brought it.
    delivery_id: DeliveryId,
}

async fn discard(
    State(inbox): State<Arc<Shared>>,
    PathId(id): PathId,
    _: NoBody,
) -> Result<Answer<Discarded>, ApiError> {
    Ok(Answer::ok(&discard_one(&inbox, id).await?))
}

/// Takes one thing out for good.
pub(crate) async fn discard_one(inbox: &Shared, id: i64) -> Result<Discarded, ApiError> {
    let delivery_id =
        inbox.store.discard_quarantined(id).await.map_err(failed)?.ok_or_else(|| not_there(id))?;
    tracing::info!(quarantine_id = id, %delivery_id, "what was in quarantine was discarded");
    Ok(Discarded { quarantine_id: id, delivery_id })
}

async fn apply_all(
    State(inbox): State<Arc<Shared>>,
    Params(AfterParams { after }): Params<AfterParams>,
    _: NoBody,
) -> Result<Answer<Several>, ApiError> {
    Ok(Answer::ok(&apply_all_behind(&inbox, after).await?))
}

/// Reads everything anew behind a place, up to a bound.
pub(crate) async fn apply_all_behind(inbox: &Shared, mut after: Option<i64>) -> Result<Several, ApiError> {
    let mut all = Several { applied: 0, renewed: 0, unreadable: 0, next_after: None };
    for looked_at in 0.. {
        let found = inbox.store.quarantine(after, 1).await.map_err(failed)?;
        let Some(item) = found.items.first() else { break };
        if looked_at == APPLIED_MAX {
            all.next_after = after;
            break;
        }
        after = Some(item.quarantine_id);
        match inbox.store.apply_quarantined(item.quarantine_id, inbox.clock.now()).await.map_err(failed)? {
            Applied::NoSuchThing => {}
            Applied::Unreadable { .. } => all.unreadable += 1,
            Applied::Read(receipt) => {
                all.applied += 1;
                all.renewed += renewed(&receipt);
            }
        }
    }
    tracing::info!(applied = all.applied, unreadable = all.unreadable, "the quarantine was read anew");
    Ok(all)
}

#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AfterParams {
    /// The `next_after` of the call before.
    #[schemars(range(min = 0))]
    after: Option<i64>,
}

impl Checked<Arc<Shared>> for AfterParams {}

fn renewed(receipt: &Receipt) -> usize {
    match receipt {
        Receipt::Received { applied, .. } => *applied,
        Receipt::Duplicate => 0,
    }
}
