use std::net::{Ipv4Addr, Ipv6Addr};

use super::NetworkVerdict::{Allowed, Denied, NotListed, Unknown};
use super::*;
use proptest::prelude::*;

fn scale() -> u32 {
    std::env::var("KEYWARD_TEST_SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(1)
}

/// A bitwise oracle: do the first `prefix` bits agree?
fn same_bits(left: &[u8], right: &[u8], prefix: usize) -> bool {
    left.len() == right.len()
        && (0..prefix).all(|bit| {
            let mask = 0x80 >> (bit % 8);
            left[bit / 8] & mask == right[bit / 8] & mask
        })
}

/// The octets of a client, 4 for IPv4 and its mapped form.
fn octets(client: IpAddr) -> Vec<u8> {
    match client {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => match v6.octets() {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, rest @ ..] => rest.to_vec(),
            all => all.to_vec(),
        },
    }
}

fn oracle(allow: &[(IpAddr, u8)], deny: &[(IpAddr, u8)], client: IpAddr) -> NetworkVerdict {
    let client = octets(client);
    let any = |list: &[(IpAddr, u8)]| {
        list.iter().any(|&(ip, prefix)| same_bits(&octets(ip), &client, prefix.into()))
    };
    match (any(deny), allow.is_empty() || any(allow)) {
        (true, _) => Denied,
        (false, true) => Allowed,
        (false, false) => NotListed,
    }
}

fn rules(allow: &[(IpAddr, u8)], deny: &[(IpAddr, u8)]) -> NetworkRules {
    let text = |list: &[(IpAddr, u8)]| -> Vec<String> {
        list.iter().map(|(ip, prefix)| format!("{ip}/{prefix}")).collect()
    };
    NetworkRules::parse(text(allow), text(deny)).unwrap()
}

fn assert_oracle(allow: &[(IpAddr, u8)], deny: &[(IpAddr, u8)], rules: &NetworkRules, ip: IpAddr) {
    let expected = oracle(allow, deny, ip);
    assert_eq!(rules.check(Some(ip)), expected, "{allow:?} {deny:?} {ip}");
    if let Some(network) = rules.decided_by(Some(ip)) {
        assert!(network.contains(ip) && expected != NotListed);
    } else {
        assert!(expected == NotListed || allow.is_empty());
    }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

/// The addresses on and beside both ends of a network, in every form.
fn boundary(first: IpAddr, prefix: u8) -> Vec<IpAddr> {
    let mut clients: Vec<IpAddr> = Vec::new();
    match first {
        IpAddr::V4(v4) => {
            let first = v4.to_bits();
            let last = first | u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            for at in [0, first.wrapping_sub(1), first, first / 2 + last / 2, last] {
                for at in [at, at.wrapping_add(1)] {
                    let v4 = Ipv4Addr::from_bits(at);
                    clients.extend([
                        v4.into(),
                        v4.to_ipv6_mapped().into(),
                        IpAddr::from(v4.to_ipv6_compatible()),
                    ]);
                }
            }
        }
        IpAddr::V6(v6) => {
            let first = v6.to_bits();
            let last = first | u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
            for at in [0, first.wrapping_sub(1), first, first / 2 + last / 2, last] {
                for at in [at, at.wrapping_add(1)] {
                    clients.push(Ipv6Addr::from_bits(at).into());
                }
            }
            let low = u32::try_from(first & 0xffff_ffff).unwrap();
            clients.push(Ipv4Addr::from_bits(low).into());
        }
    }
    clients
}

#[test]
fn every_prefix_length_at_every_boundary_equals_the_oracle() {
    let mut checks = 0;
    for base in [
        "0.0.0.0",
        "10.20.30.40",
        "127.255.255.255",
        "170.170.170.170",
        "255.255.255.255",
        "::",
        "::1",
        "::a00:1",
        "::fffe:ffff:ffff",
        "::1:0:0:0",
        "2001:db8:aaaa:5555::1",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ] {
        let base: IpAddr = base.parse().unwrap();
        for prefix in 0..=(if base.is_ipv4() { 32 } else { 128 }) {
            let network = (masked(base, prefix), prefix);
            let everything = [("0.0.0.0".parse().unwrap(), 0), ("::".parse().unwrap(), 0)];
            for (allow, deny) in
                [(&[network][..], &[][..]), (&[], &[network]), (&everything, &[network])]
            {
                let rules = rules(allow, deny);
                for client in boundary(network.0, prefix) {
                    assert_oracle(allow, deny, &rules, client);
                    checks += 1;
                }
            }
            if let IpAddr::V4(v4) = network.0 {
                let mapped = (v4.to_ipv6_mapped().into(), prefix + 96);
                assert_eq!(rules(&[mapped], &[]), rules(&[network], &[]));
            }
        }
    }
    assert!(checks > 10_000);
}

/// Networks that lie close to each other, in both families.
fn network() -> impl Strategy<Value = (IpAddr, u8)> {
    let v4 = (any::<u8>(), 20..=32u8, any::<bool>()).prop_map(|(low, prefix, far)| {
        let base = if far { u32::MAX - 255 } else { 0x0a00_0000 };
        let address = Ipv4Addr::from_bits(base | u32::from(low));
        (masked(address.into(), prefix), prefix)
    });
    let v6 = (any::<u8>(), prop_oneof![0..=3u8, 116..=128u8]).prop_map(|(low, prefix)| {
        let address = Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(low));
        (masked(address.into(), prefix), prefix)
    });
    prop_oneof![v4, v6]
}

#[test]
fn random_lists_equal_the_oracle() {
    let list = || proptest::collection::vec(network(), 0..12);
    let cases = 1_000 * scale();
    proptest!(ProptestConfig::with_cases(cases), |(allow in list(), deny in list())| {
        let rules = rules(&allow, &deny);
        let mut clients: Vec<IpAddr> = (0..=20u32)
            .flat_map(|step| {
                let low = step * 13 % 256;
                let v4 = Ipv4Addr::from_bits(0x0a00_0000 | low);
                let far = Ipv4Addr::from_bits(u32::MAX - low);
                let v6 = Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(low));
                [v4.into(), v4.to_ipv6_mapped().into(), far.into(), v6.into()]
            })
            .collect();
        clients.extend(allow.iter().chain(&deny).flat_map(|&(ip, prefix)| boundary(ip, prefix)));
        for client in clients {
            if rules.is_empty() {
                assert_eq!(rules.check(Some(client)), Allowed);
            } else {
                assert_oracle(&allow, &deny, &rules, client);
            }
        }
    });
}

/// All the networks inside one /28, and lists of up to two of them on each side.
#[test]
fn within_equals_brute_force() {
    let tiny = (28..=32u8).prop_flat_map(|prefix| {
        (0..16u32).prop_map(move |low| {
            let address = Ipv4Addr::from_bits(0x0a00_0010 | low);
            (masked(address.into(), prefix), prefix)
        })
    });
    let list = || proptest::collection::vec(tiny.clone(), 0..4);
    let sides = (list(), list(), list(), list());
    let outside: IpAddr = "10.0.0.1".parse().unwrap();
    let seen = [const { std::cell::Cell::new(0) }; 2];
    let cases = 20_000 * scale();
    proptest!(ProptestConfig::with_cases(cases), |((a, b, c, d) in sides)| {
        let (inner, outer) = (rules(&a, &b), rules(&c, &d));
        // IPv6 is permitted where there is no allow list, hence `::1`.
        let clients = (0..16u32)
            .map(|low| Some(Ipv4Addr::from_bits(0x0a00_0010 | low).into()))
            .chain([Some(outside), Some("::1".parse().unwrap()), None]);
        let permits = |rules: &NetworkRules, client| rules.check(client) == Allowed;
        let expected = clients
            .into_iter()
            .all(|client| !permits(&inner, client) || permits(&outer, client));
        prop_assert_eq!(inner.within(&outer), expected);
        seen[usize::from(expected)].update(|count| count + 1);
    });
    assert!(seen.iter().all(|count| count.get() > 1_000), "{seen:?}");
}

#[test]
fn within_holds_at_the_edges_of_the_space() {
    let rules = |allow: &[&str], deny: &[&str]| NetworkRules::parse(allow, deny).unwrap();
    let none = rules(&[], &[]);
    let all = rules(&["0.0.0.0/0", "::/0"], &[]);
    let nothing = rules(&["10.0.0.0/8"], &["0.0.0.0/0"]);
    assert!(none.within(&none) && all.within(&none) && nothing.within(&nothing));
    assert!(!none.within(&all), "an unknown client is permitted by no rule");
    assert!(nothing.within(&rules(&["192.0.2.1"], &[])));
    let halves = rules(&["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"], &[]);
    assert!(all.within(&halves) && halves.within(&all));
    let v4 = rules(&["0.0.0.0/0"], &[]);
    assert!(v4.within(&all) && !all.within(&v4));
    assert!(rules(&[], &["::/0"]).within(&v4) && v4.within(&rules(&[], &["::/0"])));
    // Deny lists hide nothing: what is denied anyway need not be denied again.
    assert!(rules(&["10.0.0.0/9"], &[]).within(&rules(&["10.0.0.0/8"], &["10.128.0.0/9"])));
    // Every IPv6 network but the mapped one, which no client is in.
    let mut pieces = vec!["0.0.0.0/0".to_owned()];
    for bit in 0..96 {
        let sibling = (MAPPED.0 ^ 1 << (127 - bit)) & (u128::MAX << (127 - bit));
        pieces.push(format!("{}/{}", Ipv6Addr::from_bits(sibling), bit + 1));
    }
    let pieces = NetworkRules::parse(&pieces, [""; 0]).unwrap();
    assert!(all.within(&pieces) && pieces.within(&all));
}

#[test]
fn no_rule_asks_nothing_and_any_rule_asks_for_an_address() {
    let parse = |allow: &[&str], deny: &[&str]| NetworkRules::parse(allow, deny).unwrap();
    assert_eq!(NetworkRules::default().check(None), Allowed);
    assert!(parse(&[], &[]).is_empty());
    for rules in [parse(&["::/0"], &[]), parse(&[], &["10.0.0.0/8"])] {
        assert!(!rules.is_empty());
        assert_eq!(rules.check(None), Unknown);
        assert_eq!(rules.decided_by(None), None);
    }
}

#[test]
fn every_failing_item_is_reported_and_lists_are_bounded() {
    let errors = NetworkRules::parse(["10.0.0.0/8", "x", "10.0.0.1/8"], ["::/129"]).unwrap_err();
    let fields: Vec<_> = errors.iter().map(FieldError::field).collect();
    assert_eq!(fields, ["ip_allowlist[1]", "ip_allowlist[2]", "ip_denylist[0]"]);
    let many = |count| std::iter::repeat_n("10.0.0.0/8", count);
    assert!(NetworkRules::parse(many(1000), many(1000)).is_ok());
    let errors = NetworkRules::parse(many(1 << 20), many(1001)).unwrap_err();
    let fields: Vec<_> = errors.iter().map(FieldError::field).collect();
    assert_eq!(fields, ["ip_allowlist", "ip_denylist"]);
    let long = serde_json::json!({"allow": vec!["::/0"; 1001], "deny": []});
    assert!(serde_json::from_value::<NetworkRules>(long).is_err());
}

#[test]
fn only_the_lists_are_written_and_all_of_them_is_read() {
    let rules = NetworkRules::parse(["192.0.2.1", "10.0.0.0/8"], ["10.6.6.0/24"]).unwrap();
    let json = serde_json::to_string(&rules).unwrap();
    assert_eq!(json, r#"{"allow":["192.0.2.1","10.0.0.0/8"],"deny":["10.6.6.0/24"]}"#);
    assert_eq!(serde_json::from_str::<NetworkRules>(&json).unwrap(), rules);
    for text in [
        r#"{"allow":[]}"#,
        r#"{"allow":[],"deny":[],"more":[]}"#,
        r#"{"allow":["10.0.0.1/8"],"deny":[]}"#,
        r#"{"allow":null,"deny":[]}"#,
    ] {
        assert!(serde_json::from_str::<NetworkRules>(text).is_err(), "{text}");
    }
}

#[test]
fn checking_allocates_nothing() {
    let rules = NetworkRules::parse(["10.0.0.0/8", "::/1"], ["10.6.6.0/24"]).unwrap();
    let clients = ["10.1.1.1", "10.6.6.6", "::1", "ffff::"].map(|ip| Some(ip.parse().unwrap()));
    let counted = allocation_counter::measure(|| {
        for client in clients.into_iter().chain([None]) {
            std::hint::black_box(rules.check(client));
        }
    });
    assert_eq!(counted.count_total, 0);
}
