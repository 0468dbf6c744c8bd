//! Every interleaving of threads over one counter of a rate limit, by a model checker: no
//! unit is given twice, and none that was given back is lost.

/// The arithmetic itself, over the checker's atomics.
#[path = "../src/limit"]
mod limit {
    #![allow(dead_code, reason = "the source is used in part")]

    mod sync {
        pub(super) use loom::sync::atomic::AtomicU64;
        pub(super) use std::sync::atomic::Ordering::Relaxed;
    }

    mod gcra;

    use loom::sync::Arc;
    use loom::thread;

    use self::gcra::Gcra;
    use self::sync::{AtomicU64, Relaxed};
    use crate::timestamp::Timestamp;

    const NOW: Timestamp = Timestamp(1_000_000_000);
    const DAY: u64 = 86_400_000_000;

    /// So many units at once, and one back a day.
    fn rule(burst: u64) -> Gcra {
        Gcra::new(1, DAY, burst)
    }

    fn counter() -> Arc<AtomicU64> {
        Arc::new(AtomicU64::new(0))
    }

    /// How many of these threads get what they ask for.
    fn taken(burst: u64, costs: &[u32]) -> u32 {
        let cell = counter();
        let threads: Vec<_> = costs
            .iter()
            .map(|&cost| {
                let cell = Arc::clone(&cell);
                thread::spawn(move || rule(burst).take(&cell, NOW, cost).map_or(0, |_| cost))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    }

    /// With at most three switches between threads: see the models of the cache.
    fn check(model: impl Fn() + Sync + Send + 'static) {
        let mut checker = loom::model::Builder::new();
        checker.preemption_bound = match std::env::var("KEYWARD_TEST_SCALE") {
            Ok(scale) if scale.parse::<u32>().is_ok_and(|scale| scale >= 100) => None,
            _ => Some(3),
        };
        checker.check(model);
    }

    #[test]
    fn two_threads_share_one_unit() {
        check(|| assert_eq!(taken(1, &[1, 1]), 1));
    }

    #[test]
    fn three_threads_share_two_units() {
        check(|| assert_eq!(taken(2, &[1, 1, 1]), 2));
    }

    #[test]
    fn a_large_request_and_small_ones_never_pass_the_burst() {
        check(|| assert!((2..=3).contains(&taken(3, &[2, 1, 2]))));
    }

    #[test]
    fn what_is_given_back_is_there_for_whoever_comes_after_it() {
        check(|| {
            let cell = counter();
            let undoing = Arc::clone(&cell);
            let refused = thread::spawn(move || {
                if rule(2).take(&undoing, NOW, 1).is_ok() {
                    rule(2).undo(&undoing, NOW, NOW, 1);
                }
            });
            let taking = Arc::clone(&cell);
            let kept = thread::spawn(move || rule(2).take(&taking, NOW, 1).is_ok());
            refused.join().unwrap();
            assert!(kept.join().unwrap(), "two fit");
            assert!(rule(2).take(&cell, NOW, 1).is_ok(), "the unit that was given back is lost");
            assert!(rule(2).take(&cell, NOW, 1).is_err(), "a unit came from nowhere");
        });
    }

    #[test]
    #[should_panic(expected = "both took the one unit")]
    fn the_checker_finds_a_counter_that_is_read_and_then_written() {
        check(|| {
            let cell = counter();
            let take = |cell: &AtomicU64| {
                let before = cell.load(Relaxed);
                let has_room = before == 0;
                if has_room {
                    cell.store(before + 1, Relaxed);
                }
                has_room
            };
            let other = Arc::clone(&cell);
            let thread = thread::spawn(move || take(&other));
            let ours = take(&cell);
            let theirs = thread.join().unwrap();
            assert!(!(ours && theirs), "both took the one unit");
        });
    }
}

/// What the arithmetic needs of an instant.
mod timestamp {
    #[derive(Clone, Copy)]
    pub(crate) struct Timestamp(pub(crate) i64);

    impl Timestamp {
        pub(crate) fn as_micros(self) -> i64 {
            self.0
        }
    }
}
