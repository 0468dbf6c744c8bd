//! Who the client is, behind proxies.
//!
//! 1e5 chains by default, half of them of each header, times `KEYWARD_TEST_SCALE`.

use std::net::IpAddr;

use keyward::{ApiKeyLayer, ClientIp, Environment, Gate, NewKey, TrustedProxies};

use crate::fixture::{Random, World, cases};
use crate::server::Server;

const TRUSTED: [&str; 3] = ["10.0.0.0/8", "2001:db8:1::/48", "192.0.2.128"];

/// A hop, whether it is trusted, and its address if it has one.
struct Hop {
    text: String,
    address: Option<IpAddr>,
    is_trusted: bool,
}

impl Hop {
    fn any(random: &mut Random) -> Self {
        let number = random.next();
        let low = u8::try_from(number % 256).unwrap();
        let trusted: IpAddr = match number % 3 {
            0 => [10, low, 0, low].into(),
            1 => format!("2001:db8:1:{low:x}::{low:x}").parse().unwrap(),
            _ => [192, 0, 2, 128].into(),
        };
        let other: IpAddr = match number % 4 {
            0 => [11, low, 1, 1].into(),
            1 => format!("2001:db8:2::{low:x}").parse().unwrap(),
            2 => [192, 0, 2, 127].into(),
            _ => [9, 255, 255, low].into(),
        };
        match random.below(10) {
            0 => {
                let junk = ["", "unknown", "_hidden", "10.0.0.256", "10.0.0.1/32", "a b", "::1%1"];
                let text = random.pick(&junk).to_owned();
                Self { text, address: None, is_trusted: false }
            }
            1..=5 => Self { text: trusted.to_string(), address: Some(trusted), is_trusted: true },
            _ => Self { text: other.to_string(), address: Some(other), is_trusted: false },
        }
    }

    /// As some proxy would write it.
    fn x_forwarded_for(&self, random: &mut Random) -> String {
        let text = match (self.address, random.below(4)) {
            (Some(IpAddr::V4(v4)), 0) => format!("{v4}:{}", random.below(65_536)),
            (Some(IpAddr::V4(v4)), 1) => format!("::ffff:{v4}"),
            (Some(IpAddr::V6(v6)), 0) => format!("[{v6}]:{}", random.below(65_536)),
            (Some(IpAddr::V6(v6)), 1) => format!("[{v6}]"),
            _ => self.text.clone(),
        };
        format!("{}{text}{}", random.pick(&["", " ", "\t "]), random.pick(&["", " "]))
    }

    fn forwarded(&self, random: &mut Random) -> String {
        let node = match (self.address, random.below(3)) {
            (Some(IpAddr::V6(v6)), 0) => format!("\"[{v6}]:{}\"", random.below(65_536)),
            (Some(IpAddr::V6(v6)), _) => format!("\"[{v6}]\""),
            (Some(IpAddr::V4(v4)), 0) => format!("\"{v4}:{}\"", random.below(65_536)),
            (Some(IpAddr::V4(v4)), 1) => v4.to_string(),
            _ => format!("\"{}\"", self.text),
        };
        let (by, after) = (
            random.pick(&["", "by=10.0.0.1;", "host=\"a,\\\";b\"; ", "proto=https;"]),
            random.pick(&["", ";proto=http", " ; by=\"[2001:db8::1]:4\""]),
        );
        format!("{by}{}={node}{after}", random.pick(&["for", "For", "FOR"]))
    }
}

/// From the right, one after the other, as the words say it.
fn model(peer: &Hop, hops: &[Hop]) -> ClientIp {
    let Some(address) = peer.address else { return ClientIp::Unknown };
    if !peer.is_trusted {
        return ClientIp::Peer(address);
    }
    if hops.is_empty() || hops.len() > 32 {
        return ClientIp::Unknown;
    }
    let decided = hops.iter().rev().find(|hop| !hop.is_trusted).unwrap_or(&hops[0]);
    decided.address.map_or(ClientIp::Unknown, ClientIp::Forwarded)
}

/// One header or several, as the chain was passed on.
fn lines(random: &mut Random, hops: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for hop in hops {
        match lines.last_mut() {
            Some(line) if random.chance(80) => {
                line.push(',');
                line.push_str(hop);
            }
            _ => lines.push(hop.clone()),
        }
    }
    lines
}

#[test]
fn a_chain_is_what_the_model_says() {
    let (x, f) = (
        TrustedProxies::x_forwarded_for(TRUSTED).unwrap(),
        TrustedProxies::forwarded(TRUSTED).unwrap(),
    );
    let mut seen = [0; 3];
    for seed in 0..cases(1_000_000, 50_000) as u64 {
        let mut random = Random(seed);
        let peer = Hop::any(&mut random);
        let most = random.pick(&[4, 4, 8, 34]);
        let hops: Vec<Hop> = (0..random.below(most + 1)).map(|_| Hop::any(&mut random)).collect();
        let expected = model(&peer, &hops);
        for (proxies, write) in
            [(&x, Hop::x_forwarded_for as fn(&Hop, &mut Random) -> String), (&f, Hop::forwarded)]
        {
            let written: Vec<String> = hops.iter().map(|hop| write(hop, &mut random)).collect();
            let lines = lines(&mut random, &written);
            let client = proxies.client(peer.address, lines.iter().map(String::as_bytes));
            assert_eq!(client, expected, "seed {seed}: {} for {lines:?}", peer.text);
        }
        let kind = match expected {
            ClientIp::Forwarded(_) => 0,
            ClientIp::Peer(_) => 1,
            ClientIp::Unknown => 2,
        };
        seen[kind] += 1;
    }
    assert!(seen.iter().all(|count| *count > 1_000), "{seen:?}");
}

/// Whatever the client writes before it, what a trusted proxy appends decides.
#[test]
fn nothing_before_the_proxys_word_changes_the_client() {
    let alphabet = b"for=by\"\\;,: []10.2_:%\t\x80a";
    let (x, f) = (
        TrustedProxies::x_forwarded_for(TRUSTED).unwrap(),
        TrustedProxies::forwarded(TRUSTED).unwrap(),
    );
    let peer: IpAddr = [10, 0, 0, 1].into();
    let client: IpAddr = "2001:db8:2::7".parse().unwrap();
    let mut unknown = 0;
    for seed in 0..cases(1_000_000, 50_000) as u64 {
        let mut random = Random(seed);
        let length = random.below(40);
        let written: Vec<u8> = (0..length).map(|_| random.pick(alphabet)).collect();
        for (proxies, word) in
            [(&x, "2001:db8:2::7"), (&f, "for=\"[2001:db8:2::7]:80\";by=10.0.0.1")]
        {
            let line = [&*written, b", ", word.as_bytes()].concat();
            match proxies.client(Some(peer), [&*line]) {
                ClientIp::Forwarded(seen) if seen == client => {}
                ClientIp::Unknown => unknown += 1,
                other => panic!("seed {seed}: {other:?} for {:?}", String::from_utf8_lossy(&line)),
            }
        }
    }
    assert!(unknown > 0, "none broke the grammar");
}

#[tokio::test]
async fn rules_of_keys_are_asked_for_the_real_client() {
    let world = World::new();
    let gate = |proxies: Option<TrustedProxies>| {
        let gate = Gate::new(world.keys.clone(), Environment::PRODUCTION);
        ApiKeyLayer::from_gate(proxies.into_iter().fold(gate, Gate::trusted_proxies))
    };
    let behind = |networks: &[&str]| Some(TrustedProxies::x_forwarded_for(networks).unwrap());
    let local = world.issue(NewKey::named("k").owner("o").ip_allowlist(["127.0.0.0/8"])).1;
    let far = world.issue(NewKey::named("k").owner("o").ip_allowlist(["192.0.2.0/24"])).1;
    let any = world.issue(NewKey::named("k").owner("o")).1;
    for (proxies, header, allowed) in [
        // Nobody is trusted, and so nobody's header is read.
        (None, Some("192.0.2.7"), [true, false, true]),
        (behind(&["10.0.0.0/8"]), Some("192.0.2.7"), [true, false, true]),
        (behind(&["127.0.0.1"]), Some("192.0.2.7"), [false, true, true]),
        (behind(&["127.0.0.1"]), Some("192.0.2.7, 6.6.6.6"), [false, false, true]),
        (behind(&["127.0.0.1"]), Some("6.6.6.6, 192.0.2.7, 127.0.0.1"), [false, true, true]),
        // Unknown is refused by any rule.
        (behind(&["127.0.0.1"]), Some("192.0.2.7, unknown"), [false, false, true]),
        (behind(&["127.0.0.1"]), None, [false, false, true]),
    ] {
        let server = Server::guarding(gate(proxies)).await;
        for (key, allowed) in [&local, &far, &any].into_iter().zip(allowed) {
            let mut headers = vec![("x-api-key", key.expose_secret())];
            headers.extend(header.map(|value| ("x-forwarded-for", value)));
            let answer = server.get(&headers).await;
            assert_eq!(answer.status == 200, allowed, "{header:?} {answer:?}");
            assert!(allowed || answer.code() == "IP_NOT_ALLOWED");
        }
    }
}
