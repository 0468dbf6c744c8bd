//! Reads of the store that many wait for.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use keyward::{KeyCache, KeyService, Reason};

use crate::common::{READ, new_key, poll_times, run, scheme, system};
use crate::map_store::MapStore;
use crate::world::World;

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
