//! JSON as it was sent, with what a value of JSON does not keep: a field that is there twice, and how a number is written.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::wrong;

/// A value as it was sent: a field may be given more than once.
pub(crate) enum Tree {
    Null,
    Boolean(bool),
    Integer(i128),
    Number(f64),
    Text(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// What it is, for whoever sent it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Tree::Null => "null",
            Tree::Boolean(_) => "a boolean",
            Tree::Integer(_) => "a number",
            // Not a thing that has to do with how it is written: no integer of ours is that large.
            Tree::Number(number) if number.abs() >= 2f64.powi(63) => wrong::OUT_OF_RANGE,
            Tree::Number(_) => "a number that is not written as an integer",
            Tree::Text(_) => "a string",
            Tree::Array(_) => "an array",
            Tree::Object(_) => "an object",
        }
    }

    /// Whether it is of this kind, by the name that schemas have for it.
    pub(crate) fn is(&self, kind: &str) -> bool {
        match self {
            Tree::Null => kind == "null",
            Tree::Boolean(_) => kind == "boolean",
            Tree::Integer(_) => kind == "integer" || kind == "number",
            Tree::Number(_) => kind == "number",
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

            fn visit_bool<E>(self, is: bool) -> Result<Tree, E> {
                Ok(Tree::Boolean(is))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
                Ok(Tree::Integer(number.into()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
                Ok(Tree::Integer(number.into()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Tree, E> {
                Ok(Tree::Number(number))
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
