//! Every fault of a body against the schema of what was expected.
//!
//! A value is read by its type alone, and that reading stops at the first fault. Only where it did is the body walked
//! along the schema that the same type has, so that whoever sent it hears of everything at once. What is left of it without its
//! faults is read anew, so that what it says can be judged as well.
//!
//! What this module must not do: refuse anything that the reading has taken.

use std::ops::RangeInclusive;

use hookit_contract::Timestamp;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::faults::{FAULTS_MAX, Fault};
use crate::tree::Tree;
use crate::wrong;

/// The faults of a JSON text that was to be a `T`, first the one at which its reading stopped; and what it is without them: what is
/// faulty is left out, or has another value in its place where there has to be one. None where nothing is left of it.
pub(crate) fn faults<T: JsonSchema>(text: &[u8], first: Fault) -> (Vec<Fault>, Option<Value>) {
    let settings = SchemaSettings::draft2020_12().for_deserialize();
    let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    let mut walk = Walk { definitions: &schema["$defs"], unread: &first.path, faults: Vec::new() };
    // What is nested too deeply to be read is told of by the reading.
    let rest = serde_json::from_slice(text).ok().and_then(|tree| walk.along(&schema, &tree, ""));
    let mut faults = walk.faults;
    faults.retain(|fault| fault.path != first.path);
    faults.insert(0, first);
    faults.truncate(FAULTS_MAX);
    (faults, rest)
}

/// What is wrong with a parameter of this schema that can be read: a number or a length out of bounds, or a word that is not known.
pub(crate) fn out_of_bounds(schema: &Value, name: &str, text: &str) -> Option<Fault> {
    let mut walk = Walk { definitions: &Value::Null, unread: "", faults: Vec::new() };
    match (kinds(schema).contains(&"integer"), text.parse()) {
        (true, Ok(number)) => drop(walk.integer(schema, number, name)),
        (true, Err(_)) => {}
        (false, _) => match words(schema) {
            Some(known) => drop(walk.word(&known, &Tree::Text(text.to_owned()), name)),
            None => drop(walk.text(schema, text, name)),
        },
    }
    walk.faults.pop()
}

struct Walk<'s> {
    definitions: &'s Value,
    /// Where the reading stopped, which may know better than the schema.
    unread: &'s str,
    faults: Vec<Fault>,
}

impl<'s> Walk<'s> {
    fn add(&mut self, path: &str, message: String) {
        let path = if path.is_empty() { "body" } else { path };
        self.faults.push(Fault::new(path, message));
    }

    fn is_over(&self) -> bool {
        self.faults.len() >= FAULTS_MAX
    }

    /// Takes down what is wrong with a value and with all that is in it. Gives what it is without that, or none where it is faulty
    /// itself.
    fn along(&mut self, schema: &'s Value, tree: &Tree, path: &str) -> Option<Value> {
        let value = if let Some(to) = schema["$ref"].as_str() {
            self.along(self.definition(to), tree, path)
        } else if let Some(choices) = choices(schema) {
            self.one_of(choices, tree, path)
        } else if let Some(known) = words(schema) {
            self.word(&known, tree, path)
        } else {
            self.of_kind(schema, tree, path)
        };
        value.filter(|_| path.is_empty() || path != self.unread)
    }

    fn definition(&self, to: &str) -> &'s Value {
        &self.definitions[to.rsplit('/').next().unwrap_or_default()]
    }

    fn of_kind(&mut self, schema: &'s Value, tree: &Tree, path: &str) -> Option<Value> {
        let kinds = kinds(schema);
        if !kinds.is_empty() && !kinds.iter().any(|kind| tree.is(kind)) {
            let expected = expected(&kinds);
            self.add(path, format!("expected {expected}, found {}", tree.kind()));
            return None;
        }
        match tree {
            Tree::Object(fields) => Some(self.object(schema, fields, path)),
            Tree::Array(items) => self.array(schema, items, path),
            Tree::Text(text) => self.text(schema, text, path).then(|| text.as_str().into()),
            Tree::Integer(number) => {
                let value =
                    i64::try_from(*number).map(Value::from).or_else(|_| (*number).try_into().map(u64::into));
                self.integer(schema, *number, path).then_some(value.ok()?)
            }
            Tree::Boolean(is) => Some((*is).into()),
            Tree::Number(number) => Some((*number).into()),
            Tree::Null => Some(Value::Null),
        }
    }

    fn one_of(&mut self, choices: &'s [Value], tree: &Tree, path: &str) -> Option<Value> {
        let known: Option<Vec<&str>> =
            choices.iter().map(words).collect::<Option<Vec<_>>>().map(|lists| lists.concat());
        if let Some(known) = known {
            return self.word(&known, tree, path);
        }
        let mut of_each = Vec::new();
        for choice in choices {
            let mut walk = Walk { definitions: self.definitions, unread: self.unread, faults: Vec::new() };
            let value = walk.along(choice, tree, path);
            if walk.faults.is_empty() {
                return value;
            }
            if kinds(choice) != ["null"] {
                of_each.push((choice, walk.faults, value));
            }
        }
        // One of this kind is what was meant.
        if of_each.iter().filter(|(choice, ..)| kinds(choice).iter().any(|kind| tree.is(kind))).count() == 1 {
            of_each.retain(|(choice, ..)| kinds(choice).iter().any(|kind| tree.is(kind)));
        }
        match &mut of_each[..] {
            [(_, faults, value)] => {
                self.faults.append(faults);
                value.take()
            }
            _ => {
                let kinds: Vec<&str> = of_each.iter().flat_map(|(choice, ..)| kinds(choice)).collect();
                self.add(path, format!("expected {}, found {}", expected(&kinds), tree.kind()));
                None
            }
        }
    }

    fn word(&mut self, known: &[&str], tree: &Tree, path: &str) -> Option<Value> {
        match tree {
            Tree::Text(text) if known.contains(&text.as_str()) => return Some(text.as_str().into()),
            Tree::Text(text) => self.add(path, wrong::not_known(text, known)),
            _ => self.add(path, "expected a string".to_owned()),
        }
        None
    }

    fn object(&mut self, schema: &'s Value, fields: &[(String, Tree)], path: &str) -> Value {
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let known = schema["properties"].as_object();
        let required = || schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for name in required() {
            if !fields.iter().any(|(given, _)| given == name) {
                self.add(&below(name), wrong::MISSING.to_owned());
            }
        }
        let mut rest = Map::new();
        for (i, (name, value)) in fields.iter().enumerate() {
            if self.is_over() {
                break;
            }
            match known.and_then(|known| known.get(name)) {
                Some(_) if fields[..i].iter().any(|(before, _)| before == name) => {
                    self.add(&below(name), wrong::REPEATED.to_owned());
                    rest.remove(name);
                }
                Some(schema) => {
                    if let Some(value) = self.along(schema, value, &below(name)) {
                        rest.insert(name.clone(), value);
                    }
                }
                None if schema["additionalProperties"] == false => {
                    let known: Vec<&str> =
                        known.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
                    self.add(&below(name), wrong::unknown_field(&known));
                }
                None => {}
            }
        }
        for name in required() {
            if !rest.contains_key(name) {
                rest.insert(name.to_owned(), self.any(&schema["properties"][name]));
            }
        }
        Value::Object(rest)
    }

    fn array(&mut self, schema: &'s Value, items: &[Tree], path: &str) -> Option<Value> {
        let has_enough = schema["minItems"].as_u64().is_none_or(|min| min <= items.len() as u64);
        if !has_enough {
            self.add(path, "expected at least one".to_owned());
        }
        let mut rest = Vec::new();
        if let Some(of_each) = schema.get("items") {
            for (i, item) in items.iter().enumerate() {
                if self.is_over() {
                    break;
                }
                let item = self.along(of_each, item, &format!("{path}[{i}]"));
                // What comes behind it keeps its place.
                rest.push(item.unwrap_or_else(|| self.any(of_each)));
            }
        }
        has_enough.then_some(Value::Array(rest))
    }

    /// Some value of this schema.
    fn any(&self, schema: &'s Value) -> Value {
        if let Some(to) = schema["$ref"].as_str() {
            return self.any(self.definition(to));
        }
        if let Some(word) = words(schema).and_then(|words| words.first().copied()) {
            return word.into();
        }
        if let Some(choices) = choices(schema) {
            return choices.first().map_or(Value::Null, |choice| self.any(choice));
        }
        match kinds(schema).first() {
            Some(&"integer" | &"number") => schema["minimum"].as_i64().unwrap_or_default().into(),
            Some(&"boolean") => false.into(),
            Some(&"string") if schema["format"] == "date-time" => "2000-01-01T00:00:00Z".into(),
            Some(&"string") => {
                let length = schema["minLength"].as_u64().unwrap_or_default();
                "x".repeat(usize::try_from(length).unwrap_or_default()).into()
            }
            Some(&"array") => {
                let length = schema["minItems"].as_u64().unwrap_or_default();
                (0..length).map(|_| self.any(&schema["items"])).collect::<Vec<_>>().into()
            }
            Some(&"object") => {
                let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let fields = required.map(|name| (name.to_owned(), self.any(&schema["properties"][name])));
                Value::Object(fields.collect())
            }
            _ => Value::Null,
        }
    }

    /// Whether a text is as this schema says.
    fn text(&mut self, schema: &Value, text: &str, path: &str) -> bool {
        let known = self.faults.len();
        if schema["format"] == "date-time"
            && let Err(error) = Timestamp::parse(text)
        {
            self.add(path, error.to_string());
        }
        let length = text.chars().count() as u64;
        let (min, max) = (schema["minLength"].as_u64().unwrap_or(0), schema["maxLength"].as_u64());
        match max {
            _ if length >= min && max.is_none_or(|max| length <= max) => {}
            Some(max) => self.add(path, format!("expected {min} to {max} characters")),
            None => self.add(path, format!("expected at least {min} characters")),
        }
        self.faults.len() == known
    }

    /// Whether a number is as this schema says.
    fn integer(&mut self, schema: &Value, number: i128, path: &str) -> bool {
        let bound = |name: &str| schema[name].as_i64().map(i128::from);
        let (min, max) = (bound("minimum"), bound("maximum"));
        let is_within = min.is_none_or(|min| min <= number) && max.is_none_or(|max| number <= max);
        let fits = range(schema).contains(&number);
        if is_within && fits {
            return true;
        }
        let message = match (min, max) {
            _ if is_within => format!("expected an integer, found {}", wrong::OUT_OF_RANGE),
            (Some(min), Some(max)) => format!("expected {min} to {max}"),
            (Some(1), None) => "expected an integer above zero".to_owned(),
            (Some(0), None) => "expected an integer, zero or above".to_owned(),
            (Some(min), None) => format!("expected {min} or more"),
            (None, _) => format!("expected at most {}", max.unwrap_or_default()),
        };
        self.add(path, message);
        false
    }
}

/// The integers that the type holds which a schema was made of.
fn range(schema: &Value) -> RangeInclusive<i128> {
    match schema["format"].as_str() {
        Some("uint8") => 0..=u8::MAX.into(),
        Some("uint16") => 0..=u16::MAX.into(),
        Some("uint32") => 0..=u32::MAX.into(),
        Some("uint64" | "uint") => 0..=u64::MAX.into(),
        Some("int32") => i32::MIN.into()..=i32::MAX.into(),
        _ => i64::MIN.into()..=i64::MAX.into(),
    }
}

/// What it may be one of.
fn choices(schema: &Value) -> Option<&[Value]> {
    ["anyOf", "oneOf"].iter().find_map(|several| schema[several].as_array()).map(Vec::as_slice)
}

/// The words that are taken, where only certain ones are.
fn words(schema: &Value) -> Option<Vec<&str>> {
    match (&schema["enum"], &schema["const"]) {
        (Value::Array(words), _) => words.iter().map(Value::as_str).collect(),
        (_, Value::String(word)) => Some(vec![word.as_str()]),
        _ => None,
    }
}

fn kinds(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// What of these kinds was expected; null is what one may leave out.
fn expected(kinds: &[&str]) -> String {
    let named = kinds.iter().filter(|kind| **kind != "null").map(|kind| match *kind {
        "integer" => "an integer",
        "number" => "a number",
        "string" => "a string",
        "boolean" => "a boolean",
        "array" => "an array",
        _ => "an object",
    });
    named.collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::{Checked, Faults, JsonBody, Object};

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Colour {
        Red,
        /// Documented, so that the schema has it apart.
        Green,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(untagged, expecting = "expected a text or an integer")]
    #[expect(dead_code, reason = "it is only read")]
    enum TextOrCode {
        Code(i64),
        Text(String),
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "it is only read")]
    struct Part {
        id: i64,
        #[schemars(length(min = 1, max = 3))]
        title: Option<String>,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "it is only read")]
    struct Whole {
        name: String,
        #[schemars(range(min = 1))]
        count: u32,
        colour: Option<Colour>,
        reason: Option<TextOrCode>,
        parts: Option<Vec<Object<Part>>>,
        at: Option<Timestamp>,
    }

    /// What a value may not say, by itself and together with others.
    impl Checked<()> for Whole {
        fn check(&self, (): &(), faults: &mut Faults) {
            faults.unless(!self.name.contains('/'), "name", "has a slash");
            for (i, Object(part)) in self.parts.iter().flatten().enumerate() {
                faults.unless(part.id != 13, format!("parts[{i}].id"), "is unlucky");
            }
            if self.count == 3 && faults.has_read("colour") {
                faults.unless(self.reason.is_some() || self.colour.is_some(), "reason", "has to be told");
            }
        }
    }

    fn told(text: &str) -> Vec<String> {
        let error = JsonBody::<Whole>::parse(text.as_bytes(), &()).unwrap_err();
        let mut told: Vec<_> =
            error.details().iter().map(|Fault { path, message }| format!("{path}: {message}")).collect();
        assert!(error.message().starts_with(&told[0]), "{}: {told:?}", error.message());
        told.sort();
        told
    }

    #[test]
    fn all_faults_are_told_with_their_paths() {
        const KNOWN: &str = "unknown field; expected one of at, colour, count, name, parts, reason";
        for (text, expect) in [
            ("{}", &["count: missing", "name: missing"][..]),
            (
                r#"{"name":7,"count":"x","tpyo":1,"more":2}"#,
                &[
                    "name: expected a string, found a number",
                    "count: expected an integer, found a string",
                    &format!("tpyo: {KNOWN}"),
                    &format!("more: {KNOWN}"),
                ],
            ),
            (
                r#"{"name":"x","count":1,"count":1,"colour":"blue","reason":[],"at":"now"}"#,
                &[
                    "count: given more than once",
                    "colour: \"blue\" is not known; expected red or green",
                    "reason: expected an integer or a string, found an array",
                    "at: \"now\" is not a time; expected RFC 3339, for example 2026-03-01T18:30:00Z",
                ],
            ),
            (
                r#"{"name":"x","count":1,"parts":[{"id":1},{"title":""},7,{"id":1.5,"title":"long"},{"id":1,"x":1}]}"#,
                &[
                    "parts[1].id: missing",
                    "parts[1].title: expected 1 to 3 characters",
                    "parts[2]: expected an object, found a number",
                    "parts[3].id: expected an integer, found a number that is not written as an integer",
                    "parts[3].title: expected 1 to 3 characters",
                    "parts[4].x: unknown field; expected id or title",
                ],
            ),
            (
                r#"{"name":7,"count":4294967296,"reason":9223372036854775808,"parts":[{"id":1e300}]}"#,
                &[
                    "name: expected a string, found a number",
                    "count: expected an integer, found an integer out of range",
                    "reason: expected an integer, found an integer out of range",
                    "parts[0].id: expected an integer, found an integer out of range",
                ],
            ),
            ("[1]", &["body: expected an object, found an array"]),
        ] {
            let mut expect = expect.to_vec();
            expect.sort_unstable();
            assert_eq!(told(text), expect, "{text}");
        }
    }

    #[test]
    fn what_is_read_is_judged_though_something_else_is_not() {
        for (text, expect) in [
            // Well in its form.
            (r#"{"name":"a/b","count":3}"#, &["name: has a slash", "reason: has to be told"][..]),
            (
                r#"{"name":"a/b","count":1,"colour":"red","parts":[{"id":13},{"id":"x"},7,{"id":13,"x":1}],"y":1}"#,
                &[
                    "name: has a slash",
                    "parts[0].id: is unlucky",
                    "parts[1].id: expected an integer, found a string",
                    "parts[2]: expected an object, found a number",
                    "parts[3].id: is unlucky",
                    "parts[3].x: unknown field; expected id or title",
                    "y: unknown field; expected one of at, colour, count, name, parts, reason",
                ],
            ),
            // A colour was given, though nobody knows which; so nothing is said of the reason.
            (
                r#"{"name":"a/b","count":3,"colour":"blue"}"#,
                &["colour: \"blue\" is not known; expected red or green", "name: has a slash"],
            ),
            (r#"{"count":1,"colour":"red"}"#, &["name: missing"]),
            (
                r#"{"name":"a/b","name":"b","count":3}"#,
                &["name: given more than once", "reason: has to be told"],
            ),
        ] {
            let known = "unknown field; expected one of ";
            let alike = |told: Vec<String>| -> Vec<String> {
                let sorted = |line: String| match line.split_once(known) {
                    Some((path, words)) => {
                        let mut words: Vec<_> = words.split(", ").collect();
                        words.sort_unstable();
                        format!("{path}{known}{}", words.join(", "))
                    }
                    None => line,
                };
                told.into_iter().map(sorted).collect()
            };
            assert_eq!(alike(told(text)), expect, "{text}");
        }
    }

    #[test]
    fn what_may_be_left_out_may_be_null_and_is_no_fault_beside_another() {
        let text = r#"{"name":null,"count":2,"colour":null,"reason":null,"parts":null,"at":null}"#;
        assert_eq!(told(text), ["name: expected a string, found null"]);
        let text = r#"{"count":2,"colour":"green","reason":"x","parts":[{"id":1,"title":null}],"at":"2026-03-01T18:30:00Z"}"#;
        assert_eq!(told(text), ["name: missing"]);
    }

    #[test]
    fn of_very_many_faults_some_are_told() {
        let fields: Vec<String> = (0..10_000).map(|n| format!("\"f{n}\":{n}")).collect();
        assert_eq!(told(&format!("{{{}}}", fields.join(","))).len(), FAULTS_MAX);
    }
}
