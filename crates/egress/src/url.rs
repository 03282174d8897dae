//! The URL of an endpoint, parsed and vetted once.
//!
//! A URL is checked here when an operator registers it, so that the refusal reaches a person; the address behind
//! its name is checked again at every dial, where it counts.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderValue;
use http::uri::PathAndQuery;
use url::Host;

use crate::address::{AddressKind, AddressPolicy};

/// The longest URL that can be registered.
pub const URL_BYTES_MAX: usize = 2048;

/// What an endpoint's URL has to keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UrlRules {
    /// Which addresses may stand in the URL in place of a name.
    pub addresses: AddressPolicy,
    /// Refuse `http`.
    pub https_required: bool,
}

/// Why a text cannot be an endpoint's URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlRefused {
    /// Longer than [`URL_BYTES_MAX`].
    #[error("the URL has {bytes} bytes; expected at most {URL_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Spaces, control characters and backslashes, which URL readers disagree about.
    #[error(
        "the URL has the character {character:?}; expected none of spaces, control characters and backslashes"
    )]
    Character {
        /// The first of them.
        character: char,
    },
    /// Neither `http://` nor `https://`.
    #[error("the URL does not begin with a known scheme; expected https:// or http://")]
    Scheme,
    /// `http` where `https` is required.
    #[error("the URL's scheme is http; expected https, because plain http is not allowed here")]
    HttpsRequired,
    /// A user name or a password in the URL.
    #[error(
        "the URL has a user name or password; expected none, since a webhook's credentials are set beside its URL"
    )]
    Userinfo,
    /// A fragment.
    #[error("the URL has a fragment (the part after #); expected none, since a fragment is never sent")]
    Fragment,
    /// No host.
    #[error("the URL has no host; expected one after ://")]
    HostMissing,
    /// Port 0.
    #[error("the URL's port is 0; expected 1 to 65535")]
    Port,
    /// A literal address that the policy forbids.
    #[error(
        "the URL's host {address} is a {kind} address; expected a host name or an address that may be dialled"
    )]
    AddressForbidden {
        /// The address.
        address: IpAddr,
        /// What it is.
        kind: AddressKind,
    },
    /// Anything else that is not a URL.
    #[error("the URL cannot be read: {reason}; expected for example https://pos.example.com/webhooks/klikit")]
    Malformed {
        /// What the parser says.
        reason: String,
    },
}

/// An endpoint's URL: http or https, with a host, and with nothing in it that is not sent.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl(Arc<Parts>);

#[derive(PartialEq, Eq)]
struct Parts {
    text: String,
    target: Arc<Target>,
    path_and_query: PathAndQuery,
    host_header: HeaderValue,
}

/// What a connection is made to, and what it can be used again for.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) https: bool,
    pub(crate) host: TargetHost,
    pub(crate) port: u16,
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) enum TargetHost {
    Name(String),
    Address(IpAddr),
}

impl EndpointUrl {
    /// Reads and vets a URL.
    ///
    /// # Errors
    /// [`UrlRefused`], whose text names what is wrong and what was expected.
    pub fn parse(text: &str, rules: &UrlRules) -> Result<Self, UrlRefused> {
        if text.len() > URL_BYTES_MAX {
            return Err(UrlRefused::TooLong { bytes: text.len() });
        }
        if let Some(character) = text.chars().find(|c| c.is_whitespace() || c.is_control() || *c == '\\') {
            return Err(UrlRefused::Character { character });
        }
        // The URL standard repairs what it can (a missing slash, an empty user name). A repaired URL is not the one
        // the operator wrote, so these are looked for in the text.
        let (scheme, rest) = text.split_once("://").ok_or(UrlRefused::Scheme)?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(UrlRefused::Scheme),
        };
        if !https && rules.https_required {
            return Err(UrlRefused::HttpsRequired);
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(UrlRefused::Userinfo);
        }
        if authority.is_empty() || authority.starts_with(':') {
            return Err(UrlRefused::HostMissing);
        }
        if rest.contains('#') {
            return Err(UrlRefused::Fragment);
        }
        let malformed = |reason: &dyn fmt::Display| UrlRefused::Malformed { reason: reason.to_string() };
        let url = url::Url::parse(text).map_err(|e| malformed(&e))?;
        let host = match url.host().ok_or(UrlRefused::HostMissing)? {
            Host::Domain(name) => TargetHost::Name(name.to_owned()),
            Host::Ipv4(v4) => TargetHost::Address(IpAddr::V4(v4)),
            Host::Ipv6(v6) => TargetHost::Address(IpAddr::V6(v6)),
        };
        if let TargetHost::Address(address) = host {
            rules.addresses.check(address).map_err(|kind| UrlRefused::AddressForbidden { address, kind })?;
        }
        // The normal form may be longer (a character becomes three), and it has to be readable again as it stands.
        if url.as_str().len() > URL_BYTES_MAX {
            return Err(UrlRefused::TooLong { bytes: url.as_str().len() });
        }
        let port = match url.port_or_known_default() {
            None | Some(0) => return Err(UrlRefused::Port),
            Some(port) => port,
        };
        let path_and_query = url[url::Position::BeforePath..].parse().map_err(|e| malformed(&e))?;
        let host_header = HeaderValue::from_str(&url[url::Position::BeforeHost..url::Position::AfterPort])
            .map_err(|e| malformed(&e))?;
        Ok(EndpointUrl(Arc::new(Parts {
            text: String::from(url),
            target: Arc::new(Target { https, host, port }),
            path_and_query,
            host_header,
        })))
    }

    /// The URL in its normal form.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether the post is made over TLS.
    pub fn is_https(&self) -> bool {
        self.0.target.https
    }

    pub(crate) fn target(&self) -> &Arc<Target> {
        &self.0.target
    }

    pub(crate) fn path_and_query(&self) -> &PathAndQuery {
        &self.0.path_and_query
    }

    pub(crate) fn host_header(&self) -> &HeaderValue {
        &self.0.host_header
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointUrl({:?})", self.0.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: UrlRules = UrlRules { addresses: AddressPolicy::PublicOnly, https_required: true };
    const OPEN: UrlRules = UrlRules { addresses: AddressPolicy::AllowPrivate, https_required: false };

    #[test]
    fn a_good_url_gives_its_target_its_path_and_its_host_header() {
        for (text, https, port, path, host) in [
            ("https://pos.example.com/webhooks/klikit", true, 443, "/webhooks/klikit", "pos.example.com"),
            ("HTTPS://Pos.Example.COM:443", true, 443, "/", "pos.example.com"),
            ("https://pos.example.com:8443/a?b=c&d=%20", true, 8443, "/a?b=c&d=%20", "pos.example.com:8443"),
            ("http://pos.example.com?x=1", false, 80, "/?x=1", "pos.example.com"),
            ("http://127.0.0.1:9000/in", false, 9000, "/in", "127.0.0.1:9000"),
            ("http://[::1]:9000/in", false, 9000, "/in", "[::1]:9000"),
            ("https://warung.example/\u{e9}", true, 443, "/%C3%A9", "warung.example"),
            ("https://b\u{fc}cher.example/a|b^c", true, 443, "/a|b^c", "xn--bcher-kva.example"),
        ] {
            let url = EndpointUrl::parse(text, &OPEN).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(url.is_https(), https, "{text}");
            assert_eq!(url.target().port, port, "{text}");
            assert_eq!(url.path_and_query().as_str(), path, "{text}");
            assert_eq!(url.host_header().to_str().unwrap(), host, "{text}");
            assert_eq!(
                EndpointUrl::parse(url.as_str(), &OPEN).unwrap(),
                url,
                "{text} is read back as itself"
            );
        }
    }

    #[test]
    fn a_refused_url_is_told_what_is_wrong_and_what_was_expected() {
        let long = format!("https://pos.example.com/{}", "a".repeat(URL_BYTES_MAX));
        let long_when_escaped = format!("https://pos.example.com/{}", "\u{e9}".repeat(URL_BYTES_MAX / 3));
        for (text, wrong) in [
            (long.as_str(), "bytes"),
            (long_when_escaped.as_str(), "bytes"),
            ("", "scheme"),
            ("pos.example.com/in", "scheme"),
            ("ftp://pos.example.com/in", "scheme"),
            ("file:///etc/passwd", "scheme"),
            ("https:pos.example.com", "scheme"),
            ("javascript://pos.example.com/%0aalert(1)", "scheme"),
            ("http://pos.example.com/in", "expected https"),
            ("https://user@pos.example.com/", "user name"),
            ("https://user:password@pos.example.com/", "user name"),
            ("https://@pos.example.com/", "user name"),
            ("https://:@pos.example.com/", "user name"),
            ("https://pos.example.com/in#part", "fragment"),
            ("https://pos.example.com/in#", "fragment"),
            ("https:///in", "no host"),
            ("https://", "no host"),
            ("https://:443/in", "no host"),
            ("https://?a", "no host"),
            ("https://pos.example.com:0/in", "port is 0"),
            ("https://pos.example.com:70000/in", "cannot be read"),
            ("https://pos.exa mple.com/", "character"),
            ("https://pos.example.com/a\r\nX-Injected: 1", "character"),
            ("https://pos.example.com\\@evil.example/", "character"),
            ("https://[::1/in", "cannot be read"),
            ("https://[fe80::1%25eth0]/in", "cannot be read"),
        ] {
            let refused = EndpointUrl::parse(text, &STRICT).unwrap_err().to_string();
            assert!(refused.contains(wrong), "{text:?}: {refused}");
            assert!(refused.contains("expected"), "{text:?}: {refused}");
        }
    }

    #[test]
    fn a_literal_address_is_vetted_in_every_spelling() {
        for text in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://127.0.0.1./",
            "https://%31%32%37.0.0.1/",
            "https://\u{ff11}27.0.0.1/",
            "https://0/",
            "https://169.254.169.254/latest/meta-data/",
            "https://10.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[fd00::1]/",
        ] {
            let refused = EndpointUrl::parse(text, &STRICT).unwrap_err();
            assert!(matches!(refused, UrlRefused::AddressForbidden { .. }), "{text}: {refused}");
        }
        assert!(EndpointUrl::parse("https://8.8.8.8/", &STRICT).is_ok());
        assert!(EndpointUrl::parse("https://127.0.0.1/", &OPEN).is_ok());
        assert!(EndpointUrl::parse("https://169.254.169.254/", &OPEN).is_err());
    }
}
