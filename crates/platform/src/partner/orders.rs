//! A business's orders: finding, reading and moving them, and the tables of the codes in them.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use hookit_contract::{
    BranchId, BrandId, BusinessId, ErrorCode, FULFILLMENT_STATUSES, GivenReason, KnownStatus, OrderId,
    PartnerMove, StatusCodes, Timestamp,
};
use hookit_server::routes::{Routes, get, patch};
use hookit_server::{Answer, ApiError, Checked, Faults, KeptBody, Key, Params, PathId};
use hookit_store::platform::{OrderSearch, PartnerMoveRequest, PartnerMoved, Reason};
use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{found, scoped};
use crate::Shared;
use crate::api::{self, Result, no_such_order, store_error};
use crate::credentials::{CallingPartner, Scope};
use crate::once;
use crate::operator::orders::{TextOrCode, check_reason};
use crate::order_schema::{Order, OrdersFound};

/// From `created_from` to `created_to` at most.
const WINDOW_MAX: Duration = Duration::from_secs(90 * 86_400);

/// Orders on one page.
const SIZE_MAX: u64 = 1000;
const SIZE_DEFAULT: u64 = 100;

pub(super) fn routes() -> Routes<Arc<Shared>> {
    let (read, missing) = (Scope::OrdersRead, ErrorCode::ResourceNotFound);
    Routes::new(super::GROUP)
        .route(
            "/orders",
            scoped(get(list), read)
                .named("listOwnOrders", "Orders by the time of their creation, the earliest first.")
                .details(
                    "`created_from` is inclusive and `created_to` exclusive, at most 90 days apart; without them the last 90 days. \
                     `status` is a code or a name. What is new comes behind the pages that were read, but for an order of the very \
                     millisecond of the last one: with a `created_to` some seconds back nothing comes in between.",
                )
                .refuses(&[ErrorCode::RequestInvalidRange]),
        )
        .route(
            "/orders/statuses",
            scoped(get(statuses), read).named("listStatuses", "What the codes in `status` mean."),
        )
        .route(
            "/orders/fulfillment-statuses",
            scoped(get(fulfillment_statuses), read)
                .named("listFulfillmentStatuses", "What the codes in `fulfillment_status_id` mean."),
        )
        .route(
            "/orders/{id}",
            scoped(get(one), read)
                .named("getOrder", "The record, byte for byte the one in the webhook.")
                .refuses(&[missing]),
        )
        .route(
            "/orders/{id}/status",
            once::keyed(scoped(patch(move_to), Scope::OrdersWrite))
                .named("moveOwnOrder", "Moves an order; the answer is its record.")
                .details(
                    "`rejected` is the refusal of a PLACED order, which ends in CANCELLED. `rejected` and `cancelled` need a \
                     `reason_code`, an integer or a text. `accepted` and `ready` for an order whose courier is assigned or has \
                     arrived are accepted and change nothing.",
                )
                .refuses(&[missing, ErrorCode::StateInvalidTransition]),
        )
}

async fn one(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<CallingPartner>,
    PathId(id): PathId,
) -> Result<Answer<Order>> {
    let order = shared.store.order(OrderId(id)).await.map_err(store_error)?;
    let order = order.filter(|o| o.business_id == caller.business_id).ok_or_else(no_such_order)?;
    Ok(Answer::raw(order.record))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// From 1 on; the first where it is left out.
    #[schemars(range(min = 1))]
    page: Option<u64>,
    /// Orders on a page; 100 where it is left out.
    #[schemars(range(min = 1, max = SIZE_MAX))]
    size: Option<u64>,
    /// A code, which is zero or above, or a name in any case.
    status: Option<String>,
    #[schemars(range(min = 1))]
    brand_id: Option<i64>,
    #[schemars(range(min = 1))]
    branch_id: Option<i64>,
    /// Created at this time or later.
    created_from: Option<Timestamp>,
    /// Created before this time.
    created_to: Option<Timestamp>,
}

/// A page as it was asked for.
struct Page {
    number: u64,
    size: u64,
    search: OrderSearch,
}

impl Checked<Arc<Shared>> for ListParams {
    fn check(&self, shared: &Arc<Shared>, faults: &mut Faults) {
        let is_status = |text: &String| shared.codes.read(text).is_some();
        let message = || format!("expected a status code, or one of {}", KnownStatus::names());
        faults.unless(self.status.as_ref().is_none_or(is_status), "status", message());
        api::check_stretch(faults, ("created_from", self.created_from), ("created_to", self.created_to));
        let too_early = match (self.created_from, self.created_to) {
            (Some(from), Some(to)) if to.since(from) > WINDOW_MAX => {
                "expected a time at most 90 days before created_to"
            }
            (Some(from), None)
                if faults.has_read("created_to") && shared.clock.now().since(from) > WINDOW_MAX =>
            {
                "expected a time at most 90 days ago where no created_to is given"
            }
            _ => return,
        };
        faults.add_as(ErrorCode::RequestInvalidRange, "created_from", too_early);
    }
}

impl ListParams {
    fn read(self, business_id: BusinessId, codes: &StatusCodes, now: Timestamp) -> Page {
        let (number, size) = (self.page.unwrap_or(1), self.size.unwrap_or(SIZE_DEFAULT));
        let (created_from, created_to) = self.window(now);
        let search = OrderSearch {
            business_id,
            created_from,
            created_to,
            status: self.status.and_then(|text| codes.read(&text)),
            brand_id: self.brand_id.map(BrandId),
            branch_id: self.branch_id.map(BranchId),
            skip: (number - 1).saturating_mul(size),
            limit: usize::try_from(size).unwrap_or(usize::MAX),
        };
        Page { number, size, search }
    }

    /// The stretch of time that is asked about. Without an end it reaches up to now, without a beginning as far back as it
    /// may.
    fn window(&self, now: Timestamp) -> (Timestamp, Timestamp) {
        // What was created in this millisecond is in it.
        let to = self.created_to.unwrap_or_else(|| now.plus(Duration::from_millis(1)));
        let back = i64::try_from(WINDOW_MAX.as_millis()).unwrap_or(i64::MAX);
        let earliest = || Timestamp::from_millis(to.as_millis().saturating_sub(back));
        (self.created_from.unwrap_or_else(earliest), to)
    }
}

async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<CallingPartner>,
    method: Method,
    Params(params): Params<ListParams>,
) -> Result<Answer<OrdersFound>> {
    let Page { number, size, search } = params.read(caller.business_id, &shared.codes, shared.clock.now());
    let found = shared.store.find_orders(search).await.map_err(store_error)?;
    // A HEAD is answered with the length, for which no record has to be read.
    found::Page::new(Arc::clone(&shared.store), found, number, size).answer(method != Method::HEAD).await
}

/// A row of a table of codes.
#[derive(Serialize, JsonSchema)]
struct Code {
    id: i64,
    status: &'static str,
}

async fn statuses(State(shared): State<Arc<Shared>>) -> Answer<Vec<Code>> {
    let row = |status: KnownStatus| Code { id: shared.codes.code(status), status: status.name() };
    Answer::ok(&KnownStatus::ALL.map(row).into())
}

async fn fulfillment_statuses() -> Answer<Vec<Code>> {
    Answer::ok(&FULFILLMENT_STATUSES.map(|(id, status)| Code { id, status }).into())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OwnMove")]
struct MoveBody {
    status: PartnerMove,
    /// Needed for `rejected` and `cancelled`, and for nothing else.
    reason_code: Option<TextOrCode>,
    /// When it happened, where that was not just now.
    occurred_at: Option<Timestamp>,
}

impl Checked<Arc<Shared>> for MoveBody {
    fn check(&self, _: &Arc<Shared>, faults: &mut Faults) {
        let given = self.reason_code.as_ref().map_or(GivenReason::None, TextOrCode::given);
        let is_known = faults.has_read("status");
        let checked = if is_known { self.status.check_reason(given) } else { given.check() };
        check_reason(checked, faults);
    }
}

async fn move_to(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<CallingPartner>,
    PathId(id): PathId,
    Key(key): Key,
    KeptBody(body, bytes): KeptBody<MoveBody>,
) -> Result<Answer<Order>> {
    let MoveBody { status: asked, reason_code, occurred_at } = body;
    let key = once::once_key(&caller, key, "move an order", &id.to_string(), &bytes);
    let request = PartnerMoveRequest {
        business_id: caller.business_id,
        order_id: OrderId(id),
        asked,
        reason: reason_code.map(Reason::from),
        occurred_at,
    };
    let moved = shared.store.move_once(key, request, shared.clock.now()).await.map_err(store_error)?;
    match once::done(moved)? {
        PartnerMoved::Order(record) => Ok(Answer::raw(record)),
        PartnerMoved::NoSuchOrder => Err(no_such_order()),
        PartnerMoved::Refused(refusal) => {
            Err(ApiError::new(ErrorCode::StateInvalidTransition, format!("status: {refusal}")))
        }
    }
}
