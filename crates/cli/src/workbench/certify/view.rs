//! A receiver's own view of the orders, where it shows one: any JSON in which an order's object has its `id` and `status`.

use hookit_contract::{AttemptOutcome, Clock as _, KnownStatus, StatusCodes};
use hookit_egress::{AddressPolicy, Call, Egress, EgressConfig, EndpointUrl, UrlRules};
use hookit_server::SystemClock;
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::Value;

use super::run::answered;
use crate::exit::{Exit, coded, usage};

/// The largest view that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What stands in the URL for an order's id.
const PLACE: &str = "{id}";

/// A view that can be asked.
pub(super) struct View {
    egress: Egress,
    rules: UrlRules,
    url: String,
    authorization: Option<HeaderValue>,
}

/// What a view has of one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) status: Option<i64>,
    pub(super) version: Option<i64>,
}

impl View {
    pub(super) fn new(url: &str, token_variable: Option<&str>) -> anyhow::Result<Self> {
        let config = EgressConfig {
            addresses: AddressPolicy::AllowPrivate,
            https_required: false,
            answer_bytes_max: ANSWER_BYTES_MAX,
            ..EgressConfig::default()
        };
        let rules = config.url_rules();
        let view = View { egress: Egress::new(config)?, rules, url: url.to_owned(), authorization: None };
        view.url_of(0)?;
        let authorization = token_variable.map(|name| {
            let token =
                std::env::var(name).map_err(|_| usage(format!("--view-token-env: {name} is not set")))?;
            let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
                usage(format!("--view-token-env: {name} has characters that no header may have"))
            })?;
            value.set_sensitive(true);
            anyhow::Ok(value)
        });
        Ok(View { authorization: authorization.transpose()?, ..view })
    }

    fn url_of(&self, id: i64) -> anyhow::Result<EndpointUrl> {
        let url = self.url.replace(PLACE, &id.to_string());
        EndpointUrl::parse(&url, &self.rules).map_err(|error| usage(format!("--view-url: {error}")))
    }

    /// What it has of this order now.
    pub(super) async fn order(&self, id: i64) -> anyhow::Result<Option<Seen>> {
        let mut headers = HeaderMap::new();
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        let call = Call { method: Method::GET, url: self.url_of(id)?, headers, body: bytes::Bytes::new() };
        let attempt = self.egress.call(call, SystemClock.now()).await.attempt;
        if attempt.status == Some(404) && self.url.contains(PLACE) {
            return Ok(None);
        }
        if attempt.outcome != AttemptOutcome::Acknowledged {
            let exit = if attempt.status.is_some() { Exit::Refused } else { Exit::Unreachable };
            return Err(coded(exit, format!("--view-url {}: {}", self.url, answered(&attempt))));
        }
        let view: Value = serde_json::from_slice(&attempt.answer).map_err(|error| {
            coded(Exit::Refused, format!("--view-url {}: expected JSON: {error}", self.url))
        })?;
        Ok(find(&view, id))
    }
}

/// The object with this id and a status, wherever it is.
fn find(value: &Value, id: i64) -> Option<Seen> {
    match value {
        Value::Array(list) => list.iter().find_map(|value| find(value, id)),
        Value::Object(fields) => {
            if fields.contains_key("status") && fields.get("id").and_then(integer) == Some(id) {
                let status = &fields["status"];
                let named = || KnownStatus::from_name(status.as_str()?);
                let status = integer(status).or_else(|| Some(StatusCodes::default().code(named()?)));
                return Some(Seen { status, version: fields.get("version").and_then(integer) });
            }
            fields.values().find_map(|value| find(value, id))
        }
        _ => None,
    }
}

/// A whole number, also one that is written as a text.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_found_in_whatever_shape_the_view_has() {
        let seen = |status, version| Some(Seen { status: Some(status), version });
        for (view, expected) in [
            (r#"[{"id":1,"status":4},{"id":7,"status":2,"version":3}]"#, seen(2, Some(3))),
            (r#"{"data":{"orders":[{"id":"7","status":"ready"}]}}"#, seen(4, None)),
            (r#"{"request_id":"x","data":{"id":7,"status":99,"version":null}}"#, seen(99, None)),
            (r#"{"7":{"id":7,"status":1}}"#, seen(1, None)),
            (r#"[{"id":7}, {"id":70,"status":1}, 7, null]"#, None),
            (r#"[{"id":7.0,"status":1}]"#, None),
        ] {
            assert_eq!(find(&serde_json::from_str(view).unwrap(), 7), expected, "{view}");
        }
    }
}
