//! A fortnight of 200 keys that nobody attacks, and a day on which somebody does: how many
//! alerts are false, and that none is missing.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use super::*;
use crate::grant::{ClientIp, Environment, Roles};
use crate::mac::PepperRing;
use crate::policy::{AccessRequest, Actor};
use crate::record::NewKey;
use crate::scheme::KeyScheme;
use crate::service::KeyService;
use crate::store::MemoryStore;
use crate::verify::{Rejected, Verified, VerifyError};

/// Monday, 2025-06-02.
const MONDAY: i64 = 1_748_822_400;
const MINUTES: u32 = 24 * 60;
const KEYS: usize = 200;

/// `SplitMix64`.
struct Seeded(u64);

impl Seeded {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// How often something happens that does so `mean` times on average (Knuth).
    fn times(&mut self, mean: f64) -> u32 {
        let (mut left, mut times) = ((-mean).exp(), 0);
        loop {
            let uniform = f64::from(u32::try_from(self.number() >> 32).unwrap()) / 4_294_967_296.0;
            left /= uniform.max(1e-12);
            if left >= 1.0 {
                return times;
            }
            times += 1;
        }
    }
}

/// What a key is like.
#[derive(Clone, Copy, PartialEq)]
enum Habit {
    /// People behind one of ten offices' addresses.
    Office,
    /// A server, day and night, from four addresses.
    Server,
    /// A job: a few hundred every six hours.
    Batch,
    /// A phone: a new address every hour or so.
    Roaming,
}

struct World {
    monitor: Monitor,
    alerts: Arc<Mutex<Vec<Alert>>>,
    scheme: KeyScheme,
    keys: Vec<Verified>,
    rng: Seeded,
    /// The minute since the first Monday.
    minute: u32,
}

fn v4(a: u8, b: u8, c: u8, d: u8) -> ClientIp {
    ClientIp::Forwarded(Ipv4Addr::new(a, b, c, d).into())
}

impl World {
    fn new() -> Self {
        let peppers = PepperRing::from_bytes(b"0123456789abcdef0123456789abcdef").unwrap();
        let scheme = KeyScheme::new(peppers, [("ak_live", Environment::PRODUCTION)]).unwrap();
        let service = KeyService::new(scheme.clone(), MemoryStore::new());
        let request = AccessRequest::new(Environment::PRODUCTION);
        let keys = (0..KEYS).map(|n| {
            let new = NewKey::named(format!("key {n}")).owner("org_1");
            let issue = pollster::block_on(service.issue(&Actor::system("test"), new));
            let key = issue.unwrap().into_key();
            pollster::block_on(service.verify(key.expose_secret(), &request)).unwrap()
        });
        let keys = keys.collect();
        let alerts = Arc::<Mutex<Vec<Alert>>>::default();
        let heard = Arc::clone(&alerts);
        let monitor = Monitor::new(move |alert: &Alert| heard.lock().unwrap().push(*alert));
        Self { monitor, alerts, scheme, keys, rng: Seeded(2_025), minute: 0 }
    }

    fn habit(key: usize) -> Habit {
        match key % 20 {
            0..12 => Habit::Office,
            12..17 => Habit::Server,
            17..19 => Habit::Batch,
            _ => Habit::Roaming,
        }
    }

    /// Where a key's requests come from.
    fn client(&mut self, key: usize) -> ClientIp {
        let number = u8::try_from(key).unwrap();
        let one_of_four = u8::try_from(self.rng.below(4)).unwrap();
        match Self::habit(key) {
            Habit::Office => v4(198, 51, 100, number % 10),
            Habit::Server => {
                let host = Ipv6Addr::from_bits(u128::from(self.rng.number()));
                let network: Ipv6Addr = "2001:db8::".parse().unwrap();
                let place = u128::from(number) << 72 | u128::from(one_of_four) << 64;
                ClientIp::Peer((network | Ipv6Addr::from_bits(place) | host).into())
            }
            Habit::Batch => v4(203, 0, 113, number),
            Habit::Roaming => {
                let [.., a, b] = (self.minute / 50 * 7 + u32::from(number)).to_be_bytes();
                v4(100, 64 + number % 64, a, b)
            }
        }
    }

    fn at(&mut self) -> Timestamp {
        let second = self.rng.below(60);
        let minutes = i64::from(self.minute) * 60;
        Timestamp::from_unix_seconds(MONDAY + minutes + i64::try_from(second).unwrap())
    }

    fn tell(
        &mut self,
        key: Option<KeyId>,
        client: ClientIp,
        result: Result<&Verified, &VerifyError>,
    ) {
        let at = self.at();
        let request = &AccessRequest::new(Environment::PRODUCTION).from(client);
        self.monitor.verified(&Outcome { key, result, request, at, scheme: &self.scheme });
    }

    fn allow(&mut self, key: usize, client: ClientIp) {
        let verified = self.keys[key].clone();
        self.tell(Some(verified.key_id()), client, Ok(&verified));
    }

    fn deny(&mut self, key: usize, deny: Deny, client: ClientIp) {
        let record = self.keys[key].record().clone();
        let error = Rejected::of(deny, &record, &Roles::none()).into();
        self.tell(Some(record.id()), client, Err(&error));
    }

    fn deny_unknown(&mut self, key: Option<KeyId>, deny: Deny, client: ClientIp) {
        self.tell(key, client, Err(&Rejected::new(deny).into()));
    }

    /// How many requests of a key are expected in this minute.
    fn rate(&self, key: usize) -> f64 {
        let (day, hour) = (self.minute / MINUTES % 7, self.minute / 60 % 24);
        let own = f64::from(u32::try_from(key * 37 % 29).unwrap()) + 1.0;
        // A deploy on Wednesday at 14:00: clients load everything anew.
        let deploy = if day == 2 && hour == 14 { 1.9 } else { 1.0 };
        let per_hour = match Self::habit(key) {
            Habit::Office => {
                let at_work = [0.02, 0.02, 0.02, 0.02, 0.02, 0.05, 0.2, 0.6, 0.9, 1.0, 1.0, 0.9];
                let half = usize::try_from(if hour < 12 { hour } else { 23 - hour }).unwrap();
                let weekend = if day >= 5 { 0.1 } else { 1.0 };
                own * 12.0 * at_work[half] * weekend * deploy
            }
            Habit::Server => own * 6.0 * deploy,
            Habit::Batch if self.minute % 360 < 10 => own * 200.0,
            Habit::Batch => 0.0,
            Habit::Roaming => own,
        };
        per_hour / 60.0
    }

    /// A minute of what happens every day: uses, and honest mistakes.
    fn live_a_minute(&mut self) {
        for key in 0..KEYS {
            let mean = self.rate(key);
            for _ in 0..self.rng.times(mean) {
                let client = self.client(key);
                match self.rng.below(1_000) {
                    // Pasted badly, and a button that should have been hidden.
                    0..3 => self.deny_unknown(None, Deny::Malformed, client),
                    3 => self.deny(key, Deny::Scope, client),
                    _ => self.allow(key, client),
                }
            }
        }
        // A job that nobody stopped when its key expired.
        self.deny(17, Deny::Expired, v4(203, 0, 113, 17));
        if self.rng.below(2) == 0 {
            // Somebody scans the internet.
            let [a, b, c, d, ..] = self.rng.number().to_be_bytes();
            self.deny_unknown(None, Deny::Malformed, v4(a, b, c, d));
        }
        let (day, minute) = (self.minute / MINUTES, self.minute % MINUTES);
        // A key was rotated, and one server has the old secret for another hour.
        if day == 8 && (600..660).contains(&minute) && minute.is_multiple_of(10) {
            self.deny(12, Deny::Superseded, v4(203, 0, 113, 200));
        }
        // Three people work from a hotel, and somebody's new server has a bad configuration.
        if day == 9 && minute == 1_200 {
            for key in [20, 21, 22] {
                (0..30).for_each(|_| self.allow(key, v4(192, 0, 2, 20)));
            }
        }
        if day == 10 && (840..860).contains(&minute) {
            self.deny(34, Deny::WrongSecret, v4(203, 0, 113, 201));
        }
    }

    fn live_until(&mut self, day: u32) {
        while self.minute < day * MINUTES {
            self.live_a_minute();
            self.minute += 1;
        }
    }

    fn take(&mut self) -> Vec<Alert> {
        std::mem::take(&mut *self.alerts.lock().unwrap())
    }
}

#[test]
fn a_fortnight_without_an_attack_and_a_day_with_all_of_them() {
    let mut world = World::new();
    world.live_until(7);
    let learning = world.take();
    assert!(learning.is_empty(), "in the first week: {learning:#?}");
    world.live_until(14);
    let alerts = world.take();
    let mut counts = BTreeMap::<AlertKind, u32>::new();
    for alert in &alerts {
        *counts.entry(alert.kind).or_default() += 1;
    }
    for kind in AlertKind::ALL {
        println!("{kind:<20} {:>3} in a week of {KEYS} keys", counts.get(&kind).unwrap_or(&0));
    }
    let expected = [(AlertKind::NewAddress, 3), (AlertKind::RetiredSecret, 1)];
    assert_eq!(counts, BTreeMap::from(expected), "{alerts:#?}");
    assert_eq!(world.monitor.missed(), 0);
    attack(&mut world);
}

/// Each attack amid a Monday's traffic; after each, exactly the alerts that it should make.
fn attack(world: &mut World) {
    let minute = |world: &mut World, attack: &mut dyn FnMut(&mut World)| {
        attack(world);
        world.live_a_minute();
        world.minute += 1;
    };
    let thief = v4(192, 0, 2, 66);
    // Each is (what, the kinds it makes, key, authenticated).
    let seen = |world: &mut World| {
        let alerts = world.take();
        alerts.iter().map(|it| (it.kind, it.key, it.authenticated)).collect::<Vec<_>>()
    };
    let id = |world: &World, key: usize| Some(world.keys[key].key_id());
    while world.minute < 14 * MINUTES + 600 {
        minute(world, &mut |_| {});
    }
    assert_eq!(seen(world), []);

    minute(world, &mut |it| it.allow(12, thief));
    assert_eq!(seen(world), [(AlertKind::NewAddress, id(world, 12), true)]);
    minute(world, &mut |it| it.deny(13, Deny::Network, thief));
    assert_eq!(seen(world), [(AlertKind::NewAddress, id(world, 13), true)], "refused as well");

    for _ in 0..40 {
        minute(world, &mut |it| {
            for _ in 0..40 {
                let client = it.client(14);
                it.allow(14, client);
            }
        });
    }
    assert_eq!(seen(world), [(AlertKind::UnusualVolume, id(world, 14), true)]);

    for round in 0..10 {
        minute(world, &mut |it| {
            let deny = if round % 2 == 0 { Deny::Scope } else { Deny::Resource };
            let client = it.client(15);
            it.deny(15, deny, client);
        });
    }
    assert_eq!(seen(world), [(AlertKind::OutOfScope, id(world, 15), true)]);

    for _ in 0..10 {
        minute(world, &mut |it| (0..6).for_each(|_| it.deny(16, Deny::WrongSecret, thief)));
    }
    let found = seen(world);
    let by_key = (AlertKind::FailuresByKey, id(world, 16), false);
    assert!(found.contains(&by_key), "{found:?}");
    for _ in 0..10 {
        minute(world, &mut |it| {
            for _ in 0..15 {
                let host = u128::from(it.rng.number());
                let from = Ipv6Addr::from_bits(0x2001_0db8_00ff_u128 << 80 | host);
                let client = ClientIp::Peer(IpAddr::V6(from));
                it.deny_unknown(None, Deny::Malformed, client);
            }
        });
    }
    let alert = *world.alerts.lock().unwrap().last().unwrap();
    assert_eq!(alert.address.unwrap().to_string(), "2001:db8:ff::/64");
    assert_eq!(seen(world), [(AlertKind::FailuresByAddress, None, false)]);

    let made_up = Some(KeyId::from_bytes(*b"0123456789"));
    for _ in 0..10 {
        minute(world, &mut |it| {
            (0..5).for_each(|_| it.deny_unknown(made_up, Deny::UnknownKey, v4(192, 0, 2, 77)));
        });
    }
    let expected =
        [(AlertKind::NeverIssued, made_up, false), (AlertKind::FailuresByKey, made_up, false)];
    assert_eq!(seen(world), expected);
    let lost = world.scheme.ids(77).next();
    minute(world, &mut |it| it.deny_unknown(lost, Deny::UnknownKey, v4(192, 0, 2, 78)));
    assert_eq!(seen(world), [(AlertKind::LostRecord, lost, false)]);

    let client = world.client(32);
    minute(world, &mut |it| it.deny(32, Deny::Revoked, client));
    assert_eq!(seen(world), [(AlertKind::RetiredSecret, id(world, 32), true)]);
    let client = world.client(33);
    minute(world, &mut |it| it.deny(33, Deny::BadSeal, client));
    assert_eq!(seen(world), [(AlertKind::BadSeal, id(world, 33), false)]);
}
