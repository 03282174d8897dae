//! Reading bodies and parameters: what is taken, and in what words the rest is refused.

use axum::Router;
use axum::routing;
use hookit_server::routes::{IDEMPOTENCY_KEY, Routes, get, post, put};
use hookit_server::{
    Answer, Checked, Faults, JsonBody, Key, Limits, NoBody, Object, OptionalKey, Params, PathId, RawBody,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::client::{call, listen};

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Given {
    name: String,
    #[serde(default)]
    parts: Vec<Object<Part>>,
    kind: Option<Kind>,
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Part {
    id: i64,
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Small,
    Large,
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Query {
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
    kind: Option<Kind>,
    #[schemars(length(min = 2, max = 5))]
    text: Option<String>,
    #[schemars(range(min = 0))]
    from: Option<i64>,
    to: Option<i64>,
}

impl Checked<()> for Query {
    fn check(&self, (): &(), faults: &mut Faults) {
        let is_stretch = self.from.zip(self.to).is_none_or(|(from, to)| from <= to);
        faults.unless(is_stretch, "to", "expected no less than from");
    }
}

impl Checked<()> for Given {
    fn check(&self, (): &(), faults: &mut Faults) {
        faults.unless(self.name != "nobody", "name", "that is nobody's");
    }

    async fn look_up(&self, (): &(), faults: &mut Faults) {
        tokio::task::yield_now().await;
        faults.unless(self.name != "unheard-of", "name", "there is nobody of this name");
    }
}

fn router() -> Router {
    let (router, _) = Routes::new("")
        .route("/json", post(async |JsonBody(given): JsonBody<Given>| Answer::ok(&given)))
        .route("/none", post(async |_: NoBody| Answer::ok(&"done")))
        .route("/query", get(async |Params(query): Params<Query>| Answer::ok(&query)))
        .route(
            "/all/{id}",
            put(async |_: PathId, _: Params<Query>, _: OptionalKey, _: JsonBody<Given>| Answer::ok(&"done"))
                .header(IDEMPOTENCY_KEY, "A key.", false),
        )
        .route(
            "/keyed/{id}",
            put(async |_: PathId, Key(key): Key, _: JsonBody<Given>| Answer::ok(&key)).header(
                IDEMPOTENCY_KEY,
                "A key.",
                true,
            ),
        )
        .into_parts();
    router.route("/raw", routing::post(async |RawBody(body): RawBody| Answer::ok(&body.len())))
}

#[tokio::test]
async fn a_good_body_is_read_with_white_space_escapes_and_every_script() {
    let (address, _tasks) = listen(router(), Limits::default()).await;
    let body =
        "\r\n { \"name\" : \"\\u00e9 \\ud83c\\udf5c ไทย\", \"parts\":[{\"id\":1}], \"kind\":\"large\" }\n";
    let answer = call(address, "POST /json", "", body).await;
    assert_eq!(answer.json()["data"], json!({"name": "é 🍜 ไทย", "parts": [{"id": 1}], "kind": "large"}));
    // The type that the sender says it has does not matter.
    let answer = call(address, "POST /json", "content-type: text/plain\r\n", "{\"name\":\"x\"}").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn what_is_wrong_in_a_body_is_told_by_its_path() {
    let (address, _tasks) = listen(router(), Limits::default()).await;
    for (body, message) in [
        ("", "body: missing; expected an object"),
        ("[\"x\",[],null]", "body: expected an object, found an array"),
        ("{}", "name: missing"),
        ("{\"name\":null}", "name: expected a string, found null"),
        ("{\"nmae\":1}", "nmae: unknown field; expected one of name, parts, kind (and 1 more in details)"),
        ("{\"name\":\"x\",\"nmae\":1}", "nmae: unknown field; expected one of name, parts, kind"),
        ("{\"name\":\"x\",\"name\":\"y\"}", "name: given more than once"),
        (
            "{\"name\":\"x\",\"parts\":[{\"id\":1},{\"id\":\"2\"}]}",
            "parts[1].id: expected an integer, found a string",
        ),
        ("{\"name\":\"x\",\"parts\":[[1]]}", "parts[0]: expected an object, found an array"),
        ("{\"name\":\"x\",\"parts\":[{}]}", "parts[0].id: missing"),
        ("{\"name\":\"x\",\"parts\":[{\"id\":1,\"x\":1}]}", "parts[0].x: unknown field; expected id"),
        ("{\"name\":\"x\",\"kind\":\"huge\"}", "kind: \"huge\" is not known; expected small or large"),
        ("{\"name\":\"x\"", "body: not JSON: EOF while parsing an object at line 1 column 11"),
        ("{\"name\":\"x\"}}", "body: not JSON: trailing characters at line 1 column 13"),
    ] {
        call(address, "POST /json", "", body).await.is_refused(400, "request_invalid", message);
    }
    let message = "body: not UTF-8: the first bad byte is number 2";
    call(address, "POST /json", "", b"{\"\xc3\x28\":1}").await.is_refused(400, "request_invalid", message);
}

#[tokio::test]
async fn everything_that_is_wrong_in_a_body_is_told_at_once() {
    let (address, _tasks) = listen(router(), Limits::default()).await;
    let body = "{\"name\":7,\"parts\":[{\"id\":1},{\"x\":\"2\"}],\"kind\":\"huge\"}";
    let answer = call(address, "POST /json", "", body).await;
    let message = "name: expected a string, found a number (and 3 more in details)";
    answer.is_refused(400, "request_invalid", message);
    let faults = [
        ("name", "expected a string, found a number"),
        ("parts[1].id", "missing"),
        ("parts[1].x", "unknown field; expected id"),
        ("kind", "\"huge\" is not known; expected small or large"),
    ];
    let faults = faults.map(|(path, message)| json!({"path": path, "message": message}));
    let told = answer.json()["error"]["details"].as_array().unwrap().clone();
    assert_eq!(told.len(), faults.len(), "{told:?}");
    assert!(faults.iter().all(|fault| told.contains(fault)), "{told:?}");
}

#[tokio::test]
async fn what_is_wrong_in_the_parameters_is_told_by_name() {
    let (address, _tasks) = listen(router(), Limits::default()).await;
    let answer = call(address, "GET /query?limit=7&kind=small", "", "").await;
    let data = json!({"limit": 7, "kind": "small", "text": null, "from": null, "to": null});
    assert_eq!(answer.json()["data"], data);
    for (query, message) in [
        ("limit=seven", "limit: expected an integer"),
        ("limit=", "limit: expected an integer"),
        ("limit=99999999999", "limit: expected an integer"),
        ("limit=1&limit=2", "limit: given more than once"),
        ("lmit=1", "lmit: unknown parameter; expected one of limit, kind, text, from, to"),
        ("kind=huge", "kind: \"huge\" is not known; expected small or large"),
        ("kind=small&limit=x&&lmit=1&kind=huge&lmit=2", "limit: expected an integer (and 2 more in details)"),
    ] {
        let answer = call(address, &format!("GET /query?{query}"), "", "").await;
        answer.is_refused(400, "request_invalid", message);
    }
    for (query, expect) in [
        ("kind=huge&limit=x&limit=7&a%26b=1", &["kind", "limit", "a&b"][..]),
        // What is out of bounds is told together with what cannot be read, and with what does not go together.
        ("limit=0&kind=huge&text=x&from=-1", &["kind", "limit", "text", "from"]),
        ("limit=101&text=123456&from=5&to=4", &["limit", "text", "to"]),
        // What values say is told though one cannot be read, and not where it is not known what they say.
        ("limit=x&from=5&to=4&zz=1", &["limit", "zz", "to"]),
        ("limit=1&limit=2&kind=small&kind=small&from=5&to=4", &["limit", "kind", "to"]),
        ("from=5&to=x", &["to"]),
        ("from=5&from=6&to=4", &["from"]),
    ] {
        let answer = call(address, &format!("GET /query?{query}"), "", "").await;
        let details = answer.json()["error"]["details"].clone();
        let paths: Vec<_> =
            details.as_array().unwrap().iter().map(|fault| fault["path"].as_str().unwrap()).collect();
        assert_eq!(paths, expect, "{query}");
    }
    for (query, message) in [
        ("limit=0", "limit: expected 1 to 100"),
        ("text=x", "text: expected 2 to 5 characters"),
        ("from=-1", "from: expected an integer, zero or above"),
        ("from=5&to=4", "to: expected no less than from"),
    ] {
        let answer = call(address, &format!("GET /query?{query}"), "", "").await;
        answer.is_refused(400, "request_invalid", message);
    }
    let long = "x".repeat(5_000);
    let answer = call(address, &format!("GET /query?{long}=1"), "", "").await;
    let path = answer.json()["error"]["details"][0]["path"].as_str().unwrap().to_owned();
    assert_eq!(path, format!("{}…", "x".repeat(100)));
}

#[tokio::test]
async fn what_is_wrong_anywhere_in_a_request_is_told_at_once() {
    let (address, _tasks) = listen(router(), Limits::default()).await;
    let key = |key: &str| format!("idempotency-key: {key}\r\n");
    let good = "{\"name\":\"x\"}";
    for (line, headers, body, status, code, expect) in [
        ("/all/7?zz=1&from=5&to=4", key("a b"), "{\"name\":\"nobody\",\"x\":1}", 400, "request_invalid", {
            &["zz", "to", "Idempotency-Key", "x", "name"][..]
        }),
        // What is kept is asked where something is wrong anyway.
        ("/all/7?zz=1", String::new(), "{\"name\":\"unheard-of\"}", 400, "request_invalid", &["zz", "name"]),
        ("/all/7?from=1&to=x", String::new(), "", 400, "request_invalid", &["to", "body"]),
        (
            "/all/07?zz=1",
            key("\u{e9}"),
            "[]",
            404,
            "resource_not_found",
            &["id", "zz", "Idempotency-Key", "body"],
        ),
        ("/all/%ff", String::new(), good, 404, "resource_not_found", &["id"]),
        ("/keyed/7?zz=1", String::new(), "{}", 400, "request_invalid", &["zz", "Idempotency-Key", "name"]),
        (
            "/keyed/7",
            String::new(),
            "{}",
            400,
            "request_missing_idempotency_key",
            &["Idempotency-Key", "name"],
        ),
        ("/keyed/7", String::new(), good, 400, "request_missing_idempotency_key", &["Idempotency-Key"]),
        ("/keyed/7", key(&"k".repeat(256)), good, 400, "request_invalid", &["Idempotency-Key"]),
        ("/keyed/7", key("a") + &key("b"), good, 400, "request_invalid", &["Idempotency-Key"]),
        ("/keyed/7", key(""), good, 400, "request_invalid", &["Idempotency-Key"]),
    ] {
        let answer = call(address, &format!("PUT {line}"), &headers, body).await;
        let error = answer.json()["error"].clone();
        let told = error["details"].as_array().unwrap_or_else(|| panic!("{line} {error}")).clone();
        let paths: Vec<_> = told.iter().map(|fault| fault["path"].as_str().unwrap()).collect();
        assert_eq!(
            (answer.status, error["code"].as_str().unwrap(), &paths[..]),
            (status, code, expect),
            "{line}"
        );
        assert!(error["message"].as_str().unwrap().starts_with(&format!("{}: ", paths[0])), "{error}");
    }
    for (line, key, data) in [("/all/7?from=1&to=1", String::new(), "done"), ("/keyed/7", key("a"), "a")] {
        let answer = call(address, &format!("PUT {line}"), &key, "{\"name\":\"unheard-of\"}").await;
        assert_eq!(answer.json()["data"], data, "{line}");
    }
}

#[tokio::test]
async fn a_body_is_taken_to_a_depth() {
    let (address, _tasks) = listen(router(), Limits::default()).await;
    let nested =
        |levels: usize| format!("{{\"name\":{}1{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    let answer = call(address, "POST /json", "", &nested(64)).await;
    answer.is_refused(400, "request_invalid", "name: expected a string, found an array");
    let message = "body: nested too deeply: at most 64 levels of arrays and objects are taken";
    for levels in [65, 500_000] {
        let answer = call(address, "POST /json", "", &nested(levels)).await;
        answer.is_refused(400, "request_invalid", message);
    }
}

#[tokio::test]
async fn a_call_that_takes_no_body_takes_none() {
    let (address, _tasks) = listen(router(), Limits::default()).await;
    for body in ["", "{}", " {}\n"] {
        assert_eq!(call(address, "POST /none", "", body).await.status, 200, "{body:?}");
    }
    for body in ["{\"force\":true}", "null", "x"] {
        call(address, "POST /none", "", body).await.is_refused(
            400,
            "request_invalid",
            "body: this call takes none",
        );
    }
}

#[tokio::test]
async fn a_body_in_many_pieces_is_put_together() {
    let (address, _tasks) = listen(router(), Limits::default()).await;
    let mut request =
        "POST /raw HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    for size in 1..=300_usize {
        request.push_str(&format!("{size:x}\r\n{}\r\n", "y".repeat(size)));
    }
    request.push_str("0\r\n\r\n");
    let answer = crate::client::exchange(address, request).await.unwrap();
    assert_eq!(answer.json()["data"], 300 * 301 / 2);
}

#[tokio::test]
async fn a_body_that_breaks_off_or_is_too_large_is_told_beside_what_else_is_wrong() {
    let (address, _tasks) = listen(router(), Limits { body_bytes_max: 64, ..Limits::default() }).await;
    const HEAD: &str = "host: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let large = format!("41\r\n{}\r\n0\r\n\r\n", "x".repeat(65));
    for (line, body, status, code, message) in [
        ("/json", "3\r\nabc\r\nno size\r\n", 400, "request_invalid", "body: broke off before its end"),
        ("/none", "3\r\nabc\r\nno size\r\n", 400, "request_invalid", "body: broke off before its end"),
        ("/none", &large, 413, "request_too_large", "body: at most 64 bytes are taken"),
        ("/none?a=1", &large, 400, "request_invalid", {
            "a: unknown parameter; this call takes none (and 1 more in details)"
        }),
    ] {
        let request = format!("POST {line} HTTP/1.1\r\n{HEAD}{body}");
        let answer = crate::client::exchange(address, request).await.unwrap();
        answer.is_refused(status, code, message);
        assert_eq!(answer.json()["error"]["details"].as_array().unwrap().last().unwrap()["path"], "body");
    }
}
