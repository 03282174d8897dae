//! Pages for people: what the consoles of both halves, and whatever else shows pages, are made of.
//!
//! A page is HTML made on the server (maud, which escapes by default), one stylesheet and one small script, both from the
//! binary. The script keeps marked parts of a page fresh, sends marked forms without leaving it, copies what is to be copied, and does
//! nothing else, so everything works without it. Each answer
//! that leaves here forbids what a page has no use for ([`protected`]): scripts and styles in the page, frames, requests to
//! anywhere else. Whatever changes something is a form with a token of the session, checked by [`check_form`].
//!
//! Pages are no part of an API and are not described.
//!
//! What this module must not do: know what an order is, or who may do what.

mod assets;
mod chart;
mod door;
mod form;
mod fresh;
mod headers;
mod layout;
mod parts;
mod session;

pub use assets::assets;
pub use chart::{Axes, Series, chart, spark};
pub use door::{Door, Knock, Led};
pub use form::{FORM_BYTES_MAX, Form, Query, check_form, csrf_field};
pub use fresh::follow;
pub use headers::{is_page_wanted, protected, see_other};
pub use layout::{Frame, Section, SignedIn, Site};
pub use parts::{
    Tone, age, badge, bytes, chips, copy, count, duration, empty, exact, facts, field, figure, live, note,
    pager, refusal_page, secret, select, share, since, table, until,
};
pub use session::{Session, SessionId, Sessions};

pub use crate::answer::refusal;
