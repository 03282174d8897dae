//! From a stored delivery to the request that is posted: bytes, signature, headers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookit_contract::{PartnerId, Timestamp, WebhookSecret, header};
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

/// The request for a delivery, or in words why none can be made. It is signed with the secret that is current now.
pub(crate) fn post(
    vault: &Vault,
    rules: &UrlRules,
    payload: Payload,
    now: Timestamp,
) -> Result<Post, String> {
    let url = EndpointUrl::parse(&payload.url, rules).map_err(|error| error.to_string())?;
    let next = payload.webhook_secret_next.as_ref().filter(|(_, current_at)| *current_at <= now);
    let sealed = next.map_or(&payload.webhook_secret, |(sealed, _)| sealed);
    let secret = webhook_secret(vault, &payload.partner_id, sealed)
        .ok_or("the partner's webhook secret cannot be read with this key")?;
    let signature = secret.sign(&payload.body);
    let mut headers = HeaderMap::with_capacity(5);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut ours = |name: &'static str, value: &str| {
        let value = HeaderValue::from_str(value).expect("ids, types and hex digits are visible ASCII");
        headers.insert(HeaderName::from_static(name), value);
    };
    ours(header::SIGNATURE, signature.as_str());
    ours(header::EVENT_ID, payload.delivery_id.as_str());
    ours(header::EVENT_TYPE, payload.event_type.as_str());
    if let Some(sealed) = &payload.basic_auth {
        let pair = vault
            .open_sealed(&basic_auth_place(&payload.partner_id), sealed)
            .ok_or("the registration's Basic authorization cannot be read with this key")?;
        let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(&*pair)));
        let mut value = HeaderValue::from_str(&value).expect("base64 is visible ASCII");
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(Post { url, headers, body: payload.body })
}
