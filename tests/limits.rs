//! Limits through the service: taken last, all or none, shared by an owner's keys, and
//! never refilled by a refusal, an edit or a clock that steps back.

mod fixture;

use fixture::{Random, START, World, at, cases, seconds};
use keyward::{
    AccessRequest, ClientIp, Deny, Environment, KeyEdit, KeyQuery, LimitName, LimitedBy,
    LocalLimits, NewKey, Quota, RateLimit, Refill, Roles, VerifyError,
};
use pollster::block_on;

const LIVE: AccessRequest<'static> = AccessRequest::new(Environment::PRODUCTION);

/// A rate limit by whole numbers: debt in parts of a unit, a unit being `period` parts, of
/// which `count` are forgiven each microsecond. No clock moves it back.
#[derive(Clone)]
struct Bucket {
    rule: RateLimit,
    debt: u128,
    at: i64,
}

impl Bucket {
    fn new(rule: &RateLimit) -> Self {
        Self { rule: rule.clone(), debt: 0, at: i64::MIN / 2 }
    }

    fn take(&mut self, now: i64, cost: u32) -> bool {
        let passed = u128::try_from(now - self.at).unwrap_or(0);
        let period = self.rule.period().as_micros();
        self.debt = self.debt.saturating_sub(passed * u128::from(self.rule.count()));
        self.at = self.at.max(now);
        let debt = self.debt + u128::from(cost) * period;
        let fits = debt <= u128::from(self.rule.burst_size()) * period;
        if fits {
            self.debt = debt;
        }
        fits
    }
}

#[derive(Clone)]
struct Count {
    rule: Quota,
    window: u32,
    used: u64,
}

impl Count {
    fn take(&mut self, now: i64, cost: u32) -> bool {
        let (window, _) = self.rule.refill().window(keyward::Timestamp::from_micros(now));
        if window > self.window {
            (self.window, self.used) = (window, 0);
        }
        let fits = self.used + u64::from(cost) <= self.rule.limit();
        if fits {
            self.used += u64::from(cost);
        }
        fits
    }
}

#[derive(Clone)]
struct Limits {
    rates: Vec<Bucket>,
    quota: Option<Count>,
}

impl Limits {
    /// All or none; the first that has no room.
    fn take(&mut self, now: i64, cost: u32) -> Option<LimitedBy> {
        let before = self.clone();
        let mut refused = None;
        for (place, rate) in (0..).zip(&mut self.rates) {
            if refused.is_none() && !rate.take(now, cost) {
                refused = Some(LimitedBy::Rate(place));
            }
        }
        let has_room = |quota: &mut Count| quota.take(now, cost);
        if refused.is_none() && !self.quota.as_mut().is_none_or(has_room) {
            refused = Some(LimitedBy::Quota);
        }
        if refused.is_some() {
            *self = before;
        }
        refused
    }
}

fn random_rules(random: &mut Random) -> (Vec<RateLimit>, Option<Quota>) {
    let rates = [
        RateLimit::new("a", 3, seconds(7)).unwrap(),
        RateLimit::new("b", 10, seconds(60)).unwrap().burst(4).unwrap(),
        RateLimit::new("c", 1, seconds(2)).unwrap().burst(6).unwrap(),
    ];
    let quotas = [(9, Refill::Hour), (20, Refill::Day)];
    let quota = random.chance(60).then(|| random.pick(&quotas));
    (random.some(&rates, 40), quota.map(|(limit, refill)| Quota::new(limit, refill).unwrap()))
}

fn limited(error: &VerifyError) -> LimitName {
    match error.deny() {
        Some(Deny::QuotaExceeded { limit, .. } | Deny::RateLimited { limit, .. }) => limit,
        other => panic!("{other:?}"),
    }
}

/// Three keys, two of one owner, against buckets of whole numbers. Between the requests
/// there are refused ones, edits of other fields, rotations and looks; none of them counts.
fn sequence(seed: u64) {
    let random = &mut Random(seed);
    let shared = RateLimit::new("owner", 8, seconds(20)).unwrap();
    let limits = LocalLimits::new().per_owner(shared.clone()).unwrap();
    let world = World::with(Roles::none(), limits);
    let mut owners = [Bucket::new(&shared), Bucket::new(&shared)];
    let mut keys = Vec::new();
    for owner in [0, 0, 1] {
        let (rates, quota) = random_rules(random);
        let named = NewKey::named("k").owner(["o", "p"][owner]).permissions(["read:a"]);
        let new = named.ip_denylist(["192.0.2.1"]);
        let new = rates.iter().cloned().fold(new, NewKey::rate_limit);
        let new = quota.clone().map_or(new.clone(), |quota| new.quota(quota));
        let (id, secret) = world.issue(new);
        let model = Limits {
            rates: rates.iter().map(Bucket::new).collect(),
            quota: quota.map(|rule| Count { rule, window: 0, used: 0 }),
        };
        keys.push((owner, id, secret, model));
    }
    let near = LIVE.from(ClientIp::Peer("192.0.2.2".parse().unwrap())).scope("read:a");
    let far = near.from(ClientIp::Peer("192.0.2.1".parse().unwrap()));
    let mut now = START * 1_000_000;
    for _ in 0..60 {
        now += match random.below(6) {
            0 => 3_600_000_000,
            1 | 2 => i64::try_from(random.below(9_000_000)).unwrap(),
            _ => 0,
        };
        world.clock.set(keyward::Timestamp::from_micros(now));
        let at = world.keys.now();
        let chosen = random.below(keys.len());
        let (owner, id, secret, model) = &mut keys[chosen];
        let verify = |request: &AccessRequest<'_>| {
            block_on(world.keys.verify(secret.expose_secret(), request))
        };
        match random.below(10) {
            0 => {
                assert_eq!(verify(&far).unwrap_err().deny(), Some(Deny::Network));
                let unscoped = near.scope("write:a");
                assert_eq!(verify(&unscoped).unwrap_err().deny(), Some(Deny::Scope));
                let elsewhere = AccessRequest::new(Environment::SANDBOX).from(near.client);
                let error = verify(&elsewhere).unwrap_err();
                assert_eq!(error.deny(), Some(Deny::WrongEnvironment));
            }
            1 => {
                let edit = KeyEdit::new().name(format!("k{now}"));
                block_on(world.keys.update(&world.host, *id, edit)).unwrap();
            }
            2 => {
                let other = KeyEdit::new().rate_limits([RateLimit::per_second(9).unwrap()]);
                let host = &world.host;
                let query = KeyQuery::new();
                block_on(world.keys.explain(host, *id, &near, at)).unwrap();
                block_on(world.keys.simulate(host, *id, &other, &near, at)).unwrap();
                block_on(world.keys.would_break(host, &query, &other, &near, at)).unwrap();
            }
            3 => {
                let (keys, host) = (&world.keys, &world.host);
                *secret = block_on(keys.regenerate(host, *id)).unwrap().into_key();
                block_on(keys.disable(host, *id)).unwrap();
                block_on(keys.enable(host, *id)).unwrap();
                block_on(keys.maintain()).unwrap();
            }
            _ => {
                let cost = u32::try_from(random.below(4)).unwrap();
                let request = near.cost(cost);
                let trace = block_on(world.keys.explain(&world.host, *id, &request, at)).unwrap();
                let before = model.clone();
                let mut refused = model.take(now, cost).map(LimitName::Key);
                if refused.is_none() && !owners[*owner].take(now, cost) {
                    *model = before;
                    refused = Some(LimitName::Owner(LimitedBy::Rate(0)));
                }
                let result = verify(&request);
                assert_eq!(trace.allowed, result.is_ok(), "seed {seed}: {trace}");
                assert_eq!(result.err().map(|error| limited(&error)), refused, "seed {seed}");
            }
        }
    }
}

#[test]
fn limits_are_those_of_whole_numbers() {
    for seed in 0..cases(20_000, 500) as u64 {
        sequence(seed);
    }
}

/// However the clock jumps, no more is admitted than by one that only goes forward.
#[test]
fn a_clock_that_steps_back_grants_nothing() {
    for seed in 0..cases(20_000, 500) as u64 {
        let random = &mut Random(seed);
        let world = World::new();
        let (rates, quota) = random_rules(random);
        let new = rates.iter().cloned().fold(NewKey::named("k").owner("o"), NewKey::rate_limit);
        let new = quota.clone().map_or(new.clone(), |quota| new.quota(quota));
        let (_, secret) = world.issue(new);
        let mut rates: Vec<Bucket> = rates.iter().map(Bucket::new).collect();
        let mut quota = quota.map(|rule| Count { rule, window: 0, used: 0 });
        let mut latest = 0;
        for _ in 0..60 {
            let now = i64::try_from(random.below(8_000)).unwrap();
            latest = latest.max(now);
            world.clock.set(at(now));
            if block_on(world.keys.verify(secret.expose_secret(), &LIVE)).is_ok() {
                let micros = (START + latest) * 1_000_000;
                let room = rates.iter_mut().all(|rate| rate.take(micros, 1));
                let left = quota.as_mut().is_none_or(|quota| quota.take(micros, 1));
                assert!(room && left, "seed {seed}");
            }
        }
    }
}

/// A quota starts anew exactly at the boundary of its calendar.
#[test]
fn a_quota_starts_anew_at_the_boundary() {
    for (refill, before, boundary) in [
        (Refill::Hour, "2025-06-15T15:59:59.999999Z", "2025-06-15T16:00:00Z"),
        (Refill::Day, "2025-06-15T23:59:59.999999Z", "2025-06-16T00:00:00Z"),
        (Refill::Week, "2025-06-15T23:59:59.999999Z", "2025-06-16T00:00:00Z"),
        (Refill::Month, "2025-06-30T23:59:59.999999Z", "2025-07-01T00:00:00Z"),
        (Refill::Year, "2025-12-31T23:59:59.999999Z", "2026-01-01T00:00:00Z"),
    ] {
        let world = World::new();
        let quota = Quota::new(2, refill).unwrap();
        let (_, secret) = world.issue(NewKey::named("k").owner("o").quota(quota));
        let verify = || block_on(world.keys.verify(secret.expose_secret(), &LIVE));
        assert!(verify().is_ok() && verify().is_ok());
        for instant in [at(0), before.parse().unwrap()] {
            world.clock.set(instant);
            match verify().unwrap_err().deny() {
                Some(Deny::QuotaExceeded { resets_at, .. }) => {
                    assert_eq!(resets_at, boundary.parse().unwrap(), "{refill:?}");
                }
                other => panic!("{other:?}"),
            }
        }
        world.clock.set(boundary.parse().unwrap());
        assert_eq!(verify().unwrap().limit().unwrap().remaining(), 1, "{refill:?}");
        world.clock.set(before.parse().unwrap());
        assert!(verify().is_ok(), "the later window goes on");
        assert!(verify().is_err(), "a step back refills nothing");
    }
}

/// An edit of a limit carries the use over: it is no way to a fresh one.
#[test]
fn an_edited_limit_is_not_refilled() {
    let world = World::new();
    let minute = |count: u32| RateLimit::per_minute(count).unwrap();
    let new = NewKey::named("k").owner("o").rate_limit(minute(4));
    let (id, secret) = world.issue(new.quota(Quota::new(100, Refill::Day).unwrap()));
    let verify = || block_on(world.keys.verify(secret.expose_secret(), &LIVE));
    while verify().is_ok() {}
    for count in [3, 4, 2, 4, 1, 4] {
        let edit = KeyEdit::new().rate_limits([minute(count)]);
        block_on(world.keys.update(&world.host, id, edit)).unwrap();
        assert!(verify().is_err(), "{count}");
    }
    let edit = KeyEdit::new().rate_limits([]).quota(Quota::new(4, Refill::Day).unwrap());
    block_on(world.keys.update(&world.host, id, edit)).unwrap();
    assert!(verify().is_err(), "the quota's four are used");
}
