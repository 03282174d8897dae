//! What demos, tests and benches need from the outside world: order traffic that looks like the real thing, partner
//! endpoints that behave as badly as the script says, and a checker that believes nothing the platform says of itself.
//!
//! - [`traffic`] invents a business, its orders and what happens to each order. Same seed, same bytes.
//! - [`endpoints`] answers webhooks on loopback: well, late, never, or with nonsense.
//! - [`audit`] reads what an endpoint received and says which guarantee was broken.
//! - [`simulator`] runs the real engine and dispatcher in a simulated world with every fault, and [`auditor`] watches.
//!
//! What this crate must not do: be used by the platform or the inbox outside their tests, share code with what it
//! audits, take time or chance from the machine.

pub mod audit;
pub mod auditor;
pub mod endpoints;
pub mod simulator;
pub mod traffic;
