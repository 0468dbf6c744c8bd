//! One network and lists of them, against their bits.
//!
//! The first line is a network. Of the lines below, `+` and `-` begin what one key allows
//! and denies, `>` and `<` what another does; all others are addresses.
#![no_main]

use keyward::{Network, NetworkRules, NetworkVerdict};
use keyward_fuzz::address::{Bits, Net, address, bits, ip, next};
use keyward_fuzz::text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut lines = text(data).split('\n');
    let first = lines.next().unwrap_or_default();
    one(first);
    let lines: Vec<&str> = lines.take(40).collect();
    let addresses: Vec<Bits> = lines.iter().filter_map(|line| Some(bits(ip(line)?))).collect();
    if let (Ok(network), Some(net)) = (Network::parse(first), Net::parse(first)) {
        for probe in addresses.iter().cloned().chain(edges(std::slice::from_ref(&net))) {
            assert_eq!(network.contains(address(&probe)), net.contains(&probe), "{first}");
        }
    }
    let ours = Lists::read(&lines, '+', '-');
    let theirs = Lists::read(&lines, '>', '<');
    if let (Some(ours), Some(theirs)) = (ours, theirs) {
        compare(&ours, &theirs, addresses);
    }
});

/// What parses is what the bits say, and prints to what parses to the same.
fn one(given: &str) {
    let (network, net) = (Network::parse(given), Net::parse(given));
    assert_eq!(network.is_ok(), net.is_some(), "{given}: {network:?}");
    let (Ok(network), Some(net)) = (network, net) else { return };
    assert_eq!(bits(network.address()), net.first);
    assert_eq!(usize::from(network.prefix()), net.prefix);
    let shown = network.to_string();
    assert_eq!(Network::parse(&shown).unwrap(), network);
    let json = serde_json::to_string(&network).unwrap();
    assert_eq!(json, format!("\"{shown}\""));
    assert_eq!(serde_json::from_str::<Network>(&json).unwrap(), network);
}

struct Lists {
    rules: NetworkRules,
    allow: Vec<Net>,
    deny: Vec<Net>,
}

impl Lists {
    fn read(lines: &[&str], allow: char, deny: char) -> Option<Self> {
        let marked = |mark: char| -> Vec<&str> {
            lines.iter().filter_map(|line| line.strip_prefix(mark)).collect()
        };
        let (allow, deny) = (marked(allow), marked(deny));
        let nets = |list: &[&str]| -> Option<Vec<Net>> {
            list.iter().map(|text| Net::parse(text)).collect()
        };
        let rules = NetworkRules::parse(&allow, &deny);
        let (Some(allow), Some(deny)) = (nets(&allow), nets(&deny)) else {
            assert!(rules.is_err());
            return None;
        };
        let rules = rules.unwrap();
        let json = serde_json::to_string(&rules).unwrap();
        assert_eq!(serde_json::from_str::<NetworkRules>(&json).unwrap(), rules);
        Some(Self { rules, allow, deny })
    }

    fn check(&self, address: Option<&Bits>) -> NetworkVerdict {
        let has = |list: &[Net]| address.is_some_and(|it| list.iter().any(|net| net.contains(it)));
        match address {
            _ if self.allow.is_empty() && self.deny.is_empty() => NetworkVerdict::Allowed,
            None => NetworkVerdict::Unknown,
            Some(_) if has(&self.deny) => NetworkVerdict::Denied,
            Some(_) if self.allow.is_empty() || has(&self.allow) => NetworkVerdict::Allowed,
            Some(_) => NetworkVerdict::NotListed,
        }
    }
}

/// Where a network begins, where it ends, and what comes behind it.
fn edges(nets: &[Net]) -> impl Iterator<Item = Bits> {
    nets.iter().flat_map(|net| {
        let last = net.last();
        let all = [Some(net.first.clone()), next(last.clone()), Some(last)];
        // What lies behind an edge may be IPv4-mapped.
        all.into_iter().flatten().map(|edge| bits(address(&edge)))
    })
}

/// Verdicts at every edge and, since nothing changes between two edges, whether one set of
/// clients is within the other.
fn compare(ours: &Lists, theirs: &Lists, addresses: Vec<Bits>) {
    let mut probes = addresses;
    for list in [&ours.allow, &ours.deny, &theirs.allow, &theirs.deny] {
        probes.extend(edges(list));
    }
    let other = ["0.0.0.0", "::", "::1:0:0:0"].map(|text| bits(text.parse().unwrap()));
    probes.extend(other);
    let mut within = true;
    for probe in probes.iter().map(Some).chain([None]) {
        let client = probe.map(|bits| address(bits));
        let (our, their) = (ours.check(probe), theirs.check(probe));
        assert_eq!(ours.rules.check(client), our, "{client:?}");
        assert_eq!(theirs.rules.check(client), their, "{client:?}");
        let decided = ours.rules.decided_by(client);
        assert!(decided.is_none_or(|network| client.is_some_and(|it| network.contains(it))));
        within &= our != NetworkVerdict::Allowed || their == NetworkVerdict::Allowed;
    }
    assert_eq!(ours.rules.within(&theirs.rules), within, "{:?} {:?}", ours.rules, theirs.rules);
}
