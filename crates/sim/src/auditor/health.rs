//! Whether an endpoint is down, as far as can be known from the ends of its requests: which failures must cost a
//! delivery nothing (G6), and which must not.
//!
//! Written from the rule and not from the breaker: a failure that is the endpoint's opens it, so do enough failures in
//! a row; from then on every failure is free, until a request is acknowledged that went out after all of them. Where
//! the order of things leaves it open, both are right.

use super::event::End;

/// Whether a failure costs its delivery an attempt of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Free {
    Must,
    May,
    MustNot,
}

/// What is known of an endpoint since the present process began.
#[derive(Debug, Default)]
pub(super) struct Health {
    last_failure_at: i64,
    pub(super) last_acknowledged_at: i64,
    in_a_row: u32,
    may_be_down: bool,
    is_down: bool,
    /// It has asked to be left alone until then.
    pub(super) asked_until: i64,
}

impl Health {
    /// Something ended, and it is not known how.
    pub(super) fn may_have_changed(&mut self, now: i64) {
        self.last_failure_at = now;
        self.in_a_row += 1;
        self.is_down = false;
        self.may_be_down = true;
    }

    /// A new process thinks well of everybody.
    pub(super) fn forget(&mut self) {
        *self = Health { asked_until: self.asked_until, ..Health::default() };
    }

    /// A request ended that was decided on at `decided_at`, or up to `blur_ms` sooner; and of ends that are nearer to
    /// one another than that, the later may have been heard of first.
    pub(super) fn ended(
        &mut self,
        now: i64,
        decided_at: i64,
        end: &End,
        failures_to_open: u32,
        blur_ms: i64,
    ) -> Free {
        self.asked_until = self.asked_until.max(now + end.floor_ms());
        if *end == End::Acknowledged {
            if now - self.last_failure_at >= blur_ms {
                self.in_a_row = 0;
            }
            self.last_acknowledged_at = now;
            self.is_down = false;
            // Only what was sent after the last failure is sure to be a probe, or what follows one.
            self.may_be_down &= decided_at - blur_ms <= self.last_failure_at;
            return Free::May;
        }
        if matches!(end, End::Refused { status: 410, .. }) {
            return Free::Must;
        }
        let endpoints_own = match end {
            End::Refused { status, .. } => matches!(status, 429 | 503),
            End::Failed(why) => {
                matches!(*why, "connect_failed" | "name_not_resolved" | "tls_failed" | "address_forbidden")
            }
            End::Acknowledged => false,
        };
        self.last_failure_at = now;
        self.in_a_row += 1;
        self.is_down |= endpoints_own && now - self.last_acknowledged_at >= blur_ms;
        self.may_be_down |= self.is_down || endpoints_own || self.in_a_row >= failures_to_open;
        match (self.is_down || endpoints_own, self.may_be_down) {
            (true, _) => Free::Must,
            (false, true) => Free::May,
            (false, false) => Free::MustNot,
        }
    }
}

impl End {
    /// The pause that an answer asks for.
    pub(super) fn floor_ms(&self) -> i64 {
        match self {
            End::Refused { status: 429 | 503, retry_after_ms: Some(asked) } => *asked,
            End::Acknowledged | End::Refused { .. } | End::Failed(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: End = End::Failed("connection_lost");
    const DOWN: End = End::Failed("connect_failed");

    #[test]
    fn failures_are_free_from_the_one_that_shows_the_endpoint_down_to_the_acknowledged_probe() {
        let mut health = Health::default();
        assert_eq!(health.ended(10, 5, &LOST, 3, 0), Free::MustNot);
        assert_eq!(health.ended(20, 15, &DOWN, 3, 0), Free::Must);
        assert_eq!(health.ended(30, 15, &LOST, 3, 0), Free::Must);
        // A straggler from before: who knows.
        health.ended(40, 15, &End::Acknowledged, 3, 0);
        assert_eq!(health.ended(50, 15, &LOST, 3, 0), Free::May);
        health.ended(60, 55, &End::Acknowledged, 3, 0);
        assert_eq!(health.ended(70, 65, &LOST, 3, 0), Free::MustNot);
        assert_eq!(health.ended(71, 65, &LOST, 3, 0), Free::MustNot);
        assert_eq!(health.ended(72, 65, &LOST, 3, 0), Free::May);
        health.forget();
        assert_eq!(health.ended(80, 75, &LOST, 3, 0), Free::MustNot);
    }
}
