//! A small client of the two APIs: JSON over HTTP, one answer envelope, errors with the exit code they lead to.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::exit::{Exit, coded, usage};

/// For one whole exchange.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one server.
#[derive(Clone)]
pub(crate) struct Client {
    base: String,
    authorization: Option<header::HeaderValue>,
    pool: Pool<HttpConnector, Full<Bytes>>,
}

/// What came back: the status, and the `data` or the error.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    error: Option<ErrorBody>,
}

#[derive(Deserialize)]
struct ErrorBody {
    code: String,
    message: String,
}

impl Client {
    /// A client of the server at this URL, with a Bearer token where one is given.
    pub(crate) fn new(url: &str, token: Option<&str>) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().map_err(|_| usage(format!("{url}: not a URL")))?;
        if uri.scheme_str() != Some("http") || uri.authority().is_none() {
            return Err(usage(format!("{url}: expected http://HOST:PORT")));
        }
        let authorization = token
            .map(|token| {
                let mut value = header::HeaderValue::try_from(format!("Bearer {token}"))
                    .map_err(|_| usage("the token has characters that no header may have"))?;
                value.set_sensitive(true);
                anyhow::Ok(value)
            })
            .transpose()?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let pool = Pool::builder(TokioExecutor::new()).build(connector);
        Ok(Client { base: url.trim_end_matches('/').to_owned(), authorization, pool })
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Reply> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| usage(format!("{}{path}: {error}", self.base)))?;
        let exchange = async {
            let response = self.pool.request(request).await.map_err(anyhow::Error::from)?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            anyhow::Ok(Reply { status, body })
        };
        let unreachable =
            |why: String| coded(Exit::Unreachable, format!("{} does not answer: {why}", self.base));
        match tokio::time::timeout(TIMEOUT, exchange).await {
            Err(_) => Err(unreachable(format!("nothing within {} s", TIMEOUT.as_secs()))),
            Ok(Err(error)) => Err(unreachable(format!("{:#}", error.context("the connection failed")))),
            Ok(Ok(reply)) => Ok(reply),
        }
    }

    /// Sends a request that is to be answered with data.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Reply> {
        let reply = self.send(method, path, body).await?;
        if reply.status.is_success() {
            return Ok(reply);
        }
        Err(coded(Exit::Refused, format!("{}{path}: {}", self.base, reply.explain())))
    }

    /// GETs data.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Reply> {
        self.call(Method::GET, path, Bytes::new()).await
    }
}

impl Reply {
    /// The `data`, as a value that may borrow from the answer.
    pub(crate) fn data<'a, T: Deserialize<'a>>(&'a self) -> anyhow::Result<T> {
        let envelope: Envelope<'a> = serde_json::from_slice(&self.body)
            .map_err(|error| coded(Exit::Refused, format!("an answer that is none of hookit's: {error}")))?;
        let data = envelope.data.ok_or_else(|| coded(Exit::Refused, "an answer without data"))?;
        serde_json::from_str(data.get())
            .map_err(|error| coded(Exit::Refused, format!("an answer of another shape: {error}")))
    }

    /// The refusal in words.
    pub(crate) fn explain(&self) -> String {
        let error = serde_json::from_slice::<Envelope<'_>>(&self.body).ok().and_then(|e| e.error);
        match error {
            Some(error) => format!("{} {}: {}", self.status.as_u16(), error.code, error.message),
            None => format!("{}", self.status),
        }
    }
}
