//! One attempt: the request that goes out, mostly a POST, and what comes of it.
//!
//! Every failure is turned into an [`AttemptOutcome`] in the place where it happens, and stays one. The text beside
//! it is for the log, and nothing reads it.

use std::error::Error as StdError;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookit_contract::{AttemptOutcome, Timestamp};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use crate::connection::{Connection, SendError, keep_alive_hint};
use crate::connector::Connector;
use crate::pool::Pool;
use crate::retry_after::retry_after;
use crate::url::EndpointUrl;
use crate::{ANSWER_HEAD_BYTES_MIN, EgressConfig, Error, TIMEOUT_MAX};

/// How long the text of an [`Attempt::error`] may be; parts of it come from the other side.
const ERROR_CHARS_MAX: usize = 400;

/// The headers that say how a message is framed and where it goes. They follow from the URL and the body, so they
/// are set here, and a caller's own are left out.
const FRAMING: [HeaderName; 8] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
];

/// One POST to be made.
pub struct Post {
    /// Where to.
    pub url: EndpointUrl,
    /// Its headers. They go out as they are, except those of the framing (`Host`, `Content-Length` and the like).
    pub headers: HeaderMap,
    /// Its body. It goes out byte for byte, with a `Content-Length`.
    pub body: Bytes,
}

impl fmt::Debug for Post {
    /// Without headers and body: there are credentials in the one and customers in the other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post")
            .field("url", &self.url)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// One request to be made, of whatever method. The rules for a [`Post`] hold for it.
pub struct Call {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: EndpointUrl,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl From<Post> for Call {
    fn from(Post { url, headers, body }: Post) -> Self {
        Call { method: Method::POST, url, headers, body }
    }
}

impl fmt::Debug for Call {
    /// Without headers and body, and without the query, which may name a customer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.as_str();
        f.debug_struct("Call")
            .field("method", &self.method)
            .field("url", &url.split('?').next().unwrap_or(url))
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// How a call went.
#[derive(Debug)]
pub struct Called {
    /// What became of it; a refusal and an acknowledgement are told apart as they are for a post.
    pub attempt: Attempt,
    /// The headers of the answer, none where there was no answer.
    pub headers: HeaderMap,
}

/// How a post went.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The one thing that decides what happens next.
    pub outcome: AttemptOutcome,
    /// The answer's status, for the outcomes that come with one.
    pub status: Option<u16>,
    /// How long the endpoint asks to be left alone, whatever its status and however long.
    pub retry_after: Option<Duration>,
    /// The address that was dialled last, or that the connection in use goes to.
    pub address: Option<SocketAddr>,
    /// How long it took.
    pub timings: Timings,
    /// The first bytes of the answer's body, at most as many as configured.
    pub answer: Bytes,
    /// The answer had more bytes than that, or broke off.
    pub answer_truncated: bool,
    /// One line for the log: what went wrong, and its causes. No secrets, no body.
    pub error: Option<String>,
}

/// How long the parts of an attempt took; none for a part that was not reached, or not needed since a connection was
/// used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Looking the name up.
    pub resolve: Option<Duration>,
    /// Connecting, all addresses that were tried together.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// From handing over the request to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// Everything.
    pub total: Option<Duration>,
}

/// Where an attempt is. It is read when time runs out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Stage {
    #[default]
    Resolve,
    Connect,
    Tls,
    Answer,
    Body,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Resolve => "looking the name up",
            Stage::Connect => "connecting",
            Stage::Tls => "the TLS handshake",
            Stage::Answer => "waiting for the answer",
            Stage::Body => "reading the answer's body",
        })
    }
}

/// What is known of an attempt so far. It outlives the exchange, so it is there when the exchange is cut short.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) stage: Stage,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) timings: Timings,
}

/// An exchange without an answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) outcome: AttemptOutcome,
    pub(crate) error: String,
}

/// An exchange with an answer.
struct Answer {
    status: u16,
    headers: HeaderMap,
    retry_after: Option<Duration>,
    body: Bytes,
    truncated: bool,
    /// The connection broke before the body's end.
    broke_off: bool,
    error: Option<String>,
}

/// Makes posts. Clones share their connections.
#[derive(Clone)]
pub struct Egress(Arc<Shared>);

struct Shared {
    config: EgressConfig,
    user_agent: HeaderValue,
    connector: Connector,
    pool: Pool,
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Egress {
    /// Prepares to post under these limits and rules.
    ///
    /// # Errors
    /// [`Error`] where the configuration cannot work.
    pub fn new(config: EgressConfig) -> Result<Self, Error> {
        if config.answer_head_bytes_max < ANSWER_HEAD_BYTES_MIN {
            return Err(Error::AnswerHeadBytesMax(config.answer_head_bytes_max));
        }
        if config.exchange_timeout.is_zero() || config.exchange_timeout > TIMEOUT_MAX {
            return Err(Error::ExchangeTimeout(config.exchange_timeout));
        }
        if config.idle_timeout > TIMEOUT_MAX {
            return Err(Error::IdleTimeout(config.idle_timeout));
        }
        let user_agent = HeaderValue::from_str(&config.user_agent).map_err(|_| Error::UserAgent)?;
        let connector = Connector::new(&config)?;
        let pool = Pool::new(config.idle_per_host_max, config.idle_timeout);
        Ok(Egress(Arc::new(Shared { config, user_agent, connector, pool })))
    }

    /// Makes one attempt, within the time limit. Never an error: whatever happens is an outcome. `now` is what a date
    /// in `Retry-After` is compared with. An attempt that is dropped closes its connection.
    pub async fn post(&self, post: Post, now: Timestamp) -> Attempt {
        self.call(Call::from(post), now).await.attempt
    }

    /// Makes one request of whatever method, under the same rules as a post, and hands on the answer's headers, too.
    pub async fn call(&self, call: Call, now: Timestamp) -> Called {
        let started = Instant::now();
        let deadline = started + self.0.config.exchange_timeout;
        let mut progress = Progress::default();
        let exchange = Box::pin(self.0.exchange(call, now, deadline, &mut progress));
        let result = timeout_at(deadline, exchange).await;
        progress.timings.total = Some(started.elapsed());
        let result = result.unwrap_or_else(|_| {
            let limit_ms = self.0.config.exchange_timeout.as_millis();
            let error = format!("the time limit of {limit_ms} ms ended {}", progress.stage);
            Err(Failure { outcome: AttemptOutcome::TimedOut, error })
        });
        let Progress { address, timings, .. } = progress;
        match result {
            Ok(answer) => {
                let attempt = Attempt {
                    outcome: answer.outcome(),
                    status: answer.outcome().has_status().then_some(answer.status),
                    retry_after: answer.retry_after,
                    address,
                    timings,
                    answer: answer.body,
                    answer_truncated: answer.truncated,
                    error: answer.error.map(|text| one_line(&text)),
                };
                Called { attempt, headers: answer.headers }
            }
            Err(failure) => {
                let attempt = Attempt {
                    outcome: failure.outcome,
                    status: None,
                    retry_after: None,
                    address,
                    timings,
                    answer: Bytes::new(),
                    answer_truncated: false,
                    error: Some(one_line(&failure.error)),
                };
                Called { attempt, headers: HeaderMap::new() }
            }
        }
    }

    /// Closes the connections that have been idle too long. Posts do it in passing; where there may be none for a
    /// while, call it now and then.
    pub fn close_idle(&self) {
        self.0.pool.sweep();
    }
}

impl Shared {
    async fn exchange(
        &self,
        call: Call,
        now: Timestamp,
        deadline: Instant,
        progress: &mut Progress,
    ) -> Result<Answer, Failure> {
        let url = call.url.clone();
        if self.config.https_required && !url.is_https() {
            // Registered while plain http was allowed.
            return Err(Failure {
                outcome: AttemptOutcome::AddressForbidden,
                error: "the endpoint's URL is http, and https is required".to_owned(),
            });
        }
        let mut request = self.request(call);
        // A connection looks at its socket before it writes: one that was closed while it was idle hands the request
        // back untouched.
        while let Some(connection) = self.pool.take(url.target()) {
            match self.exchange_on(connection, &url, request, now, progress).await {
                Ok(answer) => return Ok(answer),
                Err(SendError::Failed(failure)) => return Err(failure),
                Err(SendError::NotSent(unsent, _)) => request = *unsent,
            }
        }
        let transport = self.connector.connect(url.target(), deadline, progress).await?;
        let address = progress.address.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        let connection = Connection::open(transport, address, self.config.answer_head_bytes_max).await?;
        match self.exchange_on(connection, &url, request, now, progress).await {
            Ok(answer) => Ok(answer),
            Err(SendError::Failed(failure) | SendError::NotSent(_, failure)) => Err(failure),
        }
    }

    fn request(&self, call: Call) -> Request<Full<Bytes>> {
        let Call { method, url, headers: mut given, body } = call;
        for name in FRAMING {
            given.remove(name);
        }
        let mut headers = HeaderMap::with_capacity(given.len() + 3);
        headers.insert(header::HOST, url.host_header().clone());
        headers.insert(header::USER_AGENT, self.user_agent.clone());
        if method != Method::GET {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        headers.extend(given);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from(url.path_and_query().clone());
        *request.headers_mut() = headers;
        request
    }

    async fn exchange_on(
        &self,
        mut connection: Connection,
        url: &EndpointUrl,
        request: Request<Full<Bytes>>,
        now: Timestamp,
        progress: &mut Progress,
    ) -> Result<Answer, SendError> {
        progress.stage = Stage::Answer;
        progress.address = Some(connection.address());
        let sent_at = Instant::now();
        let response = connection.send(request).await;
        progress.timings.first_byte = connection.first_byte_at().map(|at| at.duration_since(sent_at));
        let response = response?;
        progress.stage = Stage::Body;
        let hint = keep_alive_hint(response.headers());
        let answer = self.read_answer(&mut connection, response, now).await;
        // What has not been read to its end cannot be told apart from the next answer: that connection is dropped.
        if !answer.truncated && connection.is_ready().await {
            self.pool.put(url.target(), connection, hint);
        }
        Ok(answer)
    }

    /// Reads the body as far as it is kept. One that is too long changes nothing about the outcome: the partner has
    /// said what it had to say. One that breaks off does, and so does running out of time.
    async fn read_answer(
        &self,
        connection: &mut Connection,
        response: Response<Incoming>,
        now: Timestamp,
    ) -> Answer {
        let (head, mut incoming) = response.into_parts();
        let mut body = Vec::new();
        let mut truncated = false;
        let mut broke_off = false;
        let mut error = None;
        while let Some(data) = connection.next_data(&mut incoming).await {
            match data {
                Ok(data) => {
                    let room = self.config.answer_bytes_max - body.len();
                    // Copied, so that a short answer does not keep the whole read buffer alive.
                    body.extend_from_slice(&data[..data.len().min(room)]);
                    if data.len() > room {
                        truncated = true;
                        break;
                    }
                }
                Err(broken) => {
                    truncated = true;
                    broke_off = true;
                    error = Some(cause_chain("the answer's body broke off", &broken));
                    break;
                }
            }
        }
        Answer {
            status: head.status.as_u16(),
            retry_after: retry_after(&head.headers, now),
            headers: head.headers,
            body: Bytes::from(body),
            truncated,
            broke_off,
            error,
        }
    }
}

impl Answer {
    /// What the answer means. The exchange includes the body, and a transport error in it is one: a 2xx whose body
    /// breaks off is not an acknowledgement. Another status is a refusal however it goes on.
    fn outcome(&self) -> AttemptOutcome {
        match (200..300).contains(&self.status) {
            true if self.broke_off => AttemptOutcome::ConnectionLost,
            true => AttemptOutcome::Acknowledged,
            false => AttemptOutcome::Refused,
        }
    }
}

/// An error and its causes in one text. A cause that the text before it has quoted already is left out.
pub(crate) fn cause_chain(doing: &str, error: &dyn StdError) -> String {
    let mut text = doing.to_owned();
    let mut next = Some(error);
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

/// One line of bounded length, whatever the other side has put into it.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(ERROR_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_cannot_work_is_refused_with_what_was_expected() {
        let refused = |change: fn(&mut EgressConfig)| {
            let mut config = EgressConfig::default();
            change(&mut config);
            Egress::new(config).unwrap_err().to_string()
        };
        assert!(refused(|c| c.answer_head_bytes_max = 4096).contains("expected 8192 or more"));
        assert!(refused(|c| c.exchange_timeout = Duration::ZERO).contains("exchange_timeout is 0ns"));
        assert!(refused(|c| c.exchange_timeout = Duration::MAX).contains("at most 3600s"));
        assert!(refused(|c| c.idle_timeout = Duration::MAX).contains("at most 3600s"));
        assert!(refused(|c| c.user_agent = "hook\nit".to_owned()).contains("user_agent"));
        assert!(refused(|c| c.extra_roots = vec![vec![1, 2, 3].into()]).contains("extra root 0"));
        assert!(Egress::new(EgressConfig::default()).is_ok());
    }

    #[test]
    fn a_line_for_the_log_is_one_line_and_short() {
        let line = one_line(&format!("a\r\nb\u{1b}[31m{}", "x".repeat(10_000)));
        assert!(line.starts_with("a  b [31m"), "{line}");
        assert_eq!(line.chars().count(), ERROR_CHARS_MAX);
    }

    #[test]
    fn a_post_is_shown_without_its_secrets() {
        let rules = EgressConfig::default().url_rules();
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic c2VjcmV0"));
        let url = EndpointUrl::parse("https://pos.example.com/in", &rules).unwrap();
        let shown = format!("{:?}", Post { url, headers, body: Bytes::from_static(b"a customer") });
        assert_eq!(shown, r#"Post { url: EndpointUrl("https://pos.example.com/in"), body_bytes: 10, .. }"#);
    }
}
