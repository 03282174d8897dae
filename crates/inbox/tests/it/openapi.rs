//! The description of the API: it is what is served, it is what is committed, and it leaves nothing out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::{env, fs};

use hookit_server::Secret;
use serde_json::Value;

use crate::harness::{Answer, Running, config, exchange, head, named};

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi-inbox.json")
}

/// The committed document, which another test compares with the served one.
static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&fs::read_to_string(committed()).unwrap()).unwrap());

/// A call of the document.
struct Call {
    method: String,
    path: String,
    described: &'static Value,
}

fn calls() -> Vec<Call> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let calls = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(|(method, described)| Call {
            method: method.to_uppercase(),
            path: path.clone(),
            described,
        })
    });
    calls.collect()
}

/// Method and path of every call of the document.
pub(crate) fn named_calls() -> impl Iterator<Item = (String, String)> {
    calls().into_iter().map(|call| (call.method, call.path))
}

/// Fails where a call answers with a status that its description does not have.
pub(crate) fn assert_documented(method: &str, path: &str, answer: &Answer) {
    let path = path.split(['?', '#']).next().unwrap();
    let matches = |template: &str| {
        let parts = (template.split('/'), path.split('/'));
        parts.0.clone().count() == parts.1.clone().count()
            && parts.0.zip(parts.1).all(|(template, part)| template.starts_with('{') || template == part)
    };
    let mut found: Vec<Call> =
        calls().into_iter().filter(|call| call.method == method && matches(&call.path)).collect();
    // A path without a placeholder goes first, as in the router.
    found.sort_by_key(|call| call.path.contains('{'));
    let Some(call) = found.first() else { return };
    assert!(
        call.described["responses"].get(answer.status.to_string()).is_some(),
        "{method} {path} answered {}, which {} does not have: {}",
        answer.status,
        call.path,
        answer.text()
    );
    // A sender of webhooks is answered in another form.
    if answer.status == 400 && !path.starts_with("/webhooks/") && method != "HEAD" {
        let error = &answer.json()["error"];
        let told = error["details"].as_array().map_or(0, Vec::len);
        assert!(told > 0, "{method} {path} says what is wrong and not with what: {error}");
    }
}

#[tokio::test]
async fn the_committed_document_is_the_served_one() {
    let inbox = Running::start().await;
    let served = exchange(inbox.address, head("GET", "/openapi.json", &[], None)).await;
    assert!(served.head.contains("content-type: application/json"), "{}", served.head);
    if env::var_os("HOOKIT_RENEW").is_some() {
        fs::write(committed(), &served.body).unwrap();
    }
    let same = fs::read_to_string(committed()).is_ok_and(|text| text == served.text());
    assert!(
        same,
        "docs/openapi-inbox.json is not what the inbox serves. Where the change is meant, renew it and look at what changed:\n\
         HOOKIT_RENEW=1 cargo test -p hookit-inbox --test it openapi; git diff docs/openapi-inbox.json"
    );
}

#[test]
fn every_call_has_a_name_of_its_own_a_sentence_and_an_answer() {
    let mut names = BTreeSet::new();
    for Call { method, path, described } in calls() {
        let what = format!("{method} {path}");
        let text = |name: &str| described[name].as_str().unwrap_or_default();
        assert!(names.insert(text("operationId").to_owned()) && !text("operationId").is_empty(), "{what}");
        assert!(text("summary").ends_with('.'), "{what}: {}", text("summary"));
        let headings = DOCUMENT["tags"].as_array().unwrap();
        assert!(headings.iter().any(|heading| heading["name"] == described["tags"][0]), "{what}");
        let good = ["200", "201", "202"].map(|status| &described["responses"][status]["content"]);
        assert!(good.iter().any(|content| content.is_object()), "{what} does not say what it answers");
    }
    for name in DOCUMENT["components"]["schemas"].as_object().unwrap().keys() {
        assert!(!name.ends_with(|c: char| c.is_ascii_digit()), "two schemas want to be {name}");
    }
}

#[tokio::test]
async fn every_call_is_routed_and_what_asks_for_a_credential_answers_nobody_without_one() {
    let mut config = config();
    config.read_tokens = vec![named("reader", "read_me_if_you_can")];
    config.write_token = Some(Secret::new("write_me_if_you_can"));
    let inbox = Running::with(config).await;
    let mut guarded = 0;
    for Call { method, path, described } in calls() {
        let answer = exchange(inbox.address, head(&method, &path.replace("{id}", "404"), &[], Some(0))).await;
        assert!(![404, 405].contains(&answer.status), "{method} {path}: {}", answer.text());
        let is_guarded = described["security"][0].is_object();
        guarded += usize::from(is_guarded);
        assert_eq!(answer.status == 401, is_guarded, "{method} {path}: {}", answer.text());
    }
    assert!(guarded > 3, "{guarded}");
}

#[test]
fn no_route_is_made_without_its_description() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // Pages are for people and are not described; one file makes all of them, and they are below /console.
            if path.ends_with("console/mod.rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for way in ["axum::routing", "Router::new", "router.route(", ".nest(", "fallback"] {
                assert!(!text.contains(way), "{}: {way} goes around hookit_server::routes", path.display());
            }
        }
    }
}

#[tokio::test]
async fn the_reference_page_has_every_call() {
    let inbox = Running::start().await;
    let page = inbox.get("/reference").await;
    assert!(page.head.contains("content-type: text/html"), "{}", page.head);
    for Call { path, described, .. } in calls() {
        let name = described["operationId"].as_str().unwrap();
        assert!(page.text().contains(&format!("id=\"{name}\"")) && page.text().contains(&path), "{name}");
    }
}
