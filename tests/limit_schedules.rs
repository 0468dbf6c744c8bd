//! Random schedules of more threads over one counter of a rate limit than every
//! interleaving can be looked at for (see `limit_interleavings.rs`): no unit is given
//! twice, and none that was given back is lost.
//!
//! 500 schedules of each kind by default, times `KEYWARD_TEST_SCALE`.

mod schedules;

/// The arithmetic itself, over the scheduler's atomics.
#[path = "../src/limit"]
mod limit {
    #![allow(dead_code, reason = "the source is used in part")]

    mod sync {
        pub(super) use shuttle::sync::atomic::AtomicU64;
        pub(super) use std::sync::atomic::Ordering::Relaxed;
    }

    mod gcra;

    use std::sync::Arc;

    use shuttle::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use self::gcra::Gcra;
    use crate::schedules::{check, must_find, run};
    use crate::timestamp::Timestamp;

    const NOW: Timestamp = Timestamp(1_000_000_000);
    const DAY: u64 = 86_400_000_000;

    /// So many units at once, and one back a day.
    fn rule(burst: u64) -> Gcra {
        Gcra::new(1, DAY, burst)
    }

    /// Six threads take and give back; in the end, exactly what is kept is missing.
    #[test]
    fn six_threads_share_a_counter() {
        check(|| {
            let cell = Arc::new(AtomicU64::new(0));
            let takers = [1_u32, 1, 2, 2, 3, 1].map(|cost| {
                let cell = Arc::clone(&cell);
                let taker: Box<dyn FnOnce() -> u32 + Send> = Box::new(move || {
                    let mut kept = 0;
                    for round in 0..3 {
                        if rule(7).take(&cell, NOW, cost).is_ok() {
                            if (round + cost) % 2 == 0 {
                                rule(7).undo(&cell, NOW, NOW, cost);
                            } else {
                                kept += cost;
                            }
                        }
                    }
                    kept
                });
                taker
            });
            let kept: u32 = run(takers.into_iter().collect()).into_iter().sum();
            assert!(kept <= 7, "more than the burst");
            let left = (0..10).take_while(|_| rule(7).take(&cell, NOW, 1).is_ok()).count();
            assert_eq!(left, 7 - kept as usize, "a unit was lost or came from nowhere");
        });
    }

    #[test]
    #[should_panic(expected = "more than the burst")]
    fn the_schedules_find_a_counter_that_is_read_and_then_written() {
        must_find(|| {
            let cell = Arc::new(AtomicU64::new(0));
            let takers = (0..6).map(|_| {
                let cell = Arc::clone(&cell);
                let taker: Box<dyn FnOnce() -> u64 + Send> = Box::new(move || {
                    let before = cell.load(SeqCst);
                    if before < 3 {
                        cell.store(before + 1, SeqCst);
                    }
                    u64::from(before < 3)
                });
                taker
            });
            let taken: u64 = run(takers.collect()).into_iter().sum();
            assert!(taken <= 3, "more than the burst");
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
