//! What every kind of sink does: hands changes on, and says of each how that ended.

use std::time::Duration;

use async_trait::async_trait;
use hookit_contract::AttemptOutcome;
use hookit_store::inbox::Change;

/// How long the text of an [`Handed::error`] may be; parts of it come from the other side.
const ERROR_CHARS_MAX: usize = 400;

/// How handing one change on ended. The outcomes are those of a post, so that one engine judges all kinds: `Refused`
/// is about this change, `ConnectFailed` and its like about the sink, whatever is handed on.
#[derive(Clone, Debug)]
pub(crate) struct Handed {
    pub(crate) outcome: AttemptOutcome,
    /// The answer's status, where the sink speaks HTTP.
    pub(crate) status: Option<u16>,
    /// How long the sink asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
    /// What went wrong, in one line.
    pub(crate) error: Option<String>,
}

impl Handed {
    /// The other side has it, as durably as it keeps things.
    pub(crate) fn on() -> Self {
        Handed { outcome: AttemptOutcome::Acknowledged, status: None, retry_after: None, error: None }
    }

    /// This change was not taken; another may be.
    pub(crate) fn refused(why: impl std::fmt::Display) -> Self {
        Handed::failed(AttemptOutcome::Refused, why)
    }

    /// The sink takes nothing at the moment.
    pub(crate) fn unreachable(why: impl std::fmt::Display) -> Self {
        Handed::failed(AttemptOutcome::ConnectFailed, why)
    }

    pub(crate) fn failed(outcome: AttemptOutcome, why: impl std::fmt::Display) -> Self {
        let text: String = why.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        let error = Some(text.chars().take(ERROR_CHARS_MAX).collect());
        Handed { outcome, status: None, retry_after: None, error }
    }
}

/// An error with its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors repeat their cause in their own text.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// One sink's other side. A call may be dropped at any moment, when its time is over, and the next must be as good as
/// if there had been none.
#[async_trait]
pub(crate) trait Target: Send + Sync {
    /// Hands changes on, at most [`Target::batch_max`] of them, no order twice. The answer has one end for each, in
    /// their order.
    async fn hand_on(&self, changes: &[Change]) -> Vec<Handed>;

    /// How many changes it takes at a time. Where that is one, calls may run side by side; else one follows another,
    /// and what comes meanwhile gathers.
    fn batch_max(&self) -> usize;

    /// Lets go of what nobody uses. Called when the sink stops.
    fn close_idle(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_of_bounded_length() {
        let handed = Handed::refused(format!("first\nsecond {}", "x".repeat(1000)));
        let error = handed.error.unwrap();
        assert!(error.starts_with("first second x") && error.len() == ERROR_CHARS_MAX, "{error}");
    }
}
