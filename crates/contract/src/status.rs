//! OrderStatus, its codes, and the one table of moves that everything uses.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The statuses that have a meaning to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KnownStatus {
    /// Arrived, not yet taken by the restaurant.
    Placed,
    /// Taken by the restaurant.
    Accepted,
    /// Called off; there is no way out of it.
    Cancelled,
    /// Cooked and packed.
    Ready,
    /// In the guest's hands: where a delivery order ends.
    Delivered,
    /// Ordered for later; comes before PLACED.
    Scheduled,
    /// A courier is on the way to the restaurant.
    DriverAssigned,
    /// The courier stands at the counter.
    DriverArrived,
    /// Taken by the guest: where a pickup or dine-in order ends, in DELIVERED's place.
    PickedUp,
    /// In the kitchen.
    Preparing,
    /// With the courier.
    Dispatched,
}

/// One row of the status table.
struct Row {
    status: KnownStatus,
    name: &'static str,
    /// klikit's code; for PREPARING and DISPATCHED our default.
    code: i64,
    /// Place on the forward path. A move goes to a higher rank; CANCELLED stands outside, above all.
    rank: u8,
    /// Nothing but an operator's cancellation follows.
    ended: bool,
}

const fn row(status: KnownStatus, name: &'static str, code: i64, rank: u8, ended: bool) -> Row {
    Row { status, name, code, rank, ended }
}

/// The status table: names, codes, and the order of the forward path. In the order of [`KnownStatus`].
const TABLE: [Row; 11] = [
    row(KnownStatus::Placed, "PLACED", 1, 1, false),
    row(KnownStatus::Accepted, "ACCEPTED", 2, 2, false),
    row(KnownStatus::Cancelled, "CANCELLED", 3, 9, true),
    row(KnownStatus::Ready, "READY", 4, 4, false),
    row(KnownStatus::Delivered, "DELIVERED", 5, 8, true),
    row(KnownStatus::Scheduled, "SCHEDULED", 6, 0, false),
    row(KnownStatus::DriverAssigned, "DRIVER_ASSIGNED", 7, 5, false),
    row(KnownStatus::DriverArrived, "DRIVER_ARRIVED", 8, 6, false),
    row(KnownStatus::PickedUp, "PICKED_UP", 9, 8, true),
    row(KnownStatus::Preparing, "PREPARING", 10, 3, false),
    row(KnownStatus::Dispatched, "DISPATCHED", 11, 7, false),
];

impl KnownStatus {
    /// All known statuses, in the order of klikit's codes.
    pub const ALL: [KnownStatus; 11] = {
        let mut all = [KnownStatus::Placed; 11];
        let mut i = 0;
        while i < all.len() {
            all[i] = TABLE[i].status;
            i += 1;
        }
        all
    };

    const fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The name, in capitals as the contract writes it.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The status of that name, in any case.
    pub fn from_name(name: &str) -> Option<KnownStatus> {
        KnownStatus::ALL.into_iter().find(|s| s.name().eq_ignore_ascii_case(name))
    }

    /// Place on the forward path, from 0 (SCHEDULED) to 8 (DELIVERED and PICKED_UP, which exclude each other); 9 for
    /// CANCELLED.
    pub const fn rank(self) -> u8 {
        self.row().rank
    }

    /// True where the order has ended: delivered, picked up or cancelled.
    pub const fn has_ended(self) -> bool {
        self.row().ended
    }

    /// Says how far the kitchen is.
    const fn is_of_the_kitchen(self) -> bool {
        matches!(self, KnownStatus::Accepted | KnownStatus::Preparing | KnownStatus::Ready)
    }

    /// Says where the courier is, while the food may be on the stove still.
    const fn is_of_the_courier(self) -> bool {
        matches!(self, KnownStatus::DriverAssigned | KnownStatus::DriverArrived)
    }

    /// The names of all statuses, for messages.
    pub fn names() -> String {
        KnownStatus::ALL.map(KnownStatus::name).join(", ")
    }
}

impl fmt::Display for KnownStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An order's status as it stands in a record: a known one, or a code that we do not know and keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderStatus {
    /// A status of the table.
    Known(KnownStatus),
    /// Another code. Never an error.
    Unknown(i64),
}

impl OrderStatus {
    /// Place on the forward path, where it is known.
    pub const fn rank(self) -> Option<u8> {
        match self {
            OrderStatus::Known(status) => Some(status.rank()),
            OrderStatus::Unknown(_) => None,
        }
    }
}

impl From<KnownStatus> for OrderStatus {
    fn from(status: KnownStatus) -> Self {
        OrderStatus::Known(status)
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OrderStatus::Known(status) => status.fmt(f),
            OrderStatus::Unknown(code) => write!(f, "UNKNOWN_{code}"),
        }
    }
}

/// Which code stands for which status. klikit publishes 1 to 9; PREPARING and DISPATCHED have codes of our choice,
/// which a configuration may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusCodes {
    codes: [i64; TABLE.len()],
}

/// Codes that cannot be told apart.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("status codes: {first} and {second} cannot both have code {code}")]
pub struct StatusCodesError {
    first: KnownStatus,
    second: KnownStatus,
    code: i64,
}

impl Default for StatusCodes {
    fn default() -> Self {
        let mut codes = [0; TABLE.len()];
        for (code, row) in codes.iter_mut().zip(&TABLE) {
            *code = row.code;
        }
        StatusCodes { codes }
    }
}

impl StatusCodes {
    /// The published codes with other ones for PREPARING and DISPATCHED.
    ///
    /// # Errors
    /// [`StatusCodesError`] where two statuses would share a code.
    pub fn with(preparing: i64, dispatched: i64) -> Result<Self, StatusCodesError> {
        let mut all = StatusCodes::default();
        all.codes[KnownStatus::Preparing as usize] = preparing;
        all.codes[KnownStatus::Dispatched as usize] = dispatched;
        for (i, first) in KnownStatus::ALL.into_iter().enumerate() {
            for second in KnownStatus::ALL.into_iter().skip(i + 1) {
                if all.code(first) == all.code(second) {
                    return Err(StatusCodesError { first, second, code: all.code(first) });
                }
            }
        }
        Ok(all)
    }

    /// The code of a known status.
    pub const fn code(&self, status: KnownStatus) -> i64 {
        self.codes[status as usize]
    }

    /// The code of any status.
    pub const fn code_of(&self, status: OrderStatus) -> i64 {
        match status {
            OrderStatus::Known(status) => self.code(status),
            OrderStatus::Unknown(code) => code,
        }
    }

    /// The status of a code.
    pub fn status(&self, code: i64) -> OrderStatus {
        match KnownStatus::ALL.into_iter().find(|s| self.code(*s) == code) {
            Some(status) => OrderStatus::Known(status),
            None => OrderStatus::Unknown(code),
        }
    }

    /// The status that a text means: a name, in any case, or a code, which may be one that has no name. None is below zero.
    pub fn read(&self, text: &str) -> Option<OrderStatus> {
        let named = KnownStatus::from_name(text).map(OrderStatus::Known);
        named.or_else(|| text.parse().ok().filter(|code| *code >= 0).map(|code| self.status(code)))
    }
}

/// Who asks for a move. A partner may do less than an operator or a surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// klikit's own side: an operator, an ordering surface, a courier service.
    Operator,
    /// A partner, over the Partner API.
    Partner,
}

/// What a move does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveVerdict {
    /// The order has that status already, or a courier's word has carried it past a step of the kitchen: accepted, changes
    /// nothing, fires nothing.
    Unchanged,
    /// The order moves.
    Allowed,
    /// The order may not make this move.
    Refused(MoveRefusal),
}

/// Why an order may not make a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoveRefusal {
    /// There is no way out of CANCELLED.
    #[error("the order is CANCELLED, which nothing follows")]
    Cancelled,
    /// The order has ended; only an operator may still cancel it (a void).
    #[error("the order has ended in {from}; only a cancellation by an operator may follow")]
    Ended {
        /// Where it ended.
        from: KnownStatus,
    },
    /// A move must go forward.
    #[error("a move must go forward, and {to} comes before {from}")]
    Backward {
        /// The present status.
        from: KnownStatus,
        /// The status asked for.
        to: KnownStatus,
    },
    /// A partner may not move an order there.
    #[error("a partner may move an order to ACCEPTED, READY, PICKED_UP or CANCELLED, not to {to}")]
    NotForPartners {
        /// The status asked for.
        to: KnownStatus,
    },
    /// Only a PLACED order can be rejected.
    #[error("only a PLACED order can be rejected, and the order is {from}; cancel it instead")]
    NotPlaced {
        /// The present status.
        from: OrderStatus,
    },
    /// The present status is a code we do not know, so what lies ahead of it is not known either.
    #[error("the order's status is the unknown code {code}; only a cancellation may follow")]
    FromUnknown {
        /// The code.
        code: i64,
    },
}

/// What a partner may ask of an order, in the words of the Partner API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PartnerMove {
    /// The restaurant takes it.
    Accepted,
    /// Cooked and packed.
    Ready,
    /// The guest has it.
    PickedUp,
    /// The restaurant refuses an order that was just placed: it ends in CANCELLED.
    Rejected,
    /// Called off.
    Cancelled,
}

impl PartnerMove {
    /// All moves.
    pub const ALL: [PartnerMove; 5] = [
        PartnerMove::Accepted,
        PartnerMove::Ready,
        PartnerMove::PickedUp,
        PartnerMove::Rejected,
        PartnerMove::Cancelled,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            PartnerMove::Accepted => "accepted",
            PartnerMove::Ready => "ready",
            PartnerMove::PickedUp => "picked_up",
            PartnerMove::Rejected => "rejected",
            PartnerMove::Cancelled => "cancelled",
        }
    }

    /// The move that this word stands for.
    pub fn from_word(word: &str) -> Option<PartnerMove> {
        PartnerMove::ALL.into_iter().find(|asked| asked.as_str() == word)
    }

    /// Whether it needs a `reason_code`: nothing but an end that nobody wished for does.
    pub const fn needs_reason(self) -> bool {
        matches!(self.to(), KnownStatus::Cancelled)
    }

    /// Whether this is a reason for it.
    ///
    /// # Errors
    /// [`ReasonFault`]
    pub fn check_reason(self, given: GivenReason<'_>) -> Result<(), ReasonFault> {
        match given {
            GivenReason::None if self.needs_reason() => Err(ReasonFault::Missing),
            GivenReason::None => Ok(()),
            _ if !self.needs_reason() => Err(ReasonFault::NotWanted),
            given => given.check(),
        }
    }

    /// Where the order goes.
    pub const fn to(self) -> KnownStatus {
        match self {
            PartnerMove::Accepted => KnownStatus::Accepted,
            PartnerMove::Ready => KnownStatus::Ready,
            PartnerMove::PickedUp => KnownStatus::PickedUp,
            PartnerMove::Rejected | PartnerMove::Cancelled => KnownStatus::Cancelled,
        }
    }
}

/// Characters of a `reason_code` that is a text.
pub const REASON_CHARS_MAX: usize = 500;

/// The `reason_code` that comes with a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenReason<'a> {
    /// There is none.
    None,
    /// An integer.
    Code,
    /// A text.
    Text(&'a str),
}

impl GivenReason<'_> {
    /// Whether it is one, for whatever move, and whoever asks.
    ///
    /// # Errors
    /// [`ReasonFault::Text`]
    pub fn check(self) -> Result<(), ReasonFault> {
        let fits = |text: &str| !text.trim().is_empty() && text.chars().count() <= REASON_CHARS_MAX;
        match self {
            GivenReason::Text(text) if !fits(text) => Err(ReasonFault::Text),
            GivenReason::Text(_) | GivenReason::Code | GivenReason::None => Ok(()),
        }
    }
}

/// What is wrong with a `reason_code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReasonFault {
    /// The move needs one.
    #[error("missing; a move to rejected or cancelled needs one")]
    Missing,
    /// The move has none.
    #[error("only a move to rejected or cancelled has a reason")]
    NotWanted,
    /// Empty or too long.
    #[error("expected an integer, or a text of 1 to {REASON_CHARS_MAX} characters")]
    Text,
}

/// Says whether an order at `from` may do what a partner asks: [`check_move`], and that only a PLACED order can be rejected.
pub fn check_partner_move(from: OrderStatus, asked: PartnerMove) -> MoveVerdict {
    let known = OrderStatus::Known;
    let refuses = asked == PartnerMove::Rejected
        && ![known(KnownStatus::Placed), known(KnownStatus::Cancelled)].contains(&from);
    match refuses {
        true => MoveVerdict::Refused(MoveRefusal::NotPlaced { from }),
        false => check_move(from, asked.to(), Actor::Partner),
    }
}

/// Says whether an order at `from` may go to `to` when `actor` asks: the table of moves (CONTRACT.md section 5).
///
/// A courier may be assigned before the food is ready, which is a move forward that skips steps of the kitchen. The kitchen goes
/// through them all the same, and its display must not be told of a mistake: a step of the kitchen that is asked for where the
/// courier's word stands is accepted without effect. It is not made, because receivers that go by the order of the statuses would
/// take it for an older state.
pub fn check_move(from: OrderStatus, to: KnownStatus, actor: Actor) -> MoveVerdict {
    use MoveVerdict::{Allowed, Refused, Unchanged};
    if from == OrderStatus::Known(to) {
        return Unchanged;
    }
    if actor == Actor::Partner
        && !matches!(
            to,
            KnownStatus::Accepted | KnownStatus::Ready | KnownStatus::PickedUp | KnownStatus::Cancelled
        )
    {
        return Refused(MoveRefusal::NotForPartners { to });
    }
    match from {
        OrderStatus::Known(KnownStatus::Cancelled) => Refused(MoveRefusal::Cancelled),
        OrderStatus::Known(from) if to == KnownStatus::Cancelled => match actor {
            Actor::Partner if from.has_ended() => Refused(MoveRefusal::Ended { from }),
            Actor::Partner | Actor::Operator => Allowed,
        },
        OrderStatus::Unknown(_) if to == KnownStatus::Cancelled => Allowed,
        OrderStatus::Known(from) if from.has_ended() => Refused(MoveRefusal::Ended { from }),
        OrderStatus::Known(from) if to.rank() > from.rank() => Allowed,
        OrderStatus::Known(from) if from.is_of_the_courier() && to.is_of_the_kitchen() => Unchanged,
        OrderStatus::Known(from) => Refused(MoveRefusal::Backward { from, to }),
        OrderStatus::Unknown(code) => Refused(MoveRefusal::FromUnknown { code }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use KnownStatus::*;

    /// The forward path, written out a second time from CONTRACT.md section 5, step by step.
    const PATH: [&[KnownStatus]; 9] = [
        &[Scheduled],
        &[Placed],
        &[Accepted],
        &[Preparing],
        &[Ready],
        &[DriverAssigned],
        &[DriverArrived],
        &[Dispatched],
        &[Delivered, PickedUp],
    ];

    fn step(status: KnownStatus) -> Option<usize> {
        PATH.iter().position(|s| s.contains(&status))
    }

    /// A step of the kitchen, which the courier's word has carried the order past.
    fn is_overtaken(from: KnownStatus, to: KnownStatus) -> bool {
        [DriverAssigned, DriverArrived].contains(&from) && [Accepted, Preparing, Ready].contains(&to)
    }

    #[test]
    fn the_table_stands_in_the_order_of_the_enum() {
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(row.status as usize, i, "{}", row.name);
        }
    }

    #[test]
    fn the_codes_are_the_published_ones() {
        let published = [
            (1, "PLACED"),
            (2, "ACCEPTED"),
            (3, "CANCELLED"),
            (4, "READY"),
            (5, "DELIVERED"),
            (6, "SCHEDULED"),
            (7, "DRIVER_ASSIGNED"),
            (8, "DRIVER_ARRIVED"),
            (9, "PICKED_UP"),
            (10, "PREPARING"),
            (11, "DISPATCHED"),
        ];
        let codes = StatusCodes::default();
        for (code, name) in published {
            let status = codes.status(code);
            assert_eq!(status.to_string(), name);
            assert_eq!(codes.code_of(status), code);
            assert_eq!(KnownStatus::from_name(&name.to_lowercase()).map(OrderStatus::Known), Some(status));
        }
    }

    #[test]
    fn an_unknown_code_is_kept() {
        let codes = StatusCodes::default();
        for code in [0, -1, 12, 9_007_199_254_740_993] {
            assert_eq!(codes.status(code), OrderStatus::Unknown(code));
            assert_eq!(codes.code_of(codes.status(code)), code);
        }
    }

    #[test]
    fn a_configuration_gives_preparing_and_dispatched_other_codes_but_not_ones_in_use() {
        let codes = StatusCodes::with(40, 41).unwrap();
        assert_eq!(codes.status(40), Preparing.into());
        assert_eq!(codes.status(10), OrderStatus::Unknown(10));
        assert!(StatusCodes::with(4, 41).unwrap_err().to_string().contains("READY"));
        assert!(StatusCodes::with(40, 40).is_err());
    }

    #[test]
    fn every_pair_of_statuses_moves_as_the_contract_says_for_an_operator() {
        for from in KnownStatus::ALL {
            for to in KnownStatus::ALL {
                let verdict = check_move(from.into(), to, Actor::Operator);
                let expected = if from == to || is_overtaken(from, to) {
                    MoveVerdict::Unchanged
                } else if from == Cancelled {
                    MoveVerdict::Refused(MoveRefusal::Cancelled)
                } else if to == Cancelled {
                    MoveVerdict::Allowed
                } else if from == Delivered || from == PickedUp {
                    MoveVerdict::Refused(MoveRefusal::Ended { from })
                } else if step(to) > step(from) {
                    MoveVerdict::Allowed
                } else {
                    MoveVerdict::Refused(MoveRefusal::Backward { from, to })
                };
                assert_eq!(verdict, expected, "{from} to {to}");
            }
        }
    }

    #[test]
    fn every_pair_of_statuses_moves_as_the_contract_says_for_a_partner() {
        for from in KnownStatus::ALL {
            for to in KnownStatus::ALL {
                let verdict = check_move(from.into(), to, Actor::Partner);
                let theirs = [Accepted, Ready, PickedUp, Cancelled].contains(&to);
                let ended = [Delivered, PickedUp, Cancelled].contains(&from);
                let allowed = theirs && !ended && (to == Cancelled || step(to) > step(from));
                assert_eq!(verdict == MoveVerdict::Allowed, allowed && from != to, "{from} to {to}");
                let unchanged = from == to || theirs && is_overtaken(from, to);
                assert_eq!(verdict == MoveVerdict::Unchanged, unchanged, "{from} to {to}");
            }
        }
    }

    #[test]
    fn from_an_unknown_status_only_a_cancellation_is_possible() {
        let from = OrderStatus::Unknown(77);
        for to in KnownStatus::ALL {
            let verdict = check_move(from, to, Actor::Operator);
            assert_eq!(verdict == MoveVerdict::Allowed, to == Cancelled, "{to}");
        }
    }

    #[test]
    fn only_a_placed_order_can_be_rejected_and_everything_else_is_the_table_for_partners() {
        let all = KnownStatus::ALL.map(OrderStatus::Known).into_iter().chain([OrderStatus::Unknown(77)]);
        for from in all {
            let rejected = check_partner_move(from, PartnerMove::Rejected);
            let expected = match from {
                OrderStatus::Known(Placed) => MoveVerdict::Allowed,
                OrderStatus::Known(Cancelled) => MoveVerdict::Unchanged,
                _ => MoveVerdict::Refused(MoveRefusal::NotPlaced { from }),
            };
            assert_eq!(rejected, expected, "{from}");
            for (asked, to) in [
                (PartnerMove::Accepted, Accepted),
                (PartnerMove::Ready, Ready),
                (PartnerMove::PickedUp, PickedUp),
                (PartnerMove::Cancelled, Cancelled),
            ] {
                assert_eq!(check_partner_move(from, asked), check_move(from, to, Actor::Partner), "{from}");
            }
        }
    }
}
