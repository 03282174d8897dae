//! From a stored delivery to the request that is posted: bytes, signature, headers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookit_contract::{PartnerId, Timestamp, WebhookId, WebhookSecret, header};
use hookit_egress::{EndpointUrl, Post, UrlRules};
use hookit_store::platform::Payload;
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION, header::CONTENT_TYPE};
use zeroize::Zeroizing;

use crate::vault::Vault;

/// Where a partner's webhook secret is sealed for.
pub(crate) fn secret_place(partner_id: &PartnerId) -> String {
    format!("partner {partner_id}: webhook_secret_key")
}

/// Where a partner's Basic authorization for its own endpoint is sealed for. Not bound to the registration, because
/// it is sealed before the registration has an id.
pub(crate) fn basic_auth_place(partner_id: &PartnerId) -> String {
    format!("partner {partner_id}: basic_auth")
}

/// A partner's webhook secret; none where the key is not the one it was sealed with.
pub(crate) fn webhook_secret(vault: &Vault, partner_id: &PartnerId, sealed: &[u8]) -> Option<WebhookSecret> {
    Some(WebhookSecret::new(&vault.open_sealed(&secret_place(partner_id), sealed)?))
}

/// Registrations whose secrets and URL are kept ready at most; beyond it all are made ready anew.
const READY_MAX: usize = 4096;

/// Makes requests of payloads. What only changes with a registration is kept ready from one to the next: the parsed URL, the
/// opened secrets. The webhook secret is kept as what signs, and none is kept longer than it is asked for.
pub(crate) struct Posts {
    vault: Vault,
    rules: UrlRules,
    ready: Mutex<HashMap<WebhookId, Arc<Ready>>>,
}

/// What a registration's requests are made with.
struct Ready {
    made_from: MadeFrom,
    url: EndpointUrl,
    secret: WebhookSecret,
    authorization: Option<HeaderValue>,
}

/// What it was made from, as it is in the store.
#[derive(PartialEq, Eq)]
struct MadeFrom {
    partner_id: PartnerId,
    url: String,
    webhook_secret: Bytes,
    basic_auth: Option<Bytes>,
}

impl Posts {
    pub(crate) fn new(vault: Vault, rules: UrlRules) -> Self {
        Posts { vault, rules, ready: Mutex::default() }
    }

    /// The request for a delivery, or in words why none can be made. It is signed with the secret that is current now.
    pub(crate) fn post(&self, payload: Payload, now: Timestamp) -> Result<Post, String> {
        let next = payload.webhook_secret_next.filter(|(_, current_at)| *current_at <= now);
        let made_from = MadeFrom {
            partner_id: payload.partner_id,
            url: payload.url,
            webhook_secret: next.map_or(payload.webhook_secret, |(sealed, _)| sealed),
            basic_auth: payload.basic_auth,
        };
        let ready = self.ready(payload.webhook_id, made_from)?;
        let signature = ready.secret.sign(&payload.body);
        let mut headers = HeaderMap::with_capacity(5);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut ours = |name: &'static str, value: &str| {
            let value = HeaderValue::from_str(value).expect("ids, types and hex digits are visible ASCII");
            headers.insert(HeaderName::from_static(name), value);
        };
        ours(header::SIGNATURE, signature.as_str());
        ours(header::EVENT_ID, payload.delivery_id.as_str());
        ours(header::EVENT_TYPE, payload.event_type.as_str());
        if let Some(authorization) = &ready.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        Ok(Post { url: ready.url.clone(), headers, body: payload.body })
    }

    fn ready(&self, webhook_id: WebhookId, made_from: MadeFrom) -> Result<Arc<Ready>, String> {
        let all = || self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = all().get(&webhook_id)
            && ready.made_from == made_from
        {
            return Ok(Arc::clone(ready));
        }
        let ready = Arc::new(self.make_ready(made_from)?);
        let mut all = all();
        if all.len() >= READY_MAX {
            all.clear();
        }
        all.insert(webhook_id, Arc::clone(&ready));
        Ok(ready)
    }

    fn make_ready(&self, made_from: MadeFrom) -> Result<Ready, String> {
        let partner_id = &made_from.partner_id;
        let url = EndpointUrl::parse(&made_from.url, &self.rules).map_err(|error| error.to_string())?;
        let secret = webhook_secret(&self.vault, partner_id, &made_from.webhook_secret)
            .ok_or("the partner's webhook secret cannot be read with this key")?;
        let authorization = match &made_from.basic_auth {
            None => None,
            Some(sealed) => {
                let pair = self
                    .vault
                    .open_sealed(&basic_auth_place(partner_id), sealed)
                    .ok_or("the registration's Basic authorization cannot be read with this key")?;
                let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(&*pair)));
                let mut value = HeaderValue::from_str(&value).expect("base64 is visible ASCII");
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Ready { made_from, url, secret, authorization })
    }
}
