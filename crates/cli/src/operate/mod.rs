//! What an operator does, as nouns and verbs over the operator API, and over that of an inbox. A file a noun.
//!
//! What this module must not do: know rules. What may be done is the platform's to say; what comes back is shown as it is, and
//! with `--output json` byte for byte.

pub(crate) mod delivery;
pub(crate) mod inbox;
pub(crate) mod order;
pub(crate) mod partner;
pub(crate) mod replay;
pub(crate) mod status;
pub(crate) mod table;
pub(crate) mod token;
pub(crate) mod webhook;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use self::table::Column;
use crate::client::{Client, Reply};
use crate::demo::duration;
use crate::exit::{Exit, coded, usage};
use crate::output::{self, Output};
use crate::platform::OPERATOR_TOKEN;

const ENVIRONMENT: &str = "\
Environment:
  HOOKIT_OPERATOR_TOKEN  An operator token of the platform

Exit codes: 0 where it was done, 2 for a wrong command line, 3 where there is no such thing, 4 where it was refused, 5 where the \
platform does not answer";

/// What all of these commands take.
#[derive(clap::Args)]
#[command(after_help = ENVIRONMENT)]
pub(crate) struct Common {
    /// The platform.
    #[arg(
        long,
        value_name = "URL",
        env = "HOOKIT_URL",
        default_value = "http://127.0.0.1:8780",
        global = true
    )]
    platform: String,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Output::Table, global = true)]
    output: Output,
}

/// Items that are asked for at a time where all of them are wanted.
const PAGE_MAX: usize = 1_000;

/// A page of what there is much of, the newest first.
#[derive(clap::Args)]
struct Page {
    /// How many.
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Those before this one: where the page before has ended.
    #[arg(long, value_name = "NUMBER")]
    before: Option<i64>,
}

/// How often something is looked at again.
#[derive(clap::Args)]
struct Every {
    /// How often to look again: 200ms, 1s.
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = duration)]
    every: Duration,
}

/// A server, the platform or an inbox, with the credential of whoever operates it.
pub(crate) struct Operator {
    client: Client,
    output: Output,
    /// What the paths of all its calls begin with.
    base: &'static str,
}

impl Common {
    pub(crate) fn operator(&self) -> anyhow::Result<Operator> {
        let token = std::env::var(OPERATOR_TOKEN)
            .map_err(|_| usage(format!("{OPERATOR_TOKEN} is not set: the platform's operator token")))?;
        Ok(Operator {
            client: Client::new(&self.platform, Some(&token))?,
            output: self.output,
            base: "/v1/operator/",
        })
    }
}

/// What a call is about, in words: `partners`, `order 42`, `delivery evt_7, replay`. How a list is cut into calls is not the reader's
/// affair.
fn asked(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let mut parts = path.split('/');
    let noun = parts.next().unwrap_or_default();
    let Some(id) = parts.next() else { return noun.to_owned() };
    let one = noun.strip_suffix("ies").map(|stem| format!("{stem}y"));
    let one = one.unwrap_or_else(|| noun.strip_suffix('s').unwrap_or(noun).to_owned());
    let what = parts.map(|part| format!(", {part}")).collect::<String>();
    format!("{one} {id}{what}")
}

impl Operator {
    async fn get(&self, path: &str) -> anyhow::Result<Reply> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    async fn send(&self, method: Method, path: &str, body: impl Into<Bytes>) -> anyhow::Result<Reply> {
        let reply = self.client.send(method, &format!("{}{path}", self.base), body.into()).await?;
        if reply.status.is_success() {
            return Ok(reply);
        }
        let exit = if reply.status == StatusCode::NOT_FOUND { Exit::NotFound } else { Exit::Refused };
        Err(coded(exit, format!("{}: {}", asked(path), reply.explain())))
    }

    async fn post(&self, path: &str) -> anyhow::Result<Reply> {
        self.send(Method::POST, path, Bytes::new()).await
    }

    /// Prints all of a list that comes in pages, from wherever the next one begins to where there is none: as a table, or its items
    /// as they are.
    async fn all(&self, noun: &str, columns: &[Column]) -> anyhow::Result<Exit> {
        let mut items: Vec<Box<RawValue>> = Vec::new();
        let mut after = None;
        loop {
            let query = query(&[("limit", Some(PAGE_MAX.to_string())), ("after", after)]);
            let data: HashMap<String, Box<RawValue>> = self.get(&format!("{noun}{query}")).await?.data()?;
            if let Some(page) = data.get(noun) {
                items.extend(serde_json::from_str::<Vec<Box<RawValue>>>(page.get())?);
            }
            let next: Value =
                data.get("next_after").map_or(Ok(Value::Null), |at| serde_json::from_str(at.get()))?;
            if next.is_null() {
                break;
            }
            after = Some(table::cell(&next));
        }
        if self.output == Output::Json {
            let items = items.iter().map(|item| item.get()).collect::<Vec<_>>().join(",");
            output::print(&format!("{{\"{noun}\":[{items}]}}\n"))?;
            return Ok(Exit::Success);
        }
        let rows: Vec<Value> =
            items.iter().map(|item| serde_json::from_str(item.get())).collect::<Result<_, _>>()?;
        output::print(&table::rows(columns, &rows))?;
        Ok(Exit::Success)
    }

    /// Prints a list of the answer: as a table, or the answer as it is.
    fn list(&self, reply: &Reply, field: &str, columns: &[Column]) -> anyhow::Result<Exit> {
        if self.output == Output::Json {
            return raw(reply);
        }
        let data: Value = reply.data()?;
        let rows = data[field].as_array().map(Vec::as_slice).unwrap_or_default();
        output::print(&table::rows(columns, rows))?;
        for name in ["next_before", "next_after"] {
            if !data[name].is_null() {
                let option = name.trim_start_matches("next_");
                output::note(&format!("there are more: --{option} {}", table::cell(&data[name])));
            }
        }
        Ok(Exit::Success)
    }

    /// Prints one thing.
    fn one(&self, reply: &Reply) -> anyhow::Result<Exit> {
        if self.output == Output::Json {
            return raw(reply);
        }
        output::print(&table::fields(&reply.data()?))?;
        Ok(Exit::Success)
    }
}

/// The answer's data as it stands.
fn raw(reply: &Reply) -> anyhow::Result<Exit> {
    let data: &RawValue = reply.data()?;
    output::print(&format!("{}\n", data.get()))?;
    Ok(Exit::Success)
}

/// A query of those parameters that are given, with its question mark.
fn query(parameters: &[(&str, Option<String>)]) -> String {
    let mut out = String::new();
    for (name, value) in parameters {
        if let Some(value) = value {
            out.push(if out.is_empty() { '?' } else { '&' });
            // Writing to a text cannot fail.
            let _ = write!(out, "{name}={}", escaped(value));
        }
    }
    out
}

/// A text as it may stand in a path or a query.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// A body of those fields that are given.
fn body(fields: Vec<(&str, Option<Value>)>) -> String {
    let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(given.collect::<Map<_, _>>()).to_string()
}

/// Text of an argument or none, as a parameter.
fn text(value: Option<&impl ToString>) -> Option<String> {
    value.map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_said_in_words() {
        for (path, words) in [
            ("partners?limit=1000&after=ptn_1", "partners"),
            ("status", "status"),
            ("orders/42", "order 42"),
            ("deliveries/evt_7/replay", "delivery evt_7, replay"),
            ("quarantine/3/discard", "quarantine 3, discard"),
        ] {
            assert_eq!(asked(path), words);
        }
    }

    #[test]
    fn a_query_has_what_is_given_and_escapes_it() {
        let given = |text: &str| Some(text.to_owned());
        assert_eq!(query(&[("a", None), ("b", None)]), "");
        assert_eq!(
            query(&[("since", given("2026-03-01T18:30:00+07:00")), ("x", None), ("by", given("Ánh & co"))]),
            "?since=2026-03-01T18%3A30%3A00%2B07%3A00&by=%C3%81nh%20%26%20co"
        );
    }
}
