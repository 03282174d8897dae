//! What the wall clock said when: it is set now and then, and the rules about due times have to know.

/// A wall clock beside a clock that only goes forward, both in milliseconds.
#[derive(Debug)]
pub(super) struct Walls {
    /// From which moment on the wall clock was how far ahead, oldest first, never empty.
    skews: Vec<(i64, i64)>,
}

impl Walls {
    /// A wall clock that says `skew_ms` at moment 0.
    pub(super) fn new(skew_ms: i64) -> Self {
        Walls { skews: vec![(0, skew_ms)] }
    }

    pub(super) fn step(&mut self, at: i64, by_ms: i64) {
        let skew = self.now(0) + by_ms;
        self.skews.push((at, skew));
    }

    /// What it says at a moment after the last step.
    pub(super) fn now(&self, at: i64) -> i64 {
        at + self.skews.last().map_or(0, |&(_, skew)| skew)
    }

    /// The earliest and the latest that it said from one moment to another, both included.
    pub(super) fn between(&self, from: i64, to: i64) -> (i64, i64) {
        let mut said = (i64::MAX, i64::MIN);
        for (i, &(since, skew)) in self.skews.iter().enumerate() {
            let until = self.skews.get(i + 1).map_or(i64::MAX, |&(next, _)| next);
            let (begin, end) = (since.max(from), until.min(to));
            if begin <= end {
                said = (said.0.min(begin + skew), said.1.max(end + skew));
            }
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_remembered_as_it_was() {
        let mut walls = Walls::new(1_000);
        walls.step(10, 500);
        walls.step(20, -2_000);
        assert_eq!(walls.now(25), -475);
        assert_eq!(walls.between(0, 5), (1_000, 1_005));
        assert_eq!(walls.between(5, 12), (1_005, 1_512));
        assert_eq!(walls.between(15, 30), (-480, 1_520));
        assert_eq!(walls.between(30, 30), (-470, -470));
    }
}
