//! The calendar windows of quotas, in UTC.

use serde::{Deserialize, Serialize};
use time::{Date, Month};

use crate::timestamp::Timestamp;

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;
/// The Julian day of 1970-01-01.
const EPOCH_DAY: i32 = 2_440_588;
/// The Monday before 1970-01-01, a Thursday, lies three days back.
const DAYS_SINCE_MONDAY: i64 = 3;
const LAST_WINDOW: u32 = (1 << 24) - 1;

/// When a quota starts anew: at a boundary of the calendar in UTC.
///
/// Windows are numbered from the one that holds 1970-01-01; an earlier instant
/// counts to that first one. Numbers have 24 bits: the hour 3883-12-08T15:00 is
/// the last that refills, and the other windows last until the end of
/// year 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refill {
    /// At each full hour.
    Hour,
    /// At midnight.
    Day,
    /// At midnight before Monday.
    Week,
    /// At midnight before the first of the month.
    Month,
    /// At midnight before the first of January.
    Year,
}

impl Refill {
    /// The number of the window `now` lies in, below 2^24, and the instant the next one starts.
    ///
    /// ```
    /// use keyward::{Refill, Timestamp};
    ///
    /// let (_, ends) = Refill::Week.window("2025-01-01T12:00:00Z".parse()?);
    /// assert_eq!(ends, "2025-01-06T00:00:00Z".parse::<Timestamp>()?);
    /// # Ok::<(), keyward::FieldError>(())
    /// ```
    pub fn window(self, now: Timestamp) -> (u32, Timestamp) {
        let index = self.index(now);
        (index, self.end(index))
    }

    pub(super) fn index(self, now: Timestamp) -> u32 {
        let micros = now.as_micros().max(0);
        let index = match self {
            Self::Hour => micros / HOUR,
            Self::Day => micros / DAY,
            Self::Week => (micros / DAY + DAYS_SINCE_MONDAY) / 7,
            Self::Month => {
                let date = date(micros);
                i64::from((date.year() - 1970) * 12 + i32::from(u8::from(date.month())) - 1)
            }
            Self::Year => i64::from(date(micros).year() - 1970),
        };
        u32::try_from(index).map_or(LAST_WINDOW, |index| index.min(LAST_WINDOW))
    }

    pub(crate) fn end(self, index: u32) -> Timestamp {
        if index >= LAST_WINDOW {
            return Timestamp::MAX;
        }
        let next = i64::from(index) + 1;
        match self {
            Self::Hour => Timestamp::from_micros(next * HOUR),
            Self::Day => Timestamp::from_micros(next * DAY),
            Self::Week => Timestamp::from_micros((next * 7 - DAYS_SINCE_MONDAY) * DAY),
            Self::Month => first_of(1970 + next / 12, next % 12),
            Self::Year => first_of(1970 + next, 0),
        }
    }
}

fn date(micros: i64) -> Date {
    i32::try_from(micros / DAY)
        .ok()
        .and_then(|day| Date::from_julian_day(EPOCH_DAY + day).ok())
        .unwrap_or(Date::MAX)
}

/// Midnight before the first day of a month, counted from 0; after year 9999, the end of time.
fn first_of(year: i64, month: i64) -> Timestamp {
    let month = u8::try_from(month + 1).ok().and_then(|month| Month::try_from(month).ok());
    let first = i32::try_from(year)
        .ok()
        .zip(month)
        .and_then(|(year, month)| Date::from_calendar_date(year, month, 1).ok());
    first.map_or(Timestamp::MAX, |date| {
        Timestamp::from_micros(i64::from(date.to_julian_day() - EPOCH_DAY) * DAY)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Walks the calendar day by day: window numbers and first days of the five refills.
    struct Naive {
        year: i64,
        month: i64,
        day: i64,
        weekday: i64,
        weeks: i64,
    }

    fn days_in(year: i64, month: i64) -> i64 {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        match month {
            1 => 28 + i64::from(leap),
            3 | 5 | 8 | 10 => 30,
            _ => 31,
        }
    }

    impl Naive {
        fn next(&mut self) {
            self.day += 1;
            if self.day == days_in(self.year, self.month) {
                (self.day, self.month) = (0, self.month + 1);
            }
            if self.month == 12 {
                (self.month, self.year) = (0, self.year + 1);
            }
            self.weekday = (self.weekday + 1) % 7;
            self.weeks += i64::from(self.weekday == 0);
        }
    }

    #[test]
    fn every_day_to_the_end_of_time_lies_in_its_window() {
        let mut naive = Naive { year: 1970, month: 0, day: 0, weekday: 3, weeks: 0 };
        for day in 0..=Timestamp::MAX.as_micros() / DAY {
            let left = days_in(naive.year, naive.month) - naive.day;
            let year_left =
                left + (naive.month + 1..12).map(|month| days_in(naive.year, month)).sum::<i64>();
            for at in [day * DAY, day * DAY + DAY - 1] {
                let now = Timestamp::from_micros(at);
                for (refill, index, end) in [
                    (Refill::Day, day, day + 1),
                    (Refill::Week, naive.weeks, day + 7 - naive.weekday),
                    (Refill::Month, (naive.year - 1970) * 12 + naive.month, day + left),
                    (Refill::Year, naive.year - 1970, day + year_left),
                ] {
                    let ends = Timestamp::from_micros(end * DAY);
                    let got = refill.window(now);
                    assert_eq!(got, (u32::try_from(index).unwrap(), ends), "{refill:?} {now}");
                }
            }
            naive.next();
        }
        assert_eq!((naive.year, naive.month, naive.day), (10_000, 0, 0));
    }

    proptest! {
        #[test]
        fn windows_are_in_order_and_hold_their_instants(
            at in any::<i64>(),
            refill in prop::sample::select(
                &[Refill::Hour, Refill::Day, Refill::Week, Refill::Month, Refill::Year][..]),
        ) {
            let now = Timestamp::from_micros(at);
            let (index, ends) = refill.window(now);
            prop_assert!(index <= LAST_WINDOW);
            prop_assert!(now < ends || now == Timestamp::MAX);
            if ends < Timestamp::MAX {
                prop_assert_eq!(refill.index(ends), index + 1);
                let last = Timestamp::from_micros(ends.as_micros() - 1);
                prop_assert_eq!(refill.index(last), index);
            }
        }
    }

    #[test]
    fn hours_and_the_ends_of_the_range() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(
            Refill::Hour.window(at("1970-01-02T01:59:59.999999Z")),
            (25, at("1970-01-02T02:00:00Z"))
        );
        assert_eq!(Refill::Week.window(Timestamp::UNIX_EPOCH), (0, at("1970-01-05T00:00:00Z")));
        assert_eq!(Refill::Year.window(Timestamp::MIN), (0, at("1971-01-01T00:00:00Z")));
        assert_eq!(Refill::Hour.window(Timestamp::MAX), (LAST_WINDOW, Timestamp::MAX));
        assert_eq!(Refill::Month.window(Timestamp::MAX), (8_030 * 12 - 1, Timestamp::MAX));
        let last = Refill::Hour.end(LAST_WINDOW - 1);
        assert_eq!(last, at("3883-12-08T15:00:00Z"));
    }
}
