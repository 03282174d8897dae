//! What can be broken, and what one sees then.

use serde::Deserialize;

/// A switch of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Switch {
    Down,
    Slow,
    Failing,
    Losing,
    Secret,
    Kill,
    Flood,
}

impl Switch {
    /// All, in the order of the page.
    pub(super) const ALL: [Switch; 7] = [
        Switch::Down,
        Switch::Slow,
        Switch::Failing,
        Switch::Losing,
        Switch::Secret,
        Switch::Kill,
        Switch::Flood,
    ];

    /// What a form calls it.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Switch::Down => "down",
            Switch::Slow => "slow",
            Switch::Failing => "failing",
            Switch::Losing => "losing",
            Switch::Secret => "secret",
            Switch::Kill => "kill",
            Switch::Flood => "flood",
        }
    }

    /// What it breaks.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Switch::Down => "Inbox down",
            Switch::Slow => "Inbox slow",
            Switch::Failing => "Inbox answers 500",
            Switch::Losing => "Answers lost",
            Switch::Secret => "Wrong secret",
            Switch::Kill => "Platform killed",
            Switch::Flood => "Flood",
        }
    }

    /// What turns it on, and what turns it off.
    pub(super) const fn verbs(self) -> (&'static str, &'static str) {
        match self {
            Switch::Kill => ("Kill", "Start now"),
            Switch::Flood => ("Flood", "Stop"),
            _ => ("Break", "Mend"),
        }
    }

    /// What to watch for.
    pub(super) const fn hint(self) -> &'static str {
        match self {
            Switch::Down => {
                "It refuses connections. Watch the breaker open and the backlog grow, and drain after mending."
            }
            Switch::Slow => {
                "Each delivery takes 3 s longer. Watch the backlog, and nothing fail: 10 s are allowed."
            }
            Switch::Failing => {
                "Watch three failures in a row open the breaker, and what waits behind it use up no attempts."
            }
            Switch::Losing => {
                "It takes in all, but every fourth answer is lost. Watch the repeats, which change nothing."
            }
            Switch::Secret => {
                "The secret is replaced and the inbox is not told. Watch it refuse, and lose nothing once it is."
            }
            Switch::Kill => {
                "SIGKILL, and a start on the same files after 10 s. Watch no order be missing afterwards."
            }
            Switch::Flood => {
                "Fifty times the orders for 15 s. Watch the rate, and the views be equal soon after."
            }
        }
    }

    /// True where it goes off by itself after a while.
    pub(super) const fn ends_by_itself(self) -> bool {
        matches!(self, Switch::Kill | Switch::Flood)
    }
}
