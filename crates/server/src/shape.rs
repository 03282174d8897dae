//! Every fault of a body against the schema of what was expected.
//!
//! A value is read by its type alone, and that reading stops at the first fault. Only where it did is the body walked
//! along the schema that the same type has, so that whoever sent it hears of everything at once.
//!
//! What this module must not do: refuse anything that the reading has taken.

use std::fmt;

use hookit_contract::Timestamp;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::faults::{FAULTS_MAX, Fault};
use crate::wrong;

/// The faults of a JSON text that was to be a `T`, first the one at which its reading stopped.
pub(crate) fn faults<T: JsonSchema>(text: &str, first: Fault) -> Vec<Fault> {
    let settings = SchemaSettings::draft2020_12().for_deserialize();
    let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    let mut walk = Walk { definitions: &schema["$defs"], faults: Vec::new() };
    // What is nested too deeply to be read is told of by the reading.
    if let Ok(tree) = serde_json::from_str(text) {
        walk.along(&schema, &tree, "");
    }
    let mut faults = walk.faults;
    faults.retain(|fault| fault.path != first.path);
    faults.insert(0, first);
    faults.truncate(FAULTS_MAX);
    faults
}

/// What is wrong with a parameter of this schema that can be read: a number or a length out of bounds, or a word that is not known.
pub(crate) fn out_of_bounds(schema: &Value, name: &str, text: &str) -> Option<Fault> {
    let mut walk = Walk { definitions: &Value::Null, faults: Vec::new() };
    match (kinds(schema).contains(&"integer"), text.parse()) {
        (true, Ok(number)) => walk.integer(schema, number, name),
        (true, Err(_)) => {}
        (false, _) => match words(schema) {
            Some(known) => walk.word(&known, &Tree::Text(text.to_owned()), name),
            None => walk.text(schema, text, name),
        },
    }
    walk.faults.pop()
}

/// A value as it was sent: a field may be given more than once.
enum Tree {
    Null,
    Boolean,
    Integer(i128),
    Number,
    Text(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    fn kind(&self) -> &'static str {
        match self {
            Tree::Null => "null",
            Tree::Boolean => "a boolean",
            Tree::Integer(_) => "a number",
            Tree::Number => "a number that is not written as an integer",
            Tree::Text(_) => "a string",
            Tree::Array(_) => "an array",
            Tree::Object(_) => "an object",
        }
    }

    fn is(&self, kind: &str) -> bool {
        match self {
            Tree::Null => kind == "null",
            Tree::Boolean => kind == "boolean",
            Tree::Integer(_) => kind == "integer" || kind == "number",
            Tree::Number => kind == "number",
            Tree::Text(_) => kind == "string",
            Tree::Array(_) => kind == "array",
            Tree::Object(_) => kind == "object",
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Null)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
                Ok(Tree::Boolean)
            }

            fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
                Ok(Tree::Integer(number.into()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
                Ok(Tree::Integer(number.into()))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
                Ok(Tree::Number)
            }

            fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
                Ok(Tree::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
                let mut array = Vec::new();
                while let Some(item) = items.next_element()? {
                    array.push(item);
                }
                Ok(Tree::Array(array))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Tree, A::Error> {
                let mut object = Vec::new();
                while let Some(field) = fields.next_entry()? {
                    object.push(field);
                }
                Ok(Tree::Object(object))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

struct Walk<'s> {
    definitions: &'s Value,
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

    fn along(&mut self, schema: &'s Value, tree: &Tree, path: &str) {
        if let Some(to) = schema["$ref"].as_str() {
            let name = to.rsplit('/').next().unwrap_or_default();
            self.along(&self.definitions[name], tree, path);
        }
        for several in ["anyOf", "oneOf"] {
            if let Some(choices) = schema[several].as_array() {
                self.one_of(choices, tree, path);
            }
        }
        if let Some(known) = words(schema) {
            self.word(&known, tree, path);
            return;
        }
        let kinds = kinds(schema);
        if !kinds.is_empty() && !kinds.iter().any(|kind| tree.is(kind)) {
            let expected = expected(&kinds);
            self.add(path, format!("expected {expected}, found {}", tree.kind()));
            return;
        }
        match tree {
            Tree::Object(fields) => self.object(schema, fields, path),
            Tree::Array(items) => self.array(schema, items, path),
            Tree::Text(text) => self.text(schema, text, path),
            Tree::Integer(number) => self.integer(schema, *number, path),
            Tree::Null | Tree::Boolean | Tree::Number => {}
        }
    }

    fn one_of(&mut self, choices: &'s [Value], tree: &Tree, path: &str) {
        let known: Option<Vec<&str>> =
            choices.iter().map(words).collect::<Option<Vec<_>>>().map(|lists| lists.concat());
        if let Some(known) = known {
            return self.word(&known, tree, path);
        }
        let mut of_each = Vec::new();
        for choice in choices {
            let mut walk = Walk { definitions: self.definitions, faults: Vec::new() };
            walk.along(choice, tree, path);
            if walk.faults.is_empty() {
                return;
            }
            if kinds(choice) != ["null"] {
                of_each.push((choice, walk.faults));
            }
        }
        match &mut of_each[..] {
            [(_, faults)] => self.faults.append(faults),
            _ => {
                let kinds: Vec<&str> = of_each.iter().flat_map(|(choice, _)| kinds(choice)).collect();
                self.add(path, format!("expected {}, found {}", expected(&kinds), tree.kind()));
            }
        }
    }

    fn word(&mut self, known: &[&str], tree: &Tree, path: &str) {
        match tree {
            Tree::Text(text) if known.contains(&text.as_str()) => {}
            Tree::Text(text) => self.add(path, wrong::not_known(text, known)),
            _ => self.add(path, "expected a string".to_owned()),
        }
    }

    fn object(&mut self, schema: &'s Value, fields: &[(String, Tree)], path: &str) {
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let known = schema["properties"].as_object();
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.iter().any(|(given, _)| given == name) {
                self.add(&below(name), "missing".to_owned());
            }
        }
        for (i, (name, value)) in fields.iter().enumerate() {
            if self.is_over() {
                return;
            }
            match known.and_then(|known| known.get(name)) {
                Some(_) if fields[..i].iter().any(|(before, _)| before == name) => {
                    self.add(&below(name), "given more than once".to_owned());
                }
                Some(schema) => self.along(schema, value, &below(name)),
                None if schema["additionalProperties"] == false => {
                    let known: Vec<&str> =
                        known.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
                    self.add(&below(name), wrong::unknown_field(&known));
                }
                None => {}
            }
        }
    }

    fn array(&mut self, schema: &'s Value, items: &[Tree], path: &str) {
        if schema["minItems"].as_u64().is_some_and(|min| (items.len() as u64) < min) {
            self.add(path, "expected at least one".to_owned());
        }
        if let Some(of_each) = schema.get("items") {
            for (i, item) in items.iter().enumerate() {
                if self.is_over() {
                    return;
                }
                self.along(of_each, item, &format!("{path}[{i}]"));
            }
        }
    }

    fn text(&mut self, schema: &Value, text: &str, path: &str) {
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
    }

    fn integer(&mut self, schema: &Value, number: i128, path: &str) {
        let bound = |name: &str| schema[name].as_i64().map(i128::from);
        let (min, max) = (bound("minimum"), bound("maximum"));
        if min.is_none_or(|min| min <= number) && max.is_none_or(|max| number <= max) {
            return;
        }
        let message = match (min, max) {
            (Some(min), Some(max)) => format!("expected {min} to {max}"),
            (Some(1), None) => "expected an integer above zero".to_owned(),
            (Some(0), None) => "expected an integer, zero or above".to_owned(),
            (Some(min), None) => format!("expected {min} or more"),
            (None, _) => format!("expected at most {}", max.unwrap_or_default()),
        };
        self.add(path, message);
    }
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
    use super::*;
    use crate::{JsonBody, Object};

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

    fn told(text: &str) -> Vec<String> {
        let error = JsonBody::<Whole>::parse(text.as_bytes()).unwrap_err();
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
            ("[1]", &["body: expected an object, found an array"]),
        ] {
            let mut expect = expect.to_vec();
            expect.sort_unstable();
            assert_eq!(told(text), expect, "{text}");
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
