//! Units of a shared limit that this process took ahead, and gives out by itself.

use std::time::Duration;

use super::quota::Quota;
use super::rate::RateLimit;
use super::sync::{Mutex, MutexGuard, PoisonError};
use crate::timestamp::Timestamp;

/// A lease lasts this part of the period of its limit, unless that is too long.
const PARTS_OF_A_PERIOD: u32 = 20;
/// A batch of a rate limit may be this part of its burst, even if less refills meanwhile.
const PARTS_OF_A_BURST: u64 = 20;
/// A batch of a quota may be this part of its limit.
const PARTS_OF_A_QUOTA: u64 = 1_000;
/// A batch may be so many times the last one.
const GROWTH: u64 = 8;
/// After units came too late, none are asked for ahead for at least so long: the store is
/// slower than the lease is long.
const LATE_PAUSE: Duration = Duration::from_secs(1);

/// The lease of this process on one limit of one key or owner.
///
/// A unit is given out between the instant `from`, before it was asked of the store, and
/// `until`, at most `lasts` later. It was debited in between: in any window T only what was
/// debited in a window T + `lasts` is given out. A clock that is behind `from` gives
/// nothing.
#[derive(Debug)]
pub(crate) struct Lease {
    rule: Rule,
    pub(super) lasts: Duration,
    pub(super) largest: u64,
    state: Mutex<State>,
}

/// What was taken of a batch: to be put back if the request is refused after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what was taken must be put back if the request is refused after all"]
pub(crate) struct LeasedUnits {
    batch: u64,
    cost: u32,
}

#[derive(Clone, Debug, PartialEq)]
enum Rule {
    Quota(Quota),
    Rate(RateLimit),
}

#[derive(Debug, Default)]
struct State {
    batch: Option<Batch>,
    /// The store had no room for a batch: from when, until when it isn't asked for one.
    scarce: Option<(Timestamp, Timestamp)>,
    batches: u64,
}

#[derive(Clone, Copy, Debug)]
struct Batch {
    number: u64,
    from: Timestamp,
    until: Timestamp,
    size: u64,
    left: u64,
}

impl Lease {
    /// No units yet, of a quota; batches last at most `longest`.
    pub(crate) fn of_quota(quota: &Quota, longest: Duration) -> Self {
        let largest = (quota.limit() / PARTS_OF_A_QUOTA).max(1);
        Self::new(Rule::Quota(quota.clone()), longest, largest)
    }

    /// No units yet, of a rate limit; batches last at most `longest`.
    pub(crate) fn of_rate(rate: &RateLimit, longest: Duration) -> Self {
        let lasts = longest.min(rate.period() / PARTS_OF_A_PERIOD);
        let refilled =
            u128::from(rate.count()) * lasts.as_micros() / rate.period().as_micros().max(1);
        let burst = u64::from(rate.burst_size());
        let refilled = u64::try_from(refilled).unwrap_or(u64::MAX);
        let largest = refilled.max(burst / PARTS_OF_A_BURST).clamp(1, burst);
        Self::new(Rule::Rate(rate.clone()), lasts, largest)
    }

    fn new(rule: Rule, lasts: Duration, largest: u64) -> Self {
        Self { rule, lasts, largest, state: Mutex::default() }
    }

    /// Whether this is the lease on exactly this quota.
    pub(crate) fn is_of_quota(&self, quota: &Quota) -> bool {
        matches!(&self.rule, Rule::Quota(rule) if rule == quota)
    }

    /// Whether this is the lease on exactly this rate limit.
    pub(crate) fn is_of_rate(&self, rate: &RateLimit) -> bool {
        matches!(&self.rule, Rule::Rate(rule) if rule == rate)
    }

    /// Whether a limit of that kind and name is or was meant.
    pub(crate) fn is_named(&self, is_quota: bool, name: &str) -> bool {
        match &self.rule {
            Rule::Quota(rule) => is_quota && rule.name() == name,
            Rule::Rate(rule) => !is_quota && rule.name() == name,
        }
    }

    /// Takes `cost` units, if a batch that has not ended has so many left.
    pub(crate) fn take(&self, now: Timestamp, cost: u32) -> Option<LeasedUnits> {
        let mut state = self.state();
        let batch = state.batch.as_mut().filter(|batch| batch.holds(now))?;
        batch.left = batch.left.checked_sub(cost.into())?;
        Some(LeasedUnits { batch: batch.number, cost })
    }

    /// Puts units back into the batch they are from, unless it has ended.
    pub(crate) fn put_back(&self, units: LeasedUnits, now: Timestamp) {
        let mut state = self.state();
        let batch = state.batch.as_mut().filter(|batch| batch.holds(now));
        if let Some(batch) = batch.filter(|batch| batch.number == units.batch) {
            batch.left += u64::from(units.cost);
        }
    }

    /// How many units to ask the store for, when a request needs `cost` and others that
    /// wait for the same lease need `waiting`.
    pub(crate) fn wanted(&self, now: Timestamp, cost: u32, waiting: u64) -> u32 {
        let needed = u64::from(cost).saturating_add(waiting);
        let expected = self.state().batch.map_or(0, |batch| batch.expected(now, self.lasts));
        let wanted = needed.max(expected).min(self.largest);
        u32::try_from(wanted).unwrap_or(u32::MAX).max(cost)
    }

    /// Puts what the store gave in the place of the old batch: `size` units that were asked
    /// for at `from`, less the `cost` of the request that asked, which uses up first what was
    /// left of the old one and too little for it.
    ///
    /// If they came too late to be used, the next ones are not asked for ahead.
    pub(crate) fn fill(&self, from: Timestamp, size: u32, cost: u32, now: Timestamp) {
        let mut until = from.saturating_add(self.lasts);
        if let Rule::Quota(quota) = &self.rule {
            until = until.min(quota.refill().window(from).1);
        }
        let mut state = self.state();
        state.batches += 1;
        let rest = state.batch.filter(|old| old.holds(now)).map_or(0, |old| old.left);
        let cost = u64::from(cost).saturating_sub(rest);
        let size = u64::from(size);
        let left = size.saturating_sub(cost);
        let batch = Batch { number: state.batches, from, until, size, left };
        if left > 0 && !batch.holds(now) {
            state.scarce = Some((now, now.saturating_add(self.lasts.max(LATE_PAUSE))));
        }
        state.batch = Some(batch);
    }

    /// Notes that the store had no room when it was asked at `now`.
    pub(crate) fn be_scarce(&self, now: Timestamp) {
        self.state().scarce = Some((now, now.saturating_add(self.lasts)));
    }

    /// Whether batches aren't asked for at `now`, because there was no room for one, or they
    /// would last no time.
    pub(crate) fn is_scarce(&self, now: Timestamp) -> bool {
        self.lasts.is_zero()
            || self.state().scarce.is_some_and(|(from, until)| from <= now && now < until)
    }

    /// Whether nothing is lost with this lease.
    pub(crate) fn is_idle(&self, now: Timestamp) -> bool {
        let state = self.state();
        let ends = state.batch.map(|batch| (batch.from, batch.until));
        [ends, state.scarce]
            .into_iter()
            .flatten()
            .all(|(from, until)| now < from || now >= until.saturating_add(self.lasts))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    fn holds(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }

    /// What is used in the time a lease lasts, to judge by this batch: extrapolated if it
    /// was used up before its end, nothing if its end is long past.
    fn expected(&self, now: Timestamp, lasts: Duration) -> u64 {
        let used = self.size - self.left;
        if self.holds(now) {
            let elapsed = now.saturating_duration_since(self.from).as_micros().max(1);
            let expected = u128::from(used) * lasts.as_micros() / elapsed;
            u64::try_from(expected).unwrap_or(u64::MAX).min(self.size.saturating_mul(GROWTH))
        } else if self.from <= now && now < self.until.saturating_add(lasts) {
            used
        } else {
            0
        }
    }
}
