//! What happened, in order and without gaps, so that a receiver that missed something can catch up by itself.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use bytes::{BufMut as _, Bytes, BytesMut};
use hookit_contract::{Actor, BusinessId, ErrorCode, EventType, OrderId, StatusCodes, Timestamp};
use hookit_server::routes::{Routes, get};
use hookit_server::{Answer, ApiError, Checked, Fault, Faults, Params};
use hookit_store::platform::{EventPage, EventQuery, EventsRead, StoredEvent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cursor::{self, Cursor, EVENTS};
use super::{PAGE_DEFAULT, PAGE_MAX};
use crate::Shared;
use crate::api::{PAGE_BYTES_MAX, Result, store_error};
use crate::credentials::{CallingPartner, Scope};
use crate::order_schema::Order;

pub(super) fn routes() -> Routes<Arc<Shared>> {
    Routes::new(super::GROUP).route(
        "/events",
        super::scoped(get(list), Scope::WebhooksRead)
            .named("listEvents", "What happened to the business's orders, in order and without gaps.")
            .details(
                "Without `after` from the earliest that is kept on. `next_after` is always there and moves on, also where nothing \
                 happened: ask with it again, at once where `has_more` is true. A cursor behind which events were removed for \
                 their age gets 410: read the orders anew, and go on without one.",
            )
            .refuses(&[ErrorCode::RequestCursorExpired]),
    )
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// The `next_after` of the page before.
    after: Option<Cursor<EVENTS>>,
    /// Items on the page; 50 where it is left out.
    #[schemars(range(min = 1, max = PAGE_MAX))]
    limit: Option<usize>,
}

impl Checked<Arc<Shared>> for ListParams {
    async fn look_up(&self, shared: &Arc<Shared>, faults: &mut Faults) {
        let query = EventQuery {
            // Where the events end is the same for all.
            business_id: BusinessId(0),
            after: self.after.map(|Cursor(place)| place),
            limit: 1,
            record_bytes_max: 0,
        };
        if self.after.is_some()
            && let Ok(EventsRead::Ahead) = shared.store.events(query).await
        {
            faults.add("after", cursor::EXPECTED);
        }
    }
}

/// An event, but for its record, which comes behind it as it is kept.
#[derive(Serialize, JsonSchema)]
struct Shown {
    event_type: EventType,
    created_at: Timestamp,
    occurred_at: Option<Timestamp>,
    actor: &'static str,
    order_id: OrderId,
    version: i64,
    status_from: Option<i64>,
    status: i64,
}

/// An event with its record, the bytes that the webhook of it carries.
#[derive(JsonSchema)]
#[schemars(rename = "Event")]
#[expect(dead_code, reason = "an event is put together from texts")]
struct WithRecord {
    #[schemars(flatten)]
    event: Shown,
    order: Order,
}

#[derive(JsonSchema)]
#[schemars(rename = "Events")]
#[expect(dead_code, reason = "a page is put together from texts")]
struct Page {
    events: Vec<WithRecord>,
    /// The `after` of the next call.
    next_after: String,
    /// True where more of the business's own is to be read at once, or where so many events of others follow that nobody looked
    /// further.
    has_more: bool,
}

impl Shown {
    fn of(event: &StoredEvent, codes: &StatusCodes) -> Self {
        Shown {
            event_type: event.event_type,
            created_at: event.created_at,
            occurred_at: event.occurred_at,
            actor: match event.actor {
                Actor::Operator => "operator",
                Actor::Partner => "partner",
            },
            order_id: event.order_id,
            version: event.version,
            status_from: event.status_from.map(|status| codes.code_of(status)),
            status: codes.code_of(event.status),
        }
    }
}

fn written(page: &EventPage, codes: &StatusCodes) -> Bytes {
    let size: usize = page.events.iter().map(|event| event.record.len() + 320).sum();
    let mut out = BytesMut::with_capacity(size + 64);
    out.put_slice(b"{\"events\":[");
    for (i, event) in page.events.iter().enumerate() {
        if i > 0 {
            out.put_u8(b',');
        }
        let shown = serde_json::to_vec(&Shown::of(event, codes)).expect("an event is plain text");
        // The object is left open for the record.
        out.put_slice(&shown[..shown.len() - 1]);
        out.put_slice(b",\"order\":");
        out.put_slice(&event.record);
        out.put_u8(b'}');
    }
    let next = Cursor::<EVENTS>(page.next);
    out.put_slice(format!("],\"next_after\":\"{next}\",\"has_more\":{}}}", page.more).as_bytes());
    out.freeze()
}

async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<CallingPartner>,
    Params(params): Params<ListParams>,
) -> Result<Answer<Page>> {
    let query = EventQuery {
        business_id: caller.business_id,
        after: params.after.map(|Cursor(place)| place),
        limit: params.limit.unwrap_or(PAGE_DEFAULT),
        record_bytes_max: PAGE_BYTES_MAX,
    };
    match shared.store.events(query).await.map_err(store_error)? {
        EventsRead::Page(page) => Ok(Answer::raw(written(&page, &shared.codes))),
        EventsRead::Ahead => Err(Fault::new("after", cursor::EXPECTED).into()),
        EventsRead::Expired => {
            let message = "events behind this cursor are not kept any more; read the orders anew, and go on without a cursor";
            Err(ApiError::about(ErrorCode::RequestCursorExpired, Fault::new("after", message)))
        }
    }
}
