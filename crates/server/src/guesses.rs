//! How often an address may be wrong.
//!
//! A secret has 256 bits and is not found by guessing, and to look at one costs a microsecond: the bound is there for the noise,
//! so that a client that was never told the right one is told to slow down, and the log says where from. So whoever is right gets
//! in, however much that is wrong came from the same proxy. Only what is wrong is counted, by its address and not by its key, or
//! whoever knows a key could disturb its partner. Beyond the bound 429 stands in the place of the 401, whatever was wrong, and so
//! tells a stranger no more than that does.
//!
//! What carries no credential at all is not counted: many clients ask without one first, and send theirs when they hear the 401.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use hookit_contract::{ErrorCode, Timestamp};

use crate::{ApiError, Minute};

/// Wrong credentials in a minute from one address that are answered as what they are.
const WRONG_MAX: u64 = 60;

/// Addresses that are remembered.
const REMEMBERED_MAX: usize = 10_000;

/// The wrong credentials of each address within a minute.
#[derive(Debug, Default)]
pub struct Guesses(Mutex<HashMap<IpAddr, Minute>>);

/// The address that is counted: of IPv6 the network, of which one sender has all addresses.
fn source(address: Option<IpAddr>) -> IpAddr {
    match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        Some(address) => address,
        None => Ipv4Addr::UNSPECIFIED.into(),
    }
}

impl Guesses {
    /// Counts a refusal, where it is that of a wrong credential, and gives back what to answer: the refusal, or 429 where too many
    /// such came from there. To be called by everything that looks at a credential.
    pub fn counted(&self, refusal: ApiError, from: Option<IpAddr>, now: Timestamp) -> ApiError {
        if refusal.code() != ErrorCode::AuthInvalidCredential {
            return refusal;
        }
        let from = source(from);
        let mut wrong = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() >= REMEMBERED_MAX && !wrong.contains_key(&from) {
            wrong.retain(|_, minute| !minute.is_over(now));
            // Whoever has so many addresses is not bounded by any.
            if wrong.len() >= REMEMBERED_MAX {
                wrong.clear();
            }
        }
        let minute = wrong.entry(from).or_default();
        if minute.count(WRONG_MAX, now) {
            if minute.left(WRONG_MAX) == 0 {
                tracing::warn!(%from, "{WRONG_MAX} wrong credentials came from an address within a minute; more are answered 429");
            }
            return refusal;
        }
        let message = refusal.message().trim_end_matches('.');
        let message =
            format!("{message}; more than {WRONG_MAX} wrong ones came from this address within a minute");
        ApiError::new(ErrorCode::RateLimited, message).with_retry_after(minute.seconds_left(now))
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + seconds * 1000)
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    /// When to come back, where it is not the refusal itself.
    fn waits(guesses: &Guesses, from: Option<IpAddr>, now: Timestamp) -> Option<u32> {
        let wrong = ApiError::new(ErrorCode::AuthInvalidCredential, "not a token.");
        let answer = guesses.counted(wrong, from, now);
        let (code, message) = (answer.code(), answer.message().to_owned());
        let seconds = answer.into_response().headers().get("retry-after").cloned();
        match seconds {
            None => {
                assert_eq!((code, &*message), (ErrorCode::AuthInvalidCredential, "not a token."));
                None
            }
            Some(seconds) => {
                assert_eq!(code, ErrorCode::RateLimited);
                assert!(message.starts_with("not a token; more than 60 "), "{message}");
                Some(seconds.to_str().unwrap().parse().unwrap())
            }
        }
    }

    #[test]
    fn an_address_may_be_wrong_so_often_a_minute() {
        let guesses = Guesses::default();
        let (stranger, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
        for guess in 0..WRONG_MAX {
            let now = at(i64::try_from(guess / 2).unwrap());
            assert_eq!(waits(&guesses, stranger, now), None, "{guess}");
        }
        assert_eq!(waits(&guesses, stranger, at(59)), Some(1));
        assert_eq!(waits(&guesses, other, at(59)), None);
        assert_eq!(waits(&guesses, stranger, at(60)), None);
    }

    #[test]
    fn what_is_no_wrong_credential_is_not_counted_and_stays_as_it_is() {
        let guesses = Guesses::default();
        for code in [ErrorCode::AuthMissing, ErrorCode::AuthRevoked, ErrorCode::Unavailable] {
            for _ in 0..=WRONG_MAX {
                let answer = guesses.counted(ApiError::new(code, "x"), ip("192.0.2.1"), at(0));
                assert_eq!((answer.code(), answer.message()), (code, "x"));
            }
        }
        assert_eq!(waits(&guesses, ip("192.0.2.1"), at(0)), None);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_an_ipv4_address_one_however_it_is_written() {
        let guesses = Guesses::default();
        for host in 0..WRONG_MAX {
            assert_eq!(waits(&guesses, ip(&format!("2001:db8:1:2::{host:x}")), at(0)), None);
            assert_eq!(waits(&guesses, ip("::ffff:192.0.2.1"), at(0)), None);
        }
        assert_eq!(waits(&guesses, ip("2001:db8:1:2:f::"), at(0)), Some(60));
        assert_eq!(waits(&guesses, ip("2001:db8:1:3::1"), at(0)), None);
        assert_eq!(waits(&guesses, ip("192.0.2.1"), at(0)), Some(60));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let guesses = Guesses::default();
        for number in 0..u32::try_from(2 * REMEMBERED_MAX).unwrap() + 5 {
            assert_eq!(waits(&guesses, Some(number.to_be_bytes().into()), at(0)), None);
        }
        let remembered = guesses.0.lock().unwrap();
        assert!(remembered.len() <= REMEMBERED_MAX);
        assert!(remembered.contains_key(&IpAddr::from(20_004_u32.to_be_bytes())));
    }
}
