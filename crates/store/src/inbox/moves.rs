//! Moves that a partner's own people ask for, kept until the platform has said what became of them.

use bytes::Bytes;
use hookit_contract::{OrderId, PartnerMove, Timestamp};

/// Moves that wait for the platform's word, at most.
pub const MOVES_PENDING_MAX: u64 = 1_000;

/// A move to be kept before it is tried for the first time.
#[derive(Clone, Debug)]
pub struct NewMove {
    /// Its id, and its key at the platform: whatever happens in between, the platform makes it once.
    pub move_id: String,
    /// The key under which it was asked for here, where the asker gave one.
    pub key: Option<String>,
    /// What that key stands for: a hash of the order and the body.
    pub request_hash: [u8; 32],
    /// The order.
    pub order_id: OrderId,
    /// The move.
    pub asked: PartnerMove,
    /// What is sent to the platform, the same bytes at each try.
    pub body: Bytes,
    /// When it was asked for.
    pub asked_at: Timestamp,
}

/// What became of the asking.
#[derive(Clone, Debug)]
pub enum MoveAsked {
    /// It is on disk.
    New,
    /// It was asked for before, under the same key.
    Same(OrderMove),
    /// The key stands for another move.
    KeyTaken,
    /// [`MOVES_PENDING_MAX`] are pending.
    TooMany,
}

/// Where a move stands. `Pending` alone is not final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveState {
    /// It is still to be made; it may have been made, and the answer been lost.
    Pending,
    /// The platform has made it.
    Done,
    /// The platform does not make it.
    Refused,
    /// The platform gave no answer for too long.
    GivenUp,
}

impl MoveState {
    /// All states.
    pub const ALL: [MoveState; 4] =
        [MoveState::Pending, MoveState::Done, MoveState::Refused, MoveState::GivenUp];

    /// The word for it, in the table, the API and the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            MoveState::Pending => "pending",
            MoveState::Done => "done",
            MoveState::Refused => "refused",
            MoveState::GivenUp => "given_up",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<MoveState> {
        MoveState::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// A move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderMove {
    /// Its id, and its key at the platform.
    pub move_id: String,
    /// The order.
    pub order_id: OrderId,
    /// The move.
    pub asked: PartnerMove,
    /// What is sent.
    pub body: Bytes,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Where it stands.
    pub state: MoveState,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The code of the refusal, as the platform gave it.
    pub code: Option<String>,
    /// Why it was refused or given up, in words.
    pub message: Option<String>,
}

/// How a move ended.
#[derive(Clone, Debug)]
pub struct MoveEnd {
    /// A final state.
    pub state: MoveState,
    /// The code of the refusal.
    pub code: Option<String>,
    /// Why, in words.
    pub message: Option<String>,
    /// When.
    pub ended_at: Timestamp,
}
