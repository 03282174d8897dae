//! A sink that is the partner's own application: a signed POST for each change, as klikit itself would send it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookit_contract::{Clock, EventType, WebhookSecret, header};
use hookit_egress::{AddressPolicy, Egress, EgressConfig, EndpointUrl, Post};
use hookit_server::Secret;
use hookit_store::inbox::Change;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use super::message;
use super::target::{Handed, Target, chain};
use super::tls;
use crate::BasicAuth;

/// The settings of an HTTP sink.
#[derive(Clone, Debug)]
pub struct HttpSink {
    /// Where changes are posted to.
    pub url: String,
    /// What they are signed with.
    pub secret: Secret,
    /// A user and password to be sent with each, where the application wants them.
    pub basic_auth: Option<BasicAuth>,
    /// Whether private addresses may be dialled. An application on the same machine or network is the usual case, and
    /// the URL is the partner's own.
    pub private_addresses: bool,
    /// Authorities that are trusted beside the public ones.
    pub ca_file: Option<PathBuf>,
}

pub(crate) struct Http {
    egress: Egress,
    url: EndpointUrl,
    secret: WebhookSecret,
    authorization: Option<HeaderValue>,
    clock: Arc<dyn Clock>,
}

impl Http {
    pub(crate) fn new(config: &HttpSink, timeout: Duration, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let egress = EgressConfig {
            exchange_timeout: timeout,
            addresses: if config.private_addresses {
                AddressPolicy::AllowPrivate
            } else {
                AddressPolicy::PublicOnly
            },
            https_required: false,
            extra_roots: config.ca_file.as_deref().map(tls::authorities).transpose()?.unwrap_or_default(),
            ..EgressConfig::default()
        };
        let url =
            EndpointUrl::parse(&config.url, &egress.url_rules()).map_err(|error| format!("url: {error}"))?;
        if config.secret.expose().is_empty() {
            return Err("secret: is empty, and anybody can sign with an empty one".to_owned());
        }
        let authorization = match &config.basic_auth {
            None => None,
            Some(BasicAuth { user, .. }) if user.contains(':') => {
                return Err("user: a colon cannot be in it".to_owned());
            }
            Some(BasicAuth { user, password }) => {
                let pair = Zeroizing::new(format!("{user}:{}", password.expose()));
                let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
                let mut value = HeaderValue::from_str(&value).expect("base64 is visible ASCII");
                value.set_sensitive(true);
                Some(value)
            }
        };
        let egress = Egress::new(egress).map_err(|error| chain(&error))?;
        let secret = WebhookSecret::new(config.secret.expose().as_bytes());
        Ok(Http { egress, url, secret, authorization, clock })
    }

    fn post(&self, change: &Change) -> Post {
        let body = message::envelope(change);
        let mut headers = HeaderMap::with_capacity(5);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut ours = |name: &'static str, value: &str| {
            // What came in as a header, or can go out as one: line ends are in none of them.
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        ours(header::SIGNATURE, self.secret.sign(&body).as_str());
        ours(header::EVENT_ID, &message::event_id(change));
        // A receiver looks at the type, so there is one, also where the change was found by asking for it.
        let event_type = change.event_type.as_deref().unwrap_or(EventType::OrderStatusUpdated.as_str());
        ours(header::EVENT_TYPE, event_type);
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        Post { url: self.url.clone(), headers, body }
    }
}

#[async_trait]
impl Target for Http {
    async fn hand_on(&self, changes: &[Change]) -> Vec<Handed> {
        let mut ends = Vec::with_capacity(changes.len());
        for change in changes {
            let attempt = self.egress.post(self.post(change), self.clock.now()).await;
            let answered = attempt.status.map(|status| format!("it answered {status}"));
            ends.push(Handed {
                outcome: attempt.outcome,
                status: attempt.status,
                retry_after: attempt.retry_after,
                error: attempt.error.or(answered),
            });
        }
        ends
    }

    fn batch_max(&self) -> usize {
        1
    }

    fn close_idle(&self) {
        self.egress.close_idle();
    }
}
