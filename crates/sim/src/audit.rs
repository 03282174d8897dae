//! A checker of what an endpoint received, which shares no code with the platform, the engine or the contract and
//! believes none of them: it reads the raw bodies with `serde_json` and knows the guarantees only as sentences.
//!
//! - One event id has one body, byte for byte, however often it arrives (G3).
//! - An order's versions never go back, and only the newest delivery of an order may arrive again: it is the one that
//!   may not have been acknowledged yet (G4).
//! - Two maps of orders are equal, record by record (G8).
//!
//! An order may arrive twice with one version under two ids, since an order of several brands is delivered once for
//! each; that is not a repeat. The arrivals of one endpoint go into one [`Auditor`]: order per order holds within an
//! endpoint.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use serde_json::Value;

/// How much of the surroundings of a difference is shown.
const EXCERPT_BYTES: usize = 24;

/// A guarantee that did not hold. `arrival` counts what was given to [`Auditor::receive`], from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A request came without an event id.
    NoEventId {
        /// Which.
        arrival: usize,
    },
    /// A body is not an envelope with orders that have an id and a version.
    Unreadable {
        /// Which.
        arrival: usize,
        /// Its event id.
        event_id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An event id came again with other bytes.
    BodyChanged {
        /// Which.
        arrival: usize,
        /// Its event id.
        event_id: String,
        /// The arrival that it differs from.
        first_arrival: usize,
        /// Where, and what stands there.
        difference: ByteDifference,
    },
    /// An older state of an order came after a newer one, under an id not seen before.
    WentBack {
        /// Which.
        arrival: usize,
        /// Its event id.
        event_id: String,
        /// The order.
        order: i64,
        /// Its version here.
        version: i64,
        /// The version that had come before.
        newest: i64,
    },
    /// A delivery came again after a later one of the same order.
    LateRepeat {
        /// Which.
        arrival: usize,
        /// Its event id.
        event_id: String,
        /// The order.
        order: i64,
        /// The later delivery that had come before.
        newest_event_id: String,
    },
    /// One envelope holds an order twice.
    OrderTwice {
        /// Which.
        arrival: usize,
        /// Its event id.
        event_id: String,
        /// The order.
        order: i64,
    },
    /// A version that must have been delivered never came.
    VersionMissing {
        /// The order.
        order: i64,
        /// Its version.
        version: i64,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::NoEventId { arrival } => write!(f, "arrival {arrival}: no event id"),
            Violation::Unreadable { arrival, event_id, reason } => {
                write!(f, "arrival {arrival}, {event_id}: {reason}")
            }
            Violation::BodyChanged { arrival, event_id, first_arrival, difference } => {
                write!(
                    f,
                    "arrival {arrival}, {event_id}: not the body of arrival {first_arrival}: {difference}"
                )
            }
            Violation::WentBack { arrival, event_id, order, version, newest } => write!(
                f,
                "arrival {arrival}, {event_id}: order {order} in version {version} after version {newest}"
            ),
            Violation::LateRepeat { arrival, event_id, order, newest_event_id } => write!(
                f,
                "arrival {arrival}, {event_id}: a repeat for order {order} after the later {newest_event_id}"
            ),
            Violation::OrderTwice { arrival, event_id, order } => {
                write!(f, "arrival {arrival}, {event_id}: order {order} twice in one envelope")
            }
            Violation::VersionMissing { order, version } => {
                write!(f, "order {order}: version {version} never came")
            }
        }
    }
}

/// The first place where two texts differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByteDifference {
    /// Offset of the first byte that differs, from 0.
    pub at: usize,
    /// What stands around it on the left.
    pub left: String,
    /// What stands around it on the right.
    pub right: String,
}

impl ByteDifference {
    /// The first difference, `None` where there is none.
    pub fn between(left: &[u8], right: &[u8]) -> Option<ByteDifference> {
        let shorter = left.len().min(right.len());
        let at = match left.iter().zip(right).position(|(l, r)| l != r) {
            Some(at) => at,
            None if left.len() == right.len() => return None,
            None => shorter,
        };
        let excerpt = |text: &[u8]| {
            let from = at.saturating_sub(EXCERPT_BYTES).min(text.len());
            let to = (at + EXCERPT_BYTES).min(text.len());
            String::from_utf8_lossy(&text[from..to]).into_owned()
        };
        Some(ByteDifference { at, left: excerpt(left), right: excerpt(right) })
    }
}

impl fmt::Display for ByteDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: ...{}... against ...{}...", self.at, self.left, self.right)
    }
}

struct Delivery {
    first_arrival: usize,
    body: Vec<u8>,
    orders: Vec<i64>,
}

struct Newest {
    version: i64,
    event_id: String,
}

/// Takes in the arrivals of one endpoint, in their order, and collects what was wrong.
#[derive(Default)]
pub struct Auditor {
    arrivals: usize,
    repeats: usize,
    deliveries: HashMap<String, Delivery>,
    newest: HashMap<i64, Newest>,
    versions: BTreeMap<i64, BTreeSet<i64>>,
    violations: Vec<Violation>,
}

impl Auditor {
    /// An auditor who has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The arrivals of an endpoint, all at once.
    pub fn of<'a>(arrivals: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut auditor = Auditor::new();
        for (event_id, body) in arrivals {
            auditor.receive(event_id, body);
        }
        auditor
    }

    /// Takes in the next arrival.
    pub fn receive(&mut self, event_id: &str, body: &[u8]) {
        let arrival = self.arrivals;
        self.arrivals += 1;
        if event_id.is_empty() {
            self.violations.push(Violation::NoEventId { arrival });
            return;
        }
        if let Some(known) = self.deliveries.get(event_id) {
            self.repeats += 1;
            if let Some(difference) = ByteDifference::between(&known.body, body) {
                self.violations.push(Violation::BodyChanged {
                    arrival,
                    event_id: event_id.to_owned(),
                    first_arrival: known.first_arrival,
                    difference,
                });
            }
            for order in &known.orders {
                let newest = &self.newest[order].event_id;
                if newest != event_id {
                    self.violations.push(Violation::LateRepeat {
                        arrival,
                        event_id: event_id.to_owned(),
                        order: *order,
                        newest_event_id: newest.clone(),
                    });
                }
            }
            return;
        }
        let states = read_envelope(body).unwrap_or_else(|reason| {
            self.violations.push(Violation::Unreadable { arrival, event_id: event_id.to_owned(), reason });
            Vec::new()
        });
        let mut orders = Vec::with_capacity(states.len());
        for (order, version) in states {
            if orders.contains(&order) {
                let event_id = event_id.to_owned();
                self.violations.push(Violation::OrderTwice { arrival, event_id, order });
                continue;
            }
            orders.push(order);
            self.versions.entry(order).or_default().insert(version);
            match self.newest.get(&order) {
                Some(newest) if version < newest.version => self.violations.push(Violation::WentBack {
                    arrival,
                    event_id: event_id.to_owned(),
                    order,
                    version,
                    newest: newest.version,
                }),
                Some(_) | None => {}
            }
            // Also after a step back: what came last is what may come again.
            let version = self.newest.get(&order).map_or(version, |newest| newest.version.max(version));
            self.newest.insert(order, Newest { version, event_id: event_id.to_owned() });
        }
        let delivery = Delivery { first_arrival: arrival, body: body.to_vec(), orders };
        self.deliveries.insert(event_id.to_owned(), delivery);
    }

    /// Checks that every version from 1 to the last came, for each order of `last_versions`. Right where all event
    /// types are registered for every brand of the order.
    pub fn expect_versions(&mut self, last_versions: impl IntoIterator<Item = (i64, i64)>) {
        let none = BTreeSet::new();
        for (order, last) in last_versions {
            let came = self.versions.get(&order).unwrap_or(&none);
            for version in (1..=last).filter(|version| !came.contains(version)) {
                self.violations.push(Violation::VersionMissing { order, version });
            }
        }
    }

    /// What was wrong, in the order in which it was found.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// How many requests arrived.
    pub fn arrivals(&self) -> usize {
        self.arrivals
    }

    /// How many of them carried an event id that had come before.
    pub fn repeats(&self) -> usize {
        self.repeats
    }

    /// How many different event ids came.
    pub fn deliveries(&self) -> usize {
        self.deliveries.len()
    }

    /// The versions that came, for each order.
    pub fn versions(&self) -> &BTreeMap<i64, BTreeSet<i64>> {
        &self.versions
    }

    /// Panics with all that was wrong, one to a line.
    ///
    /// # Panics
    /// Where anything was.
    #[track_caller]
    pub fn assert_clean(&self) {
        let found: Vec<String> = self.violations.iter().map(Violation::to_string).collect();
        assert!(found.is_empty(), "{} violations:\n{}", found.len(), found.join("\n"));
    }
}

/// Order ids and versions of an envelope, in their order.
fn read_envelope(body: &[u8]) -> Result<Vec<(i64, i64)>, String> {
    let envelope: Value = serde_json::from_slice(body).map_err(|error| format!("not JSON: {error}"))?;
    for field in ["brand_id", "branch_id"] {
        if !envelope.get(field).is_some_and(Value::is_i64) {
            return Err(format!("{field} is not an integer"));
        }
    }
    let orders = envelope.get("orders").and_then(Value::as_array).ok_or("orders is not an array")?;
    if orders.is_empty() {
        return Err("orders is empty".to_owned());
    }
    let integer = |order: &Value, field: &str| {
        order
            .get(field)
            .and_then(Value::as_i64)
            .ok_or_else(|| format!("an order's {field} is not an integer"))
    };
    orders.iter().map(|order| Ok((integer(order, "id")?, integer(order, "version")?))).collect()
}

/// An order that two views do not agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewDifference {
    /// Only the left view has it.
    OnlyLeft {
        /// The order.
        order: i64,
    },
    /// Only the right view has it.
    OnlyRight {
        /// The order.
        order: i64,
    },
    /// Both have it, with other bytes.
    Differs {
        /// The order.
        order: i64,
        /// The top-level fields whose values differ; empty where only the spelling does.
        fields: Vec<String>,
        /// The first place.
        bytes: ByteDifference,
    },
}

impl fmt::Display for ViewDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ViewDifference::OnlyLeft { order } => write!(f, "order {order}: only on the left"),
            ViewDifference::OnlyRight { order } => write!(f, "order {order}: only on the right"),
            ViewDifference::Differs { order, fields, bytes } if fields.is_empty() => {
                write!(f, "order {order}: the same values in another spelling; {bytes}")
            }
            ViewDifference::Differs { order, fields, bytes } => {
                write!(f, "order {order}: differs in {}; {bytes}", fields.join(", "))
            }
        }
    }
}

/// Compares two views, order id to record bytes. Empty where they agree byte for byte.
pub fn view_differences<L, R>(left: &BTreeMap<i64, L>, right: &BTreeMap<i64, R>) -> Vec<ViewDifference>
where
    L: AsRef<[u8]>,
    R: AsRef<[u8]>,
{
    let orders: BTreeSet<i64> = left.keys().chain(right.keys()).copied().collect();
    orders
        .into_iter()
        .filter_map(|order| match (left.get(&order), right.get(&order)) {
            (Some(_), None) => Some(ViewDifference::OnlyLeft { order }),
            (None, _) => Some(ViewDifference::OnlyRight { order }),
            (Some(l), Some(r)) => {
                let bytes = ByteDifference::between(l.as_ref(), r.as_ref())?;
                Some(ViewDifference::Differs {
                    order,
                    fields: differing_fields(l.as_ref(), r.as_ref()),
                    bytes,
                })
            }
        })
        .collect()
}

/// The top-level fields that differ, by the text of their values: a number is not compared as a float.
fn differing_fields(left: &[u8], right: &[u8]) -> Vec<String> {
    type Fields<'a> = BTreeMap<String, &'a serde_json::value::RawValue>;
    let (Ok(left), Ok(right)) =
        (serde_json::from_slice::<Fields<'_>>(left), serde_json::from_slice::<Fields<'_>>(right))
    else {
        return vec!["(not an object)".to_owned()];
    };
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    names
        .into_iter()
        .filter(|name| left.get(*name).map(|v| v.get()) != right.get(*name).map(|v| v.get()))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(orders: &[(i64, i64)]) -> String {
        let orders: Vec<String> =
            orders.iter().map(|(id, version)| format!("{{\"id\":{id},\"version\":{version}}}")).collect();
        format!("{{\"brand_id\":663,\"branch_id\":1062,\"orders\":[{}]}}", orders.join(","))
    }

    /// Runs arrivals of (event id, orders with versions) and gives the violations' sentences.
    fn audit(arrivals: &[(&str, &[(i64, i64)])]) -> Vec<String> {
        let mut auditor = Auditor::new();
        for (event_id, orders) in arrivals {
            auditor.receive(event_id, envelope(orders).as_bytes());
        }
        auditor.violations().iter().map(Violation::to_string).collect()
    }

    #[test]
    fn what_the_guarantees_allow_is_no_violation() {
        let auditor = Auditor::of(
            [
                ("a1", envelope(&[(1, 1)])),
                ("a1", envelope(&[(1, 1)])),
                ("b1", envelope(&[(2, 1), (3, 1)])),
                ("a2", envelope(&[(1, 2)])),
                // The same state for another brand, under an id of its own.
                ("a2-other-brand", envelope(&[(1, 2)])),
                ("b1", envelope(&[(2, 1), (3, 1)])),
                ("a9", envelope(&[(1, 9)])),
                ("a9", envelope(&[(1, 9)])),
            ]
            .iter()
            .map(|(id, body)| (*id, body.as_bytes())),
        );
        auditor.assert_clean();
        assert_eq!((auditor.arrivals(), auditor.deliveries(), auditor.repeats()), (8, 5, 3));
        assert_eq!(auditor.versions()[&1], BTreeSet::from([1, 2, 9]));
    }

    #[test]
    fn another_body_under_the_same_id_is_found_with_the_place() {
        let mut auditor = Auditor::new();
        auditor.receive("a", envelope(&[(1, 1)]).as_bytes());
        auditor.receive("a", envelope(&[(1, 7)]).as_bytes());
        let found = auditor.violations()[0].to_string();
        assert!(found.contains("arrival 1, a: not the body of arrival 0"), "{found}");
        assert!(found.contains("\"version\":1") && found.contains("\"version\":7"), "{found}");
    }

    #[test]
    fn an_older_state_after_a_newer_one_is_found() {
        let found = audit(&[("a", &[(1, 2)]), ("b", &[(2, 1), (1, 1)])]);
        assert_eq!(found, ["arrival 1, b: order 1 in version 1 after version 2"]);
        // One step back does not excuse the next.
        let found = audit(&[("a", &[(1, 3)]), ("b", &[(1, 1)]), ("c", &[(1, 2)])]);
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn a_repeat_of_anything_but_the_newest_delivery_is_found() {
        let found = audit(&[("a", &[(1, 1)]), ("b", &[(1, 2)]), ("a", &[(1, 1)])]);
        assert_eq!(found, ["arrival 2, a: a repeat for order 1 after the later b"]);
        // Of several orders, one is enough.
        let found = audit(&[("a", &[(1, 1), (2, 1)]), ("b", &[(2, 2)]), ("a", &[(1, 1), (2, 1)])]);
        assert_eq!(found, ["arrival 2, a: a repeat for order 2 after the later b"]);
    }

    #[test]
    fn what_is_no_envelope_or_has_no_id_is_found() {
        for (body, expect) in [
            ("{", "not JSON"),
            ("{\"branch_id\":1,\"orders\":[]}", "brand_id"),
            ("{\"brand_id\":1,\"branch_id\":\"1\",\"orders\":[]}", "branch_id"),
            ("{\"brand_id\":1,\"branch_id\":1}", "orders is not"),
            ("{\"brand_id\":1,\"branch_id\":1,\"orders\":[]}", "orders is empty"),
            ("{\"brand_id\":1,\"branch_id\":1,\"orders\":[{\"id\":1}]}", "version"),
            ("{\"brand_id\":1,\"branch_id\":1,\"orders\":[{\"version\":1}]}", "id"),
        ] {
            let auditor = Auditor::of([("a", body.as_bytes())]);
            let found = auditor.violations()[0].to_string();
            assert!(found.contains(expect), "{found}");
        }
        let auditor = Auditor::of([("", envelope(&[(1, 1)]).as_bytes())]);
        assert_eq!(auditor.violations(), [Violation::NoEventId { arrival: 0 }]);
        assert_eq!(audit(&[("a", &[(1, 1), (1, 2)])]), ["arrival 0, a: order 1 twice in one envelope"]);
    }

    #[test]
    fn a_version_that_never_came_is_found() {
        let mut auditor = Auditor::new();
        auditor.receive("a", envelope(&[(1, 1)]).as_bytes());
        auditor.receive("b", envelope(&[(1, 3)]).as_bytes());
        auditor.expect_versions([(1, 3), (2, 1)]);
        assert_eq!(
            auditor.violations(),
            [
                Violation::VersionMissing { order: 1, version: 2 },
                Violation::VersionMissing { order: 2, version: 1 }
            ]
        );
    }

    #[test]
    #[should_panic(expected = "order 1 in version 1 after version 2")]
    fn a_dirty_audit_panics_with_the_sentences() {
        let (newer, older) = (envelope(&[(1, 2)]), envelope(&[(1, 1)]));
        Auditor::of([("a", newer.as_bytes()), ("b", older.as_bytes())]).assert_clean();
    }

    #[test]
    fn views_are_compared_record_by_record_and_field_by_field() {
        let view = |records: &[(i64, &str)]| -> BTreeMap<i64, Vec<u8>> {
            records.iter().map(|(id, record)| (*id, record.as_bytes().to_vec())).collect()
        };
        let left = view(&[
            (1, "{\"id\":1,\"status\":4}"),
            (2, "{\"id\":2}"),
            (4, "{\"vat\":0.10}"),
            (5, "{\"a\":1, \"b\":2}"),
        ]);
        assert_eq!(view_differences(&left, &left), []);
        let right = view(&[
            (1, "{\"id\":1,\"status\":5}"),
            (3, "{\"id\":3}"),
            (4, "{\"vat\":0.1}"),
            (5, "{\"a\":1,\"b\":2}"),
        ]);
        let found: Vec<String> =
            view_differences(&left, &right).iter().map(ViewDifference::to_string).collect();
        assert!(found[0].contains("order 1: differs in status; byte 17"), "{found:?}");
        assert_eq!(found[1..3], ["order 2: only on the left", "order 3: only on the right"]);
        assert!(found[3].contains("order 4: differs in vat"), "{found:?}");
        assert!(found[4].contains("order 5: the same values in another spelling"), "{found:?}");
    }

    #[test]
    fn the_end_of_the_shorter_text_is_a_difference_too() {
        assert_eq!(ByteDifference::between(b"abc", b"abc"), None);
        assert_eq!(ByteDifference::between(b"abc", b"ab").map(|d| d.at), Some(2));
        assert_eq!(ByteDifference::between(b"", b"x").map(|d| d.at), Some(0));
    }
}
