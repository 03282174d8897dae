//! The view over HTTP: read-only, in the same envelope as the platform's APIs. A record goes out as the bytes that
//! came in; the JSON around it is written as text, and nothing is read and written anew.
//!
//! It shows guests' names, addresses and telephone numbers. So it answers only to the bearer of the read token, or,
//! where none is set, to this machine.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use hookit_contract::{
    BranchId, BrandId, DeliveryId, ErrorCode, KnownStatus, OrderId, OrderStatus, StatusCodes, Timestamp,
};
use hookit_server::routes::{Routes, get};
use hookit_server::{
    Answer, ApiError, Checked, Faults, Params, PathId, Secret, bearer, is_named_locally, peer,
};
use hookit_store::inbox::{HistoryEntry, HistoryPlace, HistoryQuery, OrderFilter};
use hookit_store::{Condition, Error as StoreError};
use http::{HeaderMap, header};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{NamedSecret, Shared};

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// Characters of a text that orders are looked for by.
const TEXT_MAX: usize = 255;

/// Statuses that orders are looked for by.
const STATUSES_MAX: usize = 16;

/// Headers by which a proxy says that it speaks for somebody else.
const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// The kind of credential that the view asks for.
pub(crate) const READ_TOKEN: &str = "readToken";
/// The kind that whatever changes something asks for.
pub(crate) const WRITE_TOKEN: &str = "writeToken";

pub(crate) fn routes() -> Routes<Arc<Shared>> {
    let missing = &[ErrorCode::ResourceNotFound];
    Routes::new("Orders")
        .route(
            "/orders",
            get(orders)
                .named("listOrders", "Orders by their id, each as the newest record that came of it.")
                .details(
                    "All filters have to be true of an order. A page may have fewer orders than were asked for, or none, and go on \
                     behind `next_after` all the same: so many of a large view are looked at for one page.",
                ),
        )
        .route(
            "/orders/{id}",
            get(order).named("getOrder", "The newest record, byte for byte as it came.").refuses(missing),
        )
        .route(
            "/orders/{id}/history",
            get(history)
                .named("getOrderHistory", "The states of an order, in the order in which they came, a page at a time.")
                .refuses(missing),
        )
}

/// What is refused to who may not.
const REFUSALS: [ErrorCode; 4] = [
    ErrorCode::AuthMissing,
    ErrorCode::AuthInvalidCredential,
    ErrorCode::AuthForbidden,
    ErrorCode::RateLimited,
];

/// These for who may read.
pub(crate) fn for_readers(shared: &Arc<Shared>, routes: Routes<Arc<Shared>>) -> Routes<Arc<Shared>> {
    let guarded = middleware::from_fn_with_state(shared.clone(), readers_only);
    routes.guarded(READ_TOKEN, &REFUSALS).map(|router| router.route_layer(guarded))
}

/// These for who may have something done.
pub(crate) fn for_writers(shared: &Arc<Shared>, routes: Routes<Arc<Shared>>) -> Routes<Arc<Shared>> {
    let guarded = middleware::from_fn_with_state(shared.clone(), writer_only);
    routes.guarded(WRITE_TOKEN, &REFUSALS).map(|router| router.route_layer(guarded))
}

pub(crate) fn probes() -> Routes<Arc<Shared>> {
    Routes::new("Status")
        .route("/healthz", get(healthz).lenient().named("getHealth", "The process is up."))
        .route("/readyz", get(readyz)
                .lenient()
                .named("getReadiness", "The store takes changes, and answers.")
                .details("Where the last commit failed, for want of room on the disk for example, the answer is 503 until one does not."))
}

/// Lets a request to the view pass, or not.
async fn readers_only(State(inbox): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let from = peer(request.extensions());
    match may_read(&inbox.config.read_tokens, from, request.headers()) {
        Ok(by) => {
            tracing::debug!(path = request.uri().path(), token = by, "read");
            next.run(request).await
        }
        Err(refusal) => inbox.guesses.counted(refusal, from, inbox.clock.now()).into_response(),
    }
}

/// Lets a request pass that has something done, or not.
async fn writer_only(State(inbox): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match may_write(inbox.config.write_token.as_ref(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            let from = peer(request.extensions());
            inbox.guesses.counted(refusal, from, inbox.clock.now()).into_response()
        }
    }
}

/// Who may read: the bearer of one of the read tokens, whose name is given back, or this machine where there are none.
pub(crate) fn may_read<'t>(
    tokens: &'t [NamedSecret],
    peer: Option<IpAddr>,
    headers: &HeaderMap,
) -> Result<Option<&'t str>, ApiError> {
    if tokens.is_empty() {
        // Behind a proxy on this machine every peer is local, and the header alone tells that it asks for another.
        let local = peer.is_some_and(|peer| peer.to_canonical().is_loopback());
        let forwarded = FORWARDED.iter().any(|name| headers.contains_key(*name));
        let message = match (local && !forwarded, is_named_locally(headers)) {
            (true, true) => return Ok(None),
            (true, false) => {
                "without a read token the orders are shown to this machine alone, by the names 127.0.0.1, [::1] and localhost"
            }
            (false, _) => "without a read token the orders are shown to this machine alone",
        };
        return Err(ApiError::new(ErrorCode::AuthForbidden, message));
    }
    bears(tokens.iter().map(|named| (named.name.as_str(), &named.secret)), "read token", headers).map(Some)
}

/// Who may have something done: the bearer of the write token, and nobody where there is none. A page in a browser on this
/// machine can post to it, so being here is not enough.
fn may_write(token: Option<&Secret>, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(token) = token else {
        let message = "the inbox was started without a write token, so nobody may have anything done here";
        return Err(ApiError::new(ErrorCode::AuthForbidden, message));
    };
    bears([("write", token)], "write token", headers).map(drop)
}

/// The name of the token that the request bears.
fn bears<'t>(
    tokens: impl IntoIterator<Item = (&'t str, &'t Secret)>,
    name: &str,
    headers: &HeaderMap,
) -> Result<&'t str, ApiError> {
    match bearer(headers) {
        Some(given) => {
            // All of them are compared, so that the time does not say which it was.
            let all = tokens.into_iter().filter(|(_, token)| token.matches(given));
            let invalid =
                || ApiError::new(ErrorCode::AuthInvalidCredential, format!("the {name} is not valid"));
            all.last().map(|(name, _)| name).ok_or_else(invalid)
        }
        None if headers.contains_key(header::AUTHORIZATION) => {
            let message = format!("authorization: expected Bearer and the {name}");
            Err(ApiError::new(ErrorCode::AuthInvalidCredential, message))
        }
        None => {
            let message = format!("authorization: missing; expected Bearer and the {name}");
            Err(ApiError::new(ErrorCode::AuthMissing, message))
        }
    }
}

pub(crate) fn failed(error: StoreError) -> ApiError {
    match error {
        StoreError::Busy => ApiError::unavailable("the inbox is busy or stopping"),
        error => ApiError::internal(&error),
    }
}

/// Where a page begins and how long it may be. A parameter that is not known is refused: a misspelt one would
/// otherwise show the first page for ever.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageParams {
    /// The `next_after` of the page before.
    #[schemars(range(min = 0))]
    pub(crate) after: Option<i64>,
    /// How many at most; 100 where nothing is said.
    #[schemars(range(min = 1, max = LIMIT_MAX))]
    pub(crate) limit: Option<usize>,
}

impl Checked<Arc<Shared>> for PageParams {}

impl PageParams {
    pub(crate) fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT_DEFAULT)
    }
}

/// A page of what was read, as JSON texts in an array of this name, and where to go on.
pub(crate) fn written<T, A>(
    name: &str,
    items: &[T],
    text: impl Fn(&T) -> Bytes,
    next_after: Option<i64>,
) -> Answer<A> {
    let mut out = BytesMut::with_capacity(4096);
    out.put_slice(b"{\"");
    out.put_slice(name.as_bytes());
    out.put_slice(b"\":[");
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.put_u8(b',');
        }
        out.put_slice(&text(item));
    }
    out.put_slice(b"],\"next_after\":");
    match next_after {
        Some(id) => out.put_slice(id.to_string().as_bytes()),
        None => out.put_slice(b"null"),
    }
    out.put_u8(b'}');
    Answer::raw(out.freeze())
}

/// An order's record.
struct Order;

impl JsonSchema for Order {
    fn schema_name() -> Cow<'static, str> {
        "Order".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An order's record as it came, byte for byte: a snapshot. It has a hundred fields or more, of which \
                only `id` is in all; ignore what you do not know.",
            "type": "object",
            "properties": {
                "id": {"type": "integer", "format": "int64", "minimum": 1},
                "status": {
                    "type": "integer", "format": "int64",
                    "description": "1 PLACED, 2 ACCEPTED, 3 CANCELLED, 4 READY, 5 DELIVERED, 6 SCHEDULED, 7 DRIVER_ASSIGNED, \
                        8 DRIVER_ARRIVED, 9 PICKED_UP, 10 PREPARING, 11 DISPATCHED, or any other.",
                },
                "version": {
                    "type": "integer", "format": "int64",
                    "description": "One more with every change of the order, where the sender has it.",
                },
            },
            "required": ["id"],
        })
    }
}

/// A page of records.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a page is put together from texts")]
struct OrderPage {
    orders: Vec<Order>,
    /// The `after` of the next page; null on the last one.
    next_after: Option<i64>,
}

/// Which orders, and which page of them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrderParams {
    /// Names in any case, or codes, with commas between them: in one of these.
    pub(crate) status: Option<String>,
    /// Of this brand, by its record or an envelope that it came in.
    #[schemars(range(min = 1))]
    pub(crate) brand_id: Option<i64>,
    /// Of this branch.
    #[schemars(range(min = 1))]
    pub(crate) branch_id: Option<i64>,
    /// Of this id, or with an `external_id` or a `short_id` that begins so, in any case. 1 to 255 characters.
    pub(crate) text: Option<String>,
    /// Whose newest state came at this time or later.
    pub(crate) received_since: Option<Timestamp>,
    /// Whose newest state came before this time.
    pub(crate) received_until: Option<Timestamp>,
    /// The `next_after` of the page before.
    #[schemars(range(min = 0))]
    pub(crate) after: Option<i64>,
    /// How many at most; 100 where nothing is said.
    #[schemars(range(min = 1, max = LIMIT_MAX))]
    pub(crate) limit: Option<usize>,
}

impl Checked<Arc<Shared>> for OrderParams {
    fn check(&self, inbox: &Arc<Shared>, faults: &mut Faults) {
        self.filter(&inbox.config.codes, faults);
    }
}

impl OrderParams {
    /// Takes down everything that is wrong.
    pub(crate) fn read(self, codes: &StatusCodes) -> Result<(OrderFilter, PageParams), ApiError> {
        let mut faults = Faults::default();
        let filter = self.filter(codes, &mut faults);
        faults.none((filter, PageParams { after: self.after, limit: self.limit }))
    }

    fn filter(&self, codes: &StatusCodes, faults: &mut Faults) -> OrderFilter {
        let statuses = statuses(self.status.as_deref(), codes, faults);
        let ids = ids(self.brand_id, self.branch_id, faults);
        let characters = self.text.as_ref().map(|text| text.chars().count());
        faults.unless(
            characters.is_none_or(|n| (1..=TEXT_MAX).contains(&n)),
            "text",
            format!("expected 1 to {TEXT_MAX} characters"),
        );
        let is_stretch = match (self.received_since, self.received_until) {
            (Some(since), Some(until)) => since <= until,
            _ => true,
        };
        faults.unless(is_stretch, "received_until", "expected a time that is not before received_since");
        faults.unless(
            self.limit.is_none_or(|limit| (1..=LIMIT_MAX).contains(&limit)),
            "limit",
            format!("expected 1 to {LIMIT_MAX}"),
        );
        OrderFilter {
            statuses,
            brand_id: ids.0,
            branch_id: ids.1,
            text: self.text.clone(),
            received_since: self.received_since,
            received_until: self.received_until,
        }
    }
}

/// Statuses with commas between them.
pub(crate) fn statuses(text: Option<&str>, codes: &StatusCodes, faults: &mut Faults) -> Vec<OrderStatus> {
    let mut statuses = Vec::new();
    for word in text.into_iter().flat_map(|text| text.split(',')) {
        match codes.read(word.trim()) {
            Some(status) if statuses.contains(&status) => {}
            Some(status) => statuses.push(status),
            None => faults.add("status", format!("expected codes, or some of {}", KnownStatus::names())),
        }
    }
    faults.unless(statuses.len() <= STATUSES_MAX, "status", format!("expected at most {STATUSES_MAX}"));
    statuses
}

/// A brand and a branch.
pub(crate) fn ids(
    brand_id: Option<i64>,
    branch_id: Option<i64>,
    faults: &mut Faults,
) -> (Option<BrandId>, Option<BranchId>) {
    for (name, id) in [("brand_id", brand_id), ("branch_id", branch_id)] {
        faults.unless(id.is_none_or(|id| id > 0), name, "expected an integer above zero");
    }
    (brand_id.map(BrandId), branch_id.map(BranchId))
}

async fn orders(
    State(inbox): State<Arc<Shared>>,
    Params(params): Params<OrderParams>,
) -> Result<Answer<OrderPage>, ApiError> {
    let (filter, params) = params.read(&inbox.config.codes)?;
    let after = params.after.map(OrderId);
    let found = inbox.store.orders(&filter, after, params.limit()).await.map_err(failed)?;
    let next_after = found.next_after.map(|id| id.0);
    Ok(written("orders", &found.orders, |order| order.record.clone(), next_after))
}

async fn order(State(inbox): State<Arc<Shared>>, PathId(id): PathId) -> Result<Answer<Order>, ApiError> {
    match inbox.store.order(OrderId(id)).await.map_err(failed)? {
        Some(order) => Ok(Answer::raw(order.record)),
        None => Err(no_order(id)),
    }
}

pub(crate) fn no_order(id: i64) -> ApiError {
    ApiError::not_found(format!("order {id} never came"))
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OrderHistory")]
struct HistoryAnswer {
    order_id: OrderId,
    history: Vec<HistoryLine>,
    /// The `after` of the next page; null on the last one.
    next_after: Option<String>,
}

/// Which states of an order.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HistoryParams {
    /// The `next_after` of the page before.
    after: Option<String>,
    /// How many at most; 1000 where nothing is said: few orders have more.
    #[schemars(range(min = 1, max = LIMIT_MAX))]
    limit: Option<usize>,
}

impl Checked<Arc<Shared>> for HistoryParams {
    fn check(&self, _: &Arc<Shared>, faults: &mut Faults) {
        let is_place = self.after.is_none() || self.place().is_some();
        faults.unless(is_place, "after", "expected the next_after of the page before");
    }
}

impl HistoryParams {
    /// The place that `after` says.
    fn place(&self) -> Option<HistoryPlace> {
        let (delivery_seq, position) = self.after.as_deref()?.split_once('.')?;
        Some(HistoryPlace { delivery_seq: delivery_seq.parse().ok()?, position: position.parse().ok()? })
    }

    fn query(&self, order_id: OrderId) -> HistoryQuery {
        let limit = self.limit.unwrap_or(LIMIT_MAX);
        HistoryQuery { order_id, after: self.place(), newest_first: false, limit }
    }
}

/// A state of an order, and the delivery that brought it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OrderState")]
struct HistoryLine {
    status: Option<i64>,
    status_name: Option<String>,
    version: Option<i64>,
    updated_at: Option<Timestamp>,
    event_type: Option<String>,
    delivery_id: DeliveryId,
    /// `webhook`, or `reconcile` where it had to be asked for.
    source: &'static str,
    received_at: Timestamp,
    /// False where the view had a newer state already, or this very one.
    applied: bool,
}

async fn history(
    State(inbox): State<Arc<Shared>>,
    PathId(id): PathId,
    Params(params): Params<HistoryParams>,
) -> Result<Answer<HistoryAnswer>, ApiError> {
    let order_id = OrderId(id);
    let query = params.query(order_id);
    let page = inbox.store.history(query).await.map_err(failed)?.ok_or_else(|| no_order(id))?;
    let place = |HistoryPlace { delivery_seq, position }| format!("{delivery_seq}.{position}");
    let next_after = page.items.last().filter(|_| page.more).map(|last| place(last.place));
    let line = |entry: HistoryEntry| HistoryLine {
        status: entry.status.map(|status| inbox.config.codes.code_of(status)),
        status_name: entry.status.map(|status| status.to_string()),
        version: entry.version,
        updated_at: entry.updated_at,
        event_type: entry.event_type,
        delivery_id: entry.delivery_id,
        source: entry.source.as_str(),
        received_at: entry.received_at,
        applied: entry.applied,
    };
    Ok(Answer::ok(&HistoryAnswer {
        order_id,
        history: page.items.into_iter().map(line).collect(),
        next_after,
    }))
}

#[derive(Serialize, JsonSchema)]
struct Health {
    status: &'static str,
}

/// The process is up.
async fn healthz() -> Answer<Health> {
    Answer::ok(&Health { status: "ok" })
}

/// The store takes changes, and answers.
async fn readyz(State(inbox): State<Arc<Shared>>) -> Result<Answer<Health>, ApiError> {
    match inbox.store.condition() {
        Condition::Writable => {}
        trouble => return Err(ApiError::unavailable(trouble.to_string())),
    }
    match inbox.store.counts().await {
        Ok(_) => Ok(Answer::ok(&Health { status: "ready" })),
        Err(error) => {
            tracing::warn!(%error, "the store does not answer");
            Err(ApiError::unavailable("the store does not answer"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)))
            .collect()
    }

    fn check(token: Option<&str>, peer: Option<&str>, pairs: &[(&'static str, &'static str)], expected: u16) {
        let named = |token| NamedSecret { name: "office".to_owned(), secret: Secret::new(token) };
        // Behind another one, so that the first is not the only one that is tried.
        let tokens: Vec<_> =
            token.map(|token| [named("another token"), named(token)]).into_iter().flatten().collect();
        let peer = peer.map(|peer| peer.parse::<std::net::SocketAddr>().unwrap().ip());
        let status = match may_read(&tokens, peer, &headers(pairs)) {
            Ok(by) => {
                assert_eq!(by.is_some(), token.is_some());
                200
            }
            Err(refusal) => refusal.code().http_status(),
        };
        assert_eq!(status, expected, "{token:?} {peer:?} {pairs:?}");
    }

    #[test]
    fn without_a_token_only_this_machine_reads_and_no_proxy_for_others() {
        check(None, Some("127.0.0.1:5000"), &[], 200);
        check(None, Some("127.9.9.9:5000"), &[], 200);
        check(None, Some("[::1]:5000"), &[], 200);
        check(None, Some("[::ffff:127.0.0.1]:5000"), &[], 200);
        check(None, Some("192.168.1.7:5000"), &[], 403);
        check(None, Some("[2001:db8::1]:5000"), &[], 403);
        check(None, Some("[::ffff:10.0.0.1]:5000"), &[], 403);
        check(None, None, &[], 403);
        // Another site's page can have its own name point here.
        for (host, expected) in [
            ("127.0.0.1:8787", 200),
            ("localhost:8787", 200),
            ("[::1]", 200),
            ("evil.test:8787", 403),
            ("127.0.0.1.evil.test", 403),
            ("10.0.0.1", 403),
            ("", 403),
        ] {
            check(None, Some("127.0.0.1:5000"), &[("host", host)], expected);
        }
        for name in FORWARDED {
            check(None, Some("127.0.0.1:5000"), &[(name, "203.0.113.9")], 403);
        }
        check(None, Some("10.0.0.1:5000"), &[("authorization", "Bearer x")], 403);
    }

    #[test]
    fn with_a_token_only_its_bearer_reads_wherever_from() {
        let local = Some("127.0.0.1:5000");
        let far = Some("203.0.113.9:5000");
        check(Some("t0ken"), far, &[("authorization", "Bearer t0ken")], 200);
        check(Some("t0ken"), far, &[("authorization", "bearer t0ken"), ("via", "1.1 proxy")], 200);
        check(Some("t0ken"), local, &[], 401);
        check(Some("t0ken"), local, &[("authorization", "Bearer t0kem")], 401);
        check(Some("t0ken"), local, &[("authorization", "Bearer t0ke")], 401);
        check(Some("t0ken"), local, &[("authorization", "Bearer ")], 401);
        check(Some("t0ken"), local, &[("authorization", "Basic t0ken")], 401);
    }
}
