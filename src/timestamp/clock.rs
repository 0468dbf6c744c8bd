//! The one place that reads a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::Timestamp;

/// Where a [`KeyService`](crate::KeyService) takes the time from.
///
/// # Contract
///
/// Calls are frequent (one per verify) and must not block. A clock that steps
/// back grants nothing by it: limits never refill and revoked keys stay revoked;
/// but a key that expired between the two readings is valid again until its
/// expiry comes round a second time.
///
/// ```
/// use keyward::{Clock, FakeClock, Timestamp};
/// use std::time::Duration;
///
/// let clock = FakeClock::at("2025-01-01T00:00:00Z".parse()?);
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now(), "2025-01-01T00:01:00Z".parse()?);
/// # Ok::<(), keyward::FieldError>(())
/// ```
pub trait Clock: Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Timestamp;

    /// The present instant by both clocks of the machine, to measure how long ago
    /// something was. A clock that has but one shows it twice.
    fn moment(&self) -> Moment {
        let wall = self.now();
        Moment { wall, monotonic: wall.saturating_duration_since(Timestamp::MIN) }
    }

    /// What [`now`](Clock::now) would have told at a moment of this clock, which is not read
    /// again: the wall clock, unless that is held up.
    fn now_at(&self, moment: Moment) -> Timestamp {
        moment.wall
    }
}

/// An instant by the wall clock and by the monotonic one.
///
/// A machine that was suspended stops the one and not the other; a wall clock that is set
/// back stops the other. What must not last too long is measured on both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock as it is, even if it was set back: a suspended machine is seen by it
    /// alone.
    pub wall: Timestamp,
    /// The monotonic clock, since an instant that is the same for one [`Clock`].
    pub monotonic: Duration,
}

impl Moment {
    /// How long after `earlier` this is, by the clock that says more; `None` if either
    /// has run backwards, and nothing is known.
    pub fn since(self, earlier: Self) -> Option<Duration> {
        let monotonic = self.monotonic.checked_sub(earlier.monotonic)?;
        let forward = self.wall >= earlier.wall;
        forward.then(|| self.wall.saturating_duration_since(earlier.wall).max(monotonic))
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn moment(&self) -> Moment {
        (**self).moment()
    }

    fn now_at(&self, moment: Moment) -> Timestamp {
        (**self).now_at(moment)
    }
}

/// The system's clock, held up by the monotonic one.
///
/// It reads `max(wall, start + monotonic)`: a wall clock set back doesn't move it
/// back behind the time that has passed in this process, and one set forward by
/// mistake heals when it is corrected. The monotonic clock is consulted when the wall
/// clock steps, back or forward, and each millisecond; in between, the wall clock alone.
#[derive(Debug)]
pub struct SystemClock {
    wall_at_start: Timestamp,
    started: Instant,
    /// The wall clock when the monotonic one was last consulted, in microseconds.
    looked: AtomicI64,
}

impl SystemClock {
    const LOOK_EVERY: i64 = 1_000;

    /// A clock that starts now.
    pub fn new() -> Self {
        let wall = SystemTime::now().into();
        Self { wall_at_start: wall, started: Instant::now(), looked: AtomicI64::new(i64::MIN) }
    }

    /// What the wall clock would show had nobody set it, and the machine not slept.
    fn line(&self, monotonic: Duration) -> Timestamp {
        self.wall_at_start.saturating_add(monotonic)
    }

    #[cold]
    fn consult(&self, wall: Timestamp) -> Timestamp {
        let line = self.line(self.started.elapsed());
        // A wall clock behind the line is never taken alone.
        let looked = if wall < line { i64::MIN } else { wall.0 };
        self.looked.store(looked, Ordering::Relaxed);
        wall.max(line)
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[inline]
    fn now(&self) -> Timestamp {
        let wall = Timestamp::from(SystemTime::now());
        let since = wall.0.wrapping_sub(self.looked.load(Ordering::Relaxed));
        if (0..Self::LOOK_EVERY).contains(&since) { wall } else { self.consult(wall) }
    }

    /// Both are read each time, and neither holds up the other: what is measured on two
    /// clocks must be.
    #[inline]
    fn moment(&self) -> Moment {
        let monotonic = self.started.elapsed();
        Moment { wall: SystemTime::now().into(), monotonic }
    }

    #[inline]
    fn now_at(&self, moment: Moment) -> Timestamp {
        moment.wall.max(self.line(moment.monotonic))
    }
}

/// The system's clock, read when the host says so and not by each verify.
///
/// A verify that costs a few hundred nanoseconds spends a tenth of them on reading a
/// clock. A host that calls [`tick`](TickingClock::tick) from a timer, say each
/// millisecond, spends a load instead, and its time is as old as the last tick.
/// Clones share their time.
///
/// ```
/// use keyward::{Clock, TickingClock};
///
/// let clock = TickingClock::new();
/// let before = clock.now();
/// clock.tick();
/// assert!(clock.now() >= before);
/// ```
///
/// # Security
///
/// If the ticks stop, expired keys stay valid: tick from something whose death takes the
/// process with it.
#[derive(Clone, Debug)]
pub struct TickingClock(Arc<Ticked>);

#[derive(Debug)]
struct Ticked {
    system: SystemClock,
    now: AtomicI64,
    /// The wall clock at the same tick.
    wall: AtomicI64,
    /// The monotonic clock at the same tick, in microseconds.
    monotonic: AtomicU64,
}

impl TickingClock {
    /// A clock that has ticked once.
    pub fn new() -> Self {
        let system = SystemClock::new();
        let [now, wall] = [(); 2].map(|()| AtomicI64::new(system.wall_at_start.0));
        Self(Arc::new(Ticked { system, now, wall, monotonic: AtomicU64::new(0) }))
    }

    /// Reads the system's clocks.
    pub fn tick(&self) {
        let moment = self.0.system.moment();
        let micros = u64::try_from(moment.monotonic.as_micros()).unwrap_or(u64::MAX);
        self.0.monotonic.fetch_max(micros, Ordering::Relaxed);
        self.0.wall.store(moment.wall.0, Ordering::Relaxed);
        self.0.now.store(self.0.system.now_at(moment).0, Ordering::Relaxed);
    }
}

impl Default for TickingClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TickingClock {
    #[inline]
    fn now(&self) -> Timestamp {
        Timestamp(self.0.now.load(Ordering::Relaxed))
    }

    #[inline]
    fn moment(&self) -> Moment {
        let monotonic = Duration::from_micros(self.0.monotonic.load(Ordering::Relaxed));
        Moment { wall: Timestamp(self.0.wall.load(Ordering::Relaxed)), monotonic }
    }

    #[inline]
    fn now_at(&self, _: Moment) -> Timestamp {
        self.now()
    }
}

/// A clock that stands still until it is moved: for tests and simulations.
///
/// Clones share their time.
#[derive(Clone, Debug)]
pub struct FakeClock(Arc<AtomicI64>);

impl FakeClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(now.0)))
    }

    /// Sets the clock, forward or back.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().saturating_add(by));
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock of a process that started while the wall clock was an hour ahead.
    fn corrected() -> SystemClock {
        let clock = SystemClock::new();
        let ahead = clock.wall_at_start.saturating_add(Duration::from_secs(3_600));
        SystemClock { wall_at_start: ahead, ..clock }
    }

    #[test]
    fn a_wall_clock_that_was_set_back_holds_up_the_time_and_hides_no_suspend() {
        let clock = corrected();
        let (now, moment) = (clock.now(), clock.moment());
        assert!(now >= clock.wall_at_start && clock.now_at(moment) >= clock.wall_at_start);
        assert!(moment.wall < clock.wall_at_start);

        let ticking = TickingClock::new();
        let mut ticked = Arc::into_inner(ticking.0).unwrap();
        ticked.system = corrected();
        let ticking = TickingClock(Arc::new(ticked));
        ticking.tick();
        let moment = ticking.moment();
        assert!(ticking.now() >= clock.wall_at_start && ticking.now_at(moment) == ticking.now());
        assert!(moment.wall < clock.wall_at_start);
    }

    #[test]
    fn the_system_clock_does_not_run_backwards() {
        let clock = SystemClock::new();
        let mut last = clock.now();
        for _ in 0..100_000 {
            let now = clock.now();
            assert!(now >= last.saturating_sub(Duration::from_millis(1)));
            last = now;
        }
    }
}
