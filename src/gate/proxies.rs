use std::net::IpAddr;

use super::RequestHead;
use super::forwarded::{forwarded, x_forwarded_for};
use crate::error::FieldError;
use crate::grant::{ClientIp, Network, NetworkRules, NetworkVerdict};

/// The most hops that are read.
const MOST_HOPS: usize = 32;

/// The longest chain that is read, in bytes.
const LONGEST: usize = 8 * 1024;

const FIELD: &str = "trusted_proxies";

/// The proxies whose word on a client's address counts, and the header they write it in.
///
/// The client is the right-most hop that is not one of them: what stands further left was
/// written by somebody nobody vouches for. If all hops are trusted, it is the left-most.
///
/// It is [`ClientIp::Unknown`], and so refused by any key with a network rule, if
///
/// - that hop is no address: `unknown`, a made-up name, nothing;
/// - the chain has more than 32 hops or 8 KiB, or a `Forwarded` breaks the grammar;
/// - a trusted peer sends no such header;
/// - the peer is not known.
///
/// A peer that is not trusted is the client itself, whatever it sends.
///
/// ```
/// use keyward::{ClientIp, TrustedProxies};
///
/// let proxies = TrustedProxies::x_forwarded_for(["10.0.0.0/8"])?;
/// let peer = Some("10.0.0.1".parse().unwrap());
/// let client = proxies.client(peer, [&b"6.6.6.6, 192.0.2.7, 10.0.0.2"[..]]);
/// assert_eq!(client, ClientIp::Forwarded("192.0.2.7".parse().unwrap()));
/// # Ok::<(), keyward::FieldError>(())
/// ```
///
/// # Security
///
/// Choose the header that your proxies write, and have them write it always: the other one
/// is never read. A trusted peer without the header is not taken for the client, because a
/// client can have some proxies drop what they wrote (CVE-2022-31813).
#[derive(Clone, Debug)]
pub struct TrustedProxies {
    networks: NetworkRules,
    chain: Chain,
}

#[derive(Clone, Copy, Debug)]
enum Chain {
    Forwarded,
    XForwardedFor,
}

impl TrustedProxies {
    /// Proxies in these networks, which add their peer to `X-Forwarded-For`.
    ///
    /// Addresses may be with a port, and those of IPv6 in brackets.
    ///
    /// # Errors
    ///
    /// If one is no network, or is all addresses (`0.0.0.0/0`): then every client could
    /// write its own address; or if there are more than 1,000.
    pub fn x_forwarded_for(
        networks: impl IntoIterator<Item: AsRef<str>>,
    ) -> Result<Self, FieldError> {
        Self::new(Chain::XForwardedFor, networks)
    }

    /// Proxies in these networks, which add their peer to `Forwarded` (RFC 7239).
    ///
    /// # Errors
    ///
    /// As [`TrustedProxies::x_forwarded_for`].
    pub fn forwarded(networks: impl IntoIterator<Item: AsRef<str>>) -> Result<Self, FieldError> {
        Self::new(Chain::Forwarded, networks)
    }

    fn new(
        chain: Chain,
        networks: impl IntoIterator<Item: AsRef<str>>,
    ) -> Result<Self, FieldError> {
        let read = |index: usize, text: &str| {
            let network = match Network::parse(text) {
                Ok(network) if network.prefix() == 0 => {
                    Err(FieldError::new(FIELD, text, "must not be every address"))
                }
                network => network,
            };
            network.map_err(|error| error.at(format!("{FIELD}[{index}]")))
        };
        let networks = networks
            .into_iter()
            .enumerate()
            .map(|(index, text)| read(index, text.as_ref()))
            .collect::<Result<Vec<_>, _>>()?;
        let networks = NetworkRules::from_networks(networks, Vec::new());
        Ok(Self { networks: networks.map_err(|error| error.at(FIELD))?, chain })
    }

    /// The name of the header, in lower case.
    pub fn header_name(&self) -> &'static str {
        match self.chain {
            Chain::Forwarded => "forwarded",
            Chain::XForwardedFor => "x-forwarded-for",
        }
    }

    /// The client of a request from `peer` with these lines of the header, in the order
    /// they came. Allocates nothing.
    pub fn client<'a>(
        &self,
        peer: Option<IpAddr>,
        lines: impl IntoIterator<Item = &'a [u8]>,
    ) -> ClientIp {
        match peer {
            None => ClientIp::Unknown,
            Some(peer) if self.trusts(peer) => {
                self.behind(lines).map_or(ClientIp::Unknown, ClientIp::Forwarded)
            }
            Some(peer) => ClientIp::Peer(peer.to_canonical()),
        }
    }

    pub(super) fn client_of(&self, head: &impl RequestHead) -> ClientIp {
        self.client(head.peer(), head.header(self.header_name()))
    }

    /// The right-most hop that isn't trusted, or the left-most of all.
    fn behind<'a>(&self, lines: impl IntoIterator<Item = &'a [u8]>) -> Option<IpAddr> {
        let (mut length, mut hops, mut client) = (0, 0, None);
        let mut pass = |hop: Option<IpAddr>| {
            hops += 1;
            if hops == 1 || !hop.is_some_and(|hop| self.trusts(hop)) {
                client = hop;
            }
            (hops <= MOST_HOPS).then_some(())
        };
        for line in lines {
            length += line.len();
            if length > LONGEST {
                return None;
            }
            match self.chain {
                Chain::Forwarded => forwarded(line, &mut pass)?,
                Chain::XForwardedFor => x_forwarded_for(line).try_for_each(&mut pass)?,
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        !self.networks.is_empty()
            && self.networks.check(Some(address.to_canonical())) == NetworkVerdict::Allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_no_list_of_proxies() {
        for text in ["0.0.0.0/0", "::/0"] {
            let error = TrustedProxies::forwarded(["10.0.0.0/8", text]).unwrap_err();
            assert_eq!(error.field(), "trusted_proxies[1]");
        }
        assert!(TrustedProxies::x_forwarded_for(["10.0.0.1/8"]).is_err());
        assert!(TrustedProxies::x_forwarded_for(vec!["10.0.0.1"; 1_001]).is_err());
        let none = TrustedProxies::x_forwarded_for([""; 0]).unwrap();
        let peer = [192, 0, 2, 1].into();
        assert_eq!(none.client(Some(peer), [&b"10.0.0.1"[..]]), ClientIp::Peer(peer));
    }

    #[test]
    fn the_client_is_the_right_most_who_is_not_trusted() {
        let of = |proxies: &TrustedProxies, lines: &[&str]| {
            let lines = lines.iter().map(|line| line.as_bytes());
            match proxies.client(Some([10, 0, 0, 1].into()), lines) {
                ClientIp::Forwarded(client) => client.to_string(),
                other => format!("{other:?}"),
            }
        };
        let proxies = TrustedProxies::x_forwarded_for(["10.0.0.0/8", "2001:db8::/32"]).unwrap();
        let long = "1.1.1.1, ".repeat(31) + "192.0.2.7";
        let too_long = "1.1.1.1, ".repeat(32) + "192.0.2.7";
        let huge = format!("{},192.0.2.7", " ".repeat(LONGEST));
        for (lines, expected) in [
            (&["192.0.2.7"][..], "192.0.2.7"),
            (&["6.6.6.6, 192.0.2.7"], "192.0.2.7"),
            (&["6.6.6.6", "192.0.2.7"], "192.0.2.7"),
            (&["192.0.2.7, 10.0.0.2, [2001:db8::1]:80"], "192.0.2.7"),
            (&["192.0.2.7", "10.0.0.2", "::ffff:10.9.9.9"], "192.0.2.7"),
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&["junk, 192.0.2.7"], "192.0.2.7"),
            (&["192.0.2.7, junk, 10.0.0.2"], "Unknown"),
            (&["192.0.2.7,"], "Unknown"),
            (&["192.0.2.7", ""], "Unknown"),
            (&["junk"], "Unknown"),
            (&[""], "Unknown"),
            (&[], "Unknown"),
            (&[&long], "192.0.2.7"),
            (&[&too_long], "Unknown"),
            (&[&huge], "Unknown"),
        ] {
            assert_eq!(of(&proxies, lines), expected, "{lines:?}");
        }
        let proxies = TrustedProxies::forwarded(["10.0.0.0/8"]).unwrap();
        for (lines, expected) in [
            (&["for=6.6.6.6, for=192.0.2.7;by=10.0.0.1"][..], "192.0.2.7"),
            (&["for=_x, for=192.0.2.7", "for=10.0.0.2"], "192.0.2.7"),
            (&["for=192.0.2.7, for=unknown"], "Unknown"),
            (&["for=\"", "for=192.0.2.7"], "Unknown"),
            (&["for=192.0.2.7, for=10.0.0.2, ;"], "Unknown"),
        ] {
            assert_eq!(of(&proxies, lines), expected, "{lines:?}");
        }
        assert_eq!(proxies.client(None, [&b"for=192.0.2.7"[..]]), ClientIp::Unknown);
    }
}
