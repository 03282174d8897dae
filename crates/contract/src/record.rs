//! The order record: an object of a hundred fields or more, kept losslessly.
//!
//! A [`Record`] is the text as it came, with an index of its top-level fields. Reading a field gives its text;
//! changing one copies what stands around it byte for byte and moves the index along, without reading the text again.

use std::borrow::Cow;
use std::collections::HashSet;

use bytes::Bytes;

use crate::object::{self, DEPTH_MAX, Field, Indexed, depth_fits, slice};
use crate::status::{Actor, KnownStatus, MoveVerdict, OrderStatus, StatusCodes, check_move};
use crate::{BranchId, BrandId, BusinessId, OrderId, Timestamp};

/// The fields that the platform owns; what a surface or a cart edit says of them does not count.
pub const OWNED_FIELDS: [&str; 13] = [
    "id",
    "status",
    "created_at",
    "updated_at",
    "version",
    "can_update",
    "can_accept",
    "can_ready",
    "can_cancel",
    "can_deliver",
    "can_void",
    "can_find_fulfillment_rider",
    "can_cancel_rider",
];

/// An order record: valid JSON, an object, exactly as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    text: Bytes,
    fields: Vec<Field>,
}

/// Why a text is no order record, or a field not what it should be.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum RecordError {
    /// Not UTF-8.
    #[error("not UTF-8: the first bad byte is number {at}")]
    NotUtf8 {
        /// Offset of the first bad byte, from 0.
        at: usize,
    },
    /// Not JSON.
    #[error("not JSON: {detail}")]
    NotJson {
        /// What the reader tripped over, with line and column.
        detail: String,
    },
    /// More levels of arrays and objects within each other than are taken.
    #[error("nested too deeply: at most {DEPTH_MAX} levels of arrays and objects are taken")]
    TooDeep,
    /// JSON, but not an object.
    #[error("expected an object, found {found}")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// A field that must be there is not.
    #[error("{field}: missing; expected {expected}")]
    Missing {
        /// The field.
        field: Cow<'static, str>,
        /// What it should be.
        expected: &'static str,
    },
    /// A field is of the wrong kind.
    #[error("{field}: expected {expected}, found {found}")]
    Invalid {
        /// The field.
        field: Cow<'static, str>,
        /// What it should be.
        expected: &'static str,
        /// What kind of value it is.
        found: &'static str,
    },
    /// A field that the platform reads or owns stands there more than once.
    #[error("{field}: given more than once")]
    Repeated {
        /// The field.
        field: Cow<'static, str>,
    },
}

impl RecordError {
    /// The field at fault, where it is one field.
    pub fn field(&self) -> Option<&str> {
        match self {
            RecordError::NotUtf8 { .. }
            | RecordError::NotJson { .. }
            | RecordError::TooDeep
            | RecordError::NotAnObject { .. } => None,
            RecordError::Missing { field, .. }
            | RecordError::Invalid { field, .. }
            | RecordError::Repeated { field } => Some(field),
        }
    }
}

const AN_ID: &str = "an integer above zero";

/// The fields that have the goods of an order.
pub const CART_FIELDS: [&str; 2] = ["cart", "cart_v2"];

/// Faults that are told of one record at most.
pub const RECORD_FAULTS_MAX: usize = 50;

fn index(text: &str) -> Result<Vec<Field>, RecordError> {
    object::index(text).map_err(|e| {
        if e.is_data() {
            RecordError::NotAnObject { found: object::kind(text) }
        } else {
            RecordError::NotJson { detail: e.to_string() }
        }
    })
}

impl Record {
    /// Takes a text as an order record.
    ///
    /// # Errors
    /// [`RecordError`] where it is nested deeper than [`DEPTH_MAX`], not UTF-8, not JSON, or not an object. Fields are not
    /// looked at.
    pub fn parse(text: impl Into<Bytes>) -> Result<Record, RecordError> {
        let text = text.into();
        if !depth_fits(&text) {
            return Err(RecordError::TooDeep);
        }
        Record::kept(text)
    }

    /// Takes a text as an order record that was taken before, and is kept: however deep it is nested, since it may be older
    /// than that limit.
    ///
    /// # Errors
    /// [`RecordError`] where it is not UTF-8, not JSON, or not an object.
    pub fn kept(text: impl Into<Bytes>) -> Result<Record, RecordError> {
        let text = text.into();
        let utf8 = std::str::from_utf8(&text).map_err(|e| RecordError::NotUtf8 { at: e.valid_up_to() })?;
        let fields = index(utf8)?;
        Ok(Record { text, fields })
    }

    /// Takes a part of a text that is known to be UTF-8 as an order record. `part` is within `text`.
    pub(crate) fn within(text: &Bytes, part: &str) -> Result<Record, RecordError> {
        if !depth_fits(part.as_bytes()) {
            return Err(RecordError::TooDeep);
        }
        Ok(Record { fields: index(part)?, text: text.slice_ref(part.as_bytes()) })
    }

    /// Takes an object of a text whose fields are known, counted from its brace; nothing where it has none.
    pub(crate) fn indexed(text: &Bytes, (fields, start): Indexed) -> Option<Record> {
        let start = start? as usize;
        let last = start + fields.last()?.value.end as usize;
        // Behind the last value there is nothing but white space before the brace.
        let end = last + text[last..].iter().position(|byte| *byte == b'}')? + 1;
        Some(Record { text: text.slice(start..end), fields })
    }

    /// The record's bytes, as they came or as the last change left them.
    pub fn bytes(&self) -> &Bytes {
        &self.text
    }

    /// A top-level field's JSON text. Of a repeated key the last one counts, as most readers have it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().rev().find(|f| f.is_named(&self.text, name)).map(|f| slice(&self.text, &f.value))
    }

    /// The names of the top-level fields, in their order, repeated ones repeated. A name that is no text (a lone
    /// surrogate) comes as it is written.
    pub fn names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let text = &self.text;
        self.fields.iter().map(move |f| {
            match f.is_escaped.then(|| serde_json::from_slice::<String>(f.quoted_key(text))) {
                Some(Ok(name)) => Cow::Owned(name),
                Some(Err(_)) | None => Cow::Borrowed(slice(text, &f.key)),
            }
        })
    }

    /// Refuses a record in which one of these fields stands more than once: two readers could read it differently.
    ///
    /// # Errors
    /// [`RecordError::Repeated`], naming the field.
    pub fn refuse_repeated(&self, names: &[&'static str]) -> Result<(), RecordError> {
        self.repeated(names).next().map_or(Ok(()), Err)
    }

    /// Those of these fields that stand there more than once, a [`RecordError::Repeated`] for each.
    pub fn repeated(&self, names: &[&'static str]) -> impl Iterator<Item = RecordError> {
        let stands_twice =
            |name: &&&str| self.fields.iter().filter(|f| f.is_named(&self.text, name)).nth(1).is_some();
        names.iter().filter(stands_twice).map(|name| RecordError::Repeated { field: Cow::Borrowed(name) })
    }

    /// The record with fields set: in their places where they are there (in each place of a repeated key), else at
    /// the end. Everything else stays byte for byte, and is not read again.
    #[must_use]
    pub fn with(&self, changes: &Changes) -> Record {
        let text = &self.text[..];
        // Where each change lands: all fields of that name, in the order of the text.
        let mut places: Vec<(usize, usize)> = Vec::with_capacity(changes.0.len());
        let mut appended: Vec<usize> = Vec::new();
        for (c, (name, _)) in changes.0.iter().enumerate() {
            let before = places.len();
            places.extend(
                self.fields.iter().enumerate().filter(|(_, f)| f.is_named(text, name)).map(|(i, _)| (i, c)),
            );
            if places.len() == before {
                appended.push(c);
            }
        }
        places.sort_unstable();

        let added: usize = changes.0.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
        let mut out = Vec::with_capacity(text.len() + added);
        let mut fields = Vec::with_capacity(self.fields.len() + appended.len());
        let mut places = places.into_iter().peekable();
        let mut copied = 0;
        // How far the text after this point has moved; wrapping, because it may move to the left.
        let mut moved: u32 = 0;
        let shift = |r: &Range, moved: u32| r.start.wrapping_add(moved)..r.end.wrapping_add(moved);
        for (i, field) in self.fields.iter().enumerate() {
            let key = shift(&field.key, moved);
            let Some((_, c)) = places.next_if(|(at, _)| *at == i) else {
                fields.push(Field { key, value: shift(&field.value, moved), ..*field });
                continue;
            };
            let value = &changes.0[c].1;
            out.extend_from_slice(&text[copied..field.value.start as usize]);
            let start = out.len() as u32;
            out.extend_from_slice(value.as_bytes());
            copied = field.value.end as usize;
            moved = (out.len() as u32).wrapping_sub(field.value.end);
            fields.push(Field { key, value: start..out.len() as u32, ..*field });
        }
        // New fields go right behind the last value, or behind the opening brace of an empty object.
        let end = match self.fields.last() {
            Some(last) => last.value.end as usize,
            None => text.iter().position(|b| *b == b'{').expect("a record is an object") + 1,
        };
        out.extend_from_slice(&text[copied..end]);
        for c in appended {
            let (name, value) = &changes.0[c];
            if !fields.is_empty() {
                out.push(b',');
            }
            let quoted = serde_json::to_string(name).expect("a string is always JSON");
            let key = out.len() as u32 + 1;
            out.extend_from_slice(quoted.as_bytes());
            out.push(b':');
            let start = out.len() as u32;
            out.extend_from_slice(value.as_bytes());
            fields.push(Field {
                key: key..key + quoted.len() as u32 - 2,
                value: start..out.len() as u32,
                is_escaped: quoted.contains('\\'),
            });
        }
        out.extend_from_slice(&text[end..]);
        Record { text: Bytes::from(out), fields }
    }

    fn integer(&self, name: &'static str, expected: &'static str) -> Result<Option<i64>, RecordError> {
        match self.get(name) {
            None | Some("null") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| RecordError::Invalid {
                field: Cow::Borrowed(name),
                expected,
                found: object::kind(text),
            }),
        }
    }

    fn id_field(&self, name: &'static str) -> Result<Option<i64>, RecordError> {
        match self.integer(name, AN_ID)? {
            Some(id) if id <= 0 => Err(RecordError::Invalid {
                field: Cow::Borrowed(name),
                expected: AN_ID,
                found: "a number below one",
            }),
            id => Ok(id),
        }
    }

    /// The order's id, where the record has one.
    ///
    /// # Errors
    /// [`RecordError::Invalid`] where `id` is there and not an integer above zero.
    pub fn id(&self) -> Result<Option<OrderId>, RecordError> {
        Ok(self.id_field("id")?.map(OrderId))
    }

    /// The business, where the record names one.
    ///
    /// # Errors
    /// [`RecordError::Invalid`] where `business_id` is there and not an integer above zero.
    pub fn business_id(&self) -> Result<Option<BusinessId>, RecordError> {
        Ok(self.id_field("business_id")?.map(BusinessId))
    }

    /// The branch, where the record names one.
    ///
    /// # Errors
    /// [`RecordError::Invalid`] where `branch_id` is there and not an integer above zero.
    pub fn branch_id(&self) -> Result<Option<BranchId>, RecordError> {
        Ok(self.id_field("branch_id")?.map(BranchId))
    }

    /// The brands, in their order, each once. Empty where the record has none.
    ///
    /// # Errors
    /// [`RecordError::Invalid`] or [`RecordError::Missing`], with the path of the element, where `brands` is not an
    /// array of objects with an integer `id`.
    pub fn brand_ids(&self) -> Result<Vec<BrandId>, RecordError> {
        self.brands(1).map_err(|mut faults| faults.remove(0))
    }

    /// The brands as [`Record::brand_ids`] gives them, or all that is wrong with them, up to [`RECORD_FAULTS_MAX`].
    ///
    /// # Errors
    /// One for each element that is not as it should be.
    pub fn brand_ids_or_faults(&self) -> Result<Vec<BrandId>, Vec<RecordError>> {
        self.brands(RECORD_FAULTS_MAX)
    }

    fn brands(&self, faults_max: usize) -> Result<Vec<BrandId>, Vec<RecordError>> {
        const EXPECTED: &str = "an array of brands, each an object with an id";
        let Some(text) = self.get("brands").filter(|text| *text != "null") else { return Ok(Vec::new()) };
        let brands: Vec<&serde_json::value::RawValue> = serde_json::from_str(text).map_err(|_| {
            vec![RecordError::Invalid {
                field: Cow::Borrowed("brands"),
                expected: EXPECTED,
                found: object::kind(text),
            }]
        })?;
        let (mut ids, mut seen, mut faults) = (Vec::with_capacity(brands.len()), HashSet::new(), Vec::new());
        for (i, brand) in brands.into_iter().enumerate() {
            match brand_id(i, brand.get()) {
                Ok(id) if seen.insert(id) => ids.push(id),
                Ok(_) => {}
                Err(fault) => faults.push(fault),
            }
            if faults.len() == faults_max {
                break;
            }
        }
        if faults.is_empty() { Ok(ids) } else { Err(faults) }
    }

    /// What is wrong with `cart` and `cart_v2`, each an array of items that are objects where it is there at all; up to
    /// [`RECORD_FAULTS_MAX`] of each. What is in an item may be anything.
    pub fn cart_faults(&self) -> Vec<RecordError> {
        CART_FIELDS.into_iter().flat_map(|name| self.faults_of_cart(name)).collect()
    }

    fn faults_of_cart(&self, name: &'static str) -> Vec<RecordError> {
        let fault =
            |field, expected, text| RecordError::Invalid { field, expected, found: object::kind(text) };
        let Some(text) = self.get(name) else { return Vec::new() };
        let Ok(items) = serde_json::from_str::<Vec<&serde_json::value::RawValue>>(text) else {
            return vec![fault(Cow::Borrowed(name), "an array of items", text)];
        };
        let items = items.into_iter().map(serde_json::value::RawValue::get).enumerate();
        let odd = items.filter(|(_, item)| !item.starts_with('{'));
        let odd = odd.map(|(i, item)| fault(Cow::Owned(format!("{name}[{i}]")), "an item, an object", item));
        odd.take(RECORD_FAULTS_MAX).collect()
    }

    /// The status, where the record has one; a code that we do not know is kept.
    ///
    /// # Errors
    /// [`RecordError::Invalid`] where `status` is there and not an integer.
    pub fn status(&self, codes: &StatusCodes) -> Result<Option<OrderStatus>, RecordError> {
        Ok(self.integer("status", "an integer status code")?.map(|code| codes.status(code)))
    }

    /// The version, where the record has one that can be read.
    pub fn version(&self) -> Option<i64> {
        self.get("version")?.parse().ok()
    }

    /// The time of the last change, where the record has one that can be read: RFC 3339, looser forms of it that other senders
    /// write, or a number of seconds or milliseconds since 1970.
    pub fn updated_at(&self) -> Option<Timestamp> {
        self.time("updated_at")
    }

    /// The time at which the order was made, read as [`Record::updated_at`] is.
    pub fn created_at(&self) -> Option<Timestamp> {
        self.time("created_at")
    }

    fn time(&self, name: &str) -> Option<Timestamp> {
        let text = self.get(name)?;
        if let Ok(number) = text.parse::<i64>() {
            // Seconds reach this bound in the year 5138, milliseconds passed it in 1973.
            const SECONDS_BELOW: u64 = 100_000_000_000;
            return Some(Timestamp::from_millis(if number.unsigned_abs() < SECONDS_BELOW {
                number * 1000
            } else {
                number
            }));
        }
        let text: String = serde_json::from_str(text).ok()?;
        Timestamp::parse_loosely(&text)
    }

    /// A field by which people know an order, such as `external_id`: its text, or the digits where it is an integer.
    pub fn name(&self, field: &str) -> Option<Cow<'_, str>> {
        let text = self.get(field)?;
        if text.parse::<i64>().is_ok() {
            return Some(Cow::Borrowed(text));
        }
        serde_json::from_str::<String>(text).ok().filter(|name| !name.is_empty()).map(Cow::Owned)
    }

    /// The order type: 1 pickup, 2 delivery, 3 dine-in, other numbers as they are.
    pub fn order_type(&self) -> Option<i64> {
        self.get("type")?.parse().ok()
    }
}

/// The id of the element of `brands` at this place.
fn brand_id(i: usize, text: &str) -> Result<BrandId, RecordError> {
    let at = |error: RecordError| match error {
        RecordError::Invalid { expected, found, .. } => {
            RecordError::Invalid { field: Cow::Owned(format!("brands[{i}].id")), expected, found }
        }
        _ => RecordError::Invalid {
            field: Cow::Owned(format!("brands[{i}]")),
            expected: "an object with an id",
            found: object::kind(text),
        },
    };
    let brand = Record::kept(text.to_owned()).map_err(at)?;
    let id = brand.id_field("id").map_err(at)?.ok_or_else(|| RecordError::Missing {
        field: Cow::Owned(format!("brands[{i}].id")),
        expected: AN_ID,
    })?;
    Ok(BrandId(id))
}

type Range = std::ops::Range<u32>;

/// Fields to set in a record, each a name and its JSON text, in the order in which new ones are to be added. Setting
/// a name again replaces what was set before.
#[derive(Clone, Debug, Default)]
pub struct Changes(Vec<(Cow<'static, str>, String)>);

impl Changes {
    /// No changes.
    pub fn new() -> Self {
        Changes::default()
    }

    fn set(&mut self, name: Cow<'static, str>, json: String) {
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some((_, value)) => *value = json,
            None => self.0.push((name, json)),
        }
    }

    /// Sets a field to an integer.
    pub fn integer(&mut self, name: &'static str, value: i64) {
        self.set(Cow::Borrowed(name), value.to_string());
    }

    /// Sets a field to a boolean.
    pub fn boolean(&mut self, name: &'static str, value: bool) {
        self.set(Cow::Borrowed(name), value.to_string());
    }

    /// Sets a field to a string.
    pub fn string(&mut self, name: &'static str, value: &str) {
        self.set(Cow::Borrowed(name), serde_json::to_string(value).expect("a string is always JSON"));
    }

    /// Sets a field to what it is in another record, byte for byte; nothing where the other does not have it.
    pub fn copied(&mut self, name: &str, from: &Record) {
        if let Some(json) = from.get(name) {
            self.set(Cow::Owned(name.to_owned()), json.to_owned());
        }
    }

    /// True where nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True where the record has all of this already, byte for byte.
    pub fn are_in(&self, record: &Record) -> bool {
        self.0.iter().all(|(name, json)| record.get(name) == Some(json))
    }
}

/// The values of the fields that the platform owns, at one version of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnedFields {
    /// `id`
    pub id: OrderId,
    /// `status`; the `can_*` flags follow from it.
    pub status: OrderStatus,
    /// `version`: 1 at creation, one more with every change.
    pub version: i64,
    /// `created_at`
    pub created_at: Timestamp,
    /// `updated_at`
    pub updated_at: Timestamp,
    /// The order's `type`, which the courier flags depend on.
    pub order_type: Option<i64>,
}

impl OwnedFields {
    /// Sets all of [`OWNED_FIELDS`].
    pub fn set(&self, codes: &StatusCodes, changes: &mut Changes) {
        const DELIVERY: i64 = 2;
        let may = |to, actor| check_move(self.status, to, actor) == MoveVerdict::Allowed;
        let known = match self.status {
            OrderStatus::Known(status) => Some(status),
            OrderStatus::Unknown(_) => None,
        };
        let ended = known.is_some_and(KnownStatus::has_ended);
        let delivery = self.order_type == Some(DELIVERY);
        changes.integer("id", self.id.0);
        changes.integer("status", codes.code_of(self.status));
        changes.string("created_at", &self.created_at.to_string());
        changes.string("updated_at", &self.updated_at.to_string());
        changes.integer("version", self.version);
        changes.boolean("can_update", !ended);
        changes.boolean("can_accept", may(KnownStatus::Accepted, Actor::Partner));
        changes.boolean("can_ready", may(KnownStatus::Ready, Actor::Partner));
        changes.boolean("can_cancel", may(KnownStatus::Cancelled, Actor::Partner));
        changes.boolean("can_deliver", may(KnownStatus::Delivered, Actor::Operator));
        changes.boolean("can_void", ended && may(KnownStatus::Cancelled, Actor::Operator));
        changes.boolean(
            "can_find_fulfillment_rider",
            delivery
                && matches!(known, Some(KnownStatus::Accepted | KnownStatus::Preparing | KnownStatus::Ready)),
        );
        changes.boolean(
            "can_cancel_rider",
            delivery && matches!(known, Some(KnownStatus::DriverAssigned | KnownStatus::DriverArrived)),
        );
    }
}

#[cfg(test)]
mod tests;
