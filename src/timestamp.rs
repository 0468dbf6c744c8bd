//! Instants in microseconds, and the one place that reads a clock.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::FieldError;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_HOUR: i64 = 3_600 * MICROS_PER_SECOND;

/// An instant: microseconds since 1970-01-01T00:00:00Z, from year 0 to year 9999.
///
/// Arithmetic saturates at [`Timestamp::MIN`] and [`Timestamp::MAX`]. Text is
/// RFC 3339 in UTC; finer fractions than a microsecond are cut off.
///
/// ```
/// use keyward::Timestamp;
///
/// let end: Timestamp = "2025-12-31T23:59:59Z".parse()?;
/// assert_eq!(end.to_string(), "2025-12-31T23:59:59Z");
/// assert_eq!("2026-01-01T00:59:59+01:00".parse::<Timestamp>()?, end);
/// # Ok::<(), keyward::FieldError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 0000-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_167_219_200 * MICROS_PER_SECOND);
    /// 9999-12-31T23:59:59.999999Z.
    pub const MAX: Self = Self(253_402_300_800 * MICROS_PER_SECOND - 1);
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(0);

    /// The instant `micros` microseconds after the Unix epoch, clamped to the range.
    pub const fn from_micros(micros: i64) -> Self {
        if micros < Self::MIN.0 {
            Self::MIN
        } else if micros > Self::MAX.0 {
            Self::MAX
        } else {
            Self(micros)
        }
    }

    /// The instant `seconds` seconds after the Unix epoch, clamped to the range.
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self::from_micros(seconds.saturating_mul(MICROS_PER_SECOND))
    }

    /// Microseconds since the Unix epoch; negative before it.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This instant plus `duration`, at most [`Timestamp::MAX`].
    #[must_use]
    pub const fn saturating_add(self, duration: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(micros(duration)))
    }

    /// This instant minus `duration`, at least [`Timestamp::MIN`].
    #[must_use]
    pub const fn saturating_sub(self, duration: Duration) -> Self {
        Self::from_micros(self.0.saturating_sub(micros(duration)))
    }

    /// How long after `earlier` this instant is; zero if it is not after it.
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        let micros = self.0.saturating_sub(earlier.0);
        if micros <= 0 { Duration::ZERO } else { Duration::from_micros(micros.unsigned_abs()) }
    }

    /// The start of the UTC hour this instant lies in.
    #[must_use]
    pub const fn hour(self) -> Self {
        Self(self.0 - self.0.rem_euclid(MICROS_PER_HOUR))
    }

    /// The same instant for the `time` crate.
    pub fn to_offset_date_time(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

/// In words of 64 bits: `Duration::as_micros` takes 128, and every verify asks.
const fn micros(duration: Duration) -> i64 {
    let seconds = duration.as_secs();
    if seconds >= (i64::MAX / MICROS_PER_SECOND).unsigned_abs() {
        return i64::MAX;
    }
    seconds.cast_signed() * MICROS_PER_SECOND + duration.subsec_micros() as i64
}

impl From<OffsetDateTime> for Timestamp {
    fn from(at: OffsetDateTime) -> Self {
        let micros = at.unix_timestamp_nanos().div_euclid(1_000);
        Self::from_micros(i64::try_from(micros).unwrap_or(if micros < 0 {
            i64::MIN
        } else {
            i64::MAX
        }))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(at: SystemTime) -> Self {
        match at.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Self::UNIX_EPOCH.saturating_add(after),
            Err(before) => Self::UNIX_EPOCH.saturating_sub(before.duration()),
        }
    }
}

impl FromStr for Timestamp {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        // `time` takes any character between date and time.
        let separated = matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' '));
        let parsed = OffsetDateTime::parse(text, &Rfc3339).ok().filter(|_| separated);
        parsed.map(Self::from).ok_or_else(|| {
            FieldError::new(
                "timestamp",
                text,
                "must be an RFC 3339 instant such as `2025-12-31T23:59:59Z`",
            )
        })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.to_offset_date_time();
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        )?;
        match at.microsecond() {
            0 => {}
            fraction if fraction % 1_000 == 0 => write!(f, ".{:03}", fraction / 1_000)?,
            fraction => write!(f, ".{fraction:06}")?,
        }
        f.write_str("Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

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
}

/// An instant by the wall clock and by the monotonic one.
///
/// A machine that was suspended stops the one and not the other; a wall clock that is set
/// back stops the other. What must not last too long is measured on both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
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

    #[cold]
    fn consult(&self, wall: Timestamp) -> Timestamp {
        let line = self.wall_at_start.saturating_add(self.started.elapsed());
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

    /// Both are read each time: what is measured on two clocks must be.
    #[inline]
    fn moment(&self) -> Moment {
        let monotonic = self.started.elapsed();
        let line = self.wall_at_start.saturating_add(monotonic);
        Moment { wall: Timestamp::from(SystemTime::now()).max(line), monotonic }
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
    /// The monotonic clock at the same tick, in microseconds.
    monotonic: AtomicU64,
}

impl TickingClock {
    /// A clock that has ticked once.
    pub fn new() -> Self {
        let system = SystemClock::new();
        let now = AtomicI64::new(system.now().0);
        Self(Arc::new(Ticked { system, now, monotonic: AtomicU64::new(0) }))
    }

    /// Reads the system's clocks.
    pub fn tick(&self) {
        let Moment { wall, monotonic } = self.0.system.moment();
        let micros = u64::try_from(monotonic.as_micros()).unwrap_or(u64::MAX);
        self.0.monotonic.fetch_max(micros, Ordering::Relaxed);
        self.0.now.store(wall.0, Ordering::Relaxed);
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
        Moment { wall: self.now(), monotonic }
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

    #[test]
    fn the_range_is_year_0_to_9999_and_arithmetic_stays_in_it() {
        assert_eq!(Timestamp::MIN.to_string(), "0000-01-01T00:00:00Z");
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(Timestamp::MAX.saturating_add(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.saturating_sub(Duration::MAX), Timestamp::MIN);
        assert_eq!(Timestamp::from_micros(i64::MIN), Timestamp::MIN);
        assert_eq!(Timestamp::from_unix_seconds(i64::MAX), Timestamp::MAX);
    }

    #[test]
    fn text_and_value_are_one() {
        proptest::proptest!(|(micros in Timestamp::MIN.0..=Timestamp::MAX.0)| {
            let at = Timestamp(micros);
            assert_eq!(at.to_string().parse::<Timestamp>(), Ok(at));
            assert_eq!(Timestamp::from(at.to_offset_date_time()), at);
            assert_eq!(at.hour().to_offset_date_time().minute(), 0);
        });
    }

    #[test]
    fn a_bad_instant_names_the_rule() {
        for text in [
            "",
            "tomorrow",
            "2025-02-30T00:00:00Z",
            "2025-01-01",
            "2025-01-01T00:00:00",
            "2025-01-01D00:00:00Z",
        ] {
            let error = text.parse::<Timestamp>().unwrap_err();
            assert!(error.rule().contains("RFC 3339"), "{error}");
        }
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
