//! The script against the reference, at times that the test chooses.

#[path = "../../../tests/servers/redis.rs"]
mod servers;

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ::redis::{Client, Connection, ConnectionLike};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use self::servers::Redis;
use super::*;
use crate::store::{LimitStore, MemoryLimitStore};
use crate::token::KeyId;

const START: i64 = 1_750_000_000_123_457;
const REFILLS: [Refill; 5] = [Refill::Hour, Refill::Day, Refill::Week, Refill::Month, Refill::Year];

/// The script, at the instant in the last argument.
fn script() -> TakeScript {
    TakeScript::at("local now = tonumber(ARGV[#ARGV])\n")
}

fn connect(server: &Redis) -> Connection {
    Client::open(server.url()).unwrap().get_connection().unwrap()
}

fn fresh_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("p{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn ask(redis: &mut Connection, prefix: &str, charges: &[Charge], now: i64) -> Taken {
    let mut command = script().in_full(prefix, charges);
    command.arg(now);
    let answer = redis.req_command(&command).unwrap().extract_error().unwrap();
    taken(&answer, charges).unwrap()
}

fn refer(reference: &MemoryLimitStore, charges: &[Charge]) -> Taken {
    pollster::block_on(reference.take(charges)).unwrap()
}

fn charge(limit: SharedLimit, cost: u32, now: i64) -> Charge {
    let subject = LimitSubject::Key(KeyId::from_bytes([7; 10]));
    Charge { owner: "org_1".into(), subject, limit, cost, now: Timestamp::from_micros(now) }
}

fn any_limit() -> impl Strategy<Value = SharedLimit> {
    let rate = (
        prop::sample::select(&["a", "b"][..]),
        prop_oneof![1..20_u32, 1..2_000_u32, Just(1_000_003_u32), Just(1_000_000_000)],
        prop_oneof![
            1..100_u64,
            Just(1_000_u64),
            Just(60_000),
            Just(86_400_000),
            Just(31_622_400_000)
        ],
        prop_oneof![1..20_u32, 1..1_000_000_000_u32],
    );
    let rate = rate.prop_filter_map("a valid rate", |(name, count, period, burst)| {
        let rate = RateLimit::new(name, count, Duration::from_millis(period)).ok()?;
        Some(SharedLimit::Rate(rate.burst(burst).ok()?.strict()))
    });
    let limit = prop_oneof![1..30_u64, Just((1_u64 << 40) - 1)];
    let quota = (limit, prop::sample::select(&REFILLS[..])).prop_map(|(limit, refill)| {
        SharedLimit::Quota(Quota::new(limit, refill).unwrap().strict())
    });
    // Ticks are fractions of a microsecond: many edits from one scale to another.
    let fine = (1..20_u32, 1..9_u32).prop_map(|(count, burst)| {
        let rate = RateLimit::new("a", count, Duration::from_millis(1)).unwrap();
        SharedLimit::Rate(rate.burst(burst).unwrap().strict())
    });
    prop_oneof![3 => rate, 1 => quota, 3 => fine]
}

/// Edited limits, lists with one limit twice, costs above the burst, any time between.
#[test]
#[ignore = "needs Redis"]
fn the_script_takes_exactly_what_the_reference_takes() {
    let server = Redis::start();
    let redis = RefCell::new(connect(&server));
    let charges = prop::collection::vec(
        (0..4_usize, 0..2_u8, prop_oneof![1..6_u32, 1..100_000_u32, any::<u32>()]),
        1..4,
    );
    let later =
        prop_oneof![Just(0_i64), 0..5_000_i64, 0..90_000_000_i64, 0..40_000_000_000_000_i64];
    let calls = prop::collection::vec((charges, later), 1..40);
    let scale =
        std::env::var("KEYWARD_TEST_SCALE").ok().and_then(|it| it.parse().ok()).unwrap_or(1);
    let config = Config { failure_persistence: None, ..Config::with_cases(300 * scale) };
    let case = (prop::collection::vec(any_limit(), 4), calls);
    let (taken, denied) = (Cell::new(0), Cell::new(0));
    let passed = TestRunner::new(config).run(&case, |(limits, calls)| {
        let (prefix, reference) = (fresh_prefix(), MemoryLimitStore::new());
        let mut now = START;
        for (charges, later) in calls {
            now += later;
            let mut list: Vec<Charge> = charges
                .iter()
                .map(|&(limit, subject, cost)| {
                    let charge = charge(limits[limit].clone(), cost.max(1), now);
                    let owner = LimitSubject::Owner;
                    if subject == 0 { charge } else { Charge { subject: owner, ..charge } }
                })
                .collect();
            // No key has two limits of one name; an edit comes between calls.
            let all = list.clone();
            list.retain(|charge| {
                let place = key("", charge);
                all.iter().find(|other| key("", other) == place).map(|it| &it.limit)
                    == Some(&charge.limit)
            });
            let expected = refer(&reference, &list);
            prop_assert_eq!(
                &ask(&mut redis.borrow_mut(), &prefix, &list, now),
                &expected,
                "{:?}",
                list
            );
            let count = if expected == Taken::All { &taken } else { &denied };
            count.set(count.get() + 1);
        }
        Ok(())
    });
    passed.unwrap();
    let (taken, denied) = (taken.get(), denied.get());
    assert!(taken > 500 && denied > 500, "{taken} taken, {denied} denied: not much of a test");
}

#[test]
#[ignore = "needs Redis"]
fn an_edit_rounds_a_wait_up() {
    let server = Redis::start();
    let (mut redis, prefix) = (connect(&server), fresh_prefix());
    let rate = |count, burst| {
        let rate = RateLimit::new("a", count, Duration::from_millis(1)).unwrap();
        charge(SharedLimit::Rate(rate.burst(burst).unwrap().strict()), 1, START)
    };
    // A third of a millisecond, in thirds of a microsecond and then in whole ones.
    assert_eq!(ask(&mut redis, &prefix, &[rate(3, 3)], START), Taken::All);
    let retry_after = Some(Duration::from_micros(334));
    let denied = Taken::Denied { charge: 0, retry_after, resets_at: None };
    assert_eq!(ask(&mut redis, &prefix, &[rate(2, 1)], START), denied);
}

#[test]
#[ignore = "needs Redis"]
fn the_script_knows_the_calendar() {
    const DAYS: u64 = 70_000;
    let server = Redis::start();
    let mut redis = connect(&server);
    let functions = TAKE.split_once("local kinds").unwrap().0;
    let text = format!(
        "{functions}
        local refill, windows = ARGV[1], {{}}
        for day = 0, {DAYS} do
            windows[#windows + 1] = window(refill, day * DAY)
            windows[#windows + 1] = window(refill, day * DAY + DAY - 1)
        end
        return windows"
    );
    for (refill, name) in REFILLS.iter().zip(["hour", "day", "week", "month", "year"]) {
        let windows: Vec<u32> =
            ::redis::cmd("EVAL").arg(&text).arg(0).arg(name).query(&mut redis).unwrap();
        let day = 86_400_000_000;
        let instants = (0..=DAYS).flat_map(|at| [at * day, at * day + day - 1]);
        let expected: Vec<u32> = instants
            .map(|at| refill.window(Timestamp::from_micros(i64::try_from(at).unwrap())).0)
            .collect();
        assert_eq!(windows, expected, "{name}");
    }
}

#[test]
#[ignore = "needs Redis"]
fn a_clock_that_steps_back_refills_nothing() {
    let server = Redis::start();
    let mut redis = connect(&server);
    let rate = SharedLimit::Rate(RateLimit::per_minute(5).unwrap().strict());
    let quota = SharedLimit::Quota(Quota::new(5, Refill::Hour).unwrap().strict());
    for limit in [rate, quota] {
        let prefix = fresh_prefix();
        assert_eq!(ask(&mut redis, &prefix, &[charge(limit.clone(), 5, 0)], START), Taken::All);
        for back in [0, 1, 60_000_000, 7_200_000_000, START] {
            let again = ask(&mut redis, &prefix, &[charge(limit.clone(), 1, 0)], START - back);
            assert!(matches!(again, Taken::Denied { charge: 0, .. }), "{back}: {again:?}");
        }
    }
}

#[test]
#[ignore = "needs Redis"]
fn counters_vanish_when_they_hold_nothing_and_not_before() {
    let server = Redis::start();
    let mut redis = connect(&server);
    let minute = RateLimit::per_minute(60).unwrap().strict();
    let long = RateLimit::new("long", 1, Duration::from_secs(366 * 86_400)).unwrap();
    let long = long.burst(99).unwrap().strict();
    let quota = |refill| SharedLimit::Quota(Quota::new(5, refill).unwrap().strict());
    let seconds = |from: i64, to: i64| from * 1_000..=to * 1_000;
    for (limit, cost, kept) in [
        (SharedLimit::Rate(minute.clone()), 1, seconds(60, 62)),
        (SharedLimit::Rate(minute), 30, seconds(89, 91)),
        (SharedLimit::Rate(long), 99, seconds(99 * 366 * 86_400, 99 * 366 * 86_400 + 61)),
        (quota(Refill::Hour), 1, seconds(3_600, 3_661)),
        (quota(Refill::Week), 1, seconds(7 * 86_400, 7 * 86_400 + 61)),
        (quota(Refill::Year), 1, seconds(366 * 86_400, 366 * 86_400 + 61)),
    ] {
        let (prefix, charges) = (fresh_prefix(), [charge(limit, cost, 0)]);
        assert_eq!(ask(&mut redis, &prefix, &charges, START), Taken::All);
        let name = key(&prefix, &charges[0]);
        let left: i64 = ::redis::cmd("PTTL").arg(&name).query(&mut redis).unwrap();
        assert!(kept.contains(&left), "{name} is kept for {left} ms, not {kept:?}");
    }
}

#[test]
fn names_hold_the_owner_as_hash_tag() {
    let rate = || SharedLimit::Rate(RateLimit::per_minute(5).unwrap().strict());
    let named = |owner: &str, subject| {
        let owner = owner.into();
        key("keyward", &Charge { owner, subject, ..charge(rate(), 1, 0) })
    };
    let id = KeyId::from_bytes([7; 10]);
    assert_eq!(named("org_1", LimitSubject::Owner), "{keyward:org_1}:owner:rate:minute");
    let of_key = named("a}b{c:d%", LimitSubject::Key(id));
    assert_eq!(of_key, format!("{{keyward:a%7Db%7Bc%3Ad%25}}:key:{id}:rate:minute"));
    let quota = SharedLimit::Quota(Quota::new(5, Refill::Hour).unwrap());
    let of_quota = key("p", &Charge { subject: LimitSubject::Owner, ..charge(quota, 1, 0) });
    assert_eq!(of_quota, "{p:org_1}:owner:quota:quota");
}
