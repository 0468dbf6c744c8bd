//! Counters outlive edits, and go only when nothing is lost.

use super::*;
use crate::limit::{LimitedBy, Quota, Refill};
use proptest::prelude::*;
use std::time::Duration;

const KEY: [u8; 10] = [7; 10];

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_750_000_000 + seconds)
}

fn rules(rates: Vec<RateLimit>, quota: Option<Quota>) -> LimitRules {
    LimitRules::new(rates, quota).unwrap()
}

fn minute(count: u32) -> RateLimit {
    RateLimit::per_minute(count).unwrap()
}

/// What is left of the first rate limit.
fn left(limits: &LocalLimits, rules: &LimitRules, now: Timestamp) -> u64 {
    let cells = limits.cells(KEY, rules, now);
    cells.state(cells.take(now, 0).unwrap()).unwrap().remaining()
}

#[test]
fn the_same_rules_have_the_same_cells_and_clones_share_them() {
    let limits = LocalLimits::new();
    let ten = rules(vec![minute(10)], None);
    let cells = limits.cells(KEY, &ten, at(0));
    assert!(Arc::ptr_eq(&cells, &limits.clone().cells(KEY, &ten.clone(), at(0))));
    assert!(!Arc::ptr_eq(&cells, &limits.cells([8; 10], &ten, at(0))));
    assert_eq!((limits.len(), limits.clone().id()), (2, limits.id()));
    assert_ne!(limits.id(), LocalLimits::new().id());
    let before = limits.len();
    assert!(limits.cells([9; 10], &LimitRules::default(), at(0)).take(at(0), 99).is_ok());
    let strict = rules(vec![minute(1).strict()], None);
    assert!(limits.cells([9; 10], &strict, at(0)).take(at(0), 99).is_ok());
    assert_eq!(limits.len(), before);
}

#[test]
fn an_unchanged_rule_shares_its_counter_with_older_handles() {
    let limits = LocalLimits::new();
    let quota = Quota::new(50, Refill::Month).unwrap();
    let old = limits.cells(KEY, &rules(vec![minute(10)], Some(quota.clone())), at(0));
    let second = RateLimit::per_second(5).unwrap();
    let more = rules(vec![second, minute(10)], Some(quota));
    let new = limits.cells(KEY, &more, at(0));
    let _ = old.take(at(0), 5).unwrap();
    let _ = new.take(at(0), 5).unwrap();
    assert_eq!(old.take(at(1), 1).unwrap_err().rule, LimitedBy::Rate(0));
    assert_eq!(new.take(at(1), 1).unwrap_err().rule, LimitedBy::Rate(1));
}

#[test]
fn no_edit_refills_and_none_locks_out() {
    for (count, burst, then, remaining) in [
        (10, 10, minute(20), 0),
        (10, 10, minute(5), 0),
        (10, 5, minute(10), 5),
        (10, 5, minute(20), 10),
        (10, 10, minute(10).burst(40).unwrap(), 30),
        (7_777, 3_000, minute(7_777).burst(7_000).unwrap(), 4_000),
        (1_000, 1_000, RateLimit::per_second(9).unwrap().named("minute").unwrap(), 0),
    ] {
        let limits = LocalLimits::new();
        let first = rules(vec![minute(count)], None);
        let _ = limits.cells(KEY, &first, at(0)).take(at(0), burst).unwrap();
        let then = rules(vec![then], None);
        assert_eq!(left(&limits, &then, at(0)), remaining, "{then:?}");
        assert_eq!(left(&limits, &then, at(60)), u64::from(then.rates()[0].burst_size()));
    }
    let limits = LocalLimits::new();
    let yearly = RateLimit::new("minute", 1, Duration::from_secs(366 * 86_400)).unwrap();
    let _ = limits.cells(KEY, &rules(vec![yearly], None), at(0)).take(at(0), 1).unwrap();
    let raised = rules(vec![minute(60)], None);
    assert_eq!(left(&limits, &raised, at(0)), 0);
    assert_eq!(left(&limits, &raised, at(1)), 1);
}

#[test]
fn a_quota_keeps_its_use_when_its_limit_or_refill_changes() {
    let limits = LocalLimits::new();
    let quota = |n, refill| rules(vec![], Some(Quota::new(n, refill).unwrap()));
    let _ = limits.cells(KEY, &quota(100, Refill::Month), at(0)).take(at(0), 60).unwrap();
    assert_eq!(left(&limits, &quota(80, Refill::Month), at(0)), 20);
    assert_eq!(left(&limits, &quota(50, Refill::Month), at(0)), 0);
    assert_eq!(left(&limits, &quota(70, Refill::Day), at(0)), 10);
    let tomorrow = at(86_400);
    assert_eq!(left(&limits, &quota(70, Refill::Day), tomorrow), 70);
    assert_eq!(left(&limits, &quota(90, Refill::Year), tomorrow), 90);
    let other = Quota::new(70, Refill::Day).unwrap().named("other").unwrap();
    assert_eq!(left(&limits, &rules(vec![], Some(other)), at(0)), 70);
}

#[test]
fn removed_rules_are_forgotten() {
    let limits = LocalLimits::new();
    let ten = rules(vec![minute(10)], None);
    let _ = limits.cells(KEY, &ten, at(0)).take(at(0), 10).unwrap();
    let _ = limits.cells(KEY, &LimitRules::default(), at(0));
    assert!(limits.is_empty());
    assert_eq!(left(&limits, &ten, at(0)), 10);
}

#[test]
fn owners_share_their_limits() {
    let none = LocalLimits::new();
    assert!(none.owner_cells("org_1", at(0)).is_none());
    let limits = none.clone().per_owner(minute(3)).unwrap();
    assert_ne!(limits.id(), none.id());
    let cells = limits.owner_cells("org_1", at(0)).unwrap();
    let _ = cells.take(at(0), 3).unwrap();
    let counted = allocation_counter::measure(|| {
        let again = limits.owner_cells("org_1", at(0)).unwrap();
        assert!(again.take(at(0), 1).is_err());
    });
    assert_eq!(counted.count_total, 0);
    assert!(limits.owner_cells("org_2", at(0)).unwrap().take(at(0), 1).is_ok());
    let replaced = limits.per_owner(minute(4)).unwrap();
    assert_eq!(replaced.owner_rules().rates(), [minute(4)]);
    let eight = (0..7).try_fold(replaced, |limits, i| {
        limits.per_owner(minute(1).named(&format!("r{i}")).unwrap())
    });
    assert!(eight.unwrap().per_owner(minute(1).named("ninth").unwrap()).is_err());
}

#[test]
fn kept_or_busy_cells_are_not_pruned() {
    let limits = LocalLimits::new();
    let ten = rules(vec![minute(10)], None);
    let quota = rules(vec![], Some(Quota::new(5, Refill::Hour).unwrap()));
    let _ = limits.cells([1; 10], &ten, at(0)).take(at(0), 1).unwrap();
    let _ = limits.cells([2; 10], &quota, at(0)).take(at(0), 1).unwrap();
    let kept = limits.cells([3; 10], &ten, at(0));
    drop(limits.cells([4; 10], &ten, at(0)));
    let shared = limits.cells([5; 10], &ten, at(0));
    drop(limits.cells([5; 10], &rules(vec![minute(10).fail_open()], None), at(0)));
    limits.prune(at(5));
    assert_eq!(limits.len(), 4);
    limits.prune(at(6));
    assert_eq!(limits.len(), 3);
    limits.prune(at(3_600));
    assert_eq!(limits.len(), 2);
    drop((kept, shared));
    limits.prune(at(3_600));
    assert!(limits.is_empty());
}

#[test]
fn a_clock_set_back_behind_a_prune_grants_nothing() {
    let limits = LocalLimits::new();
    let hourly = Quota::new(5, Refill::Hour).unwrap();
    let both = rules(vec![minute(6)], Some(hourly));
    let _ = limits.cells(KEY, &both, at(0)).take(at(0), 5).unwrap();
    limits.prune(at(7_200));
    assert!(limits.is_empty());
    let cells = limits.cells(KEY, &both, at(0));
    assert_eq!(cells.take(at(0), 1).unwrap_err().rule, LimitedBy::Rate(0));
    let _ = cells.take(at(60), 5).unwrap();
    assert_eq!(cells.take(at(120), 1).unwrap_err().rule, LimitedBy::Quota);
    assert_eq!(cells.take(at(7_200), 1).unwrap_err().rule, LimitedBy::Quota);
}

proptest! {
    /// With a prune and no kept handle between all requests, every answer stays the same.
    #[test]
    fn pruning_changes_no_answer(
        requests in prop::collection::vec((0..3_u8, 0..400_i64, 0..4_u32), 1..200),
    ) {
        let (pruned, whole) = (LocalLimits::new(), LocalLimits::new());
        let quota = Quota::new(20, Refill::Hour).unwrap();
        let rules = rules(vec![minute(3), RateLimit::per_second(2).unwrap()], Some(quota));
        let mut seconds = 0;
        let mut dropped = 0;
        for (key, by, cost) in requests {
            seconds += by / 10;
            let key = [key; 10];
            let ours = pruned.cells(key, &rules, at(seconds)).take(at(seconds), cost);
            let theirs = whole.cells(key, &rules, at(seconds)).take(at(seconds), cost);
            prop_assert_eq!(ours, theirs);
            pruned.prune(at(seconds));
            dropped += whole.len() - pruned.len();
        }
        prop_assert!(dropped <= 3 * 200);
    }
}

#[test]
fn threads_find_one_cell() {
    let limits = LocalLimits::new();
    let hundred = rules(vec![minute(100)], None);
    let admitted = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let taken = limits.cells(KEY, &hundred, at(0)).take(at(0), 1);
                    admitted.fetch_add(u32::from(taken.is_ok()), Relaxed);
                    limits.prune(at(0));
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 100);
}
