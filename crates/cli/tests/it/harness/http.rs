//! A client that keeps every answer it got, so that a test can search them all.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// For one exchange.
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(crate) struct Client {
    base: String,
    authorization: Option<String>,
    pool: Pool<HttpConnector, Full<Bytes>>,
    answers: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("answers are text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The bytes of `data`.
    pub(crate) fn data(&self) -> Bytes {
        let envelope: Envelope<'_> =
            serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()));
        self.body.slice_ref(envelope.data.get().as_bytes())
    }

    /// The error's code, empty where there is none.
    pub(crate) fn error_code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Client {
    /// A client of the server at this base URL. `authorization` is the whole header.
    pub(crate) fn new(base: String, authorization: Option<String>) -> Self {
        let pool = Pool::builder(TokioExecutor::new()).build(HttpConnector::new());
        Client { base, authorization, pool, answers: Arc::default() }
    }

    /// One exchange; an error where there was no whole answer, so that nobody knows what became of the request.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, String> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("the test writes proper requests");
        let exchange = async {
            let response = self.pool.request(request).await.map_err(|error| error.to_string())?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
            Ok::<_, String>(Answer { status: head.status.as_u16(), headers: head.headers, body })
        };
        let answer = tokio::time::timeout(TIMEOUT, exchange).await.map_err(|_| "no answer".to_owned())??;
        let kept = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
        self.answers.lock().expect("nobody panicked in here").push(kept);
        Ok(answer)
    }

    /// One exchange with a server that must answer.
    #[track_caller]
    pub(crate) fn ask(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> impl Future<Output = Answer> {
        let caller = std::panic::Location::caller();
        let body = body.into();
        async move {
            let answer = self.send(method.clone(), path, &[], body).await;
            answer.unwrap_or_else(|error| panic!("{caller}: {method} {path}: {error}"))
        }
    }

    /// One exchange that must succeed; its `data`.
    #[track_caller]
    pub(crate) fn call(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        let asked = self.ask(method.clone(), path, body);
        async move {
            let answer = asked.await;
            assert!((200..300).contains(&answer.status), "{caller}: {method} {path}: {}", answer.text());
            answer.json()["data"].take()
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// All answers so far, headers and bodies, and forgets them.
    pub(crate) fn take_answers(&self) -> Vec<String> {
        std::mem::take(&mut *self.answers.lock().expect("nobody panicked in here"))
    }
}
