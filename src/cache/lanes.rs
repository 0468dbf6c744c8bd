//! Which reads of the store may run at once, and who waits for them.

use std::sync::atomic::{AtomicU64, Ordering};

use super::permits::{Patience, Permit, Permits};
use super::timer::Timer;
use crate::error::{StoreError, StoreErrorKind};
use crate::scheme::Lane;

/// How long a read waits for its turn: 50 ms, in microseconds.
pub(super) const PATIENCE: u64 = 50_000;

/// The most that wait, whatever the store can do.
const MOST_WAITING: usize = 4_096;

/// Permits for reads. Ids that anybody may have made up get a small share of them, so
/// many a second and no more.
pub(super) struct Lanes {
    all: Permits,
    slow: Permits,
    slow_share: usize,
    permits: usize,
    bucket: Bucket,
    /// How long a read takes of late, in microseconds.
    took: AtomicU64,
}

/// Leave to read: the share of the slow lane, and a permit.
pub(super) struct Leave<'a> {
    _permit: Permit<'a>,
    _share: Option<Permit<'a>>,
}

impl Lanes {
    pub(super) fn new(permits: usize, slow_per_second: u32) -> Self {
        let permits = permits.max(1);
        let slow_share = (permits / 4).max(1);
        Self {
            all: Permits::new(permits),
            slow: Permits::new(slow_share),
            slow_share,
            permits,
            bucket: Bucket::new(slow_per_second),
            took: AtomicU64::new(1_000),
        }
    }

    pub(super) async fn enter(
        &self,
        lane: Lane,
        now: u64,
        timer: &Timer,
    ) -> Result<Leave<'_>, StoreError> {
        let patience = Some(Patience { since: now, micros: PATIENCE });
        let share = match lane {
            Lane::Fast => None,
            Lane::Slow => {
                if !self.bucket.take(now) {
                    return Err(busy());
                }
                let most = 4 * self.slow_share;
                let share = self.slow.acquire(now, patience, most);
                Some(timer.within(PATIENCE, share).await.flatten().ok_or_else(busy)?)
            }
        };
        let permit = self.all.acquire(now, patience, self.most_waiting(timer));
        let permit = timer.within(PATIENCE, permit).await.flatten().ok_or_else(busy)?;
        Ok(Leave { _permit: permit, _share: share })
    }

    /// Takes note of how long a read took.
    pub(super) fn took(&self, micros: u64) {
        let before = self.took.load(Ordering::Relaxed);
        self.took.store((before / 8 * 7).saturating_add(micros / 8).max(1), Ordering::Relaxed);
    }

    pub(super) fn expire(&self, now: u64) {
        self.all.expire(now);
        self.slow.expire(now);
    }

    /// As many as can be served before they have waited too long, when there is no timer
    /// to end their waiting.
    fn most_waiting(&self, timer: &Timer) -> usize {
        if timer.is_set() {
            return MOST_WAITING;
        }
        let turns = PATIENCE / self.took.load(Ordering::Relaxed).max(1);
        let turns = usize::try_from(turns).unwrap_or(MOST_WAITING);
        turns.saturating_mul(self.permits).clamp(self.permits, MOST_WAITING)
    }
}

fn busy() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable).with_context("too many reads wait already")
}

/// So many a second, and as many at once after a second of rest.
struct Bucket {
    /// Microseconds between two.
    interval: u64,
    /// When, on the monotonic clock, all that was taken is paid for.
    paid: AtomicU64,
}

impl Bucket {
    fn new(per_second: u32) -> Self {
        let interval = 1_000_000_u64.checked_div(per_second.into()).unwrap_or(u64::MAX);
        Self { interval, paid: AtomicU64::new(0) }
    }

    fn take(&self, now: u64) -> bool {
        let next = |paid: u64| {
            let paid = paid.max(now).saturating_add(self.interval);
            (paid - now <= 1_000_000).then_some(paid)
        };
        self.paid.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}
