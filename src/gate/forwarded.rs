//! The hops of a request, from what the proxies wrote.

use std::net::{IpAddr, SocketAddr};

/// Each hop of an `X-Forwarded-For`; `None` is one that names no address.
pub(super) fn x_forwarded_for(line: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    line.split(|&byte| byte == b',').map(address)
}

/// Tells each hop of a `Forwarded` (RFC 7239 section 4). `None` for a line that breaks the
/// grammar: what of it the client wrote, and what the proxy, can't be told then.
pub(super) fn forwarded(
    mut rest: &[u8],
    mut hop: impl FnMut(Option<IpAddr>) -> Option<()>,
) -> Option<()> {
    loop {
        let (element, after) = Element::read(rest)?;
        hop(element.sender)?;
        match after {
            [] => return Some(()),
            [_, after @ ..] => rest = after,
        }
    }
}

#[derive(Default)]
struct Element {
    /// The address behind `for`, if it is one.
    sender: Option<IpAddr>,
    has_sender: bool,
}

impl Element {
    /// One element, and what comes after it: nothing, or a comma and more.
    fn read(mut rest: &[u8]) -> Option<(Self, &[u8])> {
        let mut element = Self::default();
        loop {
            rest = rest.trim_ascii_start();
            if let [] | [b',', ..] = rest {
                return Some((element, rest));
            }
            if let [b';', after @ ..] = rest {
                rest = after;
                continue;
            }
            let (name, value) = split_at(rest, |byte| byte == b'=');
            let [b'=', value @ ..] = value else { return None };
            if name.is_empty() || !name.iter().copied().all(is_token) {
                return None;
            }
            let (value, after) = read_value(value)?;
            if name.eq_ignore_ascii_case(b"for") {
                if element.has_sender {
                    return None;
                }
                element = Self { sender: address(value), has_sender: true };
            }
            rest = after.trim_ascii_start();
            if !matches!(rest, [] | [b',' | b';', ..]) {
                return None;
            }
        }
    }
}

/// A quoted string without its quotes, or a token. Tokens may have the colons and brackets
/// of an address too, which some proxies don't quote.
fn read_value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let [b'"', quoted @ ..] = text else {
        let (value, after) = split_at(text, |byte| !is_token(byte) && !b":[]".contains(&byte));
        return (!value.is_empty()).then_some((value, after));
    };
    let mut escaped = false;
    let end = quoted.iter().position(|&byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    })?;
    let (value, after) = quoted.split_at_checked(end)?;
    Some((value, after.get(1..)?))
}

fn split_at(text: &[u8], is_end: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|&byte| is_end(byte)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or_default()
}

/// A character of a token (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The address of a hop: with or without brackets, with or without a port. `unknown` and
/// made-up names are none, and neither is an address with a zone.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let hop = str::from_utf8(hop.trim_ascii()).ok().filter(|hop| !hop.contains('%'))?;
    let bare = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || hop.parse::<SocketAddr>().ok().map(|hop| hop.ip());
    let address = hop.parse().ok().or_else(with_port).or_else(bare)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hops(line: &str) -> Option<Vec<Option<String>>> {
        let mut hops = Vec::new();
        forwarded(line.as_bytes(), |hop| {
            hops.push(hop.map(|hop| hop.to_string()));
            Some(())
        })?;
        Some(hops)
    }

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        for (hop, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            (" 192.0.2.1\t", Some("192.0.2.1")),
            ("192.0.2.1:80", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("[::ffff:192.0.2.1]:1", Some("192.0.2.1")),
            ("fe80::1%eth0", None),
            ("[fe80::1%1]:80", None),
            ("192.0.2.01", None),
            ("192.0.2.1:99999", None),
            ("[192.0.2.1]", None),
            ("unix:", None),
            ("unknown", None),
            ("_hidden", None),
            ("192.0.2.1/32", None),
            ("\u{663}.0.0.1", None),
            ("", None),
        ] {
            let read = address(hop.as_bytes()).map(|address| address.to_string());
            assert_eq!(read.as_deref(), expected, "{hop:?}");
        }
    }

    #[test]
    fn elements_are_those_of_the_rfc() {
        let one = |hop: &str| Some(vec![Some(hop.to_owned())]);
        for (line, expected) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", one("192.0.2.60")),
            ("For=\"[2001:db8:cafe::17]:4711\"", one("2001:db8:cafe::17")),
            ("proto=http ; for=192.0.2.60", one("192.0.2.60")),
            ("for=192.0.2.60:8080", one("192.0.2.60")),
            ("for=[2001:db8::1]", one("2001:db8::1")),
            ("host=\"a,b;for=1.1.1.1\\\"\";for=192.0.2.60", one("192.0.2.60")),
            (
                "for=192.0.2.43, for=198.51.100.17",
                Some(vec![Some("192.0.2.43".into()), Some("198.51.100.17".into())]),
            ),
            ("for=\"_gazonk\"", Some(vec![None])),
            ("for=unknown,", Some(vec![None, None])),
            ("proto=https", Some(vec![None])),
            ("", Some(vec![None])),
            (";;", Some(vec![None])),
            ("for=\"192.0.2.60", None),
            ("for=\", for=192.0.2.60", None),
            ("for=\"1.1.1.1\"x", None),
            ("x=\", for=\"[2001:db8::1]\"", None),
            ("for=1.1.1.1;for=2.2.2.2", None),
            ("for", None),
            ("=1.1.1.1", None),
            ("for=", None),
            ("for =1.1.1.1", None),
            ("for=1.1.1.1 for=2.2.2.2", None),
            ("f\u{f6}r=1.1.1.1", None),
        ] {
            assert_eq!(hops(line), expected, "{line:?}");
        }
    }
}
