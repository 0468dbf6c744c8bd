//! The generic cell rate algorithm (ITU-T I.371) on one atomic word.

use std::time::Duration;

use super::sync::{AtomicU64, Relaxed};
use crate::timestamp::Timestamp;

/// The finest clock tick: 1/1024 of a microsecond.
pub(super) const FINEST: u64 = 1_024;
/// The last instant that refills, in microseconds since 1970: in the year 2398.
///
/// Times `FINEST`, it leaves 2^62 ticks for the burst, more than the 36,525 days it may last.
pub(super) const LAST_INSTANT: u64 = 3 << 52;

/// The arithmetic of one rate limit.
///
/// A cell holds the theoretical arrival time (TAT): the instant at which the
/// bucket is full again, in ticks of `1 / scale` microseconds since 1970. A
/// unit costs `step` ticks, and `step / scale` is the emission interval
/// `period / count` in microseconds: exactly if `scale` may be the denominator
/// of the reduced fraction, else the next larger one in `scale`ths, so that all
/// arithmetic below is on integers and exact, and never admits too much.
///
/// A TAT is a mere instant and never moves back with the clock: after a forward
/// error of the clock, nothing is granted until time has caught up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gcra {
    /// Ticks per microsecond, 1 to 1024.
    pub(crate) scale: u64,
    /// Ticks that a unit costs.
    pub(crate) step: u64,
    /// Ticks of the whole burst, at most 2^62.
    pub(crate) capacity: u64,
}

/// A request that does not fit; `None` if it never will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Denied {
    pub(super) retry_after: Option<Duration>,
}

impl Gcra {
    /// `count` units per `period` microseconds (at most 1000 per microsecond), `burst` at once.
    pub(super) fn new(count: u64, period: u64, burst: u64) -> Self {
        let divisor = gcd(count, period).max(1);
        let (count, period) = ((count / divisor).max(1), (period / divisor).max(1));
        let (scale, step) = if count <= FINEST {
            (count, period)
        } else if count <= period {
            (FINEST, (period * FINEST).div_ceil(count))
        } else {
            let step = (period * FINEST / count).max(1);
            ((step * count / period).clamp(1, FINEST), step)
        };
        Self { scale, step, capacity: burst * step }
    }

    /// Takes `cost` units at `now` and returns the backlog after it, in ticks.
    ///
    /// A cost of 0 takes nothing and is never denied.
    #[inline]
    pub(super) fn take(self, cell: &AtomicU64, now: Timestamp, cost: u32) -> Result<u64, Denied> {
        let at = self.ticks(now);
        let mut tat = cell.load(Relaxed);
        if cost == 0 {
            return Ok(tat.saturating_sub(at));
        }
        let charge = self.charge(cost);
        let Some(spare) = self.capacity.checked_sub(charge) else {
            return Err(Denied { retry_after: None });
        };
        let latest = at + spare;
        loop {
            let start = tat.max(at);
            if start > latest {
                let retry_after = Some(self.duration(start - latest));
                return Err(Denied { retry_after });
            }
            match cell.compare_exchange_weak(tat, start + charge, Relaxed, Relaxed) {
                Ok(_) => return Ok(start + charge - at),
                Err(seen) => tat = seen,
            }
        }
    }

    /// Gives back what was taken at `taken`, less what may have refilled since.
    ///
    /// What has refilled meanwhile is kept: had the units never been taken, a
    /// full bucket would have gained nothing in that time. So an undo admits
    /// nothing that would not have been admitted without the take, as long as
    /// no other take came with a clock ahead of `now`.
    pub(super) fn undo(self, cell: &AtomicU64, taken: Timestamp, now: Timestamp, cost: u32) {
        let refilled = self.ticks(now).saturating_sub(self.ticks(taken));
        let refund = self.charge(cost).saturating_sub(refilled);
        if refund > 0 {
            let _ = cell.fetch_update(Relaxed, Relaxed, |tat| Some(tat.saturating_sub(refund)));
        }
    }

    /// The state of a cell of `other` for this rule: as long a wait, at most an empty bucket.
    pub(super) fn carried(self, other: Self, tat: u64, now: Timestamp) -> u64 {
        let ticks = (u128::from(tat) * u128::from(self.scale)).div_ceil(other.scale.max(1).into());
        self.emptied(u64::try_from(ticks).unwrap_or(u64::MAX), now)
    }

    /// The state that is full at `full`, but at most an empty bucket at `now`.
    pub(super) fn full_at(self, full: Timestamp, now: Timestamp) -> u64 {
        self.emptied(self.ticks(full), now)
    }

    /// Whether the bucket is full: nothing is lost with the cell.
    pub(super) fn is_idle(self, cell: &AtomicU64, now: Timestamp) -> bool {
        cell.load(Relaxed) <= self.ticks(now)
    }

    /// The whole units that fit on top of a backlog.
    pub(super) fn remaining(self, backlog: u64) -> u64 {
        self.capacity.saturating_sub(backlog) / self.step.max(1)
    }

    /// The time these ticks take, rounded up to a microsecond.
    pub(super) fn duration(self, ticks: u64) -> Duration {
        Duration::from_micros(ticks.div_ceil(self.scale.max(1)))
    }

    fn emptied(self, tat: u64, now: Timestamp) -> u64 {
        tat.min(self.ticks(now) + self.capacity)
    }

    #[inline]
    pub(super) fn charge(self, cost: u32) -> u64 {
        u64::from(cost).saturating_mul(self.step)
    }

    #[inline]
    pub(super) fn ticks(self, now: Timestamp) -> u64 {
        let micros = u64::try_from(now.as_micros()).unwrap_or(0);
        micros.min(LAST_INSTANT) * self.scale
    }
}

pub(super) fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
