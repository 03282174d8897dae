//! Realistic orders: who sells what where, the record that a surface would post, and the order's life after that.
//!
//! Everything is made up and everything is decided by the generator that the caller passes in: a [`World`] made with
//! the same seed and asked the same questions with the same generator gives the same bytes. The records are written
//! as text straight away, since benches want tens of thousands of them in a second.
//!
//! This module knows the record's fields and the legal moves. It must not know anything of HTTP or of the platform.

mod cart;
mod dice;
mod json;
mod life;
mod menu;
mod money;
mod people;
mod record;
#[cfg(test)]
mod tests;
mod world;

pub use life::{Step, StepChange};
pub use record::{NewOrder, OrderType};
pub use world::{Branch, Brand, World};

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

/// A generator for [`World`]: fast, and the same stream for a seed on every machine.
pub fn generator(seed: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed)
}
