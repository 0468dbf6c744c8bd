//! Who waits for all nodes waits as long as they need to hear, if they say so, and never
//! less.

mod common;
mod map_store;
mod roll;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{READ, START, builder, new_key, run, scheme, system};
use keyward::{
    ApiKey, Change, ChangeFeed, Changes, Clock as _, Event, FakeClock, Heartbeat, KeyCache, KeyId,
    KeyQuery, KeyRecord, KeyService, KeyStore, LogQuery, MemoryStore, NodeRow, Reason, RollCall,
    StoreError, Timestamp, Usage, UsageDelta, UsageStore,
};
use map_store::MapStore;

const BOUND: Duration = keyward::DEFAULT_MAX_STALENESS;
const SECOND: Duration = Duration::from_secs(1);

#[pollster::test]
async fn the_roll_of_a_store_in_memory() {
    let store = MemoryStore::new();
    roll::is_called_as_the_contract_says(&store, &store.clone()).await;
    let store = MemoryStore::new();
    roll::is_called_as_the_contract_says(&KeyCache::new(store.clone()), &store).await;
}

#[cfg(feature = "sqlite")]
#[pollster::test]
async fn the_roll_of_a_file() {
    let scratch = sqlite::Scratch::new();
    let (store, other) = (scratch.open(), scratch.open());
    roll::is_called_as_the_contract_says(&store, &other).await;
    drop((store, other));
    let again = scratch.open();
    assert!(again.changes(&keyward::LogQuery::from(0)).await.unwrap().heartbeats);
}

#[test]
fn a_store_without_heartbeats_says_so() {
    let store = MapStore::default();
    assert!(run(store.set_heartbeats(true)).is_err());
    assert!(run(store.roll_call(keyward::Heartbeat::Look, &[])).is_err());
}

/// Nodes over one store, by one clock.
struct Fleet {
    store: MemoryStore,
    clock: FakeClock,
    nodes: Vec<(KeyService, KeyCache)>,
}

impl Fleet {
    fn new(nodes: u64) -> Self {
        let (store, clock) = (MemoryStore::new(), FakeClock::at(START));
        let mut fleet = Self { store, clock, nodes: Vec::new() };
        for seed in 0..nodes {
            fleet.join(seed);
        }
        fleet
    }

    fn join(&mut self, seed: u64) {
        let cache = KeyCache::builder(self.store.clone()).clock(self.clock.clone()).build();
        let keys = builder(scheme(&[1]), cache.clone(), &self.clock, seed).build();
        self.nodes.push((keys, cache));
    }

    fn switch(&self, on: bool) {
        run(self.store.set_heartbeats(on)).unwrap();
    }

    fn hear(&self, nodes: impl IntoIterator<Item = usize>) {
        for node in nodes {
            run(self.nodes[node].1.catch_up()).unwrap();
        }
    }

    /// Some time passes in which these nodes look at the log each second.
    fn pass(&self, seconds: u32, nodes: &[usize]) {
        for _ in 0..seconds {
            self.hear(nodes.iter().copied());
            self.clock.advance(SECOND);
        }
        self.hear(nodes.iter().copied());
    }

    fn issue(&self) -> (KeyId, ApiKey) {
        let issued = run(self.nodes[0].0.issue(&system(), new_key("key"))).unwrap();
        (issued.id(), issued.into_key())
    }

    fn accepts(&self, node: usize, key: &ApiKey) -> bool {
        run(self.nodes[node].0.verify(key.expose_secret(), &READ)).is_ok()
    }

    /// How long the first node waits until a revoke is in effect everywhere, while these
    /// others hear of it with each hint; and that it is.
    fn wait(&self, hearing: &[usize], all: &[usize]) -> Duration {
        let (id, key) = self.issue();
        for node in all {
            assert!(self.accepts(*node, &key));
        }
        let began: Timestamp = self.clock.now();
        let next = RefCell::new(hearing.iter().copied().cycle());
        let sleep = |duration: Duration| {
            self.clock.advance(duration.min(Duration::from_millis(10)));
            self.hear(next.borrow_mut().next());
            std::future::ready(())
        };
        let keys = &self.nodes[0].0;
        let receipt = run(keys.revoke_and_wait(&system(), id, Reason::Unused, sleep)).unwrap();
        assert!(receipt.everywhere_by <= self.clock.now());
        for node in all {
            assert!(!self.accepts(*node, &key), "node {node}");
        }
        self.clock.now().saturating_duration_since(began)
    }
}

#[test]
fn without_heartbeats_the_bound_is_waited_for() {
    let fleet = Fleet::new(3);
    fleet.pass(10, &[0, 1, 2]);
    assert!(fleet.wait(&[1, 2], &[0, 1, 2]) >= BOUND);
}

#[test]
fn with_heartbeats_it_takes_as_long_as_all_need_to_hear() {
    let fleet = Fleet::new(3);
    fleet.switch(true);
    fleet.pass(10, &[0, 1, 2]);
    let waited = fleet.wait(&[1, 2], &[0, 1, 2]);
    assert!(waited < Duration::from_millis(200), "{waited:?}");
    // One of them doesn't hear.
    assert!(fleet.wait(&[1], &[0, 1, 2]) >= BOUND);
    // By then it has failed closed, and is waited for no more.
    fleet.pass(10, &[0, 1]);
    assert!(fleet.wait(&[1], &[0, 1]) < Duration::from_millis(200));
    // It comes back.
    fleet.pass(1, &[0, 1, 2]);
    assert!(fleet.wait(&[1], &[0, 1, 2]) >= BOUND);
    fleet.pass(1, &[0, 1, 2]);
    assert!(fleet.wait(&[1, 2], &[0, 1, 2]) < Duration::from_millis(200));
}

#[test]
fn each_switch_holds_after_a_bound_has_passed() {
    let fleet = Fleet::new(2);
    // The second node looks at the log, and keeps what it reads without a row.
    fleet.pass(10, &[0, 1]);
    fleet.switch(true);
    fleet.hear([0]);
    assert!(fleet.wait(&[], &[0, 1]) >= BOUND);
    fleet.pass(10, &[0, 1]);
    assert!(fleet.wait(&[1], &[0, 1]) < Duration::from_millis(200));
    fleet.switch(false);
    fleet.hear([1]);
    fleet.switch(true);
    fleet.hear([0]);
    assert!(fleet.wait(&[], &[0, 1]) + SECOND / 100 >= BOUND);
}

#[test]
fn a_node_that_has_just_started_waits_for_the_bound() {
    let mut fleet = Fleet::new(2);
    fleet.switch(true);
    fleet.pass(10, &[0, 1]);
    fleet.join(9);
    fleet.nodes.swap(0, 2);
    assert!(fleet.wait(&[1, 2], &[0, 1, 2]) >= BOUND);
    fleet.pass(6, &[0, 1, 2]);
    assert!(fleet.wait(&[1, 2], &[0, 1, 2]) < Duration::from_millis(200));
}

#[test]
fn a_longer_bound_is_waited_for_by_whoever_was_told_it() {
    let fleet = Fleet::new(2);
    fleet.switch(true);
    run(fleet.store.set_max_staleness(20 * SECOND)).unwrap();
    fleet.pass(30, &[0, 1]);
    run(fleet.store.set_max_staleness(SECOND)).unwrap();
    // The second node goes on by what it was told.
    fleet.pass(10, &[0]);
    assert!(fleet.wait(&[], &[0, 1]) >= 9 * SECOND);
}

/// A way to the store on which the roll is slow when told to.
#[derive(Clone)]
struct Slow {
    store: MemoryStore,
    holds: Arc<AtomicBool>,
}

impl ChangeFeed for Slow {
    async fn changes(&self, query: &LogQuery) -> Result<Changes, StoreError> {
        self.store.changes(query).await
    }

    async fn set_max_staleness(&self, bound: Duration) -> Result<(), StoreError> {
        self.store.set_max_staleness(bound).await
    }

    async fn roll_call(
        &self,
        beat: Heartbeat<'_>,
        gone: &[NodeRow],
    ) -> Result<RollCall, StoreError> {
        let is_held = || self.holds.load(SeqCst);
        poll_fn(|_| if is_held() { Poll::Pending } else { Poll::Ready(()) }).await;
        self.store.roll_call(beat, gone).await
    }
}

impl KeyStore for Slow {
    async fn get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.store.get(id).await
    }

    async fn commit(&self, change: Change) -> Result<(), StoreError> {
        self.store.commit(change).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, StoreError> {
        self.store.list(query).await
    }

    async fn log(&self, query: &LogQuery) -> Result<Vec<(u64, Event)>, StoreError> {
        self.store.log(query).await
    }
}

impl UsageStore for Slow {
    async fn add(&self, batch: &[UsageDelta]) -> Result<(), StoreError> {
        self.store.add(batch).await
    }

    async fn usage(&self, keys: &[KeyId]) -> Result<HashMap<KeyId, Usage>, StoreError> {
        self.store.usage(keys).await
    }
}

/// A node looks at the log, then nobody waits for it since it has no row, or none any more;
/// only then it beats. It must not use what it has read in between.
fn beats_late(enrolled: bool) {
    let mut fleet = Fleet::new(1);
    fleet.switch(true);
    let slow = Slow { store: fleet.store.clone(), holds: Arc::default() };
    let cache = KeyCache::builder(slow.clone()).clock(fleet.clock.clone());
    // What it would wait for is under way for as long as the test likes.
    let cache = cache.timer(|_| std::future::ready(())).build();
    let keys = builder(scheme(&[1]), cache.clone(), &fleet.clock, 9).build();
    fleet.nodes.push((keys, cache.clone()));
    let (id, key) = fleet.issue();
    fleet.pass(10, if enrolled { &[0, 1] } else { &[0] });
    fleet.pass(10, &[0]);

    slow.holds.store(true, SeqCst);
    let mut pass = pin!(cache.catch_up());
    let mut context = Context::from_waker(Waker::noop());
    assert!(pass.as_mut().poll(&mut context).is_pending(), "it has read the log");
    assert!(fleet.accepts(1, &key), "read from the store, and kept");
    let began = fleet.clock.now();
    let sleep = |duration: Duration| {
        fleet.clock.advance(duration.min(Duration::from_millis(10)));
        std::future::ready(())
    };
    run(fleet.nodes[0].0.revoke_and_wait(&system(), id, Reason::Unused, sleep)).unwrap();
    assert!(fleet.clock.now().saturating_duration_since(began) < SECOND, "nobody to wait for");
    slow.holds.store(false, SeqCst);
    assert!(pass.as_mut().poll(&mut context).is_ready());
    assert!(!fleet.accepts(1, &key), "it had no row");
}

#[test]
fn who_enrols_looks_at_the_log_again() {
    beats_late(false);
}

#[test]
fn who_has_lost_its_row_looks_at_the_log_again() {
    beats_late(true);
}
