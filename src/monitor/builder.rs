use std::time::Duration;

use super::Monitor;
use super::alert::AlertSink;
use super::baseline::VolumeRules;
use super::delivery::Delivery;
use super::failures::{FailureRules, Failures};
use super::profile::{ProfileRules, Profiles};

/// Chooses the thresholds of a [`Monitor`]. Each is clamped to its range.
///
/// ```
/// use std::time::Duration;
///
/// use keyward::{Alert, Monitor};
///
/// let monitor = Monitor::builder(|alert: &Alert| eprintln!("{alert}"))
///     .failures_by_address(200) // a big customer's office comes from one address
///     .unusual_volume(5, 1_000)
///     .repeat_after(Duration::from_secs(4 * 3_600))
///     .build();
/// assert!(monitor.memory() < 6 << 20);
/// ```
#[must_use]
pub struct MonitorBuilder {
    sinks: Vec<Box<dyn AlertSink>>,
    watched_keys: usize,
    watched_failures: usize,
    failures: FailureRules,
    volume: VolumeRules,
    settled: u32,
    repeat_after: Duration,
    per_hour: u32,
}

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

impl MonitorBuilder {
    pub(super) fn new(sink: impl AlertSink) -> Self {
        Self {
            sinks: vec![Box::new(sink)],
            watched_keys: 8_192,
            watched_failures: 4_096,
            failures: FailureRules {
                window: Duration::from_secs(300),
                by_key: 20,
                by_address: 50,
                out_of_scope: 10,
            },
            volume: VolumeRules { factor: 3, deviations: 6, minimum: 300, warm_up_hours: 72 },
            settled: 7 * 24,
            repeat_after: HOUR,
            per_hour: 60,
        }
    }

    /// One more place where alerts are delivered.
    pub fn sink(mut self, sink: impl AlertSink) -> Self {
        self.sinks.push(Box::new(sink));
        self
    }

    /// How many keys have a baseline and known addresses: 8,192 by default, 256 to
    /// 1,048,576, about 350 bytes each. Make it more than the keys that are in use within a
    /// week: beyond it, those that were used longest ago are learnt anew.
    pub fn watched_keys(self, keys: usize) -> Self {
        Self { watched_keys: keys.clamp(256, 1 << 20), ..self }
    }

    /// How many keys, ids and addresses refusals are counted by, in each of five tables:
    /// 4,096 by default, 128 to 1,048,576, at most 48 bytes each. With n refusals in a
    /// window, one that has more than n / 16 of a table's 256th part is always seen; more
    /// places see through larger floods.
    pub fn watched_failures(self, places: usize) -> Self {
        Self { watched_failures: places.clamp(128, 1 << 20), ..self }
    }

    /// The window that refusals are counted in: 5 minutes by default, 10 seconds to an hour.
    /// Windows stand side by side, so a burst across the border of two needs up to twice
    /// the threshold to be seen. A shorter one lets slow guessing through, a longer one
    /// adds up honest mistakes.
    pub fn failure_window(self, window: Duration) -> Self {
        let window = window.clamp(Duration::from_secs(10), HOUR);
        Self { failures: FailureRules { window, ..self.failures }, ..self }
    }

    /// The refusals of one key in a window that make an alert: 20 by default, 1 to a
    /// million. A client whose key has expired asks about once a minute; one that guesses
    /// asks all the time. Refusals by a limit are none.
    pub fn failures_by_key(self, count: u32) -> Self {
        Self { failures: FailureRules { by_key: count.clamp(1, MILLION), ..self.failures }, ..self }
    }

    /// The refusals of one address in a window that make an alert: 50 by default, 1 to a
    /// million. More than for a key, as many clients may share an address.
    pub fn failures_by_address(self, count: u32) -> Self {
        let by_address = count.clamp(1, MILLION);
        Self { failures: FailureRules { by_address, ..self.failures }, ..self }
    }

    /// The requests in an hour for scopes or resources that a key doesn't have, that make an
    /// alert: 10 by default, 1 to a million. A few are a button that should have been
    /// hidden, more often on a busy key; who tries what a found key can do needs more.
    pub fn out_of_scope(self, count: u32) -> Self {
        let out_of_scope = count.clamp(1, MILLION);
        Self { failures: FailureRules { out_of_scope, ..self.failures }, ..self }
    }

    /// What makes a key's uses in an hour unusual: more than `factor` times the mean of this
    /// hour of the day (3 by default, 2 to 1,000), and at least `minimum` (300 by default, 1
    /// to a billion), and more than six mean deviations above the mean.
    ///
    /// The mean weighs the last days most (a quarter each day) and the highest of the hour,
    /// the one before and the one after is taken. Three times covers a Monday after a
    /// weekend, a deploy, and an hour's shift of the clocks; the deviations cover keys that
    /// are used by fits and starts; the minimum keeps keys that are hardly used quiet.
    pub fn unusual_volume(self, factor: u32, minimum: u32) -> Self {
        let (factor, minimum) = (factor.clamp(2, 1_000), minimum.clamp(1, 1_000_000_000));
        Self { volume: VolumeRules { factor, minimum, ..self.volume }, ..self }
    }

    /// How many days of a key's uses must be known before its volume can be unusual: 3 by
    /// default, 1 to 28. [`Monitor::learn`] can give them at the start of the process.
    pub fn warm_up_days(self, days: u16) -> Self {
        let warm_up_hours = days.clamp(1, 28) * 24;
        Self { volume: VolumeRules { warm_up_hours, ..self.volume }, ..self }
    }

    /// How long after a key's first use its addresses are learnt before one can be new: 7
    /// days by default, an hour to 90 days, in whole hours. A week has the jobs that run on
    /// one day of it. The latest 8 addresses of a key are remembered; one that was used from
    /// more than 8 within this time is roaming, and its addresses are not judged.
    pub fn learn_addresses_for(self, learning: Duration) -> Self {
        let hours = learning.clamp(HOUR, DAY * 90).as_secs() / 3_600;
        Self { settled: u32::try_from(hours).unwrap_or(u32::MAX), ..self }
    }

    /// How long the same alert is held back once it was delivered: an hour by default, 1
    /// minute to a week. The same is: of this kind, and about this key; for
    /// [`FailuresByAddress`](crate::AlertKind::FailuresByAddress) and
    /// [`NeverIssued`](crate::AlertKind::NeverIssued), about this address.
    pub fn repeat_after(self, pause: Duration) -> Self {
        Self { repeat_after: pause.clamp(Duration::from_secs(60), DAY * 7), ..self }
    }

    /// The most alerts of one kind in an hour, authenticated ones apart: 60 by default, 1 to
    /// a million. Nobody reads more; [`Alert::held_back`](crate::Alert::held_back) says how
    /// many there were.
    pub fn alerts_per_hour(self, count: u32) -> Self {
        Self { per_hour: count.clamp(1, MILLION), ..self }
    }

    /// The monitor, with all of its memory.
    pub fn build(self) -> Monitor {
        let rules = ProfileRules { volume: self.volume, settled: self.settled };
        Monitor {
            sinks: self.sinks.into(),
            profiles: Profiles::new(self.watched_keys, rules),
            failures: Failures::new(self.watched_failures, self.failures),
            delivery: Delivery::new(self.repeat_after, self.per_hour),
            missed: std::sync::atomic::AtomicU64::new(0),
        }
    }
}

const MILLION: u32 = 1_000_000;
