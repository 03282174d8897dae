//! The rotation in which endpoints that have something to send get their turns, one delivery a turn, so that a
//! backlog takes no more of the free room than anybody else's single delivery.
//!
//! Endpoints that are not modest (suspect, or with many attempts under way) stand in the same rotation but can be
//! passed over all at once: while there is no place for them, a thousand of them cost the others not even a look.

use std::collections::BTreeMap;

use hookit_contract::EndpointId;

/// An endpoint's place in the rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    no: u64,
    modest: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Turns {
    next_no: u64,
    modest: BTreeMap<u64, EndpointId>,
    greedy: BTreeMap<u64, EndpointId>,
}

impl Turns {
    /// Puts an endpoint at the end.
    pub(crate) fn join(&mut self, id: EndpointId, modest: bool) -> Turn {
        let turn = Turn { no: self.next_no, modest };
        self.next_no += 1;
        self.those(modest).insert(turn.no, id);
        turn
    }

    /// The place stays, but what it is changes.
    pub(crate) fn mark(&mut self, turn: Turn, modest: bool) -> Turn {
        if turn.modest != modest
            && let Some(id) = self.those(turn.modest).remove(&turn.no)
        {
            self.those(modest).insert(turn.no, id);
        }
        Turn { modest, ..turn }
    }

    /// Takes out whoever is next.
    pub(crate) fn next(&mut self, modest_only: bool) -> Option<EndpointId> {
        let modest = self.modest.first_key_value().map(|(&no, _)| no);
        let greedy = self.greedy.first_key_value().map(|(&no, _)| no).filter(|_| !modest_only);
        match (modest, greedy) {
            (None, None) => None,
            (Some(modest), Some(greedy)) if greedy < modest => self.greedy.remove(&greedy),
            (Some(modest), _) => self.modest.remove(&modest),
            (None, Some(greedy)) => self.greedy.remove(&greedy),
        }
    }

    fn those(&mut self, modest: bool) -> &mut BTreeMap<u64, EndpointId> {
        if modest { &mut self.modest } else { &mut self.greedy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_not_modest_keeps_his_place_but_can_be_passed_over() {
        let mut turns = Turns::default();
        let ids = [1, 2, 3, 4].map(EndpointId);
        let first = turns.join(ids[0], false);
        turns.join(ids[1], true);
        turns.join(ids[2], false);
        let last = turns.join(ids[3], true);
        assert_eq!(turns.next(true), Some(ids[1]));
        turns.mark(last, false);
        turns.mark(first, true);
        assert_eq!(turns.next(true), Some(ids[0]));
        assert_eq!(turns.next(true), None);
        assert_eq!(turns.next(false), Some(ids[2]));
        assert_eq!(turns.next(false), Some(ids[3]));
        assert_eq!(turns.next(false), None);
    }
}
