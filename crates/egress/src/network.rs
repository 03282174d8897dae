//! Networks by their prefix, and short lists of them. Pure, like all that vets addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// How many networks can be allowed.
pub const NETWORKS_MAX: usize = 16;

/// A network: an address and how many of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Neither form.
    #[error("expected an address and a prefix length, 10.0.0.0/8 or fd00::/8 for instance")]
    Malformed,
    /// A prefix that is longer than the address.
    #[error("the prefix is longer than the address: expected at most /{max}")]
    Prefix {
        /// Its length.
        max: u32,
    },
    /// An address of a host rather than of a network.
    #[error("the address has bits behind its prefix; the network is written {network}")]
    HostBits {
        /// What was probably meant.
        network: Network,
    },
    /// Too many.
    #[error("expected at most {NETWORKS_MAX} networks")]
    TooMany,
}

impl Network {
    fn masked(self) -> IpAddr {
        match self.address {
            IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & mask_v4(self.prefix)).into()),
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & mask_v6(self.prefix)).into()),
        }
    }

    /// Whether an address is in it. An IPv6 address is never in an IPv4 network, whatever it stands for.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && Network { address, prefix: self.prefix }.masked() == self.address
    }
}

fn mask_v4(prefix: u32) -> u32 {
    u32::MAX.checked_shl(32 - prefix).unwrap_or(0)
}

fn mask_v6(prefix: u32) -> u128 {
    u128::MAX.checked_shl(128 - prefix).unwrap_or(0)
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = text.split_once('/').ok_or(NetworkError::Malformed)?;
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Malformed)?;
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NetworkError::Malformed);
        }
        let max = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= max);
        let prefix = prefix.ok_or(NetworkError::Prefix { max })?;
        let network = Network { address: Network { address, prefix }.masked(), prefix };
        if network.address != address {
            return Err(NetworkError::HostBits { network });
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A few networks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Networks([Option<Network>; NETWORKS_MAX]);

impl Networks {
    /// A list of them.
    ///
    /// # Errors
    /// [`NetworkError::TooMany`]
    pub fn new(networks: &[Network]) -> Result<Self, NetworkError> {
        if networks.len() > NETWORKS_MAX {
            return Err(NetworkError::TooMany);
        }
        let mut places = [None; NETWORKS_MAX];
        for (place, network) in places.iter_mut().zip(networks) {
            *place = Some(*network);
        }
        Ok(Networks(places))
    }

    /// Whether an address is in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().flatten().any(|network| network.contains(address))
    }
}

impl fmt::Debug for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().flatten().map(|network| format_args!("{network}").to_string()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_the_addresses_with_its_prefix_and_no_others() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["9.255.255.255", "11.0.0.0"]),
            ("192.168.7.0/24", ["192.168.7.0", "192.168.7.255"], ["192.168.6.255", "192.168.8.0"]),
            ("127.0.0.1/32", ["127.0.0.1", "127.0.0.1"], ["127.0.0.0", "127.0.0.2"]),
            ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::", "::ffff:10.0.0.1"]),
            ("fd00::/8", ["fd00::", "fdff:ffff::1"], ["fc00::", "fe00::"]),
            ("::1/128", ["::1", "::1"], ["::", "::2"]),
            ("::/0", ["::", "ffff::1"], ["0.0.0.0", "10.0.0.1"]),
        ] {
            let known: Network = network.parse().unwrap();
            assert_eq!(known.to_string(), network);
            for address in inside {
                assert!(known.contains(address.parse().unwrap()), "{network} {address}");
            }
            for address in outside {
                assert!(!known.contains(address.parse().unwrap()), "{network} {address}");
            }
        }
    }

    #[test]
    fn what_is_no_network_is_refused_in_words() {
        for (text, message) in [
            ("10.0.0.0", "expected an address and a prefix length, 10.0.0.0/8 or fd00::/8 for instance"),
            ("10.0.0/8", "expected an address and a prefix length, 10.0.0.0/8 or fd00::/8 for instance"),
            ("10.0.0.0/+8", "expected an address and a prefix length, 10.0.0.0/8 or fd00::/8 for instance"),
            ("10.0.0.0/33", "the prefix is longer than the address: expected at most /32"),
            ("fd00::/129", "the prefix is longer than the address: expected at most /128"),
            ("10.1.2.3/8", "the address has bits behind its prefix; the network is written 10.0.0.0/8"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap_err().to_string(), message, "{text}");
        }
        let one: Network = "10.0.0.0/8".parse().unwrap();
        assert_eq!(Networks::new(&[one; NETWORKS_MAX + 1]).unwrap_err(), NetworkError::TooMany);
    }
}
