//! A sink that is NATS JetStream: a message for each change, and the stream's acknowledgement ends it.
//!
//! The message carries the change's id as `Nats-Msg-Id`, so a stream keeps one of two that came within its window for
//! duplicates. A connection that has failed is dropped and made anew: what the client library held back for it must
//! not go out behind what was handed on since.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::jetstream::context::{ContextBuilder, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::Config as StreamConfig;
use async_nats::jetstream::{Context, ErrorCode};
use async_nats::{ConnectErrorKind, ConnectOptions, ServerAddr};
use async_trait::async_trait;
use hookit_contract::{AttemptOutcome, StatusCodes};
use hookit_server::Secret;
use hookit_store::inbox::Change;
use tokio::sync::Mutex;

use super::message;
use super::target::{Handed, Target, chain};
use super::tls;

/// Messages that are published at a time.
const MESSAGES_MAX: usize = 256;

/// The header that names what happened to the order.
const EVENT_TYPE_HEADER: &str = "Klikit-Event-Type";

/// How the sink shows itself to the server.
#[derive(Clone, Debug)]
pub enum NatsAuth {
    /// A user and a password.
    User {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token.
    Token(Secret),
}

/// The settings of a NATS sink.
#[derive(Clone, Debug)]
pub struct NatsSink {
    /// The server, `nats://host:4222` or `tls://host:4222`.
    pub url: String,
    /// How the sink shows itself; not at all where none is said.
    pub auth: Option<NatsAuth>,
    /// The subject of a change, with `{brand_id}`, `{branch_id}`, `{order_id}` and `{event}` in it.
    pub subject: String,
    /// A stream that is made where there is none, for all subjects that the template can give. Where it is not said,
    /// the server has to have one already.
    pub stream: Option<String>,
    /// Authorities that are trusted beside the public ones.
    pub ca_file: Option<PathBuf>,
}

/// A part of a subject's template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Brand,
    Branch,
    Order,
    Event,
}

/// A subject with places in it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Subject(Vec<Part>);

impl Subject {
    fn parse(template: &str) -> Result<Self, String> {
        let expected = "expected tokens with dots between them, of letters, digits, - and _, or of \
                        {brand_id}, {branch_id}, {order_id} or {event} alone";
        let mut parts = Vec::new();
        for token in template.split('.') {
            parts.push(match token {
                "{brand_id}" => Part::Brand,
                "{branch_id}" => Part::Branch,
                "{order_id}" => Part::Order,
                "{event}" => Part::Event,
                text if !text.is_empty()
                    && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') =>
                {
                    Part::Text(text.to_owned())
                }
                odd => return Err(format!("subject: {odd:?} cannot be a part of it; {expected}")),
            });
        }
        Ok(Subject(parts))
    }

    fn of(&self, change: &Change) -> String {
        let mut subject = String::new();
        let id = |subject: &mut String, id: Option<i64>| match id {
            Some(id) => write!(subject, "{id}").expect("a text takes more text"),
            None => subject.push_str("none"),
        };
        for (i, part) in self.0.iter().enumerate() {
            if i > 0 {
                subject.push('.');
            }
            match part {
                Part::Text(text) => subject.push_str(text),
                Part::Brand => id(&mut subject, change.brand_id.map(|id| id.0)),
                Part::Branch => id(&mut subject, change.branch_id.map(|id| id.0)),
                Part::Order => id(&mut subject, Some(change.order_id.0)),
                Part::Event => subject.push_str(event(change.event_type.as_deref())),
            }
        }
        subject
    }

    /// Everything that it can give.
    fn wildcard(&self) -> String {
        let tokens: Vec<&str> = self
            .0
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.as_str(),
                Part::Brand | Part::Branch | Part::Order | Part::Event => "*",
            })
            .collect();
        tokens.join(".")
    }
}

/// The event in one token of a subject.
fn event(event_type: Option<&str>) -> &'static str {
    use hookit_contract::EventType;
    match event_type.and_then(|name| name.parse().ok()) {
        Some(EventType::OrderCreated) => "created",
        Some(EventType::OrderStatusUpdated) => "status",
        Some(EventType::OrderCartUpdated) => "cart",
        None => "other",
    }
}

pub(crate) struct Nats {
    config: NatsSink,
    address: ServerAddr,
    subject: Subject,
    options: ConnectOptions,
    timeout: Duration,
    codes: StatusCodes,
    /// Taken out while it is used, and put back where it is still good.
    connection: Mutex<Option<Context>>,
}

impl Nats {
    pub(crate) fn new(config: NatsSink, timeout: Duration, codes: StatusCodes) -> Result<Self, String> {
        let address: ServerAddr = config
            .url
            .parse()
            .map_err(|error| format!("url: {error}; expected nats://HOST:PORT or tls://HOST:PORT"))?;
        if address.has_user_pass() {
            return Err("url: has a user or password; set user and password_env or password_file".to_owned());
        }
        let subject = Subject::parse(&config.subject)?;
        if let Some(stream) = &config.stream
            && (stream.is_empty() || stream.chars().any(|c| c.is_whitespace() || ".*>/\\".contains(c)))
        {
            return Err(format!("stream: {stream:?} cannot be a stream's name"));
        }
        let mut options = ConnectOptions::new()
            .name("hookit")
            .connection_timeout(timeout)
            .request_timeout(Some(timeout))
            .max_reconnects(1)
            .event_callback(|event| async move { tracing::debug!(%event, "nats") });
        // Only where it is needed: the client library looks at the machine's own authorities, too, and fails where
        // they cannot be read.
        if address.tls_required() || config.ca_file.is_some() {
            options = options.require_tls(true).tls_client_config(tls::client(config.ca_file.as_deref())?);
        }
        options = match &config.auth {
            None => options,
            Some(NatsAuth::User { user, password }) => {
                options.user_and_password(user.clone(), password.expose().to_owned())
            }
            Some(NatsAuth::Token(token)) => options.token(token.expose().to_owned()),
        };
        Ok(Nats { config, address, subject, options, timeout, codes, connection: Mutex::default() })
    }

    async fn connect(&self) -> Result<Context, Handed> {
        let client = self.options.clone().connect(self.address.clone()).await.map_err(|error| {
            let outcome = match error.kind() {
                ConnectErrorKind::Dns => AttemptOutcome::NameNotResolved,
                ConnectErrorKind::Tls => AttemptOutcome::TlsFailed,
                _ => AttemptOutcome::ConnectFailed,
            };
            Handed::failed(outcome, chain(&error))
        })?;
        let context = ContextBuilder::new()
            .timeout(self.timeout)
            .ack_timeout(self.timeout)
            .max_ack_inflight(2 * MESSAGES_MAX)
            .build(client);
        if let Some(stream) = &self.config.stream {
            self.make_stream(&context, stream).await?;
        }
        Ok(context)
    }

    /// One that is there stays as it is, whatever its settings.
    async fn make_stream(&self, context: &Context, name: &str) -> Result<(), Handed> {
        use async_nats::jetstream::context::GetStreamErrorKind;
        let failed =
            |error: &dyn std::error::Error| Handed::unreachable(format!("stream {name}: {}", chain(error)));
        match context.get_stream(name).await {
            Ok(_) => return Ok(()),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(why) if why.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
                _ => return Err(failed(&error)),
            },
        }
        let config = StreamConfig {
            name: name.to_owned(),
            subjects: vec![self.subject.wildcard()],
            ..StreamConfig::default()
        };
        context.create_stream(config).await.map_err(|error| failed(&error))?;
        tracing::info!(stream = name, "a stream was made for a sink");
        Ok(())
    }

    fn message(&self, change: &Change) -> PublishMessage {
        let mut headers = async_nats::HeaderMap::new();
        if let Some(event_type) = change.event_type.as_deref().filter(|text| text.is_ascii()) {
            headers.insert(EVENT_TYPE_HEADER, event_type);
        }
        PublishMessage::build()
            .headers(headers)
            .payload(message::line(change, &self.codes).into())
            .message_id(message::event_id(change))
    }
}

/// How a message that was not acknowledged ended, and whether the connection is still good.
fn failure(error: &async_nats::jetstream::context::PublishError) -> (Handed, bool) {
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => (Handed::refused(chain(error)), true),
        PublishErrorKind::StreamNotFound => {
            (Handed::unreachable("no stream takes the subject, or JetStream is off"), true)
        }
        PublishErrorKind::TimedOut => (Handed::failed(AttemptOutcome::TimedOut, chain(error)), false),
        // Full, read-only, no leader: nothing that another change would fare better with.
        _ => (Handed::unreachable(chain(error)), false),
    }
}

#[async_trait]
impl Target for Nats {
    async fn hand_on(&self, changes: &[Change]) -> Vec<Handed> {
        let mut connection = self.connection.lock().await;
        let context = match connection.take() {
            Some(context) => context,
            None => match self.connect().await {
                Ok(context) => context,
                Err(failed) => return vec![failed; changes.len()],
            },
        };
        let mut is_good = true;
        let mut sent = Vec::with_capacity(changes.len());
        for change in changes {
            sent.push(context.send_publish(self.subject.of(change), self.message(change)).await);
        }
        let mut ends = Vec::with_capacity(changes.len());
        for sent in sent {
            let ended = match sent {
                Ok(acknowledgement) => acknowledgement.await,
                Err(error) => Err(error),
            };
            ends.push(match ended {
                Ok(_) => Handed::on(),
                Err(error) => {
                    let (end, still_good) = failure(&error);
                    is_good &= still_good;
                    end
                }
            });
        }
        if is_good {
            *connection = Some(context);
        }
        ends
    }

    fn batch_max(&self) -> usize {
        MESSAGES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::change;
    use super::*;

    #[test]
    fn a_subject_is_made_of_the_change_and_its_wildcard_takes_all_of_them() {
        let subject = Subject::parse("klikit.orders.{brand_id}.{branch_id}.{order_id}.{event}").unwrap();
        let mut change = change(1, "{}");
        assert_eq!(subject.of(&change), "klikit.orders.663.1062.7.status");
        (change.brand_id, change.event_type) = (None, Some("klikit.order.renamed".to_owned()));
        assert_eq!(subject.of(&change), "klikit.orders.none.1062.7.other");
        assert_eq!(subject.wildcard(), "klikit.orders.*.*.*.*");
        for odd in ["", "a..b", "a.>", "a.*", "a b", "a.{order}", "a.x{order_id}", ".a"] {
            let error = Subject::parse(odd).unwrap_err();
            assert!(error.starts_with("subject: ") && error.contains("{order_id}"), "{error}");
        }
    }

    #[test]
    fn an_address_with_a_password_in_it_is_refused() {
        let config = |url: &str| NatsSink {
            url: url.to_owned(),
            auth: None,
            subject: "a".to_owned(),
            stream: None,
            ca_file: None,
        };
        let new = |url| Nats::new(config(url), Duration::from_secs(1), StatusCodes::default()).err();
        assert_eq!(new("nats://127.0.0.1:4222"), None);
        let error = new("nats://pos:hush@127.0.0.1:4222").unwrap();
        assert!(error.contains("password_env") && !error.contains("hush"), "{error}");
        assert!(new("http://127.0.0.1").unwrap().starts_with("url: "));
    }
}
