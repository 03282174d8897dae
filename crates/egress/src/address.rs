//! Which addresses may be dialled.
//!
//! A partner chooses the host name, and whoever controls its DNS chooses the address. So the decision is made on
//! the resolved address, each time one is resolved, and nowhere else. This module is pure: no look-up, no socket.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::network::Networks;

/// Which addresses an endpoint may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "there are a few of them, and a copy is cheap beside a look-up"
)]
pub enum AddressPolicy {
    /// Public unicast addresses, nothing else.
    PublicOnly,
    /// Public ones, and those of the operator's own machine and networks: loopback, private, carrier-grade NAT and
    /// unique local. Link-local stays refused, since that is where cloud machines answer for their credentials, and
    /// so does everything that cannot be a host.
    AllowPrivate,
    /// Public ones, and of those that [`AddressPolicy::AllowPrivate`] means the ones in these networks.
    PublicAnd(Networks),
}

impl AddressPolicy {
    /// Whether an endpoint may be dialled at this address; the kind of address is the reason where it may not.
    ///
    /// # Errors
    /// The kind of a forbidden address.
    pub fn check(self, address: IpAddr) -> Result<(), AddressKind> {
        let kind = AddressKind::of(address);
        let passed = match self {
            _ if kind == AddressKind::Public => true,
            AddressPolicy::PublicOnly => false,
            AddressPolicy::AllowPrivate => kind.is_private(),
            AddressPolicy::PublicAnd(networks) => {
                // What a network without IPv4 makes of an IPv4 address is vetted as that address.
                let address = embedded(address).map_or(address, IpAddr::V4);
                AddressKind::of(address).is_private() && networks.contain(address)
            }
        };
        if passed { Ok(()) } else { Err(kind) }
    }
}

/// What an address is for, as far as dialling it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressKind {
    /// A unicast address of the public internet.
    Public,
    /// This machine.
    Loopback,
    /// A private network (RFC 1918).
    Private,
    /// A carrier's shared address space (RFC 6598).
    CarrierNat,
    /// An IPv6 unique local network.
    UniqueLocal,
    /// This link only; also where cloud machines find their metadata service.
    LinkLocal,
    /// No address: `0.0.0.0` and its network, or `::`.
    Unspecified,
    /// A group of hosts.
    Multicast,
    /// All hosts of the link.
    Broadcast,
    /// Set aside for documentation.
    Documentation,
    /// Set aside for benchmarks of network devices.
    Benchmarking,
    /// Protocol assignments, discard-only, and whatever else has not been given out to hosts.
    Reserved,
    /// An IPv6 address that stands for an IPv4 one and may surface somewhere that cannot be told from here.
    Transition,
}

impl AddressKind {
    /// The kind of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => of_v4(v4),
            IpAddr::V6(v6) => of_v6(v6),
        }
    }
}

impl AddressKind {
    /// True for the operator's own machine and networks.
    const fn is_private(self) -> bool {
        matches!(
            self,
            AddressKind::Loopback | AddressKind::Private | AddressKind::CarrierNat | AddressKind::UniqueLocal
        )
    }
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AddressKind::Public => "public",
            AddressKind::Loopback => "loopback",
            AddressKind::Private => "private",
            AddressKind::CarrierNat => "carrier-grade NAT",
            AddressKind::UniqueLocal => "unique local",
            AddressKind::LinkLocal => "link-local",
            AddressKind::Unspecified => "unspecified",
            AddressKind::Multicast => "multicast",
            AddressKind::Broadcast => "broadcast",
            AddressKind::Documentation => "documentation",
            AddressKind::Benchmarking => "benchmarking",
            AddressKind::Reserved => "reserved",
            AddressKind::Transition => "IPv4-in-IPv6",
        })
    }
}

/// The first network that holds the address decides; what is in none of them is public.
const V4_NETWORKS: [(Ipv4Addr, u32, AddressKind); 17] = [
    (Ipv4Addr::new(255, 255, 255, 255), 32, AddressKind::Broadcast),
    (Ipv4Addr::new(0, 0, 0, 0), 8, AddressKind::Unspecified),
    (Ipv4Addr::new(10, 0, 0, 0), 8, AddressKind::Private),
    (Ipv4Addr::new(172, 16, 0, 0), 12, AddressKind::Private),
    (Ipv4Addr::new(192, 168, 0, 0), 16, AddressKind::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, AddressKind::CarrierNat),
    (Ipv4Addr::new(127, 0, 0, 0), 8, AddressKind::Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, AddressKind::LinkLocal),
    (Ipv4Addr::new(192, 0, 0, 0), 24, AddressKind::Reserved),
    (Ipv4Addr::new(192, 0, 2, 0), 24, AddressKind::Documentation),
    (Ipv4Addr::new(198, 51, 100, 0), 24, AddressKind::Documentation),
    (Ipv4Addr::new(203, 0, 113, 0), 24, AddressKind::Documentation),
    // The former 6to4 relays: an anycast address that belongs to whoever announces it.
    (Ipv4Addr::new(192, 88, 99, 0), 24, AddressKind::Transition),
    (Ipv4Addr::new(198, 18, 0, 0), 15, AddressKind::Benchmarking),
    (Ipv4Addr::new(233, 252, 0, 0), 24, AddressKind::Documentation),
    (Ipv4Addr::new(224, 0, 0, 0), 4, AddressKind::Multicast),
    (Ipv4Addr::new(240, 0, 0, 0), 4, AddressKind::Reserved),
];

fn of_v4(address: Ipv4Addr) -> AddressKind {
    let within = |network: Ipv4Addr, prefix: u32| {
        let mask = u32::MAX << (32 - prefix);
        address.to_bits() & mask == network.to_bits()
    };
    V4_NETWORKS
        .iter()
        .find(|(network, prefix, _)| within(*network, *prefix))
        .map_or(AddressKind::Public, |(_, _, kind)| *kind)
}

const fn v6(a: u16, b: u16, c: u16, d: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)
}

/// The first network that holds the address decides. Only 2000::/3 has been given out to hosts, so what is in none
/// of these networks is reserved: a space that is opened later is refused until someone adds it here.
///
/// An IPv4 address inside an IPv6 one is refused together with its wrapping, whatever it is: no name server has a
/// reason to answer with a mapped or a compatible address, 6to4 and Teredo have been retired and surface at a relay
/// that nobody here has chosen, and 64:ff9b:1::/48 hides the IPv4 address at a place that only its network knows.
/// The exception is 64:ff9b::/96, handled in [`of_v6`].
const V6_NETWORKS: [(Ipv6Addr, u32, AddressKind); 16] = [
    (Ipv6Addr::UNSPECIFIED, 128, AddressKind::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, AddressKind::Loopback),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, AddressKind::Transition),
    (Ipv6Addr::UNSPECIFIED, 96, AddressKind::Transition),
    (v6(0x64, 0xff9b, 1, 0), 48, AddressKind::Transition),
    (v6(0x100, 0, 0, 0), 64, AddressKind::Reserved),
    (v6(0x2001, 0, 0, 0), 32, AddressKind::Transition),
    (v6(0x2001, 2, 0, 0), 48, AddressKind::Benchmarking),
    (v6(0x2001, 0xdb8, 0, 0), 32, AddressKind::Documentation),
    (v6(0x2001, 0, 0, 0), 23, AddressKind::Reserved),
    (v6(0x2002, 0, 0, 0), 16, AddressKind::Transition),
    (v6(0x3fff, 0, 0, 0), 20, AddressKind::Documentation),
    (v6(0xfc00, 0, 0, 0), 7, AddressKind::UniqueLocal),
    (v6(0xfe80, 0, 0, 0), 10, AddressKind::LinkLocal),
    (v6(0xff00, 0, 0, 0), 8, AddressKind::Multicast),
    (v6(0x2000, 0, 0, 0), 3, AddressKind::Public),
];

/// The IPv4 address that one of 64:ff9b::/96 stands for.
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    let [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] = v6.octets() else { return None };
    Some(Ipv4Addr::new(a, b, c, d))
}

fn of_v6(address: Ipv6Addr) -> AddressKind {
    let within = |network: Ipv6Addr, prefix: u32| {
        let mask = u128::MAX << (128 - prefix);
        address.to_bits() & mask == network.to_bits()
    };
    // A network without IPv4 reaches IPv4-only partners through this prefix (its name server makes the addresses),
    // and the embedded address is always the last 32 bits. So it is the embedded one that counts.
    if let Some(embedded) = embedded(IpAddr::V6(address)) {
        return match of_v4(embedded) {
            AddressKind::Public => AddressKind::Public,
            _ => AddressKind::Transition,
        };
    }
    V6_NETWORKS
        .iter()
        .find(|(network, prefix, _)| within(*network, *prefix))
        .map_or(AddressKind::Reserved, |(_, _, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::AddressKind::*;
    use super::*;

    #[test]
    fn the_kind_of_an_address_is_known_at_both_ends_of_every_network() {
        let table: &[(&[&str], AddressKind)] = &[
            (
                &[
                    "1.1.1.1",
                    "8.8.8.8",
                    "9.255.255.255",
                    "11.0.0.0",
                    "100.63.255.255",
                    "100.128.0.0",
                    "126.255.255.255",
                    "128.0.0.0",
                    "169.253.255.255",
                    "169.255.0.0",
                    "172.15.255.255",
                    "172.32.0.0",
                    "191.255.255.255",
                    "192.0.1.0",
                    "192.0.3.0",
                    "192.88.98.255",
                    "192.88.100.0",
                    "192.167.255.255",
                    "192.169.0.0",
                    "198.17.255.255",
                    "198.20.0.0",
                    "198.51.99.255",
                    "198.51.101.0",
                    "203.0.112.255",
                    "203.0.114.0",
                    "223.255.255.255",
                    "1.0.0.0",
                ],
                Public,
            ),
            (&["127.0.0.0", "127.0.0.1", "127.255.255.255", "::1"], Loopback),
            (
                &[
                    "10.0.0.0",
                    "10.255.255.255",
                    "172.16.0.0",
                    "172.31.255.255",
                    "192.168.0.0",
                    "192.168.255.255",
                ],
                Private,
            ),
            (&["100.64.0.0", "100.127.255.255"], CarrierNat),
            (&["169.254.0.0", "169.254.169.254", "169.254.255.255", "fe80::", "febf::1"], LinkLocal),
            (&["0.0.0.0", "0.0.0.1", "0.255.255.255", "::"], Unspecified),
            (&["224.0.0.0", "239.255.255.255", "ff00::", "ff02::1", "ffff::1"], Multicast),
            (&["255.255.255.255"], Broadcast),
            (
                &[
                    "192.0.2.0",
                    "192.0.2.255",
                    "198.51.100.7",
                    "203.0.113.255",
                    "233.252.0.1",
                    "2001:db8::",
                    "2001:db8:ffff::1",
                    "3fff::",
                    "3fff:fff:ffff::1",
                ],
                Documentation,
            ),
            (&["198.18.0.0", "198.19.255.255", "2001:2::", "2001:2:0:ffff::1"], Benchmarking),
            (
                &[
                    "192.0.0.0",
                    "192.0.0.170",
                    "192.0.0.255",
                    "240.0.0.0",
                    "255.255.255.254",
                    "100::",
                    "100::ffff:ffff:ffff:ffff",
                    "100:0:0:1::",
                    "2001:1::1",
                    "2001:10::",
                    "2001:20::1",
                    "2001:1ff:ffff::",
                    "4000::",
                    "5f00::1",
                    "8000::",
                    "fec0::",
                    "feff::1",
                    "fe00::1",
                    "fbff::1",
                    "64:ff9b:2::1",
                    "64:ff9c::1",
                    "1::1",
                    "200::1",
                ],
                Reserved,
            ),
            (&["fc00::", "fd12:3456::1", "fdff:ffff::1"], UniqueLocal),
            (
                &[
                    "::ffff:127.0.0.1",
                    "::ffff:10.0.0.1",
                    "::ffff:8.8.8.8",
                    "::127.0.0.1",
                    "::8.8.8.8",
                    "::2",
                    "64:ff9b::127.0.0.1",
                    "64:ff9b::10.1.2.3",
                    "64:ff9b::169.254.169.254",
                    "64:ff9b:1::",
                    "64:ff9b:1:ffff::808:808",
                    "2002::",
                    "2002:7f00:1::",
                    "2002:808:808::1",
                    "2001::1",
                    "2001:0:7f00:1::",
                    "192.88.99.0",
                    "192.88.99.255",
                ],
                Transition,
            ),
            (
                &[
                    "2000::",
                    "2001:200::",
                    "2001:4860:4860::8888",
                    "2001:db7:ffff::",
                    "2001:db9::",
                    "2003::1",
                    "2606:4700:4700::1111",
                    "3ffe:ffff::",
                    "3fff:1000::",
                    "3fff:ffff::1",
                    "64:ff9b::8.8.8.8",
                ],
                Public,
            ),
        ];
        for (addresses, kind) in table {
            for text in *addresses {
                let address: IpAddr = text.parse().unwrap();
                assert_eq!(AddressKind::of(address), *kind, "{text}");
            }
        }
    }

    #[test]
    fn only_public_addresses_pass_unless_private_ones_are_allowed_too() {
        let one_of_each = [
            ("8.8.8.8", true, true),
            ("127.0.0.1", false, true),
            ("::1", false, true),
            ("192.168.1.9", false, true),
            ("100.64.0.1", false, true),
            ("fd00::1", false, true),
            ("169.254.169.254", false, false),
            ("fe80::1", false, false),
            ("0.0.0.0", false, false),
            ("::", false, false),
            ("224.0.0.1", false, false),
            ("255.255.255.255", false, false),
            ("192.0.2.1", false, false),
            ("198.18.0.1", false, false),
            ("240.0.0.1", false, false),
            ("::ffff:8.8.8.8", false, false),
            ("::ffff:127.0.0.1", false, false),
        ];
        for (text, public_only, allow_private) in one_of_each {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(AddressPolicy::PublicOnly.check(address).is_ok(), public_only, "{text}");
            assert_eq!(AddressPolicy::AllowPrivate.check(address).is_ok(), allow_private, "{text}");
        }
    }

    #[test]
    fn of_private_addresses_those_in_an_allowed_network_pass_and_nothing_that_is_no_host_of_ones_own() {
        let networks = ["10.0.0.0/8", "fd00::/8", "127.0.0.1/32", "169.254.0.0/16", "224.0.0.0/4", "::/0"];
        let networks: Vec<_> = networks.iter().map(|text| text.parse().unwrap()).collect();
        let policy = AddressPolicy::PublicAnd(Networks::new(&networks).unwrap());
        for (text, passes) in [
            ("8.8.8.8", true),
            ("2606:4700::1", true),
            ("10.1.2.3", true),
            ("64:ff9b::10.1.2.3", true),
            ("fd12::1", true),
            ("127.0.0.1", true),
            ("::1", true),
            ("127.0.0.2", false),
            ("192.168.0.1", false),
            ("64:ff9b::192.168.0.1", false),
            ("64:ff9b::169.254.169.254", false),
            ("64:ff9b:1::10.1.2.3", false),
            ("::ffff:10.1.2.3", false),
            ("2002:a01:203::1", false),
            ("2001:0:a01:203::1", false),
            ("169.254.169.254", false),
            ("fe80::1", false),
            ("224.0.0.1", false),
            ("ff02::1", false),
            ("::", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(policy.check(text.parse().unwrap()).is_ok(), passes, "{text}");
        }
    }

    #[test]
    fn no_network_in_the_tables_has_bits_below_its_prefix() {
        for (network, prefix, _) in V4_NETWORKS {
            assert_eq!(network.to_bits() & !(u32::MAX << (32 - prefix)), 0, "{network}/{prefix}");
        }
        for (network, prefix, _) in V6_NETWORKS {
            assert_eq!(network.to_bits() & !(u128::MAX << (128 - prefix)), 0, "{network}/{prefix}");
        }
    }
}
