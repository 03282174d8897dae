//! Identifiers. Each kind is a type of its own, so that one cannot be passed where another is wanted.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! integer_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

integer_id!(
    /// An order. Given by the platform, unique in an installation, above zero.
    OrderId
);
integer_id!(
    /// A business: the top of the hierarchy business → brands → branches. A credential belongs to exactly one.
    BusinessId
);
integer_id!(
    /// A brand of a business.
    BrandId
);
integer_id!(
    /// A branch: one restaurant, in which one or more brands are sold.
    BranchId
);
integer_id!(
    /// A registration: one URL for one (partner, brand, branch, event type).
    WebhookId
);
integer_id!(
    /// An endpoint: one (partner, URL). Several registrations may point at it; order per order holds within it.
    EndpointId
);
integer_id!(
    /// An operator token; 0 is the one that the platform was started with.
    TokenId
);
integer_id!(
    /// A replay: an operator's order to send many deliveries again.
    ReplayId
);
integer_id!(
    /// A delivery's place in line: in the order in which deliveries were committed, or, from
    /// [`DeliverySeq::REPLAYS_AFTER`] on, in the order in which they were replayed. Internal: partners see
    /// [`DeliveryId`].
    DeliverySeq
);

impl DeliverySeq {
    /// Above every commit and below every replay. A delivery that is replayed stands in line under a number above this
    /// one, and so behind everything fresh, however late that is committed.
    pub const REPLAYS_AFTER: DeliverySeq = DeliverySeq(1 << 62);

    /// The place of the n-th replay; n is above zero.
    pub const fn of_replay(n: i64) -> DeliverySeq {
        DeliverySeq(DeliverySeq::REPLAYS_AFTER.0 + n)
    }

    /// Which replay this is the place of; none for what was committed and not replayed.
    pub const fn replay(self) -> Option<i64> {
        if self.0 > DeliverySeq::REPLAYS_AFTER.0 { Some(self.0 - DeliverySeq::REPLAYS_AFTER.0) } else { None }
    }

    /// True where replays are asked about: for a place of a replay, and for [`DeliverySeq::REPLAYS_AFTER`].
    pub const fn is_among_replays(self) -> bool {
        self.0 >= DeliverySeq::REPLAYS_AFTER.0
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $name(#[cfg_attr(feature = "schema", schemars(with = "String"))] pub Arc<str>);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $name(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                $name(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

text_id!(
    /// A delivery's public id, the value of `x-klikit-event-id`: the same on every attempt and every replay.
    /// Ours are `evt_` and a UUID (version 7) in 32 hex digits; a stranger's may be any text.
    DeliveryId
);
text_id!(
    /// A partner: `ptn_` and a UUID (version 7) in 32 hex digits.
    PartnerId
);
