//! The closed list of error codes that the APIs answer with, and the HTTP status of each.

use std::fmt;

use serde::Serialize;

/// An error code of the Partner API and the operator API (CONTRACT.md section 7). The ones marked *ours* complete
/// the published list where it is silent; a partner's client meets them only when it sends what HTTP itself forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// No credentials.
    AuthMissing,
    /// Credentials that are not valid; key and secret are not told apart.
    AuthInvalidCredential,
    /// A credential that was revoked.
    AuthRevoked,
    /// A credential without the scope for the call.
    AuthForbidden,
    /// The request is not what the call expects; the message names the field.
    RequestInvalid,
    /// A write without `Idempotency-Key`.
    RequestMissingIdempotencyKey,
    /// A time window over 90 days.
    RequestInvalidRange,
    /// A place to go on from that lies before what is kept (ours).
    RequestCursorExpired,
    /// The body is over the limit (ours).
    RequestTooLarge,
    /// The body is in an encoding that is not taken (ours).
    RequestEncodingUnsupported,
    /// A header is over the limit (ours).
    RequestHeaderTooLarge,
    /// The request did not arrive within the time limit (ours).
    RequestTimeout,
    /// The path exists, not with this method (ours).
    RequestMethodNotAllowed,
    /// There is no such thing, or it belongs to another business.
    ResourceNotFound,
    /// The order cannot make this move.
    StateInvalidTransition,
    /// The same key or id was used for something else.
    StateIdempotencyConflict,
    /// Over the limit of requests (ours).
    RateLimited,
    /// A fault on our side (ours).
    Internal,
    /// Not now: a queue is full, or the server is stopping (ours).
    Unavailable,
}

impl ErrorCode {
    /// All codes.
    pub const ALL: [ErrorCode; 19] = [
        ErrorCode::AuthMissing,
        ErrorCode::AuthInvalidCredential,
        ErrorCode::AuthRevoked,
        ErrorCode::AuthForbidden,
        ErrorCode::RequestInvalid,
        ErrorCode::RequestMissingIdempotencyKey,
        ErrorCode::RequestInvalidRange,
        ErrorCode::RequestCursorExpired,
        ErrorCode::RequestTooLarge,
        ErrorCode::RequestEncodingUnsupported,
        ErrorCode::RequestHeaderTooLarge,
        ErrorCode::RequestTimeout,
        ErrorCode::RequestMethodNotAllowed,
        ErrorCode::ResourceNotFound,
        ErrorCode::StateInvalidTransition,
        ErrorCode::StateIdempotencyConflict,
        ErrorCode::RateLimited,
        ErrorCode::Internal,
        ErrorCode::Unavailable,
    ];

    /// The code on the wire, and the HTTP status it comes with.
    const fn row(self) -> (&'static str, u16) {
        match self {
            ErrorCode::AuthMissing => ("auth_missing", 401),
            ErrorCode::AuthInvalidCredential => ("auth_invalid_credential", 401),
            ErrorCode::AuthRevoked => ("auth_revoked", 403),
            ErrorCode::AuthForbidden => ("auth_forbidden", 403),
            ErrorCode::RequestInvalid => ("request_invalid", 400),
            ErrorCode::RequestMissingIdempotencyKey => ("request_missing_idempotency_key", 400),
            ErrorCode::RequestInvalidRange => ("request_invalid_range", 400),
            ErrorCode::RequestCursorExpired => ("request_cursor_expired", 410),
            ErrorCode::RequestTooLarge => ("request_too_large", 413),
            ErrorCode::RequestEncodingUnsupported => ("request_encoding_unsupported", 415),
            ErrorCode::RequestHeaderTooLarge => ("request_header_too_large", 431),
            ErrorCode::RequestTimeout => ("request_timeout", 408),
            ErrorCode::RequestMethodNotAllowed => ("request_method_not_allowed", 405),
            ErrorCode::ResourceNotFound => ("resource_not_found", 404),
            ErrorCode::StateInvalidTransition => ("state_invalid_transition", 409),
            ErrorCode::StateIdempotencyConflict => ("state_idempotency_conflict", 409),
            ErrorCode::RateLimited => ("rate_limited", 429),
            ErrorCode::Internal => ("internal", 500),
            ErrorCode::Unavailable => ("unavailable", 503),
        }
    }

    /// The code on the wire.
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The code that is spelled so on the wire.
    pub fn from_word(word: &str) -> Option<ErrorCode> {
        ErrorCode::ALL.into_iter().find(|code| code.as_str() == word)
    }

    /// The HTTP status.
    pub const fn http_status(self) -> u16 {
        self.row().1
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_spelled_alike_in_text_and_in_json_and_is_an_error_status() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{code}\""));
            assert!((400..600).contains(&code.http_status()), "{code}");
            assert_eq!(ErrorCode::from_word(code.as_str()), Some(code));
        }
        assert_eq!(ErrorCode::from_word("Internal"), None);
    }
}
