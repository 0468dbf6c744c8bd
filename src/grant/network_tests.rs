use super::*;

#[test]
fn text_is_canonical() {
    for (given, shown) in [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1/32", "192.0.2.1"),
        ("2001:DB8:0::/32", "2001:db8::/32"),
        ("::1/128", "::1"),
        ("::/0", "::/0"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::ffff:a00:1", "10.0.0.1"),
        ("::ffff:10.0.0.1/128", "10.0.0.1"),
        ("::10.0.0.1", "::a00:1"),
    ] {
        let network = Network::parse(given).unwrap();
        let shown: String = match shown {
            "::a00:1" => Ipv6Addr::from_bits(0x0a00_0001).to_string(),
            other => other.to_owned(),
        };
        assert_eq!(network.to_string(), shown);
        assert_eq!(Network::parse(&shown), Ok(network));
        let json = serde_json::to_string(&network).unwrap();
        assert_eq!(serde_json::from_str::<Network>(&json).unwrap(), network);
    }
}

#[test]
fn every_mistake_has_its_own_words() {
    let huge = format!("10.0.0.0/{}", "1".repeat(1 << 20));
    for (text, words) in [
        ("", "IP address"),
        (" 10.0.0.0/8", "IP address"),
        ("10.0.0/8", "IP address"),
        ("10.0.0.01", "IP address"),
        ("0x0a.0.0.0/8", "IP address"),
        ("[::1]", "IP address"),
        ("10.0.0.1:80", "IP address"),
        ("localhost", "IP address"),
        ("/8", "IP address"),
        ("fe80::1%eth0", "zone id"),
        ("fe80::%1/64", "zone id"),
        ("10.0.0.0/255.0.0.0", "not a mask"),
        ("2001:db8::/ffff::", "not a mask"),
        ("10.0.0.0/+8", "leading zero"),
        ("10.0.0.0/-8", "leading zero"),
        ("10.0.0.0/08", "leading zero"),
        ("10.0.0.0/00", "leading zero"),
        ("10.0.0.0/", "decimal digits"),
        ("10.0.0.0/8 ", "decimal digits"),
        ("10.0.0.0/8/8", "decimal digits"),
        ("10.0.0.0/٨", "decimal digits"),
        (&huge, "decimal digits"),
        ("10.0.0.0/33", "at most 32"),
        ("10.0.0.0/256", "at most 32"),
        ("10.0.0.0/999", "at most 32"),
        ("::/129", "at most 128"),
        ("::ffff:10.0.0.0/129", "at most 128"),
        ("10.0.0.1/8", "`10.0.0.0/8`"),
        ("10.0.0.1/0", "`0.0.0.0/0`"),
        ("2001:db8::1/32", "`2001:db8::/32`"),
        ("::ffff:10.0.0.1/104", "`10.0.0.0/8`"),
        ("::ffff:10.0.0.0/95", "at least 96"),
        ("::ffff:0:0/0", "at least 96"),
    ] {
        let error = Network::parse(text).unwrap_err();
        assert_eq!(error.field(), "network");
        assert!(error.rule().contains(words), "{text}: {error}");
        assert!(serde_json::from_value::<Network>(text.into()).is_err());
    }
}

#[test]
fn ip_networks_come_in_by_the_same_rules() {
    let from = |text: &str| Network::try_from(text.parse::<IpNetwork>().unwrap());
    assert_eq!(from("10.0.0.0/8"), Network::parse("10.0.0.0/8"));
    assert_eq!(from("::ffff:10.0.0.0/104"), Network::parse("10.0.0.0/8"));
    let error = from("10.0.0.1/8").unwrap_err();
    assert!(error.rule().contains("`10.0.0.0/8`"), "{error}");
    assert!(from("::ffff:0:0/90").is_err());
}

/// Every prefix length: host bits are an error that names the network, and the
/// named network is accepted.
#[test]
fn host_bits_are_an_error_at_every_length() {
    for prefix in 0..=128u8 {
        let meant = Ipv6Addr::from_bits(u128::MAX << 1 & !v6_hosts(prefix));
        let given = Ipv6Addr::from_bits(u128::MAX);
        let result = Network::parse(&format!("{given}/{prefix}"));
        if prefix == 128 {
            assert!(result.is_ok());
            continue;
        }
        let meant = Network::parse(&format!("{meant}/{prefix}")).unwrap();
        let error = result.unwrap_err();
        assert!(error.rule().contains(&format!("`{meant}`")), "{error}");
    }
    for prefix in 0..32u8 {
        assert!(Network::parse(&format!("255.255.255.255/{prefix}")).is_err());
        let mapped = format!("::ffff:255.255.255.255/{}", prefix + 96);
        assert!(Network::parse(&mapped).is_err());
    }
}
