//! What a partner or an operator asks for under a key of its own, and that is done once however often it is asked for.

use std::time::Duration;

use bytes::Bytes;
use hookit_contract::{BusinessId, OrderId, PartnerId, PartnerMove, Timestamp, TokenId};

use super::Reason;

/// How long a key is remembered.
pub const KEYS_KEPT: Duration = Duration::from_secs(86_400);

/// Under which key something is asked for.
#[derive(Clone, Debug)]
pub struct OnceKey {
    /// Whose key it is.
    pub partner_id: PartnerId,
    /// The key.
    pub key: String,
    /// A hash of what is asked for: the same key may not stand for two things.
    pub request_hash: [u8; 32],
}

/// Under which key an operator or a surface asks for a change of an order.
#[derive(Clone, Debug)]
pub struct OperatorKey {
    /// Whose key it is; 0 for the token that the platform was started with.
    pub token_id: TokenId,
    /// The key.
    pub key: String,
    /// A hash of what is asked for: the same key may not stand for two things.
    pub request_hash: [u8; 32],
}

/// What became of something that is done once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Once<T> {
    /// What became of it, when it was asked for first.
    Done(T),
    /// The key stands for something else.
    KeyTaken,
}

/// A move that a partner asks for.
#[derive(Clone, Debug)]
pub struct PartnerMoveRequest {
    /// The partner's business; an order of another one is not there.
    pub business_id: BusinessId,
    /// The order.
    pub order_id: OrderId,
    /// What is asked.
    pub asked: PartnerMove,
    /// Why, for a cancellation.
    pub reason: Option<Reason>,
    /// When it happened at the restaurant.
    pub occurred_at: Option<Timestamp>,
}

/// What became of a move that a partner asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartnerMoved {
    /// The order's record after it.
    Order(Bytes),
    /// There is no such order.
    NoSuchOrder,
    /// The order may not make this move, in words.
    Refused(String),
}
