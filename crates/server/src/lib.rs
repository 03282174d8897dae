//! What both halves need to be a server, said once: a listener within limits, one answer envelope with one list of
//! errors, request ids, the system's clock, named tasks with a graceful stop, secrets and private files.
//!
//! What this crate must not do: know what an order is. It is the mirror of egress: being posted to by a hostile
//! network.

mod answer;
mod body;
mod clock;
pub mod exposition;
mod faults;
mod guesses;
mod in_flight;
mod input;
mod live;
mod minute;
pub mod openapi;
pub mod page;
mod params;
mod request;
pub mod routes;
mod secret;
mod serve;
mod shape;
mod stalled;
mod takes;
mod tasks;
mod tls;
mod tree;
mod unparsed;
mod unread;
mod wrong;

pub use answer::{Answer, ApiError, BrokenOff, Pieces, envelope, method_not_allowed, not_found};
pub use body::{JsonBody, KeptBody, NoBody, Object, OptionalBody, RawBody, read_body, read_body_or_part};
pub use clock::SystemClock;
pub use faults::{Fault, Faults};
pub use guesses::Guesses;
pub use input::{Checked, Describe, Incoming, Input, checked};
pub use live::{LAST_EVENT_ID, Live, LiveEvent, LiveEvents};
pub use minute::Minute;
pub use params::Params;
pub use request::{
    IDEMPOTENCY_KEY_MAX, Key, OptionalKey, PathId, PathText, RequestId, bearer, is_named_locally, peer,
};
pub use secret::{PrivateFileError, Secret, create_private_dir, private_file, random_hex, read_private_file};
pub use serve::{IsSecure, Limits, bind, serve, serve_with};
pub use tasks::Tasks;
pub use tls::{Certificate, CertificateError};
