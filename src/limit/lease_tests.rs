use std::time::Duration;

use super::{Lease, Quota, RateLimit, Refill};
use crate::timestamp::Timestamp;

const START: i64 = 1_750_000_000_000_000;
const SECOND: Duration = Duration::from_secs(1);

fn at(millis: i64) -> Timestamp {
    Timestamp::from_micros(START + millis * 1_000)
}

/// 6,000 a minute: a lease lasts a second and has at most 300 units.
fn minutely() -> Lease {
    Lease::of_rate(&RateLimit::per_minute(6_000).unwrap(), SECOND)
}

fn left(lease: &Lease, now: Timestamp) -> usize {
    (0..10_000).take_while(|_| lease.take(now, 1).is_some()).count()
}

#[test]
fn units_are_given_out_from_the_asking_to_the_end() {
    for (now, given) in [(-1, 0), (0, 7), (999, 7), (1_000, 0), (i64::from(i32::MAX), 0)] {
        let lease = minutely();
        lease.fill(at(0), 10, 3, at(0));
        assert_eq!(left(&lease, at(now)), given, "{now} ms");
    }
    let lease = minutely();
    lease.fill(at(0), 10, 3, at(0));
    assert_eq!(lease.take(at(0), 8), None);
    assert!(lease.take(at(0), 7).is_some());
}

#[test]
fn a_lease_is_a_twentieth_of_the_period_or_the_longest() {
    let period = |ms| RateLimit::new("r", 20, Duration::from_millis(ms)).unwrap();
    for (ms, longest, lasts) in [
        (1_000, SECOND, 50_000),
        (60_000, SECOND, 1_000_000),
        (1, SECOND, 50),
        (60_000, Duration::from_millis(10), 10_000),
        (60_000, 10 * SECOND, 3_000_000),
        (60_000, Duration::ZERO, 0),
    ] {
        let lease = Lease::of_rate(&period(ms), longest);
        assert_eq!(lease.lasts, Duration::from_micros(lasts), "{ms} {longest:?}");
        lease.fill(at(0), 2, 1, at(0));
        let last = Timestamp::from_micros(START + i64::try_from(lasts).unwrap());
        assert_eq!(lease.take(last, 1), None, "{ms} {longest:?}");
    }
}

#[test]
fn a_batch_is_bounded() {
    let rate = |count, burst| {
        let rate = RateLimit::per_minute(count).unwrap().burst(burst).unwrap();
        Lease::of_rate(&rate, SECOND).largest
    };
    assert_eq!(rate(6_000, 6_000), 300, "a twentieth of the burst");
    assert_eq!(rate(6_000, 1_000), 100, "what refills in a second");
    assert_eq!(rate(6_000, 10), 10, "the burst");
    assert_eq!((rate(1, 1), rate(5, 19), rate(60, 60)), (1, 1, 3));
    let quota = |limit| Lease::of_quota(&Quota::new(limit, Refill::Day).unwrap(), SECOND).largest;
    assert_eq!((quota(1), quota(1_999), quota(50_000)), (1, 1, 50));
}

#[test]
fn what_is_wanted_follows_what_was_used() {
    let lease = minutely();
    assert_eq!(lease.wanted(at(0), 2, 0), 2, "nothing is known yet");
    assert_eq!(lease.wanted(at(0), 2, 5), 7, "others wait");
    assert_eq!(lease.wanted(at(0), 2, u64::MAX), 300);
    assert_eq!(lease.wanted(at(0), 1_000, 5), 1_000, "a request needs what it needs");
    lease.fill(at(0), 10, 1, at(0));
    assert_eq!(left(&lease, at(0)), 9);
    assert_eq!(lease.wanted(at(500), 1, 0), 20, "10 in half a lease");
    assert_eq!(lease.wanted(at(10), 1, 0), 80, "at most eight times as many");
    assert_eq!(lease.wanted(at(1_000), 1, 0), 10);
    assert_eq!(lease.wanted(at(1_999), 1, 0), 10);
    assert_eq!(lease.wanted(at(2_000), 1, 0), 1, "long past");
    assert_eq!(lease.wanted(at(-1), 1, 0), 1, "a clock that stepped back");
    lease.fill(at(3_000), 50, 1, at(3_000));
    assert_eq!(lease.wanted(at(4_500), 1, 0), 1, "most were left");
}

#[test]
fn units_go_back_to_their_own_batch_and_no_other() {
    let lease = minutely();
    lease.fill(at(0), 3, 1, at(0));
    let units = lease.take(at(0), 2).unwrap();
    lease.put_back(units, at(999));
    assert_eq!(left(&lease, at(999)), 2);
    lease.put_back(units, at(1_000));
    assert_eq!(left(&lease, at(999)), 0, "the batch had ended");
    lease.fill(at(500), 1, 1, at(500));
    lease.put_back(units, at(500));
    assert_eq!(left(&lease, at(500)), 0, "it was another batch");
}

#[test]
fn units_that_come_too_late_are_void_and_not_asked_for_again() {
    let lease = minutely();
    lease.fill(at(0), 10, 1, at(999));
    assert!(!lease.is_scarce(at(999)));
    assert_eq!(left(&lease, at(999)), 9);
    lease.fill(at(1_000), 10, 1, at(2_000));
    assert_eq!(left(&lease, at(2_000)), 0);
    assert!(lease.is_scarce(at(2_000)) && lease.is_scarce(at(2_999)));
    assert!(!lease.is_scarce(at(3_000)) && !lease.is_scarce(at(1_999)));
}

#[test]
fn units_are_not_asked_for_ahead_by_a_lease_that_is_shorter_than_a_call() {
    let short = Lease::of_rate(&RateLimit::per_second(100).unwrap(), Duration::from_millis(1));
    short.fill(at(0), 5, 1, at(3));
    assert!(short.is_scarce(at(3)) && short.is_scarce(at(1_002)) && !short.is_scarce(at(1_003)));
    assert!(Lease::of_rate(&RateLimit::per_second(100).unwrap(), Duration::ZERO).is_scarce(at(0)));
}

#[test]
fn a_lease_on_a_quota_ends_with_the_window() {
    let lease = Lease::of_quota(&Quota::new(10_000, Refill::Hour).unwrap(), SECOND);
    let ends = Refill::Hour.window(at(0)).1;
    let from = ends.saturating_sub(Duration::from_millis(300));
    lease.fill(from, 10, 1, from);
    assert_eq!(lease.take(ends, 1), None);
    assert!(lease.take(ends.saturating_sub(Duration::from_micros(1)), 1).is_some());
}

#[test]
fn a_lease_is_idle_when_it_says_nothing_more() {
    let lease = minutely();
    assert!(lease.is_idle(at(0)));
    lease.fill(at(0), 10, 1, at(0));
    assert!(!lease.is_idle(at(0)) && !lease.is_idle(at(1_999)));
    assert!(lease.is_idle(at(2_000)) && lease.is_idle(at(-1)));
    lease.be_scarce(at(5_000));
    assert!(!lease.is_idle(at(5_500)));
}

/// Requests of six units and batches of ten: each unit that the store gave is of use.
#[test]
fn what_is_too_little_for_a_request_is_used_by_the_next() {
    let lease = Lease::of_quota(&Quota::new(10_000, Refill::Day).unwrap(), SECOND);
    let (mut debited, mut passed) = (0, 0);
    for _ in 0..600 {
        if lease.take(at(0), 6).is_none() {
            let size = lease.wanted(at(0), 6, 0);
            debited += u64::from(size);
            lease.fill(at(0), size, 6, at(0));
        }
        passed += 1;
    }
    let kept = left(&lease, at(0)) as u64;
    assert_eq!(debited, passed * 6 + kept);
    // But not beyond its end.
    lease.fill(at(0), 10, 6, at(0));
    lease.fill(at(1_000), 10, 6, at(1_000));
    assert_eq!(left(&lease, at(1_000)), 4);
}
