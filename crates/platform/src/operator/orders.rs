//! Orders: new ones, moves, cart edits, and reading them.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use bytes::Bytes;
use hookit_contract::{
    Actor, BusinessId, ErrorCode, GivenReason, KnownStatus, OWNED_FIELDS, OrderId, OrderStatus, ReasonFault,
    Record, StatusCodes, Timestamp,
};
use hookit_server::routes::{Operation, Routes, get, patch, post, put};
use hookit_server::{Answer, Checked, Fault, Faults, Incoming, Input, KeptBody, OptionalKey, Params, PathId};
use hookit_store::platform::{
    self as store, Change, OperatorKey, OrderQuery, RECORD_BYTES_MAX, Reason, Store,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{PAGE_DEFAULT, PAGE_MAX};
use crate::Shared;
use crate::api::{self, PAGE_BYTES_MAX, Result, no_such_order, store_error};
use crate::credentials::{Acting, Operator};
use crate::once;
use crate::order_schema::{CartEdit, NewOrder, Order, OrderPage};

/// Fields in one cart edit. A record has a little over a hundred; every field given is looked for in it.
const CART_EDIT_FIELDS_MAX: usize = 256;

/// Characters that are shown of what was sent as a status and is none.
const STATUS_SHOWN_MAX: usize = 32;

/// What a cart edit may not touch, beside the fields that the platform owns: where the order belongs. Another brand
/// or branch would be another order.
const ROUTING_FIELDS: [&str; 3] = ["business_id", "branch_id", "brands"];

pub(super) fn routes() -> Routes<Arc<Shared>> {
    let (missing, state) = (ErrorCode::ResourceNotFound, ErrorCode::StateInvalidTransition);
    Routes::new("Orders")
        .route(
            "/orders",
            get(list).named("listOrders", "Records by id, a page at a time.").details(
                "A page ends earlier where its records are large; `next_after` says where to go on, and is null on the last one.",
            ),
        )
        .route(
            "/orders",
            once::may_be_keyed(post(create))
                .named("createOrder", "A new order; the answer is the stored record.")
                .details(
                    "A surface that did not hear the answer asks again under the same `Idempotency-Key`, and there is one order. Or \
                     it gives the order an `id` of its own, and hears that it is there already.",
                )
                .takes::<NewOrder>("application/json")
                .created(),
        )
        .route("/orders/bulk", super::bulk::call())
        .route("/orders/{id}", get(one).named("readOrder", "The record as it stands.").refuses(&[missing]))
        .route(
            "/orders/{id}/status",
            once::may_be_keyed(patch(move_to))
                .named("moveOrder", "Moves an order to another status.")
                .details(
                    "A move goes forward and may skip steps; one to where the order is changes nothing, and neither does ACCEPTED, \
                     PREPARING or READY for an order whose courier is assigned or has arrived.",
                )
                .refuses(&[missing, state]),
        )
        .route(
            "/orders/{id}/cart",
            once::may_be_keyed(put(edit_cart))
                .named(
                    "editCart",
                    "Replaces the cart and what follows from it, field by field, never merged.",
                )
                .takes::<CartEdit>("application/json")
                .refuses(&[missing, state]),
        )
}

/// A change of an order as it is asked for: by whom, and under which key, where there is one.
struct Asking {
    store: Arc<dyn Store>,
    key: Option<OperatorKey>,
}

impl Asking {
    /// `call` and `id` are what its key stands for together with its body.
    fn of(
        Acting(store): Acting,
        operator: &Operator,
        OptionalKey(key): OptionalKey,
        (call, id): (&str, &str),
        body: &[u8],
    ) -> Asking {
        let key = key.map(|key| once::operator_key(operator.token_id, key, call, id, body));
        Asking { store, key }
    }

    /// Makes the change, or says what became of it before.
    async fn make(self, shared: &Shared, change: Change) -> Result<Answer<Order>> {
        let now = shared.clock.now();
        let changed = match self.key {
            None => self.store.change(change, now).await.map_err(store_error)?,
            Some(key) => once::done(self.store.change_once(key, change, now).await.map_err(store_error)?)?,
        };
        api::changed(changed)
    }
}

/// Bytes of a body that is a record, or fields of one: as many as a record may have, whatever other bodies may.
pub(super) const RECORD_BODY_MAX: usize = RECORD_BYTES_MAX;

/// A body that is a record, or fields of one, kept as it is written.
struct RecordBody(Record);

impl<S: Sync> Input<S> for RecordBody {
    fn describe(operation: &mut Operation) {
        operation.reads_a_body();
    }

    async fn take(incoming: &mut Incoming, _: &S) -> Option<Self> {
        let body = incoming.body(RECORD_BODY_MAX).await?;
        incoming.faults().of(object(body)).map(RecordBody)
    }
}

/// The record of a new order.
struct NewRecord(Record);

impl Input<Arc<Shared>> for NewRecord {
    fn describe(operation: &mut Operation) {
        <RecordBody as Input<Arc<Shared>>>::describe(operation);
    }

    async fn take(incoming: &mut Incoming, shared: &Arc<Shared>) -> Option<Self> {
        let RecordBody(record) = RecordBody::take(incoming, shared).await?;
        let faults = incoming.faults();
        // Where nothing else is wrong the store says it.
        if !faults.is_empty() {
            for invalid in shared.store.objections_to_order(&record) {
                faults.of::<()>(Err(api::fault(&invalid)));
            }
        }
        Some(NewRecord(record))
    }
}

async fn create(
    State(shared): State<Arc<Shared>>,
    Extension(acting): Extension<Acting>,
    Extension(operator): Extension<Operator>,
    key: OptionalKey,
    NewRecord(record): NewRecord,
) -> Result<Answer<Order>> {
    let asking = Asking::of(acting, &operator, key, ("create an order", ""), record.bytes());
    asking.make(&shared, Change::Create { record }).await.map(Answer::created)
}

/// A text that is kept as it is written.
pub(super) fn object(text: Bytes) -> std::result::Result<Record, Fault> {
    if text.trim_ascii().is_empty() {
        return Err(Fault::new("body", "missing; expected an object"));
    }
    Record::parse(text).map_err(|error| Fault::new("body", error.to_string()))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Move")]
pub(super) struct MoveBody {
    pub(super) status: NameOrCode,
    #[serde(default)]
    pub(super) reason_code: Option<TextOrCode>,
    #[serde(default)]
    pub(super) occurred_at: Option<Timestamp>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a status name or an integer status code")]
#[schemars(rename = "StatusNameOrCode")]
pub(super) enum NameOrCode {
    Code(i64),
    Name(String),
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a text or an integer")]
#[schemars(rename = "ReasonTextOrCode")]
pub(crate) enum TextOrCode {
    Code(i64),
    Text(String),
}

impl TextOrCode {
    pub(crate) fn given(&self) -> GivenReason<'_> {
        match self {
            TextOrCode::Code(_) => GivenReason::Code,
            TextOrCode::Text(text) => GivenReason::Text(text),
        }
    }
}

impl From<TextOrCode> for Reason {
    fn from(reason: TextOrCode) -> Self {
        match reason {
            TextOrCode::Code(code) => Reason::Code(code),
            TextOrCode::Text(text) => Reason::Text(text),
        }
    }
}

impl Checked<Arc<Shared>> for MoveBody {
    fn check(&self, shared: &Arc<Shared>, faults: &mut Faults) {
        check_move(&self.status, self.reason_code.as_ref(), &shared.codes, faults);
    }
}

/// Takes down what is wrong with what a move says.
pub(super) fn check_move(
    status: &NameOrCode,
    reason_code: Option<&TextOrCode>,
    codes: &StatusCodes,
    faults: &mut Faults,
) {
    let to = faults.of(status.read(codes)).filter(|_| faults.has_read("status"));
    let has_reason = reason_code.is_none() || to.is_none_or(|to| to == KnownStatus::Cancelled);
    faults.unless(has_reason, "reason_code", "only a move to CANCELLED has a reason");
    check_reason(reason_code.map_or(GivenReason::None, TextOrCode::given).check(), faults);
}

/// Takes down what is wrong with a `reason_code`.
pub(crate) fn check_reason(checked: std::result::Result<(), ReasonFault>, faults: &mut Faults) {
    faults.of(checked.map_err(|fault| Fault::new("reason_code", fault.to_string())));
}

impl NameOrCode {
    fn read(&self, codes: &StatusCodes) -> std::result::Result<KnownStatus, Fault> {
        let unknown = |given: String| {
            let message = format!("{given} is not a status; expected one of {}", KnownStatus::names());
            Fault::new("status", message)
        };
        match self {
            NameOrCode::Name(name) => {
                let shown = || format!("{:?}", name.chars().take(STATUS_SHOWN_MAX).collect::<String>());
                KnownStatus::from_name(name).ok_or_else(|| unknown(shown()))
            }
            NameOrCode::Code(code) => match codes.status(*code) {
                OrderStatus::Known(status) => Ok(status),
                OrderStatus::Unknown(code) => Err(unknown(code.to_string())),
            },
        }
    }
}

impl MoveBody {
    /// The move of this order that it asks for.
    pub(super) fn change(self, codes: &StatusCodes, order_id: OrderId) -> Result<Change> {
        Ok(Change::Move {
            order_id,
            to: self.status.read(codes)?,
            actor: Actor::Operator,
            reason: self.reason_code.map(Reason::from),
            occurred_at: self.occurred_at,
        })
    }
}

async fn move_to(
    State(shared): State<Arc<Shared>>,
    Extension(acting): Extension<Acting>,
    Extension(operator): Extension<Operator>,
    PathId(id): PathId,
    key: OptionalKey,
    KeptBody(asked, body): KeptBody<MoveBody>,
) -> Result<Answer<Order>> {
    let asking = Asking::of(acting, &operator, key, ("move an order", &id.to_string()), &body);
    asking.make(&shared, asked.change(&shared.codes, OrderId(id))?).await
}

/// The fields of a cart edit.
struct CartBody(Record);

impl<S: Sync> Input<S> for CartBody {
    fn describe(operation: &mut Operation) {
        <RecordBody as Input<S>>::describe(operation);
    }

    async fn take(incoming: &mut Incoming, shared: &S) -> Option<Self> {
        let RecordBody(fields) = RecordBody::take(incoming, shared).await?;
        check_cart_edit(&fields, incoming.faults());
        Some(CartBody(fields))
    }
}

async fn edit_cart(
    State(shared): State<Arc<Shared>>,
    Extension(acting): Extension<Acting>,
    Extension(operator): Extension<Operator>,
    PathId(id): PathId,
    key: OptionalKey,
    CartBody(fields): CartBody,
) -> Result<Answer<Order>> {
    let asking = Asking::of(acting, &operator, key, ("edit a cart", &id.to_string()), fields.bytes());
    asking.make(&shared, Change::EditCart { order_id: OrderId(id), fields }).await
}

fn check_cart_edit(fields: &Record, faults: &mut Faults) {
    let mut seen = HashSet::new();
    for (i, name) in fields.names().enumerate() {
        if i == CART_EDIT_FIELDS_MAX {
            faults.add("body", format!("a cart edit may replace at most {CART_EDIT_FIELDS_MAX} fields"));
        }
        if OWNED_FIELDS.contains(&name.as_ref()) {
            faults.add(&*name, "the platform owns this field; a cart edit cannot set it");
        } else if ROUTING_FIELDS.contains(&name.as_ref()) {
            faults.add(&*name, "an order stays where it was placed");
        } else if seen.contains(&name) {
            faults.add(&*name, "given more than once");
        }
        if i < CART_EDIT_FIELDS_MAX {
            seen.insert(name);
        }
    }
    faults.unless(fields.get("cart").is_some(), "cart", "missing; expected an array of items");
    for fault in fields.cart_faults() {
        let Fault { path, message } = api::fault(&fault.into());
        faults.add(path, message);
    }
}

async fn one(State(shared): State<Arc<Shared>>, PathId(id): PathId) -> Result<Answer<Order>> {
    let order = shared.store.order(OrderId(id)).await.map_err(store_error)?.ok_or_else(no_such_order)?;
    Ok(Answer::raw(order.record))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// The `next_after` of the page before.
    #[schemars(range(min = 0))]
    after: Option<i64>,
    /// Items on the page; 100 where it is left out.
    #[schemars(range(min = 1, max = PAGE_MAX))]
    limit: Option<usize>,
    #[schemars(range(min = 1))]
    business_id: Option<i64>,
}

impl Checked<Arc<Shared>> for ListParams {}

async fn list(
    State(shared): State<Arc<Shared>>,
    Params(params): Params<ListParams>,
) -> Result<Answer<OrderPage>> {
    let query = OrderQuery {
        after: params.after.map(OrderId),
        business_id: params.business_id.map(BusinessId),
        limit: params.limit.unwrap_or(PAGE_DEFAULT),
        record_bytes_max: PAGE_BYTES_MAX,
    };
    let store::OrderPage { orders, more } = shared.store.orders(query).await.map_err(store_error)?;
    let next_after = match orders.last().filter(|_| more) {
        Some(last) => last.order_id.to_string(),
        None => "null".to_owned(),
    };
    Ok(Answer::raw(api::order_page(&orders, &format!("\"next_after\":{next_after}"))))
}
