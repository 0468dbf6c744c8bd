use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

/// One set, so that every key competes with every other.
fn one_set() -> Shard<u16> {
    Shard { window: 0, places: vec![None; WAYS].into() }
}

const ONE: Counter =
    Counter { most: 1, others: 0, first_at: Timestamp::UNIX_EPOCH, authenticated: true };

proptest! {
    /// Against an exact count: what is said is never too much, the bound above is never
    /// too little, and who has more than n / k is there.
    #[test]
    fn a_set_keeps_the_promises_of_space_saving(
        keys in prop::collection::vec(
            prop_oneof![0u16..8, 0u16..40, any::<u16>()], 0..250),
    ) {
        let mut shard = one_set();
        let mut exact = HashMap::<u16, u32>::new();
        for (heard, key) in keys.iter().enumerate() {
            *exact.entry(*key).or_default() += 1;
            let said = shard.add(0, *key, ONE).said();
            prop_assert!(said.count >= 1 && said.count <= exact[key]);
            let held: HashMap<u16, Counter> = shard.places.iter().flatten().copied().collect();
            for (key, counter) in &held {
                prop_assert!(counter.said().count <= exact[key]);
                prop_assert!(counter.most >= exact[key]);
            }
            for (key, count) in &exact {
                let is_frequent = *count as usize * WAYS > heard + 1;
                prop_assert!(!is_frequent || held.contains_key(key), "{key} of {count}");
            }
        }
    }

    /// With room for all, it is an exact count by window.
    #[test]
    fn a_tally_with_room_is_exact(
        heard in prop::collection::vec((0u8..12, 0i64..4, any::<bool>()), 0..200),
    ) {
        let tally = Tally::<u8>::new(1, Duration::from_secs(10));
        let mut exact = HashMap::<(u8, i64), (u32, bool)>::new();
        let mut heard = heard;
        heard.sort_by_key(|(_, window, _)| *window);
        for (key, window, authenticated) in heard {
            let entry = exact.entry((key, window)).or_insert((0, true));
            *entry = (entry.0 + 1, entry.1 && authenticated);
            let said = tally.add(key, at(window * 10 + 3), authenticated);
            prop_assert_eq!((said.count, said.authenticated), *entry);
        }
    }
}

#[test]
fn one_that_comes_late_is_counted_and_a_clock_that_went_back_begins_anew() {
    let tally = Tally::new(1, Duration::from_secs(10));
    let count = |seconds| tally.add('a', at(seconds), true).count;
    assert_eq!([count(100), count(109), count(110), count(109)], [1, 2, 1, 2]);
    assert_eq!([count(119), count(85), count(86), count(110)], [3, 1, 2, 1]);
    assert_eq!(tally.add('a', Timestamp::MIN, true).count, 1);
    assert_eq!(tally.add('a', Timestamp::MAX, true).count, 1);
}

#[test]
fn a_flood_accuses_nobody_and_a_frequent_one_stays() {
    let tally = Tally::<u64>::new(1_024, Duration::from_secs(3_600));
    let mut often = 0;
    for made_up in 0..200_000 {
        assert_eq!(tally.add(made_up, at(0), false).count, 1);
        if made_up % 500 == 0 {
            often = tally.add(u64::MAX, at(0), false).count;
        }
    }
    // A set hears 3,125 of the flood: more than 195 keep a place.
    assert!(often > 150, "{often}");
}
