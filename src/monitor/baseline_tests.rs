use super::*;

const RULES: VolumeRules =
    VolumeRules { factor: 3, deviations: 6, minimum: 300, warm_up_hours: 72 };

/// A baseline after `days` of `count(hour of day)` uses, at the first hour of the next day.
fn after(days: u32, count: impl Fn(u32, u32) -> u32) -> Baseline {
    let mut baseline = Baseline::at(0);
    for hour in 0..days * 24 {
        baseline.add(hour, count(hour / 24, hour % 24), &RULES);
    }
    baseline.add(days * 24, 0, &RULES);
    baseline
}

/// How many uses of an hour it takes until one is unusual.
fn needed(mut baseline: Baseline, hour: u32) -> Option<u32> {
    (1..200_000).find(|_| baseline.count(hour, &RULES).is_some())
}

#[test]
fn nothing_is_unusual_before_the_warm_up_is_over() {
    let steady = |_, _| 1_000;
    assert_eq!(needed(after(2, steady), 48), None);
    assert_eq!(needed(after(3, steady), 72), Some(3_001));
}

#[test]
fn three_times_the_mean_is_usual_and_more_is_not() {
    assert_eq!(needed(after(9, |_, _| 1_000), 9 * 24), Some(3_001));
    assert_eq!(needed(after(9, |_, _| 10), 9 * 24), Some(301), "the minimum");
    assert_eq!(needed(after(9, |_, _| 0), 9 * 24), Some(301), "a key that was never used");
}

#[test]
fn each_hour_of_the_day_has_its_own_and_borrows_from_those_beside_it() {
    let office = |_, hour| if (9..17).contains(&hour) { 2_000 } else { 100 };
    let at = |hour: u32| {
        let mut baseline = after(10, office);
        (0..hour).for_each(|before| baseline.add(240 + before, office(10, before), &RULES));
        needed(baseline, 240 + hour)
    };
    assert_eq!([at(3), at(12), at(19)], [Some(301), Some(6_001), Some(301)]);
    assert_eq!([at(8), at(17)], [Some(6_001); 2], "the clocks have changed");
}

#[test]
fn by_fits_and_starts_is_usual_for_who_does_so() {
    let steady = needed(after(20, |_, _| 1_000), 20 * 24).unwrap();
    let fitful = |day: u32, _| if day.is_multiple_of(4) { 4_000 } else { 0 };
    let needed = needed(after(20, fitful), 20 * 24).unwrap();
    assert!(needed > 4_000 && needed > steady, "{needed}");
}

#[test]
fn a_monday_after_a_weekend_is_usual() {
    let week = |day: u32, _| if day % 7 >= 5 { 0 } else { 1_000 };
    let needed = needed(after(14, week), 14 * 24).unwrap();
    assert!(needed > 1_500, "{needed}");
}

#[test]
fn it_is_told_once_an_hour_and_the_spike_teaches_little() {
    let mut baseline = after(9, |_, _| 1_000);
    let hour = 9 * 24;
    let told = (0..100_000).filter_map(|_| baseline.count(hour, &RULES)).collect::<Vec<_>>();
    let since = Timestamp::from_unix_seconds(i64::from(hour) * 3_600);
    assert_eq!(told, [Unusual { count: 3_001, most: 3_000, since }]);
    (1..24).for_each(|later| baseline.add(hour + later, 1_000, &RULES));
    let next = needed(baseline, hour + 24).unwrap();
    assert!((3_001..8_000).contains(&next), "{next}");
}

#[test]
fn hours_without_use_are_learnt_and_a_clock_that_jumps_is_survived() {
    let mut baseline = after(9, |_, _| 1_000);
    let back = needed(baseline, 9 * 24 + 6 * 24).unwrap();
    assert!((300..2_500).contains(&back), "six days of nothing: {back}");
    baseline.add(u32::MAX, 1, &RULES);
    baseline.add(9 * 24, 1, &RULES);
    assert_eq!((baseline.hour, baseline.count), (9 * 24, 1));
    baseline.add(9 * 24 + 1, 1, &RULES);
    baseline.add(9 * 24, 1, &RULES);
    assert_eq!((baseline.hour, baseline.count), (9 * 24 + 1, 2), "from a slower thread");
    assert_eq!(hour_of(Timestamp::MIN), 0);
    assert!(hour_of(Timestamp::MAX) > 70_000_000);
}

/// Against floating point, the mean and the deviation of each hour.
#[test]
fn the_whole_numbers_follow_the_weighted_mean() {
    let mut baseline = Baseline::at(0);
    let (mut mean, mut deviation) = (0f64, 0f64);
    let mut random = 7u64;
    for day in 0..60u32 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let count = u32::try_from(random >> 52).unwrap();
        baseline.learn(0, count);
        baseline.learnt = u16::try_from((day + 1) * 24).unwrap();
        let (share, count) = (f64::from((day + 1).min(4)), f64::from(count));
        let off = if day == 0 { 0.0 } else { (count - mean).abs() };
        deviation += (off - deviation) / share;
        mean += (count - mean) / share;
        let point = f64::from(1u32 << POINT);
        assert!((f64::from(baseline.means[0]) / point - mean).abs() < 1.0, "day {day}");
        assert!((f64::from(baseline.deviations[0]) / point - deviation).abs() < 1.0);
    }
}
