//! The integer arithmetic against fractions, and against a log of what was admitted.

use super::gcra::*;
use super::sync::{AtomicU64, Relaxed};
use crate::timestamp::Timestamp;
use proptest::prelude::*;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

const YEAR: u64 = 366 * 86_400_000_000;
const START: i64 = 1_750_000_000_000_000;

/// The rule as the documentation states it, in fractions: units are 1 / count µs.
struct Rational {
    count: i128,
    period: i128,
    burst: i128,
    tat: i128,
}

impl Rational {
    fn take(&mut self, now: i64, cost: u32) -> bool {
        let at = i128::from(now) * self.count;
        let next = self.tat.max(at) + i128::from(cost) * self.period;
        let fits = cost == 0 || next <= at + self.burst * self.period;
        if fits && cost > 0 {
            self.tat = next;
        }
        fits
    }
}

fn rule() -> impl Strategy<Value = (u64, u64, u64)> {
    let period = prop_oneof![
        Just(1_000_u64),
        Just(1_000_000),
        Just(60_000_000),
        Just(3_600_000_000),
        (1..=YEAR / 1_000).prop_map(|ms| ms * 1_000),
    ];
    let magnitude = |max: u64| {
        (1..=max.ilog2() + 1, any::<u64>())
            .prop_map(move |(bits, n)| (n % (1 << bits)).clamp(1, max))
    };
    (period, magnitude(1_000_000_000), magnitude(1_000_000_000)).prop_map(
        |(period, count, burst)| {
            let count = count.min(period.saturating_mul(1_000));
            let longest = u128::from(36_525_u64 * 86_400_000_000) * u128::from(count);
            let burst = u128::from(burst).min(longest / u128::from(period)).max(1);
            (count, period, u64::try_from(burst).unwrap())
        },
    )
}

fn scaled(cases: u32) -> ProptestConfig {
    let scale = std::env::var("KEYWARD_TEST_SCALE").map_or(1, |s| s.parse().unwrap());
    ProptestConfig { cases: cases * scale, failure_persistence: None, ..Default::default() }
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// Steps of the clock and costs, around the sizes at which the rule decides.
fn requests() -> impl Strategy<Value = Vec<(u8, u64, u8, u32)>> {
    prop::collection::vec((0..6_u8, any::<u64>(), 0..6_u8, any::<u32>()), 1..200)
}

fn step((count, period, burst): (u64, u64, u64), kind: u8, n: u64) -> i64 {
    let interval = (period / count).max(1);
    let refill = u64::try_from(u128::from(period) * u128::from(burst) / u128::from(count)).unwrap();
    let by = match kind {
        0 => 0,
        1 => n % 3,
        2 => interval + n % 3 - 1,
        3 => n % (2 * interval),
        4 => n % (refill + 2),
        _ => n % (period + 1),
    };
    i64::try_from(by).unwrap()
}

fn cost(burst: u64, kind: u8, n: u32) -> u32 {
    let burst = u32::try_from(burst).unwrap();
    match kind {
        0 => 0,
        1 | 2 => 1,
        3 => n % 4,
        4 => n % (burst + 2),
        _ => burst / 2 + n % 2,
    }
}

/// The clock after a step, within the years that refill.
fn moved(now: i64, by: i64) -> i64 {
    (now + by).clamp(0, LAST_INSTANT.cast_signed())
}

/// Whether from any admission to any later one it is at most burst + t * count / period.
fn holds((count, period, burst): (u64, u64, u64), log: &[(i64, u32)]) -> bool {
    log.iter().enumerate().filter(|(_, first)| first.1 > 0).all(|(first, (from, _))| {
        let mut sum = 0_i128;
        log[first..].iter().filter(|last| last.1 > 0).all(|(until, cost)| {
            sum += i128::from(*cost);
            let window = i128::from(until - from) * i128::from(count);
            // Backwards, a rate that is rounded down takes away less.
            let window = window.max(window * 511 / 512);
            (sum - i128::from(burst)) * i128::from(period) <= window
        })
    })
}

proptest! {
    #![proptest_config(scaled(2_000))]

    /// Never more than the fractions allow; exactly as much where the scale is the denominator.
    #[test]
    fn equals_the_rational_rule(rule in rule(), requests in requests()) {
        let (count, period, burst) = rule;
        let gcra = Gcra::new(count, period, burst);
        let exact = gcra.scale * period == gcra.step * count;
        prop_assert!(exact || count / gcd(count, period) > FINEST);
        let mut rational = Rational {
            count: count.into(), period: period.into(), burst: burst.into(), tat: 0,
        };
        let cell = AtomicU64::new(0);
        let mut now = START;
        let mut log: Vec<(i64, u32)> = Vec::new();
        for (kind, n, cost_kind, m) in requests {
            now = moved(now, step(rule, kind, n));
            let cost = cost(burst, cost_kind, m);
            let admitted = gcra.take(&cell, at(now), cost).is_ok();
            if exact {
                prop_assert_eq!(admitted, rational.take(now, cost));
            } else if admitted {
                prop_assert!(rational.take(now, cost), "overshoot");
            }
            if admitted {
                log.push((now, cost));
            }
        }
        prop_assert!(holds(rule, &log));
    }

    /// The rate is rounded down by less than documented, and nothing overflows.
    #[test]
    fn rounding_is_bounded(rule in rule()) {
        let (count, period, burst) = rule;
        let gcra = Gcra::new(count, period, burst);
        let (wide, exact) = (
            u128::from(gcra.step) * u128::from(count),
            u128::from(gcra.scale) * u128::from(period),
        );
        prop_assert!(gcra.scale <= FINEST);
        prop_assert!(gcra.capacity < 1 << 62);
        prop_assert!(wide >= exact);
        let part = if count <= period { 1_024 } else { 512 };
        prop_assert!((wide - exact) * part < exact);
    }

    /// `retry_after` is the shortest wait after which the request passes.
    #[test]
    fn retry_after_is_exact(rule in rule(), first in any::<u32>(), second in any::<u32>()) {
        let (_, _, burst) = rule;
        let gcra = Gcra::new(rule.0, rule.1, burst);
        let bound = u32::try_from(burst).unwrap();
        let cell = AtomicU64::new(0);
        gcra.take(&cell, at(START), first % bound + 1).unwrap();
        let second = second % bound + 1;
        if let Err(denied) = gcra.take(&cell, at(START), second) {
            let wait = i64::try_from(denied.retry_after.unwrap().as_micros()).unwrap();
            prop_assert!(wait > 0);
            prop_assert!(gcra.take(&cell, at(START + wait - 1), second).is_err());
            prop_assert!(gcra.take(&cell, at(START + wait), second).is_ok());
        }
    }

    /// Between any two admissions, in their order, a clock that wanders has granted
    /// the burst and its net progress: stepping back takes away, and never refills.
    #[test]
    fn rollback_grants_nothing(rule in rule(), requests in requests(), back in any::<u64>()) {
        let gcra = Gcra::new(rule.0, rule.1, rule.2);
        let cell = AtomicU64::new(0);
        let mut now = START;
        let mut log = Vec::new();
        for (turn, (kind, n, cost_kind, m)) in requests.into_iter().enumerate() {
            let by = step(rule, kind, n);
            now = moved(now, if (back >> (turn % 64)) & 1 == 1 { -by } else { by });
            let cost = cost(rule.2, cost_kind, m);
            let before = cell.load(Relaxed);
            if gcra.take(&cell, at(now), cost).is_ok() {
                log.push((now, cost));
            }
            prop_assert!(cell.load(Relaxed) >= before);
        }
        prop_assert!(holds(rule, &log));
    }

    /// Takes that are undone leave no more room than if they had never been.
    #[test]
    fn undo_never_gives_more_than_was_taken(rule in rule(), requests in requests(), kept in any::<u64>()) {
        let gcra = Gcra::new(rule.0, rule.1, rule.2);
        let (with, without) = (AtomicU64::new(0), AtomicU64::new(0));
        let mut now = START;
        let mut open = Vec::new();
        for (turn, (kind, n, cost_kind, m)) in requests.into_iter().enumerate() {
            now = moved(now, step(rule, kind, n));
            let cost = cost(rule.2, cost_kind, m);
            let fits = gcra.take(&with, at(now), cost).is_ok();
            if (kept >> (turn % 64)) & 1 == 0 {
                if fits {
                    open.push((now, cost));
                }
            } else if fits {
                prop_assert!(gcra.take(&without, at(now), cost).is_ok());
            }
            if m % 3 == 0 {
                for (taken, cost) in open.drain(..) {
                    gcra.undo(&with, at(taken), at(now), cost);
                }
            }
        }
        let (with, without) = (with.into_inner(), without.into_inner());
        prop_assert!(with.max(gcra.ticks(at(now))) >= without);
    }
}

#[test]
fn undo_at_once_restores() {
    let gcra = Gcra::new(7, 1_000_000, 7);
    let cell = AtomicU64::new(0);
    gcra.take(&cell, at(START), 3).unwrap();
    let before = cell.load(Relaxed);
    gcra.take(&cell, at(START + 5), 5).unwrap_err();
    assert!(gcra.take(&cell, at(START + 5), 3).is_ok());
    gcra.undo(&cell, at(START + 5), at(START + 5), 3);
    assert_eq!(cell.load(Relaxed), before);
}

#[test]
fn zero_reports_and_too_much_never_passes() {
    let gcra = Gcra::new(10, 1_000_000, 5);
    let cell = AtomicU64::new(0);
    assert_eq!(gcra.take(&cell, at(START), 6), Err(Denied { retry_after: None }));
    assert_eq!(gcra.take(&cell, at(START), u32::MAX), Err(Denied { retry_after: None }));
    assert_eq!(gcra.take(&cell, at(START), 0), Ok(0));
    assert_eq!(cell.load(Relaxed), 0);
    let backlog = gcra.take(&cell, at(START), 5).unwrap();
    assert_eq!((gcra.remaining(backlog), gcra.duration(backlog)), (0, Duration::from_millis(500)));
    assert_eq!(gcra.take(&cell, at(START), 0), Ok(backlog));
}

#[test]
fn the_ends_of_time_neither_overflow_nor_refill() {
    for rule in [(1, YEAR, 99), (1_000_000_000, 1_000_000, 1_000_000_000), (1, 1_000, 1)] {
        let gcra = Gcra::new(rule.0, rule.1, rule.2);
        let burst = u32::try_from(rule.2).unwrap();
        for now in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
            let cell = AtomicU64::new(0);
            assert!(gcra.take(&cell, now, burst).is_ok());
            assert!(gcra.take(&cell, now, 1).is_err());
            assert!(gcra.carried(gcra, u64::MAX, now) <= gcra.ticks(now) + gcra.capacity);
        }
    }
}

#[test]
fn threads_share_exactly_the_burst() {
    let gcra = Gcra::new(1_000, 60_000_000, 1_000);
    let cell = AtomicU64::new(0);
    let admitted = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    let taken = gcra.take(&cell, at(START), 1).is_ok();
                    admitted.fetch_add(u32::from(taken), Relaxed);
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 1_000);
}
