//! The three event types, and the names of the headers that a webhook carries.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Header names of a webhook request, in lowercase as HTTP libraries want them.
pub mod header {
    /// HMAC-SHA256 of the raw body in lowercase hex.
    pub const SIGNATURE: &str = "x-klikit-signature";
    /// The delivery's id: the same on every retry and every replay.
    pub const EVENT_ID: &str = "x-klikit-event-id";
    /// The event type.
    pub const EVENT_TYPE: &str = "x-klikit-event-type";
}

/// What happened to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum EventType {
    /// A new order arrived, from any surface.
    #[serde(rename = "klikit.order.created.v2")]
    OrderCreated,
    /// An order moved to another status.
    #[serde(rename = "klikit.order.status.updated")]
    OrderStatusUpdated,
    /// The items of an order in progress were edited.
    #[serde(rename = "klikit.order.cart.updated")]
    OrderCartUpdated,
}

/// A text that names no event type.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not an event type; expected one of {}", EventType::names())]
pub struct UnknownEventType {
    text: String,
}

impl EventType {
    /// All event types.
    pub const ALL: [EventType; 3] =
        [EventType::OrderCreated, EventType::OrderStatusUpdated, EventType::OrderCartUpdated];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            EventType::OrderCreated => "klikit.order.created.v2",
            EventType::OrderStatusUpdated => "klikit.order.status.updated",
            EventType::OrderCartUpdated => "klikit.order.cart.updated",
        }
    }

    fn names() -> String {
        EventType::ALL.map(EventType::as_str).join(", ")
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventType {
    type Err = UnknownEventType;

    fn from_str(text: &str) -> Result<Self, UnknownEventType> {
        EventType::ALL
            .into_iter()
            .find(|t| t.as_str() == text)
            .ok_or_else(|| UnknownEventType { text: text.chars().take(64).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_type_is_read_back_from_its_name_by_both_readers() {
        for event_type in EventType::ALL {
            assert_eq!(event_type.as_str().parse(), Ok(event_type));
            let json = serde_json::to_string(&event_type).unwrap();
            assert_eq!(json, format!("\"{event_type}\""));
            assert_eq!(serde_json::from_str::<EventType>(&json).unwrap(), event_type);
        }
    }

    #[test]
    fn an_unknown_event_type_is_refused_with_the_names_that_exist() {
        let message = "klikit.order.created".parse::<EventType>().unwrap_err().to_string();
        assert!(message.contains("klikit.order.created.v2"), "{message}");
    }
}
