//! From which addresses a key works.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::network::{Bounds, Network};
use super::ranges::Ranges;
use crate::error::FieldError;

/// The most networks in each list.
const MOST: usize = 1000;

const ALLOW: &str = "ip_allowlist";
const DENY: &str = "ip_denylist";

/// `::ffff:0:0/96`: no client has such an address once mapped ones are folded.
const MAPPED: (u128, u128) = (0xffff_0000_0000, 0xffff_ffff_ffff);

/// An allow and a deny list of networks, at most 1,000 each.
///
/// Deny wins. An empty allow list means any address; two empty lists are no rule.
/// If there is a rule, a client whose address is not known is refused.
///
/// Each list keeps the order it was given in; matching is by merged, sorted ranges
/// and takes the logarithm of their number.
///
/// ```
/// use keyward::{NetworkRules, NetworkVerdict};
///
/// let rules = NetworkRules::parse(["10.0.0.0/8"], ["10.6.6.0/24"]).unwrap();
/// let check = |address: &str| rules.check(Some(address.parse().unwrap()));
/// assert_eq!(check("10.1.2.3"), NetworkVerdict::Allowed);
/// assert_eq!(check("10.6.6.6"), NetworkVerdict::Denied);
/// assert_eq!(check("192.0.2.1"), NetworkVerdict::NotListed);
/// assert_eq!(rules.check(None), NetworkVerdict::Unknown);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkRules(Option<Box<Lists>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Lists {
    allow: Box<[Network]>,
    deny: Box<[Network]>,
    allowed: Addresses,
    denied: Addresses,
}

/// What network rules say to a client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NetworkVerdict {
    /// No rule is against it.
    Allowed,
    /// The deny list has it.
    Denied,
    /// There is an allow list, and it doesn't have it.
    NotListed,
    /// There are rules, and the address is not known.
    Unknown,
}

impl NetworkRules {
    /// Reads both lists.
    ///
    /// # Errors
    ///
    /// One error for each item that is no network, named `ip_allowlist[index]` or
    /// `ip_denylist[index]`, and one for each list that is too long.
    pub fn parse(
        allow: impl IntoIterator<Item: AsRef<str>>,
        deny: impl IntoIterator<Item: AsRef<str>>,
    ) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let allow = parse_list(ALLOW, allow, &mut errors);
        let deny = parse_list(DENY, deny, &mut errors);
        if errors.is_empty() {
            Self::from_networks(allow, deny).map_err(|error| vec![error])
        } else {
            Err(errors)
        }
    }

    /// The rules with these lists.
    ///
    /// # Errors
    ///
    /// If a list has more than 1,000 networks.
    pub fn from_networks(allow: Vec<Network>, deny: Vec<Network>) -> Result<Self, FieldError> {
        for (field, list) in [(ALLOW, &allow), (DENY, &deny)] {
            if list.len() > MOST {
                return Err(too_long(field));
            }
        }
        if allow.is_empty() && deny.is_empty() {
            return Ok(Self(None));
        }
        Ok(Self(Some(Box::new(Lists {
            allowed: Addresses::of(&allow),
            denied: Addresses::of(&deny),
            allow: allow.into(),
            deny: deny.into(),
        }))))
    }

    /// The networks that are allowed; empty for any.
    pub fn allow(&self) -> &[Network] {
        self.0.as_ref().map_or(&[], |lists| &lists.allow)
    }

    /// The networks that are denied.
    pub fn deny(&self) -> &[Network] {
        self.0.as_ref().map_or(&[], |lists| &lists.deny)
    }

    /// Whether both lists are empty: there is no rule.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// What the rules say to a client. Allocates nothing.
    #[inline]
    pub fn check(&self, client: Option<IpAddr>) -> NetworkVerdict {
        self.check_known(client.as_ref())
    }

    /// The same, of an address that stays where it is: copies of it are slow to read.
    #[inline]
    pub(crate) fn check_known(&self, client: Option<&IpAddr>) -> NetworkVerdict {
        let Some(lists) = &self.0 else {
            return NetworkVerdict::Allowed;
        };
        let Some(client) = client else {
            return NetworkVerdict::Unknown;
        };
        if !lists.deny.is_empty() && lists.denied.contains(client) {
            NetworkVerdict::Denied
        } else if lists.allow.is_empty() || lists.allowed.contains(client) {
            NetworkVerdict::Allowed
        } else {
            NetworkVerdict::NotListed
        }
    }

    /// The first network of the list that decided about `client`, if one did.
    pub fn decided_by(&self, client: Option<IpAddr>) -> Option<Network> {
        let list = match self.check(client) {
            NetworkVerdict::Allowed => self.allow(),
            NetworkVerdict::Denied => self.deny(),
            NetworkVerdict::NotListed | NetworkVerdict::Unknown => return None,
        };
        list.iter().copied().find(|network| client.is_some_and(|client| network.contains(client)))
    }

    /// Whether `outer` permits every client that these rules permit, exactly.
    ///
    /// A client whose address is not known is one that only empty rules permit, so
    /// empty rules are not within `0.0.0.0/0` and `::/0`.
    pub fn within(&self, outer: &Self) -> bool {
        let Some(theirs) = &outer.0 else {
            return true;
        };
        self.0.as_ref().is_some_and(|ours| ours.permitted().within(&theirs.permitted()))
    }
}

impl Lists {
    fn permitted(&self) -> Addresses {
        let allowed = if self.allow.is_empty() { &Addresses::all() } else { &self.allowed };
        Addresses {
            v4: allowed.v4.minus(&self.denied.v4),
            v6: allowed.v6.minus(&self.denied.v6).minus(&[MAPPED].into_iter().collect()),
        }
    }
}

fn parse_list(
    field: &str,
    items: impl IntoIterator<Item: AsRef<str>>,
    errors: &mut Vec<FieldError>,
) -> Vec<Network> {
    let mut networks = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        if index == MOST {
            errors.push(too_long(field));
            break;
        }
        match Network::parse(item.as_ref()) {
            Ok(network) => networks.push(network),
            Err(error) => errors.push(error.at(format!("{field}[{index}]"))),
        }
    }
    networks
}

fn too_long(field: &str) -> FieldError {
    FieldError::unshown(field, "must list at most 1000 networks")
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Addresses {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl Addresses {
    fn all() -> Self {
        Self { v4: Ranges::all(), v6: Ranges::all() }
    }

    fn of(networks: &[Network]) -> Self {
        let bounds = || networks.iter().map(Network::bounds);
        Self {
            v4: bounds()
                .filter_map(|bounds| match bounds {
                    Bounds::V4(first, last) => Some((first, last)),
                    Bounds::V6(..) => None,
                })
                .collect(),
            v6: bounds()
                .filter_map(|bounds| match bounds {
                    Bounds::V4(..) => None,
                    Bounds::V6(first, last) => Some((first, last)),
                })
                .collect(),
        }
    }

    #[inline]
    fn contains(&self, address: &IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.contains(address.to_bits()),
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(address) => self.v4.contains(address.to_bits()),
                None => self.v6.contains(address.to_bits()),
            },
        }
    }

    fn within(&self, other: &Self) -> bool {
        self.v4.within(&other.v4) && self.v6.within(&other.v6)
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    allow: &'a [Network],
    deny: &'a [Network],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    allow: Vec<Network>,
    deny: Vec<Network>,
}

impl Serialize for NetworkRules {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown = Shown { allow: self.allow(), deny: self.deny() };
        shown.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for NetworkRules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Read { allow, deny } = Read::deserialize(deserializer)?;
        Self::from_networks(allow, deny).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[path = "network_rules_tests.rs"]
mod tests;
