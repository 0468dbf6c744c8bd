//! One network: its text, and its addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnetwork::IpNetwork;

use crate::error::FieldError;
use crate::text::serde_as_text;

const FIELD: &str = "network";

/// The length of `::ffff:0:0/96`, below which the IPv4-mapped addresses lie
/// (RFC 4291 section 2.5.5.2).
const MAPPED: u8 = 96;

/// An IPv4 or IPv6 address, or a network in CIDR notation (RFC 4632, RFC 4291).
///
/// There is one value for each set of addresses: host bits must be zero, and an
/// IPv4-mapped IPv6 network is the IPv4 network it stands for
/// (`::ffff:10.0.0.0/104` is `10.0.0.0/8`). An address alone is a network of one,
/// shown without `/32` or `/128`.
///
/// An IPv6 network has IPv6 addresses only, even `::/0`.
///
/// ```
/// use keyward::Network;
///
/// let network = Network::parse("10.0.0.0/8")?;
/// assert!(network.contains("::ffff:10.1.2.3".parse().unwrap()));
///
/// let error = Network::parse("10.0.0.1/8").unwrap_err();
/// assert!(error.to_string().contains("`10.0.0.0/8`"));
/// # Ok::<(), keyward::FieldError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The first and the last address of a network, as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bounds {
    V4(u32, u32),
    V6(u128, u128),
}

impl Network {
    /// Reads an address or a network.
    ///
    /// # Errors
    ///
    /// If the address is malformed or has a zone id; if the length is malformed
    /// (`/+8`, `/08`, a dotted mask) or too long; or if host bits are set: then
    /// the error says which network was probably meant.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let error = |rule: &str| FieldError::new(FIELD, text, rule);
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        if address.contains('%') {
            return Err(error("must not have a zone id"));
        }
        let address: IpAddr = address.parse().map_err(|_| {
            error("must be an IP address such as `192.0.2.1`, or a network such as `10.0.0.0/8`")
        })?;
        let Some(prefix) = prefix else {
            return Ok(address.into());
        };
        if prefix.contains(['.', ':']) {
            return Err(error("must have a prefix length such as `/24`, not a mask"));
        }
        let digits = (1..=3).contains(&prefix.len()) && prefix.bytes().all(|b| b.is_ascii_digit());
        if !digits || (prefix.len() > 1 && prefix.starts_with('0')) {
            return Err(error(
                "must have a prefix length in decimal digits without sign or leading zero, such as `/8`",
            ));
        }
        let prefix = prefix.parse().unwrap_or(u8::MAX);
        Self::canonical(address, prefix).map_err(|rule| error(&rule))
    }

    /// The first address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// The prefix length: 0 to 32 for IPv4, 0 to 128 for IPv6.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether `address` lies in this network; an IPv4-mapped one counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.bounds(), address.to_canonical()) {
            (Bounds::V4(first, last), IpAddr::V4(address)) => {
                (first..=last).contains(&address.to_bits())
            }
            (Bounds::V6(first, last), IpAddr::V6(address)) => {
                (first..=last).contains(&address.to_bits())
            }
            _ => false,
        }
    }

    /// The network that stands for a client: an IPv4 address itself, and of an IPv6 address
    /// its /64.
    pub(crate) fn of_client(address: IpAddr) -> Self {
        match address.to_canonical() {
            v4 @ IpAddr::V4(_) => v4.into(),
            IpAddr::V6(v6) => {
                let first = Ipv6Addr::from_bits(v6.to_bits() & !v6_hosts(64));
                Self { address: first.into(), prefix: 64 }
            }
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        match self.address {
            IpAddr::V4(first) => {
                let first = first.to_bits();
                Bounds::V4(first, first | v4_hosts(self.prefix))
            }
            IpAddr::V6(first) => {
                let first = first.to_bits();
                Bounds::V6(first, first | v6_hosts(self.prefix))
            }
        }
    }

    fn canonical(address: IpAddr, prefix: u8) -> Result<Self, String> {
        let longest = longest(address);
        if prefix > longest {
            return Err(format!("must have a prefix length of at most {longest}"));
        }
        let network = match address.to_canonical() {
            v4 @ IpAddr::V4(_) if address.is_ipv6() => {
                let Some(prefix) = prefix.checked_sub(MAPPED) else {
                    return Err(format!(
                        "must have a prefix length of at least {MAPPED} after an IPv4-mapped \
                         address; write the IPv4 network instead, such as `{v4}`"
                    ));
                };
                Self { address: v4, prefix }
            }
            address => Self { address, prefix },
        };
        let meant = Self {
            address: match network.address {
                IpAddr::V4(v4) => {
                    Ipv4Addr::from_bits(v4.to_bits() & !v4_hosts(network.prefix)).into()
                }
                IpAddr::V6(v6) => {
                    Ipv6Addr::from_bits(v6.to_bits() & !v6_hosts(network.prefix)).into()
                }
            },
            ..network
        };
        if meant == network {
            Ok(network)
        } else {
            Err(format!(
                "must not have host bits set; did you mean `{meant}`, or the one address `{}`?",
                network.address
            ))
        }
    }
}

const fn longest(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn v4_hosts(prefix: u8) -> u32 {
    u32::MAX.checked_shr(prefix.into()).unwrap_or(0)
}

fn v6_hosts(prefix: u8) -> u128 {
    u128::MAX.checked_shr(prefix.into()).unwrap_or(0)
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, prefix: longest(address) }
    }
}

impl TryFrom<IpNetwork> for Network {
    type Error = FieldError;

    /// Fails as [`Network::parse`] does: an `IpNetwork` may have host bits set.
    fn try_from(network: IpNetwork) -> Result<Self, FieldError> {
        Self::canonical(network.ip(), network.prefix())
            .map_err(|rule| FieldError::new(FIELD, &network.to_string(), rule))
    }
}

impl FromStr for Network {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        Self::parse(text)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == longest(self.address) {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.prefix)
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Network({self})")
    }
}

serde_as_text!(Network);

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
