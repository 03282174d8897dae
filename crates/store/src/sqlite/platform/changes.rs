//! Changes of orders: the checks against the order as it stands, the new record, the event.

use std::borrow::Cow;
use std::sync::Arc;

use hookit_contract::{
    Actor, BranchId, BrandId, BusinessId, CART_FIELDS, Changes, EventType, KnownStatus, MoveVerdict,
    OWNED_FIELDS, OrderId, OrderStatus, OwnedFields, RECORD_FAULTS_MAX, Record, RecordError, StatusCodes,
    Timestamp, check_move, check_partner_move,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::book::Tick;
use super::order_rows::{CurrentOrder, current};
use super::registry::Registry;
use crate::Error;
use crate::fanout::Event;
use crate::platform::{
    Change, Changed, Invalid, PartnerMoveRequest, PartnerMoved, RECORD_GIVEN_BYTES_MAX, Reason, StoredOrder,
};
use crate::sqlite::{NAME_BYTES_MAX, failed};

/// The fields beside the owned ones that stand in a new order once: what the platform reads of it, and what it sets when the order
/// is cancelled, which would be set in each place.
const SINGLE_FIELDS: [&str; 6] =
    ["business_id", "branch_id", "brands", "type", "cancellation_reason", "cancellation_reason_id"];

/// The fields by which an order is found and routed. They stay what they were at its creation.
const FIXED_FIELDS: [&str; 3] = ["business_id", "branch_id", "brands"];

/// The fields by which people know an order.
const NAME_FIELDS: [&str; 3] = ["external_id", "short_id", "identity"];

const AN_ID: &str = "an integer above zero";
const BRANDS: &str = "an array of brands, each an object with an id";

/// A change that has passed all checks for which the order itself is not needed.
#[derive(Debug)]
pub(super) enum Prepared {
    Create(NewOrder),
    Move {
        order_id: OrderId,
        to: KnownStatus,
        actor: Actor,
        reason: Option<Reason>,
        occurred_at: Option<Timestamp>,
    },
    EditCart {
        order_id: OrderId,
        edit: Changes,
        bytes: usize,
    },
}

/// A new order, read.
#[derive(Debug)]
pub(super) struct NewOrder {
    record: Record,
    id: Option<OrderId>,
    business_id: BusinessId,
    branch_id: BranchId,
    brands: Vec<BrandId>,
    status: KnownStatus,
}

impl Prepared {
    /// Checks a change as far as can be done without the order.
    pub(super) fn new(
        change: Change,
        codes: &StatusCodes,
        registry: RegistryNow<'_>,
    ) -> Result<Self, Vec<Invalid>> {
        match change {
            Change::Create { record } => NewOrder::read(record, codes, registry).map(Prepared::Create),
            Change::Move { order_id, to, actor, reason, occurred_at } => {
                Ok(Prepared::Move { order_id, to, actor, reason, occurred_at })
            }
            Change::EditCart { order_id, fields } => {
                let mut edit = Changes::new();
                for name in fields.names().filter(|name| !OWNED_FIELDS.contains(&name.as_ref())) {
                    edit.copied(&name, &fields);
                }
                Ok(Prepared::EditCart { order_id, edit, bytes: fields.bytes().len() })
            }
        }
    }

    /// The order that it is about, where that is there already.
    pub(super) fn order_id(&self) -> Option<OrderId> {
        match self {
            Prepared::Create(_) => None,
            Prepared::Move { order_id, .. } | Prepared::EditCart { order_id, .. } => Some(*order_id),
        }
    }

    /// How many bytes it brings.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Prepared::Create(order) => order.record.bytes().len(),
            Prepared::Move { reason: Some(Reason::Text(text)), .. } => text.len(),
            Prepared::Move { .. } => 0,
            Prepared::EditCart { bytes, .. } => *bytes,
        }
    }
}

/// The registry as it is by now. Only where a record is refused anyway is it asked for, so that all that is wrong is told at once.
pub(super) type RegistryNow<'a> = &'a (dyn Fn() -> Arc<Registry> + Sync);

impl NewOrder {
    /// The id that the surface gave it.
    pub(super) fn id(&self) -> Option<OrderId> {
        self.id
    }

    /// What it would be refused for.
    pub(super) fn objections(record: Record, codes: &StatusCodes, registry: &Arc<Registry>) -> Vec<Invalid> {
        match NewOrder::read(record, codes, &|| Arc::clone(registry)) {
            Ok(new) => registry.check_order(new.business_id, Some(new.branch_id), &new.brands),
            Err(invalid) => invalid,
        }
    }

    fn read(record: Record, codes: &StatusCodes, registry: RegistryNow<'_>) -> Result<Self, Vec<Invalid>> {
        let repeated = record.repeated(&OWNED_FIELDS).chain(record.repeated(&SINGLE_FIELDS));
        let repeated = repeated.chain(record.repeated(&CART_FIELDS));
        let mut faults: Vec<Invalid> = repeated.map(Invalid::from).collect();
        let business_id = record.business_id().and_then(|id| id.ok_or_else(|| missing("business_id", AN_ID)));
        let branch_id = record.branch_id().and_then(|id| id.ok_or_else(|| missing("branch_id", AN_ID)));
        let id = or_fault(record.id(), &mut faults).flatten();
        let business_id = or_fault(business_id, &mut faults);
        let branch_id = or_fault(branch_id, &mut faults);
        let brands = match record.brand_ids_or_faults() {
            Ok(brands) => {
                if brands.is_empty() {
                    faults.push(no_brands(&record).into());
                }
                brands
            }
            Err(of_brands) => {
                faults.extend(of_brands.into_iter().map(Invalid::from));
                Vec::new()
            }
        };
        let status = match or_fault(record.status(codes), &mut faults).flatten() {
            None => KnownStatus::Placed,
            Some(OrderStatus::Known(status)) if !status.has_ended() => status,
            Some(other) => {
                faults.push(Invalid::Status(other));
                KnownStatus::Placed
            }
        };
        faults.extend(record.cart_faults().into_iter().map(Invalid::from));
        if let (Some(business_id), Some(branch_id), []) = (business_id, branch_id, &faults[..]) {
            return Ok(NewOrder { record, id, business_id, branch_id, brands, status });
        }
        if let Some(business_id) = business_id {
            faults.extend(registry().check_order(business_id, branch_id, &brands));
        }
        faults.truncate(RECORD_FAULTS_MAX);
        Err(faults)
    }
}

fn missing(field: &'static str, expected: &'static str) -> RecordError {
    RecordError::Missing { field: Cow::Borrowed(field), expected }
}

/// What is wrong with the brands of a record that has none.
fn no_brands(record: &Record) -> RecordError {
    match record.get("brands") {
        None | Some("null") => missing("brands", BRANDS),
        Some(_) => {
            RecordError::Invalid { field: Cow::Borrowed("brands"), expected: BRANDS, found: "an empty array" }
        }
    }
}

fn or_fault<T>(read: Result<T, RecordError>, faults: &mut Vec<Invalid>) -> Option<T> {
    read.map_err(|fault| faults.push(fault.into())).ok()
}

pub(super) fn apply(
    db: &Connection,
    tick: &mut Tick,
    codes: &StatusCodes,
    change: &Prepared,
    now: Timestamp,
) -> Result<Changed, Error> {
    match change {
        Prepared::Create(order) => create(db, tick, codes, order, now),
        Prepared::Move { order_id, to, actor, reason, occurred_at } => {
            let Some(order) = current(db, codes, *order_id)? else { return Ok(Changed::NoSuchOrder) };
            match check_move(order.status, *to, *actor) {
                MoveVerdict::Unchanged => return Ok(Changed::Unchanged(order.into_stored())),
                MoveVerdict::Refused(refusal) => return Ok(Changed::MoveRefused(refusal)),
                MoveVerdict::Allowed => {}
            }
            move_order(db, tick, codes, &order, *to, reason.as_ref(), *actor, *occurred_at, now)
        }
        Prepared::EditCart { order_id, edit, .. } => {
            let Some(order) = current(db, codes, *order_id)? else { return Ok(Changed::NoSuchOrder) };
            if let OrderStatus::Known(status) = order.status
                && status.has_ended()
            {
                return Ok(Changed::CartFinal(order.status));
            }
            if edit.are_in(&order.record) {
                return Ok(Changed::Unchanged(order.into_stored()));
            }
            let record = order.record.with(edit);
            if let Some(field) = FIXED_FIELDS.into_iter().find(|f| record.get(f) != order.record.get(f)) {
                return Ok(Changed::Invalid(vec![Invalid::Field(RecordError::Invalid {
                    field: Cow::Borrowed(field),
                    expected: "what it was when the order was created",
                    found: "another value",
                })]));
            }
            let event = Occurrence {
                event_type: EventType::OrderCartUpdated,
                status: order.status,
                actor: Actor::Operator,
                occurred_at: None,
            };
            renew(db, tick, codes, &order, &record, &event, now)
        }
    }
}

/// Moves an order for a partner: one of its business, as its narrower rules allow.
pub(super) fn move_for_partner(
    db: &Connection,
    tick: &mut Tick,
    codes: &StatusCodes,
    request: &PartnerMoveRequest,
    now: Timestamp,
) -> Result<PartnerMoved, Error> {
    let PartnerMoveRequest { business_id, order_id, asked, reason, occurred_at } = request;
    let order = current(db, codes, *order_id)?.filter(|order| order.business_id == *business_id);
    let Some(order) = order else { return Ok(PartnerMoved::NoSuchOrder) };
    match check_partner_move(order.status, *asked) {
        MoveVerdict::Unchanged => return Ok(PartnerMoved::Order(order.into_stored().record)),
        MoveVerdict::Refused(refusal) => return Ok(PartnerMoved::Refused(refusal.to_string())),
        MoveVerdict::Allowed => {}
    }
    let (to, reason) = (asked.to(), reason.as_ref());
    match move_order(db, tick, codes, &order, to, reason, Actor::Partner, *occurred_at, now)? {
        Changed::Done(order) => Ok(PartnerMoved::Order(order.record)),
        other => Err(Error::Corrupt(format!("a move that is allowed came to {other:?}"))),
    }
}

/// Makes a move that is allowed.
#[expect(clippy::too_many_arguments, reason = "what a move says, and what it is written with")]
fn move_order(
    db: &Connection,
    tick: &mut Tick,
    codes: &StatusCodes,
    order: &CurrentOrder,
    to: KnownStatus,
    reason: Option<&Reason>,
    actor: Actor,
    occurred_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Changed, Error> {
    let mut changes = Changes::new();
    match reason.filter(|_| to == KnownStatus::Cancelled) {
        Some(Reason::Code(code)) => changes.integer("cancellation_reason_id", *code),
        Some(Reason::Text(text)) => changes.string("cancellation_reason", text),
        None => {}
    }
    let record = if changes.is_empty() { order.record.clone() } else { order.record.with(&changes) };
    let event = Occurrence {
        event_type: EventType::OrderStatusUpdated,
        status: OrderStatus::Known(to),
        actor,
        occurred_at,
    };
    renew(db, tick, codes, order, &record, &event, now)
}

/// Refuses a record that has grown too large to be moved and delivered.
fn too_large(record: &Record) -> Option<Changed> {
    let bytes = record.bytes().len();
    (bytes > RECORD_GIVEN_BYTES_MAX).then_some(Changed::Invalid(vec![Invalid::TooLarge { bytes }]))
}

/// What an event says besides the order.
struct Occurrence {
    event_type: EventType,
    status: OrderStatus,
    actor: Actor,
    occurred_at: Option<Timestamp>,
}

fn create(
    db: &Connection,
    tick: &mut Tick,
    codes: &StatusCodes,
    new: &NewOrder,
    now: Timestamp,
) -> Result<Changed, Error> {
    let writing = failed("creating an order");
    let invalid = tick.registry(db)?.check_order(new.business_id, Some(new.branch_id), &new.brands);
    if !invalid.is_empty() {
        return Ok(Changed::Invalid(invalid));
    }
    let is_taken = |order_id: OrderId| {
        db.prepare_cached("SELECT 1 FROM orders WHERE order_id = ?1")
            .and_then(|mut s| s.query_row([order_id.0], |_| Ok(())).optional())
            .map(|found| found.is_some())
            .map_err(&writing)
    };
    let order_id = match new.id {
        Some(order_id) if is_taken(order_id)? => return Ok(Changed::IdTaken(order_id)),
        Some(order_id) => order_id,
        None => {
            // Taken only where a surface gave an id above those that lift ours.
            let mut order_id = OrderId(tick.numbers.order_id);
            while is_taken(order_id)? {
                order_id.0 += 1;
            }
            tick.numbers.order_id = order_id.0 + 1;
            order_id
        }
    };
    tick.numbers.order_taken(order_id);

    let status = OrderStatus::Known(new.status);
    let owned = OwnedFields {
        id: order_id,
        status,
        version: 1,
        created_at: now,
        updated_at: now,
        order_type: new.record.order_type(),
    };
    let mut changes = Changes::new();
    owned.set(codes, &mut changes);
    let record = new.record.with(&changes);
    if let Some(too_large) = too_large(&record) {
        return Ok(too_large);
    }

    let event =
        Occurrence { event_type: EventType::OrderCreated, status, actor: Actor::Operator, occurred_at: None };
    let record_id = append(db, tick, codes, &owned, &record, None, &event, now).map_err(&writing)?;
    let brands: Vec<i64> = new.brands.iter().map(|brand_id| brand_id.0).collect();
    let brands = serde_json::to_string(&brands).expect("integers are always JSON");
    db.prepare_cached(
        "INSERT INTO orders (order_id, business_id, branch_id, status, version, record_id, created_at, updated_at,
             brands)
         VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, ?6, ?7)",
    )
    .and_then(|mut s| {
        s.execute(params![
            order_id.0,
            new.business_id.0,
            new.branch_id.0,
            codes.code_of(status),
            record_id,
            now.as_millis(),
            brands
        ])
    })
    .map_err(&writing)?;
    let mut naming = db
        .prepare_cached("INSERT OR IGNORE INTO order_names (name, order_id) VALUES (?1, ?2)")
        .map_err(&writing)?;
    for name in NAME_FIELDS.iter().filter_map(|field| record.name(field)) {
        if name.len() <= NAME_BYTES_MAX {
            naming.execute(params![name, order_id.0]).map_err(&writing)?;
        }
    }
    tick.counts.orders += 1;
    tick.events.push(Event {
        order_id,
        business_id: new.business_id,
        branch_id: new.branch_id,
        brands: new.brands.clone(),
        event_type: event.event_type,
        record_id,
        record: record.bytes().clone(),
        at: now,
    });
    Ok(Changed::Done(StoredOrder {
        order_id,
        business_id: new.business_id,
        branch_id: new.branch_id,
        status,
        version: 1,
        record: record.bytes().clone(),
    }))
}

/// Gives an order its next version: `record`, and in it the fields that the platform owns.
fn renew(
    db: &Connection,
    tick: &mut Tick,
    codes: &StatusCodes,
    order: &CurrentOrder,
    record: &Record,
    event: &Occurrence,
    now: Timestamp,
) -> Result<Changed, Error> {
    let writing = failed("changing an order");
    let brands = record
        .brand_ids()
        .map_err(|e| Error::Corrupt(format!("the record of order {} cannot be read: {e}", order.order_id)))?;
    // A clock that steps back does not make a later state look older.
    let updated_at = now.max(order.updated_at);
    let owned = OwnedFields {
        id: order.order_id,
        status: event.status,
        version: order.version + 1,
        created_at: order.created_at,
        updated_at,
        order_type: record.order_type(),
    };
    let mut changes = Changes::new();
    owned.set(codes, &mut changes);
    let record = record.with(&changes);
    // For what a move adds there is room.
    if event.event_type == EventType::OrderCartUpdated
        && let Some(too_large) = too_large(&record)
    {
        return Ok(too_large);
    }

    let record_id =
        append(db, tick, codes, &owned, &record, Some(order.status), event, now).map_err(&writing)?;
    db.prepare_cached(
        "UPDATE orders SET status = ?2, version = ?3, record_id = ?4, updated_at = ?5 WHERE order_id = ?1",
    )
    .and_then(|mut s| {
        s.execute(params![
            order.order_id.0,
            codes.code_of(event.status),
            owned.version,
            record_id,
            updated_at.as_millis()
        ])
    })
    .map_err(&writing)?;
    tick.events.push(Event {
        order_id: order.order_id,
        business_id: order.business_id,
        branch_id: order.branch_id,
        brands,
        event_type: event.event_type,
        record_id,
        record: record.bytes().clone(),
        at: now,
    });
    Ok(Changed::Done(StoredOrder {
        order_id: order.order_id,
        business_id: order.business_id,
        branch_id: order.branch_id,
        status: event.status,
        version: owned.version,
        record: record.bytes().clone(),
    }))
}

/// Stores a record and its event.
#[expect(clippy::too_many_arguments, reason = "a row of two tables, made in two places")]
fn append(
    db: &Connection,
    tick: &mut Tick,
    codes: &StatusCodes,
    owned: &OwnedFields,
    record: &Record,
    status_from: Option<OrderStatus>,
    event: &Occurrence,
    now: Timestamp,
) -> rusqlite::Result<i64> {
    let record_id = tick.numbers.record_id;
    tick.numbers.record_id += 1;
    let text = std::str::from_utf8(record.bytes()).expect("a record is made of text only");
    db.prepare_cached("INSERT INTO records (record_id, order_id, version, record) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![record_id, owned.id.0, owned.version, text])?;
    db.prepare_cached(
        "INSERT INTO events (event_seq, event_type, status_from, status_to, actor, occurred_at, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        record_id,
        event.event_type.as_str(),
        status_from.map(|s| codes.code_of(s)),
        codes.code_of(event.status),
        match event.actor {
            Actor::Operator => "operator",
            Actor::Partner => "partner",
        },
        event.occurred_at.map(Timestamp::as_millis),
        now.as_millis()
    ])?;
    tick.counts.events += 1;
    tick.activity.events += 1;
    Ok(record_id)
}
