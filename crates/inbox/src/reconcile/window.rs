//! Reading a list that is paged by numbers, while the orders in it move, without missing one.
//!
//! Nobody promises in which order the other side lists. Where it is by creation, a window between two moments of the past
//! has the same orders on the same pages, however they move meanwhile. Where it is by something that changes, an order may
//! slip from a page that is still to be read to one that was read already. So a window counts as read when as many
//! different orders were seen as it has in all; where not, it is read again, in halves. Windows are kept small, so that
//! each is read in a moment, and so that no page lies deep in a list.

use std::collections::HashSet;
use std::time::Duration;

use hookit_contract::{OrderId, Timestamp};

/// The longest window that may be asked for.
pub(super) const WINDOW_MAX: Duration = Duration::from_secs(90 * 86_400);

/// Pages of one window; one that has more is cut in halves.
const PAGES_MAX: u64 = 10;

/// A window that is as short as this is not cut any more.
const WINDOW_MIN_MS: i64 = 2;

/// How often a window that cannot be cut is read before it is left.
const READS_MAX: u32 = 3;

/// Windows of one look at most, so that totals that make no sense come to an end.
const WINDOWS_MAX: u64 = 100_000;

/// A stretch of time: from the first moment on, up to and without the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// A window that is to be read, for the how many-th time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Task {
    window: Window,
    reads: u32,
}

/// What is still to be read. The newest comes first: those are the orders that people wait for.
#[derive(Debug)]
pub(super) struct Windows {
    left: Vec<Task>,
    made: u64,
    /// Windows that were left without having been seen whole.
    pub(super) unfinished: u64,
}

impl Windows {
    /// From this moment up to that one.
    pub(super) fn new(from: Timestamp, to: Timestamp) -> Self {
        let mut left = Vec::new();
        let mut start = from;
        while start < to {
            let end = start.plus(WINDOW_MAX).min(to);
            left.push(Task { window: Window { from: start, to: end }, reads: 0 });
            start = end;
        }
        Windows { left, made: 0, unfinished: 0 }
    }

    /// Begins the next window.
    pub(super) fn next(&mut self) -> Option<Reading> {
        let task = self.left.pop()?;
        Some(Reading { task, page: 1, seen: HashSet::new(), total: None })
    }

    /// Puts a window back that is to be read from its beginning.
    pub(super) fn anew(&mut self, reading: &Reading) {
        self.left.push(reading.task);
    }

    fn cut(&mut self, task: Task) -> bool {
        let Window { from, to } = task.window;
        let width = to.as_millis() - from.as_millis();
        if width < WINDOW_MIN_MS || self.made >= WINDOWS_MAX {
            return false;
        }
        self.made += 2;
        let middle = Timestamp::from_millis(from.as_millis() + width / 2);
        for window in [Window { from, to: middle }, Window { from: middle, to }] {
            self.left.push(Task { window, reads: 0 });
        }
        true
    }

    /// Puts a window aside that was not seen whole. One page is of one moment, so it is cut down to that.
    fn again(&mut self, task: Task, pages: u64) {
        if pages > 1 && self.cut(task) {
            return;
        }
        let reads = task.reads + 1;
        match reads < READS_MAX {
            true => self.left.push(Task { reads, ..task }),
            false => self.unfinished += 1,
        }
    }
}

/// A window as it is being read.
#[derive(Debug)]
pub(super) struct Reading {
    task: Task,
    page: u64,
    seen: HashSet<OrderId>,
    total: Option<u64>,
}

impl Reading {
    pub(super) fn window(&self) -> Window {
        self.task.window
    }

    /// The page to ask for.
    pub(super) fn page(&self) -> u64 {
        self.page
    }

    /// Takes note of a page; the reading, where it goes on. `size` is how many orders a page has, `total` how many orders
    /// the window has in all, where the other side says so.
    pub(super) fn read(
        mut self,
        windows: &mut Windows,
        ids: impl IntoIterator<Item = OrderId>,
        size: u64,
        total: Option<u64>,
    ) -> Option<Reading> {
        let before = self.seen.len();
        let mut on_page = 0_u64;
        for id in ids {
            on_page += 1;
            self.seen.insert(id);
        }
        if total.is_some_and(|total| total > PAGES_MAX * size) && windows.cut(self.task) {
            return None;
        }
        // One that came in meanwhile counts as well: of the totals the largest.
        self.total = self.total.max(total);
        let seen = self.seen.len() as u64;
        let is_last = match self.total {
            // Where repeats fill the pages, the numbers go on until the total is reached by them.
            Some(total) => on_page == 0 || self.page.saturating_mul(size) >= total,
            None => on_page == 0 || self.seen.len() == before,
        };
        if !is_last {
            self.page += 1;
            return Some(self);
        }
        if self.total.is_some_and(|total| seen < total) {
            windows.again(self.task, self.page);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    /// A list at the other side: (created_at, id), in the order in which it lists.
    type Listed = Vec<(i64, i64)>;

    /// Reads everything from a list that something is done to before each page.
    fn read_all(
        list: &mut Listed,
        size: usize,
        mut moved: impl FnMut(&mut Listed, u64),
    ) -> (Vec<i64>, Windows) {
        let mut windows = Windows::new(at(0), at(1_000_000));
        let mut found: HashSet<i64> = HashSet::new();
        let mut calls = 0;
        while let Some(mut reading) = windows.next() {
            loop {
                calls += 1;
                assert!(calls < 10_000, "it never ends");
                moved(list, calls);
                let Window { from, to } = reading.window();
                let within: Vec<i64> = list
                    .iter()
                    .filter(|(created, _)| (from.as_millis()..to.as_millis()).contains(created))
                    .map(|(_, id)| *id)
                    .collect();
                let skip = (reading.page() as usize - 1) * size;
                let page: Vec<i64> = within.iter().copied().skip(skip).take(size).collect();
                found.extend(&page);
                let total = Some(within.len() as u64);
                let ids = page.into_iter().map(OrderId);
                match reading.read(&mut windows, ids, size as u64, total) {
                    Some(next) => reading = next,
                    None => break,
                }
            }
        }
        let mut found = Vec::from_iter(found);
        found.sort_unstable();
        (found, windows)
    }

    #[test]
    fn every_order_is_seen_whatever_its_number_and_the_size_of_pages() {
        for (orders, size) in [(0, 5), (1, 5), (5, 5), (6, 5), (50, 5), (51, 5), (1_000, 7), (300, 1)] {
            let mut list: Listed = (0..orders).map(|n| (n * 997 % 1_000_000, n + 1)).collect();
            list.sort_unstable();
            let (found, windows) = read_all(&mut list, size, |_, _| {});
            assert_eq!(found, (1..=orders).collect::<Vec<_>>(), "{orders} in pages of {size}");
            assert_eq!(windows.unfinished, 0);
        }
    }

    #[test]
    fn an_order_that_slips_to_a_page_that_was_read_already_is_not_missed() {
        // Listed by the last change, newest first: whatever moves goes to the front, and pushes the others back; and one
        // that is taken from the back to the front pulls those behind it forward, past the reader.
        for by_front in [true, false] {
            let mut list: Listed = (0..40).map(|n| (n * 10_000, n + 1)).collect();
            let (found, windows) = read_all(&mut list, 5, |list, call| {
                if call % 2 == 0 && call < 60 {
                    let moved = match by_front {
                        true => list.remove(0),
                        false => list.remove(list.len() - 1),
                    };
                    match by_front {
                        true => list.push(moved),
                        false => list.insert(0, moved),
                    }
                }
            });
            assert_eq!(found, (1..=40).collect::<Vec<_>>());
            assert_eq!(windows.unfinished, 0);
        }
    }

    #[test]
    fn more_orders_of_one_moment_than_a_window_may_have_are_read_all_the_same() {
        let mut list: Listed = (1..=500).map(|id| (777, id)).collect();
        let (found, windows) = read_all(&mut list, 5, |_, _| {});
        assert_eq!(found.len(), 500);
        assert_eq!(windows.unfinished, 0);
    }

    #[test]
    fn what_never_adds_up_is_left_and_said() {
        let mut windows = Windows::new(at(0), at(1));
        let mut reads = 0;
        while let Some(reading) = windows.next() {
            reads += 1;
            assert!(reading.read(&mut windows, [OrderId(1)], 5, Some(2)).is_none());
        }
        assert_eq!((reads, windows.unfinished), (READS_MAX, 1));
    }

    #[test]
    fn without_a_total_it_goes_on_until_a_page_has_nothing_new() {
        let mut windows = Windows::new(at(0), at(9));
        let reading = windows.next().unwrap();
        let reading = reading.read(&mut windows, [1, 2].map(OrderId), 2, None).unwrap();
        let reading = reading.read(&mut windows, [3].map(OrderId), 2, None).unwrap();
        assert!(reading.read(&mut windows, [3].map(OrderId), 2, None).is_none());
        assert_eq!(windows.unfinished, 0);
    }

    #[test]
    fn a_window_is_never_longer_than_may_be_asked_for_and_the_newest_comes_first() {
        let day = 86_400_000;
        let mut windows = Windows::new(at(0), at(200 * day));
        let first = windows.next().unwrap().window();
        assert_eq!((first.from, first.to), (at(180 * day), at(200 * day)));
        let second = windows.next().unwrap().window();
        assert_eq!((second.from, second.to), (at(90 * day), at(180 * day)));
        assert_eq!(windows.next().unwrap().window().from, at(0));
        assert!(windows.next().is_none());
    }
}
