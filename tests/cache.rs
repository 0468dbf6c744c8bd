//! What a service does with a cache under it.

mod common;
mod map_store;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use common::{READ, START, builder, new_key, poll_times, run, scheme, system};
use keyward::{
    ApiKey, ChangeFeed as _, Clock as _, FakeClock, KeyCache, KeyCacheBuilder, KeyEdit, KeyId,
    KeyService, MemoryStore, Observer, RateLimit, Reason,
};
use map_store::MapStore;

const BOUND: Duration = keyward::DEFAULT_MAX_STALENESS;
const A_LITTLE: Duration = Duration::from_millis(1);

struct World {
    store: MapStore,
    clock: FakeClock,
    /// The node that changes keys.
    admin: KeyService,
    /// The node that verifies them, and its cache.
    keys: KeyService,
    cache: KeyCache,
}

impl World {
    fn new() -> Self {
        Self::with(MapStore::default(), |builder| builder)
    }

    fn with(store: MapStore, set: impl Fn(KeyCacheBuilder) -> KeyCacheBuilder) -> Self {
        let clock = FakeClock::at(START);
        let node =
            |seed, cache: &KeyCache| builder(scheme(&[1]), cache.clone(), &clock, seed).build();
        let cache = || set(KeyCache::builder(store.clone()).clock(clock.clone())).build();
        let own = cache();
        let (admin, keys) = (node(1, &cache()), node(2, &own));
        Self { admin, keys, cache: own, store, clock }
    }

    fn issue(&self, name: &str) -> (KeyId, ApiKey) {
        let issued = run(self.admin.issue(&system(), new_key(name))).unwrap();
        (issued.id(), issued.into_key())
    }

    fn status(&self, key: &ApiKey) -> u16 {
        let verified = run(self.keys.verify(key.expose_secret(), &READ));
        verified.map_or_else(|error| error.status(), |_| 200)
    }

    /// How many reads something takes.
    fn reads(&self, act: impl FnOnce()) -> u64 {
        let before = self.store.reads();
        act();
        self.store.reads() - before
    }
}

#[test]
fn a_verify_reads_the_store_once_and_then_no_more() {
    let world = World::new();
    let (id, key) = world.issue("k");
    assert_eq!(world.reads(|| assert_eq!(world.status(&key), 200)), 1);
    assert_eq!(world.reads(|| (0..100).for_each(|_| assert_eq!(world.status(&key), 200))), 0);
    // Read once more behind a pass, to know that it was not ahead of the log.
    run(world.keys.maintain()).unwrap();
    assert_eq!(world.reads(|| assert_eq!(world.status(&key), 200)), 1);
    for _ in 0..40 {
        world.clock.advance(Duration::from_secs(1));
        run(world.keys.maintain()).unwrap();
        assert_eq!(world.reads(|| assert_eq!(world.status(&key), 200)), 0);
    }
    run(world.admin.update(&system(), id, KeyEdit::new().name("renamed"))).unwrap();
    assert_eq!(run(world.keys.maintain()).unwrap().caught_up.entries, 1);
    assert_eq!(world.reads(|| assert_eq!(world.status(&key), 200)), 1);
    world.clock.advance(Duration::from_secs(61));
    run(world.keys.maintain()).unwrap();
    assert_eq!(world.reads(|| assert_eq!(world.status(&key), 200)), 1, "it got old");
}

#[test]
fn another_nodes_revoke_holds_by_the_receipt_and_ones_own_at_once() {
    let world = World::new();
    let (id, key) = world.issue("k");
    assert_eq!(world.status(&key), 200);
    let receipt = run(world.admin.revoke(&system(), id, Reason::Unused)).unwrap();
    assert_eq!(receipt.everywhere_by, START.saturating_add(BOUND));
    world.clock.advance(BOUND);
    assert_eq!(world.status(&key), 200, "the other node has not heard of it");
    world.clock.advance(A_LITTLE);
    assert!(world.clock.now() > receipt.everywhere_by);
    assert_eq!(world.status(&key), 401);
    let (id, key) = world.issue("l");
    assert_eq!(world.status(&key), 200);
    run(world.keys.revoke(&system(), id, Reason::Unused)).unwrap();
    assert_eq!(world.status(&key), 401);
}

#[test]
fn who_revokes_and_waits_comes_back_when_nobody_accepts_it() {
    let world = World::new();
    let (id, key) = world.issue("k");
    assert_eq!(world.status(&key), 200);
    let slept = std::cell::Cell::new(0);
    let sleep = |left: Duration| {
        slept.set(slept.get() + 1);
        // A timer that fires early.
        world.clock.advance(left.mul_f64(0.75).max(A_LITTLE));
        std::future::ready(())
    };
    let (actor, reason) = (system(), Reason::Unused);
    let receipt = run(world.admin.revoke_and_wait(&actor, id, reason, sleep)).unwrap();
    assert!(slept.get() > 1 && world.clock.now() >= receipt.everywhere_by);
    world.clock.advance(A_LITTLE);
    assert_eq!(world.status(&key), 401);
}

#[test]
fn a_receipt_says_what_its_store_allows_other_nodes() {
    let clock = FakeClock::at(START);
    let receipt = |builder: keyward::KeyServiceBuilder| {
        let keys = builder.build();
        let id = run(keys.issue(&system(), new_key("k"))).unwrap().id();
        let receipt = run(keys.disable(&system(), id)).unwrap();
        receipt.everywhere_by.saturating_duration_since(START)
    };
    let memory = builder(scheme(&[1]), MemoryStore::new(), &clock, 1);
    assert_eq!(receipt(memory), Duration::ZERO);
    let map = || builder(scheme(&[1]), MapStore::default(), &clock, 1);
    assert_eq!(receipt(map()), BOUND);
    assert_eq!(receipt(map().max_staleness(Duration::ZERO)), Duration::ZERO);
    let store = MapStore::default();
    run(store.set_max_staleness(Duration::from_secs(9))).unwrap();
    let cache = || KeyCache::builder(store.clone()).clock(clock.clone());
    let keys = |cache: KeyCache| builder(scheme(&[1]), cache, &clock, store_reads(&store));
    assert_eq!(receipt(keys(cache().build())), Duration::from_secs(9));
    // Others may be as slow as ever.
    let tight = cache().max_staleness(A_LITTLE).build();
    assert_eq!(receipt(keys(tight)), Duration::from_secs(9));
    assert_eq!(receipt(keys(cache().read_through().build())), Duration::from_secs(9));
    // Nor is a service's own want of a cache anything to go by.
    let alone = || builder(scheme(&[1]), store.clone(), &clock, store_reads(&store));
    assert_eq!(receipt(alone()), Duration::from_secs(9));
    assert_eq!(receipt(alone().max_staleness(A_LITTLE)), A_LITTLE);
    let silent = builder(scheme(&[1]), common::RowStore::default(), &clock, 1);
    assert_eq!(receipt(silent), BOUND);
}

#[test]
fn a_store_in_memory_knows_whether_a_cache_is_over_it() {
    let (clock, store) = (FakeClock::at(START), MemoryStore::new());
    let node = |cache: KeyCache| builder(scheme(&[1]), cache, &clock, 2).build();
    let cached = node(KeyCache::builder(store.clone()).clock(clock.clone()).build());
    let admin = builder(scheme(&[1]), store, &clock, 1).build();
    let issued = run(admin.issue(&system(), new_key("k"))).unwrap();
    assert_eq!(issued.everywhere_by(), START);
    let (id, key) = (issued.id(), issued.into_key());
    assert!(run(cached.verify(key.expose_secret(), &READ)).is_ok());
    let receipt = run(admin.revoke(&system(), id, Reason::Unused)).unwrap();
    assert!(run(cached.verify(key.expose_secret(), &READ)).is_ok());
    clock.set(receipt.everywhere_by.saturating_add(A_LITTLE));
    assert_eq!(run(cached.verify(key.expose_secret(), &READ)).unwrap_err().status(), 401);
}

#[test]
fn a_new_key_is_everywhere_at_once() {
    let world = World::new();
    let issued = run(world.admin.issue(&system(), new_key("k"))).unwrap();
    assert_eq!(issued.everywhere_by(), START);
    assert_eq!(world.status(&issued.into_key()), 200);
}

/// A number that differs from call to call.
fn store_reads(store: &MapStore) -> u64 {
    100 + store.reads()
}

#[test]
fn a_receipt_knows_of_a_bound_that_was_raised_a_moment_ago_and_keeps_a_longer_one() {
    let world = World::new();
    let (id, _) = world.issue("k");
    run(world.admin.maintain()).unwrap();
    let promised = |world: &World| {
        run(world.admin.disable(&system(), id)).unwrap();
        let receipt = run(world.admin.enable(&system(), id)).unwrap();
        receipt.everywhere_by.saturating_duration_since(world.clock.now()).as_secs()
    };
    run(world.store.set_max_staleness(Duration::from_secs(60))).unwrap();
    assert_eq!(promised(&world), 60);
    run(world.cache.set_max_staleness(Duration::from_secs(5))).unwrap();
    assert_eq!(promised(&world), 60, "somebody may have read the longer one just before");
    world.clock.advance(Duration::from_secs(20));
    assert_eq!(promised(&world), 40);
    world.clock.advance(Duration::from_secs(40));
    assert_eq!(promised(&world), 5);
    let error = run(world.cache.set_max_staleness(Duration::from_secs(3_601))).unwrap_err();
    assert!(error.to_string().contains("at most an hour"), "{error}");
}

#[test]
fn a_node_can_be_tighter_than_the_store_and_never_looser() {
    for (own, bound) in [(2, 2), (60, 5)] {
        let tighter = |it: KeyCacheBuilder| it.max_staleness(Duration::from_secs(own));
        let world = World::with(MapStore::default(), tighter);
        let (_, key) = world.issue("k");
        assert_eq!(world.status(&key), 200);
        assert_eq!(world.cache.max_staleness(), Duration::from_secs(bound));
        run(world.keys.maintain()).unwrap();
        assert_eq!(world.status(&key), 200);
        world.clock.advance(Duration::from_secs(bound));
        assert_eq!(world.cache.staleness(), Some(Duration::from_secs(bound)));
        world.store.set_down(true);
        assert_eq!(world.status(&key), 200);
        world.clock.advance(A_LITTLE);
        assert_eq!(world.status(&key), 503);
        world.store.set_down(false);
        assert_eq!(world.status(&key), 200);
    }
}

#[test]
fn a_store_that_is_down_is_never_a_wrong_key() {
    let world = World::new();
    let (_, key) = world.issue("k");
    let (_, cold) = world.issue("cold");
    assert_eq!(world.status(&key), 200);
    world.store.set_down(true);
    assert_eq!((world.status(&key), world.status(&cold)), (200, 503));
    world.clock.advance(BOUND + A_LITTLE);
    let error = run(world.keys.verify(key.expose_secret(), &READ)).unwrap_err();
    assert_eq!((error.status(), error.code()), (503, "UNAVAILABLE"));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
    assert!(run(world.keys.maintain()).is_err());
    world.clock.set(START.saturating_sub(A_LITTLE));
    assert_eq!(world.status(&key), 503, "a clock that was set back makes nothing fresh");
}

#[test]
fn stale_if_error_is_for_errors_and_ends() {
    let longer = Duration::from_secs(600);
    let world = World::with(MapStore::default(), |it| it.stale_if_error(longer));
    let (id, key) = world.issue("k");
    let (_, cold) = world.issue("cold");
    assert_eq!(world.status(&key), 200);
    world.store.set_down(true);
    world.clock.advance(BOUND + longer);
    assert_eq!((world.status(&key), world.status(&cold)), (200, 503));
    world.clock.advance(A_LITTLE);
    assert_eq!(world.status(&key), 503);
    world.store.set_down(false);
    run(world.admin.revoke(&system(), id, Reason::Unused)).unwrap();
    assert_eq!(world.status(&key), 401);
}

#[test]
fn limits_and_usage_survive_a_refresh() {
    let world = World::new();
    let new = new_key("limited").rate_limit(RateLimit::per_hour(6).unwrap());
    let issued = run(world.admin.issue(&system(), new)).unwrap();
    let (id, key) = (issued.id(), issued.into_key());
    for left in (0..6).rev() {
        let verified = run(world.keys.verify(key.expose_secret(), &READ)).unwrap();
        assert_eq!(verified.limit().unwrap().remaining(), left);
        run(world.admin.update(&system(), id, KeyEdit::new().name(format!("{left}")))).unwrap();
        let pass = run(world.keys.maintain()).unwrap();
        assert_eq!(pass.caught_up.entries, 1, "the record is read anew");
    }
    assert_eq!(world.status(&key), 429);
    assert_eq!(run(world.keys.usage(&system(), id)).unwrap().uses, 6);
}

#[test]
fn any_number_of_entries_is_caught_up_with() {
    for entries in [1, 998, 999, 1_000, 1_998, 1_999, 2_500] {
        let world = World::new();
        let (id, key) = world.issue("k");
        run(world.keys.maintain()).unwrap();
        assert_eq!(world.status(&key), 200);
        run(world.keys.maintain()).unwrap();
        assert_eq!(world.status(&key), 200);
        world.store.add_noise(entries - 1);
        run(world.admin.revoke(&system(), id, Reason::Unused)).unwrap();
        let caught_up = run(world.keys.catch_up()).unwrap();
        assert_eq!((caught_up.entries, caught_up.rewritten), (entries, false));
        assert_eq!(world.status(&key), 401);
    }
}

#[test]
fn a_rewritten_history_is_told_once_and_nothing_of_it_is_kept() {
    struct Heard(AtomicU64);
    impl Observer for Heard {
        fn history_rewritten(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let world = World::new();
    let (_, key) = world.issue("k");
    let copy = world.store.copy();
    let (_, lost) = world.issue("lost");
    let heard = Arc::new(Heard(AtomicU64::new(0)));
    let keys = builder(scheme(&[1]), world.cache.clone(), &world.clock, 3)
        .observer(Arc::clone(&heard))
        .build();
    run(keys.maintain()).unwrap();
    assert_eq!((world.status(&key), world.status(&lost)), (200, 200));
    world.store.restore(&copy);
    run(world.admin.maintain()).unwrap();
    assert_eq!(heard.0.load(Ordering::Relaxed), 0);
    let caught_up = run(keys.maintain()).unwrap().caught_up;
    assert!(caught_up.rewritten && world.cache.is_empty());
    assert_eq!((world.cache.rewrites(), heard.0.load(Ordering::Relaxed)), (1, 1));
    assert_eq!((world.status(&key), world.status(&lost)), (200, 401));
    assert!(!run(keys.maintain()).unwrap().caught_up.rewritten);
    assert_eq!(heard.0.load(Ordering::Relaxed), 1);
}

/// A log without entries says nothing of what it will be.
#[test]
fn nothing_is_kept_when_a_log_begins() {
    let world = World::new();
    let (id, key) = world.issue("k");
    let before = world.store.copy();
    run(world.admin.revoke(&system(), id, Reason::Unused)).unwrap();
    let _ = world.issue("other");
    world.store.trim(1);
    let after = world.store.copy();
    world.store.restore(&before);
    world.store.trim(0);
    for _ in 0..3 {
        run(world.keys.maintain()).unwrap();
        assert_eq!(world.status(&key), 200);
    }
    world.store.restore(&after);
    run(world.keys.maintain()).unwrap();
    assert_eq!(world.status(&key), 401);
}

/// Two reads confirm a record only if a pass came between them.
#[test]
fn what_is_ahead_of_the_log_is_dropped_however_often_it_was_read() {
    let world = World::with(MapStore::default(), |it| it.max_age(Duration::from_secs(1)));
    let (id, key) = world.issue("k");
    run(world.keys.maintain()).unwrap();
    let before = world.store.copy();
    run(world.admin.disable(&system(), id)).unwrap();
    assert_eq!(world.status(&key), 401);
    world.clock.advance(Duration::from_secs(1) + A_LITTLE);
    assert_eq!(world.reads(|| assert_eq!(world.status(&key), 401)), 1, "it got old");
    // The change is lost, and the log up to this node's place is as it was.
    world.store.restore(&before);
    assert!(!run(world.keys.maintain()).unwrap().caught_up.rewritten);
    assert_eq!(world.status(&key), 200);
}

#[test]
fn many_who_want_one_cold_key_make_one_read() {
    let world = World::with(MapStore::suspending(), |it| it.misses_at_once(1));
    let (_, key) = world.issue("k");
    run(world.keys.maintain()).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let token = key.expose_secret();
    let reads = world.reads(|| {
        let mut all: Vec<_> =
            (0..1_000).map(|_| Box::pin(world.keys.verify(token, &READ))).collect();
        while !all.is_empty() {
            all.retain_mut(|verify| match verify.as_mut().poll(&mut context) {
                std::task::Poll::Ready(verified) => {
                    assert!(verified.is_ok());
                    false
                }
                std::task::Poll::Pending => true,
            });
        }
    });
    assert_eq!((reads, world.cache.misses()), (1, 0));
}

#[test]
fn nobody_joins_a_read_from_before_a_change_of_the_same_node() {
    for polls in 1..8 {
        let world = World::with(MapStore::suspending(), |it| it);
        let (id, key) = world.issue("k");
        run(world.keys.maintain()).unwrap();
        let mut context = Context::from_waker(Waker::noop());
        let mut early = pin!(world.keys.verify(key.expose_secret(), &READ));
        let done = (0..polls).any(|_| early.as_mut().poll(&mut context).is_ready());
        run(world.keys.revoke(&system(), id, Reason::Unused)).unwrap();
        assert_eq!(world.status(&key), 401, "after {polls} polls");
        if !done {
            let _ = run(early);
        }
        assert_eq!(world.status(&key), 401, "and what that read is not kept");
    }
}

#[test]
fn a_manager_sees_keys_as_they_are() {
    let world = World::new();
    let (id, key) = world.issue("k");
    assert_eq!(world.status(&key), 200);
    run(world.admin.update(&system(), id, KeyEdit::new().name("renamed"))).unwrap();
    assert_eq!(run(world.keys.get(&system(), id)).unwrap().name, "renamed");
    drop(run(world.keys.rotate(&system(), id, Duration::from_secs(60))).unwrap());
}

#[test]
fn what_is_beyond_its_permits_is_refused_at_once_without_a_timer() {
    let world = World::with(MapStore::suspending(), |it| it.misses_at_once(1));
    run(world.keys.maintain()).unwrap();
    let keys: Vec<_> = (0..200).map(|number| world.issue(&number.to_string()).1).collect();
    world.store.set_hangs(true);
    let mut waiting = Vec::new();
    let mut refused = 0;
    let mut context = Context::from_waker(Waker::noop());
    for key in &keys {
        let mut verify = Box::pin(world.keys.verify(key.expose_secret(), &READ));
        match verify.as_mut().poll(&mut context) {
            std::task::Poll::Ready(answer) => {
                assert_eq!(answer.unwrap_err().status(), 503);
                refused += 1;
            }
            std::task::Poll::Pending => waiting.push(verify),
        }
    }
    assert!(refused >= 100, "{refused}");
    assert!(world.cache.misses() <= 100, "{}", world.cache.misses());
    // Later, all but the one that reads are refused when somebody comes.
    world.clock.advance(Duration::from_millis(51));
    let _ = poll_times(world.keys.catch_up(), 3);
    let all = waiting.len();
    waiting.retain_mut(|verify| verify.as_mut().poll(&mut context).is_pending());
    assert!(all > 1 && waiting.len() == 1, "{} of {all} wait", waiting.len());
}

#[tokio::test]
async fn with_a_timer_waiting_ends_after_50_ms_and_a_hanging_read_at_the_bound() {
    let store = MapStore::default();
    let admin = KeyService::new(scheme(&[1]), KeyCache::new(store.clone()));
    let cache = KeyCache::builder(store.clone())
        .misses_at_once(1)
        .max_staleness(Duration::from_millis(400))
        .timer(tokio::time::sleep)
        .build();
    let keys = KeyService::new(scheme(&[1]), cache.clone());
    let one = admin.issue(&system(), new_key("one")).await.unwrap().into_key();
    let two = admin.issue(&system(), new_key("two")).await.unwrap().into_key();
    keys.maintain().await.unwrap();
    store.set_hangs(true);
    let began = tokio::time::Instant::now();
    let reads = tokio::spawn({
        let keys = keys.clone();
        async move { keys.verify(one.expose_secret(), &READ).await.unwrap_err().status() }
    });
    tokio::task::yield_now().await;
    let error = keys.verify(two.expose_secret(), &READ).await.unwrap_err();
    let waited = began.elapsed();
    assert_eq!(error.status(), 503);
    assert!(
        waited >= Duration::from_millis(50) && waited < Duration::from_millis(300),
        "{waited:?}"
    );
    assert_eq!(reads.await.unwrap(), 503);
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(400) && waited < Duration::from_secs(2), "{waited:?}");
    store.set_hangs(false);
    assert!(keys.verify(two.expose_secret(), &READ).await.is_ok());
    assert_eq!(cache.misses(), 0);
}
