//! A whole set of rules against a naive one, and that nothing is taken by halves.

use super::*;
use crate::limit::Refill;
use proptest::prelude::*;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

const START: i64 = 1_750_000_000_000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_micros(millis * 1_000)
}

fn fresh(rules: &LimitRules) -> LimitCells {
    LimitCells::new(rules, None, Timestamp::MIN, at(START))
}

fn rules(rates: &[(u32, u64, u32)], quota: Option<u64>) -> LimitRules {
    let rates = rates.iter().enumerate().map(|(i, (count, millis, burst))| {
        RateLimit::new(&format!("r{i}"), *count, Duration::from_millis(*millis))
            .and_then(|rule| rule.burst(*burst))
            .unwrap()
    });
    let quota = quota.map(|limit| Quota::new(limit, Refill::Hour).unwrap());
    LimitRules::new(rates.collect(), quota).unwrap()
}

fn reported(cells: &LimitCells, now: Timestamp, cost: u32) -> Option<LimitState> {
    cells.state(cells.take(now, cost).unwrap())
}

fn copy(cells: &LimitCells) -> LimitCells {
    let copy = |cell: &AtomicU64| Arc::new(cell.load(Relaxed).into());
    LimitCells {
        rates: cells
            .rates
            .iter()
            .map(|cell| RateCell {
                rule: cell.rule.clone(),
                place: cell.place,
                tat: copy(&cell.tat),
            })
            .collect(),
        quota: cells
            .quota
            .as_ref()
            .map(|cell| QuotaCell { rule: cell.rule.clone(), used: copy(&cell.used) }),
    }
}

/// Every limit in fractions, looked at first and then taken.
struct Naive {
    rates: Vec<(i128, i128, i128, i128)>,
    quota: Option<(u64, i64, u64)>,
}

impl Naive {
    fn take(&mut self, now: i64, cost: u32) -> Result<(), LimitedBy> {
        if cost == 0 {
            return Ok(());
        }
        let next = |(count, period, _, tat): (i128, i128, i128, i128)| {
            tat.max(i128::from(now) * count) + i128::from(cost) * period
        };
        for (i, rate) in (0..).zip(&self.rates) {
            let (count, period, burst, _) = *rate;
            if next(*rate) > i128::from(now) * count + burst * period {
                return Err(LimitedBy::Rate(i));
            }
        }
        if let Some((limit, window, used)) = &mut self.quota {
            if now / 3_600_000 != *window {
                (*window, *used) = (now / 3_600_000, 0);
            }
            if *used + u64::from(cost) > *limit {
                return Err(LimitedBy::Quota);
            }
            *used += u64::from(cost);
        }
        for rate in &mut self.rates {
            rate.3 = next(*rate);
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn equals_a_naive_set(
        rates in prop::collection::vec((1..1_000_u32, 1..100_000_u64, 1..20_u32), 0..=8),
        quota in prop::option::of(1..200_u64),
        requests in prop::collection::vec((prop_oneof![Just(0), 0..50_i64, 0..5_000_000_i64], 0..6_u32), 1..200),
    ) {
        let rules = rules(&rates, quota);
        let cells = fresh(&rules);
        let mut naive = Naive {
            rates: rates.iter().map(|(c, p, b)| ((*c).into(), (*p).into(), (*b).into(), 0)).collect(),
            quota: quota.map(|limit| (limit, 0, 0)),
        };
        let mut now = START;
        for (by, cost) in requests {
            now += by;
            let expected = naive.take(now, cost);
            let got = cells.take(at(now), cost);
            prop_assert_eq!(got.map(|_| ()).map_err(|denied| denied.rule), expected);
            if let Err(denied) = got {
                prop_assert_eq!(denied.resets_at.is_some(), denied.rule == LimitedBy::Quota);
                if let Some(wait) = denied.retry_after {
                    let later = copy(&cells).take(at(now).saturating_add(wait), cost);
                    prop_assert_ne!(later.err().map(|later| later.rule), Some(denied.rule));
                }
            }
        }
    }
}

#[test]
fn a_denial_takes_nothing_and_undo_restores() {
    let rules = rules(&[(100, 60_000, 10), (60, 60_000, 5)], Some(3));
    let cells = fresh(&rules);
    let now = at(START);
    let left = || {
        let rates = cells.rates.iter().map(|cell| cell.tat.load(Relaxed));
        let used = cells.quota.iter().map(|cell| cell.used.load(Relaxed));
        rates.chain(used).collect::<Vec<_>>()
    };
    let first = cells.take(now, 2).unwrap();
    let state = cells.state(first).unwrap();
    assert_eq!((state.rule(), state.limit(), state.remaining()), (LimitedBy::Quota, 3, 1));
    let before = left();
    for (cost, rule, ever) in [
        (11, LimitedBy::Rate(0), false),
        (6, LimitedBy::Rate(1), false),
        (4, LimitedBy::Rate(1), true),
        (3, LimitedBy::Quota, true),
    ] {
        let denied = cells.take(now, cost).unwrap_err();
        assert_eq!((denied.rule, denied.retry_after.is_some()), (rule, ever), "{cost}");
        assert_eq!(left(), before);
    }
    let second = cells.take(now, 1).unwrap();
    assert_eq!(cells.state(second).unwrap().remaining(), 0);
    cells.undo(second, now);
    assert_eq!(left(), before);
    assert_eq!(reported(&cells, now, 0), Some(state));
}

#[test]
fn limits_of_a_shared_store_are_left_alone() {
    let strict = RateLimit::per_minute(1).unwrap().strict();
    let local = RateLimit::per_second(2).unwrap();
    let quota = Quota::new(1, Refill::Day).unwrap().strict();
    let rules = LimitRules::new(vec![strict, local], Some(quota)).unwrap();
    let cells = fresh(&rules);
    assert!(cells.take(at(START), 2).is_ok());
    let denied = cells.take(at(START), 1).unwrap_err();
    assert_eq!(denied.rule, LimitedBy::Rate(1));
    assert_eq!(denied.retry_after, Some(Duration::from_millis(500)));
    assert_eq!(reported(&LimitCells::default(), at(START), 9), None);
}

#[test]
fn states_are_for_headers() {
    let rules = rules(&[(10, 1_000, 5)], None);
    let state = reported(&fresh(&rules), at(START), 2).unwrap();
    assert_eq!((state.limit(), state.remaining()), (5, 3));
    assert_eq!(state.reset_after(), Duration::from_millis(200));
    let quota = LimitRules::new(vec![], Some(Quota::new(9, Refill::Hour).unwrap())).unwrap();
    let now: Timestamp = "2025-01-01T10:59:00Z".parse().unwrap();
    let state = reported(&fresh(&quota), now, 2).unwrap();
    assert_eq!((state.limit(), state.remaining()), (9, 7));
    assert_eq!(state.reset_after(), Duration::from_secs(60));
}

#[test]
fn nothing_is_allocated() {
    let rules = rules(&[(100, 60_000, 10), (60, 60_000, 5)], Some(3));
    let cells = fresh(&rules);
    let mut outcomes = [0, 0];
    let counted = allocation_counter::measure(|| {
        for i in 0..100 {
            let now = at(START + i * 100);
            match cells.take(now, 1) {
                Ok(taken) => {
                    outcomes[0] += 1;
                    if i % 2 == 0 {
                        cells.undo(taken, now);
                    }
                    std::hint::black_box(cells.state(taken).map(|state| state.reset_after()));
                }
                Err(_) => outcomes[1] += 1,
            }
        }
    });
    assert_eq!(counted.count_total, 0);
    assert!(outcomes.iter().all(|n| *n > 0), "{outcomes:?}");
}

#[test]
fn threads_never_take_more_than_the_tightest_rule() {
    let rules = rules(&[(1_000, 60_000, 1_000), (500, 60_000, 500)], Some(300));
    let cells = fresh(&rules);
    let admitted = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let taken = cells.take(at(START), 1).is_ok();
                    admitted.fetch_add(u32::from(taken), Relaxed);
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 300);
    let state = reported(&cells, at(START), 0).unwrap();
    assert_eq!(state.remaining(), 0);
    let backlog = cells.rates[0].rule.gcra().take(&cells.rates[0].tat, at(START), 0);
    assert_eq!(cells.rates[0].rule.gcra().remaining(backlog.unwrap()), 700);
}
