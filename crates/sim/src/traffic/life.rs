//! What happens to an order after it was posted: moves at the pace of a kitchen and a courier, edits of the cart,
//! cancellations, voids. Every move is legal where it stands; who replays a life in order is never refused.

use std::time::Duration;

use hookit_contract::KnownStatus;
use rand::Rng;

use super::cart::Cart;
use super::dice::Dice;
use super::record::{NewOrder, OrderType};
use super::world::World;

/// Why orders are called off.
const REASONS: [&str; 6] =
    ["item_unavailable", "too_busy", "store_closed", "customer_request", "no_rider_found", "duplicate_order"];

/// Why orders are voided after their end.
const VOID_REASONS: [&str; 3] = ["not_received", "wrong_items", "payment_reversed"];

/// One change in an order's life.
#[derive(Clone, Debug)]
pub struct Step {
    /// The pause since the step before, or since the creation, in real life.
    pub after: Duration,
    /// What happens.
    pub change: StepChange,
}

/// What happens to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepChange {
    /// It moves forward.
    Move(KnownStatus),
    /// Its cart is edited: the body of the edit, with `cart`, `cart_v2` and the new totals.
    EditCart(Vec<u8>),
    /// It is called off before its end: a move to CANCELLED.
    Cancel {
        /// Why.
        reason_code: &'static str,
    },
    /// It is called off after its end, which only an operator may do: a move to CANCELLED too.
    Void {
        /// Why.
        reason_code: &'static str,
    },
}

impl StepChange {
    /// The status that the order has afterwards, where the change is a move.
    pub fn to_status(&self) -> Option<KnownStatus> {
        match self {
            StepChange::Move(status) => Some(*status),
            StepChange::Cancel { .. } | StepChange::Void { .. } => Some(KnownStatus::Cancelled),
            StepChange::EditCart(_) => None,
        }
    }
}

fn seconds(dice: &mut Dice<'_>, low: i64, high: i64) -> Duration {
    Duration::from_millis(dice.between(low * 1_000, high * 1_000).unsigned_abs())
}

/// The moves of an order that nothing happens to, each with its pause.
fn path(dice: &mut Dice<'_>, order: &NewOrder) -> Vec<(Duration, KnownStatus)> {
    use KnownStatus::{
        Accepted, Delivered, Dispatched, DriverArrived, DriverAssigned, PickedUp, Placed, Preparing, Ready,
    };
    let mut path = Vec::with_capacity(9);
    if let Some(wanted) = order.scheduled_for {
        // The kitchen hears of it an hour before it is wanted, or at once where that is sooner.
        path.push((wanted.saturating_sub(Duration::from_secs(3_600)), Placed));
    }
    path.push((seconds(dice, 4, 150), Accepted));
    if dice.chance(65) {
        path.push((seconds(dice, 20, 240), Preparing));
    }
    path.push((seconds(dice, 240, 1_500), Ready));
    if order.order_type != OrderType::Delivery {
        path.push((seconds(dice, 30, 1_200), PickedUp));
        return path;
    }
    // Marketplaces do not report every step of their couriers.
    if dice.chance(75) {
        path.push((seconds(dice, 10, 400), DriverAssigned));
        if dice.chance(80) {
            path.push((seconds(dice, 60, 600), DriverArrived));
        }
    }
    if dice.chance(90) {
        path.push((seconds(dice, 20, 240), Dispatched));
    }
    path.push((seconds(dice, 420, 2_100), Delivered));
    path
}

impl World {
    /// What happens to `order`, which this world made.
    pub fn life(&self, order: &NewOrder, rng: &mut dyn Rng) -> Vec<Step> {
        let dice = &mut Dice(rng);
        let path = path(dice, order);
        // Somewhere before its end: the last move of the path is the one that never happens then.
        let cancelled_before = dice.chance(8).then(|| dice.below(path.len()));
        let edits = dice.weighted(&[(85, 0), (11, 1), (4, 2)]);
        let voided = dice.chance(3);

        let mut cart = order.cart.clone();
        let mut steps = Vec::with_capacity(path.len() + 2);
        let ready = path
            .iter()
            .position(|(_, status)| *status == KnownStatus::Ready)
            .expect("every path passes READY");
        let mut edits_before: Vec<usize> = (0..edits).map(|_| dice.below(ready + 1)).collect();
        edits_before.sort_unstable();
        for (index, (after, status)) in path.iter().enumerate() {
            for _ in edits_before.iter().filter(|before| **before == index) {
                edit(dice, &mut cart);
                let change = StepChange::EditCart(self.edit_body(order, &cart));
                steps.push(Step { after: seconds(dice, 5, 120), change });
            }
            if cancelled_before == Some(index) {
                let change = StepChange::Cancel { reason_code: dice.pick(&REASONS) };
                steps.push(Step { after: seconds(dice, 5, 600), change });
                return steps;
            }
            steps.push(Step { after: *after, change: StepChange::Move(*status) });
        }
        if voided {
            let change = StepChange::Void { reason_code: dice.pick(&VOID_REASONS) };
            steps.push(Step { after: seconds(dice, 120, 5_400), change });
        }
        steps
    }
}

/// Changes a cart in one of the ways in which guests change their minds.
fn edit(dice: &mut Dice<'_>, cart: &mut Cart) {
    let line = dice.below(cart.lines.len());
    if cart.lines.len() > 1 && dice.chance(40) {
        cart.lines.remove(line);
        return;
    }
    let line = &mut cart.lines[line];
    if !line.picked.is_empty() && dice.chance(30) {
        line.picked.pop();
    } else if line.quantity > 1 && dice.chance(50) {
        line.quantity -= 1;
    } else {
        line.quantity += dice.between(1, 2);
    }
}
