//! The description of the API: it is what is served, it is what is committed, and it leaves nothing out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::{env, fs};

use serde_json::Value;

use crate::harness::Running;
use crate::http::Answer;

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json")
}

/// The committed document, which another test compares with the served one.
static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&fs::read_to_string(committed()).unwrap()).unwrap());

/// A call of the document.
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    /// The kind of credential that it asks for.
    pub(crate) credential: Option<String>,
    /// The scopes that a partner's credential needs for it.
    pub(crate) scopes: Vec<String>,
    described: Value,
}

impl Call {
    /// What is said of each status.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (String, Value)> {
        self.described["responses"].as_object().unwrap().iter().map(|(status, answer)| {
            let shared =
                answer["$ref"].as_str().map(|to| DOCUMENT.pointer(to.strip_prefix('#').unwrap()).unwrap());
            (status.clone(), shared.unwrap_or(answer).clone())
        })
    }
}

/// Every call of the document.
pub(crate) fn calls() -> Vec<Call> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let calls = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(|(method, described)| {
            let credential = described["security"][0].as_object().and_then(|one| one.iter().next());
            let scopes = credential.and_then(|(_, scopes)| scopes.as_array());
            Call {
                method: method.to_uppercase(),
                path: path.clone(),
                credential: credential.map(|(kind, _)| kind.clone()),
                scopes: scopes
                    .into_iter()
                    .flatten()
                    .map(|scope| scope.as_str().unwrap().to_owned())
                    .collect(),
                described: described.clone(),
            }
        })
    });
    calls.collect()
}

/// Fails where a call answers with a status that its description does not have.
pub(crate) fn assert_documented(method: &str, path: &str, answer: &Answer) {
    let path = path.split(['?', '#']).next().unwrap();
    let matches = |template: &str| {
        let parts = (template.split('/'), path.split('/'));
        parts.0.clone().count() == parts.1.clone().count()
            && parts.0.zip(parts.1).all(|(template, part)| template.starts_with('{') || template == part)
    };
    let mut found: Vec<Call> = calls().into_iter().filter(|call| matches(&call.path)).collect();
    // A path without a placeholder goes first, as in the router, and takes all methods with it.
    found.sort_by_key(|call| call.path.contains('{'));
    let Some(first) = found.first().map(|call| call.path.clone()) else { return };
    let Some(call) = found.iter().find(|call| call.path == first && call.method == method) else { return };
    let statuses = call.described["responses"].as_object().unwrap();
    assert!(
        statuses.contains_key(&answer.status.to_string()),
        "{method} {path} answered {}, which {} does not have: {}",
        answer.status,
        call.path,
        answer.text()
    );
    if answer.status == 400 && method != "HEAD" {
        let error = &answer.json()["error"];
        let told = error["details"].as_array().map_or(0, Vec::len);
        assert!(told > 0, "{method} {path} says what is wrong and not with what: {error}");
    }
}

#[tokio::test]
async fn the_committed_document_is_the_served_one() {
    let platform = Running::start().await;
    let served = platform.call_as(None, "GET", "/openapi.json", "").await.expect(200);
    assert_eq!(served.header("content-type"), Some("application/json"));
    if env::var_os("HOOKIT_RENEW").is_some() {
        fs::write(committed(), &served.body).unwrap();
    }
    let same = fs::read_to_string(committed()).is_ok_and(|text| text == served.text());
    assert!(
        same,
        "docs/openapi.json is not what the platform serves. Where the change is meant, renew it and look at what changed:\n\
         HOOKIT_RENEW=1 cargo test -p hookit-platform --test it openapi; git diff docs/openapi.json"
    );
}

#[test]
fn every_call_has_a_name_of_its_own_a_sentence_and_an_answer() {
    let mut names = BTreeSet::new();
    for Call { method, path, described, .. } in calls() {
        let what = format!("{method} {path}");
        let text = |name: &str| described[name].as_str().unwrap_or_default();
        assert!(names.insert(text("operationId").to_owned()) && !text("operationId").is_empty(), "{what}");
        assert!(text("summary").ends_with('.'), "{what}: {}", text("summary"));
        let headings = DOCUMENT["tags"].as_array().unwrap();
        assert!(headings.iter().any(|heading| heading["name"] == described["tags"][0]), "{what}");
        let good = ["200", "201"].map(|status| &described["responses"][status]["content"]);
        assert!(good.iter().any(|content| content.is_object()), "{what} does not say what it answers");
    }
    for (name, schema) in DOCUMENT["components"]["schemas"].as_object().unwrap() {
        assert!(!name.ends_with(|c: char| c.is_ascii_digit()), "two schemas want to be {name}: {schema}");
        assert!(
            !["Shown", "List", "Body"].contains(&name.as_str()),
            "{name} says nothing without its module"
        );
    }
}

#[test]
fn what_a_reference_points_to_is_there() {
    fn check(value: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(to) = fields.get("$ref").and_then(Value::as_str) {
                    assert!(DOCUMENT.pointer(to.strip_prefix('#').unwrap()).is_some(), "{to}");
                }
                fields.values().for_each(check);
            }
            Value::Array(items) => items.iter().for_each(check),
            _ => {}
        }
    }
    check(&DOCUMENT);
}

#[tokio::test]
async fn every_call_of_the_document_is_routed() {
    let platform = Running::start().await;
    for Call { method, path, .. } in calls() {
        let path = path.replace("{id}", "404");
        let answer = platform.call_as(None, &method, &path, "").await;
        assert!(![404, 405].contains(&answer.status), "{method} {path}: {}", answer.text());
    }
}

/// The other way round, a route is in the document because there is no other way to make one. That holds as long as
/// nobody goes around it. Pages are for people and are not described; one file makes all of them, and they are below /console.
#[test]
fn no_route_is_made_without_its_description() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            if path.ends_with("console/mod.rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for way in ["axum::routing", "Router::new", "router.route(", ".nest(", "fallback"] {
                assert!(!text.contains(way), "{}: {way} goes around hookit_server::routes", path.display());
            }
        }
    }
    assert!(files > 20, "{files}");
}

#[tokio::test]
async fn the_three_webhooks_are_described_as_they_are_sent() {
    for event_type in hookit_contract::EventType::ALL {
        let webhook = &DOCUMENT["webhooks"][event_type.as_str()]["post"];
        let headers = webhook["parameters"].as_array().unwrap();
        let names: Vec<&str> = headers.iter().map(|header| header["name"].as_str().unwrap()).collect();
        use hookit_contract::header::{EVENT_ID, EVENT_TYPE, SIGNATURE};
        assert_eq!(names, [SIGNATURE, EVENT_ID, EVENT_TYPE]);
        let body = &webhook["requestBody"]["content"]["application/json"]["schema"]["$ref"];
        let envelope = DOCUMENT.pointer(body.as_str().unwrap().strip_prefix('#').unwrap()).unwrap();
        assert_eq!(envelope["required"], serde_json::json!(["brand_id", "branch_id", "orders"]));
        assert!(webhook["responses"]["2XX"].is_object());
    }
}

#[tokio::test]
async fn the_reference_page_has_every_call_and_asks_nobody_else_for_anything() {
    let platform = Running::start().await;
    let page = platform.call_as(None, "GET", "/reference", "").await.expect(200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'unsafe-inline'"), "{policy}");
    let text = page.text();
    for Call { path, described, .. } in calls() {
        let name = described["operationId"].as_str().unwrap();
        assert!(text.contains(&format!("id=\"{name}\"")) && text.contains(&path), "{name}");
    }
    for elsewhere in ["<script", "<img", "<link", "url(", "@import", "src=", "http://", "https://"] {
        assert!(!text.contains(elsewhere), "{elsewhere}");
    }
    assert!(text.contains("prefers-color-scheme:dark"));
    // Each link within the page leads somewhere.
    for target in text.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(text.contains(&format!("id=\"{target}\"")), "{target}");
    }
}
