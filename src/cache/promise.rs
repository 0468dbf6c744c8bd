use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::freshness::Instant;

/// What a receipt may promise: how long another node may go without seeing a change.
///
/// A bound that was lowered is still used by a node that read the longer one just before,
/// until that has passed; so the longer one is promised as long.
pub(super) struct Promise(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// The bound that was last read, in microseconds.
    bound: Option<u64>,
    /// Longer ones that held before, each with when another was first seen.
    before: Vec<(u64, Instant)>,
}

impl Promise {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    /// Takes note of the bound that the store has told of, and gives how long after `now`
    /// a change that was acknowledged by then may go unseen.
    pub(super) fn told(&self, bound: u64, now: Instant) -> Duration {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(longer) = known.bound.filter(|before| *before > bound) {
            known.before.push((longer, now));
        }
        known.bound = Some(bound);
        known.before.retain(|before| left(*before, now) > bound);
        known.longest(now)
    }

    /// The same by what has been told before; `None` if nothing has.
    pub(super) fn longest(&self, now: Instant) -> Option<Duration> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.bound.map(|_| known.longest(now))
    }
}

impl Known {
    fn longest(&self, now: Instant) -> Duration {
        let before = self.before.iter().map(|before| left(*before, now));
        Duration::from_micros(before.fold(self.bound.unwrap_or_default(), u64::max))
    }
}

/// What is left of a longer bound, by the monotonic clock alone: it is never ahead of what
/// has really passed.
fn left((longer, seen): (u64, Instant), now: Instant) -> u64 {
    longer.saturating_sub(now.monotonic.saturating_sub(seen.monotonic))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        let monotonic = seconds * 1_000_000;
        Instant { wall: i64::try_from(monotonic).unwrap(), monotonic }
    }

    fn told(promise: &Promise, bound: u64, now: u64) -> u64 {
        promise.told(bound * 1_000_000, at(now)).as_secs()
    }

    #[test]
    fn a_lowered_bound_is_promised_once_the_longer_one_has_passed() {
        let promise = Promise::new();
        assert_eq!(told(&promise, 60, 0), 60);
        assert_eq!(told(&promise, 5, 10), 60);
        assert_eq!(told(&promise, 5, 40), 30);
        assert_eq!(told(&promise, 5, 64), 6);
        assert_eq!(told(&promise, 5, 65), 5);
        assert_eq!(told(&promise, 5, 1_000), 5);
    }

    #[test]
    fn a_raised_bound_is_promised_at_once() {
        let promise = Promise::new();
        assert_eq!(told(&promise, 5, 0), 5);
        assert_eq!(told(&promise, 60, 1), 60);
        assert_eq!(told(&promise, 10, 2), 60);
        assert_eq!(told(&promise, 30, 3), 59);
        assert_eq!(told(&promise, 30, 40), 30);
        assert_eq!(told(&promise, 10, 41), 30);
    }

    #[test]
    fn a_clock_that_was_set_shortens_nothing() {
        let promise = Promise::new();
        told(&promise, 60, 100);
        assert_eq!(told(&promise, 5, 110), 60);
        let set = Instant { wall: i64::MAX, ..at(111) };
        assert_eq!(promise.told(5_000_000, set).as_secs(), 59);
        assert_eq!(told(&promise, 5, 50), 60);
    }
}
