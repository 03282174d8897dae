//! Where a delivery comes from, and whether it may. Pure.
//!
//! The signature says whose a delivery is; this only keeps strangers' requests from being read at all. Behind a proxy the
//! connection's peer is the proxy, and the sender stands in `X-Forwarded-For`. Each proxy adds the address that it was
//! called from at the right, so of that list what is left of the first address that is no trusted proxy may be anything.

use std::net::{IpAddr, SocketAddr};

use hookit_egress::Networks;
use http::HeaderMap;

/// Which addresses deliveries may come from.
#[derive(Clone, Copy, Debug)]
pub struct Sources {
    /// Of these networks alone.
    pub allowed: Networks,
    /// Proxies that are believed when they say whom they speak for.
    pub trusted_proxies: Networks,
}

const FORWARDED_FOR: &str = "x-forwarded-for";

impl Sources {
    /// Whether a request may be read that came over a connection from `peer`.
    pub(crate) fn allow(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> bool {
        let source = peer.and_then(|peer| self.source(peer.ip().to_canonical(), headers));
        source.is_some_and(|source| self.allowed.contain(source))
    }

    /// Who has sent it; nobody that can be told where a trusted proxy says something that is no address.
    fn source(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        if !self.trusted_proxies.contain(peer) {
            return Some(peer);
        }
        let mut source = peer;
        let lines: Vec<&str> =
            headers.get_all(FORWARDED_FOR).iter().map(|line| line.to_str()).collect::<Result<_, _>>().ok()?;
        for hop in lines.iter().flat_map(|line| line.split(',')).rev() {
            source = address(hop.trim())?;
            if !self.trusted_proxies.contain(source) {
                break;
            }
        }
        Some(source)
    }
}

/// An address, also with a port behind it, as some proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address =
        bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn networks(list: &[&str]) -> Networks {
        Networks::new(&list.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn the_source_is_the_first_from_the_right_that_is_no_trusted_proxy() {
        let sources = Sources {
            allowed: networks(&["203.0.113.0/24", "2001:db8::/32"]),
            trusted_proxies: networks(&["10.0.0.0/8", "127.0.0.1/32"]),
        };
        for (peer, forwarded, expect) in [
            ("203.0.113.9:1", &[][..], true),
            ("[::ffff:203.0.113.9]:1", &[], true),
            ("[2001:db8::7]:1", &[], true),
            ("198.51.100.1:1", &[], false),
            // Whoever is no trusted proxy can write what he likes.
            ("198.51.100.1:1", &["203.0.113.9"], false),
            ("203.0.113.9:1", &["198.51.100.1"], true),
            ("10.0.0.1:1", &["203.0.113.9"], true),
            ("10.0.0.1:1", &["203.0.113.9:4711"], true),
            ("127.0.0.1:1", &["[2001:db8::7]"], true),
            ("127.0.0.1:1", &["[2001:db8::7]:443"], true),
            ("10.0.0.1:1", &["203.0.113.9, 198.51.100.1"], false),
            ("10.0.0.1:1", &["198.51.100.1, 203.0.113.9, 10.1.1.1"], true),
            ("10.0.0.1:1", &["198.51.100.1", "203.0.113.9"], true),
            ("10.0.0.1:1", &["203.0.113.9", "198.51.100.1"], false),
            // A proxy that names nobody speaks for itself, and is not in the networks.
            ("10.0.0.1:1", &[], false),
            ("10.0.0.1:1", &["203.0.113.9, unknown"], false),
            ("10.0.0.1:1", &["203.0.113.9,"], false),
            ("10.0.0.1:1", &["10.0.0.2, 10.0.0.3"], false),
        ] {
            let name = HeaderName::from_static(FORWARDED_FOR);
            let headers: HeaderMap =
                forwarded.iter().map(|line| (name.clone(), HeaderValue::from_static(line))).collect();
            let peer = peer.parse().unwrap();
            assert_eq!(sources.allow(Some(peer), &headers), expect, "{peer} {forwarded:?}");
        }
        assert!(!sources.allow(None, &HeaderMap::new()));
    }
}
