//! Who the client behind proxies is, against a reading of the whole chain.
//!
//! The first line is `x` (X-Forwarded-For) or `f` (Forwarded) and the peer; every other one
//! is a value of the header.
#![no_main]

use std::net::IpAddr;
use std::sync::LazyLock;

use keyward::{ClientIp, TrustedProxies};
use keyward_fuzz::address::{Net, bits, hop, ip};
use libfuzzer_sys::fuzz_target;

const TRUSTED: [&str; 3] = ["10.0.0.0/8", "2001:db8::/32", "::1"];
static X_FORWARDED_FOR: LazyLock<TrustedProxies> =
    LazyLock::new(|| TrustedProxies::x_forwarded_for(TRUSTED).unwrap());
static FORWARDED: LazyLock<TrustedProxies> =
    LazyLock::new(|| TrustedProxies::forwarded(TRUSTED).unwrap());

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let Some((&kind, peer)) = lines.next().and_then(<[u8]>::split_first) else { return };
    let peer = std::str::from_utf8(peer).ok().and_then(ip);
    let lines: Vec<&[u8]> = lines.collect();
    let (proxies, read): (_, Read) = match kind {
        b'x' => (&*X_FORWARDED_FOR, |line| Some(addresses(line))),
        b'f' => (&*FORWARDED, elements),
        _ => return,
    };
    let client = proxies.client(peer, lines.iter().copied());
    assert_eq!(client, expected(peer, &lines, read));
});

/// The hops of a line, `None` for one that names no address; of no line that breaks a rule.
type Read = fn(&[u8]) -> Option<Vec<Hop>>;
type Hop = Option<IpAddr>;

fn expected(peer: Option<IpAddr>, lines: &[&[u8]], read: Read) -> ClientIp {
    let is_trusted = |address: &IpAddr| {
        TRUSTED.iter().any(|net| Net::parse(net).unwrap().contains(&bits(*address)))
    };
    match peer {
        None => return ClientIp::Unknown,
        Some(peer) if !is_trusted(&peer) => return ClientIp::Peer(peer.to_canonical()),
        Some(_) => {}
    }
    if lines.iter().map(|line| line.len()).sum::<usize>() > 8192 {
        return ClientIp::Unknown;
    }
    let Some(chain) = lines.iter().map(|line| read(line)).collect::<Option<Vec<_>>>() else {
        return ClientIp::Unknown;
    };
    let chain = chain.concat();
    if chain.len() > 32 {
        return ClientIp::Unknown;
    }
    // From the right, up to the first whom nobody vouches for.
    let stranger = chain.iter().rev().find(|hop| !hop.is_some_and(|hop| is_trusted(&hop)));
    match stranger.or(chain.first()) {
        Some(Some(client)) => ClientIp::Forwarded(*client),
        _ => ClientIp::Unknown,
    }
}

fn addresses(line: &[u8]) -> Vec<Hop> {
    line.split(|byte| *byte == b',').map(address).collect()
}

fn address(text: &[u8]) -> Hop {
    hop(std::str::from_utf8(text.trim_ascii()).ok()?).map(|address| address.to_canonical())
}

/// The elements of a `Forwarded`, if every pair of each is one.
fn elements(line: &[u8]) -> Option<Vec<Hop>> {
    let read = |element: &[u8]| {
        let pairs: Option<Vec<_>> = outside_quotes(element, b';').into_iter().map(pair).collect();
        let mut senders =
            pairs?.into_iter().flatten().filter(|(name, _)| name.eq_ignore_ascii_case(b"for"));
        let sender = senders.next().and_then(|(_, value)| address(&value));
        senders.next().is_none().then_some(sender)
    };
    outside_quotes(line, b',').into_iter().map(read).collect()
}

/// The pieces between separators that don't stand inside a quoted string.
fn outside_quotes(text: &[u8], separator: u8) -> Vec<&[u8]> {
    let (mut pieces, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == separator && !quoted => {
                pieces.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&text[start..]);
    pieces
}

type Pair = (Vec<u8>, Vec<u8>);

/// A name and its value without quotes, or nothing at all.
fn pair(text: &[u8]) -> Option<Vec<Pair>> {
    let text = text.trim_ascii();
    if text.is_empty() {
        return Some(Vec::new());
    }
    let equals = text.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (&text[..equals], &text[equals + 1..]);
    let is_token = |text: &[u8], more: &[u8]| {
        let fits = |b: &u8| {
            b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b) || more.contains(b)
        };
        !text.is_empty() && text.iter().all(fits)
    };
    let value = match value {
        [b'"', inside @ .., b'"'] if is_closed(inside) => inside,
        _ if is_token(value, b":[]") => value,
        _ => return None,
    };
    is_token(name, b"").then(|| vec![(name.to_vec(), value.to_vec())])
}

/// Whether a quote can follow: none stands inside, and no backslash would escape it.
fn is_closed(inside: &[u8]) -> bool {
    let mut bytes = inside.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return false,
            b'\\' if bytes.next().is_none() => return false,
            _ => {}
        }
    }
    true
}
