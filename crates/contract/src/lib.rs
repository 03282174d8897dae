//! The wire between klikit and its partners, as types and pure functions.
//!
//! Everything that both halves of hookit must agree on is here, once: the order record and how a field of it is
//! changed without touching the rest, the statuses and the moves between them, the envelope's bytes, the signature,
//! the error codes, the states of a delivery and the outcomes of an attempt.
//!
//! What this crate must not do: input or output, reading a clock, async. A partner that writes its own receiver in
//! Rust depends on this crate alone; with the feature `axum` it has an extractor, `Webhook`, which reads a request and
//! verifies it. `examples/receiver.rs` is a whole receiver.
//!
//! Start reading at [`Record`], then [`OrderStatus`] and [`check_move`], then [`Envelope`].

mod delivery;
mod envelope;
mod error_code;
mod event;
#[cfg(feature = "axum")]
mod extract;
mod freshness;
mod fulfillment;
mod ids;
mod object;
mod record;
mod signature;
mod status;
mod time;

pub use delivery::{AttemptOutcome, DeliveryState, TEST_DELIVERY_PREFIX};
pub use envelope::{Envelope, EnvelopeError, EnvelopeOrder, envelope_bytes};
pub use error_code::ErrorCode;
pub use event::{EventType, UnknownEventType, header};
#[cfg(feature = "axum")]
pub use extract::{BODY_BYTES_MAX, SignedWebhook, Webhook, WebhookRejection, WebhookSecrets};
pub use freshness::{Freshness, RecordState};
pub use fulfillment::FULFILLMENT_STATUSES;
pub use ids::{
    BranchId, BrandId, BusinessId, DeliveryId, DeliverySeq, EndpointId, OrderId, PartnerId, ReplayId,
    TokenId, WebhookId,
};
pub use object::{DEPTH_MAX, depth_fits};
pub use record::{CART_FIELDS, Changes, OWNED_FIELDS, OwnedFields, RECORD_FAULTS_MAX, Record, RecordError};
pub use signature::{SIGNATURE_HEX_LEN, Signature, SignatureMismatch, WebhookSecret};
pub use status::{
    Actor, GivenReason, KnownStatus, MoveRefusal, MoveVerdict, OrderStatus, PartnerMove, REASON_CHARS_MAX,
    ReasonFault, StatusCodes, StatusCodesError, check_move, check_partner_move,
};
pub use time::{Clock, Timestamp, TimestampError};
