//! What a service does with a cache under it.

#[path = "../common/mod.rs"]
mod common;
#[path = "../map_store/mod.rs"]
mod map_store;
mod reads;
mod receipts;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{READ, START, builder, new_key, run, scheme, system};
use keyward::{KeyCacheBuilder, KeyEdit, Observer, RateLimit, Reason};
use map_store::MapStore;
use world::{A_LITTLE, BOUND, World};

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
fn a_manager_sees_keys_as_they_are() {
    let world = World::new();
    let (id, key) = world.issue("k");
    assert_eq!(world.status(&key), 200);
    run(world.admin.update(&system(), id, KeyEdit::new().name("renamed"))).unwrap();
    assert_eq!(run(world.keys.get(&system(), id)).unwrap().name, "renamed");
    drop(run(world.keys.rotate(&system(), id, Duration::from_secs(60))).unwrap());
}

#[test]
fn what_fails_of_a_pass_keeps_nothing_else_from_being_done() {
    let world = World::new();
    let (id, key) = world.issue("k");
    assert_eq!(world.status(&key), 200);
    world.store.set_deaf(true);
    assert!(run(world.keys.maintain()).is_err());
    assert_eq!(run(world.admin.usage(&system(), id)).unwrap().uses, 1);
}
