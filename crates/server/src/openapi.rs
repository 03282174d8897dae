//! An OpenAPI 3.1 document, made of the calls of a router.
//!
//! What this module must not do: know any call, or say anything of one that the router does not.

mod page;
mod served;

use std::collections::{BTreeMap, BTreeSet};

use hookit_contract::ErrorCode;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

pub use page::page;
pub use served::{REFERENCE, served};

use crate::Fault;
use crate::routes::{Content, Operation, Other};

/// Where the schemas are.
const SCHEMAS: &str = "/components/schemas";

/// What a document says beside its calls.
#[derive(Clone, Debug)]
pub struct About {
    /// Its title.
    pub title: &'static str,
    /// The version of what it describes.
    pub version: &'static str,
    /// What there is to know before any call, in Markdown.
    pub description: &'static str,
    /// The kinds of credentials, as OpenAPI's security schemes, by the names that the routes use.
    pub credentials: Value,
    /// Headings and what is under each, in their order.
    pub groups: &'static [(&'static str, &'static str)],
}

/// A document in the making.
#[derive(Debug)]
pub struct Document {
    about: About,
    /// Of what is taken: fields that may be left out are not required.
    taken: SchemaGenerator,
    /// Of what is given: fields that are always there are required.
    given: SchemaGenerator,
    paths: BTreeMap<String, Map<String, Value>>,
    webhooks: Map<String, Value>,
    responses: BTreeMap<String, Value>,
    headers: BTreeMap<&'static str, Value>,
}

#[derive(JsonSchema, serde::Serialize)]
/// Why a request was refused.
struct Refusal {
    /// The request's id, which is also in the log.
    request_id: String,
    error: RefusalError,
}

#[derive(JsonSchema, serde::Serialize)]
struct RefusalError {
    code: ErrorCode,
    /// What was wrong, for people. Where a field was, it comes first.
    message: String,
    /// Each thing that is wrong with the request, where that is why; up to 50.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Fault>,
}

impl Document {
    /// One without calls.
    pub fn new(about: About) -> Self {
        let settings = || SchemaSettings::draft2020_12().with(|s| s.definitions_path = SCHEMAS.into());
        Document {
            about,
            taken: settings().for_deserialize().into_generator(),
            given: settings().for_serialize().into_generator(),
            paths: BTreeMap::new(),
            webhooks: Map::new(),
            responses: BTreeMap::new(),
            headers: BTreeMap::new(),
        }
    }

    /// Adds a call.
    pub fn call(&mut self, operation: &Operation) {
        let mut described = Map::new();
        described.insert("operationId".into(), operation.name.into());
        described.insert("summary".into(), operation.summary.into());
        described.insert("tags".into(), json!([operation.group]));
        if !operation.details.is_empty() {
            described.insert("description".into(), operation.details.into());
        }
        if let Some((credential, needs)) = &operation.credential {
            described.insert("security".into(), json!([{ *credential: needs }]));
        }
        let parameters = self.parameters(operation);
        if !parameters.is_empty() {
            described.insert("parameters".into(), parameters.into());
        }
        if let Some(Content { media_type, schema, .. }) = operation.body {
            let schema = schema(&mut self.taken);
            described.insert(
                "requestBody".into(),
                json!({"required": operation.body_required, "content": {media_type: {"schema": schema}}}),
            );
        }
        described.insert("responses".into(), self.answers(operation).into());
        let path = self.paths.entry(operation.path.clone()).or_default();
        path.insert(operation.method.as_str().to_lowercase(), described.into());
    }

    fn parameters(&mut self, operation: &Operation) -> Vec<Value> {
        let mut parameters = Vec::new();
        if let Some(schema) = operation.path_id {
            let schema = schema(&mut self.taken);
            parameters.push(json!({"name": "id", "in": "path", "required": true, "schema": schema}));
        }
        if let Some(schema) = operation.query {
            let object = schema(&mut self.taken).to_value();
            let required = object["required"].as_array().cloned().unwrap_or_default();
            for (name, field) in object["properties"].as_object().into_iter().flatten() {
                let mut field = without_null(field.clone());
                let description = field.as_object_mut().and_then(|field| field.remove("description"));
                let is_required = required.iter().any(|required| required == name);
                let mut parameter =
                    json!({"name": name, "in": "query", "required": is_required, "schema": field});
                if let Some(description) = description {
                    parameter["description"] = description;
                }
                parameters.push(parameter);
            }
        }
        for (name, what_for, is_required) in &operation.headers {
            parameters.push(json!({
                "name": name, "in": "header", "required": is_required, "description": what_for,
                "schema": {"type": "string"},
            }));
        }
        parameters
    }

    fn answers(&mut self, operation: &Operation) -> Map<String, Value> {
        for (name, what) in operation.answer_headers {
            self.headers.insert(name, json!({"description": what, "schema": {"type": "integer"}}));
        }
        let mut answers = Map::new();
        if let Some(content) = operation.answer {
            let mut schema = (content.schema)(&mut self.given).to_value();
            if content.enveloped {
                schema = json!({
                    "type": "object",
                    "properties": {"request_id": {"$ref": reference("RequestId")}, "data": schema},
                    "required": ["request_id", "data"],
                });
            }
            for status in &operation.statuses {
                let said = if *status == 201 { "It is new." } else { "It is done, or here it is." };
                let mut answer =
                    json!({"description": said, "content": {content.media_type: {"schema": schema}}});
                add_headers(&mut answer, operation.answer_headers);
                answers.insert(status.to_string(), answer);
            }
        }
        for Other { status, said, content } in &operation.others {
            let mut schema = (content.schema)(&mut self.given).to_value();
            // What is refused for its head alone never came to the handler, which answers in its own form.
            if Operation::OF_THE_HEAD.iter().any(|code| code.http_status() == *status) {
                schema = json!({"anyOf": [schema, {"$ref": reference("Refusal")}]});
            }
            answers.insert(
                status.to_string(),
                json!({"description": said, "content": {content.media_type: {"schema": schema}}}),
            );
        }
        let mut by_status: BTreeMap<u16, BTreeSet<ErrorCode>> = BTreeMap::new();
        let is_other = |code: &&ErrorCode| operation.others.iter().any(|o| o.status == code.http_status());
        for code in operation.refusals.iter().filter(|code| !is_other(code)) {
            by_status.entry(code.http_status()).or_default().insert(*code);
        }
        for (status, codes) in by_status {
            let codes: Vec<&str> = codes.into_iter().map(ErrorCode::as_str).collect();
            let headers = if status == 401 { &[] } else { operation.answer_headers };
            let mut name = codes.join(".");
            if !headers.is_empty() {
                name.push_str(".counted");
            }
            let refused = json!({"$ref": format!("#/components/responses/{name}")});
            self.responses.entry(name).or_insert_with(|| refusal(status, &codes, headers));
            answers.insert(status.to_string(), refused);
        }
        answers
    }

    /// Adds a webhook: what is posted to whoever registered for it, in OpenAPI's words.
    pub fn webhook(&mut self, name: &str, describe: impl FnOnce(&mut SchemaGenerator) -> Value) {
        self.webhooks.insert(name.to_owned(), json!({"post": describe(&mut self.given)}));
    }

    /// The whole document.
    pub fn finish(mut self) -> Value {
        self.given.subschema_for::<Refusal>();
        let mut schemas = self.given.take_definitions(true);
        schemas.insert(
            "RequestId".to_owned(),
            json!({
                "description": "The request's id, which is also in the log: the trace id of its `traceparent` where it \
                    had one.",
                "type": "string", "pattern": "^[0-9a-f]{32}$",
            }),
        );
        let mut paths = json!(self.paths);
        for (name, schema) in self.taken.take_definitions(true) {
            // One type may be taken with less than it is given with.
            let name = match schemas.get(&name) {
                Some(known) if *known != schema => {
                    let taken = format!("{name}Taken");
                    rename(&mut paths, &reference(&name), &reference(&taken));
                    taken
                }
                _ => name,
            };
            schemas.insert(name, schema);
        }
        let About { title, version, description, credentials, groups } = self.about;
        let tags = groups.iter().map(|(name, description)| json!({"name": name, "description": description}));
        json!({
            "openapi": "3.1.1",
            "info": {
                "title": title, "version": version, "description": description,
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "tags": tags.collect::<Vec<_>>(),
            "paths": paths,
            "webhooks": self.webhooks,
            "components": {
                "schemas": schemas, "responses": self.responses, "headers": self.headers, "securitySchemes": credentials,
            },
        })
    }
}

fn reference(name: &str) -> String {
    format!("#{SCHEMAS}/{name}")
}

/// Within what is taken, points to the other schema.
fn rename(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if name == "$ref" && text == from => to.clone_into(text),
                    _ if name == "responses" => {}
                    field => rename(field, from, to),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, from, to)),
        _ => {}
    }
}

/// A parameter that may be left out has no other way to be nothing.
fn without_null(mut schema: Value) -> Value {
    let Some(fields) = schema.as_object_mut() else { return schema };
    if let Some(Value::Array(kinds)) = fields.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = &kinds[..] {
            let kind = kind.clone();
            fields.insert("type".to_owned(), kind);
        }
    }
    if let Some(Value::Array(mut choices)) = fields.remove("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        match &mut choices[..] {
            [Value::Object(one)] => fields.append(one),
            _ => {
                fields.insert("anyOf".to_owned(), choices.into());
            }
        }
    }
    schema
}

fn add_headers(answer: &mut Value, headers: &[(&str, &str)]) {
    for (name, _) in headers {
        answer["headers"][name] = json!({"$ref": format!("#/components/headers/{name}")});
    }
}

fn refusal(status: u16, codes: &[&str], headers: &[(&str, &str)]) -> Value {
    let named: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    let mut refused = json!({
        "description": named.join(", "),
        "content": {"application/json": {"schema": {
            "$ref": reference("Refusal"),
            "properties": {"error": {"properties": {"code": {"enum": codes}}}},
        }}},
    });
    let header = match status {
        401 => Some(("WWW-Authenticate", "The kind of credential that is asked for.", "string")),
        429 | 503 => Some(("Retry-After", "Seconds until it is worth trying again.", "integer")),
        _ => None,
    };
    if let Some((name, description, kind)) = header {
        refused["headers"] = json!({name: {"description": description, "schema": {"type": kind}}});
    }
    add_headers(&mut refused, headers);
    refused
}
