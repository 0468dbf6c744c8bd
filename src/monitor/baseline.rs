use crate::timestamp::Timestamp;

const HOURS: usize = 24;
const HOUR_MICROS: i64 = 3_600 * 1_000_000;

/// Means have four bits behind the point.
const POINT: u32 = 4;

/// How much of a mean a new day makes: a quarter, so that a week ago counts an eighth.
const MEMORY: i64 = 4;

/// The most hours without use that are learnt from at once: a week.
const LONGEST_GAP: u32 = 7 * 24;

/// What makes a volume unusual.
#[derive(Clone, Copy, Debug)]
pub(super) struct VolumeRules {
    pub(super) factor: u32,
    pub(super) deviations: u32,
    pub(super) minimum: u32,
    pub(super) warm_up_hours: u16,
}

/// How often a key is used at each hour of the day: for each, an exponentially weighted
/// mean of the counts of the days before, and of their distance from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Baseline {
    /// Hours since the epoch.
    hour: u32,
    count: u32,
    /// What is not unusual in this hour.
    most: u32,
    told: bool,
    /// Hours that were learnt from.
    learnt: u16,
    means: [u32; HOURS],
    deviations: [u32; HOURS],
}

/// A volume that is unusual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unusual {
    pub(super) count: u32,
    pub(super) most: u32,
    /// When the hour began.
    pub(super) since: Timestamp,
}

/// Hours since the epoch; those before it are its first.
pub(super) fn hour_of(at: Timestamp) -> u32 {
    u32::try_from(at.as_micros() / HOUR_MICROS).unwrap_or_default()
}

impl Baseline {
    pub(super) const fn at(hour: u32) -> Self {
        Self {
            hour,
            count: 0,
            most: u32::MAX,
            told: false,
            learnt: 0,
            means: [0; HOURS],
            deviations: [0; HOURS],
        }
    }

    /// Counts one use. Says once an hour, at most, that it is unusual.
    #[inline]
    pub(super) fn count(&mut self, hour: u32, rules: &VolumeRules) -> Option<Unusual> {
        self.add(hour, 1, rules);
        if self.count <= self.most || self.told {
            return None;
        }
        self.told = true;
        let since = Timestamp::from_unix_seconds(i64::from(self.hour) * 3_600);
        Some(Unusual { count: self.count, most: self.most, since })
    }

    /// Counts uses of an hour, without judging them.
    #[inline]
    pub(super) fn add(&mut self, hour: u32, uses: u32, rules: &VolumeRules) {
        if hour != self.hour {
            self.turn_to(hour, rules);
        }
        self.count = self.count.saturating_add(uses);
    }

    #[cold]
    fn turn_to(&mut self, hour: u32, rules: &VolumeRules) {
        if self.hour.saturating_sub(hour) == 1 {
            // From a thread that was slower; it counts in the present hour.
            return;
        }
        if hour > self.hour {
            // A spike teaches no more than what would just not have been one.
            self.learn(self.hour, self.count.min(self.most));
            let gap = (hour - self.hour - 1).min(LONGEST_GAP);
            (hour - gap..hour).for_each(|unused| self.learn(unused, 0));
        }
        (self.hour, self.count, self.told) = (hour, 0, false);
        self.most = self.usual(hour, rules);
    }

    fn learn(&mut self, hour: u32, count: u32) {
        let place = place(hour);
        let days = i64::from(self.learnt / 24) + 1;
        self.learnt = self.learnt.saturating_add(1);
        let (Some(mean), Some(deviation)) =
            (self.means.get_mut(place), self.deviations.get_mut(place))
        else {
            return;
        };
        let share = days.min(MEMORY);
        let count = i64::from(count) << POINT;
        let off = if days == 1 { 0 } else { count - i64::from(*mean) };
        *deviation = moved(*deviation, off.abs(), share);
        *mean = moved(*mean, count, share);
    }

    /// The most that is not unusual in this hour of the day. The hours before and after
    /// count too: what runs at a fixed local time moves by one when the clocks change.
    fn usual(&self, hour: u32, rules: &VolumeRules) -> u32 {
        if self.learnt < rules.warm_up_hours {
            return u32::MAX;
        }
        let most_of = |place: usize| {
            let mean = u64::from(*self.means.get(place)?);
            let deviation = u64::from(*self.deviations.get(place)?);
            let by_factor = mean * u64::from(rules.factor);
            Some(by_factor.max(mean + deviation * u64::from(rules.deviations)) >> POINT)
        };
        let here = place(hour);
        let places = [here, (here + 1) % HOURS, (here + HOURS - 1) % HOURS];
        let most = places.into_iter().filter_map(most_of).max().unwrap_or(u64::MAX);
        u32::try_from(most).unwrap_or(u32::MAX).max(rules.minimum)
    }
}

fn place(hour: u32) -> usize {
    usize::try_from(hour).unwrap_or_default() % HOURS
}

/// `from`, moved a share of the way to `to`.
fn moved(from: u32, to: i64, share: i64) -> u32 {
    let from = i64::from(from);
    u32::try_from(from + (to - from) / share).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "baseline_tests.rs"]
mod tests;
