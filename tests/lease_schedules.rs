//! Random schedules of threads over a lease on a shared limit and the line before it: never
//! is more given out than was debited, one at a time asks, and nobody waits for ever.
//!
//! 500 schedules of each kind by default, times `KEYWARD_TEST_SCALE`.

mod schedules;

/// Leases, over the scheduler's locks.
#[path = "../src/limit"]
mod limit {
    #![allow(dead_code, reason = "the source is used in part")]
    #![allow(clippy::unused_self, reason = "methods as the real limits have them")]

    mod sync {
        pub(super) use shuttle::sync::{Mutex, MutexGuard};
        pub(super) use std::sync::PoisonError;
    }

    pub(super) mod lease;

    /// What a lease needs of a quota: none is here.
    mod quota {
        use crate::timestamp::Timestamp;

        #[derive(Clone, Debug, PartialEq)]
        pub(crate) struct Quota;

        pub(crate) struct Refill;

        impl Quota {
            pub(crate) fn limit(&self) -> u64 {
                1
            }

            pub(crate) fn name(&self) -> &'static str {
                "quota"
            }

            pub(crate) fn refill(&self) -> Refill {
                Refill
            }
        }

        impl Refill {
            pub(crate) fn window(&self, now: Timestamp) -> (u32, Timestamp) {
                (0, now)
            }
        }
    }

    /// What a lease needs of a rate limit: so many a minute.
    pub(super) mod rate {
        use std::time::Duration;

        #[derive(Clone, Debug, PartialEq)]
        pub(crate) struct RateLimit(pub(crate) u32);

        impl RateLimit {
            pub(crate) fn name(&self) -> &'static str {
                "rate"
            }

            pub(crate) fn count(&self) -> u32 {
                self.0
            }

            pub(crate) fn burst_size(&self) -> u32 {
                self.0
            }

            pub(crate) fn period(&self) -> Duration {
                Duration::from_secs(60)
            }
        }
    }
}

/// The line, over the scheduler's lock.
#[path = "../src/service"]
mod service {
    #![allow(dead_code, reason = "the source is used in part")]

    mod sync {
        pub(super) use shuttle::sync::{Mutex, MutexGuard};
        pub(super) use std::sync::PoisonError;
    }

    mod line;

    use std::collections::VecDeque;
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::task::{Poll, Waker};
    use std::time::Duration;

    use shuttle::future::block_on;
    use shuttle::sync::Mutex;
    use shuttle::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
    use shuttle::thread;

    use self::After::{Fails, GoesAway, Keeps, PutsBack};
    use self::line::{Line, Waited};
    use crate::limit::lease::Lease;
    use crate::limit::rate::RateLimit;
    use crate::schedules::{check, must_find, run};
    use crate::timestamp::Timestamp;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    /// A process with a lease on a limit of the store's, which has so many units in all.
    struct Process {
        lease: Lease,
        line: Arc<Line>,
        clock: AtomicI64,
        store: Mutex<u32>,
        debited: AtomicU64,
        given: AtomicU64,
        /// How many ask the store at this moment.
        asking: AtomicU64,
    }

    impl Process {
        fn new(units: u32) -> Arc<Self> {
            Arc::new(Self {
                lease: Lease::of_rate(&RateLimit(600), Duration::from_secs(1)),
                line: Arc::default(),
                clock: AtomicI64::new(NOW.0),
                store: Mutex::new(units),
                debited: AtomicU64::new(0),
                given: AtomicU64::new(0),
                asking: AtomicU64::new(0),
            })
        }

        fn now(&self) -> Timestamp {
            Timestamp(self.clock.load(SeqCst))
        }

        /// What a request does: a unit of the lease, or its turn to ask, or it is refused.
        fn request(&self, cost: u32, then: After) -> Outcome {
            let waited = block_on(self.line.wait(cost, || self.lease.take(self.now(), cost)));
            match waited {
                Waited::Ready(units) => {
                    if then == After::PutsBack {
                        self.lease.put_back(units, self.now());
                        return Outcome::Refused;
                    }
                }
                Waited::Failed => return Outcome::Failed,
                Waited::Turn(turn) => {
                    // Between the last look and the turn, another may have filled it.
                    if let Some(units) = self.lease.take(self.now(), cost) {
                        drop(turn);
                        self.lease.put_back(units, self.now());
                        return Outcome::Refused;
                    }
                    if then == After::Fails {
                        turn.fail();
                        return Outcome::Failed;
                    }
                    if then == After::GoesAway {
                        return Outcome::Failed;
                    }
                    let from = self.now();
                    let units = self.lease.wanted(from, cost, turn.waiting());
                    assert_eq!(self.asking.fetch_add(1, SeqCst), 0, "two ask for one lease");
                    let mut left = self.store.lock().unwrap();
                    let Some(rest) = left.checked_sub(units) else {
                        self.asking.fetch_sub(1, SeqCst);
                        return Outcome::Refused;
                    };
                    *left = rest;
                    drop(left);
                    self.debited.fetch_add(units.into(), SeqCst);
                    self.asking.fetch_sub(1, SeqCst);
                    self.lease.fill(from, units, cost, self.now());
                }
            }
            self.given.fetch_add(cost.into(), SeqCst);
            Outcome::Given
        }
    }

    #[derive(Clone, Copy, PartialEq)]
    enum After {
        Keeps,
        /// Another limit refuses it.
        PutsBack,
        Fails,
        GoesAway,
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Outcome {
        Given,
        Refused,
        Failed,
    }

    fn requests(process: &Arc<Process>, plan: [&'static [(u32, After)]; 6]) -> Vec<Outcome> {
        let requests = plan.map(|plan| {
            let process = Arc::clone(process);
            let request: Box<dyn FnOnce() -> Vec<Outcome> + Send> = Box::new(move || {
                plan.iter().map(|(cost, then)| process.request(*cost, *then)).collect()
            });
            request
        });
        run(requests.into_iter().collect()).into_iter().flatten().collect()
    }

    /// Six threads under one lease, some of which fail, go away or give back: never more is
    /// given out than was debited, and what is left of it is there.
    #[test]
    fn six_threads_share_a_lease() {
        check(|| {
            let process = Process::new(12);
            requests(
                &process,
                [
                    &[(1, Keeps), (1, PutsBack), (2, Keeps)],
                    &[(1, Keeps), (1, GoesAway), (1, Keeps)],
                    &[(2, PutsBack), (1, Keeps)],
                    &[(1, Fails), (1, Keeps), (1, Keeps)],
                    &[(3, Keeps), (1, Keeps)],
                    &[(1, GoesAway), (2, Keeps)],
                ],
            );
            let (debited, given) = (process.debited.load(SeqCst), process.given.load(SeqCst));
            assert!(given <= debited && debited <= 12, "{given} given of {debited}");
        });
    }

    /// The same while the clock goes beyond the ends of leases.
    #[test]
    fn a_lease_that_ends_meanwhile_gives_nothing_twice() {
        check(|| {
            let process = Process::new(30);
            let ticking = Arc::clone(&process);
            let ticker = thread::spawn(move || {
                for _ in 0..4 {
                    ticking.clock.fetch_add(600_000, SeqCst);
                }
            });
            let plan: [&[(u32, After)]; 6] = [&[(1, Keeps), (2, PutsBack), (1, Keeps)]; 6];
            requests(&process, plan);
            ticker.join().unwrap();
            let (debited, given) = (process.debited.load(SeqCst), process.given.load(SeqCst));
            assert!(given <= debited && debited <= 30, "{given} given of {debited}");
        });
    }

    /// Whoever waits is served, refused or told of the failure: nobody waits for ever.
    #[test]
    fn nobody_waits_for_ever_for_a_turn_that_failed_or_went_away() {
        check(|| {
            let process = Process::new(100);
            let outcomes = requests(
                &process,
                [
                    &[(1, Fails)],
                    &[(1, GoesAway)],
                    &[(1, Keeps)],
                    &[(1, Keeps)],
                    &[(1, Fails)],
                    &[(1, Keeps)],
                ],
            );
            assert_eq!(outcomes.len(), 6);
        });
    }

    /// A line that looks whether it is free, and leaves its name in a second step.
    #[derive(Default)]
    struct TwoSteps {
        taken: Mutex<bool>,
        waiting: Mutex<VecDeque<Waker>>,
    }

    #[test]
    #[should_panic(expected = "deadlock")]
    fn the_schedules_find_a_wake_that_is_lost() {
        must_find(|| {
            let line = Arc::new(TwoSteps::default());
            let requests = (0..6).map(|_| {
                let line = Arc::clone(&line);
                let request: Box<dyn FnOnce() + Send> = Box::new(move || {
                    block_on(poll_fn(|context| {
                        {
                            let mut taken = line.taken.lock().unwrap();
                            if !*taken {
                                *taken = true;
                                return Poll::Ready(());
                            }
                        }
                        line.waiting.lock().unwrap().push_back(context.waker().clone());
                        Poll::Pending
                    }));
                    *line.taken.lock().unwrap() = false;
                    let wakers: Vec<_> = line.waiting.lock().unwrap().drain(..).collect();
                    wakers.into_iter().for_each(Waker::wake);
                });
                request
            });
            run(requests.collect());
        });
    }
}

/// What the arithmetic needs of an instant.
mod timestamp {
    use std::time::Duration;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct Timestamp(pub(crate) i64);

    impl Timestamp {
        pub(crate) fn saturating_add(self, duration: Duration) -> Self {
            Self(self.0 + i64::try_from(duration.as_micros()).unwrap())
        }

        pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
            Duration::from_micros(u64::try_from(self.0 - earlier.0).unwrap_or(0))
        }
    }
}
