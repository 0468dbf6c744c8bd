//! The counters of one key or owner, taken all or none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::gcra::Denied;
use super::quota::{self, Quota, Used};
use super::rate::RateLimit;
use super::rule::LimitMode;
use super::rules::LimitRules;
use super::state::{LimitDenied, LimitState, LimitedBy};
use crate::timestamp::Timestamp;

/// The counters for the local limits of one key or owner.
///
/// They belong to the [`LimitRules`] they were asked for with, see
/// [`LocalLimits::cells`](crate::LocalLimits::cells). Limits counted in a
/// shared store are not among them.
#[derive(Debug, Default)]
pub struct LimitCells {
    rates: Box<[RateCell]>,
    quota: Option<QuotaCell>,
}

/// What one request took: to be given back with [`LimitCells::undo`], or shown with
/// [`LimitCells::state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what was taken must be given back if the request is refused after all"]
pub struct Reservation {
    at: Timestamp,
    cost: u32,
    window: u32,
    rates: u8,
    tightest: Tightest,
}

/// The limit with the fewest units left, as its counter gave it: every verify hands it
/// on, and what it means is worked out by [`LimitRules`] when somebody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tightest {
    None,
    Quota { units: u64, window: u32 },
    Rate { place: u8, backlog: u64 },
}

#[derive(Debug)]
struct RateCell {
    rule: RateLimit,
    place: u8,
    tat: Arc<AtomicU64>,
}

#[derive(Debug)]
struct QuotaCell {
    rule: Quota,
    used: Arc<AtomicU64>,
}

impl Reservation {
    pub(crate) fn tightest(&self) -> Tightest {
        self.tightest
    }
}

impl LimitCells {
    /// Takes `cost` units of every limit, the rate limits in order and then the
    /// quota, or of none. Nothing is allocated.
    ///
    /// A cost of 0 takes nothing, is never denied, and reports the state.
    ///
    /// # Errors
    ///
    /// The first limit without room. What was taken of those before it has been
    /// given back; between the two, another thread may have been denied for it.
    #[inline]
    pub fn take(&self, now: Timestamp, cost: u32) -> Result<Reservation, LimitDenied> {
        let mut rates = 0;
        let mut tightest = Tightest::None;
        for cell in &self.rates {
            match cell.rule.gcra().take(&cell.tat, now, cost) {
                Ok(backlog) => {
                    let place = cell.place;
                    tightest = self.tighter(tightest, Tightest::Rate { place, backlog });
                    rates += 1;
                }
                Err(denied) => {
                    self.undo_rates(rates, cost, now, now);
                    return Err(cell.denied(denied));
                }
            }
        }
        let mut window = 0;
        if let Some(cell) = &self.quota {
            match quota::take(&cell.rule, &cell.used, now, cost) {
                Ok(used) => {
                    window = used.window;
                    let units = used.units;
                    tightest = self.tighter(tightest, Tightest::Quota { units, window });
                }
                Err(used) => {
                    self.undo_rates(rates, cost, now, now);
                    return Err(cell.denied(used, now, cost));
                }
            }
        }
        Ok(Reservation { at: now, cost, window, rates, tightest })
    }

    /// [`LimitCells::take`] for what won't be undone.
    #[inline]
    pub(crate) fn spend(&self, now: Timestamp, cost: u32) -> Result<Tightest, LimitDenied> {
        // Most keys have one rate limit; the way around takes as long again.
        if let ([cell], None) = (&*self.rates, &self.quota) {
            return match cell.rule.gcra().take(&cell.tat, now, cost) {
                Ok(backlog) => Ok(Tightest::Rate { place: cell.place, backlog }),
                Err(denied) => Err(cell.denied(denied)),
            };
        }
        self.take(now, cost).map(|taken| taken.tightest)
    }

    /// The limit that had the fewest units left after `taken`; `None` without local limits.
    pub fn state(&self, taken: Reservation) -> Option<LimitState> {
        match taken.tightest {
            Tightest::None => None,
            Tightest::Quota { units, window } => {
                let rule = &self.quota.as_ref()?.rule;
                Some(LimitState::of_quota(rule, Used { window, units }, taken.at))
            }
            Tightest::Rate { place, backlog } => {
                Some(LimitState::of_rate(&self.rate_at(place)?.rule, place, backlog))
            }
        }
    }

    /// Gives back what was taken, because the request was refused after all.
    ///
    /// `now` is the instant of giving back. A rate limit gets back what was taken
    /// less what it refills from the taking until `now`; a quota all of it, if it
    /// is still the same window.
    pub fn undo(&self, taken: Reservation, now: Timestamp) {
        self.undo_rates(taken.rates, taken.cost, taken.at, now);
        if let Some(cell) = &self.quota {
            quota::undo(&cell.used, taken.window, taken.cost);
        }
    }

    /// Counters for these rules, which go on from those of `before`.
    ///
    /// A rule that is the same shares its counter. One that changed but kept its
    /// name starts with as long a wait as before, at most with nothing left, so
    /// that no edit refills it. Other rules start full; or, if the clock has
    /// fallen behind `floor`, empty: what was dropped then must not come back.
    pub(super) fn new(
        rules: &LimitRules,
        before: Option<&Self>,
        floor: Timestamp,
        now: Timestamp,
    ) -> Self {
        let rates = (0..).zip(rules.rates());
        let rates = rates
            .filter(|(_, rule)| rule.mode() == LimitMode::Local)
            .map(|(place, rule)| RateCell::new(rule, place, before, floor, now))
            .collect();
        let quota = rules.quota().filter(|rule| rule.mode() == LimitMode::Local);
        let quota = quota.map(|rule| QuotaCell::new(rule, before, floor, now));
        Self { rates, quota }
    }

    /// The counter of one rate limit, whatever its mode; otherwise as [`LimitCells::new`].
    pub(crate) fn of_rate(
        rule: &RateLimit,
        before: Option<&Self>,
        floor: Timestamp,
        now: Timestamp,
    ) -> Self {
        Self { rates: [RateCell::new(rule, 0, before, floor, now)].into(), quota: None }
    }

    /// The counter of one quota, whatever its mode; otherwise as [`LimitCells::new`].
    pub(crate) fn of_quota(
        rule: &Quota,
        before: Option<&Self>,
        floor: Timestamp,
        now: Timestamp,
    ) -> Self {
        let quota = Some(QuotaCell::new(rule, before, floor, now));
        Self { rates: Box::default(), quota }
    }

    /// The rate limits that are counted here, in order.
    pub(crate) fn rate_rules(&self) -> impl Iterator<Item = &RateLimit> {
        self.rates.iter().map(|cell| &cell.rule)
    }

    /// The quota that is counted here.
    pub(crate) fn quota_rule(&self) -> Option<&Quota> {
        self.quota.as_ref().map(|cell| &cell.rule)
    }

    /// Whether these are the counters of exactly these rules.
    pub(super) fn are_for(&self, rules: &LimitRules) -> bool {
        let local = (0..).zip(rules.rates());
        let local = local.filter(|(_, rule)| rule.mode() == LimitMode::Local);
        let quota = rules.quota().filter(|rule| rule.mode() == LimitMode::Local);
        self.rates.iter().map(|c| (c.place, &c.rule)).eq(local)
            && self.quota.as_ref().map(|cell| &cell.rule) == quota
    }

    /// Whether nothing is lost with these counters: all are full, and not shared.
    pub(crate) fn are_idle(&self, now: Timestamp) -> bool {
        self.rates.iter().all(|cell| {
            Arc::strong_count(&cell.tat) == 1 && cell.rule.gcra().is_idle(&cell.tat, now)
        }) && self.quota.iter().all(|cell| {
            Arc::strong_count(&cell.used) == 1
                && Used::at(cell.rule.refill(), &cell.used, now).units == 0
        })
    }

    #[inline]
    fn tighter(&self, other: Tightest, new: Tightest) -> Tightest {
        if other == Tightest::None || self.remaining(new) < self.remaining(other) {
            new
        } else {
            other
        }
    }

    fn remaining(&self, at: Tightest) -> u64 {
        let remaining = match at {
            Tightest::None => None,
            Tightest::Quota { units, .. } => {
                let cell = self.quota.as_ref();
                cell.map(|cell| cell.rule.limit().saturating_sub(units))
            }
            Tightest::Rate { place, backlog } => {
                self.rate_at(place).map(|cell| cell.rule.gcra().remaining(backlog))
            }
        };
        remaining.unwrap_or(u64::MAX)
    }

    fn rate_at(&self, place: u8) -> Option<&RateCell> {
        self.rates.iter().find(|cell| cell.place == place)
    }

    fn undo_rates(&self, rates: u8, cost: u32, taken: Timestamp, now: Timestamp) {
        for cell in self.rates.iter().take(rates.into()) {
            cell.rule.gcra().undo(&cell.tat, taken, now, cost);
        }
    }

    fn rate(&self, rule: &RateLimit, now: Timestamp) -> Option<Arc<AtomicU64>> {
        let cell = self.rates.iter().find(|c| c.rule.name() == rule.name())?;
        let (old, new) = (cell.rule.gcra(), rule.gcra());
        Some(if old == new {
            Arc::clone(&cell.tat)
        } else {
            Arc::new(new.carried(old, cell.tat.load(Relaxed), now).into())
        })
    }

    fn used(&self, rule: &Quota, now: Timestamp) -> Option<Arc<AtomicU64>> {
        let cell = self.quota.as_ref()?;
        if cell.rule.name() != rule.name() {
            return None;
        }
        if cell.rule.refill() == rule.refill() {
            return Some(Arc::clone(&cell.used));
        }
        let used = Used::at(cell.rule.refill(), &cell.used, now);
        let previous = used.window.checked_sub(1);
        let since = previous.map_or(now, |window| cell.rule.refill().end(window));
        let window = rule.refill().index(since.max(now));
        Some(Arc::new(Used { window, ..used }.pack().into()))
    }
}

impl RateCell {
    fn new(
        rule: &RateLimit,
        place: u8,
        before: Option<&LimitCells>,
        floor: Timestamp,
        now: Timestamp,
    ) -> Self {
        let tat = before
            .and_then(|before| before.rate(rule, now))
            .unwrap_or_else(|| Arc::new(rule.gcra().full_at(floor, now).into()));
        Self { rule: rule.clone(), place, tat }
    }

    fn denied(&self, denied: Denied) -> LimitDenied {
        LimitDenied {
            rule: LimitedBy::Rate(self.place),
            retry_after: denied.retry_after,
            resets_at: None,
        }
    }
}

impl QuotaCell {
    fn new(rule: &Quota, before: Option<&LimitCells>, floor: Timestamp, now: Timestamp) -> Self {
        let used = before.and_then(|before| before.used(rule, now)).unwrap_or_else(|| {
            let window = rule.refill().index(floor);
            Arc::new(Used { window, units: 0 }.pack().into())
        });
        Self { rule: rule.clone(), used }
    }

    fn denied(&self, used: Used, now: Timestamp, cost: u32) -> LimitDenied {
        let ends = self.rule.refill().end(used.window);
        let ever = u64::from(cost) <= self.rule.limit();
        LimitDenied {
            rule: LimitedBy::Quota,
            retry_after: ever.then(|| ends.saturating_duration_since(now)),
            resets_at: Some(ends),
        }
    }
}

#[cfg(test)]
#[path = "cells_tests.rs"]
mod tests;
