//! Operator tokens: who may do what over the operator API. Secrets are opaque here: hashed by the caller.

use bytes::Bytes;
use hookit_contract::{Timestamp, TokenId};

/// Tokens that have not been revoked, at most.
pub const TOKENS_MAX: usize = 1_000;

/// What an operator token allows. Which call asks for which is the caller's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Read, and replay.
    Support,
    /// Post orders.
    Surface,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 3] = [Role::Admin, Role::Support, Role::Surface];

    /// The word for it, in the store and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Support => "support",
            Role::Surface => "surface",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Role::ALL.into_iter().find(|role| role.as_str() == text).ok_or(())
    }
}

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorToken {
    /// Its id.
    pub token_id: TokenId,
    /// Whose it is.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

/// Which tokens to list, by id.
#[derive(Clone, Copy, Debug)]
pub struct TokenQuery {
    /// Only those behind this one.
    pub after: Option<TokenId>,
    /// From the last one down, instead of from the first one up.
    pub newest_first: bool,
    /// At most so many.
    pub limit: usize,
}

/// A token to be kept.
#[derive(Clone)]
pub struct NewToken {
    /// Whose it is.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// A keyed hash of it.
    pub token_hash: Bytes,
}

/// What became of revoking a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRevoked {
    /// It is revoked since now.
    Done,
    /// It was revoked before, and is so since then.
    Unchanged,
    /// There is no such token.
    NoSuchToken,
}

/// What became of a new token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddToken {
    /// It is kept.
    Added(OperatorToken),
    /// A token of that name is in use.
    NameTaken,
    /// There are [`TOKENS_MAX`] in use.
    TooMany,
}
