//! The lanes of one endpoint: which delivery is next for each order. Knows nothing of time, limits or attempts.

use std::collections::{BTreeMap, BTreeSet};

use hookit_contract::{DeliverySeq, OrderId};

/// For each order, the deliveries that stand in line, by number, and those that hold the lane.
///
/// All lanes live in two ordered sets rather than in a queue for each order: with a million orders most lanes have
/// one delivery, and a queue for it would cost more than the entry.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    line: BTreeSet<(OrderId, DeliverySeq)>,
    /// Deliveries that were sent and are not settled. More than one may hold a lane: one that is on its way to an
    /// endpoint's former URL holds the lane at the new one too.
    held: BTreeSet<(OrderId, DeliverySeq)>,
    /// For each order of a delivery that is pending but was left on disk, the lowest such number: nothing from there
    /// on has its turn until the disk was read again.
    aside: BTreeMap<OrderId, DeliverySeq>,
}

impl Lanes {
    /// Puts a delivery in line in the lane of each of its orders, at the place that its number gives it.
    pub(crate) fn join(&mut self, seq: DeliverySeq, orders: &[OrderId]) {
        self.line.extend(orders.iter().map(|&order| (order, seq)));
    }

    /// Takes a delivery out of the lines it stands in.
    pub(crate) fn leave(&mut self, seq: DeliverySeq, orders: &[OrderId]) {
        for &order in orders {
            self.line.remove(&(order, seq));
        }
    }

    /// Takes every delivery out of line, those set aside too. What holds a lane goes on holding it.
    pub(crate) fn clear_lines(&mut self) {
        self.line.clear();
        self.aside.clear();
    }

    /// Keeps the place of a delivery that is not held in memory.
    pub(crate) fn set_aside(&mut self, seq: DeliverySeq, orders: &[OrderId]) {
        for &order in orders {
            let lowest = self.aside.entry(order).or_insert(seq);
            *lowest = seq.min(*lowest);
        }
    }

    /// True where a delivery of one of these orders was set aside.
    pub(crate) fn has_aside(&self, orders: &[OrderId]) -> bool {
        orders.iter().any(|order| self.aside.contains_key(order))
    }

    /// How many orders have a delivery that was set aside.
    pub(crate) fn orders_aside(&self) -> usize {
        self.aside.len()
    }

    /// Closes the lanes of these orders until this delivery is released.
    pub(crate) fn hold(&mut self, seq: DeliverySeq, orders: &[OrderId]) {
        self.held.extend(orders.iter().map(|&order| (order, seq)));
    }

    /// Ends a [`Lanes::hold`].
    pub(crate) fn release(&mut self, seq: DeliverySeq, orders: &[OrderId]) {
        for &order in orders {
            self.held.remove(&(order, seq));
        }
    }

    /// The next delivery of an order; `None` where nothing is in line, the lane is held, or the next is set aside.
    pub(crate) fn first(&self, order: OrderId) -> Option<DeliverySeq> {
        match lowest(&self.held, order) {
            Some(_) => None,
            None => {
                lowest(&self.line, order).filter(|seq| self.aside.get(&order).is_none_or(|aside| seq < aside))
            }
        }
    }

    /// True where this delivery is next in the lane of every one of its orders.
    pub(crate) fn is_first(&self, seq: DeliverySeq, orders: &[OrderId]) -> bool {
        orders.iter().all(|&order| self.first(order) == Some(seq))
    }
}

fn lowest(set: &BTreeSet<(OrderId, DeliverySeq)>, order: OrderId) -> Option<DeliverySeq> {
    let range = (order, DeliverySeq(i64::MIN))..=(order, DeliverySeq(i64::MAX));
    set.range(range).next().map(|&(_, seq)| seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(n: i64) -> DeliverySeq {
        DeliverySeq(n)
    }

    fn orders<const N: usize>(ids: [i64; N]) -> [OrderId; N] {
        ids.map(OrderId)
    }

    #[test]
    fn a_batch_is_first_only_when_it_is_first_for_every_order_it_carries() {
        let mut lanes = Lanes::default();
        lanes.join(seq(1), &orders([7]));
        lanes.join(seq(2), &orders([6, 7]));
        assert!(lanes.is_first(seq(1), &orders([7])));
        assert_eq!(lanes.first(OrderId(6)), Some(seq(2)));
        assert!(!lanes.is_first(seq(2), &orders([6, 7])));
        lanes.leave(seq(1), &orders([7]));
        assert!(lanes.is_first(seq(2), &orders([6, 7])));
    }

    #[test]
    fn a_held_lane_has_no_first_until_its_last_holder_lets_go() {
        let mut lanes = Lanes::default();
        lanes.join(seq(5), &orders([1]));
        lanes.hold(seq(3), &orders([1, 2]));
        lanes.hold(seq(9), &orders([1]));
        assert_eq!(lanes.first(OrderId(1)), None);
        lanes.release(seq(3), &orders([1, 2]));
        assert_eq!(lanes.first(OrderId(1)), None);
        lanes.release(seq(9), &orders([1]));
        assert_eq!(lanes.first(OrderId(1)), Some(seq(5)));
    }

    #[test]
    fn a_lower_number_that_joins_late_goes_first() {
        let mut lanes = Lanes::default();
        lanes.join(seq(5), &orders([1]));
        lanes.join(seq(4), &orders([1]));
        assert_eq!(lanes.first(OrderId(1)), Some(seq(4)));
        assert!(!lanes.is_first(seq(5), &orders([1])));
    }

    #[test]
    fn clearing_the_lines_leaves_the_holders() {
        let mut lanes = Lanes::default();
        lanes.hold(seq(1), &orders([1]));
        lanes.join(seq(2), &orders([1]));
        lanes.clear_lines();
        lanes.join(seq(3), &orders([1]));
        assert_eq!(lanes.first(OrderId(1)), None);
        lanes.release(seq(1), &orders([1]));
        assert_eq!(lanes.first(OrderId(1)), Some(seq(3)));
    }

    #[test]
    fn what_was_set_aside_stops_what_is_behind_it_and_nothing_before_it() {
        let mut lanes = Lanes::default();
        lanes.join(seq(4), &orders([1]));
        lanes.set_aside(seq(7), &orders([1, 2]));
        lanes.set_aside(seq(5), &orders([1]));
        lanes.join(seq(6), &orders([1]));
        assert_eq!(lanes.first(OrderId(1)), Some(seq(4)));
        lanes.leave(seq(4), &orders([1]));
        assert_eq!(lanes.first(OrderId(1)), None);
        assert!(lanes.has_aside(&orders([2, 3])) && !lanes.has_aside(&orders([3])));
        assert_eq!(lanes.orders_aside(), 2);
        lanes.clear_lines();
        assert_eq!(lanes.orders_aside(), 0);
    }
}
