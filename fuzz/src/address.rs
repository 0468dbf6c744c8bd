//! Addresses and networks, bit by bit.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address as its bits, 32 or 128; an IPv4-mapped IPv6 address has 32.
pub type Bits = Vec<bool>;

/// The bits of an address in its canonical family.
pub fn bits(address: IpAddr) -> Bits {
    let bytes = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => match v6.octets() {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, rest @ ..] => rest.to_vec(),
            all => all.to_vec(),
        },
    };
    bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect()
}

/// The address that these bits are.
pub fn address(bits: &[bool]) -> IpAddr {
    let number = bits.iter().fold(0_u128, |number, bit| number << 1 | u128::from(*bit));
    match bits.len() {
        32 => Ipv4Addr::from_bits(u32::try_from(number).unwrap()).into(),
        _ => Ipv6Addr::from_bits(number).into(),
    }
}

/// A network: its first address, and how many bits of it count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Net {
    pub first: Bits,
    pub prefix: usize,
}

impl Net {
    /// An address, or one with `/` and a length and no bit set behind that.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(2, '/');
        let address = ip(parts.next()?)?;
        let first = bits(address);
        let full = if address.is_ipv4() { 32 } else { 128 };
        let given = match parts.next() {
            None => full,
            Some(length) => number(length, 3, full)?,
        };
        // The 96 bits that an IPv4-mapped address has before the IPv4 address must count.
        let prefix = given.checked_sub(full - first.len())?;
        first[prefix..].iter().all(|bit| !bit).then_some(Self { first, prefix })
    }

    pub fn contains(&self, address: &[bool]) -> bool {
        self.first.len() == address.len() && self.first[..self.prefix] == address[..self.prefix]
    }

    /// The last address.
    pub fn last(&self) -> Bits {
        let fixed = self.first[..self.prefix].iter().copied();
        fixed.chain(std::iter::repeat_n(true, self.first.len() - self.prefix)).collect()
    }
}

/// The next address of the family, if there is one.
pub fn next(mut address: Bits) -> Option<Bits> {
    for bit in address.iter_mut().rev() {
        *bit = !*bit;
        if *bit {
            return Some(address);
        }
    }
    None
}

/// An address as text, without a zone.
pub fn ip(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().filter(|_| !text.contains('%')).map(Into::into);
    }
    let octets: Option<Vec<u8>> = text
        .split('.')
        .map(|octet| number(octet, 3, 255).map(|octet| u8::try_from(octet).unwrap()))
        .collect();
    <[u8; 4]>::try_from(octets?).ok().map(Into::into)
}

/// A decimal number of at most so many digits, without a leading zero.
fn number(text: &str, digits: usize, most: usize) -> Option<usize> {
    let plain =
        !text.is_empty() && text.len() <= digits && text.chars().all(|c| c.is_ascii_digit());
    if !plain || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok().filter(|number| *number <= most)
}

/// The address of a hop of a forwarded chain: with or without brackets and a port.
pub fn hop(text: &str) -> Option<IpAddr> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, port) = rest.split_once(']')?;
        let address = ip(inside).filter(|_| inside.contains(':'))?;
        return (port.is_empty() || is_port(port)).then_some(address);
    }
    ip(text).or_else(|| {
        let colon = text.find(':')?;
        let address = ip(&text[..colon]).filter(IpAddr::is_ipv4)?;
        is_port(&text[colon..]).then_some(address)
    })
}

/// A colon and a number of at most 16 bits, in which leading zeros are allowed.
fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|port| {
        let digits = port.trim_start_matches('0');
        let plain = !port.is_empty() && port.chars().all(|c| c.is_ascii_digit());
        plain && (digits.is_empty() || number(digits, 5, 65_535).is_some())
    })
}
