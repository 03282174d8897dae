//! The Partner API from the partner's side: asked for what the platform knows, and told what the partner's own people do.
//!
//! What this module must not do: keep anything (the store does), or decide what an answer means for the view. It makes one
//! request at a time on each of two tracks, reads and writes, since the other side counts them apart; it waits as long as
//! the other side asks it to; and it holds a bounded part of any answer.

mod pace;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookit_contract::{Clock, ErrorCode, OrderId, Timestamp};
use hookit_egress::{AddressPolicy, Call, Egress, EgressConfig, EndpointUrl, UrlRules};
use hookit_server::Secret;
use http::{HeaderMap, HeaderValue, Method, header};
use serde::Deserialize;
use serde_json::value::RawValue;

use self::pace::Pace;

/// A page of a thousand large records, and room.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// A large page over a slow line.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest wait that an answer can ask for; a longer one counts as this.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// Characters of a message of the other side that are kept.
const MESSAGE_CHARS_MAX: usize = 400;

/// What somebody is told who asks for what needs the Partner API, where there is none.
pub(crate) const NO_CREDENTIAL: &str =
    "this inbox has no Partner API credential; its configuration's [partner_api] says how to give it one";

/// How to reach the Partner API.
#[derive(Clone)]
pub struct PartnerApiConfig {
    /// Where it is, up to and without `/v1/partner`: `https://HOST[:PORT]`.
    pub url: String,
    /// The credential's public half.
    pub partner_key: String,
    /// Its secret half.
    pub secret_key: Secret,
    /// Let `url` be plain http. For trials.
    pub http_allowed: bool,
}

impl fmt::Debug for PartnerApiConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartnerApiConfig").field("url", &self.url).finish_non_exhaustive()
    }
}

impl PartnerApiConfig {
    fn egress(&self) -> EgressConfig {
        EgressConfig {
            exchange_timeout: EXCHANGE_TIMEOUT,
            answer_bytes_max: ANSWER_BYTES_MAX,
            idle_per_host_max: 2,
            // The URL is the inbox's own operator's and nobody else's, so it may lead into the house.
            addresses: AddressPolicy::AllowPrivate,
            https_required: !self.http_allowed,
            ..EgressConfig::default()
        }
    }

    /// What is wrong with it, a sentence each.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match EndpointUrl::parse(&self.url, &self.egress().url_rules()) {
            Err(error) => problems.push(format!("partner_api.url: {error}")),
            Ok(_) if self.url.contains('?') => {
                problems.push("partner_api.url: has a query; expected https://HOST[:PORT]".to_owned());
            }
            Ok(_) => {}
        }
        if self.partner_key.is_empty() || self.partner_key.contains(':') {
            problems.push("partner_api.partner_key: expected the partner_key of the credential".to_owned());
        }
        if self.secret_key.expose().is_empty() {
            problems.push("partner_api.secret_key: is empty".to_owned());
        }
        problems
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The JSON text of `data`, byte for byte.
    pub(crate) data: Bytes,
    /// What time it was at the other side, to the second.
    pub(crate) server_time: Option<Timestamp>,
}

/// Why nothing useful came back.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No whole answer. Whether the request was read, nobody knows.
    #[error("the Partner API does not answer: {0}")]
    NoAnswer(String),
    /// Not now.
    #[error("the Partner API puts us off ({status})")]
    PutOff {
        /// The status.
        status: u16,
        /// For how long.
        retry_after: Option<Duration>,
    },
    /// The credential itself is not taken.
    #[error(
        "the Partner API does not take the credential ({status} {code}: {message}); check partner_key and secret_key"
    )]
    Credential {
        /// The status.
        status: u16,
        /// The code as it came.
        code: String,
        /// In words.
        message: String,
    },
    /// This request is not taken, however often it is made.
    #[error("the Partner API refuses ({status} {code}: {message})")]
    Refused {
        /// The status.
        status: u16,
        /// The code as it came.
        code: String,
        /// In words.
        message: String,
    },
    /// The answer is longer than what is held.
    #[error("the Partner API's answer is longer than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
    /// The answer is not of the published form.
    #[error("the Partner API's answer cannot be read: {0}")]
    Unreadable(String),
}

impl CallError {
    /// True where the same request may well succeed later.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, CallError::NoAnswer(_) | CallError::PutOff { .. })
    }

    /// The code of a refusal, where it is one of the published list.
    pub(crate) fn code(&self) -> Option<ErrorCode> {
        match self {
            CallError::Credential { code, .. } | CallError::Refused { code, .. } => {
                ErrorCode::from_word(code)
            }
            _ => None,
        }
    }

    /// The status of a refusal.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            CallError::PutOff { status, .. }
            | CallError::Credential { status, .. }
            | CallError::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    error: Option<ErrorBody>,
}

#[derive(Default, Deserialize)]
struct ErrorBody {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// A client of one Partner API.
pub(crate) struct PartnerApi {
    egress: Egress,
    rules: UrlRules,
    base: String,
    authorization: HeaderValue,
    clock: Arc<dyn Clock>,
    pub(crate) reads: Pace,
    pub(crate) writes: Pace,
}

impl PartnerApi {
    /// A client. The configuration was looked at by [`PartnerApiConfig::problems`].
    pub(crate) fn new(
        config: &PartnerApiConfig,
        clock: Arc<dyn Clock>,
        jitter_seed: u64,
    ) -> Result<Self, hookit_egress::Error> {
        let egress = config.egress();
        let rules = egress.url_rules();
        let plain = zeroize::Zeroizing::new(format!("{}:{}", config.partner_key, config.secret_key.expose()));
        let mut authorization = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(plain.as_bytes())))
            .expect("base64 is a header value");
        authorization.set_sensitive(true);
        Ok(PartnerApi {
            egress: Egress::new(egress)?,
            rules,
            base: format!("{}/v1/partner", config.url.trim_end_matches('/')),
            authorization,
            clock,
            reads: Pace::new(jitter_seed),
            writes: Pace::new(jitter_seed.wrapping_add(1)),
        })
    }

    /// Reads; what may pass is asked for again, a few times and with pauses. The caller drops the call to stop it.
    pub(crate) async fn get(&self, path: &str) -> Result<Reply, CallError> {
        loop {
            self.reads.wait().await;
            let result = self.once(Method::GET, path, HeaderMap::new(), Bytes::new(), &self.reads).await;
            match result {
                Err(error) if error.may_pass() && !self.reads.is_hopeless() => {
                    tracing::debug!(path, %error, "asking again");
                }
                result => return result,
            }
        }
    }

    /// One try at moving an order. The caller tries again, with the same key.
    pub(crate) async fn move_order(
        &self,
        order_id: OrderId,
        idempotency_key: &str,
        body: Bytes,
    ) -> Result<Reply, CallError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let key = HeaderValue::from_str(idempotency_key).expect("a key is visible ASCII");
        headers.insert("idempotency-key", key);
        self.once(Method::PATCH, &format!("/orders/{order_id}/status"), headers, body, &self.writes).await
    }

    async fn once(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: Bytes,
        pace: &Pace,
    ) -> Result<Reply, CallError> {
        let _turn = pace.turn().await;
        let url = EndpointUrl::parse(&format!("{}{path}", self.base), &self.rules)
            .map_err(|error| CallError::Unreadable(error.to_string()))?;
        headers.insert(header::AUTHORIZATION, self.authorization.clone());
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let now = self.clock.now();
        let called = self.egress.call(Call { method, url, headers, body }, now).await;
        let result = read(&called.attempt, &called.headers);
        pace.answered(&result, &called.headers, now);
        result
    }
}

/// What an exchange says.
fn read(attempt: &hookit_egress::Attempt, headers: &HeaderMap) -> Result<Reply, CallError> {
    let Some(status) = attempt.status else {
        let why = attempt.error.clone().unwrap_or_else(|| attempt.outcome.to_string());
        return Err(CallError::NoAnswer(why));
    };
    let envelope = serde_json::from_slice::<Envelope<'_>>(&attempt.answer);
    if (200..300).contains(&status) {
        if attempt.answer_truncated {
            return Err(CallError::TooLong);
        }
        let envelope = envelope.map_err(|error| CallError::Unreadable(error.to_string()))?;
        let data = envelope.data.ok_or_else(|| CallError::Unreadable("it has no data".to_owned()))?;
        return Ok(Reply {
            data: attempt.answer.slice_ref(data.get().as_bytes()),
            server_time: date(headers),
        });
    }
    if matches!(status, 408 | 425 | 429) || status >= 500 {
        return Err(CallError::PutOff { status, retry_after: attempt.retry_after });
    }
    let ErrorBody { code, message } = envelope.ok().and_then(|e| e.error).unwrap_or_default();
    let message: String = message.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS_MAX).collect();
    let is_credentials = status == 401 || code == ErrorCode::AuthRevoked.as_str();
    Err(match is_credentials {
        true => CallError::Credential { status, code, message },
        false => CallError::Refused { status, code, message },
    })
}

/// The other side's own time.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()?;
    let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).ok()?))
}

/// A text as it stands in a query.
pub(crate) fn in_query(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
