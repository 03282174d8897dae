//! The states of a delivery and the outcomes of an attempt: closed lists, shared by the engine that decides, the
//! store that keeps and the shell that sends. An outcome stays this enum from the socket into `webhook_logs`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::DeliveryId;

/// A longer `x-klikit-event-id` is not taken, so that nobody's header sizes a receiver's index.
const DELIVERY_ID_BYTES_MAX: usize = 255;

impl DeliveryId {
    /// The id under which a receiver keeps a delivery, by the value of `x-klikit-event-id` and the body; and whether it is the
    /// sender's own.
    ///
    /// A genuine delivery without one that can be used is taken in all the same: refused, it would be lost in the end, and
    /// an order with it. The hash of its body stands in: the sender's retries carry the same bytes, so they are still
    /// known as repeats, and equal bytes are an equal state of the same orders, so ignoring them loses nothing.
    pub fn received(given: Option<&[u8]>, body: &[u8]) -> (DeliveryId, bool) {
        let given = given
            .and_then(|value| std::str::from_utf8(value).ok())
            .map(str::trim)
            .filter(|id| !id.is_empty() && id.len() <= DELIVERY_ID_BYTES_MAX);
        match given {
            Some(id) => (DeliveryId::from(id), true),
            None => {
                let digits =
                    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
                (DeliveryId::from(format!("sha256:{digits}")), false)
            }
        }
    }
}

/// Where a delivery stands. Only `Pending` is not final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Not acknowledged yet: waits for its turn, for its next attempt, or for the answer to one.
    Pending,
    /// Acknowledged by the partner with a 2xx.
    Delivered,
    /// Given up after the last attempt of the plan or the hold time. Visible, counted, can be sent again.
    Dead,
    /// Taken back by a named operator.
    Cancelled,
    /// Never sent, because a newer one of the same order was waiting, at a registration that wants only that.
    Superseded,
}

impl DeliveryState {
    /// All states.
    pub const ALL: [DeliveryState; 5] = [
        DeliveryState::Pending,
        DeliveryState::Delivered,
        DeliveryState::Dead,
        DeliveryState::Cancelled,
        DeliveryState::Superseded,
    ];

    /// The word for it, in the store, in the API and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            DeliveryState::Pending => "pending",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Dead => "dead",
            DeliveryState::Cancelled => "cancelled",
            DeliveryState::Superseded => "superseded",
        }
    }
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DeliveryState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        DeliveryState::ALL.into_iter().find(|s| s.as_str() == text).ok_or(())
    }
}

/// What the id of a test of a registration begins with. Its order is none, has no id that an order may have, and says so: a receiver
/// that has verified it has nothing else to do with it.
pub const TEST_DELIVERY_PREFIX: &str = "test_";

/// How one attempt ended. 2xx within the time limit is delivered; everything else is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// The partner answered 2xx in time.
    Acknowledged,
    /// The partner answered, with another status (3xx included: redirects are not followed).
    Refused,
    /// The whole exchange did not end within the time limit.
    TimedOut,
    /// The endpoint's host name has no address.
    NameNotResolved,
    /// Every address of the endpoint is one that may not be dialled.
    AddressForbidden,
    /// No connection: refused, unreachable, reset while connecting.
    ConnectFailed,
    /// The TLS handshake failed: certificate, name, protocol.
    TlsFailed,
    /// The connection broke after the request was begun and before the end of the answer. A refusal whose body breaks
    /// off stays a refusal.
    ConnectionLost,
    /// What came back is not HTTP, or its head is over the size limit.
    AnswerUnreadable,
}

impl AttemptOutcome {
    /// All outcomes.
    pub const ALL: [AttemptOutcome; 9] = [
        AttemptOutcome::Acknowledged,
        AttemptOutcome::Refused,
        AttemptOutcome::TimedOut,
        AttemptOutcome::NameNotResolved,
        AttemptOutcome::AddressForbidden,
        AttemptOutcome::ConnectFailed,
        AttemptOutcome::TlsFailed,
        AttemptOutcome::ConnectionLost,
        AttemptOutcome::AnswerUnreadable,
    ];

    /// The word for it, in `webhook_logs`, in the API and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            AttemptOutcome::Acknowledged => "acknowledged",
            AttemptOutcome::Refused => "refused",
            AttemptOutcome::TimedOut => "timed_out",
            AttemptOutcome::NameNotResolved => "name_not_resolved",
            AttemptOutcome::AddressForbidden => "address_forbidden",
            AttemptOutcome::ConnectFailed => "connect_failed",
            AttemptOutcome::TlsFailed => "tls_failed",
            AttemptOutcome::ConnectionLost => "connection_lost",
            AttemptOutcome::AnswerUnreadable => "answer_unreadable",
        }
    }

    /// True for an outcome that comes with an HTTP status.
    pub const fn has_status(self) -> bool {
        matches!(self, AttemptOutcome::Acknowledged | AttemptOutcome::Refused)
    }
}

impl fmt::Display for AttemptOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AttemptOutcome {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        AttemptOutcome::ALL.into_iter().find(|o| o.as_str() == text).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_and_outcome_has_one_word_in_text_and_in_json() {
        for state in DeliveryState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{state}\""));
        }
        for outcome in AttemptOutcome::ALL {
            assert_eq!(outcome.as_str().parse(), Ok(outcome));
            assert_eq!(serde_json::to_string(&outcome).unwrap(), format!("\"{outcome}\""));
        }
    }
}
