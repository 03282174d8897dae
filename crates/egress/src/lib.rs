//! Posting into a hostile network: vetted addresses, bounded time and bytes, a closed outcome.
//!
//! One call, [`Egress::post`], or [`Egress::call`] for another method, carries one attempt from the host name to the
//! last byte of the answer. Whatever the other side does, the call ends within the time limit, holds a bounded number
//! of bytes, and comes back as an [`Attempt`] whose outcome is one of a closed list.
//!
//! What this crate must not do: decide about retries, sign, follow a redirect, dial an address that the
//! [`AddressPolicy`] has not passed, send a request a second time once any of it may have been read, start a task,
//! or write a log line.
//!
//! Start reading at [`Egress::post`] (`post.rs`), then `connector.rs` for what is dialled and `connection.rs` for
//! how one HTTP exchange is driven without a task.

mod address;
mod connection;
mod connector;
mod network;
mod pool;
mod post;
mod retry_after;
mod url;

use std::time::Duration;

pub use rustls::pki_types::CertificateDer;

pub use crate::address::{AddressKind, AddressPolicy};
pub use crate::network::{NETWORKS_MAX, Network, NetworkError, Networks};
pub use crate::post::{Attempt, Call, Called, Egress, Post, Timings};
pub use crate::retry_after::retry_after;
pub use crate::url::{EndpointUrl, URL_BYTES_MAX, UrlRefused, UrlRules};

/// The smallest `answer_head_bytes_max` that the HTTP parser can work with.
pub const ANSWER_HEAD_BYTES_MIN: usize = 8 * 1024;

/// The longest time that either time-out may be set to.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(60 * 60);

/// The limits and rules of all posts.
#[derive(Clone, Debug)]
pub struct EgressConfig {
    /// The time limit of the whole exchange: resolve, connect, TLS, request, answer body.
    pub exchange_timeout: Duration,
    /// How much of an answer's body is read and kept. A longer body costs the connection, never the outcome.
    pub answer_bytes_max: usize,
    /// How long an answer's head may be, informational answers before it included.
    pub answer_head_bytes_max: usize,
    /// How many idle connections are kept for one scheme, host and port.
    pub idle_per_host_max: usize,
    /// How long an idle connection is kept. Many servers close one after 5 seconds, and a post that meets that
    /// moment is lost, so the default stays below.
    pub idle_timeout: Duration,
    /// Which addresses may be dialled.
    pub addresses: AddressPolicy,
    /// Refuse `http` URLs.
    pub https_required: bool,
    /// Certificate authorities that are trusted beside the public ones.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// The `User-Agent` of every request that does not bring its own.
    pub user_agent: String,
}

impl Default for EgressConfig {
    fn default() -> Self {
        EgressConfig {
            exchange_timeout: Duration::from_secs(10),
            answer_bytes_max: 16 * 1024,
            answer_head_bytes_max: 64 * 1024,
            idle_per_host_max: 32,
            idle_timeout: Duration::from_secs(4),
            addresses: AddressPolicy::PublicOnly,
            https_required: true,
            extra_roots: Vec::new(),
            user_agent: concat!("hookit/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl EgressConfig {
    /// What an endpoint's URL has to keep to under this configuration.
    pub fn url_rules(&self) -> UrlRules {
        UrlRules { addresses: self.addresses, https_required: self.https_required }
    }
}

/// A configuration that no post could be made with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The user agent holds bytes that a header may not.
    #[error("user_agent is not a header value; expected visible ASCII")]
    UserAgent,
    /// The head limit is below what the parser needs.
    #[error("answer_head_bytes_max is {0}; expected {ANSWER_HEAD_BYTES_MIN} or more")]
    AnswerHeadBytesMax(usize),
    /// No time at all, or as good as no limit.
    #[error("exchange_timeout is {0:?}; expected more than zero and at most {TIMEOUT_MAX:?}")]
    ExchangeTimeout(Duration),
    /// As good as no limit.
    #[error("idle_timeout is {0:?}; expected at most {TIMEOUT_MAX:?}")]
    IdleTimeout(Duration),
    /// One of the extra roots is no certificate that can be trusted as a root.
    #[error("extra root {index} cannot be used as a trusted certificate")]
    ExtraRoot {
        /// Its place in the list, from 0.
        index: usize,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The TLS library refused its own defaults.
    #[error("no TLS client configuration")]
    Tls(#[source] rustls::Error),
}
