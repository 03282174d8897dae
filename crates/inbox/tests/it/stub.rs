//! The Partner API as klikit publishes it, and nothing beyond: orders by page and by id, and moves. It has no events, and
//! its records have a version only where the test writes one into them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use hookit_contract::Timestamp;
use hookit_inbox::PartnerApiConfig;
use hookit_server::{Secret, Tasks};
use serde_json::{Value, json};

/// A credential of the stub's, `pk_stub:sk_stub` in the header.
const AUTHORIZATION: &str = "Basic cGtfc3R1Yjpza19zdHVi";

#[derive(Clone)]
pub(crate) struct Stub(Arc<Shared>);

struct Shared {
    state: Mutex<Known>,
    url: String,
    tasks: Tasks,
}

/// When an order was created, its id, and its record.
pub(crate) type Listed = (Timestamp, i64, String);

/// What the stub knows, and what it saw.
#[derive(Default)]
pub(crate) struct Known {
    /// In the order in which they are listed.
    pub(crate) orders: Vec<Listed>,
    /// Done to the orders before each page of them is made.
    pub(crate) before_a_page: Option<fn(&mut Vec<Listed>)>,
    /// Answers that come before any other: status, one header, body.
    pub(crate) scripted: VecDeque<(u16, (&'static str, String), Value)>,
    /// The `Date` of the answers; the real one where there is none.
    pub(crate) date: Option<&'static str>,
    /// Method, path and query of each request.
    pub(crate) requests: Vec<String>,
    /// Key and body of each move.
    pub(crate) moves: Vec<(String, Value)>,
    /// The keys of all that were asked for, answered by script or not.
    pub(crate) keys: Vec<String>,
    in_flight: usize,
    /// The most requests that were under way together.
    pub(crate) in_flight_max: usize,
}

impl Stub {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let tasks = Tasks::new();
        let stub = Stub(Arc::new(Shared { state: Mutex::default(), url, tasks }));
        let router = axum::Router::new().fallback(answer).with_state(stub.clone());
        stub.0.tasks.spawn("stub", async move { axum::serve(listener, router).await.unwrap() });
        stub
    }

    pub(crate) fn config(&self) -> PartnerApiConfig {
        PartnerApiConfig {
            url: self.0.url.clone(),
            partner_key: "pk_stub".to_owned(),
            secret_key: Secret::new("sk_stub"),
            http_allowed: true,
        }
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.0.state.lock().unwrap()
    }

    /// Has an order, created at this moment.
    pub(crate) fn has(&self, created_at: Timestamp, id: i64, record: &str) {
        let mut known = self.known();
        known.orders.retain(|(_, known, _)| *known != id);
        known.orders.push((created_at, id, record.to_owned()));
    }
}

async fn answer(State(stub): State<Stub>, request: Request) -> Response {
    {
        let mut known = stub.known();
        known.in_flight += 1;
        known.in_flight_max = known.in_flight_max.max(known.in_flight);
    }
    // Time for a second request to come in, if anybody made one.
    tokio::task::yield_now().await;
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let mut known = stub.known();
    known.in_flight -= 1;
    known.requests.push(format!("{} {}", head.method, head.uri));
    let header =
        |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if head.method == "PATCH" {
        known.keys.push(header("idempotency-key").to_owned());
    }
    let (status, further, body) = if let Some(scripted) = known.scripted.pop_front() {
        let (status, header, body) = scripted;
        (status, Some(header), body.to_string())
    } else if header("authorization") != AUTHORIZATION {
        refusal(401, "auth_invalid_credential", "no such credential")
    } else {
        let path = head.uri.path().trim_start_matches("/v1/partner/").to_owned();
        match (head.method.as_str(), path.split('/').collect::<Vec<_>>().as_slice()) {
            ("GET", ["orders"]) => list(&mut known, head.uri.query().unwrap_or_default()),
            ("GET", ["orders", id]) => one(&known, id),
            ("PATCH", ["orders", id, "status"]) => {
                let body: Value = serde_json::from_slice(&body).unwrap();
                known.moves.push((header("idempotency-key").to_owned(), body));
                one(&known, id)
            }
            _ => refusal(404, "resource_not_found", "no such path"),
        }
    };
    let mut response = Response::builder().status(status).header("content-type", "application/json");
    if let Some(date) = known.date {
        response = response.header("date", date);
    }
    if let Some((name, value)) = further {
        response = response.header(name, value);
    }
    response.body(Body::from(body)).unwrap()
}

type Made = (u16, Option<(&'static str, String)>, String);

fn refusal(status: u16, code: &str, message: &str) -> Made {
    let body = json!({"request_id": "r", "error": {"code": code, "message": message}});
    (status, None, body.to_string())
}

fn data(text: &str) -> Made {
    (200, None, format!("{{\"request_id\":\"r\",\"data\":{text}}}"))
}

fn list(known: &mut Known, query: &str) -> Made {
    if let Some(change) = known.before_a_page {
        change(&mut known.orders);
    }
    let query: HashMap<_, _> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let number = |name: &str| query[name].parse::<usize>().unwrap();
    let time = |name: &str| Timestamp::parse(query[name]).unwrap();
    let (page, size, from, to) = (number("page"), number("size"), time("created_from"), time("created_to"));
    assert!(to.since(from).as_secs() <= 90 * 86_400, "a window of more than 90 days");
    let found: Vec<&str> = known
        .orders
        .iter()
        .filter(|(created_at, ..)| (from..to).contains(created_at))
        .map(|(.., record)| record.as_str())
        .collect();
    let records: Vec<&str> = found.iter().copied().skip((page - 1) * size).take(size).collect();
    let total = found.len();
    data(&format!(r#"{{"orders":[{}],"page":{page},"size":{size},"total":{total}}}"#, records.join(",")))
}

fn one(known: &Known, id: &str) -> Made {
    match known.orders.iter().find(|(_, known, _)| known.to_string() == id) {
        Some((.., record)) => data(record),
        None => refusal(404, "resource_not_found", "no such order"),
    }
}
