//! What receipts promise of other nodes.

use std::time::Duration;

use keyward::{ChangeFeed as _, Clock as _, FakeClock, KeyCache, MemoryStore, Reason};

use crate::common::{READ, RowStore, START, builder, new_key, run, scheme, system};
use crate::map_store::MapStore;
use crate::world::{A_LITTLE, BOUND, World};

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
    // What can't be read may be the most that a node takes.
    store.set_deaf(true);
    assert_eq!(receipt(alone()), Duration::from_secs(3_600));
    let silent = builder(scheme(&[1]), RowStore::default(), &clock, 1);
    assert_eq!(receipt(silent), BOUND);
}

/// A number that differs from call to call.
fn store_reads(store: &MapStore) -> u64 {
    100 + store.reads()
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
