use std::collections::HashMap;
use std::net::Ipv4Addr;

use super::*;
use crate::grant::ClientIp;

const RULES: ProfileRules = ProfileRules {
    volume: VolumeRules { factor: 3, deviations: 6, minimum: 300, warm_up_hours: 72 },
    settled: 24,
};

/// An id as they are made: at random.
fn id(n: u64) -> KeyId {
    let n = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&(n ^ (n >> 32)).to_be_bytes());
    bytes[8..].copy_from_slice(&n.to_be_bytes()[1..3]);
    KeyId::from_bytes(bytes)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_750_000_000 + seconds)
}

fn origin(n: u8) -> Option<Origin> {
    Origin::of(ClientIp::Peer(Ipv4Addr::new(192, 0, 2, n).into()))
}

/// How many of these keys are still known: they were used from one address, so another is
/// new to who is known.
fn known(profiles: &Profiles, keys: impl Iterator<Item = u64>, now: Timestamp) -> usize {
    keys.filter(|n| profiles.is_new_address(id(*n), origin(2).unwrap(), now)).count()
}

#[test]
fn nine_tenths_of_the_places_hold_as_many_keys_and_beyond_them_the_latest_stay() {
    let profiles = Profiles::new(8_192, RULES);
    for n in 0..7_372 {
        profiles.used(id(n), origin(1), at(0)).unwrap();
    }
    let held = known(&profiles, 0..7_372, at(90_000));
    assert!(held >= 7_250, "two sets to choose from: {held}");
    for n in 10_000..14_096 {
        profiles.used(id(n), origin(1), at(100_000)).unwrap();
    }
    let held = known(&profiles, 10_000..14_096, at(200_000));
    assert!(held >= 4_050, "the latest stay: {held}");
    assert!(known(&profiles, 0..7_372, at(200_000)) <= 8_192 - held);
}

/// Against a map: with room for all, what is said of one key depends on its uses only.
#[test]
fn keys_dont_disturb_each_other() {
    let profiles = Profiles::new(1_024, RULES);
    let mut alone = HashMap::new();
    let mut random = 1u64;
    for step in 0..20_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
        let (key, from) = (random >> 60, u8::try_from(random >> 40 & 3).unwrap());
        let now = at(step * 61);
        let alone: &mut Profile = alone.entry(key).or_insert_with(|| Profile::new(now));
        let expected = alone.used(origin(from), now, &RULES);
        assert_eq!(profiles.used(id(key), origin(from), now), Some(expected));
    }
}

#[test]
fn an_address_is_new_once_and_only_after_the_learning() {
    let profiles = Profiles::new(1, RULES);
    let is_new = |from, seconds| {
        let noted = profiles.used(id(1), origin(from), at(seconds)).unwrap();
        noted.is_new_address
    };
    assert_eq!([is_new(1, 0), is_new(2, 80_000)], [false, false]);
    assert_eq!([is_new(1, 90_000), is_new(3, 90_001), is_new(3, 90_002)], [false, true, false]);
    assert!(profiles.is_new_address(id(1), origin(4).unwrap(), at(90_003)));
    assert!(!profiles.is_new_address(id(2), origin(4).unwrap(), at(90_003)), "never used");
    assert_eq!(profiles.used(id(1), None, at(90_004)), Some(Noted::default()));
}

#[test]
fn who_finds_another_thread_there_doesnt_wait() {
    let profiles = Profiles::new(1, RULES);
    let (shard, _) = profiles.place(id(1)).unwrap();
    let held = shard.lock().unwrap();
    assert_eq!(profiles.used(id(1), None, at(0)), None);
    drop(held);
    assert!(profiles.used(id(1), None, at(0)).is_some());
}

#[test]
fn a_baseline_is_learnt_from_usage_and_addresses_are_not() {
    let profiles = Profiles::new(1, RULES);
    let start = at(0).hour();
    let hour = |n: u64| start.saturating_add(std::time::Duration::from_secs(n * 3_600));
    let hours = (0..120).map(|n| (hour(n), 1_000)).collect();
    let usage = Usage { hours, last_used_at: Some(hour(119)), ..Usage::default() };
    profiles.learn(id(1), &usage);
    profiles.learn(id(2), &Usage::default());
    let mut used = (1..).map(|n| (n, profiles.used(id(1), origin(1), hour(120)).unwrap()));
    let (needed, noted) = used.find(|(_, noted)| noted.unusual.is_some()).unwrap();
    assert_eq!((needed, noted.is_new_address), (3_001, false));
    assert!(!profiles.used(id(1), origin(2), hour(130)).unwrap().is_new_address);
    assert!(profiles.used(id(1), origin(3), hour(144)).unwrap().is_new_address);
}
