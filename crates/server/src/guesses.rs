//! How often an address may guess at secrets.
//!
//! A secret has 256 bits and is not found by guessing; that there is a bound all the same keeps a client that was never told
//! the right one, and whoever tries his luck, from doing it as fast as the network is. It is a bound for the address, since one
//! for the key would let anybody who knows a key lock its partner out. Nor may a stranger behind the same proxy do so: where a
//! key was used rightly from an address within a day, it is not bounded there.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hookit_contract::Timestamp;

use crate::Minute;

/// Wrong keys and secrets in a minute from one address.
const WRONG_MAX: u64 = 60;

/// How long a key that was used rightly from an address is at home there.
const AT_HOME: Duration = Duration::from_secs(86_400);

/// Addresses that are remembered for what was wrong, and pairs of address and key for what was right.
const REMEMBERED_MAX: usize = 10_000;

/// What came from where. `K` is whose secret it is that is guessed at.
#[derive(Debug)]
pub struct Guesses<K>(Mutex<Remembered<K>>);

#[derive(Debug)]
struct Remembered<K> {
    wrong: HashMap<IpAddr, Minute>,
    right: HashMap<(IpAddr, K), Timestamp>,
}

/// The address that is counted: of IPv6 the network, of which one sender has all addresses.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

impl<K> Default for Guesses<K> {
    fn default() -> Self {
        Guesses(Mutex::new(Remembered { wrong: HashMap::new(), right: HashMap::new() }))
    }
}

impl<K: Clone + Eq + Hash> Guesses<K> {
    /// How many seconds nothing is looked at that comes from there for this one, or for a key that is nobody's.
    pub fn closed_for(&self, from: IpAddr, of: Option<&K>, now: Timestamp) -> Option<u32> {
        let from = source(from);
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = remembered.wrong.get(&from).filter(|minute| minute.is_full(WRONG_MAX, now))?;
        (!remembered.is_at_home(from, of, now)).then(|| minute.seconds_left(now))
    }

    /// A key that is nobody's, or a secret that is not this one's.
    pub fn wrong(&self, from: IpAddr, of: Option<&K>, now: Timestamp) {
        let from = source(from);
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.is_at_home(from, of, now) {
            return;
        }
        let wrong = &mut remembered.wrong;
        if wrong.len() >= REMEMBERED_MAX && !wrong.contains_key(&from) {
            wrong.retain(|_, minute| !minute.is_over(now));
            // Whoever has so many addresses is not bounded by any.
            if wrong.len() >= REMEMBERED_MAX {
                wrong.clear();
            }
        }
        wrong.entry(from).or_default().count(WRONG_MAX, now);
    }

    /// This one's key with its secret.
    pub fn right(&self, from: IpAddr, of: &K, now: Timestamp) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (right, pair) = (&mut remembered.right, (source(from), of.clone()));
        if right.len() >= REMEMBERED_MAX && !right.contains_key(&pair) {
            right.retain(|_, at| now.since(*at) < AT_HOME);
            // They are back with their next call.
            if right.len() >= REMEMBERED_MAX {
                right.clear();
            }
        }
        right.insert(pair, now);
    }
}

impl<K: Clone + Eq + Hash> Remembered<K> {
    fn is_at_home(&self, from: IpAddr, of: Option<&K>, now: Timestamp) -> bool {
        let of = of.and_then(|of| self.right.get(&(from, of.clone())));
        of.is_some_and(|at| now.since(*at) < AT_HOME)
    }
}

#[cfg(test)]
mod tests {
    use hookit_contract::PartnerId;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + seconds * 1000)
    }

    fn id(name: &str) -> PartnerId {
        PartnerId::from(name.to_owned())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_may_guess_so_often_a_minute_whatever_the_key() {
        let guesses = Guesses::<PartnerId>::default();
        let (stranger, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
        for guess in 0..WRONG_MAX {
            assert_eq!(guesses.closed_for(stranger, None, at(0)), None, "{guess}");
            let of = (guess % 2 == 0).then(|| id("known"));
            guesses.wrong(stranger, of.as_ref(), at(i64::try_from(guess / 2).unwrap()));
        }
        for of in [None, Some(&id("known")), Some(&id("another"))] {
            assert_eq!(guesses.closed_for(stranger, of, at(59)), Some(1));
            assert_eq!(guesses.closed_for(stranger, of, at(60)), None);
            assert_eq!(guesses.closed_for(other, of, at(59)), None);
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_an_ipv4_address_one_however_it_is_written() {
        let guesses = Guesses::<PartnerId>::default();
        for host in 0..WRONG_MAX {
            guesses.wrong(ip(&format!("2001:db8:1:2::{host:x}")), None, at(0));
            guesses.wrong(ip("::ffff:192.0.2.1"), None, at(0));
        }
        assert_eq!(guesses.closed_for(ip("2001:db8:1:2:f::"), None, at(0)), Some(60));
        assert_eq!(guesses.closed_for(ip("2001:db8:1:3::1"), None, at(0)), None);
        assert_eq!(guesses.closed_for(ip("192.0.2.1"), None, at(0)), Some(60));
    }

    #[test]
    fn who_was_let_in_from_an_address_is_not_locked_out_by_whoever_shares_it() {
        const DAY: i64 = 86_400;
        let (guesses, proxy, partner) = (Guesses::default(), ip("10.0.0.1"), id("partner"));
        guesses.right(proxy, &partner, at(0));
        for _ in 0..2 * WRONG_MAX {
            guesses.wrong(proxy, Some(&id("another")), at(DAY - 10));
        }
        assert_eq!(guesses.closed_for(proxy, Some(&partner), at(DAY - 1)), None);
        assert_eq!(guesses.closed_for(proxy, Some(&partner), at(DAY)), Some(50));
        assert_eq!(guesses.closed_for(proxy, Some(&id("another")), at(DAY - 1)), Some(51));
        // Its own mistakes close the address to nobody else.
        let (guesses, stranger) = (Guesses::default(), id("stranger"));
        guesses.right(proxy, &partner, at(0));
        for _ in 0..2 * WRONG_MAX {
            guesses.wrong(proxy, Some(&partner), at(1));
        }
        assert_eq!(guesses.closed_for(proxy, Some(&stranger), at(1)), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let guesses = Guesses::<PartnerId>::default();
        for number in 0..u32::try_from(2 * REMEMBERED_MAX).unwrap() + 5 {
            let from = IpAddr::from(number.to_be_bytes());
            guesses.wrong(from, None, at(0));
            guesses.right(from, &id("partner"), at(0));
        }
        let remembered = guesses.0.lock().unwrap();
        assert!(remembered.wrong.len() <= REMEMBERED_MAX && remembered.right.len() <= REMEMBERED_MAX);
        assert!(remembered.wrong.contains_key(&IpAddr::from(20_004_u32.to_be_bytes())));
    }
}
