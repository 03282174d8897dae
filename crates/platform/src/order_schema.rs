//! What an order's record looks like, for the description of the API. The record itself is a text that is kept as it
//! came: only what the platform owns and what it routes by has a type here, since all else may be anything.

use std::borrow::Cow;

use hookit_contract::{CART_FIELDS, OWNED_FIELDS};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

/// A record as it is stored, read and sent.
pub(crate) struct Order;

/// A record that a surface posts.
pub(crate) struct NewOrder;

/// What a cart edit replaces.
pub(crate) struct CartEdit;

/// A page of records.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a page is put together from texts")]
pub(crate) struct OrderPage {
    orders: Vec<Order>,
    /// The `after` of the next page; null on the last one.
    next_after: Option<i64>,
}

/// A page of the records that a partner looked for.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a page is put together from texts")]
pub(crate) struct OrdersFound {
    orders: Vec<Order>,
    /// This page's number, from 1 on.
    page: u64,
    /// How many a page may have.
    size: u64,
    /// How many there are on all pages.
    total: u64,
}

/// Fields that klikit's own clients read, and what is in them. They are kept as they come, whatever that is.
const USUAL_FIELDS: [(&str, &str); 20] = [
    ("external_id", "The order's id where it was placed."),
    ("short_id", "What people call it by."),
    ("source", "The surface it came from."),
    ("provider_id", "1 klikit, 2 Uber Eats, 3 Deliveroo, 5 DoorDash, 6 GrabFood, 7 foodpanda, and so on."),
    ("type", "1 pickup, 2 delivery, 3 dine-in."),
    ("scheduled_time", "When it is wanted, where that is not now."),
    ("preparation_time", "Minutes."),
    ("cancellation_reason", "Why it was cancelled, in words."),
    ("payment_status", "1 paid, 2 failed, 3 pending, 4 refunded."),
    ("payment_method", "2 cash, 17 QR."),
    ("currency", "ISO 4217."),
    (
        "final_price",
        "What the guest pays, in units of `currency`; `final_price_display` has it as a decimal text.",
    ),
    ("item_count", "How many items, each as often as it was ordered."),
    ("user_first_name", "The guest's."),
    ("user_phone", "The guest's."),
    ("delivery_info", "To whom and where."),
    ("order_comment", "The guest's wishes."),
    ("fulfillment_rider", "The courier: `name`, `phone`, `licensePlate`, `photoUrl`, `coordinates`."),
    ("cart", "The items."),
    ("cart_v2", "The items with their modifier groups."),
];

fn id(what: &str) -> Value {
    json!({"type": "integer", "format": "int64", "minimum": 1, "description": what})
}

fn usual() -> Map<String, Value> {
    let fields = USUAL_FIELDS.iter();
    fields.map(|(name, what)| ((*name).to_owned(), json!({"description": what}))).collect()
}

/// What a cart has to be where one is given. In a record it is what a surface gave when that was not asked for yet.
fn carts() -> Map<String, Value> {
    let usual = USUAL_FIELDS.iter().filter(|(name, _)| CART_FIELDS.contains(name));
    let cart = |what: &str| json!({"type": "array", "items": {"type": "object"}, "description": what});
    usual.map(|(name, what)| ((*name).to_owned(), cart(what))).collect()
}

fn routed(fields: &mut Map<String, Value>) {
    fields.insert("business_id".into(), id("Whose it is."));
    fields.insert("branch_id".into(), id("Which restaurant prepares it."));
    fields.insert(
        "brands".into(),
        json!({
            "description": "Of which brands it has items.",
            "type": "array", "minItems": 1,
            "items": {"type": "object", "properties": {"id": id("The brand."), "title": {"description": "Its name."}},
                "required": ["id"]},
        }),
    );
}

impl JsonSchema for Order {
    fn schema_name() -> Cow<'static, str> {
        "Order".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut fields = usual();
        routed(&mut fields);
        for name in OWNED_FIELDS {
            let schema = match name {
                "id" => {
                    json!({"type": "integer", "format": "int64", "description": "Given by the platform."})
                }
                "status" => json!({
                    "type": "integer", "format": "int64",
                    "description": "1 PLACED, 2 ACCEPTED, 3 CANCELLED, 4 READY, 5 DELIVERED, 6 SCHEDULED, 7 DRIVER_ASSIGNED, \
                        8 DRIVER_ARRIVED, 9 PICKED_UP, 10 PREPARING, 11 DISPATCHED. A receiver takes any other, too.",
                }),
                "version" => json!({
                    "type": "integer", "format": "int64", "minimum": 1,
                    "description": "1 at creation, one more with every change.",
                }),
                "created_at" | "updated_at" => json!({"type": "string", "format": "date-time"}),
                _ => json!({"type": "boolean"}),
            };
            fields.insert(name.into(), schema);
        }
        let required: Vec<&str> =
            OWNED_FIELDS.into_iter().chain(["business_id", "branch_id", "brands"]).collect();
        json_schema!({
            "description": "An order after a change: a snapshot, never a delta. It has a hundred fields or more, which are \
                kept as they came, and gets more with time; ignore what you do not know.",
            "type": "object", "properties": fields, "required": required,
        })
    }
}

impl JsonSchema for NewOrder {
    fn schema_name() -> Cow<'static, str> {
        "NewOrder".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut fields = usual();
        routed(&mut fields);
        fields.extend(carts());
        fields.insert("id".into(), id("Left out, the platform gives one."));
        fields.insert(
            "status".into(),
            json!({"type": "integer", "format": "int64", "description": "Left out, it is PLACED."}),
        );
        json_schema!({
            "description": "A record as the surface has it. What the platform owns is set by it.",
            "type": "object", "properties": fields, "required": ["business_id", "branch_id", "brands"],
        })
    }
}

impl JsonSchema for CartEdit {
    fn schema_name() -> Cow<'static, str> {
        "CartEdit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Each field replaces the record's. What the platform owns, and where the order belongs, cannot be \
                among them.",
            "type": "object",
            "properties": carts(),
            "required": ["cart"],
        })
    }
}
