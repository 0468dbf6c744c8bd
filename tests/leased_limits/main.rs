//! Leased limits: a node takes a batch ahead and gives it out by itself.

mod nodes;
#[path = "../common/turns.rs"]
mod turns;

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use keyward::{Clock, Deny, LocalLimits, NewKey, Quota, RateLimit, Refill, VerifyError};
use nodes::{Nodes, join, start};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn key() -> NewKey {
    NewKey::named("leased").owner("org_1")
}

/// 1,000 a second, a burst of 1,000: a lease lasts 50 ms and has at most 50 units.
fn fast() -> RateLimit {
    RateLimit::per_second(1_000).unwrap().leased()
}

/// 6,000 a minute: a lease lasts a second and has at most 300 units.
fn minutely() -> RateLimit {
    RateLimit::per_minute(6_000).unwrap().leased()
}

#[test]
fn a_busy_node_asks_for_batches_and_gives_them_out_by_itself() {
    let nodes = Nodes::new(1);
    let key = nodes.issue(key().rate_limit(minutely()));
    for _ in 0..3_000 {
        assert!(nodes.now(0, &key, 1).is_ok());
        nodes.clock.advance(Duration::from_millis(10));
    }
    // 100 requests a second for 30 seconds: one call each second, and a few to warm up.
    assert!((30..45).contains(&nodes.store.calls()), "{} calls", nodes.store.calls());
}

#[test]
fn a_quiet_node_takes_no_more_than_it_uses() {
    let nodes = Nodes::new(1);
    let key = nodes.issue(key().rate_limit(minutely()));
    for _ in 0..20 {
        assert!(nodes.now(0, &key, 1).is_ok());
        assert_eq!(nodes.store.last(), [1]);
        nodes.clock.advance(2 * SECOND);
    }
    assert_eq!(nodes.store.calls(), 20);
}

#[test]
fn no_batch_is_larger_than_the_rule_says() {
    let nodes = Nodes::new(1);
    let key = nodes.issue(key().rate_limit(minutely()));
    while nodes.now(0, &key, 1).is_ok() {}
    let calls = nodes.store.calls.lock().unwrap().clone();
    assert_eq!(calls.iter().flatten().max(), Some(&300), "{calls:?}");
    assert_eq!(calls.iter().filter(|call| **call == [300]).count(), 20, "{calls:?}");
    let single = calls.iter().filter(|call| **call == [1]).count();
    assert!(single <= 300, "{single} calls when there was no room for a batch");
}

#[test]
fn sixty_four_at_once_make_two_calls() {
    let nodes = Nodes::new(1);
    nodes.store.turns(3);
    let key = nodes.issue(key().rate_limit(minutely()));
    let passed = join((0..64).map(|_| nodes.verify(0, &key, 1)));
    assert!(passed.iter().all(Result::is_ok));
    // The first asks for itself; by then the others wait, and the next asks for them all.
    assert_eq!(*nodes.store.calls.lock().unwrap(), [[1], [63]]);
    let passed = join((0..64).map(|_| nodes.verify(0, &key, 1)));
    assert!(passed.iter().all(Result::is_ok));
    assert_eq!(nodes.store.calls(), 3);
}

#[test]
fn a_lease_is_void_when_its_time_is_over() {
    let nodes = Nodes::new(1);
    nodes.store.turns(1);
    let key = nodes.issue(key().rate_limit(minutely()));
    join((0..20).map(|_| nodes.verify(0, &key, 1)));
    nodes.clock.advance(Duration::from_millis(10));
    assert!(nodes.now(0, &key, 1).is_ok());
    let calls = nodes.store.calls();
    nodes.clock.advance(Duration::from_millis(990));
    assert!(nodes.now(0, &key, 1).is_ok());
    assert_eq!(nodes.store.calls(), calls, "the lease from 10 ms on lasts until 1,010 ms");
    nodes.clock.advance(Duration::from_millis(10));
    assert!(nodes.now(0, &key, 1).is_ok());
    assert_eq!(nodes.store.calls(), calls + 1);
}

#[test]
fn a_lease_is_counted_from_before_it_was_asked_for() {
    let nodes = Nodes::new(1);
    nodes.store.turns(1);
    let key = nodes.issue(key().rate_limit(minutely()));
    nodes.store.take_time(&nodes.clock, Duration::from_millis(400));
    // The second call, for all, is at 400 ms and over at 800 ms.
    join((0..20).map(|_| nodes.verify(0, &key, 1)));
    assert_eq!(*nodes.store.calls.lock().unwrap(), [[1], [19]]);
    nodes.clock.set(start().saturating_add(Duration::from_millis(1_399)));
    assert!(nodes.now(0, &key, 1).is_ok());
    let asked = nodes.store.last()[0];
    assert!(asked > 1);
    nodes.store.take_time(&nodes.clock, Duration::ZERO);
    // Asked for at 1,399 ms, there at 1,799 ms, over at 2,399 ms.
    nodes.clock.set(start().saturating_add(Duration::from_millis(2_398)));
    assert!(nodes.now(0, &key, 1).is_ok());
    assert_eq!(nodes.store.calls(), 3);
    nodes.clock.set(start().saturating_add(Duration::from_millis(2_399)));
    assert!(nodes.now(0, &key, 1).is_ok());
    assert_eq!(nodes.store.calls(), 4);
}

#[test]
fn a_clock_that_stepped_back_uses_no_lease() {
    let nodes = Nodes::new(1);
    nodes.store.turns(1);
    let key = nodes.issue(key().rate_limit(minutely()));
    nodes.clock.advance(3_600 * SECOND);
    join((0..20).map(|_| nodes.verify(0, &key, 1)));
    assert!(nodes.now(0, &key, 1).is_ok());
    let calls = nodes.store.calls();
    nodes.clock.set(start());
    let _ = nodes.now(0, &key, 1);
    assert_eq!(nodes.store.calls(), calls + 1, "a lease from the future was used");
}

#[test]
fn what_is_left_is_found_by_whoever_asks_for_less() {
    let nodes = Nodes::new(2);
    let limit = RateLimit::per_day(100).unwrap().leased();
    let key = nodes.issue(key().rate_limit(limit));
    let passed: usize = (0..4).map(|n| nodes.passing(n % 2, &key)).sum();
    assert!((95..=100).contains(&passed), "{passed}");
    let calls = nodes.store.calls();
    for _ in 0..20 {
        let deny = nodes.now(0, &key, 1).unwrap_err().deny();
        assert!(matches!(deny, Some(Deny::RateLimited { retry_after: Some(_), .. })), "{deny:?}");
    }
    assert_eq!(nodes.store.calls(), calls + 20, "a refusal costs one call and no more");
}

#[test]
fn a_cost_above_the_burst_never_passes() {
    let nodes = Nodes::new(1);
    let key = nodes.issue(key().rate_limit(fast()));
    let deny = nodes.now(0, &key, 1_001).unwrap_err().deny();
    assert!(matches!(deny, Some(Deny::RateLimited { retry_after: None, .. })), "{deny:?}");
    assert!(nodes.now(0, &key, 1_000).is_ok(), "more than the largest batch");
    assert!(nodes.now(0, &key, 0).is_ok());
}

#[test]
fn a_quota_is_leased_and_ends_with_its_window() {
    let nodes = Nodes::new(1);
    let quota = Quota::new(10_000, Refill::Hour).unwrap().leased();
    let key = nodes.issue(key().quota(quota));
    let (_, ends) = Refill::Hour.window(start());
    nodes.clock.set(ends.saturating_sub(Duration::from_millis(500)));
    let mut passed = 0;
    while nodes.now(0, &key, 1).is_ok() {
        passed += 1;
    }
    assert_eq!(passed, 10_000, "what is left when there is no room for a batch is given out too");
    assert!(nodes.store.calls.lock().unwrap().iter().flatten().all(|batch| *batch <= 10));

    nodes.clock.set(ends);
    for _ in 0..100 {
        assert!(nodes.now(0, &key, 1).is_ok());
    }
    let (_, ends) = Refill::Hour.window(ends);
    nodes.clock.set(ends.saturating_sub(Duration::from_millis(1)));
    for _ in 0..15 {
        assert!(nodes.now(0, &key, 1).is_ok());
    }
    let calls = nodes.store.calls();
    nodes.clock.set(ends);
    assert!(nodes.now(0, &key, 1).is_ok());
    assert_eq!(nodes.store.calls(), calls + 1, "units of the old window were used in the new one");
}

#[test]
fn a_denial_elsewhere_puts_units_back_while_the_lease_lasts() {
    let nodes = Nodes::new(1);
    nodes.store.turns(1);
    let day = RateLimit::per_day(30).unwrap().strict();
    let key = nodes.issue(key().rate_limit(minutely()).rate_limit(day));
    let passed = join((0..40).map(|_| nodes.verify(0, &key, 1)));
    assert_eq!(passed.iter().filter(|passed| passed.is_ok()).count(), 30);
    // The first asked for itself, the second for all: 10 units are left when 30 have passed,
    // and no refusal wears them off.
    let asked = |nodes: &Nodes| {
        nodes.store.calls.lock().unwrap().iter().filter(|call| call.len() == 2).count()
    };
    assert_eq!(asked(&nodes), 2);
    for _ in 0..50 {
        assert!(nodes.now(0, &key, 1).is_err());
    }
    assert_eq!(asked(&nodes), 2);
}

#[test]
fn one_call_carries_strict_limits_and_what_leases_lack() {
    let owners = || LocalLimits::new().per_owner(minutely().named("org").unwrap()).unwrap();
    let nodes = Nodes::with(1, owners);
    let new = key()
        .rate_limit(minutely())
        .rate_limit(RateLimit::per_hour(50).unwrap().strict())
        .quota(Quota::new(100, Refill::Day).unwrap().strict());
    let key = nodes.issue(new);
    assert!(nodes.now(0, &key, 1).is_ok());
    assert_eq!(*nodes.store.calls.lock().unwrap(), [[1; 4]]);
}

#[test]
fn a_limit_may_go_from_strict_to_leased_and_back_without_a_refill() {
    let nodes = Nodes::new(1);
    let limit = RateLimit::per_day(10).unwrap();
    let key = nodes.issue(key().rate_limit(limit.clone().strict()));
    assert_eq!(nodes.passing(0, &key), 10);
    for edited in [limit.clone().leased(), limit.strict()] {
        nodes.edit(&key, |edit| edit.rate_limits([edited]));
        assert!(nodes.now(0, &key, 1).is_err());
    }
}

#[test]
fn when_the_store_fails_a_lease_lasts_and_then_each_limit_says() {
    for (limit, passes) in [(minutely(), false), (minutely().fail_open(), true)] {
        let nodes = Nodes::new(1);
        nodes.store.turns(1);
        let key = nodes.issue(key().rate_limit(limit));
        join((0..20).map(|_| nodes.verify(0, &key, 1)));
        nodes.clock.advance(Duration::from_millis(500));
        assert!(nodes.now(0, &key, 1).is_ok());
        nodes.store.fail(true);
        assert!(nodes.now(0, &key, 1).is_ok(), "the lease has units left");
        nodes.clock.advance(2 * SECOND);
        match nodes.now(0, &key, 1) {
            Ok(_) => assert!(passes),
            Err(error) => {
                assert!(!passes);
                assert!(matches!(error, VerifyError::Unavailable(_)), "{error:?}");
                assert_eq!(error.status(), 503);
            }
        }
        let calls = nodes.store.calls();
        let answers = join((0..64).map(|_| nodes.verify(0, &key, 1)));
        assert!(answers.iter().all(|answer| answer.is_ok() == passes));
        assert_eq!(nodes.store.calls(), calls + 1, "those who waited for a failure asked again");
        nodes.store.fail(false);
        assert!(nodes.now(0, &key, 1).is_ok());
    }
}

#[test]
fn a_closed_limit_refuses_beside_an_open_one() {
    let nodes = Nodes::new(1);
    let closed = RateLimit::per_hour(100).unwrap().leased();
    let key = nodes.issue(key().rate_limit(minutely().fail_open()).rate_limit(closed));
    nodes.store.fail(true);
    assert_eq!(nodes.now(0, &key, 1).unwrap_err().status(), 503);
}

#[test]
fn a_dropped_verify_gives_its_turn_up() {
    let nodes = Nodes::new(1);
    nodes.store.turns(5);
    let key = nodes.issue(key().rate_limit(minutely()));
    for polls in 0..30 {
        let mut first = Some(Box::pin(nodes.verify(0, &key, 1)));
        let mut second = Some(Box::pin(nodes.verify(0, &key, 1)));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..polls {
            for verify in [&mut first, &mut second] {
                if verify.as_mut().is_some_and(|it| it.as_mut().poll(&mut context).is_ready()) {
                    *verify = None;
                }
            }
        }
        drop(first);
        let others = (0..5).map(|_| Box::pin(nodes.verify(0, &key, 1)));
        let passed = join(second.into_iter().chain(others));
        assert!(passed.iter().all(Result::is_ok));
        nodes.clock.advance(3 * SECOND);
    }
}

#[test]
fn leases_survive_an_edit_of_something_else_and_upkeep() {
    let nodes = Nodes::new(1);
    nodes.store.turns(1);
    let key = nodes.issue(key().rate_limit(minutely()));
    join((0..20).map(|_| nodes.verify(0, &key, 1)));
    nodes.clock.advance(Duration::from_millis(500));
    assert!(nodes.now(0, &key, 1).is_ok());
    let calls = nodes.store.calls();
    nodes.edit(&key, |edit| edit.name("other"));
    pollster::block_on(nodes.services[0].maintain()).unwrap();
    assert!(nodes.now(0, &key, 1).is_ok());
    assert_eq!(nodes.store.calls(), calls);
}

/// In every window T, at most burst + rate x (T + L) were admitted.
fn check_bound(
    admitted: &[(i64, u32)],
    burst: i64,
    count: i64,
    period: i64,
    lasts: i64,
) -> Result<(), TestCaseError> {
    for (first, (from, _)) in admitted.iter().enumerate() {
        let mut units = 0;
        for (at, cost) in &admitted[first..] {
            units += i64::from(*cost);
            let window = at - from + lasts;
            prop_assert!(
                units * period <= burst * period + count * window,
                "{units} units in {} us",
                at - from
            );
        }
    }
    Ok(())
}

fn cases(cases: u32) -> ProptestConfig {
    let scale = std::env::var("KEYWARD_TEST_SCALE").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    ProptestConfig::with_cases(cases * scale)
}

/// Thousandths of a period: bursts, and pauses in which everything refills and is void.
fn gap() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0..40_u32, 1 => 500..2_000_u32]
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn nodes_admit_no_more_than_is_stated(
        count in 1..400_u32,
        period_ms in prop::sample::select(&[200_u64, 1_000, 3_000, 60_000][..]),
        burst in 1..400_u32,
        busy in 1..4_usize,
        requests in prop::collection::vec(
            (0..3_usize, 0..3_u32, gap(), 1..8_usize, any::<bool>()), 20..120),
        slow in 0..2_u32,
    ) {
        let nodes = Nodes::new(3);
        let period = Duration::from_millis(period_ms);
        let limit = RateLimit::new("r", count, period).unwrap().burst(burst).unwrap().leased();
        let key = nodes.issue(key().rate_limit(limit));
        // Calls take a while, one after the other, and no longer than a lease lasts.
        let lasts = (period / 20).min(SECOND);
        nodes.store.take_time(&nodes.clock, lasts * slow / 32);
        let mut admitted = Vec::new();
        for (node, cost, later, at_once, drops) in requests {
            nodes.clock.advance(period * later / 1_000);
            nodes.store.turns(at_once % 3);
            if drops {
                let dropped = pin!(nodes.verify(node, &key, cost + 1));
                let mut context = Context::from_waker(Waker::noop());
                if let Poll::Ready(Ok(_)) = dropped.poll(&mut context) {
                    admitted.push((nodes.clock.now().as_micros(), cost + 1));
                }
            }
            let cost = cost.max(1);
            let answers = join((0..at_once * busy).map(async |_| {
                let answer = nodes.verify(node, &key, cost).await;
                (answer, nodes.clock.now().as_micros())
            }));
            let passed = answers.into_iter().filter(|(answer, _)| answer.is_ok());
            admitted.extend(passed.map(|(_, at)| (at, cost)));
        }
        let period_us = i64::try_from(period_ms * 1_000).unwrap();
        let lasts = i64::try_from(lasts.as_micros()).unwrap();
        admitted.sort_unstable();
        check_bound(&admitted, burst.into(), count.into(), period_us, lasts)?;
    }
}
