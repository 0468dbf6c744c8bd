//! A caller may go away at any moment: whatever was being done is done wholly or not at
//! all, uses are not forgotten, and limits that were taken for nothing are given back.

mod common;

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{
    ALL, Done, Flow, READ, RowStore, START, World, builder, check_invariants, new_key, outcomes,
    poll_times, run, scheme, system,
};
use keyward::{
    Charge, FakeClock, LimitStore, LocalLimits, RateLimit, StoreError, StoreErrorKind, Taken,
};

#[test]
fn a_flow_dropped_at_any_await_leaves_every_key_whole() {
    let world = World::new();
    for flow in ALL {
        let after = {
            let store = world.store();
            assert!(run(flow.run(&World::service(&store, 7), &world)).is_ok(), "{flow:?}");
            run(outcomes(&World::service(&store, 8), &world))
        };
        let mut polls = 0;
        loop {
            let store = world.store().yielding();
            let keys = World::service(&store, 7);
            let done = poll_times(flow.run(&keys, &world), polls);
            let case = format!("{flow:?} dropped after {polls} polls");
            check_invariants(&world, &store, &after, &case);
            assert_eq!(
                run(outcomes(&keys, &world)),
                run(outcomes(&World::service(&store.healed(), 9), &world)),
                "{case}"
            );
            if let Some(done) = done {
                let done = done.unwrap_or_else(|error| panic!("{case}: {error}"));
                if let Done::Issued(token) = done {
                    assert!(run(keys.verify(&token, &READ)).is_ok(), "{case}");
                }
                break;
            }
            polls += 1;
        }
        assert!(polls >= 2, "{flow:?} never waited");
    }
}

#[test]
fn a_request_that_was_dropped_and_sent_again_makes_one_key() {
    let world = World::new();
    let new = || new_key("new").idempotency_key("fresh");
    for polls in 0.. {
        let store = world.store().yielding();
        let keys = World::service(&store, 7);
        let done = poll_times(Flow::IssueOnce.run(&keys, &world), polls);
        let again = run(keys.issue(&system(), new()));
        let made = store.snapshot().rows.len() - world.kept.rows.len();
        assert_eq!(made, 1, "dropped after {polls} polls: {again:?}");
        if done.is_some() {
            return;
        }
    }
}

#[test]
fn a_dropped_flush_forgets_no_use() {
    let world = World::new();
    let id = world.id("plain");
    for polls in 0.. {
        let store = world.store().yielding();
        let keys = World::service(&store, 7);
        for _ in 0..3 {
            run(keys.verify(world.token("plain"), &READ)).unwrap();
        }
        let done = poll_times(keys.flush(), polls);
        let told = store.snapshot().usage.get(&id).map_or(0, |usage| usage.uses);
        run(keys.flush()).unwrap();
        let uses = store.snapshot().usage[&id].uses;
        // Dropped between the write and its answer, the outcome is unknown: twice at most.
        assert!(uses == 3 || (told == 3 && done.is_none() && uses == 6), "{polls}: {uses}");
        if let Some(done) = done {
            assert_eq!((done.unwrap(), uses), (1, 3));
            return;
        }
    }
}

/// Counts nothing, and hangs or fails on demand.
#[derive(Clone, Default)]
struct Limits {
    hangs: Arc<AtomicBool>,
    fails: Arc<AtomicBool>,
    denies: Arc<AtomicBool>,
}

impl LimitStore for Limits {
    async fn take(&self, charges: &[Charge]) -> Result<Taken, StoreError> {
        assert!(!charges.is_empty());
        if self.hangs.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
        if self.fails.load(Ordering::Relaxed) {
            return Err(StoreError::new(StoreErrorKind::Unavailable));
        }
        if self.denies.load(Ordering::Relaxed) {
            return Ok(Taken::Denied { charge: 0, retry_after: None, resets_at: None });
        }
        Ok(Taken::All)
    }
}

#[test]
fn local_limits_are_given_back_when_the_shared_ones_are_not_taken() {
    let shared = Limits::default();
    let owners = LocalLimits::new().per_owner(RateLimit::per_hour(5).unwrap()).unwrap();
    let keys = builder(scheme(&[1]), RowStore::default(), &FakeClock::at(START), 1)
        .limits(owners)
        .limit_store(shared.clone())
        .build();
    let new = new_key("limited")
        .rate_limit(RateLimit::per_hour(4).unwrap())
        .rate_limit(RateLimit::per_day(9).unwrap().strict().fail_closed());
    let key = run(keys.issue(&system(), new)).unwrap().into_key();
    let verify = || keys.verify(key.expose_secret(), &READ);
    for _ in 0..20 {
        shared.hangs.store(true, Ordering::Relaxed);
        assert!(poll_times(verify(), 1).is_none());
        shared.hangs.store(false, Ordering::Relaxed);
        shared.fails.store(true, Ordering::Relaxed);
        assert_eq!(run(verify()).unwrap_err().status(), 503);
        shared.fails.store(false, Ordering::Relaxed);
        shared.denies.store(true, Ordering::Relaxed);
        assert_eq!(run(verify()).unwrap_err().status(), 429);
        shared.denies.store(false, Ordering::Relaxed);
    }
    for left in (0..4).rev() {
        let verified = run(verify()).unwrap();
        assert_eq!(verified.limit().unwrap().remaining(), left);
    }
    assert_eq!(run(verify()).unwrap_err().code(), "RATE_LIMITED");
    run(keys.flush()).unwrap();
    let uses = run(keys.list(&system(), &keyward::KeyQuery::new())).unwrap().data[0].uses;
    assert_eq!(uses, 4, "only what was let in is a use");
}
