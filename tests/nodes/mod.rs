//! Several nodes over one simulated database, in one thread, by a seed: every delay, fault
//! and clock is the simulation's, and a task is polled only when it was woken.
#![allow(dead_code, unused_imports, reason = "each test file uses its own part of this")]

pub(crate) mod database;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use keyward::{Clock, Moment, Timestamp};

pub(crate) use self::database::{Database, is_revoked, key};

pub(crate) const MILLI: u64 = 1_000;
pub(crate) const SECOND: u64 = 1_000_000;

/// `SplitMix64`.
#[derive(Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap()
    }

    /// Whether something happens that does so `per_mille` times in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }
}

/// What has really passed, in microseconds, and who waits for it.
#[derive(Clone, Default)]
pub(crate) struct Time(Arc<Mutex<Clockwork>>);

#[derive(Default)]
struct Clockwork {
    now: u64,
    sleepers: Vec<(u64, Waker)>,
}

impl Time {
    pub(crate) fn now(&self) -> u64 {
        self.0.lock().unwrap().now
    }

    pub(crate) fn advance(&self, by: u64) {
        let due: Vec<Waker> = {
            let mut clockwork = self.0.lock().unwrap();
            clockwork.now += by;
            let now = clockwork.now;
            clockwork
                .sleepers
                .extract_if(.., |(at, _)| *at <= now)
                .map(|(_, waker)| waker)
                .collect()
        };
        due.into_iter().for_each(Waker::wake);
    }

    pub(crate) async fn sleep_until(&self, at: u64) {
        std::future::poll_fn(|context| {
            let mut clockwork = self.0.lock().unwrap();
            if clockwork.now >= at {
                return Poll::Ready(());
            }
            clockwork.sleepers.push((at, context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

/// A node's two clocks, each wrong in its own way.
#[derive(Clone)]
pub(crate) struct NodeClock(Arc<Mutex<Wrong>>, Time);

struct Wrong {
    /// By how much somebody has set the wall clock.
    set: i64,
    /// For how long the monotonic clock stood still.
    still: u64,
    suspended_at: Option<u64>,
}

impl NodeClock {
    pub(crate) fn new(time: &Time) -> Self {
        let right = Wrong { set: 0, still: 0, suspended_at: None };
        Self(Arc::new(Mutex::new(right)), time.clone())
    }

    pub(crate) fn set(&self, by: i64) {
        self.0.lock().unwrap().set += by;
    }

    pub(crate) fn suspend(&self) {
        self.0.lock().unwrap().suspended_at.get_or_insert(self.1.now());
    }

    pub(crate) fn resume(&self) {
        let mut wrong = self.0.lock().unwrap();
        if let Some(at) = wrong.suspended_at.take() {
            wrong.still += self.1.now() - at;
        }
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.0.lock().unwrap().suspended_at.is_some()
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        self.moment().wall
    }

    fn moment(&self) -> Moment {
        const START: i64 = 1_750_000_000_000_000;
        let now = self.1.now();
        let wrong = self.0.lock().unwrap();
        let wall = Timestamp::from_micros(START + i64::try_from(now).unwrap() + wrong.set);
        Moment { wall, monotonic: Duration::from_micros(now - wrong.still) }
    }
}

/// Tasks that are polled when they were woken, in an order of the seed's.
#[derive(Default)]
pub(crate) struct Tasks(Vec<Task>);

struct Task {
    node: usize,
    woken: Arc<Woken>,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Tasks {
    pub(crate) fn spawn(&mut self, node: usize, future: impl Future<Output = ()> + 'static) {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        self.0.push(Task { node, woken, future: Box::pin(future) });
    }

    /// Polls whoever was woken until nobody is.
    pub(crate) fn run(&mut self, random: &mut Random, runs: impl Fn(usize) -> bool) {
        loop {
            let woken: Vec<usize> = (0..self.0.len())
                .filter(|at| runs(self.0[*at].node) && self.0[*at].woken.0.load(Ordering::SeqCst))
                .collect();
            if woken.is_empty() {
                return;
            }
            let at = woken[random.index(woken.len())];
            let task = &mut self.0[at];
            task.woken.0.store(false, Ordering::SeqCst);
            let waker = Waker::from(Arc::clone(&task.woken));
            if task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                drop(self.0.swap_remove(at));
            }
        }
    }

    /// Lets go of one.
    pub(crate) fn drop_one(&mut self, random: &mut Random) {
        if !self.0.is_empty() {
            let at = random.index(self.0.len());
            drop(self.0.swap_remove(at));
        }
    }

    /// Lets go of everything that a node was doing.
    pub(crate) fn drop_node(&mut self, node: usize) {
        self.0.retain(|task| task.node != node);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
