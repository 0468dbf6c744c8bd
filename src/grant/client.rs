//! The address a request comes from.

use std::net::IpAddr;

/// The client's address, and how the host knows it.
///
/// ```
/// use keyward::ClientIp;
///
/// let client = ClientIp::Peer("::ffff:10.0.0.1".parse()?);
/// assert_eq!(client.address(), Some("10.0.0.1".parse()?));
/// assert_eq!(ClientIp::Unknown.address(), None);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
///
/// # Security
///
/// A forwarded address is worth what the proxy that wrote it is worth. Only a
/// chain whose every hop the host trusts may become [`ClientIp::Forwarded`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientIp {
    /// Read from a header that a trusted proxy wrote.
    Forwarded(IpAddr),
    /// The other end of the connection.
    Peer(IpAddr),
    /// Not known: a key with any network rule is refused.
    #[default]
    Unknown,
}

impl ClientIp {
    /// The address as it was given.
    #[inline]
    pub(crate) const fn given(&self) -> Option<&IpAddr> {
        match self {
            Self::Forwarded(address) | Self::Peer(address) => Some(address),
            Self::Unknown => None,
        }
    }

    /// The address if it is known; an IPv4-mapped IPv6 address
    /// (RFC 4291 section 2.5.5.2) is the IPv4 address it stands for.
    #[inline]
    pub const fn address(self) -> Option<IpAddr> {
        match self {
            Self::Forwarded(address) | Self::Peer(address) => Some(address.to_canonical()),
            Self::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_fold_and_others_stay() {
        for (given, expected) in [
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("::ffff:0:0", "0.0.0.0"),
            ("10.0.0.1", "10.0.0.1"),
            ("::10.0.0.1", "::10.0.0.1"),
            ("64:ff9b::10.0.0.1", "64:ff9b::10.0.0.1"),
        ] {
            let (given, expected) = (given.parse().unwrap(), expected.parse().unwrap());
            assert_eq!(ClientIp::Peer(given).address(), Some(expected));
            assert_eq!(ClientIp::Forwarded(given).address(), Some(expected));
        }
        assert_eq!(ClientIp::default().address(), None);
    }
}
